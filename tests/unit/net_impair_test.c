/* A bad link inside a port: datagrams of a raw port at the far end of a memif in the same process, on a time of the
 * test's own. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/be.h"
#include "net/frame.h"
#include "net/net.h"
#include "net/raw.h"

enum { ME = 0x0a280001, PEER = 0x0a280002, UDP = 7000, MTU = 1500, PEER_MTU = 4000, PAYLOAD = 300, PORT = 0 };
#define WAIT_NS 5000000000ull

static char err[NET_ERROR_BYTES], folder[64] = "/tmp/chi-test-XXXXXX", line_server[128], line_client[128];
static struct net *net;
static struct raw *far;
static struct frame_local local = {.ip = ME, .mask = 0xffffff00, .udp_first = UDP, .udp_count = 1},
                          peer = {.ip = PEER, .mask = 0xffffff00, .mac = {0x02, 0x43, 0x0a, 0x28, 0x00, 0x02}};
static const uint64_t START = 1000000;

static int group_setup(void **state)
{
    unsigned m[6];
    struct net_port_stats s;
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(line_server, sizeof line_server, "net_memif0,role=server,socket=%s/a.sock", folder);
    snprintf(line_client, sizeof line_client, "net_memif1,role=client,socket=%s/a.sock", folder);
    struct net_options o = {.name = "impair test", .memory_bytes = 128 << 20, .workers = 1, .udp_port = UDP};
    struct net_port_options p0 = {.name = "p0", .device = line_server, .ip = ME, .prefix = 24, .mtu = MTU};
    if (net_start(&o, &net, err) || net_port_add(net, &p0, err) ||
        raw_open(line_client, PEER, PEER_MTU, 0, &far, err) || net_thread_attach()) {
        fprintf(stderr, "%s\n", err);
        return -1;
    }
    uint64_t until = net_now_ns() + WAIT_NS;
    while (!raw_up(far) && net_now_ns() < until)
        sched_yield();
    uint8_t none[64];
    raw_receive(far, none, sizeof none); /* a memif client offers its buffers when it first receives */
    if (net_port_stats(net, PORT, &s) ||
        sscanf(s.mac, "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) != 6)
        return -1;
    for (int i = 0; i < 6; i++)
        local.mac[i] = (uint8_t)m[i];
    return raw_up(far) ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    raw_close(far);
    net_stop(net);
    return rmdir(folder);
}

static int link_out(void **state)
{
    (void)state;
    return net_impair_set(net, PORT, NULL, 0);
}

/* A datagram whose bytes follow from its number. */
static void send(uint32_t number)
{
    uint8_t f[FRAME_HEADERS + PAYLOAD];
    struct frame_head h;
    frame_head_init(&h, &peer, ME, local.mac);
    frame_head_write(&h, f, 4321, UDP, PAYLOAD, 0);
    be32_put(f + FRAME_HEADERS, number);
    memset(f + FRAME_HEADERS + 4, (int)number & 255, PAYLOAD - 4);
    uint64_t until = net_now_ns() + WAIT_NS;
    while (!raw_send(far, f, sizeof f))
        assert_true(net_now_ns() < until);
}

static bool intact(const struct net_packet *p)
{
    if (p->length != PAYLOAD)
        return false;
    for (uint32_t i = 4; i < PAYLOAD; i++)
        if (p->data[i] != p->data[3])
            return false;
    return true;
}

/* Takes in what there is at that time.  Appends the numbers of the datagrams to order[] and frees them. */
static unsigned take(uint64_t now_ns, uint32_t *order)
{
    struct net_packet *p[NET_BURST];
    unsigned n = net_rx_st(net, 0, now_ns, p);
    for (unsigned i = 0; i < n; i++) {
        assert_true(intact(p[i]));
        order[i] = be32_get(p[i]->data);
        net_packet_free(p[i]);
    }
    return n;
}

static uint64_t received(void)
{
    struct net_port_stats s;
    assert_int_equal(net_port_stats(net, PORT, &s), 0);
    return s.rx_packets;
}

static struct impair_settings put_in(uint64_t seed, struct impair_settings s)
{
    assert_int_equal(net_impair_set(net, PORT, &s, seed), 0);
    return s;
}

static void impair__refuses_what_it_cannot(void **state)
{
    struct impair_settings s = impair_none;
    (void)state;
    assert_int_equal(net_impair_set(net, 1, &s, 1), -ENOENT);
    s.burst = 0;
    assert_int_equal(net_impair_set(net, PORT, &s, 1), -EINVAL);
    assert_null(net_impair_stats(net, PORT, 0));
    assert_int_equal(net_impair_set(net, PORT, NULL, 1), 0);
}

static void impair__holds_packets_until_they_are_due(void **state)
{
    struct impair_settings s = impair_none;
    uint32_t order[NET_BURST];
    (void)state;
    s.delay_ns = 1000;
    put_in(1, s);
    uint64_t before = received();
    for (uint32_t i = 0; i < 10; i++)
        send(i);
    while (received() < before + 10)
        assert_int_equal(take(START, order), 0);
    assert_int_equal(take(START + 999, order), 0);
    assert_int_equal(take(START + 1000, order), 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(order[i], i);
    assert_int_equal(net_impair_stats(net, PORT, 0)->sent, 10);
    assert_int_equal(take(START + 2000, order), 0);
}

static void impair__duplicates_are_packets_of_their_own(void **state)
{
    struct impair_settings s = impair_none;
    struct net_packet *p[NET_BURST];
    unsigned n = 0;
    (void)state;
    s.dup_ppb = IMPAIR_PPB;
    put_in(1, s);
    for (uint32_t i = 0; i < 4; i++)
        send(i);
    for (uint64_t until = net_now_ns() + WAIT_NS; n < 8 && net_now_ns() < until;)
        n += net_rx_st(net, 0, START, p + n);
    assert_int_equal(n, 8);
    for (unsigned i = 0; i < n; i++) {
        assert_true(intact(p[i]));
        assert_int_equal(be32_get(p[i]->data), i / 2);
        memset(p[i]->data, 0, PAYLOAD); /* the other one does not change with it */
        p[i]->length = 0;
    }
    for (unsigned i = 0; i < n; i++)
        net_packet_free(p[i]);
    assert_int_equal(net_impair_stats(net, PORT, 0)->duplicated, 4);
}

/* Damage to Ethernet, IP and UDP headers is dropped by the port by its reason; what comes through differs in one bit of
 * its payload. */
static void impair__damage_reaches_the_port(void **state)
{
    enum { SENT = 2000 };
    struct impair_settings s = impair_none;
    uint64_t drops[CHI_DROP_COUNT], dropped = 0, came = 0;
    (void)state;
    s.corrupt_ppb = IMPAIR_PPB;
    put_in(5, s);
    memcpy(drops, net_drops(net, 0), sizeof drops);
    for (uint32_t i = 0; i < SENT; i++) {
        uint64_t before = received(), until = net_now_ns() + WAIT_NS;
        struct net_packet *p[NET_BURST];
        send(0);
        do {
            unsigned n = net_rx_st(net, 0, START, p);
            for (unsigned k = 0; k < n; k++) {
                int turned = 0;
                assert_int_equal(p[k]->length, PAYLOAD);
                for (uint32_t b = 0; b < PAYLOAD; b++)
                    turned += __builtin_popcount(p[k]->data[b]);
                came += turned == 1;
                dropped += turned == 0; /* the sender's port number, or the unused checksum: not seen here */
                net_packet_free(p[k]);
            }
        } while (received() == before && net_now_ns() < until);
    }
    assert_int_equal(net_impair_stats(net, PORT, 0)->corrupted, SENT);
    static const enum chi_drop reasons[] = {CHI_DROP_LINK_TYPE, CHI_DROP_IP_CHECKSUM, CHI_DROP_UDP_LENGTH,
                                            CHI_DROP_UDP_PORT};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        assert_true(net_drops(net, 0)[reasons[i]] > drops[reasons[i]]);
    for (int d = 0; d < CHI_DROP_COUNT; d++)
        dropped += net_drops(net, 0)[d] - drops[d];
    assert_int_equal(came + dropped, SENT);
    assert_in_range(came, SENT * 8 / 10, SENT * 95 / 100);
}

static void impair__truncated_packets_are_short(void **state)
{
    struct impair_settings s = impair_none;
    uint32_t order[NET_BURST];
    uint64_t before = net_drops(net, 0)[CHI_DROP_LINK_TRUNCATED], until = net_now_ns() + WAIT_NS, in = received();
    (void)state;
    s.truncate_ppb = IMPAIR_PPB;
    put_in(1, s);
    for (uint32_t i = 0; i < 50; i++)
        send(i);
    while (received() < in + 50 && net_now_ns() < until)
        assert_int_equal(take(START, order), 0);
    assert_int_equal(net_drops(net, 0)[CHI_DROP_LINK_TRUNCATED], before + 50);
}

static void impair__drops_what_is_longer_than_a_frame(void **state)
{
    static uint8_t f[PEER_MTU];
    struct impair_settings s = impair_none;
    uint32_t order[NET_BURST];
    uint64_t until = net_now_ns() + WAIT_NS;
    (void)state;
    put_in(1, s);
    assert_true(raw_send(far, f, sizeof f));
    while (!net_impair_stats(net, PORT, 0)->received && net_now_ns() < until)
        assert_int_equal(take(START, order), 0);
    assert_int_equal(net_impair_stats(net, PORT, 0)->too_long, 1);
    assert_int_equal(net_impair_stats(net, PORT, 0)->received_bytes, sizeof f);
}

/* Packets that are under way when the link is taken out go back to the pool: it would be empty after so many. */
static void impair__taken_out_frees_what_was_under_way(void **state)
{
    struct impair_settings s = impair_none;
    uint32_t order[NET_BURST];
    (void)state;
    s.delay_ns = IMPAIR_TIME_MAX_NS;
    s.dup_ppb = IMPAIR_PPB;
    for (int round = 0; round < 20; round++) {
        put_in(1, s);
        for (uint32_t i = 0; i < 500; i++) {
            uint64_t before = received(), until = net_now_ns() + WAIT_NS;
            send(i);
            while (received() == before && net_now_ns() < until)
                assert_int_equal(take(START, order), 0);
        }
        const struct impair_stats *stats = net_impair_stats(net, PORT, 0);
        assert_int_equal(stats->received, 500);
        assert_int_equal(stats->no_memory, 0);
        assert_int_equal(stats->duplicated, 500);
        assert_int_equal(stats->queue_drops, 0);
        assert_int_equal(net_impair_set(net, PORT, NULL, 0), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(impair__refuses_what_it_cannot, link_out),
        cmocka_unit_test_teardown(impair__holds_packets_until_they_are_due, link_out),
        cmocka_unit_test_teardown(impair__duplicates_are_packets_of_their_own, link_out),
        cmocka_unit_test_teardown(impair__damage_reaches_the_port, link_out),
        cmocka_unit_test_teardown(impair__truncated_packets_are_short, link_out),
        cmocka_unit_test_teardown(impair__drops_what_is_longer_than_a_frame, link_out),
        cmocka_unit_test_teardown(impair__taken_out_frees_what_was_under_way, link_out),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
