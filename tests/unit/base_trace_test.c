#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/trace.h"

static void trace_put__keeps_the_newest(void **state)
{
    (void)state;
    static struct trace t;
    for (uint64_t i = 0; i < TRACE_SIZE + 3; i++)
        trace_put(&t, 10 * i, i % 2 ? "odd" : "even", i, i + 1);
    assert_int_equal(t.n, TRACE_SIZE + 3);
    for (uint64_t i = 3; i < TRACE_SIZE + 3; i++) { /* the first three are gone */
        const struct trace_entry *e = &t.e[i % TRACE_SIZE];
        assert_true(e->now_ns == 10 * i && e->a == i && e->b == i + 1);
        assert_string_equal(e->what, i % 2 ? "odd" : "even");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(trace_put__keeps_the_newest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
