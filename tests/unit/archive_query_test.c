#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "chi/query.h"

static const struct {
    const char *text, *canonical;
    struct chi_query q;
} good[] = {
    {"local", "local", {CHI_QUERY_LOCAL, 0, 0}},
    {"direct:3", "direct:3", {CHI_QUERY_DIRECT_ID, 0, 3}},
    {"direct:0x10", "direct:16", {CHI_QUERY_DIRECT_ID, 0, 16}},
    {"hash:0x9e37", "hash:0x9e37", {CHI_QUERY_DIRECT_HASH, 0, 0x9e37}},
    {"hash:0xabcdef9876543210", "hash:0xabcdef9876543210", {CHI_QUERY_DIRECT_HASH, 0, 0xabcdef9876543210}},
    {"hash:0X1ABCDEF", "hash:0x1abcdef", {CHI_QUERY_DIRECT_HASH, 0, 0x1abcdef}},
    {"hash:18446744073709551615", "hash:0xffffffffffffffff", {CHI_QUERY_DIRECT_HASH, 0, UINT64_MAX}},
    {"range:0+16", "range:0+16", {CHI_QUERY_RANGE, 16, 0}},
    {"range:18446744073709551615+4294967295",
     "range:18446744073709551615+4294967295",
     {CHI_QUERY_RANGE, UINT32_MAX, UINT64_MAX}},
    {"broadcast", "broadcast", {CHI_QUERY_BROADCAST, 0, 0}},
    {"physical:4294967295", "physical:4294967295", {CHI_QUERY_PHYSICAL, 0, UINT32_MAX}},
    {"dynamic", "dynamic", {CHI_QUERY_DYNAMIC, 0, 0}},
};

static void query_parse__every_form(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct chi_query q = {99, 99, 99};
        assert_int_equal(chi_query_parse(good[i].text, &q), CHI_STATUS_OK);
        assert_int_equal(q.kind, good[i].q.kind);
        assert_int_equal(q.count, good[i].q.count);
        assert_true(q.value == good[i].q.value);
        char text[40];
        assert_int_equal(chi_query_format(&q, text, sizeof text), strlen(good[i].canonical));
        assert_string_equal(text, good[i].canonical);
    }
}

static void query_parse__refuses_and_leaves_alone(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "loca",
                                      "local ",
                                      "local:1",
                                      "direct",
                                      "direct:",
                                      "direct:x",
                                      "direct:-1",
                                      "direct:3 ",
                                      "direct:18446744073709551616",
                                      "hash:0x",
                                      "hash:0x10000000000000000",
                                      "range:1",
                                      "range:1+",
                                      "range:1+4294967296",
                                      "range:1+2+3",
                                      "physical:4294967296",
                                      "LOCAL",
                                      "dynamics",
                                      "direct:1a",
                                      "hash:0xg",
                                      "hash:0xG",
                                      "hash:0x1`",
                                      "hash:0x1@",
                                      "physical:99999999999999999999999"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct chi_query q = {99, 98, 97};
        assert_int_equal(chi_query_parse(bad[i], &q), CHI_STATUS_INVALID);
        assert_true(q.kind == 99 && q.count == 98 && q.value == 97);
    }
    struct chi_query q;
    assert_int_equal(chi_query_parse(NULL, &q), CHI_STATUS_INVALID);
}

static void query_format__cuts_at_cap(void **state)
{
    (void)state;
    struct chi_query q = chi_direct(1234);
    char text[8];
    memset(text, '#', sizeof text);
    assert_int_equal(chi_query_format(&q, text, 5), 11);
    assert_memory_equal(text, "dire\0###", 8);
    assert_int_equal(chi_query_format(&q, NULL, 0), 11);
    q.kind = 200;
    char long_text[40];
    chi_query_format(&q, long_text, sizeof long_text);
    assert_string_equal(long_text, "unknown:200");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(query_parse__every_form),
        cmocka_unit_test(query_parse__refuses_and_leaves_alone),
        cmocka_unit_test(query_format__cuts_at_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
