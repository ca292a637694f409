#define _GNU_SOURCE
/* A flush by the admin module, on many nodes in one process: it ends when what was there before has, and not before; who may ask for it; what becomes of
 * it when a node does not answer. */
#include "chi/flush.h"
#include "chimods/admin/inner.h"
#include "worker/flush.h"
#include "worker_cluster.h"

enum { NODES = 40, ROUNDS = 20 };
static const struct chi_pool_id ADMIN = {ADMIN_MAJOR, 0}, POOL = {100, 0}, OTHER = {101, 0};
const struct chi_chimod *chi_chimod_entry(void);

enum what { POSTS, PARKS, FLUSHES, FLUSHES_AND_PARKS, WAITS_FOR_ONE_THAT_FLUSHES };
struct job {
    struct chi_task task;
    uint32_t what, depth, status;
};
CHI_FIELDS(job_fields) = {CHI_IN(U32, struct job, what), CHI_IN(U32, struct job, depth), CHI_OUT(U32, struct job, status)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);
static unsigned to_run, own_work, asked; /* tasks that were submitted and have not run; what a container says of itself, and how often it was asked */
static struct { struct chi_task *task; struct chi_rctx *r; } parked[8];
static unsigned parked_count;

static struct job *make_job(struct chi_rctx *r, enum what what, uint32_t depth, struct chi_query q)
{
    struct job *t = (struct job *)chi_task_new(r, &job_method);
    assert_non_null(t);
    t->task.pool = POOL;
    t->task.query = q;
    t->what = what;
    t->depth = depth;
    to_run++;
    return t;
}

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 1); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct job *t = (struct job *)task;
    (void)c;
    to_run--;
    switch ((enum what)t->what) {
    case POSTS:
        if (t->depth)
            chi_task_post(r, &make_job(r, POSTS, t->depth - 1, chi_direct((t->depth * 7) % cluster.count))->task);
        return CHI_STATUS_OK;
    case PARKS:
        parked[parked_count].task = task;
        parked[parked_count++].r = r;
        return CHI_STATUS_PENDING;
    case FLUSHES_AND_PARKS:
        assert_int_equal(chi_flush(r, NULL, 300000), CHI_STATUS_OK);
        parked[parked_count].task = task;
        parked[parked_count++].r = r;
        return CHI_STATUS_PENDING;
    case FLUSHES:
        t->status = chi_flush(r, t->depth ? &POOL : NULL, 300000);
        return CHI_STATUS_OK;
    case WAITS_FOR_ONE_THAT_FLUSHES: {
        struct job *s = make_job(r, FLUSHES, 0, chi_direct(1));
        struct chi_task *sub = &s->task;
        chi_task_submit(r, sub, NULL, NULL);
        assert_int_equal(chi_task_wait(r, &sub, 1), CHI_STATUS_OK);
        t->status = s->status;
        chi_task_del(r, sub);
        return CHI_STATUS_OK;
    }
    }
    return CHI_STATUS_INVALID;
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    (void)c, (void)r;
    if (mode != CHI_FLUSH_WORK)
        return CHI_STATUS_UNSUPPORTED;
    assert_int_equal(task->pool.major, ADMIN.major);
    asked++;
    return own_work && own_work-- ? CHI_STATUS_PENDING : CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1, .init = init, .run = run,
                                       .monitor = monitor};

static void make(uint32_t nodes)
{
    support_stacks = 16;
    to_run = own_work = asked = parked_count = 0;
    cluster_make(nodes, 1, 4, 512, chi_chimod_entry(), ADMIN);
    for (uint32_t k = 0; k < nodes; k++)
        support_pool(cluster.node[k].rt, &jobs, POOL, 1);
}
static struct chi_rctx *enter(uint32_t node)
{
    struct worker *w = cluster.node[node - 1].w;
    worker_enter(w);
    w->rctx.now_ns = net_now_ns();
    return &w->rctx;
}
static void post(uint32_t node, enum what what, uint32_t depth, struct chi_query q)
{
    struct chi_rctx *r = enter(node);
    chi_task_post(r, &make_job(r, what, depth, q)->task);
}
static struct chi_flush_task *flush_from(uint32_t node, const struct chi_pool_id *pool, uint32_t timeout_us, int *ended)
{
    struct chi_rctx *r = enter(node);
    struct chi_flush_task *f = (struct chi_flush_task *)chi_task_new(r, &chi_flush_method);
    chi_flush_init(f, pool, timeout_us);
    chi_task_submit(r, &f->task, cluster_done, ended);
    return f;
}
static enum chi_status until(struct chi_flush_task *f, uint32_t node, const int *ended, int n)
{
    while (*ended < n)
        cluster_turn();
    enum chi_status st = chi_flush_status(f);
    chi_task_del(enter(node), &f->task);
    return st;
}

static void flush__from_any_node_waits_for_all(void **state)
{
    (void)state;
    make(NODES);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct chi_flush_task *f[3];
        int ended = 0, first[3] = {0};
        for (uint32_t i = 0; i < 30; i++)
            post(1 + (i * 11 + round) % NODES, POSTS, i % 6, chi_direct(i % NODES));
        for (uint32_t i = 0; i < 3; i++) /* at once: one after the other */
            f[i] = flush_from(1 + i * 13, i % 2 ? &POOL : NULL, 0, &first[i]);
        while (ended < 3) {
            cluster_turn();
            ended = first[0] + first[1] + first[2];
            if (ended)
                assert_int_equal(to_run, 0);
        }
        for (uint32_t i = 0; i < 3; i++) {
            assert_true(f[i]->counts >= 2);
            assert_int_equal(until(f[i], 1 + i * 13, &first[i], 1), CHI_STATUS_OK);
        }
    }
    for (uint32_t k = 0; k < NODES; k++)
        assert_int_equal(cluster.node[k].w->flushing, FLUSH_NONE);
    cluster_end();
}

static void flush__waits_for_one_that_is_parked(void **state)
{
    (void)state;
    int ended = 0;
    make(3);
    post(2, PARKS, 0, chi_direct(2));
    while (!parked_count)
        cluster_turn();
    struct chi_flush_task *f = flush_from(3, NULL, 0, &ended), *g;
    for (int i = 0; i < 2000; i++) {
        cluster_turn();
        post(1, POSTS, 1, chi_direct(1)); /* others come and go */
    }
    assert_int_equal(ended, 0);
    int others = 0;
    enter(3);
    chi_complete(parked[0].r, parked[0].task, CHI_STATUS_OK);
    parked_count = 0;
    assert_int_equal(until(f, 3, &ended, 1), CHI_STATUS_OK);
    post(2, PARKS, 0, chi_direct(2)); /* of another pool than the one that is flushed */
    while (!parked_count)
        cluster_turn();
    for (uint32_t k = 0; k < 3; k++)
        support_pool(cluster.node[k].rt, &(struct chi_chimod){.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "more", .methods = methods, .nmethods = 1,
                                                              .init = init, .run = run}, OTHER, 1);
    g = flush_from(1, &OTHER, 0, &others);
    assert_int_equal(until(g, 1, &others, 1), CHI_STATUS_OK);
    g = flush_from(1, &POOL, 20000, &others); /* it is not waited for without an end */
    assert_int_equal(until(g, 1, &others, 2), CHI_STATUS_DEADLINE);
    enter(3);
    chi_complete(parked[0].r, parked[0].task, CHI_STATUS_OK);
    g = flush_from(2, &POOL, 0, &others);
    assert_int_equal(until(g, 2, &others, 3), CHI_STATUS_OK);
    g = flush_from(2, &(struct chi_pool_id){99, 0}, 0, &others);
    assert_int_equal(until(g, 2, &others, 4), CHI_STATUS_NO_POOL);
    cluster_end();
}

static void module__says_what_it_has_left(void **state)
{
    (void)state;
    int ended = 0;
    make(3);
    own_work = 10;
    struct chi_flush_task *f = flush_from(2, &POOL, 0, &ended);
    while (!ended)
        cluster_turn();
    assert_int_equal(own_work, 0);
    assert_true(f->counts >= 4 && asked == f->counts * 3); /* each of three containers, each time */
    assert_int_equal(until(f, 2, &ended, 1), CHI_STATUS_OK);
    cluster_end();
}

static enum chi_status run_job(uint32_t node, enum what what, uint32_t depth, struct chi_query q)
{
    int ended = 0;
    struct chi_rctx *r = enter(node);
    struct job *t = make_job(r, what, depth, q);
    chi_task_submit(r, &t->task, cluster_done, &ended);
    while (!ended)
        cluster_turn();
    assert_int_equal(t->task.status, CHI_STATUS_OK);
    enum chi_status st = (enum chi_status)t->status;
    chi_task_del(enter(node), &t->task);
    return st;
}

static void task__that_flushes_is_not_waited_for(void **state)
{
    (void)state;
    make(3);
    for (uint32_t depth = 0; depth < 2; depth++) {
        post(1, POSTS, 5, chi_direct(2));
        assert_int_equal(run_job(2, FLUSHES, depth, chi_local()), CHI_STATUS_OK);
        assert_int_equal(to_run, 0);
    }
    int ended = 0;
    post(3, FLUSHES_AND_PARKS, 0, chi_local());
    while (!parked_count)
        cluster_turn();
    struct chi_flush_task *f = flush_from(1, NULL, 0, &ended);
    for (int i = 0; i < 1000; i++)
        cluster_turn();
    assert_int_equal(ended, 0); /* once its own is over it is like any other */
    enter(3);
    chi_complete(parked[0].r, parked[0].task, CHI_STATUS_OK);
    assert_int_equal(until(f, 1, &ended, 1), CHI_STATUS_OK);
    /* here, but it came from another node, where its record is: that one is waited for */
    assert_int_equal(run_job(1, FLUSHES, 0, chi_direct(2)), CHI_STATUS_DEADLINE);
    assert_int_equal(run_job(1, WAITS_FOR_ONE_THAT_FLUSHES, 0, chi_local()), CHI_STATUS_DEADLINE);
    assert_int_equal(run_job(2, FLUSHES, 0, chi_local()), CHI_STATUS_OK); /* none of it is left */
    cluster_end();
}

static void node__that_is_deaf_ends_it_with_a_status(void **state)
{
    (void)state;
    int ended = 0;
    make(4);
    cluster.node[2].deaf = true;
    struct chi_flush_task *f = flush_from(2, NULL, 50000, &ended);
    while (!ended)
        cluster_turn();
    assert_int_equal(chi_flush_status(f), CHI_STATUS_DEADLINE);
    assert_true(f->task.status != CHI_STATUS_OK || f->node == 3);
    (void)until(f, 2, &ended, 1);
    cluster.node[2].deaf = false;
    f = flush_from(2, NULL, 0, &ended);
    assert_int_equal(until(f, 2, &ended, 2), CHI_STATUS_OK);
    cluster_end();
}

static void wave__of_a_client_is_refused(void **state)
{
    (void)state;
    make(1);
    struct support_client c;
    struct shm_complete answer;
    struct worker *w = cluster.node[0].w;
    support_connect(&c, 8);
    support_attach(&c, w);
    struct admin_wave t = {.task = {.pool = ADMIN, .query = chi_local(), .method = &admin_wave_method}, .id = 1, .phase = FLUSH_MARKING};
    struct shm_submit s = support_form(&c, &t.task, 0, 0);
    support_submit(&c, &s);
    while (!support_answer(&c, &answer))
        cluster_turn();
    assert_int_equal(answer.status, CHI_STATUS_UNSUPPORTED);
    assert_int_equal(w->flushing, FLUSH_NONE);
    support_leave(&c, w);
    cluster_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flush__from_any_node_waits_for_all),      cmocka_unit_test(flush__waits_for_one_that_is_parked),
        cmocka_unit_test(module__says_what_it_has_left),           cmocka_unit_test(task__that_flushes_is_not_waited_for),
        cmocka_unit_test(node__that_is_deaf_ends_it_with_a_status), cmocka_unit_test(wave__of_a_client_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
