#include "xfer.h"

#include "xfer_int.h"

/* --- messages */

void xfer_send(struct xfer *x, uint32_t node, struct xfer_out *m, uint64_t now)
{
    CHI_ASSERT(m->nregions <= CHI_REGIONS_MAX);
    x->now_ns = now;
    m->next = m->prev = NULL;
    m->peer = NULL;
    m->state = NULL;
    m->tails = 0;
    m->timer.prev = m->timer.next = NULL;
    for (uint32_t i = 0; i < m->nregions; i++)
        m->regions[i].used = 0;
    struct xfer_peer *p = x->closed ? NULL : peer_find(x, node);
    enum chi_status refused = CHI_STATUS_OK;
    if (x->closed)
        refused = CHI_STATUS_SHUTDOWN;
    else if (!p)
        refused = CHI_STATUS_NO_NODE;
    else if (p->draining)
        refused = CHI_STATUS_DRAINING;
    else if (m->deadline_ns <= now)
        refused = CHI_STATUS_DEADLINE;
    if (refused != CHI_STATUS_OK) {
        out_end(x, m, refused, NULL, 0);
        return;
    }
    wheel_add(&x->deadlines, &m->timer, m->deadline_ns);
    peer_wait(p, m, false);
    peer_push(x, p, now);
}

uint8_t *xfer_answer_room(struct xfer_in *in) { return LIST_ENTRY(in, struct msg_in, pub)->small; }

uint64_t xfer_ready(const struct xfer_in *in, uint32_t region)
{
    const struct msg_in *m = LIST_ENTRY(in, struct msg_in, pub);
    const struct chi_ar_region *r = &m->region[region];
    return r->flags & CHI_WRITE ? __atomic_load_n(&m->part[region].have, __ATOMIC_ACQUIRE) : r->size;
}

void xfer_push(struct xfer *x, struct xfer_in *in, uint32_t region, uint64_t bytes, uint64_t now)
{
    x->now_ns = now;
    in_push(LIST_ENTRY(in, struct msg_in, pub), region, bytes);
}

void xfer_answer_last(struct xfer *x, struct xfer_in *in, enum chi_status status, uint32_t length, uint64_t now)
{
    x->now_ns = now;
    in_answer_last(x, LIST_ENTRY(in, struct msg_in, pub), status, length, now);
}

void xfer_take_tasks(struct xfer *x, void (*task)(void *ctx, struct xfer_in *in, const uint8_t *form, uint32_t length)) { x->task = task; }

void xfer_answer(struct xfer *x, struct xfer_in *in, const struct xfer_answer *a, uint64_t now)
{
    x->now_ns = now;
    in_answer(x, LIST_ENTRY(in, struct msg_in, pub), a, now);
}

/* --- events */

void xfer_release(struct xfer *x)
{
    if (x->gone)
        in_free(x, x->gone);
    x->gone = NULL;
    while (x->bodies) {
        struct body *b = x->bodies;
        x->bodies = b->next;
        x->host.memory_put(x->host.ctx, b, b->size);
    }
}

static void event_task(struct xfer *x, struct xfer_event *e)
{
    struct msg_in *in = LIST_ENTRY(x->tasks.next, struct msg_in, link);
    list_remove(&in->link);
    in_run(x, in);
    *e = (struct xfer_event){
        .kind = XFER_TASK, .node = in->pub.node, .in = &in->pub, .bytes = in->form, .length = in->form_length};
}

static void event_done(struct xfer *x, struct xfer_event *e)
{
    struct xfer_out *m = x->done;
    x->done = m->next;
    struct body *b = m->state;
    if (b) {
        b->next = x->bodies;
        x->bodies = b;
    }
    *e = (struct xfer_event){
        .kind = XFER_DONE, .status = (enum chi_status)m->status, .out = m, .bytes = m->bytes, .length = m->length};
    e->node = m->peer ? m->peer->node : 0;
}

bool xfer_next_event(struct xfer *x, struct xfer_event *out)
{
    if (x->gone) {
        in_free(x, x->gone);
        x->gone = NULL;
    }
    if (!list_empty(&x->news)) {
        struct xfer_peer *p = LIST_ENTRY(x->news.next, struct xfer_peer, news);
        list_remove(&p->news);
        *out = (struct xfer_event){.kind = p->down ? XFER_PEER_DOWN : XFER_PEER_UP, .node = p->node, .incarnation = p->incarnation};
    } else if (!list_empty(&x->tasks)) {
        event_task(x, out);
    } else if (!list_empty(&x->cancelled)) {
        struct msg_in *in = LIST_ENTRY(x->cancelled.next, struct msg_in, link);
        list_remove(&in->link);
        *out = (struct xfer_event){
            .kind = XFER_CANCELLED, .node = in->pub.node, .status = (enum chi_status)in->why, .in = &in->pub};
    } else if (x->done) {
        event_done(x, out);
    } else if (!list_empty(&x->ended)) {
        x->gone = LIST_ENTRY(x->ended.next, struct msg_in, link);
        list_remove(&x->gone->link);
        *out = (struct xfer_event){.kind = XFER_ANSWERED, .node = x->gone->pub.node, .in = &x->gone->pub};
    } else if (!list_empty(&x->more)) {
        struct msg_in *in = LIST_ENTRY(x->more.next, struct msg_in, more);
        list_remove(&in->more);
        *out = (struct xfer_event){.kind = XFER_MORE, .node = in->pub.node, .in = &in->pub};
    } else {
        return false;
    }
    return true;
}

/* --- time */

void xfer_tick(struct xfer *x, uint64_t now)
{
    struct wheel_entry *e;
    xfer_release(x);
    x->now_ns = now;
    while ((e = wheel_expire(&x->deadlines, now))) {
        struct xfer_out *m = LIST_ENTRY(e, struct xfer_out, timer);
        bool never = !m->state && !m->peer->send; /* no slot, and no way */
        out_cancel(x, m, never ? CHI_STATUS_UNREACHABLE : CHI_STATUS_DEADLINE);
    }
    while (timers_next(&x->timers) <= now) {
        struct timer *t = x->timers.heap[1];
        if (t->kind == TIMER_SESSION)
            session_tick(LIST_ENTRY(t, struct xfer_session, timer), now);
        else
            peer_tick(x, LIST_ENTRY(t, struct xfer_peer, timer), now);
    }
    in_tick(x, now);
    room_tick(x, now);
    attach_tick(x);
    x->tick_ns = now;
}

uint64_t xfer_deadline(const struct xfer *x)
{
    if (xfer_has_events(x) || x->control_count || !list_empty(&x->ready))
        return 0;
    uint64_t when = timers_next(&x->timers), next = wheel_next(&x->deadlines);
    if (next < when)
        when = next;
    next = room_deadline(x);
    if (next < when)
        when = next;
    next = attach_deadline(x);
    return next < when ? next : when;
}

/* --- the end */

static void close_peer(struct xfer *x, struct xfer_peer *p)
{
    p->send = NULL;
    p->dialing = false;
    while (p->waiting)
        out_end(x, p->waiting, CHI_STATUS_SHUTDOWN, NULL, 0);
    for (struct link *l = p->sessions.next; l != &p->sessions; l = l->next) {
        struct xfer_session *s = LIST_ENTRY(l, struct xfer_session, of_peer);
        if (!s->live)
            continue;
        for (uint32_t i = 0; i < x->config.slots; i++) {
            if (s->out[i].m)
                out_end(x, s->out[i].m, CHI_STATUS_SHUTDOWN, NULL, 0);
            if (s->in[i].in)
                in_orphan(s->in[i].in, x, CHI_STATUS_SHUTDOWN);
        }
        s->close_due = true;
        session_wake(s);
    }
}

void xfer_shutdown(struct xfer *x, uint64_t now)
{
    x->now_ns = now;
    x->closed = true;
    x->control_count = 0;
    for (uint32_t i = 0; i < x->peer_count; i++)
        close_peer(x, &x->peers[i]);
}
