/* tables.c - lock-free hash tables of modules (by name), pools and containers (by id). */
#include "tables.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long mix(uint64_t v)
{
    v ^= v >> 33;
    v *= 0xff51afd7ed558ccdULL;
    v ^= v >> 33;
    return (unsigned long)v;
}
static unsigned long hash_pool(struct chi_pool_id id) { return mix((uint64_t)id.major << 32 | id.minor); }
static unsigned long hash_container(struct chi_pool_id id, uint32_t c) { return mix(hash_pool(id) + c + 1); }
static unsigned long hash_name(const char *name)
{
    uint64_t h = 14695981039346656037ULL; /* FNV-1a */
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 1099511628211ULL;
    return mix(h);
}

static int match_module(struct cds_lfht_node *n, const void *key)
{
    return strcmp(caa_container_of(n, struct sched_module, node)->name, key) == 0;
}
static bool same_pool(struct chi_pool_id a, struct chi_pool_id b) { return a.major == b.major && a.minor == b.minor; }
static int match_pool(struct cds_lfht_node *n, const void *key)
{
    return same_pool(caa_container_of(n, struct sched_pool, node)->id, *(const struct chi_pool_id *)key);
}
struct container_key {
    struct chi_pool_id pool;
    uint32_t id;
};
static int match_container(struct cds_lfht_node *n, const void *key)
{
    const struct chi_container *c = caa_container_of(n, struct chi_container, node);
    const struct container_key *k = key;
    return c->id == k->id && same_pool(c->pool->id, k->pool);
}

struct sched_module *sched_module_find(const struct sched *s, const char *name)
{
    struct cds_lfht_iter it;
    cds_lfht_lookup(s->modules, hash_name(name), match_module, name, &it);
    struct cds_lfht_node *n = cds_lfht_iter_get_node(&it);
    return n ? caa_container_of(n, struct sched_module, node) : NULL;
}

void sched_module_add(struct sched *s, struct sched_module *m)
{
    cds_lfht_add(s->modules, hash_name(m->name), &m->node);
}

struct sched_pool *sched_pool_find(const struct sched *s, struct chi_pool_id id)
{
    struct cds_lfht_iter it;
    cds_lfht_lookup(s->pools, hash_pool(id), match_pool, &id, &it);
    struct cds_lfht_node *n = cds_lfht_iter_get_node(&it);
    return n ? caa_container_of(n, struct sched_pool, node) : NULL;
}

struct chi_container *sched_container_find(const struct sched *s, struct chi_pool_id id, uint32_t container)
{
    struct cds_lfht_iter it;
    struct container_key key = {id, container};
    cds_lfht_lookup(s->containers, hash_container(id, container), match_container, &key, &it);
    struct cds_lfht_node *n = cds_lfht_iter_get_node(&it);
    return n ? caa_container_of(n, struct chi_container, node) : NULL;
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

int sched_init(struct sched *s, uint32_t node_id, const uint32_t *nodes, uint32_t node_count, uint32_t workers)
{
    *s = (struct sched){.node_id = node_id, .node_count = node_count, .workers = workers};
    s->all_tail = &s->all;
    s->nodes = malloc(node_count * sizeof *nodes);
    s->modules = cds_lfht_new(16, 16, 0, CDS_LFHT_AUTO_RESIZE, NULL);
    s->pools = cds_lfht_new(64, 64, 0, CDS_LFHT_AUTO_RESIZE, NULL);
    s->containers = cds_lfht_new(64, 64, 0, CDS_LFHT_AUTO_RESIZE, NULL);
    s->known = malloc(sizeof *s->known + node_count * sizeof *nodes);
    if (!s->nodes || !s->modules || !s->pools || !s->containers || !s->known)
        return -ENOMEM;
    memcpy(s->nodes, nodes, node_count * sizeof *nodes);
    qsort(s->nodes, node_count, sizeof *nodes, compare_ids);
    s->known->count = node_count;
    memcpy(s->known->id, s->nodes, node_count * sizeof *nodes);
    return 0;
}

static void known_free(struct rcu_head *head) { free(caa_container_of(head, struct sched_known, rcu)); }

int sched_node_set(struct sched *s, uint32_t node, bool known)
{
    struct sched_known *was = s->known, *k = malloc(sizeof *k + (was->count + 1u) * sizeof k->id[0]);
    if (!k)
        return -ENOMEM;
    k->count = 0;
    for (uint32_t i = 0; i < was->count; i++)
        if (was->id[i] != node)
            k->id[k->count++] = was->id[i];
    if (known)
        k->id[k->count++] = node;
    qsort(k->id, k->count, sizeof k->id[0], compare_ids);
    rcu_assign_pointer(s->known, k);
    call_rcu(&was->rcu, known_free);
    return 0;
}

void sched_container_free(struct chi_container *c)
{
    for (uint32_t q = 0; q < CHI_QUEUES_MAX; q++)
        free(c->queue[q].lanes);
    free(c);
}

static struct sched_pool *make_pool(struct sched *s, struct sched_module *m, struct chi_pool_id id, const char *name)
{
    struct sched_pool *p = calloc(1, sizeof *p);
    struct chi_container *c = calloc(1, sizeof *c);
    if (!p || !c) {
        free(p);
        free(c);
        return NULL;
    }
    snprintf(p->name, sizeof p->name, "%s", name);
    p->id = id;
    p->module = m;
    p->containers = s->node_count;
    p->node_of = s->nodes;
    p->local = c;
    c->pool = p;
    c->ops = m->ops;
    c->sched = s;
    while (s->nodes[c->id] != s->node_id)
        c->id++;
    return p;
}

int sched_compose(struct sched *s, const char *module, struct chi_pool_id id, const char *name, char *err)
{
    struct sched_module *m = sched_module_find(s, module);
    CHI_ASSERT(m); /* loaded before, by the same start step */
    if (sched_pool_find(s, id)) {
        snprintf(err, SCHED_ERROR_BYTES, "pool %u.%u (%s) is there already", id.major, id.minor, name);
        return -EEXIST;
    }
    struct sched_pool *p = make_pool(s, m, id, name);
    if (!p) {
        snprintf(err, SCHED_ERROR_BYTES, "pool %s: out of memory", name);
        return -ENOMEM;
    }
    struct chi_container *c = p->local;
    enum chi_status st = m->ops->init(c);
    if (st != CHI_STATUS_OK || !c->queue[0].count) {
        snprintf(err, SCHED_ERROR_BYTES, "pool %s: module %s did not start: %s", name, module,
                 st != CHI_STATUS_OK ? chi_status_text(st) : "its init created no queue 0");
        if (st == CHI_STATUS_OK && m->ops->fini)
            m->ops->fini(c);
        sched_container_free(c);
        free(p);
        return -EINVAL;
    }
    *s->all_tail = c;
    s->all_tail = &c->next;
    cds_lfht_add(s->containers, hash_container(id, c->id), &c->node);
    cds_lfht_add(s->pools, hash_pool(id), &p->node);
    if (strcmp(module, "remote_queue") == 0)
        s->remote_queue = p;
    return 0;
}

static void fini_containers(struct sched *s)
{
    struct chi_container *reversed = NULL, *c, *next;
    for (c = s->all; c; c = next) {
        next = c->next;
        c->next = reversed;
        reversed = c;
    }
    for (c = reversed; c; c = next) {
        next = c->next;
        if (c->ops->fini)
            c->ops->fini(c);
        cds_lfht_del(s->containers, &c->node);
        cds_lfht_del(s->pools, &c->pool->node);
        synchronize_rcu();
        free(c->pool);
        sched_container_free(c);
    }
    s->all = NULL;
}

static void fini_modules(struct sched *s)
{
    struct cds_lfht_iter it;
    struct cds_lfht_node *n;
    for (cds_lfht_first(s->modules, &it); (n = cds_lfht_iter_get_node(&it)); cds_lfht_next(s->modules, &it)) {
        cds_lfht_del(s->modules, n);
        synchronize_rcu();
        rcu_barrier(); /* no call_rcu of the module may come after its code is gone */
        sched_module_free(caa_container_of(n, struct sched_module, node));
    }
}

void sched_fini(struct sched *s)
{
    if (s->pools && s->containers)
        fini_containers(s);
    if (s->modules)
        fini_modules(s);
    struct cds_lfht *tables[] = {s->modules, s->pools, s->containers};
    for (int i = 0; i < 3; i++)
        if (tables[i])
            cds_lfht_destroy(tables[i], NULL);
    free(s->nodes);
    free(s->known);
    *s = (struct sched){0};
}
