/* clients.c - clients of libchi: attached by the control socket, watched for their end, reaped when their tasks ended. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon.h"

enum { REAP_US = 20000 };

struct client {
    struct client *next;
    struct daemon *daemon;
    struct ipc_channel *channel;
    struct event *watch;
    int fd;
};

static int send_reply(int fd, const struct shm_attach_reply *reply, const struct ipc_channel *ch)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(3 * sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)reply, sizeof *reply};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (ch) {
        int fds[3] = {ch->memfd, ch->worker_event, ch->client_event};
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fds);
        memcpy(CMSG_DATA(c), fds, sizeof fds);
    }
    /* A new connection's buffer holds it whole; who made it too small is not served. */
    return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof *reply ? 0 : -EPIPE;
}

static void remove_from(struct client **list, struct client *c)
{
    while (*list != c)
        list = &(*list)->next;
    *list = c->next;
}

static void close_client(struct client *c)
{
    if (c->watch)
        event_free(c->watch);
    if (c->fd >= 0)
        close(c->fd);
    c->watch = NULL;
    c->fd = -1;
}

/* Its channel is destroyed when the worker has let go of it. */
static void await_reap(struct client *c)
{
    struct daemon *d = c->daemon;
    struct timeval again = {0, REAP_US};
    close_client(c);
    c->next = d->leaving;
    d->leaving = c;
    event_add(d->reaper, &again);
}

static void leave(struct client *c)
{
    struct daemon *d = c->daemon;
    runtime_detach(d->rt, c->channel);
    remove_from(&d->clients, c);
    await_reap(c);
    clients_reap(d);
}

void clients_reap(struct daemon *d)
{
    struct client **at = &d->leaving;
    while (*at) {
        struct client *c = *at;
        if (!runtime_reap(d->rt, c->channel)) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        d->client_count--;
        free(c);
    }
    if (!d->leaving)
        event_del(d->reaper);
}

/* A client says nothing after its request: the end of its socket, or a byte on it, is the end of the client. */
static void on_client(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    leave(arg);
}

/* 0 and *out, a client among d->clients; or -errno, and fd stays the caller's. */
static int attach(struct daemon *d, int fd, const struct shm_attach_request *rq, struct client **out)
{
    struct ipc_limits lim = {.bulk_bytes_max = d->config->limits.client_bulk, .depth_max = SHM_DEPTH_MAX};
    if (d->client_count >= d->config->limits.clients)
        return -EAGAIN;
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    *c = (struct client){.daemon = d, .fd = -1};
    int rc = ipc_create(rq, &lim, &c->channel);
    if (!rc) {
        c->watch = event_new(d->base, fd, EV_READ | EV_PERSIST, on_client, c);
        rc = c->watch && !event_add(c->watch, NULL) ? runtime_attach(d->rt, c->channel) : -ENOMEM;
    }
    if (rc == -ETIMEDOUT) { /* its worker may still find the channel */
        d->client_count++;
        await_reap(c);
        return rc;
    }
    if (rc) {
        close_client(c);
        ipc_destroy(c->channel);
        free(c);
        return rc;
    }
    c->fd = fd;
    c->next = d->clients;
    d->clients = c;
    d->client_count++;
    *out = c;
    return 0;
}

void clients_attach(void *daemon, int fd, const struct shm_attach_request *rq)
{
    struct daemon *d = daemon;
    struct client *c = NULL;
    struct shm_attach_reply reply = {.magic = SHM_MAGIC, .version = SHM_VERSION, .node = d->config->node.id};
    reply.result = attach(d, fd, rq, &c);
    if (c)
        reply.size = c->channel->size;
    int rc = send_reply(fd, &reply, c ? c->channel : NULL);
    if (!c)
        close(fd);
    else if (rc)
        leave(c);
}

void clients_close_all(struct daemon *d)
{
    struct client **lists[] = {&d->clients, &d->leaving};
    for (int i = 0; i < 2; i++)
        while (*lists[i]) {
            struct client *c = *lists[i];
            *lists[i] = c->next;
            close_client(c);
            c->channel->out = 0; /* tasks that were given up went with their workers */
            ipc_destroy(c->channel);
            free(c);
        }
    d->client_count = 0;
}
