#define _GNU_SOURCE
#include "rpc.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc_call.h"
#include "rpc_socket.h"

enum { ACCEPT_TURN = 16, ACCEPT_RETRY_MS = 100 };

enum conn_mode { CONN_FRESH, CONN_ATTACH, CONN_JSON }; /* FRESH: no byte yet */
/* What the connection is given timeout_ms for. */
enum conn_wait { WAIT_NONE, WAIT_FIRST, WAIT_REST, WAIT_TAKE };

struct conn {
    TAILQ_ENTRY(conn) link; /* idle longest first */
    struct rpc *rpc;
    int fd;
    enum conn_mode mode;
    enum conn_wait wait;
    bool eof;     /* nothing more comes; what came is answered */
    bool closing; /* no more requests; closed when the answers are taken */
    struct event *readable, *writable, *timer, *again;
    struct evbuffer *out;
    struct rpc_frame frame;
    size_t have;
    char in[RPC_REQUEST_MAX];
};

struct rpc {
    struct event_base *base;
    struct rpc_options options;
    struct rpc_socket socket;
    struct event *acceptable, *accept_retry;
    TAILQ_HEAD(, conn) conns;
    unsigned count;
};

static struct timeval milliseconds(unsigned ms)
{
    return (struct timeval){ms / 1000, ms % 1000 * 1000};
}

/* Ends a connection; its descriptor is closed unless it was given away (fd -1). */
static void conn_destroy(struct conn *c)
{
    TAILQ_REMOVE(&c->rpc->conns, c, link);
    c->rpc->count--;
    struct event *events[] = {c->readable, c->writable, c->timer, c->again};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (events[i])
            event_free(events[i]);
    }
    if (c->out)
        evbuffer_free(c->out);
    if (c->fd >= 0)
        close(c->fd);
    free(c);
}

static void conn_wait(struct conn *c, enum conn_wait wait, bool restart)
{
    struct timeval after = milliseconds(c->rpc->options.timeout_ms);
    if (wait == c->wait && !restart)
        return;
    c->wait = wait;
    if (wait == WAIT_NONE)
        evtimer_del(c->timer);
    else
        evtimer_add(c->timer, &after);
}

static void conn_say(struct conn *c, char *line)
{
    if (!line) /* no answer due, or no memory for it */
        return;
    evbuffer_add(c->out, line, strlen(line));
    free(line);
}

/* An error after which it is not known where the next request begins. */
static void conn_give_up(struct conn *c, int code, const char *message)
{
    conn_say(c, rpc_answer_error(code, message));
    c->closing = true;
    c->have = 0;
    c->frame = (struct rpc_frame){0};
}

/* Writes what the socket takes.  False: the connection is broken. */
static bool conn_flush(struct conn *c, bool *progress_out)
{
    *progress_out = false;
    while (evbuffer_get_length(c->out)) {
        struct evbuffer_iovec v;
        if (evbuffer_peek(c->out, -1, NULL, &v, 1) < 1)
            return false;
        ssize_t n = send(c->fd, v.iov_base, v.iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        evbuffer_drain(c->out, (size_t)n);
        *progress_out = true;
    }
    return true;
}

static bool conn_answers_pending(const struct conn *c)
{
    return evbuffer_get_length(c->out) >= RPC_OUTPUT_MAX;
}

/* Answers the requests that are complete, at most RPC_TURN.  Returns true when it stopped before the last of them. */
static bool conn_requests(struct conn *c, bool *any_out)
{
    const struct rpc_options *o = &c->rpc->options;
    struct rpc_frame *f = &c->frame;
    *any_out = false;
    for (unsigned turn = 0; !c->closing; turn++) {
        if (turn == RPC_TURN || conn_answers_pending(c))
            return true;
        enum rpc_frame_result r = rpc_frame_next(f, c->in, c->have);
        if (r == RPC_FRAME_MORE)
            break;
        if (r == RPC_FRAME_BAD) {
            conn_give_up(c, RPC_PARSE, "not JSON: a request is an object or an array");
            break;
        }
        conn_say(c, rpc_answer(o->methods, o->ctx, c->in + f->begin, f->at - f->begin));
        f->begin = f->at;
        *any_out = true;
        TAILQ_REMOVE(&c->rpc->conns, c, link);
        TAILQ_INSERT_TAIL(&c->rpc->conns, c, link);
    }
    return false;
}

/* Moves the bytes that are not used up to the front. */
static void conn_compact(struct conn *c)
{
    size_t begin = c->frame.begin;
    if (!begin)
        return;
    memmove(c->in, c->in + begin, c->have - begin);
    c->have -= begin;
    c->frame.at -= begin;
    c->frame.begin = 0;
}

/* Serves a connection after anything happened to it, and arms what it waits for next.  May end it. */
static void conn_serve(struct conn *c)
{
    const struct timeval at_once = {0, 0};
    bool progress, answered, more = conn_requests(c, &answered);

    conn_compact(c);
    bool partial = c->have > 0 && !more;
    if (!c->closing && partial && c->have == sizeof(c->in))
        conn_give_up(c, RPC_INVALID_REQUEST, "the request is longer than 65536 bytes");
    else if (!c->closing && c->eof && !more) {
        if (partial)
            conn_give_up(c, RPC_PARSE, "not JSON: the request ends in the middle");
        c->closing = true;
    }
    if (!conn_flush(c, &progress) || (c->closing && !evbuffer_get_length(c->out))) {
        conn_destroy(c);
        return;
    }
    bool full = conn_answers_pending(c), unsent = evbuffer_get_length(c->out) > 0;
    if (c->closing || c->eof || full || c->have == sizeof(c->in))
        event_del(c->readable);
    else
        event_add(c->readable, NULL);
    if (unsent)
        event_add(c->writable, NULL);
    else
        event_del(c->writable);
    if (more && !full) /* in the next turn of the loop, after the others */
        evtimer_add(c->again, &at_once);
    conn_wait(c, unsent ? WAIT_TAKE : partial ? WAIT_REST : WAIT_NONE, unsent ? progress : answered);
}

static void conn_attach(struct conn *c)
{
    const struct rpc_options *o = &c->rpc->options;
    struct shm_attach_request rq;
    int fd = c->fd;
    memcpy(&rq, c->in, sizeof(rq));
    if (rq.magic != SHM_MAGIC) {
        conn_give_up(c, RPC_PARSE, "not JSON, and not a client of this version");
        conn_serve(c);
        return;
    }
    if (o->attach)
        c->fd = -1;
    conn_destroy(c);
    if (o->attach)
        o->attach(o->ctx, fd, &rq);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    static const uint32_t magic = SHM_MAGIC;
    struct conn *c = arg;
    (void)what;
    /* Not one byte more than an attach request, until it is clear that it is none. */
    size_t cap = c->mode == CONN_JSON ? sizeof(c->in) : sizeof(struct shm_attach_request);
    ssize_t n = recv(fd, c->in + c->have, cap - c->have, MSG_DONTWAIT);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            conn_destroy(c);
        return;
    }
    c->eof = n == 0;
    c->have += (size_t)n;
    if (c->mode == CONN_FRESH && c->have)
        c->mode = memcmp(c->in, &magic, 1) == 0 ? CONN_ATTACH : CONN_JSON;
    if (c->mode == CONN_JSON)
        conn_serve(c);
    else if (c->eof)
        conn_destroy(c);
    else if (c->have == sizeof(struct shm_attach_request))
        conn_attach(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    conn_serve(arg);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    conn_serve(arg);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    bool progress;
    (void)fd;
    (void)what;
    if (c->wait == WAIT_REST) {
        conn_say(c, rpc_answer_error(RPC_PARSE, "not JSON: the request did not end in time"));
        (void)conn_flush(c, &progress); /* it is closed in any case */
    }
    conn_destroy(c);
}

static void conn_create(struct rpc *rpc, int fd)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (!c) {
        close(fd);
        return;
    }
    c->rpc = rpc;
    c->fd = fd;
    TAILQ_INSERT_TAIL(&rpc->conns, c, link);
    rpc->count++;
    c->readable = event_new(rpc->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->writable = event_new(rpc->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    c->timer = evtimer_new(rpc->base, on_timeout, c);
    c->again = evtimer_new(rpc->base, on_again, c);
    c->out = evbuffer_new();
    if (!c->readable || !c->writable || !c->timer || !c->again || !c->out || event_add(c->readable, NULL)) {
        conn_destroy(c);
        return;
    }
    conn_wait(c, WAIT_FIRST, true);
}

/* Makes room for one more connection at the cost of the one that is idle longest.  False: none is. */
static bool evict_idle(struct rpc *rpc)
{
    struct conn *c;
    TAILQ_FOREACH(c, &rpc->conns, link)
    {
        if (c->wait != WAIT_NONE || evtimer_pending(c->again, NULL))
            continue;
        conn_destroy(c);
        return true;
    }
    return false;
}

static void refuse(int fd)
{
    char *line = rpc_answer_error(RPC_FAILED, "too many connections");
    if (line)
        (void)send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT); /* lost: it sees the close */
    free(line);
    close(fd);
}

static void on_acceptable(evutil_socket_t listener, short what, void *arg)
{
    struct rpc *rpc = arg;
    const struct timeval later = milliseconds(ACCEPT_RETRY_MS);
    (void)what;
    for (int i = 0; i < ACCEPT_TURN; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && errno != EAGAIN) { /* no descriptor or memory: the listener stays readable, so rest a while */
            event_del(rpc->acceptable);
            evtimer_add(rpc->accept_retry, &later);
        }
        if (fd < 0)
            return;
        if (rpc->count >= rpc->options.connections_max && !evict_idle(rpc))
            refuse(fd);
        else
            conn_create(rpc, fd);
    }
}

static void on_accept_retry(evutil_socket_t fd, short what, void *arg)
{
    struct rpc *rpc = arg;
    (void)fd;
    (void)what;
    event_add(rpc->acceptable, NULL);
}

int rpc_start(struct event_base *base, const struct rpc_options *o, struct rpc **out, char *err, size_t cap)
{
    struct rpc *rpc = calloc(1, sizeof(*rpc));
    if (!rpc) {
        snprintf(err, cap, "no memory for the control socket");
        return -ENOMEM;
    }
    rpc->base = base;
    rpc->options = *o;
    if (!rpc->options.connections_max)
        rpc->options.connections_max = RPC_CONNECTIONS_DEFAULT;
    if (!rpc->options.timeout_ms)
        rpc->options.timeout_ms = RPC_TIMEOUT_DEFAULT_MS;
    TAILQ_INIT(&rpc->conns);
    int rc = rpc_socket_open(&rpc->socket, o->socket_path, err, cap);
    if (rc) {
        free(rpc);
        return rc;
    }
    rpc->acceptable = event_new(base, rpc->socket.fd, EV_READ | EV_PERSIST, on_acceptable, rpc);
    rpc->accept_retry = evtimer_new(base, on_accept_retry, rpc);
    if (!rpc->acceptable || !rpc->accept_retry || event_add(rpc->acceptable, NULL)) {
        snprintf(err, cap, "no memory for the control socket");
        rpc_stop(rpc);
        return -ENOMEM;
    }
    *out = rpc;
    return 0;
}

void rpc_stop(struct rpc *rpc)
{
    struct conn *c;
    bool progress;
    if (!rpc)
        return;
    while ((c = TAILQ_FIRST(&rpc->conns)) != NULL) {
        (void)conn_flush(c, &progress); /* it is closed in any case */
        conn_destroy(c);
    }
    if (rpc->acceptable)
        event_free(rpc->acceptable);
    if (rpc->accept_retry)
        event_free(rpc->accept_retry);
    rpc_socket_close(&rpc->socket);
    free(rpc);
}

unsigned rpc_connections(const struct rpc *rpc)
{
    return rpc->count;
}
