/* fan_merge.c - the outputs of a task for several containers, and its end.  By default they are those of the first place that ended well; of a sliced
 * region each place fills its slice; a module that merges sees each replica (chi/chimod.h, REPLICA_AGG). */
#include "fan.h"
#include "wire/le.h"

bool merge_begin(struct worker *w, struct fan *f)
{
    if (!f->merges || f->here == f->size)
        return true;
    f->spare = task_try_get(&w->tasks, f->whole->method->size);
    if (!f->spare)
        fan_free(w, f);
    return f->spare != NULL;
}

/* --- sliced regions */

/* One of nothing may be nowhere, where no address is counted on from. */
static bool goes_back(const struct chi_ar_region *r) { return (r->flags & CHI_SLICED) && (r->flags & CHI_EXPOSE) && r->size; }

void merge_nothing(const struct fan *f, uint32_t at, uint32_t n)
{
    for (uint32_t k = 0; k < f->head.regions; k++) {
        uint64_t each = f->region[k].size / f->size;
        if (goes_back(&f->region[k]))
            memset((uint8_t *)f->region[k].ptr + each * at, 0, each * n);
    }
}

/* What was written of the slices, `used` says; the rest are zeros. */
static void fill_up(const struct chi_ar_region *regions, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++)
        if (goes_back(&regions[k]))
            memset((uint8_t *)regions[k].ptr + regions[k].used, 0, regions[k].size - regions[k].used);
}

static bool has_slices(const struct fan *f)
{
    for (uint32_t k = 0; k < f->head.regions; k++)
        if (goes_back(&f->region[k]))
            return true;
    return false;
}

/* The whole's fields say that they are full. */
static void slices_are_full(const struct fan *f)
{
    const struct chi_method *m = f->whole->method;
    for (uint32_t i = 0; i < m->nfields && has_slices(f); i++) {
        struct chi_bulk *b = (struct chi_bulk *)((uint8_t *)task_public(f->whole) + m->fields[i].offset);
        if (m->fields[i].type == CHI_T_BULK && (m->fields[i].dir & CHI_SLICED) && (m->fields[i].dir & CHI_DIR_OUT))
            b->used = b->size;
    }
}

/* --- outputs */

static enum chi_status load_outputs(struct chi_method *m, struct chi_task *to, const struct chi_ar_region *from, uint32_t n, const uint8_t *body,
                                    uint32_t length)
{
    struct chi_ar_region regions[CHI_REGIONS_MAX];
    struct chi_archive ar;
    for (uint32_t k = 0; k < n; k++) {
        regions[k] = from[k];
        regions[k].used = CHI_USED_UNKNOWN;
    }
    chi_ar_init(&ar, CHI_AR_INPUT_OUT, (uint8_t *)(uintptr_t)body, length, regions, n);
    return chi_ar_task(&ar, m, to);
}

/* The whole gets them, if no earlier place's did. */
static enum chi_status take_outputs(struct fan *f, uint32_t at, const uint8_t *body, uint32_t length)
{
    if (f->merges || at > f->best)
        return CHI_STATUS_OK;
    enum chi_status st = load_outputs(f->whole->method, task_public(f->whole), f->region, f->head.regions, body, length);
    if (st == CHI_STATUS_OK)
        f->best = at;
    return st;
}

static enum chi_status ask_module(struct worker *w, struct fan *f, struct chi_task *replica)
{
    struct chi_container *c = sched_local(f->pool);
    w->rctx.replica = replica;
    enum chi_status st = c->ops->monitor(c, CHI_REPLICA_AGG, task_public(f->whole), &w->rctx);
    w->rctx.replica = NULL;
    if (st == CHI_STATUS_OK)
        f->best = 0;
    return st;
}

/* What the only one wrote into buffers of its own; ended_save saw how much that is. */
static void copy_back(const struct fan *f, const struct task *t)
{
    for (uint32_t k = 0; k < t->nregions; k++)
        if ((f->region[k].flags & CHI_EXPOSE) && f->region[k].ptr != t->regions[k].ptr)
            memcpy(f->region[k].ptr, t->regions[k].ptr, t->regions[k].used);
}

enum chi_status merge_replica(struct worker *w, struct fan *f, struct task *t, uint32_t at)
{
    enum chi_status st = CHI_STATUS_OK;
    if (has_slices(f) || (!f->merges && at < f->best)) {
        uint32_t n = ended_save(t, w->scratch, CHI_FORM_BYTES_MAX, t->regions, &st);
        if (st == CHI_STATUS_OK)
            st = take_outputs(f, at, w->scratch, n);
        if (st != CHI_STATUS_OK)
            return st;
        fill_up(t->regions, t->nregions);
        if (f->alone)
            copy_back(f, t);
    }
    return f->merges ? ask_module(w, f, task_public(t)) : CHI_STATUS_OK;
}

/* For the module a part is one more replica: its inputs are the whole's, its outputs those that came. */
static enum chi_status merge_loaded(struct worker *w, struct fan *f, struct task *t, const uint8_t *body, uint32_t length)
{
    enum chi_status st;
    task_put(&w->tasks, f->spare); /* so that there is one */
    struct task *r = accept_load(w, f->pool, &f->head, f->form, f->form_length, t->regions, &st);
    if (r) {
        st = load_outputs(r->method, task_public(r), t->regions, t->nregions, body, length);
        if (st == CHI_STATUS_OK)
            st = ask_module(w, f, task_public(r));
        task_put(&w->tasks, r);
    }
    f->spare = task_try_get(&w->tasks, f->whole->method->size);
    CHI_ASSERT(f->spare);
    return st;
}

/* Reads the statuses of n places; false: they are none. */
static bool read_statuses(struct fan *f, uint32_t at, uint32_t n, const uint8_t *p, uint32_t *first_ok)
{
    *first_ok = f->size;
    for (uint32_t i = 0; i < n; i++) {
        uint16_t st = le16_get(p + 2 * i);
        if (st == CHI_STATUS_PENDING || !chi_status_known(st))
            return false;
        f->status[at + i] = st;
        if (st == CHI_STATUS_OK && *first_ok == f->size)
            *first_ok = at + i;
    }
    return true;
}

void merge_part(struct worker *w, struct fan *f, struct task *t, uint32_t at, uint32_t n, const uint8_t *body, uint32_t length)
{
    uint32_t bytes = 2 * n, first;
    enum chi_status st = CHI_STATUS_ARCHIVE;
    bool sound = length >= bytes && read_statuses(f, at, n, body + length - bytes, &first);
    if (sound && first == f->size) {
        merge_nothing(f, at, n);
        return;
    }
    if (sound)
        st = f->merges ? merge_loaded(w, f, t, body, length - bytes) : take_outputs(f, first, body, length - bytes);
    if (st == CHI_STATUS_OK) {
        fill_up(t->regions, t->nregions);
        return;
    }
    for (uint32_t i = at; i < at + n; i++)
        if (!sound || f->status[i] == CHI_STATUS_OK)
            f->status[i] = (uint16_t)st;
    merge_nothing(f, at, n);
}

/* --- the end */

/* The outputs as they travel; none when no replica ended well. */
static uint32_t save_outputs(struct worker *w, struct fan *f, struct chi_ar_region *regions)
{
    enum chi_status st = CHI_STATUS_OK;
    uint32_t n = f->best < f->size ? ended_save(f->whole, w->scratch, CHI_FORM_BYTES_MAX, regions, &st) : 0;
    for (uint32_t i = 0; i < f->size && st != CHI_STATUS_OK; i++)
        if (f->status[i] == CHI_STATUS_OK)
            f->status[i] = (uint16_t)st;
    return n;
}

/* The status of the whole, and where they belong those of the first `most` containers, in order. */
static enum chi_status in_order(const struct fan *f, uint32_t most, void (*put)(void *to, uint32_t i, uint32_t container, uint16_t st), void *to)
{
    uint32_t place = 0, worst = UINT32_MAX;
    enum chi_status first = CHI_STATUS_OK;
    for (uint32_t m = f->part.low; m < f->part.high; m++) {
        const uint32_t *ids;
        uint32_t n = spread_on(f->table, &f->part, m, &ids);
        for (uint32_t i = 0; i < n; i++, place++) {
            if (f->status[place] != CHI_STATUS_OK && ids[i] < worst) {
                worst = ids[i];
                first = (enum chi_status)f->status[place];
            }
            if (ids[i] - f->part.first < most)
                put(to, ids[i] - f->part.first, ids[i], f->status[place]);
        }
    }
    return first;
}

static void put_replica(void *to, uint32_t i, uint32_t container, uint16_t st)
{
    ((struct chi_replicas *)to)->each[i] = (struct chi_replica){container, st};
}

static void finish_module(struct worker *w, struct fan *f)
{
    struct task *t = f->whole;
    struct chi_replicas *r = f->alone ? NULL : task_public(t)->replicas;
    uint32_t most = r && r->cap < f->size ? r->cap : r ? f->size : 0;
    task_public(t)->status = in_order(f, most, put_replica, r);
    if (r)
        r->count = most;
    fan_free(w, f);
    t->state = TASK_ENDED;
    LEDGER(ledger_end(&t->entry, task_public(t)->status));
    ended_module(w, t);
}

static void put_status(void *to, uint32_t i, uint32_t container, uint16_t st)
{
    (void)container;
    le16_put((uint8_t *)to + 2 * i, st);
}

static void finish_client(struct worker *w, struct fan *f)
{
    struct task *t = f->whole;
    const struct ipc_request *rq = &t->from.client.request;
    uint32_t n = save_outputs(w, f, t->regions); /* also of one that nobody waits for: it may end otherwise for that */
    uint32_t room = rq->answer_cap < CHI_FORM_BYTES_MAX ? rq->answer_cap : CHI_FORM_BYTES_MAX, most = room > n ? (room - n) / 2 : 0;
    most = f->alone ? 0 : most < f->size ? most : f->size;
    enum chi_status st = in_order(f, most, put_status, w->scratch + n);
    const struct ipc_replicas r = {f->part.first, most};
    if (rq->post)
        accept_ended(w, t->from.client.channel, rq, st, NULL, 0);
    else
        ipc_complete_many_st(t->from.client.channel, rq, st, w->scratch, n + 2 * most, r);
    fan_free(w, f);
    LEDGER(ledger_end(&t->entry, st));
    ended_free(w, t);
}

static void finish_remote(struct worker *w, struct fan *f)
{
    struct task *t = f->whole;
    struct xfer_in *in = t->from.remote.in;
    struct xfer_answer a = {.status = CHI_STATUS_OK};
    uint32_t n = save_outputs(w, f, in->regions), bytes = n + 2 * f->size;
    if (n == 0)
        for (uint32_t k = 0; k < in->nregions; k++)
            in->regions[k].used = 0;
    if (bytes > CHI_FORM_BYTES_MAX) {
        a.status = CHI_STATUS_TOO_BIG;
    } else {
        for (uint32_t i = 0; i < f->size; i++)
            le16_put(w->scratch + n + 2 * i, f->status[i]);
        a.status = ended_keep(w, t, w->scratch, bytes) ? CHI_STATUS_OK : CHI_STATUS_NO_MEMORY;
        a.body = t->extra;
        a.body_length = t->extra ? bytes : 0;
    }
    fan_free(w, f);
    t->state = TASK_ANSWERED;
    LEDGER(ledger_end(&t->entry, a.status));
    xfer_answer(w->xfer, in, &a, w->rctx.now_ns);
}

void merge_finish(struct worker *w, struct fan *f)
{
    if (f->best < f->size)
        slices_are_full(f);
    if (f->whole->origin == TASK_REMOTE)
        finish_remote(w, f);
    else if (f->whole->origin == TASK_CLIENT)
        finish_client(w, f);
    else
        finish_module(w, f);
}
