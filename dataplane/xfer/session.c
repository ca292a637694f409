/* session.c - the records of what is shared with one worker of a peer: how they come to life and end. */
#include <string.h>

#include "window.h"
#include "xfer_int.h"

/* A session id: this record's index in the low bits, the rest unguessable; never 0. */
static uint32_t fresh_id(struct xfer *x, const struct xfer_session *s)
{
    uint32_t id;
    do {
        id = ((uint32_t)prng_next(&x->prng) & ~x->session_mask) | (uint32_t)(s - x->sessions);
    } while (id == 0 || id == s->live_id || id == s->offer_id);
    return id;
}

void session_offer_fresh(struct xfer_session *s)
{
    s->offer_id = fresh_id(s->x, s);
    s->hellos = 0;
    s->offered_incarnation = 0;
}

struct xfer_session *session_by_id(const struct xfer *x, uint32_t id)
{
    uint32_t i = id & x->session_mask;
    return i < x->session_count && x->sessions[i].peer ? &x->sessions[i] : NULL;
}

struct xfer_session *session_find(const struct xfer_peer *p, uint16_t worker)
{
    for (struct link *l = p->sessions.next; l != &p->sessions; l = l->next) {
        struct xfer_session *s = LIST_ENTRY(l, struct xfer_session, of_peer);
        if (s->worker == worker)
            return s;
    }
    return NULL;
}

void session_set_addr(struct xfer_session *s)
{
    s->addr = s->peer->addr;
    s->addr.port = (uint16_t)(s->addr.port + s->worker);
    s->attach = (struct attach){0}; /* another port, perhaps */
}

/* A record that may be used for another worker of p's, or NULL. */
static struct xfer_session *unused(struct xfer *x, const struct xfer_peer *p)
{
    struct xfer_session *own = &x->sessions[p - x->peers];
    if (!own->peer)
        return own;
    if (!list_empty(&x->spare))
        return LIST_ENTRY(x->spare.next, struct xfer_session, link);
    return own->live ? NULL : own;
}

struct xfer_session *session_get(struct xfer *x, struct xfer_peer *p, uint16_t worker)
{
    struct xfer_session *s = session_find(p, worker);
    if (!s) {
        s = unused(x, p);
        if (!s)
            return NULL;
        list_remove(&s->of_peer);
        s->peer = p;
        s->worker = worker;
        session_offer_fresh(s);
        session_set_addr(s);
        list_push(&p->sessions, &s->of_peer);
    }
    if (!s->live && session_is_shared(s))
        list_to_tail(&x->spare, &s->link);
    return s;
}

void session_release(struct xfer_session *s)
{
    CHI_ASSERT(!s->live);
    list_remove(&s->of_peer);
    s->peer = NULL;
    s->offer_id = 0;
    s->hellos = 0;
}

/* Memory of a session that was never live is not touched before.  out_slots: how many messages of ours the peer keeps records
 * for. */
static void clear(struct xfer_session *s, uint32_t out_slots)
{
    const struct xfer_config *c = &s->x->config;
    sentmap_init(&s->sent, s->sent.ring, s->sent.window, s->sent.refs, s->sent.refs_max);
    ranges_init(&s->got);
    s->unasked = 0;
    for (uint32_t i = 0; i < c->slots; i++) {
        s->in[i] = (struct in_slot){.session = s};
        list_init(&s->in[i].link);
        s->out[i] = (struct out_slot){.session = s, .index = i};
        list_init(&s->out[i].flow.link);
    }
    for (uint32_t i = 0; i < out_slots; i++)
        s->out_free[i] = out_slots - 1 - i; /* the first message takes slot 0 */
    s->out_slots = s->out_free_count = out_slots;
    s->rtt = (struct rtt){0};
    s->reordering = LOSS_REORDERING;
    s->lateness = LOSS_LATENESS;
    s->next_number = 1;
    s->largest_acked = s->eliciting_ns = s->loss_ns = s->floor = s->rx_largest = s->rx_largest_ns = s->ack_ns = 0;
    s->pto_count = s->ack_count = 0;
    s->ack_due = s->close_due = s->ping_due = s->urgent = s->notices = s->wish_due = false;
    s->source = s->wish = s->strays = 0;
    s->wish_ns = s->x->now_ns;
}

/* The other sessions with the node were those of another life. */
static void end_others(struct xfer_peer *p, uint64_t incarnation)
{
    for (struct link *l = p->sessions.next; l != &p->sessions; l = l->next) {
        struct xfer_session *s = LIST_ENTRY(l, struct xfer_session, of_peer);
        if (s->live && s->peer_incarnation != incarnation)
            session_end(s, CHI_STATUS_PEER_RESTARTED);
    }
}

static void hello_sample(struct xfer_session *s, uint64_t rtt_ns)
{
    loss_sample(s, rtt_ns, 0);
    cc_acked(&s->cc, &(struct cc_ack){.rtt_ns = s->rtt.latest_ns, .next_number = s->next_number}, s->x->now_ns);
}

void session_establish(struct xfer_session *s, const struct wire_hello *h, uint64_t now)
{
    struct xfer *x = s->x;
    struct xfer_peer *p = s->peer;
    if (s->live) /* of the same life: it gave the session up, as it heard nothing of us */
        session_end(s, s->peer_incarnation == h->incarnation ? CHI_STATUS_PEER_DOWN : CHI_STATUS_PEER_RESTARTED);
    end_others(p, h->incarnation);
    list_remove(&s->link); /* of x->spare, if it is there */
    clear(s, h->slots && h->slots < x->config.slots ? h->slots : x->config.slots);
    s->live = true;
    s->live_id = s->offer_id;
    s->credit = h->credit;
    s->peer_session = h->session;
    s->peer_incarnation = h->incarnation;
    path_init(s, h);
    if (s->hellos == 1)
        hello_sample(s, now - s->hello_ns);
    session_offer_fresh(s);

    p->incarnation = h->incarnation;
    p->workers = h->workers;
    if (s->worker == x->config.worker % h->workers) {
        p->send = s;
        p->dialing = p->refused = false;
    }
    p->down = false;
    alive_heard(p, now);
    if (!list_linked(&p->news))
        list_push(&x->news, &p->news);
    peer_push(x, p, now);
    session_wake(s);
}

/* Takes the messages that did not go out of their slots, to wait again: before those that came later, in their order. */
static void take_back(struct xfer_session *s)
{
    for (struct link *l = s->fresh.prev, *before; l != &s->fresh; l = before) {
        struct flow *f = LIST_ENTRY(l, struct flow, link);
        before = l->prev;
        if (f->answer)
            continue;
        struct out_slot *o = flow_out(f);
        list_remove(l);
        s->peer->stats.tasks_out--;
        s->peer->stats.open_out--;
        peer_wait(s->peer, o->m, true);
        o->m = NULL;
    }
}

void session_end(struct xfer_session *s, enum chi_status status)
{
    struct xfer *x = s->x;
    if (s->peer->send == s)
        s->peer->send = NULL;
    s->live = false;
    s->live_id = 0;
    s->peer->stats.cuts += s->cc.cuts;
    list_remove(&s->link);
    if (session_is_shared(s))
        list_push(&x->spare, &s->link);
    if (status != CHI_STATUS_SHUTDOWN)
        take_back(s);
    for (uint32_t i = 0; i < x->config.slots; i++)
        if (s->out[i].m)
            out_end(x, s->out[i].m, status, NULL, 0);
    for (uint32_t i = 0; i < x->config.slots; i++) {
        in_forget(s, &s->in[i], status);
        list_remove(&s->out[i].flow.link);
    }
    CHI_ASSERT(list_empty(&s->fresh) && list_empty(&s->again) && list_empty(&s->bulk) && list_empty(&s->grants));
}

void session_wake_up(struct xfer_session *s)
{
    if (!s->live || list_linked(&s->link))
        return;
    bool wanted = window_wanted(s) && window_room(s);
    if (s->ack_due || s->close_due || (wanted && window_open(s)))
        list_push(&s->x->ready, &s->link);
    else if (wanted)
        timers_set(&s->x->timers, &s->timer, cc_next_ns(&s->cc));
}

void session_notice(struct xfer_session *s)
{
    s->notices = true;
    session_wake(s);
}

static uint64_t alarm_of(const struct xfer_session *s)
{
    if (!s->live)
        return UINT64_MAX;
    uint64_t when = loss_alarm(s);
    uint64_t paced = cc_next_ns(&s->cc);
    if (paced > s->x->now_ns && paced < when && window_wanted(s) && window_room(s))
        when = paced;
    return s->ack_ns && !s->ack_due && s->ack_ns < when ? s->ack_ns : when;
}

void session_alarm_set(struct xfer_session *s) { timers_set(&s->x->timers, &s->timer, alarm_of(s)); }

void session_tick(struct xfer_session *s, uint64_t now)
{
    if (s->live) {
        if (s->ack_ns && s->ack_ns <= now)
            s->ack_due = true;
        loss_tick(s, now);
        session_wake(s);
    }
    if (!s->timer.place)
        return;
    uint64_t when = alarm_of(s);
    timers_later(&s->x->timers, &s->timer, when > now ? when : now + 1);
}
