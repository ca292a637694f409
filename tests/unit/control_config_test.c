/* Each kind of mistake in a configuration: the line it is reported in, and what the message says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/config.h"

static char file[64];

static int setup(void **state)
{
    (void)state;
    snprintf(file, sizeof(file), "/tmp/chi-config-XXXXXX");
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    close(fd);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(file);
}

static void write_file(const void *bytes, size_t n)
{
    FILE *f = fopen(file, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static struct config *load_ok(const char *path)
{
    struct config *c = NULL;
    char err[512] = "";
    int rc = config_load(path, &c, err, sizeof(err));
    if (rc)
        fail_msg("%d: %s", rc, err);
    return c;
}

/* The text must be refused at FILE:line, with `fragment` in one printable line. */
static void refused(const void *bytes, size_t n, unsigned line, const char *fragment)
{
    struct config *c = NULL;
    char err[512] = "", place[96];
    write_file(bytes, n);
    int rc = config_load(file, &c, err, sizeof(err));
    snprintf(place, sizeof(place), "%s:%u:", file, line);
    if (rc != -EINVAL || strncmp(err, place, strlen(place)) != 0 || !strstr(err, fragment))
        fail_msg("wanted line %u and '%s', got %d: %s\n%.*s", line, fragment, rc, err, (int)(n < 2000 ? n : 2000),
                 (const char *)bytes);
    assert_null(c);
    for (const char *p = err; *p; p++)
        assert_true((unsigned char)*p >= 32);
}

/* A configuration that is right, line by line; a case replaces one line, or adds after the last. */
static const char *const good[] = {
    "node: {id: 1, name: alpha}",                                                   /* 1 */
    "workers: {cores: [0], idle: busy, lanes: load}",                                            /* 2 */
    "memory: {hugepages: off, size: 128M}",                                         /* 3 */
    "ports:",                                                                       /* 4 */
    "  - {name: p0, device: \"net_ring0\", ip: 10.40.0.1/24, mtu: 9000, queues: 1}", /* 5 */
    "  - {name: p1, device: 'net_ring1', ip: 10.41.0.1/16}",                        /* 6 */
    "cluster:",                                                                     /* 7 */
    "  name: demo",                                                                 /* 8 */
    "  udp_port: 7441",                                                             /* 9 */
    "  peers:",                                                                     /* 10 */
    "    - {id: 2, name: beta, ip: 10.40.0.2}",                                     /* 11 */
    "    - {id: 3, name: gamma, ip: 10.41.77.2}",                                   /* 12 */
    "control: {socket: /run/chimaera/alpha.sock}",                                  /* 13 */
    "modules: {path: [/tmp, /]}",                                                   /* 14 */
    "compose:",                                                                     /* 15 */
    "  - {mod: echo, pool: 100.0, name: echo}",                                     /* 16 */
    "  - {mod: echo, pool: 100.1, name: echo-2, containers: 4}",                    /* 17 */
    "limits: {tasks: 1024, client_bulk: 2G, clients: 3, messages: 64, window: 32}", /* 18 */
};
enum { GOOD_LINES = sizeof(good) / sizeof(good[0]) };

static size_t good_with(char *out, size_t cap, unsigned line, const char *text)
{
    size_t at = 0;
    for (unsigned i = 1; i <= GOOD_LINES + 1; i++) {
        const char *t = i == line ? text : i <= GOOD_LINES ? good[i - 1] : "";
        at += (size_t)snprintf(out + at, cap - at, "%s%s", t, t[0] ? "\n" : "");
    }
    return at;
}

static void config_load__fills_everything(void **state)
{
    char text[4096];
    (void)state;
    write_file(text, good_with(text, sizeof(text), 0, ""));
    struct config *c = load_ok(file);
    assert_int_equal(c->node.id, 1);
    assert_string_equal(c->node.name, "alpha");
    assert_int_equal(c->workers.count, 1);
    assert_int_equal(c->workers.core_count, 1);
    assert_int_equal(c->workers.cores[0], 0);
    assert_int_equal(c->workers.idle, CONFIG_IDLE_BUSY);
    assert_int_equal(c->workers.lanes, CONFIG_LANES_LOAD);
    assert_int_equal(c->memory.hugepages, CONFIG_HUGE_OFF);
    assert_int_equal(c->memory.size, 128u << 20);
    assert_int_equal(c->ports_count, 2);
    assert_string_equal(c->ports[1].name, "p1");
    assert_string_equal(c->ports[0].device, "net_ring0");
    assert_int_equal(c->ports[0].ip, 0x0a280001);
    assert_int_equal(c->ports[1].prefix, 16);
    assert_int_equal(c->ports[0].mtu, 9000);
    assert_int_equal(c->ports[1].mtu, 1500);
    assert_int_equal(c->ports[0].queues, 1);
    assert_int_equal(c->ports[1].queues, 0); /* as many as there can be */
    assert_string_equal(c->cluster.name, "demo");
    assert_int_equal(c->cluster.udp_port, 7441);
    assert_int_equal(c->cluster.peers_count, 2);
    assert_int_equal(c->cluster.peers[1].id, 3);
    assert_string_equal(c->cluster.peers[0].name, "beta");
    assert_int_equal(c->cluster.peers[1].ip[0], 0x0a294d02);
    assert_string_equal(c->control.socket, "/run/chimaera/alpha.sock");
    assert_int_equal(c->modules.count, 2);
    assert_string_equal(c->modules.path[1], "/");
    assert_int_equal(c->compose_count, 2);
    assert_string_equal(c->compose[1].name, "echo-2");
    assert_int_equal(c->compose[1].pool.major, 100);
    assert_int_equal(c->compose[1].pool.minor, 1);
    assert_true(c->compose[0].containers == 1 && c->compose[1].containers == 4);
    assert_int_equal(c->limits.tasks, 1024);
    assert_true(c->limits.client_bulk == 2ull << 30);
    assert_int_equal(c->limits.clients, 3);
    assert_int_equal(c->limits.messages, 64);
    assert_int_equal(c->limits.window, 32);
    config_free(c);
}

static void config_load__has_defaults(void **state)
{
    static const char text[] = "node: {id: 65535, name: n}\nworkers: {cores: [0]}\ncontrol: {socket: /c.sock}\n";
    (void)state;
    write_file(text, sizeof(text) - 1);
    struct config *c = load_ok(file);
    assert_int_equal(c->workers.idle, CONFIG_IDLE_ADAPTIVE);
    assert_int_equal(c->workers.lanes, CONFIG_LANES_ROUND_ROBIN);
    assert_int_equal(c->memory.hugepages, CONFIG_HUGE_AUTO);
    assert_int_equal(c->memory.size, 256u << 20);
    assert_int_equal(c->ports_count, 0);
    assert_string_equal(c->cluster.name, "n");
    assert_int_equal(c->cluster.udp_port, 7440);
    assert_int_equal(c->cluster.peers_count, 0);
    assert_int_equal(c->modules.count, 1);
    assert_non_null(strstr(c->modules.path[0], "/lib/chimods"));
    assert_int_equal(c->compose_count, 0);
    assert_int_equal(c->limits.tasks, 16384);
    assert_int_equal(c->limits.client_bulk, 256u << 20);
    assert_int_equal(c->limits.clients, 64);
    assert_int_equal(c->limits.messages, 1024);
    assert_int_equal(c->limits.window, 128);
    assert_int_equal(c->limits.delay_target_us, 250);
    assert_int_equal(c->limits.ack_every, 8);
    assert_int_equal(c->limits.ack_delay_us, 25);
    assert_int_equal(c->limits.remote_memory, 192 << 20); /* all of the bulk memory */
    assert_int_equal(c->limits.peer_memory, 96 << 20);
    assert_int_equal(c->limits.unasked, 64 << 10);
    assert_int_equal(c->limits.credit, 4 << 20);
    assert_int_equal(c->limits.grant_window, 2 << 20);
    assert_int_equal(c->limits.overcommit, 8);
    assert_int_equal(c->limits.quantum, 64 << 10);
    assert_int_equal(c->limits.stacks, 256);
    assert_int_equal(c->limits.neighborhood, 32);
    assert_int_equal(c->limits.background, 2);
    assert_int_equal(c->limits.latency_weight, 4);
    assert_int_equal(c->limits.stack_bytes, 128 << 10);
    assert_int_equal(c->limits.peer_silence_ms, 1000);
    assert_int_equal(c->limits.pto_us, 200);
    assert_int_equal(c->limits.task_timeout_ms, 10000);
    assert_int_equal(c->limits.watchdog_ms, 1000);
    config_free(c);
}

struct mistake {
    unsigned line; /* replaced by text; the mistake is reported in it, unless at is set */
    const char *text, *fragment;
    unsigned at;
};

static const struct mistake mistakes[] = {
    /* keys */
    {1, "node: {id: 1, nmae: alpha}", "unknown key 'nmae' in node; did you mean 'name'? (known: id, name)", 0},
    {2, "worker: {cores: [0]}", "unknown key 'worker'; did you mean 'workers'?", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 10.40.0.1/24, MTU: 9000}", "in ports[0]; did you mean 'mtu'?", 0},
    {19, "zzz: 1", "unknown key 'zzz'", 0},
    {19, "node: {id: 1, name: alpha}", "node is there twice", 0},
    {9, "  name: demo", "cluster.name is there twice", 0},
    {1, "node: {id: 1}", "node.name is missing; right is 1 to 31 letters", 0},
    {2, "workers: {idle: busy}", "workers.cores is missing; right is a list of core numbers", 0},
    {6, "  - {name: p1, ip: 10.41.0.1/16}", "ports[1].device is missing", 0},
    {11, "    - {id: 2, name: beta}", "cluster.peers[0].ip is missing", 0},
    {13, "control: {}", "control.socket is missing; right is an absolute path", 0},
    {1, "", "node is missing; right is a mapping like {id: 1, name: alpha}", 1},
    {13, "", "control is missing", 1},
    {16, "  - {mod: echo, name: echo}", "compose[0].pool is missing; right is two numbers MAJOR.MINOR", 0},
    /* kinds */
    {1, "node: alpha", "node is 'alpha'; right is a mapping", 0},
    {1, "node: [1, alpha]", "node is a list; right is a mapping", 0},
    {1, "node: {id: {x: 1}, name: alpha}", "node.id is a mapping; right is a number from 1 to 65535", 0},
    {2, "workers: {cores: 0}", "workers.cores is '0'; right is a list", 0},
    {2, "workers: {cores: [[0]]}", "workers.cores[0] is a list; right is a number", 0},
    {2, "workers:", "workers is empty; right is a mapping", 0},
    {13, "control: {socket: }", "control.socket is empty; right is", 0},
    /* single values */
    {1, "node: {id: 0, name: alpha}", "node.id is '0'; right is a number from 1 to 65535", 0},
    {1, "node: {id: 65536, name: alpha}", "node.id is '65536'", 0},
    {1, "node: {id: -1, name: alpha}", "node.id is '-1'", 0},
    {1, "node: {id: 1.5, name: alpha}", "node.id is '1.5'", 0},
    {1, "node: {id: 0x1, name: alpha}", "node.id is '0x1'", 0},
    {1, "node: {id: 010, name: alpha}", "node.id is '010'", 0},
    {1, "node: {id: 18446744073709551617, name: alpha}", "node.id is '18446744073709551617'", 0},
    {1, "node: {id: one, name: alpha}", "node.id is 'one'", 0},
    {1, "node: {id: 1, name: al pha}", "node.name is 'al pha'; right is 1 to 31 letters, digits, - and _", 0},
    {1, "node: {id: 1, name: ''}", "node.name is empty", 0},
    {1, "node: {id: 1, name: \"a\\nb\"}", "node.name is 'a?b'", 0},
    {1, "node: {id: 1, name: \"a\\0b\"}", "a NUL character in a value", 0},
    {1, "node: {id: 1, name: abcdefghijklmnopqrstuvwxyz012345}", "right is 1 to 31", 0},
    {2, "workers: {cores: []}", "workers.cores has 0 entries; right are 1 to 64", 0},
    {2, "workers: {cores: [1000]}", "workers.cores[0] is 1000, which this process cannot run on; cores here: 0", 0},
    {2, "workers: {cores: [0, 0]}", "workers.cores[1] is 0 again; name each core once", 0},
    {2, "workers: {cores: [1024]}", "workers.cores[0] is '1024'; right is a number from 0 to 1023", 0},
    {2, "workers: {cores: [0], count: 0}", "workers.count is '0'; right is a number from 1 to 64", 0},
    {2, "workers: {cores: [0], count: 65}", "workers.count is '65'; right is a number from 1 to 64", 0},
    {2, "workers: {cores: [0], count: 2, lanes: by_load}", "workers.lanes is 'by_load'; right is round_robin, by_hash or load", 0},
    {2, "workers: {cores: [0], idle: bussy}", "workers.idle is 'bussy'; right is adaptive or busy", 0},
    {2, "workers: {cores: [0], idle: 1}", "workers.idle is '1'; right is adaptive or busy", 0},
    {3, "memory: {hugepages: 4K}", "memory.hugepages is '4K'; right is auto, off, 2M or 1G", 0},
    {3, "memory: {size: 32M}", "memory.size is '32M'; right is a size from 64M to 1T", 0},
    {3, "memory: {size: 256MB}", "memory.size is '256MB'; right is a size", 0},
    {3, "memory: {size: 256m}", "memory.size is '256m'", 0},
    {3, "memory: {size: 99999999999999T}", "memory.size is '99999999999999T'", 0},
    {3, "memory: {size: M}", "memory.size is 'M'", 0},
    {5, "  - {name: p0, device: '', ip: 10.40.0.1/24}", "ports[0].device is empty; right is 1 to 127 bytes", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 10.40.0.1}",
     "ports[0].ip is '10.40.0.1'; right is the IPv4 address of a host with a prefix", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 10.40.0.300/24}", "ports[0].ip is", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 10.40.0.1/31}", "prefix of 1 to 30 bits", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 10.40.0.1/0}", "prefix of 1 to 30 bits", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 10.40.0.0/24}", "ports[0].ip is '10.40.0.0/24'", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 10.40.0.255/24}", "ports[0].ip is '10.40.0.255/24'", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 127.0.0.1/8}", "ports[0].ip is '127.0.0.1/8'", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 224.0.0.1/8}", "ports[0].ip is '224.0.0.1/8'", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 10.40.0.1/24, mtu: 1279}",
     "ports[0].mtu is '1279'; right is a number from 1280 to 9600", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 10.40.0.1/24, mtu: 9601}", "ports[0].mtu is '9601'", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 10.40.0.1/24, queues: 0}",
     "ports[0].queues is '0'; right is a number from 1 to 64", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 10.40.0.1/24, queues: 65}", "ports[0].queues is '65'", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 10.40.0.1/24, queues: [1]}", "ports[0].queues is a list; right is a number", 0},
    {5, "  - {name: p0, device: net_ring0, ip: 10.40.0.1/24, queues: 2}",
     "ports[0].queues is 2, more than the 1 of workers.cores; each worker has one", 0},
    {8, "  name: 123456789012345678901234567890123", "cluster.name is '1", 0},
    {9, "  udp_port: 65536", "cluster.udp_port is '65536'", 0},
    {11, "    - {id: 2, name: beta, ip: 10.40.0.2/24}",
     "cluster.peers[0].ip is '10.40.0.2/24'; right is the IPv4 address of a host like", 0},
    {13, "control: {socket: run/alpha.sock}",
     "control.socket is 'run/alpha.sock'; right is an absolute path of at most 107 bytes", 0},
    {13, "control: {socket: /run/}", "control.socket is '/run/'", 0},
    {13,
     "control: {socket: "
     "/23456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678}",
     "at most 107 bytes", 0},
    {14, "modules: {path: [/tmp, /nowhere/at/all]}", "modules.path[1] is '/nowhere/at/all', which is no folder", 0},
    {16, "  - {mod: echo, pool: 100, name: echo}", "compose[0].pool is '100'; right is two numbers", 0},
    {16, "  - {mod: echo, pool: 100.4294967296, name: echo}", "compose[0].pool is '100.4294967296'", 0},
    {16, "  - {mod: echo, pool: 15.0, name: echo}",
     "compose[0].pool is '15.0'; right is two numbers MAJOR.MINOR like 100.0, MAJOR at least 16", 0},
    {16, "  - {mod: echo, pool: 100.0, name: echo, containers: 0}", "compose[0].containers is '0'; right is a number from 1 to 1024", 0},
    {16, "  - {mod: ../evil, pool: 100.0, name: echo}", "compose[0].mod is '../evil'; right is", 0},
    {18, "limits: {messages: 1000}", "limits.messages is '1000'; right is a power of two from 2 to 65536", 0},
    {18, "limits: {window: 8192}", "limits.window is '8192'; right is a power of two from 4 to 4096", 0},
    {18, "limits: {clients: 0}", "limits.clients is '0'", 0},
    {18, "limits: {tasks: 1}", "limits.tasks is '1'", 0},
    {18, "limits: {peer_silence_ms: 99}", "limits.peer_silence_ms is '99'", 0},
    {18, "limits: {peer_silence_ms: 600001}", "limits.peer_silence_ms is '600001'", 0},
    {18, "limits: {delay_target_us: 9}", "limits.delay_target_us is '9'", 0},
    {18, "limits: {delay_target_us: 1000001}", "limits.delay_target_us is '1000001'", 0},
    {18, "limits: {pto_us: 0}", "limits.pto_us is '0'", 0},
    {18, "limits: {pto_us: 200001}", "limits.pto_us is '200001'", 0},
    {18, "limits: {task_timeout_ms: 3600001}", "limits.task_timeout_ms is '3600001'", 0},
    {18, "limits: {watchdog_ms: 19}", "limits.watchdog_ms is '19'; right is a number from 20 to 3600000", 0},
    {18, "limits: {client_bulk: 1K}", "limits.client_bulk is '1K'; right is a size from 1M to 1T", 0},
    {18, "limits: {ack_every: 0}", "limits.ack_every is '0'; right is a number from 1 to 64", 0},
    {18, "limits: {ack_every: 65}", "limits.ack_every is '65'", 0},
    {18, "limits: {ack_delay_us: 0}", "limits.ack_delay_us is '0'; right is a number from 1 to 10000", 0},
    {18, "limits: {ack_delay_us: 10001}", "limits.ack_delay_us is '10001'", 0},
    {18, "limits: {peer_memory: 1023K}", "limits.peer_memory is '1023K'; right is a size from 1M to 1T", 0},
    {18, "limits: {remote_memory: 1023K}", "limits.remote_memory is '1023K'; right is a size from 1M to 1T", 0},
    {18, "limits: {unasked: 1025M}", "limits.unasked is '1025M'; right is a size from 0 to 1G", 0},
    {18, "limits: {credit: 2G}", "limits.credit is '2G'; right is a size from 0 to 1G", 0},
    {18, "limits: {grant_window: 4095}", "limits.grant_window is '4095'; right is a size from 4K to 1G", 0},
    {18, "limits: {overcommit: 0}", "limits.overcommit is '0'; right is a number from 1 to 64", 0},
    {18, "limits: {overcommit: 65}", "limits.overcommit is '65'", 0},
    {18, "limits: {neighborhood: 1}", "limits.neighborhood is '1'; right is a number from 2 to 256", 0},
    {18, "limits: {latency_weight: 0}", "limits.latency_weight is '0'; right is a number from 1 to 1000", 0},
    {18, "limits: {stacks: 1048577}", "limits.stacks is '1048577'; right is a number from 0 to 1048576", 0},
    {18, "limits: {background: 65}", "limits.background is '65'; right is a number from 0 to 64", 0},
    {18, "limits: {stack_bytes: 63K}", "limits.stack_bytes is '63K'; right is a size from 64K to 16M", 0},
    {18, "limits: {quantum: 1K}", "limits.quantum is '1K'; right is a size from 4K to 1G", 0},
    /* values against each other */
    {6, "  - {name: p0, device: net_ring1, ip: 10.41.0.1/16}",
     "ports[1].name is 'p0' like ports[0]; give each port its own name", 0},
    {6, "  - {name: p1, device: 'net_ring0,x=1', ip: 10.41.0.1/16}", "ports[1].device is 'net_ring0' like ports[0]", 0},
    {6, "  - {name: p1, device: net_ring1, ip: 10.40.0.1/16}",
     "ports[1].ip '10.40.0.1/16' lies in the subnet of ports[0]", 0},
    {18, "limits: {remote_memory: 97M}", "limits.remote_memory is 97M, and 98304K of memory.size are bulk memory; lower it", 0},
    {18, "limits: {remote_memory: 8M, peer_memory: 9M}", "limits.peer_memory is 9M, more than all peers together may hold", 0},
    {11, "    - {id: 1, name: beta, ip: 10.40.0.2}", "cluster.peers[0].id is 1, which is this node's own id", 0},
    {11, "    - {id: 2, name: alpha, ip: 10.40.0.2}", "cluster.peers[0].name is 'alpha', which is this node's own name",
     0},
    {12, "    - {id: 2, name: gamma, ip: 10.41.77.2}", "cluster.peers[1].id is 2 like cluster.peers[0]", 0},
    {12, "    - {id: 3, name: beta, ip: 10.41.77.2}", "cluster.peers[1].name is 'beta' like cluster.peers[0]", 0},
    {12, "    - {id: 3, name: gamma, ip: 10.40.0.2}", "cluster.peers[1].ip is 10.40.0.2 like cluster.peers[0]", 0},
    {12, "    - {id: 3, name: gamma, ip: 10.40.0.1}", "is 10.40.0.1, which is the address of ports[0]", 0},
    {12, "    - {id: 3, name: gamma, ip: 10.41.255.255}", "the network or broadcast address of 10.41.0.1/16", 0},
    {12, "    - {id: 3, name: gamma, ip: 10.42.0.1}", "cluster.peers[1].ip is 10.42.0.1, which no port reaches", 0},
    {12, "    - {id: 3, name: gamma, ip: [10.41.77.2, 10.42.0.1]}", "cluster.peers[1].ip[1] is 10.42.0.1, which no port reaches", 0},
    {12, "    - {id: 3, name: gamma, ip: [10.41.77.2, 10.40.0.2]}", "cluster.peers[1].ip[1] is 10.40.0.2 like cluster.peers[0]", 0},
    {12, "    - {id: 3, name: gamma, ip: [10.41.77.2, 10.41.77.3]}", "cluster.peers[1].ip[1] is 10.41.77.3, in the subnet of ports[1]", 0},
    {12, "    - {id: 3, name: gamma, ip: []}", "cluster.peers[1].ip has 0 entries; right are 1 to 4", 0},
    {12, "    - {id: 3, name: gamma, ip: [10.41.0.2, 10.41.0.3, 10.41.0.4, 10.41.0.5, 10.41.0.6]}", "cluster.peers[1].ip has 5 entries", 0},
    {12, "    - {id: 3, name: gamma, ip: [10.41.77.2, 10.41.77]}", "cluster.peers[1].ip[1] is '10.41.77'; right is the IPv4 address", 0},
    {12, "    - {id: 3, name: gamma, ip: [[10.41.77.2]]}", "cluster.peers[1].ip[0] is a list; right is the IPv4 address", 0},
    {12, "    - {id: 3, name: gamma, ip: {a: 10.41.77.2}}", "cluster.peers[1].ip is a mapping; right is the IPv4 address", 0},
    {18, "limits: {peers: 1}", "limits.peers is 1, less than the 2 peers that are listed; raise it", 0},
    {18, "limits: {peers: 1025}", "limits.peers is '1025'; right is a number from 1 to 1024", 0},
    {17, "  - {mod: echo, pool: 100.0, name: echo-2}",
     "compose[1].pool is 100.0 like compose[0]; give each pool its own id", 0},
    {17, "  - {mod: echo, pool: 100.1, name: echo}", "compose[1].name is 'echo' like compose[0]", 0},
    {17, "  - {mod: remote_queue, pool: 101.0, name: out}", "compose[1] is remote_queue, which each daemon with ports has", 0},
    {17, "  - {mod: echo, pool: 101.0, name: remote_queue}", "compose[1] is remote_queue, which each daemon with ports has", 0},
    /* YAML */
    {2, "workers: {cores: [0}", "not YAML: ", 0},
    {3, "\tmemory: {size: 128M}", "not YAML: ", 0},
    {16, "  - {mod: &e echo, pool: 100.0, name: *e}", "an alias (*e); write the value itself", 0},
    {16, "  - {mod: echo, pool: 100.0, [a]: echo}", "in place of a key", 0},
    {19, "--- {}", "a second document", 0},
    {19, "x: [[[[[[[[[[1]]]]]]]]]]", "nested deeper than 8 levels", 0},
};

static void config_load__reads_what_bounds_the_peers(void **state)
{
    char text[4096];
    (void)state;
    write_file(text, good_with(text, sizeof(text), 18, "limits: {ack_every: 64, ack_delay_us: 9, peer_memory: 1M, remote_memory: 96M, unasked: 0, "
                                                       "credit: 1G, grant_window: 4K, overcommit: 64, quantum: 4096, stacks: 0, stack_bytes: 64K, neighborhood: 2, background: 0, latency_weight: 1000}"));
    struct config *c = load_ok(file);
    assert_int_equal(c->limits.ack_every, 64);
    assert_int_equal(c->limits.ack_delay_us, 9);
    assert_int_equal(c->limits.peer_memory, 1 << 20);
    assert_int_equal(c->limits.remote_memory, 96 << 20); /* just all of it */
    assert_int_equal(c->limits.unasked, 0);
    assert_int_equal(c->limits.credit, 1 << 30);
    assert_int_equal(c->limits.grant_window, 4096);
    assert_int_equal(c->limits.overcommit, 64);
    assert_int_equal(c->limits.quantum, 4096);
    assert_int_equal(c->limits.stacks, 0);
    assert_int_equal(c->limits.neighborhood, 2);
    assert_int_equal(c->limits.background, 0);
    assert_int_equal(c->limits.latency_weight, 1000);
    assert_int_equal(c->limits.stack_bytes, 65536);
    config_free(c);
    write_file(text, good_with(text, sizeof(text), 18, "limits: {remote_memory: 5M}"));
    c = load_ok(file);
    assert_int_equal(c->limits.peer_memory, 5 << 20); /* never more than that of all */
    config_free(c);
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        return;
    int n = snprintf(text, sizeof(text), "node: {id: 1, name: a}\nworkers: {cores: [0, 1]}\ncontrol: {socket: /c.sock}\n"
                                         "limits:\n  remote_memory: 1M\n");
    refused(text, (size_t)n, 5, "limits.remote_memory is 1024K, which 2 workers share; right is 1M for each at least");
}

static void config_load__names_line_and_cure(void **state)
{
    char text[8192];
    (void)state;
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        const struct mistake *m = &mistakes[i];
        size_t n = good_with(text, sizeof(text), m->line, m->text);
        refused(text, n, m->at ? m->at : m->line, m->fragment);
    }
}

static void config_load__knows_what_belongs_together(void **state)
{
    static const char head[] = "node: {id: 1, name: a}\nworkers: {cores: [0]}\ncontrol: {socket: /c.sock}\n";
    static const struct {
        const char *text, *fragment;
        unsigned line;
    } cases[] = {
        {"cluster: {name: x, peers: {id: 2}}\n", "cluster.peers is a mapping; right is a list like [{id: 2,", 4},
        {"ports:\n - {name: p, device: net_ring0, ip: 10.0.0.1/8}\n", "cluster is missing; ports need one", 1},
        {"cluster:\n  name: x\n  peers:\n    - {id: 2, name: b, ip: 10.0.0.1}\n",
         "cluster.peers[0] needs a port to be reached by", 7},
    };
    char text[1024];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int n = snprintf(text, sizeof(text), "%s%s", head, cases[i].text);
        refused(text, (size_t)n, cases[i].line, cases[i].fragment);
    }
    int n = snprintf(text, sizeof(text), "%scluster: {name: x, udp_port: 65535}\n", head); /* just right */
    write_file(text, (size_t)n);
    config_free(load_ok(file));
    n = snprintf(text, sizeof(text), "node: {id: 1, name: a}\nworkers: {cores: [0], count: 5}\ncontrol: {socket: /c.sock}\ncluster: {name: x, udp_port: 65531}\n");
    write_file(text, (size_t)n);
    struct config *c = load_ok(file);
    assert_int_equal(c->workers.count, 5); /* of which each has a port */
    assert_int_equal(c->workers.core_count, 1);
    config_free(c);
    text[n - 3]++; /* 65532 */
    refused(text, (size_t)n, 4, "cluster.udp_port is 65532, too high for one UDP port per worker; at most 65531");
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        return;
    n = snprintf(text, sizeof(text), "node: {id: 1, name: a}\nworkers: {cores: [0, 1], count: 1}\ncontrol: {socket: /c.sock}\n");
    refused(text, (size_t)n, 2, "workers.count is 1, fewer than the 2 of workers.cores; right is 2 to 64");
    n = snprintf(text, sizeof(text),
                 "node: {id: 1, name: a}\nworkers: {cores: [0, 1]}\ncontrol: {socket: /c.sock}\n"
                 "cluster: {name: x, udp_port: 65535}\n");
    refused(text, (size_t)n, 4, "cluster.udp_port is 65535, too high for one UDP port per worker; at most 65534");
}

static void config_load__limits_the_lists(void **state)
{
    static const char head[] =
        "node: {id: 1, name: a}\nworkers: {cores: [0]}\ncontrol: {socket: /c.sock}\ncluster:\n  name: x\n"
        "ports:\n- {name: p, device: net_ring0, ip: 10.0.0.1/8}\n";
    size_t cap = 256 * 1024, at;
    char *text = malloc(cap);
    (void)state;
    for (unsigned peers = CONFIG_PEERS_MAX; peers <= CONFIG_PEERS_MAX + 1; peers++) {
        at = (size_t)snprintf(text, cap, "%.*s  peers:\n", (int)(strstr(head, "ports") - head), head);
        for (unsigned i = 0; i < peers; i++)
            at += (size_t)snprintf(text + at, cap - at, "  - {id: %u, name: n%u, ip: 10.1.%u.%u}\n", i + 2, i, i / 250,
                                   i % 250 + 1);
        at += (size_t)snprintf(text + at, cap - at, "%s", strstr(head, "ports"));
        if (peers > CONFIG_PEERS_MAX) {
            refused(text, at, 7, "cluster.peers has 1025 entries; right are 0 to 1024");
            continue;
        }
        write_file(text, at);
        struct config *c = load_ok(file);
        assert_int_equal(c->cluster.peers_count, CONFIG_PEERS_MAX);
        config_free(c);
    }
    at = (size_t)snprintf(text, cap, "%s", head);
    for (unsigned i = 1; i <= CONFIG_PORTS_MAX; i++)
        at +=
            (size_t)snprintf(text + at, cap - at, "- {name: p%u, device: net_ring%u, ip: %u.0.0.1/8}\n", i, i, 10 + i);
    refused(text, at, 7, "ports has 9 entries; right are 0 to 8");
    free(text);
}

static void config_load__survives_what_is_no_configuration(void **state)
{
    static const char bomb[] = "a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\n";
    size_t big = 1 << 20;
    char *text = malloc(big + 1);
    (void)state;
    refused("", 0, 1, "the file is empty");
    refused("# only this\n", 12, 1, "the file is empty");
    refused("~\n", 2, 1, "the file is '~'; right is a mapping with node, workers and control");
    refused("[]", 2, 1, "the file is a list");
    refused("{}", 2, 1, "node is missing");
    refused("\x7f\x45\x4c\x46\x02\x01", 6, 1, "not text: control characters are not allowed");
    refused("node: {}\n\xff\xfe", 11, 2, "not text: ");
    refused(bomb, sizeof(bomb) - 1, 2, "an alias (*a)");
    memset(text, '[', big + 1);
    refused(text, big, 1, "nested deeper");
    memset(text, '-', big + 1);
    refused(text, big, 1, "");
    memset(text, '\n', big + 1);
    refused(text, big, 1, "the file is empty");
    for (size_t i = 0; i + 4 <= big; i += 4)
        memcpy(text + i, "- a\n", 4);
    refused(text, big, 32768, "more than 32768 values");
    free(text);
}

static void config_load__explains_an_unreadable_file(void **state)
{
    struct config *c = NULL;
    char err[256], *text = calloc(1, (1 << 20) + 1);
    (void)state;
    assert_int_equal(config_load("/tmp/chi-config-none", &c, err, sizeof(err)), -ENOENT);
    assert_string_equal(err, "/tmp/chi-config-none: cannot be read (No such file or directory); name a configuration "
                             "file, examples are in tools/config");
    assert_int_equal(config_load("/tmp", &c, err, sizeof(err)), -EISDIR);
    assert_non_null(strstr(err, "/tmp: is a folder"));
    assert_int_equal(config_load("/dev/zero", &c, err, sizeof(err)), -EINVAL);
    assert_non_null(strstr(err, "/dev/zero: is no regular file"));
    write_file(text, (1 << 20) + 1);
    assert_int_equal(config_load(file, &c, err, sizeof(err)), -EFBIG);
    assert_non_null(strstr(err, "is larger than 1 MiB"));
    assert_null(c);
    char tiny[8];
    assert_int_equal(config_load("/tmp", &c, tiny, sizeof(tiny)), -EISDIR);
    assert_string_equal(tiny, "/tmp: i");
    free(text);
}

static void config_load__accepts_the_examples(void **state)
{
    static const char *const names[] = {"alpha", "beta", "single", "veth"};
    char path[64], err[256];
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct config *c;
        snprintf(path, sizeof(path), "tools/config/%s.yaml", names[i]);
        if (strcmp(names[i], "beta") == 0 && sysconf(_SC_NPROCESSORS_ONLN) < 2) { /* its worker is on core 1 */
            assert_int_equal(config_load(path, &c, err, sizeof(err)), -EINVAL);
            assert_non_null(strstr(err, "workers.cores[0] is 1"));
            continue;
        }
        c = load_ok(path);
        assert_true(c->compose_count > 0);
        config_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_load__fills_everything),
        cmocka_unit_test(config_load__has_defaults),
        cmocka_unit_test(config_load__reads_what_bounds_the_peers),
        cmocka_unit_test(config_load__names_line_and_cure),
        cmocka_unit_test(config_load__knows_what_belongs_together),
        cmocka_unit_test(config_load__limits_the_lists),
        cmocka_unit_test(config_load__survives_what_is_no_configuration),
        cmocka_unit_test(config_load__explains_an_unreadable_file),
        cmocka_unit_test(config_load__accepts_the_examples),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
