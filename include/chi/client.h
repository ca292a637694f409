/* client.h - libchi: submits tasks to the daemon of this host through shared memory.  Links neither DPDK nor urcu.
 *
 * Thread: a chi_client belongs to one thread at a time; a program with several threads connects once in each.
 * Bulk regions must lie in the client's segment (chi_bulk_alloc).  When the daemon goes away, every open task ends with
 * CHI_STATUS_DISCONNECTED. */
#ifndef CHI_CLIENT_H
#define CHI_CLIENT_H

#include "chi/task.h"

struct chi_client;

struct chi_client_options {
    uint64_t bulk_bytes; /* memory for bulk regions; 0: 64 MiB.  Rounded up to pages, at most the daemon's limit */
    uint32_t depth;      /* tasks out at once, a power of two, 2..4096; 0: 256 */
    uint32_t spin_us;    /* how long chi_wait polls before it sleeps; UINT32_MAX: for ever; 0: 50 */
};

CHI_BEGIN

/* Connects to the daemon's control socket, and maps the segment that it made.  options may be NULL.
 * Returns 0 and *out (owned by the caller until chi_disconnect), or -errno: -ECONNREFUSED/-ENOENT no daemon there,
 * -EINVAL options out of range, -EPROTO not a daemon of this version, -ENOMEM it has no memory for it, -EMFILE no
 * descriptors, -EAGAIN it has as many clients as it may, -ETIMEDOUT no answer within 5 s, or its worker does not turn. */
CHI_API CHI_MUST_CHECK int chi_connect(const char *socket_path, const struct chi_client_options *options, struct chi_client **out);

/* Ends the connection; tasks that are out are abandoned and their memory is the daemon's until they end there.
 * NULL is allowed. */
CHI_API void chi_disconnect(struct chi_client *c);

/* Memory of the segment for bulk regions, 64-byte aligned; NULL when the segment is full.  chi_bulk_free takes what
 * chi_bulk_alloc gave, or NULL; not while a task that names it is out.  Of the n that are not free, either is O(log(n)). */
CHI_API void *chi_bulk_alloc(struct chi_client *c, uint64_t size);
CHI_API void chi_bulk_free(struct chi_client *c, void *p);

/* Submits a task; task->method, pool, query and the IN fields are set.  The task stays the caller's, at its address, and
 * must not be touched until it ended: task->status is PENDING until then.
 * Returns PENDING when it is on its way; else it is not, and task->status says the same: BUSY (depth tasks are out: poll),
 * INVALID (no method, a field or query out of range, a bulk region outside the segment), TOO_BIG, NO_MEMORY (the form does
 * not fit into a slot, and bulk memory is full), DISCONNECTED.  The answer of a method whose form is written by hand may
 * have 4 KiB, else it ends with TOO_BIG.
 * A daemon that falls asleep at this very moment sees it at the next chi_poll that finds nothing or chi_wait that waits, at
 * the latest after its longest sleep (docs/LIMITS.md).
 * Costs one cache line to the worker when the form fits into it (48 bytes). */
CHI_API enum chi_status chi_submit(struct chi_client *c, struct chi_task *task);

/* Submits a task for which nobody waits.  It is serialised when this returns: the task is the caller's again, and nothing of it is written later.  What it
 * ends with nobody hears; the daemon counts it (`posts` and `posts_failed` of chictl stats).  It runs also when this client disconnects or dies at once,
 * and chi_task_cancelled does not say that the client is gone.  Memory that its regions name must stay as it is while the client is connected, as
 * nobody says how long it takes; what comes back goes there.  task->replicas is not used.
 * Returns OK when it is on its way, else what chi_submit returns, with nothing done.  It is one of the depth tasks that are out until it ended: when there
 * are so many this looks for completions, as chi_poll does, before it gives BUSY. */
CHI_API enum chi_status chi_post(struct chi_client *c, struct chi_task *task);

/* Takes in all completions that are there, and returns how many tasks ended.  Never sleeps. */
CHI_API unsigned chi_poll(struct chi_client *c);

/* Polls, then sleeps, until the task ended; timeout_ns < 0: without limit (it still ends by the task's own deadline, or
 * when the daemon goes).  Returns task->status, or TIMED_OUT when it is still out. */
CHI_API enum chi_status chi_wait(struct chi_client *c, struct chi_task *task, int64_t timeout_ns);

/* Waits until all tasks for that pool (NULL: for any) that were submitted before, by anybody on any node, have ended, and what these submit for it in turn
 * (chi/flush.h).  Takes in completions meanwhile.  timeout_us as in struct chi_task; 0: the daemon's default.  OK, or as chi_flush_status says; or as chi_submit. */
CHI_API CHI_MUST_CHECK enum chi_status chi_client_flush(struct chi_client *c, const struct chi_pool_id *pool, uint32_t timeout_us);

CHI_END
#endif
