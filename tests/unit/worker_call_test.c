/* Calls of the control thread on a worker, and the clients that come and go by them; also on a worker that does not turn. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "worker_support.h"

static struct runtime *rt;
static struct support_client a, b;
static bool turning; /* atomic */
static pthread_t thread;

/* Turns both workers, as their threads would. */
static void *turn_all(void *arg)
{
    (void)arg;
    rcu_register_thread();
    while (__atomic_load_n(&turning, __ATOMIC_ACQUIRE))
        for (uint32_t i = 0; i < rt->workers; i++) {
            worker_enter(rt->worker[i]);
            worker_turn(rt->worker[i]);
        }
    rcu_unregister_thread();
    return NULL;
}
static void turn_begin(void)
{
    turning = true;
    rt->call_limit_ns = UINT64_C(60000000000);
    assert_int_equal(pthread_create(&thread, NULL, turn_all, NULL), 0);
}
static void turn_end(void)
{
    __atomic_store_n(&turning, false, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    rt->call_limit_ns = 1000000; /* nobody turns now */
}

static int setup(void **state)
{
    (void)state;
    rt = support_runtime(2, 64, NULL);
    assert_int_equal(rt->call_limit_ns, 2000000000); /* docs/LIMITS.md */
    rt->call_limit_ns = 1000000;
    support_connect(&a, 2);
    support_connect(&b, 2);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++)
        assert_null(rt->worker[i]->channels);
    support_end(rt);
    return 0;
}

static void note_worker(void *worker, void *arg) { *(void **)arg = worker; }
static void count(void *worker, void *arg)
{
    (void)worker;
    ++*(int *)arg;
}

static void turn_once(uint32_t i)
{
    worker_enter(rt->worker[i]);
    worker_turn(rt->worker[i]);
}

static int descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}
static void destroy__leaves_no_descriptor(void **state)
{
    (void)state;
    int before = descriptors();
    for (int i = 0; i < 3; i++) {
        struct runtime *other = NULL;
        char err[SCHED_ERROR_BYTES];
        assert_int_equal(runtime_create(&rt->options, &other, err), 0);
        assert_true(descriptors() > before);
        runtime_destroy(other);
        assert_int_equal(descriptors(), before);
    }
    ipc_destroy(a.ch);
    ipc_destroy(b.ch);
}

/* The second worker's core is not there: one line says so, and the first one can be stopped. */
static void start__on_a_core_that_is_not_there_fails_and_can_be_undone(void **state)
{
    (void)state;
    static const uint32_t cores[] = {0, 1023};
    struct runtime_options o = rt->options;
    struct runtime *other = NULL;
    char err[SCHED_ERROR_BYTES];
    o.cores = cores;
    assert_int_equal(runtime_create(&o, &other, err), 0);
    assert_int_equal(runtime_start(other, err), -EINVAL);
    assert_non_null(strstr(err, "core 1023"));
    assert_true(other->worker[0]->started);
    assert_int_equal(runtime_stop(other, UINT64_C(60000000000)), 0);
    runtime_destroy(other);
    ipc_destroy(a.ch);
    ipc_destroy(b.ch);
}

/* A module that ends its task only some turns after the daemon was told to stop. */
struct slow {
    struct chi_task task;
};
CHI_FIELDS(slow_fields) = {{0}};
static struct chi_method slow_method = {.name = "SLOW", .fields = slow_fields, .size = sizeof(struct slow), .id = 1};
static struct chi_task *parked;
static unsigned polls;
static enum chi_status slow_init(struct chi_container *c) { return chi_container_create_queue(c, 0, 1); }
static enum chi_status slow_run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c, (void)r;
    parked = task;
    return CHI_STATUS_PENDING;
}
static unsigned slow_poll(struct chi_container *c, struct chi_rctx *r)
{
    (void)c;
    if (parked && worker_stopping_st(r->worker) && ++polls == 1000) {
        chi_complete(r, parked, CHI_STATUS_OK);
        parked = NULL;
    }
    return 1;
}
static struct chi_method *const slow_methods[] = {&slow_method};
static const struct chi_chimod slow = {.abi = CHI_CHIMOD_ABI, .size = sizeof slow, .name = "slow", .methods = slow_methods, .nmethods = 1,
                                       .init = slow_init, .run = slow_run, .poll = slow_poll};
static void slow_done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    chi_task_del(r, task);
}
static void submit_slow(void *worker, void *arg)
{
    struct chi_rctx *r = &((struct worker *)worker)->rctx;
    struct chi_task *t = chi_task_new(r, &slow_method);
    (void)arg;
    t->pool = (struct chi_pool_id){100, 0};
    t->query = chi_local();
    chi_task_submit(r, t, slow_done, NULL);
}
static void is_parked(void *worker, void *arg)
{
    (void)worker;
    *(bool *)arg = parked != NULL;
}

static void stop__waits_for_the_tasks_that_end(void **state)
{
    (void)state;
    struct runtime_options o = rt->options;
    struct runtime *other = NULL;
    char err[SCHED_ERROR_BYTES];
    bool is = false;
    o.workers = 1;
    parked = NULL;
    polls = 0;
    assert_int_equal(runtime_create(&o, &other, err), 0);
    support_pool(other, &slow, (struct chi_pool_id){100, 0}, 1);
    other->call_limit_ns = UINT64_C(60000000000);
    assert_int_equal(runtime_start(other, err), 0);
    assert_int_equal(worker_call(other, 0, submit_slow, NULL), 0);
    while (!is)
        assert_int_equal(worker_call(other, 0, is_parked, &is), 0);
    assert_int_equal(runtime_stop(other, UINT64_C(60000000000)), 0);
    assert_int_equal(polls, 1000);
    runtime_destroy(other);
    ipc_destroy(a.ch);
    ipc_destroy(b.ch);
}

static void call__runs_on_the_worker_and_waits(void **state)
{
    (void)state;
    turn_begin();
    for (uint32_t i = 0; i < 2; i++) {
        void *seen = NULL;
        for (int n = 0; n < 3 * WORKER_RING_SLOTS; n++) /* more than the ring has: each is given back */
            assert_int_equal(worker_call(rt, i, note_worker, &seen), 0);
        assert_ptr_equal(seen, rt->worker[i]);
    }
    turn_end();
    ipc_destroy(a.ch);
    ipc_destroy(b.ch);
}

static void call__on_a_worker_that_does_not_turn_gives_up_and_runs_later(void **state)
{
    (void)state;
    int runs = 0;
    rt->call_limit_ns = 0;
    for (int i = 0; i < WORKER_RING_SLOTS; i++)
        assert_int_equal(worker_call(rt, 0, count, &runs), -ETIMEDOUT);
    assert_int_equal(worker_call(rt, 0, count, &runs), -EAGAIN);
    assert_int_equal(runs, 0);
    while (route_waiting(rt->worker[0]))
        turn_once(0);
    assert_int_equal(runs, WORKER_RING_SLOTS);
    ipc_destroy(a.ch);
    ipc_destroy(b.ch);
}

/* A call wakes the worker that announced its sleep. */
static void call__rings_the_bell(void **state)
{
    (void)state;
    int runs = 0;
    uint64_t rung = 0;
    doorbell_arm(&rt->worker[1]->bell);
    assert_int_equal(worker_call(rt, 1, count, &runs), -ETIMEDOUT);
    assert_int_equal(read(rt->worker[1]->bell.event_fd, &rung, sizeof rung), sizeof rung);
    turn_once(1);
    ipc_destroy(a.ch);
    ipc_destroy(b.ch);
}

static void attach__deals_the_clients_out_and_reap_takes_them_back(void **state)
{
    (void)state;
    turn_begin();
    assert_int_equal(runtime_attach(rt, a.ch), 0);
    assert_int_equal(runtime_attach(rt, b.ch), 0);
    assert_int_equal(a.ch->worker + b.ch->worker, 1);
    assert_int_equal(rt->worker[0]->clients, 1);
    assert_int_equal(rt->worker[1]->clients, 1);
    uint32_t of_b = b.ch->worker;
    runtime_detach(rt, b.ch);
    assert_true(b.ch->detached);
    b.ch->out = 1; /* a task of its is still out */
    b.ch->detached = false;
    assert_false(runtime_reap(rt, b.ch));
    assert_true(b.ch->detached); /* also when the detachment did not reach the worker */
    assert_int_equal(rt->worker[of_b]->clients, 1);
    b.ch->out = 0;
    int memfd = b.ch->memfd;
    assert_true(runtime_reap(rt, b.ch));
    assert_int_equal(rt->worker[of_b]->clients, 0);
    assert_int_equal(fcntl(memfd, F_GETFD), -1); /* its segment is gone */
    support_connect(&b, 2);
    assert_int_equal(runtime_attach(rt, b.ch), 0);
    assert_int_equal(b.ch->worker, of_b); /* who has the least gets the next */
    assert_true(runtime_reap(rt, a.ch));
    assert_true(runtime_reap(rt, b.ch));
    turn_end();
}

/* A client's eventfd ends its worker's sleep, once for each write, and no more when the client is gone: it has a copy. */
static void attach__lets_the_client_wake_its_worker(void **state)
{
    (void)state;
    const uint64_t one = 1;
    struct epoll_event ev;
    turn_begin();
    assert_int_equal(runtime_attach(rt, a.ch), 0);
    int epoll = rt->worker[a.ch->worker]->epoll_fd, copy = dup(a.ch->worker_event);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(write(copy, &one, sizeof one), sizeof one);
        assert_int_equal(epoll_wait(epoll, &ev, 1, 0), 1);
        assert_int_equal(epoll_wait(epoll, &ev, 1, 0), 0); /* nobody reads it, and yet it is silent */
    }
    assert_true(runtime_reap(rt, a.ch));
    assert_int_equal(write(copy, &one, sizeof one), sizeof one);
    assert_int_equal(epoll_wait(epoll, &ev, 1, 0), 0);
    close(copy);
    turn_end();
    ipc_destroy(b.ch);
}

static void attach__that_cannot_be_called_leaves_the_channel(void **state)
{
    (void)state;
    int runs = 0;
    rt->call_limit_ns = 0;
    for (int i = 0; i < WORKER_RING_SLOTS; i++)
        assert_int_equal(worker_call(rt, 0, count, &runs), -ETIMEDOUT);
    assert_int_equal(runtime_attach(rt, a.ch), -EAGAIN);
    assert_int_equal(rt->worker[0]->clients, 0);
    while (route_waiting(rt->worker[0]))
        turn_once(0);
    assert_null(rt->worker[0]->channels);
    ipc_destroy(a.ch);
    ipc_destroy(b.ch);
}

/* The call waits in the worker's ring: the channel is the worker's when it turns, and must not have been destroyed. */
static void attach__to_a_worker_that_does_not_turn_is_reaped_when_it_does(void **state)
{
    (void)state;
    assert_int_equal(runtime_attach(rt, a.ch), -ETIMEDOUT); /* and is the caller's to reap */
    assert_null(rt->worker[0]->channels);
    runtime_detach(rt, a.ch); /* it left meanwhile */
    assert_false(runtime_reap(rt, a.ch));
    turn_once(0);
    assert_null(rt->worker[0]->channels);
    turn_begin();
    assert_true(runtime_reap(rt, a.ch));
    assert_int_equal(rt->worker[0]->clients, 0);
    turn_end();
    ipc_destroy(b.ch);
}

/* What a call that timed out removes later is the channel that it was made for. */
static void reap__that_timed_out_removes_its_own_channel(void **state)
{
    (void)state;
    turn_begin();
    assert_int_equal(runtime_attach(rt, a.ch), 0);
    assert_int_equal(runtime_attach(rt, b.ch), 0);
    turn_end();
    uint32_t of_a = a.ch->worker, of_b = b.ch->worker;
    assert_false(runtime_reap(rt, a.ch));
    assert_false(runtime_reap(rt, b.ch));
    turn_once(of_a);
    assert_null(rt->worker[of_a]->channels);
    assert_ptr_equal(rt->worker[of_b]->channels, b.ch); /* its worker did not turn yet */
    assert_false(b.ch->detached);
    assert_false(runtime_reap(rt, a.ch)); /* it is off its worker, but this call still names it */
    turn_begin();
    assert_true(runtime_reap(rt, a.ch));
    assert_true(runtime_reap(rt, b.ch));
    turn_end();
}

static void count_turns(void *worker, void *arg) { *(uint64_t *)arg = ((struct worker *)worker)->stats.turns; }

/* As many turns as a full ring between workers takes. */
static void settle__takes_what_was_on_its_way(void **state)
{
    (void)state;
    uint64_t before[2], after[2];
    turn_begin();
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(worker_call(rt, i, count_turns, &before[i]), 0);
    assert_int_equal(runtime_settle(rt), 0);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(worker_call(rt, i, count_turns, &after[i]), 0);
        assert_true(after[i] - before[i] > WORKER_RING_SLOTS / WORKER_LANE_BUDGET);
    }
    turn_end();
    assert_int_equal(runtime_settle(rt), -ETIMEDOUT); /* nobody turns */
    turn_begin();
    assert_int_equal(runtime_settle(rt), 0);
    turn_end();
    ipc_destroy(a.ch);
    ipc_destroy(b.ch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(destroy__leaves_no_descriptor),
        TEST(start__on_a_core_that_is_not_there_fails_and_can_be_undone),
        TEST(stop__waits_for_the_tasks_that_end),
        TEST(call__runs_on_the_worker_and_waits),
        TEST(call__on_a_worker_that_does_not_turn_gives_up_and_runs_later),
        TEST(call__rings_the_bell),
        TEST(settle__takes_what_was_on_its_way),
        TEST(attach__deals_the_clients_out_and_reap_takes_them_back),
        TEST(attach__lets_the_client_wake_its_worker),
        TEST(attach__that_cannot_be_called_leaves_the_channel),
        TEST(attach__to_a_worker_that_does_not_turn_is_reaped_when_it_does),
        TEST(reap__that_timed_out_removes_its_own_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
