/* methods.c - what chictl can ask.  The lists are arrays of flat objects, so that one renderer shows them all. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"

static json_t *number(uint64_t v) { return json_integer((json_int_t)v); }
static uint64_t relaxed(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }

static json_t *status_call(void *ctx, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = ctx;
    (void)params;
    (void)err;
    return json_pack("{s:i, s:s, s:s, s:s, s:i, s:o, s:i, s:i, s:i, s:i, s:o}", "node", (int)d->config->node.id, "name",
                     d->config->node.name, "cluster", d->config->cluster.name, "version", CHI_VERSION, "pid", (int)getpid(),
                     "incarnation", number(d->incarnation), "workers", (int)d->rt->workers, "ports", (int)d->config->ports_count,
                     "peers", (int)d->config->cluster.peers_count, "clients", (int)d->client_count, "uptime_ns",
                     number(net_now_ns() - d->started_ns));
}

static json_t *worker_list(void *ctx, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = ctx;
    json_t *list = json_array();
    (void)params;
    (void)err;
    for (uint32_t i = 0; i < d->rt->workers; i++) {
        const struct worker *w = d->rt->worker[i];
        json_t *o = json_pack("{s:i, s:i, s:s, s:i}", "worker", (int)i, "core", (int)w->core, "idle",
                              d->rt->options.busy ? "busy" : "adaptive", "clients", (int)w->clients);
#define WORKER_STAT_JSON(name) json_object_set_new(o, #name, number(relaxed(&w->stats.name)));
        WORKER_STAT_LIST(WORKER_STAT_JSON)
#undef WORKER_STAT_JSON
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *port_list(void *ctx, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = ctx;
    json_t *list = json_array();
    struct net_port_stats s;
    (void)params;
    (void)err;
    for (unsigned i = 0; d->net && net_port_stats(d->net, i, &s) == 0; i++) {
        json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i}", "port", (int)i, "name", s.name, "driver", s.driver, "mac",
                              s.mac, "ip", s.ip, "link", s.up ? "up" : "down", "wakes", s.interrupts ? "yes" : "no", "mtu", (int)s.mtu, "worker", (int)s.worker);
        const struct { const char *name; uint64_t v; } n[] = {
            {"rx_packets", s.rx_packets}, {"tx_packets", s.tx_packets}, {"rx_bytes", s.rx_bytes}, {"tx_bytes", s.tx_bytes},
            {"rx_missed", s.rx_missed},   {"rx_errors", s.rx_errors},   {"tx_errors", s.tx_errors}, {"no_mbuf", s.no_mbuf},
        };
        for (size_t k = 0; k < sizeof n / sizeof n[0]; k++)
            json_object_set_new(o, n[k].name, number(n[k].v));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *pool_list(void *ctx, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = ctx;
    json_t *list = json_array();
    (void)params;
    (void)err;
    for (const struct chi_container *c = d->rt->sched.all; c; c = c->next) {
        char id[24];
        uint32_t lanes = 0;
        for (uint32_t q = 0; q < CHI_QUEUES_MAX; q++)
            lanes += c->queue[q].count;
        snprintf(id, sizeof id, "%u.%u", c->pool->id.major, c->pool->id.minor);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i, s:i, s:i}", "pool", id, "name", c->pool->name, "module",
                                              c->pool->module->name, "containers", (int)c->pool->containers, "local_container",
                                              (int)c->id, "lanes", (int)lanes));
    }
    return list;
}

/* --- what belongs to a worker is read on that worker */

struct peer_query {
    struct xfer_peer_stats *stats;
    unsigned cap, count;
};
static void read_peers(void *worker, void *arg)
{
    struct worker *w = worker;
    struct peer_query *q = arg;
    q->count = xfer_stats(w->xfer, q->stats, q->cap);
}

/* X(name): of xfer_peer_stats, summed over workers. */
#define PEER_SUM_LIST(X)                                                                                               \
    X(packets_tx) X(packets_rx) X(bytes_tx) X(bytes_rx) X(retransmits) X(spurious) X(cuts) X(downs) X(duplicates) X(tasks_out) X(tasks_in) X(answers_out)  \
    X(answers_in) X(segment_bytes_tx) X(segment_bytes_rx) X(in_flight) X(open_out) X(open_in)

static void add_peer(struct xfer_peer_stats *sum, const struct xfer_peer_stats *s)
{
#define PEER_ADD(name) sum->name += s->name;
    PEER_SUM_LIST(PEER_ADD)
#undef PEER_ADD
    if (s->state == XFER_PEER_READY || sum->state == XFER_PEER_IDLE)
        sum->state = s->state;
    if (s->incarnation > sum->incarnation)
        sum->incarnation = s->incarnation;
    if (s->srtt_ns > sum->srtt_ns)
        sum->srtt_ns = s->srtt_ns;
    if (s->rtt_min_ns && (!sum->rtt_min_ns || s->rtt_min_ns < sum->rtt_min_ns))
        sum->rtt_min_ns = s->rtt_min_ns;
}

static json_t *peer_json(const struct config_peer *p, const struct xfer_peer_stats *s)
{
    static const char *const states[] = {[XFER_PEER_IDLE] = "idle", [XFER_PEER_HELLO] = "hello", [XFER_PEER_READY] = "ready",
                                         [XFER_PEER_REFUSED] = "refused", [XFER_PEER_SILENT] = "down"};
    json_t *o = json_pack("{s:i, s:s, s:s}", "node", (int)p->id, "name", p->name, "state", states[s->state]);
#define PEER_JSON(name) json_object_set_new(o, #name, number(s->name));
    PEER_SUM_LIST(PEER_JSON)
    PEER_JSON(srtt_ns)
    PEER_JSON(rtt_min_ns)
    PEER_JSON(incarnation)
#undef PEER_JSON
    return o;
}

static json_t *peer_list(void *ctx, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = ctx;
    unsigned peers = d->config->cluster.peers_count;
    /* The buffer outlives a call that times out: it is given up then, not freed. */
    struct peer_query *q = calloc(1, sizeof *q + (peers + 1) * sizeof(struct xfer_peer_stats));
    struct xfer_peer_stats *sum = calloc(peers + 1, sizeof *sum);
    json_t *list = json_array();
    int rc = q && sum ? 0 : -ENOMEM;
    (void)params;
    for (uint32_t w = 0; w < d->rt->workers && d->net && !rc; w++) {
        *q = (struct peer_query){.stats = (struct xfer_peer_stats *)(q + 1), .cap = peers};
        rc = worker_call(d->rt, w, read_peers, q);
        for (unsigned i = 0; i < q->count && i < peers && !rc; i++)
            for (unsigned k = 0; k < peers; k++)
                if (d->config->cluster.peers[k].id == q->stats[i].node)
                    add_peer(&sum[k], &q->stats[i]);
    }
    for (unsigned k = 0; k < peers && !rc; k++)
        json_array_append_new(list, peer_json(&d->config->cluster.peers[k], &sum[k]));
    free(sum);
    if (rc != -ETIMEDOUT)
        free(q);
    if (!rc)
        return list;
    json_decref(list);
    return rpc_fail(err, RPC_FAILED, "a worker does not answer: %s", strerror(-rc));
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
        json_object_set_new(totals, #name, number(sum));                                                               \
    }
    WORKER_STAT_LIST(WORKER_STAT_SUM)
#undef WORKER_STAT_SUM
    for (int r = CHI_DROP_NONE + 1; r < CHI_DROP_COUNT; r++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < d->rt->workers; i++) {
            sum += relaxed(&d->rt->worker[i]->drops[r]);
            if (d->net)
                sum += relaxed(&net_drops(d->net, i)[r]);
        }
        json_object_set_new(drops, chi_drop_name((enum chi_drop)r), number(sum));
    }
    return json_pack("{s:o, s:o}", "workers", totals, "drops", drops);
}

static json_t *stop_call(void *ctx, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = ctx;
    (void)params;
    (void)err;
    event_base_loopbreak(d->base); /* after this turn: the answer still goes out */
    return json_pack("{s:b}", "stopping", 1);
}

const struct rpc_method daemon_methods[] = {
    {"status", "the node, its cluster, how long it is up", NULL, status_call},
    {"worker.list", "each worker and its counters", NULL, worker_list},
    {"port.list", "each port and its counters", NULL, port_list},
    {"pool.list", "each pool and its container here", NULL, pool_list},
    {"peer.list", "each other node: state, packets, tasks, round-trip time", NULL, peer_list},
    {"stats", "counters of all workers, and what was dropped, by reason", NULL, stats_call},
    {"stop", "ends the daemon in order", NULL, stop_call},
    {NULL, NULL, NULL, NULL},
};
