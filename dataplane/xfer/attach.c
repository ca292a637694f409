/* attach.c - bytes of regions that go from where they lie: a packet that ends in them refers to them, instead of having a copy.
 *
 * The host says to which addresses it can send such packets.  That they arrive whole is not for it to know: so one goes, and the others
 * are copied until it was acknowledged; ATTACH_TRIES lost ones, and none goes to that address any more.  Later, when many in a row are lost,
 * it is to be proved again.
 *
 * What a packet refers to stays its message's until the host has let go of all such packets, whatever became of the message: its XFER_DONE
 * or XFER_ANSWERED waits for that. */
#include "xfer_int.h"

enum { ATTACH_TRIES = 3, ATTACH_DOUBT = 16 };
static const uint64_t LOOK_NS = 20000; /* how often to look whether the host let go */

bool attach_may(const struct xfer_session *s)
{
    const struct xfer *x = s->x;
    const struct attach *a = &s->attach;
    return x->attaches && (a->proved || (!a->trial && a->lost < ATTACH_TRIES)) && x->attaches(x->host.ctx, &s->addr);
}

void xfer_attach(struct xfer *x, bool (*attaches)(void *ctx, const struct xfer_addr *to)) { x->attaches = attaches; }

void attach_sent(struct xfer_session *s, uint64_t number)
{
    if (!s->attach.proved)
        s->attach.trial = number;
}

void attach_acked(struct xfer_session *s) { s->attach = (struct attach){.proved = true}; }

void attach_lost(struct xfer_session *s, uint64_t number)
{
    struct attach *a = &s->attach;
    if (a->proved ? ++a->lost == ATTACH_DOUBT : a->trial == number) {
        a->lost = a->proved ? 0 : (uint8_t)(a->lost + 1);
        a->proved = false;
        a->trial = 0;
    }
}

/* Takes out of x->kept what may end now, and puts the rest back. */
static void done_tick(struct xfer *x)
{
    struct xfer_out *m = x->kept;
    x->kept = NULL;
    while (m) {
        struct xfer_out *next = m->next;
        if (attach_tails(&m->tails)) {
            m->next = x->kept;
            x->kept = m;
        } else {
            out_done(x, m);
        }
        m = next;
    }
}

void attach_tick(struct xfer *x)
{
    if (CHI_UNLIKELY(x->kept))
        done_tick(x);
    for (struct link *l = x->whole.next, *next; l != &x->whole; l = next) {
        next = l->next;
        struct out_slot *o = flow_out(LIST_ENTRY(l, struct flow, link));
        if (!attach_tails(&o->m->tails))
            out_whole(o);
    }
    for (struct link *l = x->leaving.next, *next; l != &x->leaving; l = next) {
        next = l->next;
        struct msg_in *in = LIST_ENTRY(l, struct msg_in, link);
        if (!attach_tails(&in->tails))
            in_leave(x, in);
    }
}

uint64_t attach_deadline(const struct xfer *x)
{
    return x->kept || !list_empty(&x->whole) || !list_empty(&x->leaving) ? x->tick_ns + LOOK_NS : UINT64_MAX;
}
