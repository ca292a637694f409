/* client_run.c - issues echo tasks from this process, a window of them at once.
 *
 * Tasks that are out stand in a list in the order of their submission: they mostly end in that order, so looking for the n
 * that ended looks at little more than n. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "chimods/echo/echo.h"
#include "chimods/perf/perf.h"
#include "perf.h"

enum { STOP_GRACE_NS = 1000000000, SLICE_NS = 50000000, NONE = UINT16_MAX };

struct job {
    union {
        struct chi_task task;
        struct echo_ping ping;
        struct echo_io io;
    };
    uint64_t start_ns, sum; /* sum: of the bytes of `in` */
    uint16_t prev, next;
};

struct run {
    const struct options *o;
    struct chi_client *client;
    struct figures *f;
    struct job *jobs;
    uint16_t head, tail, idle; /* list of what is out, by index; chain of the others */
    uint32_t out;
    uint64_t submitted;
    uint8_t *pattern; /* byte i is i & 255 */
    bool give_up;
};

static bool wants(const struct options *o, enum perf_direction d)
{
    return o->direction == (uint32_t)d || o->direction == PERF_BOTH;
}

static bool stopping(const struct run *r)
{
    return perf_stop || r->give_up;
}

uint64_t client_run_bytes(const struct options *o)
{
    uint64_t block = 256;
    if (o->from_daemon || !o->size)
        return 4 << 20;
    while (block < o->size)
        block *= 2;
    return block * o->window * (o->direction == PERF_BOTH ? 2 : 1) + (uint64_t)o->window * 4096 + (4 << 20);
}

/* Fills the region that travels, and remembers the sum of its bytes. */
static bool job_regions(struct run *r, struct job *j, struct prng *g)
{
    uint64_t size = r->o->size;
    if (wants(r->o, PERF_WRITE)) {
        uint8_t *p = chi_bulk_alloc(r->client, size);
        if (!p)
            return false;
        for (uint64_t i = 0; i < size; i++) {
            p[i] = (uint8_t)prng_next(g);
            j->sum += p[i];
        }
        j->io.in.ptr = p;
        j->io.in.size = size;
    }
    if (wants(r->o, PERF_EXPOSE)) {
        j->io.out.ptr = chi_bulk_alloc(r->client, size);
        j->io.out.size = size;
        if (!j->io.out.ptr)
            return false;
    }
    return true;
}

static int run_prepare(struct run *r)
{
    const struct options *o = r->o;
    struct prng g;
    prng_init(&g, measure_now_ns());
    r->jobs = calloc(o->window, sizeof *r->jobs);
    r->pattern = malloc(o->size + 256);
    if (!r->jobs || !r->pattern) {
        fprintf(stderr, "chi-perf: no memory for %" PRIu64 " bytes\n", o->size);
        return EXIT_ERRORS;
    }
    for (uint64_t i = 0; i < o->size + 256; i++)
        r->pattern[i] = (uint8_t)i;
    r->head = r->tail = r->idle = NONE;
    for (uint32_t i = o->window; i-- > 0;) {
        struct job *j = &r->jobs[i];
        j->task.pool = o->pool;
        j->task.query = o->query;
        j->task.timeout_us = o->timeout_us;
        j->task.method = o->size ? &echo_io_method : &echo_ping_method;
        if (o->size && !job_regions(r, j, &g)) {
            fprintf(stderr, "chi-perf: the segment has no room for %" PRIu32 " tasks of %" PRIu64 " bytes: a smaller --window or --size\n",
                    o->window, o->size);
            return EXIT_ERRORS;
        }
        j->next = r->idle;
        r->idle = (uint16_t)i;
    }
    return EXIT_FINE;
}

/* Makes the task differ from the last one: what is left over from it can then not pass for its own. */
static void job_renew(struct run *r, struct job *j)
{
    uint64_t n = r->submitted;
    if (!r->o->size) {
        j->ping.value = n;
        return;
    }
    j->io.seed = n * 7 + 1;
    if (r->o->mode != MODE_BULK || !j->io.in.size)
        return;
    uint8_t *p = j->io.in.ptr;
    for (unsigned i = 0; i < 8; i++) {
        uint8_t *b = &p[(n * 4099 + i * 521) % j->io.in.size];
        j->sum -= *b;
        *b = (uint8_t)(*b + 1 + (n & 63));
        j->sum += *b;
    }
}

/* Submits one idle job.  False when the daemon has no room now; any other refusal ends the run. */
static bool job_submit(struct run *r, uint64_t now)
{
    uint16_t i = r->idle;
    struct job *j = &r->jobs[i];
    job_renew(r, j);
    j->start_ns = now;
    enum chi_status s = chi_submit(r->client, &j->task);
    if (CHI_UNLIKELY(s != CHI_STATUS_PENDING)) {
        if (s == CHI_STATUS_BUSY && r->out)
            return false;
        r->f->first_error = r->f->errors++ ? r->f->first_error : (uint32_t)s;
        r->f->done++;
        r->give_up = true;
        return false;
    }
    r->idle = j->next;
    j->prev = r->tail;
    j->next = NONE;
    if (r->tail == NONE)
        r->head = i;
    else
        r->jobs[r->tail].next = i;
    r->tail = i;
    r->out++;
    r->submitted++;
    return true;
}

static bool job_right(const struct run *r, const struct job *j)
{
    if (!r->o->size)
        return true;
    if (j->io.in.size && j->io.sum != j->sum)
        return false;
    return !j->io.out.size ||
           (j->io.out.used == j->io.out.size && !memcmp(j->io.out.ptr, r->pattern + (j->io.seed & 255), j->io.out.size));
}

/* A task ended: counts it, and puts its job to the idle ones. */
static void job_end(struct run *r, struct job *j, uint64_t now)
{
    struct figures *f = r->f;
    f->done++;
    if (CHI_UNLIKELY(j->task.status != CHI_STATUS_OK)) {
        f->first_error = f->errors++ ? f->first_error : j->task.status;
        if (j->task.status == CHI_STATUS_DISCONNECTED)
            r->give_up = true;
    } else {
        hist_add(&f->hist, now - j->start_ns);
        f->bytes += r->o->size ? j->io.in.size + j->io.out.size : 0;
        if (r->o->mode == MODE_BULK && !job_right(r, j))
            f->wrong++;
    }
    if (j->prev == NONE)
        r->head = j->next;
    else
        r->jobs[j->prev].next = j->next;
    if (j->next == NONE)
        r->tail = j->prev;
    else
        r->jobs[j->next].prev = j->prev;
    j->next = r->idle;
    r->idle = (uint16_t)(j - r->jobs);
    r->out--;
}

/* Takes in what ended: the first n of the list that did. */
static void jobs_collect(struct run *r, unsigned n, uint64_t now)
{
    for (uint16_t i = r->head; i != NONE && n;) {
        struct job *j = &r->jobs[i];
        i = j->next;
        if (j->task.status != CHI_STATUS_PENDING) {
            job_end(r, j, now);
            n--;
        }
    }
}

/* Takes in what ended, if anything did; returns the time of that, for what is submitted next. */
static uint64_t jobs_wait(struct run *r)
{
    unsigned n = chi_poll(r->client);
    if (!n && !r->o->spin) {
        chi_wait(r->client, &r->jobs[r->head].task, SLICE_NS);
        n = r->out; /* it took in others too */
    }
    if (!n)
        return 0;
    uint64_t now = measure_now_ns();
    jobs_collect(r, n, now);
    return now;
}

/* One task at a time: the time between submission and end, and nothing else in it. */
static void run_single(struct run *r)
{
    struct job *j = &r->jobs[0];
    while (r->submitted < r->o->count && !stopping(r)) {
        if (!job_submit(r, measure_now_ns()))
            continue;
        if (r->o->spin) {
            while (j->task.status == CHI_STATUS_PENDING && !stopping(r))
                chi_poll(r->client);
        } else {
            while (chi_wait(r->client, &j->task, SLICE_NS) == CHI_STATUS_TIMED_OUT && !stopping(r))
                ;
        }
        if (j->task.status != CHI_STATUS_PENDING)
            job_end(r, j, measure_now_ns());
    }
}

static void run_window(struct run *r)
{
    uint64_t now = measure_now_ns();
    while (r->submitted < r->o->count && !stopping(r)) {
        if (!now && r->idle != NONE)
            now = measure_now_ns(); /* refused before */
        while (r->idle != NONE && r->submitted < r->o->count && job_submit(r, now))
            ;
        if (r->out)
            now = jobs_wait(r);
    }
    while (r->out && !stopping(r))
        jobs_wait(r);
}

int client_run(const struct options *o, struct chi_client *c, struct figures *f)
{
    struct run r = {.o = o, .client = c, .f = f};
    int result = run_prepare(&r);
    if (result == EXIT_FINE) {
        uint64_t start = measure_now_ns();
        if (o->window == 1)
            run_single(&r);
        else
            run_window(&r);
        uint64_t end = measure_now_ns();
        f->elapsed_ns = end - start;
        while (r.out && measure_now_ns() - end < STOP_GRACE_NS)
            jobs_wait(&r);
        if (f->first_error == CHI_STATUS_DISCONNECTED) {
            fprintf(stderr, "chi-perf: the daemon is gone\n");
            result = EXIT_NO_DAEMON;
        } else if (f->errors == 1 && !f->hist.count && r.give_up) {
            fprintf(stderr, "chi-perf: cannot submit: %s\n", chi_status_text(f->first_error));
            result = EXIT_ERRORS;
        }
    }
    free(r.jobs);
    free(r.pattern);
    return result;
}
