/* xfer_streaming.h - a task with a region that streams, for the tests of what comes and goes while it runs. */
#pragma once
#include "xfer_script.h"

enum { OUT = WIRE_SEGMENT_OUT, SIZE = 3000 };
static uint8_t form[FORM_PREFIX_MAX + 4096], bytes[SIZE];

SCRIPT int setup(void **state)
{
    (void)state;
    for (int i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    return 0;
}

SCRIPT void say_task(struct script *s, const struct form_region *r, uint8_t regions)
{
    uint32_t n = script_form(form, r, regions, 20);
    data_begin(s);
    data_task_in(s, 0, 1, form, n, n);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
}

SCRIPT void say_piece(struct script *s, uint8_t region, uint32_t offset, uint32_t length)
{
    data_begin(s);
    data_segment(s, 0, 1, region, 0, offset, bytes + offset, length);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
}

SCRIPT void expect_more(struct script *s, const struct xfer_in *in, uint32_t region, uint64_t ready)
{
    struct xfer_event ev;
    script_event(s, XFER_MORE, &ev);
    assert_ptr_equal(ev.in, in);
    assert_int_equal(xfer_ready(in, region), ready);
    assert_memory_equal(in->regions[region].ptr, bytes, ready);
    script_no_event(s);
}

/* A live session with a task that began before any byte of its region (region flags: those) was there. */
SCRIPT struct xfer_in *begin(struct script *s, uint32_t flags)
{
    const struct form_region r[] = {{1000, 0, flags}, {SIZE, 0, CHI_EXPOSE}};
    struct xfer_event ev;
    script_live(s);
    say_task(s, r, 2);
    script_event(s, XFER_TASK, &ev);
    script_no_event(s);
    assert_int_equal(xfer_ready(ev.in, 0), 0);
    assert_int_equal(xfer_ready(ev.in, 1), SIZE); /* nothing of it is to come */
    memset(ev.in->regions[1].ptr, 0xcd, SIZE);
    return ev.in;
}

/* What the endpoint sent since the last look, all acknowledged. */
struct sent {
    unsigned heads, segments;
    uint64_t bytes[3]; /* by region */
    struct wire_task_out head;
};
SCRIPT struct sent look(struct script *s, bool acknowledge)
{
    struct sent n = {0};
    const uint8_t *p;
    struct wire_header h;
    struct wire_frame f;
    script_tx(s);
    while (script_take(s, &p, &h)) {
        struct wire_cursor c = {.p = p, .at = WIRE_HEADER_BYTES, .end = h.length};
        bool tracked = false;
        while (script_frame(&c, &f) != WIRE_FRAME_END) {
            tracked |= f.type != WIRE_FRAME_ACK;
            if (f.type == WIRE_FRAME_TASK_OUT) {
                n.heads++;
                n.head = f.task_out;
            } else if (f.type == WIRE_FRAME_SEGMENT) {
                assert_int_equal(f.segment.flags, OUT);
                assert_int_equal(f.segment.generation, 1);
                n.segments++;
                n.bytes[f.segment.region] += f.segment.length;
            }
        }
        if (tracked && acknowledge) {
            data_begin(s);
            data_ack(s, h.number, h.number);
            assert_int_equal(data_end(s), CHI_DROP_NONE);
            script_tx(s);
        }
    }
    return n;
}

SCRIPT void is_over(struct script *s, const struct xfer_in *in)
{
    struct xfer_event ev;
    script_event(s, XFER_ANSWERED, &ev);
    assert_ptr_equal(ev.in, in);
    script_no_event(s);
    xfer_tick(s->x, s->now);
    assert_int_equal(s->memory_out, 0);
}
