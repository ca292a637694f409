/* rx.c - packets that come in. */
#include "xfer_int.h"

enum { QUIET = 1 << WIRE_FRAME_ACK | 1 << WIRE_FRAME_CLOSE | 1 << WIRE_FRAME_PORT }; /* frames that want no ack */

static enum chi_drop rx_frame(struct xfer_session *s, const struct wire_frame *f, uint64_t now)
{
    switch ((enum wire_frame_type)f->type) {
    case WIRE_FRAME_TASK_IN:
        return in_task(s, &f->task_in, now);
    case WIRE_FRAME_TASK_OUT:
        return out_answer(s, &f->task_out, now);
    case WIRE_FRAME_SEGMENT:
        return f->segment.flags & WIRE_SEGMENT_OUT ? out_segment(s, &f->segment, now) : in_segment(s, &f->segment, now);
    case WIRE_FRAME_ACK:
        s->peer->stats.acks_rx++;
        return loss_on_ack(s, &f->ack, now);
    case WIRE_FRAME_CLOSE:
        session_end(s, CHI_STATUS_PEER_DOWN);
        peer_push(s->x, s->peer, now); /* what did not go out yet waits for its next life */
        return CHI_DROP_NONE;
    case WIRE_FRAME_CANCEL:
        return in_cancel(s, &f->cancel);
    case WIRE_FRAME_GRANT:
        return out_grant(s, &f->grant);
    case WIRE_FRAME_PORT:
        s->source = f->port;
        return CHI_DROP_NONE;
    case WIRE_FRAME_PING:
    case WIRE_FRAME_PAD:
    case WIRE_FRAME_END:
        break;
    }
    return CHI_DROP_NONE;
}

/* All frames of a packet: one that is dropped does not touch its neighbours, but the packet is then not acknowledged. */
static enum chi_drop rx_frames(struct xfer_session *s, const uint8_t *p, size_t n, bool *eliciting, uint64_t now)
{
    struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = n};
    enum chi_drop first = CHI_DROP_NONE;
    struct wire_frame f;
    while (s->live) {
        enum chi_drop d = wire_next_frame(&c, &f);
        bool readable = d == CHI_DROP_NONE;
        if (readable && f.type == WIRE_FRAME_END)
            break;
        if (readable) {
            *eliciting |= !(QUIET >> f.type & 1);
            d = rx_frame(s, &f, now);
        }
        if (d != CHI_DROP_NONE) {
            session_drop(s, d);
            if (first == CHI_DROP_NONE)
                first = d;
        }
        if (!readable)
            break;
    }
    return first;
}

/* Counts a packet that is dropped before it is known to be of a session; for the peer whose session id and address it carries, too. */
static enum chi_drop drop_from(struct xfer *x, const struct xfer_addr *from, uint32_t session, enum chi_drop d)
{
    struct xfer_session *s = session ? session_by_id(x, session) : NULL;
    return s && s->addr.ip == from->ip ? session_drop(s, d) : xfer_drop(x, d);
}

/* The session of a packet, or NULL and why not. */
static struct xfer_session *rx_session(struct xfer *x, const struct xfer_addr *from, const struct wire_header *h, uint64_t now,
                                       enum chi_drop *d)
{
    struct xfer_session *s = session_by_id(x, h->session);
    *d = CHI_DROP_SESSION_UNKNOWN;
    if (s && s->live && s->live_id == h->session) {
        *d = CHI_DROP_ADDRESS;
        return CHI_LIKELY(s->addr.ip == from->ip) || way_known(s->peer, from->ip) ? s : NULL;
    }
    if (!s || s->offer_id != h->session) {
        control_refuse(x, from, WIRE_REFUSE_SESSION, h->session, now);
        return NULL;
    }
    /* The peer took the offer, but its HELLO that says so was lost. */
    if (s->hellos && way_known(s->peer, from->ip) && now - s->hello_ns >= x->config.pto_min_ns)
        hello_dial(s, now);
    return NULL;
}

static enum chi_drop rx_data(struct xfer *x, const struct xfer_addr *from, const uint8_t *p, const struct wire_header *h,
                             uint8_t ecn, uint64_t now)
{
    enum chi_drop d;
    struct xfer_session *s = rx_session(x, from, h, now, &d);
    if (!s)
        return drop_from(x, from, h->session, d);
    struct xfer_peer *peer = s->peer;
    peer->stats.packets_rx++;
    peer->stats.bytes_rx += h->length;
    if (h->number == 0 || h->number >> 62)
        return session_drop(s, CHI_DROP_NUMBER);
    if (CHI_UNLIKELY(!s->path.ecn_mask) && (h->capable || h->marked))
        return session_drop(s, CHI_DROP_RESERVED);
    if (ack_seen(s, h->number)) {
        peer->stats.duplicates++;
        return session_drop(s, CHI_DROP_DUPLICATE);
    }
    alive_heard(peer, now);
    ecn &= s->path.ecn_mask;
    s->path.came.capable += ecn >> 1; /* ECT(0) and CE */
    if (CHI_UNLIKELY(ecn == XFER_CE)) {
        s->path.came.marked++;
        peer->stats.marks_rx++;
    }
    if (h->number > s->path.said_number) {
        s->path.said_number = h->number;
        s->path.said = (struct path_counts){h->capable, h->marked};
    }
    if (CHI_UNLIKELY(from->ip != s->addr.ip) && h->number > s->rx_largest)
        way_heard(x, peer, from->ip);
    way_return(x, peer);
    bool eliciting = false;
    d = rx_frames(s, p, h->length, &eliciting, now);
    if (!s->live) /* it ended by a CLOSE in it */
        return d;
    if (d == CHI_DROP_NONE)
        ack_note(s, h->number, eliciting, now);
    session_alarm_set(s);
    session_wake(s);
    return d;
}

enum chi_drop xfer_rx(struct xfer *x, const struct xfer_addr *from, const uint8_t *p, size_t n, uint8_t ecn, uint64_t now)
{
    CHI_ASSERT(list_empty(&x->tasks)); /* their forms lay in the packet before */
    xfer_release(x);
    x->now_ns = now;
    if (x->closed)
        return xfer_drop(x, CHI_DROP_SESSION_UNKNOWN);
    struct wire_header h;
    enum chi_drop d = wire_open(p, n, x->host.crc32c, &h);
    if (d != CHI_DROP_NONE) {
        uint8_t version;
        if (d == CHI_DROP_VERSION && wire_peek_foreign_hello(p, n, &version))
            control_refuse(x, from, WIRE_REFUSE_VERSION, 0, now);
        return drop_from(x, from, wire_peek_session(p, n), d);
    }
    if (h.kind == WIRE_KIND_DATA) {
        d = rx_data(x, from, p, &h, ecn, now);
        return xfer_has_events(x) ? CHI_DROP_NONE : d; /* a part of it was taken */
    }
    d = h.kind == WIRE_KIND_HELLO ? hello_rx(x, from, p, n, now) : refuse_rx(x, from, p, n, now);
    return d == CHI_DROP_NONE ? d : xfer_drop(x, d);
}
