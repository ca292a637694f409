/* workers_test.c - two nodes of two workers each on two cores: lanes of the other worker, packets for the other worker's
 * endpoint, several clients at once. */
#include <dirent.h>
#include <unistd.h>

#include "chimods/perf/perf.h"
#include "harness.h"

static struct node one, two;
static const int64_t LONG = INT64_C(60000000000);

static void ping__lanes_of_both_workers_answer(void **state)
{
    (void)state;
    enum { COUNT = 2000, WINDOW = 100 };
    static struct echo_ping t[WINDOW];
    struct chi_client *c[2] = {node_connect(&one), node_connect(&one)}; /* dealt to both workers */
    for (uint64_t i = 0; i < COUNT; i += WINDOW) {
        for (unsigned k = 0; k < WINDOW; k++) {
            t[k] = ping_to(chi_hash(i + k), i + k); /* both nodes, all lanes */
            t[k].task.timeout_us = 60000000;
            assert_int_equal(chi_submit(c[k % 2], &t[k].task), CHI_STATUS_PENDING);
        }
        for (unsigned k = 0; k < WINDOW; k++) {
            assert_int_equal(chi_wait(c[k % 2], &t[k].task, LONG), CHI_STATUS_OK);
            assert_int_equal(t[k].value, i + k);
        }
    }
    json_t *list = node_call(&one, "worker.list"), *w;
    size_t i;
    json_array_foreach (list, i, w)
        assert_true(json_integer_value(json_object_get(w, "handovers")) > 0);
    json_decref(list);
    chi_disconnect(c[0]);
    chi_disconnect(c[1]);
}

static void io__regions_are_exact_on_both_endpoints(void **state)
{
    (void)state;
    for (int client = 0; client < 2; client++) {
        struct chi_client *c = node_connect(&one);
        struct chi_client *other = node_connect(&one); /* so that the next one gets the other worker */
        for (uint64_t size = 1; size < 400000; size = size * 5 + 3) {
            assert_int_equal(io_check(c, chi_physical(2), size, size, size), CHI_STATUS_OK);
            assert_int_equal(io_check(other, chi_hash(size), size, size, size), CHI_STATUS_OK);
        }
        chi_disconnect(c);
        chi_disconnect(other);
    }
}

/* The endpoint's worker is not always the lane's. */
static void stream__on_both_nodes_and_all_lanes(void **state)
{
    (void)state;
    struct chi_client *c[2] = {node_connect(&one), node_connect(&one)};
    uint64_t early = 0;
    for (uint64_t hash = 0; hash < 16; hash++)
        early += stream_check(c[hash % 2], chi_hash(hash), 3 << 20, 0, hash);
    assert_true(early > 0);
    chi_disconnect(c[0]);
    chi_disconnect(c[1]);
}

/* The value of a line "KEY:\tVALUE" of a thread's file in /proc, or its first line when key is NULL. */
static void thread_says(pid_t pid, const char *tid, const char *file, const char *key, char *out, size_t cap)
{
    char path[320], line[256];
    snprintf(path, sizeof path, "/proc/%d/task/%s/%s", (int)pid, tid, file);
    FILE *f = fopen(path, "r");
    out[0] = 0;
    while (f && fgets(line, sizeof line, f))
        if (!key || strncmp(line, key, strlen(key)) == 0) {
            snprintf(out, cap, "%.*s", (int)strcspn(line + (key ? strlen(key) : 0), "\n"), line + (key ? strlen(key) : 0));
            break;
        }
    if (f)
        fclose(f);
}

static void workers__run_each_on_its_core(void **state)
{
    (void)state;
    char path[64], name[64], cores[64], want[16];
    unsigned seen = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)one.pid);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        unsigned k;
        thread_says(one.pid, e->d_name, "comm", NULL, name, sizeof name);
        if (sscanf(name, "chi-worker-%u", &k) != 1)
            continue;
        thread_says(one.pid, e->d_name, "status", "Cpus_allowed_list:\t", cores, sizeof cores);
        snprintf(want, sizeof want, "%u", k); /* cores: 0, 1 */
        assert_string_equal(cores, want);
        seen |= 1u << k;
    }
    closedir(d);
    assert_int_equal(seen, 3);
}

static void perf__runs_from_both_workers(void **state)
{
    (void)state;
    struct chi_client *c[2] = {node_connect(&one), node_connect(&one)};
    static struct perf_run p[2];
    for (int k = 0; k < 2; k++) {
        p[k] = (struct perf_run){.task = {.pool = {101, 0}, .query = chi_local(), .method = &perf_run_method, .timeout_us = 60000000},
                                 .echo = ECHO, .to = chi_physical(2), .window = 8, .direction = PERF_BOTH, .verify = 1, .count = 300,
                                 .size = 30000, .task_timeout_us = 60000000};
        assert_int_equal(chi_submit(c[k], &p[k].task), CHI_STATUS_PENDING);
    }
    for (int k = 0; k < 2; k++) {
        assert_int_equal(chi_wait(c[k], &p[k].task, LONG), CHI_STATUS_OK);
        assert_int_equal(p[k].done, 300);
        assert_int_equal(p[k].errors + p[k].wrong, 0);
        chi_disconnect(c[k]);
    }
}

static int setup(void **state)
{
    folder_setup(state);
    pair_start(&one, &two, &(struct node_options){.cores = "0, 1", .limits = "task_timeout_ms: 60000"},
               &(struct node_options){.cores = "0, 1"});
    return 0;
}

/* A test, not the group's teardown, whose failure cmocka does not count. */
static void stop__the_daemons_end_well(void **state)
{
    (void)state;
    pair_stop(&one, &two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ping__lanes_of_both_workers_answer),
        cmocka_unit_test(io__regions_are_exact_on_both_endpoints),
        cmocka_unit_test(stream__on_both_nodes_and_all_lanes),
        cmocka_unit_test(workers__run_each_on_its_core),
        cmocka_unit_test(perf__runs_from_both_workers),
        cmocka_unit_test(stop__the_daemons_end_well),
    };
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        return 77; /* a worker needs a core of its own: ctest counts it as skipped */
    return cmocka_run_group_tests(tests, setup, folder_teardown);
}
