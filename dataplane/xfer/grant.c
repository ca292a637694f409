/* grant.c - room for messages that come in, and the turns of large ones.
 *
 * Room: a message gets a record and memory for all its regions, or nothing of it is kept.  Then its slot waits, and its origin hears
 * nothing but that the packet came, until a GRANT|AGAIN calls it: one message at a time, peers in turns, each peer's in the order
 * they came.  Who needs memory waits behind those who wait already, so that a large message finds room at last; but a peer that holds
 * as much as it may is not in line, and keeps nobody back.
 *
 * Turns: a message whose regions do not all come unasked is sent as far as it is granted.  At most `overcommit` messages have
 * grants at once, those with the least left (shortest remaining first, as in Homa, Montazeri et al., SIGCOMM 2018), every eighth
 * time the oldest, so that the largest is not put off for ever.  Each has grant_bytes under way. */
#include "window.h"
#include "xfer_int.h"

enum { OLDEST_EACH = 8 };

/* --- room */

/* One message of a peer's always may. */
static bool peer_may(const struct xfer *x, const struct xfer_peer *p, uint64_t bytes)
{
    uint64_t has = p->stats.memory, most = x->config.peer_memory;
    return bytes == 0 || has == 0 || (has <= most && bytes <= most - has);
}

static bool all_may(const struct xfer *x, uint64_t bytes) { return bytes <= x->config.all_memory - x->held; }

bool room_may_try(const struct xfer *x, const struct xfer_peer *p, const struct in_slot *slot, uint64_t bytes)
{
    if (CHI_LIKELY(bytes == 0))
        return true;
    if (!peer_may(x, p, bytes) || !all_may(x, bytes))
        return false;
    return slot == x->called || (list_empty(&x->hungry) && list_empty(&p->waiting_in));
}

static struct in_slot *first_of(const struct xfer_peer *p) { return LIST_ENTRY(p->waiting_in.next, struct in_slot, link); }

void room_line_changed(struct xfer *x, struct xfer_peer *p)
{
    bool in_line = !list_empty(&p->waiting_in) && peer_may(x, p, first_of(p)->needs);
    if (in_line == list_linked(&p->hungry))
        return;
    if (!in_line) {
        list_remove(&p->hungry);
        return;
    }
    if (!x->called && list_empty(&x->hungry))
        x->room_ns = x->now_ns + XFER_ROOM_NS;
    list_push(&x->hungry, &p->hungry);
}

/* Calls the first message of the next peer in line. */
static void call_next(struct xfer *x)
{
    if (list_empty(&x->hungry))
        return;
    struct xfer_peer *p = LIST_ENTRY(x->hungry.next, struct xfer_peer, hungry);
    if (!all_may(x, first_of(p)->needs)) {
        x->room_ns = UINT64_MAX; /* when so much is given back; none overtakes it */
        return;
    }
    list_to_tail(&x->hungry, &p->hungry);
    x->called = first_of(p);
    x->call_due = true;
    x->call_ns = x->now_ns + XFER_CALL_NS;
    session_notice(x->called->session);
}

void room_wait(struct xfer_session *s, struct in_slot *slot, uint64_t needs)
{
    struct xfer *x = s->x;
    struct xfer_peer *p = s->peer;
    slot->needs = needs;
    if (slot == x->called) { /* it keeps its place */
        x->called = NULL;
        x->tries++;
        x->room_ns = x->now_ns + (XFER_ROOM_NS << (x->tries < XFER_ROOM_SHIFT_MAX ? x->tries : XFER_ROOM_SHIFT_MAX));
    } else {
        slot->waiting = true;
        slot->calls = 0;
        alive_watch(x, p);
        list_push(&p->waiting_in, &slot->link);
        p->stats.waiting_in++;
    }
    room_line(x, p);
}

void room_freed(struct xfer *x)
{
    x->tries = 0;
    if (!x->called)
        call_next(x);
}

void room_wait_end(struct in_slot *slot)
{
    if (!slot->waiting)
        return;
    struct xfer_peer *p = slot->session->peer;
    struct xfer *x = slot->session->x;
    slot->waiting = false;
    list_remove(&slot->link);
    p->stats.waiting_in--;
    room_line(x, p);
    if (slot == x->called) {
        x->called = NULL;
        room_freed(x);
    } else if (x->room_ns == UINT64_MAX) {
        x->room_ns = x->now_ns; /* it may have been in the way of others */
    }
}

/* Nothing came of it: the others first; and after some times nobody there knows of it. */
static void call_in_vain(struct xfer *x)
{
    struct in_slot *slot = x->called;
    if (++slot->calls >= XFER_CALLS) {
        room_wait_end(slot);
        return;
    }
    list_to_tail(&slot->session->peer->waiting_in, &slot->link);
    x->called = NULL;
    room_line(x, slot->session->peer);
    call_next(x);
}

void room_tick(struct xfer *x, uint64_t now)
{
    if (x->called && x->call_ns <= now)
        call_in_vain(x);
    if (!x->called && x->room_ns <= now)
        call_next(x);
}

uint64_t room_deadline(const struct xfer *x)
{
    if (x->called)
        return x->call_ns;
    return list_empty(&x->hungry) ? UINT64_MAX : x->room_ns;
}

/* --- turns */

static uint64_t left(const struct msg_in *in) { return in->total - in->arrived; }

static void give(struct msg_in *in)
{
    struct xfer *x = in->session->x;
    uint64_t most = x->config.grant_bytes;
    most = left(in) < most ? in->total : in->arrived + most;
    if (most <= in->granted)
        return;
    in->granted = most;
    in_moved(x, in, x->now_ns); /* its origin was not to send before */
    if (!list_linked(&in->grant))
        list_push(&in->session->grants, &in->grant);
    session_notice(in->session);
}

static void line_up(struct xfer *x, struct msg_in *in)
{
    in->turn = (struct timer){.kind = TIMER_NONE};
    timers_set(&x->schedule, &in->turn, left(in));
    list_push(&x->aged, &in->age);
    in->peer->stats.waiting_turn++;
}

static void leave_line(struct xfer *x, struct msg_in *in)
{
    timers_later(&x->schedule, &in->turn, UINT64_MAX);
    list_remove(&in->age);
    in->peer->stats.waiting_turn--;
}

static void deactivate(struct xfer *x, uint32_t i) { x->active[i] = x->active[--x->active_count]; }

/* All of a message is granted: it needs no turn any more. */
static void settle(struct xfer *x, uint32_t i)
{
    if (x->active[i]->granted < x->active[i]->total)
        return;
    x->active[i]->scheduled = false;
    deactivate(x, i);
}

static void next_turns(struct xfer *x)
{
    while (x->active_count < x->config.overcommit && x->schedule.count) {
        struct msg_in *in = LIST_ENTRY(x->schedule.heap[1], struct msg_in, turn);
        if (++x->picks % OLDEST_EACH == 0)
            in = LIST_ENTRY(x->aged.next, struct msg_in, age);
        leave_line(x, in);
        x->active[x->active_count++] = in;
        give(in);
        settle(x, x->active_count - 1);
    }
}

/* One that has less left than one with grants takes its turn. */
static void overtake(struct xfer *x, struct msg_in *in)
{
    uint32_t longest = 0;
    for (uint32_t i = 1; i < x->active_count; i++)
        if (left(x->active[i]) > left(x->active[longest]))
            longest = i;
    if (x->active_count < x->config.overcommit || left(x->active[longest]) <= left(in))
        return;
    line_up(x, x->active[longest]);
    deactivate(x, longest);
}

void grant_begin(struct msg_in *in)
{
    struct xfer *x = in->session->x;
    in->scheduled = true;
    line_up(x, in);
    overtake(x, in);
    next_turns(x);
}

static uint32_t active_index(const struct xfer *x, const struct msg_in *in)
{
    uint32_t i = 0;
    while (i < x->active_count && x->active[i] != in)
        i++;
    return i;
}

void grant_arrived(struct msg_in *in)
{
    struct xfer *x = in->session->x;
    if (!in->scheduled || in->turn.place || in->granted > in->arrived + x->config.grant_bytes / 2)
        return;
    give(in);
    settle(x, active_index(x, in));
    next_turns(x);
}

void grant_end(struct msg_in *in)
{
    list_remove(&in->grant);
    if (!in->scheduled)
        return;
    struct xfer *x = in->session->x;
    in->scheduled = false;
    if (in->turn.place)
        leave_line(x, in);
    else
        deactivate(x, active_index(x, in));
    next_turns(x);
}
