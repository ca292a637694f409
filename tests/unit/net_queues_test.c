/* A port with a pair of queues for each of two workers: a memif server, and a raw client at the other end of it in the same process,
 * which chooses the queue that it sends on.  This thread is both workers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/arp.h"
#include "net/be.h"
#include "net/net.h"
#include "net/raw.h"

enum { ME = 0x0a280001, PEER = 0x0a280002, UDP = 7000, WORKERS = 2, MTU = 2000, ETHER_ECHO = 34 /* where ICMP begins */ };
#define WAIT_NS 30000000000ull

static char err[NET_ERROR_BYTES], folder[64] = "/tmp/chi-test-XXXXXX";
static struct net *net;
static struct raw *far;
static uint64_t late_ns; /* of the clock that the port is shown */
static struct frame_local local = {.ip = ME, .mask = 0xffffff00, .udp_first = UDP, .udp_count = WORKERS};
static const struct frame_local peer = {.ip = PEER, .mask = 0xffffff00, .mac = {0x02, 0x43, 0x0a, 0x28, 0x00, 0x02}};

static uint64_t now(void) { return net_now_ns() + late_ns; }

/* With all of its queues connected, and buffers offered in each, which a memif client does when it first receives. */
static void far_open(uint16_t queues)
{
    static const uint8_t foreign[60];
    char line[128];
    uint8_t none;
    snprintf(line, sizeof line, "net_memif1,role=client,socket=%s/a.sock", folder);
    if (raw_open_queues(line, PEER, MTU, 0, queues, &far, err))
        fail_msg("%s", err);
    for (uint16_t q = 0; q < queues; q++) {
        raw_queue(far, q);
        for (uint64_t until = net_now_ns() + WAIT_NS; !raw_send(far, foreign, sizeof foreign);)
            assert_true(net_now_ns() < until);
        assert_int_equal(raw_receive(far, &none, 1), 0);
    }
}

/* The next frame on a queue of the far end; 0: none is there. */
static uint32_t far_take(uint16_t queue, uint8_t *out, uint32_t cap)
{
    raw_queue(far, queue);
    return raw_receive(far, out, cap);
}

static uint32_t far_receive(uint16_t queue, uint8_t *out, uint32_t cap)
{
    uint32_t n;
    for (uint64_t until = net_now_ns() + WAIT_NS; !(n = far_take(queue, out, cap));)
        assert_true(net_now_ns() < until);
    return n;
}

/* Sends a frame on a queue, until the port took it. */
static void far_send(uint16_t queue, const uint8_t *f, uint32_t n)
{
    raw_queue(far, queue);
    for (uint64_t until = net_now_ns() + WAIT_NS; !raw_send(far, f, n);)
        assert_true(net_now_ns() < until);
}

static struct net_packet *poll_once(unsigned worker)
{
    struct net_packet *p[NET_BURST];
    unsigned n = net_rx_st(net, worker, now(), p);
    assert_true(n <= 1);
    return n ? p[0] : NULL;
}

static struct net_packet *receive(unsigned worker)
{
    struct net_packet *p;
    for (uint64_t until = net_now_ns() + WAIT_NS; !(p = poll_once(worker));)
        assert_true(net_now_ns() < until);
    return p;
}

static uint32_t datagram(uint8_t *f, unsigned for_worker)
{
    struct frame_head h;
    frame_head_init(&h, &peer, ME, local.mac);
    frame_head_write(&h, f, 4321, (uint16_t)(UDP + for_worker), 8, 0);
    return FRAME_HEADERS + 8;
}

/* A datagram to the far end by a worker, perhaps for another one; what net_send_st says. */
static int send_for(unsigned from, unsigned worker)
{
    struct net_packet *p = net_packet_get_st(net, worker);
    assert_non_null(p);
    p->length = 10;
    p->ip = PEER;
    p->port = 1;
    int rc = net_send_st(net, worker, from, p, now());
    if (rc != NET_SENT)
        net_packet_free(p);
    net_flush_st(net, worker);
    return rc;
}

/* The next datagram on a queue of the far end is that worker's. */
static void expect_datagram(uint16_t queue, unsigned from)
{
    uint8_t f[128];
    assert_int_equal(far_receive(queue, f, sizeof f), FRAME_HEADERS + 10);
    assert_memory_equal(f, peer.mac, 6);
    assert_int_equal(be16_get(f + FRAME_ETHER + FRAME_IP), UDP + from);
}

/* The far end says who it is, on a queue; the owner learns it, and answers on its own. */
static void introduce(uint16_t queue)
{
    struct arp a = {.me = peer};
    uint8_t f[128];
    arp_request(&a, ME, f);
    far_send(queue, f, ARP_BYTES);
    if (queue == 1) {
        struct net_packet *p = receive(1);
        assert_true(p->frame);
        assert_int_equal(p->local_port, UDP); /* for worker 0 */
        net_frame_st(net, 0, p, now());
    }
    uint32_t n;
    for (uint64_t until = net_now_ns() + WAIT_NS; !(n = far_take(0, f, sizeof f));) {
        assert_null(poll_once(0));
        assert_true(net_now_ns() < until);
    }
    assert_int_equal(n, ARP_BYTES);
    assert_int_equal(be16_get(f + 20), 2);
    assert_memory_equal(f + 22, local.mac, 6);
}

static void port__has_a_pair_for_each_worker(void **state)
{
    struct net_port_stats s;
    (void)state;
    assert_int_equal(net_port_stats(net, 0, &s), 0);
    assert_int_equal(s.queues, 2);
    assert_int_equal(s.worker, 0);
    assert_string_equal(s.steering, "sender's queue");
}

static void rx__each_worker_has_its_queue_and_hands_over_the_rest(void **state)
{
    uint8_t f[128];
    (void)state;
    for (unsigned queue = 0; queue < 2; queue++)
        for (unsigned to = 0; to < 2; to++) {
            far_send((uint16_t)queue, f, datagram(f, to));
            struct net_packet *p = receive(queue);
            assert_int_equal(p->local_port, UDP + to);
            assert_false(p->frame);
            assert_null(poll_once(!queue));
            net_packet_free(p);
        }
}

static void arp__what_comes_in_elsewhere_is_for_the_owner(void **state)
{
    uint8_t f[128];
    (void)state;
    assert_int_equal(send_for(1, 1), 0); /* the neighbour is not known: the owner's */
    assert_int_equal(send_for(1, 0), NET_SENT);
    assert_int_equal(net_drops(net, 0)[CHI_DROP_NO_NEIGHBOUR], 1);
    assert_int_equal(far_receive(0, f, sizeof f), ARP_BYTES); /* it asks */
    introduce(1);
    assert_int_equal(send_for(1, 1), NET_SENT);
    expect_datagram(1, 1);
    assert_int_equal(send_for(0, 0), NET_SENT);
    expect_datagram(0, 0);
    assert_int_equal(send_for(1, 0), NET_SENT); /* what was handed over */
    expect_datagram(0, 1);
    assert_int_equal(far_take(0, f, sizeof f) + far_take(1, f, sizeof f), 0);
}

static void arp__a_neighbour_that_was_silent_is_the_owners_until_it_answers(void **state)
{
    uint8_t f[128];
    (void)state;
    late_ns += ARP_REFRESH_NS;
    assert_int_equal(send_for(1, 1), 0);
    assert_int_equal(send_for(1, 0), NET_SENT);
    assert_int_equal(far_receive(0, f, sizeof f), ARP_BYTES); /* it asks, and sends all the same */
    expect_datagram(0, 1);
    introduce(0);
    assert_int_equal(send_for(1, 1), NET_SENT);
    expect_datagram(1, 1);
}

/* The port of a frame that was handed over went in between. */
static void arp__for_a_port_that_went_is_given_back(void **state)
{
    (void)state;
    struct arp a = {.me = peer};
    uint8_t f[ARP_BYTES];
    arp_request(&a, ME, f);
    far_send(1, f, ARP_BYTES);
    struct net_packet *p = receive(1);
    assert_int_equal(net_port_set_off(net, "p0", true, err), 0);
    net_frame_st(net, 0, p, now());
    assert_int_equal(send_for(1, 1), NET_SENT);
    assert_int_equal(net_drops(net, 1)[CHI_DROP_NO_ROUTE], 1);
    assert_int_equal(net_port_set_off(net, "p0", false, err), 0);
    net_reclaim(net);
    assert_int_equal(far_take(0, f, sizeof f), 0); /* no answer */
    introduce(1);
}

static void echo__is_answered_on_its_queue(void **state)
{
    uint8_t f[FRAME_HEADERS + 8] = {0}, answer[128];
    (void)state;
    for (unsigned queue = 0; queue < 2; queue++) {
        datagram(f, 0);
        f[23] = IP_PROTOCOL_ICMP;
        be16_put(f + 24, 0);
        be16_put(f + 24, (uint16_t)~checksum_fold(checksum_add(0, f + FRAME_ETHER, FRAME_IP)));
        memset(f + ETHER_ECHO, 0, 16);
        f[ETHER_ECHO] = 8;
        be16_put(f + ETHER_ECHO + 4, (uint16_t)queue);
        be16_put(f + ETHER_ECHO + 2, (uint16_t)~checksum_fold(checksum_add(0, f + ETHER_ECHO, 16)));
        far_send((uint16_t)queue, f, sizeof f);
        uint32_t n;
        for (uint64_t until = net_now_ns() + WAIT_NS; !(n = far_take((uint16_t)queue, answer, sizeof answer));) {
            assert_null(poll_once(queue));
            assert_true(net_now_ns() < until);
        }
        assert_int_equal(n, sizeof f);
        assert_int_equal(answer[ETHER_ECHO], 0);
        assert_int_equal(be16_get(answer + ETHER_ECHO + 4), queue);
    }
}

/* One datagram on the one queue, two on the other: each link holds its own. */
static void impair__is_a_link_of_each_queue(void **state)
{
    struct impair_settings s = impair_none;
    struct net_packet *p[NET_BURST];
    uint8_t f[128];
    const uint64_t at = now();
    (void)state;
    s.delay_ns = 1000;
    assert_int_equal(net_impair_set(net, 0, &s, 1), 0);
    for (unsigned queue = 0; queue < 2; queue++)
        for (unsigned i = 0; i <= queue; i++)
            far_send((uint16_t)queue, f, datagram(f, queue));
    for (unsigned queue = 0; queue < 2; queue++) {
        const struct impair_stats *did = net_impair_stats(net, 0, queue);
        assert_non_null(did);
        for (uint64_t until = net_now_ns() + WAIT_NS; did->received <= queue;) {
            assert_int_equal(net_rx_st(net, queue, at, p), 0);
            assert_true(net_now_ns() < until);
        }
    }
    for (unsigned queue = 0; queue < 2; queue++) {
        assert_int_equal(net_rx_st(net, queue, at + 999, p), 0);
        assert_int_equal(net_rx_st(net, queue, at + 1000, p), queue + 1);
        for (unsigned i = 0; i <= queue; i++)
            net_packet_free(p[i]);
        assert_int_equal(net_impair_stats(net, 0, queue)->sent, queue + 1);
    }
    assert_int_equal(net_impair_set(net, 0, NULL, 0), 0);
    for (unsigned queue = 0; queue < 2; queue++)
        assert_null(net_impair_stats(net, 0, queue));
}

/* Of two queues one is there: the other worker hands over what it sends, and finds nothing, whatever was in that place before. */
static void memif__a_client_comes_again_with_fewer_queues_and_with_all(void **state)
{
    uint8_t f[128];
    (void)state;
    for (int round = 0; round < 3; round++) {
        raw_close(far);
        for (uint64_t until = net_now_ns() + WAIT_NS; net_reaches(net, PEER);)
            assert_true(net_now_ns() < until);
        assert_int_equal(send_for(1, 1), 0);
        assert_null(poll_once(1));
        far_open(1);
        for (uint64_t until = net_now_ns() + WAIT_NS; !net_reaches(net, PEER);)
            assert_true(net_now_ns() < until);
        introduce(0);
        for (int i = 0; i < 100; i++) {
            assert_int_equal(send_for(1, 1), 0);
            assert_null(poll_once(1));
            assert_int_equal(send_for(1, 0), NET_SENT);
            expect_datagram(0, 1);
            far_send(0, f, datagram(f, 1));
            net_packet_free(receive(0));
        }

        raw_close(far);
        far_open(2);
        introduce(0);
        for (uint64_t until = net_now_ns() + WAIT_NS; send_for(1, 1) != NET_SENT;)
            assert_true(net_now_ns() < until);
        expect_datagram(1, 1);
        introduce(1);
    }
}

static void add__more_queues_than_there_can_be(void **state)
{
    (void)state;
    struct net_port_options o = {.name = "x", .device = "net_ring5", .ip = 0x0a2a0001, .prefix = 24, .mtu = 1500, .queues = 3};
    assert_int_equal(net_port_add(net, &o, err), -EINVAL);
    assert_non_null(strstr(err, "queues: 3 is more than the 2"));
    char line[128];
    snprintf(line, sizeof line, "net_vhost5,iface=%s/v.sock", folder);
    o.device = line;
    o.queues = 2;
    assert_int_equal(net_port_add(net, &o, err), -EINVAL);
    assert_non_null(strstr(err, "offers 1 queues: set queues: 1"));
}

/* As many as the driver offers, where nobody says how many. */
static void add__takes_what_is_offered(void **state)
{
    static const struct {
        const char *device, *steering;
        uint16_t queues;
    } some[] = {{"net_ring6", "sender's queue", 2}, {"net_null6,no-rx=1", "source port", 2}, {"net_memif6,role=server,socket=%s/b.sock", "hand-over", 1}};
    (void)state;
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        char line[128];
        struct net_port_stats s;
        snprintf(line, sizeof line, some[i].device, folder);
        struct net_port_options o = {.name = "p1", .device = line, .ip = 0x0a2a0001, .prefix = 24, .mtu = 2000};
        if (net_port_add(net, &o, err) != 1)
            fail_msg("%s", err);
        assert_int_equal(net_port_stats(net, 1, &s), 0);
        assert_int_equal(s.queues, some[i].queues);
        assert_string_equal(s.steering, some[i].steering);
        assert_int_equal(net_port_remove(net, "p1", err), 0);
        while (net_reclaim(net))
            ;
    }
}

static int group_setup(void **state)
{
    char line[128];
    unsigned m[6];
    struct net_port_stats s;
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(line, sizeof line, "net_memif0,role=server,socket=%s/a.sock", folder);
    struct net_options o = {.name = "queues test", .memory_bytes = 128 << 20, .workers = WORKERS, .udp_port = UDP};
    struct net_port_options p0 = {.name = "p0", .device = line, .ip = ME, .prefix = 24, .mtu = MTU, .queues = 2};
    if (net_start(&o, &net, err) || net_port_add(net, &p0, err) != 0 || net_thread_attach() || net_port_stats(net, 0, &s)) {
        fprintf(stderr, "%s\n", err);
        return -1;
    }
    if (sscanf(s.mac, "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) != 6)
        return -1;
    for (int i = 0; i < 6; i++)
        local.mac[i] = (uint8_t)m[i];
    far_open(2);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    raw_close(far);
    net_stop(net);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(port__has_a_pair_for_each_worker),
        cmocka_unit_test(rx__each_worker_has_its_queue_and_hands_over_the_rest),
        cmocka_unit_test(arp__what_comes_in_elsewhere_is_for_the_owner),
        cmocka_unit_test(arp__a_neighbour_that_was_silent_is_the_owners_until_it_answers),
        cmocka_unit_test(arp__for_a_port_that_went_is_given_back),
        cmocka_unit_test(echo__is_answered_on_its_queue),
        cmocka_unit_test(impair__is_a_link_of_each_queue),
        cmocka_unit_test(memif__a_client_comes_again_with_fewer_queues_and_with_all),
        cmocka_unit_test(add__more_queues_than_there_can_be),
        cmocka_unit_test(add__takes_what_is_offered),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
