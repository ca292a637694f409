/* wire.h - the parts of chi-wire: its command line, the threads that forward, the control socket. */
#pragma once
#include <jansson.h>

#include "control/impair_text.h"

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOBODY = 3 };
enum { WIRE_ERROR_BYTES = 512, WIRE_PACKETS = 4096 /* under way in a direction */ };

struct options {
    const char *device[IMPAIR_SIDES]; /* NULL: asks the chi-wire on `control` */
    const char *control, *set;
    struct impair_settings settings[IMPAIR_SIDES];
    uint64_t seed;
    uint32_t packets;
    uint16_t mtu;
    unsigned threads;
    int core[IMPAIR_SIDES]; /* -1: any */
    bool busy, stats, json;
};

/* options.c: fills *o; its strings live as long as the process.  Returns EXIT_FINE, or EXIT_USAGE with a line printed;
 * *done: help was printed, that is all. */
int options_read(struct options *o, int argc, const char **argv, bool *done);

/* forward.c: two ports and what passes between them, on one thread or two.  All calls by the control thread. */
struct forward;
/* Opens the ports and starts.  0, or -errno with a line in err (WIRE_ERROR_BYTES) and nothing left. */
int forward_start(const struct options *o, struct forward **out, char *err);
/* Ends the threads; counters stay. */
void forward_stop(struct forward *f);
void forward_close(struct forward *f);
/* Returns when every packet that comes is judged by the new settings. */
void forward_set(struct forward *f, const struct impair_settings set[IMPAIR_SIDES]);
/* What it did so far, and its settings now: {ports: [...], directions: [...]}. */
json_t *forward_stats(const struct forward *f);

/* serve.c: forwards until a signal ends it.  Returns an exit status. */
int serve(const struct options *o);
/* Prints a result as text or as one line of JSON. */
void wire_print(const json_t *result, bool json);
