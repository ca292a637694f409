#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/prng.h"
#include "base/ranges.h"
#include "panics.h"

static void assert_shape(const struct ranges *rs)
{
    assert_true(rs->count <= RANGES_MAX);
    for (uint32_t i = 0; i < rs->count; i++) {
        assert_true(rs->r[i].start < rs->r[i].end);
        if (i > 0)
            assert_true(rs->r[i - 1].end < rs->r[i].start);
    }
}

static void ranges_add__in_order_is_one(void **state)
{
    (void)state;
    struct ranges rs;
    ranges_init(&rs);
    for (uint64_t i = 0; i < 100000; i += 100)
        assert_int_equal(ranges_add(&rs, i, i + 100), 0);
    assert_int_equal(rs.count, 1);
    assert_int_equal(rs.r[0].start, 0);
    assert_int_equal(rs.r[0].end, 100000);
}

static void ranges_add__joins_neighbours(void **state)
{
    (void)state;
    struct ranges rs;
    ranges_init(&rs);
    assert_int_equal(ranges_add(&rs, 10, 20), 0);
    assert_int_equal(ranges_add(&rs, 30, 40), 0);
    assert_int_equal(ranges_add(&rs, 50, 60), 0);
    assert_int_equal(rs.count, 3);
    assert_int_equal(ranges_add(&rs, 20, 30), 0); /* touches both sides */
    assert_int_equal(rs.count, 2);
    assert_int_equal(ranges_add(&rs, 5, 100), 0); /* swallows all */
    assert_int_equal(rs.count, 1);
    assert_int_equal(rs.r[0].start, 5);
    assert_int_equal(rs.r[0].end, 100);
    assert_int_equal(ranges_add(&rs, 6, 7), 0); /* inside */
    assert_int_equal(rs.r[0].end, 100);
}

static void ranges_add__full_leaves_it_as_it_was(void **state)
{
    (void)state;
    struct ranges rs;
    ranges_init(&rs);
    for (uint64_t i = 0; i < RANGES_MAX; i++)
        assert_int_equal(ranges_add(&rs, 10 * i + 10, 10 * i + 15), 0);
    struct ranges before = rs;
    assert_int_equal(ranges_add(&rs, 1, 2), -ENOSPC);
    assert_int_equal(ranges_add(&rs, 17, 18), -ENOSPC);
    assert_int_equal(ranges_add(&rs, 100000, 100001), -ENOSPC);
    assert_memory_equal(&rs, &before, sizeof rs);
    assert_int_equal(ranges_add(&rs, 15, 20), 0); /* one less */
    assert_int_equal(rs.count, RANGES_MAX - 1);
    assert_int_equal(ranges_add(&rs, 1, 2), 0);
    assert_shape(&rs);
}

static void ranges_add__at_the_ends_of_64_bits(void **state)
{
    (void)state;
    struct ranges rs;
    ranges_init(&rs);
    assert_int_equal(ranges_add(&rs, UINT64_MAX - 1, UINT64_MAX), 0);
    assert_int_equal(ranges_add(&rs, 0, 1), 0);
    assert_int_equal(rs.count, 2);
    assert_true(ranges_cover(&rs, UINT64_MAX - 1, UINT64_MAX));
    assert_false(ranges_cover(&rs, 0, UINT64_MAX));
    assert_int_equal(ranges_add(&rs, 0, UINT64_MAX), 0);
    assert_int_equal(rs.count, 1);
    assert_true(ranges_cover(&rs, 0, UINT64_MAX));
}

/* Against a plain array of bits: every pair of ends after every step. */
static void ranges_cover__equals_a_bitmap(void **state)
{
    (void)state;
    enum { SPAN = 160 };
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct ranges rs;
        ranges_init(&rs);
        uint8_t model[SPAN] = {0};
        for (int step = 0; step < 40; step++) {
            uint64_t start = prng_below(&prng, SPAN), most = 1 + prng_below(&prng, 9);
            uint64_t end = start + 1 + prng_below(&prng, most);
            if (end > SPAN)
                end = SPAN;
            assert_int_equal(ranges_add(&rs, start, end), 0);
            memset(model + start, 1, end - start);
            assert_shape(&rs);
            for (uint64_t a = 0; a < SPAN; a++) {
                bool all = true;
                assert_true(ranges_cover(&rs, a, a));
                for (uint64_t b = a + 1; b <= SPAN; b++) {
                    all = all && model[b - 1];
                    assert_int_equal(ranges_cover(&rs, a, b), all);
                }
            }
        }
    }
}

static void ranges_drop_first__forgets_the_lowest(void **state)
{
    (void)state;
    struct ranges rs;
    ranges_init(&rs);
    assert_int_equal(ranges_add(&rs, 30, 40), 0);
    assert_int_equal(ranges_add(&rs, 10, 20), 0);
    ranges_drop_first(&rs);
    assert_int_equal(rs.count, 1);
    assert_int_equal(rs.r[0].start, 30);
    ranges_drop_first(&rs);
    assert_int_equal(rs.count, 0);
    assert_false(ranges_cover(&rs, 30, 31));
}

static void add_empty(void)
{
    struct ranges rs;
    ranges_init(&rs);
    (void)!ranges_add(&rs, 5, 5);
}
static void drop_none(void)
{
    struct ranges rs;
    ranges_init(&rs);
    ranges_drop_first(&rs);
}
static void ranges__what_cannot_be_panics(void **state)
{
    (void)state;
    assert_true(panics(add_empty));
    assert_true(panics(drop_none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_add__in_order_is_one),          cmocka_unit_test(ranges_add__joins_neighbours),
        cmocka_unit_test(ranges_add__full_leaves_it_as_it_was), cmocka_unit_test(ranges_add__at_the_ends_of_64_bits),
        cmocka_unit_test(ranges_cover__equals_a_bitmap),        cmocka_unit_test(ranges_drop_first__forgets_the_lowest),
        cmocka_unit_test(ranges__what_cannot_be_panics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
