/* pools.c - pools and their containers on this node: made before the workers run or meanwhile, and taken out of sight again. */
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

static int out_of_memory(const char *name, char *err)
{
    snprintf(err, SCHED_ERROR_BYTES, "pool %s: out of memory", name);
    return -ENOMEM;
}

void sched_pool_free(struct sched_pool *p)
{
    if (!p)
        return;
    if (p->module)
        p->module->pools--;
    sched_table_free(p->table);
    free(p);
}

/* A container that began; NULL with a line in err. */
static struct chi_container *make_container(struct sched *s, struct sched_pool *p, uint32_t id, int *rc, char *err)
{
    struct chi_container *c = calloc(1, sizeof *c);
    if (!c) {
        *rc = out_of_memory(p->name, err);
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

void sched_containers_end(struct chi_container *first)
{
    struct chi_container *reversed = NULL, *c, *next;
    for (c = first; c; c = next) {
        next = c->next_local;
        c->next_local = reversed;
        reversed = c;
    }
    for (c = reversed; c; c = next) {
        next = c->next_local;
        end_container(c);
    }
}

/* Those of this node from `from` on, by next_local, begun and not to be found yet. */
static int make_containers(struct sched *s, struct sched_pool *p, const struct sched_table *t, uint32_t from, struct chi_container **out, char *err)
{
    struct chi_container **tail = out, *c;
    int rc = 0;
    *out = NULL;
    for (uint32_t k = from; k < t->containers && !rc; k++) {
        if (t->node_of[k] != s->node_id)
            continue;
        c = make_container(s, p, k, &rc, err);
        if (c) {
            rc = 0;
            *tail = c;
            tail = &c->next_local;
        }
    }
    if (rc)
        sched_containers_end(*out);
    return rc;
}

/* They can be found from here on. */
static void show_containers(struct sched *s, struct sched_pool *p, struct chi_container *first)
{
    struct chi_container **at = &p->local;
    for (struct chi_container *c = first; c; c = c->next_local) {
        *s->all_tail = c;
        s->all_tail = &c->next;
        if (c->ops->poll || c->ops->flush) {
            __atomic_store_n(s->polled_tail, c, __ATOMIC_RELEASE);
            s->polled_tail = &c->next_polled;
        }
        sched_container_add(s, c);
    }
    while (*at)
        at = &(*at)->next_local;
    __atomic_store_n(at, first, __ATOMIC_RELEASE);
}

/* What a container is reached by, but for next_local.  Who walks the polled ones may stand on it still, and goes on from there. */
static void hide_container(struct sched *s, struct chi_container *c)
{
    struct chi_container **at = &s->all;
    cds_lfht_del(s->containers, &c->node);
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    if (!*at)
        s->all_tail = at;
    for (at = &s->polled; *at && *at != c;)
        at = &(*at)->next_polled;
    if (!*at)
        return; /* it never polled */
    __atomic_store_n(at, c->next_polled, __ATOMIC_RELEASE);
    if (!*at)
        s->polled_tail = at;
}

static int check_plan(const struct sched *s, const struct sched_plan *plan, char *err)
{
    if (sched_pool_find(s, plan->id)) {
        snprintf(err, SCHED_ERROR_BYTES, "pool %u.%u (%s) is there already", plan->id.major, plan->id.minor, plan->name);
        return -EEXIST;
    }
    if (plan->containers > SCHED_CONTAINERS_MAX) {
        snprintf(err, SCHED_ERROR_BYTES, "pool %s: %u containers are more than %d", plan->name, plan->containers, SCHED_CONTAINERS_MAX);
        return -E2BIG;
    }
    if (s->pool_count == SCHED_POOLS_MAX) {
        snprintf(err, SCHED_ERROR_BYTES, "pool %s: there are %d pools, and no more can be", plan->name, SCHED_POOLS_MAX);
        return -E2BIG;
    }
    return 0;
}

int sched_pool_make(struct sched *s, const struct sched_plan *plan, char *err)
{
    struct sched_module *m = sched_module_find(s, plan->module);
    struct chi_container *first;
    CHI_ASSERT(m && plan->containers); /* loaded before */
    int rc = check_plan(s, plan, err);
    if (rc)
        return rc;
    struct sched_pool *p = calloc(1, sizeof *p);
    if (!p || !(p->table = sched_table_make(p, plan->version, plan->node_of, plan->containers))) {
        sched_pool_free(p);
        return out_of_memory(plan->name, err);
    }
    snprintf(p->name, sizeof p->name, "%s", plan->name);
    p->id = plan->id;
    p->module = m;
    m->pools++;
    rc = make_containers(s, p, p->table, 0, &first, err);
    if (rc) {
        sched_pool_free(p);
        return rc;
    }
    show_containers(s, p, first);
    *s->made_tail = p;
    s->made_tail = &p->next;
    s->pool_count++;
    sched_pool_add(s, p);
    if (strcmp(m->name, "remote_queue") == 0)
        s->remote_queue = p;
    return 0;
}

/* Container k lives on node k / per_node of the cluster, so that those of a node follow each other. */
int sched_compose(struct sched *s, const char *module, struct chi_pool_id id, const char *name, uint32_t per_node, char *err)
{
    CHI_ASSERT(per_node);
    if (per_node > SCHED_CONTAINERS_MAX / s->node_count) {
        snprintf(err, SCHED_ERROR_BYTES, "pool %s: %u containers on each of %u nodes are more than %d; lower compose[].containers", name,
                 per_node, s->node_count, SCHED_CONTAINERS_MAX);
        return -E2BIG;
    }
    uint32_t n = s->node_count * per_node, *node_of = malloc(n * sizeof *node_of);
    if (!node_of)
        return out_of_memory(name, err);
    for (uint32_t k = 0; k < n; k++)
        node_of[k] = s->nodes[k / per_node];
    int rc = sched_pool_make(s, &(struct sched_plan){module, name, id, 0, n, node_of}, err);
    free(node_of);
    return rc;
}

/* --- changes */

/* Those of this node behind the first n leave p->local; by next_local. */
static struct chi_container *cut_local(struct sched *s, struct sched_pool *p, uint32_t n)
{
    struct chi_container **at = &p->local;
    while (*at && (*at)->id < n)
        at = &(*at)->next_local;
    struct chi_container *gone = *at;
    __atomic_store_n(at, NULL, __ATOMIC_RELEASE);
    for (struct chi_container *c = gone; c; c = c->next_local)
        hide_container(s, c);
    return gone;
}

int sched_pool_change(struct sched *s, struct sched_pool *p, uint32_t version, const uint32_t *node_of, uint32_t containers,
                      struct chi_container **gone_out, struct sched_table **old_out, char *err)
{
    struct sched_table *old = p->table;
    const uint32_t stay = containers < old->containers ? containers : old->containers;
    struct chi_container *more;
    if (!stay || memcmp(old->node_of, node_of, stay * sizeof *node_of) != 0) {
        snprintf(err, SCHED_ERROR_BYTES, "pool %s: %s", p->name, stay ? "its containers are on other nodes here" : "one container stays, at least");
        return -ERANGE;
    }
    if (containers > SCHED_CONTAINERS_MAX) {
        snprintf(err, SCHED_ERROR_BYTES, "pool %s: %u containers are more than %d", p->name, containers, SCHED_CONTAINERS_MAX);
        return -E2BIG;
    }
    struct sched_table *t = sched_table_make(p, version, node_of, containers);
    if (!t)
        return out_of_memory(p->name, err);
    int rc = make_containers(s, p, t, stay, &more, err);
    if (rc) {
        sched_table_free(t);
        return rc;
    }
    show_containers(s, p, more);
    __atomic_store_n(&p->table, t, __ATOMIC_RELEASE);
    *gone_out = cut_local(s, p, containers);
    *old_out = old;
    return 0;
}

struct chi_container *sched_pool_hide(struct sched *s, struct sched_pool *p)
{
    struct sched_pool **at = &s->made;
    cds_lfht_del(s->pools, &p->node);
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (!*at)
        s->made_tail = at;
    s->pool_count--;
    if (s->remote_queue == p)
        s->remote_queue = NULL;
    return cut_local(s, p, 0);
}

struct sched_pool *sched_pool_named(const struct sched *s, const char *name)
{
    struct sched_pool *p = s->made;
    while (p && strcmp(p->name, name) != 0)
        p = p->next;
    return p;
}

void sched_pools_fini(struct sched *s)
{
    while (s->made) {
        struct sched_pool *p = s->made;
        while (p->next)
            p = p->next;
        struct chi_container *c = sched_pool_hide(s, p); /* the last one that was made */
        synchronize_rcu();
        sched_containers_end(c);
        sched_pool_free(p);
    }
}
