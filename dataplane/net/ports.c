/* ports.c - ports come, change and go, also while workers run: see impl.h.  Control thread. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/eal.h"
#include "net/impl.h"

enum { MTU_MIN = 1280, MTU_MAX = 9600, PREFIX_MAX = 30 };

/* --- what the workers see */

static void list_add(struct port_list *l, struct port *p)
{
    l->port[l->count++] = p;
}

static void table_add(struct port_table *t, const struct net *n, struct port *p)
{
    list_add(&t->all, p);
    for (unsigned w = 0; w < n->workers; w++) {
        struct queue_list *l = &t->of[w];
        struct port_queue *q = port_queue_of(p, w);
        if (q)
            l->queue[l->count++] = q;
    }
}

static void list_remove(struct port_list *l, const struct port *p)
{
    unsigned i = 0;
    while (l->port[i] != p)
        i++;
    for (l->count--; i < l->count; i++)
        l->port[i] = l->port[i + 1];
}

struct port_table *ports_table(const struct net *n)
{
    struct port_table *t = calloc(1, sizeof *t + n->workers * sizeof t->of[0]);
    if (!t)
        return NULL;
    for (unsigned i = 0; i < n->ports.count; i++) {
        struct port *p = n->ports.port[i];
        if (!p->off && !p->lost)
            table_add(t, n, p);
    }
    for (unsigned w = 0; w < n->workers; w++) {
        struct queue_list *own = &t->of[w];
        const struct port *from = own->count ? own->queue[0]->port : t->all.count ? t->all.port[0] : NULL;
        /* Without any port packets are made all the same, and dropped for want of a route: the transport goes on waiting. */
        own->pool = from ? from->eth.pool : n->table ? n->table->of[w].pool : NULL;
    }
    return t;
}

/* From now on the workers see n->ports as it is. */
static int publish(struct net *n)
{
    struct port_table *t = ports_table(n);
    if (!t)
        return -ENOMEM;
    struct port_table *was = n->table;
    was->former = n->former;
    n->former = was;
    __atomic_store_n(&n->table, t, __ATOMIC_RELEASE); /* pairs with net_table */
    return 0;
}

/* --- add */

static int port_options_check(const struct net *n, const struct net_port_options *o, char *err)
{
    uint32_t mask = o->prefix >= 1 && o->prefix <= PREFIX_MAX ? ~0u << (32 - o->prefix) : 0;
    char iface[16], other_iface[16];
    if (n->ports.count == NET_PORTS_MAX)
        return net_fail(err, -ENOSPC, "port %s: a node has at most %d ports", o->name, NET_PORTS_MAX);
    if (!mask)
        return net_fail(err, -EINVAL, "port %s: the prefix is %u, from 1 to %d are possible", o->name, o->prefix,
                        PREFIX_MAX);
    if ((o->ip & ~mask) == 0 || (o->ip & ~mask) == ~mask || o->ip >> 28 == 14)
        return net_fail(err, -EINVAL, "port %s: the address is the network's, its broadcast or a multicast address",
                        o->name);
    if (o->queues > n->workers || o->queues > ETH_QUEUES_MAX)
        return net_fail(err, -EINVAL, "port %s: queues: %u is more than the %u that there are workers for: each has one", o->name,
                        o->queues, n->workers < ETH_QUEUES_MAX ? n->workers : ETH_QUEUES_MAX);
    if (o->mtu < MTU_MIN || o->mtu > MTU_MAX)
        return net_fail(err, -EINVAL, "port %s: the MTU is %u, from %d to %d are possible", o->name, o->mtu, MTU_MIN,
                        MTU_MAX);
    if (n->fixed && o->mtu - FRAME_IP - FRAME_UDP < n->payload_max)
        return net_fail(err, -EMSGSIZE,
                        "port %s: an MTU of %u is less than the %u that this node's packets were laid out for when it "
                        "started: give it at least that",
                        o->name, o->mtu, n->payload_max + FRAME_IP + FRAME_UDP);
    if (net_device_is_pci(o->device) && !n->pci)
        return net_fail(err, -EINVAL,
                        "port %s: the PCI bus was left out at start (net_options.pci): a node that is to get PCI devices "
                        "needs one among its first ports",
                        o->name);
    device_iface(o->device, iface);
    for (unsigned i = 0; i < n->ports.count; i++) {
        const struct port *p = n->ports.port[i];
        const struct frame_local *other = &p->arp.me;
        if (strcmp(o->name, p->name) == 0)
            return net_fail(err, -EEXIST, "port %s: there is one of that name", o->name);
        if ((other->ip & other->mask & mask) == (o->ip & mask & other->mask))
            return net_fail(err, -EEXIST,
                            "port %s: its network overlaps that of port %s: give each a network of its own", o->name,
                            p->name);
        device_iface(p->line, other_iface);
        if (iface[0] && strcmp(iface, other_iface) == 0)
            return net_fail(err, -EEXIST, "port %s: port %s has the interface %s", o->name, p->name, iface);
    }
    return 0;
}

/* True when a port of this process serves the memif socket of a device line: then it is no leftover. */
static bool socket_is_ours(const struct net *n, const char *line)
{
    char path[108];
    device_socket(line, path);
    for (unsigned i = 0; i < n->ports.count; i++)
        if (path[0] && strcmp(path, n->ports.port[i]->eth.device.socket) == 0)
            return true;
    return false;
}

/* The worker with the fewest ports, the first of them.  Of several queues the first is always there (memif). */
static uint16_t worker_for(const struct net *n, const struct port *p)
{
    if (p->eth.queues > 1)
        return 0;
    uint16_t best = 0;
    unsigned least = UINT32_MAX;
    for (uint16_t w = 0; w < n->workers; w++) {
        unsigned count = 0;
        for (unsigned i = 0; i < n->ports.count; i++)
            count += n->ports.port[i]->worker == w;
        if (count < least) {
            least = count;
            best = w;
        }
    }
    return best;
}

static void give(struct port *p, uint16_t worker)
{
    p->worker = worker;
    p->own = port_queue_of(p, worker);
}

static void *zeroed(size_t bytes)
{
    void *p = aligned_alloc(CHI_CACHE_LINE, (bytes + CHI_CACHE_LINE - 1) & ~(size_t)(CHI_CACHE_LINE - 1));
    return p ? memset(p, 0, bytes) : NULL;
}

static int port_open(const struct net *n, const struct net_port_options *o, struct port **out, char *err)
{
    const uint16_t most = n->workers < ETH_QUEUES_MAX ? (uint16_t)n->workers : ETH_QUEUES_MAX;
    struct port *p = zeroed(sizeof *p + most * sizeof p->queue[0]);
    char why[NET_ERROR_BYTES] = "no memory for it";
    const struct eth_options eo = {.device = o->device, .ip = o->ip, .mtu = o->mtu, .packets = n->packets, .queues = most,
                                   .wants = o->queues, .own_socket = socket_is_ours(n, o->device)};
    int rc = p ? eth_open(&p->eth, &eo, why) : -ENOMEM;
    if (rc) {
        free(p);
        return net_fail(err, rc, "port %s: %.200s", o->name, why);
    }
    snprintf(p->name, sizeof p->name, "%s", o->name);
    snprintf(p->line, sizeof p->line, "%s", o->device);
    p->wants = o->queues;
    struct frame_local me = {
        .ip = o->ip, .mask = ~0u << (32 - o->prefix), .udp_first = n->udp_port, .udp_count = (uint16_t)n->workers};
    memcpy(me.mac, p->eth.mac, 6);
    arp_init(&p->arp, &me);
    p->arp.view = p->eth.queues > 1 ? &p->view : NULL;
    for (uint16_t q = 0; q < p->eth.queues; q++)
        p->queue[q] = (struct port_queue){.port = p, .gate = &p->eth.gate[q], .device = p->eth.id, .queue = q};
    steer_set(&p->steer, &p->eth, n->udp_port);
    attach_try(p);
    *out = p;
    return 0;
}

/* The device goes; its pool, and with it the port's record, when nobody has packets of it any more. */
static void port_close(struct port *p)
{
    if (p->closed)
        return;
    for (uint16_t q = 0; q < p->eth.queues; q++) {
        rte_pktmbuf_free_bulk(p->queue[q].tx, p->queue[q].ntx);
        p->queue[q].ntx = 0;
        impaired_destroy(p->queue[q].impaired);
        p->queue[q].impaired = NULL;
    }
    steer_clear(&p->steer, &p->eth);
    eth_close(&p->eth);
    p->closed = true;
}

static void port_free(struct port *p)
{
    port_close(p);
    eth_pool_free(&p->eth);
    free(p);
}

int net_port_add(struct net *n, const struct net_port_options *o, char *err)
{
    struct port *p;
    int rc = port_options_check(n, o, err);
    rc = rc ? rc : port_open(n, o, &p, err);
    if (rc)
        return rc;
    give(p, worker_for(n, p));
    list_add(&n->ports, p);
    if (publish(n)) {
        list_remove(&n->ports, p);
        port_free(p); /* no worker saw it */
        return net_fail(err, -ENOMEM, "port %s: no memory for the table of ports", o->name);
    }
    uint16_t payload = (uint16_t)(o->mtu - FRAME_IP - FRAME_UDP);
    if (!n->fixed && (!n->payload_max || payload < n->payload_max))
        n->payload_max = payload;
    return (int)n->ports.count - 1;
}

/* --- change and remove */

static struct port *find(const struct net *n, const char *name, char *err)
{
    for (unsigned i = 0; i < n->ports.count; i++)
        if (strcmp(n->ports.port[i]->name, name) == 0)
            return n->ports.port[i];
    net_fail(err, -ENOENT, "there is no port %s", name);
    return NULL;
}

int net_port_remove(struct net *n, const char *name, char *err)
{
    struct port *p = find(n, name, err);
    if (!p)
        return -ENOENT;
    list_remove(&n->ports, p);
    if (publish(n)) {
        list_add(&n->ports, p);
        return net_fail(err, -ENOMEM, "port %s: no memory for the table of ports", name);
    }
    p->next = n->leaving;
    n->leaving = p;
    return 0;
}

int net_port_set_off(struct net *n, const char *name, bool off, char *err)
{
    struct port *p = find(n, name, err);
    if (!p)
        return -ENOENT;
    if (p->off == off)
        return 0;
    p->off = off;
    if (publish(n) == 0)
        return 0;
    p->off = !off;
    return net_fail(err, -ENOMEM, "port %s: no memory for the table of ports", name);
}

int net_port_set_mtu(struct net *n, const char *name, uint16_t mtu, char *err)
{
    struct port *p = find(n, name, err);
    char why[NET_ERROR_BYTES];
    if (!p)
        return -ENOENT;
    uint32_t least = n->payload_max + FRAME_IP + FRAME_UDP;
    if (mtu < least)
        return net_fail(err, -EMSGSIZE,
                        "port %s: an MTU of %u is less than the %u that this node's packets were laid out for", name, mtu,
                        least);
    int rc = p->closed ? net_fail(why, -ENODEV, "its interface is gone") : eth_set_mtu(&p->eth, mtu, why);
    return rc ? net_fail(err, rc, "port %s: %.200s", name, why) : 0;
}

/* --- afterwards */

/* Nobody has packets of a closed port's pool any more, and nobody takes new ones from it. */
static bool pool_whole(const struct net *n, struct port *p)
{
    bool keeps = false;
    for (unsigned w = 0; w < n->workers; w++)
        if (n->table->of[w].pool == p->eth.pool)
            return false;
    for (unsigned i = 0; i < n->ports.count; i++)
        keeps = keeps || (!n->ports.port[i]->closed && eth_keeps_packets(&n->ports.port[i]->eth));
    if (!keeps) /* what is missing went with the device: net_af_xdp gives nothing back */
        return true;
    /* A worker that gives packets back just now may be counted twice; not after each began another turn (net_reclaim). */
    bool quiet = rte_mempool_in_use_count(p->eth.pool) == 0, twice = quiet && p->quiet;
    p->quiet = quiet;
    return twice;
}

bool net_reclaim(struct net *n)
{
    while (n->former) {
        struct port_table *t = n->former;
        n->former = t->former;
        free(t);
    }
    for (unsigned i = 0; i < n->ports.count; i++)
        if (n->ports.port[i]->lost)
            port_close(n->ports.port[i]);
    for (struct port **at = &n->leaving; *at;) {
        struct port *p = *at;
        port_close(p);
        if (!pool_whole(n, p)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        port_free(p);
    }
    return n->leaving != NULL;
}

/* The interface of a lost port is there again: a port in its place.  It stays lost while that cannot be opened. */
static bool restore(struct net *n, unsigned i)
{
    struct port *p = n->ports.port[i], *again;
    const struct frame_local *me = &p->arp.me;
    const struct net_port_options o = {
        .name = p->name, .device = p->line, .ip = me->ip, .prefix = (uint8_t)__builtin_popcount(me->mask), .mtu = p->eth.mtu,
        .queues = p->wants};
    char why[NET_ERROR_BYTES];
    if (!p->closed || device_iface_link(p->eth.device.iface, 0) != DEVICE_LINK_UP || port_open(n, &o, &again, why))
        return false;
    give(again, again->eth.queues > 1 ? 0 : p->worker);
    again->off = p->off;
    n->ports.port[i] = again;
    if (publish(n)) {
        n->ports.port[i] = p;
        port_free(again);
        return false;
    }
    p->next = n->leaving;
    n->leaving = p;
    return true;
}

bool net_ports_watch(struct net *n)
{
    bool changed = n->former || n->leaving;
    for (unsigned i = 0; i < n->ports.count; i++) {
        struct port *p = n->ports.port[i];
        const struct device *d = &p->eth.device;
        bool is_up = !p->lost && !p->off && atomic_load_explicit(&p->eth.up, memory_order_relaxed);
        changed |= is_up != p->was_up;
        p->was_up = is_up;
        if (!d->iface[0])
            continue;
        if (p->lost) {
            changed |= restore(n, i) || !p->closed;
        } else if (device_iface_link(d->iface, d->ifindex) == DEVICE_LINK_GONE) {
            p->lost = true;
            p->lost = publish(n) == 0;
            changed |= p->lost;
        }
    }
    return changed;
}

bool net_ports_complaint(struct net *n, char *line)
{
    char why[NET_WHY_BYTES];
    for (unsigned i = 0; i < n->ports.count; i++) {
        struct port *p = n->ports.port[i];
        bool had = p->complained;
        p->complained = !p->off && eth_down_why(&p->eth, why);
        if (p->complained && !had) {
            snprintf(line, NET_ERROR_BYTES, "port %s: its link is down: %s", p->name, why);
            return true;
        }
    }
    return false;
}

void net_ports_close(struct net *n)
{
    for (unsigned i = n->ports.count; i-- > 0;)
        port_close(n->ports.port[i]); /* each before any pool: a driver may hold packets of another port's */
    for (unsigned i = n->ports.count; i-- > 0;)
        port_free(n->ports.port[i]);
    n->ports.count = 0;
    while (n->leaving) {
        struct port *p = n->leaving;
        n->leaving = p->next;
        port_free(p);
    }
    net_reclaim(n);
    free(n->table);
}
