/* cores.c - what chictl can change of cores: which of them turn workers, and how their threads idle.  Control thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/config.h"
#include "daemon.h"
#include "worker/carrier.h"

const struct rpc_param core_params[] = {{"core", RPC_INTEGER, true, "its number"}, {0}};
const struct rpc_param worker_set_params[] = {
    {"idle", RPC_STRING, true, "busy or adaptive"},
    {"core", RPC_INTEGER, false, "whose thread; all of them, and those that come"},
    {0},
};

static const char *idle_word(const struct carrier *c) { return __atomic_load_n(&c->busy, __ATOMIC_RELAXED) ? "busy" : "adaptive"; }

/* Each core that has a thread, and the workers which that turns. */
static json_t *cores_json(const struct daemon *d)
{
    const struct runtime *rt = d->rt;
    json_t *list = json_array();
    for (uint32_t i = 0; i < rt->carriers; i++) {
        const struct carrier *c = rt->carrier[i];
        char workers[4 * WORKERS_MAX] = "";
        size_t at = 0;
        for (uint32_t k = 0; k < rt->workers; k++)
            if (rt->worker[k]->carrier == c)
                at += (size_t)snprintf(workers + at, sizeof workers - at, "%s%u", at ? " " : "", k);
        if (c->used)
            json_array_append_new(list, json_pack("{s:i, s:s, s:s}", "core", (int)c->core, "idle", idle_word(c), "workers", workers));
    }
    return list;
}

/* False, and *err says what is right. */
static bool core_of(json_t *params, uint32_t *out, struct rpc_error *err)
{
    json_int_t core = json_integer_value(json_object_get(params, "core"));
    *out = (uint32_t)core;
    if (core >= 0 && core < CONFIG_CORES_MAX)
        return true;
    return rpc_fail(err, RPC_INVALID_PARAMS, "core is %" JSON_INTEGER_FORMAT "; right is a number from 0 to %d", core, CONFIG_CORES_MAX - 1), false;
}

json_t *worker_add(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    uint32_t core;
    char here[64];
    if (!core_of(params, &core, err))
        return NULL;
    int rc = runtime_core_add(d->rt, core);
    switch (rc) {
    case 0:
        return cores_json(d);
    case -EEXIST:
        return rpc_fail(err, RPC_FAILED, "core %u turns workers already (chictl worker list)", core);
    case -ENOSPC:
        return rpc_fail(err, RPC_FAILED, "each of the %u workers has a core of its own, and their number is fixed at the start: workers.count of the configuration",
                        d->rt->workers);
    case -EINVAL:
        config_cores_here(here, sizeof here);
        return rpc_fail(err, RPC_INVALID_PARAMS, "core is %u, which this process cannot run on; cores here: %s", core, here);
    case -EBUSY:
        return rpc_fail(err, RPC_FAILED, "the thread of a core that was removed is held by a task (chictl worker list); try again");
    case -ETIMEDOUT:
        return rpc_fail(err, RPC_FAILED, "a worker does not turn; it goes to core %u when it does", core);
    default:
        return rpc_fail(err, RPC_FAILED, "no thread on core %u: %s", core, strerror(-rc));
    }
}

json_t *worker_remove(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    uint32_t core;
    if (!core_of(params, &core, err))
        return NULL;
    switch (runtime_core_remove(d->rt, core)) {
    case 0:
        return cores_json(d);
    case -ENOENT:
        return rpc_fail(err, RPC_INVALID_PARAMS, "core %u turns no worker (chictl worker list)", core);
    case -EBUSY:
        return rpc_fail(err, RPC_FAILED, "core %u is the only one; add another one first", core);
    default:
        return rpc_fail(err, RPC_FAILED, "a worker does not turn; it leaves core %u when it does", core);
    }
}

json_t *worker_set(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    const char *idle = json_string_value(json_object_get(params, "idle"));
    bool one = json_object_get(params, "core") != NULL, busy = strcmp(idle, "busy") == 0;
    uint32_t core = 0;
    if (!busy && strcmp(idle, "adaptive") != 0)
        return rpc_fail(err, RPC_INVALID_PARAMS, "idle is '%.40s'; right is adaptive or busy", idle);
    if (one && !core_of(params, &core, err))
        return NULL;
    if (runtime_idle_set(d->rt, one ? &core : NULL, busy))
        return rpc_fail(err, RPC_INVALID_PARAMS, "core %u turns no worker (chictl worker list)", core);
    return cores_json(d);
}
