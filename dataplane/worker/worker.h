/* worker.h - a worker polls its sources, runs its lanes, and drives its transport endpoint.
 *
 * Threads: a struct worker belongs to the thread that turns it (carrier.h), but for `bell`, `watch_now`, `woken` (anybody puts a fiber on top), `in` (rings: one producer each)
 * and `stats` (written by the worker, read relaxed by the control thread).  runtime_* by the control thread.  The worker neither blocks, allocates, logs
 * nor locks; its pools have their full size before it starts. */
#pragma once
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

#include "base/buddy.h"
#include "base/trace.h"
#include "fiber/fiber.h"
#include "lane/doorbell.h"
#include "lane/load.h"
#include "lane/ring.h"
#include "net/net.h"
#include "sched/sched.h"
#include "task/task.h"
#include "xfer/list.h"
#include "xfer/timers.h"

enum { WORKERS_MAX = 64, WORKER_RING_SLOTS = 1024, WORKER_LANE_BUDGET = 32, WORKER_CLIENT_BUDGET = 32, WORKER_HANDED_MAX = 256, WORKER_PERIODIC_MAX = 256 };
enum { WORKER_CALL_LIMIT_MS = 2000, WORKER_TURN_NS = 1000000, WORKER_LATENCY_WEIGHT = 4, WORKER_LONG_TURN_NS = 4000,
       WORKER_TIMED_EACH = 16 /* turns, of those behind a short one: the lanes of one are timed */ };
/* load.c: of so many batches one is measured, of fewer where so many take longer than LOAD_OFTEN_NS, and soon after one of LOAD_LONG_NS; tasks of a lane
 * that are estimated; samples of a method and class to one REINFORCE_LOAD. */
enum { LOAD_EACH = 509, LOAD_OFTEN_NS = 250000000, LOAD_LONG_NS = 1000000, LOAD_LOOK = 8, LOAD_REINFORCE = 64 };

struct runtime_options {
    uint32_t node_id, workers;
    const uint32_t *cores;    /* one a thread; worker k begins on number k modulo these */
    uint32_t core_count;      /* 0: one a worker */
    bool busy;                /* threads never sleep */
    bool lanes_by_hash;       /* lanes begin on a worker by hash, not in turn */
    uint32_t tasks;           /* records a worker */
    uint32_t stacks;          /* of tasks that wait, a worker; 0: none can */
    size_t stack_bytes;       /* of each; the drivers of the ports run on them too */
    uint32_t neighborhood;    /* nodes that a task for several is sent to at most; more of them: by way of those */
    uint32_t background;      /* threads for calls that block, at most BACKGROUND_THREADS_MAX; 0: there are none */
    uint32_t latency_weight;  /* tasks of latency lanes to one of throughput lanes; 0: WORKER_LATENCY_WEIGHT */
    uint64_t arena_bytes;     /* bulk memory a worker */
    uint64_t task_timeout_ns; /* default of tasks that name none */
    const uint32_t *nodes;    /* of the cluster, this one included */
    uint32_t node_count;
    /* transport */
    const char *cluster;
    uint64_t incarnation;
    uint32_t messages, window, pto_us, delay_target_us, peer_silence_ms, peers_max;
    uint32_t ack_every, ack_delay_us, unasked, credit, grant_window, overcommit, quantum;
    uint64_t peer_memory, remote_memory; /* of a worker */
    const char *const *module_paths; /* of modules that pools need while the daemon runs; they stay */
    unsigned module_path_count;
    struct net *net; /* NULL: a node without ports */
    uint16_t udp_port; /* of worker 0 */
};

/* X(name): counters of a worker, in the order that chictl shows. */
#define WORKER_STAT_LIST(X)                                                                                            \
    X(turns)                                                                                                           \
    X(turns_idle)                                                                                                      \
    X(sleeps)                                                                                                          \
    X(tasks_run)                                                                                                       \
    X(tasks_client)                                                                                                    \
    X(tasks_module)                                                                                                    \
    X(tasks_remote)                                                                                                    \
    X(tasks_sent)                                                                                                      \
    X(tasks_ended)                                                                                                     \
    X(posts)        /* tasks of modules that nobody waits for */                                                       \
    X(posts_failed) /* of them, that did not end with OK */                                                            \
    X(periods)        /* runs of periodic tasks */                                                                     \
    X(periods_missed) /* starts of them that were too late, and done with the next */                                  \
    X(spreads)  /* tasks for several containers */                                                                     \
    X(replicas) /* of them, that ran here */                                                                           \
    X(handovers)                                                                                                       \
    X(packets_handed)                                                                                                  \
    X(overflows)                                                                                                       \
    X(lanes_taken) /* that moved here */                                                                              \
    X(waits)                                                                                                           \
    X(busy_ns)  /* of turns that did something */                                                                      \
    X(measured) /* runs whose time was read (load.c) */                                                                \
    X(stacks_most) /* in use at once, so far */
struct worker_stats {
#define WORKER_STAT_FIELD(name) uint64_t name;
    WORKER_STAT_LIST(WORKER_STAT_FIELD)
#undef WORKER_STAT_FIELD
    uint64_t turn_most_ns; /* the longest turn, without sleeps: as long, a module was not left or the machine gave it no core */
};

struct chi_rctx {
    struct worker *worker;
    struct chi_lane *lane; /* LOCAL_SCHEDULE: what the module chose */
    struct chi_task *replica; /* REPLICA_AGG */
    struct chi_load load;     /* EST_LOAD, SAMPLE_LOAD, REINFORCE_LOAD */
    uint64_t now_ns, wake_ns;
};

struct worker_flush { /* worker/flush.h */
    uint64_t id, old;
    struct chi_pool_id pool;
    bool all;
};

/* Items for another worker whose ring is full: pushed first in the next turn. */
struct overflow {
    struct lane_item *head, **tail;
};

struct worker {
    struct chi_rctx rctx;
    struct runtime *rt;
    uint32_t index;
    struct ready_lists ready;
    struct lane_item *ended, **ended_tail; /* tasks of modules whose done is due, tasks whose wait for a region is over */
    struct ring *in[WORKERS_MAX + 1];      /* RCU pointers; [workers]: from the control thread */
    struct overflow overflow[WORKERS_MAX];
    uint64_t rung; /* bit k: worker k got something in this turn */
    struct net_packet *handed[WORKER_HANDED_MAX]; /* datagrams from other workers' ports */
    uint32_t handed_count;
    struct task_pools tasks;
    struct fibers fibers;
    struct fiber *loop;      /* that turns.  Another one than the current: a task goes on that waited */
    struct fiber *told, **told_tail; /* tasks that go on in this turn's step or the next one's */
    struct timers sleeps;
    struct timers due;       /* periodic tasks that rest, */
    struct pool periodic;    /* and what is known of all of them */
    void *periodic_memory;
    struct link lock_waits;  /* tasks that wait for a lock */
    struct link watched;     /* tasks whose modules hear when nobody waits for them any more */
    uint64_t watch_ns;       /* not looked at before, */
    bool watch_now;          /* atomic: but when another worker says so */
    uint32_t parked;         /* tasks that wait, periodic ones, and watched ones */
    bool unusual;            /* the task that runs waited, took a lock, or has to wait: its end is looked at */
    struct task *task;       /* that runs, or NULL, */
    struct chi_lane *lane;   /* and the lane that it was on, */
    struct task *unwaited;   /* and what it submitted without a `done` and has not waited for */
    uint8_t flushing;        /* enum flush_phase, */
    bool old_cause;          /* the callback that runs is of a task that is old to it; */
    struct worker_flush flush; /* and the rest of it */
    uint64_t roots;          /* numbers given to tasks that run here */
    uint32_t latency_weight, owed; /* latency tasks that ran while throughput lanes were ready, for which those ran none yet (lanes.c) */
    uint64_t clock_ns, lane_from_ns; /* read last while lanes run; when this lane began */
    uint64_t lanes_random;
    uint32_t lanes_each;     /* WORKER_TIMED_EACH, but for tests */
    uint32_t lanes_weight;   /* the time of this turn's lanes counts for that of so many turns; 0: it is not read */
    uint32_t load_left, load_each; /* batches up to the next one whose runs are measured; one of so many is, */
    uint32_t load_weight;          /* and a run of this one stands for so many; */
    uint64_t load_from_ns;         /* when it began */
    uint64_t load_often_ns, load_long_ns; /* LOAD_OFTEN_NS, LOAD_LONG_NS, but for tests */
    struct load_run *measured; /* the run that goes on and is measured; NULL: none, or it waited */
    bool (*between)(struct worker *w, unsigned did); /* turns; false: the loop ends */
    struct ipc_channel *channels;
    struct buddy *memory;
    void *arena, *memory_book;
    uint64_t arena_bytes;
    struct xfer *xfer; /* NULL without ports */
    bool xfer_ended;   /* xfer_shutdown was called */
    bool ports_armed;  /* to interrupt */
    bool turn_over;    /* tasks took so long that no more of them run in this turn: */
    uint64_t turn_limit_ns; /* WORKER_TURN_NS, but for tests */
    const struct sched_pool *pool; /* looked up last in this turn, which is one read section; or NULL */
    void *xfer_memory;
    size_t xfer_memory_bytes;
    uint8_t *scratch; /* CHI_FORM_BYTES_MAX: a client's form, or an answer's body */
    int epoll_fd;
    uint64_t idle_since_ns, sleep_ns;
    uint64_t busy_from_ns; /* the last turn did something, and began then; or 0 */
    uint64_t drops[CHI_DROP_COUNT];
    struct worker_stats stats;
    struct trace trace;
    struct fiber *woken __attribute__((aligned(CHI_CACHE_LINE))); /* atomic: told to go on by other threads, the last first */
    struct doorbell bell;
    struct carrier *turned_by; /* atomic: the thread that has it now, or NULL */
    struct carrier *carrier;   /* atomic: the thread that is to have it; the control thread writes it */
    struct carrier *home;      /* control thread's: that had it before another one held (runtime_relieve); NULL */
    unsigned did;        /* the last turn, when it came home */
    struct load_model load;
    bool asked; /* atomic: to look at its lanes (load.c), and it has not yet */
    uint32_t clients; /* the control thread's count */
    bool started, quiet; /* quiet: told to stop, and nothing is out any more */
    bool over;           /* its loop ended */
    bool holds;          /* control thread's: runtime_relieve was called for it */
};

struct still { /* still.c */
    sem_t came;
    uint64_t asked;               /* the control thread's */
    uint64_t over;                /* atomic: so far nobody stands any more */
    uint64_t stands[WORKERS_MAX]; /* atomic: worker k came to this one last */
};

struct runtime {
    struct runtime_options options;
    struct sched sched;
    struct net *net;
    struct background *background; /* NULL: no threads for calls that block */
    struct worker *worker[WORKERS_MAX];
    uint32_t workers, carriers;
    struct carrier *carrier[WORKERS_MAX]; /* never more than workers */
    uint64_t call_limit_ns; /* how long worker_call waits */
    struct balance *balance; /* of the lanes' load; NULL until it is looked at */
    uint64_t balance_looks, balance_moves, balance_failed; /* at the load; moves that were begun; that could not */
    struct lane_move *moves; /* of lanes, begun and not reaped */
    struct doorbell control_bell;        /* of the control thread (control.h), and */
    struct control_call *control_calls;  /* atomic: what tasks call it for, the last first */
    struct pools_end *ending;            /* what pools lost, until no worker uses it (pools.h) */
    uint32_t pools_last;                 /* the highest minor number of POOLS_MAJOR so far */
    struct still still;
    struct hold *hold; /* a module of which no new tasks are started (hold.c); NULL.  Changes while all stand still */
    struct task_look *task_look[WORKERS_MAX]; /* tasks.c; NULL: never asked */
    bool stopping; /* atomic: end what is open */
    bool ended;    /* atomic: leave the loop */
};

/* --- control thread */

/* Makes the runtime and its workers' memory and endpoints; no thread runs yet.  0 or -errno, with a line in err. */
CHI_MUST_CHECK int runtime_create(const struct runtime_options *o, struct runtime **out, char *err);
/* Starts the threads, each on its core; returns when all workers turn.  0 or -errno, with a line in err. */
CHI_MUST_CHECK int runtime_start(struct runtime *rt, char *err);
/* Ends all tasks that are out with SHUTDOWN, then the workers.  Returns how many tasks did not end within the time. */
uint32_t runtime_stop(struct runtime *rt, uint64_t limit_ns);
/* What the ledger says (task/ledger.h): false, when a task was lost or ended twice by the runtime.  Prints each task that is open, and what does not
 * add up.  Tasks that modules have are runtime_stop's to count.  True without CHI_LEDGER.  Pre: stopped, and not destroyed. */
CHI_MUST_CHECK bool runtime_books_closed(const struct runtime *rt, FILE *out);
/* Waits for calls that still block in the background, then gives all back.  Pre: stopped, or never started.  NULL is allowed. */
void runtime_destroy(struct runtime *rt);

/* One more thread, on a core: takes workers of those that have the most of them, between two of their turns.  0: the others have given them up; -EEXIST: the
 * core is in use; -ENOSPC: each worker has a thread of its own; -EINVAL: the process may not run there; -EAGAIN, -EMFILE, -ENOMEM: no thread; -EBUSY: none,
 * as one that was removed is held; -ETIMEDOUT: a worker is held, and goes to the new thread when it turns. */
CHI_MUST_CHECK int runtime_core_add(struct runtime *rt, uint32_t core);
/* Others take over what the thread of a core turns; it is parked.  0: it turns nothing any more; -ENOENT: no thread is there; -EBUSY: it is the only one;
 * -ETIMEDOUT: it is held, and ends so when it is not. */
CHI_MUST_CHECK int runtime_core_remove(struct runtime *rt, uint32_t core);
/* How the thread of a core idles; core NULL: all of them, and those that come.  0; -ENOENT: no thread is there. */
CHI_MUST_CHECK int runtime_idle_set(struct runtime *rt, const uint32_t *core, bool busy);
/* A worker does not return from a module: the others of its thread go to another one, on the same core if that is the only one, until runtime_relieved.
 * To be called again while it is held: others may have come.  Returns how many went. */
uint32_t runtime_relieve(struct runtime *rt, uint32_t index);
void runtime_relieved(struct runtime *rt, uint32_t index);
/* The worker that the thread of this one turns just now: itself, or one for which it waits; NULL: none. */
const struct worker *runtime_turned(const struct runtime *rt, uint32_t index);

/* Runs fn(worker, arg) on a worker's thread and waits for it; calls run in their order.  0; -ETIMEDOUT when the worker does not
 * turn (fn runs later: arg must stay until a later call has returned 0); -EAGAIN when its ring is full, -ENOMEM: fn does not run. */
CHI_MUST_CHECK int worker_call(struct runtime *rt, uint32_t index, void (*fn)(void *worker, void *arg), void *arg);

/* The same without waiting: fn runs when the worker turns.  False: its ring is full, and it does not run. */
CHI_MUST_CHECK bool worker_post(struct runtime *rt, uint32_t index, void (*fn)(void *worker, void *arg), void *arg);

/* Has each worker take all that is in its rings now, and begin another turn: what it found before, in tables or on its way between
 * workers, it uses no more.  0, or as worker_call. */
CHI_MUST_CHECK int runtime_settle(struct runtime *rt);

/* Has all workers stand still between two runs, calls fn on this thread, which may look at and change what is theirs, and lets them go on.  0; or fn was
 * not called: -ETIMEDOUT, a worker did not come within STILL_LIMIT_US; -EAGAIN, its ring is full.  What fn does should take microseconds. */
enum { STILL_LIMIT_US = 20000 };
CHI_MUST_CHECK int runtime_still(struct runtime *rt, void (*fn)(struct runtime *rt, void *arg), void *arg);

/* Gives a lane to a worker while tasks run (docs/THREADS.md, A lane moves).  0: it is there; -EINVAL: no such worker; -EPERM: the lane is fixed;
 * -EBUSY: it is on its way since an earlier call, or a module is held (hold.h); -ENOMEM; -EAGAIN as worker_call, and it stays; -ETIMEDOUT: a worker does not turn, and the lane
 * moves when all do. */
CHI_MUST_CHECK int runtime_lane_move(struct runtime *rt, struct chi_lane *lane, uint32_t to);
/* The same, but it may be on its way still when this returns 0.  -EALREADY: it is there. */
CHI_MUST_CHECK int runtime_lane_send(struct runtime *rt, struct chi_lane *lane, uint32_t to);

/* Looks at the time that lanes took since the last look, and at what lies on them, and begins the moves that lane/balance.h decides for; one that moved
 * rests for BALANCE_RESTS looks.  To be called each BALANCE_MS.  0; -ENOMEM, or as runtime_lane_send: what is left is for the next look. */
enum { BALANCE_MS = 100, BALANCE_RESTS = 10 };
CHI_MUST_CHECK int runtime_balance(struct runtime *rt, uint64_t now_ns);

/* Asks each worker what the tasks that lie on its lanes are likely to take: `each_ns` of its lanes says it when it has looked.  Waits for none, and does
 * not ask one that has not looked since the last time. */
void runtime_ask_load(struct runtime *rt);
/* What lies on a lane is likely to take, as of the last look. */
uint64_t lane_queued_ns(const struct chi_lane *lane);

/* A node that tasks may go to from now on; pools keep the containers they have.  drain: new tasks to it end with DRAINING, open
 * ones go on.  remove: those end (xfer_peer_remove), and it is forgotten.  Pre: there is a transport.  0; -ENOSPC beyond peers_max,
 * -ENOENT, -ENOMEM, or as worker_call: of -ETIMEDOUT the worker makes up when it turns. */
CHI_MUST_CHECK int runtime_peer_add(struct runtime *rt, uint32_t node, const struct xfer_addr *paths, uint32_t n);
CHI_MUST_CHECK int runtime_peer_drain(struct runtime *rt, uint32_t node);
CHI_MUST_CHECK int runtime_peer_remove(struct runtime *rt, uint32_t node);
/* A port or its link changed: the endpoints look which paths are up.  As worker_call. */
CHI_MUST_CHECK int runtime_paths_changed(struct runtime *rt);

/* Adds a client's channel to a worker; removes it (the client is gone).  After removal the channel is destroyed by
 * runtime_reap, when none of its tasks is out.  runtime_attach: 0 or -errno; after -ETIMEDOUT the worker may still find
 * the channel later, so that it is the caller's to reap and not to destroy. */
CHI_MUST_CHECK int runtime_attach(struct runtime *rt, struct ipc_channel *ch);
void runtime_detach(struct runtime *rt, struct ipc_channel *ch);
/* Tries to take a detached channel off its worker: true when it is gone (and destroyed). */
bool runtime_reap(struct runtime *rt, struct ipc_channel *ch);

/* A task that runs or waits, as it was when its worker looked. */
struct task_seen {
    struct chi_pool_id pool;
    uint32_t method;
    uint32_t worker;       /* of its lane, else its home */
    uint32_t container, queue, lane; /* of one that is here: */
    bool here;
    uint32_t node;         /* AWAY: where to */
    uint8_t state, origin; /* enum task_state: RUNNING, WAITING, AWAY or SPREAD; enum task_origin */
    bool says;             /* `done` and `of` are its own */
    uint64_t age_ns;                   /* since it was submitted; UINT64_MAX: not known */
    uint64_t done, of;
};
/* The tasks of a worker that have begun or are away and have not ended, at most `most` of them; returns how many.  Calls the worker several times, so
 * that no turn takes long; a task that goes on meanwhile may be missed.  Or negative, as worker_call. */
CHI_MUST_CHECK int runtime_tasks(struct runtime *rt, uint32_t worker, struct task_seen *out, unsigned most);

/* The worker of the calling thread, or NULL: for the panic hook. */
struct worker *worker_current(void);
