#define ALLOW_EXPERIMENTAL_API /* rte_intr_instance_alloc */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_alarm.h>
#include <rte_interrupts.h>

#include "net/eth.h"
#include "net/watch.h"

enum { SERVED_MAX = 64 };
enum { WATCHED_MAX = 2 * NET_PORTS_MAX, WAITS_MAX = 40 /* rounds that a connection may take */ };

bool eth_fence;

static struct {
    pthread_mutex_t lock; /* the list; never held while the control thread calls DPDK */
    struct eth *ports[WATCHED_MAX];
    unsigned n;
} watched = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void barrier_everywhere(void)
{
    if (eth_fence || syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0))
        atomic_thread_fence(memory_order_seq_cst);
}

/* Returns when the workers have left the port; pre: they will not come in again, or do no harm. */
static void wait_outside(struct eth *e)
{
    for (unsigned at = 0; at < e->queues * (unsigned)ETH_WAYS; at++) {
        _Atomic uint32_t *inside = &e->gate[at / ETH_WAYS].turn[at % ETH_WAYS];
        uint32_t turn = atomic_load_explicit(inside, memory_order_acquire);
        while ((turn & 1) && atomic_load_explicit(inside, memory_order_acquire) == turn)
            sched_yield();
    }
}

static void gates_shut(struct eth *e, unsigned from)
{
    for (unsigned q = from; q < e->queues; q++)
        atomic_store_explicit(&e->gate[q].open, false, memory_order_relaxed);
}

/* The other side of a memif has that queue too. */
static bool queue_connected(const struct eth *e, unsigned q)
{
    struct rte_eth_link link;
    return rte_eth_link_get_nowait(e->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP &&
           rte_intr_fd_get(e->ring[q][ETH_RX]) >= 0 && rte_intr_fd_get(e->ring[q][ETH_TX]) >= 0;
}

void watch_gates_open(struct eth *e)
{
    for (unsigned q = 0; q < e->queues; q++)
        if (q == 0 || e->device.kind != DEVICE_MEMIF || queue_connected(e, q))
            atomic_store_explicit(&e->gate[q].open, true, memory_order_release);
}

/* A memif client connects when it is started, and only then: so it is started again and again until its server is
 * there, and after it lost it. */
static void client_watch(struct eth *e)
{
    struct rte_eth_link link = {0};
    if (atomic_load_explicit(&e->gate[0].open, memory_order_relaxed)) {
        rte_eth_link_get_nowait(e->id, &link);
        if (link.link_status == RTE_ETH_LINK_UP) {
            e->was_up = true;
            return;
        }
        if (!e->was_up && ++e->waits <= WAITS_MAX)
            return;
        gates_shut(e, 0);
        barrier_everywhere();
        wait_outside(e);
    }
    rte_eth_dev_stop(e->id);
    e->was_up = false;
    e->waits = 0;
    bool served = rte_eth_dev_start(e->id) == 0;
    atomic_store_explicit(&e->served, served, memory_order_relaxed);
    if (served)
        watch_gates_open(e);
}

static void link_watch(struct eth *e)
{
    bool up = eth_link_up(e);
    uint32_t down = atomic_load_explicit(&e->down, memory_order_relaxed);
    atomic_store_explicit(&e->up, up, memory_order_relaxed);
    atomic_store_explicit(&e->down, up ? 0 : down < DOWN_LONG ? down + 1 : down, memory_order_relaxed);
}

static void watch(void *arg)
{
    pthread_mutex_lock(&watched.lock);
    for (unsigned i = 0; i < watched.n; i++) {
        struct eth *e = watched.ports[i];
        if (e->device.memif_client)
            client_watch(e);
        if (e->device.kind == DEVICE_MEMIF && atomic_load_explicit(&e->gate[0].open, memory_order_relaxed))
            watch_gates_open(e); /* queues beyond the first, that are there now */
        link_watch(e);
    }
    pthread_mutex_unlock(&watched.lock);
    rte_eal_alarm_set(WATCH_US, watch, arg);
}

void watch_add(struct eth *e)
{
    /* Ours is the one that drivers find: the program must export it, which the linker does when it links against the
     * EAL. */
    CHI_ASSERT(dlsym(RTLD_DEFAULT, "rte_intr_callback_unregister_pending") ==
               (void *)rte_intr_callback_unregister_pending);
    pthread_mutex_lock(&watched.lock);
    CHI_ASSERT(watched.n < WATCHED_MAX);
    bool first = watched.n == 0;
    if (first)
        eth_fence = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0;
    watched.ports[watched.n++] = e;
    pthread_mutex_unlock(&watched.lock);
    if (first)
        rte_eal_alarm_set(WATCH_US, watch, NULL);
}

void watch_remove(struct eth *e)
{
    pthread_mutex_lock(&watched.lock);
    for (unsigned i = 0; i < watched.n; i++)
        if (watched.ports[i] == e)
            watched.ports[i] = watched.ports[--watched.n];
    bool last = watched.n == 0;
    pthread_mutex_unlock(&watched.lock);
    if (last)
        rte_eal_alarm_cancel(watch, NULL); /* waits for one that runs, which may have set itself again */
}

struct job {
    void (*f)(struct eth *e);
    struct eth *e;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
};

static void job_run(void *arg)
{
    struct job *j = arg;
    j->f(j->e);
    pthread_mutex_lock(&j->lock);
    j->done = true;
    pthread_cond_signal(&j->ended);
    pthread_mutex_unlock(&j->lock);
}

void watch_run(void (*f)(struct eth *e), struct eth *e)
{
    struct job j = {.f = f, .e = e, .lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
    if (rte_eal_alarm_set(1, job_run, &j)) {
        f(e);
        return;
    }
    pthread_mutex_lock(&j.lock);
    while (!j.done)
        pthread_cond_wait(&j.ended, &j.lock);
    pthread_mutex_unlock(&j.lock);
    rte_eal_alarm_cancel(job_run, &j); /* the thread has let go of j when this returns */
}

/* --- what a memif server listens on.  Its driver frees the socket's record with the last port, but leaves the listening descriptor,
 * and connections that did not say hello yet, with callbacks that name the record (seen: SIGSEGV, and an interrupt thread that hears
 * nobody any more, after some twenty ports).  So they are noted when they are registered, and ended here. */

static struct {
    pthread_mutex_t lock;
    unsigned n;
    struct served {
        int fd;
        rte_intr_callback_fn callback;
        void *arg;
        char path[108];
    } at[SERVED_MAX];
} served = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The path that a descriptor is bound to; false: to none. */
static bool bound_path(int fd, char path[108])
{
    struct sockaddr_un a;
    socklen_t n = sizeof a;
    memset(&a, 0, sizeof a);
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&a, &n) || a.sun_family != AF_UNIX || !a.sun_path[0])
        return false;
    memcpy(path, a.sun_path, sizeof a.sun_path);
    path[107] = 0;
    return true;
}

static void served_note(const struct served *s)
{
    char path[108];
    pthread_mutex_lock(&served.lock);
    for (unsigned i = 0; i < served.n;) /* those that were closed since go */
        if (served.at[i].fd == s->fd || !bound_path(served.at[i].fd, path) || strcmp(path, served.at[i].path) != 0)
            served.at[i] = served.at[--served.n];
        else
            i++;
    if (served.n < SERVED_MAX)
        served.at[served.n++] = *s;
    pthread_mutex_unlock(&served.lock);
}

static void unserve(struct rte_intr_handle *h, const struct served *s)
{
    if (rte_intr_fd_set(h, s->fd) == 0 && rte_intr_callback_unregister(h, s->callback, s->arg) > 0)
        close(s->fd);
}

void watch_unserve(const char *socket_path)
{
    bool shared = false;
    pthread_mutex_lock(&watched.lock);
    for (unsigned i = 0; i < watched.n; i++)
        shared = shared || strcmp(watched.ports[i]->device.socket, socket_path) == 0;
    pthread_mutex_unlock(&watched.lock);
    struct rte_intr_handle *h = shared ? NULL : rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
    if (!h)
        return;
    pthread_mutex_lock(&served.lock);
    for (unsigned i = 0; i < served.n;) {
        if (strcmp(served.at[i].path, socket_path) != 0) {
            i++;
            continue;
        }
        unserve(h, &served.at[i]);
        served.at[i] = served.at[--served.n];
    }
    pthread_mutex_unlock(&served.lock);
    rte_intr_instance_free(h);
}

/* Stands in front of the EAL's function of this name, for every driver in the process. */
__attribute__((visibility("default"))) int rte_intr_callback_register(const struct rte_intr_handle *handle,
                                                                      rte_intr_callback_fn callback, void *arg)
{
    int (*next)(const struct rte_intr_handle *, rte_intr_callback_fn, void *);
    *(void **)&next = dlsym(RTLD_NEXT, "rte_intr_callback_register");
    CHI_ASSERT(next);
    int rc = next(handle, callback, arg);
    struct served s = {.fd = handle ? rte_intr_fd_get(handle) : -1, .callback = callback, .arg = arg};
    if (rc == 0 && bound_path(s.fd, s.path))
        served_note(&s);
    return rc;
}

static __thread struct rte_intr_handle *handle_made;

struct rte_intr_handle *watch_handle_made(void)
{
    struct rte_intr_handle *h = handle_made;
    handle_made = NULL;
    return h;
}

/* Stands in front of the EAL's function of this name, for every driver in the process. */
__attribute__((visibility("default"))) struct rte_intr_handle *rte_intr_instance_alloc(uint32_t flags)
{
    struct rte_intr_handle *(*next)(uint32_t);
    *(void **)&next = dlsym(RTLD_NEXT, "rte_intr_instance_alloc");
    CHI_ASSERT(next);
    return handle_made = next(flags);
}

/* Stands in front of the EAL's function of this name, for every driver in the process.
 *
 * net_memif frees a connection's rings in the interrupt thread when the other side is gone, while the worker may be
 * copying from them (seen: SIGSEGV in about one of five kills of a busy peer).  It first clears the flag that each
 * burst looks at when it begins, then calls this, then frees: so here is the place to wait for the burst that is under
 * way. */
__attribute__((visibility("default"))) int rte_intr_callback_unregister_pending(const struct rte_intr_handle *handle,
                                                                                rte_intr_callback_fn callback,
                                                                                void *arg,
                                                                                rte_intr_unregister_callback_fn then)
{
    static int (*next)(const struct rte_intr_handle *, rte_intr_callback_fn, void *, rte_intr_unregister_callback_fn);
    if (!next) /* the interrupt thread alone calls it */
        *(void **)&next = dlsym(RTLD_NEXT, "rte_intr_callback_unregister_pending");
    CHI_ASSERT(next);
    pthread_mutex_lock(&watched.lock);
    for (unsigned i = 0; i < watched.n; i++) { /* the next connection may have fewer queues */
        struct rte_eth_link link = {0};
        struct eth *e = watched.ports[i];
        if (e->device.kind == DEVICE_MEMIF && rte_eth_link_get_nowait(e->id, &link) == 0 && link.link_status != RTE_ETH_LINK_UP)
            gates_shut(e, 1);
    }
    barrier_everywhere();
    for (unsigned i = 0; i < watched.n; i++)
        if (watched.ports[i]->device.kind == DEVICE_MEMIF)
            wait_outside(watched.ports[i]);
    pthread_mutex_unlock(&watched.lock);
    return next(handle, callback, arg, then);
}
