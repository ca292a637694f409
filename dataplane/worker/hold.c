/* hold.c - see hold.h; by spin: tests/model/upgrade.pml. */
#include "hold.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "census.h"
#include "internal.h"

struct held { /* by one worker, in the order in which its lanes gave them */
    struct lane_item *head, **tail;
    uint64_t roots; /* that it gave numbers to before */
} __attribute__((aligned(CHI_CACHE_LINE)));
struct hold {
    struct chi_chimod ops; /* that the containers have meanwhile */
    const struct chi_chimod *real;
    const struct sched_module *module;
    bool closed; /* changes while all stand still */
    struct held at[WORKERS_MAX];
};

/* --- workers */

/* Somebody must have it to end who may have begun before the hold. */
static bool goes_on(const struct hold *h, const struct task *t)
{
    if (h->closed)
        return false;
    if (t->waits & (TASK_WAITS_BACK | TASK_WAITS_DONE))
        return true;
    return t->waits & TASK_WAITS_RUN && t->rooted != TASK_ROOT_UNKNOWN && t->root / WORKERS_MAX <= h->at[t->root % WORKERS_MAX].roots;
}

static enum chi_status hold_run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct worker *w = r->worker;
    struct hold *h = w->rt->hold;
    struct task *t = task_of(task);
    if (goes_on(h, t))
        return h->real->run(c, task, r);
    if (h->real->cancel)
        watch_end(w, t); /* it has not begun */
    struct held *at = &h->at[w->index];
    task_enter(t, TASK_QUEUED);
    t->link.next = NULL;
    *at->tail = &t->link;
    at->tail = &t->link.next;
    return CHI_STATUS_PENDING;
}

static unsigned hold_poll(struct chi_container *c, struct chi_rctx *r)
{
    const struct hold *h = r->worker->rt->hold;
    return h->closed ? 0 : h->real->poll(c, r);
}
static unsigned hold_flush(struct chi_container *c, struct chi_rctx *r)
{
    const struct hold *h = r->worker->rt->hold;
    return h->closed ? 0 : h->real->flush(c, r);
}

/* Ends what was held past its deadline, or that nobody waits for. */
static void end_late(void *worker, void *arg)
{
    struct worker *w = worker;
    struct hold *h = w->rt->hold;
    (void)arg;
    if (!h) /* the call came late */
        return;
    struct held *at = &h->at[w->index];
    for (struct lane_item **l = &at->head; *l;) {
        struct task *t = task_of_link(*l);
        if (__atomic_load_n(&t->deadline_ns, __ATOMIC_RELAXED) > w->rctx.now_ns) {
            l = &t->link.next;
            continue;
        }
        *l = t->link.next;
        if (!*l)
            at->tail = l;
        enum chi_status st = task_cancelled(t);
        ended_here(w, t, st ? st : CHI_STATUS_DEADLINE);
    }
}

/* --- records */

static bool is_of(const struct hold *h, const struct task *t) { return t->container && t->container->pool->module == h->module; }

static bool done_is_in(const struct sched_module *m, const struct task *t)
{
    return t->origin == TASK_MODULE && task_state(t) != TASK_NEW && sched_module_has(m, (const void *)(uintptr_t)task_done(t));
}

static const char *busy_with(const struct hold *h, const struct task *t)
{
    enum task_state s = task_state(t);
    if (is_of(h, t) && s != TASK_QUEUED && s != TASK_NEW)
        return s == TASK_ENDED || s == TASK_ANSWERED ? "ended, and its answer is on its way" : "runs or waits";
    return done_is_in(h->module, t) ? "is out, and a `done` of the module waits for it" : NULL;
}

static bool is_busy(const struct worker *w, const struct task *t, const void *what)
{
    struct hold_busy *b = (struct hold_busy *)(uintptr_t)what;
    const char *with = busy_with(w->rt->hold, t);
    if (!with)
        return false;
    if (!b->what) {
        const struct chi_method *m = t->method;
        snprintf(b->method, sizeof b->method, "%s", m ? m->name : "?");
        b->worker = w->index;
        b->what = with;
    }
    return true;
}

static bool names(const struct worker *w, const struct task *t, const void *module)
{
    const struct sched_module *m = module;
    (void)w;
    return t->method && (sched_module_has(m, t->method) || sched_module_has(m, task_public((struct task *)(uintptr_t)t)->method) || done_is_in(m, t));
}

int runtime_hold_look(struct runtime *rt, struct hold_busy *out)
{
    static struct hold_busy b; /* of the control thread; a call that it gave up may come to it later */
    int rc = 0;
    for (uint32_t i = 0; i < rt->workers && !rc; i++)
        rc = worker_call(rt, i, end_late, NULL);
    b = (struct hold_busy){0};
    rc = rc ? rc : runtime_census(rt, is_busy, &b, &b.count);
    *out = b;
    return rc;
}

int runtime_named(struct runtime *rt, const struct sched_module *m, uint64_t *count) { return runtime_census(rt, names, m, count); }

/* --- while all stand still: the control thread */

static void each_record(struct runtime *rt, void (*fn)(struct worker *w, struct task *t, void *arg), void *arg)
{
    for (uint32_t i = 0; i < rt->workers; i++) {
        struct worker *w = rt->worker[i];
        for (int k = 0; k < TASK_CLASSES; k++)
            for (uint32_t n = pool_touched(&w->tasks.body[k]); n-- > 0;) {
                struct task *t = pool_at(&w->tasks.body[k], n);
                if (t->state != TASK_FREE)
                    fn(w, t, arg);
            }
    }
}

static void set_ops(struct runtime *rt, const struct sched_module *m, const struct chi_chimod *ops)
{
    for (struct chi_container *c = rt->sched.all; c; c = c->next)
        if (c->pool->module == m)
            c->ops = ops;
}

/* What began has a root of before, whatever it submits later. */
static void give_root(struct worker *w, struct task *t, void *arg)
{
    if (!is_of(arg, t) || (t->state != TASK_RUNNING && t->state != TASK_WAITING) || t->rooted != TASK_ROOT_UNKNOWN)
        return;
    t->rooted = TASK_ROOT_ITSELF;
    t->root = ++w->roots * WORKERS_MAX + w->index;
}

static void begin(struct runtime *rt, void *arg)
{
    struct hold *h = arg;
    each_record(rt, give_root, h);
    for (uint32_t i = 0; i < rt->workers; i++)
        h->at[i].roots = rt->worker[i]->roots;
    set_ops(rt, h->module, &h->ops);
    rt->hold = h;
}

int runtime_hold(struct runtime *rt, const struct sched_module *m)
{
    CHI_ASSERT(!rt->hold);
    if (m->ops->run_many || !m->ops->run)
        return -EOPNOTSUPP;
    move_reap(rt, false);
    if (rt->moves)
        return -EBUSY;
    struct hold *h = aligned_alloc(CHI_CACHE_LINE, (sizeof *h + CHI_CACHE_LINE - 1) & ~(size_t)(CHI_CACHE_LINE - 1));
    if (!h)
        return -ENOMEM;
    memset(h, 0, sizeof *h);
    h->ops = *m->ops;
    h->ops.run = hold_run;
    h->ops.poll = m->ops->poll ? hold_poll : NULL;
    h->ops.flush = m->ops->flush ? hold_flush : NULL;
    h->real = m->ops;
    h->module = m;
    for (uint32_t i = 0; i < WORKERS_MAX; i++)
        h->at[i].tail = &h->at[i].head;
    int rc = runtime_still(rt, begin, h);
    if (rc)
        free(h);
    return rc;
}

static void count_busy(struct worker *w, struct task *t, void *arg) { *(uint64_t *)arg += busy_with(w->rt->hold, t) != NULL; }

static void close_when_idle(struct runtime *rt, void *arg)
{
    each_record(rt, count_busy, arg);
    rt->hold->closed = *(uint64_t *)arg == 0;
}

int runtime_hold_close(struct runtime *rt)
{
    uint64_t busy = 0;
    int rc = runtime_still(rt, close_when_idle, &busy);
    return rc ? rc : busy ? -EAGAIN : 0;
}

/* What was held lies first on its lane again, as it was. */
static void release(struct runtime *rt, struct hold *h)
{
    for (uint32_t i = 0; i < rt->workers; i++) {
        struct lane_item *reversed = NULL, *next;
        for (struct lane_item *l = h->at[i].head; l; l = next) {
            next = l->next;
            l->next = reversed;
            reversed = l;
        }
        for (; reversed; reversed = next) {
            struct chi_lane *lane = task_of_link(reversed)->lane;
            next = reversed->next;
            lane_unpop(lane, reversed, &rt->worker[lane_owner(lane)]->ready);
            rt->worker[i]->stats.tasks_run--; /* it did not */
        }
    }
    rt->hold = NULL;
}

static void end(struct runtime *rt, void *arg)
{
    struct hold *h = rt->hold;
    (void)arg;
    set_ops(rt, h->module, h->real);
    release(rt, h);
}

int runtime_hold_end(struct runtime *rt)
{
    struct hold *h = rt->hold;
    int rc = runtime_still(rt, end, NULL);
    if (!rc)
        free(h);
    return rc;
}

struct swap {
    struct sched_module *old, *m;
    void *const *states;
};

/* The method of its number where the task runs, when it is the same one. */
static struct chi_method *same_in(const struct sched_module *m, const struct chi_method *was)
{
    struct chi_method *own = sched_method(m, was->id);
    return own && own->hash == was->hash && own->size == was->size ? own : NULL;
}

static void name_anew(struct task *t, const struct sched_module *old, struct chi_method *own)
{
    struct chi_task *pub = task_public(t);
    if (sched_module_has(old, t->method))
        t->method = own;
    if (sched_module_has(old, pub->method))
        pub->method = own;
}

/* Pre: the pools are the new version's. */
static void repoint(struct worker *w, struct task *t, void *arg)
{
    const struct swap *s = arg;
    (void)w;
    if (!t->method || (t->state != TASK_QUEUED && t->state != TASK_RESTING && t->state != TASK_SPREAD && t->state != TASK_NEW))
        return; /* the others go their way; the old file stays until they are over */
    bool waits_here = t->state == TASK_QUEUED && t->container && t->container->pool->module == s->m;
    if (!waits_here && !sched_module_has(s->old, t->method))
        return;
    const struct sched_pool *pool = waits_here ? t->container->pool : sched_pool_find(&w->rt->sched, task_public(t)->pool);
    struct chi_method *own = pool ? same_in(pool->module, t->method) : NULL;
    if (own) {
        name_anew(t, s->old, own);
    } else if (waits_here) {
        t->cancelled = sched_method(s->m, t->method->id) ? CHI_STATUS_SCHEMA : CHI_STATUS_NO_METHOD;
        t->deadline_ns = 0; /* so it does not run */
    }
}

static void swap(struct runtime *rt, void *arg)
{
    const struct swap *s = arg;
    unsigned i = 0;
    for (struct chi_container *c = rt->sched.all; c; c = c->next)
        if (c->pool->module == s->old) {
            c->state = s->states[i++];
            c->ops = s->m->ops;
        }
    sched_module_replace(&rt->sched, s->old, s->m);
    each_record(rt, repoint, arg);
    release(rt, rt->hold);
}

int runtime_hold_swap(struct runtime *rt, struct sched_module *old, struct sched_module *m, void *const *states)
{
    struct hold *h = rt->hold;
    CHI_ASSERT(h && h->closed && h->module == old);
    int rc = runtime_still(rt, swap, &(struct swap){old, m, states});
    if (!rc)
        free(h);
    return rc;
}
