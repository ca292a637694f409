/* When a worker sleeps, what keeps it awake, and how it announces its sleep.  The test takes the turns, and sets the time that
 * the ladder sees. */
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "worker/carrier.h"
#include "worker_support.h"

enum { PAUSE_NS = 5000, SPIN_NS = 30000, SLEEP_MIN_NS = 50000, SLEEP_MAX_NS = 6400000 }; /* docs/LIMITS.md */
enum { TRIES = 1000 }; /* sleeps of 10 ms at most until something that must come is there */
static struct runtime *rt;
static struct worker *w;
static struct support_client client;
static bool flag; /* atomic */

static int setup(void **state)
{
    (void)state;
    rt = support_runtime(2, 64, NULL);
    w = rt->worker[0];
    support_connect(&client, 2);
    support_attach(&client, w);
    w->rctx.wake_ns = UINT64_MAX;
    flag = false;
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    support_leave(&client, w);
    support_end(rt);
    return 0;
}

/* A turn without work, so long after the last one that had some.  True when the worker slept. */
static bool sleeps_after(uint64_t ns)
{
    uint64_t before = w->stats.sleeps;
    w->rctx.now_ns = w->idle_since_ns + ns;
    idle_turn(w, 0);
    return w->stats.sleeps > before;
}

static bool bell_rung(void) { return poll(&(struct pollfd){.fd = w->bell.event_fd, .events = POLLIN}, 1, 0) == 1; }

static void idle__sleeps_only_after_its_spin(void **state)
{
    (void)state;
    w->rctx.now_ns = 1000000;
    idle_turn(w, 1); /* work: from here it counts */
    assert_int_equal(w->stats.turns_idle, 0);
    assert_false(sleeps_after(0));
    assert_false(sleeps_after(PAUSE_NS));
    assert_false(sleeps_after(SPIN_NS - 1));
    assert_true(sleeps_after(SPIN_NS));
    assert_int_equal(w->stats.turns_idle, 4);
    w->rctx.now_ns = 5000000;
    idle_turn(w, 1);
    w->rctx.now_ns = 5000000 + SPIN_NS - 1;
    idle_turn(w, 0);
    assert_int_equal(w->stats.sleeps, 1);
}

static void idle__of_a_busy_worker_never_sleeps(void **state)
{
    (void)state;
    rt->carrier[0]->busy = true;
    assert_false(sleeps_after(UINT32_MAX));
}

/* Worker 0 has a port that does not interrupt. */
static struct net *net_with_a_port(void)
{
    char err[NET_ERROR_BYTES];
    struct net *net;
    const struct net_options o = {.name = "idle test", .memory_bytes = 64 << 20, .workers = 2, .udp_port = 7440};
    const struct net_port_options p = {.name = "p0", .device = "net_ring0", .ip = 0x0a280001, .prefix = 24, .mtu = 1500};
    assert_int_equal(net_start(&o, &net, err), 0);
    assert_int_equal(net_port_add(net, &p, err), 0);
    return net;
}

static void idle__doubles_its_sleep_up_to_the_longest_and_begins_anew_after_work(void **state)
{
    (void)state;
    uint64_t want = SLEEP_MIN_NS;
    rt->net = net_with_a_port();
    for (int i = 0; i < 10; i++) {
        assert_int_equal(w->sleep_ns, want);
        assert_true(sleeps_after(SPIN_NS));
        want = want < SLEEP_MAX_NS ? 2 * want : want;
    }
    assert_int_equal(w->sleep_ns, SLEEP_MAX_NS);
    idle_turn(w, 1);
    assert_int_equal(w->sleep_ns, SLEEP_MIN_NS);
    net_stop(rt->net);
    rt->net = NULL;
}

static void idle__due_work_keeps_it_awake(void **state)
{
    (void)state;
    struct ring_item it = {.kind = RING_CALL};
    struct lane_item item = {NULL};
    w->rctx.wake_ns = w->idle_since_ns + SPIN_NS; /* a timer that is due */
    assert_false(sleeps_after(SPIN_NS));
    w->rctx.wake_ns = UINT64_MAX;
    w->overflow[1].head = &item; /* what another worker's ring did not take */
    assert_false(sleeps_after(SPIN_NS));
    w->overflow[1].head = NULL;
    for (uint32_t from = 1; from <= 2; from++) { /* worker 1, and the control thread */
        assert_true(ring_try_put(w->in[from], &it));
        assert_false(sleeps_after(SPIN_NS));
        assert_int_equal(w->bell.asleep, 0);
        assert_true(ring_try_get(w->in[from], &it));
    }
    struct fiber told = {.next = NULL};
    wait_tell(NULL, w, &told); /* a wait that another thread ended */
    assert_false(sleeps_after(SPIN_NS));
    w->woken = NULL;
    assert_false(bell_rung());
    doorbell_arm(&w->bell);
    wait_tell(NULL, w, &told); /* while it sleeps */
    assert_true(bell_rung());
    doorbell_drain(&w->bell);
    doorbell_disarm(&w->bell);
    w->woken = NULL;
    assert_true(sleeps_after(SPIN_NS));
}

static void idle__a_submission_keeps_it_awake_unless_its_client_is_gone(void **state)
{
    (void)state;
    struct shm_submit s = {.cookie = 0};
    support_submit(&client, &s);
    assert_false(sleeps_after(SPIN_NS));
    client.ch->detached = true;
    assert_true(sleeps_after(SPIN_NS)); /* or it would spin until the client's last task ended */
}

/* While it sleeps doorbell and segment say so, and a ring of the bell ends it. */
static void *ring_when_asleep(void *arg)
{
    struct shm_header *h = (struct shm_header *)client.ch->base;
    (void)arg;
    while (!__atomic_load_n(&flag, __ATOMIC_ACQUIRE))
        if (__atomic_load_n(&w->bell.asleep, __ATOMIC_ACQUIRE) && __atomic_load_n(&h->daemon_sleeps, __ATOMIC_ACQUIRE)) {
            doorbell_wake(&w->bell);
            __atomic_store_n(&flag, true, __ATOMIC_RELEASE);
        }
    return NULL;
}
static void sleep__is_announced_and_taken_back(void **state)
{
    (void)state;
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, ring_when_asleep, NULL), 0);
    for (int i = 0; i < TRIES && !__atomic_load_n(&flag, __ATOMIC_ACQUIRE); i++)
        assert_true(sleeps_after(SPIN_NS));
    bool seen = __atomic_exchange_n(&flag, true, __ATOMIC_ACQ_REL);
    pthread_join(t, NULL);
    assert_true(seen);
    assert_int_equal(w->bell.asleep, 0);
    assert_int_equal(((struct shm_header *)client.ch->base)->daemon_sleeps, 0);
}

/* The bell is among what ends a sleep, and is silent afterwards: or the next sleep would end at once. */
static void sleep__ends_by_the_bell_which_is_then_silent(void **state)
{
    (void)state;
    doorbell_wake(&w->bell);
    assert_true(bell_rung());
    assert_true(sleeps_after(SPIN_NS));
    assert_false(bell_rung());
}

/* A grace period does not wait for a worker that sleeps; awake, it is a reader again. */
static void *wait_for_readers(void *arg)
{
    (void)arg;
    synchronize_rcu();
    __atomic_store_n(&flag, true, __ATOMIC_RELEASE);
    return NULL;
}
static void sleep__is_offline_for_rcu(void **state)
{
    (void)state;
    pthread_t t;
    assert_true(rcu_read_ongoing());
    assert_int_equal(pthread_create(&t, NULL, wait_for_readers, NULL), 0);
    bool over = false;
    for (int i = 0; i < TRIES && !over; i++) {
        assert_true(sleeps_after(SPIN_NS));
        assert_true(rcu_read_ongoing());
        over = __atomic_load_n(&flag, __ATOMIC_ACQUIRE);
    }
    rcu_quiescent_state(); /* lets the thread end in any case */
    rcu_thread_offline();
    pthread_join(t, NULL);
    rcu_thread_online();
    assert_true(over);
}

/* A worker that has work all the time lets grace periods end too. */
static void turn__is_a_quiescent_state(void **state)
{
    (void)state;
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, wait_for_readers, NULL), 0);
    bool over = false;
    for (int i = 0; i < 1000000 && !over; i++) {
        worker_turn(w);
        sched_yield();
        over = __atomic_load_n(&flag, __ATOMIC_ACQUIRE);
    }
    rcu_thread_offline(); /* lets the thread end in any case */
    pthread_join(t, NULL);
    rcu_thread_online();
    assert_true(over);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(idle__sleeps_only_after_its_spin),
        TEST(idle__of_a_busy_worker_never_sleeps),
        TEST(idle__doubles_its_sleep_up_to_the_longest_and_begins_anew_after_work),
        TEST(idle__due_work_keeps_it_awake),
        TEST(idle__a_submission_keeps_it_awake_unless_its_client_is_gone),
        TEST(sleep__is_announced_and_taken_back),
        TEST(sleep__ends_by_the_bell_which_is_then_silent),
        TEST(sleep__is_offline_for_rcu),
        TEST(turn__is_a_quiescent_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
