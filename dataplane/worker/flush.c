/* flush.c - see flush.h. */
#include "flush.h"

#include "chi/flush.h"
#include "internal.h"
#include "wire/le.h"

static const struct chi_pool_id ADMIN = {CHI_ADMIN_MAJOR, 0}; /* it flushes */

static bool same(struct chi_pool_id a, struct chi_pool_id b) { return a.major == b.major && a.minor == b.minor; }

static struct chi_pool_id pool_of(struct task *t)
{
    if (t->method)
        return task_public(t)->pool;
    const uint8_t *form = task_form(t);
    return (struct chi_pool_id){le32_get(form), le32_get(form + 4)};
}

static bool is_meant(const struct worker *w, struct task *t)
{
    struct chi_pool_id pool = pool_of(t);
    return !same(pool, ADMIN) && (w->flush.all || same(pool, w->flush.pool));
}

static enum task_age age_of(const struct task *t) { return (enum task_age)__atomic_load_n(&t->age, __ATOMIC_RELAXED); }

static void become(struct worker *w, struct task *t, bool old)
{
    __atomic_store_n(&t->age, old ? TASK_OLD : TASK_FRESH, __ATOMIC_RELAXED);
    w->flush.old += old;
}

void flush_accept(struct worker *w, struct task *t)
{
    const struct task *by = t->origin == TASK_REPLICA ? fan_whole(t) : t->origin == TASK_MODULE ? w->task : NULL;
    bool old = w->flushing == FLUSH_MARKING || (by ? age_of(by) == TASK_OLD : t->origin == TASK_MODULE && w->old_cause);
    become(w, t, old && is_meant(w, t));
}

/* Of few numbers.  A form that is still on its way from a flush before: the next one of its pool waits for its task, so three that were given up, or of other pools,
 * would have to pass on the way of one packet before it is taken for younger than one that it is not. */
static uint32_t number_of(uint64_t id) { return (uint32_t)(id % FORM_FRESH_MAX) + 1; }

void flush_accept_remote(struct worker *w, struct task *t, const uint8_t *form)
{
    become(w, t, form_fresh(form) != number_of(w->flush.id) && is_meant(w, t));
}

void flush_cause(struct worker *w, const struct task *t) { w->old_cause = age_of(t) == TASK_OLD; }

uint32_t flush_says(const struct worker *w, const struct task *t)
{
    return w->flushing == FLUSH_COUNTING && age_of(t) == TASK_FRESH ? number_of(w->flush.id) : 0;
}

/* --- marking */

static void mark(struct worker *w, struct task *t, void *arg)
{
    uint8_t was = (uint8_t)age_of(t), now = is_meant(w, t) ? TASK_OLD : TASK_FRESH;
    (void)arg;
    while (was != TASK_EXEMPT && !__atomic_compare_exchange_n(&t->age, &was, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ; /* its run made it exempt */
}

void flush_begin_st(struct worker *w, uint64_t id, bool all, struct chi_pool_id pool, struct census *c)
{
    CHI_ASSERT(w == worker_current());
    w->flush = (struct worker_flush){.id = id, .pool = pool, .all = all};
    w->flushing = FLUSH_MARKING;
    for (struct ipc_channel *ch = w->channels; ch; ch = ch->next)
        ch->flush_until = ch->submit_at + ch->depth;
    census_begin(w, c);
}

/* What lay in the clients' rings when it began has been taken. */
static bool clients_came(const struct worker *w)
{
    for (const struct ipc_channel *ch = w->channels; ch; ch = ch->next)
        if ((!ch->detached || ch->rest) && ch->submit_at < ch->flush_until && ipc_waiting_st(ch))
            return false;
    return true;
}

bool flush_mark_st(struct worker *w, struct census *c) { return census_slice_st(w, c, mark, NULL) || !clients_came(w); }

/* --- counting */

bool flush_count_begin_st(struct worker *w, uint64_t id, struct flush_count *c)
{
    CHI_ASSERT(w == worker_current());
    if (w->flush.id != id || !w->flushing)
        return false;
    w->flushing = FLUSH_COUNTING;
    *c = (struct flush_count){.came = w->flush.old};
    census_begin(w, &c->at);
    return true;
}

static void count(struct worker *w, struct task *t, void *arg)
{
    static const bool is_open[] = {[TASK_QUEUED] = true, [TASK_RUNNING] = true, [TASK_WAITING] = true, [TASK_AWAY] = true, [TASK_SPREAD] = true,
                                   [TASK_ENDED] = true, [TASK_RESTING] = false};
    (void)w;
    ((struct flush_count *)arg)->open += is_open[task_state(t)] && age_of(t) == TASK_OLD;
}

bool flush_count_st(struct worker *w, struct flush_count *c) { return census_slice_st(w, &c->at, count, c); }

void flush_end_st(struct worker *w, uint64_t id)
{
    CHI_ASSERT(w == worker_current());
    if (w->flush.id == id)
        w->flushing = FLUSH_NONE;
}

/* --- for modules */

void flush_exempt(struct task *t, bool exempt)
{
    __atomic_store_n(&t->age, exempt ? TASK_EXEMPT : TASK_FRESH, __ATOMIC_RELAXED);
}

enum chi_status chi_flush(struct chi_rctx *r, const struct chi_pool_id *pool, uint32_t timeout_us)
{
    struct task *me = r->worker->task;
    struct chi_flush_task *f = (struct chi_flush_task *)chi_task_new(r, &chi_flush_method);
    CHI_ASSERT(me); /* from its run */
    if (!f)
        return CHI_STATUS_NO_MEMORY;
    struct chi_task *task = &f->task;
    chi_flush_init(f, pool, timeout_us);
    flush_exempt(me, true);
    chi_task_submit(r, task, NULL, NULL);
    enum chi_status st = chi_task_wait(r, &task, 1);
    flush_exempt(me, false);
    if (st != CHI_STATUS_OK)
        return st;
    st = chi_flush_status(f);
    chi_task_del(r, task);
    return st;
}
