#include "doorbell.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int doorbell_init(struct doorbell *d)
{
    d->asleep = 0;
    d->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return d->event_fd < 0 ? -errno : 0;
}

void doorbell_fini(struct doorbell *d)
{
    if (d->event_fd >= 0)
        close(d->event_fd);
    d->event_fd = -1;
}

void doorbell_wake(struct doorbell *d)
{
    uint64_t one = 1;
    ssize_t n = write(d->event_fd, &one, sizeof one);
    (void)n; /* EAGAIN: the counter is full, so the sleeper is woken already */
}

void doorbell_drain(struct doorbell *d)
{
    uint64_t count;
    ssize_t n = read(d->event_fd, &count, sizeof count);
    (void)n; /* EAGAIN: another source woke us */
}
