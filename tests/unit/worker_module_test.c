/* What a module may call and rely on: tasks of its own, their end, del, the turn around its operations. */
#include "panics.h"
#include "worker_support.h"

enum { RECORDS = 64 };
static const struct chi_pool_id POOL = {100, 0}, OUT = {2, 0}, NOWHERE = {99, 0};

struct job {
    struct chi_task task;
    uint64_t value, kept;
};
CHI_FIELDS(job_fields) = {CHI_INOUT(U64, struct job, value)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static struct runtime *rt;
static struct worker *w;
static unsigned runs, dels, dones, aways, polls, flushes, poll_did, flush_did;
static unsigned lane_of_last; /* + 1 */
static enum chi_status last;
static struct chi_task *away[RECORDS];
static bool chain, flush_submits, park, with_regions;
static uint64_t takes_ns;
static struct chi_lane *pick; /* by the monitor */
static enum chi_status monitor_says;

static void submit(struct chi_pool_id pool, struct chi_query q, struct chi_method *m);

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 3); }
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    (void)c, (void)task;
    if (with_regions)
        task_of(task)->nregions = 1;
    if (mode == CHI_LOCAL_SCHEDULE && pick)
        chi_rctx_set_lane(r, pick);
    return monitor_says;
}
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct job *t = (struct job *)task;
    (void)c, (void)r;
    runs++;
    lane_of_last = task_of(task)->lane->number + 1;
    t->kept = 5;
    t->value++;
    for (uint64_t from = takes_ns ? net_now_ns() : 0; takes_ns && net_now_ns() - from < takes_ns;)
        ;
    if (chain)
        submit(POOL, chi_local(), &job_method);
    return park ? CHI_STATUS_PENDING : CHI_STATUS_OK;
}
static void del(struct chi_container *c, struct chi_task *task)
{
    assert_ptr_equal(c, sched_pool_find(&rt->sched, POOL)->local);
    assert_int_equal(((struct job *)task)->kept, 5);
    ((struct job *)task)->kept = 0;
    dels++;
}
static unsigned poll(struct chi_container *c, struct chi_rctx *r)
{
    (void)c, (void)r;
    polls++;
    return poll_did;
}
static unsigned flush(struct chi_container *c, struct chi_rctx *r)
{
    (void)c, (void)r;
    flushes++;
    if (flush_submits)
        submit(POOL, chi_local(), &job_method);
    flush_submits = false;
    return flush_did;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1,
                                       .init = init, .run = run, .monitor = monitor, .del = del, .poll = poll, .flush = flush};

static void take_away(struct chi_container *c, struct chi_task **tasks, unsigned n, struct chi_rctx *r)
{
    (void)c, (void)r;
    assert_true(n <= WORKER_LANE_BUDGET);
    for (unsigned i = 0; i < n; i++)
        away[aways++] = tasks[i];
}
static void never(struct chi_container *c, struct chi_task *task)
{
    (void)c, (void)task;
    fail_msg("a task that went away was deleted here");
}
static const struct chi_chimod remote_queue = {.abi = CHI_CHIMOD_ABI, .size = sizeof remote_queue, .name = "remote_queue", .init = init,
                                               .run_many = take_away, .del = never};

static int setup(void **state)
{
    (void)state;
    rt = support_runtime(1, RECORDS, NULL);
    w = rt->worker[0];
    w->turn_limit_ns = UINT64_MAX; /* however slow the machine is */
    support_pool(rt, &remote_queue, OUT, 1);
    support_pool(rt, &jobs, POOL, 1);
    runs = dels = dones = aways = polls = flushes = poll_did = flush_did = lane_of_last = 0;
    chain = flush_submits = park = with_regions = false;
    takes_ns = 0;
    pick = NULL;
    monitor_says = CHI_STATUS_OK;
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    chain = false;
    while (worker_turn(w))
        ;
    support_end(rt);
    return 0;
}

static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    dones++;
    last = task->status;
    assert_int_equal(((struct job *)task)->kept, 0); /* del came before, where it ran */
    chi_task_del(r, task);
}

static struct job *make(struct chi_pool_id pool, struct chi_query q, struct chi_method *m)
{
    struct job *t = (struct job *)chi_task_new(&w->rctx, m);
    assert_non_null(t);
    t->task.pool = pool;
    t->task.query = q;
    return t;
}
static void submit(struct chi_pool_id pool, struct chi_query q, struct chi_method *m)
{
    chi_task_submit(&w->rctx, &make(pool, q, m)->task, done, NULL);
}

static void new__is_zero_also_in_a_used_record_and_null_when_there_is_none(void **state)
{
    (void)state;
    struct chi_task *all[RECORDS];
    for (int i = 0; i < RECORDS; i++) {
        all[i] = chi_task_new(&w->rctx, &job_method);
        assert_non_null(all[i]);
        memset(&((struct job *)all[i])->value, 0xff, 16);
        all[i]->timeout_us = 9;
    }
    assert_null(chi_task_new(&w->rctx, &job_method));
    for (int i = 0; i < RECORDS; i++)
        chi_task_del(&w->rctx, all[i]);
    struct job *t = (struct job *)chi_task_new(&w->rctx, &job_method);
    assert_true(t->value == 0 && t->kept == 0 && t->task.timeout_us == 0);
    assert_ptr_equal(t->task.method, &job_method);
    chi_task_del(&w->rctx, &t->task);
}

static void submit__that_cannot_go_calls_done_later_with_its_status(void **state)
{
    (void)state;
    struct chi_method none = job_method, other = job_method, longer = job_method;
    none.id = 77;
    longer.size += 8;
    other.nfields = 0;
    none.hash = other.hash = 0;
    const struct { struct chi_pool_id pool; struct chi_query q; struct chi_method *m; bool stopping; enum chi_status monitor, st; } cases[] = {
        {NOWHERE, chi_local(), &job_method, false, CHI_STATUS_OK, CHI_STATUS_NO_POOL},
        {POOL, chi_local(), &none, false, CHI_STATUS_OK, CHI_STATUS_NO_METHOD},
        {POOL, chi_local(), &other, false, CHI_STATUS_OK, CHI_STATUS_SCHEMA},
        {POOL, chi_local(), &longer, false, CHI_STATUS_OK, CHI_STATUS_SCHEMA},
        {POOL, chi_physical(9), &job_method, false, CHI_STATUS_OK, CHI_STATUS_NO_NODE},
        {POOL, chi_local(), &job_method, false, CHI_STATUS_MODULE, CHI_STATUS_MODULE},
        {POOL, chi_dynamic(), &job_method, false, CHI_STATUS_MODULE, CHI_STATUS_MODULE},
        {POOL, chi_local(), &job_method, true, CHI_STATUS_OK, CHI_STATUS_SHUTDOWN},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rt->stopping = cases[i].stopping;
        monitor_says = cases[i].monitor;
        submit(cases[i].pool, cases[i].q, cases[i].m);
        assert_int_equal(dones, i);
        assert_true(worker_turn(w) > 0);
        assert_int_equal(dones, i + 1);
        assert_int_equal(last, cases[i].st);
    }
    assert_int_equal(runs, 0);
}

static void run__here_is_followed_by_del_and_done_once_each(void **state)
{
    (void)state;
    submit(POOL, chi_local(), &job_method);
    assert_int_equal(runs, 0);
    for (int i = 0; i < 3; i++)
        worker_turn(w);
    assert_int_equal(runs, 1);
    assert_int_equal(dels, 1);
    assert_int_equal(dones, 1);
    assert_int_equal(last, CHI_STATUS_OK);
    assert_int_equal(w->stats.tasks_module, 1);
}

static struct chi_task *misused;
static void delete_it(void) { chi_task_del(&w->rctx, misused); }
static void submit_it(void) { chi_task_submit(&w->rctx, misused, done, NULL); }
static void complete_it(void) { chi_complete(&w->rctx, misused, CHI_STATUS_OK); }
static void complete_as_pending(void) { chi_complete(&w->rctx, misused, CHI_STATUS_PENDING); }

/* A module that ends, deletes or submits a task that it does not own is a bug that is found, not one that spreads. */
static void misuse__of_a_task_is_found(void **state)
{
    (void)state;
    struct job *t = make(POOL, chi_local(), &job_method);
    park = true;
    misused = &t->task;
    assert_true(panics(complete_it)); /* not submitted */
    submit_it();
    assert_true(panics(delete_it)); /* out */
    worker_turn(w);
    assert_true(panics(submit_it));
    assert_true(panics(complete_as_pending));
    complete_it();
    assert_true(panics(complete_it)); /* ended */
    assert_true(panics(delete_it));
    worker_turn(w);
    assert_int_equal(dones, 1);
}

static void again(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    assert_int_equal(task->status, CHI_STATUS_OK);
    dones++;
    if (((struct job *)task)->value < *(uint64_t *)arg)
        chi_task_submit(r, task, again, arg);
    else
        chi_task_del(r, task);
}

/* The record may go out again; del comes once for each run. */
static void submit__again_from_done(void **state)
{
    (void)state;
    uint64_t times = 5;
    chi_task_submit(&w->rctx, &make(POOL, chi_local(), &job_method)->task, again, &times);
    worker_turn(w);
    assert_int_equal(runs, 2); /* what a callback submits still runs in this turn */
    for (int i = 0; i < 10; i++)
        worker_turn(w);
    assert_int_equal(runs, 5);
    assert_int_equal(dels, 5);
    assert_int_equal(dones, 5);
}

static void local_then_away(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    dones++;
    if (dones == 2) {
        chi_task_del(r, task);
        return;
    }
    task->query = chi_physical(2);
    chi_task_submit(r, task, local_then_away, NULL);
}

/* What ran here once and then elsewhere is deleted here once. */
static void submit__again_for_another_node(void **state)
{
    (void)state;
    chi_task_submit(&w->rctx, &make(POOL, chi_local(), &job_method)->task, local_then_away, NULL);
    worker_turn(w);
    worker_turn(w);
    assert_int_equal(aways, 1);
    task_of(away[0])->state = TASK_AWAY;
    worker_returned_st(w, task_of(away[0]), CHI_STATUS_PEER_DOWN, NULL, 0);
    worker_turn(w);
    assert_int_equal(dones, 2);
    assert_int_equal(dels, 1);
}

/* A task that goes away has its own deadline or the node's, and comes back with its status; del has no part in it. */
static void away__has_a_deadline_and_comes_back(void **state)
{
    (void)state;
    for (uint32_t us = 0; us <= 700; us += 700) {
        struct job *t = make(POOL, chi_physical(2), &job_method);
        t->task.timeout_us = us;
        t->task.status = CHI_STATUS_OK;
        w->rctx.now_ns = 123456;
        chi_task_submit(&w->rctx, &t->task, done, NULL);
        assert_int_equal(t->task.status, CHI_STATUS_PENDING);
        assert_int_equal(task_of(&t->task)->deadline_ns, 123456 + (us ? 700000 : SUPPORT_TIMEOUT_MS * UINT64_C(1000000)));
        assert_int_equal(task_of(&t->task)->node, 2);
        unsigned n = aways, before = dones;
        worker_turn(w);
        assert_int_equal(aways, n + 1);
        task_of(away[n])->state = TASK_AWAY;
        worker_returned_st(w, task_of(away[n]), us ? CHI_STATUS_DEADLINE : CHI_STATUS_OK, (const uint8_t *)"12345678", us ? 0 : 8);
        worker_turn(w);
        assert_int_equal(dones, before + 1);
        assert_int_equal(last, us ? CHI_STATUS_DEADLINE : CHI_STATUS_OK);
    }
}

/* An answer that cannot be loaded is no success. */
static void away__with_a_malformed_answer_ends_with_archive(void **state)
{
    (void)state;
    submit(POOL, chi_physical(2), &job_method);
    worker_turn(w);
    task_of(away[0])->state = TASK_AWAY;
    worker_returned_st(w, task_of(away[0]), CHI_STATUS_OK, (const uint8_t *)"1234567", 7);
    worker_turn(w);
    assert_int_equal(last, CHI_STATUS_ARCHIVE);
}

/* The lane that the monitor chose holds for that task alone. */
static void lane__chosen_for_one_task_is_not_the_next_ones(void **state)
{
    (void)state;
    struct chi_container *c = sched_pool_find(&rt->sched, POOL)->local;
    pick = chi_container_lane(c, 0, 2);
    submit(POOL, chi_local(), &job_method);
    pick = NULL;
    worker_turn(w);
    assert_int_equal(lane_of_last, 2 + 1);
    submit(POOL, chi_local(), &job_method);
    worker_turn(w);
    assert_int_equal(lane_of_last, 0 + 1);
    pick = chi_container_lane(sched_pool_find(&rt->sched, OUT)->local, 0, 0);
    submit(POOL, chi_local(), &job_method);
    worker_turn(w);
    assert_int_equal(last, CHI_STATUS_NO_ROUTE);
}

static void turn__gives_each_lane_its_budget(void **state)
{
    (void)state;
    for (int i = 0; i < WORKER_LANE_BUDGET + 8; i++) {
        submit(POOL, chi_local(), &job_method);
        if (i < 20)
            submit(POOL, chi_physical(2), &job_method);
    }
    assert_true(lanes_run(w) > 0);
    assert_int_equal(runs, WORKER_LANE_BUDGET);
    assert_int_equal(aways, 20); /* in the same turn */
    assert_int_equal(w->stats.tasks_run, WORKER_LANE_BUDGET + 20);
    lanes_run(w);
    assert_int_equal(runs, WORKER_LANE_BUDGET + 8);
    while (aways) {
        task_of(away[--aways])->state = TASK_AWAY;
        worker_returned_st(w, task_of(away[aways]), CHI_STATUS_PEER_DOWN, NULL, 0);
    }
}

/* A module whose tasks beget tasks does not keep the turn from ending. */
static void turn__ends_although_a_lane_never_runs_dry(void **state)
{
    (void)state;
    chain = true;
    submit(POOL, chi_local(), &job_method);
    for (unsigned turn = 1; turn <= 5; turn++) {
        unsigned before = runs;
        assert_true(lanes_run(w) > 0);
        assert_true(runs - before <= WORKER_LANE_BUDGET);
        ended_callbacks(w);
    }
}

static void turn__counts_what_polls_and_flushes_did(void **state)
{
    (void)state;
    assert_int_equal(worker_turn(w), 0);
    assert_int_equal(polls, 1);
    assert_int_equal(flushes, 1);
    assert_int_equal(w->stats.turns, 1);
    poll_did = 3;
    assert_int_equal(worker_turn(w), 3);
    poll_did = 0;
    flush_did = 2;
    assert_int_equal(worker_turn(w), 2);
    flush_did = 0;
    flush_submits = true; /* says that it did nothing, but a lane is ready */
    assert_true(worker_turn(w) > 0);
    assert_int_equal(runs, 0);
    submit(NOWHERE, chi_local(), &job_method);
    worker_turn(w);
    assert_int_equal(runs, 1);
}

static void wake_at__the_earliest_counts_and_each_turn_begins_anew(void **state)
{
    (void)state;
    worker_turn(w);
    assert_true(w->rctx.wake_ns == UINT64_MAX);
    chi_rctx_wake_at(&w->rctx, 500);
    chi_rctx_wake_at(&w->rctx, 700);
    assert_int_equal(w->rctx.wake_ns, 500);
    chi_rctx_wake_at(&w->rctx, 300);
    assert_int_equal(w->rctx.wake_ns, 300);
    worker_turn(w);
    assert_true(w->rctx.wake_ns == UINT64_MAX);
}

static void memory__comes_back(void **state)
{
    (void)state;
    void *p = chi_mem_get(&w->rctx, SUPPORT_ARENA);
    for (int i = 0; i < 10; i++) {
        assert_non_null(p);
        assert_null(chi_mem_get(&w->rctx, 64));
        chi_mem_put(&w->rctx, p, SUPPORT_ARENA);
        p = chi_mem_get(&w->rctx, SUPPORT_ARENA);
    }
    chi_mem_put(&w->rctx, p, SUPPORT_ARENA);
}

/* Ports and clients are looked at again before all tasks that are ready have run, when these take long. */
static void turn__ends_early_when_tasks_take_long(void **state)
{
    (void)state;
    enum { TASKS = 20 };
    pick = chi_container_lane(sched_pool_find(&rt->sched, POOL)->local, 0, 0);
    w->turn_limit_ns = WORKER_TURN_NS;
    takes_ns = WORKER_TURN_NS / 4;
    for (int i = 0; i < TASKS; i++)
        submit(POOL, chi_local(), &job_method);
    worker_turn(w);
    assert_int_equal(runs, 8);
    while (worker_turn(w))
        ;
    assert_int_equal(runs, TASKS);

    runs = dones = 0;
    takes_ns = WORKER_TURN_NS + 1;
    with_regions = true;
    for (unsigned i = 1; i <= 3; i++)
        submit(POOL, chi_local(), &job_method);
    for (unsigned i = 1; i <= 3; i++) {
        worker_turn(w);
        assert_int_equal(runs, i);
    }
    worker_turn(w);
    assert_int_equal(dones, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(turn__ends_early_when_tasks_take_long, setup, teardown),
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(new__is_zero_also_in_a_used_record_and_null_when_there_is_none),
        TEST(submit__that_cannot_go_calls_done_later_with_its_status),
        TEST(run__here_is_followed_by_del_and_done_once_each),
        TEST(misuse__of_a_task_is_found),
        TEST(submit__again_from_done),
        TEST(submit__again_for_another_node),
        TEST(away__has_a_deadline_and_comes_back),
        TEST(away__with_a_malformed_answer_ends_with_archive),
        TEST(lane__chosen_for_one_task_is_not_the_next_ones),
        TEST(turn__gives_each_lane_its_budget),
        TEST(turn__ends_although_a_lane_never_runs_dry),
        TEST(turn__counts_what_polls_and_flushes_did),
        TEST(wake_at__the_earliest_counts_and_each_turn_begins_anew),
        TEST(memory__comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
