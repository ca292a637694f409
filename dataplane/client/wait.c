/* wait.c - waits for a task: polls, then sleeps on the wake-up and the control socket. */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/socket.h>

#include "internal.h"

enum { SPIN_ROUND = 256 }; /* polls between two looks at the clock */

static inline void cpu_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Sleeps until something has come or the time is over; 0: without limit. */
static void sleep_for(struct chi_client *c, uint64_t limit_ns)
{
    struct pollfd fds[2] = {{c->client_event, POLLIN, 0}, {c->control, POLLIN, 0}};
    struct timespec t = {(time_t)(limit_ns / 1000000000u), (long)(limit_ns % 1000000000u)};
    c->sleep_number = c->sleep_number == UINT32_MAX ? 1 : c->sleep_number + 1;
    submit_settle(c);
    shm_announce(&c->header->client_sleeps, c->sleep_number); /* pairs with the daemon's shm_settle */
    int n = 0;
    if (!shm_published(c->complete, c->mask, c->complete_at))
        n = ppoll(fds, 2, limit_ns ? &t : NULL, NULL);
    shm_awake(&c->header->client_sleeps);
    if (n <= 0)
        return;
    char waste[64];
    bool hangup = fds[0].revents && recv(c->client_event, waste, sizeof waste, MSG_DONTWAIT) == 0;
    if (hangup || fds[1].revents)
        poll_control(c, hangup);
}

/* Polls for one round; true when the task ended. */
static bool spin(struct chi_client *c, const struct chi_task *task, bool pause)
{
    for (unsigned i = 0; i < SPIN_ROUND; i++) {
        poll_once(c, POLL_WEIGHT_SPIN);
        if (task->status != CHI_STATUS_PENDING)
            return true;
        if (pause)
            cpu_pause();
    }
    return false;
}

enum chi_status chi_wait(struct chi_client *c, struct chi_task *task, int64_t timeout_ns)
{
    poll_once(c, POLL_WEIGHT_SPIN);
    if (task->status != CHI_STATUS_PENDING)
        return (enum chi_status)task->status;
    if (timeout_ns == 0)
        return CHI_STATUS_TIMED_OUT;
    /* The first round costs no clock and no pause: most answers of this host come within it. */
    if (spin(c, task, false))
        return (enum chi_status)task->status;
    uint64_t now = clock_ns();
    uint64_t end = timeout_ns < 0 ? UINT64_MAX : now + (uint64_t)timeout_ns;
    uint64_t spin_end = c->spin_us == UINT32_MAX ? UINT64_MAX : now + UINT64_C(1000) * c->spin_us;
    for (;;) {
        if (spin(c, task, true))
            return (enum chi_status)task->status;
        if (c->gone) /* a task of another client: this one has none out */
            return CHI_STATUS_DISCONNECTED;
        now = clock_ns();
        if (now >= end)
            return CHI_STATUS_TIMED_OUT;
        if (now >= spin_end)
            sleep_for(c, end == UINT64_MAX ? 0 : end - now);
    }
}
