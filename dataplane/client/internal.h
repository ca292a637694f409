/* internal.h - between the files of client/.
 *
 * Memory: a chi_client and its tables are made at chi_connect; chi_submit, chi_poll and chi_wait allocate nothing but,
 * for a form that is not inline, an area of the segment (and its record) the first time that a cookie needs one. */
#pragma once
#include <time.h>

#include "archive/form.h"
#include "chi/client.h"
#include "lane/shm.h"

/* A run of the segment's bulk memory.  Blocks lie in a list by offset and cover it without gaps. */
struct block {
    struct block *prev, *next;
    struct block *left, *right; /* in the tree */
    uint64_t offset, size; /* from the segment's start; a multiple of 64 */
    uint64_t best;         /* size of the largest free one of those from here on down the tree */
    bool used;
};

/* One for each cookie. */
struct open_task {
    struct chi_task *task; /* NULL: the cookie is free; &posted of the client: nobody waits */
    struct block *area;    /* for forms and answers that are not inline; stays when the task ended.  NULL: none yet */
    uint32_t nregions;
};

struct chi_client {
    /* hot */
    struct line *submit, *complete;
    uint64_t submit_at, complete_at;
    struct shm_header *header;
    struct open_task *open;        /* depth of them */
    struct chi_ar_region *regions; /* depth * CHI_REGIONS_MAX */
    uint16_t *free_cookies;        /* a stack: what was used last is warm */
    uint32_t nfree, depth, mask;
    uint32_t rung;      /* the daemon's last sleep that we ended */
    uint32_t unsettled; /* submissions since the last certain look at its sleep */
    uint32_t idle;      /* weight of the polls without a completion */
    bool gone;          /* the daemon is */
    struct chi_task posted; /* stands for all tasks that nobody waits for */
    /* cold */
    uint32_t sleep_number, spin_us;
    uint64_t checked_ns; /* when the control socket was looked at */
    uint8_t *base;
    uint64_t size, bulk_offset, bulk_bytes;
    struct block *first, *tree;
    int control, worker_event, client_event;
};

/* attach.c: the exchange on the control socket.  0 or -errno; then the descriptors are in c, and *size_out is the
 * segment's. */
CHI_MUST_CHECK int attach_request(struct chi_client *c, const char *path, const struct shm_attach_request *rq,
                                  int *memfd_out, uint64_t *size_out);

/* segment.c: checks and maps what the daemon sent.  0 or -errno. */
CHI_MUST_CHECK int segment_map(struct chi_client *c, int memfd, uint64_t size, const struct shm_attach_request *rq);

/* bulk.c */
CHI_MUST_CHECK int bulk_init(struct chi_client *c); /* 0 or -ENOMEM */
void bulk_fini(struct chi_client *c);
/* A block from the lower or the upper end; NULL when there is none.  First fit; O(log(blocks)). */
struct block *bulk_try_take(struct chi_client *c, uint64_t size, bool upper);
void bulk_give(struct chi_client *c, struct block *b);

/* area.c: the cookie's area of at least `bytes`; false when the segment has no room for it. */
CHI_MUST_CHECK bool area_reserve(struct chi_client *c, struct open_task *o, uint64_t bytes);
/* Gives back the areas of all free cookies; true when there was one. */
bool area_reclaim(struct chi_client *c);

/* bound.c: how many bytes one direction of a method can take at most.  By hand: BOUND_BY_HAND, which the daemon
 * enforces. */
enum { BOUND_BY_HAND = 4096 };
uint32_t bound_in(const struct chi_method *m); /* of the whole form */
uint32_t bound_out(const struct chi_method *m);
uint32_t bound_many(uint32_t out, uint32_t replicas); /* with the statuses of so many containers */

/* submit.c: makes the wake-ups of all submissions so far certain. */
void submit_settle(struct chi_client *c);

/* poll.c: takes in what has come.  An empty poll adds `weight` to a count: each POLL_SETTLE of it the submissions are
 * settled, each POLL_IDLE_MAX leads to a look at the clock, and once in a millisecond at the control socket.  Returns
 * how many tasks ended. */
enum { POLL_SETTLE = 64, POLL_IDLE_MAX = 1024, POLL_WEIGHT_SPIN = 1, POLL_WEIGHT_CALL = 64 };
unsigned poll_once(struct chi_client *c, uint32_t weight);
/* Looks at the control socket at once; ends all open tasks when the daemon has gone (hangup: that is known already).
 * Returns how many. */
unsigned poll_control(struct chi_client *c, bool hangup);

static inline uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
