/* load.h - how long tasks take: for each method of a pool and each class of size a rolling mean of the runs that were measured, and how many tasks
 * these stand for.  Arithmetic; no clock, no memory of its own.
 * Thread: the owner.  Others may read the figures of cells, each relaxed: for people.  A cell stays what it is once it is in use.
 * Limit: LOAD_CELLS methods and classes; what comes then is not kept (docs/LIMITS.md). */
#pragma once
#include "chi/base.h"

enum {
    LOAD_CELLS = 512,   /* a power of two */
    LOAD_PROBES = 16,   /* places that a key may have */
    LOAD_ROLL = 8,      /* a run moves the mean by an eighth of its distance to it: what is 20 runs back counts for 1 % */
    LOAD_BATCH = 0xffff /* in place of a method: all that a module with run_many gets */
};
#define LOAD_RUN_MAX_NS UINT64_C(3600000000000) /* an hour: no estimate is longer, so that sums of them cannot overflow */

struct load_key {
    uint32_t major, minor; /* of the pool */
    uint16_t method, size_class;
};
struct load_cell {
    struct load_key key;
    uint32_t used; /* atomic: released when the key is there */
    uint64_t mean_parts; /* LOAD_ROLL times the mean */
    uint64_t measured;   /* runs */
    uint64_t tasks, run_ns, bytes; /* of all runs that the measured ones stand for */
};
struct load_model {
    struct load_cell cell[LOAD_CELLS];
    uint64_t lost; /* runs that had no cell */
};

/* 0: no bytes; else k: 2^(k-1) bytes or more, and less than 2^k. */
static inline uint16_t load_class(uint64_t bytes) { return bytes ? (uint16_t)(64 - __builtin_clzll(bytes)) : 0; }

/* One run of run_ns, with so many bytes in its regions, that stands for `weight` of them. */
void load_add(struct load_model *m, const struct load_key *key, uint64_t run_ns, uint64_t bytes, uint32_t weight);
/* How often runs of the key were measured; 0: never. */
uint64_t load_measured(const struct load_model *m, const struct load_key *key);
/* The mean of the key, at most LOAD_RUN_MAX_NS; 0: not known. */
uint64_t load_mean_ns(const struct load_model *m, const struct load_key *key);

/* What all workers know of a key; any thread. */
struct load_sum {
    struct load_key key;
    uint64_t mean_ns; /* of theirs, each by the runs that it measured */
    uint64_t measured, tasks, run_ns, bytes;
};
/* Adds what the models know to `out`, which has room for `most`, each key once, in no order; returns how many there are. */
unsigned load_merge(const struct load_model *const *models, unsigned n, struct load_sum *out, unsigned most);

/* How long `depth` tasks of each_ns take, at most LOAD_RUN_MAX_NS. */
static inline uint64_t load_queued_ns(uint64_t depth, uint64_t each_ns)
{
    return each_ns && depth > LOAD_RUN_MAX_NS / each_ns ? LOAD_RUN_MAX_NS : depth * each_ns;
}
