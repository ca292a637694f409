/* xfer_tasks.h - the tasks of fuzz_xfer.c: sent, run, answered, and the checks on how they end. */
#pragma once
#include "xfer_world.h"

/* --- tasks of ours */

static struct sub *sub_of(struct xfer_out *m)
{
    return (struct sub *)(void *)((uint8_t *)m - offsetof(struct sub, out));
}

static size_t form_writer(struct xfer_out *m, uint8_t *dst, size_t cap)
{
    const struct sub *s = sub_of(m);
    if (s->form_length > cap)
        return 0;
    memcpy(dst, s->form, s->form_length);
    return s->form_length;
}

static void region_fill(struct sub *s, uint32_t k)
{
    static const uint32_t sizes[] = {0, 1, 64, 1000, 2500, 6000, 20000, MEMORY_LARGEST + 1};
    uint8_t b = byte();
    struct chi_ar_region *r = &s->region[k];
    *r = (struct chi_ar_region){.size = sizes[b % 8], .flags = 1 + b / 8 % 3};
    if (b & 0x80 && r->flags & CHI_WRITE)
        r->flags |= CHI_STREAM;
    s->buffer[k] = malloc(r->size + 2 * GUARD);
    memset(s->buffer[k], FILL_BYTE, r->size + 2 * GUARD);
    r->ptr = s->buffer[k] + GUARD;
}

static void send_task(struct endpoint *e)
{
    static const uint32_t lengths[] = {0, 1, 40, 96, 500, 1100, 2000, 5000};
    struct sub *s = subs;
    while (s < subs + SUBS && s->from)
        s++;
    uint8_t how = byte(), shape = byte();
    uint32_t node = how % 8 < 4 ? NODES - e->node : how % 8 < 7 ? (uint32_t)NODES : (uint32_t)how;
    if (s == subs + SUBS)
        return;
    memset(s, 0, sizeof *s);
    memset(s->region, POISON, sizeof s->region);
    s->from = e;
    struct form_head h = {.query = {CHI_QUERY_LOCAL, 0, 0}, .regions = shape % (REGIONS + 1)};
    for (uint32_t k = 0; k < h.regions; k++) {
        region_fill(s, k);
        h.region[k] = (struct form_region){.size = s->region[k].size, .flags = s->region[k].flags};
    }
    s->form_length = form_prefix_bytes(h.regions) + lengths[shape / 8 % 8];
    s->form = malloc(s->form_length);
    memset(s->form, FILL_BYTE, s->form_length);
    form_encode(s->form, &h);
    s->out.regions = s->region;
    s->out.nregions = h.regions;
    s->out.deadline_ns = how & 8 ? now + (number() << 12) : UINT64_MAX;
    s->out.steady = how & 32;
    if (how & 16) {
        s->out.write = form_writer;
    } else {
        s->out.form = s->form;
        s->out.form_length = s->form_length;
    }
    xfer_send(e->x, node, &s->out, now);
}

static void sub_free(struct sub *s)
{
    for (uint32_t k = 0; k < s->out.nregions; k++)
        free(s->buffer[k]);
    free(s->form);
    memset(s, 0xee, sizeof *s); /* not even its record is read again */
    s->from = NULL;
}

static void done(struct endpoint *e, const struct xfer_event *ev)
{
    struct sub *s = sub_of(ev->out);
    CHI_ASSERT(s >= subs && s < subs + SUBS && s->from == e);
    CHI_ASSERT(chi_status_known((uint16_t)ev->status) && ev->status != CHI_STATUS_PENDING);
    CHI_ASSERT(ev->length <= CHI_FORM_BYTES_MAX && (ev->status == CHI_STATUS_OK || ev->length == 0));
    touch(ev->bytes, ev->length);
    for (uint32_t k = 0; k < s->out.nregions; k++) {
        const struct chi_ar_region *r = &s->region[k];
        uint64_t checked = r->flags & CHI_EXPOSE ? 0 : r->size;
        CHI_ASSERT(r->used <= r->size && (r->used == 0 || (!checked && ev->status == CHI_STATUS_OK)));
        CHI_ASSERT(all_are(s->buffer[k], GUARD + checked, FILL_BYTE));
        CHI_ASSERT(all_are(s->buffer[k] + GUARD + r->size, GUARD, FILL_BYTE));
    }
    sub_free(s);
}

/* --- tasks that come in */

static size_t body_writer(struct xfer_in *in, uint8_t *dst, size_t cap)
{
    const struct job *j = in->user;
    if (j->body_length > cap)
        return 0;
    memset(dst, FILL_BYTE, j->body_length);
    return j->body_length;
}

static void answer(struct endpoint *e, struct job *j, uint8_t how)
{
    static const uint32_t lengths[] = {0, 1, 40, 64, 65, 900, 1200, ANSWER_MAX};
    struct xfer_answer a = {.status = how & 0x80 ? CHI_STATUS_MODULE : CHI_STATUS_OK};
    j->body_length = lengths[how % 8];
    a.body_length = j->body_length;
    if ((how & 8) && j->body_length <= XFER_WRITER_MAX)
        a.write = body_writer;
    else
        a.body = j->body = calloc(1, j->body_length + 1);
    for (uint32_t k = 0; k < j->in->nregions; k++) {
        struct chi_ar_region *r = &j->in->regions[k];
        if (!(r->flags & CHI_EXPOSE))
            continue;
        r->used = how & 16 ? r->size : r->size / 3;
        memset(r->ptr, FILL_BYTE, r->size);
    }
    if ((how & 0x60) == 0x60 && j->in->nregions)
        j->in->regions[0].used = j->in->regions[0].size + 1; /* a module's mistake */
    j->answered = true;
    bool ok = a.status == CHI_STATUS_OK;
    if (!(how & 0x20) || (ok && (j->in->nregions || a.body_length > XFER_ANSWER_SMALL))) {
        xfer_answer(e->x, j->in, &a, now);
        return;
    }
    memset(xfer_answer_room(j->in), FILL_BYTE, XFER_ANSWER_SMALL);
    xfer_answer_last(e->x, j->in, a.status, ok ? a.body_length : 0, now);
    free(j->body);
    *j = (struct job){0};
}

/* What is there of the inputs. */
static void inputs(const struct xfer_in *in)
{
    for (uint32_t k = 0; k < in->nregions; k++) {
        const struct chi_ar_region *r = &in->regions[k];
        uint64_t ready = xfer_ready(in, k);
        CHI_ASSERT(ready == r->size || (ready < r->size && r->flags & CHI_STREAM));
        touch(r->ptr, ready);
    }
}

static void push(struct endpoint *e, uint8_t how)
{
    struct job *j = e->jobs;
    while (j < e->jobs + JOBS && (!j->in || j->answered))
        j++;
    for (uint32_t k = 0; j < e->jobs + JOBS && k < j->in->nregions; k++)
        if (j->in->regions[k].flags & CHI_EXPOSE) {
            uint64_t most = xfer_ready(j->in, k);
            memset(j->in->regions[k].ptr, FILL_BYTE, most);
            xfer_push(e->x, j->in, k, most * how / 255, now);
        }
}

static void task(struct endpoint *e, const struct xfer_event *ev)
{
    struct form_head h;
    struct job *j = e->jobs;
    while (j < e->jobs + JOBS && j->in)
        j++;
    CHI_ASSERT(j < e->jobs + config.messages_in);
    if (form_decode(ev->bytes, ev->length, &h) != CHI_DROP_NONE) { /* only its regions are known to be sound */
        CHI_ASSERT(form_regions(ev->bytes, ev->length, &h) == CHI_DROP_NONE && h.regions == ev->in->nregions);
        xfer_answer_last(e->x, ev->in, CHI_STATUS_ARCHIVE, 0, now);
        return;
    }
    CHI_ASSERT(h.regions == ev->in->nregions);
    CHI_ASSERT(ev->node == ev->in->node && ev->node != e->node && ev->length <= CHI_FORM_BYTES_MAX);
    touch(ev->bytes, ev->length);
    for (uint32_t k = 0; k < h.regions; k++) {
        const struct chi_ar_region *r = &ev->in->regions[k];
        CHI_ASSERT(r->size == h.region[k].size && r->flags == h.region[k].flags && r->size <= MEMORY_LARGEST);
        CHI_ASSERT(r->ptr && r->used == 0);
    }
    inputs(ev->in);
    *j = (struct job){.in = ev->in};
    ev->in->user = j;
    uint8_t how = byte();
    if (how & 1)
        answer(e, j, how >> 1);
}

static void take_task(void *ctx, struct xfer_in *in, const uint8_t *form, uint32_t length)
{
    task(ctx, &(struct xfer_event){.kind = XFER_TASK, .node = in->node, .in = in, .bytes = form, .length = length});
}

static void answered(struct endpoint *e, const struct xfer_event *ev)
{
    struct job *j = ev->in->user;
    CHI_ASSERT(j >= e->jobs && j < e->jobs + JOBS && j->in == ev->in && j->answered);
    free(j->body);
    j->in = NULL;
}

static void drain(struct endpoint *e)
{
    struct xfer_event ev;
    while (xfer_next_event(e->x, &ev)) {
        switch ((enum xfer_event_kind)ev.kind) {
        case XFER_TASK:
            task(e, &ev);
            continue;
        case XFER_DONE:
            done(e, &ev);
            continue;
        case XFER_ANSWERED:
            answered(e, &ev);
            continue;
        case XFER_CANCELLED:
            CHI_ASSERT(((struct job *)ev.in->user)->in == ev.in && !((struct job *)ev.in->user)->answered && ev.status);
            continue;
        case XFER_MORE:
            CHI_ASSERT(((struct job *)ev.in->user)->in == ev.in && !((struct job *)ev.in->user)->answered);
            inputs(ev.in);
            continue;
        case XFER_PEER_UP:
        case XFER_PEER_DOWN:
            CHI_ASSERT(ev.node != e->node && ev.incarnation);
            continue;
        }
        CHI_ASSERT(!"an event of no kind");
    }
}

static void answer_next(struct endpoint *e, bool all)
{
    for (struct job *j = e->jobs; j < e->jobs + JOBS; j++)
        if (j->in && !j->answered) {
            answer(e, j, byte());
            if (!all)
                break;
        }
    drain(e);
}
