/* call.c - the control thread's way to a worker: a function and its argument through the worker's inbound ring. */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"

enum { CALL_LIMIT_S = 2 };
struct call {
    void (*fn)(void *worker, void *arg);
    void *arg;
    sem_t done;
    int over; /* set by whoever comes first, the worker that ran it or the caller that gave up; the second frees */
};

static void run_call(void *worker, void *arg)
{
    struct call *c = arg;
    c->fn(worker, c->arg);
    if (__atomic_exchange_n(&c->over, 1, __ATOMIC_ACQ_REL))
        free(c); /* the caller gave up */
    else
        sem_post(&c->done);
}

int worker_call(struct runtime *rt, uint32_t index, void (*fn)(void *worker, void *arg), void *arg)
{
    struct worker *w = rt->worker[index];
    struct call *c = malloc(sizeof *c);
    if (!c)
        return -ENOMEM;
    *c = (struct call){.fn = fn, .arg = arg};
    sem_init(&c->done, 0, 0);
    struct ring_item it = {.kind = RING_CALL, .b = c, .fn = run_call};
    if (!ring_try_put(w->in[rt->workers], &it)) {
        free(c);
        return -EAGAIN;
    }
    doorbell_fence();
    doorbell_ring(&w->bell);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CALL_LIMIT_S;
    int rc;
    while ((rc = sem_timedwait(&c->done, &until)) && errno == EINTR)
        ;
    if (rc && !__atomic_exchange_n(&c->over, 1, __ATOMIC_ACQ_REL))
        return -ETIMEDOUT;
    if (rc) /* it ran just now: the post is on its way */
        while (sem_wait(&c->done) && errno == EINTR)
            ;
    sem_destroy(&c->done);
    free(c);
    return 0;
}
