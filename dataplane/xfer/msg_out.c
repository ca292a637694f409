/* msg_out.c - messages of ours: from a slot to the answer. */
#include "xfer_int.h"

/* How much of a message's regions goes with it; the rest waits for grants. */
static void allow_unasked(struct xfer_session *s, struct flow *f, const struct xfer_out *m)
{
    uint64_t total = 0, most = s->x->config.unasked_bytes;
    for (uint32_t i = 0; i < m->nregions; i++)
        total += m->regions[i].flags & CHI_WRITE ? m->regions[i].size : 0;
    if (most > s->credit - s->unasked)
        most = s->credit - s->unasked;
    f->unasked = (uint32_t)(total < most ? total : most);
    f->granted = f->unasked < total ? f->unasked : UINT64_MAX;
    s->unasked += f->unasked;
}

static void unasked_end(struct xfer_session *s, struct flow *f)
{
    s->unasked -= f->unasked;
    f->unasked = 0;
}

void out_open(struct xfer_session *s, struct xfer_out *m)
{
    CHI_ASSERT(s->live && s->out_free_count > 0);
    struct out_slot *o = &s->out[s->out_free[--s->out_free_count]];
    o->m = m;
    o->generation++;
    o->sent = o->answered = false;
    o->exposed = 0;
    for (uint32_t i = 0; i < m->nregions; i++)
        o->exposed += (m->regions[i].flags & CHI_EXPOSE) != 0;
    o->body = NULL;
    o->body_have = o->body_length = 0;
    o->tracks = NULL;
    m->state = o;
    list_remove(&o->flow.link); /* a CANCEL of the one before is not needed any more */
    flow_init(&o->flow, false);
    allow_unasked(s, &o->flow, m);
    list_push(&s->fresh, &o->flow.link);
    s->peer->stats.tasks_out++;
    s->peer->stats.open_out++;
    alive_watch(s->x, s->peer);
    session_wake(s);
}

static uint8_t *body_bytes(struct out_slot *o) { return o->body ? o->body->bytes : o->small; }

static void body_put(struct xfer *x, struct body *b)
{
    if (b)
        x->host.memory_put(x->host.ctx, b, b->size);
}

/* Gives a message's slot free; returns the memory of its body when `keep`. */
static struct body *close_slot(struct xfer *x, struct out_slot *o, bool keep)
{
    struct xfer_session *s = o->session;
    struct body *body = o->body;
    list_remove(&o->flow.link);
    unasked_end(s, &o->flow);
    place_forget(x, &o->tracks);
    o->body = NULL;
    o->m = NULL;
    s->out_free[s->out_free_count++] = o->index;
    s->peer->stats.open_out--;
    if (keep)
        return body;
    body_put(x, body);
    return NULL;
}

void out_done(struct xfer *x, struct xfer_out *m)
{
    m->next = NULL;
    if (x->done)
        x->done_last->next = m;
    else
        x->done = m;
    x->done_last = m;
}

void out_end(struct xfer *x, struct xfer_out *m, enum chi_status status, const uint8_t *bytes, uint32_t length)
{
    struct out_slot *o = m->state;
    bool ok = status == CHI_STATUS_OK;
    wheel_remove(&x->deadlines, &m->timer);
    for (uint32_t i = 0; i < m->nregions; i++)
        if (m->regions[i].flags & CHI_EXPOSE)
            m->regions[i].used = ok ? o->used[i] : 0;
    if (o)
        m->state = close_slot(x, o, ok);
    else if (m->peer)
        peer_wait_remove(m->peer, m);
    m->bytes = ok ? bytes : NULL;
    m->length = ok ? length : 0;
    m->status = status;
    if (CHI_LIKELY(!attach_tails(&m->tails))) {
        out_done(x, m);
    } else {
        CHI_ASSERT(!bytes); /* or out_whole waits */
        m->next = x->kept;
        x->kept = m;
    }

    struct xfer_peer *p = m->peer;
    if (o && p->waiting && p->send == o->session) {
        struct xfer_out *next = p->waiting;
        peer_wait_remove(p, next);
        out_open(p->send, next);
    }
}

void out_cancel(struct xfer *x, struct xfer_out *m, enum chi_status status)
{
    struct out_slot *o = m->state;
    bool tell = o && (o->sent || o->owes);
    out_end(x, m, status, NULL, 0);
    if (!tell)
        return;
    o->owes = true;
    if (o->m) /* its slot is in use again, which says the same */
        return;
    o->flow.round = 0;
    list_push(&o->session->cancels, &o->flow.link);
    session_notice(o->session);
}

/* --- what the peer says about it */

/* The slot of a frame, or NULL with the drop reason; NONE: it ended already, the frame is ignored and acknowledged. */
static struct out_slot *find(struct xfer_session *s, uint32_t slot, uint32_t generation, enum chi_drop *d)
{
    *d = CHI_DROP_SLOT_RANGE;
    if (slot >= s->x->config.slots)
        return NULL;
    struct out_slot *o = &s->out[slot];
    if (o->m && o->generation == generation && o->sent)
        return o;
    session_drop(s, CHI_DROP_SLOT_STALE);
    *d = CHI_DROP_NONE;
    return NULL;
}

static bool is_whole(const struct out_slot *o)
{
    const struct xfer_out *m = o->m;
    if (!o->answered || o->body_have < o->body_length)
        return false;
    if (o->exposed)
        for (uint32_t i = 0; i < m->nregions; i++)
            if ((m->regions[i].flags & CHI_EXPOSE) && m->regions[i].used < o->used[i])
                return false;
    return true;
}

void out_whole(struct out_slot *o)
{
    struct xfer *x = o->session->x;
    if (CHI_LIKELY(!attach_tails(&o->m->tails)))
        out_end(x, o->m, CHI_STATUS_OK, body_bytes(o), o->body_length);
    else if (!list_linked(&o->flow.link))
        list_push(&x->whole, &o->flow.link);
}

/* Takes over the lengths written, checked against what was exposed. */
static enum chi_drop take_used(struct out_slot *o, const struct wire_task_out *f)
{
    const struct xfer_out *m = o->m;
    if (f->regions != o->exposed)
        return CHI_DROP_FRAME_VALUE;
    for (uint32_t i = 0, k = 0; i < m->nregions; i++) {
        if (!(m->regions[i].flags & CHI_EXPOSE))
            continue;
        uint64_t used = f->used[k++];
        if (used > m->regions[i].size)
            return CHI_DROP_REGION_BOUNDS;
        o->used[i] = used;
    }
    return CHI_DROP_NONE;
}

static enum chi_drop keep_body(struct xfer *x, struct out_slot *o, const struct wire_task_out *f)
{
    if (!f->form_length)
        return CHI_DROP_NONE;
    if (f->form_length > sizeof o->small) {
        uint64_t size = sizeof(struct body) + f->form_length;
        o->body = x->host.memory_get(x->host.ctx, size);
        if (!o->body)
            return CHI_DROP_NO_MEMORY;
        o->body->size = size;
    }
    struct place to = {body_bytes(o), f->form_length, &o->body_have, &o->tracks, 0};
    return place_bytes(x, &to, 0, f->bytes, f->inline_length); /* at the start: it always fits */
}

enum chi_drop out_answer(struct xfer_session *s, const struct wire_task_out *f, uint64_t now)
{
    (void)now;
    struct xfer *x = s->x;
    enum chi_drop d;
    struct out_slot *o = find(s, f->slot, f->generation, &d);
    if (!o)
        return d;
    if (o->answered) {
        s->peer->stats.duplicates++;
        return CHI_DROP_NONE;
    }
    if (!chi_status_known(f->status) || f->status == CHI_STATUS_PENDING || f->form_length > CHI_FORM_BYTES_MAX)
        return CHI_DROP_FRAME_VALUE;
    if (f->status != CHI_STATUS_OK) {
        s->peer->stats.answers_in++;
        out_end(x, o->m, (enum chi_status)f->status, NULL, 0);
        return CHI_DROP_NONE;
    }
    d = take_used(o, f);
    if (d != CHI_DROP_NONE)
        return d;
    o->answered = true;
    o->body_length = o->body_have = f->form_length;
    if (f->inline_length == f->form_length && is_whole(o) && CHI_LIKELY(!attach_tails(&o->m->tails))) { /* the bytes stay in the packet */
        s->peer->stats.answers_in++;
        out_end(x, o->m, CHI_STATUS_OK, f->bytes, f->form_length);
        return CHI_DROP_NONE;
    }
    o->body_have = 0;
    d = keep_body(x, o, f);
    if (d != CHI_DROP_NONE) {
        o->answered = false;
        return d;
    }
    s->peer->stats.answers_in++;
    list_remove(&o->flow.link); /* the peer has all that it needs */
    if (CHI_UNLIKELY(is_whole(o)))
        out_whole(o);
    return CHI_DROP_NONE;
}

enum chi_drop out_grant(struct xfer_session *s, const struct wire_grant *f)
{
    enum chi_drop d;
    struct out_slot *o = find(s, f->slot, f->generation, &d);
    if (!o)
        return d; /* one that ended is cancelled, or its slot is in use again */
    struct flow *flow = &o->flow;
    if (o->answered)
        return CHI_DROP_NONE;
    *(f->flags & WIRE_GRANT_AGAIN ? &s->peer->stats.calls_rx : &s->peer->stats.grants_rx) += 1;
    unasked_end(s, flow);
    if (f->flags & WIRE_GRANT_AGAIN)
        flow_again_whole(s, flow);
    if (f->bytes > flow->granted)
        flow->granted = f->bytes;
    if (!list_linked(&flow->link) && flow_left(flow))
        list_push(&s->bulk, &flow->link);
    session_wake(s);
    return CHI_DROP_NONE;
}

enum chi_drop out_segment(struct xfer_session *s, const struct wire_segment *f, uint64_t now)
{
    (void)now;
    enum chi_drop d;
    struct out_slot *o = find(s, f->slot, f->generation, &d);
    if (!o)
        return d;
    struct place to = {.tracks = &o->tracks, .region = f->region};
    if (f->region == 0) {
        if (!o->answered)
            return CHI_DROP_REGION_UNKNOWN;
        to.base = body_bytes(o);
        to.size = o->body_length;
        to.have = &o->body_have;
    } else {
        if (f->region > o->m->nregions || !(o->m->regions[f->region - 1].flags & CHI_EXPOSE))
            return CHI_DROP_REGION_UNKNOWN;
        struct chi_ar_region *r = &o->m->regions[f->region - 1];
        to.base = r->ptr;
        to.size = r->size;
        to.have = &r->used; /* until the answer is whole */
    }
    d = place_bytes(s->x, &to, f->offset, f->bytes, f->length);
    if (d != CHI_DROP_NONE)
        return d;
    s->peer->stats.segment_bytes_rx += f->length;
    if (is_whole(o))
        out_whole(o);
    return CHI_DROP_NONE;
}
