/* pools.h - pool create, destroy, expand, contract, and flush: tasks of the admin module, which chictl submits as any client does (libchi).  So the daemon's control
 * thread, which must not wait for other nodes, has no part in the waiting. */
#pragma once
#include "call.h"

/* "pool.create" and so on, and "flush". */
bool pools_offers(const char *method);
/* As call_method. */
enum call_result pools_call(const struct call_to *to, const char *method, json_t *params, unsigned timeout_ms, json_t **result_out, char *err, size_t cap);
