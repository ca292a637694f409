#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "control/nearest.h"

static void nearest_distance__counts_edits_in_half_steps(void **state)
{
    static const struct {
        const char *a, *b;
        unsigned distance;
    } cases[] = {
        {"", "", 0},           {"", "abc", 6},         {"abc", "", 6},        {"stats", "stats", 0},
        {"stat", "stats", 2},  {"statss", "stats", 2}, {"stots", "stats", 2}, {"tsats", "stats", 2},
        {"Stats", "stats", 1}, {"stop", "stats", 6},   {"ab", "ba", 2},       {"kitten", "sitting", 6},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(nearest_distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(nearest_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}

static void nearest_distance__reads_no_more_than_the_limit(void **state)
{
    char a[NEAREST_WORD_MAX + 100], b[NEAREST_WORD_MAX + 100];
    (void)state;
    memset(a, 'x', sizeof(a) - 1);
    memset(b, 'x', sizeof(b) - 1);
    a[sizeof(a) - 1] = b[sizeof(b) - 1] = 0;
    b[NEAREST_WORD_MAX] = 'y';
    assert_int_equal(nearest_distance(a, b), 0);
    b[NEAREST_WORD_MAX - 1] = 'y';
    assert_int_equal(nearest_distance(a, b), 2);
}

static void nearest_offer__keeps_the_first_of_the_nearest(void **state)
{
    struct nearest n;
    (void)state;
    nearest_init(&n, "lsit");
    assert_null(n.best);
    nearest_offer(&n, "stop");
    nearest_offer(&n, "list");
    nearest_offer(&n, "lists");
    nearest_offer(&n, "slit");
    assert_string_equal(n.best, "list");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_distance__counts_edits_in_half_steps),
        cmocka_unit_test(nearest_distance__reads_no_more_than_the_limit),
        cmocka_unit_test(nearest_offer__keeps_the_first_of_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
