/* task.h - the runtime's record of a task, and each worker's pools of them.
 *
 * A record is followed by its body: the method's struct, or the raw form of a task that only passes through.
 * Thread: the home worker, from whose pool it came; between a push onto a lane and its completion, the lane's owner.
 * Memory: pools of three body sizes, made at start; an empty pool is back-pressure. */
#pragma once
#include <string.h>

#include "base/pool.h"
#include "chi/chimod.h"
#include "ipc/ipc.h"
#include "lane/lane.h"
#include "task/ledger.h"
#include "xfer/list.h"
#include "xfer/xfer.h"

struct worker;
struct fan;

enum task_origin { TASK_CLIENT = 1, TASK_MODULE, TASK_REMOTE, TASK_REPLICA };
/* The life of a task; every transition is asserted, so that none ends twice or is lost unseen. */
enum task_state { TASK_FREE, TASK_NEW, TASK_QUEUED, TASK_RUNNING, TASK_WAITING, TASK_AWAY, TASK_SPREAD, TASK_ENDED, TASK_ANSWERED,
                  TASK_MARK /* none: it travels where tasks do (worker/move.c) */, TASK_RESTING /* periodic, between two runs */ };

enum task_age { TASK_FRESH, TASK_OLD, TASK_EXEMPT }; /* to a flush (worker/flush.h) */
/* Who waits for a task, as far as that is known without a look. */
enum {
    TASK_WAITS_RUN = 1,  /* a run of this node, with its root */
    TASK_WAITS_FAR = 2,  /* and one of another node.  Of a task that came: that alone */
    TASK_WAITS_BACK = 4, /* and perhaps, further up, one of this node again */
    TASK_WAITS_DONE = 8, /* a `done`; it was submitted outside of a run */
    TASK_WAITS_ABOVE = TASK_WAITS_FAR | TASK_WAITS_BACK, /* what its subtasks have of it */
};
/* How the node sees it that gets it (FORM_WAITS_). */
static inline unsigned task_waits_sent(unsigned waits) { return (waits & (TASK_WAITS_RUN | TASK_WAITS_FAR)) << 1; }
enum task_rooted { TASK_ROOT_UNKNOWN, TASK_ROOT_ITSELF, TASK_ROOT_INHERITED };

struct task_wait { /* WAITING, in chi_bulk_wait */
    chi_more_fn fn;
    const struct chi_bulk *bulk;
    uint64_t bytes;
    struct worker *worker; /* that runs it, also when its lane has moved since */
    bool waits; /* of a task from another node: its home worker looks at what comes.  Else false, from the record's beginning */
};

struct task {
    struct lane_item link; /* first: lanes, overflow lists, ended lists */
    struct chi_method *method; /* NULL: raw form */
    struct chi_container *container; /* that it runs in here, for its del; NULL: none, or none yet */
    struct chi_lane *lane;
    struct worker *home;
    struct chi_ar_region *regions; /* CHI_REGIONS_MAX of them, or NULL */
    uint8_t *extra; /* form or body too long for a packet, in bulk memory */
    uint64_t extra_bytes;
    uint64_t deadline_ns; /* atomic while it is on a lane: not run from here on.  0: `cancelled` is set.  UINT64_MAX: its origin looks at it */
    uint32_t node; /* AWAY: where to */
    uint32_t form_length;
    uint8_t nregions;
    uint8_t cancelled; /* atomic: why its origin waits no longer (enum chi_status).  0: it waits */
    uint8_t state;     /* atomic: enum task_state */
    uint8_t rooted;    /* enum task_rooted: whose `root` it has */
    uint8_t locks;     /* that it took in its run and holds (worker/lock.c) */
    uint8_t says;      /* atomic: how far its run is, in `done` and `of` */
    uint8_t origin, size_class;
    uint8_t waits;     /* TASK_WAITS_: who needs it to end */
    uint8_t age; /* atomic: enum task_age, while a flush goes on; else what the last one left, or anything but EXEMPT */
    union {
        struct { struct ipc_channel *channel; struct ipc_request request; } client;
        struct { chi_done_fn done; void *arg; struct task *next, **at; } module; /* next, at: of what a run has to wait for (worker/wait.c) */
        struct { struct xfer_in *in; } remote;
        struct { struct fan *fan; uint32_t at, low, high; } replica; /* its first place in the fan; AWAY: its members */
    } from;
    union {
        struct xfer_out out; /* goes to another node */
        struct {             /* runs here */
            union {
                struct task_wait wait;
                struct fan *fan; /* SPREAD: its replicas (worker/fan.c) */
            };
            struct link watch; /* of a module with `cancel`, from the beginning of its run on (worker/watch.c) */
            uint64_t root; /* the task that it was submitted for in the end: a number that no other one in this daemon gets */
            uint64_t done, of; /* how far its run is (chi_task_progress), relaxed */
        };
    };
#ifdef CHI_LEDGER
    struct ledger_entry entry;
#endif
} __attribute__((aligned(CHI_CACHE_LINE)));

/* Another worker than the record's home, which may be looking at it (worker/census.h), or that one. */
static inline void task_enter(struct task *t, enum task_state s) { __atomic_store_n(&t->state, (uint8_t)s, __ATOMIC_RELAXED); }
static inline enum task_state task_state(const struct task *t) { return (enum task_state)__atomic_load_n(&t->state, __ATOMIC_RELAXED); }

static inline struct chi_task *task_public(struct task *t) { return (struct chi_task *)(t + 1); }
static inline uint8_t *task_form(struct task *t) { return t->extra ? t->extra : (uint8_t *)(t + 1); }
static inline struct task *task_of(struct chi_task *p) { return (struct task *)p - 1; }
static inline struct task *task_of_link(struct lane_item *l) { return (struct task *)l; }
static inline struct task *task_of_out(struct xfer_out *o)
{
    return (struct task *)((uint8_t *)o - offsetof(struct task, out));
}

/* Body sizes: a small task with a form of one slot; what most structs and forms need; the largest, CHI_FORM_BYTES_MAX. */
enum { TASK_CLASSES = 3, TASK_BYTES_SMALL = 320, TASK_BYTES_MIDDLE = 2048 };
struct task_pools {
    struct pool body[TASK_CLASSES];
    struct pool regions;
    void *memory;
    size_t memory_bytes;
    uint32_t out; /* records in use */
#ifdef CHI_LEDGER
    struct ledger ledger;
#endif
};

/* Bodies that the pools of a worker hold: `tasks` small ones, a quarter of middle and a 64th of large ones, and lists of
 * regions for a quarter; 16 at least of each.  0, or -ENOMEM with *p empty.  Control thread. */
CHI_MUST_CHECK int task_pools_init(struct task_pools *p, uint32_t tasks);
void task_pools_fini(struct task_pools *p); /* of empty ones too */

/* A record for a body of at most CHI_FORM_BYTES_MAX bytes, or NULL when the pool is empty.  State NEW, without method, container, regions,
 * extra, root, locks, not cancelled; its other fields and its body are undefined. */
CHI_INLINE struct task *task_try_get(struct task_pools *p, size_t body_bytes)
{
    CHI_ASSERT(body_bytes <= CHI_FORM_BYTES_MAX);
    int c = body_bytes <= TASK_BYTES_SMALL ? 0 : body_bytes <= TASK_BYTES_MIDDLE ? 1 : 2;
    struct task *t = (struct task *)pool_try_get(&p->body[c]);
    if (!t)
        return NULL;
    t->method = NULL;
    t->container = NULL;
    t->regions = NULL;
    t->extra = NULL;
    t->nregions = t->cancelled = t->rooted = t->locks = t->says = 0;
    t->state = TASK_NEW;
    t->size_class = (uint8_t)c;
    p->out++;
    LEDGER(ledger_take(&p->ledger, &t->entry));
    return t;
}
/* Zeroes the body, of `bytes` bytes as task_try_get got them, or more of it; returns it. */
static inline struct chi_task *task_body_clear(struct task *t, size_t bytes)
{
    memset(t + 1, 0, CHI_CACHE_LINE); /* each body has a line, which takes four stores */
    if (bytes > CHI_CACHE_LINE)
        memset((uint8_t *)(t + 1) + CHI_CACHE_LINE, 0, bytes - CHI_CACHE_LINE);
    return task_public(t);
}
/* The task's region list; NULL when the pool is empty. */
struct chi_ar_region *task_regions_get(struct task_pools *p, struct task *t);
/* Gives record and region list back.  Pre: extra was given back, state is not FREE. */
static inline void task_put(struct task_pools *p, struct task *t)
{
    CHI_ASSERT(t->state != TASK_FREE && !t->extra);
    LEDGER(ledger_give_back(&p->ledger, &t->entry));
    if (t->regions)
        pool_put(&p->regions, t->regions);
    t->state = TASK_FREE;
    pool_put(&p->body[t->size_class], t);
    p->out--;
}

/* True while every size has a record: a source that can wait is asked only then. */
static inline bool task_pools_ready(const struct task_pools *p)
{
    return p->body[0].free && p->body[1].free && p->body[2].free && p->regions.free;
}
