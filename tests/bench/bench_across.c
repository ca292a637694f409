/* bench_across.c - tasks of one worker that run on another one, and come back: an empty one through submission, routing, the ring, its run, the ring
 * and completion; 1 and 32 at once.  Beside them what the same two rings carry between the same two cores, with nothing around them.
 * bench_across [--cores A,B]: four rates, tasks or round trips a second, as JSON. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/tables.h"
#include "worker/internal.h"

enum { MANY = 1000000, MEMORY = 1 << 20, SLOTS = 1024 };
static const struct chi_pool_id POOL = {100, 0};

struct job {
    struct chi_task task;
    uint64_t number;
};
CHI_FIELDS(job_fields) = {CHI_INOUT(U64, struct job, number)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static uint32_t cores[2] = {0, 1};
static struct runtime *rt;
static uint64_t to_do, left;
static bool over; /* atomic */

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_across: %s\n", what);
    exit(1);
}
static void pin(uint32_t core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof set, &set))
        die("no such core");
}

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 2); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c;
    ((struct job *)task)->number += chi_rctx_worker(r);
    return CHI_STATUS_OK;
}
static struct chi_method *methods[] = {&job_method};
static const struct chi_chimod jobs = {
    .abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1, .init = init, .run = run};

static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    left--;
    if (task->status != CHI_STATUS_OK)
        die("a task failed");
    if (to_do) {
        to_do--;
        task->query = chi_hash(1); /* lane 1: the other worker's */
        chi_task_submit(r, task, done, arg);
        return;
    }
    if (((struct job *)task)->number == 0)
        die("a task did not run on the other worker");
    chi_task_del(r, task);
}

static void runtime_make(void)
{
    static const uint32_t nodes[] = {1};
    const struct runtime_options o = {.node_id = 1, .workers = 2, .cores = cores, .tasks = SLOTS, .arena_bytes = MEMORY,
                                      .task_timeout_ns = UINT64_C(600000000000), .nodes = nodes, .node_count = 1, .busy = true};
    struct sched_module *m = calloc(1, sizeof *m); /* the runtime frees it */
    char err[SCHED_ERROR_BYTES];
    if (!m || !(m->by_id = calloc(2, sizeof *m->by_id)))
        die("no memory");
    if (runtime_create(&o, &rt, err))
        die(err);
    snprintf(m->name, sizeof m->name, "jobs");
    m->ops = &jobs;
    m->by_id[1] = &job_method;
    m->method_count = 2;
    chi_method_hash(&job_method);
    sched_module_add(&rt->sched, m);
    if (sched_compose(&rt->sched, "jobs", POOL, "jobs", 1, err))
        die(err);
}

/* The turns of a worker, as its thread takes them on a node that is busy. */
static void *other_worker(void *arg)
{
    struct worker *w = arg;
    pin(cores[1]);
    rcu_register_thread();
    worker_enter(w);
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED))
        worker_turn(w);
    rcu_unregister_thread();
    return NULL;
}

static double tasks(uint64_t n, unsigned at_once)
{
    struct worker *w = rt->worker[0];
    left = n;
    to_do = n - at_once;
    w->rctx.now_ns = net_now_ns();
    for (unsigned i = 0; i < at_once; i++) {
        struct chi_task *t = chi_task_new(&w->rctx, &job_method);
        if (!t)
            die("no task");
        t->pool = POOL;
        t->query = chi_hash(1);
        chi_task_submit(&w->rctx, t, done, NULL);
    }
    uint64_t from = net_now_ns();
    while (left)
        worker_turn(w);
    return (double)n * 1e9 / (double)(net_now_ns() - from);
}

static struct ring *there, *back;
static void *other_end(void *arg)
{
    struct ring_item it;
    (void)arg;
    pin(cores[1]);
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        unsigned n = 0;
        while (n < WORKER_LANE_BUDGET && ring_try_get(there, &it)) {
            while (!ring_try_put(back, &it))
                ;
            n++;
        }
        if (n)
            ring_publish(there);
    }
    return NULL;
}
static double trips(uint64_t n, unsigned at_once)
{
    struct ring_item it = {.kind = RING_RUN};
    uint64_t put = 0, got = 0, from = net_now_ns();
    while (got < n) {
        unsigned burst = 0;
        while (put < n && put - got < at_once && ring_try_put(there, &it))
            put++;
        while (ring_try_get(back, &it)) {
            got++;
            burst++;
        }
        if (burst)
            ring_publish(back);
    }
    return (double)n * 1e9 / (double)(net_now_ns() - from);
}

/* Both rates, each once to warm up. */
static void measure(void *(*other)(void *arg), void *arg, double (*rate)(uint64_t n, unsigned at_once), double out[2])
{
    pthread_t thread;
    over = false;
    if (pthread_create(&thread, NULL, other, arg))
        die("no thread");
    (void)rate(MANY / 10, 1);
    out[0] = rate(MANY, 1);
    out[1] = rate(4 * MANY, 32);
    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    double ours[2], bare[2];
    if (argc == 3 && strcmp(argv[1], "--cores") == 0 ? sscanf(argv[2], "%u,%u", &cores[0], &cores[1]) != 2 : argc != 1) {
        fprintf(stderr, "usage: bench_across [--cores A,B]\n");
        return 2;
    }
    rcu_register_thread();
    pin(cores[0]);
    runtime_make();
    worker_enter(rt->worker[0]);
    measure(other_worker, rt->worker[1], tasks, ours);
    there = ring_create(SLOTS);
    back = ring_create(SLOTS);
    if (!there || !back)
        die("no memory");
    measure(other_end, NULL, trips, bare);
    printf("{\"tasks_1\": %.0f, \"ring_1\": %.0f, \"tasks_32\": %.0f, \"ring_32\": %.0f}\n", ours[0], bare[0], ours[1], bare[1]);
    ring_destroy(there);
    ring_destroy(back);
    runtime_destroy(rt);
    rcu_unregister_thread();
    return 0;
}
