/* failure_test.c - what is missing, differs, or dies: each task ends with a status, and the daemons stay. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
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

static void peer__that_is_not_there_ends_the_task_by_its_deadline(void **state)
{
    (void)state;
    struct node one;
    node_configure(&one, 1, &(struct node_options){.peer = 2, .limits = "task_timeout_ms: 300"});
    node_start(&one);
    struct chi_client *c = node_connect(&one);
    assert_int_equal(ping(c, there, 0), CHI_STATUS_DEADLINE);       /* the daemon's default */
    assert_int_equal(ping(c, there, 50000), CHI_STATUS_DEADLINE);   /* its own */
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
        assert_true(st == CHI_STATUS_OK || st == CHI_STATUS_PEER_RESTARTED);
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

static const struct chi_pool_id PROBE = {200, 0};
static const struct node_options with_probe = {.compose = "  - {mod: probe, pool: 200.0, name: probe}", .modules = MODULES_OF_TESTS};

/* A module that forgets a task: the daemon gives it up after its time, and still ends in order. */
static void daemon__stopped_with_a_task_that_its_module_never_ends(void **state)
{
    (void)state;
    struct node one;
    node_configure(&one, 1, &with_probe);
    node_start(&one);
    struct chi_client *c = node_connect(&one);
    struct probe_where t = {.task = {.pool = PROBE, .query = chi_local(), .method = &probe_where_method}, .mode = PROBE_PARK};
    chi_submit(c, &t.task);
    assert_int_equal(chi_wait(c, &t.task, 10000000), CHI_STATUS_TIMED_OUT);
    assert_int_equal(node_stop(&one), 0);
    assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_DISCONNECTED);
    chi_disconnect(c);
}

static bool is_held(void *gate) { return __atomic_load_n((uint8_t *)gate + 1, __ATOMIC_ACQUIRE) != 0; }

/* A module that keeps its worker: who connects meanwhile is refused in time, and when the worker turns again all is well. */
static void client__of_a_worker_that_does_not_turn_is_refused(void **state)
{
    (void)state;
    struct node one;
    node_configure(&one, 1, &with_probe);
    node_start(&one);
    struct chi_client *c = node_connect(&one), *refused = NULL;
    uint8_t *gate = chi_bulk_alloc(c, 2);
    gate[0] = gate[1] = 0;
    struct probe_hold t = {.task = {.pool = PROBE, .query = chi_local(), .method = &probe_hold_method}, .gate = {gate, 2, 0}};
    chi_submit(c, &t.task);
    until(is_held, gate, "the worker is in the module");
    assert_int_equal(chi_connect(one.socket, NULL, &refused), -ETIMEDOUT);
    __atomic_store_n(&gate[0], 1, __ATOMIC_RELEASE);
    assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_OK);
    chi_disconnect(c);
    until(no_clients, &one, "neither client is left");
    c = node_connect(&one);
    assert_int_equal(io_check(c, chi_local(), 50000, 50000, 1), CHI_STATUS_OK);
    chi_disconnect(c);
    assert_int_equal(node_stop(&one), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)
        TEST(peer__that_is_not_there_ends_the_task_by_its_deadline),
        TEST(peer__that_comes_late_is_found),
        TEST(peer__killed_and_restarted_ends_tasks_and_works_again),
        TEST(peer__of_another_cluster_is_refused),
        TEST(peer__with_another_method_table_says_so),
        TEST(client__killed_with_tasks_out_leaves_the_daemons_well),
        TEST(daemon__killed_ends_its_clients_tasks),
        TEST(daemon__stopped_with_tasks_out_ends_them_in_order),
        TEST(daemon__stopped_with_a_task_that_its_module_never_ends),
        TEST(client__of_a_worker_that_does_not_turn_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
