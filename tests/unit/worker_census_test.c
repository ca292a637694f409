/* The records of a worker in use, looked through while tasks come, run and end. */
#include <errno.h>
#include <pthread.h>

#include "worker/census.h"
#include "worker_support.h"

enum { RECORDS = 3000 };
static const struct chi_pool_id POOL = {100, 0}, OTHER = {101, 0};

struct job {
    struct chi_task task;
    uint64_t lane;
};
struct big { /* of the middle size */
    struct chi_task task;
    uint8_t bytes[1000];
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, lane)};
CHI_FIELDS(big_fields) = {CHI_IN(U8, struct big, bytes)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);
CHI_METHOD_VAR(big_method) = CHI_METHOD(2, struct big, big_fields);
static struct chi_task *parked[RECORDS];
static unsigned parked_count;

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, chi_container_workers(c)); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c, (void)r;
    parked[parked_count++] = task;
    return CHI_STATUS_PENDING;
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    if (mode != CHI_LOCAL_SCHEDULE || task->method->id != job_method.id)
        return CHI_STATUS_UNSUPPORTED;
    chi_rctx_set_lane(r, chi_container_lane_by_hash(c, 0, ((struct job *)task)->lane));
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method, &big_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 2,
                                       .init = init, .run = run, .monitor = monitor};

static void submit(struct worker *w, struct chi_method *m, struct chi_pool_id pool, uint64_t lane)
{
    struct chi_task *t = chi_task_new(&w->rctx, m);
    assert_non_null(t);
    t->pool = pool;
    t->query = chi_local();
    if (m == &job_method)
        ((struct job *)t)->lane = lane;
    chi_task_post(&w->rctx, t);
}

struct seen {
    unsigned all, of_pool, queued, running;
};
static void look(struct worker *w, struct task *t, void *arg)
{
    struct seen *s = arg;
    assert_ptr_equal(t->home, w);
    s->all++;
    s->of_pool += t->container && memcmp(&t->container->pool->id, &POOL, sizeof POOL) == 0;
    s->queued += task_state(t) == TASK_QUEUED;
    s->running += task_state(t) == TASK_RUNNING;
}
static struct seen count(struct worker *w, unsigned *slices)
{
    struct census c;
    struct seen s = {0};
    unsigned n = 1;
    worker_enter(w);
    census_begin(w, &c);
    while (census_slice_st(w, &c, look, &s))
        n++;
    if (slices)
        *slices = n;
    return s;
}

static void census__is_of_records_in_use(void **state)
{
    (void)state;
    struct runtime *rt = support_runtime(2, RECORDS, NULL);
    struct worker *w = rt->worker[0], *v = rt->worker[1];
    support_pool(rt, &jobs, POOL, 1);
    support_pool(rt, &(struct chi_chimod){.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "more", .methods = methods, .nmethods = 2, .init = init,
                                          .run = run, .monitor = monitor}, OTHER, 1);
    unsigned slices;
    parked_count = 0;
    assert_int_equal(count(w, &slices).all, 0);
    assert_int_equal(slices, 1);
    for (unsigned i = 0; i < 1500; i++)
        submit(w, &job_method, i % 3 ? POOL : OTHER, i % 2);
    for (unsigned i = 0; i < 10; i++)
        submit(w, &big_method, POOL, 0);
    struct seen s = count(w, &slices);
    assert_true(s.all == 1510 && s.of_pool == 1010 && s.queued == 1510 && !s.running);
    assert_int_equal(slices, 2);
    for (int turn = 0; turn < 200; turn++)
        for (unsigned k = 0; k < 2; k++) {
            worker_enter(rt->worker[k]);
            worker_turn(rt->worker[k]);
        }
    s = count(w, NULL);
    assert_true(s.all == 1510 && s.of_pool == 1010 && s.running == 1510 && !s.queued);
    assert_int_equal(count(v, NULL).all, 0); /* half of them run there, and are not its own */
    worker_enter(w);
    for (unsigned i = 0; i < parked_count; i++)
        if (i % 2)
            chi_complete(&w->rctx, parked[i], CHI_STATUS_OK);
    s = count(w, &slices);
    assert_int_equal(s.all, 755);
    assert_int_equal(slices, 2); /* holes between them */
    worker_enter(w);
    for (unsigned i = 0; i < parked_count; i += 2)
        chi_complete(&w->rctx, parked[i], CHI_STATUS_OK);
    assert_int_equal(count(w, NULL).all, 0);
    worker_enter(w);
    support_end(rt);
}

static bool of_pool(const struct worker *w, const struct task *t, const void *what)
{
    assert_ptr_equal(w, worker_current());
    return t->container && memcmp(&t->container->pool->id, what, sizeof(struct chi_pool_id)) == 0;
}

static bool turning; /* atomic */
static void *turn_all(void *arg)
{
    struct runtime *rt = arg;
    rcu_register_thread();
    while (__atomic_load_n(&turning, __ATOMIC_ACQUIRE))
        for (uint32_t i = 0; i < rt->workers; i++) {
            worker_enter(rt->worker[i]);
            worker_turn(rt->worker[i]);
        }
    worker_enter(NULL);
    rcu_unregister_thread();
    return NULL;
}

static void census__of_all_workers(void **state)
{
    (void)state;
    struct runtime *rt = support_runtime(2, RECORDS, NULL);
    struct worker *w = rt->worker[0];
    pthread_t thread;
    uint64_t n;
    support_pool(rt, &jobs, POOL, 1);
    parked_count = 0;
    for (unsigned i = 0; i < 1200; i++)
        submit(w, &job_method, POOL, i % 2);
    for (unsigned i = 0; i < 300; i++)
        submit(rt->worker[1], &job_method, POOL, i % 2);
    turning = true;
    rt->call_limit_ns = UINT64_C(60000000000);
    assert_int_equal(pthread_create(&thread, NULL, turn_all, rt), 0);
    assert_int_equal(runtime_census(rt, of_pool, &POOL, &n), 0);
    assert_int_equal(n, 1500);
    assert_int_equal(runtime_census(rt, of_pool, &OTHER, &n), 0);
    assert_int_equal(n, 0);
    __atomic_store_n(&turning, false, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    rt->call_limit_ns = 1000000;
    assert_int_equal(runtime_census(rt, of_pool, &POOL, &n), -ETIMEDOUT); /* nobody turns */
    for (int turn = 0; turn < 200; turn++)
        for (unsigned k = 0; k < 2; k++) {
            worker_enter(rt->worker[k]);
            worker_turn(rt->worker[k]);
        }
    worker_enter(w);
    for (unsigned i = 0; i < parked_count; i++)
        chi_complete(&w->rctx, parked[i], CHI_STATUS_OK);
    for (int turn = 0; turn < 20; turn++) { /* those of the other worker go home */
        worker_turn(w);
        worker_enter(rt->worker[1]);
        worker_turn(rt->worker[1]);
        worker_enter(w);
    }
    support_end(rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(census__is_of_records_in_use),
        cmocka_unit_test(census__of_all_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
