/* route_test.c - two nodes of two workers: the monitor decides where DYNAMIC goes and which lane runs; tasks wait for subtasks;
 * every field type travels, in table and by hand, also in forms longer than a packet, between ports of different MTU. */
#include <unistd.h>

#include "harness.h"
#include "probe/probe.h"

static struct node one, two;
static struct chi_client *client;
static const struct chi_pool_id PROBE = {200, 0};

static enum chi_status call(struct chi_task *t)
{
    t->timeout_us = 60000000;
    chi_submit(client, t);
    return chi_wait(client, t, INT64_C(60000000000));
}

static struct probe_where where(struct chi_query q, uint64_t key, enum probe_mode mode)
{
    return (struct probe_where){.task = {.pool = PROBE, .query = q, .method = &probe_where_method}, .key = key, .mode = mode};
}

static void dynamic__goes_where_the_monitor_says(void **state)
{
    (void)state;
    for (uint32_t node = 1; node <= 2; node++) {
        struct probe_where t = where(chi_dynamic(), node, PROBE_PLAIN);
        assert_int_equal(call(&t.task), CHI_STATUS_OK);
        assert_int_equal(t.node, node);
    }
    struct probe_where t = where(chi_dynamic(), 99, PROBE_PLAIN);
    assert_int_equal(call(&t.task), CHI_STATUS_NO_NODE);
}

static void dynamic__that_stays_dynamic_ends_with_no_route(void **state)
{
    (void)state;
    struct probe_where t = where(chi_dynamic(), 1, PROBE_STAY_DYNAMIC);
    assert_int_equal(call(&t.task), CHI_STATUS_NO_ROUTE);
    t = where(chi_dynamic(), 1, PROBE_FAIL_GLOBAL);
    assert_int_equal(call(&t.task), CHI_STATUS_MODULE);
}

static void local__the_monitor_picks_the_lane(void **state)
{
    (void)state;
    for (uint32_t node = 1; node <= 2; node++)
        for (uint64_t key = 0; key < 8; key++) {
            struct probe_where t = where(chi_physical(node), key, PROBE_PLAIN);
            assert_int_equal(call(&t.task), CHI_STATUS_OK);
            assert_int_equal(t.node, node);
            assert_int_equal(t.worker, key % 2); /* lanes are dealt to the workers in turn */
        }
    for (uint32_t node = 1; node <= 2; node++) {
        struct probe_where t = where(chi_physical(node), 1, PROBE_FAIL_LOCAL);
        assert_int_equal(call(&t.task), CHI_STATUS_MODULE);
        t = where(chi_physical(node), 1, PROBE_FOREIGN_LANE);
        assert_int_equal(call(&t.task), CHI_STATUS_NO_ROUTE);
    }
}

static void subtask__the_parent_waits_for_it_here_and_there(void **state)
{
    (void)state;
    for (uint32_t at = 1; at <= 2; at++)
        for (uint32_t to = 1; to <= 2; to++) {
            struct probe_where t = where(chi_physical(at), to, PROBE_WAIT);
            assert_int_equal(call(&t.task), CHI_STATUS_OK);
            assert_int_equal(t.node, to);
        }
    struct probe_where t = where(chi_physical(2), 99, PROBE_WAIT);
    assert_int_equal(call(&t.task), CHI_STATUS_NO_NODE); /* the subtask's status is the parent's */
}

/* On stacks of their own, many at once: each has its own answer. */
static void wait__many_at_once_here_and_there(void **state)
{
    (void)state;
    enum { MANY = 100 };
    static struct probe_where t[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        t[i] = where(chi_physical(1 + i % 2), 1 + i / 2 % 2, PROBE_STAY);
        assert_int_equal(chi_submit(client, &t[i].task), CHI_STATUS_PENDING);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(chi_wait(client, &t[i].task, 10000000000), CHI_STATUS_OK);
        assert_int_equal(t[i].node, 1 + i / 2 % 2);
    }
    struct probe_where none = where(chi_physical(2), 99, PROBE_STAY);
    assert_int_equal(call(&none.task), CHI_STATUS_NO_NODE);
}

/* Of the tasks of a node, on its two workers, each finds another number. */
static void lock__keeps_tasks_apart_while_they_block(void **state)
{
    (void)state;
    enum { MANY = 60 };
    static struct probe_where t[MANY];
    for (uint32_t node = 1; node <= 2; node++) {
        bool found[MANY + 1] = {false};
        uint32_t by_worker[2] = {0};
        for (uint32_t i = 0; i < MANY; i++) {
            t[i] = where(chi_physical(node), i, PROBE_COUNT);
            assert_int_equal(chi_submit(client, &t[i].task), CHI_STATUS_PENDING);
        }
        for (uint32_t i = 0; i < MANY; i++) {
            assert_int_equal(chi_wait(client, &t[i].task, INT64_C(60000000000)), CHI_STATUS_OK);
            assert_true(t[i].node >= 1 && t[i].node <= MANY && !found[t[i].node]);
            found[t[i].node] = true;
            by_worker[t[i].worker]++;
        }
        assert_true(by_worker[0] == MANY / 2 && by_worker[1] == MANY / 2);
    }
}

static void fields_round_trip(uint32_t node, uint32_t bytes, uint64_t size)
{
    static struct probe_fields t;
    uint8_t *p = chi_bulk_alloc(client, size);
    t = (struct probe_fields){.task = {.pool = PROBE, .query = chi_physical(node), .method = &probe_fields_method},
                              .a = 255, .b = {1, 2, 65535}, .c = -1, .d = 1.5, .e = true, .text = {.len = 5, .data = "abcde"},
                              .bytes = {.len = bytes}, .region = {.ptr = p, .size = size}};
    for (uint32_t i = 0; i < bytes; i++)
        t.bytes.data[i] = (uint8_t)(i * 3);
    for (uint64_t i = 0; i < size; i++)
        p[i] = (uint8_t)i;
    assert_int_equal(call(&t.task), CHI_STATUS_OK);
    assert_int_equal(t.a, 0);
    assert_int_equal(t.b[2], 0);
    assert_int_equal(t.c, 0);
    assert_true(t.d == 2.5 && !t.e);
    assert_memory_equal(t.text.data, "edcba", 5);
    assert_int_equal(t.bytes.len, bytes);
    for (uint32_t i = 0; i < bytes; i++)
        assert_int_equal(t.bytes.data[i], (uint8_t)((bytes - 1 - i) * 3));
    assert_int_equal(t.region.used, size);
    for (uint64_t i = 0; i < size; i++)
        assert_int_equal(p[i], (uint8_t)(i + 1));
    chi_bulk_free(client, p);
}

static void fields__every_type_travels_and_comes_back(void **state)
{
    (void)state;
    const uint32_t lengths[] = {0, 1, 100, 1000, 1200, 8000, 9000, 12000};
    for (uint32_t node = 1; node <= 2; node++)
        for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
            fields_round_trip(node, lengths[i], i * 7001);
}

static void hand__a_form_written_by_hand_and_a_region_half_filled(void **state)
{
    (void)state;
    for (uint32_t node = 1; node <= 2; node++)
        for (uint32_t count = 0; count <= 100; count += 25) {
            char *p = chi_bulk_alloc(client, 1000);
            struct probe_hand t = {.task = {.pool = PROBE, .query = chi_physical(node), .method = &probe_hand_method},
                                   .count = count, .half = {.ptr = p, .size = 1000}};
            memset(p, '-', 1000);
            for (uint32_t i = 0; i < count; i++)
                t.number[i] = i;
            assert_int_equal(call(&t.task), CHI_STATUS_OK);
            assert_int_equal(t.count, count);
            for (uint32_t i = 0; i < count; i++)
                assert_int_equal(t.number[i], 2 * i);
            assert_int_equal(t.half.used, 500);
            assert_true(p[0] == 'h' && p[499] == 'h' && p[500] == '-' && p[999] == '-');
            chi_bulk_free(client, p);
        }
}

static void mixed__one_direction_from_the_table_the_other_by_hand(void **state)
{
    (void)state;
    for (uint32_t node = 1; node <= 2; node++) {
        struct probe_mixed t = {.task = {.pool = PROBE, .query = chi_physical(node), .method = &probe_mixed_method}, .value = 21};
        assert_int_equal(call(&t.task), CHI_STATUS_OK);
        assert_int_equal(t.twice, 42);
    }
}

/* Structs longer than a packet, with a short and a long form, and forms by hand: from a client, and from a module. */
static void large__goes_and_comes_back_from_clients_and_modules(void **state)
{
    (void)state;
    static struct probe_large t;
    const uint32_t lengths[] = {0, 10, 8000, 9000, 12000};
    for (uint32_t at = 1; at <= 2; at++)
        for (uint32_t to = 0; to <= 2; to++)
            for (unsigned k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
                uint32_t n = lengths[k];
                t = (struct probe_large){.task = {.pool = PROBE, .query = chi_physical(at), .method = &probe_large_method},
                                         .mode = to ? PROBE_LARGE_SEND : PROBE_LARGE_PLAIN, .to = to, .bytes = {.len = n}};
                for (uint32_t i = 0; i < n; i++)
                    t.bytes.data[i] = (uint8_t)(i * 3 + to);
                assert_int_equal(call(&t.task), CHI_STATUS_OK);
                assert_int_equal(t.bytes.len, n);
                for (uint32_t i = 0; i < n; i++)
                    assert_int_equal(t.bytes.data[i], (uint8_t)((n - 1 - i) * 3 + to));
            }
}

static void large__that_cannot_be_saved_never_leaves(void **state)
{
    (void)state;
    static struct probe_large t;
    t = (struct probe_large){.task = {.pool = PROBE, .query = chi_local(), .method = &probe_large_method},
                             .mode = PROBE_LARGE_SEND, .to = 2, .want = sizeof t.bytes.data + 1};
    uint64_t before = node_peer(&one, 2, "tasks_out");
    assert_int_equal(call(&t.task), CHI_STATUS_INVALID);
    assert_int_equal(node_peer(&one, 2, "tasks_out"), before);
}

static void list__by_hand_without_a_region_goes_and_comes_back(void **state)
{
    (void)state;
    for (uint32_t at = 1; at <= 2; at++)
        for (uint32_t to = 0; to <= 2; to++) {
            struct probe_list t = {.task = {.pool = PROBE, .query = chi_physical(at), .method = &probe_list_method}, .to = to, .count = 100};
            for (uint32_t i = 0; i < 100; i++)
                t.number[i] = i + 1;
            assert_int_equal(call(&t.task), CHI_STATUS_OK);
            for (uint32_t i = 0; i < 100; i++)
                assert_int_equal(t.number[i], 2 * (i + 1));
        }
}

/* `tail` bytes come back, of two points and an optional number, if there are any. */
static enum chi_status nested_call(uint32_t node, uint32_t to, uint32_t tail, bool spoil)
{
    struct probe_nested t = {.task = {.pool = PROBE, .query = chi_physical(node), .method = &probe_nested_method}, .to = to, .spoil = spoil};
    t.more = 77; /* not sent unless has_more */
    if (tail > 100)
        t.has_more = true, t.more = tail - 100, tail = 100;
    if (tail) {
        t.points.len = 2;
        t.points.data[0] = (struct probe_point){(uint16_t)(tail - 1), true, 0};
        t.points.data[1] = (struct probe_point){1, false, 5};
    }
    enum chi_status st = call(&t.task);
    if (st != CHI_STATUS_OK)
        return st;
    uint32_t bytes = tail + (t.has_more ? t.more : 0), sum = 0;
    for (uint32_t i = 0; i < bytes; i++)
        sum += (uint8_t)(i * 7);
    assert_int_equal(t.tail.bytes, bytes);
    assert_int_equal(t.tail.sum, sum);
    assert_int_equal(t.points.len, tail ? 2 : 0);
    if (tail) {
        assert_int_equal(t.points.data[0].y, 3 * (tail - 1));
        assert_true(t.points.data[1].x == 1 && !t.points.data[1].has_y && t.points.data[1].y == 0);
    }
    return st;
}

static void nested__structs_and_a_longer_form_than_the_struct(void **state)
{
    (void)state;
    const uint32_t tails[] = {0, 1, 100, 110, 130, 1000, 1100, 1300, PROBE_TAIL_MAX};
    CHI_STATIC_ASSERT(sizeof(struct probe_nested) <= sizeof(struct chi_task) + 128, "its struct alone would let it into a small record");
    for (uint32_t node = 1; node <= 2; node++)
        for (uint32_t to = 0; to <= 2; to++) {
            for (unsigned i = 0; i < sizeof tails / sizeof tails[0]; i++)
                assert_int_equal(nested_call(node, to, tails[i], false), CHI_STATUS_OK);
            assert_int_equal(nested_call(node, to, PROBE_TAIL_MAX + 1, false), CHI_STATUS_INVALID);
            assert_int_equal(nested_call(node, to, 100, true), CHI_STATUS_INVALID);
        }
}

static void cut_short(struct chi_archive *ar, struct chi_task *task) { chi_ar_u32(ar, &((struct probe_list *)task)->to, 1); }

/* A client whose form is not what the method reads gets ARCHIVE, and the module never sees the task. */
static void list__with_a_body_that_ends_early_does_not_run(void **state)
{
    (void)state;
    struct chi_method m = CHI_METHOD_BY_HAND(PROBE_LIST, struct probe_list, cut_short, probe_list_both);
    for (uint32_t at = 1; at <= 2; at++) {
        struct probe_list t = {.task = {.pool = PROBE, .query = chi_physical(at), .method = &m}};
        assert_int_equal(call(&t.task), CHI_STATUS_ARCHIVE);
    }
}

static int setup(void **state)
{
    /* Two pools of the module: the second one's container is "another one's". */
    const char *pools = "  - {mod: probe, pool: 200.0, name: probe}\n  - {mod: probe, pool: 201.0, name: other}";
    folder_setup(state);
    struct node_options o = {.cores = "0, 1", .compose = pools, .modules = MODULES_OF_TESTS}, o1 = o;
    o1.mtu = 1500; /* what fits into a packet of node 2's need not fit into one between the two */
    pair_start(&one, &two, &o1, &o);
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
        cmocka_unit_test(dynamic__goes_where_the_monitor_says),
        cmocka_unit_test(dynamic__that_stays_dynamic_ends_with_no_route),
        cmocka_unit_test(local__the_monitor_picks_the_lane),
        cmocka_unit_test(subtask__the_parent_waits_for_it_here_and_there),
        cmocka_unit_test(wait__many_at_once_here_and_there),
        cmocka_unit_test(lock__keeps_tasks_apart_while_they_block),
        cmocka_unit_test(fields__every_type_travels_and_comes_back),
        cmocka_unit_test(hand__a_form_written_by_hand_and_a_region_half_filled),
        cmocka_unit_test(mixed__one_direction_from_the_table_the_other_by_hand),
        cmocka_unit_test(large__goes_and_comes_back_from_clients_and_modules),
        cmocka_unit_test(large__that_cannot_be_saved_never_leaves),
        cmocka_unit_test(list__by_hand_without_a_region_goes_and_comes_back),
        cmocka_unit_test(nested__structs_and_a_longer_form_than_the_struct),
        cmocka_unit_test(list__with_a_body_that_ends_early_does_not_run),
        cmocka_unit_test(stop__the_daemons_end_well),
    };
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        return 77; /* a worker needs a core of its own: ctest counts it as skipped */
    return cmocka_run_group_tests(tests, setup, folder_teardown);
}
