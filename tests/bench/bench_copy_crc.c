/* bench_copy_crc - what a segment costs its sender: copied and then summed, as the transport does; the two folded into one pass over
 * blocks; and in one loop of three interleaved CRC instructions.  From a source that fits no cache, and from one that fits the second. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "worker/crc32c.h"

enum { SEGMENT = 8920, PACKET = 9216, PACKETS = 512, LARGE = 64 << 20, SMALL = 1 << 20, TURN = 128 << 20, TURNS = 5 };

static uint32_t apart(uint8_t *to, const uint8_t *from)
{
    memcpy(to, from, SEGMENT);
    return crc32c(0, to, SEGMENT);
}

static uint32_t blocks(uint8_t *to, const uint8_t *from, size_t block)
{
    uint32_t crc = 0;
    for (size_t at = 0, n; at < SEGMENT; at += n) {
        n = SEGMENT - at < block ? SEGMENT - at : block;
        memcpy(to + at, from + at, n);
        crc = crc32c(crc, to + at, n);
    }
    return crc;
}
static uint32_t blocks_512(uint8_t *to, const uint8_t *from) { return blocks(to, from, 512); }
static uint32_t blocks_2048(uint8_t *to, const uint8_t *from) { return blocks(to, from, 2048); }

#if defined(__x86_64__)
/* The three sums are not joined: a bound from below for a real one. */
__attribute__((target("sse4.2"))) static uint32_t interleaved(uint8_t *to, const uint8_t *from)
{
    enum { THIRD = SEGMENT / 3 / 8 * 8 };
    uint64_t a = 0, b = 0, c = 0;
    for (size_t i = 0; i < THIRD; i += 8) {
        uint64_t x, y, z;
        memcpy(&x, from + i, 8);
        memcpy(&y, from + THIRD + i, 8);
        memcpy(&z, from + 2 * THIRD + i, 8);
        a = __builtin_ia32_crc32di(a, x);
        b = __builtin_ia32_crc32di(b, y);
        c = __builtin_ia32_crc32di(c, z);
        memcpy(to + i, &x, 8);
        memcpy(to + THIRD + i, &y, 8);
        memcpy(to + 2 * THIRD + i, &z, 8);
    }
    return (uint32_t)(a ^ b ^ c);
}
#endif

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static volatile uint32_t sink; /* so that no sum is left out */

/* The best of the turns, in bytes a second. */
static double rate(uint32_t (*way)(uint8_t *, const uint8_t *), uint8_t *packets, const uint8_t *source, size_t source_bytes)
{
    double best = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        double from = now_s();
        size_t bytes = 0, packet = 0;
        while (bytes < TURN)
            for (size_t at = 0; at + SEGMENT <= source_bytes; at += SEGMENT, bytes += SEGMENT)
                sink += way(packets + packet++ % PACKETS * PACKET, source + at);
        double is = (double)bytes / (now_s() - from);
        best = is > best ? is : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    static const struct { const char *name; uint32_t (*way)(uint8_t *, const uint8_t *); } ways[] = {
        {"apart", apart}, {"blocks_512", blocks_512}, {"blocks_2048", blocks_2048},
#if defined(__x86_64__)
        {"interleaved", interleaved},
#endif
    };
    int core = 0;
    bool ok = argc == 1 || (argc == 3 && !strcmp(argv[1], "--cores") && sscanf(argv[2], "%d", &core) == 1);
    if (!ok) {
        fprintf(stderr, "usage: %s [--cores A]\n", argv[0]);
        return 2;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        fprintf(stderr, "core %d cannot be had: %s\n", core, strerror(errno));
    uint8_t *source = aligned_alloc(4096, LARGE), *packets = aligned_alloc(4096, (size_t)PACKETS * PACKET);
    if (!source || !packets) {
        fprintf(stderr, "bench_copy_crc: no memory\n");
        return 1;
    }
    memset(source, 1, LARGE);
    memset(packets, 0, (size_t)PACKETS * PACKET);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        printf("%-12s %6.2f GB/s from 64 MiB, %6.2f GB/s from 1 MiB\n", ways[i].name, rate(ways[i].way, packets, source, LARGE) / 1e9,
               rate(ways[i].way, packets, source, SMALL) / 1e9);
    free(source);
    free(packets);
    return 0;
}
