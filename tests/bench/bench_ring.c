/* bench_ring.c - what a client's round trip costs beside the floor under it: a bare pair of one-line-slot rings between
 * the same two cores, and libchi against an echo worker behind ipc_*, measured in turn in one run.
 *
 *     bench_ring [--json] [--rounds N] [--cores A,B] */
#define _GNU_SOURCE
#include <inttypes.h>
#include <sched.h>
#include <time.h>

#include "chi/client.h"
#include "chimods/echo/echo.h"
#include "tests/support/loopback.h"

enum { SLOTS = 256, WINDOW = 32, LATENCY_TASKS = 200000, RATE_TASKS = 2000000, ROUNDS_MAX = 99 };

struct figures {
    double p50_ns, p99_ns, rate;
};

static int cores[2] = {0, 1};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pin(int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        fprintf(stderr, "bench_ring: cannot pin to core %d: the figures are not comparable\n", core);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Sorts the samples, and takes the cost of reading the clock off them. */
static void latencies(uint32_t *ns, unsigned n, struct figures *out)
{
    uint32_t clock_ns[1001];
    for (unsigned i = 0; i < 1001; i++) {
        uint64_t t = now_ns();
        clock_ns[i] = (uint32_t)(now_ns() - t);
    }
    qsort(clock_ns, 1001, sizeof *clock_ns, by_value);
    double clock_cost = clock_ns[500];
    qsort(ns, n, sizeof *ns, by_value);
    out->p50_ns = ns[n / 2] - clock_cost;
    out->p99_ns = ns[n - n / 100] - clock_cost;
}

/* --- the floor */

struct rings {
    struct line to[SLOTS], from[SLOTS];
    bool stop;
};

static void *ring_echo(void *arg)
{
    struct rings *r = arg;
    pin(cores[1]);
    for (uint64_t at = 0; !__atomic_load_n(&r->stop, __ATOMIC_RELAXED);) {
        const struct line *l = line_get(r->to, SLOTS - 1, at);
        if (!l)
            continue;
        struct line *answer = line_put_at(r->from, SLOTS - 1, at);
        memcpy(answer->payload, l->payload, LINE_PAYLOAD);
        line_put_done(answer, at++);
    }
    return NULL;
}

static void ring_put(struct rings *r, uint64_t at)
{
    struct line *l = line_put_at(r->to, SLOTS - 1, at);
    memset(l->payload, (int)at, LINE_PAYLOAD);
    line_put_done(l, at);
}

static uint64_t ring_get(struct rings *r, uint64_t at)
{
    const struct line *l;
    while (!(l = line_get(r->from, SLOTS - 1, at)))
        ;
    uint64_t v;
    memcpy(&v, l->payload, sizeof v);
    return v;
}

static void measure_ring(uint32_t *ns, struct figures *out)
{
    struct rings *r = aligned_alloc(4096, (sizeof *r + 4095) / 4096 * 4096);
    pthread_t echo;
    if (!r)
        loopback_die("aligned_alloc");
    memset(r, 0, sizeof *r);
    if (pthread_create(&echo, NULL, ring_echo, r))
        loopback_die("pthread_create");
    uint64_t at = 0, sum = 0;
    for (; at < LATENCY_TASKS; at++) {
        uint64_t t = now_ns();
        ring_put(r, at);
        sum += ring_get(r, at);
        ns[at] = (uint32_t)(now_ns() - t);
    }
    latencies(ns, LATENCY_TASKS, out);
    uint64_t got = at, end = at + RATE_TASKS, t = now_ns();
    while (got < end) {
        while (at < end && at - got < WINDOW)
            ring_put(r, at++);
        sum += ring_get(r, got++);
        while (got < at && line_get(r->from, SLOTS - 1, got))
            sum += ring_get(r, got++);
    }
    out->rate = RATE_TASKS / ((double)(now_ns() - t) / 1e9);
    __atomic_store_n(&r->stop, true, __ATOMIC_RELAXED);
    pthread_join(echo, NULL);
    if (sum == 0)
        abort();
    free(r);
}

/* --- libchi */

static enum chi_status echo_run(struct loopback *lb, struct chi_task *task)
{
    (void)lb;
    (void)task;
    return CHI_STATUS_OK;
}

static void *echo_work(void *arg)
{
    pin(cores[1]);
    return loopback_work(arg);
}

static void ping_init(struct echo_ping *p, uint64_t value)
{
    memset(p, 0, sizeof *p);
    p->task.method = &echo_ping_method;
    p->task.pool = (struct chi_pool_id){100, 0};
    p->task.query = chi_local();
    p->value = value;
}

static void ping_submit(struct chi_client *c, struct echo_ping *p)
{
    if (chi_submit(c, &p->task) != CHI_STATUS_PENDING)
        abort();
}

static void measure_client(uint32_t *ns, struct figures *out)
{
    static struct chi_method *const methods[] = {&echo_ping_method};
    static struct loopback lb;
    static struct echo_ping ping[WINDOW];
    struct chi_client *c;
    const struct chi_client_options o = {1 << 20, 256, UINT32_MAX};
    lb = (struct loopback){.methods = methods, .nmethods = 1, .run = echo_run};
    loopback_listen(&lb);
    loopback_start_accept(&lb);
    if (chi_connect(lb.path, &o, &c))
        loopback_die("chi_connect");
    pthread_join(lb.acceptor, NULL);
    if (pthread_create(&lb.worker, NULL, echo_work, &lb))
        loopback_die("pthread_create");
    for (unsigned i = 0; i < WINDOW; i++)
        ping_init(&ping[i], i);
    for (unsigned i = 0; i < LATENCY_TASKS; i++) {
        uint64_t t = now_ns();
        ping_submit(c, &ping[0]);
        if (chi_wait(c, &ping[0].task, -1) != CHI_STATUS_OK)
            abort();
        ns[i] = (uint32_t)(now_ns() - t);
    }
    latencies(ns, LATENCY_TASKS, out);
    uint64_t done = 0, t = now_ns();
    for (unsigned i = 0; i < WINDOW; i++)
        ping_submit(c, &ping[i]);
    for (unsigned next = 0; done < RATE_TASKS; done++, next = (next + 1) % WINDOW) {
        while (ping[next].task.status == CHI_STATUS_PENDING)
            chi_poll(c);
        ping_submit(c, &ping[next]);
    }
    out->rate = RATE_TASKS / ((double)(now_ns() - t) / 1e9);
    for (unsigned i = 0; i < WINDOW; i++)
        if (chi_wait(c, &ping[i].task, -1) != CHI_STATUS_OK || ping[i].value != i)
            abort();
    chi_disconnect(c);
    loopback_stop_work(&lb);
    loopback_close(&lb);
}

/* --- */

static int by_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Median over the rounds of one field. */
static double median(const struct figures *f, unsigned n, size_t field)
{
    double v[ROUNDS_MAX];
    for (unsigned i = 0; i < n; i++)
        memcpy(&v[i], (const char *)&f[i] + field, sizeof(double));
    qsort(v, n, sizeof v[0], by_double);
    return v[n / 2];
}

int main(int argc, char **argv)
{
    bool json = false;
    unsigned rounds = 5;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json")) {
            json = true;
        } else if (!strcmp(argv[i], "--rounds") && i + 1 < argc && (rounds = (unsigned)atoi(argv[i + 1])) >= 1 &&
                   rounds <= ROUNDS_MAX) {
            i++;
        } else if (!strcmp(argv[i], "--cores") && i + 1 < argc &&
                   sscanf(argv[i + 1], "%d,%d", &cores[0], &cores[1]) == 2) {
            i++;
        } else {
            fprintf(stderr, "usage: bench_ring [--json] [--rounds 1..%d] [--cores A,B]\n", ROUNDS_MAX);
            return 2;
        }
    }
    struct figures raw[ROUNDS_MAX], client[ROUNDS_MAX];
    uint32_t *ns = malloc(LATENCY_TASKS * sizeof *ns);
    if (!ns)
        loopback_die("malloc");
    pin(cores[0]);
    for (unsigned i = 0; i < rounds; i++) {
        measure_ring(ns, &raw[i]);
        measure_client(ns, &client[i]);
    }
    free(ns);
    double v[6];
    for (unsigned i = 0; i < 3; i++) {
        v[i] = median(raw, rounds, i * sizeof(double));
        v[3 + i] = median(client, rounds, i * sizeof(double));
    }
    if (json)
        printf(
            "{\"raw_p50_ns\":%.1f,\"raw_p99_ns\":%.1f,\"raw_rate\":%.0f,\"client_p50_ns\":%.1f,\"client_p99_ns\":%.1f,"
            "\"client_rate\":%.0f,\"p50_ratio\":%.2f,\"rounds\":%u}\n",
            v[0], v[1], v[2], v[3], v[4], v[5], v[3] / v[0], rounds);
    else
        printf("bare rings: p50 %.0f ns, p99 %.0f ns, %.2f M/s\nlibchi:     p50 %.0f ns, p99 %.0f ns, %.2f M/s\n"
               "p50 ratio %.2f, median of %u rounds\n",
               v[0], v[1], v[2] / 1e6, v[3], v[4], v[5] / 1e6, v[3] / v[0], rounds);
    return 0;
}
