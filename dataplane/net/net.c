#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_lcore.h>

#include "net/clock.h"
#include "net/eal.h"
#include "net/impl.h"

enum { CACHE_SHARE = 512 };

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
    n->table = ports_table(n);

    clock_calibrate();
    int rc = n->table ? eal_start(o, err) : net_fail(err, -ENOMEM, "no memory for the table of ports");
    if (rc) {
        free(n->table);
        free(n);
        return rc;
    }
    *out = n;
    return 0;
}

void net_stop(struct net *n)
{
    if (!n)
        return;
    net_ports_close(n);
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
    const struct port_list *all = &net_table(n)->all;
    for (unsigned i = 0; i < all->count; i++) {
        const struct frame_local *me = &all->port[i]->arp.me;
        if (((ip ^ me->ip) & me->mask) == 0)
            return ip != me->ip && (ip & ~me->mask) != 0 && (ip & ~me->mask) != ~me->mask ? all->port[i] : NULL;
    }
    return NULL;
}

int net_route(const struct net *n, uint32_t ip)
{
    const struct port *p = net_port_for(n, ip);
    return p ? p->worker : -1;
}

bool net_hashes(const struct net *n, unsigned worker, uint32_t ip)
{
    struct port *p = net_port_for(n, ip);
    return p && p->steer.how == STEER_SOURCE && port_queue_of(p, worker);
}

bool net_reaches(const struct net *n, uint32_t ip)
{
    const struct port *p = net_port_for(n, ip);
    return p && atomic_load_explicit(&p->eth.up, memory_order_relaxed);
}

void net_payload_fix(struct net *n)
{
    n->fixed = true;
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
    if (port >= n->ports.count)
        return -ENOENT;
    if (s && impair_check(s))
        return -EINVAL;
    struct port *p = n->ports.port[port];
    for (uint16_t i = 0; i < p->eth.queues; i++) {
        struct port_queue *q = &p->queue[i];
        if (!s) {
            impaired_destroy(q->impaired);
            q->impaired = NULL;
            continue;
        }
        if (!q->impaired)
            q->impaired = impaired_create(seed + i, NET_IMPAIR_HELD, p->eth.pool, p->eth.device.room_bytes, false);
        if (!q->impaired)
            return -ENOMEM;
        impair_set(&q->impaired->im, s);
    }
    return 0;
}

const struct impair_stats *net_impair_stats(const struct net *n, unsigned port, unsigned queue)
{
    CHI_ASSERT(port < n->ports.count && queue < n->ports.port[port]->eth.queues);
    const struct impaired *q = n->ports.port[port]->queue[queue].impaired;
    return q ? &q->im.stats : NULL;
}
