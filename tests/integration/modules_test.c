/* modules_test.c - modules that come and go while the daemon runs. */
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

static struct node node;
static char folder[128];

/* A folder of the test's before that of the build. */
static int setup(void **state)
{
    static char modules[400];
    folder_setup(state);
    snprintf(folder, sizeof folder, "%s/mods", test_dir);
    assert_int_equal(mkdir(folder, 0755), 0);
    snprintf(modules, sizeof modules, "%s, " MODULES_OF_TESTS, folder);
    node_configure(&node, 1, &(struct node_options){.modules = modules});
    node_start(&node);
    return 0;
}

static bool is_loaded(const char *name)
{
    json_t *list = node_call(&node, "mod.list"), *row;
    size_t i;
    bool found = false;
    json_array_foreach(list, i, row) found |= !strcmp(json_string_value(json_object_get(row, "module")), name);
    json_decref(list);
    return found;
}

static void load__of_a_folder_of_the_configuration(void **state)
{
    (void)state;
    assert_false(is_loaded("probe"));
    for (int again = 0; again < 3; again++) {
        json_t *o = node_ask(&node, "mod.load", "{\"name\": \"probe\"}");
        assert_non_null(strstr(json_string_value(json_object_get(o, "file")), "/tests/chimods/probe.so"));
        json_decref(o);
        assert_true(is_loaded("probe"));
        node_refuses(&node, "mod.load", "{\"name\": \"probe\"}", "module probe is loaded, from /");
        json_decref(node_ask(&node, "mod.unload", "{\"name\": \"probe\"}"));
        assert_false(is_loaded("probe"));
    }
    node_refuses(&node, "mod.unload", "{\"name\": \"probe\"}", "there is no module 'probe'");
}

static void load__refuses_with_a_reason(void **state)
{
    (void)state;
    char file[160];
    node_refuses(&node, "mod.load", "{\"name\": \"nosuch\"}", "module nosuch: no nosuch.so in the folders of modules.path");
    node_refuses(&node, "mod.load", "{\"name\": \"../chimods/probe\"}", "'../chimods/probe' is no name of a module");
    snprintf(file, sizeof file, "%s/probe.so", folder);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(chmod(file, 0666), 0);
    node_refuses(&node, "mod.load", "{\"name\": \"probe\"}", "module probe: others may write to this (chmod go-w): ");
    assert_int_equal(chmod(file, 0644), 0);
    node_refuses(&node, "mod.load", "{\"name\": \"probe\"}", "module probe: ");
    unlink(file);
    assert_false(is_loaded("probe"));
}

static void unload__is_refused_while_a_pool_is_of_it(void **state)
{
    (void)state;
    node_refuses(&node, "mod.unload", "{\"name\": \"echo\"}", "module echo is in use: pool 100.0 (echo) is of it");
    struct chi_client *c = node_connect(&node);
    struct echo_ping t = ping_to(chi_local(), 7);
    chi_submit(c, &t.task);
    assert_int_equal(chi_wait(c, &t.task, INT64_C(60000000000)), CHI_STATUS_OK);
    chi_disconnect(c);
}

static void stop__the_daemon_ends_well(void **state)
{
    (void)state;
    json_decref(node_ask(&node, "mod.load", "{\"name\": \"probe\"}")); /* nobody unloads it */
    assert_int_equal(node_stop(&node), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load__of_a_folder_of_the_configuration),
        cmocka_unit_test(load__refuses_with_a_reason),
        cmocka_unit_test(unload__is_refused_while_a_pool_is_of_it),
        cmocka_unit_test(stop__the_daemon_ends_well),
    };
    return cmocka_run_group_tests(tests, setup, folder_teardown);
}
