/* shrink.c - the smallest options that still fail the same check. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim.h"

enum {
    APART_S = 60,     /* a run that does not come back by then failed */
    STEPS_LEAST = 16, /* the smallest step is such a part of the way */
};

void sim_run_apart(const struct options *o, struct outcome *out)
{
    int ends[2], status;
    pid_t child = -1;
    memset(out, 0, sizeof *out);
    if (pipe(ends) == 0)
        child = fork();
    if (child == 0) {
        signal(SIGPROF, SIG_DFL);
        setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = APART_S}, NULL); /* CPU time */
        sim_run(o, false, out);
        _exit(write(ends[1], out, sizeof *out) != sizeof *out);
    }
    if (child < 0) {
        snprintf(out->check, sizeof out->check, "no process for a run");
        return;
    }
    close(ends[1]);
    bool all = read(ends[0], out, sizeof *out) == sizeof *out;
    close(ends[0]);
    if (waitpid(child, &status, 0) != child || all)
        return;
    *out = (struct outcome){.ok = false};
    snprintf(out->check, sizeof out->check, WIFSIGNALED(status) ? "signal %d" : "ended with %d",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    memcpy(out->text, out->check, sizeof out->text);
}

/* Keeps the value when the run fails as it did. */
static bool fails_too(struct options *o, unsigned i, uint64_t value, struct outcome *out)
{
    struct outcome now;
    uint64_t had = *option_at(o, i);
    *option_at(o, i) = value;
    sim_run_apart(o, &now);
    if (!now.ok && !strcmp(now.check, out->check)) {
        *out = now;
        return true;
    }
    *option_at(o, i) = had;
    return false;
}

/* Takes an option to its simple value, or nearer to it by steps that become smaller, as long as the run fails. */
static bool reduce(struct options *o, unsigned i, struct outcome *out)
{
    uint64_t simple = option_table[i].simple, v = *option_at(o, i);
    uint64_t apart = v > simple ? v - simple : simple - v;
    bool any = false;
    if (!apart)
        return false;
    if (fails_too(o, i, simple, out))
        return true;
    for (uint64_t step = apart / 2; step && step >= apart / STEPS_LEAST;) {
        v = *option_at(o, i);
        if ((v > simple ? v - simple : simple - v) > step && fails_too(o, i, v > simple ? v - step : v + step, out))
            any = true;
        else
            step /= 2;
    }
    return any;
}

void shrink(struct options *o, struct outcome *out)
{
    sim_run_apart(o, out);
    for (bool better = !out->ok; better;) {
        better = false;
        for (unsigned i = 1; i < SIM_OPTIONS; i++)
            better |= reduce(o, i, out);
    }
}
