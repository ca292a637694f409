/* sim.c - one run: what is planned, the faulty phase, the healed one. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

enum {
    LIFE_MS = 3000,   /* longest deadline of the faulty phase */
    PATIENCE_S = 20,  /* how long what a healed network carries may take */
    STILL_S = 60,     /* until nothing is left to do, not even to give up what never came */
    TURNS_MAX = 20000000,
};

struct world *sim_world;
static jmp_buf panicked;

bool sim_failed(struct world *w, const char *what, uint64_t a, uint64_t b)
{
    if (w->failed)
        return false;
    snprintf(w->text, sizeof w->text, "%s  (%llu, %llu) at %llu ns", what, (unsigned long long)a, (unsigned long long)b,
             (unsigned long long)w->now);
    w->failed = what;
    return false;
}

/* An assertion is a check like the others, but what was under way is not tidied up. */
_Noreturn void chi_panic(const char *file, int line, const char *expr)
{
    static char what[SIM_CHECK_TEXT / 2];
    const char *name = strrchr(file, '/');
    snprintf(what, sizeof what, "assertion %s:%d: %s", name ? name + 1 : file, line, expr);
    if (!sim_world) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
    sim_failed(sim_world, what, 0, 0);
    longjmp(panicked, 1);
}

/* --- events */

static uint32_t other_node(const struct world *w, struct prng *p, uint32_t node)
{
    uint32_t n = (uint32_t)sim_draw(p, 1, w->o.nodes - 1);
    return n >= node ? n + 1 : n;
}

static void submit_some(struct world *w, uint64_t key)
{
    struct prng p = sim_keyed(w, EV_SUBMIT, key);
    struct endpoint *e = &w->endpoint[sim_draw(&p, 0, w->endpoints - 1)];
    uint64_t n = sim_draw(&p, 1, 100) <= w->o.crowds ? sim_draw(&p, 1, 20) : 1;
    for (uint64_t i = 0; i < n && e->up && !host_paused(e); i++) {
        uint64_t life = sim_draw(&p, 0, 2) ? sim_draw(&p, 100, LIFE_MS) * SIM_MS : sim_draw(&p, 0, 20) * SIM_MS;
        load_submit(w, e, other_node(w, &p, e->node), w->now + life, false);
    }
}

static void restart(struct world *w, uint32_t node, uint64_t key)
{
    struct prng p = sim_keyed(w, EV_START, key);
    bool crash = sim_draw(&p, 0, 2);
    struct event e = {.kind = EV_START, .node = node, .when = w->now + sim_draw(&p, 0, 30) * SIM_MS};
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

/* How long a fault of a node lasts. */
static uint64_t until(const struct world *w, const struct event *e, uint64_t most_ms)
{
    struct prng p = sim_keyed(w, 'D' + (uint64_t)e->kind, e->key);
    return w->now + sim_draw(&p, 1, most_ms) * SIM_MS;
}

/* Often one that is common, or near it. */
static uint32_t mtu(const struct world *w, uint64_t key)
{
    static const uint64_t most[] = {1500, 1500, 9000, 65000};
    struct prng p = sim_keyed(w, 'M', key);
    return (uint32_t)sim_draw(&p, WIRE_PACKET_MIN, most[sim_draw(&p, 0, 3)]);
}

/* Tasks that it left behind may still keep the record. */
static void peer_back(struct world *w, uint32_t node, uint32_t other)
{
    struct event e = {.kind = EV_ADD, .node = node, .other = other, .when = w->now + 10 * SIM_MS};
    if (host_peer(w, EV_ADD, node, other))
        w->removals--;
    else
        net_event(w, &e);
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
        submit_some(w, e->key);
        return;
    case EV_RESTART:
        restart(w, e->node, e->key);
        return;
    case EV_START:
        start(w, e->node);
        return;
    case EV_PAUSE:
        w->paused_ns[e->node - 1] = until(w, e, 200);
        return;
    case EV_STALL:
        w->stalled_ns[e->node - 1] = until(w, e, 400);
        return;
    case EV_DRY:
        *(e->key % 2 ? &w->no_packets_ns[e->node - 1] : &w->no_memory_ns[e->node - 1]) = until(w, e, 50);
        return;
    case EV_MTU:
        w->mtu[e->node - 1][e->other - 1] = mtu(w, e->key);
        return;
    case EV_CUT:
        w->parted[e->node - 1][e->other - 1] |= e->paths;
        return;
    case EV_JOIN:
        w->parted[e->node - 1][e->other - 1] &= ~e->paths;
        return;
    case EV_DRAIN:
    case EV_REMOVE:
        host_peer(w, e->kind, e->node, e->other);
        return;
    case EV_ADD:
        peer_back(w, e->node, e->other);
        return;
    case EV_WAY_DOWN:
        w->port_down[e->node - 1] |= e->paths;
        host_ports_changed(w, e->node);
        return;
    case EV_WAY_UP:
        w->port_down[e->node - 1] &= ~e->paths;
        host_ports_changed(w, e->node);
        return;
    }
}

/* Runs until `end`, or until `quiet` says so; false when a check failed. */
static bool run(struct world *w, uint64_t end, bool (*quiet)(struct world *w))
{
    for (uint64_t turns = 0; w->now < end && !w->failed; turns++) {
        if (!CHECK(w, turns < TURNS_MAX, turns, w->now))
            break;
        struct event e;
        while (!w->failed && net_next(w, w->now, &e))
            handle(w, &e);
        uint64_t next = w->failed ? 0 : host_run(w);
        if (quiet && quiet(w))
            return !w->failed;
        if (net_when(w) < next)
            next = net_when(w);
        w->now = next < end ? next : end;
    }
    return !w->failed;
}

/* --- phases */

/* `count` events of a kind, each at a time and a node of its own. */
static void plan_each(struct world *w, enum event_kind kind, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct prng p = sim_keyed(w, 'P' + (uint64_t)kind, i);
        struct event e = {.kind = kind, .key = i};
        e.when = sim_draw(&p, 0, w->o.faulty_us * SIM_US);
        e.node = (uint32_t)sim_draw(&p, 1, w->o.nodes);
        e.other = other_node(w, &p, e.node);
        bool ends = kind == EV_CUT || kind == EV_WAY_DOWN;
        if (ends) /* a cut is often one of all paths */
            e.paths = kind == EV_CUT && sim_draw(&p, 0, 1) ? UINT32_MAX : 1u << sim_draw(&p, 0, w->o.paths - 1);
        net_event(w, &e);
        if (!ends)
            continue;
        e.kind = kind == EV_CUT ? EV_JOIN : EV_WAY_UP;
        e.when += sim_draw(&p, 1, 200) * SIM_MS;
        net_event(w, &e);
    }
}

/* A node forgets another one for a while; at times it drains it first. */
static void plan_removals(struct world *w)
{
    for (w->removals = 0; w->removals < w->o.removals; w->removals++) {
        struct prng p = sim_keyed(w, 'R', w->removals);
        struct event e = {.kind = EV_REMOVE, .when = sim_draw(&p, 0, w->o.faulty_us * SIM_US)};
        e.node = (uint32_t)sim_draw(&p, 1, w->o.nodes);
        e.other = other_node(w, &p, e.node);
        struct event drain = e, add = e;
        drain.kind = EV_DRAIN;
        e.when += sim_draw(&p, 0, 50) * SIM_MS;
        add.kind = EV_ADD;
        add.when = e.when + sim_draw(&p, 0, 100) * SIM_MS;
        if (sim_draw(&p, 0, 1))
            net_event(w, &drain);
        net_event(w, &e);
        net_event(w, &add);
    }
}

static void plan(struct world *w)
{
    plan_each(w, EV_SUBMIT, w->o.messages);
    plan_each(w, EV_RESTART, w->o.restarts);
    plan_each(w, EV_CUT, w->o.partitions);
    plan_each(w, EV_PAUSE, w->o.pauses);
    plan_each(w, EV_STALL, w->o.stalls);
    plan_each(w, EV_DRY, w->o.dries);
    plan_each(w, EV_MTU, w->o.mtus);
    plan_each(w, EV_WAY_DOWN, w->o.ways);
    plan_removals(w);
}

static bool all_over(struct world *w) { return w->open == 0; }

static bool all_still(struct world *w)
{
    for (uint32_t i = 0; i < w->endpoints; i++)
        if (!w->endpoint[i].up || w->endpoint[i].due_ns != UINT64_MAX)
            return false;
    return w->open == 0 && net_when(w) == UINT64_MAX;
}

static bool all_up(struct world *w)
{
    for (uint32_t i = 0; i < w->endpoints; i++)
        if (!w->endpoint[i].up)
            return false;
    return w->removals == 0;
}

static void submit_everywhere(struct world *w, uint64_t each, bool strict)
{
    for (uint32_t i = 0; i < w->endpoints; i++)
        for (uint32_t n = 1; n <= w->o.nodes; n++)
            for (uint64_t k = 0; n != w->endpoint[i].node && k < each; k++)
                load_submit(w, &w->endpoint[i], n, w->now + PATIENCE_S * SIM_S, strict);
}

static void heal(struct world *w)
{
    w->faulty = false;
    memset(w->parted, 0, sizeof w->parted);
    memset(w->port_down, 0, sizeof w->port_down);
    for (uint32_t n = 1; n <= w->o.nodes; n++)
        host_ports_changed(w, n);
    for (uint32_t n = 0; n < w->o.nodes; n++)
        if (w->paused_ns[n] > w->now)
            w->paused_ns[n] = w->now;
    for (uint32_t i = 0; i < w->endpoints; i++)
        w->endpoint[i].idle_turns = 0;
}

/* Runs until all is over, which is when the last deadline is at the latest. */
static void finish(struct world *w, uint64_t life_ns)
{
    run(w, w->now + life_ns + 10 * SIM_MS, all_over);
    CHECK(w, w->open == 0, w->open, life_ns);
}

static void phases(struct world *w)
{
    w->faulty = true;
    plan(w);
    run(w, w->o.faulty_us * SIM_US, NULL);
    heal(w);
    /* What is under way ends, at its deadline at the latest; each pair meets again, so that no session of a former life is left. */
    run(w, w->now + LIFE_MS * SIM_MS, all_up);
    CHECK(w, w->failed || all_up(w), 0, 0);
    finish(w, LIFE_MS * SIM_MS);
    if (!w->failed)
        submit_everywhere(w, 1, false);
    finish(w, PATIENCE_S * SIM_S);
    if (!w->failed)
        submit_everywhere(w, w->o.after, true);
    finish(w, PATIENCE_S * SIM_S);
    run(w, w->now + STILL_S * SIM_S, all_still);
    if (!w->failed)
        CHECK(w, all_still(w), w->open, net_when(w));
    if (!w->failed)
        count_end(w);
}

/* --- a run */

/* How many workers, slots and how large packets each node has. */
static void shape(struct world *w)
{
    const struct options *o = &w->o;
    uint32_t room = SIM_ENDPOINTS_MAX;
    for (uint32_t n = 1; n <= o->nodes; n++) {
        struct prng p = sim_keyed(w, 'N', n);
        uint32_t most = room - (uint32_t)(o->nodes - n), workers = (uint32_t)sim_draw(&p, 1, o->workers);
        workers = workers < most ? workers : most;
        room -= workers;
        w->workers[n - 1] = workers;
        uint32_t slots = 2;
        while (2 * (uint64_t)slots <= o->slots)
            slots *= 2;
        if (o->uneven)
            slots >>= sim_draw(&p, 0, 2);
        w->slots[n - 1] = slots < 2 ? 2 : slots;
        w->packet_max[n - 1] = (uint32_t)sim_draw(&p, o->packet_low, o->packet_high > o->packet_low ? o->packet_high : o->packet_low);
        for (uint32_t k = 0; k < workers; k++) {
            struct endpoint *e = &w->endpoint[w->endpoints];
            *e = (struct endpoint){.w = w, .node = n, .worker = k, .index = w->endpoints++};
        }
    }
}

static void print_end(const struct world *w)
{
    printf("  %u tasks, %llu restarts, %llu times down, %llu audits, %llu ms, digest %016llx; ended:", w->sub_count, (unsigned long long)w->restarts,
           (unsigned long long)w->downs, (unsigned long long)w->audits, (unsigned long long)(w->now / SIM_MS), (unsigned long long)w->digest);
    for (int i = 0; i < 64; i++)
        if (w->statuses[i])
            printf(" %s %llu", chi_status_name((enum chi_status)i), (unsigned long long)w->statuses[i]);
    printf("\n");
}

static void free_world(struct world *w)
{
    for (uint32_t i = 0; i < w->endpoints; i++)
        if (w->endpoint[i].up)
            host_stop(&w->endpoint[i], true);
    net_clear(w);
    load_free(w);
    free(w);
}

void sim_run(const struct options *o, bool verbose, struct outcome *out)
{
    struct world *w = sim_world = calloc(1, sizeof *w);
    if (!w)
        abort();
    w->o = *o;
    w->verbose = verbose;
    w->net = sim_keyed(w, 'n', 0);
    w->host = sim_keyed(w, 'h', 0);
    bool whole = setjmp(panicked) == 0;
    w = sim_world;
    if (whole) {
        shape(w);
        for (uint32_t n = 1; n <= w->o.nodes; n++)
            start(w, n);
        if (!w->failed)
            phases(w);
    }
    *out = (struct outcome){.ok = !w->failed, .digest = w->digest, .virtual_ns = w->now, .tasks = w->sub_count, .healing_ns = w->healing_ns, .audits = w->audits};
    if (w->failed) {
        snprintf(out->check, sizeof out->check, "%s", w->failed);
        snprintf(out->text, sizeof out->text, "%s", w->text);
    } else if (verbose) {
        print_end(w);
    }
    sim_world = NULL;
    if (whole)
        free_world(w);
}
