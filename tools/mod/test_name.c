/* test_@name@.c - the method's table is right, what goes in comes out at the other side, and the sum is one. */
#include <stdio.h>

#include "@name@.h"

static int failed;
static void expect(bool holds, const char *what)
{
    if (holds)
        return;
    printf("%s does not hold\n", what);
    failed = 1;
}
#define EXPECT(e) expect(e, #e)

static void method__is_right(void)
{
    const char *field = NULL, *wrong = chi_method_wrong(&@name@_sum_method, &field);
    if (wrong)
        printf("%s: %s\n", field ? field : "the method", wrong);
    EXPECT(!wrong);
}

static void sum__travels_and_adds(void)
{
    struct @name@_sum origin = {.values = {3, {1, 2, 39}}}, target = {.sum = 0};
    uint8_t form[sizeof origin];
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, form, sizeof form, NULL, 0);
    EXPECT(chi_ar_task(&ar, &@name@_sum_method, &origin.task) == CHI_STATUS_OK);
    chi_ar_init(&ar, CHI_AR_INPUT_IN, form, ar.pos, NULL, 0);
    EXPECT(chi_ar_task(&ar, &@name@_sum_method, &target.task) == CHI_STATUS_OK);
    EXPECT(target.values.len == 3 && target.values.data[2] == 39);
    EXPECT(@name@_sum_run(&target) == CHI_STATUS_OK && target.sum == 42);
    origin.values.len = @NAME@_VALUES_MAX + 1;
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, form, sizeof form, NULL, 0);
    EXPECT(chi_ar_task(&ar, &@name@_sum_method, &origin.task) == CHI_STATUS_INVALID);
}

int main(void)
{
    method__is_right();
    sum__travels_and_adds();
    return failed;
}
