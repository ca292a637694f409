/* What became of each replica, at the client: the test is the daemon, and says also what no daemon would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chi/client.h"
#include "tests/support/loopback.h"
#include "wire/le.h"

struct job {
    struct chi_task task;
    uint64_t in, out;
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, in), CHI_OUT(U64, struct job, out)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static struct loopback lb;
static struct chi_client *client;
static struct chi_replica each[600];

static int set_up(void **state)
{
    const struct chi_client_options o = {1 << 20, 8, 0};
    (void)state;
    lb = (struct loopback){0};
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

/* The answer: outputs of `outputs` bytes, each 0x11, then the statuses of n. */
static enum chi_status answer(struct job *t, struct chi_replicas *to, enum chi_status st, uint32_t outputs, const uint16_t *status, uint32_t n, uint32_t says)
{
    static uint8_t body[CHI_FORM_BYTES_MAX];
    struct ipc_request rq;
    bool got;
    *t = (struct job){.task = {.pool = {100, 0}, .query = chi_range(7, 3), .method = &job_method, .replicas = to}};
    memset(each, 0xff, sizeof each);
    assert_int_equal(chi_submit(client, &t->task), CHI_STATUS_PENDING);
    assert_int_equal(ipc_take_st(lb.ch, lb.scratch, &rq, &got), CHI_DROP_NONE);
    assert_true(got && lb.ch->head.query.kind == CHI_QUERY_RANGE && lb.ch->head.query.value == 7 && lb.ch->head.query.count == 3);
    memset(body, 0x11, outputs);
    for (uint32_t i = 0; i < n; i++)
        le16_put(body + outputs + 2 * i, status[i]);
    ipc_complete_many_st(lb.ch, &rq, st, body, outputs + 2 * n, (struct ipc_replicas){7, says});
    assert_int_equal(chi_poll(client), 1);
    return (enum chi_status)t->task.status;
}

static void replicas__of_all_with_the_outputs(void **state)
{
    static const uint16_t st[3] = {CHI_STATUS_OK, CHI_STATUS_MODULE, CHI_STATUS_PEER_DOWN};
    struct chi_replicas to = {each, 3, 9};
    struct job t;
    (void)state;
    assert_int_equal(answer(&t, &to, CHI_STATUS_MODULE, 8, st, 3, 3), CHI_STATUS_MODULE);
    assert_int_equal(to.count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(each[i].container == 7 + i && each[i].status == st[i]);
    assert_int_equal(t.out, 0x1111111111111111); /* also when another one failed */
    assert_int_equal(answer(&t, NULL, CHI_STATUS_MODULE, 8, st, 3, 3), CHI_STATUS_MODULE); /* not wanted */
    assert_int_equal(t.out, 0x1111111111111111);
    assert_int_equal(answer(&t, &to, CHI_STATUS_MODULE, 0, st, 3, 3), CHI_STATUS_MODULE); /* none did well */
    assert_int_equal(t.out, 0);
    to.cap = 2;
    assert_int_equal(answer(&t, &to, CHI_STATUS_MODULE, 8, st, 3, 3), CHI_STATUS_MODULE);
    assert_int_equal(to.count, 2);
    assert_int_equal(each[2].container, UINT32_MAX); /* no further than there is room */
    assert_int_equal(answer(&t, &to, CHI_STATUS_OK, 8, st, 0, 0), CHI_STATUS_OK);
    assert_int_equal(to.count, 0);
}

static void replicas__many_lie_in_bulk_memory(void **state)
{
    static uint16_t st[600];
    struct chi_replicas to = {each, 600, 0};
    struct job t;
    (void)state;
    st[599] = CHI_STATUS_MODULE;
    assert_int_equal(answer(&t, &to, CHI_STATUS_MODULE, 8, st, 600, 600), CHI_STATUS_MODULE);
    assert_int_equal(to.count, 600);
    assert_int_equal(each[598].status, CHI_STATUS_OK);
    assert_true(each[599].status == CHI_STATUS_MODULE && each[599].container == 7 + 599);
    assert_int_equal(t.out, 0x1111111111111111);
}

static void replicas__that_cannot_be_end_with_archive(void **state)
{
    static const uint16_t st[3] = {0, 0, 999};
    static const struct { enum chi_status st; uint32_t outputs, n, says; enum chi_status want; } cases[] = {
        {CHI_STATUS_OK, 8, 3, 8, CHI_STATUS_ARCHIVE},           /* more than the body has */
        {CHI_STATUS_OK, 8, 3, 65535, CHI_STATUS_ARCHIVE},
        {CHI_STATUS_OK, 7, 3, 3, CHI_STATUS_ARCHIVE},           /* outputs too short, */
        {CHI_STATUS_OK, 9, 3, 3, CHI_STATUS_ARCHIVE},           /* too long, */
        {CHI_STATUS_OK, 0, 3, 3, CHI_STATUS_ARCHIVE},           /* none of a task that did well */
        {CHI_STATUS_MODULE, 9, 3, 3, CHI_STATUS_MODULE},        /* it failed for a better reason */
        {(enum chi_status)777, 8, 3, 3, CHI_STATUS_ARCHIVE},
    };
    struct chi_replicas to = {each, 3, 0};
    struct job t;
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(answer(&t, &to, cases[i].st, cases[i].outputs, st, cases[i].n, cases[i].says), cases[i].want);
    assert_int_equal(answer(&t, &to, CHI_STATUS_OK, 8, st, 3, 3), CHI_STATUS_OK);
    assert_int_equal(each[2].status, CHI_STATUS_ARCHIVE); /* no status */
}

/* An answer that is longer than the area says nothing of memory beyond. */
static void replicas__that_do_not_fit_are_too_big(void **state)
{
    static uint16_t st[100];
    struct chi_replicas to = {each, 3, 0};
    struct job t;
    (void)state;
    assert_int_equal(answer(&t, &to, CHI_STATUS_OK, 8, st, 100, 100), CHI_STATUS_TOO_BIG);
    assert_int_equal(to.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replicas__of_all_with_the_outputs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replicas__many_lie_in_bulk_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replicas__that_cannot_be_end_with_archive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replicas__that_do_not_fit_are_too_big, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
