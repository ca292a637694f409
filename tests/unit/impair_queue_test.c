/* The queue of a rate on virtual time, its drops and marks; and the packets under way, in order of release. */
#include "impair_support.h"
#include "net/be.h"

enum { IP = 14, IP_BYTES = 20, FRAME = 200 };

static void *number(uintptr_t n)
{
    return (void *)n;
}

/* Judges one packet and keeps what becomes of it under this number.  Returns how many. */
static unsigned in(uintptr_t n, uint32_t length, uint64_t now_ns)
{
    struct impair_fate f[IMPAIR_COPIES_MAX];
    unsigned copies = impair_judge(&link, packet, length, now_ns, f);
    for (unsigned i = 0; i < copies; i++)
        impair_hold(&link, &f[i], number(n));
    return copies;
}

static void rate__releases_each_when_its_last_bit_left(void **state)
{
    struct impair_settings s = perfect();
    struct impair_fate f[IMPAIR_COPIES_MAX];
    (void)state;
    s.rate_bps = 10000000000; /* 0.8 ns a byte */
    link_make(1, &s);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t length = 64 + i * 7;
        assert_int_equal(impair_judge(&link, packet, length, 1000, f), 1);
        bytes += length;
        assert_int_equal(f[0].release_ns, 1000 + (bytes * 8 + 9) / 10);
    }
    /* Half of it has left meanwhile; then all, long ago. */
    uint64_t later = 1000 + bytes * 4 / 10;
    impair_judge(&link, packet, 500, later, f);
    bytes += 500;
    assert_int_equal(f[0].release_ns, 1000 + (bytes * 8 + 9) / 10);
    impair_judge(&link, packet, 500, UINT64_C(1) << 62, f);
    assert_int_equal(f[0].release_ns, (UINT64_C(1) << 62) + 400);
    impair_judge(&link, packet, 500, (UINT64_C(1) << 62) - 50, f); /* a clock a little behind takes nothing back */
    assert_int_equal(f[0].release_ns, (UINT64_C(1) << 62) - 50 + 800);
}

static void rate__drops_what_the_queue_does_not_hold(void **state)
{
    struct impair_settings s = perfect();
    (void)state;
    s.rate_bps = 8000000; /* 1 us a byte */
    s.queue_bytes = 1000;
    link_make(1, &s);
    for (int i = 0; i < 10; i++)
        assert_int_equal(in(1, 100, 0), 1);
    assert_int_equal(in(1, 15, 0), 0); /* full to the byte */
    assert_int_equal(in(1, 15, 14999), 0);
    assert_int_equal(in(1, 15, 15000), 1); /* so much has left */
    assert_int_equal(in(1, 15, 15000), 0);
    assert_int_equal(link.stats.queue_drops, 3);
    assert_int_equal(in(1, 1500, 5000000), 1); /* nothing waits: it is sent, whatever its length */
    assert_int_equal(in(1, 15, 5000000), 0);
    nothing_is_missing(0);
}

static void rate__that_changes_sends_what_waits_at_the_new_one(void **state)
{
    struct impair_settings s = perfect();
    struct impair_fate f[IMPAIR_COPIES_MAX];
    (void)state;
    s.rate_bps = 8000000;
    link_make(1, &s);
    impair_judge(&link, packet, 1000, 0, f);
    assert_int_equal(f[0].release_ns, 1000000);
    s.rate_bps = 80000000;
    impair_set(&link, &s);
    impair_judge(&link, packet, 1000, 0, f);
    assert_int_equal(f[0].release_ns, 1000000); /* 200 us, but not before the one in front */
    impair_judge(&link, packet, 1000, 2000000, f);
    assert_int_equal(f[0].release_ns, 2100000);
}

/* The largest queue at the largest and the least rate: nothing overflows. */
static void rate__holds_at_the_limits(void **state)
{
    static const uint64_t rates[] = {IMPAIR_RATE_MIN_BPS, IMPAIR_RATE_MAX_BPS};
    struct impair_fate f[IMPAIR_COPIES_MAX];
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct impair_settings s = perfect();
        uint64_t bytes = 0;
        s.rate_bps = rates[k];
        s.queue_bytes = IMPAIR_QUEUE_MAX_BYTES;
        link_make(1, &s);
        while (impair_judge(&link, packet, UINT16_MAX, 0, f)) {
            bytes += UINT16_MAX;
            assert_int_equal(f[0].release_ns,
                             (uint64_t)(((unsigned __int128)bytes * 8 * 1000000000 + rates[k] - 1) / rates[k]));
        }
        assert_in_range(bytes, IMPAIR_QUEUE_MAX_BYTES - UINT16_MAX, IMPAIR_QUEUE_MAX_BYTES);
        uint64_t now = UINT64_C(1) << 52; /* times the largest rate it is 0 modulo 2^64 */
        assert_int_equal(impair_judge(&link, packet, 1000, now, f), 1);
        if (rates[k] == IMPAIR_RATE_MAX_BPS)
            assert_int_equal(f[0].release_ns, now + 8);
        now = UINT64_MAX / 4;
        assert_int_equal(impair_judge(&link, packet, 1000, now, f), 1);
        assert_int_equal(f[0].release_ns, now + 8000 * UINT64_C(1000000000) / rates[k]);
    }
}

static void frame_make(uint8_t *p, uint8_t tos, uint16_t id)
{
    memset(p, 0x11, FRAME);
    be16_put(p + 12, 0x0800);
    p[IP] = 0x45;
    p[IP + 1] = tos;
    be16_put(p + IP + 4, id);
    be16_put(p + IP + 10, 0);
    be16_put(p + IP + 10, (uint16_t)~checksum_fold(checksum_add(0, p + IP, IP_BYTES)));
}

static bool sum_is_right(const uint8_t *p)
{
    return checksum_fold(checksum_add(0, p + IP, IP_BYTES)) == 0xffff;
}

/* Judges a frame with more waiting than the threshold; true: it was marked, in place. */
static bool marked(uint8_t *p, uint32_t length)
{
    struct impair_settings s = perfect();
    struct impair_fate f[IMPAIR_COPIES_MAX];
    s.rate_bps = 8000000;
    s.ecn_bytes = 500;
    link_make(1, &s);
    assert_int_equal(impair_judge(&link, p, 500, 0, f), 1);
    assert_false(f[0].mark);
    assert_int_equal(impair_judge(&link, p, length, 0, f), 1); /* 500 wait: not more than that */
    assert_false(f[0].mark);
    assert_int_equal(impair_judge(&link, p, length, 0, f), 1);
    assert_int_equal(link.stats.marked, f[0].mark);
    assert_int_equal(impair_alters(&f[0], length), f[0].mark);
    impair_apply(&f[0], p);
    return f[0].mark;
}

static void ecn__marks_who_understands_it_with_the_right_checksum(void **state)
{
    uint8_t p[FRAME], before[FRAME];
    (void)state;
    for (unsigned tos = 0; tos < 256; tos++)
        for (uint16_t salt = 0; salt < 16; salt++) {
            frame_make(p, (uint8_t)tos, (uint16_t)(salt * 4369));
            memcpy(before, p, FRAME);
            bool capable = (tos & 3) == 1 || (tos & 3) == 2;
            assert_int_equal(marked(p, FRAME), capable);
            assert_int_equal(p[IP + 1], capable ? tos | 3 : tos);
            assert_true(sum_is_right(p));
            p[IP + 1] = before[IP + 1];
            memcpy(p + IP + 10, before + IP + 10, 2);
            assert_memory_equal(p, before, FRAME); /* and nothing else */
        }
    frame_make(p, 2, 0);
    p[IP + 10] ^= 0x40;
    assert_true(marked(p, FRAME));
    assert_false(sum_is_right(p)); /* a wrong one is not mended */
}

/* Every checksum that a header can have: sums that carry once, and twice. */
static void ecn__corrects_every_checksum(void **state)
{
    uint8_t p[FRAME];
    (void)state;
    for (uint8_t tos = 1; tos <= 2; tos++)
        for (uint32_t id = 0; id <= UINT16_MAX; id++) {
            const struct impair_fate f = {.length = FRAME, .flip_bit = IMPAIR_NO_FLIP, .mark = true};
            frame_make(p, tos, (uint16_t)id);
            impair_apply(&f, p);
            assert_true(sum_is_right(p));
        }
}

static void ecn__leaves_alone_what_is_no_ipv4_header(void **state)
{
    uint8_t p[FRAME];
    (void)state;
    frame_make(p, 2, 0);
    assert_false(marked(p, IP + IP_BYTES - 1));
    assert_true(marked(p, IP + IP_BYTES));
    frame_make(p, 2, 0);
    p[12] = 0x86; /* IPv6 */
    assert_false(marked(p, FRAME));
    frame_make(p, 2, 0);
    p[13] = 6; /* ARP */
    assert_false(marked(p, FRAME));
    frame_make(p, 2, 0);
    p[IP] = 0x65;
    assert_false(marked(p, FRAME));
}

static void release__is_in_order_and_not_early(void **state)
{
    struct impair_settings s = perfect();
    (void)state;
    s.delay_ns = 100;
    link_make(1, &s);
    assert_int_equal(impair_due_ns(&link), UINT64_MAX);
    for (uintptr_t i = 1; i <= 10; i++)
        assert_int_equal(in(i, LENGTH, i * 10), 1);
    assert_int_equal(impair_due_ns(&link), 110);
    assert_null(impair_release(&link, 109));
    for (uintptr_t i = 1; i <= 10; i++) {
        assert_ptr_equal(impair_release(&link, i * 10 + 100), number(i));
        assert_null(impair_release(&link, i * 10 + 109));
    }
    assert_int_equal(impair_due_ns(&link), UINT64_MAX);
    nothing_is_missing(10);
}

static void release__lets_others_overtake_what_is_held_back(void **state)
{
    struct impair_settings s = perfect(), late = s;
    (void)state;
    s.delay_ns = late.delay_ns = 100;
    late.reorder_ppb = IMPAIR_PPB;
    late.reorder_ns = 50;
    link_make(1, &late);
    assert_int_equal(in(1, LENGTH, 0), 1); /* leaves at 150 */
    assert_int_equal(in(2, LENGTH, 5), 1); /* at 155 */
    impair_set(&link, &s);
    assert_int_equal(in(3, LENGTH, 10), 1); /* at 110 */
    assert_int_equal(in(4, LENGTH, 52), 1); /* at 152 */
    assert_int_equal(in(5, LENGTH, 55), 1); /* at 155, with the late one of that time behind it */
    static const struct {
        uint64_t at;
        uintptr_t n;
    } order[] = {{110, 3}, {150, 1}, {152, 4}, {155, 5}, {155, 2}};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        assert_int_equal(impair_due_ns(&link), order[i].at);
        assert_null(impair_release(&link, order[i].at - 1));
        assert_ptr_equal(impair_release(&link, order[i].at), number(order[i].n));
    }
    assert_int_equal(link.stats.reordered, 2);
}

static void release__keeps_the_order_when_the_delay_shrinks(void **state)
{
    struct impair_settings s = perfect();
    (void)state;
    s.delay_ns = 1000;
    link_make(1, &s);
    in(1, LENGTH, 0);
    s.delay_ns = 0;
    impair_set(&link, &s);
    in(2, LENGTH, 10);
    assert_int_equal(impair_due_ns(&link), 1000);
    assert_ptr_equal(impair_release(&link, 1000), number(1));
    assert_ptr_equal(impair_release(&link, 1000), number(2));
    in(3, LENGTH, 1001);
    assert_ptr_equal(impair_release(&link, 1001), number(3));
}

static void hold__is_bounded_and_what_is_too_many_is_counted(void **state)
{
    struct impair_settings s = perfect();
    (void)state;
    s.delay_ns = 1000;
    link_make(1, &s);
    for (uintptr_t i = 1; i <= HELD; i++)
        assert_int_equal(in(i, LENGTH, 0), 1);
    assert_int_equal(in(99, LENGTH, 0), 0);
    assert_int_equal(link.stats.queue_drops, 1);
    assert_ptr_equal(impair_release(&link, 1000), number(1));
    s.dup_ppb = IMPAIR_PPB;
    impair_set(&link, &s);
    assert_int_equal(in(99, LENGTH, 0), 0); /* two do not fit, and one of them is not sent alone */
    assert_int_equal(link.stats.duplicated, 0);
    assert_ptr_equal(impair_release(&link, 1000), number(2));
    assert_int_equal(in(100, LENGTH, 0), 2);
    for (uintptr_t i = 3; i <= HELD; i++)
        assert_ptr_equal(impair_release(&link, 1000), number(i));
    assert_ptr_equal(impair_release(&link, 1000), number(100));
    assert_ptr_equal(impair_release(&link, 1000), number(100));
    assert_null(impair_release(&link, UINT64_MAX));
    nothing_is_missing(HELD + 2);
}

/* All at once, for long: nothing gets lost between the lines, and no packet leaves before another that was due earlier.
 */
static void hold__accounts_for_every_packet_of_a_bad_link(void **state)
{
    struct impair_settings s = perfect();
    uint64_t out = 0;
    (void)state;
    s.loss_ppb = 100000000, s.burst = 3, s.dup_ppb = 200000000, s.reorder_ppb = 200000000, s.reorder_ns = 20000;
    s.delay_ns = 3000, s.jitter_ns = 9000, s.rate_bps = 1000000000, s.queue_bytes = 4000,
    s.corrupt_ppb = s.truncate_ppb = 1000000;
    link_make(77, &s);
    for (uint64_t i = 0, now = 0; i < 50000; i++, now += 700) {
        in(i + 1, 64 + (uint32_t)(i * 37 % 1400), now);
        for (uint64_t due = 0; impair_due_ns(&link) <= now; out++) {
            assert_true(impair_due_ns(&link) >= due);
            due = impair_due_ns(&link);
            assert_non_null(impair_release(&link, now));
        }
        nothing_is_missing(out);
    }
    assert_true(link.stats.queue_drops > 1000 && link.stats.lost > 1000 && link.stats.duplicated > 1000 &&
                link.stats.reordered > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate__releases_each_when_its_last_bit_left),
        cmocka_unit_test(rate__drops_what_the_queue_does_not_hold),
        cmocka_unit_test(rate__that_changes_sends_what_waits_at_the_new_one),
        cmocka_unit_test(rate__holds_at_the_limits),
        cmocka_unit_test(ecn__marks_who_understands_it_with_the_right_checksum),
        cmocka_unit_test(ecn__corrects_every_checksum),
        cmocka_unit_test(ecn__leaves_alone_what_is_no_ipv4_header),
        cmocka_unit_test(release__is_in_order_and_not_early),
        cmocka_unit_test(release__lets_others_overtake_what_is_held_back),
        cmocka_unit_test(release__keeps_the_order_when_the_delay_shrinks),
        cmocka_unit_test(hold__is_bounded_and_what_is_too_many_is_counted),
        cmocka_unit_test(hold__accounts_for_every_packet_of_a_bad_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
