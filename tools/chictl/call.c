#include "call.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct call {
    const char *path, *who;
    char *err;
    size_t cap;
    int fd;
    uint64_t end_ms;
    unsigned timeout_ms;
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

__attribute__((format(printf, 2, 3))) static enum call_result unreachable(const struct call *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->err, c->cap, format, args);
    va_end(args);
    return CALL_UNREACHABLE;
}

/* Waits until the socket is ready for `events`, at most until the call's end. */
static enum call_result await(const struct call *c, short events)
{
    for (;;) {
        uint64_t now = now_ms();
        struct pollfd p = {.fd = c->fd, .events = events};
        int n = now < c->end_ms ? poll(&p, 1, (int)(c->end_ms - now)) : 0;
        if (n > 0)
            return CALL_OK;
        if (n == 0)
            return unreachable(c, "the %s on %s did not answer within %g s", c->who, c->path, c->timeout_ms / 1000.0);
        if (errno != EINTR)
            return unreachable(c, "cannot wait for the %s (%s)", c->who, strerror(errno));
    }
}

static enum call_result dial(struct call *c, const char *mend)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(c->path) >= sizeof(a.sun_path))
        return unreachable(c, "the socket's path has %zu bytes; at most %zu", strlen(c->path), sizeof(a.sun_path) - 1);
    memcpy(a.sun_path, c->path, strlen(c->path));
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        return unreachable(c, "cannot make a socket (%s)", strerror(errno));
    if (connect(c->fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return CALL_OK;
    if (errno == EACCES || errno == EPERM)
        return unreachable(c, "%s may not be used by this user; ask root, or join the group of the socket", c->path);
    return unreachable(c, "no %s answers on %s (%s); %s", c->who, c->path, strerror(errno), mend);
}

static enum call_result send_all(const struct call *c, const char *text)
{
    size_t n = strlen(text);
    while (n) {
        ssize_t sent = send(c->fd, text, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            enum call_result r = await(c, POLLOUT);
            if (r)
                return r;
        } else if (sent < 0 && errno != EINTR) {
            return unreachable(c, "the %s on %s went away (%s)", c->who, c->path, strerror(errno));
        } else if (sent > 0) {
            text += sent;
            n -= (size_t)sent;
        }
    }
    return CALL_OK;
}

/* One line, without its newline, to be freed. */
static enum call_result receive_line(const struct call *c, char **line_out)
{
    char *line = NULL;
    size_t have = 0, room = 0;
    for (;;) {
        if (have + 1 >= room) {
            char *more = room < CALL_ANSWER_MAX ? realloc(line, room ? room * 2 : 65536) : NULL;
            if (!more) {
                free(line);
                return unreachable(c, "the answer of the %s on %s is too long", c->who, c->path);
            }
            line = more;
            room = room ? room * 2 : 65536;
        }
        ssize_t n = recv(c->fd, line + have, room - have - 1, 0);
        if (n > 0) {
            char *end = memchr(line + have, '\n', (size_t)n);
            have += (size_t)n;
            if (!end)
                continue;
            *end = 0;
            *line_out = line;
            return CALL_OK;
        }
        enum call_result r = CALL_OK;
        if (n == 0)
            r = unreachable(c, "the %s on %s closed the connection without an answer", c->who, c->path);
        else if (errno == EAGAIN)
            r = await(c, POLLIN);
        else if (errno != EINTR)
            r = unreachable(c, "the %s on %s went away (%s)", c->who, c->path, strerror(errno));
        if (r) {
            free(line);
            return r;
        }
    }
}

static enum call_result read_answer(const struct call *c, const char *line, json_t **result_out)
{
    json_error_t where;
    json_t *answer = json_loads(line, 0, &where), *result = json_object_get(answer, "result"),
           *e = json_object_get(answer, "error");
    const char *message = json_string_value(json_object_get(e, "message"));
    enum call_result r = CALL_OK;
    if (result)
        *result_out = json_incref(result);
    else if (message) {
        unreachable(c, "%s (error %lld)", message, (long long)json_integer_value(json_object_get(e, "code")));
        r = CALL_REFUSED;
    } else
        r = unreachable(c, "what answers on %s is no %s of this version", c->path, c->who);
    json_decref(answer);
    return r;
}

enum call_result call_method(const struct call_to *to, const char *method, json_t *params, unsigned timeout_ms,
                             json_t **result_out, char *err, size_t cap)
{
    struct call c = {to->path, to->who, err, cap, -1, now_ms() + timeout_ms, timeout_ms};
    json_t *request = json_pack("{s:s, s:s, s:i, s:o*}", "jsonrpc", "2.0", "method", method, "id", 1, "params", params);
    char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
    json_decref(request);
    enum call_result r = text ? dial(&c, to->mend) : unreachable(&c, "the request is no UTF-8 text");
    if (!r)
        r = send_all(&c, text);
    if (!r)
        r = receive_line(&c, &line);
    if (!r)
        r = read_answer(&c, line, result_out);
    free(text);
    free(line);
    if (c.fd >= 0)
        close(c.fd);
    return r;
}
