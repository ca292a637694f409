/* methods.c - what chictl can ask.  The lists are arrays of flat objects, so that one renderer shows them all. */
#include <stdio.h>
#include <unistd.h>

#include "daemon.h"
#include "worker/carrier.h"

static uint64_t relaxed(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }

static json_t *status_call(void *ctx, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = ctx;
    (void)params;
    (void)err;
    return json_pack("{s:i, s:s, s:s, s:s, s:i, s:o, s:i, s:i, s:i, s:i, s:o}", "node", (int)d->config->node.id, "name",
                     d->config->node.name, "cluster", d->config->cluster.name, "version", CHI_VERSION, "pid", (int)getpid(),
                     "incarnation", json_number(d->incarnation), "workers", (int)d->rt->workers, "ports", (int)ports_count(d),
                     "peers", (int)d->peer_count, "clients", (int)d->client_count, "uptime_ns",
                     json_number(net_now_ns() - d->started_ns));
}

/* --- what belongs to a worker is read on that worker */

static void read_use(void *worker, void *arg)
{
    const struct worker *w = worker;
    *(struct worker_use *)arg = (struct worker_use){w->tasks.out, w->arena_bytes - buddy_free_bytes(w->memory)};
}

/* null: it does not turn. */
static void add_use(json_t *o, struct daemon *d, uint32_t worker)
{
    struct worker_use *u = &d->use[worker];
    int rc = worker_call(d->rt, worker, read_use, u);
    json_object_set_new(o, "tasks_open", rc ? json_null() : json_number(u->tasks_open));
    json_object_set_new(o, "memory_used_bytes", rc ? json_null() : json_number(u->memory_used));
}

static json_t *worker_list(void *ctx, json_t *params, struct rpc_error *err)
{
    struct daemon *d = ctx;
    json_t *list = json_array();
    (void)params;
    (void)err;
    for (uint32_t i = 0; i < d->rt->workers; i++) {
        const struct worker *w = d->rt->worker[i];
        json_t *o = json_pack("{s:i, s:i, s:s, s:i}", "worker", (int)i, "core", (int)w->carrier->core, "idle",
                              w->carrier->busy ? "busy" : "adaptive", "clients", (int)w->clients);
#define WORKER_STAT_JSON(name) json_object_set_new(o, #name, json_number(relaxed(&w->stats.name)));
        WORKER_STAT_LIST(WORKER_STAT_JSON)
#undef WORKER_STAT_JSON
        json_object_set_new(o, "stack_most_bytes", json_number(fibers_deepest(&w->fibers)));
        json_object_set_new(o, "held_by", json_string(d->watched[i].holds ? d->watched[i].by : ""));
        json_object_set_new(o, "turn_most_ns", json_number(relaxed(&w->stats.turn_most_ns)));
        add_use(o, d, i);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *stats_call(void *ctx, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = ctx;
    json_t *totals = json_object(), *drops = json_object();
    (void)params;
    (void)err;
#define WORKER_STAT_SUM(name)                                                                                          \
    {                                                                                                                  \
        uint64_t sum = 0;                                                                                              \
        for (uint32_t i = 0; i < d->rt->workers; i++)                                                                  \
            sum += relaxed(&d->rt->worker[i]->stats.name);                                                             \
        json_object_set_new(totals, #name, json_number(sum));                                                               \
    }
    WORKER_STAT_LIST(WORKER_STAT_SUM)
#undef WORKER_STAT_SUM
    uint64_t deepest = 0;
    for (uint32_t i = 0; i < d->rt->workers; i++) {
        uint64_t bytes = fibers_deepest(&d->rt->worker[i]->fibers);
        deepest = bytes > deepest ? bytes : deepest;
    }
    json_object_set_new(totals, "stack_most_bytes", json_number(deepest)); /* no sum: of the deepest one */
    for (int r = CHI_DROP_NONE + 1; r < CHI_DROP_COUNT; r++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < d->rt->workers; i++) {
            sum += relaxed(&d->rt->worker[i]->drops[r]);
            if (d->net)
                sum += relaxed(&net_drops(d->net, i)[r]);
        }
        json_object_set_new(drops, chi_drop_name((enum chi_drop)r), json_number(sum));
    }
    return json_pack("{s:o, s:o, s:{s:o, s:o}, s:o}", "workers", totals, "lanes", lane_figures(d), "watchdog", "holds", json_number(d->holds),
                     "deadlocks", json_number(d->deadlocks), "drops", drops);
}

static json_t *stop_call(void *ctx, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = ctx;
    (void)params;
    (void)err;
    event_base_loopbreak(d->base); /* after this turn: the answer still goes out */
    return json_pack("{s:b}", "stopping", 1);
}

static const struct rpc_param peer_params[] = {{"peer", RPC_STRING, true, "its id or name"}, {NULL, RPC_STRING, false, NULL}};

const struct rpc_method daemon_methods[] = {
    {"status", "the node, its cluster, how long it is up", NULL, status_call},
    {"worker.list", "each worker and its counters", NULL, worker_list},
    {"worker.add", "one more core turns workers", core_params, worker_add},
    {"worker.remove", "others turn what a core does", core_params, worker_remove},
    {"worker.set", "how the threads of workers idle", worker_set_params, worker_set},
    {"port.list", "each port and its counters", NULL, port_list},
    {"port.add", "opens a port: a DPDK device, a PCI address or a kernel interface", port_add_params, port_add},
    {"port.remove", "closes a port", port_remove_params, port_remove},
    {"port.set", "takes a port out and puts it back (link), or changes its MTU", port_set_params, port_set},
    {"pool.list", "each pool and its containers here", NULL, pool_list},
    {"pool.show", "one pool: on which node each of its containers is", pool_show_params, pool_show},
    {"mod.list", "each module, its methods and pools", NULL, mod_list},
    {"mod.show", "the methods of one module, with their fields", mod_show_params, mod_show},
    {"mod.load", "loads a module: NAME.so of a folder of modules.path", mod_show_params, mod_load},
    {"mod.unload", "closes a module that no pool is of", mod_show_params, mod_unload},
    {"mod.upgrade", "another version of a module takes the place of the one that runs; begins it", mod_upgrade_params, mod_upgrade},
    {"mod.upgrading", "what became of the last mod.upgrade", NULL, mod_upgrading},
    {"lane.list", "each lane: its worker, its tasks, the time that they took", NULL, lane_list},
    {"load.list", "what workers and methods did so far, for chictl top", NULL, load_list},
    {"task.list", "tasks that run, wait or are away now", NULL, task_list},
    {"lane.move", "gives a lane to another worker", lane_move_params, lane_move},
    {"peer.list", "each other node: state, packets, tasks, round-trip time", NULL, peers_list},
    {"peer.show", "all figures of one node, summed and by session", peer_params, peers_show},
    {"peer.add", "one more node", peer_add_params, peer_add},
    {"peer.drain", "no new tasks go to a node", peer_name_params, peer_drain},
    {"peer.remove", "forgets a node, and ends what is open with it", peer_name_params, peer_remove},
    {"stats", "counters of all workers, and what was dropped, by reason", NULL, stats_call},
    {"stop", "ends the daemon in order", NULL, stop_call},
    {NULL, NULL, NULL, NULL},
};
