/* load.c - tasks with contents that follow from their number, and the checks on them:
 * - every submission ends exactly once; a method runs at most once, and exactly once when the status is its own;
 * - forms, regions and bodies arrive equal to the byte, and the lengths that were written with them;
 * - no byte outside of an exposed region changes, nor one of it behind the length written;
 * - nothing of a message is touched after its end: its memory is freed at once (the address sanitizer watches).
 * - a message ends at its deadline at the latest.
 * Between two nodes of which one forges packets, contents and counts prove nothing; the rest holds, and all of it with others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/form.h"
#include "sim.h"
#include "wire/le.h"
#include "xfer/xfer_int.h"

enum { FILL = 0x77, BODY_WRITER_MAX = 900, MESSAGES_PLENTY = 256, DEADLINE_LATE_NS = 2 << WHEEL_TICK_SHIFT };

static const uint64_t MEMORY_PLENTY = UINT64_C(1) << 40, STEP = 0x9e3779b99e3779b9u;

static void fill(uint8_t *p, uint64_t n, uint64_t key)
{
    uint64_t v = sim_mix(key, 1), i = 0;
    for (; n - i >= 8; i += 8, v += STEP)
        memcpy(p + i, &v, 8);
    memcpy(p + i, &v, n - i);
}

/* Bytes first..n are right; a few before them are looked at again. */
static bool filled_from(const uint8_t *p, uint64_t first, uint64_t n, uint64_t key)
{
    uint64_t i = first & ~UINT64_C(7), v = sim_mix(key, 1) + i / 8 * STEP, apart = 0;
    for (; n - i >= 8; i += 8, v += STEP) {
        uint64_t is;
        memcpy(&is, p + i, 8);
        apart |= is ^ v;
    }
    return !apart && !memcmp(p + i, &v, n - i);
}

static bool filled(const uint8_t *p, uint64_t n, uint64_t key) { return filled_from(p, 0, n, key); }

static bool is_all(const uint8_t *p, uint64_t n, uint8_t v)
{
    return n == 0 || (p[0] == v && memcmp(p, p + 1, n - 1) == 0);
}

static uint64_t key_in(uint64_t hash, uint32_t k) { return sim_mix(hash, 100 + k); }
static uint64_t key_out(uint64_t hash, uint32_t k) { return sim_mix(hash, 200 + k); }
static uint64_t key_body(uint64_t hash) { return sim_mix(hash, 300); }

/* What the method does follows from the hash of the task's number. */
static enum chi_status own_status(uint64_t hash) { return sim_mix(hash, 2) % 10 ? CHI_STATUS_OK : CHI_STATUS_MODULE; }

static uint64_t own_used(uint64_t hash, uint32_t k, uint64_t size)
{
    uint64_t r = sim_mix(hash, 400 + k);
    return r % 4 == 0 ? 0 : r % 4 == 1 ? size : (r >> 8) % (size + 1);
}

static uint32_t own_body(const struct world *w, uint64_t hash)
{
    uint64_t r = sim_mix(hash, 3);
    uint32_t most = w->o.form_max < CHI_FORM_BYTES_MAX ? w->o.form_max : CHI_FORM_BYTES_MAX;
    return (uint32_t)((r >> 8) % (r % 16 ? 65 : most + 1));
}

/* --- the origin */

static struct sub *sub_of(struct xfer_out *m) { return (struct sub *)(void *)((uint8_t *)m - offsetof(struct sub, out)); }

static void write_form(const struct sub *s, uint8_t *p)
{
    struct form_head h = {.pool = {1, 2}, .query = {CHI_QUERY_DIRECT_ID, 0, s->id}, .schema = 7, .method = 3};
    h.regions = (uint8_t)s->out.nregions;
    for (uint32_t k = 0; k < h.regions; k++)
        h.region[k] = (struct form_region){.size = s->region[k].size, .flags = s->region[k].flags};
    size_t at = form_encode(p, &h);
    fill(p + at, s->form_length - at, key_body(~s->id));
}

static size_t form_writer(struct xfer_out *m, uint8_t *dst, size_t cap)
{
    const struct sub *s = sub_of(m);
    if (cap < s->form_length)
        return 0;
    write_form(s, dst);
    return s->form_length;
}

static bool guard_whole(const uint8_t *p)
{
    uint64_t apart = 0, v;
    for (uint32_t i = 0; i < SIM_GUARD; i += sizeof v) {
        memcpy(&v, p + i, sizeof v);
        apart |= v ^ FILL * UINT64_C(0x0101010101010101);
    }
    return !apart;
}

static bool guarded(const struct sub *s, uint32_t k)
{
    return guard_whole(s->buffer[k]) && guard_whole(s->buffer[k] + SIM_GUARD + s->region[k].size);
}

static void draw_region(const struct world *w, struct sub *s, uint32_t k, struct prng *p)
{
    static const uint64_t likely[] = {0, 1, 63, 64, 1000};
    struct chi_ar_region *r = &s->region[k];
    r->flags = (uint32_t)sim_draw(p, 1, 3);
    if ((r->flags & CHI_WRITE) && sim_mix(s->id, 500 + k) % 100 < w->o.streams)
        r->flags |= CHI_STREAM;
    uint64_t limit = sim_draw(p, 0, 3) && w->o.region_max > 4000 ? 4000 : w->o.region_max;
    r->size = sim_draw(p, 0, 2) ? sim_draw(p, 0, limit) : likely[sim_draw(p, 0, 4)];
    if (r->size > w->o.region_max)
        r->size = w->o.region_max;
    if (sim_draw(p, 0, 400) == 0)
        r->size = load_largest(w) + sim_draw(p, 0, 2);
    uint64_t all = r->size + 2 * SIM_GUARD;
    s->buffer[k] = malloc(all);
    if (!s->buffer[k])
        abort();
    r->ptr = s->buffer[k] + SIM_GUARD;
    memset(s->buffer[k], FILL, r->flags & CHI_WRITE ? SIM_GUARD : all);
    memset(s->buffer[k] + all - SIM_GUARD, FILL, SIM_GUARD);
    if (r->flags & CHI_WRITE)
        fill(r->ptr, r->size, key_in(s->id, k));
}

static void open_add(struct sub *s)
{
    struct endpoint *e = s->from;
    s->prev = s->next = s;
    if (e->subs) {
        s->next = e->subs;
        s->prev = e->subs->prev;
        s->prev->next = s->next->prev = s;
    }
    e->subs = s;
    e->subs_open++;
    e->w->open++;
}

static void open_remove(struct sub *s)
{
    struct endpoint *e = s->from;
    e->subs = s->next == s ? NULL : s->next;
    s->prev->next = s->next;
    s->next->prev = s->prev;
    e->subs_open--;
    e->w->open--;
}

/* No byte changed around a region of an open message, another one each time. */
void load_guards(struct endpoint *e)
{
    struct sub *s = e->subs;
    if (!s)
        return;
    uint32_t k = s->out.nregions ? (uint32_t)(e->audits % s->out.nregions) : 0;
    CHECK(e->w, !s->out.nregions || guarded(s, k), s->id, k);
    e->subs = s->next;
}

void load_submit(struct world *w, struct endpoint *from, uint32_t to, uint64_t deadline_ns, bool strict)
{
    struct sub *s = calloc(1, sizeof *s);
    if (w->sub_count == w->sub_room) {
        w->sub_room = w->sub_room ? 2 * w->sub_room : 256;
        w->subs = realloc(w->subs, w->sub_room * sizeof *w->subs);
    }
    if (!s || !w->subs)
        abort();
    *s = (struct sub){.id = w->sub_count, .from = from, .to = to, .strict = strict, .since_ns = w->now, .deadline_ns = deadline_ns};
    w->subs[w->sub_count++] = s;
    open_add(s);
    struct prng p = sim_keyed(w, 'S', s->id);
    uint32_t kind = (uint32_t)sim_draw(&p, 0, 9);
    uint32_t regions = kind < 5 ? 0 : kind < 9 ? (uint32_t)sim_draw(&p, 1, 4) : (uint32_t)sim_draw(&p, 1, CHI_REGIONS_MAX);
    if (regions > w->o.regions)
        regions = (uint32_t)w->o.regions;
    for (uint32_t k = 0; k < regions; k++)
        draw_region(w, s, k, &p);
    s->out.nregions = regions;
    s->out.regions = s->region;
    s->out.steady = s->id % 4; /* not each: their packets mix */
    s->out.deadline_ns = deadline_ns;
    uint32_t body = (uint32_t)sim_draw(&p, 0, sim_draw(&p, 0, 15) && w->o.form_max > 100 ? 100 : w->o.form_max);
    s->form_length = form_prefix_bytes(regions) + body;
    if (s->form_length <= BODY_WRITER_MAX && sim_draw(&p, 0, 1)) {
        s->out.write = form_writer;
    } else {
        s->form = malloc(s->form_length);
        if (!s->form)
            abort();
        write_form(s, s->form);
        s->out.form = s->form;
        s->out.form_length = s->form_length;
    }
    xfer_send(from->x, to, &s->out, w->now);
    host_drain(from);
    count_endpoint(from);
}

static bool is_too_big(const struct world *w, const struct sub *s)
{
    for (uint32_t k = 0; k < s->out.nregions; k++)
        if (s->region[k].size > load_largest(w))
            return true;
    return s->form_length > CHI_FORM_BYTES_MAX;
}

/* No forged packet was on its way between the two nodes. */
static bool trusted(const struct world *w, uint32_t a, uint32_t b) { return !w->tainted[a - 1][b - 1]; }

static void check_regions(struct world *w, const struct sub *s, bool ok)
{
    for (uint32_t k = 0; k < s->out.nregions; k++) {
        const struct chi_ar_region *r = &s->region[k];
        const uint8_t *p = r->ptr;
        bool wrote = r->flags & CHI_WRITE, exposed = r->flags & CHI_EXPOSE;
        CHECK(w, guarded(s, k), s->id, k);
        if (!exposed) {
            CHECK(w, filled(p, r->size, key_in(s->id, k)), s->id, k);
            continue;
        }
        if (!ok) {
            CHECK(w, r->used == 0, s->id, k);
            continue;
        }
        if (!trusted(w, s->from->node, s->to))
            continue;
        uint64_t used = own_used(s->id, k, r->size);
        CHECK(w, r->used == used, r->used, used);
        CHECK(w, filled(p, used, key_out(s->id, k)), s->id, k);
        if (!wrote)
            CHECK(w, is_all(p + used, r->size - used, FILL), s->id, k);
    }
}

static void sub_free(struct sub *s)
{
    for (uint32_t k = 0; k < s->out.nregions; k++)
        free(s->buffer[k]);
    free(s->form);
    memset(&s->out, 0xee, sizeof s->out); /* not even its record is read again */
    s->form = NULL;
    s->over = true;
    open_remove(s);
}

static bool is_removed(enum chi_status st) { return st == CHI_STATUS_NO_NODE || st == CHI_STATUS_DRAINING; }

static void done(struct endpoint *e, const struct xfer_event *ev)
{
    struct world *w = e->w;
    struct sub *s = sub_of(ev->out);
    enum chi_status st = ev->status;
    if (!CHECK(w, !s->over && s->from == e, s->id, st))
        return;
    bool own = st == CHI_STATUS_OK || st == CHI_STATUS_MODULE, too_big = is_too_big(w, s);
    w->statuses[st % 64]++;
    check_regions(w, s, st == CHI_STATUS_OK);
    uint64_t last = w->paused_ns[e->node - 1] > s->deadline_ns ? w->paused_ns[e->node - 1] : s->deadline_ns;
    CHECK(w, w->now <= last + DEADLINE_LATE_NS + w->o.attach_us * SIM_US, w->now, s->deadline_ns); /* or while its port looks at it */
    if (trusted(w, e->node, s->to)) {
        if (own)
            CHECK(w, s->runs == 1 && st == own_status(s->id) && !too_big, s->runs, st);
        else
            CHECK(w, s->runs == 0 || (st != CHI_STATUS_TOO_BIG && st != CHI_STATUS_UNREACHABLE && !is_removed(st)), s->runs, st);
        CHECK(w, st != CHI_STATUS_TOO_BIG || too_big, s->id, st);
        if (s->strict) /* a forger may hold all records, or all memory, where it is scarce, with tasks that never come whole */
            CHECK(w, own || too_big || (w->o.forge && (w->o.messages_in < MESSAGES_PLENTY || w->o.all_spare < MEMORY_PLENTY)), s->id, st);
        if (s->strict && w->now - s->since_ns > w->healing_ns)
            w->healing_ns = w->now - s->since_ns;
        if (st == CHI_STATUS_OK) {
            CHECK(w, ev->length == own_body(w, s->id), ev->length, own_body(w, s->id));
            CHECK(w, filled(ev->bytes, ev->length, key_body(s->id)), s->id, ev->length);
        }
        CHECK(w, own || st == CHI_STATUS_TOO_BIG || st == CHI_STATUS_DEADLINE || st == CHI_STATUS_PEER_RESTARTED ||
                     st == CHI_STATUS_PEER_DOWN || st == CHI_STATUS_UNREACHABLE || st == CHI_STATUS_SHUTDOWN ||
                     (w->o.removals && is_removed(st)), s->id, st);
    }
    sub_free(s);
}

/* --- the target */

static size_t body_writer(struct xfer_in *in, uint8_t *dst, size_t cap)
{
    const struct job *j = in->user;
    uint32_t n = own_body(j->at->w, j->hash);
    if (cap < n)
        return 0;
    fill(dst, n, key_body(j->hash));
    return n;
}

static void job_drop(struct job *j)
{
    j->at->jobs_open--;
    j->prev->next = j->next;
    j->next->prev = j->prev;
    free(j->body);
    j->body = NULL;
    j->at = NULL;
    if (!j->scheduled)
        free(j);
}

/* Some that may be are the last word: the job ends with it. */
static bool last_word(const struct job *j, const struct xfer_answer *a)
{
    bool may = a->status != CHI_STATUS_OK || (!j->in->nregions && a->body_length <= XFER_ANSWER_SMALL);
    return may && sim_mix(j->hash, 6) % 100 < j->at->w->o.lasts;
}

static void make_outputs(struct job *j, struct xfer_answer *a)
{
    struct world *w = j->at->w;
    for (uint32_t k = 0; k < j->in->nregions; k++) {
        struct chi_ar_region *r = &j->in->regions[k];
        if (!(r->flags & CHI_EXPOSE))
            continue;
        r->used = own_used(j->hash, k, r->size);
        fill(r->ptr, r->used, key_out(j->hash, k));
    }
    a->body_length = own_body(w, j->hash);
    if (a->body_length <= BODY_WRITER_MAX && sim_mix(j->hash, 4) % 2) {
        a->write = body_writer;
        return;
    }
    a->body = j->body = malloc(a->body_length + 1);
    if (!j->body)
        abort();
    fill(j->body, a->body_length, key_body(j->hash));
}

void load_answer(struct job *j)
{
    struct world *w = j->at->w;
    struct xfer_answer a = {.status = own_status(j->hash)};
    j->answered = true;
    if (a.status == CHI_STATUS_OK)
        make_outputs(j, &a);
    j->at->orphans += LIST_ENTRY(j->in, struct msg_in, pub)->session == NULL;
    if (last_word(j, &a)) {
        fill(xfer_answer_room(j->in), a.body_length, key_body(j->hash));
        xfer_answer_last(j->at->x, j->in, a.status, a.body_length, w->now);
        job_drop(j);
    } else {
        xfer_answer(j->at->x, j->in, &a, w->now);
    }
}

static void answer_later(struct job *j, uint64_t when)
{
    struct world *w = j->at->w;
    uint32_t node = j->at->node - 1;
    if (w->paused_ns[node] > when)
        when = w->paused_ns[node];
    if (w->stalled_ns[node] > when)
        when = w->stalled_ns[node];
    j->scheduled = true;
    net_event(w, &(struct event){.kind = EV_ANSWER, .job = j, .when = when});
}

static bool consumer_sleeps(const struct endpoint *e) { return host_paused(e) || e->w->stalled_ns[e->node - 1] > e->w->now; }

void load_answer_event(struct job *j)
{
    j->scheduled = false;
    if (!j->at) {
        free(j);
    } else if (!j->answered && consumer_sleeps(j->at)) {
        answer_later(j, j->at->w->now);
    } else if (!j->answered) {
        struct endpoint *e = j->at;
        load_answer(j);
        host_drain(e);
        count_endpoint(e);
    }
}

static void check_task(struct world *w, const struct xfer_event *ev, const struct form_head *h)
{
    uint64_t id = h->query.value;
    if (!CHECK(w, id < w->sub_count, id, w->sub_count))
        return;
    struct sub *s = w->subs[id];
    s->runs++;
    CHECK(w, s->runs == 1, id, s->runs);
    CHECK(w, s->from->node == ev->node && ev->length == s->form_length, id, ev->length);
    uint32_t prefix = form_prefix_bytes(h->regions);
    CHECK(w, filled(ev->bytes + prefix, ev->length - prefix, key_body(~id)), id, ev->length);
}

/* True when all inputs are there; what is there is right. */
static bool check_inputs(struct world *w, struct job *j)
{
    bool whole = true, sure = trusted(w, j->at->node, j->in->node);
    for (uint32_t k = 0; k < j->in->nregions; k++) {
        const struct chi_ar_region *r = &j->in->regions[k];
        uint64_t ready = xfer_ready(j->in, k);
        whole &= ready == r->size;
        CHECK(w, ready == r->size || (ready < r->size && r->flags & CHI_STREAM), ready, r->size);
        CHECK(w, ready >= j->seen[k], ready, j->seen[k]);
        if (r->flags & CHI_WRITE && sure && ready > j->seen[k]) /* once it is whole, all of it again */
            CHECK(w, filled_from(r->ptr, ready < r->size ? j->seen[k] : 0, ready, key_in(j->hash, k)), j->hash, k);
        j->seen[k] = ready;
    }
    return whole;
}

/* Sends a part of the outputs; of a region that comes in too only when nothing more comes. */
static void push(struct job *j, bool whole)
{
    for (uint32_t k = 0; k < j->in->nregions; k++) {
        struct chi_ar_region *r = &j->in->regions[k];
        if (!(r->flags & CHI_EXPOSE) || (r->flags & CHI_WRITE && !whole))
            continue;
        uint64_t used = own_used(j->hash, k, r->size);
        fill(r->ptr, used, key_out(j->hash, k));
        xfer_push(j->at->x, j->in, k, sim_mix(j->hash, 600 + k + 100 * j->turns) % (used + 1), j->at->w->now);
    }
}

/* A turn of its consumer: it answers now, or later, or waits for more of the inputs; now and then it needs no more. */
static void go_on(struct job *j, bool whole)
{
    struct world *w = j->at->w;
    struct prng p = sim_keyed(w, 'J', sim_mix(j->hash, ++j->turns));
    bool sleeps = consumer_sleeps(j->at);
    if (!sleeps && sim_draw(&p, 1, 100) <= w->o.pushes)
        push(j, whole);
    if (!whole && sim_draw(&p, 0, 15))
        return;
    if (sim_draw(&p, 0, 1) && !sleeps)
        load_answer(j);
    else
        answer_later(j, w->now + sim_draw(&p, 0, sim_draw(&p, 0, 9) ? 300 * SIM_US : 30 * SIM_MS));
}

static void more(struct endpoint *e, const struct xfer_event *ev)
{
    struct job *j = ev->in->user;
    if (!CHECK(e->w, j->at == e && !j->answered && j->in == ev->in, j->hash, j->answered))
        return;
    bool whole = check_inputs(e->w, j);
    if (!j->scheduled)
        go_on(j, whole);
}

static void task(struct endpoint *e, const struct xfer_event *ev)
{
    struct world *w = e->w;
    struct form_head h;
    if (form_decode(ev->bytes, ev->length, &h) != CHI_DROP_NONE) { /* only its regions are known to be sound */
        CHECK(w, !trusted(w, e->node, ev->node), ev->node, ev->length);
        xfer_answer_last(e->x, ev->in, CHI_STATUS_ARCHIVE, 0, w->now);
        return;
    }
    struct job *j = calloc(1, sizeof *j);
    if (!j)
        abort();
    CHECK(w, ev->in->nregions == h.regions, ev->length, 0);
    for (uint32_t k = 0; k < ev->in->nregions; k++) {
        const struct chi_ar_region *r = &ev->in->regions[k];
        CHECK(w, r->size == h.region[k].size && r->flags == h.region[k].flags && r->ptr && r->used == 0, r->size, k);
        CHECK(w, r->size <= load_largest(w), r->size, k);
    }
    if (trusted(w, e->node, ev->node))
        check_task(w, ev, &h);
    e->jobs_open++;
    j->at = e;
    j->hash = h.query.value;
    j->in = ev->in;
    j->next = e->jobs.next;
    j->prev = &e->jobs;
    j->next->prev = j;
    e->jobs.next = j;
    ev->in->user = j;
    go_on(j, check_inputs(w, j));
}

static void cancelled(struct endpoint *e, const struct xfer_event *ev)
{
    struct job *j = ev->in->user;
    if (!CHECK(e->w, j->at == e && !j->answered && j->in == ev->in, j->hash, j->answered))
        return;
    /* Not run, but its answer is due all the same. */
    if (consumer_sleeps(e) && !j->scheduled)
        answer_later(j, e->w->now);
    else if (!consumer_sleeps(e) && (!j->scheduled || sim_mix(j->hash, 5) % 2))
        load_answer(j);
}

static void answered(struct endpoint *e, const struct xfer_event *ev)
{
    struct job *j = ev->in->user;
    if (CHECK(e->w, j->at == e && j->answered && j->in == ev->in, j->hash, j->answered))
        job_drop(j);
}

void load_event(struct endpoint *e, const struct xfer_event *ev)
{
    switch ((enum xfer_event_kind)ev->kind) {
    case XFER_TASK:
        task(e, ev);
        return;
    case XFER_DONE:
        done(e, ev);
        return;
    case XFER_ANSWERED:
        answered(e, ev);
        return;
    case XFER_CANCELLED:
        cancelled(e, ev);
        return;
    case XFER_MORE:
        more(e, ev);
        return;
    case XFER_PEER_DOWN: /* no false alarm */
        e->w->downs++;
        CHECK(e->w, e->w->o.silence_ms < SIM_SILENCE_LONG_MS || e->w->o.removals || !trusted(e->w, e->node, ev->node), ev->node, ev->incarnation);
        return;
    case XFER_PEER_UP:
        CHECK(e->w, ev->node != e->node && ev->incarnation, ev->node, ev->incarnation);
        return;
    }
    sim_failed(e->w, "an event of no kind", ev->kind, 0);
}

void load_stopped(struct endpoint *e, bool crash)
{
    struct world *w = e->w;
    for (uint32_t i = 0; i < w->sub_count; i++) {
        struct sub *s = w->subs[i];
        if (s->over || s->from != e)
            continue;
        CHECK(w, crash, s->id, 0); /* an orderly end ends them all */
        sub_free(s);
    }
    while (e->jobs.next != &e->jobs)
        job_drop(e->jobs.next);
}

void load_free(struct world *w)
{
    for (uint32_t i = 0; i < w->sub_count; i++) {
        if (!w->subs[i]->over)
            sub_free(w->subs[i]);
        free(w->subs[i]);
    }
    free(w->subs);
}
