/* watchdog.c - looks whether each worker turns, and says which task holds one that does not, with its backtrace; and which tasks wait for each other's
 * locks.  Control thread; what it reads of a worker that does not turn does not change meanwhile. */
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "worker/carrier.h"
#include "worker/lock.h"

enum { LOOKS = 4 /* within the limit */, FRAMES = 24, EDGES = 64 /* of a worker */ };
#define WATCH_SIGNAL (SIGRTMIN + 3)

static void print_frames(int signal_number)
{
    void *frames[FRAMES];
    (void)signal_number;
    backtrace_symbols_fd(frames, backtrace(frames, FRAMES), STDERR_FILENO); /* to a descriptor, without the heap */
}

/* What holds a worker, in words. */
static void holder_of(const struct worker *w, char *out, size_t cap)
{
    const struct task *t = __atomic_load_n(&w->task, __ATOMIC_RELAXED);
    const struct chi_lane *l = __atomic_load_n(&w->lane, __ATOMIC_RELAXED);
    if (!t || !t->method || !l) {
        snprintf(out, cap, "no task (a poll or a callback of a module, or the machine gives it no core)");
        return;
    }
    const struct sched_pool *p = l->container->pool;
    snprintf(out, cap, "%s of module %s (pool %u.%u, container %u, queue %u, lane %u)", t->method->name, p->module->name, p->id.major, p->id.minor,
             l->container->id, l->queue, l->number);
}

/* Of a worker that does not turn. */
static pthread_t holder_thread(const struct worker *w)
{
    const struct carrier *c = __atomic_load_n(&w->turned_by, __ATOMIC_ACQUIRE);
    return (c ? c : w->carrier)->thread;
}

/* The other workers of its thread need not wait. */
static void relieve(struct daemon *d, uint32_t i)
{
    uint32_t n = runtime_relieve(d->rt, i);
    if (n)
        fprintf(stderr, "chimaerad: worker %u is held: %u other%s, which its thread turned too, go on on other threads\n", i, n, n == 1 ? "" : "s");
    fflush(stderr);
}

static void look_at(struct daemon *d, uint32_t i, uint64_t now)
{
    struct watched *seen = &d->watched[i];
    struct worker *w = d->rt->worker[i];
    uint64_t turns = __atomic_load_n(&w->stats.turns, __ATOMIC_RELAXED), limit = d->config->limits.watchdog_ms * UINT64_C(1000000);
    if (turns != seen->turns || !seen->since_ns) {
        if (seen->holds) {
            fprintf(stderr, "chimaerad: worker %u turns again, after %llu ms\n", i, (unsigned long long)((now - seen->since_ns) / 1000000));
            runtime_relieved(d->rt, i);
        }
        *seen = (struct watched){.turns = turns, .since_ns = now};
        return;
    }
    if (now - seen->since_ns < limit)
        return;
    if (seen->holds) {
        relieve(d, i); /* others may have come to that thread */
        return;
    }
    const struct worker *turned = runtime_turned(d->rt, i);
    if (turned && turned != w)
        return; /* that one holds it, and is seen too */
    seen->holds = true;
    d->holds++;
    holder_of(w, seen->by, sizeof seen->by);
    fprintf(stderr, "chimaerad: worker %u does not turn for %llu ms; it is held by %s:\n", i, (unsigned long long)((now - seen->since_ns) / 1000000),
            seen->by);
    fflush(stderr);
    pthread_kill(holder_thread(w), WATCH_SIGNAL); /* it prints where it is */
    relieve(d, i);
}

/* --- tasks that wait for each other */

/* Each worker writes its own when it is asked, also after the question was given up. */
static struct edges {
    struct cycle_edge edge[EDGES];
    unsigned count;
} of_worker[WORKERS_MAX];

static void take_edges(void *worker, void *arg)
{
    struct edges *e = arg;
    e->count = lock_edges_st(worker, e->edge, EDGES);
}

/* The edges of all workers; false: one does not answer. */
static bool edges_of_all(struct daemon *d, struct cycle_edge *out, uint32_t *count)
{
    *count = 0;
    for (uint32_t i = 0; i < d->rt->workers; i++)
        if (worker_call(d->rt, i, take_edges, &of_worker[i]))
            return false;
    for (uint32_t i = 0; i < d->rt->workers; i++) {
        memcpy(out + *count, of_worker[i].edge, of_worker[i].count * sizeof *out);
        *count += of_worker[i].count;
    }
    return true;
}

static bool all_turn(const struct daemon *d)
{
    for (uint32_t i = 0; i < d->rt->workers; i++)
        if (d->watched[i].holds)
            return false;
    return true;
}

static bool some_wait(const struct daemon *d)
{
    for (uint32_t i = 0; i < d->rt->workers; i++)
        if (__atomic_load_n(&d->rt->worker[i]->parked, __ATOMIC_RELAXED))
            return true;
    return false;
}

/* A cycle counts when it is there at two looks: tasks of one root may pass each other. */
static void look_for_deadlock(struct daemon *d)
{
    static struct cycle_edge edge[EDGES * WORKERS_MAX];
    uint32_t count, n;
    uint64_t sum = 0;
    if (!edges_of_all(d, edge, &count))
        return;
    n = cycle_find(edge, count);
    for (uint32_t i = 0; i < n; i++)
        sum += edge[i].from * UINT64_C(0x9e3779b97f4a7c15); /* the same roots, whichever comes first */
    d->deadlock_told = d->deadlock_told && sum == d->deadlock_seen;
    if (n && sum == d->deadlock_seen && !d->deadlock_told) {
        d->deadlock_told = true;
        d->deadlocks++;
        fprintf(stderr, "chimaerad: a deadlock: tasks of %u root%s wait for each other's locks:\n", n, n == 1 ? "" : "s");
        for (uint32_t i = 0; i < n; i++)
            fprintf(stderr, "  root %llu waits for the lock at %p, behind root %llu\n", (unsigned long long)edge[i].from, edge[i].over,
                    (unsigned long long)edge[i].to);
    }
    d->deadlock_seen = n ? sum : 0;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct daemon *d = arg;
    uint64_t now = net_now_ns();
    (void)fd;
    (void)what;
    for (uint32_t i = 0; i < d->rt->workers; i++)
        look_at(d, i, now);
    if (++d->watchdog_looks % LOOKS == 0 && all_turn(d) && some_wait(d))
        look_for_deadlock(d);
}

int watchdog_start(struct daemon *d)
{
    uint64_t each_us = d->config->limits.watchdog_ms * UINT64_C(1000) / LOOKS;
    const struct timeval each = {(time_t)(each_us / 1000000), (suseconds_t)(each_us % 1000000)};
    struct sigaction act = {.sa_handler = print_frames, .sa_flags = SA_RESTART};
    void *frames[2];
    (void)backtrace(frames, 2); /* what it loads at its first call it has before a signal */
    sigemptyset(&act.sa_mask);
    if (sigaction(WATCH_SIGNAL, &act, NULL))
        return -errno;
    d->watchdog = event_new(d->base, -1, EV_PERSIST, on_look, d);
    return !d->watchdog || event_add(d->watchdog, &each) ? -ENOMEM : 0;
}
