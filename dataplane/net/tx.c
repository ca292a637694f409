#include "net/impl.h"

void port_flush_st(struct net_worker *w, struct port_queue *q)
{
    unsigned sent = 0, n = q->ntx;
    if (!n)
        return;
    if (CHI_LIKELY(eth_enter_st(q->gate, ETH_TX))) {
        sent = rte_eth_tx_burst(q->device, q->queue, q->tx, (uint16_t)n);
        if (CHI_UNLIKELY(sent < n))
            sent += rte_eth_tx_burst(q->device, q->queue, q->tx + sent, (uint16_t)(n - sent));
        eth_leave_st(q->gate, ETH_TX);
    }
    if (CHI_UNLIKELY(sent < n)) {
        for (unsigned i = sent; i < n; i++) /* requests are the owner's, and so is this table then */
            arp_request_lost(&q->port->arp, rte_pktmbuf_mtod(q->tx[i], const uint8_t *), q->tx[i]->data_len);
        net_drop(w, CHI_DROP_TX_FULL, n - sent);
        rte_pktmbuf_free_bulk(q->tx + sent, n - sent);
    }
    q->ntx = 0;
}

void port_tx_st(struct net_worker *w, struct port_queue *q, struct rte_mbuf *m)
{
    if (q->ntx == NET_BURST)
        port_flush_st(w, q);
    q->tx[q->ntx++] = m;
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

static void ask(struct net_worker *w, struct port_queue *q, uint32_t ip)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(q->port->eth.pool);
    if (!m)
        return; /* the next packet asks again */
    arp_request(&q->port->arp, ip, rte_pktmbuf_mtod(m, uint8_t *));
    m->data_len = ARP_BYTES;
    m->pkt_len = ARP_BYTES;
    port_tx_st(w, q, m);
}

static int drop(struct net_worker *w, struct rte_mbuf *m, enum chi_drop reason)
{
    net_drop(w, reason, 1);
    rte_pktmbuf_free(m);
    return NET_SENT;
}

int net_send_st(struct net *n, unsigned worker, unsigned worker_from, struct net_packet *packet, uint64_t now_ns)
{
    CHI_ASSERT(worker < n->workers && worker_from < n->workers && packet->length <= n->payload_max);
    struct net_worker *w = &n->worker[worker];
    struct rte_mbuf *m = mbuf_of(packet);
    struct port *p = net_port_for(n, packet->ip);
    struct port_queue *q;
    struct frame_head seen;
    const struct frame_head *h = &seen;
    if (CHI_LIKELY(p && p->worker == worker)) {
        bool must_ask;
        q = p->own;
        h = arp_find(&p->arp, packet->ip, now_ns, &must_ask);
        if (CHI_UNLIKELY(must_ask))
            ask(w, q, packet->ip);
        if (CHI_UNLIKELY(!h))
            return drop(w, m, CHI_DROP_NO_NEIGHBOUR);
    } else if (!p || worker != worker_from) { /* the port that it was handed over for went, or is another worker's now */
        return drop(w, m, CHI_DROP_NO_ROUTE);
    } else if (!(q = port_queue_of(p, worker)) || !atomic_load_explicit(&q->gate->open, memory_order_relaxed) ||
               !arp_view_find(p->arp.view, packet->ip, now_ns, &seen)) {
        return p->worker;
    }
    m->data_off = RTE_PKTMBUF_HEADROOM;
    frame_head_write(h, rte_pktmbuf_mtod(m, uint8_t *), frame_source_port(n->udp_port, worker_from, packet->source),
                     packet->port, packet->length, packet->ecn);
    m->pkt_len = FRAME_HEADERS + packet->length;
    m->data_len = (uint16_t)(m->pkt_len - tail_bytes(m));
    port_tx_st(w, q, m);
    return NET_SENT;
}

void net_flush_st(struct net *n, unsigned worker)
{
    CHI_ASSERT(worker < n->workers);
    const struct queue_list *own = &net_table(n)->of[worker];
    for (unsigned i = 0; i < own->count; i++)
        port_flush_st(&n->worker[worker], own->queue[i]);
}
