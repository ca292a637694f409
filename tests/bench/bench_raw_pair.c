#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_raw_pair.h"
#include "net/raw.h"

enum { SMALL_BYTES = 64, ETHER_BYTES = 14, WARM_ROUNDS = 2000, BURST = 32 };
#define NS_PER_S 1000000000ull
#define CONNECT_NS (10 * NS_PER_S)
#define LOST_NS (10 * 1000 * 1000ull)

enum phase { PHASE_ECHO, PHASE_SINK, PHASE_END };

/* What both processes see. */
struct shared {
    _Atomic int phase, acknowledged;
    _Atomic bool ready, failed;
    _Alignas(64) _Atomic uint64_t packets, bytes; /* by the sink, since the phase began */
};

struct result {
    uint64_t p50_ns, p99_ns, lost;
    double small_pps, large_pps, large_bytes_per_s;
};

bool raw_pair_options(int argc, char **argv, struct raw_pair_options *o)
{
    *o = (struct raw_pair_options){.core = {0, 1}, .rounds = 100000, .seconds = 1};
    for (int i = 1; i < argc; i++) {
        const char *v = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--json")) {
            o->json = true;
            continue;
        }
        bool known = (!strcmp(argv[i], "--cores") && sscanf(v, "%d,%d", &o->core[0], &o->core[1]) == 2) ||
                     (!strcmp(argv[i], "--rounds") && sscanf(v, "%u", &o->rounds) == 1 && o->rounds > 0) ||
                     (!strcmp(argv[i], "--seconds") && sscanf(v, "%lf", &o->seconds) == 1 && o->seconds > 0);
        if (!known) {
            fprintf(stderr, "usage: %s [--json] [--cores A,B] [--rounds N] [--seconds S]\n", argv[0]);
            return false;
        }
        i++;
    }
    return true;
}

static void pin(int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        fprintf(stderr, "core %d cannot be had: %s\n", core, strerror(errno));
}

static struct raw *open_end(const struct raw_pair *p, const struct raw_pair_options *o, int end)
{
    char err[NET_ERROR_BYTES], name[32];
    struct raw *r;
    if (p->netns[end] >= 0 && setns(p->netns[end], CLONE_NEWNET)) {
        fprintf(stderr, "%s: no network namespace: %s\n", p->name, strerror(errno));
        return NULL;
    }
    snprintf(name, sizeof name, "%s-%d-%d", p->name, end, (int)getpid());
    struct net_options eal = {.name = name, .hugepages = NET_HUGE_OFF, .memory_bytes = 256 << 20};
    if (raw_start(&eal, err) || raw_open(p->device[end], 0x0a2800f1u + (uint32_t)end, p->mtu, 0, &r, err)) {
        fprintf(stderr, "%s: %s\n", p->name, err);
        return NULL;
    }
    pin(o->core[end]); /* after the EAL has made its own threads, which stay off it */
    return r;
}

/* The other process: echoes or counts, as told, until the end. */
static int other_run(const struct raw_pair *p, const struct raw_pair_options *o, struct shared *s)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct raw *r = open_end(p, o, 1);
    if (!r) {
        s->failed = true;
        return 1;
    }
    s->ready = true;
    for (int phase; (phase = s->phase) != PHASE_END;) {
        uint64_t packets = 0, bytes = 0;
        if (s->acknowledged != phase) {
            s->packets = s->bytes = 0;
            s->acknowledged = phase;
        }
        if (phase == PHASE_ECHO) {
            for (int i = 0; i < 256; i++)
                raw_echo(r);
            continue;
        }
        for (int i = 0; i < 64; i++)
            packets += raw_sink(r, &bytes);
        atomic_store_explicit(&s->packets, s->packets + packets, memory_order_relaxed);
        atomic_store_explicit(&s->bytes, s->bytes + bytes, memory_order_relaxed);
    }
    raw_close(r);
    raw_stop();
    return 0;
}

static void phase_set(struct shared *s, enum phase phase)
{
    s->phase = (int)phase;
    while (s->acknowledged != (int)phase && !s->failed)
        sched_yield();
}

/* Sends one frame and waits for it.  False: it did not come back in LOST_NS. */
static bool round_trip(struct raw *r, uint64_t *ns)
{
    uint64_t bytes = 0, from = net_now_ns();
    if (raw_blast(r, SMALL_BYTES, 1) != 1)
        return false;
    while (!raw_sink(r, &bytes))
        if (net_now_ns() - from > LOST_NS)
            return false;
    *ns = net_now_ns() - from;
    return true;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool there_and_back(struct raw *r, uint32_t rounds, struct result *out)
{
    uint64_t *ns = malloc(rounds * sizeof *ns), ignored, until = net_now_ns() + CONNECT_NS;
    uint32_t n = 0;
    if (!ns)
        return false;
    for (int warm = 0; warm < WARM_ROUNDS;) {
        if (round_trip(r, &ignored)) {
            warm++;
            until = net_now_ns() + CONNECT_NS;
        } else if (net_now_ns() > until) {
            free(ns);
            return false;
        }
    }
    for (uint32_t i = 0; i < rounds; i++)
        if (round_trip(r, &ns[n]))
            n++;
        else
            out->lost++;
    if (n) {
        qsort(ns, n, sizeof *ns, compare);
        out->p50_ns = ns[n / 2];
        out->p99_ns = ns[(uint64_t)n * 99 / 100];
    }
    free(ns);
    return n > 0;
}

/* Sends for a while after a warm-up of a tenth of it; the rate is what the other side counted. */
static void one_way(struct raw *r, struct shared *s, uint32_t bytes, double seconds, double *pps, double *bytes_per_s)
{
    uint64_t warm_ns = (uint64_t)(seconds * 1e8), run_ns = (uint64_t)(seconds * 1e9), from = net_now_ns(), now = from;
    uint64_t packets0 = 0, bytes0 = 0, start = 0;
    while (now - from < warm_ns + run_ns) {
        for (int i = 0; i < 16; i++)
            raw_blast(r, bytes, BURST);
        now = net_now_ns();
        if (!start && now - from >= warm_ns) {
            start = now;
            packets0 = s->packets;
            bytes0 = s->bytes;
        }
    }
    *pps = (double)(s->packets - packets0) * 1e9 / (double)(now - start);
    *bytes_per_s = (double)(s->bytes - bytes0) * 1e9 / (double)(now - start);
}

static void print(const struct raw_pair *p, const struct raw_pair_options *o, const struct result *v)
{
    unsigned large = p->mtu + ETHER_BYTES;
    if (o->json)
        printf(
            "{\"name\": \"%s\", \"cores\": [%d, %d], \"small_bytes\": %d, \"rtt_p50_ns\": %llu, \"rtt_p99_ns\": %llu, "
            "\"rtt_lost\": %llu, \"small_packets_per_s\": %.0f, \"large_bytes\": %u, \"large_packets_per_s\": %.0f, "
            "\"large_bytes_per_s\": %.0f}\n",
            p->name, o->core[0], o->core[1], SMALL_BYTES, (unsigned long long)v->p50_ns, (unsigned long long)v->p99_ns,
            (unsigned long long)v->lost, v->small_pps, large, v->large_pps, v->large_bytes_per_s);
    else
        printf(
            "%s: %d B there and back p50 %llu ns, p99 %llu ns, lost %llu; one way %.2f M/s; %u B one way %.2f GB/s\n",
            p->name, SMALL_BYTES, (unsigned long long)v->p50_ns, (unsigned long long)v->p99_ns,
            (unsigned long long)v->lost, v->small_pps / 1e6, large, v->large_bytes_per_s / 1e9);
}

static int measure(const struct raw_pair *p, const struct raw_pair_options *o, struct shared *s)
{
    struct result v = {0};
    double ignored;
    struct raw *r = open_end(p, o, 0);
    uint64_t until = net_now_ns() + CONNECT_NS;
    if (!r)
        return 1;
    while (!s->failed && net_now_ns() < until && !(s->ready && raw_up(r)))
        sched_yield();
    bool ok = !s->failed && there_and_back(r, o->rounds, &v);
    if (ok) {
        phase_set(s, PHASE_SINK);
        one_way(r, s, SMALL_BYTES, o->seconds, &v.small_pps, &ignored);
        one_way(r, s, p->mtu + ETHER_BYTES, o->seconds, &v.large_pps, &v.large_bytes_per_s);
        print(p, o, &v);
    } else
        fprintf(stderr, "%s: nothing came back within %llu s; the other side %s, the link is %s\n", p->name,
                CONNECT_NS / NS_PER_S,
                s->failed  ? "failed"
                : s->ready ? "is ready"
                           : "is not ready",
                raw_up(r) ? "up" : "down");
    s->phase = PHASE_END;
    raw_close(r);
    raw_stop();
    return ok ? 0 : 1;
}

int raw_pair_run(const struct raw_pair *p, const struct raw_pair_options *o)
{
    struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED)
        return 1;
    pid_t other = fork(); /* before the EAL: each process has its own */
    if (other < 0)
        return 1;
    if (other == 0)
        _exit(other_run(p, o, s));
    int rc = measure(p, o, s);
    if (rc)
        kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    munmap(s, sizeof *s);
    return rc;
}
