/* upgrade.c - another version of a module takes the place of the one that runs (docs/RUNTIME.md, Module life).  Control thread.
 *
 * A timer looks from time to time how far it is, so that the control thread does other things meanwhile.  Up to the swap everything can be undone, and
 * is when the time is over; behind it nothing can fail. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "worker/hold.h"
#include "worker/pools.h"

enum { EACH_MS = 10, LIMIT_MS = 5000, LIMIT_MAX_MS = 600000 };

enum phase { HOLD, DRAIN, SWAP, CLOSE, GIVE_UP, OVER };
struct upgrade {
    struct event *tick;
    struct sched_module *old, *m; /* both NULL when it is over */
    enum phase phase;
    bool failed;
    uint64_t began_ns, until_ns, over_ns;
    void **states; /* of each container of this node, the new version's, */
    void **before; /* and the old one's; behind BEGIN of all of them */
    unsigned count;
    char name[SCHED_NAME_MAX + 1], why[160];
};

const struct rpc_param mod_upgrade_params[] = {
    {"name", RPC_STRING, true, "of the module"},
    {"limit", RPC_INTEGER, false, "milliseconds until it is given up; 5000"},
    {0},
};

static void say(struct upgrade *u, const char *what, const struct hold_busy *b)
{
    if (b && b->count)
        snprintf(u->why, sizeof u->why, "%s: %llu task%s, one of them %s of worker %u %s", what, (unsigned long long)b->count, b->count == 1 ? "" : "s",
                 b->method, b->worker, b->what);
    else
        snprintf(u->why, sizeof u->why, "%s", what);
}

static void give_up(struct upgrade *u)
{
    u->failed = true;
    u->phase = GIVE_UP;
}

/* --- states */

/* COMMIT or ABORT of the first n containers that had a BEGIN. */
static void tell_states(struct daemon *d, struct upgrade *u, enum chi_upgrade_step step, unsigned n)
{
    unsigned i = 0;
    for (struct chi_container *c = d->rt->sched.all; c && i < n; c = c->next)
        if (c->pool->module == u->old || c->pool->module == u->m) {
            if (u->m->ops->upgrade)
                (void)u->m->ops->upgrade(c, step, u->before[i], &u->states[i]);
            i++;
        }
}

static enum chi_status begin_state(struct upgrade *u, struct chi_container *c, unsigned i)
{
    u->before[i] = chi_container_state(c);
    u->states[i] = NULL;
    if (u->m->ops->upgrade)
        return u->m->ops->upgrade(c, CHI_UPGRADE_BEGIN, u->before[i], &u->states[i]);
    return u->before[i] ? CHI_STATUS_UNSUPPORTED : CHI_STATUS_OK;
}

/* All or none. */
static bool begin_states(struct daemon *d, struct upgrade *u)
{
    unsigned i = 0;
    for (struct chi_container *c = d->rt->sched.all; c; c = c->next) {
        if (c->pool->module != u->old)
            continue;
        enum chi_status st = begin_state(u, c, i);
        if (st != CHI_STATUS_OK) {
            snprintf(u->why, sizeof u->why, "container %u of pool %s is not taken over: %s", c->id, c->pool->name,
                     u->m->ops->upgrade ? chi_status_text(st) : "it has a state, and the new version no `upgrade`");
            tell_states(d, u, CHI_UPGRADE_ABORT, i);
            return false;
        }
        i++;
    }
    return true;
}

/* --- phases; each returns when the next look may do more */

static void hold(struct daemon *d, struct upgrade *u)
{
    int rc = runtime_hold(d->rt, u->old);
    if (!rc) {
        u->phase = DRAIN;
        return;
    }
    if (rc == -EBUSY || rc == -ETIMEDOUT || rc == -EAGAIN) {
        say(u, rc == -EBUSY ? "lanes move" : "a worker does not turn", NULL);
        return;
    }
    say(u, rc == -EOPNOTSUPP ? "a version with run_many cannot be left" : "out of memory", NULL);
    u->failed = true;
    u->phase = OVER;
}

static void drain(struct daemon *d, struct upgrade *u)
{
    struct hold_busy b;
    int rc = runtime_hold_look(d->rt, &b);
    say(u, rc ? "a worker does not turn" : "the old version is not at rest", &b);
    if (rc || b.count || runtime_hold_close(d->rt))
        return;
    if (begin_states(d, u))
        u->phase = SWAP;
    else
        give_up(u);
}

static void swap(struct daemon *d, struct upgrade *u)
{
    say(u, "a worker does not turn", NULL);
    if (runtime_hold_swap(d->rt, u->old, u->m, u->states))
        return;
    tell_states(d, u, CHI_UPGRADE_COMMIT, u->count);
    u->over_ns = net_now_ns();
    u->phase = CLOSE;
}

static void close_old(struct daemon *d, struct upgrade *u)
{
    uint64_t left;
    int rc = runtime_named(d->rt, u->old, &left);
    say(u, "tasks that the old version submitted are out, and its file stays open", NULL);
    if (rc || left)
        return;
    sched_module_end(u->old);
    u->why[0] = 0;
    u->phase = OVER;
}

static void undo(struct daemon *d, struct upgrade *u)
{
    if (runtime_hold_end(d->rt))
        return; /* a worker does not turn: until it does */
    u->over_ns = net_now_ns();
    u->phase = OVER;
}

static void settle(struct upgrade *u)
{
    event_del(u->tick);
    if (u->failed && u->m)
        sched_module_end(u->m);
    if (u->failed && u->old)
        u->old->changes = false;
    if (!u->over_ns)
        u->over_ns = net_now_ns();
    u->old = u->m = NULL;
    free(u->states);
    free(u->before);
    u->states = u->before = NULL;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct daemon *d = arg;
    struct upgrade *u = d->upgrade;
    (void)fd;
    (void)what;
    if (net_now_ns() > u->until_ns && u->phase == HOLD) {
        u->failed = true;
        u->phase = OVER;
    } else if (net_now_ns() > u->until_ns && u->phase == DRAIN) {
        give_up(u);
    } else if (net_now_ns() > u->until_ns && u->phase == SWAP) {
        tell_states(d, u, CHI_UPGRADE_ABORT, u->count);
        give_up(u);
    }
    if (u->phase == HOLD)
        hold(d, u);
    else if (u->phase == DRAIN)
        drain(d, u);
    else if (u->phase == GIVE_UP)
        undo(d, u);
    else if (u->phase == CLOSE)
        close_old(d, u);
    if (u->phase == SWAP)
        swap(d, u);
    if (u->phase == OVER)
        settle(u);
}

/* --- what chictl asks */

static bool is_on(const struct upgrade *u) { return u && u->phase != OVER; }

static bool has_memory(struct daemon *d, struct upgrade *u)
{
    for (struct chi_container *c = d->rt->sched.all; c; c = c->next)
        u->count += c->pool->module == u->old;
    u->states = calloc(u->count + 1, sizeof *u->states);
    u->before = calloc(u->count + 1, sizeof *u->before);
    return u->states && u->before;
}

static struct upgrade *make(struct daemon *d)
{
    static const struct timeval each = {0, EACH_MS * 1000};
    struct upgrade *u = d->upgrade ? d->upgrade : calloc(1, sizeof *u);
    if (!u)
        return NULL;
    struct event *tick = u->tick ? u->tick : event_new(d->base, -1, EV_PERSIST, on_tick, d);
    *u = (struct upgrade){.tick = tick, .phase = OVER};
    d->upgrade = u;
    return tick && !event_add(tick, &each) ? u : NULL;
}

static struct sched_module *loaded(const struct daemon *d, const char *name)
{
    struct sched_module *m = d->rt->sched.loaded;
    while (m && strcmp(m->name, name) != 0)
        m = m->next;
    return m;
}

json_t *mod_upgrade(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    const char *name = json_string_value(json_object_get(params, "name"));
    const json_t *limit = json_object_get(params, "limit");
    json_int_t ms = limit ? json_integer_value(limit) : LIMIT_MS;
    char why[SCHED_ERROR_BYTES];
    struct sched_module *old = loaded(d, name), *m;
    if (!old)
        return rpc_fail(err, RPC_INVALID_PARAMS, "there is no module '%.40s'; mod.list names all", name);
    if (ms < 1 || ms > LIMIT_MAX_MS)
        return rpc_fail(err, RPC_INVALID_PARAMS, "limit is %lld; right is 1..%d milliseconds", (long long)ms, LIMIT_MAX_MS);
    if (is_on(d->upgrade))
        return rpc_fail(err, RPC_FAILED, "an upgrade of %s is not over", d->upgrade->name);
    if (pools_end_of(d->rt, old))
        return rpc_fail(err, RPC_FAILED, "containers of module %s are about to go, when their tasks have ended; try again", name);
    if (sched_load_again(old, d->config->modules.path, d->config->modules.count, &m, why))
        return rpc_fail(err, RPC_FAILED, "%s", why);
    if (!m->ops->run || ((m->ops->poll || m->ops->flush) && !old->ops->poll && !old->ops->flush)) {
        sched_module_end(m);
        return rpc_fail(err, RPC_FAILED, "module %s: a version with run_many alone, or the first one that polls, takes a restart", name);
    }
    struct upgrade *u = make(d);
    if (u)
        *u = (struct upgrade){.tick = u->tick, .phase = HOLD, .old = old, .m = m, .began_ns = net_now_ns()};
    if (!u || !has_memory(d, u)) {
        sched_module_end(m);
        if (u) {
            u->m = NULL;
            u->phase = OVER;
            settle(u);
        }
        return rpc_fail(err, RPC_FAILED, "out of memory");
    }
    old->changes = true; /* so are its containers those that were counted */
    u->until_ns = u->began_ns + (uint64_t)ms * 1000000;
    snprintf(u->name, sizeof u->name, "%s", name);
    on_tick(-1, 0, d);
    return json_pack("{s:s, s:s}", "module", name, "upgrade", "begun");
}

json_t *mod_upgrading(void *daemon, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = daemon;
    const struct upgrade *u = d->upgrade;
    (void)params;
    if (!u || !u->began_ns)
        return rpc_fail(err, RPC_FAILED, "no module was upgraded since the start");
    bool on = is_on(u), swapped = u->phase == CLOSE || (!on && !u->failed);
    return json_pack("{s:s, s:s, s:s, s:o}", "module", u->name, "upgrade", u->phase == CLOSE ? "done, not closed" : swapped ? "done" : on ? "waits" : "given up", "why",
                     u->why, "took_ns", json_number((u->over_ns ? u->over_ns : net_now_ns()) - u->began_ns));
}

bool upgrade_is_of(const struct daemon *d, const char *name) { return is_on(d->upgrade) && strcmp(d->upgrade->name, name) == 0; }

void upgrade_abandon(struct daemon *d)
{
    struct upgrade *u = d->upgrade;
    if (!u)
        return;
    if (u->phase == SWAP)
        tell_states(d, u, CHI_UPGRADE_ABORT, u->count);
    if ((u->phase == DRAIN || u->phase == SWAP || u->phase == GIVE_UP) && runtime_hold_end(d->rt))
        fprintf(stderr, "chimaerad: a worker does not turn: what the upgrade of %s held is dropped\n", u->name);
    u->failed = u->phase != CLOSE;
}

void upgrade_free(struct daemon *d)
{
    struct upgrade *u = d->upgrade;
    if (!u)
        return;
    if (u->phase == CLOSE)
        sched_module_end(u->old);
    if (u->phase != OVER)
        settle(u);
    if (u->tick)
        event_free(u->tick);
    free(u);
    d->upgrade = NULL;
}
