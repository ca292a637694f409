/* tx.c - DATA packets that go out: an acknowledgement, then frames.
 *
 * Lost frames first, then messages that begin again, new ones, and bulk in turns; but two packets of four begin elsewhere, so that
 * frames which a peer refuses for lack of memory, again and again, never keep back those that would set it free.
 * A peer acknowledges no packet of which it refused a part.  So when frames are sent again, what it may refuse does not share a
 * packet with what must be acknowledged to go on: answers go without inputs, and a head whose segments wait for it, or an answer's
 * that needs memory at its origin, goes alone. */
#include "window.h"
#include "xfer_int.h"

static inline uint32_t room(const struct pack *k) { return k->end - k->at; }

/* A message's head, and its segments too where all of them fit; else they queue up behind the other bulk.
 * An answer's segments go before its head: its origin then has all of it when the head comes, and keeps nothing aside. */
static enum flow_put pack_head(struct xfer_session *s, struct flow *f, struct pack *k)
{
    if (f->answer && flow_in(f)->pub.nregions && flow_left(f) && flow_rest(f) + flow_answer_head(f) <= room(k))
        while (flow_segment(s, f, k))
            ;
    enum flow_put put = flow_head(s, f, k);
    if (put == FLOW_TOO_BIG)
        out_end(s->x, flow_out(f)->m, CHI_STATUS_TOO_BIG, NULL, 0);
    if (put != FLOW_DONE)
        return put;
    list_remove(&f->link);
    if (flow_left(f) && flow_rest(f) <= room(k))
        while (flow_segment(s, f, k))
            ;
    if (flow_left(f) && !f->careful)
        list_push(&s->bulk, &f->link);
    return FLOW_DONE;
}

static void pack_lost(struct xfer_session *s, struct pack *k)
{
    bool answers = false;
    while (s->sent.lost != SENTMAP_NONE) {
        const struct frame_ref *r = &s->sent.refs[s->sent.lost];
        bool live = flow_ref_live(s, r), first = k->refs == k->base;
        bool alone = live && r->type == WIRE_FRAME_TASK_OUT && r->length > XFER_BODY_SMALL;
        if (live && !first && (alone || r->answer != answers))
            return;
        if (live)
            answers = r->answer;
        if (flow_again(s, k) == FLOW_FULL || alone)
            return;
    }
}

static void pack_again(struct xfer_session *s, struct pack *k)
{
    while (!list_empty(&s->again)) {
        struct flow *f = LIST_ENTRY(s->again.next, struct flow, link);
        const struct xfer_out *m = flow_out(f)->m;
        bool alone = flow_rest(f) || (!m->write && m->form_length > k->limit - WIRE_BYTES_TASK_IN);
        if (alone && k->refs != k->base)
            return;
        if (pack_head(s, f, k) == FLOW_FULL || alone)
            return;
    }
}

static void pack_new(struct xfer_session *s, struct pack *k)
{
    for (;;) {
        flow_lasts(s, k);
        if (list_empty(&s->fresh))
            return;
        struct flow *f = LIST_ENTRY(s->fresh.next, struct flow, link);
        if (f->last || pack_head(s, f, k) == FLOW_FULL)
            return;
    }
}

static void pack_bulk(struct xfer_session *s, struct pack *k)
{
    while (!list_empty(&s->bulk)) {
        struct flow *f = LIST_ENTRY(s->bulk.next, struct flow, link);
        if (!flow_segment(s, f, k))
            return;
        if (!flow_left(f)) {
            list_remove(&f->link);
        } else if (f->turn_bytes >= s->x->config.quantum_bytes) {
            f->turn_bytes = 0;
            list_to_tail(&s->bulk, &f->link);
        }
    }
}

static void pack_data(struct xfer_session *s, struct pack *k)
{
    enum { LOST, AGAIN, BULK };
    static const uint8_t begin[] = {LOST, AGAIN, LOST, BULK};
    uint8_t first = begin[s->turn++ % 4];
    bool alone = s->ping_due;
    if (s->notices)
        flow_notices(s, k);
    k->base = k->refs;
    if (CHI_UNLIKELY(alone)) /* a packet with a segment that finds no place there is not acknowledged */
        return;
    if (first == BULK)
        pack_bulk(s, k);
    else if (first == AGAIN)
        pack_again(s, k);
    if (k->refs == k->base)
        pack_lost(s, k);
    if (k->refs == k->base)
        pack_again(s, k);
    if (k->refs != k->base)
        return;
    pack_new(s, k);
    pack_bulk(s, k);
}

static void seal_and_send(struct xfer_session *s, struct xfer_packet *p, const struct pack *k)
{
    struct xfer *x = s->x;
    struct wire_header h = {
        .kind = WIRE_KIND_DATA, .length = (uint16_t)k->at, .session = s->peer_session, .number = s->next_number++,
        .capable = s->path.came.capable, .marked = s->path.came.marked};
    wire_put_header(k->p, &h);
    wire_seal_tail(k->p, k->at - k->tail_length, k->tail, k->tail_length, x->host.crc32c);
    p->length = k->at;
    p->tail = k->tail;
    p->tail_length = k->tail_length;
    p->tail_users = k->tail_users;
    if (k->tail_users)
        __atomic_fetch_add(k->tail_users, 1, __ATOMIC_RELAXED);
    p->source = s->source;
    s->peer->stats.packets_tx++;
    s->peer->stats.bytes_tx += k->at;
    x->host.packet_send(x->host.ctx, &s->addr, p);
}

enum tx_result { TX_SENT, TX_NOTHING, TX_NO_PACKET };

/* Sends one packet of a session in x->ready, and takes it out of there when it has no more. */
static enum tx_result session_tx(struct xfer_session *s, uint64_t now)
{
    struct xfer *x = s->x;
    struct xfer_packet p;
    list_remove(&s->link);
    bool wanted = window_wanted(s);
    bool probe = CHI_UNLIKELY(s->path.probe_due) && !s->close_due && (s->sent.in_flight || !wanted); /* behind the first data */
    bool data = !probe && wanted && window_open(s);
    if (!data && !probe && !s->ack_due && !s->close_due)
        return TX_NOTHING;
    if (!x->host.packet_get(x->host.ctx, &p)) {
        list_push(&x->ready, &s->link);
        return TX_NO_PACKET;
    }
    CHI_ASSERT(p.cap >= s->path.most);
    p.ecn = data ? s->path.ecn : XFER_NOT_ECT;
    struct pack k = {.p = p.data, .at = WIRE_HEADER_BYTES, .refs = SENTMAP_NONE};
    k.end = CHI_UNLIKELY(s->ping_due) ? WIRE_PACKET_MIN : s->packet_bytes; /* a PING arrives where large packets do not */
    k.limit = k.end - k.at - XFER_ACK_ROOM;
    struct wire_ack ack;
    bool acked = ack_fill(s, &ack, (data ? XFER_ACK_BESIDE : WIRE_ACK_RANGES) - s->wish_due, now); /* a range is longer than a PORT */
    if (acked)
        k.at += (uint32_t)wire_put_ack(k.p + k.at, &ack);
    if (CHI_UNLIKELY(s->wish_due))
        k.at += port_put(s, k.p + k.at);
    if (s->close_due)
        k.at += (uint32_t)wire_put_close(k.p + k.at, WIRE_CLOSE_SHUTDOWN);
    else if (data)
        pack_data(s, &k);
    else if (probe)
        path_probe(s, &k);
    if (k.at == WIRE_HEADER_BYTES) { /* what was lost is wanted no more */
        s->ack_due = false;
        x->host.packet_put(x->host.ctx, &p);
        session_wake(s);
        return TX_NOTHING;
    }
    if (k.refs != SENTMAP_NONE) /* a PING alone leaves it to the probe */
        s->urgent = false;
    if (k.refs != SENTMAP_NONE) {
        struct sent sent = {.number = s->next_number, .sent_ns = now, .refs = k.refs, .bytes = (uint16_t)k.at};
        sent.ack_largest = acked ? ack.r[0].last : 0;
        if (k.tail_users) {
            sent.attached = true;
            attach_sent(s, s->next_number);
        }
        sentmap_push(&s->sent, &sent);
        cc_sent(&s->cc, k.at, now);
        s->eliciting_ns = now;
    }
    seal_and_send(s, &p, &k);
    if (acked)
        ack_sent(s);
    s->peer->stats.acks_tx += acked;
    if (s->close_due) {
        session_end(s, CHI_STATUS_SHUTDOWN);
        return TX_SENT;
    }
    session_alarm_set(s);
    session_wake(s);
    return TX_SENT;
}

unsigned xfer_tx(struct xfer *x, uint64_t now, unsigned budget)
{
    xfer_release(x);
    x->now_ns = now;
    unsigned n = control_tx(x, budget);
    for (unsigned tries = n; tries < budget && !list_empty(&x->ready); tries++) {
        enum tx_result r = session_tx(LIST_ENTRY(x->ready.next, struct xfer_session, link), now);
        if (r == TX_NO_PACKET)
            break;
        n += r == TX_SENT;
    }
    return n;
}
