/* bench_xfer.c - the transport alone: two endpoints in one thread, packets handed over in memory.
 * bench_xfer [--json]: ns for a 64 B task there and back (both sides), alone and in batches, and bytes per second of 1 MiB
 * regions, with a CRC of nothing and with ISA-L's CRC32C. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "archive/form.h"
#include "worker/crc32c.h"
#include "xfer/xfer.h"

enum { PACKET = 8972, RING = 1024, BATCH = 64, FORM = FORM_HEAD_BYTES + 64, MIB = 1 << 20 };

struct end {
    struct xfer *x;
    struct end *peer;
    struct xfer_addr addr;
    struct xfer_packet ring[RING]; /* to this end */
    uint32_t head, tail;
    uint64_t drops[CHI_DROP_COUNT];
    void *pages[16]; /* regions that are free, one size */
    uint32_t npages;
    uint64_t done, failed;
};

static uint8_t *free_packets[4 * RING];
static uint32_t nfree;
static uint64_t now;

static uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool packet_get(void *ctx, struct xfer_packet *out)
{
    struct end *e = ctx;
    if (!nfree || e->peer->tail - e->peer->head == RING)
        return false;
    *out = (struct xfer_packet){.data = free_packets[--nfree], .cap = PACKET};
    return true;
}
static void packet_put(void *ctx, struct xfer_packet *p)
{
    (void)ctx;
    free_packets[nfree++] = p->data;
}
static void packet_send(void *ctx, const struct xfer_addr *to, struct xfer_packet *p)
{
    struct end *e = ctx;
    (void)to;
    e->peer->ring[e->peer->tail++ % RING] = *p;
}
static void *memory_get(void *ctx, uint64_t size)
{
    struct end *e = ctx;
    if (size > MIB)
        abort();
    return e->npages ? e->pages[--e->npages] : aligned_alloc(64, MIB);
}
static void memory_put(void *ctx, void *p, uint64_t size)
{
    struct end *e = ctx;
    (void)size;
    if (e->npages == 16)
        abort();
    e->pages[e->npages++] = p;
}
static uint32_t crc_none(uint32_t seed, const void *p, size_t n)
{
    (void)p;
    return seed + (uint32_t)n;
}

static size_t body_64(struct xfer_in *in, uint8_t *dst, size_t cap)
{
    (void)in;
    if (cap < 64)
        return 0;
    memset(dst, 7, 64);
    return 64;
}

static void drain(struct end *e)
{
    struct xfer_event ev;
    while (xfer_next_event(e->x, &ev)) {
        if (ev.kind == XFER_TASK) {
            for (uint32_t k = 0; k < ev.in->nregions; k++)
                if (ev.in->regions[k].flags & CHI_EXPOSE)
                    ev.in->regions[k].used = ev.in->regions[k].size;
            xfer_answer(e->x, ev.in, &(struct xfer_answer){.status = CHI_STATUS_OK, .write = body_64}, now);
        } else if (ev.kind == XFER_DONE) {
            e->done++;
            e->failed += ev.status != CHI_STATUS_OK;
        }
    }
}

static void turn(struct end *e)
{
    while (e->head != e->tail) {
        struct xfer_packet *p = &e->ring[e->head++ % RING];
        if (xfer_rx(e->x, &e->peer->addr, p->data, p->length, p->ecn, now) != CHI_DROP_NONE)
            abort();
        drain(e);
        free_packets[nfree++] = p->data;
    }
    xfer_tick(e->x, now);
    drain(e);
    xfer_tx(e->x, now, 32);
    now += 100; /* virtual: no clock in the loop */
}

static void pair(struct end *a, struct end *b, wire_crc32c_fn crc)
{
    struct end *e[2] = {a, b};
    nfree = 0;
    for (uint32_t i = 0; i < 2 * RING; i++)
        free_packets[nfree++] = aligned_alloc(64, (PACKET + 63) / 64 * 64);
    for (uint32_t i = 0; i < 2; i++) {
        struct xfer_config c = {
            .incarnation = 1, .node = i + 1, .workers = 1, .cluster = "bench", .packet_max = PACKET, .peers_max = 1,
            .slots = 1024, .messages_in = 4096, .peer_memory = 1u << 30, .all_memory = 1u << 30, .quantum_bytes = 65536, .grant_bytes = 4 << 20, .overcommit = 8, .unasked_bytes = 65536, .credit_bytes = 4 << 20, .window_packets = 128, .target_ns = 100000, .pto_min_ns = 200000000, .pto_max_ns = 400000000,
            .ack_delay_ns = 25000, .ack_every = 8, .hello_retry_ns = 2000000, .silence_ns = 1000000000, .session_seed = i + 1,
        };
        *e[i] = (struct end){.peer = e[1 - i], .addr = {.ip = i + 1, .port = 1}};
        struct xfer_host h = {e[i], packet_get, packet_send, packet_put, memory_get, memory_put, MIB, UINT64_MAX, crc, e[i]->drops};
        e[i]->x = xfer_init(aligned_alloc(64, xfer_bytes(&c)), &c, &h, now);
    }
    for (uint32_t i = 0; i < 2; i++)
        if (xfer_peer_set(e[i]->x, 2 - i, &e[1 - i]->addr))
            abort();
}

/* Sends n messages of the kind and runs until all are back. */
static void round_trip(struct end *a, struct end *b, struct xfer_out *m, uint32_t n)
{
    uint64_t want = a->done + n;
    for (uint32_t i = 0; i < n; i++) {
        m[i].deadline_ns = now + 1000000000000u;
        xfer_send(a->x, 2, &m[i], now);
    }
    xfer_tx(a->x, now, 32);
    while (a->done != want) {
        turn(b);
        turn(a);
    }
}

static double measure(struct end *a, struct end *b, struct xfer_out *m, uint32_t n, uint32_t rounds)
{
    double best = 0;
    for (int k = 0; k < 5; k++) {
        uint64_t t = clock_ns();
        for (uint32_t i = 0; i < rounds; i++)
            round_trip(a, b, m, n);
        double each = (double)(clock_ns() - t) / rounds / n;
        if (best == 0 || each < best)
            best = each;
    }
    return best;
}

static void run(const char *name, wire_crc32c_fn crc, bool json, bool last)
{
    static struct end a, b;
    static uint8_t form[FORM], forms[2][FORM];
    static struct xfer_out m[BATCH];
    static struct chi_ar_region regions[2];
    pair(&a, &b, crc);
    struct form_head h = {.query = {.kind = CHI_QUERY_DIRECT_ID}};
    form_encode(form, &h);
    for (int i = 0; i < BATCH; i++)
        m[i] = (struct xfer_out){.form = form, .form_length = FORM};
    round_trip(&a, &b, m, 1);
    double one = measure(&a, &b, m, 1, 100000), batch = measure(&a, &b, m, BATCH, 5000);
    double bulk[2];
    for (int k = 0; k < 2; k++) {
        h.regions = 1;
        h.region[0] = (struct form_region){.size = MIB, .flags = k ? CHI_EXPOSE : CHI_WRITE};
        form_encode(forms[k], &h);
        regions[k] = (struct chi_ar_region){.ptr = calloc(1, MIB), .size = MIB, .flags = h.region[0].flags};
        struct xfer_out big = {.form = forms[k], .form_length = FORM, .regions = &regions[k], .nregions = 1};
        bulk[k] = MIB / measure(&a, &b, &big, 1, 300);
    }
    if (a.failed || b.failed)
        abort();
    if (json)
        printf("{\"crc\": \"%s\", \"task_ns\": %.0f, \"task_batch_ns\": %.0f, \"write_GBps\": %.2f, \"read_GBps\": %.2f}%s\n",
               name, one, batch, bulk[0], bulk[1], last ? "" : ",");
    else
        printf("crc %-5s 64 B task there and back, both sides: %4.0f ns alone, %4.0f ns in batches of %d; "
               "1 MiB regions: write %.2f GB/s, read %.2f GB/s\n", name, one, batch, BATCH, bulk[0], bulk[1]);
}

int main(int argc, char **argv)
{
    bool json = argc > 1 && !strcmp(argv[1], "--json");
    if (json)
        printf("[\n");
    run("none", crc_none, json, false);
    run("isal", crc32c, json, true);
    if (json)
        printf("]\n");
    return 0;
}
