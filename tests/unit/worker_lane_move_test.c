/* Lanes that move between three workers whose turns this test takes itself, in an order that a seed draws: whatever is on a lane, in a ring or in an
 * overflow list at that moment, each lane keeps each sender's order, and every task runs once. */
#include <errno.h>

#include "base/prng.h"
#include "worker_support.h"

enum { WORKERS = 3, LANES = 4, RECORDS = 4096, STACKS = 32 };
static const struct chi_pool_id POOL = {100, 0};

struct step {
    struct chi_task task;
    uint64_t sender, lane, number;
    bool yields, parks;
    uint64_t busy_ns;
};
CHI_FIELDS(step_fields) = {CHI_IN(U64, struct step, sender), CHI_IN(U64, struct step, lane), CHI_IN(U64, struct step, number)};
CHI_METHOD_VAR(step_method) = CHI_METHOD(1, struct step, step_fields);

static struct runtime *rt;
static struct chi_container *box;
static uint64_t sent[WORKERS][LANES], begun[WORKERS][LANES], ended, total, ran_on[WORKERS];
static struct chi_task *parked;

static enum chi_status init(struct chi_container *c)
{
    enum chi_status st = chi_container_create_queue_as(c, 1, &(struct chi_queue_options){.lanes = WORKERS, .fixed = true});
    return st == CHI_STATUS_OK ? chi_container_create_queue(c, 0, LANES) : st;
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    (void)mode;
    chi_rctx_set_lane(r, chi_container_lane(c, 0, (uint32_t)((struct step *)task)->lane));
    return CHI_STATUS_OK;
}
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct step *t = (struct step *)task;
    uint32_t here = chi_rctx_worker(r);
    assert_int_equal(lane_owner(chi_container_lane(c, 0, (uint32_t)t->lane)) & ~LANE_MOVES, here);
    assert_int_equal(t->number, begun[t->sender][t->lane]++);
    ran_on[here]++;
    for (uint64_t until = net_now_ns() + t->busy_ns; t->busy_ns && net_now_ns() < until;)
        ;
    if (t->parks) {
        parked = task;
        return CHI_STATUS_PENDING;
    }
    if (t->yields && chi_yield(r) != CHI_STATUS_OK)
        return CHI_STATUS_OK; /* no stack: as if it had not */
    assert_int_equal(chi_rctx_worker(r), here); /* where it began, wherever the lane is */
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&step_method};
static const struct chi_chimod steps = {.abi = CHI_CHIMOD_ABI, .size = sizeof steps, .name = "steps", .methods = methods, .nmethods = 1,
                                        .init = init, .run = run, .monitor = monitor};

static int setup(void **state)
{
    (void)state;
    support_stacks = STACKS;
    rt = support_runtime(WORKERS, RECORDS, NULL);
    box = support_pool(rt, &steps, POOL, 1)->local;
    memset(sent, 0, sizeof sent);
    memset(begun, 0, sizeof begun);
    memset(ran_on, 0, sizeof ran_on);
    ended = total = 0;
    parked = NULL;
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    support_end(rt);
    return 0;
}

static void turn(uint32_t k)
{
    worker_enter(rt->worker[k]);
    support_turn(rt->worker[k]);
}
static void turns(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        for (uint32_t k = 0; k < WORKERS; k++)
            turn(k);
}

static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    assert_int_equal(task->status, CHI_STATUS_OK);
    ended++;
    chi_task_del(r, task);
}
static bool submit(uint32_t from, uint32_t lane, bool yields, bool parks)
{
    struct chi_rctx *r = &rt->worker[from]->rctx;
    struct step *t = (struct step *)chi_task_new(r, &step_method);
    if (!t)
        return false;
    t->task.pool = POOL;
    t->task.query = chi_local();
    t->sender = from;
    t->lane = lane;
    t->number = sent[from][lane]++;
    t->yields = yields;
    t->parks = parks;
    total++;
    chi_task_submit(r, &t->task, done, NULL);
    return true;
}

static struct chi_lane *lane_at(uint32_t lane) { return chi_container_lane(box, 0, lane); }
/* What runtime_lane_send does, but waiting: the owner begins in its next turn. */
static void send_lane(uint32_t lane, uint32_t to)
{
    struct chi_lane *l = lane_at(lane);
    struct ring_item it = {.kind = RING_CALL, .b = move_make(rt, l, to), .fn = move_begin};
    assert_true(ring_try_put(rt->worker[lane_owner(l)]->in[WORKERS], &it));
}
static uint32_t bound_for[LANES]; /* and 1; 0: it does not move */
static void send_some_lane(struct prng *p, unsigned *begins)
{
    uint32_t lane = (uint32_t)prng_below(p, LANES), owner = lane_owner(lane_at(lane));
    if (bound_for[lane])
        return;
    ++*begins;
    bound_for[lane] = (owner + 1 + (uint32_t)prng_below(p, WORKERS - 1)) % WORKERS + 1;
    send_lane(lane, bound_for[lane] - 1);
}
static unsigned arrivals(void)
{
    unsigned n = 0;
    for (uint32_t k = 0; k < WORKERS; k++)
        n += (unsigned)rt->worker[k]->stats.lanes_taken;
    return n;
}
/* A lane is on its way from send_lane on, until the new owner has it: then it can go on to the next. */
static void look_who_arrived(void)
{
    move_reap(rt, false);
    for (uint32_t l = 0; l < LANES; l++)
        if (bound_for[l] && lane_owner(lane_at(l)) == bound_for[l] - 1)
            bound_for[l] = 0;
}

/* Any order of submissions, turns and moves; some workers take no turn for long, so that rings overflow. */
static void move__any_interleaving_keeps_order_and_loses_nothing(void **state)
{
    unsigned begins = 0;
    uint64_t overflows = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct prng p;
        prng_init(&p, seed);
        memset(bound_for, 0, sizeof bound_for);
        setup(NULL);
        unsigned before = begins;
        uint32_t sleeper = WORKERS;
        for (int i = 0; i < 3000; i++) {
            if (prng_chance(&p, 5000))
                sleeper = (uint32_t)prng_below(&p, 2 * WORKERS);
            uint64_t burst = prng_chance(&p, 4000) ? WORKER_RING_SLOTS * 2 : prng_below(&p, 8);
            uint32_t from = (uint32_t)prng_below(&p, WORKERS), lane = (uint32_t)prng_below(&p, LANES);
            while (burst-- > 0 && submit(from, lane, prng_chance(&p, 20000), false))
                ;
            uint32_t k = (uint32_t)prng_below(&p, WORKERS);
            if (k != sleeper)
                turn(k);
            if (prng_chance(&p, 300000))
                send_some_lane(&p, &begins);
            look_who_arrived();
        }
        for (int i = 0; i < 10000 && (ended < total || arrivals() < begins - before); i++)
            turns(1);
        assert_int_equal(ended, total);
        assert_int_equal(arrivals(), begins - before);
        for (uint32_t k = 0; k < WORKERS; k++) {
            overflows += rt->worker[k]->stats.overflows;
            assert_true(ran_on[k] > 0);
        }
        for (uint32_t l = 0; l < LANES; l++)
            assert_null(lane_at(l)->move);
        look_who_arrived();
        assert_null(rt->moves);
        teardown(NULL);
    }
    assert_true(begins > 3000 && overflows > 100000);
}

/* Worker 2 sends by the old owner, then straight: the second waits until the first is there. */
static void move__what_came_past_the_old_owner_waits(void **state)
{
    (void)state;
    submit(2, 0, false, false);
    turn(2); /* in the ring to worker 0 */
    send_lane(0, 1);
    struct chi_lane *l = lane_at(0);
    /* The old owner begins before it looks at that ring. */
    struct ring_item it;
    assert_true(ring_try_get(rt->worker[0]->in[WORKERS], &it));
    ring_publish(rt->worker[0]->in[WORKERS]);
    it.fn(rt->worker[0], it.b);
    assert_int_equal(lane_owner(l), 1 | LANE_MOVES);
    submit(2, 0, false, false);
    submit(1, 0, false, false); /* the new owner's own waits too */
    turn(2);
    turn(1);
    turn(1);
    assert_int_equal(ran_on[1], 0);
    assert_int_equal(lane_owner(l), 1 | LANE_MOVES);
    turn(0); /* the first goes on, and the marks behind it */
    turn(1);
    assert_true(begun[2][0] == 2 && begun[1][0] == 1 && ran_on[1] == 3);
    assert_int_equal(lane_owner(l), 1);
    assert_int_equal(rt->worker[1]->stats.lanes_taken, 1);
    turns(2);
    assert_int_equal(ended, 3);
}

/* What lies on the lane goes with it, and runs there at once; the old owner's list is left without it. */
static void move__takes_along_what_lies_on_the_lane(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        submit(0, 0, false, false);
    for (int i = 0; i < 5; i++)
        submit(0, 3, false, false); /* another lane of worker 0 */
    send_lane(0, 1);
    turn(0);
    assert_true(ran_on[0] == 5 && begun[0][3] == 5);
    turn(1);
    assert_int_equal(begun[0][0], WORKER_LANE_BUDGET); /* though no mark but its own has come */
    turns(6);
    assert_true(begun[0][0] == 100 && ran_on[1] == 100 && ended == 105);
}

/* A task that is parked, or waits on its stack, ends on the worker where it began. */
static void move__what_began_ends_where_it_began(void **state)
{
    (void)state;
    submit(0, 0, false, true);
    submit(0, 0, true, false);
    turn(0); /* one is parked; the other yields, and goes on in the same turn */
    assert_non_null(parked);
    submit(0, 0, true, false);
    send_lane(0, 1);
    turns(4);
    assert_int_equal(lane_owner(lane_at(0)), 1);
    assert_true(ran_on[0] == 2 && ran_on[1] == 1 && ended == 2);
    worker_enter(rt->worker[0]);
    chi_complete(&rt->worker[0]->rctx, parked, CHI_STATUS_OK);
    turns(2);
    assert_int_equal(ended, 3);
}

static void every_turn(void *worker, void *arg)
{
    (void)worker, (void)arg;
}
static void balance_and_wait(uint64_t now)
{
    assert_int_equal(runtime_balance(rt, now), 0);
    while (rt->moves) { /* on its way */
        for (uint32_t k = 0; k < WORKERS; k++)
            assert_int_equal(worker_call(rt, k, every_turn, NULL), 0);
        move_reap(rt, false);
    }
}

/* runtime_balance waits for the owner to begin: so real threads turn the workers.  The figures are the test's. */
static void runtime_balance__moves_what_takes_long(void **state)
{
    enum { LOOK = BALANCE_MS * 1000000 };
    char err[SCHED_ERROR_BYTES];
    uint64_t now = LOOK;
    (void)state;
    worker_enter(NULL);
    assert_int_equal(runtime_start(rt, err), 0);
    lane_at(0)->used_ns = lane_at(3)->used_ns = 5 * (uint64_t)LOOK; /* both of worker 0; what was before the first look counts for nothing */
    assert_int_equal(runtime_balance(rt, now), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(runtime_balance(rt, now += LOOK), 0); /* nobody is busy */
    assert_true(rt->balance_looks == 4 && rt->balance_moves == 0);
    for (int i = 0; i < 30; i++) {
        lane_at(0)->used_ns += LOOK / 2;
        lane_at(3)->used_ns += LOOK / 2;
        chi_container_lane(box, 1, 0)->used_ns += LOOK / 10; /* fixed, of worker 0 */
        balance_and_wait(now += LOOK);
    }
    assert_true(rt->balance_looks == 34 && rt->balance_failed == 0);
    assert_int_equal(rt->balance_moves, 1); /* and back it does not go */
    assert_true((lane_owner(lane_at(0)) == 0) != (lane_owner(lane_at(3)) == 0));
    assert_int_equal(lane_owner(chi_container_lane(box, 1, 0)), 0);
    /* Its worker, wherever that is, is busy with what stays: it goes on, but rests in between. */
    uint32_t moved = lane_owner(lane_at(0)) ? 0 : 3;
    for (int i = 0; i < BALANCE_RESTS + 2; i++) {
        assert_int_equal(rt->balance_moves, i == 0 ? 1 : 2);
        chi_container_lane(box, 1, lane_owner(lane_at(moved)))->used_ns += LOOK;
        lane_at(moved)->used_ns += LOOK / 2;
        balance_and_wait(now += LOOK);
    }
    assert_int_equal(rt->balance_moves, 3);
    assert_int_equal(runtime_stop(rt, UINT64_C(10000000000)), 0);
}

/* What cannot be moved says why; a worker that does not turn is told later, and a second call hears so. */
static void runtime_lane_move__refuses_with_a_reason(void **state)
{
    (void)state;
    rt->call_limit_ns = 1000000;
    assert_int_equal(runtime_lane_move(rt, lane_at(0), WORKERS), -EINVAL);
    assert_int_equal(runtime_lane_move(rt, chi_container_lane(box, 1, 0), 1), -EPERM);
    assert_int_equal(runtime_lane_move(rt, lane_at(0), 0), 0); /* it is there */
    assert_int_equal(runtime_lane_send(rt, lane_at(0), 0), -EALREADY);
    assert_int_equal(arrivals(), 0);
    assert_int_equal(runtime_lane_move(rt, lane_at(0), 1), -ETIMEDOUT); /* nobody turns */
    assert_int_equal(runtime_lane_move(rt, lane_at(0), 2), -EBUSY);
    turns(4);
    assert_int_equal(lane_owner(lane_at(0)), 1);
    assert_int_equal(runtime_lane_move(rt, lane_at(0), 1), 0);
    assert_null(rt->moves);
}

/* A lane is charged for its tasks, also for one that waits then, and not for another lane's. */
static void lane__counts_the_time_of_its_tasks(void **state)
{
    enum { BUSY = 300000 };
    (void)state;
    for (int i = 0; i < 3; i++)
        submit(0, 0, i == 1, false);
    for (struct lane_item *l = lane_at(0)->head; l; l = l->next)
        ((struct step *)task_public(task_of_link(l)))->busy_ns = BUSY;
    turns(4);
    assert_int_equal(ended, 3);
    uint64_t used = lane_at(0)->used_ns;
    assert_true(used >= 3 * BUSY);
    assert_int_equal(lane_at(3)->used_ns, 0);
    uint64_t before = net_now_ns();
    submit(0, 0, false, false);
    ((struct step *)task_public(task_of_link(lane_at(0)->head)))->busy_ns = BUSY;
    submit(0, 3, false, false); /* in the same turn */
    turns(2);
    assert_true(lane_at(0)->used_ns >= used + BUSY && lane_at(3)->used_ns > 0);
    assert_true(lane_at(0)->used_ns - used + lane_at(3)->used_ns <= net_now_ns() - before); /* no moment counts twice */
    assert_true(lane_at(3)->started == 1 && lane_at(0)->started == 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(move__any_interleaving_keeps_order_and_loses_nothing),
        cmocka_unit_test_setup_teardown(move__what_came_past_the_old_owner_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(move__takes_along_what_lies_on_the_lane, setup, teardown),
        cmocka_unit_test_setup_teardown(move__what_began_ends_where_it_began, setup, teardown),
        cmocka_unit_test_setup_teardown(lane__counts_the_time_of_its_tasks, setup, teardown),
        cmocka_unit_test_setup_teardown(runtime_balance__moves_what_takes_long, setup, teardown),
        cmocka_unit_test_setup_teardown(runtime_lane_move__refuses_with_a_reason, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
