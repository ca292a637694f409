/* flush.h - which tasks of a worker are old to a flush, and how many of them have not ended.
 *
 * A flush, of one pool or of all, returns when all tasks for it that were there before have ended, on all nodes and on their way between them, and so has
 * what these submit for it meanwhile.  One node leads (chimods/admin), one flush at a time, in waves over all workers of all nodes:
 *
 *   MARKING   Each worker looks through its records and makes them old; what it accepts from then on is old too.  It stays so until what was in its
 *             clients' rings has been accepted, and until all workers of all nodes have come here: no task is younger than the flush before that.
 *   COUNTING  What is accepted is fresh, but what an old task submits, which is old; how many such came is counted.  A task that is fresh says so in
 *             its form when it leaves the node (archive/form.h), with the flush's number; one that does not say that is old where it arrives.
 *             Each wave counts records that are old and have not ended.  Two waves in a row that count none, between which nobody accepted one, are the
 *             end: when the first of them was over there was none anywhere.  A task on its way has its record at its origin, until that one
 *             heard of its end.  So this is Mattern's four-counter method (Algorithms for distributed termination detection, 1987), for what is old.
 *   NONE      It is over.
 *
 * Who flushes from a run is EXEMPT, or it would wait for itself; the tasks of `admin` are never old.
 * Thread: the worker, but for a record's age, which the run of a task on another worker reads. */
#pragma once
#include "census.h"

enum flush_phase { FLUSH_NONE, FLUSH_MARKING, FLUSH_COUNTING };

/* Begins MARKING; another flush that goes on is given up.  all: of all pools, else of that one. */
void flush_begin_st(struct worker *w, uint64_t id, bool all, struct chi_pool_id pool, struct census *c);
/* True: call again in a later turn. */
bool flush_mark_st(struct worker *w, struct census *c);

struct flush_count {
    struct census at;
    uint64_t open; /* old and not ended */
    uint64_t came; /* accepted as old so far, when this count began */
};
/* Begins COUNTING with the first, and each count.  False: this flush does not go on here. */
CHI_MUST_CHECK bool flush_count_begin_st(struct worker *w, uint64_t id, struct flush_count *c);
bool flush_count_st(struct worker *w, struct flush_count *c); /* True: call again in a later turn */
void flush_end_st(struct worker *w, uint64_t id);

/* The task that runs is about to wait for a flush; it did. */
void flush_exempt(struct task *t, bool exempt);
