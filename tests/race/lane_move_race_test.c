/* lane_move_race_test.c - lanes that a control thread moves at random between real workers, while tasks run on them: of each lane one task runs at a
 * time, in each sender's order, and none is lost.  What a lane's tasks share is plain memory, as a module has it, so that ThreadSanitizer sees two at
 * once, and a worker that takes a lane over without what the last one wrote. */
#include "base/prng.h"
#include "../unit/worker_support.h"

enum { WORKERS = 2, LANES = 5, RECORDS = 1024, AT_ONCE = 300, MOVES = 1500 };
static const struct chi_pool_id POOL = {100, 0};

struct step {
    struct chi_task task;
    uint64_t sender, lane, number;
};
CHI_FIELDS(step_fields) = {CHI_IN(U64, struct step, sender), CHI_IN(U64, struct step, lane), CHI_IN(U64, struct step, number)};
CHI_METHOD_VAR(step_method) = CHI_METHOD(1, struct step, step_fields);

static struct { uint64_t begun[WORKERS], runs; bool busy; } of_lane[LANES]; /* its tasks' */
static struct { uint64_t sent[LANES], out, total; struct prng prng; } of_sender[WORKERS] __attribute__((aligned(CHI_CACHE_LINE))); /* its worker's */
static bool enough; /* atomic */

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, LANES); }
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    (void)mode;
    chi_rctx_set_lane(r, chi_container_lane(c, 0, (uint32_t)((struct step *)task)->lane));
    return CHI_STATUS_OK;
}
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    const struct step *t = (struct step *)task;
    (void)c, (void)r;
    CHI_ASSERT(!of_lane[t->lane].busy);
    of_lane[t->lane].busy = true;
    CHI_ASSERT(of_lane[t->lane].begun[t->sender] == t->number);
    of_lane[t->lane].begun[t->sender]++;
    of_lane[t->lane].runs++;
    of_lane[t->lane].busy = false;
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&step_method};
static const struct chi_chimod steps = {.abi = CHI_CHIMOD_ABI, .size = sizeof steps, .name = "steps", .methods = methods, .nmethods = 1,
                                        .init = init, .run = run, .monitor = monitor};

static void done(struct chi_rctx *r, struct chi_task *task, void *arg);
static void submit(struct chi_rctx *r, struct step *t)
{
    uint32_t k = chi_rctx_worker(r);
    t->task.pool = POOL;
    t->task.query = chi_local();
    t->sender = k;
    t->lane = prng_below(&of_sender[k].prng, LANES);
    t->number = of_sender[k].sent[t->lane]++;
    of_sender[k].total++;
    chi_task_submit(r, &t->task, done, NULL);
}
static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    CHI_ASSERT(task->status == CHI_STATUS_OK);
    if (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
        submit(r, (struct step *)task);
        return;
    }
    __atomic_store_n(&of_sender[chi_rctx_worker(r)].out, of_sender[chi_rctx_worker(r)].out - 1, __ATOMIC_RELEASE);
    chi_task_del(r, task);
}
static void begin(void *worker, void *arg)
{
    struct chi_rctx *r = &((struct worker *)worker)->rctx;
    uint32_t k = chi_rctx_worker(r);
    (void)arg;
    prng_init(&of_sender[k].prng, k + 1);
    of_sender[k].out = AT_ONCE;
    for (int i = 0; i < AT_ONCE; i++)
        submit(r, (struct step *)chi_task_new(r, &step_method));
}

static void lanes__move_at_random_under_load(void **state)
{
    char err[SCHED_ERROR_BYTES];
    struct prng p;
    uint64_t runs = 0, total = 0, taken = 0, there = 0;
    (void)state;
    struct runtime *rt = support_runtime(WORKERS, RECORDS, NULL);
    struct chi_container *c = support_pool(rt, &steps, POOL, 1)->local;
    worker_enter(NULL);
    rt->call_limit_ns = 60 * UINT64_C(1000000000);
    assert_int_equal(runtime_start(rt, err), 0);
    for (uint32_t k = 0; k < WORKERS; k++)
        assert_int_equal(worker_call(rt, k, begin, NULL), 0);
    prng_init(&p, 7);
    for (int i = 0; i < MOVES; i++) {
        struct chi_lane *l = chi_container_lane(c, 0, (uint32_t)prng_below(&p, LANES));
        uint32_t to = (uint32_t)prng_below(&p, WORKERS);
        there += lane_owner(l) == to;
        assert_int_equal(runtime_lane_move(rt, l, to), 0);
        assert_int_equal(lane_owner(l), to);
    }
    __atomic_store_n(&enough, true, __ATOMIC_RELAXED);
    for (uint32_t k = 0; k < WORKERS; k++)
        while (__atomic_load_n(&of_sender[k].out, __ATOMIC_ACQUIRE))
            sched_yield();
    assert_int_equal(runtime_stop(rt, 60 * UINT64_C(1000000000)), 0);
    for (uint32_t k = 0; k < WORKERS; k++) {
        total += of_sender[k].total;
        taken += rt->worker[k]->stats.lanes_taken;
        for (uint32_t l = 0; l < LANES; l++)
            assert_int_equal(of_lane[l].begun[k], of_sender[k].sent[l]);
    }
    for (uint32_t l = 0; l < LANES; l++)
        runs += of_lane[l].runs;
    assert_int_equal(runs, total);
    assert_int_equal(taken, MOVES - there);
    assert_true(total > MOVES);
    support_end(rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lanes__move_at_random_under_load)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
