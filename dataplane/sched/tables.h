/* tables.h - inside sched: the three tables. */
#pragma once
#include "sched.h"

struct sched_module *sched_module_find(const struct sched *s, const char *name);
void sched_module_add(struct sched *s, struct sched_module *m);
void sched_module_free(struct sched_module *m);
void sched_pool_add(struct sched *s, struct sched_pool *p);
void sched_container_add(struct sched *s, struct chi_container *c);
void sched_pools_fini(struct sched *s); /* ends all containers, in reverse order, and their pools */
