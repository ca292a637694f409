/* flush.h - the task of a flush, for the module `admin`: pool 1.0 of any node.  Modules call chi_flush (chi/chimod.h), clients chi_client_flush
 * (chi/client.h).
 *
 * A flush ends with OK when all tasks for a pool, or for any, that were submitted before it, by anybody on any node, have ended, and all that these
 * submitted for it in turn.  Tasks that others submit meanwhile are not waited for, and go on.  Periodic tasks are waited for when they run.
 * A task that ended for its submitter without its target's word (DEADLINE, PEER_DOWN) is over, whatever its target does with it; one that waits for
 * the flush itself, or for a task that does, is waited for in vain: so that flush ends with DEADLINE.
 *   OK              `end` says what came of it (outputs travel with OK alone); chi_flush_status is both in one
 *   NO_POOL         the node that leads (docs/RUNTIME.md) has no such pool
 *   DEADLINE        timeout_us is over, and some have not ended
 *   NO_MEMORY       tasks cannot wait, or have no records
 *   UNREACHABLE, DRAINING, PEER_DOWN, PEER_RESTARTED, ...  `node` does not answer: what is there is not known
 *   DISCONNECTED, SHUTDOWN  nobody waits for it any more */
#ifndef CHI_FLUSH_H
#define CHI_FLUSH_H

#include "chi/task.h"

enum { CHI_ADMIN_MAJOR = 1, CHI_FLUSH = 5 /* number of the method */ };

struct chi_flush_task {
    struct chi_task task;
    bool all;              /* IN: of all pools, but `admin`; else of this one: */
    uint32_t major, minor; /* IN */
    uint32_t end, node;    /* OUT: enum chi_status; the first node that could not, 0: each could */
    uint32_t counts;       /* OUT: how many times all nodes were asked what is left */
};
CHI_FIELDS(chi_flush_fields) = {
    CHI_IN(BOOL, struct chi_flush_task, all), CHI_IN(U32, struct chi_flush_task, major), CHI_IN(U32, struct chi_flush_task, minor),
    CHI_OUT(U32, struct chi_flush_task, end), CHI_OUT(U32, struct chi_flush_task, node), CHI_OUT(U32, struct chi_flush_task, counts),
};
CHI_METHOD_VAR(chi_flush_method) = CHI_METHOD(CHI_FLUSH, struct chi_flush_task, chi_flush_fields);

/* pool NULL: all.  timeout_us as in struct chi_task. */
static inline void chi_flush_init(struct chi_flush_task *f, const struct chi_pool_id *pool, uint32_t timeout_us)
{
    f->task.pool.major = CHI_ADMIN_MAJOR;
    f->task.pool.minor = 0;
    f->task.query = chi_local();
    f->task.timeout_us = timeout_us;
    f->task.method = &chi_flush_method;
    f->all = !pool;
    f->major = pool ? pool->major : 0;
    f->minor = pool ? pool->minor : 0;
}
/* Of one that ended. */
static inline enum chi_status chi_flush_status(const struct chi_flush_task *f)
{
    return (enum chi_status)(f->task.status != CHI_STATUS_OK ? f->task.status : f->end);
}

#endif
