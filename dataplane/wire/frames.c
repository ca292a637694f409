#include "layout.h"

static const uint64_t number_end = UINT64_C(1) << 63; /* packet numbers and offsets are below it */

/* The first eight bytes of a message's frame: type, u8, u16, slot.  One store: see header.c. */
static inline void put_head(uint8_t *p, enum wire_frame_type type, uint8_t byte, uint16_t half, uint32_t slot)
{
    le64_put(p, (uint64_t)type | (uint64_t)byte << 8 | (uint64_t)half << 16 | (uint64_t)slot << 32);
}

static inline void put_two(uint8_t *p, uint32_t low, uint32_t high)
{
    le64_put(p, low | (uint64_t)high << 32);
}

size_t wire_put_task_in(uint8_t *p, const struct wire_task_in *f)
{
    CHI_ASSERT(f->inline_length <= f->form_length && !(f->flags & ~WIRE_TASK_WAITS));
    put_head(p, WIRE_FRAME_TASK_IN, f->flags, f->inline_length, f->slot);
    put_two(p + FRAME_GENERATION, f->generation, f->form_length);
    return IN_END;
}

size_t wire_put_task_out(uint8_t *p, const struct wire_task_out *f)
{
    CHI_ASSERT(f->regions <= WIRE_REGIONS && f->inline_length <= f->form_length);
    put_head(p, WIRE_FRAME_TASK_OUT, f->regions, f->inline_length, f->slot);
    put_two(p + FRAME_GENERATION, f->generation, f->form_length);
    le32_put(p + OUT_STATUS, f->status); /* OUT_ZERO too */
    p += OUT_END;
    for (unsigned i = 0; i < f->regions; i++)
        le64_put(p + 8 * i, f->used[i]);
    return OUT_END + 8 * (size_t)f->regions;
}

size_t wire_put_task_out_whole(uint8_t *p, uint32_t slot, uint32_t generation, uint32_t length, uint16_t status)
{
    CHI_ASSERT(length <= UINT16_MAX);
    put_head(p, WIRE_FRAME_TASK_OUT, 0, (uint16_t)length, slot);
    put_two(p + FRAME_GENERATION, generation, length);
    le32_put(p + OUT_STATUS, status); /* OUT_ZERO too */
    return OUT_END;
}

size_t wire_put_segment(uint8_t *p, const struct wire_segment *f)
{
    CHI_ASSERT(f->length > 0 && f->region <= WIRE_REGIONS && !(f->flags & ~WIRE_SEGMENT_OUT));
    put_head(p, WIRE_FRAME_SEGMENT, f->region, f->length, f->slot);
    put_two(p + FRAME_GENERATION, f->generation, f->flags);
    le64_put(p + SEGMENT_OFFSET, f->offset);
    return SEGMENT_END;
}

size_t wire_put_ack(uint8_t *p, const struct wire_ack *f)
{
    CHI_ASSERT(f->count >= 1 && f->count <= WIRE_ACK_RANGES);
    uint64_t length = f->r[0].last - f->r[0].first; /* less one, as all lengths and gaps here */
    if (length > UINT16_MAX)
        length = UINT16_MAX;
    p[0] = WIRE_FRAME_ACK;
    le16_put(p + ACK_FIRST, (uint16_t)length);
    le32_put(p + ACK_DELAY, f->delay_ns);
    le64_put(p + ACK_LARGEST, f->r[0].last);

    uint64_t below = f->r[0].last - length; /* lowest number said so far */
    uint8_t count = 1;
    uint8_t *at = p + ACK_END;
    for (; count < f->count; count++, at += ACK_RANGE_BYTES) {
        const struct wire_range *r = &f->r[count];
        CHI_ASSERT(r->first <= r->last && r->last + 1 < below);
        uint64_t gap = below - r->last - 2;
        length = r->last - r->first;
        if (gap > UINT32_MAX)
            break;
        if (length > UINT32_MAX)
            length = UINT32_MAX;
        le32_put(at + ACK_GAP, (uint32_t)gap);
        le32_put(at + ACK_LENGTH, (uint32_t)length);
        below = r->last - length;
    }
    p[ACK_COUNT] = count;
    return (size_t)(at - p);
}

size_t wire_put_ping(uint8_t *p)
{
    le32_put(p, WIRE_FRAME_PING);
    return PING_END;
}

size_t wire_put_close(uint8_t *p, uint8_t reason)
{
    p[0] = WIRE_FRAME_CLOSE;
    p[CLOSE_REASON] = reason;
    le16_put(p + CLOSE_ZERO, 0);
    return CLOSE_END;
}

size_t wire_put_cancel(uint8_t *p, const struct wire_cancel *f)
{
    put_head(p, WIRE_FRAME_CANCEL, 0, 0, f->slot);
    le32_put(p + FRAME_GENERATION, f->generation);
    return CANCEL_END;
}

size_t wire_put_grant(uint8_t *p, const struct wire_grant *f)
{
    CHI_ASSERT(!(f->flags & ~WIRE_GRANT_AGAIN));
    put_head(p, WIRE_FRAME_GRANT, f->flags, 0, f->slot);
    put_two(p + FRAME_GENERATION, f->generation, 0);
    le64_put(p + GRANT_AMOUNT, f->bytes);
    return GRANT_END;
}

size_t wire_put_port(uint8_t *p, uint8_t port)
{
    le32_put(p, WIRE_FRAME_PORT | (uint32_t)port << 8 * PORT_NUMBER);
    return PORT_END;
}

size_t wire_put_pad(uint8_t *p, uint16_t length)
{
    le32_put(p, WIRE_FRAME_PAD | (uint32_t)length << 8 * PAD_LENGTH);
    memset(p + PAD_END, 0, length);
    return PAD_END + (size_t)length;
}

/* The get functions find the frame's fixed bytes present, and `room` bytes from its type byte to the packet's end. Each
 * sets *size to the whole frame's when it returns NONE. */

static enum chi_drop get_task_in(const uint8_t *p, size_t room, struct wire_task_in *f, size_t *size)
{
    f->flags = p[IN_FLAGS];
    f->inline_length = le16_get(p + IN_INLINE);
    f->slot = le32_get(p + FRAME_SLOT);
    f->generation = le32_get(p + FRAME_GENERATION);
    f->form_length = le32_get(p + IN_FORM_LENGTH);
    f->bytes = p + IN_END;
    if (f->flags & ~WIRE_TASK_WAITS)
        return CHI_DROP_RESERVED;
    if (f->inline_length > f->form_length)
        return CHI_DROP_FRAME_VALUE;
    *size = IN_END + (size_t)f->inline_length;
    return *size <= room ? CHI_DROP_NONE : CHI_DROP_FRAME_LENGTH;
}

static enum chi_drop get_task_out(const uint8_t *p, size_t room, struct wire_task_out *f, size_t *size)
{
    f->regions = p[OUT_REGIONS];
    f->inline_length = le16_get(p + OUT_INLINE);
    f->slot = le32_get(p + FRAME_SLOT);
    f->generation = le32_get(p + FRAME_GENERATION);
    f->form_length = le32_get(p + OUT_FORM_LENGTH);
    f->status = le16_get(p + OUT_STATUS);
    if (le16_get(p + OUT_ZERO))
        return CHI_DROP_RESERVED;
    if (f->regions > WIRE_REGIONS || f->inline_length > f->form_length)
        return CHI_DROP_FRAME_VALUE;
    size_t head = OUT_END + 8 * (size_t)f->regions;
    if (head + f->inline_length > room)
        return CHI_DROP_FRAME_LENGTH;
    for (unsigned i = 0; i < f->regions; i++)
        f->used[i] = le64_get(p + OUT_END + 8 * i);
    f->bytes = p + head;
    *size = head + f->inline_length;
    return CHI_DROP_NONE;
}

static enum chi_drop get_segment(const uint8_t *p, size_t room, struct wire_segment *f, size_t *size)
{
    f->region = p[SEGMENT_REGION];
    f->length = le16_get(p + SEGMENT_LENGTH);
    f->slot = le32_get(p + FRAME_SLOT);
    f->generation = le32_get(p + FRAME_GENERATION);
    uint32_t flags = le32_get(p + SEGMENT_FLAGS);
    f->offset = le64_get(p + SEGMENT_OFFSET);
    f->bytes = p + SEGMENT_END;
    if (flags & ~(uint32_t)WIRE_SEGMENT_OUT)
        return CHI_DROP_RESERVED;
    f->flags = (uint8_t)flags;
    if (f->length == 0 || f->region > WIRE_REGIONS || !chi_span_ok(f->offset, f->length, number_end))
        return CHI_DROP_FRAME_VALUE;
    *size = SEGMENT_END + (size_t)f->length;
    return *size <= room ? CHI_DROP_NONE : CHI_DROP_FRAME_LENGTH;
}

static enum chi_drop get_ack(const uint8_t *p, size_t room, struct wire_ack *f, size_t *size)
{
    f->count = p[ACK_COUNT];
    f->delay_ns = le32_get(p + ACK_DELAY);
    uint64_t last = le64_get(p + ACK_LARGEST), length = le16_get(p + ACK_FIRST);
    if (f->count < 1 || f->count > WIRE_ACK_RANGES || last >= number_end || last <= length)
        return CHI_DROP_FRAME_VALUE;
    *size = ACK_END + ACK_RANGE_BYTES * (f->count - (size_t)1);
    if (*size > room)
        return CHI_DROP_FRAME_LENGTH;
    f->r[0] = (struct wire_range){last - length, last};
    p += ACK_END;
    for (unsigned i = 1; i < f->count; i++, p += ACK_RANGE_BYTES) {
        uint64_t below = f->r[i - 1].first, gap = le32_get(p + ACK_GAP);
        length = le32_get(p + ACK_LENGTH);
        if (below <= gap + length + 2) /* first would be 0 or less; the sum fits into 34 bits */
            return CHI_DROP_FRAME_VALUE;
        f->r[i].last = below - gap - 2;
        f->r[i].first = f->r[i].last - length;
    }
    return CHI_DROP_NONE;
}

static enum chi_drop get_ping(const uint8_t *p, size_t *size)
{
    *size = PING_END;
    return le32_get(p + PING_HEAD) == WIRE_FRAME_PING ? CHI_DROP_NONE : CHI_DROP_RESERVED;
}

static enum chi_drop get_close(const uint8_t *p, uint8_t *reason, size_t *size)
{
    *reason = p[CLOSE_REASON];
    *size = CLOSE_END;
    if (le16_get(p + CLOSE_ZERO))
        return CHI_DROP_RESERVED;
    return *reason == WIRE_CLOSE_SHUTDOWN ? CHI_DROP_NONE : CHI_DROP_FRAME_VALUE;
}

static enum chi_drop get_cancel(const uint8_t *p, struct wire_cancel *f, size_t *size)
{
    f->slot = le32_get(p + FRAME_SLOT);
    f->generation = le32_get(p + FRAME_GENERATION);
    *size = CANCEL_END;
    return p[CANCEL_ZERO] || le16_get(p + CANCEL_ZERO + 1) ? CHI_DROP_RESERVED : CHI_DROP_NONE;
}

static enum chi_drop get_grant(const uint8_t *p, struct wire_grant *f, size_t *size)
{
    f->slot = le32_get(p + FRAME_SLOT);
    f->generation = le32_get(p + FRAME_GENERATION);
    f->flags = p[GRANT_FLAGS];
    f->bytes = le64_get(p + GRANT_AMOUNT);
    *size = GRANT_END;
    bool reserved = (f->flags & ~WIRE_GRANT_AGAIN) || le16_get(p + GRANT_ZERO) || le32_get(p + GRANT_ZERO2);
    return reserved ? CHI_DROP_RESERVED : CHI_DROP_NONE;
}

static enum chi_drop get_pad(const uint8_t *p, size_t room, struct wire_pad *f, size_t *size)
{
    f->length = le16_get(p + PAD_LENGTH);
    f->bytes = p + PAD_END;
    if (p[PAD_ZERO])
        return CHI_DROP_RESERVED;
    *size = PAD_END + (size_t)f->length;
    return *size <= room ? CHI_DROP_NONE : CHI_DROP_FRAME_LENGTH;
}

static enum chi_drop get_port(const uint8_t *p, uint8_t *port, size_t *size)
{
    *port = p[PORT_NUMBER];
    *size = PORT_END;
    return le16_get(p + PORT_ZERO) ? CHI_DROP_RESERVED : CHI_DROP_NONE;
}

static inline enum chi_drop next_task_in(struct wire_cursor *c, const uint8_t *p, size_t room, struct wire_frame *out)
{
    size_t size;
    enum chi_drop d = get_task_in(p, room, &out->task_in, &size);
    if (CHI_UNLIKELY(d != CHI_DROP_NONE))
        return d;
    out->type = WIRE_FRAME_TASK_IN;
    c->at += size;
    return CHI_DROP_NONE;
}

enum chi_drop wire_next_frame(struct wire_cursor *c, struct wire_frame *out)
{
    static const uint8_t fixed[] = {
#define FRAME_FIXED(name, number, bytes) [number] = bytes,
        WIRE_FRAME_LIST(FRAME_FIXED)
#undef FRAME_FIXED
    };
    out->type = WIRE_FRAME_END;
    if (c->at >= c->end)
        return CHI_DROP_NONE;
    const uint8_t *p = c->p + c->at;
    size_t room = c->end - c->at, size = 0;
    uint8_t type = p[0];
    if (CHI_LIKELY(type == WIRE_FRAME_TASK_IN && room >= IN_END)) /* as below, without the tables */
        return next_task_in(c, p, room, out);
    if (type >= sizeof fixed || fixed[type] == 0)
        return CHI_DROP_FRAME_TYPE;
    if (fixed[type] > room)
        return CHI_DROP_FRAME_LENGTH;

    enum chi_drop d = CHI_DROP_FRAME_TYPE;
    switch ((enum wire_frame_type)type) {
    case WIRE_FRAME_TASK_IN:
        d = get_task_in(p, room, &out->task_in, &size);
        break;
    case WIRE_FRAME_TASK_OUT:
        d = get_task_out(p, room, &out->task_out, &size);
        break;
    case WIRE_FRAME_SEGMENT:
        d = get_segment(p, room, &out->segment, &size);
        break;
    case WIRE_FRAME_ACK:
        d = get_ack(p, room, &out->ack, &size);
        break;
    case WIRE_FRAME_PING:
        d = get_ping(p, &size);
        break;
    case WIRE_FRAME_CLOSE:
        d = get_close(p, &out->close_reason, &size);
        break;
    case WIRE_FRAME_CANCEL:
        d = get_cancel(p, &out->cancel, &size);
        break;
    case WIRE_FRAME_GRANT:
        d = get_grant(p, &out->grant, &size);
        break;
    case WIRE_FRAME_PAD:
        d = get_pad(p, room, &out->pad, &size);
        break;
    case WIRE_FRAME_PORT:
        d = get_port(p, &out->port, &size);
        break;
    case WIRE_FRAME_END:
        break;
    }
    if (d != CHI_DROP_NONE)
        return d;
    out->type = type;
    c->at += size;
    return CHI_DROP_NONE;
}
