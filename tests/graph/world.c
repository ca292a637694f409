/* world.c - nodes, time and network. */
#include "graph.h"

struct world world;
struct packet {
    struct packet *next;
    uint64_t due_ns;
    uint32_t from, port, length;
    _Alignas(8) uint8_t bytes[PACKET];
};

/* The workers' clock (linked with --wrap): it stands still but for a little at each look, so that turns end early too. */
uint64_t __wrap_net_now_ns(void);
uint64_t __wrap_net_now_ns(void) { return world.now_ns += world.step_ns; }

/* --- the network */

static bool packet_get(void *ctx, struct xfer_packet *out)
{
    struct packet *p = malloc(sizeof *p);
    (void)ctx;
    CHECK(p);
    *out = (struct xfer_packet){.data = p->bytes, .cap = PACKET, .owner = p};
    return true;
}
static void packet_put(void *ctx, struct xfer_packet *x)
{
    (void)ctx;
    free(x->owner);
}
static void packet_send(void *ctx, const struct xfer_addr *to, struct xfer_packet *x)
{
    const struct worker *from = ctx;
    struct packet *p = x->owner;
    CHECK(to->ip >= 1 && to->ip <= world.nodes && to->port >= 7440);
    const struct runtime *rt = world.node[to->ip - 1].rt;
    uint32_t k = to->port - 7440u;
    world.packets++;
    world_note(x->length);
    if (k >= rt->workers || is_dead(to->ip) || prng_chance(&world.net, world.loss_ppm)) {
        world.lost++;
        free(p);
        return;
    }
    p->from = from->rt->options.node_id;
    p->port = 7440 + from->index;
    p->length = x->length;
    p->due_ns = world.now_ns + 1000 + prng_below(&world.net, world.delay_ns);
    struct packet **at = &world.node[to->ip - 1].post[k].first;
    while (*at && (*at)->due_ns <= p->due_ns)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
}
static void *memory_get(void *ctx, uint64_t size) { return buddy_try_get(((struct worker *)ctx)->memory, size); }
static void memory_put(void *ctx, void *p, uint64_t size) { buddy_put(((struct worker *)ctx)->memory, p, size); }
static uint32_t crc(uint32_t seed, const void *p, size_t n)
{
    (void)p;
    return seed + (uint32_t)n;
}

static void events(struct worker *w)
{
    struct xfer_event ev;
    while (xfer_next_event(w->xfer, &ev))
        switch ((enum xfer_event_kind)ev.kind) {
        case XFER_TASK:
            CHECK(!"tasks that come in go to the worker at once");
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
static enum chi_status queue_init(struct chi_container *c) { return chi_container_create_queue(c, 0, chi_container_workers(c)); }
static void queue_run_many(struct chi_container *c, struct chi_task **tasks, unsigned n, struct chi_rctx *r)
{
    (void)c;
    for (unsigned i = 0; i < n; i++)
        worker_send_away_st(r->worker, task_of(tasks[i]));
}
static unsigned queue_poll(struct chi_container *c, struct chi_rctx *r)
{
    struct worker *w = r->worker;
    struct post *post = post_of(w);
    (void)c;
    unsigned n = 0;
    for (struct packet *p; (p = post->first) && p->due_ns <= r->now_ns; n++) {
        post->first = p->next;
        (void)xfer_rx(w->xfer, &(struct xfer_addr){.ip = p->from, .port = (uint16_t)p->port}, p->bytes, p->length, XFER_NOT_ECT, r->now_ns);
        events(w);
        free(p);
    }
    if (worker_stopping_st(w) && !w->xfer_ended) {
        w->xfer_ended = true;
        xfer_shutdown(w->xfer, r->now_ns);
    }
    xfer_tick(w->xfer, r->now_ns);
    events(w);
    return n;
}
static unsigned queue_flush(struct chi_container *c, struct chi_rctx *r)
{
    (void)c;
    unsigned n = xfer_tx(r->worker->xfer, r->now_ns, 64);
    chi_rctx_wake_at(r, xfer_deadline(r->worker->xfer));
    return n;
}
static const struct chi_chimod remote_queue = {.abi = CHI_CHIMOD_ABI, .size = sizeof remote_queue, .name = "remote_queue", .init = queue_init,
                                               .run_many = queue_run_many, .poll = queue_poll, .flush = queue_flush};

static void make_endpoint(struct worker *w, struct post *post)
{
    uint32_t node = w->rt->options.node_id;
    const struct xfer_config c = {
        .incarnation = node, .node = node, .worker = (uint16_t)w->index, .workers = (uint16_t)w->rt->workers, .cluster = "test", .packet_max = PACKET,
        .peers_max = NODES_MAX, .slots = world.tight ? 4 : 32, .messages_in = world.tasks / 2, .peer_memory = world.arena_bytes / 2,
        .all_memory = world.arena_bytes, .quantum_bytes = 4096, .grant_bytes = 65536, .overcommit = 4, .unasked_bytes = 4096, .credit_bytes = 65536,
        .window_packets = 16, .target_ns = 250000, .pto_min_ns = 200000, .pto_max_ns = 20000000, .ack_delay_ns = 25000, .ack_every = 8,
        .hello_retry_ns = 2000000, .silence_ns = 1000000000, .session_seed = world.seed * 64 + node * 2 + w->index};
    const struct xfer_host h = {w, packet_get, packet_send, packet_put, memory_get, memory_put, buddy_largest(w->memory), world.arena_bytes, crc, w->drops};
    post->endpoint = aligned_alloc(64, (xfer_bytes(&c) + 63) & ~(size_t)63);
    CHECK(post->endpoint);
    w->xfer = xfer_init(post->endpoint, &c, &h, world.now_ns);
    xfer_take_tasks(w->xfer, accept_remote);
    for (uint32_t k = 1; k <= world.nodes; k++)
        if (k != node)
            CHECK(xfer_peer_set(w->xfer, k, &(struct xfer_addr){.ip = k, .port = 7440}) == 0);
}

/* --- nodes */

static uint64_t between(uint64_t low, uint64_t high) { return low + prng_below(&world.draw, high - low + 1); }

static void draw_limits(void)
{
    world.nodes = (uint32_t)between(1, NODES_MAX);
    world.per_node = (uint32_t)between(1, CONTAINERS_OF_NODE);
    world.containers = world.nodes * world.per_node;
    world.neighborhood = between(0, 1) ? 32 : 2;
    world.tight = between(0, 3) == 0;
    world.stops = world.nodes > 1 && between(0, 5) == 0;
    world.dies = world.nodes > 1 && between(0, 7) == 0;
    world.stacks = world.tight ? (uint32_t)between(0, 2) : 200;
    world.tasks = world.tight ? 64 : 2048;
    world.arena_bytes = world.tight ? 1 << 16 : 1 << 22;
    world.loss_ppm = between(0, 2) ? 0 : (uint32_t)between(1000, 200000);
    world.delay_ns = between(0, 1) ? 2000 : 100000;
    world.turn_limit_ns = between(0, 1) ? WORKER_TURN_NS : 5000;
    world.step_ns = between(0, 2000);
}

void world_make(uint64_t seed, const struct chi_chimod *ops)
{
    static const uint32_t cores[WORKERS_OF_NODE] = {0};
    uint32_t nodes[NODES_MAX];
    char err[SCHED_ERROR_BYTES];
    memset(&world, 0, sizeof world);
    world.seed = seed;
    world.now_ns = 1000000;
    prng_init(&world.draw, seed);
    prng_init(&world.net, ~seed);
    draw_limits();
    for (uint32_t k = 0; k < world.nodes; k++)
        nodes[k] = k + 1;
    rcu_register_thread();
    for (uint32_t k = 0; k < world.nodes; k++) {
        struct node *n = &world.node[k];
        const struct runtime_options o = {.node_id = k + 1, .workers = (uint32_t)between(1, WORKERS_OF_NODE), .cores = cores, .tasks = world.tasks,
                                          .stacks = world.stacks, .stack_bytes = 64 << 10, .arena_bytes = world.arena_bytes,
                                          .task_timeout_ns = 5000000000, .nodes = nodes, .node_count = world.nodes, .cluster = "test",
                                          .incarnation = 1, .neighborhood = world.neighborhood};
        CHECK(runtime_create(&o, &n->rt, err) == 0);
        for (uint32_t i = 0; i < n->rt->workers; i++) {
            n->post[i].w = n->rt->worker[i];
            n->post[i].w->turn_limit_ns = world.turn_limit_ns;
            make_endpoint(n->post[i].w, &n->post[i]);
        }
        support_pool(n->rt, &remote_queue, (struct chi_pool_id){2, 0}, 1);
        support_pool(n->rt, ops, POOL, world.per_node);
    }
}

/* --- turns */

static void stop_some_node(void)
{
    if (!(world.stops || world.dies) || world.turns < 400)
        return;
    struct node *n = &world.node[prng_below(&world.draw, world.nodes)];
    if (world.dies)
        n->dead = true;
    else
        n->stopped = n->rt->stopping = true;
    *(world.dies ? &world.dies : &world.stops) = false;
    world_note(world.now_ns);
}

/* When nothing happens the time goes on to what happens next. */
static void pass_time(unsigned did)
{
    static unsigned idle;
    uint64_t next = UINT64_MAX;
    idle = did ? 0 : idle + 1;
    world.now_ns += between(100, 3000);
    if (idle < 6 * NODES_MAX * WORKERS_OF_NODE)
        return;
    for (uint32_t k = 0; k < world.nodes; k++)
        for (uint32_t i = 0; !world.node[k].dead && i < world.node[k].rt->workers; i++) {
            const struct post *p = &world.node[k].post[i];
            next = p->w->rctx.wake_ns < next ? p->w->rctx.wake_ns : next;
            next = p->first && p->first->due_ns < next ? p->first->due_ns : next;
        }
    if (next != UINT64_MAX && next > world.now_ns)
        world.now_ns = next;
}

static unsigned did;
static bool after_turn(struct worker *w, unsigned n)
{
    did = n;
    fiber_switch(&w->fibers, &w->fibers.home);
    return true;
}

void world_turn(void)
{
    struct node *n = &world.node[prng_below(&world.draw, world.nodes)];
    struct worker *w = n->post[prng_below(&world.draw, n->rt->workers)].w;
    world.turns++;
    stop_some_node();
    if (n->dead)
        return;
    worker_enter(w);
    w->between = after_turn;
    if (w->loop == &w->fibers.home && world.stacks)
        w->loop = fiber_try_get(&w->fibers, support_loop, w);
    if (world.stacks)
        fiber_switch(&w->fibers, w->loop);
    else
        did = worker_turn(w);
    pass_time(did);
}

static bool worker_is_quiet(const struct worker *w)
{
    return !w->tasks.out && !w->parked && !ready_any(&w->ready) && !w->ended && !w->told && !w->woken && !route_pending(w) &&
           buddy_free_bytes(w->memory) == w->arena_bytes;
}

bool world_is_quiet(void)
{
    for (uint32_t k = 0; k < world.nodes; k++)
        for (uint32_t i = 0; i < world.node[k].rt->workers; i++)
            if (!world.node[k].dead && !worker_is_quiet(world.node[k].post[i].w))
                return false;
    return true;
}

static void worker_end(const struct worker *w)
{
    for (int c = 0; c < TASK_CLASSES; c++)
        CHECK(w->tasks.body[c].free == w->tasks.body[c].count);
    CHECK(w->tasks.regions.free == w->tasks.regions.count);
    CHECK(w->fibers.out == (w->loop != &w->fibers.home)); /* the loop's stack alone */
    CHECK(list_empty(&w->lock_waits) && w->sleeps.count == 0);
    CHECK(!w->task && !w->unusual);
}

void world_end(void)
{
    CHECK(world_is_quiet());
    for (uint32_t k = 0; k < world.nodes; k++) {
        struct node *n = &world.node[k];
        if (n->dead)
            continue;
        for (uint32_t i = 0; i < n->rt->workers; i++)
            worker_end(n->post[i].w);
        CHECK(runtime_books_closed(n->rt, stderr));
    }
    for (uint32_t k = 0; k < world.nodes; k++) {
        struct node *n = &world.node[k];
        uint32_t workers = n->rt->workers;
        runtime_destroy(n->rt);
        for (uint32_t i = 0; i < workers; i++) {
            for (struct packet *p = n->post[i].first, *next; p; p = next) {
                next = p->next;
                free(p);
            }
            free(n->post[i].endpoint);
        }
    }
    worker_enter(NULL);
    rcu_unregister_thread();
}
