/* A port of ours on one end of a veth pair, the kernel on the other, in a network namespace of this test's own.  Needs
 * root. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/be.h"
#include "net/net.h"

enum { KERNEL_IP = 0x0a320001, OUR_IP = 0x0a320002, UDP = 7000, KERNEL_UDP = 5000, MTU = 9000 };
#define WAIT_NS 5000000000ull
#define SKIP_UNLESS_ROOT()                                                            \
    if (!net) {                                                                       \
        print_message("skipped: needs root, network namespaces and ip (iproute2)\n"); \
        skip();                                                                       \
    }

static char err[NET_ERROR_BYTES];
static struct net *net;

static int run(const char *command)
{
    int rc = system(command);
    if (rc)
        fprintf(stderr, "failed: %s\n", command);
    return rc;
}

static int port_add(const char *line, uint32_t ip, uint16_t mtu)
{
    struct net_port_options p = {.name = "p0", .device = line, .ip = ip, .prefix = 24, .mtu = mtu};
    err[0] = 0;
    return net_port_add(net, &p, err);
}

static int group_setup(void **state)
{
    (void)state;
    if (geteuid() != 0 || unshare(CLONE_NEWNET))
        return 0; /* each test says that it is skipped */
    if (run("ip link add chi-k type veth peer name chi-d") ||
        run("for i in chi-k chi-d; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done") ||
        run("ip addr add 10.50.0.1/24 dev chi-k && ip link set lo up && ip link set chi-k mtu 9000 up"))
        return -1;
    struct net_options o = {.name = "af_packet", .memory_bytes = 192 << 20, .workers = 1, .udp_port = UDP};
    if (net_start(&o, &net, err) || net_thread_attach()) {
        fprintf(stderr, "%s\n", err);
        return -1;
    }
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    net_stop(net);
    return 0;
}

/* A socket in the group whose number net_af_packet makes of this process and chi-d. */
static int group_take(void)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex("lo")};
    uint32_t group = (uint32_t)PACKET_FANOUT_HASH << 16 | (((uint32_t)getpid() ^ if_nametoindex("chi-d")) & UINT16_MAX);
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &group, sizeof group), 0);
    return fd;
}

/* Before there is a port: what is wrong with the interface, and the command that mends it. */
static void port_add__says_what_the_interface_lacks(void **state)
{
    (void)state;
    SKIP_UNLESS_ROOT();
    const char *line = "net_af_packet0,iface=chi-d";
    assert_int_equal(port_add(line, OUR_IP, MTU), -ENETDOWN);
    assert_non_null(strstr(err, "ip link set dev chi-d up"));
    assert_int_equal(run("ip link set chi-d up"), 0);
    assert_int_equal(port_add(line, OUR_IP, MTU), -EMSGSIZE);
    assert_non_null(strstr(err, "ip link set dev chi-d mtu 9000"));
    assert_int_equal(run("ip link set chi-d mtu 9000 && ip addr add 10.50.0.2/24 dev chi-d"), 0);
    assert_int_equal(port_add(line, OUR_IP, MTU), -EADDRINUSE);
    assert_non_null(strstr(err, "ip addr flush dev chi-d"));
    assert_int_equal(run("ip addr flush dev chi-d"), 0);
    assert_int_equal(port_add("net_af_packet0,iface=chi-d,framesz=2048", OUR_IP, MTU), -EMSGSIZE);
    assert_non_null(strstr(err, "framesz=2048"));
    assert_int_equal(port_add("net_af_packet0,iface=chi-d,framesz=10240,blocksz=16384", OUR_IP, MTU), -EINVAL);
    assert_non_null(strstr(err, "blocksz"));
    assert_int_equal(port_add("net_af_packet0,iface=chi-d,qpairs=2", OUR_IP, MTU), -EINVAL); /* the node has one worker */
    assert_non_null(strstr(err, "what comes in on all but 1 of them would be lost"));

    const char *const wrong[] = {"02:43", "02:43:0a:32:00:02:01", "03:43:0a:32:00:02", "00:00:00:00:00:00", "02:43:0a:32:00:0x", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char of[80];
        snprintf(of, sizeof of, "net_af_packet0,iface=chi-d,mac=%s", wrong[i]);
        assert_int_equal(port_add(of, OUR_IP, MTU), -EINVAL);
        assert_non_null(strstr(err, "leave it out"));
    }

    line = "net_af_packet0,mac=02:43:0a:32:00:02,iface=chi-d"; /* its own: not the interface's */
    int taken = group_take(); /* as another daemon's port may have it */
    int rc = port_add(line, OUR_IP, MTU);
    if (rc)
        fail_msg("%s", err);
    close(taken);
}

static bool promiscuous(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq r = {.ifr_name = "chi-d"};
    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &r), 0);
    close(fd);
    return r.ifr_flags & IFF_PROMISC;
}

/* It answers the kernel's ARP with its own address; the kernel's IP stack leaves to it what comes there. */
static void port__has_an_address_of_its_own(void **state)
{
    (void)state;
    SKIP_UNLESS_ROOT();
    struct net_port_stats st;
    assert_int_equal(net_port_stats(net, 0, &st), 0);
    assert_string_equal(st.mac, "02:43:0a:32:00:02");
    assert_true(promiscuous());
}

/* Polls our port until the socket has something or the time is over. */
static ssize_t kernel_receive(int fd, void *out, size_t cap)
{
    struct net_packet *p[NET_BURST];
    uint64_t until = net_now_ns() + WAIT_NS;
    ssize_t n;
    do {
        unsigned k = net_rx_st(net, 0, net_now_ns(), p);
        for (unsigned i = 0; i < k; i++)
            net_packet_free(p[i]);
        net_flush_st(net, 0);
        n = recv(fd, out, cap, MSG_DONTWAIT);
    } while (n < 0 && errno == EAGAIN && net_now_ns() < until);
    return n;
}

static void port__answers_the_kernels_ping(void **state)
{
    (void)state;
    SKIP_UNLESS_ROOT();
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(OUR_IP)};
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    assert_true(fd >= 0);
    for (uint16_t number = 1; number <= 20; number++) {
        uint8_t out[1000] = {8}, in[2000];
        uint32_t n = 8 + number * 40u;
        be16_put(out + 4, 0x4348);
        be16_put(out + 6, number);
        memset(out + 8, number, n - 8);
        be16_put(out + 2, (uint16_t)~checksum_fold(checksum_add(0, out, n)));
        assert_int_equal(sendto(fd, out, n, 0, (struct sockaddr *)&to, sizeof to), n);
        assert_int_equal(kernel_receive(fd, in, sizeof in), 20 + n); /* the kernel checks the sums */
        assert_int_equal(be32_get(in + 12), OUR_IP);
        assert_int_equal(in[20], 0);
        assert_memory_equal(in + 24, out + 4, n - 4);
    }
    close(fd);
}

static int udp_socket(void)
{
    struct sockaddr_in me = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(KERNEL_IP), .sin_port = htons(KERNEL_UDP)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&me, sizeof me), 0);
    return fd;
}

static void udp_send(int fd, uint32_t length, uint8_t byte)
{
    static uint8_t out[16000];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(OUR_IP), .sin_port = htons(UDP)};
    memset(out, byte, length);
    assert_int_equal(sendto(fd, out, length, 0, (struct sockaddr *)&to, sizeof to), length);
}

static struct net_packet *receive(void)
{
    struct net_packet *p[NET_BURST];
    uint64_t until = net_now_ns() + WAIT_NS;
    unsigned k;
    do
        k = net_rx_st(net, 0, net_now_ns(), p);
    while (k == 0 && net_now_ns() < until);
    assert_true(k <= 1);
    return k ? p[0] : NULL;
}

static void datagrams_come(int fd)
{
    for (uint32_t length = 0; length <= MTU - 28; length += length < 40 ? 1 : 320) {
        udp_send(fd, length, (uint8_t)length);
        struct net_packet *p = receive();
        assert_non_null(p);
        assert_int_equal(p->length, length);
        assert_int_equal(p->ip, KERNEL_IP);
        assert_int_equal(p->port, KERNEL_UDP);
        for (uint32_t i = 0; i < length; i++)
            assert_int_equal(p->data[i], (uint8_t)length);
        net_packet_free(p);
    }
}

static void port__takes_the_kernels_datagrams(void **state)
{
    (void)state;
    SKIP_UNLESS_ROOT();
    int fd = udp_socket(), on = 1;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof on), 0);
    datagrams_come(fd);

    struct ethtool_value off = {.cmd = ETHTOOL_STXCSUM, .data = 0}; /* the kernel itself fills checksums in */
    struct ifreq r = {.ifr_name = "chi-k", .ifr_data = (char *)&off};
    assert_int_equal(ioctl(fd, SIOCETHTOOL, &r), 0);
    on = 0;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof on), 0);
    datagrams_come(fd);
    close(fd);
}

static void port__sends_to_the_kernel(void **state)
{
    (void)state;
    SKIP_UNLESS_ROOT();
    static uint8_t in[MTU];
    int fd = udp_socket();
    for (uint32_t length = 1; length <= net_payload_max(net); length += length < 40 ? 1 : 320) {
        struct net_packet *p = net_packet_get_st(net, 0);
        assert_non_null(p);
        memset(p->data, (int)length, length);
        p->length = length;
        p->ip = KERNEL_IP;
        p->port = KERNEL_UDP;
        net_send_st(net, 0, 0, p, net_now_ns());
        net_flush_st(net, 0);
        assert_int_equal(kernel_receive(fd, in, sizeof in), length);
        assert_int_equal(in[0], (uint8_t)length);
        assert_int_equal(in[length - 1], (uint8_t)length);
    }
    close(fd);
}

/* Bytes that go from where they lie: they arrive, and are let go of when the packet went, or was dropped. */
static void port__sends_bytes_from_where_they_lie(void **state)
{
    (void)state;
    SKIP_UNLESS_ROOT();
    static uint8_t in[MTU], bytes[MTU];
    struct net_port_stats st;
    assert_int_equal(net_port_stats(net, 0, &st), 0);
    assert_string_equal(st.copies, ""); /* it was tried when it started */
    assert_true(net_attaches(net, KERNEL_IP));
    assert_false(net_attaches(net, 0x0b000001)); /* no port reaches it */
    for (uint32_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    int fd = udp_socket();
    for (uint32_t tail = 1; tail <= net_payload_max(net) - 24u; tail += tail < 20 ? 1 : 450) {
        struct net_packet *p = net_packet_get_st(net, 0);
        uint32_t users = 1;
        assert_non_null(p);
        memset(p->data, 0x24, 24);
        p->length = 24 + tail;
        p->ip = KERNEL_IP;
        p->port = KERNEL_UDP;
        net_packet_tail_st(net, 0, p, bytes + 3, tail, &users);
        net_send_st(net, 0, 0, p, net_now_ns());
        assert_int_equal(users, 1);
        net_flush_st(net, 0);
        assert_int_equal(users, 0);
        assert_int_equal(kernel_receive(fd, in, sizeof in), 24 + tail);
        assert_int_equal(in[23], 0x24);
        assert_memory_equal(in + 24, bytes + 3, tail);
    }
    uint32_t users = 1;
    struct net_packet *p = net_packet_get_st(net, 0);
    assert_non_null(p);
    p->length = 24 + 2000;
    net_packet_tail_st(net, 0, p, bytes, 2000, &users);
    net_packet_free(p);
    assert_int_equal(users, 0);
    datagrams_come(fd); /* what was attached is an ordinary packet again */
    close(fd);
}

/* The interfaces' MTU rises while the port is open: what does not fit is cut by the driver, found and counted. */
static void port__drops_what_is_longer_than_its_room(void **state)
{
    (void)state;
    SKIP_UNLESS_ROOT();
    int fd = udp_socket(), on = 1;
    uint64_t before = net_drops(net, 0)[CHI_DROP_LINK_TRUNCATED], until = net_now_ns() + WAIT_NS;
    struct net_packet *p[NET_BURST];
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof on), 0);
    assert_int_equal(run("ip link set chi-k mtu 15000 && ip link set chi-d mtu 15000"), 0);
    udp_send(fd, 14000, 1);
    while (net_drops(net, 0)[CHI_DROP_LINK_TRUNCATED] == before && net_now_ns() < until)
        assert_int_equal(net_rx_st(net, 0, net_now_ns(), p), 0);
    assert_int_equal(net_drops(net, 0)[CHI_DROP_LINK_TRUNCATED], before + 1);
    assert_int_equal(run("ip link set chi-k mtu 9000 && ip link set chi-d mtu 9000"), 0);
    datagrams_come(fd);
    close(fd);
}

/* A port whose interface went down takes packets without waiting, and is itself again when the interface is back. */
static void port__does_not_wait_for_an_interface_that_is_down(void **state)
{
    (void)state;
    SKIP_UNLESS_ROOT();
    int fd = udp_socket(), on = 1;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof on), 0);
    assert_int_equal(run("ip link set chi-d down"), 0);
    alarm(60); /* ends the test if it hangs */
    for (int i = 0; i < 3000; i++) {
        struct net_packet *p = net_packet_get_st(net, 0);
        assert_non_null(p);
        p->length = 100;
        p->ip = KERNEL_IP;
        p->port = KERNEL_UDP;
        net_send_st(net, 0, 0, p, net_now_ns());
        net_flush_st(net, 0);
    }
    alarm(0);
    assert_int_equal(run("ip link set chi-d up"), 0);
    datagrams_come(fd);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(port_add__says_what_the_interface_lacks),
        cmocka_unit_test(port__answers_the_kernels_ping),
        cmocka_unit_test(port__has_an_address_of_its_own),
        cmocka_unit_test(port__takes_the_kernels_datagrams),
        cmocka_unit_test(port__sends_to_the_kernel),
        cmocka_unit_test(port__sends_bytes_from_where_they_lie),
        cmocka_unit_test(port__drops_what_is_longer_than_its_room),
        cmocka_unit_test(port__does_not_wait_for_an_interface_that_is_down),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
