/* ack.c - which packets came, and when to say so. */
#include "xfer_int.h"

enum { RANGES_PLENTY = 8 }; /* above it, ranges of which the peer knows are forgotten */

bool ack_seen(const struct xfer_session *s, uint64_t number)
{
    const struct ranges *g = &s->got;
    if (g->count && number >= g->r[g->count - 1].end)
        return false;
    return number < s->floor || ranges_cover(g, number, number + 1);
}

static void drop_lowest(struct xfer_session *s)
{
    s->floor = s->got.r[0].end;
    ranges_drop_first(&s->got);
}

void ack_note(struct xfer_session *s, uint64_t number, bool eliciting, uint64_t now)
{
    while (number >= s->floor && ranges_add(&s->got, number, number + 1))
        drop_lowest(s);
    bool in_order = number == s->rx_largest + 1;
    if (number > s->rx_largest) {
        s->rx_largest = number;
        s->rx_largest_ns = s->x->tick_ns < now ? s->x->tick_ns : now;
    }
    if (!eliciting)
        return;
    s->ack_count++;
    if (!s->ack_ns)
        s->ack_ns = now + s->x->config.ack_delay_ns;
    if (!in_order || s->ack_count >= s->x->config.ack_every)
        s->ack_due = true;
}

bool ack_fill(const struct xfer_session *s, struct wire_ack *a, unsigned ranges, uint64_t now)
{
    const struct ranges *g = &s->got;
    if (!s->ack_count || !g->count)
        return false;
    uint64_t delay = now - s->rx_largest_ns;
    a->delay_ns = delay < UINT32_MAX ? (uint32_t)delay : UINT32_MAX;
    a->count = (uint8_t)(g->count < ranges ? g->count : ranges);
    for (unsigned i = 0; i < a->count; i++) {
        const struct range *r = &g->r[g->count - 1 - i];
        a->r[i] = (struct wire_range){r->start, r->end - 1};
    }
    return true;
}

void ack_sent(struct xfer_session *s)
{
    s->ack_due = s->path.probe_due;
    s->ack_count = 0;
    s->ack_ns = 0;
}

void ack_confirmed(struct xfer_session *s, uint64_t largest)
{
    if (s->got.count <= RANGES_PLENTY)
        return;
    while (s->got.count > 1 && s->got.r[0].end <= largest)
        drop_lowest(s);
}
