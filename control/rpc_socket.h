/* rpc_socket.h - the listening unix socket: one daemon to a path, and none left behind.  Control thread. */
#pragma once
#include <sys/types.h>

#include "chi/base.h"

struct rpc_socket {
    int fd;
    char path[108];
    dev_t device;
    ino_t inode; /* of our socket: what another one put in its place is not removed */
};

/* Returns 0, or -errno with one line in err. */
CHI_MUST_CHECK int rpc_socket_open(struct rpc_socket *s, const char *path, char *err, size_t cap);
void rpc_socket_close(struct rpc_socket *s);
