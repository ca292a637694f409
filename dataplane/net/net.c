#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_lcore.h>

#include "net/clock.h"
#include "net/eal.h"
#include "net/impl.h"

enum { CACHE_SHARE = 512, MTU_MIN = 1280, MTU_MAX = 9600, PREFIX_MAX = 30 };

CHI_STATIC_ASSERT(sizeof(struct net_packet) <= CHI_CACHE_LINE, "net_packet lies in a packet's private part");

int net_start(const struct net_options *o, struct net **out, char *err)
{
    if (!o->workers || o->workers > 1024 || !o->udp_port || o->udp_port + o->workers - 1 > UINT16_MAX)
        return net_fail(err, -EINVAL,
                        "UDP ports %u to %u: give a base port above 0 with room for %u workers below 65536",
                        o->udp_port, o->udp_port + o->workers - 1, o->workers);
    size_t bytes = sizeof(struct net) + o->workers * sizeof(struct net_worker);
    struct net *n = aligned_alloc(CHI_CACHE_LINE, (bytes + CHI_CACHE_LINE - 1) & ~(size_t)(CHI_CACHE_LINE - 1));
    if (!n)
        return net_fail(err, -ENOMEM, "no memory for %u workers", o->workers);
    memset(n, 0, bytes);
    n->workers = o->workers;
    n->udp_port = o->udp_port;
    n->packets = o->packets ? o->packets : NET_PACKETS + o->workers * CACHE_SHARE;
    n->pci = o->pci;

    clock_calibrate();
    int rc = eal_start(o, err);
    if (rc) {
        free(n);
        return rc;
    }
    *out = n;
    return 0;
}

static int port_options_check(const struct net *n, const struct net_port_options *o, char *err)
{
    uint32_t mask = o->prefix >= 1 && o->prefix <= PREFIX_MAX ? ~0u << (32 - o->prefix) : 0;
    if (n->nports == NET_PORTS_MAX)
        return net_fail(err, -ENOSPC, "port %s: a node has at most %d ports", o->name, NET_PORTS_MAX);
    if (!mask)
        return net_fail(err, -EINVAL, "port %s: the prefix is %u, from 1 to %d are possible", o->name, o->prefix,
                        PREFIX_MAX);
    if ((o->ip & ~mask) == 0 || (o->ip & ~mask) == ~mask || o->ip >> 28 == 14)
        return net_fail(err, -EINVAL, "port %s: the address is the network's, its broadcast or a multicast address",
                        o->name);
    if (o->mtu < MTU_MIN || o->mtu > MTU_MAX)
        return net_fail(err, -EINVAL, "port %s: the MTU is %u, from %d to %d are possible", o->name, o->mtu, MTU_MIN,
                        MTU_MAX);
    if (net_device_is_pci(o->device) && !n->pci)
        return net_fail(err, -EINVAL, "port %s: the PCI bus was left out at start (net_options.pci)", o->name);
    for (unsigned i = 0; i < n->nports; i++) {
        const struct frame_local *other = &n->ports[i]->arp.me;
        if ((other->ip & other->mask & mask) == (o->ip & mask & other->mask))
            return net_fail(err, -EEXIST,
                            "port %s: its network overlaps that of port %s: give each a network of its own", o->name,
                            n->ports[i]->name);
    }
    return 0;
}

/* True when a port of this process serves the memif socket of a device line: then it is no leftover. */
static bool socket_is_ours(const struct net *n, const char *line)
{
    char path[108];
    device_socket(line, path);
    for (unsigned i = 0; i < n->nports; i++)
        if (path[0] && strcmp(path, n->ports[i]->eth.device.socket) == 0)
            return true;
    return false;
}

int net_port_add(struct net *n, const struct net_port_options *o, char *err)
{
    int rc = port_options_check(n, o, err);
    if (rc)
        return rc;
    struct port *p = calloc(1, sizeof *p);
    if (!p)
        return net_fail(err, -ENOMEM, "port %s: no memory for it", o->name);
    snprintf(p->name, sizeof p->name, "%s", o->name);
    snprintf(p->line, sizeof p->line, "%s", o->device);
    char why[NET_ERROR_BYTES];
    rc = eth_open(&p->eth, o->device, o->ip, o->mtu, n->packets, socket_is_ours(n, o->device), why);
    if (rc) {
        free(p);
        return net_fail(err, rc, "port %s: %.200s", o->name, why);
    }
    struct frame_local me = {
        .ip = o->ip, .mask = ~0u << (32 - o->prefix), .udp_first = n->udp_port, .udp_count = (uint16_t)n->workers};
    memcpy(me.mac, p->eth.mac, 6);
    arp_init(&p->arp, &me);
    uint16_t payload = (uint16_t)(o->mtu - FRAME_IP - FRAME_UDP);
    if (!n->payload_max || payload < n->payload_max)
        n->payload_max = payload;
    p->worker = (uint16_t)(n->nports % n->workers);
    struct net_worker *w = &n->worker[p->worker];
    w->ports[w->nports++] = p;
    n->ports[n->nports++] = p;
    return (int)n->nports - 1;
}

void net_stop(struct net *n)
{
    if (!n)
        return;
    for (unsigned i = 0; i < n->nports; i++) {
        struct port *p = n->ports[i];
        rte_pktmbuf_free_bulk(p->tx, p->ntx);
        p->ntx = 0;
        impaired_destroy(p->impaired);
    }
    for (unsigned i = n->nports; i-- > 0;) {
        eth_close(&n->ports[i]->eth);
        free(n->ports[i]);
    }
    eal_stop();
    free(n);
}

int net_thread_attach(void)
{
    if (rte_lcore_id() != LCORE_ID_ANY) /* the thread that started the EAL */
        return 0;
    return rte_thread_register() ? -rte_errno : 0;
}

void net_thread_detach(void)
{
    unsigned lcore = rte_lcore_id();
    if (lcore != LCORE_ID_ANY && rte_eal_lcore_role(lcore) == ROLE_NON_EAL)
        rte_thread_unregister();
}

struct port *net_port_for(const struct net *n, uint32_t ip)
{
    for (unsigned i = 0; i < n->nports; i++) {
        const struct frame_local *me = &n->ports[i]->arp.me;
        if (((ip ^ me->ip) & me->mask) == 0)
            return ip != me->ip && (ip & ~me->mask) != 0 && (ip & ~me->mask) != ~me->mask ? n->ports[i] : NULL;
    }
    return NULL;
}

int net_route(const struct net *n, uint32_t ip)
{
    const struct port *p = net_port_for(n, ip);
    return p ? p->worker : -1;
}

uint16_t net_payload_max(const struct net *n)
{
    return n->payload_max;
}

const uint64_t *net_drops(const struct net *n, unsigned worker)
{
    CHI_ASSERT(worker < n->workers);
    return n->worker[worker].drops;
}

int net_impair_set(struct net *n, unsigned port, const struct impair_settings *s, uint64_t seed)
{
    if (port >= n->nports)
        return -ENOENT;
    struct port *p = n->ports[port];
    if (s && impair_check(s))
        return -EINVAL;
    if (!s) {
        impaired_destroy(p->impaired);
        p->impaired = NULL;
        return 0;
    }
    if (!p->impaired)
        p->impaired = impaired_create(seed, NET_IMPAIR_HELD, p->eth.pool, p->eth.device.room_bytes, false);
    if (!p->impaired)
        return -ENOMEM;
    impair_set(&p->impaired->im, s);
    return 0;
}

const struct impair_stats *net_impair_stats(const struct net *n, unsigned port)
{
    CHI_ASSERT(port < n->nports);
    return n->ports[port]->impaired ? &n->ports[port]->impaired->im.stats : NULL;
}
