#define _GNU_SOURCE
#include "background.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

struct call { /* on the stack of the task that waits */
    void (*fn)(void *arg);
    void *arg;
    struct worker *worker;
    struct fiber *fiber;
    enum chi_status status;
};

struct background {
    sem_t calls;           /* one post for each call, and for each thread at the end */
    pthread_mutex_t taker; /* of the threads, who takes from the rings */
    uint32_t next;         /* under it: the ring that is looked at first */
    uint32_t workers, threads;
    bool refuses, ends; /* atomic */
    pthread_t thread[BACKGROUND_THREADS_MAX];
    struct ring *ring[WORKERS_MAX];
};

struct background *background_create(uint32_t workers)
{
    struct background *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    sem_init(&b->calls, 0, 0);
    pthread_mutex_init(&b->taker, NULL);
    for (; b->workers < workers; b->workers++) {
        b->ring[b->workers] = ring_create(BACKGROUND_CALLS);
        if (!b->ring[b->workers]) {
            background_destroy(b);
            return NULL;
        }
    }
    return b;
}

static struct call *take(struct background *b)
{
    struct ring_item it = {.b = NULL};
    pthread_mutex_lock(&b->taker);
    for (uint32_t i = 0; i < b->workers && !it.b; i++) {
        struct ring *r = b->ring[b->next];
        b->next = (b->next + 1) % b->workers;
        if (ring_try_get(r, &it))
            ring_publish(r);
    }
    pthread_mutex_unlock(&b->taker);
    return it.b;
}

/* The call is gone with that. */
static void over(struct call *c, enum chi_status st)
{
    c->status = st;
    wait_tell(NULL, c->worker, c->fiber);
}

static void *serve(void *arg)
{
    struct background *b = arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL); /* they are for the control thread, and would interrupt what blocks */
    for (;;) {
        while (sem_wait(&b->calls) && errno == EINTR)
            ;
        struct call *c = take(b);
        if (!c && __atomic_load_n(&b->ends, __ATOMIC_ACQUIRE))
            return NULL;
        if (!c) /* it was refused */
            continue;
        bool refuses = __atomic_load_n(&b->refuses, __ATOMIC_ACQUIRE);
        if (!refuses)
            c->fn(c->arg);
        over(c, refuses ? CHI_STATUS_SHUTDOWN : CHI_STATUS_OK);
    }
}

int background_start(struct background *b, uint32_t threads)
{
    CHI_ASSERT(threads <= BACKGROUND_THREADS_MAX);
    for (; b->threads < threads; b->threads++) {
        char name[16];
        int rc = pthread_create(&b->thread[b->threads], NULL, serve, b);
        if (rc)
            return -rc;
        snprintf(name, sizeof name, "chi-backgr-%u", b->threads);
        pthread_setname_np(b->thread[b->threads], name);
    }
    return 0;
}

void background_refuse(struct background *b)
{
    struct call *c;
    __atomic_store_n(&b->refuses, true, __ATOMIC_RELEASE);
    while ((c = take(b)))
        over(c, CHI_STATUS_SHUTDOWN);
}

void background_destroy(struct background *b)
{
    if (!b)
        return;
    __atomic_store_n(&b->refuses, true, __ATOMIC_RELEASE);
    __atomic_store_n(&b->ends, true, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < b->threads; i++)
        sem_post(&b->calls);
    for (uint32_t i = 0; i < b->threads; i++)
        pthread_join(b->thread[i], NULL);
    for (uint32_t i = 0; i < b->workers; i++)
        ring_destroy(b->ring[i]);
    pthread_mutex_destroy(&b->taker);
    sem_destroy(&b->calls);
    free(b);
}

enum chi_status background_call_st(struct background *b, struct worker *w, void (*fn)(void *arg), void *arg)
{
    CHI_ASSERT(w == worker_current());
    enum chi_status st = wait_possible(w);
    if (st != CHI_STATUS_OK)
        return st;
    struct call c = {.fn = fn, .arg = arg, .worker = w, .fiber = w->fibers.current};
    struct ring_item it = {.kind = RING_CALL, .b = &c};
    if (!ring_try_put(b->ring[w->index], &it))
        return CHI_STATUS_NO_MEMORY;
    sem_post(&b->calls);
    wait_park(w);
    return c.status;
}
