/* attach.c - packets that end in bytes which lie elsewhere: a second mbuf refers to them, and its reference count tells when the port is
 * done (external buffers of DPDK). */
#include <string.h>

#include "net/impl.h"

struct tail { /* in the private part of the second mbuf */
    struct rte_mbuf_ext_shared_info info;
    uint32_t *users;
};
CHI_STATIC_ASSERT(sizeof(struct tail) <= sizeof(struct net_packet), "the private part of an mbuf has room for it");

static void one_less(uint32_t *users) { __atomic_fetch_sub(users, 1, __ATOMIC_RELEASE); /* pairs with attach_tails of xfer */ }

static void let_go(void *bytes, void *tail)
{
    (void)bytes;
    one_less(((struct tail *)tail)->users);
}

static void attach(struct rte_mbuf *m, struct rte_mbuf *second, const uint8_t *bytes, uint32_t n, uint32_t *users)
{
    struct tail *t = rte_mbuf_to_priv(second);
    *t = (struct tail){.info = {.free_cb = let_go, .fcb_opaque = t}, .users = users};
    rte_mbuf_ext_refcnt_set(&t->info, 1);
    rte_pktmbuf_attach_extbuf(second, (void *)(uintptr_t)bytes, RTE_BAD_IOVA, (uint16_t)n, &t->info);
    second->data_off = 0;
    second->data_len = (uint16_t)n;
    m->next = second;
    m->nb_segs = 2;
}

void net_packet_tail_st(struct net *n, unsigned worker, struct net_packet *p, const uint8_t *tail, uint32_t bytes, uint32_t *users)
{
    struct rte_mempool *pool = net_table(n)->of[worker].pool;
    struct rte_mbuf *second = CHI_LIKELY(pool) ? rte_pktmbuf_alloc(pool) : NULL;
    if (CHI_LIKELY(second)) {
        attach(mbuf_of(p), second, tail, bytes, users);
        return;
    }
    memcpy(p->data + p->length - bytes, tail, bytes);
    one_less(users);
}

bool net_attaches(const struct net *n, uint32_t ip)
{
    const struct port *p = net_port_for(n, ip);
    return p && !p->copies;
}

/* Sends a packet that ends elsewhere: an announcement of our address (RFC 5227), with padding.  Returns why there is to be no other. */
static const char *try(struct port *p)
{
    static const uint8_t padding[1024];
    struct rte_eth_dev_info info;
    if (rte_eth_dev_info_get(p->eth.id, &info) || !(info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS))
        return "its driver takes no packets of several segments";
    struct rte_mbuf *m[2];
    if (rte_pktmbuf_alloc_bulk(p->eth.pool, m, 2))
        return "no packet was free to try it";
    arp_request(&p->arp, p->arp.me.ip, rte_pktmbuf_mtod(m[0], uint8_t *));
    m[0]->data_len = ARP_BYTES;
    m[0]->pkt_len = ARP_BYTES + sizeof padding;
    __atomic_store_n(&p->tried, 1, __ATOMIC_RELAXED);
    attach(m[0], m[1], padding, sizeof padding, &p->tried);
    if (rte_eth_tx_burst(p->eth.id, 0, m, 1) != 1) {
        rte_pktmbuf_free(m[0]);
        return "it took no packet when it was tried; is its link down?";
    }
    return __atomic_load_n(&p->tried, __ATOMIC_ACQUIRE) ? "its driver keeps packets" : NULL;
}

void attach_try(struct port *p)
{
    switch (p->eth.device.kind) {
    case DEVICE_MEMIF:
        p->copies = "net_memif copies each packet itself: referring to bytes saves nothing";
        return;
    case DEVICE_AF_XDP:
        p->copies = "net_af_xdp does not read memory that is not its own";
        return;
    case DEVICE_AF_PACKET:
    case DEVICE_NULL:
        p->copies = try(p);
        return;
    case DEVICE_PCI:
    case DEVICE_RING:
    case DEVICE_OTHER: /* net_virtio_user stops for good at an address that its other side cannot find */
        p->copies = "its driver, or a device behind it, may not find memory that is not DPDK's";
        return;
    }
}
