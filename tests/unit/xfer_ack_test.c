/* What an acknowledgement says and no longer says, and what it changes at who gets it when losses were none. */
#include "xfer_script.h"

enum { MESSAGES = 256 };
static uint8_t form[64];
static struct xfer_out out[MESSAGES];

static void live(struct script *s)
{
    struct xfer_config c = script_config();
    c.slots = MESSAGES;
    c.window_packets = 256;
    script_open_with(s, &c);
    script_handshake(s);
}

static uint64_t take(struct script *s)
{
    struct wire_header h;
    script_take_data(s, &h);
    return h.number;
}

/* So many packets with a small task each; the number of the last one. */
static uint64_t send_many(struct script *s, unsigned n)
{
    static unsigned next;
    uint64_t number = 0;
    for (; n--; number = take(s)) {
        struct xfer_out *m = &out[next++ % MESSAGES];
        *m = (struct xfer_out){.form = form, .form_length = script_form(form, NULL, 0, 8), .deadline_ns = s->now + 1000000 * MS};
        xfer_send(s->x, 2, m, s->now);
        script_tx(s);
    }
    return number;
}

static void ack(struct script *s, uint64_t first, uint64_t last)
{
    data_begin(s);
    data_ack(s, first, last);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
}

static struct xfer_peer_stats stats(struct script *s)
{
    struct xfer_peer_stats st;
    xfer_stats(s->x, &st, 1);
    return st;
}
/* The number of the last packet that it sent. */
static uint64_t take_last(struct script *s)
{
    struct wire_header h;
    const uint8_t *p;
    s->taken = s->sent_count - 1;
    assert_int_equal(script_take(s, &p, &h), WIRE_KIND_DATA);
    return h.number;
}

static void ping(struct script *s, uint64_t number)
{
    data_begin(s);
    data_ping(s);
    assert_int_equal(data_end_number(s, number), CHI_DROP_NONE);
}

/* The ACK in the next packet. */
static struct wire_ack take_ack(struct script *s, uint64_t *number)
{
    struct wire_header h;
    struct wire_frame f;
    struct wire_cursor c = script_take_data(s, &h);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_ACK);
    *number = h.number;
    return f.ack;
}

/* Ranges below what was acknowledged with a packet that arrived are not said again, when there are many. */
static void ack__says_no_more_what_the_peer_knows(void **state)
{
    (void)state;
    struct script s;
    uint64_t number;
    live(&s);
    for (uint64_t i = 1; i <= 11; i++) {
        ping(&s, 2 * i);
        if (i < 11)
            script_tx(&s);
    }
    s.taken = s.sent_count;
    out[0] = (struct xfer_out){.form = form, .form_length = script_form(form, NULL, 0, 8), .deadline_ns = s.now + 1000000 * MS};
    xfer_send(s.x, 2, &out[0], s.now);
    script_tx(&s);
    assert_int_equal(take_ack(&s, &number).r[0].last, 22); /* beside the task */
    data_begin(&s);
    data_ping(&s);
    data_ack(&s, number, number);
    assert_int_equal(data_end_number(&s, 24), CHI_DROP_NONE);
    script_tx(&s);
    struct wire_ack a = take_ack(&s, &number);
    assert_int_equal(a.count, 2);
    assert_true(a.r[0].first == 24 && a.r[1].first == 22);
    data_begin(&s); /* who comes so late was given up long ago */
    data_ping(&s);
    assert_int_equal(data_end_number(&s, 3), CHI_DROP_DUPLICATE);
    script_close(&s);
}

/* Packets may be overtaken so far from then on, by up to 64. */
static void loss__that_was_none_widens_the_packet_threshold(void **state)
{
    (void)state;
    static const struct { unsigned behind, threshold; } cases[] = {{4, 5}, {20, 21}, {150, 64}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script s;
        live(&s);
        uint64_t last = send_many(&s, cases[i].behind + 1);
        ack(&s, last, last);
        assert_int_equal(stats(&s).retransmits, cases[i].behind - 2);
        ack(&s, last - cases[i].behind, last); /* they came, all of them */
        script_wait(&s, MS / 100);
        ack(&s, 1, take_last(&s)); /* and what went again in vain */
        uint64_t before = stats(&s).retransmits;
        last = send_many(&s, 80);
        ack(&s, last, last);
        assert_int_equal(stats(&s).retransmits - before, 80 - cases[i].threshold);
        script_close(&s);
    }
}

/* Many losses at once cut the window; when they were none it is as it was. */
static void loss__that_was_none_gives_the_window_back(void **state)
{
    (void)state;
    struct script s;
    live(&s);
    uint64_t before = stats(&s).window, last = send_many(&s, 21);
    ack(&s, last, last);
    assert_true(stats(&s).window < before && stats(&s).spurious == 0);
    ack(&s, 1, last);
    assert_true(stats(&s).window == before && stats(&s).spurious == 18);
    script_close(&s);
}

/* Only the packets that an acknowledgement names came. */
static void loss__stays_one_when_others_arrive(void **state)
{
    (void)state;
    struct script s;
    live(&s);
    uint64_t last = send_many(&s, 8);
    ack(&s, 2, 2);
    ack(&s, last, last); /* 1, 3, 4 and 5 are lost */
    script_tx(&s);
    last = take_last(&s);
    ack(&s, last, last);
    assert_int_equal(stats(&s).spurious, 0);
    ack(&s, 3, 4);
    assert_int_equal(stats(&s).spurious, 2);
    script_close(&s);
}

/* And be so late: by an eighth of a round trip more each time, up to two. */
static void loss__that_was_none_widens_the_time_threshold(void **state)
{
    (void)state;
    struct script s;
    live(&s);
    for (uint64_t eighths = 9; eighths <= 20; eighths++) {
        uint64_t last = send_many(&s, 2), before = stats(&s).retransmits, expected = eighths < 16 ? eighths : 16;
        s.now += 800000;
        xfer_tick(s.x, s.now);
        ack(&s, last, last);
        script_wait(&s, 100000 * (expected - 8) - 1);
        assert_int_equal(stats(&s).retransmits, before);
        script_wait(&s, 1);
        assert_int_equal(stats(&s).retransmits, before + 1);
        ack(&s, last - 1, last); /* it came */
        ack(&s, 1, take_last(&s));
    }
    script_close(&s);
}

/* A round trip of which the hosts took most is no full network: the peer says what it took, and this side knows when it looked last. */
static void delay__of_the_hosts_is_no_congestion(void **state)
{
    (void)state;
    enum { NOBODY, THE_PEER, THIS_SIDE };
    for (int whose = NOBODY; whose <= THIS_SIDE; whose++) {
        struct script s;
        struct xfer_config c = script_config();
        c.pto_min_ns = c.pto_max_ns = 1000 * MS; /* no probe comes before it */
        script_open_with(&s, &c);
        script_handshake(&s);
        xfer_tick(s.x, s.now);
        uint64_t number = send_many(&s, 1);
        s.now += 50 * MS; /* the target is 10 */
        if (whose != THIS_SIDE)
            xfer_tick(s.x, s.now);
        struct wire_ack a = {.delay_ns = whose == THE_PEER ? (uint32_t)(45 * MS) : 0, .count = 1, .r = {{number, number}}};
        data_begin(&s);
        s.at += wire_put_ack(s.packet + s.at, &a);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        assert_int_equal(stats(&s).cuts, whose == NOBODY);
        script_close(&s);
    }
}

/* It may have waited here since this side looked last. */
static void ack__delay_begins_when_its_sender_looked_last(void **state)
{
    (void)state;
    struct script s;
    uint64_t number;
    live(&s);
    xfer_tick(s.x, s.now);
    s.now += 3 * MS;
    for (uint64_t i = 1; i <= 4; i++)
        ping(&s, i);
    script_tx(&s);
    assert_int_equal(take_ack(&s, &number).delay_ns, 3 * MS);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ack__says_no_more_what_the_peer_knows),
        cmocka_unit_test(loss__that_was_none_widens_the_packet_threshold),
        cmocka_unit_test(loss__that_was_none_widens_the_time_threshold),
        cmocka_unit_test(loss__that_was_none_gives_the_window_back),
        cmocka_unit_test(loss__stays_one_when_others_arrive),
        cmocka_unit_test(delay__of_the_hosts_is_no_congestion),
        cmocka_unit_test(ack__delay_begins_when_its_sender_looked_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
