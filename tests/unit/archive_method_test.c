#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chi/archive.h"

static const struct chi_field base[] = {
    CHI_ROW("a", 64, 1, CHI_DIR_IN, CHI_T_U64),
    CHI_ROW("b", 72, 4, CHI_DIR_OUT, CHI_T_U8),
};

static uint32_t hash_of(const struct chi_field *f, uint16_t n, uint16_t id)
{
    struct chi_method m = {"M", f, NULL, NULL, 256, 0, n, id, {0, 0}};
    return chi_method_hash(&m);
}

static void by_hand(struct chi_archive *ar, struct chi_task *task)
{
    (void)ar;
    (void)task;
}

static void method_hash__covers_each_property(void **state)
{
    (void)state;
    const uint32_t h = hash_of(base, 2, 7);
    assert_int_not_equal(h, 0);
    assert_int_equal(hash_of(base, 2, 7), h);
    assert_int_not_equal(hash_of(base, 2, 8), h);
    assert_int_not_equal(hash_of(base, 1, 7), h);
    struct chi_field f[2];
    for (unsigned change = 0; change < 6; change++) {
        f[0] = base[0];
        f[1] = base[1];
        if (change == 0)
            f[1].name = "c";
        else if (change == 1)
            f[1].dir = CHI_DIR_INOUT;
        else if (change == 2)
            f[1].type = CHI_T_I8;
        else if (change == 3)
            f[1].count = 5;
        else if (change == 4)
            f[0].dir = CHI_DIR_IN | CHI_STREAM;
        else
            f[0] = base[1], f[1] = base[0]; /* their order */
        assert_int_not_equal(hash_of(f, 2, 7), h);
    }
    /* Where a field lies is this side's own affair. */
    f[0] = base[0];
    f[1] = base[1];
    f[1].offset = 128;
    assert_int_equal(hash_of(f, 2, 7), h);
}

/* Names do not run together: {"ab", "c"} is not {"a", "bc"}. */
static void method_hash__separates_names(void **state)
{
    (void)state;
    const struct chi_field one[] = {CHI_ROW("ab", 64, 1, 1, 1)}, two[] = {CHI_ROW("a", 64, 1, 1, 1)};
    assert_int_not_equal(hash_of(one, 1, 1), hash_of(two, 1, 1));
}

/* All that is hashed, byte by byte: the value travels, so it is the same in every build. */
static void method_hash__bytes_are_frozen(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {2, 1, 'c', 'd', 0, 4, 3, 4, 3, 2, 1, 'e', 0, 1, 1, 1, 0, 0, 0};
    const struct chi_field f[] = {CHI_ROW("cd", 64, 0x01020304, CHI_DIR_INOUT, CHI_T_U64), CHI_ROW("e", 72, 1, CHI_DIR_IN, CHI_T_U8)};
    uint32_t h = 2166136261u;
    for (unsigned i = 0; i < sizeof bytes; i++)
        h = (h ^ bytes[i]) * 16777619u;
    assert_int_equal(hash_of(f, 2, 0x0102), h);
}

/* FNV-1a over the two bytes of id 7: computed by hand from the published constants. */
static void method_hash__is_fnv1a(void **state)
{
    (void)state;
    uint32_t h = 2166136261u;
    h = (h ^ 7) * 16777619u;
    h = (h ^ 0) * 16777619u;
    assert_int_equal(hash_of(NULL, 0, 7), h);
}

static void method_hash__by_hand_covers_the_name(void **state)
{
    (void)state;
    struct chi_method one = CHI_METHOD_BY_HAND(7, struct chi_task, by_hand, by_hand), two = one;
    two.name = "SEVEN_V2";
    assert_int_not_equal(chi_method_hash(&one), chi_method_hash(&two));
    /* One direction by hand is enough. */
    one = (struct chi_method){"M", base, by_hand, NULL, 256, 0, 2, 7, {0, 0}}, two = one;
    two.name = "M2";
    assert_int_not_equal(chi_method_hash(&one), chi_method_hash(&two));
    one = (struct chi_method){"M", base, NULL, by_hand, 256, 0, 2, 7, {0, 0}}, two = one;
    two.name = "M2";
    assert_int_not_equal(chi_method_hash(&one), chi_method_hash(&two));
    /* Without one the name is this side's own affair. */
    one = (struct chi_method){"M", base, NULL, NULL, 256, 0, 2, 7, {0, 0}};
    two = (struct chi_method){"M2", base, NULL, NULL, 256, 0, 2, 7, {0, 0}};
    assert_int_equal(chi_method_hash(&one), chi_method_hash(&two));
}

/* FNV-1a of id 1 and this name, NUL included, is 0, which would say "not computed yet". */
static void method_hash__is_never_0(void **state)
{
    (void)state;
    struct chi_method m = {"TSSAZXW", NULL, by_hand, by_hand, 256, 0, 0, 1, {0, 0}};
    assert_int_equal(chi_method_hash(&m), 1);
}

static void method_hash__is_kept(void **state)
{
    (void)state;
    struct chi_method m = {"M", base, NULL, NULL, 256, 0, 2, 7, {0, 0}};
    uint32_t h = chi_method_hash(&m);
    assert_int_equal(m.hash, h);
    m.hash = 12345;
    assert_int_equal(chi_method_hash(&m), 12345);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(method_hash__covers_each_property),
        cmocka_unit_test(method_hash__separates_names),
        cmocka_unit_test(method_hash__bytes_are_frozen),
        cmocka_unit_test(method_hash__is_fnv1a),
        cmocka_unit_test(method_hash__by_hand_covers_the_name),
        cmocka_unit_test(method_hash__is_never_0),
        cmocka_unit_test(method_hash__is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
