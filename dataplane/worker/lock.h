/* lock.h - what wait.c and the watch over tasks that wait need of the locks (chi/lock.h).
 * Thread: the worker. */
#pragma once
#include "base/cycle.h"
#include "chi/lock.h"
#include "internal.h"

enum lock_want { LOCK_MUTEX, LOCK_READ, LOCK_WRITE, LOCK_UNIT, LOCK_SIGNAL };

struct chi_lock_wait { /* on the stack of a task that waits for a lock.  The lock's, but for `own` and `given_up` */
    struct chi_lock_wait *next;
    struct link own;           /* lock_waits of its worker */
    struct chi_lock *at;       /* atomic: who got a signal goes on to the mutex */
    struct chi_mutex *mutex;   /* SIGNAL: that it was in */
    struct worker *worker;
    struct fiber *fiber;
    uint64_t root, ticket;
    uint64_t since_ns;
    uint8_t want;   /* enum lock_want */
    uint8_t status; /* enum chi_status: how the wait ended */
    bool kin;       /* it is a subtask: its root may get the lock while it waits */
    bool given_up;  /* atomic: the daemon stops */
};

/* The daemon stops: ends all waits for locks of this worker's tasks with SHUTDOWN.  Called each turn until there is none: one may be on its way
 * from a condition to its mutex. */
void lock_give_up_all(struct worker *w);

/* Who waits for whom among tasks of this worker that wait for a mutex or a reader-writer lock: an edge from the root of each to each root that
 * holds the lock, and to the one that waits before it; `over` is the lock.  Returns how many it wrote, at most max: more are left out, and
 * so is a lock that another worker is at just now.  The edges of all workers together go to cycle_find.
 * A root with several tasks waits with one, and may go on with another: a cycle says that they are stuck when it is there still after a
 * while.  Semaphores and conditions have no holder, and so no edges. */
unsigned lock_edges_st(struct worker *w, struct cycle_edge *out, unsigned max);
