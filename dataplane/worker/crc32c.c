#include "crc32c.h"

#include <isa-l/crc.h>
#include <string.h>

/* ISA-L folds in parallel, which costs some 30 ns before the first byte; up to here one instruction for 8 bytes is faster. */
enum { SHORT_BYTES = 256 };

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_short(uint32_t crc, const uint8_t *p, size_t n)
{
    uint64_t c = crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v;
        memcpy(&v, p, sizeof v);
        c = __builtin_ia32_crc32di(c, v);
    }
    for (; n; n--)
        c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
    return (uint32_t)c;
}

/* ISA-L leaves the upper halves of vector registers in use.  Until somebody clears them each SSE instruction of this thread, whoever's,
 * waits for the one before it that wrote the same register: such loops run at a seventh of their speed. */
__attribute__((target("avx"))) static void upper_halves_clear(void) { __builtin_ia32_vzeroupper(); }
#endif

uint32_t crc32c(uint32_t seed, const void *p, size_t n)
{
#if defined(__x86_64__)
    if (n <= SHORT_BYTES && __builtin_cpu_supports("sse4.2"))
        return ~crc32c_short(~seed, p, n);
#endif
    uint32_t crc = ~crc32_iscsi((unsigned char *)p, (int)n, ~seed); /* n is a packet's: far below 2^31 */
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx"))
        upper_halves_clear();
#endif
    return crc;
}
