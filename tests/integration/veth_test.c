/* veth_test.c - net_af_packet over a veth pair in a network namespace of the test's own: two daemons; and one daemon against the
 * kernel's stack, which sends it what no peer would. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "wire/wire.h"
#include "worker/crc32c.h"

static const int64_t LONG = INT64_C(60000000000);
enum { UDP_PORT = 7440 };

static void sh(const char *command)
{
    if (system(command))
        fail_msg("failed: %s", command);
}

/* The harness's configuration with the memif device replaced. */
/* An interface, and what else its line holds. */
static void use_veth(struct node *n, const char *interface)
{
    char text[4096], device[160];
    FILE *f = fopen(n->config, "r");
    size_t have = fread(text, 1, sizeof text - 1, f);
    text[have] = 0;
    fclose(f);
    char *at = strstr(text, "net_memif0"), *end = at ? strchr(at, '"') : NULL, *mtu = strstr(text, "mtu: 9000");
    assert_true(at && end && mtu);
    memcpy(mtu, "mtu: 1500", 9);
    snprintf(device, sizeof device, "net_af_packet0,iface=%s", interface);
    f = fopen(n->config, "w");
    fprintf(f, "%.*s%s%s", (int)(at - text), text, device, end);
    fclose(f);
}

/* Two daemons, each on an interface: tasks of the one to the other. */
static void daemons_talk(const char *interface_one, const char *interface_two)
{
    struct node one, two;
    node_configure(&one, 1, &(struct node_options){.peer = 2, .limits = "task_timeout_ms: 60000"});
    node_configure(&two, 2, &(struct node_options){.peer = 1});
    use_veth(&one, interface_one);
    use_veth(&two, interface_two);
    node_start(&one);
    node_start(&two);
    struct chi_client *c = node_connect(&one);
    for (uint64_t i = 0; i < 200; i++) {
        struct echo_ping t = ping_to(chi_physical(2), i);
        chi_submit(c, &t.task);
        assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_OK);
        assert_int_equal(t.value, i);
    }
    for (uint64_t size = 0; size < 500000; size = size * 7 + 1)
        assert_int_equal(io_check(c, chi_physical(2), size, size, size), CHI_STATUS_OK);
    assert_true(node_peer(&two, 1, "attached_bytes_tx") > 100000); /* answers; */
    assert_int_equal(node_peer(&one, 2, "attached_bytes_tx"), 0);  /* what is a client's is copied */
    chi_disconnect(c);
    assert_int_equal(node_stop(&one), 0);
    assert_int_equal(node_stop(&two), 0);
}

static void daemons__talk_over_veth(void **state)
{
    (void)state;
    daemons_talk("va", "vb,mac=02:43:0a:28:00:02"); /* the one with its interface's address, the other with its own */
}

/* Packets that the workers of both nodes handed to each other. */
static uint64_t handed(const struct node node[2])
{
    uint64_t sum = 0;
    for (int i = 0; i < 2; i++) {
        json_t *list = node_call(&node[i], "worker.list"), *w;
        size_t k;
        json_array_foreach (list, k, w)
            sum += (uint64_t)json_integer_value(json_object_get(w, "packets_handed"));
        json_decref(list);
    }
    return sum;
}

static void pings(struct chi_client *c[2], unsigned count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct echo_ping t = ping_to(chi_physical(2), i);
        chi_submit(c[i % 2], &t.task);
        assert_int_equal(chi_wait(c[i % 2], &t.task, LONG), CHI_STATUS_OK);
        assert_int_equal(t.value, i);
    }
}

struct pair {
    struct node node[2];
    struct chi_client *client[2];
};

static bool nothing_handed(void *arg)
{
    struct pair *p = arg;
    uint64_t before = handed(p->node);
    pings(p->client, 200);
    return handed(p->node) == before;
}

static bool answers(void *client)
{
    struct echo_ping t = ping_to(chi_physical(2), 1);
    chi_submit(client, &t.task);
    return chi_wait(client, &t.task, LONG) == CHI_STATUS_OK;
}

/* The kernel spreads packets over the workers' queues by a hash that nobody here knows, until their source ports suit it. */
static void daemons__of_two_workers_talk_over_veth(void **state)
{
    struct pair p;
    struct node *node = p.node;
    (void)state;
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        skip();
    for (uint32_t i = 0; i < 2; i++) {
        node_configure(&node[i], i + 1, &(struct node_options){.peer = 2 - i, .cores = "0, 1",
                                                           .limits = "task_timeout_ms: 60000, peer_silence_ms: 600000"});
        use_veth(&node[i], i ? "vb" : "va");
        node_start(&node[i]);
        json_t *list = node_call(&node[i], "port.list"), *port = json_array_get(list, 0);
        assert_int_equal(json_integer_value(json_object_get(port, "queues")), 2);
        assert_string_equal(json_string_value(json_object_get(port, "steering")), "source port");
        json_decref(list);
    }
    struct chi_client **c = p.client;
    for (int i = 0; i < 2; i++) /* dealt to both workers */
        c[i] = node_connect(&node[0]);
    pings(c, 200);
    for (uint64_t size = 0; size < 500000; size = size * 7 + 1)
        for (int i = 0; i < 2; i++)
            assert_int_equal(io_check(c[i], chi_physical(2), size, size, size), CHI_STATUS_OK);
    until(nothing_handed, &p, "source ports by which nothing is handed over");
    node_kill(&node[1]); /* its next life refuses what comes; no silence would tell before that the refusal found the source port's worker */
    node_start(&node[1]);
    for (int i = 0; i < 2; i++)
        until(answers, c[i], "an answer of the next life");
    chi_disconnect(c[0]);
    chi_disconnect(c[1]);
    assert_int_equal(node_stop(&node[0]), 0);
    assert_int_equal(node_stop(&node[1]), 0);
}

static void daemons__talk_over_two_veths_with_chi_wire_between_them(void **state)
{
    char log[160], out[4096];
    int fd, status;
    (void)state;
    snprintf(log, sizeof log, "%s/wire.log", test_dir);
    sh("ip link add wa type veth peer name wb && ip link set wa up && ip link set wb up");
    const char *const argv[] = {CHI_BUILD_DIR "/bin/chi-wire", "-a", "net_af_packet0,iface=vb", "-b", "net_af_packet1,iface=wa",
                                "--set", "both: loss=1% dup=1% truncate=1% corrupt=1% reorder=1%/100us", "--json", NULL};
    pid_t pid = program_start(argv, log, "\"ready\":true", &fd);
    daemons_talk("va", "wb");
    assert_int_equal(kill(pid, SIGINT), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ssize_t got = read(fd, out, sizeof out - 1);
    assert_true(got > 0);
    out[got] = 0;
    close(fd);
    json_t *stats = json_loads(out, 0, NULL);
    for (size_t i = 0; i < 2; i++) {
        json_t *d = json_array_get(json_object_get(stats, "directions"), i);
        assert_true(json_integer_value(json_object_get(d, "sent")) > 200);
        assert_true(json_integer_value(json_object_get(d, "lost")) > 0);
    }
    json_decref(stats);
    sh("ip link del wa");
}

struct drop_wait {
    const struct node *node;
    const char *reason;
    uint64_t at_least;
};
static bool dropped(void *arg)
{
    const struct drop_wait *w = arg;
    return node_drop(w->node, w->reason) >= w->at_least;
}

static void send_udp(const void *p, size_t n)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(UDP_PORT)};
    int one = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, "10.40.0.1", &to.sin_addr);
    /* No UDP checksum: on a veth the kernel leaves it to be filled in by hardware that is not there. */
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &one, sizeof one), 0);
    assert_int_equal(sendto(fd, p, n, 0, (struct sockaddr *)&to, sizeof to), n);
    close(fd);
}

static void expect_drop(const struct node *n, const char *reason, const void *p, size_t size)
{
    struct drop_wait w = {n, reason, node_drop(n, reason) + 1};
    send_udp(p, size);
    until(dropped, &w, reason);
}

static void packets__foreign_and_damaged_ones_are_counted_by_reason(void **state)
{
    (void)state;
    struct node one;
    uint8_t p[256] = {0};
    struct wire_header h = {.kind = WIRE_KIND_DATA, .session = 12345, .number = 1};
    node_configure(&one, 1, &(struct node_options){.peer = 2});
    use_veth(&one, "va");
    node_start(&one);
    sh("ip addr add 10.40.0.2/24 dev vb");

    expect_drop(&one, "TRUNCATED", p, 0);
    expect_drop(&one, "TRUNCATED", p, 10);
    expect_drop(&one, "VERSION", p, 100);
    size_t n = WIRE_HEADER_BYTES;
    wire_put_header(p, &h);
    n += wire_put_ping(p + n);
    wire_seal(p, n, crc32c);
    expect_drop(&one, "SESSION_UNKNOWN", p, n);
    p[n - 1] ^= 1;
    expect_drop(&one, "CRC", p, n);
    p[n - 1] ^= 1;
    expect_drop(&one, "TRUNCATED", p, n - 1);

    struct chi_client *c = node_connect(&one); /* and it works on */
    struct echo_ping t = ping_to(chi_local(), 4);
    chi_submit(c, &t.task);
    assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_OK);
    chi_disconnect(c);
    assert_int_equal(node_stop(&one), 0);
    sh("ip addr flush dev vb");
}

static uint16_t checksum(const void *p, size_t n)
{
    const uint16_t *w = p;
    uint32_t sum = 0;
    for (; n > 1; n -= 2)
        sum += *w++;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void icmp__the_kernels_echo_is_answered(void **state)
{
    (void)state;
    struct node one;
    struct {
        struct icmphdr h;
        char data[56];
    } echo = {.h = {.type = ICMP_ECHO, .un.echo = {.id = 77, .sequence = 3}}, .data = "are you there?"};
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct timeval limit = {20, 0};
    node_configure(&one, 1, &(struct node_options){.peer = 2});
    use_veth(&one, "va");
    node_start(&one);
    sh("ip addr add 10.40.0.2/24 dev vb");
    inet_pton(AF_INET, "10.40.0.1", &to.sin_addr);
    echo.h.checksum = checksum(&echo, sizeof echo);
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(sendto(fd, &echo, sizeof echo, 0, (struct sockaddr *)&to, sizeof to), sizeof echo);
    uint8_t p[256];
    const struct icmphdr *answer = (const struct icmphdr *)(p + 20);
    do
        assert_int_equal(recv(fd, p, sizeof p, 0), 20 + sizeof echo);
    while (answer->type != ICMP_ECHOREPLY);
    assert_int_equal(answer->un.echo.id, 77);
    assert_memory_equal(p + 28, echo.data, sizeof echo.data);
    close(fd);
    assert_int_equal(node_stop(&one), 0);
    sh("ip addr flush dev vb");
}

static int setup(void **state)
{
    folder_setup(state);
    sh("ip link add va type veth peer name vb && ip link set va up && ip link set vb up && ip link set lo up");
    return 0;
}

static int teardown(void **state)
{
    sh("ip link del va");
    return folder_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(daemons__talk_over_veth),
        cmocka_unit_test(daemons__of_two_workers_talk_over_veth),
        cmocka_unit_test(daemons__talk_over_two_veths_with_chi_wire_between_them),
        cmocka_unit_test(packets__foreign_and_damaged_ones_are_counted_by_reason),
        cmocka_unit_test(icmp__the_kernels_echo_is_answered),
    };
    if (geteuid() != 0 || unshare(CLONE_NEWNET)) {
        print_message("skipped: a network namespace needs root\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
