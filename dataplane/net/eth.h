/* eth.h - a DPDK port with one or several pairs of queues and its own pool of packets: opened, started, watched, closed.
 * For dataplane/net alone.
 *
 * Threads: open and close by the control thread.  rx and tx of a queue by the worker that owns it, between eth_enter_st and
 * eth_leave_st of its gate; rx and tx may have a worker each.  The watch runs in the EAL's interrupt thread: it calls again for
 * a memif client that lost its server, which restarts the port.
 *
 * Taking a port away from its workers, without a lock on their side: a worker makes `turn` odd, then looks at
 * its gate; the other side closes the gates (or knows them closed: net_memif's own flag), has every core pass a barrier
 * (membarrier), then waits while `turn` is the odd number it saw.  Either the worker sees the gate closed, or it is
 * waited for.
 *
 * net_memif has as many pairs of queues as the client brings.  A server's other ones must not be touched: their gates are shut
 * until the watch sees that they are there, and again before the driver lets go of them. */
#pragma once
#include <stdatomic.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "net/device.h"
#include "net/net.h"

enum { WATCH_US = 50000, ETH_QUEUES_MAX = 64 };
enum { DOWN_LONG = 60 }; /* rounds of the watch, beyond what a connection may take: there is a reason */
enum eth_way { ETH_RX, ETH_TX, ETH_WAYS };

struct eth_gate {
    _Alignas(CHI_CACHE_LINE) _Atomic bool open;
    _Atomic uint32_t turn[ETH_WAYS]; /* odd: the worker is inside */
};

struct eth {
    uint16_t id;                        /* DPDK's */
    uint16_t queues;                    /* pairs of them */
    bool rx_ip_checked, rx_udp_checked; /* the port verifies these checksums and says so in each packet */
    bool hashes;                        /* of several queues, each packet comes to one by a hash of its addresses and ports */
    bool interrupts;                    /* the driver was set up to interrupt; cleared when it turns out that it cannot */
    _Atomic bool up;                    /* its link, as the watch saw it last */
    _Atomic bool served;                /* memif client: somebody listened when it called last */
    _Atomic uint32_t down;              /* rounds of the watch without a link, up to DOWN_LONG */
    bool was_up;                        /* watch: the link has been up since the last start */
    uint16_t waits;                     /* watch: rounds since the last start without a link */
    uint16_t mtu;
    uint8_t mac[6];
    char choice[160]; /* a kernel interface by its name: which driver it got, and why */
    struct rte_mempool *pool;
    struct device device;
    struct rte_intr_handle *ring[ETH_QUEUES_MAX][ETH_WAYS]; /* memif: has a descriptor while the other side has that queue */
    struct eth_gate gate[ETH_QUEUES_MAX];
};

struct eth_options {
    const char *device; /* a device line, or the name of a kernel interface, which gets net_af_xdp where that does, else net_af_packet */
    uint32_t ip;
    uint16_t mtu;
    uint32_t packets;       /* of the pool, each with net_packet as its private part */
    uint16_t queues; /* at most so many; of these as many as the driver offers, but one of a memif, */
    uint16_t wants;  /* or exactly so many; 0: not said */
    bool own_socket;        /* a port of this process serves that memif socket already */
};

/* Opens a port.  A memif client whose server is not there yet is opened too and calls until it is.  Pre: *e lies on a cache line of
 * its own.  Returns 0, or -errno with a line in err and nothing left behind. */
CHI_MUST_CHECK int eth_open(struct eth *e, const struct eth_options *o, char *err);
/* Closes the port.  Its pool stays, as others may hold packets of it. */
void eth_close(struct eth *e);
void eth_pool_free(struct eth *e);

bool eth_link_up(const struct eth *e);
/* True when the link of a memif stays down (DOWN_LONG): what that comes from and how to mend it, in why (NET_WHY_BYTES).  Net_memif
 * tells nobody what the other side said when it hung up: the roles and numbers of both ends are named. */
bool eth_down_why(const struct eth *e, char *why);
/* Changes the MTU of an open port.  0, or -errno with a line in err. */
CHI_MUST_CHECK int eth_set_mtu(struct eth *e, uint16_t mtu, char *err);
/* True when its driver may keep packets that it was given to send, until it sends more. */
bool eth_keeps_packets(const struct eth *e);

/* No membarrier here: the worker pays for a barrier at each turn.  Set before the first port opens. */
extern bool eth_fence;

/* True: the worker is inside and may call the port, until eth_leave_st.  False: the port is not to be touched now. */
static inline bool eth_enter_st(struct eth_gate *g, enum eth_way way)
{
    uint32_t turn = atomic_load_explicit(&g->turn[way], memory_order_relaxed);
    atomic_store_explicit(&g->turn[way], turn + 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst); /* the processor's part is done by membarrier in wait_outside */
    if (CHI_UNLIKELY(eth_fence))
        atomic_thread_fence(memory_order_seq_cst);
    if (CHI_LIKELY(atomic_load_explicit(&g->open, memory_order_acquire))) /* pairs with watch_gates_open */
        return true;
    atomic_store_explicit(&g->turn[way], turn + 2, memory_order_release);
    return false;
}

static inline void eth_leave_st(struct eth_gate *g, enum eth_way way)
{
    uint32_t turn = atomic_load_explicit(&g->turn[way], memory_order_relaxed);
    atomic_store_explicit(&g->turn[way], turn + 1, memory_order_release); /* pairs with wait_outside */
}
