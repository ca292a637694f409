#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/be.h"
#include "net/clock.h"
#include "net/eal.h"
#include "net/eth.h"
#include "net/frame.h"
#include "net/raw.h"

enum { ETHERTYPE_EXPERIMENT = 0x88b5, RAW_PACKETS = 4096 };

struct raw {
    struct eth eth;
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

int raw_open(const char *device, uint32_t ip, uint16_t mtu, struct raw **out, char *err)
{
    struct raw *r = calloc(1, sizeof *r);
    if (!r)
        return net_fail(err, -ENOMEM, "no memory for a port");
    int rc = eth_open(&r->eth, device, ip, mtu, RAW_PACKETS, false, err);
    if (rc) {
        free(r);
        return rc;
    }
    *out = r;
    return 0;
}

void raw_close(struct raw *r)
{
    eth_close(&r->eth);
    free(r);
}

bool raw_up(const struct raw *r)
{
    return eth_link_up(&r->eth);
}

static unsigned burst_out(struct raw *r, struct rte_mbuf **m, unsigned n)
{
    unsigned sent = 0;
    if (eth_enter_st(&r->eth)) {
        sent = rte_eth_tx_burst(r->eth.id, 0, m, (uint16_t)n);
        eth_leave_st(&r->eth);
    }
    rte_pktmbuf_free_bulk(m + sent, n - sent);
    return sent;
}

static unsigned burst_in(struct raw *r, struct rte_mbuf **m, unsigned n)
{
    if (!eth_enter_st(&r->eth))
        return 0;
    n = rte_eth_rx_burst(r->eth.id, 0, m, (uint16_t)n);
    eth_leave_st(&r->eth);
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
