/* control.c - see control.h. */
#include "control.h"

#include "internal.h"
#include "pools.h"

int control_init(struct runtime *rt) { return doorbell_init(&rt->control_bell); }
void control_fini(struct runtime *rt) { doorbell_fini(&rt->control_bell); }
int runtime_control_fd(const struct runtime *rt) { return rt->control_bell.event_fd; }

enum chi_status control_call_st(struct worker *w, struct control_call *c)
{
    CHI_ASSERT(w == worker_current());
    enum chi_status st = wait_possible(w);
    if (st != CHI_STATUS_OK)
        return st;
    c->worker = w;
    c->fiber = w->fibers.current;
    c->status = CHI_STATUS_PENDING;
    c->next = __atomic_load_n(&w->rt->control_calls, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&w->rt->control_calls, &c->next, c, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) /* pairs with take */
        ;
    doorbell_wake(&w->rt->control_bell);
    wait_park(w);
    return c->status;
}

void control_end(struct control_call *c, enum chi_status st)
{
    c->status = st;
    if (c->worker)
        wait_tell(NULL, c->worker, c->fiber);
}

/* In the order in which they came. */
static struct control_call *take(struct runtime *rt)
{
    struct control_call *c = __atomic_exchange_n(&rt->control_calls, NULL, __ATOMIC_ACQUIRE), *first = NULL, *next;
    for (; c; c = next) {
        next = c->next;
        c->next = first;
        first = c;
    }
    return first;
}

unsigned runtime_control(struct runtime *rt, uint64_t now_ns)
{
    bool stops = __atomic_load_n(&rt->stopping, __ATOMIC_RELAXED);
    doorbell_drain(&rt->control_bell);
    for (struct control_call *c = take(rt), *next; c; c = next) {
        next = c->next;
        if (stops)
            control_end(c, CHI_STATUS_SHUTDOWN);
        else
            c->begin(rt, c);
    }
    return pools_step(rt, now_ns);
}
