#include "load.h"

#include <string.h>

static uint32_t place_of(const struct load_key *k)
{
    uint64_t h = ((uint64_t)k->major << 32 | k->minor) ^ ((uint64_t)k->method << 48 | (uint64_t)k->size_class << 16);
    h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
    return (uint32_t)(h >> 40);
}

static bool same(const struct load_key *a, const struct load_key *b)
{
    return a->major == b->major && a->minor == b->minor && a->method == b->method && a->size_class == b->size_class;
}

/* The key's cell, or the free one that it would get; NULL: there is no room. */
static struct load_cell *cell_of(const struct load_model *m, const struct load_key *key)
{
    uint32_t at = place_of(key);
    for (uint32_t i = 0; i < LOAD_PROBES; i++) {
        const struct load_cell *c = &m->cell[(at + i) % LOAD_CELLS];
        if (!c->used || same(&c->key, key))
            return (struct load_cell *)(uintptr_t)c;
    }
    return NULL;
}

/* The first run is the mean. */
static uint64_t roll(uint64_t parts, uint64_t run_ns) { return parts ? parts - parts / LOAD_ROLL + run_ns : LOAD_ROLL * run_ns; }

/* Written by one, read by others. */
static void set(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static uint64_t get(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }

void load_add(struct load_model *m, const struct load_key *key, uint64_t run_ns, uint64_t bytes, uint32_t weight)
{
    struct load_cell *c = cell_of(m, key);
    if (run_ns > LOAD_RUN_MAX_NS)
        run_ns = LOAD_RUN_MAX_NS;
    if (!c) {
        m->lost++;
        return;
    }
    set(&c->mean_parts, roll(c->mean_parts, run_ns));
    set(&c->measured, c->measured + 1);
    set(&c->tasks, c->tasks + weight);
    set(&c->run_ns, c->run_ns + run_ns * weight);
    set(&c->bytes, c->bytes + bytes * weight);
    if (c->used)
        return;
    c->key = *key;
    __atomic_store_n(&c->used, 1, __ATOMIC_RELEASE); /* pairs with the acquire in load_merge */
}

uint64_t load_measured(const struct load_model *m, const struct load_key *key)
{
    const struct load_cell *c = cell_of(m, key);
    return c ? c->measured : 0;
}

uint64_t load_mean_ns(const struct load_model *m, const struct load_key *key)
{
    const struct load_cell *c = cell_of(m, key);
    return c ? c->mean_parts / LOAD_ROLL : 0;
}

static struct load_sum *sum_of(struct load_sum *out, unsigned n, const struct load_key *key)
{
    for (unsigned i = 0; i < n; i++)
        if (same(&out[i].key, key))
            return &out[i];
    return NULL;
}

unsigned load_merge(const struct load_model *const *models, unsigned n, struct load_sum *out, unsigned most)
{
    unsigned count = 0;
    for (unsigned k = 0; k < n * LOAD_CELLS; k++) {
        const struct load_cell *c = &models[k / LOAD_CELLS]->cell[k % LOAD_CELLS];
        if (!__atomic_load_n(&c->used, __ATOMIC_ACQUIRE))
            continue;
        struct load_sum *s = sum_of(out, count, &c->key);
        if (!s && count == most)
            continue;
        if (!s) {
            s = &out[count++];
            *s = (struct load_sum){.key = c->key};
        }
        uint64_t measured = get(&c->measured), mean_ns = get(&c->mean_parts) / LOAD_ROLL;
        s->measured += measured;
        /* As a distance, so that no product is large. */
        s->mean_ns = s->mean_ns < mean_ns ? s->mean_ns + (uint64_t)((double)(mean_ns - s->mean_ns) * (double)measured / (double)s->measured)
                                          : s->mean_ns - (uint64_t)((double)(s->mean_ns - mean_ns) * (double)measured / (double)s->measured);
        s->tasks += get(&c->tasks);
        s->run_ns += get(&c->run_ns);
        s->bytes += get(&c->bytes);
    }
    return count;
}
