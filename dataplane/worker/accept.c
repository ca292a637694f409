/* accept.c - from a serialised form to a task: of a client, or of another node. */
#include "archive/flat.h"
#include "archive/form.h"
#include "internal.h"
#include "sched/spread.h"

/* The task's fields from a form's body: length bytes. */
static inline enum chi_status load_body(struct chi_method *m, struct chi_task *pub, const uint8_t *body, uint32_t length,
                                        struct chi_ar_region *regions, uint32_t nregions)
{
    if (CHI_LIKELY(!nregions && flat_load(flat_run(m, false), pub, body, length)))
        return CHI_STATUS_OK;
    struct chi_archive ar; /* an INPUT archive never writes to its bytes */
    chi_ar_init(&ar, CHI_AR_INPUT_IN, (uint8_t *)body, length, regions, nregions);
    return chi_ar_task(&ar, m, pub);
}

/* A task with its body loaded from a form, or NULL and why.  Regions are those of the caller; NONE of them is owned. */
CHI_INLINE struct task *load_task(struct worker *w, const struct sched_pool *pool, const struct form_head *h, const uint8_t *form,
                                  uint32_t length, struct chi_ar_region *regions, enum chi_status *st)
{
    struct chi_method *m = sched_method(pool->module, h->method);
    if (!m) {
        *st = CHI_STATUS_NO_METHOD;
        return NULL;
    }
    if (m->hash != h->schema) {
        *st = CHI_STATUS_SCHEMA;
        return NULL;
    }
    struct task *t = task_try_get(&w->tasks, m->size);
    if (!t) {
        *st = CHI_STATUS_NO_MEMORY;
        return NULL;
    }
    struct chi_task *pub = task_body_clear(t, m->size);
    pub->pool = h->pool;
    pub->query = h->query;
    pub->timeout_us = h->timeout_us;
    pub->status = CHI_STATUS_PENDING;
    pub->method = m;
    t->method = m;
    t->home = w;
    t->nregions = h->regions;
    uint32_t prefix = form_prefix_bytes(h->regions);
    *st = load_body(m, pub, form + prefix, length - prefix, regions, h->regions);
    if (CHI_LIKELY(*st == CHI_STATUS_OK))
        return t;
    task_put(&w->tasks, t);
    return NULL;
}

struct task *accept_load(struct worker *w, const struct sched_pool *pool, const struct form_head *h, const uint8_t *form, uint32_t length,
                         struct chi_ar_region *regions, enum chi_status *st)
{
    return load_task(w, pool, h, form, length, regions, st);
}

static uint64_t deadline_of(const struct worker *w, uint32_t timeout_us)
{
    return w->rctx.now_ns + (timeout_us ? timeout_us * 1000ULL : w->rt->options.task_timeout_ns);
}

/* --- clients */

static enum chi_status client_regions(struct worker *w, struct ipc_channel *ch, const struct form_head *h, struct chi_ar_region *out)
{
    for (uint32_t k = 0; k < h->regions; k++) {
        const struct form_region *f = &h->region[k];
        out[k] = (struct chi_ar_region){.size = f->size, .flags = f->flags};
        out[k].ptr = ipc_region_st(ch, f->place, f->size);
        if (!out[k].ptr) {
            w->drops[CHI_DROP_CLIENT_REGION]++;
            return CHI_STATUS_INVALID;
        }
    }
    return CHI_STATUS_OK;
}

static void client_origin(struct worker *w, struct task *t, struct ipc_channel *ch, const struct ipc_request *rq, uint32_t timeout_us)
{
    t->origin = TASK_CLIENT;
    t->waits = 0;
    t->home = w;
    t->from.client.channel = ch;
    t->from.client.request = *rq;
    t->deadline_ns = deadline_of(w, timeout_us);
}

/* The form goes on as it came: no load, no save. */
static enum chi_status client_pass_on(struct worker *w, struct ipc_channel *ch, const struct ipc_request *rq,
                                      const struct form_head *h, const uint8_t *form, uint32_t node)
{
    struct task *t = task_try_get(&w->tasks, rq->form_length);
    if (!t)
        return CHI_STATUS_NO_MEMORY;
    enum chi_status st = CHI_STATUS_OK;
    if (h->regions)
        st = task_regions_get(&w->tasks, t) ? client_regions(w, ch, h, t->regions) : CHI_STATUS_NO_MEMORY;
    if (st == CHI_STATUS_OK) {
        memcpy(task_form(t), form, rq->form_length);
        form_clear_places(task_form(t), h->regions);
        t->form_length = rq->form_length;
        t->nregions = h->regions;
        client_origin(w, t, ch, rq, h->timeout_us);
        st = route_away(w, t, node);
    }
    if (st != CHI_STATUS_OK)
        task_put(&w->tasks, t);
    return st;
}

/* Loaded here: for a container of this node (local, or NULL as its query says that it goes through the archives), for several, or because only the module's monitor knows where it belongs. */
static enum chi_status client_load(struct worker *w, struct ipc_channel *ch, const struct ipc_request *rq, const struct form_head *h,
                                   const uint8_t *form, const struct sched_pool *pool, struct chi_container *local)
{
    struct chi_ar_region regions[CHI_REGIONS_MAX];
    enum chi_status st = client_regions(w, ch, h, regions);
    if (st != CHI_STATUS_OK)
        return st;
    struct task *t = load_task(w, pool, h, form, rq->form_length, regions, &st);
    if (!t)
        return st;
    if (h->regions) { /* kept: a region's place and size are checked once */
        if (task_regions_get(&w->tasks, t))
            memcpy(t->regions, regions, h->regions * sizeof regions[0]);
        else
            st = CHI_STATUS_NO_MEMORY;
    }
    client_origin(w, t, ch, rq, h->timeout_us);
    if (st == CHI_STATUS_OK)
        st = local ? route_local(w, t, local) : route_task(w, t, pool);
    if (st != CHI_STATUS_OK)
        task_put(&w->tasks, t);
    return st;
}

static enum chi_status client_task(struct worker *w, struct ipc_channel *ch, const struct ipc_request *rq, const uint8_t *form)
{
    const struct form_head *h = &ch->head;
    if (CHI_UNLIKELY(h->waits)) /* a client does not say */
        return CHI_STATUS_INVALID;
    const struct sched_pool *pool = worker_pool(w, h->pool);
    if (!pool)
        return CHI_STATUS_NO_POOL;
    if (h->query.kind == CHI_QUERY_DYNAMIC || query_is_for_several(&h->query))
        return client_load(w, ch, rq, h, form, pool, NULL);
    struct sched_target target;
    enum chi_status st = sched_resolve(&w->rt->sched, pool, &h->query, &target);
    if (st != CHI_STATUS_OK)
        return st;
    if (target.local)
        return client_load(w, ch, rq, h, form, pool, h->query.count ? NULL : target.local);
    return client_pass_on(w, ch, rq, h, form, target.node);
}

/* Of a client that says whether it waits; all that is to be known of its end. */
void accept_ended(struct worker *w, struct ipc_channel *ch, const struct ipc_request *rq, enum chi_status st, const void *body, uint32_t length)
{
    if (CHI_UNLIKELY(rq->post)) {
        w->stats.posts_failed += st != CHI_STATUS_OK;
        length = 0;
    }
    ipc_complete_st(ch, rq, st, body, length);
}

static inline void accept_one(struct worker *w, struct ipc_channel *ch, const struct ipc_request *rq)
{
    w->stats.tasks_client++;
    w->stats.posts += rq->post;
    enum chi_status st = worker_stopping_st(w) ? CHI_STATUS_SHUTDOWN : client_task(w, ch, rq, w->scratch);
    if (st != CHI_STATUS_OK)
        accept_ended(w, ch, rq, st, NULL, 0);
}

/* The client has gone: what it posted before still runs, what it would have waited for does not. */
__attribute__((noinline)) static unsigned accept_rest(struct worker *w, struct ipc_channel *ch)
{
    unsigned n = 0;
    struct ipc_request rq;
    for (bool got = true; ch->rest && n < WORKER_CLIENT_BUDGET && task_pools_ready(&w->tasks); n++, ch->rest--) {
        enum chi_drop d = ipc_take_st(ch, w->scratch, &rq, &got);
        if (!got) {
            ch->rest = 0;
            break;
        }
        if (d != CHI_DROP_NONE)
            w->drops[d]++;
        else if (rq.post)
            accept_one(w, ch, &rq);
        else
            ipc_complete_st(ch, &rq, CHI_STATUS_DISCONNECTED, NULL, 0);
    }
    return n;
}

static unsigned accept_client(struct worker *w, struct ipc_channel *ch)
{
    unsigned n = 0;
    struct ipc_request rq;
    bool got;
    while (n < WORKER_CLIENT_BUDGET) {
        if (CHI_UNLIKELY(!task_pools_ready(&w->tasks))) {
            ipc_settle_st(ch); /* its task waits in its own ring: back-pressure, not a status */
            break;
        }
        enum chi_drop d = ipc_take_st(ch, w->scratch, &rq, &got);
        if (!got)
            break;
        n++;
        if (d != CHI_DROP_NONE) {
            w->drops[d]++;
            continue;
        }
        accept_one(w, ch, &rq);
    }
    return n;
}

unsigned accept_clients(struct worker *w)
{
    unsigned n = 0;
    for (struct ipc_channel *ch = w->channels; ch; ch = ch->next)
        if (CHI_LIKELY(!ch->detached))
            n += accept_client(w, ch);
        else if (ch->rest)
            n += accept_rest(w, ch);
    return n;
}

/* --- other nodes */

/* The container of this node that a task from another node is for; NULL and why not: the nodes' tables differ, and a task never travels
 * twice. */
static struct chi_container *container_here(struct worker *w, const struct sched_pool *pool, const struct chi_query *q, enum chi_status *st)
{
    const struct sched *s = &w->rt->sched;
    struct chi_container *first = sched_local(pool);
    if (CHI_LIKELY(q->kind == CHI_QUERY_PHYSICAL && q->value == s->node_id && first))
        return first;
    struct sched_target target;
    *st = sched_resolve(s, pool, q, &target);
    if (*st == CHI_STATUS_OK && !target.local)
        *st = CHI_STATUS_NO_CONTAINER;
    return *st == CHI_STATUS_OK ? target.local : NULL;
}

/* A part of a task for several containers. */
__attribute__((noinline)) static enum chi_status remote_part(struct worker *w, struct xfer_in *in, const struct sched_pool *pool,
                                                             const struct form_head *h, const uint8_t *form, uint32_t length)
{
    const struct sched_table *table = sched_table(pool);
    struct spread part;
    enum chi_status st = spread_read(table, &h->query, w->rt->options.node_id, &part);
    struct task *t = st == CHI_STATUS_OK ? load_task(w, pool, h, form, length, in->regions, &st) : NULL;
    if (!t)
        return st;
    t->origin = TASK_REMOTE;
    t->from.remote.in = in;
    t->waits = h->waits;
    t->deadline_ns = deadline_of(w, h->timeout_us);
    task_public(t)->query = chi_range(part.first, part.count);
    in->user = t;
    if (w->flushing)
        flush_accept_remote(w, t, form);
    st = fan_begin(w, t, table, &part);
    if (st == CHI_STATUS_OK)
        return st;
    in->user = NULL;
    task_put(&w->tasks, t);
    return st;
}

CHI_INLINE enum chi_status remote_task(struct worker *w, struct xfer_in *in, const uint8_t *form, uint32_t length)
{
    struct form_head h;
    enum chi_status st;
    if (form_decode(form, length, &h) != CHI_DROP_NONE)
        return CHI_STATUS_ARCHIVE;
    const struct sched_pool *pool = worker_pool(w, h.pool);
    if (!pool)
        return CHI_STATUS_NO_POOL;
    struct chi_container *c = container_here(w, pool, &h.query, &st);
    if (!c)
        return h.query.kind == FORM_QUERY_SPREAD ? remote_part(w, in, pool, &h, form, length) : st;
    struct task *t = load_task(w, pool, &h, form, length, in->regions, &st);
    if (!t)
        return st;
    t->origin = TASK_REMOTE;
    t->from.remote.in = in;
    t->waits = h.waits;
    t->deadline_ns = UINT64_MAX;
    in->user = t;
    if (CHI_UNLIKELY(w->flushing))
        flush_accept_remote(w, t, form);
    st = route_onto(w, t, c, w->index, true);
    if (CHI_LIKELY(st == CHI_STATUS_OK))
        return st;
    in->user = NULL;
    task_put(&w->tasks, t);
    return st;
}

void accept_remote(void *ctx, struct xfer_in *in, const uint8_t *form, uint32_t length)
{
    struct worker *w = ctx;
    w->stats.tasks_remote++;
    enum chi_status st = remote_task(w, in, form, length);
    if (CHI_UNLIKELY(st != CHI_STATUS_OK))
        xfer_answer_last(w->xfer, in, st, 0, w->rctx.now_ns);
}
