/* fan.h - between fan.c and fan_merge.c: a task for several containers, on a node that runs or passes on replicas of it.
 * Memory: one block of the worker's bulk memory, from fan_begin until merge_finish. */
#pragma once
#include "archive/form.h"
#include "internal.h"
#include "sched/spread.h"

enum { FAN_PARTS_MAX = 256 }; /* limits.neighborhood, at most */

struct fan {
    struct task *whole; /* that was submitted, or came as a part; it gets the outputs */
    const struct sched_table *table; /* by which it is spread, */
    const struct sched_pool *pool;   /* and that one's pool: both stay while the whole is SPREAD (worker/pools.c) */
    struct spread part;
    struct form_head head; /* of the form */
    struct chi_ar_region region[CHI_REGIONS_MAX]; /* the whole's; */
    uint16_t kept;          /* bit k: a copy of its region k, as the module merges into that one */
    uint32_t size;          /* containers */
    uint32_t self, self_at; /* this node as a member; the place of its first container */
    uint32_t here, next;    /* containers of this node; the first of them that was not begun */
    const uint32_t *ids;    /* they */
    uint32_t out, running;  /* replicas and parts that have not ended, and who looks at the fan just now; replicas */
    uint32_t best;          /* the whole has the outputs of this place; size: of none yet */
    uint32_t form_length;
    bool merges;            /* the module does */
    bool alone;             /* no task for several: it goes to a container of this node by way of the archives (CHI_AS_AWAY) */
    struct task *spare;     /* it does: for the outputs of a part */
    uint64_t bytes;         /* of this block */
    uint16_t *status;       /* of each place */
    uint8_t *form;
};

/* fan.c */
void fan_free(struct worker *w, struct fan *f);
/* fan_merge.c */
CHI_MUST_CHECK bool merge_begin(struct worker *w, struct fan *f); /* false: no memory, and the fan is gone */
/* Takes in the outputs of a replica that ended well, or says why not. */
enum chi_status merge_replica(struct worker *w, struct fan *f, struct task *t, uint32_t at);
/* Takes in the answer of a part: outputs and statuses. */
void merge_part(struct worker *w, struct fan *f, struct task *t, uint32_t at, uint32_t n, const uint8_t *body, uint32_t length);
/* These places have no outputs. */
void merge_nothing(const struct fan *f, uint32_t at, uint32_t n);
/* All have ended: the whole ends. */
void merge_finish(struct worker *w, struct fan *f);
