/* Calls that block: they run on threads of the background while the worker, whose turns the test takes, goes on. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "worker/background.h"
#include "worker_support.h"

enum { RECORDS = 512, STACKS = 300 };
static const struct chi_pool_id POOL = {100, 0};

struct job {
    struct chi_task task;
    uint64_t number;
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, number)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static struct runtime *rt;
static struct worker *w;
static sem_t gate;
static unsigned begun; /* atomic */
static unsigned dones;
static uint64_t order[8];
static enum chi_status last[RECORDS];

struct call {
    uint64_t number;
    pthread_t by;
};
static void blocks(void *arg)
{
    struct call *c = arg;
    c->by = pthread_self();
    order[__atomic_fetch_add(&begun, 1, __ATOMIC_ACQ_REL) % 8] = c->number;
    while (sem_wait(&gate))
        ;
    c->number++;
}

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 1); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c;
    struct job *t = (struct job *)task;
    struct call call = {.number = t->number, .by = pthread_self()};
    enum chi_status st = chi_offload(r, blocks, &call);
    assert_int_equal(call.number, t->number + (st == CHI_STATUS_OK)); /* it ran, and to its end, or not at all */
    assert_int_equal(!pthread_equal(call.by, pthread_self()), st == CHI_STATUS_OK);
    last[t->number] = st;
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1, .init = init, .run = run};

static void start(uint32_t stacks, uint32_t threads)
{
    support_stacks = stacks;
    support_background = threads;
    rt = support_runtime(1, RECORDS, NULL);
    w = rt->worker[0];
    support_pool(rt, &jobs, POOL, 1);
    sem_init(&gate, 0, 0);
    begun = dones = 0;
    for (unsigned i = 0; i < RECORDS; i++)
        last[i] = CHI_STATUS_PENDING;
}

static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    dones++;
    assert_int_equal(task->status, CHI_STATUS_OK);
    chi_task_del(r, task);
}
static void root(uint64_t number)
{
    struct job *t = (struct job *)chi_task_new(&w->rctx, &job_method);
    assert_non_null(t);
    t->task.pool = POOL;
    t->task.query = chi_local();
    t->number = number;
    chi_task_submit(&w->rctx, &t->task, done, NULL);
}
static void turns(void)
{
    for (int i = 0; i < 30; i++)
        support_turn(w);
}
static void until_done(unsigned want)
{
    while (dones < want) {
        support_turn(w);
        sched_yield();
    }
    turns();
    assert_int_equal(dones, want);
}
static void until_begun(unsigned want)
{
    while (__atomic_load_n(&begun, __ATOMIC_ACQUIRE) < want)
        sched_yield();
}

static void offload__runs_elsewhere_while_the_worker_goes_on(void **state)
{
    (void)state;
    start(STACKS, 2);
    assert_int_equal(background_start(rt->background, 2), 0);
    root(1);
    turns();
    until_begun(1);
    root(2); /* the worker takes it while the first blocks, and so does the second thread */
    turns();
    until_begun(2);
    assert_int_equal(dones, 0);
    assert_int_equal(w->parked, 2);
    sem_post(&gate);
    until_done(1);
    sem_post(&gate);
    until_done(2);
    assert_true(last[1] == CHI_STATUS_OK && last[2] == CHI_STATUS_OK);
    support_end(rt);
}

static void offload__begins_in_order(void **state)
{
    (void)state;
    start(STACKS, 1);
    for (uint64_t i = 0; i < 5; i++)
        root(i);
    turns();
    assert_int_equal(begun, 0);
    assert_int_equal(background_start(rt->background, 1), 0);
    for (unsigned i = 0; i < 5; i++) {
        until_begun(i + 1);
        assert_int_equal(begun, i + 1); /* the one thread has no second one */
        sem_post(&gate);
        until_done(i + 1);
    }
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(order[i], i);
    support_end(rt);
}

static void offload__without_room_is_refused(void **state)
{
    (void)state;
    start(STACKS, 1);
    for (uint64_t i = 0; i <= BACKGROUND_CALLS; i++)
        root(i);
    turns();
    assert_int_equal(dones, 1);
    assert_int_equal(last[BACKGROUND_CALLS], CHI_STATUS_NO_MEMORY);
    for (int i = 0; i < BACKGROUND_CALLS; i++)
        sem_post(&gate);
    assert_int_equal(background_start(rt->background, 1), 0);
    until_done(BACKGROUND_CALLS + 1);
    for (int i = 0; i < BACKGROUND_CALLS; i++)
        assert_int_equal(last[i], CHI_STATUS_OK);
    support_end(rt);

    start(1, 1);
    root(1);
    root(2);
    turns();
    assert_int_equal(last[2], CHI_STATUS_NO_MEMORY); /* the one stack is the first one's */
    sem_post(&gate);
    assert_int_equal(background_start(rt->background, 1), 0);
    until_done(2);
    assert_int_equal(last[1], CHI_STATUS_OK);
    support_end(rt);

    start(STACKS, 0);
    assert_null(rt->background);
    root(1);
    until_done(1);
    assert_int_equal(last[1], CHI_STATUS_UNSUPPORTED);
    support_end(rt);
}

/* What runs is awaited, what has not begun ends, also what comes after that; and what comes when the worker knows of the stop does not wait. */
static void offload__ends_with_the_daemon(void **state)
{
    (void)state;
    start(STACKS, 1);
    assert_int_equal(background_start(rt->background, 1), 0);
    root(1);
    turns();
    until_begun(1);
    root(2);
    root(3);
    turns();
    assert_int_equal(dones, 0);
    background_refuse(rt->background);
    until_done(2);
    assert_true(last[2] == CHI_STATUS_SHUTDOWN && last[3] == CHI_STATUS_SHUTDOWN);
    root(4);
    turns();
    root(5);
    rt->stopping = true;
    until_done(3);
    assert_int_equal(last[5], CHI_STATUS_SHUTDOWN);
    assert_int_equal(last[4], CHI_STATUS_PENDING);
    sem_post(&gate);
    until_done(5);
    assert_true(last[1] == CHI_STATUS_OK && last[4] == CHI_STATUS_SHUTDOWN);
    assert_int_equal(begun, 1);
    support_end(rt);
}

/* The workers gave up; a call that still runs has its memory until it returns. */
static void *open_late(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        sched_yield();
    __atomic_store_n(&begun, 100, __ATOMIC_RELEASE);
    sem_post(&gate);
    return NULL;
}
static void offload__that_runs_is_awaited_at_the_end(void **state)
{
    (void)state;
    pthread_t t;
    start(STACKS, 2);
    assert_int_equal(background_start(rt->background, 2), 0);
    root(1);
    turns();
    until_begun(1);
    assert_int_equal(pthread_create(&t, NULL, open_late, NULL), 0);
    runtime_destroy(rt);
    assert_int_equal(__atomic_load_n(&begun, __ATOMIC_ACQUIRE), 100);
    pthread_join(t, NULL);
    worker_enter(NULL);
    rcu_unregister_thread();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offload__runs_elsewhere_while_the_worker_goes_on),
        cmocka_unit_test(offload__begins_in_order),
        cmocka_unit_test(offload__without_room_is_refused),
        cmocka_unit_test(offload__ends_with_the_daemon),
        cmocka_unit_test(offload__that_runs_is_awaited_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
