/* bench_memcpy - the rate at which one core copies between two buffers of 64 MiB, larger than any cache it has to
 * itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BUFFER_BYTES = 64 << 20 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    int core = 0;
    double seconds = 1;
    bool json = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json"))
            json = true;
        else if (i + 1 < argc && !strcmp(argv[i], "--cores") && sscanf(argv[i + 1], "%d", &core) == 1)
            i++;
        else if (i + 1 < argc && !strcmp(argv[i], "--seconds") && sscanf(argv[i + 1], "%lf", &seconds) == 1)
            i++;
        else {
            fprintf(stderr, "usage: %s [--json] [--cores A] [--seconds S]\n", argv[0]);
            return 2;
        }
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        fprintf(stderr, "core %d cannot be had: %s\n", core, strerror(errno));

    char *a = aligned_alloc(4096, BUFFER_BYTES), *b = aligned_alloc(4096, BUFFER_BYTES);
    if (!a || !b) {
        fprintf(stderr, "bench_memcpy: no memory\n");
        return 1;
    }
    memset(a, 1, BUFFER_BYTES);
    memset(b, 2, BUFFER_BYTES);
    double from = now_s(), to;
    uint64_t copies = 0;
    do {
        memcpy(copies & 1 ? a : b, copies & 1 ? b : a, BUFFER_BYTES);
        __asm__ volatile("" ::: "memory");
        copies++;
        to = now_s();
    } while (to - from < seconds);
    double rate = (double)copies * BUFFER_BYTES / (to - from);
    if (json)
        printf("{\"name\": \"memcpy\", \"core\": %d, \"buffer_bytes\": %d, \"copies\": %llu, \"bytes_per_s\": %.0f}\n",
               core, BUFFER_BYTES, (unsigned long long)copies, rate);
    else
        printf("memcpy: %.2f GB/s between two buffers of 64 MiB on core %d\n", rate / 1e9, core);
    free(a);
    free(b);
    return 0;
}
