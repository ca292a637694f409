/* hist.h - log-linear histogram of durations (as in HdrHistogram): 32 steps for each power of two, so a value is off by
 * at most 1/32.  PURE.  Thread: one at a time.  Memory: the caller's struct; it can travel as an array of u64. */
#pragma once
#include "chi/base.h"

enum { HIST_STEPS = 32, HIST_BUCKETS = HIST_STEPS * 36 }; /* up to 2^40 ns; what is above counts in the last */
struct hist {
    uint64_t count, sum, min, max;
    uint64_t bucket[HIST_BUCKETS];
};
void hist_init(struct hist *h);
void hist_add(struct hist *h, uint64_t value);
void hist_merge(struct hist *to, const struct hist *from);
/* The value that `per_million` of a million samples do not exceed (500000: p50), as the upper end of its bucket but
 * never above max; 0 when empty. */
uint64_t hist_at(const struct hist *h, uint32_t per_million);
/* The lowest value of a bucket. */
uint64_t hist_bucket_low(uint32_t bucket);
