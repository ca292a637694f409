/* load.c - clients of both daemons that keep tasks out, and judge each that ends. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "soak.h"

static const uint64_t REST_NS = 150000000, LOOK_NS = 100000000;

uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void say(const struct soak *s, const char *format, va_list list)
{
    char message[640];
    vsnprintf(message, sizeof message, format, list);
    print_message("soak: %7.1f s: %s\n", (double)(clock_ns() - s->began_ns) / 1e9, message);
}

void soak_say(const struct soak *s, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say(s, format, list);
    va_end(list);
}

static void print_call(const char *name, const char *socket, const char *method)
{
    json_t *answer = control_call(socket, method, NULL);
    char *text = json_dumps(answer, JSON_COMPACT);
    print_message("  %s %s: %s\n", name, method, text);
    free(text);
    json_decref(answer);
}

static void print_out(struct soak *s)
{
    char text[256];
    for (unsigned i = 0; i < s->clients; i++)
        for (unsigned k = 0; k < JOBS; k++) {
            struct job *j = &s->client[i].job[k];
            if (j->state != JOB_OUT)
                continue;
            job_describe(j, text, sizeof text);
            print_message("  out at node%u for %.1f s: %s\n", s->client[i].node + 1, (double)(clock_ns() - j->began_ns) / 1e9, text);
        }
}

void soak_fail(struct soak *s, const char *format, ...)
{
    static bool failing;
    va_list list;
    va_start(list, format);
    say(s, format, list);
    va_end(list);
    if (!failing) {
        failing = true;
        print_out(s);
        for (unsigned k = 0; k < NODES; k++) {
            int status;
            if (s->node[k].pid && waitpid(s->node[k].pid, &status, WNOHANG) == s->node[k].pid)
                print_message("  node%u ended by itself: status 0x%x\n", k + 1, (unsigned)status);
            else if (s->node[k].pid)
                kill(s->node[k].pid, SIGCONT);
            show_log(s->node[k].log);
        }
        show_log(s->wire.log);
        print_call("chi-wire", s->wire.control, "stats");
        for (unsigned k = 0; k < NODES; k++) {
            print_call(k ? "node2" : "node1", s->node[k].socket, "peer.list");
            print_call(k ? "node2" : "node1", s->node[k].socket, "worker.list");
            print_call(k ? "node2" : "node1", s->node[k].socket, "stats");
        }
    }
    fail_msg("seed %llu", (unsigned long long)s->o.seed);
    abort();
}

/* --- one client */

void client_open(struct soak *s, struct client *c)
{
    const struct chi_client_options o = {.bulk_bytes = s->o.region * 5 / 2 + (16 << 20)};
    uint64_t end = clock_ns() + s->o.hang_s * UINT64_C(1000000000);
    int rc;
    while ((rc = chi_connect(s->node[c->node].socket, &o, &c->chi)) == -ETIMEDOUT && clock_ns() < end)
        load_turn(s, true); /* its worker did not turn for 2 s: on a busy machine that is no hang yet */
    if (rc)
        soak_fail(s, "a client cannot connect to node%u: %s", c->node + 1, strerror(-rc));
    c->lost = false;
    c->may = 0;
}

void client_close(struct soak *s, struct client *c)
{
    char err[128];
    for (unsigned i = 0; i < JOBS; i++)
        if (c->job[i].state == JOB_RESTS && job_rest_is_wrong(&c->job[i], err, sizeof err))
            soak_fail(s, "a task of a client of node%u: %s", c->node + 1, err);
        else if (c->job[i].state == JOB_OUT)
            soak_fail(s, "a client of node%u ends with tasks out", c->node + 1);
        else
            c->job[i].state = JOB_FREE;
    chi_disconnect(c->chi);
    c->chi = NULL;
}

static uint32_t may_of(const struct client *c, const struct draw *d, const struct options *o)
{
    uint32_t may = MAY_OK | (d->remote ? c->may : 0);
    return d->timeout_us / 1000000 < o->hang_s ? may | MAY_DEADLINE | MAY_UNREACHABLE : may;
}

static void draw_next(struct soak *s, struct client *c)
{
    draw_job(&c->prng, &s->o, s->calm, &c->next);
    if (c->full) {
        c->next.kind = ONCE;
        c->next.remote = true;
        c->next.in = c->next.out = s->o.region;
        c->next.timeout_us = 2000000 * s->o.hang_s;
        c->full = false;
    }
    c->has_next = true;
}

static void submit(struct soak *s, struct client *c, struct job *j)
{
    j->allowed = may_of(c, &c->next, &s->o);
    j->began_ns = clock_ns();
    j->state = JOB_OUT;
    c->has_next = false;
    s->next_id++;
    if (s->next_id == PROBE_RUNS_BYTES / 2)
        soak_fail(s, "more tasks than there are ids");
    if (chi_submit(c->chi, &j->u.task) != CHI_STATUS_PENDING && (status_may(j->u.task.status) & j->allowed) == 0)
        soak_fail(s, "submission gave %s", chi_status_name((enum chi_status)j->u.task.status));
}

static bool client_fill(struct soak *s, struct client *c)
{
    bool did = false;
    for (unsigned i = 0; i < JOBS; i++) {
        if (c->job[i].state != JOB_FREE)
            continue;
        if (!c->has_next)
            draw_next(s, c);
        if (!job_make(&c->job[i], c->chi, &c->next, s->next_id, NODES - c->node))
            break; /* it comes when memory is free */
        submit(s, c, &c->job[i]);
        did = true;
    }
    return did;
}

static void judge_runs(struct soak *s, const struct job *j, const char *text)
{
    uint32_t status = j->u.task.status;
    uint8_t runs = s->runs[j->id];
    enum verdict v = status == CHI_STATUS_OK ? RUNS_ONCE : status == CHI_STATUS_UNREACHABLE ? RUNS_NEVER : RUNS_AT_MOST_ONCE;
    if (runs > 1 || runs > v || (v == RUNS_ONCE && runs != 1))
        soak_fail(s, "%s ran %u times%s", text, runs & ~PROBE_WRONG, runs & PROBE_WRONG ? ", with wrong bytes" : "");
    s->verdict[j->id] = (uint8_t)v;
}

static void judge(struct soak *s, struct client *c, struct job *j)
{
    char text[256], err[128];
    uint32_t status = j->u.task.status, bit = status_may(status);
    job_describe(j, text, sizeof text);
    if (!(bit & j->allowed) && !((bit & (MAY_DOWN | MAY_UNREACHABLE)) && hold_overran(s)))
        soak_fail(s, "%s of a client of node%u may not end so", text, c->node + 1);
    if (job_is_wrong(j, err, sizeof err))
        soak_fail(s, "%s of a client of node%u: %s", text, c->node + 1, err);
    if (j->draw.kind == ONCE)
        judge_runs(s, j, text);
    s->ended++;
    s->status[status % STATUSES]++;
    s->kinds[j->draw.kind]++;
    if (status != CHI_STATUS_OK) {
        j->state = JOB_RESTS;
        j->rests_ns = clock_ns() + REST_NS;
        return;
    }
    s->bytes += j->in.size + j->out.size;
    if (j->draw.remote && j->began_ns > c->calm_ns)
        c->may = 0;
    job_free(j, c->chi);
}

/* True when a task ended. */
static bool client_poll(struct soak *s, struct client *c)
{
    char err[128], text[256];
    bool did = false;
    chi_poll(c->chi);
    for (unsigned i = 0; i < JOBS; i++) {
        struct job *j = &c->job[i];
        if (j->state == JOB_OUT && j->u.task.status != CHI_STATUS_PENDING) {
            judge(s, c, j);
            did = true;
        } else if (j->state == JOB_RESTS && j->rests_ns < clock_ns()) {
            job_describe(j, text, sizeof text);
            if (job_rest_is_wrong(j, err, sizeof err))
                soak_fail(s, "%s: %s", text, err);
            job_free(j, c->chi);
        }
    }
    return did;
}

/* --- all of them */

static void look_for_hangs(struct soak *s)
{
    uint64_t now = clock_ns();
    if (now < s->looked_ns + LOOK_NS)
        return;
    s->looked_ns = now;
    hold_look(s);
    char text[256];
    for (unsigned i = 0; i < s->clients; i++)
        for (unsigned k = 0; k < JOBS; k++) {
            struct job *j = &s->client[i].job[k];
            if (j->state != JOB_OUT || now < j->began_ns + s->o.hang_s * UINT64_C(1000000000))
                continue;
            job_describe(j, text, sizeof text);
            soak_fail(s, "%s of a client of node%u hangs", text, s->client[i].node + 1);
        }
}

void load_turn(struct soak *s, bool submits)
{
    bool did = false;
    for (unsigned i = 0; i < s->clients; i++) {
        struct client *c = &s->client[i];
        if (!c->chi)
            continue;
        did |= submits && !c->lost && client_fill(s, c);
        did |= client_poll(s, c);
    }
    if (!did)
        nanosleep(&(struct timespec){0, 100000}, NULL);
    look_for_hangs(s);
}

void load_tasks(struct soak *s, uint64_t tasks)
{
    for (uint64_t end = s->ended + tasks; s->ended < end;)
        load_turn(s, true);
}

void load_for(struct soak *s, uint64_t ms)
{
    for (uint64_t end = clock_ns() + ms * 1000000; clock_ns() < end;)
        load_turn(s, true);
}

void load_disturb(struct soak *s, struct client *c, uint32_t may)
{
    (void)s;
    c->may |= may;
    c->calm_ns = UINT64_MAX;
    for (unsigned i = 0; i < JOBS; i++)
        if (c->job[i].state == JOB_OUT && c->job[i].draw.remote)
            c->job[i].allowed |= may;
}

void load_calm(struct soak *s)
{
    for (unsigned i = 0; i < s->clients; i++)
        s->client[i].calm_ns = clock_ns();
}

static bool settled(const struct soak *s)
{
    for (unsigned i = 0; i < s->clients; i++)
        if (s->client[i].may)
            return false;
    return true;
}

void load_settle(struct soak *s)
{
    uint64_t end = clock_ns() + s->o.hang_s * UINT64_C(1000000000);
    while (!settled(s)) {
        load_turn(s, true);
        if (clock_ns() > end)
            soak_fail(s, "no remote task is answered again");
    }
}

static bool anything_out(const struct soak *s)
{
    for (unsigned i = 0; i < s->clients; i++)
        for (unsigned k = 0; k < JOBS; k++)
            if (s->client[i].job[k].state != JOB_FREE)
                return true;
    return false;
}

void load_drain(struct soak *s)
{
    while (anything_out(s))
        load_turn(s, false);
}

void runs_check(struct soak *s)
{
    for (uint64_t id = 0; id < s->next_id; id++)
        if (s->runs[id] > 1 || s->runs[id] > s->verdict[id] || (s->verdict[id] == RUNS_ONCE && !s->runs[id]))
            soak_fail(s, "task %llu ran %u times, in the end", (unsigned long long)id, s->runs[id]);
    for (uint64_t id = PROBE_RUNS_BYTES / 2; id < s->next_victim; id++)
        if (s->runs[id] > 1)
            soak_fail(s, "task %llu of a client that was killed ran %u times", (unsigned long long)id, s->runs[id]);
}
