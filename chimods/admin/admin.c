/* admin.c - requests: on the node that keeps the order one at a time, from any other passed on to it (admin.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chi/lock.h"
#include "inner.h"
#include "worker/pools.h"

struct state {
    struct chi_sem turn; /* a mutex would let in two requests of one root */
    struct flush_state flush;
};

static enum chi_status init(struct chi_container *c)
{
    struct state *s = calloc(1, sizeof *s);
    if (!s)
        return CHI_STATUS_NO_MEMORY;
    s->turn.count = s->flush.turn.count = 1;
    chi_container_set_state(c, s);
    enum chi_status st = chi_container_create_queue(c, ADMIN_QUEUE, chi_container_workers(c));
    if (st == CHI_STATUS_OK)
        st = chi_container_create_queue_as(c, ADMIN_QUEUE_WORKERS, &(struct chi_queue_options){.lanes = chi_container_workers(c), .fixed = true});
    if (st != CHI_STATUS_OK)
        free(s);
    return st;
}
static void fini(struct chi_container *c) { free(chi_container_state(c)); }

static enum chi_status refuse(struct admin_job *j, enum chi_status st, const char *why)
{
    admin_why_put(&j->end->why, why);
    return st;
}

/* --- get or create */

static bool lacks(const struct admin_job *j, const struct admin_node *n) { return n->answers && (!n->has || n->version < j->version); }

static bool all_have(const struct admin_job *j)
{
    for (uint32_t i = 0; i < j->count; i++)
        if (lacks(j, &j->node[i]))
            return false;
    return true;
}

/* Puts n containers of a node, or of each of them in turn, behind the table.  Returns how many there are then, as far as there is room for them. */
static uint32_t add_containers(struct admin_job *j, uint32_t n, uint32_t on, uint64_t room)
{
    uint64_t at = j->containers;
    for (uint32_t i = 0; i < j->count; i++)
        for (uint32_t k = 0; k < n && (!on || j->node[i].id == on) && at < room; k++)
            j->table[at++] = j->node[i].id;
    return (uint32_t)at;
}

static enum chi_status make(struct admin_job *j, struct admin_pool_get *t)
{
    uint64_t n = (uint64_t)t->containers * j->count;
    if (j->end->node) /* it may have it, or its number */
        return (enum chi_status)j->end->node_status;
    if (!n || strcmp(j->module, "remote_queue") == 0 || strcmp(j->module, "admin") == 0)
        return CHI_STATUS_INVALID;
    if (n > SCHED_CONTAINERS_MAX)
        return CHI_STATUS_TOO_BIG;
    enum chi_status st = chi_task_cancelled(j->r, &t->task);
    if (st != CHI_STATUS_OK)
        return st;
    if (!nodes_room(j, (uint32_t)n))
        return CHI_STATUS_NO_MEMORY;
    j->pool = (struct chi_pool_id){POOLS_MAJOR, j->last + 1};
    j->version = 1;
    j->containers = 0;
    j->containers = add_containers(j, t->containers, 0, n);
    st = nodes_apply(j, NULL);
    t->made = st == CHI_STATUS_OK;
    if (!t->made)
        (void)nodes_remove(j); /* where it was made; the first status is what is said */
    return st;
}

static enum chi_status pool_get(struct admin_job *j, struct admin_pool_get *t)
{
    char module[ADMIN_NAME_BYTES + 1];
    const bool creates = t->module.len;
    if (!admin_name_read(&t->name, j->name) || (creates && !admin_name_read(&t->module, module)))
        return CHI_STATUS_INVALID;
    enum chi_status st = nodes_ask(j);
    if (st != CHI_STATUS_OK)
        return st;
    if (!creates && !j->found)
        return j->end->node ? (enum chi_status)j->end->node_status : CHI_STATUS_NO_POOL;
    if (creates && j->found && strcmp(j->module, module) != 0)
        return refuse(j, CHI_STATUS_INVALID, "the pool is of another module");
    if (!j->found) {
        memcpy(j->module, module, sizeof module);
        st = make(j, t);
    } else if (!all_have(j) && nodes_table(j, 0) == CHI_STATUS_OK)
        (void)nodes_apply(j, lacks); /* who cannot is said, but it is there */
    t->major = j->pool.major;
    t->minor = j->pool.minor;
    t->count = j->containers;
    return st;
}

/* --- the others, of a pool that is there */

/* all: each node must answer. */
static enum chi_status find(struct admin_job *j, const admin_name *name, bool all)
{
    if (!admin_name_read(name, j->name))
        return CHI_STATUS_INVALID;
    enum chi_status st = nodes_ask(j);
    if (st == CHI_STATUS_OK && j->end->node && (all || !j->found))
        st = (enum chi_status)j->end->node_status;
    if (st == CHI_STATUS_OK && !j->found)
        st = CHI_STATUS_NO_POOL;
    if (st == CHI_STATUS_OK && j->pool.major < POOLS_MAJOR)
        st = refuse(j, CHI_STATUS_INVALID, "the pool is the runtime's own");
    return st;
}

static enum chi_status pool_destroy(struct admin_job *j, struct admin_pool_destroy *t)
{
    enum chi_status st = find(j, &t->name, false);
    if (st != CHI_STATUS_OK)
        return st;
    *j->end = (struct admin_end){0};
    st = nodes_remove(j);
    t->tasks = j->tasks;
    return st;
}

static enum chi_status pool_expand(struct admin_job *j, struct admin_pool_expand *t)
{
    enum chi_status st = find(j, &t->name, true);
    if (st != CHI_STATUS_OK)
        return st;
    const uint32_t before = j->containers;
    const uint64_t more = (uint64_t)t->containers * (t->on ? 1 : j->count);
    t->count = before;
    if (!more)
        return CHI_STATUS_INVALID;
    if (more > SCHED_CONTAINERS_MAX - before)
        return CHI_STATUS_TOO_BIG;
    st = nodes_table(j, (uint32_t)more);
    if (st != CHI_STATUS_OK)
        return st;
    j->containers = add_containers(j, t->containers, t->on, before + more);
    if (j->containers == before)
        return refuse(j, CHI_STATUS_NO_NODE, "the cluster has no such node");
    j->version++;
    st = nodes_apply(j, NULL);
    if (st != CHI_STATUS_OK) { /* a table that is given back is a newer one, too */
        j->version++;
        j->containers = before;
        (void)nodes_apply(j, NULL); /* the first status is what is said */
    }
    t->count = j->containers;
    return st;
}

static enum chi_status pool_contract(struct admin_job *j, struct admin_pool_contract *t)
{
    enum chi_status st = find(j, &t->name, true);
    if (st != CHI_STATUS_OK)
        return st;
    t->count = j->containers;
    if (!t->containers || t->containers >= j->containers)
        return CHI_STATUS_INVALID;
    st = nodes_table(j, 0);
    if (st != CHI_STATUS_OK)
        return st;
    j->version++;
    j->containers -= t->containers;
    st = nodes_apply(j, NULL);
    t->count = j->containers;
    t->tasks = j->tasks;
    return st;
}

/* --- one at a time */

static struct admin_end *end_of(struct chi_task *task)
{
    switch (task->method->id) {
    case ADMIN_POOL_GET:
        return &((struct admin_pool_get *)task)->end;
    case ADMIN_POOL_DESTROY:
        return &((struct admin_pool_destroy *)task)->end;
    case ADMIN_POOL_EXPAND:
        return &((struct admin_pool_expand *)task)->end;
    case ADMIN_POOL_CONTRACT:
        return &((struct admin_pool_contract *)task)->end;
    default:
        return NULL;
    }
}

static enum chi_status decide(struct admin_job *j, struct chi_task *task)
{
    switch (task->method->id) {
    case ADMIN_POOL_GET:
        return pool_get(j, (struct admin_pool_get *)task);
    case ADMIN_POOL_DESTROY:
        return pool_destroy(j, (struct admin_pool_destroy *)task);
    case ADMIN_POOL_EXPAND:
        return pool_expand(j, (struct admin_pool_expand *)task);
    default:
        return pool_contract(j, (struct admin_pool_contract *)task);
    }
}

static enum chi_status in_turn(struct state *s, struct chi_task *task, struct chi_rctx *r)
{
    struct admin_end *end = end_of(task);
    enum chi_status st = chi_sem_wait(r, &s->turn);
    if (st != CHI_STATUS_OK)
        return st;
    struct admin_job *j = chi_mem_get(r, sizeof *j);
    st = chi_task_cancelled(r, task); /* it may have waited for long */
    if (j && st == CHI_STATUS_OK) {
        memset(j, 0, sizeof *j);
        j->r = r;
        j->end = end;
        end->status = decide(j, task);
        (void)nodes_room(j, 0);
    }
    if (j)
        chi_mem_put(r, j, sizeof *j);
    chi_sem_post(r, &s->turn);
    return j ? st : CHI_STATUS_NO_MEMORY;
}

/* To the node that keeps the order, and back. */
static enum chi_status pass_on(struct chi_task *task, struct chi_rctx *r, uint32_t node)
{
    struct chi_task *t = chi_task_new(r, task->method);
    const size_t fields = task->method->size - sizeof *task;
    if (!t)
        return CHI_STATUS_NO_MEMORY;
    memcpy(t + 1, task + 1, fields);
    t->pool = task->pool;
    t->query = chi_physical(node);
    t->timeout_us = task->timeout_us;
    chi_task_submit(r, t, NULL, NULL);
    enum chi_status st = chi_task_wait(r, &t, 1);
    if (st != CHI_STATUS_OK)
        return st;
    st = (enum chi_status)t->status;
    if (st == CHI_STATUS_OK)
        memcpy(task + 1, t + 1, fields);
    chi_task_del(r, t);
    return st;
}

static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    const bool flush = task->method->id == ADMIN_FLUSH;
    if (!flush && !end_of(task))
        return here_run(c, task, r);
    enum chi_status st = chi_yield(r); /* a stack of its own: from here on it can wait */
    if (st != CHI_STATUS_OK)
        return st;
    struct state *s = chi_container_state(c);
    uint32_t first = r->worker->rt->sched.nodes[0];
    if (first != chi_container_node(c))
        return pass_on(task, r, first);
    return flush ? flush_in_turn(&s->flush, task, r) : in_turn(s, task, r);
}

static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    if (mode != CHI_LOCAL_SCHEDULE || task->method->id != ADMIN_WAVE)
        return CHI_STATUS_UNSUPPORTED;
    struct chi_lane *lane = flush_lane(c, task);
    if (lane)
        chi_rctx_set_lane(r, lane);
    return CHI_STATUS_OK;
}

static struct chi_method *const methods[] = {&admin_pool_get_method, &admin_pool_destroy_method, &admin_pool_expand_method, &admin_pool_contract_method,
                                             &admin_ask_method,      &admin_apply_method,        &admin_remove_method,
                                             &chi_flush_method,      &admin_wave_method};
static const struct chi_chimod admin = {
    .abi = CHI_CHIMOD_ABI,
    .size = sizeof(struct chi_chimod),
    .name = "admin",
    .methods = methods,
    .nmethods = sizeof methods / sizeof methods[0],
    .init = init,
    .fini = fini,
    .run = run,
    .monitor = monitor,
};
CHI_CHIMOD(admin)
