/* Who waits for room, peer by peer. */
#include "xfer/xfer_int.h"
#include "xfer_script.h"

/* A packet of node 3's, with what follows data_begin. */
static enum chi_drop end_as_third(struct script *s, uint32_t session, uint64_t number)
{
    struct wire_header h = {.kind = WIRE_KIND_DATA, .length = (uint16_t)s->at, .session = session, .number = number};
    wire_put_header(s->packet, &h);
    wire_seal(s->packet, s->at, script_crc);
    return script_rx(s, 3, s->packet, s->at);
}

/* Node 3 begins a session; its id. */
static uint32_t third_joins(struct script *s)
{
    uint8_t p[WIRE_HELLO_BYTES];
    struct wire_hello h = script_hello(), reply;
    struct xfer_event ev;
    assert_int_equal(xfer_peer_set(s->x, 3, &(struct xfer_addr){.ip = 3, .port = SCRIPT_PORT}), 0);
    h.node = 3;
    for (int i = 0; i < 2; i++) {
        wire_put_hello(p, &h);
        wire_seal(p, sizeof p, script_crc);
        assert_int_equal(script_rx(s, 3, p, sizeof p), CHI_DROP_NONE);
        script_tx(s);
        if (i)
            break;
        script_take_hello(s, &reply);
        h.flags = 0;
        h.peer_session = reply.session;
        h.peer_incarnation = reply.incarnation;
    }
    script_event(s, XFER_PEER_UP, &ev);
    return reply.session;
}

static enum chi_drop offer(struct script *s, uint32_t slot, uint32_t session, uint64_t number, uint32_t size)
{
    uint8_t form[200];
    uint32_t n = script_form(form, &(struct form_region){size, 0, CHI_EXPOSE}, 1, 8);
    data_begin(s);
    data_task_in(s, slot, 1, form, n, n);
    return session ? end_as_third(s, session, number) : data_end(s);
}

/* Slot of the one message that was called, of all that was sent. */
static uint32_t called(struct script *s)
{
    uint32_t slot = UINT32_MAX;
    const uint8_t *p;
    struct wire_header h;
    struct wire_frame f;
    while (script_take(s, &p, &h) == WIRE_KIND_DATA) {
        struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
        while (script_frame(&c, &f) != WIRE_FRAME_END)
            if (f.type == WIRE_FRAME_GRANT && f.grant.flags == WIRE_GRANT_AGAIN)
                slot = f.grant.slot;
    }
    return slot;
}

/* Node 2 holds all that it may and waits; that is no reason for node 3 to wait. */
static void room__of_one_peer_does_not_wait_for_another(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    struct xfer_config c = script_config();
    c.peer_memory = 2500;
    script_open_with(&s, &c);
    script_handshake(&s);
    uint32_t session = third_joins(&s);
    assert_int_equal(offer(&s, 0, 0, 0, 5000), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    assert_int_equal(offer(&s, 1, 0, 0, 100), CHI_DROP_NONE);
    script_wait(&s, 1000 * MS);
    assert_int_equal(called(&s), UINT32_MAX);
    s.no_memory = true;
    assert_int_equal(offer(&s, 3, session, 1, 100), CHI_DROP_NONE);
    script_no_event(&s);
    s.no_memory = false;
    for (int i = 0; i < 10; i++)
        script_wait(&s, 1 * MS);
    assert_int_equal(called(&s), 3);
    script_close(&s);
}

/* What can only be refused waits for a record at most, and keeps nobody back: there will never be room for all of it. */
static void room__is_not_waited_for_by_what_is_too_big(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    struct xfer_config c = script_config();
    c.messages_in = 1;
    c.all_memory = 2500;
    script_open_with(&s, &c);
    script_handshake(&s);
    assert_int_equal(offer(&s, 0, 0, 0, 100), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    assert_int_equal(offer(&s, 1, 0, 0, 2501), CHI_DROP_NONE);
    assert_int_equal(offer(&s, 2, 0, 0, 100), CHI_DROP_NONE);
    script_no_event(&s);
    xfer_answer_last(s.x, ev.in, CHI_STATUS_MODULE, 0, s.now);
    script_tx(&s);
    data_begin(&s);
    data_ack(&s, 1, s.x->peers[0].send->next_number - 1);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_wait(&s, 1 * MS);
    assert_int_equal(called(&s), 1);
    script_close(&s);
}

/* A small task that waits for a record is called as soon as the answer of another one is acknowledged. */
static void room__of_a_record_is_given_at_once(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    struct xfer_config c = script_config();
    uint8_t form[100];
    uint32_t n = script_form(form, NULL, 0, 8);
    c.messages_in = 1;
    script_open_with(&s, &c);
    script_handshake(&s);
    for (uint32_t slot = 0; slot < 2; slot++) {
        data_begin(&s);
        data_task_in(&s, slot, 1, form, n, n);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        if (slot == 0)
            script_event(&s, XFER_TASK, &ev);
        script_no_event(&s);
    }
    xfer_answer_last(s.x, ev.in, CHI_STATUS_OK, 0, s.now);
    script_tx(&s);
    assert_int_equal(called(&s), UINT32_MAX);
    data_begin(&s);
    data_ack(&s, 1, s.x->peers[0].send->next_number - 1);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_tx(&s);
    assert_int_equal(called(&s), 1);
    script_close(&s);
}
static void room__is_not_waited_for_by_what_needs_none(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    struct xfer_config c = script_config();
    c.all_memory = 2500;
    script_open_with(&s, &c);
    script_handshake(&s);
    assert_int_equal(offer(&s, 0, 0, 0, 2400), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    assert_int_equal(offer(&s, 1, 0, 0, 2000), CHI_DROP_NONE);
    script_no_event(&s);
    assert_int_equal(offer(&s, 2, 0, 0, 0), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    script_close(&s);
}

/* Who waits at the front of the line for much is not overtaken by another peer's message that would fit. */
static void room__is_not_taken_by_another_peer_out_of_turn(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event first, ev;
    struct xfer_config c = script_config();
    c.all_memory = 2500;
    script_open_with(&s, &c);
    script_handshake(&s);
    uint32_t session = third_joins(&s);
    assert_int_equal(offer(&s, 0, 0, 0, 2400), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &first);
    assert_int_equal(offer(&s, 1, 0, 0, 2000), CHI_DROP_NONE);
    assert_int_equal(offer(&s, 3, session, 1, 50), CHI_DROP_NONE);
    script_no_event(&s);
    xfer_answer(s.x, first.in, &(struct xfer_answer){.status = CHI_STATUS_MODULE}, s.now);
    script_tx(&s);
    data_begin(&s);
    data_ack(&s, 1, s.x->peers[0].send->next_number - 1);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_ANSWERED, &ev);
    script_wait(&s, 1 * MS);
    assert_int_equal(called(&s), 1);
    script_close(&s);
}

/* Peers are called in turns, and what comes of a call lets the next one be called at once. */
static void room__is_offered_to_peers_in_turns(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    script_live(&s);
    uint32_t session = third_joins(&s);
    s.no_memory = true;
    for (uint32_t slot = 0; slot < 3; slot++)
        assert_int_equal(offer(&s, slot, 0, 0, 100), CHI_DROP_NONE);
    assert_int_equal(offer(&s, 3, session, 1, 100), CHI_DROP_NONE);
    s.no_memory = false;
    script_wait(&s, 1 * MS);
    static const uint32_t order[] = {0, 3, 1, 2};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(called(&s), order[i]);
        assert_int_equal(offer(&s, order[i], order[i] == 3 ? session : 0, 2, 100), CHI_DROP_NONE);
        script_event(&s, XFER_TASK, &ev);
        script_tx(&s);
    }
    script_close(&s);
}

/* Nothing comes of a call: the others of that peer go before. */
static void room__goes_to_the_next_after_a_call_in_vain(void **state)
{
    (void)state;
    struct script s;
    script_live(&s);
    s.no_memory = true;
    for (uint32_t slot = 0; slot < 3; slot++)
        assert_int_equal(offer(&s, slot, 0, 0, 100), CHI_DROP_NONE);
    s.no_memory = false;
    script_wait(&s, 1 * MS);
    assert_int_equal(called(&s), 0);
    for (uint32_t i = 1; i < 15; i++) { /* each five times: then it is forgotten */
        script_wait(&s, 249 * MS);
        assert_int_equal(called(&s), (i - 1) % 3); /* the call was lost */
        script_wait(&s, 1 * MS);
        assert_int_equal(called(&s), i % 3);
    }
    struct xfer_peer_stats st;
    script_wait(&s, 250 * MS);
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.waiting_in, 0);
    assert_int_equal(offer(&s, 0, 0, 0, 100), CHI_DROP_NONE);
    struct xfer_event none;
    assert_false(xfer_next_event(s.x, &none)); /* it came before, and is not run now */
    script_close(&s);
}

/* Twice as long each time, up to a limit; and for as long as something is held, which may be given back. */
static void room__is_tried_less_often_each_time(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    script_live(&s);
    assert_int_equal(offer(&s, 0, 0, 0, 100), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    s.no_memory = true;
    assert_int_equal(offer(&s, 1, 0, 0, 100), CHI_DROP_NONE);
    for (uint64_t after = 1, tries = 0; tries < 20; tries++, after = after < 128 ? 2 * after : 128) {
        script_wait(&s, after * MS - 1);
        assert_int_equal(called(&s), UINT32_MAX);
        assert_int_equal(xfer_deadline(s.x), s.now + 1);
        script_wait(&s, 1);
        assert_int_equal(called(&s), 1);
        data_begin(&s);
        data_ack(&s, 1, s.x->peers[0].send->next_number - 1);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        assert_int_equal(offer(&s, 1, 0, 0, 100), CHI_DROP_NONE);
        script_no_event(&s);
    }
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room__of_one_peer_does_not_wait_for_another),
        cmocka_unit_test(room__is_not_waited_for_by_what_is_too_big),
        cmocka_unit_test(room__of_a_record_is_given_at_once),
        cmocka_unit_test(room__is_not_waited_for_by_what_needs_none),
        cmocka_unit_test(room__is_not_taken_by_another_peer_out_of_turn),
        cmocka_unit_test(room__is_offered_to_peers_in_turns),
        cmocka_unit_test(room__goes_to_the_next_after_a_call_in_vain),
        cmocka_unit_test(room__is_tried_less_often_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
