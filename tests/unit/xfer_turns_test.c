/* Whose turn it is: messages whose regions do not all come unasked are granted, a few at once (xfer/grant.c). */
#include "xfer_script.h"

enum { WINDOW = 10000, LONG = 90000 };
static uint8_t form[256], bulk[LONG];

static void live(struct script *s, uint32_t overcommit)
{
    struct xfer_config c = script_config();
    c.slots = 16;
    c.messages_in = 16;
    c.grant_bytes = WINDOW;
    c.overcommit = overcommit;
    script_open_with(s, &c);
    script_handshake(s);
}

static void offer_as(struct script *s, uint32_t slot, uint32_t generation, uint32_t size, uint8_t flags)
{
    struct form_region r = {size, 0, CHI_WRITE};
    uint32_t n = script_form(form, &r, 1, 8);
    data_begin(s);
    s->at += wire_put_task_in(s->packet + s->at, &(struct wire_task_in){.slot = slot, .generation = generation, .form_length = n,
                                                                        .inline_length = (uint16_t)n, .flags = flags});
    data_bytes(s, form, n);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
}
static void offer(struct script *s, uint32_t slot, uint32_t size, uint8_t flags) { offer_as(s, slot, 1, size, flags); }

/* What was granted since the last look, by slot: the newest.  All is acknowledged. */
static void look(struct script *s, uint64_t bytes[16])
{
    const uint8_t *p;
    struct wire_header h;
    struct wire_frame f;
    memset(bytes, 0, 16 * sizeof bytes[0]);
    for (script_tx(s); script_take(s, &p, &h) == WIRE_KIND_DATA; script_tx(s)) {
        struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
        bool tracked = false;
        while (script_frame(&c, &f) != WIRE_FRAME_END) {
            tracked |= f.type != WIRE_FRAME_ACK;
            if (f.type == WIRE_FRAME_GRANT)
                bytes[f.grant.slot] = f.grant.bytes;
        }
        if (!tracked)
            continue;
        data_begin(s);
        data_ack(s, h.number, h.number);
        assert_int_equal(data_end(s), CHI_DROP_NONE);
    }
}

static void expect(struct script *s, uint32_t slot, uint64_t bytes)
{
    uint64_t got[16];
    look(s, got);
    for (uint32_t i = 0; i < 16; i++)
        assert_int_equal(got[i], i == slot ? bytes : 0);
}
enum { NONE = 16 };

static void bring(struct script *s, uint32_t slot, uint32_t from, uint32_t to)
{
    for (uint32_t n; from < to; from += n) {
        n = to - from < 1000 ? to - from : 1000;
        data_begin(s);
        data_segment(s, slot, 1, 1, 0, from, bulk, n);
        assert_int_equal(data_end(s), CHI_DROP_NONE);
    }
}

static void turn__is_not_waited_for_by_what_comes_unasked(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    live(&s, 1);
    offer(&s, 0, 3 * WINDOW, 0);
    expect(&s, NONE, 0);
    bring(&s, 0, 0, 3 * WINDOW);
    expect(&s, NONE, 0);
    script_event(&s, XFER_TASK, &ev);
    script_close(&s);
}

static void turns__are_as_many_as_configured(void **state)
{
    (void)state;
    struct script s;
    uint64_t got[16];
    live(&s, 2);
    for (uint32_t i = 0; i < 4; i++)
        offer(&s, i, LONG, WIRE_TASK_WAITS);
    look(&s, got);
    assert_true(got[0] == WINDOW && got[1] == WINDOW && got[2] == 0 && got[3] == 0);
    script_close(&s);
}

/* Of those with turns the one with the most left makes room for one that has less. */
static void turn__of_the_longest_is_taken_by_a_shorter_one(void **state)
{
    (void)state;
    struct script s;
    uint64_t got[16];
    live(&s, 3);
    offer(&s, 0, 5 * WINDOW, WIRE_TASK_WAITS);
    offer(&s, 1, 9 * WINDOW, WIRE_TASK_WAITS);
    offer(&s, 2, 4 * WINDOW, WIRE_TASK_WAITS);
    look(&s, got);
    assert_true(got[0] == WINDOW && got[1] == WINDOW && got[2] == WINDOW);
    offer(&s, 3, 3 * WINDOW, WIRE_TASK_WAITS);
    expect(&s, 3, WINDOW);
    bring(&s, 1, 0, WINDOW); /* what was granted may come */
    expect(&s, NONE, 0);
    for (uint32_t slot = 0; slot < 3; slot += 2) {
        bring(&s, slot, 0, WINDOW / 2);
        expect(&s, slot, WINDOW + WINDOW / 2);
    }
    offer(&s, 4, 10 * WINDOW, WIRE_TASK_WAITS); /* longer than all of them */
    expect(&s, NONE, 0);
    bring(&s, 3, 0, 2 * WINDOW + WINDOW / 2);
    look(&s, got);
    assert_true(got[3] == 3 * WINDOW && got[1] == 2 * WINDOW && got[4] == 0); /* all is granted: the next one's turn */
    script_close(&s);
}

/* The shortest first, but every eighth time the oldest. */
static void turn__every_eighth_is_that_of_the_oldest(void **state)
{
    (void)state;
    enum { SHORT = WINDOW + WINDOW / 2 };
    struct script s;
    uint64_t got[16];
    uint32_t turn = 0;
    live(&s, 1);
    offer(&s, 0, SHORT, WIRE_TASK_WAITS);
    expect(&s, 0, WINDOW); /* the first turn */
    offer(&s, 1, LONG, WIRE_TASK_WAITS);
    for (uint32_t slot = 2; slot < 12; slot++)
        offer(&s, slot, SHORT + slot, WIRE_TASK_WAITS);
    expect(&s, NONE, 0);
    for (uint32_t next = 2; next < 8; next++) {
        bring(&s, turn, 0, WINDOW);
        look(&s, got);
        assert_true(got[turn] == SHORT + turn && got[next] == WINDOW && got[1] == 0);
        turn = next;
    }
    bring(&s, turn, 0, WINDOW);
    look(&s, got);
    assert_true(got[1] == WINDOW && got[8] == 0);
    script_close(&s);
}

/* One that ends gives its turn to the next one, whether it had it or waited for it. */
static void turn__of_a_message_that_ends_is_the_next_one_s(void **state)
{
    (void)state;
    struct script s;
    live(&s, 1);
    offer(&s, 0, 2 * WINDOW, WIRE_TASK_WAITS);
    expect(&s, 0, WINDOW);
    offer(&s, 1, 3 * WINDOW, WIRE_TASK_WAITS);
    offer(&s, 2, 4 * WINDOW, WIRE_TASK_WAITS);
    for (uint32_t slot = 0; slot < 2; slot++) {
        data_begin(&s);
        s.at += wire_put_cancel(s.packet + s.at, &(struct wire_cancel){.slot = 1 - slot, .generation = 1});
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        expect(&s, slot ? 2 : NONE, WINDOW * slot);
    }
    script_close(&s);
}

/* The next one says more: it was superseded. */
static void grant__that_was_lost_and_superseded_is_not_said_again(void **state)
{
    (void)state;
    struct script s;
    const uint8_t *p;
    struct wire_header h;
    live(&s, 1);
    offer(&s, 0, 5 * WINDOW, WIRE_TASK_WAITS);
    script_tx(&s);
    assert_int_equal(script_take(&s, &p, &h), WIRE_KIND_DATA); /* lost */
    bring(&s, 0, 0, WINDOW / 2);
    expect(&s, 0, WINDOW + WINDOW / 2);
    for (int i = 0; i < 20; i++) {
        script_wait(&s, 10 * MS);
        expect(&s, NONE, 0);
    }
    script_close(&s);
}

/* Its message is over, and the slot's next one was granted as much. */
static void grant__that_was_lost_is_not_said_again_to_the_next_message(void **state)
{
    (void)state;
    struct script s;
    const uint8_t *p;
    struct wire_header h;
    live(&s, 1);
    offer_as(&s, 0, 1, 5 * WINDOW, WIRE_TASK_WAITS);
    script_tx(&s);
    assert_int_equal(script_take(&s, &p, &h), WIRE_KIND_DATA); /* lost */
    offer_as(&s, 0, 2, 5 * WINDOW, WIRE_TASK_WAITS);
    expect(&s, 0, WINDOW);
    for (int i = 0; i < 20; i++) {
        script_wait(&s, 10 * MS);
        expect(&s, NONE, 0);
    }
    script_close(&s);
}

/* --- as the origin */

/* It waits for a grant still, and what it sends unasked counts once against the credit. */
static void origin__that_begins_again_sends_no_more_than_before(void **state)
{
    (void)state;
    struct script s;
    struct chi_ar_region r = {.ptr = bulk, .size = LONG, .flags = CHI_WRITE};
    const struct form_region region = {LONG, 0, CHI_WRITE};
    struct xfer_out m = {.form = form, .form_length = script_form(form, &region, 1, 8), .regions = &r, .nregions = 1};
    struct wire_header h;
    struct wire_frame f;
    struct xfer_session_stats st;
    const uint8_t *p;
    struct xfer_config c = script_config();
    c.unasked_bytes = 2000;
    script_open_with(&s, &c);
    script_handshake(&s);
    m.deadline_ns = s.now + 100 * MS;
    xfer_send(s.x, 2, &m, s.now);
    for (int round = 0; round < 3; round++) { /* the head is lost each time, but the last one */
        uint64_t bytes = 0;
        unsigned heads = 0;
        script_tx(&s);
        while (script_take(&s, &p, &h)) {
            struct wire_cursor at = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
            while (script_frame(&at, &f) != WIRE_FRAME_END) {
                bytes += f.type == WIRE_FRAME_SEGMENT ? f.segment.length : 0;
                if (f.type == WIRE_FRAME_TASK_IN) {
                    assert_int_equal(f.task_in.flags, WIRE_TASK_WAITS);
                    heads++;
                }
            }
        }
        assert_int_equal(heads, 1);
        assert_int_equal(bytes, round ? 0 : 2000);
        if (round < 2) {
            script_wait(&s, 10 * MS);
            continue;
        }
        data_begin(&s);
        data_ack(&s, h.number, h.number);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        script_tx(&s);
        for (bytes = 0; script_take(&s, &p, &h);) {
            struct wire_cursor at = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
            while (script_frame(&at, &f) != WIRE_FRAME_END)
                bytes += f.type == WIRE_FRAME_SEGMENT ? f.segment.length : 0;
        }
        assert_int_equal(bytes, 2000);
    }
    assert_int_equal(xfer_sessions_of(s.x, 2, &st, 1), 1);
    assert_int_equal(st.unasked, 2000);
    script_wait(&s, 100 * MS);
    assert_int_equal(xfer_sessions_of(s.x, 2, &st, 1), 1);
    assert_int_equal(st.unasked, 0); /* it ended */
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turn__is_not_waited_for_by_what_comes_unasked),
        cmocka_unit_test(turns__are_as_many_as_configured),
        cmocka_unit_test(turn__of_the_longest_is_taken_by_a_shorter_one),
        cmocka_unit_test(turn__every_eighth_is_that_of_the_oldest),
        cmocka_unit_test(turn__of_a_message_that_ends_is_the_next_one_s),
        cmocka_unit_test(grant__that_was_lost_and_superseded_is_not_said_again),
        cmocka_unit_test(grant__that_was_lost_is_not_said_again_to_the_next_message),
        cmocka_unit_test(origin__that_begins_again_sends_no_more_than_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
