/* daemon_run.c - has the perf container of the local daemon issue the tasks.  In portions of about half a second, so that a
 * signal ends the run with what was measured so far. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "chimods/perf/perf.h"
#include "perf.h"

enum { PORTION_FIRST = 256, PORTION_NS = 500000000 };
static const struct chi_pool_id perf_pool = {101, 0};

static void portion_prepare(struct perf_run *t, const struct options *o, uint64_t count)
{
    memset(t, 0, sizeof *t);
    t->task.pool = perf_pool;
    t->task.query = chi_local();
    t->task.method = &perf_run_method;
    t->task.timeout_us = UINT32_MAX; /* each of its tasks has its own */
    t->echo = o->pool;
    t->to = o->query;
    t->window = (uint32_t)(o->window < count ? o->window : count);
    t->direction = o->direction;
    t->verify = o->mode == MODE_BULK;
    t->task_timeout_us = o->timeout_us;
    t->count = count;
    t->size = o->size;
}

static void portion_add(struct figures *f, const struct perf_run *t, const struct options *o)
{
    struct hist h;
    CHI_STATIC_ASSERT(sizeof h == sizeof t->hist, "a histogram travels as an array of u64");
    memcpy(&h, t->hist, sizeof h);
    if (!f->errors)
        f->first_error = (uint32_t)t->first_error;
    f->done += t->done;
    f->errors += t->errors;
    f->wrong += t->wrong;
    f->elapsed_ns += t->elapsed_ns;
    f->bytes += (t->done - t->errors) * o->size * (o->direction == PERF_BOTH ? 2 : 1);
    hist_merge(&f->hist, &h);
}

int daemon_run(const struct options *o, struct chi_client *c, struct figures *f)
{
    static struct perf_run t;
    uint64_t left = o->count, portion = PORTION_FIRST > o->window ? PORTION_FIRST : o->window;
    while (left && !perf_stop) {
        if (portion > left)
            portion = left;
        portion_prepare(&t, o, portion);
        enum chi_status s = chi_submit(c, &t.task);
        if (s == CHI_STATUS_PENDING)
            s = chi_wait(c, &t.task, -1);
        if (s != CHI_STATUS_OK) {
            fprintf(stderr, "chi-perf: the daemon's pool %" PRIu32 ".%" PRIu32 " (ChiMod perf) ended the run with %s: %s\n",
                    perf_pool.major, perf_pool.minor, chi_status_name(s), chi_status_text(s));
            return s == CHI_STATUS_DISCONNECTED ? EXIT_NO_DAEMON : EXIT_ERRORS;
        }
        if (!t.done) {
            fprintf(stderr, "chi-perf: the perf container issued no task\n");
            return EXIT_ERRORS;
        }
        portion_add(f, &t, o);
        left -= t.done < left ? t.done : left;
        if (t.elapsed_ns < PORTION_NS / 2)
            portion *= 2;
        else if (t.elapsed_ns > PORTION_NS * 2ull && portion > 2 * (uint64_t)o->window)
            portion /= 2;
    }
    return EXIT_FINE;
}
