/* Acknowledgements, loss and probes, and in what order packets are filled. */
#include "xfer_script.h"

static uint8_t form[8192];
static uint8_t bulk[200000];

static void send_form(struct script *s, struct xfer_out *m, uint32_t body, struct chi_ar_region *r)
{
    struct form_region f = {0};
    if (r)
        f = (struct form_region){.size = r->size, .flags = r->flags};
    *m = (struct xfer_out){.form = form, .regions = r, .nregions = r != NULL, .deadline_ns = s->now + 100000 * MS};
    m->form_length = script_form(form, &f, r != NULL, body);
    xfer_send(s->x, 2, m, s->now);
}

/* Takes one DATA packet; its number, and how many frames of each type are in it. */
static uint64_t take(struct script *s, unsigned count[8])
{
    struct wire_header h;
    struct wire_frame f;
    memset(count, 0, 8 * sizeof count[0]);
    struct wire_cursor c = script_take_data(s, &h);
    while (script_frame(&c, &f) != WIRE_FRAME_END)
        count[f.type]++;
    return h.number;
}

static void ack(struct script *s, uint64_t first, uint64_t last)
{
    data_begin(s);
    data_ack(s, first, last);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
}

static void ping(struct script *s, uint64_t number)
{
    data_begin(s);
    data_ping(s);
    assert_int_equal(data_end_number(s, number), CHI_DROP_NONE);
}

static void expect_ack(struct script *s, struct wire_ack *a)
{
    struct wire_header h;
    struct wire_frame f;
    struct wire_cursor c = script_take_data(s, &h);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_ACK);
    *a = f.ack;
    script_nothing_sent(s);
}

static void ack__comes_after_its_delay(void **state)
{
    (void)state;
    struct script s;
    struct wire_ack a;
    script_live(&s);
    ping(&s, 1);
    script_tx(&s);
    script_nothing_sent(&s);
    assert_true(xfer_deadline(s.x) <= s.now + 100000);
    script_wait(&s, 99999);
    script_nothing_sent(&s);
    script_wait(&s, 1);
    expect_ack(&s, &a);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.r[0].first, 1);
    assert_int_equal(a.r[0].last, 1);
    assert_int_equal(a.delay_ns, 100000);
    script_wait(&s, 1000 * MS);
    script_nothing_sent(&s); /* once */
    script_close(&s);
}

static void ack__comes_at_once_after_so_many_or_a_gap(void **state)
{
    (void)state;
    struct script s;
    struct wire_ack a;
    script_live(&s);
    for (int i = 1; i <= 3; i++)
        ping(&s, i);
    script_tx(&s);
    script_nothing_sent(&s);
    ping(&s, 4);
    script_tx(&s);
    expect_ack(&s, &a);
    assert_int_equal(a.r[0].first, 1);
    assert_int_equal(a.r[0].last, 4);
    ping(&s, 6);
    script_tx(&s);
    expect_ack(&s, &a);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.r[0].first, 6);
    assert_int_equal(a.r[1].last, 4);
    ping(&s, 5); /* late */
    script_tx(&s);
    expect_ack(&s, &a);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.r[0].last, 6);
    script_close(&s);
}

static void ack__alone_is_not_acknowledged(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    unsigned n[8];
    script_live(&s);
    send_form(&s, &m, 10, NULL);
    script_tx(&s);
    assert_int_equal(take(&s, n), 1);
    ack(&s, 1, 1);
    script_wait(&s, 1000 * MS);
    script_nothing_sent(&s);
    script_close(&s);
}

static void ack__rides_with_data(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    unsigned n[8];
    script_live(&s);
    ping(&s, 1);
    send_form(&s, &m, 10, NULL);
    script_tx(&s);
    take(&s, n);
    assert_int_equal(n[WIRE_FRAME_ACK], 1);
    assert_int_equal(n[WIRE_FRAME_TASK_IN], 1);
    script_wait(&s, 500000);
    script_nothing_sent(&s);
    script_close(&s);
}

static void packet__seen_before_or_impossible_is_dropped(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    script_live(&s);
    ping(&s, 7);
    data_begin(&s);
    data_ping(&s);
    assert_int_equal(data_end_number(&s, 7), CHI_DROP_DUPLICATE);
    assert_int_equal(data_end_number(&s, 0), CHI_DROP_NUMBER);
    assert_int_equal(data_end_number(&s, UINT64_C(1) << 62), CHI_DROP_NUMBER);
    send_form(&s, &m, 10, NULL);
    script_tx(&s);
    data_begin(&s);
    data_ack(&s, 1, 50); /* nobody sent 50 */
    assert_int_equal(data_end_number(&s, 8), CHI_DROP_NUMBER);
    assert_int_equal(s.drops[CHI_DROP_DUPLICATE], 1);
    assert_int_equal(s.drops[CHI_DROP_NUMBER], 3);
    struct xfer_peer_stats st;
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.in_flight, 1);
    script_close(&s);
}

static void ack__with_many_holes_stays_bounded(void **state)
{
    (void)state;
    struct script s;
    struct wire_ack a;
    script_live(&s);
    for (uint64_t i = 1; i <= 100; i++) {
        ping(&s, 2 * i);
        script_tx(&s);
        expect_ack(&s, &a);
        assert_int_equal(a.r[0].last, 2 * i);
        assert_true(a.count <= WIRE_ACK_RANGES);
    }
    data_begin(&s); /* below what is remembered: as if seen */
    data_ping(&s);
    assert_int_equal(data_end_number(&s, 3), CHI_DROP_DUPLICATE);
    ping(&s, 199);
    script_close(&s);
}

static void probe__repeats_the_oldest_with_back_off(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_peer_stats st;
    unsigned n[8];
    script_live(&s);
    send_form(&s, &m, 10, NULL);
    script_tx(&s);
    assert_int_equal(take(&s, n), 1);
    uint64_t at = s.now, gap[7];
    for (int i = 0; i < 7; i++) {
        uint64_t due = xfer_deadline(s.x);
        while (s.taken == s.sent_count) {
            assert_true(due > s.now); /* or it would spin */
            s.now = due;
            xfer_tick(s.x, s.now);
            script_tx(&s);
            due = xfer_deadline(s.x);
        }
        assert_int_equal(take(&s, n), i + 2); /* a new number each time */
        assert_int_equal(n[WIRE_FRAME_TASK_IN], 1);
        gap[i] = s.now - at;
        at = s.now;
    }
    for (int i = 1; i < 5; i++)
        assert_true(gap[i] == 2 * gap[i - 1] || gap[i] == 16 * MS);
    assert_int_equal(gap[6], 16 * MS); /* pto_max_ns */
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.retransmits, 7);
    ack(&s, 3, 3); /* a copy that counted as lost: of no use, and no harm */
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.in_flight, 1);
    ack(&s, 8, 8);
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.in_flight, 0);
    script_wait(&s, 1000 * MS);
    script_nothing_sent(&s);
    script_close(&s);
}

static void probe__has_nothing_to_say_after_the_end(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_event ev;
    unsigned n[8];
    script_live(&s);
    send_form(&s, &m, 10, NULL);
    script_tx(&s);
    take(&s, n);
    data_begin(&s);
    data_task_out(&s, &(struct wire_task_out){.generation = 1}, "");
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_DONE, &ev);
    script_wait(&s, 1 * MS);
    take(&s, n);
    assert_int_equal(n[WIRE_FRAME_ACK], 1);
    for (int i = 0; i < 100; i++)
        script_wait(&s, 10 * MS);
    script_nothing_sent(&s);
    assert_true(xfer_deadline(s.x) >= s.now + 1000 * MS); /* it looks once more whether the peer is needed (alive.c) */
    script_close(&s);
}

/* All that is out was lost, and by then the window is smaller than that: each time-out still sends a packet, and the answer to one of
 * them brings back the rest. */
static void probe__goes_though_the_window_is_full(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_peer_stats st;
    struct chi_ar_region r = {.ptr = bulk, .size = sizeof bulk, .flags = CHI_WRITE};
    unsigned n[8];
    uint64_t last = 0;
    script_live(&s);
    send_form(&s, &m, 10, &r);
    script_tx(&s);
    for (uint64_t i = 1; i <= 8; i++)
        assert_int_equal(take(&s, n), i);
    ack(&s, 1, 1);
    script_tx(&s);
    assert_int_equal(take(&s, n), 9);
    for (int i = 0; i < 6; i++) {
        uint64_t at = s.now;
        while (s.taken == s.sent_count && s.now - at <= 16 * MS)
            script_wait(&s, 100000);
        assert_true(s.now - at <= 16 * MS); /* pto_max_ns */
        last = take(&s, n);
        assert_int_equal(n[WIRE_FRAME_SEGMENT], 1);
        script_nothing_sent(&s);
    }
    xfer_stats(s.x, &st, 1);
    assert_true(st.window < st.in_flight_bytes);
    ack(&s, last, last);
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.in_flight, 0); /* the others are lost */
    script_tx(&s);
    take(&s, n);
    script_close(&s);
}

static void loss__by_three_later_packets(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[5];
    struct xfer_peer_stats st;
    unsigned n[8];
    struct xfer_config c = script_config();
    c.slots = 8;
    script_open_with(&s, &c);
    script_handshake(&s);
    for (int i = 0; i < 5; i++) {
        send_form(&s, &m[i], 10, NULL);
        script_tx(&s);
        assert_int_equal(take(&s, n), i + 1);
    }
    ack(&s, 3, 3); /* 1 and 2 may only be late */
    script_tx(&s);
    script_nothing_sent(&s);
    ack(&s, 4, 5); /* 1 and 2 are three behind 5 */
    script_tx(&s);
    assert_int_equal(take(&s, n), 6);
    assert_int_equal(n[WIRE_FRAME_TASK_IN], 2);
    script_nothing_sent(&s);
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.retransmits, 2);
    assert_int_equal(st.in_flight, 1);
    script_close(&s);
}

static void loss__by_time_behind_a_later_packet(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[2];
    unsigned n[8];
    script_live(&s);
    for (int i = 0; i < 2; i++) {
        send_form(&s, &m[i], 10, NULL);
        script_tx(&s);
        take(&s, n);
    }
    s.now += 400000; /* the round trip */
    ack(&s, 2, 2);
    script_tx(&s);
    script_nothing_sent(&s);
    script_wait(&s, 49999); /* 9/8 of it */
    script_nothing_sent(&s);
    script_wait(&s, 1);
    assert_int_equal(take(&s, n), 3);
    script_close(&s);
}

static void rtt__is_sampled_without_the_peers_delay(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_peer_stats st;
    unsigned n[8];
    script_live(&s);
    for (int i = 0; i < 100; i++) {
        send_form(&s, &m, 10, NULL);
        script_tx(&s);
        uint64_t number = take(&s, n);
        s.now += i == 0 ? 300000 : 380000;
        data_begin(&s);
        struct wire_ack a = {.delay_ns = i == 0 ? 0 : 80000, .count = 1, .r = {{number, number}}};
        s.at += wire_put_ack(s.packet + s.at, &a);
        data_task_out(&s, &(struct wire_task_out){.generation = (uint32_t)i + 1}, "");
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        struct xfer_event ev;
        script_event(&s, XFER_DONE, &ev);
    }
    xfer_stats(s.x, &st, 1);
    assert_true(st.srtt_ns > 295000 && st.srtt_ns < 305000);
    script_close(&s);
}

static void window__limits_what_is_in_flight(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_peer_stats st;
    struct chi_ar_region r = {.ptr = bulk, .size = sizeof bulk, .flags = CHI_WRITE};
    unsigned n[8];
    script_live(&s);
    send_form(&s, &m, 10, &r);
    script_tx(&s);
    for (uint64_t i = 1; i <= 8; i++)
        assert_int_equal(take(&s, n), i);
    script_nothing_sent(&s);
    assert_true(xfer_deadline(s.x) > s.now);
    ack(&s, 1, 3);
    script_tx(&s);
    for (uint64_t i = 9; i <= 11; i++) {
        assert_int_equal(take(&s, n), i);
        assert_int_equal(n[WIRE_FRAME_SEGMENT], 1);
    }
    script_nothing_sent(&s);
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.in_flight, 8);
    script_close(&s);
}

static void bulk__lets_small_tasks_pass(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out big, small;
    struct chi_ar_region r = {.ptr = bulk, .size = sizeof bulk, .flags = CHI_WRITE};
    unsigned n[8];
    script_live(&s);
    send_form(&s, &big, 10, &r);
    script_tx(&s);
    for (int i = 0; i < 8; i++)
        take(&s, n);
    send_form(&s, &small, 10, NULL);
    ack(&s, 1, 4); /* room for four packets */
    script_tx(&s);
    unsigned tasks = 0;
    for (int i = 0; i < 4; i++) {
        take(&s, n);
        tasks += n[WIRE_FRAME_TASK_IN];
        assert_true(tasks || i == 0); /* the turn of bulk comes first in one packet of four */
    }
    assert_int_equal(tasks, 1);
    script_close(&s);
}

static void bulk__shares_by_quantum(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[2];
    struct chi_ar_region r[2];
    struct wire_header h;
    struct wire_frame f;
    const uint8_t *p;
    uint64_t sent[4] = {0}, lead = 0;
    script_live(&s);
    for (int i = 0; i < 2; i++) {
        r[i] = (struct chi_ar_region){.ptr = bulk, .size = sizeof bulk, .flags = CHI_WRITE};
        send_form(&s, &m[i], 10, &r[i]);
    }
    for (int i = 0; i < 200; i++) {
        xfer_tx(s.x, s.now, 1);
        while (script_take(&s, &p, &h)) {
            struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
            while (script_frame(&c, &f) != WIRE_FRAME_END)
                if (f.type == WIRE_FRAME_SEGMENT)
                    sent[f.segment.slot] += f.segment.length;
            ack(&s, h.number, h.number);
            free(s.sent[--s.sent_count].bytes);
            s.taken = s.sent_count;
        }
        uint64_t apart = sent[0] > sent[1] ? sent[0] - sent[1] : sent[1] - sent[0];
        lead = apart > lead ? apart : lead;
    }
    assert_true(sent[0] + sent[1] > 250000);
    assert_true(lead >= 60000 && lead <= 70000); /* 64 KiB and a packet */
    script_close(&s);
}

static void lost_head__goes_again_alone_and_segments_wait_for_its_ack(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r = {.ptr = bulk, .size = 5000, .flags = CHI_WRITE};
    unsigned n[8];
    script_live(&s);
    send_form(&s, &m, 10, &r);
    script_tx(&s);
    assert_int_equal(take(&s, n), 1);
    assert_int_equal(n[WIRE_FRAME_TASK_IN], 1);
    while (s.taken < s.sent_count)
        take(&s, n);
    uint64_t last = s.sent_count - 1; /* beside the HELLO */
    assert_true(last >= 4);
    script_wait(&s, 16 * MS); /* the probe: the first packet is lost */
    assert_int_equal(take(&s, n), last + 1);
    assert_int_equal(n[WIRE_FRAME_TASK_IN], 1);
    assert_int_equal(n[WIRE_FRAME_SEGMENT], 0);
    script_nothing_sent(&s);
    ack(&s, last + 1, last + 1);
    script_tx(&s);
    uint64_t segments = 0;
    while (s.taken < s.sent_count) {
        take(&s, n);
        assert_int_equal(n[WIRE_FRAME_TASK_IN], 0);
        segments += n[WIRE_FRAME_SEGMENT];
    }
    assert_true(segments >= 4); /* all of the region again */
    script_close(&s);
}

static void lost_answers_and_inputs__do_not_share_a_packet(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_event ev;
    unsigned n[8];
    script_live(&s);
    uint32_t length = script_form(form, NULL, 0, 10);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, length, length);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    xfer_answer(s.x, ev.in, &(struct xfer_answer){.status = CHI_STATUS_MODULE}, s.now);
    send_form(&s, &m, 10, NULL);
    script_tx(&s);
    take(&s, n);
    assert_int_equal(n[WIRE_FRAME_TASK_IN] + n[WIRE_FRAME_TASK_OUT], 2); /* new ones do */
    script_wait(&s, 16 * MS);
    for (int i = 0; i < 2; i++) {
        take(&s, n);
        assert_int_equal(n[WIRE_FRAME_TASK_IN] + n[WIRE_FRAME_TASK_OUT], 1);
    }
    script_nothing_sent(&s);
    script_close(&s);
}

static void window__full_of_lost_packets_keeps_back_neither_probes_nor_pings(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r = {.ptr = bulk, .size = sizeof bulk, .flags = CHI_WRITE};
    struct xfer_config c = script_config();
    struct wire_header h;
    struct wire_frame f;
    unsigned pings = 0, repeated = 0;
    uint64_t largest = 0;
    c.pto_min_ns = 30 * MS;
    c.pto_max_ns = 100 * MS;
    c.silence_ns = 40 * MS;
    script_open_with(&s, &c);
    script_handshake(&s);
    send_form(&s, &m, 10, &r);
    script_tx(&s);
    ack(&s, 1, 1); /* the task is there; nothing of what follows */
    script_tx(&s);
    for (int i = 0; i < 200; i++) { /* what is heard are the peer's packets, and no acknowledgement */
        if (i % 3 == 2)
            ping(&s, ++s.number);
        script_wait(&s, 5 * MS);
    }
    while (s.taken < s.sent_count) {
        struct wire_cursor cursor = script_take_data(&s, &h);
        while (script_frame(&cursor, &f) != WIRE_FRAME_END) {
            pings += f.type == WIRE_FRAME_PING;
            if (f.type == WIRE_FRAME_SEGMENT && f.segment.offset < largest)
                repeated++;
            else if (f.type == WIRE_FRAME_SEGMENT)
                largest = f.segment.offset;
        }
    }
    assert_true(repeated >= 8); /* a time-out in 100 ms */
    assert_true(pings > 8);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ack__comes_after_its_delay),
        cmocka_unit_test(ack__comes_at_once_after_so_many_or_a_gap),
        cmocka_unit_test(ack__alone_is_not_acknowledged),
        cmocka_unit_test(ack__rides_with_data),
        cmocka_unit_test(packet__seen_before_or_impossible_is_dropped),
        cmocka_unit_test(ack__with_many_holes_stays_bounded),
        cmocka_unit_test(probe__repeats_the_oldest_with_back_off),
        cmocka_unit_test(probe__has_nothing_to_say_after_the_end),
        cmocka_unit_test(probe__goes_though_the_window_is_full),
        cmocka_unit_test(loss__by_three_later_packets),
        cmocka_unit_test(loss__by_time_behind_a_later_packet),
        cmocka_unit_test(rtt__is_sampled_without_the_peers_delay),
        cmocka_unit_test(window__limits_what_is_in_flight),
        cmocka_unit_test(bulk__lets_small_tasks_pass),
        cmocka_unit_test(bulk__shares_by_quantum),
        cmocka_unit_test(lost_head__goes_again_alone_and_segments_wait_for_its_ack),
        cmocka_unit_test(lost_answers_and_inputs__do_not_share_a_packet),
        cmocka_unit_test(window__full_of_lost_packets_keeps_back_neither_probes_nor_pings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
