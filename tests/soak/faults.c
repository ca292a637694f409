/* faults.c - what is done to daemons, network and clients while tasks are out. */
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "soak.h"

enum { PAUSE_MS = 150, SHORT_CUT_MS = 300, AGAIN_PERCENT = 10 };

const char *const fault_names[FAULTS] = {"kill node1", "kill node2", "SIGSTOP", "short cut", "long cut", "chi-wire", "client"};

/* --- nobody may be declared down by it */

/* How long the threads of a process waited for a core so far. */
static uint64_t waited_ns(pid_t pid)
{
    char path[64];
    uint64_t sum = 0, ns;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "/proc/%d/task/%.16s/schedstat", (int)pid, e->d_name);
        FILE *f = fopen(path, "r");
        if (f && fscanf(f, "%*u %" SCNu64, &ns) == 1)
            sum += ns;
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
    return sum;
}

void hold_look(struct soak *s)
{
    const pid_t pids[WAITERS] = {s->node[0].pid, s->node[1].pid, s->wire.pid};
    for (unsigned i = 0; i < WAITERS; i++)
        s->waited_ns[i][s->looks % LOOKS] = pids[i] ? waited_ns(pids[i]) : 0;
    s->looks++;
}

/* How long they waited for a core of late, one behind the other: a machine may keep a daemon silent by itself. */
static uint64_t starved_ns(struct soak *s)
{
    uint64_t sum = 0;
    hold_look(s);
    for (unsigned i = 0; i < WAITERS; i++) {
        uint64_t now = s->waited_ns[i][(s->looks - 1) % LOOKS], before = s->waited_ns[i][s->looks < LOOKS ? 0 : s->looks % LOOKS];
        sum += before && now > before ? now - before : 0;
    }
    return sum;
}

static void hold_begin(struct soak *s) { s->hold_ns = clock_ns(); }

bool hold_overran(struct soak *s)
{
    if (s->overran)
        return true;
    uint64_t held = s->hold_ns ? clock_ns() - s->hold_ns : 0, starved = starved_ns(s);
    s->overran = held > HOLD_BOUND_MS * UINT64_C(1000000) || starved > HOLD_BOUND_MS * UINT64_C(1000000);
    if (s->overran)
        soak_say(s, "on this machine a pause or a short cut took %llu ms, or daemons and chi-wire waited %llu ms for a core: peers may be down",
                 (unsigned long long)(held / 1000000), (unsigned long long)(starved / 1000000));
    return s->overran;
}

static void hold_end(struct soak *s)
{
    hold_overran(s);
    s->hold_ns = 0;
}

static void fault_stop(struct soak *s)
{
    unsigned k = (unsigned)prng_below(&s->fates, NODES);
    pid_t pid = s->node[k].pid;
    soak_say(s, "SIGSTOP of node%u", k + 1);
    hold_begin(s);
    kill(pid, SIGSTOP);
    load_for(s, PAUSE_MS);
    kill(pid, SIGCONT);
    hold_end(s);
}

static const char *const cut[2] = {"a-b: cut=yes", "b-a: cut=yes"};

static void fault_short_cut(struct soak *s)
{
    const char *what = cut[prng_below(&s->fates, 2)];
    soak_say(s, "%s for %d ms", what, SHORT_CUT_MS);
    hold_begin(s);
    wire_set(s, what);
    load_for(s, SHORT_CUT_MS);
    wire_set(s, "both: cut=no");
    hold_end(s);
}

/* --- somebody is */

static void disturb_all(struct soak *s)
{
    for (unsigned i = 0; i < s->clients; i++)
        load_disturb(s, &s->client[i], MAY_DOWN | MAY_UNREACHABLE);
}

static void fault_long_cut(struct soak *s)
{
    const char *what = cut[prng_below(&s->fates, 2)];
    uint64_t ms = draw_between(&s->fates, SILENCE_MS * 3 / 2, SILENCE_MS * 5 / 2);
    soak_say(s, "%s for %llu ms", what, (unsigned long long)ms);
    disturb_all(s);
    wire_set(s, what);
    load_for(s, ms);
    wire_set(s, "both: cut=no");
    load_calm(s);
    load_settle(s);
}

static void fault_wire(struct soak *s)
{
    static const uint64_t away_ms[] = {0, 0, SILENCE_MS / 2, SILENCE_MS * 2};
    int sig = prng_below(&s->fates, 2) ? SIGKILL : SIGTERM;
    uint64_t ms = away_ms[prng_below(&s->fates, 4)];
    soak_say(s, "chi-wire ends by %s and is away for %llu ms", sig == SIGKILL ? "SIGKILL" : "SIGTERM", (unsigned long long)ms);
    disturb_all(s);
    wire_end(s, sig);
    load_for(s, ms);
    wire_start(s);
    load_calm(s);
    load_settle(s);
}

/* --- a daemon dies */

/* Its clients learn that it is gone. */
static void clients_lose(struct soak *s, unsigned k)
{
    for (unsigned i = 0; i < s->clients; i++) {
        struct client *c = &s->client[i];
        if (c->node != k) {
            load_disturb(s, c, MAY_DOWN | MAY_UNREACHABLE | MAY_RESTART);
            continue;
        }
        c->lost = true;
        for (unsigned n = 0; n < JOBS; n++)
            c->job[n].allowed |= MAY_DISCONNECT;
    }
}

static bool any_out(const struct client *c)
{
    for (unsigned i = 0; i < JOBS; i++)
        if (c->job[i].state != JOB_FREE)
            return true;
    return false;
}

static void clients_return(struct soak *s, unsigned k)
{
    for (unsigned i = 0; i < s->clients; i++) {
        struct client *c = &s->client[i];
        if (c->node != k)
            continue;
        while (any_out(c)) /* the last of them may still rest */
            load_turn(s, true);
        client_close(s, c);
        client_open(s, c);
    }
}

/* Until it is up again tasks go on at the other one. */
static void node_returns(struct soak *s, struct node *n)
{
    node_spawn(n);
    if (prng_below(&s->fates, 100) < AGAIN_PERCENT) { /* and dies while it starts */
        uint64_t ms = prng_below(&s->fates, 300);
        soak_say(s, "kill node%u again, %llu ms after its start", n->id, (unsigned long long)ms);
        load_for(s, ms);
        node_kill(n);
        node_spawn(n);
    }
    while (!node_speaks(n))
        load_turn(s, true);
    node_await(n);
}

static void fault_kill(struct soak *s, unsigned k)
{
    const uint64_t away_ms[] = {0, prng_below(&s->fates, SILENCE_MS / 2), SILENCE_MS * 3 / 2};
    uint64_t ms = away_ms[prng_below(&s->fates, 3)];
    soak_say(s, "kill node%u, which is away for %llu ms", k + 1, (unsigned long long)ms);
    clients_lose(s, k);
    node_kill(&s->node[k]);
    load_for(s, ms);
    node_returns(s, &s->node[k]);
    clients_return(s, k);
    load_calm(s);
    load_settle(s);
}

/* --- a client dies */

int victim_main(const char *socket, const char *first_id, const char *seed)
{
    static struct job job[JOBS];
    const struct options o = {.region = 1 << 20, .hang_s = 60};
    struct chi_client *c;
    struct prng p;
    struct draw d;
    uint64_t id = strtoull(first_id, NULL, 10), end = id + VICTIM_IDS;
    uint32_t other = socket[strlen(socket) - strlen("1.sock")] == '1' ? 2 : 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prng_init(&p, strtoull(seed, NULL, 10));
    if (chi_connect(socket, NULL, &c))
        return 1;
    puts("has begun");
    fflush(stdout);
    for (;;) {
        chi_poll(c);
        for (unsigned i = 0; i < JOBS && id < end; i++) {
            if (job[i].state == JOB_OUT && job[i].u.task.status == CHI_STATUS_PENDING)
                continue;
            job_free(&job[i], c);
            draw_job(&p, &o, true, &d);
            if (!job_make(&job[i], c, &d, id, other))
                continue;
            id++;
            job[i].state = JOB_OUT;
            chi_submit(c, &job[i].u.task);
        }
    }
}

static void fault_victim(struct soak *s)
{
    char log[160], first[24], seed[24];
    const struct node *n = &s->node[prng_below(&s->fates, NODES)];
    snprintf(log, sizeof log, "%s/client.log", test_dir);
    snprintf(first, sizeof first, "%llu", (unsigned long long)s->next_victim);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)prng_next(&s->fates));
    s->next_victim += VICTIM_IDS;
    if (s->next_victim >= PROBE_RUNS_BYTES)
        soak_fail(s, "more clients than there are ids");
    const char *const argv[] = {"/proc/self/exe", "--victim", n->socket, first, seed, NULL};
    int out;
    pid_t pid = program_start(argv, log, "has begun", &out);
    uint64_t ms = prng_below(&s->fates, 100);
    soak_say(s, "kill a client of node%u after %llu ms", n->id, (unsigned long long)ms);
    load_for(s, ms);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(out);
}

void fault(struct soak *s, enum fault f)
{
    s->done[f]++;
    switch (f) {
    case FAULT_KILL_ONE:
    case FAULT_KILL_TWO:
        fault_kill(s, f == FAULT_KILL_TWO);
        return;
    case FAULT_STOP:
        fault_stop(s);
        return;
    case FAULT_CUT_SHORT:
        fault_short_cut(s);
        return;
    case FAULT_CUT_LONG:
        fault_long_cut(s);
        return;
    case FAULT_WIRE:
        fault_wire(s);
        return;
    default:
        fault_victim(s);
    }
}
