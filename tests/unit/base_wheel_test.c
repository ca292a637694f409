#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/prng.h"
#include "base/wheel.h"
#include "panics.h"

static const uint64_t tick_ns = UINT64_C(1) << WHEEL_TICK_SHIFT;

static void wheel_expire__never_early_and_at_most_a_tick_late(void **state)
{
    (void)state;
    enum { ENTRIES = 300, STEPS = 20000 };
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        static struct wheel w;
        static struct wheel_entry e[ENTRIES];
        static uint64_t due[ENTRIES]; /* when_ns, or the time of the add where that is later */
        memset(e, 0, sizeof e);
        uint64_t now = prng_below(&prng, UINT64_C(1) << 50);
        wheel_init(&w, now);
        uint32_t in = 0;
        for (int step = 0; step < STEPS; step++) {
            uint64_t k = prng_below(&prng, ENTRIES);
            struct wheel_entry *one = &e[k];
            if (!one->next) {
                uint64_t reach = prng_chance(&prng, 100000) ? 1000 * tick_ns : 20 * tick_ns;
                uint64_t when = now + prng_below(&prng, reach);
                due[k] = when;
                if (prng_chance(&prng, 50000)) {
                    when /= 2;
                    due[k] = when > now ? when : now;
                }
                wheel_add(&w, one, when);
                in++;
            } else if (prng_chance(&prng, 300000)) {
                wheel_remove(&w, one);
                wheel_remove(&w, one); /* no effect */
                in--;
            }
            assert_int_equal(w.count, in);
            now += prng_chance(&prng, 1000) ? 600 * tick_ns : prng_below(&prng, tick_ns / 4);
            struct wheel_entry *got;
            while ((got = wheel_expire(&w, now))) {
                assert_true(got->when_ns <= now);
                assert_null(got->next);
                in--;
            }
            for (int i = 0; i < ENTRIES; i++)
                if (e[i].next)
                    assert_true(now < due[i] + tick_ns);
        }
    }
}

/* Waking only when wheel_next says so loses nothing and is never late. */
static void wheel_next__is_enough_to_expire_all_in_time(void **state)
{
    (void)state;
    enum { ENTRIES = 200 };
    struct prng prng;
    prng_init(&prng, 7);
    static struct wheel w;
    static struct wheel_entry e[ENTRIES];
    memset(e, 0, sizeof e);
    uint64_t now = 12345;
    wheel_init(&w, now);
    assert_true(wheel_next(&w) == UINT64_MAX);
    for (int i = 0; i < ENTRIES; i++)
        wheel_add(&w, &e[i], now + prng_below(&prng, 3000 * tick_ns));
    unsigned turns = 0;
    while (w.count > 0) {
        uint64_t next = wheel_next(&w);
        assert_true(next > now); /* it moves on */
        now = next;
        struct wheel_entry *got;
        while ((got = wheel_expire(&w, now)))
            assert_true(got->when_ns <= now && now <= got->when_ns + tick_ns);
        assert_true(++turns < 3000);
    }
    assert_true(wheel_next(&w) == UINT64_MAX);
}

static void wheel_add__a_time_that_has_passed(void **state)
{
    (void)state;
    static struct wheel w;
    struct wheel_entry e = {0};
    wheel_init(&w, 1000 * tick_ns);
    wheel_add(&w, &e, 3);
    assert_true(wheel_next(&w) <= 1001 * tick_ns);
    assert_ptr_equal(wheel_expire(&w, 1001 * tick_ns), &e);
    assert_null(wheel_expire(&w, 1001 * tick_ns));
    assert_int_equal(w.count, 0);
}

static void wheel_add__again_from_the_hand_that_took_it(void **state)
{
    (void)state;
    static struct wheel w;
    struct wheel_entry e = {0};
    wheel_init(&w, 0);
    uint64_t now = 0;
    for (int i = 0; i < 1000; i++) {
        wheel_add(&w, &e, now + 5 * tick_ns);
        now += 6 * tick_ns;
        assert_ptr_equal(wheel_expire(&w, now), &e);
    }
}

static void wheel_remove__its_slot_wakes_nobody(void **state)
{
    (void)state;
    static struct wheel w;
    struct wheel_entry a = {0}, b = {0}, c = {0};
    wheel_init(&w, 0);
    wheel_add(&w, &a, 3 * tick_ns);
    wheel_add(&w, &b, 3 * tick_ns);
    wheel_add(&w, &c, 200 * tick_ns);
    assert_true(wheel_next(&w) == 4 * tick_ns);
    wheel_remove(&w, &a);
    assert_true(wheel_next(&w) == 4 * tick_ns);
    wheel_remove(&w, &b);
    assert_true(wheel_next(&w) == 201 * tick_ns);
    wheel_add(&w, &b, 100 * tick_ns);
    assert_ptr_equal(wheel_expire(&w, 101 * tick_ns), &b);
    assert_true(wheel_next(&w) == 201 * tick_ns);
}

/* What lay in its memory has no say. */
static void wheel_init__over_any_bytes(void **state)
{
    (void)state;
    static struct wheel w;
    struct wheel_entry e = {0};
    memset(&w, 0xff, sizeof w);
    wheel_init(&w, 3 * tick_ns);
    assert_true(wheel_next(&w) == UINT64_MAX);
    wheel_add(&w, &e, 200 * tick_ns);
    assert_true(wheel_next(&w) == 201 * tick_ns);
    assert_null(wheel_expire(&w, 200 * tick_ns));
    assert_ptr_equal(wheel_expire(&w, 201 * tick_ns), &e);
}

static struct wheel trap;
static void add_twice(void)
{
    struct wheel_entry e = {0};
    wheel_init(&trap, 0);
    wheel_add(&trap, &e, 1);
    wheel_add(&trap, &e, 2);
}
static void wheel_add__twice_panics(void **state)
{
    (void)state;
    assert_true(panics(add_twice));
}

static void wheel_add__never(void **state)
{
    (void)state;
    static struct wheel w;
    struct wheel_entry e = {0}, soon = {0};
    wheel_init(&w, 0);
    wheel_add(&w, &e, UINT64_MAX);
    wheel_add(&w, &soon, 10);
    assert_ptr_equal(wheel_expire(&w, 10000 * tick_ns), &soon);
    assert_null(wheel_expire(&w, 10000 * tick_ns));
    assert_true(wheel_next(&w) <= 10257 * tick_ns);
    wheel_remove(&w, &e);
    assert_true(wheel_next(&w) == UINT64_MAX);
}

/* Entries of later rounds in front of those that are due cost one walk, not one for each that is due. */
static void wheel_expire__goes_on_behind_the_one_before(void **state)
{
    (void)state;
    enum { LATER = 5, DUE = 4 };
    static struct wheel w;
    struct wheel_entry later[LATER] = {{0}}, due[DUE] = {{0}};
    const uint64_t when = 7 * tick_ns;
    wheel_init(&w, 0);
    for (unsigned i = 0; i < LATER; i++)
        wheel_add(&w, &later[i], when + WHEEL_SLOTS * tick_ns);
    for (unsigned i = 0; i < DUE; i++)
        wheel_add(&w, &due[i], when);
    for (unsigned i = 0; i < DUE; i++) {
        assert_ptr_equal(wheel_expire(&w, when + tick_ns), &due[i]);
        assert_ptr_equal(w.slot[7].next, i + 1 < DUE ? &due[i + 1] : &later[0]);
    }
    assert_null(wheel_expire(&w, when + tick_ns));
    assert_int_equal(w.count, LATER);
    for (unsigned i = 0; i < LATER; i++)
        assert_ptr_equal(wheel_expire(&w, when + (WHEEL_SLOTS + 1) * tick_ns), &later[i]);
    assert_null(wheel_expire(&w, when + (WHEEL_SLOTS + 1) * tick_ns));
    assert_true(w.count == 0 && wheel_next(&w) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wheel_expire__never_early_and_at_most_a_tick_late),
        cmocka_unit_test(wheel_next__is_enough_to_expire_all_in_time),
        cmocka_unit_test(wheel_add__a_time_that_has_passed),
        cmocka_unit_test(wheel_add__again_from_the_hand_that_took_it),
        cmocka_unit_test(wheel_remove__its_slot_wakes_nobody),
        cmocka_unit_test(wheel_init__over_any_bytes),
        cmocka_unit_test(wheel_add__twice_panics),
        cmocka_unit_test(wheel_add__never),
        cmocka_unit_test(wheel_expire__goes_on_behind_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
