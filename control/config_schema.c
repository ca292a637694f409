#include "config_schema.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config_value.h"
#include "nearest.h"

enum { WANT_BYTES = 384, PATH_BYTES = 128 };

/* --- what libcyaml loads.  OPT: the key may be missing. */
#define OPT CYAML_FLAG_OPTIONAL
#define PTR CYAML_FLAG_POINTER
#define STRING(key, flags, s, m) CYAML_FIELD_STRING_PTR(key, flags, s, m, 0, CYAML_UNLIMITED)
#define NUMBER_OPT(key, s, m) CYAML_FIELD_UINT_PTR(key, PTR | OPT, s, m)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const cyaml_strval_t lanes_words[] = {
    {"round_robin", CONFIG_LANES_ROUND_ROBIN}, {"by_hash", CONFIG_LANES_BY_HASH}, {"load", CONFIG_LANES_LOAD}};
static const cyaml_strval_t idle_words[] = {{"adaptive", CONFIG_IDLE_ADAPTIVE}, {"busy", CONFIG_IDLE_BUSY}};
static const cyaml_strval_t huge_words[] = {
    {"auto", CONFIG_HUGE_AUTO}, {"off", CONFIG_HUGE_OFF}, {"2M", CONFIG_HUGE_2M}, {"1G", CONFIG_HUGE_1G}};

static const cyaml_schema_field_t node_fields[] = {
    CYAML_FIELD_UINT("id", CYAML_FLAG_DEFAULT, struct raw_node, id),
    STRING("name", PTR, struct raw_node, name),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t core_entry = {CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint64_t)};
static const cyaml_schema_field_t workers_fields[] = {
    CYAML_FIELD_SEQUENCE("cores", PTR, struct raw_workers, cores, &core_entry, 1, CONFIG_WORKERS_MAX),
    NUMBER_OPT("count", struct raw_workers, count),
    CYAML_FIELD_ENUM("lanes", CYAML_FLAG_STRICT | OPT, struct raw_workers, lanes, lanes_words, COUNT(lanes_words)),
    CYAML_FIELD_ENUM("idle", CYAML_FLAG_STRICT | OPT, struct raw_workers, idle, idle_words, COUNT(idle_words)),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t memory_fields[] = {
    CYAML_FIELD_ENUM("hugepages", CYAML_FLAG_STRICT | OPT, struct raw_memory, hugepages, huge_words, COUNT(huge_words)),
    STRING("size", PTR | OPT, struct raw_memory, size),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t port_fields[] = {
    STRING("name", PTR, struct raw_port, name),
    STRING("device", PTR, struct raw_port, device),
    STRING("ip", PTR, struct raw_port, ip),
    NUMBER_OPT("mtu", struct raw_port, mtu),
    NUMBER_OPT("queues", struct raw_port, queues),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t port_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_port, port_fields)};
static const cyaml_schema_field_t peer_fields[] = {
    CYAML_FIELD_UINT("id", CYAML_FLAG_DEFAULT, struct raw_peer, id),
    STRING("name", PTR, struct raw_peer, name),
    CYAML_FIELD_IGNORE("ip", CYAML_FLAG_DEFAULT), /* one address, or a list of them */
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t peer_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_peer, peer_fields)};
static const cyaml_schema_field_t cluster_fields[] = {
    STRING("name", PTR, struct raw_cluster, name),
    NUMBER_OPT("udp_port", struct raw_cluster, udp_port),
    CYAML_FIELD_SEQUENCE("peers", PTR | OPT, struct raw_cluster, peers, &peer_entry, 0, CONFIG_PEERS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t control_fields[] = {
    STRING("socket", PTR, struct raw_control, socket),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t path_entry = {CYAML_VALUE_STRING(PTR, char, 0, CYAML_UNLIMITED)};
static const cyaml_schema_field_t modules_fields[] = {
    CYAML_FIELD_SEQUENCE("path", PTR, struct raw_modules, path, &path_entry, 1, 16),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t pool_fields[] = {
    STRING("mod", PTR, struct raw_pool, mod),
    STRING("pool", PTR, struct raw_pool, pool),
    STRING("name", PTR, struct raw_pool, name),
    NUMBER_OPT("containers", struct raw_pool, containers),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t pool_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_pool, pool_fields)};
static const cyaml_schema_field_t limits_fields[] = {
    NUMBER_OPT("tasks", struct raw_limits, tasks),
    STRING("client_bulk", PTR | OPT, struct raw_limits, client_bulk),
    NUMBER_OPT("clients", struct raw_limits, clients),
    NUMBER_OPT("messages", struct raw_limits, messages),
    NUMBER_OPT("window", struct raw_limits, window),
    NUMBER_OPT("delay_target_us", struct raw_limits, delay_target_us),
    NUMBER_OPT("peer_silence_ms", struct raw_limits, peer_silence_ms),
    NUMBER_OPT("pto_us", struct raw_limits, pto_us),
    NUMBER_OPT("task_timeout_ms", struct raw_limits, task_timeout_ms),
    NUMBER_OPT("watchdog_ms", struct raw_limits, watchdog_ms),
    NUMBER_OPT("ack_every", struct raw_limits, ack_every),
    NUMBER_OPT("ack_delay_us", struct raw_limits, ack_delay_us),
    STRING("peer_memory", PTR | OPT, struct raw_limits, peer_memory),
    STRING("remote_memory", PTR | OPT, struct raw_limits, remote_memory),
    STRING("unasked", PTR | OPT, struct raw_limits, unasked),
    STRING("credit", PTR | OPT, struct raw_limits, credit),
    STRING("grant_window", PTR | OPT, struct raw_limits, grant_window),
    NUMBER_OPT("overcommit", struct raw_limits, overcommit),
    STRING("quantum", PTR | OPT, struct raw_limits, quantum),
    NUMBER_OPT("peers", struct raw_limits, peers),
    NUMBER_OPT("stacks", struct raw_limits, stacks),
    NUMBER_OPT("neighborhood", struct raw_limits, neighborhood),
    NUMBER_OPT("background", struct raw_limits, background),
    NUMBER_OPT("latency_weight", struct raw_limits, latency_weight),
    STRING("stack_bytes", PTR | OPT, struct raw_limits, stack_bytes),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t config_fields[] = {
    CYAML_FIELD_MAPPING("node", CYAML_FLAG_DEFAULT, struct raw_config, node, node_fields),
    CYAML_FIELD_MAPPING("workers", CYAML_FLAG_DEFAULT, struct raw_config, workers, workers_fields),
    CYAML_FIELD_MAPPING("memory", OPT, struct raw_config, memory, memory_fields),
    CYAML_FIELD_SEQUENCE("ports", PTR | OPT, struct raw_config, ports, &port_entry, 0, CONFIG_PORTS_MAX),
    CYAML_FIELD_MAPPING("cluster", OPT, struct raw_config, cluster, cluster_fields),
    CYAML_FIELD_MAPPING("control", CYAML_FLAG_DEFAULT, struct raw_config, control, control_fields),
    CYAML_FIELD_MAPPING("modules", OPT, struct raw_config, modules, modules_fields),
    CYAML_FIELD_SEQUENCE("compose", PTR | OPT, struct raw_config, compose, &pool_entry, 0, CONFIG_POOLS_MAX),
    CYAML_FIELD_MAPPING("limits", OPT, struct raw_config, limits, limits_fields),
    CYAML_FIELD_END,
};
const cyaml_schema_value_t config_schema = {CYAML_VALUE_MAPPING(PTR, struct raw_config, config_fields)};

/* --- the walk over the tree, with the schema beside it */

static void want_of(const struct yaml_node *n, const char *key, const cyaml_schema_value_t *schema, char *out,
                    size_t cap)
{
    char path[PATH_BYTES];
    if (schema->type == CYAML_ENUM) {
        size_t at = 0;
        for (uint32_t i = 0; i < schema->enumeration.count && at < cap; i++) {
            const char *sep = i == 0 ? "" : i + 1 == schema->enumeration.count ? " or " : ", ";
            at += (size_t)snprintf(out + at, cap - at, "%s%s", sep, schema->enumeration.strings[i].str);
        }
        return;
    }
    yaml_node_path(n, true, path, sizeof(path));
    if (key) {
        size_t at = strlen(path);
        snprintf(path + at, sizeof(path) - at, "%s%s", at ? "." : "", key);
    }
    const struct config_rule *rule = config_rule_find(path);
    if (rule)
        config_rule_want(rule, out, cap);
    else
        snprintf(out, cap, "a mapping with node, workers and control");
}

static int wrong_value(const struct config_report *r, const struct yaml_node *n, const cyaml_schema_value_t *schema)
{
    static const char *const kinds[] = {
        [YAML_KIND_SCALAR] = "a single value", [YAML_KIND_LIST] = "a list", [YAML_KIND_MAPPING] = "a mapping"};
    char path[PATH_BYTES], want[WANT_BYTES];
    yaml_node_path(n, false, path, sizeof(path));
    want_of(n, NULL, schema, want, sizeof(want));
    const char *subject = path[0] ? path : "the file";
    if (n->kind != YAML_KIND_SCALAR)
        return config_report(r, n->line, n->column, "%s is %s; right is %s", subject, kinds[n->kind], want);
    if (!n->text[0])
        return config_report(r, n->line, n->column, "%s is empty; right is %s", subject, want);
    return config_report(r, n->line, n->column, "%s is '%.80s%s'; right is %s", subject, n->text,
                         strlen(n->text) > 80 ? "..." : "", want);
}

static int unknown_key(const struct config_report *r, const struct yaml_node *n, const cyaml_schema_field_t *fields)
{
    char path[PATH_BYTES], known[WANT_BYTES];
    struct nearest near;
    size_t at = 0;
    nearest_init(&near, n->key);
    for (const cyaml_schema_field_t *f = fields; f->key; f++) {
        nearest_offer(&near, f->key);
        if (at < sizeof(known))
            at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", at ? ", " : "", f->key);
    }
    yaml_node_path(n->parent, false, path, sizeof(path));
    return config_report(r, n->key_line, n->key_column, "unknown key '%.60s'%s%s; did you mean '%s'? (known: %s)",
                         n->key, path[0] ? " in " : "", path, near.best, known);
}

static int check_node(const struct config_report *r, const struct yaml_node *n, const cyaml_schema_value_t *schema);

static int check_mapping(const struct config_report *r, const struct yaml_node *n, const cyaml_schema_value_t *schema)
{
    const cyaml_schema_field_t *fields = schema->mapping.fields;
    char path[PATH_BYTES], want[WANT_BYTES];
    uint64_t seen = 0;
    int rc;

    for (const struct yaml_node *c = n->first; c; c = c->next) {
        unsigned i = 0;
        while (fields[i].key && strcmp(fields[i].key, c->key) != 0)
            i++;
        if (!fields[i].key)
            return unknown_key(r, c, fields);
        yaml_node_path(c, false, path, sizeof(path));
        if (seen & 1ull << i)
            return config_report(r, c->key_line, c->key_column, "%s is there twice; keep one of them", path);
        seen |= 1ull << i;
        rc = check_node(r, c, &fields[i].value);
        if (rc)
            return rc;
    }
    for (unsigned i = 0; fields[i].key; i++) {
        if (seen & 1ull << i || fields[i].value.flags & CYAML_FLAG_OPTIONAL)
            continue;
        yaml_node_path(n, false, path, sizeof(path));
        want_of(n, fields[i].key, &fields[i].value, want, sizeof(want));
        return config_report(r, n->line, n->column, "%s%s%s is missing; right is %s", path, path[0] ? "." : "",
                             fields[i].key, want);
    }
    return 0;
}

static int check_list(const struct config_report *r, const struct yaml_node *n, const cyaml_schema_value_t *schema)
{
    char path[PATH_BYTES];
    if (n->count < schema->sequence.min || n->count > schema->sequence.max) {
        yaml_node_path(n, false, path, sizeof(path));
        return config_report(r, n->line, n->column, "%s has %u entries; right are %u to %u", path, n->count,
                             schema->sequence.min, schema->sequence.max);
    }
    for (const struct yaml_node *c = n->first; c; c = c->next) {
        int rc = check_node(r, c, schema->sequence.entry);
        if (rc)
            return rc;
    }
    return 0;
}

static bool scalar_ok(const struct yaml_node *n, const cyaml_schema_value_t *schema)
{
    char path[PATH_BYTES];
    if (schema->type == CYAML_ENUM) {
        for (uint32_t i = 0; i < schema->enumeration.count; i++) {
            if (strcmp(schema->enumeration.strings[i].str, n->text) == 0)
                return true;
        }
        return false;
    }
    yaml_node_path(n, true, path, sizeof(path));
    const struct config_rule *rule = config_rule_find(path);
    CHI_ASSERT(rule); /* each key of the schema has one */
    return config_rule_ok(rule, n->text);
}

/* One address, or a list of them: what libcyaml does not know. */
static int check_addresses(const struct config_report *r, const struct yaml_node *n, const cyaml_schema_value_t *schema)
{
    if (n->kind == YAML_KIND_SCALAR)
        return scalar_ok(n, schema) ? 0 : wrong_value(r, n, schema);
    if (n->kind == YAML_KIND_MAPPING)
        return wrong_value(r, n, schema);
    if (n->count < 1 || n->count > CONFIG_PEER_IPS) {
        char path[PATH_BYTES];
        yaml_node_path(n, false, path, sizeof(path));
        return config_report(r, n->line, n->column, "%s has %u entries; right are 1 to %d", path, n->count, CONFIG_PEER_IPS);
    }
    for (const struct yaml_node *c = n->first; c; c = c->next)
        if (c->kind != YAML_KIND_SCALAR || !scalar_ok(c, schema))
            return wrong_value(r, c, schema);
    return 0;
}

static int check_node(const struct config_report *r, const struct yaml_node *n, const cyaml_schema_value_t *schema)
{
    if (schema->type == CYAML_IGNORE)
        return check_addresses(r, n, schema);
    enum yaml_kind kind = schema->type == CYAML_MAPPING    ? YAML_KIND_MAPPING
                          : schema->type == CYAML_SEQUENCE ? YAML_KIND_LIST
                                                           : YAML_KIND_SCALAR;
    if (n->kind != kind)
        return wrong_value(r, n, schema);
    if (kind == YAML_KIND_MAPPING)
        return check_mapping(r, n, schema);
    if (kind == YAML_KIND_LIST)
        return check_list(r, n, schema);
    return scalar_ok(n, schema) ? 0 : wrong_value(r, n, schema);
}

int config_schema_check(const struct config_report *r, const struct yaml_tree *t)
{
    if (!t->root || (t->root->kind == YAML_KIND_SCALAR && !t->root->text[0]))
        return config_report(r, 1, 1, "the file is empty; right is a mapping with node, workers and control");
    return check_node(r, t->root, &config_schema);
}

int config_report(const struct config_report *r, unsigned line, unsigned column, const char *format, ...)
{
    va_list args;
    int at;
    if (!r->cap)
        return -EINVAL;
    if (line)
        at = snprintf(r->err, r->cap, "%s:%u:%u: ", r->file, line, column);
    else
        at = snprintf(r->err, r->cap, "%s: ", r->file);
    if (at >= 0 && (size_t)at < r->cap) {
        va_start(args, format);
        vsnprintf(r->err + at, r->cap - (size_t)at, format, args);
        va_end(args);
    }
    for (char *c = r->err; *c; c++) {
        if ((unsigned char)*c < 32 || *c == 127)
            *c = '?';
    }
    return -EINVAL;
}
