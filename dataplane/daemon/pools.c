/* pools.c - what chictl can ask of pools; and what tasks of the admin module have the control thread do (worker/control.h).  Control thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "worker/control.h"

const struct rpc_param pool_show_params[] = {{"name", RPC_STRING, true, "of the pool, or its number"}, {0}};

static void pool_text(const struct sched_pool *p, char out[24]) { snprintf(out, 24, "%u.%u", p->id.major, p->id.minor); }

static json_t *row(const struct sched_pool *p, const struct chi_container *c)
{
    char id[24];
    uint32_t lanes = 0;
    for (uint32_t q = 0; c && q < CHI_QUEUES_MAX; q++)
        lanes += c->queue[q].count;
    pool_text(p, id);
    return json_pack("{s:s, s:s, s:s, s:i, s:o, s:i}", "pool", id, "name", p->name, "module", p->module->name, "containers",
                     (int)p->table->containers, "container", c ? json_integer(c->id) : json_null(), "lanes", (int)lanes);
}

/* A row for each container of this node; one for a pool that has none here. */
json_t *pool_list(void *daemon, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = daemon;
    json_t *list = json_array();
    (void)params;
    (void)err;
    for (const struct sched_pool *p = d->rt->sched.made; p; p = p->next) {
        if (!p->local)
            json_array_append_new(list, row(p, NULL));
        for (const struct chi_container *c = p->local; c; c = c->next_local)
            json_array_append_new(list, row(p, c));
    }
    return list;
}

json_t *pool_show(void *daemon, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = daemon;
    const char *name = json_string_value(json_object_get(params, "name"));
    const struct sched_pool *p = d->rt->sched.made;
    char id[24] = "";
    for (; p; p = p->next) {
        pool_text(p, id);
        if (strcmp(p->name, name) == 0 || strcmp(id, name) == 0)
            break;
    }
    if (!p)
        return rpc_fail(err, RPC_INVALID_PARAMS, "there is no pool '%.40s' here (chictl pool list)", name);
    const struct sched_table *t = p->table;
    json_t *list = json_array();
    for (uint32_t k = 0; k < t->containers; k++)
        json_array_append_new(list, json_pack("{s:i, s:i}", "container", (int)k, "node", (int)t->node_of[k]));
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:o}", "pool", id, "name", p->name, "module", p->module->name, "version", (int)t->version, "containers",
                     (int)t->containers, "table", list);
}

static void on_called(evutil_socket_t fd, short what, void *arg)
{
    struct daemon *d = arg;
    (void)fd;
    (void)what;
    unsigned ms = runtime_control(d->rt, net_now_ns());
    const struct timeval again = {ms / 1000, ms % 1000 * 1000};
    if (ms)
        event_add(d->pools_again, &again);
}

int pools_start(struct daemon *d)
{
    d->pools_called = event_new(d->base, runtime_control_fd(d->rt), EV_READ | EV_PERSIST, on_called, d);
    d->pools_again = evtimer_new(d->base, on_called, d);
    return !d->pools_called || !d->pools_again || event_add(d->pools_called, NULL) ? -ENOMEM : 0;
}

void pools_stop(struct daemon *d)
{
    if (d->pools_called)
        event_free(d->pools_called);
    if (d->pools_again)
        event_free(d->pools_again);
    d->pools_called = d->pools_again = NULL;
}
