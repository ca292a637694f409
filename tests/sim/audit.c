#include <string.h>

#include "audit.h"
#include "xfer/window.h"
#include "xfer/xfer_int.h"

enum { PEERS_MAX = 64, INS_MAX = 4096, SLOTS_MAX = 4096 };

#define HOLDS(e)       \
    do {               \
        if (!(e))      \
            return #e; \
    } while (0)
#define TRY(e)                 \
    do {                       \
        const char *wrong = e; \
        if (wrong)             \
            return wrong;      \
    } while (0)

static struct {
    struct { uint32_t open_out, open_in, holders, waiting_in, waiting_turn, live; uint64_t memory; } of[PEERS_MAX]; /* peers */
    uint16_t refs[INS_MAX];     /* frames of an answer that are out or lost */
    bool free_in[INS_MAX], free_out[SLOTS_MAX];
    uint32_t idle, leaving, streaming, scheduled, active, timers, tracks; /* streaming: those of x->idle that run */
} sum;

/* A list of sound links, with its length. */
static const char *list_sound(const struct link *head, uint32_t *n)
{
    const struct link *before = head;
    *n = 0;
    for (const struct link *l = head->next; l != head; before = l, l = l->next) {
        HOLDS(l->prev == before);
        HOLDS(++*n < 1u << 24);
    }
    HOLDS(head->prev == before);
    return NULL;
}

static const char *heap_sound(const struct timers *ts)
{
    for (uint32_t i = 1; i <= ts->count; i++) {
        HOLDS(ts->heap[i]->place == i);
        HOLDS(i == 1 || ts->heap[i / 2]->key_ns <= ts->heap[i]->key_ns);
    }
    return NULL;
}

/* The timer rings at when_ns or before.  One that is late rings at once. */
static bool rings(const struct xfer *x, const struct timer *t, uint64_t when_ns)
{
    return t->place && t->key_ns <= (when_ns > x->now_ns ? when_ns : x->now_ns + 1);
}

static const char *tracks_sound(const struct track *t)
{
    for (; t; t = t->next) {
        HOLDS(t->ranges.count > 0 && t->ranges.count <= RANGES_MAX);
        for (uint32_t i = 0; i < t->ranges.count; i++) {
            HOLDS(t->ranges.r[i].start < t->ranges.r[i].end);
            HOLDS(i == 0 || t->ranges.r[i - 1].end < t->ranges.r[i].start);
        }
        HOLDS(++sum.tracks <= XFER_TRACKS);
    }
    return NULL;
}

/* --- messages that came in */

static const char *regions_sound(const struct xfer *x, const struct msg_in *in)
{
    uint64_t held = in->form_memory ? in->form_length : 0, total = 0;
    uint32_t missing = 0, streaming = 0, exposed = 0;
    for (uint32_t i = 0; i < in->pub.nregions; i++) {
        const struct chi_ar_region *r = &in->region[i];
        bool comes = (r->flags & CHI_WRITE) && r->size;
        const struct in_part *part = &in->part[i];
        HOLDS(part->have <= (comes ? r->size : 0));
        HOLDS(part->pushed <= r->size && (!part->pushed || (r->flags & CHI_EXPOSE)));
        HOLDS(part->sent <= (in->state >= IN_ANSWERING ? r->size : part->pushed));
        HOLDS(!(r->flags & CHI_WRITE) || (r->flags & CHI_STREAM) || in->internal || in->state == IN_RECEIVING || part->have == r->size);
        HOLDS(r->size || r->ptr == x->nowhere);
        held += r->size;
        total += comes ? r->size : 0;
        bool lacks = comes && part->have < r->size, streams = r->flags & CHI_STREAM;
        streaming += lacks & streams;
        missing += lacks & !streams;
        exposed += (r->flags & CHI_EXPOSE) != 0;
    }
    HOLDS(in->held == held);
    HOLDS(in->internal || (in->total == total && in->exposed == exposed));
    HOLDS(in->streaming == streaming && (!streaming || in->early));
    HOLDS(in->state == IN_RECEIVING || in->internal || !in->missing);
    if (in->state == IN_RECEIVING) {
        missing += in->form_have < in->form_length;
        HOLDS(in->missing == missing && missing > 0);
        HOLDS(in->form_have <= in->form_length);
    }
    return NULL;
}

static const char *turn_sound(const struct xfer *x, const struct msg_in *in)
{
    HOLDS(in->granted <= in->total && in->arrived <= in->total);
    HOLDS(!in->turn.place || in->scheduled);
    HOLDS(list_linked(&in->age) == (in->turn.place != 0) || !in->scheduled);
    if (!in->scheduled)
        return NULL;
    HOLDS(in_receives(in));
    sum.scheduled++;
    if (in->turn.place) {
        sum.of[in->peer - x->peers].waiting_turn++;
        HOLDS(in->turn.place <= x->schedule.count && x->schedule.heap[in->turn.place] == &in->turn);
        return NULL;
    }
    uint32_t found = 0;
    for (uint32_t i = 0; i < x->active_count; i++)
        found += x->active[i] == in;
    HOLDS(found == 1);
    HOLDS(in->granted < in->total); /* else it needs no turn */
    sum.active++;
    return NULL;
}

/* What goes back of it: an answer; or before it, what was pushed. */
static const char *back_sound(const struct msg_in *in, uint32_t index)
{
    HOLDS(in->unacked == sum.refs[index]);
    if (in->state != IN_ANSWERING && !in->early)
        return NULL;
    HOLDS(in->flow.answer && in->session->live);
    bool linked = list_linked(&in->flow.link);
    if (linked)
        return NULL;
    struct msg_in copy = *in; /* flow_left moves over what is empty */
    HOLDS(!flow_left(&copy.flow));
    bool ok = in->answer.status == CHI_STATUS_OK;
    for (uint32_t i = 0; i < in->pub.nregions; i++)
        if (in->region[i].flags & CHI_EXPOSE)
            HOLDS(in->part[i].sent >= (in->state != IN_ANSWERING ? in->part[i].pushed : ok ? in->region[i].used : 0));
    HOLDS(in->flow.head_sent == (in->state == IN_ANSWERING));
    HOLDS(in->state != IN_ANSWERING || in->unacked); /* else it is over */
    return NULL;
}

static const char *in_sound(const struct xfer *x, const struct msg_in *in, uint32_t index, struct audit *out)
{
    uint32_t peer = (uint32_t)(in->peer - x->peers);
    HOLDS(peer < x->peer_count);
    sum.of[peer].open_in++;
    sum.of[peer].memory += in->held;
    sum.of[peer].holders += in->held != 0;
    TRY(regions_sound(x, in));
    TRY(turn_sound(x, in));
    TRY(tracks_sound(in->tracks));
    bool linked = list_linked(&in->link);
    HOLDS(!in->session || (in->session->in[in->slot].in == in && in->session->in[in->slot].generation == in->generation));
    HOLDS(!in->session || in->session->peer == in->peer);
    HOLDS(in->plain ? !in->pub.nregions && !in->early && !in->scheduled && !in->held && !in->tracks && in->state != IN_RECEIVING
                    : list_linked(&in->grant) <= in_receives(in));
    HOLDS(!in->early || !list_linked(&in->more)); /* the events are drained */
    if (in->session)
        TRY(back_sound(in, index));
    else
        HOLDS(!in->scheduled && !in->tracks);
    switch ((enum in_state)in->state) {
    case IN_RECEIVING:
        HOLDS(in->session && linked);
        sum.idle++;
        return NULL;
    case IN_RUNNING:
        out->running++;
        HOLDS(!in->internal);
        HOLDS(linked == (in->session && in->streaming)); /* else its consumer was told what there is to tell */
        HOLDS(!in->early || linked || !in->tracks);
        sum.idle += linked;
        sum.streaming += linked;
        return NULL;
    case IN_ANSWERING:
        out->answering += !in->internal;
        sum.idle++;
        HOLDS(in->session && linked && !in->scheduled && !in->tracks);
        return NULL;
    case IN_ENDED:
        sum.leaving++;
        out->leaving += !in->internal;
        HOLDS(!in->session && linked && in->pub.nregions);
        return NULL;
    case IN_QUEUED:
        return "the events are drained";
    }
    return "a state of an incoming message";
}

/* All records, those that no list has among them. */
static const char *ins_whole(const struct xfer *x, struct audit *out)
{
    const struct pool *p = &x->ins;
    memset(sum.free_in, 0, p->count * sizeof *sum.free_in);
    for (uint32_t i = 0; i < p->free; i++) {
        uint32_t index = pool_index(p, p->stack[i]);
        HOLDS(!sum.free_in[index]);
        sum.free_in[index] = true;
    }
    for (uint32_t i = 0; i < p->count; i++)
        if (!sum.free_in[i])
            TRY(in_sound(x, pool_at(p, i), i, out));
    HOLDS(p->free + sum.idle - sum.streaming + out->running + sum.leaving == p->count);
    for (uint32_t i = 0; i < x->peer_count; i++) {
        HOLDS(x->peers[i].stats.open_in == sum.of[i].open_in);
        HOLDS(x->peers[i].stats.memory == sum.of[i].memory);
    }
    return NULL;
}

/* Those of which something comes in, or whose answer goes out; the rest of the records must run. */
static const char *ins_idle(const struct xfer *x, struct audit *out)
{
    for (const struct link *l = x->idle.next; l != &x->idle; l = l->next) {
        const struct msg_in *in = LIST_ENTRY(l, struct msg_in, link);
        TRY(in_sound(x, in, pool_index(&x->ins, in), out));
    }
    for (const struct link *l = x->leaving.next; l != &x->leaving; l = l->next) {
        const struct msg_in *in = LIST_ENTRY(l, struct msg_in, link);
        TRY(in_sound(x, in, pool_index(&x->ins, in), out));
    }
    HOLDS(x->ins.free + sum.idle + sum.leaving <= x->ins.count);
    out->running = x->ins.count - x->ins.free - sum.idle + sum.streaming - sum.leaving;
    return NULL;
}

/* --- sessions */

/* References of one list: how many; those of answers count for their messages. */
static const char *refs_sound(const struct xfer_session *s, uint32_t ref, uint32_t *n)
{
    for (; ref != SENTMAP_NONE; ref = s->sent.refs[ref].next) {
        HOLDS(ref < s->sent.refs_max);
        const struct frame_ref *r = &s->sent.refs[ref];
        HOLDS(++*n <= s->sent.refs_max);
        HOLDS(r->slot < s->x->config.slots);
        if (r->answer && flow_ref_live((struct xfer_session *)(uintptr_t)s, r))
            sum.refs[pool_index(&s->x->ins, s->in[r->slot].in)]++;
    }
    return NULL;
}

static const char *sent_sound(const struct xfer_session *s, enum audit_depth depth)
{
    const struct sentmap *sm = &s->sent;
    uint32_t out = 0, refs = 0, lost = 0, spare = 0;
    uint64_t bytes = 0, last = 0;
    HOLDS(sm->tail - sm->head <= sm->window);
    for (uint32_t i = sm->head; i != sm->tail; i++) {
        const struct sent *p = sentmap_at(sm, i);
        HOLDS(p->number > last && p->number < s->next_number);
        HOLDS(p->out || (p->refs == SENTMAP_NONE && i != sm->head));
        HOLDS(!p->out || !p->lost);
        last = p->number;
        out += p->out;
        bytes += p->out ? p->bytes : 0;
        TRY(refs_sound(s, p->refs, &refs));
    }
    HOLDS(out == sm->in_flight);
    HOLDS(bytes == s->cc.in_flight);
    HOLDS(s->cc.window <= s->cc.limit);
    TRY(refs_sound(s, sm->lost, &refs));
    HOLDS(refs + sm->free_count == sm->refs_max);
    if (depth == AUDIT_SHORT)
        return NULL;
    for (uint32_t i = 0; i < sm->window; i++)
        lost += sm->ring[i].lost;
    HOLDS(lost == sm->lost_records);
    if (depth != AUDIT_DEEP)
        return NULL;
    for (uint32_t ref = sm->free; ref != SENTMAP_NONE; ref = sm->refs[ref].next)
        HOLDS(ref < sm->refs_max && ++spare <= sm->refs_max);
    HOLDS(spare == sm->free_count);
    return NULL;
}

static const char *out_sound(const struct xfer_session *s, const struct out_slot *o, struct audit *out)
{
    const struct flow *f = &o->flow;
    HOLDS(o->m->state == o && o->m->peer == s->peer && o->session == s);
    HOLDS(o->m->timer.next);
    HOLDS(o->body_have <= o->body_length && !f->answer);
    TRY(tracks_sound(o->tracks));
    out->memory += o->body ? o->body->size : 0;
    if (o->answered || s->close_due)
        return NULL;
    struct out_slot copy = *o;
    bool may = f->head_sent && (!f->careful || f->head_acked);
    HOLDS(f->head_sent || list_linked(&f->link));
    HOLDS(!may || list_linked(&f->link) || !flow_left(&copy.flow));
    return NULL;
}

static const char *outs_sound(const struct xfer *x, const struct xfer_session *s, struct audit *out)
{
    uint32_t slots = x->config.slots, open = 0;
    uint64_t unasked = 0;
    HOLDS(slots <= SLOTS_MAX && s->out_free_count <= slots);
    memset(sum.free_out, 0, slots * sizeof *sum.free_out);
    for (uint32_t i = 0; i < s->out_free_count; i++) {
        uint32_t slot = s->out_free[i];
        HOLDS(slot < slots && !s->out[slot].m && !sum.free_out[slot]);
        sum.free_out[slot] = true;
    }
    for (uint32_t i = 0; i < slots; i++) {
        const struct out_slot *o = &s->out[i];
        unasked += o->flow.unasked;
        if (o->m) {
            open++;
            TRY(out_sound(s, o, out));
        } else {
            HOLDS(!o->body && !o->tracks && !o->flow.unasked);
            HOLDS(!list_linked(&o->flow.link) || o->owes); /* a CANCEL is due */
        }
    }
    HOLDS(open + s->out_free_count == s->out_slots && s->out_slots <= slots);
    HOLDS(unasked == s->unasked && unasked <= s->credit);
    sum.of[s->peer - x->peers].open_out += open;
    return NULL;
}

static const char *in_slots_sound(const struct xfer *x, const struct xfer_session *s)
{
    for (uint32_t i = 0; i < x->config.slots; i++) {
        const struct in_slot *slot = &s->in[i];
        HOLDS(slot->session == s);
        HOLDS(slot->waiting == list_linked(&slot->link));
        HOLDS(!slot->waiting || !slot->in);
        HOLDS(!slot->waiting || slot->needs <= x->config.all_memory);
        HOLDS(!slot->in || slot->in->session == s);
        sum.of[s->peer - x->peers].waiting_in += slot->waiting;
    }
    return NULL;
}

/* Whatever it has to do, somebody looks. */
static const char *session_awake(const struct xfer *x, const struct xfer_session *s)
{
    bool ready = list_linked(&s->link), wanted = window_wanted(s), room = window_room(s);
    bool calls = x->call_due && x->called && x->called->session == s;
    HOLDS(s->notices || !(s->ping_due || calls || !list_empty(&s->grants) || !list_empty(&s->cancels)));
    HOLDS(ready || !s->ack_due);
    HOLDS(ready || !s->close_due);
    HOLDS(ready || !wanted || !room || rings(x, &s->timer, cc_next_ns(&s->cc)));
    HOLDS(!wanted || room || s->sent.in_flight); /* an acknowledgement, or a time-out, makes room */
    HOLDS(!s->sent.in_flight || rings(x, &s->timer, loss_alarm(s)));
    HOLDS(!s->ack_ns || s->ack_due || rings(x, &s->timer, s->ack_ns));
    HOLDS((s->ack_ns != 0) == (s->ack_count != 0));
    return NULL;
}

static const char *path_sound(const struct xfer_session *s)
{
    const struct path *p = &s->path;
    HOLDS(s->packet_bytes <= p->most && p->most <= s->x->config.packet_max);
    HOLDS(s->packet_bytes == p->most || (p->probes && s->packet_bytes >= WIRE_PACKET_MIN));
    HOLDS(s->cc.packet_bytes >= s->packet_bytes || s->packet_bytes == WIRE_PACKET_MIN);
    HOLDS(!p->probe || (p->probe < s->next_number && !p->probe_due));
    HOLDS(!(p->probe || p->probe_due) || (p->probe_bytes > s->packet_bytes && p->probe_bytes <= p->most));
    HOLDS(!(p->probe || p->vanished) || p->look_ns == 0);
    HOLDS(s->packet_bytes == p->most || p->probe || p->probe_due || p->again_ns != UINT64_MAX); /* it is searched for, or will be */
    HOLDS(p->ecn_mask || (p->ecn == XFER_NOT_ECT && !p->came.capable));
    HOLDS(!p->trial || (p->ecn == XFER_NOT_ECT && p->trial <= s->next_number));
    return NULL;
}

static const char *session_sound(const struct xfer *x, const struct xfer_session *s, enum audit_depth depth, struct audit *out)
{
    uint32_t n;
    if (s->timer.place) {
        sum.timers++;
        HOLDS(s->timer.place <= x->timers.count && x->timers.heap[s->timer.place] == &s->timer);
    }
    if (!s->live) {
        HOLDS(!s->live_id && (!s->peer || s->peer->send != s));
        return NULL;
    }
    HOLDS(s->peer && s->live_id && s->live_id != s->offer_id && session_by_id(x, s->live_id) == s);
    HOLDS(session_find(s->peer, s->worker) == s);
    HOLDS(s->addr.ip == s->peer->addr.ip && s->addr.port == s->peer->addr.port + s->worker);
    HOLDS(!s->got.count || s->got.r[s->got.count - 1].end == s->rx_largest + 1);
    sum.of[s->peer - x->peers].live++;
    TRY(sent_sound(s, depth));
    TRY(session_awake(x, s));
    TRY(path_sound(s));
    if (depth == AUDIT_SHORT)
        return NULL;
    const struct link *heads[] = {&s->fresh, &s->again, &s->bulk, &s->grants, &s->cancels};
    for (unsigned i = 0; i < sizeof heads / sizeof *heads; i++)
        TRY(list_sound(heads[i], &n));
    for (uint32_t i = 0; i < s->got.count; i++)
        HOLDS(s->got.r[i].start < s->got.r[i].end && (i == 0 || s->got.r[i - 1].end < s->got.r[i].start));
    TRY(outs_sound(x, s, out));
    return in_slots_sound(x, s);
}

/* --- peers */

/* What the slots say of a peer. */
static const char *peer_whole(const struct xfer *x, const struct xfer_peer *p, uint32_t index)
{
    uint32_t open = 0;
    for (const struct link *l = p->sessions.next; l != &p->sessions; l = l->next) {
        const struct xfer_session *s = LIST_ENTRY(l, struct xfer_session, of_peer);
        HOLDS(s->peer == p);
        for (uint32_t i = 0; s->live && i < x->config.slots; i++)
            open += s->out[i].m || s->in[i].in || s->in[i].waiting;
    }
    HOLDS(!open || x->closed || p->watched);
    HOLDS(p->stats.waiting_turn == sum.of[index].waiting_turn);
    HOLDS(p->stats.memory <= x->config.peer_memory || sum.of[index].holders == 1);
    HOLDS(p->stats.open_out == sum.of[index].open_out);
    HOLDS(p->stats.waiting_in == sum.of[index].waiting_in);
    HOLDS(!p->node || peer_find(x, p->node) == p);
    return NULL;
}

/* It may hold what the first of those that wait needs, as far as it alone goes. */
static bool in_line(const struct xfer *x, const struct xfer_peer *p)
{
    if (list_empty(&p->waiting_in))
        return false;
    uint64_t needs = LIST_ENTRY(p->waiting_in.next, struct in_slot, link)->needs, has = p->stats.memory;
    return !needs || !has || has + needs <= x->config.peer_memory;
}

static const char *peer_sound(const struct xfer *x, const struct xfer_peer *p, bool whole, struct audit *out)
{
    uint32_t waiting = 0, index = (uint32_t)(p - x->peers);
    for (const struct xfer_out *m = p->waiting, *last = NULL; m; last = m, m = m->next) {
        HOLDS(m->peer == p && !m->state && m->prev == last && m->timer.next);
        HOLDS(m->next || p->waiting_last == m);
        waiting++;
    }
    out->waiting += waiting;
    out->open_out += p->stats.open_out;
    if (whole)
        TRY(peer_whole(x, p, index));
    HOLDS(p->way < p->way_count && !memcmp(&p->addr, &p->ways[p->way], sizeof p->addr));
    HOLDS(p->stats.waiting_out == waiting);
    HOLDS(list_empty(&p->waiting_in) == (p->stats.waiting_in == 0));
    HOLDS(list_linked(&p->hungry) == in_line(x, p));
    HOLDS(p->stats.memory <= p->stats.memory_most);
    HOLDS(!p->send || (p->send->live && p->send->peer == p));
    HOLDS(!waiting || p->send || p->dialing);
    HOLDS(!waiting || !p->send || !p->send->out_free_count);
    HOLDS(!p->dialing || rings(x, &p->timer, p->dial_ns));
    HOLDS(!sum.of[index].live || !(p->stats.open_out || p->stats.waiting_in) || x->closed || p->watched);
    HOLDS(!p->watched || rings(x, &p->timer, p->alive_ns));
    if (p->timer.place) {
        sum.timers++;
        HOLDS(p->timer.place <= x->timers.count && x->timers.heap[p->timer.place] == &p->timer);
    }
    return NULL;
}

static const char *room_sound(const struct xfer *x)
{
    HOLDS(!x->called || (x->called->waiting && x->called->session->live));
    HOLDS(!x->called || x->call_ns != UINT64_MAX);
    HOLDS(x->held <= x->config.all_memory);
    if (x->called || x->room_ns != UINT64_MAX || list_empty(&x->hungry))
        return NULL;
    const struct xfer_peer *first = LIST_ENTRY(x->hungry.next, struct xfer_peer, hungry); /* until so much is given back */
    HOLDS(LIST_ENTRY(first->waiting_in.next, struct in_slot, link)->needs > x->config.all_memory - x->held);
    return NULL;
}

static const char *lists_sound(const struct xfer *x, bool whole, struct audit *out)
{
    uint32_t n;
    TRY(list_sound(&x->ready, &n));
    for (const struct link *l = x->ready.next; l != &x->ready; l = l->next)
        HOLDS(LIST_ENTRY(l, struct xfer_session, link)->live);
    TRY(list_sound(&x->idle, &n));
    HOLDS(n == sum.idle);
    for (const struct link *l = x->idle.next; l->next != &x->idle && l != &x->idle; l = l->next)
        HOLDS(LIST_ENTRY(l, struct msg_in, link)->stamp_ns <= LIST_ENTRY(l->next, struct msg_in, link)->stamp_ns);
    TRY(list_sound(&x->leaving, &n));
    HOLDS(n == sum.leaving);
    TRY(list_sound(&x->whole, &n));
    for (const struct link *l = x->whole.next; l != &x->whole; l = l->next)
        HOLDS(flow_out(LIST_ENTRY(l, struct flow, link))->answered);
    for (const struct xfer_out *m = x->kept; m; m = m->next) {
        HOLDS(!m->timer.next && ++out->kept < 1u << 24);
    }
    HOLDS(attach_deadline(x) == UINT64_MAX || xfer_deadline(x) <= x->now_ns + 1000000);
    TRY(list_sound(&x->hungry, &n));
    TRY(list_sound(&x->aged, &n));
    HOLDS(n == x->schedule.count);
    HOLDS(sum.active == x->active_count && sum.scheduled == x->active_count + x->schedule.count);
    HOLDS(x->active_count <= x->config.overcommit && (!x->schedule.count || x->active_count == x->config.overcommit));
    HOLDS(whole ? sum.timers == x->timers.count : sum.timers <= x->timers.count);
    TRY(heap_sound(&x->timers));
    return heap_sound(&x->schedule);
}

const char *audit(const struct xfer *x, enum audit_depth depth, struct audit *out)
{
    bool whole = depth != AUDIT_SHORT;
    *out = (struct audit){0};
    HOLDS(x->peer_count <= PEERS_MAX && x->ins.count <= INS_MAX && !x->gone && !xfer_has_events(x));
    memset(sum.of, 0, x->peer_count * sizeof *sum.of);
    memset(sum.refs, 0, x->ins.count * sizeof *sum.refs);
    sum.idle = sum.leaving = sum.streaming = sum.scheduled = sum.active = sum.timers = sum.tracks = 0;
    for (uint32_t i = 0; whole && i < x->session_count; i++)
        TRY(session_sound(x, &x->sessions[i], depth, out));
    for (uint32_t i = 0; !whole && i < x->peer_count; i++)
        for (const struct link *l = x->peers[i].sessions.next; l != &x->peers[i].sessions; l = l->next)
            TRY(session_sound(x, LIST_ENTRY(l, struct xfer_session, of_peer), depth, out));
    TRY(whole ? ins_whole(x, out) : ins_idle(x, out));
    uint64_t held = 0;
    for (uint32_t i = 0; i < x->peer_count; i++) {
        TRY(peer_sound(x, &x->peers[i], whole, out));
        held += x->peers[i].stats.memory;
    }
    TRY(lists_sound(x, whole, out));
    TRY(room_sound(x));
    HOLDS(held == x->held);
    HOLDS(whole ? sum.tracks + x->tracks.free == x->tracks.count : sum.tracks + x->tracks.free <= x->tracks.count);
    HOLDS(x->deadlines.count == out->open_out + out->waiting);
    HOLDS(x->control_count <= XFER_CONTROLS && x->refuse_tokens <= XFER_REFUSE_BURST);
    out->memory += held;
    for (const struct body *b = x->bodies; b; b = b->next)
        out->memory += b->size;
    return NULL;
}
