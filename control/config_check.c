/* Values against each other and against this machine, and the building of struct config. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_schema.h"
#include "config_value.h"

struct check {
    const struct config_report *report;
    const struct yaml_tree *tree;
    const struct raw_config *raw;
    struct config *out;
};

/* Reports at `list[i].key`; at the nearest thing around it when there is no such key.  i < 0: `list` is the whole path.
 */
__attribute__((format(printf, 5, 6))) static int mistake(const struct check *k, const char *list, int i,
                                                         const char *key, const char *format, ...)
{
    char path[64], text[256];
    bool exact;
    va_list args;

    if (i < 0)
        snprintf(path, sizeof(path), "%s", list);
    else
        snprintf(path, sizeof(path), "%s[%d]%s%s", list, i, key ? "." : "", key ? key : "");
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const struct yaml_node *n = yaml_tree_at(k->tree, path, &exact);
    return config_report(k->report, n ? n->line : 1, n ? n->column : 1, "%s %s", path, text);
}

/* A core exists for us when this thread may be put on it: that also tells what a cpuset forbids. */
static bool core_usable(uint32_t core)
{
    cpu_set_t saved, one;
    if (core >= CPU_SETSIZE || sched_getaffinity(0, sizeof(saved), &saved))
        return false;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    if (sched_setaffinity(0, sizeof(one), &one))
        return false;
    return sched_setaffinity(0, sizeof(saved), &saved) == 0;
}

void config_cores_here(char *out, size_t cap)
{
    FILE *f = fopen("/sys/devices/system/cpu/online", "re");
    out[0] = 0;
    if (f) {
        if (!fgets(out, (int)cap, f))
            out[0] = 0;
        fclose(f);
    }
    out[strcspn(out, "\n")] = 0;
    if (!out[0])
        snprintf(out, cap, "0-%ld", sysconf(_SC_NPROCESSORS_ONLN) - 1);
}

static int build_workers(struct check *k)
{
    const struct raw_workers *w = &k->raw->workers;
    struct config *c = k->out;
    c->workers.idle = (enum config_idle)w->idle;
    c->workers.lanes = (enum config_lanes)w->lanes;
    c->workers.cores = calloc(w->cores_count, sizeof(*c->workers.cores));
    if (!c->workers.cores)
        return -ENOMEM;
    for (unsigned i = 0; i < w->cores_count; i++) {
        uint32_t core = (uint32_t)w->cores[i];
        char here[64];
        for (unsigned j = 0; j < i; j++) {
            if (c->workers.cores[j] == core)
                return mistake(k, "workers.cores", (int)i, NULL, "is %u again; name each core once", core);
        }
        if (!core_usable(core)) {
            config_cores_here(here, sizeof(here));
            return mistake(k, "workers.cores", (int)i, NULL, "is %u, which this process cannot run on; cores here: %s",
                           core, here);
        }
        c->workers.cores[i] = core;
    }
    c->workers.core_count = w->cores_count;
    c->workers.count = w->count ? (unsigned)*w->count : w->cores_count;
    if (c->workers.count < w->cores_count)
        return mistake(k, "workers.count", -1, NULL, "is %u, fewer than the %u of workers.cores; right is %u to %d", c->workers.count,
                       w->cores_count, w->cores_count, CONFIG_WORKERS_MAX);
    return 0;
}

static uint32_t subnet_mask(uint8_t prefix)
{
    return ~(UINT32_MAX >> prefix); /* prefix 1..30 */
}

/* "net_memif0" of "net_memif0,role=server": the name under which a virtual device registers. */
static bool same_device(const char *a, const char *b)
{
    size_t n = strcspn(a, ",");
    return n == strcspn(b, ",") && strncmp(a, b, n) == 0;
}

static int check_port(struct check *k, unsigned i)
{
    const struct config_port *p = &k->out->ports[i];
    for (unsigned j = 0; j < i; j++) {
        const struct config_port *q = &k->out->ports[j];
        uint32_t mask = subnet_mask(p->prefix < q->prefix ? p->prefix : q->prefix);
        if (strcmp(p->name, q->name) == 0)
            return mistake(k, "ports", (int)i, "name", "is '%s' like ports[%u]; give each port its own name", p->name,
                           j);
        if (same_device(p->device, q->device))
            return mistake(k, "ports", (int)i, "device", "is '%.*s' like ports[%u]; give each port its own device",
                           (int)strcspn(p->device, ","), p->device, j);
        if ((p->ip & mask) == (q->ip & mask))
            return mistake(k, "ports", (int)i, "ip",
                           "'%s' lies in the subnet of ports[%u], %s; give each port its own subnet",
                           k->raw->ports[i].ip, j, k->raw->ports[j].ip);
    }
    return 0;
}

static int build_ports(struct check *k)
{
    struct config *c = k->out;
    if (!k->raw->ports_count)
        return 0;
    c->ports = calloc(k->raw->ports_count, sizeof(*c->ports));
    if (!c->ports)
        return -ENOMEM;
    for (unsigned i = 0; i < k->raw->ports_count; i++) {
        const struct raw_port *r = &k->raw->ports[i];
        struct config_port *p = &c->ports[i];
        p->name = r->name;
        p->device = r->device;
        p->mtu = r->mtu ? (uint16_t)*r->mtu : 1500;
        p->queues = r->queues ? (uint16_t)*r->queues : 0;
        if (p->queues > c->workers.count)
            return mistake(k, "ports", (int)i, "queues", "is %u, more than the %u of workers.%s; each worker has one", p->queues,
                           c->workers.count, k->raw->workers.count ? "count" : "cores");
        if (!config_cidr(r->ip, &p->ip, &p->prefix))
            return mistake(k, "ports", (int)i, "ip", "is no address with a prefix");
        c->ports_count = i + 1;
        int rc = check_port(k, i);
        if (rc)
            return rc;
    }
    return 0;
}

static const struct yaml_node *ip_node(const struct check *k, unsigned i)
{
    char path[64];
    bool exact;
    snprintf(path, sizeof(path), "cluster.peers[%u].ip", i);
    return yaml_tree_at(k->tree, path, &exact);
}

/* Address m of peer i against the other peers', and this node's ports. */
static int check_peer_ip(struct check *k, unsigned i, unsigned m, const char *text)
{
    const struct config *c = k->out;
    const struct config_peer *p = &c->cluster.peers[i];
    const char *list = "cluster.peers";
    bool reachable = false;
    char key[16] = "ip";
    uint32_t ip = p->ip[m];
    if (ip_node(k, i)->kind == YAML_KIND_LIST)
        snprintf(key, sizeof(key), "ip[%u]", m);
    for (unsigned j = 0; j < i; j++)
        for (unsigned q = 0; q < c->cluster.peers[j].ips; q++)
            if (c->cluster.peers[j].ip[q] == ip)
                return mistake(k, list, (int)i, key, "is %s like %s[%u]; give each peer its own address", text, list, j);
    for (unsigned j = 0; j < c->ports_count; j++) {
        uint32_t mask = subnet_mask(c->ports[j].prefix), host = ~mask;
        if (ip == c->ports[j].ip)
            return mistake(k, list, (int)i, key, "is %s, which is the address of ports[%u]; write the peer's", text, j);
        if ((ip & mask) != (c->ports[j].ip & mask))
            continue;
        if ((ip & host) == 0 || (ip & host) == host)
            return mistake(k, list, (int)i, key, "is %s, the network or broadcast address of %s; write a host's", text,
                           k->raw->ports[j].ip);
        for (unsigned q = 0; q < m; q++)
            if ((ip & mask) == (p->ip[q] & mask))
                return mistake(k, list, (int)i, key, "is %s, in the subnet of ports[%u] like the one before; give one for each port",
                               text, j);
        reachable = true;
    }
    if (!c->ports_count)
        return mistake(k, list, (int)i, NULL, "needs a port to be reached by; add one under ports");
    if (!reachable)
        return mistake(k, list, (int)i, key, "is %s, which no port reaches; it must lie in a port's subnet like %s",
                       text, k->raw->ports[0].ip);
    return 0;
}

static int check_peer(struct check *k, unsigned i)
{
    const struct config *c = k->out;
    const struct config_peer *p = &c->cluster.peers[i];
    const char *list = "cluster.peers";
    if (p->id == c->node.id)
        return mistake(k, list, (int)i, "id", "is %u, which is this node's own id; list the other nodes only", p->id);
    if (strcmp(p->name, c->node.name) == 0)
        return mistake(k, list, (int)i, "name", "is '%s', which is this node's own name; give each node its own",
                       p->name);
    for (unsigned j = 0; j < i; j++) {
        const struct config_peer *q = &c->cluster.peers[j];
        if (p->id == q->id)
            return mistake(k, list, (int)i, "id", "is %u like %s[%u]; give each peer its own id", p->id, list, j);
        if (strcmp(p->name, q->name) == 0)
            return mistake(k, list, (int)i, "name", "is '%s' like %s[%u]; give each peer its own name", p->name, list,
                           j);
    }
    return 0;
}

/* Its addresses, which have passed their rule. */
static int build_peer_ips(struct check *k, unsigned i)
{
    struct config_peer *p = &k->out->cluster.peers[i];
    const struct yaml_node *n = ip_node(k, i), *at = n->kind == YAML_KIND_LIST ? n->first : n;
    for (; at && p->ips < CONFIG_PEER_IPS; at = n->kind == YAML_KIND_LIST ? at->next : NULL) {
        if (!config_ip(at->text, &p->ip[p->ips]))
            return mistake(k, "cluster.peers", (int)i, "ip", "is no address");
        int rc = check_peer_ip(k, i, p->ips, at->text);
        if (rc)
            return rc;
        p->ips++;
    }
    return 0;
}

static int build_cluster(struct check *k)
{
    const struct raw_cluster *r = &k->raw->cluster;
    struct config *c = k->out;
    if (!r->name && c->ports_count)
        return mistake(k, "cluster", -1, NULL, "is missing; ports need one like {name: demo, peers: [...]}");
    c->cluster.name = r->name ? r->name : c->node.name;
    c->cluster.udp_port = r->udp_port ? (uint16_t)*r->udp_port : 7440;
    if (c->cluster.udp_port + c->workers.count - 1 > UINT16_MAX)
        return mistake(k, "cluster.udp_port", -1, NULL, "is %u, too high for one UDP port per worker; at most %u",
                       c->cluster.udp_port, UINT16_MAX + 1 - c->workers.count);
    if (!r->peers_count)
        return 0;
    c->cluster.peers = calloc(r->peers_count, sizeof(*c->cluster.peers));
    if (!c->cluster.peers)
        return -ENOMEM;
    for (unsigned i = 0; i < r->peers_count; i++) {
        struct config_peer *p = &c->cluster.peers[i];
        p->id = (uint32_t)r->peers[i].id;
        p->name = r->peers[i].name;
        c->cluster.peers_count = i + 1;
        int rc = check_peer(k, i);
        rc = rc ? rc : build_peer_ips(k, i);
        if (rc)
            return rc;
    }
    if (c->limits.peers < c->cluster.peers_count)
        return mistake(k, "limits.peers", -1, NULL, "is %u, less than the %u peers that are listed; raise it", c->limits.peers,
                       c->cluster.peers_count);
    return 0;
}

static int build_compose(struct check *k)
{
    struct config *c = k->out;
    if (!k->raw->compose_count)
        return 0;
    c->compose = calloc(k->raw->compose_count, sizeof(*c->compose));
    if (!c->compose)
        return -ENOMEM;
    for (unsigned i = 0; i < k->raw->compose_count; i++) {
        const struct raw_pool *r = &k->raw->compose[i];
        struct config_pool *p = &c->compose[i];
        p->mod = r->mod;
        p->name = r->name;
        p->containers = r->containers ? (uint32_t)*r->containers : 1;
        if (!config_pool_id(r->pool, &p->pool))
            return mistake(k, "compose", (int)i, "pool", "is no pool id");
        if (strcmp(p->mod, "remote_queue") == 0 || strcmp(p->name, "remote_queue") == 0)
            return mistake(k, "compose", (int)i, NULL, "is remote_queue, which each daemon with ports has by itself; leave it out");
        for (unsigned j = 0; j < i; j++) {
            const struct config_pool *q = &c->compose[j];
            if (p->pool.major == q->pool.major && p->pool.minor == q->pool.minor)
                return mistake(k, "compose", (int)i, "pool", "is %s like compose[%u]; give each pool its own id",
                               r->pool, j);
            if (strcmp(p->name, q->name) == 0)
                return mistake(k, "compose", (int)i, "name", "is '%s' like compose[%u]; give each pool its own name",
                               p->name, j);
        }
        c->compose_count = i + 1;
    }
    return 0;
}

/* The folder that a build and an installation have beside the program: bin/chimaerad, lib/chimods. */
static char *default_modules(void)
{
    char program[PATH_MAX], *folder = NULL;
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (n <= 0)
        return strdup("/usr/lib/chimods");
    program[n] = 0;
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(program, '/');
        if (slash)
            *slash = 0;
    }
    return asprintf(&folder, "%s/lib/chimods", program) < 0 ? NULL : folder;
}

static int build_modules(struct check *k)
{
    const struct raw_modules *r = &k->raw->modules;
    struct config *c = k->out;
    unsigned count = r->path_count ? r->path_count : 1;
    c->modules.path = calloc(count, sizeof(*c->modules.path));
    if (!c->modules.path)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        struct stat st;
        char *path = r->path_count ? strdup(r->path[i]) : default_modules();
        if (!path)
            return -ENOMEM;
        c->modules.path[i] = path;
        c->modules.count = i + 1;
        if (r->path_count && (stat(path, &st) || !S_ISDIR(st.st_mode)))
            return mistake(k, "modules.path", (int)i, NULL,
                           "is '%.120s', which is no folder; name one that holds modules", path);
    }
    return 0;
}

static uint32_t or_default(const uint64_t *value, uint32_t otherwise)
{
    return value ? (uint32_t)*value : otherwise;
}

/* Pre: text, if there is one, passed its rule. */
static uint64_t size_or(const char *text, uint64_t otherwise)
{
    uint64_t v;
    return text && config_size(text, &v) ? v : otherwise;
}

/* What the tasks of peers may hold, of one within that of all, of all within what there is. */
static int build_memory(struct check *k)
{
    const struct raw_limits *r = &k->raw->limits;
    struct config *c = k->out;
    uint64_t bulk = config_bulk_bytes(c);
    c->limits.remote_memory = size_or(r->remote_memory, bulk);
    c->limits.peer_memory = size_or(r->peer_memory, c->limits.remote_memory < bulk / 2 ? c->limits.remote_memory : bulk / 2);
    if (c->limits.remote_memory > bulk)
        return mistake(k, "limits.remote_memory", -1, NULL, "is %s, and %lluK of memory.size are bulk memory; lower it, or raise that",
                       r->remote_memory, (unsigned long long)bulk / 1024);
    if (c->limits.remote_memory / c->workers.count < 1 << 20)
        return mistake(k, "limits.remote_memory", -1, NULL, "is %lluK, which %u workers share; right is 1M for each at least",
                       (unsigned long long)c->limits.remote_memory / 1024, c->workers.count);
    if (c->limits.peer_memory > c->limits.remote_memory)
        return mistake(k, "limits.peer_memory", -1, NULL, "is %s, more than all peers together may hold, limits.remote_memory", r->peer_memory);
    return 0;
}

static void build_scalars(struct check *k)
{
    const struct raw_config *r = k->raw;
    struct config *c = k->out;
    c->node.id = (uint32_t)r->node.id;
    c->node.name = r->node.name;
    c->control.socket = r->control.socket;
    c->memory.hugepages = (enum config_hugepages)r->memory.hugepages;
    c->memory.size = size_or(r->memory.size, 256ull << 20);
    c->limits.client_bulk = size_or(r->limits.client_bulk, 256ull << 20);
    c->limits.tasks = or_default(r->limits.tasks, 16384);
    c->limits.clients = or_default(r->limits.clients, 64);
    c->limits.messages = or_default(r->limits.messages, 1024);
    c->limits.window = or_default(r->limits.window, 128);
    c->limits.delay_target_us = or_default(r->limits.delay_target_us, 250);
    c->limits.peer_silence_ms = or_default(r->limits.peer_silence_ms, 1000);
    c->limits.pto_us = or_default(r->limits.pto_us, 200);
    c->limits.task_timeout_ms = or_default(r->limits.task_timeout_ms, 10000);
    c->limits.watchdog_ms = or_default(r->limits.watchdog_ms, 1000);
    c->limits.ack_every = or_default(r->limits.ack_every, 8);
    c->limits.ack_delay_us = or_default(r->limits.ack_delay_us, 25);
    c->limits.unasked = (uint32_t)size_or(r->limits.unasked, 64 << 10);
    c->limits.credit = (uint32_t)size_or(r->limits.credit, 4 << 20);
    c->limits.grant_window = (uint32_t)size_or(r->limits.grant_window, 2 << 20);
    c->limits.overcommit = or_default(r->limits.overcommit, 8);
    c->limits.quantum = (uint32_t)size_or(r->limits.quantum, 64 << 10);
    c->limits.neighborhood = or_default(r->limits.neighborhood, 32);
    c->limits.stacks = or_default(r->limits.stacks, 256);
    c->limits.background = or_default(r->limits.background, 2);
    c->limits.latency_weight = or_default(r->limits.latency_weight, 4);
    c->limits.stack_bytes = (uint32_t)size_or(r->limits.stack_bytes, 128 << 10);
    c->limits.peers = or_default(r->limits.peers, r->cluster.peers_count > 64 ? r->cluster.peers_count : 64);
}

int config_build(const struct config_report *r, const struct yaml_tree *t, const struct raw_config *raw,
                 struct config *out)
{
    static int (*const steps[])(struct check * k) = {build_workers, build_memory, build_ports, build_cluster, build_compose,
                                                     build_modules};
    struct check k = {r, t, raw, out};
    int rc = 0;
    build_scalars(&k);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !rc; i++)
        rc = steps[i](&k);
    return rc;
}

void config_fini(struct config *c)
{
    for (unsigned i = 0; i < c->modules.count; i++)
        free((char *)c->modules.path[i]);
    free(c->modules.path);
    free(c->workers.cores);
    free(c->ports);
    free(c->cluster.peers);
    free(c->compose);
}
