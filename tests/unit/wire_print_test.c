#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/prng.h"
#include "wire_support.h"

static void assert_line(const uint8_t *p, size_t n, const char *want)
{
    char line[512];
    assert_int_equal(wire_print(p, n, line, sizeof line), strlen(want));
    assert_string_equal(line, want);
}

static size_t data_header(uint8_t *p, size_t length)
{
    wire_put_header(
        p, &(struct wire_header){.kind = WIRE_KIND_DATA, .length = (uint16_t)length, .session = 7, .number = 9});
    le32_put(p + 4, 0xc0ffee);
    return WIRE_HEADER_BYTES;
}

static void wire_print__frames(void **state)
{
    (void)state;
    uint8_t p[SAMPLE_MAX];
    size_t n = WIRE_HEADER_BYTES;
    n += wire_put_ack(p + n, &(struct wire_ack){.delay_ns = 25, .count = 2, .r = {{5, 6}, {1, 3}}});
    n += sample_frame(p + n, 4);
    n += sample_frame(p + n, 6);
    n += sample_frame(p + n, 1);
    n += sample_frame(p + n, 11);
    n += sample_frame(p + n, 12);
    n += sample_frame(p + n, 13);
    n += sample_frame(p + n, 14);
    n += sample_frame(p + n, SAMPLE_TWO);
    data_header(p, n);
    assert_line(
        p, n,
        "DATA version 1 length 371 crc c0ffee session 7 number 9: ACK 5-6 1-3 delay_ns 25; "
        "TASK_OUT 5.6 status 0 form 9 inline 9 used 1 used 4294967296; SEGMENT 8.9 region 16 offset 4096 length 100; "
        "TASK_IN|WAITS 65535.4294967295 form 65536 inline 56; "
        "CANCEL 9.4294967295; GRANT|AGAIN 3.4 bytes 1099511627776; PAD length 30; PORT number 200; PING; CLOSE reason 1");
    p[12] = 3;
    p[14] = 1;
    p[n - 1] = 1;
    p[WIRE_HEADER_BYTES] = 200;
    assert_line(p, n, "DATA version 1 length 371 crc c0ffee session 7 number 9 capable 3 marked 1: bad: FRAME_TYPE at 24");
}

static void wire_print__hello_and_refuse(void **state)
{
    (void)state;
    uint8_t p[WIRE_HELLO_BYTES];
    struct wire_hello h = sample_hello();
    h.cluster[1] = '\n';
    h.incarnation = 17;
    h.peer_incarnation = 0;
    wire_put_hello(p, &h);
    assert_line(p, sizeof p,
                "HELLO version 1 length 104 crc 0 node 7 incarnation 17 session 3735928559 peer_incarnation 0 "
                "peer_session 16909060 worker 3 of 4 packet_max 8972 slots 4096 credit 65536 cluster \"d.mo\" reply_wanted");
    memcpy(h.cluster, " ~\"\x7f", 4);
    h.flags = WIRE_HELLO_ECN | WIRE_HELLO_PAD | WIRE_HELLO_PORT;
    wire_put_hello(p, &h);
    assert_line(p, sizeof p,
                "HELLO version 1 length 104 crc 0 node 7 incarnation 17 session 3735928559 peer_incarnation 0 "
                "peer_session 16909060 worker 3 of 4 packet_max 8972 slots 4096 credit 65536 cluster \" ~..\" ecn pad port");
    p[70] = 1;
    assert_line(p, sizeof p, "HELLO version 1 length 104 crc 0 bad: RESERVED at 104");
    p[0] = 3;
    assert_line(p, sizeof p, "HELLO version 3 length 104 crc 0");
    wire_put_refuse(p, &(struct wire_refuse){
                           .incarnation = 1, .node = 2, .session = 3, .reason = WIRE_REFUSE_CLUSTER, .version = 4});
    assert_line(p, WIRE_REFUSE_BYTES,
                "REFUSE version 1 length 48 crc 0 CLUSTER node 2 incarnation 1 session 3 speaks 4");
}

static void wire_print__bad_headers(void **state)
{
    (void)state;
    uint8_t p[WIRE_HEADER_BYTES] = {0};
    assert_line(p, 0, "bad: TRUNCATED at 0");
    assert_line(p, 23, "bad: TRUNCATED at 23");
    data_header(p, 500);
    assert_line(p, sizeof p, "DATA version 1 length 500 crc c0ffee bad: TRUNCATED at 24");
    p[1] = 99;
    assert_line(p, sizeof p, "bad: KIND at 1");
}

/* Every room from none on: the length is always that of the whole line, and nothing is written behind it. */
static void wire_print__any_room(void **state)
{
    (void)state;
    uint8_t p[SAMPLE_MAX];
    size_t n = WIRE_HEADER_BYTES + sample_frame(p + WIRE_HEADER_BYTES, 4);
    data_header(p, n);
    char whole[256];
    int length = wire_print(p, n, whole, sizeof whole);
    assert_int_equal(wire_print(p, n, NULL, 0), length);
    for (size_t cap = 1; cap < (size_t)length + 5; cap++) {
        char *out = malloc(cap);
        assert_int_equal(wire_print(p, n, out, cap), length);
        size_t kept = cap <= (size_t)length ? cap - 1 : (size_t)length;
        assert_memory_equal(out, whole, kept);
        assert_int_equal(out[kept], 0);
        free(out);
    }
}

static void wire_print__random_damage(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 21);
    for (int round = 0; round < 20000; round++) {
        uint8_t p[WIRE_HEADER_BYTES + SAMPLE_MAX];
        size_t n = WIRE_HEADER_BYTES + sample_frame(p + WIRE_HEADER_BYTES, (unsigned)prng_below(&prng, SAMPLES));
        data_header(p, n);
        struct wire_hello h = sample_hello();
        if (round % 3 == 0)
            n = wire_put_hello(p, &h);
        for (uint64_t flips = prng_below(&prng, 5); flips > 0; flips--)
            p[prng_below(&prng, prng_chance(&prng, 500000) ? 24 : n)] ^= (uint8_t)(1u << prng_below(&prng, 8));
        if (prng_chance(&prng, 300000))
            n = prng_below(&prng, n + 1);
        uint8_t *copy = exact_copy(p, n);
        char line[2048];
        int length = wire_print(copy, n, line, sizeof line);
        assert_true(length > 0);
        for (int i = 0; i < length && i < (int)sizeof line - 1; i++)
            assert_true(line[i] >= ' ' && line[i] <= '~'); /* one line of plain text */
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wire_print__frames),        cmocka_unit_test(wire_print__hello_and_refuse),
        cmocka_unit_test(wire_print__bad_headers),   cmocka_unit_test(wire_print__any_room),
        cmocka_unit_test(wire_print__random_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
