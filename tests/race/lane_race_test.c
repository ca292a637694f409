/* lane_race_test.c - a ring and a doorbell between two threads: nothing is lost, doubled or out of order, and no wake-up is
 * missed, however the two interleave.  Run under ThreadSanitizer too. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lane/doorbell.h"
#include "lane/ring.h"

enum { ITEMS = 200000, SLOTS = 8 };

static struct ring *ring;
static struct doorbell bell;
static uint64_t payload[ITEMS]; /* written before its put, read after its get: the ring must order them */

static void *producer(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < ITEMS; i++) {
        payload[i] = i * 3u;
        struct ring_item it = {.kind = RING_RUN, .arg = i, .b = &payload[i]};
        while (!ring_try_put(ring, &it))
            sched_yield();
        doorbell_fence();
        doorbell_ring(&bell);
    }
    return NULL;
}

/* Sleeps without a time-out whenever the ring is empty: a lost wake-up hangs here, and the test's limit ends it. */
static void sleep_until_rung(void)
{
    doorbell_arm(&bell);
    if (!ring_waiting(ring)) {
        struct pollfd p = {.fd = bell.event_fd, .events = POLLIN};
        poll(&p, 1, -1);
    }
    doorbell_disarm(&bell);
    doorbell_drain(&bell);
}

static void ring__hands_every_item_over_once_and_in_order(void **state)
{
    (void)state;
    pthread_t thread;
    ring = ring_create(SLOTS);
    assert_int_equal(doorbell_init(&bell), 0);
    assert_int_equal(pthread_create(&thread, NULL, producer, NULL), 0);
    for (uint32_t next = 0; next < ITEMS;) {
        struct ring_item it;
        unsigned burst = 0;
        while (burst < SLOTS && ring_try_get(ring, &it)) {
            assert_int_equal(it.arg, next);
            assert_int_equal(*(uint64_t *)it.b, next * 3u);
            next++;
            burst++;
        }
        if (burst)
            ring_publish(ring);
        else
            sleep_until_rung();
    }
    pthread_join(thread, NULL);
    doorbell_fini(&bell);
    ring_destroy(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ring__hands_every_item_over_once_and_in_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
