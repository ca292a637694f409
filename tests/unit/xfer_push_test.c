/* Outputs that go before the task ends: at the target, and at the origin. */
#include "panics.h"
#include "xfer_streaming.h"

static struct script *stage; /* for what panics */
static struct xfer_in *actor;

static void push__goes_before_the_end_and_the_rest_with_the_answer(void **state)
{
    (void)state;
    struct script s;
    struct xfer_in *in = begin(&s, CHI_WRITE | CHI_STREAM | CHI_EXPOSE);
    say_piece(&s, 1, 0, 400);
    expect_more(&s, in, 0, 400);
    xfer_push(s.x, in, 1, 2000, s.now); /* the second region first */
    xfer_push(s.x, in, 0, 300, s.now);
    struct sent n = look(&s, true);
    assert_int_equal(n.heads, 0);
    assert_int_equal(n.bytes[1], 300);
    assert_int_equal(n.bytes[2], 2000);
    script_no_event(&s);
    xfer_push(s.x, in, 1, 1999, s.now); /* nothing new */
    xfer_push(s.x, in, 0, 300, s.now);
    assert_int_equal(look(&s, true).segments, 0);
    xfer_push(s.x, in, 0, 400, s.now);
    n = look(&s, true);
    assert_int_equal(n.bytes[1], 100);
    assert_int_equal(n.bytes[2], 0);
    say_piece(&s, 1, 400, 600);
    expect_more(&s, in, 0, 1000);
    in->regions[0].used = 500;
    in->regions[1].used = SIZE;
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    n = look(&s, true);
    assert_int_equal(n.heads, 1);
    assert_int_equal(n.bytes[1], 100);
    assert_int_equal(n.bytes[2], SIZE - 2000); /* nothing goes twice */
    assert_int_equal(n.head.regions, 2);
    assert_int_equal(n.head.used[0], 500);
    assert_int_equal(n.head.used[1], SIZE);
    is_over(&s, in);
    script_close(&s);
}

static void push__that_is_lost_goes_again(void **state)
{
    (void)state;
    struct script s;
    struct xfer_in *in = begin(&s, CHI_WRITE | CHI_STREAM);
    xfer_push(s.x, in, 1, 1000, s.now);
    assert_int_equal(look(&s, false).bytes[2], 1000);
    for (int i = 0; i < 5; i++) { /* while it runs, */
        uint64_t again = 0;
        for (int k = 0; k < 50 && !again; k++) {
            script_wait(&s, 1 * MS);
            again = look(&s, false).bytes[2];
        }
        assert_int_equal(again, 1000);
    }
    in->regions[1].used = 1000;
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    uint64_t segments = 0;
    unsigned heads = 0;
    for (int k = 0; k < 200 && !(segments && heads); k++) { /* and after its answer */
        struct sent n = look(&s, segments > 0);
        segments += n.bytes[2];
        heads += n.heads;
        script_wait(&s, 1 * MS);
    }
    assert_true(segments >= 1000 && heads > 0);
    struct xfer_event ev;
    for (int k = 0; k < 200 && !xfer_next_event(s.x, &ev); k++) {
        look(&s, true);
        script_wait(&s, 1 * MS);
    }
    assert_int_equal(ev.kind, XFER_ANSWERED);
    script_close(&s);
}

static void push__then_failure_sends_nothing_more_and_no_lengths(void **state)
{
    (void)state;
    struct script s;
    struct xfer_in *in = begin(&s, CHI_WRITE | CHI_STREAM);
    xfer_push(s.x, in, 1, 700, s.now);
    assert_int_equal(look(&s, true).bytes[2], 700);
    xfer_push(s.x, in, 1, 1400, s.now); /* not on its way yet */
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_MODULE}, s.now);
    struct sent n = look(&s, true);
    assert_int_equal(n.segments, 0);
    assert_int_equal(n.heads, 1);
    assert_int_equal(n.head.status, CHI_STATUS_MODULE);
    assert_int_equal(n.head.regions, 0);
    is_over(&s, in);
    script_close(&s);
}

static void push__of_more_than_is_used_at_the_end_is_invalid(void **state)
{
    (void)state;
    struct script s;
    struct xfer_in *in = begin(&s, CHI_WRITE | CHI_STREAM);
    xfer_push(s.x, in, 1, 700, s.now);
    in->regions[1].used = 699;
    xfer_answer(s.x, in, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    struct sent n = look(&s, true);
    assert_int_equal(n.head.status, CHI_STATUS_INVALID);
    is_over(&s, in);
    script_close(&s);
}

static uint32_t push_region;
static uint64_t push_bytes;
static void push_it(void) { xfer_push(stage->x, actor, push_region, push_bytes, stage->now); }

static void push__of_what_cannot_go_is_a_bug(void **state)
{
    (void)state;
    struct script s;
    stage = &s;
    actor = begin(&s, CHI_WRITE | CHI_STREAM | CHI_EXPOSE);
    say_piece(&s, 1, 0, 100);
    say_piece(&s, 1, 200, 100);
    expect_more(&s, actor, 0, 100);
    const struct { uint32_t region; uint64_t bytes; } bad[] = {{0, 101}, {1, SIZE + 1}, {2, 0}};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        push_region = bad[i].region;
        push_bytes = bad[i].bytes;
        assert_true(panics(push_it));
    }
    xfer_answer(s.x, actor, &(struct xfer_answer){.status = CHI_STATUS_OK}, s.now);
    push_region = 0;
    push_bytes = 10;
    assert_true(panics(push_it)); /* answered */
    script_close(&s);
    actor = begin(&s, CHI_WRITE | CHI_STREAM);
    push_bytes = 0;
    assert_true(panics(push_it)); /* does not go back */
    script_close(&s);
}

/* --- as the origin */

static void origin__takes_what_is_pushed_and_ends_by_the_answer(void **state)
{
    (void)state;
    static uint8_t in[20000], out[SIZE];
    struct script s;
    struct xfer_event ev;
    const struct form_region f[] = {{sizeof in, 0, CHI_WRITE | CHI_STREAM}, {SIZE, 0, CHI_EXPOSE}};
    for (int fails = 0; fails < 2; fails++) {
        struct chi_ar_region r[] = {{in, sizeof in, 0, CHI_WRITE | CHI_STREAM}, {out, SIZE, 0, CHI_EXPOSE}};
        struct xfer_out m = {.form = form, .regions = r, .nregions = 2};
        memset(out, 0, sizeof out);
        script_live(&s);
        m.form_length = script_form(form, f, 2, 8);
        m.deadline_ns = s.now + 100000 * MS;
        xfer_send(s.x, 2, &m, s.now);
        script_tx(&s); /* a window of it */
        data_begin(&s);
        data_segment(&s, 0, 1, 2, OUT, 500, bytes + 500, 500);
        data_segment(&s, 0, 1, 2, OUT, 0, bytes, 500);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        data_begin(&s);
        data_segment(&s, 0, 1, 1, OUT, 0, bytes, 10); /* not exposed */
        assert_int_equal(data_end(&s), CHI_DROP_REGION_UNKNOWN);
        script_no_event(&s);
        data_begin(&s);
        data_task_out(&s, &(struct wire_task_out){.generation = 1, .status = fails ? CHI_STATUS_MODULE : CHI_STATUS_OK,
                                                  .regions = fails ? 0 : 2 - 1, .used = {1000}}, "");
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        script_event(&s, XFER_DONE, &ev); /* although most of its inputs did not go */
        assert_int_equal(ev.status, fails ? CHI_STATUS_MODULE : CHI_STATUS_OK);
        assert_int_equal(r[1].used, fails ? 0 : 1000);
        assert_memory_equal(out, bytes, 1000);
        for (int i = 1000; i < SIZE; i++)
            assert_int_equal(out[i], 0);
        data_begin(&s);
        data_segment(&s, 0, 1, 2, OUT, 1000, bytes + 1000, 500); /* late */
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        assert_int_equal(out[1000], 0);
        script_no_event(&s);
        script_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push__goes_before_the_end_and_the_rest_with_the_answer),
        cmocka_unit_test(push__that_is_lost_goes_again),
        cmocka_unit_test(push__then_failure_sends_nothing_more_and_no_lengths),
        cmocka_unit_test(push__of_more_than_is_used_at_the_end_is_invalid),
        cmocka_unit_test(push__of_what_cannot_go_is_a_bug),
        cmocka_unit_test(origin__takes_what_is_pushed_and_ends_by_the_answer),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
