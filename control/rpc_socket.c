#include "rpc_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 64, SOCKET_MODE = 0660, LOCK_LIMIT_MS = 2000 };

struct message {
    char *text;
    size_t cap;
};

__attribute__((format(printf, 3, 4))) static int say(const struct message *m, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(m->text, m->cap, format, args);
    va_end(args);
    return -error;
}

/* Makes the folder's last part when it is missing, and locks the folder: who looks for a stale socket and binds does so
 * alone. Returns its descriptor, or -errno. */
static int lock_folder(const char *path, const struct message *m)
{
    char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
    snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    if (!slash)
        snprintf(folder, sizeof(folder), ".");
    else
        slash[slash == folder] = 0;
    if (mkdir(folder, 0755) && errno != EEXIST && errno != EROFS && errno != EACCES)
        return say(m, errno, "cannot make the folder %s for the control socket (%s); make it, or change control.socket",
                   folder, strerror(errno));
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return say(m, errno, "cannot use the folder %s for the control socket (%s); make it, or change control.socket",
                   folder, strerror(errno));
    /* Another daemon that starts has it for a moment; who keeps it longer keeps nobody waiting without an end. */
    for (unsigned ms = 0; flock(fd, LOCK_EX | LOCK_NB); ms++) {
        const struct timespec pause = {0, 1000000};
        int error = errno;
        if (error != EINTR && (error != EWOULDBLOCK || ms >= LOCK_LIMIT_MS)) {
            close(fd);
            return say(m, error, "cannot lock the folder %s (%s); end what holds it, or change control.socket", folder,
                       strerror(error));
        }
        nanosleep(&pause, NULL);
    }
    return fd;
}

/* Removes what a daemon that died left at the path.  Returns 0 when the path is free then. */
static int clear_path(const struct sockaddr_un *a, const struct message *m)
{
    struct stat st;
    if (lstat(a->sun_path, &st))
        return errno == ENOENT ? 0 : say(m, errno, "cannot look at %s (%s)", a->sun_path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return say(m, EEXIST, "%s is there and is no socket; remove it, or change control.socket", a->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return say(m, errno, "cannot make a socket (%s)", strerror(errno));
    int error = connect(fd, (const struct sockaddr *)a, sizeof(*a)) ? errno : 0;
    close(fd);
    if (error == 0 || error == EAGAIN)
        return say(m, EADDRINUSE, "another daemon answers on %s; stop it (chictl -s %s stop), or change control.socket",
                   a->sun_path, a->sun_path);
    if (error != ECONNREFUSED)
        return say(m, error, "cannot tell whether %s is in use (%s); remove it if not", a->sun_path, strerror(error));
    if (unlink(a->sun_path))
        return say(m, errno, "cannot remove the stale socket %s (%s); remove it", a->sun_path, strerror(errno));
    return 0;
}

static int bind_and_listen(struct rpc_socket *s, const struct sockaddr_un *a, const struct message *m)
{
    struct stat st;
    if (bind(s->fd, (const struct sockaddr *)a, sizeof(*a)))
        return say(m, errno, "cannot bind the control socket %s (%s)", a->sun_path, strerror(errno));
    if (chmod(a->sun_path, SOCKET_MODE) || listen(s->fd, BACKLOG) || lstat(a->sun_path, &st)) {
        int error = errno;
        unlink(a->sun_path);
        return say(m, error, "cannot listen on the control socket %s (%s)", a->sun_path, strerror(error));
    }
    s->device = st.st_dev;
    s->inode = st.st_ino;
    return 0;
}

int rpc_socket_open(struct rpc_socket *s, const char *path, char *err, size_t cap)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct message m = {err, cap};

    *s = (struct rpc_socket){.fd = -1};
    if (strlen(path) >= sizeof(a.sun_path))
        return say(&m, ENAMETOOLONG, "the control socket's path has %zu bytes; at most %zu", strlen(path),
                   sizeof(a.sun_path) - 1);
    memcpy(a.sun_path, path, strlen(path));
    memcpy(s->path, path, strlen(path));
    int folder = lock_folder(path, &m);
    if (folder < 0)
        return folder;
    int rc = clear_path(&a, &m);
    if (!rc) {
        s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        rc = s->fd < 0 ? say(&m, errno, "cannot make a socket (%s)", strerror(errno)) : bind_and_listen(s, &a, &m);
    }
    close(folder); /* and unlocks it */
    if (rc && s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
    }
    return rc;
}

void rpc_socket_close(struct rpc_socket *s)
{
    struct stat st;
    if (s->fd < 0)
        return;
    if (lstat(s->path, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode)
        unlink(s->path);
    close(s->fd);
    s->fd = -1;
}
