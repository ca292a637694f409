/* All workers stand still while the control thread does something; one that does not come ends it for all. */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "worker_support.h"

static struct runtime *rt;
static bool turning; /* atomic */
static pthread_t thread;
static unsigned calls;

static uint64_t turns(uint32_t worker) { return __atomic_load_n(&rt->worker[worker]->stats.turns, __ATOMIC_RELAXED); }

static int setup(void **state)
{
    (void)state;
    rt = support_runtime(2, 64, NULL);
    calls = 0;
    return 0;
}
/* Both on one thread. */
static int setup_one_thread(void **state)
{
    static const uint32_t cores[] = {0};
    support_cores = cores;
    support_core_count = 1;
    support_stacks = 4;
    int rc = setup(state);
    support_cores = NULL;
    support_core_count = support_stacks = 0;
    return rc;
}
static int teardown(void **state)
{
    (void)state;
    support_end(rt);
    return 0;
}

static void await_turns(void)
{
    for (uint32_t i = 0; i < 2; i++)
        for (uint64_t more = turns(i) + 10; turns(i) < more;)
            usleep(100);
}

/* Nobody turns meanwhile. */
static void look(struct runtime *of, void *arg)
{
    uint64_t before[2] = {turns(0), turns(1)};
    assert_ptr_equal(of, rt);
    assert_ptr_equal(arg, &calls);
    calls++;
    usleep(2000);
    assert_true(turns(0) == before[0] && turns(1) == before[1]);
}

static void still__nobody_turns_while_it_is(void **state)
{
    char err[SCHED_ERROR_BYTES];
    (void)state;
    assert_int_equal(runtime_start(rt, err), 0);
    for (unsigned done = 0; done < 20;) {
        int rc = runtime_still(rt, look, &calls);
        assert_true(rc == 0 || rc == -ETIMEDOUT); /* the machine may be busy */
        done += rc == 0;
        assert_int_equal(calls, done);
    }
    await_turns(); /* and then they go on */
    assert_int_equal(runtime_stop(rt, UINT64_C(10000000000)), 0);
}

/* Turns one worker after the other, so that the second does not come while the first one stands. */
static void *turn_each(void *arg)
{
    (void)arg;
    rcu_register_thread();
    while (__atomic_load_n(&turning, __ATOMIC_ACQUIRE))
        for (uint32_t i = 0; i < 2; i++) {
            worker_enter(rt->worker[i]);
            worker_turn(rt->worker[i]);
        }
    rcu_unregister_thread();
    return NULL;
}

static void still__who_does_not_come_ends_it(void **state)
{
    (void)state;
    turning = true;
    assert_int_equal(pthread_create(&thread, NULL, turn_each, NULL), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(runtime_still(rt, look, &calls), -ETIMEDOUT);
        await_turns(); /* also the one that came late */
    }
    assert_int_equal(calls, 0);
    __atomic_store_n(&turning, false, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    worker_enter(rt->worker[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(still__nobody_turns_while_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(still__nobody_turns_while_it_is, setup_one_thread, teardown),
        cmocka_unit_test_setup_teardown(still__who_does_not_come_ends_it, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
