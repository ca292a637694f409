/* peers_test.c - nodes that come, are drained and go while tasks run; two links between two nodes, of which one fails. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"
#include "probe/probe.h"

static const int64_t LONG = INT64_C(60000000000);
static struct node one, two;
static const char *const with_probe = "  - {mod: probe, pool: 200.0, name: probe}";

static enum chi_status ping(struct chi_client *c, struct chi_query q, uint32_t timeout_us)
{
    struct echo_ping t = ping_to(q, 3);
    t.task.timeout_us = timeout_us;
    chi_submit(c, &t.task);
    return chi_wait(c, &t.task, LONG);
}

static struct probe_where parked(void)
{
    return (struct probe_where){.task = {.pool = {200, 0}, .query = there, .method = &probe_where_method, .timeout_us = 60000000},
                                .mode = PROBE_PARK};
}

static bool has_one_open(void *arg) { return node_peer(arg, 1, "open_in") == 1; }

/* The state that the peer list shows. */
struct state_wait {
    const struct node *node;
    const char *state;
};
static bool has_state(void *arg)
{
    const struct state_wait *w = arg;
    json_t *list = node_call(w->node, "peer.list");
    bool holds = strcmp(json_string_value(json_object_get(json_array_get(list, 0), "state")), w->state) == 0;
    json_decref(list);
    return holds;
}
static void expect_state(const struct node *n, const char *state)
{
    struct state_wait w = {n, state};
    until(has_state, &w, state);
}

static void peer__added_is_reached_at_once_and_pools_stay_as_they_are(void **state)
{
    (void)state;
    struct node_options o = {.nobody = true, .cores = "0, 1"}, b = {.cores = "0, 1"};
    pair_start(&one, &two, &o, &b); /* node 1 knows nobody */
    struct chi_client *c = node_connect(&one);
    assert_int_equal(ping(c, there, 0), CHI_STATUS_NO_NODE);
    json_decref(node_ask(&one, "peer.add", "{\"id\":2,\"name\":\"node2\",\"ip\":\"10.40.0.2\"}"));
    assert_int_equal(ping(c, there, 60000000), CHI_STATUS_OK);
    assert_int_equal(ping(c, chi_hash(1), 60000000), CHI_STATUS_OK); /* one container, here */
    assert_int_equal(ping(c, chi_direct(1), 60000000), CHI_STATUS_NO_CONTAINER);
    chi_disconnect(c);
    load_start(&one);
    load_goes_on("tasks run");
    load_stop();
    pair_stop(&one, &two);
}

static void peer__drained_lets_open_tasks_go_on_and_takes_no_new_ones(void **state)
{
    (void)state;
    struct node_options o = {.modules = MODULES_OF_TESTS, .compose = with_probe, .limits = "task_timeout_ms: 60000"};
    pair_start(&one, &two, &o, &o);
    struct chi_client *c = node_connect(&one), *of_two = node_connect(&two);
    struct probe_where t = parked();
    t.task.timeout_us = 1500000;
    chi_submit(c, &t.task);
    until(has_one_open, &two, "a task is open");
    json_t *answer = node_ask(&one, "peer.drain", "{\"name\":\"node2\"}");
    assert_string_equal(json_string_value(json_object_get(answer, "state")), "draining");
    json_decref(answer);
    assert_int_equal(ping(c, there, 60000000), CHI_STATUS_DRAINING);
    assert_int_equal(ping(c, chi_hash(1), 60000000), CHI_STATUS_DRAINING);
    assert_int_equal(ping(of_two, chi_physical(1), 60000000), CHI_STATUS_OK); /* the other way it goes on */
    assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_DEADLINE);        /* it was open until its end */
    expect_state(&one, "drained");
    json_decref(node_ask(&one, "peer.remove", "{\"name\":\"node2\"}"));
    assert_int_equal(ping(c, there, 0), CHI_STATUS_NO_NODE);
    chi_disconnect(c);
    chi_disconnect(of_two);
    assert_int_equal(node_stop(&two), NODE_GAVE_UP);
    assert_int_equal(node_stop(&one), 0);
}

static void peer__removed_ends_its_tasks_and_may_come_again_elsewhere(void **state)
{
    char params[400];
    (void)state;
    struct node_options o = {.modules = MODULES_OF_TESTS, .compose = with_probe, .mtu = 1500, .memory = "512M"};
    pair_start(&one, &two, &o, &o);
    struct chi_client *c = node_connect(&one);
    struct probe_where t = parked();
    chi_submit(c, &t.task);
    until(has_one_open, &two, "a task is open");
    json_decref(node_ask(&one, "peer.remove", "{\"name\":\"2\"}"));
    assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_PEER_DOWN);
    assert_int_equal(ping(c, there, 0), CHI_STATUS_NO_NODE);
    assert_int_equal(ping(c, chi_hash(1), 0), CHI_STATUS_NO_NODE);
    json_t *list = node_call(&one, "peer.list");
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);

    for (int i = 0; i < 2; i++) { /* another link, and there it is */
        const struct node *n = i ? &two : &one;
        snprintf(params, sizeof params,
                 "{\"name\":\"p1\",\"device\":\"net_memif1,role=%s,id=0,socket=%s/second.sock\",\"ip\":\"10.41.0.%u/24\"}",
                 i ? "client" : "server", test_dir, n->id);
        json_decref(node_ask(n, "port.add", params));
    }
    json_decref(node_ask(&one, "peer.add", "{\"id\":2,\"name\":\"node2\",\"ip\":\"10.41.0.2\"}"));
    json_decref(node_ask(&two, "peer.remove", "{\"name\":\"node1\"}"));
    json_decref(node_ask(&two, "peer.add", "{\"id\":1,\"name\":\"node1\",\"ip\":\"10.41.0.1\"}"));
    json_decref(node_ask(&one, "port.remove", "{\"name\":\"p0\"}"));
    assert_int_equal(ping(c, there, 60000000), CHI_STATUS_OK);
    chi_disconnect(c);
    assert_int_equal(node_stop(&two), NODE_GAVE_UP);
    assert_int_equal(node_stop(&one), 0);
}

static void peer__wrong_ones_are_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *method, *params, *says;
    } wrong[] = {
        {"peer.add", "{\"id\":0,\"name\":\"x\",\"ip\":\"10.40.0.7\"}", "id is '0'; right is"},
        {"peer.add", "{\"id\":70000,\"name\":\"x\",\"ip\":\"10.40.0.7\"}", "id is '70000'; right is"},
        {"peer.add", "{\"id\":7,\"name\":\"x y\",\"ip\":\"10.40.0.7\"}", "name is 'x y'; right is"},
        {"peer.add", "{\"id\":7,\"name\":\"x\",\"ip\":\"\"}", "ip is ''; right is"},
        {"peer.add", "{\"id\":7,\"name\":\"x\",\"ip\":\"10.40.0.7,\"}", "ip is ''; right is"},
        {"peer.add", "{\"id\":7,\"name\":\"x\",\"ip\":\"10.40.0.7777777777777777\"}", "right is"},
        {"peer.add", "{\"id\":7,\"name\":\"x\",\"ip\":\"10.44.0.7\"}", "no port reaches"},
        {"peer.add", "{\"id\":7,\"name\":\"x\",\"ip\":\"10.40.0.3,10.40.0.4,10.40.0.5,10.40.0.6,10.40.0.7\"}", "too many addresses"},
        {"peer.add", "{\"id\":2,\"name\":\"x\",\"ip\":\"10.40.0.7\"}", "the id is that of node node2"},
        {"peer.add", "{\"id\":1,\"name\":\"x\",\"ip\":\"10.40.0.7\"}", "the id is that of node node1"},
        {"peer.add", "{\"id\":7,\"name\":\"node2\",\"ip\":\"10.40.0.7\"}", "the name is that of node node2"},
        {"peer.add", "{\"id\":7,\"name\":\"node1\",\"ip\":\"10.40.0.7\"}", "the name is that of node node1"},
        {"peer.add", "{\"id\":7,\"name\":\"x\",\"ip\":\"10.40.0.2\"}", "the ip is that of node node2"},
        {"peer.drain", "{\"name\":\"x\"}", "there is no node x"},
        {"peer.remove", "{\"name\":\"7\"}", "there is no node 7"},
    };
    node_configure(&one, 1, &(struct node_options){.peer = 2, .limits = "peers: 2"});
    node_start(&one);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        node_refuses(&one, wrong[i].method, wrong[i].params, wrong[i].says);
    json_decref(node_ask(&one, "peer.add", "{\"id\":7,\"name\":\"x\",\"ip\":\"10.40.0.7\"}"));
    node_refuses(&one, "peer.add", "{\"id\":8,\"name\":\"y\",\"ip\":\"10.40.0.8\"}", "raise limits.peers");
    json_decref(node_ask(&one, "peer.remove", "{\"name\":\"x\"}"));
    json_decref(node_ask(&one, "peer.add", "{\"id\":8,\"name\":\"y\",\"ip\":\"10.40.0.7\"}"));
    assert_int_equal(node_stop(&one), 0);
    node_configure(&one, 1, NULL);
    node_start(&one);
    node_refuses(&one, "peer.add", "{\"id\":7,\"name\":\"x\",\"ip\":\"10.40.0.7\"}", "was started without ports");
    node_refuses(&one, "peer.drain", "{\"name\":\"x\"}", "was started without ports");
    node_refuses(&one, "peer.remove", "{\"name\":\"x\"}", "was started without ports");
    assert_int_equal(node_stop(&one), 0);
}

/* --- two links: p0 through a chi-wire, p1 direct */

static pid_t wire;
static int wire_out;
static char wire_control[160];

static void wire_start(void)
{
    char a[220], b[220], log[160];
    snprintf(a, sizeof a, "net_memif0,role=server,socket=%s/memif1.sock", test_dir);
    snprintf(b, sizeof b, "net_memif1,role=server,socket=%s/memif2.sock", test_dir);
    snprintf(log, sizeof log, "%s/wire.log", test_dir);
    snprintf(wire_control, sizeof wire_control, "%s/wire.sock", test_dir);
    const char *const argv[] = {CHI_BUILD_DIR "/bin/chi-wire", "--a", a, "--b", b, "--control", wire_control, "--json", NULL};
    wire = program_start(argv, log, "\"ready\":true", &wire_out);
}

static void wire_set(const char *settings)
{
    char out[4096];
    const char *const argv[] = {CHI_BUILD_DIR "/bin/chi-wire", "--control", wire_control, "--json", "--set", settings, NULL};
    if (run_program(out, sizeof out, argv))
        fail_msg("chi-wire: %s", out);
}

static void wire_stop(void)
{
    int status;
    kill(wire, SIGTERM);
    assert_int_equal(waitpid(wire, &status, 0), wire);
    close(wire_out);
}

static void two_links(const char *cores)
{
    static char second[2][300];
    struct node_options o[2];
    for (int i = 0; i < 2; i++) {
        snprintf(second[i], sizeof second[i], "  - {name: p1, ip: 10.41.0.%d/24, device: \"net_memif1,role=%s,id=0,socket=%s/second.sock\"}",
                 i + 1, i ? "client" : "server", test_dir);
        o[i] = (struct node_options){.wire = true, .mtu = 1500, .memory = "512M", .limits = "task_timeout_ms: 60000, peer_silence_ms: 10000", .ports = second[i], .cores = cores,
                                     .peer_ip = i ? "[10.40.0.1, 10.41.0.1]" : "[10.40.0.2, 10.41.0.2]"};
    }
    wire_start();
    pair_start(&one, &two, &o[0], &o[1]);
    for (int i = 0; i < 4; i++)
        expect_link(i % 2 ? &one : &two, i / 2 ? "p0" : "p1", "up");
    load_start(&one);
    load_goes_on("tasks run");
}

static void two_links_end(void)
{
    load_stop();
    assert_int_equal(tasks_run(&two), load.ended);
    assert_int_equal(node_peer(&one, 2, "downs") + node_peer(&two, 1, "downs"), 0);
    pair_stop(&one, &two);
    wire_stop();
}

struct sent_wait {
    const struct node *node;
    const char *port;
    uint64_t at_least;
};
static uint64_t sent_by(const struct node *n, const char *port)
{
    json_t *list = node_call(n, "port.list"), *p;
    uint64_t v = 0;
    size_t i;
    json_array_foreach (list, i, p)
        if (strcmp(json_string_value(json_object_get(p, "name")), port) == 0)
            v = (uint64_t)json_integer_value(json_object_get(p, "tx_packets"));
    json_decref(list);
    return v;
}
static bool has_sent(void *arg)
{
    const struct sent_wait *w = arg;
    return sent_by(w->node, w->port) >= w->at_least;
}
/* Both ends send by it. */
static void expect_traffic(const char *port)
{
    const struct node *const nodes[] = {&one, &two};
    for (int i = 0; i < 2; i++) {
        struct sent_wait w = {nodes[i], port, sent_by(nodes[i], port) + 50};
        until(has_sent, &w, port);
    }
}

static void links__a_port_that_is_off_or_removed_moves_the_tasks_to_the_other(void **state)
{
    (void)state;
    two_links("0, 1");
    expect_traffic("p0");
    for (int round = 0; round < 3; round++) {
        json_decref(node_ask(&one, "port.set", "{\"name\":\"p0\",\"link\":\"down\"}"));
        expect_traffic("p1");
        load_goes_on("over the second link");
        json_decref(node_ask(&one, "port.set", "{\"name\":\"p0\",\"link\":\"up\"}"));
        expect_traffic("p0");
        load_goes_on("over the first link again");
    }
    assert_true(node_peer(&one, 2, "moves") >= 6);
    json_decref(node_ask(&two, "port.remove", "{\"name\":\"p0\"}"));
    expect_traffic("p1");
    load_goes_on("one end of the first link is gone");
    two_links_end();
}

/* The link is up at both ends, and nothing passes: one way, the other way, both. */
static void links__a_path_that_is_silent_moves_the_tasks_to_the_other(void **state)
{
    static const char *const cuts[] = {"a-b: cut=yes", "b-a: cut=yes", "both: cut=yes"};
    (void)state;
    two_links("0");
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        wire_set(cuts[i]);
        expect_traffic("p1");
        load_goes_on(cuts[i]);
        wire_set("both: cut=no");
        json_decref(node_ask(&one, "port.set", "{\"name\":\"p1\",\"link\":\"down\"}")); /* back by force */
        load_goes_on("over the first link again");
        json_decref(node_ask(&one, "port.set", "{\"name\":\"p1\",\"link\":\"up\"}"));
        expect_traffic("p0");
    }
    two_links_end();
}

/* What the second link is for: the first one's device dies under it. */
static void links__a_link_that_goes_down_moves_the_tasks_to_the_other(void **state)
{
    (void)state;
    two_links("0");
    wire_stop();
    expect_link(&one, "p0", "down");
    load_goes_on("over the second link");
    expect_traffic("p1");
    wire_start();
    expect_link(&one, "p0", "up");
    expect_link(&two, "p0", "up");
    expect_traffic("p0");
    load_goes_on("over the first link again");
    two_links_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)
        TEST(peer__added_is_reached_at_once_and_pools_stay_as_they_are),
        TEST(peer__drained_lets_open_tasks_go_on_and_takes_no_new_ones),
        TEST(peer__removed_ends_its_tasks_and_may_come_again_elsewhere),
        TEST(peer__wrong_ones_are_refused_with_the_reason),
        TEST(links__a_port_that_is_off_or_removed_moves_the_tasks_to_the_other),
        TEST(links__a_path_that_is_silent_moves_the_tasks_to_the_other),
        TEST(links__a_link_that_goes_down_moves_the_tasks_to_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
