/* measure.c - the clock, and pinning.  The time-stamp counter costs a third of a clock_gettime, which shows at 300 ns. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "perf.h"

static uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#if defined(__x86_64__)
static double ns_per_tick; /* 0: the counter is not to be trusted */
static uint64_t tick_base;

static bool counter_constant(void)
{
    char line[4096];
    bool found = false;
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && !found && fgets(line, sizeof line, f))
        found = !strncmp(line, "flags", 5) && strstr(line, " constant_tsc");
    if (f)
        fclose(f);
    return found;
}

void measure_clock_start(void)
{
    if (!counter_constant())
        return;
    uint64_t t0 = clock_ns(), c0 = __builtin_ia32_rdtsc(), t1;
    while ((t1 = clock_ns()) - t0 < 20000000)
        ;
    ns_per_tick = (double)(t1 - t0) / (double)(__builtin_ia32_rdtsc() - c0);
    tick_base = c0;
}

uint64_t measure_now_ns(void)
{
    if (ns_per_tick == 0)
        return clock_ns();
    return (uint64_t)((double)(__builtin_ia32_rdtsc() - tick_base) * ns_per_tick);
}
#else
void measure_clock_start(void)
{
}
uint64_t measure_now_ns(void)
{
    return clock_ns();
}
#endif

int measure_pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) ? -errno : 0;
}
