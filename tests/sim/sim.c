/* sim.c - runs seeds: sim [--seeds N] [--from S] [--twice] [--verbose].
 * Exit 0: all held, and a digest of all that happened is printed; 1: a check failed, and its seed is printed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

enum { MS = 1000000 };
static const uint64_t US = 1000, SECOND = 1000000000;

bool sim_check(struct world *w, bool ok, const char *what, uint64_t a, uint64_t b)
{
    if (ok || w->failed)
        return ok;
    snprintf(w->text, sizeof w->text, "%s  (%llu, %llu) at %llu ns", what, (unsigned long long)a, (unsigned long long)b,
             (unsigned long long)w->now);
    w->failed = w->text;
    return false;
}

uint64_t sim_draw(struct world *w, uint64_t low, uint64_t high) { return low + prng_below(&w->prng, high - low + 1); }

void sim_fold(struct world *w, uint64_t v)
{
    w->digest = (w->digest ^ v) * 0x100000001b3u;
    w->digest ^= w->digest >> 29;
}

/* --- options */

static uint32_t chance(struct world *w, uint32_t most) /* of a million; often none */
{
    return sim_draw(w, 0, 2) ? (uint32_t)sim_draw(w, 0, most) : 0;
}

static void draw_faults(struct world *w)
{
    struct options *o = &w->o;
    o->loss = chance(w, 200000);
    o->twice = chance(w, 100000);
    o->late = chance(w, 200000);
    o->flip = chance(w, 30000);
    o->cut = chance(w, 30000);
    o->forge = sim_draw(w, 0, 4) ? 0 : (uint32_t)sim_draw(w, 1000, 200000);
    o->no_packet = chance(w, 300000);
    o->no_memory = chance(w, 200000);
    o->restarts = sim_draw(w, 0, 1) ? (uint32_t)sim_draw(w, 0, 4) : 0;
    o->partitions = sim_draw(w, 0, 2) ? 0 : (uint32_t)sim_draw(w, 1, 4);
    o->pauses = sim_draw(w, 0, 2) ? 0 : (uint32_t)sim_draw(w, 1, 4);
    o->mtus = sim_draw(w, 0, 1) ? 0 : (uint32_t)sim_draw(w, 1, 4);
    o->ce = chance(w, 500000);
    o->bleach = sim_draw(w, 0, 3) ? 0 : (uint32_t)sim_draw(w, 0, 1000000);
    /* So short that cuts and pauses of up to 200 ms are taken for the peer's end; or so long that nothing here may be. */
    o->silence_ns = sim_draw(w, 0, 2) ? SIM_SILENCE_LONG : sim_draw(w, 40, 300) * MS;
}

static void draw_options(struct world *w)
{
    struct options *o = &w->o;
    o->nodes = sim_draw(w, 0, 2) ? 2 : (uint32_t)sim_draw(w, 2, sim_draw(w, 0, 3) ? 4 : SIM_NODES_MAX);
    for (uint32_t i = 0; i < o->nodes; i++) {
        o->workers[i] = sim_draw(w, 0, 2) ? 1 : (uint32_t)sim_draw(w, 1, SIM_WORKERS_MAX);
        o->packet_max[i] = sim_draw(w, 0, 1) ? (uint32_t)sim_draw(w, 1200, 1500) : (uint32_t)sim_draw(w, 1200, 9000);
    }
    o->slots = 1u << sim_draw(w, 1, 6);
    o->messages_in = sim_draw(w, 0, 3) ? 256 : (uint32_t)sim_draw(w, 1, 16);
    o->window = 1u << sim_draw(w, 2, 7);
    o->ack_every = (uint32_t)sim_draw(w, 1, 16);
    o->target_ns = sim_draw(w, 20, 500) * US;
    o->pto_min_ns = sim_draw(w, 50, 1000) * US;
    o->pto_max_ns = sim_draw(w, 5, 100) * MS;
    o->ack_delay_ns = sim_draw(w, 1, 200) * US;
    o->hello_retry_ns = sim_draw(w, 500, 10000) * US;
    o->delay_ns = sim_draw(w, 1, 500) * US;
    o->jitter_ns = sim_draw(w, 0, 1) ? sim_draw(w, 0, 20) * US : sim_draw(w, 0, 1000) * US;
    o->late_ns = sim_draw(w, 1, 20) * MS;
    o->memory_bytes = sim_draw(w, 0, 1) ? UINT64_MAX / 2 : sim_draw(w, 50000, 2000000);
    o->messages = (uint32_t)sim_draw(w, 5, 150);
    o->region_max = (uint32_t)sim_draw(w, 4000, sim_draw(w, 0, 4) ? 60000 : 400000);
    o->form_max = (uint32_t)sim_draw(w, 100, sim_draw(w, 0, 7) ? 20000 : CHI_FORM_BYTES_MAX + 1000);
    o->memory_largest = o->region_max + sim_draw(w, 0, 100000);
    o->peer_memory = sim_draw(w, 0, 1) ? UINT64_MAX / 2 : sim_draw(w, 1000, 500000);
    o->grant_bytes = sim_draw(w, 0, 1) ? 1 << 20 : sim_draw(w, 1000, 100000);
    o->overcommit = (uint32_t)sim_draw(w, 1, 8);
    o->unasked_bytes = (uint32_t)(sim_draw(w, 0, 3) ? sim_draw(w, 0, 100000) : 0);
    o->credit_bytes = (uint32_t)(sim_draw(w, 0, 3) ? sim_draw(w, 0, 400000) : 0);
    o->faulty_ns = sim_draw(w, 20, 300) * MS;
    draw_faults(w);
    o->quantum_bytes = (uint32_t)sim_draw(w, 1, 100000);
    /* Whatever a task may bring finds room, but not all of them at once. */
    uint64_t largest = CHI_REGIONS_MAX * (o->memory_largest + 2) + CHI_FORM_BYTES_MAX;
    o->all_memory = sim_draw(w, 0, 1) ? UINT64_MAX / 2 : sim_draw(w, largest, 2 * largest);
}

static void print_options(const struct world *w)
{
    const struct options *o = &w->o;
    printf("seed %llu: nodes %u workers", (unsigned long long)w->seed, o->nodes);
    for (uint32_t i = 0; i < o->nodes; i++)
        printf(" %u", o->workers[i]);
    printf(" packet");
    for (uint32_t i = 0; i < o->nodes; i++)
        printf(" %u", o->packet_max[i]);
    printf(" slots %u in %u window %u target %llu us pto %llu..%llu us ack %u/%llu us hello %llu us delay %llu+%llu late %llu us\n", o->slots,
           o->messages_in, o->window, (unsigned long long)(o->target_ns / US), (unsigned long long)(o->pto_min_ns / US), (unsigned long long)(o->pto_max_ns / US),
           o->ack_every, (unsigned long long)(o->ack_delay_ns / US), (unsigned long long)(o->hello_retry_ns / US),
           (unsigned long long)(o->delay_ns / US), (unsigned long long)(o->jitter_ns / US),
           (unsigned long long)(o->late_ns / US));
    printf("  ppm: loss %u twice %u late %u flip %u cut %u forge %u no_packet %u no_memory %u; memory %llu largest %llu; "
           "restarts %u partitions %u pauses %u silence %llu ms mtus %u ce %u bleach %u messages %u region %u form %u faulty %llu us\n",
           o->loss, o->twice, o->late, o->flip, o->cut, o->forge, o->no_packet, o->no_memory,
           (unsigned long long)o->memory_bytes, (unsigned long long)o->memory_largest, o->restarts, o->partitions,
           o->pauses, (unsigned long long)(o->silence_ns / MS), o->mtus, o->ce, o->bleach, o->messages, o->region_max, o->form_max, (unsigned long long)(o->faulty_ns / US));
}

/* --- events */

static uint32_t other_node(struct world *w, uint32_t node)
{
    uint32_t n = (uint32_t)sim_draw(w, 1, w->o.nodes - 1);
    return n >= node ? n + 1 : n;
}

static void submit_some(struct world *w)
{
    struct endpoint *e = &w->endpoint[sim_draw(w, 0, w->endpoints - 1)];
    uint32_t n = sim_draw(w, 0, 3) ? 1 : (uint32_t)sim_draw(w, 1, 20);
    for (uint32_t i = 0; i < n && e->up && !host_paused(e); i++) {
        uint64_t life = sim_draw(w, 0, 2) ? sim_draw(w, 100, 3000) * MS : sim_draw(w, 0, 20) * MS;
        load_submit(w, e, other_node(w, e->node), w->now + life, false);
    }
}

static void restart(struct world *w, uint32_t node)
{
    bool crash = sim_draw(w, 0, 2);
    struct event e = {.kind = EV_START, .node = node, .when = w->now + sim_draw(w, 0, 30) * MS};
    if (w->verbose)
        printf("%12lu node %u %s\n", (unsigned long)w->now, node, crash ? "crashes" : "stops");
    for (uint32_t i = 0; i < w->endpoints; i++) {
        if (w->endpoint[i].node != node)
            continue;
        if (!w->endpoint[i].up)
            return; /* down already */
        host_stop(&w->endpoint[i], crash);
    }
    w->restarts++;
    net_event(w, &e);
}

static void start(struct world *w, uint32_t node)
{
    for (uint32_t i = 0; i < w->endpoints; i++)
        if (w->endpoint[i].node == node)
            host_start(&w->endpoint[i]);
}

static void handle(struct world *w, struct event *e)
{
    switch (e->kind) {
    case EV_PACKET:
        host_packet(w, e);
        return;
    case EV_ANSWER:
        load_answer_event(e->job);
        return;
    case EV_SUBMIT:
        submit_some(w);
        return;
    case EV_RESTART:
        restart(w, e->node);
        return;
    case EV_START:
        start(w, e->node);
        return;
    case EV_PAUSE:
        w->paused_ns[e->node - 1] = w->now + sim_draw(w, 1, 200) * MS;
        return;
    case EV_MTU:
        w->mtu = (uint32_t)sim_draw(w, WIRE_PACKET_MIN, sim_draw(w, 0, 1) ? 1500 : 9000);
        return;
    case EV_CUT:
    case EV_JOIN:
        w->parted[e->node - 1][e->other - 1] = e->kind == EV_CUT;
        return;
    }
}

/* Runs until `end`, or until `quiet` says so; false when a check failed. */
static bool run(struct world *w, uint64_t end, bool (*quiet)(struct world *w))
{
    for (uint64_t turns = 0; w->now < end && !w->failed; turns++) {
        if (!CHECK(w, turns < 20000000, turns, w->now))
            break;
        struct event e;
        while (!w->failed && net_next(w, w->now, &e))
            handle(w, &e);
        uint64_t next = host_run(w);
        if (quiet && quiet(w))
            return !w->failed;
        if (next <= w->now)
            next = w->now + 300; /* a turn takes time */
        if (net_when(w) < next)
            next = net_when(w);
        w->now = next < end ? next : end;
    }
    return !w->failed;
}

/* --- phases */

static void plan(struct world *w)
{
    const struct options *o = &w->o;
    for (uint32_t i = 0; i < o->messages; i++)
        net_event(w, &(struct event){.kind = EV_SUBMIT, .when = sim_draw(w, 0, o->faulty_ns)});
    for (uint32_t i = 0; i < o->restarts; i++)
        net_event(w, &(struct event){
                         .kind = EV_RESTART, .node = (uint32_t)sim_draw(w, 1, o->nodes), .when = sim_draw(w, 0, o->faulty_ns)});
    for (uint32_t i = 0; i < o->partitions; i++) {
        struct event e = {.kind = EV_CUT, .node = (uint32_t)sim_draw(w, 1, o->nodes)};
        e.other = other_node(w, e.node);
        e.when = sim_draw(w, 0, o->faulty_ns);
        net_event(w, &e);
        e.kind = EV_JOIN;
        e.when += sim_draw(w, 1, 200) * MS;
        net_event(w, &e);
    }
    for (uint32_t i = 0; i < o->mtus; i++)
        net_event(w, &(struct event){.kind = EV_MTU, .when = sim_draw(w, 0, o->faulty_ns)});
    for (uint32_t i = 0; i < o->pauses; i++)
        net_event(w, &(struct event){
                         .kind = EV_PAUSE, .node = (uint32_t)sim_draw(w, 1, o->nodes), .when = sim_draw(w, 0, o->faulty_ns)});
}

static bool all_over(struct world *w) { return w->open == 0; }

static bool all_still(struct world *w)
{
    for (uint32_t i = 0; i < w->endpoints; i++)
        if (!w->endpoint[i].up || xfer_deadline(w->endpoint[i].x) != UINT64_MAX)
            return false;
    return w->open == 0 && net_when(w) == UINT64_MAX;
}

static bool all_up(struct world *w)
{
    for (uint32_t i = 0; i < w->endpoints; i++)
        if (!w->endpoint[i].up)
            return false;
    return true;
}

enum { PATIENCE_S = 20 }; /* how long what a healed network carries may take */

static void submit_everywhere(struct world *w, uint32_t each, bool strict)
{
    for (uint32_t i = 0; i < w->endpoints; i++)
        for (uint32_t n = 1; n <= w->o.nodes; n++)
            for (uint32_t k = 0; n != w->endpoint[i].node && k < each; k++)
                load_submit(w, &w->endpoint[i], n, w->now + PATIENCE_S * SECOND, strict);
}

static void heal(struct world *w)
{
    w->faulty = false;
    memset(w->parted, 0, sizeof w->parted);
    memset(w->paused_ns, 0, sizeof w->paused_ns);
}

static void check_end(struct world *w)
{
    for (uint32_t i = 0; i < w->endpoints; i++) {
        struct endpoint *e = &w->endpoint[i];
        struct xfer_peer_stats st[SIM_NODES_MAX];
        CHECK(w, e->jobs.next == &e->jobs, e->node, 0);
        CHECK(w, e->memory_used == 0, e->memory_used, e->node);
        CHECK(w, e->packets_out == 0, e->packets_out, e->node);
        unsigned n = xfer_stats(e->x, st, SIM_NODES_MAX);
        for (unsigned k = 0; k < n; k++)
            CHECK(w, st[k].open_out == 0 && st[k].open_in == 0 && st[k].in_flight == 0, st[k].open_out, st[k].open_in);
    }
}

static void phases(struct world *w)
{
    w->faulty = true;
    plan(w);
    run(w, w->o.faulty_ns, NULL);
    heal(w);
    /* What is under way ends; each pair meets again, so that no session of a former life is left. */
    if (run(w, w->now + 2 * PATIENCE_S * SECOND, all_up))
        submit_everywhere(w, 1, false);
    run(w, w->now + 2 * PATIENCE_S * SECOND, all_over);
    CHECK(w, w->open == 0, w->open, 1);
    if (!w->failed)
        submit_everywhere(w, 4, true);
    run(w, w->now + 2 * PATIENCE_S * SECOND, all_over);
    CHECK(w, w->open == 0, w->open, 2);
    run(w, w->now + 60 * SECOND, all_still);
    if (!w->failed)
        CHECK(w, all_still(w), w->open, net_when(w));
    if (!w->failed)
        check_end(w);
}

static bool run_seed(uint64_t seed, bool verbose, uint64_t *digest)
{
    struct world *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    w->seed = seed;
    w->verbose = verbose;
    w->mtu = UINT32_MAX;
    prng_init(&w->prng, seed);
    draw_options(w);
    if (verbose)
        print_options(w);
    for (uint32_t n = 1; n <= w->o.nodes; n++)
        for (uint32_t k = 0; k < w->o.workers[n - 1]; k++) {
            struct endpoint *e = &w->endpoint[w->endpoints];
            *e = (struct endpoint){.w = w, .node = n, .worker = k, .index = w->endpoints++};
            host_start(e);
        }
    phases(w);
    bool ok = !w->failed;
    if (!ok) {
        print_options(w);
        printf("seed %llu FAILED: %s\n", (unsigned long long)seed, w->failed);
    } else if (verbose) {
        printf("  %u tasks, %llu restarts, %llu times down, %llu ms, digest %016llx; ended:", w->sub_count, (unsigned long long)w->restarts,
               (unsigned long long)w->downs, (unsigned long long)(w->now / MS), (unsigned long long)w->digest);
        for (int i = 0; i < 64; i++)
            if (w->statuses[i])
                printf(" %s %llu", chi_status_name((enum chi_status)i), (unsigned long long)w->statuses[i]);
        printf("\n");
    }
    for (uint32_t i = 0; i < w->endpoints; i++)
        if (w->endpoint[i].up)
            host_stop(&w->endpoint[i], true);
    net_clear(w);
    load_free(w);
    *digest = w->digest;
    free(w);
    return ok;
}

int main(int argc, char **argv)
{
    uint64_t seeds = 1, from = 1, all = 0;
    bool verbose = false, twice = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--seeds") && i + 1 < argc)
            seeds = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--from") && i + 1 < argc)
            from = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--verbose"))
            verbose = true;
        else if (!strcmp(argv[i], "--twice"))
            twice = true;
        else {
            fprintf(stderr, "usage: sim [--seeds N] [--from SEED] [--twice] [--verbose]\n");
            return 2;
        }
    }
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        uint64_t digest, again;
        if (!run_seed(seed, verbose, &digest))
            return 1;
        if (twice && (!run_seed(seed, false, &again) || again != digest)) {
            printf("seed %llu FAILED: two runs of it differ\n", (unsigned long long)seed);
            return 1;
        }
        all = (all ^ digest) * 0x100000001b3u;
    }
    printf("%llu seeds from %llu held; digest %016llx\n", (unsigned long long)seeds, (unsigned long long)from,
           (unsigned long long)all);
    return 0;
}
