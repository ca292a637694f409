/* Which of a peer's addresses packets go to, when that changes, and that nothing ends by it (xfer/way.c).  Peer 2 has the addresses
 * 2 and 12; this node's id is 1: it leads. */
#include "tests/unit/xfer_script.h"

static uint8_t form[64];
static const struct xfer_addr paths[] = {{.ip = 2, .port = SCRIPT_PORT}, {.ip = 12, .port = SCRIPT_PORT}};
enum { FIRST = 2, SECOND = 12 };

static uint32_t down_ip; /* the port by which this address is reached is down */
static bool way_up(void *ctx, const struct xfer_addr *a)
{
    (void)ctx;
    return a->ip != down_ip;
}

static void live(struct script *s)
{
    script_open(s);
    down_ip = 0;
    xfer_watch_ways(s->x, way_up);
    assert_int_equal(xfer_peer_paths(s->x, 2, paths, 2), 0);
    script_handshake(s);
    s->taken = s->sent_count;
}

static void send_one(struct script *s, struct xfer_out *m)
{
    *m = (struct xfer_out){.form = form, .form_length = script_form(form, NULL, 0, 8), .deadline_ns = s->now + 1000000 * MS};
    xfer_send(s->x, 2, m, s->now);
    script_tx(s);
}

/* Where the last packet went. */
static uint32_t last_to(struct script *s)
{
    s->taken = s->sent_count;
    return s->sent[s->sent_count - 1].to.ip;
}

static uint64_t moves(struct script *s)
{
    struct xfer_peer_stats st[2];
    xfer_stats(s->x, st, 2);
    return st[0].moves;
}

/* The peer answers m, from that address. */
static void answer_from(struct script *s, uint32_t ip, struct xfer_out *m)
{
    struct xfer_event ev;
    data_begin(s);
    data_task_out(s, &(struct wire_task_out){.slot = 0, .generation = 1}, "");
    struct wire_header h = {.kind = WIRE_KIND_DATA, .length = (uint16_t)s->at, .session = s->session, .number = ++s->number};
    wire_put_header(s->packet, &h);
    wire_seal(s->packet, s->at, script_crc);
    assert_int_equal(script_rx(s, ip, s->packet, s->at), CHI_DROP_NONE);
    script_event(s, XFER_DONE, &ev);
    assert_ptr_equal(ev.out, m);
    assert_int_equal(ev.status, CHI_STATUS_OK);
}

static enum chi_drop ping_from(struct script *s, uint32_t ip)
{
    data_begin(s);
    data_ping(s);
    struct wire_header h = {.kind = WIRE_KIND_DATA, .length = (uint16_t)s->at, .session = s->session, .number = ++s->number};
    wire_put_header(s->packet, &h);
    wire_seal(s->packet, s->at, script_crc);
    enum chi_drop d = script_rx(s, ip, s->packet, s->at);
    script_wait(s, MS); /* the ack goes */
    return d;
}

/* The peer acknowledges all that came, from that address. */
static void ack_from(struct script *s, uint32_t ip)
{
    struct wire_header h = {0};
    uint64_t last = 0;
    for (unsigned i = 0; i < s->sent_count; i++)
        if (wire_open(s->sent[i].bytes, s->sent[i].length, script_crc, &h) == CHI_DROP_NONE && h.kind == WIRE_KIND_DATA)
            last = h.number;
    data_begin(s);
    data_ack(s, 1, last);
    h = (struct wire_header){.kind = WIRE_KIND_DATA, .length = (uint16_t)s->at, .session = s->session, .number = ++s->number};
    wire_put_header(s->packet, &h);
    wire_seal(s->packet, s->at, script_crc);
    assert_int_equal(script_rx(s, ip, s->packet, s->at), CHI_DROP_NONE);
}

static void way__the_first_that_is_up_is_used(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    live(&s);
    send_one(&s, &m);
    assert_int_equal(last_to(&s), FIRST);
    down_ip = FIRST;
    xfer_paths_changed(s.x, s.now);
    script_wait(&s, 2 * MS); /* the probe; and the PING that shows the peer where we are */
    assert_int_equal(last_to(&s), SECOND);
    down_ip = 0;
    xfer_paths_changed(s.x, s.now);
    script_wait(&s, 4 * MS);
    assert_int_equal(last_to(&s), FIRST);
    assert_int_equal(moves(&s), 2);
    answer_from(&s, FIRST, &m);
    script_close(&s);
}

/* Something is open, and nothing is to be sent: the peer learns by a PING where its answer is to go. */
static void way__that_changed_is_shown_to_the_peer(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct wire_header h;
    struct wire_frame f;
    live(&s);
    down_ip = FIRST;
    xfer_paths_changed(s.x, s.now); /* nothing is open: nobody needs to know */
    script_tx(&s);
    script_nothing_sent(&s);
    down_ip = 0;
    xfer_paths_changed(s.x, s.now);
    send_one(&s, &m);
    assert_int_equal(last_to(&s), FIRST);
    ack_from(&s, FIRST);
    script_tx(&s);
    script_nothing_sent(&s);
    down_ip = FIRST;
    xfer_paths_changed(s.x, s.now);
    script_tx(&s);
    assert_int_equal(s.sent[s.taken].to.ip, SECOND);
    struct wire_cursor c = script_take_data(&s, &h);
    do
        script_frame(&c, &f);
    while (f.type == WIRE_FRAME_ACK);
    assert_int_equal(f.type, WIRE_FRAME_PING);
    script_close(&s);
}

enum { LARGE = 8972 };
/* A handshake with a peer that takes long packets; how long they are then. */
static uint32_t meet_large(struct script *s)
{
    struct wire_hello h = script_hello(), reply;
    struct xfer_event ev;
    struct xfer_peer_stats st;
    h.packet_max = LARGE;
    h.flags |= WIRE_HELLO_PAD;
    s->taken = s->sent_count;
    assert_int_equal(script_say_hello(s, &h), CHI_DROP_NONE);
    script_take_hello(s, &reply);
    h.flags = WIRE_HELLO_PAD;
    h.peer_session = s->session = reply.session;
    h.peer_incarnation = reply.incarnation;
    s->number = 0;
    assert_int_equal(script_say_hello(s, &h), CHI_DROP_NONE);
    script_event(s, XFER_PEER_UP, &ev);
    xfer_stats(s->x, &st, 1);
    return st.packet_bytes;
}

/* What was found out about the one says nothing of the other. */
static void way__another_one_may_carry_less(void **state)
{
    (void)state;
    for (int moves = 0; moves < 2; moves++) {
        struct script s;
        struct xfer_config c = script_config();
        struct wire_header h;
        c.packet_max = LARGE;
        script_open_with(&s, &c);
        down_ip = 0;
        xfer_watch_ways(s.x, way_up);
        assert_int_equal(xfer_peer_paths(s.x, 2, paths, 2), 0);
        assert_int_equal(meet_large(&s), WIRE_PACKET_MIN);
        script_take_data(&s, &h); /* a probe, */
        assert_int_equal(h.length, LARGE);
        data_begin(&s);
        data_ack(&s, h.number, h.number); /* which arrives */
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        down_ip = moves ? FIRST : 0;
        xfer_paths_changed(s.x, s.now);
        data_begin(&s);
        s.at += wire_put_close(s.packet + s.at, WIRE_CLOSE_SHUTDOWN);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        assert_int_equal(meet_large(&s), moves ? WIRE_PACKET_MIN : LARGE);
        script_close(&s);
    }
}

static void way__that_is_down_is_left_by_the_next_probe(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    live(&s);
    send_one(&s, &m);
    assert_int_equal(last_to(&s), FIRST);
    down_ip = FIRST; /* nobody says so */
    script_wait(&s, 4 * MS);
    assert_int_equal(last_to(&s), SECOND);
    answer_from(&s, SECOND, &m);
    script_close(&s);
}

/* Three probes in vain, and the first is tried again after a second, and later each time. */
static void way__that_is_silent_is_left_and_tried_again(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m, more[2];
    live(&s);
    send_one(&s, &m);
    int probes = 0;
    for (; last_to(&s) == FIRST; probes++) {
        assert_true(probes < 20);
        script_wait(&s, 16 * MS);
    }
    assert_in_range(probes, 3, 5);
    assert_int_equal(moves(&s), 1);
    for (int hold = 1; hold <= 2; hold++) {
        ack_from(&s, SECOND);
        s.now += (uint64_t)hold * 1000 * MS - 500 * MS;
        assert_int_equal(ping_from(&s, SECOND), CHI_DROP_NONE);
        assert_int_equal(last_to(&s), SECOND);
        s.now += 500 * MS;
        assert_int_equal(ping_from(&s, SECOND), CHI_DROP_NONE);
        assert_int_equal(last_to(&s), FIRST);
        send_one(&s, &more[hold - 1]);
        for (int i = 0; i < 20 && last_to(&s) == FIRST; i++)
            script_wait(&s, 16 * MS);
        assert_int_equal(last_to(&s), SECOND);
    }
    answer_from(&s, SECOND, &m);
    script_close(&s);
}

/* This one is silent, and the other one's port is down. */
static void way__whose_port_is_down_is_not_tried(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    live(&s);
    down_ip = SECOND;
    send_one(&s, &m);
    for (int i = 0; i < 50; i++) {
        script_wait(&s, 16 * MS);
        assert_int_equal(last_to(&s), FIRST);
    }
    assert_int_equal(moves(&s), 0);
    script_close(&s);
}

/* How many probes go until they go elsewhere. */
static int probes_to(struct script *s, uint32_t ip)
{
    int probes = 0;
    for (; s->sent[s->sent_count - 1].to.ip == ip; probes++) {
        s->taken = s->sent_count;
        for (int ms = 0; s->taken == s->sent_count; ms++) {
            assert_true(ms < 2000);
            script_wait(s, MS);
        }
    }
    return probes;
}

/* Nothing is to be sent, and the peer is silent: the second PING looks for it elsewhere. */
static void way__is_left_when_a_ping_has_no_answer(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_config c = script_config();
    c.silence_ns = 1000 * MS;
    script_open_with(&s, &c);
    down_ip = 0;
    assert_int_equal(xfer_peer_paths(s.x, 2, paths, 2), 0);
    script_handshake(&s);
    send_one(&s, &m);
    ack_from(&s, FIRST);
    static const uint32_t ways[] = {FIRST, SECOND, FIRST};
    for (int i = 0; i < 3; i++) {
        s.taken = s.sent_count;
        script_wait(&s, 250 * MS);
        assert_int_equal(s.sent_count, s.taken + 1);
        assert_int_equal(last_to(&s), ways[i]);
    }
    script_close(&s);
}

/* A peer that was only late is no silent way: the probes in vain are three at least, and long. */
static void way__is_left_after_long_probes_only(void **state)
{
    (void)state;
    static const struct { uint64_t least, most; int probes; } cases[] = {
        {4, 1000, 4},  /* after 8, 16, 32 and 64 ms: the next one would wait an eighth of the longest */
        {100, 100, 3}, /* each is long */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script s;
        struct xfer_out m;
        struct xfer_config c = script_config();
        struct wire_hello h = script_hello();
        c.pto_min_ns = cases[i].least * MS;
        c.pto_max_ns = cases[i].most * MS;
        script_open_with(&s, &c);
        down_ip = 0;
        assert_int_equal(xfer_peer_paths(s.x, 2, paths, 2), 0);
        assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE); /* twice: no sample of the round trip */
        s.taken = s.sent_count;
        script_handshake(&s);
        s.taken = s.sent_count;
        send_one(&s, &m);
        s.taken = s.sent_count;
        assert_int_equal(probes_to(&s, FIRST), cases[i].probes);
        assert_true(probes_to(&s, SECOND) >= 3); /* it was moved to just now */
        script_close(&s);
    }
}

/* The configuration says that it is elsewhere: the session goes on there. */
static void way__that_is_configured_anew_is_used_at_once(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    static const struct xfer_addr other = {.ip = 22, .port = SCRIPT_PORT};
    live(&s);
    assert_int_equal(xfer_peer_paths(s.x, 2, &other, 1), 0);
    send_one(&s, &m);
    assert_int_equal(last_to(&s), 22);
    answer_from(&s, 22, &m);
    script_close(&s);
}

/* The first way goes silent under an answer, the other one carries it; the first is tried again so many seconds later, and not before. */
static void goes_silent_for(struct script *s, uint32_t generation, uint64_t seconds)
{
    struct xfer_event ev;
    uint32_t n = script_form(form, NULL, 0, 8);
    data_begin(s);
    data_task_in(s, 0, generation, form, n, n);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    script_event(s, XFER_TASK, &ev);
    xfer_answer_last(s->x, ev.in, CHI_STATUS_OK, 0, s->now);
    script_tx(s);
    while (s->sent_count > 1)
        free(s->sent[--s->sent_count].bytes);
    for (int i = 0; i < 20 && last_to(s) == FIRST; i++)
        script_wait(s, 16 * MS);
    assert_int_equal(last_to(s), SECOND);
    ack_from(s, SECOND);
    s->now += seconds * 1000 * MS - 500 * MS;
    assert_int_equal(ping_from(s, SECOND), CHI_DROP_NONE);
    assert_int_equal(last_to(s), SECOND);
    s->now += 500 * MS;
    assert_int_equal(ping_from(s, SECOND), CHI_DROP_NONE);
    assert_int_equal(last_to(s), FIRST);
}

static void way__is_left_alone_for_longer_each_time(void **state)
{
    (void)state;
    static const uint64_t holds[] = {1, 2, 4, 8, 16, 32, 64, 64};
    struct script s;
    uint32_t generation = 0;
    live(&s);
    for (size_t i = 0; i < sizeof holds / sizeof holds[0]; i++)
        goes_silent_for(&s, ++generation, holds[i]);
    s.now += 128 * 1000 * MS; /* it worked for long enough */
    assert_int_equal(ping_from(&s, FIRST), CHI_DROP_NONE);
    goes_silent_for(&s, ++generation, 1);
    script_close(&s);
}

/* Packets are taken from each address of the peer, from no other; and it is answered where it was heard. */
static void way__of_the_peer_is_followed(void **state)
{
    (void)state;
    struct script s;
    live(&s);
    s.now += 100 * MS;
    assert_int_equal(ping_from(&s, SECOND), CHI_DROP_NONE);
    assert_int_equal(last_to(&s), SECOND);
    assert_int_equal(ping_from(&s, FIRST), CHI_DROP_NONE); /* one that was under way when the peer moved: who leads stays */
    assert_int_equal(last_to(&s), SECOND);
    s.now += 16 * MS;
    assert_int_equal(ping_from(&s, FIRST), CHI_DROP_NONE);
    assert_int_equal(last_to(&s), FIRST);
    s.now += 16 * MS;
    down_ip = SECOND;
    assert_int_equal(ping_from(&s, SECOND), CHI_DROP_NONE); /* it came, but nothing goes there */
    assert_int_equal(last_to(&s), FIRST);
    uint64_t before = s.drops[CHI_DROP_ADDRESS];
    s.number--; /* the next one is new again */
    ping_from(&s, 3);
    assert_int_equal(s.drops[CHI_DROP_ADDRESS], before + 1);
    script_close(&s);
}

/* Of two nodes the one with the lower id leads: the other one goes where it hears it, at once, and never back by itself. */
static void way__is_the_leader_s_to_choose(void **state)
{
    (void)state;
    struct script s;
    struct xfer_config c = script_config();
    c.node = 3;
    script_open_with(&s, &c);
    down_ip = 0;
    assert_int_equal(xfer_peer_paths(s.x, 2, paths, 2), 0);
    script_handshake(&s);
    s.now += 100 * MS;
    assert_int_equal(ping_from(&s, SECOND), CHI_DROP_NONE);
    assert_int_equal(last_to(&s), SECOND);
    assert_int_equal(ping_from(&s, FIRST), CHI_DROP_NONE);
    assert_int_equal(last_to(&s), FIRST);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ping_from(&s, SECOND), CHI_DROP_NONE);
        assert_int_equal(last_to(&s), SECOND);
        s.now += 5000 * MS;
    }
    script_close(&s);
}

static void way__an_old_packet_moves_nothing(void **state)
{
    (void)state;
    struct script s;
    live(&s);
    s.now += 100 * MS;
    s.number += 5;
    assert_int_equal(ping_from(&s, FIRST), CHI_DROP_NONE);
    s.number -= 3;
    assert_int_equal(ping_from(&s, SECOND), CHI_DROP_NONE); /* overtaken */
    assert_int_equal(moves(&s), 0);
    script_close(&s);
}

/* HELLOs that nobody answers go to each address in turns; who answers from another one is heard. */
static void hello__tries_each_address(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct wire_hello h, back = script_hello();
    struct xfer_event ev;
    bool seen[2] = {false, false};
    script_open(&s);
    assert_int_equal(xfer_peer_paths(s.x, 2, paths, 2), 0);
    send_one(&s, &m);
    for (int i = 0; i < 8; i++) {
        seen[last_to(&s) == SECOND] = true;
        script_wait(&s, 200 * MS);
    }
    assert_true(seen[0] && seen[1]);
    s.taken = s.sent_count - 1;
    script_take_hello(&s, &h);
    back.peer_session = h.session;
    back.peer_incarnation = SCRIPT_OWN_LIFE;
    uint8_t p[WIRE_HELLO_BYTES];
    size_t n = wire_put_hello(p, &back);
    wire_seal(p, n, script_crc);
    s.now += 100 * MS;
    assert_int_equal(script_rx(&s, 3, p, n), CHI_DROP_ADDRESS);
    assert_int_equal(script_rx(&s, SECOND, p, n), CHI_DROP_NONE);
    script_event(&s, XFER_PEER_UP, &ev);
    script_tx(&s);
    assert_int_equal(last_to(&s), SECOND);
    script_close(&s);
}

/* --- peers that go */

static void remove__ends_what_is_open_and_forgets(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out sent, unsent;
    struct xfer_event ev, task;
    struct xfer_peer_stats st[2];
    live(&s);
    uint32_t n = script_form(form, NULL, 0, 8);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &task);
    send_one(&s, &sent);
    s.no_packet = true;
    send_one(&s, &unsent);
    s.no_packet = false;
    assert_int_equal(xfer_peer_remove(s.x, 3, s.now), -2);
    assert_int_equal(xfer_peer_remove(s.x, 2, s.now), 0);
    script_event(&s, XFER_CANCELLED, &ev);
    assert_ptr_equal(ev.in, task.in);
    script_event(&s, XFER_DONE, &ev);
    assert_ptr_equal(ev.out, &sent);
    assert_int_equal(ev.status, CHI_STATUS_PEER_DOWN);
    script_event(&s, XFER_DONE, &ev);
    assert_ptr_equal(ev.out, &unsent);
    assert_int_equal(ev.status, CHI_STATUS_UNREACHABLE);
    script_no_event(&s);
    assert_int_equal(xfer_stats(s.x, st, 2), 0);
    send_one(&s, &sent);
    script_event(&s, XFER_DONE, &ev);
    assert_int_equal(ev.status, CHI_STATUS_NO_NODE);
    struct wire_hello h = script_hello();
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_PEER_UNKNOWN);

    /* The same id elsewhere, while a task of its former life still runs here. */
    struct xfer_addr a = {.ip = 22, .port = SCRIPT_PORT};
    assert_int_equal(xfer_peer_set(s.x, 2, &a), 0);
    send_one(&s, &sent);
    assert_int_equal(last_to(&s), 22);
    xfer_answer(s.x, task.in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    script_event(&s, XFER_ANSWERED, &ev);
    script_no_event(&s);
    assert_int_equal(xfer_stats(s.x, st, 2), 1);
    assert_int_equal(st[0].open_in, 0); /* it was not one of this life's */
    assert_int_equal(xfer_peer_remove(s.x, 2, s.now), 0); /* while it is dialed */
    script_event(&s, XFER_DONE, &ev);
    assert_int_equal(ev.status, CHI_STATUS_UNREACHABLE);
    const struct wire_refuse r = {.incarnation = 5, .node = 2, .reason = WIRE_REFUSE_VERSION, .version = 9};
    assert_int_equal(script_say_refuse(&s, 22, &r), CHI_DROP_SESSION_UNKNOWN); /* nobody waits for its HELLO */
    for (int i = 0; i < 1000; i++) { /* its record is free each time */
        assert_int_equal(xfer_peer_set(s.x, 2 + (uint32_t)i, &a), 0);
        assert_int_equal(xfer_peer_remove(s.x, 2 + (uint32_t)i, s.now), 0);
    }
    script_wait(&s, 1000 * MS);
    assert_true(xfer_deadline(s.x) == UINT64_MAX);
    script_close(&s);
}

static void drain__ends_new_messages_and_lets_open_ones_go_on(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out open, late;
    struct xfer_event ev;
    live(&s);
    send_one(&s, &open);
    assert_int_equal(xfer_peer_drain(s.x, 3), -2);
    assert_int_equal(xfer_peer_drain(s.x, 2), 0);
    send_one(&s, &late);
    script_event(&s, XFER_DONE, &ev);
    assert_ptr_equal(ev.out, &late);
    assert_int_equal(ev.status, CHI_STATUS_DRAINING);
    answer_from(&s, FIRST, &open);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(way__the_first_that_is_up_is_used),
        cmocka_unit_test(way__that_changed_is_shown_to_the_peer),
        cmocka_unit_test(way__another_one_may_carry_less),
        cmocka_unit_test(way__that_is_down_is_left_by_the_next_probe),
        cmocka_unit_test(way__that_is_silent_is_left_and_tried_again),
        cmocka_unit_test(way__whose_port_is_down_is_not_tried),
        cmocka_unit_test(way__is_left_after_long_probes_only),
        cmocka_unit_test(way__is_left_when_a_ping_has_no_answer),
        cmocka_unit_test(way__that_is_configured_anew_is_used_at_once),
        cmocka_unit_test(way__is_left_alone_for_longer_each_time),
        cmocka_unit_test(way__of_the_peer_is_followed),
        cmocka_unit_test(way__is_the_leader_s_to_choose),
        cmocka_unit_test(way__an_old_packet_moves_nothing),
        cmocka_unit_test(hello__tries_each_address),
        cmocka_unit_test(remove__ends_what_is_open_and_forgets),
        cmocka_unit_test(drain__ends_new_messages_and_lets_open_ones_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
