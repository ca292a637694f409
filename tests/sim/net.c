/* net.c - virtual time, and a network with faults. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

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

/* Another packet in place of the one at e->bytes. */
static void send_forged(struct world *w, struct event *e)
{
    uint8_t made[2048];
    uint32_t room = w->packet_max[sim_node(&e->to) - 1] < sizeof made ? w->packet_max[sim_node(&e->to) - 1] : sizeof made;
    uint8_t *bytes = e->length > room ? e->bytes : made;
    if (bytes == made)
        memcpy(made, e->bytes, e->length);
    e->length = forge(&w->net, bytes, e->length, bytes == made ? room : e->length);
    e->harm = FORGED;
    uint32_t a = sim_node(&e->from) - 1, b = sim_node(&e->to) - 1;
    w->tainted[a][b] = w->tainted[b][a] = true;
    if (bytes != made)
        return;
    mem_put(e->bytes);
    e->bytes = mem_get(e->length + 1);
    memcpy(e->bytes, made, e->length);
}

static void fly(struct world *w, const struct endpoint *from, const struct xfer_addr *to, const struct xfer_packet *sent, enum harm harm)
{
    const struct options *o = &w->o;
    const uint8_t *bytes = sent->data;
    uint32_t length = sent->length;
    struct event e = {.kind = EV_PACKET, .to = *to, .length = length, .ecn = sent->ecn, .harm = harm, .data = bytes[1] == WIRE_KIND_DATA};
    e.from = sim_addr(from->node, from->worker, sim_path(to));
    e.when = w->now + o->delay_us * SIM_US;
    uint32_t padding = 0;
    if (w->faulty) {
        e.when += sim_draw(&w->net, 0, o->jitter_us * SIM_US);
        if (e.ecn && prng_chance(&w->net, (uint32_t)o->ce))
            e.ecn = XFER_CE;
        if (prng_chance(&w->net, (uint32_t)o->bleach))
            e.ecn = XFER_NOT_ECT;
        if (prng_chance(&w->net, (uint32_t)o->late))
            e.when += sim_draw(&w->net, 0, o->late_us * SIM_US);
        if (prng_chance(&w->net, (uint32_t)o->cut)) {
            e.length = (uint32_t)sim_draw(&w->net, 0, length - 1);
            e.harm = HURT;
        } else if (prng_chance(&w->net, (uint32_t)o->cut)) {
            padding = (uint32_t)sim_draw(&w->net, 1, 20); /* as of short Ethernet frames */
        }
    }
    e.bytes = mem_get(e.length + padding + 1); /* not a byte more than it has, but for the empty one */
    memcpy(e.bytes, bytes, e.length);
    memset(e.bytes + e.length, 0xa5, padding + 1);
    if (harm != WHOLE && e.length == length)
        e.bytes[length - 1] ^= 1;
    if (w->faulty && e.harm == WHOLE) {
        if (prng_chance(&w->net, (uint32_t)o->flip)) {
            e.bytes[sim_draw(&w->net, 0, length - 1)] ^= (uint8_t)sim_draw(&w->net, 1, 255);
            e.harm = HURT;
        } else if (o->forge && !padding && (!o->forger || o->forger == from->node) && prng_chance(&w->net, (uint32_t)o->forge)) {
            send_forged(w, &e);
        }
    }
    e.length += padding;
    net_event(w, &e);
}

/* Losses come alone, or in bursts of a mean length: once one began, it goes on with a chance. */
static bool lost(struct world *w, uint32_t from, uint32_t to)
{
    if (!w->faulty || !w->o.loss)
        return false;
    bool *losing = &w->losing[from][to];
    uint64_t chance = *losing ? 1000000 - 1000000 / w->o.burst : w->o.loss / w->o.burst;
    return *losing = prng_chance(&w->net, (uint32_t)chance);
}

void net_send(struct world *w, const struct endpoint *from, const struct xfer_addr *to, const struct xfer_packet *p, enum harm harm)
{
    uint32_t crc;
    memcpy(&crc, p->data + 4, sizeof crc);
    sim_fold(w, w->now ^ (uint64_t)from->index << 56 ^ (uint64_t)p->length << 32 ^ crc ^ (uint64_t)p->ecn << 24);
    CHECK(w, sim_node(to) >= 1 && sim_node(to) <= w->o.nodes && sim_node(to) != from->node && sim_path(to) < w->o.paths, to->ip, from->node);
    if (w->failed)
        return;
    uint32_t a = from->node - 1, b = sim_node(to) - 1;
    struct traffic *t = &w->traffic[a][b][p->data[1] == WIRE_KIND_DATA];
    t->sent++;
    if (!host_find(w, to)) {
        t->nowhere++;
    } else if ((w->parted[a][b] | w->port_down[a] | w->port_down[b]) >> sim_path(to) & 1) {
        t->parted++;
    } else if (w->mtu[a][b] && p->length > w->mtu[a][b]) {
        t->large++;
    } else if (lost(w, a, b)) {
        t->lost++;
    } else {
        fly(w, from, to, p, harm);
        if (w->faulty && prng_chance(&w->net, (uint32_t)w->o.twice)) {
            fly(w, from, to, p, harm);
            t->twice++;
        }
    }
}

void net_clear(struct world *w)
{
    struct event e;
    while (net_next(w, UINT64_MAX - 1, &e)) {
        mem_put(e.bytes);
        if (e.job && !e.job->at)
            free(e.job);
    }
    free(w->heap);
}
