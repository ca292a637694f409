/* Sizes: regions from nothing to beyond 4 GiB, 16 of them, forms and bodies of every length, all slots of a session, hundreds of peers. */
#include <sys/mman.h>

#include "xfer/xfer_int.h"
#include "xfer_net.h"

enum { PACKET = 8972, KIB = 1 << 10, MIB = 1 << 20, BODY_BYTES = CHI_FORM_BYTES_MAX };
static uint32_t ended, running;

static uint8_t byte_of(uint64_t i, uint32_t key) { return (uint8_t)(i * 31 + (i >> 8) * 7 + key); }
static void fill(uint8_t *p, uint64_t n, uint32_t key)
{
    for (uint64_t i = 0; i < n; i++)
        p[i] = byte_of(i, key);
}
/* Bytes from..to of what was filled from `start` on. */
static void expect_from(const uint8_t *p, uint64_t from, uint64_t to, uint64_t start, uint32_t key)
{
    bool same = true;
    for (uint64_t i = from; i < to; i++)
        same &= p[i] == byte_of(i - start, key);
    assert_true(same);
}
static void expect(const uint8_t *p, uint64_t n, uint32_t key) { expect_from(p, 0, n, 0, key); }

static void done(struct end *e, const struct xfer_event *ev)
{
    assert_int_equal(net_ended(e, ev)->status, CHI_STATUS_OK);
    ended++;
}

static void pair_open(struct net *n, uint32_t packet_max)
{
    n->done = done;
    net_open(n, 2, packet_max);
    for (uint32_t k = 1; k <= 2; k++) {
        struct xfer_config c = net_config(k, 1, packet_max);
        net_start(n, &c);
    }
    net_meet(n, 1, 2);
    ended = 0;
}

static void until_ended(struct net *n, uint32_t count)
{
    while (ended < count)
        assert_true(net_step(n));
}

/* --- regions of usual sizes */

enum { IN_KEY = 10, OUT_KEY = 50 };
static uint64_t used_now(uint64_t size, uint32_t k) { return k % 4 == 0 ? size : k % 4 == 1 ? 0 : k % 4 == 2 ? (size + 1) / 2 : size - (size > 0); }

/* Checks what was written, and writes a part of what is exposed. */
static void exchange(struct end *e, const struct xfer_event *ev)
{
    for (uint32_t k = 0; k < ev->in->nregions; k++) {
        struct chi_ar_region *r = &ev->in->regions[k];
        if (r->flags & CHI_WRITE)
            expect(r->ptr, r->size, IN_KEY + k);
        r->used = r->flags & CHI_EXPOSE ? used_now(r->size, k + ev->length) : 0;
        if (r->used)
            fill(r->ptr, r->used, OUT_KEY + k);
    }
    xfer_answer(e->x, ev->in, &(struct xfer_answer){.status = CHI_STATUS_OK}, e->net->now);
}

/* Of a region that is written and exposed, what was not written there stays as it was. */
static void check_back(const struct net_task *t, uint32_t regions, uint32_t form_length)
{
    for (uint32_t k = 0; k < regions; k++) {
        const struct chi_ar_region *r = &t->region[k];
        const uint8_t *p = r->ptr;
        uint64_t used = r->flags & CHI_EXPOSE ? used_now(r->size, k + form_length) : 0;
        assert_int_equal(r->used, used);
        expect(p, used, OUT_KEY + k);
        expect_from(p, used, r->size, 0, IN_KEY + k);
        assert_int_equal(p[r->size], 0xee);
    }
}

static void region_make(struct chi_ar_region *r, uint64_t size, uint32_t flags, uint32_t k)
{
    uint8_t *p = malloc(size + 1);
    fill(p, size, IN_KEY + k);
    p[size] = 0xee;
    *r = (struct chi_ar_region){.ptr = p, .size = size, .flags = flags};
}

static void region__of_every_size_and_direction_is_exact(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 63, 64, 255, 256, 1200, 8900, 8948, 8949, 8972, 65535, 65536, 65537, MIB + 3};
    struct net n = {.task = exchange};
    pair_open(&n, PACKET);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (uint32_t flags = CHI_WRITE; flags <= (CHI_WRITE | CHI_EXPOSE); flags++)
            for (uint32_t body = 0; body < 4; body++) { /* decides how much comes back */
                struct net_task t;
                region_make(&t.region[0], sizes[i], flags, 0);
                ended = 0;
                net_send(&n, 1, 2, &t, 1, body);
                uint32_t length = t.out.form_length;
                until_ended(&n, 1);
                check_back(&t, 1, length);
                free(t.region[0].ptr);
            }
    net_settle(&n);
    net_close(&n);
}

static void regions__sixteen_each_way_are_exact(void **state)
{
    (void)state;
    struct net n = {.task = exchange};
    pair_open(&n, PACKET);
    for (uint32_t round = 0; round < 8; round++) {
        struct net_task t[3];
        uint32_t length[3];
        ended = 0;
        for (uint32_t i = 0; i < 3; i++) { /* at once */
            for (uint32_t k = 0; k < CHI_REGIONS_MAX; k++)
                region_make(&t[i].region[k], k % 5 == 3 ? 0 : (k * 7919 + round * 1009 + i) * (k % 3 ? 1 : 11) % 150000, 1 + (k + round) % 3, k);
            net_send(&n, 1, 2, &t[i], CHI_REGIONS_MAX, round + i);
            length[i] = t[i].out.form_length;
        }
        until_ended(&n, 3);
        for (uint32_t i = 0; i < 3; i++) {
            check_back(&t[i], CHI_REGIONS_MAX, length[i]);
            for (uint32_t k = 0; k < CHI_REGIONS_MAX; k++)
                free(t[i].region[k].ptr);
        }
    }
    net_settle(&n);
    net_close(&n);
}

/* Packets that node `who` sent, by what they bring. */
static struct { uint32_t who, packets, heads, segments; } sent;
static void count_frames(struct end *e, uint32_t node, const uint8_t *p, uint32_t length)
{
    struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = length};
    struct wire_frame f;
    uint32_t heads = 0, segments = 0;
    (void)node;
    if (e->node != sent.who || p[1] != WIRE_KIND_DATA)
        return;
    while (wire_next_frame(&c, &f) == CHI_DROP_NONE && f.type != WIRE_FRAME_END) {
        heads += f.type == WIRE_FRAME_TASK_IN || f.type == WIRE_FRAME_TASK_OUT;
        segments += f.type == WIRE_FRAME_SEGMENT;
    }
    sent.packets += heads || segments;
    sent.heads += heads;
    sent.segments += segments;
}

static void tasks__with_regions_share_a_packet_each_way(void **state)
{
    (void)state;
    enum { TASKS = 4 };
    for (uint32_t who = 1; who <= 2; who++) {
        struct net n = {.task = exchange};
        struct net_task t[TASKS];
        uint32_t length = 0;
        pair_open(&n, PACKET);
        for (uint32_t round = 0; round < 2; round++) { /* the second time there is a session, and what is sent goes at once */
            n.look = round ? count_frames : NULL;
            memset(&sent, 0, sizeof sent);
            sent.who = who;
            ended = 0;
            for (uint32_t i = 0; i < TASKS; i++) {
                for (uint32_t k = 0; k < 2; k++)
                    region_make(&t[i].region[k], 200 + 50 * i, CHI_WRITE | CHI_EXPOSE, k);
                net_send(&n, 1, 2, &t[i], 2, 3);
                length = t[i].out.form_length;
            }
            until_ended(&n, TASKS);
            for (uint32_t i = 0; i < TASKS; i++) {
                check_back(&t[i], 2, length);
                free(t[i].region[0].ptr);
                free(t[i].region[1].ptr);
            }
        }
        assert_int_equal(sent.packets, 1);
        assert_int_equal(sent.heads, TASKS);
        assert_true(sent.segments >= TASKS);
        net_settle(&n);
        net_close(&n);
    }
}

/* --- forms and bodies */

static uint8_t body[BODY_BYTES];
static void echo_body(struct end *e, const struct xfer_event *ev)
{
    assert_true(ev->length <= BODY_BYTES);
    for (uint32_t i = form_prefix_bytes(0); i < ev->length; i++)
        assert_int_equal(ev->bytes[i], 0xb0);
    xfer_answer(e->x, ev->in, &(struct xfer_answer){.status = CHI_STATUS_OK, .body = body, .body_length = ev->length}, e->net->now);
}
static void check_body(struct end *e, const struct xfer_event *ev)
{
    uint32_t length = ev->out->form_length;
    assert_int_equal(net_ended(e, ev)->status, CHI_STATUS_OK);
    assert_int_equal(ev->length, length);
    expect(ev->bytes, ev->length, 1);
    ended++;
}

static void form_and_body__of_every_length_are_exact(void **state)
{
    (void)state;
    static const uint32_t packets[] = {WIRE_PACKET_MIN, PACKET, WIRE_PACKET_MAX};
    const uint32_t least = form_prefix_bytes(0);
    fill(body, sizeof body, 1);
    for (int p = 0; p < 3; p++) {
        struct net n = {.task = echo_body};
        struct net_task t;
        pair_open(&n, packets[p]);
        n.done = check_body;
        for (uint32_t length = least; length <= BODY_BYTES; length += length < 200 ? 1 : length < 2 * PACKET ? 61 : 4001) {
            ended = 0;
            net_send(&n, 1, 2, &t, 0, length - least);
            until_ended(&n, 1);
        }
        ended = 0;
        net_send(&n, 1, 2, &t, 0, BODY_BYTES - least);
        until_ended(&n, 1);
        net_settle(&n); /* nothing of them stays */
        net_close(&n);
    }
}

/* --- across 4 GiB: the bytes before count as sent and arrived, so that few are moved; tests/unit/xfer_huge_soak.c moves all */

static const uint64_t HUGE_BYTES = (UINT64_C(4) << 30) + 5 * MIB + 17, HUGE_BACK = (UINT64_C(4) << 30) + 4 * MIB + 5;
static const uint64_t SKIPPED = (UINT64_C(4) << 30) - 3 * MIB;

static uint8_t *here, *there; /* address space; what is not touched costs nothing */

static void *huge_get(struct end *e, uint64_t size)
{
    (void)e;
    assert_int_equal(size, HUGE_BYTES);
    return there;
}
static void huge_put(struct end *e, void *p, uint64_t size)
{
    (void)e;
    assert_true(p == there && size == HUGE_BYTES);
}

static void huge_came(struct end *e, const struct xfer_event *ev)
{
    struct chi_ar_region *r = &ev->in->regions[0];
    struct msg_in *in = LIST_ENTRY(ev->in, struct msg_in, pub);
    struct net_task *t = e->net->end[0].user;
    assert_int_equal(r->size, HUGE_BYTES);
    expect(there + SKIPPED, HUGE_BYTES - SKIPPED, 1);
    fill(there + SKIPPED, HUGE_BACK - SKIPPED, 2);
    r->used = HUGE_BACK;
    xfer_answer(e->x, ev->in, &(struct xfer_answer){.status = CHI_STATUS_OK}, e->net->now);
    in->flow.offset = t->region[0].used = SKIPPED;
    running++;
}

static void inputs_skip(struct net *n, struct net_task *t)
{
    struct out_slot *o = t->out.state;
    struct msg_in *in;
    assert_non_null(o); /* there is a session */
    uint64_t unasked = o->flow.granted;
    o->flow.offset = SKIPPED;
    o->flow.granted += SKIPPED;
    do {
        assert_true(net_step(n));
        in = peer_find(n->end[1].x, 1)->send->in[o->index].in;
    } while (!in || in->arrived < unasked);
    place_forget(n->end[1].x, &in->tracks);
    in->part[0].have = in->arrived = SKIPPED + unasked;
    grant_arrived(in);
    n->end[1].when = n->now;
}

static void region__across_4_GiB_is_exact_each_way(void **state)
{
    (void)state;
    struct net n = {.task = huge_came, .memory_get = huge_get, .memory_put = huge_put};
    struct net_task small, t;
    here = mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    there = mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(here != MAP_FAILED && there != MAP_FAILED);
    fill(here + SKIPPED, HUGE_BYTES - SKIPPED, 1);
    pair_open(&n, PACKET);
    n.task = NULL;
    for (uint32_t way = 1; way <= 2; way++) { /* both know where to send */
        net_send(&n, way, 3 - way, &small, 0, 8);
        until_ended(&n, way);
    }
    n.task = huge_came;
    n.end[0].user = &t;
    running = 0;
    t.region[0] = (struct chi_ar_region){.ptr = here, .size = HUGE_BYTES, .flags = CHI_WRITE | CHI_EXPOSE};
    net_send(&n, 1, 2, &t, 1, 8);
    inputs_skip(&n, &t);
    until_ended(&n, 3);
    assert_int_equal(running, 1);
    assert_int_equal(t.region[0].used, HUGE_BACK);
    expect(here + SKIPPED, HUGE_BACK - SKIPPED, 2);
    expect_from(here, HUGE_BACK, HUGE_BYTES, SKIPPED, 1); /* as it was */
    for (uint64_t i = 0; i < HUGE_BYTES - (UINT64_C(4) << 30); i++) /* where 32 bits would have put it */
        assert_true(here[i] == 0 && there[i] == 0);
    net_close(&n);
    munmap(here, HUGE_BYTES);
    munmap(there, HUGE_BYTES);
}

/* --- many at once */

struct held { struct xfer_in **in; uint32_t count; };
static void hold(struct end *e, const struct xfer_event *ev)
{
    struct held *h = e->user;
    h->in[h->count++] = ev->in;
}
static void answer_all(struct end *e)
{
    struct held *h = e->user;
    for (uint32_t i = 0; i < h->count; i++)
        xfer_answer(e->x, h->in[i], &(struct xfer_answer){.status = CHI_STATUS_OK}, e->net->now);
    h->count = 0;
    e->when = e->net->now;
}

static void messages__as_many_as_there_are_slots_are_open_at_once(void **state)
{
    (void)state;
    enum { SLOTS = 65536, MORE = 1000 };
    struct net n = {.task = hold, .done = done};
    struct held h = {.in = malloc((SLOTS + MORE) * sizeof(void *))};
    struct net_task *t = calloc(SLOTS + MORE, sizeof *t);
    struct xfer_peer_stats st;
    net_open(&n, 2, PACKET);
    for (uint32_t k = 1; k <= 2; k++) {
        struct xfer_config c = net_config(k, 1, PACKET);
        c.slots = c.messages_in = SLOTS;
        net_start(&n, &c);
    }
    net_meet(&n, 1, 2);
    n.end[1].user = &h;
    ended = 0;
    for (uint32_t i = 0; i < SLOTS + MORE; i++)
        net_send(&n, 1, 2, &t[i], 0, 20);
    while (h.count < SLOTS)
        assert_true(net_step(&n));
    assert_true(xfer_stats_of(n.end[0].x, 2, &st));
    assert_true(st.open_out == SLOTS && st.waiting_out == MORE);
    assert_true(xfer_stats_of(n.end[1].x, 1, &st));
    assert_true(st.open_in == SLOTS);
    assert_int_equal(ended, 0);
    answer_all(&n.end[1]);
    while (ended < SLOTS + MORE) {
        assert_true(net_step(&n));
        if (ended >= SLOTS && h.count)
            answer_all(&n.end[1]);
    }
    assert_true(xfer_stats_of(n.end[0].x, 2, &st));
    assert_true(st.open_out == 0 && st.waiting_out == 0 && st.answers_in == SLOTS + MORE && st.duplicates == 0);
    net_close(&n);
    free(t);
    free(h.in);
}

static void peers__by_the_hundred_have_messages_open_at_once(void **state)
{
    (void)state;
    enum { PEERS = 500, EACH = 8, HUB = PEERS + 1, SIZE = 1000 };
    struct net n = {.task = hold, .done = done};
    struct held *h = calloc(HUB, sizeof *h);
    struct net_task *t = calloc(2 * PEERS * EACH, sizeof *t), *next = t;
    struct xfer_peer_stats *st = calloc(PEERS, sizeof *st);
    static uint8_t bytes[SIZE];
    net_open(&n, HUB, 1500);
    ended = 0;
    for (uint32_t k = HUB; k > 0; k--) {
        struct xfer_config c = net_config(k, k == HUB ? PEERS : 1, 1500);
        c.messages_in = k == HUB ? PEERS * EACH : EACH;
        h[k - 1].in = calloc(c.messages_in, sizeof(void *));
        n.end[k - 1].user = &h[k - 1];
        net_start(&n, &c);
        if (k < HUB)
            net_meet(&n, k, HUB);
    }
    for (uint32_t i = 0; i < PEERS * EACH; i++)
        for (int way = 0; way < 2; way++) {
            next->region[0] = (struct chi_ar_region){.ptr = bytes, .size = SIZE, .flags = CHI_WRITE};
            net_send(&n, way ? HUB : 1 + i % PEERS, way ? 1 + i % PEERS : HUB, next++, 1, 20);
        }
    for (uint32_t at = 0; at < HUB;) { /* until each has what comes to it */
        if (h[at].count == (at == HUB - 1 ? PEERS * EACH : EACH))
            at++;
        else
            assert_true(net_step(&n));
    }
    assert_int_equal(xfer_stats(n.end[HUB - 1].x, st, PEERS), PEERS);
    for (uint32_t i = 0; i < PEERS; i++)
        assert_true(st[i].open_out == EACH && st[i].open_in == EACH && st[i].memory >= EACH * SIZE);
    for (uint32_t k = 0; k < HUB; k++)
        answer_all(&n.end[k]);
    until_ended(&n, 2 * PEERS * EACH);
    net_settle(&n);
    net_close(&n);
    for (uint32_t k = 0; k < HUB; k++)
        free(h[k].in);
    free(h);
    free(t);
    free(st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(region__of_every_size_and_direction_is_exact),
        cmocka_unit_test(regions__sixteen_each_way_are_exact),
        cmocka_unit_test(tasks__with_regions_share_a_packet_each_way),
        cmocka_unit_test(form_and_body__of_every_length_are_exact),
        cmocka_unit_test(region__across_4_GiB_is_exact_each_way),
        cmocka_unit_test(messages__as_many_as_there_are_slots_are_open_at_once),
        cmocka_unit_test(peers__by_the_hundred_have_messages_open_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
