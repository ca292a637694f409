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
/* Short: the counters stand for the slots.  Whole: each slot too.  Deep: and the list of free references, which takes as long as the rest. */
enum audit_depth { AUDIT_SHORT, AUDIT_WHOLE, AUDIT_DEEP };
/* NULL, or the first thing that is wrong.  Pre: the events are drained. */
const char *audit(const struct xfer *x, enum audit_depth depth, struct audit *out);
