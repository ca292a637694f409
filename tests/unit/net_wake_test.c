/* Ports that interrupt: net_vhost and net_virtio_user joined by a socket in one process, worker 0 and 1 of one node; worker 2 has a
 * port that cannot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/net.h"

enum { PORTS = 2, WORKERS = 3, WAIT_MS = 30000 };

static char err[NET_ERROR_BYTES], folder[64] = "/tmp/chi-test-XXXXXX";
static struct net *net;
static int epoll_fd[WORKERS];
static uint32_t hosts = 9; /* the next neighbour to ask for: each is asked for at once only the first time */

static uint32_t network_of(unsigned port)
{
    return 0x0a2a0000u + (port << 8);
}

static int port_add(unsigned port, const char *device)
{
    struct net_port_options o = {.name = device, .device = device, .ip = network_of(port) + 1, .prefix = 24, .mtu = 1500, .queues = 1};
    int rc = net_port_add(net, &o, err);
    if (rc < 0)
        fprintf(stderr, "%s\n", err);
    return rc;
}

static int group_setup(void **state)
{
    (void)state;
    char device[128];
    struct net_options o = {.name = "wake test", .memory_bytes = 64 << 20, .workers = WORKERS, .udp_port = 7000};
    if (!mkdtemp(folder) || net_start(&o, &net, err) || net_thread_attach())
        return -1;
    for (int i = 0; i < WORKERS; i++)
        if ((epoll_fd[i] = epoll_create1(EPOLL_CLOEXEC)) < 0)
            return -1;
    snprintf(device, sizeof device, "net_vhost0,iface=%s/v.sock", folder);
    if (port_add(0, device) != 0)
        return -1;
    snprintf(device, sizeof device, "net_virtio_user0,path=%s/v.sock,queues=1", folder);
    return port_add(1, device) == 1 && port_add(2, "net_ring0") == 2 ? 0 : -1;
}

static int group_teardown(void **state)
{
    char path[96];
    (void)state;
    for (int i = 0; i < WORKERS; i++)
        close(epoll_fd[i]);
    net_thread_detach();
    net_stop(net);
    snprintf(path, sizeof path, "%s/v.sock", folder);
    unlink(path);
    return rmdir(folder);
}

static uint64_t received(unsigned port)
{
    struct net_port_stats s;
    assert_int_equal(net_port_stats(net, port, &s), 0);
    return s.rx_packets;
}

/* Takes in all that a worker's port has, until `packets` came in all. */
static void take_in(unsigned worker, uint64_t packets)
{
    struct net_packet *in[NET_BURST];
    uint64_t until = net_now_ns() + WAIT_MS * 1000000ull;
    while (received(worker) < packets) {
        assert_int_equal(net_rx_st(net, worker, net_now_ns(), in), 0); /* questions for other hosts: dropped */
        assert_true(net_now_ns() < until);
    }
}

/* An ARP request leaves the worker's port. */
static void send_one(unsigned worker)
{
    struct net_packet *p = net_packet_get_st(net, worker);
    assert_non_null(p);
    p->ip = network_of(worker) + hosts++;
    p->port = 7000;
    p->length = 8;
    net_send_st(net, worker, worker, p, net_now_ns());
    net_flush_st(net, worker);
}

static bool woken(unsigned worker, int wait_ms)
{
    struct epoll_event ev;
    return epoll_wait(epoll_fd[worker], &ev, 1, wait_ms) == 1;
}

/* As a worker does it: true when it could sleep now. */
static void arm(unsigned worker)
{
    struct net_packet *in[NET_BURST];
    uint64_t until = net_now_ns() + WAIT_MS * 1000000ull;
    while (!net_wake_arm_st(net, worker, epoll_fd[worker])) /* the two find each other */
        assert_true(net_now_ns() < until);
    assert_int_equal(net_rx_st(net, worker, net_now_ns(), in), 0);
    while (woken(worker, 0)) /* what was before */
        ;
}

static void wake__a_packet_ends_the_sleep_each_time(void **state)
{
    (void)state;
    for (unsigned turn = 0; turn < 20; turn++) {
        unsigned to = turn % 2, from = !to;
        arm(to);
        uint64_t before = received(to);
        send_one(from);
        assert_true(woken(to, WAIT_MS));
        net_wake_disarm_st(net, to);
        take_in(to, before + 1);
    }
}

static void wake__a_port_that_is_not_armed_is_quiet(void **state)
{
    (void)state;
    for (unsigned turn = 0; turn < 4; turn++) {
        unsigned to = turn % 2, from = !to;
        arm(to);
        net_wake_disarm_st(net, to);
        uint64_t before = received(to);
        send_one(from);
        take_in(to, before + 1);
        assert_false(woken(to, 0));
    }
}

static void wake__a_driver_without_interrupts_says_no(void **state)
{
    struct net_port_stats s;
    (void)state;
    assert_false(net_wake_arm_st(net, 2, epoll_fd[2]));
    assert_int_equal(net_port_stats(net, 2, &s), 0);
    assert_false(s.interrupts);
    assert_int_equal(net_port_stats(net, 0, &s), 0);
    assert_true(s.interrupts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wake__a_packet_ends_the_sleep_each_time),
        cmocka_unit_test(wake__a_port_that_is_not_armed_is_quiet),
        cmocka_unit_test(wake__a_driver_without_interrupts_says_no),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
