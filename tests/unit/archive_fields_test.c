#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "chi/archive.h"

struct all {
    struct chi_task task;
    uint8_t u8;
    bool flag[3];
    int16_t i16[2];
    float f32;
    double f64;
    uint64_t both, result;
    CHI_STR_T(13) name;
    CHI_BYTES_T(40) blob;
    struct chi_bulk in, out, inout;
};
CHI_FIELDS(all_fields) = {
    CHI_IN(U8, struct all, u8),       CHI_IN(BOOL, struct all, flag),  CHI_IN(I16, struct all, i16),
    CHI_OUT(F32, struct all, f32),    CHI_INOUT(F64, struct all, f64), CHI_INOUT(U64, struct all, both),
    CHI_OUT(U64, struct all, result), CHI_STR(IN, struct all, name),   CHI_BYTES(INOUT, struct all, blob),
    CHI_BULK_IN(struct all, in),      CHI_BULK_OUT(struct all, out),   CHI_BULK_INOUT(struct all, inout),
};
enum { ALL = 5 };
CHI_METHOD_VAR(all_method) = CHI_METHOD(ALL, struct all, all_fields);

static uint8_t memory[3][32];

static void fill(struct all *t)
{
    memset(t, 0, sizeof *t);
    t->u8 = 200;
    t->flag[1] = true;
    t->i16[0] = -5;
    t->i16[1] = 300;
    t->f64 = -2.5;
    t->both = 1ull << 40;
    t->name.len = 13;
    memcpy(t->name.data, "thirteen char", 13);
    t->blob.len = 3;
    memcpy(t->blob.data, "xyz", 3);
    t->in = (struct chi_bulk){memory[0], 32, 9};
    t->out = (struct chi_bulk){memory[1], 16, 9};
    t->inout = (struct chi_bulk){memory[2], 0, 9};
}

/* There and back through all four archives. */
static void ar_task__four_archives(void **state)
{
    (void)state;
    struct all origin, target;
    struct chi_ar_region r[CHI_REGIONS_MAX];
    uint8_t in[256], out[256];
    struct chi_archive ar;
    fill(&origin);
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, in, sizeof in, r, 0);
    assert_int_equal(chi_ar_task(&ar, &all_method, &origin.task), CHI_STATUS_OK);
    assert_int_equal(ar.pos, 1 + 3 + 4 + 8 + 8 + (4 + 13) + (4 + 3));
    assert_int_equal(ar.nregions, 3);
    assert_true(origin.in.used == 0 && origin.out.used == 0 && origin.inout.used == 0);
    assert_true(r[0].flags == CHI_WRITE && r[1].flags == CHI_EXPOSE && r[2].flags == (CHI_WRITE | CHI_EXPOSE));

    uint8_t there[32];
    for (unsigned i = 0; i < 3; i++)
        r[i].ptr = there;
    size_t length = ar.pos;
    memset(&target, 0x55, sizeof target);
    chi_ar_init(&ar, CHI_AR_INPUT_IN, in, length, r, 3);
    assert_int_equal(chi_ar_task(&ar, &all_method, &target.task), CHI_STATUS_OK);
    assert_true(target.u8 == 200 && !target.flag[0] && target.flag[1] && !target.flag[2]);
    assert_true(target.i16[0] == -5 && target.i16[1] == 300 && target.f64 == -2.5 && target.both == 1ull << 40);
    assert_true(target.name.len == 13 && !memcmp(target.name.data, "thirteen char", 13));
    assert_true(target.blob.len == 3 && !memcmp(target.blob.data, "xyz", 3));
    assert_true(target.in.ptr == there && target.in.size == 32 && target.in.used == 0);
    assert_true(target.out.size == 16 && target.out.used == 0 && target.inout.size == 0 && target.inout.used == 0);
    assert_int_equal(target.result, 0x5555555555555555);

    target.f32 = 1.25f;
    target.f64 = 4;
    target.both++;
    target.result = 42;
    target.blob.len = 40;
    memset(target.blob.data, 7, 40);
    target.out.used = 11;
    chi_ar_init(&ar, CHI_AR_OUTPUT_OUT, out, sizeof out, r, 3);
    assert_int_equal(chi_ar_task(&ar, &all_method, &target.task), CHI_STATUS_OK);
    assert_int_equal(ar.pos, 4 + 8 + 8 + 8 + (4 + 40) + 8 + 8);
    assert_true(r[0].used == 0 && r[1].used == 11 && r[2].used == 0);

    length = ar.pos;
    chi_ar_init(&ar, CHI_AR_INPUT_OUT, out, length, r, 3);
    assert_int_equal(chi_ar_task(&ar, &all_method, &origin.task), CHI_STATUS_OK);
    assert_true(origin.f32 == 1.25f && origin.f64 == 4 && origin.both == (1ull << 40) + 1 && origin.result == 42);
    assert_true(origin.blob.len == 40 && origin.blob.data[39] == 7 && origin.u8 == 200);
    assert_true(origin.out.used == 11 && origin.out.ptr == memory[1] && origin.out.size == 16 && origin.in.used == 0);
}

/* Each prefix and each extension of a good form is refused. */
static void ar_task__every_byte_is_needed(void **state)
{
    (void)state;
    struct all t, back;
    struct chi_ar_region r[CHI_REGIONS_MAX];
    uint8_t in[256];
    struct chi_archive ar;
    fill(&t);
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, in, sizeof in, r, 0);
    assert_int_equal(chi_ar_task(&ar, &all_method, &t.task), CHI_STATUS_OK);
    size_t length = ar.pos;
    for (size_t n = 0; n <= length + 1; n++) {
        chi_ar_init(&ar, CHI_AR_INPUT_IN, in, n, r, 3);
        assert_int_equal(chi_ar_task(&ar, &all_method, &back.task), n == length ? CHI_STATUS_OK : CHI_STATUS_ARCHIVE);
    }
    chi_ar_init(&ar, CHI_AR_INPUT_IN, in, length, r, 2);
    assert_int_equal(chi_ar_task(&ar, &all_method, &back.task), CHI_STATUS_ARCHIVE);
    r[3] = r[0];
    chi_ar_init(&ar, CHI_AR_INPUT_IN, in, length, r, 4); /* a region that nobody asked for */
    assert_int_equal(chi_ar_task(&ar, &all_method, &back.task), CHI_STATUS_ARCHIVE);
    for (size_t cap = 0; cap < length; cap++) {
        chi_ar_init(&ar, CHI_AR_OUTPUT_IN, in, cap, r, 0);
        assert_int_equal(chi_ar_task(&ar, &all_method, &t.task), CHI_STATUS_TOO_BIG);
    }
}

/* A table that is wrong is refused, and nothing outside of the struct or in its head is touched. */
static void ar_task__wrong_tables(void **state)
{
    (void)state;
    static const struct chi_field bad[] = {
        CHI_ROW("head", 0, 1, CHI_DIR_INOUT, CHI_T_U64),
        CHI_ROW("head_end", sizeof(struct chi_task) - 1, 1, CHI_DIR_INOUT, CHI_T_U64),
        CHI_ROW("behind", 128, 1, CHI_DIR_INOUT, CHI_T_U8),
        CHI_ROW("across", 124, 1, CHI_DIR_INOUT, CHI_T_U64),
        CHI_ROW("many", 64, UINT32_MAX, CHI_DIR_INOUT, CHI_T_U64),
        CHI_ROW("far", UINT32_MAX, 1, CHI_DIR_INOUT, CHI_T_U64),
        CHI_ROW("string", 64, 61, CHI_DIR_INOUT, CHI_T_STR),
        CHI_ROW("bytes", 64, UINT32_MAX, CHI_DIR_INOUT, CHI_T_BYTES),
        CHI_ROW("odd", 66, 8, CHI_DIR_INOUT, CHI_T_BYTES),
        CHI_ROW("bulk", 112, 1, CHI_DIR_INOUT, CHI_T_BULK),
        CHI_ROW("bulks", 64, 2, CHI_DIR_INOUT, CHI_T_BULK),
        CHI_ROW("bulk_odd", 68, 1, CHI_DIR_INOUT, CHI_T_BULK),
        CHI_ROW("none", 64, 1, CHI_DIR_INOUT, CHI_T_NONE),
        CHI_ROW("type", 64, 1, CHI_DIR_INOUT, 99),
    };
    _Alignas(8) uint8_t body[128], before[128];
    uint8_t buf[4096] = {0};
    memset(body, 0xee, sizeof body);
    memcpy(before, body, sizeof body);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct chi_method m = {"BAD", &bad[i], NULL, NULL, 128, 0, 1, 1, {0, 0}};
        if (i % 2)
            (void)chi_method_hash(&m); /* no table that is wrong becomes a run */
        for (enum chi_ar_kind kind = CHI_AR_OUTPUT_IN; kind <= CHI_AR_INPUT_OUT; kind++) {
            struct chi_ar_region r[CHI_REGIONS_MAX] = {{buf, 8, 0, CHI_WRITE | CHI_EXPOSE}};
            struct chi_archive ar;
            chi_ar_init(&ar, kind, buf, sizeof buf, r, kind == CHI_AR_OUTPUT_IN ? 0 : 1);
            enum chi_status st = chi_ar_task(&ar, &m, (struct chi_task *)body);
            assert_int_equal(st, CHI_STATUS_INVALID);
            assert_memory_equal(body, before, sizeof body);
        }
    }
}

/* The words of a region that streams; a region that only goes back cannot. */
static void ar_task__stream_words(void **state)
{
    (void)state;
    struct streams {
        struct chi_task task;
        struct chi_bulk in, both;
    } t = {.in = {memory[0], 32, 0}, .both = {memory[1], 16, 0}};
    const struct chi_field good[] = {CHI_BULK_IN_STREAM(struct streams, in), CHI_BULK_INOUT_STREAM(struct streams, both)};
    const struct chi_field bad[] = {CHI_ROW("in", offsetof(struct streams, in), 1, CHI_DIR_OUT | CHI_STREAM, CHI_T_BULK)};
    struct chi_method m = {"STREAMS", good, NULL, NULL, sizeof t, 0, 2, 1, {0}};
    struct chi_ar_region r[CHI_REGIONS_MAX];
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, NULL, 0, r, 0);
    assert_int_equal(chi_ar_task(&ar, &m, &t.task), CHI_STATUS_OK);
    assert_int_equal(r[0].flags, CHI_WRITE | CHI_STREAM);
    assert_int_equal(r[1].flags, CHI_WRITE | CHI_EXPOSE | CHI_STREAM);
    m.fields = bad;
    m.nfields = 1;
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, NULL, 0, r, 0);
    assert_int_equal(chi_ar_task(&ar, &m, &t.task), CHI_STATUS_INVALID);
}

static void ar_task__wrong_methods(void **state)
{
    (void)state;
    struct all t;
    fill(&t);
    struct chi_method m[] = {all_method, all_method, all_method, all_method};
    m[0].size = sizeof(struct chi_task) - 1;
    m[1].size = CHI_TASK_BYTES_MAX + 1;
    m[2].nfields = CHI_FIELDS_MAX + 1;
    m[3].fields = NULL;
    for (unsigned i = 0; i < 4; i++) {
        uint8_t buf[256];
        struct chi_ar_region r[CHI_REGIONS_MAX];
        struct chi_archive ar;
        chi_ar_init(&ar, CHI_AR_OUTPUT_IN, buf, sizeof buf, r, 0);
        assert_int_equal(chi_ar_task(&ar, &m[i], &t.task), CHI_STATUS_INVALID);
    }
}

/* A method without fields needs no table. */
static void ar_task__no_fields(void **state)
{
    (void)state;
    struct chi_method m = {"NONE", NULL, NULL, NULL, sizeof(struct chi_task), 0, 0, 1, {0, 0}};
    struct chi_task t = {.method = &m};
    for (enum chi_ar_kind kind = CHI_AR_OUTPUT_IN; kind <= CHI_AR_INPUT_OUT; kind++) {
        struct chi_archive ar;
        chi_ar_init(&ar, kind, NULL, 0, NULL, 0);
        assert_int_equal(chi_ar_task(&ar, &m, &t), CHI_STATUS_OK);
        assert_int_equal(ar.pos, 0);
    }
}

/* As many fields as there may be, in a struct as large as it may be. */
static void ar_task__largest_method(void **state)
{
    (void)state;
    static _Alignas(8) uint8_t task[CHI_TASK_BYTES_MAX], back[CHI_TASK_BYTES_MAX], buf[8 * CHI_FIELDS_MAX];
    struct chi_field f[CHI_FIELDS_MAX];
    for (uint32_t i = 0; i < CHI_FIELDS_MAX; i++) {
        f[i] = (struct chi_field)CHI_ROW("f", CHI_TASK_BYTES_MAX - 8 * (i + 1), 1, CHI_DIR_IN, CHI_T_U64);
        task[f[i].offset] = (uint8_t)(i + 1);
    }
    struct chi_method m = {"MOST", f, NULL, NULL, CHI_TASK_BYTES_MAX, 0, CHI_FIELDS_MAX, 1, {0, 0}};
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, buf, sizeof buf, NULL, 0);
    assert_int_equal(chi_ar_task(&ar, &m, (struct chi_task *)task), CHI_STATUS_OK);
    assert_int_equal(ar.pos, sizeof buf);
    chi_ar_init(&ar, CHI_AR_INPUT_IN, buf, sizeof buf, NULL, 0);
    assert_int_equal(chi_ar_task(&ar, &m, (struct chi_task *)back), CHI_STATUS_OK);
    assert_memory_equal(back, task, sizeof task);
}

struct hand {
    struct chi_task task;
    uint32_t n;
    uint64_t v[4];
    struct chi_bulk b;
};
static void hand_in(struct chi_archive *ar, struct chi_task *task)
{
    struct hand *h = (struct hand *)task;
    chi_ar_u32(ar, &h->n, 1);
    if (h->n > 4)
        h->n = 0;
    chi_ar_u64(ar, h->v, h->n);
    chi_ar_bulk(ar, &h->b.ptr, &h->b.size, CHI_EXPOSE);
}
static void hand_out(struct chi_archive *ar, struct chi_task *task)
{
    struct hand *h = (struct hand *)task;
    if (h->n)
        chi_ar_bulk(ar, &h->b.ptr, &h->b.used, CHI_WRITE);
}
CHI_METHOD_VAR(hand_method) = CHI_METHOD_BY_HAND(9, struct hand, hand_in, hand_out);

static void ar_task__by_hand(void **state)
{
    (void)state;
    uint8_t buf[64], bytes[8];
    struct hand h = {.n = 2, .v = {3, 4}, .b = {bytes, 8, 0}}, back = {.n = 0};
    struct chi_ar_region r[CHI_REGIONS_MAX] = {{0}};
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, buf, sizeof buf, r, 0);
    assert_int_equal(chi_ar_task(&ar, &hand_method, &h.task), CHI_STATUS_OK);
    assert_int_equal(ar.pos, 20);
    chi_ar_init(&ar, CHI_AR_INPUT_IN, buf, 20, r, 1);
    assert_int_equal(chi_ar_task(&ar, &hand_method, &back.task), CHI_STATUS_OK);
    assert_true(back.n == 2 && back.v[1] == 4 && back.b.size == 8);
    /* Exposed regions that the method does not mention go back empty, all that the task has and no other. */
    for (unsigned i = 0; i < 4; i++)
        r[i].used = 5;
    back.n = 0;
    chi_ar_init(&ar, CHI_AR_OUTPUT_OUT, buf, sizeof buf, r, 3);
    assert_int_equal(chi_ar_task(&ar, &hand_method, &back.task), CHI_STATUS_OK);
    assert_true(r[0].used == 0 && r[1].used == 0 && r[2].used == 0 && r[3].used == 5 && ar.pos == 0);
}

struct runs {
    struct chi_task task;
    uint64_t a;
    uint32_t b[2];
    uint8_t c, d;
    bool flag;
    uint32_t apart;
    CHI_STR_T(4) name;
    struct chi_bulk bulk;
};
static const struct chi_field run_fields[] = {CHI_IN(U64, struct runs, a), CHI_INOUT(U32, struct runs, b), CHI_OUT(U8, struct runs, c)};
static const struct chi_field gap[] = {CHI_IN(U64, struct runs, a), CHI_IN(U8, struct runs, c)};
static const struct chi_field turned[] = {CHI_IN(U32, struct runs, b), CHI_IN(U64, struct runs, a)};
static const struct chi_field padded[] = {CHI_IN(U8, struct runs, d), CHI_IN(U32, struct runs, apart)};
static const struct chi_field boolean[] = {CHI_INOUT(BOOL, struct runs, flag)};
static const struct chi_field string[] = {CHI_STR(INOUT, struct runs, name)};
static const struct chi_field bulky[] = {CHI_INOUT(U64, struct runs, a), CHI_BULK_IN(struct runs, bulk)};

/* A direction that is one run of bytes is copied as one, with the same bytes and errors as field by field; no other is. */
static void ar_task__runs(void **state)
{
    (void)state;
    struct chi_method fast = CHI_METHOD(1, struct runs, run_fields), slow = fast;
    (void)chi_method_hash(&fast);
    assert_int_equal(fast.run[0], (uint64_t)offsetof(struct runs, a) << 32 | 16);
    assert_int_equal(fast.run[1], (uint64_t)offsetof(struct runs, b) << 32 | 9);
    for (enum chi_ar_kind kind = CHI_AR_OUTPUT_IN; kind <= CHI_AR_INPUT_OUT; kind++)
        for (size_t n = 0; n <= 18; n++)
            for (uint32_t regions = 0; regions < 2; regions++) {
                struct runs t[2];
                uint8_t buf[2][18];
                struct chi_archive ar[2];
                struct chi_ar_region r[2][CHI_REGIONS_MAX] = {{{buf, 8, 5, CHI_EXPOSE}}, {{buf, 8, 5, CHI_EXPOSE}}};
                for (unsigned k = 0; k < 2; k++) {
                    memset(&t[k], 0x31, sizeof t[k]);
                    memset(buf[k], 0x75, sizeof buf[k]);
                    chi_ar_init(&ar[k], kind, buf[k], n, r[k], kind == CHI_AR_OUTPUT_IN ? 0 : regions);
                    chi_ar_task(&ar[k], k ? &slow : &fast, &t[k].task);
                }
                assert_int_equal(ar[0].status, ar[1].status);
                if (ar[0].status != CHI_STATUS_OK)
                    continue;
                assert_int_equal(ar[0].pos, ar[1].pos);
                assert_memory_equal(&t[0], &t[1], sizeof t[0]);
                assert_memory_equal(buf[0], buf[1], sizeof buf[0]);
                assert_int_equal(r[0][0].used, r[1][0].used);
            }
    struct chi_method none[] = {CHI_METHOD(1, struct runs, gap),     CHI_METHOD(1, struct runs, turned), CHI_METHOD(1, struct runs, padded),
                                CHI_METHOD(1, struct runs, boolean), CHI_METHOD(1, struct runs, string), CHI_METHOD(1, struct runs, bulky)};
    for (unsigned i = 0; i < sizeof none / sizeof none[0]; i++) {
        (void)chi_method_hash(&none[i]);
        assert_true(none[i].run[0] == 0 && none[i].run[1] == 0);
    }
    (void)chi_method_hash(&hand_method);
    assert_true(hand_method.run[0] == 0 && hand_method.run[1] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ar_task__runs),
        cmocka_unit_test(ar_task__four_archives), cmocka_unit_test(ar_task__every_byte_is_needed),
        cmocka_unit_test(ar_task__wrong_tables),  cmocka_unit_test(ar_task__stream_words), cmocka_unit_test(ar_task__wrong_methods),
        cmocka_unit_test(ar_task__largest_method), cmocka_unit_test(ar_task__no_fields),     cmocka_unit_test(ar_task__by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
