/* count.c - what the transport counted of itself, against its records and against what was seen from outside.
 *
 * Of an endpoint, after each call: its records agree (audit.c); memory = what its messages hold; submissions = messages that wait +
 * those with a slot; tasks handed out = those that run + those whose answer is under way; tasks_in = answers_out + those that run +
 * answers that nobody waited for; packets_tx, bytes_tx = DATA packets that left for that node; no packet buffer is kept.
 * Of a packet that comes in: damaged, it is dropped for one reason, and nothing else happens; whole, it is taken by its session,
 * or dropped because there is none; what is dropped is counted by its reason, and no more often of all peers than in all.
 * Of two nodes, at the end, over all their lives: sent + twice = lost + parted + large + nowhere + absent + arrived; of DATA, sent =
 * packets_tx of the one, arrived = hurt + refused + packets_rx of the other; tasks_in, answers_in, segment_bytes_rx, and what came of
 * ACK, GRANT and CANCEL frames, are no more than what the other side sent: nothing is taken twice (frames: but of packets that were
 * taken in part); marks are no more than there were. */
#include <stdio.h>
#include <string.h>

#include "sim.h"
#include "worker/crc32c.h"
#include "xfer/xfer_int.h"

enum { DEEP_EACH = 16 }; /* whole audits */

static const struct xfer_peer_stats *stats_of(const struct endpoint *e, uint32_t node)
{
    static const struct xfer_peer_stats removed;
    const struct xfer_peer *p = peer_find(e->x, node);
    return p ? &p->stats : &removed;
}

static uint64_t sum_drops(const uint64_t *d)
{
    uint64_t sum = 0;
    for (int i = 0; i < CHI_DROP_COUNT; i++)
        sum += d[i];
    return sum;
}

/* A frame of the packet was not taken: it is not acknowledged, and the others are taken again when it comes twice. */
static bool partly_taken(const struct endpoint *e, const struct event *ev)
{
    struct wire_header h;
    if (wire_open(ev->bytes, ev->length, crc32c, &h) != CHI_DROP_NONE)
        return false;
    const struct xfer_session *s = session_by_id(e->x, h.session);
    return s && s->live && s->live_id == h.session && !ack_seen(s, h.number);
}

void count_packet(struct endpoint *e, const struct event *ev)
{
    struct world *w = e->w;
    struct traffic *t = &w->traffic[sim_node(&ev->from) - 1][sim_node(&ev->to) - 1][ev->data];
    uint32_t from = sim_node(&ev->from);
    uint64_t taken = stats_of(e, from)->packets_rx, before[CHI_DROP_COUNT];
    memcpy(before, e->drops, sizeof before);
    enum chi_drop d = xfer_rx(e->x, &ev->from, ev->bytes, ev->length, ev->ecn, w->now);
    if (d == CHI_DROP_NONE && ev->length % 3 == 0)
        xfer_astray(e->x, ev->bytes, ev->length);
    taken = stats_of(e, from)->packets_rx - taken;
    uint64_t dropped = sum_drops(e->drops) - e->dropped;
    e->dropped_of[from - 1] = sum_drops(stats_of(e, from)->drops); /* of no other one, without a packet of its */
    CHECK(w, d == CHI_DROP_NONE || e->drops[d] > before[d], d, dropped);
    CHECK(w, e->drops[CHI_DROP_NONE] == 0, d, dropped);
    if (ev->harm == HURT)
        CHECK(w, d != CHI_DROP_NONE && dropped == 1 && !taken && !xfer_has_events(e->x), d, dropped);
    else if (ev->data && ev->harm == WHOLE)
        CHECK(w, taken == 1 || (dropped == 1 && (d == CHI_DROP_SESSION_UNKNOWN || d == CHI_DROP_ADDRESS)), d, taken);
    CHECK(w, taken <= ev->data, d, taken);
    t->arrived++;
    t->marked += ev->ecn == XFER_CE;
    t->partly += taken && dropped && partly_taken(e, ev);
    if (taken)
        t->taken++;
    else if (d == CHI_DROP_SESSION_UNKNOWN || d == CHI_DROP_ADDRESS)
        t->refused++;
    else
        t->hurt++;
    if (w->verbose && d != CHI_DROP_NONE && d != CHI_DROP_DUPLICATE)
        printf("%12lu node %u.%u drops %s\n", (unsigned long)w->now, e->node, e->worker, chi_drop_name(d));
    host_drain(e);
    count_endpoint(e);
}

void count_endpoint(struct endpoint *e)
{
    struct world *w = e->w;
    struct audit a;
    e->due_ns = xfer_deadline(e->x);
    if (w->failed)
        return;
    bool whole = e->audits % w->o.whole_each == 0, deep = e->audits % (DEEP_EACH * w->o.whole_each) == 0;
    const char *wrong = audit(e->x, deep ? AUDIT_DEEP : whole ? AUDIT_WHOLE : AUDIT_SHORT, &a);
    e->audits++;
    w->audits++;
    if (wrong) {
        sim_failed(w, wrong, e->node, e->worker);
        return;
    }
    CHECK(w, whole ? e->memory_used == a.memory : e->memory_used >= a.memory, e->memory_used, a.memory);
    CHECK(w, e->packets_out == 0, e->packets_out, e->node);
    CHECK(w, e->subs_open == a.waiting + a.open_out + a.kept, e->subs_open, a.open_out);
    CHECK(w, e->jobs_open == a.running + a.answering + a.leaving, e->jobs_open, a.running);
    uint64_t in = e->past_tasks_in, answers = e->past_answers_out, drops = 0;
    for (uint32_t n = 1; n <= w->o.nodes; n++) {
        if (n == e->node)
            continue;
        const struct xfer_peer_stats *st = stats_of(e, n);
        in += st->tasks_in;
        answers += st->answers_out;
        if (whole)
            e->dropped_of[n - 1] = sum_drops(st->drops);
        drops += e->dropped_of[n - 1];
        CHECK(w, st->packets_tx == e->data[n - 1].tx && st->bytes_tx == e->data[n - 1].tx_bytes, st->packets_tx, e->data[n - 1].tx);
        CHECK(w, st->answers_in <= st->tasks_out && st->open_out <= st->tasks_out, st->answers_in, st->tasks_out);
    }
    e->dropped = sum_drops(e->drops);
    CHECK(w, drops <= e->dropped, drops, e->dropped);
    CHECK(w, in == answers + a.running + e->orphans, in, answers);
    load_guards(e);
}

static void said_add(struct endpoint *e, uint32_t node)
{
    const struct xfer_peer_stats *st = stats_of(e, node);
    struct said *s = &e->w->said[e->node - 1][node - 1];
#define SAID_ADD(field) s->field += st->field;
    SIM_SAID_LIST(SAID_ADD)
#undef SAID_ADD
}

void count_stopped(struct endpoint *e)
{
    for (uint32_t n = 1; n <= e->w->o.nodes; n++)
        if (n != e->node)
            said_add(e, n);
}

void count_removed(struct endpoint *e, uint32_t node)
{
    said_add(e, node);
    e->past_tasks_in += stats_of(e, node)->tasks_in;
    e->past_answers_out += stats_of(e, node)->answers_out;
    e->data[node - 1].tx = e->data[node - 1].tx_bytes = e->dropped_of[node - 1] = 0;
}

static void count_pair(struct world *w, uint32_t a, uint32_t b)
{
    const struct said *from = &w->said[a][b], *to = &w->said[b][a];
    for (int k = 0; k < 2; k++) {
        const struct traffic *t = &w->traffic[a][b][k];
        CHECK(w, t->sent + t->twice == t->lost + t->parted + t->large + t->nowhere + t->absent + t->arrived, t->sent, t->arrived);
        CHECK(w, t->arrived == t->hurt + t->refused + t->taken, t->arrived, t->taken);
    }
    const struct traffic *data = &w->traffic[a][b][1];
    CHECK(w, data->sent == from->packets_tx, data->sent, from->packets_tx);
    CHECK(w, data->taken == to->packets_rx, data->taken, to->packets_rx);
    CHECK(w, to->marks_rx <= data->marked, to->marks_rx, data->marked);
    if (w->tainted[a][b])
        return;
    CHECK(w, to->tasks_in <= from->tasks_out, to->tasks_in, from->tasks_out);
    CHECK(w, to->answers_in <= from->answers_out, to->answers_in, from->answers_out);
    CHECK(w, from->marks_tx <= to->marks_rx, from->marks_tx, to->marks_rx);
    if (data->partly)
        return;
    CHECK(w, to->segment_bytes_rx <= from->segment_bytes_tx, to->segment_bytes_rx, from->segment_bytes_tx);
    CHECK(w, to->acks_rx <= from->acks_tx, to->acks_rx, from->acks_tx);
    CHECK(w, to->grants_rx <= from->grants_tx, to->grants_rx, from->grants_tx);
    CHECK(w, to->calls_rx <= from->calls_tx, to->calls_rx, from->calls_tx);
    CHECK(w, to->cancels_rx <= from->cancels_tx, to->cancels_rx, from->cancels_tx);
}

static void count_rest(struct world *w, const struct endpoint *e)
{
    CHECK(w, e->jobs.next == &e->jobs && e->jobs_open == 0 && e->subs_open == 0, e->node, e->jobs_open);
    CHECK(w, e->memory_used == 0, e->memory_used, e->node);
    CHECK(w, e->packets_out == 0, e->packets_out, e->node);
    CHECK(w, e->x->ins.free == e->x->ins.count && e->x->tracks.free == e->x->tracks.count, e->x->ins.free, e->x->tracks.free);
    for (uint32_t i = 0; i < e->x->session_count; i++) {
        const struct xfer_session *s = &e->x->sessions[i];
        if (!s->live)
            continue;
        uint32_t there = w->slots[s->peer->node - 1], slots = e->x->config.slots;
        CHECK(w, s->sent.in_flight == 0 && s->sent.free_count == s->sent.refs_max, s->sent.in_flight, s->sent.free_count);
        CHECK(w, w->tainted[e->node - 1][s->peer->node - 1] || s->out_free_count == (there < slots ? there : slots), s->out_free_count, there);
        CHECK(w, s->unasked == 0 && s->cc.in_flight == 0, s->unasked, s->cc.in_flight);
    }
}

void count_end(struct world *w)
{
    for (uint32_t i = 0; i < w->endpoints; i++) {
        count_rest(w, &w->endpoint[i]);
        count_stopped(&w->endpoint[i]);
    }
    for (uint32_t a = 0; a < w->o.nodes; a++)
        for (uint32_t b = 0; b < w->o.nodes; b++)
            if (a != b)
                count_pair(w, a, b);
}
