/* What an origin says of messages that ended without an answer, a CANCEL or the next message in their slot; and what a target makes of it. */
#include "xfer_script.h"

static uint8_t form[256];

/* A live session in which one message is open at once. */
static void live(struct script *s)
{
    struct wire_hello h = script_hello();
    script_open(s);
    h.slots = 1;
    script_meet(s, h);
}

static void send_for(struct script *s, struct xfer_out *m, uint64_t ms)
{
    *m = (struct xfer_out){.form = form, .form_length = script_form(form, NULL, 0, 8), .deadline_ns = s->now + ms * MS};
    xfer_send(s->x, 2, m, s->now);
    script_tx(s);
}

static void expect_end(struct script *s, const struct xfer_out *m, enum chi_status status)
{
    struct xfer_event ev;
    script_event(s, XFER_DONE, &ev);
    assert_ptr_equal(ev.out, m);
    assert_int_equal(ev.status, status);
}

/* How many TASK_INs and CANCELs it sent since the last look, and of which generation the last one was. */
struct said {
    unsigned tasks, cancels;
    uint32_t generation;
};
static struct said look(struct script *s, bool acknowledge)
{
    struct said n = {0};
    const uint8_t *p;
    struct wire_header h;
    struct wire_frame f;
    script_tx(s);
    while (script_take(s, &p, &h)) {
        struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
        while (script_frame(&c, &f) != WIRE_FRAME_END) {
            n.tasks += f.type == WIRE_FRAME_TASK_IN;
            n.cancels += f.type == WIRE_FRAME_CANCEL;
            if (f.type == WIRE_FRAME_TASK_IN || f.type == WIRE_FRAME_CANCEL)
                n.generation = f.type == WIRE_FRAME_CANCEL ? f.cancel.generation : f.task_in.generation;
        }
        if (!acknowledge)
            continue;
        data_begin(s);
        data_ack(s, h.number, h.number);
        assert_int_equal(data_end(s), CHI_DROP_NONE);
    }
    return n;
}

/* The first message went out and ended; the second one has its slot, and ends before it goes out: the target knows of neither end. */
static void cancel__is_owed_by_a_message_that_never_went(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out first, second;
    live(&s);
    send_for(&s, &first, 100);
    assert_int_equal(look(&s, true).tasks, 1);
    send_for(&s, &second, 200);
    s.no_packet = true;
    script_wait(&s, 102 * MS);
    expect_end(&s, &first, CHI_STATUS_DEADLINE);
    script_wait(&s, 100 * MS);
    expect_end(&s, &second, CHI_STATUS_DEADLINE);
    s.no_packet = false;
    struct said n = look(&s, true);
    assert_true(n.tasks == 0 && n.cancels == 1 && n.generation == 2); /* which ends what came before it, too */
    script_close(&s);
}

static void cancel__is_owed_no_more_when_the_next_one_went(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[3];
    live(&s);
    send_for(&s, &m[0], 100);
    assert_int_equal(look(&s, true).tasks, 1);
    send_for(&s, &m[1], 1000);
    script_wait(&s, 102 * MS);
    expect_end(&s, &m[0], CHI_STATUS_DEADLINE);
    struct said n = look(&s, true);
    assert_true(n.tasks == 1 && n.cancels == 0 && n.generation == 2);
    data_begin(&s);
    data_task_out(&s, &(struct wire_task_out){.generation = 2}, "");
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_end(&s, &m[1], CHI_STATUS_OK);
    s.no_packet = true;
    send_for(&s, &m[2], 100);
    script_wait(&s, 102 * MS);
    expect_end(&s, &m[2], CHI_STATUS_DEADLINE);
    s.no_packet = false;
    n = look(&s, true);
    assert_true(n.tasks == 0 && n.cancels == 0); /* the target knows of no message in the slot */
    script_close(&s);
}

/* However often the message began again before. */
static void cancel__is_repeated_eight_times(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    live(&s);
    send_for(&s, &m, 500);
    for (int ms = 0; ms < 502; ms++)
        script_wait(&s, MS);
    struct said n = look(&s, false);
    unsigned cancels = n.cancels;
    assert_true(n.tasks > 9);
    expect_end(&s, &m, CHI_STATUS_DEADLINE);
    for (int i = 0; i < 100; i++) {
        cancels += look(&s, false).cancels;
        script_wait(&s, 20 * MS);
    }
    assert_int_equal(cancels, 9);
    script_close(&s);
}

/* The slot's next message says the same. */
static void cancel__that_was_lost_does_not_go_again_when_its_slot_is_in_use(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[2];
    live(&s);
    send_for(&s, &m[0], 100);
    assert_int_equal(look(&s, true).tasks, 1);
    script_wait(&s, 102 * MS);
    expect_end(&s, &m[0], CHI_STATUS_DEADLINE);
    assert_int_equal(look(&s, false).cancels, 1);
    send_for(&s, &m[1], 1000);
    struct said n = look(&s, true); /* the CANCEL may be one of those lost before it */
    assert_true(n.tasks == 1 && n.cancels == 0);
    for (int i = 0; i < 20; i++) {
        script_wait(&s, 20 * MS);
        assert_int_equal(look(&s, true).cancels, 0);
    }
    script_close(&s);
}

/* --- as the target */

static void data_cancel(struct script *s, uint32_t slot, uint32_t generation)
{
    s->at += wire_put_cancel(s->packet + s->at, &(struct wire_cancel){.slot = slot, .generation = generation});
}

static void cancel__of_an_earlier_message_or_no_slot_is_without_effect(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event task, ev;
    uint32_t n = script_form(form, NULL, 0, 8);
    live(&s);
    data_begin(&s);
    data_task_in(&s, 1, 7, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &task);
    data_begin(&s);
    data_cancel(&s, 1, 6);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_no_event(&s);
    data_begin(&s);
    data_cancel(&s, 5, 7); /* there are four slots: a fifth is none, and not another one either */
    assert_int_equal(data_end(&s), CHI_DROP_SLOT_RANGE);
    script_no_event(&s);
    data_begin(&s);
    data_task_in(&s, 1, 7, form, n, n); /* it is not forgotten */
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_no_event(&s);
    data_begin(&s);
    data_cancel(&s, 1, 7);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_CANCELLED, &ev);
    assert_ptr_equal(ev.in, task.in);
    script_close(&s);
}

/* In the packet that brought it: nobody heard of it yet, and nobody will.  So it is with what else ends a message. */
static void cancel__of_a_task_that_was_not_handed_on_drops_it(void **state)
{
    (void)state;
    enum { CANCEL, NEXT, CLOSE, WAYS };
    const struct form_region r[] = {{100, 0, CHI_EXPOSE}};
    uint32_t n = script_form(form, r, 1, 8);
    for (int way = CANCEL; way < WAYS; way++) {
        struct script s;
        struct xfer_event ev;
        struct xfer_peer_stats st;
        live(&s);
        data_begin(&s);
        data_task_in(&s, 0, 1, form, n, n);
        if (way == CANCEL)
            data_cancel(&s, 0, 1);
        else if (way == NEXT)
            data_task_in(&s, 0, 2, form, n, n);
        else
            s.at += wire_put_close(s.packet + s.at, WIRE_CLOSE_SHUTDOWN);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        if (way == NEXT)
            script_event(&s, XFER_TASK, &ev);
        script_no_event(&s);
        xfer_stats(s.x, &st, 1);
        assert_true(st.tasks_in == (way == NEXT) && st.open_in == (way == NEXT) && s.memory_out == (way == NEXT));
        script_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancel__is_owed_by_a_message_that_never_went),
        cmocka_unit_test(cancel__is_owed_no_more_when_the_next_one_went),
        cmocka_unit_test(cancel__is_repeated_eight_times),
        cmocka_unit_test(cancel__that_was_lost_does_not_go_again_when_its_slot_is_in_use),
        cmocka_unit_test(cancel__of_an_earlier_message_or_no_slot_is_without_effect),
        cmocka_unit_test(cancel__of_a_task_that_was_not_handed_on_drops_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
