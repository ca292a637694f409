/* Threads that turn several workers, and workers that go from one thread to another while tasks run: cores come and go, a thread is held.  Of a lane one
 * task runs at a time, in each sender's order; none is lost, and none ends twice.  What the tasks of a lane share is plain memory, as a module has it,
 * so that ThreadSanitizer sees two threads in one worker. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include "base/prng.h"
#include "worker/carrier.h"
#include "worker_support.h"

enum { WORKERS = 4, LANES = 6, RECORDS = 256, AT_ONCE = 24, TRIES = 20000 };
static const struct chi_pool_id POOL = {100, 0};

struct step {
    struct chi_task task;
    uint64_t sender, lane, number, pause; /* 0: none; 1: it lets others run; n: it sleeps n us */
};
CHI_FIELDS(step_fields) = {CHI_IN(U64, struct step, sender), CHI_IN(U64, struct step, lane), CHI_IN(U64, struct step, number),
                           CHI_IN(U64, struct step, pause)};
CHI_METHOD_VAR(step_method) = CHI_METHOD(1, struct step, step_fields);

static struct { uint64_t begun[WORKERS], runs; bool busy; } of_lane[LANES]; /* its tasks' */
static struct { uint64_t sent[LANES], out, ended; struct prng prng; } of_sender[WORKERS] __attribute__((aligned(CHI_CACHE_LINE))); /* its worker's */
static bool enough, gate; /* atomic */
static uint32_t held;     /* atomic: 1 + the worker that is */
static struct runtime *rt;
static struct chi_container *box;

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, LANES); }
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    (void)mode;
    chi_rctx_set_lane(r, chi_container_lane(c, 0, (uint32_t)((struct step *)task)->lane));
    return CHI_STATUS_OK;
}
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    const struct step *t = (struct step *)task;
    (void)c;
    CHI_ASSERT(!of_lane[t->lane].busy && worker_current() == r->worker);
    of_lane[t->lane].busy = true;
    CHI_ASSERT(of_lane[t->lane].begun[t->sender] == t->number);
    of_lane[t->lane].begun[t->sender]++;
    of_lane[t->lane].runs++;
    of_lane[t->lane].busy = false;
    enum chi_status waited = t->pause == 0 ? CHI_STATUS_OK : t->pause == 1 ? chi_yield(r) : chi_sleep_us(r, t->pause);
    CHI_ASSERT((waited == CHI_STATUS_OK || waited == CHI_STATUS_NO_MEMORY) && worker_current() == r->worker); /* no stack is free: it goes on at once */
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&step_method};
static const struct chi_chimod steps = {.abi = CHI_CHIMOD_ABI, .size = sizeof steps, .name = "steps", .methods = methods, .nmethods = 1,
                                        .init = init, .run = run, .monitor = monitor};

static void done(struct chi_rctx *r, struct chi_task *task, void *arg);
static void submit(struct chi_rctx *r, struct step *t)
{
    uint32_t k = chi_rctx_worker(r);
    t->task.pool = POOL;
    t->task.query = chi_local();
    t->sender = k;
    t->lane = prng_below(&of_sender[k].prng, LANES);
    t->pause = prng_below(&of_sender[k].prng, 4) ? 0 : 1 + prng_below(&of_sender[k].prng, 2) * prng_below(&of_sender[k].prng, 200);
    t->number = of_sender[k].sent[t->lane]++;
    chi_task_submit(r, &t->task, done, NULL);
}
static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    uint32_t k = chi_rctx_worker(r);
    (void)arg;
    CHI_ASSERT(task->status == CHI_STATUS_OK && ((struct step *)task)->sender == k);
    of_sender[k].ended++;
    if (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
        submit(r, (struct step *)task);
        return;
    }
    __atomic_store_n(&of_sender[k].out, of_sender[k].out - 1, __ATOMIC_RELEASE);
    chi_task_del(r, task);
}
static void begin(void *worker, void *arg)
{
    struct chi_rctx *r = &((struct worker *)worker)->rctx;
    uint32_t k = chi_rctx_worker(r);
    (void)arg;
    prng_init(&of_sender[k].prng, k + 1);
    of_sender[k].out = AT_ONCE;
    for (int i = 0; i < AT_ONCE; i++)
        submit(r, (struct step *)chi_task_new(r, &step_method));
}

/* --- a runtime whose threads run */

static bool two_cores(void) { return sysconf(_SC_NPROCESSORS_ONLN) >= 2; }

static void start(uint32_t workers, uint32_t stacks)
{
    static const uint32_t cores[] = {0};
    char err[SCHED_ERROR_BYTES];
    support_stacks = stacks;
    memset(of_lane, 0, sizeof of_lane);
    memset(of_sender, 0, sizeof of_sender);
    enough = gate = false;
    held = 0;
    support_cores = cores;
    support_core_count = 1;
    rt = support_runtime(workers, RECORDS, NULL);
    box = support_pool(rt, &steps, POOL, 1)->local;
    worker_enter(NULL);
    rt->call_limit_ns = 60 * UINT64_C(1000000000);
    assert_int_equal(runtime_start(rt, err), 0);
}

static void stop(void)
{
    assert_int_equal(runtime_stop(rt, 60 * UINT64_C(1000000000)), 0);
    assert_true(runtime_books_closed(rt, stderr));
    support_end(rt);
}

static void nothing(void *worker, void *arg) { (void)worker, (void)arg; }
static uint32_t core_of(uint32_t worker) { return rt->worker[worker]->carrier->core; }
static uint32_t on_core(uint32_t core)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < rt->workers; i++)
        n += core_of(i) == core;
    return n;
}
static void all_turn(void)
{
    for (uint32_t i = 0; i < rt->workers; i++)
        assert_int_equal(worker_call(rt, i, nothing, NULL), 0);
}
/* Its name stands in tests/race/tsan.supp. */
__attribute__((noinline)) static uint64_t worker_stat(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }

/* --- */

static void thread__of_several_workers_turns_all_and_sleeps_for_all(void **state)
{
    (void)state;
    for (uint32_t stacks = 0; stacks <= 4; stacks += 4) {
        start(WORKERS, stacks);
        assert_int_equal(rt->carriers, 1);
        for (int i = 0; i < 50; i++) {
            uint64_t before = worker_stat(&rt->worker[3]->stats.sleeps);
            for (int k = 0; k < TRIES && worker_stat(&rt->worker[3]->stats.sleeps) == before; k++)
                usleep(50);
            assert_true(worker_stat(&rt->worker[3]->stats.sleeps) > before);
            all_turn(); /* each call wakes it, by the bell of another worker */
        }
        stop();
    }
}

static void cores__come_and_go(void **state)
{
    (void)state;
    if (!two_cores())
        skip();
    start(WORKERS + 1, 4);
    assert_int_equal(on_core(0), 5);
    assert_int_equal(runtime_core_add(rt, 1), 0);
    assert_int_equal(on_core(1), 2);
    all_turn();
    assert_int_equal(runtime_core_add(rt, 1), -EEXIST);
    assert_int_equal(runtime_core_remove(rt, 0), 0);
    assert_int_equal(on_core(1), 5);
    all_turn();
    assert_int_equal(runtime_core_remove(rt, 0), -ENOENT);
    assert_int_equal(runtime_core_remove(rt, 1), -EBUSY);
    assert_int_equal(runtime_core_add(rt, 1023), -EINVAL);
    assert_int_equal(on_core(1), 5);
    assert_int_equal(runtime_core_add(rt, 0), 0);
    assert_int_equal(rt->carriers, 2); /* the thread that was parked */
    assert_int_equal(on_core(0), 2);
    all_turn();
    stop();
}

static void cores__are_no_more_than_workers(void **state)
{
    (void)state;
    if (!two_cores())
        skip();
    start(1, 4);
    assert_int_equal(runtime_core_add(rt, 1), -ENOSPC);
    all_turn();
    stop();
}

/* --- idle */

static bool sleeps(uint32_t worker)
{
    uint64_t turns = worker_stat(&rt->worker[worker]->stats.turns), sleeps = worker_stat(&rt->worker[worker]->stats.sleeps);
    while (worker_stat(&rt->worker[worker]->stats.turns) < turns + 200 && worker_stat(&rt->worker[worker]->stats.sleeps) == sleeps)
        sched_yield();
    return worker_stat(&rt->worker[worker]->stats.sleeps) > sleeps;
}
static void become(bool asleep, uint32_t worker)
{
    int tries = 0;
    while (sleeps(worker) != asleep)
        assert_true(++tries < 50);
}

static void idle__is_set_while_they_run(void **state)
{
    const uint32_t zero = 0, none = 7;
    (void)state;
    start(2, 4);
    become(true, 0);
    assert_int_equal(runtime_idle_set(rt, &none, true), -ENOENT);
    assert_int_equal(runtime_idle_set(rt, &zero, true), 0);
    become(false, 0);
    become(false, 1);
    if (two_cores()) { /* the new one is like the others were: it was set for one core alone */
        assert_int_equal(runtime_core_add(rt, 1), 0);
        become(true, 1);
        become(false, 0);
        assert_int_equal(runtime_idle_set(rt, NULL, true), 0);
        become(false, 1);
        assert_int_equal(runtime_core_remove(rt, 1), 0);
        assert_int_equal(runtime_core_add(rt, 1), 0);
        become(false, 1);
    }
    assert_int_equal(runtime_idle_set(rt, NULL, false), 0);
    become(true, 0);
    become(true, 1);
    stop();
}

/* --- a thread that is held */

static void hold(void *worker, void *arg)
{
    (void)arg;
    __atomic_store_n(&held, ((struct worker *)worker)->index + 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&gate, __ATOMIC_ACQUIRE))
        usleep(100);
}
/* Worker k does not return from here until let_go. */
static void keep(uint32_t k)
{
    uint64_t limit = rt->call_limit_ns;
    __atomic_store_n(&gate, false, __ATOMIC_RELAXED);
    rt->call_limit_ns = 1000000;
    assert_int_equal(worker_call(rt, k, hold, NULL), -ETIMEDOUT);
    rt->call_limit_ns = limit;
    for (int i = 0; i < TRIES && __atomic_load_n(&held, __ATOMIC_ACQUIRE) != k + 1; i++)
        usleep(50);
    assert_int_equal(__atomic_load_n(&held, __ATOMIC_RELAXED), k + 1);
}
static void let_go(void)
{
    __atomic_store_n(&held, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&gate, true, __ATOMIC_RELEASE);
}

static void relieve__lets_the_other_workers_of_a_held_thread_turn(void **state)
{
    (void)state;
    for (uint32_t stacks = 0; stacks <= 4; stacks += 4) {
        start(3, stacks);
        keep(1);
        assert_int_equal(runtime_relieve(rt, 1), 2);
        assert_int_equal(runtime_relieve(rt, 1), 0);
        assert_int_equal(rt->carriers, 2); /* one more thread of the same core */
        assert_int_equal(on_core(0), 3);
        for (int i = 0; i < 100; i++) {
            assert_int_equal(worker_call(rt, 0, nothing, NULL), 0);
            assert_int_equal(worker_call(rt, 2, nothing, NULL), 0);
        }
        assert_ptr_not_equal(rt->worker[0]->carrier, rt->carrier[0]);
        let_go();
        assert_int_equal(worker_call(rt, 1, nothing, NULL), 0);
        runtime_relieved(rt, 1);
        all_turn();
        for (uint32_t i = 0; i < 3; i++)
            assert_ptr_equal(rt->worker[i]->carrier, rt->carrier[0]);
        keep(2); /* the thread that stood in does so again */
        assert_int_equal(runtime_relieve(rt, 2), 2);
        assert_int_equal(rt->carriers, 2);
        assert_int_equal(worker_call(rt, 0, nothing, NULL), 0);
        let_go();
        runtime_relieved(rt, 2); /* the watchdog may see it late, or early */
        all_turn();
        stop();
    }
}

/* Its sleep has a time-out, which would hide that it hears of nothing.  Held, it takes nothing from its epoll. */
static void thread__of_several_workers_hears_the_bell_of_each(void **state)
{
    (void)state;
    start(3, 4);
    keep(1);
    struct pollfd p = {.fd = rt->carrier[0]->epoll_fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    for (uint32_t i = 0; i < 3; i++) {
        doorbell_wake(&rt->worker[i]->bell);
        assert_int_equal(poll(&p, 1, 0), 1);
        doorbell_drain(&rt->worker[i]->bell);
        assert_int_equal(poll(&p, 1, 0), 0);
    }
    carrier_order(rt->carrier[0]);
    assert_int_equal(poll(&p, 1, 0), 1);
    let_go();
    all_turn();
    stop();
}

static void relieve__gives_them_to_another_core(void **state)
{
    (void)state;
    if (!two_cores())
        skip();
    start(4, 4);
    assert_int_equal(runtime_core_add(rt, 1), 0);
    assert_int_equal(core_of(0), 0);
    keep(0);
    assert_int_equal(runtime_relieve(rt, 0), 1);
    assert_int_equal(on_core(1), 3);
    for (uint32_t i = 1; i < 4; i++)
        assert_int_equal(worker_call(rt, i, nothing, NULL), 0);
    let_go();
    runtime_relieved(rt, 0);
    all_turn();
    assert_int_equal(on_core(1), 2);
    stop();
}

/* What is held stays until it is not; what is not goes at once. */
static void remove__of_a_core_that_is_held(void **state)
{
    (void)state;
    if (!two_cores())
        skip();
    start(2, 4);
    assert_int_equal(runtime_core_add(rt, 1), 0);
    uint32_t k = core_of(0) == 1 ? 0 : 1;
    keep(k);
    uint64_t limit = rt->call_limit_ns;
    rt->call_limit_ns = 1000000;
    assert_int_equal(runtime_relieve(rt, k), 0);
    assert_int_equal(runtime_core_remove(rt, 1), -ETIMEDOUT);
    assert_int_equal(runtime_core_add(rt, 1), -EBUSY); /* its thread cannot be used yet */
    rt->call_limit_ns = limit;
    assert_int_equal(worker_call(rt, 1 - k, nothing, NULL), 0);
    assert_int_equal(core_of(k), 0);
    let_go();
    all_turn();
    runtime_relieved(rt, k);
    for (int i = 0; i < TRIES && __atomic_load_n(&rt->worker[k]->turned_by, __ATOMIC_RELAXED) == rt->carrier[1]; i++)
        usleep(50);
    assert_int_equal(runtime_core_add(rt, 1), 0);
    all_turn();
    stop();
}

/* --- all of it at random, under load */

static void change(struct prng *p)
{
    uint32_t core = (uint32_t)prng_below(p, 2), worker = (uint32_t)prng_below(p, WORKERS);
    bool busy = prng_below(p, 8) == 0;
    int rc = 0;
    switch (two_cores() ? prng_below(p, 5) : 2 + prng_below(p, 3)) {
    case 0:
        rc = runtime_core_add(rt, core);
        assert_true(rc == 0 || rc == -EEXIST);
        break;
    case 1:
        rc = runtime_core_remove(rt, core);
        assert_true(rc == 0 || rc == -ENOENT || rc == -EBUSY);
        break;
    case 2:
        (void)runtime_relieve(rt, worker);
        break;
    case 3:
        runtime_relieved(rt, worker);
        break;
    default:
        assert_int_equal(runtime_idle_set(rt, NULL, busy), 0);
    }
}

static void random_changes(uint32_t stacks, int changes)
{
    struct prng p;
    uint64_t sent, ended = 0, runs = 0;
    start(WORKERS, stacks);
    for (uint32_t k = 0; k < WORKERS; k++)
        assert_int_equal(worker_call(rt, k, begin, NULL), 0);
    prng_init(&p, 11);
    for (int i = 0; i < changes; i++) {
        change(&p);
        if (prng_below(&p, 8) == 0)
            all_turn();
    }
    __atomic_store_n(&enough, true, __ATOMIC_RELAXED);
    for (uint32_t k = 0; k < WORKERS; k++)
        while (__atomic_load_n(&of_sender[k].out, __ATOMIC_ACQUIRE))
            sched_yield();
    assert_int_equal(runtime_stop(rt, 60 * UINT64_C(1000000000)), 0);
    for (uint32_t k = 0; k < WORKERS; k++) {
        sent = 0;
        for (uint32_t l = 0; l < LANES; l++) {
            assert_int_equal(of_lane[l].begun[k], of_sender[k].sent[l]);
            sent += of_sender[k].sent[l];
        }
        assert_int_equal(of_sender[k].ended, sent);
        ended += sent;
    }
    for (uint32_t l = 0; l < LANES; l++)
        runs += of_lane[l].runs;
    assert_int_equal(runs, ended);
    assert_true(ended > (uint64_t)changes);
    stop();
}

static void changes__at_random_under_load(void **state)
{
    (void)state;
    random_changes(64, 1000);
}
static void changes__at_random_without_stacks(void **state)
{
    (void)state;
    random_changes(0, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thread__of_several_workers_turns_all_and_sleeps_for_all),
        cmocka_unit_test(cores__come_and_go),
        cmocka_unit_test(cores__are_no_more_than_workers),
        cmocka_unit_test(idle__is_set_while_they_run),
        cmocka_unit_test(thread__of_several_workers_hears_the_bell_of_each),
        cmocka_unit_test(relieve__lets_the_other_workers_of_a_held_thread_turn),
        cmocka_unit_test(relieve__gives_them_to_another_core),
        cmocka_unit_test(remove__of_a_core_that_is_held),
        cmocka_unit_test(changes__at_random_under_load),
        cmocka_unit_test(changes__at_random_without_stacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
