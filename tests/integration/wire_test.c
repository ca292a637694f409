/* wire_test.c - two daemons joined by chi-wire, memif on both sides: what it does to packets is seen in its counters,
 * and tasks do not notice; and what its command line answers. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define CHI_WIRE CHI_BUILD_DIR "/bin/chi-wire"

static const struct chi_query there = {CHI_QUERY_PHYSICAL, 0, 2};
static const int64_t LONG = INT64_C(60000000000);
enum { A_B, B_A, SIDES };

static struct node one, two;
static struct chi_client *client;
static struct {
    pid_t pid;
    int out;
    char control[160];
} wire;

static void wire_start(const char *settings, const char *cores)
{
    char a[220], b[220], log[160];
    snprintf(a, sizeof a, "net_memif0,role=server,socket=%s/memif1.sock", test_dir);
    snprintf(b, sizeof b, "net_memif1,role=server,socket=%s/memif2.sock", test_dir);
    snprintf(log, sizeof log, "%s/wire.log", test_dir);
    snprintf(wire.control, sizeof wire.control, "%s/wire.sock", test_dir);
    const char *const argv[] = {CHI_WIRE, "--a",    a,           "--b",        b,
                                "--mtu",  "9000",   "--control", wire.control, "--set",
                                settings, "--seed", "7",         "--json",     cores ? "--cores" : NULL,
                                cores,    NULL};
    wire.pid = program_start(argv, log, "\"ready\":true", &wire.out);
}

/* SIGTERM; the summary, a new reference. */
static json_t *wire_stop(void)
{
    int status;
    assert_int_equal(kill(wire.pid, SIGTERM), 0);
    FILE *f = fdopen(wire.out, "r");
    json_error_t e;
    json_t *summary = json_loadf(f, 0, &e);
    fclose(f);
    assert_int_equal(waitpid(wire.pid, &status, 0), wire.pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    wire.pid = 0;
    return summary;
}

/* What a running one answers to --set, and to --stats with NULL: a new reference. */
static json_t *ask(const char *settings)
{
    char out[4096];
    const char *const set[] = {CHI_WIRE, "--control", wire.control, "--json", "--set", settings, NULL};
    const char *const stats[] = {CHI_WIRE, "--control", wire.control, "--json", "--stats", NULL};
    int rc = run_program(out, sizeof out, settings ? set : stats);
    if (rc)
        fail_msg("chi-wire ended with %d: %s", rc, out);
    json_error_t e;
    json_t *answer = json_loads(out, 0, &e);
    assert_non_null(answer);
    return answer;
}

static void set(const char *settings)
{
    json_decref(ask(settings));
}

static uint64_t field(const json_t *stats, int side, const char *name)
{
    json_t *v = json_object_get(json_array_get(json_object_get(stats, "directions"), (size_t)side), name);
    assert_true(json_is_integer(v));
    return (uint64_t)json_integer_value(v);
}

static uint64_t counter(int side, const char *name)
{
    json_t *stats = ask(NULL);
    uint64_t v = field(stats, side, name);
    json_decref(stats);
    return v;
}

static enum chi_status ping(uint32_t timeout_us)
{
    struct echo_ping t = ping_to(there, 77);
    t.task.timeout_us = timeout_us;
    chi_submit(client, &t.task);
    enum chi_status st = chi_wait(client, &t.task, LONG);
    if (st == CHI_STATUS_OK)
        assert_int_equal(t.value, 77);
    return st;
}

/* Regions of sizes around what fits into packets, each way; then pings, many at once. */
static void tasks_go_through(void)
{
    enum { PINGS = 200, ROUNDS = 5 };
    static const uint64_t sizes[] = {0, 1, 8972, 65536, 500003};
    const size_t n = sizeof sizes / sizeof sizes[0];
    static struct echo_ping t[PINGS];
    for (size_t i = 0; i < n * n; i++)
        assert_int_equal(io_check(client, there, sizes[i / n], sizes[i % n], i), CHI_STATUS_OK);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < PINGS; i++) {
            t[i] = ping_to(there, (uint64_t)(round * PINGS + i));
            assert_int_equal(chi_submit(client, &t[i].task), CHI_STATUS_PENDING);
        }
        for (int i = 0; i < PINGS; i++) {
            assert_int_equal(chi_wait(client, &t[i].task, LONG), CHI_STATUS_OK);
            assert_int_equal(t[i].value, round * PINGS + i);
        }
    }
}

/* Tasks that node 2 ran for node 1, by its workers. */
static uint64_t runs(void)
{
    json_t *list = node_call(&two, "worker.list"), *w;
    uint64_t sum = 0;
    size_t i;
    json_array_foreach(list, i, w) sum += (uint64_t)json_integer_value(json_object_get(w, "tasks_remote"));
    json_decref(list);
    return sum;
}

static bool nothing_open(void *arg)
{
    (void)arg;
    return node_peer(&one, 2, "open_out") == 0 && node_peer(&two, 1, "open_in") == 0 &&
           node_peer(&one, 2, "in_flight") == 0 && node_peer(&two, 1, "in_flight") == 0;
}

struct counts {
    uint64_t out, in, runs, answers;
};
static struct counts counts(void)
{
    until(nothing_open, NULL, "no message is open on either side");
    return (struct counts){node_peer(&one, 2, "tasks_out"), node_peer(&two, 1, "tasks_in"), runs(),
                           node_peer(&one, 2, "answers_in")};
}

/* Each task that went out since then came there once, ran once and was answered once. */
static void each_ran_once(struct counts since)
{
    struct counts now = counts();
    assert_true(now.out > since.out);
    assert_int_equal(now.in - since.in, now.out - since.out);
    assert_int_equal(now.runs - since.runs, now.out - since.out);
    assert_int_equal(now.answers - since.answers, now.out - since.out);
}

/* Every packet is accounted for. */
static void nothing_is_missing(const json_t *stats)
{
    static const char *const ends[] = {"sent",     "lost",      "queue_drops", "cut",
                                       "too_long", "no_memory", "unsent",      "under_way", "over_mtu"};
    for (int side = A_B; side < SIDES; side++) {
        uint64_t in = field(stats, side, "received") + field(stats, side, "duplicated"), out = 0;
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
            out += field(stats, side, ends[i]);
        assert_int_equal(in, out);
        assert_int_equal(field(stats, side, "too_long"), 0);
        assert_int_equal(field(stats, side, "no_memory"), 0);
    }
}

static void wire__perfect_passes_all_as_it_came(void **state)
{
    struct counts before = counts();
    (void)state;
    tasks_go_through();
    each_ran_once(before);
    json_t *stats = ask(NULL);
    nothing_is_missing(stats);
    for (int side = A_B; side < SIDES; side++) {
        assert_true(field(stats, side, "received") > 100);
        assert_int_equal(field(stats, side, "sent") + field(stats, side, "unsent"), field(stats, side, "received"));
        assert_int_equal(field(stats, side, "sent_bytes"), field(stats, side, "received_bytes"));
        assert_int_equal(field(stats, side, "reordered"), 0);
        assert_int_equal(field(stats, side, "corrupted"), 0);
        assert_int_equal(field(stats, side, "truncated"), 0);
    }
    json_decref(stats);
    /* No packet came twice or damaged.  (Frames may: a node that the machine let wait looks like a loss to the other one.) */
    for (int k = 0; k < 2; k++) {
        assert_int_equal(node_drop(k ? &two : &one, "DUPLICATE"), 0);
        assert_int_equal(node_drop(k ? &two : &one, "CRC"), 0);
    }
}

static void wire__bad_both_ways_and_every_task_runs_once(void **state)
{
    static const char *const fates[] = {"lost", "duplicated", "reordered", "corrupted", "truncated"};
    struct counts before = counts();
    (void)state;
    set("both: loss=1% burst=2 dup=2% reorder=2%/300us corrupt=1% truncate=1% delay=20us jitter=20us");
    for (int round = 0; round < 3; round++)
        tasks_go_through();
    set("both: clear");
    each_ran_once(before);
    json_t *stats = ask(NULL);
    nothing_is_missing(stats);
    for (int side = A_B; side < SIDES; side++)
        for (size_t i = 0; i < sizeof fates / sizeof fates[0]; i++)
            if (!field(stats, side, fates[i]))
                fail_msg("of %llu packets none was %s", (unsigned long long)field(stats, side, "received"), fates[i]);
    json_decref(stats);
    assert_true(node_drop(&one, "CRC") + node_drop(&two, "CRC") > 0); /* the damage came there */
    assert_true(node_peer(&two, 1, "duplicates") > 0);
    assert_true(node_peer(&one, 2, "retransmits") > 0);
}

/* A part is there long before the whole: the module works on it, and sends what came of it. */
static void wire__stream_starts_early_whatever_is_lost(void **state)
{
    struct counts before = counts();
    (void)state;
    set("both: loss=1% dup=1% reorder=1%/300us");
    assert_true(stream_check(client, there, 16 << 20, 0, 1) > 0);
    assert_true(stream_check(client, there, 16 << 20, 5 << 20, 2) > 0); /* answered when a third is there */
    set("both: clear");
    each_ran_once(before);
}

static void wire__one_way_cut_ends_tasks_by_deadline_and_heals(void **state)
{
    static const char *const cuts[SIDES] = {"a-b: cut=yes", "b-a: cut=yes"};
    (void)state;
    for (int side = A_B; side < SIDES; side++) {
        assert_int_equal(ping(60000000), CHI_STATUS_OK);
        set(cuts[side]);
        uint64_t before = counter(side, "cut"), other = counter(!side, "cut");
        assert_int_equal(ping(300000), CHI_STATUS_DEADLINE);
        assert_true(counter(side, "cut") > before);
        assert_int_equal(counter(!side, "cut"), other);
        set("both: cut=no");
        assert_int_equal(ping(60000000), CHI_STATUS_OK);
        assert_int_equal(io_check(client, there, 70000, 70000, 3), CHI_STATUS_OK);
    }
}

static void wire__small_queue_of_a_rate_drops_and_tasks_go_through(void **state)
{
    (void)state;
    set("both: rate=20M queue=12K"); /* a packet and a bit: two that follow each other within 3.6 ms do not fit */
    assert_int_equal(io_check(client, there, 300000, 300000, 5), CHI_STATUS_OK);
    assert_true(counter(A_B, "queue_drops") + counter(B_A, "queue_drops") > 0); /* congestion control may spare one of them */
    set("both: clear");
}

static bool packets_are(void *arg)
{
    uint64_t want = *(const uint64_t *)arg;
    assert_int_equal(io_check(client, there, 70000, 70000, 6), CHI_STATUS_OK);
    return node_peer(&one, 2, "packet_bytes") == want && node_peer(&two, 1, "packet_bytes") == want;
}

/* While tasks go on: what no longer passes goes in smaller packets, and in large ones when these pass again. */
static void wire__mtu_that_changes_changes_the_packets(void **state)
{
    static const struct { const char *settings; uint64_t bytes; } steps[] = {
        {"both: mtu=1500", 1472}, {"both: mtu=0", 8972}, {"a-b: mtu=4100; b-a: mtu=4100", 4000}, {"both: clear", 8972}};
    uint64_t bytes = 8972;
    (void)state;
    until(packets_are, &bytes, "packets are as long as the ports take");
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct counts before = counts();
        static struct echo_ping t[50];
        for (int k = 0; k < 50; k++) {
            t[k] = ping_to(there, (uint64_t)k);
            assert_int_equal(chi_submit(client, &t[k].task), CHI_STATUS_PENDING);
        }
        set(steps[i].settings);
        assert_int_equal(io_check(client, there, 3000000, 3000000, i), CHI_STATUS_OK);
        for (int k = 0; k < 50; k++)
            assert_int_equal(chi_wait(client, &t[k].task, LONG), CHI_STATUS_OK);
        bytes = steps[i].bytes;
        until(packets_are, &bytes, steps[i].settings);
        each_ran_once(before);
    }
    assert_true(counter(A_B, "over_mtu") > 0 && counter(B_A, "over_mtu") > 0);
    json_t *stats = ask(NULL);
    nothing_is_missing(stats);
    json_decref(stats);
}

/* A new session, whose window grows until there is a sign; delay is none here. */
static void wire__marks_keep_the_queue_short(void **state)
{
    (void)state;
    set("both: rate=400M queue=512K ecn=64K");
    for (int i = 0; i < 2; i++)
        assert_int_equal(io_check(client, there, 3000000, 1000, i), CHI_STATUS_OK);
    assert_true(counter(A_B, "marked") > 0);
    assert_int_equal(counter(A_B, "queue_drops"), 0);
    assert_true(node_peer(&one, 2, "marks_tx") > 0);
    assert_true(node_peer(&two, 1, "marks_rx") >= node_peer(&one, 2, "marks_tx"));
    assert_true(node_peer(&one, 2, "cuts") > 0);
}

static void wire__a_wrong_setting_is_refused_and_changes_nothing(void **state)
{
    char out[1024];
    const char *const argv[] = {CHI_WIRE, "--control", wire.control, "--set", "both: loss=2% dlay=1ms", NULL};
    (void)state;
    set("both: clear delay=3us");
    assert_int_equal(run_program(out, sizeof out, argv), 1);
    assert_non_null(strstr(out, "there is no setting 'dlay'; did you mean delay?"));
    assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
    json_t *answer = ask("b-a: jitter=1us");
    assert_string_equal(
        json_string_value(json_object_get(answer, "a-b")),
        "loss=0 burst=1 dup=0 reorder=0 corrupt=0 truncate=0 delay=3us jitter=0 rate=0 queue=256K ecn=0 mtu=0 cut=no");
    json_decref(answer);
    set("both: clear");
}

static void wire__daemon_that_dies_and_comes_back_is_joined_again(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        node_kill(&two);
        enum chi_status st = ping(200000);
        assert_true(st == CHI_STATUS_DEADLINE || st == CHI_STATUS_UNREACHABLE);
        node_start(&two);
        st = ping(60000000); /* may still go to the life before */
        assert_true(st == CHI_STATUS_OK || st == CHI_STATUS_PEER_RESTARTED);
        assert_int_equal(ping(60000000), CHI_STATUS_OK);
        assert_int_equal(io_check(client, there, 70000, 70000, 4), CHI_STATUS_OK);
    }
    assert_true(counter(A_B, "unsent") > 0);
}

static void wire__ends_with_a_summary_and_comes_back(void **state)
{
    (void)state;
    assert_int_equal(ping(60000000), CHI_STATUS_OK);
    json_t *summary = wire_stop();
    nothing_is_missing(summary);
    assert_int_equal(json_integer_value(json_object_get(summary, "seed")), 7);
    assert_true(field(summary, A_B, "sent") > 0);
    json_decref(summary);
    assert_int_equal(access(wire.control, F_OK), -1);
    assert_int_equal(ping(200000), CHI_STATUS_DEADLINE);
    wire_start("both: delay=10us", "0,0"); /* a thread for each direction now */
    assert_int_equal(ping(60000000), CHI_STATUS_OK);
    struct counts before = counts();
    tasks_go_through();
    each_ran_once(before);
}

static void wire__idle_uses_little(void **state)
{
    (void)state;
    expect_idle(wire.pid);
}

static int setup_with(void **state, const char *limits)
{
    const struct node_options a = {.peer = 2, .wire = true, .limits = limits}, b = {.peer = 1, .wire = true, .limits = limits};
    if (folder_setup(state))
        return -1;
    wire_start("both: clear", NULL);
    node_configure(&one, 1, &a);
    node_configure(&two, 2, &b);
    node_start(&one);
    node_start(&two);
    client = node_connect(&one);
    return 0;
}

static int setup(void **state) { return setup_with(state, "task_timeout_ms: 60000, peer_silence_ms: 60000"); }

/* With a round trip that no queue here reaches. */
static int setup_without_target(void **state)
{
    return setup_with(state, "task_timeout_ms: 60000, peer_silence_ms: 60000, delay_target_us: 1000000");
}

static int teardown(void **state)
{
    chi_disconnect(client);
    pair_stop(&one, &two);
    json_decref(wire_stop());
    return folder_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wire__perfect_passes_all_as_it_came),
        cmocka_unit_test(wire__bad_both_ways_and_every_task_runs_once),
        cmocka_unit_test(wire__stream_starts_early_whatever_is_lost),
        cmocka_unit_test(wire__one_way_cut_ends_tasks_by_deadline_and_heals),
        cmocka_unit_test(wire__small_queue_of_a_rate_drops_and_tasks_go_through),
        cmocka_unit_test(wire__mtu_that_changes_changes_the_packets),
        cmocka_unit_test(wire__a_wrong_setting_is_refused_and_changes_nothing),
        cmocka_unit_test(wire__ends_with_a_summary_and_comes_back),
        cmocka_unit_test(wire__daemon_that_dies_and_comes_back_is_joined_again),
        cmocka_unit_test(wire__idle_uses_little),
    };
    const struct CMUnitTest marks[] = {
        cmocka_unit_test(wire__marks_keep_the_queue_short),
    };
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    return failed + cmocka_run_group_tests(marks, setup_without_target, teardown);
}
