#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/prng.h"
#include "lane/balance.h"

enum { PERIOD = 100000, LANES = 16 };
static struct balance_move moves[BALANCE_MOVES_MAX];

static void decide__leaves_what_is_even_or_idle(void **state)
{
    (void)state;
    const struct balance_lane even[] = {{60000, 0, false, 0}, {30000, 0, false, 0}, {50000, 1, false, 0}, {30000, 1, false, 0}}; /* 90, 80 */
    const struct balance_lane idle[] = {{24000, 0, false, 0}, {24000, 0, false, 0}, {0, 1, false, 0}};                        /* 48, 0: none is busy */
    assert_int_equal(balance_decide(even, 4, 2, PERIOD, moves), 0);
    assert_int_equal(balance_decide(idle, 3, 2, PERIOD, moves), 0);
    assert_int_equal(balance_decide(NULL, 0, 2, PERIOD, moves), 0);
    assert_int_equal(balance_decide(even, 2, 1, PERIOD, moves), 0); /* one worker */
}

static void decide__takes_what_evens_best(void **state)
{
    (void)state;
    const struct balance_lane l[] = {{10000, 0, false, 0}, {40000, 0, false, 0}, {45000, 0, false, 0}, {5000, 1, false, 0}};
    assert_int_equal(balance_decide(l, 4, 2, PERIOD, moves), 1);
    assert_true(moves[0].lane == 2 && moves[0].to == 1); /* 95 and 5: of 90, 45 is the half */
}

/* To turn a difference round is no gain. */
static void decide__leaves_one_lane_that_is_all_the_load(void **state)
{
    (void)state;
    const struct balance_lane l[] = {{90000, 0, false, 0}, {2000, 0, false, 0}, {0, 1, false, 0}};
    assert_int_equal(balance_decide(l, 3, 2, PERIOD, moves), 0);
}

static void decide__leaves_what_stays(void **state)
{
    (void)state;
    const struct balance_lane l[] = {{45000, 0, true, 0}, {45000, 0, true, 0}, {0, 1, false, 0}};
    assert_int_equal(balance_decide(l, 3, 2, PERIOD, moves), 0);
    const struct balance_lane some[] = {{45000, 0, true, 0}, {30000, 0, false, 0}, {0, 1, false, 0}};
    assert_int_equal(balance_decide(some, 3, 2, PERIOD, moves), 1);
    assert_int_equal(moves[0].lane, 1); /* but what stays counts for its worker */
}

static void decide__gives_each_idle_worker_some(void **state)
{
    (void)state;
    struct balance_lane l[8];
    for (uint32_t i = 0; i < 8; i++)
        l[i] = (struct balance_lane){30000, 0, false, 0};
    assert_int_equal(balance_decide(l, 8, 4, PERIOD, moves), BALANCE_MOVES_MAX);
    unsigned to[4] = {0};
    for (unsigned i = 0; i < BALANCE_MOVES_MAX; i++) {
        to[moves[i].to]++;
        for (unsigned k = 0; k < i; k++)
            assert_int_not_equal(moves[i].lane, moves[k].lane);
    }
    assert_true(to[0] == 0 && to[1] && to[2] && to[3]);
}

/* Long queues of what takes long: nothing of it has run. */
static void decide__counts_what_lies_on_lanes(void **state)
{
    (void)state;
    struct balance_lane l[] = {{0, 0, false, 200000}, {0, 0, false, 150000}, {60000, 1, false, 0}};
    assert_int_equal(balance_decide(l, 3, 2, PERIOD, moves), 1);
    assert_true(moves[0].lane == 1 && moves[0].to == 1);
    l[2].queued_ns = 290000; /* but there lies as much */
    assert_int_equal(balance_decide(l, 3, 2, PERIOD, moves), 0);
}

/* Any load that stays as it is: after some looks nothing moves any more, and no look makes the busiest worker busier. */
static void decide__comes_to_rest(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct prng p;
        struct balance_lane l[LANES];
        prng_init(&p, seed);
        uint32_t workers = 1 + (uint32_t)prng_below(&p, 8), count = (uint32_t)prng_below(&p, LANES + 1);
        for (uint32_t i = 0; i < count; i++)
            l[i] = (struct balance_lane){prng_below(&p, PERIOD / 2), (uint32_t)prng_below(&p, workers), prng_chance(&p, 200000), prng_below(&p, PERIOD / 4)};
        uint64_t before = UINT64_MAX;
        unsigned looks = 0, n;
        do {
            uint64_t load[8] = {0}, most = 0;
            for (uint32_t i = 0; i < count; i++)
                load[l[i].owner] += l[i].used_ns + l[i].queued_ns;
            for (uint32_t w = 0; w < workers; w++)
                most = load[w] > most ? load[w] : most;
            assert_true(most <= before);
            before = most;
            n = balance_decide(l, count, workers, PERIOD, moves);
            for (unsigned i = 0; i < n; i++) {
                assert_true(!l[moves[i].lane].stays && l[moves[i].lane].owner != moves[i].to);
                l[moves[i].lane].owner = moves[i].to;
            }
        } while (n && ++looks < 100);
        assert_true(looks < 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decide__leaves_what_is_even_or_idle), cmocka_unit_test(decide__takes_what_evens_best),
        cmocka_unit_test(decide__leaves_one_lane_that_is_all_the_load), cmocka_unit_test(decide__leaves_what_stays),
        cmocka_unit_test(decide__gives_each_idle_worker_some), cmocka_unit_test(decide__comes_to_rest),
        cmocka_unit_test(decide__counts_what_lies_on_lanes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
