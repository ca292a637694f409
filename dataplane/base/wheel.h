/* wheel.h - hashed timing wheel for coarse deadlines (Varghese and Lauck 1987, scheme 6): O(1) add and remove.  PURE.
 * Thread: owning worker only.  Memory: entries are embedded in what they time.  Resolution: WHEEL_TICK_NS; an entry
 * never expires early, and at most one tick plus the caller's delay late. */
#pragma once
#include "chi/base.h"

enum { WHEEL_SLOTS = 256, WHEEL_TICK_SHIFT = 20 }; /* a tick is 2^20 ns, about 1 ms; one round 268 ms */

struct wheel_entry {
    struct wheel_entry *prev, *next; /* NULL when not in a wheel */
    uint64_t when_ns;
};
struct wheel {
    uint64_t tick; /* all slots of earlier ticks were looked at */
    uint32_t count;
    uint64_t taken[WHEEL_SLOTS / 64];     /* a bit for each slot that has entries */
    struct wheel_entry slot[WHEEL_SLOTS]; /* list heads */
};

void wheel_init(struct wheel *w, uint64_t now_ns);
/* Pre: the entry is in no wheel (its `next` is NULL, asserted).  A time that has passed is allowed. */
void wheel_add(struct wheel *w, struct wheel_entry *e, uint64_t when_ns);
/* Takes the entry out; nothing when it is in none. */
void wheel_remove(struct wheel *w, struct wheel_entry *e);
/* Takes out one entry whose tick is over, and returns it; NULL when there is none left.  Call until NULL: together these
 * calls walk each slot whose tick is over at most twice.  O(1) within the tick of the call before. */
struct wheel_entry *wheel_expire(struct wheel *w, uint64_t now_ns);
/* A time by which wheel_expire should be called again: never later than one tick after the next deadline is due, and
 * may be earlier (an entry of a later round); UINT64_MAX when empty.  O(1). */
uint64_t wheel_next(const struct wheel *w);
