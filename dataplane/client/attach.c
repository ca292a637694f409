/* attach.c - asks the daemon for a segment: one request, one reply with three descriptors. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "internal.h"

enum { ATTACH_LIMIT_S = 5, ATTACH_FDS = 3, ATTACH_FDS_MAX = 16 };

struct attach {
    struct shm_attach_reply reply;
    size_t have; /* bytes of it */
    int fds[ATTACH_FDS_MAX];
    unsigned nfds;
    bool truncated; /* the kernel dropped some */
};

static void fds_close(struct attach *a)
{
    for (unsigned i = 0; i < a->nfds; i++)
        close(a->fds[i]);
    a->nfds = 0;
}

static int control_open(const char *path, int *out)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    if (n == 0 || n >= sizeof addr.sun_path)
        return -EINVAL;
    memcpy(addr.sun_path, path, n);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    const struct timeval limit = {ATTACH_LIMIT_S, 0};
    int rc = setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) ? -errno : 0;
    while (!rc && connect(fd, (const struct sockaddr *)&addr, sizeof addr))
        if (errno != EINTR) /* a unix socket that waited for room in the backlog is as it was */
            rc = errno == EAGAIN ? -ETIMEDOUT : -errno; /* no room until the limit */
    if (rc) {
        close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

static int request_send(int fd, const struct shm_attach_request *rq)
{
    const uint8_t *p = (const uint8_t *)rq;
    for (size_t done = 0; done < sizeof *rq;) {
        ssize_t n = send(fd, p + done, sizeof *rq - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? -ETIMEDOUT : errno == EPIPE || errno == ECONNRESET ? -EPROTO : -errno;
        done += (size_t)n;
    }
    return 0;
}

static void fds_collect(struct attach *a, struct msghdr *m)
{
    a->truncated |= (m->msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
            if (a->nfds < ATTACH_FDS_MAX)
                a->fds[a->nfds++] = fd;
            else
                close(fd);
        }
    }
}

/* Reads the reply, in however many pieces it comes.  0 or -errno; the descriptors so far are in *a either way. */
static int reply_read(int fd, struct attach *a)
{
    uint64_t end = clock_ns() + UINT64_C(1000000000) * ATTACH_LIMIT_S;
    while (a->have < sizeof a->reply) {
        uint64_t now = clock_ns();
        struct pollfd p = {fd, POLLIN, 0};
        int ready = now < end ? poll(&p, 1, (int)((end - now) / 1000000 + 1)) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return ready ? -errno : -ETIMEDOUT;
        union { /* aligned as a header */
            char space[CMSG_SPACE(ATTACH_FDS_MAX * sizeof(int))];
            struct cmsghdr align;
        } control;
        struct iovec io = {(uint8_t *)&a->reply + a->have, sizeof a->reply - a->have};
        struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return errno == ECONNRESET ? -EPROTO : -errno;
        fds_collect(a, &m);
        if (n == 0)
            return -EPROTO;
        a->have += (size_t)n;
        if (a->have >= sizeof a->reply.magic && a->reply.magic != SHM_MAGIC)
            return -EPROTO;
    }
    return 0;
}

/* What the daemon said: 0, or -errno for the caller. */
static int reply_check(const struct attach *a)
{
    const struct shm_attach_reply *r = &a->reply;
    if (r->magic != SHM_MAGIC || r->version != SHM_VERSION || r->result > 0 || r->result < -4095)
        return -EPROTO;
    if (r->result)
        return r->result;
    return a->nfds == ATTACH_FDS && !a->truncated ? 0 : -EPROTO;
}

int attach_request(struct chi_client *c, const char *path, const struct shm_attach_request *rq, int *memfd_out,
                   uint64_t *size_out)
{
    struct attach a = {.nfds = 0};
    int fd = -1, rc = control_open(path, &fd);
    if (rc)
        return rc;
    rc = request_send(fd, rq);
    if (!rc)
        rc = reply_read(fd, &a);
    if (!rc)
        rc = reply_check(&a);
    if (rc) {
        fds_close(&a);
        close(fd);
        return rc;
    }
    c->control = fd;
    *memfd_out = a.fds[0];
    c->worker_event = a.fds[1];
    c->client_event = a.fds[2];
    *size_out = a.reply.size;
    return 0;
}
