/* What is wrong with a method: said in words, and refused by an archive before a byte is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "archive_sample.h"

enum { HEAD = sizeof(struct chi_task), BYTES = HEAD + 64 };
#define BOTH CHI_DIR_INOUT
#define ONE(offset) CHI_ROW("one", offset, 1, 0, CHI_T_U8)
#define STRUCT_ROW(offset, count, dir, table, n, size) {"s", offset, count, dir, CHI_T_STRUCT, n, size, 0, table, NULL, NULL}
#define VEC_ROW(offset, count, type, table, n, size, data) {"v", offset, count, BOTH, CHI_T_VEC | type, n, size, data, table, NULL, NULL}
#define CUSTOM_ROW(offset, max, size, fn, name) {"c", offset, max, BOTH, CHI_T_CUSTOM, 0, size, 0, NULL, fn, name}

static const struct chi_field one[] = {ONE(0)}, far[] = {ONE(0), CHI_ROW("far", 3, 1, 0, CHI_T_U16)}, with_dir[] = {CHI_ITEM(U32, struct point, x), CHI_IN(I16, struct point, y)},
                              bulky[] = {CHI_ROW("b", 0, 1, 0, CHI_T_BULK)}, unnamed[] = {CHI_ROW(NULL, 0, 1, 0, CHI_T_U8)};
static const struct chi_field again[] = {STRUCT_ROW(0, 1, 0, again, 1, 4)};
static const struct chi_field depth4[] = {STRUCT_ROW(0, 1, 0, one, 1, 4)}, depth3[] = {STRUCT_ROW(0, 1, 0, depth4, 1, 4)},
                              depth2[] = {STRUCT_ROW(0, 1, 0, depth3, 1, 4)}, depth1[] = {STRUCT_ROW(0, 1, 0, depth2, 1, 4)};

/* A table of one row, or of two, and what is wrong with which. */
static const struct {
    const char *why, *field;
    struct chi_field row[2];
} bad[] = {
    {"lies in the head", "f", {CHI_ROW("f", HEAD - 1, 1, BOTH, CHI_T_U8)}},
    {"lies in the head", "f", {CHI_ROW("f", 0, 1, BOTH, CHI_T_U64)}},
    {"lies in the head", "f", {CHI_ROW("f", HEAD - 4, 4, BOTH, CHI_T_STR)}},
    {"beyond the end", "f", {CHI_ROW("f", BYTES, 1, BOTH, CHI_T_BOOL)}},
    {"beyond the end", "f", {CHI_ROW("f", BYTES - 4, 1, BOTH, CHI_T_U64)}},
    {"beyond the end", "f", {CHI_ROW("f", HEAD, UINT32_MAX, BOTH, CHI_T_U64)}},
    {"beyond the end", "f", {CHI_ROW("f", HEAD, 61, BOTH, CHI_T_BYTES)}},
    {"beyond the end", "f", {CHI_ROW("f", BYTES - 16, 1, BOTH, CHI_T_BULK)}},
    {"not aligned", "f", {CHI_ROW("f", HEAD + 2, 4, BOTH, CHI_T_STR)}},
    {"not aligned", "f", {CHI_ROW("f", HEAD + 4, 1, BOTH, CHI_T_BULK)}},
    {"a capacity of 0", "f", {CHI_ROW("f", HEAD, 0, BOTH, CHI_T_STR)}},
    {"a capacity of 0", "f", {CHI_ROW("f", HEAD, 0, BOTH, CHI_T_U8)}},
    {"an unknown type", "f", {CHI_ROW("f", HEAD, 1, BOTH, CHI_T_NONE)}},
    {"an unknown type", "f", {CHI_ROW("f", HEAD, 1, BOTH, CHI_T_CUSTOM + 1)}},
    {"no direction", "f", {CHI_ROW("f", HEAD, 1, 0, CHI_T_U8)}},
    {"no direction", "f", {CHI_ROW("f", HEAD, 1, 16 | BOTH, CHI_T_U8)}},
    {"can stream", "f", {CHI_ROW("f", HEAD, 1, BOTH | CHI_STREAM, CHI_T_U8)}},
    {"can stream", "f", {CHI_ROW("f", HEAD, 1, CHI_DIR_OUT | CHI_STREAM, CHI_T_BULK)}},
    {"more than one bulk region", "f", {CHI_ROW("f", HEAD, 2, BOTH, CHI_T_BULK)}},
    {"no name", "?", {CHI_ROW(NULL, HEAD, 1, BOTH, CHI_T_U8)}},
    {"no name", "?", {CHI_ROW("a\nb", HEAD, 1, BOTH, CHI_T_U8)}},
    /* structs */
    {"more than one struct", "s", {STRUCT_ROW(HEAD, 2, BOTH, one, 1, 4)}},
    {"without a table", "s", {STRUCT_ROW(HEAD, 1, BOTH, NULL, 1, 4)}},
    {"without a table", "s", {STRUCT_ROW(HEAD, 1, BOTH, one, 0, 4)}},
    {"too many rows", "s", {STRUCT_ROW(HEAD, 1, BOTH, one, CHI_FIELDS_MAX + 1, 4)}},
    {"a struct of no bytes", "s", {STRUCT_ROW(HEAD, 1, BOTH, one, 1, 0)}},
    {"beyond the end", "s", {STRUCT_ROW(BYTES - 4, 1, BOTH, one, 1, 5)}},
    {"beyond the end", "far", {STRUCT_ROW(HEAD, 1, BOTH, far, 2, 4)}},
    {"no direction of its own", "y", {STRUCT_ROW(HEAD, 1, BOTH, with_dir, 2, 8)}},
    {"a bulk region inside a struct", "b", {STRUCT_ROW(HEAD, 1, BOTH, bulky, 1, 24)}},
    {"a bulk region inside a struct", "b", {VEC_ROW(HEAD, 1, CHI_T_STRUCT, bulky, 1, 24, HEAD + 8)}},
    {"no name", "?", {STRUCT_ROW(HEAD, 1, BOTH, unnamed, 1, 4)}},
    {"nested too deep", "s", {STRUCT_ROW(HEAD, 1, BOTH, again, 1, 4)}},
    {"nested too deep", "s", {STRUCT_ROW(HEAD, 1, BOTH, depth1, 1, 4)}},
    /* vectors */
    {"a vector of an unknown type", "v", {VEC_ROW(HEAD, 1, CHI_T_STR, NULL, 0, 4, HEAD + 4)}},
    {"a vector of an unknown type", "v", {VEC_ROW(HEAD, 1, CHI_T_BULK, NULL, 0, 24, HEAD + 8)}},
    {"a vector of an unknown type", "v", {VEC_ROW(HEAD, 1, CHI_T_NONE, NULL, 0, 1, HEAD + 4)}},
    {"a vector of an unknown type", "v", {VEC_ROW(HEAD, 1, CHI_T_U32, NULL, 0, 8, HEAD + 4)}},
    {"a capacity of 0", "v", {VEC_ROW(HEAD, 0, CHI_T_U32, NULL, 0, 4, HEAD + 4)}},
    {"lie in its length", "v", {VEC_ROW(HEAD, 1, CHI_T_U32, NULL, 0, 4, HEAD + 3)}},
    {"lie in its length", "v", {VEC_ROW(HEAD + 8, 1, CHI_T_U32, NULL, 0, 4, HEAD)}},
    {"not aligned", "v", {VEC_ROW(HEAD + 1, 1, CHI_T_U8, NULL, 0, 1, HEAD + 5)}},
    {"beyond the end", "v", {VEC_ROW(HEAD, 16, CHI_T_U32, NULL, 0, 4, HEAD + 4)}},
    {"beyond the end", "v", {VEC_ROW(HEAD, UINT32_MAX, CHI_T_STRUCT, one, 1, UINT32_MAX, HEAD + 4)}},
    {"beyond the end", "v", {VEC_ROW(HEAD, 1, CHI_T_U8, NULL, 0, 1, UINT32_MAX)}},
    /* what is optional */
    {"nothing that is optional", "has", {CHI_ROW("has", HEAD, 1, BOTH, CHI_T_OPTIONAL)}},
    {"nothing that is optional", "has", {CHI_ROW("has", HEAD, 1, BOTH, CHI_T_OPTIONAL), CHI_ROW("f", HEAD, 1, BOTH, CHI_T_OPTIONAL)}},
    {"never optional", "has", {CHI_ROW("has", HEAD, 1, BOTH, CHI_T_OPTIONAL), CHI_ROW("f", HEAD + 8, 1, BOTH, CHI_T_BULK)}},
    {"another direction", "has", {CHI_ROW("has", HEAD, 1, BOTH, CHI_T_OPTIONAL), CHI_ROW("f", HEAD + 8, 1, CHI_DIR_IN, CHI_T_U8)}},
    {"more than one bool", "has", {CHI_ROW("has", HEAD, 2, BOTH, CHI_T_OPTIONAL), CHI_ROW("f", HEAD + 8, 1, BOTH, CHI_T_U8)}},
    {"beyond the end", "f", {CHI_ROW("has", HEAD, 1, BOTH, CHI_T_OPTIONAL), CHI_ROW("f", BYTES, 1, BOTH, CHI_T_U8)}},
    /* functions */
    {"no function", "c", {CUSTOM_ROW(HEAD, 4, 4, NULL, "fn")}},
    {"no function", "c", {CUSTOM_ROW(HEAD, 4, 4, list_fn, NULL)}},
    {"a capacity of 0", "c", {CUSTOM_ROW(HEAD, 0, 4, list_fn, "fn")}},
    {"too long", "c", {CUSTOM_ROW(HEAD, CHI_FORM_BYTES_MAX + 1, 4, list_fn, "fn")}},
    {"a member of no bytes", "c", {CUSTOM_ROW(HEAD, 4, 0, list_fn, "fn")}},
    {"beyond the end", "c", {CUSTOM_ROW(HEAD, 4, 65, list_fn, "fn")}},
    {"can be sliced", "f", {CHI_ROW("f", HEAD, 1, BOTH | CHI_SLICED, CHI_T_U8)}},
};

static void assert_wrong(const struct chi_method *m, const char *why, const char *field)
{
    const char *got_field = "nothing", *got = chi_method_wrong(m, &got_field);
    if (!got || !strstr(got, why) || !got_field || strcmp(got_field, field) != 0)
        fail_msg("'%s' of '%s', not '%s' of '%s'", got ? got : "nothing", got_field ? got_field : "the method", why, field);
}

static void method_wrong__names_what_and_where(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint16_t rows = bad[i].row[1].name ? 2 : 1;
        struct chi_method m = {"BAD", bad[i].row, NULL, NULL, BYTES, 0, rows, 1, {0, 0}};
        assert_wrong(&m, bad[i].why, bad[i].field);
    }
}

/* An archive refuses them too, all but the names, and touches nothing but what is in front of the wrong row. */
static void ar_task__refuses_what_is_wrong(void **state)
{
    (void)state;
    _Alignas(8) uint8_t body[BYTES], before[BYTES];
    uint8_t buf[4096];
    memset(buf, 0, sizeof buf);
    buf[0] = 1; /* a vector has an element; what is optional is there, or not */
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct chi_method m = {"BAD", bad[i].row, NULL, NULL, BYTES, 0, bad[i].row[1].name ? 2 : 1, 1, {0, 0}};
        if (!strncmp(bad[i].why, "no name", 7) || !strncmp(bad[i].why, "no direction", 12))
            continue;
        if (i % 2 && !strstr(bad[i].why, "too many rows")) /* a hash reads them all */
            (void)chi_method_hash(&m);
        assert_true(m.run[0] == 0 && m.run[1] == 0);
        for (enum chi_ar_kind kind = CHI_AR_OUTPUT_IN; kind <= CHI_AR_INPUT_OUT; kind++) {
            struct chi_ar_region r[CHI_REGIONS_MAX] = {{buf, 8, 0, CHI_WRITE | CHI_EXPOSE}};
            struct chi_archive ar;
            memset(body, 0, sizeof body);
            body[HEAD] = 1;
            memcpy(before, body, sizeof body);
            chi_ar_init(&ar, kind, buf, sizeof buf, r, kind == CHI_AR_OUTPUT_IN ? 0 : 1);
            assert_int_equal(chi_ar_task(&ar, &m, (struct chi_task *)body), CHI_STATUS_INVALID);
            assert_memory_equal(body, before, strcmp(bad[i].field, "far") ? sizeof body : HEAD);
            buf[0] ^= 1; /* an absent one is looked at as well */
            chi_ar_init(&ar, kind, buf, sizeof buf, r, kind == CHI_AR_OUTPUT_IN ? 0 : 1);
            body[HEAD] = 0;
            if (bad[i].row[0].type == CHI_T_OPTIONAL)
                assert_int_equal(chi_ar_task(&ar, &m, (struct chi_task *)body), CHI_STATUS_INVALID);
            assert_memory_equal(body, before, HEAD);
            buf[0] ^= 1;
        }
    }
}

/* As deep and as long as may be; one row more is too many, also when a table is there many times. */
static void method_wrong__ends_of_each_range(void **state)
{
    (void)state;
    const struct chi_field deep[] = {STRUCT_ROW(HEAD, 1, BOTH, depth2, 1, 4)};
    struct chi_method m = {"DEEP", deep, NULL, NULL, BYTES, 0, 1, 1, {0, 0}};
    const char *field = "nothing";
    assert_null(chi_method_wrong(&m, &field));
    assert_null(field);
    assert_null(chi_method_wrong(&nest_method, &field));

    struct chi_field inner[CHI_FIELDS_MAX], outer[CHI_FIELDS_MAX];
    for (unsigned i = 0; i < CHI_FIELDS_MAX; i++)
        inner[i] = (struct chi_field)ONE(0);
    for (unsigned i = 0; i < CHI_FIELDS_MAX; i++)
        outer[i] = (struct chi_field)CHI_ROW("u8", HEAD, 1, BOTH, CHI_T_U8);
    for (unsigned i = 0; i < 15; i++)
        outer[i] = (struct chi_field)STRUCT_ROW(HEAD, 1, BOTH, inner, CHI_FIELDS_MAX, 4);
    m = (struct chi_method){"LONG", outer, NULL, NULL, BYTES, 0, CHI_FIELDS_MAX, 1, {0, 0}};
    assert_null(chi_method_wrong(&m, &field)); /* 15 * 64 + 64 */
    const struct chi_field more[] = {ONE(0), STRUCT_ROW(0, 1, 0, one, 1, 4)};
    outer[0].items = more;
    outer[0].nitems = 2;
    outer[20] = (struct chi_field)STRUCT_ROW(HEAD, 1, BOTH, inner, 61, 4);
    assert_null(chi_method_wrong(&m, &field));
    outer[20].nitems = 62;
    assert_wrong(&m, "too many rows in all", "u8");

    for (unsigned i = 0; i < 17; i++)
        outer[i] = (struct chi_field)CHI_ROW("b", HEAD, 1, BOTH, CHI_T_BULK);
    assert_non_null(strstr(chi_method_wrong(&m, &field), "more bulk regions"));
    assert_null(field);
    outer[16] = outer[30];
    outer[20] = outer[30];
    assert_null(chi_method_wrong(&m, &field));
}

/* A table that nests itself as often as it can: everything that looks at it comes to an end, and what can refuses it. */
static void method_wrong__a_table_inside_itself(void **state)
{
    (void)state;
    static struct chi_field self[CHI_FIELDS_MAX];
    for (unsigned i = 0; i < CHI_FIELDS_MAX; i++)
        self[i] = (struct chi_field)STRUCT_ROW(0, 1, 0, self, CHI_FIELDS_MAX, 4);
    struct chi_field outer[CHI_FIELDS_MAX];
    for (unsigned i = 0; i < CHI_FIELDS_MAX; i++)
        outer[i] = (struct chi_field)STRUCT_ROW(HEAD, 1, BOTH, self, CHI_FIELDS_MAX, 4);
    struct chi_method m = {"SELF", outer, NULL, NULL, BYTES, 0, CHI_FIELDS_MAX, 1, {0, 0}};
    _Alignas(8) uint8_t body[BYTES] = {0};
    uint8_t buf[64] = {0};
    struct chi_archive ar;
    assert_wrong(&m, "nested too deep", "s");
    assert_true(chi_method_hash(&m) != 0 && m.run[0] == 0);
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, buf, sizeof buf, NULL, 0);
    assert_int_equal(chi_ar_task(&ar, &m, (struct chi_task *)body), CHI_STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(method_wrong__names_what_and_where),
        cmocka_unit_test(ar_task__refuses_what_is_wrong),
        cmocka_unit_test(method_wrong__ends_of_each_range),
        cmocka_unit_test(method_wrong__a_table_inside_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
