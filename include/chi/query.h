/* query.h - domain queries: which containers of a pool a task is for. */
#ifndef CHI_QUERY_H
#define CHI_QUERY_H

#include "chi/status.h"

/* Numbers are frozen: they travel.  A task for several containers (RANGE, BROADCAST) runs once in each: docs/RUNTIME.md. */
enum chi_query_kind {
    CHI_QUERY_LOCAL = 1,       /* the container on the node where the task is submitted, the first one of several */
    CHI_QUERY_DIRECT_ID = 2,   /* value: container */
    CHI_QUERY_DIRECT_HASH = 3, /* value: hash, taken modulo the number of containers */
    CHI_QUERY_RANGE = 4,       /* value: first container, count: how many */
    CHI_QUERY_BROADCAST = 5,
    CHI_QUERY_PHYSICAL = 6,    /* value: node id; its first container */
    CHI_QUERY_DYNAMIC = 7,     /* the container's monitor decides (CHI_GLOBAL_SCHEDULE) */
};

/* For tests: a task that stays on its node goes through the archives all the same, as one that comes from another node does: chi_as_away. */
enum { CHI_AS_AWAY = 1 };

struct chi_query {
    uint32_t kind;  /* enum chi_query_kind */
    uint32_t count; /* RANGE: how many.  Else 0, or CHI_AS_AWAY */
    uint64_t value;
};

CHI_BEGIN

static inline struct chi_query chi_query_make(enum chi_query_kind kind, uint64_t value)
{
    struct chi_query q = {(uint32_t)kind, 0, value};
    return q;
}
static inline struct chi_query chi_local(void) { return chi_query_make(CHI_QUERY_LOCAL, 0); }
static inline struct chi_query chi_direct(uint64_t container) { return chi_query_make(CHI_QUERY_DIRECT_ID, container); }
static inline struct chi_query chi_hash(uint64_t hash) { return chi_query_make(CHI_QUERY_DIRECT_HASH, hash); }
static inline struct chi_query chi_physical(uint32_t node) { return chi_query_make(CHI_QUERY_PHYSICAL, node); }
static inline struct chi_query chi_broadcast(void) { return chi_query_make(CHI_QUERY_BROADCAST, 0); }
static inline struct chi_query chi_range(uint64_t first, uint32_t count)
{
    struct chi_query q = {CHI_QUERY_RANGE, count, first};
    return q;
}
static inline struct chi_query chi_dynamic(void) { return chi_query_make(CHI_QUERY_DYNAMIC, 0); }

/* The same query, and a task whose container is here is saved there and loaded into another record for it, and its outputs back: the module gets what the
 * archives make of it, in other memory; a region that goes back is a buffer of its own, one that only comes in the submitter's.  So a test on one node
 * finds what a table or a function of its method leaves out.  It runs and ends as else, but for the lane that a hash picks, and the statuses of archives
 * (ARCHIVE, INVALID, TOO_BIG) and NO_MEMORY, for which it takes one record more.  It also travels, and means nothing where it arrives.  RANGE and BROADCAST
 * are so anyway. */
static inline struct chi_query chi_as_away(struct chi_query q)
{
    if (q.kind != CHI_QUERY_RANGE && q.kind != CHI_QUERY_BROADCAST)
        q.count = CHI_AS_AWAY;
    return q;
}

/* Reads `local`, `direct:3`, `hash:0x9e37`, `range:0+16`, `broadcast`, `physical:2`, `dynamic`.
 * Returns OK, or INVALID and leaves *out alone.  Any thread. */
CHI_API CHI_MUST_CHECK enum chi_status chi_query_parse(const char *text, struct chi_query *out);

/* Writes the same form, NUL-terminated, cut at cap; returns the length that it needs without the NUL.  40 bytes suffice. */
CHI_API size_t chi_query_format(const struct chi_query *q, char *out, size_t cap);

CHI_END
#endif
