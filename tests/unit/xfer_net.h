/* xfer_net.h - many transport endpoints in one process, on a network of virtual time that loses nothing: what an endpoint sends and what
 * it receives goes at a rate, and a sender whose ring is full waits.  Header only; tests of many or large messages have it in common. */
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

#define NET __attribute__((unused)) static

enum { NET_PORT = 7440, NET_SILENCE_S = 1000 };
static const uint64_t US = 1000, MS = 1000000, SECOND = 1000000000;

struct flight { /* a packet that is on its way */
    struct flight *next;
    uint64_t when;
    uint32_t from, length;
    uint8_t ecn;
    _Alignas(8) uint8_t bytes[]; /* not in the padding that an assignment of the struct may write */
};

struct net;
struct end {
    struct net *net;
    struct xfer *x;
    uint32_t node;
    void *user;
    struct flight *first, *last; /* to it, as they will come */
    uint64_t sent_ns, came_ns;   /* when its link has sent, and received, what it was given */
    uint64_t when;               /* it must be looked at */
    uint64_t memory, memory_most; /* bytes of its host's that it holds; and held, at most */
    uint64_t drops[CHI_DROP_COUNT];
};
struct net {
    uint64_t now, delay_ns, ps_byte; /* of each way, of each link */
    uint32_t ring;                   /* packets that a sender's ring takes */
    uint32_t count, packet_max;
    struct end *end;                 /* node k + 1 */
    /* The test's. */
    void *(*memory_get)(struct end *e, uint64_t size);
    void (*memory_put)(struct end *e, void *p, uint64_t size);
    void (*task)(struct end *e, const struct xfer_event *ev); /* NULL: answered with OK at once */
    void (*done)(struct end *e, const struct xfer_event *ev);
    void (*look)(struct end *from, uint32_t to, const uint8_t *p, uint32_t length); /* each packet that is sent */
};

static bool net_packet_get(void *ctx, struct xfer_packet *out)
{
    struct end *e = ctx;
    const struct net *n = e->net;
    if (e->sent_ns > n->now + n->ring * n->packet_max * n->ps_byte / 1000)
        return false;
    struct flight *f = malloc(sizeof *f + n->packet_max);
    *out = (struct xfer_packet){.data = f->bytes, .cap = n->packet_max, .owner = f};
    return true;
}
static void net_packet_put(void *ctx, struct xfer_packet *p)
{
    (void)ctx;
    free(p->owner);
}
static uint64_t net_link(uint64_t *busy, uint64_t from, uint64_t bytes, const struct net *n)
{
    *busy = (*busy > from ? *busy : from) + bytes * n->ps_byte / 1000;
    return *busy;
}
static void net_packet_send(void *ctx, const struct xfer_addr *to, struct xfer_packet *p)
{
    struct end *e = ctx;
    struct net *n = e->net;
    struct flight *f = p->owner;
    struct end *target = &n->end[to->ip - 1];
    if (n->look)
        n->look(e, to->ip, p->data, p->length);
    *f = (struct flight){.from = e->node, .length = p->length, .ecn = p->ecn};
    f->when = net_link(&target->came_ns, net_link(&e->sent_ns, n->now, p->length, n) + n->delay_ns, p->length, n);
    if (target->first)
        target->last->next = f;
    else
        target->first = f;
    target->last = f;
    if (f->when < target->when)
        target->when = f->when;
}
static void *net_memory_get(void *ctx, uint64_t size)
{
    struct end *e = ctx;
    void *p = e->net->memory_get ? e->net->memory_get(e, size) : aligned_alloc(64, (size + 63) / 64 * 64);
    e->memory += p ? size : 0;
    e->memory_most = e->memory > e->memory_most ? e->memory : e->memory_most;
    return p;
}
static void net_memory_put(void *ctx, void *p, uint64_t size)
{
    struct end *e = ctx;
    e->memory -= size;
    if (e->net->memory_put)
        e->net->memory_put(e, p, size);
    else
        free(p);
}
static uint32_t net_crc(uint32_t seed, const void *p, size_t n) /* nobody damages a packet here */
{
    (void)p;
    return seed + (uint32_t)n;
}

NET struct xfer_config net_config(uint32_t node, uint32_t peers, uint32_t packet_max)
{
    return (struct xfer_config){
        .incarnation = 1, .node = node, .workers = 1, .cluster = "unit", .packet_max = (uint16_t)packet_max, .peers_max = (uint16_t)peers,
        .slots = 16, .messages_in = 256, .peer_memory = UINT64_C(1) << 34, .all_memory = UINT64_C(1) << 36, .grant_bytes = 2 << 20,
        .overcommit = 8, .unasked_bytes = 64 << 10, .credit_bytes = 4 << 20, .quantum_bytes = 64 << 10, .window_packets = 128,
        .target_ns = 250 * US, .pto_min_ns = 200 * US, .pto_max_ns = 200 * MS, .ack_delay_ns = 25 * US, .ack_every = 8,
        .hello_retry_ns = 2 * MS, .silence_ns = NET_SILENCE_S * SECOND, .session_seed = node};
}

/* `count` endpoints, nodes 1..count, 10 Gb/s and 10 us from each other.  Pre: *n is zero but for the test's hooks. */
NET void net_open(struct net *n, uint32_t count, uint32_t packet_max)
{
    n->now = 1 * SECOND;
    n->delay_ns = 10 * US;
    n->ps_byte = 800;
    n->ring = 32;
    n->count = count;
    n->packet_max = packet_max;
    n->end = calloc(count, sizeof *n->end);
    for (uint32_t i = 0; i < count; i++)
        n->end[i] = (struct end){.net = n, .node = i + 1, .when = UINT64_MAX};
}
/* Starts one endpoint; net_meet then tells two of them where the other one is. */
NET void net_start(struct net *n, const struct xfer_config *c)
{
    struct end *e = &n->end[c->node - 1];
    const struct xfer_host h = {e, net_packet_get, net_packet_send, net_packet_put, net_memory_get, net_memory_put,
                                UINT64_C(1) << 36, UINT64_C(1) << 36, net_crc, e->drops};
    assert_true(xfer_bytes(c) > 0);
    e->x = xfer_init(aligned_alloc(64, (xfer_bytes(c) + 63) / 64 * 64), c, &h, n->now);
}
NET void net_meet(struct net *n, uint32_t a, uint32_t b)
{
    struct xfer_addr at_a = {.ip = a, .port = NET_PORT}, at_b = {.ip = b, .port = NET_PORT};
    assert_int_equal(xfer_peer_set(n->end[a - 1].x, b, &at_b), 0);
    assert_int_equal(xfer_peer_set(n->end[b - 1].x, a, &at_a), 0);
}
NET void net_close(struct net *n)
{
    for (uint32_t i = 0; i < n->count; i++) {
        struct end *e = &n->end[i];
        for (struct flight *f = e->first, *next; f; f = next) {
            next = f->next;
            free(f);
        }
        free(e->x);
    }
    free(n->end);
}

static void net_drain(struct end *e)
{
    struct xfer_event ev;
    while (xfer_next_event(e->x, &ev)) {
        if (ev.kind == XFER_TASK && e->net->task)
            e->net->task(e, &ev);
        else if (ev.kind == XFER_TASK)
            xfer_answer(e->x, ev.in, &(struct xfer_answer){.status = CHI_STATUS_OK}, e->net->now);
        else if (ev.kind == XFER_DONE && e->net->done)
            e->net->done(e, &ev);
    }
}

/* When an endpoint must be looked at: its first packet is there, or its deadline; who waits for its ring: when there is room. */
static void net_plan(struct end *e)
{
    const struct net *n = e->net;
    uint64_t ring_ns = n->ring * n->packet_max * n->ps_byte / 1000, room = e->sent_ns > n->now + ring_ns ? e->sent_ns - ring_ns : n->now;
    e->when = xfer_deadline(e->x);
    if (e->when < room)
        e->when = room;
    if (e->first && e->first->when < e->when)
        e->when = e->first->when;
}

static void net_turn(struct end *e)
{
    struct net *n = e->net;
    while (e->first && e->first->when <= n->now) {
        struct flight *f = e->first;
        struct xfer_addr from = {.ip = f->from, .port = NET_PORT};
        e->first = f->next;
        (void)xfer_rx(e->x, &from, f->bytes, f->length, f->ecn, n->now);
        net_drain(e);
        free(f);
    }
    xfer_tick(e->x, n->now);
    net_drain(e);
    xfer_tx(e->x, n->now, 32);
    net_drain(e);
    net_plan(e);
}

/* To whatever comes next; false: nothing will. */
NET bool net_step(struct net *n)
{
    uint64_t when = UINT64_MAX;
    for (uint32_t i = 0; i < n->count; i++)
        when = n->end[i].when < when ? n->end[i].when : when;
    if (when == UINT64_MAX)
        return false;
    n->now = when > n->now ? when : n->now;
    for (uint32_t i = 0; i < n->count; i++)
        if (n->end[i].when <= n->now)
            net_turn(&n->end[i]);
    return true;
}

/* Until no endpoint holds memory of its host's.  Pre: all messages ended. */
NET void net_settle(struct net *n)
{
    for (uint32_t i = 0; i < n->count; i++)
        while (n->end[i].memory)
            assert_true(net_step(n));
}

/* A task for a node; sent at the next step.  The form is made here, `body` bytes of 0xb0 behind its head. */
struct net_task {
    struct xfer_out out;
    struct chi_ar_region region[CHI_REGIONS_MAX];
    uint8_t *form;
    enum chi_status status; /* PENDING until it ended */
    uint64_t sent_ns, ended_ns;
};
NET void net_send(struct net *n, uint32_t from, uint32_t to, struct net_task *t, uint32_t regions, uint32_t body)
{
    struct form_head h = {.query = {.kind = CHI_QUERY_DIRECT_ID}, .regions = (uint8_t)regions};
    for (uint32_t i = 0; i < regions; i++)
        h.region[i] = (struct form_region){.size = t->region[i].size, .flags = t->region[i].flags};
    t->form = malloc(form_prefix_bytes(regions) + body + 1);
    size_t at = form_encode(t->form, &h);
    memset(t->form + at, 0xb0, body);
    t->status = CHI_STATUS_PENDING;
    t->sent_ns = n->now;
    t->out = (struct xfer_out){.form = t->form, .form_length = (uint32_t)at + body, .regions = t->region, .nregions = regions,
                               .deadline_ns = n->now + 900 * SECOND};
    xfer_send(n->end[from - 1].x, to, &t->out, n->now);
    n->end[from - 1].when = n->now;
}
/* For `done`: whose task it was. */
NET struct net_task *net_ended(struct end *e, const struct xfer_event *ev)
{
    struct net_task *t = (struct net_task *)(void *)((uint8_t *)ev->out - offsetof(struct net_task, out));
    t->status = ev->status;
    t->ended_ns = e->net->now;
    free(t->form);
    t->form = NULL;
    return t;
}
