/* module.c - the module whose tasks the graph is made of: each does what its job's seed draws. */
#include "chi/lock.h"
#include "graph.h"

enum { LANES = 3, LOCKS = 3, STEPS_MAX = 4, PARKED_MAX = 64, WAITING_MAX = 150, SEM_UNITS = 2 };
enum lock_mode { MUTEX, READ, WRITE };

struct lock { /* and who holds it, by what was seen */
    struct chi_mutex mutex;
    struct chi_rwlock rw;
    bool is_rw;
    struct hold {
        uint64_t ticket, root;
        bool write, has;    /* has: else it asked for it, */
        bool read_meanwhile; /* and its root read at some time since */
    } hold[JOBS_MAX];
    uint32_t holds;
    uint64_t tickets;
};
static struct container {
    struct lock lock[LOCKS];
    struct chi_sem sem;
    uint32_t units;
    uint64_t order[LANES][WORKERS_OF_NODE]; /* the last that began, of those that a worker submitted */
} containers[CONTAINERS_MAX];

struct run {
    struct job *j;
    struct chi_rctx *r;
    struct container *c;
    struct task *t;
    uint32_t id;
    uint64_t root;
    struct prng p;
};

void module_begin(void)
{
    memset(containers, 0, sizeof containers);
    for (int i = 0; i < CONTAINERS_MAX; i++) {
        containers[i].lock[LOCKS - 1].is_rw = true;
        containers[i].sem.count = SEM_UNITS;
    }
}
void module_end(void)
{
    static const struct chi_mutex free_mutex;
    for (uint32_t i = 0; i < world.containers; i++) {
        if (is_dead(container_node(i)))
            continue;
        const struct container *c = &containers[i];
        CHECK(c->sem.count == SEM_UNITS && !c->units && !c->sem.lock.first && !c->sem.lock.asked && !c->sem.lock.calls);
        for (int k = 0; k < LOCKS; k++) {
            CHECK(c->lock[k].holds == 0 && !c->lock[k].mutex.by.times && !c->lock[k].rw.writer.by.times);
            CHECK(memcmp(&c->lock[k].mutex.lock, &free_mutex.lock, sizeof free_mutex.lock) == 0);
            CHECK(memcmp(&c->lock[k].rw.writer.lock, &free_mutex.lock, sizeof free_mutex.lock) == 0);
        }
    }
}

/* --- one runs on a worker; it does not while it waits */

static void go_in(struct run *x)
{
    struct post *post = post_of(x->r->worker);
    CHECK_JOB(x->j, worker_current() == x->r->worker && !post->active);
    post->active = x->j;
}
static void go_out(struct run *x)
{
    struct post *post = post_of(x->r->worker);
    CHECK_JOB(x->j, post->active == x->j);
    post->active = NULL;
}
static bool is_stopped(const struct run *x) { return x->r->worker->rt->stopping; }
/* What a call that may wait returned. */
static bool waited_well(struct run *x, enum chi_status st)
{
    go_in(x);
    if (st == CHI_STATUS_OK)
        return true;
    CHECK_JOB(x->j, st == CHI_STATUS_SHUTDOWN ? is_stopped(x) : st == CHI_STATUS_NO_MEMORY && world.tight);
    return false;
}

static void do_yield(struct run *x)
{
    go_out(x);
    (void)waited_well(x, chi_yield(x->r));
}
static void do_sleep(struct run *x)
{
    uint64_t us = prng_below(&x->p, 200), until = x->r->now_ns + us * 1000;
    go_out(x);
    if (waited_well(x, chi_sleep_us(x->r, us)))
        CHECK_JOB(x->j, x->r->now_ns >= until);
}
static void rest(struct run *x)
{
    if (prng_below(&x->p, 2))
        do_yield(x);
    else
        do_sleep(x);
}

/* --- subtasks */

static void wait_for(struct run *x, struct chi_task *const *t, unsigned n)
{
    go_out(x);
    if (!waited_well(x, chi_task_wait(x->r, t, n))) { /* not ours any more */
        for (unsigned i = 0; i < n; i++)
            job_of(t[i])->given_up = true;
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        job_judge(x->r, t[i]);
        chi_task_del(x->r, t[i]);
    }
}

static void do_subtasks(struct run *x)
{
    struct chi_task *t[4];
    unsigned n = 0, most = 1 + (unsigned)prng_below(&x->p, 4);
    for (; n < most; n++) {
        t[n] = job_new(x->r, &x->p, x->root, x->j->depth + 1);
        if (!t[n])
            break;
        if (world.tight && job_of(t[n])->memory) { /* if it could not wait it would never know when its memory is free */
            job_submit(x->r, t[n], job_done);
            break;
        }
        job_submit(x->r, t[n], NULL);
    }
    if (n)
        wait_for(x, t, n);
}
static void do_child(struct run *x)
{
    struct chi_task *t = job_new(x->r, &x->p, x->root, x->j->depth + 1);
    if (t)
        job_submit(x->r, t, job_done);
}

/* --- locks */

/* With has false: it may do so, as the lock lets a task in before that goes on. */
static bool holds(const struct lock *l, uint64_t root, bool write, bool has)
{
    for (uint32_t i = 0; i < l->holds; i++)
        if (l->hold[i].root == root && l->hold[i].write == write && (l->hold[i].has || !has))
            return true;
    return false;
}
static struct hold *hold_of(struct run *x, struct lock *l, uint64_t ticket)
{
    uint32_t i = 0;
    while (i < l->holds && l->hold[i].ticket != ticket)
        i++;
    CHECK_JOB(x->j, i < l->holds && l->hold[i].root == x->root);
    return &l->hold[i];
}
static uint64_t note_ask(struct run *x, struct lock *l, bool write)
{
    struct hold *h = &l->hold[l->holds];
    *h = (struct hold){.ticket = ++l->tickets, .root = x->root, .write = write, .read_meanwhile = holds(l, x->root, false, false)};
    l->holds++;
    for (uint32_t i = 0; i < l->holds && !write; i++)
        if (l->hold[i].root == x->root)
            l->hold[i].read_meanwhile = true;
    return h->ticket;
}
/* Whose root writes already counts as one that writes once more. */
static bool reads(const struct run *x, const struct lock *l)
{
    for (int i = 0; i < CHI_RWLOCK_READERS; i++)
        if (l->rw.reader[i].times && l->rw.reader[i].root == x->t->root)
            return true;
    return false;
}
/* A ticket, or 0. */
static uint64_t take(struct run *x, struct lock *l, enum lock_mode mode)
{
    bool kin = holds(l, x->root, true, true) || (holds(l, x->root, false, true) && mode == READ);
    bool wrong = mode == WRITE && holds(l, x->root, false, true);
    uint64_t ticket = note_ask(x, l, mode != READ);
    go_out(x);
    enum chi_status st = mode == MUTEX ? chi_mutex_lock(x->r, &l->mutex) : mode == READ ? chi_rwlock_read(x->r, &l->rw) : chi_rwlock_write(x->r, &l->rw);
    struct hold *h = hold_of(x, l, ticket);
    if (kin || wrong || st == CHI_STATUS_INVALID) {
        go_in(x);
        CHECK_JOB(x->j, st == (kin ? CHI_STATUS_OK : CHI_STATUS_INVALID));
        CHECK_JOB(x->j, kin || (mode == WRITE && h->read_meanwhile));
    } else {
        (void)waited_well(x, st);
    }
    if (st != CHI_STATUS_OK) {
        *h = l->hold[--l->holds];
        return 0;
    }
    h->has = true;
    h->write = mode == MUTEX || !reads(x, l);
    for (uint32_t i = 0; i < l->holds; i++)
        CHECK_JOB(x->j, !l->hold[i].has || l->hold[i].root == x->root || !(l->hold[i].write || h->write));
    return ticket;
}
static void give_back(struct run *x, struct lock *l, enum lock_mode mode, uint64_t ticket)
{
    *hold_of(x, l, ticket) = l->hold[l->holds - 1];
    l->holds--;
    CHECK_JOB(x->j, (mode == MUTEX ? chi_mutex_unlock(x->r, &l->mutex) : chi_rwlock_unlock(x->r, &l->rw)) == CHI_STATUS_OK);
}

static void do_lock(struct run *x)
{
    struct lock *l = &x->c->lock[prng_below(&x->p, LOCKS)];
    enum lock_mode mode = !l->is_rw ? MUTEX : prng_below(&x->p, 2) ? READ : WRITE;
    uint64_t ticket = take(x, l, mode);
    if (!ticket)
        return;
    if (prng_below(&x->p, 2))
        rest(x);
    if (prng_below(&x->p, 2)) { /* a subtask of this node, which enters */
        uint32_t container = (x->r->worker->rt->options.node_id - 1) * world.per_node + (uint32_t)prng_below(&x->p, world.per_node);
        struct chi_task *t = job_new_kin(x->r, x->root, l, (uint8_t)(mode == MUTEX ? MUTEX : prng_below(&x->p, 2) ? READ : WRITE), container);
        if (t) {
            job_submit(x->r, t, NULL);
            wait_for(x, &t, 1);
        }
    }
    give_back(x, l, mode, ticket);
}
static void do_kin(struct run *x)
{
    enum lock_mode mode = (enum lock_mode)x->j->mode;
    uint64_t ticket = take(x, x->j->enter, mode);
    if (!ticket)
        return;
    if (prng_below(&x->p, 2))
        do_yield(x);
    give_back(x, x->j->enter, mode, ticket);
}
static void do_sem(struct run *x)
{
    go_out(x);
    if (!waited_well(x, chi_sem_wait(x->r, &x->c->sem)))
        return;
    CHECK_JOB(x->j, ++x->c->units <= SEM_UNITS);
    if (prng_below(&x->p, 2))
        rest(x);
    x->c->units--;
    chi_sem_post(x->r, &x->c->sem);
}
static void do_memory(struct run *x)
{
    uint64_t bytes = 1 + prng_below(&x->p, 3000);
    uint8_t *m = chi_mem_get(x->r, bytes);
    if (!m)
        return;
    memset(m, (int)x->id, bytes);
    do_yield(x);
    CHECK_JOB(x->j, m[0] == (uint8_t)x->id && m[bytes - 1] == (uint8_t)x->id);
    chi_mem_put(x->r, m, bytes);
}

static void act(struct run *x)
{
    static void (*const steps[])(struct run *) = {do_yield, do_sleep, do_lock, do_lock, do_sem, do_memory, do_subtasks, do_subtasks, do_child};
    unsigned n = (unsigned)prng_below(&x->p, STEPS_MAX + 1), kinds = x->j->depth < 3 ? 9 : 6;
    for (unsigned i = 0; i < n && x->r->worker->parked < WAITING_MAX; i++)
        steps[prng_below(&x->p, kinds)](x);
}

/* --- outputs */

static void fill_data(const struct job *j, struct data_call *c)
{
    uint8_t factor = (uint8_t)c->call.sum;
    const uint8_t *in = c->in.ptr;
    uint8_t *both = c->both.ptr, *out = c->out.ptr;
    CHECK_JOB(j, c->in.size == j->bytes && c->both.size == j->bytes && c->out.size == j->bytes);
    for (uint64_t i = 0; i < j->bytes; i++) {
        CHECK_JOB(j, in[i] == job_byte(j, i) && both[i] == job_byte(j, i));
        both[i]++;
        out[i] = (uint8_t)(in[i] * factor);
    }
    c->both.used = j->bytes;
    c->out.used = job_used(j);
}
static void fill_share(const struct job *j, struct share_call *c, uint32_t id)
{
    uint64_t bytes = j->fan ? j->bytes / j->count : j->bytes, at = j->fan ? bytes * (id - j->first) : 0;
    uint8_t *both = c->both.ptr, *out = c->out.ptr;
    CHECK_JOB(j, c->both.size == bytes && c->out.size == bytes);
    for (uint64_t i = 0; i < bytes; i++) {
        CHECK_JOB(j, both[i] == job_byte(j, at + i));
        both[i]++;
        out[i] = (uint8_t)(id + 1);
    }
    c->both.used = c->out.used = bytes;
}
static void fill_text(const struct job *j, struct text_call *c, uint32_t id)
{
    CHECK_JOB(j, c->text.len == j->bytes);
    for (uint64_t i = 0; i < j->bytes; i++) {
        CHECK_JOB(j, c->text.data[i] == job_byte(j, i));
        c->text.data[i] = (uint8_t)(c->text.data[i] + id);
    }
}
static enum chi_status outcome(struct job *j, struct chi_task *task, uint32_t id)
{
    struct call *c = (struct call *)task;
    c->who = id;
    c->sum = job_sum(j, id);
    if (j->method == DATA)
        fill_data(j, (struct data_call *)task);
    if (j->method == SHARE)
        fill_share(j, (struct share_call *)task, id);
    if (j->method == TEXT)
        fill_text(j, (struct text_call *)task, id);
    return j->bad == id ? CHI_STATUS_MODULE : CHI_STATUS_OK;
}

/* --- bytes that come while it runs.  `used` counts those that it took and gave back. */

static enum chi_status flow_more(struct chi_container *c, struct chi_task *task, struct chi_rctx *r, enum chi_status st)
{
    struct flow_call *f = (struct flow_call *)task;
    struct job *j = job_of(task);
    struct post *post = post_of(r->worker);
    uint32_t id = chi_container_id(c);
    uint64_t ready = chi_bulk_ready(r, task, &f->in);
    CHECK_JOB(j, worker_current() == r->worker && !post->active && !j->visit[id].ended && ready <= j->bytes);
    world_note(j->number << 32 | ready);
    for (; f->out.used < ready; f->out.used++) {
        CHECK_JOB(j, ((const uint8_t *)f->in.ptr)[f->out.used] == job_byte(j, f->out.used));
        ((uint8_t *)f->out.ptr)[f->out.used] = (uint8_t)(job_byte(j, f->out.used) + 3);
    }
    if (st == CHI_STATUS_OK && ready < j->bytes) {
        CHECK_JOB(j, j->seed % 2 || chi_bulk_push(r, task, &f->out, ready) == CHI_STATUS_OK);
        chi_bulk_wait(r, task, &f->in, ready + 1 + (j->bytes - ready) / 2, flow_more);
        return CHI_STATUS_PENDING;
    }
    if (st != CHI_STATUS_OK)
        CHECK_JOB(j, st == CHI_STATUS_DEADLINE || st == CHI_STATUS_PEER_DOWN || st == CHI_STATUS_SHUTDOWN);
    j->visit[id].ended = true;
    return j->bad == id ? CHI_STATUS_MODULE : CHI_STATUS_OK;
}

/* --- the module */

static void begin(struct run *x, const struct task *t)
{
    struct visit *v = &x->j->visit[x->id];
    const struct chi_lane *lane = t->lane;
    CHECK_JOB(x->j, x->id >= x->j->first && x->id < x->j->first + x->j->count && x->id != x->j->refused);
    CHECK_JOB(x->j, v->runs++ == 0);
    CHECK_JOB(x->j, lane->owner == x->r->worker->index && lane->container->id == x->id && lane->number < LANES);
    if (x->j->order) {
        uint64_t *last = &x->c->order[lane->number][x->j->worker];
        CHECK_JOB(x->j, x->j->order > *last);
        *last = x->j->order;
    }
    world_note(x->j->number << 16 | x->id << 8 | lane->number);
    go_in(x);
}

static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct job *j = job_of(task);
    uint32_t id = chi_container_id(c);
    struct run x = {.j = j, .r = r, .c = &containers[id], .t = task_of(task), .id = id, .root = j->root};
    struct post *post = post_of(r->worker);
    if (!j->root || chi_container_node(c) != j->node)
        x.root = j->number * CONTAINERS_MAX + id + 1; /* nobody's subtask here */
    prng_init(&x.p, j->seed * CONTAINERS_MAX + id);
    begin(&x, task_of(task));
    if (j->enter)
        do_kin(&x);
    else
        act(&x);
    enum chi_status st = outcome(j, task, id);
    if (j->method == FLOW) {
        chi_bulk_wait(r, task, &((struct flow_call *)task)->in, j->bytes / 3, flow_more);
        st = CHI_STATUS_PENDING;
    } else if (post->parked_count < PARKED_MAX && prng_below(&x.p, 10) == 0) {
        post->parked_until[post->parked_count] = r->now_ns + prng_below(&x.p, 100000);
        post->parked[post->parked_count++] = task;
        st = CHI_STATUS_PENDING;
    }
    j->visit[id].ended = st != CHI_STATUS_PENDING;
    go_out(&x);
    return st;
}

/* Completes what was parked. */
static unsigned poll(struct chi_container *c, struct chi_rctx *r)
{
    struct post *post = post_of(r->worker);
    unsigned n = 0;
    (void)c;
    for (uint32_t i = 0; i < post->parked_count;) {
        if (post->parked_until[i] > r->now_ns) {
            chi_rctx_wake_at(r, post->parked_until[i++]);
            continue;
        }
        struct chi_task *t = post->parked[i];
        struct job *j = job_of(t);
        uint32_t id = task_of(t)->container->id;
        post->parked[i] = post->parked[--post->parked_count];
        post->parked_until[i] = post->parked_until[post->parked_count];
        j->visit[id].ended = true;
        n++;
        chi_complete(r, t, j->bad == id ? CHI_STATUS_MODULE : CHI_STATUS_OK);
    }
    return n;
}

/* What is merged begins with nothing. */
static enum chi_status merge_begin_of(const struct job *j, struct chi_task *task)
{
    struct data_call *c = (struct data_call *)task;
    if (j->merges && j->method == DATA && j->bytes)
        memset(c->out.ptr, 0, c->out.size);
    return j->merges ? CHI_STATUS_OK : CHI_STATUS_UNSUPPORTED;
}
static enum chi_status merge(const struct job *j, struct chi_task *task, const struct chi_task *replica)
{
    struct data_call *to = (struct data_call *)task;
    const struct data_call *from = (const struct data_call *)replica;
    CHECK_JOB(j, j->merges);
    to->call.sum += from->call.sum;
    if (j->method != DATA)
        return CHI_STATUS_OK;
    CHECK_JOB(j, from->both.used == j->bytes && from->out.used == job_used(j));
    for (uint64_t i = 0; i < j->bytes; i++)
        ((uint8_t *)to->both.ptr)[i] = ((const uint8_t *)from->both.ptr)[i];
    for (uint64_t i = 0; i < from->out.used; i++)
        ((uint8_t *)to->out.ptr)[i] = (uint8_t)(((uint8_t *)to->out.ptr)[i] + ((const uint8_t *)from->out.ptr)[i]);
    to->both.used = from->both.used;
    to->out.used = from->out.used;
    return CHI_STATUS_OK;
}

static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    const struct job *j = job_of(task);
    switch (mode) {
    case CHI_GLOBAL_SCHEDULE:
        CHECK_JOB(j, j->query.kind == CHI_QUERY_DYNAMIC);
        if (!j->concrete.kind)
            return CHI_STATUS_UNSUPPORTED;
        task->query = j->concrete;
        return CHI_STATUS_OK;
    case CHI_LOCAL_SCHEDULE:
        if (chi_container_id(c) == j->refused)
            return CHI_STATUS_MODULE;
        if (j->seed % 3 == 0)
            return CHI_STATUS_UNSUPPORTED;
        if (j->seed % 3 == 1)
            chi_rctx_set_lane(r, chi_container_lane_by_hash(c, 0, j->seed >> 8));
        return CHI_STATUS_OK;
    case CHI_REPLICA_START:
        return merge_begin_of(j, task);
    case CHI_REPLICA_AGG:
        return merge(j, task, chi_rctx_replica(r));
    case CHI_FLUSH_WORK: /* nobody flushes */
    case CHI_EST_LOAD:
    case CHI_SAMPLE_LOAD:
    case CHI_REINFORCE_LOAD:
        break;
    }
    return CHI_STATUS_UNSUPPORTED;
}

static void del(struct chi_container *c, struct chi_task *task)
{
    struct job *j = job_of(task);
    CHECK_JOB(j, j->visit[chi_container_id(c)].dels++ == 0);
}

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, LANES); }
static struct chi_method *const methods[] = {&job_method, &data_method, &share_method, &text_method, &flow_method};
const struct chi_chimod graph_module = {.abi = CHI_CHIMOD_ABI, .size = sizeof graph_module, .name = "graph", .methods = methods, .nmethods = 5,
                                        .init = init, .run = run, .monitor = monitor, .del = del, .poll = poll};
