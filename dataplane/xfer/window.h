/* window.h - whether a session may send now: records for what is out, the congestion window, and the pace.  PURE. */
#pragma once
#include "xfer_int.h"

/* True when there are frames to send. */
static inline bool window_wanted(const struct xfer_session *s)
{
    return s->sent.lost != SENTMAP_NONE || !list_empty(&s->fresh) || !list_empty(&s->bulk) || !list_empty(&s->again) ||
           s->notices;
}

/* True when one more packet with frames may be out.  A lost frame brings its own reference along.  What finds out whether the peer is
 * there goes whatever the window says (RFC 9002, 7.5): else a window full of lost packets would keep it back. */
static inline bool window_room(const struct xfer_session *s)
{
    const struct sentmap *sm = &s->sent;
    return sm->tail - sm->head < sm->window && (sm->free_count || sm->lost != SENTMAP_NONE) && (cc_room(&s->cc) || s->urgent);
}

/* True when it may go now. */
static inline bool window_open(const struct xfer_session *s)
{
    return window_room(s) && (s->urgent || cc_next_ns(&s->cc) <= s->x->now_ns);
}
