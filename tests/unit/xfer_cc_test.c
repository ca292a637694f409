/* Congestion control alone: each sign by hand, then flows that share a link on virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "xfer/cc.h"

enum { PACKET = 9000, LIMIT = 128 * PACKET };
static const uint64_t US = 1000, TARGET = 50000;

static struct cc fresh(void)
{
    struct cc c;
    cc_init(&c, LIMIT, PACKET, TARGET);
    return c;
}

/* One round trip of `packets`, all acknowledged at its end. */
static uint64_t numbers = 1;
static void round_trip(struct cc *c, uint32_t packets, uint32_t marks, uint64_t rtt_ns, uint64_t delay_ns, uint64_t *now)
{
    for (uint32_t i = 0; i < packets; i++)
        cc_sent(c, PACKET, *now);
    *now += rtt_ns;
    numbers += packets;
    cc_gone(c, packets * PACKET);
    cc_acked(c,
             &(struct cc_ack){.bytes = packets * PACKET, .rtt_ns = rtt_ns, .delay_ns = delay_ns, .packets = packets, .marks = marks,
                              .largest = numbers - 1, .next_number = numbers, .wanted = true},
             *now);
}

/* A window of `packets` that has seen rounds without queueing and one with. */
static struct cc used(uint64_t *now)
{
    struct cc c = fresh();
    for (int i = 0; i < 6; i++)
        round_trip(&c, 10, 0, 10 * US, 0, now);
    return c;
}

static void window__doubles_each_round_trip_until_its_limit(void **state)
{
    (void)state;
    uint64_t now = 1;
    struct cc c = fresh();
    assert_int_equal(c.window, CC_INITIAL * PACKET);
    for (uint32_t n = CC_INITIAL; n * 2 < 128; n *= 2) {
        round_trip(&c, n, 0, 10 * US, 0, &now);
        assert_int_equal(c.window, 2 * n * PACKET);
    }
    round_trip(&c, 80, 0, 10 * US, 0, &now);
    assert_int_equal(c.window, LIMIT);
    assert_int_equal(cc_next_ns(&c), 0); /* never paced */
}

static void window__does_not_grow_when_nothing_waits_for_it(void **state)
{
    (void)state;
    struct cc c = fresh();
    cc_sent(&c, PACKET, 1);
    cc_gone(&c, PACKET);
    cc_acked(&c, &(struct cc_ack){.bytes = PACKET, .rtt_ns = 10 * US, .packets = 1, .largest = 1, .next_number = 2}, 2);
    assert_int_equal(c.window, CC_INITIAL * PACKET);
}

static void room__one_packet_may_always_be_out(void **state)
{
    (void)state;
    struct cc c = fresh();
    for (int i = 0; i < CC_INITIAL; i++) {
        assert_true(cc_room(&c));
        cc_sent(&c, PACKET, 1);
    }
    assert_false(cc_room(&c));
    for (int i = 3; i < 40; i++)
        cc_timeout(&c, 3, (uint64_t)i * 1000000000);
    assert_false(cc_room(&c));
    cc_gone(&c, CC_INITIAL * PACKET);
    assert_true(cc_room(&c));
}

static void delay__above_the_target_cuts_once_a_round_trip(void **state)
{
    (void)state;
    uint64_t now = 1;
    struct cc c = used(&now);
    uint64_t before = c.window;
    round_trip(&c, 10, 0, TARGET * 5 / 4, 0, &now); /* a fifth of it is too much: cut by 0.8 of a fifth */
    assert_in_range(c.window, before * 84 / 100 - 2, before * 84 / 100 + 2);
    uint64_t after = c.window;
    cc_acked(&c, &(struct cc_ack){.bytes = PACKET, .rtt_ns = 10 * US + 2 * TARGET, .packets = 1, .largest = 1, .next_number = numbers}, now + 1);
    assert_int_equal(c.window, after);
    round_trip(&c, 10, 0, 100 * TARGET, 0, &now);
    assert_int_equal(c.window, after - after / 3); /* never by more than a third */
}

static void delay__of_the_peer_itself_does_not_count(void **state)
{
    (void)state;
    uint64_t now = 1;
    struct cc c = used(&now);
    uint64_t before = c.window;
    round_trip(&c, 10, 0, 10 * US + 20 * TARGET, 20 * TARGET, &now);
    assert_true(c.window >= before);
    assert_false(c.throttled);
}

static void delay__the_shortest_round_trip_is_one_of_late(void **state)
{
    (void)state;
    uint64_t now = 1;
    struct cc c = used(&now);
    for (int i = 0; i < 30; i++) { /* another path, longer */
        now += UINT64_C(1000000000);
        round_trip(&c, 1, 0, 10 * US + 4 * TARGET, 0, &now);
    }
    assert_int_equal(c.min_rtt_ns, 10 * US + 4 * TARGET);
    uint64_t before = c.window;
    round_trip(&c, 10, 0, 10 * US + 4 * TARGET, 0, &now);
    assert_true(c.window > before);
}

/* One that had to wait behind our own packets says nothing about the path, nor does one of which the hosts took most. */
static void delay__the_shortest_round_trip_is_the_path_s(void **state)
{
    (void)state;
    uint64_t now = 1;
    struct cc c = used(&now);
    cc_sent(&c, 5 * PACKET, now);
    for (int i = 0; i < 30; i++) {
        now += UINT64_C(1000000000);
        round_trip(&c, 1, 0, 10 * US + 4 * TARGET, 0, &now);
    }
    assert_int_equal(c.min_rtt_ns, 10 * US);
    round_trip(&c, 1, 0, 100 * US, 95 * US, &now);
    assert_int_equal(c.min_rtt_ns, 10 * US);
}

/* However long it takes: some packet goes now and then. */
static void window__has_a_smallest_size(void **state)
{
    (void)state;
    uint64_t now = 1;
    struct cc c = used(&now);
    for (int i = 0; i < 100; i++)
        round_trip(&c, 1, 0, 100 * TARGET, 0, &now);
    assert_int_equal(c.window, PACKET / 8);
}

static void window__grows_faster_the_longer_the_path_is_free(void **state)
{
    (void)state;
    uint64_t now = 1, before = 0, slow = 0;
    struct cc c = used(&now);
    for (int i = 0; i < 10; i++)
        round_trip(&c, 10, 0, 10 * US + 4 * TARGET, 0, &now); /* it is small now */
    for (int i = 0; i < 12; i++) {
        before = c.window;
        round_trip(&c, (uint32_t)(before / PACKET) + 1, 0, 10 * US, 0, &now);
        if (i == 2)
            slow = c.window - before;
    }
    assert_true(slow > 0 && c.window - before > 3 * slow);
}

static void pacing__begins_with_a_cut_and_ends_with_the_whole_window(void **state)
{
    (void)state;
    uint64_t now = 1;
    struct cc c = used(&now);
    round_trip(&c, 10, 0, 10 * US + 4 * TARGET, 0, &now);
    assert_true(c.throttled);
    uint64_t window = c.window, from = now;
    while (c.in_flight + PACKET <= window / 2) { /* half of it goes as it comes */
        cc_sent(&c, PACKET, now);
        assert_true(cc_next_ns(&c) <= now);
    }
    for (uint64_t sent = 0; sent < 100 * PACKET; sent += PACKET) {
        if (cc_next_ns(&c) > now)
            now = cc_next_ns(&c);
        cc_sent(&c, PACKET, now);
    }
    uint64_t fair = 100 * PACKET * c.rtt_ns / window * 100 / 125; /* a window each round trip, and a quarter */
    assert_in_range(now - from, fair * 8 / 10, fair);
    cc_gone(&c, (uint32_t)c.in_flight);
    for (int i = 0; i < 400 && c.throttled; i++)
        round_trip(&c, 100, 0, 10 * US, 0, &now);
    assert_false(c.throttled);
    assert_int_equal(c.window, LIMIT);
}

static void loss__of_few_packets_is_no_congestion(void **state)
{
    (void)state;
    uint64_t now = 1;
    struct cc c = used(&now);
    round_trip(&c, 100, 0, 10 * US, 0, &now);
    uint64_t before = c.window;
    for (int i = 0; i < 50; i++) {
        round_trip(&c, 99, 0, 10 * US, 0, &now);
        cc_lost(&c, 1, now);
    }
    assert_true(c.window >= before);
    assert_int_equal(c.cuts, 0);
}

static void loss__of_many_or_with_delay_is(void **state)
{
    (void)state;
    uint64_t now = 1;
    struct cc c = used(&now);
    uint64_t before = c.window;
    cc_lost(&c, 30, now);
    assert_int_equal(c.window, before - before * 3 / 10);

    struct cc d = used(&now);
    now += 100 * US;
    cc_acked(&d, &(struct cc_ack){.bytes = PACKET, .rtt_ns = 10 * US + TARGET + TARGET / 20, .packets = 50, .largest = 0, .next_number = numbers}, now);
    before = d.window;
    now += 1000 * US;
    cc_lost(&d, 1, now);
    assert_int_equal(d.window, before - before * 3 / 10);
}

static void loss__that_was_none_is_undone(void **state)
{
    (void)state;
    uint64_t now = 1;
    struct cc c = used(&now);
    uint64_t before = c.window;
    cc_lost(&c, 30, now);
    assert_true(c.window < before);
    cc_undo(&c);
    assert_int_equal(c.window, before);
    round_trip(&c, 10, 0, 10 * US + 4 * TARGET, 0, &now);
    uint64_t after = c.window;
    cc_undo(&c); /* what delay took stays */
    assert_int_equal(c.window, after);
}

static void timeout__in_a_row_shrink_it_to_a_packet(void **state)
{
    (void)state;
    uint64_t now = 1;
    struct cc c = used(&now);
    uint64_t before = c.window;
    cc_timeout(&c, 1, now);
    assert_int_equal(c.window, before); /* the last packet of a task may just have been lost */
    cc_timeout(&c, 2, now += 1000 * US);
    assert_int_equal(c.window, before / 2);
    cc_timeout(&c, 3, now += 1000 * US);
    assert_int_equal(c.window, PACKET);
}

static void marks__weigh_by_their_share(void **state)
{
    (void)state;
    uint64_t now = 1;
    struct cc all = used(&now), few = all;
    uint64_t before = all.window;
    struct cc first = fresh();
    round_trip(&first, 10, 10, 10 * US, 0, &now);
    assert_int_equal(first.window, CC_INITIAL * PACKET / 2); /* a path that is full from the start */
    round_trip(&all, 100, 100, 10 * US, 0, &now);
    assert_in_range(all.window, before * 6 / 10, before * 7 / 10); /* one that was free so far */
    for (int i = 0; i < 40; i++)
        round_trip(&few, 100, 0, 10 * US, 0, &now);
    before = few.window;
    round_trip(&few, 100, 2, 10 * US, 0, &now);
    assert_in_range(few.window, before * 95 / 100, before);
    assert_true(few.throttled);
    uint64_t last = few.window;
    round_trip(&few, 100, 5000, 10 * US, 0, &now); /* a peer that says nonsense */
    assert_in_range(few.window, before * 4 / 10, last - 1);
}

/* --- a link that `flows` share: each full packet takes LINK_NS; a queue of `room` packets in front of it */

enum { LINK_NS = 7200, BASE_NS = 20000, FLOWS_MAX = 128 };
struct shared { uint64_t sent, lost, queue_max, done[FLOWS_MAX]; };

struct trip { unsigned flow; uint64_t number, sent_ns, back_ns; bool lost, marked; };

static struct shared share(unsigned flows, uint64_t room, uint64_t mark, uint64_t until_ns)
{
    static struct trip out[1 << 16];
    static struct cc c[FLOWS_MAX];
    static uint64_t next[FLOWS_MAX];
    struct shared r = {0};
    uint64_t now = 1, free_ns = 1;
    uint32_t head = 0, tail = 0;
    for (unsigned f = 0; f < flows; f++) {
        cc_init(&c[f], LIMIT, PACKET, TARGET);
        cc_acked(&c[f], &(struct cc_ack){.rtt_ns = BASE_NS + LINK_NS}, now); /* of its HELLO */
        next[f] = 1;
    }
    while (now < until_ns) {
        while (head != tail && out[head & 0xffff].back_ns <= now) {
            const struct trip *t = &out[head++ & 0xffff];
            cc_gone(&c[t->flow], PACKET);
            if (t->lost) {
                cc_lost(&c[t->flow], 1, now);
                continue;
            }
            r.done[t->flow]++;
            cc_acked(&c[t->flow],
                     &(struct cc_ack){.bytes = PACKET, .rtt_ns = t->back_ns - t->sent_ns, .packets = 1, .marks = t->marked,
                                      .largest = t->number, .next_number = next[t->flow], .wanted = true},
                     now);
        }
        for (unsigned k = 0; k < flows; k++) {
            unsigned f = (unsigned)((now + k) % flows);
            while (cc_room(&c[f]) && cc_next_ns(&c[f]) <= now) {
                uint64_t queued = free_ns > now ? (free_ns - now) / LINK_NS : 0;
                bool lost = queued >= room;
                if (!lost)
                    free_ns = (free_ns > now ? free_ns : now) + LINK_NS;
                r.queue_max = queued > r.queue_max && now > until_ns / 4 ? queued : r.queue_max;
                r.sent++;
                r.lost += lost;
                out[tail++ & 0xffff] = (struct trip){.flow = f, .number = next[f]++, .sent_ns = now, .lost = lost,
                                                     .marked = queued >= mark, .back_ns = free_ns + BASE_NS};
                cc_sent(&c[f], PACKET, now);
                assert_true(tail - head < 1 << 16);
            }
        }
        now += 500;
    }
    return r;
}

static void flows__share_a_link_without_filling_its_queue(void **state)
{
    static const unsigned counts[] = {1, 2, 8, 32, 100};
    (void)state;
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const uint64_t span = 200000000; /* 200 ms */
        struct shared r = share(counts[i], 512, UINT64_MAX, span);
        uint64_t sum = 0, least = UINT64_MAX, most = 0;
        for (unsigned f = 0; f < counts[i]; f++) {
            sum += r.done[f];
            least = r.done[f] < least ? r.done[f] : least;
            most = r.done[f] > most ? r.done[f] : most;
        }
        print_message("%u flows: %llu %% of the link, %llu lost, queue up to %llu, %llu to %llu each\n", counts[i],
                      (unsigned long long)(sum * LINK_NS * 100 / span), (unsigned long long)r.lost, (unsigned long long)r.queue_max,
                      (unsigned long long)least, (unsigned long long)most);
        assert_true(sum * LINK_NS >= span * (counts[i] > 8 ? 75 : 90) / 100); /* many: each has less than a packet out */
        assert_true(r.queue_max < 10 + 2 * counts[i]);
        assert_true(least * 4 > most);
    }
}

static void flows__of_a_shallow_queue_lose_little(void **state)
{
    (void)state;
    struct shared r = share(100, 64, UINT64_MAX, 200000000);
    uint64_t sum = r.sent - r.lost;
    print_message("incast: %llu lost of %llu\n", (unsigned long long)r.lost, (unsigned long long)r.sent);
    assert_true(sum * LINK_NS >= UINT64_C(150000000));
    assert_true((r.lost - 936) * 7 < r.sent); /* beside those of the first 1000 packets, all at once */
}

static void flows__heed_marks_below_the_delay_target(void **state)
{
    (void)state;
    struct shared r = share(4, 512, 3, 200000000); /* marked from 22 us of queueing on */
    print_message("marked: queue up to %llu\n", (unsigned long long)r.queue_max);
    assert_true((r.sent - r.lost) * LINK_NS >= UINT64_C(170000000));
    assert_true(r.queue_max < 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(window__doubles_each_round_trip_until_its_limit),
        cmocka_unit_test(window__does_not_grow_when_nothing_waits_for_it),
        cmocka_unit_test(room__one_packet_may_always_be_out),
        cmocka_unit_test(delay__above_the_target_cuts_once_a_round_trip),
        cmocka_unit_test(delay__of_the_peer_itself_does_not_count),
        cmocka_unit_test(delay__the_shortest_round_trip_is_one_of_late),
        cmocka_unit_test(delay__the_shortest_round_trip_is_the_path_s),
        cmocka_unit_test(window__has_a_smallest_size),
        cmocka_unit_test(window__grows_faster_the_longer_the_path_is_free),
        cmocka_unit_test(pacing__begins_with_a_cut_and_ends_with_the_whole_window),
        cmocka_unit_test(loss__of_few_packets_is_no_congestion),
        cmocka_unit_test(loss__of_many_or_with_delay_is),
        cmocka_unit_test(loss__that_was_none_is_undone),
        cmocka_unit_test(timeout__in_a_row_shrink_it_to_a_packet),
        cmocka_unit_test(marks__weigh_by_their_share),
        cmocka_unit_test(flows__share_a_link_without_filling_its_queue),
        cmocka_unit_test(flows__of_a_shallow_queue_lose_little),
        cmocka_unit_test(flows__heed_marks_below_the_delay_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
