/* top.h - what workers and methods do now: two answers of the daemon, what there is between them, and again. */
#pragma once
#include "call.h"

#define TOP_INTERVAL_MIN_S 0.1
enum { TOP_INTERVAL_MAX_S = 3600, TOP_INTERVAL_S = 2 };

/* Shows tables of what was done within interval_s until Ctrl-C or SIGTERM; one look when `once` or when stdout is no terminal.  CALL_OK, or why the
 * daemon gave no answer, with a line in err. */
enum call_result top(const struct call_to *to, const char *method, unsigned timeout_ms, double interval_s, bool once, char *err, size_t cap);
