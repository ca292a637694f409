#include "ranges.h"

#include <errno.h>
#include <string.h>

/* Index of the first range that ends at or behind `at` (count: none). */
static uint32_t first_ending_from(const struct ranges *rs, uint64_t at)
{
    uint32_t lo = 0, hi = rs->count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (rs->r[mid].end < at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int ranges_add(struct ranges *rs, uint64_t start, uint64_t end)
{
    CHI_ASSERT(start < end);
    uint32_t n = rs->count;
    if (CHI_LIKELY(n > 0)) {
        struct range *last = &rs->r[n - 1];
        if (CHI_LIKELY(start >= last->start && start <= last->end)) {
            if (end > last->end)
                last->end = end;
            return 0;
        }
    }

    uint32_t lo = first_ending_from(rs, start);
    uint32_t hi = lo; /* r[lo..hi) touch the new one */
    while (hi < n && rs->r[hi].start <= end)
        hi++;

    if (lo == hi) {
        if (n == RANGES_MAX)
            return -ENOSPC;
        memmove(&rs->r[lo + 1], &rs->r[lo], (n - lo) * sizeof rs->r[0]);
        rs->r[lo] = (struct range){start, end};
        rs->count = n + 1;
        return 0;
    }
    struct range *into = &rs->r[lo];
    if (start < into->start)
        into->start = start;
    into->end = end > rs->r[hi - 1].end ? end : rs->r[hi - 1].end;
    memmove(into + 1, &rs->r[hi], (n - hi) * sizeof rs->r[0]);
    rs->count = n - (hi - lo - 1);
    return 0;
}

bool ranges_cover(const struct ranges *rs, uint64_t start, uint64_t end)
{
    if (start >= end)
        return true;
    uint32_t i = first_ending_from(rs, end);
    return i < rs->count && rs->r[i].start <= start;
}

void ranges_drop_first(struct ranges *rs)
{
    CHI_ASSERT(rs->count > 0);
    rs->count--;
    memmove(&rs->r[0], &rs->r[1], rs->count * sizeof rs->r[0]);
}
