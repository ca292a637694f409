/* Answers: in what order their parts go, until when they are kept, and what they mean for the inputs. */
#include "xfer_script.h"

static uint8_t form[FORM_PREFIX_MAX + 64];

/* A live session with one task, which exposes one region of `size` bytes; it is running. */
static struct xfer_in *running(struct script *s, uint64_t size)
{
    const struct form_region r[] = {{size, 0, CHI_EXPOSE}};
    struct xfer_event ev;
    uint32_t n = script_form(form, r, 1, 20);
    script_live(s);
    data_begin(s);
    data_task_in(s, 0, 1, form, n, n);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    script_event(s, XFER_TASK, &ev);
    memset(ev.in->regions[0].ptr, 0xcd, size);
    ev.in->regions[0].used = size;
    return ev.in;
}

/* Takes the next packet; how many frames of a type are in it. */
static unsigned take(struct script *s, enum wire_frame_type type, uint64_t *number)
{
    struct wire_header h;
    struct wire_frame f;
    unsigned n = 0;
    struct wire_cursor c = script_take_data(s, &h);
    while (script_frame(&c, &f) != WIRE_FRAME_END)
        n += f.type == type;
    *number = h.number;
    return n;
}

static void ack(struct script *s, uint64_t first, uint64_t last)
{
    data_begin(s);
    data_ack(s, first, last);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
}

static size_t body_of_400(struct xfer_in *in, uint8_t *dst, size_t cap)
{
    (void)in;
    if (cap < 400)
        return 0;
    memset(dst, 0xbd, 400);
    return 400;
}

/* Nobody knows how long a writer's body is: the region fits into the packet beside it, as it seems, and the head does not. */
static void answer__of_which_the_region_arrived_first_still_sends_its_head(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    uint64_t number;
    struct xfer_in *in = running(&s, 1200);
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK, .write = body_of_400}, s.now);
    xfer_tx(s.x, s.now, 1);
    assert_int_equal(take(&s, WIRE_FRAME_SEGMENT, &number), 1);
    ack(&s, number, number);
    script_no_event(&s);
    script_tx(&s);
    assert_int_equal(take(&s, WIRE_FRAME_TASK_OUT, &number), 1);
    ack(&s, number, number);
    script_event(&s, XFER_ANSWERED, &ev);
    assert_ptr_equal(ev.in, in);
    script_close(&s);
}

/* Its origin may have no memory for it, and would refuse what follows. */
static void answer__sends_the_rest_of_its_body_after_its_head_arrived(void **state)
{
    (void)state;
    static uint8_t body[3000];
    struct script s;
    uint64_t number;
    struct xfer_in *in = running(&s, 100);
    in->regions[0].used = 0;
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK, .body = body, .body_length = sizeof body}, s.now);
    script_tx(&s);
    assert_int_equal(take(&s, WIRE_FRAME_TASK_OUT, &number), 1);
    script_nothing_sent(&s);
    ack(&s, number, number);
    script_tx(&s);
    unsigned segments = 0;
    while (s.taken < s.sent_count)
        segments += take(&s, WIRE_FRAME_SEGMENT, &number);
    assert_int_equal(segments, 2);
    script_close(&s);
}

/* The peer needs no more of the inputs, neither new pieces nor lost ones. */
static void answer__that_is_not_whole_yet_ends_the_inputs(void **state)
{
    (void)state;
    static uint8_t bulk[50000];
    struct script s;
    uint64_t number;
    struct xfer_event ev;
    struct chi_ar_region r = {.ptr = bulk, .size = sizeof bulk, .flags = CHI_WRITE};
    const struct form_region f = {.size = sizeof bulk, .flags = CHI_WRITE};
    struct xfer_out m = {.form = form, .regions = &r, .nregions = 1};
    script_live(&s);
    m.form_length = script_form(form, &f, 1, 8);
    m.deadline_ns = s.now + 100000 * MS;
    xfer_send(s.x, 2, &m, s.now);
    script_tx(&s);
    while (s.taken < s.sent_count)
        take(&s, WIRE_FRAME_SEGMENT, &number);
    data_begin(&s);
    data_ack(&s, 1, 4); /* the window is open again, and the other packets are lost */
    data_task_out(&s, &(struct wire_task_out){.generation = 1, .form_length = 20, .inline_length = 10}, "0123456789");
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    for (int i = 0; i < 20; i++)
        script_wait(&s, 10 * MS);
    while (s.taken < s.sent_count)
        assert_int_equal(take(&s, WIRE_FRAME_SEGMENT, &number), 0);
    for (uint8_t flags = 0; flags <= WIRE_GRANT_AGAIN; flags++) { /* that was under way */
        data_begin(&s);
        s.at += wire_put_grant(s.packet + s.at, &(struct wire_grant){.bytes = sizeof bulk, .slot = 0, .generation = 1, .flags = flags});
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        script_wait(&s, 10 * MS);
        while (s.taken < s.sent_count)
            assert_int_equal(take(&s, WIRE_FRAME_TASK_IN, &number), 0);
    }
    data_begin(&s);
    data_segment(&s, 0, 1, 0, WIRE_SEGMENT_OUT, 10, "abcdefghij", 10);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_DONE, &ev);
    assert_memory_equal(ev.bytes, "0123456789abcdefghij", 20);
    script_close(&s);
}

static void answer__to_what_was_never_sent_is_stale(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m = {.form = form};
    struct chi_ar_region r = {.ptr = form, .size = 8, .flags = CHI_EXPOSE};
    const struct form_region f = {.size = 8, .flags = CHI_EXPOSE};
    uint64_t number;
    script_live(&s);
    m.form_length = script_form(form, &f, 1, 8);
    m.deadline_ns = s.now + 1000 * MS;
    m.regions = &r;
    m.nregions = 1;
    s.no_packet = true;
    xfer_send(s.x, 2, &m, s.now); /* has a slot and a generation that can be guessed, and no packet */
    data_begin(&s);
    data_segment(&s, 0, 1, 1, WIRE_SEGMENT_OUT, 0, "evil", 4);
    data_task_out(&s, &(struct wire_task_out){.generation = 1, .regions = 1, .used = {4}}, "");
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    assert_int_equal(s.drops[CHI_DROP_SLOT_STALE], 2);
    script_no_event(&s);
    s.no_packet = false;
    script_tx(&s);
    assert_int_equal(take(&s, WIRE_FRAME_TASK_IN, &number), 1);
    script_close(&s);
}

static void answer__that_is_acknowledged_slowly_is_kept(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    uint64_t number = 0, last = 0;
    struct xfer_in *in = running(&s, 20000);
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    script_tx(&s);
    while (s.taken < s.sent_count)
        take(&s, WIRE_FRAME_SEGMENT, &number);
    for (unsigned i = 0; i < 4; i++) { /* one packet each 9 s, all others are lost */
        ack(&s, number, number);
        script_no_event(&s);
        for (unsigned k = 0; k < 90; k++) {
            script_wait(&s, 100 * MS);
            while (s.taken < s.sent_count)
                take(&s, WIRE_FRAME_SEGMENT, &number);
            while (s.sent_count)
                free(s.sent[--s.sent_count].bytes);
            s.taken = 0;
        }
        assert_true(number > last); /* it goes on */
        last = number;
        script_no_event(&s);
    }
    struct xfer_event other;
    while (!xfer_next_event(s.x, &other)) {
        script_wait(&s, 100 * MS);
        while (s.sent_count)
            free(s.sent[--s.sent_count].bytes);
    }
    assert_int_equal(other.kind, XFER_PEER_DOWN);
    script_event(&s, XFER_ANSWERED, &ev); /* when its origin is gone */
    assert_ptr_equal(ev.in, in);
    script_close(&s);
}

/* An origin that lives, and acknowledges a packet of it before ten silences have passed, each time. */
static void answer__of_which_something_arrives_is_not_given_up(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    const struct form_region r[] = {{20000, 0, CHI_EXPOSE}};
    struct xfer_config c = script_config();
    c.silence_ns = 1000 * MS;
    uint32_t n = script_form(form, r, 1, 20);
    uint64_t number = 0;
    script_open_with(&s, &c);
    script_handshake(&s);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    ev.in->regions[0].used = 20000;
    xfer_answer(s.x, ev.in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    for (unsigned i = 0; i < 99; i++) {
        script_wait(&s, 500 * MS);
        while (s.taken < s.sent_count)
            take(&s, WIRE_FRAME_SEGMENT, &number);
        while (s.sent_count)
            free(s.sent[--s.sent_count].bytes);
        s.taken = 0;
        data_begin(&s);
        data_ping(&s);
        if (i % 18 == 17) /* each 9 s, up to 45 s */
            data_ack(&s, number, number);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        script_no_event(&s);
    }
    for (unsigned i = 0; i < 14; i++) { /* then none for 10 s */
        script_wait(&s, 500 * MS);
        data_begin(&s);
        data_ping(&s);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
    }
    script_event(&s, XFER_ANSWERED, &ev);
    script_close(&s);
}

/* A task without regions that is running. */
static struct xfer_in *small_one(struct script *s, uint32_t slot, uint32_t generation)
{
    struct xfer_event ev;
    uint32_t n = script_form(form, NULL, 0, 20);
    data_begin(s);
    data_task_in(s, slot, generation, form, n, n);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    script_event(s, XFER_TASK, &ev);
    return ev.in;
}

static void answer_small(struct script *s, struct xfer_in *in, uint8_t byte)
{
    memset(xfer_answer_room(in), byte, XFER_ANSWER_SMALL);
    xfer_answer_last(s->x, in, CHI_STATUS_OK, XFER_ANSWER_SMALL, s->now);
}

/* The body that the next packet's TASK_OUT brings. */
static void take_small(struct script *s, uint8_t byte, uint64_t *number)
{
    struct wire_header h;
    struct wire_frame f;
    uint8_t want[XFER_ANSWER_SMALL];
    memset(want, byte, sizeof want);
    struct wire_cursor c = script_take_data(s, &h);
    while (script_frame(&c, &f) != WIRE_FRAME_TASK_OUT)
        assert_int_not_equal(f.type, WIRE_FRAME_END);
    assert_true(f.task_out.form_length == sizeof want && f.task_out.inline_length == sizeof want && f.task_out.status == CHI_STATUS_OK);
    assert_memory_equal(f.task_out.bytes, want, sizeof want);
    *number = h.number;
}

/* Its consumer hears nothing more of it; it is repeated as it was, and its record is free again when it arrived. */
static void answer__last(void **state)
{
    (void)state;
    struct script s;
    uint64_t number, again;
    script_live(&s);
    answer_small(&s, small_one(&s, 0, 1), 0x1a);
    script_tx(&s);
    take_small(&s, 0x1a, &number);
    script_wait(&s, 500 * MS);
    take_small(&s, 0x1a, &again);
    assert_true(again > number);
    struct xfer_peer_stats st;
    assert_int_equal(xfer_stats(s.x, &st, 1), 1);
    assert_int_equal(st.open_in, 1);
    ack(&s, again, again);
    script_no_event(&s);
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.open_in, 0);

    /* One whose origin gave it up meanwhile, and one of which the origin gives up the answer. */
    struct xfer_in *in = small_one(&s, 0, 2);
    data_begin(&s);
    s.at += wire_put_cancel(s.packet + s.at, &(struct wire_cancel){.slot = 0, .generation = 2});
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    struct xfer_event ev;
    script_event(&s, XFER_CANCELLED, &ev);
    answer_small(&s, in, 0x2b);
    answer_small(&s, small_one(&s, 1, 1), 0x3c);
    data_begin(&s);
    s.at += wire_put_cancel(s.packet + s.at, &(struct wire_cancel){.slot = 1, .generation = 1});
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_no_event(&s);
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.open_in, 0);
    script_close(&s);
}

/* What arrives late of a slot's former message ends nothing of the one that has it now. */
static void answer__last_of_a_former_message_ends_nothing(void **state)
{
    (void)state;
    struct script s;
    uint64_t first, second, again;
    script_live(&s);
    answer_small(&s, small_one(&s, 0, 1), 0x1a);
    script_tx(&s);
    take_small(&s, 0x1a, &first);
    answer_small(&s, small_one(&s, 0, 2), 0x2b); /* its origin had the first one; the acknowledgement was lost */
    script_tx(&s);
    take_small(&s, 0x2b, &second);
    ack(&s, first, first);
    script_wait(&s, 500 * MS);
    take_small(&s, 0x2b, &again);
    assert_true(again > second);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answer__last),
        cmocka_unit_test(answer__last_of_a_former_message_ends_nothing),
        cmocka_unit_test(answer__of_which_the_region_arrived_first_still_sends_its_head),
        cmocka_unit_test(answer__sends_the_rest_of_its_body_after_its_head_arrived),
        cmocka_unit_test(answer__that_is_not_whole_yet_ends_the_inputs),
        cmocka_unit_test(answer__to_what_was_never_sent_is_stale),
        cmocka_unit_test(answer__that_is_acknowledged_slowly_is_kept),
        cmocka_unit_test(answer__of_which_something_arrives_is_not_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
