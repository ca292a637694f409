/* Tasks that nobody waits for: here, on another worker's lane, on other nodes, in several containers; whatever becomes of them. */
#include "worker_cluster.h"

enum { RECORDS = 64 };
static const struct chi_pool_id POOL = {100, 0};

struct job {
    struct chi_task task;
    uint64_t lane, status, twice;
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, lane), CHI_IN(U64, struct job, status), CHI_OUT(U64, struct job, twice)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);
static unsigned runs, dels;
static struct chi_task *parked;

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, chi_container_workers(c)); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct job *t = (struct job *)task;
    (void)c, (void)r;
    runs++;
    t->twice = 2 * t->status;
    if (t->status == CHI_STATUS_PENDING)
        parked = task;
    return (enum chi_status)t->status;
}
static void del(struct chi_container *c, struct chi_task *task)
{
    (void)c, (void)task;
    dels++;
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    if (mode != CHI_LOCAL_SCHEDULE)
        return CHI_STATUS_UNSUPPORTED;
    chi_rctx_set_lane(r, chi_container_lane_by_hash(c, 0, ((struct job *)task)->lane));
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1,
                                       .init = init, .run = run, .del = del, .monitor = monitor};

static void post(struct worker *w, struct chi_pool_id pool, struct chi_query q, uint64_t lane, enum chi_status st)
{
    struct job *t = (struct job *)chi_task_new(&w->rctx, &job_method);
    assert_non_null(t);
    t->task.pool = pool;
    t->task.query = q;
    t->lane = lane;
    t->status = st;
    chi_task_post(&w->rctx, &t->task);
}

static void posts_are(const struct worker *w, uint64_t posts, uint64_t failed)
{
    assert_int_equal(w->stats.posts, posts);
    assert_int_equal(w->stats.posts_failed, failed);
}

static void post__here_is_given_back(void **state)
{
    (void)state;
    struct runtime *rt = support_runtime(2, RECORDS, NULL);
    struct worker *w = rt->worker[0];
    struct chi_replica each[1] = {{7, 7}};
    support_pool(rt, &jobs, POOL, 1);
    runs = dels = 0;
    for (int i = 0; i < 3 * RECORDS; i++) { /* more than there are records */
        post(w, POOL, chi_local(), (uint64_t)i % 2, i % 3 ? CHI_STATUS_OK : CHI_STATUS_MODULE);
        for (int turn = 0; turn < 4; turn++)
            worker_turn(rt->worker[turn % 2]);
        assert_int_equal(w->tasks.out, 0);
    }
    assert_int_equal(runs, 3 * RECORDS);
    assert_int_equal(dels, 3 * RECORDS);
    posts_are(w, 3 * RECORDS, RECORDS);

    post(w, (struct chi_pool_id){99, 0}, chi_local(), 0, CHI_STATUS_OK); /* these end at once */
    post(w, POOL, chi_direct(7), 0, CHI_STATUS_OK);
    assert_int_equal(w->tasks.out, 0);
    posts_are(w, 3 * RECORDS + 2, RECORDS + 2);

    post(w, POOL, chi_local(), 1, CHI_STATUS_PENDING); /* completed later, on another worker */
    for (int turn = 0; turn < 4; turn++)
        worker_turn(rt->worker[turn % 2]);
    assert_int_equal(w->tasks.out, 1);
    chi_complete(&rt->worker[1]->rctx, parked, CHI_STATUS_OK);
    for (int turn = 0; turn < 4; turn++)
        worker_turn(rt->worker[turn % 2]);
    assert_int_equal(w->tasks.out, 0);

    struct chi_task *t = chi_task_new(&w->rctx, &job_method);
    struct chi_replicas replicas = {each, 1, 9};
    t->pool = POOL;
    t->query = chi_range(0, 1);
    t->replicas = &replicas;
    chi_task_post(&w->rctx, t);
    for (int turn = 0; turn < 4; turn++)
        worker_turn(rt->worker[turn % 2]);
    assert_true(replicas.count == 9 && each[0].container == 7); /* nobody looks, it may be gone */
    posts_are(w, 3 * RECORDS + 4, RECORDS + 2);

    rt->stopping = true;
    post(w, POOL, chi_local(), 0, CHI_STATUS_OK);
    posts_are(w, 3 * RECORDS + 5, RECORDS + 3);
    support_end(rt);
}

static void settle(const struct worker *w)
{
    for (int i = 0; i < 1000000 && w->tasks.out; i++)
        cluster_turn();
    assert_int_equal(w->tasks.out, 0);
}

static void post__to_other_nodes_is_given_back(void **state)
{
    (void)state;
    cluster_make(4, 3, 2, RECORDS, &jobs, POOL);
    struct worker *w = cluster.node[0].w;
    runs = 0;
    w->rctx.now_ns = net_now_ns();
    for (unsigned i = 0; i < 8; i++)
        post(w, POOL, chi_physical(1 + i % 4), 0, i < 4 ? CHI_STATUS_OK : CHI_STATUS_MODULE);
    settle(w);
    assert_int_equal(runs, 8);
    posts_are(w, 8, 4);
    post(w, POOL, chi_broadcast(), 0, CHI_STATUS_OK);
    post(w, POOL, chi_range(2, 7), 0, CHI_STATUS_MODULE);
    settle(w);
    assert_int_equal(runs, 8 + 12 + 7);
    posts_are(w, 10, 5);
    assert_int_equal(w->stats.spreads, 2);
    cluster_end();
}

/* One that is never answered ends at its deadline. */
static void post__to_a_node_that_is_deaf_is_given_back(void **state)
{
    (void)state;
    cluster_make(2, 1, 2, RECORDS, &jobs, POOL);
    struct worker *w = cluster.node[0].w;
    cluster.node[1].deaf = true;
    struct chi_task *t = cluster_task(&job_method, POOL, chi_physical(2));
    t->timeout_us = 1000;
    w->rctx.now_ns = net_now_ns();
    chi_task_post(&w->rctx, t);
    settle(w);
    posts_are(w, 1, 1);
    cluster_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(post__here_is_given_back),
        cmocka_unit_test(post__to_other_nodes_is_given_back),
        cmocka_unit_test(post__to_a_node_that_is_deaf_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
