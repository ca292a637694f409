#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "wire/drop.h"

static void chi_drop_name__each_has_one_of_its_own(void **state)
{
    (void)state;
    assert_string_equal(chi_drop_name(CHI_DROP_REGION_BOUNDS), "REGION_BOUNDS");
    assert_string_equal(chi_drop_text(CHI_DROP_CRC), "bad CRC32C");
    for (int i = 0; i < CHI_DROP_COUNT; i++) {
        assert_true(chi_drop_name(i)[0] != 0 && chi_drop_text(i)[0] != 0);
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(chi_drop_name(i), chi_drop_name(k));
            assert_string_not_equal(chi_drop_text(i), chi_drop_text(k));
        }
    }
}

static void chi_drop_name__out_of_range(void **state)
{
    (void)state;
    assert_string_equal(chi_drop_name(CHI_DROP_COUNT), "UNKNOWN");
    assert_string_equal(chi_drop_name((enum chi_drop) - 1), "UNKNOWN");
    assert_string_equal(chi_drop_text(CHI_DROP_COUNT), "unknown reason");
    assert_string_equal(chi_drop_text((enum chi_drop)100000), "unknown reason");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chi_drop_name__each_has_one_of_its_own),
        cmocka_unit_test(chi_drop_name__out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
