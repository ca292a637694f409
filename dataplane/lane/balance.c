#include "balance.h"

struct pair {
    uint32_t busy, idle;
    uint64_t gap; /* between the two */
};

static struct pair extremes(const uint64_t *load, uint32_t workers)
{
    struct pair p = {0};
    for (uint32_t w = 1; w < workers; w++) {
        if (load[w] > load[p.busy])
            p.busy = w;
        if (load[w] < load[p.idle])
            p.idle = w;
    }
    p.gap = load[p.busy] - load[p.idle];
    return p;
}

/* What a lane took, and what it is about to take. */
static uint64_t load_of(const struct balance_lane *l) { return l->used_ns + l->queued_ns; }

/* By how much the difference shrinks. */
static uint64_t gain(uint64_t gap, uint64_t lane) { return lane >= gap ? 0 : 2 * (lane < gap - lane ? lane : gap - lane); }

static bool is_taken(const struct balance_move *moves, unsigned n, uint32_t lane)
{
    for (unsigned i = 0; i < n; i++)
        if (moves[i].lane == lane)
            return true;
    return false;
}

unsigned balance_decide(const struct balance_lane *lanes, uint32_t count, uint32_t workers, uint64_t period_ns, struct balance_move *out)
{
    uint64_t load[BALANCE_WORKERS_MAX] = {0};
    unsigned n = 0;
    CHI_ASSERT(workers >= 1 && workers <= BALANCE_WORKERS_MAX);
    for (uint32_t i = 0; i < count; i++)
        load[lanes[i].owner] += load_of(&lanes[i]);
    while (n < BALANCE_MOVES_MAX) {
        struct pair p = extremes(load, workers);
        uint32_t best = count;
        if (load[p.busy] < period_ns / BALANCE_BUSY_PART)
            break;
        for (uint32_t i = 0; i < count; i++)
            if (lanes[i].owner == p.busy && !lanes[i].stays && !is_taken(out, n, i) &&
                (best == count || gain(p.gap, load_of(&lanes[i])) > gain(p.gap, load_of(&lanes[best]))))
                best = i;
        if (best == count || gain(p.gap, load_of(&lanes[best])) < period_ns / BALANCE_GAP_PART)
            break;
        out[n++] = (struct balance_move){best, p.idle};
        load[p.busy] -= load_of(&lanes[best]);
        load[p.idle] += load_of(&lanes[best]);
    }
    return n;
}
