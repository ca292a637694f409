/* Latency and throughput lanes of one worker whose turns the test takes: who goes first, how much the others get, and that neither starves. */
#include "worker_support.h"

enum { RECORDS = 8192, MANY = 3000, CLOCK = 8 /* lanes.c, CLOCK_EACH */ };
static const struct chi_pool_id POOL = {100, 0};

struct job {
    struct chi_task task;
    uint64_t queue, lane, yields;
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, queue), CHI_IN(U64, struct job, lane), CHI_IN(U64, struct job, yields)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static struct runtime *rt;
static struct worker *w;
static uint64_t ran[2][2];
static bool looks, behind; /* at the order; a throughput task ran already */

static enum chi_status init(struct chi_container *c)
{
    enum chi_status st = chi_container_create_queue_as(c, 0, &(struct chi_queue_options){.lanes = 2, .lane_class = CHI_LANE_LATENCY});
    if (st == CHI_STATUS_OK)
        st = chi_container_create_queue_as(c, 1, &(struct chi_queue_options){.lanes = 2, .lane_class = CHI_LANE_THROUGHPUT});
    assert_int_equal(chi_container_create_queue_as(c, 2, &(struct chi_queue_options){.lanes = 2, .lane_class = 2}), CHI_STATUS_INVALID);
    return st;
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    const struct job *t = (struct job *)task;
    (void)mode;
    chi_rctx_set_lane(r, chi_container_lane(c, (uint32_t)t->queue, (uint32_t)t->lane));
    return CHI_STATUS_OK;
}
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    const struct job *t = (struct job *)task;
    (void)c;
    ran[t->queue][t->lane]++;
    assert_false(looks && behind && t->queue == 0); /* latency lanes go first */
    behind |= t->queue == 1;
    return t->yields ? chi_yield(r) : CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1,
                                       .init = init, .run = run, .monitor = monitor};

static int setup(void **state)
{
    (void)state;
    support_stacks = 64;
    rt = support_runtime(1, RECORDS, NULL);
    w = rt->worker[0];
    w->turn_limit_ns = UINT64_MAX; /* no clock has a say */
    support_pool(rt, &jobs, POOL, 1);
    memset(ran, 0, sizeof ran);
    return 0;
}
static void turns(unsigned n)
{
    while (n-- > 0)
        if (w->loop == &w->fibers.home)
            worker_turn(w);
        else
            support_turn(w);
}
static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 10000 && w->tasks.out; i++)
        turns(1);
    support_end(rt);
    return 0;
}
static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    chi_task_del(r, task);
}
static void submit(uint64_t queue, uint64_t lane, unsigned n, bool yields)
{
    while (n-- > 0) {
        struct job *t = (struct job *)chi_task_new(&w->rctx, &job_method);
        assert_non_null(t);
        t->task.pool = POOL;
        t->task.query = chi_local();
        t->queue = queue;
        t->lane = lane;
        t->yields = yields;
        chi_task_submit(&w->rctx, &t->task, done, NULL);
    }
}

/* The lanes' part of a turn, which has one or two of them. */
static void run_once(void)
{
    behind = false;
    looks = true;
    lanes_run(w);
    looks = false;
}

static void lanes__share_by_the_weight(void **state)
{
    static const uint32_t weights[] = {1, 4, 5, 16, 100};
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        setup(state);
        w->latency_weight = weights[i];
        submit(0, 0, MANY, false);
        submit(1, 0, MANY, false);
        uint64_t most = 0;
        for (int turn = 0; turn < 80; turn++) {
            uint64_t before = ran[1][0];
            run_once();
            most = ran[1][0] - before > most ? ran[1][0] - before : most;
        }
        assert_int_equal(ran[0][0], 80 * WORKER_LANE_BUDGET); /* as without the others */
        uint64_t share = ran[0][0] / weights[i];
        assert_true(ran[1][0] <= share && ran[1][0] + CLOCK + WORKER_LANE_BUDGET / weights[i] >= share);
        assert_true(most <= (weights[i] < 4 ? WORKER_LANE_BUDGET / weights[i] : 2 * CLOCK)); /* in small parts */
        teardown(state);
    }
}

static void lanes__of_one_class_run_as_ever(void **state)
{
    (void)state;
    for (uint64_t q = 0; q < 2; q++) {
        submit(q, 0, 100, false);
        submit(q, 1, 100, false);
        run_once();
        assert_true(ran[q][0] == WORKER_LANE_BUDGET && ran[q][1] == WORKER_LANE_BUDGET);
        turns(10);
        assert_true(ran[q][0] == 100 && ran[q][1] == 100);
    }
}

/* A little for latency does not keep throughput at one task a turn, and its lanes share. */
static void lanes__with_little_for_latency_give_a_batch(void **state)
{
    (void)state;
    submit(1, 0, 500, false);
    submit(1, 1, 500, false);
    for (int turn = 0; turn < 40; turn++) {
        submit(0, 0, 1, false);
        run_once();
        assert_int_equal(ran[0][0], turn + 1);
        assert_int_equal(ran[1][0] + ran[1][1], (turn + 1) * CLOCK);
    }
    assert_int_equal(ran[1][0], ran[1][1]);
}

/* Latency tasks so long that they fill each turn: by number the others get theirs. */
static void lanes__of_long_tasks_starve_nobody(void **state)
{
    (void)state;
    w->turn_limit_ns = 0;
    submit(0, 0, 1000, false);
    submit(1, 0, 1000, false);
    for (int turn = 0; turn < 80; turn++) {
        w->turn_over = false;
        run_once();
        assert_true(w->turn_over); /* for who comes after: ports and clients */
        run_once(); /* in the same turn: nothing */
    }
    assert_int_equal(ran[0][0], 80 * CLOCK);
    assert_int_equal(ran[1][0], 80 * CLOCK / 4);
}

/* Throughput tasks that wait: what they may run does not pile up, and both classes go on. */
static void lanes__whose_tasks_wait_starve_nobody(void **state)
{
    (void)state;
    submit(0, 0, 2000, false);
    submit(1, 0, 40, true);
    submit(1, 0, 1000, false);
    support_turn(w);
    assert_true(ran[0][0] >= 40 * CLOCK && ran[1][0] > 40);
    assert_true(ran[1][0] <= 40 + WORKER_LANE_BUDGET + 2 * CLOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes__share_by_the_weight),
        cmocka_unit_test_setup_teardown(lanes__of_one_class_run_as_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(lanes__with_little_for_latency_give_a_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(lanes__of_long_tasks_starve_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(lanes__whose_tasks_wait_starve_nobody, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
