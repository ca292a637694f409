/* net.c - virtual time, and a network with faults. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "crc.h"

static bool before(const struct event *a, const struct event *b)
{
    return a->when != b->when ? a->when < b->when : a->sequence < b->sequence;
}

void net_event(struct world *w, const struct event *e)
{
    if (w->events == w->events_room) {
        w->events_room = w->events_room ? 2 * w->events_room : 1024;
        w->heap = realloc(w->heap, w->events_room * sizeof *w->heap);
        if (!w->heap)
            abort();
    }
    uint32_t at = w->events++;
    struct event n = *e;
    n.sequence = w->sequence++;
    while (at && before(&n, &w->heap[(at - 1) / 2])) {
        w->heap[at] = w->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->heap[at] = n;
}

uint64_t net_when(const struct world *w) { return w->events ? w->heap[0].when : UINT64_MAX; }

bool net_next(struct world *w, uint64_t until, struct event *out)
{
    if (net_when(w) > until)
        return false;
    *out = w->heap[0];
    struct event last = w->heap[--w->events];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= w->events)
            break;
        if (child + 1 < w->events && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (before(&last, &w->heap[child]))
            break;
        w->heap[at] = w->heap[child];
        at = child;
    }
    w->heap[at] = last;
    return true;
}

/* Changes some bytes behind the header, and seals the packet again: what a hostile peer could say. */
static void forge(struct world *w, uint8_t *p, uint32_t n)
{
    uint32_t changes = (uint32_t)sim_draw(w, 1, 4);
    for (uint32_t i = 0; i < changes; i++) {
        uint32_t span = n < 120 || prng_chance(&w->prng, 300000) ? n : 120; /* mostly the first frames' heads */
        uint8_t *at = p + sim_draw(w, 8, span - 1);
        static const uint8_t likely[] = {0, 1, 2, 3, 15, 16, 17, 127, 128, 255};
        *at = prng_chance(&w->prng, 500000) ? likely[sim_draw(w, 0, sizeof likely - 1)] : (uint8_t)prng_next(&w->prng);
    }
    wire_seal(p, n, sim_crc32c);
}

static void fly(struct world *w, const struct endpoint *from, const struct xfer_addr *to, const struct xfer_packet *p)
{
    const struct options *o = &w->o;
    const uint8_t *bytes = p->data;
    uint32_t length = p->length;
    struct event e = {.kind = EV_PACKET, .to = *to, .length = length, .ecn = p->ecn};
    e.from = (struct xfer_addr){.ip = from->node, .port = (uint16_t)(SIM_PORT + from->worker)};
    e.when = w->now + o->delay_ns;
    uint32_t padding = 0;
    bool whole = true;
    if (w->faulty) {
        e.when += sim_draw(w, 0, o->jitter_ns);
        if (e.ecn && prng_chance(&w->prng, o->ce))
            e.ecn = XFER_CE;
        if (prng_chance(&w->prng, o->bleach))
            e.ecn = XFER_NOT_ECT;
        if (prng_chance(&w->prng, o->late))
            e.when += sim_draw(w, 0, o->late_ns);
        if (prng_chance(&w->prng, o->cut)) {
            e.length = (uint32_t)sim_draw(w, 0, length - 1);
            whole = false;
        } else if (prng_chance(&w->prng, o->cut)) {
            padding = (uint32_t)sim_draw(w, 1, 20); /* as of short Ethernet frames */
        }
    }
    e.bytes = malloc(e.length + padding + 1); /* not a byte more than it has, but for the empty one */
    if (!e.bytes)
        abort();
    memcpy(e.bytes, bytes, e.length);
    memset(e.bytes + e.length, 0xa5, padding + 1);
    if (w->faulty && whole) {
        if (prng_chance(&w->prng, o->flip))
            e.bytes[sim_draw(w, 0, length - 1)] ^= (uint8_t)sim_draw(w, 1, 255);
        else if (o->forge && prng_chance(&w->prng, o->forge))
            forge(w, e.bytes, length);
    }
    e.length += padding;
    net_event(w, &e);
}

void net_send(struct world *w, const struct endpoint *from, const struct xfer_addr *to, const struct xfer_packet *p)
{
    uint32_t crc;
    memcpy(&crc, p->data + 4, sizeof crc);
    sim_fold(w, w->now ^ (uint64_t)from->index << 56 ^ (uint64_t)p->length << 32 ^ crc ^ (uint64_t)p->ecn << 24);
    struct endpoint *e = host_find(w, to);
    bool gone = !e || p->length > w->mtu || w->parted[from->node - 1][e->node - 1] || (w->faulty && prng_chance(&w->prng, w->o.loss));
    if (gone)
        return;
    fly(w, from, to, p);
    if (w->faulty && prng_chance(&w->prng, w->o.twice))
        fly(w, from, to, p);
}

void net_clear(struct world *w)
{
    struct event e;
    while (net_next(w, UINT64_MAX - 1, &e)) {
        free(e.bytes);
        if (e.job && !e.job->at)
            free(e.job);
    }
    free(w->heap);
}
