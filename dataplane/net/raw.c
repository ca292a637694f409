#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/be.h"
#include "net/clock.h"
#include "net/eal.h"
#include "net/eth.h"
#include "net/frame.h"
#include "net/impaired.h"
#include "net/raw.h"

enum { ETHERTYPE_EXPERIMENT = 0x88b5 };

struct raw {
    struct eth eth;
    uint16_t queue;
};

int raw_start(const struct net_options *o, char *err)
{
    clock_calibrate();
    return eal_start(o, err);
}

void raw_stop(void)
{
    eal_stop();
}

int raw_open_queues(const char *device, uint32_t ip, uint16_t mtu, uint32_t packets, uint16_t queues, struct raw **out, char *err)
{
    struct raw *r = aligned_alloc(CHI_CACHE_LINE, sizeof *r);
    if (!r)
        return net_fail(err, -ENOMEM, "no memory for a port");
    const struct eth_options o = {.device = device, .ip = ip, .mtu = mtu, .packets = packets ? packets : RAW_PACKETS, .wants = queues};
    int rc = eth_open(&r->eth, &o, err);
    if (rc) {
        free(r);
        return rc;
    }
    r->queue = 0;
    *out = r;
    return 0;
}

int raw_open(const char *device, uint32_t ip, uint16_t mtu, uint32_t packets, struct raw **out, char *err)
{
    return raw_open_queues(device, ip, mtu, packets, 1, out, err);
}

void raw_queue(struct raw *r, uint16_t queue)
{
    CHI_ASSERT(queue < r->eth.queues);
    r->queue = queue;
}

void raw_close(struct raw *r)
{
    eth_close(&r->eth);
    eth_pool_free(&r->eth);
    free(r);
}

bool raw_up(const struct raw *r)
{
    return eth_link_up(&r->eth);
}

/* Returns how many of the packets the port took; the others stay the caller's. */
static unsigned burst_try(struct raw *r, struct rte_mbuf **m, unsigned n)
{
    if (!eth_enter_st(&r->eth.gate[r->queue], ETH_TX))
        return 0;
    n = rte_eth_tx_burst(r->eth.id, r->queue, m, (uint16_t)n);
    eth_leave_st(&r->eth.gate[r->queue], ETH_TX);
    return n;
}

static unsigned burst_out(struct raw *r, struct rte_mbuf **m, unsigned n)
{
    unsigned sent = burst_try(r, m, n);
    rte_pktmbuf_free_bulk(m + sent, n - sent);
    return sent;
}

static unsigned burst_in(struct raw *r, struct rte_mbuf **m, unsigned n)
{
    if (!eth_enter_st(&r->eth.gate[r->queue], ETH_RX))
        return 0;
    n = rte_eth_rx_burst(r->eth.id, r->queue, m, (uint16_t)n);
    eth_leave_st(&r->eth.gate[r->queue], ETH_RX);
    return n;
}

unsigned raw_blast(struct raw *r, uint32_t bytes, unsigned n)
{
    struct rte_mbuf *m[NET_BURST];
    CHI_ASSERT(n <= NET_BURST && bytes >= FRAME_ETHER && bytes <= r->eth.device.room_bytes);
    if (rte_pktmbuf_alloc_bulk(r->eth.pool, m, n))
        return 0;
    for (unsigned i = 0; i < n; i++) {
        uint8_t *p = rte_pktmbuf_mtod(m[i], uint8_t *);
        memset(p, 0xff, 6);
        memcpy(p + 6, r->eth.mac, 6);
        be16_put(p + 12, ETHERTYPE_EXPERIMENT);
        m[i]->data_len = (uint16_t)bytes;
        m[i]->pkt_len = bytes;
    }
    return burst_out(r, m, n);
}

unsigned raw_sink(struct raw *r, uint64_t *bytes)
{
    struct rte_mbuf *m[NET_BURST];
    unsigned n = burst_in(r, m, NET_BURST), ours = 0;
    for (unsigned i = 0; i < n; i++)
        if (be16_get(rte_pktmbuf_mtod(m[i], uint8_t *) + 12) == ETHERTYPE_EXPERIMENT) {
            *bytes += m[i]->pkt_len;
            ours++;
        }
    rte_pktmbuf_free_bulk(m, n);
    return ours;
}

unsigned raw_echo(struct raw *r)
{
    struct rte_mbuf *m[NET_BURST];
    unsigned n = burst_in(r, m, NET_BURST);
    if (n)
        burst_out(r, m, n);
    return n;
}

bool raw_send(struct raw *r, const uint8_t *frame, uint32_t length)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(r->eth.pool);
    if (!m)
        return false;
    CHI_ASSERT(length <= r->eth.device.room_bytes);
    memcpy(rte_pktmbuf_mtod(m, uint8_t *), frame, length);
    m->data_len = (uint16_t)length;
    m->pkt_len = length;
    return burst_out(r, &m, 1) == 1;
}

uint32_t raw_receive(struct raw *r, uint8_t *out, uint32_t cap)
{
    struct rte_mbuf *m;
    if (burst_in(r, &m, 1) != 1)
        return 0;
    uint32_t length = m->pkt_len, n = m->data_len < cap ? m->data_len : cap;
    memcpy(out, rte_pktmbuf_mtod(m, uint8_t *), n);
    rte_pktmbuf_free(m);
    return length;
}

struct raw_link {
    struct raw *from, *to;
    struct impaired *impaired;
    unsigned waiting;
    struct rte_mbuf *out[NET_BURST * IMPAIR_COPIES_MAX]; /* a burst of which each packet is duplicated leaves at once */
};

int raw_link_open(struct raw *from, struct raw *to, uint64_t seed, uint32_t held, struct raw_link **out)
{
    struct raw_link *l = calloc(1, sizeof *l);
    if (!l)
        return -ENOMEM;
    l->from = from;
    l->to = to;
    l->impaired = impaired_create(seed, held, from->eth.pool, to->eth.mtu + (uint32_t)FRAME_HEADER_BYTES, true);
    if (!l->impaired) {
        free(l);
        return -ENOMEM;
    }
    *out = l;
    return 0;
}

void raw_link_close(struct raw_link *l)
{
    if (!l)
        return;
    rte_pktmbuf_free_bulk(l->out, l->waiting);
    impaired_destroy(l->impaired);
    free(l);
}

/* Hands out[] to the far port; what it does not take stays while it has a link. */
static unsigned link_push_st(struct raw_link *l)
{
    struct impair_stats *s = &l->impaired->im.stats;
    uint64_t bytes[NET_BURST * IMPAIR_COPIES_MAX]; /* a packet is the port's when it was taken */
    uint64_t sum = 0;
    unsigned n = l->waiting;
    for (unsigned i = 0; i < n; i++)
        bytes[i] = l->out[i]->pkt_len;
    unsigned sent = burst_try(l->to, l->out, n), gone = sent;
    for (unsigned i = 0; i < sent; i++)
        sum += bytes[i];
    impair_count(&s->sent, sent);
    impair_count(&s->sent_bytes, sum);
    if (CHI_UNLIKELY(sent < n && !raw_up(l->to))) {
        rte_pktmbuf_free_bulk(l->out + sent, n - sent);
        impair_count(&s->unsent, n - sent);
        gone = n;
    }
    l->waiting = n - gone;
    memmove(l->out, l->out + gone, l->waiting * sizeof l->out[0]);
    return gone;
}

unsigned raw_link_turn_st(struct raw_link *l, uint64_t now_ns)
{
    unsigned did = 0;
    if (!l->waiting) {
        struct rte_mbuf *in[NET_BURST];
        did = burst_in(l->from, in, NET_BURST);
        l->waiting = impaired_pass_st(l->impaired, in, did, now_ns, l->out, NET_BURST * IMPAIR_COPIES_MAX);
    }
    return l->waiting ? did + link_push_st(l) : did;
}

uint64_t raw_link_due_ns(const struct raw_link *l)
{
    return l->waiting ? 0 : impair_due_ns(&l->impaired->im);
}

void raw_link_set_st(struct raw_link *l, const struct impair_settings *s)
{
    impair_set(&l->impaired->im, s);
}

const struct impair_stats *raw_link_stats(const struct raw_link *l)
{
    return &l->impaired->im.stats;
}
