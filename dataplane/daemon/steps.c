/* steps.c - the start steps in order.  Each makes one thing and knows how to take it down. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "daemon.h"
#include "net/clock.h"

CHI_STATIC_ASSERT((int)DAEMON_ERROR_BYTES >= (int)NET_ERROR_BYTES && (int)DAEMON_ERROR_BYTES >= (int)SCHED_ERROR_BYTES, "for all");

enum { STOP_LIMIT_MS = 3000, ADMIN_MAJOR = 1, REMOTE_QUEUE_MAJOR = 2 };
enum { FILES_OF_CLIENT = 5, FILES_OF_DAEMON = 512 }; /* its socket and ipc_channel's; workers, ports, chictl and modules */

/* --- configuration */

static int start_config(struct daemon *d, char *err)
{
    struct timespec ts;
    clock_calibrate();
    clock_gettime(CLOCK_REALTIME, &ts);
    d->incarnation = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
    d->started_ns = net_now_ns();
    return config_load(d->config_file, &d->config, err, DAEMON_ERROR_BYTES);
}

static void stop_config(struct daemon *d)
{
    config_free(d->config);
    d->config = NULL;
}

/* --- ports */

static int start_ports(struct daemon *d, char *err)
{
    const struct config *c = d->config;
    if (!c->ports_count)
        return 0;
    struct net_options o = {
        .name = c->node.name,
        .hugepages = (enum net_hugepages)c->memory.hugepages,
        .memory_bytes = c->memory.size - config_bulk_bytes(c),
        .workers = c->workers.count,
        .udp_port = c->cluster.udp_port,
    };
    for (unsigned i = 0; i < c->ports_count; i++)
        o.pci = o.pci || net_device_is_pci(c->ports[i].device);
    int rc = net_start(&o, &d->net, err);
    for (unsigned i = 0; i < c->ports_count && rc >= 0; i++) {
        const struct config_port *p = &c->ports[i];
        struct net_port_options po = {.name = p->name, .device = p->device, .ip = p->ip, .prefix = p->prefix, .mtu = p->mtu,
                                      .queues = p->queues};
        rc = net_port_add(d->net, &po, err);
    }
    if (rc < 0)
        return rc;
    net_reclaim(d->net); /* no worker runs yet */
    net_payload_fix(d->net);
    return 0;
}

static void stop_ports(struct daemon *d)
{
    net_stop(d->net);
    d->net = NULL;
}

/* --- workers' memory and endpoints */

static int start_runtime(struct daemon *d, char *err)
{
    const struct config *c = d->config;
    uint32_t *nodes = malloc((c->cluster.peers_count + 1u) * sizeof *nodes);
    if (!nodes)
        return -ENOMEM;
    nodes[0] = c->node.id;
    for (unsigned i = 0; i < c->cluster.peers_count; i++)
        nodes[i + 1] = c->cluster.peers[i].id;
    struct runtime_options o = {
        .node_id = c->node.id,
        .workers = c->workers.count,
        .cores = c->workers.cores,
        .core_count = c->workers.core_count,
        .busy = c->workers.idle == CONFIG_IDLE_BUSY,
        .lanes_by_hash = c->workers.lanes == CONFIG_LANES_BY_HASH,
        .tasks = c->limits.tasks,
        .stacks = c->limits.stacks,
        .neighborhood = c->limits.neighborhood,
        .background = c->limits.background,
        .latency_weight = c->limits.latency_weight,
        .stack_bytes = c->limits.stack_bytes,
        .arena_bytes = config_bulk_bytes(c) / c->workers.count & ~UINT64_C(4095),
        .peer_memory = c->limits.peer_memory / c->workers.count,
        .remote_memory = c->limits.remote_memory / c->workers.count,
        .ack_every = c->limits.ack_every,
        .ack_delay_us = c->limits.ack_delay_us,
        .unasked = c->limits.unasked,
        .credit = c->limits.credit,
        .grant_window = c->limits.grant_window,
        .overcommit = c->limits.overcommit,
        .quantum = c->limits.quantum,
        .task_timeout_ns = c->limits.task_timeout_ms * UINT64_C(1000000),
        .module_paths = c->modules.path,
        .module_path_count = c->modules.count,
        .nodes = nodes,
        .node_count = c->cluster.peers_count + 1,
        .cluster = c->cluster.name,
        .incarnation = d->incarnation,
        .messages = c->limits.messages,
        .window = c->limits.window,
        .pto_us = c->limits.pto_us,
        .delay_target_us = c->limits.delay_target_us,
        .peer_silence_ms = c->limits.peer_silence_ms,
        .peers_max = c->limits.peers,
        .net = d->net,
        .udp_port = c->cluster.udp_port,
    };
    int rc = runtime_create(&o, &d->rt, err);
    free(nodes);
    return rc;
}

static void stop_runtime(struct daemon *d)
{
    runtime_destroy(d->rt);
    d->rt = NULL;
}

static void stop_nothing(struct daemon *d) { (void)d; }

/* --- modules and pools */

static int load_and_compose(struct daemon *d, const char *mod, struct chi_pool_id id, const char *name, uint32_t per_node, char *err)
{
    const struct config *c = d->config;
    int rc = sched_load(&d->rt->sched, mod, c->modules.path, c->modules.count, err);
    return rc ? rc : sched_compose(&d->rt->sched, mod, id, name, per_node, err);
}

static int start_pools(struct daemon *d, char *err)
{
    const struct config *c = d->config;
    int rc = 0;
    /* The way out comes first, so that it is the last to go. */
    if (d->net)
        rc = load_and_compose(d, "remote_queue", (struct chi_pool_id){REMOTE_QUEUE_MAJOR, 0}, "remote_queue", 1, err);
    if (!rc)
        rc = load_and_compose(d, "admin", (struct chi_pool_id){ADMIN_MAJOR, 0}, "admin", 1, err);
    for (unsigned i = 0; i < c->compose_count && !rc; i++)
        rc = load_and_compose(d, c->compose[i].mod, c->compose[i].pool, c->compose[i].name, c->compose[i].containers, err);
    return rc;
}

/* --- the control loop: signals, clients, JSON-RPC */

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
    (void)signal_number;
    (void)what;
    event_base_loopbreak(((struct daemon *)arg)->base);
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    clients_reap(arg);
}

/* Open files for all clients that the configuration allows: without them neither one more client nor chictl gets in. */
static int allow_files(const struct daemon *d, char *err)
{
    const rlim_t need = (rlim_t)d->config->limits.clients * FILES_OF_CLIENT + FILES_OF_DAEMON;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files))
        return -errno;
    if (files.rlim_max < need) {
        snprintf(err, DAEMON_ERROR_BYTES, "limits.clients is %u, which takes %llu open files, and this process may have %llu; lower it, "
                 "or raise ulimit -n", d->config->limits.clients, (unsigned long long)need, (unsigned long long)files.rlim_max);
        return -EMFILE;
    }
    if (files.rlim_cur >= need)
        return 0;
    files.rlim_cur = need;
    return setrlimit(RLIMIT_NOFILE, &files) ? -errno : 0;
}

static int start_control(struct daemon *d, char *err)
{
    int rc = allow_files(d, err);
    if (rc)
        return rc;
    struct rpc_options o = {
        .socket_path = d->config->control.socket,
        .methods = daemon_methods,
        .ctx = d,
        .attach = clients_attach,
    };
    d->base = event_base_new();
    if (!d->base)
        return -ENOMEM;
    d->signals[0] = evsignal_new(d->base, SIGTERM, on_signal, d);
    d->signals[1] = evsignal_new(d->base, SIGINT, on_signal, d);
    d->reaper = event_new(d->base, -1, EV_PERSIST, on_reap, d);
    if (!d->signals[0] || !d->signals[1] || !d->reaper || event_add(d->signals[0], NULL) || event_add(d->signals[1], NULL))
        return -ENOMEM;
    signal(SIGPIPE, SIG_IGN);
    return rpc_start(d->base, &o, &d->rpc, err, DAEMON_ERROR_BYTES);
}

static void stop_control(struct daemon *d)
{
    rpc_stop(d->rpc);
    d->rpc = NULL;
    clients_close_all(d);
    for (int i = 0; i < 2; i++)
        if (d->signals[i])
            event_free(d->signals[i]);
    if (d->reaper)
        event_free(d->reaper);
    if (d->watchdog)
        event_free(d->watchdog);
    if (d->ports_watch)
        event_free(d->ports_watch);
    if (d->balancer)
        event_free(d->balancer);
    if (d->base)
        event_base_free(d->base);
    d->base = NULL;
}

/* --- threads: the last to start, so that nothing runs while a step may still fail */

static int start_workers(struct daemon *d, char *err)
{
    int rc = runtime_start(d->rt, err);
    rc = rc ? rc : pools_start(d);
    rc = rc ? rc : watchdog_start(d);
    rc = rc ? rc : ports_watch_start(d);
    return rc ? rc : lanes_balance_start(d);
}

static void stop_workers(struct daemon *d)
{
    pools_stop(d); /* runtime_stop does that from here on */
    upgrade_abandon(d);
    uint32_t left = runtime_stop(d->rt, STOP_LIMIT_MS * UINT64_C(1000000));
    if (left)
        fprintf(stderr, "chimaerad: %u task%s did not end within %d ms and %s dropped\n", left, left == 1 ? "" : "s", STOP_LIMIT_MS,
                left == 1 ? "was" : "were");
    if (!runtime_books_closed(d->rt, stderr))
        d->failed = true;
    upgrade_free(d);
}

const struct step daemon_steps[] = {
    {"configuration", start_config, stop_config},
    {"control socket", start_control, stop_control}, /* early: one daemon at a time touches what follows */
    {"ports", start_ports, stop_ports},
    {"workers' memory", start_runtime, stop_runtime},
    {"peers", peers_start, peers_stop},
    {"pools", start_pools, stop_nothing},
    {"workers", start_workers, stop_workers},
    {NULL, NULL, NULL},
};
