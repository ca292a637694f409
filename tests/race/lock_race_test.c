/* lock_race_test.c - locks for tasks between two workers that run: what they guard are plain variables, which ThreadSanitizer looks at; each
 * wait ends, and nobody is in where he may not be. */
#include <sched.h>

#include "base/prng.h"
#include "tests/unit/worker_support.h"
#include "chi/lock.h"

enum { ROOTS = 1000, STEPS = 40, AT_ONCE = 24, PLACES = 3 };
static const struct chi_pool_id POOL = {100, 0};

struct job {
    struct chi_task task;
    uint64_t number, lane, entered; /* entered: a subtask of one that holds the mutex */
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, number), CHI_IN(U64, struct job, lane), CHI_IN(U64, struct job, entered)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static struct runtime *rt;
static struct chi_mutex mutex, shop;
static struct chi_rwlock rw;
static struct chi_sem sem;
static struct chi_cond cond;
static uint64_t taken, written[2], stock, sold; /* guarded by mutex, rw, shop */
static unsigned places, ended, failed, waits_for_stock; /* atomic; the last: guarded by shop */

static void expect(bool true_it_is)
{
    if (!true_it_is)
        __atomic_fetch_add(&failed, 1, __ATOMIC_RELAXED);
}
#define OK(call) expect((call) == CHI_STATUS_OK)

static struct chi_task *job_new(struct chi_rctx *r, uint64_t number, uint64_t lane, bool entered)
{
    struct job *t = (struct job *)chi_task_new(r, &job_method);
    if (!t)
        return NULL;
    t->task.pool = POOL;
    t->task.query = chi_local();
    t->number = number;
    t->lane = lane;
    t->entered = entered;
    return &t->task;
}

static void perhaps_yield(struct chi_rctx *r, struct prng *p)
{
    if (prng_below(p, 3) == 0)
        OK(chi_yield(r));
}

static void in_mutex(struct chi_rctx *r, struct prng *p)
{
    OK(chi_mutex_lock(r, &mutex));
    uint64_t before = taken++;
    perhaps_yield(r, p);
    if (prng_below(p, 4) == 0) {
        struct chi_task *sub = job_new(r, 0, prng_below(p, 2), true);
        expect(sub);
        chi_task_submit(r, sub, NULL, NULL);
        OK(chi_task_wait(r, &sub, 1));
        OK(sub->status);
        chi_task_del(r, sub);
        before++;
    }
    expect(taken == before + 1);
    OK(chi_mutex_unlock(r, &mutex));
}

static void in_rwlock(struct chi_rctx *r, struct prng *p)
{
    if (prng_below(p, 3) == 0) {
        OK(chi_rwlock_write(r, &rw));
        written[0]++;
        perhaps_yield(r, p);
        written[1]++;
    } else {
        OK(chi_rwlock_read(r, &rw));
        expect(written[0] == written[1]);
        perhaps_yield(r, p);
        expect(written[0] == written[1]);
    }
    OK(chi_rwlock_unlock(r, &rw));
}

static void in_sem(struct chi_rctx *r, struct prng *p)
{
    OK(chi_sem_wait(r, &sem));
    expect(__atomic_add_fetch(&places, 1, __ATOMIC_ACQ_REL) <= PLACES);
    perhaps_yield(r, p);
    __atomic_fetch_sub(&places, 1, __ATOMIC_ACQ_REL);
    chi_sem_post(r, &sem);
}

/* Odd roots bring, even ones take: as many. */
static void in_shop(struct chi_rctx *r, struct prng *p, bool brings)
{
    OK(chi_mutex_lock(r, &shop));
    if (brings) {
        stock++;
        if (prng_below(p, 2))
            chi_cond_signal(r, &cond);
        else
            chi_cond_broadcast(r, &cond);
    } else {
        while (!stock) {
            waits_for_stock++;
            OK(chi_cond_wait(r, &cond, &shop));
        }
        stock--;
        sold++;
    }
    OK(chi_mutex_unlock(r, &shop));
}

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 2); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c;
    const struct job *t = (const struct job *)task;
    struct prng p;
    if (t->entered) {
        OK(chi_mutex_lock(r, &mutex));
        taken++;
        OK(chi_mutex_unlock(r, &mutex));
        return CHI_STATUS_OK;
    }
    prng_init(&p, t->number);
    for (int i = 0; i < STEPS; i++) {
        in_mutex(r, &p);
        in_rwlock(r, &p);
        in_sem(r, &p);
        in_shop(r, &p, t->number % 2);
    }
    return CHI_STATUS_OK;
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    (void)mode;
    chi_rctx_set_lane(r, chi_container_lane(c, 0, (uint32_t)((struct job *)task)->lane));
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {
    .abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1, .init = init, .run = run, .monitor = monitor};

static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    OK(task->status);
    chi_task_del(r, task);
    __atomic_fetch_add(&ended, 1, __ATOMIC_RELEASE);
}
static void submit(void *worker, void *arg)
{
    struct worker *w = worker;
    uint64_t number = *(uint64_t *)arg;
    struct chi_task *t = job_new(&w->rctx, number, number / 2 % 2, false);
    expect(t);
    chi_task_submit(&w->rctx, t, done, NULL);
}

static void locks__between_two_workers(void **state)
{
    (void)state;
    static uint64_t numbers[ROOTS];
    char err[SCHED_ERROR_BYTES];
    for (uint64_t i = 0; i < ROOTS; i++)
        numbers[i] = i;
    support_stacks = 2 * AT_ONCE;
    rt = support_runtime(2, 512, NULL);
    sem.count = PLACES;
    support_pool(rt, &jobs, POOL, 1);
    worker_enter(NULL);
    assert_int_equal(runtime_start(rt, err), 0);
    for (uint64_t i = 0; i < ROOTS; i++) {
        while (i % 2 == 0 && __atomic_load_n(&ended, __ATOMIC_ACQUIRE) + AT_ONCE <= i) /* as many bring as take, or all might take */
            sched_yield();
        assert_int_equal(worker_call(rt, i / 2 % 2, submit, &numbers[i]), 0);
    }
    while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) < ROOTS)
        sched_yield();
    assert_int_equal(runtime_stop(rt, 10000000000), 0);
    assert_int_equal(failed, 0);
    assert_true(taken > ROOTS * STEPS && written[0] == written[1] && written[0] > 0);
    assert_true(stock == 0 && sold == ROOTS / 2 * STEPS);
    assert_true(waits_for_stock > 0);
    assert_int_equal(sem.count, PLACES);
    assert_true(!mutex.by.times && !shop.by.times && !rw.writer.by.times);
    assert_true(rt->worker[0]->stats.waits && rt->worker[1]->stats.waits);
    support_end(rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(locks__between_two_workers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
