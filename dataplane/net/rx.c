#include <rte_prefetch.h>

#include "net/impl.h"

/* Takes one frame of a port: a datagram for the caller, or NULL when it was answered or dropped. */
static struct net_packet *input(struct net_worker *w, struct port *p, struct rte_mbuf *m, uint64_t now_ns,
                                bool *replied)
{
    uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);
    uint32_t n = m->data_len;
    struct frame_in f = {
        .ip_checked =
            p->eth.rx_ip_checked && (m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD,
        .udp_checked =
            p->eth.rx_udp_checked && (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD,
    };
    /* Several segments: longer than the port's MTU allows, and net_memif damages them. */
    enum chi_drop drop = m->nb_segs != 1 ? CHI_DROP_LINK_TRUNCATED : frame_check(&p->arp.me, data, n, &f);
    if (CHI_LIKELY(drop == CHI_DROP_NONE && f.kind == FRAME_IS_UDP)) {
        struct net_packet *out = packet_of(m);
        *out = (struct net_packet){
            .data = data + f.offset, .length = f.length, .ip = f.ip, .port = f.port, .local_port = f.local_port, .ecn = f.ecn};
        return out;
    }
    bool reply = false;
    if (drop == CHI_DROP_NONE && f.kind == FRAME_IS_ARP) {
        drop = arp_rx(&p->arp, data, n, now_ns, &reply);
        if (reply)
            m->data_len = ARP_BYTES;
    } else if (drop == CHI_DROP_NONE) {
        frame_echo_reply(data, &f);
        m->data_len = (uint16_t)(f.offset + f.length);
        reply = true;
    }
    if (drop != CHI_DROP_NONE)
        net_drop(w, drop, 1);
    if (!reply) {
        rte_pktmbuf_free(m);
        return NULL;
    }
    m->pkt_len = m->data_len;
    m->ol_flags = 0;
    port_tx_st(w, p, m);
    *replied = true;
    return NULL;
}

unsigned net_rx_st(struct net *n, unsigned worker, uint64_t now_ns, struct net_packet **out)
{
    CHI_ASSERT(worker < n->workers);
    struct net_worker *w = &n->worker[worker];
    const struct port_list *ports = &net_table(n)->of[worker];
    struct rte_mbuf *m[NET_BURST];
    unsigned got = 0;
    if (w->first >= ports->count)
        w->first = 0;
    for (unsigned i = 0; i < ports->count && got < NET_BURST; i++) {
        unsigned at = w->first + i;
        struct port *p = ports->port[at < ports->count ? at : at - ports->count];
        if (CHI_UNLIKELY(!eth_enter_st(&p->eth, ETH_RX)))
            continue;
        bool replied = false;
        unsigned k = rte_eth_rx_burst(p->eth.id, 0, m, (uint16_t)(NET_BURST - got));
        eth_leave_st(&p->eth, ETH_RX);
        if (CHI_UNLIKELY(p->impaired)) {
            k = impaired_pass_st(p->impaired, m, k, now_ns, m, NET_BURST - got);
            impair_count(&p->impaired->im.stats.sent, k);
        }
        for (unsigned j = 0; j < k; j++) {
            if (j + 1 < k)
                rte_prefetch0(rte_pktmbuf_mtod(m[j + 1], void *));
            struct net_packet *one = input(w, p, m[j], now_ns, &replied);
            if (one)
                out[got++] = one;
        }
        if (CHI_UNLIKELY(replied))
            port_flush_st(w, p);
    }
    w->first++;
    return got;
}

void net_packet_free(struct net_packet *p)
{
    rte_pktmbuf_free(mbuf_of(p));
}
