/* lock.c - locks for tasks (chi/lock.h).
 *
 * A lock is changed by one worker at a time, and no worker waits for another to be done with it.  Who has something to do counts it in `calls`: who
 * finds 0 there is at the lock, does its own, and then what was counted meanwhile, until all that was counted is done (leave).  The others
 * say what they want before they count it: a task that asks puts its record on top of `asked`, and parks; who gives a lock back, or
 * posts or signals, has changed a number.  So what a worker that leaves has not seen is counted, and it does not leave.
 * What an unlocking task did is seen by the next holder: it releases `times`, which the worker at the lock acquires; that one is the next
 * holder, or tells its worker (wait_tell, release), which acquires (take_woken). */
#include "lock.h"

/* --- who holds it.  `root` is written by the worker at the lock while `times` is 0, and never otherwise; `times` is raised from 0 there alone. */

static bool is_held(const struct chi_lock_hold *h) { return __atomic_load_n(&h->times, __ATOMIC_ACQUIRE); }
/* In this order: of a hold that others give back and take meanwhile, the times are not taken for those of the root before. */
static bool is_of(const struct chi_lock_hold *h, uint64_t root) { return is_held(h) && __atomic_load_n(&h->root, __ATOMIC_RELAXED) == root; }

static void hold(struct chi_lock_hold *h, uint64_t root)
{
    __atomic_store_n(&h->root, root, __ATOMIC_RELAXED);
    __atomic_store_n(&h->times, 1, __ATOMIC_RELEASE);
}

/* Once more, where the root holds it already. */
static bool hold_again(struct chi_lock_hold *h, uint64_t root)
{
    if (!is_of(h, root))
        return false;
    __atomic_fetch_add(&h->times, 1, __ATOMIC_ACQ_REL);
    return true;
}

/* Any worker.  False: it is not the root's. */
static bool give_back(struct chi_lock_hold *h, uint64_t root)
{
    uint64_t times = __atomic_load_n(&h->times, __ATOMIC_ACQUIRE);
    if (__atomic_load_n(&h->root, __ATOMIC_RELAXED) != root)
        return false;
    do
        if (!times)
            return false;
    while (!__atomic_compare_exchange_n(&h->times, &times, times - 1, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return true;
}

/* --- what is answered to one who asks: OK, INVALID, or PENDING, it waits.  first: nobody waits before it. */

static enum chi_status ask_mutex(struct chi_mutex *m, uint64_t root, bool first)
{
    if (hold_again(&m->by, root))
        return CHI_STATUS_OK;
    if (!first || is_held(&m->by))
        return CHI_STATUS_PENDING;
    hold(&m->by, root);
    return CHI_STATUS_OK;
}

static enum chi_status ask_write(struct chi_rwlock *l, uint64_t root, bool first)
{
    bool read = false;
    for (int i = 0; i < CHI_RWLOCK_READERS; i++) {
        if (is_of(&l->reader[i], root))
            return CHI_STATUS_INVALID; /* it would wait for itself */
        read |= is_held(&l->reader[i]);
    }
    return ask_mutex(&l->writer, root, first && !read);
}

static enum chi_status ask_read(struct chi_rwlock *l, uint64_t root, bool first)
{
    struct chi_lock_hold *free = NULL;
    if (hold_again(&l->writer.by, root))
        return CHI_STATUS_OK;
    for (int i = 0; i < CHI_RWLOCK_READERS; i++) {
        if (hold_again(&l->reader[i], root))
            return CHI_STATUS_OK;
        if (!is_held(&l->reader[i]))
            free = &l->reader[i];
    }
    if (!first || !free || is_held(&l->writer.by))
        return CHI_STATUS_PENDING;
    hold(free, root);
    return CHI_STATUS_OK;
}

static enum chi_status ask_unit(struct chi_sem *s, bool first)
{
    if (!first || !__atomic_load_n(&s->count, __ATOMIC_ACQUIRE))
        return CHI_STATUS_PENDING;
    __atomic_fetch_sub(&s->count, 1, __ATOMIC_ACQ_REL); /* none else takes off it */
    return CHI_STATUS_OK;
}

static enum chi_status ask(struct chi_lock *l, const struct chi_lock_wait *n, bool first)
{
    switch ((enum lock_want)n->want) {
    case LOCK_MUTEX:
        return ask_mutex((struct chi_mutex *)l, n->root, first);
    case LOCK_READ:
        return ask_read((struct chi_rwlock *)l, n->root, first);
    case LOCK_WRITE:
        return ask_write((struct chi_rwlock *)l, n->root, first);
    case LOCK_UNIT:
        return ask_unit((struct chi_sem *)l, first);
    case LOCK_SIGNAL:
        return n->ticket < __atomic_load_n(&((struct chi_cond *)l)->signals, __ATOMIC_ACQUIRE) ? CHI_STATUS_OK : CHI_STATUS_PENDING;
    }
    CHI_ASSERT(!"a lock of no kind");
    return CHI_STATUS_INVALID;
}

/* --- by the worker that is at the lock */

static void count(struct worker *w, struct chi_lock *l);

/* Any worker: the task waits at this lock from now on. */
static void come(struct worker *w, struct chi_lock *l, struct chi_lock_wait *n)
{
    __atomic_store_n(&n->at, l, __ATOMIC_RELEASE); /* after `want`: pairs with lock_edges_st */
    n->next = __atomic_load_n(&l->asked, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&l->asked, &n->next, n, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) /* pairs with leave */
        ;
    count(w, l);
}

static void append(struct chi_lock *l, struct chi_lock_wait *n)
{
    n->next = NULL;
    *(l->last ? &l->last->next : &l->first) = n;
    l->last = n;
    l->kin += n->kin;
}

/* True when it waits here no longer; n is not looked at then. */
static bool is_served(struct worker *w, struct chi_lock *l, struct chi_lock_wait *n, bool first)
{
    enum chi_status st = __atomic_load_n(&n->given_up, __ATOMIC_RELAXED) ? CHI_STATUS_SHUTDOWN : ask(l, n, first);
    if (st == CHI_STATUS_PENDING)
        return false;
    if (st == CHI_STATUS_OK && n->want == LOCK_SIGNAL) {
        n->want = LOCK_MUTEX;
        come(w, &n->mutex->lock, n);
        return true;
    }
    n->status = (uint8_t)st;
    wait_tell(w, n->worker, n->fiber);
    return true;
}

/* Lets in who may go in now, in order; behind the first that waits on only kin, unless all are to be looked at. */
static void serve(struct worker *w, struct chi_lock *l, bool all)
{
    struct chi_lock_wait *before = NULL, *next;
    for (struct chi_lock_wait *n = l->first; n && (all || !before || l->kin); n = next) {
        bool kin = n->kin;
        next = n->next;
        if (!is_served(w, l, n, !before)) {
            before = n;
            continue;
        }
        *(before ? &before->next : &l->first) = next;
        if (!next)
            l->last = before;
        l->kin -= kin;
    }
}

static void take_asked(struct worker *w, struct chi_lock *l)
{
    struct chi_lock_wait *n = __atomic_exchange_n(&l->asked, NULL, __ATOMIC_ACQUIRE), *first = NULL, *next;
    for (; n; n = next) { /* the last came first */
        next = n->next;
        n->next = first;
        first = n;
    }
    for (; first; first = next) {
        next = first->next;
        if (!is_served(w, l, first, !l->first))
            append(l, first);
    }
}

/* Does what was counted, `calls` so far, and leaves the lock when no more was. */
static void work_off(struct worker *w, struct chi_lock *l, uint64_t calls)
{
    do {
        bool all = __atomic_load_n(&l->given_up, __ATOMIC_RELAXED) && __atomic_exchange_n(&l->given_up, 0, __ATOMIC_ACQUIRE);
        serve(w, l, all);
        if (__atomic_load_n(&l->asked, __ATOMIC_RELAXED))
            take_asked(w, l);
    } while (!__atomic_compare_exchange_n(&l->calls, &calls, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
}

/* Any worker: there is something to do, for who is at the lock or else for the caller. */
static void count(struct worker *w, struct chi_lock *l)
{
    if (!__atomic_fetch_add(&l->calls, 1, __ATOMIC_ACQ_REL))
        work_off(w, l, 1);
}

/* False: another worker is at the lock. */
static bool enter(struct chi_lock *l)
{
    uint64_t none = 0;
    return __atomic_compare_exchange_n(&l->calls, &none, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void leave(struct worker *w, struct chi_lock *l)
{
    uint64_t calls = 1; /* enter's */
    if (!__atomic_compare_exchange_n(&l->calls, &calls, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        work_off(w, l, calls);
}

/* --- tasks that ask */

static struct task *running(const struct worker *w)
{
    CHI_ASSERT(w->task && w->task->state == TASK_RUNNING && "a lock is taken and given back from `run`");
    return w->task;
}

static struct chi_lock_wait wait_of(struct worker *w, enum lock_want want)
{
    const struct task *t = running(w);
    return (struct chi_lock_wait){.worker = w, .fiber = w->fibers.current, .root = task_root(w), .since_ns = w->rctx.now_ns, .want = (uint8_t)want,
                                  .kin = t->rooted == TASK_ROOT_INHERITED};
}

/* Until the wait is over, which may be already. */
static enum chi_status await(struct worker *w, struct chi_lock_wait *n)
{
    list_push(&w->lock_waits, &n->own);
    wait_park(w);
    list_drop(&n->own);
    return (enum chi_status)n->status;
}

static enum chi_status get(struct chi_rctx *r, struct chi_lock *l, enum lock_want want)
{
    struct worker *w = r->worker;
    struct chi_lock_wait me = wait_of(w, want);
    enum chi_status st = CHI_STATUS_PENDING;
    bool at_once = enter(l);
    if (at_once)
        st = ask(l, &me, !l->first);
    if (st == CHI_STATUS_PENDING && wait_possible(w) != CHI_STATUS_OK)
        st = wait_possible(w);
    if (st == CHI_STATUS_PENDING && !at_once) {
        come(w, l, &me);
    } else {
        if (st == CHI_STATUS_PENDING) {
            me.at = l;
            append(l, &me);
        }
        if (at_once)
            leave(w, l);
    }
    return st == CHI_STATUS_PENDING ? await(w, &me) : st;
}

/* Of a lock that has a holder: what a task takes is counted, as it is to give it back. */
static enum chi_status get_held(struct chi_rctx *r, struct chi_lock *l, enum lock_want want)
{
    struct worker *w = r->worker;
    if (running(w)->locks == UINT8_MAX)
        return CHI_STATUS_TOO_BIG;
    enum chi_status st = get(r, l, want);
    if (st == CHI_STATUS_OK) {
        w->task->locks++;
        w->unusual = true;
    }
    return st;
}

/* Of the holds, n of them, the one that is the root's. */
static enum chi_status put_held(struct chi_rctx *r, struct chi_lock *l, struct chi_lock_hold *h, int n)
{
    struct worker *w = r->worker;
    struct task *t = running(w);
    uint64_t root = task_root(w);
    for (int i = 0; i < n && t->locks; i++)
        if (give_back(&h[i], root)) {
            t->locks--;
            count(w, l);
            return CHI_STATUS_OK;
        }
    return CHI_STATUS_INVALID;
}

enum chi_status chi_mutex_lock(struct chi_rctx *r, struct chi_mutex *m) { return get_held(r, &m->lock, LOCK_MUTEX); }
enum chi_status chi_mutex_unlock(struct chi_rctx *r, struct chi_mutex *m) { return put_held(r, &m->lock, &m->by, 1); }
enum chi_status chi_rwlock_read(struct chi_rctx *r, struct chi_rwlock *l) { return get_held(r, &l->writer.lock, LOCK_READ); }
enum chi_status chi_rwlock_write(struct chi_rctx *r, struct chi_rwlock *l) { return get_held(r, &l->writer.lock, LOCK_WRITE); }
enum chi_status chi_rwlock_unlock(struct chi_rctx *r, struct chi_rwlock *l)
{
    enum chi_status st = put_held(r, &l->writer.lock, &l->writer.by, 1);
    return st == CHI_STATUS_OK ? st : put_held(r, &l->writer.lock, l->reader, CHI_RWLOCK_READERS);
}

enum chi_status chi_sem_wait(struct chi_rctx *r, struct chi_sem *s) { return get(r, &s->lock, LOCK_UNIT); }
void chi_sem_post(struct chi_rctx *r, struct chi_sem *s)
{
    __atomic_fetch_add(&s->count, 1, __ATOMIC_ACQ_REL);
    count(r->worker, &s->lock);
}

enum chi_status chi_cond_wait(struct chi_rctx *r, struct chi_cond *c, struct chi_mutex *m)
{
    struct worker *w = r->worker;
    struct chi_lock_wait me = wait_of(w, LOCK_SIGNAL);
    if (!is_of(&m->by, me.root) || __atomic_load_n(&m->by.times, __ATOMIC_RELAXED) != 1 || !w->task->locks)
        return CHI_STATUS_INVALID;
    enum chi_status st = wait_possible(w);
    if (st == CHI_STATUS_NO_MEMORY)
        return st;
    if (st == CHI_STATUS_OK) {
        me.mutex = m;
        me.ticket = __atomic_fetch_add(&c->waits, 1, __ATOMIC_ACQ_REL);
        come(w, &c->lock, &me);
    }
    enum chi_status given = chi_mutex_unlock(r, m);
    CHI_ASSERT(given == CHI_STATUS_OK);
    if (st == CHI_STATUS_OK)
        st = await(w, &me);
    if (st == CHI_STATUS_OK)
        w->task->locks++;
    return st;
}

static void signal_to(struct chi_rctx *r, struct chi_cond *c, bool all)
{
    uint64_t signals = __atomic_load_n(&c->signals, __ATOMIC_ACQUIRE), to;
    do {
        uint64_t waits = __atomic_load_n(&c->waits, __ATOMIC_ACQUIRE);
        if (signals == waits)
            return;
        to = all ? waits : signals + 1;
    } while (!__atomic_compare_exchange_n(&c->signals, &signals, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    count(r->worker, &c->lock);
}
void chi_cond_signal(struct chi_rctx *r, struct chi_cond *c) { signal_to(r, c, false); }
void chi_cond_broadcast(struct chi_rctx *r, struct chi_cond *c) { signal_to(r, c, true); }

void lock_give_up_all(struct worker *w)
{
    for (struct link *p = w->lock_waits.next; p != &w->lock_waits; p = p->next) {
        struct chi_lock_wait *n = LIST_ENTRY(p, struct chi_lock_wait, own);
        struct chi_lock *l = __atomic_load_n(&n->at, __ATOMIC_RELAXED);
        __atomic_store_n(&n->given_up, true, __ATOMIC_RELAXED);
        __atomic_store_n(&l->given_up, 1, __ATOMIC_RELEASE);
        count(w, l);
    }
}

/* --- who waits for whom */

struct edges {
    struct cycle_edge *at;
    unsigned count, max;
};

static void edge(struct edges *es, const struct chi_lock_wait *from, uint64_t to, const struct chi_lock *over)
{
    if (es->count < es->max)
        es->at[es->count++] = (struct cycle_edge){.from = from->root, .to = to, .over = over};
}

static void edges_of(struct edges *es, const struct chi_lock_wait *n, const struct chi_lock *l)
{
    const struct chi_lock_wait *at = l->first, *before = NULL;
    for (; at && at->root != n->root; at = at->next)
        before = at;
    if (at != n) /* on its way; or its root waits before it already, and takes it along */
        return;
    if (before)
        edge(es, n, before->root, l);
    const struct chi_mutex *m = (const struct chi_mutex *)l;
    if (is_held(&m->by))
        edge(es, n, m->by.root, l);
    if (n->want == LOCK_MUTEX)
        return;
    const struct chi_lock_hold *reader = ((const struct chi_rwlock *)m)->reader;
    for (int i = 0; i < CHI_RWLOCK_READERS; i++)
        if (is_held(&reader[i]))
            edge(es, n, reader[i].root, l);
}

unsigned lock_edges_st(struct worker *w, struct cycle_edge *out, unsigned max)
{
    CHI_ASSERT(w == worker_current());
    struct edges es = {.at = out, .max = max};
    for (struct link *p = w->lock_waits.next; p != &w->lock_waits; p = p->next) {
        struct chi_lock_wait *n = LIST_ENTRY(p, struct chi_lock_wait, own);
        struct chi_lock *l = __atomic_load_n(&n->at, __ATOMIC_ACQUIRE);
        if (!enter(l))
            continue;
        if (n->want == LOCK_MUTEX || n->want == LOCK_READ || n->want == LOCK_WRITE)
            edges_of(&es, n, l);
        leave(w, l);
    }
    return es.count;
}
