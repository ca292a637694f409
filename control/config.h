/* config.h - the configuration file, read and checked.  Control thread only.
 *
 * YAML through libcyaml; an unknown key, a wrong type or a value out of range is one line: FILE:LINE: what, and what would be
 * right.  Everything is checked before anything starts (chimaerad --check does only this). */
#pragma once
#include "chi/query.h"
#include "chi/task.h"

enum config_idle { CONFIG_IDLE_ADAPTIVE, CONFIG_IDLE_BUSY };
enum config_lanes { CONFIG_LANES_ROUND_ROBIN, CONFIG_LANES_BY_HASH, CONFIG_LANES_LOAD };
enum config_hugepages { CONFIG_HUGE_AUTO, CONFIG_HUGE_OFF, CONFIG_HUGE_2M, CONFIG_HUGE_1G };
enum { CONFIG_WORKERS_MAX = 64, CONFIG_PORTS_MAX = 8, CONFIG_PEERS_MAX = 1024, CONFIG_POOLS_MAX = 256, CONFIG_NAME_MAX = 31, CONFIG_CORES_MAX = 1024 /* CPU_SETSIZE */, CONFIG_PEER_IPS = 4 };

struct config_port {
    const char *name, *device;
    uint32_t ip;     /* host order */
    uint8_t prefix;
    uint16_t mtu;    /* default 1500 */
    uint16_t queues; /* pairs, at most one a worker; 0: as many as the driver offers, but one of a memif */
};
struct config_peer {
    uint32_t id;
    const char *name;
    uint32_t ip[CONFIG_PEER_IPS]; /* of the same node, each in another port's subnet; the first that can be is used */
    unsigned ips;
};
struct config_pool {
    const char *mod, *name;
    struct chi_pool_id pool;
    uint32_t containers; /* on each node, default 1 */
};
struct config {
    struct { uint32_t id; const char *name; } node;            /* id 1..65535; name: letters, digits, - and _ */
    struct {
        uint32_t *cores; /* that exist, each once */
        unsigned core_count, count; /* count: workers, at least as many as cores; the same by default */
        enum config_idle idle;
        enum config_lanes lanes;
    } workers;
    struct { enum config_hugepages hugepages; uint64_t size; } memory; /* size: 64M..; suffixes K M G */
    struct config_port *ports;
    unsigned ports_count; /* may be 0: a node on its own */
    struct {
        const char *name; /* 1..WIRE_CLUSTER_MAX bytes */
        uint16_t udp_port; /* default 7440 */
        struct config_peer *peers;
        unsigned peers_count;
    } cluster;
    struct { const char *socket; } control;
    struct { const char **path; unsigned count; } modules; /* folders; default: the one beside the program */
    struct config_pool *compose;
    unsigned compose_count;
    struct { /* all optional; docs/LIMITS.md says what each is for */
        uint32_t tasks;            /* per worker, default 16384 */
        uint64_t client_bulk;      /* bytes per client, default 256M */
        uint32_t clients;          /* default 64 */
        uint32_t messages;         /* out at once per session, power of two, default 1024 */
        uint32_t window;           /* packets in flight per session, power of two, default 128 */
        uint32_t delay_target_us;  /* default 250 */
        uint32_t peer_silence_ms;  /* default 1000 */
        uint32_t pto_us;           /* default 200 */
        uint32_t ack_every;        /* default 8 */
        uint32_t ack_delay_us;     /* default 25 */
        uint64_t peer_memory;      /* bytes that tasks of one peer may hold; default: half of the bulk memory */
        uint64_t remote_memory;    /* bytes that tasks of all peers may hold; default: all of it */
        uint32_t unasked;          /* bytes of a task's regions that go without a grant, default 64K */
        uint32_t credit;           /* bytes that a session's peer may send without grants, default 4M */
        uint32_t grant_window;     /* bytes of a large task under way, default 2M */
        uint32_t overcommit;       /* large tasks with grants at once, default 8 */
        uint32_t quantum;          /* bytes of one large task before another's turn, default 64K */
        uint32_t task_timeout_ms;  /* default 10000 */
        uint32_t watchdog_ms;      /* default 1000 */
        uint32_t latency_weight;   /* tasks of latency lanes to one of throughput lanes, default 4 */
        uint32_t stacks;           /* of tasks that wait, a worker, default 256 */
        uint32_t stack_bytes;      /* of each, default 128K */
        uint32_t neighborhood;     /* nodes that a task for several is sent to at once, default 32 */
        uint32_t background;       /* threads for calls that block, default 2 */
        uint32_t peers;            /* other nodes at once, those added later too; default 64, or as many as are listed */
    } limits;
};

/* Of memory.size, what is not for packets. */
static inline uint64_t config_bulk_bytes(const struct config *c) { return c->memory.size - c->memory.size / 4; }

/* Reads and checks FILE.  Returns 0 and *out (free with config_free), or -errno with one line in err (cap bytes). */
CHI_MUST_CHECK int config_load(const char *file, struct config **out, char *err, size_t cap);
void config_free(struct config *c);

/* The cores of this machine, like "0-7"; cap: at least 24. */
void config_cores_here(char *out, size_t cap);
