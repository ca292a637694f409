/* attach.c - clients come and go. */
#include <errno.h>
#include <sys/epoll.h>

#include "internal.h"

static void do_attach(void *worker, void *arg)
{
    struct worker *w = worker;
    struct ipc_channel *ch = arg;
    ch->next = w->channels;
    w->channels = ch;
}

int runtime_attach(struct runtime *rt, struct ipc_channel *ch)
{
    uint32_t least = 0, count[WORKERS_MAX] = {0};
    for (uint32_t i = 0; i < rt->workers; i++) {
        count[i] = __atomic_load_n(&rt->worker[i]->clients, __ATOMIC_RELAXED);
        if (count[i] < count[least])
            least = i;
    }
    ch->worker = least;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET}; /* never read: ipc.h says why */
    if (epoll_ctl(rt->worker[least]->epoll_fd, EPOLL_CTL_ADD, ch->worker_event, &ev))
        return -errno;
    int rc = worker_call(rt, least, do_attach, ch);
    if (!rc || rc == -ETIMEDOUT)
        __atomic_fetch_add(&rt->worker[least]->clients, 1, __ATOMIC_RELAXED);
    return rc;
}

static void do_detach(void *worker, void *arg)
{
    struct ipc_channel *ch = arg;
    if (!ch->detached && ipc_waiting_st(ch))
        ch->rest = ch->depth;
    __atomic_store_n(&ch->detached, true, __ATOMIC_RELAXED); /* read by workers that run its tasks */
    watch_tell(worker);
}

void runtime_detach(struct runtime *rt, struct ipc_channel *ch)
{
    int rc = worker_call(rt, ch->worker, do_detach, ch);
    (void)rc; /* a worker that does not turn now finds the call later; runtime_reap looks again either way */
}

/* Calls of one channel are found in their order: when one of them has run, so have those that timed out before it. */
static void do_remove(void *worker, void *arg)
{
    struct worker *w = worker;
    struct ipc_channel *ch = arg;
    do_detach(worker, arg); /* where that was not found yet */
    if (ch->out || ch->rest)
        return; /* its tasks still name its memory, or are still to be taken */
    for (struct ipc_channel **at = &w->channels; *at; at = &(*at)->next) {
        if (*at != ch)
            continue;
        *at = ch->next;
        break;
    }
    ch->removed = true; /* also when an earlier call, which timed out, took it off */
}

bool runtime_reap(struct runtime *rt, struct ipc_channel *ch)
{
    if (worker_call(rt, ch->worker, do_remove, ch) || !ch->removed)
        return false;
    __atomic_fetch_sub(&rt->worker[ch->worker]->clients, 1, __ATOMIC_RELAXED);
    (void)epoll_ctl(rt->worker[ch->worker]->epoll_fd, EPOLL_CTL_DEL, ch->worker_event, NULL); /* its close would do */
    ipc_destroy(ch);
    return true;
}
