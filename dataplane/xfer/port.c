/* port.c - which source port a peer sends from.
 *
 * Where the receiver's network card spreads what comes in over its queues by a hash of addresses and ports, only the source port is
 * free: one of several makes the packet come to the queue of the worker that it is for.  Nobody here knows the hash, so it is found
 * by trial: while most packets of a session come astray, its peer is asked to send from the next of its source ports.  A wish that is
 * lost, or in vain, is followed by the next one, up to a number of them; then the packets are handed over for good.
 * A source port means nothing to who receives, so a wish of whomever does no harm. */
#include "xfer_int.h"

enum { STRAYS = 4 /* so many before a wish */, WISHES_MAX = 32 };
static const uint64_t SETTLE_NS = 20000000; /* what is under way when a wish goes out says nothing about it */

void xfer_astray(struct xfer *x, const uint8_t *p, size_t n)
{
    uint32_t id = wire_peek_session(p, n);
    struct xfer_session *s = id ? session_by_id(x, id) : NULL;
    if (!s || !s->live || s->live_id != id || !s->path.asks || s->wish == WISHES_MAX || x->now_ns < s->wish_ns)
        return;
    const uint64_t came = s->peer->stats.packets_rx;
    if (s->strays++ == 0)
        s->strays_from = came;
    if (s->strays < STRAYS)
        return;
    bool most = came - s->strays_from < 2 * STRAYS; /* some stray when a queue is full: that is no reason */
    s->strays = 0;
    if (!most)
        return;
    s->wish++;
    s->wish_due = true; /* beside the next acknowledgement */
    s->wish_ns = x->now_ns + SETTLE_NS;
}

uint32_t port_put(struct xfer_session *s, uint8_t *p)
{
    s->wish_due = false;
    return (uint32_t)wire_put_port(p, s->wish);
}
