/* crc32c.h - CRC32C (Castagnoli, RFC 3720) for packets: the processor's instruction for short ones, ISA-L for long ones.
 * Thread: any. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* seed 0 to begin; a result is the seed of what follows. */
uint32_t crc32c(uint32_t seed, const void *p, size_t n);
