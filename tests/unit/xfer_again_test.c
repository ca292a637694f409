/* What goes again: how much of it at once, what happens when there is no place to remember it by, and how long packets are then. */
#include "xfer_script.h"

enum { LARGE = 8972 };
static uint8_t form[1024], bulk[200000], seen[9000];

/* The handshake of a peer that takes LARGE packets; how long they are then. */
static uint32_t meet(struct script *s)
{
    struct wire_hello h = script_hello();
    struct xfer_peer_stats st;
    s->taken = s->sent_count;
    h.packet_max = LARGE;
    h.flags |= WIRE_HELLO_PAD;
    script_meet(s, h);
    xfer_stats(s->x, &st, 1);
    return st.packet_bytes;
}

/* A live session in which packets of LARGE bytes arrived. */
static void live_large_with(struct script *s, uint32_t window_packets, uint32_t unasked, uint32_t slots)
{
    struct xfer_config c = script_config();
    struct wire_header at;
    c.slots = slots;
    c.packet_max = LARGE;
    c.window_packets = window_packets;
    c.unasked_bytes = unasked;
    script_open_with(s, &c);
    assert_int_equal(meet(s), WIRE_PACKET_MIN);
    script_take_data(s, &at);
    assert_int_equal(at.length, LARGE);
    data_begin(s);
    data_ack(s, at.number, at.number);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
}

static void live_large(struct script *s, uint32_t window_packets) { live_large_with(s, window_packets, 1 << 20, 4); }

static void probe__is_one_packet_however_much_waits(void **state)
{
    (void)state;
    struct script s;
    struct wire_header h;
    struct xfer_config c = script_config();
    struct chi_ar_region r = {.ptr = bulk, .size = sizeof bulk, .flags = CHI_WRITE};
    struct form_region f = {sizeof bulk, 0, CHI_WRITE};
    struct xfer_out m = {.form = form, .form_length = script_form(form, &f, 1, 8), .regions = &r, .nregions = 1};
    c.window_packets = 64;
    script_open_with(&s, &c);
    script_handshake(&s);
    m.deadline_ns = s.now + 100000 * MS;
    xfer_send(s.x, 2, &m, s.now);
    script_tx(&s);
    script_take_data(&s, &h);
    data_begin(&s);
    data_ack(&s, h.number, h.number); /* its head; nothing else arrives */
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_tx(&s);
    unsigned first = 0;
    for (; s.taken < s.sent_count; first++)
        script_take_data(&s, &h);
    assert_in_range(first, 5, 20); /* a window of bytes, far from all records */
    for (int i = 0; i < 6; i++) {
        for (int k = 0; s.taken == s.sent_count; k++) {
            assert_true(k < 1000);
            script_wait(&s, MS / 10);
        }
        script_take_data(&s, &h);
        script_nothing_sent(&s);
    }
    script_close(&s);
}

/* The window is the smallest, and paced: a full packet each half a second.  A probe waits for its time-out alone. */
static void pace__holds_back_all_but_a_probe(void **state)
{
    (void)state;
    struct script s;
    struct wire_header h;
    struct xfer_session_stats st;
    struct xfer_event ev;
    struct xfer_config c = script_config();
    struct chi_ar_region r = {.ptr = bulk, .size = 1300, .flags = CHI_WRITE};
    struct form_region f = {1300, 0, CHI_WRITE};
    struct xfer_out m = {0};
    c.pto_min_ns = 150 * MS;
    c.pto_max_ns = 200 * MS;
    script_open_with(&s, &c);
    script_handshake(&s);
    for (uint32_t i = 1; i <= 40; i++) {
        bool last = i == 40;
        m = (struct xfer_out){.form = form, .regions = &r, .nregions = last, .deadline_ns = s.now + 100000 * MS};
        m.form_length = script_form(form, &f, last, 8);
        xfer_send(s.x, 2, &m, s.now);
        for (int ms = 0; s.taken == s.sent_count || ms == 0; ms++) {
            assert_true(ms < 1000);
            script_wait(&s, MS);
        }
        script_take_data(&s, &h);
        if (last)
            break;
        s.now += 100 * MS; /* the target is 10 */
        xfer_tick(s.x, s.now);
        data_begin(&s);
        data_ack(&s, h.number, h.number);
        data_task_out(&s, &(struct wire_task_out){.generation = i}, "");
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        script_event(&s, XFER_DONE, &ev);
        script_wait(&s, MS);
        s.taken = s.sent_count;
    }
    assert_int_equal(xfer_sessions_of(s.x, 2, &st, 1), 1);
    assert_true(st.paced && st.window < 1500);
    script_nothing_sent(&s);
    script_wait(&s, 200 * MS);
    script_take_data(&s, &h);

    struct xfer_out next = {.form = form, .form_length = script_form(form, NULL, 0, 8), .deadline_ns = s.now + 100000 * MS};
    data_begin(&s); /* all of it arrived, but what comes next has its time */
    data_ack(&s, h.number, h.number);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    xfer_send(s.x, 2, &next, s.now);
    script_tx(&s);
    script_nothing_sent(&s);
    for (int ms = 0; s.taken == s.sent_count; ms++) {
        assert_true(ms < 5000);
        script_wait(&s, MS);
    }
    script_close(&s);
}

static struct xfer_in *task_in(struct script *s, uint32_t slot, uint32_t size, uint8_t regions)
{
    struct form_region r[CHI_REGIONS_MAX];
    struct xfer_event ev;
    for (int i = 0; i < regions; i++)
        r[i] = (struct form_region){size, 0, CHI_EXPOSE};
    uint32_t n = script_form(form, r, regions, 0);
    data_begin(s);
    data_task_in(s, slot, 1, form, n, n);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    script_event(s, XFER_TASK, &ev);
    return ev.in;
}

/* What small packets bring of the last region of slot 0 is noted, and they are acknowledged; large ones vanish. */
static void take_small(struct script *s, uint8_t region)
{
    struct wire_header h;
    struct wire_frame f;
    while (s->taken < s->sent_count) {
        struct wire_cursor c = script_take_data(s, &h);
        if (h.length > WIRE_PACKET_MIN)
            continue;
        while (script_frame(&c, &f) != WIRE_FRAME_END)
            if (f.type == WIRE_FRAME_SEGMENT && f.segment.slot == 0 && f.segment.region == region)
                memset(seen + f.segment.offset, 1, f.segment.length);
        data_begin(s);
        data_ack(s, h.number, h.number);
        assert_int_equal(data_end(s), CHI_DROP_NONE);
    }
}

static void until_seen(struct script *s, uint8_t region, uint32_t length)
{
    for (int i = 0; i < 1000 && memchr(seen, 0, length); i++) {
        take_small(s, region);
        script_wait(s, MS / 10);
    }
    assert_null(memchr(seen, 0, length));
}

/* Three probe time-outs, of which each loses a packet: all that were out, and packets are short from now on. */
static void lose_all(struct script *s)
{
    struct xfer_peer_stats st;
    xfer_stats(s->x, &st, 1);
    assert_in_range(st.in_flight, 1, 3);
    s->no_packet = true;
    for (int i = 0; i < 100; i++)
        script_wait(s, MS);
    s->no_packet = false;
    xfer_stats(s->x, &st, 1);
    assert_true(st.in_flight == 0 && st.packet_bytes == WIRE_PACKET_MIN);
}

static void push_all(struct script *s, struct xfer_in *in, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++)
        xfer_push(s->x, in, i, 20, s->now);
}

/* Four tasks, of which the first has one region to send back; and then what the others push takes all references. */
static void tasks_crowd(struct script *s, uint64_t bytes, struct xfer_in *in[4])
{
    live_large(s, 4); /* 32 references, and one for each slot */
    memset(seen, 0, sizeof seen);
    in[0] = task_in(s, 0, bytes, 1);
    for (uint32_t i = 1; i < 4; i++)
        in[i] = task_in(s, i, 20, 16);
    script_wait(s, MS);
    s->taken = s->sent_count; /* ACKs */
}
static void pushes_crowd(struct script *s, struct xfer_in *in[4])
{
    push_all(s, in[1], 0, 16);
    script_tx(s);
    push_all(s, in[2], 0, 16);
    push_all(s, in[3], 0, 16);
    script_tx(s);
    lose_all(s);
}

/* Packets are short from now on, a lost piece of what was pushed must be cut, and all references are in use: the flow goes back to it.
 * A push right after that goes on from there too. */
static void push__goes_on_from_where_its_flow_went_back_to(void **state)
{
    (void)state;
    enum { FIRST = 8500, ALL = 8600 };
    struct script s;
    struct xfer_in *in[4];
    tasks_crowd(&s, ALL, in);
    xfer_push(s.x, in[0], 0, FIRST, s.now);
    script_tx(&s);
    pushes_crowd(&s, in);
    xfer_tx(s.x, s.now, 1);
    xfer_push(s.x, in[0], 0, ALL, s.now);
    until_seen(&s, 1, ALL);
    script_close(&s);
}

/* The same of an answer, whose head went, too. */
static void answer__goes_back_to_a_piece_that_cannot_be_cut(void **state)
{
    (void)state;
    enum { ALL = 8500 };
    struct script s;
    struct xfer_event ev;
    struct xfer_in *in[4];
    tasks_crowd(&s, ALL, in);
    in[0]->regions[0].used = ALL;
    xfer_answer(s.x, in[0], &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    script_tx(&s);
    pushes_crowd(&s, in);
    until_seen(&s, 1, ALL);
    for (int i = 0; i < 1000 && !xfer_next_event(s.x, &ev); i++) {
        take_small(&s, 1);
        script_wait(&s, MS / 10);
    }
    assert_int_equal(ev.kind, XFER_ANSWERED);
    assert_ptr_equal(ev.in, in[0]);
    script_close(&s);
}

/* And of inputs, of which no more goes for it than was granted. */
static void input__goes_back_to_a_piece_that_cannot_be_cut(void **state)
{
    (void)state;
    enum { BEFORE = 100, GRANTED = 5000, SIZE = 8000 };
    struct script s;
    struct wire_header h;
    struct chi_ar_region r[] = {{.ptr = bulk, .size = BEFORE, .flags = CHI_WRITE}, {.ptr = bulk, .size = SIZE, .flags = CHI_WRITE}};
    const struct form_region f[] = {{BEFORE, 0, CHI_WRITE}, {SIZE, 0, CHI_WRITE}};
    struct xfer_out m = {.form = form, .regions = r, .nregions = 2};
    live_large_with(&s, 4, 0, 4);
    memset(seen, 0, sizeof seen);
    struct xfer_in *in[] = {task_in(&s, 1, 20, 16), task_in(&s, 2, 20, 16), task_in(&s, 3, 20, 16)};
    script_wait(&s, MS);
    s.taken = s.sent_count;
    m.form_length = script_form(form, f, 2, 8);
    m.deadline_ns = s.now + 100000 * MS;
    xfer_send(s.x, 2, &m, s.now);
    script_tx(&s);
    script_take_data(&s, &h); /* its head alone */
    data_begin(&s);
    data_ack(&s, h.number, h.number);
    s.at += wire_put_grant(s.packet + s.at, &(struct wire_grant){.bytes = GRANTED, .slot = 0, .generation = 1});
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_tx(&s);
    push_all(&s, in[0], 0, 16);
    script_tx(&s);
    push_all(&s, in[1], 0, 16);
    push_all(&s, in[2], 0, 16);
    script_tx(&s);
    lose_all(&s);
    until_seen(&s, 2, GRANTED - BEFORE);
    assert_null(memchr(seen + GRANTED - BEFORE, 1, SIZE - (GRANTED - BEFORE)));
    script_close(&s);
}

/* One packet more: a small task, or one with a region that fills a large packet; its number. */
static uint64_t send_packet(struct script *s, bool is_large)
{
    static struct xfer_out out[16];
    static struct chi_ar_region r = {.ptr = bulk, .size = 8000, .flags = CHI_WRITE};
    static unsigned next;
    struct form_region f = {8000, 0, CHI_WRITE};
    struct wire_header h;
    struct xfer_out *m = &out[next++ % 16];
    *m = (struct xfer_out){.form = form, .regions = &r, .nregions = is_large, .deadline_ns = s->now + 1000000 * MS};
    m->form_length = script_form(form, &f, is_large, 8);
    xfer_send(s->x, 2, m, s->now);
    script_tx(s);
    script_take_data(s, &h);
    assert_true(is_large == (h.length > WIRE_PACKET_MIN));
    script_nothing_sent(s);
    return h.number;
}

static void ack_to(struct script *s, uint64_t first, uint64_t last)
{
    data_begin(s);
    data_ack(s, first, last);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    script_tx(s);
}

/* The large packets are lost, three small ones behind them arrive; what is sent then is acknowledged, too. */
static void lose_large(struct script *s, unsigned n)
{
    struct wire_header h;
    uint64_t first = 0;
    while (n--)
        send_packet(s, true);
    for (int i = 0; i < 3; i++) {
        uint64_t number = send_packet(s, false);
        first = first ? first : number;
    }
    ack_to(s, first, first + 2);
    while (s->taken < s->sent_count) {
        script_take_data(s, &h);
        ack_to(s, h.number, h.number);
    }
}

/* Large packets that are lost say nothing of the path when others arrive between. */
static void large__packets_that_are_lost_now_and_then_stay_large(void **state)
{
    (void)state;
    struct script s;
    struct xfer_peer_stats st;
    live_large_with(&s, 64, 1 << 20, 16);
    lose_large(&s, 3);
    lose_large(&s, 1);
    uint64_t number = send_packet(&s, false);
    ack_to(&s, number, number);
    send_packet(&s, true); /* lost, and small ones go on to arrive: one says nothing */
    for (int i = 0; i < 4; i++) {
        number = send_packet(&s, false);
        ack_to(&s, number, number);
        s.taken = s.sent_count;
    }
    xfer_stats(s.x, &st, 1);
    assert_true(st.retransmits == 5 && st.packet_bytes == LARGE);
    script_close(&s);
}

/* Nor does what once arrived count for the next session when it vanished since. */
static void large__packets_that_vanished_are_not_the_next_session_s(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    live_large(&s, 64);
    for (int i = 0; i < 3; i++)
        send_packet(&s, true);
    lose_all(&s);
    data_begin(&s);
    s.at += wire_put_close(s.packet + s.at, WIRE_CLOSE_SHUTDOWN);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    for (int i = 0; i < 3; i++)
        script_event(&s, XFER_DONE, &ev);
    assert_int_equal(meet(&s), WIRE_PACKET_MIN);
    script_close(&s);
}

/* They are tried again at once: a false alarm costs a round trip. */
static void large__packets_that_vanished_are_probed_for_at_once(void **state)
{
    (void)state;
    struct script s;
    struct wire_header h;
    struct xfer_peer_stats st;
    live_large(&s, 64);
    for (int i = 0; i < 3; i++)
        send_packet(&s, true);
    lose_all(&s);
    script_tx(&s);
    do
        script_take_data(&s, &h);
    while (h.length < LARGE);
    ack_to(&s, h.number, h.number);
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.packet_bytes, LARGE);
    script_close(&s);
}

/* The largest one does not arrive, the next one does: packets are so long, also in the next session, and the window is of such. */
static void size__between_is_found_and_kept(void **state)
{
    (void)state;
    enum { NEXT = 4000, WINDOW = 8 };
    struct script s;
    struct wire_header h;
    struct xfer_event ev;
    struct xfer_peer_stats st;
    struct xfer_config c = script_config();
    c.slots = 16;
    c.packet_max = LARGE;
    c.window_packets = WINDOW;
    script_open_with(&s, &c);
    assert_int_equal(meet(&s), WIRE_PACKET_MIN);
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.window, WINDOW * LARGE);
    for (int i = 0; i < 3; i++) {
        script_take_data(&s, &h);
        assert_int_equal(h.length, LARGE); /* vanishes */
        uint64_t first = send_packet(&s, false);
        send_packet(&s, false);
        send_packet(&s, false);
        ack_to(&s, first, first + 2);
    }
    script_take_data(&s, &h);
    assert_int_equal(h.length, NEXT);
    ack_to(&s, h.number, h.number);
    xfer_stats(s.x, &st, 1);
    assert_true(st.packet_bytes == NEXT && st.window == WINDOW * NEXT);
    data_begin(&s);
    s.at += wire_put_close(s.packet + s.at, WIRE_CLOSE_SHUTDOWN);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    while (xfer_next_event(s.x, &ev))
        assert_int_equal(ev.kind, XFER_DONE);
    assert_int_equal(meet(&s), NEXT);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probe__is_one_packet_however_much_waits),
        cmocka_unit_test(pace__holds_back_all_but_a_probe),
        cmocka_unit_test(large__packets_that_are_lost_now_and_then_stay_large),
        cmocka_unit_test(large__packets_that_vanished_are_not_the_next_session_s),
        cmocka_unit_test(large__packets_that_vanished_are_probed_for_at_once),
        cmocka_unit_test(size__between_is_found_and_kept),
        cmocka_unit_test(push__goes_on_from_where_its_flow_went_back_to),
        cmocka_unit_test(answer__goes_back_to_a_piece_that_cannot_be_cut),
        cmocka_unit_test(input__goes_back_to_a_piece_that_cannot_be_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
