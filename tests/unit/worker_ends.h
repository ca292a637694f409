/* worker_ends.h - a runtime of two workers whose turns the test takes, the endpoint of worker 0 (near, node 1), and another node's (far,
 * node 2); packets wait for the test to hand them over. */
#pragma once
#include "worker_support.h"
#include "xfer/xfer.h"

enum { PACKET = 1500, QUEUE = 256 };
struct packets {
    uint8_t bytes[QUEUE][PACKET];
    uint32_t length[QUEUE], first, count;
};
static struct end {
    struct xfer *x;
    void *memory;
    struct packets sent;
    uint8_t packet[PACKET];
    int memory_out;
    uint64_t drops[CHI_DROP_COUNT];
} near, far;
static struct runtime *rt;
static struct worker *w[2];

SUPPORT bool packet_get(void *ctx, struct xfer_packet *out)
{
    struct end *e = ctx;
    *out = (struct xfer_packet){.data = e->packet, .cap = PACKET};
    return true;
}
SUPPORT void packet_put(void *ctx, struct xfer_packet *p)
{
    (void)ctx;
    (void)p;
}
SUPPORT void packet_send(void *ctx, const struct xfer_addr *to, struct xfer_packet *p)
{
    struct packets *q = &((struct end *)ctx)->sent;
    uint32_t at = (q->first + q->count) % QUEUE;
    (void)to;
    assert_true(q->count < QUEUE);
    memcpy(q->bytes[at], p->data, p->length);
    q->length[at] = p->length;
    q->count++;
}
SUPPORT void *memory_get(void *ctx, uint64_t size)
{
    ((struct end *)ctx)->memory_out++;
    return aligned_alloc(64, (size + 63) / 64 * 64);
}
SUPPORT void memory_put(void *ctx, void *p, uint64_t size)
{
    (void)size;
    ((struct end *)ctx)->memory_out--;
    free(p);
}
SUPPORT uint32_t crc(uint32_t seed, const void *p, size_t n)
{
    (void)p;
    return seed + (uint32_t)n;
}

SUPPORT void end_make(struct end *e, uint32_t node)
{
    const struct xfer_config c = {
        .incarnation = node, .node = node, .workers = 1, .cluster = "test", .packet_max = PACKET, .peers_max = 1, .slots = 16,
        .messages_in = 16, .peer_memory = 1 << 20, .all_memory = 1 << 24, .quantum_bytes = 65536, .grant_bytes = 1 << 20, .overcommit = 4, .unasked_bytes = 1 << 20,
        .credit_bytes = 1 << 24, .window_packets = 128, .target_ns = 1000000000, .pto_min_ns = 5000000, .pto_max_ns = 5000000,
        .ack_delay_ns = 1000, .ack_every = 1, .hello_retry_ns = 1000000000, .silence_ns = 1000000000000, .session_seed = node};
    const struct xfer_host h = {e, packet_get, packet_send, packet_put, memory_get, memory_put, 1 << 20, 1 << 20, crc, e->drops};
    memset(e, 0, sizeof *e);
    e->memory = aligned_alloc(64, xfer_bytes(&c));
    e->x = xfer_init(e->memory, &c, &h, net_now_ns());
    assert_int_equal(xfer_peer_set(e->x, 3 - node, &(struct xfer_addr){.ip = 3 - node, .port = 7440}), 0);
}

SUPPORT enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 2); }
static struct xfer_event done; /* far: kind 0 until the task ended */
SUPPORT void far_events(void)
{
    struct xfer_event ev;
    while (xfer_next_event(far.x, &ev))
        if (ev.kind == XFER_DONE) {
            assert_int_equal(done.kind, 0);
            done = ev;
        }
}
static unsigned cancels;
SUPPORT void near_events(void)
{
    struct xfer_event ev;
    while (xfer_next_event(near.x, &ev))
        switch ((enum xfer_event_kind)ev.kind) {
        case XFER_TASK:
            accept_remote(w[0], ev.in, ev.bytes, ev.length);
            break;
        case XFER_MORE:
            worker_more_st(w[0], ev.in);
            break;
        case XFER_CANCELLED:
            worker_cancelled_st(w[0], ev.in, ev.status);
            cancels++;
            break;
        case XFER_ANSWERED:
            worker_answered_st(w[0], ev.in);
            break;
        case XFER_DONE:
            worker_returned_st(w[0], task_of_out(ev.out), ev.status, ev.bytes, ev.length);
            break;
        case XFER_PEER_UP:
        case XFER_PEER_DOWN:
            break;
        }
}

/* remote_queue's part of the turn. */
SUPPORT unsigned poll(struct chi_container *c, struct chi_rctx *r)
{
    (void)c;
    if (r->worker != w[0])
        return 0;
    xfer_tick(near.x, r->now_ns);
    near_events();
    return 0;
}
SUPPORT unsigned flush(struct chi_container *c, struct chi_rctx *r)
{
    (void)c;
    if (r->worker == w[0])
        xfer_tx(near.x, r->now_ns, 64);
    return 0;
}
SUPPORT void run_none(struct chi_container *c, struct chi_task **tasks, unsigned n, struct chi_rctx *r) { (void)c, (void)tasks, (void)n, (void)r; }
static const struct chi_chimod remote_queue = {.abi = CHI_CHIMOD_ABI, .size = sizeof remote_queue, .name = "remote_queue", .init = init,
                                               .run_many = run_none, .poll = poll, .flush = flush};

SUPPORT void turn(int k)
{
    worker_enter(w[k]);
    worker_turn(w[k]);
    worker_enter(w[0]);
}

/* Hands over the next packet from one to the other; false: there is none. */
SUPPORT bool pass(struct end *from, struct end *to)
{
    struct packets *q = &from->sent;
    if (!q->count)
        return false;
    w[0]->rctx.now_ns = net_now_ns();
    (void)xfer_rx(to->x, &(struct xfer_addr){.ip = from == &far ? 2 : 1, .port = 7440}, q->bytes[q->first], q->length[q->first], XFER_NOT_ECT,
                  w[0]->rctx.now_ns);
    q->first = (q->first + 1) % QUEUE;
    q->count--;
    if (to == &far)
        far_events();
    else
        near_events();
    return true;
}
SUPPORT void far_turn(void)
{
    while (pass(&near, &far))
        ;
    xfer_tick(far.x, net_now_ns());
    far_events();
    xfer_tx(far.x, net_now_ns(), 64);
}
SUPPORT void turns(void)
{
    for (int k = 0; k < 2; k++) {
        turn(1);
        turn(0);
    }
}
/* All that can happen now. */
SUPPORT void settle(void)
{
    for (int i = 0; i < 50; i++) {
        far_turn();
        while (pass(&far, &near))
            ;
        turns();
    }
}
