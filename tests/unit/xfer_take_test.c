/* A consumer that takes tasks within xfer_rx (xfer_take_tasks). */
#include "xfer_script.h"

static uint8_t form[FORM_PREFIX_MAX + 64];

static struct taken {
    struct script *s;
    struct xfer_in *in;
    unsigned count;
} taken;
static void take(void *ctx, struct xfer_in *in, const uint8_t *bytes, uint32_t length)
{
    assert_ptr_equal(ctx, taken.s);
    assert_memory_equal(bytes, form, length);
    taken.in = in;
    if (taken.count++ == 0)
        xfer_answer_last(taken.s->x, in, CHI_STATUS_MODULE, 0, taken.s->now);
}

/* A consumer that takes tasks at once hears of each once, and may answer at once; of the others events tell as ever. */
static void task__that_is_taken_needs_no_event(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    const struct form_region r[] = {{4, 0, CHI_WRITE}};
    script_live(&s);
    taken = (struct taken){.s = &s};
    xfer_take_tasks(s.x, take);
    uint32_t n = script_form(form, NULL, 0, 20);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    data_task_in(&s, 0, 1, form, n, n); /* the same again */
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    assert_int_equal(taken.count, 1);
    n = script_form(form, r, 1, 20);
    data_begin(&s);
    data_task_in(&s, 1, 1, form, n, n);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    assert_int_equal(taken.count, 1); /* its region is not here */
    data_begin(&s);
    data_segment(&s, 1, 1, 1, 0, 0, "data", 4);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    assert_int_equal(taken.count, 2);
    script_no_event(&s);
    data_begin(&s);
    s.at += wire_put_cancel(s.packet + s.at, &(struct wire_cancel){.slot = 1, .generation = 1});
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_CANCELLED, &ev);
    assert_ptr_equal(ev.in, taken.in);
    xfer_answer_last(s.x, ev.in, CHI_STATUS_MODULE, 0, s.now);
    script_no_event(&s);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task__that_is_taken_needs_no_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
