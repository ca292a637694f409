/* impl.h - the parts of the port layer together.  For dataplane/net alone.
 * Threads: a pair of queues, and the drop counters of a worker, are written by that worker; what else a port has (its neighbours)
 * by the one that owns it.  Workers find their queues in a table that never changes: the control thread publishes another one
 * (ports.c), and keeps what the former one names until net_reclaim. */
#pragma once
#include "net/arp.h"
#include "net/eth.h"
#include "net/impaired.h"
#include "net/steer.h"

/* What one worker has of a port. */
struct port_queue {
    _Alignas(CHI_CACHE_LINE) struct port *port;
    struct eth_gate *gate;
    struct impaired *impaired; /* NULL but in tests: net_impair_set */
    uint16_t device, queue; /* DPDK's numbers */
    uint16_t ntx;
    struct rte_mbuf *tx[NET_BURST];
};

struct port {
    struct eth eth;
    struct arp arp; /* arp.me is who we are here */
    struct arp_view view; /* of several queues: for the workers that do not own it */
    struct port *next;  /* control thread: among those that leave */
    bool off, lost;     /* control thread: in no table; by net_port_set_off; because its interface is gone */
    bool was_up;        /* control thread: net_ports_watch saw its link up */
    bool complained;    /* control thread: net_ports_complaint said why it is down */
    bool closed, quiet; /* control thread, when it leaves: its device; its pool was found whole once */
    const char *copies; /* why it does not send bytes from where they lie; NULL: it does */
    uint32_t tried;     /* packets of attach_try that are out */
    uint16_t worker;           /* owns it, */
    struct port_queue *own;    /* and has these */
    uint16_t wants;            /* net_port_options.queues */
    struct steer steer;
    char name[32], line[128];
    struct port_queue queue[]; /* eth.queues; of several, number w is worker w's; the only one is the owner's */
};

struct net_worker {
    _Alignas(CHI_CACHE_LINE) uint64_t drops[CHI_DROP_COUNT];
    unsigned first; /* which port is polled first, in turn */
};

struct port_list {
    uint32_t count;
    struct port *port[NET_PORTS_MAX];
};

struct queue_list {
    uint32_t count;
    struct port_queue *queue[NET_PORTS_MAX];
    struct rte_mempool *pool; /* where a worker's packets come from; NULL: there never was a port */
};

struct port_table {
    struct port_table *former; /* control thread: until net_reclaim */
    struct port_list all;
    struct queue_list of[]; /* each worker */
};

struct net {
    uint32_t workers, packets;
    uint16_t udp_port, payload_max;
    bool pci, fixed;          /* fixed: payload_max does not change any more */
    struct port_table *table; /* atomic */
    struct port_table *former;
    struct port *leaving;
    struct port_list ports; /* open ones, those that are off too */
    struct net_worker worker[];
};

/* What is found in it stays until this worker begins another turn (net_reclaim). */
static inline const struct port_table *net_table(const struct net *n)
{
    return __atomic_load_n(&n->table, __ATOMIC_ACQUIRE); /* pairs with the store in publish */
}

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

/* The queues of a port that are a worker's; NULL: it has none there. */
static inline struct port_queue *port_queue_of(struct port *p, unsigned worker)
{
    if (p->eth.queues > 1)
        return worker < p->eth.queues ? &p->queue[worker] : NULL;
    return worker == p->worker ? p->queue : NULL;
}

/* The port whose network has this address, or NULL. */
struct port *net_port_for(const struct net *n, uint32_t ip);
/* ports.c: what the workers are to see of n->ports from now on, and what they saw so far; NULL: no memory. */
struct port_table *ports_table(const struct net *n);
/* Takes down what net_stop finds: nobody uses any port any more. */
void net_ports_close(struct net *n);

/* attach.c: a port that starts is tried. */
void attach_try(struct port *p);

/* Queues a frame on a port; sends the queue when it is full. */
void port_tx_st(struct net_worker *w, struct port_queue *q, struct rte_mbuf *m);
void port_flush_st(struct net_worker *w, struct port_queue *q);
