/* daemon.h - chimaerad: what its start steps build up, in order, and take down in reverse.
 * Thread: the control thread, which is the process's first. */
#pragma once
#include <event2/event.h>
#include <jansson.h>

#include "control/config.h"
#include "control/rpc.h"
#include "worker/worker.h"

enum { DAEMON_ERROR_BYTES = 512 };

struct client; /* clients.c */
struct daemon {
    const char *config_file;
    struct config *config;
    struct net *net;
    struct runtime *rt;
    struct event_base *base;
    struct event *signals[2], *reaper;
    struct rpc *rpc;
    struct client *clients, *leaving; /* leaving: gone, but tasks of theirs are out */
    uint32_t client_count;
    uint64_t incarnation; /* nanoseconds of the real-time clock at the start: rises from start to start */
    uint64_t started_ns;
};

/* steps.c: start returns 0 or -errno with one line in err; stop undoes it and may follow a start that failed half-way. */
struct step {
    const char *name;
    int (*start)(struct daemon *d, char *err);
    void (*stop)(struct daemon *d);
};
extern const struct step daemon_steps[]; /* ends with a NULL name */

/* methods.c */
extern const struct rpc_method daemon_methods[];

/* peers.c */
json_t *peers_list(void *daemon, json_t *params, struct rpc_error *err);
json_t *peers_show(void *daemon, json_t *params, struct rpc_error *err);

/* clients.c */
void clients_attach(void *daemon, int fd, const struct shm_attach_request *rq);
void clients_reap(struct daemon *d);     /* destroys the channels of clients that left, as their tasks end */
void clients_close_all(struct daemon *d); /* Pre: the workers have ended */
