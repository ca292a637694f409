#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/impl.h"

static enum net_link link_of(const struct port *p)
{
    if (p->lost)
        return NET_LINK_GONE;
    if (p->off)
        return NET_LINK_OFF;
    return eth_link_up(&p->eth) ? NET_LINK_UP : NET_LINK_DOWN;
}

int net_port_stats(const struct net *n, unsigned port, struct net_port_stats *out)
{
    if (port >= n->ports.count)
        return -ENOENT;
    const struct port *p = n->ports.port[port];
    const uint8_t *m = p->eth.mac;
    const struct frame_local *me = &p->arp.me;
    struct rte_eth_dev_info info;
    struct rte_eth_stats s;

    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "%s", p->name);
    snprintf(out->device, sizeof out->device, "%s", p->line);
    if (!p->closed && rte_eth_dev_info_get(p->eth.id, &info) == 0 && info.driver_name)
        snprintf(out->driver, sizeof out->driver, "%s", info.driver_name);
    snprintf(out->mac, sizeof out->mac, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
    snprintf(out->ip, sizeof out->ip, "%u.%u.%u.%u/%d", me->ip >> 24, me->ip >> 16 & 255, me->ip >> 8 & 255,
             me->ip & 255, __builtin_popcount(me->mask));
    snprintf(out->choice, sizeof out->choice, "%s", p->eth.choice);
    snprintf(out->copies, sizeof out->copies, "%s", p->copies ? p->copies : "");
    out->link = link_of(p);
    if (out->link == NET_LINK_DOWN)
        eth_down_why(&p->eth, out->why_down);
    out->interrupts = __atomic_load_n(&p->eth.interrupts, __ATOMIC_RELAXED);
    out->mtu = p->eth.mtu;
    out->worker = p->worker;
    out->queues = p->eth.queues;
    out->steering = n->workers == 1 ? "one worker" : steer_text(&p->steer);
    if (!p->closed && rte_eth_stats_get(p->eth.id, &s) == 0) {
        out->rx_packets = s.ipackets;
        out->tx_packets = s.opackets;
        out->rx_bytes = s.ibytes;
        out->tx_bytes = s.obytes;
        out->rx_missed = s.imissed;
        out->rx_errors = s.ierrors;
        out->tx_errors = s.oerrors;
        out->no_mbuf = s.rx_nombuf;
    }
    return 0;
}
