/* The largest form and answer of a method, as libchi reckons them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "archive_sample.h"
#include "client/internal.h"

struct flat {
    struct chi_task task;
    uint64_t a[3];
    bool b;
    CHI_STR_T(10) text;
    struct chi_bulk in, out;
};
CHI_FIELDS(flat_fields) = {CHI_IN(U64, struct flat, a), CHI_OUT(BOOL, struct flat, b), CHI_STR(INOUT, struct flat, text),
                           CHI_BULK_IN(struct flat, in), CHI_BULK_OUT(struct flat, out)};
CHI_METHOD_VAR(flat_method) = CHI_METHOD(1, struct flat, flat_fields);

static void by_hand(struct chi_archive *ar, struct chi_task *task) { (void)ar, (void)task; }

static void bound__adds_up_the_table(void **state)
{
    (void)state;
    assert_int_equal(bound_in(&flat_method), FORM_HEAD_BYTES + 2 * FORM_REGION_BYTES + 24 + 14);
    assert_int_equal(bound_out(&flat_method), 1 + 14 + 8);
    assert_int_equal(bound_in(&nest_method), FORM_HEAD_BYTES + NEST_IN_BYTES);
    assert_int_equal(bound_out(&nest_method), NEST_OUT_BYTES);
    struct chi_method m = CHI_METHOD_BY_HAND(1, struct flat, by_hand, by_hand);
    assert_true(bound_in(&m) == BOUND_BY_HAND && bound_out(&m) == BOUND_BY_HAND);
}

/* A form that fills all that is reckoned with is written into that much. */
static void bound__holds_the_largest_form(void **state)
{
    (void)state;
    struct nest t = {.task = {.method = &nest_method, .query = chi_local()}};
    t.lines.len = 3;
    for (unsigned i = 0; i < 3; i++)
        t.lines.data[i].has_to = true, t.lines.data[i].name.len = 6, t.lines.data[i].marks.len = 3;
    t.flags.len = 5;
    t.has_limit = t.has_list = true;
    t.list.n = 4;
    t.end.len = 3;
    uint8_t form[FORM_HEAD_BYTES + NEST_IN_BYTES];
    struct chi_ar_region r[CHI_REGIONS_MAX];
    uint32_t n;
    enum chi_status st;
    assert_int_equal(form_save(form, bound_in(&nest_method), &t.task, r, &n, NULL, NULL, &st), bound_in(&nest_method));
    assert_int_equal(form_save(form, bound_in(&nest_method) - 1, &t.task, r, &n, NULL, NULL, &st), 0);
    assert_int_equal(st, CHI_STATUS_TOO_BIG);
}

/* What exceeds any form, and what nests itself, is as large as a form may be; it takes no time to find out. */
static void bound__has_an_end(void **state)
{
    (void)state;
    static struct chi_field self[CHI_FIELDS_MAX];
    for (unsigned i = 0; i < CHI_FIELDS_MAX; i++)
        self[i] = (struct chi_field){"s", 0, UINT32_MAX, 0, CHI_T_VEC | CHI_T_STRUCT, CHI_FIELDS_MAX, 4, 0, self, NULL, NULL};
    struct chi_field f[2] = {self[0], self[0]};
    f[0].dir = f[1].dir = CHI_DIR_INOUT;
    struct chi_method m = {"SELF", f, NULL, NULL, 4096, 0, 2, 1, {0, 0}};
    assert_true(bound_in(&m) == CHI_FORM_BYTES_MAX && bound_out(&m) == CHI_FORM_BYTES_MAX);
    f[0] = f[1] = (struct chi_field){"c", 64, CHI_FORM_BYTES_MAX, CHI_DIR_OUT, CHI_T_CUSTOM, 0, 4, 0, NULL, list_fn, "list_fn"};
    assert_true(bound_in(&m) == FORM_HEAD_BYTES && bound_out(&m) == CHI_FORM_BYTES_MAX);
    f[0] = f[1] = (struct chi_field){"v", 64, UINT32_MAX, CHI_DIR_OUT, CHI_T_VEC | CHI_T_U64, 0, 8, 72, NULL, NULL, NULL};
    assert_int_equal(bound_out(&m), CHI_FORM_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bound__adds_up_the_table),
        cmocka_unit_test(bound__holds_the_largest_form),
        cmocka_unit_test(bound__has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
