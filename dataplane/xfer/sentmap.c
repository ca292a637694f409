#include "sentmap.h"

void sentmap_init(struct sentmap *sm, struct sent *ring, uint32_t window, struct frame_ref *refs, uint32_t refs_max)
{
    for (uint32_t i = 0; i < window; i++)
        ring[i] = (struct sent){.refs = SENTMAP_NONE};
    *sm = (struct sentmap){.ring = ring, .refs = refs, .window = window, .refs_max = refs_max};
    sm->lost = sm->lost_last = SENTMAP_NONE;
    sm->free = SENTMAP_NONE;
    for (uint32_t i = refs_max; i-- > 0;)
        sentmap_ref_put(sm, i);
}

uint32_t sentmap_ref_get(struct sentmap *sm)
{
    uint32_t ref = sm->free;
    if (ref == SENTMAP_NONE)
        return ref;
    sm->free = sm->refs[ref].next;
    sm->free_count--;
    return ref;
}

void sentmap_ref_put(struct sentmap *sm, uint32_t ref)
{
    sm->refs[ref].next = sm->free;
    sm->free = ref;
    sm->free_count++;
}

void sentmap_refs_put(struct sentmap *sm, uint32_t first, uint32_t last, uint32_t n)
{
    sm->refs[last].next = sm->free;
    sm->free = first;
    sm->free_count += n;
}

void sentmap_push(struct sentmap *sm, const struct sent *s)
{
    CHI_ASSERT(sm->tail - sm->head < sm->window);
    struct sent *to = sentmap_at(sm, sm->tail++);
    sm->lost_records -= to->lost;
    *to = *s;
    to->out = true;
    sm->in_flight++;
}

uint32_t sentmap_find(const struct sentmap *sm, uint64_t number)
{
    uint32_t lo = sm->head, hi = sm->tail;
    if (lo != hi && sentmap_at(sm, lo)->number >= number) /* the usual case: acks come in order */
        return lo;
    while (lo != hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (sentmap_at(sm, mid)->number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

uint32_t sentmap_resolve(struct sentmap *sm, uint32_t position)
{
    struct sent *s = sentmap_at(sm, position);
    CHI_ASSERT(s->out);
    s->out = false;
    sm->in_flight--;
    uint32_t refs = s->refs;
    s->refs = SENTMAP_NONE;
    while (sm->head != sm->tail && !sentmap_at(sm, sm->head)->out)
        sm->head++;
    return refs;
}

void sentmap_mark_lost(struct sentmap *sm, uint32_t position)
{
    sentmap_at(sm, position)->lost = true;
    sm->lost_records++;
}

uint32_t sentmap_found(struct sentmap *sm, uint64_t first, uint64_t last, uint64_t *lowest)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < sm->window && sm->lost_records; i++) {
        struct sent *s = &sm->ring[i];
        if (!s->lost || s->number < first || s->number > last)
            continue;
        if (!found++ || s->number < *lowest)
            *lowest = s->number;
        s->lost = false;
        sm->lost_records--;
    }
    return found;
}

void sentmap_lost_push(struct sentmap *sm, uint32_t ref)
{
    sm->refs[ref].next = SENTMAP_NONE;
    if (sm->lost == SENTMAP_NONE)
        sm->lost = ref;
    else
        sm->refs[sm->lost_last].next = ref;
    sm->lost_last = ref;
}

uint32_t sentmap_lost_pop(struct sentmap *sm)
{
    uint32_t ref = sm->lost;
    if (ref != SENTMAP_NONE)
        sm->lost = sm->refs[ref].next;
    return ref;
}
