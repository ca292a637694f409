/* nodes.c - to all nodes, some at once, on the one that keeps the order.  Pre of all: the task has a stack of its own, so that it can wait. */
#include <stdio.h>
#include <string.h>

#include "inner.h"
#include "worker/pools.h"

CHI_STATIC_ASSERT((int)ADMIN_REMOVE_MS > (int)POOLS_END_MS && (int)ADMIN_APPLY_MS > (int)POOLS_END_MS, "a node can say that its tasks did not end");
static const struct chi_pool_id ADMIN = {ADMIN_MAJOR, 0};

bool nodes_room(struct admin_job *j, uint32_t containers)
{
    if (j->table)
        chi_mem_put(j->r, j->table, j->table_bytes);
    j->table_bytes = containers * sizeof *j->table;
    j->table = containers ? chi_mem_get(j->r, j->table_bytes) : NULL;
    return j->table || !containers;
}

/* The first node that could not. */
static enum chi_status failed(struct admin_job *j, uint32_t node, enum chi_status st, const admin_why *why)
{
    char text[ADMIN_WHY_BYTES + 64];
    if (j->end->node)
        return st;
    j->end->node = node;
    j->end->node_status = st;
    snprintf(text, sizeof text, "node %u: %.*s%s%s", node, why ? (int)why->len : 0, why ? why->data : "", why && why->len ? "; " : "", chi_status_text(st));
    admin_why_put(&j->end->why, text);
    return st;
}

enum chi_status nodes_each(struct admin_job *j, struct chi_method *m, uint32_t limit_ms, bool (*of)(const struct admin_job *, const struct admin_node *),
                           void (*fill)(struct admin_job *j, struct chi_task *t),
                           enum chi_status (*take)(struct admin_job *j, struct admin_node *n, struct chi_task *t))
{
    enum chi_status first = CHI_STATUS_OK, st;
    for (uint32_t i = 0; i < j->count;) {
        struct chi_task *t[ADMIN_AT_ONCE];
        struct admin_node *to[ADMIN_AT_ONCE];
        unsigned n = 0;
        for (; i < j->count && n < ADMIN_AT_ONCE; i++) {
            if (of && !of(j, &j->node[i]))
                continue;
            to[n] = &j->node[i];
            t[n] = chi_task_new(j->r, m);
            if (!t[n]) {
                st = take(j, to[n], NULL);
                first = first == CHI_STATUS_OK ? st : first;
                continue;
            }
            t[n]->pool = ADMIN;
            t[n]->query = chi_physical(j->node[i].id);
            t[n]->timeout_us = limit_ms * 1000;
            fill(j, t[n]);
            chi_task_submit(j->r, t[n++], NULL, NULL);
        }
        st = chi_task_wait(j->r, t, n);
        CHI_ASSERT(st == CHI_STATUS_OK);
        for (unsigned k = 0; k < n; k++) {
            st = take(j, to[k], t[k]);
            first = first == CHI_STATUS_OK ? st : first;
            chi_task_del(j->r, t[k]);
        }
    }
    return first;
}

/* Of the task, or what it says. */
static enum chi_status came_to(const struct chi_task *t, const uint32_t *said)
{
    if (!t)
        return CHI_STATUS_NO_MEMORY;
    return (enum chi_status)(t->status != CHI_STATUS_OK ? t->status : *said);
}

/* --- ask */

static void fill_ask(struct admin_job *j, struct chi_task *task)
{
    struct admin_ask *t = (struct admin_ask *)task;
    admin_name_put(&t->name, j->name);
    t->table = (struct chi_bulk){j->table, j->table ? j->table_bytes : 0, 0};
}

static enum chi_status differs(struct admin_job *j, const struct admin_node *n, const struct admin_ask *t)
{
    char text[ADMIN_WHY_BYTES];
    snprintf(text, sizeof text, "node %u has another pool %s than node %u: %u.%u, version %u, and %u.%u, version %u", n->id, j->name, j->best, t->major,
             t->minor, t->version, j->pool.major, j->pool.minor, j->version);
    j->end->node = n->id;
    j->end->node_status = CHI_STATUS_INVALID;
    admin_why_put(&j->end->why, text);
    return CHI_STATUS_INVALID;
}

static enum chi_status take_ask(struct admin_job *j, struct admin_node *n, struct chi_task *task)
{
    const struct admin_ask *t = (const struct admin_ask *)task;
    enum chi_status st = came_to(task, &t->status);
    n->answers = st == CHI_STATUS_OK;
    if (!n->answers) {
        failed(j, n->id, st, NULL);
        return CHI_STATUS_OK; /* whose pool it may be others say */
    }
    j->last = t->last > j->last ? t->last : j->last;
    n->has = t->found;
    n->version = t->version;
    if (!t->found)
        return CHI_STATUS_OK;
    if (j->found && (t->major != j->pool.major || t->minor != j->pool.minor || (t->version == j->version && t->hash != j->hash)))
        return differs(j, n, t);
    if (j->found && t->version <= j->version)
        return CHI_STATUS_OK;
    j->found = true;
    j->pool = (struct chi_pool_id){t->major, t->minor};
    j->version = t->version;
    j->containers = t->containers;
    j->hash = t->hash;
    j->best = n->id;
    snprintf(j->module, sizeof j->module, "%.*s", (int)t->module.len, t->module.data);
    return CHI_STATUS_OK;
}

void nodes_know(struct admin_job *j)
{
    const struct sched_known *k = rcu_dereference(j->r->worker->rt->sched.known);
    j->count = k->count < ADMIN_NODES_MAX ? k->count : ADMIN_NODES_MAX;
    for (uint32_t i = 0; i < j->count; i++)
        j->node[i] = (struct admin_node){.id = k->id[i]};
}

enum chi_status nodes_ask(struct admin_job *j)
{
    nodes_know(j);
    return nodes_each(j, &admin_ask_method, ADMIN_ASK_MS, NULL, fill_ask, take_ask);
}

static bool is_best(const struct admin_job *j, const struct admin_node *n) { return n->id == j->best; }
static enum chi_status take_table(struct admin_job *j, struct admin_node *n, struct chi_task *task)
{
    const struct admin_ask *t = (const struct admin_ask *)task;
    enum chi_status st = came_to(task, &t->status);
    if (st == CHI_STATUS_OK && (!t->found || t->version != j->version || t->hash != j->hash || t->table.used != j->containers * sizeof *j->table))
        st = CHI_STATUS_MOVED; /* it restarted meanwhile */
    return st == CHI_STATUS_OK ? st : failed(j, n->id, st, NULL);
}

enum chi_status nodes_table(struct admin_job *j, uint32_t more)
{
    if (!nodes_room(j, j->containers + more))
        return CHI_STATUS_NO_MEMORY;
    return nodes_each(j, &admin_ask_method, ADMIN_ASK_MS, is_best, fill_ask, take_table);
}

/* --- apply, remove */

static void fill_apply(struct admin_job *j, struct chi_task *task)
{
    struct admin_apply *t = (struct admin_apply *)task;
    admin_name_put(&t->name, j->name);
    admin_name_put(&t->module, j->module);
    t->major = j->pool.major;
    t->minor = j->pool.minor;
    t->version = j->version;
    t->table = (struct chi_bulk){j->table, j->containers * sizeof *j->table, 0};
}

static enum chi_status take_apply(struct admin_job *j, struct admin_node *n, struct chi_task *task)
{
    const struct admin_apply *t = (const struct admin_apply *)task;
    enum chi_status st = came_to(task, &t->status);
    if (st == CHI_STATUS_OK)
        return st;
    j->tasks += task && task->status == CHI_STATUS_OK ? t->tasks : 0;
    return failed(j, n->id, st, task && task->status == CHI_STATUS_OK ? &t->why : NULL);
}

enum chi_status nodes_apply(struct admin_job *j, bool (*of)(const struct admin_job *j, const struct admin_node *n))
{
    return nodes_each(j, &admin_apply_method, ADMIN_APPLY_MS, of, fill_apply, take_apply);
}

static void fill_remove(struct admin_job *j, struct chi_task *task)
{
    struct admin_remove *t = (struct admin_remove *)task;
    t->major = j->pool.major;
    t->minor = j->pool.minor;
}

static enum chi_status take_remove(struct admin_job *j, struct admin_node *n, struct chi_task *task)
{
    const struct admin_remove *t = (const struct admin_remove *)task;
    enum chi_status st = came_to(task, &t->status);
    if (st == CHI_STATUS_OK || st == CHI_STATUS_NO_POOL)
        return CHI_STATUS_OK;
    j->tasks += task && task->status == CHI_STATUS_OK ? t->tasks : 0;
    return failed(j, n->id, st, task && task->status == CHI_STATUS_OK ? &t->why : NULL);
}

enum chi_status nodes_remove(struct admin_job *j) { return nodes_each(j, &admin_remove_method, ADMIN_REMOVE_MS, NULL, fill_remove, take_remove); }
