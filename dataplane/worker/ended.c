/* ended.c - the end of a task: the answer to whoever waits for it, and the way to another node and back. */
#include "archive/fields.h"
#include "archive/flat.h"
#include "archive/form.h"
#include "internal.h"

/* The module takes off what it hung into a task that ran here. */
static void let_go(struct task *t)
{
    if (t->container && t->container->ops->del)
        t->container->ops->del(t->container, task_public(t));
}

/* The same of one whose record stays: a module's. */
static void let_go_and_stay(struct task *t)
{
    let_go(t);
    t->container = NULL;
    t->cancelled = 0; /* it may be submitted again, to another container than one that went */
}

static inline void free_task(struct worker *w, struct task *t)
{
    let_go(t);
    if (CHI_UNLIKELY(t->extra)) {
        buddy_put(w->memory, t->extra, t->extra_bytes);
        t->extra = NULL;
    }
    w->stats.tasks_ended++;
    task_put(&w->tasks, t);
}

void ended_free(struct worker *w, struct task *t)
{
    CHI_ASSERT(t->home == w);
    free_task(w, t);
}

uint32_t ended_save(struct task *t, uint8_t *p, size_t cap, struct chi_ar_region *regions, enum chi_status *st)
{
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_OUTPUT_OUT, p, cap, regions, t->nregions);
    *st = chi_ar_task(&ar, t->method, task_public(t));
    return *st == CHI_STATUS_OK ? (uint32_t)ar.pos : 0;
}

static void finish_client(struct worker *w, struct task *t)
{
    enum chi_status st = task_public(t)->status;
    uint32_t n = 0;
    if (st == CHI_STATUS_OK && CHI_LIKELY(!t->from.client.request.post))
        n = ended_save(t, w->scratch, CHI_FORM_BYTES_MAX, t->regions, &st);
    accept_ended(w, t->from.client.channel, &t->from.client.request, st, w->scratch, n);
    ended_free(w, t);
}

void ended_module(struct worker *w, struct task *t)
{
    if (!t->from.module.done) {
        let_go_and_stay(t);
        if (!wait_task_ended(w, t))
            task_put(&w->tasks, t);
        return;
    }
    /* The callback runs in its own step, so that it never comes before chi_task_submit returned. */
    t->link.next = NULL;
    *w->ended_tail = &t->link;
    w->ended_tail = &t->link.next;
}

bool ended_keep(struct worker *w, struct task *t, const uint8_t *p, uint32_t n)
{
    t->extra = buddy_try_get(w->memory, n);
    if (!t->extra)
        return false;
    t->extra_bytes = n;
    memcpy(t->extra, p, n);
    return true;
}

/* Called with too little room too, which saves no lengths: those of prepare_answer stay, the regions go by them. */
static size_t write_body(struct xfer_in *in, uint8_t *dst, size_t cap)
{
    struct chi_ar_region regions[CHI_REGIONS_MAX];
    enum chi_status st;
    memcpy(regions, in->regions, in->nregions * sizeof regions[0]);
    return ended_save(in->user, dst, cap, regions, &st);
}

/* True when the answers of tasks without regions fit into the endpoint's record.  What a field table writes is never longer than its
 * struct, but for a CHI_CUSTOM. */
static bool is_small(const struct chi_method *m)
{
    return !m->serialize_out && m->size <= sizeof(struct chi_task) + XFER_ANSWER_SMALL && !fields_custom(m);
}

/* True when a writer may serialise the method's tasks without regions. */
static bool fits_packet(const struct chi_method *m)
{
    /* What a field table writes is never longer than its struct; a direction that is written by hand may be, and so may a CHI_CUSTOM. */
    return !m->serialize_in && !m->serialize_out && m->size + FORM_HEAD_BYTES <= XFER_WRITER_MAX && !fields_custom(m);
}

static bool has_out(const struct chi_method *m)
{
    for (uint32_t i = 0; i < m->nfields; i++)
        if (m->fields[i].dir & CHI_DIR_OUT)
            return true;
    return false;
}

/* Fills in where the answer's body comes from: a writer that puts it straight into a packet, bytes that were made here, or, for a method
 * that gives nothing back, none of them. */
static void prepare_answer(struct worker *w, struct task *t, struct xfer_answer *a)
{
    struct xfer_in *in = t->from.remote.in;
    if (!in->nregions && fits_packet(t->method)) {
        a->write = has_out(t->method) ? write_body : NULL;
        return;
    }
    /* The written lengths of the regions must be known before the first packet goes. */
    uint32_t n = ended_save(t, w->scratch, CHI_FORM_BYTES_MAX, in->regions, &a->status);
    if (a->status != CHI_STATUS_OK || n == 0)
        return;
    if (n <= XFER_WRITER_MAX)
        a->write = write_body;
    else if (!ended_keep(w, t, w->scratch, n))
        a->status = CHI_STATUS_NO_MEMORY;
    a->body = t->extra;
    a->body_length = t->extra ? n : 0;
}

/* The task is over with its answer, which is in the endpoint's record. */
static inline void answer_last(struct worker *w, struct task *t, enum chi_status st, uint32_t n)
{
    xfer_answer_last(w->xfer, t->from.remote.in, st, n, w->rctx.now_ns);
    free_task(w, t);
}

/* An answer that takes an archive, or that the task is kept for until it has arrived.  Apart, so that the usual way does not pay for it. */
__attribute__((noinline)) static void finish_archived(struct worker *w, struct task *t)
{
    struct xfer_in *in = t->from.remote.in;
    struct xfer_answer a = {.status = CHI_STATUS_OK};
    if (!in->nregions && is_small(t->method)) {
        uint32_t n = ended_save(t, xfer_answer_room(in), XFER_ANSWER_SMALL, in->regions, &a.status);
        answer_last(w, t, a.status, n);
        return;
    }
    prepare_answer(w, t, &a);
    xfer_answer(w->xfer, in, &a, w->rctx.now_ns);
}

static void finish_remote(struct worker *w, struct task *t)
{
    const struct chi_task *pub = task_public(t);
    bool ok = pub->status == CHI_STATUS_OK;
    uint32_t n = 0;
    t->state = TASK_ANSWERED;
    if (CHI_LIKELY(ok && !t->nregions))
        n = flat_save(flat_run(t->method, true), pub, xfer_answer_room(t->from.remote.in), XFER_ANSWER_SMALL);
    if (CHI_UNLIKELY(ok && !n))
        finish_archived(w, t);
    else
        answer_last(w, t, pub->status, n);
}

void ended_finish(struct worker *w, struct task *t)
{
    CHI_ASSERT(t->state == TASK_ENDED);
    if (t->origin == TASK_REMOTE)
        finish_remote(w, t);
    else if (t->origin == TASK_CLIENT)
        finish_client(w, t);
    else if (t->origin == TASK_MODULE)
        ended_module(w, t);
    else
        fan_replica_ended(w, t);
}

unsigned ended_callbacks(struct worker *w)
{
    struct lane_item *l = w->ended;
    unsigned n = 0;
    w->ended = NULL;
    w->ended_tail = &w->ended;
    while (l) {
        struct task *t = task_of_link(l);
        l = l->next;
        n++;
        if (t->state == TASK_WAITING) {
            stream_call_back(w, t);
            continue;
        }
        chi_done_fn done = t->from.module.done;
        LEDGER(ledger_return(&w->tasks.ledger, &t->entry));
        t->state = TASK_NEW; /* the callback owns it: it deletes it or submits it again */
        let_go_and_stay(t);
        if (CHI_UNLIKELY(w->flushing))
            flush_cause(w, t);
        done(&w->rctx, task_public(t), t->from.module.arg);
        w->old_cause = false;
    }
    return n;
}

void worker_cancelled_st(struct worker *w, struct xfer_in *in, enum chi_status why)
{
    struct task *t = in->user;
    CHI_ASSERT(w == worker_current());
    if (!t)
        return;
    CHI_ASSERT(why != CHI_STATUS_OK);
    __atomic_store_n(&t->cancelled, (uint8_t)why, __ATOMIC_RELAXED); /* it may be on another worker's lane, */
    __atomic_store_n(&t->deadline_ns, 0, __ATOMIC_RELEASE);          /* which looks at this one first (lanes.c) */
    if (!t->container || t->container->ops->cancel) /* none: its replicas may have one */
        watch_tell(w);
    stream_cancelled(w, t);
}

void worker_answered_st(struct worker *w, struct xfer_in *in)
{
    CHI_ASSERT(w == worker_current());
    struct task *t = in->user;
    if (!t)
        return; /* answered without a task: it was refused */
    CHI_ASSERT(t->state == TASK_ANSWERED);
    ended_free(w, t);
}

/* --- away and back */

static size_t write_form(struct xfer_out *o, uint8_t *dst, size_t cap)
{
    struct chi_ar_region regions[CHI_REGIONS_MAX];
    uint32_t n;
    enum chi_status st;
    struct task *t = task_of_out(o);
    size_t length = form_save(dst, cap, task_public(t), regions, &n, NULL, NULL, &st);
    if (!length)
        return 0;
    form_set_waits(dst, task_waits_sent(t->waits));
    if (CHI_UNLIKELY(t->home->flushing))
        form_say_fresh(dst, flush_says(t->home, t));
    return length;
}

/* Pre: the method has a table. */
static bool has_bulk(const struct chi_method *m)
{
    for (uint32_t i = 0; i < m->nfields; i++)
        if (m->fields[i].type == CHI_T_BULK)
            return true;
    return false;
}

/* The form of a loaded task: written straight into packets where that can be, else made here. */
static enum chi_status prepare_form(struct worker *w, struct task *t)
{
    t->out.write = write_form;
    if (fits_packet(t->method) && !has_bulk(t->method))
        return CHI_STATUS_OK;
    if (!task_regions_get(&w->tasks, t))
        return CHI_STATUS_NO_MEMORY;
    uint32_t nregions;
    enum chi_status st = CHI_STATUS_OK;
    size_t n = form_save(w->scratch, CHI_FORM_BYTES_MAX, task_public(t), t->regions, &nregions, NULL, NULL, &st);
    if (!n)
        return st;
    form_set_waits(w->scratch, task_waits_sent(t->waits));
    t->nregions = (uint8_t)nregions;
    if (n <= XFER_WRITER_MAX)
        return CHI_STATUS_OK;
    if (!ended_keep(w, t, w->scratch, (uint32_t)n))
        return CHI_STATUS_NO_MEMORY;
    t->out.write = NULL;
    t->out.form = t->extra;
    t->out.form_length = (uint32_t)n;
    return CHI_STATUS_OK;
}

void worker_send_away_st(struct worker *w, struct task *t)
{
    CHI_ASSERT(w == worker_current());
    CHI_ASSERT(t->home == w && t->state == TASK_QUEUED);
    t->state = TASK_AWAY;
    memset(&t->out, 0, sizeof t->out);
    enum chi_status st = CHI_STATUS_OK;
    if (t->method)
        st = prepare_form(w, t);
    else {
        t->out.form = task_form(t);
        t->out.form_length = t->form_length;
    }
    if (t->out.form && st == CHI_STATUS_OK) /* what a client wrote there is not for another node */
        form_say_fresh((uint8_t *)(uintptr_t)t->out.form, flush_says(w, t));
    if (st == CHI_STATUS_OK && worker_stopping_st(w))
        st = CHI_STATUS_SHUTDOWN;
    if (st != CHI_STATUS_OK) {
        worker_returned_st(w, t, st, NULL, 0);
        return;
    }
    t->out.regions = t->regions;
    t->out.nregions = t->nregions;
    t->out.deadline_ns = t->deadline_ns;
    /* A client may write what it likes, when it likes. */
    t->out.steady = t->origin == TASK_MODULE || (t->origin == TASK_REPLICA && fan_is_steady(t));
    w->stats.tasks_sent++;
    xfer_send(w->xfer, t->node, &t->out, w->rctx.now_ns);
}

static enum chi_status load_out(struct task *t, const uint8_t *body, uint32_t length)
{
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_INPUT_OUT, (uint8_t *)body, length, t->regions, t->nregions);
    return chi_ar_task(&ar, t->method, task_public(t));
}

void worker_returned_st(struct worker *w, struct task *t, enum chi_status st, const uint8_t *body, uint32_t length)
{
    CHI_ASSERT(w == worker_current());
    CHI_ASSERT(t->home == w && t->state == TASK_AWAY);
    t->state = TASK_ENDED;
    LEDGER(ledger_end(&t->entry, st));
    t->wait.waits = false; /* it was in `out` */
    if (t->extra) {
        buddy_put(w->memory, t->extra, t->extra_bytes);
        t->extra = NULL;
    }
    if (t->origin == TASK_CLIENT) {
        accept_ended(w, t->from.client.channel, &t->from.client.request, st, body, length);
        ended_free(w, t);
        return;
    }
    if (t->origin == TASK_REPLICA) {
        fan_part_returned(w, t, st, body, length);
        return;
    }
    CHI_ASSERT(t->origin == TASK_MODULE);
    if (st == CHI_STATUS_OK)
        st = load_out(t, body, length);
    task_public(t)->status = st;
    ended_module(w, t);
}
