/* Messages that go out, and what a peer may write into this node's memory in answer. */
#include "xfer_script.h"

enum { OUT = WIRE_SEGMENT_OUT };

static uint8_t form[8192];
static uint8_t area[3][4096]; /* regions, each with a guard on both sides */

static struct chi_ar_region region_at(int i, uint64_t size, uint32_t flags)
{
    memset(area[i], 0xab, sizeof area[i]);
    return (struct chi_ar_region){.ptr = area[i] + 1024, .size = size, .flags = flags};
}

static void send(struct script *s, struct xfer_out *m, struct chi_ar_region *r, uint32_t n, uint32_t body)
{
    struct form_region f[CHI_REGIONS_MAX];
    for (uint32_t i = 0; i < n; i++)
        f[i] = (struct form_region){.size = r[i].size, .flags = r[i].flags};
    uint32_t length = script_form(form, f, (uint8_t)n, body);
    *m = (struct xfer_out){.form = form, .form_length = length, .regions = r, .nregions = n, .deadline_ns = s->now + 500 * MS};
    xfer_send(s->x, 2, m, s->now);
    script_tx(s);
}

static void expect_done(struct script *s, struct xfer_out *m, enum chi_status status, struct xfer_event *ev)
{
    script_event(s, XFER_DONE, ev);
    assert_ptr_equal(ev->out, m);
    assert_int_equal(ev->status, status);
    script_no_event(s);
}

static void small__task_and_its_region_share_a_packet(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct wire_header h;
    struct wire_frame f;
    struct chi_ar_region r[] = {region_at(0, 100, CHI_WRITE), region_at(1, 100, CHI_EXPOSE)};
    script_live(&s);
    send(&s, &m, r, 2, 10);
    struct wire_cursor c = script_take_data(&s, &h);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_TASK_IN);
    assert_int_equal(f.task_in.slot, 0);
    assert_int_equal(f.task_in.generation, 1);
    assert_int_equal(f.task_in.form_length, m.form_length);
    assert_int_equal(f.task_in.inline_length, m.form_length);
    assert_memory_equal(f.task_in.bytes, form, m.form_length);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_SEGMENT); /* the exposed one sends no byte */
    assert_int_equal(f.segment.region, 1);
    assert_int_equal(f.segment.offset, 0);
    assert_int_equal(f.segment.length, 100);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_END);
    script_nothing_sent(&s);
    script_close(&s);
}

static void several__small_tasks_share_a_packet(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[4];
    struct wire_header h;
    struct wire_frame f;
    script_live(&s);
    for (int i = 0; i < 4; i++) {
        m[i] = (struct xfer_out){.form = form, .form_length = script_form(form, NULL, 0, 10), .deadline_ns = s.now + 500 * MS};
        xfer_send(s.x, 2, &m[i], s.now);
    }
    assert_true(xfer_deadline(s.x) <= s.now);
    script_tx(&s);
    struct wire_cursor c = script_take_data(&s, &h);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(script_frame(&c, &f), WIRE_FRAME_TASK_IN);
        assert_int_equal(f.task_in.slot, i);
    }
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_END);
    script_nothing_sent(&s);
    script_close(&s);
}

static void big__form_and_region_arrive_in_pieces_that_cover_them_once(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct wire_header h;
    struct wire_frame f;
    const uint8_t *p;
    struct chi_ar_region r[] = {region_at(0, 2000, CHI_WRITE)};
    uint64_t inlined = 0, of_form = 0, of_region = 0;
    script_live(&s);
    send(&s, &m, r, 1, 3000);
    while (script_take(&s, &p, &h)) {
        struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
        assert_true(h.length <= 1500);
        while (script_frame(&c, &f) != WIRE_FRAME_END) {
            if (f.type == WIRE_FRAME_TASK_IN) {
                inlined = f.task_in.inline_length;
                assert_int_equal(f.task_in.form_length, m.form_length);
                continue;
            }
            assert_int_equal(f.type, WIRE_FRAME_SEGMENT);
            const uint8_t *base = f.segment.region ? area[0] + 1024 : form;
            assert_memory_equal(f.segment.bytes, base + f.segment.offset, f.segment.length);
            if (f.segment.region)
                of_region += f.segment.length;
            else
                of_form += f.segment.length;
        }
    }
    assert_true(inlined > 1000);
    assert_int_equal(inlined + of_form, m.form_length);
    assert_int_equal(of_region, 2000);
    script_close(&s);
}

static size_t writer(struct xfer_out *m, uint8_t *dst, size_t cap)
{
    (void)m;
    if (cap < 600)
        return 0;
    memcpy(dst, form, 600);
    return 600;
}
static size_t never(struct xfer_out *m, uint8_t *dst, size_t cap)
{
    (void)m, (void)dst, (void)cap;
    return 0;
}

static void writer__fills_the_packet_itself(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[3];
    struct xfer_event ev;
    struct wire_header h;
    struct wire_frame f;
    script_form(form, NULL, 0, 568);
    script_live(&s);
    for (int i = 0; i < 3; i++) {
        m[i] = (struct xfer_out){.write = i < 2 ? writer : never, .deadline_ns = s.now + 500 * MS};
        xfer_send(s.x, 2, &m[i], s.now);
    }
    script_tx(&s);
    for (int i = 0; i < 2; i += 2) {
        struct wire_cursor c = script_take_data(&s, &h);
        for (int k = 0; k < 2; k++) { /* two fit */
            assert_int_equal(script_frame(&c, &f), WIRE_FRAME_TASK_IN);
            assert_int_equal(f.task_in.form_length, 600);
            assert_memory_equal(f.task_in.bytes, form, 600);
        }
        assert_int_equal(script_frame(&c, &f), WIRE_FRAME_END);
    }
    expect_done(&s, &m[2], CHI_STATUS_TOO_BIG, &ev);
    script_close(&s);
}

static size_t longest_form(struct xfer_out *m, uint8_t *dst, size_t cap)
{
    (void)m;
    if (cap < XFER_WRITER_MAX)
        return 0;
    memcpy(dst, form, XFER_WRITER_MAX);
    return XFER_WRITER_MAX;
}
static size_t longest_body(struct xfer_in *in, uint8_t *dst, size_t cap)
{
    (void)in;
    if (cap < XFER_WRITER_MAX)
        return 0;
    memset(dst, 0xcd, XFER_WRITER_MAX);
    return XFER_WRITER_MAX;
}

/* With all that can stand beside it in a packet: as many ranges of an ACK as go there, and the lengths of 16 regions. */
static void writer__of_the_promised_length_fits_into_a_packet_of_every_peer(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m = {.write = longest_form};
    struct xfer_event ev;
    struct wire_header h;
    struct wire_frame f;
    struct form_region r[CHI_REGIONS_MAX];
    struct wire_hello hello = script_hello();
    script_open(&s);
    hello.packet_max = WIRE_PACKET_MIN;
    script_meet(&s, hello);
    for (int i = 0; i < CHI_REGIONS_MAX; i++)
        r[i] = (struct form_region){.size = 8, .flags = CHI_EXPOSE};
    uint32_t length = script_form(form, r, CHI_REGIONS_MAX, 10);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, length, length);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    script_form(form, NULL, 0, XFER_WRITER_MAX - FORM_HEAD_BYTES);
    m.deadline_ns = s.now + 500 * MS;
    for (int answers = 0; answers < 2; answers++) {
        for (int i = 0; i < 40; i++) { /* with holes between them */
            s.number++;
            data_begin(&s);
            data_ping(&s);
            assert_int_equal(data_end(&s), CHI_DROP_NONE);
        }
        if (answers)
            xfer_answer(s.x, ev.in, &(struct xfer_answer){.status = CHI_STATUS_OK, .write = longest_body}, s.now);
        else
            xfer_send(s.x, 2, &m, s.now);
        script_tx(&s);
        struct wire_cursor c = script_take_data(&s, &h);
        assert_true(h.length <= WIRE_PACKET_MIN);
        assert_int_equal(script_frame(&c, &f), WIRE_FRAME_ACK);
        assert_int_equal(f.ack.count, 8);
        assert_int_equal(script_frame(&c, &f), answers ? WIRE_FRAME_TASK_OUT : WIRE_FRAME_TASK_IN);
        assert_int_equal(answers ? f.task_out.inline_length : f.task_in.inline_length, XFER_WRITER_MAX);
        assert_int_equal(answers ? f.task_out.regions : 0, answers ? CHI_REGIONS_MAX : 0);
    }
    script_close(&s);
}

static void answer__in_one_packet_is_handed_out_from_it(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_event ev;
    struct chi_ar_region r[] = {region_at(0, 100, CHI_EXPOSE), region_at(1, 50, CHI_WRITE), region_at(2, 200, CHI_WRITE | CHI_EXPOSE)};
    script_live(&s);
    send(&s, &m, r, 3, 10);
    struct wire_task_out w = {.slot = 0, .generation = 1, .form_length = 5, .inline_length = 5, .regions = 2, .used = {4, 0}};
    data_begin(&s);
    data_segment(&s, 0, 1, 1, OUT, 0, "back", 4);
    data_task_out(&s, &w, "hello");
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_done(&s, &m, CHI_STATUS_OK, &ev);
    assert_int_equal(ev.length, 5);
    assert_memory_equal(ev.bytes, "hello", 5);
    assert_int_equal(r[0].used, 4);
    assert_int_equal(r[2].used, 0);
    assert_memory_equal(r[0].ptr, "back\xab", 5);
    assert_int_equal(s.memory_asked, 0);
    script_close(&s);
}

static void answer__in_pieces_and_in_any_order(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct xfer_event ev;
    uint8_t body[200];
    for (int i = 0; i < 200; i++)
        body[i] = (uint8_t)i;
    for (uint32_t length = 20; length <= 200; length += 180) { /* kept in the slot; in memory */
        struct chi_ar_region r[] = {region_at(0, 100, CHI_EXPOSE)};
        script_live(&s);
        send(&s, &m, r, 1, 10);
        struct wire_task_out w = {.slot = 0, .generation = 1, .form_length = length, .inline_length = 10, .regions = 1, .used = {100}};
        data_begin(&s);
        data_segment(&s, 0, 1, 0, OUT, 10, body + 10, length - 10); /* no body yet to place it in */
        assert_int_equal(data_end(&s), CHI_DROP_REGION_UNKNOWN);
        data_begin(&s);
        data_segment(&s, 0, 1, 1, OUT, 50, body + 50, 50);
        data_task_out(&s, &w, body);
        data_task_out(&s, &w, body);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        data_begin(&s);
        data_segment(&s, 0, 1, 0, OUT, 10, body + 10, length - 10);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        script_no_event(&s);
        data_begin(&s);
        data_segment(&s, 0, 1, 1, OUT, 0, body, 60);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        expect_done(&s, &m, CHI_STATUS_OK, &ev);
        assert_int_equal(ev.length, length);
        assert_memory_equal(ev.bytes, body, length);
        assert_memory_equal(r[0].ptr, body, 100);
        assert_int_equal(s.memory_out, length > 64);
        xfer_tick(s.x, s.now);
        assert_int_equal(s.memory_out, 0);
        script_close(&s);
    }
}

static void forged__segments_change_nothing(void **state)
{
    (void)state;
    static const struct {
        uint32_t slot, generation;
        uint8_t region;
        uint64_t offset;
        uint32_t length;
        enum chi_drop drop;
    } bad[] = {
        {0, 1, 1, 100, 1, CHI_DROP_REGION_BOUNDS},
        {0, 1, 1, 97, 4, CHI_DROP_REGION_BOUNDS},
        {0, 1, 1, INT64_MAX - 4, 4, CHI_DROP_REGION_BOUNDS},
        {0, 1, 2, 0, 4, CHI_DROP_REGION_UNKNOWN}, /* only written */
        {0, 1, 3, 0, 4, CHI_DROP_REGION_UNKNOWN},
        {0, 1, 16, 0, 4, CHI_DROP_REGION_UNKNOWN},
        {0, 2, 1, 0, 4, CHI_DROP_SLOT_STALE},
        {0, 0, 1, 0, 4, CHI_DROP_SLOT_STALE},
        {1, 1, 1, 0, 4, CHI_DROP_SLOT_STALE},
        {4, 1, 1, 0, 4, CHI_DROP_SLOT_RANGE},
    };
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r[] = {region_at(0, 100, CHI_EXPOSE), region_at(1, 50, CHI_WRITE)};
    script_live(&s);
    send(&s, &m, r, 2, 10);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t before = s.drops[bad[i].drop];
        data_begin(&s);
        data_segment(&s, bad[i].slot, bad[i].generation, bad[i].region, OUT, bad[i].offset, "evil", bad[i].length);
        assert_int_equal(data_end(&s), bad[i].drop == CHI_DROP_SLOT_STALE ? CHI_DROP_NONE : bad[i].drop);
        assert_int_equal(s.drops[bad[i].drop], before + 1);
    }
    uint32_t real = s.session; /* of another session */
    s.session ^= 1u << 31;
    data_begin(&s);
    data_segment(&s, 0, 1, 1, OUT, 0, "evil", 4);
    assert_int_equal(data_end(&s), CHI_DROP_SESSION_UNKNOWN);
    s.session = real;
    wire_seal(s.packet, s.at, script_crc); /* and of another address */
    struct wire_header h = {.kind = WIRE_KIND_DATA, .length = (uint16_t)s.at, .session = real, .number = 900};
    wire_put_header(s.packet, &h);
    wire_seal(s.packet, s.at, script_crc);
    assert_int_equal(script_rx(&s, 3, s.packet, s.at), CHI_DROP_ADDRESS);
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sizeof area[i]; k++)
            assert_int_equal(area[i][k], 0xab);
    script_no_event(&s);
    script_close(&s);
}

static void forged__answers_are_dropped(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r[] = {region_at(0, 100, CHI_EXPOSE)};
    script_live(&s);
    send(&s, &m, r, 1, 10);
    const struct { struct wire_task_out w; enum chi_drop drop; } bad[] = {
        {{.generation = 1, .regions = 1, .used = {101}}, CHI_DROP_REGION_BOUNDS},
        {{.generation = 1, .regions = 0}, CHI_DROP_FRAME_VALUE},
        {{.generation = 1, .regions = 2}, CHI_DROP_FRAME_VALUE},
        {{.generation = 1, .regions = 1, .status = CHI_STATUS_PENDING}, CHI_DROP_FRAME_VALUE},
        {{.generation = 1, .regions = 1, .status = 9999}, CHI_DROP_FRAME_VALUE},
        {{.generation = 1, .regions = 1, .form_length = CHI_FORM_BYTES_MAX + 1}, CHI_DROP_FRAME_VALUE},
        {{.generation = 2, .regions = 1}, CHI_DROP_NONE}, /* stale */
        {{.slot = 7, .generation = 1, .regions = 1}, CHI_DROP_SLOT_RANGE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        data_begin(&s);
        data_task_out(&s, &bad[i].w, "");
        assert_int_equal(data_end(&s), bad[i].drop);
        script_no_event(&s);
    }
    assert_int_equal(s.drops[CHI_DROP_SLOT_STALE], 1);
    struct xfer_event ev;
    data_begin(&s);
    data_task_out(&s, &(struct wire_task_out){.generation = 1, .status = CHI_STATUS_NO_POOL}, "");
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_done(&s, &m, CHI_STATUS_NO_POOL, &ev);
    assert_int_equal(r[0].used, 0);
    script_close(&s);
}

static void deadline__ends_it_and_late_answers_find_no_slot(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m, next;
    struct xfer_event ev;
    struct chi_ar_region r[] = {region_at(0, 100, CHI_EXPOSE)};
    script_live(&s);
    send(&s, &m, r, 1, 10);
    script_wait(&s, 600 * MS);
    expect_done(&s, &m, CHI_STATUS_DEADLINE, &ev);
    memset(&m, 0xee, sizeof m);
    memset(r, 0xee, sizeof r);
    struct wire_task_out w = {.generation = 1, .regions = 1, .used = {4}};
    for (int i = 0; i < 2; i++) {
        data_begin(&s);
        data_segment(&s, 0, 1, 1, OUT, 0, "late", 4);
        data_task_out(&s, &w, "");
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        script_no_event(&s);
        if (i == 0) { /* the slot is used again, with a higher generation */
            struct chi_ar_region r2[] = {region_at(1, 100, CHI_EXPOSE)};
            send(&s, &next, r2, 1, 10);
            next.regions = NULL;
            next.nregions = 0;
        }
    }
    assert_int_equal(s.drops[CHI_DROP_SLOT_STALE], 4);
    for (size_t k = 0; k < sizeof area[0]; k++)
        assert_true(area[0][k] == 0xab && area[1][k] == 0xab);
    script_close(&s);
}

static void ends__at_once_are_events_too(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m = {.deadline_ns = UINT64_MAX}, late = {.deadline_ns = 5};
    struct xfer_event ev;
    script_open(&s);
    xfer_send(s.x, 9, &m, s.now);
    assert_true(xfer_deadline(s.x) <= s.now);
    expect_done(&s, &m, CHI_STATUS_NO_NODE, &ev);
    xfer_send(s.x, 2, &late, s.now);
    expect_done(&s, &late, CHI_STATUS_DEADLINE, &ev);
    script_nothing_sent(&s);
    script_close(&s);
}

static void shutdown__ends_all_and_says_so(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m[10];
    struct xfer_event ev;
    struct wire_header h;
    struct wire_frame f;
    script_live(&s);
    uint32_t n = script_form(form, NULL, 0, 10);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    struct xfer_in *in = ev.in;
    for (int i = 0; i < 10; i++) { /* four have slots */
        m[i] = (struct xfer_out){.form = form, .form_length = n, .deadline_ns = s.now + 500 * MS};
        xfer_send(s.x, 2, &m[i], s.now);
    }
    xfer_shutdown(s.x, s.now);
    bool seen[10] = {false};
    for (int i = 0; i < 10; i++) {
        script_event(&s, XFER_DONE, &ev);
        assert_int_equal(ev.status, CHI_STATUS_SHUTDOWN);
        assert_false(seen[ev.out - m]);
        seen[ev.out - m] = true;
    }
    script_no_event(&s);
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    script_event(&s, XFER_ANSWERED, &ev);
    script_tx(&s);
    struct wire_cursor c = script_take_data(&s, &h);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_ACK);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_CLOSE);
    script_nothing_sent(&s);
    xfer_send(s.x, 2, &m[0], s.now);
    expect_done(&s, &m[0], CHI_STATUS_SHUTDOWN, &ev);
    data_begin(&s);
    data_ping(&s);
    assert_int_equal(data_end(&s), CHI_DROP_SESSION_UNKNOWN);
    script_wait(&s, 250000 * MS); /* it looks once more whether a peer is needed (alive.c) */
    assert_true(xfer_deadline(s.x) == UINT64_MAX);
    script_close(&s);
}

static void config__out_of_range_needs_no_bytes(void **state)
{
    (void)state;
    struct xfer_config good = script_config(), c;
    assert_true(xfer_bytes(&good) > 0);
#define BAD(field, value) c = good, c.field = value, assert_int_equal(xfer_bytes(&c), 0)
    BAD(incarnation, 0);
    BAD(node, 0);
    BAD(workers, 0);
    BAD(worker, 1);
    BAD(packet_max, WIRE_PACKET_MIN - 1);
    BAD(packet_max, WIRE_PACKET_MAX + 1);
    BAD(peers_max, 0);
    BAD(slots, 1);
    BAD(slots, 3);
    BAD(slots, 131072);
    BAD(messages_in, 0);
    BAD(window_packets, 2);
    BAD(window_packets, 100);
    BAD(window_packets, 8192);
    BAD(pto_min_ns, 0);
    BAD(pto_max_ns, 1);
    BAD(ack_delay_ns, 0);
    BAD(ack_every, 0);
    BAD(hello_retry_ns, 0);
    c = good;
    memset(c.cluster, 'x', sizeof c.cluster);
    assert_int_equal(xfer_bytes(&c), 0);

    struct script s;
    struct xfer_addr a = {.ip = 5, .port = 1};
    script_open(&s);
    assert_int_equal(xfer_peer_set(s.x, 1, &a), -22);
    assert_int_equal(xfer_peer_set(s.x, 3, &a), 0);
    assert_int_equal(xfer_peer_set(s.x, 2, &a), 0); /* known already */
    assert_int_equal(xfer_peer_set(s.x, 4, &a), -28);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small__task_and_its_region_share_a_packet),
        cmocka_unit_test(several__small_tasks_share_a_packet),
        cmocka_unit_test(big__form_and_region_arrive_in_pieces_that_cover_them_once),
        cmocka_unit_test(writer__fills_the_packet_itself),
        cmocka_unit_test(writer__of_the_promised_length_fits_into_a_packet_of_every_peer),
        cmocka_unit_test(answer__in_one_packet_is_handed_out_from_it),
        cmocka_unit_test(answer__in_pieces_and_in_any_order),
        cmocka_unit_test(forged__segments_change_nothing),
        cmocka_unit_test(forged__answers_are_dropped),
        cmocka_unit_test(deadline__ends_it_and_late_answers_find_no_slot),
        cmocka_unit_test(ends__at_once_are_events_too),
        cmocka_unit_test(shutdown__ends_all_and_says_so),
        cmocka_unit_test(config__out_of_range_needs_no_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
