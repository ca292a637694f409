#include "cycle.h"

enum { NEW, ON_PATH, DONE, IN_CYCLE }; /* `seen`; of the cycle's edges IN_CYCLE and their place in it */

/* The edges from the one where the cycle is entered to `last` go first. */
static uint32_t collect(struct cycle_edge *e, uint32_t n, uint32_t entry, uint32_t last)
{
    uint32_t length = 1;
    for (uint32_t i = last; i != entry; i = e[i].before)
        length++;
    for (uint32_t i = last, k = length; k--; i = e[i].before)
        e[i].seen = IN_CYCLE + k;
    for (uint32_t k = 0; k < length; k++) {
        uint32_t i = k;
        while (i < n && e[i].seen != IN_CYCLE + k)
            i++;
        struct cycle_edge other = e[k];
        e[k] = e[i];
        e[i] = other;
    }
    return length;
}

/* An edge that goes on from e[at], and is not done; n: there is none. */
static uint32_t follow(const struct cycle_edge *e, uint32_t n, uint32_t at)
{
    uint32_t i = 0;
    while (i < n && (e[i].from != e[at].to || e[i].seen == DONE))
        i++;
    return i;
}

uint32_t cycle_find(struct cycle_edge *e, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        e[i].seen = NEW;
    for (uint32_t start = 0; start < n; start++) {
        if (e[start].seen != NEW)
            continue;
        uint32_t at = start;
        e[at].seen = ON_PATH;
        for (;;) {
            uint32_t next = follow(e, n, at);
            if (next < n && e[next].seen == ON_PATH)
                return collect(e, n, next, at);
            if (next < n) {
                e[next].seen = ON_PATH;
                e[next].before = at;
                at = next;
                continue;
            }
            e[at].seen = DONE;
            if (at == start)
                break;
            at = e[at].before;
        }
    }
    return 0;
}
