/* report.c - what chi-perf prints: for people, with the histogram drawn, or as one JSON object. */
#include <inttypes.h>
#include <stdio.h>

#include "perf.h"

static const char *const mode_name[] = {"latency", "rate", "bulk"};
static const char *const direction_name[] = {"ping", "write", "expose", "both"};

static double per_second(uint64_t n, uint64_t ns)
{
    return ns ? (double)n * 1e9 / (double)ns : 0;
}

/* "1.25 us" from nanoseconds. */
static const char *time_text(char *out, size_t cap, uint64_t ns)
{
    if (ns < 10000)
        snprintf(out, cap, "%" PRIu64 " ns", ns);
    else if (ns < 10000000)
        snprintf(out, cap, "%.1f us", (double)ns / 1e3);
    else
        snprintf(out, cap, "%.1f ms", (double)ns / 1e6);
    return out;
}

/* "4.21 M tasks/s", "12.5 MB/s": a blank before `what` stands between prefix and unit. */
static const char *scaled_text(char *out, size_t cap, double v, const char *what)
{
    static const char *const prefix[] = {"", "k", "M", "G", "T"};
    unsigned u = 0;
    while (v >= 1000 && u < 4)
        v /= 1000, u++;
    what += u == 0 && what[0] == ' ';
    snprintf(out, cap, "%.*f %s%s", v < 10 ? 2 : v < 100 ? 1 : 0, v, prefix[u], what);
    return out;
}

/* Rows of `steps` buckets from the first sample to the last; rows without a sample between far outliers are left out. */
static void histogram_draw(const struct hist *h, unsigned steps)
{
    uint64_t row[HIST_BUCKETS] = {0}, top = 0;
    unsigned first = HIST_BUCKETS, last = 0;
    for (unsigned b = 0; b < HIST_BUCKETS; b++) {
        unsigned r = b / steps;
        row[r] += h->bucket[b];
        if (h->bucket[b]) {
            first = r < first ? r : first;
            last = r;
        }
        top = row[r] > top ? row[r] : top;
    }
    bool gap = false;
    for (unsigned r = first; r <= last; r++) {
        char text[32];
        if (!row[r]) {
            gap = true;
            continue;
        }
        if (gap)
            printf("              :\n");
        gap = false;
        unsigned width = (unsigned)(row[r] * 60 / top);
        printf("  %11s |", time_text(text, sizeof text, hist_bucket_low(r * steps)));
        for (unsigned i = 0; i < width; i++)
            putchar('#');
        printf("%s %" PRIu64 "\n", width ? "" : ".", row[r]);
    }
}

static unsigned rows_at(const struct hist *h, unsigned steps)
{
    unsigned n = 0;
    for (unsigned b = 0; b < HIST_BUCKETS; b += steps) {
        bool any = false;
        for (unsigned i = b; i < b + steps; i++)
            any |= h->bucket[i] != 0;
        n += any;
    }
    return n;
}

void report_text(const struct options *o, const struct figures *f)
{
    char a[32], b[32], c[32], d[32];
    printf("%s %s, %" PRIu64 " B, from %s to ", mode_name[o->mode], direction_name[o->direction], o->size,
           o->from_daemon ? "daemon" : "client");
    chi_query_format(&o->query, a, sizeof a);
    if (o->node)
        printf("node %" PRIu32, o->node);
    else
        printf("%s", o->query.kind == CHI_QUERY_LOCAL ? "the local node" : a);
    printf(", window %" PRIu32 "%s\n\n", o->window, perf_stop ? " (stopped)" : "");
    if (f->hist.count) {
        static const unsigned steps[] = {2, 4, 8, 16, HIST_STEPS};
        unsigned i = 0;
        while (i < 4 && rows_at(&f->hist, steps[i]) > 30)
            i++;
        histogram_draw(&f->hist, steps[i]);
        printf("\n  p50 %s   p99 %s   p99.9 %s   max %s\n", time_text(a, sizeof a, hist_at(&f->hist, 500000)),
               time_text(b, sizeof b, hist_at(&f->hist, 990000)), time_text(c, sizeof c, hist_at(&f->hist, 999000)),
               time_text(d, sizeof d, f->hist.max));
    }
    printf("  %" PRIu64 " tasks in %.3f s: %s", f->done, (double)f->elapsed_ns / 1e9,
           scaled_text(a, sizeof a, per_second(f->done, f->elapsed_ns), " tasks/s"));
    if (f->bytes)
        printf(", %s", scaled_text(b, sizeof b, per_second(f->bytes, f->elapsed_ns), "B/s"));
    printf("\n  %" PRIu64 " errors", f->errors);
    if (f->errors)
        printf(" (first: %s, %s)", chi_status_name(f->first_error), chi_status_text(f->first_error));
    if (o->mode == MODE_BULK)
        printf(", contents verified: %" PRIu64 " wrong", f->wrong);
    putchar('\n');
}

void report_json(const struct options *o, const struct figures *f)
{
    const struct hist *h = &f->hist;
    char query[64];
    chi_query_format(&o->query, query, sizeof query);
    printf("{\"measurement\": \"%s\", \"from\": \"%s\", \"node\": %" PRIu32 ", \"query\": \"%s\", \"direction\": \"%s\", \"size\": %" PRIu64
           ", \"window\": %" PRIu32 ", \"stopped\": %s, ",
           mode_name[o->mode], o->from_daemon ? "daemon" : "client", o->node, query, direction_name[o->direction], o->size, o->window,
           perf_stop ? "true" : "false");
    printf("\"done\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"first_error\": \"%s\", \"verified\": %s, \"wrong\": %" PRIu64 ", ",
           f->done, f->errors, chi_status_name(f->first_error), o->mode == MODE_BULK ? "true" : "false", f->wrong);
    printf("\"seconds\": %.6f, \"tasks_per_second\": %.1f, \"bytes_per_second\": %.0f, ", (double)f->elapsed_ns / 1e9,
           per_second(f->done, f->elapsed_ns), per_second(f->bytes, f->elapsed_ns));
    printf("\"min_ns\": %" PRIu64 ", \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64 ", \"p999_ns\": %" PRIu64 ", \"max_ns\": %" PRIu64
           ", \"mean_ns\": %" PRIu64 "}\n",
           h->count ? h->min : 0, hist_at(h, 500000), hist_at(h, 990000), hist_at(h, 999000), h->max, h->count ? h->sum / h->count : 0);
}
