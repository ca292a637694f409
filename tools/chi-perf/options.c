/* options.c - the command line of chi-perf: each mistake is one line that names what is right. */
#include <errno.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chimods/perf/perf.h"
#include "perf.h"

#define DEFAULT_SOCKET "/run/chimaera/chimaera.sock"

static struct {
    const char *from, *node, *size, *count, *window, *direction, *socket, *pool, *cpu, *timeout, *query;
    int json, spin;
} raw;

static const struct poptOption table[] = {
    {"from", 0, POPT_ARG_STRING, &raw.from, 0, "who issues the tasks (default client)", "client|daemon"},
    {"node", 0, POPT_ARG_STRING, &raw.node, 0, "node that runs them (default: the local one)", "N"},
    {"query", 0, POPT_ARG_STRING, &raw.query, 0, "in place of --node: the containers that run them", "range:0+4|broadcast|..."},
    {"size", 0, POPT_ARG_STRING, &raw.size, 0, "bytes of a region; 0: a ping without one", "BYTES[K|M|G]"},
    {"count", 0, POPT_ARG_STRING, &raw.count, 0, "tasks", "N[K|M|G]"},
    {"window", 0, POPT_ARG_STRING, &raw.window, 0, "tasks out at once", "1..1024"},
    {"direction", 0, POPT_ARG_STRING, &raw.direction, 0, "which regions travel (default both)", "write|expose|both"},
    {"socket", 0, POPT_ARG_STRING, &raw.socket, 0, "of the daemon (default $CHI_SOCKET, " DEFAULT_SOCKET ")", "PATH"},
    {"pool", 0, POPT_ARG_STRING, &raw.pool, 0, "the echo pool (default 100.0)", "MAJOR.MINOR"},
    {"timeout", 0, POPT_ARG_STRING, &raw.timeout, 0, "of each task (default: the daemon's)", "MILLISECONDS"},
    {"cpu", 0, POPT_ARG_STRING, &raw.cpu, 0, "pin this process", "N"},
    {"spin", 0, POPT_ARG_NONE, &raw.spin, 0, "never sleep while tasks are out", NULL},
    {"json", 0, POPT_ARG_NONE, &raw.json, 0, "print one JSON object", NULL},
    POPT_AUTOHELP POPT_TABLEEND,
};

static int wrong(const char *what, const char *is, const char *right)
{
    fprintf(stderr, "chi-perf: %s is '%s'; right is %s\n", what, is ? is : "", right);
    return EXIT_USAGE;
}

/* A whole number within [low, high], with K, M or G for powers of `unit`; `out` is left alone when text is NULL. */
static int number_read(const char *option, const char *text, uint64_t unit, uint64_t low, uint64_t high, uint64_t *out)
{
    char range[96];
    if (!text)
        return 0;
    char *end;
    errno = 0;
    uint64_t v = strtoull(text, &end, 10), scale = 1;
    if (unit && *end && strchr("KMG", *end))
        scale = *end == 'K' ? unit : *end == 'M' ? unit * unit : unit * unit * unit, end++;
    if (text[0] < '0' || text[0] > '9' || *end || errno || v > high / scale || v * scale < low) {
        snprintf(range, sizeof range, "a number from %llu to %llu", (unsigned long long)low, (unsigned long long)high);
        return wrong(option, text, range);
    }
    *out = v * scale;
    return 0;
}

static int pool_read(const char *text, struct chi_pool_id *out)
{
    char *end;
    if (!text)
        return 0;
    unsigned long major = strtoul(text, &end, 10), minor = 0;
    bool ok = text[0] >= '0' && text[0] <= '9' && *end == '.' && end[1] >= '0' && end[1] <= '9';
    if (ok)
        minor = strtoul(end + 1, &end, 10);
    if (!ok || *end || major > UINT32_MAX || minor > UINT32_MAX)
        return wrong("--pool", text, "MAJOR.MINOR, like 100.0");
    *out = (struct chi_pool_id){(uint32_t)major, (uint32_t)minor};
    return 0;
}

static int mode_read(const char *text, enum perf_mode *out)
{
    static const char *const names[] = {"latency", "rate", "bulk"};
    for (unsigned i = 0; text && i < 3; i++) {
        if (!strcmp(text, names[i])) {
            *out = (enum perf_mode)i;
            return 0;
        }
    }
    return wrong("the measurement", text, "latency, rate or bulk");
}

static int words_read(struct options *o)
{
    if (raw.from && strcmp(raw.from, "client") && strcmp(raw.from, "daemon"))
        return wrong("--from", raw.from, "client or daemon");
    o->from_daemon = raw.from && !strcmp(raw.from, "daemon");
    o->direction = PERF_BOTH;
    if (raw.direction) {
        if (!strcmp(raw.direction, "write"))
            o->direction = PERF_WRITE;
        else if (!strcmp(raw.direction, "expose"))
            o->direction = PERF_EXPOSE;
        else if (strcmp(raw.direction, "both"))
            return wrong("--direction", raw.direction, "write, expose or both");
    }
    return pool_read(raw.pool, &o->pool);
}

/* Whose tasks these are to be; local without a word. */
static int query_read(struct options *o)
{
    o->query = o->node ? chi_physical(o->node) : chi_local();
    if (!raw.query)
        return 0;
    if (o->node)
        return wrong("--query", raw.query, "nothing beside --node");
    return chi_query_parse(raw.query, &o->query) == CHI_STATUS_OK ? 0 : wrong("--query", raw.query, "a query like direct:3, range:0+4 or broadcast");
}

static int numbers_read(struct options *o)
{
    uint64_t node = 0, window = o->mode == MODE_LATENCY ? 1 : o->mode == MODE_RATE ? 128 : 4, cpu = UINT64_MAX, timeout_ms = 0;
    o->size = o->mode == MODE_BULK ? 1 << 20 : 0;
    int e = number_read("--node", raw.node, 0, 1, 65535, &node);
    if (!e)
        e = number_read("--size", raw.size, 1024, o->mode == MODE_BULK ? 1 : 0, 1ull << 32, &o->size);
    if (!e)
        e = number_read("--window", raw.window, 0, 1, WINDOW_MAX, &window);
    if (!e)
        e = number_read("--cpu", raw.cpu, 0, 0, 1023, &cpu);
    if (!e)
        e = number_read("--timeout", raw.timeout, 0, 1, 4000000, &timeout_ms);
    o->count = o->mode == MODE_LATENCY ? 100000 : 1000000;
    if (o->size) {
        uint64_t fit = (1ull << 30) / o->size;
        o->count = fit < 8 ? 8 : fit < o->count ? fit : o->count;
    }
    if (!e)
        e = number_read("--count", raw.count, 1000, 1, 1ull << 40, &o->count);
    if (!o->size)
        o->direction = PERF_PING;
    o->node = (uint32_t)node;
    o->window = (uint32_t)(window < o->count ? window : o->count);
    o->cpu = cpu == UINT64_MAX ? -1 : (int)cpu;
    o->timeout_us = (uint32_t)timeout_ms * 1000;
    return e;
}

int options_read(struct options *o, int argc, const char **argv)
{
    *o = (struct options){.pool = {100, 0}};
    poptContext ctx = poptGetContext("chi-perf", argc, argv, table, 0);
    poptSetOtherOptionHelp(ctx, "latency|rate|bulk [OPTION...]");
    int e = poptGetNextOpt(ctx);
    if (e < -1) {
        fprintf(stderr, "chi-perf: %s: %s; chi-perf --help lists what is right\n", poptBadOption(ctx, POPT_BADOPTION_NOALIAS),
                poptStrerror(e));
        poptFreeContext(ctx);
        return EXIT_USAGE;
    }
    e = mode_read(poptGetArg(ctx), &o->mode);
    const char *more = poptGetArg(ctx);
    if (!e && more)
        e = wrong("an argument too many", more, "one measurement");
    if (!e)
        e = words_read(o);
    if (!e)
        e = numbers_read(o);
    if (!e)
        e = query_read(o);
    o->json = raw.json;
    o->spin = raw.spin;
    const char *environment = getenv("CHI_SOCKET");
    o->socket = raw.socket ? raw.socket : environment && environment[0] ? environment : DEFAULT_SOCKET;
    if (!e && o->from_daemon && !o->node && !raw.query)
        e = wrong("--node", NULL, "the node to measure against, with --from daemon");
    poptFreeContext(ctx);
    return e;
}
