/* panics.h - tests that a call ends in chi_panic: runs it in a child process.  For unit tests without threads. */
#pragma once
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static inline bool panics(void (*call)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL); /* cmocka's handler would report it as a failed test */
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        call();
        _exit(0);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}
