/* Periodic tasks: when they start, what is missed, how they end.  What a run finds is compared with the clock that it was given, never with a duration. */
#include "panics.h"
#include "worker_cluster.h"

enum { RECORDS = 512 };
#define FAR_AWAY UINT64_C(1000000000000000000) /* a period that does not come again: some 30 years */
static const struct chi_pool_id POOL = {100, 0}, NOWHERE = {99, 0};

struct job {
    struct chi_task task;
    uint64_t lane, runs;
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, lane), CHI_INOUT(U64, struct job, runs)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static struct runtime *rt;
static struct worker *w;
static uint64_t began_ns, period;     /* of the one that is looked at */
static uint64_t runs, starts, asked;  /* starts: with those that were missed */
static unsigned dels, dones, stopped;
static uint64_t ran_on;               /* bit k: worker k */
static enum chi_status last, run_says;
static uint64_t last_runs;
static bool park, stop_in_run, again, stop_twice;
static struct chi_task *parked;

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, chi_container_workers(c)); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct job *t = (struct job *)task;
    (void)c;
    assert_null(parked); /* never two at once */
    t->runs++;
    __atomic_fetch_add(&runs, 1, __ATOMIC_RELAXED); /* one test has threads */
    __atomic_fetch_or(&ran_on, 1ULL << chi_rctx_worker(r), __ATOMIC_RELAXED);
    __atomic_fetch_add(&starts, 1 + chi_periodic_missed(r, task), __ATOMIC_RELAXED);
    if (stop_in_run) {
        chi_periodic_stop(r, task);
        chi_periodic_stop(r, task);
    }
    if (t->lane >= 2 && t->runs == 20) {
        chi_periodic_stop(r, task);
        __atomic_fetch_add(&stopped, 1, __ATOMIC_RELAXED);
    }
    if (park) {
        parked = task;
        return CHI_STATUS_PENDING;
    }
    return run_says;
}
static void del(struct chi_container *c, struct chi_task *task)
{
    (void)c, (void)task;
    __atomic_fetch_add(&dels, 1, __ATOMIC_RELAXED);
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    if (mode == CHI_GLOBAL_SCHEDULE) {
        asked++;
        task->query = chi_direct(0);
        return CHI_STATUS_OK;
    }
    if (mode != CHI_LOCAL_SCHEDULE)
        return CHI_STATUS_UNSUPPORTED;
    chi_rctx_set_lane(r, chi_container_lane_by_hash(c, 0, ((struct job *)task)->lane));
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1,
                                       .init = init, .run = run, .del = del, .monitor = monitor};

static void fresh(void)
{
    stopped = 0;
    runs = starts = asked = ran_on = last_runs = dels = dones = 0;
    park = stop_in_run = again = stop_twice = false;
    parked = NULL;
    last = CHI_STATUS_PENDING;
    run_says = CHI_STATUS_OK;
}
static int setup(void **state)
{
    (void)state;
    rt = support_runtime(2, RECORDS, NULL);
    w = rt->worker[0];
    w->turn_limit_ns = UINT64_MAX; /* however slow the machine is */
    support_pool(rt, &jobs, POOL, 1);
    fresh();
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    assert_int_equal(w->parked, 0);
    assert_int_equal(w->periodic.free, WORKER_PERIODIC_MAX);
    support_end(rt);
    return 0;
}

static void turn(void)
{
    for (int k = 1; k >= 0; k--) {
        worker_enter(rt->worker[k]);
        worker_turn(rt->worker[k]);
    }
}
static void turns(int n)
{
    while (n--)
        turn();
}

static struct chi_task *job_new(struct worker *of, struct chi_query q, uint64_t lane)
{
    struct job *t = (struct job *)chi_task_new(&of->rctx, &job_method);
    assert_non_null(t);
    t->task.pool = POOL;
    t->task.query = q;
    t->lane = lane;
    return &t->task;
}
static void done(struct chi_rctx *r, struct chi_task *task, void *arg);
static void start(struct chi_task *t, uint64_t period_ns)
{
    began_ns = w->rctx.now_ns = net_now_ns();
    period = period_ns;
    assert_int_equal(chi_periodic_start(&w->rctx, t, period_ns, done, &dones), CHI_STATUS_OK);
    assert_int_equal(runs, 0);
}
static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    ++*(unsigned *)arg;
    last = task->status;
    last_runs = ((struct job *)task)->runs;
    assert_int_equal(r->worker->tasks.out, 1);
    if (again) {
        again = false;
        start(task, FAR_AWAY);
        return;
    }
    chi_task_del(r, task);
}
static void stop(struct chi_task *t)
{
    unsigned before = dones;
    chi_periodic_stop(&w->rctx, t);
    if (stop_twice)
        chi_periodic_stop(&w->rctx, t);
    assert_int_equal(dones, before); /* never before it returned */
}
static void stopped_after(uint64_t n)
{
    turns(4);
    assert_int_equal(dones, 1);
    assert_int_equal(runs, n);
    assert_int_equal(dels, n);
    assert_int_equal(last_runs, n); /* INOUT */
}

/* Starts of the period up to a time, the one at its beginning too. */
static uint64_t due(uint64_t now_ns) { return (now_ns - began_ns) / period + 1; }

static void start__each_period_none_is_lost_or_made_up(void **state)
{
    (void)state;
    struct chi_task *t = job_new(w, chi_local(), 0);
    start(t, 20000);
    while (runs < 500) {
        uint64_t before = runs;
        worker_turn(w); /* the lane's worker is w: a run that is due is in this turn */
        assert_in_range(runs, before, before + 1);
        if (runs > before)
            assert_int_equal(starts, due(w->rctx.now_ns));
        else
            assert_true(w->rctx.now_ns < began_ns + starts * period || w->ended); /* not due, or over just now */
        assert_true(w->rctx.wake_ns <= began_ns + starts * period || w->ended || ready_any(&w->ready));
    }
    assert_int_equal(w->stats.periods, runs);
    assert_int_equal(w->stats.periods_missed, starts - runs);
    stop(t);
    stopped_after(500);
    assert_int_equal(last, CHI_STATUS_OK);
}

/* What was due while it ran, or its worker was busy, is one start. */
static void start__too_late_is_one_run(void **state)
{
    (void)state;
    struct chi_task *t = job_new(w, chi_local(), 0);
    park = true;
    start(t, 50000);
    for (uint64_t k = 1; k <= 3; k++) {
        while (!parked)
            worker_turn(w);
        uint64_t at = w->rctx.now_ns;
        assert_int_equal(starts, due(at));
        while (w->rctx.now_ns < at + 5 * period) /* its time comes five times, */
            worker_turn(w);
        assert_int_equal(runs, k); /* and it runs still */
        chi_complete(&w->rctx, parked, CHI_STATUS_OK);
        parked = NULL;
        worker_turn(w); /* at once, once */
        assert_int_equal(runs, k + 1);
        assert_int_equal(starts, due(w->rctx.now_ns));
        assert_true(starts >= due(at) + 5);
    }
    stop(t); /* while it runs: it goes on to its end */
    turns(3);
    assert_int_equal(dones, 0);
    chi_complete(&w->rctx, parked, CHI_STATUS_MODULE);
    stopped_after(4);
    assert_int_equal(last, CHI_STATUS_MODULE);
}

static void start__is_no_business_of_a_worker_that_has_none(void **state)
{
    (void)state;
    struct chi_task *t = job_new(w, chi_local(), 0);
    worker_turn(w);
    assert_true(w->rctx.wake_ns == UINT64_MAX);
    start(t, FAR_AWAY);
    turns(5);
    assert_int_equal(runs, 1);
    assert_int_equal(w->rctx.wake_ns, began_ns + FAR_AWAY);
    stop_twice = true;
    stop(t); /* while it rests */
    stopped_after(1);
    worker_turn(w);
    assert_true(w->rctx.wake_ns == UINT64_MAX);
}

static void start__goes_on_whatever_a_run_ends_with(void **state)
{
    (void)state;
    struct chi_task *t = job_new(w, chi_dynamic(), 0);
    run_says = CHI_STATUS_MODULE;
    start(t, 1);
    while (runs < 10)
        turn();
    assert_int_equal(asked, runs); /* its query is the same each time */
    t->pool = NOWHERE;
    uint64_t failed = w->stats.periods;
    while (w->stats.periods < failed + 10)
        turn();
    uint64_t ran = runs;
    stop(t);
    stopped_after(ran);
    assert_int_equal(last, CHI_STATUS_NO_POOL);
}

static void stop__by_its_own_run_on_any_worker(void **state)
{
    (void)state;
    for (uint64_t lane = 0; lane < 2; lane++) {
        fresh();
        stop_in_run = true;
        start(job_new(w, chi_local(), lane), 1);
        turns(3);
        stopped_after(1);
        assert_true(ran_on == 1 || ran_on == 2);
        assert_int_equal(last, CHI_STATUS_OK);
    }
}

static void stop__before_it_ever_ran(void **state)
{
    (void)state;
    struct chi_task *t = job_new(w, chi_local(), 0);
    start(t, 1);
    again = true; /* its owner starts it again, and does not stop it */
    stop(t);
    turns(1);
    assert_int_equal(dones, 1);
    assert_int_equal(last, CHI_STATUS_OK);
    turns(3);
    assert_int_equal(runs, 1);
    stop(t);
    turns(3);
    assert_int_equal(dones, 2);
}

static void stop__of_one_nobody_waits_for(void **state)
{
    (void)state;
    struct chi_task *t = job_new(w, chi_local(), 1);
    w->rctx.now_ns = net_now_ns();
    assert_int_equal(chi_periodic_start(&w->rctx, t, 1, NULL, NULL), CHI_STATUS_OK);
    while (runs < 5)
        turn();
    stop(t);
    turns(4);
    assert_int_equal(w->tasks.out, 0);
}

static void start__what_is_refused_stays_the_callers(void **state)
{
    struct chi_task *t[WORKER_PERIODIC_MAX + 1];
    (void)state;
    w->rctx.now_ns = net_now_ns();
    for (unsigned i = 0; i <= WORKER_PERIODIC_MAX; i++) {
        t[i] = job_new(w, chi_local(), 0);
        assert_int_equal(chi_periodic_start(&w->rctx, t[i], 0, NULL, NULL), CHI_STATUS_INVALID);
        assert_int_equal(chi_periodic_start(&w->rctx, t[i], UINT64_MAX / 2 + 1, NULL, NULL), CHI_STATUS_INVALID);
        enum chi_status st = i < WORKER_PERIODIC_MAX ? CHI_STATUS_OK : CHI_STATUS_NO_MEMORY;
        assert_int_equal(chi_periodic_start(&w->rctx, t[i], FAR_AWAY, NULL, NULL), st);
    }
    chi_task_del(&w->rctx, t[WORKER_PERIODIC_MAX]);
    turns(20);
    assert_int_equal(runs, WORKER_PERIODIC_MAX);
    for (unsigned i = 0; i < WORKER_PERIODIC_MAX; i++) /* from the middle of the heap too */
        stop(t[(i * 37) % WORKER_PERIODIC_MAX]);
    turns(20);
    assert_int_equal(w->tasks.out, 0);
}

static void shutdown__ends_it_running_or_not(void **state)
{
    (void)state;
    for (int running = 0; running < 2; running++) {
        fresh();
        rt->stopping = false;
        park = running;
        start(job_new(w, chi_local(), 0), FAR_AWAY);
        turns(3);
        assert_int_equal(runs, 1);
        rt->stopping = true;
        turns(3);
        if (running) {
            assert_int_equal(dones, 0);
            chi_complete(&w->rctx, parked, CHI_STATUS_OK);
        }
        stopped_after(1);
        assert_int_equal(last, CHI_STATUS_SHUTDOWN);
    }
}

static void call_start(void *worker, void *arg)
{
    struct worker *at = worker;
    assert_int_equal(chi_periodic_start(&at->rctx, job_new(at, chi_local(), (uint64_t)(uintptr_t)arg), 100000, NULL, NULL), CHI_STATUS_OK);
}

/* With threads, on lanes of either worker: some stop in their runs, and the stop of the runtime finds nothing left of the others. */
static void shutdown__of_a_runtime_leaves_nothing(void **state)
{
    char err[SCHED_ERROR_BYTES];
    (void)state;
    worker_enter(NULL);
    assert_int_equal(runtime_start(rt, err), 0);
    for (uintptr_t i = 0; i < 8; i++)
        assert_int_equal(worker_call(rt, i % 2, call_start, (void *)(i / 2)), 0);
    while (__atomic_load_n(&runs, __ATOMIC_RELAXED) < 400 || __atomic_load_n(&stopped, __ATOMIC_RELAXED) < 4)
        sched_yield();
    assert_int_equal(runtime_stop(rt, 60000000000), 0);
    assert_int_equal(stopped, 4); /* they ran no more */
    assert_true(rt->worker[0]->stats.periods + rt->worker[1]->stats.periods >= runs); /* one may have met the stop */
    assert_true(rt->worker[0]->stats.periods && rt->worker[1]->stats.periods && ran_on == 3);
    assert_int_equal(rt->worker[1]->parked, 0);
}

static struct chi_task *misused;
static void del_it(void) { chi_task_del(&w->rctx, misused); }
static void submit_it(void) { chi_task_submit(&w->rctx, misused, done, NULL); }
static void stop_it(void) { chi_periodic_stop(&w->rctx, misused); }
static void stop_elsewhere(void) { chi_periodic_stop(&rt->worker[1]->rctx, misused); }

static void misuse__panics(void **state)
{
    (void)state;
    misused = job_new(w, chi_local(), 0);
    assert_true(panics(stop_it)); /* it is none */
    start(misused, FAR_AWAY);
    assert_true(panics(del_it));
    assert_true(panics(submit_it));
    assert_true(panics(stop_elsewhere));
    stop(misused);
    turns(3);
    assert_int_equal(dones, 1);
}

/* On another node, in several containers: runs there count nothing as missed. */
static void start__for_other_nodes(void **state)
{
    (void)state;
    for (int several = 0; several < 2; several++) {
        fresh();
        cluster_make(2, 2, 2, 64, &jobs, POOL);
        w = cluster.node[0].w;
        struct chi_task *t = job_new(w, several ? chi_broadcast() : chi_physical(2), 0);
        start(t, 1);
        while (w->stats.periods < 20)
            cluster_turn();
        stop(t);
        for (int i = 0; i < 1000000 && !dones; i++)
            cluster_turn();
        assert_int_equal(dones, 1);
        assert_int_equal(last, CHI_STATUS_OK);
        assert_int_equal(runs, several ? 80 : 20);
        assert_int_equal(starts, runs);
        assert_int_equal(last_runs, 20);
        cluster_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(start__each_period_none_is_lost_or_made_up, setup, teardown),
        cmocka_unit_test_setup_teardown(start__too_late_is_one_run, setup, teardown),
        cmocka_unit_test_setup_teardown(start__is_no_business_of_a_worker_that_has_none, setup, teardown),
        cmocka_unit_test_setup_teardown(start__goes_on_whatever_a_run_ends_with, setup, teardown),
        cmocka_unit_test_setup_teardown(start__what_is_refused_stays_the_callers, setup, teardown),
        cmocka_unit_test(start__for_other_nodes),
        cmocka_unit_test_setup_teardown(stop__by_its_own_run_on_any_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(stop__before_it_ever_ran, setup, teardown),
        cmocka_unit_test_setup_teardown(stop__of_one_nobody_waits_for, setup, teardown),
        cmocka_unit_test_setup_teardown(shutdown__ends_it_running_or_not, setup, teardown),
        cmocka_unit_test_setup_teardown(shutdown__of_a_runtime_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(misuse__panics, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
