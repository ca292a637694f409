/* lanes.c - runs the ready lanes, and the modules that poll. */
#include "internal.h"

enum { CLOCK_EACH = 8 };

static unsigned run_many(struct worker *w, struct chi_lane *lane, unsigned most)
{
    struct chi_task *batch[WORKER_LANE_BUDGET];
    unsigned n = 0;
    struct lane_item *l;
    while (n < most && (l = lane_pop(lane)))
        batch[n++] = task_public(task_of_link(l));
    lane->container->ops->run_many(lane->container, batch, n, &w->rctx);
    if (w->lanes_weight)
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

/* To read the clock around each batch costs more than a short one takes.  So a turn behind a long one is timed, and of the others one in lanes_each, drawn at
 * random, which counts for so many: what a lane is charged comes to what it took. */
void lanes_draw(struct worker *w, uint64_t last_turn_ns)
{
    w->lanes_random = w->lanes_random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407); /* Knuth, MMIX */
    if (CHI_UNLIKELY(last_turn_ns > WORKER_LONG_TURN_NS)) {
        w->lanes_weight = 1;
        if (last_turn_ns > w->load_long_ns)
            load_soon(w);
    } else {
        w->lanes_weight = (w->lanes_random >> 32) * w->lanes_each >> 32 ? 0 : w->lanes_each;
    }
}

static inline void charge(struct worker *w, struct chi_lane *lane)
{
    uint64_t ns = w->clock_ns - w->lane_from_ns;
    if (CHI_LIKELY(!w->lanes_weight))
        return;
    lane->used_ns += ns * w->lanes_weight;
    w->lane_from_ns = w->clock_ns;
    if (CHI_UNLIKELY(ns > w->load_long_ns))
        load_soon(w);
}

/* The end of a run that waited, took locks, or has to wait.  Returns when it is to end like any other, on the stack that the worker turns on. */
static void unusual_end(struct worker *w, struct task *t, enum chi_status st, unsigned n)
{
    w->unusual = false;
    wait_give_up(w);
    if (st != CHI_STATUS_PENDING) /* else it may be gone */
        CHI_ASSERT(!t->locks && "a task ended with a lock held");
    if (st != CHI_STATUS_PENDING && t->container->ops->cancel)
        watch_end(w, t);
    if (w->fibers.current == w->loop)
        return;
    if (st != CHI_STATUS_PENDING)
        ended_here(w, t, st);
    wait_leave(w, n);
}

static enum chi_status run_watched(struct worker *w, struct chi_lane *lane, struct task *t)
{
    watch_begin(w, t);
    return lane->container->ops->run(lane->container, task_public(t), &w->rctx);
}

static enum chi_status run_measured(struct worker *w, struct chi_lane *lane, struct task *t)
{
    struct load_run m;
    enum chi_status st;
    load_begin(w, t, &m);
    if (lane->container->ops->cancel)
        st = run_watched(w, lane, t);
    else
        st = lane->container->ops->run(lane->container, task_public(t), &w->rctx);
    load_end(w, t, &m, st);
    return st;
}

enum run_how { RUN_PLAIN, RUN_WATCHED, RUN_MEASURED };
/* Pre: most is CLOCK_EACH or more. */
CHI_INLINE unsigned run_tasks(struct worker *w, struct chi_lane *lane, unsigned most, enum run_how how)
{
    unsigned due = CLOCK_EACH, left = CLOCK_EACH; /* tasks that will have run when the clock is read next; how many of them have not yet */
    struct lane_item *l;
    w->lane = lane;
    while ((l = lane_pop(lane))) {
        struct task *t = task_of_link(l);
        if (CHI_UNLIKELY(t->nregions)) { /* read after this one */
            due -= left - 1;
            left = 1;
        }
        CHI_ASSERT(t->state == TASK_QUEUED);
        task_enter(t, TASK_RUNNING);
        w->task = t;
        enum chi_status st = CHI_STATUS_DEADLINE;
        if (CHI_UNLIKELY(__atomic_load_n(&t->deadline_ns, __ATOMIC_RELAXED) <= w->rctx.now_ns))
            st = task_cancelled(t) ? task_cancelled(t) : st;
        else if (how == RUN_MEASURED)
            st = run_measured(w, lane, t);
        else if (how == RUN_WATCHED)
            st = run_watched(w, lane, t);
        else
            st = lane->container->ops->run(lane->container, task_public(t), &w->rctx);
        if (CHI_UNLIKELY(w->unusual))
            unusual_end(w, t, st, due - left + 1);
        if (st != CHI_STATUS_PENDING)
            ended_here(w, t, st);
        if (CHI_LIKELY(--left))
            continue;
        w->turn_over = turn_is_over(w);
        if (due > most - CLOCK_EACH || w->turn_over)
            return due;
        due += CLOCK_EACH;
        left = CLOCK_EACH;
    }
    if (left < CLOCK_EACH && w->lanes_weight) /* else it was read just now */
        w->clock_ns = net_now_ns();
    return due - left;
}

CHI_INLINE unsigned run_each(struct worker *w, struct chi_lane *lane, unsigned most)
{
    if (CHI_UNLIKELY(lane->container->ops->cancel))
        return run_tasks(w, lane, most, RUN_WATCHED);
    return run_tasks(w, lane, most, RUN_PLAIN);
}

/* A batch whose runs are measured. */
__attribute__((noinline)) static unsigned run_batch_measured(struct worker *w, struct chi_lane *lane, unsigned most)
{
    load_batch_begins(w);
    if (!lane->container->ops->run_many)
        return run_tasks(w, lane, most, RUN_MEASURED);
    uint64_t from_ns = net_now_ns();
    unsigned n = run_many(w, lane, most);
    load_batch(w, lane->container, n, net_now_ns() - from_ns);
    return n;
}

void lanes_charge(struct worker *w, struct chi_lane *lane)
{
    if (!w->lanes_weight)
        return;
    w->clock_ns = net_now_ns();
    charge(w, lane);
}

/* A batch of a lane that was ready. */
CHI_INLINE unsigned run_lane(struct worker *w, struct chi_lane *lane, unsigned most)
{
    unsigned n;
    if (CHI_UNLIKELY(--w->load_left == 0))
        n = run_batch_measured(w, lane, most);
    else
        n = lane->container->ops->run_many ? run_many(w, lane, most) : run_each(w, lane, most);
    w->task = NULL;
    if (lane->head)
        ready_add(&w->ready, lane);
    charge(w, lane);
    return n;
}

static inline struct chi_lane *last_of(const struct ready_list *l)
{
    return (struct chi_lane *)((char *)l->tail - offsetof(struct chi_lane, next_ready));
}

/* All that are ready now: lanes that become ready while this runs wait for the next turn, so that each source gets its share.  Pre: one is. */
CHI_INLINE unsigned run_all(struct worker *w, struct ready_list *l)
{
    unsigned n = 0;
    struct chi_lane *last = last_of(l), *lane;
    while (!w->turn_over && (lane = ready_take(l))) {
        n += run_lane(w, lane, WORKER_LANE_BUDGET);
        if (lane == last)
            break;
    }
    return n;
}

/* Throughput lanes are ready.  Alone they run like the others.  Beside latency lanes, which go first, they may run one task for each `latency_weight`
 * that those ran since they were ready too, a batch when those have little to do: so neither class waits for ever, and a latency lane never for
 * more than that.  What they may run is kept until it makes CLOCK_EACH tasks. */
__attribute__((noinline)) static unsigned run_both(struct worker *w)
{
    struct ready_list *first = &w->ready.of[CHI_LANE_LATENCY], *second = &w->ready.of[CHI_LANE_THROUGHPUT];
    if (w->turn_over)
        return 0;
    if (!first->head) {
        w->owed = 0;
        return run_all(w, second);
    }
    const unsigned weight = w->latency_weight, room = WORKER_LANE_BUDGET * weight;
    unsigned n = run_all(w, first), m = 0;
    unsigned more = w->turn_over || n > WORKER_LANE_BUDGET ? n : WORKER_LANE_BUDGET;
    w->owed += more;
    if (w->owed > room && w->owed > more) /* tasks that wait are not counted below: it does not pile up */
        w->owed = more > room ? more : room;
    unsigned most = w->owed / weight / CLOCK_EACH * CLOCK_EACH;
    bool over = w->turn_over;
    struct chi_lane *last = last_of(second), *lane;
    w->turn_over = false;
    while (m < most && !w->turn_over && (lane = ready_take(second))) {
        unsigned k = run_lane(w, lane, most - m < WORKER_LANE_BUDGET ? most - m : WORKER_LANE_BUDGET);
        m += k;
        w->owed -= k * weight;
        if (lane == last)
            break;
    }
    if (!second->head)
        w->owed = 0;
    w->turn_over |= over;
    return n + m;
}

unsigned lanes_run(struct worker *w)
{
    unsigned n;
    w->lane_from_ns = w->lanes_weight && ready_any(&w->ready) ? net_now_ns() : w->rctx.now_ns;
    if (CHI_UNLIKELY(w->ready.of[CHI_LANE_THROUGHPUT].head)) {
        n = run_both(w);
    } else {
        if (!w->ready.of[CHI_LANE_LATENCY].head)
            return 0;
        n = run_all(w, &w->ready.of[CHI_LANE_LATENCY]);
    }
    w->stats.tasks_run += n;
    return n;
}

/* The first of the containers that poll or flush, the next one; acquire: one that came while this worker runs is whole. */
static inline struct chi_container *polled(struct chi_container **at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }

unsigned lanes_poll(struct worker *w)
{
    unsigned n = 0;
    for (struct chi_container *c = polled(&w->rt->sched.polled); c; c = polled(&c->next_polled))
        if (c->ops->poll)
            n += c->ops->poll(c, &w->rctx);
    return n;
}

unsigned lanes_flush(struct worker *w)
{
    unsigned n = 0;
    for (struct chi_container *c = polled(&w->rt->sched.polled); c; c = polled(&c->next_polled))
        if (c->ops->flush)
            n += c->ops->flush(c, &w->rctx);
    return n;
}
