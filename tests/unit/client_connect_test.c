/* Connecting: what chi_connect says of sockets that are no daemon, and what it leaves open. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "chi/client.h"
#include "tests/support/loopback.h"

static struct loopback lb;

static unsigned fds_open(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static int set_up(void **state)
{
    (void)state;
    lb = (struct loopback){.run = NULL};
    loopback_listen(&lb);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loopback_close(&lb);
    return 0;
}

static void connect__no_daemon(void **state)
{
    (void)state;
    struct chi_client *c = NULL;
    char missing[128], longer[300];
    snprintf(missing, sizeof missing, "%s/nothing", lb.folder);
    assert_int_equal(chi_connect(missing, NULL, &c), -ENOENT);
    memset(longer, 'x', sizeof longer);
    longer[299] = '\0';
    assert_int_equal(chi_connect(longer, NULL, &c), -EINVAL);
    assert_int_equal(chi_connect("", NULL, &c), -EINVAL);
    assert_int_equal(chi_connect(NULL, NULL, &c), -EINVAL);
    close(lb.listener);
    lb.listener = -1;
    assert_int_equal(chi_connect(lb.path, NULL, &c), -ECONNREFUSED);
    assert_null(c);
    chi_disconnect(NULL);
}

static void connect__options_out_of_range(void **state)
{
    (void)state;
    static const struct chi_client_options bad[] = {{0, 1, 0}, {0, 3, 0}, {0, 8192, 0}, {UINT64_MAX, 0, 0}};
    struct chi_client *c = NULL;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(chi_connect(lb.path, &bad[i], &c), -EINVAL);
}

/* A daemon that answers each request as one of these. */
enum lie {
    LIE_HANGUP,
    LIE_JSON,
    LIE_MAGIC,
    LIE_VERSION,
    LIE_RESULT,
    LIE_REFUSED,
    LIE_NO_FDS,
    LIE_TWO_FDS,
    LIE_FOUR_FDS,
    LIE_MANY_FDS,
    LIE_SIZE,
    LIE_UNSEALED,
    LIE_NO_SEALS,
    LIE_SHORT_SEGMENT,
    LIE_GEOMETRY,
    LIE_NOT_MEMORY,
    LIE_REFUSED_WITH_FDS,
    LIE_COUNT
};
static const int lie_result[LIE_COUNT] = {
    [LIE_HANGUP] = -EPROTO,           [LIE_JSON] = -EPROTO,     [LIE_MAGIC] = -EPROTO,
    [LIE_VERSION] = -EPROTO,          [LIE_RESULT] = -EPROTO,   [LIE_REFUSED] = -EAGAIN,
    [LIE_NO_FDS] = -EPROTO,           [LIE_TWO_FDS] = -EPROTO,  [LIE_FOUR_FDS] = -EPROTO,
    [LIE_MANY_FDS] = -EPROTO,         [LIE_SIZE] = -EPROTO,     [LIE_UNSEALED] = -EPROTO,
    [LIE_SHORT_SEGMENT] = -EPROTO,    [LIE_GEOMETRY] = -EPROTO, [LIE_NOT_MEMORY] = -EPROTO,
    [LIE_REFUSED_WITH_FDS] = -ENOMEM, [LIE_NO_SEALS] = -EPROTO,
};

static int other_segment(const struct ipc_channel *ch, enum lie lie)
{
    char file[96];
    uint64_t size = lie == LIE_SHORT_SEGMENT ? ch->size - 4096 : ch->size;
    snprintf(file, sizeof file, "%s/segment", lb.folder);
    int fd = lie == LIE_NO_SEALS ? open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600)
                                 : memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    unlink(file);
    if (fd < 0 || ftruncate(fd, (off_t)size))
        loopback_die("memfd");
    if (lie == LIE_SHORT_SEGMENT && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
        loopback_die("seal");
    if (pwrite(fd, ch->base, sizeof(struct shm_header), 0) < 0)
        loopback_die("pwrite");
    return fd;
}

static void tell(int fd, enum lie lie)
{
    struct shm_attach_request rq;
    const struct ipc_limits limits = {1 << 30, SHM_DEPTH_MAX};
    struct ipc_channel *ch = NULL;
    if (recv(fd, &rq, sizeof rq, MSG_WAITALL) != (ssize_t)sizeof rq || ipc_create(&rq, &limits, &ch))
        loopback_die("request");
    struct shm_attach_reply r = {SHM_MAGIC, SHM_VERSION, 0, 1, ch->size};
    int fds[16] = {ch->memfd, ch->worker_event, ch->client_event}, other = -1;
    unsigned n = 3;
    for (unsigned i = 3; i < 16; i++)
        fds[i] = ch->worker_event;
    switch (lie) {
    case LIE_MAGIC: r.magic++; break;
    case LIE_VERSION: r.version++; break;
    case LIE_RESULT: r.result = 1; break;
    case LIE_REFUSED:
        r.result = -EAGAIN;
        n = 0;
        break;
    case LIE_REFUSED_WITH_FDS: r.result = -ENOMEM; break;
    case LIE_NO_FDS: n = 0; break;
    case LIE_TWO_FDS: n = 2; break;
    case LIE_FOUR_FDS: n = 4; break;
    case LIE_MANY_FDS: n = 16; break;
    case LIE_SIZE: r.size += 4096; break;
    case LIE_GEOMETRY: ((struct shm_header *)ch->base)->bulk_offset += 64; break;
    case LIE_NOT_MEMORY: fds[0] = ch->worker_event; break;
    case LIE_UNSEALED:
    case LIE_NO_SEALS: /* a file of a disk, which has none: who asks for them gets an error */
    case LIE_SHORT_SEGMENT: fds[0] = other = other_segment(ch, lie); break;
    default: break;
    }
    if (lie == LIE_JSON && send(fd, "{\"jsonrpc\":\"2.0\",\"error\":{}}\n", 30, MSG_NOSIGNAL) != 30)
        loopback_die("send");
    else if (lie != LIE_JSON && lie != LIE_HANGUP)
        loopback_reply(fd, &r, fds, n);
    if (other >= 0)
        close(other);
    ipc_destroy(ch);
}

static void *liar(void *arg)
{
    (void)arg;
    for (enum lie lie = 0; lie < LIE_COUNT; lie++) {
        int fd = accept(lb.listener, NULL, NULL);
        if (fd < 0)
            loopback_die("accept");
        tell(fd, lie);
        close(fd);
    }
    return NULL;
}

static void connect__bad_daemons(void **state)
{
    (void)state;
    pthread_t t;
    unsigned before = fds_open();
    assert_int_equal(pthread_create(&t, NULL, liar, NULL), 0);
    for (enum lie lie = 0; lie < LIE_COUNT; lie++) {
        struct chi_client *c = NULL;
        assert_int_equal(chi_connect(lb.path, NULL, &c), lie_result[lie]);
        assert_null(c);
    }
    pthread_join(t, NULL);
    assert_int_equal(fds_open(), before);
}

static void connect__refused_by_the_limits(void **state)
{
    (void)state;
    struct chi_client *c = NULL;
    const struct chi_client_options o = {1 << 20, 128, 0};
    lb.limits = (struct ipc_limits){1 << 20, 64};
    loopback_start_accept(&lb);
    assert_int_equal(chi_connect(lb.path, &o, &c), -EINVAL);
    pthread_join(lb.acceptor, NULL);
    assert_null(lb.ch);
}

/* The reply may come byte by byte; everything is closed on both ends afterwards, and marked close-on-exec meanwhile. */
static void *slow_reply(void *arg)
{
    struct shm_attach_request rq;
    struct shm_attach_reply r;
    (void)arg;
    lb.control = accept(lb.listener, NULL, NULL);
    if (recv(lb.control, &rq, sizeof rq, MSG_WAITALL) != (ssize_t)sizeof rq || ipc_create(&rq, &lb.limits, &lb.ch))
        loopback_die("request");
    r = (struct shm_attach_reply){SHM_MAGIC, SHM_VERSION, 0, 1, lb.ch->size};
    const int fds[3] = {lb.ch->memfd, lb.ch->worker_event, lb.ch->client_event};
    union {
        char space[CMSG_SPACE(sizeof fds)];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec io = {&r, 1};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(h), fds, sizeof fds);
    if (sendmsg(lb.control, &m, 0) != 1)
        loopback_die("sendmsg");
    for (size_t i = 1; i < sizeof r; i++)
        if (send(lb.control, (const char *)&r + i, 1, 0) != 1)
            loopback_die("send");
    return NULL;
}

static void connect__reply_in_pieces(void **state)
{
    (void)state;
    enum { FDS = 1024 };
    bool inherited[FDS];
    for (int fd = 0; fd < FDS; fd++)
        inherited[fd] = fcntl(fd, F_GETFD) >= 0;
    unsigned before = fds_open();
    struct chi_client *c = NULL;
    assert_int_equal(pthread_create(&lb.acceptor, NULL, slow_reply, NULL), 0);
    assert_int_equal(chi_connect(lb.path, NULL, &c), 0);
    pthread_join(lb.acceptor, NULL);
    assert_int_equal(fds_open(), before + 4 + 1 + 3); /* the channel's, the accepted socket, the client's */
    for (int fd = 0; fd < FDS; fd++) {
        int flags = fcntl(fd, F_GETFD);
        assert_true(inherited[fd] || flags < 0 || fd == lb.control || (flags & FD_CLOEXEC));
    }
    chi_disconnect(c);
    char waste;
    assert_int_equal(recv(lb.control, &waste, 1, 0), 0); /* the daemon sees that the client has gone */
    assert_int_equal(fds_open(), before + 4 + 1);
}

static int waiting[16], nwaiting;

/* The first signal leaves the backlog as it is; the second makes room in it. */
static void on_alarm(int number)
{
    static int calls;
    int kept = errno;
    (void)number;
    if (++calls < 2)
        return;
    int fd = accept(lb.listener, NULL, NULL);
    if (fd >= 0)
        close(fd);
    errno = kept;
}

/* Signals while the backlog is full: the wait for room goes on. */
static void connect__interrupted_by_signals(void **state)
{
    (void)state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, lb.path, strlen(lb.path) + 1);
    for (int full = 0; !full; nwaiting += !full) {
        int fd = waiting[nwaiting] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(fd >= 0 && nwaiting < 15);
        full = connect(fd, (struct sockaddr *)&a, sizeof a) != 0;
    }
    const struct sigaction on = {.sa_handler = on_alarm}, off = {.sa_handler = SIG_DFL};
    const struct itimerval ticks = {{0, 20000}, {0, 20000}}, none = {{0, 0}, {0, 0}};
    struct chi_client *c = NULL;
    assert_int_equal(fcntl(lb.listener, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(sigaction(SIGALRM, &on, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &ticks, NULL), 0);
    assert_int_equal(chi_connect(lb.path, NULL, &c), -EPROTO); /* accepted, and closed by the handler */
    assert_int_equal(setitimer(ITIMER_REAL, &none, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &off, NULL), 0);
    for (int i = 0; i <= nwaiting; i++)
        close(waiting[i]);
}

#define CONNECT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        CONNECT_TEST(connect__no_daemon),       CONNECT_TEST(connect__options_out_of_range),
        CONNECT_TEST(connect__bad_daemons),     CONNECT_TEST(connect__refused_by_the_limits),
        CONNECT_TEST(connect__reply_in_pieces), CONNECT_TEST(connect__interrupted_by_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
