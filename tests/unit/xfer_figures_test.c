/* What the transport says of a peer: each figure moves by what it counts, and by nothing of another peer's. */
#include "xfer_script.h"

static uint8_t form[4096], bulk[40000];

static struct xfer_peer_stats stats(const struct script *s)
{
    struct xfer_peer_stats st;
    assert_true(xfer_stats_of(s->x, 2, &st));
    return st;
}

static void expect_drop(struct script *s, enum chi_drop d, uint64_t of_peer)
{
    struct xfer_peer_stats st = stats(s);
    for (int i = 1; i < CHI_DROP_COUNT; i++)
        assert_int_equal(st.drops[i], i == (int)d ? of_peer : 0);
    assert_true(s->drops[d] > 0);
}

/* A PING of the peer's, as bytes to be damaged. */
static size_t ping_packet(struct script *s, uint32_t session, uint64_t number)
{
    data_begin(s);
    data_ping(s);
    struct wire_header h = {.kind = WIRE_KIND_DATA, .length = (uint16_t)s->at, .session = session, .number = number};
    wire_put_header(s->packet, &h);
    wire_seal(s->packet, s->at, script_crc);
    return s->at;
}

static void drops__are_those_of_the_session_and_address(void **state)
{
    (void)state;
    static const struct {
        uint32_t ip;
        uint32_t session; /* beside the right one: ^ */
        uint64_t number;
        bool damaged, cut;
        enum chi_drop drop;
        bool of_peer;
    } cases[] = {
        {2, 0, 1, true, false, CHI_DROP_CRC, true},
        {9, 0, 1, true, false, CHI_DROP_CRC, false}, /* somebody else's */
        {2, 0, 1, false, true, CHI_DROP_TRUNCATED, true},
        {2, 0, 0, false, false, CHI_DROP_NUMBER, true},
        {9, 0, 1, false, false, CHI_DROP_ADDRESS, false},
        {2, 0x80000000, 1, false, false, CHI_DROP_SESSION_UNKNOWN, true}, /* of a former life: the record is the same */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script s;
        script_live(&s);
        size_t n = ping_packet(&s, s.session ^ cases[i].session, cases[i].number);
        s.packet[n - 1] ^= cases[i].damaged;
        assert_int_equal(script_rx(&s, cases[i].ip, s.packet, n - cases[i].cut), cases[i].drop);
        expect_drop(&s, cases[i].drop, cases[i].of_peer);
        script_close(&s);
    }
    struct script s;
    script_live(&s);
    assert_int_equal(script_rx(&s, 2, s.packet, 5), CHI_DROP_TRUNCATED); /* too short for a session */
    expect_drop(&s, CHI_DROP_TRUNCATED, 0);
    script_close(&s);
}

static void drops__of_frames_and_hellos_are_the_peers(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello();
    script_live(&s);
    data_begin(&s);
    data_segment(&s, 3, 7, 1, 0, 0, "x", 1);
    assert_int_equal(data_end(&s), CHI_DROP_REGION_UNKNOWN);
    data_begin(&s);
    data_ping(&s);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    assert_int_equal(data_end_number(&s, s.number), CHI_DROP_DUPLICATE);
    h.peer_session = s.session;
    h.peer_incarnation = SCRIPT_OWN_LIFE - 1;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_INCARNATION);
    struct xfer_peer_stats st = stats(&s);
    assert_true(st.drops[CHI_DROP_REGION_UNKNOWN] == 1 && st.drops[CHI_DROP_DUPLICATE] == 1 && st.drops[CHI_DROP_INCARNATION] == 1);
    assert_int_equal(st.duplicates, 1);
    script_close(&s);
}

static void peer__that_is_none_has_no_figures(void **state)
{
    (void)state;
    struct script s;
    struct xfer_peer_stats st;
    struct xfer_session_stats one;
    script_live(&s);
    assert_false(xfer_stats_of(s.x, 3, &st));
    assert_int_equal(xfer_sessions_of(s.x, 3, &one, 1), 0);
    script_close(&s);
}

static void send_region(struct script *s, struct xfer_out *m, struct chi_ar_region *r, uint32_t size)
{
    *r = (struct chi_ar_region){.ptr = bulk, .size = size, .flags = CHI_WRITE};
    struct form_region f = {size, 0, CHI_WRITE};
    *m = (struct xfer_out){.form = form, .form_length = script_form(form, &f, 1, 8), .regions = r, .nregions = 1,
                           .deadline_ns = s->now + 100 * MS};
    xfer_send(s->x, 2, m, s->now);
}

/* The window is open again. */
static void ack_all(struct script *s)
{
    struct wire_header h;
    const uint8_t *p;
    uint64_t last = 0;
    int kind;
    while ((kind = script_take(s, &p, &h)))
        last = kind == WIRE_KIND_DATA ? h.number : last;
    data_begin(s);
    data_ack(s, 1, last);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
}

static void messages__of_ours_are_counted_from_waiting_to_the_end(void **state)
{
    (void)state;
    struct script s;
    struct xfer_config c = script_config();
    struct xfer_out m[6];
    struct chi_ar_region r[6];
    struct xfer_event ev;
    c.unasked_bytes = 100;
    script_open_with(&s, &c);
    for (int i = 0; i < 6; i++)
        send_region(&s, &m[i], &r[i], 300);
    assert_true(stats(&s).waiting_out == 6 && stats(&s).open_out == 0); /* no session yet */
    script_tx(&s);
    s.taken = s.sent_count;
    script_handshake(&s);
    assert_true(stats(&s).waiting_out == 2 && stats(&s).open_out == 4); /* as many as slots */
    script_tx(&s);
    struct xfer_session_stats one;
    assert_int_equal(xfer_sessions_of(s.x, 2, &one, 1), 1);
    assert_true(one.sends && one.open_out == 4 && one.unasked == 400 && one.credit == 1 << 24 && one.packet_bytes == 1500 && one.worker == 0);
    assert_true(one.in_flight == 1 && one.in_flight_bytes == stats(&s).in_flight_bytes && one.in_flight_bytes > 400);
    assert_true(one.window == stats(&s).window && one.window >= one.in_flight_bytes && !one.paced && one.probes == 0 && one.pto_ns >= 1 * MS);
    for (uint8_t flags = 0; flags <= WIRE_GRANT_AGAIN; flags++) {
        data_begin(&s);
        s.at += wire_put_grant(s.packet + s.at, &(struct wire_grant){.bytes = 300, .slot = 0, .generation = 1, .flags = flags});
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
    }
    assert_true(stats(&s).grants_rx == 1 && stats(&s).calls_rx == 1);
    data_begin(&s);
    data_ack(&s, 1, 1);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    assert_int_equal(stats(&s).acks_rx, 1);
    assert_true(stats(&s).srtt_ns > 0 && stats(&s).rtt_min_ns > 0);
    script_tx(&s);
    script_wait(&s, 1500000); /* nothing more is acknowledged */
    assert_int_equal(stats(&s).probes, 1);
    assert_int_equal(stats(&s).acks_tx, 1); /* of the GRANTs */
    assert_int_equal(xfer_sessions_of(s.x, 2, &one, 1), 1);
    assert_int_equal(one.probes, 1);
    script_wait(&s, 102 * MS);
    for (int i = 0; i < 6; i++)
        script_event(&s, XFER_DONE, &ev);
    ack_all(&s);
    script_tx(&s);
    assert_int_equal(stats(&s).cancels_tx, 4);
    assert_true(stats(&s).open_out == 0 && stats(&s).waiting_out == 0);
    script_close(&s);
}

static enum chi_drop offer(struct script *s, uint32_t slot, uint32_t size, uint8_t flags)
{
    struct form_region r = {size, 0, CHI_WRITE};
    uint32_t n = script_form(form, &r, 1, 8);
    data_begin(s);
    s->at += wire_put_task_in(s->packet + s->at, &(struct wire_task_in){.slot = slot, .generation = 1, .form_length = n,
                                                                        .inline_length = (uint16_t)n, .flags = flags});
    data_bytes(s, form, n);
    return data_end(s);
}

static void messages__of_the_peers_are_counted_with_their_memory(void **state)
{
    (void)state;
    struct script s;
    struct xfer_config c = script_config();
    c.overcommit = 1;
    c.grant_bytes = 10000;
    script_open_with(&s, &c);
    script_handshake(&s);
    for (uint32_t slot = 0; slot < 3; slot++)
        assert_int_equal(offer(&s, slot, 30000, WIRE_TASK_WAITS), CHI_DROP_NONE);
    s.no_memory = true;
    assert_int_equal(offer(&s, 3, 1000, 0), CHI_DROP_NONE);
    script_tx(&s);
    struct xfer_peer_stats st = stats(&s);
    assert_true(st.open_in == 3 && st.memory == 90000 && st.memory_most == 91000 - 1000);
    assert_true(st.waiting_turn == 2 && st.grants_tx == 1 && st.waiting_in == 1 && st.drops[CHI_DROP_NO_MEMORY] == 1);
    for (uint32_t slot = 0; slot < 2; slot++) {
        data_begin(&s);
        s.at += wire_put_cancel(s.packet + s.at, &(struct wire_cancel){.slot = slot, .generation = 1});
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
    }
    script_tx(&s);
    st = stats(&s);
    assert_true(st.cancels_rx == 2 && st.open_in == 1 && st.memory == 30000 && st.memory_most == 90000 && st.waiting_turn == 0);
    assert_true(st.grants_tx >= 2 && st.calls_tx == 1);
    script_close(&s);
}

static void cuts__of_a_session_that_ended_are_kept(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r;
    script_live(&s);
    send_region(&s, &m, &r, sizeof bulk);
    script_tx(&s);
    for (int i = 0; i < 6; i++)
        script_wait(&s, 20 * MS); /* nothing is acknowledged: the window shrinks */
    uint64_t cuts = stats(&s).cuts;
    assert_true(cuts > 0);
    data_begin(&s);
    s.at += wire_put_close(s.packet + s.at, WIRE_CLOSE_SHUTDOWN);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    struct xfer_session_stats none;
    assert_int_equal(xfer_sessions_of(s.x, 2, &none, 1), 0);
    assert_int_equal(stats(&s).cuts, cuts);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drops__are_those_of_the_session_and_address),
        cmocka_unit_test(drops__of_frames_and_hellos_are_the_peers),
        cmocka_unit_test(peer__that_is_none_has_no_figures),
        cmocka_unit_test(messages__of_ours_are_counted_from_waiting_to_the_end),
        cmocka_unit_test(messages__of_the_peers_are_counted_with_their_memory),
        cmocka_unit_test(cuts__of_a_session_that_ended_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
