/* host.c - an endpoint and what it stands on: packet buffers, memory, restarts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc.h"
#include "sim.h"

enum { GUARD_BYTE = 0xc3 };

static bool packet_get(void *ctx, struct xfer_packet *out)
{
    struct endpoint *e = ctx;
    struct world *w = e->w;
    if (w->faulty && prng_chance(&w->prng, w->o.no_packet))
        return false;
    *out = (struct xfer_packet){.data = malloc(w->o.packet_max[e->node - 1]), .cap = w->o.packet_max[e->node - 1]};
    if (!out->data)
        abort();
    e->packets_out++;
    return true;
}

static void packet_put(void *ctx, struct xfer_packet *p)
{
    struct endpoint *e = ctx;
    e->packets_out--;
    free(p->data);
}

static void packet_send(void *ctx, const struct xfer_addr *to, struct xfer_packet *p)
{
    struct endpoint *e = ctx;
    e->did++;
    CHECK(e->w, p->length >= WIRE_HEADER_BYTES && p->length <= p->cap, p->length, p->cap);
    net_send(e->w, e, to, p);
    packet_put(ctx, p);
}

static void *memory_get(void *ctx, uint64_t size)
{
    struct endpoint *e = ctx;
    struct world *w = e->w;
    if (w->faulty && (prng_chance(&w->prng, w->o.no_memory) || e->memory_used + size > w->o.memory_bytes))
        return NULL;
    struct block *b = malloc(sizeof *b);
    uint8_t *bytes = aligned_alloc(64, (size + 2 * SIM_GUARD + 63) / 64 * 64);
    if (!b || !bytes)
        abort();
    memset(bytes, GUARD_BYTE, size + 2 * SIM_GUARD);
    *b = (struct block){.size = size, .bytes = bytes, .prev = &e->blocks, .next = e->blocks.next};
    b->next->prev = b;
    e->blocks.next = b;
    e->memory_used += size;
    return bytes + SIM_GUARD;
}

static void block_free(struct endpoint *e, struct block *b)
{
    for (uint32_t i = 0; i < SIM_GUARD; i++)
        CHECK(e->w, b->bytes[i] == GUARD_BYTE && b->bytes[SIM_GUARD + b->size + i] == GUARD_BYTE, i, b->size);
    b->prev->next = b->next;
    b->next->prev = b->prev;
    e->memory_used -= b->size;
    free(b->bytes);
    free(b);
}

static void memory_put(void *ctx, void *p, uint64_t size)
{
    struct endpoint *e = ctx;
    struct block *b = e->blocks.next;
    while (b != &e->blocks && b->bytes + SIM_GUARD != (uint8_t *)p)
        b = b->next;
    if (CHECK(e->w, b != &e->blocks && b->size == size, b->size, size))
        block_free(e, b);
}

static void fill_config(const struct endpoint *e, struct xfer_config *c)
{
    const struct options *o = &e->w->o;
    *c = (struct xfer_config){
        .incarnation = e->incarnation,
        .node = e->node,
        .worker = (uint16_t)e->worker,
        .workers = (uint16_t)o->workers[e->node - 1],
        .cluster = "sim",
        .packet_max = (uint16_t)o->packet_max[e->node - 1],
        .peers_max = (uint16_t)(o->nodes - 1),
        .slots = o->slots,
        .messages_in = o->messages_in,
        .peer_memory = o->peer_memory,
        .all_memory = o->all_memory,
        .quantum_bytes = o->quantum_bytes,
        .grant_bytes = o->grant_bytes,
        .overcommit = o->overcommit,
        .unasked_bytes = o->unasked_bytes,
        .credit_bytes = o->credit_bytes,
        .window_packets = o->window,
        .target_ns = o->target_ns,
        .pto_min_ns = o->pto_min_ns,
        .pto_max_ns = o->pto_max_ns,
        .ack_delay_ns = o->ack_delay_ns,
        .ack_every = o->ack_every,
        .hello_retry_ns = o->hello_retry_ns,
        .silence_ns = o->silence_ns,
        .session_seed = e->w->seed * 1000 + e->index * 100 + e->incarnation,
    };
}

void host_start(struct endpoint *e)
{
    struct xfer_config c;
    struct xfer_host h = {
        .ctx = e,
        .packet_get = packet_get,
        .packet_send = packet_send,
        .packet_put = packet_put,
        .memory_get = memory_get,
        .memory_put = memory_put,
        .memory_largest = e->w->o.memory_largest,
        .memory_total = UINT64_MAX,
        .crc32c = sim_crc32c,
        .drops = e->drops,
    };
    e->incarnation++;
    fill_config(e, &c);
    e->memory = aligned_alloc(64, xfer_bytes(&c));
    if (!e->memory)
        abort();
    memset(e->memory, 0x5a, xfer_bytes(&c));
    e->blocks.prev = e->blocks.next = &e->blocks;
    e->jobs.prev = e->jobs.next = &e->jobs;
    e->memory_used = 0;
    e->x = xfer_init(e->memory, &c, &h, e->w->now);
    e->up = true;
    for (uint32_t n = 1; n <= e->w->o.nodes; n++) {
        struct xfer_addr a = {.ip = n, .port = SIM_PORT};
        if (n != e->node)
            CHECK(e->w, xfer_peer_set(e->x, n, &a) == 0, n, 0);
    }
}

/* What an orderly end must leave behind: nothing. */
static void shut_down(struct endpoint *e)
{
    xfer_shutdown(e->x, e->w->now);
    host_drain(e);
    for (struct job *j = e->jobs.next, *next; j != &e->jobs; j = next) {
        next = j->next;
        if (!j->answered)
            load_answer(j);
    }
    host_drain(e);
    for (int i = 0; i < 1000 && xfer_deadline(e->x) <= e->w->now; i++) {
        xfer_tx(e->x, e->w->now, 32);
        host_drain(e);
    }
    CHECK(e->w, e->jobs.next == &e->jobs, e->node, 0);
    CHECK(e->w, e->memory_used == 0, e->memory_used, 0);
}

void host_stop(struct endpoint *e, bool crash)
{
    if (!crash)
        shut_down(e);
    CHECK(e->w, e->packets_out == 0, e->packets_out, 0);
    e->up = false;
    load_stopped(e, crash);
    while (e->blocks.next != &e->blocks)
        block_free(e, e->blocks.next);
    free(e->memory);
    e->x = NULL;
}

struct endpoint *host_find(struct world *w, const struct xfer_addr *a)
{
    for (uint32_t i = 0; i < w->endpoints; i++)
        if (w->endpoint[i].node == a->ip && w->endpoint[i].worker + SIM_PORT == a->port)
            return &w->endpoint[i];
    return NULL;
}

void host_drain(struct endpoint *e)
{
    struct xfer_event ev;
    while (xfer_next_event(e->x, &ev)) {
        e->did++;
        sim_fold(e->w, (uint64_t)ev.kind << 32 ^ ev.length ^ (uint64_t)ev.status << 40);
        load_event(e, &ev);
    }
}

void host_packet(struct world *w, struct event *ev)
{
    struct endpoint *e = host_find(w, &ev->to);
    if (e && e->up && host_paused(e)) { /* it waits in its port */
        ev->when = w->paused_ns[e->node - 1];
        net_event(w, ev);
        return;
    }
    if (e && e->up) {
        uint64_t before = 0, after = 0;
        for (int i = 1; i < CHI_DROP_COUNT; i++)
            before += e->drops[i];
        enum chi_drop d = xfer_rx(e->x, &ev->from, ev->bytes, ev->length, ev->ecn, w->now);
        for (int i = 1; i < CHI_DROP_COUNT; i++)
            after += e->drops[i];
        CHECK(w, (d == CHI_DROP_NONE || after > before) && e->drops[CHI_DROP_NONE] == 0, d, after - before);
        if (w->verbose && d != CHI_DROP_NONE && d != CHI_DROP_DUPLICATE)
            printf("%12lu node %u.%u drops %s\n", (unsigned long)w->now, e->node, e->worker, chi_drop_name(d));
        host_drain(e);
    }
    if (ev->length)
        memset(ev->bytes, 0xdd, ev->length);
    free(ev->bytes);
}

/* One turn of an endpoint that is due.  It may ask too early now and then, but not again and again for nothing. */
static void turn(struct endpoint *e)
{
    struct world *w = e->w;
    uint64_t before = e->did;
    xfer_tick(e->x, w->now);
    host_drain(e);
    xfer_tx(e->x, w->now, (unsigned)sim_draw(w, 1, 16));
    host_drain(e);
    bool spins = !w->faulty && e->did == before;
    e->idle_turns = spins ? e->idle_turns + 1 : 0;
    CHECK(w, e->idle_turns < 1000, e->node, xfer_deadline(e->x));
}

uint64_t host_run(struct world *w)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < w->endpoints; i++) {
        struct endpoint *e = &w->endpoint[i];
        if (!e->up)
            continue;
        if (host_paused(e)) {
            if (w->paused_ns[e->node - 1] < next)
                next = w->paused_ns[e->node - 1];
            continue;
        }
        uint64_t when = xfer_deadline(e->x);
        if (when <= w->now) {
            turn(e);
            when = xfer_deadline(e->x);
        }
        if (when < next)
            next = when;
    }
    return next;
}
