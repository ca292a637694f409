/* startup_test.c - chimaerad's command line, and each start step that can fail: one line that says what and how to mend it. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

static char output[8192];
static const char *const DAEMON = CHI_BUILD_DIR "/bin/chimaerad";

static int daemon_with(const char *a, const char *b, const char *c)
{
    const char *const argv[] = {DAEMON, a, b, c, NULL};
    return run_program(output, sizeof output, argv);
}

static void expect_line(const char *fragment)
{
    if (!strstr(output, fragment))
        fail_msg("no \"%s\" in: %s", fragment, output);
    char *newline = strchr(output, '\n');
    if (!newline || newline[1])
        fail_msg("not one line: %s", output);
}

/* Replaces `from` by `to` in the node's configuration. */
static void edit(const struct node *n, const char *from, const char *to)
{
    char text[4096];
    FILE *f = fopen(n->config, "r");
    size_t have = fread(text, 1, sizeof text - 1, f);
    text[have] = 0;
    fclose(f);
    char *at = strstr(text, from);
    assert_non_null(at);
    f = fopen(n->config, "w");
    fprintf(f, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    fclose(f);
}

static void arguments__wrong_ones_are_named(void **state)
{
    (void)state;
    assert_int_equal(daemon_with(NULL, NULL, NULL), 2);
    expect_line("--config FILE is missing");
    assert_int_equal(daemon_with("--confg", "x", NULL), 2);
    expect_line("--confg");
    assert_int_equal(daemon_with("--config", "x", "y"), 2);
    expect_line("y: no arguments are taken");
    assert_int_equal(daemon_with("--version", NULL, NULL), 0);
    expect_line("chimaerad ");
}

static void check__says_valid_or_where_it_is_not(void **state)
{
    (void)state;
    struct node n;
    node_configure(&n, 1, NULL);
    assert_int_equal(daemon_with("--config", n.config, "--check"), 0);
    expect_line("valid");
    edit(&n, "idle: adaptive", "idel: adaptive");
    assert_int_equal(daemon_with("--config", n.config, "--check"), 1);
    expect_line("node1.yaml:2:");
    assert_non_null(strstr(output, "idel"));
    assert_int_equal(daemon_with("--config", "/nonexistent/x.yaml", "--check"), 1);
    expect_line("/nonexistent/x.yaml");
}

static void step__a_port_that_cannot_be_opened_is_named(void **state)
{
    (void)state;
    struct node n;
    node_configure(&n, 1, &(struct node_options){.peer = 2});
    edit(&n, "net_memif0,role=server", "net_nonsense0,role=server");
    assert_int_equal(daemon_with("--config", n.config, NULL), 1);
    assert_non_null(strstr(output, "chimaerad: ports: "));
    assert_non_null(strstr(output, "p0"));
}

static void step__a_missing_module_is_named(void **state)
{
    (void)state;
    struct node n;
    node_configure(&n, 1, &(struct node_options){.compose = "  - {mod: nosuch, pool: 200.0, name: n}"});
    assert_int_equal(daemon_with("--config", n.config, NULL), 1);
    expect_line("pools: module nosuch: no nosuch.so");
}

static void step__a_file_that_is_no_module_is_named(void **state)
{
    (void)state;
    struct node n;
    char path[160], both[400];
    snprintf(path, sizeof path, "%s/echo.so", test_dir);
    FILE *f = fopen(path, "w");
    fputs("not a shared object\n", f);
    fclose(f);
    snprintf(both, sizeof both, "%s, %s", test_dir, MODULES_DEFAULT); /* the first that has it */
    node_configure(&n, 1, &(struct node_options){.modules = both});
    assert_int_equal(daemon_with("--config", n.config, NULL), 1);
    expect_line("pools: module echo: ");
}

static void step__a_second_daemon_on_one_socket_is_refused(void **state)
{
    (void)state;
    struct node n;
    node_configure(&n, 1, NULL);
    node_start(&n);
    assert_int_equal(daemon_with("--config", n.config, NULL), 1);
    expect_line("control socket: ");
    struct chi_client *c = node_connect(&n); /* the first one lives */
    chi_disconnect(c);
    assert_int_equal(node_stop(&n), 0);
}

static void step__too_few_open_files_are_named(void **state)
{
    (void)state;
    struct node n;
    char command[512];
    node_configure(&n, 1, &(struct node_options){.limits = "clients: 1024"});
    snprintf(command, sizeof command, "ulimit -n 1000 && exec %s --config %s", DAEMON, n.config);
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    assert_int_equal(run_program(output, sizeof output, argv), 1);
    expect_line("control socket: limits.clients is 1024");
}

/* As many clients as the configuration says, and not one more; also where the daemon has to raise a limit of its own for them. */
static void clients__are_as_many_as_configured(void **state)
{
    (void)state;
    enum { CLIENTS = 60, FILES = 250 }; /* fewer than CLIENTS need */
    struct node n;
    struct rlimit old, low;
    struct chi_client *c[CLIENTS];
    node_configure(&n, 1, &(struct node_options){.limits = "clients: 60"});
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = (struct rlimit){FILES, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    node_start(&n);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(chi_connect(n.socket, &(struct chi_client_options){.bulk_bytes = 1 << 20}, &c[i]), 0);
    struct chi_client *more = NULL;
    assert_int_equal(chi_connect(n.socket, NULL, &more), -EAGAIN);
    for (int i = 0; i < CLIENTS; i++)
        chi_disconnect(c[i]);
    assert_int_equal(node_stop(&n), 0);
}

static void socket__of_a_killed_daemon_is_replaced(void **state)
{
    (void)state;
    struct node n;
    node_configure(&n, 1, NULL);
    node_start(&n);
    node_kill(&n);
    node_start(&n);
    assert_int_equal(node_stop(&n), 0);
    assert_int_equal(access(n.socket, F_OK), -1); /* and goes with an ordered end */
}

static void stop__sigint_and_chictl_end_it_in_order(void **state)
{
    (void)state;
    struct node n;
    node_configure(&n, 1, &(struct node_options){.peer = 2});
    node_start(&n);
    kill(n.pid, SIGINT);
    assert_int_equal(node_wait(&n), 0);
    node_start(&n);
    const char *const argv[] = {CHI_BUILD_DIR "/bin/chictl", "-s", n.socket, "stop", NULL};
    assert_int_equal(run_program(output, sizeof output, argv), 0);
    assert_int_equal(node_wait(&n), 0);
    assert_int_equal(access(n.socket, F_OK), -1);
}

static void idle__an_adaptive_daemon_uses_under_two_percent_of_a_core(void **state)
{
    (void)state;
    struct node n;
    node_configure(&n, 1, &(struct node_options){.peer = 2});
    node_start(&n);
    expect_idle(n.pid); /* before its first task */
    struct chi_client *c = node_connect(&n);
    struct echo_ping t = ping_to(chi_local(), 1);
    chi_submit(c, &t.task);
    assert_int_equal(chi_wait(c, &t.task, INT64_C(60000000000)), CHI_STATUS_OK);
    expect_idle(n.pid); /* with an idle client */
    t.task.query = chi_physical(2);
    t.task.timeout_us = 60000000;
    chi_submit(c, &t.task);
    expect_percent(n.pid, 2 * IDLE_PERCENT); /* not idle: a task is out, and it dials a peer that is not there */
    chi_disconnect(c);
    assert_int_equal(node_stop(&n), 0);
}

static void idle__ports_that_interrupt_wake_a_pair(void **state)
{
    (void)state;
    struct node one, two;
    struct node_options o = {.vhost = true, .limits = "task_timeout_ms: 60000"};
    pair_start(&one, &two, &o, &o);
    struct chi_client *c = node_connect(&one);
    for (uint64_t i = 0; i < 2; i++) {
        assert_int_equal(io_check(c, chi_physical(2), 20000, 30000, i), CHI_STATUS_OK);
        expect_idle(one.pid);
        expect_idle(two.pid);
    }
    for (int i = 0; i < 2; i++) {
        json_t *ports = node_call(i ? &two : &one, "port.list");
        assert_string_equal(json_string_value(json_object_get(json_array_get(ports, 0), "wakes")), "yes");
        json_decref(ports);
    }
    chi_disconnect(c);
    pair_stop(&one, &two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)
        TEST(arguments__wrong_ones_are_named),
        TEST(check__says_valid_or_where_it_is_not),
        TEST(step__a_port_that_cannot_be_opened_is_named),
        TEST(step__a_missing_module_is_named),
        TEST(step__a_file_that_is_no_module_is_named),
        TEST(step__a_second_daemon_on_one_socket_is_refused),
        TEST(step__too_few_open_files_are_named),
        TEST(clients__are_as_many_as_configured),
        TEST(socket__of_a_killed_daemon_is_replaced),
        TEST(stop__sigint_and_chictl_end_it_in_order),
        TEST(idle__an_adaptive_daemon_uses_under_two_percent_of_a_core),
        TEST(idle__ports_that_interrupt_wake_a_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
