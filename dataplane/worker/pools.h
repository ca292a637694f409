/* pools.h - pools that come, change and go while the workers run, as tasks of the admin module ask for it.
 *
 * A pool that goes, and containers that go, are found no more: new tasks for them end with NO_POOL or NO_CONTAINER.  Then each worker looks through its
 * own records (census.h): a task that has not begun ends with the same status, one that has is told (`cancel`, chi_task_cancelled).  When no worker
 * finds one any more, twice in a row, so that each has also left the turn in which it ran the last one, fini is called and all is freed.
 * A table that another one took the place of goes the same way, when no task for several containers is spread by it.
 *
 * Threads: control; a look by each worker, which is posted and not waited for: a worker that is held delays an end, not the control thread. */
#pragma once
#include "control.h"

enum { POOLS_MAJOR = 3 /* of the ids of those that are made while the daemon runs */, POOLS_END_MS = 1000 /* a call waits so long for tasks to end */ };

struct pools_call {
    struct control_call call;
    struct sched_plan plan; /* its texts and table stay until the end */
    uint32_t last;          /* out: the highest minor number of POOLS_MAJOR that this node saw */
    uint32_t hash;          /* out: of the table */
    uint32_t *table;        /* out: room for `room` containers */
    uint32_t room;
    bool made;              /* out: the pool was not here before */
    uint32_t tasks;         /* out: that had not ended */
    char module[SCHED_NAME_MAX + 1]; /* out */
    char why[SCHED_ERROR_BYTES];     /* out: in words, when it did not end with OK; "" */
};

/* Each is a `begin` of a call. */

/* This node has the pool as the plan says; a module that is missing is loaded.  OK also when it had it already.  With fewer containers than before: when
 * those that go have ended.  NO_MODULE, MODULE (its init failed), NO_MEMORY, TOO_BIG; INVALID: the id or the name is another pool's here, or its
 * containers are on other nodes; MOVED: this node knows another table of this or a higher version; BUSY: a pool of this id is about to go, or the module is upgraded just now; DEADLINE: tasks of
 * the containers that go have not ended; they go when they have. */
void pools_apply(struct runtime *rt, struct control_call *c);
/* The pool plan.id is gone.  OK; NO_POOL; BUSY: somebody waits for that already, or the module is upgraded just now; INVALID: it is the runtime's own; DEADLINE: tasks have not ended; it goes
 * when they have. */
void pools_remove(struct runtime *rt, struct control_call *c);
/* The pool of plan.name: fills in plan.id, .version, .containers, hash and module, and the table where there is room for it.  `last` in any case.  OK or NO_POOL. */
void pools_ask(struct runtime *rt, struct control_call *c);

/* Goes on with what is to end.  Returns when to go on, in milliseconds from now; 0: nothing is to end. */
enum { POOLS_STEP_MS = 2, POOLS_REST_MS = 100 /* between two looks, when nobody waits for the end */ };
unsigned pools_step(struct runtime *rt, uint64_t now_ns);
/* Containers of the module are out of sight, and not ended. */
bool pools_end_of(const struct runtime *rt, const struct sched_module *m);
/* Ends what is left.  Pre: no worker runs. */
void pools_fini(struct runtime *rt);
