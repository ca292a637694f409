/* turn.c - one turn of a worker: its sources in order, each with a budget; and the loop around it. */
#include "carrier.h"
#include "internal.h"

static __thread struct worker *current;

struct worker *worker_current(void) { return current; }
void worker_enter(struct worker *w) { current = w; }

static void turn_begin(struct worker *w)
{
    uint64_t before = w->rctx.now_ns; /* of the last turn, or when its sleep was over */
    w->rctx.now_ns = net_now_ns();    /* the one clock read */
    lanes_draw(w, w->rctx.now_ns - before);
    if (CHI_UNLIKELY(w->rctx.now_ns - before > w->stats.turn_most_ns) && before)
        __atomic_store_n(&w->stats.turn_most_ns, w->rctx.now_ns - before, __ATOMIC_RELAXED);
}

/* Not inline: the loop that calls it may go on by another thread, and what is a thread's own (RCU's, DPDK's) is looked up again in each call. */
__attribute__((noinline)) unsigned worker_turn(struct worker *w)
{
    turn_begin(w);
    w->rctx.wake_ns = UINT64_MAX;
    w->turn_over = false;
    unsigned did = route_inbox(w);
    did += accept_clients(w);
    did += lanes_poll(w);
    return turn_rest(w, did + lanes_run(w));
}

unsigned turn_rest(struct worker *w, unsigned did)
{
    unsigned on = ended_callbacks(w);
    if (CHI_UNLIKELY(w->parked))
        on += wait_go_on(w);
    if (on)
        did += on + lanes_run(w); /* what they submitted still goes out in this turn */
    did += lanes_flush(w);
    route_flush(w);
    if (ready_any(&w->ready) || w->ended || w->told)
        did++; /* what is ready is never slept on */
    w->stats.turns++;
    w->pool = NULL;
    rcu_quiescent_state();
    return did;
}

/* Nothing of this worker's is out, queued or on its way. */
static bool is_quiet(const struct worker *w)
{
    return w->tasks.out == 0 && !ready_any(&w->ready) && !w->ended && !w->told && !route_pending(w);
}

static bool between_turns(struct worker *w, unsigned did)
{
    if (CHI_UNLIKELY(worker_stopping_st(w))) {
        __atomic_store_n(&w->quiet, is_quiet(w), __ATOMIC_RELEASE);
        if (__atomic_load_n(&w->rt->ended, __ATOMIC_ACQUIRE)) {
            w->over = true;
            return false;
        }
    }
    if (carrier_stays(w)) {
        idle_turn(w, did);
        return true;
    }
    w->did = did;
    if (w->loop == &w->fibers.home)
        return false;
    fiber_switch(&w->fibers, &w->fibers.home); /* back when a thread turns it next, this one or another */
    return true;
}

void turn_loop(struct worker *w, unsigned did)
{
    while (w->between(w, did))
        did = worker_turn(w);
}

static void first_loop(void *arg)
{
    struct worker *w = arg;
    turn_loop(w, worker_turn(w));
    fiber_end(&w->fibers, &w->fibers.home);
}

void worker_begin(struct worker *w)
{
    w->between = between_turns;
    w->loop = fiber_try_get(&w->fibers, first_loop, w);
    if (!w->loop)
        w->loop = &w->fibers.home;
    __atomic_store_n(&w->started, true, __ATOMIC_RELEASE);
}
