/* offload_race_test.c - calls on background threads for the tasks of two workers that run and sleep: each runs once, what it wrote is there when
 * its task goes on, and a stop in the middle ends all of them. */
#include <sched.h>

#include "tests/unit/worker_support.h"

enum { ROOTS = 3000, STEPS = 5, AT_ONCE = 64, AT_THE_STOP = 40 };
static const struct chi_pool_id POOL = {100, 0};

struct job {
    struct chi_task task;
    uint64_t number, results;
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, number), CHI_OUT(U64, struct job, results)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static struct runtime *rt;
static unsigned ended, wrong, refused; /* atomic */
static uint64_t calls;                 /* atomic */

static void add(void *arg)
{
    uint64_t *sum = arg;
    (*sum)++;
    if (__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % 64 == 0)
        sched_yield();
}

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 2); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c;
    uint64_t sum = 0; /* on this task's stack, written by other threads */
    for (uint64_t i = 0; i < STEPS; i++) {
        enum chi_status st = chi_offload(r, add, &sum);
        if (st == CHI_STATUS_SHUTDOWN) {
            __atomic_fetch_add(&refused, 1, __ATOMIC_RELAXED);
            i = STEPS;
        } else if (st != CHI_STATUS_OK || sum != i + 1) {
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
        }
    }
    ((struct job *)task)->results = sum;
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1, .init = init, .run = run};

static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    if (task->status != CHI_STATUS_OK)
        __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
    chi_task_del(r, task);
    __atomic_fetch_add(&ended, 1, __ATOMIC_RELEASE);
}
static void submit(void *worker, void *arg)
{
    struct worker *w = worker;
    struct job *t = (struct job *)chi_task_new(&w->rctx, &job_method);
    (void)arg;
    CHI_ASSERT(t);
    t->task.pool = POOL;
    t->task.query = chi_local();
    chi_task_submit(&w->rctx, &t->task, done, NULL);
}

static void offload__between_two_workers_and_the_background(void **state)
{
    (void)state;
    char err[SCHED_ERROR_BYTES];
    support_stacks = AT_ONCE;
    support_background = 2;
    rt = support_runtime(2, 512, NULL);
    support_pool(rt, &jobs, POOL, 1);
    worker_enter(NULL);
    assert_int_equal(runtime_start(rt, err), 0);
    for (uint32_t i = 0; i < ROOTS; i++) {
        while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) + AT_ONCE <= i)
            sched_yield();
        assert_int_equal(worker_call(rt, i % 2, submit, NULL), 0);
    }
    while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) < ROOTS)
        sched_yield();
    assert_int_equal(calls, ROOTS * STEPS);
    for (uint32_t i = 0; i < AT_THE_STOP; i++)
        assert_int_equal(worker_call(rt, i % 2, submit, NULL), 0);
    assert_int_equal(runtime_stop(rt, 10000000000), 0);
    assert_int_equal(ended, ROOTS + AT_THE_STOP);
    assert_int_equal(wrong, 0);
    assert_true(refused <= AT_THE_STOP);
    support_end(rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(offload__between_two_workers_and_the_background)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
