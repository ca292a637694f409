/* call.h - one JSON-RPC call over the control socket of a program of ours, within a time.  One thread; memory: the heap. */
#pragma once
#include <jansson.h>

#include "chi/base.h"

enum { CALL_ANSWER_MAX = 16 << 20, CALL_ERROR_BYTES = 320 };

enum call_result {
    CALL_OK,
    CALL_REFUSED,     /* it answered with an error */
    CALL_UNREACHABLE, /* nobody there, no answer in time, or no answer that makes sense */
};

struct call_to {
    const char *path, *who; /* who: "daemon", for messages */
    const char *mend;       /* what to do when nobody answers */
};

/* Calls `method` with `params`, which is taken; NULL: it has none.  OK: *result_out is a new reference; else err has one line. */
enum call_result call_method(const struct call_to *to, const char *method, json_t *params, unsigned timeout_ms,
                             json_t **result_out, char *err, size_t cap);
