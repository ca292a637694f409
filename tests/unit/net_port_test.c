/* A port of ours on net_memif, and a raw one at the other end of it in the same process that sends what it likes; a
 * second port on net_ring that belongs to worker 1. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/arp.h"
#include "net/be.h"
#include "net/net.h"
#include "net/raw.h"

enum {
    ME = 0x0a280001,
    PEER = 0x0a280002,
    RING_IP = 0x0a290001,
    UDP_FIRST = 7000,
    WORKERS = 2,
    MTU = 2000,
    PEER_MTU = 4000
};
#define WAIT_NS 5000000000ull

static char err[NET_ERROR_BYTES], folder[64] = "/tmp/chi-test-XXXXXX", line_server[128], line_client[128];
static struct net *net;
static struct raw *far;
static struct frame_local local, peer = {.ip = PEER, .mask = 0xffffff00, .mac = {0x02, 0x43, 0x0a, 0x28, 0x00, 0x02}};

static void mac_read(uint8_t mac[6])
{
    struct net_port_stats s;
    unsigned m[6];
    assert_int_equal(net_port_stats(net, 0, &s), 0);
    assert_int_equal(sscanf(s.mac, "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]), 6);
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)m[i];
}

static int group_setup(void **state)
{
    (void)state;
    cpu_set_t before, after;
    if (!mkdtemp(folder) || sched_getaffinity(0, sizeof before, &before))
        return -1;
    snprintf(line_server, sizeof line_server, "net_memif0,role=server,socket=%s/a.sock", folder);
    snprintf(line_client, sizeof line_client, "net_memif1,role=client,socket=%s/a.sock", folder);
    struct net_options o = {.name = "port test", .memory_bytes = 128 << 20, .workers = WORKERS, .udp_port = UDP_FIRST};
    struct net_port_options p0 = {.name = "p0", .device = line_server, .ip = ME, .prefix = 24, .mtu = MTU};
    struct net_port_options p1 = {.name = "p1", .device = "net_ring0", .ip = RING_IP, .prefix = 24, .mtu = 1500, .queues = 1};
    if (net_start(&o, &net, err) || net_port_add(net, &p0, err) != 0 || net_port_add(net, &p1, err) != 1 ||
        raw_open(line_client, PEER, PEER_MTU, 0, &far, err) || net_thread_attach()) {
        fprintf(stderr, "%s\n", err);
        return -1;
    }
    uint64_t until = net_now_ns() + WAIT_NS;
    while (!raw_up(far) && net_now_ns() < until)
        sched_yield();
    raw_receive(far, peer.mac, 0); /* a memif client offers its buffers when it first receives */
    local = (struct frame_local){.ip = ME, .mask = 0xffffff00, .udp_first = UDP_FIRST, .udp_count = WORKERS};
    mac_read(local.mac);
    sched_getaffinity(0, sizeof after, &after);
    return raw_up(far) && CPU_EQUAL(&before, &after) ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    raw_close(far);
    net_stop(net);
    return rmdir(folder); /* the socket is gone with its port */
}

static uint64_t drops(unsigned worker, enum chi_drop d)
{
    return net_drops(net, worker)[d];
}

/* Polls until a datagram is there or the time is over. */
static struct net_packet *receive(unsigned worker)
{
    struct net_packet *p[NET_BURST];
    uint64_t until = net_now_ns() + WAIT_NS;
    do {
        unsigned n = net_rx_st(net, worker, net_now_ns(), p);
        if (n) {
            assert_int_equal(n, 1);
            return p[0];
        }
    } while (net_now_ns() < until);
    return NULL;
}

/* The next frame at the far end. */
static uint32_t far_receive(uint8_t *out, uint32_t cap)
{
    uint64_t until = net_now_ns() + WAIT_NS;
    uint32_t n;
    do
        n = raw_receive(far, out, cap);
    while (!n && net_now_ns() < until);
    return n;
}

static uint32_t datagram(uint8_t *f, uint16_t to_port, uint32_t length)
{
    struct frame_head h;
    frame_head_init(&h, &peer, ME, local.mac);
    frame_head_write(&h, f, 4321, to_port, length, 0);
    for (uint32_t i = 0; i < length; i++)
        f[FRAME_HEADERS + i] = (uint8_t)(i * 31 + 1);
    return FRAME_HEADERS + length;
}

static void ip_seal(uint8_t *f)
{
    be16_put(f + 24, 0);
    be16_put(f + 24, (uint16_t)~checksum_fold(checksum_add(0, f + 14, 20)));
}

static void introduce(void)
{
    struct arp a = {.me = peer};
    uint8_t f[ARP_BYTES], answer[128];
    arp_request(&a, ME, f);
    assert_true(raw_send(far, f, sizeof f));
    assert_null(({
        struct net_packet *p[NET_BURST];
        net_rx_st(net, 0, net_now_ns(), p) ? p[0] : NULL;
    }));
    assert_int_equal(far_receive(answer, sizeof answer), ARP_BYTES);
    assert_int_equal(be16_get(answer + 20), 2);
    assert_memory_equal(answer + 22, local.mac, 6);
    assert_int_equal(be32_get(answer + 28), ME);
}

static void net_rx__answers_arp(void **state)
{
    (void)state;
    introduce();
}

static void net_rx__takes_datagrams_of_all_sizes(void **state)
{
    (void)state;
    static uint8_t f[MTU + 14], want[MTU];
    for (uint32_t length = 0; length <= MTU - 28; length += length < 64 ? 1 : 61) {
        assert_true(raw_send(far, f, datagram(f, UDP_FIRST, length)));
        struct net_packet *p = receive(0);
        assert_non_null(p);
        assert_int_equal(p->length, length);
        assert_int_equal(p->ip, PEER);
        assert_int_equal(p->port, 4321);
        assert_int_equal(p->local_port, UDP_FIRST);
        memcpy(want, f + FRAME_HEADERS, length);
        assert_memory_equal(p->data, want, length);
        net_packet_free(p);
    }
}

static void net_rx__returns_what_is_for_another_worker(void **state)
{
    (void)state;
    uint8_t f[128];
    assert_true(raw_send(far, f, datagram(f, UDP_FIRST + 1, 8)));
    struct net_packet *p = receive(0);
    assert_non_null(p);
    assert_int_equal(p->local_port, UDP_FIRST + 1);
    net_packet_free(p);
}

/* Sends a frame and waits until it was counted, as that and nothing else. */
static void expect_drop(const uint8_t *f, uint32_t n, enum chi_drop want)
{
    uint64_t before[CHI_DROP_COUNT], until = net_now_ns() + WAIT_NS;
    struct net_packet *p[NET_BURST];
    memcpy(before, net_drops(net, 0), sizeof before);
    assert_true(raw_send(far, f, n));
    while (drops(0, want) == before[want] && net_now_ns() < until)
        assert_int_equal(net_rx_st(net, 0, net_now_ns(), p), 0);
    before[want]++;
    for (int d = 0; d < CHI_DROP_COUNT; d++)
        if (net_drops(net, 0)[d] != before[d])
            fail_msg("%s: %llu, expected %llu", chi_drop_name((enum chi_drop)d),
                     (unsigned long long)net_drops(net, 0)[d], (unsigned long long)before[d]);
}

static void net_rx__counts_each_reason(void **state)
{
    (void)state;
    uint8_t f[256];
    uint32_t n = datagram(f, UDP_FIRST, 20);
    expect_drop(f, 13, CHI_DROP_LINK_TRUNCATED);
    expect_drop(f, n - 1, CHI_DROP_LINK_TRUNCATED);
    be16_put(f + 12, 0x86dd);
    expect_drop(f, n, CHI_DROP_LINK_TYPE);
    be16_put(f + 12, ETHERTYPE_ARP);
    expect_drop(f, n, CHI_DROP_LINK_ARP);
    datagram(f, UDP_FIRST, 20);
    f[14] = 0x55;
    expect_drop(f, n, CHI_DROP_IP_HEADER);
    datagram(f, UDP_FIRST, 20);
    f[24] ^= 1;
    expect_drop(f, n, CHI_DROP_IP_CHECKSUM);
    datagram(f, UDP_FIRST, 20);
    be16_put(f + 20, 0x2000);
    ip_seal(f);
    expect_drop(f, n, CHI_DROP_IP_FRAGMENT);
    datagram(f, UDP_FIRST, 20);
    be32_put(f + 30, ME + 9);
    ip_seal(f);
    expect_drop(f, n, CHI_DROP_IP_ADDRESS);
    datagram(f, UDP_FIRST, 20);
    f[23] = 6;
    ip_seal(f);
    expect_drop(f, n, CHI_DROP_IP_PROTOCOL);
    datagram(f, UDP_FIRST, 20);
    be16_put(f + 38, 29);
    expect_drop(f, n, CHI_DROP_UDP_LENGTH);
    datagram(f, UDP_FIRST, 20);
    be16_put(f + 40, 1);
    expect_drop(f, n, CHI_DROP_UDP_CHECKSUM);
    datagram(f, UDP_FIRST + WORKERS, 20);
    expect_drop(f, n, CHI_DROP_UDP_PORT);
}

/* The far end has a larger MTU, as a misconfigured peer would: its frames are dropped whole, and nothing is written
 * behind ours. */
static void net_rx__drops_what_is_longer_than_the_mtu(void **state)
{
    (void)state;
    static uint8_t f[PEER_MTU + 14];
    uint8_t small[64];
    for (uint32_t length = MTU + 64; length <= PEER_MTU - 28; length += 100)
        expect_drop(f, datagram(f, UDP_FIRST, length), CHI_DROP_LINK_TRUNCATED);
    assert_true(raw_send(far, small, datagram(small, UDP_FIRST, 9)));
    struct net_packet *p = receive(0);
    assert_non_null(p);
    assert_int_equal(p->length, 9);
    net_packet_free(p);
}

static void net_rx__answers_icmp_echo(void **state)
{
    (void)state;
    uint8_t f[128], answer[256];
    struct net_packet *p[NET_BURST];
    uint32_t n = datagram(f, 0, 40);
    f[23] = IP_PROTOCOL_ICMP;
    ip_seal(f);
    memset(f + 34, 0, 8);
    f[34] = 8;
    be16_put(f + 38, 77);
    be16_put(f + 36, (uint16_t)~checksum_fold(checksum_add(0, f + 34, 48)));
    assert_true(raw_send(far, f, n));
    assert_int_equal(net_rx_st(net, 0, net_now_ns(), p), 0);
    assert_int_equal(far_receive(answer, sizeof answer), n);
    assert_memory_equal(answer, peer.mac, 6);
    assert_int_equal(be32_get(answer + 26), ME);
    assert_int_equal(be32_get(answer + 30), PEER);
    assert_int_equal(answer[34], 0);
    assert_memory_equal(answer + 38, f + 38, n - 38);
    assert_int_equal(checksum_fold(checksum_add(0, answer + 14, 20)), 0xffff);
    assert_int_equal(checksum_fold(checksum_add(0, answer + 34, 48)), 0xffff);
}

static void net_send__fills_every_header(void **state)
{
    (void)state;
    static uint8_t f[MTU + 14];
    introduce();
    assert_int_equal(net_route(net, PEER), 0);
    for (uint32_t length = 0; length <= net_payload_max(net); length += length < 64 ? 1 : 97) {
        struct net_packet *p = net_packet_get_st(net, 0);
        assert_non_null(p);
        assert_int_equal(p->cap, net_payload_max(net));
        memset(p->data, (int)length + 1, length);
        p->length = length;
        p->ip = PEER;
        p->port = 9999;
        net_send_st(net, 0, 1, p, net_now_ns());
        net_flush_st(net, 0);
        assert_int_equal(far_receive(f, sizeof f), FRAME_HEADERS + length);
        struct frame_local other = peer; /* what went out passes the checks of who gets it */
        struct frame_in in = {0};
        other.udp_first = 9999;
        other.udp_count = 1;
        assert_int_equal(frame_check(&other, f, FRAME_HEADERS + length, &in), CHI_DROP_NONE);
        assert_int_equal(in.kind, FRAME_IS_UDP);
        assert_int_equal(in.ip, ME);
        assert_int_equal(in.port, UDP_FIRST + 1);
        assert_int_equal(in.length, length);
        for (uint32_t i = 0; i < length; i++)
            assert_int_equal(f[FRAME_HEADERS + i], (uint8_t)(length + 1));
    }
}

static void send_to(unsigned worker, uint32_t ip)
{
    struct net_packet *p = net_packet_get_st(net, worker);
    assert_non_null(p);
    p->length = 10;
    p->ip = ip;
    p->port = 1;
    net_send_st(net, worker, worker, p, net_now_ns());
    net_flush_st(net, worker);
}

static void net_send__asks_for_a_neighbour(void **state)
{
    (void)state;
    uint8_t f[128];
    uint64_t before = drops(0, CHI_DROP_NO_NEIGHBOUR);
    send_to(0, PEER + 40);
    assert_int_equal(drops(0, CHI_DROP_NO_NEIGHBOUR), before + 1);
    assert_int_equal(far_receive(f, sizeof f), ARP_BYTES);
    assert_int_equal(be16_get(f + 20), 1);
    assert_int_equal(be32_get(f + 38), PEER + 40);
    assert_int_equal(f[0] & f[5], 0xff);
}

static void net_send__no_route(void **state)
{
    (void)state;
    static const uint32_t none[] = {0x0b000001, 0x0a280000, 0x0a2800ff, ME, 0};
    uint64_t before = drops(0, CHI_DROP_NO_ROUTE);
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(net_route(net, none[i]), -1);
        send_to(0, none[i]);
        assert_int_equal(drops(0, CHI_DROP_NO_ROUTE), before + i + 1);
    }
}

static void net_send__counts_what_a_full_port_does_not_take(void **state)
{
    (void)state;
    struct net_port_stats was, is;
    uint64_t before = drops(0, CHI_DROP_TX_FULL), ignored = 0;
    introduce();
    assert_int_equal(net_port_stats(net, 0, &was), 0);
    enum { SENT = 2000 }; /* nobody polls the far end: its ring has 512 */
    for (int i = 0; i < SENT; i++)
        send_to(0, PEER);
    assert_int_equal(net_port_stats(net, 0, &is), 0);
    uint64_t lost = drops(0, CHI_DROP_TX_FULL) - before;
    assert_true(lost > 0);
    assert_int_equal(is.tx_packets - was.tx_packets + lost, SENT);
    while (raw_sink(far, &ignored) || raw_receive(far, (uint8_t[64]){0}, 64))
        ;
    for (int i = 0; i < 20000; i++) { /* no packet was lost to the pool */
        struct net_packet *p = net_packet_get_st(net, 0);
        assert_non_null(p);
        net_packet_free(p);
    }
}

static void net_ports__belong_to_workers_in_turn(void **state)
{
    (void)state;
    struct net_port_stats s;
    struct net_packet *p[NET_BURST];
    assert_int_equal(net_port_stats(net, 1, &s), 0);
    assert_int_equal(s.worker, 1);
    assert_int_equal(s.link, NET_LINK_UP);
    assert_string_equal(s.name, "p1");
    assert_string_equal(s.device, "net_ring0");
    assert_string_equal(s.driver, "net_ring");
    assert_string_equal(s.ip, "10.41.0.1/24");
    assert_int_equal(net_port_stats(net, 2, &s), -ENOENT);
    assert_int_equal(net_route(net, RING_IP + 1), 1);
    assert_int_equal(net_payload_max(net), 1500 - 28);

    uint64_t before =
        drops(1, CHI_DROP_LINK_ARP); /* the ring loops: our own request comes back, and is no neighbour's */
    send_to(1, RING_IP + 1);
    assert_int_equal(drops(1, CHI_DROP_NO_NEIGHBOUR), 1);
    assert_int_equal(net_rx_st(net, 1, net_now_ns(), p), 0);
    assert_int_equal(drops(1, CHI_DROP_LINK_ARP), before + 1);
}

static void net_port_add__refusals(void **state)
{
    (void)state;
    static const struct {
        struct net_port_options o;
        const char *says;
    } wrong[] = {
        {{.name = "x", .device = "net_ring1", .ip = ME + 3, .prefix = 24, .mtu = 1500}, "overlaps"},
        {{.name = "x", .device = "net_ring1", .ip = 0x0b000001, .prefix = 31, .mtu = 1500}, "prefix"},
        {{.name = "x", .device = "net_ring1", .ip = 0x0b000001, .prefix = 0, .mtu = 1500}, "prefix"},
        {{.name = "x", .device = "net_ring1", .ip = 0x0b0000ff, .prefix = 24, .mtu = 1500}, "broadcast"},
        {{.name = "x", .device = "net_ring1", .ip = 0x0b000001, .prefix = 24, .mtu = 1279}, "MTU"},
        {{.name = "x", .device = "net_ring1", .ip = 0x0b000001, .prefix = 24, .mtu = 9601}, "MTU"},
        {{.name = "x", .device = "0000:01:00.0", .ip = 0x0b000001, .prefix = 24, .mtu = 1500}, "PCI"},
        {{.name = "x", .device = "net_nonsense0", .ip = 0x0b000001, .prefix = 24, .mtu = 1500}, "net_nonsense0"},
        {{.name = "x", .device = "net_af_packet0,iface=chi-none", .ip = 0x0b000001, .prefix = 24, .mtu = 1500},
         "chi-none"},
        {{.name = "x",
          .device = "net_memif7,role=sideways,socket=/tmp/none.sock",
          .ip = 0x0b000001,
          .prefix = 24,
          .mtu = 1500},
         "net_memif7"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        err[0] = 0;
        assert_true(net_port_add(net, &wrong[i].o, err) < 0);
        if (!strstr(err, wrong[i].says) || strchr(err, '\n'))
            fail_msg("\"%s\" does not say \"%s\" in one line", err, wrong[i].says);
    }
}

static void *attach_and_use(void *arg)
{
    (void)arg;
    if (net_thread_attach())
        return "not attached";
    struct net_packet *p = net_packet_get_st(net, 1);
    if (!p)
        return "no packet";
    net_packet_free(p);
    net_thread_detach();
    return NULL;
}

static void net_thread_attach__more_often_than_there_are_places(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        pthread_t t;
        void *wrong;
        assert_int_equal(pthread_create(&t, NULL, attach_and_use, NULL), 0);
        assert_int_equal(pthread_join(t, &wrong), 0);
        assert_null(wrong);
    }
}

static void net_now_ns__follows_the_kernel(void **state)
{
    (void)state;
    struct timespec t;
    uint64_t last = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t now = net_now_ns();
        assert_true(now >= last);
        last = now;
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t kernel = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    assert_true(llabs((int64_t)net_now_ns() - kernel) < 100000000);
}

static void net_start__twice(void **state)
{
    (void)state;
    struct net *second;
    struct net_options o = {.name = "x", .workers = 1, .udp_port = 7000};
    assert_true(net_start(&o, &second, err) < 0);
    assert_non_null(strstr(err, "once"));
    o.workers = 0;
    assert_true(net_start(&o, &second, err) < 0);
    o = (struct net_options){.name = "x", .workers = 16, .udp_port = 65530};
    assert_true(net_start(&o, &second, err) < 0);
    assert_non_null(strstr(err, "65530"));
    o = (struct net_options){.name = "x", .workers = 2, .udp_port = 65534}; /* the highest that the configuration takes */
    assert_true(net_start(&o, &second, err) < 0);
    assert_non_null(strstr(err, "once"));
    o.udp_port = 65535;
    assert_true(net_start(&o, &second, err) < 0);
    assert_non_null(strstr(err, "65536"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(net_send__asks_for_a_neighbour),
        cmocka_unit_test(net_rx__answers_arp),
        cmocka_unit_test(net_rx__takes_datagrams_of_all_sizes),
        cmocka_unit_test(net_rx__returns_what_is_for_another_worker),
        cmocka_unit_test(net_rx__counts_each_reason),
        cmocka_unit_test(net_rx__drops_what_is_longer_than_the_mtu),
        cmocka_unit_test(net_rx__answers_icmp_echo),
        cmocka_unit_test(net_send__fills_every_header),
        cmocka_unit_test(net_send__no_route),
        cmocka_unit_test(net_send__counts_what_a_full_port_does_not_take),
        cmocka_unit_test(net_ports__belong_to_workers_in_turn),
        cmocka_unit_test(net_port_add__refusals),
        cmocka_unit_test(net_thread_attach__more_often_than_there_are_places),
        cmocka_unit_test(net_now_ns__follows_the_kernel),
        cmocka_unit_test(net_start__twice),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
