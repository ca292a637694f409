/* alive.c - whether a peer is still there.
 *
 * While something is open with a peer, and a quarter of the silence passed without a packet of it, in whatever session, it is
 * asked by a PING; and again after each further quarter.  When ALIVE_PINGS went unanswered, each for a quarter that this side
 * lived through, it is down.  A pause of our own, however long, is one quarter, because each is counted from the tick that
 * noticed the one before; and what waited in the host's ports meanwhile went into xfer_rx before that tick.
 * With nothing open there is neither traffic nor a timer. */
#include "window.h"
#include "xfer_int.h"

enum { ALIVE_PINGS = 3 };

static uint64_t quarter(const struct xfer *x) { return x->config.silence_ns / (ALIVE_PINGS + 1); }

void alive_begin(struct xfer *x, struct xfer_peer *p)
{
    p->watched = true;
    alive_heard(p, x->now_ns);
    p->alive_ns = x->now_ns + quarter(x);
    timers_set(&x->timers, &p->timer, p->alive_ns);
}

/* A live session with it, rather the one that we send in; or NULL. */
static struct xfer_session *any_session(const struct xfer_peer *p)
{
    if (p->send)
        return p->send;
    for (struct link *l = p->sessions.next; l != &p->sessions; l = l->next)
        if (LIST_ENTRY(l, struct xfer_session, of_peer)->live)
            return LIST_ENTRY(l, struct xfer_session, of_peer);
    return NULL;
}

void alive_show(struct xfer_peer *p)
{
    struct xfer_session *s = p->watched ? any_session(p) : NULL;
    if (!s)
        return;
    s->ping_due = true;
    session_notice(s);
}

void alive_down(struct xfer *x, struct xfer_peer *p)
{
    p->watched = false;
    p->down = true;
    p->stats.downs++;
    for (struct xfer_session *s; (s = any_session(p));)
        session_end(s, CHI_STATUS_PEER_DOWN);
    while (p->waiting)
        out_end(x, p->waiting, CHI_STATUS_UNREACHABLE, NULL, 0);
    if (!list_linked(&p->news))
        list_push(&x->news, &p->news);
}

void alive_tick(struct xfer *x, struct xfer_peer *p, uint64_t now)
{
    struct xfer_session *s = any_session(p);
    if (!s || !(p->stats.open_out || p->stats.open_in || p->stats.waiting_in)) {
        p->watched = false;
        return;
    }
    if (p->heard_ns + quarter(x) > now) {
        p->alive_ns = p->heard_ns + quarter(x);
        return;
    }
    if (p->pings == ALIVE_PINGS) {
        alive_down(x, p);
        return;
    }
    if (p->pings)
        way_next(x, p); /* the last one was not answered */
    p->pings++;
    p->stats.pings++;
    p->alive_ns = now + quarter(x);
    s->ping_due = s->urgent = true;
    session_notice(s);
}
