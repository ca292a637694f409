/* Pools that are made, changed and taken away between the turns of two workers: what becomes of the tasks in them, each once, and when what they use
 * goes.  The test is the control thread, too. */
#include "worker/pools.h"
#include "worker_support.h"

enum { SLEEP_US = 300 };
static const struct chi_pool_id POOL = {POOLS_MAJOR, 1}, OTHER = {POOLS_MAJOR, 2}, ADMIN = {1, 0};
static const uint32_t HERE[] = {1, 1, 1, 1, 2, 2};

enum mode { RUNS, PARKS, SLEEPS, ASKS };
struct job {
    struct chi_task task;
    uint32_t mode, lane;
    uint32_t ran; /* OUT */
};
CHI_FIELDS(job_fields) = {CHI_IN(U32, struct job, mode), CHI_IN(U32, struct job, lane), CHI_OUT(U32, struct job, ran)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);
static struct runtime *rt;
static struct chi_task *parked[16];
static unsigned parked_count, alive, finis, dels, cancels;
static enum chi_status why, init_says;
static bool stays; /* what is parked, although it is cancelled */

static enum chi_status init(struct chi_container *c)
{
    if (init_says != CHI_STATUS_OK)
        return init_says;
    alive++;
    return chi_container_create_queue(c, 0, 2);
}
static void fini(struct chi_container *c)
{
    (void)c;
    alive--;
    finis++;
}
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct job *t = (struct job *)task;
    (void)c;
    t->ran++;
    if (t->mode == PARKS) {
        parked[parked_count++] = task;
        return CHI_STATUS_PENDING;
    }
    if (t->mode == SLEEPS)
        while (chi_task_cancelled(r, task) == CHI_STATUS_OK)
            if (chi_sleep_us(r, SLEEP_US) != CHI_STATUS_OK)
                return CHI_STATUS_SHUTDOWN;
    return t->mode == SLEEPS || t->mode == ASKS ? chi_task_cancelled(r, task) : CHI_STATUS_OK;
}
static void cancel(struct chi_container *c, struct chi_task *task, struct chi_rctx *r, enum chi_status st)
{
    (void)c;
    cancels++;
    why = st;
    if (!stays && ((struct job *)task)->mode == PARKS) /* one that sleeps ends itself */
        chi_complete(r, task, CHI_STATUS_MODULE);
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    if (mode != CHI_LOCAL_SCHEDULE)
        return CHI_STATUS_UNSUPPORTED;
    chi_rctx_set_lane(r, chi_container_lane(c, 0, ((struct job *)task)->lane));
    return CHI_STATUS_OK;
}
static void del(struct chi_container *c, struct chi_task *task)
{
    (void)task;
    CHI_ASSERT(c->ops); /* it is there still */
    dels++;
}
static unsigned poll(struct chi_container *c, struct chi_rctx *r)
{
    (void)c, (void)r;
    return 0;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1, .init = init, .fini = fini,
                                       .run = run, .monitor = monitor, .cancel = cancel, .del = del, .poll = poll};

/* --- the control thread */

static struct pools_call call_for(void (*begin)(struct runtime *, struct control_call *), struct chi_pool_id id, uint32_t version, uint32_t containers)
{
    return (struct pools_call){.call = {.begin = begin, .status = CHI_STATUS_PENDING},
                               .plan = {"jobs", id.minor == 1 ? "one" : "two", id, version, containers, HERE}};
}
static enum chi_status at_once(void (*begin)(struct runtime *, struct control_call *), struct chi_pool_id id, uint32_t version, uint32_t containers)
{
    struct pools_call p = call_for(begin, id, version, containers);
    begin(rt, &p.call);
    return p.call.status;
}
static void turn(void)
{
    for (uint32_t i = 0; i < rt->workers; i++) {
        worker_enter(rt->worker[i]);
        support_turn(rt->worker[i]);
    }
    worker_enter(rt->worker[0]);
}
static void step(void)
{
    turn();
    (void)runtime_control(rt, net_now_ns());
}
static void until_over(const struct pools_call *p)
{
    for (int i = 0; p->call.status == CHI_STATUS_PENDING; i++) {
        assert_in_range(i, 0, 1000000);
        step();
    }
}

/* --- tasks */

static unsigned ended, of_status[64];
static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    ended++;
    of_status[task->status]++;
    chi_task_del(r, task);
}
static void submit(uint32_t worker, struct chi_pool_id pool, struct chi_query q, enum mode mode, uint32_t lane)
{
    struct worker *w = rt->worker[worker];
    worker_enter(w);
    struct job *t = (struct job *)chi_task_new(&w->rctx, &job_method);
    assert_non_null(t);
    t->task.pool = pool;
    t->task.query = q;
    t->mode = mode;
    t->lane = lane;
    w->pool = NULL; /* as in another turn than before */
    chi_task_submit(&w->rctx, &t->task, done, NULL);
    worker_enter(rt->worker[0]);
}

static int setup(void **state)
{
    (void)state;
    memset(of_status, 0, sizeof of_status);
    ended = parked_count = alive = finis = dels = cancels = 0;
    init_says = CHI_STATUS_OK;
    stays = false;
    support_stacks = 8;
    rt = support_runtime(2, 256, NULL);
    support_pool(rt, &jobs, ADMIN, 1); /* the module is loaded */
    assert_int_equal(at_once(pools_apply, POOL, 1, 6), CHI_STATUS_OK);
    assert_int_equal(alive, 5);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    support_end(rt);
    return 0;
}

/* On lanes of both workers, submitted on both, in each stage of its life. */
static void remove__ends_each_task_once(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        submit(i % 2, POOL, chi_direct(i), PARKS, i / 2);
        submit(i % 2, POOL, chi_direct(i), SLEEPS, i / 2);
    }
    turn();
    turn();
    assert_int_equal(parked_count, 4);
    for (uint32_t i = 0; i < 8; i++)
        submit(i % 2, POOL, chi_direct(i % 4), RUNS, i / 4); /* on lanes, and on their way to the other worker */
    struct pools_call p = call_for(pools_remove, POOL, 0, 0);
    pools_remove(rt, &p.call);
    assert_int_equal(p.call.status, CHI_STATUS_PENDING);
    assert_null(sched_pool_find(&rt->sched, POOL));
    submit(0, POOL, chi_direct(0), RUNS, 0);
    assert_int_equal(at_once(pools_apply, POOL, 1, 6), CHI_STATUS_BUSY);
    assert_int_equal(at_once(pools_remove, POOL, 0, 0), CHI_STATUS_BUSY);
    until_over(&p);
    assert_int_equal(p.call.status, CHI_STATUS_OK);
    assert_int_equal(ended, 17);
    assert_int_equal(of_status[CHI_STATUS_MODULE], 4); /* each parked one was told once */
    assert_in_range(cancels, 4, 8); /* one that sleeps may see it first */
    assert_int_equal(why, CHI_STATUS_NO_POOL);
    assert_int_equal(of_status[CHI_STATUS_NO_POOL] + of_status[CHI_STATUS_OK], 13);
    assert_in_range(of_status[CHI_STATUS_NO_POOL], 5, 13); /* those that slept, and the late one */
    assert_int_equal(dels, 16);
    assert_true(finis == 4 && alive == 1 && !rt->ending);
    assert_int_equal(at_once(pools_remove, POOL, 0, 0), CHI_STATUS_NO_POOL);
    assert_int_equal(at_once(pools_apply, POOL, 1, 2), CHI_STATUS_OK); /* it may come again */
    assert_int_equal(alive, 3);
    submit(1, POOL, chi_direct(1), RUNS, 1);
    turn();
    turn();
    assert_int_equal(ended, 18);
}

/* What lies on a lane whose worker does not turn has not begun, and does not. */
static void remove__what_has_not_begun_does_not(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 6; i++)
        submit(0, POOL, chi_direct(i % 4), RUNS, 1); /* lane 1 is worker 1's */
    worker_enter(rt->worker[0]);
    support_turn(rt->worker[0]);
    struct pools_call p = call_for(pools_remove, POOL, 0, 0);
    pools_remove(rt, &p.call);
    for (int i = 0; i < 4; i++) {
        (void)runtime_control(rt, net_now_ns());
        support_turn(rt->worker[0]); /* it looks at its records, which lie on the way to the other one */
    }
    assert_int_equal(p.call.status, CHI_STATUS_PENDING);
    until_over(&p);
    assert_int_equal(of_status[CHI_STATUS_NO_POOL], 6);
    assert_int_equal(ended, 6);
}

static void remove__does_not_wait_for_ever_and_ends_later(void **state)
{
    (void)state;
    stays = true;
    submit(1, POOL, chi_direct(2), PARKS, 0);
    turn();
    turn();
    struct pools_call p = call_for(pools_remove, POOL, 0, 0), again = p;
    pools_remove(rt, &p.call);
    for (int i = 0; i < 20; i++)
        step();
    assert_int_equal(p.call.status, CHI_STATUS_PENDING);
    const uint64_t late = net_now_ns() + POOLS_END_MS * UINT64_C(1000000);
    (void)runtime_control(rt, late);
    assert_int_equal(p.call.status, CHI_STATUS_DEADLINE);
    assert_int_equal(p.tasks, 1);
    assert_non_null(strstr(p.why, "1 task did not end"));
    assert_int_equal(finis, 0);
    unsigned busy = 0;
    for (int i = 0; i < 200; i++) { /* nobody waits: it is looked at now and then, but the workers may sleep */
        turn();
        busy += runtime_control(rt, late) != POOLS_REST_MS;
    }
    assert_in_range(busy, 0, 4); /* the look that was under way, and one more */
    pools_remove(rt, &again.call); /* who asks again waits again */
    assert_int_equal(cancels, 1);
    worker_enter(rt->worker[0]);
    chi_complete(&rt->worker[0]->rctx, parked[0], CHI_STATUS_OK);
    until_over(&again);
    assert_int_equal(again.call.status, CHI_STATUS_OK);
    assert_true(finis == 4 && ended == 1 && of_status[CHI_STATUS_OK] == 1);
}

static void change__the_last_containers_go_and_the_others_stay(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++)
        submit(i % 2, POOL, chi_direct(i), PARKS, i % 2);
    turn();
    turn();
    struct pools_call p = call_for(pools_apply, POOL, 2, 2);
    pools_apply(rt, &p.call);
    submit(0, POOL, chi_direct(2), RUNS, 0);
    submit(0, POOL, chi_direct(1), RUNS, 0);
    submit(0, POOL, chi_hash(5), RUNS, 1);
    until_over(&p);
    assert_int_equal(p.call.status, CHI_STATUS_OK);
    assert_true(finis == 2 && cancels == 2 && why == CHI_STATUS_NO_CONTAINER);
    assert_int_equal(of_status[CHI_STATUS_MODULE], 2);
    assert_int_equal(of_status[CHI_STATUS_NO_CONTAINER], 1);
    assert_int_equal(of_status[CHI_STATUS_OK], 2);
    for (unsigned i = 0; i < 2; i++) { /* those of containers 0 and 1 heard nothing */
        struct task *t = task_of(parked[i]);
        assert_int_equal(task_cancelled(t), CHI_STATUS_OK);
    }
    assert_int_equal(at_once(pools_apply, POOL, 2, 2), CHI_STATUS_OK); /* as it is */
    assert_int_equal(at_once(pools_apply, POOL, 2, 3), CHI_STATUS_MOVED);
    assert_int_equal(at_once(pools_apply, POOL, 1, 6), CHI_STATUS_MOVED);
    assert_int_equal(at_once(pools_apply, POOL, 3, 6), CHI_STATUS_OK); /* two more come, others than those that went */
    assert_int_equal(alive, 5);
    while (rt->ending)
        step();
    p = call_for(pools_remove, POOL, 0, 0);
    pools_remove(rt, &p.call);
    until_over(&p);
    assert_int_equal(ended, 7);
    assert_int_equal(cancels, 4);
}

static void apply__refuses_what_cannot_be(void **state)
{
    (void)state;
    struct pools_call p = call_for(pools_apply, OTHER, 1, 1);
    p.plan.name = "one";
    pools_apply(rt, &p.call);
    assert_int_equal(p.call.status, CHI_STATUS_INVALID);
    assert_string_equal(p.why, "pool one is 3.1 here");
    p = call_for(pools_apply, POOL, 2, 1);
    p.plan.name = "two";
    pools_apply(rt, &p.call);
    assert_int_equal(p.call.status, CHI_STATUS_INVALID);
    p = call_for(pools_apply, OTHER, 1, 1);
    p.plan.module = "nosuch";
    pools_apply(rt, &p.call);
    assert_int_equal(p.call.status, CHI_STATUS_NO_MODULE);
    assert_non_null(strstr(p.why, "nosuch"));
    init_says = CHI_STATUS_NO_ROUTE;
    p = call_for(pools_apply, OTHER, 1, 1);
    pools_apply(rt, &p.call);
    assert_int_equal(p.call.status, CHI_STATUS_MODULE);
    assert_non_null(strstr(p.why, chi_status_text(CHI_STATUS_NO_ROUTE)));
    p = call_for(pools_apply, POOL, 2, 3);
    p.plan.node_of = (const uint32_t[]){1, 2, 1};
    pools_apply(rt, &p.call);
    assert_int_equal(p.call.status, CHI_STATUS_INVALID);
    assert_int_equal(at_once(pools_remove, ADMIN, 0, 0), CHI_STATUS_INVALID);
    p = call_for(pools_ask, OTHER, 0, 0);
    pools_ask(rt, &p.call);
    assert_true(p.call.status == CHI_STATUS_NO_POOL && p.last == 2); /* its number is used up, though it was never made */
    uint32_t table[6] = {0};
    p = call_for(pools_ask, POOL, 0, 0);
    p.table = table;
    p.room = 6;
    pools_ask(rt, &p.call);
    assert_true(p.call.status == CHI_STATUS_OK && p.plan.version == 1 && p.plan.containers == 6 && p.plan.id.minor == 1);
    assert_memory_equal(table, HERE, sizeof table);
    assert_string_equal(p.module, "jobs");
}

/* A lane that moves is one that worker may still look at. */
static void remove__waits_for_a_lane_that_moves(void **state)
{
    (void)state;
    struct chi_lane *l = chi_container_lane(sched_pool_find(&rt->sched, POOL)->local, 0, 0);
    struct lane_move *m = move_make(rt, l, 1); /* it is not over, however long that takes */
    struct pools_call p = call_for(pools_remove, POOL, 0, 0);
    pools_remove(rt, &p.call);
    for (int i = 0; i < 50; i++)
        step();
    assert_true(p.call.status == CHI_STATUS_PENDING && finis == 0);
    assert_true(worker_post(rt, 0, move_begin, m));
    until_over(&p);
    assert_int_equal(p.call.status, CHI_STATUS_OK);
    assert_null(rt->moves);
}

/* By its table, which another one took the place of, a task for several is spread until its end. */
static void change__keeps_the_table_of_a_task_for_several(void **state)
{
    (void)state;
    assert_int_equal(at_once(pools_apply, OTHER, 1, 2), CHI_STATUS_OK);
    submit(0, OTHER, chi_broadcast(), PARKS, 0);
    turn();
    turn();
    assert_int_equal(parked_count, 2);
    assert_int_equal(at_once(pools_apply, OTHER, 2, 4), CHI_STATUS_OK); /* more of them: nobody waits */
    for (int i = 0; i < 50; i++)
        step();
    assert_non_null(rt->ending); /* the old table */
    submit(1, OTHER, chi_direct(3), RUNS, 0);
    for (unsigned i = 0; i < 2; i++) {
        worker_enter(rt->worker[0]);
        chi_complete(&rt->worker[0]->rctx, parked[i], CHI_STATUS_OK);
    }
    while (rt->ending)
        step();
    assert_int_equal(of_status[CHI_STATUS_OK], 2);
    submit(0, OTHER, chi_broadcast(), SLEEPS, 0);
    turn();
    turn();
    struct pools_call p = call_for(pools_remove, OTHER, 0, 0);
    pools_remove(rt, &p.call);
    until_over(&p);
    assert_true(p.call.status == CHI_STATUS_OK && ended == 3);
    assert_int_equal(of_status[CHI_STATUS_NO_POOL], 1); /* its replicas were told why */
}

/* Who is in the middle of a turn may still touch what it ran last: so one look that finds nothing is not enough. */
static void remove__frees_nothing_before_each_worker_looked_twice(void **state)
{
    (void)state;
    struct pools_call p = call_for(pools_remove, POOL, 0, 0);
    pools_remove(rt, &p.call);
    for (int looks = 0; looks < 2; looks++) {
        (void)runtime_control(rt, net_now_ns()); /* asks them to */
        assert_int_equal(finis, 0);
        turn();
        assert_int_equal(finis, 0);
        (void)runtime_control(rt, net_now_ns()); /* hears of it */
    }
    assert_true(finis == 4 && p.call.status == CHI_STATUS_OK);
}

/* They name their pool until their end. */
static void remove__waits_for_containers_that_left_before(void **state)
{
    (void)state;
    stays = true;
    submit(0, POOL, chi_direct(3), PARKS, 0);
    turn();
    struct pools_call less = call_for(pools_apply, POOL, 2, 2), p = call_for(pools_remove, POOL, 0, 0);
    pools_apply(rt, &less.call);
    pools_remove(rt, &p.call);
    for (int i = 0; i < 50; i++)
        step();
    assert_true(p.call.status == CHI_STATUS_PENDING && less.call.status == CHI_STATUS_PENDING && finis == 0);
    worker_enter(rt->worker[0]);
    chi_complete(&rt->worker[0]->rctx, parked[0], CHI_STATUS_OK);
    for (int i = 0; p.call.status == CHI_STATUS_PENDING; i++) {
        assert_in_range(i, 0, 1000000);
        turn();
        (void)runtime_control(rt, net_now_ns()); /* the others may go just when a look at the pool's own tasks is out: */
        (void)runtime_control(rt, net_now_ns());
    }
    turn(); /* it must not come behind the end */
    assert_true(p.call.status == CHI_STATUS_OK && less.call.status == CHI_STATUS_OK && finis == 4);
}

/* A task that was told, and that its submitter sends to another pool from its end, is like any other there. */
static void again(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    of_status[task->status]++;
    task->pool = ADMIN;
    task->query = chi_local();
    ((struct job *)task)->mode = ASKS;
    chi_task_submit(r, task, done, NULL);
}
static void remove__leaves_no_mark_on_a_task_that_is_submitted_again(void **state)
{
    (void)state;
    struct worker *w = rt->worker[0];
    struct job *t = (struct job *)chi_task_new(&w->rctx, &job_method);
    t->task.pool = POOL;
    t->task.query = chi_direct(0);
    t->mode = SLEEPS;
    chi_task_submit(&w->rctx, &t->task, again, NULL);
    turn();
    struct pools_call p = call_for(pools_remove, POOL, 0, 0);
    pools_remove(rt, &p.call);
    until_over(&p);
    while (!ended)
        turn();
    assert_true(of_status[CHI_STATUS_NO_POOL] == 1 && of_status[CHI_STATUS_OK] == 1);
}

static void nothing(void *worker, void *arg) { (void)worker, (void)arg; }

/* A worker that is held delays the end, and nobody waits for it; its ring may be full by then. */
static void remove__goes_on_when_a_worker_does_not_turn(void **state)
{
    (void)state;
    struct pools_call p = call_for(pools_remove, POOL, 0, 0);
    while (worker_post(rt, 1, nothing, NULL))
        ;
    pools_remove(rt, &p.call);
    for (int i = 0; i < 20; i++) {
        (void)runtime_control(rt, net_now_ns());
        worker_enter(rt->worker[0]);
        support_turn(rt->worker[0]);
    }
    assert_int_equal(p.call.status, CHI_STATUS_PENDING);
    assert_int_equal(finis, 0);
    until_over(&p);
    assert_int_equal(p.call.status, CHI_STATUS_OK);
}

/* The upgrade counts on the containers that there were when it began, and has replaced what they call. */
static void pools__do_not_change_while_their_module_is_upgraded(void **state)
{
    (void)state;
    struct sched_module *m = sched_pool_find(&rt->sched, POOL)->module;
    m->changes = true;
    assert_int_equal(at_once(pools_apply, OTHER, 1, 1), CHI_STATUS_BUSY);
    assert_int_equal(at_once(pools_apply, POOL, 2, 2), CHI_STATUS_BUSY);
    assert_int_equal(at_once(pools_remove, POOL, 0, 0), CHI_STATUS_BUSY);
    assert_int_equal(at_once(pools_apply, POOL, 1, 6), CHI_STATUS_OK); /* as it is */
    assert_true(alive == 5 && !rt->ending);
    m->changes = false;
    assert_false(pools_end_of(rt, m));
    struct pools_call p = call_for(pools_apply, POOL, 2, 2);
    pools_apply(rt, &p.call);
    assert_true(pools_end_of(rt, m));
    until_over(&p);
    assert_int_equal(p.call.status, CHI_STATUS_OK);
    assert_int_equal(at_once(pools_apply, POOL, 3, 4), CHI_STATUS_OK);
    assert_false(pools_end_of(rt, m)); /* a table alone */
}

/* A daemon that stops in the middle gives all back. */
static void remove__at_the_stop(void **state)
{
    (void)state;
    stays = true;
    submit(0, POOL, chi_direct(0), PARKS, 0);
    turn();
    struct pools_call p = call_for(pools_remove, POOL, 0, 0);
    assert_int_equal(at_once(pools_apply, POOL, 2, 5), CHI_STATUS_OK); /* the old table waits for the pool's end */
    pools_remove(rt, &p.call);
    step();
    rt->stopping = true;
    (void)runtime_control(rt, net_now_ns());
    assert_int_equal(p.call.status, CHI_STATUS_SHUTDOWN);
    chi_complete(&rt->worker[0]->rctx, parked[0], CHI_STATUS_OK);
    turn();
    assert_non_null(rt->ending); /* the rest is teardown's */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(remove__ends_each_task_once),
        TEST(remove__what_has_not_begun_does_not),
        TEST(remove__does_not_wait_for_ever_and_ends_later),
        TEST(remove__waits_for_a_lane_that_moves),
        TEST(remove__goes_on_when_a_worker_does_not_turn),
        TEST(remove__at_the_stop),
        TEST(pools__do_not_change_while_their_module_is_upgraded),
        TEST(remove__frees_nothing_before_each_worker_looked_twice),
        TEST(remove__waits_for_containers_that_left_before),
        TEST(remove__leaves_no_mark_on_a_task_that_is_submitted_again),
        TEST(change__the_last_containers_go_and_the_others_stay),
        TEST(change__keeps_the_table_of_a_task_for_several),
        TEST(apply__refuses_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
