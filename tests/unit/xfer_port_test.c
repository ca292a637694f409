/* Source ports: the peer is asked for another one while its packets come astray, and ours is what it asked for. */
#include "xfer_script.h"

enum { STRAYS = 4, WISHES = 32, SETTLE_MS = 20 }; /* xfer/port.c */

static void live(struct script *s, uint8_t flags)
{
    struct wire_hello h = script_hello();
    script_open(s);
    h.flags |= flags;
    assert_true(script_meet(s, h).flags & WIRE_HELLO_PORT);
}

/* Packets of the peer's, of which the first so many came astray. */
static void come(struct script *s, unsigned packets, unsigned strays)
{
    for (unsigned i = 0; i < packets; i++) {
        data_begin(s);
        data_ping(s);
        assert_int_equal(data_end(s), CHI_DROP_NONE);
        if (i < strays)
            xfer_astray(s->x, s->packet, s->at);
    }
}

/* The wish in what is sent within some time; 0: there is none.  It asks for no acknowledgement, and takes the place of none. */
static unsigned wish(struct script *s, uint64_t ms)
{
    unsigned found = 0;
    struct wire_header h;
    struct wire_frame f;
    script_tx(s);
    script_wait(s, ms * MS);
    while (s->taken < s->sent_count) {
        struct wire_cursor c = script_take_data(s, &h);
        bool acks = false;
        while (script_frame(&c, &f) != WIRE_FRAME_END) {
            acks |= f.type == WIRE_FRAME_ACK;
            if (f.type == WIRE_FRAME_PORT) {
                assert_int_equal(found, 0);
                found = f.port;
            }
        }
        assert_true(acks);
    }
    return found;
}

static void astray__asks_for_the_next_port_up_to_a_number(void **state)
{
    struct script s;
    (void)state;
    live(&s, WIRE_HELLO_PORT);
    for (unsigned i = 1; i <= WISHES; i++) {
        come(&s, STRAYS - 1, STRAYS - 1);
        assert_int_equal(wish(&s, 1), 0);
        come(&s, 1, 1);
        assert_int_equal(wish(&s, 1), i);
        come(&s, 4 * STRAYS, 4 * STRAYS); /* sent before the wish arrived there */
        assert_int_equal(wish(&s, SETTLE_MS), 0);
    }
    come(&s, 10 * STRAYS, 10 * STRAYS);
    assert_int_equal(wish(&s, SETTLE_MS), 0);
    script_close(&s);
}

static void astray__few_of_many_are_no_reason(void **state)
{
    struct script s;
    (void)state;
    live(&s, WIRE_HELLO_PORT);
    for (unsigned i = 0; i < 5 * STRAYS; i++) {
        come(&s, 3, 1);
        assert_int_equal(wish(&s, 1), 0);
    }
    come(&s, STRAYS, STRAYS);
    come(&s, STRAYS, STRAYS);
    assert_int_equal(wish(&s, 1), 1);
    script_close(&s);
}

static void astray__who_does_not_know_the_frame_is_not_asked(void **state)
{
    struct script s;
    static const uint8_t none[WIRE_HEADER_BYTES];
    (void)state;
    live(&s, 0);
    come(&s, 10 * STRAYS, 10 * STRAYS);
    for (size_t n = 0; n <= sizeof none; n++)
        xfer_astray(s.x, none, n); /* of no session */
    assert_int_equal(wish(&s, SETTLE_MS), 0);
    script_close(&s);
}

static void source__is_what_the_peer_asked_for_last(void **state)
{
    struct script s;
    struct xfer_event ev;
    struct wire_refuse r;
    (void)state;
    live(&s, WIRE_HELLO_PORT);
    for (unsigned number = 0; number < 256; number += 51) {
        data_begin(&s);
        data_ping(&s);
        s.at += wire_put_port(s.packet + s.at, (uint8_t)number);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        assert_int_equal(wish(&s, 1), 0);
        assert_int_equal(s.sent[s.sent_count - 1].source, number);
    }
    unsigned sent = s.sent_count;
    data_begin(&s);
    s.at += wire_put_port(s.packet + s.at, 7); /* alone it is not acknowledged */
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_wait(&s, 10 * MS);
    assert_int_equal(s.sent_count, sent);
    s.session ^= 1; /* one that is not there: the refusal is no session's */
    data_begin(&s);
    data_ping(&s);
    assert_int_equal(data_end(&s), CHI_DROP_SESSION_UNKNOWN);
    script_tx(&s);
    script_take_refuse(&s, &r);
    assert_int_equal(s.sent[s.sent_count - 1].source, 0);

    struct wire_hello h = script_hello(), reply; /* the peer's next life begins with the first port */
    h.incarnation++;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_take_hello(&s, &reply);
    assert_int_equal(s.sent[s.sent_count - 1].source, 0);
    h.flags = WIRE_HELLO_PORT;
    h.peer_session = reply.session;
    h.peer_incarnation = reply.incarnation;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    while (xfer_next_event(s.x, &ev))
        ;
    s.session = reply.session;
    s.number = 0;
    come(&s, 1, 0);
    assert_int_equal(wish(&s, 1), 0);
    assert_int_equal(s.sent[s.sent_count - 1].source, 0);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(astray__asks_for_the_next_port_up_to_a_number),
        cmocka_unit_test(astray__few_of_many_are_no_reason),
        cmocka_unit_test(astray__who_does_not_know_the_frame_is_not_asked),
        cmocka_unit_test(source__is_what_the_peer_asked_for_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
