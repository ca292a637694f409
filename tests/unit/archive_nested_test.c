/* Fields inside fields: structs, vectors, what is optional, and functions for a member. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "archive_sample.h"

static void fill(struct nest *t)
{
    memset(t, 0, sizeof *t);
    t->at = (struct point){0x01020304, -2, true};
    t->lines.len = 2;
    t->lines.data[0].from = (struct point){5, 6, false};
    t->lines.data[0].has_to = true;
    t->lines.data[0].to = (struct point){7, 8, true};
    t->lines.data[0].name.len = 2;
    memcpy(t->lines.data[0].name.data, "ab", 2);
    t->lines.data[1].to.x = 99; /* not there */
    t->lines.data[1].marks.len = 1;
    t->lines.data[1].marks.data[0] = 0x1122334455667788;
    t->flags.len = 3;
    t->flags.data[2] = true;
    t->limit[1] = 98; /* not there */
    t->has_list = true;
    t->list = (struct list){2, {0x0a0b, 0x0c0d, 3, 4}};
    t->end.len = 1;
    t->end.data[0] = 0xee;
}
static const uint8_t filled[] = {
    4, 3, 2, 1, 0xfe, 0xff, 1,                                    /* at */
    2, 0, 0, 0,                                                   /* lines: how many */
    5, 0, 0, 0, 6, 0, 0, 1, 7, 0, 0, 0, 8, 0, 1, 2, 0, 0, 0, 'a', 'b', 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
    3, 0, 0, 0, 0, 0, 1,                                          /* flags */
    0,                                                            /* no limit */
    1, 2, 0x0b, 0x0a, 0x0d, 0x0c,                                 /* the list */
    1, 0, 0, 0, 0xee,                                             /* end */
};
/* Of each byte: a value, a bool, or a part of a length. */
static const char meaning[] = "vvvvvvb" "llll" "vvvvvvbb" "vvvvvvb" "llllvv" "llll" "vvvvvvbb" "llll" "llllvvvvvvvv" "llllbbb" "b" "blvvvv" "llllv";

static enum chi_status run(struct chi_archive *ar, enum chi_ar_kind kind, void *buf, size_t n, struct nest *t)
{
    chi_ar_init(ar, kind, buf, n, NULL, 0);
    return chi_ar_task(ar, &nest_method, &t->task);
}

static void nested__bytes_are_as_documented(void **state)
{
    (void)state;
    struct nest t, back;
    uint8_t in[NEST_IN_BYTES];
    struct chi_archive ar;
    fill(&t);
    assert_int_equal(run(&ar, CHI_AR_OUTPUT_IN, in, sizeof in, &t), CHI_STATUS_OK);
    assert_int_equal(ar.pos, sizeof filled);
    assert_memory_equal(in, filled, sizeof filled);
    assert_true(t.limit[1] == 98 && t.lines.data[1].to.x == 99); /* who writes keeps what it has */

    memset(&back, 0x55, sizeof back);
    assert_int_equal(run(&ar, CHI_AR_INPUT_IN, in, ar.pos, &back), CHI_STATUS_OK);
    assert_true(back.at.x == 0x01020304 && back.at.y == -2 && back.at.seen);
    assert_int_equal(back.lines.len, 2);
    const struct edge *l = back.lines.data;
    assert_true(l[0].from.x == 5 && l[0].has_to && l[0].to.x == 7 && l[0].to.seen && l[0].name.len == 2 && l[0].marks.len == 0);
    assert_memory_equal(l[0].name.data, "ab", 2);
    assert_true(l[1].from.x == 0 && !l[1].has_to && l[1].marks.len == 1 && l[1].marks.data[0] == 0x1122334455667788);
    assert_true(l[1].to.x == 0 && l[1].to.y == 0 && !l[1].to.seen); /* what is not there is zeros */
    assert_int_equal(l[2].from.x, 0x55555555);                      /* beyond the length nothing is touched */
    assert_true(back.flags.len == 3 && !back.flags.data[0] && back.flags.data[2]);
    assert_true(!back.has_limit && back.limit[0] == 0 && back.limit[1] == 0);
    assert_true(back.has_list && back.list.n == 2 && back.list.value[1] == 0x0c0d && back.list.value[2] == 0x5555);
    assert_true(back.end.len == 1 && back.end.data[0] == 0xee);
    assert_int_equal(back.seen.len, 0x55555555); /* of the other direction */
}

static void nested__outputs_come_back(void **state)
{
    (void)state;
    struct nest t, back;
    uint8_t out[NEST_OUT_BYTES];
    struct chi_archive ar;
    fill(&t);
    fill(&back);
    t.lines.len = 3;
    t.seen.len = 2;
    t.seen.data[1] = (struct point){8, -9, true};
    t.weights.len = 4;
    t.weights.data[3] = -0.5;
    t.has_limit = true;
    t.limit[0] = 4;
    assert_int_equal(run(&ar, CHI_AR_OUTPUT_OUT, out, sizeof out, &t), CHI_STATUS_OK);
    assert_int_equal(run(&ar, CHI_AR_INPUT_OUT, out, ar.pos, &back), CHI_STATUS_OK);
    assert_true(back.lines.len == 3 && back.seen.len == 2 && back.seen.data[1].y == -9 && back.weights.data[3] == -0.5);
    assert_true(back.has_limit && back.limit[0] == 4 && back.limit[1] == 98 && back.at.x == 0x01020304);
    t.has_limit = false;
    assert_int_equal(run(&ar, CHI_AR_OUTPUT_OUT, out, sizeof out, &t), CHI_STATUS_OK);
    assert_int_equal(run(&ar, CHI_AR_INPUT_OUT, out, ar.pos, &back), CHI_STATUS_OK);
    assert_true(!back.has_limit && back.limit[0] == 0 && back.limit[1] == 0);
}

/* The largest form of each direction is what NEST_IN_BYTES and NEST_OUT_BYTES say. */
static void fill_up(struct nest *t)
{
    fill(t);
    t->lines.len = 3;
    for (unsigned i = 0; i < 3; i++) {
        t->lines.data[i].has_to = true;
        t->lines.data[i].name.len = 6;
        t->lines.data[i].marks.len = 3;
    }
    t->seen.len = 2;
    t->flags.len = 5;
    t->weights.len = 4;
    t->has_limit = t->has_list = true;
    t->list.n = 4;
    t->end.len = 3;
}

static void nested__every_byte_is_needed(void **state)
{
    (void)state;
    struct nest t, back;
    uint8_t buf[NEST_IN_BYTES + NEST_OUT_BYTES + 1] = {0};
    struct chi_archive ar;
    fill_up(&t);
    for (unsigned out = 0; out < 2; out++) {
        enum chi_ar_kind write = out ? CHI_AR_OUTPUT_OUT : CHI_AR_OUTPUT_IN, read = out ? CHI_AR_INPUT_OUT : CHI_AR_INPUT_IN;
        size_t length = out ? NEST_OUT_BYTES : NEST_IN_BYTES;
        assert_int_equal(run(&ar, write, buf, sizeof buf, &t), CHI_STATUS_OK);
        assert_int_equal(ar.pos, length);
        for (size_t n = 0; n <= length + 1; n++)
            assert_int_equal(run(&ar, read, buf, n, &back), n == length ? CHI_STATUS_OK : CHI_STATUS_ARCHIVE);
        for (size_t cap = 0; cap < length; cap++)
            assert_int_equal(run(&ar, write, buf, cap, &t), CHI_STATUS_TOO_BIG);
    }
}

/* Any other value of any byte: it is refused, or it is written again as it came.  No other length fits there, as the rest would have to fit too. */
static void nested__every_wrong_byte(void **state)
{
    (void)state;
    static const struct nest zero;
    uint8_t in[sizeof filled], again[NEST_IN_BYTES];
    assert_int_equal(sizeof meaning - 1, sizeof filled);
    for (size_t at = 0; at < sizeof filled; at++)
        for (unsigned v = 0; v < 256; v++) {
            struct nest t = zero;
            struct chi_archive ar;
            memcpy(in, filled, sizeof in);
            in[at] = (uint8_t)v;
            enum chi_status st = run(&ar, CHI_AR_INPUT_IN, in, sizeof in, &t);
            bool sound = v == filled[at] || meaning[at] == 'v';
            if (sound || meaning[at] == 'l' || v > 1) /* the other value of a bool may be right */
                assert_int_equal(st, sound ? CHI_STATUS_OK : CHI_STATUS_ARCHIVE);
            if (st != CHI_STATUS_OK)
                continue;
            assert_int_equal(run(&ar, CHI_AR_OUTPUT_IN, again, sizeof again, &t), CHI_STATUS_OK);
            assert_int_equal(ar.pos, sizeof in);
            assert_memory_equal(again, in, sizeof in);
        }
}

/* A length above the capacity: nothing is stored. */
static void nested__length_is_checked_first(void **state)
{
    (void)state;
    struct nest t, before;
    uint8_t in[NEST_IN_BYTES] = {0};
    struct chi_archive ar;
    fill(&t);
    t.lines.len = 4;
    assert_int_equal(run(&ar, CHI_AR_OUTPUT_IN, in, sizeof in, &t), CHI_STATUS_INVALID);
    fill(&t);
    t.lines.data[0].marks.len = 4;
    assert_int_equal(run(&ar, CHI_AR_OUTPUT_IN, in, sizeof in, &t), CHI_STATUS_INVALID);
    fill(&t);
    t.flags.len = UINT32_MAX;
    assert_int_equal(run(&ar, CHI_AR_OUTPUT_IN, in, sizeof in, &t), CHI_STATUS_INVALID);

    fill(&t);
    before = t;
    memset(in, 0, sizeof in);
    memcpy(in, filled, POINT_BYTES);
    in[POINT_BYTES] = 4;
    assert_int_equal(run(&ar, CHI_AR_INPUT_IN, in, sizeof in, &t), CHI_STATUS_ARCHIVE);
    assert_memory_equal(&t.lines, &before.lines, sizeof t.lines);
    in[POINT_BYTES] = 3; /* they are not all there */
    assert_int_equal(run(&ar, CHI_AR_INPUT_IN, in, POINT_BYTES + 4 + 2, &t), CHI_STATUS_ARCHIVE);
    assert_int_equal(t.lines.len, 2);
}

/* --- functions for a member */

struct own {
    struct chi_task task;
    uint64_t v[3];
    struct chi_bulk bulk;
};
static unsigned own_count, own_calls;
static void own_fn(struct chi_archive *ar, void *member)
{
    own_calls++;
    chi_ar_u64(ar, (uint64_t *)member, own_count);
}
static void bulk_fn(struct chi_archive *ar, void *member)
{
    struct chi_bulk b = {member, 8, 0};
    chi_ar_bulk(ar, &b.ptr, &b.used, CHI_WRITE);
}
CHI_FIELDS(own_fields) = {CHI_CUSTOM(INOUT, struct own, v, own_fn, 16), CHI_BULK_INOUT(struct own, bulk)};
CHI_FIELDS(bulk_fields) = {CHI_BULK_INOUT(struct own, bulk), CHI_CUSTOM(INOUT, struct own, v, bulk_fn, 16)};

static void custom__keeps_its_promise(void **state)
{
    (void)state;
    struct chi_method m = CHI_METHOD(1, struct own, own_fields);
    struct own t = {.v = {1, 2, 3}};
    uint8_t buf[64] = {0};
    static const struct { unsigned count; size_t cap; enum chi_status out, in; } cases[] = {
        {0, 64, CHI_STATUS_OK, CHI_STATUS_OK},           {1, 64, CHI_STATUS_OK, CHI_STATUS_OK},
        {2, 64, CHI_STATUS_OK, CHI_STATUS_OK},           {2, 16, CHI_STATUS_OK, CHI_STATUS_OK},
        {3, 64, CHI_STATUS_INVALID, CHI_STATUS_ARCHIVE}, {3, 16, CHI_STATUS_INVALID, CHI_STATUS_ARCHIVE},
        {2, 15, CHI_STATUS_TOO_BIG, CHI_STATUS_ARCHIVE}, {1, 7, CHI_STATUS_TOO_BIG, CHI_STATUS_ARCHIVE},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chi_ar_region r[CHI_REGIONS_MAX];
        struct chi_archive ar;
        own_count = cases[i].count;
        chi_ar_init(&ar, CHI_AR_OUTPUT_IN, buf, cases[i].cap, r, 0);
        assert_int_equal(chi_ar_task(&ar, &m, &t.task), cases[i].out);
        if (ar.status == CHI_STATUS_OK) /* the region behind it is one again */
            assert_true(ar.nregions == 1 && ar.cap == cases[i].cap && ar.pos == 8 * own_count);
        size_t n = ar.status == CHI_STATUS_OK ? ar.pos : cases[i].cap;
        chi_ar_init(&ar, CHI_AR_INPUT_IN, buf, n, r, 1);
        r[0] = (struct chi_ar_region){buf, 0, 0, CHI_WRITE | CHI_EXPOSE};
        assert_int_equal(chi_ar_task(&ar, &m, &t.task), cases[i].in);
    }
}

static void custom__has_no_bulk(void **state)
{
    (void)state;
    struct chi_method m = CHI_METHOD(1, struct own, bulk_fields);
    uint8_t buf[64] = {0};
    for (enum chi_ar_kind kind = CHI_AR_OUTPUT_IN; kind <= CHI_AR_INPUT_OUT; kind++) {
        struct chi_ar_region r[CHI_REGIONS_MAX] = {{buf, 8, CHI_USED_UNKNOWN, CHI_WRITE | CHI_EXPOSE}, {buf, 8, 0, CHI_WRITE | CHI_EXPOSE}};
        struct chi_archive ar;
        struct own t = {.bulk = {buf, 8, 0}};
        chi_ar_init(&ar, kind, buf, sizeof buf, r, kind == CHI_AR_OUTPUT_IN ? 0 : 2);
        assert_int_equal(chi_ar_task(&ar, &m, &t.task), CHI_STATUS_INVALID);
        assert_int_equal(ar.nregions, kind == CHI_AR_OUTPUT_IN ? 1 : 2);
    }
}

/* --- the run of plain structs */

struct plain {
    struct chi_task task;
    uint64_t a;
    struct {
        uint32_t b, c;
    } inner;
    uint16_t d;
};
struct pair {
    uint32_t b, c;
};
CHI_FIELDS(pair_items) = {CHI_ITEM(U32, struct pair, b), CHI_ITEM(U32, struct pair, c)};
CHI_FIELDS(back_items) = {CHI_ITEM(U32, struct pair, c), CHI_ITEM(U32, struct pair, b)};
CHI_FIELDS(plain_fields) = {CHI_IN(U64, struct plain, a), CHI_STRUCT(INOUT, struct plain, inner, pair_items), CHI_IN(U16, struct plain, d)};
CHI_FIELDS(turned_fields) = {CHI_IN(U64, struct plain, a), CHI_STRUCT(INOUT, struct plain, inner, back_items)};

static void nested__plain_structs_are_one_run(void **state)
{
    (void)state;
    struct chi_method m = CHI_METHOD(1, struct plain, plain_fields), slow = m, turned = CHI_METHOD(2, struct plain, turned_fields);
    (void)chi_method_hash(&m);
    assert_int_equal(m.run[0], (uint64_t)offsetof(struct plain, a) << 32 | 18);
    assert_int_equal(m.run[1], (uint64_t)offsetof(struct plain, inner) << 32 | 8);
    (void)chi_method_hash(&turned);
    assert_true(turned.run[0] == 0 && turned.run[1] == 0);
    (void)chi_method_hash(&nest_method);
    assert_true(nest_method.run[0] == 0 && nest_method.run[1] == 0);
    struct plain t = {.a = 1, .inner = {2, 3}, .d = 4};
    uint8_t buf[2][32];
    struct chi_archive ar[2];
    for (unsigned k = 0; k < 2; k++) {
        chi_ar_init(&ar[k], CHI_AR_OUTPUT_IN, buf[k], sizeof buf[k], NULL, 0);
        assert_int_equal(chi_ar_task(&ar[k], k ? &slow : &m, &t.task), CHI_STATUS_OK);
        assert_int_equal(ar[k].pos, 18);
    }
    assert_memory_equal(buf[0], buf[1], 18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nested__bytes_are_as_documented), cmocka_unit_test(nested__outputs_come_back),
        cmocka_unit_test(nested__every_byte_is_needed),    cmocka_unit_test(nested__every_wrong_byte),
        cmocka_unit_test(nested__length_is_checked_first), cmocka_unit_test(custom__keeps_its_promise),
        cmocka_unit_test(custom__has_no_bulk),             cmocka_unit_test(nested__plain_structs_are_one_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
