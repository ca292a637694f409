/* Tasks that run long: how far they say that they are, to who submitted them and to who asks for all. */
#include <errno.h>
#include <pthread.h>

#include "worker_support.h"

enum { RECORDS = 1500, HELD_MAX = 1400 };
static const struct chi_pool_id POOL = {100, 0}, OUT = {2, 0};
struct job {
    struct chi_task task;
    uint64_t says, waits;
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, says), CHI_IN(U64, struct job, waits)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static struct runtime *rt;
static struct worker *w;
static struct chi_task *held[HELD_MAX];
static unsigned held_count;
static bool ready; /* the task that waits may go on */

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 2); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct job *t = (struct job *)task;
    uint64_t done, of;
    (void)c;
    if (t->says) {
        chi_task_progress(r, task, 1, 10);
        chi_task_progress(r, task, t->says, 10);
    }
    while (t->waits && !ready)
        if (chi_yield(r) != CHI_STATUS_OK)
            return CHI_STATUS_MODULE;
    assert_int_equal(chi_task_progress_get(r, task, &done, &of), t->says != 0); /* of itself, after a wait too */
    if (t->waits)
        return CHI_STATUS_OK;
    held[held_count++] = task;
    return CHI_STATUS_PENDING;
}
static void take_away(struct chi_container *c, struct chi_task **tasks, unsigned n, struct chi_rctx *r)
{
    (void)c, (void)r;
    for (unsigned i = 0; i < n; i++) {
        task_of(tasks[i])->state = TASK_AWAY;
        held[held_count++] = tasks[i];
    }
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1, .init = init, .run = run};
static const struct chi_chimod remote_queue = {.abi = CHI_CHIMOD_ABI, .size = sizeof remote_queue, .name = "remote_queue", .init = init, .run_many = take_away};

static int setup(void **state)
{
    (void)state;
    support_stacks = 4;
    rt = support_runtime(1, RECORDS, NULL);
    rt->worker[0]->turn_limit_ns = UINT64_MAX; /* no clock has a say */
    w = rt->worker[0];
    support_pool(rt, &remote_queue, OUT, 1);
    support_pool(rt, &jobs, POOL, 1);
    held_count = 0;
    ready = false;
    return 0;
}
static void turns(void)
{
    for (int i = 0; i < 60; i++)
        support_turn(w);
}
static int teardown(void **state)
{
    (void)state;
    support_end(rt);
    return 0;
}
static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    chi_task_del(r, task);
}
static struct chi_task *submit(uint64_t says, bool waits, struct chi_query q)
{
    struct job *t = (struct job *)chi_task_new(&w->rctx, &job_method);
    assert_non_null(t);
    t->task.pool = POOL;
    t->task.query = q;
    t->says = says;
    t->waits = waits;
    chi_task_submit(&w->rctx, &t->task, done, NULL);
    return &t->task;
}
static void end_all(void)
{
    ready = true;
    for (unsigned i = 0; i < held_count; i++)
        if (task_of(held[i])->state == TASK_AWAY)
            worker_returned_st(w, task_of(held[i]), CHI_STATUS_PEER_DOWN, NULL, 0);
        else
            chi_complete(&w->rctx, held[i], CHI_STATUS_OK);
    turns();
}

/* --- the control thread asks while this one turns */
static struct task_seen seen[2 * HELD_MAX];
static unsigned most;
static int count;
static bool asked; /* atomic: it has its answer */
static void *ask(void *arg)
{
    count = runtime_tasks(rt, 0, seen, most);
    __atomic_store_n(&asked, true, __ATOMIC_RELEASE);
    return arg;
}
static int tasks_seen(unsigned room)
{
    pthread_t control;
    most = room;
    asked = false;
    assert_int_equal(pthread_create(&control, NULL, ask, NULL), 0);
    while (!__atomic_load_n(&asked, __ATOMIC_ACQUIRE))
        support_turn(w);
    assert_int_equal(pthread_join(control, NULL), 0);
    return count;
}
static const struct task_seen *seen_with(uint64_t says, enum task_state st)
{
    for (int i = 0; i < count; i++)
        if (seen[i].says == (says != 0) && (!says || seen[i].done == says) && seen[i].state == st)
            return &seen[i];
    return NULL;
}

static void progress__is_seen_by_who_submitted_and_by_all(void **state)
{
    uint64_t d, of;
    (void)state;
    assert_int_equal(tasks_seen(100), 0);
    struct chi_task *t = submit(3, false, chi_local());
    assert_false(chi_task_progress_get(&w->rctx, t, &d, &of)); /* it has not begun */
    struct chi_task *waits = submit(4, true, chi_local());
    submit(0, false, chi_local());
    submit(0, false, chi_physical(2));
    turns();
    assert_true(chi_task_progress_get(&w->rctx, t, &d, &of) && d == 3 && of == 10);
    assert_true(chi_task_progress_get(&w->rctx, waits, &d, &of) && d == 4);
    assert_int_equal(tasks_seen(100), 4);
    const struct task_seen *s = seen_with(3, TASK_RUNNING), *quiet = seen_with(0, TASK_RUNNING), *away = seen_with(0, TASK_AWAY);
    assert_true(s && quiet && away && seen_with(4, TASK_RUNNING));
    assert_true(s->of == 10 && s->method == 1 && s->here && s->container == 0 && s->origin == TASK_MODULE && s->pool.major == 100);
    assert_true(away->node == 2 && !away->here && !away->says && away->method == 1);
    assert_true(s->age_ns < UINT64_C(3600000000000) && quiet->age_ns <= s->age_ns); /* submitted later, or in the same turn */
    assert_int_equal(tasks_seen(2), 2); /* no more than there is room for */
    chi_task_progress(&w->rctx, held[0], 0, 0);
    assert_false(chi_task_progress_get(&w->rctx, held[0], &d, &of)); /* it took it back */
    end_all();
    assert_int_equal(tasks_seen(100), 0);
}

/* What the record's last task said is not this one's. */
static void progress__begins_with_the_run(void **state)
{
    uint64_t d, of;
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct chi_task *t = submit(i % 2 ? 0 : 7, false, chi_local());
        assert_false(chi_task_progress_get(&w->rctx, t, &d, &of));
        turns();
        assert_int_equal(chi_task_progress_get(&w->rctx, t, &d, &of), i % 2 == 0);
        chi_complete(&w->rctx, t, CHI_STATUS_OK);
        held_count = 0;
        turns();
    }
}

/* More than one call looks at. */
static void tasks__are_all_seen(void **state)
{
    (void)state;
    for (unsigned i = 0; i < HELD_MAX; i++)
        submit(1 + i, false, chi_local());
    turns();
    assert_int_equal(held_count, HELD_MAX);
    assert_int_equal(tasks_seen(2 * HELD_MAX), HELD_MAX);
    for (unsigned i = 0; i < HELD_MAX; i++)
        assert_non_null(seen_with(1 + i, TASK_RUNNING));
    end_all();
}

/* A worker that does not turn: no answer, and what it writes late disturbs nobody. */
static void tasks__of_a_worker_that_is_held(void **state)
{
    (void)state;
    submit(5, false, chi_local());
    turns();
    rt->call_limit_ns = 0;
    assert_int_equal(runtime_tasks(rt, 0, seen, 100), -ETIMEDOUT);
    assert_int_equal(runtime_tasks(rt, 0, seen, 100), -ETIMEDOUT);
    rt->call_limit_ns = WORKER_CALL_LIMIT_MS * UINT64_C(1000000);
    assert_int_equal(tasks_seen(100), 1);
    end_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(progress__is_seen_by_who_submitted_and_by_all), TEST(progress__begins_with_the_run), TEST(tasks__are_all_seen),
        TEST(tasks__of_a_worker_that_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
