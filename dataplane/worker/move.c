/* move.c - a lane goes from one worker to another while tasks run.  docs/THREADS.md says it with fewer names.
 *
 * The old owner takes the lane off its ready list and writes down who gets it: from here on no worker pushes onto it but through a ring.  Tasks that
 * others have sent to the old owner are still on their way, and it sends them on.  One that is sent straight to the new owner must not overtake
 * them: so the old owner sends each other worker a mark, which comes back behind all that this worker sent it before, and goes on to the new owner
 * behind the tasks that came before it.  Until the new owner has all marks it runs what lies on the lane and what comes by the old owner, and holds
 * what comes past it.  Then nothing for the lane is on its way through the old owner, and what was held goes behind the rest.
 *
 * Marks go where tasks go, rings and overflow lists, as only so they keep their place: each is a record of a task that is none.
 * tests/model/lanes.pml is this file for spin. */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

struct lane_move {
    struct lane_move *next; /* control thread's */
    struct chi_lane *lane;
    uint32_t from, to;
    bool over; /* atomic: the new owner's last word */
    /* the new owner's */
    bool taken; /* its own mark came: the lane is here */
    uint32_t missing, held_count;
    struct lane_item *held, **held_tail;
    struct task mark[]; /* one for each worker */
};

/* --- workers */

void move_begin(void *worker, void *arg)
{
    struct worker *w = worker;
    struct lane_move *m = arg;
    struct chi_lane *lane = m->lane;
    CHI_ASSERT(lane_owner(lane) == w->index && m->from == w->index);
    ready_remove(&w->ready, lane);
    lane->move = m;
    __atomic_store_n(&lane->owner, m->to | LANE_MOVES, __ATOMIC_RELEASE); /* pairs with the acquire in route_elsewhere */
    for (uint32_t k = 0; k < w->rt->workers; k++)
        if (k != w->index)
            route_send(w, k, &m->mark[k]);
}

void move_task(struct worker *w, uint32_t from, struct task *t)
{
    struct chi_lane *lane = t->lane;
    struct lane_move *m = lane->move;
    if (from == m->from) {
        lane_push(lane, &t->link, &w->ready);
        return;
    }
    t->link.next = NULL;
    *m->held_tail = &t->link;
    m->held_tail = &t->link.next;
    m->held_count++;
}

static void make_ready(struct worker *w, struct chi_lane *lane)
{
    if (lane->head)
        ready_add(&w->ready, lane);
}

/* The last mark came: the lane is like any other of this worker. */
static void end_move(struct worker *w, struct lane_move *m)
{
    struct chi_lane *lane = m->lane;
    if (m->held) {
        *lane->tail = m->held;
        lane->tail = m->held_tail;
        lane->pushed += m->held_count;
    }
    make_ready(w, lane);
    w->stats.lanes_taken++;
    lane->move = NULL;
    __atomic_store_n(&lane->owner, w->index, __ATOMIC_RELAXED); /* who reads it late sends here too */
    __atomic_store_n(&m->over, true, __ATOMIC_RELEASE);
}

void move_mark(struct worker *w, uint32_t from, struct task *mark)
{
    struct lane_move *m = mark->lane->move;
    if (w->index == m->from) {
        route_send(w, m->to, mark);
    } else if (w->index != m->to) {
        route_send(w, from, mark);
    } else if (!m->taken) { /* its own comes first */
        m->taken = true;
        make_ready(w, m->lane);
        route_send(w, from, mark);
    } else if (--m->missing == 0) {
        end_move(w, m);
    }
}

/* --- control thread */

struct lane_move *move_make(struct runtime *rt, struct chi_lane *lane, uint32_t to)
{
    struct lane_move *m = aligned_alloc(CHI_CACHE_LINE, (sizeof *m + rt->workers * sizeof m->mark[0] + 63) & ~(size_t)63);
    if (!m)
        return NULL;
    memset(m, 0, sizeof *m);
    m->lane = lane;
    m->from = lane_owner(lane);
    m->to = to;
    m->missing = rt->workers - 1;
    m->held_tail = &m->held;
    for (uint32_t k = 0; k < rt->workers; k++) {
        m->mark[k].state = TASK_MARK;
        m->mark[k].lane = lane;
    }
    m->next = rt->moves;
    rt->moves = m;
    return m;
}

void move_reap(struct runtime *rt, bool all)
{
    for (struct lane_move **at = &rt->moves; *at;) {
        struct lane_move *m = *at;
        if (!all && !__atomic_load_n(&m->over, __ATOMIC_ACQUIRE)) {
            at = &m->next;
            continue;
        }
        *at = m->next;
        free(m);
    }
}

bool move_leaves(struct runtime *rt, const void *leaves)
{
    move_reap(rt, false);
    const struct lane_move *m = rt->moves;
    while (m && m->lane->container->leaves != leaves)
        m = m->next;
    return m != NULL;
}

static const struct lane_move *move_of(const struct runtime *rt, const struct chi_lane *lane)
{
    const struct lane_move *m = rt->moves;
    while (m && m->lane != lane)
        m = m->next;
    return m;
}

int runtime_lane_send(struct runtime *rt, struct chi_lane *lane, uint32_t to)
{
    move_reap(rt, false);
    if (to >= rt->workers)
        return -EINVAL;
    if (lane->fixed)
        return -EPERM;
    if (move_of(rt, lane) || rt->hold)
        return -EBUSY;
    if (lane_owner(lane) == to)
        return -EALREADY;
    struct lane_move *m = move_make(rt, lane, to);
    int rc = m ? worker_call(rt, m->from, move_begin, m) : -ENOMEM;
    if (m && rc && rc != -ETIMEDOUT) { /* else the worker begins it when it turns */
        rt->moves = m->next;
        free(m);
    }
    return rc;
}

int runtime_lane_move(struct runtime *rt, struct chi_lane *lane, uint32_t to)
{
    uint64_t until = net_now_ns() + rt->call_limit_ns;
    int rc = runtime_lane_send(rt, lane, to);
    while (!rc && move_of(rt, lane)) {
        if (call_all(rt) || net_now_ns() > until) /* marks travel with the turns */
            rc = -ETIMEDOUT;
        move_reap(rt, false);
    }
    return rc == -EALREADY || (rc == -ETIMEDOUT && !move_of(rt, lane)) ? 0 : rc;
}
