/* timers.h - binary heap of timers with lazy keys: a key may be earlier than what its owner waits for, never later, so that
 * moving a timer to a later time (which each packet does) costs nothing.  PURE.
 * Memory: an array of the caller's.  set and later are O(log n), top is O(1). */
#pragma once
#include "chi/base.h"

enum timer_kind { TIMER_SESSION, TIMER_PEER, TIMER_NONE };
struct timer {
    uint64_t key_ns;
    uint32_t place; /* in the heap, from 1; 0: not in it */
    uint8_t kind;   /* enum timer_kind: what it is embedded in */
};
struct timers {
    struct timer **heap; /* entries 1..count */
    uint32_t count;
};

/* The owner waits for when_ns; nothing when a key at or before it is set already. */
void timers_set(struct timers *ts, struct timer *t, uint64_t when_ns);
/* The top's key was too early: its owner waits for when_ns; UINT64_MAX takes it out. */
void timers_later(struct timers *ts, struct timer *t, uint64_t when_ns);

static inline uint64_t timers_next(const struct timers *ts) { return ts->count ? ts->heap[1]->key_ns : UINT64_MAX; }
