#include "hist.h"

#include <string.h>

enum { STEP_SHIFT = 5, TOP_SHIFT = 40 };
CHI_STATIC_ASSERT(HIST_STEPS == 1 << STEP_SHIFT, "steps are a power of two");
CHI_STATIC_ASSERT(HIST_BUCKETS == HIST_STEPS * (TOP_SHIFT - STEP_SHIFT + 1), "buckets end at 2^40");

/* Below 32 each value has its bucket; from there on 32 for each power of two. */
static uint32_t bucket_of(uint64_t value)
{
    if (value >> TOP_SHIFT)
        return HIST_BUCKETS - 1;
    if (value < HIST_STEPS)
        return (uint32_t)value;
    uint32_t shift = 63 - (uint32_t)__builtin_clzll(value) - STEP_SHIFT;
    return HIST_STEPS * shift + (uint32_t)(value >> shift); /* value >> shift is 32..63 */
}

uint64_t hist_bucket_low(uint32_t bucket)
{
    CHI_ASSERT(bucket < HIST_BUCKETS);
    if (bucket < HIST_STEPS)
        return bucket;
    return (uint64_t)(HIST_STEPS + bucket % HIST_STEPS) << (bucket / HIST_STEPS - 1);
}

void hist_init(struct hist *h)
{
    memset(h, 0, sizeof *h);
}

void hist_add(struct hist *h, uint64_t value)
{
    if (h->count == 0 || value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->count++;
    h->sum += value;
    h->bucket[bucket_of(value)]++;
}

void hist_merge(struct hist *to, const struct hist *from)
{
    if (from->count == 0)
        return;
    if (to->count == 0 || from->min < to->min)
        to->min = from->min;
    if (from->max > to->max)
        to->max = from->max;
    to->count += from->count;
    to->sum += from->sum;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++)
        to->bucket[i] += from->bucket[i];
}

uint64_t hist_at(const struct hist *h, uint32_t per_million)
{
    if (h->count == 0)
        return 0;
    if (per_million > 1000000)
        per_million = 1000000;
    /* count * per_million / 10^6, rounded up, in parts that cannot overflow */
    uint64_t rank = h->count / 1000000 * per_million + (h->count % 1000000 * per_million + 999999) / 1000000;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HIST_BUCKETS - 1; i++) {
        seen += h->bucket[i];
        if (seen && seen >= rank) {
            uint64_t high = hist_bucket_low(i + 1) - 1;
            return high < h->max ? high : h->max;
        }
    }
    return h->max;
}
