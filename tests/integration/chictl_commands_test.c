/* chictl as a program, against the RPC server in a thread of this test, with methods of its own. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/rpc.h"

static char folder[64], path[96];
static struct event_base *base;
static struct rpc *rpc;
static struct event *wake;
static int wake_pipe[2];
static pthread_t server;

/* --- the daemon's part */
static json_t *from_text(const char *text)
{
    json_error_t e;
    json_t *j = json_loads(text, 0, &e);
    if (!j)
        fprintf(stderr, "%s\n", e.text);
    return j;
}
static json_t *call_status(void *ctx, json_t *params, struct rpc_error *err)
{
    (void)ctx, (void)params, (void)err;
    return from_text(
        "{\"node\":1,\"name\":\"alpha\",\"uptime_ns\":3725000000000,\"memory_bytes\":268435456,\"busy\":false,\"load\":"
        "0.25,"
        "\"evil\":\"a\\u001b[31mb\\nc\",\"none\":null,\"links\":{\"p0\":\"up\",\"delay_ns\":1500},\"empty\":[]}");
}
static json_t *call_peers(void *ctx, json_t *params, struct rpc_error *err)
{
    (void)ctx, (void)params, (void)err;
    return from_text("[{\"node\":2,\"name\":\"beta\",\"sent_bytes\":1536,\"srtt_ns\":850,\"open_in\":7,\"drops\":0},"
                     "{\"node\":10,\"name\":\"g\\u00e4mma\",\"sent_bytes\":12,\"drops\":123456,\"note\":\"x y\"}]");
}
static json_t *call_peer(void *ctx, json_t *params, struct rpc_error *err)
{
    const char *peer = json_string_value(json_object_get(params, "peer"));
    (void)ctx;
    if (strcmp(peer, "beta") != 0)
        return rpc_fail(err, RPC_INVALID_PARAMS, "there is no peer '%s'", peer);
    return from_text("{\"node\":2,\"path\":{\"srtt_ns\":12345678,\"window_bytes\":0,\"bytes_tx\":2048,\"segment_bytes_rx\":5242880,"
                     "\"megabytes\":7},\"drops\":{\"CRC\":0,\"NUMBER\":3,\"FORM\":0},\"sessions\":[]}");
}
static const struct rpc_param peer_params[] = {{"peer", RPC_STRING, true, ""}, {0}};
static json_t *call_ports(void *ctx, json_t *params, struct rpc_error *err)
{
    (void)ctx, (void)params, (void)err;
    return json_array();
}
static json_t *call_stats(void *ctx, json_t *params, struct rpc_error *err)
{
    (void)ctx, (void)params;
    return rpc_fail(err, RPC_FAILED, "a worker does not answer");
}
static json_t *call_long(void *ctx, json_t *params, struct rpc_error *err)
{
    json_t *list = json_array();
    (void)ctx, (void)params, (void)err;
    for (int i = 0; i < 20000; i++)
        json_array_append_new(list, json_pack("{s:i, s:s}", "worker", i, "idle", "adaptive"));
    return list;
}
static json_t *call_stop(void *ctx, json_t *params, struct rpc_error *err)
{
    (void)ctx, (void)params, (void)err;
    event_base_loopbreak(base); /* the answer must still go out */
    return json_pack("{s:b}", "stopping", 1);
}
/* Two answers in turn, of two seconds: what came between them is all that is to be seen.  In the second one a worker and a method are new. */
static int loads;
static json_t *call_load(void *ctx, json_t *params, struct rpc_error *err)
{
    static const char *const worker = "{s:i, s:i, s:I, s:I, s:I, s:i, s:i, s:I, s:i, s:i}", *const method = "{s:s, s:s, s:s, s:i, s:I, s:I, s:I}";
    bool second = loads++ % 2;
    json_int_t k = second ? 1000000 : 0;
    json_t *workers = json_array(), *list = json_array();
    (void)ctx, (void)params, (void)err;
    for (int i = 0; i < 1 + second; i++)
        json_array_append_new(workers, json_pack(worker, "worker", i, "core", i + 4, "turns", 7 + k, "busy_ns", 50 + 500 * k, "tasks_run", 9 + 2 * k, "lanes", 3,
                                                 "queued", 12, "queued_ns", (json_int_t)34000, "open", 13, "stacks", 1));
    json_array_append_new(list, json_pack(method, "module", "echo", "pool", "100.0", "method", "PING", "class", 0, "tasks", 5 + k, "run_ns", 70 + 100 * k, "bytes", (json_int_t)0));
    for (int i = 0; i < 2; i++) /* two classes of one method, the time is theirs */
        json_array_append_new(list, json_pack(method, "module", "echo", "pool", "100.0", "method", "IO", "class", 12 + i, "tasks", k / 10, "run_ns", 150 * k, "bytes", 512 * k));
    json_array_append_new(list, json_pack(method, "module", "echo", "pool", "100.0", "method", "REST", "class", 0, "tasks", (json_int_t)5, "run_ns", (json_int_t)9, "bytes", (json_int_t)0));
    if (second)
        json_array_append_new(list, json_pack(method, "module", "?", "pool", "101.0", "method", "?", "class", 0, "tasks", (json_int_t)2, "run_ns", k, "bytes", (json_int_t)0));
    return json_pack("{s:I, s:o, s:o}", "now_ns", (json_int_t)1000000000 + 2000 * k, "workers", workers, "methods", list);
}
/* What came, as it came. */
static json_t *call_mirror(void *ctx, json_t *params, struct rpc_error *err)
{
    (void)ctx, (void)err;
    return json_incref(params);
}
static const struct rpc_param mirror_params[] = {{"name", RPC_STRING, true, ""}, {"device", RPC_STRING, false, ""}, {"ip", RPC_STRING, false, ""},
                                                 {"mtu", RPC_INTEGER, false, ""}, {"queues", RPC_INTEGER, false, ""},
                                                 {"pool", RPC_STRING, false, ""}, {"queue", RPC_INTEGER, false, ""},
                                                 {"lane", RPC_INTEGER, false, ""}, {"core", RPC_INTEGER, false, ""}, {"idle", RPC_STRING, false, ""}, {"worker", RPC_INTEGER, false, ""}, {"container", RPC_INTEGER, false, ""}, {"link", RPC_STRING, false, ""}, {"id", RPC_INTEGER, false, ""},
                                                 {0}};
static json_t *call_module(void *ctx, json_t *params, struct rpc_error *err)
{
    (void)ctx, (void)err;
    return json_pack("{s:O, s:[{s:i, s:i, s:[s, s]}, {s:i, s:[]}]}", "module", json_object_get(params, "name"), "methods", "method", 1,
                     "struct_bytes", 80, "fields", "in a u8", "out points vec<3> {x u32; y u32}", "method", 2, "fields");
}
/* pool.list is not there: an older daemon. */
static const struct rpc_method methods[] = {{"status", "", NULL, call_status},
                                            {"peer.list", "", NULL, call_peers},
                                            {"peer.show", "", peer_params, call_peer},
                                            {"port.list", "", NULL, call_ports},
                                            {"mod.show", "", mirror_params, call_module},
                                            {"stats", "", NULL, call_stats},
                                            {"worker.list", "", NULL, call_long},
                                            {"stop", "", NULL, call_stop},
                                            {"worker.add", "", &mirror_params[1], call_mirror},
                                            {"worker.remove", "", &mirror_params[1], call_mirror},
                                            {"worker.set", "", &mirror_params[1], call_mirror},
                                            {"port.add", "", mirror_params, call_mirror},
                                            {"port.set", "", mirror_params, call_mirror},
                                            {"port.remove", "", mirror_params, call_mirror},
                                            {"peer.add", "", mirror_params, call_mirror},
                                            {"peer.drain", "", mirror_params, call_mirror},
                                            {"peer.remove", "", mirror_params, call_mirror},
                                            {"lane.move", "", &mirror_params[1], call_mirror},
                                            {"load.list", "", NULL, call_load},
                                            {0}};

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    event_base_loopbreak(base);
}

static void *serve(void *arg)
{
    event_base_dispatch(base);
    return arg;
}

static int setup(void **state)
{
    char err[256] = "";
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/chictl-test-XXXXXX");
    if (!mkdtemp(folder) || pipe(wake_pipe))
        return -1;
    snprintf(path, sizeof(path), "%s/c.sock", folder);
    base = event_base_new();
    wake = event_new(base, wake_pipe[0], EV_READ, on_wake, NULL);
    event_add(wake, NULL);
    const struct rpc_options o = {.socket_path = path, .methods = methods};
    if (rpc_start(base, &o, &rpc, err, sizeof(err))) {
        fprintf(stderr, "%s\n", err);
        return -1;
    }
    return pthread_create(&server, NULL, serve, NULL);
}

static int teardown(void **state)
{
    (void)state;
    if (write(wake_pipe[1], "x", 1) != 1 || pthread_join(server, NULL))
        return -1;
    rpc_stop(rpc);
    event_free(wake);
    event_base_free(base);
    close(wake_pipe[0]);
    close(wake_pipe[1]);
    return rmdir(folder);
}

/* --- chictl: its exit status, and what it wrote (at most what fits) */
struct ran {
    int status;
    char out[2 << 20], err[4096];
};

static void read_back(FILE *f, char *to, size_t cap)
{
    rewind(f);
    to[fread(to, 1, cap - 1, f)] = 0;
    fclose(f);
}

static struct ran *chictl(const char *line)
{
    static struct ran r;
    char command[512];
    FILE *out = tmpfile(), *err = tmpfile();
    assert_non_null(out);
    assert_non_null(err);
    snprintf(command, sizeof(command), "exec " CHICTL " %s", line);
    pid_t child = fork();
    if (child == 0) {
        dup2(fileno(out), STDOUT_FILENO);
        dup2(fileno(err), STDERR_FILENO);
        setenv("CHI_SOCKET", path, 1);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    assert_true(child > 0);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    r.status = WEXITSTATUS(status);
    read_back(out, r.out, sizeof(r.out));
    read_back(err, r.err, sizeof(r.err));
    return &r;
}

static void assert_ran(const char *line, int status, const char *out, const char *err)
{
    struct ran *r = chictl(line);
    if (r->status != status || !strstr(r->out, out) || !strstr(r->err, err) || (status && r->out[0]) ||
        (!status && r->err[0]))
        fail_msg("chictl %s: %d\n%s\n%s", line, r->status, r->out, r->err);
}

static void chictl__renders_an_object(void **state)
{
    (void)state;
    assert_ran("status", 0, "", "");
    assert_string_equal(chictl("status")->out, "node:         1\n"
                                               "name:         alpha\n"
                                               "uptime_ns:    1:02:05\n"
                                               "memory_bytes: 256.0 MiB\n"
                                               "busy:         no\n"
                                               "load:         0.25\n"
                                               "evil:         a?[31mb?c\n"
                                               "none:         -\n"
                                               "links:\n"
                                               "  p0:       up\n"
                                               "  delay_ns: 1.50 us\n"
                                               "empty:\n"
                                               "  (none)\n");
}

static void chictl__renders_a_table(void **state)
{
    (void)state;
    assert_string_equal(chictl("peer list")->out, "node  name   srtt_ns  open_in   drops\n" /* what a person needs, in its order */
                                                  "   2  beta    850 ns        7       0\n"
                                                  "  10  g\xc3\xa4mma        -        -  123456\n");
    assert_string_equal(chictl("port list")->out, "(none)\n");
}

static void chictl__shows_one_peer(void **state)
{
    (void)state;
    assert_ran("peer show beta", 0, "", "");
    assert_string_equal(chictl("peer show beta")->out, "node: 2\n"
                                                       "path:\n"
                                                       "  srtt_ns:          12.35 ms\n"
                                                       "  window_bytes:     0 B\n"
                                                       "  bytes_tx:         2.0 KiB\n"
                                                       "  segment_bytes_rx: 5.0 MiB\n"
                                                       "  megabytes:        7\n"
                                                       "drops:\n" /* those that happened */
                                                       "  NUMBER: 3\n"
                                                       "sessions:\n"
                                                       "  (none)\n");
    json_t *all = from_text(chictl("--json peer show beta")->out);
    assert_int_equal(json_object_size(json_object_get(all, "drops")), 3);
    json_decref(all);
    assert_ran("peer show bet", 1, "", "chictl: there is no peer 'bet' (error -32602)");
    assert_ran("peer show bet a", 1, "", "chictl: there is no peer 'bet a' (error -32602)");
    assert_ran("peer show", 2, "", "chictl: 'peer show' needs one more word: which peer\n");
}

static void chictl__shows_a_module(void **state)
{
    (void)state;
    assert_string_equal(chictl("mod show echo")->out, "module: echo\n"
                                                      "methods:\n"
                                                      "  method:       1\n"
                                                      "  struct_bytes: 80 B\n"
                                                      "  fields:\n"
                                                      "    in a u8\n"
                                                      "    out points vec<3> {x u32; y u32}\n"
                                                      "\n"
                                                      "  method: 2\n"
                                                      "  fields:\n"
                                                      "    (none)\n");
    assert_ran("mod show", 2, "", "'mod show' needs one more word: which name");
}

static void chictl__prints_raw_json(void **state)
{
    static const char *const lines[] = {"--json peer list", "peer list --json", "peer --json list", "-j peer list"};
    (void)state;
    json_t *want = call_peers(NULL, NULL, NULL);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct ran *r = chictl(lines[i]);
        assert_int_equal(r->status, 0);
        json_t *got = from_text(r->out);
        assert_true(json_equal(got, want));
        json_decref(got);
    }
    json_decref(want);
    json_t *help = from_text(chictl("help --json")->out);
    assert_int_equal(json_array_size(help), 33);
    json_decref(help);
}

static void chictl__takes_long_answers(void **state)
{
    (void)state;
    json_t *got = from_text(chictl("worker list --json")->out);
    assert_int_equal(json_array_size(got), 20000);
    json_decref(got);
    struct ran *r = chictl("worker list | tail -n 1");
    assert_string_equal(r->out, " 19999  adaptive\n");
}

static void chictl__names_the_nearest(void **state)
{
    (void)state;
    assert_ran("statsu", 2, "", "unknown command 'statsu'; did you mean 'status'?");
    assert_ran("worker lsit", 2, "", "unknown command 'worker lsit'; did you mean 'worker list'?");
    assert_ran("workers", 2, "", "did you mean 'worker set'?");
    assert_ran("status now", 2, "", "'status' takes no argument, but got 'now'; did you mean 'status'?");
    assert_ran("peer list all", 2, "", "'peer list' takes no argument, but got 'all'");
    assert_ran("--jsn status", 2, "", "--jsn: unknown option; did you mean --json?");
    assert_ran("status --sokcet x", 2, "", "did you mean --socket?");
    assert_ran("-s", 2, "", "missing argument");
    assert_ran("", 2, "",
               "a command is missing; one of: status, worker list, worker add, worker remove, worker set, port list, port add, port set, port remove, pool list, "
               "pool show, pool create, pool destroy, pool expand, pool contract, mod list, mod show, mod load, mod unload, mod upgrade, task list, lane list, lane move, peer list, peer show, peer add, peer drain, peer remove, top, flush, stats, stop, help");
    assert_ran("port remove", 2, "", "'port remove' needs one more word: which name");
    assert_ran("port set p0 --id 4", 2, "", "'port set' has no option --id");
    assert_ran("status --name x", 2, "", "'status' has no option --name");
    assert_ran("port set p0 --queues 2", 2, "", "'port set' has no option --queues");
    assert_ran("lane move --pool echo --lane x --worker 1", 2, "", "--lane is 'x'; right is a number");
    assert_ran("worker add --core all", 2, "", "--core is 'all'; right is a number");
    assert_ran("worker add --idle busy", 2, "", "'worker add' has no option --idle");
    assert_ran("lane list --pool echo", 2, "", "'lane list' has no option --pool");
    assert_ran("port add p0 --queues two", 2, "", "--queues is 'two'; right is a number");
    assert_ran("port set p0 --mtu 1k", 2, "", "--mtu is '1k'; right is a number");
    assert_ran("peer add --id '' --name x --ip 10.0.0.1", 2, "", "--id is ''; right is a number");
    assert_ran("status --once", 2, "", "'status' has no option --once");
    assert_ran("stats --interval 1", 2, "", "'stats' has no option --interval");
    assert_ran("top --interval 0", 2, "", "--interval is 0; right is a number of seconds from 0.1 to 3600");
    assert_ran("top --interval -1", 2, "", "--interval is -1; right is");
    assert_ran("top --interval 3601", 2, "", "--interval is 3601; right is");
    assert_ran("top --interval soon", 2, "", "soon");
    assert_ran("top 5", 2, "", "'top' takes no argument, but got '5'");
    assert_ran("top --name x", 2, "", "'top' has no option --name");
    assert_ran("-t 0 status", 2, "", "--timeout is 0; right is");
    assert_ran("-t x status", 2, "", "x");
}

static void chictl__sends_arguments_as_parameters(void **state)
{
    (void)state;
    assert_string_equal(chictl("port add p1 --device net_ring0,a=b --ip 10.1.0.1/24 --mtu 9000 --queues 2")->out,
                        "name:   p1\ndevice: net_ring0,a=b\nip:     10.1.0.1/24\nmtu:    9000\nqueues: 2\n");
    assert_string_equal(chictl("port set p1 --link down")->out, "name: p1\nlink: down\n");
    assert_string_equal(chictl("port --mtu 1500 set p1")->out, "name: p1\nmtu:  1500\n");
    assert_string_equal(chictl("port remove p1")->out, "name: p1\n");
    assert_string_equal(chictl("peer add --id 3 --name gamma --ip 10.1.0.3,10.2.0.3")->out, "ip:   10.1.0.3,10.2.0.3\nid:   3\nname: gamma\n");
    assert_string_equal(chictl("peer drain gamma")->out, "name: gamma\n");
    assert_string_equal(chictl("peer remove 3")->out, "name: 3\n");
    assert_string_equal(chictl("worker add --core 3")->out, "core: 3\n");
    assert_string_equal(chictl("worker remove --core 0")->out, "core: 0\n");
    assert_string_equal(chictl("worker set --core 1 --idle busy")->out, "core: 1\nidle: busy\n");
    assert_string_equal(chictl("lane move --pool 100.0 --queue 1 --lane 2 --worker 0")->out, "pool:   100.0\nqueue:  1\nlane:   2\nworker: 0\n");
}

static void chictl__shows_help_and_version(void **state)
{
    (void)state;
    assert_ran("--help", 0, "  worker list   each worker and its counters\n", "");
    assert_ran("--help", 0, "--json", "");
    assert_ran("help", 0, "else of $CHI_SOCKET, else /run/chimaera/chimaera.sock", "");
    assert_string_equal(chictl("--version")->out, "chictl " CHI_VERSION "\n");
}

static const char *const top_tables = "worker  core  busy %  turns/s  tasks/s  lanes  queued  queued_ns  open  stacks\n"
                                      "     0     4      25   500000  1000000      3      12   34.00 us    13       1\n"
                                      "     1     5      25   500004  1000005      3      12   34.00 us    13       1\n"
                                      "\n"
                                      "method     pool   share %  tasks/s    mean_ns  bytes_per_s\n"
                                      "echo.IO    100.0     74.8   100000    1.50 us    488.3 MiB\n"
                                      "echo.PING  100.0     24.9   500000     100 ns          0 B\n"
                                      "?.?        101.0      0.2        1  500.00 us          0 B\n";

static void chictl__top_shows_what_came_between_two_looks(void **state)
{
    (void)state;
    loads = 0;
    assert_ran("top --interval 0.1", 0, "", "");
    assert_string_equal(chictl("top --once --interval 0.1")->out, top_tables);
    json_t *raw = from_text(chictl("--json top")->out);
    assert_int_equal(json_array_size(json_object_get(raw, "methods")), 4);
    json_decref(raw);
    loads = 1; /* it began anew between two looks: nothing came, and no number is below 0 */
    assert_string_equal(chictl("top --interval 0.1")->out, "worker  core  busy %  turns/s  tasks/s  lanes  queued  queued_ns  open  stacks\n"
                                                           "     0     4       -        0        0      3      12   34.00 us    13       1\n"
                                                           "\n(none)\n");
}

/* On a terminal it goes on until Ctrl-C, and ends well. */
static void chictl__top_refreshes_a_terminal(void **state)
{
    enum { SCREENS = 3 };
    static char seen[1 << 16];
    const char *screen = "\033[H\033[2J";
    size_t at = 0, screens = 0;
    int status, terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    (void)state;
    loads = 0;
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    const char *name = ptsname(terminal);
    assert_non_null(name);
    pid_t child = fork();
    if (child == 0) {
        int end = open(name, O_RDWR);
        dup2(end, STDOUT_FILENO);
        setenv("CHI_SOCKET", path, 1);
        execl(CHICTL, "chictl", "top", "--interval", "0.1", (char *)NULL);
        _exit(127);
    }
    assert_true(child > 0);
    while (screens < SCREENS) {
        ssize_t n = read(terminal, seen + at, sizeof(seen) - 1 - at);
        assert_true(n > 0);
        at += (size_t)n;
        screens = 0;
        for (const char *s = seen; (s = strstr(s, screen)); s++)
            screens++;
    }
    assert_non_null(strstr(seen, "echo.IO"));
    assert_int_equal(kill(child, SIGINT), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(terminal);
}

static void chictl__reports_what_the_daemon_refuses(void **state)
{
    (void)state;
    assert_ran("stats", 1, "", "chictl: a worker does not answer (error -32000)\n");
    assert_ran("pool list", 1, "", "unknown method 'pool.list'; did you mean 'port.list'? (error -32601)");
}

static void chictl__reports_a_daemon_that_is_not_there(void **state)
{
    char line[256], other[120], long_path[160];
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)state;
    assert_ran("-s /nowhere/c.sock status", 3, "",
               "no daemon answers on /nowhere/c.sock (No such file or directory); start chimaerad");
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = 0;
    snprintf(line, sizeof(line), "-s /%s status", long_path);
    assert_ran(line, 3, "", "the socket's path has 160 bytes; at most 107");

    snprintf(other, sizeof(other), "%s/silent.sock", folder);
    memcpy(a.sun_path, other, strlen(other) + 1 < sizeof(a.sun_path) ? strlen(other) + 1 : 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    snprintf(line, sizeof(line), "-s %s status", other);
    assert_ran(line, 3, "", "(Connection refused)");
    assert_int_equal(listen(fd, 4), 0); /* takes the request, and says nothing */
    snprintf(line, sizeof(line), "--timeout 0.2 -s %s status", other);
    assert_ran(line, 3, "", "did not answer within 0.2 s");
    close(fd);
    unlink(other);
}

static void *hang_up(void *listener)
{
    static const char *const answers[] = {"", "{\"jsonrpc\":", "hello\n", "[]\n", "{\"error\":{}}\n"};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        char request[256];
        int fd = accept(*(int *)listener, NULL, NULL);
        if (recv(fd, request, sizeof(request), 0) > 0 && answers[i][0])
            (void)!write(fd, answers[i], strlen(answers[i]));
        close(fd);
    }
    return NULL;
}

static void chictl__refuses_answers_without_sense(void **state)
{
    char line[256], other[108];
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    pthread_t thread;
    (void)state;
    snprintf(other, sizeof(other), "%s/odd.sock", folder);
    memcpy(a.sun_path, other, sizeof(other));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(pthread_create(&thread, NULL, hang_up, &fd), 0);
    snprintf(line, sizeof(line), "-s %s status", other);
    assert_ran(line, 3, "", "closed the connection without an answer");
    assert_ran(line, 3, "", "closed the connection without an answer");
    for (int i = 0; i < 3; i++)
        assert_ran(line, 3, "", "is no daemon of this version");
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(fd);
    unlink(other);
}

static void chictl__gets_the_answer_to_stop(void **state)
{
    (void)state;
    assert_ran("stop", 0, "stopping: yes\n", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(chictl__renders_an_object, setup, teardown),
        cmocka_unit_test_setup_teardown(chictl__renders_a_table, setup, teardown),
        cmocka_unit_test_setup_teardown(chictl__shows_one_peer, setup, teardown),
        cmocka_unit_test_setup_teardown(chictl__shows_a_module, setup, teardown),
        cmocka_unit_test_setup_teardown(chictl__prints_raw_json, setup, teardown),
        cmocka_unit_test_setup_teardown(chictl__takes_long_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(chictl__names_the_nearest, setup, teardown),
        cmocka_unit_test_setup_teardown(chictl__sends_arguments_as_parameters, setup, teardown),
        cmocka_unit_test_setup_teardown(chictl__shows_help_and_version, setup, teardown),
        cmocka_unit_test_setup_teardown(chictl__top_shows_what_came_between_two_looks, setup, teardown),
        cmocka_unit_test_setup_teardown(chictl__top_refreshes_a_terminal, setup, teardown),
        cmocka_unit_test_setup_teardown(chictl__reports_what_the_daemon_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(chictl__reports_a_daemon_that_is_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(chictl__refuses_answers_without_sense, setup, teardown),
        cmocka_unit_test_setup_teardown(chictl__gets_the_answer_to_stop, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
