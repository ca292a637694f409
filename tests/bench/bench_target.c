/* bench_target.c - the target of small tasks, whole: one worker with its port (net_memif), endpoint, lanes and ChiMod echo.
 * bench_target FOLDER [BATCH [ROUNDS]]: its turns are taken here, by hand.  In each round BATCH pings of 64 B come in (a form of
 * 64 B, packed by the transport as it packs them), and one call of target_turn must take them all and send their answers, or
 * the program ends: so what callgrind counts between that function's entry and its end is receive to answer sent, and the same
 * each time.  FOLDER: of the modules echo and remote_queue. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/form.h"
#include "chimods/echo/echo.h"
#include "net/arp.h"
#include "net/raw.h"
#include "worker/crc32c.h"
#include "worker/internal.h"

enum { TARGET_IP = 0x0a280001, ORIGIN_IP = 0x0a280002, UDP = 7440, MTU = 9000, PACKET = MTU - 28, BATCH_MAX = 32, MEMORY = 64 << 20 };
static const uint64_t LIMIT_NS = 10000000000;

static struct worker *target;
static struct net *net;
static struct raw *far;
static struct frame_head to_target;
static uint8_t frame[FRAME_HEADERS + PACKET];
static uint64_t done, drops[CHI_DROP_COUNT];

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_target: %s%s%s\n", what, *why ? ": " : "", why);
    exit(1);
}

/* --- the origin: an endpoint over the far end of the port's link */

static bool packet_get(void *ctx, struct xfer_packet *out)
{
    (void)ctx;
    *out = (struct xfer_packet){.data = frame + FRAME_HEADERS, .cap = PACKET};
    return true;
}
static void packet_put(void *ctx, struct xfer_packet *p)
{
    (void)ctx;
    (void)p;
}
static void packet_send(void *ctx, const struct xfer_addr *to, struct xfer_packet *p)
{
    (void)ctx;
    frame_head_write(&to_target, frame, UDP, to->port, p->length, p->ecn);
    if (!raw_send(far, frame, FRAME_HEADERS + p->length))
        die("the link is full", "");
}
static void *memory_get(void *ctx, uint64_t size)
{
    (void)ctx;
    (void)size;
    return NULL;
}
static void memory_put(void *ctx, void *p, uint64_t size)
{
    (void)ctx;
    (void)p;
    (void)size;
}

static struct xfer *origin_make(void)
{
    static const struct xfer_config c = {
        .incarnation = 1, .node = 2, .workers = 1, .cluster = "bench", .packet_max = PACKET, .peers_max = 1, .slots = 256,
        .messages_in = 64, .peer_memory = 1 << 20, .all_memory = 1 << 20, .quantum_bytes = 65536, .grant_bytes = 1 << 20, .overcommit = 8, .unasked_bytes = 65536,
        .credit_bytes = 4 << 20, .window_packets = 128, .target_ns = 250000, .pto_min_ns = 200000000, .pto_max_ns = 400000000,
        .ack_delay_ns = 25000, .ack_every = 8, .hello_retry_ns = 2000000, .silence_ns = 1000000000, .session_seed = 1,
    };
    const struct xfer_host h = {NULL, packet_get, packet_send, packet_put, memory_get, memory_put, 1, 1, crc32c, drops};
    struct xfer *x = xfer_init(aligned_alloc(64, (xfer_bytes(&c) + 63) & ~(size_t)63), &c, &h, net_now_ns());
    if (xfer_peer_set(x, 1, &(struct xfer_addr){.ip = TARGET_IP, .port = UDP}))
        die("no peer", "");
    return x;
}

static void origin_turn(struct xfer *x)
{
    static uint8_t in[FRAME_HEADERS + PACKET];
    struct frame_local me = {.ip = ORIGIN_IP, .mask = 0xffffff00, .udp_first = UDP, .udp_count = 1};
    uint64_t now = net_now_ns();
    struct xfer_event ev;
    for (uint32_t n; (n = raw_receive(far, in, sizeof in));) {
        struct frame_in f;
        memcpy(me.mac, in, sizeof me.mac);
        if (frame_check(&me, in, n, &f) == CHI_DROP_NONE && f.kind == FRAME_IS_UDP)
            (void)xfer_rx(x, &(struct xfer_addr){.ip = f.ip, .port = f.port}, in + f.offset, f.length, f.ecn, now);
        while (xfer_next_event(x, &ev)) {
            if (ev.kind == XFER_DONE && ev.status != CHI_STATUS_OK)
                die("a ping failed", chi_status_text(ev.status));
            done += ev.kind == XFER_DONE;
        }
    }
    xfer_tick(x, now);
    xfer_tx(x, now, 64);
}

/* --- the target */

static void target_make(char *folder, const char *modules)
{
    static const uint32_t cores[] = {0}, nodes[] = {1, 2};
    char err[512], line[2][128];
    struct net_options no = {.name = "bench target", .memory_bytes = MEMORY * 2, .workers = 1, .udp_port = UDP};
    struct net_port_options po = {.name = "p0", .device = line[0], .ip = TARGET_IP, .prefix = 24, .mtu = MTU};
    struct runtime_options o = {.node_id = 1, .workers = 1, .cores = cores, .tasks = 1024, .arena_bytes = MEMORY,
                                .task_timeout_ns = LIMIT_NS, .nodes = nodes, .node_count = 2, .cluster = "bench", .incarnation = 1,
                                .messages = 256, .window = 128, .pto_us = 200000, .delay_target_us = 250, .peer_silence_ms = 1000, .peers_max = 1, .udp_port = UDP,
                                .ack_every = 8, .ack_delay_us = 25, .unasked = 64 << 10, .credit = 4 << 20, .grant_window = 2 << 20,
                                .overcommit = 8, .quantum = 64 << 10, .peer_memory = MEMORY / 2, .remote_memory = MEMORY};
    struct runtime *rt;
    snprintf(line[0], sizeof line[0], "net_memif0,role=server,socket=%s/a.sock", folder);
    snprintf(line[1], sizeof line[1], "net_memif1,role=client,socket=%s/a.sock", folder);
    if (net_start(&no, &net, err) || net_port_add(net, &po, err) != 0 || raw_open(line[1], ORIGIN_IP, MTU, 0, &far, err))
        die("no port", err);
    if (net_thread_attach())
        die("no port", "too many threads");
    rcu_register_thread();
    o.net = net;
    if (runtime_create(&o, &rt, err))
        die("no runtime", err);
    target = rt->worker[0];
    target->turn_limit_ns = UINT64_MAX; /* a turn is whole under valgrind too, */
    target->load_long_ns = UINT64_MAX;  /* and as many of its runs are measured as at full speed */
    target->load_often_ns = UINT64_MAX / LOAD_EACH;
    if (xfer_peer_set(target->xfer, 2, &(struct xfer_addr){.ip = ORIGIN_IP, .port = UDP}))
        die("no peer", "");
    worker_enter(target);
    if (sched_load(&rt->sched, "remote_queue", &modules, 1, err) || sched_load(&rt->sched, "echo", &modules, 1, err) ||
        sched_compose(&rt->sched, "remote_queue", (struct chi_pool_id){2, 0}, "remote_queue", 1, err) ||
        sched_compose(&rt->sched, "echo", (struct chi_pool_id){100, 0}, "echo", 1, err))
        die("no module", err);
}

__attribute__((noinline)) static void target_turn(void) { worker_turn(target); }

/* Until the link is up, and each side knows the other's MAC. */
static void meet(void)
{
    const struct frame_local me = {.ip = ORIGIN_IP, .mask = 0xffffff00, .mac = {0x02, 0x43, 0x0a, 0x28, 0x00, 0x02}};
    struct arp a = {.me = me};
    uint8_t f[FRAME_HEADERS + 64];
    uint64_t until = net_now_ns() + LIMIT_NS;
    for (uint32_t n = 0; n < ARP_BYTES; n = raw_receive(far, f, sizeof f)) {
        if (net_now_ns() > until)
            die("the target does not answer", "");
        if (raw_up(far)) {
            arp_request(&a, TARGET_IP, f);
            (void)raw_send(far, f, ARP_BYTES);
        }
        worker_turn(target);
        sched_yield(); /* to the thread that connects the link */
    }
    frame_head_init(&to_target, &me, TARGET_IP, f + 6);
}

int main(int argc, char **argv)
{
    unsigned batch = argc > 2 ? (unsigned)atoi(argv[2]) : 1, rounds = argc > 3 ? (unsigned)atoi(argv[3]) : 1000;
    char folder[64] = "/tmp/chi-bench-XXXXXX";
    if (argc < 2 || argc > 4 || batch < 1 || batch > BATCH_MAX || rounds < 1)
        die("usage: bench_target FOLDER [BATCH [ROUNDS]], BATCH at most 32", "");
    if (!mkdtemp(folder))
        die("no folder", folder);
    target_make(folder, argv[1]);
    meet();
    struct xfer *x = origin_make();

    struct echo_ping ping = {.task = {.pool = {100, 0}, .query = chi_physical(1), .method = &echo_ping_method}};
    struct chi_ar_region regions[CHI_REGIONS_MAX];
    uint8_t form[FORM_HEAD_BYTES + 64];
    uint32_t nregions;
    enum chi_status st;
    struct xfer_out m[BATCH_MAX];
    uint32_t length = (uint32_t)form_save(form, sizeof form, &ping.task, regions, &nregions, NULL, NULL, &st);
    if (!length)
        die("no form", chi_status_text(st));
    for (unsigned r = 0; r <= rounds; r++) { /* the first one makes the session */
        uint64_t want = done + batch, now = net_now_ns();
        for (unsigned i = 0; i < batch; i++) {
            m[i] = (struct xfer_out){.form = form, .form_length = length, .deadline_ns = now + LIMIT_NS};
            xfer_send(x, 1, &m[i], now);
        }
        origin_turn(x);
        while (r == 0 && done != want && net_now_ns() < now + LIMIT_NS) {
            worker_turn(target);
            origin_turn(x);
        }
        if (r > 0) {
            target_turn();
            origin_turn(x);
        }
        if (done != want)
            die("one turn did not answer all", "");
    }
    printf("%u pings of %u B, %u at once\n", rounds * batch, length, batch);
    fflush(stdout);
    snprintf(folder + strlen(folder), sizeof folder - strlen(folder), "/a.sock");
    unlink(folder);
    *strrchr(folder, '/') = 0;
    rmdir(folder);
    _exit(0); /* to stop the ports takes a thread that valgrind may never let run */
}
