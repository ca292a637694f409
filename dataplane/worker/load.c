/* load.c - what tasks cost: reads the time of some runs, and says it to the worker's model (lane/load.h) and to the module; and estimates what lies on
 * lanes.
 *
 * Runs are measured by the batch, which is what one lane runs in one turn: all of one batch in LOAD_EACH, so that the way of a short task has next to
 * nothing of it; of fewer where so many take longer than LOAD_OFTEN_NS; and soon behind a batch that was long.  Each run that is measured stands for as
 * many as there were batches since the last one: so what was long, or rare, counts for no more than it is. */
#include "internal.h"

enum { LOAD_SOON = 8 /* batches */ };

void load_batch_begins(struct worker *w)
{
    uint64_t ns = w->lane_from_ns - w->load_from_ns + 1, fit = w->load_each * w->load_often_ns / ns;
    w->load_from_ns = w->lane_from_ns;
    w->load_weight = w->load_each;
    w->load_each = w->load_left = fit > LOAD_EACH ? LOAD_EACH : fit ? (uint32_t)fit : 1;
}

/* Which of the next ones is left to the clock: a rhythm of batches would else be seen at the same place each time. */
void load_soon(struct worker *w)
{
    uint32_t soon = 1 + (uint32_t)(w->clock_ns >> 6) % LOAD_SOON;
    if (w->load_left <= soon)
        return;
    w->load_each -= w->load_left - soon;
    w->load_left = soon;
}

static void add(struct worker *w, const struct load_key *key, uint64_t run_ns, uint64_t bytes, uint32_t weight)
{
    load_add(&w->load, key, run_ns, bytes, weight);
    w->stats.measured++;
}

/* What its regions hold; of one without a table what came with it. */
static uint64_t bytes_of(struct task *t)
{
    const struct chi_method *m = t->method;
    const struct chi_ar_region *r = t->origin == TASK_REMOTE ? t->from.remote.in->regions : t->regions;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < m->nfields; i++)
        if (m->fields[i].type == CHI_T_BULK)
            bytes += ((const struct chi_bulk *)((const uint8_t *)task_public(t) + m->fields[i].offset))->size;
    for (uint32_t i = 0; !m->nfields && r && i < t->nregions; i++)
        bytes += r[i].size;
    return bytes;
}

static struct load_key key_of(const struct chi_container *c, uint16_t method, uint64_t bytes)
{
    return (struct load_key){.major = c->pool->id.major, .minor = c->pool->id.minor, .method = method, .size_class = load_class(bytes)};
}

/* --- runs that are measured */

void load_begin(struct worker *w, struct task *t, struct load_run *m)
{
    m->bytes = bytes_of(t);
    m->key = key_of(t->lane->container, t->method->id, m->bytes);
    m->weight = w->load_weight;
    m->run_ns = 0;
    w->measured = m;
    m->from_ns = net_now_ns();
}

static void stop_clock(struct worker *w, struct load_run *m)
{
    uint64_t ns = net_now_ns() - m->from_ns;
    m->run_ns = ns ? ns : 1;
    w->measured = NULL;
}

void load_waits(struct worker *w)
{
    if (w->measured)
        stop_clock(w, w->measured);
}

void load_end(struct worker *w, struct task *t, struct load_run *m, enum chi_status st)
{
    if (!m->run_ns)
        stop_clock(w, m);
    add(w, &m->key, m->run_ns, m->bytes, m->weight);
    if (st == CHI_STATUS_PENDING) /* it may be gone */
        return;
    struct chi_container *c = t->lane->container;
    if (!c->ops->monitor)
        return;
    w->rctx.load = (struct chi_load){m->run_ns, m->bytes};
    (void)c->ops->monitor(c, CHI_SAMPLE_LOAD, task_public(t), &w->rctx);
    if (load_measured(&w->load, &m->key) % LOAD_REINFORCE)
        return;
    w->rctx.load = (struct chi_load){m->run_ns, m->bytes};
    (void)c->ops->monitor(c, CHI_REINFORCE_LOAD, task_public(t), &w->rctx);
}

void load_batch(struct worker *w, const struct chi_container *c, unsigned n, uint64_t ns)
{
    struct load_key key = key_of(c, LOAD_BATCH, 0);
    if (!n)
        return;
    add(w, &key, ns / n ? ns / n : 1, 0, w->load_weight * n);
}

/* --- what lies on lanes */

static uint64_t estimate(struct worker *w, struct chi_container *c, struct task *t)
{
    uint64_t bytes = bytes_of(t);
    struct load_key key = key_of(c, t->method->id, bytes);
    uint64_t mean_ns = load_mean_ns(&w->load, &key);
    w->rctx.load = (struct chi_load){mean_ns, bytes};
    if (!c->ops->monitor || c->ops->monitor(c, CHI_EST_LOAD, task_public(t), &w->rctx) != CHI_STATUS_OK)
        return mean_ns;
    return w->rctx.load.run_ns < LOAD_RUN_MAX_NS ? w->rctx.load.run_ns : LOAD_RUN_MAX_NS;
}

/* By its first tasks. */
static uint64_t estimate_each(struct worker *w, struct chi_lane *lane)
{
    struct chi_container *c = lane->container;
    uint64_t sum_ns = 0, n = 0;
    if (c->ops->run_many) {
        struct load_key key = key_of(c, LOAD_BATCH, 0);
        return load_mean_ns(&w->load, &key);
    }
    for (struct lane_item *l = lane->head; l && n < LOAD_LOOK; l = l->next, n++)
        sum_ns += estimate(w, c, task_of_link(l));
    return n ? sum_ns / n : 0;
}

/* Lanes that hold tasks are on the ready lists: none of them runs now. */
static void look(void *worker, void *arg)
{
    struct worker *w = worker;
    (void)arg;
    for (int k = 0; k < LANE_CLASSES; k++)
        for (struct chi_lane *l = w->ready.of[k].head; l; l = l->next_ready)
            __atomic_store_n(&l->each_ns, estimate_each(w, l), __ATOMIC_RELAXED);
    __atomic_store_n(&w->asked, false, __ATOMIC_RELEASE);
}

/* --- control thread */

void runtime_ask_load(struct runtime *rt)
{
    for (uint32_t i = 0; i < rt->workers; i++) {
        struct worker *w = rt->worker[i];
        if (__atomic_exchange_n(&w->asked, true, __ATOMIC_ACQUIRE))
            continue;
        if (!worker_post(rt, i, look, NULL))
            __atomic_store_n(&w->asked, false, __ATOMIC_RELAXED);
    }
}

uint64_t lane_queued_ns(const struct chi_lane *lane)
{
    uint64_t started = __atomic_load_n(&lane->started, __ATOMIC_RELAXED), pushed = __atomic_load_n(&lane->pushed, __ATOMIC_RELAXED);
    return load_queued_ns(pushed - started, __atomic_load_n(&lane->each_ns, __ATOMIC_RELAXED));
}
