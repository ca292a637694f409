/* xfer_script.h - one transport endpoint (node 1), and a test that plays its peer (node 2) packet by packet. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "archive/form.h"
#include "xfer/xfer.h"

#define SCRIPT __attribute__((unused)) static

enum {
    SCRIPT_PORT = 7440,
    SCRIPT_SENT = 256,
    SCRIPT_BLOCKS = 256,
    SCRIPT_PEER_SESSION = 0x5eed,
    SCRIPT_PEER_LIFE = 50,
    SCRIPT_OWN_LIFE = 77,
};
static const uint64_t MS = 1000000;

struct script {
    struct xfer *x;
    void *memory;
    struct xfer_config config;
    uint64_t now;
    struct { uint8_t *bytes; uint32_t length; uint8_t ecn, source; struct xfer_addr to; uint32_t *users; } sent[SCRIPT_SENT]; /* users: of its tail, or NULL */
    unsigned sent_count, taken;
    int packets_out, memory_out; /* that the endpoint holds */
    void *blocks[SCRIPT_BLOCKS]; /* memory_out of them */
    bool no_memory, no_packet;
    uint64_t memory_asked, memory_max; /* max: of all that is asked for; 0: none */
    uint64_t drops[CHI_DROP_COUNT];
    uint32_t session;     /* the endpoint's id, as its HELLO said */
    uint64_t number;      /* the peer's last packet number */
    uint8_t ecn;          /* with which its packets come, and what their headers say of the endpoint's */
    uint16_t capable, marked;
    uint8_t packet[9000]; /* under construction */
    size_t at;
};

SCRIPT uint32_t script_crc(uint32_t seed, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++)
        seed = (seed ^ b[i]) * 16777619u;
    return seed;
}
SCRIPT bool script_packet_get(void *ctx, struct xfer_packet *out)
{
    struct script *s = ctx;
    if (s->no_packet)
        return false;
    *out = (struct xfer_packet){.data = malloc(s->config.packet_max), .cap = s->config.packet_max};
    s->packets_out++;
    return true;
}
SCRIPT void script_packet_put(void *ctx, struct xfer_packet *p)
{
    ((struct script *)ctx)->packets_out--;
    free(p->data);
}
SCRIPT void script_packet_send(void *ctx, const struct xfer_addr *to, struct xfer_packet *p)
{
    struct script *s = ctx;
    assert_true(s->sent_count < SCRIPT_SENT);
    s->packets_out--;
    s->sent[s->sent_count].bytes = p->data;
    s->sent[s->sent_count].length = p->length;
    s->sent[s->sent_count].ecn = p->ecn;
    s->sent[s->sent_count].users = p->tail_users;
    if (p->tail_length)
        memcpy(p->data + p->length - p->tail_length, p->tail, p->tail_length);
    s->sent[s->sent_count].source = p->source;
    s->sent[s->sent_count++].to = *to;
}
SCRIPT void *script_memory_get(void *ctx, uint64_t size)
{
    struct script *s = ctx;
    if (s->no_memory || (s->memory_max && s->memory_asked + size > s->memory_max))
        return NULL;
    assert_true(s->memory_out < SCRIPT_BLOCKS);
    s->memory_asked += size;
    return s->blocks[s->memory_out++] = aligned_alloc(64, (size + 63) / 64 * 64);
}
SCRIPT void script_memory_put(void *ctx, void *p, uint64_t size)
{
    struct script *s = ctx;
    int i = 0;
    (void)size;
    while (i < s->memory_out && s->blocks[i] != p)
        i++;
    assert_true(i < s->memory_out);
    s->blocks[i] = s->blocks[--s->memory_out];
    free(p);
}

SCRIPT struct xfer_config script_config(void)
{
    return (struct xfer_config){
        .incarnation = SCRIPT_OWN_LIFE, .node = 1, .worker = 0, .workers = 1, .cluster = "unit", .packet_max = 1500,
        .peers_max = 2, .slots = 4, .messages_in = 8, .peer_memory = 1 << 30, .all_memory = 1 << 30, .quantum_bytes = 65536, .grant_bytes = 1 << 20, .overcommit = 4,
        .unasked_bytes = 1 << 20, .credit_bytes = 1 << 24, .window_packets = 8, .target_ns = 10 * MS, .pto_min_ns = 1 * MS, .pto_max_ns = 16 * MS,
        .ack_delay_ns = 100000, .ack_every = 4, .hello_retry_ns = 5 * MS, .silence_ns = 1000000 * MS, .session_seed = 1};
}

SCRIPT void script_open_with(struct script *s, const struct xfer_config *c)
{
    memset(s, 0, sizeof *s);
    s->config = *c;
    s->now = 1000 * MS;
    struct xfer_host h = {s, script_packet_get, script_packet_send, script_packet_put, script_memory_get, script_memory_put,
                          100000, 1000000, script_crc, s->drops};
    assert_true(xfer_bytes(c) > 0);
    s->memory = aligned_alloc(64, xfer_bytes(c));
    s->x = xfer_init(s->memory, c, &h, s->now);
    struct xfer_addr a = {.ip = 2, .port = SCRIPT_PORT};
    assert_int_equal(xfer_peer_set(s->x, 2, &a), 0);
}

SCRIPT void script_open(struct script *s)
{
    struct xfer_config c = script_config();
    script_open_with(s, &c);
}

SCRIPT void script_close(struct script *s)
{
    assert_int_equal(s->packets_out, 0);
    for (unsigned i = 0; i < s->sent_count; i++)
        free(s->sent[i].bytes);
    while (s->memory_out) /* of messages that the test left open */
        free(s->blocks[--s->memory_out]);
    free(s->memory);
}

/* --- what the endpoint does */

SCRIPT void script_tx(struct script *s) { xfer_tx(s->x, s->now, 32); }
SCRIPT void script_wait(struct script *s, uint64_t ns)
{
    s->now += ns;
    xfer_tick(s->x, s->now);
    script_tx(s);
}

/* The next packet that it sent and no test has looked at yet; its kind, or 0. */
SCRIPT int script_take(struct script *s, const uint8_t **p, struct wire_header *h)
{
    *p = NULL;
    if (s->taken == s->sent_count)
        return 0;
    *p = s->sent[s->taken].bytes;
    assert_int_equal(wire_open(*p, s->sent[s->taken].length, script_crc, h), CHI_DROP_NONE);
    s->taken++;
    return h->kind;
}

SCRIPT void script_take_hello(struct script *s, struct wire_hello *out)
{
    const uint8_t *p = NULL;
    struct wire_header h;
    assert_int_equal(script_take(s, &p, &h), WIRE_KIND_HELLO);
    assert_int_equal(wire_get_hello(p, h.length, out), CHI_DROP_NONE);
}

SCRIPT void script_take_refuse(struct script *s, struct wire_refuse *out)
{
    const uint8_t *p = NULL;
    struct wire_header h;
    assert_int_equal(script_take(s, &p, &h), WIRE_KIND_REFUSE);
    assert_int_equal(wire_get_refuse(p, h.length, out), CHI_DROP_NONE);
}

SCRIPT void script_nothing_sent(struct script *s) { assert_int_equal(s->taken, s->sent_count); }

/* Begins to read the next packet, which must be DATA to the peer's session. */
SCRIPT struct wire_cursor script_take_data(struct script *s, struct wire_header *h)
{
    const uint8_t *p;
    assert_int_equal(script_take(s, &p, h), WIRE_KIND_DATA);
    assert_int_equal(h->session, SCRIPT_PEER_SESSION);
    return (struct wire_cursor){.p = p, .at = WIRE_HEADER_BYTES, .end = h->length};
}

SCRIPT int script_frame(struct wire_cursor *c, struct wire_frame *f)
{
    assert_int_equal(wire_next_frame(c, f), CHI_DROP_NONE);
    return f->type;
}

/* --- what the peer does */

SCRIPT enum chi_drop script_rx(struct script *s, uint32_t ip, const uint8_t *p, size_t n)
{
    struct xfer_addr from = {.ip = ip, .port = SCRIPT_PORT};
    return xfer_rx(s->x, &from, p, n, s->ecn, s->now);
}

SCRIPT struct wire_hello script_hello(void)
{
    return (struct wire_hello){.incarnation = SCRIPT_PEER_LIFE, .node = 2, .session = SCRIPT_PEER_SESSION, .workers = 1,
                               .packet_max = 1500, .credit = 1 << 24, .flags = WIRE_HELLO_REPLY_WANTED, .cluster_length = 4, .cluster = "unit"};
}

SCRIPT enum chi_drop script_say_hello(struct script *s, const struct wire_hello *h)
{
    uint8_t p[WIRE_HELLO_BYTES];
    size_t n = wire_put_hello(p, h);
    wire_seal(p, n, script_crc);
    enum chi_drop d = script_rx(s, 2, p, n);
    script_tx(s);
    return d;
}

SCRIPT enum chi_drop script_say_refuse(struct script *s, uint32_t ip, const struct wire_refuse *r)
{
    uint8_t p[WIRE_REFUSE_BYTES];
    size_t n = wire_put_refuse(p, r);
    wire_seal(p, n, script_crc);
    enum chi_drop d = script_rx(s, ip, p, n);
    script_tx(s);
    return d;
}

SCRIPT void script_event(struct script *s, enum xfer_event_kind kind, struct xfer_event *ev)
{
    assert_true(xfer_next_event(s->x, ev));
    assert_int_equal(ev->kind, kind);
}
SCRIPT void script_no_event(struct script *s)
{
    struct xfer_event ev;
    assert_false(xfer_next_event(s->x, &ev));
}

/* A peer that says this begins the session and completes the handshake.  Returns the endpoint's answer. */
SCRIPT struct wire_hello script_meet(struct script *s, struct wire_hello h)
{
    struct wire_hello reply;
    struct xfer_event ev;
    assert_int_equal(script_say_hello(s, &h), CHI_DROP_NONE);
    script_take_hello(s, &reply);
    script_no_event(s);
    h.flags &= (uint8_t)~WIRE_HELLO_REPLY_WANTED;
    h.peer_session = reply.session;
    h.peer_incarnation = reply.incarnation;
    assert_int_equal(script_say_hello(s, &h), CHI_DROP_NONE);
    script_event(s, XFER_PEER_UP, &ev);
    s->session = reply.session;
    s->number = 0;
    return reply;
}

SCRIPT void script_handshake(struct script *s) { script_meet(s, script_hello()); }

SCRIPT void script_live(struct script *s)
{
    script_open(s);
    script_handshake(s);
}

/* A DATA packet: begin, add frames, end. */
SCRIPT void data_begin(struct script *s) { s->at = WIRE_HEADER_BYTES; }
SCRIPT enum chi_drop data_end_number(struct script *s, uint64_t number)
{
    struct wire_header h = {.kind = WIRE_KIND_DATA, .length = (uint16_t)s->at, .session = s->session, .number = number,
                            .capable = s->capable, .marked = s->marked};
    wire_put_header(s->packet, &h);
    wire_seal(s->packet, s->at, script_crc);
    return script_rx(s, 2, s->packet, s->at);
}
SCRIPT enum chi_drop data_end(struct script *s) { return data_end_number(s, ++s->number); }
SCRIPT void data_bytes(struct script *s, const void *p, size_t n)
{
    memcpy(s->packet + s->at, p, n);
    s->at += n;
}
SCRIPT void data_ping(struct script *s) { s->at += wire_put_ping(s->packet + s->at); }
SCRIPT void data_ack(struct script *s, uint64_t first, uint64_t last)
{
    struct wire_ack a = {.count = 1, .r = {{first, last}}};
    s->at += wire_put_ack(s->packet + s->at, &a);
}
SCRIPT void data_task_in(struct script *s, uint32_t slot, uint32_t generation, const uint8_t *form, uint32_t length, uint32_t inlined)
{
    struct wire_task_in w = {.slot = slot, .generation = generation, .form_length = length, .inline_length = (uint16_t)inlined};
    s->at += wire_put_task_in(s->packet + s->at, &w);
    data_bytes(s, form, inlined);
}
SCRIPT void data_segment(struct script *s, uint32_t slot, uint32_t generation, uint8_t region, uint8_t flags, uint64_t offset,
                         const void *bytes, uint32_t length)
{
    struct wire_segment w = {.offset = offset, .slot = slot, .generation = generation, .length = (uint16_t)length,
                             .region = region, .flags = flags};
    s->at += wire_put_segment(s->packet + s->at, &w);
    data_bytes(s, bytes, length);
}
SCRIPT void data_task_out(struct script *s, const struct wire_task_out *w, const void *body)
{
    s->at += wire_put_task_out(s->packet + s->at, w);
    data_bytes(s, body, w->inline_length);
}

/* A form with these regions and a body of `body` bytes of 0xb0. */
SCRIPT uint32_t script_form(uint8_t *p, const struct form_region *r, uint8_t regions, uint32_t body)
{
    struct form_head h = {.query = {.kind = CHI_QUERY_DIRECT_ID}, .regions = regions};
    if (regions)
        memcpy(h.region, r, regions * sizeof *r);
    size_t at = form_encode(p, &h);
    memset(p + at, 0xb0, body);
    return (uint32_t)at + body;
}
