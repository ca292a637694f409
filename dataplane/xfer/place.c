/* place.c - the one function that stores bytes of a peer's into memory that was prepared for them.  Base, size and progress are
 * this node's own record of the region; offset and length alone come from outside. */
#include <string.h>

#include "xfer_int.h"

static struct track *track_find(struct track *t, uint32_t region)
{
    while (t && t->region != region)
        t = t->next;
    return t;
}

static void track_put(struct xfer *x, struct track **tracks, struct track *t)
{
    while (*tracks != t)
        tracks = &(*tracks)->next;
    *tracks = t->next;
    pool_put(&x->tracks, t);
}

/* The part without a hole reached a new end: takes over what had come behind the hole. */
static void advance(struct xfer *x, const struct place *to, uint64_t end)
{
    struct track *t = track_find(*to->tracks, to->region);
    while (t && t->ranges.count && t->ranges.r[0].start <= end) {
        if (t->ranges.r[0].end > end)
            end = t->ranges.r[0].end;
        ranges_drop_first(&t->ranges);
    }
    if (t && !t->ranges.count)
        track_put(x, to->tracks, t);
    __atomic_store_n(to->have, end, __ATOMIC_RELEASE); /* after the bytes: pairs with xfer_ready */
}

/* Notes a span behind a hole. */
static enum chi_drop note(struct xfer *x, const struct place *to, uint64_t start, uint64_t end)
{
    struct track *t = track_find(*to->tracks, to->region);
    if (!t) {
        t = pool_try_get(&x->tracks);
        if (!t)
            return CHI_DROP_NO_MEMORY;
        t->region = to->region;
        ranges_init(&t->ranges);
        t->next = *to->tracks;
        *to->tracks = t;
    }
    return ranges_add(&t->ranges, start, end) ? CHI_DROP_REGION_FRAGMENTED : CHI_DROP_NONE;
}

enum chi_drop place_bytes(struct xfer *x, const struct place *to, uint64_t offset, const uint8_t *bytes, uint32_t length)
{
    if (!chi_span_ok(offset, length, to->size))
        return CHI_DROP_REGION_BOUNDS;
    uint64_t end = offset + length;
    if (length == 0 || end <= *to->have) /* nothing, or nothing new */
        return CHI_DROP_NONE;
    if (offset > *to->have) {
        enum chi_drop d = note(x, to, offset, end);
        if (d != CHI_DROP_NONE)
            return d;
        memcpy(to->base + offset, bytes, length);
        return CHI_DROP_NONE;
    }
    uint64_t had = *to->have - offset; /* stays as it is: a form's prefix was checked already */
    memcpy(to->base + offset + had, bytes + had, length - had);
    advance(x, to, end);
    return CHI_DROP_NONE;
}

void place_forget(struct xfer *x, struct track **tracks)
{
    while (*tracks) {
        struct track *t = *tracks;
        *tracks = t->next;
        pool_put(&x->tracks, t);
    }
}
