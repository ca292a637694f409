/* fan.c - tasks for several containers: one replica for each of this node's, one part for each of some other nodes, which do the same with theirs
 * (sched/spread.h); and their ends.
 *
 * Every container has a place in the fan, in the order of the members, and there its status.  A part has consecutive places, so that its answer is
 * the outputs and then the statuses of its places, in order.  What became of outputs: fan_merge.c.
 * All of a fan is its home worker's; replicas run on the lanes of any. */
#include "fan.h"

enum { FAN_RUNNING = 128 }; /* replicas of a fan on lanes of this node at once: each takes a record */

/* --- regions of replicas and parts */

static bool is_own_buffer(const struct chi_ar_region *r) { return (r->flags & CHI_EXPOSE) && !(r->flags & CHI_SLICED) && r->size; }

static void drop_regions(struct worker *w, const struct chi_ar_region *regions, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++)
        if (is_own_buffer(&regions[k]))
            buddy_put(w->memory, regions[k].ptr, regions[k].size);
}

/* Those of n places: of a sliced region their slices; what comes in is the whole's own; what goes back gets a buffer that the module merges,
 * or that is copied when it ended. */
static bool take_regions(struct worker *w, const struct fan *f, uint32_t at, uint32_t n, struct chi_ar_region *out)
{
    for (uint32_t k = 0; k < f->head.regions; k++) {
        const struct chi_ar_region *r = &f->region[k];
        out[k] = *r;
        if ((r->flags & CHI_SLICED) && r->size) {
            out[k].ptr = (uint8_t *)r->ptr + r->size / f->size * at;
            out[k].size = r->size / f->size * n;
        } else if (is_own_buffer(r)) {
            out[k].ptr = buddy_try_get(w->memory, r->size);
            if (!out[k].ptr) {
                drop_regions(w, out, k);
                return false;
            }
            if (r->flags & CHI_WRITE)
                memcpy(out[k].ptr, r->ptr, r->size);
        }
    }
    return true;
}

/* --- replicas on this node */

static void fill(struct fan *f, uint32_t at, uint32_t n, enum chi_status st)
{
    for (uint32_t i = 0; i < n; i++)
        f->status[at + i] = (uint16_t)st;
    merge_nothing(f, at, n);
}

static struct task *make_replica(struct worker *w, struct fan *f, uint32_t at, enum chi_status *st)
{
    struct chi_ar_region regions[CHI_REGIONS_MAX];
    *st = CHI_STATUS_NO_MEMORY;
    if (!take_regions(w, f, at, 1, regions))
        return NULL;
    struct task *t = accept_load(w, f->pool, &f->head, f->form, f->form_length, regions, st);
    if (t && f->head.regions) {
        if (task_regions_get(&w->tasks, t)) {
            memcpy(t->regions, regions, f->head.regions * sizeof regions[0]);
        } else {
            *st = CHI_STATUS_NO_MEMORY;
            task_put(&w->tasks, t);
            t = NULL;
        }
    }
    if (!t)
        drop_regions(w, regions, f->head.regions);
    return t;
}

static enum chi_status start_replica(struct worker *w, struct fan *f, uint32_t i)
{
    uint32_t id = f->ids[i], at = f->self_at + i;
    struct chi_container *c = sched_container_find(&w->rt->sched, f->pool->id, id);
    enum chi_status st = (enum chi_status)__atomic_load_n(&f->whole->cancelled, __ATOMIC_RELAXED);
    if (worker_stopping_st(w))
        st = CHI_STATUS_SHUTDOWN;
    if (!c)
        st = CHI_STATUS_NO_CONTAINER;
    struct task *t = st == CHI_STATUS_OK ? make_replica(w, f, at, &st) : NULL;
    if (!t)
        return st;
    task_public(t)->query = chi_direct(id);
    t->origin = TASK_REPLICA;
    t->from.replica.fan = f;
    t->from.replica.at = at;
    t->deadline_ns = f->whole->deadline_ns;
    t->waits = f->whole->waits;
    if (f->whole->rooted) { /* a subtask's: they enter where it does (chi/lock.h) */
        t->rooted = TASK_ROOT_INHERITED;
        t->root = f->whole->root;
    }
    st = route_onto(w, t, c, id, false);
    if (st != CHI_STATUS_OK) {
        drop_regions(w, t->regions, t->nregions);
        task_put(&w->tasks, t);
        return st;
    }
    w->stats.replicas++;
    f->out++;
    f->running++;
    return CHI_STATUS_OK;
}

/* Starts what may run now.  Pre: the caller counts as one that is out. */
static void go_on(struct worker *w, struct fan *f)
{
    for (; f->next < f->here && f->running < FAN_RUNNING; f->next++) {
        enum chi_status st = start_replica(w, f, f->next);
        if (st == CHI_STATUS_NO_MEMORY && f->running)
            return; /* when one of those ends there is some */
        if (st != CHI_STATUS_OK)
            fill(f, f->self_at + f->next, 1, st);
    }
}

/* One that was out is not any more. */
static void leave(struct worker *w, struct fan *f)
{
    if (--f->out == 0)
        merge_finish(w, f);
}

void fan_replica_ended(struct worker *w, struct task *t)
{
    struct fan *f = t->from.replica.fan;
    uint32_t at = t->from.replica.at;
    enum chi_status st = (enum chi_status)task_public(t)->status;
    if (st == CHI_STATUS_OK)
        st = merge_replica(w, f, t, at);
    if (st != CHI_STATUS_OK)
        fill(f, at, 1, st);
    drop_regions(w, t->regions, t->nregions);
    ended_free(w, t);
    f->running--;
    go_on(w, f);
    leave(w, f);
}

/* --- parts of other nodes */

/* The form as it travels: of this part. */
static void part_form(const struct worker *w, const struct fan *f, const struct spread *part, struct task *t)
{
    struct form_head h = f->head;
    uint64_t now = w->rctx.now_ns, left = f->whole->deadline_ns > now ? (f->whole->deadline_ns - now) / 1000 : 0;
    h.query = spread_query(f->table, part);
    h.timeout_us = left > UINT32_MAX ? UINT32_MAX : left ? (uint32_t)left : 1;
    for (uint32_t k = 0; k < h.regions; k++)
        h.region[k] = (struct form_region){.size = t->regions[k].size, .flags = t->regions[k].flags};
    h.waits = (uint8_t)task_waits_sent(f->whole->waits);
    size_t prefix = form_encode(task_form(t), &h);
    memcpy(task_form(t) + prefix, f->form + prefix, f->form_length - prefix);
    t->form_length = f->form_length;
}

static enum chi_status send_part(struct worker *w, struct fan *f, const struct spread *part, uint32_t at, uint32_t n)
{
    struct task *t = task_try_get(&w->tasks, f->form_length);
    if (!t)
        return CHI_STATUS_NO_MEMORY;
    if (f->head.regions && (!task_regions_get(&w->tasks, t) || !take_regions(w, f, at, n, t->regions))) {
        task_put(&w->tasks, t);
        return CHI_STATUS_NO_MEMORY;
    }
    for (uint32_t k = 0; k < f->head.regions; k++)
        t->regions[k].flags &= ~(unsigned)CHI_STREAM; /* each node has its inputs whole before it passes them on */
    part_form(w, f, part, t);
    t->nregions = f->head.regions;
    t->home = w;
    t->origin = TASK_REPLICA;
    t->from.replica.fan = f;
    t->from.replica.at = at;
    t->from.replica.low = part->low;
    t->from.replica.high = part->high;
    t->deadline_ns = f->whole->deadline_ns;
    enum chi_status st = route_away(w, t, f->table->members[part->low].node);
    if (st != CHI_STATUS_OK) {
        drop_regions(w, t->regions, t->nregions);
        task_put(&w->tasks, t);
        return st;
    }
    f->out++;
    return CHI_STATUS_OK;
}

static void start_part(struct worker *w, struct fan *f, const struct spread *part, uint32_t at)
{
    uint32_t n = spread_size(f->table, part);
    enum chi_status st = send_part(w, f, part, at, n);
    if (st != CHI_STATUS_OK)
        fill(f, at, n, st);
}

static void start_parts(struct worker *w, struct fan *f)
{
    struct spread part[FAN_PARTS_MAX];
    uint32_t n = spread_split(f->table, &f->part, f->self, w->rt->options.neighborhood, part), at = 0, low = f->part.low;
    for (uint32_t i = 0; i < n; i++) {
        struct spread before = f->part;
        before.low = low; /* members that none of the parts has: this node */
        before.high = part[i].low;
        at += before.high > before.low ? spread_size(f->table, &before) : 0;
        start_part(w, f, &part[i], at);
        at += spread_size(f->table, &part[i]);
        low = part[i].high;
    }
}

/* Ends that say that nothing of a part ran: its other nodes can still have it. */
static bool did_not_run(enum chi_status st)
{
    return st == CHI_STATUS_UNREACHABLE || st == CHI_STATUS_DRAINING || st == CHI_STATUS_NO_NODE || st == CHI_STATUS_PEER_VERSION ||
           st == CHI_STATUS_PEER_CLUSTER;
}

/* The node to which the part went did not take it: its containers end with that, and the rest goes to the next one. */
static void part_refused(struct worker *w, struct fan *f, struct spread *part, uint32_t at, enum chi_status st)
{
    const uint32_t *ids;
    uint32_t n = spread_on(f->table, part, part->low, &ids);
    fill(f, at, n, st); /* of the rest nothing: what comes in is still to go out */
    if (spread_skip(f->table, part))
        start_part(w, f, part, at + n);
}

void fan_part_returned(struct worker *w, struct task *t, enum chi_status st, const uint8_t *body, uint32_t length)
{
    struct fan *f = t->from.replica.fan;
    struct spread part = {f->part.first, f->part.count, t->from.replica.low, t->from.replica.high};
    uint32_t at = t->from.replica.at, n = spread_size(f->table, &part);
    if (st == CHI_STATUS_OK)
        merge_part(w, f, t, at, n, body, length);
    else if (!did_not_run(st))
        fill(f, at, n, st);
    drop_regions(w, t->regions, t->nregions);
    ended_free(w, t);
    if (did_not_run(st))
        part_refused(w, f, &part, at, st);
    leave(w, f);
}

const struct task *fan_whole(const struct task *t) { return t->from.replica.fan->whole; }
bool fan_is_steady(const struct task *t) { return t->from.replica.fan->whole->origin != TASK_CLIENT; }

/* --- the beginning */

static enum chi_status check_regions(const struct fan *f, const struct chi_method *m)
{
    for (uint32_t k = 0; k < f->head.regions; k++) {
        const struct chi_ar_region *r = &f->region[k];
        if (!(r->flags & CHI_SLICED)) {
            if ((r->flags & CHI_EXPOSE) && !f->merges && !f->alone)
                return CHI_STATUS_UNSUPPORTED; /* one buffer, and nobody to say what comes into it */
            continue;
        }
        if (m->serialize_in || m->serialize_out || !f->table->in_order)
            return CHI_STATUS_UNSUPPORTED;
        if (r->size % f->size)
            return CHI_STATUS_INVALID;
    }
    return CHI_STATUS_OK;
}

/* Whether the module merges. */
static enum chi_status ask_module(struct worker *w, struct fan *f, struct chi_task *pub)
{
    struct chi_container *c = sched_local(f->pool);
    enum chi_status st = c && c->ops->monitor ? c->ops->monitor(c, CHI_REPLICA_START, pub, &w->rctx) : CHI_STATUS_UNSUPPORTED;
    f->merges = st == CHI_STATUS_OK;
    return st == CHI_STATUS_UNSUPPORTED ? CHI_STATUS_OK : st;
}

void fan_free(struct worker *w, struct fan *f)
{
    for (uint32_t k = 0; k < f->head.regions; k++)
        if (f->kept >> k & 1)
            buddy_put(w->memory, f->region[k].ptr, f->region[k].size);
    if (f->spare)
        task_put(&w->tasks, f->spare);
    buddy_put(w->memory, f, f->bytes);
}

/* What the module merges goes into the whole's regions, while replicas and parts are still to begin: those that come in too are kept as they came. */
static bool keep_inputs(struct worker *w, struct fan *f)
{
    for (uint32_t k = 0; k < f->head.regions; k++) {
        struct chi_ar_region *r = &f->region[k];
        if (!is_own_buffer(r) || !(r->flags & CHI_WRITE))
            continue;
        void *p = buddy_try_get(w->memory, r->size);
        if (!p)
            return false;
        memcpy(p, r->ptr, r->size);
        r->ptr = p;
        f->kept |= (uint16_t)(1u << k);
    }
    return true;
}

/* *f is complete but for its memory; the form lies in the worker's scratch. */
static struct fan *keep(struct worker *w, const struct fan *f)
{
    uint64_t statuses = (f->size * sizeof(uint16_t) + 7) & ~UINT64_C(7), bytes = sizeof *f + statuses + f->form_length;
    struct fan *k = buddy_try_get(w->memory, bytes);
    if (!k)
        return NULL;
    *k = *f;
    k->bytes = bytes;
    k->status = (uint16_t *)(k + 1);
    k->form = (uint8_t *)(k + 1) + statuses;
    memcpy(k->form, w->scratch, f->form_length);
    memset(k->status, 0, statuses);
    if (k->alone || keep_inputs(w, k))
        return k;
    fan_free(w, k);
    return NULL;
}

static void place_self(const struct worker *w, struct fan *f)
{
    struct spread before = f->part;
    f->self = spread_member(f->table, w->rt->options.node_id);
    if (f->self < f->part.low || f->self >= f->part.high)
        return;
    f->here = spread_on(f->table, &f->part, f->self, &f->ids);
    before.high = f->self;
    f->self_at = before.high > before.low ? spread_size(f->table, &before) : 0;
}

enum chi_status fan_begin(struct worker *w, struct task *whole, const struct sched_table *table, const struct spread *part)
{
    struct chi_task *pub = task_public(whole);
    struct fan f = {.whole = whole, .table = table, .pool = table->pool, .part = *part, .size = spread_size(table, part), .out = 1};
    uint32_t nregions;
    f.alone = !query_is_for_several(&pub->query);
    enum chi_status st = f.alone ? CHI_STATUS_OK : ask_module(w, &f, pub);
    f.best = f.size;
    if (st == CHI_STATUS_OK)
        f.form_length = (uint32_t)form_save(w->scratch, CHI_FORM_BYTES_MAX, pub, f.region, &nregions, NULL, NULL, &st);
    if (st != CHI_STATUS_OK)
        return st;
    if (form_decode(w->scratch, f.form_length, &f.head) != CHI_DROP_NONE)
        return CHI_STATUS_INVALID; /* written by hand */
    st = check_regions(&f, whole->method);
    if (st != CHI_STATUS_OK)
        return st;
    place_self(w, &f);
    struct fan *k = keep(w, &f);
    if (!k || !merge_begin(w, k))
        return CHI_STATUS_NO_MEMORY;
    books_accept(w, whole);
    if (CHI_UNLIKELY(w->flushing) && whole->origin != TASK_REMOTE)
        flush_accept(w, whole);
    whole->state = TASK_SPREAD;
    whole->fan = k;
    w->stats.spreads++;
    start_parts(w, k);
    go_on(w, k);
    leave(w, k);
    return CHI_STATUS_OK;
}
