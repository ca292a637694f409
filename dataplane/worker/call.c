#define _GNU_SOURCE
/* call.c - the control thread's way to a worker: a function and its argument through the worker's inbound ring. */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"

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

static struct timespec limit_of(const struct runtime *rt)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    uint64_t ns = (uint64_t)ts.tv_nsec + rt->call_limit_ns;
    ts.tv_sec += (time_t)(ns / 1000000000u);
    ts.tv_nsec = (long)(ns % 1000000000u);
    return ts;
}

bool worker_post(struct runtime *rt, uint32_t index, void (*fn)(void *worker, void *arg), void *arg)
{
    struct worker *w = rt->worker[index];
    const struct ring_item it = {.kind = RING_CALL, .b = arg, .fn = fn};
    if (!ring_try_put(w->in[rt->workers], &it))
        return false;
    doorbell_fence();
    doorbell_ring(&w->bell);
    return true;
}

int worker_call(struct runtime *rt, uint32_t index, void (*fn)(void *worker, void *arg), void *arg)
{
    struct call *c = malloc(sizeof *c);
    if (!c)
        return -ENOMEM;
    *c = (struct call){.fn = fn, .arg = arg};
    sem_init(&c->done, 0, 0);
    if (!worker_post(rt, index, run_call, c)) {
        sem_destroy(&c->done);
        free(c);
        return -EAGAIN;
    }
    struct timespec until = limit_of(rt); /* of a clock that nobody sets */
    int rc;
    while ((rc = sem_clockwait(&c->done, CLOCK_MONOTONIC, &until)) && errno == EINTR)
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

static void nothing(void *worker, void *arg)
{
    (void)worker;
    (void)arg;
}

int call_all(struct runtime *rt)
{
    int rc = 0;
    for (uint32_t i = 0; i < rt->workers && !rc; i++)
        rc = worker_call(rt, i, nothing, NULL);
    return rc;
}

int runtime_settle(struct runtime *rt)
{
    enum { TURNS = WORKER_RING_SLOTS / WORKER_LANE_BUDGET + 2 }; /* a call takes a turn, which takes a budget from each ring */
    int rc = 0;
    for (int turn = 0; turn < TURNS && !rc; turn++)
        rc = call_all(rt);
    return rc;
}
