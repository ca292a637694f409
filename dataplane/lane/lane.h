/* lane.h - a lane: first-in first-out queue of tasks, owned by one worker, and that worker's list of lanes that are ready.
 * Thread: the owner alone, so the edge from empty to ready is no race; other workers send {lane, task} through a ring.
 * Memory: links inside the tasks.  A lane is in the ready list exactly when it holds a task and is not being run. */
#pragma once
#include "chi/base.h"

struct lane_item { /* first member of what is queued */
    struct lane_item *next;
};
struct chi_container;
struct chi_lane {
    struct lane_item *head, **tail;
    struct chi_lane *next_ready;
    struct chi_container *container;
    uint32_t owner; /* worker index */
    uint32_t queue, number;
    bool ready;
    uint64_t started, depth; /* tasks taken off so far; tasks on it now */
};
struct ready_list {
    struct chi_lane *head, **tail;
};

static inline void ready_init(struct ready_list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}
static inline void lane_init(struct chi_lane *l, struct chi_container *c, uint32_t owner)
{
    *l = (struct chi_lane){.container = c, .owner = owner};
    l->tail = &l->head;
}

/* Puts the lane to the end of the ready list, unless it is there. */
static inline void ready_add(struct ready_list *rl, struct chi_lane *l)
{
    if (l->ready)
        return;
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

/* Appends a task; a lane that was empty becomes ready. */
static inline void lane_push(struct chi_lane *l, struct lane_item *it, struct ready_list *rl)
{
    it->next = NULL;
    *l->tail = it;
    l->tail = &it->next;
    l->depth++;
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
    l->depth--;
    l->started++;
    return it;
}
