/* Tasks that wait: for subtasks, for a time, for others; on one worker whose turns the test takes, and on two with threads. */
#include "base/prng.h"
#include "panics.h"
#include "worker_support.h"

enum { RECORDS = 1024, STACKS = 300 };
static const struct chi_pool_id POOL = {100, 0};

struct job {
    struct chi_task task;
    uint64_t number, sum;
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, number), CHI_OUT(U64, struct job, sum)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static struct runtime *rt;
static struct worker *w;
static enum chi_status (*on_run)(struct job *t, struct chi_rctx *r);
static unsigned runs, dones;
static enum chi_status last;
static uint64_t last_sum, sums;
static char said[128];
static void say(uint64_t c)
{
    said[strlen(said)] = (char)c;
}

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, chi_container_workers(c)); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c;
    __atomic_fetch_add(&runs, 1, __ATOMIC_RELAXED);
    return on_run((struct job *)task, r);
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    (void)mode;
    chi_rctx_set_lane(r, chi_container_lane_by_hash(c, 0, ((struct job *)task)->number));
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {
    .abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1, .init = init, .run = run, .monitor = monitor};

static void start(uint32_t workers, uint32_t stacks)
{
    support_stacks = stacks;
    rt = support_runtime(workers, RECORDS, NULL);
    w = rt->worker[0];
    support_pool(rt, &jobs, POOL, 1);
    runs = dones = 0;
    memset(said, 0, sizeof said);
}

static struct chi_task *job_new(struct chi_rctx *r, uint64_t number)
{
    struct job *t = (struct job *)chi_task_new(r, &job_method);
    assert_non_null(t);
    t->task.pool = POOL;
    t->task.query = chi_local();
    t->number = number;
    return &t->task;
}
static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    enum chi_status st = task->status;
    __atomic_store_n(&last, st, __ATOMIC_RELAXED);
    __atomic_store_n(&last_sum, ((struct job *)task)->sum, __ATOMIC_RELAXED);
    __atomic_fetch_add(&sums, st == CHI_STATUS_OK ? ((struct job *)task)->sum : 0, __ATOMIC_RELAXED);
    __atomic_fetch_add(&dones, 1, __ATOMIC_RELEASE);
    chi_task_del(r, task);
}
static void root(uint64_t number) { chi_task_submit(&w->rctx, job_new(&w->rctx, number), done, NULL); }
static void turn_until(unsigned want)
{
    for (int i = 0; i < 10000 && dones < want; i++)
        support_turn(w);
    assert_int_equal(dones, want);
}
static void end(void)
{
    assert_int_equal(w->fibers.out, w->loop != &w->fibers.home); /* the loop's stack alone */
    support_end(rt);
}

/* --- subtasks */

/* number N: N subtasks of 0, waited for together; their sums and one more. */
static enum chi_status sum_up(struct job *t, struct chi_rctx *r)
{
    struct chi_task *sub[64] = {0};
    unsigned n = (unsigned)t->number % 100;
    t->sum = 1;
    say('0' + t->number);
    for (unsigned i = 0; i < n; i++) {
        sub[i] = job_new(r, 0);
        chi_task_submit(r, sub[i], NULL, NULL);
    }
    enum chi_status st = chi_task_wait(r, sub, n);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(sub[i]->status, CHI_STATUS_OK);
        t->sum += ((struct job *)sub[i])->sum;
        chi_task_del(r, sub[i]);
    }
    say('a' + t->number);
    return st;
}

static void wait__ends_when_all_subtasks_have(void **state)
{
    (void)state;
    start(1, 1);
    on_run = sum_up;
    root(3);
    root(0); /* behind it on the same lane: it need not wait for it */
    turn_until(2);
    assert_int_equal(last_sum, 4);
    assert_int_equal(last, CHI_STATUS_OK);
    assert_int_equal(runs, 5);
    assert_string_equal(said, "30a0a0a0ad");
    assert_true(w->stats.waits == 1 && w->stats.stacks_most == 2); /* and the loop's */
    assert_int_equal(w->stats.tasks_run, 5);
    end();
}

static enum chi_status wait_late(struct job *t, struct chi_rctx *r)
{
    if (!t->number)
        return CHI_STATUS_MODULE;
    struct chi_task *sub[2] = {job_new(r, 0), job_new(r, 0)};
    sub[1]->pool = (struct chi_pool_id){99, 0}; /* it ends while it is submitted */
    chi_task_submit(r, sub[1], NULL, NULL);
    assert_int_equal(chi_task_wait(r, sub + 1, 1), CHI_STATUS_OK);
    assert_int_equal(w->stats.waits, 0);
    chi_task_submit(r, sub[0], NULL, NULL);
    assert_int_equal(chi_yield(r), CHI_STATUS_OK); /* it ends meanwhile */
    assert_int_equal(chi_task_wait(r, sub, 2), CHI_STATUS_OK);
    assert_int_equal(w->stats.waits, 1);
    assert_int_equal(chi_task_wait(r, sub, 0), CHI_STATUS_OK);
    assert_int_equal(sub[0]->status, CHI_STATUS_MODULE);
    assert_int_equal(sub[1]->status, CHI_STATUS_NO_POOL);
    chi_task_del(r, sub[0]);
    chi_task_submit(r, sub[1], NULL, NULL); /* the same once more */
    assert_int_equal(chi_task_wait(r, sub + 1, 1), CHI_STATUS_OK);
    chi_task_del(r, sub[1]);
    return CHI_STATUS_OK;
}

static void wait__for_what_has_ended_does_not_wait(void **state)
{
    (void)state;
    start(1, 1);
    on_run = wait_late;
    root(1);
    turn_until(1);
    assert_int_equal(last, CHI_STATUS_OK);
    end();
}

/* number 1: ends without waiting for what it submitted, of which some ended, some run, some have not begun; 3: so does one that it lets run meanwhile. */
static struct chi_task *still_out;
static enum chi_status never_wait(struct job *t, struct chi_rctx *r)
{
    if (!t->number)
        return CHI_STATUS_OK;
    if (t->number == 2) {
        still_out = &t->task;
        return CHI_STATUS_PENDING;
    }
    struct chi_task *sub[5];
    for (unsigned i = 0; i < 4; i++) {
        sub[i] = job_new(r, i == 1 ? 2 : 0);
        if (i == 2)
            sub[i]->pool = (struct chi_pool_id){99, 0};
        chi_task_submit(r, sub[i], NULL, NULL);
    }
    assert_int_equal(chi_yield(r), CHI_STATUS_OK);
    assert_int_equal(sub[0]->status, CHI_STATUS_OK); /* looked at, and not waited for */
    assert_int_equal(sub[1]->status, CHI_STATUS_PENDING);
    if (t->number == 3)
        assert_int_equal(chi_task_wait(r, &sub[3], 1), CHI_STATUS_OK);
    if (t->number == 3)
        chi_task_del(r, sub[3]);
    sub[4] = job_new(r, 0); /* not begun */
    chi_task_submit(r, sub[4], NULL, NULL);
    chi_task_del(r, sub[2]); /* it ended: the caller's */
    return CHI_STATUS_OK;
}

static void wait__for_nothing_gives_up(void **state)
{
    (void)state;
    start(1, 4);
    on_run = never_wait;
    for (uint64_t n = 1; n <= 3; n += 2) {
        root(n);
        turn_until((unsigned)(n + 1) / 2);
        support_turn(w);
        assert_int_equal(w->tasks.out, 1);
        chi_complete(&w->rctx, still_out, CHI_STATUS_OK);
        assert_int_equal(w->tasks.out, 0);
    }
    root(1);
    root(1); /* each has its own, while both are parked */
    root(3);
    turn_until(5);
    support_turn(w);
    assert_int_equal(w->tasks.out, 3); /* those that run */
    for (uint32_t i = 0; i < w->tasks.body[0].count; i++) {
        struct task *t = pool_at(&w->tasks.body[0], i);
        if (t->state == TASK_RUNNING)
            chi_complete(&w->rctx, task_public(t), CHI_STATUS_OK);
    }
    assert_null(w->unwaited);
    end();
}

/* number 1: is parked while 2 takes what it submitted off its list. */
static struct chi_task *others;
static enum chi_status take_others(struct job *t, struct chi_rctx *r)
{
    if (!t->number)
        return CHI_STATUS_OK;
    struct chi_task *sub = job_new(r, 0);
    chi_task_submit(r, sub, NULL, NULL);
    if (t->number == 1) {
        others = sub;
        return chi_yield(r);
    }
    assert_int_equal(chi_task_wait(r, &others, 1), CHI_STATUS_OK);
    chi_task_del(r, others);
    return CHI_STATUS_OK;
}

static void wait__for_what_another_run_submitted(void **state)
{
    (void)state;
    start(1, 4);
    on_run = take_others;
    root(1);
    root(2);
    turn_until(2);
    support_turn(w);
    assert_int_equal(w->tasks.out, 0);
    end();
}

/* number: levels below. */
static enum chi_status recurse(struct job *t, struct chi_rctx *r)
{
    volatile uint8_t mine[700]; /* what is on a stack stays */
    memset((uint8_t *)mine, (int)t->number, sizeof mine);
    t->sum = 1;
    if (!t->number)
        return CHI_STATUS_OK;
    struct chi_task *sub[2];
    for (int i = 0; i < 2; i++) {
        sub[i] = job_new(r, t->number - 1);
        chi_task_submit(r, sub[i], NULL, NULL);
    }
    enum chi_status st = chi_task_wait(r, sub, 2);
    for (unsigned i = 0; i < sizeof mine; i++)
        assert_int_equal(mine[i], (uint8_t)t->number);
    if (st != CHI_STATUS_OK)
        return st;
    for (int i = 0; i < 2; i++) {
        st = st == CHI_STATUS_OK ? sub[i]->status : st;
        t->sum += ((struct job *)sub[i])->sum;
        chi_task_del(r, sub[i]);
    }
    return st;
}

static void wait__as_deep_as_there_are_stacks(void **state)
{
    (void)state;
    start(1, 255);
    on_run = recurse;
    root(8);
    turn_until(1);
    assert_int_equal(last, CHI_STATUS_OK);
    assert_int_equal(last_sum, 511);
    assert_int_equal(runs, 511);
    assert_int_equal(w->stats.stacks_most, 256); /* all that are no leaf at once */
    end();
}

/* Who finds no stack hears it, and nothing is lost or left: what it would have waited for ends, and is given back. */
static void wait__without_a_stack_is_refused(void **state)
{
    (void)state;
    start(1, 100);
    on_run = recurse;
    root(8);
    turn_until(1);
    assert_int_equal(last, CHI_STATUS_NO_MEMORY);
    for (int i = 0; i < 100; i++)
        support_turn(w); /* what was given up ends */
    assert_int_equal(w->tasks.out, 0);
    root(5);
    turn_until(2);
    assert_int_equal(last, CHI_STATUS_OK);
    assert_int_equal(last_sum, 63);
    end();
    start(1, 0);
    on_run = recurse;
    root(3);
    for (int i = 0; i < 10; i++)
        worker_turn(w); /* without stacks there is no loop to go on */
    assert_int_equal(last, CHI_STATUS_NO_MEMORY);
    end();
}

/* --- time, and others */

static enum chi_status take_turns(struct job *t, struct chi_rctx *r)
{
    for (int i = 0; i < 3; i++) {
        say(t->number + (uint64_t)i);
        enum chi_status st = chi_yield(r);
        if (st != CHI_STATUS_OK)
            return st;
    }
    return CHI_STATUS_OK;
}

static void yield__lets_others_run(void **state)
{
    (void)state;
    start(1, 2);
    on_run = take_turns;
    root('a');
    root('p');
    turn_until(2);
    assert_string_equal(said, "apbqcr");
    assert_int_equal(last, CHI_STATUS_OK);
    end();
}

static enum chi_status sleep_so_long(struct job *t, struct chi_rctx *r)
{
    uint64_t from = chi_rctx_now_ns(r);
    enum chi_status st = chi_sleep_us(r, t->number);
    assert_true(st != CHI_STATUS_OK || chi_rctx_now_ns(r) >= from + t->number * 1000);
    say('0' + t->number / 1000);
    return st;
}

static void sleep__ends_in_order_and_not_too_early(void **state)
{
    (void)state;
    static const uint64_t ms[] = {5, 3, 8, 1, 4};
    start(1, 5);
    on_run = sleep_so_long;
    for (unsigned i = 0; i < 5; i++)
        root(ms[i] * 1000);
    support_turn(w);
    if (dones == 0) /* unless the machine slept so long */
        assert_true(w->rctx.wake_ns <= w->rctx.now_ns + 1000000);
    for (unsigned i = 0; dones < 5; i++)
        support_turn(w);
    assert_string_equal(said, "13458");
    end();
}

static void sleep__ends_with_the_daemon(void **state)
{
    (void)state;
    start(1, 2);
    on_run = sleep_so_long;
    root(UINT64_MAX);
    support_turn(w);
    support_turn(w);
    assert_int_equal(dones, 0);
    rt->stopping = true;
    turn_until(1);
    assert_int_equal(last, CHI_STATUS_SHUTDOWN);
    end();
}

/* --- all at once */

static struct prng prng;
static unsigned trees;

/* A tree of random shape: number says how deep it may still be. */
static enum chi_status grow(struct job *t, struct chi_rctx *r)
{
    struct chi_task *sub[4] = {0};
    unsigned n = t->number ? (unsigned)prng_below(&prng, 5) : 0, sent = 0;
    t->sum = 1;
    while (sent < n && w->tasks.out < RECORDS - 8) {
        sub[sent] = job_new(r, t->number - 1);
        chi_task_submit(r, sub[sent++], NULL, NULL);
        if (prng_below(&prng, 4) == 0)
            (void)!chi_yield(r);
        if (prng_below(&prng, 8) == 0)
            (void)!chi_sleep_us(r, prng_below(&prng, 50));
    }
    for (unsigned i = 0; i < sent;) { /* some alone, some together */
        unsigned k = 1 + (unsigned)prng_below(&prng, sent - i);
        enum chi_status st = chi_task_wait(r, sub + i, k);
        for (; k--; i++) {
            if (st != CHI_STATUS_OK)
                continue;
            assert_int_equal(sub[i]->status, CHI_STATUS_OK);
            t->sum += ((struct job *)sub[i])->sum;
            chi_task_del(r, sub[i]);
        }
    }
    trees++;
    return CHI_STATUS_OK;
}

static void trees__of_any_shape_end_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        start(1, seed % 4 ? STACKS : (uint32_t)seed);
        prng_init(&prng, seed);
        on_run = grow;
        trees = 0;
        for (unsigned i = 0; i < 5; i++)
            root(1 + prng_below(&prng, 5));
        for (int i = 0; i < 1000000 && w->tasks.out; i++)
            support_turn(w);
        assert_int_equal(dones, 5);
        assert_int_equal(runs, trees);
        assert_int_equal(w->tasks.out, 0);
        end();
    }
}

static void call_root(void *worker, void *arg)
{
    struct worker *at = worker;
    struct job *t = (struct job *)job_new(&at->rctx, *(uint64_t *)arg);
    chi_task_submit(&at->rctx, &t->task, done, NULL);
}

/* Two workers, subtasks on either: each goes on where it waited. */
static void wait__across_workers(void **state)
{
    (void)state;
    enum { ROUNDS = 25, TREES = 4 };
    char err[SCHED_ERROR_BYTES];
    static uint64_t depth = 6;
    sums = 0;
    start(2, STACKS);
    on_run = recurse;
    worker_enter(NULL);
    assert_int_equal(runtime_start(rt, err), 0);
    for (uint32_t i = 0; i < ROUNDS * TREES; i++) {
        assert_int_equal(worker_call(rt, i % 2, call_root, &depth), 0);
        while (__atomic_load_n(&dones, __ATOMIC_ACQUIRE) + TREES <= i) /* as many as there are stacks for */
            sched_yield();
    }
    while (__atomic_load_n(&dones, __ATOMIC_ACQUIRE) < ROUNDS * TREES)
        sched_yield();
    assert_int_equal(runtime_stop(rt, 10000000000), 0);
    assert_int_equal(runs, ROUNDS * TREES * 127);
    assert_int_equal(sums, ROUNDS * TREES * 127);
    assert_true(rt->worker[0]->stats.waits && rt->worker[1]->stats.waits);
    support_end(rt);
}

/* Without memory for stacks, or for what comes behind them, there is no runtime, and a line says what to lower. */
static void create__without_memory_says_so(void **state)
{
    (void)state;
    static const uint32_t cores[] = {0}, nodes[] = {1};
    struct runtime_options o = {.node_id = 1, .workers = 1, .cores = cores, .tasks = RECORDS, .nodes = nodes, .node_count = 1,
                                .stacks = 1 << 30, .stack_bytes = (size_t)1 << 40};
    char err[SCHED_ERROR_BYTES];
    assert_int_equal(runtime_create(&o, &rt, err), -12);
    assert_non_null(strstr(err, "lower limits.stacks"));
    o.stacks = 4;
    o.stack_bytes = 0;
    o.tasks = UINT32_C(1) << 31; /* records of some TiB */
    FILE *f = fopen("/proc/sys/vm/overcommit_memory", "r");
    bool all = f && fgetc(f) == '1'; /* then there is as much as anybody asks for */
    if (f)
        fclose(f);
    if (!all) {
        assert_int_equal(runtime_create(&o, &rt, err), -12);
        assert_non_null(strstr(err, "lower limits.tasks"));
    }
}

/* --- misuse */

static struct chi_task *twice[2];
static void wait_twice(void) { (void)!chi_task_wait(&w->rctx, twice, 2); }
static void submit_without_done(void) { chi_task_submit(&w->rctx, twice[0], NULL, NULL); }
static void yield_now(void) { (void)!chi_yield(&w->rctx); }
static enum chi_status misuse(struct job *t, struct chi_rctx *r)
{
    if (t->number == 1) {
        twice[0] = twice[1] = job_new(r, 0);
        chi_task_submit(r, twice[0], NULL, NULL);
        assert_true(panics(wait_twice));
        assert_int_equal(chi_task_wait(r, twice, 1), CHI_STATUS_OK);
        chi_task_del(r, twice[0]);
    }
    return CHI_STATUS_OK;
}

static void misuse__panics(void **state)
{
    (void)state;
    start(1, 2);
    on_run = misuse;
    root(1);
    turn_until(1);
    twice[0] = job_new(&w->rctx, 0);
    assert_true(panics(submit_without_done)); /* no task runs that could wait for it */
    chi_task_del(&w->rctx, twice[0]);
    assert_true(panics(yield_now));
    w->told = NULL;
    w->told_tail = &w->told;
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait__ends_when_all_subtasks_have),
        cmocka_unit_test(wait__for_what_has_ended_does_not_wait),
        cmocka_unit_test(wait__for_nothing_gives_up),
        cmocka_unit_test(wait__for_what_another_run_submitted),
        cmocka_unit_test(wait__as_deep_as_there_are_stacks),
        cmocka_unit_test(wait__without_a_stack_is_refused),
        cmocka_unit_test(yield__lets_others_run),
        cmocka_unit_test(sleep__ends_in_order_and_not_too_early),
        cmocka_unit_test(sleep__ends_with_the_daemon),
        cmocka_unit_test(trees__of_any_shape_end_once),
        cmocka_unit_test(wait__across_workers),
        cmocka_unit_test(create__without_memory_says_so),
        cmocka_unit_test(misuse__panics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
