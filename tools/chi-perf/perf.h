/* perf.h - chi-perf: measures tasks between a client, its daemon, and another node.
 *
 * options -> client_run (tasks of this process) or daemon_run (tasks of the daemon's perf container) -> report.
 * Thread: one.  A signal sets perf_stop, and what was measured so far is reported. */
#pragma once
#include <signal.h>

#include "base/hist.h"
#include "chi/client.h"

enum perf_mode { MODE_LATENCY, MODE_RATE, MODE_BULK };
enum perf_exit { EXIT_FINE = 0, EXIT_ERRORS = 1, EXIT_USAGE = 2, EXIT_NO_DAEMON = 3, EXIT_STOPPED = 130 };
enum { WINDOW_MAX = 1024 };

struct options {
    enum perf_mode mode;
    const char *socket;
    uint64_t size, count;
    uint32_t node;      /* 0: the local one */
    struct chi_query query; /* that says so, or of its own */
    uint32_t window, direction; /* enum perf_direction; PING when size is 0 */
    uint32_t timeout_us;
    int cpu; /* -1: not pinned */
    bool from_daemon, json, spin;
    struct chi_pool_id pool;
};

/* What was measured. */
struct figures {
    uint64_t done, errors, wrong; /* wrong: contents that differ */
    uint32_t first_error;         /* enum chi_status */
    uint64_t elapsed_ns, bytes;   /* payload, both ways */
    struct hist hist;             /* ns */
};

extern volatile sig_atomic_t perf_stop;

/* Fills *o, or prints one line and returns an enum perf_exit. */
int options_read(struct options *o, int argc, const char **argv);

/* Nanoseconds, for differences. */
void measure_clock_start(void);
uint64_t measure_now_ns(void);
/* Pins this thread; 0 or -errno. */
int measure_pin(int cpu);

/* Each returns EXIT_FINE when the figures are whole, or prints a line and returns what to end with. */
int client_run(const struct options *o, struct chi_client *c, struct figures *f);
int daemon_run(const struct options *o, struct chi_client *c, struct figures *f);

/* Memory for regions that a run takes from the segment. */
uint64_t client_run_bytes(const struct options *o);

void report_text(const struct options *o, const struct figures *f);
void report_json(const struct options *o, const struct figures *f);
