/* Tasks that nobody waits for any more: what is queued does not run, what runs is told why. */
#include "worker_ends.h"
#include "archive/form.h"
#include "sched/spread.h"

enum { RECORDS = 64, WAITS = 2 };
static const struct chi_pool_id POOL = {100, 0}, OUT_POOL = {2, 0};

struct job {
    struct chi_task task;
    uint64_t lane, park;
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, lane), CHI_IN(U64, struct job, park)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static unsigned runs, dones, told;
static enum chi_status last;
static struct chi_task *parked[8];
static unsigned nparked;
static struct support_client client;

static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c;
    runs++;
    assert_int_equal(chi_task_cancelled(r, task), CHI_STATUS_OK);
    if (!((struct job *)task)->park)
        return CHI_STATUS_OK;
    if (((struct job *)task)->park == WAITS) {
        while (!told)
            assert_int_equal(chi_yield(r), CHI_STATUS_OK);
        return CHI_STATUS_MODULE;
    }
    parked[nparked++] = task;
    return CHI_STATUS_PENDING;
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    if (mode != CHI_LOCAL_SCHEDULE)
        return CHI_STATUS_UNSUPPORTED;
    chi_rctx_set_lane(r, chi_container_lane(c, 0, (uint32_t)((struct job *)task)->lane));
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1,
                                       .init = init, .run = run, .monitor = monitor};
/* The same with an operation that is told. */
static enum chi_status told_why;
static bool end_all;
static void complete_all(void);
static void cancel(struct chi_container *c, struct chi_task *task, struct chi_rctx *r, enum chi_status st)
{
    assert_ptr_equal(c, task_of(task)->container);
    assert_int_equal(r->worker->index, task_of(task)->lane->owner);
    told++;
    told_why = st;
    if (end_all)
        complete_all(); /* others too */
}
static struct chi_chimod hears;
static const struct chi_pool_id HEARS = {101, 0};
static struct chi_pool_id to;
static const struct sched_pool *pool;

static int setup(void **state)
{
    (void)state;
    rt = support_runtime(2, RECORDS, NULL);
    w[0] = rt->worker[0];
    w[1] = rt->worker[1];
    w[0]->turn_limit_ns = w[1]->turn_limit_ns = UINT64_MAX;
    support_pool(rt, &remote_queue, OUT_POOL, 1);
    support_pool(rt, &jobs, POOL, 2);
    hears = jobs;
    hears.name = "hears";
    hears.cancel = cancel;
    pool = support_pool(rt, &hears, HEARS, 2);
    to = POOL;
    told = 0;
    end_all = false;
    end_make(&near, 1);
    end_make(&far, 2);
    w[0]->xfer = near.x;
    runs = dones = nparked = cancels = 0;
    last = CHI_STATUS_PENDING;
    memset(&done, 0, sizeof done);
    return 0;
}
static void complete_all(void)
{
    while (nparked) {
        struct task *t = task_of(parked[--nparked]);
        chi_complete(&w[t->lane->owner]->rctx, task_public(t), CHI_STATUS_OK);
    }
}
static int teardown(void **state)
{
    (void)state;
    complete_all();
    settle();
    for (int k = 0; k < 2; k++)
        assert_true(w[k]->parked == 0 && list_empty(&w[k]->watched));
    w[0]->xfer = NULL;
    support_end(rt);
    free(near.memory);
    free(far.memory);
    return 0;
}

static void ended(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    dones++;
    last = task->status;
    chi_task_del(r, task);
}
static void submit(struct chi_query q, uint64_t lane, uint64_t park, uint32_t timeout_us)
{
    struct job *t = (struct job *)chi_task_new(&w[0]->rctx, &job_method);
    assert_non_null(t);
    t->task.pool = to;
    t->task.query = q;
    t->task.timeout_us = timeout_us;
    t->lane = lane;
    t->park = park;
    w[0]->rctx.now_ns = net_now_ns();
    chi_task_submit(&w[0]->rctx, &t->task, ended, NULL);
}
static void pass_time(uint64_t ns)
{
    for (uint64_t until = net_now_ns() + ns; net_now_ns() <= until;)
        ;
}
static enum chi_status why(struct chi_task *t) { return chi_task_cancelled(&w[task_of(t)->lane->owner]->rctx, t); }

static void queued__past_its_deadline_does_not_run(void **state)
{
    (void)state;
    for (uint64_t lane = 0; lane < 2; lane++) {
        submit(chi_local(), lane, false, 1000);
        pass_time(1000000);
        turns();
        assert_int_equal(dones, lane + 1);
        assert_int_equal(last, CHI_STATUS_DEADLINE);
    }
    submit(chi_range(0, 1), 0, false, 1000); /* replicas have the deadline of the whole */
    pass_time(1000000);
    turns();
    assert_int_equal(dones, 3);
    assert_int_equal(last, CHI_STATUS_DEADLINE);
    assert_int_equal(runs, 0);
    submit(chi_local(), 1, false, 60000000);
    turns();
    assert_int_equal(runs, 1);
    assert_int_equal(last, CHI_STATUS_OK);
}

static void running__is_told_of_its_deadline_and_ends_as_it_likes(void **state)
{
    (void)state;
    submit(chi_local(), 1, true, 60000000);
    submit(chi_range(0, 1), 1, true, 60000000);
    turns();
    assert_int_equal(nparked, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(why(parked[i]), CHI_STATUS_OK);
        task_of(parked[i])->deadline_ns = net_now_ns();
        assert_int_equal(why(parked[i]), CHI_STATUS_DEADLINE);
    }
    assert_int_equal(dones, 0); /* nobody ends it for it */
    complete_all();
    turns();
    assert_int_equal(dones, 2);
    assert_int_equal(last, CHI_STATUS_OK);
}

static void running__is_told_of_the_daemons_stop(void **state)
{
    (void)state;
    submit(chi_local(), 0, true, 60000000);
    turns();
    rt->stopping = true;
    assert_int_equal(why(parked[0]), CHI_STATUS_SHUTDOWN);
    rt->stopping = false;
}

static void running__is_told_that_its_client_is_gone(void **state)
{
    struct job t = {.task = {.pool = to, .query = chi_local(), .method = &job_method}, .lane = 1, .park = 1};
    (void)state;
    support_connect(&client, 4);
    support_attach(&client, w[0]);
    const struct shm_submit s = support_form(&client, &t.task, 1, 0);
    support_submit(&client, &s);
    t.task.query = chi_range(0, 1);
    const struct shm_submit several = support_form(&client, &t.task, 2, 512);
    support_submit(&client, &several);
    turns();
    assert_int_equal(nparked, 2);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(why(parked[i]), CHI_STATUS_OK);
    client.ch->detached = true; /* runtime_detach */
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(why(parked[i]), CHI_STATUS_DISCONNECTED);
    complete_all();
    turns();
    support_leave(&client, w[0]);
}

/* --- from another node */

static struct xfer_out message;
static void send(struct chi_query q, uint64_t lane, uint64_t timeout_ns)
{
    static uint8_t form[256];
    struct job t = {.task = {.pool = to, .query = q, .method = &job_method}, .lane = lane, .park = 1};
    struct chi_ar_region regions[CHI_REGIONS_MAX];
    uint32_t n;
    enum chi_status st;
    struct form_head h;
    size_t length = form_save(form, sizeof form, &t.task, regions, &n, NULL, NULL, &st);
    if (q.kind == CHI_QUERY_BROADCAST) {
        assert_int_equal(form_decode(form, length, &h), CHI_DROP_NONE);
        h.query = spread_query(pool->table, &(struct spread){0, 4, 0, 1});
        form_encode(form, &h);
    }
    memset(&done, 0, sizeof done);
    cancels = 0;
    message = (struct xfer_out){.form = form, .form_length = (uint32_t)length, .deadline_ns = net_now_ns() + timeout_ns};
    xfer_send(far.x, 1, &message, net_now_ns());
}
/* The far node ends what it sent, and says so. */
static void far_gives_up(void)
{
    while (!done.kind)
        far_turn();
    assert_int_equal(done.status, CHI_STATUS_DEADLINE);
    while (!cancels) {
        far_turn();
        while (pass(&far, &near))
            ;
        w[0]->rctx.now_ns = net_now_ns();
        xfer_tick(near.x, w[0]->rctx.now_ns);
        near_events();
        xfer_tx(near.x, w[0]->rctx.now_ns, 64);
    }
}

static void remote__that_is_given_up_does_not_run(void **state)
{
    (void)state;
    for (uint64_t lane = 0; lane < 2; lane++) {
        uint64_t came = w[0]->stats.tasks_remote;
        send(chi_local(), lane, 20000000);
        while (w[0]->stats.tasks_remote == came) { /* it comes; no lane runs */
            far_turn();
            if (done.kind) /* the machine was busy elsewhere */
                send(chi_local(), lane, 20000000);
            while (pass(&far, &near))
                ;
            xfer_tx(near.x, net_now_ns(), 64);
        }
        far_gives_up();
        turns();
        assert_int_equal(runs, 0);
    }
    settle();
    assert_int_equal(w[0]->tasks.out, 0);
}

static void remote__that_runs_is_told(void **state)
{
    (void)state;
    for (int several = 0; several < 2; several++) {
        unsigned want = several ? 2 : 1;
        do { /* once more, if the machine was busy elsewhere */
            complete_all();
            settle();
            send(several ? chi_broadcast() : chi_local(), 1, 100000000);
            while (nparked < want && !done.kind)
                settle();
        } while (nparked < want);
        assert_int_equal(task_of(parked[0])->origin, several ? TASK_REPLICA : TASK_REMOTE);
        far_gives_up();
        for (unsigned i = 0; i < nparked; i++)
            assert_int_equal(why(parked[i]), CHI_STATUS_DEADLINE);
        complete_all();
        settle();
    }
    assert_int_equal(w[0]->tasks.out, 0);
}

/* --- cancel */

static void cancel__tells_once_that_a_deadline_passed(void **state)
{
    (void)state;
    to = HEARS;
    for (uint64_t lane = 0; lane < 2; lane++) {
        do { /* once more, if the machine was busy elsewhere */
            complete_all();
            submit(chi_local(), lane, false, 60000000); /* it ends before */
            submit(chi_local(), lane, true, 60000000);
            submit(chi_local(), lane, true, 50000);
            turns();
        } while (nparked < 2);
        uint64_t deadline = task_of(parked[1])->deadline_ns;
        told = 0;
        while (!told) {
            turn((int)lane);
            assert_true(told || (w[lane]->rctx.now_ns < deadline + 1000000 && w[lane]->rctx.wake_ns <= deadline + 1000000));
        }
        assert_true(w[lane]->rctx.now_ns >= deadline);
        assert_int_equal(told_why, CHI_STATUS_DEADLINE);
        pass_time(3000000);
        turns();
        assert_int_equal(told, 1);
        complete_all();
        turns();
        assert_int_equal(w[lane]->parked, 0);
        pass_time(3000000);
        turns();
        assert_int_equal(told, 1); /* nobody is left */
    }
    assert_int_equal(last, CHI_STATUS_OK);
}

static void cancel__may_end_it_and_others(void **state)
{
    (void)state;
    to = HEARS;
    for (int i = 0; i < 4; i++)
        submit(i == 2 ? chi_range(0, 1) : chi_local(), 1, true, 60000000);
    turns();
    assert_int_equal(nparked, 4);
    end_all = true;
    rt->stopping = true;
    turns();
    assert_int_equal(told, 1); /* it ended all of them */
    assert_int_equal(told_why, CHI_STATUS_SHUTDOWN);
    turns();
    assert_int_equal(dones, 4);
    rt->stopping = false;
}

/* Without setup and teardown: its worker has stacks. */
static void cancel__tells_one_that_waits_in_its_run(void **state)
{
    (void)state;
    support_stacks = 3;
    rt = support_runtime(1, RECORDS, NULL);
    support_stacks = 0;
    w[0] = rt->worker[0];
    hears = jobs;
    hears.name = "hears";
    hears.cancel = cancel;
    support_pool(rt, &hears, HEARS, 1);
    to = HEARS;
    end_all = false;
    runs = 0;
    do { /* once more, if the machine was busy elsewhere */
        dones = told = 0;
        submit(chi_local(), 0, WAITS, 20000);
        for (int i = 0; i < 3; i++)
            support_turn(w[0]);
    } while (dones);
    assert_int_equal(told, 0);
    while (!dones)
        support_turn(w[0]);
    assert_int_equal(told, 1);
    assert_int_equal(told_why, CHI_STATUS_DEADLINE);
    assert_int_equal(last, CHI_STATUS_MODULE); /* it ended as it liked */
    assert_int_equal(w[0]->parked, 0);
    told = 0;
    submit(chi_local(), 0, WAITS, 60000000);
    support_turn(w[0]);
    assert_int_equal(w[0]->parked, 2); /* it waits, and is watched */
    told = 1; /* what it waits for */
    while (dones < 2)
        support_turn(w[0]);
    assert_int_equal(w[0]->parked, 0);
    assert_true(list_empty(&w[0]->watched));
    support_end(rt);
}

static void cancel__tells_of_a_client_that_is_gone(void **state)
{
    struct job t = {.task = {.pool = HEARS, .query = chi_local(), .method = &job_method}, .lane = 1, .park = 1};
    (void)state;
    support_connect(&client, 4);
    support_attach(&client, w[0]);
    const struct shm_submit s = support_form(&client, &t.task, 1, 0);
    support_submit(&client, &s);
    turns();
    assert_int_equal(nparked, 1);
    client.ch->detached = true;
    watch_tell(w[0]);
    assert_int_equal(told, 0); /* by its own worker */
    turn(1);
    assert_int_equal(told, 1);
    assert_int_equal(told_why, CHI_STATUS_DISCONNECTED);
    complete_all();
    turns();
    support_leave(&client, w[0]);
}

static void cancel__tells_what_came_from_another_node(void **state)
{
    (void)state;
    to = HEARS;
    for (int kind = 0; kind < 3; kind++) {
        unsigned want = kind == 2 ? 2 : 1;
        do {
            complete_all();
            settle();
            told = 0;
            send(kind == 2 ? chi_broadcast() : chi_local(), (uint64_t)kind % 2, 100000000);
            while (nparked < want && !done.kind)
                settle();
        } while (nparked < want);
        far_gives_up();
        turns();
        assert_int_equal(told, want);
        assert_int_equal(told_why, CHI_STATUS_DEADLINE);
        complete_all();
        settle();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(queued__past_its_deadline_does_not_run, setup, teardown),
        cmocka_unit_test_setup_teardown(running__is_told_of_its_deadline_and_ends_as_it_likes, setup, teardown),
        cmocka_unit_test_setup_teardown(running__is_told_of_the_daemons_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(running__is_told_that_its_client_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(remote__that_is_given_up_does_not_run, setup, teardown),
        cmocka_unit_test_setup_teardown(remote__that_runs_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(cancel__tells_once_that_a_deadline_passed, setup, teardown),
        cmocka_unit_test_setup_teardown(cancel__may_end_it_and_others, setup, teardown),
        cmocka_unit_test(cancel__tells_one_that_waits_in_its_run),
        cmocka_unit_test_setup_teardown(cancel__tells_of_a_client_that_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(cancel__tells_what_came_from_another_node, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
