/* chi-demo - sends a file to a node in `digest` tasks of ChiMod echo, takes it back, and compares.  Used by tools/demo.
 *
 * The file's bytes are read straight into the regions that travel.  A random key makes the node change what it gives back,
 * so that bytes which never left this host cannot pass.  Figures go to standard output as KEY=VALUE, progress to standard
 * error.  Ends with 0 when all was equal, 1 when not, 2 for wrong arguments, 3 without a daemon. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "chi/client.h"
#include "chimods/echo/echo.h"

enum { CHUNK_BYTES = 1 << 20, WINDOW = 4, REACH_SECONDS = 20 };

struct demo {
    const char *socket, *path;
    uint32_t node;
    int fd;
    uint64_t file_bytes; /* as it was when opened: for the progress line only */
    struct chi_client *client;
    struct echo_digest task[WINDOW];
    uint64_t key, sent_bytes, sent_tasks, done_bytes, done_tasks;
    bool end, target_equal;
    XXH64_state_t *sent, *returned;
    unsigned shown; /* percent */
};

static const struct chi_pool_id echo_pool = {100, 0};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int usage(const char *what)
{
    fprintf(stderr, "chi-demo: %s; usage: chi-demo --socket PATH --node N --file F\n", what);
    return 2;
}

static int arguments_read(struct demo *d, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        unsigned long node = 1;
        char *end = "";
        if (i + 1 == argc)
            return usage("an argument has no value");
        if (!strcmp(argv[i], "--socket"))
            d->socket = argv[i + 1];
        else if (!strcmp(argv[i], "--file"))
            d->path = argv[i + 1];
        else if (!strcmp(argv[i], "--node"))
            d->node = (uint32_t)(node = strtoul(argv[i + 1], &end, 10));
        else
            return usage("unknown argument");
        if (*end || node < 1 || node > UINT16_MAX)
            return usage("a node is a number from 1 to 65535");
    }
    return d->socket && d->path && d->node ? 0 : usage("an argument is missing");
}

/* Reads the next piece of the file into the task's region; true when there was one, or it is the first. */
static bool piece_read(struct demo *d, struct echo_digest *t, int *error)
{
    uint64_t n = 0;
    while (n < CHUNK_BYTES) {
        ssize_t r = read(d->fd, (uint8_t *)t->in.ptr + n, CHUNK_BYTES - n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            *error = errno;
        if (r <= 0) {
            d->end = true;
            break;
        }
        n += (uint64_t)r;
    }
    t->in.size = n;
    t->back.size = n;
    t->back.used = 0;
    return n || !d->sent_tasks;
}

/* Undoes what the node did to the bytes: byte i of `back` is byte i of `in` ^ (key >> 8 * (i & 7)). */
static void key_undo(uint8_t *p, uint64_t n, uint64_t key)
{
    uint8_t k[8];
    for (unsigned i = 0; i < 8; i++)
        k[i] = (uint8_t)(key >> 8 * i);
    for (uint64_t i = 0; i < n; i++)
        p[i] ^= k[i & 7];
}

static void progress(struct demo *d)
{
    unsigned percent = d->file_bytes ? (unsigned)(d->done_bytes * 100 / d->file_bytes) : 100;
    unsigned step = isatty(STDERR_FILENO) ? 1 : 25;
    if (percent < d->shown + step)
        return;
    d->shown = percent - percent % step;
    fprintf(stderr, isatty(STDERR_FILENO) ? "\r  %u %% there and back" : "  %u %% there and back\n", d->shown);
    if (isatty(STDERR_FILENO) && percent >= 100)
        fputc('\n', stderr);
}

/* Takes the oldest task in; false after a line that says what went wrong. */
static bool piece_finish(struct demo *d, struct echo_digest *t)
{
    enum chi_status s = chi_wait(d->client, &t->task, -1);
    if (s != CHI_STATUS_OK) {
        fprintf(stderr, "chi-demo: a task to node %" PRIu32 " ended with %s: %s\n", d->node, chi_status_name(s), chi_status_text(s));
        return false;
    }
    if (t->back.used != t->in.size) {
        fprintf(stderr, "chi-demo: %" PRIu64 " of %" PRIu64 " bytes came back\n", t->back.used, t->in.size);
        return false;
    }
    if (t->digest != XXH64(t->in.ptr, t->in.size, 0))
        d->target_equal = false;
    key_undo(t->back.ptr, t->back.used, d->key);
    XXH64_update(d->returned, t->back.ptr, t->back.used);
    d->done_bytes += t->back.used;
    d->done_tasks++;
    progress(d);
    return true;
}

static bool transfer(struct demo *d)
{
    int error = 0;
    while (!d->end || d->done_tasks < d->sent_tasks) {
        struct echo_digest *t = &d->task[d->sent_tasks % WINDOW];
        if (!d->end && d->sent_tasks - d->done_tasks < WINDOW) {
            if (!piece_read(d, t, &error))
                continue;
            XXH64_update(d->sent, t->in.ptr, t->in.size);
            enum chi_status s = chi_submit(d->client, &t->task);
            if (s != CHI_STATUS_PENDING) {
                fprintf(stderr, "chi-demo: cannot submit: %s\n", chi_status_text(s));
                return false;
            }
            d->sent_bytes += t->in.size;
            d->sent_tasks++;
        } else if (!piece_finish(d, &d->task[d->done_tasks % WINDOW])) {
            return false;
        }
    }
    if (error)
        fprintf(stderr, "chi-demo: %s: %s\n", d->path, strerror(error));
    return !error;
}

/* Pings the node until it answers. */
static bool node_reach(struct demo *d)
{
    uint64_t end = now_ns() + REACH_SECONDS * 1000000000ull;
    enum chi_status s;
    do {
        struct echo_ping ping = {.value = d->key};
        ping.task.pool = echo_pool;
        ping.task.query = chi_physical(d->node);
        ping.task.method = &echo_ping_method;
        ping.task.timeout_us = 500000;
        s = chi_submit(d->client, &ping.task);
        if (s == CHI_STATUS_PENDING)
            s = chi_wait(d->client, &ping.task, -1);
        if (s == CHI_STATUS_OK)
            return ping.value == d->key;
    } while ((s == CHI_STATUS_DEADLINE || s == CHI_STATUS_UNREACHABLE || s == CHI_STATUS_PEER_DOWN) && now_ns() < end);
    fprintf(stderr, "chi-demo: node %" PRIu32 " is not reached: %s\n", d->node, chi_status_text(s));
    return false;
}

static bool tasks_make(struct demo *d)
{
    for (unsigned i = 0; i < WINDOW; i++) {
        struct echo_digest *t = &d->task[i];
        t->task.pool = echo_pool;
        t->task.query = chi_physical(d->node);
        t->task.method = &echo_digest_method;
        t->key = d->key;
        t->in.ptr = chi_bulk_alloc(d->client, CHUNK_BYTES);
        t->back.ptr = chi_bulk_alloc(d->client, CHUNK_BYTES);
        if (!t->in.ptr || !t->back.ptr) {
            fprintf(stderr, "chi-demo: no memory for %d regions of %d bytes\n", 2 * WINDOW, CHUNK_BYTES);
            return false;
        }
    }
    return true;
}

static int demo_run(struct demo *d)
{
    if (!node_reach(d) || !tasks_make(d))
        return 1;
    uint64_t start = now_ns();
    if (!transfer(d))
        return 1;
    double seconds = (double)(now_ns() - start) / 1e9;
    uint64_t sent = XXH64_digest(d->sent), returned = XXH64_digest(d->returned);
    bool ok = d->target_equal && sent == returned && d->sent_bytes == d->done_bytes;
    printf("ok=%s\nbytes=%" PRIu64 "\ntasks=%" PRIu64 "\n", ok ? "true" : "false", d->done_bytes, d->done_tasks);
    printf("digest_sent=%016" PRIx64 "\ndigest_returned=%016" PRIx64 "\n", sent, returned);
    printf("target_equal=%s\nseconds=%.6f\n", d->target_equal ? "true" : "false", seconds);
    printf("bytes_per_second=%.0f\n", (double)d->done_bytes / seconds);
    return ok && !fflush(stdout) ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct demo d = {.target_equal = true};
    int result = arguments_read(&d, argc, argv);
    if (result)
        return result;
    struct stat st;
    d.fd = open(d.path, O_RDONLY | O_CLOEXEC);
    if (d.fd < 0 || fstat(d.fd, &st)) {
        fprintf(stderr, "chi-demo: %s: %s\n", d.path, strerror(errno));
        return 2;
    }
    d.file_bytes = (uint64_t)st.st_size;
    struct chi_client_options options = {.bulk_bytes = (uint64_t)CHUNK_BYTES * (2 * WINDOW + 4), .depth = 16};
    result = chi_connect(d.socket, &options, &d.client);
    if (result) {
        fprintf(stderr, "chi-demo: no daemon on %s: %s\n", d.socket, strerror(-result));
        return 3;
    }
    d.sent = XXH64_createState();
    d.returned = XXH64_createState();
    result = 1;
    if (d.sent && d.returned && getrandom(&d.key, sizeof d.key, 0) == (ssize_t)sizeof d.key) {
        XXH64_reset(d.sent, 0);
        XXH64_reset(d.returned, 0);
        result = demo_run(&d);
    }
    chi_disconnect(d.client);
    XXH64_freeState(d.sent);
    XXH64_freeState(d.returned);
    close(d.fd);
    return result;
}
