/* pools_race_test.c - pools that come, grow, shrink and go on the control thread, while two workers run and sleep, and their tasks go to pools that are
 * there, that just went, and that are about to.  Each task ends once, with a status that this explains. */
#include <sched.h>

#include "tests/unit/worker_support.h"
#include "worker/pools.h"

enum { ROUNDS = 300, AT_ONCE = 64, CHAIN = 40, CONTAINERS = 4, MORE = 7 };
static const struct chi_pool_id KEPT = {1, 0};
static const uint32_t HERE[MORE] = {1, 1, 1, 1, 1, 1, 1};

struct job {
    struct chi_task task;
    uint64_t number, result;
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, number), CHI_OUT(U64, struct job, result)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static struct runtime *rt;
static unsigned ended, wrong, ok; /* atomic */

struct state {
    uint64_t ran; /* of lane 0's worker */
};
static enum chi_status init(struct chi_container *c)
{
    chi_container_set_state(c, calloc(1, sizeof(struct state)));
    return chi_container_create_queue(c, 0, 2);
}
static void fini(struct chi_container *c) { free(chi_container_state(c)); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct job *t = (struct job *)task;
    struct state *s = chi_container_state(c);
    __atomic_fetch_add(&s->ran, 1, __ATOMIC_RELAXED);
    if (t->number % 5 == 0)
        (void)!chi_sleep_us(r, 20);
    if (t->number % 7 == 0 && chi_yield(r) != CHI_STATUS_OK)
        return CHI_STATUS_SHUTDOWN;
    __atomic_fetch_add(&s->ran, 1, __ATOMIC_RELAXED); /* the container is there still */
    t->result = t->number + 1;
    return CHI_STATUS_OK;
}
static unsigned poll(struct chi_container *c, struct chi_rctx *r)
{
    (void)r;
    return (unsigned)__atomic_load_n(&((struct state *)chi_container_state(c))->ran, __ATOMIC_RELAXED) & 0;
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    if (mode != CHI_LOCAL_SCHEDULE)
        return CHI_STATUS_UNSUPPORTED;
    chi_rctx_set_lane(r, chi_container_lane_by_hash(c, 0, ((struct job *)task)->number));
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1, .init = init,
                                       .fini = fini, .run = run, .poll = poll, .monitor = monitor};

/* A task that is submitted again from its end, CHAIN times, so that all the while some come. */
static void go(struct chi_rctx *r, struct job *t);
static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    struct job *t = (struct job *)task;
    (void)arg;
    if (task->status == CHI_STATUS_OK)
        __atomic_fetch_add(&ok, 1, __ATOMIC_RELAXED);
    else if (task->status != CHI_STATUS_NO_POOL && task->status != CHI_STATUS_NO_CONTAINER)
        __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
    if (task->status == CHI_STATUS_OK && task->query.kind != CHI_QUERY_BROADCAST && t->result != t->number + 1)
        __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
    if (++t->number % CHAIN) {
        go(r, t);
        return;
    }
    chi_task_del(r, task);
    __atomic_fetch_add(&ended, 1, __ATOMIC_RELEASE);
}
static void go(struct chi_rctx *r, struct job *t)
{
    t->result = 0;
    t->task.query = t->number % 11 == 0 ? chi_broadcast() : t->number % 3 ? chi_direct(t->number % MORE) : chi_hash(t->number);
    chi_task_submit(r, &t->task, done, NULL);
}
static void submit(void *worker, void *arg)
{
    struct worker *w = worker;
    struct job *t = (struct job *)chi_task_new(&w->rctx, &job_method);
    CHI_ASSERT(t);
    t->task.pool = *(const struct chi_pool_id *)arg;
    go(&w->rctx, t);
}

static enum chi_status call(void (*begin)(struct runtime *, struct control_call *), struct chi_pool_id id, uint32_t version, uint32_t containers)
{
    struct pools_call p = {.call = {.begin = begin, .status = CHI_STATUS_PENDING}, .plan = {"jobs", "jobs", id, version, containers, HERE}};
    if (begin == pools_apply)
        p.plan.name = id.minor % 2 ? "odd" : "even";
    begin(rt, &p.call);
    while (p.call.status == CHI_STATUS_PENDING) {
        (void)runtime_control(rt, net_now_ns());
        sched_yield();
    }
    return p.call.status;
}

static void pools__come_and_go_while_workers_run(void **state)
{
    char err[SCHED_ERROR_BYTES];
    unsigned sent = 0;
    (void)state;
    support_stacks = AT_ONCE;
    rt = support_runtime(2, 1024, NULL);
    support_pool(rt, &jobs, KEPT, 1);
    worker_enter(NULL);
    assert_int_equal(runtime_start(rt, err), 0);
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        struct chi_pool_id id = {POOLS_MAJOR, i};
        assert_int_equal(call(pools_apply, id, 1, CONTAINERS), CHI_STATUS_OK);
        for (unsigned k = 0; k < 4; k++, sent++)
            assert_int_equal(worker_call(rt, k % 2, submit, &id), 0);
        assert_int_equal(call(pools_apply, id, 2, MORE), CHI_STATUS_OK);
        assert_int_equal(worker_call(rt, 0, submit, &id), 0);
        sent++;
        assert_int_equal(call(pools_apply, id, 3, CONTAINERS - 1), CHI_STATUS_OK);
        assert_int_equal(call(pools_remove, id, 0, 0), CHI_STATUS_OK);
        while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) + AT_ONCE <= sent)
            sched_yield();
    }
    while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) < sent)
        sched_yield();
    assert_int_equal(wrong, 0);
    assert_true(ok > ROUNDS); /* of each round's some ran */
    while (runtime_control(rt, net_now_ns())) /* tables that went */
        sched_yield();
    assert_int_equal(runtime_stop(rt, 10000000000), 0);
    support_end(rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pools__come_and_go_while_workers_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
