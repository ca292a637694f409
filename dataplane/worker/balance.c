/* balance.c - looks at the time that each lane took and at what lies on it, and moves lanes off workers that are busier than others (lane/balance.h
 * decides).  Control thread. */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"
#include "lane/balance.h"

CHI_STATIC_ASSERT((int)BALANCE_WORKERS_MAX >= (int)WORKERS_MAX, "all of them");

struct seen { /* of a lane, in the order of the containers */
    struct chi_lane *lane;
    uint64_t used_ns; /* at the last look */
    uint32_t rests;   /* looks for which it stays, as it moved */
};
struct balance {
    uint64_t look_ns; /* when; 0: never */
    uint32_t count;
    struct seen *seen;
    struct balance_lane *lane;
};

static struct balance *balance_make(struct runtime *rt)
{
    struct balance *b = calloc(1, sizeof *b);
    uint32_t count = 0;
    for (struct chi_container *c = rt->sched.all; c; c = c->next)
        for (uint32_t q = 0; q < CHI_QUEUES_MAX; q++)
            count += c->queue[q].count;
    if (!b)
        return NULL;
    b->seen = calloc(count + 1u, sizeof *b->seen);
    b->lane = calloc(count + 1u, sizeof *b->lane);
    if (!b->seen || !b->lane) {
        balance_free(b);
        return NULL;
    }
    for (struct chi_container *c = rt->sched.all; c; c = c->next)
        for (uint32_t q = 0; q < CHI_QUEUES_MAX; q++)
            for (uint32_t i = 0; i < c->queue[q].count; i++)
                b->seen[b->count++].lane = &c->queue[q].lanes[i];
    return b;
}

void balance_free(struct balance *b)
{
    if (!b)
        return;
    free(b->seen);
    free(b->lane);
    free(b);
}

static void look(struct balance *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        struct seen *s = &b->seen[i];
        uint64_t used = __atomic_load_n(&s->lane->used_ns, __ATOMIC_RELAXED);
        uint32_t owner = lane_owner(s->lane);
        b->lane[i] = (struct balance_lane){.used_ns = used - s->used_ns, .owner = owner & ~LANE_MOVES,
                                           .stays = s->lane->fixed || owner & LANE_MOVES || s->rests,
                                           .queued_ns = lane_queued_ns(s->lane)};
        s->used_ns = used;
        s->rests -= s->rests > 0;
    }
}

int runtime_balance(struct runtime *rt, uint64_t now_ns)
{
    struct balance_move moves[BALANCE_MOVES_MAX];
    if (!rt->balance && !(rt->balance = balance_make(rt)))
        return -ENOMEM;
    struct balance *b = rt->balance;
    uint64_t period_ns = now_ns - b->look_ns;
    look(b);
    runtime_ask_load(rt); /* for the next look */
    rt->balance_looks++;
    bool first = b->look_ns == 0;
    b->look_ns = now_ns;
    if (first)
        return 0;
    unsigned n = balance_decide(b->lane, b->count, rt->workers, period_ns, moves);
    for (unsigned i = 0; i < n; i++) {
        struct seen *s = &b->seen[moves[i].lane];
        int rc = runtime_lane_send(rt, s->lane, moves[i].to);
        if (rc) {
            rt->balance_failed++;
            return rc;
        }
        rt->balance_moves++;
        s->rests = BALANCE_RESTS;
    }
    return 0;
}
