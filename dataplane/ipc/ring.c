/* ring.c - submissions in, completions out.  Owning worker only.  What the client wrote is copied once; only the copy
 * is checked and used. */
#include <sys/socket.h>

#include "ipc.h"

static struct shm_header *header_of(struct ipc_channel *ch) { return (struct shm_header *)ch->base; }

/* [offset, offset + length) lies in bulk memory.  Offsets count from the segment's start. */
static bool in_bulk(const struct ipc_channel *ch, uint64_t offset, uint64_t length)
{
    return offset >= ch->bulk_offset && chi_span_ok(offset - ch->bulk_offset, length, ch->bulk_bytes);
}

/* Wakes the client from the sleep of that number, at most once for each; 0: it is awake. */
static inline void client_ring(struct ipc_channel *ch, uint32_t number)
{
    if (CHI_LIKELY(number == 0 || number == ch->rung))
        return;
    ch->rung = number;
    /* A full socket has a byte in it that wakes the client; an error means that it is gone, which its socket tells. */
    ssize_t n = send(ch->client_wake, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)n;
}

static const struct ipc_replicas no_replicas;

static void complete(struct ipc_channel *ch, uint32_t cookie, enum chi_status status, const void *body, uint32_t length,
                     struct ipc_replicas replicas)
{
    uint64_t at = ch->complete_at++;
    struct line *l = line_put_at(ch->complete, ch->mask, at);
    struct shm_complete *c = (struct shm_complete *)l->payload;
    c->cookie = cookie;
    c->status = (uint16_t)status;
    c->replicas = (uint16_t)replicas.count;
    c->length = length;
    c->first = replicas.first;
    if (body)
        memcpy(c->bytes, body, length);
    line_put_done(l, at); /* release: pairs with the client's acquire in line_get */
    if (CHI_UNLIKELY(++ch->unsettled >= SHM_SETTLE_MAX))
        ipc_settle_st(ch);
    else
        client_ring(ch, shm_sleeper(&header_of(ch)->client_sleeps));
}

void ipc_settle_st(struct ipc_channel *ch)
{
    if (ch->unsettled == 0)
        return;
    ch->unsettled = 0;
    client_ring(ch, shm_settle(&header_of(ch)->client_sleeps)); /* pairs with the client's shm_announce */
}

void ipc_complete_many_st(struct ipc_channel *ch, const struct ipc_request *rq, enum chi_status status, const void *body,
                          uint32_t length, struct ipc_replicas replicas)
{
    CHI_ASSERT(ch->out > 0 && status != CHI_STATUS_PENDING);
    ch->out--;
    if (CHI_UNLIKELY(ch->detached))
        return;
    if (CHI_LIKELY(length <= SHM_COMPLETE_INLINE)) {
        complete(ch, rq->cookie, status, length ? body : NULL, length, replicas);
    } else if (length <= rq->answer_cap) {
        memcpy(ch->base + rq->answer_offset, body, length);
        complete(ch, rq->cookie, status, NULL, length, replicas);
    } else {
        complete(ch, rq->cookie, CHI_STATUS_TOO_BIG, NULL, 0, no_replicas);
    }
}

/* s is our copy. */
static enum chi_drop take_inline(const struct shm_submit *s, uint8_t *scratch, struct ipc_request *out)
{
    if (s->length > SHM_INLINE)
        return CHI_DROP_CLIENT_FORM;
    memcpy(scratch, s->bytes, SHM_INLINE);
    out->form_length = s->length;
    out->answer_offset = 0;
    out->answer_cap = SHM_COMPLETE_INLINE;
    return CHI_DROP_NONE;
}

static enum chi_drop take_external(const struct ipc_channel *ch, const struct shm_submit *s, uint8_t *scratch,
                                   struct ipc_request *out)
{
    uint8_t padding = 0;
    for (unsigned i = 0; i < sizeof s->external.zero; i++)
        padding |= s->external.zero[i];
    uint64_t form = s->external.form_offset, answer = s->external.answer_offset;
    uint32_t length = s->external.form_length, cap = s->external.answer_cap;
    if (padding || s->length || length > CHI_FORM_BYTES_MAX || form % 8 || !in_bulk(ch, form, length) ||
        !in_bulk(ch, answer, cap))
        return CHI_DROP_CLIENT_FORM;
    shm_copy_in(scratch, ch->base + form, length);
    out->form_length = length;
    out->answer_offset = answer;
    out->answer_cap = cap;
    return CHI_DROP_NONE;
}

static enum chi_drop take(struct ipc_channel *ch, const struct shm_submit *s, uint8_t *scratch, struct ipc_request *out)
{
    if (ch->out >= ch->depth)
        return CHI_DROP_CLIENT_DEPTH;
    if (s->cookie >= ch->depth || s->flags > (SHM_EXTERNAL | SHM_POST))
        return CHI_DROP_CLIENT_FORM;
    enum chi_drop d = s->flags & SHM_EXTERNAL ? take_external(ch, s, scratch, out) : take_inline(s, scratch, out);
    if (d != CHI_DROP_NONE)
        return d;
    return form_decode(scratch, out->form_length, &ch->head) == CHI_DROP_NONE ? CHI_DROP_NONE : CHI_DROP_CLIENT_FORM;
}

enum chi_drop ipc_take_st(struct ipc_channel *ch, uint8_t *scratch, struct ipc_request *out, bool *got)
{
    shm_read_hook();
    const struct line *l = line_get(ch->submit, ch->mask, ch->submit_at);
    *got = l != NULL;
    if (!l) {
        if (ch->unsettled && ch->empty++) /* the second time: after the first one more may just be on its way */
            ipc_settle_st(ch);
        return CHI_DROP_NONE;
    }
    struct shm_submit s;
    shm_copy_in(&s, l->payload, sizeof s);
    ch->submit_at++;
    ch->empty = 0;
    out->cookie = s.cookie;
    out->post = s.flags & SHM_POST;
    enum chi_drop d = take(ch, &s, scratch, out);
    if (CHI_UNLIKELY(d != CHI_DROP_NONE)) {
        bool big = (s.flags & SHM_EXTERNAL) && s.external.form_length > CHI_FORM_BYTES_MAX;
        ch->rejected++;
        complete(ch, s.cookie, big ? CHI_STATUS_TOO_BIG : CHI_STATUS_INVALID, NULL, 0, no_replicas);
        return d;
    }
    ch->out++;
    ch->tasks++;
    return CHI_DROP_NONE;
}

void *ipc_region_st(struct ipc_channel *ch, uint64_t place, uint64_t size)
{
    return in_bulk(ch, place, size) ? ch->base + place : NULL;
}

bool ipc_sleep_st(struct ipc_channel *ch)
{
    ch->sleep_number = ch->sleep_number == UINT32_MAX ? 1 : ch->sleep_number + 1;
    ipc_settle_st(ch);
    shm_announce(&header_of(ch)->daemon_sleeps, ch->sleep_number); /* pairs with the client's shm_settle */
    shm_read_hook();
    if (!shm_published(ch->submit, ch->mask, ch->submit_at))
        return false;
    ipc_awake_st(ch);
    return true;
}

void ipc_awake_st(struct ipc_channel *ch) { shm_awake(&header_of(ch)->daemon_sleeps); }
