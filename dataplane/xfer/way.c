/* way.c - which of a peer's addresses packets go to, where it has several.
 *
 * The first one whose port is up, as the host says.  When that port goes down or nothing comes back, the next one; all sessions with
 * the peer move, and go on: what was sent and not acknowledged goes again, over the new path.  A packet of the peer is
 * taken from each of its addresses.  After a while the first one is tried again; when it is silent still, later the next time.
 *
 * Both ends move by themselves.  So that they meet, each goes where it last heard the other one; but the node with the lower id,
 * which leads, stays for a while when it has moved, or two that move at once would pass each other again and again. */
#include "xfer_int.h"

static const uint64_t WAY_HOLD_NS = 1000000000, WAY_HOLD_MAX_NS = 64000000000;

static bool up(const struct xfer *x, const struct xfer_addr *a) { return !x->way_up || x->way_up(x->host.ctx, a); }

void xfer_watch_ways(struct xfer *x, bool (*way_up)(void *ctx, const struct xfer_addr *a)) { x->way_up = way_up; }

static void move(struct xfer *x, struct xfer_peer *p, uint32_t to)
{
    p->way = to;
    p->addr = p->ways[to];
    p->proved_bytes = 0; /* what that one carries, path.c finds out */
    p->moved_ns = x->now_ns;
    p->stats.moves++;
    for (struct link *l = p->sessions.next; l != &p->sessions; l = l->next)
        session_set_addr(LIST_ENTRY(l, struct xfer_session, of_peer));
    alive_show(p);
}

void way_set(struct xfer *x, struct xfer_peer *p, const struct xfer_addr *paths, uint32_t n)
{
    CHI_ASSERT(n >= 1 && n <= XFER_PATHS_MAX);
    for (uint32_t i = 0; i < n; i++)
        p->ways[i] = paths[i];
    p->way_count = n;
    p->way = 0;
    if (p->addr.ip != p->ways[0].ip)
        p->proved_bytes = 0;
    p->addr = p->ways[0];
    for (struct link *l = p->sessions.next; l != &p->sessions; l = l->next)
        session_set_addr(LIST_ENTRY(l, struct xfer_session, of_peer));
    p->hold_ns = 0;
    way_first(x, p);
}

bool way_known(const struct xfer_peer *p, uint32_t ip)
{
    for (uint32_t i = 0; i < p->way_count; i++)
        if (p->ways[i].ip == ip)
            return true;
    return false;
}

void way_first(struct xfer *x, struct xfer_peer *p)
{
    for (uint32_t i = 0; i < p->way_count; i++) {
        if (!up(x, &p->ways[i]))
            continue;
        if (i != p->way)
            move(x, p, i);
        return;
    }
}

/* How long the first path is left alone after this one was silent. */
static uint64_t hold(const struct xfer *x, const struct xfer_peer *p)
{
    if (!p->hold_ns || x->now_ns - p->moved_ns >= 2 * p->hold_ns)
        return WAY_HOLD_NS;
    return p->hold_ns < WAY_HOLD_MAX_NS ? 2 * p->hold_ns : p->hold_ns;
}

void way_next(struct xfer *x, struct xfer_peer *p)
{
    for (uint32_t i = 1; i < p->way_count; i++) {
        uint32_t to = (p->way + i) % p->way_count;
        if (!up(x, &p->ways[to]))
            continue;
        p->hold_ns = hold(x, p);
        move(x, p, to);
        return;
    }
}

void way_check(struct xfer *x, struct xfer_peer *p)
{
    if (p->way_count > 1 && !up(x, &p->addr))
        way_next(x, p);
}

void way_late(struct xfer *x, struct xfer_peer *p, uint32_t tries, uint64_t try_ns)
{
    bool silent = tries >= WAY_TRIES && try_ns >= x->config.pto_max_ns / 8 && x->now_ns - p->moved_ns >= WAY_TRIES * try_ns;
    if (silent)
        way_next(x, p);
    else
        way_check(x, p);
}

void way_heard(struct xfer *x, struct xfer_peer *p, uint32_t ip)
{
    bool leads = x->config.node < p->node;
    if (leads && x->now_ns - p->moved_ns < x->config.pto_max_ns)
        return;
    for (uint32_t i = 0; i < p->way_count; i++)
        if (p->ways[i].ip == ip && up(x, &p->ways[i])) {
            p->hold_ns = leads ? hold(x, p) : 0; /* it is for the one that leads to go back */
            move(x, p, i);
            return;
        }
}
