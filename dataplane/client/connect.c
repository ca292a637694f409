/* connect.c - a client's begin and end. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

enum { DEFAULT_DEPTH = 256, DEFAULT_SPIN_US = 50 };
#define DEFAULT_BULK (UINT64_C(64) << 20)

static int tables_make(struct chi_client *c, uint32_t depth)
{
    c->open = calloc(depth, sizeof *c->open);
    c->regions = calloc((size_t)depth * CHI_REGIONS_MAX, sizeof *c->regions);
    c->free_cookies = calloc(depth, sizeof *c->free_cookies);
    if (!c->open || !c->regions || !c->free_cookies)
        return -ENOMEM;
    c->depth = depth;
    c->mask = depth - 1;
    for (uint32_t i = 0; i < depth; i++)
        c->free_cookies[i] = (uint16_t)(depth - 1 - i);
    c->nfree = depth;
    return 0;
}

int chi_connect(const char *socket_path, const struct chi_client_options *options, struct chi_client **out)
{
    const struct chi_client_options none = {0}, *o = options ? options : &none;
    const struct shm_attach_request rq = {SHM_MAGIC, SHM_VERSION, o->bulk_bytes ? o->bulk_bytes : DEFAULT_BULK,
                                          o->depth ? o->depth : DEFAULT_DEPTH, 0};
    if (!shm_depth_ok(rq.depth) || rq.bulk_bytes > SHM_BULK_MAX)
        return -EINVAL;
    struct chi_client *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    c->control = c->worker_event = c->client_event = -1;
    c->spin_us = o->spin_us ? o->spin_us : DEFAULT_SPIN_US;
    int memfd = -1, rc = tables_make(c, rq.depth);
    uint64_t size = 0;
    if (!rc)
        rc = attach_request(c, socket_path, &rq, &memfd, &size);
    if (!rc)
        rc = segment_map(c, memfd, size, &rq);
    if (memfd >= 0)
        close(memfd); /* the mapping stays */
    if (!rc)
        rc = bulk_init(c);
    if (rc) {
        chi_disconnect(c);
        return rc;
    }
    c->checked_ns = clock_ns();
    *out = c;
    return 0;
}

void chi_disconnect(struct chi_client *c)
{
    if (!c)
        return;
    bulk_fini(c);
    if (c->base)
        munmap(c->base, c->size);
    const int fds[] = {c->control, c->worker_event, c->client_event};
    for (unsigned i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(c->open);
    free(c->regions);
    free(c->free_cookies);
    free(c);
}
