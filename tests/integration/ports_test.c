/* ports_test.c - ports that come, change and go while tasks run: nothing is lost, hangs or runs twice. */
#define _GNU_SOURCE
#include <dirent.h>
#include <sched.h>
#include <unistd.h>

#include "load.h"

static const int64_t LONG = INT64_C(60000000000);
static struct node one, two;

/* --- ports */

static void port_add(const struct node *n, const char *name, const char *device, const char *ip, unsigned mtu)
{
    char params[320];
    snprintf(params, sizeof params, "{\"name\":\"%s\",\"device\":\"%s\",\"ip\":\"%s\",\"mtu\":%u}", name, device, ip, mtu);
    json_decref(node_ask(n, "port.add", params));
}

static void second_port_add(const struct node *n)
{
    char device[200], ip[24];
    snprintf(device, sizeof device, "net_memif1,role=%s,id=0,socket=%s/second.sock", n->id == 1 ? "server" : "client", test_dir);
    snprintf(ip, sizeof ip, "10.41.0.%u/24", n->id);
    port_add(n, "p1", device, ip, 1500);
}

static size_t ports_of(const struct node *n)
{
    json_t *list = node_call(n, "port.list");
    size_t count = json_array_size(list);
    json_decref(list);
    return count;
}

static void pair(const struct node_options *o)
{
    struct node_options a = *o;
    a.mtu = 1500;
    a.memory = "512M";
    pair_start(&one, &two, &a, &a);
}

static void ports__come_and_go_under_load(void **state)
{
    (void)state;
    pair(&(struct node_options){0});
    load_start(&one);
    load_goes_on("tasks run");
    for (int round = 0; round < 3; round++) {
        second_port_add(&one);
        second_port_add(&two);
        assert_int_equal(ports_of(&one), 2);
        expect_link(&one, "p1", "up");
        load_goes_on("beside a second port");
        json_decref(node_ask(&one, "port.set", "{\"name\":\"p1\",\"link\":\"down\"}"));
        expect_link(&one, "p1", "off");
        json_decref(node_ask(&one, "port.set", "{\"name\":\"p1\",\"link\":\"up\"}"));
        expect_link(&one, "p1", "up");
        load_goes_on("it was off and on again");
        json_decref(node_ask(&one, "port.remove", "{\"name\":\"p1\"}"));
        expect_link(&two, "p1", "down");
        json_decref(node_ask(&two, "port.remove", "{\"name\":\"p1\"}"));
        assert_int_equal(ports_of(&two), 1);
        load_goes_on("it is gone again");
    }
    load_stop();
    assert_int_equal(tasks_run(&two), load.ended);
    pair_stop(&one, &two);
}

/* The only port is taken out and put back: what is open waits, and goes on. */
static void port__that_is_off_for_a_moment_loses_nothing(void **state)
{
    (void)state;
    pair(&(struct node_options){.limits = "peer_silence_ms: 60000, task_timeout_ms: 60000"});
    load_start(&one);
    for (int round = 0; round < 5; round++) {
        load_goes_on("tasks run");
        json_decref(node_ask(&one, "port.set", "{\"name\":\"p0\",\"link\":\"down\"}"));
        json_decref(node_ask(&one, "port.set", "{\"name\":\"p0\",\"link\":\"up\"}"));
    }
    load_goes_on("the port is back");
    load_stop();
    assert_int_equal(tasks_run(&two), load.ended);
    pair_stop(&one, &two);
}

static enum chi_status ping(struct chi_client *c, uint32_t timeout_us)
{
    struct echo_ping t = ping_to(there, 3);
    t.task.timeout_us = timeout_us;
    chi_submit(c, &t.task);
    return chi_wait(c, &t.task, LONG);
}

static void port__the_last_one_removed_ends_tasks_in_time_and_may_come_again(void **state)
{
    char device[200];
    (void)state;
    pair(&(struct node_options){.limits = "peer_silence_ms: 500"});
    struct chi_client *c = node_connect(&one);
    assert_int_equal(ping(c, 0), CHI_STATUS_OK);
    json_decref(node_ask(&one, "port.remove", "{\"name\":\"p0\"}"));
    assert_int_equal(ports_of(&one), 0);
    assert_int_equal(ping(c, 60000000), CHI_STATUS_PEER_DOWN); /* it went out, for all that the transport knows */
    assert_int_equal(ping(c, 100000), CHI_STATUS_UNREACHABLE);
    assert_true(node_drop(&one, "NO_ROUTE") > 0);
    expect_idle(one.pid);
    snprintf(device, sizeof device, "net_memif0,role=server,id=0,socket=%s/memif.sock", test_dir);
    port_add(&one, "again", device, "10.40.0.1/24", 1500);
    assert_int_equal(ping(c, 60000000), CHI_STATUS_OK);
    chi_disconnect(c);
    pair_stop(&one, &two);
}

static void port__wrong_ones_are_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *method, *params, *says;
    } wrong[] = {
        {"port.add", "{\"name\":\"p0\",\"device\":\"net_ring0\",\"ip\":\"10.42.0.1/24\"}", "there is one of that name"},
        {"port.add", "{\"name\":\"p2\",\"device\":\"net_ring0\",\"ip\":\"10.40.0.9/16\"}", "overlaps that of port p0"},
        {"port.add", "{\"name\":\"p2\",\"device\":\"net_ring0\",\"ip\":\"10.42.0.1/24\",\"mtu\":1400}", "laid out for"},
        {"port.add", "{\"name\":\"p2\",\"device\":\"net_ring0\",\"ip\":\"10.42.0.1/24\",\"mtu\":70000}", "mtu is '70000'; right is"},
        {"port.add", "{\"name\":\"p2\",\"device\":\"net_ring0\",\"ip\":\"10.42.0.1/24\",\"queues\":0}", "queues is '0'; right is"},
        {"port.add", "{\"name\":\"p2\",\"device\":\"net_ring0\",\"ip\":\"10.42.0.1/24\",\"queues\":2}", "queues: 2 is more than"},
        {"port.add", "{\"name\":\"p 2\",\"device\":\"net_ring0\",\"ip\":\"10.42.0.1/24\"}", "name is 'p 2'; right is"},
        {"port.add", "{\"name\":\"p2\",\"device\":\"\",\"ip\":\"10.42.0.1/24\"}", "device is ''; right is"},
        {"port.add", "{\"name\":\"p2\",\"device\":\"net_ring0\",\"ip\":\"10.42.0.0/24\"}", "ip is '10.42.0.0/24'; right is"},
        {"port.add", "{\"name\":\"p2\",\"device\":\"none0\",\"ip\":\"10.42.0.1/24\"}", "neither a kernel interface"},
        {"port.add", "{\"name\":\"p2\",\"device\":\"0000:ff:00.0\",\"ip\":\"10.42.0.1/24\"}", "PCI bus was left out"},
        {"port.add", "{\"name\":\"p2\",\"device\":\"net_ring0\"}", "'ip' of port.add is missing"},
        {"port.remove", "{\"name\":\"p9\"}", "there is no port p9"},
        {"port.set", "{\"name\":\"p9\",\"link\":\"up\"}", "there is no port p9"},
        {"port.set", "{\"name\":\"p0\"}", "name link or mtu"},
        {"port.set", "{\"name\":\"p0\",\"link\":\"sideways\"}", "right is up or down"},
        {"port.set", "{\"name\":\"p0\",\"mtu\":1400}", "laid out for"},
        {"port.set", "{\"name\":\"p0\",\"mtu\":9000}", "remove it, and add it with that MTU"},
    };
    node_configure(&one, 1, &(struct node_options){.peer = 2, .mtu = 1500, .memory = "1G"});
    node_start(&one);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        node_refuses(&one, wrong[i].method, wrong[i].params, wrong[i].says);
    for (unsigned i = 1; i < 8; i++) {
        char name[8], device[16], ip[24];
        snprintf(name, sizeof name, "r%u", i);
        snprintf(device, sizeof device, "net_ring%u", i);
        snprintf(ip, sizeof ip, "10.5%u.0.1/24", i);
        port_add(&one, name, device, ip, 1500 + i);
    }
    node_refuses(&one, "port.add", "{\"name\":\"p9\",\"device\":\"net_ring9\",\"ip\":\"10.60.0.1/24\"}", "at most 8 ports");
    json_decref(node_ask(&one, "port.set", "{\"name\":\"r5\",\"mtu\":1501}"));
    json_decref(node_ask(&one, "port.remove", "{\"name\":\"r3\"}"));
    port_add(&one, "r3", "net_ring3", "10.53.0.1/24", 1500);
    assert_int_equal(ports_of(&one), 8);
    assert_int_equal(node_stop(&one), 0);

    node_configure(&one, 1, NULL);
    node_start(&one);
    node_refuses(&one, "port.add", "{\"name\":\"p0\",\"device\":\"net_ring0\",\"ip\":\"10.42.0.1/24\"}", "was started without ports");
    node_refuses(&one, "port.remove", "{\"name\":\"p0\"}", "was started without ports");
    node_refuses(&one, "port.set", "{\"name\":\"p0\",\"link\":\"up\"}", "was started without ports");
    assert_int_equal(node_stop(&one), 0);
}

/* Again and again with little memory: each time all of it comes back. */
static void port__gives_its_memory_back(void **state)
{
    (void)state;
    struct node_options o = {.peer = 2, .mtu = 1500, .memory = "128M"}; /* 32M for packets: two such ports, not three */
    node_configure(&one, 1, &o);
    node_start(&one);
    for (int round = 0; round < 20; round++) {
        second_port_add(&one);
        json_decref(node_ask(&one, "port.remove", "{\"name\":\"p1\"}"));
    }
    assert_int_equal(node_stop(&one), 0);
}

static unsigned descriptors(const struct node *n)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)n->pid);
    DIR *d = opendir(path);
    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

/* The server's end goes while the client calls it: nothing listens on, nothing hears the dead, and the next one serves. */
static void port__of_memif_leaves_no_listener_behind(void **state)
{
    unsigned before = 0;
    (void)state;
    pair(&(struct node_options){0});
    for (int round = 0; round < 40; round++) {
        second_port_add(&one);
        second_port_add(&two);
        expect_link(&one, "p1", "up");
        json_decref(node_ask(&one, "port.remove", "{\"name\":\"p1\"}"));
        if (round % 2) /* it calls in vain for a while */
            expect_link(&two, "p1", "down");
        json_decref(node_ask(&two, "port.remove", "{\"name\":\"p1\"}"));
        if (round == 0)
            before = descriptors(&one);
    }
    assert_in_range(descriptors(&one), 1, before + 4);
    pair_stop(&one, &two);
}

/* --- kernel interfaces */

static void sh(const char *command)
{
    if (system(command))
        fail_msg("failed: %s", command);
}

static json_t *iface_add(const struct node *n, const char *name, const char *iface, const char *ip, unsigned mtu)
{
    char params[200];
    snprintf(params, sizeof params, "{\"name\":\"%s\",\"device\":\"%s\",\"ip\":\"%s\",\"mtu\":%u}", name, iface, ip, mtu);
    return node_ask(n, "port.add", params);
}

/* Which driver it got, and that the answer says so. */
static void expect_driver(json_t *answer, const char *driver, const char *why)
{
    const char *chosen = json_string_value(json_object_get(answer, "chosen"));
    assert_string_equal(json_string_value(json_object_get(answer, "driver")), driver);
    assert_non_null(chosen);
    if (strncmp(chosen, driver, strlen(driver)) != 0 || !strstr(chosen, why))
        fail_msg("chosen: %s", chosen);
    json_decref(answer);
}

static bool in_namespace;
static void need_namespace(void)
{
    if (in_namespace)
        return;
    print_message("skipped: a network namespace needs root\n");
    skip();
}

static void iface__by_its_name_gets_af_xdp_or_af_packet(void **state)
{
    (void)state;
    need_namespace();
    node_configure(&one, 1, &(struct node_options){.peer = 2, .mtu = 1500, .memory = "1G"});
    node_start(&one);
    sh("ip link add chi-a type veth peer name chi-b && ip link set chi-a up && ip link set chi-b up");
    expect_driver(iface_add(&one, "va", "chi-a", "10.61.0.1/24", 1500), "net_af_xdp", "at this MTU");
    node_refuses(&one, "port.add", "{\"name\":\"vb\",\"device\":\"net_af_packet5,iface=chi-a\",\"ip\":\"10.62.0.1/24\"}", "has the interface chi-a");
    sh("ip link add chi-c type veth peer name chi-d && ip link set chi-c mtu 9000 up && ip link set chi-d mtu 9000 up");
    expect_driver(iface_add(&one, "vb", "chi-c", "10.62.0.1/24", 9000), "net_af_packet", "9000");
    json_decref(node_ask(&one, "port.remove", "{\"name\":\"va\"}"));
    json_decref(node_ask(&one, "port.remove", "{\"name\":\"vb\"}"));
    sh("ip link del chi-c && ip link del chi-a && ip link add chi-a numrxqueues 2 numtxqueues 2 type veth peer name chi-b numrxqueues 2 numtxqueues 2");
    sh("ip link set chi-a up && ip link set chi-b up");
    expect_driver(iface_add(&one, "va", "chi-a", "10.61.0.1/24", 1500), "net_af_packet", "receive queues");
    node_refuses(&one, "port.add", "{\"name\":\"vb\",\"device\":\"chi-b\",\"ip\":\"10.62.0.1/24\",\"mtu\":9000}", "ip link set dev chi-b mtu 9000");
    assert_int_equal(node_stop(&one), 0);
    sh("ip link del chi-a");
}

/* Link down and up, then the interface deleted and made anew: tasks wait, and go on. */
static void vanishes(const char *device)
{
    need_namespace();
    sh("ip link add chi-a type veth peer name chi-b && ip link set chi-a up && ip link set chi-b up");
    pair(&(struct node_options){.device = device, .limits = "peer_silence_ms: 600000, task_timeout_ms: 60000"});
    load_start(&one);
    load_goes_on("tasks run");
    sh("ip link set chi-a down");
    expect_link(&one, "p0", "down");
    expect_link(&two, "p0", "down");
    expect_percent(one.pid, 2 * IDLE_PERCENT); /* not idle: tasks are out, and tried again */
    sh("ip link set chi-a up");
    expect_link(&one, "p0", "up");
    load_goes_on("the link is up again");
    sh("ip link del chi-a");
    expect_link(&one, "p0", "gone");
    expect_link(&two, "p0", "gone");
    expect_percent(one.pid, 2 * IDLE_PERCENT);
    sh("ip link add chi-a type veth peer name chi-b && ip link set chi-a up && ip link set chi-b up");
    expect_link(&one, "p0", "up");
    expect_link(&two, "p0", "up");
    load_goes_on("the interface is there again");
    load_stop();
    assert_int_equal(tasks_run(&two), load.ended);
    json_decref(node_ask(&one, "port.remove", "{\"name\":\"p0\"}"));
    pair_stop(&one, &two);
    sh("ip link del chi-a");
}

static void iface__of_af_packet_that_vanishes_comes_back(void **state)
{
    (void)state;
    vanishes("net_af_packet0,iface=chi-%c");
}

static void iface__of_af_xdp_that_vanishes_comes_back(void **state)
{
    (void)state;
    vanishes("chi-%c");
}

static void iface__that_vanished_may_be_removed(void **state)
{
    (void)state;
    need_namespace();
    sh("ip link add chi-a type veth peer name chi-b && ip link set chi-a up && ip link set chi-b up");
    node_configure(&one, 1, &(struct node_options){.peer = 2, .mtu = 1500, .device = "chi-%c"});
    node_start(&one);
    sh("ip link del chi-a");
    expect_link(&one, "p0", "gone");
    node_refuses(&one, "port.set", "{\"name\":\"p0\",\"mtu\":1500}", "gone");
    json_decref(node_ask(&one, "port.remove", "{\"name\":\"p0\"}"));
    assert_int_equal(ports_of(&one), 0);
    sh("ip link add chi-a type veth peer name chi-b && ip link set chi-a up && ip link set chi-b up");
    expect_driver(iface_add(&one, "again", "chi-a", "10.40.0.1/24", 1500), "net_af_xdp", "at this MTU");
    assert_int_equal(node_stop(&one), 0);
    sh("ip link del chi-a");
}

static void memif__whose_peer_is_killed_shows_it_and_comes_back(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) { /* the client's end, then the server's */
        pair(&(struct node_options){0});
        struct node *dies = i ? &one : &two, *stays = i ? &two : &one;
        expect_link(stays, "p0", "up");
        node_kill(dies);
        expect_link(stays, "p0", "down");
        expect_idle(stays->pid);
        expect_why(stays, "p0", i ? "nobody serves" : "no client connects");
        node_start(dies);
        expect_link(stays, "p0", "up");
        expect_why(stays, "p0", NULL);
        pair_stop(&one, &two);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)
        TEST(ports__come_and_go_under_load),
        TEST(port__that_is_off_for_a_moment_loses_nothing),
        TEST(port__the_last_one_removed_ends_tasks_in_time_and_may_come_again),
        TEST(port__wrong_ones_are_refused_with_the_reason),
        TEST(port__gives_its_memory_back),
        TEST(port__of_memif_leaves_no_listener_behind),
        TEST(iface__by_its_name_gets_af_xdp_or_af_packet),
        TEST(iface__of_af_packet_that_vanishes_comes_back),
        TEST(iface__of_af_xdp_that_vanishes_comes_back),
        TEST(iface__that_vanished_may_be_removed),
        TEST(memif__whose_peer_is_killed_shows_it_and_comes_back),
    };
    in_namespace = geteuid() == 0 && unshare(CLONE_NEWNET) == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
