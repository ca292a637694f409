/* bench_wait.c - tasks inside one worker, whose turns are taken here: an empty one through submission, routing, run and completion, 32 at once;
 * and a subtask that its parent waits for, one after the other.  Beside them a call through the module's table, and two switches of stacks.
 * bench_wait: all four, ns each, as JSON.
 * bench_wait task|subtask N: only N of these, for callgrind, which counts within the function measured().
 * bench_wait parked N: what each of N tasks that sleep takes of memory, and a yield beside them, as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sched/tables.h"
#include "worker/internal.h"

enum { AT_ONCE = 32, MANY = 2000000, MEMORY = 1 << 20 };
static const struct chi_pool_id POOL = {100, 0};

struct job {
    struct chi_task task;
    uint64_t number; /* of subtasks, one after the other */
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, number)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

static const uint64_t SLEEPS = UINT64_MAX, YIELDS = UINT64_C(1) << 40; /* numbers that mean something else: YIELDS + n: n yields */

static struct worker *w;
static uint64_t to_do, left;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_wait: %s\n", what);
    exit(1);
}

static struct chi_task *job_new(struct chi_rctx *r, uint64_t number)
{
    struct job *t = (struct job *)chi_task_new(r, &job_method);
    if (!t)
        die("no task");
    t->task.pool = POOL;
    t->task.query = chi_local();
    t->number = number;
    return &t->task;
}

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 1); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c;
    uint64_t n = ((struct job *)task)->number;
    if (n == SLEEPS)
        return chi_sleep_us(r, UINT64_MAX) == CHI_STATUS_SHUTDOWN ? CHI_STATUS_OK : CHI_STATUS_NO_MEMORY;
    for (; n >= YIELDS; n--)
        if (n == YIELDS || chi_yield(r) != CHI_STATUS_OK)
            return CHI_STATUS_OK;
    for (; n > 0; n--) {
        struct chi_task *sub = job_new(r, 0);
        chi_task_submit(r, sub, NULL, NULL);
        if (chi_task_wait(r, &sub, 1) != CHI_STATUS_OK || sub->status != CHI_STATUS_OK)
            die("a wait failed");
        chi_task_del(r, sub);
    }
    return CHI_STATUS_OK;
}
static struct chi_method *methods[] = {&job_method};
static const struct chi_chimod jobs = {
    .abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1, .init = init, .run = run};

static void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    left--;
    if (task->status != CHI_STATUS_OK)
        die("a task failed");
    if (to_do) {
        to_do--;
        chi_task_submit(r, task, done, arg);
    } else {
        chi_task_del(r, task);
    }
}

static bool home_at_the_end(struct worker *at, unsigned did)
{
    (void)did;
    if (!left)
        fiber_switch(&at->fibers, &at->fibers.home);
    return true;
}
static void loop(void *arg) { turn_loop(arg, worker_turn(arg)); }

static void worker_make(uint32_t records, uint32_t stacks)
{
    static const uint32_t cores[] = {0}, nodes[] = {1};
    const struct runtime_options o = {.node_id = 1, .workers = 1, .cores = cores, .tasks = records, .stacks = stacks, .arena_bytes = MEMORY,
                                      .task_timeout_ns = UINT64_C(600000000000), .nodes = nodes, .node_count = 1, .busy = true};
    static struct sched_module m = {.ops = &jobs};
    static struct chi_method *by_id[] = {NULL, &job_method};
    char err[SCHED_ERROR_BYTES];
    struct runtime *rt;
    rcu_register_thread();
    if (runtime_create(&o, &rt, err))
        die(err);
    w = rt->worker[0];
    w->turn_limit_ns = UINT64_MAX;
    w->rctx.now_ns = net_now_ns();
    w->between = home_at_the_end;
    worker_enter(w);
    snprintf(m.name, sizeof m.name, "jobs");
    m.by_id = by_id;
    m.method_count = 2;
    chi_method_hash(&job_method);
    sched_module_add(&rt->sched, &m);
    if (sched_compose(&rt->sched, "jobs", POOL, "jobs", 1, err))
        die(err);
}

__attribute__((noinline)) static void measured(void)
{
    if (w->loop == &w->fibers.home)
        w->loop = fiber_try_get(&w->fibers, loop, w);
    fiber_switch(&w->fibers, w->loop);
}

/* n tasks, at_once of them out; each with so many subtasks. */
static double tasks(uint64_t n, unsigned at_once, uint64_t subtasks)
{
    left = n;
    to_do = n - at_once;
    for (unsigned i = 0; i < at_once; i++)
        chi_task_submit(&w->rctx, job_new(&w->rctx, subtasks), done, NULL);
    uint64_t from = net_now_ns();
    measured();
    return (double)(net_now_ns() - from) / (double)(n * (subtasks ? subtasks : 1));
}

static double calls(uint64_t n)
{
    struct job t = {.number = 0};
    const struct chi_chimod *volatile ops = &jobs;
    uint64_t from = net_now_ns();
    for (uint64_t i = 0; i < n; i++)
        if (ops->run(NULL, &t.task, &w->rctx) != CHI_STATUS_OK)
            die("a call failed");
    return (double)(net_now_ns() - from) / (double)n;
}

static struct fibers fs;
static void back_and_forth(void *arg)
{
    (void)arg;
    for (;;)
        fiber_switch(&fs, &fs.home);
}
static double switches(uint64_t n)
{
    if (fibers_init(&fs, 1, 0))
        die("no stack");
    struct fiber *f = fiber_try_get(&fs, back_and_forth, NULL);
    uint64_t from = net_now_ns();
    for (uint64_t i = 0; i < n; i++)
        fiber_switch(&fs, f);
    return (double)(net_now_ns() - from) / (double)n;
}

static uint64_t resident(void)
{
    unsigned long all, here;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu %lu", &all, &here) != 2)
        die("no /proc/self/statm");
    fclose(f);
    return here * 4096;
}

static void parked(uint32_t n)
{
    worker_make(n + 64, n + 64);
    double alone = tasks(1, 1, YIELDS + MANY / 4) * (double)(YIELDS + MANY / 4) / (MANY / 4);
    uint64_t before = resident();
    for (uint32_t i = 0; i < n; i++)
        chi_task_submit(&w->rctx, job_new(&w->rctx, SLEEPS), done, NULL);
    left = to_do = 0;
    while (w->stats.waits < n + MANY / 4)
        measured();
    uint64_t bytes = (resident() - before) / n;
    double among = tasks(1, 1, YIELDS + MANY / 4) * (double)(YIELDS + MANY / 4) / (MANY / 4);
    printf("{\"parked\": %u, \"bytes\": %llu, \"yield\": %.2f, \"yield-alone\": %.2f}\n", n, (unsigned long long)bytes, among, alone);
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "parked") && strtoul(argv[2], NULL, 10) > 0) {
        parked((uint32_t)strtoul(argv[2], NULL, 10));
        fflush(stdout);
        _exit(0); /* they sleep on */
    }
    worker_make(1024, 16);
    if (argc == 3) {
        uint64_t n = strtoull(argv[2], NULL, 10);
        if (n < AT_ONCE || (strcmp(argv[1], "task") && strcmp(argv[1], "subtask")))
            die("usage: bench_wait [task|subtask|parked N], N from 32");
        (void)(argv[1][0] == 't' ? tasks(n, AT_ONCE, 0) : tasks(1, 1, n));
        return 0;
    }
    if (argc != 1)
        die("usage: bench_wait [task|subtask|parked N]");
    (void)tasks(MANY / 10, AT_ONCE, 0);
    printf("{\"task\": %.2f, ", tasks(MANY, AT_ONCE, 0));
    printf("\"subtask\": %.2f, ", tasks(1, 1, MANY));
    printf("\"call\": %.2f, \"switches\": %.2f}\n", calls(MANY), switches(MANY));
    return 0;
}
