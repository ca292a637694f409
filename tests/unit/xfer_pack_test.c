/* What goes together into a packet, and what waits for the next one. */
#include "xfer_script.h"

static uint8_t form[4096], bulk[20000];

static void send_form(struct script *s, struct xfer_out *m, uint32_t length, struct chi_ar_region *r)
{
    struct form_region f = {0};
    if (r) {
        *r = (struct chi_ar_region){.ptr = bulk, .size = sizeof bulk, .flags = CHI_WRITE};
        f = (struct form_region){.size = r->size, .flags = r->flags};
    }
    *m = (struct xfer_out){.form = form, .regions = r, .nregions = r != NULL, .deadline_ns = s->now + 100000 * MS};
    m->form_length = script_form(form, &f, r != NULL, 0);
    m->form_length = script_form(form, &f, r != NULL, length - m->form_length);
    assert_int_equal(m->form_length, length);
    xfer_send(s->x, 2, m, s->now);
}

/* A form that fits into the next packet is not cut, though a part of it would fit into this one. */
static void form__that_fits_into_a_packet_is_not_cut(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[2];
    struct wire_header h;
    struct wire_frame f;
    script_live(&s);
    for (int i = 0; i < 2; i++)
        send_form(&s, &m[i], 900, NULL);
    script_tx(&s);
    for (uint32_t i = 0; i < 2; i++) {
        struct wire_cursor c = script_take_data(&s, &h);
        assert_int_equal(script_frame(&c, &f), WIRE_FRAME_TASK_IN);
        assert_true(f.task_in.slot == i && f.task_in.inline_length == 900);
        assert_int_equal(script_frame(&c, &f), WIRE_FRAME_END);
    }
    script_nothing_sent(&s);
    script_close(&s);
}

/* A region is not cut into small pieces only because a packet is nearly full. */
static void region__begins_in_the_next_packet_where_little_room_is_left(void **state)
{
    (void)state;
    enum { PACKET = 1500, FIXED = WIRE_HEADER_BYTES + WIRE_BYTES_TASK_IN + WIRE_BYTES_SEGMENT };
    for (uint32_t left = 255; left <= 256; left++) {
        struct script s;
        struct xfer_out m;
        struct chi_ar_region r;
        struct wire_header h;
        struct wire_frame f;
        script_live(&s);
        send_form(&s, &m, PACKET - FIXED - left, &r);
        script_tx(&s);
        struct wire_cursor c = script_take_data(&s, &h);
        assert_int_equal(script_frame(&c, &f), WIRE_FRAME_TASK_IN);
        assert_int_equal(script_frame(&c, &f), left < 256 ? WIRE_FRAME_END : WIRE_FRAME_SEGMENT);
        c = script_take_data(&s, &h);
        assert_int_equal(h.length, PACKET);
        assert_int_equal(script_frame(&c, &f), WIRE_FRAME_SEGMENT);
        assert_int_equal(f.segment.offset, left < 256 ? 0 : left);
        script_close(&s);
    }
}

/* --- again: a packet of which the peer refuses a part is not acknowledged */

static void expect_packets(struct script *s, const uint8_t *types, unsigned n)
{
    struct wire_header h;
    struct wire_frame f;
    for (unsigned i = 0; i < n; i++) {
        struct wire_cursor c = script_take_data(s, &h);
        do
            script_frame(&c, &f);
        while (f.type == WIRE_FRAME_ACK);
        assert_int_equal(f.type, types[i]);
        assert_int_equal(script_frame(&c, &f), WIRE_FRAME_END);
    }
    script_nothing_sent(s);
}

static struct xfer_in *running(struct script *s, uint32_t slot)
{
    struct xfer_event ev;
    uint32_t n = script_form(form, NULL, 0, 8);
    data_begin(s);
    data_task_in(s, slot, 1, form, n, n);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    script_event(s, XFER_TASK, &ev);
    return ev.in;
}

/* They went in one packet. */
static void lost_pieces__of_inputs_and_answers_share_no_packet(void **state)
{
    (void)state;
    static const uint8_t apart[] = {WIRE_FRAME_SEGMENT, WIRE_FRAME_TASK_OUT};
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r;
    struct wire_header h;
    struct xfer_config c = script_config();
    c.unasked_bytes = 0;
    script_open_with(&s, &c);
    script_handshake(&s);
    struct xfer_in *in = running(&s, 0);
    send_form(&s, &m, 200, &r);
    script_tx(&s);
    script_take_data(&s, &h); /* the head */
    data_begin(&s);
    data_ack(&s, h.number, h.number);
    s.at += wire_put_grant(s.packet + s.at, &(struct wire_grant){.bytes = 300, .slot = 0, .generation = 1});
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_MODULE}, s.now);
    script_tx(&s);
    script_take_data(&s, &h);
    script_nothing_sent(&s);
    script_wait(&s, 16 * MS);
    expect_packets(&s, apart, 2);
    script_close(&s);
}

/* Its origin may have no memory for its body; a short one needs none. */
static void lost_answer__that_needs_memory_goes_alone(void **state)
{
    (void)state;
    static const uint8_t apart[] = {WIRE_FRAME_TASK_OUT, WIRE_FRAME_TASK_OUT, WIRE_FRAME_TASK_OUT, WIRE_FRAME_TASK_OUT};
    struct script s;
    struct wire_header h;
    struct wire_frame f;
    script_live(&s);
    struct xfer_in *in[4];
    for (uint32_t i = 0; i < 4; i++)
        in[i] = running(&s, i);
    script_tx(&s);
    s.taken = s.sent_count;
    for (uint32_t i = 0; i < 4; i++) /* long and short in turns */
        xfer_answer(s.x, in[i], &(struct xfer_answer){.status = CHI_STATUS_OK, .body = bulk, .body_length = i % 2 ? 10 : 100}, s.now);
    script_tx(&s);
    struct wire_cursor c = script_take_data(&s, &h);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(script_frame(&c, &f), WIRE_FRAME_TASK_OUT);
    script_wait(&s, 16 * MS);
    expect_packets(&s, apart, 4);
    script_close(&s);
}

/* Those that lost their heads: one with a region waits for its acknowledgement, the short ones go together. */
static void lost_heads__with_more_to_come_go_alone(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[4];
    struct chi_ar_region r;
    struct wire_header h;
    struct wire_frame f;
    struct xfer_config c = script_config();
    c.unasked_bytes = 0;
    script_open_with(&s, &c);
    script_handshake(&s);
    for (int i = 0; i < 4; i++)
        send_form(&s, &m[i], 200, i == 1 ? &r : NULL);
    script_tx(&s);
    struct wire_cursor at = script_take_data(&s, &h);
    script_nothing_sent(&s);
    script_wait(&s, 16 * MS);
    static const uint32_t slots[][3] = {{3, 2, 9}, {1, 9}, {0, 9}}; /* the last one first */
    for (int i = 0; i < 3; i++) {
        at = script_take_data(&s, &h);
        for (int k = 0; slots[i][k] != 9; k++) {
            assert_int_equal(script_frame(&at, &f), WIRE_FRAME_TASK_IN);
            assert_int_equal(f.task_in.slot, slots[i][k]);
        }
        assert_int_equal(script_frame(&at, &f), WIRE_FRAME_END);
    }
    script_nothing_sent(&s);
    script_close(&s);
}

/* The target refuses all pieces of one message, again and again, until another one is whole: that one goes on. */
static void lost_pieces__keep_back_no_other_message(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[2];
    struct chi_ar_region r[2];
    const uint8_t *p;
    struct wire_header h;
    struct wire_frame f;
    uint8_t seen[sizeof bulk] = {0};
    struct xfer_config config = script_config();
    config.unasked_bytes = 0;
    script_open_with(&s, &config);
    script_handshake(&s);
    for (int i = 0; i < 2; i++)
        send_form(&s, &m[i], 200, &r[i]);
    script_tx(&s);
    script_take_data(&s, &h); /* the heads */
    data_begin(&s);
    data_ack(&s, h.number, h.number);
    for (uint32_t slot = 0; slot < 2; slot++)
        s.at += wire_put_grant(s.packet + s.at, &(struct wire_grant){.bytes = sizeof bulk, .slot = slot, .generation = 1});
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_tx(&s);
    for (int ms = 0; memchr(seen, 0, sizeof seen); ms++) {
        assert_true(ms < 10000);
        while (script_take(&s, &p, &h)) {
            struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
            bool refused = false;
            while (script_frame(&c, &f) != WIRE_FRAME_END) {
                refused |= f.type == WIRE_FRAME_SEGMENT && f.segment.slot == 0;
                if (f.type == WIRE_FRAME_SEGMENT && f.segment.slot == 1)
                    memset(seen + f.segment.offset, 1, f.segment.length);
            }
            data_begin(&s);
            data_ack(&s, h.number, h.number);
            if (!refused)
                assert_int_equal(data_end(&s), CHI_DROP_NONE);
        }
        while (s.sent_count)
            free(s.sent[--s.sent_count].bytes);
        s.taken = 0;
        script_wait(&s, MS);
    }
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(form__that_fits_into_a_packet_is_not_cut),
        cmocka_unit_test(region__begins_in_the_next_packet_where_little_room_is_left),
        cmocka_unit_test(lost_pieces__of_inputs_and_answers_share_no_packet),
        cmocka_unit_test(lost_answer__that_needs_memory_goes_alone),
        cmocka_unit_test(lost_heads__with_more_to_come_go_alone),
        cmocka_unit_test(lost_pieces__keep_back_no_other_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
