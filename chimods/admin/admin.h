/* admin.h - ChiMod admin: pools that are made, changed and taken away while the cluster runs.  Pool 1.0 of each node, always there.
 *
 * A task goes to any node (chi_local, say).  It is passed on to the one that keeps the order of all such tasks: of the nodes that its configuration
 * lists, itself included, the one with the lowest id.  That one asks all nodes that it knows, decides, and has each of them do it.
 * A task that got there ends with OK, and `end.status` says what came of it (outputs travel with OK alone); one that did not ends with the reason
 * (UNREACHABLE, NO_MEMORY: tasks cannot wait, ...).  admin_status is both in one.
 *   INVALID      a name, a number, or a pool that this is not for: one of the runtime's own (MAJOR below 3)
 *   NO_POOL      no node has a pool of that name
 *   UNREACHABLE, DRAINING, PEER_DOWN, DEADLINE, ...  a node does not answer: `end.node`
 * Limits: docs/LIMITS.md; what callers of a pool see while it changes: docs/RUNTIME.md. */
#ifndef CHIMODS_ADMIN_H
#define CHIMODS_ADMIN_H

#include "chi/flush.h"

enum { ADMIN_MAJOR = CHI_ADMIN_MAJOR, ADMIN_NAME_BYTES = 31, ADMIN_WHY_BYTES = 200 };
enum { ADMIN_POOL_GET = 1, ADMIN_POOL_DESTROY = 2, ADMIN_POOL_EXPAND = 3, ADMIN_POOL_CONTRACT = 4,
       ADMIN_FLUSH = CHI_FLUSH /* chi/flush.h */, ADMIN_ASK = 16, ADMIN_APPLY = 17, ADMIN_REMOVE = 18, ADMIN_WAVE = 19 /* what nodes say to each other */ };

typedef CHI_STR_T(ADMIN_NAME_BYTES) admin_name; /* 1..31 letters, digits, '-' and '_' */
typedef CHI_STR_T(ADMIN_WHY_BYTES) admin_why;

/* What all of them give back. */
struct admin_end {
    uint32_t status;            /* enum chi_status: of the request */
    uint32_t node, node_status; /* the first node that could not, and why; 0: each could */
    admin_why why;              /* the same for people */
};
CHI_FIELDS(admin_end_items) = {CHI_ITEM(U32, struct admin_end, status), CHI_ITEM(U32, struct admin_end, node),
                               CHI_ITEM(U32, struct admin_end, node_status), CHI_STR(ITEM, struct admin_end, why)};
/* Of a task that ended. */
static inline enum chi_status admin_status(const struct chi_task *task, const struct admin_end *end)
{
    return (enum chi_status)(task->status != CHI_STATUS_OK ? task->status : end->status);
}

/* The pool of that name, which is made when there is none, unless no module is named: with so many containers on each node, of a module that each node has.  Its id is the same on all
 * nodes, whoever asks first.  Made: all nodes have it, or it is not OK, and none has it.  Found: nodes that lack
 * it get it, as one that was restarted; OK also when one of them does not answer or cannot, which `end.node` then says.
 * INVALID also: the pool is of another module; NO_MODULE, MODULE (its init failed), TOO_BIG: `end.node` says where. */
struct admin_pool_get {
    struct chi_task task;
    admin_name name, module; /* IN; no module: NO_POOL when there is none */
    uint32_t containers;     /* IN: on each node; of one that is there already it is not looked at */
    uint32_t major, minor;   /* OUT: its id */
    uint32_t count;          /* OUT: containers of all nodes */
    bool made;               /* OUT: it was not there before */
    struct admin_end end;    /* OUT */
};
CHI_FIELDS(admin_pool_get_fields) = {
    CHI_STR(IN, struct admin_pool_get, name),
    CHI_STR(IN, struct admin_pool_get, module),
    CHI_IN(U32, struct admin_pool_get, containers),
    CHI_OUT(U32, struct admin_pool_get, major),
    CHI_OUT(U32, struct admin_pool_get, minor),
    CHI_OUT(U32, struct admin_pool_get, count),
    CHI_OUT(BOOL, struct admin_pool_get, made),
    CHI_STRUCT(OUT, struct admin_pool_get, end, admin_end_items),
};
CHI_METHOD_VAR(admin_pool_get_method) = CHI_METHOD(ADMIN_POOL_GET, struct admin_pool_get, admin_pool_get_fields);

/* The pool of that name is gone from all nodes: new tasks for it end with NO_POOL, and so do those that have not begun; those that have are told, and
 * awaited for a while.  DEADLINE: some did not end; the pool goes when they have.  Else not OK: a node does not answer, and has it still. */
struct admin_pool_destroy {
    struct chi_task task;
    admin_name name;      /* IN */
    uint32_t tasks;       /* OUT: with DEADLINE, how many did not end */
    struct admin_end end; /* OUT */
};
CHI_FIELDS(admin_pool_destroy_fields) = {
    CHI_STR(IN, struct admin_pool_destroy, name),
    CHI_OUT(U32, struct admin_pool_destroy, tasks),
    CHI_STRUCT(OUT, struct admin_pool_destroy, end, admin_end_items),
};
CHI_METHOD_VAR(admin_pool_destroy_method) = CHI_METHOD(ADMIN_POOL_DESTROY, struct admin_pool_destroy, admin_pool_destroy_fields);

/* More containers, behind those that there are: so many on each node, or on one.  Not OK: a node could not, and all have those that they had. */
struct admin_pool_expand {
    struct chi_task task;
    admin_name name;      /* IN */
    uint32_t containers;  /* IN: 1 or more */
    uint32_t on;          /* IN: a node that gets them; 0: each of them */
    uint32_t count;       /* OUT: containers of all nodes then */
    struct admin_end end; /* OUT */
};
CHI_FIELDS(admin_pool_expand_fields) = {
    CHI_STR(IN, struct admin_pool_expand, name),
    CHI_IN(U32, struct admin_pool_expand, containers),
    CHI_IN(U32, struct admin_pool_expand, on),
    CHI_OUT(U32, struct admin_pool_expand, count),
    CHI_STRUCT(OUT, struct admin_pool_expand, end, admin_end_items),
};
CHI_METHOD_VAR(admin_pool_expand_method) = CHI_METHOD(ADMIN_POOL_EXPAND, struct admin_pool_expand, admin_pool_expand_fields);

/* The last so many containers go, on whatever nodes they are; one stays at least (INVALID).  Their tasks end as those of a pool that is destroyed, with
 * NO_CONTAINER; DEADLINE as there. */
struct admin_pool_contract {
    struct chi_task task;
    admin_name name;      /* IN */
    uint32_t containers;  /* IN: 1 or more */
    uint32_t count;       /* OUT: containers of all nodes then */
    uint32_t tasks;       /* OUT: with DEADLINE, how many did not end */
    struct admin_end end; /* OUT */
};
CHI_FIELDS(admin_pool_contract_fields) = {
    CHI_STR(IN, struct admin_pool_contract, name),
    CHI_IN(U32, struct admin_pool_contract, containers),
    CHI_OUT(U32, struct admin_pool_contract, count),
    CHI_OUT(U32, struct admin_pool_contract, tasks),
    CHI_STRUCT(OUT, struct admin_pool_contract, end, admin_end_items),
};
CHI_METHOD_VAR(admin_pool_contract_method) = CHI_METHOD(ADMIN_POOL_CONTRACT, struct admin_pool_contract, admin_pool_contract_fields);

#endif
