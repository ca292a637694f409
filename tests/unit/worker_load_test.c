/* What tasks cost: which runs are measured, what the module hears of it, and what is said of the tasks that lie on lanes.  Two workers, whose turns the
 * test takes; no clock has a say in which batch is measured. */
#include <errno.h>

#include "worker_support.h"

enum { RECORDS = 2048, LANES = 4, STACKS = 8 };
enum { WORK = 1, PUT };
static const struct chi_pool_id POOL = {100, 0}, BATCHES = {101, 0};

struct work {
    struct chi_task task;
    uint64_t lane, costs_ns; /* costs_ns: what the module says that it will */
    bool parks, yields, burns;
};
CHI_FIELDS(work_fields) = {CHI_IN(U64, struct work, lane), CHI_IN(U64, struct work, costs_ns)};
CHI_METHOD_VAR(work_method) = CHI_METHOD(WORK, struct work, work_fields);
struct put {
    struct chi_task task;
    struct chi_bulk data;
};
CHI_FIELDS(put_fields) = {CHI_BULK_IN(struct put, data)};
CHI_METHOD_VAR(put_method) = CHI_METHOD(PUT, struct put, put_fields);

static struct runtime *rt;
static struct worker *w;
static struct chi_container *box;
static unsigned ran, ests, samples, fits, bad_tasks;
static enum chi_status est_says;
static struct chi_load last; /* that a mode was told */
static struct chi_task *parked;
static uint64_t went_on_ns;

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, LANES); }
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    bool works = task->method->id == WORK;
    if (mode == CHI_LOCAL_SCHEDULE) {
        chi_rctx_set_lane(r, chi_container_lane(c, 0, works ? (uint32_t)((struct work *)task)->lane : 0));
        return CHI_STATUS_OK;
    }
    last = *chi_rctx_load(r);
    bad_tasks += task->pool.major != POOL.major;
    if (mode == CHI_EST_LOAD) {
        ests++;
        if (works && ((struct work *)task)->costs_ns)
            chi_rctx_load(r)->run_ns = ((struct work *)task)->costs_ns;
        return est_says;
    }
    samples += mode == CHI_SAMPLE_LOAD;
    fits += mode == CHI_REINFORCE_LOAD;
    return CHI_STATUS_MODULE; /* which ends nothing */
}
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct work *t = (struct work *)task;
    (void)c;
    ran++;
    if (task->method->id != WORK)
        return CHI_STATUS_OK;
    if (t->parks) {
        parked = task;
        return CHI_STATUS_PENDING;
    }
    if (t->yields && chi_yield(r) != CHI_STATUS_OK)
        return CHI_STATUS_MODULE;
    if (t->yields)
        went_on_ns = net_now_ns();
    while (t->burns && net_now_ns() < went_on_ns + 2000000)
        ;
    return CHI_STATUS_OK;
}
static void run_many(struct chi_container *c, struct chi_task **tasks, unsigned n, struct chi_rctx *r)
{
    (void)c;
    for (unsigned i = 0; i < n; i++)
        chi_complete(r, tasks[i], CHI_STATUS_OK);
}
static struct chi_method *const methods[] = {&work_method, &put_method};
static const struct chi_chimod works = {.abi = CHI_CHIMOD_ABI, .size = sizeof works, .name = "works", .methods = methods, .nmethods = 2,
                                        .init = init, .run = run, .monitor = monitor};
static const struct chi_chimod batches = {.abi = CHI_CHIMOD_ABI, .size = sizeof batches, .name = "batches", .methods = methods, .nmethods = 2,
                                          .init = init, .run_many = run_many, .monitor = NULL};

static int setup(void **state)
{
    (void)state;
    support_stacks = STACKS;
    rt = support_runtime(2, RECORDS, NULL);
    w = rt->worker[0];
    for (uint32_t i = 0; i < 2; i++) {
        rt->worker[i]->turn_limit_ns = rt->worker[i]->load_long_ns = UINT64_MAX; /* no clock has a say */
        rt->worker[i]->load_often_ns = UINT64_MAX / LOAD_EACH;
        rt->worker[i]->load_from_ns = rt->worker[i]->rctx.now_ns; /* not since the machine's start */
    }
    box = support_pool(rt, &works, POOL, 1)->local;
    support_pool(rt, &batches, BATCHES, 1);
    ran = ests = samples = fits = bad_tasks = 0;
    est_says = CHI_STATUS_OK;
    parked = NULL;
    return 0;
}
static void turns(unsigned n)
{
    while (n-- > 0)
        for (uint32_t i = 0; i < 2; i++) {
            worker_enter(rt->worker[i]);
            support_turn(rt->worker[i]);
        }
    worker_enter(w);
}
static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 1000 && w->tasks.out; i++)
        turns(1);
    support_end(rt);
    return 0;
}
static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    chi_task_del(r, task);
}
static struct work *work(uint64_t lane)
{
    struct work *t = (struct work *)chi_task_new(&w->rctx, &work_method);
    assert_non_null(t);
    t->task.pool = POOL;
    t->task.query = chi_local();
    t->lane = lane;
    return t;
}
static void submit(struct work *t) { chi_task_submit(&w->rctx, &t->task, done, NULL); }
static void submit_some(unsigned n)
{
    while (n-- > 0)
        submit(work(0));
}
static struct load_key of(uint16_t method, uint16_t size_class) { return (struct load_key){POOL.major, POOL.minor, method, size_class}; }
static uint64_t measured(uint16_t method, uint16_t size_class)
{
    const struct load_key k = of(method, size_class);
    return load_measured(&w->load, &k);
}
static struct load_sum sum_of(uint16_t method)
{
    struct load_sum s[16];
    const struct load_model *m = &w->load;
    unsigned n = load_merge(&m, 1, s, 16), i = 0;
    while (i < n && s[i].key.method != method)
        i++;
    assert_true(i < n);
    return s[i];
}

static void measure__each_run_of_one_batch_in_many(void **state)
{
    (void)state;
    submit_some(5);
    turns(1);
    assert_int_equal(measured(WORK, 0), 5); /* the first one */
    for (int i = 0; i < LOAD_EACH - 1; i++) {
        submit_some(2);
        turns(1);
        assert_int_equal(measured(WORK, 0), 5);
    }
    submit_some(2);
    turns(1);
    assert_int_equal(measured(WORK, 0), 7);
    assert_int_equal(sum_of(WORK).tasks, 5 + 2 * LOAD_EACH); /* all that ran */
    assert_int_equal(ran, 5 + 2 * LOAD_EACH);
    assert_int_equal(w->stats.measured, 7);
    assert_true(sum_of(WORK).mean_ns > 0);
}

/* Where batches are rare, one in a quarter of a second at least. */
static void measure__rare_batches_all(void **state)
{
    (void)state;
    w->load_often_ns = 1;
    for (int i = 0; i < 20; i++) {
        submit_some(1);
        turns(1);
        assert_int_equal(measured(WORK, 0), i + 1);
    }
    assert_int_equal(sum_of(WORK).tasks, 20);
}

/* Of turns behind a short one each 16th is timed, by chance, and counts for 16; each one behind a long one. */
static void lanes__are_timed_by_chance(void **state)
{
    enum { TURNS = 160000 };
    (void)state;
    uint64_t sum = 0, in_a_row = 0, most = 0;
    w->lanes_each = WORKER_TIMED_EACH;
    for (unsigned i = 0; i < TURNS; i++) {
        lanes_draw(w, WORKER_LONG_TURN_NS);
        assert_true(w->lanes_weight == 0 || w->lanes_weight == WORKER_TIMED_EACH);
        sum += w->lanes_weight;
        in_a_row = w->lanes_weight ? in_a_row + 1 : 0;
        most = in_a_row > most ? in_a_row : most;
    }
    assert_in_range(sum, TURNS * 0.95, TURNS * 1.05);
    assert_true(most >= 2); /* no rhythm */
    for (unsigned i = 0; i < 100; i++) {
        lanes_draw(w, WORKER_LONG_TURN_NS + 1);
        assert_int_equal(w->lanes_weight, 1);
    }
}

/* Behind a long one it is not long until the next, and none is counted twice or not at all. */
static void measure__soon_after_a_long_batch(void **state)
{
    (void)state;
    submit_some(1);
    turns(1);
    w->load_long_ns = 0; /* each is */
    for (int i = 0; i < 400; i++) {
        submit_some(1);
        turns(1);
    }
    assert_in_range(measured(WORK, 0), 1 + 400 / 8, 401);
    uint64_t since = w->load_each - w->load_left; /* that the next one will stand for */
    assert_int_equal(sum_of(WORK).tasks + since, 401);
}

static void measure__by_size(void **state)
{
    static uint8_t bytes[3000];
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct put *t = (struct put *)chi_task_new(&w->rctx, &put_method);
        t->task.pool = POOL;
        t->task.query = chi_local();
        t->data = (struct chi_bulk){.ptr = bytes, .size = i ? sizeof bytes : 0};
        w->load_left = w->load_each = 1;
        chi_task_submit(&w->rctx, &t->task, done, NULL);
        turns(1);
        assert_int_equal(last.bytes, i ? 3000 : 0);
    }
    assert_int_equal(measured(PUT, 0), 1);
    assert_int_equal(measured(PUT, 12), 1);
}

static void sample__is_told_and_every_64th_time_to_fit(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 4 * LOAD_REINFORCE; i++) {
        w->load_left = w->load_each = 1;
        submit_some(1);
        turns(1);
        assert_int_equal(samples, i);
        assert_int_equal(fits, i / LOAD_REINFORCE);
        assert_true(last.run_ns > 0);
    }
    assert_int_equal(ests, 0); /* nobody asked */
    assert_int_equal(bad_tasks, 0);
    turns(2);
    assert_int_equal(w->stats.tasks_module, 4 * LOAD_REINFORCE); /* what the monitor answered ended nothing otherwise */
}

/* What a task does after its first wait does not count: so its lane is charged too. */
static void sample__until_it_waits(void **state)
{
    (void)state;
    struct work *t = work(0);
    uint64_t before_ns = net_now_ns();
    t->yields = t->burns = true;
    submit(t);
    submit_some(1); /* which is not measured: the batch is over with the wait */
    turns(3);
    assert_int_equal(ran, 2);
    assert_int_equal(samples, 1);
    assert_true(sum_of(WORK).run_ns <= went_on_ns - before_ns && last.run_ns == sum_of(WORK).run_ns);
    assert_null(w->measured);
}

static void sample__not_of_what_may_be_gone_or_never_ran(void **state)
{
    (void)state;
    struct work *t = work(0);
    t->parks = true;
    submit(t);
    turns(1);
    assert_true(measured(WORK, 0) == 1 && samples == 0);
    chi_complete(&w->rctx, parked, CHI_STATUS_OK);
    turns(1);
    assert_int_equal(samples, 0);
    t = work(0);
    t->task.timeout_us = 1;
    w->load_left = w->load_each = 1;
    submit(t);
    w->rctx.now_ns += 2000;
    while (net_now_ns() < w->rctx.now_ns)
        ;
    turns(1);
    assert_int_equal(ran, 1); /* it was too late */
    assert_true(measured(WORK, 0) == 1 && samples == 0);
}

static void sample__run_many_as_one(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++) {
        struct work *t = work(0);
        t->task.pool = BATCHES;
        t->task.query = chi_hash(0);
        submit(t);
    }
    turns(1);
    const struct load_key k = {BATCHES.major, BATCHES.minor, LOAD_BATCH, 0};
    assert_int_equal(load_measured(&w->load, &k), 1);
    assert_int_equal(sum_of(LOAD_BATCH).tasks, 7);
    assert_int_equal(measured(WORK, 0), 0);
}

/* --- estimates */

static struct chi_lane *lane(uint32_t k) { return chi_container_lane(box, 0, k); }
static void look(void)
{
    runtime_ask_load(rt);
    for (uint32_t i = 0; i < 2; i++) {
        worker_enter(rt->worker[i]);
        route_inbox(rt->worker[i]); /* no lane runs */
    }
    worker_enter(w);
}
/* The worker has seen one run of so long. */
static void seen(uint16_t method, uint64_t ns)
{
    const struct load_key k = of(method, 0);
    load_add(&w->load, &k, ns, 0, 1);
}

static void estimate__by_default_is_the_mean(void **state)
{
    (void)state;
    est_says = CHI_STATUS_UNSUPPORTED;
    submit_some(10);
    look();
    assert_int_equal(lane(0)->each_ns, 0); /* nothing is known */
    seen(WORK, 5000);
    look();
    assert_int_equal(lane(0)->each_ns, 5000);
    assert_int_equal(last.run_ns, 5000);
    assert_int_equal(lane_queued_ns(lane(0)), 50000);
    turns(1);
    assert_int_equal(lane_queued_ns(lane(0)), 0); /* they ran */
}

static void estimate__of_the_module_is_better(void **state)
{
    (void)state;
    seen(WORK, 5000);
    for (int i = 0; i < 20; i++) {
        struct work *t = work(0);
        t->costs_ns = i < 4 ? 1000 : 3000;
        submit(t);
    }
    look();
    assert_int_equal(ests, LOAD_LOOK); /* so many speak for all */
    assert_int_equal(lane(0)->each_ns, 2000);
    assert_int_equal(lane_queued_ns(lane(0)), 40000);
    est_says = CHI_STATUS_MODULE; /* as if it had said nothing */
    look();
    assert_int_equal(lane(0)->each_ns, 5000);
    assert_int_equal(bad_tasks, 0);
    est_says = CHI_STATUS_OK;
    struct work *t = work(2);
    t->costs_ns = UINT64_MAX;
    submit(t);
    look();
    assert_int_equal(lane(2)->each_ns, LOAD_RUN_MAX_NS);
}

static void estimate__is_asked_for_once_at_a_time(void **state)
{
    (void)state;
    submit_some(1);
    for (int i = 0; i < 3 * WORKER_RING_SLOTS; i++)
        runtime_ask_load(rt);
    turns(1);
    assert_int_equal(ests, 1);
    submit_some(1);
    look();
    assert_int_equal(ests, 2);
}

/* Two lanes of worker 0 with long queues of what takes long: one goes to the other worker, and nothing has run. */
static void balance__moves_a_queue_before_it_ran(void **state)
{
    (void)state;
    const uint64_t second = 1000000000;
    rt->call_limit_ns = 0; /* the owner begins when it turns */
    for (int i = 0; i < 100; i++) {
        struct work *t = work(i % 2 * 2);
        t->costs_ns = 10000000;
        submit(t);
    }
    assert_true(lane_owner(lane(0)) == 0 && lane_owner(lane(2)) == 0);
    assert_int_equal(runtime_balance(rt, second), 0); /* asks */
    route_inbox(w);
    assert_int_equal(runtime_balance(rt, second + BALANCE_MS * UINT64_C(1000000)), -ETIMEDOUT);
    route_inbox(w);
    assert_true((lane_owner(lane(0)) == 0) != (lane_owner(lane(2)) == 0));
    assert_int_equal(ran, 0);
    turns(20);
    assert_int_equal(ran, 100);
    move_reap(rt, false);
    assert_null(rt->moves);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(measure__each_run_of_one_batch_in_many), TEST(measure__rare_batches_all), TEST(lanes__are_timed_by_chance), TEST(measure__soon_after_a_long_batch), TEST(measure__by_size),
        TEST(sample__is_told_and_every_64th_time_to_fit), TEST(sample__until_it_waits), TEST(sample__not_of_what_may_be_gone_or_never_ran),
        TEST(sample__run_many_as_one), TEST(estimate__by_default_is_the_mean), TEST(estimate__of_the_module_is_better),
        TEST(estimate__is_asked_for_once_at_a_time), TEST(balance__moves_a_queue_before_it_ran),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
