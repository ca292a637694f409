/* Files that a daemon takes code from: what others could change is refused, and by which name. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "sched/sched.h"
#include "sched/trust.h"

/* TOP/own/file */
static char top[64], own[80], file[96], err[SCHED_ERROR_BYTES];

static int setup(void **state)
{
    (void)state;
    snprintf(top, sizeof top, "/tmp/chi-trust-XXXXXX");
    assert_non_null(mkdtemp(top));
    snprintf(own, sizeof own, "%s/own", top);
    snprintf(file, sizeof file, "%s/file", own);
    assert_int_equal(mkdir(own, 0755), 0);
    assert_int_equal(chmod(own, 0755), 0);
    int fd = open(file, O_WRONLY | O_CREAT, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0644), 0);
    close(fd);
    memset(err, 0, sizeof err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(file);
    rmdir(own);
    rmdir(top);
    return 0;
}

static void refused(const char *path, bool folder, const char *why, const char *what)
{
    char line[SCHED_ERROR_BYTES];
    assert_int_equal(trust_path(path, folder, err), -EPERM);
    snprintf(line, sizeof line, "%s: %s", why, what);
    assert_string_equal(err, line);
}

static void trust_path__takes_what_is_ours(void **state)
{
    (void)state; /* /tmp has the sticky bit */
    assert_int_equal(trust_path(file, false, err), 0);
    assert_int_equal(trust_path(own, true, err), 0);
    assert_int_equal(trust_path("/", true, err), 0);
    assert_string_equal(err, "");
}

static void trust_path__refuses_what_others_may_write(void **state)
{
    static const mode_t bits[] = {S_IWGRP, S_IWOTH};
    static const char why[] = "others may write to this (chmod go-w)";
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        chmod(file, 0644 | bits[i]);
        refused(file, false, why, file);
        chmod(file, 0644);
        chmod(own, 0755 | bits[i]);
        refused(file, false, why, own);
        refused(own, true, why, own);
        chmod(own, 0755);
        chmod(top, 0755 | bits[i]);
        refused(file, false, why, top);
        refused(own, true, why, top);
        chmod(top, 0755);
    }
    assert_int_equal(trust_path(file, false, err), 0);
}

/* The sticky bit keeps others from replacing what is there, not from adding: it helps above the folder, not there. */
static void trust_path__takes_a_sticky_folder_only_above(void **state)
{
    (void)state;
    chmod(top, 01777);
    assert_int_equal(trust_path(file, false, err), 0);
    assert_int_equal(trust_path(own, true, err), 0);
    chmod(own, 01777);
    refused(file, false, "others may write to this (chmod go-w)", own);
    refused(own, true, "others may write to this (chmod go-w)", own);
}

static void trust_path__refuses_what_belongs_to_others(void **state)
{
    static const char why[] = "this belongs neither to root nor to the daemon's user (chown)";
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(file, 12345, 12345), 0);
    refused(file, false, why, file);
    assert_int_equal(chown(file, 0, 12345), 0);
    assert_int_equal(trust_path(file, false, err), 0);
    assert_int_equal(chown(top, 12345, 12345), 0);
    refused(file, false, why, top);
    assert_int_equal(seteuid(12345), 0);
    int rc = trust_path(file, false, err);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(rc, 0); /* its own, and root's */
}

static void trust_path__refuses_another_kind_and_what_is_not_there(void **state)
{
    char link[128];
    (void)state;
    refused(own, false, "this is no file", own);
    refused(file, true, "this is no folder", file);
    snprintf(link, sizeof link, "%s/link", top);
    assert_int_equal(symlink(file, link), 0);
    refused(link, false, "this is no file", link); /* its path was to have none */
    unlink(link);
    assert_int_equal(trust_path(link, false, err), -ENOENT);
    assert_non_null(strstr(err, link));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(trust_path__takes_what_is_ours, setup, teardown),
        cmocka_unit_test_setup_teardown(trust_path__refuses_what_others_may_write, setup, teardown),
        cmocka_unit_test_setup_teardown(trust_path__takes_a_sticky_folder_only_above, setup, teardown),
        cmocka_unit_test_setup_teardown(trust_path__refuses_what_belongs_to_others, setup, teardown),
        cmocka_unit_test_setup_teardown(trust_path__refuses_another_kind_and_what_is_not_there, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
