/* tasks.c - what chictl can ask of tasks: those that have begun, or are away, and have not ended.  Control thread. */
#include <stdio.h>
#include <stdlib.h>

#include "daemon.h"

enum { TASKS_MAX = 1024 };

static json_t *task_json(const struct daemon *d, const struct task_seen *s)
{
    static const char *const state[] = {[TASK_RUNNING] = "runs", [TASK_WAITING] = "waits for bytes", [TASK_AWAY] = "away", [TASK_SPREAD] = "in several"};
    static const char *const origin[] = {"?", "client", "module", "node", "replica"};
    const struct chi_container *c = d->rt->sched.all;
    char pool[24];
    while (c && (c->pool->id.major != s->pool.major || c->pool->id.minor != s->pool.minor))
        c = c->next;
    const struct chi_method *m = c ? sched_method(c->pool->module, s->method) : NULL;
    snprintf(pool, sizeof pool, "%u.%u", s->pool.major, s->pool.minor);
    json_t *o = json_pack("{s:o, s:s, s:s, s:s, s:i}", "method", json_sprintf("%s.%s", c ? c->pool->module->name : "?", m ? m->name : "?"), "pool", pool,
                          "from", origin[s->origin <= TASK_REPLICA ? s->origin : 0], "state", state[s->state], "worker", (int)s->worker);
    json_object_set_new(o, "container", s->here ? json_integer(s->container) : json_null());
    json_object_set_new(o, "queue", s->here ? json_integer(s->queue) : json_null());
    json_object_set_new(o, "lane", s->here ? json_integer(s->lane) : json_null());
    json_object_set_new(o, "node", s->state == TASK_AWAY ? json_integer(s->node) : json_null());
    json_object_set_new(o, "age_ns", s->age_ns == UINT64_MAX ? json_null() : json_number(s->age_ns));
    json_object_set_new(o, "done", s->says ? json_number(s->done) : json_null());
    json_object_set_new(o, "whole", s->says ? json_number(s->of) : json_null());
    return o;
}

json_t *task_list(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    struct task_seen *seen = malloc(TASKS_MAX * sizeof *seen);
    json_t *list = json_array();
    (void)params;
    for (uint32_t i = 0; i < d->rt->workers && seen; i++) {
        int n = runtime_tasks(d->rt, i, seen, TASKS_MAX);
        if (n < 0) {
            json_decref(list);
            free(seen);
            return rpc_fail(err, RPC_FAILED, "worker %u does not turn, or there is no memory (chictl worker list says what holds it)", i);
        }
        for (int k = 0; k < n; k++)
            json_array_append_new(list, task_json(d, &seen[k]));
    }
    free(seen);
    return list;
}
