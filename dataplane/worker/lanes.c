/* lanes.c - runs the ready lanes, and the modules that poll. */
#include "internal.h"

enum { CLOCK_EACH = 8 };

static unsigned run_many(struct worker *w, struct chi_lane *lane)
{
    struct chi_task *batch[WORKER_LANE_BUDGET];
    unsigned n = 0;
    struct lane_item *l;
    while (n < WORKER_LANE_BUDGET && (l = lane_pop(lane)))
        batch[n++] = task_public(task_of_link(l));
    lane->container->ops->run_many(lane->container, batch, n, &w->rctx);
    w->clock_ns = net_now_ns();
    return n;
}

/* True when the turn has taken so long that ports and clients come first again: else a few tasks of large regions keep the endpoint
 * silent until its peers take it for dead.  The clock is read after tasks with regions, and now and then after others. */
static bool turn_is_over(struct worker *w)
{
    w->clock_ns = net_now_ns();
    return w->clock_ns - w->rctx.now_ns > w->turn_limit_ns;
}

static inline void charge(struct worker *w, struct chi_lane *lane)
{
    lane->used_ns += w->clock_ns - w->lane_from_ns;
    w->lane_from_ns = w->clock_ns;
}

/* The end of a run that waited, or took locks.  Returns when it is to end like any other, on the stack that the worker turns on. */
static void unusual_end(struct worker *w, struct task *t, enum chi_status st, unsigned n)
{
    w->unusual = false;
    if (st != CHI_STATUS_PENDING) /* else it may be gone */
        CHI_ASSERT(!t->locks && "a task ended with a lock held");
    if (w->fibers.current == w->loop)
        return;
    if (st != CHI_STATUS_PENDING)
        ended_here(w, t, st);
    wait_leave(w, n);
}

static unsigned run_each(struct worker *w, struct chi_lane *lane)
{
    unsigned n = 0, left = CLOCK_EACH; /* that ran until the clock was read; tasks until then */
    struct lane_item *l;
    w->lane = lane;
    while ((l = lane_pop(lane))) {
        struct task *t = task_of_link(l);
        bool regions = t->nregions;
        CHI_ASSERT(t->state == TASK_QUEUED);
        t->state = TASK_RUNNING;
        w->task = t;
        enum chi_status st = (enum chi_status)__atomic_load_n(&t->cancelled, __ATOMIC_RELAXED);
        if (CHI_LIKELY(!st))
            st = lane->container->ops->run(lane->container, task_public(t), &w->rctx);
        if (CHI_UNLIKELY(w->unusual))
            unusual_end(w, t, st, n + CLOCK_EACH - left + 1);
        if (st != CHI_STATUS_PENDING)
            ended_here(w, t, st);
        if (CHI_LIKELY(--left && !regions))
            continue;
        n += CLOCK_EACH - left;
        left = CLOCK_EACH;
        w->turn_over = turn_is_over(w);
        if (n > WORKER_LANE_BUDGET - CLOCK_EACH || w->turn_over)
            break;
    }
    if (left < CLOCK_EACH) /* else it was read just now */
        w->clock_ns = net_now_ns();
    w->task = NULL;
    return n + CLOCK_EACH - left;
}

void lanes_charge(struct worker *w, struct chi_lane *lane)
{
    w->clock_ns = net_now_ns();
    charge(w, lane);
}

unsigned lanes_run(struct worker *w)
{
    unsigned n = 0;
    if (!w->ready.head)
        return 0;
    w->lane_from_ns = net_now_ns();
    /* Lanes that become ready while this runs wait for the next turn: each source gets its share. */
    struct chi_lane *last = (struct chi_lane *)((char *)w->ready.tail - offsetof(struct chi_lane, next_ready)), *lane;
    while (!w->turn_over && (lane = ready_take(&w->ready))) {
        n += lane->container->ops->run_many ? run_many(w, lane) : run_each(w, lane);
        if (lane->head)
            ready_add(&w->ready, lane);
        charge(w, lane);
        if (lane == last)
            break;
    }
    w->stats.tasks_run += n;
    return n;
}

unsigned lanes_poll(struct worker *w)
{
    unsigned n = 0;
    for (struct chi_container *c = w->rt->sched.polled; c; c = c->next_polled)
        if (c->ops->poll)
            n += c->ops->poll(c, &w->rctx);
    return n;
}

unsigned lanes_flush(struct worker *w)
{
    unsigned n = 0;
    for (struct chi_container *c = w->rt->sched.polled; c; c = c->next_polled)
        if (c->ops->flush)
            n += c->ops->flush(c, &w->rctx);
    return n;
}
