#include "perf.h"

#include <string.h>
#include <time.h>

#include "chi/chimod.h"
#include "chimods/echo/echo.h"

enum { WINDOW_MAX = 1024 };

struct slot {
    struct run *run;
    uint64_t start_ns;
    uint8_t *back; /* EXPOSE: this task's buffer */
};
/* One perf_run in progress; lies in the worker's bulk memory. */
struct run {
    struct perf_run *task;
    struct hist *hist;
    uint64_t begin_ns, issued, ended, sum;
    uint64_t bytes; /* of this record with its slots */
    uint8_t *source, *backs;
    uint32_t window, open;
    bool stopping; /* the daemon ends: issue no more */
    struct slot slot[];
};

static uint64_t clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts); /* finer than the turn's clock, which the latencies need */
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool writes(const struct perf_run *p) { return p->direction & PERF_WRITE; }
static bool exposes(const struct perf_run *p) { return p->direction & PERF_EXPOSE; }

static bool pattern_ok(const uint8_t *p, uint64_t n, uint64_t seed)
{
    uint8_t want[256];
    for (unsigned i = 0; i < 256; i++)
        want[i] = (uint8_t)(seed + i);
    for (uint64_t i = 0; i < n; i += 256)
        if (memcmp(p + i, want, n - i < 256 ? n - i : 256) != 0)
            return false;
    return true;
}

static void on_done(struct chi_rctx *r, struct chi_task *task, void *arg);

static void issue(struct chi_rctx *r, struct chi_task *task, struct slot *s)
{
    struct run *run = s->run;
    struct perf_run *p = run->task;
    task->pool = p->echo;
    task->query = p->to;
    task->timeout_us = p->task_timeout_us;
    if (p->direction == PERF_PING) {
        ((struct echo_ping *)task)->value = run->issued;
    } else {
        struct echo_io *io = (struct echo_io *)task;
        io->seed = run->issued;
        io->in = (struct chi_bulk){.ptr = run->source, .size = writes(p) ? p->size : 0};
        io->out = (struct chi_bulk){.ptr = s->back, .size = exposes(p) ? p->size : 0};
        if (p->verify && s->back)
            memset(s->back, ~(uint8_t)run->issued, p->size < 4096 ? p->size : 4096); /* not what is expected */
    }
    run->issued++;
    run->open++;
    s->start_ns = clock_ns();
    chi_task_submit(r, task, on_done, s);
}

static void check(const struct run *run, const struct chi_task *task, const struct slot *s, struct perf_run *p)
{
    if (task->status != CHI_STATUS_OK) {
        if (!p->errors++)
            p->first_error = task->status;
        return;
    }
    if (!p->verify || p->direction == PERF_PING)
        return;
    const struct echo_io *io = (const struct echo_io *)task;
    bool ok = io->sum == (writes(p) ? run->sum : 0);
    if (exposes(p))
        ok = ok && io->out.used == p->size && pattern_ok(s->back, p->size, io->seed);
    p->wrong += !ok;
}

static void finish(struct chi_rctx *r, struct run *run)
{
    struct perf_run *p = run->task;
    p->elapsed_ns = clock_ns() - run->begin_ns;
    p->done = run->ended;
    if (run->source)
        chi_mem_put(r, run->source, p->size);
    if (run->backs)
        chi_mem_put(r, run->backs, p->size * run->window);
    chi_mem_put(r, run, run->bytes);
    chi_complete(r, &p->task, CHI_STATUS_OK);
}

static void on_done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    struct slot *s = arg;
    struct run *run = s->run;
    hist_add(run->hist, clock_ns() - s->start_ns);
    check(run, task, s, run->task);
    run->ended++;
    run->open--;
    if (task->status == CHI_STATUS_SHUTDOWN)
        run->stopping = true;
    if (run->issued < run->task->count && !run->stopping) {
        issue(r, task, s);
        return;
    }
    chi_task_del(r, task);
    if (run->open == 0)
        finish(r, run);
}

/* Memory of a run: its record, the WRITE source, a buffer for each EXPOSE. */
static struct run *make_run(struct chi_rctx *r, struct perf_run *p)
{
    uint64_t window = p->window < p->count ? p->window : p->count;
    uint64_t bytes = sizeof(struct run) + window * sizeof(struct slot);
    struct run *run = chi_mem_get(r, bytes);
    if (!run)
        return NULL;
    memset(run, 0, bytes);
    run->bytes = bytes;
    run->task = p;
    run->window = (uint32_t)window;
    run->hist = (struct hist *)p->hist;
    hist_init(run->hist);
    bool ok = true;
    if (writes(p) && p->size)
        ok = (run->source = chi_mem_get(r, p->size)) != NULL;
    if (ok && exposes(p) && p->size)
        ok = (run->backs = chi_mem_get(r, p->size * window)) != NULL;
    if (!ok) {
        if (run->source)
            chi_mem_put(r, run->source, p->size);
        chi_mem_put(r, run, bytes);
        return NULL;
    }
    for (uint64_t i = 0; run->source && i < p->size; i++)
        run->sum += run->source[i] = (uint8_t)(i * 7 + 1);
    for (uint32_t i = 0; i < window; i++)
        run->slot[i] = (struct slot){.run = run, .back = run->backs ? run->backs + i * p->size : NULL};
    return run;
}

static enum chi_status start(struct perf_run *p, struct chi_rctx *r)
{
    if (p->count == 0 || p->window == 0 || p->window > WINDOW_MAX || p->direction > PERF_BOTH ||
        p->size > UINT64_MAX / WINDOW_MAX / 2)
        return CHI_STATUS_INVALID;
    struct run *run = make_run(r, p);
    if (!run)
        return CHI_STATUS_NO_MEMORY;
    run->begin_ns = clock_ns();
    struct chi_method *m = p->direction == PERF_PING ? &echo_ping_method : &echo_io_method;
    for (uint32_t i = 0; i < run->window; i++) {
        struct chi_task *t = chi_task_new(r, m);
        if (!t)
            break; /* fewer at once: what is out goes on */
        issue(r, t, &run->slot[i]);
    }
    if (run->open)
        return CHI_STATUS_PENDING;
    if (run->source)
        chi_mem_put(r, run->source, p->size);
    if (run->backs)
        chi_mem_put(r, run->backs, p->size * run->window);
    chi_mem_put(r, run, run->bytes);
    return CHI_STATUS_NO_MEMORY;
}

static enum chi_status perf_init(struct chi_container *c)
{
    return chi_container_create_queue(c, 0, chi_container_workers(c));
}

static enum chi_status perf_run_task(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c;
    return task->method->id == PERF_RUN ? start((struct perf_run *)task, r) : CHI_STATUS_NO_METHOD;
}

static struct chi_method *const methods[] = {&perf_run_method};
static const struct chi_chimod perf = {
    .abi = CHI_CHIMOD_ABI,
    .size = sizeof(struct chi_chimod),
    .name = "perf",
    .methods = methods,
    .nmethods = 1,
    .init = perf_init,
    .run = perf_run_task,
};
CHI_CHIMOD(perf)
