/* lanes.c - what chictl can ask of lanes: where each is and what it does; and to move one.  Control thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"

const struct rpc_param lane_move_params[] = {
    {"pool", RPC_STRING, true, "its number or name"},
    {"container", RPC_INTEGER, false, "of the pool, one of this node; its first one here"},
    {"queue", RPC_INTEGER, false, "of the container; 0"},
    {"lane", RPC_INTEGER, true, "of the queue"},
    {"worker", RPC_INTEGER, true, "where it goes"},
    {0},
};

static uint64_t relaxed(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }

static void pool_text(const struct chi_container *c, char out[24]) { snprintf(out, 24, "%u.%u", c->pool->id.major, c->pool->id.minor); }

static json_t *lane_json(const struct chi_lane *l)
{
    char pool[24];
    uint32_t owner = lane_owner(l);
    uint64_t started = relaxed(&l->started), pushed = relaxed(&l->pushed); /* in this order: never more started than pushed */
    pool_text(l->container, pool);
    return json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:s, s:s, s:o, s:o, s:o}", "pool", pool, "name", l->container->pool->name, "container",
                     (int)l->container->id, "queue", (int)l->queue, "lane", (int)l->number, "worker", (int)(owner & ~LANE_MOVES), "class",
                     l->lane_class == CHI_LANE_LATENCY ? "latency" : "throughput", "moves",
                     owner & LANE_MOVES ? "now" : l->fixed ? "never" : "yes", "depth", json_number(pushed - started), "started",
                     json_number(started), "used_ns", json_number(relaxed(&l->used_ns)));
}

json_t *lane_list(void *daemon, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = daemon;
    json_t *list = json_array();
    (void)params;
    (void)err;
    for (const struct chi_container *c = d->rt->sched.all; c; c = c->next)
        for (uint32_t q = 0; q < CHI_QUEUES_MAX; q++)
            for (uint32_t i = 0; i < c->queue[q].count; i++)
                json_array_append_new(list, lane_json(&c->queue[q].lanes[i]));
    return list;
}

/* The first one of a pool. */
static struct chi_container *first_of(const struct daemon *d, const char *text)
{
    for (struct chi_container *c = d->rt->sched.all; c; c = c->next) {
        char pool[24];
        pool_text(c, pool);
        if (strcmp(pool, text) == 0 || strcmp(c->pool->name, text) == 0)
            return c;
    }
    return NULL;
}

static json_int_t number_of(json_t *params, const char *name) { return json_integer_value(json_object_get(params, name)); }

static struct chi_container *container_of(const struct daemon *d, json_t *params, struct rpc_error *err)
{
    const char *pool = json_string_value(json_object_get(params, "pool"));
    struct chi_container *c = first_of(d, pool);
    if (!c)
        return rpc_fail(err, RPC_INVALID_PARAMS, "there is no pool '%.40s' here (chictl pool list)", pool), NULL;
    while (c && json_object_get(params, "container") && c->id != number_of(params, "container"))
        c = c->next_local;
    if (!c)
        rpc_fail(err, RPC_INVALID_PARAMS, "pool %.40s has no container %" JSON_INTEGER_FORMAT " here (chictl pool list)", pool,
                 number_of(params, "container"));
    return c;
}

/* The lane that the parameters name; false, and *err says which of them is wrong. */
static bool lane_of(const struct daemon *d, json_t *params, struct chi_lane **out, struct rpc_error *err)
{
    json_int_t queue = number_of(params, "queue"), lane = number_of(params, "lane");
    struct chi_container *c = container_of(d, params, err);
    if (!c)
        return false;
    if (queue < 0 || queue >= CHI_QUEUES_MAX || !c->queue[queue].count)
        return rpc_fail(err, RPC_INVALID_PARAMS, "pool %s has no queue %" JSON_INTEGER_FORMAT " (chictl lane list)", c->pool->name, queue), false;
    if (lane < 0 || lane >= c->queue[queue].count)
        return rpc_fail(err, RPC_INVALID_PARAMS, "lane is %" JSON_INTEGER_FORMAT "; right is a number from 0 to %u, as queue %d of pool %s has", lane,
                        c->queue[queue].count - 1, (int)queue, c->pool->name), false;
    *out = &c->queue[queue].lanes[lane];
    return true;
}

json_t *lane_move(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    struct chi_lane *l;
    json_int_t worker = number_of(params, "worker");
    if (!lane_of(d, params, &l, err))
        return NULL;
    if (worker < 0 || worker >= d->rt->workers)
        return rpc_fail(err, RPC_INVALID_PARAMS, "worker is %" JSON_INTEGER_FORMAT "; right is a number from 0 to %u", worker, d->rt->workers - 1);
    switch (runtime_lane_move(d->rt, l, (uint32_t)worker)) {
    case 0:
        return lane_json(l);
    case -EPERM:
        return rpc_fail(err, RPC_FAILED, "the lanes of queue %u of pool %s are fixed: each is its worker's own", l->queue, l->container->pool->name);
    case -EBUSY:
        return rpc_fail(err, RPC_FAILED, "the lane is on its way to worker %u; try again", lane_owner(l) & ~LANE_MOVES);
    case -ETIMEDOUT:
        return rpc_fail(err, RPC_FAILED, "a worker does not turn; the lane moves when all do");
    default:
        return rpc_fail(err, RPC_FAILED, "no memory, or a worker has not answered for long; the lane stays");
    }
}

/* --- by load */

json_t *lane_figures(const struct daemon *d)
{
    return json_pack("{s:o, s:o, s:o}", "looks", json_number(d->rt->balance_looks), "moves", json_number(d->rt->balance_moves), "failed",
                     json_number(d->rt->balance_failed));
}

static void on_balance(evutil_socket_t fd, short what, void *arg)
{
    struct daemon *d = arg;
    (void)fd;
    (void)what;
    int rc = runtime_balance(d->rt, net_now_ns());
    (void)rc; /* counted there; the next look tries again */
}

int lanes_balance_start(struct daemon *d)
{
    const struct timeval each = {0, BALANCE_MS * 1000};
    if (d->config->workers.lanes != CONFIG_LANES_LOAD || d->rt->workers == 1)
        return 0;
    d->balancer = event_new(d->base, -1, EV_PERSIST, on_balance, d);
    return !d->balancer || event_add(d->balancer, &each) ? -ENOMEM : 0;
}
