/* A packet as one line of text, by hand: nothing here needs stdio. */
#include "layout.h"

struct text {
    char *out;
    size_t cap, length; /* length: as if cap had no end */
};

static void put_char(struct text *t, char c)
{
    if (t->length < t->cap) /* wire_print puts the NUL over the last one */
        t->out[t->length] = c;
    t->length++;
}

static void put_text(struct text *t, const char *s)
{
    while (*s)
        put_char(t, *s++);
}

static void put_number(struct text *t, uint64_t v, unsigned base)
{
    char digit[20];
    unsigned n = 0;
    do
        digit[n++] = "0123456789abcdef"[v % base];
    while (v /= base);
    while (n)
        put_char(t, digit[--n]);
}

/* " word number" */
static void put_field(struct text *t, const char *word, uint64_t v)
{
    put_char(t, ' ');
    put_text(t, word);
    put_char(t, ' ');
    put_number(t, v, 10);
}

static void put_message(struct text *t, const char *word, uint32_t slot, uint32_t generation)
{
    put_text(t, word);
    put_char(t, ' ');
    put_number(t, slot, 10);
    put_char(t, '.');
    put_number(t, generation, 10);
}

static void put_hello(struct text *t, const struct wire_hello *h)
{
    put_field(t, "node", h->node);
    put_field(t, "incarnation", h->incarnation);
    put_field(t, "session", h->session);
    put_field(t, "peer_incarnation", h->peer_incarnation);
    put_field(t, "peer_session", h->peer_session);
    put_field(t, "worker", h->worker);
    put_field(t, "of", h->workers);
    put_field(t, "packet_max", h->packet_max);
    put_field(t, "slots", h->slots);
    put_field(t, "credit", h->credit);
    put_text(t, " cluster \"");
    for (unsigned i = 0; i < h->cluster_length; i++) {
        char c = h->cluster[i];
        put_char(t, c >= ' ' && c <= '~' && c != '"' ? c : '.');
    }
    put_text(t, h->flags & WIRE_HELLO_REPLY_WANTED ? "\" reply_wanted" : "\"");
    put_text(t, h->flags & WIRE_HELLO_ECN ? " ecn" : "");
    put_text(t, h->flags & WIRE_HELLO_PAD ? " pad" : "");
    put_text(t, h->flags & WIRE_HELLO_PORT ? " port" : "");
}

static void put_refuse(struct text *t, const struct wire_refuse *r)
{
    static const char *const reasons[] = {
        [WIRE_REFUSE_VERSION] = " VERSION",
        [WIRE_REFUSE_CLUSTER] = " CLUSTER",
        [WIRE_REFUSE_UNKNOWN_NODE] = " UNKNOWN_NODE",
        [WIRE_REFUSE_SESSION] = " SESSION",
    };
    put_text(t, reasons[r->reason]);
    put_field(t, "node", r->node);
    put_field(t, "incarnation", r->incarnation);
    put_field(t, "session", r->session);
    put_field(t, "speaks", r->version);
}

static void put_frame(struct text *t, const struct wire_frame *f)
{
    switch ((enum wire_frame_type)f->type) {
    case WIRE_FRAME_TASK_IN:
        put_message(t, f->task_in.flags & WIRE_TASK_WAITS ? "TASK_IN|WAITS" : "TASK_IN", f->task_in.slot, f->task_in.generation);
        put_field(t, "form", f->task_in.form_length);
        put_field(t, "inline", f->task_in.inline_length);
        break;
    case WIRE_FRAME_TASK_OUT:
        put_message(t, "TASK_OUT", f->task_out.slot, f->task_out.generation);
        put_field(t, "status", f->task_out.status);
        put_field(t, "form", f->task_out.form_length);
        put_field(t, "inline", f->task_out.inline_length);
        for (unsigned i = 0; i < f->task_out.regions; i++)
            put_field(t, "used", f->task_out.used[i]);
        break;
    case WIRE_FRAME_SEGMENT:
        put_message(t, f->segment.flags & WIRE_SEGMENT_OUT ? "SEGMENT|OUT" : "SEGMENT", f->segment.slot,
                    f->segment.generation);
        put_field(t, "region", f->segment.region);
        put_field(t, "offset", f->segment.offset);
        put_field(t, "length", f->segment.length);
        break;
    case WIRE_FRAME_ACK:
        put_text(t, "ACK");
        for (unsigned i = 0; i < f->ack.count; i++) {
            put_char(t, ' ');
            put_number(t, f->ack.r[i].first, 10);
            put_char(t, '-');
            put_number(t, f->ack.r[i].last, 10);
        }
        put_field(t, "delay_ns", f->ack.delay_ns);
        break;
    case WIRE_FRAME_PING:
        put_text(t, "PING");
        break;
    case WIRE_FRAME_CLOSE:
        put_text(t, "CLOSE");
        put_field(t, "reason", f->close_reason);
        break;
    case WIRE_FRAME_CANCEL:
        put_message(t, "CANCEL", f->cancel.slot, f->cancel.generation);
        break;
    case WIRE_FRAME_GRANT:
        put_message(t, f->grant.flags & WIRE_GRANT_AGAIN ? "GRANT|AGAIN" : "GRANT", f->grant.slot, f->grant.generation);
        put_field(t, "bytes", f->grant.bytes);
        break;
    case WIRE_FRAME_PAD:
        put_text(t, "PAD");
        put_field(t, "length", f->pad.length);
        break;
    case WIRE_FRAME_PORT:
        put_text(t, "PORT");
        put_field(t, "number", f->port);
        break;
    case WIRE_FRAME_END:
        break;
    }
}

static void put_error(struct text *t, enum chi_drop d, size_t at)
{
    put_text(t, "bad: ");
    put_text(t, chi_drop_name(d));
    put_field(t, "at", at);
}

static void put_frames(struct text *t, const uint8_t *p, size_t end)
{
    struct wire_cursor c = {p, WIRE_HEADER_BYTES, end};
    struct wire_frame f;
    const char *before = ": ";
    for (;; before = "; ") {
        enum chi_drop d = wire_next_frame(&c, &f);
        if (d == CHI_DROP_NONE && f.type == WIRE_FRAME_END)
            return;
        put_text(t, before);
        if (d != CHI_DROP_NONE) {
            put_error(t, d, c.at);
            return;
        }
        put_frame(t, &f);
    }
}

static void put_packet(struct text *t, const uint8_t *p, size_t n)
{
    if (n < WIRE_HEADER_BYTES) {
        put_error(t, CHI_DROP_TRUNCATED, n);
        return;
    }
    uint8_t kind = p[AT_KIND];
    size_t length = le16_get(p + AT_LENGTH);
    switch (kind) {
#define KIND_TEXT(name, number) \
    case WIRE_KIND_##name:      \
        put_text(t, #name);     \
        break;
        WIRE_KIND_LIST(KIND_TEXT)
#undef KIND_TEXT
    default:
        put_error(t, CHI_DROP_KIND, AT_KIND);
        return;
    }
    put_field(t, "version", p[AT_VERSION]);
    put_field(t, "length", length);
    put_text(t, " crc ");
    put_number(t, le32_get(p + AT_CRC), 16);
    if (p[AT_VERSION] != WIRE_VERSION && kind != WIRE_KIND_REFUSE)
        return;

    struct wire_hello hello;
    struct wire_refuse refuse;
    enum chi_drop d = CHI_DROP_NONE;
    if (length < WIRE_HEADER_BYTES || length > n) {
        d = CHI_DROP_TRUNCATED;
    } else if (kind == WIRE_KIND_HELLO) {
        d = wire_get_hello(p, n, &hello);
        if (d == CHI_DROP_NONE)
            put_hello(t, &hello);
    } else if (kind == WIRE_KIND_REFUSE) {
        d = wire_get_refuse(p, n, &refuse);
        if (d == CHI_DROP_NONE)
            put_refuse(t, &refuse);
    } else {
        put_field(t, "session", le32_get(p + AT_SESSION));
        put_field(t, "number", le64_get(p + AT_NUMBER));
        if (le32_get(p + AT_CAPABLE)) {
            put_field(t, "capable", le16_get(p + AT_CAPABLE));
            put_field(t, "marked", le16_get(p + AT_MARKED));
        }
        put_frames(t, p, length);
    }
    if (d != CHI_DROP_NONE) {
        put_char(t, ' ');
        put_error(t, d, n);
    }
}

int wire_print(const uint8_t *p, size_t n, char *out, size_t cap)
{
    struct text t = {out, cap, 0};
    put_packet(&t, p, n);
    if (cap > 0)
        out[t.length < cap ? t.length : cap - 1] = 0;
    return (int)t.length;
}
