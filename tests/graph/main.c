/* main.c - graph [--seeds N] [--from N] | --seed N: each seed twice, which must give the same.
 * Exit 0: all held, with a digest of all; 1: a check failed, and how to run that seed again; 2: usage. */
#include <getopt.h>
#include <sys/wait.h>
#include <unistd.h>

#include "graph.h"

enum { TURNS_MAX = 2000000, SEED_SECONDS = 120 };
static uint64_t turns, tasks, packets;

_Noreturn void graph_failed(const char *file, int line, const char *what, uint64_t job, uint64_t status)
{
    const struct job *j = &jobs[job];
    fprintf(stderr, "%s:%d: %s does not hold\n", file, line, what);
    fprintf(stderr, "  seed %llu, turn %llu, %u nodes of %u containers%s%s; job %llu, status %llu: method %u of node %u, containers %u+%u, bad %d, refused %d\n",
            (unsigned long long)world.seed, (unsigned long long)world.turns, world.nodes, world.per_node, world.tight ? ", tight" : "",
            world.stops ? ", one stops" : "", (unsigned long long)job, (unsigned long long)status, j->method, j->node, j->first, j->count, (int)j->bad, (int)j->refused);
    exit(1);
}
_Noreturn void chi_panic(const char *file, int line, const char *expr) { graph_failed(file, line, expr, 0, 0); }

static bool all_ended(void)
{
    for (uint32_t i = 0; i < job_count; i++)
        if (!jobs[i].ended && !jobs[i].given_up && !is_dead(jobs[i].node))
            return false;
    return true;
}

static void submit_root(struct prng *p)
{
    struct node *n = &world.node[prng_below(p, world.nodes)];
    if (n->dead)
        return;
    struct worker *w = n->post[prng_below(p, n->rt->workers)].w;
    worker_enter(w);
    w->rctx.now_ns = world.now_ns;
    struct chi_task *t = job_new(&w->rctx, p, 0, 0);
    if (t)
        job_submit(&w->rctx, t, job_done);
}

static uint64_t run_seed(uint64_t seed)
{
    struct prng p;
    module_begin();
    world_make(seed, &graph_module);
    job_count = 0;
    prng_init(&p, seed ^ 0x5bd1e995);
    uint64_t roots = 5 + prng_below(&p, 60), often = 1 + prng_below(&p, 40);
    while (roots || !all_ended() || !world_is_quiet()) {
        if (roots && prng_below(&p, often) == 0) {
            submit_root(&p);
            roots--;
        }
        world_turn();
        CHECK(world.turns < TURNS_MAX && "it comes to rest");
    }
    jobs_end();
    module_end();
    world_end();
    turns += world.turns;
    tasks += job_count;
    packets += world.packets;
    return world.digest;
}

static uint64_t run_twice(uint64_t seed)
{
    uint64_t digest = run_seed(seed);
    CHECK(run_seed(seed) == digest && "the same seed gives the same");
    return digest;
}

struct outcome {
    uint64_t digest, turns, tasks, packets, ends[64];
};

/* In a process of its own, so that whatever ends it leads back to the seed. */
static bool run_apart(uint64_t seed, struct outcome *sum)
{
    struct outcome o;
    int fds[2], status = 0;
    fflush(NULL);
    if (pipe(fds))
        return false;
    pid_t child = fork();
    if (child == 0) {
        alarm(SEED_SECONDS);
        o.digest = run_twice(seed);
        o.turns = turns / 2;
        o.tasks = tasks / 2;
        o.packets = packets / 2;
        memcpy(o.ends, ends, sizeof ends);
        exit(write(fds[1], &o, sizeof o) == (ssize_t)sizeof o ? 0 : 2);
    }
    close(fds[1]);
    bool ok = child > 0 && read(fds[0], &o, sizeof o) == (ssize_t)sizeof o;
    close(fds[0]);
    ok = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0 && ok;
    if (!ok) {
        fprintf(stderr, "graph: seed %llu failed (%s %d); again: graph --seed %llu\n", (unsigned long long)seed, WIFSIGNALED(status) ? "signal" : "exit",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (unsigned long long)seed);
        return false;
    }
    sum->digest = (sum->digest ^ o.digest) * 0x100000001b3u;
    sum->turns += o.turns;
    sum->tasks += o.tasks;
    sum->packets += o.packets;
    for (int i = 0; i < 64; i++)
        sum->ends[i] += o.ends[i] / 2;
    return true;
}

static void print_sum(uint64_t seeds, const struct outcome *o)
{
    printf("%llu seeds held; digest %016llx; %llu tasks, %llu turns, %llu packets; ended:", (unsigned long long)seeds, (unsigned long long)o->digest,
           (unsigned long long)o->tasks, (unsigned long long)o->turns, (unsigned long long)o->packets);
    for (uint32_t i = 0; i < 64; i++)
        if (o->ends[i])
            printf(" %s %llu", chi_status_name((enum chi_status)i), (unsigned long long)o->ends[i]);
    printf("\n");
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seed", 1, NULL, 's'}, {"seeds", 1, NULL, 'n'}, {"from", 1, NULL, 'f'}, {NULL, 0, NULL, 0}};
    uint64_t seeds = 100, from = 1, failed = 0;
    struct outcome sum = {0};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (c == 's') { /* here, for a debugger */
            printf("digest %016llx\n", (unsigned long long)run_twice(strtoull(optarg, NULL, 0)));
            return 0;
        } else if (c == 'n') {
            seeds = strtoull(optarg, NULL, 0);
        } else if (c == 'f') {
            from = strtoull(optarg, NULL, 0);
        } else {
            return 2;
        }
    for (uint64_t s = from; s < from + seeds && failed < 10; s++)
        failed += !run_apart(s, &sum);
    if (!failed)
        print_sum(seeds, &sum);
    return failed ? 1 : 0;
}
