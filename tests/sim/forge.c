/* forge.c - well-formed packets that no transport sends: numbers near those in use, or at the edges. */
#include <string.h>

#include "archive/form.h"
#include "sim.h"
#include "worker/crc32c.h"

static uint64_t likely(struct prng *p)
{
    static const uint64_t edges[] = {0,    1,     2,     3,     15,        16,         17,        63,
                                     64,   65,    127,   255,   1199,      4096,       32768,     65535,
                                     65536, 65537, 70000, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_C(1) << 62};
    return edges[sim_draw(p, 0, sizeof edges / sizeof *edges - 1)];
}

static uint32_t slot(struct prng *p) { return prng_chance(p, 900000) ? (uint32_t)sim_draw(p, 0, 7) : (uint32_t)likely(p); }
static uint32_t generation(struct prng *p) { return prng_chance(p, 900000) ? (uint32_t)sim_draw(p, 0, 40) : (uint32_t)likely(p); }

/* Changes some bytes behind the checksum; mostly of the first frames' heads. */
static void change(struct prng *p, uint8_t *bytes, uint32_t n)
{
    for (uint64_t i = sim_draw(p, 1, 4); i > 0; i--) {
        uint32_t span = n < 120 || prng_chance(p, 300000) ? n : 120;
        uint8_t *at = bytes + sim_draw(p, 8, span - 1);
        *at = prng_chance(p, 500000) ? (uint8_t)likely(p) : (uint8_t)prng_next(p);
    }
}

static size_t put_task_in(struct prng *p, uint8_t *to, size_t room)
{
    struct form_head h = {.pool = {1, 2}, .query = {CHI_QUERY_DIRECT_ID, 0, sim_draw(p, 0, 200)}, .schema = 7, .method = 3};
    h.regions = (uint8_t)sim_draw(p, 0, prng_chance(p, 100000) ? CHI_REGIONS_MAX : 2);
    for (uint32_t i = 0; i < h.regions; i++) {
        h.region[i].size = prng_chance(p, 800000) ? sim_draw(p, 0, 20000) : likely(p) >> 4;
        h.region[i].flags = (uint32_t)sim_draw(p, 1, 3);
        if ((h.region[i].flags & CHI_WRITE) && prng_chance(p, 300000))
            h.region[i].flags |= CHI_STREAM;
    }
    struct wire_task_in f = {.slot = slot(p), .generation = generation(p), .flags = (uint8_t)sim_draw(p, 0, 1)};
    f.inline_length = (uint16_t)form_prefix_bytes(h.regions);
    f.form_length = f.inline_length + (prng_chance(p, 700000) ? 0 : (uint32_t)(likely(p) & 0x1ffff));
    if (WIRE_BYTES_TASK_IN + (size_t)f.inline_length > room)
        return 0;
    size_t n = wire_put_task_in(to, &f);
    return n + form_encode(to + n, &h);
}

static size_t put_task_out(struct prng *p, uint8_t *to, size_t room)
{
    struct wire_task_out f = {.slot = slot(p), .generation = generation(p)};
    f.regions = (uint8_t)sim_draw(p, 0, prng_chance(p, 100000) ? WIRE_REGIONS : 2);
    for (uint32_t i = 0; i < f.regions; i++)
        f.used[i] = prng_chance(p, 800000) ? sim_draw(p, 0, 4000) : likely(p);
    f.inline_length = (uint16_t)sim_draw(p, 0, 100);
    f.form_length = f.inline_length + (prng_chance(p, 700000) ? 0 : (uint32_t)likely(p) / 2);
    f.status = (uint16_t)(prng_chance(p, 800000) ? sim_draw(p, 0, 24) : likely(p));
    if (WIRE_BYTES_TASK_OUT + 8u * f.regions + f.inline_length > room)
        return 0;
    size_t n = wire_put_task_out(to, &f);
    memset(to + n, 0x22, f.inline_length);
    return n + f.inline_length;
}

static size_t put_segment(struct prng *p, uint8_t *to, size_t room)
{
    struct wire_segment f = {.slot = slot(p), .generation = generation(p), .flags = (uint8_t)sim_draw(p, 0, 1)};
    f.region = (uint8_t)sim_draw(p, 0, prng_chance(p, 100000) ? WIRE_REGIONS : 2);
    f.offset = prng_chance(p, 700000) ? sim_draw(p, 0, 5000) : likely(p);
    f.length = (uint16_t)sim_draw(p, 1, 600);
    if (WIRE_BYTES_SEGMENT + (size_t)f.length > room)
        return 0;
    size_t n = wire_put_segment(to, &f);
    memset(to + n, 0x33, f.length);
    return n + f.length;
}

static size_t put_ack(struct prng *p, uint8_t *to, uint64_t number)
{
    struct wire_ack f = {.delay_ns = (uint32_t)likely(p), .count = 1};
    uint64_t last = prng_chance(p, 900000) ? sim_draw(p, 1, number + 20) : likely(p);
    f.r[0] = (struct wire_range){last > 5 ? last - sim_draw(p, 0, 4) : last, last};
    return wire_put_ack(to, &f);
}

static size_t put_frame(struct prng *p, uint8_t *to, size_t room, uint64_t number)
{
    switch (sim_draw(p, 0, 10)) {
    case 0:
    case 1:
        return put_task_in(p, to, room);
    case 2:
    case 3:
        return put_task_out(p, to, room);
    case 4:
    case 5:
        return put_segment(p, to, room);
    case 6:
        return put_ack(p, to, number);
    case 7:
        return wire_put_grant(to, &(struct wire_grant){.slot = slot(p), .generation = generation(p), .flags = (uint8_t)sim_draw(p, 0, 1), .bytes = likely(p)});
    case 8:
        return wire_put_cancel(to, &(struct wire_cancel){.slot = slot(p), .generation = generation(p)});
    case 9:
        return wire_put_pad(to, (uint16_t)sim_draw(p, 0, 100));
    default:
        return prng_chance(p, 900000) ? wire_put_ping(to) : wire_put_close(to, WIRE_CLOSE_SHUTDOWN);
    }
}

uint32_t forge(struct prng *p, uint8_t *bytes, uint32_t length, uint32_t room)
{
    struct wire_header h;
    bool data = wire_open(bytes, length, crc32c, &h) == CHI_DROP_NONE && h.kind == WIRE_KIND_DATA;
    if (data && prng_chance(p, 500000)) {
        size_t n = WIRE_HEADER_BYTES;
        if (prng_chance(p, 500000)) /* one that its sender will not use itself, soon */
            h.number += sim_draw(p, 1, prng_chance(p, 900000) ? 50 : 1 << 20);
        for (uint64_t frames = sim_draw(p, 1, 4); frames > 0 && room - n > WIRE_ACK_BYTES_MAX; frames--)
            n += put_frame(p, bytes + n, room - n, h.number);
        if (prng_chance(p, 300000)) {
            h.capable = (uint16_t)(h.capable + likely(p));
            h.marked = (uint16_t)(h.marked + likely(p));
        }
        h.length = (uint16_t)n;
        wire_put_header(bytes, &h);
        length = (uint32_t)n;
    } else {
        change(p, bytes, length);
    }
    wire_seal(bytes, length, crc32c);
    return length;
}
