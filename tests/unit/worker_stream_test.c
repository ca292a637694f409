/* Regions of a task from another node, while it runs on this worker's lane or on another one's: how much is there, waiting for more,
 * sending early, and how a wait ends that nobody serves.  The other node is an endpoint of the test's; each packet goes by hand. */
#include "panics.h"
#include "worker_ends.h"

enum { RECORDS = 64, IN = 20000, OUT_BYTES = 20000 };
static const struct chi_pool_id POOL = {100, 0}, REMOTE = {2, 0};

struct job {
    struct chi_task task;
    uint64_t lane;
    struct chi_bulk in, both, out;
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, lane), CHI_BULK_INOUT_STREAM(struct job, both), CHI_BULK_IN_STREAM(struct job, in),
                          CHI_BULK_OUT(struct job, out)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

/* --- the module: each step is the test's */

typedef enum chi_status (*step_fn)(struct job *t, struct chi_rctx *r);
static step_fn on_run, on_told;
static unsigned runs, tolds;
static enum chi_status last;
static bool inside; /* an operation of the module is under way */
static struct job *job;

static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    (void)mode;
    chi_rctx_set_lane(r, chi_container_lane(c, 0, (uint32_t)((struct job *)task)->lane));
    return CHI_STATUS_OK;
}
static enum chi_status step(step_fn fn, struct chi_task *task, struct chi_rctx *r)
{
    job = (struct job *)task;
    assert_int_equal(chi_rctx_worker(r), job->lane);
    assert_false(inside);
    inside = true;
    enum chi_status st = fn(job, r);
    inside = false;
    return st;
}
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c;
    runs++;
    return step(on_run, task, r);
}
static enum chi_status told(struct chi_container *c, struct chi_task *task, struct chi_rctx *r, enum chi_status st)
{
    assert_ptr_equal(c, sched_pool_find(&rt->sched, POOL)->local);
    tolds++;
    last = st;
    return step(on_told, task, r);
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1,
                                       .init = init, .run = run, .monitor = monitor};

/* --- the origin's task */

static uint8_t in[IN], both[IN], out[OUT_BYTES], form[512];
static struct xfer_out message;
static struct chi_ar_region regions[CHI_REGIONS_MAX];

static void send(uint64_t lane, uint64_t deadline_ns)
{
    struct job t = {.task = {.pool = POOL, .query = chi_local(), .method = &job_method}, .lane = lane, .in = {in, IN, 0},
                    .both = {both, 3000, 0}, .out = {out, OUT_BYTES, 0}};
    enum chi_status st;
    for (int i = 0; i < IN; i++)
        in[i] = both[i] = (uint8_t)(i * 5 + i / 251);
    memset(out, 0, sizeof out);
    memset(&message, 0, sizeof message);
    message.form_length = (uint32_t)form_save(form, sizeof form, &t.task, regions, &message.nregions, NULL, NULL, &st);
    assert_true(message.form_length > 0);
    message.form = form;
    message.regions = regions;
    message.deadline_ns = deadline_ns;
    xfer_send(far.x, 1, &message, net_now_ns());
    far_events();
    done = (struct xfer_event){0};
}
/* Packets until the task began; a part of its regions is there. */
static void until_it_runs(void)
{
    for (int i = 0; i < 100 && !runs; i++) {
        if (!far.sent.count)
            far_turn();
        pass(&far, &near);
        turns();
    }
    assert_int_equal(runs, 1);
}

/* The origin's deadline passes, and its CANCEL comes; segments on their way to then are lost. */
static void until_cancelled(void)
{
    for (cancels = 0; !cancels;) {
        far_turn();
        if (done.kind == 0)
            far.sent.count = 0;
        while (pass(&far, &near))
            ;
    }
}

static enum chi_status park(struct job *t, struct chi_rctx *r)
{
    (void)t, (void)r;
    return CHI_STATUS_PENDING;
}
static enum chi_status wait_5000(struct job *t, struct chi_rctx *r)
{
    assert_int_equal(t->in.size, IN);
    chi_bulk_wait(r, &t->task, &t->in, 5000, told);
    return CHI_STATUS_PENDING;
}
static enum chi_status wait_all(struct job *t, struct chi_rctx *r)
{
    chi_bulk_wait(r, &t->task, &t->in, UINT64_MAX, told); /* at most its size counts */
    return CHI_STATUS_PENDING;
}
static enum chi_status give_back(struct job *t, struct chi_rctx *r)
{
    uint64_t n = chi_bulk_ready(r, &t->task, &t->in);
    memcpy(t->out.ptr, t->in.ptr, n);
    t->out.used = n;
    t->both.used = 0;
    return CHI_STATUS_OK;
}
static enum chi_status end_badly(struct job *t, struct chi_rctx *r)
{
    (void)t, (void)r;
    return CHI_STATUS_MODULE;
}

static int setup(void **state)
{
    (void)state;
    rt = support_runtime(2, RECORDS, NULL);
    w[0] = rt->worker[0];
    w[1] = rt->worker[1];
    support_pool(rt, &remote_queue, REMOTE, 1);
    support_pool(rt, &jobs, POOL, 1);
    end_make(&near, 1);
    end_make(&far, 2);
    w[0]->xfer = near.x;
    runs = tolds = 0;
    inside = false;
    on_run = on_told = park;
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    settle();
    w[0]->xfer = NULL;
    xfer_tick(near.x, w[0]->rctx.now_ns);
    assert_int_equal(near.memory_out, 0);
    support_end(rt);
    free(near.memory);
    free(far.memory);
    return 0;
}

static uint64_t ready(void) { return chi_bulk_ready(&w[job->lane]->rctx, &job->task, &job->in); }

static void wait__ends_when_so_much_is_there(void **state)
{
    for (uint64_t lane = 0; lane < 2; lane++) {
        on_run = wait_5000;
        on_told = wait_all;
        send(lane, UINT64_MAX);
        until_it_runs();
        uint64_t before = ready();
        assert_true(before < 5000);
        while (ready() < 5000) {
            assert_int_equal(tolds, 0);
            assert_true(pass(&far, &near));
            if (ready() < 5000)
                turns();
            assert_true(ready() >= before); /* no less than before */
            before = ready();
        }
        assert_true(before < IN);
        turns();
        assert_int_equal(tolds, 1);
        assert_int_equal(last, CHI_STATUS_OK);
        on_told = give_back;
        turns();
        assert_int_equal(tolds, 1); /* the others are not there */
        settle();
        assert_int_equal(tolds, 2);
        assert_int_equal(last, CHI_STATUS_OK);
        assert_int_equal(done.status, CHI_STATUS_OK);
        assert_int_equal(regions[2].used, IN);
        assert_memory_equal(out, in, IN);
        assert_int_equal(runs, 1);
        runs = tolds = 0;
    }
    (void)state;
}

/* What is there already is told later, never from inside of the call; and the task may wait as often as it likes. */
static unsigned rounds;
static enum chi_status wait_again(struct job *t, struct chi_rctx *r)
{
    if (rounds-- == 0)
        return give_back(t, r);
    return wait_5000(t, r);
}
/* The lane goes to the other worker while its task waits: that goes on where it began, whoever is its home. */
static void wait__goes_on_where_it_began_when_its_lane_moved(void **state)
{
    for (uint32_t lane = 0; lane < 2; lane++) {
        struct chi_lane *l = chi_container_lane(sched_pool_find(&rt->sched, POOL)->local, 0, lane);
        struct ring_item it = {.kind = RING_CALL, .b = move_make(rt, l, 1 - lane), .fn = move_begin};
        on_run = wait_5000;
        on_told = give_back;
        send(lane, UINT64_MAX);
        until_it_runs();
        assert_true(ring_try_put(w[lane]->in[2], &it));
        turns();
        turns();
        assert_int_equal(lane_owner(l), 1 - lane);
        settle();
        assert_int_equal(tolds, 1); /* step() looks where */
        assert_int_equal(last, CHI_STATUS_OK);
        assert_int_equal(done.kind, XFER_DONE);
        assert_int_equal(done.status, CHI_STATUS_OK);
        if (lane == 0) {
            teardown(state);
            setup(state);
        }
    }
}

static void wait__for_what_is_there_is_told_later(void **state)
{
    (void)state;
    for (uint64_t lane = 0; lane < 2; lane++) {
        on_run = wait_all;
        on_told = wait_again;
        rounds = 5;
        send(lane, UINT64_MAX);
        settle();
        assert_int_equal(tolds, 6);
        assert_int_equal(done.status, CHI_STATUS_OK);
        assert_memory_equal(out, in, IN);
        runs = tolds = 0;
    }
}

/* The deadline at the origin, the end of its node, and that of this daemon: on each lane. */
static void wait__that_nobody_serves_is_told_why_and_ends_once(void **state)
{
    static const enum chi_status why[] = {CHI_STATUS_DEADLINE, CHI_STATUS_PEER_DOWN, CHI_STATUS_SHUTDOWN};
    (void)state;
    for (int way = 0; way < 6; way++) {
        uint64_t lane = way % 2;
        bool stops = way >= 2;
        on_run = wait_all;
        on_told = end_badly;
        send(lane, stops ? UINT64_MAX : net_now_ns() + 400000000);
        until_it_runs();
        assert_true(ready() < IN);
        far.sent.count = 0; /* the others are lost */
        if (why[way / 2] == CHI_STATUS_SHUTDOWN) {
            xfer_shutdown(near.x, w[0]->rctx.now_ns);
        } else if (stops) {
            assert_int_equal(xfer_peer_remove(near.x, 2, w[0]->rctx.now_ns), 0);
        } else {
            until_cancelled();
            assert_int_equal(done.status, CHI_STATUS_DEADLINE);
        }
        assert_int_equal(tolds, 0);
        *(volatile uint8_t *)job->out.ptr = 1; /* its memory stays */
        assert_memory_equal(job->in.ptr, in, ready());
        turns();
        assert_int_equal(tolds, 1);
        assert_int_equal(last, why[way / 2]);
        turns();
        assert_int_equal(w[0]->tasks.out, 0);
        assert_int_equal(runs, 1);
        runs = tolds = 0;
        if (stops) {
            settle();
            assert_int_equal(teardown(NULL), 0);
            assert_int_equal(setup(NULL), 0);
        }
    }
}

/* It was told of the end before it asked. */
static void wait__after_the_end_is_told_at_once(void **state)
{
    (void)state;
    for (uint64_t lane = 0; lane < 2; lane++) {
        on_run = park;
        on_told = end_badly;
        send(lane, net_now_ns() + 400000000);
        until_it_runs();
        far.sent.count = 0;
        until_cancelled();
        turns();
        worker_enter(w[lane]);
        chi_bulk_wait(&w[lane]->rctx, &job->task, &job->in, IN, told);
        worker_enter(w[0]);
        assert_int_equal(tolds, 0);
        turns();
        assert_int_equal(tolds, 1);
        assert_int_equal(last, CHI_STATUS_DEADLINE);
        turns();
        assert_int_equal(w[0]->tasks.out, 0);
        runs = tolds = 0;
    }
}

static enum chi_status push_9000(struct job *t, struct chi_rctx *r)
{
    memset(t->out.ptr, 0x77, 9000);
    assert_int_equal(chi_bulk_push(r, &t->task, &t->out, 9000), CHI_STATUS_OK);
    chi_bulk_wait(r, &t->task, &t->in, IN, told);
    return CHI_STATUS_PENDING;
}
static enum chi_status end_12000(struct job *t, struct chi_rctx *r)
{
    (void)r;
    memset((uint8_t *)t->out.ptr + 9000, 0x78, 3000);
    t->out.used = 12000;
    return CHI_STATUS_OK;
}

/* The origin sends nothing any more while the pushed bytes arrive there. */
static void push__arrives_before_the_end(void **state)
{
    (void)state;
    for (uint64_t lane = 0; lane < 2; lane++) {
        static struct packets kept;
        on_run = push_9000;
        on_told = end_12000;
        send(lane, UINT64_MAX);
        until_it_runs();
        kept = far.sent;
        far.sent.count = 0;
        for (int i = 0; i < 20; i++) {
            turns();
            while (pass(&near, &far))
                ;
        }
        assert_int_equal(tolds, 0);
        assert_int_equal(done.kind, 0);
        for (int i = 0; i < OUT_BYTES; i++)
            assert_int_equal(out[i], i < 9000 ? 0x77 : 0);
        far.sent = kept;
        settle();
        assert_int_equal(tolds, 1);
        assert_int_equal(done.status, CHI_STATUS_OK);
        assert_int_equal(regions[2].used, 12000);
        for (int i = 0; i < OUT_BYTES; i++)
            assert_int_equal(out[i], i < 9000 ? 0x77 : i < 12000 ? 0x78 : 0);
        runs = tolds = 0;
    }
}

static void nothing(void *worker, void *arg) { (void)worker, (void)arg; }

/* With the ring to the home worker full a push goes with the answer, and a wait waits for room. */
static void full_ring__delays_and_loses_nothing(void **state)
{
    (void)state;
    on_run = park;
    on_told = end_12000;
    send(1, UINT64_MAX);
    until_it_runs();
    struct ring *r = w[0]->in[1];
    struct ring_item it = {.kind = RING_CALL, .fn = nothing};
    while (ring_try_put(r, &it))
        ;
    worker_enter(w[1]);
    assert_int_equal(push_9000(job, &w[1]->rctx), CHI_STATUS_PENDING);
    worker_enter(w[0]);
    assert_int_equal(w[1]->stats.overflows, 1);
    turn(0);
    for (int i = 0; i < 100; i++)
        settle();
    assert_int_equal(tolds, 1);
    assert_int_equal(done.status, CHI_STATUS_OK);
    for (int i = 0; i < OUT_BYTES; i++)
        assert_int_equal(out[i], i < 9000 ? 0x77 : i < 12000 ? 0x78 : 0);
}

static enum chi_status push_wrong(struct job *t, struct chi_rctx *r)
{
    uint64_t there = chi_bulk_ready(r, &t->task, &t->both);
    assert_true(there < t->both.size);
    assert_int_equal(chi_bulk_ready(r, &t->task, &t->out), OUT_BYTES);
    assert_int_equal(chi_bulk_push(r, &t->task, &t->out, OUT_BYTES + 1), CHI_STATUS_INVALID);
    assert_int_equal(chi_bulk_push(r, &t->task, &t->both, there + 1), CHI_STATUS_INVALID);
    assert_int_equal(chi_bulk_push(r, &t->task, &t->in, 1), CHI_STATUS_INVALID);
    assert_int_equal(chi_bulk_push(r, &t->task, &t->both, there), CHI_STATUS_OK);
    t->both.used = there;
    return CHI_STATUS_OK;
}
static void push__of_what_cannot_go_is_refused(void **state)
{
    (void)state;
    for (uint64_t lane = 0; lane < 2; lane++) {
        on_run = push_wrong;
        send(lane, UINT64_MAX);
        until_it_runs();
        settle();
        assert_int_equal(done.status, CHI_STATUS_OK); /* what was refused did nothing */
        runs = 0;
    }
}

static enum chi_status push_and_fail(struct job *t, struct chi_rctx *r)
{
    assert_int_equal(chi_bulk_push(r, &t->task, &t->out, 9000), CHI_STATUS_OK);
    t->out.used = 9000;
    return CHI_STATUS_MODULE;
}
static enum chi_status push_and_use_less(struct job *t, struct chi_rctx *r)
{
    assert_int_equal(chi_bulk_push(r, &t->task, &t->out, 9000), CHI_STATUS_OK);
    t->out.used = 8999;
    return CHI_STATUS_OK;
}
static void push__then_failure_gives_no_length(void **state)
{
    (void)state;
    const struct { step_fn fn; enum chi_status st; } cases[] = {{push_and_fail, CHI_STATUS_MODULE}, {push_and_use_less, CHI_STATUS_INVALID}};
    for (int i = 0; i < 4; i++) {
        on_run = cases[i / 2].fn;
        send(i % 2, UINT64_MAX);
        settle();
        assert_int_equal(done.status, cases[i / 2].st);
        assert_int_equal(regions[2].used, 0);
        runs = 0;
    }
}

static void complete_it(void) { chi_complete(&w[0]->rctx, &job->task, CHI_STATUS_OK); }
static void wait_too(void) { chi_bulk_wait(&w[0]->rctx, &job->task, &job->in, 1, told); }
static void push_now(void) { (void)!chi_bulk_push(&w[0]->rctx, &job->task, &job->out, 1); }
static void ask_foreign(void) { chi_bulk_ready(&w[0]->rctx, &job->task, &(struct chi_bulk){form, 5, 0}); }

static void misuse__of_a_task_that_waits_is_found(void **state)
{
    (void)state;
    on_run = wait_all;
    on_told = give_back;
    send(0, UINT64_MAX);
    until_it_runs();
    assert_true(panics(complete_it));
    assert_true(panics(wait_too));
    assert_true(panics(push_now));
    assert_true(panics(ask_foreign));
    settle();
    assert_int_equal(done.status, CHI_STATUS_OK);
}

/* A task of this node has its submitter's memory: the same module runs, and nothing is to come. */
static enum chi_status ended;
static uint64_t used;
static void local_done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    ended = task->status;
    used = ((struct job *)task)->out.used;
    chi_task_del(r, task);
}
static enum chi_status local_run(struct job *t, struct chi_rctx *r)
{
    assert_int_equal(chi_bulk_ready(r, &t->task, &t->in), IN);
    assert_int_equal(chi_bulk_push(r, &t->task, &t->out, OUT_BYTES + 1), CHI_STATUS_INVALID);
    return push_9000(t, r);
}
static void local__is_whole_from_the_start(void **state)
{
    (void)state;
    for (uint64_t lane = 0; lane < 2; lane++) {
        on_run = local_run;
        on_told = end_12000;
        struct job *t = (struct job *)chi_task_new(&w[0]->rctx, &job_method);
        t->task.pool = POOL;
        t->task.query = chi_local();
        t->lane = lane;
        t->in = (struct chi_bulk){in, IN, 0};
        t->out = (struct chi_bulk){out, OUT_BYTES, 0};
        ended = CHI_STATUS_PENDING;
        chi_task_submit(&w[0]->rctx, &t->task, local_done, NULL);
        for (int i = 0; i < 4; i++)
            turns();
        assert_int_equal(tolds, 1);
        assert_int_equal(last, CHI_STATUS_OK);
        assert_int_equal(ended, CHI_STATUS_OK);
        assert_int_equal(used, 12000);
        assert_true(out[8999] == 0x77 && out[11999] == 0x78);
        runs = tolds = 0;
    }
}

/* The endpoint judges no more of a form than its regions. */
static void form__that_is_none_is_answered(void **state)
{
    (void)state;
    static const unsigned at[] = {10, 12, 8, 24, 0}; /* query kind, its count, method, schema, pool */
    static const enum chi_status want[] = {CHI_STATUS_ARCHIVE, CHI_STATUS_ARCHIVE, CHI_STATUS_NO_METHOD, CHI_STATUS_SCHEMA, CHI_STATUS_NO_POOL};
    for (unsigned i = 0; i < sizeof at / sizeof at[0]; i++) {
        send(0, UINT64_MAX / 2);
        form[at[i]] ^= 0x0f;
        for (int k = 0; k < 100 && done.kind == 0; k++) {
            far_turn();
            pass(&far, &near);
            turns();
        }
        assert_int_equal(done.kind, XFER_DONE);
        assert_int_equal(done.status, want[i]);
    }
    assert_int_equal(runs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(wait__ends_when_so_much_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(wait__goes_on_where_it_began_when_its_lane_moved, setup, teardown),
        cmocka_unit_test_setup_teardown(wait__for_what_is_there_is_told_later, setup, teardown),
        cmocka_unit_test_setup_teardown(wait__that_nobody_serves_is_told_why_and_ends_once, setup, teardown),
        cmocka_unit_test_setup_teardown(wait__after_the_end_is_told_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(push__arrives_before_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(full_ring__delays_and_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(push__of_what_cannot_go_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(push__then_failure_gives_no_length, setup, teardown),
        cmocka_unit_test_setup_teardown(misuse__of_a_task_that_waits_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(local__is_whole_from_the_start, setup, teardown),
        cmocka_unit_test_setup_teardown(form__that_is_none_is_answered, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
