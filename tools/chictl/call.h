/* call.h - one JSON-RPC call over the daemon's control socket, within a time.  One thread; memory: the heap. */
#pragma once
#include <jansson.h>

#include "chi/base.h"

enum { CALL_ANSWER_MAX = 16 << 20, CALL_ERROR_BYTES = 320 };

enum call_result {
    CALL_OK,
    CALL_REFUSED,     /* the daemon answered with an error */
    CALL_UNREACHABLE, /* no daemon, no answer in time, or no answer that makes sense */
};

/* Calls `method` without parameters.  OK: *result_out is a new reference; else err has one line. */
enum call_result call_daemon(const char *socket_path, const char *method, unsigned timeout_ms, json_t **result_out,
                             char *err, size_t cap);
