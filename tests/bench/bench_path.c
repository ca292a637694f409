/* bench_path.c - the transport over a path with a rate, a delay and losses, in virtual time: two endpoints, configured as the
 * daemon's are by default, and impair/ between them, in one thread.  The same figures on every machine.
 * bench_path [--json]: bytes a second by share of lost packets, ns that a small task takes with and without losses, and beside a
 * region that fills the path; each with its reference, the path without losses, or free.  Ends with 1 when a goal is missed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/form.h"
#include "impair/impair.h"
#include "xfer/xfer.h"

enum { PACKET = 8972, HEADERS = 42, HELD = 4096, PACKETS = 3 * HELD, OPEN = 8, FORM = FORM_HEAD_BYTES, MIB = 1 << 20, GIB = 1 << 30 };
static const struct impair_settings PATH = {
    .burst = 1, .delay_ns = 50000, .rate_bps = 10000000000, .queue_bytes = MIB};
static const uint64_t MS = 1000000;

struct end {
    struct xfer *x;
    struct end *peer;
    struct xfer_addr addr;
    struct impair to_peer;
    struct impair_slot slot[IMPAIR_LINES * HELD];
    uint64_t drops[CHI_DROP_COUNT], bytes;
};
struct task {
    struct xfer_out out;
    struct chi_ar_region region;
    uint8_t form[FORM + FORM_REGION_BYTES];
    uint64_t sent_ns, took_ns;
    bool done;
};

static struct end ends[2];
static uint8_t *free_packets[PACKETS], *memory;
static uint32_t nfree;
static uint64_t now;

static void die(const char *what)
{
    fprintf(stderr, "bench_path: %s\n", what);
    exit(1);
}

/* --- a packet buffer: its length, then a frame */

static uint32_t *length_of(uint8_t *frame) { return (uint32_t *)(frame - 8); }
static uint8_t *frame_get(void)
{
    if (!nfree)
        die("no packet buffer is left");
    return free_packets[--nfree] + 8;
}
static void frame_put(uint8_t *frame) { free_packets[nfree++] = frame - 8; }

static bool packet_get(void *ctx, struct xfer_packet *out)
{
    (void)ctx;
    *out = (struct xfer_packet){.cap = PACKET, .owner = frame_get()};
    out->data = (uint8_t *)out->owner + HEADERS;
    return true;
}
static void packet_put(void *ctx, struct xfer_packet *p)
{
    (void)ctx;
    frame_put(p->owner);
}
static void packet_send(void *ctx, const struct xfer_addr *to, struct xfer_packet *p)
{
    struct end *e = ctx;
    struct impair_fate fate[IMPAIR_COPIES_MAX];
    (void)to;
    *length_of(p->owner) = p->length;
    if (impair_judge(&e->to_peer, p->owner, p->length + HEADERS, now, fate) == 0)
        frame_put(p->owner);
    else
        impair_hold(&e->to_peer, &fate[0], p->owner);
}
/* Everything is for one region after the other, and nobody looks at it. */
static void *memory_get(void *ctx, uint64_t size)
{
    (void)ctx;
    return size <= GIB ? memory : NULL;
}
static void memory_put(void *ctx, void *p, uint64_t size)
{
    (void)ctx;
    (void)p;
    (void)size;
}
static uint32_t crc_none(uint32_t seed, const void *p, size_t n)
{
    (void)p;
    return seed + (uint32_t)n;
}

/* --- the two ends */

static void drain(struct end *e)
{
    struct xfer_event ev;
    while (xfer_next_event(e->x, &ev))
        if (ev.kind == XFER_TASK) {
            xfer_answer(e->x, ev.in, &(struct xfer_answer){.status = CHI_STATUS_OK}, now);
        } else if (ev.kind == XFER_DONE) {
            struct task *t = (struct task *)ev.out;
            if (ev.status != CHI_STATUS_OK)
                die(chi_status_text(ev.status));
            t->took_ns = now - t->sent_ns;
            t->done = true;
            e->bytes += t->region.size;
        }
}

static void turn(struct end *e)
{
    uint8_t *frame;
    while ((frame = impair_release(&e->peer->to_peer, now))) {
        (void)xfer_rx(e->x, &e->peer->addr, frame + HEADERS, *length_of(frame), XFER_ECT_0, now);
        drain(e);
        frame_put(frame);
    }
    xfer_tick(e->x, now);
    drain(e);
    xfer_tx(e->x, now, 64);
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* To whatever comes next. */
static void step(void)
{
    uint64_t when = least(least(xfer_deadline(ends[0].x), xfer_deadline(ends[1].x)),
                          least(impair_due_ns(&ends[0].to_peer), impair_due_ns(&ends[1].to_peer)));
    if (when == UINT64_MAX)
        die("nothing will ever happen");
    now = when > now ? when : now;
    turn(&ends[0]);
    turn(&ends[1]);
}

static void path_make(uint32_t loss_ppb)
{
    now = 1;
    for (uint32_t i = 0; i < 2; i++) {
        struct end *e = &ends[i];
        struct impair_settings set = PATH;
        uint8_t *frame;
        set.loss_ppb = loss_ppb;
        while (e->x && (frame = impair_release(&e->to_peer, UINT64_MAX)))
            frame_put(frame);
        free(e->x);
        e->peer = &ends[1 - i];
        e->addr = (struct xfer_addr){.ip = i + 1, .port = 1};
        e->bytes = 0;
        impair_init(&e->to_peer, i + 1, e->slot, HELD);
        impair_set(&e->to_peer, &set);
        const struct xfer_config c = {
            .incarnation = 1, .node = i + 1, .workers = 1, .cluster = "bench", .packet_max = PACKET, .peers_max = 1, .slots = 1024,
            .messages_in = 2048, .peer_memory = UINT64_C(2) << 30, .all_memory = UINT64_C(2) << 30, .quantum_bytes = 64 << 10, .grant_bytes = 2 << 20, .overcommit = 8, .unasked_bytes = 64 << 10,
            .credit_bytes = 4 << 20, .window_packets = 128, .target_ns = 250000, .pto_min_ns = 200000, .pto_max_ns = 200000000,
            .ack_delay_ns = 25000, .ack_every = 8, .hello_retry_ns = 2000000, .silence_ns = 1000000000, .session_seed = i + 1,
        };
        const struct xfer_host h = {e, packet_get, packet_send, packet_put, memory_get, memory_put, GIB, UINT64_C(2) << 30, crc_none, e->drops};
        e->x = xfer_init(aligned_alloc(64, (xfer_bytes(&c) + 63) & ~(size_t)63), &c, &h, now);
    }
    for (uint32_t i = 0; i < 2; i++)
        if (xfer_peer_set(ends[i].x, 2 - i, &ends[1 - i].addr))
            die("no peer");
}

/* A task with a WRITE region of that size; 0: none. */
static void submit(struct task *t, uint64_t size)
{
    struct form_head h = {.query = {.kind = CHI_QUERY_DIRECT_ID}, .regions = size > 0};
    *t = (struct task){.region = {.ptr = memory, .size = size, .flags = CHI_WRITE}, .sent_ns = now};
    h.region[0] = (struct form_region){.size = size, .flags = CHI_WRITE};
    form_encode(t->form, &h);
    t->out = (struct xfer_out){.form = t->form, .form_length = form_prefix_bytes(h.regions), .regions = &t->region, .nregions = h.regions,
                               .deadline_ns = now + 100000 * MS};
    xfer_send(ends[0].x, 2, &t->out, now);
    xfer_tx(ends[0].x, now, 64);
}

/* Bytes a second with OPEN regions of 1 MiB under way, after 50 ms of warming up. */
static double goodput(uint32_t loss_ppb, uint64_t span_ns)
{
    static struct task tasks[OPEN];
    path_make(loss_ppb);
    for (int i = 0; i < OPEN; i++)
        submit(&tasks[i], MIB);
    uint64_t from = 0, begin = now + 50 * MS, end = begin + span_ns;
    while (now < end) {
        step();
        if (now < begin)
            from = ends[0].bytes;
        for (int i = 0; i < OPEN; i++)
            if (tasks[i].done)
                submit(&tasks[i], MIB);
    }
    return (double)(ends[0].bytes - from) / ((double)span_ns / 1e9);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Small tasks, one after the other: that quantile of their latency in ns.  beside: with a region of 1 GiB under way. */
static uint64_t latency(uint32_t loss_ppb, uint32_t count, double quantile, bool beside)
{
    static struct task small, big;
    uint64_t *took = calloc(count, sizeof *took);
    path_make(loss_ppb);
    if (beside)
        submit(&big, GIB);
    uint32_t n = 0;
    for (submit(&small, 0); n < count; submit(&small, 0)) {
        while (!small.done)
            step();
        if (beside && big.done)
            break; /* the path is free again */
        if (small.sent_ns > 50 * MS) /* warm */
            took[n++] = small.took_ns;
        for (uint64_t next = now + 10000 + (n * 7919 % 100) * 1000; now < next && xfer_deadline(ends[0].x) != UINT64_MAX && beside;)
            step(); /* not in step with the path's packets */
    }
    qsort(took, n, sizeof *took, compare);
    uint64_t q = n ? took[(size_t)((double)(n - 1) * quantile)] : 0;
    free(took);
    return q;
}

/* What must hold of a figure, as a ratio to its reference. */
static const struct goal {
    const char *name;
    double least, most; /* of the ratio */
} goals[] = {
    {"goodput-loss-1e-4", 0.99, 1.01},
    {"goodput-loss-1e-3", 0.95, 1.01},
    {"goodput-loss-1e-2", 0.75, 1.01},
    {"small-loss-p999", 0, 5}, /* a round trip is 1: four more */
    {"small-beside-1GiB-p99", 0, 5},
};
enum { GOALS = sizeof goals / sizeof goals[0] };

int main(int argc, char **argv)
{
    if (argc > 2 || (argc == 2 && strcmp(argv[1], "--json")))
        die("usage: bench_path [--json]");
    memory = calloc(1, GIB);
    for (nfree = 0; nfree < PACKETS; nfree++)
        free_packets[nfree] = aligned_alloc(64, (8 + HEADERS + PACKET + 63) & ~63);
    double ours[GOALS], reference[GOALS];
    reference[0] = reference[1] = reference[2] = goodput(0, 1000 * MS);
    for (uint32_t i = 0, ppb = 100000; i < 3; i++, ppb *= 10)
        ours[i] = goodput(ppb, 1000 * MS);
    reference[3] = (double)latency(0, 20000, 0.999, false);
    ours[3] = (double)latency(1000000, 200000, 0.999, false);
    reference[4] = (double)latency(0, 2000, 0.99, false);
    ours[4] = (double)latency(0, 5000, 0.99, true);
    bool met = true;
    for (int i = 0; i < GOALS; i++) {
        double ratio = ours[i] / reference[i];
        bool good = ratio >= goals[i].least && ratio <= goals[i].most;
        met &= good;
        if (argc == 2)
            printf("%s\"%s\": %.0f, \"%s-reference\": %.0f", i ? ",\n " : "{", goals[i].name, ours[i], goals[i].name, reference[i]);
        else
            printf("%-24s %12.0f %12.0f %6.3f %s\n", goals[i].name, ours[i], reference[i], ratio, good ? "" : "MISSED");
    }
    if (argc == 2)
        printf("}\n");
    return met ? 0 : 1;
}
