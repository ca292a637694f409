/* submit.c - serialises a task straight into its slot, or into its cookie's area, and publishes it. */
#include <unistd.h>

#include "internal.h"

/* Where a region lies in the segment; no bytes lie anywhere. */
static uint64_t place_of(void *ctx, const void *ptr, uint64_t size)
{
    const struct chi_client *c = ctx;
    if (size == 0)
        return c->bulk_offset;
    uint64_t offset = (uint64_t)((uintptr_t)ptr - (uintptr_t)c->base); /* below base: wraps to more than size */
    if (offset < c->bulk_offset || !chi_span_ok(offset - c->bulk_offset, size, c->bulk_bytes))
        return FORM_NO_PLACE;
    return offset;
}

/* Of the task's answer. */
static inline uint32_t bound_answer(struct chi_task *task)
{
    uint32_t out = bound_out(task->method);
    if (CHI_LIKELY(!task->replicas))
        return out;
    task->replicas->count = 0;
    return bound_many(out, task->replicas->cap);
}

static enum chi_status save_inline(struct chi_client *c, struct shm_submit *s, uint32_t cookie, struct chi_task *task)
{
    enum chi_status st;
    size_t n = form_save(s->bytes, SHM_INLINE, task, &c->regions[cookie * CHI_REGIONS_MAX], &c->open[cookie].nregions,
                         place_of, c, &st);
    s->cookie = cookie;
    s->length = (uint16_t)n;
    s->flags = 0;
    return st;
}

static enum chi_status save_external(struct chi_client *c, struct shm_submit *s, uint32_t cookie, struct chi_task *task)
{
    struct open_task *o = &c->open[cookie];
    uint32_t in = bound_in(task->method), out = bound_answer(task);
    enum chi_status st;
    size_t n;
    for (;;) {
        if (!area_reserve(c, o, in > out ? in : out))
            return CHI_STATUS_NO_MEMORY;
        n = form_save(c->base + o->area->offset, in, task, &c->regions[cookie * CHI_REGIONS_MAX], &o->nregions,
                      place_of, c, &st);
        /* Only a form that is written by hand can be larger than its bound. */
        if (st != CHI_STATUS_TOO_BIG || in == CHI_FORM_BYTES_MAX || !task->method->serialize_in)
            break;
        in = CHI_FORM_BYTES_MAX;
    }
    if (st != CHI_STATUS_OK)
        return st;
    s->cookie = cookie;
    s->length = 0;
    s->flags = SHM_EXTERNAL;
    memset(&s->external, 0, sizeof s->external);
    s->external.form_offset = s->external.answer_offset = o->area->offset;
    s->external.form_length = (uint32_t)n;
    s->external.answer_cap = (uint32_t)o->area->size;
    return CHI_STATUS_OK;
}

static enum chi_status save(struct chi_client *c, struct shm_submit *s, uint32_t cookie, struct chi_task *task)
{
    if (CHI_UNLIKELY(!task->method))
        return CHI_STATUS_INVALID;
    if (CHI_LIKELY(bound_answer(task) <= SHM_COMPLETE_INLINE)) {
        enum chi_status st = save_inline(c, s, cookie, task);
        if (CHI_LIKELY(st != CHI_STATUS_TOO_BIG))
            return st;
    }
    return save_external(c, s, cookie, task);
}

/* Wakes the daemon from the sleep of that number, at most once for each; 0: it is awake. */
static inline void daemon_ring(struct chi_client *c, uint32_t number)
{
    if (CHI_LIKELY(number == 0 || number == c->rung))
        return;
    c->rung = number;
    const uint64_t one = 1;
    ssize_t n = write(c->worker_event, &one, sizeof one);
    (void)n; /* a daemon that is gone shows on the control socket */
}

void submit_settle(struct chi_client *c)
{
    if (CHI_LIKELY(c->unsettled == 0))
        return;
    c->unsettled = 0;
    daemon_ring(c, shm_settle(&c->header->daemon_sleeps)); /* pairs with ipc_sleep_st's shm_announce */
}

/* Serialises the task and sends it: PENDING, and `open` stands for it until its completion came. */
CHI_INLINE enum chi_status send(struct chi_client *c, struct chi_task *task, struct chi_task *open, uint16_t flags)
{
    if (CHI_UNLIKELY(c->gone || c->nfree == 0))
        return c->gone ? CHI_STATUS_DISCONNECTED : CHI_STATUS_BUSY;
    /* A free cookie means that fewer than depth tasks are out: the slot has been taken by the daemon. */
    uint32_t cookie = c->free_cookies[c->nfree - 1];
    struct line *l = line_put_at(c->submit, c->mask, c->submit_at);
    struct shm_submit *s = (struct shm_submit *)l->payload;
    enum chi_status st = save(c, s, cookie, task);
    if (CHI_UNLIKELY(st != CHI_STATUS_OK))
        return st;
    s->flags |= flags;
    c->nfree--;
    c->open[cookie].task = open;
    line_put_done(l, c->submit_at++); /* release: pairs with the daemon's acquire in line_get */
    if (CHI_UNLIKELY(++c->unsettled >= SHM_SETTLE_MAX))
        submit_settle(c);
    else
        daemon_ring(c, shm_sleeper(&c->header->daemon_sleeps));
    return CHI_STATUS_PENDING;
}

enum chi_status chi_submit(struct chi_client *c, struct chi_task *task)
{
    enum chi_status st = send(c, task, task, 0);
    task->status = st;
    return st;
}

enum chi_status chi_post(struct chi_client *c, struct chi_task *task)
{
    struct chi_replicas *replicas = task->replicas;
    if (c->nfree == 0)
        (void)chi_poll(c);
    task->replicas = NULL;
    enum chi_status st = send(c, task, &c->posted, SHM_POST);
    task->replicas = replicas;
    return st == CHI_STATUS_PENDING ? CHI_STATUS_OK : st;
}
