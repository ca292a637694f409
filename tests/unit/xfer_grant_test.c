/* Room and grants: who gets neither waits for a GRANT, and is told in turn; a CANCEL stops what has not begun. */
#include "xfer_script.h"

enum { BIG = 40000, MESSAGES = 4 };
static uint8_t form[4096], bulk[BIG];

static struct xfer_config config(void)
{
    struct xfer_config c = script_config();
    c.slots = 8;
    c.unasked_bytes = 2000;
    c.credit_bytes = 3000;
    c.grant_bytes = 10000;
    c.overcommit = 1;
    return c;
}

static void live(struct script *s, const struct xfer_config *c)
{
    script_open_with(s, c);
    script_handshake(s);
}

/* --- as the target */

static enum chi_drop offer(struct script *s, uint32_t slot, uint32_t generation, uint32_t size, uint8_t flags, uint8_t region_flags)
{
    struct form_region r = {size, 0, region_flags};
    uint32_t n = script_form(form, &r, size ? 1 : 0, 8);
    data_begin(s);
    s->at += wire_put_task_in(s->packet + s->at, &(struct wire_task_in){.slot = slot, .generation = generation, .form_length = n,
                                                                        .inline_length = (uint16_t)n, .flags = flags});
    data_bytes(s, form, n);
    return data_end(s);
}

static void bring(struct script *s, uint32_t slot, uint64_t offset, uint32_t length)
{
    while (length) {
        uint16_t n = length < 1000 ? (uint16_t)length : 1000;
        data_begin(s);
        data_segment(s, slot, 1, 1, 0, offset, bulk, n);
        assert_int_equal(data_end(s), CHI_DROP_NONE);
        offset += n;
        length -= n;
    }
}

/* The next GRANT that it sent; all packets are acknowledged unless `keep`.  False: none. */
static bool next_grant(struct script *s, struct wire_grant *g, bool keep)
{
    bool found = false;
    const uint8_t *p;
    struct wire_header h;
    struct wire_frame f;
    script_tx(s);
    while (!found && script_take(s, &p, &h) == WIRE_KIND_DATA) {
        struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
        bool tracked = false;
        while (script_frame(&c, &f) != WIRE_FRAME_END) {
            tracked |= f.type != WIRE_FRAME_ACK;
            if (f.type == WIRE_FRAME_GRANT) {
                *g = f.grant;
                found = true;
            }
        }
        if (tracked && !keep) {
            data_begin(s);
            data_ack(s, h.number, h.number);
            assert_int_equal(data_end(s), CHI_DROP_NONE);
        }
    }
    return found;
}

static void expect_grant(struct script *s, uint32_t slot, uint64_t bytes, uint8_t flags)
{
    struct wire_grant g;
    assert_true(next_grant(s, &g, false));
    assert_int_equal(g.slot, slot);
    assert_int_equal(g.generation, 1);
    assert_int_equal(g.bytes, bytes);
    assert_int_equal(g.flags, flags);
}

static void grant__keeps_so_many_bytes_under_way(void **state)
{
    (void)state;
    struct script s;
    struct wire_grant g;
    struct xfer_event ev;
    struct xfer_config c = config();
    live(&s, &c);
    assert_int_equal(offer(&s, 0, 1, 25000, WIRE_TASK_WAITS, CHI_WRITE), CHI_DROP_NONE);
    expect_grant(&s, 0, 10000, 0);
    bring(&s, 0, 0, 4000);
    assert_false(next_grant(&s, &g, false)); /* more than a half is under way still */
    bring(&s, 0, 4000, 1000);
    expect_grant(&s, 0, 15000, 0);
    bring(&s, 0, 5000, 10000);
    while (next_grant(&s, &g, false))
        ;
    assert_int_equal(g.bytes, 25000);
    bring(&s, 0, 15000, 10000);
    script_event(&s, XFER_TASK, &ev);
    script_no_event(&s);
    script_close(&s);
}

static void grant__that_was_lost_is_said_again_as_it_is_now(void **state)
{
    (void)state;
    struct script s;
    struct wire_grant g;
    struct xfer_config c = config();
    live(&s, &c);
    assert_int_equal(offer(&s, 0, 1, 25000, WIRE_TASK_WAITS, CHI_WRITE), CHI_DROP_NONE);
    assert_true(next_grant(&s, &g, true));
    assert_int_equal(g.bytes, 10000);
    script_wait(&s, 2 * MS);
    expect_grant(&s, 0, 10000, 0);
    script_wait(&s, 50 * MS);
    assert_false(next_grant(&s, &g, false));
    script_close(&s);
}

static void grants__go_to_the_shortest_first(void **state)
{
    (void)state;
    struct script s;
    struct wire_grant g;
    struct xfer_event ev;
    struct xfer_config c = config();
    live(&s, &c);
    assert_int_equal(offer(&s, 0, 1, 30000, WIRE_TASK_WAITS, CHI_WRITE), CHI_DROP_NONE);
    expect_grant(&s, 0, 10000, 0);
    assert_int_equal(offer(&s, 1, 1, 39000, WIRE_TASK_WAITS, CHI_WRITE), CHI_DROP_NONE);
    assert_int_equal(offer(&s, 2, 1, 38000, WIRE_TASK_WAITS, CHI_WRITE), CHI_DROP_NONE);
    assert_false(next_grant(&s, &g, false));
    assert_int_equal(offer(&s, 3, 1, 12000, WIRE_TASK_WAITS, CHI_WRITE), CHI_DROP_NONE); /* shorter than what is left of 0 */
    expect_grant(&s, 3, 10000, 0);
    bring(&s, 3, 0, 5000);
    expect_grant(&s, 3, 12000, 0); /* all of it: the next one's turn */
    bring(&s, 0, 0, 5000);
    expect_grant(&s, 0, 15000, 0);
    bring(&s, 3, 5000, 7000);
    script_event(&s, XFER_TASK, &ev);
    script_close(&s);
}

static void room__is_waited_for_in_order_and_called(void **state)
{
    (void)state;
    struct script s;
    struct wire_grant g;
    struct xfer_event ev;
    struct xfer_config c = config();
    live(&s, &c);
    s.no_memory = true;
    assert_int_equal(offer(&s, 0, 1, 1000, 0, CHI_EXPOSE), CHI_DROP_NONE); /* acknowledged, and waits */
    assert_int_equal(offer(&s, 1, 1, 100, 0, CHI_EXPOSE), CHI_DROP_NONE);
    script_no_event(&s);
    assert_int_equal(s.drops[CHI_DROP_NO_MEMORY], 2);
    s.no_memory = false;
    assert_int_equal(offer(&s, 2, 1, 100, 0, CHI_EXPOSE), CHI_DROP_NONE); /* waits behind them */
    script_no_event(&s);
    assert_int_equal(offer(&s, 3, 1, 0, 0, 0), CHI_DROP_NONE); /* this one needs no memory */
    script_event(&s, XFER_TASK, &ev);
    for (uint32_t i = 0; i < 3; i++) {
        script_wait(&s, 1 * MS);
        expect_grant(&s, i, 0, WIRE_GRANT_AGAIN);
        assert_int_equal(offer(&s, (i + 1) % 3, 1, i == 1 ? 1000 : 100, 0, CHI_EXPOSE), CHI_DROP_NONE); /* repeated, not called */
        script_no_event(&s);
        assert_int_equal(offer(&s, i, 1, i ? 100 : 1000, 0, CHI_EXPOSE), CHI_DROP_NONE);
        script_event(&s, XFER_TASK, &ev);
    }
    script_wait(&s, 100 * MS);
    assert_false(next_grant(&s, &g, false));
    script_close(&s);
}

/* A called message begins again, and its segments overtake its TASK_IN: they are not taken for those of before, which nobody
 * needs, but come again. */
static void room__of_a_called_message_whose_segments_come_first(void **state)
{
    (void)state;
    struct script s;
    struct wire_ack a;
    struct wire_header h;
    struct wire_frame f;
    struct xfer_event ev;
    struct xfer_config c = config();
    live(&s, &c);
    s.no_memory = true;
    assert_int_equal(offer(&s, 0, 1, 1500, 0, CHI_WRITE), CHI_DROP_NONE);
    bring(&s, 0, 0, 1000); /* of before: there is no room for it */
    assert_int_equal(s.drops[CHI_DROP_NO_MEMORY], 2);
    s.no_memory = false;
    script_wait(&s, 1 * MS);
    expect_grant(&s, 0, 0, WIRE_GRANT_AGAIN);
    data_begin(&s);
    data_segment(&s, 0, 1, 1, 0, 1000, bulk, 500);
    assert_int_equal(data_end(&s), CHI_DROP_REGION_UNKNOWN);
    uint64_t refused = s.number;
    assert_int_equal(offer(&s, 0, 1, 1500, 0, CHI_WRITE), CHI_DROP_NONE);
    script_tx(&s);
    struct wire_cursor cur = script_take_data(&s, &h);
    assert_int_equal(script_frame(&cur, &f), WIRE_FRAME_ACK);
    a = f.ack;
    assert_int_equal(a.r[0].first, refused + 1);
    assert_int_equal(a.r[1].last, refused - 1);
    bring(&s, 0, 0, 1500);
    script_event(&s, XFER_TASK, &ev);
    script_close(&s);
}

static void room__keeps_the_place_of_one_that_finds_none_again(void **state)
{
    (void)state;
    struct script s;
    struct wire_grant g;
    struct xfer_event ev;
    struct xfer_config c = config();
    live(&s, &c);
    s.no_memory = true;
    assert_int_equal(offer(&s, 0, 1, 1000, 0, CHI_EXPOSE), CHI_DROP_NONE);
    assert_int_equal(offer(&s, 1, 1, 100, 0, CHI_EXPOSE), CHI_DROP_NONE);
    for (int i = 0; i < 3; i++) {
        script_wait(&s, 100 * MS);
        expect_grant(&s, 0, 0, WIRE_GRANT_AGAIN);
        assert_int_equal(offer(&s, 0, 1, 1000, 0, CHI_EXPOSE), CHI_DROP_NONE);
        assert_false(next_grant(&s, &g, false));
    }
    s.no_memory = false;
    script_wait(&s, 100 * MS);
    expect_grant(&s, 0, 0, WIRE_GRANT_AGAIN);
    assert_int_equal(offer(&s, 0, 1, 1000, 0, CHI_EXPOSE), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    expect_grant(&s, 1, 0, WIRE_GRANT_AGAIN);
    script_close(&s);
}

/* Nothing is held here, and still there is none: it is refused, so that the others get their turn. */
static void room__that_never_comes_ends_with_a_status(void **state)
{
    (void)state;
    struct script s;
    struct wire_grant g;
    struct xfer_config c = config();
    unsigned calls = 0;
    live(&s, &c);
    s.no_memory = true;
    assert_int_equal(offer(&s, 0, 1, 1000, 0, CHI_EXPOSE), CHI_DROP_NONE);
    for (bool answered = false; !answered; calls++) {
        script_wait(&s, 200 * MS);
        assert_true(next_grant(&s, &g, false) && calls < 100);
        assert_int_equal(offer(&s, 0, 1, 1000, 0, CHI_EXPOSE), CHI_DROP_NONE);
        script_tx(&s);
        const uint8_t *p;
        struct wire_header h;
        struct wire_frame f;
        while (script_take(&s, &p, &h)) {
            struct wire_cursor at = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
            while (script_frame(&at, &f) != WIRE_FRAME_END)
                if (f.type == WIRE_FRAME_TASK_OUT) {
                    assert_int_equal(f.task_out.status, CHI_STATUS_NO_MEMORY);
                    answered = true;
                }
        }
    }
    script_no_event(&s);
    script_close(&s);
}

static void room__of_a_peer_is_bounded(void **state)
{
    (void)state;
    struct script s;
    struct wire_grant g;
    struct xfer_event ev;
    struct xfer_peer_stats st;
    struct xfer_config c = config();
    c.peer_memory = 2500;
    live(&s, &c);
    assert_int_equal(offer(&s, 0, 1, 5000, 0, CHI_EXPOSE), CHI_DROP_NONE); /* one message always may */
    script_event(&s, XFER_TASK, &ev);
    assert_int_equal(offer(&s, 1, 1, 100, 0, CHI_EXPOSE), CHI_DROP_NONE);
    script_no_event(&s);
    xfer_stats(s.x, &st, 1);
    assert_true(st.memory == 5000 && st.waiting_in == 1);
    script_wait(&s, 1000 * MS);
    assert_false(next_grant(&s, &g, false)); /* not as long as it holds that */
    xfer_answer(s.x, ev.in, &(struct xfer_answer){.status = CHI_STATUS_MODULE}, s.now);
    assert_false(next_grant(&s, &g, false));
    script_event(&s, XFER_ANSWERED, &ev);
    script_no_event(&s);
    xfer_tick(s.x, s.now);
    expect_grant(&s, 1, 0, WIRE_GRANT_AGAIN);
    script_close(&s);
}

static void offered(struct script *s, uint32_t slot, uint32_t size)
{
    assert_int_equal(offer(s, slot, 1, size, 0, CHI_EXPOSE), CHI_DROP_NONE);
}
static void give_back(struct script *s, struct xfer_in *in)
{
    struct xfer_event ev;
    xfer_answer(s->x, in, &(struct xfer_answer){.status = CHI_STATUS_MODULE}, s->now);
    struct wire_grant none;
    while (next_grant(s, &none, false))
        ;
    script_event(s, XFER_ANSWERED, &ev);
    assert_ptr_equal(ev.in, in);
    script_no_event(s);
    xfer_tick(s->x, s->now);
}

/* Who is called may not have more than others either: its message waits until all of it has room. */
static void room__of_a_peer_is_bounded_for_a_called_message_too(void **state)
{
    (void)state;
    struct script s;
    struct wire_grant g;
    struct xfer_event first, second, ev;
    struct xfer_peer_stats st;
    struct xfer_config c = config();
    c.peer_memory = 2500;
    live(&s, &c);
    offered(&s, 0, 1000);
    script_event(&s, XFER_TASK, &first);
    offered(&s, 1, 1000);
    script_event(&s, XFER_TASK, &second);
    offered(&s, 2, 2000); /* half of it would have room now, and still when the first one is over */
    give_back(&s, first.in);
    assert_false(next_grant(&s, &g, false));
    script_wait(&s, 500 * MS);
    assert_false(next_grant(&s, &g, false));
    give_back(&s, second.in);
    expect_grant(&s, 2, 0, WIRE_GRANT_AGAIN);
    offered(&s, 2, 2000);
    script_event(&s, XFER_TASK, &ev);
    xfer_stats(s.x, &st, 1);
    assert_true(st.memory == 2000 && st.memory_most == 2000 && st.calls_tx == 1);
    script_close(&s);
}

static void room__of_all_is_bounded_and_a_large_message_not_overtaken(void **state)
{
    (void)state;
    struct script s;
    struct wire_grant g;
    struct xfer_event first, second, ev;
    struct xfer_config c = config();
    c.all_memory = 2500;
    live(&s, &c);
    offered(&s, 0, 1000);
    script_event(&s, XFER_TASK, &first);
    offered(&s, 1, 1000);
    script_event(&s, XFER_TASK, &second);
    offered(&s, 2, 2000);
    offered(&s, 3, 100); /* would fit */
    script_no_event(&s);
    give_back(&s, first.in);
    script_wait(&s, 500 * MS);
    assert_false(next_grant(&s, &g, false));
    give_back(&s, second.in);
    expect_grant(&s, 2, 0, WIRE_GRANT_AGAIN);
    offered(&s, 2, 2000);
    script_event(&s, XFER_TASK, &ev);
    expect_grant(&s, 3, 0, WIRE_GRANT_AGAIN);
    offered(&s, 3, 100);
    script_event(&s, XFER_TASK, &ev);
    assert_true(s.memory_out == 2);
    script_close(&s);
}

/* The one in the way goes: the next one is called, though nothing was given back. */
static void room__is_had_when_the_first_in_line_is_cancelled(void **state)
{
    (void)state;
    struct script s;
    struct wire_grant g;
    struct xfer_event ev;
    struct xfer_config c = config();
    c.all_memory = 2500;
    live(&s, &c);
    offered(&s, 0, 1000);
    script_event(&s, XFER_TASK, &ev);
    offered(&s, 1, 2000);
    offered(&s, 2, 100);
    script_wait(&s, 10 * MS);
    assert_false(next_grant(&s, &g, false));
    data_begin(&s);
    s.at += wire_put_cancel(s.packet + s.at, &(struct wire_cancel){.slot = 1, .generation = 1});
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_wait(&s, 1 * MS);
    expect_grant(&s, 2, 0, WIRE_GRANT_AGAIN);
    script_close(&s);
}

static void room__beyond_that_of_all_is_refused(void **state)
{
    (void)state;
    struct script s;
    struct wire_header h;
    struct wire_frame f;
    struct xfer_event ev;
    struct xfer_config c = config();
    c.all_memory = 2500;
    live(&s, &c);
    offered(&s, 0, 2501);
    script_tx(&s);
    struct wire_cursor at = script_take_data(&s, &h);
    while (script_frame(&at, &f) != WIRE_FRAME_TASK_OUT)
        assert_int_equal(f.type, WIRE_FRAME_ACK);
    assert_int_equal(f.task_out.status, CHI_STATUS_TOO_BIG);
    offered(&s, 1, 2500);
    script_event(&s, XFER_TASK, &ev);
    script_close(&s);
}

static void cancel__stops_what_has_not_begun(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev, gone;
    struct xfer_config c = config();
    live(&s, &c);
    assert_int_equal(offer(&s, 0, 1, 25000, WIRE_TASK_WAITS, CHI_WRITE), CHI_DROP_NONE); /* receiving */
    assert_int_equal(offer(&s, 1, 1, 100, 0, CHI_EXPOSE), CHI_DROP_NONE);                /* running */
    script_event(&s, XFER_TASK, &ev);
    s.no_memory = true;
    assert_int_equal(offer(&s, 2, 1, 100, 0, CHI_EXPOSE), CHI_DROP_NONE); /* waiting */
    s.no_memory = false;
    for (uint32_t slot = 0; slot < 4; slot++) { /* 3: its TASK_IN was overtaken */
        data_begin(&s);
        s.at += wire_put_cancel(s.packet + s.at, &(struct wire_cancel){.slot = slot, .generation = 1});
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        if (slot == 1) {
            script_event(&s, XFER_CANCELLED, &gone);
            assert_ptr_equal(gone.in, ev.in);
        }
        script_no_event(&s);
    }
    assert_int_equal(s.memory_out, 1);
    for (uint32_t slot = 0; slot < 4; slot++) { /* late */
        assert_int_equal(offer(&s, slot, 1, 100, 0, CHI_EXPOSE), CHI_DROP_NONE);
        script_no_event(&s);
    }
    xfer_answer(s.x, ev.in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    script_event(&s, XFER_ANSWERED, &gone); /* nobody waits for it */
    xfer_tick(s.x, s.now);
    assert_int_equal(s.memory_out, 0);
    assert_int_equal(offer(&s, 0, 2, 100, 0, CHI_EXPOSE), CHI_DROP_NONE); /* the slot's next message */
    script_event(&s, XFER_TASK, &ev);
    script_close(&s);
}

/* --- as the origin */

static void send_region(struct script *s, struct xfer_out *m, struct chi_ar_region *r, uint32_t size)
{
    *r = (struct chi_ar_region){.ptr = bulk, .size = size, .flags = CHI_WRITE};
    struct form_region f = {size, 0, CHI_WRITE};
    *m = (struct xfer_out){.form = form, .form_length = script_form(form, &f, 1, 8), .regions = r, .nregions = 1,
                           .deadline_ns = s->now + 100 * MS};
    xfer_send(s->x, 2, m, s->now);
}

/* What was sent: bytes of segments, by slot; flags of the TASK_INs; acknowledged. */
static void sent(struct script *s, uint64_t bytes[MESSAGES], unsigned heads[MESSAGES], unsigned *waits)
{
    const uint8_t *p;
    struct wire_header h;
    struct wire_frame f;
    memset(bytes, 0, MESSAGES * sizeof bytes[0]);
    memset(heads, 0, MESSAGES * sizeof heads[0]);
    *waits = 0;
    for (script_tx(s); script_take(s, &p, &h) == WIRE_KIND_DATA; script_tx(s)) {
        struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
        while (script_frame(&c, &f) != WIRE_FRAME_END) {
            if (f.type == WIRE_FRAME_SEGMENT)
                bytes[f.segment.slot] += f.segment.length;
            if (f.type == WIRE_FRAME_TASK_IN) {
                heads[f.task_in.slot]++;
                *waits += f.task_in.flags & WIRE_TASK_WAITS;
            }
        }
        data_begin(s);
        data_ack(s, h.number, h.number);
        assert_int_equal(data_end(s), CHI_DROP_NONE);
        s->now += 10000;
    }
}

static void say_grant(struct script *s, uint32_t slot, uint64_t bytes, uint8_t flags)
{
    data_begin(s);
    s->at += wire_put_grant(s->packet + s->at, &(struct wire_grant){.bytes = bytes, .slot = slot, .generation = 1, .flags = flags});
    assert_int_equal(data_end(s), CHI_DROP_NONE);
}

static void origin__sends_as_much_as_it_may(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[MESSAGES];
    struct chi_ar_region r[MESSAGES];
    struct xfer_config c = config();
    struct wire_hello h = script_hello();
    uint64_t bytes[MESSAGES];
    unsigned heads[MESSAGES], waits;
    script_open_with(&s, &c);
    h.credit = 2500;
    script_meet(&s, h);

    send_region(&s, &m[0], &r[0], 20000); /* 2000 unasked */
    send_region(&s, &m[1], &r[1], 400);   /* all of it */
    send_region(&s, &m[2], &r[2], 400);   /* the last 100 bytes of the credit */
    send_region(&s, &m[3], &r[3], 400);   /* none */
    sent(&s, bytes, heads, &waits);
    assert_true(bytes[0] == 2000 && bytes[1] == 400 && bytes[2] == 100 && bytes[3] == 0);
    assert_int_equal(waits, 3);
    say_grant(&s, 0, 7000, 0);
    say_grant(&s, 3, 400, 0);
    sent(&s, bytes, heads, &waits);
    assert_true(bytes[0] == 5000 && bytes[3] == 300 + 100);
    say_grant(&s, 0, 6000, 0); /* an old one */
    say_grant(&s, 1, 6000, WIRE_GRANT_AGAIN);
    sent(&s, bytes, heads, &waits);
    assert_true(bytes[0] == 0 && bytes[1] == 400 && heads[1] == 1 && waits == 0);
    script_close(&s);
}

static void origin__tells_that_a_message_ended(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r;
    struct xfer_event ev;
    struct xfer_config c = config();
    uint64_t bytes[MESSAGES];
    unsigned heads[MESSAGES], waits, cancels = 0;
    const uint8_t *p;
    struct wire_header h;
    struct wire_frame f;
    live(&s, &c);
    send_region(&s, &m, &r, 400);
    sent(&s, bytes, heads, &waits);
    script_wait(&s, 102 * MS);
    script_event(&s, XFER_DONE, &ev);
    assert_int_equal(ev.status, CHI_STATUS_DEADLINE);
    for (int i = 0; i < 30; i++) { /* never acknowledged: it is given up */
        script_tx(&s);
        while (script_take(&s, &p, &h)) {
            struct wire_cursor at = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
            while (script_frame(&at, &f) != WIRE_FRAME_END)
                if (f.type == WIRE_FRAME_CANCEL) {
                    assert_true(f.cancel.slot == 0 && f.cancel.generation == 1);
                    cancels++;
                }
        }
        script_wait(&s, 20 * MS);
    }
    assert_int_equal(cancels, 9);
    assert_true(xfer_deadline(s.x) >= s.now + 1000 * MS); /* it looks once more whether the peer is needed (alive.c) */
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grant__keeps_so_many_bytes_under_way),
        cmocka_unit_test(grant__that_was_lost_is_said_again_as_it_is_now),
        cmocka_unit_test(grants__go_to_the_shortest_first),
        cmocka_unit_test(room__is_waited_for_in_order_and_called),
        cmocka_unit_test(room__of_a_called_message_whose_segments_come_first),
        cmocka_unit_test(room__keeps_the_place_of_one_that_finds_none_again),
        cmocka_unit_test(room__that_never_comes_ends_with_a_status),
        cmocka_unit_test(room__of_a_peer_is_bounded),
        cmocka_unit_test(room__of_a_peer_is_bounded_for_a_called_message_too),
        cmocka_unit_test(room__of_all_is_bounded_and_a_large_message_not_overtaken),
        cmocka_unit_test(room__is_had_when_the_first_in_line_is_cancelled),
        cmocka_unit_test(room__beyond_that_of_all_is_refused),
        cmocka_unit_test(cancel__stops_what_has_not_begun),
        cmocka_unit_test(origin__sends_as_much_as_it_may),
        cmocka_unit_test(origin__tells_that_a_message_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
