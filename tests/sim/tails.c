/* tails.c - ports that send the last bytes of a packet from where they lie: each may look at them until later, and says when it did.
 * Until then they must be as they were, whatever became of their message. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

struct tail {
    struct tail *next;
    uint64_t until_ns;
    const uint8_t *bytes;
    uint32_t *users;
    uint32_t length;
    uint8_t was[];
};

void tail_take(struct endpoint *e, struct xfer_packet *p)
{
    struct world *w = e->w;
    struct tail *t = malloc(sizeof *t + p->tail_length);
    if (!t)
        abort();
    *t = (struct tail){.next = e->tails, .bytes = p->tail, .users = p->tail_users, .length = p->tail_length};
    t->until_ns = w->now + sim_draw(&w->host, 0, w->o.attach_us * SIM_US);
    memcpy(t->was, p->tail, p->tail_length);
    memcpy(p->data + p->length - p->tail_length, p->tail, p->tail_length);
    if (!e->tails || t->until_ns < e->tails_ns)
        e->tails_ns = t->until_ns;
    e->tails = t;
    CHECK(w, *p->tail_users > 0, e->node, p->tail_length);
}

void tails_let_go(struct endpoint *e, uint64_t now)
{
    if (!e->tails || now < e->tails_ns)
        return;
    e->tails_ns = UINT64_MAX;
    for (struct tail **at = &e->tails; *at;) {
        struct tail *t = *at;
        if (t->until_ns > now) {
            at = &t->next;
            if (t->until_ns < e->tails_ns)
                e->tails_ns = t->until_ns;
            continue;
        }
        CHECK(e->w, !memcmp(t->bytes, t->was, t->length), e->node, t->length);
        --*t->users;
        *at = t->next;
        free(t);
    }
}

void tails_forget(struct endpoint *e)
{
    while (e->tails) {
        struct tail *t = e->tails;
        e->tails = t->next;
        free(t);
    }
}
