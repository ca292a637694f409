/* endpoint.c - a worker's transport endpoint over the port layer, and its bulk memory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "crc32c.h"
#include "internal.h"

static bool packet_get(void *ctx, struct xfer_packet *out)
{
    struct worker *w = ctx;
    struct net_packet *p = net_packet_get_st(w->rt->net, w->index);
    if (!p)
        return false;
    *out = (struct xfer_packet){.data = p->data, .cap = p->cap, .owner = p};
    return true;
}

static void packet_send(void *ctx, const struct xfer_addr *to, struct xfer_packet *xp)
{
    struct worker *w = ctx;
    struct net_packet *p = xp->owner;
    p->length = xp->length;
    if (xp->tail_length)
        net_packet_tail_st(w->rt->net, w->index, p, xp->tail, xp->tail_length, xp->tail_users);
    p->ip = to->ip;
    p->port = to->port;
    p->ecn = xp->ecn;
    p->source = xp->source;
    int owner = net_send_st(w->rt->net, w->index, w->index, p, w->rctx.now_ns);
    if (CHI_UNLIKELY(owner != NET_SENT))
        (void)worker_hand_over_st(w, (uint32_t)owner, RING_PACKET_OUT, p); /* full: dropped and counted there */
}

static void packet_put(void *ctx, struct xfer_packet *p)
{
    (void)ctx;
    net_packet_free(p->owner);
}

static bool attaches(void *ctx, const struct xfer_addr *to) { return net_attaches(((struct worker *)ctx)->rt->net, to->ip); }
static bool way_up(void *ctx, const struct xfer_addr *a) { return net_reaches(((struct worker *)ctx)->rt->net, a->ip); }

static void *memory_get(void *ctx, uint64_t size) { return buddy_try_get(((struct worker *)ctx)->memory, size); }
static void memory_put(void *ctx, void *p, uint64_t size) { buddy_put(((struct worker *)ctx)->memory, p, size); }

static void *map(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    madvise(p, bytes, MADV_HUGEPAGE);
    return p;
}

static int memory_init(struct worker *w)
{
    w->arena_bytes = w->rt->options.arena_bytes;
    w->arena = map(w->arena_bytes);
    if (!w->arena)
        return -ENOMEM;
    w->memory_book = aligned_alloc(CHI_CACHE_LINE, (buddy_bytes(w->arena_bytes) + 63) & ~(size_t)63);
    if (!w->memory_book)
        return -ENOMEM;
    w->memory = buddy_init(w->memory_book, w->arena, w->arena_bytes);
    return 0;
}

static void fill_config(const struct worker *w, struct xfer_config *c)
{
    const struct runtime_options *o = &w->rt->options;
    *c = (struct xfer_config){
        .incarnation = o->incarnation,
        .node = o->node_id,
        .worker = (uint16_t)w->index,
        .workers = (uint16_t)o->workers,
        .packet_max = net_payload_max(o->net),
        .peers_max = (uint16_t)(o->peers_max ? o->peers_max : 1),
        .slots = o->messages,
        .messages_in = o->tasks / 2,
        .peer_memory = o->peer_memory,
        .all_memory = o->remote_memory,
        .grant_bytes = o->grant_window,
        .overcommit = o->overcommit,
        .unasked_bytes = o->unasked,
        .credit_bytes = o->credit,
        .quantum_bytes = o->quantum,
        .window_packets = o->window,
        .target_ns = o->delay_target_us * 1000ULL,
        .pto_min_ns = o->pto_us * 1000ULL,
        .pto_max_ns = 200000000,
        .ack_delay_ns = o->ack_delay_us * 1000ULL,
        .ack_every = o->ack_every,
        .hello_retry_ns = 2000000,
        .silence_ns = o->peer_silence_ms * 1000000ULL,
    };
    snprintf(c->cluster, sizeof c->cluster, "%s", o->cluster);
    if (getrandom(&c->session_seed, sizeof c->session_seed, 0) != sizeof c->session_seed)
        c->session_seed = o->incarnation * 0x9e3779b97f4a7c15ULL + w->index;
}

int endpoint_init(struct worker *w, char *err)
{
    if (memory_init(w)) {
        snprintf(err, SCHED_ERROR_BYTES, "worker %u: no memory for %llu bytes of bulk buffers; lower memory.size", w->index,
                 (unsigned long long)w->arena_bytes);
        return -ENOMEM;
    }
    if (!w->rt->net)
        return 0;
    struct xfer_config c;
    struct xfer_host h = {
        .ctx = w,
        .packet_get = packet_get,
        .packet_send = packet_send,
        .packet_put = packet_put,
        .memory_get = memory_get,
        .memory_put = memory_put,
        .memory_largest = buddy_largest(w->memory),
        .memory_total = w->arena_bytes,
        .crc32c = crc32c,
        .drops = w->drops,
    };
    fill_config(w, &c);
    w->xfer_memory_bytes = xfer_bytes(&c);
    w->xfer_memory = w->xfer_memory_bytes ? map(w->xfer_memory_bytes) : NULL;
    if (!w->xfer_memory) {
        snprintf(err, SCHED_ERROR_BYTES, "worker %u: no memory for the transport (%zu bytes); lower limits.messages or limits.window",
                 w->index, w->xfer_memory_bytes);
        return -ENOMEM;
    }
    w->xfer = xfer_init(w->xfer_memory, &c, &h, net_now_ns());
    xfer_watch_ways(w->xfer, way_up);
    xfer_attach(w->xfer, attaches);
    xfer_take_tasks(w->xfer, accept_remote);
    return 0;
}

void endpoint_fini(struct worker *w)
{
    if (w->xfer_memory)
        munmap(w->xfer_memory, w->xfer_memory_bytes);
    if (w->arena)
        munmap(w->arena, w->arena_bytes);
    free(w->memory_book);
    w->xfer_memory = w->arena = w->memory_book = NULL;
}
