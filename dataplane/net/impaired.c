#include <stdlib.h>

#include "net/impaired.h"

struct impaired *impaired_create(uint64_t seed, uint32_t held, struct rte_mempool *pool, uint32_t length_max,
                                 bool shared)
{
    struct impaired *q = calloc(1, sizeof *q + (size_t)held * IMPAIR_LINES * sizeof q->slots[0]);
    if (!q)
        return NULL;
    impair_init(&q->im, seed, q->slots, held);
    q->pool = pool;
    q->length_max = length_max;
    q->shared = shared;
    return q;
}

void impaired_destroy(struct impaired *q)
{
    struct rte_mbuf *m;
    while (q && (m = impair_release(&q->im, UINT64_MAX)))
        rte_pktmbuf_free(m);
    free(q);
}

/* Makes a fate true of a packet, and keeps it. */
static void hold_st(struct impaired *q, const struct impair_fate *f, struct rte_mbuf *m)
{
    if (CHI_UNLIKELY(impair_alters(f, m->data_len))) {
        impair_apply(f, rte_pktmbuf_mtod(m, uint8_t *));
        m->data_len = (uint16_t)f->length;
        m->pkt_len = f->length;
        m->ol_flags = 0; /* what the port found out about it holds no more */
    }
    impair_hold(&q->im, f, m);
}

static void judge_st(struct impaired *q, struct rte_mbuf *m, uint64_t now_ns)
{
    struct impair_fate f[IMPAIR_COPIES_MAX];
    if (CHI_UNLIKELY(m->nb_segs != 1 || m->data_len > q->length_max)) {
        impair_count(&q->im.stats.received, 1);
        impair_count(&q->im.stats.received_bytes, m->pkt_len);
        impair_count(&q->im.stats.too_long, 1);
        rte_pktmbuf_free(m);
        return;
    }
    unsigned n = impair_judge(&q->im, rte_pktmbuf_mtod(m, uint8_t *), m->data_len, now_ns, f);
    if (n == 0) {
        rte_pktmbuf_free(m);
        return;
    }
    struct rte_mbuf *twin = NULL;
    if (CHI_UNLIKELY(n == 2)) {
        bool same = q->shared && !impair_alters(&f[0], m->data_len) && !impair_alters(&f[1], m->data_len);
        if (same)
            rte_mbuf_refcnt_update(m, 1);
        twin = same ? m : rte_pktmbuf_copy(m, q->pool, 0, UINT32_MAX);
        if (!twin)
            impair_count(&q->im.stats.no_memory, 1);
    }
    hold_st(q, &f[0], m);
    if (twin)
        hold_st(q, &f[1], twin);
}

unsigned impaired_pass_st(struct impaired *q, struct rte_mbuf **in, unsigned n, uint64_t now_ns, struct rte_mbuf **out,
                          unsigned room)
{
    unsigned got = 0;
    for (unsigned i = 0; i < n; i++)
        judge_st(q, in[i], now_ns);
    while (got < room && (out[got] = impair_release(&q->im, now_ns)))
        got++;
    return got;
}
