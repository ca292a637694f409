/* xfer_forge.h - packets that fuzz_xfer.c makes up: ids and numbers are right, unless the input says otherwise. */
#pragma once
#include "xfer_world.h"

static void feed(struct endpoint *e, uint32_t from, const uint8_t *bytes, size_t n);

static void make_hello(struct endpoint *e, uint32_t from, uint8_t how)
{
    uint8_t p[WIRE_HELLO_BYTES];
    struct wire_hello h = {.incarnation = from <= REAL ? ends[from - 1].incarnation : other_incarnation,
                           .node = from,
                           .session = 0x50000 + from,
                           .workers = 1,
                           .packet_max = WIRE_PACKET_MIN,
                           .flags = (how & 1) | (how & 16 ? 0 : WIRE_HELLO_ECN | WIRE_HELLO_PAD),
                           .cluster_length = 4,
                           .cluster = "fuzz"};
    if (how & 2) { /* echo */
        h.peer_session = seen[e->node][from].ids[how & 4 ? below(IDS) : 0];
        h.peer_incarnation = e->incarnation;
    }
    if (how & 8)
        h.session = (uint32_t)number();
    if (how & 16)
        h.workers = (uint16_t)(1 + below(64)), h.worker = (uint16_t)(byte() % h.workers);
    if (how & 32)
        h.incarnation = from <= REAL ? number() : ++other_incarnation;
    if (how & 64)
        h.packet_max = (uint16_t)(WIRE_PACKET_MIN + number() % (WIRE_PACKET_MAX - WIRE_PACKET_MIN));
    if (how & 128)
        h.cluster_length = (uint8_t)below(6), h.peer_incarnation = number(), h.node = (uint32_t)number();
    wire_put_hello(p, &h);
    wire_seal(p, sizeof p, no_crc);
    seen[from][e->node].number = how & 2 && from > REAL ? 0 : seen[from][e->node].number;
    feed(e, from, p, sizeof p);
}

static void make_refuse(struct endpoint *e, uint32_t from)
{
    uint8_t p[WIRE_REFUSE_BYTES], how = byte();
    struct wire_refuse r = {.incarnation = from <= REAL ? ends[from - 1].incarnation : other_incarnation,
                            .node = from,
                            .session = seen[e->node][from].ids[how / 8 % IDS],
                            .reason = how % 8,
                            .version = WIRE_VERSION + (how >> 7)};
    if (how & 64)
        r.session = r.reason == WIRE_REFUSE_SESSION ? 0x50000 + from : (uint32_t)number();
    wire_put_refuse(p, &r);
    wire_seal(p, sizeof p, no_crc);
    feed(e, from, p, sizeof p);
}

/* A form's first bytes with up to 16 regions, into `still`; returns how many there are. */
static uint32_t make_form(void)
{
    uint8_t shape = byte(), many = shape & 0x80 ? byte() : shape % 4;
    struct form_head h = {.query = {CHI_QUERY_LOCAL, 0, 0}, .regions = many % 17};
    for (uint32_t k = 0; k < h.regions; k++) {
        h.region[k] = (struct form_region){.size = number(), .flags = 1 + (shape / 4 + k) % 3};
        if (many & 0x80 && h.region[k].flags & CHI_WRITE)
            h.region[k].flags |= CHI_STREAM;
    }
    uint32_t n = (uint32_t)form_encode(still, &h);
    if (shape & 0x40)
        still[number() % n] ^= byte();
    return n + shape / 16 % 4 * 16;
}

static size_t put_task_in(uint8_t *p, size_t room)
{
    struct wire_task_in f = {.slot = (uint32_t)number(), .generation = (uint32_t)number()};
    uint32_t form = make_form(), more = (uint32_t)number();
    f.form_length = form + (more < 0xf0000000 ? more : 0);
    f.inline_length = (uint16_t)(form + (form + 2000 < f.form_length ? 400 : 0));
    if (WIRE_BYTES_TASK_IN + (size_t)f.inline_length > room)
        return 0;
    size_t n = wire_put_task_in(p, &f);
    memcpy(p + n, still, f.inline_length);
    return n + f.inline_length;
}

static size_t put_task_out(uint8_t *p, size_t room)
{
    struct wire_task_out f = {.slot = (uint32_t)number(), .generation = (uint32_t)number()};
    f.regions = byte() % (WIRE_REGIONS + 1);
    for (unsigned i = 0; i < f.regions; i++)
        f.used[i] = number();
    f.form_length = (uint32_t)number();
    f.inline_length = (uint16_t)(f.form_length < 600 ? f.form_length : number() % 200);
    f.status = (uint16_t)number();
    if (WIRE_BYTES_TASK_OUT + 8u * f.regions + f.inline_length > room)
        return 0;
    size_t n = wire_put_task_out(p, &f);
    memset(p + n, 0x22, f.inline_length);
    return n + f.inline_length;
}

static size_t put_segment(uint8_t *p, size_t room)
{
    struct wire_segment f = {.slot = (uint32_t)number(), .generation = (uint32_t)number()};
    uint8_t what = byte();
    f.flags = what & 1;
    f.region = what / 2 % (WIRE_REGIONS + 1);
    f.offset = number();
    f.length = (uint16_t)(1 + number() % 1100);
    if (WIRE_BYTES_SEGMENT + (size_t)f.length > room)
        return 0;
    size_t n = wire_put_segment(p, &f);
    memset(p + n, 0x33, f.length);
    return n + f.length;
}

/* Near the numbers that the endpoint has used. */
static size_t put_ack(uint8_t *p, uint64_t sent)
{
    struct wire_ack f = {.delay_ns = (uint32_t)number(), .count = 0};
    uint64_t above = sent + 3;
    for (unsigned n = 1 + below(6); n > 0 && above > 2; n--) {
        uint64_t last = above - 2 - number() % (above - 2 + 1), first = last > 0 ? last - number() % last : 0;
        if (first == 0)
            break;
        f.r[f.count++] = (struct wire_range){first, last};
        above = first;
    }
    return f.count ? wire_put_ack(p, &f) : 0;
}

static void make_data(struct endpoint *e, uint32_t from, uint8_t how)
{
    static uint8_t p[PACKET_MAX];
    uint64_t *last = &seen[from][e->node].number;
    struct wire_header h = {.kind = WIRE_KIND_DATA, .session = seen[e->node][from].ids[how & 1 ? below(IDS) : 0]};
    h.number = how & 2 ? number() : ++*last;
    h.capable = how & 8 ? (uint16_t)(how << 8) : (uint16_t)h.number;
    h.marked = how & 4 ? h.capable : 0;
    wire_put_header(p, &h);
    size_t n = WIRE_HEADER_BYTES;
    for (uint32_t frames = 1 + how / 4 % 4; frames > 0; frames--) {
        size_t room = sizeof p - n;
        uint8_t type = byte() % 16;
        if (type < 4)
            n += put_task_in(p + n, room);
        else if (type < 7)
            n += put_task_out(p + n, room);
        else if (type < 11)
            n += put_segment(p + n, room);
        else if (type < 13 && room > WIRE_ACK_BYTES_MAX)
            n += put_ack(p + n, seen[e->node][from].number);
        else if (type == 13 && room > WIRE_BYTES_PING)
            n += how & 0x40 && room > PAD ? wire_put_pad(p + n, PAD - WIRE_BYTES_PAD) :
                 how & 0x20                   ? wire_put_port(p + n, how) :
                                                wire_put_ping(p + n);
        else if (type == 14 && room > WIRE_BYTES_CLOSE && how >= 0x80)
            n += wire_put_close(p + n, WIRE_CLOSE_SHUTDOWN);
        else
            for (uint32_t raw = below(40); raw > 0 && n < sizeof p; raw--)
                p[n++] = byte();
    }
    wire_seal(p, n, no_crc);
    feed(e, (how & 0x70) == 0x70 ? byte() : from, p, n);
}

static void make_raw(struct endpoint *e, uint32_t from)
{
    uint8_t p[256];
    size_t n = 0;
    for (uint32_t bytes = byte(); bytes > 0 && left > 0; bytes--)
        p[n++] = byte();
    feed(e, from, p, n);
}
