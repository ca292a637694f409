/* lane.h - a lane: first-in first-out queue of tasks, owned by one worker, and that worker's lists of lanes that are ready, one of each class.
 * Thread: the owner alone, so the edge from empty to ready is no race; other workers read who that is, and send {lane, task} through a ring.
 * A lane that moves to another worker goes by worker/move.c.
 * Memory: links inside the tasks.  A lane is in the ready list exactly when it holds a task and is not being run. */
#pragma once
#include "chi/base.h"

struct lane_item { /* first member of what is queued */
    struct lane_item *next;
};
struct chi_container;
struct lane_move;
#define LANE_MOVES (UINT32_C(1) << 31)
struct chi_lane {
    /* line 0: what all workers read */
    struct chi_container *container;
    struct lane_move *move; /* while it moves */
    uint32_t owner;         /* atomic: worker index; with LANE_MOVES beside it the lane is on its way there */
    uint32_t queue, number;
    bool fixed;         /* it never moves */
    uint8_t lane_class; /* enum chi_lane_class: which of its owner's lists it is in */
    /* line 1: the owner's */
    struct lane_item *head __attribute__((aligned(CHI_CACHE_LINE))), **tail;
    struct chi_lane *next_ready;
    bool ready;
    uint64_t pushed, started; /* tasks put on so far; taken off.  As the next one, others read them relaxed */
    uint64_t used_ns;         /* that its tasks took so far, each until it waited; */
    uint64_t each_ns;         /* and what one of those that lay on it at the last look is likely to take.  0: not known */
};
enum { LANE_CLASSES = 2 };
struct ready_list {
    struct chi_lane *head, **tail;
};
struct ready_lists {
    struct ready_list of[LANE_CLASSES];
};

static inline void ready_init(struct ready_lists *rl)
{
    for (int c = 0; c < LANE_CLASSES; c++) {
        rl->of[c].head = NULL;
        rl->of[c].tail = &rl->of[c].head;
    }
}
static inline bool ready_any(const struct ready_lists *rl) { return rl->of[0].head || rl->of[1].head; }
static inline void lane_init(struct chi_lane *l, struct chi_container *c, uint32_t owner)
{
    *l = (struct chi_lane){.container = c, .owner = owner};
    l->tail = &l->head;
}

static inline uint32_t lane_owner(const struct chi_lane *l) { return __atomic_load_n(&l->owner, __ATOMIC_RELAXED); }

/* Puts the lane to the end of its class's list, unless it is there. */
static inline void ready_add(struct ready_lists *lists, struct chi_lane *l)
{
    if (l->ready)
        return;
    struct ready_list *rl = &lists->of[l->lane_class];
    l->ready = true;
    l->next_ready = NULL;
    *rl->tail = l;
    rl->tail = &l->next_ready;
}
/* Takes the first lane off, or NULL. */
static inline struct chi_lane *ready_take(struct ready_list *rl)
{
    struct chi_lane *l = rl->head;
    if (!l)
        return NULL;
    rl->head = l->next_ready;
    if (!rl->head)
        rl->tail = &rl->head;
    l->ready = false;
    return l;
}

/* Takes this lane off, if it is there. */
static inline void ready_remove(struct ready_lists *lists, struct chi_lane *l)
{
    if (!l->ready)
        return;
    struct ready_list *rl = &lists->of[l->lane_class];
    struct chi_lane **at = &rl->head;
    while (*at != l)
        at = &(*at)->next_ready;
    *at = l->next_ready;
    if (!*at)
        rl->tail = at;
    l->ready = false;
}

/* Appends a task; a lane that was empty becomes ready. */
static inline void lane_push(struct chi_lane *l, struct lane_item *it, struct ready_lists *rl)
{
    it->next = NULL;
    *l->tail = it;
    l->tail = &it->next;
    l->pushed++;
    ready_add(rl, l);
}
/* Puts one back that was taken off, as the first. */
static inline void lane_unpop(struct chi_lane *l, struct lane_item *it, struct ready_lists *rl)
{
    it->next = l->head;
    l->head = it;
    if (!it->next)
        l->tail = &it->next;
    l->started--;
    ready_add(rl, l);
}
/* Takes the first task, or NULL. */
static inline struct lane_item *lane_pop(struct chi_lane *l)
{
    struct lane_item *it = l->head;
    if (!it)
        return NULL;
    l->head = it->next;
    if (!l->head)
        l->tail = &l->head;
    l->started++;
    return it;
}
