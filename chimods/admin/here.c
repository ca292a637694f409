/* here.c - what is done on this node: by the control thread, while the task waits. */
#include <string.h>

#include "inner.h"
#include "worker/pools.h"

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool admin_name_read(const admin_name *name, char out[ADMIN_NAME_BYTES + 1])
{
    memset(out, 0, ADMIN_NAME_BYTES + 1);
    for (uint32_t i = 0; i < name->len; i++) {
        if (!is_word(name->data[i]))
            return false;
        out[i] = name->data[i];
    }
    return name->len > 0;
}

void admin_name_put(admin_name *name, const char *text)
{
    name->len = (uint32_t)strnlen(text, sizeof name->data);
    memcpy(name->data, text, name->len);
}

void admin_why_put(admin_why *why, const char *text)
{
    why->len = (uint32_t)strnlen(text, sizeof why->data);
    memcpy(why->data, text, why->len);
}

static enum chi_status ask(struct admin_ask *t, struct chi_rctx *r)
{
    char name[ADMIN_NAME_BYTES + 1];
    struct pools_call p = {.call.begin = pools_ask, .plan.name = name, .table = t->table.ptr, .room = (uint32_t)(t->table.size / sizeof *p.table)};
    if (!admin_name_read(&t->name, name))
        return CHI_STATUS_INVALID;
    enum chi_status st = control_call_st(r->worker, &p.call);
    if (st != CHI_STATUS_OK && st != CHI_STATUS_NO_POOL)
        return st;
    t->last = p.last;
    t->found = st == CHI_STATUS_OK;
    if (!t->found)
        return CHI_STATUS_OK;
    t->major = p.plan.id.major;
    t->minor = p.plan.id.minor;
    t->version = p.plan.version;
    t->containers = p.plan.containers;
    t->hash = p.hash;
    admin_name_put(&t->module, p.module);
    if (p.plan.containers <= p.room)
        t->table.used = p.plan.containers * sizeof *p.table; /* numbers of this machine's order, which is little-endian, like the other nodes' */
    return CHI_STATUS_OK;
}

static enum chi_status apply(struct admin_apply *t, struct chi_rctx *r)
{
    char name[ADMIN_NAME_BYTES + 1], module[ADMIN_NAME_BYTES + 1];
    struct pools_call p = {.call.begin = pools_apply};
    uint64_t n = t->table.size / sizeof *p.plan.node_of;
    if (!admin_name_read(&t->name, name) || !admin_name_read(&t->module, module) || n == 0 || n > SCHED_CONTAINERS_MAX)
        return CHI_STATUS_INVALID;
    p.plan = (struct sched_plan){module, name, {t->major, t->minor}, t->version, (uint32_t)n, t->table.ptr};
    enum chi_status st = control_call_st(r->worker, &p.call);
    t->tasks = p.tasks;
    admin_why_put(&t->why, p.why);
    return st;
}

static enum chi_status remove_pool(struct admin_remove *t, struct chi_rctx *r)
{
    struct pools_call p = {.call.begin = pools_remove, .plan.id = {t->major, t->minor}};
    enum chi_status st = control_call_st(r->worker, &p.call);
    t->tasks = p.tasks;
    admin_why_put(&t->why, p.why);
    return st;
}

/* What came of it is an output: others travel with OK alone. */
enum chi_status here_run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    if (task_of(task)->origin == TASK_CLIENT) /* its memory may change while the control thread reads it */
        return CHI_STATUS_UNSUPPORTED;
    switch (task->method->id) {
    case ADMIN_ASK:
        ((struct admin_ask *)task)->status = ask((struct admin_ask *)task, r);
        return CHI_STATUS_OK;
    case ADMIN_APPLY:
        ((struct admin_apply *)task)->status = apply((struct admin_apply *)task, r);
        return CHI_STATUS_OK;
    case ADMIN_REMOVE:
        ((struct admin_remove *)task)->status = remove_pool((struct admin_remove *)task, r);
        return CHI_STATUS_OK;
    case ADMIN_WAVE: /* its status is its own */
        return flush_wave(c, task, r);
    default:
        return CHI_STATUS_NO_METHOD;
    }
}
