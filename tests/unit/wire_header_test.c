#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/prng.h"
#include "panics.h"
#include "wire_support.h"

/* A sealed DATA packet with a PING and a task; returns its length. */
static size_t sample_packet(uint8_t *p)
{
    wire_put_header(p,
                    &(struct wire_header){.kind = WIRE_KIND_DATA, .session = 0x0a0b0c0d, .number = 0x1112131415161718,
                                            .capable = 0x0201, .marked = 0x0403});
    size_t n = WIRE_HEADER_BYTES;
    n += wire_put_ping(p + n);
    n += sample_frame(p + n, 0);
    wire_seal(p, n, slow_crc32c);
    return n;
}

static void seal_again(uint8_t *p, size_t n)
{
    le32_put(p + 4, 0);
    le32_put(p + 4, slow_crc32c(0, p, n));
}

static void slow_crc32c__check_value(void **state)
{
    (void)state;
    assert_true(slow_crc32c(0, "123456789", 9) == 0xe3069283u);
    assert_true(slow_crc32c(slow_crc32c(0, "1234", 4), "56789", 5) == 0xe3069283u);
}

static void wire_open__round_trip_and_layout(void **state)
{
    (void)state;
    uint8_t p[256];
    size_t n = sample_packet(p);
    static const uint8_t want[] = {1, 3, 108, 0};
    assert_int_equal(n, 108);
    assert_memory_equal(p, want, 4);
    static const uint8_t behind[] = {0x0d, 0x0c, 0x0b, 0x0a, 0x01, 0x02, 0x03, 0x04,
                                     0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11};
    assert_memory_equal(p + 8, behind, sizeof behind);
    struct wire_header h;
    uint8_t *copy = exact_copy(p, n);
    assert_int_equal(wire_open(copy, n, slow_crc32c, &h), CHI_DROP_NONE);
    assert_memory_equal(copy, p, n); /* read only */
    free(copy);
    assert_int_equal(h.kind, WIRE_KIND_DATA);
    assert_int_equal(h.length, n);
    assert_true(h.session == 0x0a0b0c0d && h.number == UINT64_C(0x1112131415161718));
    assert_true(h.capable == 0x0201 && h.marked == 0x0403);
    assert_true(h.crc == le32_get(p + 4));
}

static void wire_open__padding_is_ignored(void **state)
{
    (void)state;
    uint8_t p[512];
    memset(p, 0xee, sizeof p);
    size_t n = sample_packet(p);
    struct wire_header h;
    for (size_t more = 0; more < 40; more++) {
        assert_int_equal(wire_open(p, n + more, slow_crc32c, &h), CHI_DROP_NONE);
        assert_int_equal(h.length, n);
    }
}

static void wire_seal__again_with_another_length(void **state)
{
    (void)state;
    uint8_t p[256];
    struct wire_header h;
    size_t n = sample_packet(p);
    wire_seal(p, n - 7, slow_crc32c);
    assert_int_equal(wire_open(p, n, slow_crc32c, &h), CHI_DROP_NONE);
    assert_int_equal(h.length, n - 7);
    assert_int_equal(h.kind, WIRE_KIND_DATA);
}

static uint8_t room[WIRE_PACKET_MAX + 1];
static void seal_short(void) { wire_seal(room, WIRE_HEADER_BYTES - 1, slow_crc32c); }
static void seal_long(void) { wire_seal(room, WIRE_PACKET_MAX + 1, slow_crc32c); }
static void wire_seal__any_length_that_a_packet_has(void **state)
{
    (void)state;
    struct wire_header h;
    wire_put_header(room, &(struct wire_header){.kind = WIRE_KIND_DATA});
    wire_seal(room, WIRE_PACKET_MAX, slow_crc32c);
    assert_int_equal(wire_open(room, WIRE_PACKET_MAX, slow_crc32c, &h), CHI_DROP_NONE);
    assert_int_equal(h.length, WIRE_PACKET_MAX);
    assert_true(panics(seal_short));
    assert_true(panics(seal_long));
}

static void wire_open__bare_header(void **state)
{
    (void)state;
    uint8_t p[WIRE_HEADER_BYTES];
    wire_put_header(p, &(struct wire_header){.kind = WIRE_KIND_DATA, .session = 1, .number = 1});
    wire_seal(p, sizeof p, slow_crc32c);
    struct wire_header h;
    assert_int_equal(wire_open(p, sizeof p, slow_crc32c, &h), CHI_DROP_NONE);
    assert_int_equal(h.length, WIRE_HEADER_BYTES);
}

static void wire_open__every_prefix_is_truncated(void **state)
{
    (void)state;
    uint8_t p[256];
    struct wire_header h;
    size_t n = sample_packet(p);
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *copy = exact_copy(p, cut);
        assert_int_equal(wire_open(copy, cut, slow_crc32c, &h), CHI_DROP_TRUNCATED);
        free(copy);
    }
    for (uint16_t length = 0; length < WIRE_HEADER_BYTES; length++) {
        le16_put(p + 2, length);
        seal_again(p, n);
        assert_int_equal(wire_open(p, n, slow_crc32c, &h), CHI_DROP_TRUNCATED);
    }
}

static void wire_open__version(void **state)
{
    (void)state;
    uint8_t p[256];
    struct wire_header h;
    size_t n = sample_packet(p);
    for (unsigned version = 0; version < 256; version++) {
        p[0] = (uint8_t)version;
        seal_again(p, n);
        assert_int_equal(wire_open(p, n, slow_crc32c, &h), version == WIRE_VERSION ? CHI_DROP_NONE : CHI_DROP_VERSION);
    }
}

static void wire_open__kind(void **state)
{
    (void)state;
    uint8_t p[256];
    struct wire_header h;
    size_t n = sample_packet(p);
    for (unsigned kind = 0; kind < 256; kind++) {
        if (kind >= WIRE_KIND_HELLO && kind <= WIRE_KIND_DATA)
            continue;
        p[1] = (uint8_t)kind;
        seal_again(p, n);
        assert_int_equal(wire_open(p, n, slow_crc32c, &h), CHI_DROP_KIND);
    }
}

static void wire_open__reserved(void **state)
{
    (void)state;
    uint8_t p[256];
    struct wire_header h;
    size_t n = sample_packet(p);
    /* Outside of a session there is nothing of one. */
    static const uint8_t kinds[] = {WIRE_KIND_HELLO, WIRE_KIND_REFUSE};
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned what = 0; what < 5; what++) {
            wire_put_header(p, &(struct wire_header){.kind = kinds[i], .session = what == 1, .number = what == 2,
                                                     .capable = what == 3, .marked = what == 4});
            wire_seal(p, n, slow_crc32c);
            assert_int_equal(wire_open(p, n, slow_crc32c, &h), what ? CHI_DROP_RESERVED : CHI_DROP_NONE);
        }
    }
}

static void wire_open__every_flipped_bit_is_seen(void **state)
{
    (void)state;
    uint8_t p[256];
    struct wire_header h;
    size_t n = sample_packet(p);
    for (size_t bit = 0; bit < 8 * n; bit++) {
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum chi_drop d = wire_open(p, n, slow_crc32c, &h);
        assert_true(d != CHI_DROP_NONE);
        if (bit >= 8 * WIRE_HEADER_BYTES || (bit >= 32 && bit < 64))
            assert_int_equal(d, CHI_DROP_CRC);
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(wire_open(p, n, slow_crc32c, &h), CHI_DROP_NONE);
}

static void wire_open__random_bytes(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 11);
    struct wire_header h;
    for (int i = 0; i < 20000; i++) {
        uint8_t p[64];
        size_t n = prng_below(&prng, sizeof p + 1);
        for (size_t k = 0; k < n; k++)
            p[k] = (uint8_t)prng_next(&prng);
        if (n > 3) { /* past the first checks */
            p[0] = 1;
            p[1] = (uint8_t)(1 + prng_below(&prng, 3));
            le16_put(p + 2, (uint16_t)prng_below(&prng, n + 2));
        }
        uint8_t *copy = exact_copy(p, n);
        assert_true(wire_open(copy, n, slow_crc32c, &h) != CHI_DROP_NONE);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_crc32c__check_value),
        cmocka_unit_test(wire_open__round_trip_and_layout),
        cmocka_unit_test(wire_open__padding_is_ignored),
        cmocka_unit_test(wire_seal__again_with_another_length),
        cmocka_unit_test(wire_seal__any_length_that_a_packet_has),
        cmocka_unit_test(wire_open__bare_header),
        cmocka_unit_test(wire_open__every_prefix_is_truncated),
        cmocka_unit_test(wire_open__version),
        cmocka_unit_test(wire_open__kind),
        cmocka_unit_test(wire_open__reserved),
        cmocka_unit_test(wire_open__every_flipped_bit_is_seen),
        cmocka_unit_test(wire_open__random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
