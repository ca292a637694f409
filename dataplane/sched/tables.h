/* tables.h - inside sched: the three tables. */
#pragma once
#include "sched.h"

struct sched_module *sched_module_find(const struct sched *s, const char *name);
void sched_module_add(struct sched *s, struct sched_module *m);
void sched_module_take(struct sched *s, struct sched_module *m); /* out of the tables */
void sched_module_free(struct sched_module *m);
const struct sched_pool *sched_pool_of(const struct sched *s, const struct sched_module *m); /* any of the module's, or NULL */
void sched_pool_add(struct sched *s, struct sched_pool *p);
void sched_container_add(struct sched *s, struct chi_container *c);
/* A table of its own for containers 0 .. containers - 1, at least one; NULL: no memory. */
struct sched_table *sched_table_make(struct sched_pool *p, uint32_t version, const uint32_t *node_of, uint32_t containers);
void sched_pools_fini(struct sched *s); /* ends all containers, in reverse order, and their pools */
