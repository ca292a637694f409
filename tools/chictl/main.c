/* main.c - chictl [-s SOCKET] [--json] COMMAND: asks a running daemon.
 * Ends with 0; 1 when the daemon refuses; 2 for a wrong command line; 3 when no daemon answers. */
#include <math.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "call.h"
#include "control/nearest.h"
#include "pools.h"
#include "render.h"
#include "top.h"

enum { DEVICE = 1, IP = 2, MTU = 4, LINK = 8, ID = 16, NAME = 32, QUEUES = 64, POOL = 128, QUEUE = 256, LANE = 512, WORKER = 1024, CONTAINER = 2048,
       MODULE = 4096, CONTAINERS = 8192, NODE = 16384, LIMIT = 32768, CORE = 65536, IDLE = 131072, VALUES = 18,
       REFRESHES = 1 << 30 /* top.h */ };
enum { EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3, LINE_BYTES = 512 };
#define DEFAULT_SOCKET "/run/chimaera/chimaera.sock"

/* method NULL: answered here.  argument: the parameter of the method that one more word gives; NULL: none.  columns: of a table, those
 * that a person needs; NULL: all.  options: those that are parameters too, by bits. */
static const struct command {
    const char *words, *method, *help, *argument, *columns;
    unsigned options;
} commands[] = {
    {"status", "status", "the node, its cluster, how long it is up", NULL, NULL, 0},
    {"worker list", "worker.list", "each worker and its counters", NULL, NULL, 0},
    {"worker add", "worker.add", "--core N: one more core turns workers, some of those that the others have", NULL, NULL, CORE},
    {"worker remove", "worker.remove", "--core N: the others turn what it does", NULL, NULL, CORE},
    {"worker set", "worker.set", "--idle busy|adaptive [--core N]: whether threads sleep when there is nothing to do", NULL, NULL, IDLE | CORE},
    {"port list", "port.list", "each port and its counters", NULL, NULL, 0},
    {"port add", "port.add", "NAME --device D --ip A/P [--mtu N] [--queues N]: opens a port", "name", NULL, DEVICE | IP | MTU | QUEUES},
    {"port set", "port.set", "NAME [--link up|down] [--mtu N]: changes one", "name", NULL, LINK | MTU},
    {"port remove", "port.remove", "NAME: closes one", "name", NULL, 0},
    {"pool list", "pool.list", "each pool and its containers here", NULL, NULL, 0},
    {"pool show", "pool.show", "NAME: on which node each of its containers is", "name", NULL, 0},
    {"pool create", "pool.create", "NAME --module M [--containers N]: makes one on all nodes, or finds it", "name", NULL, MODULE | CONTAINERS},
    {"pool destroy", "pool.destroy", "NAME: takes one from all nodes, and ends its tasks", "name", NULL, 0},
    {"pool expand", "pool.expand", "NAME [--containers N] [--node ID]: more containers, on each node or one", "name", NULL, CONTAINERS | NODE},
    {"pool contract", "pool.contract", "NAME [--containers N]: the last ones go", "name", NULL, CONTAINERS},
    {"mod list", "mod.list", "each module, its methods and pools", NULL, NULL, 0},
    {"mod show", "mod.show", "NAME: its methods, with their fields", "name", NULL, 0},
    {"mod load", "mod.load", "NAME: loads NAME.so of a folder of modules.path", "name", NULL, 0},
    {"mod unload", "mod.unload", "NAME: closes one that no pool is of", "name", NULL, 0},
    {"mod upgrade", "mod.upgrade", "NAME [--limit MS]: the NAME.so that is there now takes the place of the one that runs", "name", NULL, LIMIT},
    {"task list", "task.list", "tasks that run, wait or are away now, and how far they say that they are", NULL, NULL, 0},
    {"lane list", "lane.list", "each lane: its worker, its tasks, the time that they took", NULL, NULL, 0},
    {"lane move", "lane.move", "--pool P [--container N] [--queue N] --lane N --worker N: gives one to another worker", NULL, NULL,
      POOL | CONTAINER | QUEUE | LANE | WORKER},
    {"peer list", "peer.list", "each other node: its state, round-trip time, tasks, losses", NULL,
     "node name state srtt_ns open_out open_in retransmits drops", 0},
    {"peer show", "peer.show", "all figures of one node, by its id or name", "peer", NULL, 0},
    {"peer add", "peer.add", "--id N --name X --ip A[,B...]: one more node", NULL, NULL, ID | NAME | IP},
    {"peer drain", "peer.drain", "NAME: no new tasks go to it", "name", NULL, 0},
    {"peer remove", "peer.remove", "NAME: forgets it, and ends what is open with it", "name", NULL, 0},
    {"top", "load.list", "[--interval S] [--once]: workers and methods by what they do now; ends with Ctrl-C", NULL, NULL, REFRESHES},
    {"flush", "flush", "[--pool P]: waits until all tasks that are there now have ended, on all nodes", NULL, NULL, POOL},
    {"stats", "stats", "counters of all workers, and what was dropped, by reason", NULL, NULL, 0},
    {"stop", "stop", "ends the daemon in order", NULL, NULL, 0},
    {"help", NULL, "this list", NULL, NULL, 0},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

/* Parameters that are options; a number is sent as one. */
static const struct {
    const char *name;
    bool number;
} values[VALUES] = {{"device", false}, {"ip", false}, {"mtu", true}, {"link", false}, {"id", true}, {"name", false}, {"queues", true},
             {"pool", false},   {"queue", true}, {"lane", true}, {"worker", true},
             {"container", true}, {"module", false}, {"containers", true}, {"node", true}, {"limit", true}, {"core", true}, {"idle", false}};

struct arguments {
    char *socket, *value[VALUES];
    double timeout_s, interval_s; /* interval_s HUGE_VAL: not given */
    int json, help, version, once;
};

static void print_help(poptContext ctx, FILE *to)
{
    poptPrintHelp(ctx, to, 0);
    fprintf(to, "\nCommands:\n");
    for (unsigned i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-13s %s\n", commands[i].words, commands[i].help);
    fprintf(to, "\nThe socket is that of -s, else of $CHI_SOCKET, else " DEFAULT_SOCKET ".\n"
                "Ends with 0; 1 when the daemon refuses; 2 for a wrong command line; 3 when no daemon answers.\n");
}

static void print_json_help(void)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < COMMANDS; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "command", commands[i].words, "help", commands[i].help));
    json_dumpf(list, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(list);
}

static int bad_option(const struct poptOption *options, const char *given, const char *why)
{
    struct nearest near;
    char name[32];
    const char *best = NULL;
    nearest_init(&near, given + strspn(given, "-"));
    for (const struct poptOption *o = options; o->longName || o->shortName; o++) {
        nearest_offer(&near, o->longName);
        best = near.best;
    }
    snprintf(name, sizeof(name), "%s", best ? best : "help");
    fprintf(stderr, "chictl: %s: %s; did you mean --%s?\n", given, why, name);
    return EXIT_USAGE;
}

/* The words of the command line as one text, blanks between. */
static void join(const char **words, char *out, size_t cap)
{
    size_t at = 0;
    out[0] = 0;
    for (; words && *words && at < cap; words++)
        at += (size_t)snprintf(out + at, cap - at, "%s%s", at ? " " : "", *words);
}

static const struct command *find_command(const char *line, const char **argument_out)
{
    struct nearest near;
    *argument_out = NULL;
    for (unsigned i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].words, line) != 0)
            continue;
        if (!commands[i].argument)
            return &commands[i];
        fprintf(stderr, "chictl: '%s' needs one more word: which %s\n", line, commands[i].argument);
        return NULL;
    }
    for (unsigned i = 0; i < COMMANDS; i++) {
        size_t n = strlen(commands[i].words);
        if (strncmp(commands[i].words, line, n) == 0 && line[n] == ' ') {
            *argument_out = line + n + 1;
            if (commands[i].argument)
                return &commands[i];
            fprintf(stderr, "chictl: '%s' takes no argument, but got '%s'; did you mean '%s'?\n", commands[i].words,
                    line + n + 1, commands[i].words);
            return NULL;
        }
    }
    nearest_init(&near, line);
    for (unsigned i = 0; i < COMMANDS; i++)
        nearest_offer(&near, commands[i].words);
    fprintf(stderr, "chictl: unknown command '%s'; did you mean '%s'? (chictl --help lists all)\n", line, near.best);
    return NULL;
}

static unsigned terminal_width(void)
{
    struct winsize size;
    return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* Of each row these columns. */
static json_t *narrow(const json_t *rows, const char *columns)
{
    json_t *list = json_array(), *row;
    size_t i;
    json_array_foreach((json_t *)rows, i, row)
    {
        json_t *o = json_object();
        for (const char *c = columns; *c; c += strcspn(c, " "), c += *c == ' ') {
            char key[32];
            snprintf(key, sizeof(key), "%.*s", (int)strcspn(c, " "), c);
            json_t *value = json_object_get(row, key);
            if (value)
                json_object_set(o, key, value);
        }
        json_array_append_new(list, o);
    }
    return list;
}

/* A long list of reasons, most of which never happened. */
static void leave_out_zeros(json_t *reasons)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(reasons, next, key, value)
    {
        if (json_integer_value(value) == 0)
            json_object_del(reasons, key);
    }
}

static void show(const struct command *command, json_t *result)
{
    if (command->columns && json_is_array(result)) {
        json_t *rows = narrow(result, command->columns);
        render(stdout, rows, terminal_width());
        json_decref(rows);
        return;
    }
    if (command->argument)
        leave_out_zeros(json_object_get(result, "drops"));
    render(stdout, result, terminal_width());
}

/* The parameters of a call; NULL when an option is not the command's, or no number where one is due. */
static json_t *params_of(const struct arguments *a, const struct command *c, const char *argument)
{
    json_t *params = json_object();
    if (argument)
        json_object_set_new(params, c->argument, json_string(argument));
    for (unsigned i = 0; i < VALUES; i++) {
        const char *text = a->value[i];
        char *end;
        if (!text)
            continue;
        long long v = strtoll(text, &end, 10);
        bool known = c->options & 1u << i, right = !values[i].number || (*text && !*end);
        if (known && right) {
            json_object_set_new(params, values[i].name, values[i].number ? json_integer(v) : json_string(text));
            continue;
        }
        if (!known)
            fprintf(stderr, "chictl: '%s' has no option --%s (chictl --help lists all)\n", c->words, values[i].name);
        else
            fprintf(stderr, "chictl: --%s is '%s'; right is a number\n", values[i].name, text);
        json_decref(params);
        return NULL;
    }
    return params;
}

/* The upgrade is begun: what became of it.  REFUSED: it was given up. */
static enum call_result await_upgrade(const struct call_to *to, unsigned timeout_ms, json_t **result, char *err, size_t cap)
{
    const struct timespec each = {0, 10000000};
    for (;;) {
        json_decref(*result);
        enum call_result r = call_method(to, "mod.upgrading", NULL, timeout_ms, result, err, cap);
        if (r)
            return r;
        const char *is = json_string_value(json_object_get(*result, "upgrade"));
        if (!is || strcmp(is, "waits") != 0)
            break;
        nanosleep(&each, NULL);
    }
    const char *is = json_string_value(json_object_get(*result, "upgrade")), *why = json_string_value(json_object_get(*result, "why"));
    if (!is || strncmp(is, "done", 4) == 0)
        return CALL_OK;
    snprintf(err, cap, "the upgrade was given up: %s", why ? why : "");
    json_decref(*result);
    return CALL_REFUSED;
}

/* Of a command that refreshes, and of no other one. */
static bool top_options_right(const struct arguments *a, const struct command *c)
{
    const char *given = a->once ? "once" : a->interval_s < HUGE_VAL ? "interval" : NULL;
    if (given && !(c->options & REFRESHES))
        fprintf(stderr, "chictl: '%s' has no option --%s (chictl --help lists all)\n", c->words, given);
    else if (a->interval_s < HUGE_VAL && !(a->interval_s >= TOP_INTERVAL_MIN_S && a->interval_s <= TOP_INTERVAL_MAX_S))
        fprintf(stderr, "chictl: --interval is %g; right is a number of seconds from %g to %d\n", a->interval_s, TOP_INTERVAL_MIN_S, TOP_INTERVAL_MAX_S);
    else
        return true;
    return false;
}

static int ask(const struct arguments *a, const struct command *command, const char *argument)
{
    json_t *params = top_options_right(a, command) ? params_of(a, command, argument) : NULL;
    if (!params)
        return EXIT_USAGE;
    const char *environment = getenv("CHI_SOCKET");
    const char *path = a->socket ? a->socket : environment && environment[0] ? environment : DEFAULT_SOCKET;
    char err[CALL_ERROR_BYTES];
    json_t *result = NULL;

    const struct call_to to = {path, "daemon", "start chimaerad, or name another socket with -s"};
    const unsigned timeout_ms = (unsigned)(a->timeout_s * 1000);
    bool refreshes = command->options & REFRESHES && !a->json;
    enum call_result r;
    if (refreshes) {
        json_decref(params); /* it has none */
        r = top(&to, command->method, timeout_ms, a->interval_s < HUGE_VAL ? a->interval_s : TOP_INTERVAL_S, a->once, err, sizeof(err));
    } else {
        r = (pools_offers(command->method) ? pools_call : call_method)(&to, command->method, params, timeout_ms, &result, err, sizeof(err));
    }
    if (r == CALL_OK && strcmp(command->method, "mod.upgrade") == 0)
        r = await_upgrade(&to, timeout_ms, &result, err, sizeof err);
    if (r) {
        fprintf(stderr, "chictl: %s\n", err);
        return r == CALL_REFUSED ? EXIT_REFUSED : EXIT_UNREACHABLE;
    }
    if (refreshes)
        return EXIT_SUCCESS;
    if (a->json) {
        json_dumpf(result, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
        putchar('\n');
    } else
        show(command, result);
    json_decref(result);
    return EXIT_SUCCESS;
}

static int run(poptContext ctx, const struct poptOption *options, struct arguments *a)
{
    char line[LINE_BYTES];
    int opt = poptGetNextOpt(ctx);
    if (opt < -1)
        return bad_option(options, poptBadOption(ctx, POPT_BADOPTION_NOALIAS), poptStrerror(opt));
    if (a->help) {
        print_help(ctx, stdout);
        return EXIT_SUCCESS;
    }
    if (a->version) {
        printf("chictl %s\n", CHI_VERSION);
        return EXIT_SUCCESS;
    }
    if (!(a->timeout_s > 0 && a->timeout_s <= 3600)) {
        fprintf(stderr, "chictl: --timeout is %g; right is a number of seconds up to 3600\n", a->timeout_s);
        return EXIT_USAGE;
    }
    join(poptGetArgs(ctx), line, sizeof(line));
    if (!line[0]) {
        fprintf(stderr, "chictl: a command is missing; one of: ");
        for (unsigned i = 0; i < COMMANDS; i++)
            fprintf(stderr, "%s%s", i ? ", " : "", commands[i].words);
        fputc('\n', stderr);
        return EXIT_USAGE;
    }
    const char *argument;
    const struct command *command = find_command(line, &argument);
    if (!command)
        return EXIT_USAGE;
    if (command->method)
        return ask(a, command, argument);
    if (a->json)
        print_json_help();
    else
        print_help(ctx, stdout);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct arguments a = {.timeout_s = 5, .interval_s = HUGE_VAL};
    const struct poptOption options[] = {
        {"socket", 's', POPT_ARG_STRING, &a.socket, 0, "the daemon's control socket", "PATH"},
        {"json", 'j', POPT_ARG_NONE, &a.json, 0, "print the result as JSON, with raw numbers", NULL},
        {"timeout", 't', POPT_ARG_DOUBLE, &a.timeout_s, 0, "wait so long for an answer (5)", "SECONDS"},
        {"device", 0, POPT_ARG_STRING, &a.value[0], 0, "of a port: DPDK's name with arguments, PCI address, kernel interface", "D"},
        {"ip", 0, POPT_ARG_STRING, &a.value[1], 0, "of a port, with its prefix; of a peer, one or several", "A"},
        {"mtu", 0, POPT_ARG_STRING, &a.value[2], 0, "of a port (1500)", "N"},
        {"link", 0, POPT_ARG_STRING, &a.value[3], 0, "of a port", "up|down"},
        {"id", 0, POPT_ARG_STRING, &a.value[4], 0, "of a peer", "N"},
        {"name", 0, POPT_ARG_STRING, &a.value[5], 0, "of a peer", "X"},
        {"queues", 0, POPT_ARG_STRING, &a.value[6], 0, "of a port, at most one a worker (as many as its driver offers)", "N"},
        {"pool", 0, POPT_ARG_STRING, &a.value[7], 0, "of a lane, to be flushed: its number, like 100.0, or name", "P"},
        {"container", 0, POPT_ARG_STRING, &a.value[11], 0, "that has a lane, of several of the pool here (the first)", "N"},
        {"queue", 0, POPT_ARG_STRING, &a.value[8], 0, "of a lane (0)", "N"},
        {"lane", 0, POPT_ARG_STRING, &a.value[9], 0, "its number in the queue", "N"},
        {"limit", 0, POPT_ARG_STRING, &a.value[15], 0, "milliseconds until an upgrade is given up (5000)", "MS"},
        {"worker", 0, POPT_ARG_STRING, &a.value[10], 0, "that a lane goes to", "N"},
        {"module", 0, POPT_ARG_STRING, &a.value[12], 0, "of a pool", "M"},
        {"containers", 0, POPT_ARG_STRING, &a.value[13], 0, "of a pool, on each node; that come or go (1)", "N"},
        {"node", 0, POPT_ARG_STRING, &a.value[14], 0, "that gets more containers (each)", "ID"},
        {"core", 0, POPT_ARG_STRING, &a.value[16], 0, "that turns workers", "N"},
        {"idle", 0, POPT_ARG_STRING, &a.value[17], 0, "of the threads of workers", "busy|adaptive"},
        {"interval", 0, POPT_ARG_DOUBLE, &a.interval_s, 0, "of top: between two looks (2)", "SECONDS"},
        {"once", 0, POPT_ARG_NONE, &a.once, 0, "of top: one look, also on a terminal", NULL},
        {"version", 0, POPT_ARG_NONE, &a.version, 0, "print the version and end", NULL},
        {"help", 'h', POPT_ARG_NONE, &a.help, 0, "print this help and end", NULL},
        POPT_TABLEEND,
    };
    poptContext ctx = poptGetContext("chictl", argc, (const char **)argv, options, 0);
    poptSetOtherOptionHelp(ctx, "[OPTION...] COMMAND");
    int rc = run(ctx, options, &a);
    poptFreeContext(ctx);
    free(a.socket);
    for (unsigned i = 0; i < VALUES; i++)
        free(a.value[i]);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "chictl: cannot write the result\n");
        return EXIT_REFUSED;
    }
    return rc;
}
