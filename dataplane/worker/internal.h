/* internal.h - between the files of worker/. */
#pragma once
#include <string.h>

#include "remote.h"

/* The pool, or NULL.  Tasks of a turn are often for the same one. */
static inline const struct sched_pool *worker_pool(struct worker *w, struct chi_pool_id id)
{
    if (!w->pool || memcmp(&w->pool->id, &id, sizeof id) != 0)
        w->pool = sched_pool_find(&w->rt->sched, id);
    return w->pool;
}

/* For a task from outside, or a part of one: it is on its way, and must end. */
static inline void books_accept(struct worker *w, struct task *t)
{
    (void)w, (void)t;
    LEDGER(t->origin == TASK_MODULE ? (void)0 : ledger_accept(&w->tasks.ledger, &t->entry, w->rctx.now_ns, 0, NULL));
}
/* A module submits it. */
static inline void books_submit(struct worker *w, struct task *t, const void *caller)
{
    (void)w, (void)t, (void)caller;
    LEDGER(ledger_accept(&w->tasks.ledger, &t->entry, w->rctx.now_ns, w->task ? w->task->entry.number * WORKERS_MAX + w->task->home->index : 0, caller));
}

/* flush.c */
void flush_accept(struct worker *w, struct task *t); /* its age, while a flush goes on.  Not of one that came from another node */
void flush_accept_remote(struct worker *w, struct task *t, const uint8_t *form);
void flush_cause(struct worker *w, const struct task *t); /* the callback that runs is this one's */
uint32_t flush_says(const struct worker *w, const struct task *t); /* in the form of one that leaves */

/* route.c */
void route_send(struct worker *w, uint32_t to, struct task *t);             /* to another worker: queued, waiting or ended; or a mark */
/* A queued task that came from this worker or another one, for a lane that this one does not own, or not yet. */
void route_elsewhere(struct worker *w, uint32_t from, struct task *t);
/* Onto a lane, here or there.  remote: it came from another node, and was loaded just now. */
CHI_INLINE void route_push(struct worker *w, struct task *t, struct chi_lane *lane, bool remote)
{
    CHI_ASSERT(remote || t->state == TASK_NEW);
    books_accept(w, t);
    if (!remote && CHI_UNLIKELY(w->flushing))
        flush_accept(w, t);
    t->state = TASK_QUEUED;
    t->lane = lane;
    if (CHI_LIKELY(lane_owner(lane) == w->index))
        lane_push(lane, &t->link, &w->ready);
    else
        route_elsewhere(w, w->index, t);
}
unsigned route_inbox(struct worker *w);                                    /* takes in what other workers sent */
void route_flush(struct worker *w);                                        /* overflow, doorbells */
bool route_waiting(struct worker *w);                                      /* something is in an inbound ring */
bool route_pending(const struct worker *w);                                /* something waits in an overflow list */
/* Finds container or node of a task with a loaded body, asking the monitor where the query is DYNAMIC; on OK pushes it on its
 * way.  Else nothing happened to it. */
enum chi_status route_task(struct worker *w, struct task *t, const struct sched_pool *pool);
/* LOCAL_SCHEDULE: leaves the lane that the module names in the run context, NULL when it leaves it to the default.  Pre: it has a monitor. */
enum chi_status route_ask_lane(struct worker *w, struct chi_container *c, struct chi_task *pub);
/* Onto a lane of a container of this node; by default, and without a hash, one of worker `near` modulo the workers. */
CHI_INLINE enum chi_status route_onto(struct worker *w, struct task *t, struct chi_container *c, uint32_t near, bool remote)
{
    struct chi_task *pub = task_public(t);
    struct chi_lane *lane = NULL;
    if (c->ops->monitor) {
        enum chi_status st = route_ask_lane(w, c, pub);
        if (st != CHI_STATUS_OK)
            return st;
        lane = w->rctx.lane;
    }
    t->container = c;
    route_push(w, t, lane ? lane : sched_default_lane(c, &pub->query, near), remote);
    return CHI_STATUS_OK;
}
static inline enum chi_status route_local(struct worker *w, struct task *t, struct chi_container *c) { return route_onto(w, t, c, w->index, false); }
enum chi_status route_away(struct worker *w, struct task *t, uint32_t node);            /* onto the remote_queue lane */

/* RING_PUSH to the home worker; when its ring is full, nothing: the bytes go with the next push, or with the answer. */
void route_push_bytes(struct worker *w, struct task *t, uint32_t region, uint64_t bytes);

/* load.c */
struct load_run { /* on the stack of a run that is measured */
    struct load_key key;
    uint32_t weight;
    uint64_t from_ns, run_ns; /* run_ns 0: it goes on */
    uint64_t bytes;
};
void load_begin(struct worker *w, struct task *t, struct load_run *m); /* a run begins */
void load_waits(struct worker *w); /* the run that is measured waits: what it does later does not count */
void load_end(struct worker *w, struct task *t, struct load_run *m, enum chi_status st); /* it is over, and the task has not ended but for PENDING */
void load_batch(struct worker *w, const struct chi_container *c, unsigned n, uint64_t ns); /* run_many took n tasks */
void load_batch_begins(struct worker *w); /* its runs are measured */
void load_soon(struct worker *w); /* a batch was long */

/* call.c.  Control thread: each worker takes a turn, one after the other; as worker_call. */
CHI_MUST_CHECK int call_all(struct runtime *rt);

/* move.c */
void move_task(struct worker *w, uint32_t from, struct task *t); /* for a lane that comes to this worker: onto it, or held */
void move_mark(struct worker *w, uint32_t from, struct task *t); /* RING_MARK came */
/* Begins a move on the worker that owns the lane; arg: struct lane_move. */
void move_begin(void *worker, void *arg);
/* Control thread.  A move of the lane to a worker, in rt->moves until it is over and reaped; NULL without memory. */
struct lane_move *move_make(struct runtime *rt, struct chi_lane *lane, uint32_t to);
void move_reap(struct runtime *rt, bool all); /* all: the workers have ended */

bool move_leaves(struct runtime *rt, const void *leaves); /* a lane that leaves with it moves still */

/* balance.c */
void balance_free(struct balance *b); /* NULL is allowed */

/* stream.c */
void stream_item(struct worker *w, struct task *t);      /* RING_WAIT came */
void stream_call_back(struct worker *w, struct task *t); /* the worker that runs it: what it waited for is there, or does not come */
void stream_cancelled(struct worker *w, struct task *t); /* home worker: its origin waits no longer */
void stream_push(struct worker *w, struct task *t, uint32_t region, uint64_t bytes); /* home worker */

/* ended.c */
void ended_finish(struct worker *w, struct task *t); /* home worker: answers whoever waits, frees the record */
unsigned ended_callbacks(struct worker *w);          /* done callbacks that are due, and those of chi_bulk_wait */
void ended_free(struct worker *w, struct task *t);
void ended_module(struct worker *w, struct task *t);  /* the end of a module's task, which has its status and outputs */
/* Serialises the answer into p; returns its length, or 0 with *st changed. */
uint32_t ended_save(struct task *t, uint8_t *p, size_t cap, struct chi_ar_region *regions, enum chi_status *st);
/* Copies a form or body that is too long for one packet, or made by hand, into bulk memory.  False: there is none. */
bool ended_keep(struct worker *w, struct task *t, const uint8_t *p, uint32_t n);

/* The task ended here, with this status. */
static inline void ended_here(struct worker *w, struct task *t, enum chi_status st)
{
    task_public(t)->status = st;
    task_enter(t, TASK_ENDED);
    LEDGER(ledger_end(&t->entry, st));
    if (CHI_LIKELY(t->home == w))
        ended_finish(w, t);
    else
        route_send(w, t->home->index, t); /* another worker's: it ends there */
}

/* accept.c */
unsigned accept_clients(struct worker *w);
/* A client's task ended: it is told, and of one that nobody waits for it is counted. */
void accept_ended(struct worker *w, struct ipc_channel *ch, const struct ipc_request *rq, enum chi_status st, const void *body, uint32_t length);
/* A task came in at the endpoint of this worker (ctx): loads it and pushes it onto its lane; answers at once when that is impossible. */
void accept_remote(void *ctx, struct xfer_in *in, const uint8_t *form, uint32_t length);

struct form_head;
/* A task with its body loaded from a form, or NULL and why.  Regions are those of the caller; none of them is owned. */
struct task *accept_load(struct worker *w, const struct sched_pool *pool, const struct form_head *h, const uint8_t *form, uint32_t length,
                         struct chi_ar_region *regions, enum chi_status *st);

/* fan.c */
struct spread;
/* A loaded task for several containers: it ends when all replicas ended, and is SPREAD until then.  Else nothing happened to it, and why.
 * Pre: its query is RANGE or BROADCAST, or for one container of this node, which gets it by the archives; its deadline is set. */
enum chi_status fan_begin(struct worker *w, struct task *whole, const struct sched_table *table, const struct spread *part);
void fan_replica_ended(struct worker *w, struct task *t);
void fan_part_returned(struct worker *w, struct task *t, enum chi_status st, const uint8_t *body, uint32_t length); /* body: borrowed */
const struct task *fan_whole(const struct task *t); /* that a replica is one of */
bool fan_is_steady(const struct task *t); /* nobody writes to what a part sends */

/* turn.c */
void turn_loop(struct worker *w, unsigned did); /* turns until the end */
unsigned turn_rest(struct worker *w, unsigned did); /* what is left of a turn once its lanes ran; returns what all of it did */

/* wait.c */
CHI_MUST_CHECK int wait_init(struct worker *w);
void wait_fini(struct worker *w);
bool wait_task_ended(struct worker *w, struct task *t); /* one that was submitted without a `done`; false: nobody wants its record */
/* One is submitted by the task that runs: that waits for it, or gives it up in the end. */
void wait_begin(struct worker *w, struct task *t);
void wait_never(struct task *t); /* one is submitted that nobody waits for */
void wait_give_up(struct worker *w); /* a run is over: nobody waits for what it has not waited for */
/* Nobody has to wait for it any more. */
static inline void wait_settled(struct task *t)
{
    if (CHI_LIKELY(!t->from.module.at))
        return;
    *t->from.module.at = t->from.module.next;
    if (t->from.module.next)
        t->from.module.next->from.module.at = t->from.module.at;
    t->from.module.at = NULL;
}
unsigned wait_go_on(struct worker *w);                  /* tasks whose wait is over */
/* A task's run is over, on a stack that the worker left when the task waited: goes back, for good.  n: tasks that the stack's turn ran. */
CHI_NORETURN void wait_leave(struct worker *w, unsigned n);
/* The task that runs could wait now: OK, NO_MEMORY (no stack is free), or SHUTDOWN. */
enum chi_status wait_possible(const struct worker *w);
/* Leaves the task that runs until its fiber, which is the current one, is told.  Pre: it could wait. */
void wait_park(struct worker *w);
/* Ends the wait of another worker's fiber, which nobody else ends, or of an own one.  By any thread: w is its worker, or NULL. */
void wait_tell(struct worker *w, struct worker *of, struct fiber *f);
static inline bool wait_came(const struct worker *w) { return __atomic_load_n(&w->woken, __ATOMIC_RELAXED); } /* a fiber was told by another thread */

/* The root of the task that runs: itself, or that of the task that submitted it.  Pre: one runs. */
static inline uint64_t task_root(struct worker *w)
{
    struct task *t = w->task;
    if (!t->rooted) {
        t->rooted = TASK_ROOT_ITSELF;
        t->root = ++w->roots * WORKERS_MAX + w->index;
    }
    return t->root;
}

/* periodic.c */
CHI_MUST_CHECK int periodic_init(struct worker *w);
void periodic_fini(struct worker *w); /* also when its init failed, or never came */
unsigned periodic_go_on(struct worker *w); /* starts what is due */
chi_done_fn task_done(const struct task *t); /* of a module's task: the module's own, also of a periodic one; NULL: it has none */

/* watch.c */
void watch_begin(struct worker *w, struct task *t); /* its run begins: of a module with `cancel` */
void watch_end(struct worker *w, struct task *t);   /* it ended, or is told */
void watch_tell(struct worker *w);                  /* all workers look at what they watch */
unsigned watch_go_on(struct worker *w);

/* module_api.c */
enum chi_status task_why(const struct worker *w, const struct task *t, uint64_t now_ns); /* nobody waits for it any more; OK */
bool task_progress(const struct task *t, uint64_t *done, uint64_t *of); /* what it said last; false: it does not run, or said nothing */
void module_submit(struct worker *w, struct task *t); /* a periodic task whose `done` is set */

/* Why the origin of the task waits no longer; 0: it waits. */
static inline enum chi_status task_cancelled(const struct task *t) { return (enum chi_status)__atomic_load_n(&t->cancelled, __ATOMIC_RELAXED); }

/* lanes.c */
unsigned lanes_run(struct worker *w);
void lanes_draw(struct worker *w, uint64_t last_turn_ns); /* at the beginning of a turn: whether its lanes are timed */
/* The time since the last charge, or since lanes_run began, was this lane's.  A task that waits is charged until then, not for what it does after. */
void lanes_charge(struct worker *w, struct chi_lane *lane);
unsigned lanes_poll(struct worker *w);
unsigned lanes_flush(struct worker *w);

/* idle.c */
CHI_MUST_CHECK int idle_init(struct worker *w);
void idle_fini(struct worker *w);
void idle_turn(struct worker *w, unsigned did); /* behind a turn that did so much */
/* Its two halves, for a thread that turns several workers.  For how long, in ns, this one would sleep now; 0: it turns again. */
uint64_t idle_wants(struct worker *w, unsigned did);
/* Sleeps for n workers, all of which want to, unless something came for one; epoll_fd: that of the only one, or one around those of all.  Whether it slept. */
bool idle_sleep(struct worker *const *w, uint32_t n, int epoll_fd, uint64_t ns);

/* endpoint.c */
CHI_MUST_CHECK int endpoint_init(struct worker *w, char *err);
void endpoint_fini(struct worker *w);

/* turn.c */
void worker_enter(struct worker *w); /* the calling thread is this worker's from now on */
unsigned worker_turn(struct worker *w);
void worker_begin(struct worker *w); /* makes the loop that it turns in */
