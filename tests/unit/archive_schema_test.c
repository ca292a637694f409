/* The hash of tables inside tables, and the table as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "archive_sample.h"

static uint32_t hash_of(const struct chi_field *f, uint16_t n)
{
    struct chi_method m = {"M", f, NULL, NULL, 4096, 0, n, 7, {0, 0}};
    return chi_method_hash(&m);
}

/* What lies inside is hashed in full, at any depth. */
static void method_hash__covers_inner_tables(void **state)
{
    (void)state;
    struct chi_field point[3], line[5], f[3];
    const uint32_t h = hash_of(nest_fields, 3);
    for (unsigned change = 0; change < 14; change++) {
        memcpy(point, point_items, sizeof point);
        memcpy(line, edge_items, sizeof line);
        memcpy(f, nest_fields, sizeof f);
        line[0].items = point;
        f[1].items = line;
        bool same = false;
        switch (change) {
        case 0: point[0].name = "z"; break;
        case 1: point[0].type = CHI_T_I32; break;
        case 2: point[1].count = 2; break;
        case 3: point[2] = point[1]; break;
        case 4: line[0].nitems = 2; break;
        case 5: line[4].count = 4; break;
        case 6: line[4].type = CHI_T_VEC | CHI_T_I64; break;
        case 7: line[1].name = "has"; break;
        case 8: line[1].type = CHI_T_BOOL; break;
        case 9: f[1].count = 4; break;
        case 10: f[1].type = CHI_T_STRUCT; break;
        case 11: f[1].dir = CHI_DIR_IN; break;
        case 12: same = true; break; /* copies are the same */
        default: /* where things lie, and how large they are, is this side's own affair */
            point[0].offset += 8, line[4].data += 8, line[0].size += 8, f[1].offset += 64;
            same = true;
        }
        if ((hash_of(f, 3) == h) != same)
            fail_msg("change %u", change);
    }
    struct chi_field custom[1] = {nest_fields[8]};
    const uint32_t hc = hash_of(custom, 1);
    assert_int_equal(custom[0].type, CHI_T_CUSTOM);
    custom[0].custom_name = "list_fn_v2";
    assert_int_not_equal(hash_of(custom, 1), hc);
    custom[0] = nest_fields[8];
    custom[0].count++;
    assert_int_not_equal(hash_of(custom, 1), hc);
}

/* All that is hashed, byte by byte: the value travels. */
static void method_hash__inner_bytes_are_frozen(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {
        7, 0,                                                                                              /* the method */
        'v', 0, 0x80 | 15, 3, 9, 0, 0, 0, 1, 0, 'x', 0, 3, 0, 1, 0, 0, 0,                                  /* a vector of structs of one u32 */
        'o', 0, 16, 1, 1, 0, 0, 0, 'c', 0, 17, 1, 5, 0, 0, 0, 'l', 'i', 's', 't', '_', 'f', 'n', 0, /* a function's, optional */
    };
    const struct chi_field f[] = {
        {"v", 64, 9, CHI_DIR_INOUT, CHI_T_VEC | CHI_T_STRUCT, 1, 8, 72, point_items, NULL, NULL},
        CHI_ROW("o", 200, 1, CHI_DIR_IN, CHI_T_OPTIONAL),
        {"c", 208, 5, CHI_DIR_IN, CHI_T_CUSTOM, 0, 10, 0, NULL, list_fn, "list_fn"},
    };
    uint32_t h = 2166136261u;
    for (unsigned i = 0; i < sizeof bytes; i++)
        h = (h ^ bytes[i]) * 16777619u;
    assert_int_equal(hash_of(f, 3), h);
}

static const char nest_text[] = "in at struct {x u32; y i16; seen bool}\n"
                                "inout lines vec<3> {from struct {x u32; y i16; seen bool}; to struct {x u32; y i16; seen bool} if has_to; "
                                "name str<6>; marks vec<3> u64}\n"
                                "out seen vec<2> {x u32; y i16; seen bool}\n"
                                "in flags vec<5> bool\n"
                                "out weights vec<4> f64\n"
                                "inout limit u32[2] if has_limit\n"
                                "in list custom<9> list_fn if has_list\n"
                                "in end bytes<3>\n";

static void schema_print__a_line_a_field(void **state)
{
    (void)state;
    char text[1024];
    assert_int_equal(chi_schema_print(&nest_method, text, sizeof text), sizeof nest_text - 1);
    assert_string_equal(text, nest_text);
    struct io {
        struct chi_task task;
        struct chi_bulk in, both, out, each;
    };
    const struct chi_field io[] = {CHI_BULK_IN_STREAM(struct io, in), CHI_BULK_INOUT(struct io, both), CHI_BULK_OUT(struct io, out),
                                   CHI_BULK_SLICED(INOUT, struct io, each)};
    struct chi_method m = CHI_METHOD(1, struct io, io);
    (void)chi_schema_print(&m, text, sizeof text);
    assert_string_equal(text, "in in bulk stream\ninout both bulk\nout out bulk\ninout each bulk sliced\n");
}

static void by_hand(struct chi_archive *ar, struct chi_task *task) { (void)ar, (void)task; }

static void schema_print__methods_without_fields(void **state)
{
    (void)state;
    char text[128];
    struct chi_method m = CHI_METHOD_BY_HAND(1, struct chi_task, by_hand, by_hand);
    (void)chi_schema_print(&m, text, sizeof text);
    assert_string_equal(text, "in: by the method's own function\nout: by the method's own function\n");
    m = (struct chi_method){"NONE", NULL, NULL, NULL, sizeof(struct chi_task), 0, 0, 1, {0, 0}};
    assert_int_equal(chi_schema_print(&m, text, sizeof text), 0);
    assert_string_equal(text, "");
}

/* As much as fits, with its NUL, and the length of all of it. */
static void schema_print__is_cut(void **state)
{
    (void)state;
    for (size_t cap = 0; cap <= sizeof nest_text + 1; cap++) {
        char *text = malloc(cap + 1);
        memset(text, '#', cap + 1);
        assert_int_equal(chi_schema_print(&nest_method, text, cap), sizeof nest_text - 1);
        assert_int_equal(text[cap], '#');
        if (cap) {
            size_t n = cap < sizeof nest_text ? cap - 1 : sizeof nest_text - 1;
            assert_memory_equal(text, nest_text, n);
            assert_int_equal(text[n], 0);
        }
        free(text);
    }
    assert_int_equal(chi_schema_print(&nest_method, NULL, 0), sizeof nest_text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(method_hash__covers_inner_tables),     cmocka_unit_test(method_hash__inner_bytes_are_frozen),
        cmocka_unit_test(schema_print__a_line_a_field),         cmocka_unit_test(schema_print__methods_without_fields),
        cmocka_unit_test(schema_print__is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
