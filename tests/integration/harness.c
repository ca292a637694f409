#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT_S = 60 }; /* a busy machine, a sanitizer: far above what a start takes */

const struct chi_pool_id ECHO = {100, 0};

char test_dir[96];

int folder_setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    (void)state;
    snprintf(test_dir, sizeof test_dir, "%s/chi-test-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(test_dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int folder_teardown(void **state)
{
    (void)state;
    return nftw(test_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void write_port(FILE *f, uint32_t id, const struct node_options *o)
{
    fprintf(f, "ports:\n  - {name: p0, ip: 10.40.0.%u/24, mtu: %u, ", id, o->mtu ? o->mtu : o->vhost ? 1500 : 9000);
    if (o->queues)
        fprintf(f, "queues: %u, ", o->queues);
    fprintf(f, "device: \"");
    if (o->device) {
        const char *letter = strstr(o->device, "%c");
        fprintf(f, "%.*s%c%s\"}\n", (int)(letter - o->device), o->device, id < o->peer ? 'a' : 'b', letter + 2);
    } else if (o->vhost)
        fprintf(f, "%s=%s/vhost.sock\"}\n", id < o->peer ? "net_vhost0,iface" : "net_virtio_user0,queues=1,path", test_dir);
    else if (o->wire)
        fprintf(f, "net_memif0,role=client,id=0,socket=%s/memif%u.sock\"}\n", test_dir, id);
    else
        fprintf(f, "net_memif0,role=%s,id=0,socket=%s/memif.sock\"}\n", id < o->peer ? "server" : "client", test_dir);
    if (o->ports)
        fprintf(f, "%s\n", o->ports);
}

void node_configure(struct node *n, uint32_t id, const struct node_options *o)
{
    const char *dir = test_dir;
    static const struct node_options usual;
    char cores[16];
    o = o ? o : &usual;
    memset(n, 0, sizeof *n);
    n->id = id;
    n->out = -1;
    snprintf(n->dir, sizeof n->dir, "%s", dir);
    snprintf(n->config, sizeof n->config, "%s/node%u.yaml", dir, id);
    snprintf(n->socket, sizeof n->socket, "%s/node%u.sock", dir, id);
    snprintf(n->log, sizeof n->log, "%s/node%u.log", dir, id);
    snprintf(cores, sizeof cores, "%ld", (long)((id - 1) % (uint32_t)sysconf(_SC_NPROCESSORS_ONLN)));
    FILE *f = fopen(n->config, "w");
    assert_non_null(f);
    fprintf(f, "node: {id: %u, name: node%u}\n", id, id);
    fprintf(f, "workers: {cores: [%s], idle: adaptive, lanes: %s", o->cores ? o->cores : cores, o->lanes ? o->lanes : "round_robin");
    if (o->workers)
        fprintf(f, ", count: %u", o->workers);
    fprintf(f, "}\n");
    fprintf(f, "memory: {hugepages: off, size: %s}\n", o->memory ? o->memory : "256M");
    if (o->peer)
        write_port(f, id, o);
    fprintf(f, "cluster:\n  name: %s\n", o->cluster ? o->cluster : "demo");
    char peer_ip[24];
    snprintf(peer_ip, sizeof peer_ip, "10.40.0.%u", o->peer);
    if (o->peer && !o->nobody)
        fprintf(f, "  peers: [{id: %u, name: node%u, ip: %s}%s]\n", o->peer, o->peer, o->peer_ip ? o->peer_ip : peer_ip,
                o->third ? ", {id: 3, name: node3, ip: 10.40.0.3}" : "");
    fprintf(f, "control: {socket: %s}\n", n->socket);
    fprintf(f, "modules: {path: [%s]}\n", o->modules ? o->modules : MODULES_DEFAULT);
    fprintf(f, "compose:\n  - {mod: echo, pool: 100.0, name: echo}\n  - {mod: perf, pool: 101.0, name: perf}\n");
    if (o->compose)
        fprintf(f, "%s\n", o->compose);
    if (o->limits)
        fprintf(f, "limits: {%s}\n", o->limits);
    assert_int_equal(fclose(f), 0);
}

void show_log(const char *log)
{
    char line[512];
    FILE *f = fopen(log, "r");
    while (f && fgets(line, sizeof line, f))
        print_message("  %s: %s", strrchr(log, '/') + 1, line);
    if (f)
        fclose(f);
}

bool log_says(const struct node *n, const char *text)
{
    char line[512];
    bool found = false;
    FILE *f = fopen(n->log, "r");
    while (f && fgets(line, sizeof line, f))
        found = found || strstr(line, text);
    if (f)
        fclose(f);
    return found;
}

pid_t program_spawn(const char *const argv[], const char *log, int *out)
{
    int fds[2], fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && pipe2(fds, O_CLOEXEC) == 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
        dup2(fds[1], STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(fds[1]);
    close(fd);
    *out = fds[0];
    return pid;
}

void program_await(const char *name, const char *log, const char *ready, int out)
{
    char text[1024] = "";
    size_t have = 0;
    while (!strstr(text, ready) || text[have - 1] != '\n') {
        struct pollfd p = {.fd = out, .events = POLLIN};
        ssize_t got = poll(&p, 1, LIMIT_S * 1000) == 1 ? read(out, text + have, sizeof text - 1 - have) : 0;
        if (got <= 0) {
            show_log(log);
            fail_msg("%s did not become ready: %s", name, text);
        }
        have += (size_t)got;
        text[have] = 0;
    }
}

pid_t program_start(const char *const argv[], const char *log, const char *ready, int *out)
{
    pid_t pid = program_spawn(argv, log, out);
    program_await(argv[0], log, ready, *out);
    return pid;
}

void node_spawn(struct node *n)
{
    const char *const argv[] = {CHI_BUILD_DIR "/bin/chimaerad", "--config", n->config, NULL};
    n->pid = program_spawn(argv, n->log, &n->out);
}

bool node_speaks(const struct node *n)
{
    struct pollfd p = {.fd = n->out, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

void node_await(struct node *n) { program_await("chimaerad", n->log, "is ready", n->out); }

void node_start(struct node *n)
{
    node_spawn(n);
    node_await(n);
}

int node_stop(struct node *n)
{
    if (n->pid <= 0)
        return 0;
    kill(n->pid, SIGTERM);
    return node_wait(n);
}

int node_wait(struct node *n)
{
    int status;
    assert_int_equal(waitpid(n->pid, &status, 0), n->pid);
    n->pid = 0;
    close(n->out);
    int rc = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (rc == 0 && log_says(n, "did not end within"))
        rc = NODE_GAVE_UP;
    if (rc)
        show_log(n->log);
    return rc;
}

void node_kill(struct node *n)
{
    kill(n->pid, SIGKILL);
    waitpid(n->pid, NULL, 0);
    n->pid = 0;
    close(n->out);
}

int run_program(char *out, size_t cap, const char *const argv[])
{
    int fds[2], status;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        dup2(fds[1], STDERR_FILENO);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(fds[1]);
    size_t have = 0;
    char skip[256];
    ssize_t got;
    while ((got = have + 1 < cap ? read(fds[0], out + have, cap - 1 - have) : read(fds[0], skip, sizeof skip)) > 0)
        if (have + 1 < cap)
            have += (size_t)got;
    out[have] = 0;
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The whole answer; params: taken over. */
static json_t *answer_of(const char *path, const char *method, json_t *params)
{
    const struct timeval limit = {LIMIT_S, 0};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%.100s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    json_t *request = json_pack("{s:s, s:i, s:s, s:o*}", "jsonrpc", "2.0", "id", 1, "method", method, "params", params);
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    assert_int_equal(dprintf(fd, "%s\n", text), strlen(text) + 1);
    free(text);
    FILE *f = fdopen(fd, "r");
    json_error_t e;
    json_t *answer = json_loadf(f, JSON_DISABLE_EOF_CHECK, &e);
    fclose(f);
    assert_non_null(answer);
    return answer;
}

json_t *control_call(const char *path, const char *method, json_t *params)
{
    json_t *answer = answer_of(path, method, params);
    json_t *result = json_object_get(answer, "result");
    if (!result) {
        char *text = json_dumps(answer, 0);
        fail_msg("%s of %s: %s", method, path, text);
    }
    json_incref(result);
    json_decref(answer);
    return result;
}

static json_t *params_of(const char *text)
{
    json_t *params = json_loads(text, 0, NULL);
    assert_non_null(params);
    return params;
}

json_t *node_call(const struct node *n, const char *method) { return control_call(n->socket, method, NULL); }
json_t *node_ask(const struct node *n, const char *method, const char *params) { return control_call(n->socket, method, params_of(params)); }

void node_refuses(const struct node *n, const char *method, const char *params, const char *says)
{
    json_t *answer = answer_of(n->socket, method, params_of(params));
    const char *message = json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
    if (!message || !strstr(message, says))
        fail_msg("%s %s: \"%s\" does not say \"%s\"", method, params, message ? message : "(no error)", says);
    json_decref(answer);
}

uint64_t node_drop(const struct node *n, const char *reason)
{
    json_t *stats = node_call(n, "stats");
    json_t *v = json_object_get(json_object_get(stats, "drops"), reason);
    assert_non_null(v);
    uint64_t count = (uint64_t)json_integer_value(v);
    json_decref(stats);
    return count;
}

uint64_t node_peer(const struct node *n, uint32_t peer, const char *field)
{
    json_t *list = node_call(n, "peer.list"), *p;
    size_t i;
    uint64_t value = UINT64_MAX;
    json_array_foreach (list, i, p)
        if (json_integer_value(json_object_get(p, "node")) == (json_int_t)peer)
            value = (uint64_t)json_integer_value(json_object_get(p, field));
    json_decref(list);
    assert_true(value != UINT64_MAX);
    return value;
}

struct chi_client *node_connect(const struct node *n)
{
    struct chi_client *c = NULL;
    assert_int_equal(chi_connect(n->socket, &(struct chi_client_options){.bulk_bytes = 128 << 20}, &c), 0);
    return c;
}

void pair_start(struct node *one, struct node *two, const struct node_options *o1, const struct node_options *o2)
{
    struct node_options a = o1 ? *o1 : (struct node_options){0}, b = o2 ? *o2 : (struct node_options){0};
    a.peer = 2;
    b.peer = 1;
    node_configure(one, 1, &a);
    node_configure(two, 2, &b);
    node_start(one);
    node_start(two);
}

void pair_stop(struct node *one, struct node *two)
{
    assert_int_equal(node_stop(two), 0);
    assert_int_equal(node_stop(one), 0);
}

void until(bool (*holds)(void *arg), void *arg, const char *what)
{
    const struct timespec pause = {0, 5000000};
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (!holds(arg)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec - start.tv_sec > LIMIT_S)
            fail_msg("waited %d s for: %s", LIMIT_S, what);
        nanosleep(&pause, NULL);
    }
}

struct echo_ping ping_to(struct chi_query q, uint64_t value)
{
    return (struct echo_ping){.task = {.pool = ECHO, .query = q, .method = &echo_ping_method}, .value = value};
}

enum chi_status io_check(struct chi_client *c, struct chi_query q, uint64_t in, uint64_t out, uint64_t seed)
{
    const uint8_t guard = 0xa5;
    uint8_t *from = chi_bulk_alloc(c, in), *to = chi_bulk_alloc(c, out + 64);
    uint64_t sum = 0;
    assert_true(from && to);
    for (uint64_t i = 0; i < in; i++)
        sum += from[i] = (uint8_t)(seed * 31 + i * 7);
    memset(to, guard, out + 64);
    struct echo_io t = {.task = {.pool = ECHO, .query = q, .method = &echo_io_method}, .seed = seed};
    t.in = (struct chi_bulk){.ptr = from, .size = in};
    t.out = (struct chi_bulk){.ptr = to, .size = out};
    chi_submit(c, &t.task);
    enum chi_status st = chi_wait(c, &t.task, LIMIT_S * INT64_C(1000000000));
    if (st == CHI_STATUS_OK) {
        assert_int_equal(t.sum, sum);
        assert_int_equal(t.out.used, out);
        for (uint64_t i = 0; i < out; i++)
            if (to[i] != (uint8_t)(seed + i))
                fail_msg("byte %llu of %llu is %u", (unsigned long long)i, (unsigned long long)out, to[i]);
        for (uint64_t i = out; i < out + 64; i++)
            assert_int_equal(to[i], guard);
    }
    chi_bulk_free(c, from);
    chi_bulk_free(c, to);
    return st;
}

uint64_t stream_check(struct chi_client *c, struct chi_query q, uint64_t size, uint64_t stop, uint64_t seed)
{
    const uint8_t guard = 0xa5;
    uint64_t end = stop && stop < size ? stop : size, sum = 0;
    uint8_t *from = chi_bulk_alloc(c, size), *to = chi_bulk_alloc(c, size + 64);
    assert_true(from && to);
    for (uint64_t i = 0; i < size; i++)
        from[i] = (uint8_t)(seed * 31 + i * 7 + i / 509);
    for (uint64_t i = 0; i < end; i++)
        sum += from[i];
    memset(to, guard, size + 64);
    struct echo_stream t = {.task = {.pool = ECHO, .query = q, .method = &echo_stream_method}, .key = seed * UINT64_C(0x9e3779b97f4a7c15),
                            .step = 100001, .stop = stop};
    t.in = (struct chi_bulk){.ptr = from, .size = size};
    t.back = (struct chi_bulk){.ptr = to, .size = size};
    chi_submit(c, &t.task);
    assert_int_equal(chi_wait(c, &t.task, 3 * LIMIT_S * INT64_C(1000000000)), CHI_STATUS_OK);
    assert_int_equal(t.sum, sum);
    assert_int_equal(t.back.used, end);
    for (uint64_t i = 0; i < end; i++)
        if (to[i] != (from[i] ^ (uint8_t)(t.key >> 8 * (i & 7))))
            fail_msg("byte %llu of %llu is %u", (unsigned long long)i, (unsigned long long)end, to[i]);
    for (uint64_t i = end; i < size + 64; i++)
        if (to[i] != guard)
            fail_msg("byte %llu behind %llu changed", (unsigned long long)i, (unsigned long long)end);
    chi_bulk_free(c, from);
    chi_bulk_free(c, to);
    return t.early;
}

static uint64_t cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &t), 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}


void expect_idle(pid_t pid) { expect_percent(pid, IDLE_PERCENT); }

/* CPU time in the least busy of a few spans: what others do to caches and cores can only add to it. */
void expect_percent(pid_t pid, unsigned percent)
{
    enum { SPANS = 4, SPAN_S = 2 };
    const uint64_t most = SPAN_S * UINT64_C(1000000000) / 100 * percent;
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < SPANS && least > most; i++) {
        struct timespec span = {SPAN_S, 0};
        uint64_t before = cpu_ns(pid);
        while (nanosleep(&span, &span))
            ;
        uint64_t used = cpu_ns(pid) - before;
        least = used < least ? used : least;
    }
    assert_in_range(least, 0, most);
}
