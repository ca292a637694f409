#define _GNU_SOURCE
/* still.c - all workers stand still while the control thread does something short.
 *
 * Each stands in a call of its ring, so between two runs and with nothing in its hands that it read before.  None waits for another one to do its work,
 * but for the last one to come; who does not come in time ends it for all.  A call that comes late finds that its time is over, and goes on.
 * A thread that turns several workers (carrier.h) goes on to the next one while one of them stands. */
#include <errno.h>
#include <time.h>

#include "carrier.h"
#include "internal.h"

/* Its thread turns others meanwhile, and comes back; false: it has no other, or without stacks cannot leave this one. */
static bool let_others_come(struct worker *w)
{
    if (w->loop == &w->fibers.home || w->fibers.current != w->loop || carrier_stays(w))
        return false;
    w->did = 1; /* it does not want to sleep */
    fiber_switch(&w->fibers, &w->fibers.home);
    return true;
}

static void stand(void *worker, void *arg)
{
    struct worker *w = worker;
    struct still *s = &w->rt->still;
    uint64_t n = (uint64_t)(uintptr_t)arg;
    __atomic_store_n(&s->stands[w->index], n, __ATOMIC_RELEASE); /* pairs with all_stand: what it did is seen */
    sem_post(&s->came);
    while (__atomic_load_n(&s->over, __ATOMIC_ACQUIRE) < n)      /* pairs with runtime_still: it sees what was done */
        if (!let_others_come(w))
            __builtin_ia32_pause();
}

static bool all_stand(const struct runtime *rt, uint64_t n)
{
    for (uint32_t i = 0; i < rt->workers; i++)
        if (__atomic_load_n(&rt->still.stands[i], __ATOMIC_ACQUIRE) != n)
            return false;
    return true;
}

int runtime_still(struct runtime *rt, void (*fn)(struct runtime *rt, void *arg), void *arg)
{
    struct still *s = &rt->still;
    int rc = !s->asked && sem_init(&s->came, 0, 0) ? -errno : 0;
    uint64_t n = ++s->asked;
    for (uint32_t i = 0; i < rt->workers && !rc; i++) {
        struct ring_item it = {.kind = RING_CALL, .b = (void *)(uintptr_t)n, .fn = stand};
        if (!ring_try_put(rt->worker[i]->in[rt->workers], &it))
            rc = -EAGAIN;
        doorbell_fence();
        doorbell_ring(&rt->worker[i]->bell);
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += STILL_LIMIT_US * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!rc && !all_stand(rt, n)) /* a post may be of an earlier time, so it only says: look again */
        if (sem_clockwait(&s->came, CLOCK_MONOTONIC, &until) && errno != EINTR)
            rc = -errno;
    if (!rc)
        fn(rt, arg);
    __atomic_store_n(&s->over, n, __ATOMIC_RELEASE);
    return rc;
}
