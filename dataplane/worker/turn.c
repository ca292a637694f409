/* turn.c - one turn of a worker: its sources in order, each with a budget; and the thread around it. */
#include <sys/prctl.h>

#include "internal.h"

static __thread struct worker *current;

struct worker *worker_current(void) { return current; }
void worker_enter(struct worker *w) { current = w; }

static void turn_begin(struct worker *w)
{
    uint64_t before = w->rctx.now_ns; /* of the last turn, or when its sleep was over */
    w->rctx.now_ns = net_now_ns();    /* the one clock read */
    if (CHI_UNLIKELY(w->rctx.now_ns - before > w->stats.turn_most_ns) && before)
        __atomic_store_n(&w->stats.turn_most_ns, w->rctx.now_ns - before, __ATOMIC_RELAXED);
}

unsigned worker_turn(struct worker *w)
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
        if (__atomic_load_n(&w->rt->ended, __ATOMIC_ACQUIRE))
            return false;
    }
    idle_turn(w, did);
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

void *worker_main(void *arg)
{
    struct worker *w = arg;
    worker_enter(w);
    prctl(PR_SET_TIMERSLACK, 1000UL); /* sleeps of 50 us mean that */
    rcu_register_thread();
    int rc = w->rt->net ? net_thread_attach() : 0;
    CHI_ASSERT(rc == 0); /* as many as workers were reserved at start */
    __atomic_store_n(&w->started, true, __ATOMIC_RELEASE);
    w->between = between_turns;
    w->loop = fiber_try_get(&w->fibers, first_loop, w);
    if (w->loop) {
        fiber_switch(&w->fibers, w->loop); /* back at the end */
    } else { /* without stacks no task waits */
        w->loop = &w->fibers.home;
        turn_loop(w, worker_turn(w));
    }
    if (w->rt->net)
        net_thread_detach();
    rcu_unregister_thread();
    return NULL;
}
