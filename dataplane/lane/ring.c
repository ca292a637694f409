#include "ring.h"

#include <stdlib.h>

struct ring *ring_create(uint32_t slots)
{
    CHI_ASSERT(slots >= 2 && (slots & (slots - 1)) == 0);
    struct ring *r = aligned_alloc(CHI_CACHE_LINE, sizeof *r);
    struct line *lines = aligned_alloc(CHI_CACHE_LINE, slots * sizeof *lines);
    if (!r || !lines) {
        free(r);
        free(lines);
        return NULL;
    }
    memset(r, 0, sizeof *r);
    memset(lines, 0, slots * sizeof *lines);
    r->slots = lines;
    r->mask = slots - 1;
    return r;
}

void ring_destroy(struct ring *r)
{
    if (!r)
        return;
    free(r->slots);
    free(r);
}
