/* Bytes of regions that go from where they lie: when, and until when they stay their message's. */
#include "xfer_script.h"

enum { SIZE = 80000 };
static uint8_t form[4096], region[SIZE];

static bool always(void *ctx, const struct xfer_addr *to)
{
    (void)ctx;
    return to->ip == 2;
}

static void live(struct script *s)
{
    struct xfer_config c = script_config();
    c.window_packets = 4;
    script_open_with(s, &c);
    script_handshake(s);
    xfer_attach(s->x, always);
    for (int i = 0; i < SIZE; i++)
        region[i] = (uint8_t)(i * 7 + i / 256);
}

static void send(struct script *s, struct xfer_out *m, struct chi_ar_region *r, bool steady)
{
    const struct form_region f = {.size = r->size, .flags = r->flags};
    uint32_t length = script_form(form, &f, 1, 10);
    *m = (struct xfer_out){.form = form, .form_length = length, .regions = r, .nregions = 1, .steady = steady,
                           .deadline_ns = s->now + 5000 * MS};
    xfer_send(s->x, 2, m, s->now);
}

/* A live session, in which all of the region goes as a steady message. */
static void begin(struct script *s, struct xfer_out *m, struct chi_ar_region *r)
{
    *r = (struct chi_ar_region){.ptr = region, .size = SIZE, .flags = CHI_WRITE};
    live(s);
    send(s, m, r, true);
}

static void let_go(uint32_t *users)
{
    assert_true(*users > 0);
    --*users;
}

/* What goes now; acknowledged but for packets with a tail, when `hurt` (they came damaged).  Their ports let go at once, but `keep`.
 * Returns how many had a tail. */
struct seen { unsigned tails, packets; uint64_t bytes; };
static struct seen look(struct script *s, bool hurt, bool keep)
{
    struct seen n = {0};
    struct wire_header h;
    struct wire_frame f;
    script_tx(s);
    while (s->taken < s->sent_count) {
        uint32_t *users = s->sent[s->taken].users;
        struct wire_cursor c = script_take_data(s, &h);
        while (script_frame(&c, &f) != WIRE_FRAME_END)
            if (f.type == WIRE_FRAME_SEGMENT) {
                assert_memory_equal(f.segment.bytes, region + f.segment.offset, f.segment.length);
                n.bytes += f.segment.length;
            }
        n.packets++;
        n.tails += users != NULL;
        if (users && !keep)
            let_go(users);
        if (users && hurt)
            continue;
        data_begin(s);
        data_ack(s, h.number, h.number);
        assert_int_equal(data_end(s), CHI_DROP_NONE);
    }
    s->now += 50000;
    xfer_tick(s->x, s->now);
    return n;
}

static void say_done(struct script *s, uint32_t generation)
{
    struct wire_task_out w = {.slot = 0, .generation = generation, .form_length = 5, .inline_length = 5};
    data_begin(s);
    data_task_out(s, &w, "12345");
    assert_int_equal(data_end(s), CHI_DROP_NONE);
}

static void expect_done(struct script *s, const struct xfer_out *m, enum chi_status status)
{
    struct xfer_event ev;
    script_event(s, XFER_DONE, &ev);
    assert_ptr_equal(ev.out, m);
    assert_int_equal(ev.status, status);
    if (status == CHI_STATUS_OK)
        assert_memory_equal(ev.bytes, "12345", 5);
}

static void tail__of_one_packet_goes_first_and_of_all_when_it_came(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r;
    begin(&s, &m, &r);
    struct seen n = look(&s, false, false);
    assert_int_equal(n.tails, 1);
    assert_int_equal(n.packets, 4);
    uint64_t bytes = n.bytes;
    for (int i = 0; i < 5; i++) {
        n = look(&s, false, false);
        assert_int_equal(n.tails, 4);
        assert_int_equal(n.packets, 4);
        bytes += n.bytes;
    }
    while ((n = look(&s, false, false)).packets) {
        assert_true(n.tails + 1 >= n.packets); /* the last piece fills no packet */
        bytes += n.bytes;
    }
    assert_int_equal(bytes, SIZE);
    say_done(&s, 1);
    expect_done(&s, &m, CHI_STATUS_OK);
    script_close(&s);
}

static void tail__that_never_arrives_is_tried_three_times(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r;
    begin(&s, &m, &r);
    unsigned tails = 0, quiet = 0;
    for (int i = 0; i < 2000 && quiet < 100; i++) {
        struct seen n = look(&s, true, false);
        assert_true(n.tails <= 1);
        tails += n.tails;
        quiet = n.packets ? 0 : quiet + 1;
    }
    assert_int_equal(tails, 3);
    say_done(&s, 1);
    expect_done(&s, &m, CHI_STATUS_OK);
    struct xfer_addr other = {.ip = 2, .port = SCRIPT_PORT}; /* perhaps by another port now: */
    assert_int_equal(xfer_peer_set(s.x, 2, &other), 0);
    send(&s, &m, &r, true);
    assert_int_equal(look(&s, false, false).tails, 1);
    assert_int_equal(look(&s, false, false).tails, 4);
    script_close(&s);
}

static void tail__is_proved_anew_when_many_in_a_row_are_lost(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r;
    begin(&s, &m, &r);
    assert_int_equal(look(&s, false, false).tails, 1);
    unsigned tails = 0, quiet = 0;
    for (int i = 0; i < 40000 && quiet < 1000; i++) {
        struct seen n = look(&s, true, false);
        tails += n.tails;
        quiet = n.packets ? 0 : quiet + 1;
    }
    assert_true(tails >= 16 + 3 && tails <= 16 + 3 + 4); /* then three trials; what was on its way; the rest is copied */
    script_close(&s);
}

static void tail__is_never_of_what_others_may_write(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct script s;
        struct xfer_out m;
        struct chi_ar_region r = {.ptr = region, .size = SIZE, .flags = i ? CHI_WRITE | CHI_EXPOSE : CHI_WRITE};
        live(&s);
        send(&s, &m, &r, i); /* a client's; one that the answer comes into */
        unsigned packets = 0;
        for (struct seen n = {.packets = 1}; n.packets; packets += n.packets) {
            n = look(&s, false, false);
            assert_int_equal(n.tails, 0);
        }
        assert_true(packets > 20);
        script_close(&s);
    }
}

static void origin__has_its_memory_when_no_packet_refers_to_it(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct script s;
        struct xfer_out m;
        struct chi_ar_region r;
        begin(&s, &m, &r);
        unsigned kept = look(&s, false, true).tails;
        assert_int_equal(kept, 1);
        uint32_t *users = &m.tails;
        assert_int_equal(*users, 1);
        while (look(&s, false, false).packets)
            ;
        if (late)
            s.now = m.deadline_ns; /* it ends without an answer */
        else
            say_done(&s, 1);
        for (int i = 0; i < 5; i++) {
            script_no_event(&s);
            assert_true(xfer_deadline(s.x) <= s.now + MS);
            script_wait(&s, 10 * MS);
        }
        let_go(users);
        script_wait(&s, MS);
        expect_done(&s, &m, late ? CHI_STATUS_DEADLINE : CHI_STATUS_OK);
        script_close(&s);
    }
}

static void target__keeps_its_memory_while_a_packet_refers_to_it(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    const struct form_region f = {.size = 8000, .flags = CHI_EXPOSE};
    live(&s);
    uint32_t n = script_form(form, &f, 1, 20);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    struct xfer_in *in = ev.in;
    memcpy(in->regions[0].ptr, region, 8000);
    in->regions[0].used = 8000;
    int blocks = s.memory_out;
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    script_tx(&s);
    uint32_t *users = NULL;
    for (unsigned i = 0; i < s.sent_count; i++)
        users = s.sent[i].users ? s.sent[i].users : users;
    assert_non_null(users);
    while (look(&s, false, true).packets)
        ;
    uint32_t kept = *users;
    assert_true(kept > 1);
    for (; kept; kept--) {
        script_wait(&s, 10 * MS);
        script_no_event(&s);
        assert_int_equal(s.memory_out, blocks);
        let_go(users);
    }
    script_wait(&s, MS);
    script_event(&s, XFER_ANSWERED, &ev);
    assert_ptr_equal(ev.in, in);
    script_no_event(&s);
    assert_int_equal(s.memory_out, blocks - 1);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tail__of_one_packet_goes_first_and_of_all_when_it_came),
        cmocka_unit_test(tail__that_never_arrives_is_tried_three_times),
        cmocka_unit_test(tail__is_proved_anew_when_many_in_a_row_are_lost),
        cmocka_unit_test(tail__is_never_of_what_others_may_write),
        cmocka_unit_test(origin__has_its_memory_when_no_packet_refers_to_it),
        cmocka_unit_test(target__keeps_its_memory_while_a_packet_refers_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
