/* The RPC server on a real unix socket; server and clients take turns in one thread: no sleep, no race. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control/rpc.h"

enum { CONNECTIONS = 8, ANSWER_CAP = 1 << 20, PATIENCE_MS = 10000 };

struct world {
    char folder[64], path[96];
    struct event_base *base;
    struct rpc *rpc;
    unsigned calls; /* of `count` */
    unsigned attached;
    int attached_fd;
    struct shm_attach_request attach_request;
    char answer[ANSWER_CAP];
};

/* --- methods */
static json_t *call_echo(void *ctx, json_t *params, struct rpc_error *err)
{
    (void)ctx;
    (void)err;
    return json_incref(params);
}
static json_t *call_count(void *ctx, json_t *params, struct rpc_error *err)
{
    struct world *w = ctx;
    (void)params;
    (void)err;
    return json_integer(++w->calls);
}
static json_t *call_fail(void *ctx, json_t *params, struct rpc_error *err)
{
    (void)ctx;
    (void)params;
    return rpc_fail(err, RPC_FAILED, "it %s", "failed");
}
static json_t *call_nothing(void *ctx, json_t *params, struct rpc_error *err)
{
    (void)ctx;
    (void)params;
    (void)err;
    return NULL;
}
static json_t *call_big(void *ctx, json_t *params, struct rpc_error *err)
{
    static char text[50001];
    (void)ctx;
    (void)params;
    (void)err;
    memset(text, 'b', sizeof(text) - 1);
    return json_string(text);
}
static const struct rpc_param echo_params[] = {{"name", RPC_STRING, true, "a text"},
                                               {"times", RPC_INTEGER, false, "how often"},
                                               {"loud", RPC_BOOL, false, ""},
                                               {0}};
static const struct rpc_method methods[] = {{"echo", "gives its parameters back", echo_params, call_echo},
                                            {"count", "counts", NULL, call_count},
                                            {"fail", "fails", NULL, call_fail},
                                            {"nothing", "has no result", NULL, call_nothing},
                                            {"big", "a long text", NULL, call_big},
                                            {0}};

static void on_attach(void *ctx, int fd, const struct shm_attach_request *rq)
{
    struct world *w = ctx;
    w->attached++;
    w->attached_fd = fd;
    w->attach_request = *rq;
}

/* --- server and client */
static void start(struct world *w, unsigned timeout_ms, unsigned connections_max)
{
    char err[256] = "";
    struct rpc_options o = {w->path, methods, w, on_attach, connections_max, timeout_ms};
    int rc = rpc_start(w->base, &o, &w->rpc, err, sizeof(err));
    if (rc)
        fail_msg("rpc_start: %d %s", rc, err);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    snprintf(w->folder, sizeof(w->folder), "/tmp/chi-rpc-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->path, sizeof(w->path), "%s/c.sock", w->folder);
    w->base = event_base_new();
    w->attached_fd = -1;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    rpc_stop(w->rpc);
    if (w->attached_fd >= 0)
        close(w->attached_fd);
    event_base_free(w->base);
    assert_int_equal(access(w->path, F_OK), -1); /* removed at stop */
    assert_int_equal(rmdir(w->folder), 0);
    free(w);
    return 0;
}

static void turn(struct world *w)
{
    event_base_loop(w->base, EVLOOP_NONBLOCK);
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int dial(const struct world *w)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(a.sun_path, w->path, strlen(w->path) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static void push(struct world *w, int fd, const void *bytes, size_t n)
{
    const char *p = bytes;
    uint64_t end = now_ms() + PATIENCE_MS;
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        assert_true(sent >= 0 || errno == EAGAIN);
        assert_true(now_ms() < end);
        if (sent > 0) {
            p += sent;
            n -= (size_t)sent;
        }
        turn(w);
    }
}

static void push_text(struct world *w, int fd, const char *text)
{
    push(w, fd, text, strlen(text));
}

/* Runs the server until the client has `lines` lines, or the end of the stream (lines < 0); the text is w->answer. */
static void pull(struct world *w, int fd, int lines)
{
    size_t have = 0;
    uint64_t end = now_ms() + PATIENCE_MS;
    for (;;) {
        turn(w);
        ssize_t n = recv(fd, w->answer + have, ANSWER_CAP - 1 - have, 0);
        if (n > 0)
            have += (size_t)n;
        w->answer[have] = 0;
        int found = 0;
        for (size_t i = 0; i < have; i++)
            found += w->answer[i] == '\n';
        if (lines >= 0 && found >= lines)
            return;
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            if (lines >= 0)
                fail_msg("closed after: %s", w->answer);
            return;
        }
        if (now_ms() > end)
            fail_msg("no answer; so far: %s", w->answer);
    }
}

static void assert_answer(struct world *w, const char *fragment)
{
    if (!strstr(w->answer, fragment))
        fail_msg("%s is not in: %s", fragment, w->answer);
}

/* One request on its own connection, and what its answer must hold. */
static void ask(struct world *w, const char *request, const char *fragment)
{
    int fd = dial(w);
    push_text(w, fd, request);
    pull(w, fd, 1);
    assert_answer(w, fragment);
    close(fd);
    turn(w);
}

/* --- calls */
static void rpc__answers_by_the_book(void **state)
{
    struct world *w = *state;
    static const char *const cases[][2] = {
        {"{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":7}", "{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":7}\n"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":\"x\"}", "\"result\":2,\"id\":\"x\""},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":null}", "\"result\":3,\"id\":null"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"params\":{},\"id\":1}", "\"result\":4"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":{\"name\":\"a}]\\\"b\"},\"id\":1}",
         "{\"name\":\"a}]\\\"b\"}"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":[\"a\",3,true],\"id\":1}",
         "{\"name\":\"a\",\"times\":3,\"loud\":true}"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"fail\",\"id\":1}", "{\"code\":-32000,\"message\":\"it failed\"}"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"nothing\",\"id\":1}", "\"code\":-32603"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"help\",\"id\":1}",
         "{\"method\":\"echo\",\"parameters\":\"name, times?, loud?\",\"help\":\"gives its parameters back\"}"},
    };
    start(w, 0, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ask(w, cases[i][0], cases[i][1]);
}

static void rpc__refuses_what_is_no_request(void **state)
{
    struct world *w = *state;
    static const char *const cases[][2] = {
        {"{\"a\":}", "\"code\":-32700"},
        {"{]", "\"code\":-32700"},
        {"hello\n", "\"code\":-32700"},
        {"GET / HTTP/1.0\r\n\r\n", "\"code\":-32700"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"foobar, \"params\":\"bar\",\"baz]\n", "\"code\":-32700"},
        {"{\"method\":\"count,\"id\":1}\n", "a request is an object or an array"}, /* at once: no byte behind it mends it */
        {"{\"id\":1,\"id\":2}", "\"code\":-32700"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\xfe\",\"id\":1}", "\"code\":-32700"},
        {"{}", "\"code\":-32600"},
        {"{\"jsonrpc\":\"1.0\",\"method\":\"count\",\"id\":1}", "\"code\":-32600"},
        {"{\"jsonrpc\":\"2.0\",\"method\":1,\"id\":1}", "\"code\":-32600"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":{}}", "\"id\":null"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"params\":3,\"id\":9}", "\"id\":9"},
    };
    start(w, 0, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ask(w, cases[i][0], cases[i][1]);
        ask(w, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":[\"on\"],\"id\":1}", "\"on\"");
    }
    assert_int_equal(w->calls, 0);
}

static void rpc__names_the_nearest(void **state)
{
    struct world *w = *state;
    static const char *const cases[][2] = {
        {"{\"jsonrpc\":\"2.0\",\"method\":\"cuont\",\"id\":1}",
         "{\"code\":-32601,\"message\":\"unknown method 'cuont'; did you mean "
         "'count'?\",\"data\":{\"nearest\":\"count\"}}"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"hlep\",\"id\":1}", "\"nearest\":\"help\""},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":{\"nmae\":\"x\"},\"id\":1}",
         "\"data\":{\"parameter\":\"nmae\",\"nearest\":\"name\"}"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":{\"name\":5},\"id\":1}",
         "{\"code\":-32602,\"message\":\"parameter 'name' of echo must be a "
         "string\",\"data\":{\"parameter\":\"name\"}}"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":{\"times\":5},\"id\":1}",
         "parameter 'name' of echo is missing"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":[\"a\",1,true,4],\"id\":1}",
         "at most 3 parameters, but got 4"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":[\"a\",1.5],\"id\":1}",
         "'times' of echo must be an integer"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"params\":{\"x\":5},\"id\":1}",
         "count takes no parameters, but got 'x'"},
        /* a character that the message's limit cuts in two */
        {"{\"jsonrpc\":\"2.0\",\"method\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xc3\xa9\","
         "\"id\":1}",
         "\"code\":-32601"},
    };
    start(w, 0, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ask(w, cases[i][0], cases[i][1]);
}

static void rpc__answers_batches(void **state)
{
    struct world *w = *state;
    char request[64 * 66 + 16];
    start(w, 0, 0);
    ask(w, "[]", "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\"message\":\"an empty batch\"},\"id\":null}\n");
    ask(w, "[1,{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":5},{\"jsonrpc\":\"2.0\",\"method\":\"count\"}]",
        "\"result\":1,\"id\":5}]");
    assert_answer(w, "[{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600");
    assert_int_equal(w->calls, 2);
    /* notifications alone: no answer; the next request's comes first */
    ask(w,
        "[{\"jsonrpc\":\"2.0\",\"method\":\"count\"}]{\"jsonrpc\":\"2.0\",\"method\":\"nope\"} "
        "{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":1}",
        "{\"jsonrpc\":\"2.0\",\"result\":4,\"id\":1}\n");
    assert_true(w->answer[0] == '{' && strchr(w->answer, '\n')[1] == 0);
    for (int members = RPC_BATCH_MAX; members <= RPC_BATCH_MAX + 1; members++) {
        size_t at = 1;
        request[0] = '[';
        for (int i = 0; i < members; i++)
            at += (size_t)sprintf(request + at, "%s{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":%d}", i ? "," : "",
                                  i);
        sprintf(request + at, "]");
        ask(w, request, members == RPC_BATCH_MAX ? "\"id\":63}]" : "a batch of 65 requests; at most 64");
    }
    assert_int_equal(w->calls, 4 + RPC_BATCH_MAX);
}

/* --- streams */
static void rpc__takes_requests_in_any_pieces(void **state)
{
    struct world *w = *state;
    static const char text[] = " {\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":1}{\"jsonrpc\":\"2.0\",\"method\":"
                               "\"count\",\n\"id\":2}\r\n\t[{\"jsonrpc\":"
                               "\"2.0\",\"method\":\"echo\",\"params\":[\"\\\\\\\"}\"],\"id\":3}]\n";
    start(w, 0, 0);
    for (size_t piece = 1; piece < sizeof(text); piece += piece < 20 ? 1 : 17) {
        int fd = dial(w);
        for (size_t at = 0; at < sizeof(text) - 1; at += piece)
            push(w, fd, text + at, at + piece < sizeof(text) - 1 ? piece : sizeof(text) - 1 - at);
        pull(w, fd, 3);
        assert_answer(w, "\"id\":1}\n{");
        assert_answer(w, "\"id\":2}\n[");
        assert_answer(w, "{\"name\":\"\\\\\\\"}\"},\"id\":3}]\n");
        close(fd);
    }
}

static void rpc__limits_the_size_of_a_request(void **state)
{
    struct world *w = *state;
    static const char head[] = "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1,\"params\":{\"name\":\"";
    static const char tail[] = "\"}}";
    size_t room = RPC_REQUEST_MAX - strlen(head) - strlen(tail);
    char *text = malloc(RPC_REQUEST_MAX + 2);
    start(w, 0, 0);
    for (size_t extra = 0; extra < 2; extra++) {
        memcpy(text, head, strlen(head));
        memset(text + strlen(head), 'x', room + extra);
        memcpy(text + strlen(head) + room + extra, tail, sizeof(tail));
        int fd = dial(w);
        push_text(w, fd, text);
        pull(w, fd, extra ? -1 : 1);
        assert_answer(w, extra ? "\"code\":-32600,\"message\":\"the request is longer than 65536 bytes\""
                               : "\"result\":{\"name\":\"xxx");
        close(fd);
    }
    free(text);
}

static void rpc__answers_before_it_sees_the_end(void **state)
{
    struct world *w = *state;
    start(w, 0, 0);
    int fd = dial(w);
    for (int i = 0; i < 3 * RPC_TURN; i++)
        push_text(w, fd, "{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":1}");
    shutdown(fd, SHUT_WR);
    pull(w, fd, -1);
    assert_int_equal(w->calls, 3 * RPC_TURN);
    assert_answer(w, "\"result\":96,");
    close(fd);

    fd = dial(w);
    push_text(w, fd, "{\"jsonrpc\":\"2.0\",\"method\":\"count\"");
    shutdown(fd, SHUT_WR);
    pull(w, fd, -1);
    assert_answer(w, "the request ends in the middle");
    close(fd);
    assert_int_equal(rpc_connections(w->rpc), 0);
}

/* Thousands of requests at once, by one who reads late: nothing is lost, and another one is served between. */
static void rpc__holds_back_who_does_not_read(void **state)
{
    struct world *w = *state;
    static const char request[] = "{\"jsonrpc\":\"2.0\",\"method\":\"big\",\"id\":1}\n";
    const int requests = 40;
    size_t bytes = 0;
    char *sink = malloc(65536);
    start(w, 0, 0);
    int fd = dial(w);
    for (int i = 0; i < requests; i++)
        push_text(w, fd, request);
    ask(w, "{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":1}", "\"result\":1");
    uint64_t end = now_ms() + PATIENCE_MS;
    int lines = 0;
    while (lines < requests) {
        turn(w);
        ssize_t n = recv(fd, sink, 65536, 0);
        assert_true(n > 0 || (n < 0 && errno == EAGAIN));
        for (ssize_t i = 0; i < n; i++)
            lines += sink[i] == '\n';
        bytes += n > 0 ? (size_t)n : 0;
        assert_true(now_ms() < end);
    }
    assert_true(bytes > (size_t)requests * 50000);
    free(sink);
    close(fd);
}

/* Of many requests that are there at once only a turn's worth goes before another connection's. */
static void rpc__gives_the_others_a_turn(void **state)
{
    struct world *w = *state;
    static const char request[] = "{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":1}";
    start(w, 0, 0);
    int fd = dial(w), other = dial(w);
    push_text(w, fd, request);
    pull(w, fd, 1);
    for (int i = 0; i < 3 * RPC_TURN; i++)
        assert_int_equal(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    push_text(w, other, request);
    pull(w, other, 1);
    assert_in_range(atoi(strstr(w->answer, "result") + 8), 2, 2 * RPC_TURN);
    pull(w, fd, 3 * RPC_TURN);
    close(fd);
    close(other);
}

/* A byte now and then makes no more time for the end of a request: it ends before it is too long. */
static void rpc__closes_who_trickles(void **state)
{
    struct world *w = *state;
    start(w, 50, 0);
    int fd = dial(w);
    push_text(w, fd, "{\"jsonrpc\":");
    for (; rpc_connections(w->rpc); turn(w))
        (void)!send(fd, " ", 1, MSG_NOSIGNAL);
    pull(w, fd, -1);
    assert_answer(w, "did not end in time");
    close(fd);
}

static void rpc__closes_the_slow(void **state)
{
    struct world *w = *state;
    start(w, 50, 0);
    /* no byte */
    int fd = dial(w);
    pull(w, fd, -1);
    assert_string_equal(w->answer, "");
    close(fd);
    /* half a request */
    fd = dial(w);
    push_text(w, fd, "{\"jsonrpc\":");
    pull(w, fd, -1);
    assert_answer(w, "did not end in time");
    close(fd);
    /* half an attach request */
    fd = dial(w);
    push_text(w, fd, "CHI1");
    pull(w, fd, -1);
    assert_string_equal(w->answer, "");
    close(fd);
    /* answers that are not taken */
    fd = dial(w);
    char many[20 * 48] = "";
    for (int i = 0; i < 20; i++)
        strcat(many, "{\"jsonrpc\":\"2.0\",\"method\":\"big\",\"id\":1}");
    push_text(w, fd, many);
    uint64_t end = now_ms() + PATIENCE_MS;
    while (rpc_connections(w->rpc)) {
        turn(w);
        assert_true(now_ms() < end);
    }
    close(fd);
    /* one that asked and now rests is not slow: it outlives one that was made at the same time and never asked */
    fd = dial(w);
    push_text(w, fd, "{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":1}");
    pull(w, fd, 1);
    int silent = dial(w);
    pull(w, silent, -1);
    push_text(w, fd, "{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":1}");
    pull(w, fd, 1);
    assert_answer(w, "\"result\":2");
    close(silent);
    close(fd);
    assert_int_equal(w->attached, 0);
}

static void rpc__makes_room_for_new_connections(void **state)
{
    struct world *w = *state;
    int idle[CONNECTIONS], fd;
    start(w, 0, CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; i++) {
        idle[i] = dial(w);
        push_text(w, idle[i], "{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":1}");
        pull(w, idle[i], 1);
    }
    push_text(w, idle[0], "{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":1}"); /* now 1 is idle longest */
    pull(w, idle[0], 1);
    assert_int_equal(rpc_connections(w->rpc), CONNECTIONS);
    fd = dial(w);
    push_text(w, fd, "{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":1}");
    pull(w, fd, 1);
    pull(w, idle[1], -1);
    close(idle[1]);
    idle[1] = fd;
    assert_int_equal(rpc_connections(w->rpc), CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; i++) /* all in the middle of something */
        push_text(w, idle[i], "{");
    fd = dial(w);
    pull(w, fd, -1);
    assert_answer(w, "\"code\":-32000,\"message\":\"too many connections\"");
    close(fd);
    for (int i = 0; i < CONNECTIONS; i++) {
        push_text(w, idle[i], "}");
        pull(w, idle[i], 1);
        assert_answer(w, "-32600");
        close(idle[i]);
    }
}

/* --- clients of libchi */
static void rpc__gives_clients_away(void **state)
{
    struct world *w = *state;
    const struct shm_attach_request rq = {SHM_MAGIC, SHM_VERSION, 1 << 20, 256, 0};
    start(w, 0, 0);
    for (size_t piece = 1; piece <= sizeof(rq); piece++) {
        unsigned before = w->attached;
        int fd = dial(w);
        for (size_t at = 0; at < sizeof(rq); at += piece)
            push(w, fd, (const char *)&rq + at, at + piece < sizeof(rq) ? piece : sizeof(rq) - at);
        push_text(w, fd, "behind");
        assert_int_equal(w->attached, before + 1);
        assert_memory_equal(&w->attach_request, &rq, sizeof(rq));
        assert_int_equal(rpc_connections(w->rpc), 0);
        char behind[8] = "";
        assert_int_equal(recv(w->attached_fd, behind, sizeof(behind), 0), 6); /* not a byte was taken */
        assert_string_equal(behind, "behind");
        assert_int_equal(recv(w->attached_fd, behind, sizeof(behind), 0), -1); /* and it does not block */
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(send(w->attached_fd, "hi", 2, 0), 2);
        assert_int_equal(recv(fd, behind, sizeof(behind), 0), 2);
        close(w->attached_fd);
        w->attached_fd = -1;
        close(fd);
    }
}

static void rpc__refuses_a_foreign_client(void **state)
{
    struct world *w = *state;
    start(w, 0, 0);
    int fd = dial(w);
    push_text(w, fd, "CHI2____________________");
    pull(w, fd, -1);
    assert_answer(w, "not a client of this version");
    assert_int_equal(w->attached, 0);
    close(fd);
}

static void rpc_stop__sends_what_is_ready_and_closes(void **state)
{
    struct world *w = *state;
    start(w, 0, 0);
    int asks = dial(w), rests = dial(w);
    push_text(w, rests, "{\"jsonrpc\":");
    for (int i = 0; i < 8; i++)
        push_text(w, asks, "{\"jsonrpc\":\"2.0\",\"method\":\"big\",\"id\":1}");
    rpc_stop(w->rpc);
    w->rpc = NULL;
    pull(w, rests, -1);
    assert_string_equal(w->answer, "");
    pull(w, asks, -1); /* as much as the socket took at once */
    assert_answer(w, "\"result\":\"bbb");
    close(asks);
    close(rests);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(rpc__answers_by_the_book),
        TEST(rpc__refuses_what_is_no_request),
        TEST(rpc__names_the_nearest),
        TEST(rpc__answers_batches),
        TEST(rpc__takes_requests_in_any_pieces),
        TEST(rpc__limits_the_size_of_a_request),
        TEST(rpc__answers_before_it_sees_the_end),
        TEST(rpc__holds_back_who_does_not_read),
        TEST(rpc__closes_the_slow), TEST(rpc__closes_who_trickles), TEST(rpc__gives_the_others_a_turn),
        TEST(rpc__makes_room_for_new_connections),
        TEST(rpc__gives_clients_away),
        TEST(rpc__refuses_a_foreign_client),
        TEST(rpc_stop__sends_what_is_ready_and_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
