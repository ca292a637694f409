/* carrier.c - the thread: claims its workers, turns them, sleeps for all of them.
 *
 * With one worker it stays in that one's loop, keeps the claim, and compares a number between turns.  With several it goes from one to the next, and
 * has the claim of the one that turns, or of all of them while it sleeps for all.  The control thread writes into a worker which carrier is to have it,
 * then counts an order for the old one and the new one and rings.  Who gives a claim back looks whose the worker is, behind a fence: the new one,
 * which came too early, is rung again.  So nobody ever waits for a claim with its eyes open. */
#define _GNU_SOURCE
#include "carrier.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "internal.h"

/* False: another thread has it, and rings when it gives it back. */
static bool take(struct carrier *c, struct worker *w)
{
    struct carrier *nobody = NULL;
    struct epoll_event ev = {.events = EPOLLIN};
    if (!__atomic_compare_exchange_n(&w->turned_by, &nobody, c, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) /* pairs with give_back */
        return false;
    if (c->count > 1 && CHI_UNLIKELY(!(c->listens & 1ULL << w->index))) {
        c->listens |= 1ULL << w->index;
        (void)epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, w->epoll_fd, &ev); /* without memory its sleep ends by time-out */
    }
    return true;
}

static void give_back(struct carrier *c, struct worker *w)
{
    __atomic_store_n(&w->turned_by, NULL, __ATOMIC_SEQ_CST); /* behind what the turn wrote, before the look: pairs with take */
    struct carrier *of = __atomic_load_n(&w->carrier, __ATOMIC_SEQ_CST);
    if (CHI_UNLIKELY(of != c))
        doorbell_wake(&of->bell);
}

/* Finds out which workers are its own. */
static void take_orders(struct carrier *c)
{
    struct runtime *rt = c->rt;
    uint64_t own = 0;
    c->count = 0;
    for (uint32_t i = 0; i < rt->workers; i++)
        if (__atomic_load_n(&rt->worker[i]->carrier, __ATOMIC_SEQ_CST) == c) {
            c->worker[c->count++] = rt->worker[i];
            own |= 1ULL << i;
        }
    uint64_t deaf = c->listens & ~(c->count > 1 ? own : 0); /* the only one has the thread sleep on its own epoll */
    for (uint32_t i = 0; i < rt->workers; i++)
        if (deaf & 1ULL << i)
            (void)epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, rt->worker[i]->epoll_fd, NULL);
    c->listens &= ~deaf;
}

/* Turns a worker once, or, when it is the only one, until there is something else to do. */
static void turn(struct worker *w)
{
    worker_enter(w);
    if (CHI_UNLIKELY(!w->between))
        worker_begin(w);
    if (w->loop == &w->fibers.home) /* without stacks no task waits */
        turn_loop(w, worker_turn(w));
    else
        fiber_switch(&w->fibers, w->loop);
}

/* Sleeps for its workers, n of them, all of which want to.  If another thread has one, or has turned it meanwhile, this one is rung by it or by the
 * control thread. */
static void rest(struct carrier *c, struct worker **w, uint32_t n, uint64_t ns)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < n; i++)
        if (take(c, w[i]))
            w[taken++] = w[i];
    if (idle_sleep(w, taken, c->epoll_fd, ns))
        doorbell_drain(&c->bell); /* before the next look at the orders */
    while (taken--)
        give_back(c, w[taken]);
}

/* A turn of each worker, and a sleep if all of them want one.  False: all have ended. */
static bool go_round(struct carrier *c)
{
    struct worker *sleepy[WORKERS_MAX];
    uint32_t n = 0, awake = 0, over = 0;
    uint64_t ns = UINT64_MAX, orders = __atomic_load_n(&c->orders, __ATOMIC_SEQ_CST);
    if (orders != c->seen) {
        c->seen = orders;
        take_orders(c);
    }
    if (c->count == 0 && __atomic_load_n(&c->rt->ended, __ATOMIC_ACQUIRE))
        return false;
    c->settled = c->count == 1 ? orders : CARRIER_SEVERAL;
    for (uint32_t i = 0; i < c->count; i++) {
        struct worker *w = c->worker[i];
        uint64_t wants = 0;
        if (!take(c, w))
            continue;
        if (!w->over)
            turn(w);
        if (w->over)
            over++;
        else if ((wants = idle_wants(w, w->did)))
            sleepy[n++] = w;
        else
            awake++;
        ns = wants && wants < ns ? wants : ns;
        give_back(c, w);
    }
    if (over && over == c->count)
        return false;
    if (!awake)
        rest(c, sleepy, n, ns);
    return true;
}

static void *carrier_main(void *arg)
{
    struct carrier *c = arg;
    prctl(PR_SET_TIMERSLACK, 1000UL); /* sleeps of 50 us mean that */
    rcu_register_thread();
    int rc = c->rt->net ? net_thread_attach() : 0;
    CHI_ASSERT(rc == 0); /* there are no more carriers than workers, which the port layer knows of */
    while (go_round(c))
        ;
    worker_enter(NULL);
    if (c->rt->net)
        net_thread_detach();
    rcu_unregister_thread();
    return NULL;
}

/* --- control thread */

struct carrier *carrier_create(struct runtime *rt, uint32_t core)
{
    struct carrier *c = aligned_alloc(CHI_CACHE_LINE, (sizeof *c + 63) & ~(size_t)63);
    if (!c)
        return NULL;
    memset(c, 0, sizeof *c);
    c->rt = rt;
    c->core = core;
    c->busy = rt->options.busy;
    c->seen = CARRIER_SEVERAL; /* none */
    c->epoll_fd = c->bell.event_fd = -1;
    return c;
}

void carrier_destroy(struct carrier *c)
{
    if (!c)
        return;
    if (c->epoll_fd >= 0)
        close(c->epoll_fd);
    doorbell_fini(&c->bell);
    free(c);
}

/* What top and a debugger call it. */
static void name_thread(const struct carrier *c)
{
    char name[16];
    snprintf(name, sizeof name, "chi-core-%u", c->core % 100000);
    pthread_setname_np(c->thread, name);
}

static int make_thread(struct carrier *c)
{
    pthread_attr_t attr;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(c->core, &set);
    pthread_attr_init(&attr);
    int rc = pthread_attr_setaffinity_np(&attr, sizeof set, &set);
    if (!rc)
        rc = pthread_create(&c->thread, &attr, carrier_main, c);
    pthread_attr_destroy(&attr);
    c->runs = !rc;
    if (c->runs)
        name_thread(c);
    return -rc;
}

int carrier_start(struct carrier *c)
{
    struct epoll_event ev = {.events = EPOLLIN};
    int rc = c->bell.event_fd < 0 ? doorbell_init(&c->bell) : 0;
    if (!rc && c->epoll_fd < 0 && (c->epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
        rc = -errno;
    if (!rc && epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->bell.event_fd, &ev) && errno != EEXIST)
        rc = -errno;
    return rc ? rc : make_thread(c);
}

int carrier_to(struct carrier *c, uint32_t core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    int rc = pthread_setaffinity_np(c->thread, sizeof set, &set);
    if (rc)
        return -rc;
    c->core = core;
    name_thread(c);
    return 0;
}

void carrier_order(struct carrier *c)
{
    __atomic_fetch_add(&c->orders, 1, __ATOMIC_SEQ_CST); /* pairs with carrier_stays */
    if (!c->runs)
        return;
    for (uint32_t i = 0; i < c->rt->workers; i++)
        if (__atomic_load_n(&c->rt->worker[i]->turned_by, __ATOMIC_SEQ_CST) == c)
            doorbell_wake(&c->rt->worker[i]->bell); /* it may sleep on that */
    doorbell_wake(&c->bell);
}

void carrier_join(struct carrier *c)
{
    if (c->runs)
        pthread_join(c->thread, NULL);
    c->runs = false;
}
