/* remote_test.c - two daemons joined by memif: tasks of a client of node 1 for node 2, small and with bulk. */
#include "chimods/perf/perf.h"
#include "harness.h"

static struct node one, two;
static struct chi_client *client;
static const struct chi_query there = {CHI_QUERY_PHYSICAL, 0, 2};

static enum chi_status call(struct chi_task *t)
{
    chi_submit(client, t);
    return chi_wait(client, t, INT64_C(60000000000));
}

static void ping__every_query_that_means_the_other_node_answers(void **state)
{
    (void)state;
    const struct chi_query q[] = {chi_physical(2), chi_direct(1), chi_hash(1), chi_hash(12345)};
    for (size_t i = 0; i < sizeof q / sizeof q[0]; i++) {
        uint64_t before = node_peer(&one, 2, "answers_in");
        struct echo_ping t = ping_to(q[i], i + 77);
        assert_int_equal(call(&t.task), CHI_STATUS_OK);
        assert_int_equal(t.value, i + 77);
        assert_int_equal(node_peer(&one, 2, "answers_in"), before + 1); /* it did travel */
    }
}

static void ping__statuses_come_back(void **state)
{
    (void)state;
    struct chi_method none = echo_ping_method;
    none.id = 900;
    none.hash = 0;
    struct echo_ping t = ping_to(there, 1);
    t.task.method = &none;
    assert_int_equal(call(&t.task), CHI_STATUS_NO_METHOD);
    t = ping_to(there, 1);
    t.task.pool.major = 999;
    assert_int_equal(call(&t.task), CHI_STATUS_NO_POOL);
    uint8_t *p = chi_bulk_alloc(client, 100);
    struct echo_digest d = {.task = {.pool = ECHO, .query = there, .method = &echo_digest_method}};
    d.in = (struct chi_bulk){.ptr = p, .size = 100};
    d.back = (struct chi_bulk){.ptr = p, .size = 50};
    assert_int_equal(call(&d.task), CHI_STATUS_INVALID);
    chi_bulk_free(client, p);
}

static void ping__thousands_at_once_come_back_each(void **state)
{
    (void)state;
    enum { WINDOW = 200, ROUNDS = 50 };
    static struct echo_ping t[WINDOW];
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < WINDOW; i++) {
            t[i] = ping_to(there, (uint64_t)(round * WINDOW + i));
            assert_int_equal(chi_submit(client, &t[i].task), CHI_STATUS_PENDING);
        }
        for (int i = 0; i < WINDOW; i++) {
            assert_int_equal(chi_wait(client, &t[i].task, INT64_C(60000000000)), CHI_STATUS_OK);
            assert_int_equal(t[i].value, round * WINDOW + i);
        }
    }
}

static void io__every_pair_of_sizes_is_exact(void **state)
{
    (void)state;
    const uint64_t sizes[] = {0, 1, 64, 1400, 8900, 8972, 9000, 65536, 1000003};
    const size_t n = sizeof sizes / sizeof sizes[0];
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            assert_int_equal(io_check(client, there, sizes[i], sizes[k], i * n + k), CHI_STATUS_OK);
}

/* Two answers, of which the first leaves less and less room in its packet: also when the head of the second one does not fit, or
 * only without its body, its region comes. */
static void io__answers_that_share_a_packet_bring_their_regions(void **state)
{
    (void)state;
    enum { FIRST = 8600, LAST = 8900, STEP = 4, SECOND = 100 };
    for (uint64_t size = FIRST; size < LAST; size += STEP) {
        struct echo_io t[2];
        for (uint64_t i = 0; i < 2; i++) {
            uint64_t n = i ? SECOND : size;
            t[i] = (struct echo_io){.task = {.pool = ECHO, .query = there, .method = &echo_io_method}, .seed = size + i};
            t[i].out = (struct chi_bulk){.ptr = chi_bulk_alloc(client, n), .size = n};
            memset(t[i].out.ptr, 0, n);
        }
        for (int i = 0; i < 2; i++)
            assert_int_equal(chi_submit(client, &t[i].task), CHI_STATUS_PENDING);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(chi_wait(client, &t[i].task, INT64_C(60000000000)), CHI_STATUS_OK);
            for (uint64_t k = 0; k < t[i].out.size; k++)
                assert_int_equal(((uint8_t *)t[i].out.ptr)[k], (uint8_t)(t[i].seed + k));
            chi_bulk_free(client, t[i].out.ptr);
        }
    }
}

static void io__a_large_region_each_way_is_exact(void **state)
{
    (void)state;
    assert_int_equal(io_check(client, there, 24000001, 24000001, 9), CHI_STATUS_OK);
}

static void stream__starts_before_it_is_whole(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 8000, 70000, 500003};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        stream_check(client, there, sizes[i], 0, i);
    assert_true(stream_check(client, there, 16 << 20, 0, 7) > 0);
    assert_true(stream_check(client, there, 16 << 20, 1 << 20, 8) > 0); /* answered before it is whole */
}

static void io__a_region_beyond_the_memory_there_is_refused(void **state)
{
    (void)state;
    const uint64_t size = 200 << 20;
    struct chi_client *c;
    assert_int_equal(chi_connect(one.socket, &(struct chi_client_options){.bulk_bytes = 220 << 20}, &c), 0);
    uint8_t *p = chi_bulk_alloc(c, size);
    assert_non_null(p);
    struct echo_io t = {.task = {.pool = ECHO, .query = there, .method = &echo_io_method}};
    t.out = (struct chi_bulk){.ptr = p, .size = size};
    chi_submit(c, &t.task);
    assert_int_equal(chi_wait(c, &t.task, INT64_C(60000000000)), CHI_STATUS_TOO_BIG);
    chi_disconnect(c);
}

static void perf__runs_between_the_daemons_and_verifies(void **state)
{
    (void)state;
    static struct perf_run p;
    for (uint32_t direction = PERF_PING; direction <= PERF_BOTH; direction++) {
        p = (struct perf_run){.task = {.pool = {101, 0}, .query = chi_local(), .method = &perf_run_method, .timeout_us = 60000000},
                              .echo = ECHO, .to = chi_physical(2), .window = 16, .direction = direction, .verify = 1, .count = 500,
                              .size = 20000, .task_timeout_us = 60000000};
        assert_int_equal(call(&p.task), CHI_STATUS_OK);
        assert_int_equal(p.done, 500);
        assert_int_equal(p.errors, 0);
        assert_int_equal(p.wrong, 0);
        assert_int_equal(((struct hist *)p.hist)->count, 500);
    }
    p.size = 0; /* no region has bytes, and no buffer is there to compare */
    p.count = 3;
    assert_int_equal(call(&p.task), CHI_STATUS_OK);
    assert_true(p.done == 3 && p.errors == 0 && p.wrong == 0);
    p.window = 0;
    assert_int_equal(call(&p.task), CHI_STATUS_INVALID);
}

static void perf__small_tasks_share_packets(void **state)
{
    (void)state;
    static struct perf_run p;
    uint64_t before = node_peer(&one, 2, "packets_tx");
    p = (struct perf_run){.task = {.pool = {101, 0}, .query = chi_local(), .method = &perf_run_method},
                          .echo = ECHO, .to = chi_physical(2), .window = 64, .count = 64}; /* all at once */
    assert_int_equal(call(&p.task), CHI_STATUS_OK);
    assert_int_equal(p.errors, 0);
    assert_true(node_peer(&one, 2, "packets_tx") - before < 64 / 2);
}

static void perf__errors_are_counted(void **state)
{
    (void)state;
    static struct perf_run p;
    p = (struct perf_run){.task = {.pool = {101, 0}, .query = chi_local(), .method = &perf_run_method},
                          .echo = {999, 0}, .to = chi_physical(2), .window = 4, .count = 10};
    assert_int_equal(call(&p.task), CHI_STATUS_OK);
    assert_int_equal(p.done, 10);
    assert_int_equal(p.errors, 10);
    assert_int_equal(p.first_error, CHI_STATUS_NO_POOL);
}

/* chictl peer show of a peer's id or name, as JSON; new reference. */
static json_t *shown(const struct node *n, const char *peer)
{
    static char out[65536];
    const char *const argv[] = {CHI_BUILD_DIR "/bin/chictl", "-s", n->socket, "--json", "peer", "show", peer, NULL};
    assert_int_equal(run_program(out, sizeof out, argv), 0);
    json_t *j = json_loads(out, 0, NULL);
    assert_non_null(j);
    return j;
}

static uint64_t figure(const json_t *j, const char *group, const char *key)
{
    const json_t *v = json_object_get(json_object_get(j, group), key);
    assert_true(json_is_integer(v));
    return (uint64_t)json_integer_value(v);
}

/* All that happened before is in it, on both sides; and what no node 9 did is not. */
static void peer_show__has_the_figures_of_what_went_there_and_back(void **state)
{
    (void)state;
    json_t *to = shown(&one, "2"), *from = shown(&two, json_string_value(json_object_get(to, "name")) ? "1" : "");
    const json_t *session = json_array_get(json_object_get(to, "sessions"), 0);
    assert_string_equal(json_string_value(json_object_get(to, "state")), "ready");
    assert_string_equal(json_string_value(json_object_get(to, "ip")), "10.40.0.2");
    assert_true(figure(to, "path", "srtt_ns") >= figure(to, "path", "rtt_min_ns"));
    assert_true(figure(to, "path", "window_bytes") > 0);
    assert_true(figure(to, "traffic", "segment_bytes_tx") > 24000001 && figure(to, "traffic", "bytes_tx") > figure(to, "traffic", "segment_bytes_tx"));
    assert_true(figure(to, "traffic", "acks_tx") > 0 && figure(to, "traffic", "acks_rx") > 0);
    assert_int_equal(figure(to, "tasks", "tasks_out"), node_peer(&one, 2, "tasks_out"));
    assert_true(figure(from, "room", "grants_tx") > 0 && figure(to, "room", "grants_rx") > 0); /* of the large regions */
    assert_true(figure(from, "room", "memory_most_bytes") >= 24000001);
    assert_int_equal(figure(to, "drops", "CRC"), 0);
    assert_int_equal(json_array_size(json_object_get(to, "sessions")), 1);
    assert_int_equal(json_integer_value(json_object_get(session, "packet_bytes")), 8972);
    assert_true(json_is_true(json_object_get(session, "sends")));
    json_decref(to);
    json_decref(from);

    char out[512];
    const char *const argv[] = {CHI_BUILD_DIR "/bin/chictl", "-s", one.socket, "peer", "show", "21", NULL};
    assert_int_equal(run_program(out, sizeof out, argv), 1);
    assert_non_null(strstr(out, "there is no peer '21'; did you mean 2, "));
}

static bool nothing_open(void *arg)
{
    (void)arg;
    return node_peer(&one, 2, "open_out") == 0 && node_peer(&two, 1, "open_in") == 0 && node_peer(&one, 2, "in_flight") == 0;
}

static uint64_t worker_total(const struct node *n, const char *counter)
{
    json_t *stats = node_call(n, "stats");
    uint64_t v = (uint64_t)json_integer_value(json_object_get(json_object_get(stats, "workers"), counter));
    json_decref(stats);
    return v;
}

static void afterwards__nothing_is_left_open(void **state)
{
    (void)state;
    until(nothing_open, NULL, "no message is open on either side");
    assert_int_equal(node_peer(&one, 2, "tasks_out"), node_peer(&one, 2, "answers_in"));
    assert_int_equal(node_peer(&two, 1, "tasks_in"), node_peer(&two, 1, "answers_out"));
    assert_int_equal(node_peer(&two, 1, "tasks_in"), node_peer(&one, 2, "tasks_out"));
    uint64_t deep = worker_total(&one, "stack_most_bytes");
    assert_true(deep >= 4096 && deep <= 128 << 10);
    assert_int_equal(worker_total(&one, "tasks_sent"), node_peer(&one, 2, "tasks_out"));
    assert_int_equal(worker_total(&two, "tasks_remote"), node_peer(&two, 1, "tasks_in") - 1); /* the transport refused a large one */
}

static int setup(void **state)
{
    folder_setup(state);
    pair_start(&one, &two, &(struct node_options){.limits = "task_timeout_ms: 60000"}, NULL);
    client = node_connect(&one);
    return 0;
}

/* A test, not the group's teardown, whose failure cmocka does not count. */
static void stop__the_daemons_end_well(void **state)
{
    (void)state;
    chi_disconnect(client);
    pair_stop(&one, &two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ping__every_query_that_means_the_other_node_answers),
        cmocka_unit_test(ping__statuses_come_back),
        cmocka_unit_test(ping__thousands_at_once_come_back_each),
        cmocka_unit_test(io__every_pair_of_sizes_is_exact),
        cmocka_unit_test(io__answers_that_share_a_packet_bring_their_regions),
        cmocka_unit_test(io__a_large_region_each_way_is_exact),
        cmocka_unit_test(stream__starts_before_it_is_whole),
        cmocka_unit_test(io__a_region_beyond_the_memory_there_is_refused),
        cmocka_unit_test(perf__runs_between_the_daemons_and_verifies),
        cmocka_unit_test(perf__small_tasks_share_packets),
        cmocka_unit_test(perf__errors_are_counted),
        cmocka_unit_test(peer_show__has_the_figures_of_what_went_there_and_back),
        cmocka_unit_test(afterwards__nothing_is_left_open),
        cmocka_unit_test(stop__the_daemons_end_well),
    };
    return cmocka_run_group_tests(tests, setup, folder_teardown);
}
