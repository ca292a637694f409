/* upgrade_test.c - a module is replaced by another version of itself while its tasks run. */
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "relay/relay.h"

enum { TREES = 64, DEPTH = 3, WIDTH = 4, TREE_TASKS = 1 + 4 + 16 + 64 }; /* 5,440 tasks of 64 trees at once */
enum { UPGRADES = SANITIZED ? 4 : 12 };
static const struct chi_pool_id RELAY = {200, 0};
static struct node one, two;
static struct chi_client *client[2]; /* of node 1, of node 2; NULL: there is none */
static char folder[128];

/* Puts a version where daemons look for it, as a deployment does: under its name at once. */
static void deploy(const char *version)
{
    char from[256], to[160], part[160], line[700];
    snprintf(from, sizeof from, CHI_BUILD_DIR "/tests/relay_%s/relay.so", version);
    snprintf(to, sizeof to, "%s/relay.so", folder);
    snprintf(part, sizeof part, "%s/relay.part", folder);
    assert_int_equal(run_program(line, sizeof line, (const char *const[]){"/bin/cp", from, part, NULL}), 0);
    assert_int_equal(rename(part, to), 0);
}

#define LIMITS "stacks: 8192, stack_bytes: 64K, tasks: 32768, task_timeout_ms: 60000"

static struct node_options options(uint32_t peer)
{
    static char modules[400];
    snprintf(modules, sizeof modules, "%s, " MODULES_DEFAULT, folder);
    return (struct node_options){.peer = peer, .modules = modules, .limits = LIMITS, .cores = "0, 1",
                                 .compose = "  - {mod: relay, pool: 200.0, name: relay, containers: 2}"};
}

static int setup_folder(void **state)
{
    folder_setup(state);
    snprintf(folder, sizeof folder, "%s/mods", test_dir);
    assert_int_equal(mkdir(folder, 0755), 0);
    deploy("1");
    return 0;
}

static int setup_one(void **state)
{
    setup_folder(state);
    struct node_options o = options(0);
    node_configure(&one, 1, &o);
    node_start(&one);
    client[0] = node_connect(&one);
    client[1] = NULL;
    return 0;
}

static int setup_pair(void **state)
{
    setup_folder(state);
    struct node_options o1 = options(2), o2 = options(1);
    pair_start(&one, &two, &o1, &o2);
    client[0] = node_connect(&one);
    client[1] = node_connect(&two);
    return 0;
}

static bool is_over(void *node)
{
    json_t *o = node_call(node, "mod.upgrading");
    const char *is = json_string_value(json_object_get(o, "upgrade"));
    bool over = strcmp(is, "waits") != 0 && strcmp(is, "done, not closed") != 0;
    json_decref(o);
    return over;
}

static void expect_upgrade(struct node *n, const char *is, const char *why)
{
    until(is_over, n, "the upgrade is over");
    json_t *o = node_call(n, "mod.upgrading");
    const char *got = json_string_value(json_object_get(o, "upgrade")), *text = json_string_value(json_object_get(o, "why"));
    if (strcmp(got, is) != 0 || !strstr(text, why))
        fail_msg("the upgrade is '%s': %s; right is '%s': %s", got, text, is, why);
    json_decref(o);
}

static void begin_upgrade(const struct node *n, unsigned limit_ms)
{
    char params[80];
    snprintf(params, sizeof params, "{\"name\": \"relay\", \"limit\": %u}", limit_ms);
    json_decref(node_ask(n, "mod.upgrade", params));
}

static struct relay_count count_at(struct chi_client *c, struct chi_query q, enum chi_status st)
{
    struct relay_count t = {.task = {.pool = RELAY, .query = q, .method = &relay_count_method}};
    assert_int_equal(chi_submit(c, &t.task), CHI_STATUS_PENDING);
    assert_int_equal(chi_wait(c, &t.task, INT64_C(60000000000)), st);
    return t;
}

/* --- the load: trees of tasks, from clients of each node */

struct load {
    struct relay_tree t[2][TREES];
    uint64_t over, wanted, seen; /* trees; runs that the counters showed last, of all containers */
    uint32_t high;
};

static void plant(struct load *l, int side, unsigned i)
{
    l->t[side][i] = (struct relay_tree){.task = {.pool = RELAY, .query = chi_hash(i) /* of all containers and lanes */, .method = &relay_tree_method},
                                        .depth = DEPTH, .width = WIDTH, .low = 1, .high = l->high};
    assert_int_equal(chi_submit(client[side], &l->t[side][i].task), CHI_STATUS_PENDING);
}

/* Those that are over were whole; plants others in their place, or not. */
static unsigned harvest(struct load *l, bool again)
{
    unsigned out = 0;
    for (int side = 0; side < 2 && client[side]; side++) {
        chi_poll(client[side]);
        for (unsigned i = 0; i < TREES; i++) {
            struct relay_tree *t = &l->t[side][i];
            if (t->task.status == CHI_STATUS_PENDING) {
                out++;
                continue;
            }
            if (!t->depth)
                continue;
            if (t->task.status != CHI_STATUS_OK || t->sum != TREE_TASKS)
                fail_msg("a tree ended with %s and %llu tasks", chi_status_text(t->task.status), (unsigned long long)t->sum);
            l->over++;
            t->depth = 0;
            if (again)
                plant(l, side, i);
        }
    }
    return out;
}

struct under_load {
    struct node *node;
    struct load *load;
};
static bool is_over_with_load(void *arg)
{
    const struct under_load *u = arg;
    harvest(u->load, true);
    return is_over(u->node);
}

static bool has_come_far(void *load)
{
    struct load *l = load;
    harvest(l, true);
    return l->over >= l->wanted;
}
static bool is_quiet(void *load) { return harvest(load, false) == 0; }

static uint64_t runs_of_all(uint32_t containers)
{
    uint64_t sum = 0;
    for (uint32_t k = 0; k < containers; k++)
        sum += count_at(client[0], chi_direct(k), CHI_STATUS_OK).runs;
    return sum;
}

/* Upgrades of the nodes in turn, each while trees of all clients run; none is lost, none runs twice, and no counter goes back. */
static void upgrade_under_load(struct node *const *nodes, unsigned n)
{
    static struct load l;
    uint64_t done = 0;
    l = (struct load){.high = n};
    for (int side = 0; side < (int)n; side++)
        for (unsigned i = 0; i < TREES; i++)
            plant(&l, side, i);
    for (unsigned u = 0; u < UPGRADES; u++) {
        l.wanted = l.over + TREES; /* it runs again */
        until(has_come_far, &l, "trees end");
        deploy(u / n % 2 ? "1" : "2");
        begin_upgrade(nodes[u % n], 15000);
        until(is_over_with_load, &(struct under_load){nodes[u % n], &l}, "the upgrade is over");
        expect_upgrade(nodes[u % n], "done", "");
        done++;
        uint64_t seen = runs_of_all(2 * n);
        assert_true(seen >= l.seen && seen >= l.over * TREE_TASKS);
        l.seen = seen;
    }
    until(is_quiet, &l, "all trees are over");
    assert_int_equal(runs_of_all(2 * n), l.over * TREE_TASKS);
    uint64_t upgrades = 0;
    for (uint32_t k = 0; k < 2 * n; k++)
        upgrades += count_at(client[0], chi_direct(k), CHI_STATUS_OK).upgrades;
    assert_int_equal(upgrades, 2 * done);
}

static void upgrade__under_load_loses_nothing(void **state)
{
    (void)state;
    upgrade_under_load((struct node *const[]){&one}, 1);
}

static void upgrade__of_two_nodes_under_load_loses_nothing(void **state)
{
    (void)state;
    upgrade_under_load((struct node *const[]){&one, &two}, 2);
}

/* --- what is refused, and leaves the old version as it was */

static void still_version(uint32_t version)
{
    struct relay_count t = count_at(client[0], chi_direct(0), CHI_STATUS_OK);
    assert_int_equal(t.version, version);
}

static void upgrade__refuses_with_a_reason(void **state)
{
    (void)state;
    node_refuses(&one, "mod.upgrading", "{}", "no module was upgraded since the start");
    node_refuses(&one, "mod.upgrade", "{\"name\": \"relai\"}", "there is no module 'relai'");
    node_refuses(&one, "mod.upgrade", "{\"name\": \"relay\", \"limit\": 0}", "limit is 0");
    node_refuses(&one, "mod.upgrade", "{\"name\": \"relay\"}", "is the file that is loaded; put the new version in its place with mv");
    deploy("7_ABI");
    node_refuses(&one, "mod.upgrade", "{\"name\": \"relay\"}", "module relay has ABI");
    deploy("3_FAILS");
    begin_upgrade(&one, 10000);
    expect_upgrade(&one, "given up", "container 1 of pool relay is not taken over: ");
    still_version(1);
    deploy("4_QUEUES");
    begin_upgrade(&one, 10000);
    expect_upgrade(&one, "given up", "container 0 of pool relay is not taken over: ");
    deploy("6_STATELESS");
    begin_upgrade(&one, 10000);
    expect_upgrade(&one, "given up", "it has a state, and the new version no `upgrade`");
    still_version(1);
    node_refuses(&one, "mod.unload", "{\"name\": \"relay\"}", "module relay is in use: pool 200.0 (relay) is of it");
    deploy("2");
    begin_upgrade(&one, 10000);
    expect_upgrade(&one, "done", "");
    still_version(2);
}

static bool is_parked(void *arg)
{
    json_t *list = node_call(&one, "worker.list"), *row;
    uint64_t open = 0;
    size_t i;
    (void)arg;
    json_array_foreach(list, i, row) open += (uint64_t)json_integer_value(json_object_get(row, "tasks_open"));
    json_decref(list);
    return open > 0;
}

/* One that the old version does not end keeps it: what was held meanwhile goes on with it. */
static void upgrade__is_given_up_when_the_time_is_over(void **state)
{
    (void)state;
    struct relay_count parked = {.task = {.pool = RELAY, .query = chi_direct(0), .method = &relay_park_method}};
    struct relay_count held = {.task = {.pool = RELAY, .query = chi_direct(0), .method = &relay_count_method}}, late = held;
    late.task.timeout_us = 20000;
    assert_int_equal(chi_submit(client[0], &parked.task), CHI_STATUS_PENDING);
    until(is_parked, NULL, "a task is parked");
    deploy("2");
    begin_upgrade(&one, 2000);
    node_refuses(&one, "mod.upgrade", "{\"name\": \"relay\"}", "an upgrade of relay is not over");
    node_refuses(&one, "mod.unload", "{\"name\": \"relay\"}", "an upgrade of relay is not over");
    assert_int_equal(chi_submit(client[0], &held.task), CHI_STATUS_PENDING);
    assert_int_equal(chi_submit(client[0], &late.task), CHI_STATUS_PENDING);
    assert_int_equal(chi_wait(client[0], &late.task, INT64_C(60000000000)), CHI_STATUS_DEADLINE);
    assert_false(is_over(&one)); /* it did not wait for that */
    expect_upgrade(&one, "given up", "the old version is not at rest: 1 task, one of them RELAY_PARK of worker ");
    assert_int_equal(chi_wait(client[0], &held.task, INT64_C(60000000000)), CHI_STATUS_OK);
    assert_int_equal(held.version, 1);
    struct relay_count free_it = {.task = {.pool = RELAY, .query = chi_direct(0), .method = &relay_free_method}};
    assert_int_equal(chi_submit(client[0], &free_it.task), CHI_STATUS_PENDING);
    assert_int_equal(chi_wait(client[0], &free_it.task, INT64_C(60000000000)), CHI_STATUS_OK);
    assert_int_equal(chi_wait(client[0], &parked.task, INT64_C(60000000000)), CHI_STATUS_OK);
    begin_upgrade(&one, 10000);
    expect_upgrade(&one, "done", "");
    still_version(2);
}

/* One that had begun, and had nothing submitted yet, comes to its end. */
static void upgrade__lets_go_on_what_has_begun(void **state)
{
    (void)state;
    struct relay_tree t = {.task = {.pool = RELAY, .query = chi_direct(0), .method = &relay_nap_method}, .depth = DEPTH, .width = WIDTH, .low = 1, .high = 1};
    assert_int_equal(chi_submit(client[0], &t.task), CHI_STATUS_PENDING);
    until(is_parked, NULL, "a task sleeps");
    deploy("2");
    begin_upgrade(&one, 10000);
    expect_upgrade(&one, "done", "");
    assert_int_equal(chi_wait(client[0], &t.task, INT64_C(60000000000)), CHI_STATUS_OK);
    assert_int_equal(t.sum, TREE_TASKS);
    still_version(2);
}

static bool ticks_on(void *version)
{
    struct relay_count t = count_at(client[0], chi_direct(1), CHI_STATUS_OK);
    assert_int_equal(t.version, *(uint32_t *)version);
    return t.ticks > 5;
}

/* A periodic task goes on with the new version, and its method is that one's: the old file is closed. */
static void upgrade__takes_periodic_tasks_over(void **state)
{
    struct relay_count t = {.task = {.pool = RELAY, .query = chi_direct(1), .method = &relay_tick_method}};
    (void)state;
    assert_int_equal(chi_submit(client[0], &t.task), CHI_STATUS_PENDING);
    assert_int_equal(chi_wait(client[0], &t.task, INT64_C(60000000000)), CHI_STATUS_OK);
    for (uint32_t version = 1; version < 5; version++) {
        until(ticks_on, &(uint32_t){2 - version % 2}, "it ticks");
        deploy(version % 2 ? "2" : "1");
        begin_upgrade(&one, 10000);
        expect_upgrade(&one, "done", "");
    }
    until(ticks_on, &(uint32_t){1}, "it ticks");
}

/* Clients with the fields of before, from here and in what was held. */
static void upgrade__of_other_fields_ends_tasks_with_schema(void **state)
{
    (void)state;
    deploy("5_OTHER_FIELDS");
    begin_upgrade(&one, 10000);
    expect_upgrade(&one, "done", "");
    still_version(5);
    struct relay_tree t = {.task = {.pool = RELAY, .query = chi_direct(0), .method = &relay_tree_method}, .low = 1, .high = 1};
    assert_int_equal(chi_submit(client[0], &t.task), CHI_STATUS_PENDING);
    assert_int_equal(chi_wait(client[0], &t.task, INT64_C(60000000000)), CHI_STATUS_SCHEMA);
}

static void chictl__waits_for_the_end(void **state)
{
    char out[600];
    const char *const argv[] = {CHI_BUILD_DIR "/bin/chictl", "--socket", one.socket, "mod", "upgrade", "relay", "--limit", "5000", NULL};
    (void)state;
    deploy("2");
    assert_int_equal(run_program(out, sizeof out, argv), 0);
    assert_non_null(strstr(out, "done"));
    deploy("3_FAILS");
    assert_int_equal(run_program(out, sizeof out, argv), 1);
    assert_non_null(strstr(out, "container 1 of pool relay is not taken over"));
    still_version(2);
}

static void stop_one(void)
{
    chi_disconnect(client[0]);
    assert_int_equal(node_stop(&one), 0);
}

#define OF_ONE(name)                                                                                                   \
    static void name##_then_stops(void **state)                                                                       \
    {                                                                                                                  \
        name(state);                                                                                                   \
        stop_one();                                                                                                    \
    }
OF_ONE(upgrade__lets_go_on_what_has_begun)
OF_ONE(upgrade__takes_periodic_tasks_over)
OF_ONE(upgrade__under_load_loses_nothing)
OF_ONE(upgrade__refuses_with_a_reason)
OF_ONE(upgrade__is_given_up_when_the_time_is_over)
OF_ONE(upgrade__of_other_fields_ends_tasks_with_schema)
OF_ONE(chictl__waits_for_the_end)

static void upgrade__of_two_nodes_under_load_loses_nothing_then_stops(void **state)
{
    upgrade__of_two_nodes_under_load_loses_nothing(state);
    chi_disconnect(client[0]);
    chi_disconnect(client[1]);
    pair_stop(&one, &two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(upgrade__refuses_with_a_reason_then_stops, setup_one, folder_teardown),
        cmocka_unit_test_setup_teardown(upgrade__is_given_up_when_the_time_is_over_then_stops, setup_one, folder_teardown),
        cmocka_unit_test_setup_teardown(upgrade__of_other_fields_ends_tasks_with_schema_then_stops, setup_one, folder_teardown),
        cmocka_unit_test_setup_teardown(upgrade__lets_go_on_what_has_begun_then_stops, setup_one, folder_teardown),
        cmocka_unit_test_setup_teardown(upgrade__takes_periodic_tasks_over_then_stops, setup_one, folder_teardown),
        cmocka_unit_test_setup_teardown(chictl__waits_for_the_end_then_stops, setup_one, folder_teardown),
        cmocka_unit_test_setup_teardown(upgrade__under_load_loses_nothing_then_stops, setup_one, folder_teardown),
        cmocka_unit_test_setup_teardown(upgrade__of_two_nodes_under_load_loses_nothing_then_stops, setup_pair, folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
