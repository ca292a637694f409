/* ring.h - what crosses cores: one single-producer single-consumer ring for each pair of workers, and one from the control
 * thread to each worker.  A slot is one cache line with its sequence number inside (line_ring.h).
 *
 * Threads: ring_try_put by the one producer, ring_try_get and ring_publish by the one consumer, at the same time.
 * Life: found through an RCU pointer; the producer and the consumer are QSBR readers, so a ring can be replaced after a grace
 * period.  Memory: ring_create allocates (control thread).  A full ring gives false: the producer keeps the item. */
#pragma once
#include "line_ring.h"

enum ring_kind {
    RING_RUN = 1,    /* a: lane, b: task to push onto it */
    RING_DONE,       /* b: task that ended, to its home worker */
    RING_MARK,       /* b: mark of a lane that moves (worker/move.c) */
    RING_WAIT,       /* b: task that waits for a region, to its home worker; from there: it need not wait any more */
    RING_PUSH,       /* b: task, to its home worker: arg: region, a: how many bytes of it may go back */
    RING_PACKET_IN,  /* b: datagram for the receiver's endpoint */
    RING_PACKET_OUT, /* b: datagram to send on the receiver's port; arg: worker that it comes from */
    RING_CALL,       /* fn: to be called by the receiver, with b */
};
struct ring_item {
    uint32_t kind, arg; /* enum ring_kind */
    void *a, *b;
    void (*fn)(void *worker, void *arg);
};
CHI_STATIC_ASSERT(sizeof(struct ring_item) <= LINE_PAYLOAD, "one slot");

struct ring {
    struct line *slots;
    uint32_t mask;
    uint64_t tail __attribute__((aligned(CHI_CACHE_LINE))); /* producer's */
    uint64_t head_seen;
    uint64_t head __attribute__((aligned(CHI_CACHE_LINE))); /* consumer's */
    uint64_t head_public __attribute__((aligned(CHI_CACHE_LINE))); /* consumer writes once a burst, producer reads when full */
};

/* A ring of `slots` items, a power of two; NULL without memory. */
struct ring *ring_create(uint32_t slots);
void ring_destroy(struct ring *r); /* NULL is allowed */

static inline bool ring_try_put(struct ring *r, const struct ring_item *it)
{
    if (CHI_UNLIKELY(r->tail - r->head_seen > r->mask)) {
        /* Acquire: pairs with the release in ring_publish; the slots before it were read. */
        r->head_seen = __atomic_load_n(&r->head_public, __ATOMIC_ACQUIRE);
        if (r->tail - r->head_seen > r->mask)
            return false;
    }
    struct line *l = line_put_at(r->slots, r->mask, r->tail);
    memcpy(l->payload, it, sizeof *it);
    line_put_done(l, r->tail++);
    return true;
}

static inline bool ring_try_get(struct ring *r, struct ring_item *out)
{
    const struct line *l = line_get(r->slots, r->mask, r->head);
    if (!l)
        return false;
    memcpy(out, l->payload, sizeof *out);
    r->head++;
    return true;
}

/* True when an item waits. */
static inline bool ring_waiting(const struct ring *r) { return line_get(r->slots, r->mask, r->head) != NULL; }

/* Gives the read slots back to the producer: after each burst. */
static inline void ring_publish(struct ring *r) { __atomic_store_n(&r->head_public, r->head, __ATOMIC_RELEASE); }
