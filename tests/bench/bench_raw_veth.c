/* bench_raw_veth [--xdp] - what AF_PACKET, or AF_XDP, does over a veth pair between two cores without anything of ours above it.
 * Needs root: it makes two network namespaces of its own, which end with it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_raw_pair.h"

enum { MTU = 9000, XDP_MTU = 3300 };

/* Enters a new network namespace and returns a descriptor of it, or -1. */
static int netns_new(void)
{
    if (unshare(CLONE_NEWNET))
        return -1;
    return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* Quiet interfaces: no IPv6, so that the kernel itself sends nothing on them. */
static int veth_make(int a, int mtu)
{
    char command[512];
    snprintf(command, sizeof command,
             "set -e; ip link add chi-a mtu %d netns /proc/%d/fd/%d type veth peer name chi-b mtu %d; "
             "echo 1 >/proc/sys/net/ipv6/conf/chi-b/disable_ipv6; ip link set chi-b up; "
             "nsenter --net=/proc/%d/fd/%d sh -c 'echo 1 >/proc/sys/net/ipv6/conf/chi-a/disable_ipv6; ip link set chi-a up'",
             mtu, (int)getpid(), a, mtu, (int)getpid(), a);
    return system(command);
}

int main(int argc, char **argv)
{
    struct raw_pair_options o;
    bool xdp = argc > 1 && !strcmp(argv[1], "--xdp");
    if (!raw_pair_options(argc - xdp, argv + xdp, &o))
        return 2;
    int a = netns_new(), b = netns_new();
    if (a < 0 || b < 0) {
        fprintf(stderr, "bench_raw_veth: no network namespaces (%s): run as root\n", strerror(errno));
        return 77;
    }
    if (veth_make(a, xdp ? XDP_MTU : MTU)) {
        fprintf(stderr, "bench_raw_veth: no veth pair: needs ip (iproute2), nsenter (util-linux)\n");
        return 1;
    }
    struct raw_pair p = {.name = xdp ? "raw_veth_xdp" : "raw_veth",
                         .device = {"net_af_packet0,iface=chi-a", "net_af_packet0,iface=chi-b"},
                         .netns = {a, b},
                         .mtu = xdp ? XDP_MTU : MTU};
    if (xdp) {
        p.device[0] = "net_af_xdp0,iface=chi-a";
        p.device[1] = "net_af_xdp0,iface=chi-b";
    }
    return raw_pair_run(&p, &o);
}
