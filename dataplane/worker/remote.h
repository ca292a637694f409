/* remote.h - what the remote_queue module needs of its worker, beyond chimod.h.
 * Thread: the worker.  These symbols are visible to modules, but no part of the public API. */
#pragma once
#include "worker.h"

/* Sends a queued task: sets up its xfer_out (form or writer, regions, deadline) and gives it to the endpoint. */
void worker_send_away_st(struct worker *w, struct task *t);

/* A task that was away ended: body is the serialised answer, borrowed. */
void worker_returned_st(struct worker *w, struct task *t, enum chi_status status, const uint8_t *body, uint32_t length);

/* The origin of a task that came in waits no longer, for this reason: it is not run if it has not begun. */
void worker_cancelled_st(struct worker *w, struct xfer_in *in, enum chi_status why);

/* More is there of a region that streams, of a task that came in. */
void worker_more_st(struct worker *w, struct xfer_in *in);

/* The answer of a task that came in has arrived there: its record can go. */
void worker_answered_st(struct worker *w, struct xfer_in *in);

/* Packets for another worker: datagram in, or datagram to send by its port.  False: dropped, counted, freed. */
bool worker_hand_over_st(struct worker *w, uint32_t to, enum ring_kind kind, struct net_packet *p);

/* True when the daemon stops: no new work, end what is open. */
static inline bool worker_stopping_st(const struct worker *w)
{
    return __atomic_load_n(&w->rt->stopping, __ATOMIC_RELAXED);
}
