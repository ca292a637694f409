/* local_test.c - one daemon on its own, adaptive: a client's tasks, good and bad. */
#include "harness.h"

static struct node node;
static struct chi_client *client;

static enum chi_status call(struct chi_task *t)
{
    chi_submit(client, t);
    return chi_wait(client, t, INT64_C(60000000000));
}

static void ping__every_query_that_means_this_node_answers(void **state)
{
    (void)state;
    const struct chi_query q[] = {chi_local(), chi_direct(0), chi_hash(0x9e37), chi_physical(1), chi_dynamic()};
    for (size_t i = 0; i < sizeof q / sizeof q[0]; i++) {
        struct echo_ping t = ping_to(q[i], i + 1000);
        assert_int_equal(call(&t.task), CHI_STATUS_OK);
        assert_int_equal(t.value, i + 1000);
    }
}

static void ping__unknown_destinations_end_with_their_status(void **state)
{
    (void)state;
    struct echo_ping t = ping_to(chi_local(), 1);
    t.task.pool.major = 999;
    assert_int_equal(call(&t.task), CHI_STATUS_NO_POOL);
    t = ping_to(chi_direct(1), 1);
    assert_int_equal(call(&t.task), CHI_STATUS_NO_CONTAINER);
    t = ping_to(chi_physical(7), 1);
    assert_int_equal(call(&t.task), CHI_STATUS_NO_NODE);
    t = ping_to(chi_range(0, 2), 1);
    assert_int_equal(call(&t.task), CHI_STATUS_NO_CONTAINER);
    t = ping_to(chi_range(0, 0), 1);
    assert_int_equal(call(&t.task), CHI_STATUS_INVALID);
    t = ping_to((struct chi_query){8, 0, 0}, 1); /* what travels between nodes */
    assert_int_equal(call(&t.task), CHI_STATUS_INVALID);
    t = ping_to((struct chi_query){77, 0, 0}, 1);
    assert_int_equal(call(&t.task), CHI_STATUS_INVALID);
}

static void ping__unknown_method_and_other_table_are_refused(void **state)
{
    (void)state;
    struct chi_method none = echo_ping_method, other = echo_ping_method;
    const struct chi_field one_way[] = {CHI_IN(U64, struct echo_ping, value)};
    none.id = 900;
    none.hash = 0;
    other.fields = one_way;
    other.hash = 0;
    struct echo_ping t = ping_to(chi_local(), 1);
    t.task.method = &none;
    assert_int_equal(call(&t.task), CHI_STATUS_NO_METHOD);
    t = ping_to(chi_local(), 1);
    t.task.method = &other;
    assert_int_equal(call(&t.task), CHI_STATUS_SCHEMA);
}

static const char *text_of(const json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }

static void mod__lists_and_shows_what_is_loaded(void **state)
{
    (void)state;
    json_t *list = node_call(&node, "mod.list"), *row, *found = NULL;
    size_t i;
    json_array_foreach(list, i, row) if (!strcmp(text_of(row, "module"), "echo")) found = row;
    assert_non_null(found);
    assert_int_equal(json_integer_value(json_object_get(found, "methods")), 4);
    assert_int_equal(json_integer_value(json_object_get(found, "abi")), 4);
    assert_string_equal(text_of(found, "pools"), "100.0");
    assert_non_null(strstr(text_of(found, "file"), "/echo.so"));
    json_decref(list);

    json_t *echo = node_ask(&node, "mod.show", "{\"name\": \"echo\"}"), *methods = json_object_get(echo, "methods");
    assert_int_equal(json_array_size(methods), 4);
    for (i = 0; i < 4; i++)
        assert_int_equal(json_integer_value(json_object_get(json_array_get(methods, i), "method")), i + 1);
    json_t *io = json_array_get(methods, 1), *fields = json_object_get(io, "fields");
    static const char *const lines[] = {"in seed u64", "out sum u64", "in in bulk stream", "out out bulk"};
    char hash[16];
    snprintf(hash, sizeof hash, "0x%08x", chi_method_hash(&echo_io_method));
    assert_string_equal(text_of(io, "name"), "ECHO_IO");
    assert_string_equal(text_of(io, "schema"), hash);
    assert_int_equal(json_integer_value(json_object_get(io, "struct_bytes")), sizeof(struct echo_io));
    assert_int_equal(json_array_size(fields), 4);
    for (i = 0; i < 4; i++)
        assert_string_equal(json_string_value(json_array_get(fields, i)), lines[i]);
    json_decref(echo);
    node_refuses(&node, "mod.show", "{\"name\": \"ecko\"}", "there is no module 'ecko'");
}

static void io__every_pair_of_sizes_is_exact(void **state)
{
    (void)state;
    const uint64_t sizes[] = {0, 1, 63, 64, 4096, 65537, 3000001};
    const size_t n = sizeof sizes / sizeof sizes[0];
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            assert_int_equal(io_check(client, chi_local(), sizes[i], sizes[k], i * n + k), CHI_STATUS_OK);
}

static void digest__gives_bytes_back_under_the_key(void **state)
{
    (void)state;
    const uint64_t n = 10001, key = 0x1122334455667788;
    uint8_t *in = chi_bulk_alloc(client, n), *back = chi_bulk_alloc(client, n);
    for (uint64_t i = 0; i < n; i++)
        in[i] = (uint8_t)(i * 13);
    struct echo_digest t = {.task = {.pool = ECHO, .query = chi_local(), .method = &echo_digest_method}, .key = key};
    t.in = (struct chi_bulk){.ptr = in, .size = n};
    t.back = (struct chi_bulk){.ptr = back, .size = n};
    assert_int_equal(call(&t.task), CHI_STATUS_OK);
    for (uint64_t i = 0; i < n; i++)
        assert_int_equal(back[i], in[i] ^ (uint8_t)(key >> 8 * (i & 7)));
    t.back.size = n - 1;
    assert_int_equal(call(&t.task), CHI_STATUS_INVALID);
    chi_bulk_free(client, in);
    chi_bulk_free(client, back);
}

static void stream__of_this_node_is_whole_from_the_start(void **state)
{
    (void)state;
    for (uint64_t size = 0; size < 2000000; size = size * 7 + 1)
        assert_int_equal(stream_check(client, chi_local(), size, size / 3, size), 0);
}

static void submit__window_full_says_busy_and_loses_nothing(void **state)
{
    (void)state;
    struct chi_client *c;
    assert_int_equal(chi_connect(node.socket, &(struct chi_client_options){.depth = 8, .bulk_bytes = 1 << 20}, &c), 0);
    struct echo_ping t[64];
    unsigned busy = 0;
    for (unsigned i = 0; i < 64; i++) {
        t[i] = ping_to(chi_local(), i);
        while (chi_submit(c, &t[i].task) == CHI_STATUS_BUSY) {
            busy++;
            chi_poll(c);
        }
    }
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(chi_wait(c, &t[i].task, INT64_C(60000000000)), CHI_STATUS_OK);
        assert_int_equal(t[i].value, i);
    }
    chi_disconnect(c);
    (void)busy;
}

static bool no_clients_but_ours(void *arg)
{
    (void)arg;
    json_t *s = node_call(&node, "status");
    bool holds = json_integer_value(json_object_get(s, "clients")) == 1;
    json_decref(s);
    return holds;
}

static void disconnect__channels_are_given_back(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) { /* more than limits.clients: 64 */
        struct chi_client *c;
        struct echo_ping t = ping_to(chi_local(), 5);
        int rc = chi_connect(node.socket, &(struct chi_client_options){.bulk_bytes = 1 << 20}, &c);
        if (rc) { /* the daemon is still taking the ones before away */
            until(no_clients_but_ours, NULL, "clients that left are reaped");
            assert_int_equal(chi_connect(node.socket, &(struct chi_client_options){.bulk_bytes = 1 << 20}, &c), 0);
        }
        chi_submit(c, &t.task); /* abandoned */
        chi_disconnect(c);
    }
    until(no_clients_but_ours, NULL, "clients that left are reaped");
}

static int setup(void **state)
{
    folder_setup(state);
    node_configure(&node, 1, NULL);
    node_start(&node);
    client = node_connect(&node);
    return 0;
}

/* A test, not the group's teardown, whose failure cmocka does not count. */
static void stop__the_daemon_ends_well(void **state)
{
    (void)state;
    chi_disconnect(client);
    assert_int_equal(node_stop(&node), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ping__every_query_that_means_this_node_answers),
        cmocka_unit_test(ping__unknown_destinations_end_with_their_status),
        cmocka_unit_test(ping__unknown_method_and_other_table_are_refused),
        cmocka_unit_test(mod__lists_and_shows_what_is_loaded),
        cmocka_unit_test(io__every_pair_of_sizes_is_exact),
        cmocka_unit_test(digest__gives_bytes_back_under_the_key),
        cmocka_unit_test(stream__of_this_node_is_whole_from_the_start),
        cmocka_unit_test(submit__window_full_says_busy_and_loses_nothing),
        cmocka_unit_test(disconnect__channels_are_given_back),
        cmocka_unit_test(stop__the_daemon_ends_well),
    };
    return cmocka_run_group_tests(tests, setup, folder_teardown);
}
