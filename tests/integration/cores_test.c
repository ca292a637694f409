/* cores_test.c - cores come and go, and threads idle otherwise, by chictl, while tasks go from one node to another; a module holds a thread. */
#include <unistd.h>

#include "chimods/perf/perf.h"
#include "load.h"
#include "probe/probe.h"

static struct node one, two;
static const int64_t LONG = INT64_C(60000000000);

/* chictl worker ...: exit status, and a part of what it prints. */
static void chictl_says(const struct node *n, const char *verb, const char *option, const char *value, int status, const char *says)
{
    char out[4096];
    const char *const argv[] = {CHI_BUILD_DIR "/bin/chictl", "--socket", n->socket, "worker", verb, option, value, NULL};
    int got = run_program(out, sizeof out, argv);
    if (got != status || !strstr(out, says))
        fail_msg("chictl worker %s %s %s ended with %d, not %d, and said: %s", verb, option ? option : "", value ? value : "", got, status, out);
}

/* How many workers a core turns, by worker.list; and how they idle. */
static unsigned workers_on(const struct node *n, int core, const char *idle)
{
    json_t *list = node_call(n, "worker.list"), *w;
    unsigned count = 0;
    size_t i;
    json_array_foreach (list, i, w)
        count += json_integer_value(json_object_get(w, "core")) == core && (!idle || strcmp(json_string_value(json_object_get(w, "idle")), idle) == 0);
    json_decref(list);
    return count;
}

/* Both nodes, with tasks between them all the while: each ends well, and node 2 runs each once. */
static void cores__come_and_go_under_load(void **state)
{
    enum { CHANGES = 24 };
    static const char *const core[] = {"0", "1"};
    (void)state;
    uint64_t before = tasks_run(&two);
    load_start(&one);
    load_goes_on("before cores change");
    assert_int_equal(workers_on(&one, 0, NULL), 2);
    assert_int_equal(workers_on(&two, 0, NULL) + workers_on(&two, 1, NULL), 3);
    for (unsigned i = 0; i < CHANGES; i++) {
        const struct node *n = i % 2 ? &one : &two;
        chictl_says(n, "remove", "--core", core[i / 2 % 2], 0, "core");
        assert_int_equal(workers_on(n, (int)(i / 2 % 2), NULL), 0);
        load_goes_on("behind a core's removal");
        chictl_says(n, "add", "--core", core[i / 2 % 2], 0, "core");
        assert_true(workers_on(n, (int)(i / 2 % 2), NULL) > 0);
        if (i % 10 == 0) { /* bulk too, by whichever worker */
            struct chi_client *c = node_connect(&one);
            assert_int_equal(io_check(c, there, 300000, 300000, i), CHI_STATUS_OK);
            chi_disconnect(c);
        }
    }
    load_goes_on("behind all changes");
    load_stop();
    assert_true(tasks_run(&two) - before >= load.ended);
}

static void cores__what_cannot_be_says_why(void **state)
{
    (void)state;
    chictl_says(&one, "add", "--core", "1", 1, "core 1 turns workers already");
    chictl_says(&one, "add", "--core", "1023", 1, "core is 1023, which this process cannot run on; cores here: 0");
    chictl_says(&one, "add", "--core", "-1", 1, "core is -1; right is a number from 0 to 1023");
    chictl_says(&one, "add", "--core", "1024", 1, "core is 1024; right is a number from 0 to 1023");
    chictl_says(&one, "add", "--core", "one", 2, "--core is 'one'; right is a number");
    chictl_says(&one, "add", NULL, NULL, 1, "core");
    chictl_says(&one, "remove", "--core", "7", 1, "core 7 turns no worker");
    chictl_says(&one, "remove", "--core", "1", 0, "workers");
    chictl_says(&one, "remove", "--core", "0", 1, "core 0 is the only one; add another one first");
    chictl_says(&one, "add", "--core", "1", 0, "workers");
    chictl_says(&one, "set", "--idle", "lazy", 1, "idle is 'lazy'; right is adaptive or busy");
    chictl_says(&one, "set", NULL, NULL, 1, "idle");
    node_refuses(&one, "worker.set", "{\"idle\": \"busy\", \"core\": 9}", "core 9 turns no worker");
    chictl_says(&two, "add", "--core", "0", 1, "core 0 turns workers already");
    node_refuses(&one, "worker.add", "{\"core\": 1000}", "which this process cannot run on");
}

/* A node whose workers have a core each already. */
static void cores__are_no_more_than_workers(void **state)
{
    (void)state;
    struct node n;
    node_configure(&n, 21, &(struct node_options){.cores = "0"});
    node_start(&n);
    chictl_says(&n, "add", "--core", "1", 1, "each of the 1 workers has a core of its own, and their number is fixed at the start: workers.count");
    assert_int_equal(node_stop(&n), 0);
}

static bool never_sleeps(void *node)
{
    uint64_t sleeps[2], turns[2];
    for (int i = 0; i < 2; i++) {
        json_t *s = node_call(node, "stats"), *w = json_object_get(s, "workers");
        sleeps[i] = (uint64_t)json_integer_value(json_object_get(w, "sleeps"));
        turns[i] = (uint64_t)json_integer_value(json_object_get(w, "turns"));
        json_decref(s);
        usleep(1000);
    }
    return sleeps[0] == sleeps[1] && turns[1] > turns[0];
}
static bool sleeps(void *node) { return !never_sleeps(node); }

static void idle__is_set_while_it_runs(void **state)
{
    (void)state;
    struct node n;
    node_configure(&n, 22, &(struct node_options){.cores = "0", .workers = 3});
    node_start(&n);
    assert_int_equal(workers_on(&n, 0, "adaptive"), 3);
    until(sleeps, &n, "an idle node sleeps");
    chictl_says(&n, "set", "--idle", "busy", 0, "busy");
    assert_int_equal(workers_on(&n, 0, "busy"), 3);
    until(never_sleeps, &n, "a busy node sleeps no more");
    chictl_says(&n, "set", "--idle", "adaptive", 0, "adaptive");
    until(sleeps, &n, "it sleeps again");
    expect_idle(n.pid); /* three workers on one thread */
    assert_int_equal(node_stop(&n), 0);
}

/* --- a module holds the thread of several workers: the others go on, and come back */

static bool is_held(void *gate) { return __atomic_load_n(&((uint8_t *)gate)[1], __ATOMIC_ACQUIRE) != 0; }
static bool named(void *node) { return log_says(node, "it is held by PROBE_HOLD of module probe"); }
static bool gone_on(void *node) { return log_says(node, "which its thread turned too, go on on other threads"); }
static bool turns_again(void *node) { return log_says(node, "turns again, after"); }

static void thread__that_a_task_holds_gives_its_other_workers_away(void **state)
{
    static const char probe[] = "  - {mod: probe, pool: 200.0, name: probe}";
    (void)state;
    struct node n;
    node_configure(&n, 23, &(struct node_options){.cores = "0", .workers = 3, .modules = MODULES_OF_TESTS, .compose = probe, .limits = "watchdog_ms: 100"});
    node_start(&n);
    struct chi_client *c[3];
    for (int i = 0; i < 3; i++)
        c[i] = node_connect(&n); /* one each worker */
    uint8_t *gate = chi_bulk_alloc(c[0], 2);
    gate[0] = gate[1] = 0;
    struct probe_hold t = {.task = {.pool = {200, 0}, .query = chi_local(), .method = &probe_hold_method}, .gate = {gate, 2, 0}};
    chi_submit(c[0], &t.task);
    until(is_held, gate, "a worker is in the module");
    until(named, &n, "the watchdog names what holds it");
    until(gone_on, &n, "the other workers go to another thread");
    unsigned turn = 0;
    json_t *list = node_call(&n, "worker.list"), *w;
    size_t i;
    json_array_foreach (list, i, w)
        turn += json_is_integer(json_object_get(w, "tasks_open")); /* says the worker itself */
    json_decref(list);
    assert_int_equal(turn, 2);
    for (int k = 1; k < 3; k++) /* by their own workers */
        assert_int_equal(io_check(c[k], chi_local(), 50000, 50000, 1), CHI_STATUS_OK);
    __atomic_store_n(&gate[0], 1, __ATOMIC_RELEASE);
    assert_int_equal(chi_wait(c[0], &t.task, LONG), CHI_STATUS_OK);
    until(turns_again, &n, "the worker turns again");
    for (int k = 0; k < 3; k++) {
        assert_int_equal(io_check(c[k], chi_local(), 50000, 50000, 1), CHI_STATUS_OK);
        chi_disconnect(c[k]);
    }
    assert_int_equal(node_stop(&n), 0);
}

static int setup(void **state)
{
    folder_setup(state);
    pair_start(&one, &two, &(struct node_options){.cores = "0, 1", .workers = 4, .limits = "task_timeout_ms: 60000"},
               &(struct node_options){.cores = "0, 1", .workers = 3});
    return 0;
}
static void stop__the_daemons_end_well(void **state)
{
    (void)state;
    pair_stop(&one, &two);
}

/* Ports that interrupt, on a thread that sleeps for two workers. */
static void ports__wake_a_thread_of_several_workers(void **state)
{
    (void)state;
    pair_start(&one, &two, &(struct node_options){.vhost = true, .cores = "0", .workers = 2}, &(struct node_options){.vhost = true, .cores = "1", .workers = 2});
    struct chi_client *c[2] = {node_connect(&one), node_connect(&one)}; /* one each worker */
    for (int i = 0; i < 20; i++) {
        until(sleeps, &two, "the other node sleeps");
        for (int k = 0; k < 2; k++) {
            struct echo_ping t = ping_to(there, (uint64_t)i);
            assert_int_equal(chi_submit(c[k], &t.task), CHI_STATUS_PENDING);
            assert_int_equal(chi_wait(c[k], &t.task, LONG), CHI_STATUS_OK);
            assert_int_equal(t.value, i);
        }
    }
    expect_idle(two.pid);
    chi_disconnect(c[0]);
    chi_disconnect(c[1]);
    pair_stop(&one, &two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cores__come_and_go_under_load),
        cmocka_unit_test(cores__what_cannot_be_says_why),
        cmocka_unit_test(cores__are_no_more_than_workers),
        cmocka_unit_test(idle__is_set_while_it_runs),
        cmocka_unit_test(thread__that_a_task_holds_gives_its_other_workers_away),
        cmocka_unit_test(stop__the_daemons_end_well),
        cmocka_unit_test(ports__wake_a_thread_of_several_workers),
    };
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        return 77;
    return cmocka_run_group_tests(tests, setup, folder_teardown);
}
