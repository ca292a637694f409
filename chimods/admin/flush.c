/* flush.c - a flush by its waves (worker/flush.h): the node that keeps the order leads one at a time, from wave to wave, over all nodes that it knows; each
 * node passes a wave on to its workers, as a task for a lane of each. */
#include <string.h>

#include "inner.h"
#include "worker/flush.h"

enum { PAUSE_LEAST_US = 20, PAUSE_MOST_US = 1000 /* between two counts */ };

/* --- one worker */

static enum chi_status give_way(struct chi_rctx *r, const struct chi_task *task)
{
    enum chi_status st = chi_task_cancelled(r, task);
    return st == CHI_STATUS_OK ? chi_yield(r) : st;
}

static enum chi_status mark_here(struct admin_wave *t, struct chi_rctx *r)
{
    struct census at;
    enum chi_status st = CHI_STATUS_OK;
    flush_begin_st(r->worker, t->id, t->all, (struct chi_pool_id){t->major, t->minor}, &at);
    while (st == CHI_STATUS_OK && flush_mark_st(r->worker, &at))
        st = give_way(r, &t->task);
    return st;
}

static enum chi_status count_here(struct admin_wave *t, struct chi_rctx *r)
{
    struct flush_count c;
    enum chi_status st = CHI_STATUS_OK;
    if (!flush_count_begin_st(r->worker, t->id, &c))
        return CHI_STATUS_MOVED; /* it restarted, or another one leads */
    while (st == CHI_STATUS_OK && flush_count_st(r->worker, &c))
        st = give_way(r, &t->task);
    t->open = c.open;
    t->came = c.came;
    return st;
}

static enum chi_status wave_here(struct admin_wave *t, struct chi_rctx *r)
{
    switch (t->phase) {
    case FLUSH_MARKING:
        return mark_here(t, r);
    case FLUSH_COUNTING:
        return count_here(t, r);
    case FLUSH_NONE:
        flush_end_st(r->worker, t->id);
        return CHI_STATUS_OK;
    default:
        return CHI_STATUS_INVALID;
    }
}

/* --- one node */

static void copy(struct admin_wave *to, const struct admin_wave *from)
{
    to->id = from->id;
    to->phase = from->phase;
    to->all = from->all;
    to->major = from->major;
    to->minor = from->minor;
}

static void add(struct admin_wave *sum, const struct admin_wave *t)
{
    sum->open += t->open;
    sum->came += t->came;
}

/* How many containers have work of their own. */
static uint64_t ask_modules(struct admin_wave *t, struct chi_rctx *r)
{
    const struct sched *s = &r->worker->rt->sched;
    uint64_t n = 0;
    struct cds_lfht_iter it;
    cds_lfht_first(s->containers, &it);
    for (struct cds_lfht_node *k; (k = cds_lfht_iter_get_node(&it)); cds_lfht_next(s->containers, &it)) {
        struct chi_container *c = caa_container_of(k, struct chi_container, node);
        const struct chi_pool_id *id = &c->pool->id;
        if (c->ops->monitor && (t->all || (id->major == t->major && id->minor == t->minor)))
            n += c->ops->monitor(c, CHI_FLUSH_WORK, &t->task, r) == CHI_STATUS_PENDING;
    }
    return n;
}

/* To the workers, as many at once as there are records for. */
static enum chi_status wave_on_node(struct admin_wave *t, struct chi_container *c, struct chi_rctx *r)
{
    enum chi_status first = CHI_STATUS_OK, st;
    for (uint32_t k = 0, workers = chi_container_workers(c); k < workers && first == CHI_STATUS_OK;) {
        struct chi_task *out[ADMIN_AT_ONCE];
        unsigned n = 0;
        for (struct admin_wave *s; n < ADMIN_AT_ONCE && k < workers && (s = (struct admin_wave *)chi_task_new(r, &admin_wave_method)); k++) {
            copy(s, t);
            s->worker = k + 1;
            s->task.pool = t->task.pool;
            s->task.query = chi_local();
            s->task.timeout_us = t->task.timeout_us;
            out[n++] = &s->task;
            chi_task_submit(r, &s->task, NULL, NULL);
        }
        if (n == 0)
            return CHI_STATUS_NO_MEMORY;
        st = chi_task_wait(r, out, n);
        if (st != CHI_STATUS_OK) /* they are given back as they end */
            return st;
        for (unsigned i = 0; i < n; i++) {
            first = first == CHI_STATUS_OK ? (enum chi_status)out[i]->status : first;
            add(t, (struct admin_wave *)out[i]);
            chi_task_del(r, out[i]);
        }
    }
    if (first == CHI_STATUS_OK && t->phase == FLUSH_COUNTING)
        t->open += ask_modules(t, r);
    return first;
}

struct chi_lane *flush_lane(struct chi_container *c, const struct chi_task *task)
{
    uint32_t worker = ((const struct admin_wave *)task)->worker;
    return worker ? chi_container_lane(c, ADMIN_QUEUE_WORKERS, worker - 1) : NULL;
}

enum chi_status flush_wave(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct admin_wave *t = (struct admin_wave *)task;
    t->open = t->came = 0;
    if (t->worker)
        return chi_rctx_worker(r) == t->worker - 1 ? wave_here(t, r) : CHI_STATUS_INVALID;
    return wave_on_node(t, c, r);
}

/* --- all nodes */

struct flush {
    struct admin_wave *wave; /* what each of them gets, and the sum of what they say */
    struct chi_flush_task *task;
};

static void fill_wave(struct admin_job *j, struct chi_task *task)
{
    copy((struct admin_wave *)task, ((struct flush *)j->user)->wave);
}
static enum chi_status take_wave(struct admin_job *j, struct admin_node *n, struct chi_task *task)
{
    struct flush *f = j->user;
    enum chi_status st = task ? (enum chi_status)task->status : CHI_STATUS_NO_MEMORY;
    if (st == CHI_STATUS_OK)
        add(f->wave, (struct admin_wave *)task);
    else if (!f->task->node)
        f->task->node = n->id;
    return st;
}

static enum chi_status wave(struct admin_job *j, enum flush_phase phase, uint32_t limit_ms)
{
    struct admin_wave *t = ((struct flush *)j->user)->wave;
    t->phase = (uint32_t)phase;
    t->open = t->came = 0;
    return nodes_each(j, &admin_wave_method, limit_ms, NULL, fill_wave, take_wave);
}

/* What is left of the flush's time, rounded up: no wave is longer. */
static uint32_t left_ms(const struct chi_flush_task *f)
{
    uint64_t until = task_of((struct chi_task *)(uintptr_t)&f->task)->deadline_ns, now = net_now_ns();
    uint64_t ms = until > now ? (until - now) / 1000000 + 1 : 1;
    if (until == UINT64_MAX) /* another node passed it on, and looks at it */
        ms = f->task.timeout_us ? f->task.timeout_us / 1000 + 1 : ADMIN_WAVE_MS;
    return ms < ADMIN_WAVE_MS ? (uint32_t)ms : ADMIN_WAVE_MS;
}

/* Until two counts in a row are zero, between which nothing came. */
static enum chi_status count_down(struct admin_job *j, struct chi_flush_task *f)
{
    const struct admin_wave *sum = ((struct flush *)j->user)->wave;
    uint64_t came = 0, pause_us = PAUSE_LEAST_US;
    bool was_zero = false;
    for (;;) {
        enum chi_status st = chi_task_cancelled(j->r, &f->task);
        if (st == CHI_STATUS_OK)
            st = wave(j, FLUSH_COUNTING, left_ms(f));
        if (st != CHI_STATUS_OK)
            return st;
        f->counts++;
        if (was_zero && sum->open == 0 && sum->came == came)
            return CHI_STATUS_OK;
        was_zero = sum->open == 0;
        came = sum->came;
        if (was_zero) /* the second count comes at once */
            continue;
        st = chi_sleep_us(j->r, pause_us);
        if (st != CHI_STATUS_OK)
            return st;
        pause_us = 2 * pause_us < PAUSE_MOST_US ? 2 * pause_us : PAUSE_MOST_US;
    }
}

static enum chi_status flush_lead(struct admin_job *j, struct chi_flush_task *f, uint64_t id)
{
    struct admin_wave w = {.id = id, .all = f->all, .major = f->major, .minor = f->minor};
    struct flush all = {&w, f};
    if (!f->all && !sched_pool_find(&j->r->worker->rt->sched, (struct chi_pool_id){f->major, f->minor}))
        return CHI_STATUS_NO_POOL;
    j->user = &all;
    nodes_know(j);
    enum chi_status st = wave(j, FLUSH_MARKING, left_ms(f));
    if (st == CHI_STATUS_OK)
        st = count_down(j, f);
    uint32_t node = f->node;
    (void)wave(j, FLUSH_NONE, ADMIN_ASK_MS); /* a node that does not hear it stays in this flush until the next one: it costs it a comparison a task */
    f->node = node;
    return st;
}

enum chi_status flush_in_turn(struct flush_state *s, struct chi_task *task, struct chi_rctx *r)
{
    struct chi_flush_task *f = (struct chi_flush_task *)task;
    enum chi_status st = chi_sem_wait(r, &s->turn);
    if (st != CHI_STATUS_OK)
        return st;
    struct admin_job *j = chi_mem_get(r, sizeof *j);
    st = j ? chi_task_cancelled(r, task) : CHI_STATUS_NO_MEMORY; /* it may have waited for long */
    if (st == CHI_STATUS_OK) {
        memset(j, 0, sizeof *j);
        j->r = r;
        f->node = f->counts = 0;
        f->end = flush_lead(j, f, r->worker->rt->options.incarnation + ++s->count); /* rises from start to start */
    }
    if (j)
        chi_mem_put(r, j, sizeof *j);
    chi_sem_post(r, &s->turn);
    return st;
}
