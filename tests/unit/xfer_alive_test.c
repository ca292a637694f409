/* Whether a peer is still there: who asks, when, and what ends when nobody answers (xfer/alive.c). */
#include "tests/unit/xfer_script.h"

enum { SILENCE_MS = 1000, QUARTER_MS = SILENCE_MS / 4 };
static uint8_t form[2000];

static void live(struct script *s)
{
    struct xfer_config c = script_config();
    c.silence_ns = SILENCE_MS * MS;
    c.overcommit = 1;
    c.grant_bytes = 1000;
    script_open_with(s, &c);
    script_handshake(s);
}

static void send_small(struct script *s, uint32_t node, struct xfer_out *m, uint64_t life_ms)
{
    *m = (struct xfer_out){.form = form, .form_length = script_form(form, NULL, 0, 8), .deadline_ns = s->now + life_ms * MS};
    xfer_send(s->x, node, m, s->now);
    script_tx(s);
}

/* The peer acknowledges all that came so far. */
static void ack_all(struct script *s)
{
    struct wire_header h = {0};
    const uint8_t *p;
    uint64_t last = 0;
    while (script_take(s, &p, &h))
        if (h.kind == WIRE_KIND_DATA)
            last = h.number;
    if (!last)
        return;
    data_begin(s);
    data_ack(s, 1, last);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
}

/* PINGs among what it sent since the test last looked. */
static unsigned pings(struct script *s)
{
    struct wire_header h;
    const uint8_t *p;
    unsigned n = 0;
    while (script_take(s, &p, &h)) {
        struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
        struct wire_frame f;
        while (h.kind == WIRE_KIND_DATA && script_frame(&c, &f) != WIRE_FRAME_END)
            n += f.type == WIRE_FRAME_PING;
    }
    return n;
}

static void done(struct script *s, struct xfer_out *m, enum chi_status st)
{
    struct xfer_event ev;
    script_event(s, XFER_DONE, &ev);
    assert_ptr_equal(ev.out, m);
    assert_int_equal(ev.status, st);
}

static void silence__ends_what_is_open_and_says_whether_it_may_have_run(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out sent, unsent, later;
    struct xfer_event ev;
    struct xfer_peer_stats st[2];
    live(&s);
    send_small(&s, 2, &sent, 100000);
    ack_all(&s);
    s.no_packet = true;
    send_small(&s, 2, &unsent, 100000);
    for (int ms = 0; ms < SILENCE_MS; ms += 10) {
        script_no_event(&s);
        script_wait(&s, 10 * MS);
    }
    script_event(&s, XFER_PEER_DOWN, &ev);
    assert_int_equal(ev.node, 2);
    done(&s, &sent, CHI_STATUS_PEER_DOWN);
    done(&s, &unsent, CHI_STATUS_UNREACHABLE);
    script_no_event(&s);
    xfer_stats(s.x, st, 2);
    assert_int_equal(st[0].state, XFER_PEER_SILENT);
    assert_int_equal(st[0].downs, 1);
    assert_int_equal(st[0].open_out, 0);
    s.no_packet = false;
    s.taken = s.sent_count;

    send_small(&s, 2, &later, 100000); /* waits, as for one that was never there */
    struct wire_hello h, back = script_hello();
    script_take_hello(&s, &h);
    script_no_event(&s);
    back.session++;
    back.peer_session = h.session;
    back.peer_incarnation = SCRIPT_OWN_LIFE;
    assert_int_equal(script_say_hello(&s, &back), CHI_DROP_NONE); /* the same life: it was cut off */
    script_event(&s, XFER_PEER_UP, &ev);
    xfer_stats(s.x, st, 2);
    assert_int_equal(st[0].state, XFER_PEER_READY);
    assert_int_equal(st[0].open_out, 1);
    script_close(&s);
}

/* Three PINGs went unanswered, and then it begins a session anew: it is there. */
static void silence__ends_with_a_hello(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m, next;
    struct xfer_event ev;
    struct wire_hello h = script_hello(), reply;
    const uint8_t *p;
    struct wire_header header;
    live(&s);
    send_small(&s, 2, &m, 1000000);
    ack_all(&s);
    for (int i = 0; i < 3; i++)
        script_wait(&s, QUARTER_MS * MS);
    assert_int_equal(pings(&s), 3);
    script_wait(&s, (QUARTER_MS - 10) * MS);
    s.taken = s.sent_count;
    h.session++;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    while (s.taken < s.sent_count)
        if (script_take(&s, &p, &header) == WIRE_KIND_HELLO)
            assert_int_equal(wire_get_hello(p, header.length, &reply), CHI_DROP_NONE);
    h.flags = 0;
    h.peer_session = reply.session;
    h.peer_incarnation = reply.incarnation;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_event(&s, XFER_PEER_UP, &ev);
    done(&s, &m, CHI_STATUS_PEER_DOWN); /* of the session before */
    send_small(&s, 2, &next, 1000000);
    script_wait(&s, 20 * MS);
    script_no_event(&s);
    struct xfer_peer_stats st;
    xfer_stats(s.x, &st, 1);
    assert_true(st.downs == 0 && st.open_out == 1);
    script_close(&s);
}

static void ping__is_sent_while_something_is_open_and_nothing_is_heard(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    live(&s);
    assert_true(xfer_deadline(s.x) == UINT64_MAX); /* nothing open: no traffic, no timer */
    send_small(&s, 2, &m, 100000);
    ack_all(&s);
    for (int round = 0; round < 3; round++) {
        script_wait(&s, QUARTER_MS * MS - MS);
        assert_int_equal(pings(&s), 0);
        script_wait(&s, MS);
        assert_int_equal(pings(&s), 1);
        data_begin(&s);
        data_ack(&s, 1, 1); /* says nothing new, but that it lives */
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
    }
    data_begin(&s);
    data_task_out(&s, &(struct wire_task_out){.generation = 1}, "");
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    done(&s, &m, CHI_STATUS_OK);
    script_wait(&s, MS); /* its ack */
    s.taken = s.sent_count;
    for (int i = 0; i < 8; i++) {
        script_wait(&s, QUARTER_MS * MS);
        assert_int_equal(pings(&s), 0);
    }
    assert_true(xfer_deadline(s.x) == UINT64_MAX);
    script_close(&s);
}

/* A quarter of the silence counts from the last packet that came. */
static void ping__is_not_sent_to_who_was_heard(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    live(&s);
    send_small(&s, 2, &m, 100000);
    ack_all(&s);
    for (int i = 0; i < 8; i++) {
        script_wait(&s, QUARTER_MS * MS - MS);
        assert_int_equal(pings(&s), 0);
        data_begin(&s);
        data_ack(&s, 1, 1);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
    }
    script_wait(&s, QUARTER_MS * MS - MS);
    assert_int_equal(pings(&s), 0);
    script_wait(&s, MS);
    assert_int_equal(pings(&s), 1);
    script_close(&s);
}

/* What is out was not acknowledged, and the window is full: a peer that lives is still asked, and heard. */
static void ping__is_sent_though_the_window_is_full(void **state)
{
    (void)state;
    static uint8_t bulk[100000];
    struct script s;
    struct xfer_config c = script_config();
    c.silence_ns = 40 * MS;
    c.pto_min_ns = c.pto_max_ns = 1000 * MS; /* no probe comes before it */
    struct chi_ar_region r = {.ptr = bulk, .size = sizeof bulk, .flags = CHI_WRITE};
    struct form_region f = {.size = sizeof bulk, .flags = CHI_WRITE};
    struct xfer_out m = {.form = form, .form_length = script_form(form, &f, 1, 8), .regions = &r, .nregions = 1};
    c.window_packets = 16;
    script_open_with(&s, &c);
    script_handshake(&s);
    m.deadline_ns = s.now + 100000 * MS;
    xfer_send(s.x, 2, &m, s.now);
    script_tx(&s);
    struct xfer_peer_stats st;
    xfer_stats(s.x, &st, 1);
    assert_true(st.in_flight_bytes >= st.window);
    s.taken = s.sent_count;
    for (int ms = 0; ms < 10; ms++)
        script_wait(&s, MS);
    assert_int_equal(pings(&s), 1);
    script_close(&s);
}

/* What goes with it might find no place there, and then neither would be acknowledged. */
static void ping__goes_alone(void **state)
{
    (void)state;
    static uint8_t bulk[60000];
    struct script s;
    struct wire_header h;
    const uint8_t *p;
    unsigned found = 0;
    live(&s);
    struct chi_ar_region r = {.ptr = bulk, .size = sizeof bulk, .flags = CHI_WRITE};
    struct xfer_out m = {.regions = &r, .nregions = 1, .deadline_ns = s.now + 100000 * MS, .form = form};
    m.form_length = script_form(form, &(struct form_region){sizeof bulk, 0, CHI_WRITE}, 1, 8);
    xfer_send(s.x, 2, &m, s.now);
    script_tx(&s);
    data_begin(&s);
    data_ack(&s, 1, 1); /* its TASK_IN, and nothing of the rest */
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    for (int ms = 0; ms <= QUARTER_MS + 20; ms++) /* a probe time-out makes room for it */
        script_wait(&s, MS);
    while (script_take(&s, &p, &h)) {
        struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
        struct wire_frame f;
        unsigned frames = 0, is = 0;
        while (script_frame(&c, &f) != WIRE_FRAME_END) {
            frames += f.type != WIRE_FRAME_ACK;
            is += f.type == WIRE_FRAME_PING;
        }
        assert_true(!is || frames == 1);
        found += is;
    }
    assert_int_equal(found, 1);
    script_close(&s);
}

/* Whatever else is due: large packets may not arrive. */
static void ping__goes_in_a_packet_that_each_path_carries(void **state)
{
    (void)state;
    enum { MESSAGES = 60 }; /* with a GRANT each */
    struct script s;
    struct xfer_config c = script_config();
    const struct form_region r[] = {{5000, 0, CHI_WRITE}};
    uint32_t n = script_form(form, r, 1, 0), found = 0;
    const uint8_t *p;
    struct wire_header h;
    c.silence_ns = SILENCE_MS * MS;
    c.grant_bytes = 1000;
    c.slots = c.messages_in = c.overcommit = 64;
    script_open_with(&s, &c);
    script_handshake(&s);
    s.no_packet = true;
    for (uint32_t slot = 0; slot < MESSAGES; slot++) {
        struct wire_task_in w = {.slot = slot, .generation = 1, .form_length = n, .inline_length = (uint16_t)n, .flags = WIRE_TASK_WAITS};
        data_begin(&s);
        s.at += wire_put_task_in(s.packet + s.at, &w);
        data_bytes(&s, form, n);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
    }
    script_wait(&s, QUARTER_MS * MS);
    s.no_packet = false;
    script_tx(&s);
    while (script_take(&s, &p, &h)) {
        struct wire_cursor at = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
        struct wire_frame f;
        unsigned grants = 0;
        bool is = false;
        while (script_frame(&at, &f) != WIRE_FRAME_END) {
            grants += f.type == WIRE_FRAME_GRANT;
            is |= f.type == WIRE_FRAME_PING;
        }
        found += is;
        assert_true(grants > 0 && (!is || h.length <= WIRE_PACKET_MIN));
    }
    assert_int_equal(found, 1);
    script_close(&s);
}

static void pause__of_our_own_is_no_silence_of_the_peer(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_event ev;
    live(&s);
    send_small(&s, 2, &m, 1000000);
    ack_all(&s);
    script_wait(&s, QUARTER_MS * MS);
    assert_int_equal(pings(&s), 1);
    script_wait(&s, 100 * SILENCE_MS * MS); /* stopped in the middle */
    script_no_event(&s);
    script_wait(&s, 100 * SILENCE_MS * MS);
    script_no_event(&s);
    script_wait(&s, QUARTER_MS * MS - MS); /* three quarters are over: then one more */
    script_no_event(&s);
    script_wait(&s, MS);
    script_event(&s, XFER_PEER_DOWN, &ev);
    done(&s, &m, CHI_STATUS_PEER_DOWN);
    script_close(&s);
}

static void silence__cancels_the_peer_s_tasks_and_leaves_other_peers_alone(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_event ev, task;
    struct xfer_addr a = {.ip = 3, .port = SCRIPT_PORT};
    live(&s);
    assert_int_equal(xfer_peer_set(s.x, 3, &a), 0);
    uint32_t n = script_form(form, NULL, 0, 8);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &task);
    const struct form_region r[] = {{1000, 0, CHI_WRITE}};
    n = script_form(form, r, 1, 0);
    data_begin(&s);
    data_task_in(&s, 1, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    assert_int_equal(s.memory_out, 1);
    send_small(&s, 3, &m, 100000); /* it is only dialed: nothing of it can be silent */
    for (int ms = 0; ms < SILENCE_MS; ms += 10) {
        script_no_event(&s);
        script_wait(&s, 10 * MS);
        s.taken = s.sent_count;
    }
    script_event(&s, XFER_PEER_DOWN, &ev);
    assert_int_equal(ev.node, 2);
    script_event(&s, XFER_CANCELLED, &ev);
    assert_int_equal(ev.status, CHI_STATUS_PEER_DOWN);
    assert_ptr_equal(ev.in, task.in);
    script_no_event(&s);
    assert_int_equal(s.memory_out, 0); /* what it had begun */
    xfer_answer(s.x, task.in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    script_event(&s, XFER_ANSWERED, &ev);
    script_close(&s);
}

/* One message of two has grants at once: the second waits.  Something of the first comes after so many quarters of the silence; it is
 * given up ten silences later, and then the second one, which has its turn. */
static void wait_for_a_turn(int comes_after)
{
    struct script s;
    const struct form_region r[] = {{100000, 0, CHI_WRITE}};
    live(&s);
    uint32_t n = script_form(form, r, 1, 0);
    for (uint32_t slot = 0; slot < 2; slot++) {
        struct wire_task_in w = {.slot = slot, .generation = 1, .form_length = n, .inline_length = (uint16_t)n, .flags = WIRE_TASK_WAITS};
        data_begin(&s);
        s.at += wire_put_task_in(s.packet + s.at, &w);
        data_bytes(&s, form, n);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
    }
    int left[] = {0, 0, 0};
    for (int quarters = 0; s.memory_out; quarters++) {
        assert_true(quarters < 1000);
        left[s.memory_out]++;
        script_wait(&s, QUARTER_MS * MS);
        ack_all(&s);
        data_begin(&s);
        data_ping(&s);
        if (quarters + 1 == comes_after)
            data_segment(&s, 0, 1, 1, 0, 0, form, 1);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        while (s.sent_count)
            free(s.sent[--s.sent_count].bytes);
        s.taken = 0;
    }
    assert_in_range(left[2], comes_after + 40, comes_after + 42);
    assert_in_range(left[1], 39, 42);
    script_close(&s);
}

/* With whichever worker of it they are. */
static void silence__ends_each_session_with_the_peer(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    struct wire_hello h = script_hello();
    uint32_t n = script_form(form, NULL, 0, 8);
    live(&s);
    for (uint16_t worker = 0; worker < 3; worker++) {
        if (worker) {
            h = script_hello();
            h.workers = 3;
            h.worker = worker;
            h.session += worker;
            s.taken = s.sent_count;
            script_meet(&s, h);
        }
        data_begin(&s);
        data_task_in(&s, 0, 1, form, n, n);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        script_event(&s, XFER_TASK, &ev);
    }
    for (int ms = 0; ms < SILENCE_MS; ms += 10) {
        script_no_event(&s);
        script_wait(&s, 10 * MS);
    }
    script_event(&s, XFER_PEER_DOWN, &ev);
    for (int i = 0; i < 3; i++)
        script_event(&s, XFER_CANCELLED, &ev);
    script_no_event(&s);
    script_close(&s);
}

static void silence__about_a_message_that_waits_for_our_grant_does_not_count(void **state)
{
    (void)state;
    wait_for_a_turn(0);
    wait_for_a_turn(30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence__ends_what_is_open_and_says_whether_it_may_have_run),
        cmocka_unit_test(silence__ends_with_a_hello),
        cmocka_unit_test(ping__is_sent_while_something_is_open_and_nothing_is_heard),
        cmocka_unit_test(ping__is_not_sent_to_who_was_heard),
        cmocka_unit_test(ping__is_sent_though_the_window_is_full),
        cmocka_unit_test(ping__goes_alone),
        cmocka_unit_test(ping__goes_in_a_packet_that_each_path_carries),
        cmocka_unit_test(pause__of_our_own_is_no_silence_of_the_peer),
        cmocka_unit_test(silence__cancels_the_peer_s_tasks_and_leaves_other_peers_alone),
        cmocka_unit_test(silence__ends_each_session_with_the_peer),
        cmocka_unit_test(silence__about_a_message_that_waits_for_our_grant_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
