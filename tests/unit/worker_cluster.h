/* worker_cluster.h - many nodes in one process, each a runtime of one worker with a transport endpoint of its own; packets wait for the receiver's turn,
 * and none is lost.  Header only. */
#pragma once
#include "worker/control.h"
#include "worker_support.h"
#include "xfer/xfer.h"

enum { CLUSTER_PACKET = 1500, CLUSTER_MAX = 256 };
struct cluster_packet {
    struct cluster_packet *next;
    uint32_t from, length;
    _Alignas(8) uint8_t bytes[CLUSTER_PACKET];
};
struct cluster_node {
    struct runtime *rt;
    struct worker *w;
    void *endpoint;
    struct cluster_packet *first, **tail; /* to it */
    bool deaf;                            /* what comes is lost */
};
struct cluster {
    struct cluster_node node[CLUSTER_MAX]; /* node k has id k + 1 */
    uint32_t count;
    uint64_t packets; /* sent so far */
};
static struct cluster cluster;

SUPPORT struct cluster_node *cluster_of(const struct worker *w) { return &cluster.node[w->rt->options.node_id - 1]; }

SUPPORT bool cluster_packet_get(void *ctx, struct xfer_packet *out)
{
    struct cluster_packet *p = malloc(sizeof *p);
    (void)ctx;
    *out = (struct xfer_packet){.data = p->bytes, .cap = CLUSTER_PACKET, .owner = p};
    return true;
}
SUPPORT void cluster_packet_put(void *ctx, struct xfer_packet *x)
{
    (void)ctx;
    free(x->owner);
}
SUPPORT void cluster_packet_send(void *ctx, const struct xfer_addr *to, struct xfer_packet *x)
{
    const struct worker *from = ctx;
    struct cluster_node *n = &cluster.node[to->ip - 1];
    struct cluster_packet *p = x->owner;
    cluster.packets++;
    p->from = from->rt->options.node_id;
    p->length = x->length;
    p->next = NULL;
    *n->tail = p;
    n->tail = &p->next;
}
SUPPORT void *cluster_memory_get(void *ctx, uint64_t size) { return buddy_try_get(((struct worker *)ctx)->memory, size); }
SUPPORT void cluster_memory_put(void *ctx, void *p, uint64_t size) { buddy_put(((struct worker *)ctx)->memory, p, size); }
SUPPORT uint32_t cluster_crc(uint32_t seed, const void *p, size_t n)
{
    (void)p;
    return seed + (uint32_t)n;
}

SUPPORT void cluster_events(struct worker *w)
{
    struct xfer_event ev;
    while (xfer_next_event(w->xfer, &ev))
        switch ((enum xfer_event_kind)ev.kind) {
        case XFER_TASK:
            fail();
            break;
        case XFER_MORE:
            worker_more_st(w, ev.in);
            break;
        case XFER_CANCELLED:
            worker_cancelled_st(w, ev.in, ev.status);
            break;
        case XFER_ANSWERED:
            worker_answered_st(w, ev.in);
            break;
        case XFER_DONE:
            worker_returned_st(w, task_of_out(ev.out), ev.status, ev.bytes, ev.length);
            break;
        case XFER_PEER_UP:
        case XFER_PEER_DOWN:
            break;
        }
}

/* The remote_queue of each node. */
SUPPORT enum chi_status cluster_init(struct chi_container *c) { return chi_container_create_queue(c, 0, 1); }
SUPPORT void cluster_run_many(struct chi_container *c, struct chi_task **tasks, unsigned n, struct chi_rctx *r)
{
    (void)c;
    for (unsigned i = 0; i < n; i++)
        worker_send_away_st(r->worker, task_of(tasks[i]));
}
SUPPORT unsigned cluster_poll(struct chi_container *c, struct chi_rctx *r)
{
    struct worker *w = r->worker;
    struct cluster_node *n = cluster_of(w);
    struct cluster_packet *p = n->first, *next;
    (void)c;
    n->first = NULL;
    n->tail = &n->first;
    for (; p; p = next) {
        next = p->next;
        if (!n->deaf)
            (void)xfer_rx(w->xfer, &(struct xfer_addr){.ip = p->from, .port = 7440}, p->bytes, p->length, XFER_NOT_ECT, r->now_ns);
        cluster_events(w);
        free(p);
    }
    xfer_tick(w->xfer, r->now_ns);
    cluster_events(w);
    return 0;
}
SUPPORT unsigned cluster_flush(struct chi_container *c, struct chi_rctx *r)
{
    (void)c;
    return xfer_tx(r->worker->xfer, r->now_ns, 64);
}
static const struct chi_chimod cluster_queue = {.abi = CHI_CHIMOD_ABI, .size = sizeof cluster_queue, .name = "remote_queue", .init = cluster_init,
                                                .run_many = cluster_run_many, .poll = cluster_poll, .flush = cluster_flush};

SUPPORT void cluster_endpoint(struct cluster_node *n, uint32_t node)
{
    const struct xfer_config c = {
        .incarnation = node, .node = node, .workers = 1, .cluster = "test", .packet_max = CLUSTER_PACKET, .peers_max = (uint16_t)cluster.count, .slots = 16,
        .messages_in = 32, .peer_memory = 1 << 20, .all_memory = 1 << 24, .quantum_bytes = 65536, .grant_bytes = 1 << 20, .overcommit = 4,
        .unasked_bytes = 1 << 20, .credit_bytes = 1 << 24, .window_packets = 128, .target_ns = 1000000000, .pto_min_ns = 50000000, .pto_max_ns = 50000000,
        .ack_delay_ns = 1000, .ack_every = 1, .hello_retry_ns = 1000000000, .silence_ns = 1000000000000, .session_seed = node};
    const struct xfer_host h = {n->w, cluster_packet_get, cluster_packet_send, cluster_packet_put, cluster_memory_get, cluster_memory_put, SUPPORT_ARENA,
                                SUPPORT_ARENA, cluster_crc, n->w->drops};
    n->endpoint = aligned_alloc(64, (xfer_bytes(&c) + 63) & ~(size_t)63);
    n->w->xfer = xfer_init(n->endpoint, &c, &h, net_now_ns());
    xfer_take_tasks(n->w->xfer, accept_remote);
    for (uint32_t k = 1; k <= cluster.count; k++)
        if (k != node)
            assert_int_equal(xfer_peer_set(n->w->xfer, k, &(struct xfer_addr){.ip = k, .port = 7440}), 0);
}

/* Nodes 1..count, each with a pool of that module, `per_node` containers on each. */
SUPPORT void cluster_make(uint32_t count, uint32_t per_node, uint32_t neighborhood, uint32_t tasks, const struct chi_chimod *ops, struct chi_pool_id id)
{
    static const uint32_t cores[] = {0};
    uint32_t nodes[CLUSTER_MAX];
    char err[SCHED_ERROR_BYTES];
    assert_in_range(count, 1, CLUSTER_MAX);
    cluster.count = count;
    cluster.packets = 0;
    for (uint32_t k = 0; k < count; k++)
        nodes[k] = k + 1;
    rcu_register_thread();
    for (uint32_t k = 0; k < count; k++) {
        struct cluster_node *n = &cluster.node[k];
        const struct runtime_options o = {.node_id = k + 1, .workers = 1, .cores = cores, .tasks = tasks, .arena_bytes = SUPPORT_ARENA,
                                          .task_timeout_ns = 60000000000, .nodes = nodes, .node_count = count, .cluster = "test", .incarnation = 1,
                                          .neighborhood = neighborhood, .stacks = support_stacks};
        *n = (struct cluster_node){.tail = &n->first};
        assert_int_equal(runtime_create(&o, &n->rt, err), 0);
        n->w = n->rt->worker[0];
        cluster_endpoint(n, k + 1);
        support_pool(n->rt, &cluster_queue, (struct chi_pool_id){2, 0}, 1);
        support_pool(n->rt, ops, id, per_node);
    }
    worker_enter(cluster.node[0].w);
}

SUPPORT void cluster_turn(void)
{
    for (uint32_t k = 0; k < cluster.count; k++) {
        worker_enter(cluster.node[k].w);
        if (!support_stacks) {
            worker_turn(cluster.node[k].w);
            continue;
        }
        support_turn(cluster.node[k].w); /* with tasks that wait, also for the control thread */
        (void)runtime_control(cluster.node[k].rt, net_now_ns());
    }
    worker_enter(cluster.node[0].w);
}

SUPPORT bool cluster_is_quiet(void)
{
    for (uint32_t k = 0; k < cluster.count; k++) {
        const struct worker *w = cluster.node[k].w;
        if (w->tasks.out || buddy_free_bytes(w->memory) != w->arena_bytes)
            return false;
    }
    return true;
}

/* Until every record and all memory are back, then the end. */
SUPPORT void cluster_end(void)
{
    while (!cluster_is_quiet())
        cluster_turn();
    for (uint32_t k = 0; k < cluster.count; k++) {
        struct cluster_node *n = &cluster.node[k];
        for (struct cluster_packet *p = n->first, *next; p; p = next) {
            next = p->next;
            free(p);
        }
        runtime_destroy(n->rt);
        free(n->endpoint);
    }
    worker_enter(NULL);
    rcu_unregister_thread();
}

/* A task of a module of node 1. */
SUPPORT struct chi_task *cluster_task(struct chi_method *m, struct chi_pool_id pool, struct chi_query q)
{
    struct chi_task *t = chi_task_new(&cluster.node[0].w->rctx, m);
    assert_non_null(t);
    t->pool = pool;
    t->query = q;
    return t;
}
SUPPORT void cluster_done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)r;
    (void)task;
    ++*(int *)arg;
}
/* Submits it and waits for its end; it is the caller's then. */
SUPPORT enum chi_status cluster_run(struct chi_task *t)
{
    struct chi_rctx *r = &cluster.node[0].w->rctx;
    int ended = 0;
    r->now_ns = net_now_ns();
    chi_task_submit(r, t, cluster_done, &ended);
    while (!ended)
        cluster_turn();
    assert_int_equal(ended, 1);
    return (enum chi_status)t->status;
}
