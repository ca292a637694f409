/* impl.h - the parts of the port layer together.  For dataplane/net alone.
 * Threads: everything of a port, and the drop counters of a worker, are written by the owning worker. */
#pragma once
#include "net/arp.h"
#include "net/eth.h"
#include "net/impaired.h"

struct port {
    struct eth eth;
    struct arp arp; /* arp.me is who we are here */
    uint16_t worker, ntx;
    struct impaired *impaired; /* NULL but in tests: net_impair_set */
    struct rte_mbuf *tx[NET_BURST];
    char name[32], line[128];
};

struct net_worker {
    _Alignas(CHI_CACHE_LINE) uint64_t drops[CHI_DROP_COUNT];
    struct port *ports[NET_PORTS_MAX];
    unsigned nports, first; /* first: which port is polled first, in turn */
};

struct net {
    uint32_t workers, packets, nports;
    uint16_t udp_port, payload_max;
    bool pci;
    struct port *ports[NET_PORTS_MAX];
    struct net_worker worker[];
};

static inline struct net_packet *packet_of(struct rte_mbuf *m)
{
    return rte_mbuf_to_priv(m);
}

static inline struct rte_mbuf *mbuf_of(struct net_packet *p)
{
    return (struct rte_mbuf *)((char *)p - sizeof(struct rte_mbuf));
}

/* One writer; readers on other threads see whole numbers. */
static inline void net_drop(struct net_worker *w, enum chi_drop reason, uint64_t n)
{
    __atomic_store_n(&w->drops[reason], w->drops[reason] + n, __ATOMIC_RELAXED);
}

/* The port whose network has this address, or NULL. */
struct port *net_port_for(const struct net *n, uint32_t ip);

/* Queues a frame on a port; sends the queue when it is full. */
void port_tx_st(struct net_worker *w, struct port *p, struct rte_mbuf *m);
void port_flush_st(struct net_worker *w, struct port *p);
