/* The listening socket: a dead daemon's is replaced, a live one's is not, and what is in the way is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/rpc_socket.h"

static char folder[64], path[128], err[256];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/chi-socket-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/c.sock", folder);
    err[0] = 0;
    return 0;
}

/* Nothing may be left in the folder. */
static int teardown(void **state)
{
    (void)state;
    return rmdir(folder);
}

static void assert_refused(int error, const char *fragment)
{
    struct rpc_socket s;
    int rc = rpc_socket_open(&s, path, err, sizeof(err));
    if (rc != -error || !strstr(err, fragment))
        fail_msg("wanted %d and '%s', got %d: %s", -error, fragment, rc, err);
    assert_int_equal(s.fd, -1);
    rpc_socket_close(&s); /* harmless */
}

static bool connects(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(a.sun_path, path, strlen(path) + 1);
    int rc = connect(fd, (struct sockaddr *)&a, sizeof(a));
    close(fd);
    return rc == 0;
}

static void rpc_socket_open__replaces_a_dead_daemons(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct rpc_socket s;
    struct stat st;
    (void)state;
    int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(a.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(dead, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(dead, 1), 0);
    close(dead); /* as the kernel does for one that was killed: the file stays */
    assert_int_equal(access(path, F_OK), 0);
    assert_false(connects());
    assert_int_equal(rpc_socket_open(&s, path, err, sizeof(err)), 0);
    assert_true(connects());
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0660);
    rpc_socket_close(&s);
    assert_int_equal(access(path, F_OK), -1);
}

static void rpc_socket_open__leaves_a_live_daemons(void **state)
{
    struct rpc_socket s;
    (void)state;
    assert_int_equal(rpc_socket_open(&s, path, err, sizeof(err)), 0);
    assert_refused(EADDRINUSE, "another daemon answers on /tmp/");
    assert_true(connects());
    rpc_socket_close(&s);
}

/* Of daemons that start at the same time on what a dead one left, exactly one gets it. */
static void rpc_socket_open__lets_one_of_many_win(void **state)
{
    enum { DAEMONS = 8 };
    struct rpc_socket s;
    int gate[2], held[2], won = 0;
    pid_t child[DAEMONS];
    (void)state;
    assert_int_equal(rpc_socket_open(&s, path, err, sizeof(err)), 0);
    close(s.fd); /* dies */
    assert_int_equal(pipe(gate), 0);
    assert_int_equal(pipe(held), 0);
    for (int i = 0; i < DAEMONS; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            char c;
            close(gate[1]);
            close(held[1]);
            (void)!read(gate[0], &c, 1);
            int rc = rpc_socket_open(&s, path, err, sizeof(err));
            if (rc == 0 && (!connects() || read(held[0], &c, 1) != 0)) /* lives until all have tried */
                _exit(3);
            _exit(rc == 0 ? 0 : rc == -EADDRINUSE ? 1 : 2);
        }
    }
    close(gate[1]); /* go */
    for (int lost = 0; lost < DAEMONS - 1; lost++) {
        int status;
        pid_t pid = wait(&status);
        assert_true(pid > 0 && WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
        for (int i = 0; i < DAEMONS; i++)
            child[i] = child[i] == pid ? 0 : child[i];
    }
    close(held[1]);
    for (int i = 0; i < DAEMONS; i++) {
        int status;
        if (!child[i])
            continue;
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        won += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    assert_int_equal(won, 1);
    close(gate[0]);
    close(held[0]);
    assert_int_equal(unlink(path), 0);
}

static void rpc_socket_open__names_what_is_in_the_way(void **state)
{
    (void)state;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_refused(EEXIST, "is there and is no socket; remove it");
    assert_int_equal(unlink(path), 0); /* it was left alone */
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused(EEXIST, "is there and is no socket");
    assert_int_equal(rmdir(path), 0);

    snprintf(path, sizeof(path), "%s/a/b/c.sock", folder);
    assert_refused(ENOENT,
                   "/a/b for the control socket (No such file or directory); make it, or change control.socket");
    snprintf(path, sizeof(path), "/dev/null/c.sock");
    assert_refused(ENOTDIR, "cannot use the folder /dev/null for the control socket");
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    assert_refused(ENAMETOOLONG, "has 127 bytes; at most 107");
}

/* A program may keep a folder's lock for as long as it runs. */
static void rpc_socket_open__does_not_wait_for_a_folder_that_another_keeps(void **state)
{
    (void)state;
    int held = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(held >= 0);
    assert_int_equal(flock(held, LOCK_EX), 0);
    assert_refused(EWOULDBLOCK, "cannot lock the folder /tmp/");
    assert_int_equal(access(path, F_OK), -1);
    close(held);
}

static void rpc_socket_open__makes_the_last_folder(void **state)
{
    struct rpc_socket s;
    (void)state;
    snprintf(path, sizeof(path), "%s/a/c.sock", folder);
    assert_int_equal(rpc_socket_open(&s, path, err, sizeof(err)), 0);
    assert_true(connects());
    rpc_socket_close(&s);
    *strrchr(path, '/') = 0;
    assert_int_equal(rmdir(path), 0);
}

static void rpc_socket_close__leaves_what_is_not_its_own(void **state)
{
    struct rpc_socket s;
    (void)state;
    assert_int_equal(rpc_socket_open(&s, path, err, sizeof(err)), 0);
    assert_int_equal(unlink(path), 0);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    rpc_socket_close(&s);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(rpc_socket_open__replaces_a_dead_daemons), TEST(rpc_socket_open__leaves_a_live_daemons),
        TEST(rpc_socket_open__lets_one_of_many_win),    TEST(rpc_socket_open__names_what_is_in_the_way),
        TEST(rpc_socket_open__makes_the_last_folder),   TEST(rpc_socket_close__leaves_what_is_not_its_own),
        TEST(rpc_socket_open__does_not_wait_for_a_folder_that_another_keeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
