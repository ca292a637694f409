/* census.h - the task records of a worker that are in use, looked through while they are.  It costs nothing but when it is done: nobody counts tasks by
 * pool, container or module on their way.
 *
 * A record is given out and taken back by its home worker alone, so that is who looks at it, between two runs.  Meanwhile it may lie on a lane of
 * another worker, or run there: the home worker reads of it what it wrote itself (method, container, origin, `done`), and `state`, which is atomic. */
#pragma once
#include "worker.h"

enum { CENSUS_SLICE = 1024 }; /* records of a slice, used or not; some tens of microseconds */

/* Where it has come to.  Records that are given out behind it are not seen: who must see all has what it counts only become less, or looks again. */
struct census {
    int size_class;
    uint32_t next, end;
    uint32_t slice; /* CENSUS_SLICE, but for tests */
};
/* Home worker. */
void census_begin(const struct worker *w, struct census *c);
/* Home worker.  Calls look for each record in use of the next slice, which does not give it back.  False: that was the last one. */
bool census_slice_st(struct worker *w, struct census *c, void (*look)(struct worker *w, struct task *t, void *arg), void *arg);

/* Control thread.  How many records of this node `is` says yes to, which is called by each one's home worker, in slices.  `what` stays until a later
 * call returned 0, or the runtime ended.  0, or as worker_call. */
CHI_MUST_CHECK int runtime_census(struct runtime *rt, bool (*is)(const struct worker *w, const struct task *t, const void *what), const void *what,
                                  uint64_t *count);
