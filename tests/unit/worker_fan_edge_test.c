/* Tasks for several containers where something is missing: memory, records, an order, time. */
#include "worker_cluster.h"

enum { SUM = 1, HAND = 2, PARK = 3, BYTES = 1000 };

/* Each adds one to all bytes of `both`, which began as the submitter's; merged: what they added.  `other` is as long as it is said to be. */
struct sum {
    struct chi_task task;
    struct chi_bulk both, other;
};
CHI_FIELDS(sum_fields) = {CHI_BULK_INOUT(struct sum, both), CHI_BULK_OUT(struct sum, other)};
CHI_METHOD_VAR(sum_method) = CHI_METHOD(SUM, struct sum, sum_fields);

struct hand {
    struct chi_task task;
    struct chi_bulk all;
};
static void hand_in(struct chi_archive *ar, struct chi_task *task)
{
    struct hand *t = (struct hand *)task;
    chi_ar_bulk(ar, &t->all.ptr, &t->all.size, CHI_EXPOSE | CHI_SLICED);
}
static void hand_out(struct chi_archive *ar, struct chi_task *task)
{
    struct hand *t = (struct hand *)task;
    chi_ar_bulk(ar, &t->all.ptr, &t->all.used, CHI_WRITE);
}
CHI_METHOD_VAR(hand_method) = CHI_METHOD_BY_HAND(HAND, struct hand, hand_in, hand_out);

struct park {
    struct chi_task task;
    struct chi_bulk all;
};
CHI_FIELDS(park_fields) = {CHI_BULK_SLICED(OUT, struct park, all)};
CHI_METHOD_VAR(park_method) = CHI_METHOD(PARK, struct park, park_fields);

static const struct chi_pool_id POOL = {100, 0};
static unsigned runs, parked_count;
static struct chi_task *parked[512];

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 1); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct sum *t = (struct sum *)task;
    uint8_t *p = t->both.ptr;
    (void)c, (void)r;
    runs++;
    if (task->method->id == PARK) {
        parked[parked_count++] = task;
        return CHI_STATUS_PENDING;
    }
    for (uint64_t i = 0; i < t->both.size; i++) {
        assert_int_equal(p[i], i % 100);
        p[i]++;
    }
    t->both.used = t->both.size;
    return CHI_STATUS_OK;
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    struct sum *to = (struct sum *)task;
    (void)c;
    if (task->method->id != SUM || (mode != CHI_REPLICA_START && mode != CHI_REPLICA_AGG))
        return CHI_STATUS_UNSUPPORTED;
    if (mode == CHI_REPLICA_AGG) {
        const struct sum *from = (const struct sum *)chi_rctx_replica(r);
        for (uint64_t i = 0; i < to->both.size; i++)
            ((uint8_t *)to->both.ptr)[i] += (uint8_t)(((uint8_t *)from->both.ptr)[i] - i % 100);
        to->both.used = to->both.size;
    }
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&sum_method, &hand_method, &park_method};
static const struct chi_chimod edges = {.abi = CHI_CHIMOD_ABI, .size = sizeof edges, .name = "edges", .methods = methods, .nmethods = 3, .init = init,
                                        .run = run, .monitor = monitor};

static void make(uint32_t nodes, uint32_t per_node, uint32_t tasks)
{
    cluster_make(nodes, per_node, 32, tasks, &edges, POOL);
    runs = parked_count = 0;
}
static struct chi_rctx *rctx(void) { return &cluster.node[0].w->rctx; }
static struct sum *sum(uint8_t *bytes, void *other, uint64_t size)
{
    struct sum *t = (struct sum *)cluster_task(&sum_method, POOL, chi_broadcast());
    for (uint32_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)(i % 100);
    t->both = (struct chi_bulk){bytes, BYTES, 0};
    t->other = (struct chi_bulk){other, size, 0};
    return t;
}

static void regions__both_ways_each_replica_has_a_copy(void **state)
{
    static uint8_t bytes[BYTES];
    (void)state;
    make(3, 2, 64);
    struct sum *t = sum(bytes, NULL, 0);
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_OK);
    assert_int_equal(runs, 6);
    for (uint32_t i = 0; i < BYTES; i++)
        assert_int_equal(bytes[i], i % 100 + 6);
    chi_task_del(rctx(), &t->task);
    cluster_end();
}

/* No memory for the second of two buffers, and none of the records: what was taken for them is back (cluster_end). */
static void regions__without_memory_or_records_are_given_back(void **state)
{
    static uint8_t bytes[BYTES], other[SUPPORT_ARENA];
    static struct chi_task *held[100];
    unsigned n = 0;
    (void)state;
    make(1, 2, 64);
    struct sum *t = sum(bytes, other, SUPPORT_ARENA);
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_NO_MEMORY);
    t->other.size = 100;
    while ((held[n] = chi_task_new(rctx(), &sum_method)))
        n++;
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_NO_MEMORY);
    while (n)
        chi_task_del(rctx(), held[--n]);
    assert_int_equal(runs, 0);
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_OK);
    assert_int_equal(runs, 2);
    chi_task_del(rctx(), &t->task);
    cluster_end();
}

static void sliced__by_hand_or_without_an_order_is_refused(void **state)
{
    static uint8_t bytes[BYTES];
    (void)state;
    make(1, 2, 64);
    struct hand *h = (struct hand *)cluster_task(&hand_method, POOL, chi_broadcast());
    h->all = (struct chi_bulk){bytes, 100, 0};
    assert_int_equal(cluster_run(&h->task), CHI_STATUS_UNSUPPORTED);
    struct park *p = (struct park *)cluster_task(&park_method, POOL, chi_broadcast());
    p->all = h->all;
    sched_pool_find(&cluster.node[0].rt->sched, POOL)->table->in_order = false;
    assert_int_equal(cluster_run(&p->task), CHI_STATUS_UNSUPPORTED);
    assert_int_equal(runs, 0);
    chi_task_del(rctx(), &h->task);
    chi_task_del(rctx(), &p->task);
    cluster_end();
}

static void end_parked(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        chi_complete(rctx(), parked[i], CHI_STATUS_OK);
    memmove(parked, parked + n, (parked_count - n) * sizeof parked[0]);
    parked_count -= n;
}

/* 300 replicas and records for all: not all are out at once, the next ones begin as others end; and none begins any more when the daemon stops. */
static void replicas__begin_as_others_end_until_the_daemon_stops(void **state)
{
    int ended = 0;
    (void)state;
    make(1, 300, 1024);
    struct park *t = (struct park *)cluster_task(&park_method, POOL, chi_broadcast());
    rctx()->now_ns = net_now_ns();
    chi_task_submit(rctx(), &t->task, cluster_done, &ended);
    for (int i = 0; i < 20; i++)
        cluster_turn();
    assert_int_equal(parked_count, 128); /* docs/LIMITS.md */
    end_parked(28);
    for (int i = 0; i < 20; i++)
        cluster_turn();
    assert_int_equal(parked_count, 128);
    assert_int_equal(runs, 156);
    cluster.node[0].rt->stopping = true;
    end_parked(128);
    for (int i = 0; i < 20; i++)
        cluster_turn();
    assert_int_equal(runs, 156);
    assert_int_equal(ended, 1);
    assert_int_equal(t->task.status, CHI_STATUS_SHUTDOWN);
    chi_task_del(rctx(), &t->task);
    cluster_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions__both_ways_each_replica_has_a_copy),
        cmocka_unit_test(regions__without_memory_or_records_are_given_back),
        cmocka_unit_test(sliced__by_hand_or_without_an_order_is_refused),
        cmocka_unit_test(replicas__begin_as_others_end_until_the_daemon_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
