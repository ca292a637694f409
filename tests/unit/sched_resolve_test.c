#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sched/tables.h"

static const uint32_t nodes[] = {30, 10, 20}; /* containers are dealt in ascending order: 0 on 10, 1 on 20, 2 on 30 */
static struct sched sched;
static struct sched_pool *pool;

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 4); }
static enum chi_status init_fails(struct chi_container *c)
{
    (void)c;
    return CHI_STATUS_MODULE;
}
static const struct chi_chimod good = {.abi = CHI_CHIMOD_ABI, .size = sizeof good, .name = "good", .init = init};
static const struct chi_chimod bad = {.abi = CHI_CHIMOD_ABI, .size = sizeof bad, .name = "bad", .init = init_fails};

static int begun, ended;
static enum chi_status init_without_queue(struct chi_container *c)
{
    begun++;
    chi_container_set_state(c, &begun);
    return chi_container_create_queue(c, 1, 1);
}
static void fini(struct chi_container *c)
{
    assert_ptr_equal(chi_container_state(c), &begun);
    ended++;
}
static const struct chi_chimod laneless = {
    .abi = CHI_CHIMOD_ABI, .size = sizeof laneless, .name = "laneless", .init = init_without_queue, .fini = fini};

static void add_to(struct sched *s, const struct chi_chimod *ops)
{
    struct sched_module *m = calloc(1, sizeof *m);
    snprintf(m->name, sizeof m->name, "%s", ops->name);
    m->ops = ops;
    sched_module_add(s, m);
}
static void add_module(const struct chi_chimod *ops) { add_to(&sched, ops); }

static int setup(void **state)
{
    char err[SCHED_ERROR_BYTES];
    (void)state;
    rcu_register_thread();
    assert_int_equal(sched_init(&sched, 20, nodes, 3, 2), 0);
    add_module(&good);
    add_module(&bad);
    add_module(&laneless);
    assert_int_equal(sched_compose(&sched, "good", (struct chi_pool_id){100, 0}, "g", 1, err), 0);
    pool = sched_pool_find(&sched, (struct chi_pool_id){100, 0});
    assert_non_null(pool);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sched_fini(&sched);
    rcu_unregister_thread();
    return 0;
}

static void expect_local(struct chi_query q)
{
    struct sched_target t;
    assert_int_equal(sched_resolve(&sched, pool, &q, &t), CHI_STATUS_OK);
    assert_ptr_equal(t.local, pool->local);
}
static void expect_node(struct chi_query q, uint32_t node)
{
    struct sched_target t;
    assert_int_equal(sched_resolve(&sched, pool, &q, &t), CHI_STATUS_OK);
    assert_null(t.local);
    assert_int_equal(t.node, node);
}
static void expect_status(struct chi_query q, enum chi_status st)
{
    struct sched_target t;
    assert_int_equal(sched_resolve(&sched, pool, &q, &t), st);
    assert_null(t.local);
}

static void sched_resolve__finds_the_container_or_its_node(void **state)
{
    (void)state;
    expect_local(chi_local());
    expect_local(chi_direct(1));
    expect_local(chi_hash(4));
    expect_local(chi_physical(20));
    expect_node(chi_direct(0), 10);
    expect_node(chi_direct(2), 30);
    expect_node(chi_hash(5), 30);
    expect_node(chi_physical(10), 10);
}

static void sched_resolve__says_what_is_not_there(void **state)
{
    (void)state;
    expect_status(chi_direct(3), CHI_STATUS_NO_CONTAINER);
    expect_status(chi_direct(UINT64_MAX), CHI_STATUS_NO_CONTAINER);
    expect_status(chi_physical(11), CHI_STATUS_NO_NODE);
    expect_status(chi_query_make(CHI_QUERY_PHYSICAL, (1ULL << 32) + 20), CHI_STATUS_NO_NODE);
    expect_status(chi_dynamic(), CHI_STATUS_NO_ROUTE);
    expect_status(chi_broadcast(), CHI_STATUS_INVALID);
    expect_status(chi_range(0, 1), CHI_STATUS_INVALID);
    expect_status(chi_query_make((enum chi_query_kind)99, 0), CHI_STATUS_INVALID);
}

/* Who came is found by its id, and has no container; who went is the owner of its containers still. */
static void sched_node_set__changes_what_physical_finds_and_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(sched_node_set(&sched, 15, true), 0);
    assert_int_equal(sched_node_set(&sched, 40, true), 0);
    assert_int_equal(sched_node_set(&sched, 40, true), 0); /* again is as once */
    assert_int_equal(sched_node_set(&sched, 30, false), 0);
    expect_node(chi_physical(15), 15);
    expect_node(chi_physical(40), 40);
    expect_node(chi_physical(10), 10);
    expect_local(chi_physical(20));
    expect_status(chi_physical(30), CHI_STATUS_NO_NODE);
    expect_node(chi_direct(2), 30);
    expect_node(chi_hash(5), 30);
    expect_status(chi_direct(3), CHI_STATUS_NO_CONTAINER);
    assert_int_equal(sched_node_set(&sched, 40, false), 0);
    expect_status(chi_physical(40), CHI_STATUS_NO_NODE);
    assert_int_equal(sched_node_set(&sched, 30, true), 0);
    expect_node(chi_physical(30), 30);
    rcu_thread_offline();
    rcu_barrier(); /* what was replaced has gone */
    rcu_thread_online();
}

static void sched_compose__refuses_doubles_and_failing_modules(void **state)
{
    char err[SCHED_ERROR_BYTES];
    (void)state;
    assert_int_equal(sched_compose(&sched, "good", (struct chi_pool_id){100, 0}, "again", 1, err), -EEXIST);
    assert_int_equal(sched_compose(&sched, "bad", (struct chi_pool_id){101, 0}, "b", 1, err), -EINVAL);
    assert_null(sched_pool_find(&sched, (struct chi_pool_id){101, 0}));
}

/* What its init took goes back, though the container never served. */
static void sched_compose__without_queue_0_ends_what_began(void **state)
{
    char err[SCHED_ERROR_BYTES];
    (void)state;
    assert_int_equal(sched_compose(&sched, "laneless", (struct chi_pool_id){102, 0}, "l", 1, err), -EINVAL);
    assert_non_null(strstr(err, "queue 0"));
    assert_int_equal(begun, 1);
    assert_int_equal(ended, 1);
    assert_null(sched_pool_find(&sched, (struct chi_pool_id){102, 0}));
    assert_null(sched_container_find(&sched, (struct chi_pool_id){102, 0}, 1));
}

static void expect_default(uint32_t lane, struct chi_query q, uint32_t worker)
{
    assert_ptr_equal(sched_default_lane(pool->local, &q, worker), chi_container_lane(pool->local, 0, lane));
}

/* By the part of the hash that did not choose the container; else one that this worker owns. */
static void sched_default_lane__by_hash_or_by_worker(void **state)
{
    (void)state;
    expect_default(0, chi_hash(1), 1);
    expect_default(1, chi_hash(4), 0);
    expect_default(3, chi_hash(3 * 7 + 1), 0);
    expect_default(1, chi_local(), 1);
    expect_default(0, chi_direct(1), 0);
    expect_default(1, chi_physical(20), 5);
}

static uint32_t ends[8], nends;
static void note_end(struct chi_container *c) { ends[nends++] = chi_container_pool(c).minor; }
static const struct chi_chimod noting = {
    .abi = CHI_CHIMOD_ABI, .size = sizeof noting, .name = "noting", .init = init, .fini = note_end};
static const struct chi_chimod way_out = {
    .abi = CHI_CHIMOD_ABI, .size = sizeof way_out, .name = "remote_queue", .init = init, .fini = note_end};

/* Containers begin in the order of composition and end in the reverse one, each once; what was refused is none of them. */
static void sched_fini__ends_containers_in_reverse(void **state)
{
    char err[SCHED_ERROR_BYTES];
    struct sched s;
    (void)state;
    assert_int_equal(sched_init(&s, 20, nodes, 3, 2), 0);
    add_to(&s, &noting);
    add_to(&s, &way_out);
    add_to(&s, &good); /* it has no fini */
    assert_int_equal(sched_compose(&s, "remote_queue", (struct chi_pool_id){2, 0}, "out", 1, err), 0);
    for (uint32_t i = 1; i <= 3; i++)
        assert_int_equal(sched_compose(&s, i == 2 ? "good" : "noting", (struct chi_pool_id){100, i}, "n", 1, err), 0);
    assert_int_equal(sched_compose(&s, "noting", (struct chi_pool_id){100, 3}, "n", 1, err), -EEXIST);
    assert_non_null(strstr(err, "pool 100.3 (n) is there already"));
    uint32_t i = 0;
    for (const struct chi_container *c = s.all; c; c = c->next, i++) {
        const struct sched_pool *p = sched_pool_find(&s, chi_container_pool(c));
        assert_true(p && p->local == c && p->id.minor == i && p->table->containers == 3);
        assert_ptr_equal(sched_container_find(&s, p->id, 1), c);
        assert_null(sched_container_find(&s, p->id, 0)); /* another node's */
        assert_string_equal(p->name, i ? "n" : "out");
        assert_string_equal(p->module->name, i == 0 ? "remote_queue" : i == 2 ? "good" : "noting");
    }
    assert_int_equal(i, 4);
    assert_ptr_equal(s.remote_queue, sched_pool_find(&s, (struct chi_pool_id){2, 0}));
    sched_fini(&s);
    assert_int_equal(nends, 3);
    assert_true(ends[0] == 3 && ends[1] == 1 && ends[2] == 0);
}

/* Container k is on node k / 4; one that does not start takes those before it along. */
static uint32_t some_begun, fails_at;
static enum chi_status init_some(struct chi_container *c) { return some_begun++ == fails_at ? CHI_STATUS_MODULE : init(c); }
static void fini_some(struct chi_container *c)
{
    (void)c;
    some_begun--;
}
static const struct chi_chimod some = {
    .abi = CHI_CHIMOD_ABI, .size = sizeof some, .name = "some", .init = init_some, .fini = fini_some};
static void sched_compose__several_containers_on_a_node(void **state)
{
    const struct chi_pool_id id = {100, 7};
    char err[SCHED_ERROR_BYTES];
    struct sched s;
    (void)state;
    assert_int_equal(sched_init(&s, 20, nodes, 3, 2), 0);
    add_to(&s, &some);
    fails_at = 2;
    some_begun = 0;
    assert_int_equal(sched_compose(&s, "some", id, "n", 4, err), -EINVAL);
    assert_int_equal(some_begun, 1); /* the one that failed has no end */
    assert_null(sched_pool_find(&s, id));
    assert_null(s.all);
    assert_int_equal(sched_compose(&s, "some", id, "n", SCHED_CONTAINERS_MAX / 3 + 1, err), -E2BIG);
    assert_non_null(strstr(err, "lower compose[].containers"));
    fails_at = UINT32_MAX;
    some_begun = 0;
    assert_int_equal(sched_compose(&s, "some", id, "n", 4, err), 0);
    struct sched_pool *p = sched_pool_find(&s, id);
    assert_true(p->table->containers == 12 && p->table->member_count == 3 && p->table->in_order);
    for (uint32_t k = 0; k < 12; k++) {
        struct chi_container *c = sched_container_find(&s, id, k);
        assert_int_equal(p->table->node_of[k], 10 * (k / 4 + 1));
        assert_int_equal(c != NULL, k / 4 == 1);
    }
    assert_int_equal(p->local->id, 4);
    assert_null(s.polled);
    sched_fini(&s);
    assert_int_equal(some_begun, 0);
}

static void sched_load__names_a_module_that_is_nowhere(void **state)
{
    char err[SCHED_ERROR_BYTES];
    const char *const paths[] = {"/nonexistent"};
    (void)state;
    assert_int_equal(sched_load(&sched, "nosuch", paths, 1, err), -ENOENT);
    assert_non_null(strstr(err, "nosuch"));
}

static void container__queues_and_lanes_are_dealt_to_workers(void **state)
{
    struct chi_container *c = pool->local;
    (void)state;
    assert_int_equal(chi_container_create_queue(c, 0, 1), CHI_STATUS_INVALID); /* taken */
    assert_int_equal(chi_container_create_queue(c, CHI_QUEUES_MAX, 1), CHI_STATUS_INVALID);
    assert_int_equal(chi_container_create_queue(c, 1, 0), CHI_STATUS_INVALID);
    assert_int_equal(chi_container_create_queue(c, 1, SCHED_LANES_MAX + 1), CHI_STATUS_INVALID);
    assert_null(chi_container_lane(c, 0, 4));
    assert_null(chi_container_lane(c, 1, 0));
    assert_null(chi_container_lane_by_hash(c, 1, 0));
    assert_null(chi_container_lane(c, CHI_QUEUES_MAX, 0));
    assert_null(chi_container_lane_by_hash(c, CHI_QUEUES_MAX, 0));
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(chi_container_lane(c, 0, i)->owner, i % 2);
    sched.lanes_by_hash = true;
    assert_int_equal(chi_container_create_queue_as(c, 3, &(struct chi_queue_options){.lanes = 100, .fixed = true}), CHI_STATUS_OK);
    assert_int_equal(chi_container_create_queue(c, 4, 100), CHI_STATUS_OK);
    uint32_t of_0 = 0, in_turn = 0;
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(chi_container_lane(c, 3, i)->owner, i % 2); /* by hash or not */
        of_0 += chi_container_lane(c, 4, i)->owner == 0;
        in_turn += chi_container_lane(c, 4, i)->owner == i % 2;
    }
    assert_true(of_0 > 25 && of_0 < 75 && in_turn > 25 && in_turn < 75);
    sched.lanes_by_hash = false;
    assert_int_equal(chi_container_create_queue(c, 2, SCHED_LANES_MAX), CHI_STATUS_OK);
    const struct chi_lane *last = chi_container_lane(c, 2, SCHED_LANES_MAX - 1);
    assert_true(last->queue == 2 && last->number == SCHED_LANES_MAX - 1 && last->container == c);
    assert_ptr_equal(chi_container_lane_by_hash(c, 0, 7), chi_container_lane(c, 0, 3));
    assert_int_equal(chi_container_id(c), 1);
    assert_int_equal(chi_container_node(c), 20);
    assert_int_equal(chi_container_workers(c), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sched_resolve__finds_the_container_or_its_node),
        cmocka_unit_test(sched_resolve__says_what_is_not_there),
        cmocka_unit_test(sched_node_set__changes_what_physical_finds_and_nothing_else),
        cmocka_unit_test(sched_compose__refuses_doubles_and_failing_modules),
        cmocka_unit_test(sched_compose__without_queue_0_ends_what_began),
        cmocka_unit_test(sched_default_lane__by_hash_or_by_worker),
        cmocka_unit_test(sched_fini__ends_containers_in_reverse),
        cmocka_unit_test(sched_compose__several_containers_on_a_node),
        cmocka_unit_test(sched_load__names_a_module_that_is_nowhere),
        cmocka_unit_test(container__queues_and_lanes_are_dealt_to_workers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
