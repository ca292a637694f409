/* harness.h - real daemons for the integration tests: each in a folder of its own, adaptive, joined by memif. */
#pragma once
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

#include "chi/client.h"
#include "chimods/echo/echo.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct node {
    uint32_t id;
    pid_t pid;
    int out; /* its stdout */
    char dir[128], config[160], socket[160], log[160];
};

/* What a configuration has beyond the usual; NULL or 0: the usual. */
struct node_options {
    uint32_t peer;          /* node id at the other end of a memif; 0: a node on its own */
    const char *compose;    /* more pools, as YAML list items */
    const char *modules;    /* YAML list of folders of modules in place of the build's */
    const char *limits;     /* YAML map body, e.g. "task_timeout_ms: 500" */
    const char *cluster;    /* name; default demo */
    bool wire;              /* with a peer: each is a memif client of a server of its own, test_dir/memifN.sock, between them */
    bool vhost;             /* with a peer: net_vhost and net_virtio_user, which interrupt, in place of net_memif */
    const char *cores;      /* default: one worker on core (id - 1) modulo the machine's */
    uint32_t workers;       /* their number; default: as many as cores */
    const char *lanes;      /* default round_robin */
    uint32_t mtu;           /* default 9000 */
    uint32_t queues;        /* of the port; default: not said */
    const char *memory;     /* size; default 256M */
    bool third;             /* its cluster has a node 3, which is not there */
    const char *device;     /* with a peer: in place of net_memif; "%c" becomes a for the lower id, b for the other one */
    bool nobody;            /* its cluster lists no peer, though it has the port */
    const char *ports;      /* more ports, as YAML list items */
    const char *peer_ip;    /* the peer's addresses, as a YAML value; default 10.40.0.PEER */
};

#define MODULES_DEFAULT CHI_BUILD_DIR "/lib/chimods"
#define MODULES_OF_TESTS MODULES_DEFAULT ", " CHI_BUILD_DIR "/tests/chimods"
#define MODULES_OTHER CHI_BUILD_DIR "/tests/other_chimods, " MODULES_DEFAULT /* their echo differs */

/* A folder under the system's temporary one: fixtures for a test or a group. */
extern char test_dir[96];
int folder_setup(void **state);
int folder_teardown(void **state);

/* Writes the node's configuration into the test's folder. */
void node_configure(struct node *n, uint32_t id, const struct node_options *o);
/* Starts it and waits until it says that it is ready; fails the test with its messages otherwise. */
void node_start(struct node *n);
/* The same in two steps; node_await does not wait once node_speaks. */
void node_spawn(struct node *n);
bool node_speaks(const struct node *n);
void node_await(struct node *n);
/* SIGTERM, and its exit status; -1 when it was killed by a signal, NODE_GAVE_UP when it ended well, but not all of its tasks.
 * Prints its messages unless it is 0. */
enum { NODE_GAVE_UP = -2 };
int node_stop(struct node *n);
int node_wait(struct node *n); /* the same, after something else made it stop */
bool log_says(const struct node *n, const char *text); /* a line of its messages holds it */
void node_kill(struct node *n); /* SIGKILL, and waits */

/* Starts a program, with stderr in the file `log`, and waits for its first line, which must hold `ready`; fails the test with its
 * messages otherwise.  Its stdout from then on is *out.  It dies with the test. */
pid_t program_start(const char *const argv[], const char *log, const char *ready, int *out);
/* Its two steps. */
pid_t program_spawn(const char *const argv[], const char *log, int *out);
void program_await(const char *name, const char *log, const char *ready, int out);
void show_log(const char *log); /* prints it */
/* Runs a program to its end: exit status, and what it printed (stdout and stderr) in out. */
int run_program(char *out, size_t cap, const char *const argv[]);

/* A JSON-RPC call; the result (new reference), fails the test on an error.  params: taken over; NULL: none. */
json_t *control_call(const char *path, const char *method, json_t *params);
json_t *node_call(const struct node *n, const char *method);
/* The same with parameters, a JSON text. */
json_t *node_ask(const struct node *n, const char *method, const char *params);
/* A call that must be refused with an error whose message holds `says`. */
void node_refuses(const struct node *n, const char *method, const char *params, const char *says);
/* A counter of "stats" -> drops, and a field of the peer list's entry for a node. */
uint64_t node_drop(const struct node *n, const char *reason);
uint64_t node_peer(const struct node *n, uint32_t peer, const char *field);

struct chi_client *node_connect(const struct node *n);

/* Nodes 1 and 2, joined by memif, started; stopped: both must end with 0.  NULL: the usual. */
void pair_start(struct node *one, struct node *two, const struct node_options *o1, const struct node_options *o2);
void pair_stop(struct node *one, struct node *two);

/* Waits until the condition holds, at most 20 s; fails the test otherwise. */
void until(bool (*holds)(void *arg), void *arg, const char *what);
/* Fails the test when the process uses more than 2 % of a core (10 % with a sanitizer). */
/* Fails the test when the process uses more than 2 % of a core (10 % with a sanitizer) over 3 s. */
enum { IDLE_PERCENT = SANITIZED ? 10 : 2 }; /* the sanitizer has its own cost */
void expect_idle(pid_t pid);
void expect_percent(pid_t pid, unsigned percent); /* at most so much of a core */

extern const struct chi_pool_id ECHO;
struct echo_ping ping_to(struct chi_query q, uint64_t value);
/* An io task of both directions with fresh buffers, checked to the byte; fails the test when wrong.  Returns its status. */
enum chi_status io_check(struct chi_client *c, struct chi_query q, uint64_t in, uint64_t out, uint64_t seed);
/* A stream task of `size` bytes, which ends after `stop` of them (0: all), checked to the byte; fails the test when wrong, or when it does
 * not end with OK.  Returns how often the module worked while bytes were still to come. */
uint64_t stream_check(struct chi_client *c, struct chi_query q, uint64_t size, uint64_t stop, uint64_t seed);
