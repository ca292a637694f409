/* doorbell.h - wakes a worker that sleeps.  The sleeper announces, fences, and looks again; who gave it work fences, and reads
 * the announcement: whichever comes second sees the other (Dekker), so that no wake-up is lost.
 * Threads: arm, disarm, drain by the owner; ring by anyone. */
#pragma once
#include "chi/base.h"

struct doorbell {
    int event_fd;
    uint32_t asleep __attribute__((aligned(CHI_CACHE_LINE)));
};

CHI_MUST_CHECK int doorbell_init(struct doorbell *d); /* 0 or -errno */
void doorbell_fini(struct doorbell *d);

/* Announces the sleep.  The caller then looks at every source of work once more. */
static inline void doorbell_arm(struct doorbell *d)
{
    __atomic_store_n(&d->asleep, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with doorbell_fence */
}
static inline void doorbell_disarm(struct doorbell *d) { __atomic_store_n(&d->asleep, 0, __ATOMIC_RELAXED); }

/* Once after any number of pushes, before doorbell_ring for their receivers. */
static inline void doorbell_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with doorbell_arm */ }

void doorbell_wake(struct doorbell *d); /* the system call */
static inline void doorbell_ring(struct doorbell *d)
{
    if (CHI_UNLIKELY(__atomic_load_n(&d->asleep, __ATOMIC_RELAXED)))
        doorbell_wake(d);
}
void doorbell_drain(struct doorbell *d);
