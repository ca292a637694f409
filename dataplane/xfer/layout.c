/* layout.c - where everything lies in the caller's memory. */
#include <string.h>

#include "xfer_int.h"

enum {
    SLOTS_MAX = 65536,
    WINDOW_MAX = 4096,
    MESSAGES_MAX = 1u << 20,
    NODES_MAX = 4096,
    REFS_A_PACKET = 8, /* frames of a packet, on average; a window of fuller packets waits for acks a little earlier */
};

/* Counts bytes, and hands them out when there is memory. */
struct carve {
    uint8_t *base; /* NULL: count only */
    size_t at;
};

static void *carve(struct carve *c, size_t count, size_t size)
{
    void *p = c->base ? c->base + c->at : NULL;
    c->at += (count * size + CHI_CACHE_LINE - 1) / CHI_CACHE_LINE * CHI_CACHE_LINE;
    return p;
}

static uint32_t power_of_two(uint32_t n)
{
    uint32_t p = 1;
    while (p < n)
        p *= 2;
    return p;
}

static bool between(uint64_t v, uint64_t low, uint64_t high) { return v >= low && v <= high; }

static bool is_power(uint32_t n) { return n && (n & (n - 1)) == 0; }

static bool config_ok(const struct xfer_config *c)
{
    return c->incarnation && c->node && c->workers && c->worker < c->workers && memchr(c->cluster, 0, sizeof c->cluster) &&
           between(c->packet_max, WIRE_PACKET_MIN, WIRE_PACKET_MAX) && between(c->peers_max, 1, NODES_MAX) &&
           between(c->slots, 2, SLOTS_MAX) && is_power(c->slots) && between(c->messages_in, 1, MESSAGES_MAX) &&
           between(c->window_packets, 4, WINDOW_MAX) && is_power(c->window_packets) && c->target_ns && c->pto_min_ns &&
           c->pto_max_ns >= c->pto_min_ns && c->pto_max_ns <= UINT64_C(1) << 40 && c->ack_delay_ns && c->ack_every &&
           c->hello_retry_ns && between(c->silence_ns, 4, UINT64_C(1) << 40) && c->all_memory && c->grant_bytes &&
           between(c->quantum_bytes, 1, 1u << 30) && between(c->overcommit, 1, XFER_OVERCOMMIT_MAX);
}

static uint32_t refs_of(const struct xfer_config *c) { return c->window_packets * REFS_A_PACKET + c->slots; }

static void session_init(struct xfer *x, struct xfer_session *s, struct carve *m)
{
    const struct xfer_config *c = &x->config;
    struct sent *ring = carve(m, c->window_packets, sizeof *ring);
    struct frame_ref *refs = carve(m, refs_of(c), sizeof *refs);
    struct out_slot *out = carve(m, c->slots, sizeof *out);
    struct in_slot *in = carve(m, c->slots, sizeof *in);
    uint32_t *out_free = carve(m, c->slots, sizeof *out_free);
    if (!m->base)
        return;
    *s = (struct xfer_session){.x = x, .out = out, .in = in, .out_free = out_free, .timer = {.kind = TIMER_SESSION}};
    list_init(&s->of_peer);
    list_init(&s->link);
    list_init(&s->fresh);
    list_init(&s->again);
    list_init(&s->bulk);
    list_init(&s->grants);
    list_init(&s->cancels);
    s->sent = (struct sentmap){.ring = ring, .refs = refs, .window = c->window_packets, .refs_max = refs_of(c)};
    if (session_is_shared(s))
        list_push(&x->spare, &s->link);
}

/* All of it; x is not touched when memory is only counted. */
static size_t lay_out(struct carve *m, const struct xfer_config *c)
{
    struct xfer *x = carve(m, 1, sizeof *x);
    struct xfer counted; /* for what session_init reads when it counts */
    uint32_t sessions = 2u * c->peers_max + XFER_SESSIONS_EXTRA, table = power_of_two(2u * c->peers_max);
    struct xfer_peer *peers = carve(m, c->peers_max, sizeof *peers);
    struct xfer_peer **peer_table = carve(m, table, sizeof *peer_table);
    struct timer **heap = carve(m, 1u + sessions + c->peers_max, sizeof *heap);
    struct timer **schedule = carve(m, 1u + c->messages_in, sizeof *schedule);
    struct control *controls = carve(m, XFER_CONTROLS, sizeof *controls);
    void *ins = carve(m, 1, pool_bytes(c->messages_in, sizeof(struct msg_in)));
    void *tracks = carve(m, 1, pool_bytes(XFER_TRACKS, sizeof(struct track)));
    struct xfer_session *all = carve(m, sessions, sizeof *all);
    if (!m->base) {
        counted.config = *c;
        for (uint32_t i = 0; i < sessions; i++)
            session_init(&counted, NULL, m);
        return m->at;
    }
    x->config = *c;
    x->peers = peers;
    x->peer_table = peer_table;
    memset(peer_table, 0, table * sizeof *peer_table);
    x->peer_mask = table - 1;
    x->timers.heap = heap;
    x->schedule.heap = schedule;
    x->controls = controls;
    pool_init(&x->ins, ins, c->messages_in, sizeof(struct msg_in));
    pool_init(&x->tracks, tracks, XFER_TRACKS, sizeof(struct track));
    x->sessions = all;
    x->session_count = sessions;
    x->session_mask = power_of_two(sessions) - 1;
    list_init(&x->spare);
    for (uint32_t i = 0; i < sessions; i++)
        session_init(x, &all[i], m);
    return m->at;
}

size_t xfer_bytes(const struct xfer_config *c)
{
    struct carve m = {0};
    return config_ok(c) ? lay_out(&m, c) : 0;
}

struct xfer *xfer_init(void *mem, const struct xfer_config *c, const struct xfer_host *h, uint64_t now)
{
    CHI_ASSERT(config_ok(c) && (uintptr_t)mem % CHI_CACHE_LINE == 0);
    struct carve m = {.base = mem};
    struct xfer *x = mem;
    memset(x, 0, sizeof *x);
    lay_out(&m, c);
    x->host = *h;
    x->now_ns = x->tick_ns = now;
    prng_init(&x->prng, c->session_seed);
    list_init(&x->ready);
    list_init(&x->tasks);
    list_init(&x->more);
    list_init(&x->cancelled);
    list_init(&x->hungry);
    list_init(&x->aged);
    list_init(&x->ended);
    list_init(&x->whole);
    list_init(&x->leaving);
    list_init(&x->news);
    list_init(&x->idle);
    wheel_init(&x->deadlines, now);
    x->refuse_tokens = XFER_REFUSE_BURST;
    x->refuse_ns = now;
    return x;
}
