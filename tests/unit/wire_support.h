/* wire_support.h - what the tests of wire share: a slow CRC32C and one sample of each frame. */
#pragma once
#include <stdlib.h>

#include "wire/le.h"
#include "wire/wire.h"

/* Bit by bit; reflected polynomial 0x1edc6f41.  Chains: the seed is the CRC so far. */
static inline uint32_t slow_crc32c(uint32_t seed, const void *p, size_t n)
{
    const uint8_t *at = p;
    uint32_t crc = ~seed;
    while (n-- > 0) {
        crc ^= *at++;
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* A copy that ends where its memory ends, so that ASan sees a read beyond it.  Owned by the caller. */
static inline uint8_t *exact_copy(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (n)
        memcpy(copy, p, n);
    return copy;
}

static inline struct wire_hello sample_hello(void)
{
    return (struct wire_hello){
        .incarnation = UINT64_C(0x1122334455667788),
        .peer_incarnation = UINT64_C(0x99aabbccddeeff00),
        .node = 7,
        .session = 0xdeadbeef,
        .peer_session = 0x01020304,
        .worker = 3,
        .workers = 4,
        .packet_max = 8972,
        .flags = WIRE_HELLO_REPLY_WANTED,
        .cluster_length = 4,
        .slots = 4096,
        .credit = 65536,
        .cluster = "demo",
    };
}

/* One frame with its bytes at p (SAMPLE_MAX of room); returns its length.  which: 0..SAMPLES-1. */
enum { SAMPLES = 16, SAMPLE_TWO = 15 /* two frames */, SAMPLE_MAX = 1024 };
static inline size_t sample_frame(uint8_t *p, unsigned which)
{
    static const struct wire_task_in in_whole = {.slot = 1, .generation = 2, .form_length = 64, .inline_length = 64};
    static const struct wire_task_in in_part = {
        .slot = 0xffff, .generation = UINT32_MAX, .form_length = 65536, .inline_length = 56, .flags = WIRE_TASK_WAITS};
    static const struct wire_task_in in_none = {.form_length = 33};
    static const struct wire_task_out out_bare = {.slot = 5, .generation = 6, .status = 11};
    static const struct wire_task_out out_two = {
        .slot = 5, .generation = 6, .form_length = 9, .inline_length = 9, .regions = 2, .used = {1, UINT64_C(1) << 32}};
    static const struct wire_segment segment = {
        .offset = 4096, .slot = 8, .generation = 9, .length = 100, .region = 16};
    static const struct wire_segment segment_out = {
        .offset = (UINT64_C(1) << 63) - 1, .slot = 8, .generation = 9, .length = 1, .region = 1, .flags = WIRE_SEGMENT_OUT};
    static const struct wire_ack ack_one = {.delay_ns = 1000, .count = 1, .r = {{1, 1}}};
    static const struct wire_ack ack_three = {
        .delay_ns = UINT32_MAX, .count = 3, .r = {{1000, 2000}, {500, 998}, {1, 1}}};
    struct wire_ack ack_full = {.delay_ns = 7, .count = WIRE_ACK_RANGES};
    struct wire_task_out out_full = {
        .slot = 1, .generation = 1, .form_length = 500, .inline_length = 3, .regions = WIRE_REGIONS};
    size_t n = which == 13 ? wire_put_pad(p, 30) : which == 14 ? wire_put_port(p, 200) : 0, bytes = 0;
    switch (which) {
    case 0:
        n = wire_put_task_in(p, &in_whole), bytes = in_whole.inline_length;
        break;
    case 1:
        n = wire_put_task_in(p, &in_part), bytes = in_part.inline_length;
        break;
    case 2:
        n = wire_put_task_in(p, &in_none);
        break;
    case 3:
        n = wire_put_task_out(p, &out_bare);
        break;
    case 4:
        n = wire_put_task_out(p, &out_two), bytes = out_two.inline_length;
        break;
    case 5:
        for (unsigned i = 0; i < WIRE_REGIONS; i++)
            out_full.used[i] = UINT64_C(1) << (4 * i);
        n = wire_put_task_out(p, &out_full), bytes = out_full.inline_length;
        break;
    case 6:
        n = wire_put_segment(p, &segment), bytes = segment.length;
        break;
    case 7:
        n = wire_put_segment(p, &segment_out), bytes = segment_out.length;
        break;
    case 8:
        n = wire_put_ack(p, &ack_one);
        break;
    case 9:
        n = wire_put_ack(p, &ack_three);
        break;
    case 10:
        for (unsigned i = 0; i < WIRE_ACK_RANGES; i++)
            ack_full.r[i] = (struct wire_range){100000 - 10 * i, 100003 - 10 * i};
        n = wire_put_ack(p, &ack_full);
        break;
    case 11:
        n = wire_put_cancel(p, &(struct wire_cancel){.slot = 9, .generation = UINT32_MAX});
        break;
    case 12:
        n = wire_put_grant(p, &(struct wire_grant){.bytes = UINT64_C(1) << 40, .slot = 3, .generation = 4, .flags = WIRE_GRANT_AGAIN});
        break;
    case SAMPLE_TWO:
        n = wire_put_ping(p);
        n += wire_put_close(p + n, WIRE_CLOSE_SHUTDOWN); /* two frames */
        break;
    }
    for (size_t i = 0; i < bytes; i++)
        p[n + i] = (uint8_t)(which * 31 + i);
    return n + bytes;
}
