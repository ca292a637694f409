/* What the path does to packets: marks and their echo, the search for the longest packet, and what happens when it gets shorter. */
#include "xfer_script.h"

enum { BOTH = WIRE_HELLO_ECN | WIRE_HELLO_PAD, LARGE = 8972 };
static uint8_t form[16384], bulk[60000], seen[60000];

static struct xfer_peer_stats stats(const struct script *s)
{
    struct xfer_peer_stats st;
    assert_int_equal(xfer_stats(s->x, &st, 1), 1);
    return st;
}

static struct xfer_config large(void)
{
    struct xfer_config c = script_config();
    c.packet_max = LARGE, c.window_packets = 128;
    return c;
}

/* The handshake of a peer that takes LARGE packets and has these flags. */
static void meet(struct script *s, uint8_t flags)
{
    struct wire_hello h = script_hello();
    h.packet_max = LARGE;
    h.flags |= flags;
    script_meet(s, h);
}

static void live(struct script *s, const struct xfer_config *c, uint8_t flags)
{
    script_open_with(s, c);
    meet(s, flags);
}

static void live_ecn(struct script *s)
{
    struct xfer_config c = script_config();
    live(s, &c, WIRE_HELLO_ECN);
}

static void send_small(struct script *s, struct xfer_out *m)
{
    *m = (struct xfer_out){.form = form, .form_length = script_form(form, NULL, 0, 10), .deadline_ns = s->now + 1000000 * MS};
    xfer_send(s->x, 2, m, s->now);
    script_tx(s);
}

static void send_bulk(struct script *s, struct xfer_out *m, struct chi_ar_region *r)
{
    for (size_t i = 0; i < sizeof bulk; i++)
        bulk[i] = (uint8_t)(i * 31 + (i >> 8));
    *r = (struct chi_ar_region){.ptr = bulk, .size = sizeof bulk, .flags = CHI_WRITE};
    *m = (struct xfer_out){.form = form, .regions = r, .nregions = 1, .deadline_ns = s->now + 1000000 * MS};
    m->form_length = script_form(form, &(struct form_region){.size = sizeof bulk, .flags = CHI_WRITE}, 1, 0);
    xfer_send(s->x, 2, m, s->now);
    script_tx(s);
}

static void ack(struct script *s, uint64_t first, uint64_t last)
{
    data_begin(s);
    data_ack(s, first, last);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
}

static void ping(struct script *s, uint8_t ecn)
{
    data_begin(s);
    data_ping(s);
    s->ecn = ecn;
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    s->ecn = XFER_NOT_ECT;
}

/* The next DATA packet's header; its length must be `length`, 0: any. */
static struct wire_header take(struct script *s, uint32_t length)
{
    struct wire_header h;
    script_take_data(s, &h);
    if (length)
        assert_int_equal(h.length, length);
    return h;
}

static uint8_t last_ecn(const struct script *s) { return s->sent[s->sent_count - 1].ecn; }

/* The next packet with a TASK_IN, in `f`; its number.  Waits for it while the endpoint paces. */
static uint64_t take_task(struct script *s, struct wire_frame *f, uint8_t *ecn)
{
    for (int i = 0; i < 1000; i++) {
        while (s->taken < s->sent_count) {
            struct wire_header h;
            *ecn = s->sent[s->taken].ecn;
            struct wire_cursor c = script_take_data(s, &h);
            while (script_frame(&c, f) != WIRE_FRAME_END)
                if (f->type == WIRE_FRAME_TASK_IN)
                    return h.number;
        }
        script_wait(s, MS / 10);
    }
    fail_msg("no task was sent");
    return 0;
}

/* Sends a small task and answers it, saying that so many packets came capable and marked so far; with which bits it went. */
static uint8_t round_trip(struct script *s, uint16_t capable, uint16_t marked)
{
    static struct xfer_out m;
    struct xfer_event ev;
    struct wire_frame f;
    uint8_t ecn = 0;
    send_small(s, &m);
    uint64_t number = take_task(s, &f, &ecn);
    s->capable = capable;
    s->marked = marked;
    data_begin(s);
    data_ack(s, number, number);
    data_task_out(s, &(struct wire_task_out){.slot = f.task_in.slot, .generation = f.task_in.generation}, "");
    s->now += MS / 10;
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    script_event(s, XFER_DONE, &ev);
    return ecn;
}

/* --- marks */

static void ecn__is_used_where_the_peer_agrees(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct script s;
        struct xfer_out m;
        struct xfer_config c = script_config();
        live(&s, &c, i ? WIRE_HELLO_ECN : 0);
        for (unsigned k = 0; k < s.sent_count; k++)
            assert_int_equal(s.sent[k].ecn, XFER_NOT_ECT); /* HELLO */
        send_small(&s, &m);
        assert_int_equal(last_ecn(&s), i ? XFER_ECT_0 : XFER_NOT_ECT);
        ping(&s, XFER_ECT_0);
        script_wait(&s, MS / 10);
        assert_int_equal(last_ecn(&s), XFER_NOT_ECT); /* an ACK alone */
        script_close(&s);
    }
}

static void ecn__what_came_is_told_in_the_header(void **state)
{
    (void)state;
    static const uint8_t came[] = {XFER_CE, XFER_ECT_0, XFER_ECT_1, XFER_NOT_ECT, XFER_CE};
    for (unsigned agreed = 0; agreed < 2; agreed++) {
        struct script s;
        struct xfer_config c = script_config();
        live(&s, &c, agreed ? WIRE_HELLO_ECN : 0);
        for (unsigned i = 0; i < sizeof came; i++)
            ping(&s, came[i]);
        s.ecn = XFER_CE;
        data_begin(&s);
        data_ping(&s);
        assert_int_equal(data_end_number(&s, 1), CHI_DROP_DUPLICATE); /* a copy is not counted again */
        script_tx(&s);
        struct wire_header h = take(&s, 0);
        assert_int_equal(h.capable, agreed ? 3 : 0);
        assert_int_equal(h.marked, agreed ? 2 : 0);
        assert_int_equal(stats(&s).marks_rx, agreed ? 2 : 0);
        script_close(&s);
    }
}

static void ecn__counts_of_a_peer_that_did_not_agree_are_reserved(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct script s;
        script_live(&s);
        data_begin(&s);
        data_ping(&s);
        s.capable = i == 0;
        s.marked = i == 1;
        assert_int_equal(data_end(&s), CHI_DROP_RESERVED);
        assert_int_equal(s.drops[CHI_DROP_RESERVED], 1);
        script_close(&s);
    }
}

static void ecn__marks_of_the_peer_cut_the_window(void **state)
{
    (void)state;
    for (unsigned marked = 0; marked < 2; marked++) {
        struct script s;
        live_ecn(&s);
        uint64_t before = stats(&s).window;
        for (uint16_t i = 1; i <= 6; i++)
            round_trip(&s, i, marked ? i / 2 : 0);
        assert_int_equal(stats(&s).marks_tx, marked ? 3 : 0);
        assert_int_equal(stats(&s).cuts > 0, marked);
        assert_int_equal(stats(&s).window < before, marked);
        assert_int_equal(last_ecn(&s), XFER_ECT_0);
        script_close(&s);
    }
}

static void ecn__is_given_up_where_the_path_takes_it_away(void **state)
{
    (void)state;
    static const struct { uint16_t capable[3]; bool good; } cases[] = {
        {{0, 0, 0}, false}, {{1, 2, 2}, false}, {{1, 2, 3}, true}, {{3, 3, 3}, true}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script s;
        struct xfer_out m;
        live_ecn(&s);
        for (unsigned k = 0; k < 3; k++)
            round_trip(&s, cases[i].capable[k], 0);
        send_small(&s, &m);
        assert_int_equal(last_ecn(&s), cases[i].good ? XFER_ECT_0 : XFER_NOT_ECT);
        assert_int_equal(stats(&s).cuts, 0);
        script_close(&s);
    }
}

/* The counts of a packet that was overtaken are older than those that are known. */
static void ecn__counts_of_an_older_packet_are_ignored(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[2];
    live_ecn(&s);
    round_trip(&s, 1, 0);
    round_trip(&s, 2, 1);
    send_small(&s, &m[0]);
    uint64_t number = take(&s, 0).number;
    s.number++; /* comes later, with the ACK */
    s.capable = 3;
    ping(&s, XFER_NOT_ECT);
    s.capable = 2;
    data_begin(&s);
    data_ack(&s, number, number);
    assert_int_equal(data_end_number(&s, s.number - 1), CHI_DROP_NONE);
    send_small(&s, &m[1]);
    assert_int_equal(last_ecn(&s), XFER_ECT_0);
    assert_int_equal(stats(&s).marks_tx, 1);
    script_close(&s);
}

static void ecn__is_given_up_where_all_is_marked(void **state)
{
    (void)state;
    for (unsigned one = 0; one < 2; one++) { /* one: a single packet came unmarked */
        struct script s;
        live_ecn(&s);
        for (uint16_t i = 1; i <= 70; i++)
            assert_int_equal(round_trip(&s, i, i - one), one || i <= 64 ? XFER_ECT_0 : XFER_NOT_ECT);
        script_close(&s);
    }
}

static void ecn__is_given_up_where_nothing_of_it_arrives(void **state)
{
    (void)state;
    for (unsigned proved = 0; proved < 3; proved++) {
        struct script s;
        struct xfer_out m;
        live_ecn(&s);
        if (proved == 1)
            round_trip(&s, 1, 0);
        send_small(&s, &m);
        for (unsigned sent = 0, ecn = XFER_ECT_0; sent < 5; sent++) {
            assert_int_equal(last_ecn(&s), ecn);
            for (unsigned before = s.sent_count; s.sent_count == before;)
                script_wait(&s, MS / 10);
            ecn = proved != 1 && sent >= 2 ? XFER_NOT_ECT : XFER_ECT_0; /* from the third probe on */
        }
        uint64_t last = 0;
        while (s.taken < s.sent_count)
            last = take(&s, 0).number;
        s.capable = (uint16_t)(proved == 2 ? 3 : s.capable + proved); /* 2: all that went so came, the peer had slept */
        ack(&s, last, last);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(round_trip(&s, s.capable + (proved > 0), 0), proved ? XFER_ECT_0 : XFER_NOT_ECT);
        script_close(&s);
    }
}

/* What cannot be ends it, or is bounded by what was acknowledged. */
static void ecn__what_a_peer_makes_up_has_a_bound(void **state)
{
    (void)state;
    static const struct { uint16_t capable[2], marked[2]; uint64_t counted; bool good; } cases[] = {
        {{2, 4}, {0, 3}, 0, false},      /* more marked than came */
        {{2, 3}, {1, 0}, 1, false},      /* backwards */
        {{5, 4}, {0, 0}, 0, true},       /* of no use */
        {{2, 60000}, {0, 50000}, 1, true}, /* a packet cannot be marked more than once */
        {{1, 2}, {65535, 65535}, 0, false},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script s;
        live_ecn(&s);
        for (unsigned k = 0; k < 2; k++)
            round_trip(&s, cases[i].capable[k], cases[i].marked[k]);
        assert_int_equal(round_trip(&s, cases[i].capable[1] + 1, cases[i].marked[1]), cases[i].good ? XFER_ECT_0 : XFER_NOT_ECT);
        assert_int_equal(stats(&s).marks_tx, cases[i].counted);
        script_close(&s);
    }
}

/* --- size */

/* Whether the next packet is a probe of that length. */
static uint64_t take_probe(struct script *s, uint32_t length)
{
    struct wire_header h;
    struct wire_frame f;
    struct wire_cursor c = script_take_data(s, &h);
    assert_int_equal(h.length, length);
    if (script_frame(&c, &f) == WIRE_FRAME_ACK)
        script_frame(&c, &f);
    assert_int_equal(f.type, WIRE_FRAME_PAD);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_END);
    return h.number;
}

/* A session of which a probe arrived. */
static void live_large(struct script *s, const struct xfer_config *c)
{
    live(s, c, WIRE_HELLO_PAD);
    uint64_t probe = take_probe(s, LARGE);
    ack(s, probe, probe);
}

static void size__is_the_largest_after_one_round_trip(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r;
    struct xfer_config c = large();
    struct wire_hello h = script_hello(), mine;
    struct xfer_event ev;
    script_open_with(&s, &c);
    send_bulk(&s, &m, &r); /* waits for the session */
    script_take_hello(&s, &mine);
    h.packet_max = LARGE;
    h.flags = BOTH;
    h.peer_session = s.session = mine.session;
    h.peer_incarnation = mine.incarnation;
    assert_int_equal(script_say_hello(&s, &h), CHI_DROP_NONE);
    script_event(&s, XFER_PEER_UP, &ev);
    take(&s, WIRE_PACKET_MIN); /* data first, */
    assert_int_equal(take_probe(&s, LARGE), 2); /* then at once */
    while (s.taken < s.sent_count)
        take(&s, WIRE_PACKET_MIN);
    assert_int_equal(stats(&s).packet_bytes, WIRE_PACKET_MIN);
    uint64_t sent = s.sent_count - 1; /* HELLO */
    assert_int_equal(stats(&s).window, 10 * LARGE); /* as if all went in large ones */
    ack(&s, 1, sent);
    script_tx(&s);
    assert_int_equal(stats(&s).packet_bytes, LARGE);
    assert_int_equal(take(&s, 0).length, LARGE);
    script_close(&s);
}

/* A loss of a probe is a loss of nothing. */
static void size__steps_down_and_is_tried_again_later(void **state)
{
    (void)state;
    static const uint16_t want[] = {LARGE, LARGE, LARGE, 4000, 4000, 4000, 1472, 1472, 1472};
    struct script s;
    struct xfer_config c = large();
    live(&s, &c, WIRE_HELLO_PAD);
    take_probe(&s, LARGE);
    for (unsigned i = 1; i <= sizeof want / sizeof want[0]; i++) {
        for (unsigned k = 0; k < 3; k++) /* three later ones arrive */
            round_trip(&s, 0, 0);
        script_wait(&s, MS / 10);
        if (i < sizeof want / sizeof want[0])
            take_probe(&s, want[i]);
    }
    for (unsigned k = 0; k < 5; k++)
        round_trip(&s, 0, 0);
    script_wait(&s, MS);
    while (s.taken < s.sent_count)
        assert_true(take(&s, 0).length < 100);
    assert_int_equal(stats(&s).packet_bytes, WIRE_PACKET_MIN);
    assert_int_equal(stats(&s).cuts + stats(&s).retransmits, 0);
    s.now += 1000 * MS;
    round_trip(&s, 0, 0);
    script_tx(&s);
    uint64_t probe = take_probe(&s, LARGE);
    ack(&s, probe, probe);
    assert_int_equal(stats(&s).packet_bytes, LARGE);
    script_close(&s);
}

static void hang_up(struct script *s)
{
    struct xfer_event ev;
    data_begin(s);
    s->at += wire_put_close(s->packet + s->at, WIRE_CLOSE_SHUTDOWN);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    while (xfer_next_event(s->x, &ev))
        assert_int_equal(ev.kind, XFER_DONE);
}

static void size__that_was_proved_is_the_next_sessions(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r;
    struct xfer_config c = large();
    struct xfer_addr moved = {.ip = 3, .port = SCRIPT_PORT}, back = {.ip = 2, .port = SCRIPT_PORT};
    live_large(&s, &c);
    hang_up(&s);
    meet(&s, WIRE_HELLO_PAD);
    script_nothing_sent(&s);
    assert_int_equal(stats(&s).packet_bytes, LARGE);
    send_bulk(&s, &m, &r);
    take(&s, LARGE);
    while (s.taken < s.sent_count)
        take(&s, 0);
    hang_up(&s);
    assert_int_equal(xfer_peer_set(s.x, 2, &moved), 0); /* it is elsewhere now: another path */
    assert_int_equal(xfer_peer_set(s.x, 2, &back), 0);
    meet(&s, WIRE_HELLO_PAD);
    assert_int_equal(stats(&s).packet_bytes, WIRE_PACKET_MIN);
    take_probe(&s, LARGE);
    script_close(&s);
}

/* Takes what was sent; the bytes of region 1 (out: or the form) that small packets carry are noted, and such packets acknowledged. */
static uint64_t take_small(struct script *s, const uint8_t *from, uint8_t region)
{
    uint64_t took = 0;
    struct wire_header h;
    struct wire_frame f;
    while (s->taken < s->sent_count) {
        struct wire_cursor c = script_take_data(s, &h);
        if (h.length > WIRE_PACKET_MIN)
            continue; /* vanishes */
        while (script_frame(&c, &f) != WIRE_FRAME_END) {
            if (f.type == WIRE_FRAME_SEGMENT && f.segment.region == region) {
                assert_memory_equal(from + f.segment.offset, f.segment.bytes, f.segment.length);
                memset(seen + f.segment.offset, 1, f.segment.length);
            } else if (f.type == WIRE_FRAME_TASK_OUT) {
                assert_memory_equal(from, f.task_out.bytes, f.task_out.inline_length);
                memset(seen, 1, f.task_out.inline_length);
            }
        }
        ack(s, h.number, h.number);
        took++;
    }
    return took;
}

static bool all_seen(uint32_t length) { return memchr(seen, 0, length) == NULL; }

/* Large packets vanish, small ones arrive: what was in the large ones comes in smaller ones, at first by a probe time-out. */
static void size__falls_back_when_large_packets_vanish(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r;
    struct xfer_config c = large();
    live_large(&s, &c);
    uint64_t start = s.now;
    memset(seen, 0, sizeof seen);
    send_bulk(&s, &m, &r);
    for (int i = 0; i < 100000 && !all_seen(sizeof bulk); i++) {
        take_small(&s, bulk, 1);
        script_wait(&s, MS / 10);
    }
    assert_true(all_seen(sizeof bulk));
    assert_true(s.now - start < 100 * MS); /* three time-outs, then round trips */
    assert_int_equal(stats(&s).packet_bytes, WIRE_PACKET_MIN);
    script_close(&s);
}

/* The same by acknowledgements alone, without a time-out: small tasks go on beside it. */
static void size__falls_back_while_small_packets_arrive(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m, small[3];
    struct chi_ar_region r;
    struct xfer_config c = large();
    struct wire_header h;
    live_large(&s, &c);
    send_bulk(&s, &m, &r);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(stats(&s).packet_bytes, i < 2 ? LARGE : WIRE_PACKET_MIN);
        while (s.taken < s.sent_count)
            take(&s, 0);
        send_small(&s, &small[i]);
        do
            script_take_data(&s, &h);
        while (h.length > WIRE_PACKET_MIN);
        ack(&s, h.number, h.number);
        script_tx(&s);
    }
    script_close(&s);
}

static struct xfer_in *task_in(struct script *s, uint32_t slot, const struct form_region *r, uint8_t regions)
{
    struct xfer_event ev;
    uint32_t length = script_form(form, r, regions, 0);
    data_begin(s);
    data_task_in(s, slot, 1, form, length, length);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    script_event(s, XFER_TASK, &ev);
    for (uint32_t i = 0; i < ev.in->nregions; i++) {
        ev.in->regions[i].used = ev.in->regions[i].size;
        memset(ev.in->regions[i].ptr, 0x5a, ev.in->regions[i].size);
    }
    return ev.in;
}

/* Answers go until so many of them are acknowledged. */
static void until_answered(struct script *s, unsigned count)
{
    struct xfer_event ev;
    for (int i = 0; i < 10000 && count; i++) {
        take_small(s, bulk, 0);
        while (xfer_next_event(s->x, &ev))
            count -= ev.kind == XFER_ANSWERED;
        script_wait(s, MS / 10);
    }
    assert_int_equal(count, 0);
}

static void size__cuts_the_head_of_an_answer_again(void **state)
{
    (void)state;
    struct script s;
    struct xfer_config c = large();
    live_large(&s, &c);
    for (size_t i = 0; i < sizeof bulk; i++)
        bulk[i] = (uint8_t)(i * 31 + (i >> 8));
    memset(seen, 0, sizeof seen);
    struct xfer_in *in = task_in(&s, 0, NULL, 0);
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK, .body = bulk, .body_length = 6000}, s.now);
    script_tx(&s);
    assert_true(take(&s, 0).length > 6000); /* whole */
    until_answered(&s, 1);
    assert_true(all_seen(6000));
    script_close(&s);
}

/* Every reference is in use when lost frames must be cut, and there is none for the parts. */
static void size__falls_back_when_no_reference_is_left(void **state)
{
    (void)state;
    struct script s;
    struct xfer_config c = large();
    c.window_packets = 4; /* 32 references, and one for each slot */
    struct form_region one = {.size = 8500, .flags = CHI_EXPOSE}, many[CHI_REGIONS_MAX];
    for (int i = 0; i < CHI_REGIONS_MAX; i++)
        many[i] = (struct form_region){.size = 20, .flags = CHI_EXPOSE};
    live_large(&s, &c);
    struct xfer_in *in[] = {task_in(&s, 0, &one, 1), task_in(&s, 1, many, CHI_REGIONS_MAX), task_in(&s, 2, many, CHI_REGIONS_MAX)};
    for (int i = 0; i < 3; i++)
        xfer_answer(s.x, in[i], &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    script_tx(&s);
    assert_int_equal(stats(&s).in_flight, 2);
    until_answered(&s, 3);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ecn__is_used_where_the_peer_agrees),
        cmocka_unit_test(ecn__what_came_is_told_in_the_header),
        cmocka_unit_test(ecn__counts_of_a_peer_that_did_not_agree_are_reserved),
        cmocka_unit_test(ecn__marks_of_the_peer_cut_the_window),
        cmocka_unit_test(ecn__is_given_up_where_the_path_takes_it_away),
        cmocka_unit_test(ecn__counts_of_an_older_packet_are_ignored),
        cmocka_unit_test(ecn__is_given_up_where_all_is_marked),
        cmocka_unit_test(ecn__is_given_up_where_nothing_of_it_arrives),
        cmocka_unit_test(ecn__what_a_peer_makes_up_has_a_bound),
        cmocka_unit_test(size__is_the_largest_after_one_round_trip),
        cmocka_unit_test(size__steps_down_and_is_tried_again_later),
        cmocka_unit_test(size__that_was_proved_is_the_next_sessions),
        cmocka_unit_test(size__falls_back_when_large_packets_vanish),
        cmocka_unit_test(size__falls_back_while_small_packets_arrive),
        cmocka_unit_test(size__cuts_the_head_of_an_answer_again),
        cmocka_unit_test(size__falls_back_when_no_reference_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
