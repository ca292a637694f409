/* What a worker takes from a client: each refusal has its counter and its status, a worker without records waits, and what goes to a
 * module or to another node is what the client said and nothing else. */
#include <sys/socket.h>

#include "worker_support.h"

enum { DEPTH = 64, RECORDS = 64 };
static const struct chi_pool_id POOL = {100, 0}, QUIET = {101, 0}, OUT = {2, 0}, NOWHERE = {99, 0};

struct note {
    struct chi_task task;
    uint64_t in, out, kept;
    struct chi_bulk bytes;
    uint8_t large[4000]; /* a body of the middle size */
};
CHI_FIELDS(note_fields) = {CHI_IN(U64, struct note, in), CHI_OUT(U64, struct note, out), CHI_BULK_IN(struct note, bytes)};
CHI_METHOD_VAR(note_method) = CHI_METHOD(1, struct note, note_fields);
CHI_FIELDS(bare_fields) = {CHI_IN(U64, struct note, in), CHI_OUT(U64, struct note, out)};
CHI_METHOD_VAR(bare_method) = CHI_METHOD(2, struct note, bare_fields);
struct word {
    struct chi_task task;
    uint64_t in;
};
CHI_FIELDS(word_fields) = {CHI_IN(U64, struct word, in)};
CHI_METHOD_VAR(word_method) = CHI_METHOD(3, struct word, word_fields);
struct text {
    struct chi_task task;
    CHI_STR_T(16) first, second;
};
CHI_FIELDS(text_fields) = {CHI_STR(OUT, struct text, first), CHI_STR(OUT, struct text, second)};
CHI_METHOD_VAR(text_method) = CHI_METHOD(4, struct text, text_fields);

static struct runtime *rt;
static struct worker *w;
static struct support_client client;
static struct chi_task *parked, *away[DEPTH];
static unsigned aways, runs, dels, monitors;
static struct note seen;
static enum { ANSWER, PARK, KEEP, REFUSE } mode;

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 1); }

static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct note *t = (struct note *)task;
    (void)c, (void)r;
    runs++;
    if (task->method->id == 4) {
        ((struct text *)task)->first.len = 16;
        ((struct text *)task)->second.len = 17; /* more than it can hold */
    }
    if (task->method->id > 2)
        return CHI_STATUS_OK;
    seen = *t;
    t->kept = 77; /* stays in the record */
    if (mode == PARK) {
        parked = task;
        return CHI_STATUS_PENDING;
    }
    if (mode == ANSWER)
        t->out = t->in + 1;
    return CHI_STATUS_OK;
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode m, struct chi_task *task, struct chi_rctx *r)
{
    (void)c, (void)r;
    if (m != CHI_GLOBAL_SCHEDULE && m != CHI_LOCAL_SCHEDULE)
        return CHI_STATUS_UNSUPPORTED;
    monitors++;
    if (mode == REFUSE)
        return CHI_STATUS_MODULE;
    if (m == CHI_GLOBAL_SCHEDULE)
        task->query = chi_physical(2);
    return CHI_STATUS_OK;
}
static void del(struct chi_container *c, struct chi_task *task)
{
    assert_ptr_equal(c, sched_pool_find(&rt->sched, POOL)->local);
    if (task->method->id > 2)
        return;
    assert_int_equal(((struct note *)task)->kept, 77);
    dels++;
}
static struct chi_method *const methods[] = {&note_method, &bare_method, &word_method, &text_method};
static const struct chi_chimod notes = {.abi = CHI_CHIMOD_ABI, .size = sizeof notes, .name = "notes", .methods = methods, .nmethods = 4,
                                        .init = init, .run = run, .monitor = monitor, .del = del};
static const struct chi_chimod quiet = {.abi = CHI_CHIMOD_ABI, .size = sizeof quiet, .name = "quiet", .methods = methods, .nmethods = 4,
                                        .init = init, .run = run};

/* In place of the module that sends: keeps what it gets. */
static void take_away(struct chi_container *c, struct chi_task **tasks, unsigned n, struct chi_rctx *r)
{
    (void)c, (void)r;
    for (unsigned i = 0; i < n; i++)
        away[aways++] = tasks[i];
}
static void never(struct chi_container *c, struct chi_task *task)
{
    (void)c, (void)task;
    fail_msg("a task that went away was deleted here");
}
static const struct chi_chimod remote_queue = {.abi = CHI_CHIMOD_ABI, .size = sizeof remote_queue, .name = "remote_queue", .init = init,
                                               .run_many = take_away, .del = never};

static void comes_back(unsigned i, enum chi_status st)
{
    struct task *t = task_of(away[i]);
    t->state = TASK_AWAY;
    worker_returned_st(w, t, st, NULL, 0);
}

static int setup(void **state)
{
    (void)state;
    rt = support_runtime(1, RECORDS, NULL);
    w = rt->worker[0];
    support_pool(rt, &remote_queue, OUT, 1);
    support_pool(rt, &notes, POOL, 1);
    support_pool(rt, &quiet, QUIET, 1);
    support_connect(&client, DEPTH);
    support_attach(&client, w);
    aways = runs = dels = monitors = 0;
    mode = ANSWER;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    support_leave(&client, w);
    support_end(rt);
    return 0;
}

/* A region of a form holds an offset of the segment where a task has an address. */
static void *place(uint64_t offset) { return (void *)(uintptr_t)(client.ch->bulk_offset + offset); }

static struct shm_submit note_for(struct chi_pool_id pool, struct chi_query q, uint32_t cookie, uint64_t in)
{
    struct note t = {.task = {.pool = pool, .query = q, .method = &note_method, .timeout_us = 9}, .in = in};
    t.bytes = (struct chi_bulk){.ptr = place(8192), .size = 10};
    return support_form(&client, &t.task, cookie, 512 * (uint64_t)cookie);
}
static struct shm_submit word_for(struct chi_query q, uint32_t cookie)
{
    struct word t = {.task = {.pool = POOL, .query = q, .method = &word_method}};
    return support_form(&client, &t.task, cookie, 512 * (uint64_t)cookie);
}

static void turn(void)
{
    for (int i = 0; i < 3; i++)
        worker_turn(w);
}

static void expect_answer(uint32_t cookie, enum chi_status st)
{
    struct shm_complete c;
    assert_true(support_answer(&client, &c));
    assert_int_equal(c.status, st);
    assert_int_equal(c.cookie, cookie);
}
static void expect_none(void)
{
    struct shm_complete c;
    assert_false(support_answer(&client, &c));
}

/* Counted as that and nothing else; ended; nothing kept. */
static void expect_refused(const struct shm_submit *s, enum chi_drop why)
{
    uint64_t before[CHI_DROP_COUNT];
    memcpy(before, w->drops, sizeof before);
    uint32_t out = client.ch->out, records = w->tasks.out;
    support_submit(&client, s);
    turn();
    expect_answer(s->cookie, CHI_STATUS_INVALID);
    before[why]++;
    for (int d = 0; d < CHI_DROP_COUNT; d++)
        if (w->drops[d] != before[d])
            fail_msg("%s: %llu, expected %llu", chi_drop_name((enum chi_drop)d), (unsigned long long)w->drops[d],
                     (unsigned long long)before[d]);
    assert_int_equal(client.ch->out, out);
    assert_int_equal(w->tasks.out, records);
}

static void client__each_refusal_has_its_counter(void **state)
{
    (void)state;
    struct shm_submit s = note_for(POOL, chi_local(), 0, 1);
    s.external.form_offset = client.ch->size;
    expect_refused(&s, CHI_DROP_CLIENT_FORM);
    s = note_for(POOL, chi_local(), 0, 1);
    s.flags = 4;
    expect_refused(&s, CHI_DROP_CLIENT_FORM);

    const struct chi_query where[] = {chi_local(), chi_physical(2), chi_dynamic()};
    for (unsigned i = 0; i < 3; i++) {
        struct note t = {.task = {.pool = POOL, .query = where[i], .method = &note_method}};
        t.bytes = (struct chi_bulk){.ptr = place(client.ch->bulk_bytes - 9), .size = 10};
        s = support_form(&client, &t.task, 1, 0);
        expect_refused(&s, CHI_DROP_CLIENT_REGION);
    }
    assert_int_equal(runs + aways + monitors, 0);

    mode = PARK;
    client.ch->depth = 1; /* as if it had announced no more */
    s = note_for(POOL, chi_local(), 0, 1);
    support_submit(&client, &s);
    turn();
    expect_refused(&s, CHI_DROP_CLIENT_DEPTH);
    chi_complete(&w->rctx, parked, CHI_STATUS_OK);
    expect_answer(0, CHI_STATUS_OK);
}

static void client__what_cannot_go_ends_with_its_status_and_keeps_nothing(void **state)
{
    (void)state;
    struct chi_method other = note_method, none = note_method;
    other.fields = bare_fields;
    other.nfields = 2;
    other.hash = none.hash = 0;
    none.id = 900;
    const struct { struct chi_pool_id pool; struct chi_query q; struct chi_method *m; enum chi_status st; } cases[] = {
        {NOWHERE, chi_local(), &note_method, CHI_STATUS_NO_POOL},
        {NOWHERE, chi_dynamic(), &note_method, CHI_STATUS_NO_POOL},
        {POOL, chi_physical(9), &note_method, CHI_STATUS_NO_NODE},
        {POOL, chi_direct(2), &note_method, CHI_STATUS_NO_CONTAINER},
        {POOL, chi_local(), &none, CHI_STATUS_NO_METHOD},
        {POOL, chi_local(), &other, CHI_STATUS_SCHEMA},
        {POOL, chi_dynamic(), &none, CHI_STATUS_NO_METHOD},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct note t = {.task = {.pool = cases[i].pool, .query = cases[i].q, .method = cases[i].m}};
        t.bytes = (struct chi_bulk){.ptr = place(8192), .size = 10};
        struct shm_submit s = support_form(&client, &t.task, i, 0);
        support_submit(&client, &s);
        turn();
        expect_answer(i, cases[i].st);
        assert_int_equal(client.ch->out + w->tasks.out, 0);
    }
    struct shm_submit s = note_for(POOL, chi_local(), 3, 1);
    s.external.form_length -= 4; /* a body that ends too early */
    support_submit(&client, &s);
    turn();
    expect_answer(3, CHI_STATUS_ARCHIVE);
    mode = REFUSE;
    const struct chi_query where[] = {chi_local(), chi_dynamic()};
    for (unsigned i = 0; i < 2; i++) {
        s = note_for(POOL, where[i], i, 1);
        support_submit(&client, &s);
        turn();
        expect_answer(i, CHI_STATUS_MODULE);
    }
    assert_int_equal(client.ch->out + w->tasks.out + runs + dels, 0);
    assert_int_equal(w->tasks.regions.free, w->tasks.regions.count);
}

/* An empty pool is back-pressure: the task stays in the client's ring, and is taken when there is a record again. */
static void client__without_records_waits_in_its_ring(void **state)
{
    (void)state;
    static struct task *all[4 * RECORDS];
    const size_t sizes[] = {1, 321, 2049};
    for (unsigned k = 0; k < 4; k++) { /* 3: the lists of regions */
        unsigned n = 0;
        if (k < 3)
            while ((all[n] = task_try_get(&w->tasks, sizes[k])))
                n++;
        else
            while ((all[n] = pool_try_get(&w->tasks.regions)))
                n++;
        struct shm_submit s = word_for(chi_local(), k);
        support_submit(&client, &s);
        turn();
        expect_none();
        assert_int_equal(client.ch->out, 0);
        while (n--)
            if (k < 3)
                task_put(&w->tasks, all[n]);
            else
                pool_put(&w->tasks.regions, all[n]);
        turn();
        expect_answer(k, CHI_STATUS_OK);
    }
}


/* A client that fell asleep just before its completion came is woken although nothing more is taken from it. */
static void client__without_records_is_woken_for_what_ended(void **state)
{
    (void)state;
    static struct task *all[RECORDS + 1];
    char byte;
    unsigned n = 0;
    struct shm_submit s = word_for(chi_local(), 0);
    support_submit(&client, &s);
    while (client.ch->complete_at == 0)
        worker_turn(w);
    assert_true(client.ch->unsettled > 0);
    ((struct shm_header *)client.ch->base)->client_sleeps = 5;
    while ((all[n] = task_try_get(&w->tasks, 1)))
        n++;
    assert_int_equal(recv(client.ch->client_event, &byte, 1, MSG_DONTWAIT), -1);
    worker_turn(w);
    assert_int_equal(recv(client.ch->client_event, &byte, 1, MSG_DONTWAIT), 1);
    while (n--)
        task_put(&w->tasks, all[n]);
}

/* Neither good nor bad submissions of one client keep a worker from its other work. */
static void client__has_a_budget(void **state)
{
    (void)state;
    for (int bad = 0; bad < 2; bad++) {
        for (uint32_t i = 0; i < DEPTH; i++) {
            struct shm_submit s = word_for(chi_local(), i);
            s.flags = bad ? 9 : s.flags;
            support_submit(&client, &s);
        }
        uint64_t taken = client.ch->submit_at;
        assert_true(worker_turn(w) > 0);
        assert_int_equal(client.ch->submit_at - taken, WORKER_CLIENT_BUDGET);
        turn();
        assert_int_equal(client.ch->submit_at, client.submitted);
        client.completed = client.ch->complete_at;
    }
    assert_int_equal(w->stats.tasks_client, DEPTH);
    assert_int_equal(w->stats.tasks_run, DEPTH);
    assert_int_equal(w->stats.tasks_ended, DEPTH);
}

static void client__that_is_gone_is_not_heard_and_not_answered(void **state)
{
    (void)state;
    mode = PARK;
    struct shm_submit s = note_for(POOL, chi_local(), 0, 1);
    support_submit(&client, &s);
    turn();
    client.ch->detached = true;
    support_submit(&client, &s);
    chi_complete(&w->rctx, parked, CHI_STATUS_OK);
    turn();
    expect_none();
    assert_int_equal(runs, 1);
    assert_int_equal(client.ch->out, 0);
}

static void client__of_a_daemon_that_stops_gets_shutdown(void **state)
{
    (void)state;
    rt->stopping = true;
    struct shm_submit s = note_for(POOL, chi_local(), 7, 1);
    support_submit(&client, &s);
    turn();
    expect_answer(7, CHI_STATUS_SHUTDOWN);
    assert_int_equal(runs, 0);
}

/* The module sees what the client said; what it did not set goes back as zero, not as what lay in the record. */
static void run__sees_the_task_and_leaks_nothing_of_the_one_before(void **state)
{
    (void)state;
    struct shm_complete c;
    for (uint32_t i = 0; i < 2; i++) {
        mode = i ? KEEP : ANSWER;
        struct note t = {.task = {.pool = POOL, .query = chi_hash(6), .method = &bare_method, .timeout_us = 9}, .in = 41};
        struct shm_submit s = support_form(&client, &t.task, i, 0);
        support_submit(&client, &s);
        turn();
        assert_true(support_answer(&client, &c));
        assert_int_equal(c.status, CHI_STATUS_OK);
        assert_int_equal(c.length, 8);
        uint64_t out;
        memcpy(&out, c.bytes, 8);
        assert_int_equal(out, i ? 0 : 42);
        assert_int_equal(seen.kept, 0);
        assert_int_equal(seen.task.pool.major, POOL.major);
        assert_int_equal(seen.task.query.kind, CHI_QUERY_DIRECT_HASH);
        assert_int_equal(seen.task.query.value, 6);
        assert_int_equal(seen.task.timeout_us, 9);
        assert_int_equal(seen.task.status, CHI_STATUS_PENDING);
        assert_ptr_equal(seen.task.method, &bare_method);
        assert_int_equal(dels, i + 1); /* once for each */
    }
}

static void run__sees_the_region_in_the_segment(void **state)
{
    (void)state;
    struct shm_submit s = note_for(POOL, chi_local(), 0, 1);
    support_submit(&client, &s);
    turn();
    expect_answer(0, CHI_STATUS_OK);
    assert_ptr_equal(seen.bytes.ptr, client.ch->base + client.ch->bulk_offset + 8192);
    assert_int_equal(seen.bytes.size, 10);
}

/* An answer that cannot be made ends with its status alone: nothing of what was written goes with it. */
static void answer__that_cannot_be_saved_is_a_status(void **state)
{
    (void)state;
    struct shm_complete c;
    struct text t = {.task = {.pool = POOL, .query = chi_local(), .method = &text_method}};
    struct shm_submit s = support_form(&client, &t.task, 0, 0);
    support_submit(&client, &s);
    turn();
    assert_true(support_answer(&client, &c));
    assert_int_equal(runs, 1);
    assert_true(c.status != CHI_STATUS_OK);
    assert_int_equal(c.length, 0);
}

/* A task for another node goes as it came, without the addresses of this one, and has a deadline. */
static void away__the_form_goes_without_places_and_with_a_deadline(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct note n = {.task = {.pool = POOL, .query = chi_physical(2), .method = &note_method}, .in = 5};
        n.task.timeout_us = i ? 2500 : 0;
        n.bytes = (struct chi_bulk){.ptr = place(8192), .size = 10};
        struct shm_submit s = support_form(&client, &n.task, i, 0);
        support_submit(&client, &s);
        worker_turn(w);
        assert_int_equal(aways, i + 1);
        struct task *t = task_of(away[i]);
        struct form_head h;
        assert_int_equal(form_decode(task_form(t), t->form_length, &h), CHI_DROP_NONE);
        assert_int_equal(h.region[0].place, 0);
        assert_int_equal(h.region[0].size, 10);
        assert_null(t->method);
        assert_int_equal(t->node, 2);
        assert_int_equal(t->nregions, 1);
        assert_ptr_equal(t->regions[0].ptr, client.ch->base + client.ch->bulk_offset + 8192);
        assert_int_equal(t->deadline_ns, w->rctx.now_ns + (i ? 2500000 : SUPPORT_TIMEOUT_MS * UINT64_C(1000000)));
        comes_back(i, CHI_STATUS_DEADLINE);
        expect_answer(i, CHI_STATUS_DEADLINE);
    }
    assert_int_equal(dels + monitors, 0);
}

/* DYNAMIC: the monitor sees the task; it then goes away loaded, and its module has nothing to delete here. */
static void away__loaded_by_the_monitor_is_not_deleted_here(void **state)
{
    (void)state;
    struct shm_submit s = note_for(POOL, chi_dynamic(), 0, 5);
    support_submit(&client, &s);
    turn();
    assert_int_equal(monitors, 1);
    assert_int_equal(aways, 1);
    assert_ptr_equal(task_of(away[0])->method, &note_method);
    comes_back(0, CHI_STATUS_PEER_DOWN);
    expect_answer(0, CHI_STATUS_PEER_DOWN);
    assert_int_equal(dels, 0);
}

static void dynamic__without_a_monitor_stays_here(void **state)
{
    (void)state;
    struct shm_submit s = note_for(QUIET, chi_dynamic(), 0, 5);
    support_submit(&client, &s);
    turn();
    expect_answer(0, CHI_STATUS_OK);
    assert_int_equal(seen.task.query.kind, CHI_QUERY_LOCAL);
}

static void dynamic__without_a_container_here_ends_with_its_status(void **state)
{
    (void)state;
    struct sched_pool *pool = sched_pool_find(&rt->sched, QUIET);
    struct chi_container *kept = pool->local;
    pool->local = NULL;
    struct shm_submit s = note_for(QUIET, chi_dynamic(), 0, 5);
    support_submit(&client, &s);
    turn();
    expect_answer(0, CHI_STATUS_NO_CONTAINER);
    pool->local = kept;
}

static void away__without_a_way_out_ends_with_no_route(void **state)
{
    (void)state;
    struct sched_pool *kept = rt->sched.remote_queue;
    rt->sched.remote_queue = NULL;
    const struct chi_query where[] = {chi_physical(2), chi_dynamic()};
    for (unsigned i = 0; i < 2; i++) {
        struct shm_submit s = note_for(POOL, where[i], i, 5);
        support_submit(&client, &s);
        turn();
        expect_answer(i, CHI_STATUS_NO_ROUTE);
        assert_int_equal(w->tasks.out, 0);
    }
    rt->sched.remote_queue = kept;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(client__each_refusal_has_its_counter),
        TEST(client__what_cannot_go_ends_with_its_status_and_keeps_nothing),
        TEST(client__without_records_waits_in_its_ring),
        TEST(client__without_records_is_woken_for_what_ended),
        TEST(client__has_a_budget),
        TEST(client__that_is_gone_is_not_heard_and_not_answered),
        TEST(client__of_a_daemon_that_stops_gets_shutdown),
        TEST(run__sees_the_task_and_leaks_nothing_of_the_one_before),
        TEST(run__sees_the_region_in_the_segment),
        TEST(answer__that_cannot_be_saved_is_a_status),
        TEST(away__the_form_goes_without_places_and_with_a_deadline),
        TEST(away__loaded_by_the_monitor_is_not_deleted_here),
        TEST(dynamic__without_a_monitor_stays_here),
        TEST(dynamic__without_a_container_here_ends_with_its_status),
        TEST(away__without_a_way_out_ends_with_no_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
