#include "net/impl.h"

void port_flush_st(struct net_worker *w, struct port *p)
{
    unsigned sent = 0, n = p->ntx;
    if (!n)
        return;
    if (CHI_LIKELY(eth_enter_st(&p->eth, ETH_TX))) {
        sent = rte_eth_tx_burst(p->eth.id, 0, p->tx, (uint16_t)n);
        if (CHI_UNLIKELY(sent < n))
            sent += rte_eth_tx_burst(p->eth.id, 0, p->tx + sent, (uint16_t)(n - sent));
        eth_leave_st(&p->eth, ETH_TX);
    }
    if (CHI_UNLIKELY(sent < n)) {
        for (unsigned i = sent; i < n; i++)
            arp_request_lost(&p->arp, rte_pktmbuf_mtod(p->tx[i], const uint8_t *), p->tx[i]->data_len);
        net_drop(w, CHI_DROP_TX_FULL, n - sent);
        rte_pktmbuf_free_bulk(p->tx + sent, n - sent);
    }
    p->ntx = 0;
}

void port_tx_st(struct net_worker *w, struct port *p, struct rte_mbuf *m)
{
    if (p->ntx == NET_BURST)
        port_flush_st(w, p);
    p->tx[p->ntx++] = m;
}

struct net_packet *net_packet_get_st(struct net *n, unsigned worker)
{
    CHI_ASSERT(worker < n->workers);
    struct rte_mempool *pool = net_table(n)->of[worker].pool;
    struct rte_mbuf *m = CHI_LIKELY(pool) ? rte_pktmbuf_alloc(pool) : NULL;
    if (CHI_UNLIKELY(!m))
        return NULL;
    struct net_packet *p = packet_of(m);
    *p = (struct net_packet){.data = rte_pktmbuf_mtod(m, uint8_t *) + FRAME_HEADERS, .cap = n->payload_max};
    return p;
}

static inline uint32_t tail_bytes(const struct rte_mbuf *m) { return CHI_LIKELY(m->nb_segs == 1) ? 0 : m->next->data_len; }

static void ask(struct net_worker *w, struct port *p, uint32_t ip)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(p->eth.pool);
    if (!m)
        return; /* the next packet asks again */
    arp_request(&p->arp, ip, rte_pktmbuf_mtod(m, uint8_t *));
    m->data_len = ARP_BYTES;
    m->pkt_len = ARP_BYTES;
    port_tx_st(w, p, m);
}

void net_send_st(struct net *n, unsigned worker, unsigned worker_from, struct net_packet *packet, uint64_t now_ns)
{
    CHI_ASSERT(worker < n->workers && worker_from < n->workers && packet->length <= n->payload_max);
    struct net_worker *w = &n->worker[worker];
    struct rte_mbuf *m = mbuf_of(packet);
    struct port *p = net_port_for(n, packet->ip);
    if (CHI_UNLIKELY(!p || p->worker != worker)) { /* the port that it was handed over for went, or is another worker's now */
        net_drop(w, CHI_DROP_NO_ROUTE, 1);
        rte_pktmbuf_free(m);
        return;
    }
    bool must_ask;
    const struct frame_head *h = arp_find(&p->arp, packet->ip, now_ns, &must_ask);
    if (CHI_UNLIKELY(must_ask))
        ask(w, p, packet->ip);
    if (CHI_UNLIKELY(!h)) {
        net_drop(w, CHI_DROP_NO_NEIGHBOUR, 1);
        rte_pktmbuf_free(m);
        return;
    }
    m->data_off = RTE_PKTMBUF_HEADROOM;
    frame_head_write(h, rte_pktmbuf_mtod(m, uint8_t *), (uint16_t)(n->udp_port + worker_from), packet->port,
                     packet->length, packet->ecn);
    m->pkt_len = FRAME_HEADERS + packet->length;
    m->data_len = (uint16_t)(m->pkt_len - tail_bytes(m));
    port_tx_st(w, p, m);
}

void net_flush_st(struct net *n, unsigned worker)
{
    CHI_ASSERT(worker < n->workers);
    const struct port_list *ports = &net_table(n)->of[worker];
    for (unsigned i = 0; i < ports->count; i++)
        port_flush_st(&n->worker[worker], ports->port[i]);
}
