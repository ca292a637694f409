/* workers_test.c - two nodes of two workers each on two cores: lanes of the other worker, packets for the other worker's
 * endpoint, several clients at once. */
#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chimods/perf/perf.h"
#include "load.h"

static struct node one, two;
static const int64_t LONG = INT64_C(60000000000);

static void ping__lanes_of_both_workers_answer(void **state)
{
    (void)state;
    enum { COUNT = 2000, WINDOW = 100 };
    static struct echo_ping t[WINDOW];
    struct chi_client *c[2] = {node_connect(&one), node_connect(&one)}; /* dealt to both workers */
    for (uint64_t i = 0; i < COUNT; i += WINDOW) {
        for (unsigned k = 0; k < WINDOW; k++) {
            t[k] = ping_to(chi_hash(i + k), i + k); /* both nodes, all lanes */
            t[k].task.timeout_us = 60000000;
            assert_int_equal(chi_submit(c[k % 2], &t[k].task), CHI_STATUS_PENDING);
        }
        for (unsigned k = 0; k < WINDOW; k++) {
            assert_int_equal(chi_wait(c[k % 2], &t[k].task, LONG), CHI_STATUS_OK);
            assert_int_equal(t[k].value, i + k);
        }
    }
    json_t *list = node_call(&one, "worker.list"), *w;
    size_t i;
    json_array_foreach (list, i, w)
        assert_true(json_integer_value(json_object_get(w, "handovers")) > 0);
    json_decref(list);
    chi_disconnect(c[0]);
    chi_disconnect(c[1]);
}

static void io__regions_are_exact_on_both_endpoints(void **state)
{
    (void)state;
    for (int client = 0; client < 2; client++) {
        struct chi_client *c = node_connect(&one);
        struct chi_client *other = node_connect(&one); /* so that the next one gets the other worker */
        for (uint64_t size = 1; size < 400000; size = size * 5 + 3) {
            assert_int_equal(io_check(c, chi_physical(2), size, size, size), CHI_STATUS_OK);
            assert_int_equal(io_check(other, chi_hash(size), size, size, size), CHI_STATUS_OK);
        }
        chi_disconnect(c);
        chi_disconnect(other);
    }
}

/* The endpoint's worker is not always the lane's. */
static void stream__on_both_nodes_and_all_lanes(void **state)
{
    (void)state;
    struct chi_client *c[2] = {node_connect(&one), node_connect(&one)};
    uint64_t early = 0;
    for (uint64_t hash = 0; hash < 16; hash++)
        early += stream_check(c[hash % 2], chi_hash(hash), 3 << 20, 0, hash);
    assert_true(early > 0);
    chi_disconnect(c[0]);
    chi_disconnect(c[1]);
}

/* The value of a line "KEY:\tVALUE" of a thread's file in /proc, or its first line when key is NULL. */
static void thread_says(pid_t pid, const char *tid, const char *file, const char *key, char *out, size_t cap)
{
    char path[320], line[256];
    snprintf(path, sizeof path, "/proc/%d/task/%s/%s", (int)pid, tid, file);
    FILE *f = fopen(path, "r");
    out[0] = 0;
    while (f && fgets(line, sizeof line, f))
        if (!key || strncmp(line, key, strlen(key)) == 0) {
            snprintf(out, cap, "%.*s", (int)strcspn(line + (key ? strlen(key) : 0), "\n"), line + (key ? strlen(key) : 0));
            break;
        }
    if (f)
        fclose(f);
}

static void workers__run_each_on_its_core(void **state)
{
    (void)state;
    char path[64], name[64], cores[64], want[16];
    unsigned seen = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)one.pid);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        unsigned k;
        thread_says(one.pid, e->d_name, "comm", NULL, name, sizeof name);
        if (sscanf(name, "chi-core-%u", &k) != 1)
            continue;
        thread_says(one.pid, e->d_name, "status", "Cpus_allowed_list:\t", cores, sizeof cores);
        snprintf(want, sizeof want, "%u", k); /* cores: 0, 1 */
        assert_string_equal(cores, want);
        seen |= 1u << k;
    }
    closedir(d);
    assert_int_equal(seen, 3);
}

static void perf__runs_from_both_workers(void **state)
{
    (void)state;
    struct chi_client *c[2] = {node_connect(&one), node_connect(&one)};
    static struct perf_run p[2];
    for (int k = 0; k < 2; k++) {
        p[k] = (struct perf_run){.task = {.pool = {101, 0}, .query = chi_local(), .method = &perf_run_method, .timeout_us = 60000000},
                                 .echo = ECHO, .to = chi_physical(2), .window = 8, .direction = PERF_BOTH, .verify = 1, .count = 300,
                                 .size = 30000, .task_timeout_us = 60000000};
        assert_int_equal(chi_submit(c[k], &p[k].task), CHI_STATUS_PENDING);
    }
    for (int k = 0; k < 2; k++) {
        assert_int_equal(chi_wait(c[k], &p[k].task, LONG), CHI_STATUS_OK);
        assert_int_equal(p[k].done, 300);
        assert_int_equal(p[k].errors + p[k].wrong, 0);
        chi_disconnect(c[k]);
    }
}

/* Sum of a figure over the lanes of echo. */
static uint64_t of_lanes(const struct node *n, const char *figure)
{
    json_t *list = node_call(n, "lane.list"), *l;
    uint64_t sum = 0;
    size_t i;
    json_array_foreach (list, i, l)
        if (strcmp(json_string_value(json_object_get(l, "name")), "echo") == 0)
            sum += (uint64_t)json_integer_value(json_object_get(l, figure));
    json_decref(list);
    return sum;
}

/* chictl lane move: exit status, and a part of what it prints. */
static void chictl_moves(const struct node *n, const char *pool, const char *lane, const char *worker, int status, const char *says)
{
    char out[4096];
    const char *const argv[] = {CHI_BUILD_DIR "/bin/chictl", "--socket", n->socket, "lane",   "move", "--pool", pool,
                                "--lane",                    lane,       "--worker", worker, NULL};
    int got = run_program(out, sizeof out, argv);
    if (got != status || !strstr(out, says))
        fail_msg("chictl lane move --pool %s --lane %s --worker %s ended with %d, not %d, and said: %s", pool, lane, worker, got, status, out);
}

/* Lanes of the node that runs the tasks go to and fro while a client sends without end: each task runs once, and ends well. */
static void lanes__move_under_load(void **state)
{
    enum { MOVES = 200 };
    static const char *const number[] = {"0", "1"};
    (void)state;
    uint64_t before = of_lanes(&two, "started");
    assert_int_equal(of_lanes(&two, "worker"), 1); /* lane k on worker k */
    load_start(&one);
    load_goes_on("before the lanes move");
    chictl_moves(&two, "echo", "0", "1", 0, "worker:    1");
    for (unsigned i = 0; i < MOVES; i++) {
        char params[80];
        snprintf(params, sizeof params, "{\"pool\": \"100.0\", \"container\": 1, \"lane\": %u, \"worker\": %u}", i % 2, i / 2 % 2);
        json_t *l = node_ask(&two, "lane.move", params);
        assert_int_equal(json_integer_value(json_object_get(l, "worker")), i / 2 % 2);
        assert_string_equal(json_string_value(json_object_get(l, "moves")), "yes");
        json_decref(l);
        if (i % 50 == 0)
            load_goes_on("while the lanes move");
    }
    for (unsigned k = 0; k < 2; k++)
        chictl_moves(&two, "100.0", number[k], number[k], 0, number[k]);
    load_goes_on("after the lanes moved");
    load_stop();
    assert_int_equal(of_lanes(&two, "started") - before, load.ended);
    assert_int_equal(of_lanes(&two, "depth"), 0);
    assert_true(of_lanes(&two, "used_ns") > 0);
    json_t *s = node_call(&two, "stats");
    assert_true(json_integer_value(json_object_get(json_object_get(s, "workers"), "lanes_taken")) > MOVES / 2);
    json_decref(s);
}

static void lanes__what_cannot_move_says_why(void **state)
{
    (void)state;
    chictl_moves(&one, "remote_queue", "0", "1", 1, "the lanes of queue 0 of pool remote_queue are fixed");
    chictl_moves(&one, "7.0", "0", "1", 1, "there is no pool '7.0' here");
    chictl_moves(&one, "echo", "2", "1", 1, "lane is 2; right is a number from 0 to 1");
    chictl_moves(&one, "echo", "-1", "1", 1, "lane is -1");
    chictl_moves(&one, "echo", "0", "2", 1, "worker is 2; right is a number from 0 to 1");
    chictl_moves(&one, "echo", "0", "one", 2, "--worker is 'one'; right is a number");
    node_refuses(&one, "lane.move", "{\"pool\": \"echo\", \"queue\": 1, \"lane\": 0, \"worker\": 1}", "pool echo has no queue 1");
    node_refuses(&one, "lane.move", "{\"pool\": \"echo\", \"container\": 1, \"lane\": 0, \"worker\": 1}", "pool echo has no container 1 here");
    node_refuses(&one, "lane.move", "{\"pool\": \"echo\", \"queue\": 99, \"lane\": 0, \"worker\": 1}", "has no queue 99");
    node_refuses(&one, "lane.move", "{\"pool\": \"echo\", \"lane\": 0}", "worker");
}

/* The entry of a method in load.list, or NULL; a new reference. */
static json_t *load_of(const struct node *n, const char *method)
{
    json_t *all = node_call(n, "load.list"), *m, *found = NULL;
    size_t i;
    json_array_foreach (json_object_get(all, "methods"), i, m)
        if (strcmp(json_string_value(json_object_get(m, "method")), method) == 0)
            found = m;
    json_incref(found);
    json_decref(all);
    return found;
}
static bool has_measured_many(void *node)
{
    json_t *m = load_of(node, "ECHO_PING");
    bool holds = m && json_integer_value(json_object_get(m, "measured")) > 100;
    json_decref(m);
    return holds;
}
static json_int_t number_in(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }

static void load__is_measured_and_shown(void **state)
{
    char out[4096];
    (void)state;
    load_start(&one);
    until(has_measured_many, &two, "node 2 measures pings");
    assert_int_equal(run_program(out, sizeof out, (const char *const[]){CHI_BUILD_DIR "/bin/chictl", "-s", two.socket, "top", "--interval", "0.3", NULL}), 0);
    if (!strstr(out, "busy %") || !strstr(out, "echo.ECHO_PING"))
        fail_msg("chictl top of node 2: %s", out);
    load_stop();
    json_t *m = load_of(&two, "ECHO_PING"), *away = load_of(&one, "(all)"); /* of the remote queue, by the batch */
    assert_string_equal(json_string_value(json_object_get(m, "module")), "echo");
    assert_string_equal(json_string_value(json_object_get(away, "module")), "remote_queue");
    for (int i = 0; i < 2; i++) {
        const json_t *o = i ? away : m;
        assert_true(number_in(o, "measured") <= number_in(o, "tasks"));
        assert_true(number_in(o, "mean_ns") > 0 && number_in(o, "run_ns") > 0 && number_in(o, "bytes") == 0);
    }
    json_decref(m);
    json_decref(away);
    json_t *all = node_call(&two, "load.list"), *w;
    size_t i;
    json_int_t lanes = 0;
    json_array_foreach (json_object_get(all, "workers"), i, w) {
        lanes += number_in(w, "lanes");
        assert_true(number_in(w, "queued") == 0 && number_in(w, "queued_ns") == 0 && number_in(w, "open") == 0);
        assert_true(number_in(w, "busy_ns") > 0);
    }
    json_t *list = node_call(&two, "lane.list");
    assert_int_equal(lanes, json_array_size(list));
    json_decref(list);
    json_decref(all);
}

/* A process that posts to both nodes and is gone at once: all of it runs, and what cannot is counted. */
enum { POSTS = 200 };
static json_int_t stat_of(const struct node *n, const char *key)
{
    json_t *s = node_call(n, "stats");
    json_int_t v = number_in(json_object_get(s, "workers"), key);
    json_decref(s);
    return v;
}
static json_int_t posts_before, failed_before, run_before;
static bool posts_are_over(void *arg)
{
    (void)arg;
    return stat_of(&one, "posts") - posts_before == POSTS && stat_of(&one, "posts_failed") - failed_before == POSTS / 4 &&
           stat_of(&two, "tasks_run") - run_before == POSTS / 2;
}
static void post__of_a_process_that_is_gone_runs(void **state)
{
    int status = 0;
    (void)state;
    posts_before = stat_of(&one, "posts");
    failed_before = stat_of(&one, "posts_failed");
    run_before = stat_of(&two, "tasks_run");
    pid_t child = fork();
    if (child == 0) {
        struct chi_client *c;
        if (chi_connect(one.socket, NULL, &c))
            _exit(1);
        for (unsigned i = 0; i < POSTS; i++) {
            struct echo_ping t = ping_to(i % 2 ? chi_physical(2) : i % 4 ? chi_local() : chi_direct(99), i);
            if (chi_post(c, &t.task) != CHI_STATUS_OK)
                _exit(2);
        }
        kill(getpid(), SIGKILL);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_true(WIFSIGNALED(status));
    until(posts_are_over, NULL, "all posts have run");
}

/* A node that moves lanes by load, and one whose lanes begin by hash. */
static bool has_looked(void *node)
{
    json_t *s = node_call(node, "stats");
    bool holds = json_integer_value(json_object_get(json_object_get(s, "lanes"), "looks")) > 3;
    json_decref(s);
    return holds;
}
static void lanes__by_load_and_by_hash(void **state)
{
    struct node n[2];
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        node_configure(&n[i], 11 + i, &(struct node_options){.cores = "0, 1", .lanes = i ? "by_hash" : "load"});
        node_start(&n[i]);
        struct chi_client *c = node_connect(&n[i]);
        for (uint64_t k = 0; k < 2000; k++) {
            struct echo_ping t = ping_to(chi_hash(k), k);
            assert_int_equal(chi_submit(c, &t.task), CHI_STATUS_PENDING);
            assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_OK);
            assert_int_equal(t.value, k);
        }
        chi_disconnect(c);
    }
    until(has_looked, &n[0], "the node looks at the load");
    assert_false(has_looked(&n[1]));
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(node_stop(&n[i]), 0);
}

static int setup(void **state)
{
    folder_setup(state);
    pair_start(&one, &two, &(struct node_options){.cores = "0, 1", .limits = "task_timeout_ms: 60000"},
               &(struct node_options){.cores = "0, 1"});
    return 0;
}

/* A test, not the group's teardown, whose failure cmocka does not count. */
static void stop__the_daemons_end_well(void **state)
{
    (void)state;
    pair_stop(&one, &two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ping__lanes_of_both_workers_answer),
        cmocka_unit_test(io__regions_are_exact_on_both_endpoints),
        cmocka_unit_test(stream__on_both_nodes_and_all_lanes),
        cmocka_unit_test(workers__run_each_on_its_core),
        cmocka_unit_test(perf__runs_from_both_workers),
        cmocka_unit_test(lanes__move_under_load),
        cmocka_unit_test(lanes__what_cannot_move_says_why),
        cmocka_unit_test(load__is_measured_and_shown),
        cmocka_unit_test(post__of_a_process_that_is_gone_runs),
        cmocka_unit_test(lanes__by_load_and_by_hash),
        cmocka_unit_test(stop__the_daemons_end_well),
    };
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        return 77; /* a worker needs a core of its own: ctest counts it as skipped */
    return cmocka_run_group_tests(tests, setup, folder_teardown);
}
