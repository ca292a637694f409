/* watch.c - tasks of modules that want to hear when nobody waits for a task any more (`cancel`, chi/chimod.h).
 *
 * What such a module runs is in the list `watched` of the lane's worker until it ended, or was told.  The list is looked at when the earliest deadline
 * in it passed, and when a worker says so (watch_tell): an origin gave up, a client is gone.  That says no more than "look": a task that ends
 * meanwhile is not in the list any more, so nothing about it is on its way.  A worker that runs no such task pays nothing. */
#include "internal.h"

enum { WATCH_AGAIN_NS = 1000000 }; /* deadlines that follow each other closely are seen together */

void watch_begin(struct worker *w, struct task *t)
{
    list_push(&w->watched, &t->watch);
    w->parked++;
    w->unusual = true; /* its run's end calls watch_end */
    uint64_t deadline = __atomic_load_n(&t->deadline_ns, __ATOMIC_RELAXED);
    if (deadline < w->watch_ns)
        w->watch_ns = deadline;
}

void watch_end(struct worker *w, struct task *t)
{
    if (!list_linked(&t->watch))
        return; /* it was told */
    list_remove(&t->watch);
    w->parked--;
}

void watch_tell(struct worker *w)
{
    struct runtime *rt = w->rt;
    for (uint32_t i = 0; i < rt->workers; i++) {
        __atomic_store_n(&rt->worker[i]->watch_now, true, __ATOMIC_RELEASE); /* behind what changed: pairs with watch_go_on */
        if (i != w->index)
            w->rung |= 1ULL << i; /* at the end of the turn */
    }
}

/* Moves those that nobody waits for into `told`, and finds the earliest deadline of the others. */
static void look(struct worker *w, struct link *told)
{
    uint64_t next = UINT64_MAX;
    for (struct link *l = w->watched.next, *behind; l != &w->watched; l = behind) {
        struct task *t = LIST_ENTRY(l, struct task, watch);
        behind = l->next;
        uint64_t deadline = __atomic_load_n(&t->deadline_ns, __ATOMIC_RELAXED);
        if (task_why(w, t, w->rctx.now_ns) != CHI_STATUS_OK) {
            if (t->state != TASK_WAITING) {
                list_to_tail(told, l);
                continue;
            }
            deadline = 0; /* the runtime's, which calls it back; if it goes on, it is told then */
        }
        next = deadline < next ? deadline : next;
    }
    uint64_t soon = w->rctx.now_ns + WATCH_AGAIN_NS;
    w->watch_ns = next > soon ? next : soon;
}

unsigned watch_go_on(struct worker *w)
{
    struct link told;
    unsigned n = 0;
    if (list_empty(&w->watched))
        return 0;
    if (w->rctx.now_ns >= w->watch_ns || worker_stopping_st(w) || __atomic_load_n(&w->watch_now, __ATOMIC_RELAXED)) {
        (void)__atomic_exchange_n(&w->watch_now, false, __ATOMIC_ACQUIRE);
        list_init(&told);
        look(w, &told);
        for (; !list_empty(&told); n++) { /* what one is told may end others */
            struct task *t = LIST_ENTRY(told.next, struct task, watch);
            enum chi_status why = task_why(w, t, w->rctx.now_ns);
            watch_end(w, t);
            t->container->ops->cancel(t->container, task_public(t), &w->rctx, why);
        }
    }
    chi_rctx_wake_at(&w->rctx, w->watch_ns);
    return n;
}
