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
struct upgrade; /* upgrade.c */
struct peer {  /* another node of the cluster: configured, or added later */
    uint32_t id, ip[CONFIG_PEER_IPS];
    unsigned ips;
    char name[CONFIG_NAME_MAX + 1];
    bool draining;
};
struct worker_use {
    uint64_t tasks_open, memory_used;
};

struct watched { /* a worker */
    uint64_t turns, since_ns; /* how many there were, and since when no more */
    bool holds;               /* the limit is over, and it was said */
    char by[160];             /* what holds it */
};

struct daemon {
    const char *config_file;
    struct config *config;
    struct net *net;
    struct runtime *rt;
    struct event_base *base;
    struct event *pools_called, *pools_again; /* tasks call the control thread; what they began goes on */
    struct event *signals[2], *reaper, *ports_watch, *balancer;
    struct rpc *rpc;
    struct client *clients, *leaving; /* leaving: gone, but tasks of theirs are out */
    uint32_t client_count;
    struct peer *peers; /* limits.peers of them; peer_count are in use */
    unsigned peer_count;
    uint64_t incarnation; /* nanoseconds of the real-time clock at the start: rises from start to start */
    uint64_t started_ns;
    struct upgrade *upgrade; /* of a module, the last one; NULL: none yet */
    struct event *watchdog;
    struct watched watched[WORKERS_MAX];
    uint64_t watchdog_looks, holds, deadlocks; /* how often it looked; a worker was held; tasks waited for each other */
    uint64_t deadlock_seen; /* by the last look, 0: none */
    bool deadlock_told;
    bool failed; /* a step's end found a bug: so does the exit status say */
    struct worker_use use[WORKERS_MAX]; /* each worker writes its own when it is asked, also after the question was given up */
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
static inline json_t *json_number(uint64_t v) { return json_integer((json_int_t)v); }

/* ports.c: what chictl can ask of ports; and the look after those that vanish */
extern const struct rpc_param port_add_params[], port_remove_params[], port_set_params[];
json_t *port_list(void *daemon, json_t *params, struct rpc_error *err);
json_t *port_add(void *daemon, json_t *params, struct rpc_error *err);
json_t *port_remove(void *daemon, json_t *params, struct rpc_error *err);
json_t *port_set(void *daemon, json_t *params, struct rpc_error *err);
unsigned ports_count(const struct daemon *d);
CHI_MUST_CHECK int ports_watch_start(struct daemon *d); /* 0 or -ENOMEM */
/* False, and *err is filled: the node was started without ports. */
bool has_transport(const struct daemon *d, struct rpc_error *err);
/* lanes.c: where lanes are, and how chictl changes that */
extern const struct rpc_param lane_move_params[];
json_t *lane_list(void *daemon, json_t *params, struct rpc_error *err);
json_t *lane_move(void *daemon, json_t *params, struct rpc_error *err);
json_t *lane_figures(const struct daemon *d); /* of the moves by load, for stats */
CHI_MUST_CHECK int lanes_balance_start(struct daemon *d); /* where the configuration says so.  0 or -ENOMEM */
/* cores.c: which cores turn workers, and how chictl changes that */
extern const struct rpc_param core_params[], worker_set_params[];
json_t *worker_add(void *daemon, json_t *params, struct rpc_error *err);
json_t *worker_remove(void *daemon, json_t *params, struct rpc_error *err);
json_t *worker_set(void *daemon, json_t *params, struct rpc_error *err);
/* tasks.c: tasks that run or wait */
json_t *task_list(void *daemon, json_t *params, struct rpc_error *err);
/* load.c: what tasks cost */
json_t *load_list(void *daemon, json_t *params, struct rpc_error *err);
/* cluster.c: which nodes there are, and how chictl changes that */
extern const struct rpc_param peer_add_params[], peer_name_params[];
json_t *peer_add(void *daemon, json_t *params, struct rpc_error *err);
json_t *peer_drain(void *daemon, json_t *params, struct rpc_error *err);
json_t *peer_remove(void *daemon, json_t *params, struct rpc_error *err);
CHI_MUST_CHECK int peers_start(struct daemon *d, char *err); /* the configured ones, before the workers run */
void peers_stop(struct daemon *d);

/* Fills *err (RPC_INVALID_PARAMS) and returns false when a text is not right for that key of the configuration (config_value.h). */
bool text_ok(const char *key, const char *parameter, const char *text, struct rpc_error *err);

/* modules.c */
extern const struct rpc_param mod_show_params[]; /* also of load and unload */
json_t *mod_load(void *daemon, json_t *params, struct rpc_error *err);
json_t *mod_unload(void *daemon, json_t *params, struct rpc_error *err);
json_t *mod_list(void *daemon, json_t *params, struct rpc_error *err);
json_t *mod_show(void *daemon, json_t *params, struct rpc_error *err);
void modules_print(const struct sched_module *m); /* for people, to standard output */

/* upgrade.c */
extern const struct rpc_param mod_upgrade_params[];
json_t *mod_upgrade(void *daemon, json_t *params, struct rpc_error *err);
json_t *mod_upgrading(void *daemon, json_t *params, struct rpc_error *err);
bool upgrade_is_of(const struct daemon *d, const char *name); /* one of that module is not over */
void upgrade_abandon(struct daemon *d); /* what it holds goes on.  Pre: the workers run */
void upgrade_free(struct daemon *d);    /* Pre: the workers have ended */

/* watchdog.c */
CHI_MUST_CHECK int watchdog_start(struct daemon *d); /* Pre: the workers run.  0 or -errno */

/* pools.c: what chictl can ask of pools; and what the control thread does of them for tasks (worker/pools.h) */
extern const struct rpc_param pool_show_params[];
json_t *pool_list(void *daemon, json_t *params, struct rpc_error *err);
json_t *pool_show(void *daemon, json_t *params, struct rpc_error *err);
CHI_MUST_CHECK int pools_start(struct daemon *d); /* 0 or -ENOMEM */
void pools_stop(struct daemon *d);

/* peers.c */
json_t *peers_list(void *daemon, json_t *params, struct rpc_error *err);
json_t *peers_show(void *daemon, json_t *params, struct rpc_error *err);

/* clients.c */
void clients_attach(void *daemon, int fd, const struct shm_attach_request *rq);
void clients_reap(struct daemon *d);     /* destroys the channels of clients that left, as their tasks end */
void clients_close_all(struct daemon *d); /* Pre: the workers have ended */
