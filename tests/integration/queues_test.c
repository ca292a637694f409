/* queues_test.c - two nodes of two workers each, joined by memif with a pair of queues for each worker, with one for both, and with
 * fewer at the one end than at the other: what is handed over between workers. */
#include <unistd.h>

#include "load.h"

static struct node one, two;
static const int64_t LONG = INT64_C(60000000000);

static void start(uint32_t queues_one, uint32_t queues_two)
{
    pair_start(&one, &two, &(struct node_options){.cores = "0, 1", .limits = "task_timeout_ms: 60000", .queues = queues_one},
               &(struct node_options){.cores = "0, 1", .queues = queues_two});
}

/* Packets that the workers of both nodes handed to each other. */
static uint64_t handed(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < 2; i++) {
        json_t *list = node_call(i ? &two : &one, "worker.list"), *w;
        size_t k;
        json_array_foreach (list, k, w)
            sum += (uint64_t)json_integer_value(json_object_get(w, "packets_handed"));
        json_decref(list);
    }
    return sum;
}

/* Tasks between the endpoints of worker 0, and of worker 1, of the two nodes. */
static void traffic(void)
{
    enum { COUNT = 400 };
    struct chi_client *c[2] = {node_connect(&one), node_connect(&one)}; /* dealt to both workers */
    for (uint64_t i = 0; i < COUNT; i++) {
        struct echo_ping t = ping_to(chi_physical(2), i);
        assert_int_equal(chi_submit(c[i % 2], &t.task), CHI_STATUS_PENDING);
        assert_int_equal(chi_wait(c[i % 2], &t.task, LONG), CHI_STATUS_OK);
        assert_int_equal(t.value, i);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(io_check(c[i], chi_physical(2), 300000, 200000, 3), CHI_STATUS_OK);
        chi_disconnect(c[i]);
    }
}

/* A task that went to the former life of a node ends with that. */
static bool answers(void *client)
{
    struct echo_ping t = ping_to(chi_physical(2), 1);
    chi_submit(client, &t.task);
    return chi_wait(client, &t.task, LONG) == CHI_STATUS_OK;
}

static void again(struct node *n)
{
    node_kill(n);
    node_start(n);
    struct chi_client *c[2] = {node_connect(&one), node_connect(&one)};
    for (int i = 0; i < 2; i++)
        until(answers, c[i], "a task of each worker after a restart");
    chi_disconnect(c[0]);
    chi_disconnect(c[1]);
}

/* What is handed over while tasks run.  Once in 30 s a neighbour is asked anew, and a packet to it is handed over: of three times, then,
 * the one with the least. */
static uint64_t handed_in_traffic(void)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 3 && least; i++) {
        uint64_t before = handed();
        traffic();
        uint64_t now = handed() - before;
        least = now < least ? now : least;
    }
    return least;
}

static void expect_port(const struct node *n, int queues, const char *steering)
{
    json_t *list = node_call(n, "port.list"), *p = json_array_get(list, 0);
    assert_int_equal(json_integer_value(json_object_get(p, "queues")), queues);
    assert_string_equal(json_string_value(json_object_get(p, "steering")), steering);
    json_decref(list);
}

static void queues__of_each_worker_hand_nothing_over(void **state)
{
    (void)state;
    start(2, 2);
    traffic(); /* the handshake, and the neighbours */
    assert_int_equal(handed_in_traffic(), 0);
    expect_port(&one, 2, "sender's queue");
    expect_port(&two, 2, "sender's queue");
    for (int i = 0; i < 2; i++) { /* the client's end, the server's end */
        again(i ? &one : &two);
        assert_int_equal(handed_in_traffic(), 0);
    }
    pair_stop(&one, &two);
}

static void queue__of_one_worker_serves_both(void **state)
{
    (void)state;
    start(1, 1);
    traffic();
    assert_true(handed_in_traffic() > 100);
    expect_port(&one, 1, "hand-over");
    pair_stop(&one, &two);
}

static void queues__that_only_one_end_has_are_not_used(void **state)
{
    (void)state;
    start(2, 0);
    traffic();
    assert_true(handed_in_traffic() > 100);
    expect_port(&one, 2, "sender's queue");
    expect_port(&two, 1, "hand-over");
    pair_stop(&one, &two);
}

static bool complains(void *node)
{
    return log_says(node, node == &one ? "chimaerad: port p0: its link is down: no client connects"
                                       : "chimaerad: port p0: its link is down: its server refuses it");
}

/* A server refuses such a client, for ever: both ends, and their logs, say what is to be mended. */
static void queues__that_a_memif_server_has_not_are_named(void **state)
{
    char params[320];
    (void)state;
    pair_start(&one, &two, &(struct node_options){.cores = "0, 1", .queues = 1},
               &(struct node_options){.cores = "0, 1", .queues = 2, .memory = "512M"});
    expect_why(&two, "p0", "its server refuses it: it needs queues: 2 at least");
    expect_why(&one, "p0", "no client connects");
    expect_why(&one, "p0", "queues: 1 at most");
    until(complains, &two, "a line of the client's log");
    until(complains, &one, "a line of the server's log");
    json_decref(node_ask(&two, "port.remove", "{\"name\":\"p0\"}"));
    snprintf(params, sizeof params,
             "{\"name\":\"p0\",\"device\":\"net_memif0,role=client,id=0,socket=%s/memif.sock\",\"ip\":\"10.40.0.2/24\",\"mtu\":9000,\"queues\":1}",
             test_dir);
    json_decref(node_ask(&two, "port.add", params));
    expect_link(&one, "p0", "up");
    expect_why(&one, "p0", NULL);
    pair_stop(&one, &two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queues__of_each_worker_hand_nothing_over),
        cmocka_unit_test(queue__of_one_worker_serves_both),
        cmocka_unit_test(queues__that_only_one_end_has_are_not_used),
        cmocka_unit_test(queues__that_a_memif_server_has_not_are_named),
    };
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        return 77; /* a worker needs a core of its own: ctest counts it as skipped */
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
