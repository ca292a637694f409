/* load.c - what chictl can ask of the load: what each worker and each method did since the start.  chictl makes rates of two answers.  Control thread. */
#include <stdio.h>
#include <stdlib.h>

#include "daemon.h"
#include "worker/carrier.h"

enum { METHODS_MAX = 4096 };

static uint64_t relaxed(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }

struct of_worker {
    uint64_t lanes, queued, queued_ns;
};

static void add_lane(struct of_worker *all, const struct chi_lane *l)
{
    struct of_worker *o = &all[lane_owner(l) & ~LANE_MOVES];
    uint64_t started = relaxed(&l->started), pushed = relaxed(&l->pushed);
    o->lanes++;
    o->queued += pushed - started;
    o->queued_ns += lane_queued_ns(l);
}

static json_t *workers_json(const struct daemon *d)
{
    struct of_worker of[WORKERS_MAX] = {0};
    json_t *list = json_array();
    for (const struct chi_container *c = d->rt->sched.all; c; c = c->next)
        for (uint32_t q = 0; q < CHI_QUEUES_MAX; q++)
            for (uint32_t i = 0; i < c->queue[q].count; i++)
                add_lane(of, &c->queue[q].lanes[i]);
    for (uint32_t i = 0; i < d->rt->workers; i++) {
        const struct worker *w = d->rt->worker[i];
        json_array_append_new(
            list, json_pack("{s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i}", "worker", (int)i, "core", (int)w->carrier->core, "turns",
                            json_number(relaxed(&w->stats.turns)), "busy_ns", json_number(relaxed(&w->stats.busy_ns)), "tasks_run",
                            json_number(relaxed(&w->stats.tasks_run)), "lanes", json_number(of[i].lanes), "queued", json_number(of[i].queued), "queued_ns",
                            json_number(of[i].queued_ns), "measured", json_number(relaxed(&w->stats.measured)), "lost", json_number(relaxed(&w->load.lost)),
                            "open", (int)__atomic_load_n(&w->tasks.out, __ATOMIC_RELAXED), "stacks",
                            (int)__atomic_load_n(&w->fibers.out, __ATOMIC_RELAXED)));
    }
    return list;
}

/* The names behind a key; "?" where its pool is gone, or has another module now. */
static json_t *method_json(const struct daemon *d, const struct load_sum *s)
{
    const struct chi_container *c = d->rt->sched.all;
    char pool[24];
    while (c && (c->pool->id.major != s->key.major || c->pool->id.minor != s->key.minor))
        c = c->next;
    const struct chi_method *m = c ? sched_method(c->pool->module, s->key.method) : NULL;
    snprintf(pool, sizeof pool, "%u.%u", s->key.major, s->key.minor);
    return json_pack("{s:s, s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o}", "module", c ? c->pool->module->name : "?", "pool", pool, "method",
                     s->key.method == LOAD_BATCH ? "(all)" : m ? m->name : "?", "class", (int)s->key.size_class, "measured", json_number(s->measured),
                     "tasks", json_number(s->tasks), "run_ns", json_number(s->run_ns), "bytes", json_number(s->bytes), "mean_ns",
                     json_number(s->mean_ns));
}

static json_t *methods_json(const struct daemon *d)
{
    const struct load_model *model[WORKERS_MAX];
    struct load_sum *sum = malloc(METHODS_MAX * sizeof *sum);
    json_t *list = json_array();
    for (uint32_t i = 0; i < d->rt->workers; i++)
        model[i] = &d->rt->worker[i]->load;
    unsigned n = sum ? load_merge(model, d->rt->workers, sum, METHODS_MAX) : 0;
    for (unsigned i = 0; i < n; i++)
        json_array_append_new(list, method_json(d, &sum[i]));
    free(sum);
    return list;
}

json_t *load_list(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    (void)params;
    (void)err;
    runtime_ask_load(d->rt); /* for the next answer */
    return json_pack("{s:o, s:o, s:o}", "now_ns", json_number(net_now_ns()), "workers", workers_json(d), "methods", methods_json(d));
}
