/* wire.c - the network between the daemons: chi-wire, as a process that can be told and can be ended. */
#include <signal.h>
#include <sys/wait.h>

#include "soak.h"

#define CHI_WIRE CHI_BUILD_DIR "/bin/chi-wire"

void wire_start(struct soak *s)
{
    char a[220], b[220], seed[24];
    snprintf(a, sizeof a, "net_memif0,role=server,socket=%s/memif1.sock", test_dir);
    snprintf(b, sizeof b, "net_memif1,role=server,socket=%s/memif2.sock", test_dir);
    snprintf(s->wire.log, sizeof s->wire.log, "%s/wire.log", test_dir);
    snprintf(s->wire.control, sizeof s->wire.control, "%s/wire.sock", test_dir);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)(s->o.seed * 1000 + s->wire.starts++));
    const char *const argv[] = {CHI_WIRE, "--a",     a,        "--b",  b,         "--mtu", "9000", "--control", s->wire.control,
                                "--set",  s->wire.settings, "--seed", seed, "--json", NULL};
    s->wire.pid = program_start(argv, s->wire.log, "\"ready\":true", &s->wire.out);
}

void wire_set(struct soak *s, const char *settings)
{
    json_decref(control_call(s->wire.control, "set", json_pack("{s:s}", "settings", settings)));
}

static uint64_t field(const json_t *o, const char *name)
{
    json_t *v = json_object_get(o, name);
    assert_true(json_is_integer(v));
    return (uint64_t)json_integer_value(v);
}

static void counters_add_up(struct soak *s, const json_t *summary)
{
    static const char *const ends[] = {"sent", "lost", "queue_drops", "cut", "unsent", "under_way"};
    json_t *list = json_object_get(summary, "directions");
    assert_int_equal(json_array_size(list), 2);
    for (size_t side = 0; side < 2; side++) {
        const json_t *o = json_array_get(list, side);
        uint64_t in = field(o, "received") + field(o, "duplicated"), out = 0;
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
            out += field(o, ends[i]);
        if (in != out || field(o, "too_long") || field(o, "no_memory"))
            soak_fail(s, "chi-wire: %llu packets came, %llu are accounted for, %llu too long, %llu without memory", (unsigned long long)in,
                      (unsigned long long)out, (unsigned long long)field(o, "too_long"), (unsigned long long)field(o, "no_memory"));
    }
}

void wire_end(struct soak *s, int sig)
{
    int status;
    json_error_t e;
    kill(s->wire.pid, sig);
    FILE *f = fdopen(s->wire.out, "r");
    json_t *summary = sig == SIGTERM ? json_loadf(f, 0, &e) : NULL;
    fclose(f);
    assert_int_equal(waitpid(s->wire.pid, &status, 0), s->wire.pid);
    s->wire.pid = 0;
    if (sig != SIGTERM)
        return;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        soak_fail(s, "chi-wire ended with status 0x%x", (unsigned)status);
    counters_add_up(s, summary);
    json_decref(summary);
}
