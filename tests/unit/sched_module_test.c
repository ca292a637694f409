/* Loading of modules: what is wrong with one is a line that says so, and nothing of it stays. */
#include <errno.h>
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

#include "sched/tables.h"

static const char *const folders[] = {SAMPLE_FOLDER};
static struct sched sched;
static char err[SCHED_ERROR_BYTES];

static int setup(void **state)
{
    static const uint32_t nodes[] = {1};
    (void)state;
    rcu_register_thread();
    unsetenv("SAMPLE");
    memset(err, 0, sizeof err);
    return sched_init(&sched, 1, nodes, 1, 1);
}

static int teardown(void **state)
{
    (void)state;
    unsetenv("SAMPLE");
    sched_fini(&sched);
    rcu_unregister_thread();
    return 0;
}

static int load(const char *how)
{
    setenv("SAMPLE", how, 1);
    return sched_load(&sched, "sample", folders, 1, err);
}

static void sched_load__indexes_methods_by_number(void **state)
{
    (void)state;
    assert_int_equal(sched_load(&sched, "sample", folders, 1, err), 0);
    const struct sched_module *m = sched_module_find(&sched, "sample");
    assert_non_null(m);
    assert_int_equal(m->method_count, SCHED_METHOD_ID_MAX + 1);
    assert_int_equal(sched_method(m, 1)->id, 1);
    assert_int_equal(sched_method(m, SCHED_METHOD_ID_MAX)->id, SCHED_METHOD_ID_MAX);
    assert_true(sched_method(m, 1)->hash != 0);
    assert_null(sched_method(m, 0));
    assert_null(sched_method(m, 2));
    assert_null(sched_method(m, SCHED_METHOD_ID_MAX + 1));
    assert_int_equal(load("abi"), 0); /* loaded already: not looked at again */
}

static void sched_load__takes_the_ends_of_each_range(void **state)
{
    static const char *const good[] = {"run_many", "none", "by hand", "largest", "smallest"};
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(load(good[i]), 0);
        teardown(state);
        setup(state);
    }
}

static void sched_load__refuses_what_is_no_module(void **state)
{
    static const struct {
        const char *how, *line;
    } bad[] = {
        {"no table", "ABI 0"},
        {"abi", "ABI 5"},
        {"size", "its table lacks"},
        {"name", "its table lacks"},
        {"no name", "its table lacks"},
        {"no init", "its table lacks"},
        {"no run", "its table lacks"},
        {"no methods", "its table lacks"},
        {"null method", "a method without a name"},
        {"method name", "a method without a name"},
        {"number", "a method number above the limit"},
        {"twice", "method number 1 is there twice"},
        {"small", "impossible size"},
        {"large", "impossible size"},
        {"fields", "a bad field table"},
        {"row", "it lies beyond the end of its struct (M.f)"},
        {"no fields", "a bad field table"},
        {"one hand", "neither fields nor functions"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(load(bad[i].how), -ENOEXEC);
        if (!strstr(err, bad[i].line) || !strstr(err, "module sample"))
            fail_msg("%s: %s", bad[i].how, err);
        assert_null(sched_module_find(&sched, "sample"));
    }
}

/* A folder name of any length that the configuration takes: what is in it is found. */
static void sched_load__finds_it_in_a_deep_folder(void **state)
{
    char deep[1024] = "/tmp/chi-sched-XXXXXX", file[1100], part[101];
    size_t cut[10], n = 0;
    (void)state;
    assert_non_null(mkdtemp(deep));
    memset(part, 'd', 100);
    part[100] = 0;
    for (; n < 5; n++) {
        cut[n] = strlen(deep);
        snprintf(deep + cut[n], sizeof deep - cut[n], "/%s", part);
        assert_int_equal(mkdir(deep, 0700), 0);
    }
    snprintf(file, sizeof file, "%s/sample.so", deep);
    assert_int_equal(symlink(SAMPLE_FOLDER "/sample.so", file), 0);
    const char *const paths[] = {"/nonexistent", deep};
    int rc = sched_load(&sched, "sample", paths, 2, err);
    unlink(file);
    for (; n > 0; deep[cut[--n]] = 0)
        rmdir(deep);
    rmdir(deep);
    assert_int_equal(rc, 0);
}

/* A folder or a file that others can change gives no module, nor does a link to one; the next folder is not tried in its place. */
static void sched_load__refuses_what_others_can_change(void **state)
{
    char folder[] = "/tmp/chi-sched-XXXXXX", file[128];
    const char *const paths[] = {folder, SAMPLE_FOLDER};
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/sample.so", folder);
    assert_int_equal(symlink(SAMPLE_FOLDER "/sample.so", file), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    int rc = sched_load(&sched, "sample", paths, 2, err);
    chmod(folder, 0700);
    char none[SCHED_ERROR_BYTES];
    int healed = sched_load(&sched, "sample", paths, 2, none);
    unlink(file);
    rmdir(folder);
    assert_int_equal(rc, -EPERM);
    snprintf(file, sizeof file, "module sample: others may write to this (chmod go-w): %s", folder);
    assert_string_equal(err, file);
    assert_int_equal(healed, 0);
}

/* A copy of the sample under a name that nobody looks for, and then, at once, under its own. */
static void deploy(const char *folder)
{
    char part[128], file[128], bytes[4096];
    snprintf(part, sizeof part, "%s/part", folder);
    snprintf(file, sizeof file, "%s/sample.so", folder);
    FILE *from = fopen(SAMPLE_FOLDER "/sample.so", "r"), *to = fopen(part, "w");
    assert_true(from && to);
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, from)) > 0;)
        assert_int_equal(fwrite(bytes, 1, n, to), n);
    fclose(from);
    assert_int_equal(fclose(to), 0);
    assert_int_equal(rename(part, file), 0);
}

/* dlopen would give the old file for its old name: each version is another image, and where it lies is known. */
static void sched_load_again__takes_the_file_that_is_there_now(void **state)
{
    char folder[] = "/tmp/chi-sched-XXXXXX", file[64];
    const char *const paths[] = {folder};
    struct sched_module *m, *next;
    (void)state;
    assert_non_null(mkdtemp(folder));
    deploy(folder);
    assert_int_equal(sched_load(&sched, "sample", paths, 1, err), 0);
    m = sched_module_find(&sched, "sample");
    for (unsigned version = 1; version < 5; version++) {
        assert_int_equal(sched_load_again(m, paths, 1, &next, err), -EEXIST);
        assert_non_null(strstr(err, "is the file that is loaded; put the new version in its place with mv"));
        deploy(folder);
        assert_int_equal(sched_load_again(m, paths, 1, &next, err), 0);
        assert_int_equal(next->version, version);
        assert_true(next->handle != m->handle && next->ops != m->ops);
        assert_true(sched_module_has(m, m->ops) && sched_module_has(m, sched_method(m, 1)) && !sched_module_has(m, next->ops));
        assert_true(sched_module_has(next, next->ops) && !sched_module_has(next, m->ops) && !sched_module_has(next, next->image_end));
        assert_ptr_equal(sched_module_find(&sched, "sample"), m); /* nobody knows it yet */
        sched_module_replace(&sched, m, next);
        assert_ptr_equal(sched_module_find(&sched, "sample"), next);
        assert_true(sched.loaded == next && !next->next);
        sched_module_end(m);
        m = next;
    }
    setenv("SAMPLE", "size", 1);
    deploy(folder);
    assert_int_equal(sched_load_again(m, paths, 1, &next, err), -ENOEXEC);
    unsetenv("SAMPLE");
    assert_int_equal(sched_unload(&sched, "sample", err), 0);
    assert_null(sched_module_find(&sched, "sample"));
    assert_int_equal(sched_unload(&sched, "sample", err), -ENOENT);
    snprintf(file, sizeof file, "%s/sample.so", folder);
    unlink(file);
    rmdir(folder);
}

static void sched_load__takes_no_path_for_a_name(void **state)
{
    static const char *const bad[] = {"", "../sample", "/tmp/sample", "a-name-that-is-longer-than-31-byte"};
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(sched_load(&sched, bad[i], folders, 1, err), -EINVAL);
        assert_non_null(strstr(err, "is no name of a module"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sched_load__indexes_methods_by_number, setup, teardown),
        cmocka_unit_test_setup_teardown(sched_load__takes_the_ends_of_each_range, setup, teardown),
        cmocka_unit_test_setup_teardown(sched_load__refuses_what_is_no_module, setup, teardown),
        cmocka_unit_test_setup_teardown(sched_load__finds_it_in_a_deep_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(sched_load__refuses_what_others_can_change, setup, teardown),
        cmocka_unit_test_setup_teardown(sched_load_again__takes_the_file_that_is_there_now, setup, teardown),
        cmocka_unit_test_setup_teardown(sched_load__takes_no_path_for_a_name, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
