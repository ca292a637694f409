/* pools_test.c - pools that are made, changed and taken away by tasks of the admin module, on two daemons. */
#define _GNU_SOURCE
#include <pthread.h>

#include "chimods/admin/admin.h"
#include "harness.h"
#include "probe/probe.h"

enum { RACES = 40, ASKERS = 2, LIMIT = 60000000 };
static const int64_t LONG = INT64_C(60000000000);
static struct node one, two;

#define NAME(field, text) (field).len = (uint32_t)snprintf((field).data, sizeof (field).data, "%s", text)

static struct chi_task admin_task(struct chi_method *m)
{
    return (struct chi_task){.pool = {ADMIN_MAJOR, 0}, .query = chi_local(), .method = m, .timeout_us = LIMIT};
}
static enum chi_status submit_and_wait(struct chi_client *c, struct chi_task *t)
{
    chi_submit(c, t);
    return chi_wait(c, t, LONG);
}

static enum chi_status get(struct chi_client *c, const char *name, const char *module, uint32_t containers, struct admin_pool_get *t)
{
    *t = (struct admin_pool_get){.task = admin_task(&admin_pool_get_method), .containers = containers};
    NAME(t->name, name);
    NAME(t->module, module);
    submit_and_wait(c, &t->task);
    return admin_status(&t->task, &t->end);
}
static struct chi_pool_id must_get(struct chi_client *c, const char *name, const char *module, uint32_t containers)
{
    struct admin_pool_get t;
    enum chi_status st = get(c, name, module, containers, &t);
    if (st != CHI_STATUS_OK || t.end.node)
        fail_msg("get %s: %s, node %u: %.*s", name, chi_status_name(st), t.end.node, (int)t.end.why.len, t.end.why.data);
    return (struct chi_pool_id){t.major, t.minor};
}
static enum chi_status destroy(struct chi_client *c, const char *name, uint32_t *tasks)
{
    struct admin_pool_destroy t = {.task = admin_task(&admin_pool_destroy_method)};
    NAME(t.name, name);
    submit_and_wait(c, &t.task);
    if (tasks)
        *tasks = t.tasks;
    return admin_status(&t.task, &t.end);
}
static struct chi_query on(uint32_t node) { return chi_physical(node); }
static enum chi_status where(struct chi_client *c, struct chi_pool_id id, struct chi_query q, uint32_t *node)
{
    struct probe_where t = {.task = {.pool = id, .query = q, .method = &probe_where_method, .timeout_us = LIMIT}};
    submit_and_wait(c, &t.task);
    *node = t.node;
    return (enum chi_status)t.task.status;
}
static void expect_where(struct chi_client *c, struct chi_pool_id id, struct chi_query q, enum chi_status st, uint32_t node)
{
    uint32_t at = 0;
    assert_int_equal(where(c, id, q, &at), st);
    if (st == CHI_STATUS_OK)
        assert_int_equal(at, node);
}
/* How many rows the node's pool list has of that name. */
static unsigned rows_of(const struct node *n, const char *name)
{
    json_t *list = node_call(n, "pool.list"), *row;
    unsigned count = 0;
    size_t i;
    json_array_foreach (list, i, row)
        count += strcmp(json_string_value(json_object_get(row, "name")), name) == 0;
    json_decref(list);
    return count;
}

static struct node_options with_tests = {.modules = MODULES_OF_TESTS};

static void pool__made_by_any_node_is_on_all(void **state)
{
    (void)state;
    struct admin_pool_get t;
    pair_start(&one, &two, &with_tests, &with_tests);
    struct chi_client *c = node_connect(&one), *d = node_connect(&two);
    struct chi_pool_id id = must_get(d, "made", "probe", 2); /* not on the node that keeps the order */
    assert_int_equal(get(c, "made", "probe", 7, &t), CHI_STATUS_OK);
    assert_true(t.major == id.major && t.minor == id.minor && !t.made && t.count == 4 && t.end.node == 0);
    expect_where(c, id, chi_direct(0), CHI_STATUS_OK, 1);
    expect_where(c, id, chi_direct(3), CHI_STATUS_OK, 2);
    expect_where(d, id, chi_direct(1), CHI_STATUS_OK, 1);
    expect_where(d, id, on(2), CHI_STATUS_OK, 2);
    expect_where(d, id, chi_direct(4), CHI_STATUS_NO_CONTAINER, 0);
    struct chi_pool_id other = must_get(c, "other", "echo", 1);
    assert_true(other.major == id.major && other.minor != id.minor);
    struct echo_ping p = {.task = {.pool = other, .query = chi_broadcast(), .method = &echo_ping_method, .timeout_us = LIMIT}, .value = 5};
    assert_int_equal(submit_and_wait(d, &p.task), CHI_STATUS_OK);
    assert_int_equal(destroy(d, "made", NULL), CHI_STATUS_OK);
    expect_where(c, id, chi_direct(0), CHI_STATUS_NO_POOL, 0);
    expect_where(c, id, on(2), CHI_STATUS_NO_POOL, 0);
    assert_int_equal(destroy(d, "made", NULL), CHI_STATUS_NO_POOL);
    struct chi_pool_id again = must_get(c, "made", "probe", 1); /* another one, which stale tasks do not reach */
    assert_int_not_equal(again.minor, id.minor);
    expect_where(c, id, on(1), CHI_STATUS_NO_POOL, 0);
    expect_where(d, again, on(1), CHI_STATUS_OK, 1);
    /* what the configuration made is found by its name */
    assert_int_equal(get(c, "echo", "echo", 1, &t), CHI_STATUS_OK);
    assert_true(t.major == 100 && t.minor == 0 && !t.made);
    assert_int_equal(get(c, "echo", "probe", 1, &t), CHI_STATUS_INVALID);
    assert_int_equal(destroy(c, "echo", NULL), CHI_STATUS_OK);
    assert_int_equal(rows_of(&two, "echo"), 0);
    chi_disconnect(c);
    chi_disconnect(d);
    pair_stop(&one, &two);
}

static void pool__wrong_ones_are_refused(void **state)
{
    static const struct {
        const char *name, *module;
        uint32_t containers;
        enum chi_status st;
        uint32_t node;
    } wrong[] = {
        {"", "echo", 1, CHI_STATUS_INVALID, 0}, {"a b", "echo", 1, CHI_STATUS_INVALID, 0}, {"x", "../echo", 1, CHI_STATUS_INVALID, 0},
        {"x", "", 1, CHI_STATUS_INVALID, 0}, {"x", "echo", 0, CHI_STATUS_INVALID, 0}, {"x", "echo", 8193, CHI_STATUS_TOO_BIG, 0},
        {"x", "remote_queue", 1, CHI_STATUS_INVALID, 0}, {"x", "admin", 1, CHI_STATUS_INVALID, 0}, {"x", "nosuch", 1, CHI_STATUS_NO_MODULE, 1},
    };
    (void)state;
    struct admin_pool_get t;
    pair_start(&one, &two, NULL, NULL);
    struct chi_client *c = node_connect(&two);
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(get(c, wrong[i].name, wrong[i].module, wrong[i].containers, &t), wrong[i].st);
        assert_int_equal(t.end.node, wrong[i].node);
    }
    assert_int_equal(destroy(c, "admin", NULL), CHI_STATUS_INVALID);
    assert_int_equal(destroy(c, "remote_queue", NULL), CHI_STATUS_INVALID);
    assert_int_equal(destroy(c, "x", NULL), CHI_STATUS_NO_POOL);
    chi_disconnect(c);
    pair_stop(&one, &two);
}

/* --- two nodes ask for the same one at once */

struct asker {
    pthread_t thread;
    const struct node *node;
    pthread_barrier_t *together;
    struct chi_pool_id id[RACES];
    bool made[RACES];
    uint32_t status[RACES], reached[RACES];
};
static void *ask(void *arg)
{
    struct asker *a = arg;
    struct chi_client *c = node_connect(a->node);
    for (int i = 0; i < RACES; i++) {
        char name[16];
        struct admin_pool_get t;
        snprintf(name, sizeof name, "race-%d", i);
        pthread_barrier_wait(a->together);
        a->status[i] = get(c, name, "probe", 1, &t);
        a->id[i] = (struct chi_pool_id){t.major, t.minor};
        a->made[i] = t.made;
        for (uint32_t node = 1, at = 0; node <= 2; node++) /* who was told can use it, on all nodes */
            a->reached[i] += where(c, a->id[i], on(node), &at) == CHI_STATUS_OK && at == node;
    }
    chi_disconnect(c);
    return NULL;
}

static void pool__two_nodes_that_ask_at_once_get_one(void **state)
{
    static struct asker a[2 * ASKERS];
    pthread_barrier_t together;
    (void)state;
    memset(a, 0, sizeof a);
    pair_start(&one, &two, &with_tests, &with_tests);
    pthread_barrier_init(&together, NULL, 2 * ASKERS);
    for (int k = 0; k < 2 * ASKERS; k++) {
        a[k].node = k % 2 ? &two : &one;
        a[k].together = &together;
        assert_int_equal(pthread_create(&a[k].thread, NULL, ask, &a[k]), 0);
    }
    for (int k = 0; k < 2 * ASKERS; k++)
        assert_int_equal(pthread_join(a[k].thread, NULL), 0);
    pthread_barrier_destroy(&together);
    for (int i = 0; i < RACES; i++) {
        unsigned made = 0;
        for (int k = 0; k < 2 * ASKERS; k++) {
            assert_int_equal(a[k].status[i], CHI_STATUS_OK);
            assert_true(a[k].id[i].major == a[0].id[i].major && a[k].id[i].minor == a[0].id[i].minor);
            assert_int_equal(a[k].reached[i], 2);
            made += a[k].made[i];
        }
        assert_int_equal(made, 1);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(a[0].id[j].minor, a[0].id[i].minor);
    }
    pair_stop(&one, &two);
}

/* --- nodes that cannot */

static void pool__a_node_without_the_module_is_named_and_nothing_is_left(void **state)
{
    (void)state;
    struct admin_pool_get t;
    pair_start(&one, &two, &with_tests, NULL); /* node 2 has no probe */
    struct chi_client *c = node_connect(&two);
    assert_int_equal(get(c, "made", "probe", 1, &t), CHI_STATUS_NO_MODULE);
    assert_true(t.end.node == 2 && t.end.node_status == CHI_STATUS_NO_MODULE && !t.made);
    assert_true(t.end.why.len > 10 && memmem(t.end.why.data, t.end.why.len, "probe", 5));
    assert_int_equal(rows_of(&one, "made"), 0);
    assert_int_equal(rows_of(&two, "made"), 0);
    assert_int_equal(get(c, "made", "echo", 1, &t), CHI_STATUS_OK); /* the name is free */
    chi_disconnect(c);
    pair_stop(&one, &two);
}

static bool is_got(void *client)
{
    struct admin_pool_get t;
    return get(client, "made", "probe", 2, &t) == CHI_STATUS_OK && t.end.node == 0;
}

static void pool__a_node_that_restarted_gets_it_back(void **state)
{
    (void)state;
    struct admin_pool_get t;
    struct node_options o = {.modules = MODULES_OF_TESTS, .limits = "peer_silence_ms: 200"};
    for (int who = 1; who <= 2; who++) { /* also the one that keeps the order, which then knows nothing of it */
        pair_start(&one, &two, &o, &o);
        struct node *dies = who == 1 ? &one : &two, *lives = who == 1 ? &two : &one;
        struct chi_client *c = node_connect(lives);
        struct chi_pool_id id = must_get(c, "made", "probe", 2), next;
        node_kill(dies);
        if (who == 2) {
            assert_int_equal(get(c, "made", "probe", 2, &t), CHI_STATUS_OK); /* it is here */
            assert_int_equal(t.end.node, 2);
            assert_int_not_equal(t.end.node_status, CHI_STATUS_OK);
            assert_int_not_equal(get(c, "more", "probe", 1, &t), CHI_STATUS_OK); /* it cannot be there */
            assert_int_equal(t.end.node, 2);
            assert_int_equal(rows_of(&one, "more"), 0);
        }
        node_start(dies);
        assert_int_equal(rows_of(dies, "made"), 0);
        until(is_got, c, "the way is there again"); /* what asks first may meet the old session's end */
        next = must_get(c, "made", "probe", 2);
        assert_true(next.major == id.major && next.minor == id.minor);
        assert_int_equal(rows_of(dies, "made"), 2);
        expect_where(c, id, on((uint32_t)who), CHI_STATUS_OK, (uint32_t)who);
        next = must_get(c, "another", "probe", 1); /* a number that nobody has */
        assert_int_not_equal(next.minor, id.minor);
        chi_disconnect(c);
        pair_stop(&one, &two);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)
        TEST(pool__made_by_any_node_is_on_all),
        TEST(pool__wrong_ones_are_refused),
        TEST(pool__two_nodes_that_ask_at_once_get_one),
        TEST(pool__a_node_without_the_module_is_named_and_nothing_is_left),
        TEST(pool__a_node_that_restarted_gets_it_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
