#define _GNU_SOURCE
#include "top.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "render.h"

enum { SCREEN_BESIDE = 5 /* lines that are no rows */, ROWS_MAX = 4096 };

static volatile sig_atomic_t ended;
static void on_end(int signal_number)
{
    (void)signal_number;
    ended = 1;
}

static double number(const json_t *o, const char *key) { return (double)json_integer_value(json_object_get(o, key)); }
/* What came to a counter; 0 when it began anew. */
static double gained(const json_t *now, const json_t *before, const char *key)
{
    double d = number(now, key) - number(before, key);
    return d > 0 ? d : 0;
}
static json_t *whole(double v) { return json_integer(v > 0 ? (json_int_t)(v + 0.5) : 0); }
static json_t *percent(double part, double of) { return of > 0 ? json_real((double)(int)(1000 * (part < of ? part : of) / of + 0.5) / 10) : json_null(); }

/* The entry of a list that is the same in all of these members; NULL: there is none. */
static const json_t *same_in(const json_t *list, const json_t *as, const char *const keys[])
{
    size_t i;
    json_t *o;
    json_array_foreach((json_t *)(uintptr_t)list, i, o)
    {
        int k = 0;
        while (keys[k] && json_equal(json_object_get(o, keys[k]), json_object_get(as, keys[k])))
            k++;
        if (!keys[k])
            return o;
    }
    return NULL;
}

static json_t *workers_of(const json_t *now, const json_t *before, double ns)
{
    static const char *const id[] = {"worker", NULL};
    json_t *rows = json_array(), *w;
    size_t i;
    json_array_foreach(json_object_get(now, "workers"), i, w)
    {
        const json_t *old = same_in(json_object_get(before, "workers"), w, id);
        json_array_append_new(
            rows, json_pack("{s:O, s:O, s:o, s:o, s:o, s:O, s:O, s:O, s:O, s:O}", "worker", json_object_get(w, "worker"), "core",
                            json_object_get(w, "core"), "busy %", percent(gained(w, old, "busy_ns"), ns), "turns/s",
                            whole(gained(w, old, "turns") * 1e9 / ns), "tasks/s", whole(gained(w, old, "tasks_run") * 1e9 / ns), "lanes",
                            json_object_get(w, "lanes"), "queued", json_object_get(w, "queued"), "queued_ns", json_object_get(w, "queued_ns"), "open",
                            json_object_get(w, "open"), "stacks", json_object_get(w, "stacks")));
    }
    return rows;
}

struct row {
    const char *module, *pool, *method;
    double tasks, run_ns, bytes;
};

static int by_time(const void *a, const void *b)
{
    double x = ((const struct row *)a)->run_ns, y = ((const struct row *)b)->run_ns;
    return x < y ? 1 : x > y ? -1 : strcmp(((const struct row *)a)->method, ((const struct row *)b)->method);
}

static struct row *row_of(struct row *rows, unsigned *n, const json_t *m)
{
    struct row r = {.module = json_string_value(json_object_get(m, "module")), .pool = json_string_value(json_object_get(m, "pool")),
                    .method = json_string_value(json_object_get(m, "method"))};
    if (!r.module || !r.pool || !r.method)
        return NULL;
    for (unsigned i = 0; i < *n; i++)
        if (strcmp(rows[i].pool, r.pool) == 0 && strcmp(rows[i].method, r.method) == 0)
            return &rows[i];
    if (*n == ROWS_MAX)
        return NULL;
    rows[*n] = r;
    return &rows[(*n)++];
}

/* Of each method all classes of size together, the one that took most time first; at most `most` of them. */
static json_t *methods_of(const json_t *now, const json_t *before, double ns, unsigned most)
{
    static const char *const id[] = {"pool", "method", "class", NULL};
    static struct row rows[ROWS_MAX];
    json_t *list = json_array(), *m;
    double all_ns = 0;
    unsigned n = 0;
    size_t i;
    json_array_foreach(json_object_get(now, "methods"), i, m)
    {
        const json_t *old = same_in(json_object_get(before, "methods"), m, id);
        struct row *r = gained(m, old, "tasks") > 0 ? row_of(rows, &n, m) : NULL;
        if (!r)
            continue;
        r->tasks += gained(m, old, "tasks");
        r->run_ns += gained(m, old, "run_ns");
        r->bytes += gained(m, old, "bytes");
        all_ns += gained(m, old, "run_ns");
    }
    qsort(rows, n, sizeof rows[0], by_time);
    for (unsigned k = 0; k < n && k < most; k++)
        json_array_append_new(list, json_pack("{s:o, s:s, s:o, s:o, s:o, s:o}", "method", json_sprintf("%s.%s", rows[k].module, rows[k].method), "pool",
                                              rows[k].pool, "share %", percent(rows[k].run_ns, all_ns), "tasks/s", whole(rows[k].tasks * 1e9 / ns),
                                              "mean_ns", whole(rows[k].run_ns / rows[k].tasks), "bytes_per_s", whole(rows[k].bytes * 1e9 / ns)));
    return list;
}

static void show(const json_t *now, const json_t *before, bool clear)
{
    struct winsize size = {0};
    bool tty = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    double ns = gained(now, before, "now_ns");
    json_t *workers = workers_of(now, before, ns);
    unsigned beside = (unsigned)json_array_size(workers) + SCREEN_BESIDE;
    json_t *methods = methods_of(now, before, ns, tty && clear && size.ws_row > beside ? size.ws_row - beside : ROWS_MAX);
    if (clear)
        fputs("\033[H\033[2J", stdout);
    render(stdout, workers, tty ? size.ws_col : 0);
    fputc('\n', stdout);
    render(stdout, methods, tty ? size.ws_col : 0);
    fflush(stdout);
    json_decref(workers);
    json_decref(methods);
}

/* Until the time is over, or a signal came, which is let in here alone. */
static void pause_for(double seconds)
{
    sigset_t none;
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    sigemptyset(&none);
    (void)ppoll(NULL, 0, &t, &none);
}

enum call_result top(const struct call_to *to, const char *method, unsigned timeout_ms, double interval_s, bool once, char *err, size_t cap)
{
    const struct sigaction act = {.sa_handler = on_end};
    bool again = !once && isatty(STDOUT_FILENO);
    json_t *before = NULL, *now = NULL;
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    enum call_result r = call_method(to, method, NULL, timeout_ms, &before, err, cap);
    while (!r) {
        pause_for(interval_s);
        if (ended)
            break;
        r = call_method(to, method, NULL, timeout_ms, &now, err, cap);
        if (r)
            break;
        show(now, before, again);
        json_decref(before);
        before = now;
        if (!again)
            break;
    }
    json_decref(before);
    return r;
}
