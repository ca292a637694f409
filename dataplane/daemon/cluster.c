/* cluster.c - the nodes of the cluster that this one talks to, and how they come and go.  Control thread. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config_value.h"
#include "daemon.h"

const struct rpc_param peer_add_params[] = {
    {"id", RPC_INTEGER, true, "of the node"},
    {"name", RPC_STRING, true, "of the node"},
    {"ip", RPC_STRING, true, "its address, or several with commas between, each in another port's subnet"},
    {0},
};
const struct rpc_param peer_name_params[] = {{"name", RPC_STRING, true, "of the node, or its id"}, {0}};

CHI_STATIC_ASSERT((int)CONFIG_PEER_IPS == (int)XFER_PATHS_MAX, "as many addresses as the transport takes");

static void paths_of(const struct daemon *d, const struct peer *p, struct xfer_addr paths[XFER_PATHS_MAX])
{
    for (unsigned i = 0; i < p->ips; i++)
        paths[i] = (struct xfer_addr){.ip = p->ip[i], .port = d->config->cluster.udp_port};
}

int peers_start(struct daemon *d, char *err)
{
    const struct config *c = d->config;
    d->peers = calloc(c->limits.peers, sizeof *d->peers);
    if (!d->peers)
        return -ENOMEM;
    for (unsigned k = 0; k < c->cluster.peers_count; k++) {
        const struct config_peer *from = &c->cluster.peers[k];
        struct peer *p = &d->peers[d->peer_count++];
        p->id = from->id;
        p->ips = from->ips;
        memcpy(p->ip, from->ip, sizeof p->ip);
        snprintf(p->name, sizeof p->name, "%s", from->name);
        struct xfer_addr paths[XFER_PATHS_MAX];
        paths_of(d, p, paths);
        for (uint32_t w = 0; w < d->rt->workers && d->net; w++) {
            int rc = xfer_peer_paths(d->rt->worker[w]->xfer, p->id, paths, p->ips);
            if (rc) {
                snprintf(err, DAEMON_ERROR_BYTES, "peer %u (%s): %s", p->id, p->name, strerror(-rc));
                return rc;
            }
        }
    }
    return 0;
}

void peers_stop(struct daemon *d)
{
    free(d->peers);
    d->peers = NULL;
    d->peer_count = 0;
}

/* --- what chictl asks */

static json_t *refused(struct rpc_error *err, const char *name, int rc)
{
    if (rc == -ETIMEDOUT)
        return rpc_fail(err, RPC_FAILED, "%s: a worker does not turn; it follows when it does", name);
    if (rc == -ENOSPC)
        return rpc_fail(err, RPC_FAILED, "%s: no room for one more node; raise limits.peers, or wait for the tasks of one that was removed",
                        name);
    return rpc_fail(err, RPC_FAILED, "%s: %s", name, strerror(-rc));
}

/* The addresses of a text with commas between. */
static bool ips_read(const struct daemon *d, const char *text, struct peer *p, struct rpc_error *err)
{
    char one[16];
    for (const char *at = text;; at++) {
        size_t n = strcspn(at, ",");
        snprintf(one, sizeof one, "%.*s", n < sizeof one ? (int)n : 0, at);
        if (!text_ok("cluster.peers[].ip", "ip", one, err) || !config_ip(one, &p->ip[p->ips]))
            return false;
        if (net_route(d->net, p->ip[p->ips]) < 0) {
            rpc_fail(err, RPC_FAILED, "ip is %s, which no port reaches; add the port first (chictl port list)", one);
            return false;
        }
        p->ips++;
        at += n;
        if (!*at)
            return true;
        if (p->ips == CONFIG_PEER_IPS) {
            rpc_fail(err, RPC_INVALID_PARAMS, "ip has too many addresses; right are 1 to %d", CONFIG_PEER_IPS);
            return false;
        }
    }
}

/* Whether nobody else has what the new one is to have. */
static bool is_new(const struct daemon *d, const struct peer *p, struct rpc_error *err)
{
    const char *what = NULL, *of = d->config->node.name;
    if (p->id == d->config->node.id)
        what = "id";
    else if (strcmp(p->name, of) == 0)
        what = "name";
    for (unsigned k = 0; k < d->peer_count && !what; k++) {
        const struct peer *q = &d->peers[k];
        of = q->name;
        if (p->id == q->id)
            what = "id";
        else if (strcmp(p->name, q->name) == 0)
            what = "name";
        for (unsigned i = 0; i < p->ips * q->ips; i++)
            if (p->ip[i % p->ips] == q->ip[i / p->ips])
                what = "ip";
    }
    if (what)
        rpc_fail(err, RPC_FAILED, "the %s is that of node %s; give each node its own", what, of);
    return !what;
}

json_t *peer_add(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    struct peer p = {0};
    char id[24];
    const char *name = json_string_value(json_object_get(params, "name"));
    json_int_t number = json_integer_value(json_object_get(params, "id"));
    snprintf(id, sizeof id, "%" JSON_INTEGER_FORMAT, number);
    if (!has_transport(d, err) || !text_ok("cluster.peers[].id", "id", id, err) || !text_ok("cluster.peers[].name", "name", name, err) ||
        !ips_read(d, json_string_value(json_object_get(params, "ip")), &p, err))
        return NULL;
    p.id = (uint32_t)number;
    snprintf(p.name, sizeof p.name, "%s", name);
    if (!is_new(d, &p, err))
        return NULL;
    struct xfer_addr paths[XFER_PATHS_MAX];
    paths_of(d, &p, paths);
    int rc = d->peer_count < d->config->limits.peers ? runtime_peer_add(d->rt, p.id, paths, p.ips) : -ENOSPC;
    if (rc)
        return refused(err, p.name, rc);
    d->peers[d->peer_count++] = p;
    return json_pack("{s:i, s:s, s:s}", "node", (int)p.id, "name", p.name, "state", "idle");
}

/* By name or id, or NULL. */
static struct peer *named(const struct daemon *d, json_t *params, struct rpc_error *err)
{
    const char *name = json_string_value(json_object_get(params, "name"));
    char id[16];
    if (!has_transport(d, err))
        return NULL;
    for (unsigned k = 0; k < d->peer_count; k++) {
        snprintf(id, sizeof id, "%u", d->peers[k].id);
        if (strcmp(name, d->peers[k].name) == 0 || strcmp(name, id) == 0)
            return &d->peers[k];
    }
    rpc_fail(err, RPC_FAILED, "there is no node %.40s (chictl peer list)", name);
    return NULL;
}

json_t *peer_drain(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    struct peer *p = named(d, params, err);
    int rc = p ? runtime_peer_drain(d->rt, p->id) : 0;
    if (rc)
        return refused(err, p->name, rc);
    if (!p)
        return NULL;
    p->draining = true;
    json_t *list = peers_list(d, NULL, err), *o = json_incref(json_array_get(list, (size_t)(p - d->peers)));
    json_decref(list);
    return o;
}

json_t *peer_remove(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    struct peer *p = named(d, params, err);
    if (!p)
        return NULL;
    int rc = runtime_peer_remove(d->rt, p->id);
    if (rc && rc != -ETIMEDOUT)
        return refused(err, p->name, rc);
    json_t *o = json_pack("{s:i, s:s, s:s}", "node", (int)p->id, "name", p->name, "state",
                          rc ? "removed; a worker that does not turn follows when it does" : "removed");
    size_t behind = (size_t)(&d->peers[--d->peer_count] - p);
    memmove(p, p + 1, behind * sizeof *p);
    return o;
}
