/* The transport's own building blocks: timers, packets that are out, the place of bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "xfer/xfer_int.h"

static void timers__come_in_order_and_keys_are_never_late(void **state)
{
    (void)state;
    enum { N = 200 };
    static struct timer t[N];
    struct timer *heap[N + 1];
    struct timers ts = {.heap = heap};
    uint64_t due[N], now = 0;
    struct prng p;
    prng_init(&p, 42);
    for (int i = 0; i < N; i++)
        due[i] = UINT64_MAX;
    assert_true(timers_next(&ts) == UINT64_MAX);
    for (int round = 0; round < 20000; round++) {
        uint32_t i = (uint32_t)prng_below(&p, N);
        due[i] = now + 1 + prng_below(&p, 1000);
        timers_set(&ts, &t[i], due[i]); /* may move it to a later time: the key then stays */
        uint64_t first = UINT64_MAX;
        for (int k = 0; k < N; k++)
            first = due[k] < first ? due[k] : first;
        assert_true(timers_next(&ts) <= first);
        now += prng_below(&p, 20);
        while (timers_next(&ts) <= now) {
            struct timer *top = ts.heap[1];
            uint64_t *d = &due[top - t];
            if (*d <= now)
                *d = prng_chance(&p, 500000) ? UINT64_MAX : now + 1 + prng_below(&p, 1000);
            timers_later(&ts, top, *d);
        }
        for (int k = 0; k < N; k++)
            assert_true(due[k] > now);
    }
}

static void sentmap__finds_resolves_and_keeps_every_reference(void **state)
{
    (void)state;
    enum { WINDOW = 8, REFS = 20 };
    struct sent ring[WINDOW];
    struct frame_ref refs[REFS];
    struct sentmap sm;
    sentmap_init(&sm, ring, WINDOW, refs, REFS);
    assert_int_equal(sm.free_count, REFS);
    for (uint64_t i = 0; i < WINDOW; i++) {
        uint32_t ref = sentmap_ref_get(&sm);
        refs[ref].next = SENTMAP_NONE;
        sentmap_push(&sm, &(struct sent){.number = 10 + 3 * i, .refs = ref});
    }
    assert_int_equal(sentmap_find(&sm, 1), sm.head);
    assert_int_equal(sentmap_find(&sm, 16), sm.head + 2);
    assert_int_equal(sentmap_find(&sm, 17), sm.head + 3);
    assert_int_equal(sentmap_find(&sm, 32), sm.tail);
    uint32_t head = sm.head;
    sentmap_lost_push(&sm, sentmap_resolve(&sm, head + 1));
    sentmap_lost_push(&sm, sentmap_resolve(&sm, head + 2));
    assert_int_equal(sm.head, head);
    sentmap_lost_push(&sm, sentmap_resolve(&sm, head));
    assert_int_equal(sm.head, head + 3); /* past those that were resolved before */
    assert_int_equal(sm.in_flight, 5);
    for (int i = 0; i < 3; i++)
        sentmap_ref_put(&sm, sentmap_lost_pop(&sm));
    assert_int_equal(sentmap_lost_pop(&sm), SENTMAP_NONE);
    while (sm.head != sm.tail)
        sentmap_ref_put(&sm, sentmap_resolve(&sm, sm.head));
    assert_int_equal(sm.free_count, REFS);
    for (int i = 0; i < REFS; i++)
        assert_int_not_equal(sentmap_ref_get(&sm), SENTMAP_NONE);
    assert_int_equal(sentmap_ref_get(&sm), SENTMAP_NONE);
}

/* A transport with nothing but its tracks. */
static struct xfer *tracks_only(void *pool, uint32_t n)
{
    static struct xfer x;
    memset(&x, 0, sizeof x);
    pool_init(&x.tracks, pool, n, sizeof(struct track));
    return &x;
}

static void place__covers_a_region_in_any_order(void **state)
{
    (void)state;
    enum { SIZE = 5000 };
    static _Alignas(64) uint8_t pool[16384];
    static uint8_t from[SIZE], to[SIZE + 128];
    struct prng p;
    assert_true(pool_bytes(4, sizeof(struct track)) <= sizeof pool);
    struct xfer *x = tracks_only(pool, 4);
    for (int i = 0; i < SIZE; i++)
        from[i] = (uint8_t)(i * 31 + (i >> 8));
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint64_t have = 0;
        struct track *tracks = NULL;
        struct place at = {to + 64, SIZE, &have, &tracks, 3};
        prng_init(&p, seed);
        memset(to, 0xab, sizeof to);
        while (have < SIZE) {
            uint64_t off = prng_below(&p, SIZE);
            uint32_t len = (uint32_t)prng_below(&p, SIZE - off < 700 ? SIZE - off : 700) + 1;
            enum chi_drop d = place_bytes(x, &at, off, from + off, len);
            assert_true(d == CHI_DROP_NONE || d == CHI_DROP_REGION_FRAGMENTED);
            assert_memory_equal(to + 64, from, have);
        }
        assert_memory_equal(to + 64, from, SIZE);
        assert_true(to[63] == 0xab && to[64 + SIZE] == 0xab);
        assert_null(tracks);
        assert_int_equal(x->tracks.free, 4);
    }
}

static void place__checks_offset_and_length_as_a_pair(void **state)
{
    (void)state;
    static _Alignas(64) uint8_t pool[4096];
    uint8_t to[100], from[100] = {0};
    uint64_t have = 0;
    struct track *tracks = NULL;
    struct place at = {to, sizeof to, &have, &tracks, 1};
    struct xfer *x = tracks_only(pool, 1);
    assert_int_equal(place_bytes(x, &at, 0, from, 101), CHI_DROP_REGION_BOUNDS);
    assert_int_equal(place_bytes(x, &at, 100, from, 1), CHI_DROP_REGION_BOUNDS);
    assert_int_equal(place_bytes(x, &at, UINT64_MAX, from, 2), CHI_DROP_REGION_BOUNDS);
    assert_int_equal(place_bytes(x, &at, 101, from, 0), CHI_DROP_REGION_BOUNDS);
    assert_int_equal(place_bytes(x, &at, 100, from, 0), CHI_DROP_NONE);
    assert_int_equal(place_bytes(x, &at, 50, from, 50), CHI_DROP_NONE);
    struct place other = at;
    other.region = 2; /* the only track is in use */
    assert_int_equal(place_bytes(x, &other, 50, from, 50), CHI_DROP_NO_MEMORY);
    assert_int_equal(have, 0);
    assert_int_equal(place_bytes(x, &other, 0, from, 50), CHI_DROP_NONE); /* in order it needs none */
    have = 0;
    place_forget(x, &tracks);
    assert_int_equal(x->tracks.free, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers__come_in_order_and_keys_are_never_late),
        cmocka_unit_test(sentmap__finds_resolves_and_keeps_every_reference),
        cmocka_unit_test(place__covers_a_region_in_any_order),
        cmocka_unit_test(place__checks_offset_and_length_as_a_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
