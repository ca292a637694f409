/* impair_support.h - a link for the tests of impair/, and packets that are numbers. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "impair/impair.h"

enum { HELD = 64, LENGTH = 100 };
static struct impair_slot slots[IMPAIR_LINES * HELD];
static struct impair link;
static uint8_t packet[2048];

static inline void link_make(uint64_t seed, const struct impair_settings *s)
{
    impair_init(&link, seed, slots, HELD);
    impair_set(&link, s);
}

static inline struct impair_settings perfect(void)
{
    return impair_none;
}

/* What came in is what went out, was taken away, or is still there. */
static inline void nothing_is_missing(uint64_t out)
{
    const struct impair_stats *s = &link.stats;
    uint64_t held = link.line[IMPAIR_IN_ORDER].count + link.line[IMPAIR_HELD_BACK].count;
    assert_int_equal(s->received + s->duplicated, out + held + s->lost + s->queue_drops + s->cut + s->over_mtu);
}
