/* config_schema.h - the inside of config_load: what libcyaml loads, and what is right for each key.  Control thread.
 *
 * A file passes in four steps: yaml_tree (is it YAML; lines), config_schema_check (keys, kinds and single values, by
 * one table of rules), libcyaml (into struct raw_config), config_build (values against each other, into struct config).
 */
#pragma once
#include <cyaml/cyaml.h>

#include "config.h"
#include "yaml_tree.h"

struct raw_port {
    char *name, *device, *ip;
    uint64_t *mtu, *queues; /* pointers: NULL when the key is not there */
};
struct raw_peer { /* `ip` is one or a list, and read from the tree */
    uint64_t id;
    char *name;
};
struct raw_pool {
    char *mod, *pool, *name;
    uint64_t *containers;
};
struct raw_node {
    uint64_t id;
    char *name;
};
struct raw_workers {
    uint64_t *cores;
    unsigned cores_count;
    uint64_t *count;
    int idle, lanes;
};
struct raw_memory {
    int hugepages;
    char *size;
};
struct raw_cluster {
    char *name;
    uint64_t *udp_port;
    struct raw_peer *peers;
    unsigned peers_count;
};
struct raw_control {
    char *socket;
};
struct raw_modules {
    char **path;
    unsigned path_count;
};
struct raw_limits {
    uint64_t *tasks, *clients, *messages, *window, *delay_target_us, *peer_silence_ms, *pto_us, *task_timeout_ms, *ack_every, *ack_delay_us, *overcommit, *peers, *stacks, *neighborhood, *background, *latency_weight, *watchdog_ms;
    char *client_bulk, *peer_memory, *remote_memory, *unasked, *credit, *grant_window, *quantum, *stack_bytes;
};
struct raw_config {
    struct raw_node node;
    struct raw_workers workers;
    struct raw_memory memory;
    struct raw_port *ports;
    unsigned ports_count;
    struct raw_cluster cluster;
    struct raw_control control;
    struct raw_modules modules;
    struct raw_pool *compose;
    unsigned compose_count;
    struct raw_limits limits;
};

extern const cyaml_schema_value_t config_schema;

/* Where the one line about a mistake goes. */
struct config_report {
    const char *file;
    char *err;
    size_t cap;
};

/* Writes `FILE:LINE:COLUMN: text` (line 0: `FILE: text`), without control characters.  Returns -EINVAL. */
__attribute__((format(printf, 4, 5))) int config_report(const struct config_report *r, unsigned line, unsigned column,
                                                        const char *format, ...);

/* Checks keys, kinds, numbers of entries and each value by itself.  Returns 0, or -EINVAL and reports the first
 * mistake. */
CHI_MUST_CHECK int config_schema_check(const struct config_report *r, const struct yaml_tree *t);

/* Makes *out of what was loaded; strings stay raw's.  Returns 0, -EINVAL and reports, or -ENOMEM; out is then for
 * config_fini, too. */
CHI_MUST_CHECK int config_build(const struct config_report *r, const struct yaml_tree *t, const struct raw_config *raw,
                                struct config *out);
void config_fini(struct config *c);
