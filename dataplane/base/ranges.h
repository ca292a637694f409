/* ranges.h - ordered set of disjoint [start, end) ranges, of fixed capacity.  PURE.
 * Thread: owning worker only.  Memory: the caller's struct, no allocation.
 * Limit: RANGES_MAX ranges (docs/LIMITS.md). */
#pragma once
#include "chi/base.h"

enum { RANGES_MAX = 64 };
struct range {
    uint64_t start, end; /* end exclusive, start < end */
};
struct ranges {
    uint32_t count;
    struct range r[RANGES_MAX]; /* sorted; a gap between any two */
};

static inline void ranges_init(struct ranges *rs)
{
    rs->count = 0;
}

/* Adds [start, end), merging what it touches.  Pre: start < end.
 * Returns 0, or -ENOSPC and leaves *rs as it was when one range more would exceed RANGES_MAX.  O(count); O(1) when it
 * continues the last range. */
CHI_MUST_CHECK int ranges_add(struct ranges *rs, uint64_t start, uint64_t end);

/* True when [start, end) is covered (an empty range is).  O(log count). */
bool ranges_cover(const struct ranges *rs, uint64_t start, uint64_t end);

/* Forgets the lowest range.  Pre: count > 0. */
void ranges_drop_first(struct ranges *rs);
