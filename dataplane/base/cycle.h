/* cycle.h - finds a cycle in a list of edges: who waits for whom.  PURE.
 * Thread: any.  Memory: the caller's. */
#pragma once
#include "chi/base.h"

struct cycle_edge {
    uint64_t from, to; /* `from` waits for `to`, */
    const void *over;  /* and what for: the caller's */
    uint32_t seen, before; /* cycle_find's own */
};

/* Returns the length of a cycle, whose edges then lie first in e, in its order: the last one leads to where the first one comes from.  0: there
 * is none; then the order of e stays.  O(n * n). */
uint32_t cycle_find(struct cycle_edge *e, uint32_t n);
