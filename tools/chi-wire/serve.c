/* serve.c - the control thread: the socket, the signals, the first line and the last. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "control/rpc.h"
#include "tools/chictl/render.h"
#include "wire.h"

enum { WIDTH = 100 }; /* counters as a list, not as a table of twenty columns */

struct server {
    const struct options *o;
    struct forward *forward;
    struct event_base *base;
    struct event *signals[2];
    struct rpc *rpc;
    struct impair_settings set[IMPAIR_SIDES];
};

void wire_print(const json_t *result, bool json)
{
    if (json)
        json_dumpf(result, stdout, JSON_COMPACT);
    else
        render(stdout, result, WIDTH);
    if (json)
        putchar('\n');
    fflush(stdout);
}

static json_t *settings_json(const struct server *s)
{
    json_t *o = json_object();
    for (unsigned i = 0; i < IMPAIR_SIDES; i++) {
        char text[IMPAIR_TEXT_FORMAT_BYTES];
        impair_text_format(&s->set[i], text);
        json_object_set_new(o, impair_side_names[i], json_string(text));
    }
    return o;
}

static json_t *set_call(void *ctx, json_t *params, struct rpc_error *err)
{
    struct server *s = ctx;
    char why[IMPAIR_TEXT_ERROR_BYTES];
    if (impair_text_parse(json_string_value(json_object_get(params, "settings")), s->set, why))
        return rpc_fail(err, RPC_INVALID_PARAMS, "%s", why);
    forward_set(s->forward, s->set);
    return settings_json(s);
}

static json_t *stats_call(void *ctx, json_t *params, struct rpc_error *err)
{
    const struct server *s = ctx;
    (void)params;
    (void)err;
    return forward_stats(s->forward);
}

static const struct rpc_param set_params[] = {
    {"settings", RPC_STRING, true, "what to change, like 'a-b: loss=1%; b-a: cut=yes'"},
    {0},
};
static const struct rpc_method methods[] = {
    {"set", "changes settings; answers when packets that come are judged by them", set_params, set_call},
    {"stats", "what became of packets so far, and the settings", NULL, stats_call},
    {0},
};

static void on_signal(evutil_socket_t number, short what, void *ctx)
{
    struct server *s = ctx;
    (void)number;
    (void)what;
    event_base_loopbreak(s->base);
}

static int control_start(struct server *s, char *err)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    s->base = event_base_new();
    for (unsigned i = 0; s->base && i < 2; i++) {
        s->signals[i] = evsignal_new(s->base, numbers[i], on_signal, s);
        if (!s->signals[i] || evsignal_add(s->signals[i], NULL))
            s->base = NULL;
    }
    if (!s->base) {
        snprintf(err, WIRE_ERROR_BYTES, "no memory for the control loop");
        return -1;
    }
    if (!s->o->control)
        return 0;
    const struct rpc_options ro = {.socket_path = s->o->control, .methods = methods, .ctx = s};
    return rpc_start(s->base, &ro, &s->rpc, err, WIRE_ERROR_BYTES);
}

static void control_stop(struct server *s)
{
    rpc_stop(s->rpc);
    for (unsigned i = 0; i < 2; i++)
        if (s->signals[i])
            event_free(s->signals[i]);
    if (s->base)
        event_base_free(s->base);
}

static void print_ready(const struct server *s)
{
    const struct options *o = s->o;
    if (o->json) {
        json_t *line = json_pack("{s:b, s:s, s:s, s:I, s:s?, s:o}", "ready", 1, "a", o->device[0], "b", o->device[1],
                                 "seed", (json_int_t)o->seed, "control", o->control, "settings", settings_json(s));
        wire_print(line, true);
        json_decref(line);
        return;
    }
    printf("chi-wire: is ready: a is %.*s, b is %.*s, seed %llu, %s%s\n", (int)strcspn(o->device[0], ","), o->device[0],
           (int)strcspn(o->device[1], ","), o->device[1], (unsigned long long)o->seed,
           o->control ? "control socket " : "no control socket", o->control ? o->control : "");
    fflush(stdout);
}

int serve(const struct options *o)
{
    struct server s = {.o = o};
    char err[WIRE_ERROR_BYTES];
    memcpy(s.set, o->settings, sizeof s.set);
    int rc = forward_start(o, &s.forward, err);
    if (!rc)
        rc = control_start(&s, err);
    if (!rc) {
        print_ready(&s);
        event_base_dispatch(s.base);
    } else {
        fprintf(stderr, "chi-wire: %s\n", err);
    }
    control_stop(&s);
    if (s.forward) {
        forward_stop(s.forward);
        if (!rc) {
            json_t *stats = forward_stats(s.forward);
            wire_print(stats, o->json);
            json_decref(stats);
        }
        forward_close(s.forward);
    }
    return rc ? EXIT_FAILED : EXIT_FINE;
}
