/* ports.c - ports that come, change and go while the daemon runs.  Control thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/config_value.h"
#include "daemon.h"

enum { WATCH_US = 250000, RETRY_S = 5 /* a worker does not turn: each try waits for it */ };

const struct rpc_param port_add_params[] = {
    {"name", RPC_STRING, true, "for people"},
    {"device", RPC_STRING, true, "a DPDK device with its arguments, a PCI address, or a kernel interface"},
    {"ip", RPC_STRING, true, "this node's address there, like 10.41.0.1/24"},
    {"mtu", RPC_INTEGER, false, "counts the IP packet; 1500"},
    {"queues", RPC_INTEGER, false, "pairs, at most one a worker; as many as the driver offers, but one of a memif"},
    {0},
};
const struct rpc_param port_remove_params[] = {{"name", RPC_STRING, true, "of the port"}, {0}};
const struct rpc_param port_set_params[] = {
    {"name", RPC_STRING, true, "of the port"},
    {"link", RPC_STRING, false, "up or down"},
    {"mtu", RPC_INTEGER, false, "counts the IP packet"},
    {0},
};

bool text_ok(const char *key, const char *parameter, const char *text, struct rpc_error *err)
{
    const struct config_rule *rule = config_rule_find(key);
    char want[120];
    CHI_ASSERT(rule);
    if (config_rule_ok(rule, text))
        return true;
    config_rule_want(rule, want, sizeof want);
    rpc_fail(err, RPC_INVALID_PARAMS, "%s is '%.40s'; right is %s", parameter, text, want);
    return false;
}

static const char *text_of(json_t *params, const char *name) { return json_string_value(json_object_get(params, name)); }

/* The number as text, so that the configuration's rules judge it. */
static bool number_ok(const char *key, const char *parameter, json_t *params, uint16_t *out, struct rpc_error *err)
{
    json_t *v = json_object_get(params, parameter);
    char text[24];
    if (!v)
        return true;
    snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    *out = (uint16_t)json_integer_value(v);
    return text_ok(key, parameter, text, err);
}

static const char *const links[] = {
    [NET_LINK_DOWN] = "down", [NET_LINK_UP] = "up", [NET_LINK_OFF] = "off", [NET_LINK_GONE] = "gone"};

static json_t *port_json(unsigned i, const struct net_port_stats *s)
{
    json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:s}", "port", (int)i, "name", s->name, "driver",
                          s->driver, "mac", s->mac, "ip", s->ip, "link", links[s->link], "wakes", s->interrupts ? "yes" : "no", "sends",
                          s->copies[0] ? "copies" : "attached", "mtu", (int)s->mtu, "worker", (int)s->worker, "queues", (int)s->queues,
                          "steering", s->steering);
    const struct { const char *name; uint64_t v; } n[] = {
        {"rx_packets", s->rx_packets}, {"tx_packets", s->tx_packets}, {"rx_bytes", s->rx_bytes}, {"tx_bytes", s->tx_bytes},
        {"rx_missed", s->rx_missed},   {"rx_errors", s->rx_errors},   {"tx_errors", s->tx_errors}, {"no_mbuf", s->no_mbuf},
    };
    for (size_t k = 0; k < sizeof n / sizeof n[0]; k++)
        json_object_set_new(o, n[k].name, json_number(n[k].v));
    if (s->why_down[0])
        json_object_set_new(o, "why_down", json_string(s->why_down));
    return o;
}

json_t *port_list(void *daemon, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = daemon;
    json_t *list = json_array();
    struct net_port_stats s;
    (void)params;
    (void)err;
    for (unsigned i = 0; d->net && net_port_stats(d->net, i, &s) == 0; i++)
        json_array_append_new(list, port_json(i, &s));
    return list;
}

unsigned ports_count(const struct daemon *d)
{
    struct net_port_stats s;
    unsigned n = 0;
    while (d->net && net_port_stats(d->net, n, &s) == 0)
        n++;
    return n;
}

/* --- changes */

static void watch_again(struct daemon *d, bool late)
{
    struct timeval after = {late ? RETRY_S : 0, late ? 0 : WATCH_US};
    event_add(d->ports_watch, &after);
}

/* The workers have let go of what was changed.  False: one of them does not turn, and what went is closed later. */
static bool settle(struct daemon *d)
{
    if (runtime_settle(d->rt) || runtime_paths_changed(d->rt)) {
        watch_again(d, true);
        return false;
    }
    net_reclaim(d->net);
    return true;
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct daemon *d = arg;
    (void)fd;
    (void)what;
    char line[NET_ERROR_BYTES];
    while (net_ports_complaint(d->net, line))
        fprintf(stderr, "chimaerad: %s\n", line);
    if (!net_ports_watch(d->net) || settle(d))
        watch_again(d, false);
}

int ports_watch_start(struct daemon *d)
{
    if (!d->net)
        return 0;
    d->ports_watch = event_new(d->base, -1, 0, on_watch, d);
    if (!d->ports_watch)
        return -ENOMEM;
    watch_again(d, false);
    return 0;
}

bool has_transport(const struct daemon *d, struct rpc_error *err)
{
    if (!d->net)
        rpc_fail(err, RPC_FAILED, "this node was started without ports, and has no transport: give it one under 'ports' and start it anew");
    return d->net != NULL;
}

/* The line of the port in port.list, and what there is to say beside it. */
static json_t *answer(const struct daemon *d, const char *name, bool settled)
{
    struct net_port_stats s;
    for (unsigned i = 0; net_port_stats(d->net, i, &s) == 0; i++)
        if (strcmp(s.name, name) == 0) {
            json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:s}", "name", s.name, "driver", s.driver, "ip", s.ip, "link",
                                  links[s.link], "mtu", (int)s.mtu, "worker", (int)s.worker, "queues", (int)s.queues, "steering",
                                  s.steering);
            json_object_set_new(o, "sends", s.copies[0] ? json_sprintf("copies: %s", s.copies) : json_string("attached"));
            if (s.choice[0])
                json_object_set_new(o, "chosen", json_string(s.choice));
            return o;
        }
    return json_pack("{s:s, s:s}", "name", name, "state", settled ? "removed" : "removed; it is closed when all workers turn again");
}

json_t *port_add(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    char why[NET_ERROR_BYTES];
    struct net_port_options o = {.name = text_of(params, "name"), .device = text_of(params, "device"), .mtu = 1500};
    if (!has_transport(d, err) || !text_ok("ports[].name", "name", o.name, err) || !text_ok("ports[].device", "device", o.device, err) ||
        !text_ok("ports[].ip", "ip", text_of(params, "ip"), err) || !number_ok("ports[].mtu", "mtu", params, &o.mtu, err) ||
        !number_ok("ports[].queues", "queues", params, &o.queues, err))
        return NULL;
    if (!config_cidr(text_of(params, "ip"), &o.ip, &o.prefix))
        return rpc_fail(err, RPC_INTERNAL, "ip has passed its rule, and cannot be read");
    if (net_port_add(d->net, &o, why) < 0)
        return rpc_fail(err, RPC_FAILED, "%.190s", why);
    return answer(d, o.name, settle(d));
}

json_t *port_remove(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    char why[NET_ERROR_BYTES];
    const char *name = text_of(params, "name");
    if (!has_transport(d, err))
        return NULL;
    if (net_port_remove(d->net, name, why))
        return rpc_fail(err, RPC_FAILED, "%.190s", why);
    return answer(d, name, settle(d));
}

json_t *port_set(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    char why[NET_ERROR_BYTES];
    const char *name = text_of(params, "name"), *link = text_of(params, "link");
    uint16_t mtu = 0;
    if (!has_transport(d, err) || !number_ok("ports[].mtu", "mtu", params, &mtu, err))
        return NULL;
    if (!mtu && !link)
        return rpc_fail(err, RPC_INVALID_PARAMS, "nothing is to be set; name link or mtu");
    if (link && strcmp(link, "up") != 0 && strcmp(link, "down") != 0)
        return rpc_fail(err, RPC_INVALID_PARAMS, "link is '%.40s'; right is up or down", link);
    if ((mtu && net_port_set_mtu(d->net, name, mtu, why)) || (link && net_port_set_off(d->net, name, strcmp(link, "down") == 0, why)))
        return rpc_fail(err, RPC_FAILED, "%.190s", why);
    return answer(d, name, settle(d));
}
