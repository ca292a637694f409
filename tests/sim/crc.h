/* crc.h - CRC32C (RFC 3720) by ISA-L. */
#pragma once
#include <isa-l/crc.h>
#include <stddef.h>
#include <stdint.h>

static inline uint32_t sim_crc32c(uint32_t seed, const void *p, size_t n)
{
    return ~crc32_iscsi((unsigned char *)p, (int)n, ~seed);
}
