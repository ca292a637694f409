/* container.c - what a module sees of its container. */
#include <stdlib.h>

#include "sched.h"

/* In turn "this worker's lane" is lane number worker; of queues that are fixed always. */
static uint32_t first_owner(const struct chi_container *c, uint32_t queue, uint32_t lane, bool fixed)
{
    const struct sched *s = c->sched;
    if (fixed || !s->lanes_by_hash)
        return lane % s->workers;
    uint64_t h = ((uint64_t)c->pool->id.major << 32 | c->pool->id.minor) * UINT64_C(0x9e3779b97f4a7c15) + ((uint64_t)queue << 32 | lane);
    h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t)((h ^ h >> 33) % s->workers);
}

enum chi_status chi_container_create_queue(struct chi_container *c, uint32_t queue, uint32_t lanes)
{
    return chi_container_create_queue_as(c, queue, &(struct chi_queue_options){.lanes = lanes});
}

enum chi_status chi_container_create_queue_as(struct chi_container *c, uint32_t queue, const struct chi_queue_options *o)
{
    const uint32_t lanes = o->lanes;
    if (queue >= CHI_QUEUES_MAX || c->queue[queue].count || lanes == 0 || lanes > SCHED_LANES_MAX || (unsigned)o->lane_class >= LANE_CLASSES)
        return CHI_STATUS_INVALID;
    struct chi_lane *l = aligned_alloc(CHI_CACHE_LINE, lanes * sizeof *l);
    if (!l)
        return CHI_STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < lanes; i++) {
        lane_init(&l[i], c, first_owner(c, queue, i, o->fixed));
        l[i].queue = queue;
        l[i].number = i;
        l[i].fixed = o->fixed;
        l[i].lane_class = (uint8_t)o->lane_class;
    }
    c->queue[queue] = (struct sched_queue){l, lanes};
    return CHI_STATUS_OK;
}

struct chi_lane *chi_container_lane(struct chi_container *c, uint32_t queue, uint32_t lane)
{
    if (queue >= CHI_QUEUES_MAX || lane >= c->queue[queue].count)
        return NULL;
    return &c->queue[queue].lanes[lane];
}

struct chi_lane *chi_container_lane_by_hash(struct chi_container *c, uint32_t queue, uint64_t hash)
{
    if (queue >= CHI_QUEUES_MAX || !c->queue[queue].count)
        return NULL;
    return &c->queue[queue].lanes[hash % c->queue[queue].count];
}

void chi_container_set_state(struct chi_container *c, void *state) { c->state = state; }
void *chi_container_state(const struct chi_container *c) { return c->state; }
struct chi_pool_id chi_container_pool(const struct chi_container *c) { return c->pool->id; }
uint32_t chi_container_id(const struct chi_container *c) { return c->id; }
uint32_t chi_container_node(const struct chi_container *c) { return c->sched->node_id; }
uint32_t chi_container_workers(const struct chi_container *c) { return c->sched->workers; }
