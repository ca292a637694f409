#define _GNU_SOURCE
/* The admin module on many nodes in one process, more than it asks at once: who asks when, whom it reaches, and what is left when one is deaf. */
#include "chimods/admin/inner.h"
#include "worker/pools.h"
#include "worker_cluster.h"

enum { NODES = 40, ASKERS = 6 };
static const struct chi_pool_id ADMIN = {ADMIN_MAJOR, 0};
const struct chi_chimod *chi_chimod_entry(void);

struct job {
    struct chi_task task;
    uint32_t node;
};
CHI_FIELDS(job_fields) = {CHI_OUT(U32, struct job, node)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);
static unsigned alive, fails_on;

static enum chi_status init(struct chi_container *c)
{
    if (chi_container_node(c) == fails_on)
        return CHI_STATUS_BUSY;
    alive++;
    return chi_container_create_queue(c, 0, 1);
}
static void fini(struct chi_container *c)
{
    (void)c;
    alive--;
}
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)r;
    ((struct job *)task)->node = chi_container_node(c);
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {.abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1, .init = init, .fini = fini,
                                       .run = run};

static void make(uint32_t nodes)
{
    support_stacks = 16;
    alive = fails_on = 0;
    cluster_make(nodes, 1, 4, 256, chi_chimod_entry(), ADMIN);
    for (uint32_t k = 0; k < nodes; k++) { /* the module is loaded on each node */
        struct sched_module *m = calloc(1, sizeof *m);
        snprintf(m->name, sizeof m->name, "jobs");
        m->ops = &jobs;
        m->method_count = 2;
        m->by_id = calloc(2, sizeof *m->by_id);
        m->by_id[1] = &job_method;
        (void)chi_method_hash(&job_method);
        sched_module_add(&cluster.node[k].rt->sched, m);
    }
}

static struct chi_task *task_of_node(uint32_t node, struct chi_method *m, struct chi_pool_id pool, struct chi_query q)
{
    struct worker *w = cluster.node[node - 1].w;
    worker_enter(w);
    w->rctx.now_ns = net_now_ns();
    struct chi_task *t = chi_task_new(&w->rctx, m);
    assert_non_null(t);
    t->pool = pool;
    t->query = q;
    return t;
}
static void send(uint32_t node, struct chi_task *t, int *ended)
{
    chi_task_submit(&cluster.node[node - 1].w->rctx, t, cluster_done, ended);
    worker_enter(cluster.node[0].w);
}
static void delete (uint32_t node, struct chi_task *t)
{
    worker_enter(cluster.node[node - 1].w);
    chi_task_del(&cluster.node[node - 1].w->rctx, t);
    worker_enter(cluster.node[0].w);
}
static struct admin_pool_get *get_from(uint32_t node, const char *name, uint32_t containers, int *ended)
{
    struct admin_pool_get *t = (struct admin_pool_get *)task_of_node(node, &admin_pool_get_method, ADMIN, chi_local());
    admin_name_put(&t->name, name);
    admin_name_put(&t->module, "jobs");
    t->containers = containers;
    send(node, &t->task, ended);
    return t;
}
static void until(const int *ended, int n)
{
    while (*ended < n)
        cluster_turn();
    assert_int_equal(*ended, n);
}
static unsigned nodes_that_have(struct chi_pool_id id)
{
    unsigned n = 0;
    for (uint32_t k = 0; k < cluster.count; k++)
        n += sched_pool_find(&cluster.node[k].rt->sched, id) != NULL;
    return n;
}
static enum chi_status run_at(uint32_t node, struct chi_pool_id id, struct chi_query q, uint32_t *at)
{
    int ended = 0;
    struct job *t = (struct job *)task_of_node(node, &job_method, id, q);
    send(node, &t->task, &ended);
    until(&ended, 1);
    enum chi_status st = (enum chi_status)t->task.status;
    *at = t->node;
    delete (node, &t->task);
    return st;
}

static void get__from_many_nodes_at_once_is_one_pool_on_all(void **state)
{
    (void)state;
    make(NODES);
    struct chi_pool_id last = {0};
    for (uint32_t round = 0; round < 3; round++) {
        struct admin_pool_get *t[ASKERS];
        char name[16];
        unsigned made = 0;
        int ended = 0;
        snprintf(name, sizeof name, "pool-%u", round);
        for (uint32_t i = 0; i < ASKERS; i++)
            t[i] = get_from(1 + i * 7, name, 2, &ended);
        until(&ended, ASKERS);
        for (uint32_t i = 0; i < ASKERS; i++) {
            assert_int_equal(admin_status(&t[i]->task, &t[i]->end), CHI_STATUS_OK);
            assert_true(t[i]->major == POOLS_MAJOR && t[i]->minor == t[0]->minor && t[i]->count == 2 * NODES && !t[i]->end.node);
            made += t[i]->made;
        }
        assert_int_equal(made, 1);
        assert_int_not_equal(t[0]->minor, last.minor);
        last = (struct chi_pool_id){POOLS_MAJOR, t[0]->minor};
        assert_int_equal(nodes_that_have(last), NODES);
        for (uint32_t i = 0; i < ASKERS; i++)
            delete (1 + i * 7, &t[i]->task);
    }
    assert_int_equal(alive, 3 * 2 * NODES);
    uint32_t at;
    assert_int_equal(run_at(17, last, chi_direct(79), &at), CHI_STATUS_OK);
    assert_int_equal(at, 40);
    assert_int_equal(run_at(9, last, chi_broadcast(), &at), CHI_STATUS_OK);
    cluster_end();
    assert_int_equal(alive, 0);
}

/* Two subtasks of one task, which would pass one mutex together. */
static void get__twice_by_one_root_is_one_pool(void **state)
{
    (void)state;
    make(3);
    int ended = 0;
    struct worker *w = cluster.node[0].w;
    struct task root = {.rooted = TASK_ROOT_ITSELF, .root = 77, .home = w};
    w->task = &root;
    struct admin_pool_get *a = get_from(1, "one", 1, &ended), *b = get_from(1, "one", 1, &ended);
    w->task = NULL;
    until(&ended, 2);
    assert_true(a->end.status == CHI_STATUS_OK && b->end.status == CHI_STATUS_OK && a->minor == b->minor && a->made + b->made == 1);
    assert_int_equal(alive, 3);
    delete (1, &a->task);
    delete (1, &b->task);
    cluster_end();
}

static void get__a_node_whose_module_does_not_start_is_named_and_all_is_taken_back(void **state)
{
    (void)state;
    make(NODES);
    int ended = 0;
    fails_on = 37;
    struct admin_pool_get *t = get_from(5, "one", 2, &ended);
    until(&ended, 1);
    assert_int_equal(admin_status(&t->task, &t->end), CHI_STATUS_MODULE);
    assert_true(t->end.node == 37 && t->end.node_status == CHI_STATUS_MODULE && !t->made);
    assert_non_null(memmem(t->end.why.data, t->end.why.len, "module jobs did not start", 25));
    assert_int_equal(nodes_that_have((struct chi_pool_id){POOLS_MAJOR, t->minor}), 0);
    assert_int_equal(alive, 0);
    delete (5, &t->task);
    cluster_end();
}

static void expand__that_fails_leaves_all_as_they_were(void **state)
{
    (void)state;
    make(6);
    int ended = 0;
    uint32_t at;
    struct admin_pool_get *t = get_from(1, "one", 1, &ended);
    until(&ended, 1);
    const struct chi_pool_id id = {t->major, t->minor};
    delete (1, &t->task);
    fails_on = 4;
    struct admin_pool_expand *e = (struct admin_pool_expand *)task_of_node(2, &admin_pool_expand_method, ADMIN, chi_local());
    admin_name_put(&e->name, "one");
    e->containers = 2;
    send(2, &e->task, &ended);
    until(&ended, 2);
    assert_true(e->end.status == CHI_STATUS_MODULE && e->end.node == 4 && e->count == 6);
    delete (2, &e->task);
    assert_int_equal(alive, 6);
    for (uint32_t k = 0; k < 6; k++) {
        const struct sched_pool *p = sched_pool_find(&cluster.node[k].rt->sched, id);
        assert_int_equal(p->table->containers, 6);
        assert_int_equal(p->table->version, 3); /* node 4 too: it went from 1 to 3 */
    }
    assert_int_equal(run_at(3, id, chi_broadcast(), &at), CHI_STATUS_OK);
    assert_int_equal(run_at(3, id, chi_direct(6), &at), CHI_STATUS_NO_CONTAINER);
    cluster_end();
}

/* What nodes say to each other they say to nobody else; and one that knows another pool by that name is found out. */
static void get__where_two_nodes_mean_different_pools_is_refused(void **state)
{
    (void)state;
    make(3);
    int ended = 0;
    for (uint32_t k = 1; k < 3; k++) {
        struct pools_call p = {.call.begin = pools_apply, .plan = {"jobs", "one", {200, k}, 0, 1, (const uint32_t[]){k + 1}}};
        pools_apply(cluster.node[k].rt, &p.call);
        assert_int_equal(p.call.status, CHI_STATUS_OK);
    }
    struct admin_pool_get *t = get_from(3, "one", 1, &ended);
    until(&ended, 1);
    assert_true(t->end.status == CHI_STATUS_INVALID && t->end.node == 3);
    assert_non_null(memmem(t->end.why.data, t->end.why.len, "200.2", 5));
    delete (3, &t->task);
    assert_int_equal(alive, 2);
    cluster_end();
}

/* A node that missed a change gets it with the next one that asks for the pool. */
static void get__brings_a_node_to_the_latest_table(void **state)
{
    (void)state;
    make(3);
    int ended = 0;
    static const uint32_t table[] = {1, 2, 3, 3};
    for (uint32_t k = 0; k < 3; k++) {
        struct pools_call p = {.call.begin = pools_apply, .plan = {"jobs", "one", {200, 1}, k, k == 2 ? 4 : 3, table}};
        if (k == 1)
            continue; /* it has none */
        pools_apply(cluster.node[k].rt, &p.call);
        assert_int_equal(p.call.status, CHI_STATUS_OK);
    }
    struct admin_pool_get *t = get_from(2, "one", 9, &ended);
    until(&ended, 1);
    assert_true(t->end.status == CHI_STATUS_OK && !t->end.node && !t->made && t->major == 200 && t->count == 4);
    delete (2, &t->task);
    for (uint32_t k = 0; k < 3; k++)
        assert_int_equal(sched_pool_find(&cluster.node[k].rt->sched, (struct chi_pool_id){200, 1})->table->version, 2);
    assert_int_equal(alive, 4);
    cluster_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get__from_many_nodes_at_once_is_one_pool_on_all),
        cmocka_unit_test(get__twice_by_one_root_is_one_pool),
        cmocka_unit_test(get__a_node_whose_module_does_not_start_is_named_and_all_is_taken_back),
        cmocka_unit_test(expand__that_fails_leaves_all_as_they_were),
        cmocka_unit_test(get__where_two_nodes_mean_different_pools_is_refused),
        cmocka_unit_test(get__brings_a_node_to_the_latest_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
