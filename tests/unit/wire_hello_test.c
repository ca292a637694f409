#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "panics.h"
#include "wire_support.h"

static void wire_get_hello__round_trip(void **state)
{
    (void)state;
    uint8_t p[WIRE_HELLO_BYTES + 40];
    memset(p, 0xff, sizeof p);
    struct wire_hello h = sample_hello(), got;
    memset(h.cluster + 4, 0x55, WIRE_CLUSTER_MAX - 4); /* not sent */
    assert_int_equal(wire_put_hello(p, &h), WIRE_HELLO_BYTES);
    wire_seal(p, WIRE_HELLO_BYTES, slow_crc32c);
    struct wire_header head;
    assert_int_equal(wire_open(p, sizeof p, slow_crc32c, &head), CHI_DROP_NONE);
    assert_int_equal(head.kind, WIRE_KIND_HELLO);
    assert_int_equal(wire_get_hello(p, sizeof p, &got), CHI_DROP_NONE); /* padding behind it */
    assert_true(got.incarnation == h.incarnation && got.peer_incarnation == h.peer_incarnation);
    assert_true(got.node == h.node && got.session == h.session && got.peer_session == h.peer_session);
    assert_true(got.worker == h.worker && got.workers == h.workers && got.packet_max == h.packet_max);
    assert_true(got.flags == h.flags && got.cluster_length == h.cluster_length && got.slots == h.slots);
    static const char want[WIRE_CLUSTER_MAX] = "demo";
    assert_memory_equal(got.cluster, want, WIRE_CLUSTER_MAX);
}

static void wire_get_hello__longest_and_empty_name(void **state)
{
    (void)state;
    uint8_t p[WIRE_HELLO_BYTES];
    struct wire_hello h = sample_hello(), got;
    h.cluster_length = WIRE_CLUSTER_MAX;
    memset(h.cluster, 'x', WIRE_CLUSTER_MAX);
    wire_put_hello(p, &h);
    assert_int_equal(wire_get_hello(p, sizeof p, &got), CHI_DROP_NONE);
    assert_memory_equal(got.cluster, h.cluster, WIRE_CLUSTER_MAX);
    h.cluster_length = 0;
    wire_put_hello(p, &h);
    assert_int_equal(wire_get_hello(p, sizeof p, &got), CHI_DROP_NONE);
}

static void put_long_name(void)
{
    uint8_t p[2 * WIRE_HELLO_BYTES];
    struct wire_hello h = sample_hello();
    h.cluster_length = WIRE_CLUSTER_MAX + 1;
    wire_put_hello(p, &h);
}
static void wire_put_hello__a_longer_name_panics(void **state)
{
    (void)state;
    assert_true(panics(put_long_name));
}

static void wire_get_hello__length(void **state)
{
    (void)state;
    uint8_t p[WIRE_HELLO_BYTES + 8] = {0};
    struct wire_hello h = sample_hello(), got;
    wire_put_hello(p, &h);
    for (size_t cut = 0; cut < WIRE_HELLO_BYTES; cut++) {
        uint8_t *copy = exact_copy(p, cut);
        assert_int_equal(wire_get_hello(copy, cut, &got), CHI_DROP_TRUNCATED);
        free(copy);
    }
    le16_put(p + 2, WIRE_HELLO_BYTES - 1);
    assert_int_equal(wire_get_hello(p, sizeof p, &got), CHI_DROP_TRUNCATED);
    le16_put(p + 2, WIRE_HELLO_BYTES + 1);
    assert_int_equal(wire_get_hello(p, sizeof p, &got), CHI_DROP_FRAME_LENGTH);
}

static enum chi_drop judge(const struct wire_hello *h)
{
    uint8_t p[WIRE_HELLO_BYTES];
    struct wire_hello got;
    wire_put_hello(p, h);
    return wire_get_hello(p, sizeof p, &got);
}

static void wire_get_hello__values(void **state)
{
    (void)state;
    struct wire_hello h = sample_hello();
    h.incarnation = 0;
    assert_int_equal(judge(&h), CHI_DROP_FRAME_VALUE);
    h = sample_hello(), h.session = 0;
    assert_int_equal(judge(&h), CHI_DROP_FRAME_VALUE);
    h = sample_hello(), h.worker = h.workers;
    assert_int_equal(judge(&h), CHI_DROP_FRAME_VALUE);
    h = sample_hello(), h.packet_max = WIRE_PACKET_MIN - 1;
    assert_int_equal(judge(&h), CHI_DROP_FRAME_VALUE);
    h.packet_max = WIRE_PACKET_MAX + 1;
    assert_int_equal(judge(&h), CHI_DROP_FRAME_VALUE);
    h.packet_max = WIRE_PACKET_MIN;
    assert_int_equal(judge(&h), CHI_DROP_NONE);
    h.packet_max = WIRE_PACKET_MAX;
    assert_int_equal(judge(&h), CHI_DROP_NONE);
    h.slots = WIRE_SLOTS_MAX;
    assert_int_equal(judge(&h), CHI_DROP_NONE);
    h.slots = WIRE_SLOTS_MAX + 1;
    assert_int_equal(judge(&h), CHI_DROP_FRAME_VALUE);
    uint8_t p[WIRE_HELLO_BYTES];
    struct wire_hello got;
    h = sample_hello();
    wire_put_hello(p, &h);
    p[59] = WIRE_CLUSTER_MAX + 1;
    assert_int_equal(wire_get_hello(p, sizeof p, &got), CHI_DROP_FRAME_VALUE);
}

static void wire_get_hello__reserved(void **state)
{
    (void)state;
    uint8_t p[WIRE_HELLO_BYTES];
    struct wire_hello h = sample_hello(), got;
    static const uint8_t zeros[] = {68, 69, 80, 95, 100, 103}; /* behind the name and at the end */
    for (unsigned i = 0; i < sizeof zeros; i++) {
        wire_put_hello(p, &h);
        p[zeros[i]] = 1;
        assert_int_equal(wire_get_hello(p, sizeof p, &got), CHI_DROP_RESERVED);
    }
    for (unsigned bit = 1; bit < 8; bit++) {
        h.flags = (uint8_t)(1u << bit); /* of a later version: not for us */
        assert_int_equal(judge(&h), CHI_DROP_NONE);
    }
}

static void wire_get_refuse__round_trip_in_any_version(void **state)
{
    (void)state;
    struct wire_refuse r = {.incarnation = 99, .node = 5, .session = 6, .version = 2}, got;
    for (r.reason = WIRE_REFUSE_VERSION; r.reason <= WIRE_REFUSE_SESSION; r.reason++) {
        uint8_t p[WIRE_REFUSE_BYTES];
        assert_int_equal(wire_put_refuse(p, &r), WIRE_REFUSE_BYTES);
        p[0] = 77;
        wire_seal(p, sizeof p, slow_crc32c);
        struct wire_header head;
        assert_int_equal(wire_open(p, sizeof p, slow_crc32c, &head), CHI_DROP_NONE);
        assert_int_equal(wire_get_refuse(p, sizeof p, &got), CHI_DROP_NONE);
        assert_true(got.incarnation == 99 && got.node == 5 && got.session == 6);
        assert_true(got.reason == r.reason && got.version == 2);
    }
}

static void wire_get_refuse__bad(void **state)
{
    (void)state;
    struct wire_refuse r = {.incarnation = 99, .node = 5, .reason = WIRE_REFUSE_CLUSTER, .version = 1}, got;
    uint8_t p[WIRE_REFUSE_BYTES + 8] = {0};
    wire_put_refuse(p, &r);
    for (size_t cut = 0; cut < WIRE_REFUSE_BYTES; cut++) {
        uint8_t *copy = exact_copy(p, cut);
        assert_int_equal(wire_get_refuse(copy, cut, &got), CHI_DROP_TRUNCATED);
        free(copy);
    }
    for (unsigned at = 42; at < WIRE_REFUSE_BYTES; at++) {
        p[at] = 0x80;
        assert_int_equal(wire_get_refuse(p, sizeof p, &got), CHI_DROP_RESERVED);
        p[at] = 0;
    }
    static const uint8_t reasons[] = {0, 5, 255};
    for (unsigned i = 0; i < sizeof reasons; i++) {
        p[40] = reasons[i];
        assert_int_equal(wire_get_refuse(p, sizeof p, &got), CHI_DROP_FRAME_VALUE);
    }
    p[40] = WIRE_REFUSE_SESSION;
    assert_int_equal(wire_get_refuse(p, sizeof p, &got), CHI_DROP_NONE);
    le16_put(p + 2, WIRE_REFUSE_BYTES + 4);
    assert_int_equal(wire_get_refuse(p, sizeof p, &got), CHI_DROP_FRAME_LENGTH);
}

static void wire_peek_foreign_hello__only_that(void **state)
{
    (void)state;
    uint8_t p[WIRE_HELLO_BYTES], version = 0;
    struct wire_hello h = sample_hello();
    wire_put_hello(p, &h);
    assert_false(wire_peek_foreign_hello(p, sizeof p, &version)); /* ours */
    p[0] = 9;
    assert_true(wire_peek_foreign_hello(p, sizeof p, &version));
    assert_int_equal(version, 9);
    assert_true(wire_peek_foreign_hello(p, WIRE_HEADER_BYTES, &version));
    for (size_t cut = 0; cut < WIRE_HEADER_BYTES; cut++)
        assert_false(wire_peek_foreign_hello(p, cut, &version));
    p[1] = WIRE_KIND_REFUSE; /* never answer a refusal with one */
    assert_false(wire_peek_foreign_hello(p, sizeof p, &version));
    p[1] = WIRE_KIND_DATA;
    assert_false(wire_peek_foreign_hello(p, sizeof p, &version));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wire_get_hello__round_trip), cmocka_unit_test(wire_get_hello__longest_and_empty_name),
        cmocka_unit_test(wire_put_hello__a_longer_name_panics),
        cmocka_unit_test(wire_get_hello__length),     cmocka_unit_test(wire_get_hello__values),
        cmocka_unit_test(wire_get_hello__reserved),   cmocka_unit_test(wire_get_refuse__round_trip_in_any_version),
        cmocka_unit_test(wire_get_refuse__bad),       cmocka_unit_test(wire_peek_foreign_hello__only_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
