/* runtime.c - makes, starts and stops the workers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "background.h"
#include "carrier.h"
#include "control.h"
#include "internal.h"
#include "pools.h"

static int make_worker(struct runtime *rt, uint32_t index, char *err)
{
    struct worker *w = aligned_alloc(CHI_CACHE_LINE, (sizeof *w + 63) & ~(size_t)63);
    snprintf(err, SCHED_ERROR_BYTES, "worker %u: out of memory; lower limits.tasks", index);
    if (!w)
        return -ENOMEM;
    memset(w, 0, sizeof *w);
    rt->worker[index] = w;
    w->rt = rt;
    w->rctx.worker = w;
    w->index = index;
    w->turn_limit_ns = WORKER_TURN_NS;
    w->lanes_each = WORKER_TIMED_EACH;
    w->lanes_random = index;
    w->load_left = w->load_each = 1;
    w->load_often_ns = LOAD_OFTEN_NS;
    w->load_long_ns = LOAD_LONG_NS;
    w->latency_weight = rt->options.latency_weight ? rt->options.latency_weight : WORKER_LATENCY_WEIGHT;
    w->carrier = rt->carrier[index % rt->carriers];
    w->epoll_fd = w->bell.event_fd = -1;
    w->ended_tail = &w->ended;
    ready_init(&w->ready);
    for (uint32_t to = 0; to < rt->workers; to++)
        w->overflow[to].tail = &w->overflow[to].head;
    int rc = wait_init(w); /* before all that may fail: its end takes what was made */
    if (rc) {
        snprintf(err, SCHED_ERROR_BYTES, "worker %u: no address space for %u stacks of %zu bytes, or more of them than vm.max_map_count allows; lower limits.stacks", index,
                 rt->options.stacks, rt->options.stack_bytes);
        return rc;
    }
    w->scratch = aligned_alloc(CHI_CACHE_LINE, CHI_FORM_BYTES_MAX);
    if (!w->scratch || periodic_init(w) || task_pools_init(&w->tasks, rt->options.tasks))
        return -ENOMEM;
    for (uint32_t from = 0; from <= rt->workers; from++) {
        if (from == index)
            continue;
        struct ring *r = ring_create(WORKER_RING_SLOTS);
        if (!r)
            return -ENOMEM;
        rcu_assign_pointer(w->in[from], r);
    }
    rc = doorbell_init(&w->bell);
    if (!rc)
        rc = idle_init(w);
    if (rc) {
        snprintf(err, SCHED_ERROR_BYTES, "worker %u: no descriptors for its doorbell: %s", index, strerror(-rc));
        return rc;
    }
    return endpoint_init(w, err);
}

static void destroy_worker(struct worker *w)
{
    if (!w)
        return;
    endpoint_fini(w);
    idle_fini(w);
    doorbell_fini(&w->bell);
    for (uint32_t from = 0; from <= w->rt->workers; from++)
        ring_destroy(w->in[from]);
    task_pools_fini(&w->tasks);
    wait_fini(w);
    periodic_fini(w);
    free(w->scratch);
    free(w);
}

static int make_carriers(struct runtime *rt)
{
    uint32_t n = rt->options.core_count ? rt->options.core_count : rt->workers;
    for (; rt->carriers < n; rt->carriers++) {
        struct carrier *c = carrier_create(rt, rt->options.cores[rt->carriers]);
        if (!c)
            return -ENOMEM;
        c->used = true;
        rt->carrier[rt->carriers] = c;
    }
    return 0;
}

int runtime_create(const struct runtime_options *o, struct runtime **out, char *err)
{
    CHI_ASSERT(o->workers >= 1 && o->workers <= WORKERS_MAX && o->core_count <= o->workers);
    struct runtime *rt = calloc(1, sizeof *rt);
    if (!rt) {
        snprintf(err, SCHED_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    rt->options = *o;
    rt->workers = o->workers;
    rt->call_limit_ns = WORKER_CALL_LIMIT_MS * UINT64_C(1000000);
    rt->net = o->net;
    rt->control_bell.event_fd = -1;
    int rc = sched_init(&rt->sched, o->node_id, o->nodes, o->node_count, o->workers);
    rt->sched.lanes_by_hash = o->lanes_by_hash;
    if (!rc)
        rc = make_carriers(rt);
    if (rc)
        snprintf(err, SCHED_ERROR_BYTES, "out of memory for the tables of pools");
    for (uint32_t i = 0; i < rt->workers && !rc; i++)
        rc = make_worker(rt, i, err);
    if (!rc && (rc = control_init(rt)))
        snprintf(err, SCHED_ERROR_BYTES, "no descriptor for the control thread: %s", strerror(-rc));
    if (!rc && o->background && !(rt->background = background_create(o->workers))) {
        snprintf(err, SCHED_ERROR_BYTES, "out of memory for the rings of the background threads");
        rc = -ENOMEM;
    }
    if (rc) {
        runtime_destroy(rt);
        return rc;
    }
    *out = rt;
    return 0;
}

static void wait_ms(void)
{
    struct timespec ms = {0, 1000000};
    nanosleep(&ms, NULL);
}

int runtime_start(struct runtime *rt, char *err)
{
    int bg = rt->background ? background_start(rt->background, rt->options.background) : 0;
    if (bg) {
        snprintf(err, SCHED_ERROR_BYTES, "no thread for the background: %s; lower limits.background", strerror(-bg));
        return bg;
    }
    for (uint32_t i = 0; i < rt->carriers; i++) {
        int rc = carrier_start(rt->carrier[i]);
        if (rc) {
            snprintf(err, SCHED_ERROR_BYTES, "no thread on core %u: %s", rt->carrier[i]->core, strerror(-rc));
            return rc;
        }
        for (uint32_t k = i; k < rt->workers; k += rt->carriers)
            while (!__atomic_load_n(&rt->worker[k]->started, __ATOMIC_ACQUIRE))
                wait_ms();
    }
    return 0;
}

static bool all_quiet(struct runtime *rt)
{
    for (uint32_t i = 0; i < rt->workers; i++)
        if (rt->worker[i]->started && !__atomic_load_n(&rt->worker[i]->quiet, __ATOMIC_ACQUIRE))
            return false;
    return true;
}

uint32_t runtime_stop(struct runtime *rt, uint64_t limit_ns)
{
    uint64_t until = net_now_ns() + limit_ns;
    uint32_t left = 0;
    __atomic_store_n(&rt->stopping, true, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < rt->workers; i++)
        doorbell_wake(&rt->worker[i]->bell);
    while (!all_quiet(rt) && net_now_ns() < until) {
        if (rt->background)
            background_refuse(rt->background);
        runtime_control(rt, net_now_ns());
        wait_ms();
    }
    __atomic_store_n(&rt->ended, true, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < rt->carriers; i++)
        carrier_order(rt->carrier[i]);
    for (uint32_t i = 0; i < rt->carriers; i++)
        carrier_join(rt->carrier[i]);
    for (uint32_t i = 0; i < rt->workers; i++) {
        left += rt->worker[i]->started ? rt->worker[i]->tasks.out : 0;
        rt->worker[i]->started = false;
    }
    return left;
}

void runtime_destroy(struct runtime *rt)
{
    if (!rt)
        return;
    background_destroy(rt->background); /* before the modules whose code it runs */
    pools_fini(rt);
    sched_fini(&rt->sched);
    move_reap(rt, true);
    balance_free(rt->balance);
    control_fini(rt);
    for (uint32_t i = 0; i < rt->workers; i++) {
        destroy_worker(rt->worker[i]);
        free(rt->task_look[i]);
    }
    for (uint32_t i = 0; i < rt->carriers; i++)
        carrier_destroy(rt->carrier[i]);
    free(rt);
}
