#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/prng.h"
#include "panics.h"
#include "wire_support.h"

static enum chi_drop first_frame(const uint8_t *p, size_t n, struct wire_frame *f)
{
    struct wire_cursor c = {p, 0, n};
    enum chi_drop d = wire_next_frame(&c, f);
    assert_true(c.at <= n);
    if (d != CHI_DROP_NONE)
        assert_true(c.at == 0 && f->type == WIRE_FRAME_END);
    return d;
}

static void wire_next_frame__task_in(void **state)
{
    (void)state;
    uint8_t p[128];
    struct wire_task_in in = {
        .slot = 0x01020304, .generation = 0x05060708, .form_length = 0x0a0b0c, .inline_length = 64};
    assert_int_equal(wire_put_task_in(p, &in), 16);
    memset(p + 16, 0xab, 64);
    static const uint8_t want[16] = {1, 0, 64, 0, 4, 3, 2, 1, 8, 7, 6, 5, 0x0c, 0x0b, 0x0a, 0};
    assert_memory_equal(p, want, 16);
    struct wire_frame f;
    assert_int_equal(first_frame(p, 80, &f), CHI_DROP_NONE);
    assert_int_equal(f.type, WIRE_FRAME_TASK_IN);
    assert_true(f.task_in.slot == in.slot && f.task_in.generation == in.generation);
    assert_true(f.task_in.form_length == in.form_length && f.task_in.inline_length == 64);
    assert_ptr_equal(f.task_in.bytes, p + 16);
}

static void wire_next_frame__task_out(void **state)
{
    (void)state;
    uint8_t p[256];
    struct wire_task_out out = {
        .slot = 1, .generation = 2, .form_length = 10, .status = 0x1234, .inline_length = 10, .regions = 3};
    out.used[0] = 0;
    out.used[1] = UINT64_MAX;
    out.used[2] = UINT64_C(0x0102030405060708);
    assert_int_equal(wire_put_task_out(p, &out), 44);
    memset(p + 44, 0xcd, 10);
    static const uint8_t want[20] = {2, 3, 10, 0, 1, 0, 0, 0, 2, 0, 0, 0, 10, 0, 0, 0, 0x34, 0x12, 0, 0};
    assert_memory_equal(p, want, 20);
    struct wire_frame f;
    assert_int_equal(first_frame(p, 54, &f), CHI_DROP_NONE);
    assert_int_equal(f.type, WIRE_FRAME_TASK_OUT);
    assert_true(f.task_out.slot == 1 && f.task_out.generation == 2 && f.task_out.form_length == 10);
    assert_true(f.task_out.status == 0x1234 && f.task_out.inline_length == 10 && f.task_out.regions == 3);
    assert_memory_equal(f.task_out.used, out.used, 3 * sizeof(uint64_t));
    assert_ptr_equal(f.task_out.bytes, p + 44);
}

static void wire_next_frame__segment(void **state)
{
    (void)state;
    uint8_t p[128];
    struct wire_segment s = {.offset = UINT64_C(0x0102030405060708),
                             .slot = 3,
                             .generation = 4,
                             .length = 20,
                             .region = 16,
                             .flags = WIRE_SEGMENT_OUT};
    assert_int_equal(wire_put_segment(p, &s), 24);
    memset(p + 24, 0xef, 20);
    static const uint8_t want[24] = {3, 16, 20, 0, 3, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1};
    assert_memory_equal(p, want, 24);
    struct wire_frame f;
    assert_int_equal(first_frame(p, 44, &f), CHI_DROP_NONE);
    assert_int_equal(f.type, WIRE_FRAME_SEGMENT);
    assert_true(f.segment.offset == s.offset && f.segment.slot == 3 && f.segment.generation == 4);
    assert_true(f.segment.length == 20 && f.segment.region == 16 && f.segment.flags == WIRE_SEGMENT_OUT);
    assert_ptr_equal(f.segment.bytes, p + 24);
}

static void assert_same_ack(const struct wire_ack *a, const struct wire_ack *b)
{
    assert_int_equal(a->count, b->count);
    assert_true(a->delay_ns == b->delay_ns);
    for (unsigned i = 0; i < a->count; i++)
        assert_true(a->r[i].first == b->r[i].first && a->r[i].last == b->r[i].last);
}

static void wire_next_frame__ack(void **state)
{
    (void)state;
    uint8_t p[WIRE_ACK_BYTES_MAX];
    struct wire_frame f;
    struct prng prng;
    prng_init(&prng, 3);
    for (int round = 0; round < 5000; round++) {
        struct wire_ack ack = {.delay_ns = (uint32_t)prng_next(&prng),
                               .count = (uint8_t)(1 + prng_below(&prng, WIRE_ACK_RANGES))};
        uint64_t at = 1 + prng_below(&prng, 100);
        if (round % 3 == 0)
            at = (UINT64_C(1) << 63) - 1 - (UINT64_C(1) << 40);
        for (int i = ack.count - 1; i >= 0; i--) {
            ack.r[i].first = at;
            at += prng_below(&prng, i ? UINT64_C(1) << prng_below(&prng, 33) : 65536);
            ack.r[i].last = at;
            at += 2 + prng_below(&prng, UINT64_C(1) << prng_below(&prng, 33));
        }
        size_t n = wire_put_ack(p, &ack);
        assert_int_equal(n, 16 + 8 * (ack.count - 1));
        assert_int_equal(first_frame(p, n, &f), CHI_DROP_NONE);
        assert_int_equal(f.type, WIRE_FRAME_ACK);
        assert_same_ack(&f.ack, &ack);
    }
}

/* What does not fit is left out; nothing is said that was not given. */
static void wire_put_ack__says_less_when_it_must(void **state)
{
    (void)state;
    uint8_t p[WIRE_ACK_BYTES_MAX];
    struct wire_frame f;
    struct wire_ack ack = {.count = 3, .r = {{1000, 1000000}, {10, 20}, {1, 2}}};
    struct wire_ack want = {.count = 3, .r = {{1000000 - 65535, 1000000}, {10, 20}, {1, 2}}};
    assert_int_equal(first_frame(p, wire_put_ack(p, &ack), &f), CHI_DROP_NONE);
    assert_same_ack(&f.ack, &want);

    const uint64_t far = UINT64_C(1) << 40;
    ack = (struct wire_ack){.count = 3, .r = {{far, far}, {5, far - 2}, {1, 2}}};
    want = (struct wire_ack){.count = 2, .r = {{far, far}, {far - 2 - UINT32_MAX, far - 2}}};
    size_t n = wire_put_ack(p, &ack);
    assert_int_equal(n, 24);
    assert_int_equal(first_frame(p, n, &f), CHI_DROP_NONE);
    assert_same_ack(&f.ack, &want);
}

/* The widest gap and range that can be said are. */
static void wire_put_ack__widest_gap_and_range(void **state)
{
    (void)state;
    uint8_t p[WIRE_ACK_BYTES_MAX];
    struct wire_frame f;
    const uint64_t top = UINT64_C(1) << 40, second = top - 2 - UINT32_MAX;
    struct wire_ack ack = {.count = 2, .r = {{top, top}, {second - UINT32_MAX, second}}};
    assert_int_equal(first_frame(p, wire_put_ack(p, &ack), &f), CHI_DROP_NONE);
    assert_same_ack(&f.ack, &ack);
    ack.r[1].last--; /* a gap of one more */
    assert_int_equal(wire_put_ack(p, &ack), 16);
}

static uint8_t trap[WIRE_ACK_BYTES_MAX + 256];
static struct wire_task_in trap_in;
static struct wire_task_out trap_out;
static struct wire_segment trap_segment;
static struct wire_ack trap_ack;
static void put_task_in(void) { wire_put_task_in(trap, &trap_in); }
static void put_task_out(void) { wire_put_task_out(trap, &trap_out); }
static void put_segment(void) { wire_put_segment(trap, &trap_segment); }
static void put_ack(void) { wire_put_ack(trap, &trap_ack); }

/* What no receiver would take is a bug of the sender's: each condition alone. */
static void wire_put__what_cannot_be_panics(void **state)
{
    (void)state;
    trap_in = (struct wire_task_in){.form_length = 5, .inline_length = 6};
    assert_true(panics(put_task_in));
    trap_out = (struct wire_task_out){.form_length = 5, .inline_length = 6};
    assert_true(panics(put_task_out));
    trap_out = (struct wire_task_out){.regions = WIRE_REGIONS + 1};
    assert_true(panics(put_task_out));
    const struct wire_segment good = {.length = 1, .region = WIRE_REGIONS, .flags = WIRE_SEGMENT_OUT};
    trap_segment = good;
    assert_false(panics(put_segment));
    trap_segment.length = 0;
    assert_true(panics(put_segment));
    trap_segment = good;
    trap_segment.region++;
    assert_true(panics(put_segment));
    trap_segment = good;
    trap_segment.flags = 2;
    assert_true(panics(put_segment));
    trap_ack = (struct wire_ack){.count = 2, .r = {{5, 9}, {1, 3}}};
    assert_false(panics(put_ack));
    trap_ack.r[1].last = 4; /* no gap between */
    assert_true(panics(put_ack));
    trap_ack.r[1] = (struct wire_range){3, 2};
    assert_true(panics(put_ack));
    trap_ack.count = 0;
    assert_true(panics(put_ack));
    trap_ack.count = WIRE_ACK_RANGES + 1;
    for (unsigned i = 0; i < WIRE_ACK_RANGES; i++)
        trap_ack.r[i] = (struct wire_range){1000 - 2 * i, 1000 - 2 * i};
    assert_true(panics(put_ack));
}

static void wire_next_frame__ack_values(void **state)
{
    (void)state;
    uint8_t p[32];
    struct wire_frame f;
    struct wire_ack ack = {.count = 2, .r = {{10, 12}, {3, 5}}};
    assert_int_equal(wire_put_ack(p, &ack), 24);
    p[1] = 0; /* count */
    assert_int_equal(first_frame(p, 24, &f), CHI_DROP_FRAME_VALUE);
    p[1] = WIRE_ACK_RANGES + 1;
    assert_int_equal(first_frame(p, 24, &f), CHI_DROP_FRAME_VALUE);
    p[1] = 2;
    assert_int_equal(first_frame(p, 24, &f), CHI_DROP_NONE);

    le64_put(p + 8, UINT64_C(1) << 63); /* largest */
    assert_int_equal(first_frame(p, 24, &f), CHI_DROP_FRAME_VALUE);
    le64_put(p + 8, (UINT64_C(1) << 63) - 1);
    assert_int_equal(first_frame(p, 24, &f), CHI_DROP_NONE);
    le64_put(p + 8, 0);
    assert_int_equal(first_frame(p, 24, &f), CHI_DROP_FRAME_VALUE);
    le64_put(p + 8, 12);

    le16_put(p + 2, 11); /* first range 1..12: nothing is left below */
    assert_int_equal(first_frame(p, 24, &f), CHI_DROP_FRAME_VALUE);
    assert_int_equal(wire_put_ack(p, &(struct wire_ack){.count = 1, .r = {{1, 12}}}), 16);
    le16_put(p + 2, 12); /* 0..12 */
    assert_int_equal(first_frame(p, 16, &f), CHI_DROP_FRAME_VALUE);

    wire_put_ack(p, &ack);
    le32_put(p + 20, 4); /* 1..5 */
    assert_int_equal(first_frame(p, 24, &f), CHI_DROP_NONE);
    assert_true(f.ack.r[1].first == 1);
    le32_put(p + 20, 5); /* 0..5 */
    assert_int_equal(first_frame(p, 24, &f), CHI_DROP_FRAME_VALUE);
    le32_put(p + 20, UINT32_MAX);
    le32_put(p + 16, UINT32_MAX);
    assert_int_equal(first_frame(p, 24, &f), CHI_DROP_FRAME_VALUE);
}

static void wire_next_frame__ping_and_close(void **state)
{
    (void)state;
    uint8_t p[8];
    struct wire_frame f;
    assert_int_equal(wire_put_ping(p), 4);
    assert_int_equal(first_frame(p, 4, &f), CHI_DROP_NONE);
    assert_int_equal(f.type, WIRE_FRAME_PING);
    assert_int_equal(wire_put_close(p, WIRE_CLOSE_SHUTDOWN), 4);
    assert_int_equal(first_frame(p, 4, &f), CHI_DROP_NONE);
    assert_int_equal(f.type, WIRE_FRAME_CLOSE);
    assert_int_equal(f.close_reason, WIRE_CLOSE_SHUTDOWN);
    p[1] = 0;
    assert_int_equal(first_frame(p, 4, &f), CHI_DROP_FRAME_VALUE);
    p[1] = 2;
    assert_int_equal(first_frame(p, 4, &f), CHI_DROP_FRAME_VALUE);
}

static void wire_next_frame__pad_takes_its_bytes_along(void **state)
{
    (void)state;
    uint8_t p[64];
    struct wire_frame f;
    memset(p, 0xee, sizeof p);
    assert_int_equal(wire_put_pad(p, 20), 24);
    static const uint8_t want[25] = {9, 0, 20, [24] = 0xee};
    assert_memory_equal(p, want, sizeof want); /* zeros: nothing of the buffer's past goes out */
    assert_int_equal(first_frame(p, 24, &f), CHI_DROP_NONE);
    assert_int_equal(f.type, WIRE_FRAME_PAD);
    assert_int_equal(f.pad.length, 20);
    assert_int_equal(first_frame(p, 23, &f), CHI_DROP_FRAME_LENGTH);
    assert_int_equal(wire_put_pad(p, 0), 4);
    assert_int_equal(first_frame(p, 4, &f), CHI_DROP_NONE);
}

static void wire_next_frame__unknown_type(void **state)
{
    (void)state;
    uint8_t p[64] = {0};
    struct wire_frame f;
    for (unsigned type = 0; type < 256; type++) {
        if (type >= WIRE_FRAME_TASK_IN && type <= WIRE_FRAME_PORT)
            continue;
        p[0] = (uint8_t)type;
        assert_int_equal(first_frame(p, sizeof p, &f), CHI_DROP_FRAME_TYPE);
    }
}

static void wire_next_frame__every_prefix_is_refused(void **state)
{
    (void)state;
    for (unsigned which = 0; which < SAMPLES - 1; which++) {
        uint8_t p[SAMPLE_MAX];
        struct wire_frame f;
        size_t n = sample_frame(p, which);
        for (size_t cut = 1; cut < n; cut++) {
            uint8_t *copy = exact_copy(p, cut);
            assert_int_equal(first_frame(copy, cut, &f), CHI_DROP_FRAME_LENGTH);
            free(copy);
        }
        assert_int_equal(first_frame(p, n, &f), CHI_DROP_NONE);
    }
    static const uint8_t small[2][4] = {{WIRE_FRAME_PING, 0, 0, 0}, {WIRE_FRAME_CLOSE, 1, 0, 0}};
    for (unsigned i = 0; i < 2; i++) {
        for (size_t cut = 1; cut < 4; cut++) {
            struct wire_frame f;
            uint8_t *copy = exact_copy(small[i], cut);
            assert_int_equal(first_frame(copy, cut, &f), CHI_DROP_FRAME_LENGTH);
            free(copy);
        }
    }
}

static void wire_next_frame__grant_and_cancel(void **state)
{
    (void)state;
    static const unsigned flagged[] = {0, 12}; /* samples with flags in their second byte, of which one is known */
    uint8_t p[SAMPLE_MAX];
    struct wire_frame f;
    for (unsigned i = 0; i < 2; i++) {
        size_t n = sample_frame(p, flagged[i]);
        for (unsigned bit = 1; bit < 8; bit++) {
            p[1] ^= (uint8_t)(1u << bit);
            assert_int_equal(first_frame(p, n, &f), CHI_DROP_RESERVED);
            p[1] ^= (uint8_t)(1u << bit);
        }
    }
    size_t n = sample_frame(p, 12);
    assert_int_equal(first_frame(p, n, &f), CHI_DROP_NONE);
    assert_true(f.grant.bytes == UINT64_C(1) << 40 && f.grant.slot == 3 && f.grant.generation == 4 && f.grant.flags == WIRE_GRANT_AGAIN);
    n = sample_frame(p, 11);
    assert_int_equal(first_frame(p, n, &f), CHI_DROP_NONE);
    assert_true(f.cancel.slot == 9 && f.cancel.generation == UINT32_MAX);
    n = sample_frame(p, 14);
    assert_int_equal(first_frame(p, n, &f), CHI_DROP_NONE);
    assert_true(n == 4 && f.type == WIRE_FRAME_PORT && f.port == 200);
}

static void wire_next_frame__reserved_bytes(void **state)
{
    (void)state;
    /* sample, first reserved byte, how many; the lowest bit of the flags is taken */
    static const struct {
        unsigned which, at, bytes;
    } zero[] = {{3, 18, 2}, {6, 13, 3}, {11, 1, 3}, {12, 2, 2}, {12, 12, 4}, {13, 1, 1}, {14, 2, 2}, {SAMPLE_TWO, 1, 3}};
    uint8_t p[SAMPLE_MAX];
    struct wire_frame f;
    for (unsigned i = 0; i < sizeof zero / sizeof zero[0]; i++) {
        size_t n = sample_frame(p, zero[i].which);
        for (unsigned bit = 0; bit < 8 * zero[i].bytes; bit++) {
            uint8_t *byte = &p[zero[i].at + bit / 8];
            *byte ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(first_frame(p, n, &f), CHI_DROP_RESERVED);
            *byte ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_equal(first_frame(p, n, &f), CHI_DROP_NONE);
    }
    size_t n = sample_frame(p, 6);
    for (unsigned bit = 1; bit < 8; bit++) {
        p[12] = (uint8_t)(1u << bit);
        assert_int_equal(first_frame(p, n, &f), CHI_DROP_RESERVED);
    }
    wire_put_close(p, WIRE_CLOSE_SHUTDOWN);
    p[3] = 1;
    assert_int_equal(first_frame(p, 4, &f), CHI_DROP_RESERVED);
}

static void wire_next_frame__values(void **state)
{
    (void)state;
    uint8_t p[SAMPLE_MAX];
    struct wire_frame f;
    size_t n = sample_frame(p, 0);
    le32_put(p + 12, 63); /* form shorter than what is inline */
    assert_int_equal(first_frame(p, n, &f), CHI_DROP_FRAME_VALUE);
    n = sample_frame(p, 4);
    le32_put(p + 12, 8);
    assert_int_equal(first_frame(p, n, &f), CHI_DROP_FRAME_VALUE);
    n = sample_frame(p, 5);
    p[1] = WIRE_REGIONS + 1;
    assert_int_equal(first_frame(p, n, &f), CHI_DROP_FRAME_VALUE);

    n = sample_frame(p, 6);
    le16_put(p + 2, 0); /* empty segment */
    assert_int_equal(first_frame(p, n, &f), CHI_DROP_FRAME_VALUE);
    n = sample_frame(p, 6);
    p[1] = WIRE_REGIONS + 1;
    assert_int_equal(first_frame(p, n, &f), CHI_DROP_FRAME_VALUE);
    static const uint64_t offsets[] = {(UINT64_C(1) << 63) - 99, UINT64_C(1) << 63, UINT64_MAX - 99, UINT64_MAX};
    for (unsigned i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        n = sample_frame(p, 6);
        le64_put(p + 16, offsets[i]);
        assert_int_equal(first_frame(p, n, &f), CHI_DROP_FRAME_VALUE);
    }
    le64_put(p + 16, (UINT64_C(1) << 63) - 100);
    assert_int_equal(first_frame(p, n, &f), CHI_DROP_NONE);
}

static void wire_next_frame__many_in_a_packet(void **state)
{
    (void)state;
    uint8_t p[SAMPLES * SAMPLE_MAX];
    size_t n = WIRE_HEADER_BYTES;
    for (unsigned i = 0; i < SAMPLES; i++)
        n += sample_frame(p + n, i);
    struct wire_cursor c = {p, WIRE_HEADER_BYTES, n};
    struct wire_frame f;
    static const uint8_t want[] = {1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 7, 8, 9, 10, 5, 6, WIRE_FRAME_END, WIRE_FRAME_END};
    for (unsigned i = 0; i < sizeof want; i++) {
        assert_int_equal(wire_next_frame(&c, &f), CHI_DROP_NONE);
        assert_int_equal(f.type, want[i]);
    }
    assert_int_equal(c.at, n);

    c.at = WIRE_HEADER_BYTES;
    c.end = n - 1; /* CLOSE is cut: all before it is fine, and the cursor stays there */
    for (unsigned i = 0; want[i] != WIRE_FRAME_CLOSE; i++)
        assert_int_equal(wire_next_frame(&c, &f), CHI_DROP_NONE);
    assert_int_equal(wire_next_frame(&c, &f), CHI_DROP_FRAME_LENGTH);
    assert_int_equal(wire_next_frame(&c, &f), CHI_DROP_FRAME_LENGTH);
    assert_int_equal(c.at, n - 4);
}

/* Damage of any kind: no read beyond the packet, and what is borrowed lies within it. */
static void wire_next_frame__random_damage(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 99);
    for (int round = 0; round < 60000; round++) {
        uint8_t p[2 * SAMPLE_MAX];
        size_t n = sample_frame(p, (unsigned)prng_below(&prng, SAMPLES));
        n += sample_frame(p + n, (unsigned)prng_below(&prng, SAMPLES));
        for (uint64_t flips = prng_below(&prng, 6); flips > 0; flips--)
            p[prng_below(&prng, prng_chance(&prng, 500000) ? 24 : n)] ^= (uint8_t)(1u << prng_below(&prng, 8));
        if (prng_chance(&prng, 300000))
            n = prng_below(&prng, n + 1);
        uint8_t *copy = exact_copy(p, n);
        struct wire_cursor c = {copy, 0, n};
        struct wire_frame f;
        size_t before = 0;
        while (wire_next_frame(&c, &f) == CHI_DROP_NONE && f.type != WIRE_FRAME_END) {
            assert_true(c.at > before && c.at <= n);
            before = c.at;
            if (f.type == WIRE_FRAME_TASK_IN)
                assert_ptr_equal(f.task_in.bytes + f.task_in.inline_length, copy + c.at);
            else if (f.type == WIRE_FRAME_TASK_OUT)
                assert_ptr_equal(f.task_out.bytes + f.task_out.inline_length, copy + c.at);
            else if (f.type == WIRE_FRAME_SEGMENT)
                assert_ptr_equal(f.segment.bytes + f.segment.length, copy + c.at);
        }
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wire_next_frame__task_in),
        cmocka_unit_test(wire_next_frame__task_out),
        cmocka_unit_test(wire_next_frame__segment),
        cmocka_unit_test(wire_next_frame__ack),
        cmocka_unit_test(wire_put_ack__says_less_when_it_must),
        cmocka_unit_test(wire_put_ack__widest_gap_and_range),
        cmocka_unit_test(wire_put__what_cannot_be_panics),
        cmocka_unit_test(wire_next_frame__ack_values),
        cmocka_unit_test(wire_next_frame__ping_and_close),
        cmocka_unit_test(wire_next_frame__pad_takes_its_bytes_along),
        cmocka_unit_test(wire_next_frame__unknown_type),
        cmocka_unit_test(wire_next_frame__every_prefix_is_refused),
        cmocka_unit_test(wire_next_frame__reserved_bytes),
        cmocka_unit_test(wire_next_frame__grant_and_cancel),
        cmocka_unit_test(wire_next_frame__values),
        cmocka_unit_test(wire_next_frame__many_in_a_packet),
        cmocka_unit_test(wire_next_frame__random_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
