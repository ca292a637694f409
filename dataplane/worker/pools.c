/* pools.c - see pools.h. */
#include "pools.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "census.h"
#include "fan.h"
#include "sched/tables.h"

enum look_state { LOOK_DUE, LOOK_OUT /* the worker's */, LOOK_MORE, LOOK_OVER };
struct look { /* at the records of a worker */
    const struct pools_end *of;
    struct census at;
    uint32_t found;
    bool begun, told;
    uint8_t state; /* atomic: enum look_state */
};
struct pools_end { /* containers and a table, or a whole pool, until nobody uses them */
    struct pools_end *next;
    struct sched_pool *pool;
    bool whole;
    struct chi_container *containers;
    struct sched_table *table;
    enum chi_status why;
    struct pools_call *call; /* that waits for it, */
    uint64_t limit_ns;       /* until then; NULL: nobody does */
    uint64_t rest_ns;        /* no look before */
    unsigned quiet;          /* how many looks in a row found nothing */
    uint32_t found;          /* by the last one */
    struct look look[WORKERS_MAX];
};

/* --- a worker */

static bool belongs(const struct task *t, const struct pools_end *e)
{
    if (task_state(t) == TASK_SPREAD)
        return e->whole ? t->fan->pool == e->pool : t->fan->table == e->table;
    return t->container && __atomic_load_n(&t->container->leaves, __ATOMIC_RELAXED) == e; /* written for another end meanwhile, perhaps */
}

/* It does not begin any more, and hears of it when it has. */
static void cancel(struct worker *w, struct task *t, enum chi_status why)
{
    __atomic_store_n(&t->cancelled, (uint8_t)why, __ATOMIC_RELAXED); /* as worker_cancelled_st */
    __atomic_store_n(&t->deadline_ns, 0, __ATOMIC_RELEASE);
    if (t->origin == TASK_REMOTE)
        stream_cancelled(w, t);
}

static void look_at(struct worker *w, struct task *t, void *arg)
{
    struct look *l = arg;
    if (!belongs(t, l->of))
        return;
    l->found++;
    if (!t->container || task_cancelled(t) != CHI_STATUS_OK)
        return;
    cancel(w, t, l->of->why);
    l->told = true;
}

static void look_slice(void *worker, void *arg)
{
    struct worker *w = worker;
    struct look *l = arg;
    if (!l->begun)
        census_begin(w, &l->at);
    l->begun = true;
    l->told = false;
    bool more = census_slice_st(w, &l->at, look_at, l);
    if (l->told)
        watch_tell(w);
    __atomic_store_n(&l->state, more ? LOOK_MORE : LOOK_OVER, __ATOMIC_RELEASE); /* pairs with the acquire in look_on */
}

/* --- the control thread */

/* True: each worker has looked. */
static bool look_on(struct runtime *rt, struct pools_end *e)
{
    bool all = true;
    for (uint32_t i = 0; i < rt->workers; i++) {
        struct look *l = &e->look[i];
        uint8_t state = __atomic_load_n(&l->state, __ATOMIC_ACQUIRE);
        all &= state == LOOK_OVER;
        if (state != LOOK_DUE && state != LOOK_MORE)
            continue;
        l->of = e;
        __atomic_store_n(&l->state, LOOK_OUT, __ATOMIC_RELAXED);
        if (!worker_post(rt, i, look_slice, l))
            __atomic_store_n(&l->state, state, __ATOMIC_RELAXED); /* its ring is full */
    }
    return all;
}

static void look_again(struct runtime *rt, struct pools_end *e, uint64_t now_ns)
{
    e->found = 0;
    for (uint32_t i = 0; i < rt->workers; i++) {
        e->found += e->look[i].found;
        e->look[i] = (struct look){.state = LOOK_DUE};
    }
    e->quiet = e->found ? 0 : e->quiet + 1;
    if (e->found && !e->call)
        e->rest_ns = now_ns + POOLS_REST_MS * UINT64_C(1000000);
}

static bool others_of(const struct runtime *rt, const struct pools_end *e)
{
    for (const struct pools_end *o = rt->ending; o; o = o->next)
        if (o != e && o->pool == e->pool)
            return true;
    return false;
}

static void finish(struct pools_end *e)
{
    sched_containers_end(e->containers);
    sched_table_free(e->table);
    if (e->whole)
        sched_pool_free(e->pool);
    if (e->call)
        control_end(&e->call->call, CHI_STATUS_OK);
    free(e);
}

static void give_up(struct pools_end *e, enum chi_status st)
{
    e->call->tasks = e->found;
    if (st == CHI_STATUS_DEADLINE)
        snprintf(e->call->why, sizeof e->call->why, "pool %s: %u task%s did not end within %d ms; it goes when they have", e->pool->name, e->found,
                 e->found == 1 ? "" : "s", POOLS_END_MS);
    control_end(&e->call->call, st);
    e->call = NULL;
}

unsigned pools_step(struct runtime *rt, uint64_t now_ns)
{
    bool stops = __atomic_load_n(&rt->stopping, __ATOMIC_RELAXED);
    unsigned again_ms = rt->ending ? POOLS_REST_MS : 0;
    for (struct pools_end **at = &rt->ending, *e; (e = *at);) {
        bool looked = (now_ns >= e->rest_ns || e->call) && look_on(rt, e); /* else one is out, perhaps, which names it */
        if (looked)
            look_again(rt, e, now_ns);
        if (looked && e->quiet >= 2 && !move_leaves(rt, e) && !(e->whole && others_of(rt, e))) {
            *at = e->next;
            finish(e);
            continue;
        }
        if (e->call && (stops || now_ns >= e->limit_ns))
            give_up(e, stops ? CHI_STATUS_SHUTDOWN : CHI_STATUS_DEADLINE);
        if (now_ns >= e->rest_ns)
            again_ms = POOLS_STEP_MS;
        at = &e->next;
    }
    return rt->ending ? again_ms : 0;
}

void pools_fini(struct runtime *rt)
{
    for (int whole = 0; whole < 2; whole++) /* what is left of a pool before the pool */
        for (struct pools_end **at = &rt->ending, *e; (e = *at);) {
            if (e->whole > whole) {
                at = &e->next;
                continue;
            }
            *at = e->next;
            e->call = NULL; /* its task went with the workers */
            finish(e);
        }
}

bool pools_end_of(const struct runtime *rt, const struct sched_module *m)
{
    const struct pools_end *e = rt->ending;
    while (e && !(e->pool->module == m && (e->whole || e->containers)))
        e = e->next;
    return e != NULL;
}

/* New lanes are there, or some are not any more: who looks at their load begins anew. */
static void lanes_changed(struct runtime *rt)
{
    balance_free(rt->balance);
    rt->balance = NULL;
}

/* What is out of sight now ends from here on. */
static void begin_end(struct runtime *rt, struct pools_end *e, struct pools_call *p)
{
    for (struct chi_container *c = e->containers; c; c = c->next_local)
        __atomic_store_n(&c->leaves, e, __ATOMIC_RELAXED); /* before the looks are posted */
    if (p) {
        e->call = p;
        e->limit_ns = net_now_ns() + POOLS_END_MS * UINT64_C(1000000);
    }
    e->next = rt->ending;
    rt->ending = e;
    lanes_changed(rt);
}

static struct pools_end *ending_pool(const struct runtime *rt, struct chi_pool_id id)
{
    struct pools_end *e = rt->ending;
    while (e && !(e->whole && memcmp(&e->pool->id, &id, sizeof id) == 0))
        e = e->next;
    return e;
}

/* --- calls */

static struct pools_call *call_of(struct control_call *c) { return (struct pools_call *)c; }

static enum chi_status status_of(int rc)
{
    return rc == 0 ? CHI_STATUS_OK : rc == -ENOMEM ? CHI_STATUS_NO_MEMORY : rc == -E2BIG ? CHI_STATUS_TOO_BIG : rc == -ERANGE ? CHI_STATUS_INVALID : CHI_STATUS_MODULE;
}

/* BUSY: another version of the module takes its place. */
static enum chi_status upgraded(const struct sched_module *m, struct pools_call *p)
{
    if (!m || !m->changes)
        return CHI_STATUS_OK;
    snprintf(p->why, sizeof p->why, "module %s is upgraded just now; try again", m->name);
    return CHI_STATUS_BUSY;
}

static enum chi_status make(struct runtime *rt, struct pools_call *p)
{
    const struct runtime_options *o = &rt->options;
    const struct sched_pool *same = sched_pool_named(&rt->sched, p->plan.name);
    if (same) {
        snprintf(p->why, sizeof p->why, "pool %s is %u.%u here", same->name, same->id.major, same->id.minor);
        return CHI_STATUS_INVALID;
    }
    enum chi_status st = ending_pool(rt, p->plan.id) ? CHI_STATUS_BUSY : upgraded(sched_module_find(&rt->sched, p->plan.module), p);
    if (st != CHI_STATUS_OK)
        return st;
    int rc = sched_load(&rt->sched, p->plan.module, o->module_paths, o->module_path_count, p->why);
    if (rc)
        return rc == -ENOMEM ? CHI_STATUS_NO_MEMORY : CHI_STATUS_NO_MODULE;
    rc = sched_pool_make(&rt->sched, &p->plan, p->why);
    p->made = rc == 0;
    lanes_changed(rt);
    return status_of(rc);
}

/* PENDING: the call waits for those that go. */
static enum chi_status change(struct runtime *rt, struct sched_pool *pool, struct pools_call *p)
{
    struct pools_end *e = calloc(1, sizeof *e);
    if (!e)
        return CHI_STATUS_NO_MEMORY;
    *e = (struct pools_end){.pool = pool, .why = CHI_STATUS_NO_CONTAINER};
    int rc = sched_pool_change(&rt->sched, pool, p->plan.version, p->plan.node_of, p->plan.containers, &e->containers, &e->table, p->why);
    if (rc) {
        free(e);
        return status_of(rc);
    }
    bool waits = e->containers != NULL;
    begin_end(rt, e, waits ? p : NULL);
    return waits ? CHI_STATUS_PENDING : CHI_STATUS_OK;
}

static bool same_table(const struct sched_table *t, const struct sched_plan *plan)
{
    return t->version == plan->version && t->containers == plan->containers && memcmp(t->node_of, plan->node_of, t->containers * sizeof *t->node_of) == 0;
}

static enum chi_status apply(struct runtime *rt, struct pools_call *p)
{
    struct sched_pool *pool = sched_pool_find(&rt->sched, p->plan.id);
    if (p->plan.id.major == POOLS_MAJOR && p->plan.id.minor > rt->pools_last)
        rt->pools_last = p->plan.id.minor;
    if (!pool)
        return make(rt, p);
    if (strcmp(pool->name, p->plan.name) != 0 || strcmp(pool->module->name, p->plan.module) != 0) {
        snprintf(p->why, sizeof p->why, "pool %u.%u is %s, of module %s, here", pool->id.major, pool->id.minor, pool->name, pool->module->name);
        return CHI_STATUS_INVALID;
    }
    if (same_table(pool->table, &p->plan))
        return CHI_STATUS_OK;
    if (p->plan.version <= pool->table->version) {
        snprintf(p->why, sizeof p->why, "pool %s: another table of version %u is known here", pool->name, pool->table->version);
        return CHI_STATUS_MOVED;
    }
    enum chi_status st = upgraded(pool->module, p);
    return st == CHI_STATUS_OK ? change(rt, pool, p) : st;
}

void pools_apply(struct runtime *rt, struct control_call *c)
{
    struct pools_call *p = call_of(c);
    p->why[0] = 0;
    enum chi_status st = apply(rt, p);
    if (st != CHI_STATUS_PENDING)
        control_end(c, st);
}

/* PENDING: the call waits for its tasks. */
static enum chi_status remove_pool(struct runtime *rt, struct pools_call *p)
{
    struct sched_pool *pool = sched_pool_find(&rt->sched, p->plan.id);
    struct pools_end *e = pool ? NULL : ending_pool(rt, p->plan.id);
    if (!pool && (!e || e->call))
        return e ? CHI_STATUS_BUSY : CHI_STATUS_NO_POOL;
    if (e) { /* an earlier call gave up */
        e->call = p;
        e->limit_ns = net_now_ns() + POOLS_END_MS * UINT64_C(1000000);
        return CHI_STATUS_PENDING;
    }
    if (pool->id.major < POOLS_MAJOR)
        return CHI_STATUS_INVALID;
    if (upgraded(pool->module, p) != CHI_STATUS_OK)
        return CHI_STATUS_BUSY;
    e = calloc(1, sizeof *e);
    if (!e)
        return CHI_STATUS_NO_MEMORY;
    *e = (struct pools_end){.pool = pool, .whole = true, .why = CHI_STATUS_NO_POOL, .containers = sched_pool_hide(&rt->sched, pool)};
    begin_end(rt, e, p);
    return CHI_STATUS_PENDING;
}

void pools_remove(struct runtime *rt, struct control_call *c)
{
    call_of(c)->why[0] = 0;
    enum chi_status st = remove_pool(rt, call_of(c));
    if (st != CHI_STATUS_PENDING)
        control_end(c, st);
}

void pools_ask(struct runtime *rt, struct control_call *c)
{
    struct pools_call *p = call_of(c);
    const struct sched_pool *pool = sched_pool_named(&rt->sched, p->plan.name);
    p->last = rt->pools_last;
    p->why[0] = 0;
    if (pool) {
        const struct sched_table *t = pool->table;
        p->plan.id = pool->id;
        p->plan.version = t->version;
        p->plan.containers = t->containers;
        p->hash = t->hash;
        snprintf(p->module, sizeof p->module, "%s", pool->module->name);
        if (t->containers <= p->room)
            memcpy(p->table, t->node_of, t->containers * sizeof *t->node_of);
    }
    control_end(c, pool ? CHI_STATUS_OK : CHI_STATUS_NO_POOL);
}
