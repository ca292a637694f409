/* load.c - tasks with contents that follow from their number, and the checks on them:
 * - every submission ends exactly once; a method runs at most once, and exactly once when the status is its own;
 * - forms, regions and bodies arrive equal to the byte, and the lengths that were written with them;
 * - no byte outside of an exposed region changes, nor one of it behind the length written;
 * - nothing of a message is touched after its end: its memory is freed at once (the address sanitizer watches).
 * When packets are forged, contents and counts prove nothing; the rest holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/form.h"
#include "sim.h"
#include "wire/le.h"

enum { FILL = 0x77, BODY_WRITER_MAX = 900 };

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t z = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void fill(uint8_t *p, uint64_t n, uint64_t key)
{
    uint64_t v = mix(key, 1);
    for (uint64_t i = 0; i < n; i += 8, v += 0x9e3779b97f4a7c15u)
        memcpy(p + i, &v, n - i < 8 ? n - i : 8);
}

static bool filled(const uint8_t *p, uint64_t n, uint64_t key)
{
    uint64_t v = mix(key, 1);
    for (uint64_t i = 0; i < n; i += 8, v += 0x9e3779b97f4a7c15u)
        if (memcmp(p + i, &v, n - i < 8 ? n - i : 8))
            return false;
    return true;
}

static bool is_all(const uint8_t *p, uint64_t n, uint8_t v)
{
    for (uint64_t i = 0; i < n; i++)
        if (p[i] != v)
            return false;
    return true;
}

static uint64_t key_in(uint64_t hash, uint32_t k) { return mix(hash, 100 + k); }
static uint64_t key_out(uint64_t hash, uint32_t k) { return mix(hash, 200 + k); }
static uint64_t key_body(uint64_t hash) { return mix(hash, 300); }

/* What the method does follows from the hash of the task's number. */
static enum chi_status own_status(uint64_t hash) { return mix(hash, 2) % 10 ? CHI_STATUS_OK : CHI_STATUS_MODULE; }

static uint64_t own_used(uint64_t hash, uint32_t k, uint64_t size)
{
    uint64_t r = mix(hash, 400 + k);
    return r % 4 == 0 ? 0 : r % 4 == 1 ? size : (r >> 8) % (size + 1);
}

static uint32_t own_body(const struct world *w, uint64_t hash)
{
    uint64_t r = mix(hash, 3);
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

static void draw_region(struct world *w, struct sub *s, uint32_t k)
{
    static const uint64_t likely[] = {0, 1, 63, 64, 1000};
    struct chi_ar_region *r = &s->region[k];
    r->flags = (uint32_t)sim_draw(w, 1, 3);
    if ((r->flags & CHI_WRITE) && mix(s->id, 500 + k) % 3 == 0)
        r->flags |= CHI_STREAM;
    uint64_t limit = sim_draw(w, 0, 3) ? 4000 : w->o.region_max;
    r->size = sim_draw(w, 0, 2) ? sim_draw(w, 0, limit) : likely[sim_draw(w, 0, 4)];
    if (sim_draw(w, 0, 400) == 0)
        r->size = w->o.memory_largest + sim_draw(w, 0, 2);
    uint64_t all = r->size + 2 * SIM_GUARD;
    s->buffer[k] = malloc(all);
    if (!s->buffer[k])
        abort();
    memset(s->buffer[k], FILL, all);
    r->ptr = s->buffer[k] + SIM_GUARD;
    if (r->flags & CHI_WRITE)
        fill(r->ptr, r->size, key_in(s->id, k));
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
    s->id = w->sub_count;
    s->from = from;
    s->to = to;
    s->strict = strict;
    w->subs[w->sub_count++] = s;
    uint32_t kind = (uint32_t)sim_draw(w, 0, 9);
    uint32_t regions = kind < 5 ? 0 : kind < 9 ? (uint32_t)sim_draw(w, 1, 4) : (uint32_t)sim_draw(w, 1, CHI_REGIONS_MAX);
    for (uint32_t k = 0; k < regions; k++)
        draw_region(w, s, k);
    s->out.nregions = regions;
    s->out.regions = s->region;
    s->out.deadline_ns = deadline_ns;
    uint32_t body = sim_draw(w, 0, 15) ? (uint32_t)sim_draw(w, 0, 100) : (uint32_t)sim_draw(w, 0, w->o.form_max);
    s->form_length = form_prefix_bytes(regions) + body;
    if (s->form_length <= BODY_WRITER_MAX && sim_draw(w, 0, 1)) {
        s->out.write = form_writer;
    } else {
        s->form = malloc(s->form_length);
        if (!s->form)
            abort();
        write_form(s, s->form);
        s->out.form = s->form;
        s->out.form_length = s->form_length;
    }
    w->open++;
    xfer_send(from->x, to, &s->out, w->now);
    host_drain(from);
}

static bool is_too_big(const struct world *w, const struct sub *s)
{
    for (uint32_t k = 0; k < s->out.nregions; k++)
        if (s->region[k].size > w->o.memory_largest)
            return true;
    return s->form_length > CHI_FORM_BYTES_MAX;
}

static void check_regions(struct world *w, const struct sub *s, bool ok)
{
    for (uint32_t k = 0; k < s->out.nregions; k++) {
        const struct chi_ar_region *r = &s->region[k];
        const uint8_t *p = r->ptr;
        bool wrote = r->flags & CHI_WRITE, exposed = r->flags & CHI_EXPOSE;
        CHECK(w, is_all(s->buffer[k], SIM_GUARD, FILL) && is_all(p + r->size, SIM_GUARD, FILL), s->id, k);
        if (!exposed) {
            CHECK(w, filled(p, r->size, key_in(s->id, k)), s->id, k);
            continue;
        }
        if (!ok) {
            CHECK(w, r->used == 0, s->id, k);
            continue;
        }
        if (w->o.forge)
            continue;
        uint64_t used = own_used(s->id, k, r->size);
        CHECK(w, r->used == used, r->used, used);
        CHECK(w, filled(p, used, key_out(s->id, k)), s->id, k);
        if (!wrote)
            CHECK(w, is_all(p + used, r->size - used, FILL), s->id, k);
    }
}

static void sub_free(struct world *w, struct sub *s)
{
    for (uint32_t k = 0; k < s->out.nregions; k++)
        free(s->buffer[k]);
    free(s->form);
    memset(&s->out, 0xee, sizeof s->out); /* not even its record is read again */
    s->form = NULL;
    s->over = true;
    w->open--;
}

static void done(struct endpoint *e, const struct xfer_event *ev)
{
    struct world *w = e->w;
    struct sub *s = sub_of(ev->out);
    enum chi_status st = ev->status;
    if (!CHECK(w, !s->over && s->from == e, s->id, st))
        return;
    bool own = st == CHI_STATUS_OK || st == CHI_STATUS_MODULE, too_big = is_too_big(w, s);
    s->status = st;
    w->statuses[st % 64]++;
    check_regions(w, s, st == CHI_STATUS_OK);
    if (!w->o.forge) {
        if (own)
            CHECK(w, s->runs == 1 && st == own_status(s->id) && !too_big, s->runs, st);
        else
            CHECK(w, s->runs == 0 || (st != CHI_STATUS_TOO_BIG && st != CHI_STATUS_UNREACHABLE), s->runs, st);
        CHECK(w, st != CHI_STATUS_TOO_BIG || too_big, s->id, st);
        if (s->strict)
            CHECK(w, own || too_big, s->id, st);
        if (st == CHI_STATUS_OK) {
            CHECK(w, ev->length == own_body(w, s->id), ev->length, own_body(w, s->id));
            CHECK(w, filled(ev->bytes, ev->length, key_body(s->id)), s->id, ev->length);
        }
        CHECK(w, own || st == CHI_STATUS_TOO_BIG || st == CHI_STATUS_DEADLINE || st == CHI_STATUS_PEER_RESTARTED ||
                     st == CHI_STATUS_PEER_DOWN || st == CHI_STATUS_UNREACHABLE || st == CHI_STATUS_SHUTDOWN, s->id, st);
    }
    sub_free(w, s);
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
    j->prev->next = j->next;
    j->next->prev = j->prev;
    free(j->body);
    j->body = NULL;
    j->at = NULL;
    if (!j->scheduled)
        free(j);
}

void load_answer(struct job *j)
{
    struct world *w = j->at->w;
    struct xfer_answer a = {.status = own_status(j->hash)};
    j->answered = true;
    if (a.status == CHI_STATUS_OK) {
        for (uint32_t k = 0; k < j->in->nregions; k++) {
            struct chi_ar_region *r = &j->in->regions[k];
            if (!(r->flags & CHI_EXPOSE))
                continue;
            r->used = own_used(j->hash, k, r->size);
            fill(r->ptr, r->used, key_out(j->hash, k));
        }
        a.body_length = own_body(w, j->hash);
        if (a.body_length <= BODY_WRITER_MAX && mix(j->hash, 4) % 2) {
            a.write = body_writer;
        } else {
            a.body = j->body = malloc(a.body_length + 1);
            if (!j->body)
                abort();
            fill(j->body, a.body_length, key_body(j->hash));
        }
    }
    /* One that is the last word: the job ends with it. */
    a.last = mix(j->hash, 5) % 2 && (a.status != CHI_STATUS_OK || (!j->in->nregions && a.body_length <= XFER_ANSWER_SMALL));
    if (a.last && a.status != CHI_STATUS_OK)
        a.body_length = 0;
    else if (a.last) {
        fill(xfer_answer_room(j->in), a.body_length, key_body(j->hash));
        a.body = xfer_answer_room(j->in);
        a.write = NULL;
    }
    xfer_answer(j->at->x, j->in, &a, w->now);
    if (a.last)
        job_drop(j);
}

void load_answer_event(struct job *j)
{
    j->scheduled = false;
    if (j->at && host_paused(j->at)) {
        struct world *w = j->at->w;
        j->scheduled = true;
        net_event(w, &(struct event){.kind = EV_ANSWER, .job = j, .when = w->paused_ns[j->at->node - 1]});
    } else if (!j->at)
        free(j);
    else if (!j->answered)
        load_answer(j);
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
static bool check_inputs(struct world *w, const struct job *j)
{
    bool whole = true;
    for (uint32_t k = 0; k < j->in->nregions; k++) {
        const struct chi_ar_region *r = &j->in->regions[k];
        uint64_t ready = xfer_ready(j->in, k);
        whole &= ready == r->size;
        CHECK(w, ready == r->size || (ready < r->size && r->flags & CHI_STREAM), ready, r->size);
        if (r->flags & CHI_WRITE && !w->o.forge)
            CHECK(w, filled(r->ptr, ready, key_in(j->hash, k)), j->hash, k);
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
        xfer_push(j->at->x, j->in, k, mix(j->hash, 600 + k) % (used + 1), j->at->w->now);
    }
}

/* Answers now, or later, or waits for more of the inputs; now and then it needs no more. */
static void go_on(struct job *j, bool whole)
{
    struct world *w = j->at->w;
    if (sim_draw(w, 0, 1))
        push(j, whole);
    if (!whole && sim_draw(w, 0, 15))
        return;
    if (sim_draw(w, 0, 1)) {
        load_answer(j);
        return;
    }
    struct event later = {.kind = EV_ANSWER, .job = j, .when = w->now + sim_draw(w, 0, sim_draw(w, 0, 9) ? 300000 : 30000000)};
    j->scheduled = true;
    net_event(w, &later);
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
    struct job *j = calloc(1, sizeof *j);
    if (!j)
        abort();
    CHECK(w, form_decode(ev->bytes, ev->length, &h) == CHI_DROP_NONE && ev->in->nregions == h.regions, ev->length, 0);
    for (uint32_t k = 0; k < ev->in->nregions; k++) {
        const struct chi_ar_region *r = &ev->in->regions[k];
        CHECK(w, r->size == h.region[k].size && r->flags == h.region[k].flags && r->ptr && r->used == 0, r->size, k);
        CHECK(w, r->size <= w->o.memory_largest, r->size, k);
    }
    if (!w->o.forge)
        check_task(w, ev, &h);
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
    if (CHECK(e->w, j->at == e && !j->answered && j->in == ev->in, j->hash, j->answered) && (!j->scheduled || sim_draw(e->w, 0, 1)))
        load_answer(j); /* not run, but its answer is due all the same */
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
        CHECK(e->w, e->w->o.silence_ns < SIM_SILENCE_LONG || e->w->o.forge, ev->node, ev->incarnation);
        return;
    case XFER_PEER_UP:
        CHECK(e->w, ev->node != e->node && ev->incarnation, ev->node, ev->incarnation);
        return;
    }
    CHECK(e->w, !"an event of no kind", ev->kind, 0);
}

void load_stopped(struct endpoint *e, bool crash)
{
    struct world *w = e->w;
    for (uint32_t i = 0; i < w->sub_count; i++) {
        struct sub *s = w->subs[i];
        if (s->over || s->from != e)
            continue;
        CHECK(w, crash, s->id, 0); /* an orderly end ends them all */
        s->crashed = true;
        sub_free(w, s);
    }
    while (e->jobs.next != &e->jobs)
        job_drop(e->jobs.next);
}

void load_free(struct world *w)
{
    for (uint32_t i = 0; i < w->sub_count; i++) {
        if (!w->subs[i]->over)
            sub_free(w, w->subs[i]);
        free(w->subs[i]);
    }
    free(w->subs);
}
