/* main.c - chi-wire: a bad network between two ports, as a process of its own; and the client that changes a running
 * one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/chictl/call.h"
#include "wire.h"

enum { TIMEOUT_MS = 5000 };

void chi_panic(const char *file, int line, const char *expr)
{
    fprintf(stderr, "chi-wire: bug at %s:%d: %s does not hold\n", file, line, expr);
    abort();
}

/* Asks the chi-wire on o->control; the result is printed unless `silent`. */
static int ask(const struct options *o, const char *method, json_t *params)
{
    const struct call_to to = {o->control, "chi-wire",
                               "start one with --a, --b and this --control, or name another socket"};
    char err[CALL_ERROR_BYTES];
    json_t *result = NULL;
    enum call_result r = call_method(&to, method, params, TIMEOUT_MS, &result, err, sizeof err);
    if (r) {
        fprintf(stderr, "chi-wire: %s\n", err);
        return r == CALL_REFUSED ? EXIT_FAILED : EXIT_NOBODY;
    }
    wire_print(result, o->json);
    json_decref(result);
    return EXIT_FINE;
}

int main(int argc, char **argv)
{
    struct options o;
    bool done;
    int e = options_read(&o, argc, (const char **)argv, &done);
    if (e || done)
        return e;
    if (o.device[0])
        return serve(&o);
    if (o.set)
        e = ask(&o, "set", json_pack("{s:s}", "settings", o.set));
    if (!e && o.stats)
        e = ask(&o, "stats", NULL);
    return e;
}
