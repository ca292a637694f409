#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/buddy.h"
#include "base/prng.h"
#include "panics.h"

enum { MIN = 1 << BUDDY_MIN_SHIFT };

/* An arena that faults when it is touched: the allocator must not. */
static uint8_t *arena_map(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(p != MAP_FAILED);
    return p;
}

static void *book_map(uint64_t arena_bytes)
{
    void *p = mmap(NULL, buddy_bytes(arena_bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    assert_true(p != MAP_FAILED);
    return p;
}

static uint64_t block_bytes(uint64_t size)
{
    uint64_t bytes = MIN;
    while (bytes < size)
        bytes *= 2;
    return bytes;
}

static void buddy_bytes__nine_for_each_block(void **state)
{
    (void)state;
    assert_true(buddy_bytes(UINT64_C(1) << 30) <= (UINT64_C(9) << 22) + 4096);
    assert_true(buddy_bytes(UINT64_C(1) << 40) <= (UINT64_C(9) << 32) + 4096);
    assert_true(buddy_bytes(0) > 0);
}

static void buddy_try_get__random_blocks_do_not_overlap(void **state)
{
    (void)state;
    enum { BLOCKS = 4096 + 512 + 3, HELD = 400 };
    static uint8_t owner[BLOCKS];
    const uint64_t bytes = (uint64_t)BLOCKS * MIN + 100; /* the rest is not used */
    uint8_t *arena = arena_map(bytes);
    void *book = aligned_alloc(64, buddy_bytes(bytes)); /* ASan guards its ends */
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        memset(book, 0x40 + (int)seed,
               buddy_bytes(bytes)); /* what lay there before has no say, behind the end neither */
        struct buddy *b = buddy_init(book, arena, bytes);
        uint64_t all = buddy_free_bytes(b), free_bytes = all;
        assert_int_equal(all, (uint64_t)BLOCKS * MIN);
        memset(owner, 0, sizeof owner);
        struct {
            uint8_t *p;
            uint64_t size;
        } held[HELD];
        unsigned n = 0, refused = 0;
        for (int step = 0; step < 20000; step++) {
            if (n < HELD && prng_chance(&prng, 520000)) {
                uint64_t size = prng_next(&prng) >> (44 + prng_below(&prng, 20));
                uint8_t *p = buddy_try_get(b, size);
                if (!p) {
                    refused++;
                    continue;
                }
                uint64_t want = block_bytes(size), off = (uint64_t)(p - arena);
                assert_true(off % want == 0 && chi_span_ok(off, want, all));
                for (uint64_t k = off / MIN; k < (off + want) / MIN; k++) {
                    assert_int_equal(owner[k], 0);
                    owner[k] = 1;
                }
                free_bytes -= want;
                held[n].p = p;
                held[n++].size = size;
            } else if (n > 0) {
                unsigned i = (unsigned)prng_below(&prng, n);
                uint64_t want = block_bytes(held[i].size);
                buddy_put(b, held[i].p, held[i].size);
                memset(owner + (held[i].p - arena) / MIN, 0, want / MIN);
                free_bytes += want;
                held[i] = held[--n];
            }
            assert_int_equal(buddy_free_bytes(b), free_bytes);
        }
        assert_true(refused > 0);
        while (n > 0) {
            n--;
            buddy_put(b, held[n].p, held[n].size);
        }
        /* All has grown together again. */
        assert_int_equal(buddy_free_bytes(b), all);
        assert_ptr_equal(buddy_try_get(b, 4096 * MIN), arena);
        assert_ptr_equal(buddy_try_get(b, 512 * MIN), arena + 4096 * MIN);
        assert_ptr_equal(buddy_try_get(b, 2 * MIN), arena + 4608 * MIN);
        assert_ptr_equal(buddy_try_get(b, 0), arena + 4610 * MIN);
        assert_null(buddy_try_get(b, 0));
        assert_int_equal(buddy_free_bytes(b), 0);
    }
    free(book);
    munmap(arena, bytes);
}

static void buddy_largest__is_served_by_an_empty_arena(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 255, 256, 257, 767, 768, 1 << 20, (1 << 20) + 256, (3 << 20) - 1};
    uint8_t *arena = arena_map(4 << 20);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *book = aligned_alloc(64, buddy_bytes(sizes[i]));
        struct buddy *b = buddy_init(book, arena, sizes[i]);
        uint64_t largest = buddy_largest(b);
        assert_int_equal(largest == 0, sizes[i] < MIN);
        if (largest > 0) {
            assert_true(largest * 2 > sizes[i] / MIN * MIN);
            assert_null(buddy_try_get(b, largest + 1));
            void *p = buddy_try_get(b, largest);
            assert_non_null(p);
            buddy_put(b, p, largest);
        } else {
            assert_null(buddy_try_get(b, 0));
        }
        assert_null(buddy_try_get(b, UINT64_MAX));
        assert_null(buddy_try_get(b, UINT64_C(1) << 63));
        assert_int_equal(buddy_free_bytes(b), sizes[i] / MIN * MIN);
        free(book);
    }
    munmap(arena, 4 << 20);
}

/* Offsets beyond 32 bits. */
static void buddy_try_get__above_4_gib(void **state)
{
    (void)state;
    const uint64_t bytes = (UINT64_C(8) << 30) + (5 << 20);
    uint8_t *arena = arena_map(bytes);
    void *book = book_map(bytes);
    struct buddy *b = buddy_init(book, arena, bytes);
    assert_true(buddy_largest(b) == UINT64_C(8) << 30);
    uint8_t *low = buddy_try_get(b, UINT64_C(4) << 30);
    uint8_t *high = buddy_try_get(b, (UINT64_C(4) << 30) - 7);
    assert_ptr_equal(low, arena);
    assert_ptr_equal(high, arena + (UINT64_C(4) << 30));
    assert_null(buddy_try_get(b, UINT64_C(1) << 30));
    assert_non_null(buddy_try_get(b, 3 << 20));
    buddy_put(b, high, UINT64_C(4) << 30);
    uint8_t *small = buddy_try_get(b, 300);
    assert_non_null(small);
    buddy_put(b, small, 300);
    buddy_put(b, low, UINT64_C(4) << 30);
    assert_ptr_equal(buddy_try_get(b, UINT64_C(8) << 30), arena);
    munmap(book, buddy_bytes(bytes));
    munmap(arena, bytes);
}

static struct buddy *trap;
static uint8_t *trap_block;
static void put_twice(void)
{
    buddy_put(trap, trap_block, 1000);
    buddy_put(trap, trap_block, 1000);
}
static void put_other_size(void)
{
    buddy_put(trap, trap_block, 2000);
}
static void put_inside(void)
{
    buddy_put(trap, trap_block + MIN, MIN);
}
static void put_unaligned(void)
{
    buddy_put(trap, trap_block + 1, 1000);
}
static void put_outside(void)
{
    buddy_put(trap, trap_block - 4 * MIN, 1000);
}

static uint8_t *trap_upper;
static void put_upper(void)
{
    buddy_put(trap, trap_upper, MIN);
}
static void put_never_given(void)
{
    buddy_put(trap, trap_block + 32 * MIN, MIN);
}
static void put_behind(void)
{
    buddy_put(trap, trap_block + (1 << 16), MIN);
}
static void init_unaligned(void)
{
    buddy_init((uint8_t *)trap + 8, trap_block, 0);
}

/* A block that has grown together with its neighbours, one that never was, one behind the arena: whatever lay in the book. */
static void buddy_put__what_was_out_once_panics(void **state)
{
    (void)state;
    const uint64_t bytes = 1 << 16;
    uint8_t *arena = arena_map(bytes);
    void *book = aligned_alloc(64, buddy_bytes(bytes));
    memset(book, 0x80, buddy_bytes(bytes)); /* reads as: the smallest blocks, out */
    trap = buddy_init(book, arena, bytes);
    trap_block = buddy_try_get(trap, MIN);
    trap_upper = buddy_try_get(trap, MIN);
    assert_ptr_equal(trap_upper, trap_block + MIN);
    buddy_put(trap, trap_block, MIN);
    buddy_put(trap, trap_upper, MIN);
    assert_true(panics(put_upper));
    assert_true(panics(put_never_given));
    assert_true(panics(put_behind));
    assert_true(panics(init_unaligned));
    free(book);
    munmap(arena, bytes);
}

static void buddy_put__what_is_not_out_panics(void **state)
{
    (void)state;
    const uint64_t bytes = 1 << 16;
    uint8_t *arena = arena_map(bytes);
    void *book = aligned_alloc(64, buddy_bytes(bytes));
    trap = buddy_init(book, arena, bytes);
    trap_block = buddy_try_get(trap, 1000);
    assert_true(panics(put_twice));
    assert_true(panics(put_other_size));
    assert_true(panics(put_inside));
    assert_true(panics(put_unaligned));
    assert_true(panics(put_outside));
    buddy_put(trap, trap_block, 1000);
    assert_int_equal(buddy_free_bytes(trap), bytes);
    free(book);
    munmap(arena, bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buddy_bytes__nine_for_each_block),
        cmocka_unit_test(buddy_try_get__random_blocks_do_not_overlap),
        cmocka_unit_test(buddy_largest__is_served_by_an_empty_arena),
        cmocka_unit_test(buddy_try_get__above_4_gib),
        cmocka_unit_test(buddy_put__what_is_not_out_panics),
        cmocka_unit_test(buddy_put__what_was_out_once_panics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
