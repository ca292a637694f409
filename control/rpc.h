/* rpc.h - JSON-RPC 2.0 on a unix socket, for chictl and other control programs; and the door for clients of libchi.
 *
 * Requests are JSON objects or batches (arrays), one after the other, with or without white space between; each answer
 * is one line.  A connection whose first four bytes are SHM_MAGIC is a client's: it is given away with its attach
 * request.
 *
 * Thread: the control thread, which runs the event base; methods and attach are called there and must not call
 * rpc_stop. Memory: the heap; 64 KiB per connection.  Nobody holds up the others: all I/O is non-blocking, a connection
 * is served at most RPC_TURN requests at a time, and one that is slow (timeout_ms: until its first byte, until the end
 * of a request, with an answer that it does not take) is closed.  When the limit of connections is reached, the one
 * that is idle longest is closed for a new one. */
#pragma once
#include <event2/event.h>
#include <jansson.h>

#include "chi/base.h"
#include "lane/shm.h"

enum {
    RPC_REQUEST_MAX = 65536, /* bytes of a request or a batch */
    RPC_BATCH_MAX = 64,      /* requests in a batch */
    RPC_TURN = 32,           /* requests or batches of one connection before the others get a turn */
    RPC_OUTPUT_MAX = 262144, /* bytes of answers not taken, from which on no request is read */
    RPC_CONNECTIONS_DEFAULT = 64,
    RPC_TIMEOUT_DEFAULT_MS = 5000,
};

enum rpc_code {
    RPC_PARSE = -32700,
    RPC_INVALID_REQUEST = -32600,
    RPC_UNKNOWN_METHOD = -32601, /* data: {"nearest": "..."} */
    RPC_INVALID_PARAMS = -32602, /* data: {"parameter": "...", "nearest": "..."} */
    RPC_INTERNAL = -32603,
    RPC_FAILED = -32000, /* a method's own failure; too many connections */
};

struct rpc_error {
    int code; /* 0: none */
    char message[200];
    json_t *data; /* may stay NULL; taken by the server */
};

enum rpc_type { RPC_STRING, RPC_INTEGER, RPC_BOOL };
struct rpc_param {
    const char *name; /* NULL ends the list */
    enum rpc_type type;
    bool required;
    const char *help;
};
struct rpc_method {
    const char *name; /* NULL ends the table */
    const char *help;
    const struct rpc_param *params; /* NULL: takes none */
    /* params: an object that holds what the table allows and demands, borrowed.  Returns the result (a new reference),
     * or NULL with *err set (rpc_fail). */
    json_t *(*call)(void *ctx, json_t *params, struct rpc_error *err);
};

struct rpc_options {
    const char *socket_path;
    const struct rpc_method *methods; /* stays; `help` is added */
    void *ctx;                        /* for methods and attach */
    /* A client of libchi: the non-blocking descriptor is the callee's, to answer, to watch and to close.  Not one byte
     * behind the request has been read.  Only rq->magic is checked.  NULL: such connections are closed. */
    void (*attach)(void *ctx, int fd, const struct shm_attach_request *rq);
    unsigned connections_max; /* 0: RPC_CONNECTIONS_DEFAULT; attached clients do not count */
    unsigned timeout_ms;      /* 0: RPC_TIMEOUT_DEFAULT_MS */
};

struct rpc;

/* Listens on socket_path (mode 0660).  The folder is made when only its last part is missing; the socket of a daemon
 * that died is replaced.  Returns 0 and *out, or -errno with one line in err: -EADDRINUSE another daemon answers there,
 * -ENAMETOOLONG, ... */
CHI_MUST_CHECK int rpc_start(struct event_base *base, const struct rpc_options *o, struct rpc **out, char *err,
                             size_t cap);
/* Sends what can be sent at once, closes all connections, removes the socket.  NULL is allowed. */
void rpc_stop(struct rpc *rpc);
/* Open connections. */
unsigned rpc_connections(const struct rpc *rpc);

/* For a method: sets *err and returns NULL, to be returned. */
__attribute__((format(printf, 3, 4))) json_t *rpc_fail(struct rpc_error *err, int code, const char *format, ...);
