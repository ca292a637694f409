/* A link between two raw ports: net_ring gives back on a port what was sent to it, so one thread is everybody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "net/raw.h"

enum { HELD = 256, FRAME = 200, MTU = 1500, RING = 1023 /* what a net_ring holds */ };

static struct raw *a, *b;
static struct raw_link *link;
static const uint64_t START = 1000;

static int group_setup(void **state)
{
    char err[NET_ERROR_BYTES];
    struct net_options o = {.name = "link test", .memory_bytes = 128 << 20, .workers = 1, .udp_port = 1};
    (void)state;
    if (raw_start(&o, err) || raw_open("net_ring0", 0, MTU, 0, &a, err) || raw_open("net_ring1", 0, MTU, 0, &b, err)) {
        fprintf(stderr, "%s\n", err);
        return -1;
    }
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    raw_close(a);
    raw_close(b);
    raw_stop();
    return 0;
}

static uint32_t take(uint8_t *f)
{
    return raw_receive(b, f, FRAME);
}

static int setup(void **state)
{
    (void)state;
    return raw_link_open(a, b, 1, HELD, &link);
}

static int teardown(void **state)
{
    uint8_t f[FRAME];
    (void)state;
    raw_link_close(link);
    while (take(f))
        ;
    return 0;
}

static void send(struct raw *r, uint16_t number)
{
    uint8_t f[FRAME];
    memset(f, number & 255, sizeof f);
    memcpy(f, &number, sizeof number);
    assert_true(raw_send(r, f, sizeof f));
}

static void expect(uint16_t number)
{
    uint8_t f[FRAME];
    assert_int_equal(take(f), FRAME);
    assert_memory_equal(f, &number, sizeof number);
    for (size_t i = sizeof number; i < FRAME; i++)
        assert_int_equal(f[i], number & 255);
}

static void link__passes_all_on_in_order(void **state)
{
    uint8_t f[FRAME];
    (void)state;
    for (uint16_t i = 0; i < 100; i++)
        send(a, i);
    assert_int_equal(raw_link_turn_st(link, START), 2 * NET_BURST); /* in and out */
    while (raw_link_turn_st(link, START))
        ;
    for (uint16_t i = 0; i < 100; i++)
        expect(i);
    assert_int_equal(take(f), 0);
    assert_int_equal(raw_link_stats(link)->sent, 100);
    assert_int_equal(raw_link_stats(link)->sent_bytes, 100 * FRAME);
    assert_int_equal(raw_link_due_ns(link), UINT64_MAX);
}

static void link__keeps_what_is_under_way_until_it_is_due(void **state)
{
    struct impair_settings s = impair_none;
    uint8_t f[FRAME];
    (void)state;
    s.delay_ns = 500;
    raw_link_set_st(link, &s);
    send(a, 7);
    assert_int_equal(raw_link_turn_st(link, START), 1);
    assert_int_equal(raw_link_due_ns(link), START + 500);
    assert_int_equal(raw_link_turn_st(link, START + 499), 0);
    assert_int_equal(take(f), 0);
    assert_int_equal(raw_link_turn_st(link, START + 500), 1);
    expect(7);
}

static void link__waits_for_a_far_port_that_is_full(void **state)
{
    enum { MORE = 200 };
    uint16_t next = 0;
    (void)state;
    for (uint16_t i = 0; i < RING; i++)
        send(b, i);
    for (uint16_t i = 0; i < MORE; i++)
        send(a, RING + i);
    while (raw_link_turn_st(link, START))
        ;
    assert_int_equal(raw_link_due_ns(link), 0);
    assert_int_equal(raw_link_stats(link)->received, NET_BURST); /* the others wait before the near port */
    assert_int_equal(raw_link_stats(link)->sent, 0);
    for (; next < 5; next++)
        expect(next);
    assert_int_equal(raw_link_turn_st(link, START), 5);
    while (next < RING + MORE) {
        expect(next++);
        raw_link_turn_st(link, START);
    }
    assert_int_equal(raw_link_stats(link)->sent, MORE);
    assert_int_equal(raw_link_stats(link)->unsent, 0);
}

/* The pool is far smaller than what passes, so that a packet which is not given back is noticed. */
static void link__duplicates_share_a_packet_and_give_it_back(void **state)
{
    struct impair_settings s = impair_none;
    (void)state;
    s.dup_ppb = IMPAIR_PPB;
    raw_link_set_st(link, &s);
    for (uint16_t i = 0; i < 3 * RAW_PACKETS; i++) {
        send(a, i);
        assert_int_equal(raw_link_turn_st(link, START), 3);
        expect(i);
        expect(i);
    }
    assert_int_equal(raw_link_stats(link)->duplicated, 3 * RAW_PACKETS);
    assert_int_equal(raw_link_stats(link)->no_memory, 0);
}

static void link__damages_one_of_two_alone(void **state)
{
    struct impair_settings s = impair_none;
    unsigned damaged[3] = {0};
    uint64_t truncated = 0;
    (void)state;
    s.dup_ppb = IMPAIR_PPB;
    s.corrupt_ppb = s.truncate_ppb = IMPAIR_PPB / 4;
    raw_link_set_st(link, &s);
    for (int i = 0; i < 1000; i++) {
        unsigned bad = 0;
        send(a, 0);
        assert_int_equal(raw_link_turn_st(link, START), 3);
        for (int k = 0; k < 2; k++) {
            uint8_t f[FRAME];
            uint32_t n = take(f), turned = 0;
            for (uint32_t at = 0; at < n; at++)
                turned += (unsigned)__builtin_popcount(f[at]);
            assert_true(n >= IMPAIR_FRAME_MIN && turned <= 1);
            truncated += n < FRAME;
            bad += n < FRAME || turned;
        }
        damaged[bad]++;
    }
    assert_in_range(damaged[0], 250, 400); /* (9/16)^2 */
    assert_in_range(damaged[1], 400, 600);
    assert_int_equal(truncated, raw_link_stats(link)->truncated);
}

/* A bit for each of 64 packets that came through with half of them lost. */
static uint64_t survivors(uint64_t seed)
{
    struct impair_settings s = impair_none;
    uint8_t f[FRAME];
    uint64_t came = 0;
    raw_link_close(link);
    assert_int_equal(raw_link_open(a, b, seed, HELD, &link), 0);
    s.loss_ppb = IMPAIR_PPB / 2;
    raw_link_set_st(link, &s);
    for (uint16_t i = 0; i < 64; i++)
        send(a, i);
    while (raw_link_turn_st(link, START))
        ;
    while (take(f))
        came |= UINT64_C(1) << f[0];
    return came;
}

static void link__is_decided_by_its_seed(void **state)
{
    (void)state;
    uint64_t came = survivors(1);
    assert_in_range(__builtin_popcountll(came), 16, 48);
    assert_int_equal(survivors(1), came);
    assert_true(survivors(2) != came);
}

static void link__frees_what_is_under_way_when_it_is_closed(void **state)
{
    struct impair_settings s = impair_none;
    (void)state;
    s.delay_ns = 1000;
    for (uint16_t round = 0; round < 100; round++) {
        raw_link_set_st(link, &s);
        for (uint16_t i = 0; i < HELD; i++)
            send(a, i);
        while (raw_link_turn_st(link, START))
            ;
        raw_link_close(link);
        assert_int_equal(raw_link_open(a, b, 1, HELD, &link), 0);
    }
}

static void link__frees_what_waits_for_the_far_port_when_it_is_closed(void **state)
{
    (void)state;
    for (uint16_t i = 0; i < RING; i++)
        send(b, i);
    for (uint16_t round = 0; round < 2 * RAW_PACKETS / NET_BURST; round++) {
        for (uint16_t i = 0; i < NET_BURST; i++)
            send(a, i);
        assert_int_equal(raw_link_turn_st(link, START), NET_BURST);
        assert_int_equal(raw_link_due_ns(link), 0);
        raw_link_close(link);
        assert_int_equal(raw_link_open(a, b, 1, HELD, &link), 0);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(link__passes_all_on_in_order),
        TEST(link__keeps_what_is_under_way_until_it_is_due),
        TEST(link__waits_for_a_far_port_that_is_full),
        TEST(link__duplicates_share_a_packet_and_give_it_back),
        TEST(link__damages_one_of_two_alone),
        TEST(link__is_decided_by_its_seed),
        TEST(link__frees_what_is_under_way_when_it_is_closed),
        TEST(link__frees_what_waits_for_the_far_port_when_it_is_closed),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
