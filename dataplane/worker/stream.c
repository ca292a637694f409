/* stream.c - regions that come in and go back while their task runs (chi/chimod.h).
 *
 * Bytes come and go by the home worker's endpoint; the task runs on the worker that its lane was of when it began, which may be another.  What is
 * there is read from the endpoint's record (xfer_ready: acquire); everything else is said through the rings: a task that waits goes to its home
 * worker, stays there until there is enough, and comes back to where it waits, wherever its lane is by then; what is pushed goes there as a
 * number.  So `waits` is the home worker's, the rest of struct task_wait is its owner's of the moment, and at no time do both look. */
#include "internal.h"

/* The region that a bulk field of a task from another node names. */
static uint32_t region_of(const struct xfer_in *in, const struct chi_bulk *b)
{
    uint32_t k = 0;
    while (k < in->nregions && in->regions[k].ptr != b->ptr)
        k++;
    CHI_ASSERT(k < in->nregions);
    return k;
}

uint64_t chi_bulk_ready(struct chi_rctx *r, struct chi_task *task, const struct chi_bulk *b)
{
    (void)r;
    const struct task *t = task_of(task);
    if (t->origin != TASK_REMOTE || b->size == 0) /* the submitter's own memory */
        return b->size;
    return xfer_ready(t->from.remote.in, region_of(t->from.remote.in, b));
}

static bool is_enough(struct worker *w, struct task *t)
{
    return chi_bulk_ready(&w->rctx, task_public(t), t->wait.bulk) >= t->wait.bytes;
}

/* The worker that runs the task calls back in its step of callbacks. */
static void told(struct worker *w, struct task *t)
{
    t->link.next = NULL;
    *w->ended_tail = &t->link;
    w->ended_tail = &t->link.next;
}

/* Home worker: it need not wait any more. */
static void tell(struct worker *w, struct task *t)
{
    t->wait.waits = false;
    if (t->wait.worker == w)
        told(w, t);
    else
        route_send(w, t->wait.worker->index, t);
}

static void await(struct worker *w, struct task *t)
{
    if (is_enough(w, t) || __atomic_load_n(&t->cancelled, __ATOMIC_RELAXED))
        tell(w, t);
    else
        t->wait.waits = true;
}

void stream_item(struct worker *w, struct task *t)
{
    if (t->home == w)
        await(w, t);
    else
        told(w, t);
}

void chi_bulk_wait(struct chi_rctx *r, struct chi_task *task, const struct chi_bulk *b, uint64_t bytes, chi_more_fn fn)
{
    struct worker *w = r->worker;
    struct task *t = task_of(task);
    CHI_ASSERT(t->state == TASK_RUNNING);
    task_enter(t, TASK_WAITING);
    t->wait.bulk = b;
    t->wait.bytes = bytes < b->size ? bytes : b->size;
    t->wait.fn = fn;
    t->wait.worker = w;
    if (is_enough(w, t))
        told(w, t);
    else if (t->home == w)
        await(w, t);
    else
        route_send(w, t->home->index, t);
}

void stream_call_back(struct worker *w, struct task *t)
{
    struct chi_task *pub = task_public(t);
    enum chi_status st = is_enough(w, t) ? CHI_STATUS_OK : (enum chi_status)__atomic_load_n(&t->cancelled, __ATOMIC_RELAXED);
    task_enter(t, TASK_RUNNING);
    if (CHI_UNLIKELY(w->flushing))
        flush_cause(w, t);
    st = t->wait.fn(t->container, pub, &w->rctx, st);
    w->old_cause = false;
    if (st != CHI_STATUS_PENDING)
        chi_complete(&w->rctx, pub, st);
}

void worker_more_st(struct worker *w, struct xfer_in *in)
{
    CHI_ASSERT(w == worker_current());
    struct task *t = in->user;
    if (t->wait.waits && is_enough(w, t))
        tell(w, t);
}

void stream_cancelled(struct worker *w, struct task *t)
{
    if (t->wait.waits)
        tell(w, t);
}

void stream_push(struct worker *w, struct task *t, uint32_t region, uint64_t bytes)
{
    xfer_push(w->xfer, t->from.remote.in, region, bytes, w->rctx.now_ns);
}

enum chi_status chi_bulk_push(struct chi_rctx *r, struct chi_task *task, const struct chi_bulk *b, uint64_t bytes)
{
    struct worker *w = r->worker;
    struct task *t = task_of(task);
    CHI_ASSERT(t->state == TASK_RUNNING);
    if (bytes > b->size)
        return CHI_STATUS_INVALID;
    if (t->origin != TASK_REMOTE || bytes == 0) /* they are where they belong */
        return CHI_STATUS_OK;
    const struct xfer_in *in = t->from.remote.in;
    uint32_t k = region_of(in, b);
    if (!(in->regions[k].flags & CHI_EXPOSE) || bytes > xfer_ready(in, k))
        return CHI_STATUS_INVALID;
    if (t->home == w)
        stream_push(w, t, k, bytes);
    else
        route_push_bytes(w, t, k, bytes);
    return CHI_STATUS_OK;
}
