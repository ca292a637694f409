/* Bulk memory: what chi_bulk_alloc gives is disjoint, aligned, whole again after the last free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chi/client.h"
#include "chimods/echo/echo.h"
#include "tests/support/loopback.h"

enum { BULK = 1 << 20, AREA = 4096 };

/* Answers that take an area of AREA bytes, of twice that, and, by the first field alone, of a few. */
struct wide {
    struct chi_task task;
    uint64_t few[8], rest[AREA / 8 - 8];
};
CHI_FIELDS(wide_fields) = {CHI_OUT(U64, struct wide, few), CHI_OUT(U64, struct wide, rest)};
CHI_METHOD_VAR(wide_method) = CHI_METHOD(30, struct wide, wide_fields);
struct wider {
    struct chi_task task;
    uint64_t all[2 * AREA / 8];
};
CHI_FIELDS(wider_fields) = {CHI_OUT(U64, struct wider, all)};
CHI_METHOD_VAR(wider_method) = CHI_METHOD(31, struct wider, wider_fields);

static struct loopback lb;
static struct chi_client *client;

static int set_up(void **state)
{
    (void)state;
    const struct chi_client_options o = {BULK, 4, 0};
    lb = (struct loopback){.run = NULL};
    loopback_listen(&lb);
    loopback_start_accept(&lb);
    assert_int_equal(chi_connect(lb.path, &o, &client), 0);
    pthread_join(lb.acceptor, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    chi_disconnect(client);
    loopback_close(&lb);
    return 0;
}

static void bulk_alloc__all_that_was_asked_for(void **state)
{
    (void)state;
    void *p = chi_bulk_alloc(client, BULK);
    assert_non_null(p);
    memset(p, 1, BULK);
    assert_null(chi_bulk_alloc(client, BULK));
    chi_bulk_free(client, p);
    assert_ptr_equal(chi_bulk_alloc(client, BULK), p);
}

static void bulk_alloc__out_of_range(void **state)
{
    (void)state;
    assert_null(chi_bulk_alloc(client, UINT64_MAX));
    assert_null(chi_bulk_alloc(client, UINT64_MAX - 62));
    assert_null(chi_bulk_alloc(client, 2 * BULK));
    chi_bulk_free(client, NULL);
    void *a = chi_bulk_alloc(client, 0), *b = chi_bulk_alloc(client, 0);
    assert_true(a && b && a != b);
}

static uint64_t next(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static void bulk_alloc__random_is_disjoint(void **state)
{
    (void)state;
    enum { N = 64 };
    uint8_t *p[N] = {NULL};
    uint64_t size[N] = {0}, seed = 88172645463325252u;
    unsigned full = 0;
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)(next(&seed) % N);
        if (p[i]) {
            for (uint64_t k = 0; k < size[i]; k += 61)
                assert_int_equal(p[i][k], i + 1);
            chi_bulk_free(client, p[i]);
            p[i] = NULL;
            continue;
        }
        size[i] = next(&seed) % 40000;
        p[i] = chi_bulk_alloc(client, size[i]);
        if (!p[i]) {
            full++;
            continue;
        }
        assert_int_equal((uintptr_t)p[i] % 64, 0);
        memset(p[i], (int)i + 1, size[i]);
    }
    assert_true(full > 0); /* it was full at times */
    for (unsigned i = 0; i < N; i++)
        chi_bulk_free(client, p[i]);
    assert_non_null(chi_bulk_alloc(client, BULK)); /* one piece again */
}

/* Idle areas of forms make room; those of tasks that are out stay. */
static void bulk_alloc__takes_idle_areas_back(void **state)
{
    (void)state;
    const uint64_t all = lb.ch->bulk_bytes;
    struct echo_io io[2];
    for (unsigned i = 0; i < 2; i++) {
        io[i] = (struct echo_io){.seed = 1};
        io[i].task.method = &echo_io_method;
        io[i].task.query = chi_local();
        assert_int_equal(chi_submit(client, &io[i].task), CHI_STATUS_PENDING);
    }
    assert_null(chi_bulk_alloc(client, all));
    struct ipc_request rq[2];
    bool got;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(ipc_take_st(lb.ch, lb.scratch, &rq[i], &got), CHI_DROP_NONE);
    ipc_complete_st(lb.ch, &rq[0], CHI_STATUS_NO_POOL, NULL, 0);
    assert_int_equal(chi_poll(client), 1);
    assert_null(chi_bulk_alloc(client, all));
    ipc_complete_st(lb.ch, &rq[1], CHI_STATUS_NO_POOL, NULL, 0);
    assert_int_equal(chi_poll(client), 1);
    void *p = chi_bulk_alloc(client, all);
    assert_non_null(p);
    /* And a form that finds no room says so. */
    assert_int_equal(chi_submit(client, &io[0].task), CHI_STATUS_NO_MEMORY);
    chi_bulk_free(client, p);
    assert_int_equal(chi_submit(client, &io[0].task), CHI_STATUS_PENDING);
    assert_int_equal(ipc_take_st(lb.ch, lb.scratch, &rq[0], &got), CHI_DROP_NONE);
    ipc_complete_st(lb.ch, &rq[0], CHI_STATUS_NO_POOL, NULL, 0);
    assert_int_equal(chi_wait(client, &io[0].task, -1), CHI_STATUS_NO_POOL);
}

/* Takes the one task that is out, and ends it. */
static void end_one(struct chi_task *task)
{
    struct ipc_request rq;
    bool got;
    assert_int_equal(ipc_take_st(lb.ch, lb.scratch, &rq, &got), CHI_DROP_NONE);
    assert_true(got);
    ipc_complete_st(lb.ch, &rq, CHI_STATUS_NO_POOL, NULL, 0);
    assert_int_equal(chi_wait(client, task, -1), CHI_STATUS_NO_POOL);
}

static void area__grows_without_a_leak(void **state)
{
    (void)state;
    struct chi_method small = wide_method, large = wide_method;
    small.fields = &wide_fields[0];
    small.nfields = 1;
    small.hash = 0;
    for (unsigned i = 0; i < 2; i++) {
        static struct wide t;
        t = (struct wide){.task = {.query = chi_local(), .method = i ? &large : &small}};
        assert_int_equal(chi_submit(client, &t.task), CHI_STATUS_PENDING);
        end_one(&t.task);
    }
    assert_non_null(chi_bulk_alloc(client, lb.ch->bulk_bytes));
}

/* Idle areas of other cookies make room for a form, and a form takes no room that lies between regions. */
static void area__takes_idle_ones_back_and_leaves_the_lower_end(void **state)
{
    (void)state;
    static struct wide t[2];
    for (unsigned i = 0; i < 2; i++) {
        t[i] = (struct wide){.task = {.query = chi_local(), .method = &wide_method}};
        assert_int_equal(chi_submit(client, &t[i].task), CHI_STATUS_PENDING);
    }
    for (unsigned i = 0; i < 2; i++)
        end_one(&t[i].task);
    /* All but the two idle areas is taken: a larger one than either has no other place than theirs, joined. */
    const uint64_t areas = 2 * AREA, all = lb.ch->bulk_bytes;
    void *rest = chi_bulk_alloc(client, all - areas);
    assert_non_null(rest);
    static struct wider w;
    w = (struct wider){.task = {.query = chi_local(), .method = &wider_method}};
    assert_int_equal(chi_submit(client, &w.task), CHI_STATUS_PENDING);
    end_one(&w.task);
    chi_bulk_free(client, rest);

    void *whole = chi_bulk_alloc(client, all); /* which takes the idle area back */
    assert_non_null(whole);
    chi_bulk_free(client, whole);
    void *hole = chi_bulk_alloc(client, AREA), *above = chi_bulk_alloc(client, AREA);
    chi_bulk_free(client, hole);
    assert_int_equal(chi_submit(client, &t[0].task), CHI_STATUS_PENDING);
    assert_ptr_equal(chi_bulk_alloc(client, AREA), hole);
    end_one(&t[0].task);
    chi_bulk_free(client, above);
}

#define BULK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        BULK_TEST(bulk_alloc__all_that_was_asked_for),
        BULK_TEST(bulk_alloc__out_of_range),
        BULK_TEST(bulk_alloc__random_is_disjoint),
        BULK_TEST(bulk_alloc__takes_idle_areas_back),
        BULK_TEST(area__grows_without_a_leak),
        BULK_TEST(area__takes_idle_ones_back_and_leaves_the_lower_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
