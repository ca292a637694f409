/* Who waits for whom: small tasks beside a region of 4 GiB, several regions of one session, several peers. */
#include <sys/mman.h>

#include "xfer_net.h"

enum { PACKET = 8972, KIB = 1 << 10, MIB = 1 << 20, FLOWS = 4, HUGE_SLOT = 0 };
static const uint64_t HUGE_BYTES = UINT64_C(4) << 30;

static uint8_t *from, *to; /* address space for a huge region; what is not touched costs nothing */

/* What a sender put onto the wire. */
static struct {
    uint64_t bytes[FLOWS + 2];     /* of segments, by slot, or by node when by_node */
    uint64_t since;                /* of segments of the huge region since the last mark */
    uint64_t waited;               /* `since` when the awaited frame went */
    uint64_t lead, run, longest;   /* most between two flows; of one flow without another between, now and at most */
    uint32_t awaited, last, flows; /* slot; HUGE_SLOT: none */
    uint64_t awaited_left;         /* bytes of its segments that must go; 0: its head */
    bool by_node;
} wire;

static void *big_get(struct end *e, uint64_t size)
{
    (void)e;
    return size >= MIB ? to : aligned_alloc(64, (size + 63) / 64 * 64); /* nobody looks at large ones */
}
static void big_put(struct end *e, void *p, uint64_t size)
{
    (void)e;
    if (size < MIB)
        free(p);
}

static void note_segment(uint32_t flow, uint32_t slot, uint32_t length)
{
    wire.bytes[flow] += length;
    wire.run = flow == wire.last ? wire.run + length : length;
    wire.longest = wire.run > wire.longest ? wire.run : wire.longest;
    wire.last = flow;
    for (uint32_t i = 0; i < wire.flows; i++)
        if (wire.bytes[flow] > wire.bytes[i] && wire.bytes[flow] - wire.bytes[i] > wire.lead)
            wire.lead = wire.bytes[flow] - wire.bytes[i];
    if (slot == HUGE_SLOT)
        wire.since += length;
    else if (slot == wire.awaited && wire.awaited_left && (wire.awaited_left -= length) == 0)
        wire.awaited = HUGE_SLOT, wire.waited = wire.since;
}

static void look(struct end *e, uint32_t node, const uint8_t *p, uint32_t length)
{
    struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = length};
    struct wire_header h;
    struct wire_frame f;
    assert_int_equal(wire_open(p, length, net_crc, &h), CHI_DROP_NONE);
    if (e->node != 1 || h.kind != WIRE_KIND_DATA)
        return;
    while (wire_next_frame(&c, &f) == CHI_DROP_NONE && f.type != WIRE_FRAME_END) {
        if (f.type == WIRE_FRAME_SEGMENT)
            note_segment(wire.by_node ? node - 2 : f.segment.slot, f.segment.slot, f.segment.length);
        if (f.type == WIRE_FRAME_TASK_IN && f.task_in.slot == wire.awaited && !wire.awaited_left)
            wire.awaited = HUGE_SLOT, wire.waited = wire.since;
    }
}

static void ended(struct end *e, const struct xfer_event *ev) { assert_int_equal(net_ended(e, ev)->status, CHI_STATUS_OK); }

/* Node 1, and `others`; each knows node 1. */
static void open_with(struct net *n, uint32_t others, uint32_t quantum, uint32_t unasked)
{
    memset(&wire, 0, sizeof wire);
    *n = (struct net){.memory_get = big_get, .memory_put = big_put, .done = ended, .look = look};
    net_open(n, others + 1, PACKET);
    for (uint32_t k = 1; k <= others + 1; k++) {
        struct xfer_config c = net_config(k, k == 1 ? others : 1, PACKET);
        c.quantum_bytes = quantum;
        c.unasked_bytes = c.credit_bytes = unasked;
        net_start(n, &c);
        if (k > 1)
            net_meet(n, 1, k);
    }
}

static void run(struct net *n, uint64_t ns)
{
    for (uint64_t until = n->now + ns; n->now < until;)
        assert_true(net_step(n));
}

static void send_region(struct net *n, uint32_t node, struct net_task *t, uint64_t size)
{
    t->region[0] = (struct chi_ar_region){.ptr = from, .size = size, .flags = CHI_WRITE};
    net_send(n, 1, node, t, 1, 8);
}

/* Sends it, with `left` bytes of a region, and says how many bytes of the huge one went before it. */
static uint64_t beside(struct net *n, struct net_task *t, uint32_t left)
{
    wire.since = 0;
    wire.awaited = 1; /* the other slot that is free is always the first one */
    wire.awaited_left = left;
    if (left)
        send_region(n, 2, t, left);
    else
        net_send(n, 1, 2, t, 0, 50);
    while (wire.awaited)
        assert_true(net_step(n));
    while (t->status == CHI_STATUS_PENDING)
        assert_true(net_step(n));
    return wire.waited;
}

static void small_task__waits_for_a_quantum_of_a_huge_region_at_most(void **state)
{
    (void)state;
    static const uint32_t quanta[] = {16 * KIB, 64 * KIB, MIB};
    for (int i = 0; i < 3; i++) {
        struct net n;
        struct net_task huge, other;
        uint64_t small = 0, middle = 0;
        open_with(&n, 1, quanta[i], 64 * KIB);
        send_region(&n, 2, &huge, HUGE_BYTES);
        run(&n, 3 * MS);
        for (uint32_t k = 0; k < 200; k++) {
            uint64_t waited = beside(&n, &other, k % 2 ? 0 : 16 * KIB); /* the other one's segments too */
            *(k % 2 ? &small : &middle) = waited > *(k % 2 ? &small : &middle) ? waited : *(k % 2 ? &small : &middle);
            run(&n, (k * 7919 % 97) * US); /* not in step with the packets */
        }
        assert_true(wire.bytes[HUGE_SLOT] > 20 * MIB && wire.bytes[HUGE_SLOT] < HUGE_BYTES); /* it filled the link all the time */
        assert_true(small <= PACKET);
        assert_true(middle <= quanta[i] + 2 * PACKET);
        assert_int_equal(huge.status, CHI_STATUS_PENDING);
        free(huge.form);
        net_close(&n);
    }
}

static void regions__of_a_session_share_by_the_quantum(void **state)
{
    (void)state;
    static const uint32_t quanta[] = {16 * KIB, 64 * KIB, 256 * KIB};
    for (int i = 0; i < 3; i++) {
        struct net n;
        struct net_task t[FLOWS];
        open_with(&n, 1, quanta[i], 1 << 30); /* all of them are sent unasked: no grant decides */
        wire.flows = FLOWS;
        for (int k = 0; k < FLOWS; k++)
            send_region(&n, 2, &t[k], 64 * MIB);
        run(&n, 30 * MS);
        uint64_t sum = 0;
        for (int k = 0; k < FLOWS; k++) {
            sum += wire.bytes[k];
            assert_int_equal(t[k].status, CHI_STATUS_PENDING);
            free(t[k].form);
        }
        assert_true(sum > 30 * MIB); /* of 36 that 30 ms carry */
        assert_true(wire.lead <= quanta[i] + PACKET && wire.lead > quanta[i] - PACKET);
        assert_true(wire.longest <= quanta[i] + PACKET && wire.longest > quanta[i] - PACKET);
        net_close(&n);
    }
}

static void peers__share_the_link_of_who_sends_to_them(void **state)
{
    (void)state;
    struct net n;
    struct net_task t[FLOWS];
    open_with(&n, FLOWS, 64 * KIB, 64 * KIB);
    wire.by_node = true;
    for (uint32_t k = 0; k < FLOWS; k++)
        send_region(&n, k + 2, &t[k], HUGE_BYTES);
    run(&n, 10 * MS);
    memset(wire.bytes, 0, sizeof wire.bytes);
    run(&n, 50 * MS);
    uint64_t sum = 0;
    for (uint32_t k = 0; k < FLOWS; k++)
        sum += wire.bytes[k];
    assert_true(sum > 50 * MIB); /* of 60 */
    for (uint32_t k = 0; k < FLOWS; k++) {
        assert_true(wire.bytes[k] * FLOWS > sum * 9 / 10 && wire.bytes[k] * FLOWS < sum * 11 / 10);
        free(t[k].form);
    }
    net_close(&n);
}

/* The other way round: what arrives of each where all of them send. */
static void peers__share_the_link_of_who_receives_from_them(void **state)
{
    (void)state;
    struct net n;
    struct net_task t[FLOWS];
    struct xfer_peer_stats before[FLOWS], after[FLOWS];
    open_with(&n, FLOWS, 64 * KIB, 64 * KIB);
    for (uint32_t k = 0; k < FLOWS; k++) {
        t[k].region[0] = (struct chi_ar_region){.ptr = from, .size = HUGE_BYTES, .flags = CHI_WRITE};
        net_send(&n, k + 2, 1, &t[k], 1, 8);
    }
    run(&n, 20 * MS);
    assert_int_equal(xfer_stats(n.end[0].x, before, FLOWS), FLOWS);
    run(&n, 100 * MS);
    assert_int_equal(xfer_stats(n.end[0].x, after, FLOWS), FLOWS);
    uint64_t sum = 0;
    for (uint32_t k = 0; k < FLOWS; k++)
        sum += after[k].segment_bytes_rx - before[k].segment_bytes_rx;
    assert_true(sum > 100 * MIB); /* of 120 */
    for (uint32_t k = 0; k < FLOWS; k++) {
        uint64_t part = (after[k].segment_bytes_rx - before[k].segment_bytes_rx) * FLOWS;
        assert_true(part > sum * 3 / 4 && part < sum * 5 / 4);
        free(t[k].form);
    }
    net_close(&n);
}

static void acks__are_one_for_eight_packets_under_load(void **state)
{
    (void)state;
    struct net n;
    struct net_task t;
    struct xfer_peer_stats before, after;
    open_with(&n, 1, 64 * KIB, 64 * KIB);
    n.ps_byte = 200; /* 40 Gb/s: eight packets come before the delay of an acknowledgement is over */
    send_region(&n, 2, &t, HUGE_BYTES);
    run(&n, 5 * MS);
    assert_true(xfer_stats_of(n.end[1].x, 1, &before));
    run(&n, 20 * MS);
    assert_true(xfer_stats_of(n.end[1].x, 1, &after));
    uint64_t packets = after.packets_rx - before.packets_rx, acks = after.acks_tx - before.acks_tx;
    uint64_t grants = after.grants_tx - before.grants_tx; /* with each goes what there is to acknowledge */
    assert_true(packets > 8000);
    assert_true(acks <= packets / 8 + grants + 1);
    free(t.form);
    net_close(&n);
}

static int setup(void **state)
{
    (void)state;
    from = mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    to = mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return from == MAP_FAILED || to == MAP_FAILED;
}

static int teardown(void **state)
{
    (void)state;
    return munmap(from, HUGE_BYTES) || munmap(to, HUGE_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(small_task__waits_for_a_quantum_of_a_huge_region_at_most, setup, teardown),
        cmocka_unit_test_setup_teardown(regions__of_a_session_share_by_the_quantum, setup, teardown),
        cmocka_unit_test_setup_teardown(peers__share_the_link_of_who_sends_to_them, setup, teardown),
        cmocka_unit_test_setup_teardown(peers__share_the_link_of_who_receives_from_them, setup, teardown),
        cmocka_unit_test_setup_teardown(acks__are_one_for_eight_packets_under_load, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
