/* Two endpoints on virtual time with impair/ between them: a full link that marks, and a path that changes its MTU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "archive/form.h"
#include "impair/impair.h"
#include "xfer/xfer.h"

enum { PACKET = 8972, ETHER = 14, HEADERS = 42, HELD = 4096, TASKS = 8, SIZE = 300000, BLOCKS = 64 };
static const uint64_t MS = 1000000;

struct end {
    struct xfer *x;
    struct end *peer;
    struct xfer_addr addr;
    struct impair to_peer;
    struct impair_slot slot[IMPAIR_LINES * HELD];
    bool bleached; /* what goes to the peer loses its ECN bits */
    uint64_t drops[CHI_DROP_COUNT];
};
struct task {
    struct xfer_out out;
    struct chi_ar_region region;
    uint8_t form[FORM_HEAD_BYTES + FORM_REGION_BYTES];
    uint8_t *bytes;
    bool done;
};

static struct end ends[2];
static struct task tasks[TASKS];
static uint64_t now, done;

static uint32_t crc(uint32_t seed, const void *p, size_t n)
{
    (void)p;
    return seed + (uint32_t)n; /* nothing is damaged here */
}
static bool packet_get(void *ctx, struct xfer_packet *out)
{
    (void)ctx;
    uint8_t *frame = calloc(1, 8 + HEADERS + PACKET); /* its length, then an Ethernet frame */
    *out = (struct xfer_packet){.data = frame + 8 + HEADERS, .cap = PACKET, .owner = frame};
    return true;
}
static void packet_put(void *ctx, struct xfer_packet *p)
{
    (void)ctx;
    free(p->owner);
}
static void packet_send(void *ctx, const struct xfer_addr *to, struct xfer_packet *p)
{
    struct end *e = ctx;
    struct impair_fate fate[IMPAIR_COPIES_MAX];
    uint8_t *frame = (uint8_t *)p->owner + 8;
    (void)to;
    memcpy(p->owner, &p->length, sizeof p->length);
    frame[ETHER - 2] = 8; /* IPv4 */
    frame[ETHER] = 0x45;
    frame[ETHER + 1] = e->bleached ? XFER_NOT_ECT : p->ecn;
    if (impair_judge(&e->to_peer, frame, p->length + HEADERS, now, fate) == 0) {
        free(p->owner);
        return;
    }
    impair_apply(&fate[0], frame);
    impair_hold(&e->to_peer, &fate[0], p->owner);
}
static void *memory_get(void *ctx, uint64_t size)
{
    (void)ctx;
    return aligned_alloc(64, (size + 63) / 64 * 64);
}
static void memory_put(void *ctx, void *p, uint64_t size)
{
    (void)ctx;
    (void)size;
    free(p);
}

static void drain(struct end *e)
{
    struct xfer_event ev;
    while (xfer_next_event(e->x, &ev))
        if (ev.kind == XFER_TASK) { /* gives back what it got */
            ev.in->regions[0].used = ev.in->regions[0].size;
            xfer_answer(e->x, ev.in, &(struct xfer_answer){.status = CHI_STATUS_OK}, now);
        } else if (ev.kind == XFER_DONE) {
            assert_int_equal(ev.status, CHI_STATUS_OK);
            ((struct task *)ev.out)->done = true;
            done++;
        }
}

static void turn(struct end *e)
{
    uint8_t *owner;
    uint32_t length;
    while ((owner = impair_release(&e->peer->to_peer, now))) {
        memcpy(&length, owner, sizeof length);
        (void)xfer_rx(e->x, &e->peer->addr, owner + 8 + HEADERS, length, owner[8 + ETHER + 1] & 3, now);
        drain(e);
        free(owner);
    }
    xfer_tick(e->x, now);
    drain(e);
    xfer_tx(e->x, now, 64);
}

static void step(void)
{
    uint64_t when = UINT64_MAX, next;
    for (int i = 0; i < 2; i++) {
        if ((next = xfer_deadline(ends[i].x)) < when)
            when = next;
        if ((next = impair_due_ns(&ends[i].to_peer)) < when)
            when = next;
    }
    assert_true(when != UINT64_MAX);
    now = when > now ? when : now;
    turn(&ends[0]);
    turn(&ends[1]);
}

static void link_set(const struct impair_settings *s)
{
    for (int i = 0; i < 2; i++)
        impair_set(&ends[i].to_peer, s);
}

static void path_open(const struct impair_settings *s, uint64_t target_ns)
{
    now = 1;
    done = 0;
    for (uint32_t i = 0; i < 2; i++) {
        struct end *e = &ends[i];
        *e = (struct end){.peer = &ends[1 - i], .addr = {.ip = i + 1, .port = 1}};
        impair_init(&e->to_peer, i + 1, e->slot, HELD);
        const struct xfer_config c = {
            .incarnation = 1, .node = i + 1, .workers = 1, .cluster = "link", .packet_max = PACKET, .peers_max = 1, .slots = 64,
            .messages_in = 128, .peer_memory = 1 << 30, .all_memory = UINT64_C(1) << 36, .quantum_bytes = 65536, .grant_bytes = 2 << 20, .overcommit = 8, .unasked_bytes = 64 << 10,
            .credit_bytes = 4 << 20, .window_packets = 128, .target_ns = target_ns, .pto_min_ns = 200000, .pto_max_ns = 200000000,
            .ack_delay_ns = 25000, .ack_every = 8, .hello_retry_ns = 2000000, .silence_ns = 1000000000, .session_seed = i + 1};
        const struct xfer_host h = {e, packet_get, packet_send, packet_put, memory_get, memory_put, 1 << 30, 1 << 30, crc, e->drops};
        e->x = xfer_init(aligned_alloc(64, (xfer_bytes(&c) + 63) / 64 * 64), &c, &h, now);
        assert_int_equal(xfer_peer_set(e->x, 2 - i, &(struct xfer_addr){.ip = 2 - i, .port = 1}), 0);
    }
    link_set(s);
}

static void path_close(void)
{
    uint8_t *owner;
    for (int i = 0; i < 2; i++) {
        xfer_shutdown(ends[i].x, now);
        drain(&ends[i]);
        xfer_tx(ends[i].x, now, 64);
        drain(&ends[i]);
        xfer_tick(ends[i].x, now);
        while ((owner = impair_release(&ends[i].to_peer, UINT64_MAX)))
            free(owner);
        free(ends[i].x);
    }
}

static uint8_t byte_of(size_t i, uint64_t seed) { return (uint8_t)(i * 7 + (i >> 8) + seed); }

/* A task whose region goes there and comes back. */
static void submit(struct task *t, uint64_t seed)
{
    struct form_head h = {.query = {.kind = CHI_QUERY_DIRECT_ID}, .regions = 1};
    *t = (struct task){.bytes = t->bytes ? t->bytes : malloc(SIZE)};
    for (size_t i = 0; i < SIZE; i++)
        t->bytes[i] = byte_of(i, seed);
    t->region = (struct chi_ar_region){.ptr = t->bytes, .size = SIZE, .flags = CHI_WRITE | CHI_EXPOSE};
    h.region[0] = (struct form_region){.size = SIZE, .flags = CHI_WRITE | CHI_EXPOSE};
    form_encode(t->form, &h);
    t->out = (struct xfer_out){.form = t->form, .form_length = form_prefix_bytes(1), .regions = &t->region, .nregions = 1,
                               .deadline_ns = now + 100000 * MS};
    xfer_send(ends[0].x, 2, &t->out, now);
}

static void until_done(uint64_t count)
{
    while (done < count)
        step();
}

static void compare_all(void)
{
    for (unsigned i = 0; i < TASKS; i++) {
        assert_int_equal(tasks[i].region.used, SIZE);
        for (size_t k = 0; k < SIZE; k++)
            if (tasks[i].bytes[k] != byte_of(k, i))
                fail_msg("task %u: another byte at %zu", i, k);
    }
}

static void submit_all(void)
{
    for (unsigned i = 0; i < TASKS; i++)
        submit(&tasks[i], i);
}

static struct xfer_peer_stats stats(int i)
{
    struct xfer_peer_stats st;
    assert_int_equal(xfer_stats(ends[i].x, &st, 1), 1);
    return st;
}

/* The target of the round trip is far away: only marks, or drops, tell that the link is full. */
static void link__that_marks_drops_nothing(void **state)
{
    static const struct impair_settings link = {
        .burst = 1, .delay_ns = 20000, .rate_bps = 10000000000, .queue_bytes = 512 << 10, .ecn_bytes = 64 << 10};
    uint64_t drops[2], marks[2], took[2];
    (void)state;
    for (unsigned bleached = 0; bleached < 2; bleached++) {
        path_open(&link, 100 * MS);
        ends[0].bleached = ends[1].bleached = bleached;
        submit_all();
        until_done(TASKS);
        compare_all();
        drops[bleached] = ends[0].to_peer.stats.queue_drops + ends[1].to_peer.stats.queue_drops;
        marks[bleached] = ends[0].to_peer.stats.marked + ends[1].to_peer.stats.marked;
        took[bleached] = now;
        if (!bleached) {
            assert_true(stats(0).cuts > 0 && stats(1).cuts > 0);
            assert_int_equal(stats(0).retransmits + stats(1).retransmits, 0);
            assert_in_range(stats(0).marks_tx, 1, ends[0].to_peer.stats.marked);
            assert_true(stats(0).marks_tx <= stats(1).marks_rx);
        }
        path_close();
    }
    print_message("%llu marked, %llu dropped, %llu us; without: %llu dropped, %llu us\n", (unsigned long long)marks[0],
                  (unsigned long long)drops[0], (unsigned long long)took[0] / 1000, (unsigned long long)drops[1],
                  (unsigned long long)took[1] / 1000);
    assert_true(marks[0] > 0);
    assert_int_equal(drops[0], 0);
    assert_int_equal(marks[1], 0);
    assert_true(drops[1] > 0);
}

static void path__that_shrinks_and_widens_carries_all(void **state)
{
    static const uint64_t mtus[] = {1500, 1300, 0, 4100, 1228, 9000};
    struct impair_settings link = {.burst = 1, .delay_ns = 20000, .rate_bps = 10000000000, .queue_bytes = 1 << 20};
    (void)state;
    path_open(&link, 1 * MS);
    submit_all();
    until_done(TASKS);
    assert_int_equal(stats(0).packet_bytes, PACKET);
    assert_int_equal(stats(1).packet_bytes, PACKET);
    for (unsigned i = 0; i < sizeof mtus / sizeof mtus[0]; i++) {
        uint32_t room = mtus[i] ? (uint32_t)mtus[i] - 28 : PACKET, want = room >= PACKET ? PACKET : room >= 4000 ? 4000 : room >= 1472 ? 1472 : 1200;
        uint64_t over = ends[0].to_peer.stats.over_mtu, from = now;
        done = 0;
        submit_all();
        for (uint64_t sent = stats(0).segment_bytes_tx; stats(0).segment_bytes_tx < sent + SIZE;)
            step(); /* into the middle of it */
        link.mtu_bytes = mtus[i];
        link_set(&link);
        until_done(TASKS);
        compare_all();
        assert_true(now - from < 200 * MS);
        if (i == 0)
            assert_true(ends[0].to_peer.stats.over_mtu > over);
        for (done = 0; done < 40 * TASKS && (stats(0).packet_bytes != want || stats(1).packet_bytes != want);) { /* and finds its size again */
            uint64_t so_far = done;
            now += 200 * MS; /* nothing goes meanwhile */
            submit_all();
            until_done(so_far + TASKS);
        }
        assert_int_equal(stats(0).packet_bytes, want);
        assert_int_equal(stats(1).packet_bytes, want);
    }
    assert_int_equal(stats(0).downs + stats(1).downs, 0);
    path_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(link__that_marks_drops_nothing),
        cmocka_unit_test(path__that_shrinks_and_widens_carries_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
