/* msg_in.c - messages of peers that are here: handed out once, answered, forgotten.  gather.c: how they come. */
#include "xfer_int.h"

void in_give_back(struct xfer *x, struct msg_in *in)
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
    if (in->state == IN_ANSWERING)
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

void in_early(struct msg_in *in)
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
    if (!in->plain)
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

static inline void answering(struct xfer *x, struct msg_in *in, uint64_t now)
{
    if (CHI_UNLIKELY(in->early))
        early_end(x, in);
    in->state = IN_ANSWERING;
    in->stamp_ns = now;
    list_push(&x->idle, &in->link);
    in->peer->stats.answers_out++;
}

void in_answer(struct xfer *x, struct msg_in *in, const struct xfer_answer *a, uint64_t now)
{
    CHI_ASSERT(in->state == IN_RUNNING);
    struct xfer_session *s = in->session;
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
    answering(x, in, now);
    flow_init(&in->flow, true);
    if (CHI_UNLIKELY(in->early))
        flow_rewind(&in->flow);
    list_push(&s->fresh, &in->flow.link);
    session_wake(s);
}

void in_answer_last(struct xfer *x, struct msg_in *in, enum chi_status status, uint32_t length, uint64_t now)
{
    CHI_ASSERT(in->state == IN_RUNNING && length <= sizeof in->small);
    CHI_ASSERT(status == CHI_STATUS_OK ? !in->pub.nregions : !length);
    struct xfer_session *s = in->session;
    in->internal = true;
    if (CHI_UNLIKELY(!s)) {
        end(x, in);
        return;
    }
    in->answer.status = status;
    in->answer.body_length = length; /* the body is in the record */
    answering(x, in, now);
    in->flow.answer = in->flow.over = in->flow.last = true; /* nothing comes behind its head */
    in->flow.head_sent = false;
    list_push(&s->fresh, &in->flow.link);
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
    in_early(in);
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

bool in_last_acked(struct in_slot *slot, struct xfer *x)
{
    struct msg_in *in = slot->in;
    if (CHI_UNLIKELY(!in->plain)) {
        end(x, in);
        return false;
    }
    slot->in = NULL;
    list_drop(&in->link);
    in->peer->stats.open_in--;
    pool_put(&x->ins, in);
    return true;
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

void in_run(struct xfer *x, struct msg_in *in)
{
    in->state = IN_RUNNING;
    if (CHI_UNLIKELY(in->streaming)) {
        in->stamp_ns = x->now_ns;
        list_push(in->session ? &x->idle : &x->cancelled, &in->link);
    }
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
