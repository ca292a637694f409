/* balance.h - which lanes go to which worker, so that none is much busier than another.  Decides; moves nothing.  No clock, no memory of its own.
 * Any thread.  Cost: lanes times moves. */
#pragma once
#include "chi/base.h"

enum { BALANCE_WORKERS_MAX = 64, BALANCE_MOVES_MAX = 4 /* in one look */ };
/* In parts of the time between two looks. */
enum { BALANCE_BUSY_PART = 2 /* a half: a worker that is less busy keeps its lanes */, BALANCE_GAP_PART = 4 /* a quarter: less of a difference stays */ };

struct balance_lane {
    uint64_t used_ns;   /* since the last look */
    uint32_t owner;     /* below workers */
    bool stays;         /* fixed, on its way, or moved a short while ago */
    uint64_t queued_ns; /* that the tasks on it are likely to take: counts like what was used.  So low that the sum of all cannot overflow */
};
struct balance_move {
    uint32_t lane, to; /* index of the lane; worker */
};

/* At most BALANCE_MOVES_MAX moves, in out; returns how many.  Each goes from the worker that is busiest to the one that is least busy, counting those
 * before it, and makes the difference of these two smaller by BALANCE_GAP_PART of the time at least: so that what a move brings is no noise, and no
 * next look takes it back.  Pre: workers is 1..BALANCE_WORKERS_MAX. */
unsigned balance_decide(const struct balance_lane *lanes, uint32_t count, uint32_t workers, uint64_t period_ns, struct balance_move *out);
