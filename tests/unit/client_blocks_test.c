/* The blocks of bulk memory: first fit among many, in a tree that stays shallow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/prng.h"
#include "client/internal.h"

enum { UNIT = CHI_CACHE_LINE };

bool area_reclaim(struct chi_client *c)
{
    (void)c;
    return false;
}

/* Nothing lies there: only the bookkeeping is looked at. */
static struct chi_client with_units(uint64_t units)
{
    struct chi_client c = {.base = (uint8_t *)(uintptr_t)(1u << 20), .bulk_offset = 3 * UNIT, .bulk_bytes = units * UNIT};
    assert_int_equal(bulk_init(&c), 0);
    return c;
}

enum { UNITS = 4096, HELD = 512 };
static bool taken[UNITS];

/* Where `units` belong: in the first run of free ones that holds them, at the end that was asked for; -1: nowhere. */
static int64_t place(uint32_t units, bool upper)
{
    uint32_t run = 0;
    for (uint32_t i = 0; i < UNITS; i++) {
        uint32_t at = upper ? UNITS - 1 - i : i;
        run = taken[at] ? 0 : run + 1;
        if (run == units)
            return upper ? at : at - units + 1;
    }
    return -1;
}

static void mark(uint64_t at, uint64_t units, bool as)
{
    for (uint64_t i = at; i < at + units; i++) {
        assert_true(taken[i] != as);
        taken[i] = as;
    }
}

static void bulk__is_first_fit_from_both_ends(void **state)
{
    (void)state;
    struct chi_client c = with_units(UNITS);
    struct block *held[HELD] = {NULL};
    struct prng r;
    unsigned full = 0;
    prng_init(&r, 1);
    for (unsigned step = 0; step < 20000; step++) {
        struct block **b = &held[prng_below(&r, HELD)];
        if (*b) {
            mark((*b)->offset / UNIT - 3, (*b)->size / UNIT, false);
            bulk_give(&c, *b);
            *b = NULL;
            continue;
        }
        uint32_t units = 1 + (uint32_t)prng_below(&r, 24);
        bool upper = prng_below(&r, 2);
        int64_t at = place(units, upper);
        *b = bulk_try_take(&c, units * UNIT - step % UNIT, upper);
        full += at < 0;
        if (at < 0) {
            assert_null(*b);
            continue;
        }
        assert_non_null(*b);
        assert_int_equal((*b)->offset, (uint64_t)(at + 3) * UNIT);
        assert_int_equal((*b)->size, units * UNIT);
        mark((uint64_t)at, units, true);
    }
    assert_true(full > 0);
    for (unsigned i = 0; i < HELD; i++)
        if (held[i])
            bulk_give(&c, held[i]);
    assert_null(c.first->next);
    bulk_fini(&c);
}

static unsigned depth_of(const struct block *b)
{
    if (!b)
        return 0;
    unsigned below = depth_of(b->left), above = depth_of(b->right);
    return 1 + (below > above ? below : above);
}

/* Also of sizes whose multiples one multiplication does not mix. */
static void bulk__of_many_blocks_is_a_shallow_tree(void **state)
{
    (void)state;
    enum { COUNT = 10000, DEPTH = 64 };
    static const uint32_t sizes[] = {1, 16, 64, 89, 987, 1024, 4181, 6765, 16384};
    static void *p[COUNT];
    struct prng r;
    prng_init(&r, 2);
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        struct chi_client c = with_units((uint64_t)COUNT * sizes[k]);
        for (unsigned i = 0; i < COUNT; i++)
            assert_non_null(p[i] = chi_bulk_alloc(&c, (uint64_t)sizes[k] * UNIT));
        assert_null(chi_bulk_alloc(&c, 1));
        assert_in_range(depth_of(c.tree), 14, DEPTH);
        for (unsigned left = COUNT; left; left--) {
            unsigned i = (unsigned)prng_below(&r, left);
            chi_bulk_free(&c, p[i]);
            p[i] = p[left - 1];
            if (left % 1000 == 0)
                assert_in_range(depth_of(c.tree), 1, DEPTH);
        }
        assert_null(c.first->next);
        bulk_fini(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bulk__is_first_fit_from_both_ends),
        cmocka_unit_test(bulk__of_many_blocks_is_a_shallow_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
