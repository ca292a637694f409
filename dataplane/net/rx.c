#include <rte_prefetch.h>

#include "net/impl.h"

/* What came in goes out again, changed, with length n. */
static void reply(struct net_worker *w, struct port_queue *q, struct rte_mbuf *m, uint32_t n)
{
    m->data_len = (uint16_t)n;
    m->pkt_len = n;
    m->ol_flags = 0;
    port_tx_st(w, q, m);
}

/* A frame of ARP, by the owner of the port.  True: an answer is queued. */
static bool arp_input(struct net_worker *w, struct port_queue *q, struct rte_mbuf *m, uint64_t now_ns)
{
    bool answer;
    enum chi_drop drop = arp_rx(&q->port->arp, rte_pktmbuf_mtod(m, uint8_t *), m->data_len, now_ns, &answer);
    if (drop != CHI_DROP_NONE)
        net_drop(w, drop, 1);
    if (answer)
        reply(w, q, m, ARP_BYTES);
    else
        rte_pktmbuf_free(m);
    return answer;
}

/* Takes one frame of a port: what the caller gets, or NULL when it was answered or dropped. */
static struct net_packet *input(struct net_worker *w, struct port_queue *q, bool owner, struct rte_mbuf *m, uint64_t now_ns,
                                bool *replied)
{
    const struct port *p = q->port;
    uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);
    uint32_t n = m->data_len;
    struct frame_in f = {
        .ip_checked =
            p->eth.rx_ip_checked && (m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD,
        .udp_checked =
            p->eth.rx_udp_checked && (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD,
    };
    /* Several segments: longer than the port's MTU allows. */
    enum chi_drop drop = m->nb_segs != 1 ? CHI_DROP_LINK_TRUNCATED : frame_check(&p->arp.me, data, n, &f);
    if (CHI_LIKELY(drop == CHI_DROP_NONE && f.kind == FRAME_IS_UDP)) {
        struct net_packet *out = packet_of(m);
        *out = (struct net_packet){
            .data = data + f.offset, .length = f.length, .ip = f.ip, .port = f.port, .local_port = f.local_port, .ecn = f.ecn};
        return out;
    }
    if (drop != CHI_DROP_NONE) {
        net_drop(w, drop, 1);
        rte_pktmbuf_free(m);
    } else if (f.kind == FRAME_IS_ECHO) {
        frame_echo_reply(data, &f);
        reply(w, q, m, f.offset + f.length);
        *replied = true;
    } else if (owner) {
        *replied |= arp_input(w, q, m, now_ns);
    } else { /* ARP: what there is to learn is for the owner */
        struct net_packet *out = packet_of(m);
        *out = (struct net_packet){.ip = p->arp.me.ip, .local_port = (uint16_t)(p->arp.me.udp_first + p->worker), .frame = true};
        return out;
    }
    return NULL;
}

void net_frame_st(struct net *n, unsigned worker, struct net_packet *packet, uint64_t now_ns)
{
    struct net_worker *w = &n->worker[worker];
    const struct queue_list *own = &net_table(n)->of[worker];
    for (unsigned i = 0; i < own->count; i++) {
        struct port *p = own->queue[i]->port;
        if (p->arp.me.ip == packet->ip && p->worker == worker) {
            if (arp_input(w, own->queue[i], mbuf_of(packet), now_ns))
                port_flush_st(w, own->queue[i]);
            return;
        }
    }
    net_packet_free(packet); /* its port went */
}

unsigned net_rx_st(struct net *n, unsigned worker, uint64_t now_ns, struct net_packet **out)
{
    CHI_ASSERT(worker < n->workers);
    struct net_worker *w = &n->worker[worker];
    const struct queue_list *own = &net_table(n)->of[worker];
    struct rte_mbuf *m[NET_BURST];
    unsigned got = 0;
    if (w->first >= own->count)
        w->first = 0;
    for (unsigned i = 0; i < own->count && got < NET_BURST; i++) {
        unsigned at = w->first + i;
        struct port_queue *q = own->queue[at < own->count ? at : at - own->count];
        const struct port *p = q->port;
        if (CHI_UNLIKELY(!eth_enter_st(q->gate, ETH_RX)))
            continue;
        bool replied = false;
        unsigned k = rte_eth_rx_burst(q->device, q->queue, m, (uint16_t)(NET_BURST - got));
        eth_leave_st(q->gate, ETH_RX);
        if (CHI_UNLIKELY(q->impaired)) {
            k = impaired_pass_st(q->impaired, m, k, now_ns, m, NET_BURST - got);
            impair_count(&q->impaired->im.stats.sent, k);
        }
        for (unsigned j = 0; j < k; j++) {
            if (j + 1 < k)
                rte_prefetch0(rte_pktmbuf_mtod(m[j + 1], void *));
            struct net_packet *one = input(w, q, p->worker == worker, m[j], now_ns, &replied);
            if (one)
                out[got++] = one;
        }
        if (CHI_UNLIKELY(replied))
            port_flush_st(w, q);
    }
    w->first++;
    return got;
}

void net_packet_free(struct net_packet *p)
{
    rte_pktmbuf_free(mbuf_of(p));
}
