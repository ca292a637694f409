/* jobs.c - what each task is to do, and what may become of it. */
#include "graph.h"

struct job jobs[JOBS_MAX];
uint32_t job_count;
uint64_t ends[64];

CHI_FIELDS(job_fields) = {CHI_IN(U64, struct call, number), CHI_OUT(U64, struct call, who), CHI_OUT(U64, struct call, sum)};
struct chi_method job_method = CHI_METHOD(JOB, struct call, job_fields);
CHI_FIELDS(data_fields) = {CHI_IN(U64, struct data_call, call.number),  CHI_OUT(U64, struct data_call, call.who), CHI_OUT(U64, struct data_call, call.sum),
                           CHI_BULK_IN(struct data_call, in),           CHI_BULK_INOUT(struct data_call, both),   CHI_BULK_OUT(struct data_call, out)};
struct chi_method data_method = CHI_METHOD(DATA, struct data_call, data_fields);
CHI_FIELDS(share_fields) = {CHI_IN(U64, struct share_call, call.number), CHI_OUT(U64, struct share_call, call.who),
                            CHI_OUT(U64, struct share_call, call.sum), CHI_BULK_SLICED(INOUT, struct share_call, both),
                            CHI_BULK_SLICED(OUT, struct share_call, out)};
struct chi_method share_method = CHI_METHOD(SHARE, struct share_call, share_fields);

CHI_FIELDS(text_fields) = {CHI_IN(U64, struct text_call, call.number), CHI_OUT(U64, struct text_call, call.who),
                           CHI_OUT(U64, struct text_call, call.sum), CHI_BYTES(INOUT, struct text_call, text)};
struct chi_method text_method = CHI_METHOD(TEXT, struct text_call, text_fields);

CHI_FIELDS(flow_fields) = {CHI_IN(U64, struct flow_call, call.number), CHI_OUT(U64, struct flow_call, call.who),
                           CHI_OUT(U64, struct flow_call, call.sum), CHI_BULK_OUT(struct flow_call, out), CHI_BULK_IN_STREAM(struct flow_call, in)};
struct chi_method flow_method = CHI_METHOD(FLOW, struct flow_call, flow_fields);

/* --- drawn */

static void to_one(struct job *j, uint32_t container)
{
    j->first = container;
    j->count = container < world.containers;
    j->must = CHI_STATUS_NO_CONTAINER;
}

static void to_several(struct job *j, uint32_t first, uint32_t count)
{
    j->fan = true;
    j->first = first;
    j->count = first + count <= world.containers ? count : 0;
    j->must = count ? CHI_STATUS_NO_CONTAINER : CHI_STATUS_INVALID;
}

/* A query for one or several, and for which. */
static struct chi_query draw_concrete(struct job *j, struct prng *p)
{
    uint64_t k = prng_below(p, 90), n = prng_below(p, world.containers);
    if (k < 20) {
        to_one(j, (j->node - 1) * world.per_node);
        return chi_local();
    }
    if (k < 45) {
        n += prng_below(p, 20) == 0 ? world.containers : 0;
        to_one(j, (uint32_t)n);
        return chi_direct(n);
    }
    if (k < 55) {
        uint64_t hash = prng_next(p);
        to_one(j, (uint32_t)(hash % world.containers));
        return chi_hash(hash);
    }
    if (k < 65) {
        uint32_t node = prng_below(p, 10) ? (uint32_t)prng_below(p, world.nodes) + 1 : 99;
        to_one(j, (node - 1) * world.per_node);
        j->must = CHI_STATUS_NO_NODE;
        return chi_physical(node);
    }
    if (k < 80) {
        uint32_t count = (uint32_t)(prng_below(p, 20) ? 1 + prng_below(p, world.containers - n) : prng_below(p, 2) * world.containers * 2);
        to_several(j, (uint32_t)n, count);
        return chi_range(n, count);
    }
    to_several(j, 0, world.containers);
    return chi_broadcast();
}

static void draw_query(struct job *j, struct prng *p)
{
    if (prng_below(p, 10)) {
        j->query = draw_concrete(j, p);
        return;
    }
    uint64_t k = prng_below(p, 10);
    j->query = chi_dynamic();
    j->concrete = chi_query_make(0, 0); /* the monitor leaves it to the default */
    to_one(j, (j->node - 1) * world.per_node);
    if (k == 0) {
        j->concrete = chi_dynamic();
        j->count = 0;
        j->must = CHI_STATUS_NO_ROUTE;
    } else if (k < 8) {
        j->concrete = draw_concrete(j, p);
    }
}

static bool draw_memory(struct job *j, struct prng *p, struct chi_rctx *r)
{
    uint32_t parts = j->fan && j->count ? j->count : 1;
    j->bytes = prng_below(p, (prng_below(p, 4) ? 300 : BULK_MAX) / parts) * parts;
    if (j->method == FLOW)
        j->bytes *= world.tight ? 1 : 5;
    j->merges = j->method == DATA && j->fan && prng_below(p, 2);
    if ((j->method == DATA || j->method == FLOW) && j->fan && j->count && !j->merges) {
        j->count = 0;
        j->must = CHI_STATUS_UNSUPPORTED; /* one buffer, and nobody merges */
    }
    if (j->method == SHARE && parts > 1 && prng_below(p, 10) == 0) {
        j->bytes++;
        j->count = 0;
        j->must = CHI_STATUS_INVALID; /* no equal parts */
    }
    if (!j->bytes)
        return true;
    j->memory = chi_mem_get(r, 3 * j->bytes);
    for (uint64_t i = 0; j->memory && i < j->bytes; i++) {
        j->memory[i] = j->memory[j->bytes + i] = job_byte(j, i);
        j->memory[2 * j->bytes + i] = 0xee;
    }
    return j->memory;
}

static void fill_call(const struct job *j, struct chi_task *t)
{
    uint8_t *m = j->memory;
    struct text_call *text = (struct text_call *)t;
    text->call.number = j->number;
    if (j->method == TEXT) {
        text->text.len = (uint32_t)j->bytes;
        for (uint64_t i = 0; i < j->bytes; i++)
            text->text.data[i] = job_byte(j, i);
    }
    if (j->method == DATA) {
        struct data_call *c = (struct data_call *)t;
        c->in = (struct chi_bulk){m, j->bytes, 0};
        c->both = (struct chi_bulk){m ? m + j->bytes : NULL, j->bytes, 0};
        c->out = (struct chi_bulk){m ? m + 2 * j->bytes : NULL, j->bytes, 0};
    } else if (j->method == FLOW) {
        struct flow_call *c = (struct flow_call *)t;
        c->in = (struct chi_bulk){m, j->bytes, 0};
        c->out = (struct chi_bulk){m ? m + 2 * j->bytes : NULL, j->bytes, 0};
    } else if (j->method == SHARE) {
        struct share_call *c = (struct share_call *)t;
        c->both = (struct chi_bulk){m ? m + j->bytes : NULL, j->bytes, 0};
        c->out = (struct chi_bulk){m ? m + 2 * j->bytes : NULL, j->bytes, 0};
    }
}

static struct job *job_begin(struct chi_rctx *r, uint64_t root, uint64_t seed)
{
    struct job *j = &jobs[job_count];
    *j = (struct job){.number = job_count, .seed = seed, .root = root, .bad = UINT32_MAX, .refused = UINT32_MAX, .method = JOB};
    j->node = r->worker->rt->options.node_id;
    j->worker = r->worker->index;
    j->replicas = (struct chi_replicas){j->replica, CONTAINERS_MAX, 0};
    return j;
}

/* Its record; or it never was. */
static struct chi_task *job_made(struct chi_rctx *r, struct job *j)
{
    struct chi_method *const methods[] = {NULL, &job_method, &data_method, &share_method, &text_method, &flow_method};
    struct chi_task *t = chi_task_new(r, methods[j->method]);
    if (!t) {
        CHECK(world.tight);
        if (j->memory)
            chi_mem_put(r, j->memory, 3 * j->bytes);
        return NULL;
    }
    job_count++;
    t->pool = POOL;
    t->query = j->query;
    t->replicas = &j->replicas;
    fill_call(j, t);
    return t;
}

struct chi_task *job_new(struct chi_rctx *r, struct prng *p, uint64_t root, uint32_t depth)
{
    if (job_count == JOBS_MAX)
        return NULL;
    struct job *j = job_begin(r, root, prng_next(p));
    uint64_t k = prng_below(p, 11);
    j->method = k < 5 ? JOB : k < 7 ? DATA : k < 9 ? SHARE : k < 10 ? TEXT : FLOW;
    j->depth = (uint16_t)depth;
    draw_query(j, p);
    if (j->method == TEXT)
        j->bytes = prng_below(p, TEXT_MAX + 1);
    else if (j->method != JOB && !draw_memory(j, p, r))
        return NULL;
    j->merges |= j->method == JOB && prng_below(p, 2);
    if (j->count && prng_below(p, 6) == 0)
        j->bad = j->first + (uint32_t)prng_below(p, j->count);
    if (j->count && prng_below(p, 20) == 0)
        j->refused = j->first + (uint32_t)prng_below(p, j->count);
    struct chi_task *t = job_made(r, j);
    if (t && prng_below(p, 12) == 0) {
        j->hurried = true;
        t->timeout_us = 20 + (uint32_t)prng_below(p, 2000);
    }
    if (t && prng_below(p, 40) == 0) {
        t->pool.minor = 7;
        j->count = 0;
        j->must = CHI_STATUS_NO_POOL;
    }
    return t;
}

struct chi_task *job_new_kin(struct chi_rctx *r, uint64_t root, struct lock *l, uint8_t mode, uint32_t container)
{
    if (job_count == JOBS_MAX)
        return NULL;
    struct job *j = job_begin(r, root, container);
    j->enter = l;
    j->mode = mode;
    j->query = chi_direct(container);
    to_one(j, container);
    return job_made(r, j);
}

void job_submit(struct chi_rctx *r, struct chi_task *t, chi_done_fn done)
{
    struct job *j = job_of(t);
    if (!j->fan && j->count && container_node(j->first) == j->node)
        j->order = ++post_of(r->worker)->submitted;
    j->waited = !done;
    world_note(j->number * 64 + t->query.kind);
    chi_task_submit(r, t, done, NULL);
    CHECK_JOB(j, !j->ended); /* never before it returns */
}

/* --- what may become of it */

static bool some_node_ended(void)
{
    for (uint32_t k = 0; k < world.nodes; k++)
        if (world.node[k].stopped || world.node[k].dead)
            return true;
    return false;
}

/* Its surroundings explain the status, whatever it was to do. */
static bool is_explained(const struct job *j, uint32_t st)
{
    switch (st) {
    case CHI_STATUS_NO_MEMORY:
    case CHI_STATUS_TOO_BIG:
        return world.tight;
    case CHI_STATUS_DEADLINE:
    case CHI_STATUS_UNREACHABLE:
        return j->hurried || some_node_ended();
    case CHI_STATUS_SHUTDOWN:
    case CHI_STATUS_PEER_DOWN:
    case CHI_STATUS_PEER_RESTARTED:
        return some_node_ended();
    default:
        return false;
    }
}

/* In one container. */
static void judge_visit(const struct job *j, uint32_t container, uint32_t st)
{
    const struct visit *v = &j->visit[container];
    if (st == CHI_STATUS_OK)
        CHECK_JOB(j, v->runs == 1 && v->ended && container != j->bad && container != j->refused);
    else if (st == CHI_STATUS_MODULE)
        CHECK_JOB(j, container == j->refused ? v->runs == 0 : container == j->bad && v->runs == 1 && v->ended);
    else
        CHECK_JOB(j, is_explained(j, st));
    if (st == CHI_STATUS_UNREACHABLE)
        CHECK_JOB(j, v->runs == 0);
}

/* sum: what the containers that it ran in well add up to. */
static void judge_data(const struct job *j, const struct data_call *c, uint64_t sum)
{
    const uint8_t *both = c->both.ptr, *out = c->out.ptr;
    CHECK_JOB(j, c->both.used == j->bytes && c->out.used == job_used(j));
    for (uint64_t i = 0; i < j->bytes; i++)
        CHECK_JOB(j, both[i] == (uint8_t)(job_byte(j, i) + 1) && (i >= c->out.used || out[i] == (uint8_t)(sum * job_byte(j, i))));
}

/* The part that was one container's. */
static void judge_share(const struct job *j, const struct share_call *c, uint32_t container, uint64_t at, uint64_t bytes, bool ok)
{
    const uint8_t *both = c->both.ptr, *out = c->out.ptr;
    for (uint64_t i = at; i < at + bytes; i++) {
        CHECK_JOB(j, both[i] == (ok ? (uint8_t)(job_byte(j, i) + 1) : 0));
        CHECK_JOB(j, out[i] == (ok ? (uint8_t)(container + 1) : 0));
    }
}

static void judge_text(const struct job *j, const struct text_call *c)
{
    CHECK_JOB(j, c->text.len == j->bytes);
    for (uint64_t i = 0; i < j->bytes; i++)
        CHECK_JOB(j, c->text.data[i] == (uint8_t)(job_byte(j, i) + c->call.who));
}

static void judge_flow(const struct job *j, const struct flow_call *c)
{
    CHECK_JOB(j, c->out.used == j->bytes);
    for (uint64_t i = 0; i < j->bytes; i++)
        CHECK_JOB(j, ((const uint8_t *)c->out.ptr)[i] == (uint8_t)(job_byte(j, i) + 3));
}

static void judge_one(const struct job *j, const struct chi_task *t)
{
    const struct call *c = (const struct call *)t;
    judge_visit(j, j->first, t->status);
    if (t->status != CHI_STATUS_OK)
        return;
    CHECK_JOB(j, c->who == j->first && c->sum == job_sum(j, j->first));
    if (j->method == DATA)
        judge_data(j, (const struct data_call *)t, c->sum);
    if (j->method == SHARE)
        judge_share(j, (const struct share_call *)t, j->first, 0, j->bytes, true);
    if (j->method == TEXT)
        judge_text(j, (const struct text_call *)t);
    if (j->method == FLOW)
        judge_flow(j, (const struct flow_call *)t);
}

static void judge_several(const struct job *j, const struct chi_task *t)
{
    const struct call *c = (const struct call *)t;
    uint32_t first_bad = CHI_STATUS_OK, first_ok = UINT32_MAX;
    uint64_t all = 0;
    CHECK_JOB(j, j->replicas.count == j->count);
    for (uint32_t i = 0; i < j->count; i++) {
        const struct chi_replica *r = &j->replica[i];
        bool ok = r->status == CHI_STATUS_OK;
        CHECK_JOB(j, r->container == j->first + i);
        judge_visit(j, r->container, r->status);
        all += ok ? job_sum(j, r->container) : 0;
        first_ok = ok && first_ok == UINT32_MAX ? r->container : first_ok;
        first_bad = !ok && !first_bad ? r->status : first_bad;
        if (j->method == SHARE)
            judge_share(j, (const struct share_call *)t, r->container, j->bytes / j->count * i, j->bytes / j->count, ok);
    }
    CHECK_JOB(j, t->status == first_bad);
    if (j->merges)
        CHECK_JOB(j, c->sum == all);
    if (j->method == TEXT && first_ok != UINT32_MAX)
        judge_text(j, (const struct text_call *)t);
    if (j->method == DATA && first_ok != UINT32_MAX)
        judge_data(j, (const struct data_call *)t, all);
    if (!j->merges && first_ok != UINT32_MAX)
        CHECK_JOB(j, c->who == first_ok && c->sum == job_sum(j, first_ok));
}

static void judge_unstarted(const struct job *j, uint32_t st)
{
    CHECK_JOB(j, (!j->count && st == (uint32_t)j->must) || is_explained(j, st));
    for (uint32_t i = 0; i < CONTAINERS_MAX; i++)
        CHECK_JOB(j, !j->visit[i].runs);
}

void job_judge(struct chi_rctx *r, struct chi_task *t)
{
    struct job *j = job_of(t);
    j->task_status = t->status;
    CHECK_JOB(j, j->ended++ == 0);
    CHECK_JOB(j, worker_current() == r->worker && r->worker->rt->options.node_id == j->node && r->worker->index == j->worker);
    CHECK_JOB(j, t->status < 64);
    ends[t->status]++;
    world_note(j->number << 32 | t->status);
    world_note(world.now_ns);
    if (!j->count || (j->fan && !j->replicas.count))
        judge_unstarted(j, t->status);
    else if (j->fan)
        judge_several(j, t);
    else
        judge_one(j, t);
    if (j->memory)
        chi_mem_put(r, j->memory, 3 * j->bytes);
    j->memory = NULL;
}

void job_done(struct chi_rctx *r, struct chi_task *t, void *arg)
{
    (void)arg;
    struct job *j = job_of(t);
    struct prng p;
    job_judge(r, t);
    chi_task_del(r, t);
    prng_init(&p, j->seed + 1);
    if (prng_below(&p, 8))
        return;
    struct chi_task *more = j->depth < 3 ? job_new(r, &p, 0, j->depth + 1) : NULL;
    if (more)
        job_submit(r, more, job_done);
}

void jobs_end(void)
{
    for (uint32_t i = 0; i < job_count; i++) {
        const struct job *j = &jobs[i];
        CHECK_JOB(j, j->ended == !j->given_up || is_dead(j->node));
        for (uint32_t c = 0; c < world.containers; c++)
            CHECK_JOB(j, is_dead(container_node(c)) ||
                             (j->visit[c].runs ? j->visit[c].dels == 1 && j->visit[c].ended : j->visit[c].dels <= 1));
    }
}
