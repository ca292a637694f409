#include "spread.h"

#include "archive/form.h"

/* FNV-1a over the table, word by word. */
static uint32_t hash_of(const struct sched_table *t)
{
    uint32_t h = (0x811c9dc5u ^ t->containers) * 0x01000193u;
    for (uint32_t k = 0; k < t->containers; k++)
        h = (h ^ t->node_of[k]) * 0x01000193u;
    return h;
}

void spread_table(struct sched_table *t)
{
    uint32_t at = 0;
    t->member_count = 0;
    for (uint64_t after = 0; at < t->containers;) { /* node ids begin at 1 */
        uint32_t node = UINT32_MAX;
        for (uint32_t k = 0; k < t->containers; k++)
            if (t->node_of[k] > after && t->node_of[k] < node)
                node = t->node_of[k];
        struct sched_member *m = &t->members[t->member_count++];
        *m = (struct sched_member){.node = node, .at = at};
        for (uint32_t k = 0; k < t->containers; k++)
            if (t->node_of[k] == node)
                t->order[at++] = k;
        m->count = at - m->at;
        after = node;
    }
    t->hash = hash_of(t);
    t->in_order = true;
    for (uint32_t k = 0; k < t->containers; k++)
        t->in_order &= t->order[k] == k;
}

enum chi_status spread_of(const struct sched_table *t, const struct chi_query *q, struct spread *out)
{
    *out = (struct spread){0, t->containers, 0, t->member_count};
    if (q->kind == CHI_QUERY_BROADCAST)
        return CHI_STATUS_OK;
    if (q->kind != CHI_QUERY_RANGE || !q->count)
        return CHI_STATUS_INVALID;
    if (!chi_span_ok(q->value, q->count, t->containers))
        return CHI_STATUS_NO_CONTAINER;
    out->first = (uint32_t)q->value;
    out->count = q->count;
    return CHI_STATUS_OK;
}

CHI_STATIC_ASSERT((int)SCHED_CONTAINERS_MAX <= UINT16_MAX, "16 bits each");

struct chi_query spread_query(const struct sched_table *t, const struct spread *s)
{
    return (struct chi_query){FORM_QUERY_SPREAD, t->hash, s->first | (uint64_t)s->count << 16 | (uint64_t)s->low << 32 | (uint64_t)s->high << 48};
}

enum chi_status spread_read(const struct sched_table *t, const struct chi_query *q, uint32_t node, struct spread *out)
{
    if (q->kind != FORM_QUERY_SPREAD)
        return CHI_STATUS_INVALID;
    if (q->count != t->hash)
        return CHI_STATUS_MOVED;
    *out = (struct spread){q->value & 0xffff, q->value >> 16 & 0xffff, q->value >> 32 & 0xffff, (uint32_t)(q->value >> 48)};
    uint32_t self = spread_member(t, node);
    const uint32_t *ids;
    if (out->high > t->member_count || self != out->low || self >= out->high || !chi_span_ok(out->first, out->count, t->containers) ||
        !spread_on(t, out, self, &ids))
        return CHI_STATUS_NO_CONTAINER;
    return CHI_STATUS_OK;
}

/* The first of n ascending numbers that is not below `least`. */
static uint32_t lower_bound(const uint32_t *ids, uint32_t n, uint32_t least)
{
    uint32_t low = 0;
    while (low < n) {
        uint32_t mid = low + (n - low) / 2;
        if (ids[mid] < least)
            low = mid + 1;
        else
            n = mid;
    }
    return low;
}

uint32_t spread_on(const struct sched_table *t, const struct spread *s, uint32_t member, const uint32_t **ids)
{
    const struct sched_member *m = &t->members[member];
    const uint32_t *all = &t->order[m->at];
    uint32_t from = lower_bound(all, m->count, s->first);
    *ids = all + from;
    return lower_bound(*ids, m->count - from, s->first + s->count);
}

uint32_t spread_size(const struct sched_table *t, const struct spread *s)
{
    const uint32_t *ids;
    uint32_t n = 0;
    if (s->low == 0 && s->high == t->member_count)
        return s->count;
    for (uint32_t m = s->low; m < s->high; m++)
        n += spread_on(t, s, m, &ids);
    return n;
}

uint32_t spread_member(const struct sched_table *t, uint32_t node)
{
    uint32_t low = 0, high = t->member_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (t->members[mid].node < node)
            low = mid + 1;
        else
            high = mid;
    }
    return low < t->member_count && t->members[low].node == node ? low : t->member_count;
}

/* How many members have containers of it. */
static uint32_t members_of(const struct sched_table *t, const struct spread *s)
{
    const uint32_t *ids;
    uint32_t n = 0;
    for (uint32_t m = s->low; m < s->high; m++)
        n += spread_on(t, s, m, &ids) > 0;
    return n;
}

/* Cuts it into parts of `each` members. */
static uint32_t cut(const struct sched_table *t, const struct spread *s, uint32_t each, struct spread *parts)
{
    const uint32_t *ids;
    uint32_t n = 0, have = each;
    for (uint32_t m = s->low; m < s->high; m++) {
        if (!spread_on(t, s, m, &ids))
            continue;
        if (have == each) {
            parts[n] = *s;
            parts[n++].low = m;
            have = 0;
        }
        have++;
        parts[n - 1].high = m + 1;
    }
    return n;
}

uint32_t spread_split(const struct sched_table *t, const struct spread *s, uint32_t self, uint32_t most, struct spread *parts)
{
    struct spread left = *s, right = *s;
    CHI_ASSERT(most >= 2);
    bool inside = self >= s->low && self < s->high;
    left.high = inside ? self : s->high;
    right.low = inside ? self + 1 : s->high;
    uint32_t l = members_of(t, &left), r = members_of(t, &right), each = (l + r + most - 1) / most;
    if (!l && !r)
        return 0;
    while ((l + each - 1) / each + (r + each - 1) / each > most)
        each++;
    uint32_t n = cut(t, &left, each, parts);
    return n + cut(t, &right, each, parts + n);
}

bool spread_skip(const struct sched_table *t, struct spread *s)
{
    const uint32_t *ids;
    do
        s->low++;
    while (s->low < s->high && !spread_on(t, s, s->low, &ids));
    return s->low < s->high;
}
