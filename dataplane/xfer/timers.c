#include "timers.h"

static void put(struct timers *ts, uint32_t place, struct timer *t)
{
    ts->heap[place] = t;
    t->place = place;
}

static void sift_up(struct timers *ts, struct timer *t)
{
    uint32_t at = t->place;
    while (at > 1 && ts->heap[at / 2]->key_ns > t->key_ns) {
        put(ts, at, ts->heap[at / 2]);
        at /= 2;
    }
    put(ts, at, t);
}

static void sift_down(struct timers *ts, struct timer *t)
{
    uint32_t at = t->place;
    for (;;) {
        uint32_t child = 2 * at;
        if (child > ts->count)
            break;
        if (child < ts->count && ts->heap[child + 1]->key_ns < ts->heap[child]->key_ns)
            child++;
        if (ts->heap[child]->key_ns >= t->key_ns)
            break;
        put(ts, at, ts->heap[child]);
        at = child;
    }
    put(ts, at, t);
}

void timers_set(struct timers *ts, struct timer *t, uint64_t when_ns)
{
    if (when_ns == UINT64_MAX || (t->place && t->key_ns <= when_ns))
        return;
    if (!t->place)
        put(ts, ++ts->count, t);
    t->key_ns = when_ns;
    sift_up(ts, t);
}

void timers_later(struct timers *ts, struct timer *t, uint64_t when_ns)
{
    CHI_ASSERT(t->place && t->key_ns <= when_ns);
    if (when_ns != UINT64_MAX) {
        t->key_ns = when_ns;
        sift_down(ts, t);
        return;
    }
    struct timer *last = ts->heap[ts->count--];
    uint32_t place = t->place;
    t->place = 0;
    if (last == t)
        return;
    put(ts, place, last);
    sift_up(ts, last);
    sift_down(ts, last);
}
