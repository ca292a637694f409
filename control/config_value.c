#include "config_value.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "config.h"
#include "xfer/xfer.h"

enum { DEVICE_MAX = 127, PATH_BYTES_MAX = 4095, SOCKET_PATH_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) - 1 };
enum { POOL_MAJOR_MIN = 16 }; /* below: the runtime's own pools */
static const uint64_t MIB = 1ull << 20, TIB = 1ull << 40;

enum rule_kind { TEXT, NUMBER, POWER, SIZE, NAME, CLUSTER_NAME, DEVICE, IP, CIDR, POOL, SOCKET, FOLDER };

struct config_rule {
    const char *path;
    enum rule_kind kind;
    uint64_t min, max;
    const char *want; /* mappings and lists; NULL: by kind */
};

#define LIMIT_TASK_TIMEOUT_MS 3600000 /* a task's own timeout_us has 32 bits: 4294 s */
static const struct config_rule rules[] = {
    {"node", TEXT, 0, 0, "a mapping like {id: 1, name: alpha}"},
    {"node.id", NUMBER, 1, 65535, NULL},
    {"node.name", NAME, 0, 0, NULL},
    {"workers", TEXT, 0, 0, "a mapping like {cores: [0], idle: adaptive}"},
    {"workers.cores", TEXT, 0, 0, "a list of core numbers like [0, 1]"},
    {"workers.cores[]", NUMBER, 0, CONFIG_CORES_MAX - 1, NULL},
    {"workers.count", NUMBER, 1, CONFIG_WORKERS_MAX, NULL},
    {"memory", TEXT, 0, 0, "a mapping like {hugepages: auto, size: 256M}"},
    {"memory.size", SIZE, 64 * MIB, TIB, NULL},
    {"ports", TEXT, 0, 0, "a list like [{name: p0, device: \"net_memif0,role=server\", ip: 10.40.0.1/24}]"},
    {"ports[]", TEXT, 0, 0, "a mapping like {name: p0, device: \"net_memif0,role=server\", ip: 10.40.0.1/24}"},
    {"ports[].name", NAME, 0, 0, NULL},
    {"ports[].device", DEVICE, 0, 0, NULL},
    {"ports[].ip", CIDR, 0, 0, NULL},
    {"ports[].mtu", NUMBER, 1280, 9600, NULL},
    {"ports[].queues", NUMBER, 1, CONFIG_WORKERS_MAX, NULL},
    {"cluster", TEXT, 0, 0, "a mapping like {name: demo, peers: [{id: 2, name: beta, ip: 10.40.0.2}]}"},
    {"cluster.name", CLUSTER_NAME, 0, 0, NULL},
    {"cluster.udp_port", NUMBER, 1, 65535, NULL},
    {"cluster.peers", TEXT, 0, 0, "a list like [{id: 2, name: beta, ip: 10.40.0.2}]"},
    {"cluster.peers[]", TEXT, 0, 0, "a mapping like {id: 2, name: beta, ip: 10.40.0.2}"},
    {"cluster.peers[].id", NUMBER, 1, 65535, NULL},
    {"cluster.peers[].name", NAME, 0, 0, NULL},
    {"cluster.peers[].ip", IP, 0, 0, NULL},
    {"cluster.peers[].ip[]", IP, 0, 0, NULL},
    {"control", TEXT, 0, 0, "a mapping like {socket: /run/chimaera/alpha.sock}"},
    {"control.socket", SOCKET, 0, 0, NULL},
    {"modules", TEXT, 0, 0, "a mapping like {path: [/usr/lib/chimaera/chimods]}"},
    {"modules.path", TEXT, 0, 0, "a list of folders like [/usr/lib/chimaera/chimods]"},
    {"modules.path[]", FOLDER, 0, 0, NULL},
    {"compose", TEXT, 0, 0, "a list like [{mod: echo, pool: 100.0, name: echo}]"},
    {"compose[]", TEXT, 0, 0, "a mapping like {mod: echo, pool: 100.0, name: echo}"},
    {"compose[].mod", NAME, 0, 0, NULL},
    {"compose[].pool", POOL, 0, 0, NULL},
    {"compose[].name", NAME, 0, 0, NULL},
    {"compose[].containers", NUMBER, 1, 1024, NULL},
    {"limits", TEXT, 0, 0, "a mapping like {tasks: 16384, clients: 64}"},
    {"limits.tasks", NUMBER, 64, 1048576, NULL},
    {"limits.client_bulk", SIZE, MIB, TIB, NULL},
    {"limits.clients", NUMBER, 1, 1024, NULL},
    {"limits.messages", POWER, 2, 65536, NULL},
    {"limits.window", POWER, 4, 4096, NULL},
    {"limits.delay_target_us", NUMBER, 10, 1000000, NULL},
    {"limits.peer_silence_ms", NUMBER, 100, 600000, NULL},
    {"limits.pto_us", NUMBER, 10, 200000, NULL}, /* at most the ceiling of its back-off */
    {"limits.task_timeout_ms", NUMBER, 1, LIMIT_TASK_TIMEOUT_MS, NULL},
    {"limits.watchdog_ms", NUMBER, 20, 3600000, NULL},
    {"limits.ack_every", NUMBER, 1, 64, NULL},
    {"limits.ack_delay_us", NUMBER, 1, 10000, NULL},
    {"limits.peer_memory", SIZE, MIB, TIB, NULL},
    {"limits.remote_memory", SIZE, MIB, TIB, NULL},
    {"limits.unasked", SIZE, 0, 1024 * MIB, NULL},
    {"limits.credit", SIZE, 0, 1024 * MIB, NULL},
    {"limits.grant_window", SIZE, 4096, 1024 * MIB, NULL},
    {"limits.overcommit", NUMBER, 1, XFER_OVERCOMMIT_MAX, NULL},
    {"limits.quantum", SIZE, 4096, 1024 * MIB, NULL},
    {"limits.peers", NUMBER, 1, CONFIG_PEERS_MAX, NULL},
    {"limits.neighborhood", NUMBER, 2, 256, NULL},
    {"limits.stacks", NUMBER, 0, 1048576, NULL},
    {"limits.background", NUMBER, 0, 64, NULL},
    {"limits.latency_weight", NUMBER, 1, 1000, NULL},
    {"limits.stack_bytes", SIZE, 64 << 10, 16 * MIB, NULL}, /* drivers run on them too: net_af_xdp takes 16K */
};

/* All `length` bytes are one number: decimal digits, no leading zero. */
static bool number(const char *text, size_t length, uint64_t *out)
{
    uint64_t v = 0;
    if (!length || (length > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(text[i] - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

bool config_size(const char *text, uint64_t *out)
{
    static const char suffixes[] = "KMGT";
    size_t n = strlen(text);
    const char *s = n ? strchr(suffixes, text[n - 1]) : NULL;
    unsigned shift = s ? 10 * (unsigned)(s - suffixes + 1) : 0;
    uint64_t v;
    if (!number(text, n - (s != NULL), &v) || v > UINT64_MAX >> shift)
        return false;
    *out = v << shift;
    return true;
}

bool config_ip(const char *text, uint32_t *ip_out)
{
    struct in_addr a;
    if (inet_pton(AF_INET, text, &a) != 1)
        return false;
    uint32_t ip = ntohl(a.s_addr), top = ip >> 24;
    if (top == 0 || top == 127 || top >= 224) /* this network, loopback, multicast and reserved */
        return false;
    *ip_out = ip;
    return true;
}

bool config_cidr(const char *text, uint32_t *ip_out, uint8_t *prefix_out)
{
    char address[INET_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    uint64_t prefix;
    uint32_t ip;
    if (!slash || (size_t)(slash - text) >= sizeof(address) || !number(slash + 1, strlen(slash + 1), &prefix) ||
        prefix < 1 || prefix > 30)
        return false;
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = 0;
    uint32_t host_bits = UINT32_MAX >> prefix;
    if (!config_ip(address, &ip) || (ip & host_bits) == 0 || (ip & host_bits) == host_bits)
        return false;
    *ip_out = ip;
    *prefix_out = (uint8_t)prefix;
    return true;
}

bool config_pool_id(const char *text, struct chi_pool_id *out)
{
    const char *dot = strchr(text, '.');
    uint64_t major, minor;
    if (!dot || !number(text, (size_t)(dot - text), &major) || !number(dot + 1, strlen(dot + 1), &minor))
        return false;
    if (major > UINT32_MAX || minor > UINT32_MAX)
        return false;
    *out = (struct chi_pool_id){(uint32_t)major, (uint32_t)minor};
    return true;
}

static bool name_ok(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t n = strlen(text);
    return n >= 1 && n <= CONFIG_NAME_MAX && strspn(text, letters) == n;
}

/* 1..max bytes, none of them a control character. */
static bool printable(const char *text, size_t max)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] < 32 || text[i] == 127)
            return false;
    }
    return n >= 1 && n <= max;
}

const struct config_rule *config_rule_find(const char *path)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (strcmp(rules[i].path, path) == 0)
            return &rules[i];
    }
    return NULL;
}

bool config_rule_ok(const struct config_rule *rule, const char *text)
{
    struct chi_pool_id id;
    uint64_t v;
    uint32_t ip;
    uint8_t prefix;
    switch (rule->kind) {
    case NUMBER:
        return number(text, strlen(text), &v) && v >= rule->min && v <= rule->max;
    case POWER:
        return number(text, strlen(text), &v) && v >= rule->min && v <= rule->max && (v & (v - 1)) == 0;
    case SIZE:
        return config_size(text, &v) && v >= rule->min && v <= rule->max;
    case NAME:
        return name_ok(text);
    case CLUSTER_NAME:
        return printable(text, WIRE_CLUSTER_MAX);
    case DEVICE:
        return printable(text, DEVICE_MAX) && !strpbrk(text, " \t");
    case IP:
        return config_ip(text, &ip);
    case CIDR:
        return config_cidr(text, &ip, &prefix);
    case POOL:
        return config_pool_id(text, &id) && id.major >= POOL_MAJOR_MIN;
    case SOCKET:
        return printable(text, SOCKET_PATH_MAX) && text[0] == '/' && text[strlen(text) - 1] != '/';
    case FOLDER:
        return printable(text, PATH_BYTES_MAX);
    case TEXT:
        break;
    }
    return true;
}

static void want_size(uint64_t v, char *out, size_t cap)
{
    static const char *const suffix[] = {"", "K", "M", "G", "T"};
    unsigned s = 0;
    for (; s < 4 && v && v % 1024 == 0; s++)
        v /= 1024;
    snprintf(out, cap, "%llu%s", (unsigned long long)v, suffix[s]);
}

void config_rule_want(const struct config_rule *rule, char *out, size_t cap)
{
    unsigned long long min = rule->min, max = rule->max;
    char low[32], high[32];
    switch (rule->kind) {
    case NUMBER:
        snprintf(out, cap, "a number from %llu to %llu", min, max);
        return;
    case POWER:
        snprintf(out, cap, "a power of two from %llu to %llu", min, max);
        return;
    case SIZE:
        want_size(rule->min, low, sizeof(low));
        want_size(rule->max, high, sizeof(high));
        snprintf(out, cap, "a size from %s to %s, in bytes or with K, M, G or T", low, high);
        return;
    case NAME:
        snprintf(out, cap, "1 to %d letters, digits, - and _", CONFIG_NAME_MAX);
        return;
    case CLUSTER_NAME:
        snprintf(out, cap, "a text of 1 to %d bytes", WIRE_CLUSTER_MAX);
        return;
    case DEVICE:
        snprintf(
            out, cap,
            "1 to %d bytes without blanks, like net_memif0,role=server,socket=/run/chimaera/ab.sock or 0000:01:00.0",
            DEVICE_MAX);
        return;
    case IP:
        snprintf(out, cap, "the IPv4 address of a host like 10.40.0.2");
        return;
    case CIDR:
        snprintf(out, cap, "the IPv4 address of a host with a prefix of 1 to 30 bits, like 10.40.0.1/24");
        return;
    case POOL:
        snprintf(out, cap, "two numbers MAJOR.MINOR like 100.0, MAJOR at least %d", POOL_MAJOR_MIN);
        return;
    case SOCKET:
        snprintf(out, cap, "an absolute path of at most %d bytes, like /run/chimaera/alpha.sock", SOCKET_PATH_MAX);
        return;
    case FOLDER:
        snprintf(out, cap, "a folder of modules");
        return;
    case TEXT:
        break;
    }
    snprintf(out, cap, "%s", rule->want);
}
