/* Tasks through the segment: libchi against a worker in a thread of this program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chi/client.h"
#include "chimods/echo/echo.h"
#include "tests/support/loopback.h"

enum { BIG = 20, HAND = 21, SMALL_BULK = 22 };

/* More than a slot holds, both ways. */
struct big {
    struct chi_task task;
    uint32_t fail;
    CHI_STR_T(3000) text; /* INOUT */
    uint64_t table[500];  /* OUT */
};
CHI_FIELDS(big_fields) = {
    CHI_IN(U32, struct big, fail),
    CHI_STR(INOUT, struct big, text),
    CHI_OUT(U64, struct big, table),
};
CHI_METHOD_VAR(big_method) = CHI_METHOD(BIG, struct big, big_fields);

/* By hand: n words there, their sum and the first n bytes of the region back. */
struct hand {
    struct chi_task task;
    uint32_t n;
    uint64_t sum;
    uint64_t v[1200];
    struct chi_bulk b;
};
static void hand_in(struct chi_archive *ar, struct chi_task *task)
{
    struct hand *h = (struct hand *)task;
    chi_ar_u32(ar, &h->n, 1);
    if (h->n > 1200)
        h->n = 0;
    chi_ar_u64(ar, h->v, h->n);
    chi_ar_bulk(ar, &h->b.ptr, &h->b.size, CHI_WRITE | CHI_EXPOSE);
}
static void hand_out(struct chi_archive *ar, struct chi_task *task)
{
    struct hand *h = (struct hand *)task;
    chi_ar_u64(ar, &h->sum, 1);
    chi_ar_bulk(ar, &h->b.ptr, &h->b.used, CHI_WRITE);
}
CHI_METHOD_VAR(hand_method) = CHI_METHOD_BY_HAND(HAND, struct hand, hand_in, hand_out);

static void run_io(struct echo_io *io)
{
    const uint8_t *in = io->in.ptr;
    uint8_t *out = io->out.ptr;
    io->sum = 0;
    for (uint64_t i = 0; i < io->in.size; i++)
        io->sum += in[i];
    for (uint64_t i = 0; i < io->out.size; i++)
        out[i] = (uint8_t)(io->seed + i);
    io->out.used = io->out.size;
}

static enum chi_status run_big(struct big *b)
{
    if (b->fail)
        return CHI_STATUS_MODULE;
    for (uint32_t i = 0; i < b->text.len; i++)
        b->text.data[i]++;
    for (unsigned i = 0; i < 500; i++)
        b->table[i] = i * i + b->text.len;
    return CHI_STATUS_OK;
}

static enum chi_status run(struct loopback *lb, struct chi_task *task)
{
    switch (lb->ch->head.method) {
    case ECHO_PING:
        ((struct echo_ping *)task)->value++;
        return CHI_STATUS_OK;
    case ECHO_IO:
        run_io((struct echo_io *)task);
        return CHI_STATUS_OK;
    case BIG:
        return run_big((struct big *)task);
    case HAND: {
        struct hand *h = (struct hand *)task;
        for (uint32_t i = 0; i < h->n; i++)
            h->sum += h->v[i];
        h->b.used = h->n;
        return CHI_STATUS_OK;
    }
    default:
        return CHI_STATUS_UNSUPPORTED;
    }
}

static struct chi_method *const methods[] = {&echo_ping_method, &echo_io_method, &big_method, &hand_method};
static struct loopback lb;
static struct chi_client *client;

static int set_up(void **state)
{
    const struct chi_client_options o = {1 << 20, 8, 0};
    lb = (struct loopback){.methods = methods, .nmethods = 4, .run = run, .sleeps = true};
    loopback_listen(&lb);
    loopback_start_accept(&lb);
    assert_int_equal(chi_connect(lb.path, &o, &client), 0);
    loopback_start_work(&lb);
    *state = client;
    return 0;
}

/* The worker's counters, which are its own while it runs. */
static void expect_counters(uint64_t tasks)
{
    loopback_stop_work(&lb);
    assert_true(lb.ch->tasks == tasks && lb.ch->rejected == 0 && lb.ch->out == 0);
}

static int tear_down(void **state)
{
    (void)state;
    chi_disconnect(client);
    if (!lb.stop)
        loopback_stop_work(&lb);
    loopback_close(&lb);
    return 0;
}

static struct echo_ping ping(uint64_t value)
{
    struct echo_ping p = {.value = value};
    p.task.method = &echo_ping_method;
    p.task.pool = (struct chi_pool_id){100, 0};
    p.task.query = chi_local();
    return p;
}

static void set_task(struct chi_task *t, struct chi_method *m)
{
    t->method = m;
    t->pool = (struct chi_pool_id){100, 0};
    t->query = chi_direct(0);
}

static void submit__inline_there_and_back(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 1000; i++) {
        struct echo_ping p = ping(i);
        p.task.user = &p;
        assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_PENDING);
        assert_int_equal(chi_wait(client, &p.task, -1), CHI_STATUS_OK);
        assert_true(p.value == i + 1 && p.task.status == CHI_STATUS_OK && p.task.user == &p);
        assert_true(p.task.method == &echo_ping_method);
    }
    expect_counters(1000);
}

/* Nobody waits: the task is the caller's at once, and there are always as many out as may be. */
static void post__all_arrive(void **state)
{
    (void)state;
    static struct big b;
    struct chi_replica each[1] = {{7, 7}};
    struct chi_replicas replicas = {each, 1, 9};
    uint64_t sent = 0;
    while (sent < 1000) {
        struct echo_ping p = ping(sent);
        p.task.replicas = &replicas;
        enum chi_status st = chi_post(client, &p.task);
        sent += st == CHI_STATUS_OK;
        assert_true(st == CHI_STATUS_OK || st == CHI_STATUS_BUSY); /* with 8 out */
        assert_true(p.value == sent - (st == CHI_STATUS_OK) && p.task.replicas == &replicas && replicas.count == 9);
        memset(&p, 0xff, sizeof p);
    }
    set_task(&b.task, &big_method); /* not in a slot */
    b.text.len = 2000;
    while (chi_post(client, &b.task) == CHI_STATUS_BUSY)
        ;
    struct echo_ping last = ping(1); /* behind them */
    while (chi_submit(client, &last.task) == CHI_STATUS_BUSY)
        (void)chi_poll(client);
    assert_int_equal(chi_wait(client, &last.task, -1), CHI_STATUS_OK);
    assert_int_equal(last.value, 2);
    assert_true(b.text.len == 2000 && b.table[1] == 0); /* nothing came back */
    expect_counters(1002);
}

static void post__what_cannot_go_says_so(void **state)
{
    (void)state;
    struct echo_ping p = ping(1);
    uint8_t outside[64];
    struct echo_io io = {.in = {outside, sizeof outside, 0}};
    set_task(&io.task, &echo_io_method);
    assert_int_equal(chi_post(client, &io.task), CHI_STATUS_INVALID); /* not in the segment */
    p.task.method = NULL;
    assert_int_equal(chi_post(client, &p.task), CHI_STATUS_INVALID);
    __atomic_store_n(&lb.hold, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 8; i++) {
        p = ping(i);
        assert_int_equal(chi_post(client, &p.task), CHI_STATUS_OK);
    }
    assert_int_equal(chi_post(client, &p.task), CHI_STATUS_BUSY);
    assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_BUSY);
    __atomic_store_n(&lb.hold, false, __ATOMIC_RELEASE);
    while (chi_post(client, &p.task) == CHI_STATUS_BUSY) /* it makes room itself */
        ;
    p = ping(40); /* behind all of them */
    while (chi_submit(client, &p.task) == CHI_STATUS_BUSY)
        (void)chi_poll(client);
    assert_int_equal(chi_wait(client, &p.task, -1), CHI_STATUS_OK);
    expect_counters(10);
    close(lb.control); /* the daemon goes */
    lb.control = -1;
    unsigned ended = 0;
    assert_int_equal(chi_post(client, &p.task), CHI_STATUS_OK);
    while (chi_post(client, &p.task) != CHI_STATUS_DISCONNECTED)
        ended += chi_poll(client);
    assert_int_equal(ended, 0); /* posts are nobody's */
}

static void submit__external_there_and_back(void **state)
{
    (void)state;
    static struct big b;
    for (unsigned round = 0; round < 40; round++) {
        memset(&b, 0, sizeof b);
        set_task(&b.task, &big_method);
        b.text.len = round * 75;
        memset(b.text.data, 'a' + (int)round % 20, b.text.len);
        assert_int_equal(chi_submit(client, &b.task), CHI_STATUS_PENDING);
        assert_int_equal(chi_wait(client, &b.task, -1), CHI_STATUS_OK);
        assert_int_equal(b.text.len, round * 75);
        for (uint32_t i = 0; i < b.text.len; i++)
            assert_int_equal(b.text.data[i], 'b' + (int)round % 20);
        assert_int_equal(b.table[499], 499 * 499 + round * 75);
    }
}

static void submit__status_of_the_module(void **state)
{
    (void)state;
    static struct big b;
    memset(&b, 0, sizeof b);
    set_task(&b.task, &big_method);
    b.fail = 1;
    b.table[0] = 7;
    assert_int_equal(chi_submit(client, &b.task), CHI_STATUS_PENDING);
    assert_int_equal(chi_wait(client, &b.task, -1), CHI_STATUS_MODULE);
    assert_int_equal(b.table[0], 7); /* the OUT fields of a task that failed stay */
}

static void submit__regions_in_place(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 63, 64, 65, 4096, 100000};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t n = sizes[i], m = sizes[(i + 3) % 7], sum = 0;
        struct echo_io io = {
            .seed = i, .in = {chi_bulk_alloc(client, n), n, 5}, .out = {chi_bulk_alloc(client, m), m, 5}};
        set_task(&io.task, &echo_io_method);
        assert_non_null(io.in.ptr);
        assert_non_null(io.out.ptr);
        for (uint64_t k = 0; k < n; k++)
            sum += ((uint8_t *)io.in.ptr)[k] = (uint8_t)(k * 13);
        void *in = io.in.ptr, *out = io.out.ptr;
        assert_int_equal(chi_submit(client, &io.task), CHI_STATUS_PENDING);
        assert_int_equal(chi_wait(client, &io.task, -1), CHI_STATUS_OK);
        assert_true(io.sum == sum && io.in.used == 0 && io.out.used == m && io.out.size == m);
        assert_true(io.in.ptr == in && io.out.ptr == out);
        for (uint64_t k = 0; k < m; k++)
            assert_int_equal(((uint8_t *)out)[k], (uint8_t)(i + k));
        chi_bulk_free(client, in);
        chi_bulk_free(client, out);
    }
}

/* No bytes lie anywhere, so that no memory needs to be named for them. */
static void submit__regions_of_no_bytes_and_no_place(void **state)
{
    (void)state;
    struct echo_io io = {.seed = 1, .sum = 9};
    set_task(&io.task, &echo_io_method);
    assert_int_equal(chi_submit(client, &io.task), CHI_STATUS_PENDING);
    assert_int_equal(chi_wait(client, &io.task, -1), CHI_STATUS_OK);
    assert_true(io.sum == 0 && io.out.used == 0);
}

static void submit__by_hand_small_and_large(void **state)
{
    (void)state;
    static struct hand h;
    static const uint32_t counts[] = {0, 1, 400, 1200, 3}; /* 1200 words: above the first guess of 4 KiB */
    uint8_t *bytes = chi_bulk_alloc(client, 2048);
    for (unsigned i = 0; i < 5; i++) {
        uint64_t sum = 0;
        memset(&h, 0, sizeof h);
        set_task(&h.task, &hand_method);
        h.b = (struct chi_bulk){bytes, 2048, 0};
        h.n = counts[i];
        for (uint32_t k = 0; k < h.n; k++)
            sum += h.v[k] = k + i;
        assert_int_equal(chi_submit(client, &h.task), CHI_STATUS_PENDING);
        assert_int_equal(chi_wait(client, &h.task, -1), CHI_STATUS_OK);
        assert_true(h.sum == sum && h.b.used == counts[i]);
    }
}

static void submit__refused_at_once(void **state)
{
    (void)state;
    struct echo_ping p = ping(1);
    p.task.method = NULL;
    assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_INVALID);
    assert_int_equal(p.task.status, CHI_STATUS_INVALID);
    p = ping(1);
    p.task.query.kind = 77;
    assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_INVALID);
    static uint8_t elsewhere[64];
    uint8_t *inside = chi_bulk_alloc(client, 64);
    uint8_t *const bad[] = {elsewhere, inside - 4096 * 4, inside + (2 << 20), NULL};
    for (unsigned i = 0; i < 4; i++) {
        struct echo_io io = {.in = {bad[i], 64, 0}, .out = {inside, 64, 0}};
        set_task(&io.task, &echo_io_method);
        assert_int_equal(chi_submit(client, &io.task), CHI_STATUS_INVALID);
    }
    struct echo_io io = {.in = {inside, UINT64_MAX, 0}};
    set_task(&io.task, &echo_io_method);
    assert_int_equal(chi_submit(client, &io.task), CHI_STATUS_INVALID);
    io.in.size = INT64_MAX;
    assert_int_equal(chi_submit(client, &io.task), CHI_STATUS_INVALID);
    struct chi_method broken = echo_ping_method;
    broken.fields = NULL;
    broken.hash = 0;
    p = ping(1);
    p.task.method = &broken;
    assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_INVALID);
    p = ping(5); /* nothing of that used anything up */
    assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_PENDING);
    assert_int_equal(chi_wait(client, &p.task, -1), CHI_STATUS_OK);
    expect_counters(1);
}

static void submit__unknown_method_and_schema(void **state)
{
    (void)state;
    struct chi_method other = echo_ping_method;
    other.id = 999;
    other.hash = 0;
    struct echo_ping p = ping(1);
    p.task.method = &other;
    assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_PENDING);
    assert_int_equal(chi_wait(client, &p.task, -1), CHI_STATUS_NO_METHOD);
    other.id = ECHO_PING;
    other.hash = 12345;
    assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_PENDING);
    assert_int_equal(chi_wait(client, &p.task, -1), CHI_STATUS_SCHEMA);
}

static void submit__busy_when_depth_is_out(void **state)
{
    (void)state;
    struct echo_ping p[9];
    __atomic_store_n(&lb.hold, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 8; i++) {
        p[i] = ping(i);
        assert_int_equal(chi_submit(client, &p[i].task), CHI_STATUS_PENDING);
    }
    /* The worker may have taken one task between its look at `hold` and the submission: wait for none of that. */
    p[8] = ping(8);
    unsigned ended = chi_poll(client);
    assert_int_equal(chi_submit(client, &p[8].task), ended ? CHI_STATUS_PENDING : CHI_STATUS_BUSY);
    __atomic_store_n(&lb.hold, false, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(chi_wait(client, &p[i].task, -1), CHI_STATUS_OK);
    if (!ended)
        assert_int_equal(chi_submit(client, &p[8].task), CHI_STATUS_PENDING);
    assert_int_equal(chi_wait(client, &p[8].task, -1), CHI_STATUS_OK);
    expect_counters(9);
}

/* Many out at once, of all sorts, waited for in another order. */
static void submit__mixed_window(void **state)
{
    (void)state;
    static struct big b[3];
    struct echo_ping p[5];
    for (unsigned round = 0; round < 2000; round++) {
        for (unsigned i = 0; i < 5; i++) {
            p[i] = ping(round + i);
            assert_int_equal(chi_submit(client, &p[i].task), CHI_STATUS_PENDING);
            if (i < 3) {
                set_task(&b[i].task, &big_method);
                b[i].fail = i == 1;
                b[i].text.len = round;
                assert_int_equal(chi_submit(client, &b[i].task), CHI_STATUS_PENDING);
            }
        }
        for (int i = 4; i >= 0; i--) {
            assert_int_equal(chi_wait(client, &p[i].task, -1), CHI_STATUS_OK);
            assert_int_equal(p[i].value, round + (unsigned)i + 1);
            if (i < 3)
                assert_int_equal(chi_wait(client, &b[i].task, -1), i == 1 ? CHI_STATUS_MODULE : CHI_STATUS_OK);
        }
    }
    expect_counters(16000);
}

#define TASK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TASK_TEST(submit__inline_there_and_back),
        TASK_TEST(post__all_arrive),
        TASK_TEST(post__what_cannot_go_says_so),
        TASK_TEST(submit__external_there_and_back),
        TASK_TEST(submit__status_of_the_module),
        TASK_TEST(submit__regions_in_place),
        TASK_TEST(submit__regions_of_no_bytes_and_no_place),
        TASK_TEST(submit__by_hand_small_and_large),
        TASK_TEST(submit__refused_at_once),
        TASK_TEST(submit__unknown_method_and_schema),
        TASK_TEST(submit__busy_when_depth_is_out),
        TASK_TEST(submit__mixed_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
