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

struct chi_query {
    uint32_t kind;  /* enum chi_query_kind */
    uint32_t count; /* RANGE only, else 0 */
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

/* Reads `local`, `direct:3`, `hash:0x9e37`, `range:0+16`, `broadcast`, `physical:2`, `dynamic`.
 * Returns OK, or INVALID and leaves *out alone.  Any thread. */
CHI_API CHI_MUST_CHECK enum chi_status chi_query_parse(const char *text, struct chi_query *out);

/* Writes the same form, NUL-terminated, cut at cap; returns the length that it needs without the NUL.  40 bytes suffice. */
CHI_API size_t chi_query_format(const struct chi_query *q, char *out, size_t cap);

CHI_END
#endif
