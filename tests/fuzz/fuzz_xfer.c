/* fuzz_xfer.c - a hostile network around two live transport endpoints, and a peer that is not there but speaks.
 *
 * The input is a script: packets of a real endpoint delivered, lost, repeated or changed; packets made up with right ids
 * and numbers and any frames; time; tasks, answers; no memory, no packet buffers; restarts.  The CRC is constant, since a
 * fuzzer cannot guess it.  Held against: nothing beyond a packet is read, no assertion fails, a message ends once, after a
 * shutdown all have ended and all memory and packets are back, no byte changes outside of what was exposed, every dropped
 * packet is counted, and an endpoint always comes to rest. */
#include <stdlib.h>
#include <string.h>

#include "archive/form.h"
#include "fuzz.h"
#include "xfer/xfer.h"

enum {
    NODES = 3, /* 1 and 2: endpoints; 3: made up */
    REAL = 2,
    STEPS_MAX = 400,
    QUEUE = 32,
    SUBS = 24,
    JOBS = 8,
    REGIONS = 4,
    IDS = 4, /* newest session ids that are remembered */
    GUARD = 64,
    GUARD_BYTE = 0xc3,
    FILL_BYTE = 0x77,
    PORT = 7440,
    PACKET_MAX = 2000,
    ANSWER_MAX = 3000,
    MEMORY_LARGEST = 32768,
    MEMORY_BYTES = 1 << 20,
    XFER_MEMORY = 1 << 20,
    REST_ROUNDS = 200,
};

struct block {
    struct block *next;
    uint64_t size;
    uint8_t *bytes; /* between two guards */
};
struct sub {
    struct endpoint *from; /* NULL: free */
    struct xfer_out out;
    struct chi_ar_region region[REGIONS];
    uint8_t *buffer[REGIONS], *form;
    uint32_t form_length;
};
struct job {
    struct xfer_in *in; /* NULL: free */
    bool answered;
    uint8_t *body;
    uint32_t body_length;
};
struct seen { /* of one node's packets to another one */
    uint32_t ids[IDS]; /* that the first offered to the second */
    uint64_t number;   /* largest that the first sent */
};
struct endpoint {
    struct xfer *x;
    uint32_t node;
    uint64_t incarnation;
    uint32_t no_memory, no_packet; /* bits: which of the next calls fail */
    uint32_t packets_out;
    uint64_t memory_used;
    struct block *blocks;
    struct job jobs[JOBS];
    uint64_t drops[CHI_DROP_COUNT];
};
struct queued {
    uint32_t from, to, length;
    uint8_t *bytes;
};

static const uint8_t *input;
static size_t left;
static struct xfer_config config;
static uint64_t now, other_incarnation;
static struct endpoint ends[REAL];
static struct seen seen[NODES + 1][NODES + 1]; /* [from][to] */
static struct queued queue[QUEUE];
static unsigned queue_first, queue_count;
static struct sub subs[SUBS];
static uint8_t *memory[NODES];
static uint8_t still[PACKET_MAX + CHI_FORM_BYTES_MAX + 2];

/* --- input */

static uint8_t byte(void)
{
    if (left == 0)
        return 0;
    left--;
    return *input++;
}

/* A number: mostly small or at an edge. */
static uint64_t number(void)
{
    static const uint64_t edges[] = {0,    63,    64,   65,       128,        129,        1199,      1400,
                                     4096, 32768, 32769, 65536, UINT32_MAX, INT64_MAX, UINT64_MAX, (uint64_t)INT64_MAX + 1};
    uint8_t b = byte();
    if (b < 208)
        return b;
    if (b < 224)
        return edges[b - 208];
    uint64_t v = 0;
    for (unsigned i = b < 250 ? 2 : 8; i > 0; i--)
        v = v << 8 | byte();
    return v;
}

static uint32_t below(uint32_t n) { return byte() % n; }

/* --- host */

static uint32_t no_crc(uint32_t seed, const void *p, size_t n)
{
    if (n > 0)
        (void)((const volatile uint8_t *)p)[n - 1]; /* ASan judges the length */
    return seed;
}

static bool fails(uint32_t *bits)
{
    bool f = *bits & 1;
    *bits >>= 1;
    return f;
}

static bool packet_get(void *ctx, struct xfer_packet *out)
{
    struct endpoint *e = ctx;
    if (fails(&e->no_packet))
        return false;
    *out = (struct xfer_packet){.data = malloc(config.packet_max), .cap = config.packet_max};
    e->packets_out++;
    return true;
}

static void packet_put(void *ctx, struct xfer_packet *p)
{
    struct endpoint *e = ctx;
    CHI_ASSERT(e->packets_out > 0);
    e->packets_out--;
    free(p->data);
}

static void learn(uint32_t from, uint32_t to, const uint8_t *p, uint32_t n)
{
    struct wire_header h;
    struct wire_hello hello;
    CHI_ASSERT(wire_open(p, n, no_crc, &h) == CHI_DROP_NONE && h.length == n);
    if (h.kind == WIRE_KIND_DATA) {
        CHI_ASSERT(h.number > 0);
        seen[from][to].number = h.number;
    } else if (h.kind == WIRE_KIND_HELLO) {
        CHI_ASSERT(wire_get_hello(p, n, &hello) == CHI_DROP_NONE && hello.node == from && hello.session);
        uint32_t *ids = seen[from][to].ids;
        if (ids[0] == hello.session)
            return;
        memmove(ids + 1, ids, (IDS - 1) * sizeof *ids);
        ids[0] = hello.session;
    }
}

static struct queued *queue_at(unsigned i) { return &queue[(queue_first + i) % QUEUE]; }

static void queue_take(void)
{
    free(queue_at(0)->bytes);
    queue_first = (queue_first + 1) % QUEUE;
    queue_count--;
}

static void packet_send(void *ctx, const struct xfer_addr *to, struct xfer_packet *p)
{
    struct endpoint *e = ctx;
    CHI_ASSERT(p->length >= WIRE_HEADER_BYTES && p->length <= p->cap && to->zero == 0);
    if (to->ip >= 1 && to->ip <= NODES) {
        learn(e->node, to->ip, p->data, p->length);
        if (queue_count == QUEUE)
            queue_take();
        struct queued *q = queue_at(queue_count++);
        *q = (struct queued){.from = e->node, .to = to->ip, .length = p->length, .bytes = malloc(p->length)};
        memcpy(q->bytes, p->data, p->length);
    }
    packet_put(ctx, p);
}

static bool all_are(const uint8_t *p, uint64_t n, uint8_t v)
{
    return n == 0 || (p[0] == v && memcmp(p, p + 1, n - 1) == 0);
}

static void *memory_get(void *ctx, uint64_t size)
{
    struct endpoint *e = ctx;
    CHI_ASSERT(size > 0 && size <= CHI_FORM_BYTES_MAX + 64);
    if (fails(&e->no_memory) || e->memory_used + size > MEMORY_BYTES)
        return NULL;
    struct block *b = malloc(sizeof *b);
    *b = (struct block){e->blocks, size, aligned_alloc(64, (size + 2 * GUARD + 63) / 64 * 64)};
    memset(b->bytes, GUARD_BYTE, GUARD);
    memset(b->bytes + GUARD + size, GUARD_BYTE, GUARD);
    e->blocks = b;
    e->memory_used += size;
    return b->bytes + GUARD;
}

static void memory_put(void *ctx, void *p, uint64_t size)
{
    struct endpoint *e = ctx;
    struct block **at = &e->blocks, *b;
    while (*at && (*at)->bytes + GUARD != (uint8_t *)p)
        at = &(*at)->next;
    b = *at;
    CHI_ASSERT(b && b->size == size);
    CHI_ASSERT(all_are(b->bytes, GUARD, GUARD_BYTE) && all_are(b->bytes + GUARD + size, GUARD, GUARD_BYTE));
    *at = b->next;
    e->memory_used -= size;
    free(b->bytes);
    free(b);
}

static void touch(const uint8_t *p, uint64_t n)
{
    static volatile uint8_t sink;
    if (n > 0)
        sink = p[0] ^ p[n - 1];
    (void)sink;
}

/* --- tasks of ours */

static struct sub *sub_of(struct xfer_out *m) { return (struct sub *)(void *)((uint8_t *)m - offsetof(struct sub, out)); }

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
    if (how & 8)
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
    xfer_answer(e->x, j->in, &a, now);
}

static void task(struct endpoint *e, const struct xfer_event *ev)
{
    struct form_head h;
    struct job *j = e->jobs;
    while (j < e->jobs + JOBS && j->in)
        j++;
    CHI_ASSERT(j < e->jobs + config.messages_in);
    CHI_ASSERT(form_decode(ev->bytes, ev->length, &h) == CHI_DROP_NONE && h.regions == ev->in->nregions);
    CHI_ASSERT(ev->node == ev->in->node && ev->node != e->node && ev->length <= CHI_FORM_BYTES_MAX);
    touch(ev->bytes, ev->length);
    for (uint32_t k = 0; k < h.regions; k++) {
        const struct chi_ar_region *r = &ev->in->regions[k];
        CHI_ASSERT(r->size == h.region[k].size && r->flags == h.region[k].flags && r->size <= MEMORY_LARGEST);
        CHI_ASSERT(r->ptr && r->used == 0);
    }
    *j = (struct job){.in = ev->in};
    ev->in->user = j;
    uint8_t how = byte();
    if (how & 1)
        answer(e, j, how >> 1);
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
        case XFER_PEER_UP:
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

/* --- endpoints */

static struct endpoint *endpoint_at(uint32_t node) { return node >= 1 && node <= REAL ? &ends[node - 1] : NULL; }

static void start(struct endpoint *e)
{
    struct xfer_config c = config;
    struct xfer_host h = {e,          packet_get, packet_send,    packet_put, memory_get,
                          memory_put, MEMORY_LARGEST, no_crc, e->drops};
    c.node = e->node = (uint32_t)(e - ends) + 1;
    c.incarnation = ++e->incarnation;
    c.session_seed = e->node * 1000 + e->incarnation;
    if (e->node == 2)
        c.workers = 1, c.worker = 0;
    if (!memory[e->node])
        memory[e->node] = aligned_alloc(64, XFER_MEMORY);
    CHI_ASSERT(xfer_bytes(&c) <= XFER_MEMORY && xfer_bytes(&c) % 64 == 0);
    uint8_t *mem = memory[e->node] + XFER_MEMORY - xfer_bytes(&c); /* ASan sees what goes beyond its end */
    memset(mem, 0x5a, xfer_bytes(&c));
    e->x = xfer_init(mem, &c, &h, now);
    for (uint32_t n = 1; n <= NODES; n++)
        if (n != e->node)
            CHI_ASSERT(xfer_peer_set(e->x, n, &(struct xfer_addr){.ip = n, .port = PORT}) == 0);
    for (uint32_t n = 0; n <= NODES; n++)
        seen[e->node][n] = seen[n][e->node] = (struct seen){0};
    e->no_memory = e->no_packet = 0;
}

/* Time, then what is due, until nothing is. */
static void rest(struct endpoint *e)
{
    unsigned rounds = 0;
    while (xfer_deadline(e->x) <= now) {
        xfer_tick(e->x, now);
        drain(e);
        xfer_tx(e->x, now, 32);
        drain(e);
        CHI_ASSERT(++rounds < REST_ROUNDS);
    }
}

static void stop(struct endpoint *e, bool crash)
{
    if (!crash) {
        e->no_packet = 0;
        xfer_shutdown(e->x, now);
        drain(e);
        for (struct sub *s = subs; s < subs + SUBS; s++)
            CHI_ASSERT(s->from != e);
        answer_next(e, true);
        rest(e);
        xfer_tick(e->x, now); /* what was borrowed goes back */
        CHI_ASSERT(e->memory_used == 0 && !e->blocks);
        for (struct job *j = e->jobs; j < e->jobs + JOBS; j++)
            CHI_ASSERT(!j->in);
    }
    CHI_ASSERT(e->packets_out == 0);
    for (struct sub *s = subs; s < subs + SUBS; s++)
        if (s->from == e)
            sub_free(s);
    for (struct job *j = e->jobs; j < e->jobs + JOBS; j++) {
        if (j->in)
            free(j->body);
        j->in = NULL;
    }
    while (e->blocks)
        memory_put(e, e->blocks->bytes + GUARD, e->blocks->size);
}

/* --- packets */

static void feed(struct endpoint *e, uint32_t from, const uint8_t *bytes, size_t n)
{
    struct xfer_addr a = {.ip = from, .port = PORT};
    uint64_t before = 0, after = 0;
    uint8_t *p = malloc(n ? n : 1); /* of exactly that size, and gone at once */
    if (n)
        memcpy(p, bytes, n);
    for (unsigned i = 1; i < CHI_DROP_COUNT; i++)
        before += e->drops[i];
    enum chi_drop d = xfer_rx(e->x, &a, p, n, now);
    for (unsigned i = 1; i < CHI_DROP_COUNT; i++)
        after += e->drops[i];
    CHI_ASSERT(d < CHI_DROP_COUNT && (d == CHI_DROP_NONE || after > before) && e->drops[CHI_DROP_NONE] == 0);
    drain(e);
    free(p);
}

static void deliver(const struct queued *q)
{
    struct endpoint *e = endpoint_at(q->to);
    if (e)
        feed(e, q->from, q->bytes, q->length);
}

/* The next packet of the network: 0 arrives, 1 is lost, 2 comes twice, 3 is changed, 4 is cut, 5 is overtaken. */
static void network(uint8_t what)
{
    if (!queue_count)
        return;
    struct queued *q = queue_at(0), copy = *q;
    copy.bytes = malloc(q->length);
    memcpy(copy.bytes, q->bytes, q->length);
    queue_take(); /* what is sent meanwhile may need its place */
    if (what == 3) {
        for (uint32_t changes = 1 + below(4); changes > 0; changes--)
            copy.bytes[number() % copy.length] ^= (uint8_t)(byte() + 1);
    } else if (what == 4) {
        copy.length = WIRE_HEADER_BYTES + (uint32_t)number() % (copy.length - WIRE_HEADER_BYTES + 1);
    }
    if (what == 3 || what == 4)
        wire_seal(copy.bytes, copy.length, no_crc);
    if (what != 1)
        deliver(&copy);
    if (what == 2)
        deliver(&copy);
    if (what == 5 && queue_count < QUEUE)
        *queue_at(queue_count++) = copy;
    else
        free(copy.bytes);
}

static void all_arrives(unsigned rounds)
{
    for (; rounds > 0; rounds--) {
        for (unsigned i = 0; i < REAL; i++)
            rest(&ends[i]);
        for (unsigned n = queue_count; n > 0; n--)
            network(0);
    }
}

static void make_hello(struct endpoint *e, uint32_t from, uint8_t how)
{
    uint8_t p[WIRE_HELLO_BYTES];
    struct wire_hello h = {.incarnation = from <= REAL ? ends[from - 1].incarnation : other_incarnation,
                           .node = from,
                           .session = 0x50000 + from,
                           .workers = 1,
                           .packet_max = WIRE_PACKET_MIN,
                           .flags = how & 1,
                           .cluster_length = 4,
                           .cluster = "fuzz"};
    if (how & 2) { /* echo */
        h.peer_session = seen[e->node][from].ids[how & 4 ? below(IDS) : 0];
        h.peer_incarnation = e->incarnation;
    }
    if (how & 8)
        h.session = (uint32_t)number();
    if (how & 16)
        h.workers = (uint16_t)(1 + below(64)), h.worker = (uint16_t)(byte() % h.workers);
    if (how & 32)
        h.incarnation = from <= REAL ? number() : ++other_incarnation;
    if (how & 64)
        h.packet_max = (uint16_t)(WIRE_PACKET_MIN + number() % (WIRE_PACKET_MAX - WIRE_PACKET_MIN));
    if (how & 128)
        h.cluster_length = (uint8_t)below(6), h.peer_incarnation = number(), h.node = (uint32_t)number();
    wire_put_hello(p, &h);
    wire_seal(p, sizeof p, no_crc);
    seen[from][e->node].number = how & 2 && from > REAL ? 0 : seen[from][e->node].number;
    feed(e, from, p, sizeof p);
}

static void make_refuse(struct endpoint *e, uint32_t from)
{
    uint8_t p[WIRE_REFUSE_BYTES], how = byte();
    struct wire_refuse r = {.incarnation = from <= REAL ? ends[from - 1].incarnation : other_incarnation,
                            .node = from,
                            .session = seen[e->node][from].ids[how / 8 % IDS],
                            .reason = how % 8,
                            .version = WIRE_VERSION + (how >> 7)};
    if (how & 64)
        r.session = r.reason == WIRE_REFUSE_SESSION ? 0x50000 + from : (uint32_t)number();
    wire_put_refuse(p, &r);
    wire_seal(p, sizeof p, no_crc);
    feed(e, from, p, sizeof p);
}

/* A form's first bytes with up to 16 regions, into `still`; returns how many there are. */
static uint32_t make_form(void)
{
    uint8_t shape = byte();
    struct form_head h = {.query = {CHI_QUERY_LOCAL, 0, 0}, .regions = shape & 0x80 ? byte() % 17 : shape % 4};
    for (uint32_t k = 0; k < h.regions; k++)
        h.region[k] = (struct form_region){.size = number(), .flags = 1 + (shape / 4 + k) % 3};
    uint32_t n = (uint32_t)form_encode(still, &h);
    if (shape & 0x40)
        still[number() % n] ^= byte();
    return n + shape / 16 % 4 * 16;
}

static size_t put_task_in(uint8_t *p, size_t room)
{
    struct wire_task_in f = {.slot = (uint32_t)number(), .generation = (uint32_t)number()};
    uint32_t form = make_form(), more = (uint32_t)number();
    f.form_length = form + (more < 0xf0000000 ? more : 0);
    f.inline_length = (uint16_t)(form + (form + 2000 < f.form_length ? 400 : 0));
    if (WIRE_BYTES_TASK_IN + (size_t)f.inline_length > room)
        return 0;
    size_t n = wire_put_task_in(p, &f);
    memcpy(p + n, still, f.inline_length);
    return n + f.inline_length;
}

static size_t put_task_out(uint8_t *p, size_t room)
{
    struct wire_task_out f = {.slot = (uint32_t)number(), .generation = (uint32_t)number()};
    f.regions = byte() % (WIRE_REGIONS + 1);
    for (unsigned i = 0; i < f.regions; i++)
        f.used[i] = number();
    f.form_length = (uint32_t)number();
    f.inline_length = (uint16_t)(f.form_length < 600 ? f.form_length : number() % 200);
    f.status = (uint16_t)number();
    if (WIRE_BYTES_TASK_OUT + 8u * f.regions + f.inline_length > room)
        return 0;
    size_t n = wire_put_task_out(p, &f);
    memset(p + n, 0x22, f.inline_length);
    return n + f.inline_length;
}

static size_t put_segment(uint8_t *p, size_t room)
{
    struct wire_segment f = {.slot = (uint32_t)number(), .generation = (uint32_t)number()};
    uint8_t what = byte();
    f.flags = what & 1;
    f.region = what / 2 % (WIRE_REGIONS + 1);
    f.offset = number();
    f.length = (uint16_t)(1 + number() % 1100);
    if (WIRE_BYTES_SEGMENT + (size_t)f.length > room)
        return 0;
    size_t n = wire_put_segment(p, &f);
    memset(p + n, 0x33, f.length);
    return n + f.length;
}

/* Near the numbers that the endpoint has used. */
static size_t put_ack(uint8_t *p, uint64_t sent)
{
    struct wire_ack f = {.delay_ns = (uint32_t)number(), .count = 0};
    uint64_t above = sent + 3;
    for (unsigned n = 1 + below(6); n > 0 && above > 2; n--) {
        uint64_t last = above - 2 - number() % (above - 2 + 1), first = last > 0 ? last - number() % last : 0;
        if (first == 0)
            break;
        f.r[f.count++] = (struct wire_range){first, last};
        above = first;
    }
    return f.count ? wire_put_ack(p, &f) : 0;
}

static void make_data(struct endpoint *e, uint32_t from, uint8_t how)
{
    static uint8_t p[PACKET_MAX];
    uint64_t *last = &seen[from][e->node].number;
    struct wire_header h = {.kind = WIRE_KIND_DATA, .session = seen[e->node][from].ids[how & 1 ? below(IDS) : 0]};
    h.number = how & 2 ? number() : ++*last;
    wire_put_header(p, &h);
    size_t n = WIRE_HEADER_BYTES;
    for (uint32_t frames = 1 + how / 4 % 4; frames > 0; frames--) {
        size_t room = sizeof p - n;
        uint8_t type = byte() % 16;
        if (type < 4)
            n += put_task_in(p + n, room);
        else if (type < 7)
            n += put_task_out(p + n, room);
        else if (type < 11)
            n += put_segment(p + n, room);
        else if (type < 13 && room > WIRE_ACK_BYTES_MAX)
            n += put_ack(p + n, seen[e->node][from].number);
        else if (type == 13 && room > WIRE_BYTES_PING)
            n += wire_put_ping(p + n);
        else if (type == 14 && room > WIRE_BYTES_CLOSE && how >= 0x80)
            n += wire_put_close(p + n, WIRE_CLOSE_SHUTDOWN);
        else
            for (uint32_t raw = below(40); raw > 0 && n < sizeof p; raw--)
                p[n++] = byte();
    }
    wire_seal(p, n, no_crc);
    feed(e, (how & 0x70) == 0x70 ? byte() : from, p, n);
}

static void make_raw(struct endpoint *e, uint32_t from)
{
    uint8_t p[256];
    size_t n = 0;
    for (uint32_t bytes = byte(); bytes > 0 && left > 0; bytes--)
        p[n++] = byte();
    feed(e, from, p, n);
}

/* The peer that is not there: from nothing to a live session. */
static void other_joins(struct endpoint *e)
{
    make_hello(e, NODES, 1);
    rest(e);
    make_hello(e, NODES, 3);
}

/* --- the script */

static void time_passes(void)
{
    uint8_t b = byte();
    now += b & 1 ? UINT64_C(1) << b / 2 % 36 : (uint64_t)b * 1000;
}

static void step(void)
{
    uint8_t op = byte(), how = byte();
    struct endpoint *e = &ends[op & 1];
    uint32_t from = how & 0x80 ? NODES - e->node : (uint32_t)NODES;
    switch (op / 2 % 20) {
    case 0:
    case 1:
        network(how % 6);
        return;
    case 2:
        all_arrives(1 + how % 3);
        return;
    case 3:
        xfer_tick(e->x, now);
        drain(e);
        return;
    case 4:
        xfer_tx(e->x, now, how % 16);
        drain(e);
        return;
    case 5:
        time_passes();
        rest(e);
        return;
    case 6:
        time_passes();
        return;
    case 7:
    case 8:
        send_task(e);
        drain(e);
        return;
    case 9:
        answer_next(e, how & 1);
        return;
    case 10:
        e->no_memory = how;
        return;
    case 11:
        e->no_packet = how;
        return;
    case 12:
        make_hello(e, from, byte());
        return;
    case 13:
        make_refuse(e, from);
        return;
    case 14:
        make_raw(e, from);
        return;
    case 15:
        if (how < 0x40) {
            stop(e, how & 1);
            start(e);
        } else {
            struct xfer_addr a = {.ip = how & 1 ? from : 9, .port = PORT};
            CHI_ASSERT(xfer_peer_set(e->x, from, &a) == 0);
        }
        return;
    case 16:
        other_joins(e);
        return;
    default:
        make_data(e, from, byte());
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data;
    left = size;
    uint8_t a = byte(), b = byte();
    config = (struct xfer_config){.workers = (uint16_t)(1 + a % 3),
                                  .worker = (uint16_t)((a / 4) % (1 + a % 3)),
                                  .cluster = "fuzz",
                                  .packet_max = a & 0x80 ? PACKET_MAX : WIRE_PACKET_MIN,
                                  .peers_max = NODES - 1,
                                  .slots = a & 0x40 ? 2 : 8,
                                  .messages_in = 1 + b % JOBS,
                                  .window_packets = b & 8 ? 4 : 32,
                                  .pto_min_ns = 200000,
                                  .pto_max_ns = 100000000,
                                  .ack_delay_ns = 25000,
                                  .ack_every = 1 + b / 16 % 4,
                                  .hello_retry_ns = 1000000};
    now = other_incarnation = 1000000000;
    memset(still, 0x11, sizeof still);
    for (unsigned i = 0; i < REAL; i++)
        memset(&ends[i], 0, sizeof ends[i]), start(&ends[i]);
    for (unsigned i = 0; left > 0 && i < STEPS_MAX; i++)
        step();
    left = 0;
    for (unsigned i = 0; i < REAL; i++)
        stop(&ends[i], false);
    while (queue_count)
        queue_take();
    return 0;
}

/* --- seeds: what `step` reads */

enum { OP_DROP = 0, OP_ARRIVE = 4, OP_TX = 8, OP_REST = 10, OP_SEND = 14, OP_ANSWER = 18, OP_NO_MEMORY = 20,
       OP_NO_PACKET = 22, OP_HELLO = 24, OP_REFUSE = 26, OP_RAW = 28, OP_RESTART = 30, OP_JOIN = 32, OP_DATA = 34 };

#define SEED(name, ...)                                  \
    do {                                                 \
        static const uint8_t bytes[] = {__VA_ARGS__};    \
        emit(name ".bin", bytes, sizeof bytes);          \
    } while (0)
#define CONFIG 0x00, 0x07
#define SMALL 0xc0, 0x08           /* two slots, one message in, a window of four */
#define ECHO OP_SEND, 0, 0, 8, OP_ARRIVE, 2, 7
#define LIVE ECHO, OP_ARRIVE, 2
#define JOIN OP_JOIN, 0
#define TASK_IN 0, 0, 1, 0, 0      /* slot 0, generation 1, no region, whole */
#define DATA OP_DATA, 0

static void join_seeds(void (*emit)(const char *name, const void *data, size_t size))
{
    SEED("join", CONFIG, JOIN, DATA, 0, TASK_IN, 3, OP_REST, 0, 40, DATA, 0, 11, 0, 0, 0, 0);
    SEED("join_late_answer", CONFIG, JOIN, DATA, 0, TASK_IN, 0, OP_REST, 0, 40, OP_ANSWER, 0, 2, OP_REST, 0, 250);
    SEED("join_regions", CONFIG, JOIN, DATA, 8, 0, 0, 1, 3, 64, 65, 100, 0, 7, 0, 1, 2, 0, 63, 7, 0, 1, 4, 10, 54, 0);
    SEED("join_form_parts", CONFIG, JOIN, DATA, 4, 0, 0, 1, 0, 200, 7, 0, 1, 0, 32, 199, 1);
    SEED("join_holes", CONFIG, JOIN, DATA, 12, 0, 0, 1, 1, 200, 0, 7, 0, 1, 2, 100, 9, 7, 0, 1, 2, 50, 9, 7, 0, 1, 2, 0, 120);
    SEED("join_too_big", CONFIG, JOIN, DATA, 0, 0, 0, 1, 1, 218, 0, OP_REST, 0, 40);
    SEED("join_no_memory", CONFIG, JOIN, OP_NO_MEMORY, 1, DATA, 0, 0, 0, 1, 1, 64, 0, DATA, 0, 0, 0, 1, 1, 64, 0);
    SEED("join_task_and_close", CONFIG, JOIN, DATA, 0x84, TASK_IN, 14, 0, OP_ANSWER, 0, 2, OP_REST, 0, 40);
    SEED("join_sent_answer", CONFIG, JOIN, OP_SEND, 0, 4, 1, 16, OP_REST, 0, 9, DATA, 4, 4, 0, 1, 1, 10, 8, 0, 7, 0, 1, 3, 0, 9);
    SEED("join_sent_body_parts", CONFIG, JOIN, OP_SEND, 0, 4, 0, OP_REST, 0, 9, DATA, 4, 4, 0, 1, 0, 232, 3, 0, 9, 0, 7, 0, 1, 1,
         9, 200);
    SEED("join_acks", CONFIG, JOIN, OP_SEND, 0, 4, 0, OP_REST, 0, 9, DATA, 0, 11, 9, 0, 0, 0, OP_REST, 0, 41);
    SEED("join_dialed", CONFIG, OP_SEND, 0, 4, 8, OP_REST, 0, 9, OP_HELLO, 0, 3, OP_REST, 0, 9);
    SEED("join_refused", CONFIG, OP_SEND, 0, 4, 8, OP_REST, 0, 9, OP_REFUSE, 0, 2);
}

void fuzz_seeds(void (*emit)(const char *name, const void *data, size_t size))
{
    SEED("empty", CONFIG);
    SEED("echo", CONFIG, LIVE);
    SEED("echo_writers", CONFIG, OP_SEND, 0, 16, 8, OP_ARRIVE, 2, 0x15, OP_ARRIVE, 2);
    SEED("regions", CONFIG, OP_SEND, 0, 0, 12, 4, 11, 18, 20, OP_ARRIVE, 2, 0x27, OP_ARRIVE, 2, OP_ARRIVE, 2);
    SEED("long_form", 0x80, 0x17, OP_SEND, 0, 0, 56, OP_ARRIVE, 2, OP_ARRIVE, 2, 0x0f, OP_ARRIVE, 2, OP_ARRIVE, 2);
    SEED("workers", 0x06, 0x07, ECHO, OP_ARRIVE, 2, OP_SEND + 1, 0, 0, 8, OP_ARRIVE, 2, 7, OP_ARRIVE, 2);
    SEED("both_ways", CONFIG, LIVE, OP_SEND + 1, 0, 0, 9, 13, OP_ARRIVE, 2, 0x27, OP_ARRIVE, 2);
    SEED("few_slots", SMALL, OP_SEND, 0, 0, 8, OP_SEND, 0, 0, 8, OP_SEND, 0, 0, 8, OP_ARRIVE, 2, 7, OP_ARRIVE, 2, 7, OP_ARRIVE, 2,
         OP_REST, 0, 35, OP_ARRIVE, 2);
    SEED("deadline", CONFIG, OP_SEND, 0, 8, 8, 100, OP_REST, 0, 45);
    SEED("loss", CONFIG, LIVE, OP_SEND, 0, 0, 9, 5, OP_TX, 15, OP_DROP, 1, OP_DROP, 1, OP_REST, 0, 45, OP_ARRIVE, 2, 0x27);
    SEED("reorder", CONFIG, LIVE, OP_SEND, 0, 0, 10, 5, 4, OP_TX, 15, OP_DROP, 5, OP_DROP, 0, OP_DROP, 2, OP_DROP, 0, OP_ARRIVE, 2);
    SEED("changed", CONFIG, LIVE, OP_SEND, 0, 0, 9, 5, OP_TX, 15, OP_DROP, 3, 1, 30, 1, OP_DROP, 4, 60, OP_ARRIVE, 2);
    SEED("no_packets", CONFIG, OP_NO_PACKET, 7, ECHO);
    SEED("restart", CONFIG, LIVE, OP_RESTART + 1, 1, OP_SEND, 0, 0, 8, OP_ARRIVE, 2, OP_REST, 0, 45, OP_ARRIVE, 2, OP_ARRIVE, 2);
    SEED("shutdown", CONFIG, LIVE, OP_SEND, 0, 0, 8, OP_RESTART + 1, 0, OP_ARRIVE, 2, OP_SEND, 0, 0, 8, OP_ARRIVE, 2);
    SEED("moved", CONFIG, LIVE, OP_RESTART, 0x40, OP_SEND, 0, 0, 8, OP_ARRIVE, 2);
    SEED("raw", CONFIG, OP_RAW, 0, 6, 1, 3, 24, 0, 0, 0);
    SEED("silence", CONFIG, JOIN, DATA, 0, 0, 0, 1, 1, 64, 0, OP_REST, 0, 71, OP_REST, 0, 71);
    join_seeds(emit);
}
