#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "archive/form.h"
#include "chimods/echo/echo.h"

static struct form_head example(void)
{
    return (struct form_head){
        .pool = {100, 7},
        .query = {CHI_QUERY_PHYSICAL, 0, 2},
        .schema = 0xdeadbeef,
        .timeout_us = 1500,
        .method = 0x1234,
        .regions = 2,
        .region = {{0x0102030405060708, 0x1112131415161718, CHI_WRITE}, {0, 4096, CHI_WRITE | CHI_EXPOSE}},
    };
}

static void form_encode__bytes_as_pictured(void **state)
{
    (void)state;
    struct form_head h = example();
    uint8_t p[FORM_PREFIX_MAX];
    memset(p, 0xff, sizeof p);
    assert_int_equal(form_encode(p, &h), 80);
    static const uint8_t want[80] = {
        100, 0, 0, 0, 7, 0, 0, 0, 0x34, 0x12, 6,    2,    0,    0,    0,    0, /* pool .. count */
        2,   0, 0, 0, 0, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde, 0xdc, 5,    0,    0, /* value .. timeout */
        8,   7, 6, 5, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 1, 0, 0, 0, 0, 0, 0, 0,
        0,   0, 0, 0, 0, 0, 0, 0, 0,    0x10, 0,    0,    0,    0,    0,    0,    3, 0, 0, 0, 0, 0, 0, 0};
    assert_memory_equal(p, want, sizeof want);
    struct form_head back;
    assert_int_equal(form_decode(p, 80, &back), CHI_DROP_NONE);
    assert_true(back.pool.major == 100 && back.pool.minor == 7 && back.method == 0x1234 && back.regions == 2);
    assert_true(back.query.kind == CHI_QUERY_PHYSICAL && back.query.count == 0 && back.query.value == 2);
    assert_true(back.schema == 0xdeadbeef && back.timeout_us == 1500);
    assert_true(back.region[0].size == h.region[0].size && back.region[0].place == h.region[0].place);
    assert_true(back.region[1].flags == 3 && back.region[1].place == 4096);
    form_clear_places(p, 2);
    assert_int_equal(form_decode(p, 80, &back), CHI_DROP_NONE);
    assert_true(back.region[0].place == 0 && back.region[1].place == 0 && back.region[0].size == h.region[0].size);
}

static void form_decode__every_length(void **state)
{
    (void)state;
    struct form_head h = example(), back;
    uint8_t p[80];
    form_encode(p, &h);
    for (size_t n = 0; n < 80; n++) {
        uint8_t *exact = malloc(n ? n : 1); /* so that a sanitizer sees a read beyond it */
        memcpy(exact, p, n);
        assert_int_equal(form_decode(exact, n, &back), CHI_DROP_FORM);
        free(exact);
    }
    assert_int_equal(form_decode(p, 80, &back), CHI_DROP_NONE);
}

static void form_decode__refuses_each_field(void **state)
{
    (void)state;
    static const struct {
        unsigned at;
        uint8_t value;
    } bad[] = {
        {10, 0},    {10, 9},   {10, 255},  {10, 0x30}, {10, 0x39}, {10, 0xc0}, /* query kind */
        {12, 2},                                    /* count of a query that is no range */
        {11, 17},   {11, 255},                      /* regions */
        {39, 0x80},                                 /* size above 2^63 - 1 */
        {48, 0},    {48, 4},   {48, 6},   {48, 8}, {48, 14}, {48, 16}, {48, 255}, /* flags; STREAM comes with WRITE alone */
        {49, 1},    {52, 1},   {55, 0x80}, {79, 1}, /* padding */
    };
    struct form_head h = example(), back;
    uint8_t p[FORM_PREFIX_MAX + 24];
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memset(p, 0, sizeof p);
        form_encode(p, &h);
        p[bad[i].at] = bad[i].value;
        assert_int_equal(form_decode(p, sizeof p, &back), CHI_DROP_FORM);
        bool query = bad[i].at == 10 || bad[i].at == 12; /* no matter of the region table's */
        assert_int_equal(form_regions(p, sizeof p, &back), query ? CHI_DROP_NONE : CHI_DROP_FORM);
        assert_true(!form_is_plain(p, sizeof p));
    }
    form_encode(p, &h);
    p[10] = CHI_QUERY_RANGE;
    p[12] = 1;
    assert_int_equal(form_decode(p, sizeof p, &back), CHI_DROP_NONE);
    p[10] = FORM_QUERY_SPREAD;
    assert_int_equal(form_decode(p, sizeof p, &back), CHI_DROP_NONE);
    assert_true(back.query.kind == FORM_QUERY_SPREAD && back.query.count == 1);
    for (uint32_t number = 0; number <= FORM_FRESH_MAX; number++) { /* what it says beside its query */
        p[10] = CHI_QUERY_RANGE;
        form_say_fresh(p, number);
        assert_int_equal(form_decode(p, sizeof p, &back), CHI_DROP_NONE);
        assert_true(back.query.kind == CHI_QUERY_RANGE && back.query.count == 1 && form_fresh(p) == number);
    }
}

/* Who waits stands beside the kind of any query, and is in no other one's way. */
static void form_decode__tells_who_waits(void **state)
{
    (void)state;
    static const uint8_t both[] = {0, FORM_WAITS_FAR, FORM_WAITS_BACK, FORM_WAITS_FAR | FORM_WAITS_BACK}, bits[] = {0, 0x40, 0x80, 0xc0};
    struct form_head h = example(), back;
    uint8_t p[FORM_PREFIX_MAX + 24];
    for (unsigned i = 0; i < 4; i++) {
        h.waits = both[i];
        form_encode(p, &h);
        assert_int_equal(p[10], CHI_QUERY_PHYSICAL | bits[i]);
        assert_int_equal(form_decode(p, sizeof p, &back), CHI_DROP_NONE);
        assert_true(back.waits == both[i] && back.query.kind == CHI_QUERY_PHYSICAL && back.query.value == h.query.value && back.method == h.method);
        p[10] = FORM_QUERY_SPREAD | bits[i];
        assert_int_equal(form_decode(p, sizeof p, &back), CHI_DROP_NONE);
        assert_true(back.waits == both[i] && back.query.kind == FORM_QUERY_SPREAD);
        p[10] = 9 | bits[i];
        assert_int_equal(form_decode(p, sizeof p, &back), CHI_DROP_FORM);
        p[10] = bits[i];
        assert_int_equal(form_decode(p, sizeof p, &back), CHI_DROP_FORM);
        h.waits = 0;
        form_encode(p, &h);
        form_set_waits(p, both[i]);
        assert_int_equal(p[10], CHI_QUERY_PHYSICAL | bits[i]);
    }
}

/* Every query kind, as many regions as there can be, the largest size. */
static void form_decode__takes_the_ends_of_each_range(void **state)
{
    (void)state;
    struct form_head h = {.regions = CHI_REGIONS_MAX}, back;
    for (uint32_t i = 0; i < CHI_REGIONS_MAX; i++)
        h.region[i] = (struct form_region){INT64_MAX - i, UINT64_MAX, (uint8_t[]){1, 2, 3, 5, 7}[i % 5]};
    uint8_t p[FORM_PREFIX_MAX];
    for (h.query.kind = CHI_QUERY_LOCAL; h.query.kind <= CHI_QUERY_DYNAMIC; h.query.kind++) {
        assert_int_equal(form_encode(p, &h), sizeof p);
        assert_int_equal(form_decode(p, sizeof p, &back), CHI_DROP_NONE);
        assert_int_equal(back.query.kind, h.query.kind);
        assert_true(back.regions == CHI_REGIONS_MAX && back.region[0].size == INT64_MAX);
        for (uint32_t i = 0; i < CHI_REGIONS_MAX; i++)
            assert_int_equal(back.region[i].flags, h.region[i].flags);
        assert_true(back.region[CHI_REGIONS_MAX - 1].size == INT64_MAX - (CHI_REGIONS_MAX - 1));
    }
}

static uint64_t place(void *ctx, const void *ptr, uint64_t size)
{
    uint64_t off = (uint64_t)((const uint8_t *)ptr - (const uint8_t *)ctx);
    return chi_span_ok(off, size, 64) ? off : FORM_NO_PLACE;
}

static void form_save__whole_task(void **state)
{
    (void)state;
    uint8_t memory[64], p[256];
    struct echo_io t = {.seed = 77, .in = {memory + 8, 16, 0}, .out = {memory + 32, 32, 0}};
    t.task.method = &echo_io_method;
    t.task.pool = (struct chi_pool_id){100, 1};
    t.task.query = chi_direct(3);
    t.task.timeout_us = 9;
    struct chi_ar_region r[CHI_REGIONS_MAX];
    uint32_t n;
    enum chi_status st;
    size_t length = form_save(p, sizeof p, &t.task, r, &n, place, memory, &st);
    assert_int_equal(length, 32 + 48 + 8);
    assert_true(st == CHI_STATUS_OK && n == 2 && r[1].ptr == memory + 32);
    struct form_head h;
    assert_int_equal(form_decode(p, length, &h), CHI_DROP_NONE);
    assert_true(h.method == ECHO_IO && h.schema == chi_method_hash(&echo_io_method) && h.query.value == 3);
    assert_true(h.region[0].place == 8 && h.region[0].size == 16 && h.region[0].flags == (CHI_WRITE | CHI_STREAM));
    assert_true(h.region[1].place == 32 && h.region[1].size == 32 && h.region[1].flags == CHI_EXPOSE);
    assert_int_equal(p[80], 77);
    for (size_t cap = 0; cap < length; cap++) {
        uint8_t *exact = malloc(cap ? cap : 1);
        assert_int_equal(form_save(exact, cap, &t.task, r, &n, place, memory, &st), 0);
        assert_int_equal(st, CHI_STATUS_TOO_BIG);
        free(exact);
    }
    assert_int_equal(form_save(p, length, &t.task, r, &n, NULL, NULL, &st), length);
    assert_int_equal(form_decode(p, length, &h), CHI_DROP_NONE);
    assert_true(h.region[1].place == 0);
}

static void form_save__refuses(void **state)
{
    (void)state;
    uint8_t memory[64], p[256];
    struct echo_io t = {.in = {memory + 60, 8, 0}};
    struct chi_ar_region r[CHI_REGIONS_MAX];
    uint32_t n;
    enum chi_status st;
    t.task.query = chi_local();
    assert_int_equal(form_save(p, sizeof p, &t.task, r, &n, place, memory, &st), 0);
    assert_int_equal(st, CHI_STATUS_INVALID); /* no method */
    t.task.method = &echo_io_method;
    assert_int_equal(form_save(p, sizeof p, &t.task, r, &n, place, memory, &st), 0);
    assert_int_equal(st, CHI_STATUS_INVALID); /* a region without a place */
    t.in.size = 4;
    assert_int_equal(form_save(p, sizeof p, &t.task, r, &n, NULL, memory, &st), 88);
    t.task.query.kind = 8;
    assert_int_equal(form_save(p, sizeof p, &t.task, r, &n, NULL, memory, &st), 0);
    assert_int_equal(st, CHI_STATUS_INVALID);
    t.task.query = (struct chi_query){CHI_QUERY_LOCAL, 2, 0};
    assert_int_equal(form_save(p, sizeof p, &t.task, r, &n, NULL, memory, &st), 0);
    assert_int_equal(st, CHI_STATUS_INVALID);
}

/* The common small task fits into a submission slot. */
static void form_save__ping_is_40_bytes(void **state)
{
    (void)state;
    uint8_t p[48];
    struct echo_ping t = {.value = 5};
    t.task.method = &echo_ping_method;
    t.task.query = chi_local();
    struct chi_ar_region r[CHI_REGIONS_MAX];
    uint32_t n;
    enum chi_status st;
    assert_int_equal(form_save(p, sizeof p, &t.task, r, &n, NULL, NULL, &st), 40);
}

/* A task without fields and regions is its head, and takes no byte more. */
static void form_save__bare_head(void **state)
{
    (void)state;
    struct chi_method m = {"NONE", NULL, NULL, NULL, sizeof(struct chi_task), 0, 0, 1, {0, 0}};
    struct chi_task t = {.method = &m, .query = chi_dynamic()};
    struct chi_ar_region r[CHI_REGIONS_MAX];
    uint8_t p[FORM_HEAD_BYTES];
    uint32_t n;
    enum chi_status st;
    assert_int_equal(form_save(p, sizeof p, &t, r, &n, NULL, NULL, &st), FORM_HEAD_BYTES);
    assert_int_equal(st, CHI_STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(form_encode__bytes_as_pictured),
        cmocka_unit_test(form_decode__tells_who_waits),
        cmocka_unit_test(form_decode__every_length),
        cmocka_unit_test(form_decode__refuses_each_field),
        cmocka_unit_test(form_decode__takes_the_ends_of_each_range),
        cmocka_unit_test(form_save__whole_task),
        cmocka_unit_test(form_save__refuses),
        cmocka_unit_test(form_save__ping_is_40_bytes),
        cmocka_unit_test(form_save__bare_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
