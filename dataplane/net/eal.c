#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include "net/eal.h"

enum { ARGS_MAX = 32, ARGS_BYTES = 4096, MB = 1 << 20, MEMORY_DEFAULT_MB = 256 };

/* A command line under construction. */
struct args {
    int count;
    size_t used;
    char *item[ARGS_MAX + 1];
    char bytes[ARGS_BYTES];
};

static struct {
    pthread_mutex_t lock;
    FILE *stream;
    bool captured, started;
    char first[NET_ERROR_BYTES / 2];
    char private_dir[64];  /* made by us for XDG_RUNTIME_DIR, "" if none */
    char runtime_dir[128]; /* the EAL's */
} eal = {.lock = PTHREAD_MUTEX_INITIALIZER};

int net_fail(char *err, int rc, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(err, NET_ERROR_BYTES, format, list);
    va_end(list);
    return rc;
}

/* Shows what DPDK says, or keeps the first line of it while captured: the later ones tell what followed from that. */
static ssize_t log_write(void *cookie, const char *text, size_t n)
{
    (void)cookie;
    pthread_mutex_lock(&eal.lock);
    bool captured = eal.captured;
    if (captured && !eal.first[0]) {
        snprintf(eal.first, sizeof eal.first, "%.*s", (int)n, text);
        eal.first[strcspn(eal.first, "\n")] = 0;
    }
    pthread_mutex_unlock(&eal.lock);
    if (!captured)
        fwrite(text, 1, n, stderr);
    return (ssize_t)n;
}

void eal_log_capture(bool on)
{
    pthread_mutex_lock(&eal.lock);
    eal.captured = on;
    if (on)
        eal.first[0] = 0;
    pthread_mutex_unlock(&eal.lock);
}

const char *eal_log_first(void)
{
    return eal.first;
}

static void args_add(struct args *a, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(a->bytes + a->used, sizeof a->bytes - a->used, format, list);
    va_end(list);
    CHI_ASSERT(n >= 0 && (size_t)n < sizeof a->bytes - a->used && a->count < ARGS_MAX);
    a->item[a->count++] = a->bytes + a->used;
    a->used += (size_t)n + 1;
}

/* One logical core 0 that floats over the CPUs which the caller may use: the EAL then pins nothing. */
static void args_add_lcore(struct args *a, const cpu_set_t *cpus)
{
    char list[2048] = "";
    size_t used = 0;
    for (int c = 0; c < CPU_SETSIZE && used < sizeof list - 16; c++)
        if (CPU_ISSET(c, cpus))
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%d", used ? "," : "", c);
    args_add(a, "--lcores");
    args_add(a, "0@(%s)", list);
}

static uint64_t huge_free_bytes(uint64_t page_bytes)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/hugepages-%llukB/free_hugepages",
             (unsigned long long)(page_bytes >> 10));
    FILE *f = fopen(path, "re");
    unsigned long long pages = 0;
    if (f) {
        if (fscanf(f, "%llu", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return pages * page_bytes;
}

/* Decides between huge and ordinary pages.  Returns 1 for huge, 0, or -errno. */
static int huge_choose(const struct net_options *o, uint64_t need_bytes, char *err)
{
    if (o->hugepages == NET_HUGE_OFF)
        return 0;
    uint64_t page_bytes = o->hugepages == NET_HUGE_1G ? 1ull << 30 : 2ull << 20;
    uint64_t have_bytes = huge_free_bytes(page_bytes);
    if (have_bytes >= need_bytes)
        return 1;
    if (o->hugepages == NET_HUGE_AUTO)
        return 0;
    unsigned long long pages = (need_bytes + page_bytes - 1) / page_bytes;
    return net_fail(err, -ENOMEM,
                    "%llu MB of huge pages are free, %llu MB are asked for: echo %llu > "
                    "/sys/kernel/mm/hugepages/hugepages-%llukB/nr_hugepages, or memory.hugepages: off",
                    (unsigned long long)(have_bytes / MB), (unsigned long long)(need_bytes / MB), pages,
                    (unsigned long long)(page_bytes >> 10));
}

static void args_build(struct args *a, const struct net_options *o, uint64_t memory_mb, bool huge,
                       const cpu_set_t *cpus)
{
    char prefix[48];
    snprintf(prefix, sizeof prefix, "chi-%s", o->name && o->name[0] ? o->name : "node");
    for (char *p = prefix; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", *p))
            *p = '_';
    args_add(a, "chimaera");
    args_add_lcore(a, cpus);
    args_add(a, "--file-prefix=%s", prefix);
    args_add(a, "--no-telemetry");
    args_add(a, "--log-level=error");
    args_add(a, "-m");
    args_add(a, "%llu", (unsigned long long)memory_mb);
    if (huge) {
        args_add(a, "--in-memory");
        args_add(a, "--single-file-segments"); /* memif's zero-copy needs it */
    } else {
        args_add(a, "--no-huge");
        args_add(a, "--no-shconf");
    }
    if (o->pci) {
        args_add(a, "-a");
        args_add(a, "0000:00:00.0"); /* probes no device now: each is probed when it is added */
    } else {
        args_add(a, "--no-pci");
        args_add(a, "--iova-mode=va");
    }
    a->item[a->count] = NULL;
}

/* The EAL wants a folder of its own; without root and XDG_RUNTIME_DIR it would share one with strangers.  Returns true
 * when the environment has to be put back. */
static bool private_dir_make(void)
{
    if (geteuid() == 0 || getenv("XDG_RUNTIME_DIR"))
        return false;
    snprintf(eal.private_dir, sizeof eal.private_dir, "/tmp/chi-run-XXXXXX");
    if (!mkdtemp(eal.private_dir)) {
        eal.private_dir[0] = 0;
        return false;
    }
    return setenv("XDG_RUNTIME_DIR", eal.private_dir, 1) == 0;
}

/* Removes what is empty; what another process uses stays. */
static void dirs_remove(void)
{
    if (eal.runtime_dir[0])
        rmdir(eal.runtime_dir);
    if (eal.private_dir[0]) {
        char path[80];
        snprintf(path, sizeof path, "%s/dpdk", eal.private_dir);
        rmdir(path);
        rmdir(eal.private_dir);
    }
    eal.runtime_dir[0] = eal.private_dir[0] = 0;
}

static int eal_start_failed(uint64_t memory_mb, bool huge, char *err)
{
    int rc = rte_errno ? -rte_errno : -EINVAL;
    return net_fail(err, rc, "DPDK does not start with %llu MB of %s pages (%s): %s", (unsigned long long)memory_mb,
                    huge ? "huge" : "ordinary", eal.first[0] ? eal.first : rte_strerror(rte_errno),
                    huge ? "free huge pages, or set memory.hugepages: off" : "lower memory.size or free memory");
}

int eal_start(const struct net_options *o, char *err)
{
    static struct args args;
    static char *argv[ARGS_MAX + 1]; /* the EAL reorders and keeps it */
    if (eal.started)
        return net_fail(err, -EALREADY, "DPDK was started in this process already: it starts once in each");
    uint64_t memory_mb = o->memory_bytes ? (o->memory_bytes + MB - 1) / MB : MEMORY_DEFAULT_MB;
    int huge = huge_choose(o, memory_mb * MB, err);
    if (huge < 0)
        return huge;

    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    int rc = pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus);
    if (rc)
        return net_fail(err, -rc, "the CPU affinity of this thread cannot be read: %s", strerror(rc));
    cookie_io_functions_t io = {.write = log_write};
    if (!eal.stream)
        eal.stream = fopencookie(NULL, "w", io);
    if (!eal.stream || rte_openlog_stream(eal.stream))
        return net_fail(err, -ENOMEM, "no memory for DPDK's log");

    memset(&args, 0, sizeof args);
    args_build(&args, o, memory_mb, huge, &cpus);
    memcpy(argv, args.item, sizeof argv);
    eal.started = true;
    bool restore = private_dir_make();
    eal_log_capture(true);
    int parsed = rte_eal_init(args.count, argv);
    eal_log_capture(false);
    if (restore)
        unsetenv("XDG_RUNTIME_DIR");
    pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
    if (parsed < 0) {
        dirs_remove();
        return eal_start_failed(memory_mb, huge, err);
    }
    snprintf(eal.runtime_dir, sizeof eal.runtime_dir, "%s", rte_eal_get_runtime_dir());
    return 0;
}

void eal_stop(void)
{
    /* No rte_eal_cleanup(): it unmaps memory that the EAL's interrupt thread still reads, and nothing ends that thread
     * (seen: SIGSEGV when a memif peer goes at the same moment).  All ports are closed; the rest goes with the process.
     */
    dirs_remove();
}
