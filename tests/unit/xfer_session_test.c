/* Whose a session is, how many a peer may have, what its HELLO decides, and how it ends. */
#include "xfer/xfer_int.h"
#include "xfer_script.h"

static uint8_t small_form[64];

static void send_small(struct script *s, uint32_t node, struct xfer_out *m)
{
    *m = (struct xfer_out){.form = small_form, .deadline_ns = s->now + 1000 * MS};
    m->form_length = script_form(small_form, NULL, 0, 8);
    xfer_send(s->x, node, m, s->now);
    script_tx(s);
}

static uint32_t last_reply; /* the id that the endpoint gave to the one who joined last */

static enum chi_drop say_hello_of(struct script *s, uint32_t node, const struct wire_hello *h)
{
    uint8_t p[WIRE_HELLO_BYTES];
    wire_put_hello(p, h);
    wire_seal(p, sizeof p, script_crc);
    enum chi_drop d = script_rx(s, node, p, sizeof p);
    script_tx(s);
    return d;
}

/* A handshake with any worker of any node, from its first HELLO on; false: the endpoint did not answer. */
static bool joins(struct script *s, uint32_t node, uint16_t worker, uint16_t workers)
{
    static uint32_t last_id = 0x10000;
    struct wire_hello h = script_hello(), reply;
    h.node = node;
    h.worker = worker;
    h.workers = workers;
    h.session = ++last_id;
    s->taken = s->sent_count;
    for (int i = 0; i < 2; i++) {
        if (say_hello_of(s, node, &h) != CHI_DROP_NONE)
            return false;
        if (i == 0)
            script_take_hello(s, &reply);
        h.flags = 0;
        h.peer_session = last_reply = reply.session;
        h.peer_incarnation = reply.incarnation;
    }
    struct xfer_event ev;
    script_event(s, XFER_PEER_UP, &ev);
    assert_int_equal(ev.node, node);
    return true;
}

static void sessions__of_one_peer_leave_each_other_peer_one(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct wire_hello h;
    struct xfer_config c = script_config();
    struct xfer_addr a = {.ip = 3, .port = SCRIPT_PORT};
    c.peers_max = 3;
    script_open_with(&s, &c);
    assert_int_equal(xfer_peer_set(s.x, 3, &a), 0);
    a.ip = 4;
    assert_int_equal(xfer_peer_set(s.x, 4, &a), 0);
    uint16_t taken = 0;
    while (joins(&s, 2, taken, 1000))
        taken++;
    assert_int_equal(s.drops[CHI_DROP_NO_MEMORY], 1);
    assert_true(taken >= 8); /* a node with more workers than this one has its sessions */
    struct wire_hello stray = script_hello();
    stray.node = 3; /* said in its name, and never heard of again */
    stray.worker = 7;
    stray.workers = 1000;
    say_hello_of(&s, 3, &stray);
    assert_true(joins(&s, 3, 0, 1)); /* that called */
    send_small(&s, 4, &m); /* that is called */
    script_take_hello(&s, &h);
    assert_int_equal(s.sent[s.taken - 1].to.ip, 4);
    assert_true(joins(&s, 4, 0, 1));
    assert_true(joins(&s, 3, 0, 1)); /* that begins anew */
    script_close(&s);
}

static void sessions__that_begin_are_not_pushed_out_by_another_peer(void **state)
{
    (void)state;
    struct script s;
    struct xfer_addr a = {.ip = 3, .port = SCRIPT_PORT};
    struct wire_hello h = script_hello(), of_two = script_hello(), reply;
    struct xfer_event ev;
    script_open(&s);
    assert_int_equal(xfer_peer_set(s.x, 3, &a), 0);
    h.node = 3;
    assert_int_equal(say_hello_of(&s, 3, &h), CHI_DROP_NONE);
    script_take_hello(&s, &reply);
    of_two.workers = 1000;
    for (of_two.worker = 0; of_two.worker < 100; of_two.worker++)
        assert_int_equal(say_hello_of(&s, 2, &of_two), CHI_DROP_NONE);
    h.flags = 0;
    h.peer_session = reply.session;
    h.peer_incarnation = reply.incarnation;
    assert_int_equal(say_hello_of(&s, 3, &h), CHI_DROP_NONE);
    script_event(&s, XFER_PEER_UP, &ev);
    assert_int_equal(ev.node, 3);
    script_close(&s);
}

static void hello__answers_wait_in_bounded_number(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello();
    uint8_t p[WIRE_HELLO_BYTES];
    script_open(&s);
    wire_put_hello(p, &h);
    wire_seal(p, sizeof p, script_crc);
    for (int i = 0; i < 200; i++)
        assert_int_equal(script_rx(&s, 2, p, sizeof p), CHI_DROP_NONE);
    for (int i = 0; i < 10; i++)
        script_tx(&s);
    assert_int_equal(s.sent_count, 64);
    script_close(&s);
}

static void hello__with_the_id_that_another_one_got_is_dropped(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello(), reply;
    struct xfer_addr a = {.ip = 3, .port = SCRIPT_PORT};
    script_open(&s);
    assert_int_equal(xfer_peer_set(s.x, 3, &a), 0);
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_take_hello(&s, &reply);
    h.peer_session = reply.session;
    h.peer_incarnation = reply.incarnation;
    h.node = 3;
    assert_int_equal(say_hello_of(&s, 3, &h), CHI_DROP_SESSION_UNKNOWN); /* another node */
    h.node = 2;
    h.worker = 1;
    h.workers = 2;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_SESSION_UNKNOWN); /* another worker */
    script_no_event(&s);
    script_nothing_sent(&s);
    script_close(&s);
}

/* An id with the place of the live session, or one that was never told to anybody. */
static void hello__and_refuse_with_an_id_that_is_none_are_dropped(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello();
    struct xfer_out m;
    script_live(&s);
    send_small(&s, 2, &m);
    s.taken = s.sent_count;
    h.peer_incarnation = SCRIPT_OWN_LIFE;
    h.peer_session = s.session ^ UINT32_C(1) << 31;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_SESSION_UNKNOWN);
    struct wire_refuse r = {.incarnation = SCRIPT_PEER_LIFE, .node = 2, .reason = WIRE_REFUSE_CLUSTER};
    r.session = s.x->peers[0].send->offer_id;
    assert_int_equal(script_say_refuse(&s, 2, &r), CHI_DROP_SESSION_UNKNOWN);
    script_no_event(&s);
    script_nothing_sent(&s);
    script_close(&s);
}

/* A session as script_handshake makes it, with what the peer's HELLO says. */
static void live_as(struct script *s, const struct wire_hello *said)
{
    struct wire_hello h = *said, reply;
    struct xfer_event ev;
    script_open(s);
    assert_int_equal(script_say_hello(s, &h), CHI_DROP_NONE);
    script_take_hello(s, &reply);
    h.flags = 0;
    h.peer_session = s->session = reply.session;
    h.peer_incarnation = reply.incarnation;
    assert_int_equal(script_say_hello(s, &h), CHI_DROP_NONE);
    script_event(s, XFER_PEER_UP, &ev);
}

static unsigned open_out(struct script *s)
{
    struct xfer_peer_stats st;
    xfer_stats(s->x, &st, 1);
    return st.open_out;
}

static void hello__says_how_many_messages_the_peer_keeps(void **state)
{
    (void)state;
    static const struct { uint32_t said, open; } cases[] = {{0, 4}, {1, 1}, {2, 2}, {4, 4}, {WIRE_SLOTS_MAX, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script s;
        struct xfer_out m[5];
        struct wire_hello h = script_hello();
        h.slots = cases[i].said;
        live_as(&s, &h);
        for (int k = 0; k < 5; k++)
            send_small(&s, 2, &m[k]);
        assert_int_equal(open_out(&s), cases[i].open);
        script_close(&s);
    }
}

static void hello__says_how_long_packets_may_be(void **state)
{
    (void)state;
    static uint8_t bulk[20000];
    static const struct { uint16_t said, longest; } cases[] = {{1200, 1200}, {1499, 1499}, {9000, 1500}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script s;
        struct wire_hello h = script_hello();
        struct chi_ar_region r = {.ptr = bulk, .size = sizeof bulk, .flags = CHI_WRITE};
        const struct form_region f = {.size = sizeof bulk, .flags = CHI_WRITE};
        struct xfer_out m = {.form = small_form, .regions = &r, .nregions = 1};
        uint32_t longest = 0;
        h.packet_max = cases[i].said;
        live_as(&s, &h);
        m.form_length = script_form(small_form, &f, 1, 8);
        m.deadline_ns = s.now + 1000 * MS;
        xfer_send(s.x, 2, &m, s.now);
        script_tx(&s);
        for (unsigned k = s.taken; k < s.sent_count; k++)
            longest = s.sent[k].length > longest ? s.sent[k].length : longest;
        assert_int_equal(longest, cases[i].longest);
        script_close(&s);
    }
}

static void restart__ends_the_sessions_of_all_workers(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    uint32_t n = script_form(small_form, NULL, 0, 8);
    script_open(&s);
    assert_true(joins(&s, 2, 1, 2));
    s.session = last_reply;
    data_begin(&s); /* a task of its worker 1 */
    data_task_in(&s, 0, 1, small_form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    struct wire_hello h = script_hello(), reply;
    h.incarnation++;
    h.workers = 2; /* its worker 0 comes back first */
    s.taken = s.sent_count;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_take_hello(&s, &reply);
    h.peer_session = reply.session;
    h.peer_incarnation = reply.incarnation;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    struct xfer_in *in = ev.in;
    script_event(&s, XFER_PEER_UP, &ev);
    script_event(&s, XFER_CANCELLED, &ev);
    assert_ptr_equal(ev.in, in);
    assert_int_equal(ev.status, CHI_STATUS_PEER_RESTARTED);
    data_begin(&s);
    data_ping(&s);
    assert_int_equal(data_end(&s), CHI_DROP_SESSION_UNKNOWN);
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    script_event(&s, XFER_ANSWERED, &ev); /* nobody waits for it */
    script_close(&s);
}

static void session__of_a_worker_that_is_no_counterpart_is_not_sent_in(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct wire_hello h;
    script_open(&s);
    assert_true(joins(&s, 2, 1, 2)); /* worker 0 here sends to worker 0 there */
    s.taken = s.sent_count;
    send_small(&s, 2, &m);
    script_take_hello(&s, &h);
    assert_int_equal(s.sent[s.taken - 1].to.port, SCRIPT_PORT);
    assert_true(joins(&s, 2, 0, 2));
    assert_int_equal(open_out(&s), 1);
    script_close(&s);
}

static void close__lets_what_was_not_sent_wait_for_the_next_life(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_event ev;
    struct wire_hello h;
    script_live(&s);
    s.no_packet = true;
    send_small(&s, 2, &m);
    s.no_packet = false;
    data_begin(&s);
    s.at += wire_put_close(s.packet + s.at, WIRE_CLOSE_SHUTDOWN);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_no_event(&s);
    script_tx(&s);
    script_take_hello(&s, &h); /* at once */
    script_wait(&s, 1000 * MS);
    script_event(&s, XFER_DONE, &ev);
    assert_int_equal(ev.status, CHI_STATUS_UNREACHABLE);
    script_close(&s);
}

/* Three had their slots already, the latest the lowest: nobody overtakes. */
static void close__lets_what_was_not_sent_go_first_and_in_order(void **state)
{
    (void)state;
    enum { COUNT = 5 };
    struct script s;
    struct xfer_out m[COUNT];
    struct wire_hello h = script_hello(), reply;
    struct xfer_event ev;
    struct wire_header header;
    struct wire_frame f;
    h.slots = 3;
    live_as(&s, &h);
    s.no_packet = true;
    for (uint32_t i = 0; i < COUNT; i++) {
        m[i] = (struct xfer_out){.form = small_form, .deadline_ns = s.now + (i ? 1000 : 1) * MS};
        m[i].form_length = script_form(small_form, NULL, 0, 8) + i;
        xfer_send(s.x, 2, &m[i], s.now);
    }
    script_wait(&s, 3 * MS);
    script_event(&s, XFER_DONE, &ev);
    assert_ptr_equal(ev.out, &m[0]); /* who waits takes its slot */
    data_begin(&s);
    s.at += wire_put_close(s.packet + s.at, WIRE_CLOSE_SHUTDOWN);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_no_event(&s);
    s.no_packet = false;
    script_tx(&s);
    script_take_hello(&s, &reply);
    h.flags = 0;
    h.slots = 4;
    h.peer_session = reply.session;
    h.peer_incarnation = reply.incarnation;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_event(&s, XFER_PEER_UP, &ev);
    struct wire_cursor c = script_take_data(&s, &header);
    for (uint32_t i = 1; i < COUNT; i++) {
        assert_int_equal(script_frame(&c, &f), WIRE_FRAME_TASK_IN);
        assert_int_equal(f.task_in.form_length, m[i].form_length);
    }
    script_close(&s);
}

/* The HELLOs before it were further and further apart; with the session that is over. */
static void hello__is_said_at_once_after_a_session(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[2];
    struct xfer_event ev;
    struct wire_hello mine, h = script_hello();
    script_open(&s);
    send_small(&s, 2, &m[0]);
    for (int i = 0; i < 15; i++) /* at 0, 5 and 15 ms; the next one at 35 */
        script_wait(&s, MS);
    for (int i = 0; i < 3; i++)
        script_take_hello(&s, &mine);
    script_wait(&s, 5 * MS);
    h.flags = 0;
    h.peer_session = s.session = mine.session;
    h.peer_incarnation = mine.incarnation;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_event(&s, XFER_PEER_UP, &ev);
    data_begin(&s);
    s.at += wire_put_close(s.packet + s.at, WIRE_CLOSE_SHUTDOWN);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_DONE, &ev);
    s.taken = s.sent_count;
    send_small(&s, 2, &m[1]);
    script_take_hello(&s, &mine);
    script_close(&s);
}

static void shutdown__answers_no_hello(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello();
    const uint8_t *p;
    struct wire_header header;
    uint8_t hello[WIRE_HELLO_BYTES];
    script_live(&s);
    h.session++;
    wire_put_hello(hello, &h);
    wire_seal(hello, sizeof hello, script_crc);
    assert_int_equal(script_rx(&s, 2, hello, sizeof hello), CHI_DROP_NONE); /* its answer would go now */
    xfer_shutdown(s.x, s.now);
    script_tx(&s);
    assert_int_equal(script_take(&s, &p, &header), WIRE_KIND_DATA); /* CLOSE */
    script_nothing_sent(&s);
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_SESSION_UNKNOWN);
    script_nothing_sent(&s);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions__of_one_peer_leave_each_other_peer_one),
        cmocka_unit_test(sessions__that_begin_are_not_pushed_out_by_another_peer),
        cmocka_unit_test(hello__answers_wait_in_bounded_number),
        cmocka_unit_test(hello__with_the_id_that_another_one_got_is_dropped),
        cmocka_unit_test(hello__and_refuse_with_an_id_that_is_none_are_dropped),
        cmocka_unit_test(hello__says_how_many_messages_the_peer_keeps),
        cmocka_unit_test(hello__says_how_long_packets_may_be),
        cmocka_unit_test(restart__ends_the_sessions_of_all_workers),
        cmocka_unit_test(session__of_a_worker_that_is_no_counterpart_is_not_sent_in),
        cmocka_unit_test(close__lets_what_was_not_sent_wait_for_the_next_life),
        cmocka_unit_test(close__lets_what_was_not_sent_go_first_and_in_order),
        cmocka_unit_test(hello__is_said_at_once_after_a_session),
        cmocka_unit_test(shutdown__answers_no_hello),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
