/* failure_test.c - what is missing, differs, or dies: each task ends with a status, and the daemons stay. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "probe/probe.h"

static const struct chi_query there = {CHI_QUERY_PHYSICAL, 0, 2};
static const int64_t LONG = INT64_C(60000000000);

static enum chi_status ping(struct chi_client *c, struct chi_query q, uint32_t timeout_us)
{
    struct echo_ping t = ping_to(q, 3);
    t.task.timeout_us = timeout_us;
    chi_submit(c, &t.task);
    return chi_wait(c, &t.task, LONG);
}

static void peer__that_is_not_there_ends_the_task_in_time(void **state)
{
    (void)state;
    struct node one;
    node_configure(&one, 1, &(struct node_options){.peer = 2, .limits = "task_timeout_ms: 300"});
    node_start(&one);
    struct chi_client *c = node_connect(&one);
    assert_int_equal(ping(c, there, 0), CHI_STATUS_UNREACHABLE);     /* the daemon's default */
    assert_int_equal(ping(c, there, 50000), CHI_STATUS_UNREACHABLE); /* its own */
    assert_int_equal(ping(c, chi_local(), 0), CHI_STATUS_OK);       /* the others notice nothing */
    assert_int_equal(node_peer(&one, 2, "open_out"), 0);
    chi_disconnect(c);
    assert_int_equal(node_stop(&one), 0);
}

static void peer__that_comes_late_is_found(void **state)
{
    (void)state;
    struct node one, two;
    node_configure(&one, 1, &(struct node_options){.peer = 2});
    node_configure(&two, 2, &(struct node_options){.peer = 1});
    node_start(&one);
    struct chi_client *c = node_connect(&one);
    struct echo_ping t = ping_to(there, 8);
    t.task.timeout_us = 60000000;
    chi_submit(c, &t.task);
    assert_int_equal(chi_wait(c, &t.task, 100000000), CHI_STATUS_TIMED_OUT);
    node_start(&two);
    assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_OK);
    assert_int_equal(t.value, 8);
    chi_disconnect(c);
    pair_stop(&one, &two);
}

static void peer__killed_and_restarted_ends_tasks_and_works_again(void **state)
{
    (void)state;
    struct node one, two;
    pair_start(&one, &two, NULL, NULL);
    struct chi_client *c = node_connect(&one);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(ping(c, there, 60000000), CHI_STATUS_OK);
        node_kill(&two);
        assert_int_equal(ping(c, there, 200000), CHI_STATUS_DEADLINE);
        struct echo_ping t = ping_to(there, 1);
        t.task.timeout_us = 60000000;
        chi_submit(c, &t.task);
        node_start(&two);
        /* It may have gone to the life before: then its end says so.  Otherwise it ran. */
        enum chi_status st = chi_wait(c, &t.task, LONG);
        assert_true(st == CHI_STATUS_OK || st == CHI_STATUS_PEER_RESTARTED || st == CHI_STATUS_PEER_DOWN);
        assert_int_equal(ping(c, there, 60000000), CHI_STATUS_OK);
    }
    chi_disconnect(c);
    pair_stop(&one, &two);
}

static void peer__of_another_cluster_is_refused(void **state)
{
    (void)state;
    struct node one, two;
    pair_start(&one, &two, NULL, &(struct node_options){.cluster = "other"});
    struct chi_client *c = node_connect(&one);
    assert_int_equal(ping(c, there, 60000000), CHI_STATUS_PEER_CLUSTER);
    chi_disconnect(c);
    pair_stop(&one, &two);
}

static void peer__with_another_method_table_says_so(void **state)
{
    (void)state;
    struct node one, two;
    pair_start(&one, &two, NULL, &(struct node_options){.modules = MODULES_OTHER});
    struct chi_client *c = node_connect(&one);
    assert_int_equal(ping(c, there, 60000000), CHI_STATUS_SCHEMA);
    assert_int_equal(ping(c, chi_local(), 0), CHI_STATUS_OK);
    chi_disconnect(c);
    pair_stop(&one, &two);
}

static const char *const with_probe = "  - {mod: probe, pool: 200.0, name: probe}";
static struct probe_where parked_at(struct chi_query q)
{
    return (struct probe_where){.task = {.pool = {200, 0}, .query = q, .method = &probe_where_method, .timeout_us = 60000000},
                                .mode = PROBE_PARK};
}

/* chictl task list of the node has one, the parked one. */
static void expect_task(const struct node *n, const char *state, const char *from, json_int_t node, json_int_t done)
{
    json_t *list = node_call(n, "task.list"), *t = json_array_get(list, 0);
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_string_value(json_object_get(t, "method")), "probe.PROBE_WHERE");
    assert_string_equal(json_string_value(json_object_get(t, "state")), state);
    assert_string_equal(json_string_value(json_object_get(t, "from")), from);
    assert_int_equal(json_integer_value(json_object_get(t, "node")), node);
    assert_int_equal(json_integer_value(json_object_get(t, "done")), done);
    assert_int_equal(json_integer_value(json_object_get(t, "whole")), done ? 8 : 0);
    json_decref(list);
}

/* The form passes through node 1, which has the pool; node 2 judges it. */
static void peer__without_the_pool_says_so(void **state)
{
    (void)state;
    struct node one, two;
    pair_start(&one, &two, &(struct node_options){.modules = MODULES_OF_TESTS, .compose = with_probe}, NULL);
    struct chi_client *c = node_connect(&one);
    struct probe_where t = parked_at(there);
    chi_submit(c, &t.task);
    assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_NO_POOL);
    assert_int_equal(ping(c, there, 0), CHI_STATUS_OK);
    chi_disconnect(c);
    pair_stop(&one, &two);
}

/* For node 1 the hash means node 2, for node 2 it means node 3: a task travels once. */
static void peer__whose_cluster_differs_sends_no_task_on(void **state)
{
    (void)state;
    struct node one, two;
    pair_start(&one, &two, NULL, &(struct node_options){.third = true});
    struct chi_client *c = node_connect(&one);
    assert_int_equal(ping(c, chi_hash(5), 60000000), CHI_STATUS_NO_CONTAINER);
    assert_int_equal(ping(c, chi_hash(1), 60000000), CHI_STATUS_OK);
    chi_disconnect(c);
    pair_stop(&one, &two);
}

static struct probe_large large_at(struct chi_query q, enum probe_large_mode mode)
{
    return (struct probe_large){.task = {.pool = {200, 0}, .query = q, .method = &probe_large_method, .timeout_us = 60000000}, .mode = mode};
}

static bool has_one_open(void *arg) { return node_peer(arg, 1, "open_in") == 1; }

/* Its task runs there, with a deadline far away. */
static void peer__that_dies_with_a_task_running_ends_it(void **state)
{
    (void)state;
    struct node one, two;
    struct node_options o = {.modules = MODULES_OF_TESTS, .compose = with_probe, .limits = "peer_silence_ms: 500"};
    pair_start(&one, &two, &o, &o);
    struct chi_client *c = node_connect(&one);
    struct probe_where t = parked_at(there);
    t.task.timeout_us = 600000000;
    chi_submit(c, &t.task);
    until(has_one_open, &two, "the task runs");
    expect_task(&one, "away", "client", 2, 0);
    expect_task(&two, "runs", "node", 0, 3);
    node_kill(&two);
    assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_PEER_DOWN);
    assert_int_equal(node_peer(&one, 2, "downs"), 1);
    assert_int_equal(node_peer(&one, 2, "open_out"), 0);
    node_start(&two);
    assert_int_equal(ping(c, there, 60000000), CHI_STATUS_OK);
    chi_disconnect(c);
    pair_stop(&one, &two);
}

static void pause_for(const struct node *n, long ms)
{
    kill(n->pid, SIGSTOP);
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); /* the pause is what is tested */
    kill(n->pid, SIGCONT);
}

/* 200 ms of the peer's, and three times the silence of our own. */
static void pause__is_not_taken_for_the_peer_s_end(void **state)
{
    (void)state;
    struct node one, two;
    struct node_options o = {.modules = MODULES_OF_TESTS, .compose = with_probe}, patient = o;
    patient.limits = "peer_silence_ms: 60000";
    pair_start(&one, &two, &o, &patient);
    struct chi_client *c = node_connect(&one);
    struct probe_where t = parked_at(there);
    chi_submit(c, &t.task);
    until(has_one_open, &two, "the task runs");
    pause_for(&two, 200);
    assert_int_equal(ping(c, there, 60000000), CHI_STATUS_OK);
    pause_for(&one, 3000);
    assert_int_equal(ping(c, there, 60000000), CHI_STATUS_OK);
    assert_int_equal(node_peer(&one, 2, "downs"), 0);
    assert_int_equal(chi_wait(c, &t.task, 0), CHI_STATUS_TIMED_OUT); /* still out */
    chi_disconnect(c);
    assert_int_equal(node_stop(&two), NODE_GAVE_UP);
    assert_int_equal(node_stop(&one), 0);
}

/* Node 2 has 16 records of that size: what finds none ends at once, and holds nobody else up.  Tasks that never end do not keep
 * the daemon from stopping either. */
static void peer__without_records_says_so(void **state)
{
    (void)state;
    enum { RECORDS = 16, SENT = 20 };
    struct node one, two;
    struct node_options o = {.modules = MODULES_OF_TESTS, .compose = with_probe}, small = o;
    small.limits = "tasks: 64";
    pair_start(&one, &two, &o, &small);
    struct chi_client *c = node_connect(&one);
    static struct probe_large t[SENT];
    for (int i = 0; i < SENT; i++) {
        t[i] = large_at(there, PROBE_LARGE_PARK);
        assert_int_equal(chi_submit(c, &t[i].task), CHI_STATUS_PENDING);
    }
    for (int i = RECORDS; i < SENT; i++)
        assert_int_equal(chi_wait(c, &t[i].task, LONG), CHI_STATUS_NO_MEMORY);
    assert_int_equal(ping(c, there, 60000000), CHI_STATUS_OK);
    assert_int_equal(node_stop(&two), NODE_GAVE_UP);
    for (int i = 0; i < RECORDS; i++)
        assert_int_equal(chi_wait(c, &t[i].task, LONG), CHI_STATUS_PEER_DOWN);
    chi_disconnect(c);
    assert_int_equal(node_stop(&one), 0);
}

static bool refuses_more(void *arg) { return node_drop(arg, "NO_MEMORY") > 0 && node_peer(arg, 1, "open_in") == 32; }

/* Half of its records are for tasks that come in: more wait at their origin, and the node works on. */
static void peer__with_as_many_tasks_as_may_come_in_makes_the_others_wait(void **state)
{
    (void)state;
    enum { SENT = 40 };
    struct node one, two;
    struct node_options o = {.modules = MODULES_OF_TESTS, .compose = with_probe}, small = o;
    small.limits = "tasks: 64";
    pair_start(&one, &two, &o, &small);
    struct chi_client *c = node_connect(&one), *of_two = node_connect(&two);
    static struct probe_where t[SENT];
    for (int i = 0; i < SENT; i++) {
        t[i] = parked_at(there);
        assert_int_equal(chi_submit(c, &t[i].task), CHI_STATUS_PENDING);
    }
    until(refuses_more, &two, "node 2 has as many tasks as may come in");
    assert_int_equal(ping(of_two, chi_local(), 0), CHI_STATUS_OK);
    assert_int_equal(chi_wait(c, &t[SENT - 1].task, 0), CHI_STATUS_TIMED_OUT);
    chi_disconnect(c);
    chi_disconnect(of_two);
    assert_int_equal(node_stop(&two), NODE_GAVE_UP);
    assert_int_equal(node_stop(&one), 0);
}

/* Forms and answers that are longer than a packet need bulk memory: without it the task ends, and small ones still go. */
static void memory__that_is_used_up_ends_large_tasks(void **state)
{
    (void)state;
    struct node one, two;
    struct node_options o = {.modules = MODULES_OF_TESTS, .compose = with_probe};
    pair_start(&one, &two, &o, &o);
    struct chi_client *c = node_connect(&one);
    static struct probe_large t;
    const struct chi_query hogs[] = {there, chi_local()};
    for (int i = 0; i < 2; i++) {
        t = large_at(hogs[i], PROBE_LARGE_HOG);
        chi_submit(c, &t.task);
        assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_OK);
        t = large_at(i ? chi_local() : there, i ? PROBE_LARGE_SEND : PROBE_LARGE_PLAIN); /* node 1's form, node 2's answer */
        t.to = 2;
        t.bytes.len = i ? 12000 : 0;
        t.want = 12000;
        chi_submit(c, &t.task);
        assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_NO_MEMORY);
        assert_int_equal(ping(c, there, 60000000), CHI_STATUS_OK);
    }
    chi_disconnect(c);
    pair_stop(&one, &two);
}

static bool all_is_back(void *arg)
{
    json_t *list = node_call(arg, "worker.list"), *w = json_array_get(list, 0);
    json_t *tasks = json_object_get(w, "tasks_open"), *memory = json_object_get(w, "memory_used_bytes");
    assert_true(json_is_integer(tasks) && json_is_integer(memory));
    bool back = json_integer_value(tasks) == 0 && json_integer_value(memory) == 0;
    json_decref(list);
    return back;
}

/* Several times what there is, one after the other: all of it is given back. */
static void memory__of_tasks_that_ended_is_used_again(void **state)
{
    (void)state;
    enum { TASKS = 10240, WINDOW = 32 }; /* each takes 16 KiB of 144 MiB, for its form and for its answer */
    struct node one, two;
    struct node_options o = {.modules = MODULES_OF_TESTS, .compose = with_probe, .memory = "192M"};
    pair_start(&one, &two, &o, &o);
    struct chi_client *c = node_connect(&one);
    static struct probe_large t[WINDOW];
    for (int i = 0; i < TASKS; i += WINDOW) {
        for (int k = 0; k < WINDOW; k++) {
            t[k] = large_at(chi_local(), PROBE_LARGE_SEND);
            t[k].to = 2;
            t[k].bytes.len = 12000;
            assert_int_equal(chi_submit(c, &t[k].task), CHI_STATUS_PENDING);
        }
        for (int k = 0; k < WINDOW; k++)
            assert_int_equal(chi_wait(c, &t[k].task, LONG), CHI_STATUS_OK);
    }
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(io_check(c, there, 4000000, 4000000, i), CHI_STATUS_OK);
    until(all_is_back, &one, "node 1 has no task and no bulk memory out");
    until(all_is_back, &two, "nor has node 2");
    chi_disconnect(c);
    pair_stop(&one, &two);
}

static bool no_clients(void *arg)
{
    json_t *s = node_call(arg, "status");
    bool holds = json_integer_value(json_object_get(s, "clients")) == 0;
    json_decref(s);
    return holds;
}

/* A client process that submits to both nodes without end, and tells by a byte that tasks are out. */
static pid_t busy_client(const struct node *n, int *ready)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid) {
        close(fds[1]);
        *ready = fds[0];
        return pid;
    }
    struct chi_client *c;
    if (chi_connect(n->socket, NULL, &c))
        _exit(1);
    enum { OUT = 64 };
    static struct echo_io t[OUT];
    for (unsigned i = 0; i < OUT; i++) {
        t[i] = (struct echo_io){.task = {.pool = ECHO, .query = i % 2 ? there : chi_local(), .method = &echo_io_method}};
        t[i].in = (struct chi_bulk){.ptr = chi_bulk_alloc(c, 100000), .size = 100000};
        t[i].out = (struct chi_bulk){.ptr = chi_bulk_alloc(c, 100000), .size = 100000};
        chi_submit(c, &t[i].task);
    }
    if (write(fds[1], "", 1) != 1)
        _exit(1);
    for (;;) {
        chi_poll(c);
        for (unsigned i = 0; i < OUT; i++)
            if (t[i].task.status != CHI_STATUS_PENDING)
                chi_submit(c, &t[i].task);
    }
}

static void client__killed_with_tasks_out_leaves_the_daemons_well(void **state)
{
    (void)state;
    struct node one, two;
    pair_start(&one, &two, NULL, NULL);
    for (int round = 0; round < 10; round++) {
        int ready;
        char byte;
        pid_t pid = busy_client(&one, &ready);
        assert_int_equal(read(ready, &byte, 1), 1);
        close(ready);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        until(no_clients, &one, "the killed client's channel is given back");
    }
    struct chi_client *c = node_connect(&one);
    assert_int_equal(io_check(c, there, 50000, 50000, 1), CHI_STATUS_OK);
    assert_int_equal(io_check(c, chi_local(), 50000, 50000, 1), CHI_STATUS_OK);
    chi_disconnect(c);
    pair_stop(&one, &two);
}

static void daemon__killed_ends_its_clients_tasks(void **state)
{
    (void)state;
    struct node one;
    node_configure(&one, 1, &(struct node_options){.peer = 2});
    node_start(&one);
    struct chi_client *c = node_connect(&one);
    struct echo_ping t = ping_to(there, 1); /* nobody there: it stays out */
    t.task.timeout_us = 60000000;
    chi_submit(c, &t.task);
    assert_int_equal(chi_wait(c, &t.task, 10000000), CHI_STATUS_TIMED_OUT);
    node_kill(&one);
    assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_DISCONNECTED);
    t.task.timeout_us = 0;
    assert_int_equal(chi_submit(c, &t.task), CHI_STATUS_DISCONNECTED);
    chi_disconnect(c);
}

static void daemon__stopped_with_tasks_out_ends_them_in_order(void **state)
{
    (void)state;
    struct node one;
    node_configure(&one, 1, &(struct node_options){.peer = 2});
    node_start(&one);
    struct chi_client *c = node_connect(&one);
    struct echo_ping t = ping_to(there, 1);
    t.task.timeout_us = 60000000;
    chi_submit(c, &t.task);
    assert_int_equal(chi_wait(c, &t.task, 10000000), CHI_STATUS_TIMED_OUT);
    assert_int_equal(node_stop(&one), 0);
    enum chi_status st = chi_wait(c, &t.task, LONG);
    assert_true(st == CHI_STATUS_SHUTDOWN || st == CHI_STATUS_DISCONNECTED);
    chi_disconnect(c);
}

static bool is_held(void *gate) { return __atomic_load_n((uint8_t *)gate + 1, __ATOMIC_ACQUIRE) != 0; }

static bool backtrace_is_there(void *node) { return log_says(node, "probe.so("); }
static bool turns_again(void *node) { return log_says(node, "worker 0 turns again"); }

/* Two tasks, each with a lock that the other one wants: it is said, and they end when the daemon stops. */
static bool deadlock_is_said(void *node) { return log_says(node, "a deadlock: tasks of 2 roots wait for each other's locks"); }
static void daemon__names_tasks_that_wait_for_each_other(void **state)
{
    (void)state;
    struct node one;
    struct probe_where t[2];
    node_configure(&one, 1, &(struct node_options){.modules = MODULES_OF_TESTS, .compose = with_probe, .limits = "watchdog_ms: 100"});
    node_start(&one);
    struct chi_client *c = node_connect(&one);
    for (uint64_t k = 0; k < 2; k++) {
        t[k] = (struct probe_where){.task = {.pool = {200, 0}, .query = chi_local(), .method = &probe_where_method}, .key = k, .mode = PROBE_CROSS};
        assert_int_equal(chi_submit(c, &t[k].task), CHI_STATUS_PENDING);
    }
    until(deadlock_is_said, &one, "the daemon finds the deadlock");
    json_t *s = node_call(&one, "stats");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(s, "watchdog"), "deadlocks")), 1);
    json_decref(s);
    assert_int_equal(node_stop(&one), 0);
    for (int k = 0; k < 2; k++) {
        enum chi_status st = chi_wait(c, &t[k].task, LONG);
        assert_true(st == CHI_STATUS_SHUTDOWN || st == CHI_STATUS_DISCONNECTED);
    }
    chi_disconnect(c);
}

/* A module that keeps its worker: who connects meanwhile is refused in time, and when the worker turns again all is well. */
static void client__of_a_worker_that_does_not_turn_is_refused(void **state)
{
    (void)state;
    struct node one;
    node_configure(&one, 1, &(struct node_options){.modules = MODULES_OF_TESTS, .compose = with_probe, .limits = "watchdog_ms: 100"});
    node_start(&one);
    struct chi_client *c = node_connect(&one), *refused = NULL;
    uint8_t *gate = chi_bulk_alloc(c, 2);
    gate[0] = gate[1] = 0;
    struct probe_hold t = {.task = {.pool = {200, 0}, .query = chi_local(), .method = &probe_hold_method}, .gate = {gate, 2, 0}};
    chi_submit(c, &t.task);
    until(is_held, gate, "the worker is in the module");
    assert_int_equal(chi_connect(one.socket, NULL, &refused), -ETIMEDOUT);
    json_t *list = node_call(&one, "worker.list"); /* what the worker itself must say is not known */
    assert_true(json_is_null(json_object_get(json_array_get(list, 0), "tasks_open")));
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "held_by")),
                        "PROBE_HOLD of module probe (pool 200.0, container 0, queue 0, lane 0)");
    json_decref(list);
    assert_true(log_says(&one, "it is held by PROBE_HOLD of module probe"));
    until(backtrace_is_there, &one, "the backtrace of what holds the worker");
    __atomic_store_n(&gate[0], 1, __ATOMIC_RELEASE);
    assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_OK);
    chi_disconnect(c);
    until(no_clients, &one, "neither client is left");
    list = node_call(&one, "worker.list");
    int64_t longest = json_integer_value(json_object_get(json_array_get(list, 0), "turn_most_ns"));
    json_decref(list);
    assert_true(longest > 200000000); /* a connect, and the question above, waited for it in vain */
    until(turns_again, &one, "a line that says that the worker turns");
    list = node_call(&one, "worker.list");
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "held_by")), "");
    json_decref(list);
    c = node_connect(&one);
    assert_int_equal(io_check(c, chi_local(), 50000, 50000, 1), CHI_STATUS_OK);
    chi_disconnect(c);
    assert_int_equal(node_stop(&one), 0);
}

/* The client's task runs on the other worker and waits for a subtask that is away: all of it ends, before the workers do. */
static void daemon__stopped_with_a_task_that_waits_for_another_ends_both(void **state)
{
    (void)state;
    struct node one;
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        skip();
    node_configure(&one, 1, &(struct node_options){.peer = 2, .cores = "0, 1", .modules = MODULES_OF_TESTS, .compose = with_probe});
    node_start(&one);
    struct chi_client *c[2] = {node_connect(&one), node_connect(&one)}; /* dealt to both workers */
    struct probe_where t[2];
    for (int i = 0; i < 2; i++) {
        t[i] = parked_at(chi_local());
        t[i].mode = PROBE_WAIT;
        t[i].key = 2;
        chi_submit(c[i], &t[i].task);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(chi_wait(c[i], &t[i].task, 10000000), CHI_STATUS_TIMED_OUT);
    assert_int_equal(node_stop(&one), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(chi_wait(c[i], &t[i].task, LONG), CHI_STATUS_SHUTDOWN);
        chi_disconnect(c[i]);
    }
}

static void daemon__stopped_with_a_task_that_never_ends_gives_it_up(void **state)
{
    (void)state;
    struct node one;
    node_configure(&one, 1, &(struct node_options){.modules = MODULES_OF_TESTS, .compose = with_probe});
    node_start(&one);
    struct chi_client *c = node_connect(&one);
    struct probe_where t = parked_at(chi_local());
    chi_submit(c, &t.task);
    assert_int_equal(chi_wait(c, &t.task, 10000000), CHI_STATUS_TIMED_OUT);
    assert_int_equal(node_stop(&one), NODE_GAVE_UP);
    assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_DISCONNECTED);
    chi_disconnect(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)
        TEST(peer__that_is_not_there_ends_the_task_in_time),
        TEST(peer__that_comes_late_is_found),
        TEST(peer__killed_and_restarted_ends_tasks_and_works_again),
        TEST(peer__of_another_cluster_is_refused),
        TEST(peer__with_another_method_table_says_so),
        TEST(peer__without_the_pool_says_so),
        TEST(peer__whose_cluster_differs_sends_no_task_on),
        TEST(peer__that_dies_with_a_task_running_ends_it),
        TEST(pause__is_not_taken_for_the_peer_s_end),
        TEST(peer__without_records_says_so),
        TEST(peer__with_as_many_tasks_as_may_come_in_makes_the_others_wait),
        TEST(memory__that_is_used_up_ends_large_tasks),
        TEST(memory__of_tasks_that_ended_is_used_again),
        TEST(client__killed_with_tasks_out_leaves_the_daemons_well),
        TEST(daemon__killed_ends_its_clients_tasks),
        TEST(daemon__stopped_with_tasks_out_ends_them_in_order),
        TEST(client__of_a_worker_that_does_not_turn_is_refused),
        TEST(daemon__names_tasks_that_wait_for_each_other),
        TEST(daemon__stopped_with_a_task_that_waits_for_another_ends_both),
        TEST(daemon__stopped_with_a_task_that_never_ends_gives_it_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
