/* What acknowledgements say about time: samples of the round trip, when a packet counts as lost by it, when a probe goes. */
#include "xfer_script.h"

static const uint64_t US = 1000;
static uint8_t form[64];

/* Live without a sample of the round trip: which of two HELLOs was answered is not known. */
static void live_unsampled(struct script *s)
{
    struct xfer_config c = script_config();
    struct wire_hello h = script_hello();
    c.slots = 8;
    script_open_with(s, &c);
    assert_int_equal(script_say_hello(s, &h), CHI_DROP_NONE);
    script_take_hello(s, &(struct wire_hello){0});
    script_handshake(s);
}

static void send_small(struct script *s, struct xfer_out *m)
{
    *m = (struct xfer_out){.form = form, .form_length = script_form(form, NULL, 0, 8), .deadline_ns = s->now + 100000 * MS};
    xfer_send(s->x, 2, m, s->now);
    script_tx(s);
}

static uint64_t take(struct script *s)
{
    struct wire_header h;
    script_take_data(s, &h);
    return h.number;
}

static void ack_with(struct script *s, uint64_t first, uint64_t last, uint32_t delay_ns)
{
    struct wire_ack a = {.delay_ns = delay_ns, .count = 1, .r = {{first, last}}};
    data_begin(s);
    s->at += wire_put_ack(s->packet + s->at, &a);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
}

static uint64_t srtt(struct script *s)
{
    struct xfer_peer_stats st;
    xfer_stats(s->x, &st, 1);
    return st.srtt_ns;
}

/* Sends one packet, which is acknowledged after `rtt`. */
static void trip(struct script *s, uint64_t rtt, uint32_t delay_ns)
{
    static struct xfer_out m[8];
    static unsigned next;
    struct xfer_peer_stats st;
    xfer_stats(s->x, &st, 1);
    assert_true(st.open_out < 8);
    send_small(s, &m[next++ % 8]);
    uint64_t number = take(s);
    s->now += rtt;
    ack_with(s, number, number, delay_ns);
    data_begin(s); /* and answered, so that its slot is free again */
    data_task_out(s, &(struct wire_task_out){.generation = (uint32_t)number, .status = CHI_STATUS_MODULE}, "");
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    struct xfer_event ev;
    script_event(s, XFER_DONE, &ev);
    script_tx(s);
    s->taken = s->sent_count;
}

/* Nothing goes out before `ns` have passed, and a packet then. */
static void expect_after(struct script *s, uint64_t ns)
{
    script_wait(s, ns - 1);
    script_nothing_sent(s);
    script_wait(s, 1);
    take(s);
}

static void ack__is_due_from_the_first_packet_that_waits(void **state)
{
    (void)state;
    struct script s;
    live_unsampled(&s);
    data_begin(&s);
    data_ping(&s);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_wait(&s, 60 * US);
    data_begin(&s);
    data_ping(&s);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_after(&s, 40 * US);
    script_close(&s);
}

static void ack__of_the_number_to_come_is_dropped(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_peer_stats st;
    live_unsampled(&s);
    send_small(&s, &m);
    assert_int_equal(take(&s), 1);
    data_begin(&s);
    data_ack(&s, 1, 2);
    assert_int_equal(data_end(&s), CHI_DROP_NUMBER);
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.in_flight, 1);
    script_close(&s);
}

static void rtt__believes_the_peer_no_more_delay_than_is_configured(void **state)
{
    (void)state;
    struct script s;
    live_unsampled(&s);
    trip(&s, 300 * US, 0);
    for (int i = 0; i < 60; i++)
        trip(&s, 1000 * US, 900000);
    assert_true(srtt(&s) > 890 * US && srtt(&s) < 910 * US);
    script_close(&s);
}

static void rtt__is_never_brought_below_the_least(void **state)
{
    (void)state;
    struct script s;
    live_unsampled(&s);
    trip(&s, 300 * US, 0);
    for (int i = 0; i < 60; i++)
        trip(&s, 310 * US, 80000);
    assert_true(srtt(&s) > 305 * US);
    script_close(&s);
}

static void rtt__is_that_of_the_largest_number(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[2];
    live_unsampled(&s);
    send_small(&s, &m[0]);
    s.now += 400 * US;
    send_small(&s, &m[1]);
    s.now += 100 * US;
    ack_with(&s, 1, 2, 0);
    assert_int_equal(srtt(&s), 100 * US);
    script_close(&s);
}

static void rtt__of_the_handshake_counts_when_one_hello_was_answered(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello(), reply;
    for (int hellos = 1; hellos <= 2; hellos++) {
        h = script_hello();
        script_open(&s);
        for (int i = 0; i < hellos; i++) {
            assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
            script_take_hello(&s, &reply);
        }
        h.flags = 0;
        h.peer_session = reply.session;
        h.peer_incarnation = reply.incarnation;
        s.now += 250 * US;
        assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
        assert_int_equal(srtt(&s), hellos == 1 ? 250 * US : 0);
        script_close(&s);
    }
}

static void loss__by_time_is_not_forgotten_with_a_late_ack(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[5];
    live_unsampled(&s);
    for (int i = 0; i < 5; i++)
        send_small(&s, &m[i]);
    s.now += 400 * US;
    ack_with(&s, 5, 5, 0); /* 1 and 2 are lost by it; 3 and 4 in time */
    ack_with(&s, 1, 3, 0); /* was overtaken; and taught patience: 10 eighths of a round trip in place of 9 */
    script_tx(&s);
    s.taken = s.sent_count;
    expect_after(&s, 100 * US);
    script_close(&s);
}

static void loss__by_time_waits_for_the_granularity_at_least(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[2];
    live_unsampled(&s);
    send_small(&s, &m[0]);
    send_small(&s, &m[1]);
    s.taken = s.sent_count;
    ack_with(&s, 2, 2, 0); /* at once */
    expect_after(&s, 20 * US);
    script_close(&s);
}

static void probe__without_a_sample_waits_twice_the_least(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    live_unsampled(&s);
    send_small(&s, &m);
    take(&s);
    expect_after(&s, 2 * MS);
    expect_after(&s, 4 * MS);
    script_close(&s);
}

static void probe__waits_the_least_on_a_fast_path(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    live_unsampled(&s);
    trip(&s, 10 * US, 0);
    send_small(&s, &m);
    take(&s);
    expect_after(&s, 1 * MS);
    script_close(&s);
}

static void probe__waits_for_round_trip_variation_and_ack_delay(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    live_unsampled(&s);
    trip(&s, 1600 * US, 0); /* the first sample varies by its half */
    send_small(&s, &m);
    take(&s);
    expect_after(&s, (1600 + 4 * 800 + 100) * US);
    script_close(&s);
}

static void probe__begins_anew_after_an_ack(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[2];
    live_unsampled(&s);
    trip(&s, 10 * US, 0);
    send_small(&s, &m[0]);
    take(&s);
    for (uint64_t wait = 1; wait <= 4; wait *= 2)
        expect_after(&s, wait * MS);
    s.now += 10 * US; /* after so many probes it is paced */
    ack_with(&s, 5, 5, 0);
    send_small(&s, &m[1]);
    take(&s);
    expect_after(&s, 1 * MS);
    script_close(&s);
}

static void probe__backs_off_no_further_than_the_ceiling(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    live_unsampled(&s);
    send_small(&s, &m);
    take(&s);
    for (uint64_t wait = 2; wait < 16; wait *= 2)
        expect_after(&s, wait * MS);
    for (int i = 0; i < 100; i++)
        expect_after(&s, 16 * MS);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ack__is_due_from_the_first_packet_that_waits),
        cmocka_unit_test(ack__of_the_number_to_come_is_dropped),
        cmocka_unit_test(rtt__believes_the_peer_no_more_delay_than_is_configured),
        cmocka_unit_test(rtt__is_never_brought_below_the_least),
        cmocka_unit_test(rtt__is_that_of_the_largest_number),
        cmocka_unit_test(rtt__of_the_handshake_counts_when_one_hello_was_answered),
        cmocka_unit_test(loss__by_time_is_not_forgotten_with_a_late_ack),
        cmocka_unit_test(loss__by_time_waits_for_the_granularity_at_least),
        cmocka_unit_test(probe__without_a_sample_waits_twice_the_least),
        cmocka_unit_test(probe__waits_the_least_on_a_fast_path),
        cmocka_unit_test(probe__waits_for_round_trip_variation_and_ack_delay),
        cmocka_unit_test(probe__begins_anew_after_an_ack),
        cmocka_unit_test(probe__backs_off_no_further_than_the_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
