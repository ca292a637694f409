/* eal.h - DPDK's environment: its arguments, its log, its end.  Control thread.  No DPDK type here. */
#pragma once
#include "net/net.h"

/* Starts the EAL, once per process.  The caller's CPU affinity and environment stay as they were.
 * Returns 0, or -errno with a line in err. */
CHI_MUST_CHECK int eal_start(const struct net_options *o, char *err);
/* Removes what the EAL left in the file system. */
void eal_stop(void);

/* While captured, DPDK's error lines are not shown; eal_log_first() is the first of them, "" if none.  Control thread.
 */
void eal_log_capture(bool on);
const char *eal_log_first(void);

/* Formats err (NET_ERROR_BYTES) and returns rc. */
int net_fail(char *err, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));
