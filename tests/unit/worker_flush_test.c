/* A flush by its waves, which the test takes itself, at random between the turns of workers and nodes: when it is over no task that was there before is
 * left, nor anything that such a one submitted; whatever is submitted meanwhile. */
#include "base/prng.h"
#include "worker/flush.h"
#include "worker_cluster.h"

enum { RECORDS = 8192, PARKED = 16, CHAIN = 200, SEEDS = 300 };
static const struct chi_pool_id POOL = {100, 0}, OTHER = {101, 0};

struct job {
    struct chi_task task;
    uint64_t lane, depth;
    uint8_t old; /* what is true: it was submitted before the flush, or by one of those */
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, lane), CHI_IN(U64, struct job, depth), CHI_IN(U8, struct job, old)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static struct prng prng;
static unsigned old_left, runs, nodes; /* tasks that are old and have not ended; nodes: of the cluster, 0: one node of several workers */
static bool began, only;               /* the flush; it is of POOL alone */
static struct chi_task *parked[PARKED];
static unsigned parked_count;

/* What is submitted now, by a task that is old or not. */
static bool will_be_old(struct chi_pool_id pool, bool by_old) { return (!began || by_old) && (!only || pool.major == POOL.major); }

static uint64_t draw(uint64_t n) { return prng_below(&prng, n); }

static struct job *make(struct chi_rctx *r, struct chi_pool_id pool, uint64_t depth, bool by_old)
{
    bool old = will_be_old(pool, by_old);
    struct job *t = (struct job *)chi_task_new(r, &job_method);
    if (!t)
        return NULL;
    t->task.pool = pool;
    t->task.query = !nodes ? chi_local() : depth > 4 || draw(12) ? chi_direct((uint32_t)draw(nodes)) : chi_range(0, 1 + (uint32_t)draw(nodes));
    t->lane = draw(8);
    t->depth = depth;
    t->old = old;
    old_left += old ? t->task.query.kind == CHI_QUERY_RANGE ? t->task.query.count : 1 : 0;
    return t;
}
static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    struct job *t = (struct job *)task, *next = t->depth ? make(r, t->task.pool, t->depth - 1, t->old) : NULL;
    (void)arg;
    assert_int_equal(task->status, CHI_STATUS_OK);
    if (next)
        chi_task_post(r, &next->task);
    chi_task_del(r, task);
}
static void submit(struct chi_rctx *r, struct chi_pool_id pool, uint64_t depth, bool by_old)
{
    struct job *t = make(r, pool, depth, by_old);
    if (!t)
        return;
    if (depth > 4 || draw(2)) /* a long chain is no tree */
        chi_task_post(r, &t->task);
    else
        chi_task_submit(r, &t->task, done, NULL);
}

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 4); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct job *t = (struct job *)task;
    runs++;
    if (t->depth)
        submit(r, draw(2) ? chi_container_pool(c) : draw(2) ? POOL : OTHER, t->depth - 1, t->old);
    if (t->depth <= 4 && draw(3) == 0 && parked_count < PARKED) {
        parked[parked_count++] = task;
        return CHI_STATUS_PENDING;
    }
    old_left -= t->old;
    return CHI_STATUS_OK;
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    if (mode != CHI_LOCAL_SCHEDULE)
        return CHI_STATUS_UNSUPPORTED;
    chi_rctx_set_lane(r, chi_container_lane_by_hash(c, 0, ((struct job *)task)->lane));
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1,
                                       .init = init, .run = run, .monitor = monitor};

/* --- the waves */

enum { WORKERS_IN_ALL = 4 };
static struct worker *worker[WORKERS_IN_ALL]; /* of all nodes, */
static struct flush {                         /* and where each has come to in the wave */
    struct census mark;
    struct flush_count count;
    bool begun, over;
} wave[WORKERS_IN_ALL];
static unsigned workers;

/* A step of a worker in a wave.  True: it has done its part. */
static bool step(unsigned k, uint64_t id, bool marks)
{
    struct worker *w = worker[k];
    struct flush *f = &wave[k];
    if (f->over)
        return true;
    if (!f->begun && marks)
        flush_begin_st(w, id, !only, POOL, &f->mark);
    else if (!f->begun)
        assert_true(flush_count_begin_st(w, id, &f->count));
    f->mark.slice = f->count.at.slice = 1 + (uint32_t)draw(3);
    f->begun = true;
    f->over = marks ? !flush_mark_st(w, &f->mark) : !flush_count_st(w, &f->count);
    return f->over;
}

static void complete(struct worker *w)
{
    if (!parked_count)
        return;
    unsigned i = (unsigned)draw(parked_count);
    struct chi_task *task = parked[i];
    if (nodes && task_of(task)->home != w)
        return;
    old_left -= ((struct job *)task)->old;
    parked[i] = parked[--parked_count];
    chi_complete(&w->rctx, task, CHI_STATUS_OK);
}

/* One of the things that may happen now. */
static void happen(void)
{
    unsigned k = (unsigned)draw(workers);
    worker_enter(worker[k]);
    worker[k]->rctx.now_ns = net_now_ns();
    if (draw(4) == 0)
        complete(worker[k]);
    if (draw(8) == 0)
        submit(&worker[k]->rctx, draw(2) ? POOL : OTHER, draw(3), false);
    if (draw(2))
        worker_turn(worker[k]);
}

static void go_through(uint64_t id, bool marks)
{
    unsigned over = 0;
    memset(wave, 0, sizeof wave);
    while (over < workers) {
        if (draw(2))
            happen();
        unsigned k = (unsigned)draw(workers);
        worker_enter(worker[k]);
        if (!wave[k].over && step(k, id, marks))
            over++;
    }
}

static void drain(void)
{
    for (unsigned k = 0, open = 1; open; k = (k + 1) % workers) {
        worker_enter(worker[k]);
        worker[k]->rctx.now_ns = net_now_ns();
        complete(worker[k]);
        worker_turn(worker[k]);
        for (unsigned i = open = 0; i < workers; i++)
            open += worker[i]->tasks.out;
    }
    worker_enter(worker[0]);
}

/* Two counts in a row that are zero, with nothing accepted between.  Returns the number of counts. */
static unsigned flush_it(uint64_t id)
{
    uint64_t open = 1, came = UINT64_MAX, before;
    unsigned n = 0;
    bool was_zero = false, over = false;
    began = true;
    go_through(id, true);
    for (; !over; n++) {
        go_through(id, false);
        before = came;
        for (unsigned k = open = came = 0; k < workers; k++) {
            open += wave[k].count.open;
            came += wave[k].count.came;
        }
        over = was_zero && open == 0 && came == before;
        was_zero = open == 0;
        assert_true(n < 100000);
    }
    assert_int_equal(old_left, 0);
    for (unsigned k = 0; k < workers; k++) {
        worker_enter(worker[k]);
        flush_end_st(worker[k], id);
    }
    return n;
}

static void flush_some(uint64_t seed)
{
    for (unsigned k = 0; k < workers; k++)
        worker[k]->rctx.now_ns = net_now_ns();
    for (uint64_t round = 0; round < 3; round++) {
        began = false;
        only = draw(2);
        old_left = 0;
        for (uint64_t i = draw(60); i > 0; i--)
            happen();
        worker_enter(worker[0]);
        submit(&worker[0]->rctx, POOL, CHAIN, false);
        flush_it(3 * seed + round);
        for (uint64_t i = draw(20); i > 0; i--)
            happen();
        for (unsigned k = 0; k < workers; k++)
            assert_int_equal(worker[k]->stats.posts_failed, 0);
        drain(); /* so that what is old is known: what is left is, of the next */
    }
}

static void flush__of_workers(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct runtime *rt = support_runtime(3, RECORDS, NULL);
        prng_init(&prng, seed);
        nodes = 0;
        for (workers = 0; workers < 3; workers++)
            worker[workers] = rt->worker[workers];
        support_pool(rt, &jobs, POOL, 1);
        support_pool(rt, &(struct chi_chimod){.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "more", .methods = methods, .nmethods = 1, .init = init,
                                              .run = run, .monitor = monitor}, OTHER, 1);
        flush_some(seed);
        support_end(rt);
    }
    assert_true(runs > SEEDS);
}

static void flush__of_nodes(void **state)
{
    (void)state;
    static const struct chi_chimod more = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "more", .methods = methods, .nmethods = 1, .init = init,
                                           .run = run, .monitor = monitor};
    for (uint64_t seed = 0; seed < SEEDS / 3; seed++) {
        cluster_make(WORKERS_IN_ALL, 1, 2, RECORDS, &jobs, POOL);
        prng_init(&prng, seed);
        nodes = WORKERS_IN_ALL;
        for (workers = 0; workers < WORKERS_IN_ALL; workers++) {
            worker[workers] = cluster.node[workers].w;
            support_pool(cluster.node[workers].rt, &more, OTHER, 1);
        }
        flush_some(seed);
        cluster_end();
    }
}

/* --- what waves do at one worker */

static uint64_t count_old(struct worker *w, uint64_t id)
{
    struct flush_count c;
    assert_true(flush_count_begin_st(w, id, &c));
    while (flush_count_st(w, &c))
        ;
    return c.open;
}
static void mark_all(struct worker *w, uint64_t id, bool all, struct chi_pool_id pool)
{
    struct census c;
    flush_begin_st(w, id, all, pool, &c);
    while (flush_mark_st(w, &c))
        ;
}
static struct worker *one_worker(struct runtime **rt)
{
    *rt = support_runtime(1, RECORDS, NULL);
    prng_init(&prng, 1);
    nodes = parked_count = 0;
    began = only = false;
    workers = 1;
    support_pool(*rt, &jobs, POOL, 1);
    return worker[0] = (*rt)->worker[0];
}
static struct chi_task *post(struct worker *w, struct chi_pool_id pool)
{
    struct job *t = make(&w->rctx, pool, 0, false);
    assert_non_null(t);
    chi_task_post(&w->rctx, &t->task);
    return &t->task;
}

static void clients__what_lies_in_their_rings_is_old(void **state)
{
    (void)state;
    struct runtime *rt;
    struct worker *w = one_worker(&rt);
    struct support_client c;
    struct job job = {.task = {.pool = POOL, .query = chi_local(), .method = &job_method}};
    struct shm_complete answer;
    struct census at;
    uint32_t cookie = 0;
    unsigned turns = 0, ended = 0;
    support_connect(&c, 128);
    support_attach(&c, w);
    const struct shm_submit s = support_form(&c, &job.task, 0, 0);
    for (; cookie < 100; cookie++) {
        struct shm_submit each = s;
        each.cookie = cookie;
        support_submit(&c, &each);
    }
    flush_begin_st(w, 1, true, POOL, &at);
    while (flush_mark_st(w, &at)) {
        assert_true(turns++ < 100);
        worker_turn(w);
        for (; support_answer(&c, &answer); ended++) { /* the ring is never empty: one comes for each that ended */
            struct shm_submit each = s;
            each.cookie = answer.cookie;
            support_submit(&c, &each);
        }
        if (parked_count)
            complete(w);
    }
    assert_true(turns >= 100 / WORKER_CLIENT_BUDGET && w->flush.old >= 100);
    uint64_t old = w->flush.old;
    (void)count_old(w, 1); /* the next phase */
    uint64_t came = w->stats.tasks_client;
    worker_turn(w);
    assert_true(w->stats.tasks_client > came && w->flush.old == old); /* they are fresh */
    flush_end_st(w, 1);
    while (w->tasks.out || c.ch->out) {
        worker_turn(w);
        complete(w);
    }
    support_leave(&c, w);
    support_end(rt);
}

static void exempt__and_admins_are_not_waited_for(void **state)
{
    (void)state;
    struct runtime *rt;
    struct worker *w = one_worker(&rt);
    support_pool(rt, &(struct chi_chimod){.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "a", .methods = methods, .nmethods = 1, .init = init, .run = run},
                 (struct chi_pool_id){1, 0}, 1);
    struct chi_task *t = post(w, POOL);
    post(w, POOL);
    post(w, (struct chi_pool_id){1, 0});
    mark_all(w, 7, true, POOL);
    assert_int_equal(count_old(w, 7), 2);
    flush_exempt(task_of(t), true);
    assert_int_equal(count_old(w, 7), 1);
    mark_all(w, 8, true, POOL); /* another one begins: it stays as it is */
    assert_int_equal(count_old(w, 8), 1);
    flush_exempt(task_of(t), false);
    mark_all(w, 9, true, POOL);
    assert_int_equal(count_old(w, 9), 2);
    mark_all(w, 10, false, OTHER);
    assert_int_equal(count_old(w, 10), 0);
    flush_end_st(w, 10);
    drain();
    support_end(rt);
}

static void waves__of_another_flush_are_refused(void **state)
{
    (void)state;
    struct runtime *rt;
    struct worker *w = one_worker(&rt);
    struct flush_count c;
    assert_false(flush_count_begin_st(w, 0, &c)); /* none goes on */
    mark_all(w, 1, true, POOL);
    mark_all(w, 2, true, POOL);
    assert_false(flush_count_begin_st(w, 1, &c));
    assert_int_equal(w->flushing, FLUSH_MARKING);
    flush_end_st(w, 1);
    assert_int_equal(w->flushing, FLUSH_MARKING);
    assert_true(flush_count_begin_st(w, 2, &c));
    flush_end_st(w, 2);
    assert_int_equal(w->flushing, FLUSH_NONE);
    assert_false(flush_count_begin_st(w, 2, &c));
    support_end(rt);
}

static void periodic__only_its_run_is_waited_for(void **state)
{
    (void)state;
    struct runtime *rt;
    struct worker *w = one_worker(&rt);
    struct job *t = make(&w->rctx, POOL, 0, false);
    assert_int_equal(chi_periodic_start(&w->rctx, &t->task, 1000000000, NULL, NULL), CHI_STATUS_OK);
    mark_all(w, 1, true, POOL);
    assert_int_equal(count_old(w, 1), 0); /* it has not begun */
    for (int turn = 0; turn < 3; turn++)
        worker_turn(w);
    assert_int_equal(w->stats.periods, 1);
    assert_int_equal(count_old(w, 1), 0); /* the first run is fresh */
    mark_all(w, 2, true, POOL);
    assert_int_equal(count_old(w, 2), parked_count);
    while (parked_count)
        complete(w);
    worker_turn(w);
    assert_int_equal(count_old(w, 2), 0);
    flush_end_st(w, 2);
    chi_periodic_stop(&w->rctx, &t->task);
    worker_turn(w);
    support_end(rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flush__of_workers),
        cmocka_unit_test(flush__of_nodes),
        cmocka_unit_test(clients__what_lies_in_their_rings_is_old),
        cmocka_unit_test(exempt__and_admins_are_not_waited_for),
        cmocka_unit_test(waves__of_another_flush_are_refused),
        cmocka_unit_test(periodic__only_its_run_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
