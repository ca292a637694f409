#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "worker/crc32c.h"
#if defined(__x86_64__)
#include <cpuid.h>
#endif

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

#if defined(__x86_64__)
/* Which parts of the registers are in use: bit 2 the upper halves of ymm, bit 6 those of zmm (XINUSE of XGETBV with 1). */
static uint64_t in_use(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    return (uint64_t)high << 32 | low;
}

__attribute__((target("avx"))) static void clear(void) { __builtin_ia32_vzeroupper(); }
#endif

/* Others' SSE code would wait for itself. */
static void crc32c__leaves_no_upper_halves_in_use(void **state)
{
    (void)state;
#if defined(__x86_64__)
    enum { UPPER = 1 << 2 | 1 << 6, XGETBV_1 = 1 << 2 };
    static uint8_t p[9000];
    unsigned a, b, c, d;
    if (!__builtin_cpu_supports("avx") || !__get_cpuid_count(13, 1, &a, &b, &c, &d) || !(a & XGETBV_1))
        skip();
    for (size_t n = 1; n < sizeof p; n += n < 600 ? 1 : 1000) {
        clear();
        uint32_t crc = crc32c(0, p, n);
        uint64_t used = in_use();
        assert_int_equal(crc, slow(0, p, n));
        assert_int_equal(used & UPPER, 0);
    }
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c__known_answers_of_rfc_3720),
        cmocka_unit_test(crc32c__every_length_and_start_agrees_with_the_definition),
        cmocka_unit_test(crc32c__leaves_no_upper_halves_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
