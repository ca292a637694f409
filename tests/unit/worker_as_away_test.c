/* Tasks of this node that go through the archives (chi_as_away): the module gets what would have come over the network, and nothing else comes back. */
#include "archive/form.h"
#include "worker_support.h"

enum { RECORDS = 16, DEPTH = 4, BYTES = 1000 };
enum { CALL = 1, BAD };
static const struct chi_pool_id POOL = {100, 0};

struct call {
    struct chi_task task;
    uint64_t in, both, out, forgotten; /* the last one is in no table */
    struct chi_bulk comes, goes, there_and_back;
};
CHI_FIELDS(call_fields) = {CHI_IN(U64, struct call, in), CHI_INOUT(U64, struct call, both), CHI_OUT(U64, struct call, out), CHI_BULK_IN(struct call, comes),
                           CHI_BULK_OUT(struct call, goes), CHI_BULK_INOUT(struct call, there_and_back)};
CHI_METHOD_VAR(call_method) = CHI_METHOD(CALL, struct call, call_fields);
/* A function that forgets to write what it reads. */
static void bad_in(struct chi_archive *ar, struct chi_task *task)
{
    if (ar->kind == CHI_AR_INPUT_IN)
        chi_ar_u64(ar, &((struct call *)task)->in, 1);
}
static void bad_out(struct chi_archive *ar, struct chi_task *task) { chi_ar_u64(ar, &((struct call *)task)->out, 1); }
CHI_METHOD_VAR(bad_method) = CHI_METHOD_BY_HAND(BAD, struct call, bad_in, bad_out);

static struct runtime *rt;
static struct worker *w;
static struct chi_query dynamic_becomes;
static unsigned runs, dels;
static uint32_t ran_in;
static struct call seen; /* as it was when it began */
static enum chi_status says;

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 1); }
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    (void)c, (void)r;
    if (mode != CHI_GLOBAL_SCHEDULE)
        return CHI_STATUS_UNSUPPORTED;
    task->query = dynamic_becomes;
    return CHI_STATUS_OK;
}
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct call *t = (struct call *)task;
    (void)r;
    runs++;
    ran_in = chi_container_id(c);
    if (task->method->id == BAD)
        return CHI_STATUS_OK;
    seen = *t;
    t->both++;
    t->out = 7;
    t->forgotten = 99;
    for (uint64_t i = 0; i < t->there_and_back.size; i++)
        ((uint8_t *)t->there_and_back.ptr)[i]++;
    t->there_and_back.used = t->there_and_back.size;
    memset(t->goes.ptr, 0xaa, t->goes.size);
    t->goes.used = t->goes.size / 2;
    return says;
}
static void del(struct chi_container *c, struct chi_task *task)
{
    (void)c, (void)task;
    dels++;
}
static struct chi_method *const methods[] = {&call_method, &bad_method};
static const struct chi_chimod calls = {.abi = CHI_CHIMOD_ABI, .size = sizeof calls, .name = "calls", .methods = methods, .nmethods = 2, .init = init,
                                        .run = run, .monitor = monitor, .del = del};

static int setup(void **state)
{
    (void)state;
    rt = support_runtime(1, RECORDS, NULL);
    rt->worker[0]->turn_limit_ns = UINT64_MAX; /* no clock has a say */
    w = rt->worker[0];
    support_pool(rt, &calls, POOL, 2); /* containers 0 and 1 are here, 2 and 3 on node 2 */
    runs = dels = 0;
    says = CHI_STATUS_OK;
    dynamic_becomes = chi_direct(1);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    assert_int_equal(buddy_free_bytes(w->memory), SUPPORT_ARENA);
    support_end(rt);
    return 0;
}

static bool ended;
static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)r, (void)task, (void)arg;
    ended = true;
}
static uint8_t comes[BYTES], goes[BYTES], both[BYTES];
static struct call *call_of(struct chi_query q)
{
    struct call *t = (struct call *)chi_task_new(&w->rctx, &call_method);
    assert_non_null(t);
    t->task.pool = POOL;
    t->task.query = q;
    t->in = 3;
    t->both = 5;
    t->out = t->forgotten = 11;
    memset(comes, 1, BYTES);
    memset(goes, 2, BYTES);
    memset(both, 3, BYTES);
    t->comes = (struct chi_bulk){comes, BYTES, 0};
    t->goes = (struct chi_bulk){goes, BYTES, 0};
    t->there_and_back = (struct chi_bulk){both, BYTES, 0};
    return t;
}
static enum chi_status ends(struct chi_task *t)
{
    ended = false;
    chi_task_submit(&w->rctx, t, done, NULL);
    for (int i = 0; i < 10 && !ended; i++)
        worker_turn(w);
    assert_true(ended);
    return (enum chi_status)t->status;
}

static void as_away__the_module_sees_what_would_have_come(void **state)
{
    const struct { struct chi_query q; uint32_t container; } cases[] = {{chi_local(), 0}, {chi_direct(1), 1}, {chi_physical(1), 0}, {chi_hash(5), 1},
                                                                        {chi_dynamic(), 1}, {chi_range(1, 1), 1}};
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chi_replica each[1] = {{7, 7}};
        struct chi_replicas replicas = {each, 1, 0};
        struct call *t = call_of(chi_as_away(cases[i].q));
        if (cases[i].q.kind == CHI_QUERY_RANGE) { /* is so by itself, but that nobody merges the buffer that goes back */
            assert_int_equal(ends(&t->task), CHI_STATUS_UNSUPPORTED);
            chi_task_del(&w->rctx, &t->task);
            continue;
        }
        t->task.replicas = &replicas;
        assert_int_equal(ends(&t->task), CHI_STATUS_OK);
        assert_int_equal(ran_in, cases[i].container);
        assert_true(seen.in == 3 && seen.both == 5 && seen.out == 0 && seen.forgotten == 0); /* what is in no table has no way there, */
        assert_true(t->in == 3 && t->both == 6 && t->out == 7 && t->forgotten == 11);       /* nor back */
        assert_true(seen.goes.ptr != goes && seen.there_and_back.ptr != both && seen.comes.ptr == comes);
        assert_true(t->goes.ptr == goes && t->goes.used == BYTES / 2 && t->there_and_back.used == BYTES);
        for (unsigned k = 0; k < BYTES; k++)
            assert_true(both[k] == 4 && comes[k] == 1 && goes[k] == (k < BYTES / 2 ? 0xaa : 2)); /* no more than was said to be written */
        assert_true(replicas.count == 0 && each[0].container == 7);
        chi_task_del(&w->rctx, &t->task);
    }
    assert_int_equal(runs, 5);
    assert_int_equal(dels, 5);
}

static void as_away__without_it_it_is_the_same_memory(void **state)
{
    (void)state;
    struct call *t = call_of(chi_local());
    assert_int_equal(ends(&t->task), CHI_STATUS_OK);
    assert_true(seen.forgotten == 11 && t->forgotten == 99 && seen.goes.ptr == goes);
    chi_task_del(&w->rctx, &t->task);
    dynamic_becomes = chi_range(0, 2); /* several: as ever */
    t = call_of(chi_as_away(chi_dynamic()));
    assert_int_equal(ends(&t->task), CHI_STATUS_UNSUPPORTED);
    chi_task_del(&w->rctx, &t->task);
}

static void as_away__a_failure_brings_nothing_back(void **state)
{
    (void)state;
    says = CHI_STATUS_MODULE;
    struct call *t = call_of(chi_as_away(chi_local()));
    assert_int_equal(ends(&t->task), CHI_STATUS_MODULE);
    assert_true(t->both == 5 && t->out == 11 && both[0] == 3 && goes[0] == 2);
    chi_task_del(&w->rctx, &t->task);
}

/* What a network would show of a method. */
static void as_away__shows_what_is_wrong(void **state)
{
    (void)state;
    struct call *t = (struct call *)chi_task_new(&w->rctx, &bad_method);
    t->task.pool = POOL;
    t->task.query = chi_local();
    assert_int_equal(ends(&t->task), CHI_STATUS_OK); /* nobody sees it here, */
    assert_int_equal(runs, 1);
    t->task.query = chi_as_away(chi_local());
    assert_int_equal(ends(&t->task), CHI_STATUS_ARCHIVE); /* but so */
    assert_int_equal(runs, 1);
    t->task.query = (struct chi_query){CHI_QUERY_LOCAL, 2, 0};
    assert_int_equal(ends(&t->task), CHI_STATUS_INVALID);
    t->task.query = chi_as_away(chi_direct(9));
    assert_int_equal(ends(&t->task), CHI_STATUS_NO_CONTAINER);
    chi_task_del(&w->rctx, &t->task);
}

static void as_away__without_a_record_more_it_is_a_status(void **state)
{
    struct task *held[RECORDS];
    unsigned n = 0;
    (void)state;
    struct call *t = call_of(chi_as_away(chi_local()));
    while ((held[n] = task_try_get(&w->tasks, 8)))
        n++;
    assert_int_equal(ends(&t->task), CHI_STATUS_NO_MEMORY);
    while (n)
        task_put(&w->tasks, held[--n]);
    assert_int_equal(ends(&t->task), CHI_STATUS_OK);
    chi_task_del(&w->rctx, &t->task);
}

/* Of a client: its form says so, and the answer is one of a task for one container. */
static void as_away__of_a_client(void **state)
{
    struct support_client client;
    struct shm_complete c;
    (void)state;
    support_connect(&client, DEPTH);
    support_attach(&client, w);
    struct call t = {.task = {.pool = POOL, .query = chi_as_away(chi_direct(1)), .method = &call_method}, .in = 3, .both = 5, .forgotten = 11};
    t.comes = t.goes = t.there_and_back = (struct chi_bulk){(void *)(uintptr_t)(client.ch->bulk_offset + 8192), 64, 0};
    struct shm_submit s = support_form(&client, &t.task, 1, 0);
    support_submit(&client, &s);
    for (int i = 0; i < 3; i++)
        worker_turn(w);
    assert_true(support_answer(&client, &c));
    assert_int_equal(c.status, CHI_STATUS_OK);
    assert_true(c.replicas == 0 && c.cookie == 1 && ran_in == 1);
    const uint8_t *region = client.ch->base + client.ch->bulk_offset + 8192;
    assert_true((uint8_t *)seen.goes.ptr < client.ch->base || (uint8_t *)seen.goes.ptr >= client.ch->base + client.ch->size);
    assert_int_equal(region[0], 1); /* that of the region that goes there and back: 0 and 1 */
    support_leave(&client, w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(as_away__the_module_sees_what_would_have_come), TEST(as_away__without_it_it_is_the_same_memory), TEST(as_away__a_failure_brings_nothing_back),
        TEST(as_away__shows_what_is_wrong),                  TEST(as_away__without_a_record_more_it_is_a_status), TEST(as_away__of_a_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
