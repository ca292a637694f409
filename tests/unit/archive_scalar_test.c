#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "chi/archive.h"

static void ar_scalars__little_endian_without_padding(void **state)
{
    (void)state;
    uint8_t buf[64], a = 0x11;
    uint16_t b[2] = {0x2233, 0x4455};
    uint32_t c = 0x66778899;
    uint64_t d = 0xaabbccddeeff0102;
    bool e[2] = {true, false};
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, buf, sizeof buf, NULL, 0);
    chi_ar_u8(&ar, &a, 1);
    chi_ar_u16(&ar, b, 2);
    chi_ar_u32(&ar, &c, 1);
    chi_ar_u64(&ar, &d, 1);
    chi_ar_bool(&ar, e, 2);
    chi_ar_u64(&ar, NULL, 0);
    assert_int_equal(ar.status, CHI_STATUS_OK);
    static const uint8_t want[] = {0x11, 0x33, 0x22, 0x55, 0x44, 0x99, 0x88, 0x77, 0x66, 0x02,
                                   0x01, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 1,    0};
    assert_int_equal(ar.pos, sizeof want);
    assert_memory_equal(buf, want, sizeof want);

    uint8_t a2;
    uint16_t b2[2];
    uint32_t c2;
    uint64_t d2;
    bool e2[2];
    chi_ar_init(&ar, CHI_AR_INPUT_IN, buf, sizeof want, NULL, 0);
    chi_ar_u8(&ar, &a2, 1);
    chi_ar_u16(&ar, b2, 2);
    chi_ar_u32(&ar, &c2, 1);
    chi_ar_u64(&ar, &d2, 1);
    chi_ar_bool(&ar, e2, 2);
    assert_int_equal(ar.status, CHI_STATUS_OK);
    assert_true(a2 == a && b2[0] == b[0] && b2[1] == b[1] && c2 == c && d2 == d && e2[0] && !e2[1]);
}

/* The first error stays, later calls neither move nor store. */
static void ar_scalars__first_error_stays(void **state)
{
    (void)state;
    uint8_t buf[4] = {1, 2, 3, 4}, after = 77;
    uint64_t v = 55;
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_INPUT_OUT, buf, sizeof buf, NULL, 0);
    chi_ar_u64(&ar, &v, 1);
    assert_int_equal(ar.status, CHI_STATUS_ARCHIVE);
    chi_ar_u8(&ar, &after, 1);
    assert_true(ar.pos == 0 && v == 55 && after == 77);
    chi_ar_init(&ar, CHI_AR_OUTPUT_OUT, buf, sizeof buf, NULL, 0);
    chi_ar_u64(&ar, &v, 1);
    assert_int_equal(ar.status, CHI_STATUS_TOO_BIG);
    assert_int_equal(buf[0], 1);
}

/* n * width beyond 64 bits is refused, not wrapped. */
static void ar_scalars__count_cannot_overflow(void **state)
{
    (void)state;
    uint8_t buf[16] = {0};
    uint64_t v[2];
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_INPUT_IN, buf, sizeof buf, NULL, 0);
    chi_ar_u64(&ar, v, (SIZE_MAX / 8) + 2);
    assert_int_equal(ar.status, CHI_STATUS_ARCHIVE);
    chi_ar_init(&ar, CHI_AR_INPUT_IN, NULL, 0, NULL, 0);
    chi_ar_u8(&ar, (uint8_t *)v, 1);
    assert_int_equal(ar.status, CHI_STATUS_ARCHIVE);
}

static void ar_bool__must_be_0_or_1(void **state)
{
    (void)state;
    uint8_t buf[3] = {1, 2, 0};
    bool v[3] = {false, false, true};
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_INPUT_IN, buf, sizeof buf, NULL, 0);
    chi_ar_bool(&ar, v, 3);
    assert_int_equal(ar.status, CHI_STATUS_ARCHIVE);
    assert_true(!v[1] && v[2]);
    uint8_t odd = 200, out[1];
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, out, sizeof out, NULL, 0);
    chi_ar_bool(&ar, (bool *)&odd, 1);
    assert_true(ar.status == CHI_STATUS_OK && out[0] == 1);
}

static void ar_bytes__both_ways_and_bounds(void **state)
{
    (void)state;
    uint8_t buf[16], data[8] = "abcdefg", back[8] = {0};
    uint32_t len = 5, back_len = 99;
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, buf, sizeof buf, NULL, 0);
    chi_ar_bytes(&ar, &len, data, sizeof data);
    assert_true(ar.status == CHI_STATUS_OK && ar.pos == 9);
    chi_ar_init(&ar, CHI_AR_INPUT_IN, buf, 9, NULL, 0);
    chi_ar_bytes(&ar, &back_len, back, sizeof back);
    assert_true(ar.status == CHI_STATUS_OK && back_len == 5 && !memcmp(back, "abcde", 6));

    back_len = 99;
    chi_ar_init(&ar, CHI_AR_INPUT_IN, buf, 9, NULL, 0); /* longer than the reader's capacity */
    chi_ar_bytes(&ar, &back_len, back, 4);
    assert_true(ar.status == CHI_STATUS_ARCHIVE && back_len == 99);
    chi_ar_init(&ar, CHI_AR_INPUT_IN, buf, 8, NULL, 0); /* cut off */
    chi_ar_bytes(&ar, &back_len, back, sizeof back);
    assert_true(ar.status == CHI_STATUS_ARCHIVE && back_len == 99);
    len = 9;
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, buf, sizeof buf, NULL, 0);
    chi_ar_bytes(&ar, &len, data, sizeof data);
    assert_int_equal(ar.status, CHI_STATUS_INVALID);
    len = 0;
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, buf, sizeof buf, NULL, 0);
    chi_ar_bytes(&ar, &len, NULL, 0);
    assert_true(ar.status == CHI_STATUS_OK && ar.pos == 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ar_scalars__little_endian_without_padding),
        cmocka_unit_test(ar_scalars__first_error_stays),
        cmocka_unit_test(ar_scalars__count_cannot_overflow),
        cmocka_unit_test(ar_bool__must_be_0_or_1),
        cmocka_unit_test(ar_bytes__both_ways_and_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
