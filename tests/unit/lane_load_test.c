#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lane/load.h"

static struct load_model a, b;
static struct load_key key(uint32_t minor, uint16_t method, uint16_t size_class)
{
    return (struct load_key){.major = 100, .minor = minor, .method = method, .size_class = size_class};
}
static int setup(void **state)
{
    (void)state;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    return 0;
}

static void class__is_the_power_of_two(void **state)
{
    (void)state;
    assert_int_equal(load_class(0), 0);
    assert_int_equal(load_class(1), 1);
    for (unsigned k = 1; k < 64; k++) {
        assert_int_equal(load_class(UINT64_C(1) << k), k + 1);
        assert_int_equal(load_class((UINT64_C(1) << k) - 1), k);
    }
    assert_int_equal(load_class(UINT64_MAX), 64);
}

static void mean__rolls(void **state)
{
    (void)state;
    const struct load_key k = key(0, 1, 0);
    assert_int_equal(load_mean_ns(&a, &k), 0);
    assert_int_equal(load_measured(&a, &k), 0);
    load_add(&a, &k, 800, 0, 1);
    assert_int_equal(load_mean_ns(&a, &k), 800); /* the first is all that is known */
    load_add(&a, &k, 1600, 0, 1);
    assert_int_equal(load_mean_ns(&a, &k), 900); /* an eighth of the way */
    for (int i = 0; i < 200; i++)
        load_add(&a, &k, 5000, 0, 1);
    assert_int_equal(load_mean_ns(&a, &k), 5000); /* it gets there */
    for (int i = 0; i < 40; i++)
        load_add(&a, &k, 1, 0, 1);
    assert_in_range(load_mean_ns(&a, &k), 1, 5000 / 50); /* what is 40 runs back is as good as gone */
    assert_int_equal(load_measured(&a, &k), 242);
}

static void mean__of_the_longest_stays_in_bounds(void **state)
{
    (void)state;
    const struct load_key k = key(0, 1, 0);
    for (int i = 0; i < 100; i++) {
        load_add(&a, &k, UINT64_MAX, 0, 1);
        assert_int_equal(load_mean_ns(&a, &k), LOAD_RUN_MAX_NS);
    }
    assert_int_equal(load_queued_ns(UINT64_MAX, LOAD_RUN_MAX_NS), LOAD_RUN_MAX_NS);
    assert_int_equal(load_queued_ns(UINT64_MAX, 1), LOAD_RUN_MAX_NS);
    assert_int_equal(load_queued_ns(3, 7), 21);
    assert_int_equal(load_queued_ns(UINT64_MAX, 0), 0);
}

static void add__keeps_pools_methods_and_classes_apart(void **state)
{
    (void)state;
    const struct load_key k[] = {key(0, 1, 0), key(1, 1, 0), key(0, 2, 0), key(0, 1, 1), key(0, LOAD_BATCH, 0), {.major = 101, .method = 1}};
    for (unsigned i = 0; i < 6; i++)
        load_add(&a, &k[i], 100 * (i + 1), 0, 1);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(load_mean_ns(&a, &k[i]), 100 * (i + 1));
}

static void add__each_run_stands_for_many(void **state)
{
    (void)state;
    const struct load_key k = key(0, 1, 5);
    const struct load_model *const all[] = {&a};
    struct load_sum s;
    load_add(&a, &k, 100, 16, 1);
    load_add(&a, &k, 300, 24, 61);
    assert_int_equal(load_merge(all, 1, &s, 1), 1);
    assert_true(s.tasks == 62 && s.run_ns == 100 + 61 * 300 && s.bytes == 16 + 61 * 24 && s.measured == 2);
    assert_memory_equal(&s.key, &k, sizeof k);
}

/* Beyond the room the rest is lost, and what was there goes on. */
static void add__full_is_no_error(void **state)
{
    (void)state;
    unsigned kept = 0;
    for (uint32_t i = 0; i < 4 * LOAD_CELLS; i++) {
        const struct load_key k = key(i / 65, 3, (uint16_t)(i % 65));
        load_add(&a, &k, i + 1, 0, 1);
        kept += load_mean_ns(&a, &k) == i + 1;
    }
    assert_int_equal(kept, LOAD_CELLS);
    assert_int_equal(a.lost, 3 * LOAD_CELLS);
    const struct load_key first = key(0, 3, 0), none = key(4 * LOAD_CELLS, 3, 0);
    load_add(&a, &first, 1, 0, 1);
    assert_int_equal(load_measured(&a, &first), 2);
    assert_int_equal(load_mean_ns(&a, &none), 0);
}

static void merge__sums_what_all_workers_know(void **state)
{
    (void)state;
    const struct load_key both = key(0, 1, 0), one = key(0, 2, 0);
    const struct load_model *const all[] = {&a, &b};
    struct load_sum s[8];
    assert_int_equal(load_merge(all, 2, s, 8), 0);
    for (int i = 0; i < 3; i++)
        load_add(&a, &both, 1000, 8, 10);
    load_add(&b, &both, 5000, 8, 1);
    load_add(&b, &one, 70, 0, 1);
    assert_int_equal(load_merge(all, 2, s, 8), 2);
    const struct load_sum *x = s[0].key.method == 1 ? &s[0] : &s[1], *y = s[0].key.method == 1 ? &s[1] : &s[0];
    assert_true(x->measured == 4 && x->tasks == 31 && x->run_ns == 35000 && x->bytes == 248);
    assert_int_equal(x->mean_ns, 2000); /* 3 of 1000, one of 5000 */
    assert_true(y->key.method == 2 && y->mean_ns == 70 && y->measured == 1);
    const struct load_model *const turned[] = {&b, &a};
    assert_int_equal(load_merge(turned, 2, s, 8), 2);
    assert_int_equal((s[0].key.method == 1 ? s[0] : s[1]).mean_ns, 2000);
    assert_int_equal(load_merge(all, 2, s, 1), 1); /* no more than there is room for */
    assert_int_equal(s[0].measured, s[0].key.method == 1 ? 4 : 1);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(class__is_the_power_of_two), TEST(mean__rolls), TEST(mean__of_the_longest_stays_in_bounds), TEST(add__keeps_pools_methods_and_classes_apart),
        TEST(add__each_run_stands_for_many), TEST(add__full_is_no_error), TEST(merge__sums_what_all_workers_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
