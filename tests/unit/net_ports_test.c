/* Ports that come, change and go while workers would run: what a worker sees after each change, and that all memory comes back.  This
 * thread is the control thread and both workers, so that each has begun another turn whenever it is to. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "net/net.h"

enum { WORKERS = 2, UDP = 7000, HOSTS = 0x0a460000 };
static char err[NET_ERROR_BYTES];
static struct net *net;

static uint32_t ip_of(unsigned port) { return HOSTS + (port << 8) + 1; }

__attribute__((format(printf, 3, 0))) static int add_as(unsigned port, uint16_t mtu, const char *format)
{
    char name[8], device[24];
    snprintf(name, sizeof name, "p%u", port);
    snprintf(device, sizeof device, format, port);
    struct net_port_options o = {.name = name, .device = device, .ip = ip_of(port), .prefix = 24, .mtu = mtu, .queues = 1};
    return net_port_add(net, &o, err);
}

static int add(unsigned port, uint16_t mtu) { return add_as(port, mtu, "net_null%u,no-rx=1"); }

/* As the daemon does, and its watch after it: some pools need several looks. */
static void settle(void)
{
    for (int i = 0; i < 3; i++)
        net_reclaim(net);
}

/* A packet to a neighbour on that port's network, by that worker, which has it from another one perhaps; what became of it. */
static enum chi_drop sent_for(unsigned from, unsigned worker, unsigned port)
{
    uint64_t before[CHI_DROP_COUNT];
    memcpy(before, net_drops(net, worker), sizeof before);
    struct net_packet *p = net_packet_get_st(net, worker);
    assert_non_null(p);
    p->length = 10;
    p->ip = ip_of(port) + 1;
    assert_int_equal(net_send_st(net, worker, from, p, net_now_ns()), NET_SENT);
    net_flush_st(net, worker);
    for (int d = 0; d < CHI_DROP_COUNT; d++)
        if (net_drops(net, worker)[d] != before[d])
            return (enum chi_drop)d;
    return CHI_DROP_NONE;
}

static enum chi_drop sent(unsigned worker, unsigned port) { return sent_for(worker, worker, port); }

static void empty(void)
{
    struct net_port_stats s;
    while (net_port_stats(net, 0, &s) == 0)
        assert_int_equal(net_port_remove(net, s.name, err), 0);
    settle();
}

static void port__added_goes_to_the_worker_with_the_fewest(void **state)
{
    (void)state;
    assert_int_equal(add(0, 1500), 0);
    assert_int_equal(add(1, 1500), 1);
    assert_int_equal(add(2, 1500), 2);
    settle();
    assert_int_equal(net_route(net, ip_of(0) + 1), 0);
    assert_int_equal(net_route(net, ip_of(1) + 1), 1);
    assert_int_equal(net_route(net, ip_of(2) + 1), 0);
    assert_int_equal(net_port_remove(net, "p0", err), 0);
    assert_int_equal(net_port_remove(net, "p2", err), 0);
    settle();
    assert_int_equal(add(3, 1500), 1);
    assert_int_equal(net_route(net, ip_of(3) + 1), 0);
    assert_int_equal(net_route(net, ip_of(0) + 1), -1);
    assert_int_equal(net_port_remove(net, "p0", err), -ENOENT);
    assert_non_null(strstr(err, "no port p0"));
    empty();
}

static void port__removed_has_no_route_and_its_packets_stay_whole(void **state)
{
    (void)state;
    struct net_packet *held, *in[NET_BURST];
    struct net_port_stats s;
    assert_int_equal(add(0, 1500), 0);
    assert_int_equal(add_as(1, 1500, "net_ring%u"), 1);
    settle();
    assert_int_equal(sent(0, 0), CHI_DROP_NO_NEIGHBOUR);
    held = net_packet_get_st(net, 0); /* of p0's pool */
    assert_int_equal(net_port_remove(net, "p0", err), 0);
    memset(held->data, 0xa5, held->cap); /* before net_reclaim all of it stays */
    assert_true(net_reclaim(net));       /* net_ring may keep packets, and this one is out: its pool waits */
    assert_true(net_reclaim(net));
    assert_int_equal(sent(0, 0), CHI_DROP_NO_ROUTE);
    assert_int_equal(sent_for(1, 0, 1), CHI_DROP_NO_ROUTE); /* it is the other worker's: handed over too late */
    assert_int_equal(sent(1, 1), CHI_DROP_NO_NEIGHBOUR);
    assert_int_equal(held->data[100], 0xa5);
    net_packet_free(held);
    settle();
    assert_false(net_reclaim(net));
    assert_int_equal(net_port_stats(net, 0, &s), 0);
    assert_string_equal(s.name, "p1");
    assert_int_equal(net_port_stats(net, 1, &s), -ENOENT);
    assert_int_equal(net_rx_st(net, 0, net_now_ns(), in), 0);
    empty();
}

static void port__the_last_one_leaves_packets_to_be_had(void **state)
{
    (void)state;
    assert_int_equal(add(0, 1500), 0);
    settle();
    assert_int_equal(net_port_remove(net, "p0", err), 0);
    assert_true(net_reclaim(net)); /* its pool serves on */
    for (int i = 0; i < 10000; i++)
        assert_int_equal(sent(i % 2, 0), CHI_DROP_NO_ROUTE);
    assert_int_equal(add(0, 1500), 0);
    settle();
    assert_false(net_reclaim(net)); /* now it could go */
    assert_int_equal(sent(0, 0), CHI_DROP_NO_NEIGHBOUR);
    assert_int_equal(net_port_remove(net, "p0", err), 0);
    net_reclaim(net);
}

static void port__again_and_again_takes_no_memory(void **state)
{
    (void)state;
    assert_int_equal(add(0, 1500), 0);
    for (int i = 0; i < 100; i++) { /* more than there is, by far */
        if (add(1, 9000) != 1)
            fail_msg("round %d: %s", i, err);
        assert_int_equal(net_port_remove(net, "p1", err), 0);
        settle();
    }
    empty();
}

static void set_off__takes_it_out_and_puts_it_back(void **state)
{
    (void)state;
    struct net_port_stats s;
    assert_int_equal(add(0, 1500), 0);
    settle();
    assert_true(net_reaches(net, ip_of(0) + 1));
    assert_true(net_ports_watch(net)); /* that it changed is told once */
    assert_false(net_ports_watch(net));
    for (int i = 0; i < 2; i++) { /* twice is as once */
        assert_int_equal(net_port_set_off(net, "p0", true, err), 0);
        settle();
        assert_int_equal(sent(0, 0), CHI_DROP_NO_ROUTE);
        assert_int_equal(net_port_stats(net, 0, &s), 0);
        assert_int_equal(s.link, NET_LINK_OFF);
        assert_false(net_reaches(net, ip_of(0) + 1));
    }
    assert_true(net_ports_watch(net));
    assert_int_equal(add(1, 1500), 1);
    assert_int_equal(net_port_set_off(net, "p0", false, err), 0);
    settle();
    assert_int_equal(sent(0, 0), CHI_DROP_NO_NEIGHBOUR);
    assert_int_equal(net_port_stats(net, 0, &s), 0);
    assert_int_equal(s.link, NET_LINK_UP);
    assert_true(net_ports_watch(net));
    assert_false(net_ports_watch(net));
    assert_int_equal(net_port_set_off(net, "none", true, err), -ENOENT);
    empty();
}

static void set_mtu__between_the_transport_s_and_the_packets_room(void **state)
{
    (void)state;
    struct net_port_stats s;
    assert_int_equal(add(0, 2000), 0);
    settle();
    assert_int_equal(net_port_set_mtu(net, "p0", 1499, err), -EMSGSIZE);
    assert_non_null(strstr(err, "less than the 1500"));
    assert_int_equal(net_port_set_mtu(net, "p0", 2001, err), -EMSGSIZE);
    assert_non_null(strstr(err, "room for an MTU of 2000"));
    assert_int_equal(net_port_set_mtu(net, "p0", 1500, err), 0);
    assert_int_equal(net_port_stats(net, 0, &s), 0);
    assert_int_equal(s.mtu, 1500);
    assert_int_equal(net_port_set_mtu(net, "none", 1500, err), -ENOENT);
    empty();
}

static void add__when_the_transport_is_made(void **state)
{
    (void)state;
    struct net_port_options o = {.name = "p0", .device = "net_ring7", .ip = ip_of(7), .prefix = 24, .mtu = 1500};
    assert_int_equal(add(0, 1500), 0);
    assert_int_equal(net_port_add(net, &o, err), -EEXIST);
    assert_non_null(strstr(err, "one of that name"));
    o.name = "p7";
    o.mtu = 1400;
    assert_int_equal(net_port_add(net, &o, err), -EMSGSIZE);
    assert_non_null(strstr(err, "less than the 1500"));
    o.mtu = 1500;
    for (unsigned i = 1; i < NET_PORTS_MAX; i++)
        assert_int_equal(add(i, 1500), i);
    o.ip = ip_of(20);
    o.device = "net_ring20";
    assert_int_equal(net_port_add(net, &o, err), -ENOSPC);
    assert_non_null(strstr(err, "at most 8 ports"));
    empty();
    assert_int_equal(net_payload_max(net), 1500 - 28);
}

static int group_setup(void **state)
{
    struct net_options o = {.name = "ports test", .memory_bytes = 160 << 20, .workers = WORKERS, .udp_port = UDP, .packets = 2048};
    (void)state;
    if (net_start(&o, &net, err) || net_thread_attach() || add(0, 1500) != 0)
        return -1;
    net_payload_fix(net);
    empty();
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    net_stop(net);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(port__added_goes_to_the_worker_with_the_fewest),
        cmocka_unit_test(port__removed_has_no_route_and_its_packets_stay_whole),
        cmocka_unit_test(port__the_last_one_leaves_packets_to_be_had),
        cmocka_unit_test(port__again_and_again_takes_no_memory),
        cmocka_unit_test(set_off__takes_it_out_and_puts_it_back),
        cmocka_unit_test(set_mtu__between_the_transport_s_and_the_packets_room),
        cmocka_unit_test(add__when_the_transport_is_made),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
