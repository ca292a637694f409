#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "worker/crc32c.h"

static uint32_t slow(uint32_t seed, const uint8_t *p, size_t n)
{
    uint32_t c = ~seed;
    while (n--) {
        c ^= *p++;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0x82f63b78 : c >> 1;
    }
    return ~c;
}

static void crc32c__known_answers_of_rfc_3720(void **state)
{
    uint8_t p[32];
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    memset(p, 0, sizeof p);
    assert_int_equal(crc32c(0, p, sizeof p), 0x8a9136aa);
    memset(p, 0xff, sizeof p);
    assert_int_equal(crc32c(0, p, sizeof p), 0x62a8ab43);
}

static void crc32c__every_length_and_start_agrees_with_the_definition(void **state)
{
    static uint8_t p[1100];
    (void)state;
    for (size_t i = 0; i < sizeof p; i++)
        p[i] = (uint8_t)(i * 131 + 7);
    for (size_t n = 0; n < 1024; n++) {
        assert_int_equal(crc32c(0, p + n % 9, n), slow(0, p + n % 9, n));
        assert_int_equal(crc32c(crc32c(0, p, n), p + n, 40), slow(0, p, n + 40)); /* chains */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c__known_answers_of_rfc_3720),
        cmocka_unit_test(crc32c__every_length_and_start_agrees_with_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
