/* periodic.c - tasks of modules that are run again each period (chi/chimod.h).
 *
 * Between two runs the task rests, and its record here is in the heap `due`, which a turn looks at with those that wait (wait_go_on): so a worker
 * without any pays nothing.  A run is a submission like any other, whose end comes back here.  What is due is always counted from the first
 * start, so that nothing adds up; of starts that are due together the last one is done, and the others are counted as missed.
 * All of it is the home worker's, but `stop`, which a run on another worker may set; that one's end brings it home. */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

struct periodic {
    struct timer timer; /* while the task rests */
    struct task *task;
    struct chi_query query; /* as it was submitted: a DYNAMIC one is asked each time */
    uint64_t due_ns, period_ns;
    uint64_t missed; /* before the last start */
    chi_done_fn done;
    void *arg;
    bool stop; /* atomic */
};

int periodic_init(struct worker *w)
{
    size_t bytes = pool_bytes(WORKER_PERIODIC_MAX, sizeof(struct periodic));
    w->periodic_memory = aligned_alloc(CHI_CACHE_LINE, (bytes + CHI_CACHE_LINE - 1) & ~(size_t)(CHI_CACHE_LINE - 1));
    w->due.heap = calloc(WORKER_PERIODIC_MAX + 1, sizeof *w->due.heap);
    if (!w->periodic_memory || !w->due.heap)
        return -ENOMEM;
    pool_init(&w->periodic, w->periodic_memory, WORKER_PERIODIC_MAX, sizeof(struct periodic));
    return 0;
}

void periodic_fini(struct worker *w)
{
    free(w->periodic_memory);
    free(w->due.heap);
}

/* The task's last end. */
static void over(struct worker *w, struct periodic *p)
{
    struct chi_task *task = task_public(p->task);
    chi_done_fn done = p->done;
    void *arg = p->arg;
    if (!p->stop)
        task->status = CHI_STATUS_SHUTDOWN;
    else if (task->status == CHI_STATUS_PENDING)
        task->status = CHI_STATUS_OK; /* it never ran */
    pool_put(&w->periodic, p);
    w->parked--;
    if (done)
        done(&w->rctx, task, arg);
    else
        chi_task_del(&w->rctx, task);
}

/* The `done` of each run, and of one that ends while it rests. */
static void run_ended(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    struct worker *w = r->worker;
    struct periodic *p = arg;
    if (p->stop || worker_stopping_st(w)) {
        over(w, p);
        return;
    }
    task_of(task)->state = TASK_RESTING;
    timers_set(&w->due, &p->timer, p->due_ns);
}

/* It rests no more, and runs no more: its callback comes, as after a run. */
static void end_rest(struct worker *w, struct periodic *p)
{
    books_submit(w, p->task, NULL); /* an end of its own, which no run has */
    LEDGER(ledger_end(&p->task->entry, CHI_STATUS_OK));
    p->task->state = TASK_ENDED;
    ended_module(w, p->task);
}

static void begin(struct worker *w, struct periodic *p)
{
    p->missed = (w->rctx.now_ns - p->due_ns) / p->period_ns;
    p->due_ns += (p->missed + 1) * p->period_ns;
    w->stats.periods++;
    w->stats.periods_missed += p->missed;
    p->task->state = TASK_NEW;
    task_public(p->task)->query = p->query;
    module_submit(w, p->task);
}

unsigned periodic_go_on(struct worker *w)
{
    bool all = worker_stopping_st(w);
    unsigned n = 0;
    for (; timers_next(&w->due) <= w->rctx.now_ns || (all && w->due.count); n++) {
        struct periodic *p = LIST_ENTRY(w->due.heap[1], struct periodic, timer);
        timers_later(&w->due, &p->timer, UINT64_MAX);
        if (all)
            end_rest(w, p);
        else
            begin(w, p);
    }
    chi_rctx_wake_at(&w->rctx, timers_next(&w->due));
    return n;
}

enum chi_status chi_periodic_start(struct chi_rctx *r, struct chi_task *task, uint64_t period_ns, chi_done_fn done, void *arg)
{
    struct worker *w = r->worker;
    struct task *t = task_of(task);
    CHI_ASSERT(t->origin == TASK_MODULE && t->state == TASK_NEW && t->home == w);
    if (!period_ns || period_ns > UINT64_MAX / 2)
        return CHI_STATUS_INVALID;
    struct periodic *p = pool_try_get(&w->periodic);
    if (!p)
        return CHI_STATUS_NO_MEMORY;
    *p = (struct periodic){.task = t, .query = task->query, .due_ns = r->now_ns, .period_ns = period_ns, .done = done, .arg = arg};
    wait_settled(t);
    t->from.module.done = run_ended;
    t->from.module.arg = p;
    t->state = TASK_RESTING;
    task->status = CHI_STATUS_PENDING;
    w->parked++;
    timers_set(&w->due, &p->timer, p->due_ns);
    chi_rctx_wake_at(r, p->due_ns);
    return CHI_STATUS_OK;
}

static struct periodic *periodic_of(const struct task *t)
{
    return t->origin == TASK_MODULE && t->from.module.done == run_ended ? t->from.module.arg : NULL;
}

chi_done_fn task_done(const struct task *t)
{
    const struct periodic *p = periodic_of(t);
    return p ? p->done : t->from.module.done;
}

void chi_periodic_stop(struct chi_rctx *r, struct chi_task *task)
{
    struct worker *w = r->worker;
    struct task *t = task_of(task);
    struct periodic *p = periodic_of(t);
    CHI_ASSERT(p && (t->home == w || t->state == TASK_RUNNING));
    __atomic_store_n(&p->stop, true, __ATOMIC_RELAXED); /* of a run elsewhere: it comes home with its end */
    if (t->home != w || !p->timer.place)
        return;
    timers_later(&w->due, &p->timer, UINT64_MAX);
    end_rest(w, p);
}

uint64_t chi_periodic_missed(const struct chi_rctx *r, const struct chi_task *task)
{
    const struct periodic *p = periodic_of(task_of((struct chi_task *)task));
    (void)r;
    return p ? p->missed : 0;
}
