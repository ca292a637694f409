/* inner.h - what the admin modules of the nodes say to each other, and what its files have in common.
 *
 * The node that keeps the order (admin.h) runs one request at a time (the lock of its container): it asks all nodes, decides, and has each of them do it.
 * On each node the control thread does it (worker/pools.h); the task waits for that on its stack. */
#pragma once
#include "admin.h"
#include "chi/chimod.h"
#include "chi/lock.h"

enum { ADMIN_NODES_MAX = 1025, ADMIN_AT_ONCE = 32 /* tasks out to nodes */ };
enum { ADMIN_ASK_MS = 2000, ADMIN_APPLY_MS = 5000, ADMIN_REMOVE_MS = 3000 /* more than POOLS_END_MS */,
       ADMIN_WAVE_MS = 3600000 /* the longest flush */ };
enum { ADMIN_QUEUE = 0, ADMIN_QUEUE_WORKERS = 1 /* lane k is of worker k */ };

/* ask: which pool of that name the node has. */
struct admin_ask {
    struct chi_task task;
    admin_name name;        /* IN */
    bool found;             /* OUT */
    uint32_t major, minor, version, containers, hash, last; /* OUT: last: the highest minor number of POOLS_MAJOR that the node saw */
    admin_name module;      /* OUT */
    uint32_t status;        /* OUT */
    struct chi_bulk table;  /* OUT: node of each container, u32, as long as that is no longer than this */
};
CHI_FIELDS(admin_ask_fields) = {
    CHI_STR(IN, struct admin_ask, name),          CHI_OUT(BOOL, struct admin_ask, found),      CHI_OUT(U32, struct admin_ask, major),
    CHI_OUT(U32, struct admin_ask, minor),        CHI_OUT(U32, struct admin_ask, version),     CHI_OUT(U32, struct admin_ask, containers),
    CHI_OUT(U32, struct admin_ask, hash),         CHI_OUT(U32, struct admin_ask, last),        CHI_STR(OUT, struct admin_ask, module),
    CHI_OUT(U32, struct admin_ask, status),       CHI_BULK_OUT(struct admin_ask, table),
};
CHI_METHOD_VAR(admin_ask_method) = CHI_METHOD(ADMIN_ASK, struct admin_ask, admin_ask_fields);

/* apply: the node has this pool from now on. */
struct admin_apply {
    struct chi_task task;
    admin_name name, module;               /* IN */
    uint32_t major, minor, version;        /* IN */
    uint32_t status, tasks;                /* OUT */
    admin_why why;                         /* OUT */
    struct chi_bulk table;                 /* IN */
};
CHI_FIELDS(admin_apply_fields) = {
    CHI_STR(IN, struct admin_apply, name),     CHI_STR(IN, struct admin_apply, module),  CHI_IN(U32, struct admin_apply, major),
    CHI_IN(U32, struct admin_apply, minor),    CHI_IN(U32, struct admin_apply, version), CHI_OUT(U32, struct admin_apply, status),
    CHI_OUT(U32, struct admin_apply, tasks),   CHI_STR(OUT, struct admin_apply, why),    CHI_BULK_IN(struct admin_apply, table),
};
CHI_METHOD_VAR(admin_apply_method) = CHI_METHOD(ADMIN_APPLY, struct admin_apply, admin_apply_fields);

/* remove: the node has it no more.  NO_POOL where it had none. */
struct admin_remove {
    struct chi_task task;
    uint32_t major, minor;  /* IN */
    uint32_t status, tasks; /* OUT */
    admin_why why;          /* OUT */
};
CHI_FIELDS(admin_remove_fields) = {
    CHI_IN(U32, struct admin_remove, major),   CHI_IN(U32, struct admin_remove, minor), CHI_OUT(U32, struct admin_remove, status),
    CHI_OUT(U32, struct admin_remove, tasks),  CHI_STR(OUT, struct admin_remove, why),
};
CHI_METHOD_VAR(admin_remove_method) = CHI_METHOD(ADMIN_REMOVE, struct admin_remove, admin_remove_fields);

/* wave: of a flush (flush.c), to a node, and from there to each of its workers.  Its status is the task's.  MOVED: this flush does not go on there. */
struct admin_wave {
    struct chi_task task;
    uint64_t id;            /* IN: rises from flush to flush */
    uint32_t phase, worker; /* IN: enum flush_phase; number of the worker and 1, or 0 */
    bool all;               /* IN: as of struct chi_flush_task */
    uint32_t major, minor;  /* IN */
    uint64_t open, came;    /* OUT: of COUNTING, as of struct flush_count */
};
CHI_FIELDS(admin_wave_fields) = {
    CHI_IN(U64, struct admin_wave, id),     CHI_IN(U32, struct admin_wave, phase), CHI_IN(U32, struct admin_wave, worker), CHI_IN(BOOL, struct admin_wave, all),
    CHI_IN(U32, struct admin_wave, major),  CHI_IN(U32, struct admin_wave, minor), CHI_OUT(U64, struct admin_wave, open),  CHI_OUT(U64, struct admin_wave, came),
};
CHI_METHOD_VAR(admin_wave_method) = CHI_METHOD(ADMIN_WAVE, struct admin_wave, admin_wave_fields);

/* --- nodes.c: to all nodes, on the one that keeps the order */

struct admin_node {
    uint32_t id;
    bool answers, has; /* the pool, of this version */
    uint32_t version;
};
struct admin_job { /* a request */
    struct chi_rctx *r;
    struct admin_end *end;
    struct chi_pool_id pool;
    char name[ADMIN_NAME_BYTES + 1], module[ADMIN_NAME_BYTES + 1];
    bool found;
    uint32_t version, containers, hash, last, best; /* best: a node that has this version */
    uint32_t tasks;  /* that did not end */
    uint32_t *table; /* bulk memory of the worker, or NULL */
    uint64_t table_bytes;
    uint32_t count;
    void *user; /* of fill and take below */
    struct admin_node node[ADMIN_NODES_MAX]; /* that this one knows, ascending */
};
void nodes_know(struct admin_job *j); /* fills in `node` */
/* Has fill make a task for each of the nodes that `of` says yes to (NULL: all), some at once, and take look at it when it ended; t NULL: there was no
 * record for it.  Returns the first status of take that is not OK, or OK. */
enum chi_status nodes_each(struct admin_job *j, struct chi_method *m, uint32_t limit_ms, bool (*of)(const struct admin_job *, const struct admin_node *),
                           void (*fill)(struct admin_job *j, struct chi_task *t),
                           enum chi_status (*take)(struct admin_job *j, struct admin_node *n, struct chi_task *t));
/* Asks all nodes for the pool job->name.  end->node: the first one that does not answer.  OK, also when none has it; INVALID: two have different ones. */
enum chi_status nodes_ask(struct admin_job *j);
/* job->table, of a pool that was found, with room for more containers behind those that it has.  OK, or why not. */
enum chi_status nodes_table(struct admin_job *j, uint32_t more);
/* Bulk memory for a table of so many containers in job->table; what was there is given back.  0: that alone.  False: there is none. */
bool nodes_room(struct admin_job *j, uint32_t containers);
/* Has each of the nodes that `of` says yes to (NULL: all) have the pool, with job->table and version, or have it no more.  OK, or the status of the first
 * that could not, which is end->node. */
enum chi_status nodes_apply(struct admin_job *j, bool (*of)(const struct admin_job *j, const struct admin_node *n));
enum chi_status nodes_remove(struct admin_job *j);

/* --- here.c: what is done on this node */
enum chi_status here_run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r);
/* Copies it with a NUL; false: it is no name. */
bool admin_name_read(const admin_name *name, char out[ADMIN_NAME_BYTES + 1]);
void admin_name_put(admin_name *name, const char *text);
void admin_why_put(admin_why *why, const char *text);

/* --- flush.c */
struct flush_state { /* of the node that keeps the order */
    struct chi_sem turn;
    uint64_t count; /* of flushes so far */
};
enum chi_status flush_in_turn(struct flush_state *s, struct chi_task *task, struct chi_rctx *r);
enum chi_status flush_wave(struct chi_container *c, struct chi_task *task, struct chi_rctx *r);
struct chi_lane *flush_lane(struct chi_container *c, const struct chi_task *task); /* of a wave; NULL: any */
