/* Messages that come in: each runs once, whatever is repeated, late, forged or too big. */
#include "xfer_script.h"

enum { OUT = WIRE_SEGMENT_OUT };

static uint8_t form[FORM_PREFIX_MAX + 4096];

/* Sends and looks for an ACK; the largest number that it acknowledges, 0: none came. */
static uint64_t acked(struct script *s)
{
    uint64_t largest = 0;
    script_wait(s, 1 * MS);
    const uint8_t *p;
    struct wire_header h;
    struct wire_frame f;
    while (script_take(s, &p, &h) == WIRE_KIND_DATA) {
        struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
        while (script_frame(&c, &f) != WIRE_FRAME_END)
            if (f.type == WIRE_FRAME_ACK)
                largest = f.ack.r[0].last;
    }
    return largest;
}

static void expect_task(struct script *s, struct xfer_event *ev, uint32_t length)
{
    script_event(s, XFER_TASK, ev);
    assert_int_equal(ev->node, 2);
    assert_int_equal(ev->length, length);
    assert_memory_equal(ev->bytes, form, length);
}

/* The task is answered, and the peer acknowledges all that was sent. */
static void finish(struct script *s, struct xfer_in *in)
{
    struct xfer_event ev;
    xfer_answer(s->x, in, &(struct xfer_answer){.status = CHI_STATUS_MODULE}, s->now);
    script_tx(s);
    uint64_t last = 0;
    const uint8_t *p;
    struct wire_header h;
    while (script_take(s, &p, &h))
        last = h.number;
    data_begin(s);
    data_ack(s, last, last);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    script_event(s, XFER_ANSWERED, &ev);
    assert_ptr_equal(ev.in, in);
    script_no_event(s);
    xfer_tick(s->x, s->now);
    assert_int_equal(s->memory_out, 0);
}

static void task__runs_once_and_its_repetition_is_only_acknowledged(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    uint32_t n = script_form(form, NULL, 0, 20);
    script_live(&s);
    for (int i = 0; i < 3; i++) {
        data_begin(&s);
        data_task_in(&s, 0, 1, form, n, n);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        if (i == 0)
            expect_task(&s, &ev, n);
        script_no_event(&s);
        assert_int_equal(acked(&s), i + 1);
    }
    finish(&s, ev.in);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n); /* over, and still not run again */
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_no_event(&s);
    assert_int_equal(acked(&s), s.number);
    script_close(&s);
}

static void task__of_a_lower_generation_is_stale(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    uint32_t n = script_form(form, NULL, 0, 20);
    script_live(&s);
    data_begin(&s);
    data_task_in(&s, 2, 5, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_task(&s, &ev, n);
    data_begin(&s);
    data_task_in(&s, 2, 4, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_no_event(&s);
    assert_int_equal(s.drops[CHI_DROP_SLOT_STALE], 1);
    assert_int_equal(acked(&s), 2);
    script_close(&s);
}

static void task__of_a_higher_generation_orphans_the_former(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event first, second, ev;
    uint32_t n = script_form(form, NULL, 0, 20);
    script_live(&s);
    data_begin(&s);
    data_task_in(&s, 1, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_task(&s, &first, n);
    data_begin(&s);
    data_task_in(&s, 1, 2, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_task(&s, &second, n);
    script_event(&s, XFER_CANCELLED, &ev);
    assert_ptr_equal(ev.in, first.in);
    script_no_event(&s);
    s.taken = s.sent_count;
    xfer_answer(s.x, first.in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    script_event(&s, XFER_ANSWERED, &ev); /* nobody waits for it */
    assert_ptr_equal(ev.in, first.in);
    finish(&s, second.in);
    script_close(&s);
}

static void task__generation_wraps(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    uint32_t n = script_form(form, NULL, 0, 0);
    script_live(&s);
    const uint32_t generations[] = {0x7fffffff, 0xfffffffe, 0, 1};
    for (int i = 0; i < 4; i++) {
        data_begin(&s);
        data_task_in(&s, 0, generations[i], form, n, n);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        expect_task(&s, &ev, n);
        finish(&s, ev.in);
    }
    script_close(&s);
}

static void task__waits_for_its_regions_in_any_order(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    const struct form_region r[] = {{300, 0, CHI_WRITE}, {50, 0, CHI_EXPOSE}, {0, 0, CHI_WRITE}, {10, 0, CHI_WRITE | CHI_EXPOSE}};
    uint32_t n = script_form(form, r, 4, 700);
    uint8_t bytes[300];
    for (int i = 0; i < 300; i++)
        bytes[i] = (uint8_t)(i * 7);
    script_live(&s);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, 400); /* the rest of the form follows */
    data_segment(&s, 0, 1, 1, 0, 200, bytes + 200, 100);
    data_segment(&s, 0, 1, 1, 0, 0, bytes, 100);
    data_segment(&s, 0, 1, 1, 0, 0, bytes, 100); /* twice */
    data_segment(&s, 0, 1, 0, 0, 500, form + 500, n - 500);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    data_begin(&s);
    data_segment(&s, 0, 1, 4, 0, 0, bytes, 10);
    data_segment(&s, 0, 1, 0, 0, 400, form + 400, 100);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_no_event(&s);
    data_begin(&s);
    data_segment(&s, 0, 1, 1, 0, 90, bytes + 90, 130); /* overlaps on both sides */
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_task(&s, &ev, n);
    assert_int_equal(ev.in->nregions, 4);
    assert_memory_equal(ev.in->regions[0].ptr, bytes, 300);
    assert_memory_equal(ev.in->regions[3].ptr, bytes, 10);
    assert_int_equal(ev.in->regions[1].size, 50);
    assert_non_null(ev.in->regions[2].ptr);
    for (int i = 0; i < 4; i++)
        assert_int_equal(ev.in->regions[i].used, 0);
    s.taken = s.sent_count;
    finish(&s, ev.in);
    script_close(&s);
}

static void segment__that_does_not_belong_is_dropped(void **state)
{
    (void)state;
    static const struct {
        uint32_t slot, generation;
        uint8_t region, flags;
        uint64_t offset;
        uint32_t length;
        enum chi_drop drop;
    } bad[] = {
        {0, 1, 1, 0, 100, 1, CHI_DROP_REGION_BOUNDS},
        {0, 1, 1, 0, 99, 2, CHI_DROP_REGION_BOUNDS},
        {0, 1, 1, 0, INT64_MAX - 5, 5, CHI_DROP_REGION_BOUNDS},
        {0, 1, 0, 0, 4000, 1, CHI_DROP_REGION_BOUNDS},
        {0, 1, 2, 0, 0, 4, CHI_DROP_REGION_UNKNOWN},   /* only exposed */
        {0, 1, 3, 0, 0, 4, CHI_DROP_REGION_UNKNOWN},   /* there are two */
        {0, 2, 1, 0, 0, 4, CHI_DROP_REGION_UNKNOWN},   /* its TASK_IN is not here */
        {1, 1, 1, 0, 0, 4, CHI_DROP_REGION_UNKNOWN},
        {4, 1, 1, 0, 0, 4, CHI_DROP_SLOT_RANGE},
        {0, 1, 1, OUT, 0, 4, CHI_DROP_SLOT_STALE},     /* no message of ours is out there */
        {0, 0, 1, 0, 0, 4, CHI_DROP_SLOT_STALE},
        {UINT32_MAX, 1, 1, OUT, 0, 4, CHI_DROP_SLOT_RANGE},
    };
    struct script s;
    const struct form_region r[] = {{100, 0, CHI_WRITE}, {50, 0, CHI_EXPOSE}};
    uint32_t n = script_form(form, r, 2, 20);
    script_live(&s);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    acked(&s);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t before = s.drops[bad[i].drop];
        bool stale = bad[i].drop == CHI_DROP_SLOT_STALE;
        data_begin(&s);
        data_segment(&s, bad[i].slot, bad[i].generation, bad[i].region, bad[i].flags, bad[i].offset, "evil", bad[i].length);
        assert_int_equal(data_end(&s), stale ? CHI_DROP_NONE : bad[i].drop);
        assert_int_equal(s.drops[bad[i].drop], before + 1);
        assert_int_equal(acked(&s), stale ? s.number : 0);
        script_no_event(&s);
    }
    script_close(&s);
}

static void segment__finds_no_region_of_the_record_s_former_message(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    const struct form_region r[] = {{4, 0, CHI_WRITE}, {4, 0, CHI_WRITE}, {4, 0, CHI_WRITE}};
    script_live(&s);
    for (uint32_t generation = 1; generation <= 2; generation++) {
        uint8_t regions = generation == 1 ? 3 : 1;
        uint32_t n = script_form(form, r, regions, 20);
        data_begin(&s);
        data_task_in(&s, 0, generation, form, n, n);
        for (uint8_t k = regions; k > 1; k--)
            data_segment(&s, 0, generation, k, 0, 0, "four", 4);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        data_begin(&s);
        data_segment(&s, 0, generation, regions + 1, 0, 0, "evil", 4);
        assert_int_equal(data_end(&s), CHI_DROP_REGION_UNKNOWN);
        data_begin(&s);
        data_segment(&s, 0, generation, 1, 0, 0, "four", 4);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        expect_task(&s, &ev, n);
        s.taken = s.sent_count;
        finish(&s, ev.in);
    }
    script_close(&s);
}

static void task__that_comes_again_with_another_length_is_dropped(void **state)
{
    (void)state;
    struct script s;
    uint32_t n = script_form(form, NULL, 0, 600);
    script_live(&s);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, 100);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    for (uint32_t wrong = n - 1; wrong <= n + 1; wrong += 2) {
        data_begin(&s);
        data_task_in(&s, 0, 1, form, wrong, 100);
        assert_int_equal(data_end(&s), CHI_DROP_FRAME_VALUE);
    }
    script_close(&s);
}

static void segment__never_changes_a_checked_prefix(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    uint8_t evil[600];
    uint32_t n = script_form(form, NULL, 0, 600);
    memset(evil, 0xee, sizeof evil);
    script_live(&s);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, 100);
    data_segment(&s, 0, 1, 0, 0, 0, evil, 300);
    data_segment(&s, 0, 1, 0, 0, 300, form + 300, n - 300);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    assert_memory_equal(ev.bytes, form, 100);
    assert_memory_equal(ev.bytes + 100, evil, 200);
    s.taken = s.sent_count;
    finish(&s, ev.in);
    script_close(&s);
}

static void task__with_a_region_above_the_limit_is_answered_at_once(void **state)
{
    (void)state;
    struct script s;
    struct wire_header h;
    struct wire_frame f;
    const struct form_region r[] = {{10, 0, CHI_WRITE}, {100001, 0, CHI_EXPOSE}};
    uint32_t n = script_form(form, r, 2, 20);
    script_live(&s);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_no_event(&s);
    script_tx(&s);
    struct wire_cursor c = script_take_data(&s, &h);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_ACK);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_TASK_OUT);
    assert_int_equal(f.task_out.status, CHI_STATUS_TOO_BIG);
    assert_int_equal(f.task_out.form_length, 0);
    assert_int_equal(s.memory_out, 0);
    n = script_form(form, NULL, 0, 20);
    data_begin(&s);
    data_task_in(&s, 1, 1, form, CHI_FORM_BYTES_MAX + 1, n); /* a form above it */
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_tx(&s);
    c = script_take_data(&s, &h);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_ACK);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_TASK_OUT);
    assert_int_equal(f.task_out.status, CHI_STATUS_TOO_BIG);
    data_begin(&s);
    data_ack(&s, 1, h.number);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_no_event(&s); /* its consumer never heard of it */
    struct xfer_peer_stats st;
    xfer_stats(s.x, &st, 1);
    assert_int_equal(st.open_in, 0);
    script_close(&s);
}

/* Each could be had alone, and all of them never. */
static void task__with_regions_that_never_fit_together_is_answered_at_once(void **state)
{
    (void)state;
    struct script s;
    struct wire_header h;
    struct wire_frame f;
    struct form_region r[11]; /* a host has 1000000 bytes here */
    for (int i = 0; i < 11; i++)
        r[i] = (struct form_region){100000, 0, CHI_EXPOSE};
    uint32_t n = script_form(form, r, 11, 0);
    script_live(&s);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_tx(&s);
    struct wire_cursor c = script_take_data(&s, &h);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_ACK);
    assert_int_equal(script_frame(&c, &f), WIRE_FRAME_TASK_OUT);
    assert_int_equal(f.task_out.status, CHI_STATUS_TOO_BIG);
    assert_int_equal(s.memory_asked, 0);
    script_no_event(&s);
    script_close(&s);
}

static size_t empty_body(struct xfer_in *in, uint8_t *dst, size_t cap)
{
    (void)in, (void)dst, (void)cap;
    return 0;
}

static void answer__that_cannot_go_becomes_a_status(void **state)
{
    (void)state;
    static uint8_t huge[CHI_FORM_BYTES_MAX + 1];
    static const struct { struct xfer_answer a; uint64_t used; enum chi_status status; uint8_t regions; } cases[] = {
        {{.status = CHI_STATUS_OK, .body = huge, .body_length = sizeof huge}, 0, CHI_STATUS_TOO_BIG, 0},
        {{.status = CHI_STATUS_OK}, 101, CHI_STATUS_INVALID, 0},
        {{.status = CHI_STATUS_MODULE, .body = huge, .body_length = 10}, 101, CHI_STATUS_MODULE, 0},
        {{.status = CHI_STATUS_OK, .write = empty_body}, 0, CHI_STATUS_OK, 1},
    };
    const struct form_region r[] = {{100, 0, CHI_EXPOSE}};
    uint32_t n = script_form(form, r, 1, 20);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct script s;
        struct xfer_event ev;
        struct wire_header h;
        struct wire_frame f;
        script_live(&s);
        data_begin(&s);
        data_task_in(&s, 0, 1, form, n, n);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        expect_task(&s, &ev, n);
        ev.in->regions[0].used = cases[i].used;
        xfer_answer(s.x, ev.in, &cases[i].a, s.now);
        for (int again = 0; again < 2; again++) {
            script_tx(&s);
            struct wire_cursor c = script_take_data(&s, &h);
            while (script_frame(&c, &f) != WIRE_FRAME_TASK_OUT)
                assert_int_equal(f.type, WIRE_FRAME_ACK);
            assert_int_equal(f.task_out.status, cases[i].status);
            assert_int_equal(f.task_out.form_length, 0);
            assert_int_equal(f.task_out.regions, cases[i].regions);
            assert_int_equal(script_frame(&c, &f), WIRE_FRAME_END);
            script_wait(&s, 16 * MS); /* lost */
        }
        script_close(&s);
    }
}

/* Packets are longer when it comes again: the whole form is inline. */
static void task__that_comes_again_may_bring_the_rest_of_its_form(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    uint32_t n = script_form(form, NULL, 0, 900);
    script_live(&s);
    for (uint32_t inlined = n - 400; inlined <= n; inlined += 200) {
        script_no_event(&s);
        data_begin(&s);
        data_task_in(&s, 0, 1, form, n, inlined);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
    }
    expect_task(&s, &ev, n);
    assert_memory_equal(ev.bytes, form, n);
    script_no_event(&s);
    script_close(&s);
}

static void task__with_a_bad_form_is_dropped(void **state)
{
    (void)state;
    struct script s;
    const struct form_region r[] = {{10, 0, CHI_WRITE}};
    script_live(&s);
    uint32_t n = script_form(form, r, 1, 20);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, 31); /* not even the head */
    assert_int_equal(data_end(&s), CHI_DROP_FORM);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, 40); /* not all of the region table */
    assert_int_equal(data_end(&s), CHI_DROP_FORM);
    form[11] = 17; /* regions */
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_FORM);
    script_no_event(&s);
    assert_int_equal(acked(&s), 0);
    assert_int_equal(s.drops[CHI_DROP_FORM], 3);
    script_close(&s);
}

/* The rest of the head is for whoever loads it. */
static void task__of_an_unknown_query_is_handed_on(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    script_live(&s);
    uint32_t n = script_form(form, NULL, 0, 20);
    form[10] = 99; /* query kind */
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_task(&s, &ev, n);
    script_close(&s);
}

static void task__with_too_many_holes_waits_for_those_in_order(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    uint8_t bytes[1000] = {0};
    const struct form_region r[] = {{1000, 0, CHI_WRITE}};
    uint32_t n = script_form(form, r, 1, 0);
    script_live(&s);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    for (uint32_t i = 0; i < 65; i++) {
        data_begin(&s);
        data_segment(&s, 0, 1, 1, 0, 10 + 2 * i, bytes, 1);
        assert_int_equal(data_end(&s), i < 64 ? CHI_DROP_NONE : CHI_DROP_REGION_FRAGMENTED);
    }
    data_begin(&s);
    data_segment(&s, 0, 1, 1, 0, 0, bytes, 1000);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_task(&s, &ev, n);
    script_close(&s);
}

static void bad_frame__does_not_touch_its_neighbours(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    uint32_t n = script_form(form, NULL, 0, 20);
    script_live(&s);
    data_begin(&s);
    data_task_in(&s, 9, 1, form, n, n); /* no such slot */
    data_task_in(&s, 0, 1, form, n, n);
    data_bytes(&s, "\x63", 1); /* no such frame */
    assert_int_equal(data_end(&s), CHI_DROP_NONE); /* as it brought something */
    expect_task(&s, &ev, n);
    script_no_event(&s);
    assert_int_equal(s.drops[CHI_DROP_SLOT_RANGE], 1);
    assert_int_equal(s.drops[CHI_DROP_FRAME_TYPE], 1);
    assert_int_equal(acked(&s), 0);
    script_close(&s);
}

/* Its origin lives, and has nothing to say about what it began. */
static void silence__about_a_message_frees_it(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    const struct form_region r[] = {{1000, 0, CHI_WRITE}};
    uint32_t n = script_form(form, r, 1, 0);
    struct xfer_config c = script_config();
    c.silence_ns = 1000 * MS;
    script_open_with(&s, &c);
    script_handshake(&s);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    uint32_t small = script_form(form, NULL, 0, 20);
    data_begin(&s);
    data_task_in(&s, 1, 1, form, small, small);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    expect_task(&s, &ev, small);
    xfer_answer(s.x, ev.in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    for (int i = 0; i < 99; i++) {
        script_wait(&s, 100 * MS);
        if (i % 5)
            continue;
        data_begin(&s);
        data_ping(&s);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
    }
    script_no_event(&s);
    assert_int_equal(s.memory_out, 1);
    for (int i = 0; i < 2; i++)
        script_wait(&s, 100 * MS);
    script_event(&s, XFER_ANSWERED, &ev);
    assert_int_equal(s.memory_out, 0);
    for (int i = 0; i < 10; i++)
        script_wait(&s, 100 * MS);
    assert_true(xfer_deadline(s.x) == UINT64_MAX);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task__runs_once_and_its_repetition_is_only_acknowledged),
        cmocka_unit_test(task__of_a_lower_generation_is_stale),
        cmocka_unit_test(task__of_a_higher_generation_orphans_the_former),
        cmocka_unit_test(task__generation_wraps),
        cmocka_unit_test(task__waits_for_its_regions_in_any_order),
        cmocka_unit_test(segment__that_does_not_belong_is_dropped),
        cmocka_unit_test(segment__finds_no_region_of_the_record_s_former_message),
        cmocka_unit_test(task__that_comes_again_with_another_length_is_dropped),
        cmocka_unit_test(segment__never_changes_a_checked_prefix),
        cmocka_unit_test(task__with_a_region_above_the_limit_is_answered_at_once),
        cmocka_unit_test(task__with_regions_that_never_fit_together_is_answered_at_once),
        cmocka_unit_test(answer__that_cannot_go_becomes_a_status),
        cmocka_unit_test(task__that_comes_again_may_bring_the_rest_of_its_form),
        cmocka_unit_test(task__with_a_bad_form_is_dropped),
        cmocka_unit_test(task__of_an_unknown_query_is_handed_on),
        cmocka_unit_test(task__with_too_many_holes_waits_for_those_in_order),
        cmocka_unit_test(bad_frame__does_not_touch_its_neighbours),
        cmocka_unit_test(silence__about_a_message_frees_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
