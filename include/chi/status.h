/* status.h - what a user sees of a task's end.  The numbers are frozen: they travel on the wire and in shared memory.
 * errno values never leave the process that they arose in. */
#ifndef CHI_STATUS_H
#define CHI_STATUS_H

#include "chi/base.h"

/* X(name, number, text) */
#define CHI_STATUS_LIST(X)                                                                                             \
    X(OK, 0, "done")                                                                                                   \
    X(PENDING, 1, "not ended yet")                                                                                     \
    X(INVALID, 10, "an argument or a field is out of range")                                                           \
    X(NO_POOL, 11, "the node has no such pool")                                                                        \
    X(NO_METHOD, 12, "the module has no such method")                                                                  \
    X(NO_CONTAINER, 13, "the pool has no such container")                                                              \
    X(NO_NODE, 14, "the cluster has no such node")                                                                     \
    X(SCHEMA, 15, "the method's field table differs between the two sides")                                            \
    X(TOO_BIG, 16, "larger than the limit that is configured")                                                         \
    X(NO_ROUTE, 17, "the module's monitor gave no concrete destination")                                               \
    X(ARCHIVE, 18, "the serialised form is malformed")                                                                 \
    X(UNSUPPORTED, 19, "this version does not offer that")                                                             \
    X(NO_MEMORY, 20, "no memory is left for it")                                                                       \
    X(BUSY, 21, "the queue is full; try again after a completion")                                                     \
    X(DEADLINE, 30, "its time is over; it may have run")                                                               \
    X(PEER_DOWN, 31, "the other node is down; it may have run")                                                        \
    X(PEER_RESTARTED, 32, "the other node restarted; it may have run")                                                 \
    X(PEER_VERSION, 33, "the other node speaks another protocol version")                                              \
    X(PEER_CLUSTER, 34, "the other node belongs to another cluster")                                                   \
    X(UNREACHABLE, 35, "the other node does not answer; it did not run")                                               \
    X(DRAINING, 36, "the other node takes no new tasks; it did not run")                                               \
    X(MOVED, 37, "the other node knows other containers of the pool; it did not run")                                   \
    X(SHUTDOWN, 40, "the daemon is shutting down")                                                                     \
    X(DISCONNECTED, 41, "the connection to the daemon is gone; it may have run")                                       \
    X(TIMED_OUT, 42, "the wait is over; the task is still out")                                                        \
    X(MODULE, 50, "the module reported a failure of its own")                                                          \
    X(NO_MODULE, 51, "the node has no such module, or cannot load it")

enum chi_status {
#define CHI_STATUS_ENUM(name, number, text) CHI_STATUS_##name = number,
    CHI_STATUS_LIST(CHI_STATUS_ENUM)
#undef CHI_STATUS_ENUM
};

CHI_BEGIN

/* The name ("NO_POOL") and the text of a status; "UNKNOWN" and "unknown status" for a number that is none.
 * Static strings.  Any thread. */
CHI_API const char *chi_status_name(enum chi_status s);
CHI_API const char *chi_status_text(enum chi_status s);

/* True when the number is a status of the list above: what a peer said must pass this before it is used as one. */
CHI_API bool chi_status_known(uint32_t number);

CHI_END
#endif
