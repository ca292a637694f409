/* msg_in.c - messages of peers: gathered until they are whole, handed out once, answered, forgotten. */
#include "archive/form.h"
#include "xfer_int.h"

#ifndef XFER_CANARY
#define XFER_CANARY 0 /* 1: a planted bug, repeated messages run again; a test must notice (tests/sim) */
#endif

/* The record and all that it holds. */
static void in_give_back(struct xfer *x, struct msg_in *in)
{
    for (uint32_t i = 0; i < in->pub.nregions; i++)
        if (in->region[i].size)
            x->host.memory_put(x->host.ctx, in->region[i].ptr, in->region[i].size);
    if (in->form_memory)
        x->host.memory_put(x->host.ctx, in->form_memory, in->form_length);
    place_forget(x, &in->tracks);
    in->peer->stats.open_in--;
    in->peer->stats.memory -= in->held;
    x->held -= in->held;
    room_line(x, in->peer);
    pool_put(&x->ins, in);
}

void in_free(struct xfer *x, struct msg_in *in)
{
    in_give_back(x, in);
    room_freed(x);
}

/* Nobody waits for it any more. */
static void end(struct xfer *x, struct msg_in *in)
{
    if (in->session)
        in->session->in[in->slot].in = NULL;
    in->session = NULL;
    list_remove(&in->flow.link);
    list_remove(&in->link);
    in->state = IN_ENDED;
    if (CHI_LIKELY(!attach_tails(&in->tails)))
        in_leave(x, in);
    else
        list_push(&x->leaving, &in->link);
}

void in_leave(struct xfer *x, struct msg_in *in)
{
    list_remove(&in->link);
    if (in->internal)
        in_free(x, in);
    else
        list_push(&x->ended, &in->link);
}

/* The first thing that goes or comes while its consumer has it. */
static void early_begin(struct msg_in *in)
{
    if (in->early)
        return;
    in->early = true;
    list_init(&in->more);
    flow_init(&in->flow, true);
}

/* What came or went beside its consumer stops.  Not inlined: the others' answer needs no registers for it. */
__attribute__((noinline, cold)) static void early_end(struct xfer *x, struct msg_in *in)
{
    grant_end(in);
    place_forget(x, &in->tracks);
    list_remove(&in->more);
    list_remove(&in->flow.link);
    list_remove(&in->link);
}

void in_orphan(struct msg_in *in, struct xfer *x, enum chi_status why)
{
    in->why = (uint8_t)why;
    grant_end(in);
    in->session->in[in->slot].in = NULL;
    in->session = NULL;
    switch ((enum in_state)in->state) {
    case IN_RECEIVING:
        list_remove(&in->link);
        in_free(x, in);
        return;
    case IN_ANSWERING:
        end(x, in);
        return;
    case IN_RUNNING:
        if (!in->early)
            return;
        early_end(x, in);
        if (in->streaming) /* its consumer may wait for more */
            list_push(&x->cancelled, &in->link);
        return;
    case IN_QUEUED:
    case IN_ENDED:
        return; /* its consumer still has it, or will */
    }
}

void in_answer(struct xfer *x, struct msg_in *in, const struct xfer_answer *a, uint64_t now)
{
    CHI_ASSERT(in->state == IN_RUNNING);
    struct xfer_session *s = in->session;
    if (a->last) {
        CHI_ASSERT(a->body_length == 0 || (a->body == in->small && a->body_length <= sizeof in->small));
        CHI_ASSERT(a->status != CHI_STATUS_OK || in->pub.nregions == 0);
        in->internal = true;
    }
    if (!s) {
        end(x, in);
        return;
    }
    enum chi_status status = a->status;
    if (status == CHI_STATUS_OK && a->body_length > CHI_FORM_BYTES_MAX)
        status = CHI_STATUS_TOO_BIG;
    for (uint32_t i = 0; i < in->pub.nregions; i++)
        if ((in->region[i].flags & CHI_EXPOSE) && status == CHI_STATUS_OK &&
            (in->region[i].used > in->region[i].size || in->region[i].used < in->part[i].pushed))
            status = CHI_STATUS_INVALID;
    in->answer = (struct xfer_answer){.status = status};
    if (status == CHI_STATUS_OK)
        in->answer = *a;
    if (CHI_UNLIKELY(in->early))
        early_end(x, in);
    in->state = IN_ANSWERING;
    in->stamp_ns = now;
    list_push(&x->idle, &in->link);
    flow_init(&in->flow, true);
    if (CHI_UNLIKELY(in->early))
        flow_rewind(&in->flow);
    list_push(&s->fresh, &in->flow.link);
    in->peer->stats.answers_out++;
    session_wake(s);
}

void in_push(struct msg_in *in, uint32_t region, uint64_t bytes)
{
    CHI_ASSERT(in->state == IN_RUNNING && region < in->pub.nregions);
    const struct chi_ar_region *r = &in->region[region];
    struct in_part *part = &in->part[region];
    CHI_ASSERT((r->flags & CHI_EXPOSE) && bytes <= r->size && (!(r->flags & CHI_WRITE) || bytes <= part->have));
    if (bytes <= part->pushed)
        return;
    part->pushed = bytes;
    if (!in->session)
        return;
    early_begin(in);
    flow_rewind(&in->flow);
    if (!list_linked(&in->flow.link))
        list_push(&in->session->bulk, &in->flow.link);
    session_wake(in->session);
}

void in_frame_acked(struct msg_in *in, struct xfer *x, uint64_t now)
{
    in->unacked--;
    if (CHI_UNLIKELY(!in->flow.head_sent)) /* it may still run */
        return;
    if (in->unacked == 0 && !flow_left(&in->flow)) {
        end(x, in);
        return;
    }
    in->stamp_ns = now;
    list_to_tail(&x->idle, &in->link);
}

void in_tick(struct xfer *x, uint64_t now)
{
    while (!list_empty(&x->idle)) {
        struct msg_in *in = LIST_ENTRY(x->idle.next, struct msg_in, link);
        if (in->stamp_ns + XFER_GIVE_UP * x->config.silence_ns > now)
            return;
        if (in->turn.place) { /* it waits for our grant */
            in->stamp_ns = now;
            list_to_tail(&x->idle, &in->link);
        } else {
            in_orphan(in, x, CHI_STATUS_DEADLINE);
        }
    }
}

/* --- coming in */

static void deliver(struct xfer *x, struct msg_in *in, const uint8_t *form)
{
    in->form = form;
    in->state = IN_QUEUED;
    if (CHI_LIKELY(!in->streaming))
        grant_end(in);
    list_remove(&in->link);
    list_push(&x->tasks, &in->link);
    in->peer->stats.tasks_in++;
}

static uint8_t *form_bytes(struct msg_in *in) { return in->form_memory ? in->form_memory : in->small; }

static struct msg_in *record_new(struct xfer_session *s, const struct wire_task_in *f, uint64_t now)
{
    struct msg_in *in = pool_try_get(&s->x->ins);
    if (!in)
        return NULL;
    in->pub = (struct xfer_in){.regions = in->region, .node = s->peer->node};
    in->session = s;
    in->peer = s->peer;
    in->peer->stats.open_in++;
    alive_watch(s->x, s->peer);
    list_init(&in->link);
    list_init(&in->grant);
    list_init(&in->flow.link);
    in->scheduled = in->early = false;
    in->streaming = 0;
    in->held = in->total = in->arrived = in->granted = 0;
    in->turn.place = 0;
    in->stamp_ns = now;
    in->slot = f->slot;
    in->generation = f->generation;
    in->state = IN_RECEIVING;
    in->internal = false;
    in->exposed = 0;
    in->missing = in->unacked = in->tails = 0;
    in->form_length = f->form_length;
    in->form = in->form_memory = NULL;
    in->form_have = 0;
    in->tracks = NULL;
    return in;
}

/* What of the host's memory a message needs: its regions, and its form unless all of it is here at once. */
static uint64_t needs_of(const struct wire_task_in *f, const struct form_head *h)
{
    bool whole = f->inline_length == f->form_length;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < h->regions; i++) {
        sum += h->region[i].size; /* 16 sizes below 2^60 */
        whole &= !(h->region[i].flags & CHI_WRITE) || !h->region[i].size;
    }
    return whole || f->form_length <= XFER_FORM_SMALL ? sum : sum + f->form_length;
}

static bool is_too_big(const struct xfer *x, const struct wire_task_in *f, const struct form_head *h, uint64_t needs)
{
    bool large = f->form_length > CHI_FORM_BYTES_MAX || needs > x->host.memory_total || needs > x->config.all_memory;
    for (uint32_t i = 0; i < h->regions; i++)
        large |= h->region[i].size > x->host.memory_largest;
    return large;
}

static void hold(struct msg_in *in, uint64_t bytes)
{
    in->held += bytes;
    struct xfer_peer_stats *st = &in->peer->stats;
    st->memory += bytes;
    if (st->memory > st->memory_most)
        st->memory_most = st->memory;
    in->session->x->held += bytes;
}

/* Memory for all regions, or none at all. */
static bool regions_get(struct xfer *x, struct msg_in *in, const struct form_head *h)
{
    for (uint32_t i = 0; i < h->regions; i++) {
        const struct form_region *r = &h->region[i];
        void *p = r->size ? x->host.memory_get(x->host.ctx, r->size) : x->nowhere;
        if (!p)
            return false;
        in->region[i] = (struct chi_ar_region){.ptr = p, .size = r->size, .flags = r->flags};
        in->part[i] = (struct in_part){0};
        in->pub.nregions = i + 1;
        in->exposed += (r->flags & CHI_EXPOSE) != 0;
        bool comes = (r->flags & CHI_WRITE) && r->size;
        if (comes && (r->flags & CHI_STREAM)) {
            early_begin(in);
            in->streaming++;
        } else {
            in->missing += comes;
        }
        in->total += r->flags & CHI_WRITE ? r->size : 0;
        hold(in, r->size);
    }
    return true;
}

/* Keeps the form's first part until all is here. */
static enum chi_drop form_keep(struct xfer *x, struct msg_in *in, const struct wire_task_in *f)
{
    uint8_t *to = in->small;
    if (f->form_length > sizeof in->small) {
        to = in->form_memory = x->host.memory_get(x->host.ctx, f->form_length);
        if (!to)
            return CHI_DROP_NO_MEMORY;
        hold(in, f->form_length);
    }
    in->form = to;
    in->missing += f->inline_length < f->form_length;
    struct place at = {to, f->form_length, &in->form_have, &in->tracks, 0};
    return place_bytes(x, &at, 0, f->bytes, f->inline_length);
}

static void occupy(struct in_slot *slot, struct msg_in *in)
{
    slot->in = in;
    room_wait_end(slot);
}

/* Answered by the transport: it can never run. */
static void turn_away(struct xfer_session *s, struct in_slot *slot, struct msg_in *in, enum chi_status status, uint64_t now)
{
    occupy(slot, in);
    in->state = IN_RUNNING;
    s->peer->stats.tasks_in++; /* as each task that is answered */
    in_answer(s->x, in, &(struct xfer_answer){.status = status, .last = true}, now);
}

/* Takes a message that was not here before, with memory for all of it.  False: there is no room, and nothing of it was taken. */
static bool accept(struct xfer_session *s, struct in_slot *slot, const struct wire_task_in *f, const struct form_head *head,
                   uint64_t needs, bool too_big, uint64_t now)
{
    struct xfer *x = s->x;
    struct msg_in *in = room_may_try(x, s->peer, slot, needs) ? record_new(s, f, now) : NULL;
    if (!in)
        return false;
    if (too_big) {
        turn_away(s, slot, in, CHI_STATUS_TOO_BIG, now);
        return true;
    }
    bool room = regions_get(x, in, head);
    bool whole = room && in->missing == 0 && !in->streaming && f->inline_length == f->form_length;
    if (room && !whole)
        room = form_keep(x, in, f) == CHI_DROP_NONE;
    if (!room && x->tries >= XFER_STARVED && x->held == in->held) {
        turn_away(s, slot, in, CHI_STATUS_NO_MEMORY, now);
        return true;
    }
    if (!room) {
        slot->in = NULL;
        in_give_back(x, in);
        return false;
    }
    occupy(slot, in);
    if (whole) {
        deliver(x, in, f->bytes); /* the form stays in the packet until the event is fetched */
        return true;
    }
    list_push(&x->idle, &in->link);
    if (f->flags & WIRE_TASK_WAITS)
        grant_begin(in);
    if (in->missing == 0) /* the rest streams */
        deliver(x, in, in->form);
    return true;
}

/* A head that came before may bring more of the form this time. */
static enum chi_drop repeated(struct xfer *x, struct msg_in *in, const struct wire_task_in *f)
{
    if (!in || in->state != IN_RECEIVING)
        return CHI_DROP_NONE;
    if (f->form_length != in->form_length)
        return CHI_DROP_FRAME_VALUE;
    bool was_whole = in->form_have == in->form_length;
    struct place to = {form_bytes(in), in->form_length, &in->form_have, &in->tracks, 0};
    enum chi_drop d = place_bytes(x, &to, 0, f->bytes, f->inline_length);
    if (d != CHI_DROP_NONE)
        return d;
    in->missing -= !was_whole && in->form_have == in->form_length;
    if (in->missing == 0)
        deliver(x, in, in->form);
    return CHI_DROP_NONE;
}

void in_forget(struct xfer_session *s, struct in_slot *slot, enum chi_status why)
{
    room_wait_end(slot);
    struct msg_in *in = slot->in;
    if (!in)
        return;
    struct xfer *x = s->x;
    bool unseen = in->state == IN_QUEUED, running = in->state == IN_RUNNING && !in->internal;
    in_orphan(in, x, why);
    if (unseen) {
        list_remove(&in->link);
        in->peer->stats.tasks_in--;
        in_free(x, in);
    } else if (running) {
        list_to_tail(&x->cancelled, &in->link);
    }
}

enum chi_drop in_task(struct xfer_session *s, const struct wire_task_in *f, uint64_t now)
{
    if (f->slot >= s->x->config.slots)
        return CHI_DROP_SLOT_RANGE;
    struct in_slot *slot = &s->in[f->slot];
    int32_t newer = (int32_t)(f->generation - slot->generation); /* generations wrap */
    if (newer < 0) {
        session_drop(s, CHI_DROP_SLOT_STALE);
        return CHI_DROP_NONE;
    }
    bool ran = !slot->waiting && (!slot->in || slot->in->state != IN_RECEIVING);
    if (newer == 0 && slot != s->x->called && !(XFER_CANARY && ran)) { /* here already, or over: repeated because an ack was lost */
        s->peer->stats.duplicates++;
        return repeated(s->x, slot->in, f);
    }
    struct form_head head;
    if (form_regions(f->bytes, f->inline_length, &head) != CHI_DROP_NONE)
        return CHI_DROP_FORM;
    if (newer > 0)
        in_forget(s, slot, CHI_STATUS_DEADLINE); /* its origin ended it, or the slot would not be in use again */
    slot->generation = f->generation;
    uint64_t needs = needs_of(f, &head);
    bool too_big = is_too_big(s->x, f, &head, needs);
    if (too_big)
        needs = 0; /* only a record, to be refused */
    if (!accept(s, slot, f, &head, needs, too_big, now)) {
        session_drop(s, CHI_DROP_NO_MEMORY);
        room_wait(s, slot, needs);
    }
    return CHI_DROP_NONE;
}

enum chi_drop in_cancel(struct xfer_session *s, const struct wire_cancel *f)
{
    if (f->slot >= s->x->config.slots)
        return CHI_DROP_SLOT_RANGE;
    struct in_slot *slot = &s->in[f->slot];
    s->peer->stats.cancels_rx++;
    if ((int32_t)(f->generation - slot->generation) < 0)
        return CHI_DROP_NONE;
    in_forget(s, slot, CHI_STATUS_DEADLINE);
    slot->generation = f->generation; /* also of one that never came: should it come now, it is not run */
    return CHI_DROP_NONE;
}

/* Bytes came of a region that streams. */
static void streamed(struct xfer *x, struct msg_in *in, bool whole)
{
    in->streaming -= whole;
    if (in->state == IN_RECEIVING)
        return;
    if (in->streaming == 0) {
        grant_end(in);
        if (in->state == IN_RUNNING)
            list_remove(&in->link);
    }
    if (in->state == IN_RUNNING && !list_linked(&in->more))
        list_push(&x->more, &in->more);
}

enum chi_drop in_segment(struct xfer_session *s, const struct wire_segment *f, uint64_t now)
{
    struct xfer *x = s->x;
    if (f->slot >= x->config.slots)
        return CHI_DROP_SLOT_RANGE;
    const struct in_slot *slot = &s->in[f->slot];
    int32_t newer = (int32_t)(f->generation - slot->generation);
    if (newer > 0)
        return CHI_DROP_REGION_UNKNOWN; /* its TASK_IN is not here yet */
    struct msg_in *in = slot->in;
    if (slot->waiting && slot == x->called && newer == 0)
        return CHI_DROP_REGION_UNKNOWN; /* it overtook the TASK_IN with which its message begins again */
    if (slot->waiting && newer == 0) {
        session_drop(s, CHI_DROP_NO_MEMORY); /* it comes again when the message is called */
        return CHI_DROP_NONE;
    }
    if (newer < 0 || !in || !in_receives(in) || (f->region == 0 && in->state != IN_RECEIVING)) {
        if (newer < 0)
            session_drop(s, CHI_DROP_SLOT_STALE);
        else
            s->peer->stats.duplicates++;
        return CHI_DROP_NONE;
    }
    struct place to = {.tracks = &in->tracks, .region = f->region};
    bool streams = false;
    if (f->region == 0) {
        to.base = form_bytes(in);
        to.size = in->form_length;
        to.have = &in->form_have;
    } else {
        if (f->region > in->pub.nregions || !(in->region[f->region - 1].flags & CHI_WRITE))
            return CHI_DROP_REGION_UNKNOWN;
        struct chi_ar_region *r = &in->region[f->region - 1];
        to.base = r->ptr;
        to.size = r->size;
        to.have = &in->part[f->region - 1].have;
        streams = r->flags & CHI_STREAM;
    }
    uint64_t had = *to.have;
    enum chi_drop d = place_bytes(x, &to, f->offset, f->bytes, f->length);
    if (d != CHI_DROP_NONE)
        return d;
    s->peer->stats.segment_bytes_rx += f->length;
    in_moved(x, in, now);
    if (f->region) {
        in->arrived = in->total - in->arrived > f->length ? in->arrived + f->length : in->total;
        grant_arrived(in);
    }
    bool whole = had < to.size && *to.have == to.size;
    if (!streams)
        in->missing -= whole;
    else if (*to.have > had)
        streamed(x, in, whole);
    if (in->state == IN_RECEIVING && in->missing == 0)
        deliver(x, in, in->form);
    return CHI_DROP_NONE;
}
