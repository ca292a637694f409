/* fuzz_xfer.c - a hostile network around two live transport endpoints, and a peer that is not there but speaks.
 *
 * The input is a script: packets of a real endpoint delivered, lost, repeated or changed; packets made up with right
 * ids and numbers and any frames; time; tasks, answers; no memory, no packet buffers; restarts.  The CRC is constant,
 * since a fuzzer cannot guess it.  Held against: nothing beyond a packet is read, no assertion fails, a message ends
 * once, what a port looks at stays as it is, after a shutdown all have ended and all memory and packets are back, no byte changes outside of what was
 * exposed, every dropped packet is counted, and an endpoint always comes to rest. */
#include "xfer_forge.h"
#include "xfer_tasks.h"

/* --- endpoints */

static bool attach; /* ports send bytes of regions from where they lie */
static bool take;   /* tasks come within xfer_rx, not as events */

static struct endpoint *endpoint_at(uint32_t node)
{
    return node >= 1 && node <= REAL ? &ends[node - 1] : NULL;
}

static void start(struct endpoint *e)
{
    struct xfer_config c = config;
    struct xfer_host h = {e,          packet_get,     packet_send, packet_put, memory_get,
                          memory_put, MEMORY_LARGEST, 4 * MEMORY_LARGEST, no_crc,      e->drops};
    c.node = e->node = (uint32_t)(e - ends) + 1;
    c.incarnation = ++e->incarnation;
    c.session_seed = e->node * 1000 + e->incarnation;
    if (e->node == 2)
        c.workers = 1, c.worker = 0;
    if (!memory[e->node])
        memory[e->node] = aligned_alloc(64, XFER_MEMORY);
    CHI_ASSERT(xfer_bytes(&c) <= XFER_MEMORY && xfer_bytes(&c) % 64 == 0);
    uint8_t *mem = memory[e->node] + XFER_MEMORY - xfer_bytes(&c); /* ASan sees what goes beyond its end */
    memset(mem, POISON, xfer_bytes(&c));
    e->x = xfer_init(mem, &c, &h, now);
    xfer_attach(e->x, attach ? attaches : NULL);
    if (take)
        xfer_take_tasks(e->x, take_task);
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

static void check_stats(const struct endpoint *e, bool over)
{
    struct xfer_peer_stats st[NODES];
    unsigned n = xfer_stats(e->x, st, NODES);
    CHI_ASSERT(n == NODES - 1);
    for (unsigned i = 0; i < n; i++) {
        CHI_ASSERT(st[i].node != e->node && st[i].open_in <= config.messages_in && st[i].answers_in <= st[i].tasks_out);
        CHI_ASSERT(st[i].open_out <= st[i].tasks_out);
        CHI_ASSERT(!over || (st[i].open_in == 0 && st[i].open_out == 0 && st[i].in_flight == 0));
    }
}

static void stop(struct endpoint *e, bool crash)
{
    check_stats(e, false);
    if (!crash) {
        e->no_packet = 0;
        tails_let_go(e, true);
        xfer_tick(e->x, now);
        drain(e);
        xfer_shutdown(e->x, now);
        drain(e);
        for (struct sub *s = subs; s < subs + SUBS; s++)
            CHI_ASSERT(s->from != e);
        answer_next(e, true);
        tails_let_go(e, true);
        rest(e);
        xfer_tick(e->x, now); /* what was borrowed goes back */
        check_stats(e, true);
        CHI_ASSERT(e->memory_used == 0 && !e->blocks);
        for (struct job *j = e->jobs; j < e->jobs + JOBS; j++)
            CHI_ASSERT(!j->in);
    }
    CHI_ASSERT(e->packets_out == 0);
    tails_let_go(e, !crash);
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
    uint8_t ecn = (n ^ now / 1000) & 3; /* as the network likes */
    enum chi_drop d = xfer_rx(e->x, &a, p, n, ecn, now);
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

enum op { /* even; the lowest bit says which endpoint */
          OP_NETWORK = 0,
          OP_NETWORK_TOO = 2,
          OP_ARRIVE = 4,
          OP_TICK = 6,
          OP_TX = 8,
          OP_REST = 10,
          OP_TIME = 12,
          OP_SEND = 14,
          OP_SEND_TOO = 16,
          OP_ANSWER = 18,
          OP_NO_MEMORY = 20,
          OP_NO_PACKET = 22,
          OP_HELLO = 24,
          OP_REFUSE = 26,
          OP_RAW = 28,
          OP_RESTART = 30, /* or the peer moves */
          OP_JOIN = 32,
          OP_DATA = 34,
          OP_PUSH = 36,
          OPS = 40 /* the others: OP_DATA too */
};

static void send_some(struct endpoint *e, uint8_t how)
{
    if (how & 0x80)
        tails_let_go(e, true);
    xfer_tx(e->x, now, how % 16);
    drain(e);
}

static void step(void)
{
    uint8_t op = byte(), how = byte();
    struct endpoint *e = &ends[op & 1];
    uint32_t from = how & 0x80 ? NODES - e->node : (uint32_t)NODES;
    switch ((enum op)(op % OPS & ~1)) {
    case OP_NETWORK:
    case OP_NETWORK_TOO:
        network(how % 6);
        return;
    case OP_ARRIVE:
        all_arrives(1 + how % 3);
        return;
    case OP_TICK:
        xfer_tick(e->x, now);
        drain(e);
        return;
    case OP_TX:
        send_some(e, how);
        return;
    case OP_REST:
        time_passes();
        rest(e);
        return;
    case OP_TIME:
        time_passes();
        return;
    case OP_SEND:
    case OP_SEND_TOO:
        send_task(e);
        drain(e);
        return;
    case OP_ANSWER:
        answer_next(e, how & 1);
        return;
    case OP_NO_MEMORY:
        e->no_memory = how;
        return;
    case OP_NO_PACKET:
        e->no_packet = how;
        return;
    case OP_HELLO:
        make_hello(e, from, byte());
        return;
    case OP_REFUSE:
        make_refuse(e, from);
        return;
    case OP_RAW:
        make_raw(e, from);
        return;
    case OP_RESTART:
        if (how < 0x40) {
            stop(e, how & 1);
            start(e);
        } else {
            struct xfer_addr a = {.ip = how & 1 ? from : 9, .port = PORT};
            CHI_ASSERT(xfer_peer_set(e->x, from, &a) == 0);
        }
        return;
    case OP_JOIN:
        other_joins(e);
        return;
    case OP_PUSH:
        push(e, how);
        return;
    case OP_DATA:
    case OPS:
        break;
    }
    make_data(e, from, byte());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data;
    left = size;
    uint8_t a = byte(), b = byte();
    attach = a & 0x20;
    take = b & 0x80;
    config = (struct xfer_config){.workers = (uint16_t)(1 + a % 3),
                                  .worker = (uint16_t)((a / 4) % (1 + a % 3)),
                                  .cluster = "fuzz",
                                  .packet_max = a & 0x80 ? PACKET_MAX : WIRE_PACKET_MIN,
                                  .peers_max = NODES - 1,
                                  .slots = a & 0x40 ? 2 : 8,
                                  .messages_in = 1 + b % JOBS,
                                  .peer_memory = 1 << (10 + b % 12),
                                  .all_memory = 1 << (10 + b % 13),
                                  .quantum_bytes = 1 << (8 + b % 9),
                                  .grant_bytes = 1 << (9 + b % 10),
                                  .overcommit = 1 + b % 3,
                                  .unasked_bytes = (uint32_t)(b % 5) << 10,
                                  .credit_bytes = (uint32_t)(b % 7) << 11,
                                  .window_packets = b & 8 ? 4 : 32,
                                  .target_ns = 100000,
                                  .pto_min_ns = 200000,
                                  .pto_max_ns = 100000000,
                                  .ack_delay_ns = 25000,
                                  .ack_every = 1 + b / 16 % 4,
                                  .hello_retry_ns = 1000000, .silence_ns = 100000000};
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

#define SEED(name, ...)                               \
    do {                                              \
        static const uint8_t bytes[] = {__VA_ARGS__}; \
        emit(name ".bin", bytes, sizeof bytes);       \
    } while (0)
#define CONFIG 0x00, 0x07
#define SMALL 0xc0, 0x08 /* two slots, one message in, a window of four */
#define ECHO OP_SEND, 0, 0, 8, OP_ARRIVE, 2, 7
#define LIVE ECHO, OP_ARRIVE, 2
#define JOIN OP_JOIN, 0
#define TASK_IN 0, 0, 1, 0, 0 /* slot 0, generation 1, no region, whole */
#define DATA OP_DATA, 0
#define STREAM_IN(shape) DATA, 0, 0, 0, 1, shape, 137, 200, 0, 0 /* slot 0, one region of 200 bytes with STREAM; it is not answered at once */
#define PIECE(offset, length) DATA, 0, 7, 0, 1, 2, offset, (length)-1

static void join_seeds(void (*emit)(const char *name, const void *data, size_t size))
{
    SEED("join", CONFIG, JOIN, DATA, 0, TASK_IN, 3, OP_REST, 0, 40, DATA, 0, 11, 0, 0, 0, 0);
    SEED("join_late_answer", CONFIG, JOIN, DATA, 0, TASK_IN, 0, OP_REST, 0, 40, OP_ANSWER, 0, 2, OP_REST, 0, 250);
    SEED("join_regions", CONFIG, JOIN, DATA, 8, 0, 0, 1, 3, 64, 65, 100, 0, 7, 0, 1, 2, 0, 63, 7, 0, 1, 4, 10, 54, 0);
    SEED("join_form_parts", CONFIG, JOIN, DATA, 4, 0, 0, 1, 0, 200, 7, 0, 1, 0, 32, 199, 1);
    SEED("join_holes", CONFIG, JOIN, DATA, 12, 0, 0, 1, 1, 200, 0, 7, 0, 1, 2, 100, 9, 7, 0, 1, 2, 50, 9, 7, 0, 1, 2, 0,
         120);
    SEED("join_too_big", CONFIG, JOIN, DATA, 0, 0, 0, 1, 1, 218, 0, OP_REST, 0, 40);
    SEED("join_no_memory", CONFIG, JOIN, OP_NO_MEMORY, 1, DATA, 0, 0, 0, 1, 1, 64, 0, DATA, 0, 0, 0, 1, 1, 64, 0);
    SEED("join_task_and_close", CONFIG, JOIN, DATA, 0x84, TASK_IN, 14, 0, OP_ANSWER, 0, 2, OP_REST, 0, 40);
    SEED("join_sent_answer", CONFIG, JOIN, OP_SEND, 0, 4, 1, 16, OP_REST, 0, 9, DATA, 4, 4, 0, 1, 1, 10, 8, 0, 7, 0, 1,
         3, 0, 9);
    SEED("join_sent_body_parts", CONFIG, JOIN, OP_SEND, 0, 4, 0, OP_REST, 0, 9, DATA, 4, 4, 0, 1, 0, 232, 3, 0, 9, 0, 7,
         0, 1, 1, 9, 200);
    SEED("join_not_exposed", CONFIG, JOIN, OP_SEND, 0, 4, 1, 3, OP_REST, 0, 9, DATA, 0, 7, 0, 1, 3, 0, 9);
    SEED("join_region_beyond_sent", CONFIG, JOIN, OP_SEND, 0, 4, 1, 11, OP_REST, 0, 9, DATA, 0, 7, 0, 1, 5, 0, 9);
    SEED("join_region_beyond", CONFIG, JOIN, DATA, 4, 0, 0, 1, 1, 64, 0, 7, 0, 1, 10, 0, 9);
    SEED("join_slot_beyond", CONFIG, JOIN, DATA, 12, 0, 8, 20, 0, 0, 4, 8, 1, 0, 0, 0, 7, 8, 1, 2, 0, 9, 7, 8, 1, 3, 0,
         9);
    SEED("join_numbers", CONFIG, JOIN, DATA, 2, 0, 13, DATA, 2, 224, 64, 0, 13, DATA, 2, 222, 13);
    SEED("join_acks", CONFIG, JOIN, OP_SEND, 0, 4, 0, OP_REST, 0, 9, DATA, 0, 11, 9, 0, 0, 0, OP_REST, 0, 41);
    SEED("join_dialed", CONFIG, OP_SEND, 0, 4, 8, OP_REST, 0, 9, OP_HELLO, 0, 3, OP_REST, 0, 9);
    SEED("join_stream", CONFIG, JOIN, STREAM_IN(0x84), PIECE(0, 100), PIECE(150, 50), PIECE(100, 50), OP_ANSWER, 0, 2, OP_REST, 0, 40);
    SEED("join_stream_answered_early", CONFIG, JOIN, STREAM_IN(0x84), PIECE(0, 100), OP_ANSWER, 0, 2, PIECE(100, 100), OP_REST, 0, 40);
    SEED("join_stream_forgotten", CONFIG, JOIN, STREAM_IN(0x84), PIECE(50, 50), DATA, 0, 0, 0, 2, 0, 0, 0, PIECE(0, 50), OP_REST, 0, 40);
    SEED("join_push", CONFIG, JOIN, STREAM_IN(0x80), PIECE(0, 100), OP_PUSH, 200, OP_REST, 0, 40, PIECE(100, 100), OP_PUSH, 255, OP_ANSWER, 0,
         16, OP_REST, 0, 40);
    SEED("join_push_too_much", CONFIG, JOIN, STREAM_IN(0x80), PIECE(0, 100), OP_PUSH, 255, OP_ANSWER, 0, 0, OP_REST, 0, 40);
    SEED("join_refused", CONFIG, OP_SEND, 0, 4, 8, OP_REST, 0, 9, OP_REFUSE, 0, 2);
}

void fuzz_seeds(void (*emit)(const char *name, const void *data, size_t size))
{
    SEED("empty", CONFIG);
    SEED("echo", CONFIG, LIVE);
    SEED("echo_writers", CONFIG, OP_SEND, 0, 16, 8, OP_ARRIVE, 2, 0x15, OP_ARRIVE, 2);
    SEED("regions", CONFIG, OP_SEND, 0, 0, 12, 4, 11, 18, 20, OP_ARRIVE, 2, 0x27, OP_ARRIVE, 2, OP_ARRIVE, 2);
    SEED("attached", 0xa0, 0x63, LIVE, OP_SEND, 0, 32, 6, 6, OP_ARRIVE, 2, OP_ARRIVE, 2, OP_TX, 0x8f, OP_ARRIVE, 2, 0x0f, OP_ARRIVE, 2);
    SEED("attached_answer", 0xa0, 0x47, LIVE, OP_SEND, 0, 0, 6, 14, OP_ARRIVE, 2, 0x27, OP_ANSWER + 1, 0, 16, OP_ARRIVE, 2, OP_TX + 1, 0x8f, OP_ARRIVE, 2);
    SEED("stream", CONFIG, OP_SEND, 0, 0, 6, 149, OP_ARRIVE, 2, OP_ARRIVE, 2, 0, OP_ARRIVE, 2, OP_ARRIVE, 2, OP_ANSWER + 1, 0, 2, OP_ARRIVE, 2);
    SEED("long_form", 0x80, 0x17, OP_SEND, 0, 0, 56, OP_ARRIVE, 2, OP_ARRIVE, 2, 0x0f, OP_ARRIVE, 2, OP_ARRIVE, 2);
    SEED("workers", 0x06, 0x07, ECHO, OP_ARRIVE, 2, OP_SEND + 1, 0, 0, 8, OP_ARRIVE, 2, 7, OP_ARRIVE, 2);
    SEED("both_ways", CONFIG, LIVE, OP_SEND + 1, 0, 0, 9, 13, OP_ARRIVE, 2, 0x27, OP_ARRIVE, 2);
    SEED("few_slots", SMALL, OP_SEND, 0, 0, 8, OP_SEND, 0, 0, 8, OP_SEND, 0, 0, 8, OP_ARRIVE, 2, 7, OP_ARRIVE, 2, 7,
         OP_ARRIVE, 2, OP_REST, 0, 35, OP_ARRIVE, 2);
    SEED("deadline", CONFIG, OP_SEND, 0, 8, 8, 100, OP_REST, 0, 45);
    SEED("loss", CONFIG, LIVE, OP_SEND, 0, 0, 9, 5, OP_TX, 15, OP_NETWORK, 1, OP_NETWORK, 1, OP_REST, 0, 45, OP_ARRIVE,
         2, 0x27);
    SEED("reorder", CONFIG, LIVE, OP_SEND, 0, 0, 10, 5, 4, OP_TX, 15, OP_NETWORK, 5, OP_NETWORK, 0, OP_NETWORK, 2,
         OP_NETWORK, 0, OP_ARRIVE, 2);
    SEED("changed", CONFIG, LIVE, OP_SEND, 0, 0, 9, 5, OP_TX, 15, OP_NETWORK, 3, 1, 30, 1, OP_NETWORK, 4, 60, OP_ARRIVE,
         2);
    SEED("no_packets", CONFIG, OP_NO_PACKET, 7, ECHO);
    SEED("restart", CONFIG, LIVE, OP_RESTART + 1, 1, OP_SEND, 0, 0, 8, OP_ARRIVE, 2, OP_REST, 0, 45, OP_ARRIVE, 2,
         OP_ARRIVE, 2);
    SEED("shutdown", CONFIG, LIVE, OP_SEND, 0, 0, 8, OP_RESTART + 1, 0, OP_ARRIVE, 2, OP_SEND, 0, 0, 8, OP_ARRIVE, 2);
    SEED("moved", CONFIG, LIVE, OP_RESTART, 0x40, OP_SEND, 0, 0, 8, OP_ARRIVE, 2);
    SEED("raw", CONFIG, OP_RAW, 0, 6, 1, 3, 24, 0, 0, 0);
    SEED("silence", CONFIG, JOIN, DATA, 0, 0, 0, 1, 1, 64, 0, OP_REST, 0, 71, OP_REST, 0, 71);
    join_seeds(emit);
}
