/* flow.c - the frames of a message, written into packets: its head, its segments, and lost ones again. */
#include <string.h>

#include "xfer_int.h"

enum {
    SEGMENT_LEAST = 256,   /* a region is not cut into smaller pieces only because a packet is nearly full */
    ATTACHED_LEAST = 1024, /* less is copied sooner than attached */
};

CHI_STATIC_ASSERT(XFER_WRITER_MAX + WIRE_HEADER_BYTES + XFER_ACK_ROOM + WIRE_BYTES_TASK_OUT + 8 * WIRE_REGIONS <= WIRE_PACKET_MIN,
                  "what a writer makes fits into each packet");

struct span {
    const uint8_t *base;
    uint64_t size;
};

void flow_init(struct flow *f, bool answer)
{
    list_init(&f->link);
    f->offset = f->passed = 0;
    f->granted = UINT64_MAX;
    f->unasked = 0;
    f->inlined = 0;
    f->turn_bytes = 0;
    f->step = 1;
    f->answer = answer;
    f->head_sent = f->head_acked = f->careful = f->over = f->last = false;
    f->round = 0;
}

void flow_rewind(struct flow *f)
{
    f->step = 1;
    f->passed = 0;
    f->offset = flow_in(f)->part[0].sent;
}

static inline const struct out_slot *const_out(const struct flow *f) { return flow_out((struct flow *)f); }
static inline const struct msg_in *const_in(const struct flow *f) { return flow_in((struct flow *)f); }

static inline uint32_t regions_of(const struct flow *f)
{
    return f->answer ? const_in(f)->pub.nregions : const_out(f)->m->nregions;
}

/* What is sent of a region; size 0: nothing. */
static struct span span_of(const struct flow *f, uint32_t region)
{
    if (f->answer) {
        const struct msg_in *in = const_in(f);
        if (region == 0)
            return (struct span){in->answer.body, in->answer.write ? 0 : in->answer.body_length};
        const struct chi_ar_region *r = &in->region[region - 1];
        if (in->state == IN_RUNNING)
            return (struct span){r->ptr, in->part[region - 1].pushed};
        bool goes = (r->flags & CHI_EXPOSE) && in->answer.status == CHI_STATUS_OK;
        return (struct span){r->ptr, goes ? r->used : 0};
    }
    const struct xfer_out *m = const_out(f)->m;
    if (region == 0)
        return (struct span){m->form, m->write ? 0 : m->form_length};
    const struct chi_ar_region *r = &m->regions[region - 1];
    return (struct span){r->ptr, r->flags & CHI_WRITE ? r->size : 0};
}

static inline uint32_t region_of(uint32_t step, uint32_t n) { return step <= n ? step : 0; }

/* Where a step begins. */
static inline uint64_t begin_of(const struct flow *f, uint32_t step, uint32_t n)
{
    return step > n ? f->inlined : f->answer ? const_in(f)->part[step - 1].sent : 0;
}

/* The rest of a form finds no place at the peer before its head; an answer's head can be refused for lack of memory. */
static inline bool form_may_go(const struct flow *f) { return f->answer ? f->head_acked : f->head_sent; }

bool flow_left_now(struct flow *f)
{
    uint32_t n = regions_of(f);
    while (f->step <= n + 1) {
        if (f->step == n + 1 && !form_may_go(f))
            return false;
        uint64_t size = span_of(f, region_of(f->step, n)).size;
        if (f->offset < size)
            return f->step == n + 1 || f->passed + f->offset < f->granted;
        if (f->step <= n)
            f->passed += size;
        f->step++;
        f->offset = begin_of(f, f->step, n);
    }
    return false;
}

uint64_t flow_rest(const struct flow *f)
{
    uint32_t n = regions_of(f);
    uint64_t sum = 0;
    for (uint32_t step = f->step; step <= n + form_may_go(f); step++) {
        uint64_t size = span_of(f, region_of(step, n)).size;
        uint64_t from = step == f->step ? f->offset : begin_of(f, step, n);
        if (from < size)
            sum += size - from + WIRE_BYTES_SEGMENT;
    }
    return sum;
}

/* --- writing */

static void link_ref(struct xfer_session *s, struct pack *k, uint32_t ref, const struct frame_ref *r)
{
    s->sent.refs[ref] = *r;
    s->sent.refs[ref].next = k->refs;
    k->refs = ref;
}

static void add_ref(struct xfer_session *s, struct flow *f, struct pack *k, uint32_t ref, const struct frame_ref *r)
{
    struct frame_ref *to = &s->sent.refs[ref];
    link_ref(s, k, ref, r);
    to->answer = f->answer;
    if (f->answer) {
        struct msg_in *in = flow_in(f);
        to->slot = in->slot;
        to->generation = in->generation;
        in->unacked++;
    } else {
        const struct out_slot *o = flow_out(f);
        to->slot = o->index;
        to->generation = o->generation;
        to->round = f->round;
    }
}

/* Counts who refers to the segment's bytes, when they fill the packet and may go from where they lie; NULL: they are copied.  Not of a
 * region that the answer comes into. */
static uint32_t *attached(const struct xfer_session *s, struct flow *f, const struct pack *k, const struct frame_ref *r)
{
    if (r->length < ATTACHED_LEAST || k->at + r->length < k->end || !r->region)
        return NULL;
    if (f->answer)
        return attach_may(s) ? &flow_in(f)->tails : NULL;
    struct xfer_out *m = flow_out(f)->m;
    return m->steady && !(m->regions[r->region - 1].flags & CHI_EXPOSE) && attach_may(s) ? &m->tails : NULL;
}

static void write_segment(struct xfer_session *s, struct flow *f, struct pack *k, const struct frame_ref *r, const uint8_t *base)
{
    struct wire_segment w = {
        .offset = r->offset,
        .slot = r->slot,
        .generation = r->generation,
        .length = (uint16_t)r->length,
        .region = r->region,
        .flags = r->answer ? WIRE_SEGMENT_OUT : 0,
    };
    k->at += (uint32_t)wire_put_segment(k->p + k->at, &w);
    s->peer->stats.segment_bytes_tx += r->length;
    k->tail_users = attached(s, f, k, r);
    if (k->tail_users) {
        k->tail = base + r->offset;
        k->tail_length = r->length;
        s->peer->stats.attached_bytes_tx += r->length;
    } else {
        memcpy(k->p + k->at, base + r->offset, r->length);
    }
    k->at += r->length;
}

/* How much of `left` bytes goes into the packet; 0: too little. */
static uint32_t fitting(const struct pack *k, uint64_t left)
{
    uint32_t room = k->end - k->at;
    if (room <= WIRE_BYTES_SEGMENT)
        return 0;
    room -= WIRE_BYTES_SEGMENT;
    if (left <= room)
        return (uint32_t)left;
    return room >= SEGMENT_LEAST ? room : 0;
}

bool flow_segment(struct xfer_session *s, struct flow *f, struct pack *k)
{
    if (!flow_left(f))
        return false;
    uint32_t region = region_of(f->step, regions_of(f));
    struct span span = span_of(f, region);
    uint64_t left = span.size - f->offset;
    if (region && left > f->granted - f->passed - f->offset)
        left = f->granted - f->passed - f->offset;
    uint32_t length = fitting(k, left);
    uint32_t ref = length ? sentmap_ref_get(&s->sent) : SENTMAP_NONE;
    if (ref == SENTMAP_NONE)
        return false;
    struct frame_ref r = {.offset = f->offset, .length = length, .type = WIRE_FRAME_SEGMENT, .region = (uint8_t)region};
    add_ref(s, f, k, ref, &r);
    write_segment(s, f, k, &s->sent.refs[ref], span.base);
    f->offset += length;
    if (f->answer && region)
        flow_in(f)->part[region - 1].sent = f->offset;
    f->turn_bytes += length;
    return true;
}

static uint32_t put_task_in(const struct out_slot *o, uint8_t *p, uint32_t form_length, uint32_t inlined)
{
    struct wire_task_in w = {
        .slot = o->index,
        .generation = o->generation,
        .form_length = form_length,
        .inline_length = (uint16_t)inlined,
        .flags = o->flow.granted == UINT64_MAX ? 0 : WIRE_TASK_WAITS,
    };
    return (uint32_t)wire_put_task_in(p, &w) + inlined;
}

static inline uint32_t answer_regions(const struct msg_in *in)
{
    return in->answer.status == CHI_STATUS_OK ? in->exposed : 0;
}

static uint32_t put_task_out(const struct msg_in *in, uint8_t *p, uint32_t form_length, uint32_t inlined)
{
    struct wire_task_out w;
    w.slot = in->slot;
    w.generation = in->generation;
    w.form_length = form_length;
    w.inline_length = (uint16_t)inlined;
    w.status = (uint16_t)in->answer.status;
    w.regions = 0;
    if (answer_regions(in))
        for (uint32_t i = 0; i < in->pub.nregions; i++)
            if (in->region[i].flags & CHI_EXPOSE)
                w.used[w.regions++] = in->region[i].used;
    return (uint32_t)wire_put_task_out(p, &w) + inlined;
}

uint32_t flow_answer_head(const struct flow *f)
{
    const struct msg_in *in = const_in(f);
    uint32_t body = in->answer.write ? 64 : in->answer.body_length;
    return WIRE_BYTES_TASK_OUT + 8 * answer_regions(in) + body;
}

/* How many bytes of a form of `length` go with the head when there is room for `cap`; false: it waits for the next packet. */
static bool cut(uint32_t length, uint32_t cap, bool whole_packet, uint32_t *inlined)
{
    if (length > cap && !whole_packet)
        return false;
    *inlined = length < cap ? length : cap;
    return true;
}

/* Copies an answer's body; where there is room for LAST_MOVES bytes, so many, with a few moves: what is behind it is not sent. */
static inline void copy_last(uint8_t *to, const uint8_t *small, uint32_t length, uint32_t room)
{
    enum { LAST_MOVES = 32 };
    CHI_STATIC_ASSERT((int)LAST_MOVES <= (int)XFER_ANSWER_SMALL, "they are there to read");
    if (CHI_LIKELY(length <= LAST_MOVES && room >= LAST_MOVES))
        memcpy(to, small, LAST_MOVES);
    else
        memcpy(to, small, length);
}

static bool put_last(struct xfer_session *s, struct msg_in *in, struct pack *k)
{
    uint32_t length = in->answer.body_length, slot = in->slot, generation = in->generation, room = k->end - k->at;
    uint32_t ref = room >= WIRE_BYTES_TASK_OUT + length ? sentmap_ref_get(&s->sent) : SENTMAP_NONE;
    if (CHI_UNLIKELY(ref == SENTMAP_NONE))
        return false;
    uint8_t *p = k->p + k->at;
    copy_last(p + WIRE_BYTES_TASK_OUT, in->small, length, room - WIRE_BYTES_TASK_OUT);
    k->at += (uint32_t)wire_put_task_out_whole(p, slot, generation, length, (uint16_t)in->answer.status) + length;
    s->sent.refs[ref] = (struct frame_ref){
        .slot = slot, .generation = generation, .length = length, .next = k->refs, .type = WIRE_FRAME_TASK_OUT, .answer = true};
    k->refs = ref;
    in->unacked++;
    in->flow.head_sent = true;
    return true;
}

void flow_lasts(struct xfer_session *s, struct pack *k)
{
    struct link *l = s->fresh.next;
    while (l != &s->fresh && LIST_ENTRY(l, struct flow, link)->last && put_last(s, flow_in(LIST_ENTRY(l, struct flow, link)), k)) {
        struct link *next = l->next;
        list_init(l);
        l = next;
    }
    s->fresh.next = l;
    l->prev = &s->fresh;
}

enum flow_put flow_head(struct xfer_session *s, struct flow *f, struct pack *k)
{
    struct out_slot *o = f->answer ? NULL : flow_out(f);
    struct msg_in *in = f->answer ? flow_in(f) : NULL;
    uint32_t fixed = in ? WIRE_BYTES_TASK_OUT + 8 * answer_regions(in) : WIRE_BYTES_TASK_IN;
    uint32_t room = k->end - k->at;
    bool whole_packet = room >= k->limit; /* there will never be more room than here */
    if (whole_packet)
        room = k->limit;
    if (room < fixed || !s->sent.free_count)
        return FLOW_FULL;
    uint8_t *p = k->p + k->at, *to = p + fixed;
    uint32_t cap = room - fixed, inlined, length;
    if (in ? in->answer.write != NULL : o->m->write != NULL) {
        inlined = length = (uint32_t)(in ? in->answer.write(&in->pub, to, cap) : o->m->write(o->m, to, cap));
        CHI_ASSERT(inlined <= cap);
        if (inlined == 0 && !whole_packet)
            return FLOW_FULL;
        if (inlined == 0 && !in)
            return FLOW_TOO_BIG; /* of an answer: an empty body */
    } else {
        length = in ? in->answer.body_length : o->m->form_length;
        if (!cut(length, cap, whole_packet, &inlined))
            return FLOW_FULL;
        if (inlined)
            memcpy(to, in ? in->answer.body : o->m->form, inlined);
    }
    k->at += in ? put_task_out(in, p, length, inlined) : put_task_in(o, p, length, inlined);
    struct frame_ref r = {.length = inlined, .type = in ? WIRE_FRAME_TASK_OUT : WIRE_FRAME_TASK_IN};
    add_ref(s, f, k, sentmap_ref_get(&s->sent), &r);
    f->inlined = inlined;
    f->head_sent = true;
    if (f->step == regions_of(f) + 1) {
        f->offset = inlined;
        f->over = inlined == length;
    }
    if (o) {
        o->sent = true;
        o->owes = false;
    }
    return FLOW_DONE;
}

/* --- again */

/* A GRANT is wanted until it was superseded, a CANCEL until its slot is in use again. */
static bool notice_live(struct xfer_session *s, const struct frame_ref *r)
{
    if (r->type == WIRE_FRAME_CANCEL)
        return s->out[r->slot].generation == r->generation;
    const struct in_slot *slot = &s->in[r->slot];
    if (slot->generation != r->generation)
        return false;
    if (slot->in)
        return in_receives(slot->in) && slot->in->granted == r->offset;
    return slot == s->x->called && !s->x->call_due;
}

static bool is_notice(const struct frame_ref *r) { return r->type == WIRE_FRAME_GRANT || r->type == WIRE_FRAME_CANCEL; }

bool flow_ref_live(struct xfer_session *s, const struct frame_ref *r)
{
    if (is_notice(r))
        return notice_live(s, r);
    if (r->answer) {
        const struct msg_in *in = s->in[r->slot].in;
        return in && in->generation == r->generation && in->state >= IN_RUNNING; /* running: pushed */
    }
    const struct out_slot *o = &s->out[r->slot];
    return o->m && o->generation == r->generation && o->flow.round == r->round && !o->answered;
}

/* Makes it due again. */
static void notice_lost(struct xfer_session *s, const struct frame_ref *r)
{
    if (r->type == WIRE_FRAME_CANCEL) {
        struct flow *f = &s->out[r->slot].flow;
        if (++f->round <= XFER_CANCELS && !list_linked(&f->link))
            list_push(&s->cancels, &f->link);
        s->notices = true;
        return;
    }
    s->notices = true;
    struct msg_in *in = s->in[r->slot].in;
    if (!in)
        s->x->call_due = true;
    else if (!list_linked(&in->grant))
        list_push(&s->grants, &in->grant);
}

static bool put_grant(struct xfer_session *s, struct pack *k, const struct wire_grant *w)
{
    uint32_t ref = k->end - k->at >= WIRE_BYTES_GRANT ? sentmap_ref_get(&s->sent) : SENTMAP_NONE;
    if (ref == SENTMAP_NONE)
        return false;
    k->at += (uint32_t)wire_put_grant(k->p + k->at, w);
    link_ref(s, k, ref,
             &(struct frame_ref){.type = WIRE_FRAME_GRANT, .slot = w->slot, .generation = w->generation, .offset = w->bytes});
    *(w->flags & WIRE_GRANT_AGAIN ? &s->peer->stats.calls_tx : &s->peer->stats.grants_tx) += 1;
    return true;
}

static bool put_cancel(struct xfer_session *s, struct pack *k, const struct out_slot *o)
{
    uint32_t ref = k->end - k->at >= WIRE_BYTES_CANCEL ? sentmap_ref_get(&s->sent) : SENTMAP_NONE;
    if (ref == SENTMAP_NONE)
        return false;
    k->at += (uint32_t)wire_put_cancel(k->p + k->at, &(struct wire_cancel){.slot = o->index, .generation = o->generation});
    link_ref(s, k, ref, &(struct frame_ref){.type = WIRE_FRAME_CANCEL, .slot = o->index, .generation = o->generation});
    s->peer->stats.cancels_tx++;
    return true;
}

void flow_notices(struct xfer_session *s, struct pack *k)
{
    struct xfer *x = s->x;
    if (s->ping_due) /* it is the first: there is room; and nobody needs it again: it is not kept for a repetition */
        k->at += (uint32_t)wire_put_ping(k->p + k->at);
    s->ping_due = false;
    if (x->call_due && x->called && x->called->session == s) {
        struct wire_grant w = {.slot = (uint32_t)(x->called - s->in), .generation = x->called->generation, .flags = WIRE_GRANT_AGAIN};
        if (!put_grant(s, k, &w))
            return;
        x->call_due = false;
    }
    while (!list_empty(&s->grants)) {
        struct msg_in *in = LIST_ENTRY(s->grants.next, struct msg_in, grant);
        if (!put_grant(s, k, &(struct wire_grant){.slot = in->slot, .generation = in->generation, .bytes = in->granted}))
            return;
        list_remove(&in->grant);
    }
    while (!list_empty(&s->cancels)) {
        struct flow *f = LIST_ENTRY(s->cancels.next, struct flow, link);
        if (!put_cancel(s, k, flow_out(f)))
            return;
        list_remove(&f->link);
    }
    s->notices = false;
}

void flow_acked(struct xfer_session *s, const struct frame_ref *r, uint64_t now)
{
    if (is_notice(r))
        return;
    bool head = r->type != WIRE_FRAME_SEGMENT;
    struct flow *f = r->answer ? &s->in[r->slot].in->flow : &s->out[r->slot].flow;
    f->head_acked |= head;
    if (head && !list_linked(&f->link) && flow_left(f))
        list_push(&s->bulk, &f->link);
    if (f->answer)
        in_frame_acked(flow_in(f), s->x, now);
}

/* The message begins again with its head; frames of the rounds before are forgotten. */
static void begin_again(struct xfer_session *s, struct flow *f, bool careful)
{
    uint8_t round = (uint8_t)(f->round + 1);
    uint64_t granted = f->granted;
    uint32_t unasked = f->unasked;
    list_remove(&f->link);
    flow_init(f, false);
    f->round = round;
    f->granted = granted;
    f->unasked = unasked;
    f->careful = careful;
    list_push(&s->again, &f->link);
}

void flow_again_whole(struct xfer_session *s, struct flow *f) { begin_again(s, f, false); }

bool flow_lost(struct xfer_session *s, uint32_t ref)
{
    const struct frame_ref *r = &s->sent.refs[ref];
    if (is_notice(r)) {
        notice_lost(s, r);
        return true;
    }
    if (r->type == WIRE_FRAME_TASK_IN) { /* what followed it found no place at the peer */
        begin_again(s, &s->out[r->slot].flow, true);
        return true;
    }
    sentmap_lost_push(&s->sent, ref);
    return false;
}

static void take_lost(struct xfer_session *s, struct pack *k)
{
    uint32_t ref = sentmap_lost_pop(&s->sent);
    s->sent.refs[ref].next = k->refs;
    k->refs = ref;
}

/* No reference is left for a part of a lost segment: the flow goes back to it, and sends all from there once more. */
static void go_back(struct xfer_session *s, struct flow *f, const struct frame_ref *r)
{
    uint8_t step = r->region ? r->region : (uint8_t)(regions_of(f) + 1);
    if (f->answer && r->region && r->offset < flow_in(f)->part[r->region - 1].sent)
        flow_in(f)->part[r->region - 1].sent = r->offset; /* a later push begins there too */
    if (step < f->step || (step == f->step && r->offset < f->offset)) {
        f->step = step;
        f->offset = r->offset;
        f->over = false;
        f->passed = 0;
        for (uint32_t region = 1; region < step; region++)
            f->passed += span_of(f, region).size;
    }
    if (!list_linked(&f->link))
        list_push(&s->bulk, &f->link);
    if (f->answer)
        flow_in(f)->unacked--;
    sentmap_ref_put(&s->sent, sentmap_lost_pop(&s->sent));
}

static enum flow_put segment_again(struct xfer_session *s, struct flow *f, struct frame_ref *r, struct pack *k)
{
    uint32_t length = fitting(k, r->length);
    if (!length)
        return FLOW_FULL;
    const uint8_t *base = span_of(f, r->region).base;
    if (length == r->length) {
        write_segment(s, f, k, r, base);
        take_lost(s, k);
        return FLOW_DONE;
    }
    uint32_t part = sentmap_ref_get(&s->sent);
    if (part == SENTMAP_NONE) {
        go_back(s, f, r);
        return FLOW_DONE;
    }
    struct frame_ref first = *r;
    first.length = length;
    add_ref(s, f, k, part, &first);
    write_segment(s, f, k, &first, base);
    r->offset += length;
    r->length -= length;
    return FLOW_DONE;
}

/* The rest of the body follows as segments, of which none went yet: they wait until the head is acknowledged. */
static void answer_cut(struct flow *f, struct frame_ref *head, uint32_t inlined)
{
    head->length = f->inlined = inlined;
    f->over = false;
    if (f->step > regions_of(f)) {
        f->step = (uint8_t)(regions_of(f) + 1);
        f->offset = inlined;
    }
}

static enum flow_put answer_again(struct xfer_session *s, struct msg_in *in, struct frame_ref *r, struct pack *k)
{
    uint32_t fixed = WIRE_BYTES_TASK_OUT + 8 * answer_regions(in);
    uint8_t *p = k->p + k->at, *to = p + fixed;
    if (fixed + r->length > k->limit) /* packets were longer when it went */
        answer_cut(&in->flow, r, k->limit - fixed);
    uint32_t length = r->length;
    if (k->end - k->at < fixed + length)
        return FLOW_FULL;
    if (!in->internal && in->answer.write) {
        size_t n = in->answer.write(&in->pub, to, length);
        CHI_ASSERT(n == length); /* the same bytes each time */
    } else {
        if (length)
            memcpy(to, in->internal ? in->small : in->answer.body, length);
        length = in->answer.body_length;
    }
    k->at += put_task_out(in, p, length, r->length);
    take_lost(s, k);
    return FLOW_DONE;
}

enum flow_put flow_again(struct xfer_session *s, struct pack *k)
{
    struct frame_ref *r = &s->sent.refs[s->sent.lost];
    if (!flow_ref_live(s, r)) {
        sentmap_ref_put(&s->sent, sentmap_lost_pop(&s->sent));
        return FLOW_DONE;
    }
    struct flow *f = r->answer ? &s->in[r->slot].in->flow : &s->out[r->slot].flow;
    return r->type == WIRE_FRAME_SEGMENT ? segment_again(s, f, r, k) : answer_again(s, flow_in(f), r, k);
}
