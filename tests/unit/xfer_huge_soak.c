/* A region of more than 4 GiB, all of it, each way.  The same few MiB are mapped again and again, so that nobody needs so much memory. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "xfer_net.h"

enum { MIB = 1 << 20, WINDOW = 16 };
static uint32_t ended, running;

static void fill(uint8_t *p, uint64_t n, uint32_t key)
{
    for (uint64_t i = 0; i < n; i++)
        p[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + key);
}

static void done(struct end *e, const struct xfer_event *ev)
{
    assert_int_equal(net_ended(e, ev)->status, CHI_STATUS_OK);
    ended++;
}

enum { PERIOD = 3 * MIB }; /* does not divide 4 GiB: what goes wrong by so much lies at another place of it */
static const uint64_t HUGE_BYTES = (UINT64_C(4) << 30) + 5 * MIB + 17, HUGE_BACK = (UINT64_C(4) << 30) + 4 * MIB + 5;

struct cycle {
    uint8_t *base;
    uint64_t bytes; /* of address space */
};
static struct cycle cycle_map(uint64_t size)
{
    struct cycle c = {.bytes = (size + PERIOD - 1) / PERIOD * PERIOD};
    int fd = memfd_create("cycle", MFD_CLOEXEC);
    assert_true(fd >= 0 && ftruncate(fd, PERIOD) == 0);
    c.base = mmap(NULL, c.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(c.base != MAP_FAILED);
    for (uint64_t at = 0; at < c.bytes; at += PERIOD)
        assert_true(mmap(c.base + at, PERIOD, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == c.base + at);
    close(fd);
    return c;
}

static struct cycle here, there;
static uint8_t forth[PERIOD], back[PERIOD]; /* the two contents of a period */

static void *cycle_get(struct end *e, uint64_t size)
{
    (void)e;
    assert_int_equal(size, HUGE_BYTES);
    return there.base;
}
static void cycle_put(struct end *e, void *p, uint64_t size)
{
    (void)e;
    assert_true(p == there.base && size == HUGE_BYTES);
}
static void huge_came(struct end *e, const struct xfer_event *ev)
{
    assert_memory_equal(there.base, forth, PERIOD);
    assert_int_equal(ev->in->regions[0].size, HUGE_BYTES);
    memcpy(there.base, back, PERIOD);
    ev->in->regions[0].used = HUGE_BACK;
    running++;
    xfer_answer(e->x, ev->in, &(struct xfer_answer){.status = CHI_STATUS_OK}, e->net->now);
}

/* Written whole, then a shorter part is read back; looked at all the time, as a byte at a wrong place would soon be overwritten. */
static void region__beyond_4_GiB_is_exact_each_way(void **state)
{
    (void)state;
    struct net n = {.task = huge_came, .memory_get = cycle_get, .memory_put = cycle_put, .done = done};
    struct net_task t;
    struct xfer_peer_stats st;
    fill(forth, PERIOD, 3);
    fill(back, PERIOD, 77);
    here = cycle_map(HUGE_BYTES);
    there = cycle_map(HUGE_BYTES);
    memcpy(here.base, forth, PERIOD);
    net_open(&n, 2, WIRE_PACKET_MAX);
    for (uint32_t k = 1; k <= 2; k++) {
        struct xfer_config c = net_config(k, 1, WIRE_PACKET_MAX);
        c.window_packets = WINDOW; /* what is under way fits into a cache */
        net_start(&n, &c);
    }
    net_meet(&n, 1, 2);
    t.region[0] = (struct chi_ar_region){.ptr = here.base, .size = HUGE_BYTES, .flags = CHI_WRITE | CHI_EXPOSE};
    net_send(&n, 1, 2, &t, 1, 8);
    for (uint32_t steps = 0; ended == 0; steps++) {
        assert_true(net_step(&n));
        if (steps % 512)
            continue;
        assert_true(xfer_stats_of(n.end[1].x, 1, &st));
        if (!running && st.segment_bytes_rx > 2 * PERIOD)
            assert_memory_equal(there.base, forth, PERIOD);
        assert_true(xfer_stats_of(n.end[0].x, 2, &st));
        if (running && st.segment_bytes_rx > 2 * PERIOD)
            assert_memory_equal(here.base, back, PERIOD);
    }
    assert_int_equal(t.region[0].used, HUGE_BACK);
    assert_memory_equal(here.base, back, PERIOD);
    assert_true(xfer_stats_of(n.end[0].x, 2, &st));
    assert_true(st.segment_bytes_tx >= HUGE_BYTES && st.segment_bytes_rx >= HUGE_BACK);
    net_close(&n);
    munmap(here.base, here.bytes);
    munmap(there.base, there.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(region__beyond_4_GiB_is_exact_each_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
