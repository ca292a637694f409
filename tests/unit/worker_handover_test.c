/* Datagrams between workers: what a full ring or a full list cannot take is dropped, counted, and its packet given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "worker/internal.h"

enum { PACKETS_MAX = 20000 };
static struct net *net;
static struct runtime *rt;

/* How many packets the pool gives. */
static unsigned pool_packets(void)
{
    static struct net_packet *p[PACKETS_MAX];
    unsigned n = 0;
    while (n < PACKETS_MAX && (p[n] = net_packet_get_st(net, 0)))
        n++;
    for (unsigned i = 0; i < n; i++)
        net_packet_free(p[i]);
    return n;
}

static void hand_over__full_ring_and_full_list_drop_count_and_give_back(void **state)
{
    (void)state;
    struct worker *from = rt->worker[0], *to = rt->worker[1];
    unsigned packets = pool_packets();
    worker_enter(from);
    for (int i = 0; i < WORKER_RING_SLOTS; i++)
        assert_true(worker_hand_over_st(from, 1, RING_PACKET_IN, net_packet_get_st(net, 0)));
    assert_false(worker_hand_over_st(from, 1, RING_PACKET_IN, net_packet_get_st(net, 0)));
    assert_int_equal(from->drops[CHI_DROP_HANDOVER_FULL], 1);
    while (route_inbox(to)) /* without the poll of remote_queue, which would take them */
        ;
    assert_int_equal(to->handed_count, WORKER_HANDED_MAX);
    assert_int_equal(to->drops[CHI_DROP_HANDOVER_FULL], WORKER_RING_SLOTS - WORKER_HANDED_MAX);
    while (to->handed_count)
        net_packet_free(to->handed[--to->handed_count]);
    assert_int_equal(pool_packets(), packets);
}

static int setup(void **state)
{
    static const uint32_t cores[] = {0, 0}, nodes[] = {1};
    char err[512]; /* NET_ERROR_BYTES and SCHED_ERROR_BYTES are less */
    const struct net_options no = {.name = "handover", .hugepages = NET_HUGE_OFF, .memory_bytes = 128 << 20, .workers = 2, .udp_port = 7440};
    const struct net_port_options po = {.name = "p0", .device = "net_null0", .ip = 0x0a010001, .prefix = 24, .mtu = 1500};
    (void)state;
    if (net_start(&no, &net, err) || net_port_add(net, &po, err) < 0) {
        fprintf(stderr, "%s\n", err);
        return -1;
    }
    const struct runtime_options o = {.node_id = 1, .workers = 2, .cores = cores, .tasks = 64, .arena_bytes = 1 << 20,
                                      .task_timeout_ns = 1000000000, .nodes = nodes, .node_count = 1, .cluster = "test", .incarnation = 1,
                                      .messages = 16, .window = 16, .pto_us = 200, .delay_target_us = 100, .peers_max = 1, .net = net, .udp_port = 7440};
    rcu_register_thread();
    return runtime_create(&o, &rt, err);
}

static int teardown(void **state)
{
    (void)state;
    runtime_destroy(rt);
    rcu_unregister_thread();
    net_stop(net);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hand_over__full_ring_and_full_list_drop_count_and_give_back)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
