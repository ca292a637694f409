/* graph.h - graphs of tasks on virtual time: a seed draws nodes, workers, limits, a network and tasks that submit others; every worker is a plain
 * function whose turn is drawn too, so that one seed gives the same run again.  docs/TESTING.md says what is checked.
 *
 * Thread: one.  world.c has nodes, time and network; jobs.c what each task is to do, and what may become of it; module.c does it. */
#pragma once
#include "base/prng.h"
#include "worker_support.h"
#include "xfer/xfer.h"

/* Ends the run, and names the seed. */
#define CHECK(e) ((e) ? (void)0 : graph_failed(__FILE__, __LINE__, #e, 0, 0))
#define CHECK_JOB(j, e) ((e) ? (void)0 : graph_failed(__FILE__, __LINE__, #e, (j)->number, (j)->task_status))
_Noreturn void graph_failed(const char *file, int line, const char *what, uint64_t job, uint64_t status);

enum { NODES_MAX = 6, WORKERS_OF_NODE = 2, CONTAINERS_OF_NODE = 3, CONTAINERS_MAX = NODES_MAX * CONTAINERS_OF_NODE, JOBS_MAX = 600 };
enum { PACKET = 1500, BULK_MAX = 6000 };

/* --- world.c */

struct packet;
struct post { /* a worker, and what is on the way to it */
    struct worker *w;
    void *endpoint;
    struct packet *first; /* by time */
    struct chi_task *parked[64];
    uint64_t parked_until[64];
    uint32_t parked_count;
    uint64_t submitted;  /* tasks to one container, so far */
    void *active;        /* the job that runs between two calls that wait, or NULL */
};
struct node {
    struct runtime *rt;
    struct post post[WORKERS_OF_NODE];
    bool stopped, dead; /* it ended its tasks; it turns no more */
};
struct world {
    uint64_t seed, now_ns, digest, turns, packets, lost;
    struct prng draw, net; /* what happens; to packets */
    uint32_t nodes, per_node, containers, neighborhood, stacks, tasks, loss_ppm, delay_ns;
    uint64_t arena_bytes, turn_limit_ns, step_ns;
    bool tight;    /* few records, stacks, memory: NO_MEMORY is an end */
    bool stops, dies; /* a node does in the middle */
    struct node node[NODES_MAX];
};
extern struct world world;

void world_make(uint64_t seed, const struct chi_chimod *ops);
void world_turn(void); /* of some worker */
bool world_is_quiet(void);
void world_end(void); /* all is back */
static inline void world_note(uint64_t v) /* into the digest */
{
    world.digest = (world.digest ^ v) * 0x100000001b3u;
    world.digest ^= world.digest >> 29;
}
static inline bool is_dead(uint32_t node) { return world.node[node - 1].dead; }
static inline struct post *post_of(const struct worker *w) { return &world.node[w->rt->options.node_id - 1].post[w->index]; }

/* --- jobs.c */

enum { JOB = 1, DATA = 2, SHARE = 3, TEXT = 4, FLOW = 5, TEXT_MAX = 1800 };
extern struct chi_method job_method, data_method, share_method, text_method, flow_method;
#define POOL ((struct chi_pool_id){100, 0})

/* What all methods begin with.  number: in the table of jobs. */
struct call {
    struct chi_task task;
    uint64_t number;              /* IN */
    uint64_t who, sum;            /* OUT */
};
struct data_call {
    struct call call;
    struct chi_bulk in, both, out;
};
struct share_call {
    struct call call;
    struct chi_bulk both, out; /* sliced */
};

struct text_call { /* its form is in no single packet */
    struct call call;
    CHI_BYTES_T(TEXT_MAX) text;
};

struct flow_call { /* begins before its bytes are there, and gives some back before its end */
    struct call call;
    struct chi_bulk out, in;
};

/* What a container does with a job. */
struct visit {
    uint8_t runs, dels;
    bool ended; /* its run returned, or was completed */
};
struct job {
    uint64_t number, seed;
    uint64_t root;      /* of who submitted it while it ran; 0: nobody did */
    uint64_t order;     /* among what its worker submitted to one container; 0: it is not in order with any */
    struct lock *enter; /* takes it, which its submitter holds, */
    uint8_t mode;       /* like that */
    uint16_t method, depth;
    uint32_t node, worker; /* who submitted it */
    struct chi_query query; /* as it was submitted, and */
    struct chi_query concrete; /* what the monitor makes of it */
    uint32_t first, count; /* the containers that it is for; count 0: it ends with `must` */
    enum chi_status must;
    bool fan, merges, hurried, waited, given_up;
    uint32_t bad, refused;  /* containers: where run fails, where the monitor does; UINT32_MAX: none */
    struct chi_replica replica[CONTAINERS_MAX];
    struct chi_replicas replicas;
    uint64_t bytes;         /* of each region, of the text */
    uint8_t *memory;        /* of its worker; NULL: none */
    uint8_t ended;
    uint32_t task_status;
    struct visit visit[CONTAINERS_MAX];
};
extern struct job jobs[JOBS_MAX];
extern uint32_t job_count;
extern uint64_t ends[64]; /* by status */

/* A job drawn and made, with a record of the worker's; NULL: there is no job, record or memory left.  root, depth: of who submits it. */
struct chi_task *job_new(struct chi_rctx *r, struct prng *p, uint64_t root, uint32_t depth);
/* A small one that enters a lock where its submitter holds it. */
struct chi_task *job_new_kin(struct chi_rctx *r, uint64_t root, struct lock *l, uint8_t mode, uint32_t container);
void job_submit(struct chi_rctx *r, struct chi_task *t, chi_done_fn done);
void job_done(struct chi_rctx *r, struct chi_task *t, void *arg); /* judges it, and gives it back */
void job_judge(struct chi_rctx *r, struct chi_task *t);
void jobs_end(void); /* each ended once */
static inline struct job *job_of(const struct chi_task *t) { return &jobs[((const struct call *)t)->number]; }
static inline uint64_t job_sum(const struct job *j, uint32_t container) { return j->seed * 31 + container * 7919 + 1; }
static inline uint8_t job_byte(const struct job *j, uint64_t i) { return (uint8_t)(j->seed + i * 13 + i / 251); }
static inline uint64_t job_used(const struct job *j) { return j->bytes - j->bytes / 7; } /* of `out`, that run fills */
static inline uint32_t container_node(uint32_t container) { return container / world.per_node + 1; }

/* --- module.c */

extern const struct chi_chimod graph_module;
void module_begin(void);
void module_end(void); /* no lock is held */
