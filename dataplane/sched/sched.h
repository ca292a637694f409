/* sched.h - modules, pools and containers of this node in urcu tables (QSBR), and the resolution of queries through them.
 *
 * Threads: init, load, compose, make, change, hide, node_set, fini by the control thread; find and resolve by any worker, which is a QSBR reader: what
 * they return stays until its next quiescent state.  Pools come and go while workers run; who takes one out of sight frees it when they are all past
 * that (worker/pools.c).  Memory: from the heap, by the control thread alone.
 * What workers read of a pool by a pointer that changes is written with release and read with acquire, in place of urcu's calls of functions. */
#pragma once
#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>

#include "chi/chimod.h"
#include "lane/lane.h"

struct runtime;

enum { SCHED_NAME_MAX = 31, SCHED_LANES_MAX = 1024, SCHED_METHOD_ID_MAX = 1023, SCHED_ERROR_BYTES = 256, SCHED_VERSIONS = 2 /* names at once */,
       SCHED_CONTAINERS_MAX = 8192, SCHED_POOLS_MAX = 1024 };

struct sched_module {
    struct cds_lfht_node node;
    char name[SCHED_NAME_MAX + 1];
    char *path;   /* of its file, without links */
    void *handle; /* dlopen's */
    unsigned version;         /* 0, and one more with each upgrade since */
    uint64_t device, inode;   /* of its file */
    const char *image, *image_end; /* where its code and data lie */
    const struct chi_chimod *ops;
    struct chi_method **by_id; /* method_count entries, NULL: none */
    uint32_t method_count;
    uint32_t pools; /* of it, those that are out of sight and not freed included */
    bool changes;   /* another version takes its place: until that is over no pool of it comes, changes or goes */
    struct sched_module *next; /* all, in the order of loading */
};

/* Which node has which container of a pool.  Never changes: another one takes its place, of a higher version. */
struct sched_table {
    struct sched_pool *pool;
    uint32_t version; /* 0: as the configuration says */
    uint32_t containers, *node_of; /* container -> node id */
    struct sched_member *members; /* the nodes that have containers, ascending (spread.h) */
    uint32_t *order;             /* the containers, those of each member together */
    uint32_t member_count, hash; /* hash: of node_of */
    bool in_order;               /* `order` is ascending */
};
struct sched_member {
    uint32_t node, at, count; /* order[at .. at + count - 1], ascending */
};

struct sched_pool {
    struct cds_lfht_node node;
    struct chi_pool_id id;
    char name[SCHED_NAME_MAX + 1];
    struct sched_module *module;
    struct sched_table *table;   /* RCU pointer */
    struct chi_container *local; /* RCU pointer: this node's first one; NULL: none */
    struct sched_pool *next;     /* all, in the order of creation */
};

struct sched_queue {
    struct chi_lane *lanes;
    uint32_t count;
};
struct chi_container {
    struct cds_lfht_node node;
    struct sched_pool *pool;
    const struct chi_chimod *ops;
    struct sched *sched;
    void *state;
    uint32_t id;
    struct sched_queue queue[CHI_QUEUES_MAX];
    struct chi_container *next; /* all of this node, in the order of creation */
    struct chi_container *next_local;  /* of its pool; or of those that left together */
    struct chi_container *next_polled; /* RCU pointer: of those whose module polls or flushes */
    const void *leaves; /* atomic: who ends its tasks, as it is out of sight (worker/pools.c); NULL: it is in use */
};

/* The nodes that a PHYSICAL query may name, ascending.  Never changes: another one takes its place. */
struct sched_known {
    struct rcu_head rcu;
    uint32_t count, id[];
};

struct sched {
    struct cds_lfht *modules, *pools, *containers;
    struct chi_container *all, **all_tail, *polled, **polled_tail; /* polled: RCU pointers */
    struct sched_pool *made, **made_tail; /* pools, in the order of creation */
    uint32_t pool_count;
    struct sched_module *loaded, **loaded_tail;
    uint32_t *nodes; /* of the configured cluster, ascending: they have the containers of each pool, whoever comes and goes */
    uint32_t node_count, node_id, workers;
    bool lanes_by_hash; /* where lanes that are not fixed begin; else lane k of a queue on worker k modulo workers */
    struct sched_known *known; /* RCU pointer */
    struct sched_pool *remote_queue; /* the pool that tasks leave through; NULL: none */
};

/* nodes: ids of all nodes of the cluster, this one included.  0, -ENOMEM. */
CHI_MUST_CHECK int sched_init(struct sched *s, uint32_t node_id, const uint32_t *nodes, uint32_t node_count, uint32_t workers);
/* Ends every container in reverse order, then pools and modules.  Pre: no worker runs.  Calls rcu_barrier before dlclose. */
void sched_fini(struct sched *s);

/* Loads NAME.so from the first of `paths` that has it.  A name that is loaded already is fine.  Returns 0, or -errno with a line
 * in err: -ENOENT, -EPERM (others could change the file or its folders: trust.h), -ENOEXEC (not a ChiMod, another ABI, a bad method table), -EINVAL (no
 * name), -ENOMEM. */
CHI_MUST_CHECK int sched_load(struct sched *s, const char *name, const char *const *paths, unsigned npaths, char *err);

/* Another version of a loaded module, from the file that is there now; nobody knows it yet.  0 and *out, or -errno with a line in err, as sched_load;
 * -EEXIST: it is the same file. */
CHI_MUST_CHECK int sched_load_again(const struct sched_module *old, const char *const *paths, unsigned npaths, struct sched_module **out, char *err);
/* Takes the place of the old version in tables and pools.  Pre: all workers stand still.  The old one is the caller's: sched_module_end. */
void sched_module_replace(struct sched *s, struct sched_module *old, struct sched_module *m);
/* Waits until no worker knows a module that is in no table, then for calls of call_rcu, and closes its file.  Pre: no task record names its code. */
void sched_module_end(struct sched_module *m);
static inline bool sched_module_has(const struct sched_module *m, const void *p) { return (const char *)p >= m->image && (const char *)p < m->image_end; }

/* Unpublishes a module that no pool is of, waits until no worker knows it, then for calls of call_rcu, and closes its file.  0, or -errno with a line in
 * err: -ENOENT, -EBUSY.  Pre: no task record names its code. */
CHI_MUST_CHECK int sched_unload(struct sched *s, const char *name, char *err);

/* Makes the pool of a loaded module, with so many containers on each node of the configured cluster, and this node's.  0 or -errno with a line in err. */
CHI_MUST_CHECK int sched_compose(struct sched *s, const char *module, struct chi_pool_id id, const char *name, uint32_t per_node, char *err);

/* --- pools while workers run.  Control thread. */

struct sched_plan { /* of a pool */
    const char *module, *name; /* the module is loaded */
    struct chi_pool_id id;
    uint32_t version, containers;
    const uint32_t *node_of; /* copied */
};
/* Makes the pool with this node's containers, then lets it be found.  0; or nothing is left of it, and there is a line in err: -EEXIST the id, -E2BIG
 * too many pools or containers, -EINVAL the module's init failed, -ENOMEM. */
CHI_MUST_CHECK int sched_pool_make(struct sched *s, const struct sched_plan *plan, char *err);
/* Gives the pool another table, with more containers behind those that it has, or without the last ones.  This node's new ones are begun before they are
 * found; those that go are found no more, and are *gone_out (by next_local).  *old_out: the table that it had.  Both are the caller's, to
 * be ended and freed when no worker knows them.  0; or nothing changed, and there is a line in err: as sched_pool_make; -ERANGE where a
 * container that stays would be on another node, or none stays. */
CHI_MUST_CHECK int sched_pool_change(struct sched *s, struct sched_pool *p, uint32_t version, const uint32_t *node_of, uint32_t containers,
                                     struct chi_container **gone_out, struct sched_table **old_out, char *err);
/* The pool and its containers are found no more.  Returns these (by next_local); the caller ends and frees all when no worker knows them. */
struct chi_container *sched_pool_hide(struct sched *s, struct sched_pool *p);
/* Ends and frees them, the last one first.  Pre: no worker knows them, and no task is left. */
void sched_containers_end(struct chi_container *first);
void sched_table_free(struct sched_table *t); /* NULL is allowed */
void sched_pool_free(struct sched_pool *p);   /* and its table.  NULL is allowed */
/* Of all that are in use.  NULL: none. */
struct sched_pool *sched_pool_named(const struct sched *s, const char *name);

/* From now on PHYSICAL queries find this node, or do not.  0, or -ENOMEM and nothing changed. */
CHI_MUST_CHECK int sched_node_set(struct sched *s, uint32_t node, bool known);

struct sched_pool *sched_pool_find(const struct sched *s, struct chi_pool_id id);
struct chi_container *sched_container_find(const struct sched *s, struct chi_pool_id id, uint32_t container);

static inline struct sched_table *sched_table(const struct sched_pool *p) { return __atomic_load_n(&p->table, __ATOMIC_ACQUIRE); }
static inline struct chi_container *sched_local(const struct sched_pool *p) { return __atomic_load_n(&p->local, __ATOMIC_ACQUIRE); }

/* Where a task goes: a container of this node, or another node. */
struct sched_target {
    struct chi_container *local; /* NULL: go to `node` */
    uint32_t node;
};
/* Resolves a query for one container.  OK, or NO_CONTAINER, NO_NODE, NO_ROUTE (DYNAMIC), INVALID. */
enum chi_status sched_resolve(const struct sched *s, const struct sched_pool *pool, const struct chi_query *q, struct sched_target *out);

/* The method of a module by number, or NULL. */
static inline struct chi_method *sched_method(const struct sched_module *m, uint32_t id)
{
    return id < m->method_count ? m->by_id[id] : NULL;
}
/* The default lane of a container for a query on a worker: by hash for DIRECT_HASH, else one that this worker may own. */
struct chi_lane *sched_default_lane(const struct chi_container *c, const struct chi_query *q, uint32_t worker);
