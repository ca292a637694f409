#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "lane/doorbell.h"

static bool rung(const struct doorbell *d)
{
    struct pollfd p = {.fd = d->event_fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void doorbell_ring__wakes_who_is_armed_and_nobody_else(void **state)
{
    (void)state;
    struct doorbell d;
    assert_int_equal(doorbell_init(&d), 0);
    doorbell_fence();
    doorbell_ring(&d);
    assert_false(rung(&d));
    doorbell_arm(&d);
    assert_false(rung(&d));
    doorbell_ring(&d);
    doorbell_ring(&d); /* once is enough, twice does no harm */
    assert_true(rung(&d));
    doorbell_drain(&d);
    assert_false(rung(&d));
    doorbell_drain(&d); /* empty: does not wait */
    doorbell_disarm(&d);
    doorbell_ring(&d);
    assert_false(rung(&d));
    doorbell_wake(&d); /* whether it sleeps or not */
    assert_true(rung(&d));
    doorbell_fini(&d);
}

/* A counter that is full neither blocks nor loses the wake-up. */
static void doorbell_wake__never_waits(void **state)
{
    (void)state;
    struct doorbell d;
    assert_int_equal(doorbell_init(&d), 0);
    assert_true(fcntl(d.event_fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(d.event_fd, F_GETFD) & FD_CLOEXEC);
    const uint64_t most = UINT64_MAX - 1;
    assert_int_equal(write(d.event_fd, &most, sizeof most), sizeof most);
    doorbell_wake(&d);
    assert_true(rung(&d));
    doorbell_drain(&d);
    assert_false(rung(&d));
    doorbell_fini(&d);
    doorbell_fini(&d); /* no effect */
    assert_int_equal(d.event_fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doorbell_ring__wakes_who_is_armed_and_nobody_else),
        cmocka_unit_test(doorbell_wake__never_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
