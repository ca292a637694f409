/* hello.c - how two workers get to know each other, and notice that the other one restarted.
 *
 *     A: HELLO session=a, no echo           ->  B: offers b, stores nothing of A
 *     B: HELLO session=b, echo a and A's incarnation, reply wanted
 *     A: echo right: live with (a, b)       ->  A: HELLO session=a, echo b and B's incarnation
 *     B: echo right: live with (b, a)
 *
 * Session ids are unguessable, so an echo proves that its sender saw our HELLO: a forged packet can neither begin a session nor
 * end one.  The id of a live session and the one that is offered differ, so a HELLO without echo, as of a peer that restarted,
 * leaves the live session alone until the echo of the offered id comes. */
#include <string.h>

#include "xfer_int.h"

enum { HINT_SESSION = 1 }; /* in a HELLO that tells the number of workers only: nobody uses it */

static void send_hello(struct xfer *x, const struct xfer_addr *to, uint32_t session, const struct wire_hello *answered, uint8_t flags)
{
    const struct xfer_config *c = &x->config;
    struct wire_hello h = {
        .incarnation = c->incarnation,
        .node = c->node,
        .session = session,
        .worker = c->worker,
        .workers = c->workers,
        .packet_max = c->packet_max,
        .slots = c->slots,
        .credit = c->credit_bytes,
        .flags = flags | WIRE_HELLO_ECN | WIRE_HELLO_PAD | WIRE_HELLO_PORT,
    };
    if (answered) {
        h.peer_incarnation = answered->incarnation;
        h.peer_session = answered->session;
    }
    while (h.cluster_length < WIRE_CLUSTER_MAX && c->cluster[h.cluster_length])
        h.cluster_length++;
    memcpy(h.cluster, c->cluster, h.cluster_length);
    control_hello(x, to, &h);
}

/* The id on offer was given to another life of the peer, which may have used it already: packets of it may be on their way, and must
 * not be taken for those of the one that says this HELLO. */
static bool offered_to_another(const struct xfer_session *s, const struct wire_hello *h)
{
    return s->offered_incarnation && s->offered_incarnation != h->incarnation;
}

static void offer(struct xfer_session *s, const struct wire_hello *answered, uint64_t now)
{
    if (answered && offered_to_another(s, answered))
        session_offer_fresh(s);
    if (answered)
        s->offered_incarnation = answered->incarnation;
    s->hello_ns = now;
    s->hellos++;
    send_hello(s->x, &s->addr, s->offer_id, answered, WIRE_HELLO_REPLY_WANTED);
}

void hello_dial(struct xfer_session *s, uint64_t now) { offer(s, NULL, now); }

static bool same_cluster(const struct xfer *x, const struct wire_hello *h)
{
    return memcmp(x->config.cluster, h->cluster, h->cluster_length) == 0 && !x->config.cluster[h->cluster_length];
}

/* True when this worker and that one talk to each other: one of them is the other's counterpart (peer.c). */
static bool is_pair(const struct xfer *x, const struct wire_hello *h)
{
    return h->worker % x->config.workers == x->config.worker || x->config.worker % h->workers == h->worker;
}

/* The sender does not say that it knows us. */
static enum chi_drop hello_first(struct xfer *x, struct xfer_peer *p, const struct wire_hello *h, uint64_t now)
{
    if (!is_pair(x, h)) {
        struct xfer_addr to = p->addr;
        to.port = (uint16_t)(to.port + h->worker);
        send_hello(x, &to, HINT_SESSION, h, 0);
        return CHI_DROP_NONE;
    }
    struct xfer_session *s = session_get(x, p, h->worker);
    if (!s)
        return CHI_DROP_NO_MEMORY;
    if (s->live && s->peer_incarnation == h->incarnation && s->peer_session == h->session)
        send_hello(x, &s->addr, s->live_id, h, 0); /* our last HELLO did not reach it */
    else
        offer(s, h, now);
    return CHI_DROP_NONE;
}

static enum chi_drop hello_echo(struct xfer *x, struct xfer_peer *p, const struct wire_hello *h, uint64_t now)
{
    struct xfer_session *s = session_by_id(x, h->peer_session);
    if (h->peer_incarnation != x->config.incarnation)
        return CHI_DROP_INCARNATION;
    if (!s || s->peer != p || s->worker != h->worker)
        return CHI_DROP_SESSION_UNKNOWN;
    if (h->peer_session == s->offer_id) {
        if (!is_pair(x, h)) {
            bool news = p->workers != h->workers;
            p->workers = h->workers;
            if (news)
                peer_redial(x, p, now);
            return CHI_DROP_NONE;
        }
        if (offered_to_another(s, h)) {
            offer(s, h, now);
            return CHI_DROP_NONE;
        }
        session_establish(s, h, now);
    } else if (!s->live || h->peer_session != s->live_id || h->incarnation != s->peer_incarnation ||
               h->session != s->peer_session) {
        return CHI_DROP_SESSION_UNKNOWN;
    }
    if (h->flags & WIRE_HELLO_REPLY_WANTED)
        send_hello(x, &s->addr, s->live_id, h, 0);
    return CHI_DROP_NONE;
}

enum chi_drop hello_rx(struct xfer *x, const struct xfer_addr *from, const uint8_t *p, size_t n, uint64_t now)
{
    struct wire_hello h;
    enum chi_drop d = wire_get_hello(p, n, &h);
    if (d != CHI_DROP_NONE)
        return d;
    if (!same_cluster(x, &h)) {
        control_refuse(x, from, WIRE_REFUSE_CLUSTER, h.session, now);
        return CHI_DROP_CLUSTER;
    }
    struct xfer_peer *peer = peer_find(x, h.node);
    if (!peer) {
        if (h.node != x->config.node)
            control_refuse(x, from, WIRE_REFUSE_UNKNOWN_NODE, h.session, now);
        return CHI_DROP_PEER_UNKNOWN;
    }
    if (!way_known(peer, from->ip))
        return CHI_DROP_ADDRESS;
    if (peer->addr.ip != from->ip)
        way_heard(x, peer, from->ip);
    d = h.peer_session ? hello_echo(x, peer, &h, now) : hello_first(x, peer, &h, now);
    peer->stats.drops[d] += d != CHI_DROP_NONE;
    return d;
}

/* --- refusals: believed only when they name an id that went to their sender */

static enum chi_drop version_refused(struct xfer *x, const struct xfer_addr *from)
{
    enum chi_drop d = CHI_DROP_SESSION_UNKNOWN;
    for (uint32_t i = 0; i < x->peer_count; i++) { /* another version's HELLO cannot be read, so nothing is echoed */
        struct xfer_peer *p = &x->peers[i];
        if (!way_known(p, from->ip) || !p->dialing)
            continue;
        d = CHI_DROP_NONE;
        if (!p->foreign)
            p->foreign = p->attempts; /* the peer checks no CRC then: one HELLO may have been damaged, not two */
        else if (p->foreign != p->attempts)
            peer_refused(x, p, CHI_STATUS_PEER_VERSION);
    }
    return d;
}

/* The peer knows nothing of a session that lives here: it restarted.  The session ends when the new handshake is done. */
static enum chi_drop session_refused(struct xfer *x, const struct xfer_addr *from, const struct wire_refuse *r, uint64_t now)
{
    struct xfer_peer *p = peer_find(x, r->node);
    if (!p || !way_known(p, from->ip))
        return CHI_DROP_PEER_UNKNOWN;
    for (struct link *l = p->sessions.next; l != &p->sessions; l = l->next) {
        struct xfer_session *s = LIST_ENTRY(l, struct xfer_session, of_peer);
        if (!s->live || s->peer_session != r->session)
            continue;
        if (p->send == s)
            p->send = NULL;
        if (!s->hellos || now - s->hello_ns >= x->config.hello_retry_ns)
            hello_dial(s, now);
        peer_push(x, p, now);
        return CHI_DROP_NONE;
    }
    return CHI_DROP_SESSION_UNKNOWN;
}

enum chi_drop refuse_rx(struct xfer *x, const struct xfer_addr *from, const uint8_t *p, size_t n, uint64_t now)
{
    struct wire_refuse r;
    enum chi_drop d = wire_get_refuse(p, n, &r);
    if (d != CHI_DROP_NONE)
        return d;
    if (r.reason == WIRE_REFUSE_VERSION)
        return version_refused(x, from);
    if (r.reason == WIRE_REFUSE_SESSION)
        return session_refused(x, from, &r, now);
    struct xfer_session *s = session_by_id(x, r.session);
    if (!s || s->offer_id != r.session || !s->hellos)
        return CHI_DROP_SESSION_UNKNOWN;
    if (!way_known(s->peer, from->ip))
        return CHI_DROP_ADDRESS;
    peer_refused(x, s->peer, r.reason == WIRE_REFUSE_CLUSTER ? CHI_STATUS_PEER_CLUSTER : CHI_STATUS_NO_NODE);
    return CHI_DROP_NONE;
}
