#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "base/prng.h"
#include "panics.h"

static void pool_try_get__all_differ_then_null(void **state)
{
    (void)state;
    enum { COUNT = 37, SIZE = 100 };
    void *mem = aligned_alloc(64, pool_bytes(COUNT, SIZE));
    struct pool p;
    pool_init(&p, mem, COUNT, SIZE);
    uint8_t *obj[COUNT];
    for (int i = 0; i < COUNT; i++) {
        obj[i] = pool_try_get(&p);
        assert_non_null(obj[i]);
        assert_int_equal((uintptr_t)obj[i] % 64, 0);
        assert_int_equal(pool_index(&p, obj[i]), i);
        assert_ptr_equal(pool_at(&p, (uint32_t)i), obj[i]);
        memset(obj[i], i, SIZE); /* ASan sees a stride that is too small for the memory */
    }
    assert_null(pool_try_get(&p));
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < SIZE; k++)
            assert_int_equal(obj[i][k], i);
    pool_put(&p, obj[5]);
    pool_put(&p, obj[9]);
    assert_ptr_equal(pool_try_get(&p), obj[9]); /* last in, first out */
    assert_ptr_equal(pool_try_get(&p), obj[5]);
    free(mem);
}

static void pool_put__random_use_keeps_count(void **state)
{
    (void)state;
    enum { COUNT = 64, SIZE = 64 };
    void *mem = aligned_alloc(64, pool_bytes(COUNT, SIZE));
    struct pool p;
    struct prng prng;
    prng_init(&prng, 1);
    pool_init(&p, mem, COUNT, SIZE);
    void *held[COUNT];
    uint32_t n = 0;
    uint64_t owned = 0;
    for (int step = 0; step < 100000; step++) {
        if (prng_chance(&prng, 500000)) {
            void *obj = pool_try_get(&p);
            assert_int_equal(obj == NULL, n == COUNT);
            if (obj) {
                uint64_t bit = UINT64_C(1) << pool_index(&p, obj);
                assert_true(!(owned & bit));
                owned |= bit;
                held[n++] = obj;
            }
        } else if (n > 0) {
            uint32_t i = (uint32_t)prng_below(&prng, n);
            owned &= ~(UINT64_C(1) << pool_index(&p, held[i]));
            pool_put(&p, held[i]);
            held[i] = held[--n];
        }
        assert_int_equal(p.free, COUNT - n);
    }
    free(mem);
}

static void pool_touched__all_behind_are_free(void **state)
{
    (void)state;
    enum { COUNT = 64, SIZE = 64 };
    void *mem = aligned_alloc(64, pool_bytes(COUNT, SIZE));
    struct pool p;
    pool_init(&p, mem, COUNT, SIZE);
    assert_int_equal(pool_touched(&p), 0);
    void *a = pool_try_get(&p), *b = pool_try_get(&p), *c = pool_try_get(&p);
    assert_int_equal(pool_touched(&p), 3);
    pool_put(&p, a);
    assert_int_equal(pool_touched(&p), 3); /* c is out */
    pool_put(&p, c);
    assert_true(pool_touched(&p) >= 2); /* b */
    pool_put(&p, b);
    while (pool_try_get(&p))
        ;
    assert_int_equal(pool_touched(&p), COUNT);
    free(mem);
}

static struct pool trap;
static uint8_t *trap_object;
static void put_inside(void)
{
    pool_put(&trap, trap_object + 1);
}
static void put_below(void)
{
    pool_put(&trap, trap_object - 64);
}
static void put_above(void)
{
    pool_put(&trap, trap_object + 4 * 128);
}
static void put_too_many(void)
{
    pool_put(&trap, trap_object);
    pool_put(&trap, trap_object);
}

static uint8_t trap_memory[64] __attribute__((aligned(64)));
static void at_count(void)
{
    (void)pool_at(&trap, 4);
}
static void index_inside(void)
{
    (void)pool_index(&trap, trap_object + 64);
}
static void init_unaligned(void)
{
    struct pool p;
    pool_init(&p, trap_memory + 8, 0, 64);
}

/* Objects and stack are whole lines each, and no line more. */
static void pool_bytes__whole_lines(void **state)
{
    (void)state;
    assert_int_equal(pool_bytes(16, 64), 16 * 64 + 128);
    assert_int_equal(pool_bytes(17, 64), 17 * 64 + 192);
    assert_int_equal(pool_bytes(8, 65), 8 * 128 + 64);
    assert_int_equal(pool_bytes(1, 0), 64 + 64);
    assert_int_equal(pool_bytes(0, 64), 0);
}

static void pool_put__foreign_address_panics(void **state)
{
    (void)state;
    void *mem = aligned_alloc(64, pool_bytes(4, 128));
    pool_init(&trap, mem, 4, 128);
    trap_object = pool_try_get(&trap);
    assert_true(panics(put_inside));
    assert_true(panics(put_below));
    assert_true(panics(put_above));
    assert_true(panics(put_too_many));
    assert_true(panics(at_count));
    assert_true(panics(index_inside));
    assert_true(panics(init_unaligned));
    free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_try_get__all_differ_then_null),
        cmocka_unit_test(pool_touched__all_behind_are_free),
        cmocka_unit_test(pool_put__random_use_keeps_count),
        cmocka_unit_test(pool_bytes__whole_lines),
        cmocka_unit_test(pool_put__foreign_address_panics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
