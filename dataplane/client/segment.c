/* segment.c - checks the segment that the daemon sent, and maps it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "internal.h"

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

static bool header_ok(const struct shm_header *h, const struct shm_geometry *g, uint32_t depth)
{
    return h->magic == SHM_MAGIC && h->version == SHM_VERSION && h->size == g->size && h->depth == depth &&
           h->zero == 0 && h->submit_offset == g->submit_offset && h->complete_offset == g->complete_offset &&
           h->bulk_offset == g->bulk_offset && h->bulk_bytes == g->bulk_bytes;
}

int segment_map(struct chi_client *c, int memfd, uint64_t size, const struct shm_attach_request *rq)
{
    struct shm_geometry g = shm_geometry_of(rq->depth, rq->bulk_bytes);
    struct stat st;
    /* Sealed: nobody can truncate it under our mapping.  -1: of a file that has no seals. */
    int seals = fcntl(memfd, F_GET_SEALS);
    if (size != g.size || fstat(memfd, &st) || (uint64_t)st.st_size != size || seals < 0 || (seals & SEALS) != SEALS)
        return -EPROTO;
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    if (base == MAP_FAILED)
        return -errno;
    if (!header_ok(base, &g, rq->depth)) {
        munmap(base, size);
        return -EPROTO;
    }
    c->base = base;
    c->header = base;
    c->size = g.size;
    c->submit = (struct line *)(c->base + g.submit_offset);
    c->complete = (struct line *)(c->base + g.complete_offset);
    c->bulk_offset = g.bulk_offset;
    c->bulk_bytes = g.bulk_bytes;
    return 0;
}
