/* carrier.h - a carrier: a thread on a core, and the workers that it turns.
 *
 * Workers stay as they are, with lanes, rings, channels, endpoint and queues of ports; which thread turns them may change between two turns.  A worker is
 * turned by who has its claim, `turned_by`; who is to take that says `carrier`, which the control thread writes.  So a worker that its thread has not
 * in hand can be given to another thread although its own one does not return from a module.
 *
 * Threads: functions by the control thread, but those of "a carrier's thread".  Life: from runtime_create or a core's addition until runtime_destroy; the
 * thread of a core that was removed is parked, and used again by the next core: there are no more of them than workers.
 * tests/model/carrier.pml is carrier.c and cores.c for spin. */
#pragma once
#include "worker.h"

struct carrier {
    struct runtime *rt;
    uint32_t core;
    bool used;              /* turns workers, and counts as that of its core; else parked, or */
    bool stands_in;         /* for that of this core, which is held (runtime_relieve) */
    bool runs;              /* the thread was made */
    pthread_t thread;
    struct doorbell bell;   /* its event_fd alone: rung at each order */
    bool busy;              /* atomic: never sleeps */
    uint64_t orders;        /* atomic: how often the control thread changed what it is to do */
    /* its thread's */
    uint64_t seen __attribute__((aligned(CHI_CACHE_LINE))); /* orders that it has taken in */
    uint64_t settled;       /* orders while which it stays with its only worker; CARRIER_SEVERAL: it goes from one to the next */
    struct worker *worker[WORKERS_MAX];
    uint32_t count;
    uint64_t listens;       /* bit k: the epoll of worker k is in its own */
    int epoll_fd;           /* to sleep on with several workers, or none */
};
#define CARRIER_SEVERAL UINT64_MAX

/* Its memory; no thread yet.  NULL without memory. */
struct carrier *carrier_create(struct runtime *rt, uint32_t core);
void carrier_destroy(struct carrier *c); /* Pre: its thread ended.  NULL is allowed. */
/* Makes its thread, on its core.  0 or -errno. */
CHI_MUST_CHECK int carrier_start(struct carrier *c);
/* Its thread goes to another core.  Pre: it turns nothing.  0 or -errno, and it stays. */
CHI_MUST_CHECK int carrier_to(struct carrier *c, uint32_t core);
/* It has something else to do: wakes it. */
void carrier_order(struct carrier *c);
/* Waits until its thread ended, if it has one.  Pre: the runtime's `ended` is set, and each carrier was ordered. */
void carrier_join(struct carrier *c);

/* --- a carrier's thread */

/* The worker, which this thread turns, turns again at once; false: something else is to be done first. */
static inline bool carrier_stays(const struct worker *w)
{
    const struct carrier *c = __atomic_load_n(&w->turned_by, __ATOMIC_RELAXED); /* who comes too early looks at it too */
    return CHI_LIKELY(__atomic_load_n(&c->orders, __ATOMIC_SEQ_CST) == c->settled); /* pairs with carrier_order */
}
