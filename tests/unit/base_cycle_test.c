/* Cycles in lists of edges: found where there is one, whole and in order, and nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cycle.h"
#include "base/prng.h"

enum { MAX = 40 };
static struct cycle_edge e[MAX];
static uint32_t n;

static void edge(uint64_t from, uint64_t to)
{
    e[n] = (struct cycle_edge){.from = from, .to = to, .over = &e[n]};
    n++;
}
static void is_cycle(uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        assert_int_equal(e[i].to, e[(i + 1) % length].from);
        for (uint32_t k = 0; k < i; k++)
            assert_true(e[k].over != e[i].over); /* each once */
    }
}

static void cycle__of_none(void **state)
{
    (void)state;
    n = 0;
    assert_int_equal(cycle_find(e, 0), 0);
    edge(1, 2);
    edge(2, 3);
    edge(1, 3);
    edge(3, 4);
    edge(2, 4);
    assert_int_equal(cycle_find(e, n), 0);
    for (uint32_t i = 0; i < n; i++)
        assert_ptr_equal(e[i].over, &e[i]);
}

static void cycle__of_one_two_and_three(void **state)
{
    (void)state;
    n = 0;
    edge(7, 7);
    assert_int_equal(cycle_find(e, n), 1);
    n = 0;
    edge(5, 1); /* leads into it */
    edge(1, 9); /* leads out of it */
    edge(2, 1);
    edge(1, 2);
    assert_int_equal(cycle_find(e, n), 2);
    is_cycle(2);
    n = 0;
    edge(3, 1);
    edge(4, 1);
    edge(2, 3);
    edge(1, 2);
    assert_int_equal(cycle_find(e, n), 3);
    is_cycle(3);
}

/* Against what is left when edges to where none goes on are taken away until there is no such edge. */
static bool has_cycle(void)
{
    bool gone[MAX] = {false};
    uint32_t left = n;
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < n; i++) {
            bool on = false;
            for (uint32_t k = 0; k < n; k++)
                on |= !gone[k] && e[k].from == e[i].to;
            if (!gone[i] && !on) {
                gone[i] = more = true;
                left--;
            }
        }
    }
    return left;
}

static void cycle__of_any_edges(void **state)
{
    (void)state;
    struct prng p;
    uint32_t with = 0, without = 0;
    prng_init(&p, 11);
    for (int round = 0; round < 20000; round++) {
        uint64_t vertices = 2 + prng_below(&p, 12);
        uint32_t want = (uint32_t)prng_below(&p, MAX);
        for (n = 0; n < want;)
            edge(1 + prng_below(&p, vertices), 1 + prng_below(&p, vertices));
        bool has = has_cycle();
        uint32_t length = cycle_find(e, n);
        assert_int_equal(length != 0, has);
        is_cycle(length);
        with += has;
        without += !has;
    }
    assert_true(with > 1000 && without > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cycle__of_none),
        cmocka_unit_test(cycle__of_one_two_and_three),
        cmocka_unit_test(cycle__of_any_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
