/* How sessions begin, are refused, and notice a restart. */
#include "xfer_script.h"

static uint8_t small_form[64];

static void begin_message(struct script *s, struct xfer_out *m)
{
    *m = (struct xfer_out){.form = small_form, .deadline_ns = s->now + 1000 * MS};
    m->form_length = script_form(small_form, NULL, 0, 8);
    xfer_send(s->x, 2, m, s->now);
    script_tx(s);
}

static void expect_done(struct script *s, struct xfer_out *m, enum chi_status status)
{
    struct xfer_event ev;
    script_event(s, XFER_DONE, &ev);
    assert_ptr_equal(ev.out, m);
    assert_int_equal(ev.status, status);
    script_no_event(s);
}

static void hello__asked_is_live_only_after_the_echo(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello(), reply;
    script_open(&s);
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_take_hello(&s, &reply);
    assert_int_equal(reply.peer_session, h.session);
    assert_int_equal(reply.peer_incarnation, h.incarnation);
    assert_int_equal(reply.incarnation, SCRIPT_OWN_LIFE);
    assert_int_equal(reply.flags, WIRE_HELLO_REPLY_WANTED | WIRE_HELLO_ECN | WIRE_HELLO_PAD | WIRE_HELLO_PORT);
    assert_int_equal(s.sent[0].to.ip, 2);
    assert_int_equal(s.sent[0].to.port, SCRIPT_PORT);
    script_no_event(&s);

    h.peer_session = reply.session + 1; /* a guess */
    h.peer_incarnation = reply.incarnation;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_SESSION_UNKNOWN);
    script_no_event(&s);
    h.peer_session = reply.session;
    h.peer_incarnation = reply.incarnation - 1; /* meant for a former life */
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_INCARNATION);
    script_no_event(&s);
    h.peer_incarnation = reply.incarnation;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    struct xfer_event ev;
    script_event(&s, XFER_PEER_UP, &ev);
    assert_int_equal(ev.node, 2);
    assert_int_equal(ev.incarnation, SCRIPT_PEER_LIFE);
    script_close(&s);
}

static void hello__asking_retries_with_back_off_while_a_message_waits(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct wire_hello h;
    script_open(&s);
    begin_message(&s, &m);
    script_take_hello(&s, &h);
    assert_int_equal(h.peer_session, 0);
    script_wait(&s, 4 * MS);
    script_nothing_sent(&s);
    script_wait(&s, 1 * MS);
    script_take_hello(&s, &h);
    script_wait(&s, 9 * MS);
    script_nothing_sent(&s);
    script_wait(&s, 1 * MS);
    script_take_hello(&s, &h);
    script_wait(&s, 1000 * MS); /* past the deadline */
    expect_done(&s, &m, CHI_STATUS_UNREACHABLE);
    while (s.taken < s.sent_count)
        script_take_hello(&s, &h);
    script_wait(&s, 1000 * MS);
    script_nothing_sent(&s); /* nobody waits any more */
    assert_true(xfer_deadline(s.x) == UINT64_MAX);
    script_close(&s);
}

static void hello__answered_sends_what_waited(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct wire_hello h, reply = script_hello();
    struct wire_header header;
    struct wire_frame f;
    script_open(&s);
    begin_message(&s, &m);
    script_take_hello(&s, &h);
    reply.peer_session = h.session;
    reply.peer_incarnation = h.incarnation;
    assert_int_equal(script_say_hello(&s, &reply), CHI_DROP_NONE);
    script_take_hello(&s, &h); /* wanted, and before the data */
    assert_int_equal(h.peer_session, SCRIPT_PEER_SESSION);
    assert_false(h.flags & WIRE_HELLO_REPLY_WANTED);
    struct wire_cursor c = script_take_data(&s, &header);
    assert_int_equal(header.number, 1);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_TASK_IN);
    assert_memory_equal(f.task_in.bytes, small_form, f.task_in.inline_length);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_END);
    script_close(&s);
}

static void hello__goes_to_the_own_number_then_to_worker_0_and_then_where_it_says(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_config c = script_config();
    struct wire_hello h, hint = script_hello();
    c.worker = 3;
    c.workers = 4;
    script_open_with(&s, &c);
    begin_message(&s, &m);
    script_take_hello(&s, &h);
    assert_int_equal(s.sent[0].to.port, SCRIPT_PORT + 3);
    script_wait(&s, 5 * MS);
    script_take_hello(&s, &h);
    assert_int_equal(s.sent[1].to.port, SCRIPT_PORT);
    hint.workers = 2;
    hint.flags = 0;
    hint.peer_session = h.session;
    hint.peer_incarnation = h.incarnation;
    assert_int_equal(script_say_hello(&s, &hint), CHI_DROP_NONE);
    script_take_hello(&s, &h);
    assert_int_equal(s.sent[2].to.port, SCRIPT_PORT + 3 % 2);
    script_no_event(&s);
    assert_int_equal(script_say_hello(&s, &hint), CHI_DROP_NONE); /* no news: or the two would go on for ever */
    script_nothing_sent(&s);
    script_close(&s);
}

static void hello__hint_is_of_no_use_when_nothing_waits_any_more(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_config c = script_config();
    struct wire_hello h, hint = script_hello();
    c.worker = 3;
    c.workers = 4;
    script_open_with(&s, &c);
    begin_message(&s, &m);
    script_take_hello(&s, &h);
    script_wait(&s, 5 * MS);
    script_take_hello(&s, &h); /* to worker 0 */
    script_wait(&s, 1000 * MS);
    expect_done(&s, &m, CHI_STATUS_UNREACHABLE);
    s.taken = s.sent_count;
    hint.workers = 2;
    hint.flags = 0;
    hint.peer_session = h.session;
    hint.peer_incarnation = h.incarnation;
    assert_int_equal(script_say_hello(&s, &hint), CHI_DROP_NONE);
    script_nothing_sent(&s);
    script_close(&s);
}

static void hello__of_a_worker_with_another_counterpart_gets_a_hint_only(void **state)
{
    (void)state;
    struct script s;
    struct xfer_config c = script_config();
    struct wire_hello h = script_hello(), reply;
    c.workers = 2; /* this is worker 0 of 2 */
    script_open_with(&s, &c);
    h.worker = 3;
    h.workers = 4; /* worker 3 belongs to worker 1 */
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_take_hello(&s, &reply);
    assert_int_equal(s.sent[0].to.port, SCRIPT_PORT + 3);
    assert_int_equal(reply.workers, 2);
    assert_int_equal(reply.session, 1); /* which nobody uses */
    assert_false(reply.flags & WIRE_HELLO_REPLY_WANTED);
    h.peer_session = reply.session;
    h.peer_incarnation = reply.incarnation;
    script_say_hello(&s, &h);
    script_no_event(&s); /* no session comes of it */
    script_close(&s);
}

static void hello__of_strangers_is_refused(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello();
    struct wire_refuse r;
    script_open(&s);
    memcpy(h.cluster, "unix", 4);
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_CLUSTER);
    script_take_refuse(&s, &r);
    assert_int_equal(r.reason, WIRE_REFUSE_CLUSTER);
    assert_int_equal(r.session, h.session);
    h = script_hello();
    h.cluster_length = 3; /* a prefix of ours */
    h.cluster[3] = 0;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_CLUSTER);
    script_take_refuse(&s, &r);
    h = script_hello();
    h.node = 9;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_PEER_UNKNOWN);
    script_take_refuse(&s, &r);
    assert_int_equal(r.reason, WIRE_REFUSE_UNKNOWN_NODE);
    h.node = 1; /* ourselves */
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_PEER_UNKNOWN);
    script_nothing_sent(&s);

    uint8_t p[WIRE_HELLO_BYTES];
    h = script_hello();
    size_t n = wire_put_hello(p, &h);
    wire_seal(p, n, script_crc);
    assert_int_equal(script_rx(&s, 3, p, n), CHI_DROP_ADDRESS);
    p[0] = WIRE_VERSION + 1;
    assert_int_equal(script_rx(&s, 2, p, n), CHI_DROP_VERSION);
    script_tx(&s);
    script_take_refuse(&s, &r);
    assert_int_equal(r.reason, WIRE_REFUSE_VERSION);
    assert_int_equal(r.version, WIRE_VERSION);
    assert_int_equal(s.drops[CHI_DROP_CLUSTER], 2);
    assert_int_equal(s.drops[CHI_DROP_PEER_UNKNOWN], 2);
    assert_int_equal(s.drops[CHI_DROP_ADDRESS], 1);
    assert_int_equal(s.drops[CHI_DROP_VERSION], 1);
    script_close(&s);
}

static void refuse__is_limited_in_rate(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello();
    script_open(&s);
    h.node = 9;
    for (int i = 0; i < 100; i++)
        script_say_hello(&s, &h);
    assert_int_equal(s.sent_count, 32);
    s.now += 1 * MS;
    for (int i = 0; i < 100; i++)
        script_say_hello(&s, &h);
    assert_int_equal(s.sent_count, 42);
    script_close(&s);
}

static void refused(enum wire_refuse_reason reason, enum chi_status status)
{
    struct script s;
    struct xfer_out m;
    struct wire_hello h;
    script_open(&s);
    begin_message(&s, &m);
    script_take_hello(&s, &h);
    struct wire_refuse r = {.incarnation = 5, .node = 2, .session = h.session + 1, .reason = (uint8_t)reason, .version = 9};
    if (reason == WIRE_REFUSE_VERSION)
        r.session = 0;
    else
        assert_int_equal(script_say_refuse(&s, 2, &r), CHI_DROP_SESSION_UNKNOWN); /* not what we said */
    assert_int_not_equal(script_say_refuse(&s, 3, &r), CHI_DROP_NONE);            /* not from there */
    script_no_event(&s);
    if (reason != WIRE_REFUSE_VERSION) {
        r.session = h.session;
        assert_int_equal(script_say_refuse(&s, 3, &r), CHI_DROP_ADDRESS); /* what we said, but to another one */
        script_no_event(&s);
    } else { /* one may be due to a damaged HELLO */
        for (int i = 0; i < 2; i++)
            assert_int_equal(script_say_refuse(&s, 2, &r), CHI_DROP_NONE);
        script_no_event(&s);
        script_wait(&s, 5 * MS);
        script_take_hello(&s, &h);
    }
    assert_int_equal(script_say_refuse(&s, 2, &r), CHI_DROP_NONE);
    expect_done(&s, &m, status);
    struct xfer_peer_stats st;
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.state, XFER_PEER_REFUSED);

    begin_message(&s, &m); /* tried anew, but not more often than the others */
    script_nothing_sent(&s);
    script_wait(&s, 5 * MS);
    script_take_hello(&s, &h);
    script_close(&s);
}

static void refuse__ends_what_waits(void **state)
{
    (void)state;
    refused(WIRE_REFUSE_VERSION, CHI_STATUS_PEER_VERSION);
    refused(WIRE_REFUSE_CLUSTER, CHI_STATUS_PEER_CLUSTER);
    refused(WIRE_REFUSE_UNKNOWN_NODE, CHI_STATUS_NO_NODE);
}

static void refuse__does_not_touch_a_live_session(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    script_live(&s);
    begin_message(&s, &m);
    s.taken = s.sent_count;
    for (int reason = WIRE_REFUSE_VERSION; reason <= WIRE_REFUSE_SESSION; reason++) {
        struct wire_refuse r = {.incarnation = 99, .node = 2, .session = s.session, .reason = (uint8_t)reason, .version = 1};
        assert_int_equal(script_say_refuse(&s, 2, &r), CHI_DROP_SESSION_UNKNOWN);
    }
    script_no_event(&s);
    script_nothing_sent(&s);
    script_close(&s);
}

static void restart__ends_sent_messages_after_the_handshake_only(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m, unsent[4];
    struct xfer_event ev;
    script_live(&s);
    begin_message(&s, &m);
    s.no_packet = true;           /* keeps the others back */
    for (int i = 0; i < 4; i++) { /* three get a slot but no packet, one not even that */
        unsent[i] = m;
        xfer_send(s.x, 2, &unsent[i], s.now);
    }
    s.taken = s.sent_count;
    struct wire_hello h = script_hello(), reply;
    h.session = 0xbeef;
    h.incarnation = SCRIPT_PEER_LIFE - 1; /* its clock was set back */
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_no_event(&s); /* could be anybody */
    uint64_t drops = s.drops[CHI_DROP_SESSION_UNKNOWN];
    data_begin(&s);
    data_ping(&s);
    assert_int_equal(data_end(&s), CHI_DROP_NONE); /* the session works on */
    assert_int_equal(s.drops[CHI_DROP_SESSION_UNKNOWN], drops);
    s.no_packet = false;
    xfer_tx(s.x, s.now, 1);
    script_take_hello(&s, &reply);
    assert_int_not_equal(reply.session, s.session);
    h.flags = 0;
    h.peer_session = reply.session;
    h.peer_incarnation = reply.incarnation;
    uint8_t p[WIRE_HELLO_BYTES];
    wire_put_hello(p, &h);
    wire_seal(p, sizeof p, script_crc);
    assert_int_equal(script_rx(&s, 2, p, sizeof p), CHI_DROP_NONE);
    script_event(&s, XFER_PEER_UP, &ev);
    expect_done(&s, &m, CHI_STATUS_PEER_RESTARTED);
    script_tx(&s);

    int tasks = 0; /* the others go to the new life */
    struct wire_header header;
    const uint8_t *bytes;
    while (script_take(&s, &bytes, &header)) {
        struct wire_cursor c = {.p = bytes, .at = WIRE_HEADER_BYTES, .end = header.length};
        struct wire_frame f;
        assert_int_equal(header.session, 0xbeef);
        while (script_frame(&c, &f) != WIRE_FRAME_END)
            tasks += f.type == WIRE_FRAME_TASK_IN;
    }
    assert_int_equal(tasks, 4);
    script_close(&s);
}

static void restart__of_ours_is_told_by_a_refusal(void **state)
{
    (void)state;
    struct script s;
    struct wire_refuse r;
    script_open(&s); /* it knows of no session */
    s.session = 0x1234567;
    data_begin(&s);
    data_ping(&s);
    assert_int_equal(data_end(&s), CHI_DROP_SESSION_UNKNOWN);
    script_tx(&s);
    script_take_refuse(&s, &r);
    assert_int_equal(r.reason, WIRE_REFUSE_SESSION);
    assert_int_equal(r.session, 0x1234567);
    assert_int_equal(r.incarnation, SCRIPT_OWN_LIFE);
    script_close(&s);
}

static void restart__of_the_peers_makes_us_say_hello_at_once(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m, later;
    struct wire_hello h;
    script_live(&s);
    begin_message(&s, &m);
    s.taken = s.sent_count;
    struct wire_refuse r = {.incarnation = SCRIPT_PEER_LIFE - 1, .node = 2, .session = SCRIPT_PEER_SESSION,
                            .reason = WIRE_REFUSE_SESSION, .version = 1};
    assert_int_equal(script_say_refuse(&s, 3, &r), CHI_DROP_PEER_UNKNOWN); /* from another address */
    script_nothing_sent(&s);
    assert_int_equal(script_say_refuse(&s, 2, &r), CHI_DROP_NONE);
    script_take_hello(&s, &h);
    assert_int_not_equal(h.session, s.session);
    script_no_event(&s); /* the session ends when the new one begins */
    assert_int_equal(script_say_refuse(&s, 2, &r), CHI_DROP_NONE);
    script_nothing_sent(&s); /* once is enough for now */
    begin_message(&s, &later);
    const uint8_t *p;
    struct wire_header header;
    while (script_take(&s, &p, &header)) /* it waits for the new session */
        assert_int_equal(header.kind, WIRE_KIND_HELLO);
    script_close(&s);
}

static void hello__that_was_lost_is_asked_for_again(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello(), reply, again;
    struct xfer_event ev;
    script_open(&s);
    script_say_hello(&s, &h);
    script_take_hello(&s, &reply);
    s.session = reply.session; /* the peer is live, its third HELLO was lost */
    data_begin(&s);
    data_ping(&s);
    assert_int_equal(data_end(&s), CHI_DROP_SESSION_UNKNOWN);
    script_tx(&s);
    script_nothing_sent(&s);
    s.now += 1 * MS;
    assert_int_equal(script_rx(&s, 3, s.packet, s.at), CHI_DROP_SESSION_UNKNOWN); /* from another address */
    script_tx(&s);
    script_nothing_sent(&s);
    assert_int_equal(data_end(&s), CHI_DROP_SESSION_UNKNOWN);
    script_tx(&s);
    script_take_hello(&s, &again);
    assert_int_equal(again.session, reply.session);
    h.peer_session = reply.session;
    h.peer_incarnation = reply.incarnation;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_event(&s, XFER_PEER_UP, &ev);
    script_close(&s);
}

static void hello__of_the_live_session_is_answered_with_its_id(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello(), reply;
    script_live(&s);
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE); /* no echo: it never got our answer */
    script_take_hello(&s, &reply);
    assert_int_equal(reply.session, s.session);
    assert_false(reply.flags & WIRE_HELLO_REPLY_WANTED);
    h.peer_session = s.session;
    h.peer_incarnation = SCRIPT_OWN_LIFE;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_take_hello(&s, &reply);
    assert_int_equal(reply.session, s.session);
    h.incarnation++; /* of another life, which cannot know it */
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_SESSION_UNKNOWN);
    h.incarnation--;
    h.session++;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_SESSION_UNKNOWN);
    script_no_event(&s);
    script_nothing_sent(&s);
    script_close(&s);
}

static void close__ends_what_was_sent(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    script_live(&s);
    begin_message(&s, &m);
    data_begin(&s);
    s.at += wire_put_close(s.packet + s.at, WIRE_CLOSE_SHUTDOWN);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_done(&s, &m, CHI_STATUS_PEER_DOWN);
    data_begin(&s);
    data_ping(&s);
    assert_int_equal(data_end(&s), CHI_DROP_SESSION_UNKNOWN);
    script_close(&s);
}

static void sessions__of_forged_workers_do_not_push_out_live_ones(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello();
    script_live(&s);
    for (uint32_t i = 1; i < 1000; i++) {
        h.worker = (uint16_t)i;
        h.workers = 1000;
        h.session = 0x10000 + i;
        s.now += 1 * MS;
        assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
        while (s.taken < s.sent_count)
            script_take_hello(&s, &(struct wire_hello){0});
        while (s.sent_count)
            free(s.sent[--s.sent_count].bytes);
        s.taken = 0;
    }
    data_begin(&s);
    data_ping(&s);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_close(&s);
}

/* An id that an earlier life was given is not the next one's: packets of the earlier one may still come. */
static void hello__offers_each_life_an_id_of_its_own(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello(), first, second, third;
    struct xfer_event ev;
    script_open(&s);
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_take_hello(&s, &first);
    h.incarnation++;
    h.session++;
    h.peer_session = first.session; /* as told to the life before */
    h.peer_incarnation = first.incarnation;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_no_event(&s);
    script_take_hello(&s, &second);
    assert_int_not_equal(second.session, first.session);
    h.incarnation++;
    h.session++;
    h.peer_session = h.peer_incarnation = 0;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_take_hello(&s, &third);
    assert_int_not_equal(third.session, first.session);
    assert_int_not_equal(third.session, second.session);
    h.peer_session = third.session;
    h.peer_incarnation = third.incarnation;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_event(&s, XFER_PEER_UP, &ev);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello__asked_is_live_only_after_the_echo),
        cmocka_unit_test(hello__asking_retries_with_back_off_while_a_message_waits),
        cmocka_unit_test(hello__answered_sends_what_waited),
        cmocka_unit_test(hello__goes_to_the_own_number_then_to_worker_0_and_then_where_it_says),
        cmocka_unit_test(hello__hint_is_of_no_use_when_nothing_waits_any_more),
        cmocka_unit_test(hello__of_a_worker_with_another_counterpart_gets_a_hint_only),
        cmocka_unit_test(hello__of_strangers_is_refused),
        cmocka_unit_test(refuse__is_limited_in_rate),
        cmocka_unit_test(refuse__ends_what_waits),
        cmocka_unit_test(refuse__does_not_touch_a_live_session),
        cmocka_unit_test(restart__ends_sent_messages_after_the_handshake_only),
        cmocka_unit_test(restart__of_ours_is_told_by_a_refusal),
        cmocka_unit_test(restart__of_the_peers_makes_us_say_hello_at_once),
        cmocka_unit_test(hello__that_was_lost_is_asked_for_again),
        cmocka_unit_test(hello__of_the_live_session_is_answered_with_its_id),
        cmocka_unit_test(close__ends_what_was_sent),
        cmocka_unit_test(sessions__of_forged_workers_do_not_push_out_live_ones),
        cmocka_unit_test(hello__offers_each_life_an_id_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
