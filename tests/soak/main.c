/* main.c - options, and the parts of a run: at each loss rate two equal halves in which nobody dies, so that every task must be OK,
 * then a rough part with kills and cuts; at last the daemons end. */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "soak.h"

enum { EVENTS_MAX = 1024 };
static struct soak soak;

/* --- options */

static const struct options full = {.region = 64 << 20, .tasks = 10000, .between = 60, .clients = 2, .kills = 100, .stops = 20, .cuts = 20,
                                    .wires = 20, .victims = 20, .limit_s = 7200, .hang_s = 120, .losses = 5,
                                    .loss = {"0", "0.01%", "0.1%", "1%", "5%"}};
static const struct options brief = {.region = 2 << 20, .tasks = 60, .between = 10, .clients = 1, .kills = 2, .stops = 1, .cuts = 1,
                                     .wires = 1, .victims = 1, .limit_s = 280, .hang_s = 60, .losses = 5,
                                     .loss = {"0", "0.01%", "0.1%", "1%", "5%"}};

static const struct {
    const char *name;
    uint32_t *value;
    const char *help;
} numbers[] = {
    {"tasks", &soak.o.tasks, "tasks at each loss rate while nobody dies"},
    {"between", &soak.o.between, "at most so many from one fault to the next, when somebody does"},
    {"clients", &soak.o.clients, "at each daemon, 1..4"},
    {"kills", &soak.o.kills, "of each daemon"},
    {"stops", &soak.o.stops, "SIGSTOPs of a daemon"},
    {"cuts", &soak.o.cuts, "one-way cuts that are short, and as many that are longer than the peer silence"},
    {"wires", &soak.o.wires, "times that chi-wire ends and comes back"},
    {"victims", &soak.o.victims, "clients that are killed"},
    {"limit", &soak.o.limit_s, "seconds for all of it"},
    {"hang", &soak.o.hang_s, "seconds after which a task hangs"},
};
enum { NUMBERS = sizeof numbers / sizeof numbers[0], OPTION_SEED = 100, OPTION_LOSS, OPTION_REGION, OPTION_SHORT, OPTION_HELP };

static int usage(int rc)
{
    printf("usage: soak [--short] [OPTION NUMBER]...\n"
           "  --short       the form that is an integration test; stands first\n"
           "  --seed        what all is drawn from\n"
           "  --loss        rates, like 0,0.1%%,5%%\n"
           "  --region      bytes of the largest region\n");
    for (unsigned i = 0; i < NUMBERS; i++)
        printf("  --%-11s %s; %u\n", numbers[i].name, numbers[i].help, *numbers[i].value);
    return rc;
}

static bool parse_losses(struct options *o, const char *text)
{
    for (o->losses = 0; *text && o->losses < LOSSES_MAX;) {
        size_t n = strcspn(text, ",");
        if (n == 0 || n >= sizeof o->loss[0])
            return false;
        snprintf(o->loss[o->losses++], sizeof o->loss[0], "%.*s", (int)n, text);
        text += n + (text[n] == ',');
    }
    return o->losses && !*text;
}

static bool parse_number(const char *text, uint64_t *out)
{
    char *end;
    *out = strtoull(text, &end, 10);
    return end != text && !*end;
}

/* 0: go on. */
static int parse(struct options *o, int argc, char **argv)
{
    struct option list[NUMBERS + 6] = {{"seed", 1, NULL, OPTION_SEED}, {"loss", 1, NULL, OPTION_LOSS}, {"region", 1, NULL, OPTION_REGION},
                                       {"short", 0, NULL, OPTION_SHORT}, {"help", 0, NULL, OPTION_HELP}};
    for (unsigned i = 0; i < NUMBERS; i++)
        list[5 + i] = (struct option){numbers[i].name, 1, NULL, (int)i};
    uint64_t v = 0, seed = (uint64_t)time(NULL);
    *o = full;
    for (int c; (c = getopt_long(argc, argv, "", list, NULL)) >= 0;) {
        bool good = c != '?' && (c == OPTION_LOSS || c >= OPTION_SHORT || parse_number(optarg, &v));
        if (c == OPTION_HELP)
            return usage(1);
        if (c == OPTION_SHORT)
            *o = brief;
        else if (c == OPTION_LOSS)
            good = parse_losses(o, optarg);
        else if (c == OPTION_SEED)
            seed = v;
        else if (c == OPTION_REGION)
            o->region = v;
        else if (good)
            *numbers[c].value = (uint32_t)v;
        if (!good)
            return usage(2);
    }
    o->seed = seed;
    return optind == argc && o->clients >= 1 && o->clients <= CLIENTS_MAX / NODES && o->region >= 4096 && o->hang_s <= 1000 ? 0 : usage(2);
}

/* --- parts */

/* Of n things over all loss rates those of one. */
static uint32_t share(uint32_t n, unsigned i, unsigned of) { return n * (i + 1) / of - n * i / of; }

struct events {
    unsigned n;
    enum fault what[EVENTS_MAX];
};

static void events_add(struct events *e, enum fault f, uint32_t times)
{
    while (times-- && e->n < EVENTS_MAX)
        e->what[e->n++] = f;
}

static void events_shuffle(struct events *e, struct prng *p)
{
    for (unsigned i = e->n; i > 1; i--) {
        unsigned k = (unsigned)prng_below(p, i);
        enum fault f = e->what[k];
        e->what[k] = e->what[i - 1];
        e->what[i - 1] = f;
    }
}

static void settings_of(struct soak *s, const char *loss)
{
    snprintf(s->wire.settings, sizeof s->wire.settings,
             "both: clear loss=%s dup=0.5%% reorder=1%%/300us corrupt=0.1%% delay=20us jitter=10us", loss);
}

static void calm_half(struct soak *s, const struct events *e, unsigned half, struct figures out[NODES])
{
    unsigned from = e->n * half / 2, to = e->n * (half + 1) / 2;
    uint64_t tasks = s->o.tasks / 2, each = tasks / (to - from + 1), end = s->ended + tasks;
    for (unsigned k = 0; k < NODES; k++)
        s->client[k].full = true;
    for (unsigned i = from; i < to; i++) {
        load_tasks(s, each);
        fault(s, e->what[i]);
    }
    if (s->ended < end)
        load_tasks(s, end - s->ended);
    quiet(s, out);
}

static void part_calm(struct soak *s, unsigned i, struct figures before[NODES])
{
    struct figures half[NODES];
    struct events e = {0};
    const struct options *o = &s->o;
    events_add(&e, FAULT_STOP, share(o->stops, i, o->losses));
    events_add(&e, FAULT_CUT_SHORT, share(o->cuts, i, o->losses));
    events_add(&e, FAULT_VICTIM, share(o->victims, i, o->losses));
    events_shuffle(&e, &s->fates);
    s->calm = true;
    calm_half(s, &e, 0, half);
    quiet_counts(s, before, half);
    calm_half(s, &e, 1, before);
    quiet_counts(s, half, before);
    quiet_flat(s, half, before, true);
}

static void part_rough(struct soak *s, unsigned i, struct figures before[NODES])
{
    struct events e = {0};
    const struct options *o = &s->o;
    events_add(&e, FAULT_KILL_ONE, share(o->kills, i, o->losses));
    events_add(&e, FAULT_KILL_TWO, share(o->kills, i, o->losses));
    events_add(&e, FAULT_CUT_LONG, share(o->cuts, i, o->losses));
    events_add(&e, FAULT_WIRE, share(o->wires, i, o->losses));
    events_shuffle(&e, &s->fates);
    s->calm = false;
    for (unsigned k = 0; k < e.n; k++) {
        load_tasks(s, prng_below(&s->fates, o->between + 1));
        fault(s, e.what[k]);
    }
    struct figures after[NODES];
    for (unsigned k = 0; k < s->clients; k++)
        s->client[k].has_next = false; /* it may have a short deadline */
    quiet(s, after);
    quiet_flat(s, before, after, false);
    memcpy(before, after, sizeof after);
}

static void print_so_far(struct soak *s, const char *what)
{
    print_message("soak: %7.1f s: %s: %llu tasks ended, %llu MiB of regions", (double)(clock_ns() - s->began_ns) / 1e9, what,
                  (unsigned long long)s->ended, (unsigned long long)(s->bytes >> 20));
    for (unsigned i = 0; i < STATUSES; i++)
        if (s->status[i])
            print_message(", %s %llu", chi_status_name((enum chi_status)i), (unsigned long long)s->status[i]);
    for (unsigned i = 0; i < FAULTS; i++)
        if (s->done[i])
            print_message(", %s %llu", fault_names[i], (unsigned long long)s->done[i]);
    print_message("\n");
}

/* --- all of it */

static void on_limit(int sig)
{
    static const char text[] = "soak: the time is over\n";
    (void)sig;
    if (write(2, text, sizeof text - 1) < 0)
        _exit(3);
    _exit(2); /* what it started dies with it */
}

static void begin(struct soak *s)
{
    char path[160], limits[64];
    snprintf(path, sizeof path, "%s/runs", test_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, PROBE_RUNS_BYTES) == 0);
    s->runs = mmap(NULL, PROBE_RUNS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    s->verdict = calloc(PROBE_RUNS_BYTES, 1);
    assert_true(s->runs != MAP_FAILED && s->verdict);
    close(fd);
    assert_int_equal(setenv(PROBE_RUNS, path, 1), 0);
    snprintf(limits, sizeof limits, "peer_silence_ms: %d", SILENCE_MS);
    s->next_victim = PROBE_RUNS_BYTES / 2;
    settings_of(s, s->o.loss[0]);
    wire_start(s);
    for (unsigned k = 0; k < NODES; k++) {
        const struct node_options o = {.peer = NODES - k, .wire = true, .modules = MODULES_OF_TESTS, .memory = "512M", .limits = limits,
                                       .compose = "  - {mod: probe, pool: 200.0, name: probe}"};
        node_configure(&s->node[k], k + 1, &o);
        node_start(&s->node[k]);
    }
    s->clients = s->o.clients * NODES;
    for (unsigned i = 0; i < s->clients; i++) {
        s->client[i].node = i % NODES;
        prng_init(&s->client[i].prng, s->o.seed * 100 + i);
        client_open(s, &s->client[i]);
    }
}

static void end(struct soak *s)
{
    for (unsigned i = 0; i < s->clients; i++)
        client_close(s, &s->client[i]);
    for (unsigned k = 0; k < NODES; k++) {
        soak_say(s, "node%u ends", k + 1);
        if (node_stop(&s->node[k]))
            soak_fail(s, "node%u did not end well", k + 1);
    }
    soak_say(s, "chi-wire ends");
    wire_end(s, SIGTERM);
    munmap(s->runs, PROBE_RUNS_BYTES);
    free(s->verdict);
}

static void soak__every_task_ends_once_and_all_is_given_back(void **state)
{
    struct soak *s = &soak;
    struct figures f[NODES];
    char what[64];
    (void)state;
    s->began_ns = clock_ns();
    begin(s);
    quiet(s, f);
    for (unsigned i = 0; i < s->o.losses; i++) {
        settings_of(s, s->o.loss[i]);
        wire_set(s, s->wire.settings);
        part_calm(s, i, f);
        snprintf(what, sizeof what, "%s lost, nobody dies", s->o.loss[i]);
        print_so_far(s, what);
        part_rough(s, i, f);
        snprintf(what, sizeof what, "%s lost, daemons die", s->o.loss[i]);
        print_so_far(s, what);
    }
    end(s);
    print_so_far(s, "nothing hung, ran twice, was wrong or was left");
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--victim") == 0)
        return victim_main(argv[2], argv[3], argv[4]);
    int rc = parse(&soak.o, argc, argv);
    if (rc)
        return rc == 2 ? 2 : 0;
    prng_init(&soak.fates, soak.o.seed);
    setvbuf(stdout, NULL, _IOLBF, 0);
    print_message("soak: seed %llu\n", (unsigned long long)soak.o.seed);
    signal(SIGALRM, on_limit);
    alarm(soak.o.limit_s);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(soak__every_task_ends_once_and_all_is_given_back, folder_setup, folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
