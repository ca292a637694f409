#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/hist.h"
#include "base/prng.h"

static uint32_t bucket_that_counts(uint64_t value)
{
    static struct hist h;
    hist_init(&h);
    hist_add(&h, value);
    for (uint32_t i = 0; i < HIST_BUCKETS; i++)
        if (h.bucket[i])
            return i;
    return HIST_BUCKETS;
}

static void hist_bucket_low__is_the_first_value_of_its_bucket(void **state)
{
    (void)state;
    assert_int_equal(hist_bucket_low(0), 0);
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        uint64_t low = hist_bucket_low(i);
        assert_int_equal(bucket_that_counts(low), i);
        if (i > 0) {
            uint64_t below = hist_bucket_low(i - 1);
            assert_int_equal(bucket_that_counts(low - 1), i - 1);
            assert_true(low - below == 1 || (low - below) * 32 <= below);
        }
    }
    assert_int_equal(bucket_that_counts(UINT64_C(1) << 40), HIST_BUCKETS - 1);
    assert_int_equal(bucket_that_counts(UINT64_MAX), HIST_BUCKETS - 1);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void hist_at__off_by_at_most_a_32nd(void **state)
{
    (void)state;
    enum { SAMPLES = 10000 };
    static uint64_t v[SAMPLES];
    static struct hist h;
    static const uint32_t points[] = {0, 1, 1000, 250000, 500000, 900000, 990000, 999000, 999999, 1000000, 2000000};
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        hist_init(&h);
        for (int i = 0; i < SAMPLES; i++) {
            v[i] = prng_next(&prng) >> (24 + prng_below(&prng, 40));
            hist_add(&h, v[i]);
        }
        qsort(v, SAMPLES, sizeof v[0], by_value);
        for (unsigned i = 0; i < sizeof points / sizeof points[0]; i++) {
            uint64_t ppm = points[i] < 1000000 ? points[i] : 1000000;
            uint64_t rank = (SAMPLES * ppm + 999999) / 1000000;
            uint64_t want = v[rank ? rank - 1 : 0], got = hist_at(&h, points[i]);
            assert_true(got >= want && got <= want + want / 32);
        }
        assert_true(hist_at(&h, 1000000) == h.max);
        assert_true(h.min == v[0] && h.max == v[SAMPLES - 1]);
    }
}

static void hist_at__empty_and_one(void **state)
{
    (void)state;
    static struct hist h;
    hist_init(&h);
    assert_int_equal(hist_at(&h, 500000), 0);
    hist_add(&h, 1000);
    assert_int_equal(hist_at(&h, 0), 1000); /* not above max */
    assert_int_equal(hist_at(&h, 1000000), 1000);
    hist_init(&h);
    hist_add(&h, UINT64_MAX);
    assert_true(hist_at(&h, 500000) == UINT64_MAX);
}

static void hist_add__keeps_count_sum_and_ends(void **state)
{
    (void)state;
    static struct hist h, to;
    static const uint64_t values[] = {50, 30, 90, 30};
    hist_init(&h);
    hist_init(&to);
    hist_add(&h, values[0]);
    assert_true(h.min == 50 && h.max == 50);
    for (unsigned i = 1; i < 4; i++)
        hist_add(&h, values[i]);
    assert_true(h.count == 4 && h.sum == 200 && h.min == 30 && h.max == 90);
    hist_merge(&to, &h);
    assert_true(to.count == 4 && to.sum == 200 && to.min == 30 && to.max == 90);
    hist_init(&h);
    hist_add(&h, 0);
    hist_merge(&to, &h);
    assert_true(to.min == 0 && to.bucket[0] == 1);
    assert_int_equal(hist_at(&to, 200000), 0);  /* one of five */
    assert_int_equal(hist_at(&to, 200001), 30); /* and the next */
}

static void hist_merge__same_as_adding_all(void **state)
{
    (void)state;
    static struct hist a, b, all, none;
    struct prng prng;
    prng_init(&prng, 5);
    hist_init(&a);
    hist_init(&b);
    hist_init(&all);
    hist_init(&none);
    for (int i = 0; i < 5000; i++) {
        uint64_t v = prng_below(&prng, 1000000);
        hist_add(i % 3 ? &a : &b, v);
        hist_add(&all, v);
    }
    hist_merge(&none, &a);
    hist_merge(&none, &b);
    assert_memory_equal(&none, &all, sizeof all);
    static struct hist empty;
    hist_init(&empty);
    hist_merge(&none, &empty);
    assert_memory_equal(&none, &all, sizeof all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hist_bucket_low__is_the_first_value_of_its_bucket),
        cmocka_unit_test(hist_at__off_by_at_most_a_32nd),
        cmocka_unit_test(hist_at__empty_and_one),
        cmocka_unit_test(hist_add__keeps_count_sum_and_ends),
        cmocka_unit_test(hist_merge__same_as_adding_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
