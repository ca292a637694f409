/* Device lines: what is added, what is refused, with which words. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/device.h"

static char err[NET_ERROR_BYTES], folder[64];
static struct device d;

static int group_setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/chi-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/below", folder);
    rmdir(path);
    return rmdir(folder);
}

static int prepare(const char *line, uint16_t mtu)
{
    err[0] = 0;
    return device_prepare(&d, line, 0x0a280001, mtu, 1, false, err);
}

static void net_device_is_pci__forms(void **state)
{
    (void)state;
    static const char *yes[] = {"0000:01:00.0", "01:00.0", "0000:01:00.1,arg=1", "10000:e1:00.0", "ab:cd.7"};
    static const char *no[] = {"net_memif0", "net_ring0,a=b", "",       "0000:01:00",
                               "01:00.8",    "0000:01:00.0x", "1:00.0", "01:0.0"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (!net_device_is_pci(yes[i]))
            fail_msg("%s is a PCI device", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (net_device_is_pci(no[i]))
            fail_msg("%s is no PCI device", no[i]);
}

static void device_prepare__memif_gets_what_is_absent(void **state)
{
    (void)state;
    char line[200], want[300], below[128];
    struct stat st;
    snprintf(below, sizeof below, "%s/below", folder);
    snprintf(line, sizeof line, "net_memif3,role=client,socket=%s/a.sock,id=4", below);
    assert_int_equal(prepare(line, 9000), 0);
    assert_string_equal(d.name, "net_memif3");
    assert_int_equal(d.kind, DEVICE_MEMIF);
    assert_true(d.memif_client);
    assert_true(d.room_bytes >= 9018);
    snprintf(want, sizeof want, "%s,bsize=9024,rsize=9,mac=02:43:0a:28:00:01,socket-abstract=no", line);
    assert_string_equal(d.line, want);
    assert_int_equal(stat(below, &st), 0); /* the folder of the socket is there now, for us alone */
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void device_prepare__memif_keeps_what_is_given(void **state)
{
    (void)state;
    char line[256], want[400];
    snprintf(line, sizeof line,
             "net_memif0,role=client,socket=%s/"
             "a,rsize=7,bsize=10240,mac=02:00:00:00:00:07,secret=s,zero-copy=yes,socket-abstract=no",
             folder);
    assert_int_equal(prepare(line, 9000), 0);
    assert_int_equal(d.room_bytes, 10240);
    assert_null(strstr(d.line, "rsize=9"));
    snprintf(want, sizeof want,
             "net_memif0,role=client,socket=%s/"
             "a,rsize=7,mac=02:00:00:00:00:07,secret=s,zero-copy=yes,socket-abstract=no,bsize=10240",
             folder);
    assert_string_equal(d.line, want);
}

/* A client with a larger MTU must not write behind a server's packets: the driver then must not take its short path. */
static void device_prepare__memif_server_says_more_than_it_has(void **state)
{
    (void)state;
    char line[128];
    snprintf(line, sizeof line, "net_memif0,role=server,socket=%s/a", folder);
    assert_int_equal(prepare(line, 1500), 0);
    const char *bsize = strstr(d.line, "bsize=");
    assert_non_null(bsize);
    assert_true((uint32_t)atoi(bsize + 6) > ((d.room_bytes + 63) & ~63u));
    assert_false(d.memif_client);
}

static void device_prepare__memif_refusals(void **state)
{
    (void)state;
    char line[256];
    assert_true(prepare("net_memif0,role=server", 1500) < 0);
    assert_non_null(strstr(err, "socket="));
    snprintf(line, sizeof line, "net_memif0,role=server,socket=%s/a,bsize=2048", folder);
    assert_true(prepare(line, 9000) < 0);
    assert_non_null(strstr(err, "bsize=2048"));
    assert_true(prepare("net_memif0,role=server,socket=/proc/none/a.sock", 1500) < 0);
    assert_non_null(strstr(err, "/proc/none"));
    assert_true(prepare("", 1500) < 0);
    assert_true(prepare(",role=server", 1500) < 0);
}

static int listen_at(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%.107s", path);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void device_prepare__memif_socket_in_the_way(void **state)
{
    (void)state;
    char line[256], path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/s.sock", folder);
    snprintf(line, sizeof line, "net_memif0,role=server,socket=%s", path);

    int fd = listen_at(path); /* served */
    assert_true(prepare(line, 1500) < 0);
    assert_non_null(strstr(err, path));
    assert_int_equal(device_prepare(&d, line, 1, 1500, 1, true, err), 0); /* by a port of our own */
    close(fd);
    assert_int_equal(prepare(line, 1500), 0); /* left over */
    assert_int_equal(stat(path, &st), -1);

    FILE *f = fopen(path, "w"); /* no socket: not ours to remove */
    assert_non_null(f);
    fclose(f);
    assert_true(prepare(line, 1500) < 0);
    assert_int_equal(unlink(path), 0);
}

static void device_prepare__af_packet_refusals(void **state)
{
    (void)state;
    assert_true(prepare("net_af_packet0", 1500) < 0);
    assert_non_null(strstr(err, "iface="));
    assert_true(prepare("net_af_packet0,iface=chi-none", 1500) < 0);
    assert_non_null(strstr(err, "chi-none"));
}

static void device_prepare__others_stay_as_they_are(void **state)
{
    (void)state;
    assert_int_equal(prepare("net_ring0", 1500), 0);
    assert_string_equal(d.line, "net_ring0");
    assert_int_equal(d.kind, DEVICE_RING);
    assert_int_equal(d.room_bytes, 1518);
    assert_int_equal(prepare("0000:01:00.0", 1500), 0);
    assert_int_equal(d.kind, DEVICE_PCI);
    assert_int_equal(prepare("net_tap0,iface=x", 1500), 0);
    assert_int_equal(d.kind, DEVICE_OTHER);
}

static void device_iface__of_a_line_and_its_link(void **state)
{
    (void)state;
    char iface[16];
    device_iface("net_af_packet0,iface=abc,framecnt=512", iface);
    assert_string_equal(iface, "abc");
    device_iface("net_ring0", iface);
    assert_string_equal(iface, "");
    device_iface("net_x,iface=longer-than-a-name-is", iface);
    assert_string_equal(iface, "");
    device_iface("lo", iface); /* there always */
    assert_string_equal(iface, "lo");
    assert_true(device_is_iface("lo"));
    assert_false(device_is_iface("lo,x=1"));
    assert_false(device_is_iface("chi-none"));
    assert_false(device_is_iface("a-name-that-is-longer-than-16"));
    assert_int_equal(device_iface_link("chi-none", 0), DEVICE_LINK_GONE);
    assert_int_not_equal(device_iface_link("lo", 0), DEVICE_LINK_GONE);
    assert_int_equal(device_iface_link("lo", 9999999), DEVICE_LINK_GONE); /* another one of that name */
    assert_true(device_iface_xdp("lo", err));
    assert_int_equal(prepare("net_af_xdp0", 1500), -EINVAL);
    assert_non_null(strstr(err, "iface=NAME"));
    assert_true(prepare("net_af_xdp0,iface=chi-none", 1500) < 0);
    assert_non_null(strstr(err, "there is no interface chi-none"));
}

/* Room for a frame and for what the kernel keeps before it: without that, large frames vanish.  The last test: it leaves the network. */
static void device_prepare__of_af_xdp_has_the_kernels_headroom(void **state)
{
    (void)state;
    if (geteuid() != 0 || unshare(CLONE_NEWNET))
        skip();
    assert_int_equal(system("ip link add chi-a mtu 3300 type veth peer name chi-b mtu 1500 && ip link set chi-a up && ip link set chi-b up"), 0);
    assert_int_equal(prepare("net_af_xdp0,iface=chi-a", 3300), 0);
    assert_true(d.room_bytes >= 3300 + 14 + 256);
    assert_int_equal(prepare("net_af_xdp0,iface=chi-b", 1500), 0);
    assert_int_equal(d.room_bytes, 2048);
    /* net_af_packet in the same network: as many pairs of queues as are asked for, where the line does not say. */
    assert_int_equal(prepare("net_af_packet0,iface=chi-b", 1500), 0);
    assert_null(strstr(d.line, "qpairs"));
    assert_int_equal(device_prepare(&d, "net_af_packet0,iface=chi-b", 0x0a280001, 1500, 3, false, err), 0);
    assert_non_null(strstr(d.line, ",qpairs=3"));
    assert_int_equal(device_prepare(&d, "net_af_packet0,iface=chi-b,qpairs=2", 0x0a280001, 1500, 3, false, err), 0);
    assert_null(strstr(d.line, "qpairs=3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(net_device_is_pci__forms),
        cmocka_unit_test(device_iface__of_a_line_and_its_link),
        cmocka_unit_test(device_prepare__memif_gets_what_is_absent),
        cmocka_unit_test(device_prepare__memif_keeps_what_is_given),
        cmocka_unit_test(device_prepare__memif_server_says_more_than_it_has),
        cmocka_unit_test(device_prepare__memif_refusals),
        cmocka_unit_test(device_prepare__memif_socket_in_the_way),
        cmocka_unit_test(device_prepare__af_packet_refusals),
        cmocka_unit_test(device_prepare__others_stay_as_they_are),
        cmocka_unit_test(device_prepare__of_af_xdp_has_the_kernels_headroom),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
