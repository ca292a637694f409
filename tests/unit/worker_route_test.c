/* Two workers whose turns this test takes itself: what crosses between them when rings are full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <poll.h>

#include "sched/tables.h"
#include "worker/internal.h"

enum { TASKS = 3 * WORKER_RING_SLOTS }; /* far more than a ring holds */
#define NO_LANE UINT64_MAX    /* the monitor refuses it */

struct step {
    struct chi_task task;
    uint64_t lane, number;
    bool park;
};
CHI_FIELDS(step_fields) = {CHI_IN(U64, struct step, lane), CHI_IN(U64, struct step, number)};
CHI_METHOD_VAR(step_method) = CHI_METHOD(1, struct step, step_fields);

static struct runtime *rt;
static const struct chi_pool_id POOL = {100, 0};
static uint64_t next_on_lane[2], ended[2], deleted;
static struct chi_task *parked;

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 2); }
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    if (((struct step *)task)->lane == NO_LANE)
        return CHI_STATUS_MODULE;
    if (mode == CHI_LOCAL_SCHEDULE)
        chi_rctx_set_lane(r, chi_container_lane(c, 0, (uint32_t)((struct step *)task)->lane));
    return CHI_STATUS_OK;
}
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct step *t = (struct step *)task;
    (void)c;
    assert_int_equal(chi_rctx_worker(r), t->lane);
    if (t->park) {
        parked = task;
        return CHI_STATUS_PENDING;
    }
    assert_int_equal(t->number, next_on_lane[t->lane]++); /* in order, each once */
    return CHI_STATUS_OK;
}
static void del(struct chi_container *c, struct chi_task *task)
{
    assert_ptr_equal(c->ops->name, "steps");
    assert_int_not_equal(task->status, CHI_STATUS_PENDING);
    deleted++;
}
static struct chi_method *const methods[] = {&step_method};
static const struct chi_chimod steps = {.abi = CHI_CHIMOD_ABI, .size = sizeof steps, .name = "steps", .methods = methods,
                                        .nmethods = 1, .init = init, .run = run, .monitor = monitor, .del = del};

static int setup(void **state)
{
    static const uint32_t cores[] = {0, 0}, nodes[] = {1};
    static struct chi_method *by_id[] = {NULL, &step_method};
    char err[SCHED_ERROR_BYTES];
    const struct runtime_options o = {.node_id = 1, .workers = 2, .cores = cores, .tasks = 2 * TASKS, .arena_bytes = 1 << 20,
                                      .task_timeout_ns = 60000000000, .nodes = nodes, .node_count = 1, .cluster = "test"};
    (void)state;
    rcu_register_thread();
    assert_int_equal(runtime_create(&o, &rt, err), 0);
    for (int i = 0; i < 2; i++)
        rt->worker[i]->rctx.now_ns = net_now_ns(); /* tasks are submitted before the first turn */
    struct sched_module *m = calloc(1, sizeof *m);
    snprintf(m->name, sizeof m->name, "steps");
    m->ops = &steps;
    m->by_id = malloc(sizeof by_id);
    memcpy(m->by_id, by_id, sizeof by_id);
    m->method_count = 2;
    chi_method_hash(&step_method);
    sched_module_add(&rt->sched, m);
    assert_int_equal(sched_compose(&rt->sched, "steps", POOL, "steps", 1, err), 0);
    memset(next_on_lane, 0, sizeof next_on_lane);
    memset(ended, 0, sizeof ended);
    deleted = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(rt->worker[i]->tasks.out, 0); /* nothing leaked */
    runtime_destroy(rt);
    rcu_unregister_thread();
    return 0;
}

static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    assert_int_equal(task->status, CHI_STATUS_OK);
    assert_int_equal(chi_rctx_worker(r), *(uint64_t *)arg); /* back home */
    ended[*(uint64_t *)arg]++;
    assert_int_equal(deleted, ended[0] + ended[1]); /* before this, once for each that ran */
    chi_task_del(r, task);
}

static void submit(uint32_t from, uint64_t lane, uint64_t number, bool park)
{
    static uint64_t home[2] = {0, 1};
    struct chi_rctx *r = &rt->worker[from]->rctx;
    struct step *t = (struct step *)chi_task_new(r, &step_method);
    assert_non_null(t);
    t->task.pool = POOL;
    t->task.query = chi_local();
    t->lane = lane;
    t->number = number;
    t->park = park;
    chi_task_submit(r, &t->task, done, &home[from]);
}

/* Both workers fill each other's rings before either takes its turn. */
static void route__full_rings_lose_nothing_and_keep_the_order(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < TASKS; i++) {
        submit(0, 1, i, false);
        submit(1, 0, i, false);
    }
    assert_true(rt->worker[0]->stats.overflows > 0 && rt->worker[1]->stats.overflows > 0);
    assert_true(route_pending(rt->worker[0]));
    for (int turn = 0; turn < 100 * TASKS && (ended[0] < TASKS || ended[1] < TASKS); turn++)
        worker_turn(rt->worker[turn % 2]);
    assert_int_equal(ended[0], TASKS);
    assert_int_equal(ended[1], TASKS);
    assert_int_equal(next_on_lane[0], TASKS);
    assert_int_equal(next_on_lane[1], TASKS);
    assert_false(route_pending(rt->worker[0]) || route_pending(rt->worker[1]));
}

/* What comes when the ring has room again goes behind what waits for it; and the list can fill again. */
static void route__what_waits_goes_first_each_time(void **state)
{
    (void)state;
    uint64_t number = 0, done_before;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < WORKER_RING_SLOTS + 3; i++)
            submit(0, 1, number++, false);
        assert_true(route_pending(rt->worker[0]));
        worker_turn(rt->worker[1]); /* makes room */
        submit(0, 1, number++, false);
        route_flush(rt->worker[0]);
        assert_false(route_pending(rt->worker[0]));
        done_before = ended[0];
        for (int turn = 0; turn < TASKS && ended[0] < number; turn++)
            worker_turn(rt->worker[turn % 2]);
        assert_true(done_before < number);
        assert_int_equal(ended[0], number);
        assert_int_equal(next_on_lane[1], number);
    }
}

static bool rung(const struct worker *w) { return poll(&(struct pollfd){.fd = w->bell.event_fd, .events = POLLIN}, 1, 0) == 1; }

/* Who got something and sleeps is woken, once, and nobody else. */
static void flush__rings_the_bell_of_who_got_something(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        doorbell_arm(&rt->worker[i]->bell);
    route_flush(rt->worker[0]);
    assert_false(rung(rt->worker[1]));
    submit(0, 1, 0, false);
    assert_false(rung(rt->worker[1])); /* with all others of the turn */
    route_flush(rt->worker[0]);
    assert_true(rung(rt->worker[1]));
    assert_false(rung(rt->worker[0]));
    doorbell_drain(&rt->worker[1]->bell);
    route_flush(rt->worker[0]);
    assert_false(rung(rt->worker[1]));
    for (int turn = 0; turn < 4; turn++)
        worker_turn(rt->worker[1 - turn % 2]);
    assert_int_equal(ended[0], 1);
    assert_true(rung(rt->worker[0])); /* its task came home */
}

/* A worker that has ready lanes or waiting items never counts as idle. */
static void turn__counts_work_until_there_is_none(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 3 * WORKER_LANE_BUDGET; i++)
        submit(0, 0, i, false);
    unsigned turns = 0;
    while (ended[0] < 3 * WORKER_LANE_BUDGET) {
        assert_true(worker_turn(rt->worker[0]) > 0);
        turns++;
    }
    assert_true(turns >= 2); /* the budget holds: other sources get their share in between */
    assert_int_equal(worker_turn(rt->worker[0]), 0);
}

/* A parked task is completed later, and goes home from the worker that ran it. */
static void complete__a_parked_task_goes_home(void **state)
{
    (void)state;
    submit(0, 1, 0, true);
    for (int turn = 0; turn < 4; turn++)
        worker_turn(rt->worker[turn % 2]);
    assert_non_null(parked);
    assert_int_equal(ended[0], 0);
    chi_complete(&rt->worker[1]->rctx, parked, CHI_STATUS_OK);
    for (int turn = 0; turn < 4; turn++)
        worker_turn(rt->worker[turn % 2]);
    assert_int_equal(ended[0], 1);
}

static void never_called(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)r, (void)task, (void)arg;
    fail();
}

static void submit__what_cannot_go_anywhere_ends_with_its_status(void **state)
{
    (void)state;
    struct chi_rctx *r = &rt->worker[0]->rctx;
    const struct { struct chi_pool_id pool; struct chi_query query; enum chi_status st; uint64_t lane; } cases[] = {
        {{999, 0}, {CHI_QUERY_LOCAL, 0, 0}, CHI_STATUS_NO_POOL, 0},
        {{100, 0}, {CHI_QUERY_PHYSICAL, 0, 9}, CHI_STATUS_NO_NODE, 0},
        {{100, 0}, {CHI_QUERY_DIRECT_ID, 0, 1}, CHI_STATUS_NO_CONTAINER, 0},
        {{100, 0}, {CHI_QUERY_LOCAL, 0, 0}, CHI_STATUS_MODULE, NO_LANE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chi_task *t = chi_task_new(r, &step_method);
        t->pool = cases[i].pool;
        t->query = cases[i].query;
        ((struct step *)t)->lane = cases[i].lane;
        chi_task_submit(r, t, never_called, NULL); /* never before it returned: so done is not called here */
        assert_int_equal(t->status, cases[i].st);
        assert_null(task_of(t)->container); /* it ran nowhere: no del */
        rt->worker[0]->ended = NULL; /* take it back from the list of callbacks */
        rt->worker[0]->ended_tail = &rt->worker[0]->ended;
        task_put(&rt->worker[0]->tasks, task_of(t));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(route__full_rings_lose_nothing_and_keep_the_order, setup, teardown),
        cmocka_unit_test_setup_teardown(route__what_waits_goes_first_each_time, setup, teardown),
        cmocka_unit_test_setup_teardown(flush__rings_the_bell_of_who_got_something, setup, teardown),
        cmocka_unit_test_setup_teardown(turn__counts_work_until_there_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(complete__a_parked_task_goes_home, setup, teardown),
        cmocka_unit_test_setup_teardown(submit__what_cannot_go_anywhere_ends_with_its_status, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
