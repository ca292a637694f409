/* perf.h - ChiMod perf: issues echo tasks from inside a daemon, so that the path between daemons is measured without a client
 * on its core.  Used by chi-perf --from daemon. */
#ifndef CHIMODS_PERF_H
#define CHIMODS_PERF_H

#include "base/hist.h"
#include "chi/task.h"

enum { PERF_RUN = 1 };
enum perf_direction { PERF_PING = 0, PERF_WRITE = 1, PERF_EXPOSE = 2, PERF_BOTH = 3 };

/* run: issues `count` tasks to the containers of pool `echo` that `to` says, `window` at once: echo_ping, or echo_io with a WRITE region, an
 * EXPOSE region or both of `size` bytes.  verify: checks every sum and every byte that came.  Ends when all ended. */
struct perf_run {
    struct chi_task task;
    struct chi_pool_id echo;                                    /* IN, two u32 */
    struct chi_query to;                                        /* IN, two u32 and a u64 */
    uint32_t window, direction, verify, task_timeout_us;        /* IN; window 1..1024 */
    uint64_t count, size;                                       /* IN */
    uint64_t elapsed_ns, done, errors, wrong, first_error;      /* OUT; errors: status not OK; wrong: contents differ */
    uint64_t hist[4 + HIST_BUCKETS];                            /* OUT, struct hist of nanoseconds */
};
CHI_FIELDS(perf_run_fields) = {
    CHI_IN(U32, struct perf_run, echo.major),
    CHI_IN(U32, struct perf_run, echo.minor),
    CHI_IN(U32, struct perf_run, to.kind),
    CHI_IN(U32, struct perf_run, to.count),
    CHI_IN(U64, struct perf_run, to.value),
    CHI_IN(U32, struct perf_run, window),
    CHI_IN(U32, struct perf_run, direction),
    CHI_IN(U32, struct perf_run, verify),
    CHI_IN(U32, struct perf_run, task_timeout_us),
    CHI_IN(U64, struct perf_run, count),
    CHI_IN(U64, struct perf_run, size),
    CHI_OUT(U64, struct perf_run, elapsed_ns),
    CHI_OUT(U64, struct perf_run, done),
    CHI_OUT(U64, struct perf_run, errors),
    CHI_OUT(U64, struct perf_run, wrong),
    CHI_OUT(U64, struct perf_run, first_error),
    CHI_OUT(U64, struct perf_run, hist),
};
CHI_METHOD_VAR(perf_run_method) = CHI_METHOD(PERF_RUN, struct perf_run, perf_run_fields);

#endif
