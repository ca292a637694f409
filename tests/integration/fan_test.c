/* fan_test.c - tasks for 64 containers on two daemons: each once, outputs merged, slices in place, what became of each, and what does when one of the
 * daemons dies with them. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "probe/probe.h"

enum { ALL = 64, HERE = 32, MARK = 24, IN = 300000 };
static struct node one, two;
static struct chi_client *client;
static const struct chi_pool_id PROBE = {200, 0};
static uint8_t *runs;
static uint64_t bases = ALL; /* that the next task has */
static struct chi_replica each[ALL];

static struct probe_part part(struct chi_query q, struct chi_replicas *to)
{
    struct probe_part t = {.task = {.pool = PROBE, .query = q, .method = &probe_part_method, .replicas = to, .timeout_us = 60000000},
                           .base = bases, .bad = UINT64_MAX, .park = UINT64_MAX};
    bases += ALL;
    return t;
}
static enum chi_status call(struct chi_task *t)
{
    chi_submit(client, t);
    return chi_wait(client, t, INT64_C(60000000000));
}
static void expect_ran(const struct probe_part *t, uint32_t first, uint32_t count)
{
    for (uint32_t k = 0; k < ALL; k++)
        assert_int_equal(runs[t->base + k], k >= first && k < first + count);
}
static void expect_marks(const uint8_t *p, uint32_t first, uint32_t count, uint32_t bad)
{
    for (uint32_t k = 0; k < count * MARK; k++)
        assert_int_equal(p[k], first + k / MARK == bad ? 0 : first + k / MARK + 1);
}

static void broadcast__runs_once_in_each_container_and_comes_back_merged(void **state)
{
    struct chi_replicas to = {each, ALL, 0};
    uint8_t *in = chi_bulk_alloc(client, IN), *mark = chi_bulk_alloc(client, ALL * MARK);
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct probe_part t = part(round % 2 ? chi_broadcast() : chi_range(0, ALL), &to);
        probe_fill(in, IN, t.base);
        t.in = (struct chi_bulk){in, IN, 0};
        t.mark = (struct chi_bulk){mark, ALL * MARK, 0};
        assert_int_equal(call(&t.task), CHI_STATUS_OK);
        expect_ran(&t, 0, ALL);
        assert_int_equal(t.sum, ALL * (ALL + 1) / 2);
        assert_int_equal(t.mark.used, ALL * MARK);
        expect_marks(mark, 0, ALL, ALL);
        assert_int_equal(to.count, ALL);
        for (uint32_t k = 0; k < ALL; k++)
            assert_true(each[k].container == k && each[k].status == CHI_STATUS_OK);
    }
    chi_bulk_free(client, in);
    chi_bulk_free(client, mark);
}

static void range__says_what_became_of_each(void **state)
{
    struct chi_replicas to = {each, ALL, 0}, few = {each, 3, 0};
    uint8_t *mark = chi_bulk_alloc(client, ALL * MARK);
    (void)state;
    struct probe_part t = part(chi_range(20, 30), &to);
    t.bad = 40;
    t.mark = (struct chi_bulk){mark, 30 * MARK, 0};
    assert_int_equal(call(&t.task), CHI_STATUS_MODULE);
    expect_ran(&t, 20, 30);
    assert_int_equal(t.sum, 30 * 20 + 30 * 31 / 2 - 41); /* of those that did well */
    expect_marks(mark, 20, 30, 40);
    assert_int_equal(to.count, 30);
    for (uint32_t k = 0; k < 30; k++)
        assert_true(each[k].container == 20 + k && each[k].status == (k == 20 ? CHI_STATUS_MODULE : CHI_STATUS_OK));
    t = part(chi_range(31, 2), &few);
    assert_int_equal(call(&t.task), CHI_STATUS_OK);
    assert_int_equal(few.count, 2);
    t = part(chi_range(30, 4), &few);
    t.mark = (struct chi_bulk){mark, 4 * MARK + 1, 0};
    assert_int_equal(call(&t.task), CHI_STATUS_INVALID); /* not a multiple of 4 */
    assert_int_equal(few.count, 0);
    expect_ran(&t, 0, 0);
    t.mark.size = 4 * MARK;
    assert_int_equal(call(&t.task), CHI_STATUS_OK);
    assert_int_equal(few.count, 3);
    t = part(chi_range(60, 5), &few);
    assert_int_equal(call(&t.task), CHI_STATUS_NO_CONTAINER);
    t = part(chi_range(63, 1), NULL);
    assert_int_equal(call(&t.task), CHI_STATUS_OK);
    expect_ran(&t, 63, 1);
    chi_bulk_free(client, mark);
}

/* Many at once: none takes another's place. */
static void broadcast__many_at_once(void **state)
{
    enum { MANY = 60 };
    static struct probe_part t[MANY];
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        t[i] = part(i % 3 ? chi_broadcast() : chi_range(i, 1 + i % 4), NULL);
        assert_int_equal(chi_submit(client, &t[i].task), CHI_STATUS_PENDING);
    }
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(chi_wait(client, &t[i].task, INT64_C(60000000000)), CHI_STATUS_OK);
        expect_ran(&t[i], i % 3 ? 0 : i, i % 3 ? ALL : 1 + i % 4);
    }
}

/* The other daemon dies while one of its containers holds the task: what ran there says so, and what ran here is as it was. */
static bool has_begun(void *arg) { return __atomic_load_n(&runs[((const struct probe_part *)arg)->base + 40], __ATOMIC_RELAXED) != 0; }
static void broadcast__to_a_node_that_dies_says_which_may_have_run(void **state)
{
    struct chi_replicas to = {each, ALL, 0};
    (void)state;
    struct probe_part t = part(chi_broadcast(), &to);
    t.park = 40;
    assert_int_equal(chi_submit(client, &t.task), CHI_STATUS_PENDING);
    until(has_begun, &t, "the task that holds the other node's answer");
    node_kill(&two);
    assert_int_equal(chi_wait(client, &t.task, INT64_C(60000000000)), CHI_STATUS_PEER_DOWN);
    assert_int_equal(to.count, ALL);
    for (uint32_t k = 0; k < ALL; k++)
        assert_int_equal(each[k].status, k < HERE ? CHI_STATUS_OK : CHI_STATUS_PEER_DOWN);
    assert_int_equal(t.sum, HERE * (HERE + 1) / 2);
    node_start(&two);
    t = part(chi_broadcast(), &to); /* and when it is back it has them again */
    assert_int_equal(call(&t.task), CHI_STATUS_OK);
    expect_ran(&t, 0, ALL);
}

static void start(void)
{
    const struct node_options o1 = {.peer = 2, .modules = MODULES_OF_TESTS, .compose = "  - {mod: probe, pool: 200.0, name: probe, containers: 32}"};
    struct node_options o2 = o1;
    o2.peer = 1;
    pair_start(&one, &two, &o1, &o2);
    client = node_connect(&one);
}
static int setup(void **state)
{
    char path[160];
    if (folder_setup(state))
        return -1;
    snprintf(path, sizeof path, "%s/runs", test_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, PROBE_RUNS_BYTES) == 0);
    runs = mmap(NULL, PROBE_RUNS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    assert_true(runs != MAP_FAILED);
    assert_int_equal(setenv(PROBE_RUNS, path, 1), 0);
    start();
    return 0;
}
static void stop__the_daemons_end_well(void **state)
{
    (void)state;
    chi_disconnect(client);
    pair_stop(&one, &two);
    munmap(runs, PROBE_RUNS_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broadcast__runs_once_in_each_container_and_comes_back_merged),
        cmocka_unit_test(range__says_what_became_of_each),
        cmocka_unit_test(broadcast__many_at_once),
        cmocka_unit_test(broadcast__to_a_node_that_dies_says_which_may_have_run),
        cmocka_unit_test(stop__the_daemons_end_well),
    };
    return cmocka_run_group_tests(tests, setup, folder_teardown);
}
