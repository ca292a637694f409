/* loss.c - round-trip time, loss detection and probe time-out, as in RFC 9002. */
#include "window.h"
#include "xfer_int.h"

enum { GRANULARITY_NS = 20000, PTO_SHIFT_MAX = 20, REORDERING_MAX = 64, LATENESS_MAX = 16 };

void loss_sample(struct xfer_session *s, uint64_t rtt_ns, uint64_t ack_delay_ns)
{
    struct rtt *r = &s->rtt;
    if (ack_delay_ns > s->x->config.ack_delay_ns)
        ack_delay_ns = s->x->config.ack_delay_ns; /* what a peer says about itself has a bound */
    if (rtt_ns == 0)
        rtt_ns = 1;
    r->latest_ns = rtt_ns;
    if (r->srtt_ns == 0) {
        r->min_ns = r->srtt_ns = rtt_ns;
        r->var_ns = rtt_ns / 2;
        return;
    }
    if (rtt_ns < r->min_ns)
        r->min_ns = rtt_ns;
    if (rtt_ns - r->min_ns >= ack_delay_ns)
        rtt_ns -= ack_delay_ns;
    uint64_t apart = r->srtt_ns > rtt_ns ? r->srtt_ns - rtt_ns : rtt_ns - r->srtt_ns;
    r->var_ns = (3 * r->var_ns + apart) / 4;
    r->srtt_ns = (7 * r->srtt_ns + rtt_ns) / 8;
}

uint64_t loss_pto_ns(const struct xfer_session *s)
{
    const struct xfer_config *c = &s->x->config;
    uint64_t pto = 2 * c->pto_min_ns;
    if (s->rtt.srtt_ns)
        pto = s->rtt.srtt_ns + 4 * s->rtt.var_ns + c->ack_delay_ns;
    if (pto < c->pto_min_ns)
        pto = c->pto_min_ns;
    pto <<= s->pto_count;
    return pto < c->pto_max_ns ? pto : c->pto_max_ns;
}

static uint64_t time_threshold_ns(const struct xfer_session *s)
{
    uint64_t t = s->rtt.srtt_ns > s->rtt.latest_ns ? s->rtt.srtt_ns : s->rtt.latest_ns;
    if (t == 0)
        t = 2 * s->x->config.pto_min_ns;
    t = t * s->lateness / 8;
    return t > GRANULARITY_NS ? t : GRANULARITY_NS;
}

uint64_t loss_alarm(const struct xfer_session *s)
{
    if (s->loss_ns)
        return s->loss_ns;
    return s->sent.in_flight ? s->eliciting_ns + loss_pto_ns(s) : UINT64_MAX;
}

/* A packet counts as lost: what of it is still wanted goes into another one.  Returns whether there is such a frame. */
static bool lose(struct xfer_session *s, uint32_t position)
{
    bool any = false;
    uint32_t ref = sentmap_resolve(&s->sent, position);
    sentmap_mark_lost(&s->sent, position);
    cc_gone(&s->cc, sentmap_at(&s->sent, position)->bytes);
    path_lost(s, sentmap_at(&s->sent, position)->bytes);
    if (CHI_UNLIKELY(sentmap_at(&s->sent, position)->attached))
        attach_lost(s, sentmap_at(&s->sent, position)->number);
    while (ref != SENTMAP_NONE) {
        uint32_t next = s->sent.refs[ref].next;
        bool live = flow_ref_live(s, &s->sent.refs[ref]);
        if (!live || flow_lost(s, ref))
            sentmap_ref_put(&s->sent, ref);
        any |= live;
        ref = next;
    }
    s->peer->stats.retransmits += any;
    return any;
}

static void detect(struct xfer_session *s, uint64_t now)
{
    uint64_t threshold = time_threshold_ns(s);
    uint32_t lost = 0;
    s->loss_ns = 0;
    for (uint32_t i = s->sent.head; i != s->sent.tail; i++) {
        const struct sent *p = sentmap_at(&s->sent, i);
        if (p->number >= s->largest_acked)
            break;
        if (!p->out)
            continue;
        if (s->largest_acked - p->number >= s->reordering || p->sent_ns + threshold <= now) {
            lose(s, i);
            lost++;
        } else if (s->loss_ns == 0 || p->sent_ns + threshold < s->loss_ns)
            s->loss_ns = p->sent_ns + threshold;
    }
    if (lost)
        cc_lost(&s->cc, lost, now);
}

/* Packets that counted as lost arrived: they were overtaken, or late.  The window goes back to what it was, and the thresholds grow so
 * that the same is not taken for a loss again (RFC 9002, 6.1, leaves room for that; as RFC 8985 does). */
static void found(struct xfer_session *s, uint32_t packets, uint64_t lowest)
{
    uint64_t behind = s->largest_acked - lowest + 1;
    s->peer->stats.spurious += packets;
    if (behind > s->reordering)
        s->reordering = behind < REORDERING_MAX ? (uint32_t)behind : REORDERING_MAX;
    if (s->lateness < LATENESS_MAX)
        s->lateness++;
    cc_undo(&s->cc);
}

/* The usual frame: a last answer, or one of a message that is over.  False: another one. */
static inline bool last_acked(struct xfer_session *s, const struct frame_ref *r, bool *freed)
{
    if (r->type != WIRE_FRAME_TASK_OUT)
        return false;
    struct in_slot *slot = &s->in[r->slot];
    if (!slot->in || slot->in->generation != r->generation)
        return true;
    if (!slot->in->internal)
        return false;
    *freed |= in_last_acked(slot, s->x);
    return true;
}

static void packet_acked(struct xfer_session *s, uint32_t position, uint64_t now)
{
    uint64_t ack_largest = sentmap_at(&s->sent, position)->ack_largest;
    cc_gone(&s->cc, sentmap_at(&s->sent, position)->bytes);
    if (CHI_UNLIKELY(sentmap_at(&s->sent, position)->attached))
        attach_acked(s);
    uint32_t refs = sentmap_resolve(&s->sent, position), n = 0, last = SENTMAP_NONE;
    bool freed = false;
    for (uint32_t ref = refs; ref != SENTMAP_NONE; ref = s->sent.refs[ref].next, n++) {
        const struct frame_ref *r = &s->sent.refs[ref];
        last = ref;
        if (!last_acked(s, r, &freed) && flow_ref_live(s, r))
            flow_acked(s, r, now);
    }
    if (n)
        sentmap_refs_put(&s->sent, refs, last, n);
    if (freed)
        room_freed(s->x);
    if (ack_largest)
        ack_confirmed(s, ack_largest);
}

enum chi_drop loss_on_ack(struct xfer_session *s, const struct wire_ack *a, uint64_t now)
{
    uint64_t largest = a->r[0].last;
    if (largest >= s->next_number)
        return CHI_DROP_NUMBER;
    struct cc_ack said = {.largest = largest, .next_number = s->next_number};
    said.wanted = s->cc.window < s->cc.limit && window_wanted(s); /* before flows end by it */
    if (largest > s->largest_acked)
        s->largest_acked = largest;
    if (CHI_UNLIKELY(now >= s->path.look_ns))
        path_look(s, a, now);
    for (unsigned i = 0; i < a->count; i++) {
        for (uint32_t at = sentmap_find(&s->sent, a->r[i].first); at != s->sent.tail; at++) {
            const struct sent *p = sentmap_at(&s->sent, at);
            if (p->number > a->r[i].last)
                break;
            if (!p->out)
                continue;
            if (p->number == largest) {
                said.rtt_ns = now > p->sent_ns ? now - p->sent_ns : 1;
                said.delay_ns = a->delay_ns + (now - s->x->tick_ns);
                loss_sample(s, said.rtt_ns, a->delay_ns);
            }
            said.packets++;
            said.bytes += p->bytes;
            packet_acked(s, at, now);
        }
        uint64_t lowest = 0;
        uint32_t late = CHI_UNLIKELY(s->sent.lost_records) ? sentmap_found(&s->sent, a->r[i].first, a->r[i].last, &lowest) : 0;
        if (late)
            found(s, late, lowest);
    }
    if (said.packets) {
        s->pto_count = 0;
        said.marks = path_marks(s, said.packets);
        cc_acked(&s->cc, &said, now);
        detect(s, now);
    }
    return CHI_DROP_NONE;
}

void loss_tick(struct xfer_session *s, uint64_t now)
{
    if (loss_alarm(s) > now)
        return;
    if (s->loss_ns) {
        detect(s, now);
        return;
    }
    s->peer->stats.probes++;
    if (s->pto_count < PTO_SHIFT_MAX)
        s->pto_count++;
    way_late(s->x, s->peer, s->pto_count, loss_pto_ns(s));
    cc_timeout(&s->cc, s->pto_count, now);
    s->eliciting_ns = now;
    s->urgent = true;
    /* The probe is the oldest packet's frames in a new packet; packets of which nobody wants anything are forgotten. */
    for (uint32_t i = s->sent.head; i != s->sent.tail; i++)
        if (sentmap_at(&s->sent, i)->out && lose(s, i))
            break;
    path_timeout(s);
}
