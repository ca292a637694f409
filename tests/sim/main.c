/* main.c - sim [--seeds N] [--from S] [--options TEXT] [--twice] [--shrink] [--progress] [--verbose], or sim --replay FILE...
 * Exit 0: all held, and a digest of all that happened is printed; 1: a check failed, and its options are printed; 2: usage.
 *
 * --options: "seed=5 nodes=2": with a seed the rest is simple (options.h), as a shrunk run is printed; without one the rest is
 * drawn from each seed.  --shrink: reduces what failed.  --replay: files of such options, one run a line; # begins a comment. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

enum { BACK_S = 250 }; /* a run that has not come back by then never does */

static struct {
    uint64_t seeds, from;
    const char *options;
    bool twice, shrink, progress, verbose, replay;
} wanted = {.seeds = 1, .from = 1};

static struct { /* so far */
    uint64_t runs, digest, virtual_ns, tasks, audits, healing_ns;
    struct timespec start;
} total;

static struct options now_running;

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

/* The run ends in the middle: which one it was. */
static void died(void)
{
    char text[SIM_OPTIONS_TEXT];
    options_print(&now_running, text);
    fprintf(stderr, "seed %llu DIED; --options \"%s\"\n", (unsigned long long)now_running.seed, text);
}

static void on_signal(int signal)
{
    died();
    _exit(128 + signal);
}

static bool one(const struct options *o)
{
    struct outcome out, again;
    char text[SIM_OPTIONS_TEXT];
    now_running = *o;
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = BACK_S}, NULL); /* CPU time: a busy machine is no loop */
    if (wanted.verbose) {
        options_print(o, text);
        printf("seed %llu: %s\n", (unsigned long long)o->seed, text);
    }
    sim_run(o, wanted.verbose, &out);
    if (out.ok && wanted.twice) {
        sim_run(o, false, &again);
        if (!again.ok || again.digest != out.digest) {
            out.ok = false;
            snprintf(out.text, sizeof out.text, "two runs of it differ");
        }
    }
    if (!out.ok) {
        options_print(o, text);
        printf("seed %llu FAILED: %s\n  --options \"%s\"\n", (unsigned long long)o->seed, out.text, text);
        return false;
    }
    total.runs++;
    total.digest = (total.digest ^ out.digest) * 0x100000001b3u;
    total.virtual_ns += out.virtual_ns;
    total.tasks += out.tasks;
    total.audits += out.audits;
    if (out.healing_ns > total.healing_ns)
        total.healing_ns = out.healing_ns;
    return true;
}

static void shrunk(struct options *o)
{
    char text[SIM_OPTIONS_TEXT];
    struct outcome out;
    setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL);
    shrink(o, &out);
    options_print(o, text);
    printf("shrunk: %s\n  --options \"%s\"\n", out.ok ? "by itself it does not fail" : out.text, text);
}

static void print_total(const char *what, uint64_t from)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    double wall = (double)(end.tv_sec - total.start.tv_sec) + (double)(end.tv_nsec - total.start.tv_nsec) / 1e9;
    double is = (double)total.virtual_ns / 1e9;
    printf("%llu %s from %llu held; digest %016llx; %llu tasks, %llu audits, healed within %llu ms; %.0f s in %.1f s: %.0f times faster (%.1f s of CPU)\n",
           (unsigned long long)total.runs, what, (unsigned long long)from, (unsigned long long)total.digest,
           (unsigned long long)total.tasks, (unsigned long long)total.audits, (unsigned long long)(total.healing_ns / SIM_MS), is, wall, is / wall,
           (double)clock() / CLOCKS_PER_SEC);
}

static int run_seeds(void)
{
    const char *bad;
    struct options o;
    bool fixed = wanted.options && strstr(wanted.options, "seed=");
    if (fixed)
        wanted.seeds = 1;
    for (uint64_t seed = wanted.from; seed < wanted.from + wanted.seeds; seed++) {
        if (fixed)
            options_simple(&o, 0);
        else
            options_draw(&o, seed);
        if (wanted.options && !options_parse(&o, wanted.options, &bad)) {
            fprintf(stderr, "sim: not an option, or out of range: %s\n", bad);
            return 2;
        }
        if (!one(&o)) {
            if (wanted.shrink)
                shrunk(&o);
            return 1;
        }
        if (wanted.progress) {
            printf(".\n");
            fflush(stdout);
        }
    }
    print_total("seeds", fixed ? o.seed : wanted.from);
    return 0;
}

static int replay(const char *file)
{
    char line[SIM_OPTIONS_TEXT];
    const char *bad;
    FILE *f = fopen(file, "r");
    int result = f ? 0 : 2;
    if (!f)
        perror(file);
    while (f && result == 0 && fgets(line, sizeof line, f)) {
        struct options o;
        if (line[0] == '#' || line[0] == '\n')
            continue;
        options_simple(&o, 0);
        if (!options_parse(&o, line, &bad)) {
            fprintf(stderr, "%s: not an option, or out of range: %s\n", file, bad);
            result = 2;
        } else if (!one(&o)) {
            printf("  kept in %s\n", file);
            result = 1;
        }
    }
    if (f)
        fclose(f);
    return result;
}

static bool word(int argc, char **argv, int *i)
{
    const char *a = argv[*i];
    struct { const char *name; bool *to; } flags[] = {
        {"--twice", &wanted.twice}, {"--shrink", &wanted.shrink}, {"--progress", &wanted.progress}, {"--verbose", &wanted.verbose}};
    for (unsigned k = 0; k < sizeof flags / sizeof *flags; k++)
        if (!strcmp(a, flags[k].name))
            return *flags[k].to = true;
    if (*i + 1 == argc)
        return false;
    if (!strcmp(a, "--options")) {
        wanted.options = argv[++*i];
        return true;
    }
    char *end = NULL;
    uint64_t v = strtoull(argv[*i + 1], &end, 0);
    if (*end || end == argv[*i + 1] || (strcmp(a, "--seeds") && strcmp(a, "--from")))
        return false;
    *(a[2] == 's' ? &wanted.seeds : &wanted.from) = v;
    ++*i;
    return true;
}

int main(int argc, char **argv)
{
    clock_gettime(CLOCK_MONOTONIC, &total.start);
    mallopt(M_MMAP_THRESHOLD, INT32_MAX); /* memory is used again, run after run: page faults took a fifth of the time */
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(died);
    } else {
        signal(SIGSEGV, on_signal);
        signal(SIGBUS, on_signal);
    }
    signal(SIGPROF, on_signal);
    if (argc > 2 && !strcmp(argv[1], "--replay")) {
        for (int i = 2; i < argc; i++) {
            int result = replay(argv[i]);
            if (result)
                return result;
        }
        print_total("kept runs", 1);
        return 0;
    }
    for (int i = 1; i < argc; i++)
        if (!word(argc, argv, &i)) {
            fprintf(stderr, "usage: sim [--seeds N] [--from S] [--options TEXT] [--twice] [--shrink] [--progress] [--verbose]\n"
                            "       sim --replay FILE...\n");
            return 2;
        }
    return run_seeds();
}
