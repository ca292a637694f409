/* Tasks for several containers, over 1 to 200 nodes: each container once, what became of each, outputs, regions. */
#include "worker_cluster.h"

enum { CONTAINERS_MAX = 1024, SLICE = 16 };
enum { TALLY = 1, BLOB = 2, SHARE = 3, FIXED = 4, PILE = 5 };

/* Each adds one to its container's count; that of `bad` fails.  OUT: who it was; merged (`merges`): the sum of 1 + container. */
struct tally {
    struct chi_task task;
    uint64_t bad, merges; /* IN */
    uint64_t who, sum;    /* OUT */
};
CHI_FIELDS(tally_fields) = {CHI_IN(U64, struct tally, bad), CHI_IN(U64, struct tally, merges), CHI_OUT(U64, struct tally, who),
                            CHI_OUT(U64, struct tally, sum)};
CHI_METHOD_VAR(tally_method) = CHI_METHOD(TALLY, struct tally, tally_fields);

/* Each looks at the same bytes; what comes back is merged: the lowest of each byte. */
struct blob {
    struct chi_task task;
    uint64_t seed;
    struct chi_bulk in, low;
};
CHI_FIELDS(blob_fields) = {CHI_IN(U64, struct blob, seed), CHI_BULK_IN_STREAM(struct blob, in), CHI_BULK_OUT(struct blob, low)};
CHI_METHOD_VAR(blob_method) = CHI_METHOD(BLOB, struct blob, blob_fields);

/* Each adds its container to its slice of `both`, and fills its one of `out` but for the last byte. */
struct share {
    struct chi_task task;
    uint64_t bad;
    struct chi_bulk both, out;
};
CHI_FIELDS(share_fields) = {CHI_IN(U64, struct share, bad), CHI_BULK_SLICED(INOUT, struct share, both), CHI_BULK_SLICED(OUT, struct share, out)};
CHI_METHOD_VAR(share_method) = CHI_METHOD(SHARE, struct share, share_fields);

/* One buffer for all, and nobody merges. */
struct fixed {
    struct chi_task task;
    struct chi_bulk out;
};
CHI_FIELDS(fixed_fields) = {CHI_BULK_OUT(struct fixed, out)};
CHI_METHOD_VAR(fixed_method) = CHI_METHOD(FIXED, struct fixed, fixed_fields);

/* Each finds `both` as it was sent, whatever was merged into it already, and sets it to its own number: what is merged is the sum. */
struct pile {
    struct chi_task task;
    struct chi_bulk both;
};
CHI_FIELDS(pile_fields) = {CHI_BULK_INOUT(struct pile, both)};
CHI_METHOD_VAR(pile_method) = CHI_METHOD(PILE, struct pile, pile_fields);

static const struct chi_pool_id POOL = {100, 0};
static unsigned ran[CONTAINERS_MAX], deleted, starts;

static uint8_t blob_byte(uint64_t seed, uint64_t i) { return (uint8_t)(seed * 31 + i * 7 + i / 251); }

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 2); }

static enum chi_status merge(struct chi_task *task, struct chi_rctx *r)
{
    const struct chi_task *replica = chi_rctx_replica(r);
    if (task->method->id == TALLY) {
        const struct tally *from = (const struct tally *)replica;
        assert_int_equal(from->merges, 1);
        ((struct tally *)task)->sum += from->sum;
        return CHI_STATUS_OK;
    }
    if (task->method->id == PILE) {
        *(uint64_t *)((struct pile *)task)->both.ptr += *(const uint64_t *)((const struct pile *)replica)->both.ptr;
        ((struct pile *)task)->both.used = sizeof(uint64_t);
        return CHI_STATUS_OK;
    }
    const struct blob *from = (const struct blob *)replica;
    struct blob *to = (struct blob *)task;
    const uint8_t *p = from->low.ptr;
    uint8_t *q = to->low.ptr;
    assert_int_equal(from->low.used, from->low.size);
    assert_ptr_not_equal(p, q);
    for (uint64_t i = 0; i < to->low.size; i++)
        q[i] = p[i] < q[i] ? p[i] : q[i];
    to->low.used = to->low.size;
    return CHI_STATUS_OK;
}

static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    (void)c;
    bool merges = task->method->id == BLOB || task->method->id == PILE || (task->method->id == TALLY && ((struct tally *)task)->merges);
    if (mode == CHI_GLOBAL_SCHEDULE) {
        task->query = chi_range(1, 3);
        return CHI_STATUS_OK;
    }
    if (mode == CHI_REPLICA_AGG)
        return merge(task, r);
    if (mode != CHI_REPLICA_START || !merges)
        return CHI_STATUS_UNSUPPORTED;
    starts++;
    if (task->method->id == BLOB)
        memset(((struct blob *)task)->low.ptr, 0xff, ((struct blob *)task)->low.size);
    return CHI_STATUS_OK;
}

static void run_share(uint32_t id, struct share *t)
{
    uint8_t *both = t->both.ptr, *out = t->out.ptr;
    if (!t->both.size)
        return;
    assert_int_equal(t->both.size, SLICE);
    for (uint64_t i = 0; i < t->both.size; i++)
        both[i] = (uint8_t)(both[i] + id);
    memset(out, (int)id + 1, t->out.size);
    t->both.used = t->both.size;
    t->out.used = t->out.size - 1;
}

static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    uint32_t id = chi_container_id(c);
    (void)r;
    assert_int_equal(task->query.kind, CHI_QUERY_DIRECT_ID);
    assert_int_equal(task->query.value, id);
    ran[id]++;
    if (task->method->id == TALLY) {
        struct tally *t = (struct tally *)task;
        t->who = id;
        t->sum = id + 1;
        return t->bad == id ? CHI_STATUS_MODULE : CHI_STATUS_OK;
    }
    if (task->method->id == SHARE) {
        run_share(id, (struct share *)task);
        return ((struct share *)task)->bad == id ? CHI_STATUS_MODULE : CHI_STATUS_OK;
    }
    if (task->method->id == PILE) {
        uint64_t *both = ((struct pile *)task)->both.ptr;
        assert_int_equal(*both, 1000000);
        *both = id;
        ((struct pile *)task)->both.used = sizeof *both;
        return CHI_STATUS_OK;
    }
    struct blob *t = (struct blob *)task;
    const uint8_t *in = t->in.ptr;
    assert_int_equal(chi_bulk_ready(r, task, &t->in), t->in.size);
    for (uint64_t i = 0; i < t->in.size; i++)
        assert_int_equal(in[i], blob_byte(t->seed, i));
    memset(t->low.ptr, (int)(200 - id), t->low.size);
    t->low.used = t->low.size;
    return CHI_STATUS_OK;
}
static void del(struct chi_container *c, struct chi_task *task)
{
    (void)c;
    (void)task;
    deleted++;
}
static struct chi_method *const methods[] = {&tally_method, &blob_method, &share_method, &fixed_method, &pile_method};
static const struct chi_chimod tallies = {.abi = CHI_CHIMOD_ABI, .size = sizeof tallies, .name = "tallies", .methods = methods, .nmethods = 5,
                                          .init = init, .run = run, .monitor = monitor, .del = del};

static void make(uint32_t nodes, uint32_t per_node, uint32_t neighborhood)
{
    cluster_make(nodes, per_node, neighborhood, 64, &tallies, POOL);
    memset(ran, 0, sizeof ran);
    deleted = starts = 0;
}
static struct chi_rctx *rctx(void) { return &cluster.node[0].w->rctx; }

static struct tally *tally(struct chi_query q, struct chi_replicas *to)
{
    struct tally *t = (struct tally *)cluster_task(&tally_method, POOL, q);
    t->task.replicas = to;
    t->bad = UINT64_MAX;
    return t;
}

/* Those first .. first + count - 1 ran once, and no other. */
static void expect_ran(uint32_t first, uint32_t count)
{
    for (uint32_t k = 0; k < CONTAINERS_MAX; k++)
        if (ran[k] != (k >= first && k < first + count))
            fail_msg("container %u ran %u times", k, ran[k]);
    assert_int_equal(deleted, count);
    memset(ran, 0, sizeof ran);
    deleted = 0;
}

static void run_shape(uint32_t nodes, uint32_t per_node, uint32_t neighborhood)
{
    static struct chi_replica each[CONTAINERS_MAX];
    struct chi_replicas to = {each, CONTAINERS_MAX, 0};
    uint32_t all = nodes * per_node;
    make(nodes, per_node, neighborhood);
    for (int round = 0; round < 3; round++) {
        uint32_t first = round == 0 ? 0 : round == 1 ? all / 3 : all - 1, count = round == 0 ? all : all - first;
        struct tally *t = tally(round == 0 ? chi_broadcast() : chi_range(first, count), &to);
        t->merges = round == 1;
        assert_int_equal(cluster_run(&t->task), CHI_STATUS_OK);
        expect_ran(first, count);
        assert_int_equal(to.count, count);
        for (uint32_t i = 0; i < count; i++)
            assert_true(each[i].container == first + i && each[i].status == CHI_STATUS_OK);
        uint64_t sum = 0;
        for (uint32_t i = first; i < first + count; i++)
            sum += i + 1;
        assert_int_equal(t->merges ? t->sum : t->who, t->merges ? sum : first); /* by default those of the lowest one */
        chi_task_del(rctx(), &t->task);
    }
    cluster_end();
}

static void fan__each_container_once(void **state)
{
    static const uint32_t shape[][3] = {{1, 1, 32}, {1, 64, 32}, {1, 1000, 32}, {2, 1, 32}, {2, 32, 2},   {3, 5, 2},   {7, 1, 2},
                                        {33, 1, 32}, {34, 1, 32}, {40, 25, 32}, {50, 3, 2}, {100, 10, 4}, {200, 5, 32}};
    (void)state;
    for (unsigned i = 0; i < sizeof shape / sizeof shape[0]; i++)
        run_shape(shape[i][0], shape[i][1], shape[i][2]);
}

static void fan__from_a_node_in_the_middle(void **state)
{
    (void)state;
    make(9, 2, 2);
    struct worker *w = cluster.node[4].w;
    struct tally *t = (struct tally *)chi_task_new(&w->rctx, &tally_method);
    int ended = 0;
    t->task.pool = POOL;
    t->task.query = chi_broadcast();
    t->bad = UINT64_MAX;
    w->rctx.now_ns = net_now_ns();
    chi_task_submit(&w->rctx, &t->task, cluster_done, &ended);
    while (!ended)
        cluster_turn();
    assert_int_equal(t->task.status, CHI_STATUS_OK);
    assert_int_equal(t->who, 0);
    expect_ran(0, 18);
    worker_enter(w);
    chi_task_del(&w->rctx, &t->task);
    cluster_end();
}

static void fan__first_error_is_the_status_and_outputs_are_those_of_the_first_that_did_well(void **state)
{
    struct chi_replica each[4];
    struct chi_replicas to = {each, 4, 0};
    (void)state;
    make(3, 2, 32);
    struct tally *t = tally(chi_broadcast(), &to);
    t->bad = 0;
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_MODULE);
    expect_ran(0, 6);
    assert_int_equal(t->who, 1);
    assert_int_equal(to.count, 4); /* as many as there is room for */
    for (uint32_t i = 0; i < 4; i++)
        assert_true(each[i].container == i && each[i].status == (i == 0 ? CHI_STATUS_MODULE : CHI_STATUS_OK));
    t->bad = 5;
    t->who = 77;
    t->task.query = chi_range(5, 1);
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_MODULE);
    assert_int_equal(to.count, 1);
    assert_true(each[0].container == 5 && each[0].status == CHI_STATUS_MODULE);
    assert_int_equal(t->who, 77); /* nobody did well */
    chi_task_del(rctx(), &t->task);
    cluster_end();
}

static void fan__of_impossible_ranges_ends_with_a_status(void **state)
{
    static const struct { struct chi_query q; enum chi_status st; } wrong[] = {
        {{CHI_QUERY_RANGE, 0, 0}, CHI_STATUS_INVALID},          {{CHI_QUERY_RANGE, 5, 0}, CHI_STATUS_NO_CONTAINER},
        {{CHI_QUERY_RANGE, 1, 4}, CHI_STATUS_NO_CONTAINER},     {{CHI_QUERY_RANGE, 2, 3}, CHI_STATUS_NO_CONTAINER},
        {{CHI_QUERY_RANGE, 1, UINT64_MAX}, CHI_STATUS_NO_CONTAINER}, {{8, 0, 0}, CHI_STATUS_INVALID}};
    (void)state;
    make(2, 2, 32);
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct chi_replica each[4];
        struct chi_replicas to = {each, 4, 9};
        struct tally *t = tally(wrong[i].q, &to);
        assert_int_equal(cluster_run(&t->task), wrong[i].st);
        assert_int_equal(to.count, 0);
        chi_task_del(rctx(), &t->task);
    }
    expect_ran(0, 0);
    cluster_end();
}

static void fan__dynamic_may_become_a_range(void **state)
{
    (void)state;
    make(2, 2, 32);
    struct tally *t = tally(chi_dynamic(), NULL);
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_OK);
    expect_ran(1, 3);
    chi_task_del(rctx(), &t->task);
    cluster_end();
}

/* A node of the tree that takes nothing: the rest of its part goes to the next one. */
static void fan__goes_round_a_node_that_takes_none(void **state)
{
    struct chi_replica each[9];
    struct chi_replicas to = {each, 9, 0};
    (void)state;
    make(9, 1, 2);
    for (uint32_t gone = 2; gone <= 6; gone += 4) /* 2..5 and 6..9 are the parts */
        assert_int_equal(xfer_peer_remove(cluster.node[0].w->xfer, gone, net_now_ns()), 0);
    struct tally *t = tally(chi_broadcast(), &to);
    t->bad = 7;
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_NO_NODE); /* the first error, not the last */
    for (uint32_t k = 0; k < 9; k++) {
        bool gone = k == 1 || k == 5;
        assert_int_equal(ran[k], !gone);
        assert_int_equal(each[k].status, gone ? CHI_STATUS_NO_NODE : k == 7 ? CHI_STATUS_MODULE : CHI_STATUS_OK);
    }
    chi_task_del(rctx(), &t->task);
    cluster_end();
}

static void fan__to_a_node_that_knows_other_containers_ends_with_moved(void **state)
{
    struct chi_replica each[6];
    struct chi_replicas to = {each, 6, 0};
    (void)state;
    make(3, 2, 32);
    sched_pool_find(&cluster.node[1].rt->sched, POOL)->table->hash ^= 1;
    struct tally *t = tally(chi_broadcast(), &to);
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_MOVED);
    for (uint32_t k = 0; k < 6; k++) {
        assert_int_equal(ran[k], k / 2 != 1);
        assert_int_equal(each[k].status, k / 2 == 1 ? CHI_STATUS_MOVED : CHI_STATUS_OK);
    }
    chi_task_del(rctx(), &t->task);
    cluster_end();
}

static uint64_t segment_bytes(void)
{
    uint64_t sum = 0;
    for (uint32_t k = 0; k < cluster.count; k++)
        for (uint32_t to = 1; to <= cluster.count; to++) {
            struct xfer_peer_stats s;
            if (xfer_stats_of(cluster.node[k].w->xfer, to, &s))
                sum += s.segment_bytes_tx;
        }
    return sum;
}

static void regions__go_once_to_each_node_and_the_module_merges_what_comes_back(void **state)
{
    enum { IN = 50000, LOW = 3000 };
    (void)state;
    make(5, 4, 2);
    struct blob *t = (struct blob *)cluster_task(&blob_method, POOL, chi_broadcast());
    t->seed = 9;
    t->in = (struct chi_bulk){chi_mem_get(rctx(), IN), IN, 0};
    t->low = (struct chi_bulk){chi_mem_get(rctx(), LOW), LOW, 0};
    for (uint64_t i = 0; i < IN; i++)
        ((uint8_t *)t->in.ptr)[i] = blob_byte(9, i);
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_OK);
    expect_ran(0, 20);
    assert_int_equal(starts, 5); /* once on each node */
    assert_int_equal(t->low.used, LOW);
    for (uint64_t i = 0; i < LOW; i++)
        assert_int_equal(((uint8_t *)t->low.ptr)[i], 200 - 19);
    uint64_t bytes = segment_bytes();
    assert_in_range(bytes, 4 * (IN + LOW), 4 * (IN + LOW) + 4 * 1000); /* and what of forms and answers is not in the first packet */
    chi_mem_put(rctx(), t->in.ptr, IN);
    chi_mem_put(rctx(), t->low.ptr, LOW);
    chi_task_del(rctx(), &t->task);
    cluster_end();
}

static void expect_slices(const struct share *t, uint32_t first, uint32_t count, uint32_t bad)
{
    const uint8_t *both = t->both.ptr, *out = t->out.ptr;
    assert_int_equal(t->both.used, t->both.size);
    assert_int_equal(t->out.used, t->out.size);
    for (uint32_t k = 0; k < count; k++)
        for (uint32_t i = 0; i < SLICE; i++) {
            bool none = first + k == bad;
            assert_int_equal(both[k * SLICE + i], none ? 0 : (uint8_t)(first + k + i));
            assert_int_equal(out[k * SLICE + i], none || i == SLICE - 1 ? 0 : first + k + 1);
        }
}

static void regions__sliced_each_has_its_own_part(void **state)
{
    static const struct { uint32_t nodes, per_node, neighborhood, first, count, bad; } shape[] = {
        {1, 4, 2, 0, 4, 99}, {2, 3, 2, 0, 6, 99}, {7, 2, 2, 3, 9, 99}, {7, 2, 2, 0, 14, 9}, {3, 1, 2, 0, 3, 0}, {3, 1, 2, 0, 3, 2}};
    (void)state;
    for (unsigned s = 0; s < sizeof shape / sizeof shape[0]; s++) {
        uint64_t size = shape[s].count * SLICE;
        make(shape[s].nodes, shape[s].per_node, shape[s].neighborhood);
        struct share *t = (struct share *)cluster_task(&share_method, POOL, chi_range(shape[s].first, shape[s].count));
        t->bad = shape[s].bad;
        t->both = (struct chi_bulk){chi_mem_get(rctx(), size), size, 0};
        t->out = (struct chi_bulk){chi_mem_get(rctx(), size), size, 0};
        memset(t->out.ptr, 0xee, size);
        for (uint64_t i = 0; i < size; i++)
            ((uint8_t *)t->both.ptr)[i] = i % SLICE;
        bool bad = shape[s].bad < 99;
        assert_int_equal(cluster_run(&t->task), bad ? CHI_STATUS_MODULE : CHI_STATUS_OK);
        expect_ran(shape[s].first, shape[s].count);
        expect_slices(t, shape[s].first, shape[s].count, shape[s].bad);
        chi_mem_put(rctx(), t->both.ptr, size);
        chi_mem_put(rctx(), t->out.ptr, size);
        chi_task_del(rctx(), &t->task);
        cluster_end();
    }
}

/* Nothing is counted on from no address: the sanitizer looks. */
static void regions__of_nothing_may_be_nowhere(void **state)
{
    (void)state;
    make(3, 2, 32);
    struct share *t = (struct share *)cluster_task(&share_method, POOL, chi_broadcast());
    t->bad = 3;
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_MODULE);
    expect_ran(0, 6);
    assert_int_equal(t->both.used + t->out.used, 0);
    chi_task_del(rctx(), &t->task);
    cluster_end();
}

static void regions__that_nobody_can_divide_or_merge_are_refused(void **state)
{
    uint8_t bytes[100];
    (void)state;
    make(2, 2, 32);
    struct share *t = (struct share *)cluster_task(&share_method, POOL, chi_broadcast());
    t->both = (struct chi_bulk){bytes, 33, 0};
    t->out = (struct chi_bulk){bytes + 40, 40, 0};
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_INVALID);
    chi_task_del(rctx(), &t->task);
    struct fixed *f = (struct fixed *)cluster_task(&fixed_method, POOL, chi_broadcast());
    f->out = (struct chi_bulk){bytes, 40, 0};
    assert_int_equal(cluster_run(&f->task), CHI_STATUS_UNSUPPORTED);
    chi_task_del(rctx(), &f->task);
    expect_ran(0, 0);
    cluster_end();
}

/* 60 records for 200 replicas: the others wait until there is one. */
static void fan__takes_no_more_records_than_there_are(void **state)
{
    struct chi_rctx *r;
    struct chi_task *held[40];
    (void)state;
    make(1, 200, 32);
    r = rctx();
    struct tally *t = tally(chi_broadcast(), NULL);
    for (int i = 0; i < 40; i++)
        held[i] = cluster_task(&tally_method, POOL, chi_local());
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_OK);
    expect_ran(0, 200);
    for (int i = 0; i < 40; i++)
        chi_task_del(r, held[i]);
    chi_task_del(r, &t->task);
    cluster_end();
}

/* The same, of what comes in and is merged into. */
static void regions__that_are_merged_into_come_in_as_they_were_sent(void **state)
{
    (void)state;
    make(2, 100, 32);
    struct pile *t = (struct pile *)cluster_task(&pile_method, POOL, chi_broadcast());
    t->both = (struct chi_bulk){chi_mem_get(rctx(), sizeof(uint64_t)), sizeof(uint64_t), 0};
    *(uint64_t *)t->both.ptr = 1000000;
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_OK);
    expect_ran(0, 200);
    assert_int_equal(*(uint64_t *)t->both.ptr, 1000000 + 199 * 200 / 2 + 1000000); /* each node begins with what was sent */
    chi_mem_put(rctx(), t->both.ptr, sizeof(uint64_t));
    chi_task_del(rctx(), &t->task);
    cluster_end();
}

static void fan__without_a_record_or_memory_ends_with_no_memory(void **state)
{
    struct chi_task *held[100];
    unsigned n = 0;
    (void)state;
    make(1, 2, 32);
    struct tally *t = tally(chi_broadcast(), NULL);
    while ((held[n] = chi_task_new(rctx(), &tally_method)))
        n++;
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_NO_MEMORY);
    while (n)
        chi_task_del(rctx(), held[--n]);
    void *all = chi_mem_get(rctx(), SUPPORT_ARENA);
    assert_non_null(all);
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_NO_MEMORY);
    chi_mem_put(rctx(), all, SUPPORT_ARENA);
    expect_ran(0, 0);
    assert_int_equal(cluster_run(&t->task), CHI_STATUS_OK);
    expect_ran(0, 2);
    chi_task_del(rctx(), &t->task);
    cluster_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fan__each_container_once),
        cmocka_unit_test(fan__from_a_node_in_the_middle),
        cmocka_unit_test(fan__first_error_is_the_status_and_outputs_are_those_of_the_first_that_did_well),
        cmocka_unit_test(fan__of_impossible_ranges_ends_with_a_status),
        cmocka_unit_test(fan__dynamic_may_become_a_range),
        cmocka_unit_test(fan__goes_round_a_node_that_takes_none),
        cmocka_unit_test(fan__to_a_node_that_knows_other_containers_ends_with_moved),
        cmocka_unit_test(regions__go_once_to_each_node_and_the_module_merges_what_comes_back),
        cmocka_unit_test(regions__sliced_each_has_its_own_part),
        cmocka_unit_test(regions__of_nothing_may_be_nowhere),
        cmocka_unit_test(regions__that_nobody_can_divide_or_merge_are_refused),
        cmocka_unit_test(fan__takes_no_more_records_than_there_are),
        cmocka_unit_test(regions__that_are_merged_into_come_in_as_they_were_sent),
        cmocka_unit_test(fan__without_a_record_or_memory_ends_with_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
