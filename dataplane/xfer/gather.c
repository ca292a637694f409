/* gather.c - messages of peers as they come: each gets a record, and memory for all of it, is gathered until it is whole, and handed on. */
#include <string.h>

#include "archive/form.h"
#include "xfer_int.h"

#ifndef XFER_CANARY
#define XFER_CANARY 0 /* 1: a planted bug, repeated messages run again; a test must notice (tests/sim) */
#endif

/* Pre: its link is in no list. */
static inline void hand_on(struct xfer *x, struct msg_in *in, const uint8_t *form)
{
    in->form = form;
    in->peer->stats.tasks_in++;
    if (x->task) {
        list_init(&in->link);
        in_run(x, in);
        x->task(x->host.ctx, &in->pub, form, in->form_length);
    } else {
        in->state = IN_QUEUED;
        list_push(&x->tasks, &in->link);
    }
}

static void deliver(struct xfer *x, struct msg_in *in, const uint8_t *form)
{
    if (CHI_LIKELY(!in->streaming))
        grant_end(in);
    list_remove(&in->link);
    hand_on(x, in, form);
}

static uint8_t *form_bytes(struct msg_in *in) { return in->form_memory ? in->form_memory : in->small; }

CHI_INLINE struct msg_in *record_new(struct xfer_session *s, const struct wire_task_in *f, uint64_t now)
{
    struct msg_in *in = pool_try_get(&s->x->ins);
    if (!in)
        return NULL;
    memset(&in->missing, 0, offsetof(struct msg_in, turn) - offsetof(struct msg_in, missing));
    in->turn.place = 0;
    in->pub = (struct xfer_in){.regions = in->region, .node = s->peer->node};
    in->session = s;
    in->peer = s->peer;
    in->peer->stats.open_in++;
    alive_watch(s->x, s->peer);
    in->stamp_ns = now;
    in->slot = f->slot;
    in->generation = f->generation;
    in->form_length = f->form_length;
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
            in_early(in);
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
    if (CHI_UNLIKELY(slot->waiting))
        room_wait_end(slot);
}

/* Answered by the transport: it can never run. */
static void turn_away(struct xfer_session *s, struct in_slot *slot, struct msg_in *in, enum chi_status status, uint64_t now)
{
    occupy(slot, in);
    in->state = IN_RUNNING;
    s->peer->stats.tasks_in++; /* as each task that is answered */
    in_answer_last(s->x, in, status, 0, now);
}

/* Takes a message that was not here before, with memory for all of it.  False: there is no room for the bytes that it needs, and nothing
 * of it was taken. */
__attribute__((noinline)) static bool accept(struct xfer_session *s, struct in_slot *slot, const struct wire_task_in *f,
                                             const struct form_head *head, uint64_t *needs, uint64_t now)
{
    struct xfer *x = s->x;
    *needs = needs_of(f, head);
    bool too_big = is_too_big(x, f, head, *needs);
    if (too_big)
        *needs = 0; /* only a record, to be refused */
    struct msg_in *in = room_may_try(x, s->peer, slot, *needs) ? record_new(s, f, now) : NULL;
    if (!in)
        return false;
    in->state = IN_RECEIVING;
    list_init(&in->link);
    list_init(&in->grant);
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

static bool has_run(const struct in_slot *slot) { return !slot->waiting && (!slot->in || slot->in->state != IN_RECEIVING); }

/* The usual message: no regions, and all of it is in this packet.  It needs a record and nothing else. */
CHI_INLINE bool accept_small(struct xfer_session *s, struct in_slot *slot, const struct wire_task_in *f, uint64_t now)
{
    struct msg_in *in = record_new(s, f, now);
    if (CHI_UNLIKELY(!in))
        return false;
    in->plain = true;
    occupy(slot, in);
    hand_on(s->x, in, f->bytes); /* the form stays in the packet until the event is fetched */
    return true;
}

static inline void begin(struct xfer_session *s, struct in_slot *slot, const struct wire_task_in *f)
{
    if (CHI_UNLIKELY(slot->in || slot->waiting) && slot->generation != f->generation)
        in_forget(s, slot, CHI_STATUS_DEADLINE); /* its origin ended it, or the slot would not be in use again */
    slot->generation = f->generation;
}

/* Not the first frame of its message. */
__attribute__((noinline)) static enum chi_drop old_task(struct xfer_session *s, struct in_slot *slot, const struct wire_task_in *f)
{
    if (f->generation != slot->generation) {
        session_drop(s, CHI_DROP_SLOT_STALE);
        return CHI_DROP_NONE;
    }
    s->peer->stats.duplicates++; /* here already, or over: repeated because an ack was lost */
    return repeated(s->x, slot->in, f);
}

/* Nothing of it was kept. */
static void no_room(struct xfer_session *s, struct in_slot *slot, uint64_t needs)
{
    session_drop(s, CHI_DROP_NO_MEMORY);
    room_wait(s, slot, needs);
}

/* The first frame of a message that has regions, or comes in several. */
__attribute__((noinline)) static enum chi_drop large_task(struct xfer_session *s, struct in_slot *slot, const struct wire_task_in *f, uint64_t now)
{
    struct form_head head;
    uint64_t needs;
    if (form_regions(f->bytes, f->inline_length, &head) != CHI_DROP_NONE)
        return CHI_DROP_FORM;
    begin(s, slot, f);
    if (!accept(s, slot, f, &head, &needs, now))
        no_room(s, slot, needs);
    return CHI_DROP_NONE;
}

enum chi_drop in_task(struct xfer_session *s, const struct wire_task_in *f, uint64_t now)
{
    if (f->slot >= s->x->config.slots)
        return CHI_DROP_SLOT_RANGE;
    struct in_slot *slot = &s->in[f->slot];
    int32_t newer = (int32_t)(f->generation - slot->generation); /* generations wrap */
    bool again = newer == 0 && (slot == s->x->called || (XFER_CANARY && has_run(slot)));
    if (CHI_UNLIKELY(newer <= 0 && !again))
        return old_task(s, slot, f);
    if (CHI_UNLIKELY(f->inline_length != f->form_length || !form_is_plain(f->bytes, f->inline_length)))
        return large_task(s, slot, f, now);
    begin(s, slot, f);
    if (CHI_UNLIKELY(!accept_small(s, slot, f, now)))
        no_room(s, slot, 0);
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
