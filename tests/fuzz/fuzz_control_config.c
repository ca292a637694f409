/* fuzz_control_config.c - a configuration file of any bytes: it is refused with one line that names the file, or what
 * is loaded keeps to all limits; and it is the same each time. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control/config.h"
#include "fuzz.h"
#include "wire/wire.h"

enum { ERROR_BYTES = 400, CORES_MAX = 4096 };

static char file[32];
static int fd = -1;

static void file_write(const uint8_t *data, size_t size)
{
    if (fd < 0) {
        fd = memfd_create("config", MFD_CLOEXEC);
        snprintf(file, sizeof file, "/proc/self/fd/%d", fd);
    }
    if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
}

static void check_text(const char *text, size_t max)
{
    size_t n = strlen(text);
    CHI_ASSERT(n >= 1 && n <= max);
    for (size_t i = 0; i < n; i++)
        CHI_ASSERT((unsigned char)text[i] >= 32 && text[i] != 127);
}

static void check_error(int rc, const char *err, size_t cap)
{
    CHI_ASSERT(rc == -EINVAL || rc == -EFBIG);
    CHI_ASSERT(memchr(err, 0, cap));
    check_text(err, cap - 1);
    size_t n = strlen(file);
    if (cap > n + 1)
        CHI_ASSERT(strncmp(err, file, n) == 0 && err[n] == ':');
}

static void check_ports(const struct config *c)
{
    CHI_ASSERT(c->ports_count <= CONFIG_PORTS_MAX);
    for (unsigned i = 0; i < c->ports_count; i++) {
        const struct config_port *p = &c->ports[i];
        check_text(p->name, CONFIG_NAME_MAX);
        check_text(p->device, 4096);
        CHI_ASSERT(p->ip && p->prefix >= 1 && p->prefix <= 30 && p->mtu >= 1280 && p->mtu <= 9600);
        for (unsigned j = 0; j < i; j++)
            CHI_ASSERT(p->ip != c->ports[j].ip && strcmp(p->name, c->ports[j].name) != 0);
    }
}

static void check_peers(const struct config *c)
{
    check_text(c->cluster.name, WIRE_CLUSTER_MAX);
    CHI_ASSERT(c->cluster.udp_port && c->cluster.udp_port + c->workers.count <= 65536);
    CHI_ASSERT(c->cluster.peers_count <= CONFIG_PEERS_MAX);
    for (unsigned i = 0; i < c->cluster.peers_count; i++) {
        const struct config_peer *p = &c->cluster.peers[i];
        check_text(p->name, CONFIG_NAME_MAX);
        CHI_ASSERT(p->id >= 1 && p->id <= 65535 && p->id != c->node.id && p->ips >= 1 && p->ips <= CONFIG_PEER_IPS && p->ip[0]);
        for (unsigned j = 0; j < i; j++)
            CHI_ASSERT(p->id != c->cluster.peers[j].id && p->ip[0] != c->cluster.peers[j].ip[0]);
    }
}

static void check_compose(const struct config *c)
{
    CHI_ASSERT(c->compose_count <= CONFIG_POOLS_MAX);
    for (unsigned i = 0; i < c->compose_count; i++) {
        const struct config_pool *p = &c->compose[i];
        check_text(p->mod, CONFIG_NAME_MAX);
        check_text(p->name, CONFIG_NAME_MAX);
        for (unsigned j = 0; j < i; j++)
            CHI_ASSERT(p->pool.major != c->compose[j].pool.major || p->pool.minor != c->compose[j].pool.minor);
    }
}

static bool is_power(uint32_t n)
{
    return n && (n & (n - 1)) == 0;
}

static void check_config(const struct config *c)
{
    CHI_ASSERT(c->node.id >= 1 && c->node.id <= 65535);
    check_text(c->node.name, CONFIG_NAME_MAX);
    CHI_ASSERT(c->workers.count >= 1 && c->workers.count <= CONFIG_WORKERS_MAX);
    CHI_ASSERT(c->workers.idle == CONFIG_IDLE_ADAPTIVE || c->workers.idle == CONFIG_IDLE_BUSY);
    CHI_ASSERT(c->workers.lanes <= CONFIG_LANES_LOAD);
    CHI_ASSERT(c->workers.core_count >= 1 && c->workers.core_count <= c->workers.count);
    for (unsigned i = 0; i < c->workers.core_count; i++) {
        CHI_ASSERT(c->workers.cores[i] < CORES_MAX);
        for (unsigned j = 0; j < i; j++)
            CHI_ASSERT(c->workers.cores[i] != c->workers.cores[j]);
    }
    CHI_ASSERT(c->memory.hugepages >= CONFIG_HUGE_AUTO && c->memory.hugepages <= CONFIG_HUGE_1G);
    CHI_ASSERT(c->memory.size >= UINT64_C(64) << 20);
    check_ports(c);
    check_peers(c);
    check_compose(c);
    check_text(c->control.socket, 107);
    CHI_ASSERT(c->modules.count >= 1);
    for (unsigned i = 0; i < c->modules.count; i++)
        CHI_ASSERT(c->modules.path[i] && c->modules.path[i][0]);
    CHI_ASSERT(is_power(c->limits.messages) && c->limits.messages >= 2 && c->limits.messages <= WIRE_SLOTS_MAX);
    CHI_ASSERT(is_power(c->limits.window) && c->limits.window >= 4 && c->limits.window <= 4096);
    CHI_ASSERT(c->limits.tasks && c->limits.clients && c->limits.client_bulk && c->limits.pto_us &&
               c->limits.task_timeout_ms);
}

static int load(char *err, size_t cap)
{
    static struct config untouched;
    struct config *c = &untouched;
    char *room = malloc(cap); /* of exactly that size: ASan sees what goes beyond */
    memset(room, 0x5a, cap);
    int rc = config_load(file, &c, room, cap);
    if (rc == 0) {
        CHI_ASSERT(c && c != &untouched);
        check_config(c);
        config_free(c);
    } else {
        CHI_ASSERT(c == &untouched);
        check_error(rc, room, cap);
        memcpy(err, room, cap);
    }
    free(room);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char err[ERROR_BYTES] = "", again[ERROR_BYTES] = "";
    size_t cap = size > 0 && data[size - 1] % 8 == 0 ? 2 + data[size / 2] : ERROR_BYTES; /* a caller with less room */
    file_write(data, size);
    int rc = load(err, sizeof err);
    CHI_ASSERT(load(again, cap) == rc);
    size_t same = strlen(again);
    CHI_ASSERT(strncmp(err, again, same) == 0 && (same == cap - 1 || same == strlen(err)));
    return 0;
}

/* --- seeds */

#define HEAD "node: {id: 1, name: a}\nworkers: {cores: [0]}\ncontrol: {socket: /run/a.sock}\n"

static void emit_text(void (*emit)(const char *, const void *, size_t), const char *name, const char *text)
{
    emit(name, text, strlen(text));
}

void fuzz_seeds(void (*emit)(const char *name, const void *data, size_t size))
{
    emit_text(emit, "empty.yaml", "");
    emit_text(emit, "least.yaml", HEAD);
    emit_text(emit, "all.yaml",
              "# every key\nnode:\n  id: 65535\n  name: alpha-1\nworkers: {cores: [0], idle: busy}\n"
              "memory: {hugepages: 2M, size: 64M}\nports:\n"
              "  - {name: p0, device: \"net_memif0,role=server,socket=/run/ab.sock\", ip: 10.40.0.1/24, mtu: 9000}\n"
              "  - name: p1\n    device: 'net_af_packet0,iface=chi0'\n    ip: 10.41.0.1/30\n"
              "cluster:\n  name: demo\n  udp_port: 65535\n  peers:\n    - {id: 2, name: beta, ip: 10.40.0.2}\n"
              "control: {socket: /run/a.sock}\nmodules: {path: [/usr]}\n"
              "compose:\n  - {mod: echo, pool: 100.0, name: echo}\n  - {mod: perf, pool: 4294967295.1, name: perf}\n"
              "limits: {tasks: 16384, client_bulk: 256M, clients: 64, messages: 1024, window: 128, delay_target_us: 100, peer_silence_ms: 1000, pto_us: 200, "
              "task_timeout_ms: 10000, ack_every: 8, ack_delay_us: 25, peer_memory: 1M, remote_memory: 2M, unasked: 0, credit: 4M, "
              "grant_window: 2M, overcommit: 8, quantum: 64K}\n");
    emit_text(emit, "alias.yaml", "node: &a {id: 1, name: a}\nworkers: *a\n");
    emit_text(emit, "merge.yaml", HEAD "limits: {<<: {tasks: 4}}\n");
    emit_text(emit, "tag.yaml", HEAD "memory: !!map {size: !!str 64M}\n");
    emit_text(emit, "block.yaml", HEAD "cluster:\n  name: |\n    demo\n    more\n");
    emit_text(emit, "two_documents.yaml", HEAD "---\n" HEAD);
    emit_text(emit, "twice.yaml", HEAD "node: {id: 2, name: b}\n");
    emit_text(emit, "unknown.yaml", HEAD "limits: {task: 5}\n");
    emit_text(emit, "not_a_list.yaml", HEAD "compose: {mod: echo}\n");
    emit_text(emit, "numbers.yaml", HEAD "limits: {tasks: 0x10, clients: 18446744073709551616, pto_us: -1}\n");
    emit_text(emit, "null.yaml", HEAD "memory: ~\ncompose:\n");
    emit_text(emit, "cores.yaml", "node: {id: 1, name: a}\nworkers: {cores: [0, 0, 5000]}\ncontrol: {socket: /a}\n");
    emit_text(emit, "open.yaml", "node: {id: 1, name: \"a");
    emit("control_bytes.yaml", "node: {id: 1\0, name: \x1b[0m}\n", 27);
    emit("utf16.yaml", "\xff\xfen\0o\0d\0e\0:\0 \0{\0}\0\n\0", 22);
    emit("latin1.yaml", "node: {id: 1, name: \xe4}\n", 23);
}
