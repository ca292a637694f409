/* Sentences of docs/PROTOCOL.md that the tests of single files do not show. */
#include "xfer_script.h"

static uint8_t form[512], area[2][100];

static void send_one(struct script *s, struct xfer_out *m, struct chi_ar_region *r, uint32_t n)
{
    struct form_region f[2];
    for (uint32_t i = 0; i < n; i++) {
        r[i] = (struct chi_ar_region){.ptr = area[i], .size = sizeof area[i], .flags = CHI_EXPOSE};
        f[i] = (struct form_region){sizeof area[i], 0, CHI_EXPOSE};
    }
    *m = (struct xfer_out){.form = form, .regions = r, .nregions = n, .deadline_ns = s->now + 1000000 * MS};
    m->form_length = script_form(form, f, (uint8_t)n, 8);
    xfer_send(s->x, 2, m, s->now);
    script_tx(s);
}

static void expect_done(struct script *s, const struct xfer_out *m, enum chi_status status)
{
    struct xfer_event ev;
    script_event(s, XFER_DONE, &ev);
    assert_ptr_equal(ev.out, m);
    assert_int_equal(ev.status, status);
}

/* A task of the peer's that is running; `regions` of 100 bytes each. */
static struct xfer_in *task_in(struct script *s, uint32_t slot, uint8_t regions)
{
    const struct form_region r[] = {{100, 0, CHI_EXPOSE}, {100, 0, CHI_EXPOSE}};
    struct xfer_event ev;
    uint32_t n = script_form(form, r, regions, 8);
    data_begin(s);
    data_task_in(s, slot, 1, form, n, n);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    script_event(s, XFER_TASK, &ev);
    return ev.in;
}

static void hello__flags_that_are_unknown_are_ignored(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello(), reply;
    struct xfer_event ev;
    script_open(&s);
    h.flags = 0xff & ~(WIRE_HELLO_ECN | WIRE_HELLO_PAD);
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_take_hello(&s, &reply);
    h.flags &= (uint8_t)~WIRE_HELLO_REPLY_WANTED;
    h.peer_session = reply.session;
    h.peer_incarnation = reply.incarnation;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_event(&s, XFER_PEER_UP, &ev);
    script_nothing_sent(&s);
    script_close(&s);
}

/* Both begin at once, and neither knows of the other's HELLO when it says its own. */
static void hello__two_that_cross_complete_each_other(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_event ev;
    struct wire_hello mine, again, h = script_hello();
    struct wire_header header;
    script_open(&s);
    send_one(&s, &m, NULL, 0);
    script_take_hello(&s, &mine);
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE); /* the peer's first, which knows nothing */
    script_take_hello(&s, &again);
    assert_int_equal(again.session, mine.session); /* one offer, whichever HELLO arrives */
    assert_int_equal(again.peer_session, h.session);
    h.peer_session = mine.session; /* its answer to ours */
    h.peer_incarnation = mine.incarnation;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_event(&s, XFER_PEER_UP, &ev);
    script_take_hello(&s, &again);
    assert_false(again.flags & WIRE_HELLO_REPLY_WANTED);
    script_take_data(&s, &header);
    script_no_event(&s);
    h.flags = 0; /* its answer to our second one: all is known */
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_no_event(&s);
    script_nothing_sent(&s);
    script_close(&s);
}

/* The same life of the peer begins anew: it gave the session up. */
static void session__of_the_same_life_takes_the_place_of_the_former(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out sent, unsent;
    struct xfer_event ev;
    struct wire_hello h = script_hello(), reply;
    struct wire_header header;
    script_live(&s);
    send_one(&s, &sent, NULL, 0);
    struct xfer_in *in = task_in(&s, 0, 0);
    s.no_packet = true;
    send_one(&s, &unsent, NULL, 0);
    s.no_packet = false;
    s.taken = s.sent_count;
    h.session++;
    uint8_t p[WIRE_HELLO_BYTES];
    wire_put_hello(p, &h);
    wire_seal(p, sizeof p, script_crc);
    assert_int_equal(script_rx(&s, 2, p, sizeof p), CHI_DROP_NONE);
    assert_int_equal(xfer_tx(s.x, s.now, 1), 1);
    script_take_hello(&s, &reply);
    script_no_event(&s);
    h.flags = 0;
    h.peer_session = reply.session;
    h.peer_incarnation = reply.incarnation;
    wire_put_hello(p, &h);
    wire_seal(p, sizeof p, script_crc);
    assert_int_equal(script_rx(&s, 2, p, sizeof p), CHI_DROP_NONE);
    script_event(&s, XFER_PEER_UP, &ev);
    script_event(&s, XFER_CANCELLED, &ev); /* what came in it */
    assert_ptr_equal(ev.in, in);
    expect_done(&s, &sent, CHI_STATUS_PEER_DOWN); /* it may have run */
    script_no_event(&s);
    script_tx(&s);
    const uint8_t *bytes;
    assert_int_equal(script_take(&s, &bytes, &header), WIRE_KIND_DATA); /* what was not sent goes in the new one */
    assert_int_equal(header.session, SCRIPT_PEER_SESSION + 1);
    assert_int_equal(header.number, 1);
    script_close(&s);
}

/* A REFUSE that was lost is followed by another one. */
static void refuse__is_said_again_to_what_comes_again(void **state)
{
    (void)state;
    struct script s;
    struct wire_refuse r;
    script_open(&s);
    s.session = 0x1234567;
    for (int i = 0; i < 3; i++) {
        data_begin(&s);
        data_ping(&s);
        assert_int_equal(data_end(&s), CHI_DROP_SESSION_UNKNOWN);
        script_tx(&s);
        script_take_refuse(&s, &r);
        assert_int_equal(r.reason, WIRE_REFUSE_SESSION);
        assert_int_equal(script_say_refuse(&s, 2, &r), CHI_DROP_PEER_UNKNOWN); /* our own words: nobody answers a REFUSE */
        script_nothing_sent(&s);
    }
    script_close(&s);
}

/* What stood before it has been taken, and nothing behind it is. */
static void frame__that_cannot_be_read_ends_its_packet(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    uint32_t n = script_form(form, NULL, 0, 8);
    script_live(&s);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    data_bytes(&s, "\5\0\0\1", 4); /* a PING with a reserved byte */
    data_task_in(&s, 1, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    script_no_event(&s);
    assert_int_equal(s.drops[CHI_DROP_RESERVED], 1);
    script_wait(&s, 10 * MS);
    script_nothing_sent(&s); /* not acknowledged */
    script_close(&s);
}

/* A record and memory for each region, or nothing but the slot's generation. */
static void task__without_room_for_all_of_it_holds_nothing(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    struct xfer_peer_stats st;
    const struct form_region r[] = {{100, 0, CHI_EXPOSE}, {100, 0, CHI_EXPOSE}};
    uint32_t n = script_form(form, r, 2, 8);
    script_live(&s);
    s.memory_max = 150; /* for the first region, and not for the second */
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_no_event(&s);
    assert_int_equal(s.memory_asked, 100);
    assert_int_equal(s.memory_out, 0);
    xfer_stats(s.x, &st, 1);
    assert_true(st.open_in == 0 && st.memory == 0 && st.waiting_in == 1);
    s.memory_max = 0;
    script_wait(&s, 1 * MS); /* it is called */
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    script_close(&s);
}

/* Whatever of its regions came before. */
static void answer__other_than_ok_ends_the_task_at_once_without_lengths(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r[2];
    script_live(&s);
    send_one(&s, &m, r, 2);
    data_begin(&s);
    data_segment(&s, 0, 1, 1, WIRE_SEGMENT_OUT, 0, "pushed", 6);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_no_event(&s);
    data_begin(&s);
    data_task_out(&s, &(struct wire_task_out){.generation = 1, .status = CHI_STATUS_MODULE}, "");
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_done(&s, &m, CHI_STATUS_MODULE);
    assert_true(r[0].used == 0 && r[1].used == 0);
    script_close(&s);
}

static void close__cancels_what_came_in_the_session(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    script_live(&s);
    struct xfer_in *in = task_in(&s, 0, 1);
    data_begin(&s);
    s.at += wire_put_close(s.packet + s.at, WIRE_CLOSE_SHUTDOWN);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_CANCELLED, &ev);
    assert_ptr_equal(ev.in, in);
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    script_event(&s, XFER_ANSWERED, &ev);
    script_wait(&s, 100 * MS);
    script_nothing_sent(&s); /* the answer goes nowhere */
    script_close(&s);
}

/* A session in which both count marks. */
static void live_ecn(struct script *s)
{
    struct wire_hello h = script_hello(), reply;
    struct xfer_event ev;
    script_open(s);
    h.flags |= WIRE_HELLO_ECN;
    assert_int_equal(script_say_hello(s, &h), CHI_DROP_NONE);
    script_take_hello(s, &reply);
    h.flags = WIRE_HELLO_ECN;
    h.peer_session = reply.session;
    h.peer_incarnation = reply.incarnation;
    assert_int_equal(script_say_hello(s, &h), CHI_DROP_NONE);
    script_event(s, XFER_PEER_UP, &ev);
    s->session = reply.session;
}

/* The i-th message is sent, acknowledged and answered, while so many packets came capable, as the peer says; with which bits it went. */
static uint8_t trip(struct script *s, uint32_t i, uint16_t capable, struct wire_header *header)
{
    struct xfer_out m;
    send_one(s, &m, NULL, 0);
    uint8_t ecn = s->sent[s->taken].ecn;
    script_take_data(s, header);
    s->ecn = XFER_ECT_0;
    s->capable = capable;
    data_begin(s);
    data_ack(s, header->number, header->number);
    data_task_out(s, &(struct wire_task_out){.generation = i}, "");
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    expect_done(s, &m, CHI_STATUS_OK);
    while (s->sent_count)
        free(s->sent[--s->sent_count].bytes);
    s->taken = 0;
    return ecn;
}

/* Beyond 65535 packets each way: both sides count on. */
static void counts__are_modulo_65536(void **state)
{
    (void)state;
    struct script s;
    struct wire_header h;
    live_ecn(&s);
    for (uint32_t i = 1; i <= 65536 + 100; i++) {
        assert_int_equal(trip(&s, i, (uint16_t)i, &h), XFER_ECT_0);
        assert_int_equal(h.capable, (i - 1) % 65536);
    }
    script_close(&s);
}

/* Three probe time-outs passed before any packet was acknowledged, so the next ones went without; then the first one arrives after all.
 * Those that went without are not expected to have come capable. */
static void ecn__goes_on_when_the_first_arrive_after_all(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[4];
    live_ecn(&s);
    send_one(&s, &m[0], NULL, 0);
    for (int ms = 0; s.sent[s.sent_count - 1].ecn == XFER_ECT_0; ms++) {
        assert_true(ms < 1000);
        script_wait(&s, MS);
    }
    for (int i = 1; i < 3; i++) {
        send_one(&s, &m[i], NULL, 0);
        assert_int_equal(s.sent[s.sent_count - 1].ecn, XFER_NOT_ECT);
    }
    struct wire_ack a = {.count = 2, .r = {{4, 6}, {1, 1}}};
    s.capable = 1;
    data_begin(&s);
    s.at += wire_put_ack(s.packet + s.at, &a);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    send_one(&s, &m[3], NULL, 0);
    assert_int_equal(s.sent[s.sent_count - 1].ecn, XFER_ECT_0);
    script_close(&s);
}

/* A peer that once says more than there were hides what the path does for some thousand packets, and no longer. */
static void counts__that_are_made_up_have_a_bound(void **state)
{
    (void)state;
    struct script s;
    struct wire_header h;
    uint32_t i = 1;
    live_ecn(&s);
    while (trip(&s, i, 30000, &h) == XFER_ECT_0)
        i++;
    assert_in_range(i, 4000, 4200);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello__flags_that_are_unknown_are_ignored),
        cmocka_unit_test(hello__two_that_cross_complete_each_other),
        cmocka_unit_test(session__of_the_same_life_takes_the_place_of_the_former),
        cmocka_unit_test(refuse__is_said_again_to_what_comes_again),
        cmocka_unit_test(frame__that_cannot_be_read_ends_its_packet),
        cmocka_unit_test(task__without_room_for_all_of_it_holds_nothing),
        cmocka_unit_test(answer__other_than_ok_ends_the_task_at_once_without_lengths),
        cmocka_unit_test(close__cancels_what_came_in_the_session),
        cmocka_unit_test(ecn__goes_on_when_the_first_arrive_after_all),
        cmocka_unit_test(counts__are_modulo_65536),
        cmocka_unit_test(counts__that_are_made_up_have_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
