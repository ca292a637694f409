/* The daemon's end against a client that this test plays by hand, through a mapping of its own. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/ipc.h"

enum { DEPTH = 4, BULK = 4 * CHI_FORM_BYTES_MAX };

struct pair {
    struct ipc_channel *ch;
    uint8_t *base; /* the client's mapping */
    struct shm_header *header;
    struct line *submit, *complete;
    uint64_t submit_at, complete_at, bulk;
    uint8_t scratch[CHI_FORM_BYTES_MAX] __attribute__((aligned(64)));
};
static struct pair pair;

static int set_up(void **state)
{
    const struct shm_attach_request rq = {SHM_MAGIC, SHM_VERSION, BULK, DEPTH, 0};
    const struct ipc_limits limits = {BULK, DEPTH};
    memset(&pair, 0, sizeof pair);
    assert_int_equal(ipc_create(&rq, &limits, &pair.ch), 0);
    pair.base = mmap(NULL, pair.ch->size, PROT_READ | PROT_WRITE, MAP_SHARED, pair.ch->memfd, 0);
    assert_ptr_not_equal(pair.base, MAP_FAILED);
    pair.header = (struct shm_header *)pair.base;
    pair.submit = (struct line *)(pair.base + pair.header->submit_offset);
    pair.complete = (struct line *)(pair.base + pair.header->complete_offset);
    pair.bulk = pair.header->bulk_offset;
    *state = &pair;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    munmap(pair.base, pair.ch->size);
    pair.ch->out = 0;
    ipc_destroy(pair.ch);
    return 0;
}

static size_t good_form(uint8_t *p, uint16_t method, uint32_t body)
{
    struct form_head h = {.pool = {1, 2}, .query = {CHI_QUERY_LOCAL, 0, 0}, .method = method};
    size_t n = form_encode(p, &h);
    for (uint32_t i = 0; i < body; i++)
        p[n + i] = (uint8_t)(i * 7);
    return n + body;
}

static void submit(const struct shm_submit *s)
{
    struct line *l = line_put_at(pair.submit, DEPTH - 1, pair.submit_at);
    memcpy(l->payload, s, sizeof *s);
    line_put_done(l, pair.submit_at++);
}

static struct shm_submit inline_task(uint32_t cookie)
{
    struct shm_submit s = {.cookie = cookie, .length = 0, .flags = 0};
    s.length = (uint16_t)good_form(s.bytes, (uint16_t)(100 + cookie), 8);
    return s;
}

static struct shm_submit external_task(uint32_t cookie, uint64_t offset, uint32_t body, uint32_t cap)
{
    struct shm_submit s = {.cookie = cookie, .length = 0, .flags = SHM_EXTERNAL};
    memset(&s.external, 0, sizeof s.external);
    s.external.form_offset = s.external.answer_offset = pair.bulk + offset;
    s.external.form_length = (uint32_t)good_form(pair.base + pair.bulk + offset, 9, body);
    s.external.answer_cap = cap;
    return s;
}

/* The next completion, which must be there. */
static struct shm_complete completion(void)
{
    const struct line *l = line_get(pair.complete, DEPTH - 1, pair.complete_at);
    assert_non_null(l);
    pair.complete_at++;
    struct shm_complete c;
    memcpy(&c, l->payload, sizeof c);
    return c;
}

static enum chi_drop take(struct ipc_request *rq)
{
    bool got;
    enum chi_drop d = ipc_take_st(pair.ch, pair.scratch, rq, &got);
    assert_true(got);
    return d;
}

static void ipc_take__inline_and_answer(void **state)
{
    (void)state;
    struct ipc_request rq;
    bool got = true;
    assert_int_equal(ipc_take_st(pair.ch, pair.scratch, &rq, &got), CHI_DROP_NONE);
    assert_false(got);
    for (uint32_t round = 0; round < 3 * DEPTH; round++) {
        struct shm_submit s = inline_task(round % DEPTH);
        submit(&s);
        assert_int_equal(take(&rq), CHI_DROP_NONE);
        assert_true(rq.cookie == round % DEPTH && rq.form_length == 40 && rq.answer_cap == SHM_COMPLETE_INLINE);
        assert_int_equal(pair.ch->head.method, 100 + round % DEPTH);
        assert_memory_equal(pair.scratch, s.bytes, 40);
        assert_int_equal(pair.ch->out, 1);
        uint8_t body[40];
        memset(body, (int)round + 1, sizeof body);
        ipc_complete_st(pair.ch, &rq, CHI_STATUS_OK, body, 40);
        struct shm_complete c = completion();
        assert_true(c.cookie == rq.cookie && c.status == CHI_STATUS_OK && c.length == 40);
        assert_memory_equal(c.bytes, body, 40);
    }
    assert_true(pair.ch->out == 0 && pair.ch->tasks == 3 * DEPTH && pair.ch->rejected == 0);
}

static void ipc_take__external_and_answer(void **state)
{
    (void)state;
    static uint8_t body[5000];
    struct ipc_request rq;
    struct shm_submit s = external_task(1, 64, 1000, 5000);
    submit(&s);
    assert_int_equal(take(&rq), CHI_DROP_NONE);
    assert_true(rq.form_length == 1032 && rq.answer_offset == pair.bulk + 64 && rq.answer_cap == 5000);
    assert_memory_equal(pair.scratch, pair.base + pair.bulk + 64, 1032);
    memset(body, 0x3c, sizeof body);
    ipc_complete_st(pair.ch, &rq, CHI_STATUS_OK, body, sizeof body);
    struct shm_complete c = completion();
    assert_true(c.status == CHI_STATUS_OK && c.length == 5000);
    assert_memory_equal(pair.base + pair.bulk + 64, body, sizeof body);
    /* A body above the room that the client gave: nothing is stored. */
    submit(&s);
    memset(pair.base + pair.bulk + 64 + 4999, 0, 2);
    good_form(pair.base + pair.bulk + 64, 9, 1000);
    assert_int_equal(take(&rq), CHI_DROP_NONE);
    rq.answer_cap = 4999;
    ipc_complete_st(pair.ch, &rq, CHI_STATUS_OK, body, sizeof body);
    c = completion();
    assert_true(c.status == CHI_STATUS_TOO_BIG && c.length == 0 && pair.base[pair.bulk + 64 + 4998] == 0x3c);
    assert_int_equal(pair.base[pair.bulk + 64 + 4999], 0);
    /* Up to the last byte of bulk memory. */
    s = external_task(2, pair.ch->bulk_bytes - 64, 32, 64);
    submit(&s);
    assert_int_equal(take(&rq), CHI_DROP_NONE);
    ipc_complete_st(pair.ch, &rq, CHI_STATUS_OK, body, 64);
    assert_int_equal(completion().length, 64);
}

static void expect_refused(const struct shm_submit *s, enum chi_drop why, enum chi_status status)
{
    struct ipc_request rq;
    uint64_t rejected = pair.ch->rejected;
    submit(s);
    assert_int_equal(take(&rq), why);
    struct shm_complete c = completion();
    assert_true(c.cookie == s->cookie && c.status == status && c.length == 0);
    assert_true(pair.ch->rejected == rejected + 1 && pair.ch->out == 0);
}

static void ipc_take__bad_slots(void **state)
{
    (void)state;
    struct shm_submit s = inline_task(0);
    s.cookie = DEPTH;
    expect_refused(&s, CHI_DROP_CLIENT_FORM, CHI_STATUS_INVALID);
    s.cookie = UINT32_MAX;
    expect_refused(&s, CHI_DROP_CLIENT_FORM, CHI_STATUS_INVALID);
    s = inline_task(1);
    s.flags = 4;
    expect_refused(&s, CHI_DROP_CLIENT_FORM, CHI_STATUS_INVALID);
    s = inline_task(1);
    s.length = SHM_INLINE + 1;
    expect_refused(&s, CHI_DROP_CLIENT_FORM, CHI_STATUS_INVALID);
    for (unsigned n = 0; n < FORM_HEAD_BYTES; n++) {
        s.length = (uint16_t)n;
        expect_refused(&s, CHI_DROP_CLIENT_FORM, CHI_STATUS_INVALID);
    }
    s = inline_task(1);
    s.bytes[11] = 1; /* says it has a region; its table is not there */
    expect_refused(&s, CHI_DROP_CLIENT_FORM, CHI_STATUS_INVALID);
    s = inline_task(1);
    s.bytes[10] = 0; /* query kind */
    expect_refused(&s, CHI_DROP_CLIENT_FORM, CHI_STATUS_INVALID);
}

static void ipc_take__bad_offsets(void **state)
{
    (void)state;
    const uint64_t end = pair.ch->size;
    const struct {
        uint64_t form, answer;
        uint32_t length, cap;
    } bad[] = {
        {0, pair.bulk, 32, 64},             /* the header */
        {pair.bulk - 8, pair.bulk, 32, 64}, /* begins in the rings */
        {end - 24, pair.bulk, 32, 64},      /* ends behind the segment */
        {end, pair.bulk, 32, 64},
        {end + 8, pair.bulk, 0, 64},         /* also with a length of 0 */
        {UINT64_MAX - 7, pair.bulk, 32, 64}, /* offset + length wraps */
        {pair.bulk + 4, pair.bulk, 32, 64},  /* not aligned */
        {pair.bulk, 0, 32, 64},
        {pair.bulk, pair.bulk - 1, 32, 1},
        {pair.bulk, end - 63, 32, 64},
        {pair.bulk, UINT64_MAX, 32, 1},
        {pair.bulk, UINT64_MAX - 10, 32, UINT32_MAX},
        {pair.bulk, end + 1, 32, 0},
        {pair.bulk, pair.bulk, 31, 64},
        {pair.bulk, pair.bulk, 0, 64},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct shm_submit s = external_task(3, 0, 8, 64);
        s.external.form_offset = bad[i].form;
        s.external.answer_offset = bad[i].answer;
        s.external.form_length = bad[i].length;
        s.external.answer_cap = bad[i].cap;
        if (bad[i].form == pair.bulk + 4) /* a good form: its place alone is wrong */
            memmove(pair.base + pair.bulk + 4, pair.base + pair.bulk, bad[i].length);
        expect_refused(&s, CHI_DROP_CLIENT_FORM, CHI_STATUS_INVALID);
    }
    struct shm_submit s = external_task(3, 0, 8, 64);
    s.external.zero[23] = 1;
    expect_refused(&s, CHI_DROP_CLIENT_FORM, CHI_STATUS_INVALID);
    s = external_task(3, 0, 8, 64);
    s.length = 1;
    expect_refused(&s, CHI_DROP_CLIENT_FORM, CHI_STATUS_INVALID);
    s = external_task(3, 0, 8, 64);
    s.external.form_length = CHI_FORM_BYTES_MAX + 1;
    expect_refused(&s, CHI_DROP_CLIENT_FORM, CHI_STATUS_TOO_BIG);
    s.external.form_length = UINT32_MAX;
    expect_refused(&s, CHI_DROP_CLIENT_FORM, CHI_STATUS_TOO_BIG);
}

/* A bad entry in a batch is refused without touching its neighbours. */
static void ipc_take__bad_entry_between_good_ones(void **state)
{
    (void)state;
    struct shm_submit s[3] = {inline_task(0), inline_task(1), inline_task(2)};
    s[1].flags = 0xffff;
    for (unsigned i = 0; i < 3; i++)
        submit(&s[i]);
    struct ipc_request rq[3];
    assert_int_equal(take(&rq[0]), CHI_DROP_NONE);
    assert_int_equal(take(&rq[1]), CHI_DROP_CLIENT_FORM);
    assert_int_equal(take(&rq[2]), CHI_DROP_NONE);
    assert_true(rq[0].cookie == 0 && rq[2].cookie == 2 && pair.ch->head.method == 102);
    ipc_complete_st(pair.ch, &rq[2], CHI_STATUS_OK, NULL, 0);
    ipc_complete_st(pair.ch, &rq[0], CHI_STATUS_NO_POOL, NULL, 0);
    assert_int_equal(completion().cookie, 1);
    assert_int_equal(completion().cookie, 2);
    assert_int_equal(completion().status, CHI_STATUS_NO_POOL);
}

/* A client that submits more than it announced. */
static void ipc_take__more_than_depth(void **state)
{
    (void)state;
    struct ipc_request rq[DEPTH], more;
    for (uint32_t i = 0; i < DEPTH; i++) {
        struct shm_submit s = inline_task(i);
        submit(&s);
        assert_int_equal(take(&rq[i]), CHI_DROP_NONE);
    }
    struct shm_submit s = inline_task(0);
    submit(&s);
    assert_int_equal(take(&more), CHI_DROP_CLIENT_DEPTH);
    assert_int_equal(completion().status, CHI_STATUS_INVALID);
    assert_int_equal(pair.ch->out, DEPTH);
    ipc_complete_st(pair.ch, &rq[0], CHI_STATUS_OK, NULL, 0);
    submit(&s);
    assert_int_equal(take(&more), CHI_DROP_NONE);
}

/* A sequence number that was made up is not the next one. */
static void ipc_take__made_up_sequences(void **state)
{
    (void)state;
    struct ipc_request rq;
    static const uint64_t made_up[] = {0, 2, 5, UINT64_MAX, 1ull << 63};
    for (unsigned i = 0; i < sizeof made_up / sizeof made_up[0]; i++) {
        bool got = true;
        pair.submit[0].sequence = made_up[i];
        assert_int_equal(ipc_take_st(pair.ch, pair.scratch, &rq, &got), CHI_DROP_NONE);
        assert_false(got);
    }
    pair.submit[0].sequence = 0;
}

/* The geometry in the segment is for the client only: the daemon never reads it back. */
static void ipc_take__header_overwritten(void **state)
{
    (void)state;
    memset(pair.header, 0xff, sizeof *pair.header);
    struct shm_submit s = inline_task(2);
    struct ipc_request rq;
    submit(&s);
    assert_int_equal(take(&rq), CHI_DROP_NONE);
    ipc_complete_st(pair.ch, &rq, CHI_STATUS_OK, NULL, 0);
    assert_int_equal(completion().cookie, 2);
    assert_ptr_equal(ipc_region_st(pair.ch, pair.bulk, 8), pair.ch->base + pair.bulk);
}

static void ipc_region__bounds(void **state)
{
    (void)state;
    const uint64_t end = pair.ch->size;
    assert_ptr_equal(ipc_region_st(pair.ch, pair.bulk, end - pair.bulk), pair.ch->base + pair.bulk);
    assert_ptr_equal(ipc_region_st(pair.ch, end, 0), pair.ch->base + end);
    assert_ptr_equal(ipc_region_st(pair.ch, end - 1, 1), pair.ch->base + end - 1);
    assert_null(ipc_region_st(pair.ch, pair.bulk - 1, 1));
    assert_null(ipc_region_st(pair.ch, 0, 0));
    assert_null(ipc_region_st(pair.ch, end - 1, 2));
    assert_null(ipc_region_st(pair.ch, end + 1, 0));
    assert_null(ipc_region_st(pair.ch, pair.bulk + 8, UINT64_MAX));
    assert_null(ipc_region_st(pair.ch, UINT64_MAX, 1));
}

static unsigned rings(void)
{
    char waste[64];
    ssize_t n = recv(pair.ch->client_event, waste, sizeof waste, MSG_DONTWAIT);
    return n > 0 ? (unsigned)n : 0;
}

static void complete_one(uint32_t cookie)
{
    struct shm_submit s = inline_task(cookie);
    struct ipc_request rq;
    submit(&s);
    assert_int_equal(take(&rq), CHI_DROP_NONE);
    ipc_complete_st(pair.ch, &rq, CHI_STATUS_OK, NULL, 0);
    completion();
}

static void ipc_complete__rings_once_for_each_sleep(void **state)
{
    (void)state;
    complete_one(0);
    assert_int_equal(rings(), 0);
    shm_announce(&pair.header->client_sleeps, 1);
    complete_one(1);
    complete_one(2);
    assert_int_equal(rings(), 1);
    shm_announce(&pair.header->client_sleeps, 2);
    complete_one(3);
    assert_int_equal(rings(), 1);
    shm_awake(&pair.header->client_sleeps);
    complete_one(0);
    assert_int_equal(rings(), 0);
}

/* The client goes to sleep between the completion's look at it and its own look at the ring, as it can while the slot
 * is still in the store buffer: the worker's next empty looks wake it, and so does the worker's sleep, or the call
 * itself. */
static void ipc_settle__wakes_who_fell_asleep(void **state)
{
    (void)state;
    struct ipc_request rq;
    bool got;
    for (uint32_t way = 0; way < 3; way++) {
        shm_awake(&pair.header->client_sleeps);
        complete_one(way);
        shm_announce(&pair.header->client_sleeps, way + 1);
        assert_int_equal(rings(), 0);
        if (way == 0) {
            assert_int_equal(ipc_take_st(pair.ch, pair.scratch, &rq, &got), CHI_DROP_NONE);
            assert_int_equal(ipc_take_st(pair.ch, pair.scratch, &rq, &got), CHI_DROP_NONE);
        } else if (way == 1) {
            assert_false(ipc_sleep_st(pair.ch));
            ipc_awake_st(pair.ch);
        } else {
            ipc_settle_st(pair.ch);
        }
        assert_int_equal(rings(), 1);
        ipc_settle_st(pair.ch);
        assert_int_equal(rings(), 0);
    }
}

/* A client that never reads its wake-ups, and makes its own end blocking, does not block the worker; nor does one that
 * closed it. */
static void ipc_complete__client_cannot_block_it(void **state)
{
    (void)state;
    assert_int_equal(fcntl(pair.ch->client_event, F_SETFL, 0), 0);
    for (uint32_t i = 1; i < 5000; i++) {
        shm_announce(&pair.header->client_sleeps, i);
        complete_one(i % DEPTH);
    }
    close(pair.ch->client_event);
    pair.ch->client_event = -1;
    shm_announce(&pair.header->client_sleeps, 5000);
    complete_one(0);
    assert_int_equal(pair.ch->out, 0);
}

static void ipc_complete__detached_is_silent(void **state)
{
    (void)state;
    struct shm_submit s = inline_task(0);
    struct ipc_request rq;
    submit(&s);
    assert_int_equal(take(&rq), CHI_DROP_NONE);
    pair.ch->detached = true;
    ipc_complete_st(pair.ch, &rq, CHI_STATUS_OK, "12345678", 8);
    assert_int_equal(pair.ch->out, 0);
    assert_null(line_get(pair.complete, DEPTH - 1, pair.complete_at));
}

static void ipc_sleep__looks_again(void **state)
{
    (void)state;
    assert_false(ipc_sleep_st(pair.ch));
    uint32_t first = pair.header->daemon_sleeps;
    assert_int_not_equal(first, 0);
    ipc_awake_st(pair.ch);
    assert_int_equal(pair.header->daemon_sleeps, 0);
    struct shm_submit s = inline_task(0);
    submit(&s);
    assert_true(ipc_sleep_st(pair.ch));
    assert_int_equal(pair.header->daemon_sleeps, 0);
    struct ipc_request rq;
    assert_int_equal(take(&rq), CHI_DROP_NONE);
    assert_false(ipc_sleep_st(pair.ch));
    assert_int_not_equal(pair.header->daemon_sleeps, first);
    pair.ch->sleep_number = UINT32_MAX; /* 0 would say that it is awake */
    assert_false(ipc_sleep_st(pair.ch));
    assert_int_equal(pair.header->daemon_sleeps, 1);
}

static bool stop_scribbling;

/* Flips the region count and the query of the form, and the slot, while the worker reads them. */
static void *scribble(void *arg)
{
    (void)arg;
    uint8_t *form = pair.base + pair.bulk;
    for (uint32_t i = 0; !__atomic_load_n(&stop_scribbling, __ATOMIC_RELAXED); i++) {
        uint64_t word = 0x0000000000000009 | (uint64_t)(1 + i % 9) << 16 | (uint64_t)(i % 19) << 24;
        __atomic_store_n((uint64_t *)(form + 8), word, __ATOMIC_RELAXED);
        for (unsigned k = 0; k < DEPTH; k++) {
            struct line *l = &pair.submit[k];
            __atomic_store_n((uint64_t *)(l->payload + 8), pair.bulk + (i % 3 ? 0 : 1ull << 40), __ATOMIC_RELAXED);
            __atomic_store_n((uint64_t *)(l->payload + 24), (uint64_t)64 << 32 | (i % 5 ? 600 : 0xffffffff),
                             __ATOMIC_RELAXED);
        }
    }
    return NULL;
}

/* What was accepted is what was checked: the copy decodes to the very head that the worker uses. */
static void ipc_take__memory_changes_while_read(void **state)
{
    (void)state;
    pthread_t t;
    unsigned taken = 0, refused = 0;
    stop_scribbling = false;
    struct shm_submit s = external_task(0, 0, 568, 64);
    uint64_t words[7];
    memcpy(words, &s, sizeof words);
    assert_int_equal(pthread_create(&t, NULL, scribble, NULL), 0);
    for (unsigned i = 0; i < 200000 || !taken || !refused; i++) {
        struct line *l = line_put_at(pair.submit, DEPTH - 1, pair.submit_at);
        for (unsigned k = 0; k < 7; k++)
            __atomic_store_n((uint64_t *)l->payload + k, words[k], __ATOMIC_RELAXED);
        line_put_done(l, pair.submit_at++);
        struct ipc_request rq;
        if (take(&rq) != CHI_DROP_NONE) {
            refused++;
        } else {
            taken++;
            struct form_head h;
            assert_int_equal(form_decode(pair.scratch, rq.form_length, &h), CHI_DROP_NONE);
            assert_true(h.regions == pair.ch->head.regions && h.query.kind == pair.ch->head.query.kind);
            assert_true(rq.form_length <= CHI_FORM_BYTES_MAX && form_prefix_bytes(h.regions) <= rq.form_length);
            ipc_complete_st(pair.ch, &rq, CHI_STATUS_OK, NULL, 0);
        }
        completion();
    }
    __atomic_store_n(&stop_scribbling, true, __ATOMIC_RELAXED);
    pthread_join(t, NULL);
    assert_true(pair.ch->tasks == taken && pair.ch->rejected == refused && pair.ch->out == 0);
}

#define RING_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(ipc_take__inline_and_answer),
        RING_TEST(ipc_take__external_and_answer),
        RING_TEST(ipc_take__bad_slots),
        RING_TEST(ipc_take__bad_offsets),
        RING_TEST(ipc_take__bad_entry_between_good_ones),
        RING_TEST(ipc_take__more_than_depth),
        RING_TEST(ipc_take__made_up_sequences),
        RING_TEST(ipc_take__header_overwritten),
        RING_TEST(ipc_take__memory_changes_while_read),
        RING_TEST(ipc_region__bounds),
        RING_TEST(ipc_complete__rings_once_for_each_sleep),
        RING_TEST(ipc_settle__wakes_who_fell_asleep),
        RING_TEST(ipc_complete__client_cannot_block_it),
        RING_TEST(ipc_complete__detached_is_silent),
        RING_TEST(ipc_sleep__looks_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
