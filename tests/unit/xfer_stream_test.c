/* Regions that stream: the task starts before they are whole, and hears of what comes, until they are or nothing more comes. */
#include "xfer_streaming.h"

static void stream__starts_when_the_rest_is_whole_and_hears_of_more(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    const struct form_region r[] = {{300, 0, CHI_WRITE}, {1000, 0, CHI_WRITE | CHI_STREAM}};
    script_live(&s);
    say_task(&s, r, 2);
    say_piece(&s, 2, 500, 200); /* behind a hole */
    say_piece(&s, 1, 0, 200);
    script_no_event(&s);
    say_piece(&s, 1, 200, 100);
    script_event(&s, XFER_TASK, &ev);
    script_no_event(&s);
    struct xfer_in *in = ev.in;
    assert_int_equal(xfer_ready(in, 0), 300);
    assert_int_equal(xfer_ready(in, 1), 0);
    say_piece(&s, 2, 0, 100);
    expect_more(&s, in, 1, 100);
    say_piece(&s, 2, 0, 100); /* again */
    say_piece(&s, 2, 900, 100); /* behind a hole */
    say_piece(&s, 1, 100, 100);
    script_no_event(&s);
    say_piece(&s, 2, 50, 450); /* the hole is closed: what came before counts too */
    expect_more(&s, in, 1, 700);
    data_begin(&s);
    data_segment(&s, 0, 1, 2, 0, 700, bytes + 700, 50);
    data_segment(&s, 0, 1, 2, 0, 750, bytes + 750, 50);
    data_segment(&s, 0, 1, 2, 0, 800, bytes + 800, 100);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_more(&s, in, 1, 1000); /* one for all */
    say_piece(&s, 2, 0, 1000);
    script_no_event(&s);
    for (int k = 0; k < 2; k++)
        assert_int_equal(in->regions[k].used, 0);
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    assert_int_equal(look(&s, true).heads, 1);
    is_over(&s, in);
    script_close(&s);
}

/* All in one packet: the task is handed out once, with what came behind it. */
static void stream__that_comes_with_its_task_is_there_when_it_starts(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    const struct form_region r[] = {{600, 0, CHI_WRITE | CHI_STREAM}, {0, 0, CHI_WRITE | CHI_STREAM}};
    for (uint32_t there = 500; there <= 600; there += 100) {
        script_live(&s);
        uint32_t n = script_form(form, r, 2, 20);
        data_begin(&s);
        data_task_in(&s, 0, 1, form, n, n);
        data_segment(&s, 0, 1, 1, 0, 0, bytes, 400);
        data_segment(&s, 0, 1, 1, 0, 400, bytes + 400, there - 400);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        script_event(&s, XFER_TASK, &ev);
        script_no_event(&s);
        assert_int_equal(xfer_ready(ev.in, 0), there);
        assert_int_equal(xfer_ready(ev.in, 1), 0);
        assert_memory_equal(ev.in->regions[0].ptr, bytes, there);
        script_close(&s);
    }
}

static void stream__task_that_comes_again_is_not_run_again(void **state)
{
    (void)state;
    struct script s;
    const struct form_region r[] = {{1000, 0, CHI_WRITE | CHI_STREAM}, {SIZE, 0, CHI_EXPOSE}};
    struct xfer_in *in = begin(&s, CHI_WRITE | CHI_STREAM);
    for (int i = 0; i < 3; i++) {
        say_task(&s, r, 2);
        script_no_event(&s);
        say_piece(&s, 1, 0, 100 * (uint32_t)(i + 1)); /* the origin began again, with larger pieces */
        expect_more(&s, in, 0, 100 * (uint64_t)(i + 1));
    }
    say_piece(&s, 1, 300, 700);
    expect_more(&s, in, 0, 1000);
    say_task(&s, r, 2);
    script_no_event(&s);
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_MODULE}, s.now);
    look(&s, true);
    is_over(&s, in);
    say_task(&s, r, 2);
    script_no_event(&s);
    script_close(&s);
}

/* The form lies in memory of its size alone, and was checked: nobody writes to it any more. */
static void stream__waits_for_its_form_which_then_stays(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    const struct form_region r[] = {{1000, 0, CHI_WRITE | CHI_STREAM}};
    uint8_t copy[700], evil[700];
    uint32_t n = script_form(form, r, 1, 600);
    memcpy(copy, form, n);
    memset(evil, 0xee, sizeof evil);
    script_live(&s);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, 200);
    data_segment(&s, 0, 1, 1, 0, 0, bytes, 100);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_no_event(&s);
    data_begin(&s);
    data_segment(&s, 0, 1, 0, 0, 200, form + 200, n - 200);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    assert_int_equal(ev.length, n);
    assert_int_equal(xfer_ready(ev.in, 0), 100);
    data_begin(&s);
    data_segment(&s, 0, 1, 0, 0, 0, evil, n);
    data_segment(&s, 0, 1, 0, 0, 1000, evil, 500);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    data_begin(&s);
    data_segment(&s, 0, 1, 1, 0, 900, evil, 101); /* its region has bounds as ever */
    assert_int_equal(data_end(&s), CHI_DROP_REGION_BOUNDS);
    data_begin(&s);
    data_segment(&s, 0, 1, 1, 0, 0, evil, 100); /* what is ready stays */
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    assert_memory_equal(ev.bytes, copy, n);
    assert_memory_equal(ev.in->regions[0].ptr, bytes, 100);
    script_no_event(&s);
    script_close(&s);
}

static void stream__answered_early_stores_no_more(void **state)
{
    (void)state;
    struct script s;
    struct xfer_in *in = begin(&s, CHI_WRITE | CHI_STREAM | CHI_EXPOSE);
    say_piece(&s, 1, 0, 100);
    say_piece(&s, 1, 500, 100);
    expect_more(&s, in, 0, 100);
    memset(in->regions[0].ptr, 0x11, 1000);
    in->regions[0].used = 1000;
    say_piece(&s, 1, 100, 100); /* an event is due */
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    script_no_event(&s);
    memset(in->regions[0].ptr, 0x11, 1000);
    say_piece(&s, 1, 200, 800);
    script_no_event(&s);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(((uint8_t *)in->regions[0].ptr)[i], 0x11);
    struct sent n = look(&s, true);
    assert_int_equal(n.bytes[1], 1000);
    assert_int_equal(n.head.status, CHI_STATUS_OK);
    is_over(&s, in);
    script_close(&s);
}

/* Whatever ends it: the consumer hears it once, its memory stays until it answers, and nothing comes of either. */
static void stream__whose_origin_goes_is_cancelled_and_ends_once(void **state)
{
    (void)state;
    enum { CANCEL, NEXT, CLOSE, SHUTDOWN, WAYS };
    static const enum chi_status why[WAYS] = {CHI_STATUS_DEADLINE, CHI_STATUS_DEADLINE, CHI_STATUS_PEER_DOWN, CHI_STATUS_SHUTDOWN};
    for (int way = CANCEL; way < WAYS; way++) {
        struct script s;
        struct xfer_event ev, next;
        struct xfer_in *in = begin(&s, CHI_WRITE | CHI_STREAM);
        say_piece(&s, 1, 0, 100);
        say_piece(&s, 1, 500, 100);
        expect_more(&s, in, 0, 100);
        say_piece(&s, 1, 100, 50); /* an event is due, and not fetched */
        xfer_push(s.x, in, 1, 2000, s.now);
        data_begin(&s);
        uint32_t n = script_form(form, NULL, 0, 0);
        if (way == CANCEL)
            s.at += wire_put_cancel(s.packet + s.at, &(struct wire_cancel){.slot = 0, .generation = 1});
        else if (way == NEXT)
            data_task_in(&s, 0, 2, form, n, n);
        else if (way == CLOSE)
            s.at += wire_put_close(s.packet + s.at, WIRE_CLOSE_SHUTDOWN);
        if (way == SHUTDOWN)
            xfer_shutdown(s.x, s.now);
        else
            assert_int_equal(data_end(&s), CHI_DROP_NONE);
        if (way == NEXT)
            script_event(&s, XFER_TASK, &next);
        script_event(&s, XFER_CANCELLED, &ev);
        assert_ptr_equal(ev.in, in);
        assert_int_equal(ev.status, why[way]);
        script_no_event(&s);
        if (way == CANCEL)
            say_piece(&s, 1, 150, 850);
        script_no_event(&s);
        assert_int_equal(xfer_ready(in, 0), 150);
        memset(in->regions[0].ptr, 1, 1000);
        memset(in->regions[1].ptr, 2, SIZE);
        xfer_push(s.x, in, 1, SIZE, s.now);
        xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
        assert_int_equal(look(&s, false).segments, 0);
        is_over(&s, in);
        script_close(&s);
    }
}

/* It was not handed out yet when all ended: it is, and then cancelled. */
static void stream__that_was_not_fetched_at_the_shutdown_is_cancelled(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev, gone;
    const struct form_region r[] = {{1000, 0, CHI_WRITE | CHI_STREAM}};
    script_live(&s);
    say_task(&s, r, 1);
    xfer_shutdown(s.x, s.now);
    script_event(&s, XFER_TASK, &ev);
    script_event(&s, XFER_CANCELLED, &gone);
    assert_ptr_equal(gone.in, ev.in);
    assert_int_equal(gone.status, CHI_STATUS_SHUTDOWN);
    xfer_answer(s.x, ev.in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    is_over(&s, gone.in);
    script_close(&s);
}

/* Its origin lives, and says nothing about it: each CANCEL was lost.  What comes gives it time. */
static void given_up(bool something_comes)
{
    struct script s;
    struct xfer_event ev;
    const struct form_region r[] = {{1000, 0, CHI_WRITE | CHI_STREAM}};
    struct xfer_config c = script_config();
    c.silence_ns = 1000 * MS;
    script_open_with(&s, &c);
    script_handshake(&s);
    say_task(&s, r, 1);
    script_event(&s, XFER_TASK, &ev);
    struct xfer_in *in = ev.in;
    for (int round = !something_comes; round < 2; round++) {
        for (int i = 0; i < 99; i++) {
            script_wait(&s, 100 * MS);
            data_begin(&s);
            data_ping(&s);
            assert_int_equal(data_end(&s), CHI_DROP_NONE);
            while (s.sent_count)
                free(s.sent[--s.sent_count].bytes);
        }
        script_no_event(&s);
        if (round == 0) {
            say_piece(&s, 1, 0, 10);
            expect_more(&s, in, 0, 10);
        }
    }
    for (int i = 0; i < 2; i++)
        script_wait(&s, 100 * MS);
    script_event(&s, XFER_CANCELLED, &ev);
    assert_ptr_equal(ev.in, in);
    assert_int_equal(ev.status, CHI_STATUS_DEADLINE);
    say_piece(&s, 1, 10, 10);
    script_no_event(&s);
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    is_over(&s, in);
    script_close(&s);
}

static void stream__of_which_nothing_comes_is_given_up(void **state)
{
    (void)state;
    given_up(false);
    given_up(true);
}

/* Its time begins when its consumer has it. */
static void stream__that_is_fetched_late_is_not_given_up(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    const struct form_region r[] = {{1000, 0, CHI_WRITE | CHI_STREAM}};
    struct xfer_config c = script_config();
    c.silence_ns = 1000 * MS;
    script_open_with(&s, &c);
    script_handshake(&s);
    say_task(&s, r, 1);
    script_wait(&s, 11000 * MS);
    script_event(&s, XFER_TASK, &ev);
    script_wait(&s, MS);
    say_piece(&s, 1, 0, 1000);
    expect_more(&s, ev.in, 0, 1000);
    script_close(&s);
}

/* Once whole there is nothing to wait for, however long its consumer takes. */
static void stream__that_is_whole_is_not_given_up(void **state)
{
    (void)state;
    struct script s;
    struct xfer_in *in = begin(&s, CHI_WRITE | CHI_STREAM);
    say_piece(&s, 1, 0, 1000);
    expect_more(&s, in, 0, 1000);
    for (int i = 0; i < 3; i++) {
        s.now += 20 * s.config.silence_ns;
        data_begin(&s);
        data_ping(&s);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        script_wait(&s, 1);
        script_no_event(&s);
    }
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    assert_int_equal(look(&s, true).heads, 1);
    is_over(&s, in);
    script_close(&s);
}

/* What the newest GRANT says, or 0; packets with one are not acknowledged. */
static uint64_t granted(struct script *s)
{
    uint64_t most = 0;
    const uint8_t *p;
    struct wire_header h;
    struct wire_frame f;
    script_tx(s);
    while (script_take(s, &p, &h) == WIRE_KIND_DATA) {
        struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
        while (script_frame(&c, &f) != WIRE_FRAME_END)
            if (f.type == WIRE_FRAME_GRANT)
                most = f.grant.bytes;
    }
    return most;
}

static void say_waiting(struct script *s, uint32_t slot, uint32_t n)
{
    data_begin(s);
    s->at += wire_put_task_in(s->packet + s->at, &(struct wire_task_in){.slot = slot, .generation = 1, .form_length = n,
                                                                        .inline_length = (uint16_t)n, .flags = WIRE_TASK_WAITS});
    data_bytes(s, form, n);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
}

static void stream__that_runs_is_granted_the_rest(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    const struct form_region r[] = {{SIZE, 0, CHI_WRITE | CHI_STREAM}};
    uint32_t n = script_form(form, r, 1, 20);
    struct xfer_config c = script_config();
    c.grant_bytes = 1000;
    script_open_with(&s, &c);
    script_handshake(&s);
    say_waiting(&s, 0, n);
    script_event(&s, XFER_TASK, &ev);
    assert_int_equal(granted(&s), 1000);
    script_wait(&s, 30 * MS); /* it was lost */
    assert_int_equal(granted(&s), 1000);
    uint64_t last = 1000;
    for (uint32_t at = 0; at < SIZE; at += 500) {
        say_piece(&s, 1, at, 500);
        expect_more(&s, ev.in, 0, at + 500);
        uint64_t g = granted(&s);
        if (g > last)
            last = g;
    }
    assert_int_equal(last, SIZE);
    script_close(&s);
}

/* Although its peer sent what it was to wait with. */
static void stream__that_is_whole_waits_for_no_turn(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event first, second;
    const struct form_region r[] = {{1200, 0, CHI_WRITE | CHI_STREAM}};
    uint32_t n = script_form(form, r, 1, 20);
    struct xfer_config c = script_config();
    c.grant_bytes = 1000;
    c.overcommit = 1;
    script_open_with(&s, &c);
    script_handshake(&s);
    say_waiting(&s, 0, n);
    script_event(&s, XFER_TASK, &first);
    assert_int_equal(granted(&s), 1000);
    say_waiting(&s, 1, n);
    script_event(&s, XFER_TASK, &second);
    assert_int_equal(granted(&s), 0);
    data_begin(&s);
    data_segment(&s, 1, 1, 1, 0, 0, bytes, 1200);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_more(&s, second.in, 0, 1200);
    xfer_answer(s.x, first.in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now); /* the next one's turn */
    assert_int_equal(granted(&s), 0);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream__starts_when_the_rest_is_whole_and_hears_of_more),
        cmocka_unit_test(stream__that_comes_with_its_task_is_there_when_it_starts),
        cmocka_unit_test(stream__task_that_comes_again_is_not_run_again),
        cmocka_unit_test(stream__waits_for_its_form_which_then_stays),
        cmocka_unit_test(stream__answered_early_stores_no_more),
        cmocka_unit_test(stream__whose_origin_goes_is_cancelled_and_ends_once),
        cmocka_unit_test(stream__that_was_not_fetched_at_the_shutdown_is_cancelled),
        cmocka_unit_test(stream__of_which_nothing_comes_is_given_up),
        cmocka_unit_test(stream__that_is_fetched_late_is_not_given_up),
        cmocka_unit_test(stream__that_is_whole_is_not_given_up),
        cmocka_unit_test(stream__that_runs_is_granted_the_rest),
        cmocka_unit_test(stream__that_is_whole_waits_for_no_turn),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
