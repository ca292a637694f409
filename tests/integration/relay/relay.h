/* relay.h - ChiMod of the tests, of which there are several versions: tasks that submit tasks of their own pool and wait for them. */
#pragma once
#include "chi/archive.h"

enum { RELAY_TREE = 1, RELAY_COUNT = 2, RELAY_PARK = 3, RELAY_FREE = 4, RELAY_NAP = 5, RELAY_TICK = 6, RELAY_TICKED = 7 };

/* tree: submits `width` of a `depth` one lower and waits for them, in turn on nodes `low` and `high`; sum: how many there were. */
struct relay_tree {
    struct chi_task task;
    uint32_t depth, width, low, high; /* IN */
#ifdef RELAY_OTHER_FIELDS
    uint32_t more; /* IN */
#endif
    uint64_t sum; /* OUT */
};
CHI_FIELDS(relay_tree_fields) = {
    CHI_IN(U32, struct relay_tree, depth), CHI_IN(U32, struct relay_tree, width), CHI_IN(U32, struct relay_tree, low), CHI_IN(U32, struct relay_tree, high),
#ifdef RELAY_OTHER_FIELDS
    CHI_IN(U32, struct relay_tree, more),
#endif
    CHI_OUT(U64, struct relay_tree, sum),
};
CHI_METHOD_VAR(relay_tree_method) = CHI_METHOD(RELAY_TREE, struct relay_tree, relay_tree_fields);

/* count: trees that ran in this container so far, whatever the version; and which one this is. */
struct relay_count {
    struct chi_task task;
    uint64_t runs, upgrades; /* OUT */
    uint64_t ticks;          /* OUT: of this version */
    uint32_t version;        /* OUT */
};
CHI_FIELDS(relay_count_fields) = {CHI_OUT(U64, struct relay_count, runs), CHI_OUT(U64, struct relay_count, upgrades),
                                  CHI_OUT(U64, struct relay_count, ticks), CHI_OUT(U32, struct relay_count, version)};
CHI_METHOD_VAR(relay_count_method) = CHI_METHOD(RELAY_COUNT, struct relay_count, relay_count_fields);

/* nap: sleeps 200 ms, and is a tree then. */
CHI_METHOD_VAR(relay_nap_method) = CHI_METHOD(RELAY_NAP, struct relay_tree, relay_tree_fields);
/* tick: starts a periodic task of this container, each 500 us, for good. */
CHI_METHOD_VAR(relay_tick_method) = CHI_METHOD(RELAY_TICK, struct relay_count, relay_count_fields);
CHI_METHOD_VAR(relay_ticked_method) = CHI_METHOD(RELAY_TICKED, struct relay_count, relay_count_fields);

/* park: until a `free` came, which is a tree's head of no depth.  One at a time. */
CHI_METHOD_VAR(relay_park_method) = CHI_METHOD(RELAY_PARK, struct relay_count, relay_count_fields);
CHI_METHOD_VAR(relay_free_method) = CHI_METHOD(RELAY_FREE, struct relay_count, relay_count_fields);
