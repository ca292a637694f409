/* tails.c - ports that send the last bytes of a packet from where they lie: each may look at them until later, and says when it did.
 * Until then they must be as they were, whatever became of their message. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

struct tail {
    uint64_t until_ns;
    const uint8_t *bytes;
    uint32_t *users;
    uint32_t length;
    uint8_t was[];
};

static void put(struct endpoint *e, struct tail *t)
{
    if (e->tail_count == e->tail_room) {
        e->tail_room = e->tail_room ? 2 * e->tail_room : 64;
        e->tails = realloc(e->tails, e->tail_room * sizeof *e->tails);
        if (!e->tails)
            abort();
    }
    uint32_t at = e->tail_count++;
    for (; at && e->tails[(at - 1) / 2]->until_ns > t->until_ns; at = (at - 1) / 2)
        e->tails[at] = e->tails[(at - 1) / 2];
    e->tails[at] = t;
}

/* Takes out the first one. */
static struct tail *take(struct endpoint *e)
{
    struct tail *first = e->tails[0], *last = e->tails[--e->tail_count];
    uint32_t at = 0;
    for (uint32_t child; (child = 2 * at + 1) < e->tail_count; at = child) {
        if (child + 1 < e->tail_count && e->tails[child + 1]->until_ns < e->tails[child]->until_ns)
            child++;
        if (last->until_ns <= e->tails[child]->until_ns)
            break;
        e->tails[at] = e->tails[child];
    }
    e->tails[at] = last;
    return first;
}

void tail_take(struct endpoint *e, struct xfer_packet *p)
{
    struct world *w = e->w;
    struct tail *t = mem_get(sizeof *t + p->tail_length);
    *t = (struct tail){.bytes = p->tail, .users = p->tail_users, .length = p->tail_length};
    t->until_ns = w->now + sim_draw(&w->host, 0, w->o.attach_us * SIM_US);
    memcpy(t->was, p->tail, p->tail_length);
    memcpy(p->data + p->length - p->tail_length, p->tail, p->tail_length);
    put(e, t);
    CHECK(w, *p->tail_users > 0, e->node, p->tail_length);
}

void tails_let_go(struct endpoint *e, uint64_t now)
{
    while (e->tail_count && e->tails[0]->until_ns <= now) {
        struct tail *t = take(e);
        CHECK(e->w, !memcmp(t->bytes, t->was, t->length), e->node, t->length);
        --*t->users;
        mem_put(t);
    }
}

void tails_forget(struct endpoint *e)
{
    while (e->tail_count)
        mem_put(e->tails[--e->tail_count]);
    free(e->tails);
    e->tails = NULL;
    e->tail_room = 0;
}
