/* fuzz_wire.c - a packet of any bytes: decoding reads nothing beyond it, and what decodes is written again as the very
 * same bytes, so that decode and encode say the same.  The CRC field is ignored: a fuzzer cannot guess it. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "wire/le.h"
#include "wire/wire.h"

static uint32_t no_crc(uint32_t seed, const void *p, size_t n)
{
    if (n > 0)
        (void)((const volatile uint8_t *)p)[n - 1]; /* ASan judges the length */
    return seed;
}

static size_t write_frame(uint8_t *p, const struct wire_frame *f)
{
    size_t n = 0, bytes = 0;
    const uint8_t *from = NULL;
    switch ((enum wire_frame_type)f->type) {
    case WIRE_FRAME_TASK_IN:
        n = wire_put_task_in(p, &f->task_in), bytes = f->task_in.inline_length, from = f->task_in.bytes;
        break;
    case WIRE_FRAME_TASK_OUT:
        n = wire_put_task_out(p, &f->task_out), bytes = f->task_out.inline_length, from = f->task_out.bytes;
        break;
    case WIRE_FRAME_SEGMENT:
        n = wire_put_segment(p, &f->segment), bytes = f->segment.length, from = f->segment.bytes;
        break;
    case WIRE_FRAME_ACK:
        n = wire_put_ack(p, &f->ack);
        break;
    case WIRE_FRAME_PING:
        n = wire_put_ping(p);
        break;
    case WIRE_FRAME_CLOSE:
        n = wire_put_close(p, f->close_reason);
        break;
    case WIRE_FRAME_CANCEL:
        n = wire_put_cancel(p, &f->cancel);
        break;
    case WIRE_FRAME_GRANT:
        n = wire_put_grant(p, &f->grant);
        break;
    case WIRE_FRAME_PAD:
        n = wire_put_pad(p, f->pad.length) - f->pad.length, bytes = f->pad.length, from = f->pad.bytes;
        break;
    case WIRE_FRAME_PORT:
        n = wire_put_port(p, f->port);
        break;
    case WIRE_FRAME_END:
        break;
    }
    if (bytes)
        memcpy(p + n, from, bytes);
    return n + bytes;
}

static void check_frames(const uint8_t *p, size_t end)
{
    static uint8_t again[1 << 17];
    struct wire_cursor c = {p, WIRE_HEADER_BYTES, end};
    struct wire_frame f;
    for (;;) {
        size_t at = c.at;
        memset(&f, 0xa5, sizeof f); /* nothing may be taken from the frame before */
        if (wire_next_frame(&c, &f) != CHI_DROP_NONE) {
            CHI_ASSERT(c.at == at && f.type == WIRE_FRAME_END);
            return;
        }
        if (f.type == WIRE_FRAME_END) {
            CHI_ASSERT(c.at == at && at == end);
            return;
        }
        CHI_ASSERT(c.at > at && c.at <= end);
        size_t n = write_frame(again, &f);
        CHI_ASSERT(n == c.at - at && memcmp(again, p + at, n) == 0);
    }
}

static void check_packet(const uint8_t *p, size_t n)
{
    struct wire_header h;
    uint8_t version, again[WIRE_HELLO_BYTES + WIRE_REFUSE_BYTES];
    if (wire_peek_foreign_hello(p, n, &version))
        CHI_ASSERT(version != WIRE_VERSION);
    if (wire_open(p, n, no_crc, &h) != CHI_DROP_NONE)
        return;
    CHI_ASSERT(h.length >= WIRE_HEADER_BYTES && h.length <= n);
    if (h.kind == WIRE_KIND_HELLO) {
        struct wire_hello hello;
        if (wire_get_hello(p, n, &hello) == CHI_DROP_NONE) {
            CHI_ASSERT(wire_put_hello(again, &hello) == h.length);
            CHI_ASSERT(memcmp(again, p, h.length) == 0);
        }
    } else if (h.kind == WIRE_KIND_REFUSE) {
        struct wire_refuse refuse;
        if (wire_get_refuse(p, n, &refuse) == CHI_DROP_NONE) {
            CHI_ASSERT(wire_put_refuse(again, &refuse) == h.length);
            CHI_ASSERT(memcmp(again + 1, p + 1, h.length - 1u) == 0); /* any version */
        }
    } else {
        CHI_ASSERT(h.kind == WIRE_KIND_DATA);
        wire_put_header(again, &h);
        CHI_ASSERT(memcmp(again, p, WIRE_HEADER_BYTES) == 0);
        check_frames(p, h.length);
    }
}

static void check_print(const uint8_t *p, size_t n)
{
    static char line[1 << 21];
    int length = wire_print(p, n, line, sizeof line);
    CHI_ASSERT(length > 0 && (size_t)length < sizeof line);
    CHI_ASSERT(memchr(line, 0, sizeof line) == line + length);
    char shorter[33];
    CHI_ASSERT(wire_print(p, n, shorter, sizeof shorter) == length);
    CHI_ASSERT(memcmp(line, shorter, length < 32 ? (size_t)length + 1 : 32) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > WIRE_PACKET_MAX)
        return 0;
    uint8_t *p = malloc(size ? size : 1);
    if (size)
        memcpy(p, data, size);
    if (size >= WIRE_HEADER_BYTES)
        le32_put(p + 4, 0);
    check_packet(p, size);
    check_print(p, size);
    free(p);
    return 0;
}

/* --- seeds */

static size_t begin(uint8_t *p)
{
    wire_put_header(p, &(struct wire_header){.kind = WIRE_KIND_DATA, .session = 0x1234, .number = 77});
    return WIRE_HEADER_BYTES;
}

static size_t task_in(uint8_t *p, uint32_t form, uint16_t part)
{
    size_t n = wire_put_task_in(
        p, &(struct wire_task_in){.slot = 3, .generation = 9, .form_length = form, .inline_length = part});
    memset(p + n, 0x11, part);
    return n + part;
}

static size_t task_out(uint8_t *p, uint8_t regions, uint16_t part)
{
    struct wire_task_out out = {
        .slot = 3, .generation = 9, .form_length = part, .inline_length = part, .regions = regions};
    for (unsigned i = 0; i < regions; i++)
        out.used[i] = (uint64_t)i << 33;
    size_t n = wire_put_task_out(p, &out);
    memset(p + n, 0x22, part);
    return n + part;
}

static size_t segment(uint8_t *p, uint64_t offset, uint8_t region, uint8_t flags, uint16_t length)
{
    struct wire_segment s = {
        .offset = offset, .slot = 3, .generation = 9, .length = length, .region = region, .flags = flags};
    size_t n = wire_put_segment(p, &s);
    memset(p + n, 0x33, length);
    return n + length;
}

static size_t ack(uint8_t *p, uint8_t count)
{
    struct wire_ack a = {.delay_ns = 25000, .count = count};
    for (unsigned i = 0; i < count; i++)
        a.r[i] = (struct wire_range){5000 - 10 * i, 5004 - 10 * i};
    return wire_put_ack(p, &a);
}

static void seal_and_emit(void (*emit)(const char *, const void *, size_t), const char *name, uint8_t *p, size_t n)
{
    wire_seal(p, n, no_crc);
    emit(name, p, n);
}

static void data_seeds(void (*emit)(const char *name, const void *data, size_t size))
{
    uint8_t p[2048];
    size_t n;
#define SEED(name, ...) \
    n = begin(p);       \
    __VA_ARGS__;        \
    seal_and_emit(emit, name, p, n)
    SEED("data_empty.bin", (void)0);
    SEED("data_ping.bin", n += wire_put_ping(p + n));
    SEED("data_pad.bin", n += wire_put_pad(p + n, 300));
    SEED("data_close.bin", n += wire_put_close(p + n, WIRE_CLOSE_SHUTDOWN));
    SEED("data_task_in.bin", n += task_in(p + n, 64, 64));
    SEED("data_task_in_part.bin", n += task_in(p + n, 60000, 80));
    SEED("data_tasks_in.bin", n += task_in(p + n, 40, 40), n += task_in(p + n, 41, 41), n += task_in(p + n, 0, 0));
    SEED("data_task_out.bin", n += task_out(p + n, 0, 30));
    SEED("data_task_out_regions.bin", n += task_out(p + n, WIRE_REGIONS, 5));
    SEED("data_segment.bin", n += segment(p + n, 8192, 1, 0, 200));
    SEED("data_segment_out.bin", n += segment(p + n, (UINT64_C(1) << 63) - 20, WIRE_REGIONS, WIRE_SEGMENT_OUT, 20));
    SEED("data_ack.bin", n += ack(p + n, 1));
    SEED("data_ack_full.bin", n += ack(p + n, WIRE_ACK_RANGES));
    SEED("data_mixed.bin", n += ack(p + n, 3), n += task_out(p + n, 1, 8),
         n += segment(p + n, 0, 1, WIRE_SEGMENT_OUT, 32), n += task_in(p + n, 48, 48), n += wire_put_ping(p + n));
    SEED("data_cut.bin", n += ack(p + n, 3), n -= 5);
    SEED("data_reserved_type.bin", n += wire_put_ping(p + n), p[n - 4] = 7);
#undef SEED
}

void fuzz_seeds(void (*emit)(const char *name, const void *data, size_t size))
{
    uint8_t p[WIRE_HELLO_BYTES + 8] = {0};
    struct wire_hello h = {.incarnation = 1700000000000000000,
                           .node = 1,
                           .session = 0xabcdef01,
                           .worker = 0,
                           .workers = 2,
                           .packet_max = 8972,
                           .flags = WIRE_HELLO_REPLY_WANTED,
                           .cluster_length = 4,
                           .slots = 1024,
                           .cluster = "demo"};
    seal_and_emit(emit, "hello.bin", p, wire_put_hello(p, &h));
    emit("hello_padded.bin", p, sizeof p);
    p[0] = WIRE_VERSION + 1;
    emit("hello_foreign.bin", p, WIRE_HELLO_BYTES);
    struct wire_refuse r = {
        .incarnation = 5, .node = 2, .session = 0xabcdef01, .reason = WIRE_REFUSE_CLUSTER, .version = WIRE_VERSION};
    seal_and_emit(emit, "refuse.bin", p, wire_put_refuse(p, &r));
    p[0] = WIRE_VERSION + 1;
    emit("refuse_foreign.bin", p, WIRE_REFUSE_BYTES);
    emit("empty.bin", p, 0);
    emit("short.bin", p, WIRE_HEADER_BYTES - 1);
    data_seeds(emit);
}
