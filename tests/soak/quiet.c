/* quiet.c - what the daemons show when nothing is out: all memory is back, nothing is open, the counts of both sides agree. */
#include <dirent.h>
#include <inttypes.h>
#include <unistd.h>

#include "soak.h"

enum { LARGE_MAPPING = 4 << 20, RSS_GROWTH = 256 << 10 };

static uint64_t field(const json_t *o, const char *name)
{
    json_t *v = json_object_get(o, name);
    if (!json_is_integer(v))
        fail_msg("there is no figure %s", name);
    return (uint64_t)json_integer_value(v);
}

static uint64_t sum(const json_t *list, const char *name)
{
    uint64_t v = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        v += field(json_array_get(list, i), name);
    return v;
}

static unsigned clients_at(const struct soak *s, unsigned k)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->clients; i++)
        n += s->client[i].node == k;
    return n;
}

/* What of the daemon is not back, in text; empty: all is. */
static void left_over(const struct soak *s, unsigned k, char *text, size_t cap)
{
    json_t *workers = node_call(&s->node[k], "worker.list"), *peers = node_call(&s->node[k], "peer.list"), *status = node_call(&s->node[k], "status");
    uint64_t tasks = sum(workers, "tasks_open"), memory = sum(workers, "memory_used_bytes"), clients = field(status, "clients");
    uint64_t out = sum(peers, "open_out"), in = sum(peers, "open_in"), flight = sum(peers, "in_flight");
    *text = 0;
    if (tasks || memory || out || in || flight || clients != clients_at(s, k))
        snprintf(text, cap, "node%u has %" PRIu64 " tasks, %" PRIu64 " bytes of bulk memory, %" PRIu64 " messages out and %" PRIu64
                 " in, %" PRIu64 " packets in flight, %" PRIu64 " clients", k + 1, tasks, memory, out, in, flight, clients);
    json_decref(workers);
    json_decref(peers);
    json_decref(status);
}

static uint64_t open_files(pid_t pid)
{
    char path[64];
    uint64_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2; /* . and .. */
}

/* Bulk memory and its book, task records and packets are mapped at the start, and resident as far as they were ever used: what is
 * beside these must not grow. */
static void mappings(pid_t pid, struct figures *f)
{
    char path[64], line[512];
    uint64_t from, to, kib;
    bool counts = false;
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &from, &to) == 2) {
            counts = to - from < LARGE_MAPPING || strstr(line, "[heap]");
            f->segments += strstr(line, "/memfd:chi") != NULL;
        } else if (counts && sscanf(line, "Anonymous: %" SCNu64, &kib) == 1) {
            f->rss += kib * 1024;
        }
    }
    fclose(file);
}

static void figures(const struct soak *s, unsigned k, struct figures *f)
{
    json_t *workers = node_call(&s->node[k], "worker.list"), *peers = node_call(&s->node[k], "peer.list");
    *f = (struct figures){
        .tasks_out = sum(peers, "tasks_out"),
        .tasks_in = sum(peers, "tasks_in"),
        .answers_out = sum(peers, "answers_out"),
        .answers_in = sum(peers, "answers_in"),
        .downs = sum(peers, "downs"),
        .tasks_client = sum(workers, "tasks_client"),
        .tasks_remote = sum(workers, "tasks_remote"),
        .tasks_ended = sum(workers, "tasks_ended"),
        .files = open_files(s->node[k].pid),
    };
    mappings(s->node[k].pid, f);
    json_decref(workers);
    json_decref(peers);
}

static struct {
    struct soak *s;
    char text[NODES][256];
} waits;

static bool all_is_back(void *arg)
{
    (void)arg;
    bool back = true;
    for (unsigned k = 0; k < NODES; k++) {
        left_over(waits.s, k, waits.text[k], sizeof waits.text[k]);
        back = back && !*waits.text[k];
    }
    return back;
}

void quiet(struct soak *s, struct figures out[NODES])
{
    waits.s = s;
    load_drain(s);
    for (uint64_t end = clock_ns() + s->o.hang_s * UINT64_C(1000000000); !all_is_back(NULL);) {
        load_turn(s, false);
        if (clock_ns() > end)
            soak_fail(s, "not given back: %s %s", waits.text[0], waits.text[1]);
    }
    runs_check(s);
    for (unsigned k = 0; k < NODES; k++) {
        figures(s, k, &out[k]);
        if (out[k].segments != clients_at(s, k))
            soak_fail(s, "node%u maps %" PRIu64 " segments of clients, and has %u", k + 1, out[k].segments, clients_at(s, k));
    }
}

static void equal(struct soak *s, unsigned k, const char *what, uint64_t one, uint64_t other)
{
    if (one != other)
        soak_fail(s, "node%u: %s: %" PRIu64 " and %" PRIu64, k + 1, what, one, other);
}

void quiet_counts(struct soak *s, const struct figures before[NODES], const struct figures after[NODES])
{
    for (unsigned k = 0; k < NODES && !s->overran; k++) {
        const struct figures *a = &before[k], *b = &after[k], *pa = &before[!k], *pb = &after[!k];
        equal(s, k, "peers declared down, before and after", a->downs, b->downs);
        equal(s, k, "tasks sent, and come in at the other one", b->tasks_out - a->tasks_out, pb->tasks_in - pa->tasks_in);
        equal(s, k, "tasks come in, and run", b->tasks_in - a->tasks_in, b->tasks_remote - a->tasks_remote);
        equal(s, k, "tasks come in, and answered", b->tasks_in - a->tasks_in, b->answers_out - a->answers_out);
        equal(s, k, "tasks sent, and answers come in", b->tasks_out - a->tasks_out, b->answers_in - a->answers_in);
        equal(s, k, "tasks of clients and of the other node, and ended", b->tasks_client - a->tasks_client + b->tasks_remote - a->tasks_remote,
              b->tasks_ended - a->tasks_ended);
    }
    s->overran = false;
}

/* A control connection of ours may still be on its way out. */
static void files_are_back(struct soak *s, unsigned k, uint64_t before)
{
    uint64_t now, end = clock_ns() + s->o.hang_s * UINT64_C(1000000000);
    while ((now = open_files(s->node[k].pid)) > before) {
        load_turn(s, false);
        if (clock_ns() > end)
            soak_fail(s, "node%u has %" PRIu64 " open files, and had %" PRIu64, k + 1, now, before);
    }
}

void quiet_flat(struct soak *s, const struct figures before[NODES], const struct figures after[NODES], bool same)
{
    for (unsigned k = 0; k < NODES; k++) {
        files_are_back(s, k, before[k].files);
        if (same && !SANITIZED && after[k].rss > before[k].rss + RSS_GROWTH)
            soak_fail(s, "node%u: %" PRIu64 " KiB resident beside large mappings grew to %" PRIu64, k + 1, before[k].rss >> 10, after[k].rss >> 10);
    }
}
