/* wait.c - tasks that wait (chi/chimod.h).
 *
 * A task runs on the stack of the loop that turns its worker.  When it waits, that stack is left as it is, with the frames of the turn below the
 * task's, and another one turns the worker from here on: it ends the turn, and begins the next.  When the wait is over the loop switches to the
 * stack that was left; when the task's run then returns, the frames below it are of a turn that is long over, so that run_each (lanes.c) goes back
 * to the loop and never returns into them.  So a task that never waits costs a comparison.
 * Whoever ends a wait puts the fiber into `told`, from another thread into `woken`, and rings; nothing is polled but the first of the timers.
 * Periodic tasks (periodic.c) and watched ones (watch.c) are looked at in the same step. */
#include <errno.h>
#include <stdlib.h>

#include "background.h"
#include "lock.h"

struct waiter { /* on the stack of a task that waits; its subtasks name it */
    struct fiber *fiber;
    uint32_t missing;
    struct timer timer;
};
/* `from.module.arg` of a task without a `done` says who waits for it.  While it is out, nothing else of it is the waiter's to look at: it may run on
 * another worker.  NULL: it is not out. */
static struct waiter not_yet, nobody, posted; /* out, and no wait began; out, and given up; out, and nobody was ever to wait */

int wait_init(struct worker *w)
{
    w->told_tail = &w->told;
    list_init(&w->lock_waits);
    list_init(&w->watched);
    w->watch_ns = UINT64_MAX;
    uint32_t stacks = w->rt->options.stacks;
    int rc = fibers_init(&w->fibers, stacks ? stacks + 1 : 0, w->rt->options.stack_bytes); /* the loop has one too */
    w->loop = &w->fibers.home;
    if (rc)
        return rc;
    w->sleeps.heap = calloc((size_t)stacks + 2, sizeof *w->sleeps.heap);
    return w->sleeps.heap ? 0 : -ENOMEM;
}

void wait_fini(struct worker *w)
{
    fibers_fini(&w->fibers);
    free(w->sleeps.heap);
}

static void tell(struct worker *w, struct fiber *f)
{
    f->next = NULL;
    *w->told_tail = f;
    w->told_tail = &f->next;
}

/* The stack that turns the worker from here on. */
static void loop_on(void *arg)
{
    struct worker *w = arg;
    lanes_charge(w, w->lane);
    if (w->lane->head) /* it was being run */
        ready_add(&w->ready, w->lane);
    turn_loop(w, turn_rest(w, 1 + lanes_run(w)));
    fiber_end(&w->fibers, &w->fibers.home);
}

static bool can_wait(const struct worker *w) { return w->fibers.current != w->loop || fiber_ready(&w->fibers); }

enum chi_status wait_possible(const struct worker *w)
{
    return worker_stopping_st(w) ? CHI_STATUS_SHUTDOWN : can_wait(w) ? CHI_STATUS_OK : CHI_STATUS_NO_MEMORY;
}

/* Pre: *to is empty. */
static void move_unwaited(struct task **to, struct task **from)
{
    if ((*to = *from))
        (*to)->from.module.at = to;
    *from = NULL;
}

void wait_park(struct worker *w)
{
    struct task *t = w->task, *unwaited = NULL;
    struct chi_lane *lane = w->lane;
    CHI_ASSERT(t && t->state == TASK_RUNNING);
    move_unwaited(&unwaited, &w->unwaited);
    load_waits(w);
    w->stats.waits++;
    if (w->fibers.current == w->loop)
        w->loop = fiber_try_get(&w->fibers, loop_on, w);
    w->stats.stacks_most = w->fibers.most;
    w->task = NULL;
    w->unusual = false;
    w->parked++;
    fiber_switch(&w->fibers, w->loop);
    w->parked--;
    w->unusual = true;
    w->task = t;
    w->lane = lane;
    move_unwaited(&w->unwaited, &unwaited);
}

void wait_tell(struct worker *w, struct worker *of, struct fiber *f)
{
    if (of == w) {
        tell(w, f);
        return;
    }
    f->next = __atomic_load_n(&of->woken, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&of->woken, &f->next, f, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) /* pairs with take_woken */
        ;
    if (w) {
        w->rung |= 1ULL << of->index; /* at the end of the turn */
        return;
    }
    doorbell_fence();
    doorbell_ring(&of->bell);
}

/* Those that other threads told, in the order in which they did. */
static void take_woken(struct worker *w)
{
    struct fiber *f = wait_came(w) ? __atomic_exchange_n(&w->woken, NULL, __ATOMIC_ACQUIRE) : NULL, *first = NULL, *next;
    for (; f; f = next) {
        next = f->next;
        f->next = first;
        first = f;
    }
    for (; first; first = next) {
        next = first->next;
        tell(w, first);
    }
}

void wait_leave(struct worker *w, unsigned n)
{
    w->stats.tasks_run += n;
    w->task = NULL;
    fiber_end(&w->fibers, w->loop);
}

unsigned wait_go_on(struct worker *w)
{
    bool all = worker_stopping_st(w);
    if (CHI_UNLIKELY(all))
        lock_give_up_all(w);
    take_woken(w);
    while (timers_next(&w->sleeps) <= w->rctx.now_ns || (all && w->sleeps.count)) {
        struct timer *t = w->sleeps.heap[1];
        timers_later(&w->sleeps, t, UINT64_MAX);
        tell(w, LIST_ENTRY(t, struct waiter, timer)->fiber);
    }
    struct fiber *f = w->told, *next;
    unsigned n = 0;
    w->told = NULL;
    w->told_tail = &w->told;
    for (; f; f = next, n++) {
        next = f->next; /* it may end, or wait again */
        fiber_switch(&w->fibers, f);
    }
    chi_rctx_wake_at(&w->rctx, timers_next(&w->sleeps));
    return n + periodic_go_on(w) + watch_go_on(w);
}

/* --- what is waited for */

bool wait_task_ended(struct worker *w, struct task *t)
{
    struct waiter *by = t->from.module.arg;
    if (by == &posted && task_public(t)->status != CHI_STATUS_OK)
        w->stats.posts_failed++;
    if (by == &nobody || by == &posted)
        return false;
    t->from.module.arg = NULL;
    LEDGER(ledger_return(&w->tasks.ledger, &t->entry));
    t->state = TASK_NEW; /* the caller's again */
    if (by != &not_yet && --by->missing == 0)
        tell(w, by->fiber);
    return true;
}

void wait_begin(struct worker *w, struct task *t)
{
    CHI_ASSERT(w->task && "a task without a `done` that nobody can wait for");
    t->from.module.arg = &not_yet;
    t->from.module.next = w->unwaited;
    t->from.module.at = &w->unwaited;
    if (w->unwaited)
        w->unwaited->from.module.at = &t->from.module.next;
    w->unwaited = t;
    w->unusual = true;
}

void wait_never(struct task *t) { t->from.module.arg = &posted; }

static void give_up(struct worker *w, struct task *t)
{
    if (t->from.module.arg)
        t->from.module.arg = &nobody;
    else
        task_put(&w->tasks, t);
}

void wait_give_up(struct worker *w)
{
    for (struct task *t; (t = w->unwaited);) {
        wait_settled(t);
        give_up(w, t);
    }
}

enum chi_status chi_task_wait(struct chi_rctx *r, struct chi_task *const *tasks, unsigned n)
{
    struct worker *w = r->worker;
    struct waiter me = {.fiber = w->fibers.current};
    for (unsigned i = 0; i < n; i++) {
        struct task *t = task_of(tasks[i]);
        CHI_ASSERT(t->origin == TASK_MODULE && t->home == w && !t->from.module.done);
        wait_settled(t);
        if (!t->from.module.arg)
            continue;
        CHI_ASSERT(t->from.module.arg == &not_yet);
        t->from.module.arg = &me;
        me.missing++;
    }
    if (!me.missing)
        return CHI_STATUS_OK;
    if (!can_wait(w)) {
        for (unsigned i = 0; i < n; i++)
            give_up(w, task_of(tasks[i]));
        return CHI_STATUS_NO_MEMORY;
    }
    wait_park(w);
    return CHI_STATUS_OK;
}

/* Of a task that nobody but its worker tells to go on. */
static enum chi_status gone_on(const struct worker *w) { return worker_stopping_st(w) ? CHI_STATUS_SHUTDOWN : CHI_STATUS_OK; }

enum chi_status chi_yield(struct chi_rctx *r)
{
    struct worker *w = r->worker;
    if (!can_wait(w))
        return CHI_STATUS_NO_MEMORY;
    tell(w, w->fibers.current);
    wait_park(w);
    return gone_on(w);
}

enum chi_status chi_sleep_us(struct chi_rctx *r, uint64_t us)
{
    struct worker *w = r->worker;
    struct waiter me = {.fiber = w->fibers.current};
    uint64_t ns = us < UINT64_MAX / 2000 ? us * 1000 : UINT64_MAX / 2; /* about 292 years */
    if (!can_wait(w))
        return CHI_STATUS_NO_MEMORY;
    timers_set(&w->sleeps, &me.timer, r->now_ns + ns);
    wait_park(w);
    return gone_on(w);
}

enum chi_status chi_offload(struct chi_rctx *r, void (*fn)(void *arg), void *arg)
{
    struct background *b = r->worker->rt->background;
    return b ? background_call_st(b, r->worker, fn, arg) : CHI_STATUS_UNSUPPORTED;
}
