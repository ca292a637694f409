/* be.h - network-order numbers at any address, and the Internet checksum. */
#pragma once
#include <stdint.h>
#include <string.h>

static inline uint16_t be16_get(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap16(v);
}

static inline uint32_t be32_get(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

static inline void be16_put(void *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(p, &v, sizeof v);
}

static inline void be32_put(void *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof v);
}

/* Adds n bytes to a one's complement sum that is not folded yet; only the last piece may be odd. */
static inline uint64_t checksum_add(uint64_t sum, const void *p, uint32_t n)
{
    const uint8_t *b = p;
    for (; n >= 4; n -= 4, b += 4) /* 2^16 = 1 modulo 2^16 - 1: wider words add up the same */
        sum += be32_get(b);
    if (n & 2) {
        sum += be16_get(b);
        b += 2;
    }
    if (n & 1)
        sum += (uint64_t)*b << 8;
    return sum;
}

static inline uint16_t checksum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}
