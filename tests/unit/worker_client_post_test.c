/* Posts of a client that this test plays: they run, are counted, and give their slot back without a body; also when the client has gone. */
#include "archive/form.h"
#include "worker_support.h"

enum { DEPTH = 2 * WORKER_CLIENT_BUDGET, RECORDS = 2 * DEPTH };
static const struct chi_pool_id POOL = {100, 0};
struct job {
    struct chi_task task;
    uint64_t in, out;
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, in), CHI_OUT(U64, struct job, out)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static struct runtime *rt;
static struct worker *w;
static struct support_client client;
static struct chi_task *parked;
static unsigned runs;
static enum { FINE, FAIL, PARK } mode;

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 1); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c, (void)r;
    runs++;
    if (mode == PARK)
        parked = task;
    return mode == FAIL ? CHI_STATUS_MODULE : mode == PARK ? CHI_STATUS_PENDING : CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1, .init = init, .run = run};

static int setup(void **state)
{
    (void)state;
    rt = support_runtime(1, RECORDS, NULL);
    w = rt->worker[0];
    w->turn_limit_ns = UINT64_MAX; /* no clock has a say */
    support_pool(rt, &jobs, POOL, 1);
    support_connect(&client, DEPTH);
    support_attach(&client, w);
    runs = 0;
    mode = FINE;
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    support_leave(&client, w);
    support_end(rt);
    return 0;
}

static void submit(uint32_t cookie, struct chi_query q, uint16_t flags)
{
    struct job t = {.task = {.pool = POOL, .query = q, .method = &job_method}, .in = cookie};
    struct shm_submit s = support_form(&client, &t.task, cookie, 512 * (uint64_t)cookie);
    s.flags |= flags;
    support_submit(&client, &s);
}
static void turns(void)
{
    for (int i = 0; i < 3; i++)
        worker_turn(w);
}
static void posts_are(uint64_t posts, uint64_t failed)
{
    assert_int_equal(w->stats.posts, posts);
    assert_int_equal(w->stats.posts_failed, failed);
    assert_int_equal(client.ch->out, 0);
    assert_int_equal(w->tasks.out, 0);
}
/* The daemon hears that the client has gone, as runtime_detach tells the worker; runtime_reap takes the channel off. */
static void leaves(void)
{
    rt->call_limit_ns = 0; /* the worker turns here */
    runtime_detach(rt, client.ch);
}
static bool is_reaped(void)
{
    struct ipc_channel *next = client.ch->next;
    bool gone = runtime_reap(rt, client.ch);
    assert_false(gone); /* the call times out: the worker finds it in its next turn */
    turns();
    gone = w->channels == next;
    return gone;
}

static void post__runs_and_gives_its_slot_back(void **state)
{
    (void)state;
    struct shm_complete c;
    for (unsigned round = 0; round < 20; round++) {
        for (uint32_t k = 0; k < DEPTH; k++)
            submit(k, k % 2 ? chi_local() : chi_range(0, 1), SHM_POST);
        mode = round % 2 ? FAIL : FINE;
        turns();
        for (uint32_t k = 0; k < DEPTH; k++) {
            assert_true(support_answer(&client, &c));
            assert_int_equal(c.status, round % 2 ? CHI_STATUS_MODULE : CHI_STATUS_OK);
            assert_true(c.length == 0 && c.replicas == 0 && c.cookie < DEPTH);
        }
    }
    assert_int_equal(runs, 20 * DEPTH);
    posts_are(20 * DEPTH, 10 * DEPTH);
    submit(0, chi_direct(7), SHM_POST); /* these never begin */
    turns();
    posts_are(20 * DEPTH + 1, 10 * DEPTH + 1);
    rt->stopping = true;
    submit(1, chi_local(), SHM_POST);
    turns();
    posts_are(20 * DEPTH + 2, 10 * DEPTH + 2);
    submit(2, chi_local(), 0); /* who waits is no post */
    turns();
    posts_are(20 * DEPTH + 2, 10 * DEPTH + 2);
}

/* All that was posted before runs; what somebody would have waited for does not. */
static void post__of_a_client_that_has_gone_still_runs(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < DEPTH; k++)
        submit(k, chi_local(), k % 2 ? SHM_POST : 0);
    leaves();
    turns();
    assert_int_equal(runs, DEPTH / 2);
    posts_are(DEPTH / 2, 0);
    struct shm_complete c;
    assert_false(support_answer(&client, &c)); /* nobody is there */
    assert_true(is_reaped());
}

/* One that goes on to write into the segment is heard for one ring, and no longer. */
static void post__of_a_client_that_never_stops_does(void **state)
{
    (void)state;
    unsigned next = 0;
    leaves();
    for (unsigned turn = 0; turn < 10; turn++) {
        for (; next < runs + DEPTH; next++) /* the ring is always full */
            submit(next % DEPTH, chi_local(), SHM_POST);
        worker_turn(w);
    }
    assert_int_equal(runs, DEPTH);
    assert_true(is_reaped());
}

/* Nor does one go while a post runs: its memory is named.  The task is not told that the client has gone. */
static void post__that_runs_keeps_the_segment(void **state)
{
    (void)state;
    mode = PARK;
    submit(0, chi_local(), SHM_POST);
    turns();
    leaves();
    turns();
    assert_int_equal(chi_task_cancelled(&w->rctx, parked), CHI_STATUS_OK);
    assert_false(is_reaped());
    chi_complete(&w->rctx, parked, CHI_STATUS_MODULE);
    posts_are(1, 1);
    assert_true(is_reaped());
}

/* Without records they wait in the ring, also when the client has gone. */
static void post__without_records_waits(void **state)
{
    (void)state;
    struct task *held[RECORDS];
    for (unsigned i = 0; i < RECORDS; i++)
        assert_non_null(held[i] = task_try_get(&w->tasks, 8));
    for (uint32_t k = 0; k < DEPTH; k++)
        submit(k, chi_local(), SHM_POST);
    leaves();
    turns();
    assert_int_equal(runs, 0);
    assert_false(is_reaped());
    for (unsigned i = 0; i < RECORDS; i++)
        task_put(&w->tasks, held[i]);
    turns();
    assert_int_equal(runs, DEPTH);
    assert_true(is_reaped());
}

static void post__that_is_malformed_is_refused(void **state)
{
    (void)state;
    struct shm_complete c;
    struct job t = {.task = {.pool = POOL, .query = chi_local(), .method = &job_method}};
    struct shm_submit s = support_form(&client, &t.task, 3, 0);
    s.flags |= SHM_POST;
    s.external.form_length = 3;
    support_submit(&client, &s);
    turns();
    assert_true(support_answer(&client, &c) && c.status == CHI_STATUS_INVALID && c.cookie == 3);
    assert_int_equal(w->drops[CHI_DROP_CLIENT_FORM], 1);
    support_submit(&client, &s);
    leaves();
    turns();
    assert_int_equal(w->drops[CHI_DROP_CLIENT_FORM], 2);
    posts_are(0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(post__runs_and_gives_its_slot_back),   TEST(post__of_a_client_that_has_gone_still_runs), TEST(post__of_a_client_that_never_stops_does),
        TEST(post__that_runs_keeps_the_segment),    TEST(post__without_records_waits),                TEST(post__that_is_malformed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
