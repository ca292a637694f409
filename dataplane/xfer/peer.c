/* peer.c - the nodes of the cluster: who waits for them, and how a session with one begins.
 *
 * Worker w here talks to worker `w % workers` there, so that both ends find the same pair without talking about it.  How many
 * workers a node has is known from its first HELLO alone: the first one goes to worker w, which exists where all nodes are alike,
 * and every second repetition to worker 0, which always exists.  Worker 0 tells a worker that is not its counterpart the
 * number and nothing else (hello.c); the next HELLO then goes to the right one. */
#include <errno.h>
#include <string.h>

#include "xfer_int.h"

static uint32_t hash(uint32_t node) { return (node * 0x9e3779b1u) >> 7; }

struct xfer_peer *peer_find(const struct xfer *x, uint32_t node)
{
    for (uint32_t i = hash(node) & x->peer_mask; x->peer_table[i]; i = (i + 1) & x->peer_mask)
        if (x->peer_table[i]->node == node)
            return x->peer_table[i];
    return NULL;
}

static void table_add(struct xfer *x, struct xfer_peer *p)
{
    uint32_t i = hash(p->node) & x->peer_mask;
    while (x->peer_table[i]) /* the table has twice as many places as there are peers */
        i = (i + 1) & x->peer_mask;
    x->peer_table[i] = p;
}

/* A new record, or that of a removed peer of which no message is left; NULL: there is none. */
static struct xfer_peer *peer_add(struct xfer *x, uint32_t node)
{
    struct xfer_peer *p = x->peers, *end = x->peers + x->peer_count;
    while (p < end && (p->node || p->stats.open_in))
        p++;
    if (p == end) {
        if (x->peer_count == x->config.peers_max)
            return NULL;
        x->peer_count++;
    }
    *p = (struct xfer_peer){.node = node, .timer = {.kind = TIMER_PEER}};
    list_init(&p->sessions);
    list_init(&p->news);
    list_init(&p->waiting_in);
    list_init(&p->hungry);
    table_add(x, p);
    return p;
}

int xfer_peer_set(struct xfer *x, uint32_t node, const struct xfer_addr *addr) { return xfer_peer_paths(x, node, addr, 1); }

int xfer_peer_paths(struct xfer *x, uint32_t node, const struct xfer_addr *paths, uint32_t n)
{
    if (node == x->config.node)
        return -EINVAL;
    struct xfer_peer *p = peer_find(x, node);
    if (!p)
        p = peer_add(x, node);
    if (!p)
        return -ENOSPC;
    way_set(x, p, paths, n);
    return 0;
}

void xfer_paths_changed(struct xfer *x, uint64_t now)
{
    x->now_ns = now;
    for (uint32_t i = 0; i < x->peer_count; i++)
        if (x->peers[i].node) {
            x->peers[i].hold_ns = 0;
            way_first(x, &x->peers[i]);
        }
}

int xfer_peer_remove(struct xfer *x, uint32_t node, uint64_t now)
{
    struct xfer_peer *p = peer_find(x, node);
    if (!p)
        return -ENOENT;
    x->now_ns = now;
    alive_down(x, p);
    while (!list_empty(&p->sessions))
        session_release(LIST_ENTRY(p->sessions.next, struct xfer_session, of_peer));
    list_remove(&p->news);
    for (struct xfer_out *m = x->kept; m; m = m->next) /* its record may be another one's when they are done */
        if (m->peer == p)
            m->peer = NULL;
    p->dialing = false;
    if (p->timer.place)
        timers_later(&x->timers, &p->timer, UINT64_MAX);
    p->node = 0;
    memset(x->peer_table, 0, (x->peer_mask + 1) * sizeof x->peer_table[0]);
    for (uint32_t i = 0; i < x->peer_count; i++)
        if (x->peers[i].node)
            table_add(x, &x->peers[i]);
    return 0;
}

int xfer_peer_drain(struct xfer *x, uint32_t node)
{
    struct xfer_peer *p = peer_find(x, node);
    if (!p)
        return -ENOENT;
    p->draining = true;
    return 0;
}

/* --- messages without a slot */

void peer_wait(struct xfer_peer *p, struct xfer_out *m, bool first)
{
    p->stats.waiting_out++;
    m->peer = p;
    m->state = NULL;
    m->prev = first ? NULL : p->waiting_last;
    m->next = first ? p->waiting : NULL;
    if (m->prev)
        m->prev->next = m;
    else
        p->waiting = m;
    if (m->next)
        m->next->prev = m;
    else
        p->waiting_last = m;
}

void peer_wait_remove(struct xfer_peer *p, struct xfer_out *m)
{
    p->stats.waiting_out--;
    if (m->prev)
        m->prev->next = m->next;
    else
        p->waiting = m->next;
    if (m->next)
        m->next->prev = m->prev;
    else
        p->waiting_last = m->prev;
    m->prev = m->next = NULL;
}

void peer_push(struct xfer *x, struct xfer_peer *p, uint64_t now)
{
    struct xfer_session *s = p->send;
    if (!s) {
        if (p->waiting)
            peer_dial(x, p, now);
        return;
    }
    while (p->waiting && s->out_free_count) {
        struct xfer_out *m = p->waiting;
        peer_wait_remove(p, m);
        out_open(s, m);
    }
}

/* --- dialing */

static void dial_once(struct xfer *x, struct xfer_peer *p, uint64_t now)
{
    uint16_t worker = x->config.worker;
    if (p->attempts % 2)
        worker = 0;
    else if (p->workers)
        worker = worker % p->workers;
    uint32_t shift = p->attempts < 4 ? p->attempts : 4;
    if (p->attempts && p->attempts % WAY_TRIES == 0)
        way_next(x, p);
    else
        way_check(x, p);
    p->attempts++;
    p->hello_ns = now;
    p->dial_ns = now + (x->config.hello_retry_ns << shift);
    timers_set(&x->timers, &p->timer, p->dial_ns);
    struct xfer_session *s = session_get(x, p, worker);
    if (s) /* else: no record free now, tried again */
        hello_dial(s, now);
}

void peer_dial(struct xfer *x, struct xfer_peer *p, uint64_t now)
{
    if (p->dialing || x->closed)
        return;
    p->dialing = true;
    p->refused = false;
    p->attempts = p->foreign = 0;
    uint64_t earliest = p->hello_ns ? p->hello_ns + x->config.hello_retry_ns : 0;
    if (earliest <= now) {
        dial_once(x, p, now);
        return;
    }
    p->dial_ns = earliest; /* it was dialed a moment ago, in vain */
    timers_set(&x->timers, &p->timer, p->dial_ns);
}

void peer_redial(struct xfer *x, struct xfer_peer *p, uint64_t now)
{
    if (!p->dialing || p->send || !p->waiting)
        return;
    p->attempts = p->foreign = 0;
    dial_once(x, p, now);
}

void peer_tick(struct xfer *x, struct xfer_peer *p, uint64_t now)
{
    if (p->dialing && p->dial_ns <= now) {
        if (p->waiting && !p->send)
            dial_once(x, p, now);
        else
            p->dialing = false;
    }
    if (p->watched && p->alive_ns <= now)
        alive_tick(x, p, now);
    uint64_t when = p->dialing ? p->dial_ns : UINT64_MAX;
    if (p->watched && p->alive_ns < when)
        when = p->alive_ns;
    if (p->timer.place)
        timers_later(&x->timers, &p->timer, when);
}

void peer_refused(struct xfer *x, struct xfer_peer *p, enum chi_status status)
{
    p->dialing = false;
    p->refused = !p->send;
    while (p->waiting)
        out_end(x, p->waiting, status, NULL, 0);
}

/* --- figures */

static void fill_stats(const struct xfer_peer *p, struct xfer_peer_stats *out)
{
    *out = p->stats;
    out->node = p->node;
    out->incarnation = p->incarnation;
    out->state = p->send ? XFER_PEER_READY : p->refused ? XFER_PEER_REFUSED : p->down ? XFER_PEER_SILENT :
                 p->dialing ? XFER_PEER_HELLO : XFER_PEER_IDLE;
    for (const struct link *l = p->sessions.next; l != &p->sessions; l = l->next) {
        const struct xfer_session *s = LIST_ENTRY(l, struct xfer_session, of_peer);
        if (!s->live)
            continue;
        out->in_flight += s->sent.in_flight;
        out->in_flight_bytes += s->cc.in_flight;
        out->cuts += s->cc.cuts;
        if (out->state == XFER_PEER_IDLE)
            out->state = XFER_PEER_READY; /* it talks to us, we never to it */
        if (s == p->send || !out->srtt_ns) {
            out->srtt_ns = s->rtt.srtt_ns;
            out->rtt_min_ns = s->rtt.min_ns;
            out->window = s->cc.window;
            out->packet_bytes = s->packet_bytes;
        }
    }
}

unsigned xfer_stats(const struct xfer *x, struct xfer_peer_stats *out, unsigned n)
{
    unsigned count = 0;
    for (unsigned i = 0; i < x->peer_count; i++) {
        if (!x->peers[i].node)
            continue;
        if (count < n)
            fill_stats(&x->peers[i], &out[count]);
        count++;
    }
    return count;
}

bool xfer_stats_of(const struct xfer *x, uint32_t node, struct xfer_peer_stats *out)
{
    const struct xfer_peer *p = peer_find(x, node);
    if (p)
        fill_stats(p, out);
    return p != NULL;
}

static void fill_session(const struct xfer_session *s, struct xfer_session_stats *out)
{
    *out = (struct xfer_session_stats){
        .worker = s->worker,
        .packet_bytes = s->packet_bytes,
        .sends = s == s->peer->send,
        .paced = s->cc.throttled,
        .srtt_ns = s->rtt.srtt_ns,
        .rtt_var_ns = s->rtt.var_ns,
        .rtt_min_ns = s->rtt.min_ns,
        .pto_ns = loss_pto_ns(s),
        .window = s->cc.window,
        .in_flight_bytes = s->cc.in_flight,
        .in_flight = s->sent.in_flight,
        .probes = s->pto_count,
        .credit = s->credit,
        .unasked = s->unasked,
        .open_out = s->out_slots - s->out_free_count,
    };
}

unsigned xfer_sessions_of(const struct xfer *x, uint32_t node, struct xfer_session_stats *out, unsigned n)
{
    const struct xfer_peer *p = peer_find(x, node);
    unsigned count = 0;
    for (const struct link *l = p ? p->sessions.next : NULL; p && l != &p->sessions; l = l->next) {
        const struct xfer_session *s = LIST_ENTRY(l, struct xfer_session, of_peer);
        if (s->live && count++ < n)
            fill_session(s, &out[count - 1]);
    }
    return count;
}
