/* Waiting: time-outs, sleeping and waking on both sides, a daemon that goes, answers that are malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <time.h>

#include "chi/client.h"
#include "chimods/echo/echo.h"
#include "tests/support/loopback.h"

struct list {
    struct chi_task task;
    uint64_t count, v[1000];
};
static void list_in(struct chi_archive *ar, struct chi_task *task)
{
    (void)ar;
    (void)task;
}
static void list_out(struct chi_archive *ar, struct chi_task *task)
{
    struct list *l = (struct list *)task;
    chi_ar_u64(ar, &l->count, 1);
    chi_ar_u64(ar, l->v, l->count < 1000 ? l->count : 0);
}
CHI_METHOD_VAR(list_method) = CHI_METHOD_BY_HAND(30, struct list, list_in, list_out);

static struct chi_method *const methods[] = {&echo_ping_method};
static struct loopback lb;
static struct chi_client *client;

static enum chi_status run(struct loopback *l, struct chi_task *task)
{
    (void)l;
    ((struct echo_ping *)task)->value++;
    return CHI_STATUS_OK;
}

static void open_client(uint32_t spin_us)
{
    const struct chi_client_options o = {1 << 20, 8, spin_us};
    lb = (struct loopback){.methods = methods, .nmethods = 1, .run = run, .sleeps = true};
    loopback_listen(&lb);
    loopback_start_accept(&lb);
    assert_int_equal(chi_connect(lb.path, &o, &client), 0);
}

static int set_up(void **state)
{
    (void)state;
    open_client(1);
    pthread_join(lb.acceptor, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    chi_disconnect(client);
    lb.ch->out = 0;
    loopback_close(&lb);
    return 0;
}

static void start_worker(void) { assert_int_equal(pthread_create(&lb.worker, NULL, loopback_work, &lb), 0); }

static struct echo_ping ping(uint64_t value)
{
    struct echo_ping p = {.value = value};
    p.task.method = &echo_ping_method;
    p.task.query = chi_local();
    return p;
}

/* Nobody serves: the wait ends, the task stays out, and ends when somebody does. */
static void wait__timed_out_then_done(void **state)
{
    (void)state;
    struct echo_ping p = ping(1);
    assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_PENDING);
    assert_int_equal(chi_wait(client, &p.task, 0), CHI_STATUS_TIMED_OUT);
    assert_int_equal(chi_wait(client, &p.task, 1), CHI_STATUS_TIMED_OUT);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    assert_int_equal(chi_wait(client, &p.task, 20000000), CHI_STATUS_TIMED_OUT);
    clock_gettime(CLOCK_MONOTONIC, &b);
    int64_t took = (b.tv_sec - a.tv_sec) * 1000000000 + (b.tv_nsec - a.tv_nsec);
    assert_true(took >= 20000000); /* never early */
    assert_int_equal(p.task.status, CHI_STATUS_PENDING);
    start_worker();
    assert_int_equal(chi_wait(client, &p.task, -1), CHI_STATUS_OK);
    assert_int_equal(p.value, 2);
    loopback_stop_work(&lb);
}

/* The client sleeps on every task, the worker between any two: no wake-up is lost on either side. */
static void wait__both_sleep(void **state)
{
    (void)state;
    start_worker();
    for (uint64_t i = 0; i < 3000; i++) {
        struct echo_ping p = ping(i);
        assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_PENDING);
        assert_int_equal(chi_wait(client, &p.task, -1), CHI_STATUS_OK);
        assert_int_equal(p.value, i + 1);
        if (i % 4 == 0) /* until the worker goes to sleep again; else it races with the next submission */
            while (shm_sleeper(&((struct shm_header *)lb.ch->base)->daemon_sleeps) == 0)
                ;
    }
    loopback_stop_work(&lb);
    assert_true(lb.naps >= 3000 / 4);
}

/* Only the task that is waited for decides, but every completion is taken in. */
static void wait__takes_in_others(void **state)
{
    (void)state;
    struct echo_ping p[8];
    for (unsigned i = 0; i < 8; i++) {
        p[i] = ping(i);
        assert_int_equal(chi_submit(client, &p[i].task), CHI_STATUS_PENDING);
    }
    start_worker();
    assert_int_equal(chi_wait(client, &p[7].task, -1), CHI_STATUS_OK);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(p[i].task.status, CHI_STATUS_OK);
    loopback_stop_work(&lb);
}

/* The worker goes to sleep between the submission's look at it and its own look at the ring, as it can while the slot
 * is still in the store buffer: the next empty poll wakes it, and a wait does. */
static void poll__settles_a_submission(void **state)
{
    (void)state;
    struct shm_header *h = (struct shm_header *)lb.ch->base;
    struct echo_ping p = ping(1), q = ping(2);
    uint64_t count;
    assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_PENDING);
    shm_announce(&h->daemon_sleeps, 1);
    assert_int_equal(read(lb.ch->worker_event, &count, sizeof count), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(chi_poll(client), 0);
    assert_int_equal(read(lb.ch->worker_event, &count, sizeof count), sizeof count);
    assert_int_equal(chi_poll(client), 0); /* once for each sleep */
    assert_int_equal(read(lb.ch->worker_event, &count, sizeof count), -1);
    shm_awake(&h->daemon_sleeps);
    assert_int_equal(chi_submit(client, &q.task), CHI_STATUS_PENDING);
    shm_announce(&h->daemon_sleeps, 2);
    assert_int_equal(chi_wait(client, &q.task, 1000), CHI_STATUS_TIMED_OUT);
    assert_int_equal(read(lb.ch->worker_event, &count, sizeof count), sizeof count);
    shm_announce(&h->daemon_sleeps, 3); /* a submission that sees the sleep rings at once */
    struct echo_ping r = ping(3);
    assert_int_equal(chi_submit(client, &r.task), CHI_STATUS_PENDING);
    assert_int_equal(read(lb.ch->worker_event, &count, sizeof count), sizeof count);
    struct echo_ping s = ping(4); /* and the next one, in the same sleep, does not */
    assert_int_equal(chi_submit(client, &s.task), CHI_STATUS_PENDING);
    assert_int_equal(read(lb.ch->worker_event, &count, sizeof count), -1);
}

static void *close_control(void *arg)
{
    (void)arg;
    /* The client says that it sleeps, so the connection ends under its ppoll, or just before it. */
    const struct shm_header *h = (const struct shm_header *)lb.ch->base;
    while (__atomic_load_n(&h->client_sleeps, __ATOMIC_RELAXED) == 0)
        ;
    shutdown(lb.control, SHUT_RDWR);
    return NULL;
}

static void daemon_gone__while_asleep(void **state)
{
    (void)state;
    struct echo_ping p[3] = {ping(1), ping(2), ping(3)};
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(chi_submit(client, &p[i].task), CHI_STATUS_PENDING);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, close_control, NULL), 0);
    assert_int_equal(chi_wait(client, &p[1].task, -1), CHI_STATUS_DISCONNECTED);
    pthread_join(t, NULL);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(p[i].task.status, CHI_STATUS_DISCONNECTED);
    struct echo_ping late = ping(4);
    assert_int_equal(chi_submit(client, &late.task), CHI_STATUS_DISCONNECTED);
    assert_int_equal(late.task.status, CHI_STATUS_DISCONNECTED);
    assert_int_equal(chi_poll(client), 0);
    late.task.status = CHI_STATUS_PENDING; /* as one that another client has out: nothing of this one will end it */
    assert_int_equal(chi_wait(client, &late.task, -1), CHI_STATUS_DISCONNECTED);
}

/* A program that only polls notices it too; what was completed before is not lost. */
static void daemon_gone__while_polling(void **state)
{
    (void)state;
    struct echo_ping p[2] = {ping(1), ping(2)};
    assert_int_equal(chi_submit(client, &p[0].task), CHI_STATUS_PENDING);
    assert_int_equal(chi_submit(client, &p[1].task), CHI_STATUS_PENDING);
    struct ipc_request rq;
    bool got;
    assert_int_equal(ipc_take_st(lb.ch, lb.scratch, &rq, &got), CHI_DROP_NONE);
    assert_true(got);
    loopback_task(&lb, &rq);
    shutdown(lb.control, SHUT_RDWR);
    unsigned ended = 0;
    while (ended < 2)
        ended += chi_poll(client);
    assert_int_equal(p[0].task.status, CHI_STATUS_OK);
    assert_int_equal(p[1].task.status, CHI_STATUS_DISCONNECTED);
}

static void daemon_gone__while_spinning(void **state)
{
    (void)state;
    chi_disconnect(client);
    lb.ch->out = 0;
    loopback_close(&lb);
    open_client(UINT32_MAX);
    pthread_join(lb.acceptor, NULL);
    struct echo_ping p = ping(1);
    assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_PENDING);
    shutdown(lb.control, SHUT_RDWR);
    assert_int_equal(chi_wait(client, &p.task, -1), CHI_STATUS_DISCONNECTED);
}

/* Plays a daemon whose answers are wrong. */
static void answer(uint64_t at, uint32_t cookie, uint32_t status, uint32_t length)
{
    struct line *l = line_put_at(lb.ch->complete, lb.ch->mask, at);
    struct shm_complete c = {.cookie = cookie, .status = (uint16_t)status, .length = length};
    memcpy(l->payload, &c, sizeof c);
    line_put_done(l, at);
}

static void *complete_and_close(void *arg)
{
    const struct shm_header *h = (const struct shm_header *)lb.ch->base;
    (void)arg;
    while (__atomic_load_n(&h->client_sleeps, __ATOMIC_RELAXED) == 0)
        ;
    answer(0, 0, CHI_STATUS_DEADLINE, 0); /* without a wake-up: the end of the connection is what wakes */
    shutdown(lb.control, SHUT_RDWR);
    return NULL;
}

static void daemon_gone__what_it_completed_before_counts(void **state)
{
    (void)state;
    struct echo_ping p = ping(1), q = ping(2);
    assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_PENDING);
    assert_int_equal(chi_submit(client, &q.task), CHI_STATUS_PENDING);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, complete_and_close, NULL), 0);
    assert_int_equal(chi_wait(client, &q.task, -1), CHI_STATUS_DISCONNECTED);
    pthread_join(t, NULL);
    assert_int_equal(p.task.status, CHI_STATUS_DEADLINE);
}

/* A method by hand believes the count in the body; the body is no longer than the area that was offered for it. */
static void answer__longer_than_its_area(void **state)
{
    (void)state;
    static struct list l;
    for (uint64_t i = 0; i < 2; i++) {
        l = (struct list){.task = {.query = chi_local(), .method = &list_method}};
        assert_int_equal(chi_submit(client, &l.task), CHI_STATUS_PENDING);
        const struct shm_submit *s = (const struct shm_submit *)line_put_at(lb.ch->submit, lb.ch->mask, i)->payload;
        uint64_t count = s->external.answer_cap / 8 - 1 + i; /* beside the count itself */
        memcpy(lb.ch->base + s->external.answer_offset, &count, sizeof count);
        answer(i, 0, CHI_STATUS_OK, (uint32_t)(count + 1) * 8);
        assert_int_equal(chi_wait(client, &l.task, -1), i ? CHI_STATUS_ARCHIVE : CHI_STATUS_OK);
        assert_true(l.count == (i ? 0 : count));
    }
}

static void answer__malformed(void **state)
{
    (void)state;
    static const struct {
        uint32_t status, length, want;
    } cases[] = {
        {CHI_STATUS_OK, 8, CHI_STATUS_OK},
        {CHI_STATUS_OK, 7, CHI_STATUS_ARCHIVE},
        {CHI_STATUS_OK, 9, CHI_STATUS_ARCHIVE},
        {CHI_STATUS_OK, 0, CHI_STATUS_ARCHIVE},
        {CHI_STATUS_OK, 41, CHI_STATUS_ARCHIVE},
        {CHI_STATUS_OK, UINT32_MAX, CHI_STATUS_ARCHIVE},
        {CHI_STATUS_PENDING, 0, CHI_STATUS_ARCHIVE},
        {9999, 0, CHI_STATUS_ARCHIVE},
        {CHI_STATUS_DEADLINE, UINT32_MAX, CHI_STATUS_DEADLINE},
    };
    uint64_t at = 0;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct echo_ping p = ping(1);
        assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_PENDING);
        answer(at++, 0, cases[i].status, cases[i].length);
        assert_int_equal(chi_wait(client, &p.task, -1), cases[i].want);
    }
    /* Cookies that are not out end nothing. */
    struct echo_ping p = ping(1);
    assert_int_equal(chi_submit(client, &p.task), CHI_STATUS_PENDING);
    answer(at++, 1, CHI_STATUS_OK, 8);
    answer(at++, 8, CHI_STATUS_OK, 8);
    answer(at++, UINT32_MAX, CHI_STATUS_OK, 8);
    assert_int_equal(chi_poll(client), 0);
    answer(at++, 0, CHI_STATUS_OK, 8);
    answer(at++, 0, CHI_STATUS_OK, 8); /* twice */
    assert_int_equal(chi_poll(client), 1);
    assert_int_equal(p.task.status, CHI_STATUS_OK);
}

#define WAIT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WAIT_TEST(wait__timed_out_then_done),  WAIT_TEST(wait__both_sleep),
        WAIT_TEST(wait__takes_in_others),      WAIT_TEST(daemon_gone__while_asleep),
        WAIT_TEST(daemon_gone__while_polling), WAIT_TEST(daemon_gone__while_spinning),
        WAIT_TEST(answer__malformed),          WAIT_TEST(poll__settles_a_submission),
        WAIT_TEST(daemon_gone__what_it_completed_before_counts),
        WAIT_TEST(answer__longer_than_its_area),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
