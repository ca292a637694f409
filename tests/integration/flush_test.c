/* flush_test.c - a flush on two daemons of two workers each: by clients of either, by a task, by chictl; beside tasks that come all the time. */
#define _GNU_SOURCE
#include <pthread.h>

#include "base/prng.h"
#include "chi/flush.h"
#include "guest/guest.h"
#include "harness.h"

enum { ROUNDS = 25, TASKS = 120, NAP_US = 3000, LIMIT = 60000000 };
static const struct chi_pool_id POOL = {210, 0};
static struct node one, two;

static struct guest_stay stay(struct chi_query q, enum guest_mode mode, uint64_t value)
{
    return (struct guest_stay){.task = {.pool = POOL, .query = q, .method = &guest_stay_method, .timeout_us = LIMIT}, .mode = mode, .value = value};
}

/* A client that always has some tasks out. */
struct crowd {
    pthread_t thread;
    const struct node *node;
    bool enough; /* atomic */
    uint64_t ended;
};
static void *crowd(void *arg)
{
    enum { OUT = 8 };
    struct crowd *c = arg;
    struct chi_client *chi = node_connect(c->node);
    struct guest_stay t[OUT];
    for (unsigned i = 0; i < OUT; i++) {
        t[i] = stay(chi_direct(i % 4), GUEST_NAPS, 50);
        chi_submit(chi, &t[i].task);
    }
    for (unsigned i = 0; !__atomic_load_n(&c->enough, __ATOMIC_RELAXED); i = (i + 1) % OUT) {
        if (chi_wait(chi, &t[i].task, INT64_C(60000000000)) != CHI_STATUS_OK)
            break;
        c->ended++;
        t[i] = stay(chi_direct(i % 4), GUEST_NAPS, 50);
        chi_submit(chi, &t[i].task);
    }
    for (unsigned i = 0; i < OUT; i++)
        (void)chi_wait(chi, &t[i].task, INT64_C(60000000000));
    chi_disconnect(chi);
    return NULL;
}

static void flush__is_behind_what_was_submitted_before(void **state)
{
    (void)state;
    struct chi_client *c[2] = {node_connect(&one), node_connect(&two)};
    struct crowd others = {.node = &two};
    struct guest_stay t[2][TASKS];
    struct prng prng;
    prng_init(&prng, 7);
    assert_int_equal(pthread_create(&others.thread, NULL, crowd, &others), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < 2 * TASKS; i++) { /* of both nodes, to both */
            struct guest_stay *s = &t[i % 2][i / 2];
            *s = stay(chi_direct((uint32_t)prng_below(&prng, 4)), GUEST_NAPS, prng_below(&prng, NAP_US));
            assert_int_equal(chi_submit(c[i % 2], &s->task), CHI_STATUS_PENDING);
        }
        (void)chi_poll(c[0]), (void)chi_poll(c[1]); /* a submission that no other call follows may not be seen yet (chi/client.h) */
        assert_int_equal(chi_client_flush(c[round % 2], round % 3 ? &POOL : NULL, LIMIT), CHI_STATUS_OK);
        (void)chi_poll(c[0]), (void)chi_poll(c[1]);
        for (unsigned i = 0; i < 2 * TASKS; i++)
            assert_int_equal(t[i % 2][i / 2].task.status, CHI_STATUS_OK);
    }
    __atomic_store_n(&others.enough, true, __ATOMIC_RELAXED);
    pthread_join(others.thread, NULL);
    assert_true(others.ended > 0);
    chi_disconnect(c[0]);
    chi_disconnect(c[1]);
}

static void flush__says_why_not(void **state)
{
    (void)state;
    struct chi_client *c = node_connect(&two);
    assert_int_equal(chi_client_flush(c, &(struct chi_pool_id){99, 9}, LIMIT), CHI_STATUS_NO_POOL);
    struct guest_stay deaf = stay(chi_direct(3), GUEST_DEAF, 0); /* 2 s */
    chi_submit(c, &deaf.task);
    assert_int_equal(chi_client_flush(c, &POOL, 50000), CHI_STATUS_DEADLINE);
    assert_int_equal(chi_client_flush(c, &ECHO, LIMIT), CHI_STATUS_OK); /* another pool */
    assert_int_equal(deaf.task.status, CHI_STATUS_PENDING);
    assert_int_equal(chi_client_flush(c, &POOL, LIMIT), CHI_STATUS_OK);
    (void)chi_poll(c);
    assert_int_equal(deaf.task.status, CHI_STATUS_OK);
    chi_disconnect(c);
}

static void flush__by_a_task(void **state)
{
    (void)state;
    struct chi_client *c = node_connect(&one);
    struct guest_stay nap = stay(chi_direct(3), GUEST_NAPS, 20000), f = stay(chi_direct(0), GUEST_FLUSHES, 0);
    chi_submit(c, &nap.task);
    chi_submit(c, &f.task);
    assert_int_equal(chi_wait(c, &f.task, -1), CHI_STATUS_OK);
    (void)chi_poll(c);
    assert_int_equal(nap.task.status, CHI_STATUS_OK);
    chi_disconnect(c);
}

static void chictl__flushes(void **state)
{
    char out[4096];
    (void)state;
    struct {
        const char *pool, *says;
        int status;
    } runs[] = {{NULL, "flushed", 0}, {"echo", "flushed", 0}, {"210.0", "flushed", 0}, {"nosuch", "there is no pool 'nosuch' here", 1}, {"9.9", "no pool", 1}};
    for (unsigned i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        const char *const argv[] = {CHI_BUILD_DIR "/bin/chictl", "-s", two.socket, "flush", runs[i].pool ? "--pool" : NULL, runs[i].pool, NULL};
        assert_int_equal(run_program(out, sizeof out, argv), runs[i].status);
        if (!strstr(out, runs[i].says))
            fail_msg("chictl flush --pool %s: %s", runs[i].pool, out);
    }
}

static bool says_down(void *client)
{
    enum chi_status st = chi_client_flush(client, NULL, LIMIT);
    assert_int_not_equal(st, CHI_STATUS_PENDING);
    return st == CHI_STATUS_OK;
}

/* A node that dies in the middle ends it with a status that is not OK; with the node again there it is one as ever. */
static void flush__of_a_node_that_dies(void **state)
{
    (void)state;
    struct chi_client *c = node_connect(&one);
    struct guest_stay deaf = stay(chi_direct(3), GUEST_DEAF, 0);
    struct chi_flush_task f;
    memset(&f, 0, sizeof f);
    chi_submit(c, &deaf.task);
    chi_flush_init(&f, NULL, LIMIT);
    chi_submit(c, &f.task);
    assert_int_equal(chi_wait(c, &f.task, 100000000), CHI_STATUS_TIMED_OUT);
    node_kill(&two);
    (void)chi_wait(c, &f.task, -1);
    enum chi_status st = chi_flush_status(&f);
    assert_true(st == CHI_STATUS_PEER_DOWN || st == CHI_STATUS_UNREACHABLE);
    assert_int_equal(f.node, 2);
    node_start(&two);
    until(says_down, c, "a flush after the node came back");
    chi_disconnect(c);
}

static int pair_setup(void **state)
{
    static const struct node_options o = {.modules = MODULES_OF_TESTS, .cores = "0", .workers = 2, .limits = "peer_silence_ms: 300",
                                          .compose = "  - {mod: guest, pool: 210.0, name: guest, containers: 2}\n"};
    if (folder_setup(state))
        return -1;
    pair_start(&one, &two, &o, &o);
    return 0;
}
static void nodes__end_well(void **state)
{
    (void)state;
    pair_stop(&one, &two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flush__is_behind_what_was_submitted_before),
        cmocka_unit_test(flush__says_why_not),
        cmocka_unit_test(flush__by_a_task),
        cmocka_unit_test(chictl__flushes),
        cmocka_unit_test(flush__of_a_node_that_dies),
        cmocka_unit_test(nodes__end_well),
    };
    return cmocka_run_group_tests(tests, pair_setup, folder_teardown);
}
