/* Clients of workers that do not turn: the control thread gives up its calls, and what they name stays until they ran. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>

#include "worker/internal.h"

static struct runtime *rt;

static struct ipc_channel *channel(void)
{
    static const struct ipc_limits limits = {1 << 20, 64};
    const struct shm_attach_request rq = {SHM_MAGIC, SHM_VERSION, 4096, 4, 0};
    struct ipc_channel *ch;
    assert_int_equal(ipc_create(&rq, &limits, &ch), 0);
    return ch;
}

static void reap__of_a_worker_that_does_not_turn_names_its_own_channel(void **state)
{
    (void)state;
    struct ipc_channel *a = channel(), *b = channel();
    assert_int_equal(runtime_attach(rt, a), -ETIMEDOUT);
    assert_int_equal(runtime_attach(rt, b), -ETIMEDOUT);
    assert_true(a->worker == 0 && b->worker == 1); /* one that timed out counts, so the second goes elsewhere */
    b->out = 1;
    assert_false(runtime_reap(rt, a));
    assert_false(runtime_reap(rt, b));

    worker_enter(rt->worker[0]);
    route_inbox(rt->worker[0]);
    assert_true(a->removed && a->detached && !rt->worker[0]->channels);
    assert_false(b->detached);

    worker_enter(rt->worker[1]);
    route_inbox(rt->worker[1]);
    assert_true(b->detached && !b->removed); /* its task still names its memory */
    assert_ptr_equal(rt->worker[1]->channels, b);
    worker_enter(NULL);

    char err[SCHED_ERROR_BYTES];
    b->out = 0;
    assert_int_equal(runtime_start(rt, err), 0);
    assert_true(runtime_reap(rt, a));
    assert_true(runtime_reap(rt, b));
    assert_true(rt->worker[0]->clients == 0 && rt->worker[1]->clients == 0);
    assert_null(rt->worker[1]->channels);
    assert_int_equal(runtime_stop(rt, 1000000000), 0);
}

static int setup(void **state)
{
    static const uint32_t cores[] = {0, 0}, nodes[] = {1};
    char err[SCHED_ERROR_BYTES];
    const struct runtime_options o = {.node_id = 1, .workers = 2, .cores = cores, .tasks = 64, .arena_bytes = 1 << 20,
                                      .task_timeout_ns = 1000000000, .nodes = nodes, .node_count = 1, .cluster = "test"};
    (void)state;
    rcu_register_thread();
    return runtime_create(&o, &rt, err);
}

static int teardown(void **state)
{
    (void)state;
    runtime_destroy(rt);
    rcu_unregister_thread();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reap__of_a_worker_that_does_not_turn_names_its_own_channel)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
