/* cores.c - which core turns which workers, while they run: cores come and go, threads change how they idle, and workers leave one that is held.
 * Control thread.  It writes into a worker which carrier is to have it; carrier.c says how that one gets it. */
#include <errno.h>
#include <time.h>

#include "carrier.h"
#include "internal.h"

static void assign(struct worker *w, struct carrier *to)
{
    struct carrier *from = w->carrier;
    if (from == to)
        return;
    __atomic_store_n(&w->carrier, to, __ATOMIC_SEQ_CST); /* pairs with give_back */
    carrier_order(from); /* in this order: who has it next did so behind the order to who had it last */
    carrier_order(to);
}

static uint32_t load_of(const struct runtime *rt, const struct carrier *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < rt->workers; i++)
        n += rt->worker[i]->carrier == c;
    return n;
}

static bool is_held(const struct runtime *rt, const struct carrier *c)
{
    for (uint32_t i = 0; i < rt->workers; i++)
        if (rt->worker[i]->holds && __atomic_load_n(&rt->worker[i]->turned_by, __ATOMIC_RELAXED) == c)
            return true;
    return false;
}

/* The used one with the most workers (the fewest: most is false), not `but`; NULL: there is none. */
static struct carrier *carrier_with(const struct runtime *rt, bool most, const struct carrier *but)
{
    struct carrier *best = NULL;
    for (uint32_t i = 0; i < rt->carriers; i++) {
        struct carrier *c = rt->carrier[i];
        if (!c->used || c == but)
            continue;
        if (!best || (most ? load_of(rt, c) > load_of(rt, best) : load_of(rt, c) < load_of(rt, best)))
            best = c;
    }
    return best;
}

static struct carrier *carrier_on(const struct runtime *rt, uint32_t core)
{
    for (uint32_t i = 0; i < rt->carriers; i++)
        if (rt->carrier[i]->used && rt->carrier[i]->core == core)
            return rt->carrier[i];
    return NULL;
}

static uint32_t used(const struct runtime *rt)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < rt->carriers; i++)
        n += rt->carrier[i]->used;
    return n;
}

/* No worker is in its hands, nor is to be. */
static bool is_idle(const struct runtime *rt, const struct carrier *c)
{
    for (uint32_t i = 0; i < rt->workers; i++)
        if (rt->worker[i]->carrier == c || __atomic_load_n(&rt->worker[i]->turned_by, __ATOMIC_ACQUIRE) == c)
            return false;
    return true;
}

static void wait_a_little(void)
{
    const struct timespec pause = {0, 100000};
    nanosleep(&pause, NULL);
}

/* One that turns nothing, whose thread is parked, or is about to be; NULL. */
static struct carrier *parked(const struct runtime *rt)
{
    for (uint32_t i = 0; i < rt->carriers; i++)
        if (!rt->carrier[i]->used && !rt->carrier[i]->stands_in && is_idle(rt, rt->carrier[i]))
            return rt->carrier[i];
    return NULL;
}

/* A thread on a core that turns nothing yet: one that is parked, or will be within the time, or a new one.  0 or -errno. */
static int carrier_get(struct runtime *rt, uint32_t core, uint64_t wait_ns, struct carrier **out)
{
    uint64_t until = net_now_ns() + wait_ns;
    while (!(*out = parked(rt)) && rt->carriers == rt->workers) {
        if (net_now_ns() >= until)
            return -EBUSY; /* one that was taken out does not return from a module */
        wait_a_little();
    }
    if (*out)
        return carrier_to(*out, core);
    *out = carrier_create(rt, core);
    int rc = *out ? carrier_start(*out) : -ENOMEM;
    if (rc)
        carrier_destroy(*out);
    else
        rt->carrier[rt->carriers++] = *out;
    return rc;
}

/* --- threads that are held */

/* For the other workers of one that is held: the least loaded other one that is not held too, else one more on the same core.  NULL: there is none. */
static struct carrier *stand_in(struct runtime *rt, const struct carrier *held)
{
    struct carrier *best = NULL;
    for (uint32_t i = 0; i < rt->carriers; i++) {
        struct carrier *c = rt->carrier[i];
        if (c->used && !is_held(rt, c) && (!best || load_of(rt, c) < load_of(rt, best)))
            best = c;
    }
    for (uint32_t i = 0; i < rt->carriers && !best; i++)
        if (rt->carrier[i]->stands_in && rt->carrier[i]->core == held->core && !is_held(rt, rt->carrier[i]))
            best = rt->carrier[i];
    if (best)
        return best;
    if (carrier_get(rt, held->core, 0, &best))
        return NULL;
    best->stands_in = true;
    return best;
}

uint32_t runtime_relieve(struct runtime *rt, uint32_t index)
{
    struct worker *by = rt->worker[index];
    struct carrier *held = by->carrier, *to;
    uint32_t n = 0;
    by->holds = true;
    if (__atomic_load_n(&by->turned_by, __ATOMIC_ACQUIRE) != held)
        return 0; /* its thread has no other one any more */
    for (uint32_t i = 0; i < rt->workers; i++) {
        struct worker *w = rt->worker[i];
        if (w == by || w->carrier != held || !(to = stand_in(rt, held)))
            continue;
        w->home = w->home ? w->home : held;
        assign(w, to);
        n++;
    }
    return n;
}

const struct worker *runtime_turned(const struct runtime *rt, uint32_t index)
{
    const struct worker *w = rt->worker[index], *by = NULL;
    for (uint32_t i = 0; i < rt->workers && by != w; i++)
        if (__atomic_load_n(&rt->worker[i]->turned_by, __ATOMIC_ACQUIRE) == w->carrier)
            by = rt->worker[i];
    return by;
}

/* Workers go back to their thread; NULL: all to theirs. */
static void bring_home(struct runtime *rt, const struct carrier *of)
{
    for (uint32_t i = 0; i < rt->workers; i++) {
        struct worker *w = rt->worker[i];
        if (!w->home || (of && w->home != of))
            continue;
        assign(w, w->home);
        w->home = NULL;
    }
    for (uint32_t i = 0; i < rt->carriers; i++)
        rt->carrier[i]->stands_in = rt->carrier[i]->stands_in && load_of(rt, rt->carrier[i]) > 0;
}

void runtime_relieved(struct runtime *rt, uint32_t index)
{
    rt->worker[index]->holds = false;
    bring_home(rt, rt->worker[index]->carrier);
}

/* --- cores */

/* Until no worker is in the hands of another thread than that which is to have it. */
static int await_claims(struct runtime *rt)
{
    uint64_t until = net_now_ns() + rt->call_limit_ns;
    for (uint32_t i = 0; i < rt->workers; i++) {
        const struct worker *w = rt->worker[i];
        struct carrier *by;
        while ((by = __atomic_load_n(&w->turned_by, __ATOMIC_ACQUIRE)) && by != w->carrier) {
            if (net_now_ns() > until)
                return -ETIMEDOUT;
            wait_a_little();
        }
    }
    return 0;
}

/* Behind a change of who has which worker, for which all were brought home. */
static int settle(struct runtime *rt)
{
    for (uint32_t i = 0; i < rt->workers; i++)
        if (rt->worker[i]->holds)
            (void)runtime_relieve(rt, i);
    return await_claims(rt);
}

/* One of its workers, that holds it only if all do.  Pre: it has one. */
static struct worker *spare_of(const struct runtime *rt, const struct carrier *c)
{
    struct worker *best = NULL;
    for (uint32_t i = 0; i < rt->workers; i++)
        if (rt->worker[i]->carrier == c && (!best || best->holds || !rt->worker[i]->holds))
            best = rt->worker[i];
    return best;
}

int runtime_core_add(struct runtime *rt, uint32_t core)
{
    struct carrier *c;
    if (carrier_on(rt, core))
        return -EEXIST;
    if (used(rt) == rt->workers)
        return -ENOSPC;
    bring_home(rt, NULL);
    int rc = carrier_get(rt, core, rt->call_limit_ns, &c);
    if (rc)
        return rc;
    __atomic_store_n(&c->busy, rt->options.busy, __ATOMIC_RELAXED);
    c->used = true;
    uint32_t share = rt->workers / used(rt);
    while (load_of(rt, c) < share) /* so who has the most has two or more */
        assign(spare_of(rt, carrier_with(rt, true, c)), c);
    return settle(rt);
}

int runtime_core_remove(struct runtime *rt, uint32_t core)
{
    struct carrier *c = carrier_on(rt, core);
    if (!c)
        return -ENOENT;
    if (used(rt) == 1)
        return -EBUSY;
    bring_home(rt, NULL);
    for (uint32_t i = 0; i < rt->workers; i++)
        if (rt->worker[i]->carrier == c)
            assign(rt->worker[i], carrier_with(rt, false, c));
    c->used = false;
    return settle(rt);
}

int runtime_idle_set(struct runtime *rt, const uint32_t *core, bool busy)
{
    if (core && !carrier_on(rt, *core))
        return -ENOENT;
    if (!core)
        rt->options.busy = busy; /* of those that come, too */
    for (uint32_t i = 0; i < rt->carriers; i++) {
        struct carrier *c = rt->carrier[i];
        if (!c->used || (core && c->core != *core))
            continue;
        __atomic_store_n(&c->busy, busy, __ATOMIC_RELAXED);
        carrier_order(c);
    }
    return 0;
}
