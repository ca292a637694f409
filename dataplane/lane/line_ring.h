/* line_ring.h - single-producer single-consumer ring of one-line slots, the sequence number in the slot's last 8 bytes:
 * an item moves one cache line and no index.  Works between threads and, on shared memory, between processes.
 *
 * Who may call: put_* by the one producer, get_* by the one consumer, at the same time as each other.
 * Memory: `slots` lines of the caller's, zeroed once.  The positions are private to each side.
 * The producer must know that a slot is free: line_ring has no room check of its own.  Between workers the consumer
 * publishes its position now and then (lane/ring.h); a client's window bounds what is out (lane/shm.h). */
#pragma once
#include <string.h>

#include "chi/base.h"

enum { LINE_PAYLOAD = 56 };
struct line {
    uint8_t payload[LINE_PAYLOAD];
    uint64_t sequence; /* position + 1 of what it holds; 0: never used */
};
CHI_STATIC_ASSERT(sizeof(struct line) == CHI_CACHE_LINE, "one line");

/* The slot to fill for position `at`; its payload is the producer's until put_done. */
static inline struct line *line_put_at(struct line *slots, uint32_t mask, uint64_t at)
{
    return &slots[at & mask];
}
/* Publishes it.  Release: pairs with the acquire in line_get. */
static inline void line_put_done(struct line *l, uint64_t at)
{
    __atomic_store_n(&l->sequence, at + 1, __ATOMIC_RELEASE);
}
/* The slot of position `at` when it has been published, else NULL.  Acquire: pairs with line_put_done.  A sequence that a
 * hostile producer made up is simply not `at + 1`. */
static inline const struct line *line_get(const struct line *slots, uint32_t mask, uint64_t at)
{
    const struct line *l = &slots[at & mask];
    return __atomic_load_n(&l->sequence, __ATOMIC_ACQUIRE) == at + 1 ? l : NULL;
}
