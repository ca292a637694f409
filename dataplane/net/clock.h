/* clock.h - monotonic time by the time-stamp counter.  net_now_ns() is in net.h. */
#pragma once

/* Measures the counter against CLOCK_MONOTONIC (20 ms) where it is constant.  Control thread, before net_now_ns is used
 * by others; without it net_now_ns asks the kernel. */
void clock_calibrate(void);
