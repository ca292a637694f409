/* wheel.h - hashed timing wheel for coarse deadlines (Varghese and Lauck 1987, scheme 6): O(1) add and remove.  PURE.
 * Thread: owning worker only.  Memory: entries are embedded in what they time.  Resolution: WHEEL_TICK_NS; an entry never
 * expires early, and at most one tick plus the caller's delay late. */
#pragma once
#include "chi/base.h"

enum { WHEEL_SLOTS = 256, WHEEL_TICK_SHIFT = 20 }; /* a tick is 2^20 ns, about 1 ms; one round 268 ms */

struct wheel_entry {
    struct wheel_entry *prev, *next; /* NULL when not in a wheel */
    uint64_t when_ns;
};
struct wheel {
    uint64_t tick; /* the tick up to which all slots were looked at */
    uint32_t count;
    struct wheel_entry slot[WHEEL_SLOTS]; /* list heads */
};

void wheel_init(struct wheel *w, uint64_t now_ns);
/* Pre: the entry is in no wheel. */
void wheel_add(struct wheel *w, struct wheel_entry *e, uint64_t when_ns);
/* Takes the entry out; nothing when it is in none. */
void wheel_remove(struct wheel *w, struct wheel_entry *e);
/* Takes one entry with when_ns <= now_ns out and returns it; NULL when there is none left.  Call until NULL. */
struct wheel_entry *wheel_expire(struct wheel *w, uint64_t now_ns);
/* A time by which wheel_expire should be called again: never later than one tick after the next deadline is due, and may
 * be earlier; UINT64_MAX when empty.  O(WHEEL_SLOTS) at worst, O(1) when the next slot is taken. */
uint64_t wheel_next(const struct wheel *w);
