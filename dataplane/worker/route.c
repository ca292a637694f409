/* route.c - where a task goes: a lane of this worker, a lane of another one, or the remote queue; and the rings between. */
#include "internal.h"
#include "sched/spread.h"

/* --- rings and overflow.  A full ring never blocks and never drops a task: the task waits in this worker's own list, which is
 * emptied first in the next turn, so two workers that fill each other's rings cannot deadlock. */

static bool put_task(struct worker *w, uint32_t to, struct task *t)
{
    static const uint8_t kind[] = {[TASK_QUEUED] = RING_RUN, [TASK_ENDED] = RING_DONE, [TASK_WAITING] = RING_WAIT, [TASK_MARK] = RING_MARK};
    struct ring_item it = {.kind = kind[t->state], .a = t->lane, .b = t};
    struct ring *r = rcu_dereference(w->rt->worker[to]->in[w->index]);
    if (!ring_try_put(r, &it))
        return false;
    w->rung |= 1ULL << to;
    return true;
}

void route_send(struct worker *w, uint32_t to, struct task *t)
{
    struct overflow *o = &w->overflow[to];
    w->stats.handovers++;
    if (!o->head && put_task(w, to, t))
        return;
    w->stats.overflows++;
    t->link.next = NULL;
    *o->tail = &t->link;
    o->tail = &t->link.next;
}

void route_elsewhere(struct worker *w, uint32_t from, struct task *t)
{
    /* Acquire: pairs with the release in move_begin; the lane's record of its move is there. */
    uint32_t owner = __atomic_load_n(&t->lane->owner, __ATOMIC_ACQUIRE), to = owner & ~LANE_MOVES;
    CHI_ASSERT(owner & LANE_MOVES || from == w->index); /* nothing is on its way to who gave the lane up long ago */
    if (to == w->index)
        move_task(w, from, t);
    else
        route_send(w, to, t);
}

void route_flush(struct worker *w)
{
    for (uint32_t to = 0; to < w->rt->workers; to++) {
        struct overflow *o = &w->overflow[to];
        while (o->head) {
            struct lane_item *next = o->head->next; /* the receiver owns it after the put */
            if (!put_task(w, to, task_of_link(o->head)))
                break;
            o->head = next;
            if (!next)
                o->tail = &o->head;
        }
    }
    if (!w->rung)
        return;
    doorbell_fence();
    for (uint64_t bits = w->rung; bits; bits &= bits - 1)
        doorbell_ring(&w->rt->worker[__builtin_ctzll(bits)]->bell);
    w->rung = 0;
}

bool route_pending(const struct worker *w)
{
    for (uint32_t to = 0; to < w->rt->workers; to++)
        if (w->overflow[to].head)
            return true;
    return false;
}

bool worker_hand_over_st(struct worker *w, uint32_t to, enum ring_kind kind, struct net_packet *p)
{
    CHI_ASSERT(w == worker_current());
    struct ring_item it = {.kind = kind, .arg = w->index, .b = p};
    if (ring_try_put(rcu_dereference(w->rt->worker[to]->in[w->index]), &it)) {
        w->rung |= 1ULL << to;
        w->stats.packets_handed++;
        return true;
    }
    w->drops[CHI_DROP_HANDOVER_FULL]++; /* a packet may be lost: the transport repeats it */
    net_packet_free(p);
    return false;
}

static void packet_in(struct worker *w, struct net_packet *p)
{
    if (w->handed_count < WORKER_HANDED_MAX) {
        w->handed[w->handed_count++] = p; /* remote_queue takes it in its poll of this turn */
        return;
    }
    w->drops[CHI_DROP_HANDOVER_FULL]++;
    net_packet_free(p);
}

static void take_item(struct worker *w, uint32_t from, const struct ring_item *it)
{
    struct task *t = it->b;
    switch (it->kind) {
    case RING_RUN:
        if (CHI_LIKELY(lane_owner(it->a) == w->index))
            lane_push(it->a, &t->link, &w->ready);
        else
            route_elsewhere(w, from, t);
        return;
    case RING_DONE:
        CHI_ASSERT(t->home == w);
        ended_finish(w, t);
        return;
    case RING_MARK:
        move_mark(w, from, t);
        return;
    case RING_WAIT:
        stream_item(w, t);
        return;
    case RING_PUSH:
        stream_push(w, t, it->arg, (uint64_t)(uintptr_t)it->a);
        return;
    case RING_PACKET_IN:
        packet_in(w, it->b);
        return;
    case RING_PACKET_OUT:
        (void)net_send_st(w->rt->net, w->index, it->arg, it->b, w->rctx.now_ns); /* takes what was handed over */
        return;
    case RING_CALL:
        it->fn(w, it->b);
        return;
    }
    CHI_ASSERT(!"a ring item of no kind");
}

unsigned route_inbox(struct worker *w)
{
    unsigned did = 0;
    for (uint32_t from = 0; from <= w->rt->workers; from++) {
        struct ring *r = from == w->index ? NULL : rcu_dereference(w->in[from]);
        struct ring_item it;
        unsigned n = 0;
        if (!r)
            continue;
        while (n < WORKER_LANE_BUDGET && ring_try_get(r, &it)) {
            take_item(w, from, &it);
            n++;
        }
        if (n)
            ring_publish(r);
        did += n;
    }
    return did;
}

bool route_waiting(struct worker *w)
{
    for (uint32_t from = 0; from <= w->rt->workers; from++) {
        struct ring *r = from == w->index ? NULL : rcu_dereference(w->in[from]);
        if (r && ring_waiting(r))
            return true;
    }
    return false;
}

/* --- tasks */

void route_push_bytes(struct worker *w, struct task *t, uint32_t region, uint64_t bytes)
{
    struct ring_item it = {.kind = RING_PUSH, .arg = region, .a = (void *)(uintptr_t)bytes, .b = t};
    if (ring_try_put(rcu_dereference(t->home->in[w->index]), &it))
        w->rung |= 1ULL << t->home->index;
}

enum chi_status route_ask_lane(struct worker *w, struct chi_container *c, struct chi_task *pub)
{
    w->rctx.lane = NULL;
    enum chi_status st = c->ops->monitor(c, CHI_LOCAL_SCHEDULE, pub, &w->rctx);
    if (st == CHI_STATUS_UNSUPPORTED) {
        w->rctx.lane = NULL;
        return CHI_STATUS_OK;
    }
    if (st == CHI_STATUS_OK && w->rctx.lane && w->rctx.lane->container != c)
        return CHI_STATUS_NO_ROUTE; /* it is not the module's own */
    return st;
}

__attribute__((noinline)) enum chi_status route_away(struct worker *w, struct task *t, uint32_t node)
{
    struct sched_pool *rq = w->rt->sched.remote_queue;
    if (!rq)
        return CHI_STATUS_NO_ROUTE;
    t->node = node;
    route_push(w, t, chi_container_lane(rq->local, 0, w->index), false);
    return CHI_STATUS_OK;
}

/* DYNAMIC: the local container's monitor makes the query concrete, in one turn; where it leaves that to the default the task stays here. */
static enum chi_status make_concrete(struct worker *w, struct task *t, const struct sched_pool *pool)
{
    struct chi_task *pub = task_public(t);
    struct chi_container *c = sched_local(pool);
    const bool as_away = pub->query.count;
    if (!c)
        return CHI_STATUS_NO_CONTAINER;
    enum chi_status st = c->ops->monitor ? c->ops->monitor(c, CHI_GLOBAL_SCHEDULE, pub, &w->rctx) : CHI_STATUS_UNSUPPORTED;
    if (st == CHI_STATUS_UNSUPPORTED) {
        pub->query = chi_local();
        st = CHI_STATUS_OK;
    }
    if (as_away)
        pub->query = chi_as_away(pub->query);
    return st;
}

static enum chi_status to_several(struct worker *w, struct task *t, const struct sched_pool *pool)
{
    const struct sched_table *table = sched_table(pool);
    struct spread part;
    enum chi_status st = spread_of(table, &task_public(t)->query, &part);
    return st == CHI_STATUS_OK ? fan_begin(w, t, table, &part) : st;
}

/* To a container of this node by way of the archives, or to another node as ever. */
static enum chi_status as_away(struct worker *w, struct task *t, const struct sched_pool *pool)
{
    const struct sched_table *table = sched_table(pool);
    const uint32_t self = spread_member(table, w->rt->options.node_id);
    struct sched_target target;
    enum chi_status st = sched_resolve(&w->rt->sched, pool, &task_public(t)->query, &target);
    if (st != CHI_STATUS_OK)
        return st;
    return target.local ? fan_begin(w, t, table, &(struct spread){target.local->id, 1, self, self + 1}) : route_away(w, t, target.node);
}

/* Apart, so that the usual queries do not pay for it. */
__attribute__((noinline)) static enum chi_status route_unusual(struct worker *w, struct task *t, const struct sched_pool *pool)
{
    const struct chi_query *q = &task_public(t)->query;
    enum chi_status st = q->kind == CHI_QUERY_DYNAMIC ? make_concrete(w, t, pool) : CHI_STATUS_OK;
    if (st != CHI_STATUS_OK)
        return st;
    if (q->kind == CHI_QUERY_DYNAMIC)
        return CHI_STATUS_NO_ROUTE;
    if (query_is_for_several(q))
        return to_several(w, t, pool);
    return q->count ? as_away(w, t, pool) : route_task(w, t, pool);
}

enum chi_status route_task(struct worker *w, struct task *t, const struct sched_pool *pool)
{
    const struct chi_query *q = &task_public(t)->query;
    struct chi_container *here = sched_local(pool);
    struct sched_target target;
    if (CHI_LIKELY(q->kind == CHI_QUERY_LOCAL && here && !q->count)) /* as sched_resolve says */
        return route_local(w, t, here);
    if (CHI_UNLIKELY(q->count || q->kind == CHI_QUERY_DYNAMIC || query_is_for_several(q)))
        return route_unusual(w, t, pool);
    enum chi_status st = sched_resolve(&w->rt->sched, pool, q, &target);
    if (CHI_UNLIKELY(st != CHI_STATUS_OK))
        return st;
    return target.local ? route_local(w, t, target.local) : route_away(w, t, target.node);
}
