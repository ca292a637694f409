#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "chi/status.h"

static void status_name__known_and_unknown(void **state)
{
    (void)state;
    assert_string_equal(chi_status_name(CHI_STATUS_NO_POOL), "NO_POOL");
    assert_string_equal(chi_status_text(CHI_STATUS_NO_POOL), "the node has no such pool");
    assert_string_equal(chi_status_name((enum chi_status)9999), "UNKNOWN");
    assert_string_equal(chi_status_text((enum chi_status)9999), "unknown status");
}

/* The numbers travel: this list is the frozen one. */
static void status_number__frozen(void **state)
{
    (void)state;
    static const struct {
        int number;
        const char *name;
    } frozen[] = {{0, "OK"},
                  {1, "PENDING"},
                  {10, "INVALID"},
                  {11, "NO_POOL"},
                  {12, "NO_METHOD"},
                  {13, "NO_CONTAINER"},
                  {14, "NO_NODE"},
                  {15, "SCHEMA"},
                  {16, "TOO_BIG"},
                  {17, "NO_ROUTE"},
                  {18, "ARCHIVE"},
                  {19, "UNSUPPORTED"},
                  {20, "NO_MEMORY"},
                  {21, "BUSY"},
                  {30, "DEADLINE"},
                  {31, "PEER_DOWN"},
                  {32, "PEER_RESTARTED"},
                  {33, "PEER_VERSION"},
                  {34, "PEER_CLUSTER"},
                  {36, "DRAINING"},
                  {37, "MOVED"},
                  {40, "SHUTDOWN"},
                  {41, "DISCONNECTED"},
                  {42, "TIMED_OUT"},
                  {50, "MODULE"},
                  {51, "NO_MODULE"}};
    for (unsigned i = 0; i < sizeof frozen / sizeof frozen[0]; i++)
        assert_string_equal(chi_status_name((enum chi_status)frozen[i].number), frozen[i].name);
}

static void status_known__exactly_the_list(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 70000; n++)
        assert_int_equal(chi_status_known(n), strcmp(chi_status_name((enum chi_status)n), "UNKNOWN") != 0);
    assert_false(chi_status_known(UINT32_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_name__known_and_unknown),
        cmocka_unit_test(status_number__frozen),
        cmocka_unit_test(status_known__exactly_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
