/* impaired.h - the injector of impair/ over mbufs: bursts go in, those that are due come out.  For dataplane/net alone.
 * Thread: the worker that polls the port; created and destroyed while it does not.  Memory: the heap, at create. */
#pragma once
#include <rte_mbuf.h>

#include "impair/impair.h"

struct impaired {
    struct impair im;
    struct rte_mempool *pool; /* for copies */
    uint32_t length_max;      /* of a frame; longer ones are dropped */
    bool shared;              /* who takes the packets only reads them: a packet and its duplicate may be one mbuf */
    struct impair_slot slots[];
};

/* A perfect link for at most `held` packets under way.  NULL: no memory. */
struct impaired *impaired_create(uint64_t seed, uint32_t held, struct rte_mempool *pool, uint32_t length_max,
                                 bool shared);
/* Frees what is under way too.  NULL is allowed. */
void impaired_destroy(struct impaired *q);

/* Takes n packets in and gives at most `room` that are due, in out; in == out is allowed.  Returns how many. */
unsigned impaired_pass_st(struct impaired *q, struct rte_mbuf **in, unsigned n, uint64_t now_ns, struct rte_mbuf **out,
                          unsigned room);
