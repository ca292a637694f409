#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/prng.h"
#include "panics.h"

/* The published sequence for the state 1, 2, 3, 4. */
static void prng_next__reference_sequence(void **state)
{
    (void)state;
    static const uint64_t want[] = {
        UINT64_C(11520),
        UINT64_C(0),
        UINT64_C(1509978240),
        UINT64_C(1215971899390074240),
        UINT64_C(1216172134540287360),
        UINT64_C(607988272756665600),
        UINT64_C(16172922978634559625),
        UINT64_C(8476171486693032832),
        UINT64_C(10595114339597558777),
        UINT64_C(2904607092377533576),
    };
    struct prng p = {{1, 2, 3, 4}};
    for (unsigned i = 0; i < sizeof want / sizeof want[0]; i++)
        assert_true(prng_next(&p) == want[i]);
}

/* splitmix64 from 0. */
static void prng_init__reference_state(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 0);
    assert_true(p.s[0] == UINT64_C(0xe220a8397b1dcdaf));
    assert_true(p.s[1] == UINT64_C(0x6e789e6aa1b965f4));
    assert_true(p.s[2] == UINT64_C(0x06c45d188009454f));
    assert_true(p.s[3] == UINT64_C(0xf88bb8a8724c81ec));
}

static void prng_below__uniform_and_in_range(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 42);
    uint32_t seen[6] = {0};
    for (int i = 0; i < 600000; i++) {
        uint64_t v = prng_below(&p, 6);
        assert_true(v < 6);
        seen[v]++;
    }
    for (int i = 0; i < 6; i++)
        assert_in_range(seen[i], 99000, 101000); /* 3.4 standard deviations; the seed is fixed */
    for (int i = 0; i < 1000; i++)
        assert_int_equal(prng_below(&p, 1), 0);
    /* Without rejection every third value would come twice as often. */
    const uint64_t big = UINT64_C(3) << 62;
    uint32_t rest[3] = {0};
    for (int i = 0; i < 30000; i++) {
        uint64_t v = prng_below(&p, big);
        assert_true(v < big);
        rest[v % 3]++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(rest[i], 9700, 10300);
}

static void prng_chance__rate(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 43);
    uint32_t hits = 0;
    for (int i = 0; i < 1000000; i++)
        hits += prng_chance(&p, 20000);
    assert_in_range(hits, 19500, 20500);
    for (int i = 0; i < 1000; i++) {
        assert_false(prng_chance(&p, 0));
        assert_true(prng_chance(&p, 1000000));
    }
}

static void below_0(void)
{
    struct prng p;
    prng_init(&p, 1);
    (void)prng_below(&p, 0);
}
static void prng_below__0_panics(void **state)
{
    (void)state;
    assert_true(panics(below_0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prng_next__reference_sequence),
        cmocka_unit_test(prng_init__reference_state),
        cmocka_unit_test(prng_below__uniform_and_in_range),
        cmocka_unit_test(prng_below__0_panics),
        cmocka_unit_test(prng_chance__rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
