/* audit.h - walks all records of an endpoint, between two calls of it, and compares them with each other:
 * what is kept in two places is equal; each object is in exactly one place (free, in a list, in a packet that is out); what can go
 * on has somebody who sees to it (a list that is looked at, or a timer that is not late). */
#pragma once
#include "xfer/xfer.h"

struct audit {
    uint32_t waiting, open_out;          /* messages that go out: without a slot, with one */
    uint32_t kept;                       /* ended, but packets of theirs are still looked at */
    uint32_t running, answering;         /* tasks that came in and were handed on; */
    uint32_t leaving;                    /* as kept */
    uint64_t memory;                     /* of the host's that is held; whole */
};
/* NULL, or the first thing that is wrong.  Pre: the events are drained.  whole: also what takes long, each slot and the free lists;
 * else the counters stand for the slots. */
const char *audit(const struct xfer *x, bool whole, struct audit *out);
