#include "wheel.h"

/* An entry waits in the slot of its tick, whatever the round; a slot is looked at once its tick is over, so that a call
 * within the same tick costs nothing and no entry is early. */

static inline uint64_t tick_of(uint64_t ns)
{
    return ns >> WHEEL_TICK_SHIFT;
}

static inline void mark(struct wheel *w, uint32_t slot)
{
    w->taken[slot / 64] |= UINT64_C(1) << slot % 64;
}
static inline void unmark(struct wheel *w, uint32_t slot)
{
    w->taken[slot / 64] &= ~(UINT64_C(1) << slot % 64);
}

void wheel_init(struct wheel *w, uint64_t now_ns)
{
    w->tick = tick_of(now_ns);
    w->count = 0;
    for (uint32_t i = 0; i < WHEEL_SLOTS; i++) {
        w->slot[i].prev = w->slot[i].next = &w->slot[i];
        w->slot[i].when_ns = 0;
    }
    for (uint32_t i = 0; i < WHEEL_SLOTS / 64; i++)
        w->taken[i] = 0;
}

void wheel_add(struct wheel *w, struct wheel_entry *e, uint64_t when_ns)
{
    CHI_ASSERT(!e->next);
    uint64_t tick = tick_of(when_ns);
    if (tick < w->tick)
        tick = w->tick; /* due already: the next slot that is looked at */
    uint32_t slot = tick % WHEEL_SLOTS;
    struct wheel_entry *head = &w->slot[slot];
    e->when_ns = when_ns;
    e->next = head;
    e->prev = head->prev;
    head->prev->next = e;
    head->prev = e;
    mark(w, slot);
    w->count++;
}

void wheel_remove(struct wheel *w, struct wheel_entry *e)
{
    if (!e->next)
        return;
    CHI_ASSERT(w->count > 0);
    if (e->prev == e->next) /* the last of its slot: both are the head */
        unmark(w, (uint32_t)(e->next - w->slot));
    e->prev->next = e->next;
    e->next->prev = e->prev;
    e->prev = e->next = NULL;
    w->count--;
}

/* Distance from `tick` to the first taken slot, 0..WHEEL_SLOTS-1.  Pre: count > 0. */
static uint32_t distance(const struct wheel *w, uint64_t tick)
{
    uint32_t from = tick % WHEEL_SLOTS, word = from / 64;
    uint64_t bits = w->taken[word] & (~UINT64_C(0) << from % 64);
    for (uint32_t i = 0; i <= WHEEL_SLOTS / 64; i++) {
        if (bits)
            return (word * 64 + (uint32_t)__builtin_ctzll(bits) - from) % WHEEL_SLOTS;
        word = (word + 1) % (WHEEL_SLOTS / 64);
        bits = w->taken[word];
    }
    CHI_ASSERT(!"a wheel with entries has a taken slot");
    return 0;
}

/* Moves the head of a slot's list to just before e: what stood before e now stands last. */
static void begin_at(struct wheel_entry *head, struct wheel_entry *e)
{
    head->prev->next = head->next;
    head->next->prev = head->prev;
    head->prev = e->prev;
    head->next = e;
    e->prev->next = head;
    e->prev = head;
}

struct wheel_entry *wheel_expire(struct wheel *w, uint64_t now_ns)
{
    uint64_t now = tick_of(now_ns);
    if (w->tick >= now)
        return NULL;
    if (w->count == 0) {
        w->tick = now;
        return NULL;
    }
    if (now - w->tick > WHEEL_SLOTS)
        w->tick = now - WHEEL_SLOTS; /* one round sees them all */
    for (;;) {
        w->tick += distance(w, w->tick);
        if (w->tick >= now)
            break;
        struct wheel_entry *head = &w->slot[w->tick % WHEEL_SLOTS];
        for (struct wheel_entry *e = head->next; e != head; e = e->next) {
            if (e->when_ns <= now_ns) {
                begin_at(head, e); /* those of later rounds are walked past once, not again for each that is due */
                wheel_remove(w, e);
                return e;
            }
        }
        w->tick++;
    }
    w->tick = now;
    return NULL;
}

uint64_t wheel_next(const struct wheel *w)
{
    if (w->count == 0)
        return UINT64_MAX;
    return (w->tick + distance(w, w->tick) + 1) << WHEEL_TICK_SHIFT;
}
