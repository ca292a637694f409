/* bench_raw_pair.h - two processes with a raw port each, on two cores: there and back, one way, one way in large
 * frames. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct raw_pair {
    const char *name;      /* "raw_memif" */
    const char *device[2]; /* of the measuring process, of the other */
    int netns[2];          /* file descriptors of network namespaces to enter, -1: stay */
    uint16_t mtu;
};

struct raw_pair_options {
    int core[2];
    uint32_t rounds; /* there and back */
    double seconds;  /* of each one-way run */
    bool json;
};

/* Reads --cores A,B --rounds N --seconds S --json.  Returns false after a line of help. */
bool raw_pair_options(int argc, char **argv, struct raw_pair_options *o);

/* Runs all and prints one object or a few lines.  Returns 0, or 1 after a line on stderr. */
int raw_pair_run(const struct raw_pair *p, const struct raw_pair_options *o);
