/* pools_test.c - pools that are made, changed and taken away by tasks of the admin module, on two daemons. */
#define _GNU_SOURCE
#include <pthread.h>

#include "chimods/admin/inner.h"
#include "guest/guest.h"
#include "harness.h"

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
static struct guest_stay stay(struct chi_pool_id id, struct chi_query q, enum guest_mode mode)
{
    return (struct guest_stay){.task = {.pool = id, .query = q, .method = &guest_stay_method, .timeout_us = LIMIT}, .mode = mode};
}
static enum chi_status where(struct chi_client *c, struct chi_pool_id id, struct chi_query q, uint32_t *node)
{
    struct guest_stay t = stay(id, q, GUEST_ANSWERS);
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
    struct chi_client *c = node_connect(&one), *d = node_connect(&two);
    struct chi_pool_id id = must_get(d, "made", "guest", 2); /* not on the node that keeps the order */
    assert_int_equal(get(c, "made", "guest", 7, &t), CHI_STATUS_OK);
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
    struct chi_pool_id again = must_get(c, "made", "guest", 1); /* another one, which stale tasks do not reach */
    assert_int_not_equal(again.minor, id.minor);
    expect_where(c, id, on(1), CHI_STATUS_NO_POOL, 0);
    expect_where(d, again, on(1), CHI_STATUS_OK, 1);
    /* what the configuration made is found by its name */
    assert_int_equal(get(c, "echo", "echo", 1, &t), CHI_STATUS_OK);
    assert_true(t.major == 100 && t.minor == 0 && !t.made);
    assert_int_equal(get(c, "echo", "guest", 1, &t), CHI_STATUS_INVALID);
    assert_int_equal(get(c, "echo", "", 0, &t), CHI_STATUS_OK); /* whatever it is of */
    assert_true(t.major == 100 && !t.made);
    assert_int_equal(destroy(c, "echo", NULL), CHI_STATUS_OK);
    assert_int_equal(rows_of(&two, "echo"), 0);
    chi_disconnect(c);
    chi_disconnect(d);
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
        {"x", "", 1, CHI_STATUS_NO_POOL, 0}, {"x", "echo", 0, CHI_STATUS_INVALID, 0}, {"x", "echo", 8193, CHI_STATUS_TOO_BIG, 0},
        {"x", "remote_queue", 1, CHI_STATUS_INVALID, 0}, {"x", "admin", 1, CHI_STATUS_INVALID, 0}, {"x", "nosuch", 1, CHI_STATUS_NO_MODULE, 1},
    };
    (void)state;
    struct admin_pool_get t;
    struct chi_client *c = node_connect(&two);
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(get(c, wrong[i].name, wrong[i].module, wrong[i].containers, &t), wrong[i].st);
        assert_int_equal(t.end.node, wrong[i].node);
    }
    assert_int_equal(destroy(c, "admin", NULL), CHI_STATUS_INVALID);
    assert_int_equal(destroy(c, "remote_queue", NULL), CHI_STATUS_INVALID);
    assert_int_equal(destroy(c, "x", NULL), CHI_STATUS_NO_POOL);
    struct admin_remove r = {.task = admin_task(&admin_remove_method), .major = 101}; /* what nodes say to each other is not for clients */
    assert_int_equal(submit_and_wait(c, &r.task), CHI_STATUS_UNSUPPORTED);
    assert_int_equal(rows_of(&two, "perf"), 1);
    chi_disconnect(c);
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
        a->status[i] = get(c, name, "guest", 1, &t);
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
}

/* --- what becomes of tasks */

static void pool__destroyed_ends_its_tasks_each_once(void **state)
{
    enum { EACH = 12, BURST = 200 };
    static struct guest_stay t[3 * EACH], burst[BURST];
    uint32_t tasks = 9;
    (void)state;
    struct chi_client *c = node_connect(&one), *d = node_connect(&two);
    for (int round = 0; round < 3; round++) {
        struct chi_pool_id id = must_get(c, "guests", "guest", 2);
        for (unsigned i = 0; i < 3 * EACH; i++) { /* parked, asleep, and one asleep that another one waits for; here and there */
            t[i] = stay(id, chi_direct(i % 4), (enum guest_mode)(GUEST_PARKS + i / EACH));
            assert_int_equal(chi_submit(c, &t[i].task), CHI_STATUS_PENDING);
        }
        for (unsigned i = 0; i < 4; i++) /* they have begun: each container has one lane */
            expect_where(c, id, chi_direct(i), CHI_STATUS_OK, 1 + i / 2);
        for (unsigned i = 0; i < BURST; i++) { /* on their way, on lanes, or late */
            burst[i] = stay(id, i % 10 ? chi_direct(i % 4) : chi_broadcast(), GUEST_ANSWERS);
            assert_int_equal(chi_submit(c, &burst[i].task), CHI_STATUS_PENDING);
        }
        assert_int_equal(destroy(d, "guests", &tasks), CHI_STATUS_OK);
        assert_int_equal(tasks, 0);
        for (unsigned i = 0; i < 3 * EACH; i++)
            assert_int_equal(chi_wait(c, &t[i].task, LONG), CHI_STATUS_NO_POOL);
        for (unsigned i = 0; i < BURST; i++) {
            enum chi_status st = chi_wait(c, &burst[i].task, LONG);
            if (st != CHI_STATUS_OK && st != CHI_STATUS_NO_POOL && st != CHI_STATUS_NO_CONTAINER)
                fail_msg("a task ended with %s", chi_status_name(st));
        }
        assert_int_equal(rows_of(&one, "guests") + rows_of(&two, "guests"), 0);
    }
    chi_disconnect(c);
    chi_disconnect(d);
}

static void pool__destroyed_under_a_deaf_task_goes_later(void **state)
{
    uint32_t tasks = 0;
    (void)state;
    struct chi_client *c = node_connect(&one), *d = node_connect(&two);
    struct chi_pool_id id = must_get(c, "deaf", "guest", 1);
    struct guest_stay t = stay(id, on(2), GUEST_DEAF);
    chi_submit(c, &t.task);
    expect_where(c, id, on(2), CHI_STATUS_OK, 2); /* behind it on the same lane: it has begun */
    assert_int_equal(destroy(d, "deaf", &tasks), CHI_STATUS_DEADLINE);
    assert_int_equal(tasks, 1);
    expect_where(d, id, on(2), CHI_STATUS_NO_POOL, 0);
    assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_OK); /* it ended as ever */
    assert_int_equal(destroy(d, "deaf", &tasks), CHI_STATUS_NO_POOL);
    chi_disconnect(c);
    chi_disconnect(d);
}

/* --- more and fewer containers under load */

static enum chi_status expand(struct chi_client *c, const char *name, uint32_t n, uint32_t node, struct admin_pool_expand *t)
{
    *t = (struct admin_pool_expand){.task = admin_task(&admin_pool_expand_method), .containers = n, .on = node};
    NAME(t->name, name);
    submit_and_wait(c, &t->task);
    return admin_status(&t->task, &t->end);
}
static enum chi_status contract(struct chi_client *c, const char *name, uint32_t n, struct admin_pool_contract *t)
{
    *t = (struct admin_pool_contract){.task = admin_task(&admin_pool_contract_method), .containers = n};
    NAME(t->name, name);
    submit_and_wait(c, &t->task);
    return admin_status(&t->task, &t->end);
}

static struct crowd {
    pthread_t thread;
    struct chi_pool_id id;
    uint64_t of_status[64], wrong; /* atomic */
    bool stop;                     /* atomic */
} crowd;

static void *keep_busy(void *client)
{
    enum { OUT = 16 };
    struct chi_client *c = client;
    struct guest_stay t[OUT] = {0};
    unsigned out = 0, n = 0;
    for (bool stop = false; !stop || out;) {
        stop = __atomic_load_n(&crowd.stop, __ATOMIC_RELAXED);
        for (unsigned i = 0; i < OUT; i++) {
            if (t[i].task.method && t[i].task.status == CHI_STATUS_PENDING)
                continue;
            if (t[i].task.method) {
                bool direct = t[i].task.query.kind == CHI_QUERY_DIRECT_ID;
                __atomic_fetch_add(&crowd.of_status[t[i].task.status], 1, __ATOMIC_RELAXED);
                if (t[i].task.status == CHI_STATUS_OK && direct && t[i].value != t[i].task.query.value + 1)
                    __atomic_fetch_add(&crowd.wrong, 1, __ATOMIC_RELAXED);
                out--;
            }
            t[i].task.method = NULL;
            if (stop)
                continue;
            n++;
            t[i] = stay(crowd.id, n % 7 == 0 ? chi_broadcast() : n % 3 == 0 ? chi_hash(n) : chi_direct(n % 8), GUEST_ANSWERS);
            out += chi_submit(c, &t[i].task) == CHI_STATUS_PENDING;
        }
        for (unsigned i = 0; i < OUT; i++)
            if (t[i].task.method && t[i].task.status == CHI_STATUS_PENDING) {
                chi_wait(c, &t[i].task, 1000000);
                break;
            }
    }
    chi_disconnect(c);
    return NULL;
}

static bool crowd_moved(void *from) { return __atomic_load_n(&crowd.of_status[CHI_STATUS_OK], __ATOMIC_RELAXED) > *(uint64_t *)from + 200; }

static void pool__expands_and_contracts_under_load(void **state)
{
    struct admin_pool_expand e;
    struct admin_pool_contract k;
    (void)state;
    memset(&crowd, 0, sizeof crowd);
    struct chi_client *c = node_connect(&two);
    crowd.id = must_get(c, "crowd", "guest", 1); /* containers 0 and 1 */
    assert_int_equal(pthread_create(&crowd.thread, NULL, keep_busy, node_connect(&one)), 0);
    for (int round = 0; round < 12; round++) {
        assert_int_equal(expand(c, "crowd", 2, 0, &e), CHI_STATUS_OK);
        assert_int_equal(e.count, 6); /* 0 on node 1, 1 on 2, then 1 1 2 2 */
        assert_int_equal(expand(c, "crowd", 1, 2, &e), CHI_STATUS_OK);
        assert_int_equal(e.count, 7);
        static const uint32_t node_of[] = {1, 2, 1, 1, 2, 2, 2};
        for (uint32_t i = 0; i < 7; i++)
            expect_where(c, crowd.id, chi_direct(i), CHI_STATUS_OK, node_of[i]);
        expect_where(c, crowd.id, chi_direct(7), CHI_STATUS_NO_CONTAINER, 0);
        struct guest_stay t = stay(crowd.id, chi_direct(6), GUEST_PARKS), all = stay(crowd.id, chi_broadcast(), GUEST_ANSWERS);
        chi_submit(c, &t.task);
        assert_int_equal(submit_and_wait(c, &all.task), CHI_STATUS_OK);
        uint64_t from = __atomic_load_n(&crowd.of_status[CHI_STATUS_OK], __ATOMIC_RELAXED);
        until(crowd_moved, &from, "tasks run");
        assert_int_equal(contract(c, "crowd", 5, &k), CHI_STATUS_OK);
        assert_int_equal(k.count, 2);
        assert_int_equal(chi_wait(c, &t.task, LONG), CHI_STATUS_NO_CONTAINER);
        expect_where(c, crowd.id, chi_direct(2), CHI_STATUS_NO_CONTAINER, 0);
    }
    assert_int_equal(contract(c, "crowd", 2, &k), CHI_STATUS_INVALID); /* one stays */
    assert_int_equal(expand(c, "crowd", 0, 0, &e), CHI_STATUS_INVALID);
    assert_int_equal(expand(c, "crowd", 1, 7, &e), CHI_STATUS_NO_NODE);
    assert_int_equal(expand(c, "crowd", 8192, 1, &e), CHI_STATUS_TOO_BIG);
    assert_int_equal(destroy(c, "crowd", NULL), CHI_STATUS_OK);
    __atomic_store_n(&crowd.stop, true, __ATOMIC_RELAXED);
    assert_int_equal(pthread_join(crowd.thread, NULL), 0);
    assert_int_equal(crowd.wrong, 0);
    for (unsigned i = 0; i < 64; i++)
        if (crowd.of_status[i] && i != CHI_STATUS_OK && i != CHI_STATUS_MOVED && i != CHI_STATUS_NO_CONTAINER && i != CHI_STATUS_NO_POOL)
            fail_msg("%llu tasks ended with %s", (unsigned long long)crowd.of_status[i], chi_status_name((enum chi_status)i));
    chi_disconnect(c);
}

/* --- chictl */

static const char *chictl(const struct node *n, int status, const char *words[])
{
    static char out[4096];
    const char *argv[16] = {CHI_BUILD_DIR "/bin/chictl", "-s", n->socket};
    unsigned at = 3;
    for (; *words; words++)
        argv[at++] = *words;
    int rc = run_program(out, sizeof out, argv);
    if (rc != status)
        fail_msg("chictl ended with %d: %s", rc, out);
    return out;
}
#define CHICTL(n, status, ...) chictl(n, status, (const char *[]){__VA_ARGS__, NULL})

static void chictl__makes_shows_changes_and_destroys_a_pool(void **state)
{
    (void)state;
    assert_non_null(strstr(CHICTL(&two, 0, "pool", "create", "--module", "guest", "--containers", "2", "hotel"), "made:       yes"));
    assert_non_null(strstr(CHICTL(&one, 0, "pool", "create", "--module", "guest", "hotel"), "made:       no"));
    assert_non_null(strstr(CHICTL(&one, 0, "pool", "expand", "hotel", "--node", "1"), "containers: 5"));
    json_t *show = json_loads(CHICTL(&two, 0, "--json", "pool", "show", "hotel"), 0, NULL), *table = json_object_get(show, "table");
    assert_int_equal(json_array_size(table), 5);
    assert_int_equal(json_integer_value(json_object_get(show, "version")), 2);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(json_integer_value(json_object_get(json_array_get(table, i), "node")), i == 2 || i == 3 ? 2 : 1);
    json_decref(show);
    assert_non_null(strstr(CHICTL(&one, 0, "pool", "contract", "hotel", "--containers", "4"), "containers: 1"));
    assert_int_equal(rows_of(&two, "hotel"), 1); /* without a container there */
    assert_non_null(strstr(CHICTL(&one, 1, "pool", "create", "--module", "nosuch", "x"), "NO_MODULE: node 1: module nosuch: no nosuch.so"));
    assert_non_null(strstr(CHICTL(&one, 1, "pool", "create", "x"), "--module is missing"));
    assert_non_null(strstr(CHICTL(&one, 0, "pool", "destroy", "hotel"), "gone: yes"));
    assert_non_null(strstr(CHICTL(&two, 1, "pool", "destroy", "hotel"), "NO_POOL: the node has no such pool"));
    assert_non_null(strstr(CHICTL(&two, 1, "pool", "show", "hotel"), "there is no pool 'hotel' here"));
}

/* --- nodes that cannot */

static void pool__a_node_without_the_module_is_named_and_nothing_is_left(void **state)
{
    (void)state;
    struct admin_pool_get t;
    pair_start(&one, &two, &with_tests, NULL); /* node 2 has no guest */
    struct chi_client *c = node_connect(&two);
    assert_int_equal(get(c, "made", "guest", 1, &t), CHI_STATUS_NO_MODULE);
    assert_true(t.end.node == 2 && t.end.node_status == CHI_STATUS_NO_MODULE && !t.made);
    assert_true(t.end.why.len > 10 && memmem(t.end.why.data, t.end.why.len, "guest", 5));
    assert_int_equal(rows_of(&one, "made"), 0);
    assert_int_equal(rows_of(&two, "made"), 0);
    assert_int_equal(get(c, "made", "echo", 1, &t), CHI_STATUS_OK); /* the name is free */
    chi_disconnect(c);
    pair_stop(&one, &two);
}

static bool is_got(void *client)
{
    struct admin_pool_get t;
    return get(client, "made", "guest", 2, &t) == CHI_STATUS_OK && t.end.node == 0;
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
        struct chi_pool_id id = must_get(c, "made", "guest", 2), next;
        node_kill(dies);
        if (who == 2) {
            assert_int_equal(get(c, "made", "guest", 2, &t), CHI_STATUS_OK); /* it is here */
            assert_int_equal(t.end.node, 2);
            assert_int_not_equal(t.end.node_status, CHI_STATUS_OK);
            assert_int_not_equal(get(c, "more", "guest", 1, &t), CHI_STATUS_OK); /* it cannot be there */
            assert_int_equal(t.end.node, 2);
            assert_int_equal(rows_of(&one, "more"), 0);
        }
        node_start(dies);
        assert_int_equal(rows_of(dies, "made"), 0);
        until(is_got, c, "the way is there again"); /* what asks first may meet the old session's end */
        next = must_get(c, "made", "guest", 2);
        assert_true(next.major == id.major && next.minor == id.minor);
        assert_int_equal(rows_of(dies, "made"), 2);
        expect_where(c, id, on((uint32_t)who), CHI_STATUS_OK, (uint32_t)who);
        next = must_get(c, "another", "guest", 1); /* a number that nobody has */
        assert_int_not_equal(next.minor, id.minor);
        chi_disconnect(c);
        pair_stop(&one, &two);
    }
}

static void pool__gets_containers_on_a_node_that_was_added(void **state)
{
    struct admin_pool_get t;
    struct admin_pool_expand e;
    (void)state;
    struct node_options o = with_tests;
    o.nobody = true;
    pair_start(&one, &two, &o, &with_tests); /* node 1 knows nobody */
    struct chi_client *c = node_connect(&one);
    struct chi_pool_id id = must_get(c, "made", "guest", 1);
    assert_int_equal(rows_of(&two, "made"), 0);
    json_decref(node_ask(&one, "peer.add", "{\"id\":2,\"name\":\"node2\",\"ip\":\"10.40.0.2\"}"));
    expect_where(c, id, chi_direct(1), CHI_STATUS_NO_CONTAINER, 0);
    assert_int_equal(get(c, "made", "guest", 1, &t), CHI_STATUS_OK);
    assert_int_equal(rows_of(&two, "made"), 1); /* it knows the pool, and has none of it */
    assert_int_equal(expand(c, "made", 2, 2, &e), CHI_STATUS_OK);
    assert_int_equal(e.count, 3);
    expect_where(c, id, chi_direct(2), CHI_STATUS_OK, 2);
    expect_where(c, id, chi_direct(0), CHI_STATUS_OK, 1);
    chi_disconnect(c);
    pair_stop(&one, &two);
}

/* --- a stop in the middle */

struct churn {
    pthread_t thread;
    struct chi_client *client;
    char name[8];
    unsigned rounds; /* atomic */
};
static void *churn_run(void *arg)
{
    struct churn *h = arg;
    struct admin_pool_get t;
    for (enum chi_status st = CHI_STATUS_OK; st != CHI_STATUS_DISCONNECTED;) {
        st = get(h->client, h->name, "guest", 2, &t);
        if (st == CHI_STATUS_OK)
            st = destroy(h->client, h->name, NULL);
        __atomic_fetch_add(&h->rounds, 1, __ATOMIC_RELAXED);
    }
    chi_disconnect(h->client);
    return NULL;
}
static bool has_churned(void *arg) { return __atomic_load_n(&((struct churn *)arg)->rounds, __ATOMIC_RELAXED) > 20; }

static void stop__in_the_middle_of_requests_loses_nothing(void **state)
{
    struct churn h[4] = {0};
    (void)state;
    pair_start(&one, &two, &with_tests, &with_tests);
    for (int i = 0; i < 4; i++) {
        h[i].client = node_connect(i % 2 ? &two : &one);
        snprintf(h[i].name, sizeof h[i].name, "c%d", i / 2); /* two of each name */
        assert_int_equal(pthread_create(&h[i].thread, NULL, churn_run, &h[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        until(has_churned, &h[i], "pools come and go");
    assert_int_equal(node_stop(&two), 0);
    assert_int_equal(node_stop(&one), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(h[i].thread, NULL), 0);
}

static int pair_setup(void **state)
{
    if (folder_setup(state))
        return -1;
    pair_start(&one, &two, &with_tests, &with_tests);
    return 0;
}
/* The last of them: a group's teardown may fail unseen. */
static void nodes__end_well(void **state)
{
    (void)state;
    pair_stop(&one, &two);
}

int main(void)
{
    const struct CMUnitTest together[] = {
        cmocka_unit_test(pool__made_by_any_node_is_on_all),
        cmocka_unit_test(pool__wrong_ones_are_refused),
        cmocka_unit_test(pool__two_nodes_that_ask_at_once_get_one),
        cmocka_unit_test(pool__destroyed_ends_its_tasks_each_once),
        cmocka_unit_test(pool__destroyed_under_a_deaf_task_goes_later),
        cmocka_unit_test(pool__expands_and_contracts_under_load),
        cmocka_unit_test(chictl__makes_shows_changes_and_destroys_a_pool),
        cmocka_unit_test(nodes__end_well),
    };
    const struct CMUnitTest alone[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)
        TEST(pool__a_node_without_the_module_is_named_and_nothing_is_left),
        TEST(pool__a_node_that_restarted_gets_it_back),
        TEST(pool__gets_containers_on_a_node_that_was_added),
        TEST(stop__in_the_middle_of_requests_loses_nothing),
    };
    int failed = cmocka_run_group_tests_name("together", together, pair_setup, folder_teardown);
    return failed + cmocka_run_group_tests_name("alone", alone, NULL, NULL);
}
