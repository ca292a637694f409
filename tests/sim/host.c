/* host.c - an endpoint and what it stands on: packet buffers, memory, restarts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "worker/crc32c.h"

enum { SPARE_PEERS = 2, GUARD_BYTE = 0xc3, TURN_NS = 300, TURN_SHIFT_MAX = 6 };

static bool packet_get(void *ctx, struct xfer_packet *out)
{
    struct endpoint *e = ctx;
    struct world *w = e->w;
    if (w->faulty && (w->no_packets_ns[e->node - 1] > w->now || prng_chance(&w->host, (uint32_t)w->o.no_packet)))
        return false;
    *out = (struct xfer_packet){.data = mem_get(w->packet_max[e->node - 1]), .cap = w->packet_max[e->node - 1]};
    e->packets_out++;
    return true;
}

static void packet_put(void *ctx, struct xfer_packet *p)
{
    struct endpoint *e = ctx;
    e->packets_out--;
    mem_put(p->data);
}

static bool attaches(void *ctx, const struct xfer_addr *to) { return sim_node(to) != ((struct endpoint *)ctx)->node; }

static bool way_up(void *ctx, const struct xfer_addr *a)
{
    const struct endpoint *e = ctx;
    return !(e->w->port_down[e->node - 1] >> sim_path(a) & 1);
}

static void packet_send(void *ctx, const struct xfer_addr *to, struct xfer_packet *p)
{
    struct endpoint *e = ctx;
    e->did++;
    CHECK(e->w, p->length >= WIRE_HEADER_BYTES && p->length <= p->cap, p->length, p->cap);
    bool attached = p->tail_length;
    if (attached)
        tail_take(e, p);
    if (p->data[1] == WIRE_KIND_DATA && sim_node(to) <= SIM_NODES_MAX) {
        e->data[sim_node(to) - 1].tx++;
        e->data[sim_node(to) - 1].tx_bytes += p->length;
    }
    net_send(e->w, e, to, p, attached && e->w->o.attach_bad ? HURT : WHOLE);
    packet_put(ctx, p);
}

static uint8_t *block_bytes(struct block *b) { return (uint8_t *)b + SIM_GUARD; }

CHI_STATIC_ASSERT(sizeof(struct block) <= SIM_GUARD && SIM_GUARD % 64 == 0, "a block's head lies before its guard");

static void *memory_get(void *ctx, uint64_t size)
{
    struct endpoint *e = ctx;
    struct world *w = e->w;
    if (w->faulty && (w->no_memory_ns[e->node - 1] > w->now || prng_chance(&w->host, (uint32_t)w->o.no_memory)))
        return NULL;
    if (w->faulty && e->memory_used + size > w->o.memory_bytes)
        return NULL;
    uint8_t *from = malloc(size + 4 * SIM_GUARD);
    if (!from)
        abort();
    struct block *b = (struct block *)(void *)(from + (-(uintptr_t)from & (SIM_GUARD - 1)));
    *b = (struct block){.from = from, .size = size, .prev = &e->blocks, .next = e->blocks.next};
    b->next->prev = b;
    e->blocks.next = b;
    e->memory_used += size;
    memset(block_bytes(b), GUARD_BYTE, SIM_GUARD);
    memset(block_bytes(b) + SIM_GUARD + size, GUARD_BYTE, SIM_GUARD);
    return block_bytes(b) + SIM_GUARD;
}

static void block_free(struct endpoint *e, struct block *b)
{
    const uint8_t *before = block_bytes(b), *behind = before + SIM_GUARD + b->size;
    for (uint32_t i = 0; i < SIM_GUARD; i++)
        CHECK(e->w, before[i] == GUARD_BYTE && behind[i] == GUARD_BYTE, i, b->size);
    b->prev->next = b->next;
    b->next->prev = b->prev;
    e->memory_used -= b->size;
    free(b->from);
}

static void memory_put(void *ctx, void *p, uint64_t size)
{
    struct endpoint *e = ctx;
    struct block *b = (struct block *)(void *)((uint8_t *)p - 2 * SIM_GUARD);
    if (CHECK(e->w, b->prev->next == b && b->next->prev == b && b->size == size, b->size, size))
        block_free(e, b);
}

static uint32_t power_of_two(uint64_t n) /* or the next one below */
{
    uint32_t p = 2;
    while (2 * (uint64_t)p <= n)
        p *= 2;
    return p;
}

static void fill_config(const struct endpoint *e, struct xfer_config *c)
{
    const struct options *o = &e->w->o;
    *c = (struct xfer_config){
        .incarnation = e->incarnation,
        .node = e->node,
        .worker = (uint16_t)e->worker,
        .workers = (uint16_t)e->w->workers[e->node - 1],
        .cluster = "sim",
        .packet_max = (uint16_t)e->w->packet_max[e->node - 1],
        .peers_max = (uint16_t)(o->nodes - 1 + (o->removals ? SPARE_PEERS : 0)),
        .slots = e->w->slots[e->node - 1],
        .messages_in = (uint32_t)o->messages_in,
        .peer_memory = o->peer_memory,
        .all_memory = load_most(e->w) + o->all_spare,
        .quantum_bytes = (uint32_t)o->quantum_bytes,
        .grant_bytes = o->grant_bytes,
        .overcommit = (uint32_t)o->overcommit,
        .unasked_bytes = (uint32_t)o->unasked_bytes,
        .credit_bytes = (uint32_t)o->credit_bytes,
        .window_packets = power_of_two(o->window),
        .target_ns = o->target_us * SIM_US,
        .pto_min_ns = o->pto_min_us * SIM_US,
        .pto_max_ns = (o->pto_max_us > o->pto_min_us ? o->pto_max_us : o->pto_min_us) * SIM_US,
        .ack_delay_ns = o->ack_delay_us * SIM_US,
        .ack_every = (uint32_t)o->ack_every,
        .hello_retry_ns = o->hello_us * SIM_US,
        .silence_ns = o->silence_ms * SIM_MS,
        .session_seed = sim_mix(sim_mix(o->seed, e->index), e->incarnation),
    };
}

static bool peer_add(struct endpoint *e, uint32_t node)
{
    struct xfer_addr a[XFER_PATHS_MAX];
    for (uint32_t k = 0; k < e->w->o.paths; k++)
        a[k] = sim_addr(node, 0, k);
    return xfer_peer_paths(e->x, node, a, (uint32_t)e->w->o.paths) == 0;
}

static void event(struct endpoint *e, const struct xfer_event *ev)
{
    e->did++;
    sim_fold(e->w, (uint64_t)ev->kind << 32 ^ ev->length ^ (uint64_t)ev->status << 40);
    load_event(e, ev);
}

static void take_task(void *ctx, struct xfer_in *in, const uint8_t *form, uint32_t length)
{
    event(ctx, &(struct xfer_event){.kind = XFER_TASK, .node = in->node, .in = in, .bytes = form, .length = length});
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
        .memory_largest = load_largest(e->w),
        .memory_total = UINT64_MAX,
        .crc32c = crc32c,
        .drops = e->drops,
    };
    e->incarnation++;
    fill_config(e, &c);
    if (!CHECK(e->w, xfer_bytes(&c) > 0, e->node, 0))
        return;
    e->memory = aligned_alloc(64, xfer_bytes(&c));
    if (!e->memory)
        abort();
    memset(e->memory, 0x5a, xfer_bytes(&c));
    memset(e->drops, 0, sizeof e->drops);
    memset(e->data, 0, sizeof e->data);
    memset(e->dropped_of, 0, sizeof e->dropped_of);
    e->dropped = 0;
    e->idle_turns = 0;
    e->turn_ns = 0;
    e->audits = e->orphans = e->jobs_open = e->subs_open = 0;
    e->subs = NULL;
    e->blocks.prev = e->blocks.next = &e->blocks;
    e->jobs.prev = e->jobs.next = &e->jobs;
    e->memory_used = 0;
    e->x = xfer_init(e->memory, &c, &h, e->w->now);
    xfer_attach(e->x, e->w->o.attach_us ? attaches : NULL);
    if (e->w->o.takes)
        xfer_take_tasks(e->x, take_task);
    e->up = true;
    e->past_tasks_in = e->past_answers_out = 0;
    xfer_watch_ways(e->x, way_up);
    for (uint32_t n = 1; n <= e->w->o.nodes; n++)
        if (n != e->node)
            CHECK(e->w, peer_add(e, n), n, 0);
    e->due_ns = xfer_deadline(e->x);
}

bool host_peer(struct world *w, enum event_kind kind, uint32_t node, uint32_t other)
{
    bool all = true;
    for (uint32_t i = 0; i < w->endpoints; i++) {
        struct endpoint *e = &w->endpoint[i];
        struct xfer_peer_stats st;
        if (e->node != node || !e->up || w->failed)
            continue;
        bool there = xfer_stats_of(e->x, other, &st);
        if (kind == EV_DRAIN && there) {
            CHECK(w, xfer_peer_drain(e->x, other) == 0, node, other);
        } else if (kind == EV_REMOVE && there) {
            count_removed(e, other);
            CHECK(w, xfer_peer_remove(e->x, other, w->now) == 0, node, other);
        } else if (kind == EV_ADD && !there) {
            all &= peer_add(e, other);
        }
        host_drain(e);
        count_endpoint(e);
    }
    return all;
}

void host_ports_changed(struct world *w, uint32_t node)
{
    for (uint32_t i = 0; i < w->endpoints; i++) {
        struct endpoint *e = &w->endpoint[i];
        if (e->node != node || !e->up)
            continue;
        xfer_paths_changed(e->x, w->now);
        host_drain(e);
        count_endpoint(e);
    }
}

/* What an orderly end must leave behind: nothing. */
static void shut_down(struct endpoint *e)
{
    xfer_shutdown(e->x, e->w->now);
    host_drain(e);
    count_endpoint(e);
    tails_let_go(e, UINT64_MAX);
    xfer_tick(e->x, e->w->now);
    for (struct job *j = e->jobs.next, *next; j != &e->jobs; j = next) {
        next = j->next;
        if (!j->answered)
            load_answer(j);
    }
    host_drain(e);
    CHECK(e->w, e->tail_count == 0, e->tail_count, e->node);
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
    count_stopped(e);
    load_stopped(e, crash);
    tails_forget(e);
    while (e->blocks.next != &e->blocks)
        block_free(e, e->blocks.next);
    free(e->memory);
    e->x = NULL;
}

struct endpoint *host_find(struct world *w, const struct xfer_addr *a)
{
    for (uint32_t i = 0; i < w->endpoints; i++)
        if (w->endpoint[i].node == sim_node(a) && w->endpoint[i].worker + SIM_PORT == a->port)
            return &w->endpoint[i];
    return NULL;
}

void host_drain(struct endpoint *e)
{
    struct xfer_event ev;
    while (xfer_next_event(e->x, &ev))
        event(e, &ev);
}

void host_packet(struct world *w, struct event *ev)
{
    struct endpoint *e = host_find(w, &ev->to);
    if (e && e->up && host_paused(e)) { /* it waits in its port */
        ev->when = w->paused_ns[e->node - 1];
        net_event(w, ev);
        return;
    }
    if (e && e->up)
        count_packet(e, ev);
    else
        w->traffic[sim_node(&ev->from) - 1][sim_node(&ev->to) - 1][ev->data].absent++;
    if (ev->length)
        memset(ev->bytes, 0xdd, ev->length);
    mem_put(ev->bytes);
}

/* One turn of an endpoint that is due.  It may ask too early now and then, but not again and again for nothing: while it
 * gets no packet, its host's turns take longer and longer. */
static void turn(struct endpoint *e)
{
    struct world *w = e->w;
    uint64_t before = e->did;
    bool looks = e->tail_count; /* it asks whether its ports still do */
    tails_let_go(e, w->now);
    xfer_tick(e->x, w->now);
    host_drain(e);
    xfer_tx(e->x, w->now, (unsigned)sim_draw(&w->host, 1, 16));
    host_drain(e);
    count_endpoint(e);
    e->idle_turns = e->did == before && !looks ? e->idle_turns + 1 : 0;
    e->turn_ns = w->now + (TURN_NS << (e->idle_turns < TURN_SHIFT_MAX ? e->idle_turns : TURN_SHIFT_MAX));
    CHECK(w, w->faulty || e->idle_turns < 1000, e->node, xfer_deadline(e->x));
}

uint64_t host_run(struct world *w)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < w->endpoints; i++) {
        struct endpoint *e = &w->endpoint[i];
        if (!e->up)
            continue;
        uint64_t when = e->due_ns, paused = w->paused_ns[e->node - 1];
        if (when <= w->now && e->turn_ns <= w->now && !host_paused(e)) {
            turn(e);
            when = e->due_ns;
        }
        if (when < e->turn_ns)
            when = e->turn_ns;
        if (when < paused)
            when = paused;
        if (when < next)
            next = when;
    }
    return next;
}
