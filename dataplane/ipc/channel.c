#define _GNU_SOURCE
/* channel.c - makes and unmakes a client's segment and its wake-ups.  Control thread. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc.h"

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

static int request_check(const struct shm_attach_request *rq, const struct ipc_limits *lim)
{
    if (rq->magic != SHM_MAGIC || rq->version != SHM_VERSION)
        return -EPROTO;
    if (rq->zero != 0 || !shm_depth_ok(rq->depth) || rq->depth > lim->depth_max ||
        rq->bulk_bytes > lim->bulk_bytes_max || rq->bulk_bytes > SHM_BULK_MAX)
        return -EINVAL;
    return 0;
}

/* The memfd is sized and sealed before anyone else sees it: it can never be truncated under our mapping. */
static int segment_make(struct ipc_channel *ch)
{
    ch->memfd = memfd_create("chimaera-client", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (ch->memfd < 0 || ftruncate(ch->memfd, (off_t)ch->size) || fcntl(ch->memfd, F_ADD_SEALS, SEALS))
        return -errno;
    void *base = mmap(NULL, ch->size, PROT_READ | PROT_WRITE, MAP_SHARED, ch->memfd, 0);
    if (base == MAP_FAILED)
        return -errno;
    ch->base = base;
    /* Header and rings are touched by every task: no page fault there.  A kernel before 5.14 does without. */
#ifdef MADV_POPULATE_WRITE
    (void)madvise(base, ch->bulk_offset, MADV_POPULATE_WRITE);
#endif
    return 0;
}

static int wakeups_make(struct ipc_channel *ch)
{
    ch->worker_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ch->worker_event < 0)
        return -errno;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
        return -errno;
    ch->client_wake = pair[0];
    ch->client_event = pair[1];
    return 0;
}

static void header_write(struct ipc_channel *ch, const struct shm_geometry *g)
{
    struct shm_header *h = (struct shm_header *)ch->base;
    h->magic = SHM_MAGIC;
    h->version = SHM_VERSION;
    h->size = g->size;
    h->depth = ch->depth;
    h->submit_offset = g->submit_offset;
    h->complete_offset = g->complete_offset;
    h->bulk_offset = g->bulk_offset;
    h->bulk_bytes = g->bulk_bytes;
}

int ipc_create(const struct shm_attach_request *rq, const struct ipc_limits *lim, struct ipc_channel **out)
{
    int rc = request_check(rq, lim);
    if (rc)
        return rc;
    struct ipc_channel *ch = calloc(1, sizeof *ch);
    if (!ch)
        return -ENOMEM;
    struct shm_geometry g = shm_geometry_of(rq->depth, rq->bulk_bytes);
    ch->memfd = ch->worker_event = ch->client_event = ch->client_wake = -1;
    ch->size = g.size;
    ch->bulk_offset = g.bulk_offset;
    ch->bulk_bytes = g.bulk_bytes;
    ch->depth = rq->depth;
    ch->mask = rq->depth - 1;
    rc = segment_make(ch);
    if (!rc)
        rc = wakeups_make(ch);
    if (rc) {
        ipc_destroy(ch);
        return rc;
    }
    ch->submit = (struct line *)(ch->base + g.submit_offset);
    ch->complete = (struct line *)(ch->base + g.complete_offset);
    header_write(ch, &g);
    *out = ch;
    return 0;
}

void ipc_destroy(struct ipc_channel *ch)
{
    if (!ch)
        return;
    CHI_ASSERT(ch->out == 0);
    if (ch->base)
        munmap(ch->base, ch->size);
    const int fds[] = {ch->memfd, ch->worker_event, ch->client_event, ch->client_wake};
    for (unsigned i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(ch);
}
