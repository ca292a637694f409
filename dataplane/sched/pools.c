/* pools.c - pools and their containers on this node: made before the workers run, ended after. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spread.h"
#include "tables.h"

static void container_free(struct chi_container *c)
{
    for (uint32_t q = 0; q < CHI_QUEUES_MAX; q++)
        free(c->queue[q].lanes);
    free(c);
}

static void pool_free(struct sched_pool *p)
{
    if (!p)
        return;
    free(p->node_of);
    free(p->order);
    free(p->members);
    free(p);
}

/* Container k lives on node k / per_node of the cluster, so that those of a node follow each other. */
static struct sched_pool *make_pool(struct sched *s, struct sched_module *m, struct chi_pool_id id, const char *name, uint32_t per_node)
{
    struct sched_pool *p = calloc(1, sizeof *p);
    uint32_t n = s->node_count * per_node;
    if (!p)
        return NULL;
    snprintf(p->name, sizeof p->name, "%s", name);
    p->id = id;
    p->module = m;
    p->containers = n;
    p->node_of = malloc(n * sizeof *p->node_of);
    p->order = malloc(n * sizeof *p->order);
    p->members = malloc(s->node_count * sizeof *p->members);
    if (!p->node_of || !p->order || !p->members) {
        pool_free(p);
        return NULL;
    }
    for (uint32_t k = 0; k < n; k++)
        p->node_of[k] = s->nodes[k / per_node];
    spread_table(p);
    return p;
}

/* A container that began; NULL with a line in err. */
static struct chi_container *make_container(struct sched *s, struct sched_pool *p, uint32_t id, int *rc, char *err)
{
    struct chi_container *c = calloc(1, sizeof *c);
    *rc = -ENOMEM;
    if (!c) {
        snprintf(err, SCHED_ERROR_BYTES, "pool %s: out of memory", p->name);
        return NULL;
    }
    c->pool = p;
    c->ops = p->module->ops;
    c->sched = s;
    c->id = id;
    enum chi_status st = c->ops->init(c);
    if (st == CHI_STATUS_OK && c->queue[0].count)
        return c;
    snprintf(err, SCHED_ERROR_BYTES, "pool %s: module %s did not start: %s", p->name, p->module->name,
             st != CHI_STATUS_OK ? chi_status_text(st) : "its init created no queue 0");
    if (st == CHI_STATUS_OK && c->ops->fini)
        c->ops->fini(c);
    container_free(c);
    *rc = -EINVAL;
    return NULL;
}

static void end_container(struct chi_container *c)
{
    if (c->ops->fini)
        c->ops->fini(c);
    container_free(c);
}

/* All containers of this node, the first one being p->local; the others follow by next_local. */
static int make_containers(struct sched *s, struct sched_pool *p, char *err)
{
    struct chi_container **tail = &p->local, *c, *next;
    int rc = 0;
    for (uint32_t k = 0; k < p->containers && !rc; k++) {
        if (p->node_of[k] != s->node_id)
            continue;
        c = make_container(s, p, k, &rc, err);
        if (c) {
            rc = 0;
            *tail = c;
            tail = &c->next_local;
        }
    }
    for (c = rc ? p->local : NULL; c; c = next) {
        next = c->next_local;
        end_container(c);
    }
    return rc;
}

int sched_compose(struct sched *s, const char *module, struct chi_pool_id id, const char *name, uint32_t per_node, char *err)
{
    struct sched_module *m = sched_module_find(s, module);
    CHI_ASSERT(m && per_node); /* loaded before, by the same start step */
    if (sched_pool_find(s, id)) {
        snprintf(err, SCHED_ERROR_BYTES, "pool %u.%u (%s) is there already", id.major, id.minor, name);
        return -EEXIST;
    }
    if (per_node > SCHED_CONTAINERS_MAX / s->node_count) {
        snprintf(err, SCHED_ERROR_BYTES, "pool %s: %u containers on each of %u nodes are more than %d; lower compose[].containers", name,
                 per_node, s->node_count, SCHED_CONTAINERS_MAX);
        return -E2BIG;
    }
    struct sched_pool *p = make_pool(s, m, id, name, per_node);
    if (!p) {
        snprintf(err, SCHED_ERROR_BYTES, "pool %s: out of memory", name);
        return -ENOMEM;
    }
    int rc = make_containers(s, p, err);
    if (rc) {
        pool_free(p);
        return rc;
    }
    for (struct chi_container *c = p->local; c; c = c->next_local) {
        *s->all_tail = c;
        s->all_tail = &c->next;
        if (c->ops->poll || c->ops->flush) {
            *s->polled_tail = c;
            s->polled_tail = &c->next_polled;
        }
        sched_container_add(s, c);
    }
    sched_pool_add(s, p);
    if (strcmp(module, "remote_queue") == 0)
        s->remote_queue = p;
    return 0;
}

void sched_pools_fini(struct sched *s)
{
    struct chi_container *reversed = NULL, *c, *next;
    for (c = s->all; c; c = next) {
        next = c->next;
        c->next = reversed;
        reversed = c;
    }
    for (c = reversed; c; c = next) {
        struct sched_pool *p = c->pool;
        bool last = c == p->local; /* the first one is the last to go */
        next = c->next;
        cds_lfht_del(s->containers, &c->node);
        if (last)
            cds_lfht_del(s->pools, &p->node);
        synchronize_rcu();
        end_container(c);
        if (last)
            pool_free(p);
    }
    s->all = s->polled = NULL;
}
