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
    *s->loaded_tail = m;
    s->loaded_tail = &m->next;
}

void sched_pool_add(struct sched *s, struct sched_pool *p) { cds_lfht_add(s->pools, hash_pool(p->id), &p->node); }

void sched_container_add(struct sched *s, struct chi_container *c)
{
    cds_lfht_add(s->containers, hash_container(c->pool->id, c->id), &c->node);
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
    s->polled_tail = &s->polled;
    s->made_tail = &s->made;
    s->loaded_tail = &s->loaded;
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

void sched_module_end(struct sched_module *m)
{
    synchronize_rcu();
    rcu_barrier(); /* no call_rcu of the module may come after its code is gone */
    sched_module_free(m);
}

void sched_module_take(struct sched *s, struct sched_module *m)
{
    struct sched_module **at = &s->loaded;
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    if (!*at)
        s->loaded_tail = at;
    cds_lfht_del(s->modules, &m->node);
}

void sched_module_replace(struct sched *s, struct sched_module *old, struct sched_module *m)
{
    struct cds_lfht_iter it;
    struct cds_lfht_node *n;
    sched_module_take(s, old);
    sched_module_add(s, m);
    for (cds_lfht_first(s->pools, &it); (n = cds_lfht_iter_get_node(&it)); cds_lfht_next(s->pools, &it)) {
        struct sched_pool *p = caa_container_of(n, struct sched_pool, node);
        if (p->module != old)
            continue;
        p->module = m;
        old->pools--;
        m->pools++;
    }
}

const struct sched_pool *sched_pool_of(const struct sched *s, const struct sched_module *m)
{
    struct cds_lfht_iter it;
    struct cds_lfht_node *n;
    for (cds_lfht_first(s->pools, &it); (n = cds_lfht_iter_get_node(&it)); cds_lfht_next(s->pools, &it)) {
        const struct sched_pool *p = caa_container_of(n, struct sched_pool, node);
        if (p->module == m)
            return p;
    }
    return NULL;
}

void sched_fini(struct sched *s)
{
    if (s->pools && s->containers)
        sched_pools_fini(s);
    for (struct sched_module *m; s->modules && (m = s->loaded);) {
        sched_module_take(s, m);
        sched_module_end(m);
    }
    struct cds_lfht *tables[] = {s->modules, s->pools, s->containers};
    for (int i = 0; i < 3; i++)
        if (tables[i])
            cds_lfht_destroy(tables[i], NULL);
    free(s->nodes);
    free(s->known);
    *s = (struct sched){0};
}
