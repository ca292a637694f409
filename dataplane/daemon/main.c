/* main.c - chimaerad --config FILE: runs the start steps, then the control loop, then the steps' ends in reverse. */
#include <errno.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"

enum { EXIT_USAGE = 2 };

/* Our bug: the last events of the worker that found it, then the end. */
void chi_panic(const char *file, int line, const char *expr)
{
    const struct worker *w = worker_current();
    fprintf(stderr, "chimaerad: bug at %s:%d: %s does not hold\n", file, line, expr);
    if (w) {
        uint64_t n = w->trace.n, first = n > TRACE_SIZE ? n - TRACE_SIZE : 0;
        for (uint64_t i = first; i < n; i++) {
            const struct trace_entry *e = &w->trace.e[i % TRACE_SIZE];
            fprintf(stderr, "  worker %u at %llu ns: %s %llu %llu\n", w->index, (unsigned long long)e->now_ns, e->what,
                    (unsigned long long)e->a, (unsigned long long)e->b);
        }
    }
    abort();
}

static int start_all(struct daemon *d, unsigned *done)
{
    char err[DAEMON_ERROR_BYTES] = "";
    for (*done = 0; daemon_steps[*done].name; ++*done) {
        const struct step *s = &daemon_steps[*done];
        int rc = s->start(d, err);
        if (rc) {
            fprintf(stderr, "chimaerad: %s: %s\n", s->name, err[0] ? err : strerror(-rc));
            s->stop(d);
            return rc;
        }
    }
    return 0;
}

static int run(struct daemon *d)
{
    unsigned done;
    int rc = start_all(d, &done);
    if (!rc) {
        printf("chimaerad: node %u (%s) is ready: %u worker%s, %u port%s, control socket %s\n", d->config->node.id,
               d->config->node.name, d->rt->workers, d->rt->workers == 1 ? "" : "s", d->config->ports_count,
               d->config->ports_count == 1 ? "" : "s", d->config->control.socket);
        fflush(stdout);
        event_base_dispatch(d->base);
        printf("chimaerad: stopping\n");
        fflush(stdout);
    }
    while (done-- > 0)
        daemon_steps[done].stop(d);
    return rc || d->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int check_only(const char *file)
{
    char err[DAEMON_ERROR_BYTES];
    struct config *c;
    if (config_load(file, &c, err, sizeof err)) {
        fprintf(stderr, "chimaerad: %s\n", err);
        return EXIT_FAILURE;
    }
    printf("%s: node %u (%s), %u worker%s, %u port%s, %u peer%s: valid\n", file, c->node.id, c->node.name, c->workers.count,
           c->workers.count == 1 ? "" : "s", c->ports_count, c->ports_count == 1 ? "" : "s", c->cluster.peers_count,
           c->cluster.peers_count == 1 ? "" : "s");
    config_free(c);
    return EXIT_SUCCESS;
}

/* The module of one file, by the rules that a daemon loads it by; and what its methods take. */
static int check_module(const char *file)
{
    static const uint32_t node = 1;
    struct sched s;
    char err[SCHED_ERROR_BYTES] = "out of memory";
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
    size_t n = strlen(base);
    if (n < 4 || n - 3 > SCHED_NAME_MAX || strcmp(base + n - 3, ".so") != 0) {
        fprintf(stderr, "chimaerad: %s: a module is NAME.so, with a name of at most %d bytes\n", file, SCHED_NAME_MAX);
        return EXIT_FAILURE;
    }
    char *folder = slash ? strndup(file, slash > file ? (size_t)(slash - file) : 1) : strdup("."), *name = strndup(base, n - 3);
    rcu_register_thread();
    int rc = sched_init(&s, node, &node, 1, 1);
    if (!folder || !name)
        rc = -ENOMEM;
    if (!rc)
        rc = sched_load(&s, name, (const char *const[]){folder}, 1, err);
    if (rc)
        fprintf(stderr, "chimaerad: %s\n", err);
    else
        modules_print(s.loaded);
    sched_fini(&s);
    rcu_unregister_thread();
    free(folder);
    free(name);
    return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    char *file = NULL, *module = NULL;
    int check = 0, version = 0, rc = EXIT_USAGE;
    const struct poptOption options[] = {
        {"config", 'c', POPT_ARG_STRING, &file, 0, "the configuration (see tools/config)", "FILE"},
        {"check", 0, POPT_ARG_NONE, &check, 0, "check the configuration and end", NULL},
        {"check-module", 0, POPT_ARG_STRING, &module, 0, "check a module and end, with the fields of its methods", "FILE"},
        {"version", 0, POPT_ARG_NONE, &version, 0, "print the version and end", NULL},
        POPT_AUTOHELP POPT_TABLEEND,
    };
    poptContext ctx = poptGetContext("chimaerad", argc, (const char **)argv, options, 0);
    int opt = poptGetNextOpt(ctx);
    const char *rest = poptGetArg(ctx);
    if (opt < -1)
        fprintf(stderr, "chimaerad: %s: %s (try --help)\n", poptBadOption(ctx, POPT_BADOPTION_NOALIAS), poptStrerror(opt));
    else if (rest)
        fprintf(stderr, "chimaerad: %s: no arguments are taken (try --help)\n", rest);
    else if (version)
        rc = printf("chimaerad %s\n", CHI_VERSION) < 0;
    else if (module)
        rc = check_module(module);
    else if (!file)
        fprintf(stderr, "chimaerad: --config FILE is missing; tools/config has examples\n");
    else
        rc = check ? check_only(file) : run(&(struct daemon){.config_file = file});
    poptFreeContext(ctx);
    free(file);
    free(module);
    return rc;
}
