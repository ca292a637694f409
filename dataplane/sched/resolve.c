/* resolve.c - from a query to a container or a node. */
#include "sched.h"

static bool node_known(const struct sched *s, uint64_t node)
{
    const struct sched_known *k = rcu_dereference(s->known);
    uint32_t low = 0, high = k->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (k->id[mid] < node)
            low = mid + 1;
        else
            high = mid;
    }
    return low < k->count && k->id[low] == node;
}

static enum chi_status to_local(const struct sched_pool *p, struct sched_target *out)
{
    out->local = sched_local(p);
    return out->local ? CHI_STATUS_OK : CHI_STATUS_NO_CONTAINER;
}

static enum chi_status to_container(const struct sched *s, const struct sched_table *t, uint64_t c, struct sched_target *out)
{
    if (c >= t->containers)
        return CHI_STATUS_NO_CONTAINER;
    out->node = t->node_of[c];
    if (out->node != s->node_id)
        return CHI_STATUS_OK;
    out->local = sched_container_find(s, t->pool->id, (uint32_t)c);
    return out->local ? CHI_STATUS_OK : CHI_STATUS_NO_CONTAINER;
}

enum chi_status sched_resolve(const struct sched *s, const struct sched_pool *pool, const struct chi_query *q, struct sched_target *out)
{
    const struct sched_table *table;
    *out = (struct sched_target){.node = s->node_id};
    switch (q->kind) {
    case CHI_QUERY_LOCAL:
        return to_local(pool, out);
    case CHI_QUERY_DIRECT_ID:
        return to_container(s, sched_table(pool), q->value, out);
    case CHI_QUERY_DIRECT_HASH: /* travels as it is: the hash also picks the lane there */
        table = sched_table(pool);
        return to_container(s, table, q->value % table->containers, out);
    case CHI_QUERY_PHYSICAL:
        if (q->value == s->node_id)
            return to_local(pool, out);
        if (!node_known(s, q->value))
            return CHI_STATUS_NO_NODE;
        out->node = (uint32_t)q->value;
        return CHI_STATUS_OK;
    case CHI_QUERY_DYNAMIC:
        return CHI_STATUS_NO_ROUTE;
    default: /* also RANGE and BROADCAST (spread.h) */
        return CHI_STATUS_INVALID;
    }
}

struct chi_lane *sched_default_lane(const struct chi_container *c, const struct chi_query *q, uint32_t worker)
{
    const struct sched_queue *queue = &c->queue[0];
    uint64_t hash = q->kind == CHI_QUERY_DIRECT_HASH ? q->value / sched_table(c->pool)->containers : worker;
    return &queue->lanes[hash % queue->count];
}
