#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

#include "net/clock.h"
#include "net/net.h"

enum { CALIBRATE_NS = 20000000, NS_PER_S = 1000000000 };

/* Written by clock_calibrate alone, before other threads read. */
static struct {
    bool counter;
    uint64_t base_ticks, base_ns, mult; /* ns = base_ns + (ticks * mult >> 32) */
} tsc;

static uint64_t kernel_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

#if defined(__x86_64__)
/* The counter runs at one rate in all states of the processor, and the kernel trusts it too. */
static bool counter_constant(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(0x80000007, &a, &b, &c, &d) || !(d & 1u << 8))
        return false;
    char source[32] = "";
    FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
    if (f) {
        if (!fgets(source, sizeof source, f))
            source[0] = 0;
        fclose(f);
    }
    return strncmp(source, "tsc", 3) == 0 || strncmp(source, "kvm-clock", 9) == 0;
}

/* A pair of both clocks: the tightest of some tries. */
static void clocks_read(uint64_t *ticks, uint64_t *ns)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 16; i++) {
        uint64_t before = __rdtsc(), k = kernel_ns(), after = __rdtsc();
        if (after - before < best) {
            best = after - before;
            *ticks = before + best / 2;
            *ns = k;
        }
    }
}

void clock_calibrate(void)
{
    if (tsc.counter || !counter_constant())
        return;
    uint64_t t0 = 0, n0 = 0, t1 = 0, n1 = 0;
    clocks_read(&t0, &n0);
    do
        clocks_read(&t1, &n1);
    while (n1 - n0 < CALIBRATE_NS);
    tsc.mult = (uint64_t)(((unsigned __int128)(n1 - n0) << 32) / (t1 - t0));
    tsc.base_ticks = t1;
    tsc.base_ns = n1;
    tsc.counter = true;
}

uint64_t net_now_ns(void)
{
    if (CHI_UNLIKELY(!tsc.counter))
        return kernel_ns();
    uint64_t ticks = __rdtsc();
    if (CHI_UNLIKELY(ticks < tsc.base_ticks)) /* another core's counter a little behind */
        return tsc.base_ns;
    return tsc.base_ns + (uint64_t)(((unsigned __int128)(ticks - tsc.base_ticks) * tsc.mult) >> 32);
}
#else
void clock_calibrate(void) {}

uint64_t net_now_ns(void)
{
    return kernel_ns();
}
#endif
