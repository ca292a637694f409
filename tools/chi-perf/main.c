/* chi-perf - measures latency, rate and bulk of tasks from this client, or from the daemon's perf container. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "perf.h"

volatile sig_atomic_t perf_stop;

static void on_signal(int number)
{
    (void)number;
    perf_stop = 1;
}

static void signals_catch(void)
{
    struct sigaction a = {.sa_handler = on_signal}; /* no SA_RESTART: a wait must return */
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

static uint32_t depth_for(uint32_t window)
{
    uint32_t depth = 2;
    while (depth < window)
        depth *= 2;
    return depth;
}

int main(int argc, const char **argv)
{
    static struct figures figures;
    struct options o;
    int result = options_read(&o, argc, argv);
    if (result)
        return result;
    if (o.cpu >= 0 && measure_pin(o.cpu)) {
        fprintf(stderr, "chi-perf: cannot run on core %d: right is one that this process may use\n", o.cpu);
        return EXIT_USAGE;
    }
    signals_catch();
    measure_clock_start();
    hist_init(&figures.hist);

    struct chi_client *client;
    struct chi_client_options co = {
        .bulk_bytes = client_run_bytes(&o),
        .depth = depth_for(o.from_daemon ? 2 : o.window),
        .spin_us = o.spin ? UINT32_MAX : 0,
    };
    result = chi_connect(o.socket, &co, &client);
    if (result == -ENOMEM || result == -EINVAL) {
        fprintf(stderr, "chi-perf: the daemon gives no segment of %llu bytes: a smaller --window or --size\n",
                (unsigned long long)co.bulk_bytes);
        return EXIT_ERRORS;
    }
    if (result) {
        fprintf(stderr, "chi-perf: no daemon for us on %s: %s\n", o.socket, strerror(-result));
        return EXIT_NO_DAEMON;
    }
    result = o.from_daemon ? daemon_run(&o, client, &figures) : client_run(&o, client, &figures);
    chi_disconnect(client);
    if (result == EXIT_FINE && perf_stop)
        result = EXIT_STOPPED;
    if (result == EXIT_FINE || result == EXIT_STOPPED || figures.done) {
        if (o.json)
            report_json(&o, &figures);
        else
            report_text(&o, &figures);
    }
    if (result == EXIT_FINE && (figures.errors || figures.wrong))
        result = EXIT_ERRORS;
    return result;
}
