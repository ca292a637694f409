/* options.c - the command line of chi-wire: each mistake is one line that names what is right. */
#include <errno.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/net.h"
#include "wire.h"

static struct {
    const char *a, *b, *set, *control, *seed, *cores, *idle, *mtu, *packets;
    int stats, json, version, help;
} raw;

static const struct poptOption table[] = {
    {"a", 'a', POPT_ARG_STRING, &raw.a, 0, "the port on side a", "DEVARGS"},
    {"b", 'b', POPT_ARG_STRING, &raw.b, 0, "the port on side b", "DEVARGS"},
    {"set", 0, POPT_ARG_STRING, &raw.set, 0, "how bad the link is (default: it is perfect)", "SETTINGS"},
    {"control", 0, POPT_ARG_STRING, &raw.control, 0, "listen there; without --a and --b: ask there", "SOCKET"},
    {"stats", 0, POPT_ARG_NONE, &raw.stats, 0, "print what became of packets so far, and the settings", NULL},
    {"seed", 0, POPT_ARG_STRING, &raw.seed, 0, "the same one gives the same fates (default 1)", "N"},
    {"cores", 0, POPT_ARG_STRING, &raw.cores, 0, "pin the thread; two cores: a thread for each direction", "X[,Y]"},
    {"idle", 0, POPT_ARG_STRING, &raw.idle, 0, "sleep when there is nothing to do, or never (default adaptive)",
     "adaptive|busy"},
    {"mtu", 0, POPT_ARG_STRING, &raw.mtu, 0, "of the ports at both ends (default 1500)", "1280..9600"},
    {"packets", 0, POPT_ARG_STRING, &raw.packets, 0, "at most so many are under way in a direction (default 4096)",
     "64..262144"},
    {"json", 0, POPT_ARG_NONE, &raw.json, 0, "print JSON, an object a line", NULL},
    {"version", 0, POPT_ARG_NONE, &raw.version, 0, "print the version and end", NULL},
    {"help", 'h', POPT_ARG_NONE, &raw.help, 0, "print this help and end", NULL},
    POPT_TABLEEND,
};

static void print_help(poptContext ctx)
{
    poptPrintHelp(ctx, stdout, 0);
    printf("\nSETTINGS: [a-b:|b-a:|both:] WORD... [; ...], a WORD is one of\n"
           "  loss=SHARE  burst=MEAN  dup=SHARE  reorder=SHARE/TIME  corrupt=SHARE  truncate=SHARE  delay=TIME  "
           "jitter=TIME\n"
           "  rate=BITS/S  queue=BYTES  ecn=BYTES  mtu=BYTES  cut=yes|no  clear\n"
           "like 'both: delay=20us; a-b: loss=0.1%% burst=3 rate=10G queue=256K'\n\n"
           "chi-wire --control s.sock -a net_memif0,role=server,socket=a.sock -b net_memif1,role=server,socket=b.sock\n"
           "chi-wire --control s.sock --set 'a-b: cut=yes' --stats\n\n"
           "Ends with 0; 1 when it cannot start, or a running one refuses; 2 for a wrong command line; 3 when none "
           "answers.\n");
}

static int wrong(const char *what, const char *is, const char *right)
{
    fprintf(stderr, "chi-wire: %s is '%s'; right is %s\n", what, is, right);
    return EXIT_USAGE;
}

static int missing(const char *what)
{
    fprintf(stderr, "chi-wire: %s (try --help)\n", what);
    return EXIT_USAGE;
}

/* A whole number within [low, high] up to `ends`; *out is left alone when text is NULL. */
static bool number_at(const char *text, const char **end, uint64_t low, uint64_t high, uint64_t *out)
{
    char *after;
    errno = 0;
    uint64_t v = strtoull(text, &after, 10);
    *end = after;
    if (text[0] < '0' || text[0] > '9' || errno || v < low || v > high)
        return false;
    *out = v;
    return true;
}

static int number(const char *option, const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    const char *end;
    char range[64];
    if (!text || (number_at(text, &end, low, high, out) && !*end))
        return EXIT_FINE;
    snprintf(range, sizeof range, "a number from %llu to %llu", (unsigned long long)low, (unsigned long long)high);
    return wrong(option, text, range);
}

static int cores_read(struct options *o)
{
    const char *at = raw.cores;
    o->threads = 1;
    o->core[IMPAIR_A_B] = o->core[IMPAIR_B_A] = -1;
    for (unsigned i = 0; at && i < IMPAIR_SIDES; i++) {
        uint64_t core;
        if (!number_at(at, &at, 0, 1023, &core) || (*at && (*at != ',' || i + 1 == IMPAIR_SIDES)))
            return wrong("--cores", raw.cores, "a core or two, like 2 or 2,3");
        o->core[i] = (int)core;
        o->threads = i + 1;
        at = *at ? at + 1 : NULL;
    }
    return EXIT_FINE;
}

static int settings_read(struct options *o)
{
    char err[IMPAIR_TEXT_ERROR_BYTES];
    o->settings[IMPAIR_A_B] = o->settings[IMPAIR_B_A] = impair_none;
    if (!o->set || impair_text_parse(o->set, o->settings, err) == 0)
        return EXIT_FINE;
    fprintf(stderr, "chi-wire: --set: %s\n", err);
    return EXIT_USAGE;
}

static int device_check(const char *option, const char *device)
{
    return net_device_is_pci(device)
               ? wrong(option, device, "a virtual device, net_memif or net_af_packet: a NIC is not forwarded")
               : EXIT_FINE;
}

/* Two names that DPDK would take for one device. */
static bool same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, ",");
    return n == strcspn(b, ",") && strncmp(a, b, n) == 0;
}

static int server_check(struct options *o)
{
    uint64_t mtu = 1500, packets = WIRE_PACKETS;
    if (!raw.a || !raw.b)
        return missing(raw.a ? "--b is missing: a wire has two ends" : "--a is missing: a wire has two ends");
    if (raw.stats)
        return missing("--stats asks a running chi-wire: leave out --a and --b");
    int e = device_check("--a", raw.a);
    if (!e)
        e = device_check("--b", raw.b);
    if (!e && same_name(raw.a, raw.b))
        e = wrong("--b", raw.b, "a device with another name than that of --a, like net_memif0 and net_memif1");
    if (!e)
        e = cores_read(o);
    if (!e && raw.idle && strcmp(raw.idle, "adaptive") && strcmp(raw.idle, "busy"))
        e = wrong("--idle", raw.idle, "adaptive or busy");
    if (!e)
        e = number("--seed", raw.seed, 0, UINT64_MAX, &o->seed);
    if (!e)
        e = number("--mtu", raw.mtu, 1280, 9600, &mtu);
    if (!e)
        e = number("--packets", raw.packets, 64, 262144, &packets);
    o->busy = raw.idle && !strcmp(raw.idle, "busy");
    o->mtu = (uint16_t)mtu;
    o->packets = (uint32_t)packets;
    return e ? e : settings_read(o);
}

static int client_check(void)
{
    const struct {
        const char *name, *value;
    } servers[] = {{"--seed", raw.seed},
                   {"--cores", raw.cores},
                   {"--idle", raw.idle},
                   {"--mtu", raw.mtu},
                   {"--packets", raw.packets}};
    if (!raw.control)
        return missing("--a and --b are missing, the two ports; or --control SOCKET with --set or --stats, to ask a "
                       "running chi-wire");
    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++) {
        if (servers[i].value) {
            fprintf(stderr, "chi-wire: %s is for a chi-wire that starts: give --a and --b, or leave it out\n",
                    servers[i].name);
            return EXIT_USAGE;
        }
    }
    return raw.set || raw.stats ? EXIT_FINE
                                : missing("--set or --stats is missing: what to ask the chi-wire on that socket");
}

int options_read(struct options *o, int argc, const char **argv, bool *done)
{
    poptContext ctx = poptGetContext("chi-wire", argc, argv, table, 0);
    poptSetOtherOptionHelp(ctx, "--a DEVARGS --b DEVARGS [OPTION...] | --control SOCKET [--set SETTINGS] [--stats]");
    int opt = poptGetNextOpt(ctx), e = EXIT_FINE;
    const char *rest = poptGetArg(ctx);
    *o = (struct options){.seed = 1};
    *done = opt == -1 && (raw.help || raw.version);
    if (opt < -1) {
        fprintf(stderr, "chi-wire: %s: %s (try --help)\n", poptBadOption(ctx, POPT_BADOPTION_NOALIAS),
                poptStrerror(opt));
        e = EXIT_USAGE;
    } else if (raw.help) {
        print_help(ctx);
    } else if (raw.version) {
        printf("chi-wire %s\n", CHI_VERSION);
    } else if (rest) {
        e = wrong("an argument", rest, "none: settings are one word, in quotes, behind --set");
    } else {
        *o = (struct options){.device = {raw.a, raw.b},
                              .control = raw.control,
                              .set = raw.set,
                              .seed = 1,
                              .stats = raw.stats,
                              .json = raw.json};
        e = raw.a || raw.b ? server_check(o) : client_check();
    }
    poptFreeContext(ctx);
    return e;
}
