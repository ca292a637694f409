/* Datagrams between workers and ports: what a full ring or a full list cannot take, or no port reaches, is dropped, counted, and
 * its packet given back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "worker/internal.h"
#include "xfer/xfer_int.h"

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
    assert_int_equal(from->rung, 1u << 1); /* the receiver will be woken */
    while (route_inbox(to)) /* without the poll of remote_queue, which would take them */
        ;
    assert_int_equal(to->handed_count, WORKER_HANDED_MAX);
    assert_int_equal(to->drops[CHI_DROP_HANDOVER_FULL], WORKER_RING_SLOTS - WORKER_HANDED_MAX);
    while (to->handed_count)
        net_packet_free(to->handed[--to->handed_count]);
    assert_int_equal(pool_packets(), packets);
}

/* Makes the worker's endpoint say hello to a node at that address. */
static void say_hello(struct worker *w, uint32_t ip)
{
    static struct xfer_out out[2];
    static uint8_t form[64];
    struct xfer_addr addr = {.ip = ip, .port = 7440};
    w->rctx.now_ns = net_now_ns();
    assert_int_equal(xfer_peer_set(w->xfer, 2, &addr), 0);
    out[w->index] = (struct xfer_out){.form = form, .form_length = 40, .deadline_ns = UINT64_MAX};
    worker_enter(w);
    xfer_send(w->xfer, 2, &out[w->index], w->rctx.now_ns);
    assert_int_equal(xfer_tx(w->xfer, w->rctx.now_ns, 8), 1);
}

static void send__that_no_port_reaches_is_counted_and_given_back(void **state)
{
    (void)state;
    struct worker *w = rt->worker[0];
    unsigned packets = pool_packets();
    say_hello(w, 0x0b000001);
    assert_int_equal(net_drops(net, 0)[CHI_DROP_NO_ROUTE], 1);
    assert_int_equal(net_drops(net, 0)[CHI_DROP_NO_NEIGHBOUR] + w->drops[CHI_DROP_NO_ROUTE], 0);
    assert_int_equal(pool_packets(), packets);
}

static void send__by_the_port_of_another_worker_goes_through_its_ring(void **state)
{
    (void)state;
    struct worker *owner = rt->worker[0], *other = rt->worker[1];
    uint64_t asked = net_drops(net, 0)[CHI_DROP_NO_NEIGHBOUR];
    say_hello(other, 0x0a010002);
    assert_int_equal(net_drops(net, 0)[CHI_DROP_NO_NEIGHBOUR], asked);
    worker_enter(owner);
    assert_int_equal(route_inbox(owner), 1);
    assert_int_equal(net_drops(net, 0)[CHI_DROP_NO_NEIGHBOUR], asked + 1); /* it reached the port, which asks for the neighbour */
    assert_int_equal(net_drops(net, 1)[CHI_DROP_NO_NEIGHBOUR], 0);
    net_flush_st(net, 0);
}

/* Without a packet nothing is sent, and the endpoint tries again later. */
static void send__without_a_packet_waits(void **state)
{
    (void)state;
    static struct net_packet *all[PACKETS_MAX];
    struct worker *w = rt->worker[0];
    unsigned n = 0;
    const uint64_t *unroutable = &net_drops(net, 0)[CHI_DROP_NO_ROUTE], before = *unroutable;
    worker_enter(w);
    while (n < PACKETS_MAX && (all[n] = net_packet_get_st(net, 0)))
        n++;
    w->rctx.now_ns += 1000000000; /* the next hello is due */
    xfer_tick(w->xfer, w->rctx.now_ns);
    assert_int_equal(xfer_tx(w->xfer, w->rctx.now_ns, 8), 0);
    assert_int_equal(*unroutable, before);
    while (n)
        net_packet_free(all[--n]);
    assert_int_equal(xfer_tx(w->xfer, w->rctx.now_ns, 8), 1);
    assert_int_equal(*unroutable, before + 1);
}

static void packet__that_the_transport_does_not_need_goes_back(void **state)
{
    (void)state;
    const struct xfer_host *h = &rt->worker[0]->xfer->host;
    struct xfer_packet p;
    unsigned packets = pool_packets();
    assert_true(h->packet_get(h->ctx, &p));
    assert_int_equal(p.cap, net_payload_max(net));
    h->packet_put(h->ctx, &p);
    assert_int_equal(pool_packets(), packets);
}

static const uint32_t cores[] = {0, 0}, nodes[] = {1};
static struct runtime_options options(void)
{
    return (struct runtime_options){.node_id = 1, .workers = 2, .cores = cores, .tasks = 64, .arena_bytes = 1 << 20,
                                    .task_timeout_ns = 1000000000, .nodes = nodes, .node_count = 1, .cluster = "test", .incarnation = 1,
                                    .messages = 16, .window = 32, .pto_us = 321, .delay_target_us = 100, .peer_silence_ms = 1000, .peers_max = 1, .net = net, .udp_port = 7440,
                                    .ack_every = 7, .ack_delay_us = 31, .unasked = 1000, .credit = 2000, .grant_window = 1 << 20, .overcommit = 5, .quantum = 65536,
                                    .peer_memory = 1 << 19, .remote_memory = 1 << 20};
}

static void create__takes_the_options_and_an_unguessable_seed(void **state)
{
    (void)state;
    const struct xfer_config *c = &rt->worker[1]->xfer->config;
    assert_int_equal(c->worker, 1);
    assert_int_equal(c->workers, 2);
    assert_int_equal(c->slots, 16);
    assert_int_equal(c->window_packets, 32);
    assert_int_equal(c->messages_in, 32);
    assert_int_equal(c->pto_min_ns, 321000);
    assert_int_equal(c->ack_every, 7);
    assert_int_equal(c->ack_delay_ns, 31000);
    assert_int_equal(c->unasked_bytes, 1000);
    assert_int_equal(c->credit_bytes, 2000);
    assert_int_equal(c->grant_bytes, 1 << 20);
    assert_int_equal(c->overcommit, 5);
    assert_int_equal(c->quantum_bytes, 65536);
    assert_int_equal(c->peer_memory, 1 << 19);
    assert_int_equal(c->all_memory, 1 << 20);
    assert_int_equal(c->packet_max, net_payload_max(net));
    assert_string_equal(c->cluster, "test");
    struct runtime_options o = options();
    struct runtime *again;
    char err[SCHED_ERROR_BYTES];
    o.peers_max = 0; /* a node without peers yet */
    assert_int_equal(runtime_create(&o, &again, err), 0);
    assert_true(again->worker[1]->xfer->config.session_seed != c->session_seed); /* although all else is the same */
    runtime_destroy(again);
}

static void create__without_memory_says_what_to_lower(void **state)
{
    (void)state;
    struct runtime_options o = options();
    struct runtime *none = NULL;
    char err[SCHED_ERROR_BYTES];
    const uint64_t unmappable[] = {UINT64_C(1) << 50, 0}; /* more than addresses reach; and what mmap refuses as such */
    for (int i = 0; i < 2; i++) {
        o.arena_bytes = unmappable[i];
        assert_int_equal(runtime_create(&o, &none, err), -ENOMEM);
        assert_non_null(strstr(err, "lower memory.size"));
    }
    o = options();
    o.messages = 3; /* no power of two: the transport does not take it */
    assert_int_equal(runtime_create(&o, &none, err), -ENOMEM);
    assert_non_null(strstr(err, "lower limits.messages"));
    assert_null(none);
}

static int setup(void **state)
{
    char err[512]; /* NET_ERROR_BYTES and SCHED_ERROR_BYTES are less */
    const struct net_options no = {.name = "handover", .hugepages = NET_HUGE_OFF, .memory_bytes = 128 << 20, .workers = 2, .udp_port = 7440};
    const struct net_port_options po = {.name = "p0", .device = "net_null0", .ip = 0x0a010001, .prefix = 24, .mtu = 1500, .queues = 1};
    (void)state;
    if (net_start(&no, &net, err) || net_port_add(net, &po, err) < 0) {
        fprintf(stderr, "%s\n", err);
        return -1;
    }
    const struct runtime_options o = options();
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hand_over__full_ring_and_full_list_drop_count_and_give_back),
        cmocka_unit_test(send__that_no_port_reaches_is_counted_and_given_back),
        cmocka_unit_test(send__without_a_packet_waits),
        cmocka_unit_test(send__by_the_port_of_another_worker_goes_through_its_ring),
        cmocka_unit_test(packet__that_the_transport_does_not_need_goes_back),
        cmocka_unit_test(create__takes_the_options_and_an_unguessable_seed),
        cmocka_unit_test(create__without_memory_says_what_to_lower),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
