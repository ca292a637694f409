/* window.h - how much a session may have in flight: here congestion control will decide; now it is a fixed number of packets.
 * PURE. */
#pragma once
#include "xfer_int.h"

/* True when there are frames to send. */
static inline bool window_wanted(const struct xfer_session *s)
{
    return s->sent.lost != SENTMAP_NONE || !list_empty(&s->fresh) || !list_empty(&s->bulk) || !list_empty(&s->again);
}

/* True when one more packet with frames may go.  A lost frame brings its own reference along. */
static inline bool window_open(const struct xfer_session *s)
{
    const struct sentmap *sm = &s->sent;
    return sm->tail - sm->head < sm->window && (sm->free_count || sm->lost != SENTMAP_NONE);
}
