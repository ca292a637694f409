/* module_api.c - what a module calls with its run context (chi/chimod.h). */
#include "internal.h"

uint64_t chi_rctx_now_ns(const struct chi_rctx *r) { return r->now_ns; }
uint32_t chi_rctx_worker(const struct chi_rctx *r) { return r->worker->index; }
void chi_rctx_set_lane(struct chi_rctx *r, struct chi_lane *lane) { r->lane = lane; }

const struct chi_task *chi_rctx_replica(const struct chi_rctx *r) { return r->replica; }

struct chi_load *chi_rctx_load(struct chi_rctx *r) { return &r->load; }

void chi_rctx_wake_at(struct chi_rctx *r, uint64_t when_ns)
{
    if (when_ns < r->wake_ns)
        r->wake_ns = when_ns;
}

struct chi_task *chi_task_new(struct chi_rctx *r, struct chi_method *m)
{
    struct worker *w = r->worker;
    struct task *t = task_try_get(&w->tasks, m->size);
    if (!t)
        return NULL;
    struct chi_task *pub = task_body_clear(t, m->size);
    pub->method = m;
    t->method = m;
    t->home = w;
    t->origin = TASK_MODULE;
    t->from.module.at = NULL;
    return pub;
}

void chi_task_del(struct chi_rctx *r, struct chi_task *task)
{
    struct task *t = task_of(task);
    CHI_ASSERT(t->origin == TASK_MODULE && t->state == TASK_NEW && t->home == r->worker);
    wait_settled(t);
    task_put(&r->worker->tasks, t);
}

/* A task that stays in this daemon is handed over as it lies in memory: two modules that were built against other headers must
 * not share one. */
static enum chi_status same_method(const struct sched_pool *pool, struct chi_method *m)
{
    const struct chi_method *own = sched_method(pool->module, m->id);
    if (!own)
        return CHI_STATUS_NO_METHOD;
    return own->hash == chi_method_hash(m) && own->size == m->size ? CHI_STATUS_OK : CHI_STATUS_SCHEMA;
}

/* Its `done` and who waits are set.  waited: somebody does. */
CHI_INLINE void go(struct worker *w, struct task *t, bool waited)
{
    struct chi_task *task = task_public(t);
    t->rooted = TASK_ROOT_UNKNOWN;
    t->says = 0; /* it may be submitted again */
    t->waits = waited ? TASK_WAITS_DONE : 0;
    if (w->task) {
        t->root = task_root(w);
        t->rooted = TASK_ROOT_INHERITED;
        if (waited)
            t->waits = (uint8_t)(TASK_WAITS_RUN | (w->task->waits & TASK_WAITS_ABOVE));
    }
    t->deadline_ns = w->rctx.now_ns + (task->timeout_us ? task->timeout_us * 1000ULL : w->rt->options.task_timeout_ns);
    task->status = CHI_STATUS_PENDING;
    if (CHI_UNLIKELY(task->replicas))
        task->replicas->count = 0;
    books_submit(w, t, __builtin_return_address(0));
    w->stats.tasks_module++;

    const struct sched_pool *pool = worker_pool(w, task->pool);
    enum chi_status st = CHI_STATUS_NO_POOL;
    if (worker_stopping_st(w))
        st = CHI_STATUS_SHUTDOWN;
    else if (pool && (st = same_method(pool, task->method)) == CHI_STATUS_OK)
        st = route_task(w, t, pool);
    if (st != CHI_STATUS_OK) {
        t->container = NULL; /* also one whose monitor refused it: it did not run */
        ended_here(w, t, st);
    }
}

void module_submit(struct worker *w, struct task *t) { go(w, t, false); }

void chi_task_submit(struct chi_rctx *r, struct chi_task *task, chi_done_fn done, void *arg)
{
    struct task *t = task_of(task);
    CHI_ASSERT(t->origin == TASK_MODULE && t->state == TASK_NEW && t->home == r->worker);
    wait_settled(t);
    t->from.module.done = done;
    t->from.module.arg = arg;
    if (!done)
        wait_begin(r->worker, t);
    go(r->worker, t, true);
}

void chi_task_post(struct chi_rctx *r, struct chi_task *task)
{
    struct task *t = task_of(task);
    CHI_ASSERT(t->origin == TASK_MODULE && t->state == TASK_NEW && t->home == r->worker);
    wait_settled(t);
    t->from.module.done = NULL;
    wait_never(t);
    task->replicas = NULL; /* nobody looks, and what it names may go */
    r->worker->stats.posts++;
    go(r->worker, t, false);
}

enum chi_status task_why(const struct worker *w, const struct task *t, uint64_t now_ns)
{
    const struct task *whole = t->origin == TASK_REPLICA ? fan_whole(t) : t;
    enum chi_status st = task_cancelled(t); /* its container goes */
    if (st == CHI_STATUS_OK)
        st = task_cancelled(whole);
    if (st != CHI_STATUS_OK)
        return st;
    if (whole->origin == TASK_CLIENT && !whole->from.client.request.post && __atomic_load_n(&whole->from.client.channel->detached, __ATOMIC_RELAXED))
        return CHI_STATUS_DISCONNECTED;
    if (__atomic_load_n(&t->deadline_ns, __ATOMIC_RELAXED) <= now_ns)
        return CHI_STATUS_DEADLINE;
    return worker_stopping_st(w) ? CHI_STATUS_SHUTDOWN : CHI_STATUS_OK;
}

enum chi_status chi_task_cancelled(const struct chi_rctx *r, const struct chi_task *task)
{
    return task_why(r->worker, task_of((struct chi_task *)task), net_now_ns());
}

void chi_task_progress(struct chi_rctx *r, struct chi_task *task, uint64_t done, uint64_t of)
{
    struct task *t = task_of(task);
    (void)r;
    CHI_ASSERT(t->state == TASK_RUNNING);
    __atomic_store_n(&t->done, done, __ATOMIC_RELAXED);
    __atomic_store_n(&t->of, of, __ATOMIC_RELAXED);
    __atomic_store_n(&t->says, of != 0, __ATOMIC_RELEASE); /* behind the two, which were those of a run before */
}

bool task_progress(const struct task *t, uint64_t *done, uint64_t *of)
{
    const enum task_state s = task_state(t);
    if ((s != TASK_RUNNING && s != TASK_WAITING) || !__atomic_load_n(&t->says, __ATOMIC_ACQUIRE))
        return false;
    *done = __atomic_load_n(&t->done, __ATOMIC_RELAXED);
    *of = __atomic_load_n(&t->of, __ATOMIC_RELAXED);
    return true;
}

bool chi_task_progress_get(const struct chi_rctx *r, const struct chi_task *task, uint64_t *done_out, uint64_t *of_out)
{
    const struct task *t = task_of((struct chi_task *)(uintptr_t)task);
    CHI_ASSERT(t->origin == TASK_MODULE && t->home == r->worker);
    return task_progress(t, done_out, of_out);
}

void chi_complete(struct chi_rctx *r, struct chi_task *task, enum chi_status status)
{
    struct task *t = task_of(task);
    CHI_ASSERT((t->state == TASK_RUNNING || t->state == TASK_QUEUED) && status != CHI_STATUS_PENDING);
    CHI_ASSERT(!t->locks && "a task ended with a lock held");
    if (t->container && t->container->ops->cancel && t->state == TASK_RUNNING)
        watch_end(r->worker, t);
    ended_here(r->worker, t, status);
}

void *chi_mem_get(struct chi_rctx *r, uint64_t size) { return buddy_try_get(r->worker->memory, size); }
void chi_mem_put(struct chi_rctx *r, void *p, uint64_t size) { buddy_put(r->worker->memory, p, size); }
