/* modules.c - what chictl can ask of modules.  Control thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "sched/tables.h"
#include "worker/hold.h"

const struct rpc_param mod_show_params[] = {{"name", RPC_STRING, true, "of the module"}, {0}};

/* "100.0", of each pool of a module that has a container here. */
static json_t *pools_of(const struct daemon *d, const struct sched_module *m)
{
    json_t *list = json_array();
    for (const struct chi_container *c = d->rt->sched.all; c; c = c->next)
        if (c->pool->module == m && c == c->pool->local)
            json_array_append_new(list, json_sprintf("%u.%u", c->pool->id.major, c->pool->id.minor));
    return list;
}

/* The texts of a list as one, blanks between. */
static json_t *joined(json_t *list)
{
    json_t *text = json_string(""), *one;
    size_t i;
    json_array_foreach(list, i, one)
    {
        json_t *more = json_sprintf("%s%s%s", json_string_value(text), i ? " " : "", json_string_value(one));
        json_decref(text);
        text = more;
    }
    json_decref(list);
    return text;
}

json_t *mod_list(void *daemon, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = daemon;
    json_t *list = json_array();
    (void)params;
    (void)err;
    for (const struct sched_module *m = d->rt->sched.loaded; m; m = m->next)
        json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:o, s:s}", "module", m->name, "abi", (int)m->ops->abi, "methods",
                                              (int)m->ops->nmethods, "pools", joined(pools_of(d, m)), "file", m->path));
    return list;
}

/* A line for each field; NULL: no memory. */
static json_t *fields_of(const struct chi_method *m)
{
    size_t n = chi_schema_print(m, NULL, 0);
    char *text = malloc(n + 1), *rest = text;
    json_t *list = text ? json_array() : NULL;
    if (text)
        (void)chi_schema_print(m, text, n + 1);
    for (char *line; rest && (line = strsep(&rest, "\n")) && *line;)
        json_array_append_new(list, json_string(line));
    free(text);
    return list;
}

void modules_print(const struct sched_module *m)
{
    printf("%s: module %s, ABI %u, %u method%s: valid\n", m->path, m->name, m->ops->abi, m->ops->nmethods, m->ops->nmethods == 1 ? "" : "s");
    for (uint32_t id = 0; id < m->method_count; id++) {
        const struct chi_method *o = sched_method(m, id);
        json_t *fields = o ? fields_of(o) : NULL, *line;
        size_t i;
        if (o)
            printf("  %u %s: %u bytes, schema 0x%08x\n", id, o->name, o->size, o->hash);
        json_array_foreach(fields, i, line) printf("    %s\n", json_string_value(line));
        json_decref(fields);
    }
}

json_t *mod_show(void *daemon, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = daemon;
    const char *name = json_string_value(json_object_get(params, "name"));
    const struct sched_module *m = d->rt->sched.loaded;
    while (m && strcmp(m->name, name) != 0)
        m = m->next;
    if (!m)
        return rpc_fail(err, RPC_INVALID_PARAMS, "there is no module '%.40s'; mod.list names all", name);
    json_t *list = json_array();
    for (uint32_t id = 0; id < m->method_count; id++) {
        const struct chi_method *o = sched_method(m, id);
        char hash[16];
        if (!o)
            continue;
        snprintf(hash, sizeof hash, "0x%08x", o->hash);
        json_array_append_new(list, json_pack("{s:i, s:s, s:i, s:s, s:o}", "method", (int)id, "name", o->name, "struct_bytes", (int)o->size,
                                              "schema", hash, "fields", fields_of(o)));
    }
    return json_pack("{s:s, s:s, s:i, s:o, s:o}", "module", m->name, "file", m->path, "abi", (int)m->ops->abi, "pools",
                     joined(pools_of(d, m)), "methods", list);
}

json_t *mod_load(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    const char *name = json_string_value(json_object_get(params, "name"));
    const struct sched_module *m = d->rt->sched.loaded;
    char why[SCHED_ERROR_BYTES];
    while (m && strcmp(m->name, name) != 0)
        m = m->next;
    if (m)
        return rpc_fail(err, RPC_FAILED, "module %s is loaded, from %.120s; mod.upgrade takes another version", name, m->path);
    if (sched_load(&d->rt->sched, name, d->config->modules.path, d->config->modules.count, why))
        return rpc_fail(err, RPC_FAILED, "%s", why);
    for (m = d->rt->sched.loaded; m->next; m = m->next)
        ;
    return json_pack("{s:s, s:i, s:i, s:s}", "module", m->name, "abi", (int)m->ops->abi, "methods", (int)m->ops->nmethods, "file", m->path);
}

json_t *mod_unload(void *daemon, json_t *params, struct rpc_error *err)
{
    struct daemon *d = daemon;
    const char *name = json_string_value(json_object_get(params, "name"));
    char why[SCHED_ERROR_BYTES];
    if (upgrade_is_of(d, name))
        return rpc_fail(err, RPC_FAILED, "an upgrade of %s is not over", name);
    const struct sched_module *m = sched_module_find(&d->rt->sched, name);
    uint64_t left = 0;
    if (m && !m->pools && runtime_named(d->rt, m, &left))
        return rpc_fail(err, RPC_FAILED, "a worker does not answer");
    if (left) /* a `done` of it that is still to be called, in another pool say */
        return rpc_fail(err, RPC_FAILED, "%llu task record%s still name%s code of module %s; try again", (unsigned long long)left, left == 1 ? "" : "s", left == 1 ? "s" : "", name);
    if (sched_unload(&d->rt->sched, name, why))
        return rpc_fail(err, RPC_FAILED, "%s", why);
    return json_pack("{s:s}", "unloaded", name);
}
