/* hold.h - a module of which this node starts no new tasks, so that another version can take its place; one at a time.
 *
 * Its containers get operations of the hold's own, so that a task of any other time pays nothing.  A task that arrives stays where its lane put it, but
 * one that somebody must have to end: a subtask of a root that was there when the hold began, one that may come back to this node (TASK_WAITS_BACK),
 * and one that was submitted outside of a run, with a `done`.  Tasks of roots that began later cannot have begun here, so that what runs becomes less.
 * Its end and its beginning are done while all workers stand still (runtime_still): a look at all records then misses none.
 *
 * Threads: the control thread; `run`, `poll` and `flush` of the hold by the workers.  Memory: of the heap, by the control thread. */
#pragma once
#include "worker.h"

struct hold;

struct hold_busy { /* what is in the way, and one of it */
    uint64_t count;
    uint32_t worker;
    char method[48];
    const char *what;
};

/* From now on no new tasks of the module start.  0; -EBUSY: lanes move, as it is with -ETIMEDOUT and -EAGAIN (runtime_still) later more luck;
 * -EOPNOTSUPP: it has run_many, so that nobody can tell what it began; -ENOMEM.  Pre: none is held. */
CHI_MUST_CHECK int runtime_hold(struct runtime *rt, const struct sched_module *m);
/* What keeps the old version from being left: tasks that it runs, or whose `done` is its.  Ends held tasks whose deadline passed.  0, or as worker_call. */
CHI_MUST_CHECK int runtime_hold_look(struct runtime *rt, struct hold_busy *out);
/* Nothing of it runs, and nothing begins any more, whoever waits.  0; -EAGAIN: something runs again; or as runtime_still. */
CHI_MUST_CHECK int runtime_hold_close(struct runtime *rt);
/* Ends it: what is held goes on, with the version that there was.  0, or as runtime_still: it is held still. */
CHI_MUST_CHECK int runtime_hold_end(struct runtime *rt);
/* Ends it with the new version: each container of the module on this node, in the order of sched.all, gets its state of `states`; tasks of a method that the new
 * one has not, or with other fields, end with NO_METHOD or SCHEMA.  Pre: closed.  0, or as runtime_still: it is held still. */
CHI_MUST_CHECK int runtime_hold_swap(struct runtime *rt, struct sched_module *old, struct sched_module *m, void *const *states);
/* How many records still name code or data of a module that is in no pool any more.  0, or as worker_call. */
CHI_MUST_CHECK int runtime_named(struct runtime *rt, const struct sched_module *m, uint64_t *count);
