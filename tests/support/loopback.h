/* loopback.h - the daemon's end of a client connection in a thread of the test program: a control socket in a folder of
 * its own, ipc_* behind it, and methods that run at once.  For tests and measurements; header only. */
#pragma once
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ipc/ipc.h"

struct loopback;
typedef enum chi_status (*loopback_run)(struct loopback *lb, struct chi_task *task);

struct loopback {
    char folder[64], path[96];
    int listener, control;
    struct ipc_limits limits;
    struct chi_method *const *methods;
    unsigned nmethods;
    loopback_run run;
    bool sleeps;   /* the worker sleeps when it finds nothing */
    bool stop;     /* atomic */
    bool hold;     /* atomic: takes nothing while it is set */
    uint64_t naps; /* atomic: how often it slept */
    struct ipc_channel *ch;
    pthread_t acceptor, worker;
    uint8_t *scratch;
    uint64_t drops[CHI_DROP_COUNT];
};

static inline void loopback_die(const char *what)
{
    perror(what);
    abort();
}

/* Sends the reply with n descriptors. */
static inline void loopback_reply(int fd, const struct shm_attach_reply *r, const int *fds, unsigned n)
{
    union {
        char space[CMSG_SPACE(16 * sizeof(int))];
        struct cmsghdr align;
    } control;
    memset(&control, 0, sizeof control);
    struct iovec io = {(void *)(uintptr_t)r, sizeof *r};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
    if (n) {
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(h), fds, n * sizeof(int));
    }
    if (sendmsg(fd, &m, MSG_NOSIGNAL) != (ssize_t)sizeof *r)
        loopback_die("sendmsg");
}

/* Accepts one client as the daemon does. */
static inline void *loopback_accept(void *arg)
{
    struct loopback *lb = (struct loopback *)arg;
    struct shm_attach_request rq;
    lb->control = accept(lb->listener, NULL, NULL);
    if (lb->control < 0 || recv(lb->control, &rq, sizeof rq, MSG_WAITALL) != (ssize_t)sizeof rq)
        loopback_die("accept");
    int rc = ipc_create(&rq, &lb->limits, &lb->ch);
    struct shm_attach_reply reply = {SHM_MAGIC, SHM_VERSION, rc, 1, rc ? 0 : lb->ch->size};
    if (rc) {
        loopback_reply(lb->control, &reply, NULL, 0);
        return NULL;
    }
    const int fds[3] = {lb->ch->memfd, lb->ch->worker_event, lb->ch->client_event};
    loopback_reply(lb->control, &reply, fds, 3);
    return NULL;
}

/* Loads a task, runs it, and ends it: what the daemon's worker does with a task of this node. */
static inline void loopback_task(struct loopback *lb, const struct ipc_request *rq)
{
    union {
        struct chi_task task;
        uint8_t space[CHI_TASK_BYTES_MAX];
    } body;
    uint8_t answer[CHI_FORM_BYTES_MAX];
    struct chi_ar_region regions[CHI_REGIONS_MAX];
    const struct form_head *h = &lb->ch->head;
    struct chi_method *m = NULL;
    for (unsigned i = 0; i < lb->nmethods; i++)
        if (lb->methods[i]->id == h->method)
            m = lb->methods[i];
    enum chi_status st = !m                                ? CHI_STATUS_NO_METHOD
                         : chi_method_hash(m) != h->schema ? CHI_STATUS_SCHEMA
                                                           : CHI_STATUS_OK;
    for (uint32_t i = 0; i < h->regions && st == CHI_STATUS_OK; i++) {
        const struct form_region *r = &h->region[i];
        regions[i] = (struct chi_ar_region){ipc_region_st(lb->ch, r->place, r->size), r->size, 0, r->flags};
        if (!regions[i].ptr)
            st = CHI_STATUS_INVALID;
    }
    struct chi_archive ar;
    if (st == CHI_STATUS_OK) {
        memset(body.space, 0, m->size); /* what a module does not set goes back as zeros */
        uint32_t prefix = form_prefix_bytes(h->regions);
        chi_ar_init(&ar, CHI_AR_INPUT_IN, lb->scratch + prefix, rq->form_length - prefix, regions, h->regions);
        st = chi_ar_task(&ar, m, &body.task);
    }
    if (st == CHI_STATUS_OK)
        st = lb->run(lb, &body.task);
    if (st == CHI_STATUS_OK) {
        chi_ar_init(&ar, CHI_AR_OUTPUT_OUT, answer, sizeof answer, regions, h->regions);
        st = chi_ar_task(&ar, m, &body.task);
    }
    if (st == CHI_STATUS_OK)
        ipc_complete_st(lb->ch, rq, st, answer, (uint32_t)ar.pos);
    else
        ipc_complete_st(lb->ch, rq, st, NULL, 0);
}

static inline void loopback_nap(struct loopback *lb, int epoll)
{
    struct epoll_event ev;
    if (!ipc_sleep_st(lb->ch)) {
        __atomic_add_fetch(&lb->naps, 1, __ATOMIC_RELAXED);
        epoll_wait(epoll, &ev, 1, -1); /* without limit: a lost wake-up hangs the test */
        ipc_awake_st(lb->ch);
    }
}

static inline void *loopback_work(void *arg)
{
    struct loopback *lb = (struct loopback *)arg;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, lb->ch->worker_event, &ev))
        loopback_die("epoll");
    while (!__atomic_load_n(&lb->stop, __ATOMIC_ACQUIRE)) {
        if (__atomic_load_n(&lb->hold, __ATOMIC_ACQUIRE))
            continue;
        struct ipc_request rq;
        bool got;
        enum chi_drop d = ipc_take_st(lb->ch, lb->scratch, &rq, &got);
        if (!got && lb->sleeps)
            loopback_nap(lb, epoll);
        if (d != CHI_DROP_NONE)
            lb->drops[d]++;
        else if (got)
            loopback_task(lb, &rq);
    }
    close(epoll);
    return NULL;
}

/* Begins to listen, with one thread that accepts one client.  Pre: *lb is zero but for methods, run and sleeps. */
static inline void loopback_listen(struct loopback *lb)
{
    if (!lb->limits.depth_max)
        lb->limits = (struct ipc_limits){UINT64_C(1) << 30, SHM_DEPTH_MAX};
    snprintf(lb->folder, sizeof lb->folder, "%s/chimaera-XXXXXX", P_tmpdir);
    if (!mkdtemp(lb->folder))
        loopback_die("mkdtemp");
    snprintf(lb->path, sizeof lb->path, "%s/control.sock", lb->folder);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, lb->path, strlen(lb->path) + 1);
    lb->control = -1;
    lb->scratch = (uint8_t *)aligned_alloc(CHI_CACHE_LINE, CHI_FORM_BYTES_MAX);
    lb->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!lb->scratch || lb->listener < 0 || bind(lb->listener, (struct sockaddr *)&addr, sizeof addr) ||
        listen(lb->listener, 4))
        loopback_die("listen");
}

static inline void loopback_start_accept(struct loopback *lb)
{
    if (pthread_create(&lb->acceptor, NULL, loopback_accept, lb))
        loopback_die("pthread_create");
}

/* After chi_connect: waits for the acceptor, starts the worker. */
static inline void loopback_start_work(struct loopback *lb)
{
    pthread_join(lb->acceptor, NULL);
    if (lb->ch && pthread_create(&lb->worker, NULL, loopback_work, lb))
        loopback_die("pthread_create");
}

/* Ends the worker; the daemon "dies" when the sockets are closed. */
static inline void loopback_stop_work(struct loopback *lb)
{
    const uint64_t one = 1;
    __atomic_store_n(&lb->stop, true, __ATOMIC_RELEASE);
    if (write(lb->ch->worker_event, &one, sizeof one) != (ssize_t)sizeof one)
        loopback_die("write");
    pthread_join(lb->worker, NULL);
}

static inline void loopback_close(struct loopback *lb)
{
    if (lb->control >= 0)
        close(lb->control);
    if (lb->listener >= 0)
        close(lb->listener);
    ipc_destroy(lb->ch);
    free(lb->scratch);
    unlink(lb->path);
    rmdir(lb->folder);
}
