/* xfer_world.h - what the endpoints of fuzz_xfer.c stand on: the input, packet buffers, memory between guards, and what
 * was seen of the packets. */
#pragma once
#include <stdlib.h>
#include <string.h>

#include "archive/form.h"
#include "fuzz.h"
#include "xfer/xfer.h"

enum {
    NODES = 3, /* 1 and 2: endpoints; 3: made up */
    REAL = 2,
    STEPS_MAX = 120,
    QUEUE = 32,
    SUBS = 24,
    JOBS = 8,
    REGIONS = 4,
    IDS = 4, /* newest session ids that are remembered */
    GUARD = 64,
    GUARD_BYTE = 0xc3,
    FILL_BYTE = 0x77,
    POISON = 0xa7, /* as a region's flags it allows all */
    PORT = 7440,
    PACKET_MAX = 2000,
    ANSWER_MAX = 3000,
    PAD = 200, /* that is made up */
    MEMORY_LARGEST = 32768,
    MEMORY_BYTES = 1 << 20,
    XFER_MEMORY = 1 << 20,
    REST_ROUNDS = 200,
};

struct block {
    struct block *next;
    uint64_t size;
    uint8_t *bytes; /* between two guards */
};
struct sub {
    struct endpoint *from; /* NULL: free */
    struct xfer_out out;
    struct chi_ar_region region[REGIONS];
    uint8_t *buffer[REGIONS], *form;
    uint32_t form_length;
};
struct job {
    struct xfer_in *in; /* NULL: free */
    bool answered;
    uint8_t *body;
    uint32_t body_length;
};
struct seen {          /* of one node's packets to another one */
    uint32_t ids[IDS]; /* that the first offered to the second */
    uint64_t number;   /* largest that the first sent */
};
struct endpoint {
    struct xfer *x;
    uint32_t node;
    uint64_t incarnation;
    uint32_t no_memory, no_packet; /* bits: which of the next calls fail */
    uint32_t packets_out;
    uint64_t memory_used;
    struct block *blocks;
    struct tail *tails; /* that its ports look at */
    struct job jobs[JOBS];
    uint64_t drops[CHI_DROP_COUNT];
};
struct tail {
    struct tail *next;
    const uint8_t *bytes;
    uint32_t *users, length;
    uint8_t was[];
};
struct queued {
    uint32_t from, to, length;
    uint8_t *bytes;
};

static const uint8_t *input;
static size_t left;
static struct xfer_config config;
static uint64_t now, other_incarnation;
static struct endpoint ends[REAL];
static struct seen seen[NODES + 1][NODES + 1]; /* [from][to] */
static struct queued queue[QUEUE];
static unsigned queue_first, queue_count;
static struct sub subs[SUBS];
static uint8_t *memory[NODES];
static uint8_t still[PACKET_MAX + CHI_FORM_BYTES_MAX + 2];

/* --- input */

static uint8_t byte(void)
{
    if (left == 0)
        return 0;
    left--;
    return *input++;
}

/* A number: mostly small or at an edge. */
static uint64_t number(void)
{
    static const uint64_t edges[] = {
        0,    63,    64,    65,    128,        129,       1199,       1400,
        4096, 32768, 32769, 65536, UINT32_MAX, INT64_MAX, UINT64_MAX, (uint64_t)INT64_MAX + 1};
    uint8_t b = byte();
    if (b < 208)
        return b;
    if (b < 224)
        return edges[b - 208];
    uint64_t v = 0;
    for (unsigned i = b < 250 ? 2 : 8; i > 0; i--)
        v = v << 8 | byte();
    return v;
}

static uint32_t below(uint32_t n)
{
    return byte() % n;
}

/* --- host */

static uint32_t no_crc(uint32_t seed, const void *p, size_t n)
{
    if (n > 0)
        (void)((const volatile uint8_t *)p)[n - 1]; /* ASan judges the length */
    return seed;
}

static bool fails(uint32_t *bits)
{
    bool f = *bits & 1;
    *bits >>= 1;
    return f;
}

static bool packet_get(void *ctx, struct xfer_packet *out)
{
    struct endpoint *e = ctx;
    if (fails(&e->no_packet))
        return false;
    *out = (struct xfer_packet){.data = malloc(config.packet_max), .cap = config.packet_max};
    e->packets_out++;
    return true;
}

static void packet_put(void *ctx, struct xfer_packet *p)
{
    struct endpoint *e = ctx;
    CHI_ASSERT(e->packets_out > 0);
    e->packets_out--;
    free(p->data);
}

static void learn(uint32_t from, uint32_t to, const uint8_t *p, uint32_t n)
{
    struct wire_header h;
    struct wire_hello hello;
    CHI_ASSERT(wire_open(p, n, no_crc, &h) == CHI_DROP_NONE && h.length == n);
    if (h.kind == WIRE_KIND_DATA) {
        CHI_ASSERT(h.number > 0);
        seen[from][to].number = h.number;
    } else if (h.kind == WIRE_KIND_HELLO) {
        CHI_ASSERT(wire_get_hello(p, n, &hello) == CHI_DROP_NONE && hello.node == from && hello.session);
        uint32_t *ids = seen[from][to].ids;
        if (ids[0] == hello.session)
            return;
        memmove(ids + 1, ids, (IDS - 1) * sizeof *ids);
        ids[0] = hello.session;
    }
}

static struct queued *queue_at(unsigned i)
{
    return &queue[(queue_first + i) % QUEUE];
}

static void queue_take(void)
{
    free(queue_at(0)->bytes);
    queue_first = (queue_first + 1) % QUEUE;
    queue_count--;
}

static bool attaches(void *ctx, const struct xfer_addr *to)
{
    return to->ip != ((struct endpoint *)ctx)->node;
}

/* All of the packet is at `data` then; its port looks at the tail until tails_let_go. */
static void tail_take(struct endpoint *e, struct xfer_packet *p)
{
    struct tail *t = malloc(sizeof *t + p->tail_length);
    CHI_ASSERT(p->tail_length < p->length && *p->tail_users > 0);
    *t = (struct tail){.next = e->tails, .bytes = p->tail, .users = p->tail_users, .length = p->tail_length};
    memcpy(t->was, p->tail, p->tail_length);
    memcpy(p->data + p->length - p->tail_length, p->tail, p->tail_length);
    e->tails = t;
}

static void tails_let_go(struct endpoint *e, bool alive)
{
    while (e->tails) {
        struct tail *t = e->tails;
        e->tails = t->next;
        if (alive) {
            CHI_ASSERT(!memcmp(t->bytes, t->was, t->length));
            --*t->users;
        }
        free(t);
    }
}

static void packet_send(void *ctx, const struct xfer_addr *to, struct xfer_packet *p)
{
    struct endpoint *e = ctx;
    if (p->tail_length)
        tail_take(e, p);
    CHI_ASSERT(p->length >= WIRE_HEADER_BYTES && p->length <= p->cap && to->zero == 0);
    if (to->ip >= 1 && to->ip <= NODES) {
        learn(e->node, to->ip, p->data, p->length);
        if (queue_count == QUEUE)
            queue_take();
        struct queued *q = queue_at(queue_count++);
        *q = (struct queued){.from = e->node, .to = to->ip, .length = p->length, .bytes = malloc(p->length)};
        memcpy(q->bytes, p->data, p->length);
    }
    packet_put(ctx, p);
}

static bool all_are(const uint8_t *p, uint64_t n, uint8_t v)
{
    return n == 0 || (p[0] == v && memcmp(p, p + 1, n - 1) == 0);
}

static void *memory_get(void *ctx, uint64_t size)
{
    struct endpoint *e = ctx;
    CHI_ASSERT(size > 0 && size <= CHI_FORM_BYTES_MAX + 64);
    if (fails(&e->no_memory) || e->memory_used + size > MEMORY_BYTES)
        return NULL;
    struct block *b = malloc(sizeof *b);
    *b = (struct block){e->blocks, size, aligned_alloc(64, (size + 2 * GUARD + 63) / 64 * 64)};
    memset(b->bytes, GUARD_BYTE, GUARD);
    memset(b->bytes + GUARD + size, GUARD_BYTE, GUARD);
    e->blocks = b;
    e->memory_used += size;
    return b->bytes + GUARD;
}

static void memory_put(void *ctx, void *p, uint64_t size)
{
    struct endpoint *e = ctx;
    struct block **at = &e->blocks, *b;
    while (*at && (*at)->bytes + GUARD != (uint8_t *)p)
        at = &(*at)->next;
    b = *at;
    CHI_ASSERT(b && b->size == size);
    CHI_ASSERT(all_are(b->bytes, GUARD, GUARD_BYTE) && all_are(b->bytes + GUARD + size, GUARD, GUARD_BYTE));
    *at = b->next;
    e->memory_used -= size;
    free(b->bytes);
    free(b);
}

static void touch(const uint8_t *p, uint64_t n)
{
    static volatile uint8_t sink;
    if (n > 0)
        sink = p[0] ^ p[n - 1];
    (void)sink;
}
