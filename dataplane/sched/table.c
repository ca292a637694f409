/* table.c - which node has which container. */
#include <stdlib.h>
#include <string.h>

#include "spread.h"
#include "tables.h"

void sched_table_free(struct sched_table *t)
{
    if (!t)
        return;
    free(t->node_of);
    free(t->order);
    free(t->members);
    free(t);
}

struct sched_table *sched_table_make(struct sched_pool *p, uint32_t version, const uint32_t *node_of, uint32_t containers)
{
    struct sched_table *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->pool = p;
    t->version = version;
    t->containers = containers;
    t->node_of = malloc(containers * sizeof *t->node_of);
    t->order = malloc(containers * sizeof *t->order);
    t->members = malloc(containers * sizeof *t->members); /* no more of them than containers */
    if (!t->node_of || !t->order || !t->members) {
        sched_table_free(t);
        return NULL;
    }
    memcpy(t->node_of, node_of, containers * sizeof *node_of);
    spread_table(t);
    return t;
}
