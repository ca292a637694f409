/* Parts of tasks for several containers, from and to a node that says what it likes. */
#include "worker_ends.h"
#include "archive/form.h"
#include "sched/spread.h"
#include "wire/le.h"

enum { RECORDS = 64 };
struct job {
    struct chi_task task;
    uint64_t value, twice;
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, value), CHI_OUT(U64, struct job, twice)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);
static const struct chi_pool_id POOL = {100, 0}, OUT_POOL = {2, 0};
static unsigned runs;

static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct job *t = (struct job *)task;
    (void)r;
    runs++;
    t->twice = 2 * t->value + chi_container_id(c);
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1, .init = init, .run = run};
static void away(struct chi_container *c, struct chi_task **tasks, unsigned n, struct chi_rctx *r)
{
    (void)c;
    for (unsigned i = 0; i < n; i++)
        worker_send_away_st(r->worker, task_of(tasks[i]));
}
static struct chi_chimod queue;
static const struct sched_pool *pool;

static int setup(void **state)
{
    (void)state;
    rt = support_runtime(2, RECORDS, NULL);
    w[0] = rt->worker[0];
    w[1] = rt->worker[1];
    queue = remote_queue;
    queue.run_many = away;
    support_pool(rt, &queue, OUT_POOL, 1);
    pool = support_pool(rt, &jobs, POOL, 2); /* containers 0 and 1 are here, 2 and 3 on node 2 */
    end_make(&near, 1);
    end_make(&far, 2);
    w[0]->xfer = near.x;
    runs = 0;
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    settle();
    w[0]->xfer = NULL;
    assert_int_equal(near.memory_out, 0);
    support_end(rt);
    free(near.memory);
    free(far.memory);
    return 0;
}

/* The far node sends a part; its answer is in `done`. */
static void send(struct chi_query q)
{
    static uint8_t form[256];
    static struct xfer_out m;
    struct job t = {.task = {.pool = POOL, .query = chi_local(), .method = &job_method}, .value = 20};
    struct chi_ar_region regions[CHI_REGIONS_MAX];
    uint32_t n;
    enum chi_status st;
    struct form_head h;
    size_t length = form_save(form, sizeof form, &t.task, regions, &n, NULL, NULL, &st);
    assert_int_equal(form_decode(form, length, &h), CHI_DROP_NONE);
    h.query = q;
    form_encode(form, &h);
    memset(&done, 0, sizeof done);
    m = (struct xfer_out){.form = form, .form_length = (uint32_t)length, .deadline_ns = net_now_ns() + 60000000000};
    xfer_send(far.x, 1, &m, net_now_ns());
    while (!done.kind)
        settle();
}

static void part__is_run_and_answers_outputs_and_statuses(void **state)
{
    (void)state;
    send(spread_query(pool->table, &(struct spread){0, 4, 0, 1}));
    assert_int_equal(done.status, CHI_STATUS_OK);
    assert_int_equal(done.length, 8 + 2 * 2);
    assert_int_equal(le64_get(done.bytes), 40);
    assert_int_equal(le16_get(done.bytes + 8) + le16_get(done.bytes + 10), 0);
    assert_int_equal(runs, 2);
    send(spread_query(pool->table, &(struct spread){1, 1, 0, 1}));
    assert_int_equal(done.length, 8 + 2);
    assert_int_equal(le64_get(done.bytes), 41);
    assert_int_equal(runs, 3);
}

static void part__that_is_none_runs_nothing(void **state)
{
    static const struct { struct spread s; enum chi_status st; } wrong[] = {
        {{0, 4, 0, 3}, CHI_STATUS_NO_CONTAINER}, {{0, 4, 1, 2}, CHI_STATUS_NO_CONTAINER}, {{2, 2, 0, 2}, CHI_STATUS_NO_CONTAINER},
        {{0, 5, 0, 1}, CHI_STATUS_NO_CONTAINER}, {{0, 0, 0, 1}, CHI_STATUS_NO_CONTAINER}};
    (void)state;
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        send(spread_query(pool->table, &wrong[i].s));
        assert_int_equal(done.status, wrong[i].st);
    }
    struct chi_query q = spread_query(pool->table, &(struct spread){0, 4, 0, 1});
    q.count++;
    send(q);
    assert_int_equal(done.status, CHI_STATUS_MOVED);
    send(chi_broadcast()); /* a task travels resolved */
    assert_int_equal(done.status, CHI_STATUS_INVALID);
    send(chi_range(0, 2));
    assert_int_equal(done.status, CHI_STATUS_INVALID);
    assert_int_equal(runs, 0);
}

/* What the far node answers to the next part. */
static struct { enum chi_status st; uint32_t length; uint8_t bytes[64]; } answer;
static struct spread asked;
static void far_answers(void)
{
    struct xfer_event ev;
    while (xfer_next_event(far.x, &ev)) {
        struct form_head h;
        if (ev.kind != XFER_TASK)
            continue;
        assert_int_equal(form_decode(ev.bytes, ev.length, &h), CHI_DROP_NONE);
        assert_int_equal(spread_read(pool->table, &h.query, 2, &asked), CHI_STATUS_OK);
        xfer_answer(far.x, ev.in, &(struct xfer_answer){.status = answer.st, .body = answer.bytes, .body_length = answer.length}, net_now_ns());
    }
}
static int ended;
static void on_done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)r, (void)task, (void)arg;
    ended++;
}
static struct chi_replica each[4];
static enum chi_status ask(struct job *t, struct chi_query q)
{
    static struct chi_replicas to = {each, 4, 0};
    struct chi_rctx *r = &w[0]->rctx;
    t->task.pool = POOL;
    t->task.query = q;
    t->task.replicas = &to;
    t->value = 20;
    t->twice = 0;
    ended = 0;
    r->now_ns = net_now_ns();
    chi_task_submit(r, &t->task, on_done, NULL);
    while (!ended) {
        turns();
        for (struct packets *p = &near.sent; p->count;) {
            (void)xfer_rx(far.x, &(struct xfer_addr){.ip = 1, .port = 7440}, p->bytes[p->first], p->length[p->first], XFER_NOT_ECT, net_now_ns());
            p->first = (p->first + 1) % QUEUE;
            p->count--;
            far_answers();
        }
        xfer_tick(far.x, net_now_ns());
        far_answers();
        xfer_tx(far.x, net_now_ns(), 64);
        while (pass(&far, &near))
            ;
    }
    return (enum chi_status)t->task.status;
}

static void answer__that_is_none_is_no_outputs(void **state)
{
    static const struct {
        enum chi_status st;
        uint32_t length;
        uint16_t status[2];
        enum chi_status want[2];
    } cases[] = {
        {CHI_STATUS_OK, 12, {0, 0}, {CHI_STATUS_OK, CHI_STATUS_OK}},
        {CHI_STATUS_OK, 12, {CHI_STATUS_MODULE, 0}, {CHI_STATUS_MODULE, CHI_STATUS_OK}},
        {CHI_STATUS_OK, 4, {CHI_STATUS_MODULE, CHI_STATUS_MODULE}, {CHI_STATUS_MODULE, CHI_STATUS_MODULE}},
        {CHI_STATUS_OK, 3, {0, 0}, {CHI_STATUS_ARCHIVE, CHI_STATUS_ARCHIVE}},
        {CHI_STATUS_OK, 0, {0, 0}, {CHI_STATUS_ARCHIVE, CHI_STATUS_ARCHIVE}},
        {CHI_STATUS_OK, 12, {CHI_STATUS_PENDING, 0}, {CHI_STATUS_ARCHIVE, CHI_STATUS_ARCHIVE}},
        {CHI_STATUS_OK, 12, {0, 999}, {CHI_STATUS_ARCHIVE, CHI_STATUS_ARCHIVE}},
        {CHI_STATUS_OK, 13, {0, CHI_STATUS_MODULE}, {CHI_STATUS_OK, CHI_STATUS_MODULE}}, /* outputs are the lowest one's, which is here */
        {CHI_STATUS_NO_METHOD, 0, {0, 0}, {CHI_STATUS_NO_METHOD, CHI_STATUS_NO_METHOD}},
    };
    struct job *t = (struct job *)chi_task_new(&w[0]->rctx, &job_method);
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        answer.st = cases[i].st;
        answer.length = cases[i].length;
        memset(answer.bytes, 0xaa, sizeof answer.bytes);
        for (uint32_t k = 0; k < 2 && cases[i].length >= 4; k++)
            le16_put(answer.bytes + cases[i].length - 4 + 2 * k, cases[i].status[k]);
        enum chi_status st = ask(t, chi_broadcast()), want = cases[i].want[0] ? cases[i].want[0] : cases[i].want[1];
        assert_int_equal(st, want);
        assert_int_equal(each[0].status + each[1].status, 0);
        assert_int_equal(each[2].status, cases[i].want[0]);
        assert_int_equal(each[3].status, cases[i].want[1]);
        assert_int_equal(t->twice, 40);
        assert_int_equal(asked.low, 1);
        assert_int_equal(asked.high, 2);
    }
    chi_task_del(&w[0]->rctx, &t->task);
}

/* Of a part whose own outputs would be taken, one that is malformed is no end that did well. */
static void answer__with_outputs_that_are_none_is_an_error(void **state)
{
    struct job *t = (struct job *)chi_task_new(&w[0]->rctx, &job_method);
    (void)state;
    answer.st = CHI_STATUS_OK;
    answer.length = 11; /* 7 of 8 bytes */
    memset(answer.bytes, 0, sizeof answer.bytes);
    assert_int_equal(ask(t, chi_range(2, 2)), CHI_STATUS_ARCHIVE);
    assert_int_equal(each[0].status, CHI_STATUS_ARCHIVE);
    assert_int_equal(each[1].status, CHI_STATUS_ARCHIVE);
    assert_int_equal(each[1].container, 3);
    chi_task_del(&w[0]->rctx, &t->task);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(part__is_run_and_answers_outputs_and_statuses, setup, teardown),
        cmocka_unit_test_setup_teardown(part__that_is_none_runs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(answer__that_is_none_is_no_outputs, setup, teardown),
        cmocka_unit_test_setup_teardown(answer__with_outputs_that_are_none_is_an_error, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
