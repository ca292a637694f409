/* chimod.h - what a loadable module (ChiMod) offers and may call.
 *
 * A ChiMod is a shared object that exports one `struct chi_chimod` with CHI_CHIMOD(table).  Each pool instance on a node is
 * a container; its tasks run on lanes.  A lane starts its tasks in order and never runs two at once, so that module code on
 * one lane needs no lock; two lanes of one container may run on two cores.
 * A lane may move to another worker, between two of its tasks (chictl lane move).  What a task began stays on the worker that ran it: a task that
 * waits goes on there, and there `done` and the callback of chi_bulk_wait are called, while the lane runs other tasks elsewhere.  A module for
 * which that is too much makes its queues fixed.
 * Thread: every operation but init and fini is called by a worker, and every chi_* call with a rctx belongs to that worker;
 * none of them may block, allocate from the heap, or log.  Another thread may turn the worker behind each call that waits (chictl worker add): a function
 * that uses a thread-local, errno too, on both sides of one may see that of the first thread. */
#ifndef CHI_CHIMOD_H
#define CHI_CHIMOD_H

#include "chi/archive.h"

#define CHI_CHIMOD_ABI 4u

struct chi_container;
struct chi_lane;
struct chi_rctx; /* the run context: the worker, the time, the lane */

/* What a monitor is asked.  One that answers UNSUPPORTED gets what a module without a monitor gets. */
enum chi_monitor_mode {
    CHI_GLOBAL_SCHEDULE = 1, /* replace task->query (DYNAMIC) by a concrete one.  Default: LOCAL.  A query that stays DYNAMIC ends with NO_ROUTE */
    CHI_LOCAL_SCHEDULE = 2,  /* may call chi_rctx_set_lane.  Default: by hash, or spread over the workers */
    CHI_EST_LOAD = 3,        /* `task` lies on a lane and has not begun: what will it cost?  chi_rctx_load has the default's answer, which OK says was made
                              * better.  Asked by the lane's worker, of up to 8 tasks of each lane that has some, each time that the load is looked at:
                              * every 100 ms with `lanes: load`, and for chictl top.  Default: the mean of earlier runs of the method and class of size */
    CHI_SAMPLE_LOAD = 4,     /* `task` ran, and its run was measured: chi_rctx_load has what it cost.  The module keeps of it what it likes.  By the worker that
                              * ran it, before the task ends; not of one whose run returned PENDING, or that run_many got */
    CHI_REINFORCE_LOAD = 5,  /* the same `task`, after every 64th SAMPLE_LOAD of its method and class of size on this worker: the time to fit a model to what
                              * was kept.  What a monitor answers to these two ends nothing */
    CHI_REPLICA_START = 6,   /* a task for several containers: OK says that this module merges their outputs, and `task` begins with those that it has
                              * now.  Default: the outputs of the lowest container that ended with OK */
    CHI_REPLICA_AGG = 7,     /* after OK from REPLICA_START: the replica that chi_rctx_replica gives ended with OK: merge its outputs into those of
                              * `task`.  May be several in one, merged by another node.  Any order.  Not OK: that replica's status becomes this */
    CHI_FLUSH_WORK = 8,      /* a flush (chi/flush.h) asks what is left: PENDING: this container has work of its own that no task stands for, like bytes to
                              * be written back, and is asked again.  OK: none.  `task` is the flush's.  Default: none */
};

/* The steps in which a new version of a module takes a container over (docs/RUNTIME.md, Module life). */
enum chi_upgrade_step {
    CHI_UPGRADE_BEGIN = 1,  /* make the new state from the old one, which stays as it is; looks also whether the container's queues are what it needs */
    CHI_UPGRADE_COMMIT = 2, /* all containers agreed, and the new version runs: give back what is left of the old state */
    CHI_UPGRADE_ABORT = 3,  /* another one did not agree: give back the new state, and leave the old one as it was */
};

/* What a task costs, or did.  Classes of size are by the powers of two of `bytes`. */
struct chi_load {
    uint64_t run_ns; /* on its worker: until it ends, waits for the first time, or returns PENDING.  An estimate of 0: not known */
    uint64_t bytes;  /* of its regions: the runtime's figure */
};

struct chi_chimod {
    uint32_t abi;  /* CHI_CHIMOD_ABI */
    uint32_t size; /* sizeof(struct chi_chimod) */
    const char *name;
    struct chi_method *const *methods;
    uint32_t nmethods;

    /* A container begins or ends.  Control thread, before its first and after its last task; may allocate and block.
     * init creates the queues, queue 0 at least: the default lane is one of it.  Returns OK, or a status that ends the
     * daemon's start with a message; then fini is not called, so that init gives back what it took. */
    enum chi_status (*init)(struct chi_container *c);
    void (*fini)(struct chi_container *c);

    /* Runs a task.  Returns its status, or CHI_STATUS_PENDING when the task is parked: the module then calls chi_complete
     * exactly once, on this worker. */
    enum chi_status (*run)(struct chi_container *c, struct chi_task *task, struct chi_rctx *r);

    /* Optional.  Returns OK, UNSUPPORTED for a mode or a task that it leaves to the default, or a status that ends the task.  Called by the worker
     * that the task came in at, whatever lanes it has, but where a mode says another.  A mode that it does not know is UNSUPPORTED: there may be more. */
    enum chi_status (*monitor)(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r);

    /* Optional: releases what the module hung into a task that ran here, once, after its end: before the `done` of a task that
     * a module submitted, else before its record goes.  Called by the worker that the task came in at, which may be another
     * than the one that ran it.  (Saving, loading and copying follow from the method: its field table, or its own serialize
     * functions.) */
    void (*del)(struct chi_container *c, struct chi_task *task);

    /* Optional, for a module that drives a device: called in each turn of each worker, before the lanes run and after.
     * Each returns how much it did; 0 from both lets the worker sleep, at most until chi_rctx_wake_at. */
    unsigned (*poll)(struct chi_container *c, struct chi_rctx *r);
    unsigned (*flush)(struct chi_container *c, struct chi_rctx *r);

    /* Optional: takes up to n tasks of a lane at once in place of `run`; the module ends each with chi_complete. */
    void (*run_many)(struct chi_container *c, struct chi_task **tasks, unsigned n, struct chi_rctx *r);

    /* Optional, for a module with `run`: nobody waits any more for a task that has begun and not ended; why is what chi_task_cancelled says.  Once
     * for each task, by the worker that runs it, between other runs, within about a millisecond: so for one whose run returned PENDING, which this may
     * end with chi_complete, and for one that waits in its run, which goes on as before.  One in chi_bulk_wait hears it there, and here
     * only if it goes on. */
    void (*cancel)(struct chi_container *c, struct chi_task *task, struct chi_rctx *r, enum chi_status why);

    /* Optional: this version takes over a container of another one that is loaded now (chictl mod upgrade); init is not called, and the queues stay as
     * they are.  Control thread; may allocate and block.  BEGIN: old_state is what chi_container_state gives the old version; returns OK with
     * *new_state, which this version will get, or a status that leaves all containers with the old version.  No task of the old version runs or
     * waits from here to COMMIT, but its `monitor` may be asked: so BEGIN changes nothing that it reads.  COMMIT and ABORT come once for each BEGIN that
     * returned OK, with the same pointers; what they return is not looked at.  Without it a version takes over only containers without a state. */
    enum chi_status (*upgrade)(struct chi_container *c, enum chi_upgrade_step step, void *old_state, void **new_state);
};

#define CHI_CHIMOD(table)                                                                                              \
    CHI_API const struct chi_chimod *chi_chimod_entry(void);                                                           \
    const struct chi_chimod *chi_chimod_entry(void) { return &(table); }

CHI_BEGIN

/* --- container.  create_queue: from init only.  The others: any worker. */

/* Adds a queue of `lanes` lanes, dealt to the workers in turn.  queue: 0..CHI_QUEUES_MAX-1, each once.
 * Returns OK, INVALID (number taken or out of range, lanes 0 or above the limit), NO_MEMORY. */
enum { CHI_QUEUES_MAX = 16 };
CHI_API CHI_MUST_CHECK enum chi_status chi_container_create_queue(struct chi_container *c, uint32_t queue, uint32_t lanes);
/* The same with what else can be said; what is 0 is as there. */
enum chi_lane_class {
    CHI_LANE_LATENCY = 0,    /* its tasks go before those of throughput lanes, */
    CHI_LANE_THROUGHPUT = 1, /* but one of these runs for each limits.latency_weight of them, at least: neither starves */
};
struct chi_queue_options {
    uint32_t lanes;
    enum chi_lane_class lane_class;
    bool fixed; /* lane i stays with worker i modulo workers, for ever */
};
CHI_API CHI_MUST_CHECK enum chi_status chi_container_create_queue_as(struct chi_container *c, uint32_t queue, const struct chi_queue_options *o);
/* A lane by number, or by hash modulo the queue's lanes; NULL when there is none. */
CHI_API struct chi_lane *chi_container_lane(struct chi_container *c, uint32_t queue, uint32_t lane);
CHI_API struct chi_lane *chi_container_lane_by_hash(struct chi_container *c, uint32_t queue, uint64_t hash);
CHI_API void chi_container_set_state(struct chi_container *c, void *state); /* the module's own; NULL at first */
CHI_API void *chi_container_state(const struct chi_container *c);
CHI_API struct chi_pool_id chi_container_pool(const struct chi_container *c);
CHI_API uint32_t chi_container_id(const struct chi_container *c);
CHI_API uint32_t chi_container_node(const struct chi_container *c); /* this node's id */
CHI_API uint32_t chi_container_workers(const struct chi_container *c);

/* --- run context */
CHI_API uint64_t chi_rctx_now_ns(const struct chi_rctx *r); /* monotonic, read once a turn */
CHI_API uint32_t chi_rctx_worker(const struct chi_rctx *r); /* 0..workers-1 */
/* LOCAL_SCHEDULE: the lane for the task, of this container. */
CHI_API void chi_rctx_set_lane(struct chi_rctx *r, struct chi_lane *lane);
/* REPLICA_AGG: the replica, with its outputs. */
CHI_API const struct chi_task *chi_rctx_replica(const struct chi_rctx *r);
/* EST_LOAD, SAMPLE_LOAD, REINFORCE_LOAD: what the task costs, to be read and, at EST_LOAD, to be written. */
CHI_API struct chi_load *chi_rctx_load(struct chi_rctx *r);
/* poll: the worker turns again at this time at the latest. */
CHI_API void chi_rctx_wake_at(struct chi_rctx *r, uint64_t when_ns);

/* --- tasks from inside a module */

/* A zeroed task of the method from this worker's pool, or NULL when it is empty (back-pressure). */
CHI_API struct chi_task *chi_task_new(struct chi_rctx *r, struct chi_method *m);
/* Gives back a task that is not submitted. */
CHI_API void chi_task_del(struct chi_rctx *r, struct chi_task *task);
/* Sends the task on its way.  The runtime owns it until it calls done, once, on this worker, with task->status set; the
 * callback then owns it (chi_task_del, or submit it again).  Never calls done before it returns.  NULL, from `run` alone: chi_task_wait tells. */
typedef void (*chi_done_fn)(struct chi_rctx *r, struct chi_task *task, void *arg);
CHI_API void chi_task_submit(struct chi_rctx *r, struct chi_task *task, chi_done_fn done, void *arg);
/* Sends the task on its way, and nobody waits: the runtime gives it back when it ended, whatever became of it, and counts it (`posts`, `posts_failed`
 * of `chictl stats`).  From anywhere.  The caller does not touch it any more.  Memory that its regions name must stay, as nobody says how long it
 * takes; task->replicas is not used. */
CHI_API void chi_task_post(struct chi_rctx *r, struct chi_task *task);
/* Of a task that runs here, by the worker that runs it: OK, or why nobody waits for it any more, so that it may as well end; it is not ended for it.
 *   DEADLINE         its deadline passed
 *   DISCONNECTED     its client is gone
 *   PEER_DOWN        as chi_bulk_wait says: the node that it came from, or it was removed
 *   PEER_RESTARTED   the same
 *   SHUTDOWN         this daemon stops
 *   NO_POOL          its pool is about to go: it waits for the task's end (docs/RUNTIME.md, Pools)
 *   NO_CONTAINER     the same of its container
 * Reads the clock.  A task that came from another node has its deadline there, from where DEADLINE comes when it passed. */
CHI_API enum chi_status chi_task_cancelled(const struct chi_rctx *r, const struct chi_task *task);
/* Of a task that runs here (not one that run_many got), by the worker that runs it: how far it is, in units of its own; of 0: it does not say any more.  For chictl task list, and for
 * who submitted it on this node.  Costs a few stores. */
CHI_API void chi_task_progress(struct chi_rctx *r, struct chi_task *task, uint64_t done, uint64_t of);
/* Of a task that was submitted here and is out: true, and what it said last; false: it does not run on this node (not yet, or away), or said nothing.
 * From the worker that submitted it.  A figure for people: the two may be of two calls. */
CHI_API CHI_MUST_CHECK bool chi_task_progress_get(const struct chi_rctx *r, const struct chi_task *task, uint64_t *done_out, uint64_t *of_out);
/* Ends a task whose run returned PENDING, or that run_many got. */
CHI_API void chi_complete(struct chi_rctx *r, struct chi_task *task, enum chi_status status);

/* --- tasks that the runtime runs again and again */

/* Submits the task now, and again each period_ns (at most UINT64_MAX / 2): the n-th time n * period_ns from now, or in the first turn behind that.
 * Never twice at once: a start that comes while it still runs, or while its worker is busy, is done when it can be; of several that are due then
 * only the last is, and chi_periodic_missed says how many were not.  It goes on whatever its runs end with.  IN fields are as they are when a run
 * begins, so INOUT fields as the last run left them; the query is the same each time; timeout_us is each run's.
 * The task is the runtime's until it calls done, once, on this worker, after chi_periodic_stop, with the status of the last run (OK: there was none),
 * or at the daemon's stop with SHUTDOWN.  The callback then owns it; done NULL: the runtime gives it back.
 * From anywhere but init.  Returns OK; or INVALID, a period out of range, or NO_MEMORY, the worker has 256 of them: it stays the caller's. */
CHI_API CHI_MUST_CHECK enum chi_status chi_periodic_start(struct chi_rctx *r, struct chi_task *task, uint64_t period_ns, chi_done_fn done, void *arg);
/* It does not run again; when it runs now, it goes on to its end.  From the worker that started it, or from its own `run` on this node. Never calls
 * done before it returns.  A second time is nothing, until done is called. */
CHI_API void chi_periodic_stop(struct chi_rctx *r, struct chi_task *task);
/* From its `run` on this node: how many starts just before this one were not done.  0 of other tasks, replicas, and on another node. */
CHI_API uint64_t chi_periodic_missed(const struct chi_rctx *r, const struct chi_task *task);

/* --- tasks that wait.  From `run`, or what it calls: the task keeps its stack, and its worker goes on with other tasks, of the same lane too.
 * It goes on on the same worker, between the runs of others.  A task that never waits never leaves the worker's stack.  Each returns OK, or
 *   NO_MEMORY  no stack is free (limits.stacks): nothing was waited for
 *   SHUTDOWN   chi_sleep_us, chi_yield: this daemon stops.  The task ends soon, whatever it does
 * A task that waits costs a stack of limits.stack_bytes, of which only what was used takes memory. */

/* Waits until all n tasks have ended, which were submitted here with a `done` of NULL.  They are the caller's then, each with its status.  After
 * NO_MEMORY they are not: they go on, and are given back when they end.  The same becomes of what a run submitted so and did not wait for, when
 * it returns. */
CHI_API CHI_MUST_CHECK enum chi_status chi_task_wait(struct chi_rctx *r, struct chi_task *const *tasks, unsigned n);
/* Lets others run: goes on when those ran that are ready now. */
CHI_API CHI_MUST_CHECK enum chi_status chi_yield(struct chi_rctx *r);
/* Goes on in the first turn after so many microseconds. */
CHI_API CHI_MUST_CHECK enum chi_status chi_sleep_us(struct chi_rctx *r, uint64_t us);
/* For what blocks (files, other libraries): runs fn(arg) on a thread of the background, and waits until it returned.  fn may block and allocate,
 * and calls nothing that takes a rctx; arg may lie on the stack of the task.  Calls begin in order, as many at once as there are threads
 * (limits.background).  OK; or fn does not run: NO_MEMORY also when 256 calls of this worker have not begun, UNSUPPORTED without threads, SHUTDOWN
 * this daemon stops, and it had not begun.  One that runs then is awaited. */
CHI_API CHI_MUST_CHECK enum chi_status chi_offload(struct chi_rctx *r, void (*fn)(void *arg), void *arg);

/* Waits until all tasks for that pool (NULL: for any, but `admin`) that were submitted before, by anybody on any node, have ended, and what these submit for
 * it in turn; not until others have that come meanwhile.  The task that calls is not waited for; one that waits for it is (chi/flush.h).
 * timeout_us as in struct chi_task.  OK, or as chi_flush_status says. */
CHI_API CHI_MUST_CHECK enum chi_status chi_flush(struct chi_rctx *r, const struct chi_pool_id *pool, uint32_t timeout_us);

/* --- regions that come in and go back while the task runs.  For a task that runs here, by the worker that runs it; b is a bulk field
 * of the task, with ptr and size as they were when it began.  A task of this node has its submitter's own memory: all of it is there,
 * and what is written is in its place. */

/* How many bytes of the region are there now, from its start without a hole; never less than before.  All of them, but of a region
 * with CHI_STREAM.  The bytes behind may come at any time: they are neither read nor written. */
CHI_API uint64_t chi_bulk_ready(struct chi_rctx *r, struct chi_task *task, const struct chi_bulk *b);

/* Parks the task until `bytes` bytes of the region (at most its size) are there; run, or the callback, then returns PENDING.  The runtime
 * calls fn once, never before this returns, on the same worker and between two tasks as if it were `run`, with
 *   OK               chi_bulk_ready is `bytes` or more, or they do not come, as the origin waits no longer:
 *   DEADLINE         it ended the task: its deadline passed
 *   PEER_DOWN        its node closed the session, or is silent, or was removed
 *   PEER_RESTARTED   its node began another life
 *   SHUTDOWN         this daemon stops
 *   NO_POOL          the pool goes; NO_CONTAINER: the container
 * What is there stays, and so do all buffers until the task ends; its status and outputs go nowhere.
 * What fn returns ends the task, but PENDING: the task waits again, or is ended by chi_complete.  Until fn is called the task is the
 * runtime's: to end it, to push or to wait a second time is a bug that ends the daemon.  Any number of tasks wait at once; b stays. */
typedef enum chi_status (*chi_more_fn)(struct chi_container *c, struct chi_task *task, struct chi_rctx *r, enum chi_status status);
CHI_API void chi_bulk_wait(struct chi_rctx *r, struct chi_task *task, const struct chi_bulk *b, uint64_t bytes, chi_more_fn fn);

/* The first `bytes` bytes of a region that goes back are as they stay: they go to the origin now, while the task runs.  A hint:
 * under load they may go with the next push, or with the answer.  The task then ends with `used` not less than what was pushed, else
 * with INVALID.  One that does not end with OK has `used` 0 at its origin, whose buffer may hold what was pushed.
 * Returns OK; INVALID, with nothing done, for more than the size, for a region that does not go back, and for more than is there of
 * one that comes in too, as its origin still sends from the same memory. */
CHI_API CHI_MUST_CHECK enum chi_status chi_bulk_push(struct chi_rctx *r, struct chi_task *task, const struct chi_bulk *b, uint64_t bytes);

/* Bulk memory of this worker, 64-byte aligned, for regions of tasks that a module submits.  NULL when there is none. */
CHI_API void *chi_mem_get(struct chi_rctx *r, uint64_t size);
CHI_API void chi_mem_put(struct chi_rctx *r, void *p, uint64_t size);

CHI_END
#endif
