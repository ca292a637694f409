/* net_race_test.c - the neighbours that a port's owner shows to its other workers, while it changes them: who looks finds the whole of
 * what was true at some time, or nothing.  Run under ThreadSanitizer too. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "net/arp.h"
#include "net/be.h"

enum { ME = 0x0a280001, PEER = 0x0a280002, NAMES = 2, CHANGES = 200000 };

static struct arp table;
static struct arp_view view;
static uint32_t ip[NAMES]; /* two that meet in one place */

/* PEER, and the next address that takes its place. */
static void find_names(void)
{
    static const struct frame_local me = {.ip = ME, .mask = 0xffff0000, .mac = {2, 0, 0, 0, 0, 1}};
    ip[0] = PEER;
    for (ip[1] = PEER + 1; ((ip[0] * 2654435761u) ^ (ip[1] * 2654435761u)) >> (32 - ARP_VIEW_SHIFT); ip[1]++)
        ;
    arp_init(&table, &me);
    table.view = &view;
}

/* Its hardware address says which change it was, in each byte but the first. */
static void change(uint32_t from, uint8_t number)
{
    struct arp sender = {.me = {.ip = from, .mac = {2, number, number, number, number, number}}};
    uint8_t p[ARP_BYTES];
    bool reply, ask;
    arp_request(&sender, ME, p);
    assert_int_equal(arp_rx(&table, p, sizeof p, 1, &reply), CHI_DROP_NONE);
    (void)arp_find(&table, from, 1, &ask);
}

static void *owner(void *arg)
{
    for (uint32_t i = 0; i < CHANGES; i++)
        change(ip[i % NAMES], (uint8_t)(i / NAMES));
    __atomic_store_n((bool *)arg, true, __ATOMIC_RELEASE);
    return NULL;
}

static void arp_view__is_whole_while_it_changes(void **state)
{
    pthread_t thread;
    bool ended = false;
    uint64_t found = 0;
    (void)state;
    find_names();
    assert_int_equal(pthread_create(&thread, NULL, owner, &ended), 0);
    for (uint64_t i = 0; !__atomic_load_n(&ended, __ATOMIC_ACQUIRE) || i < 1000; i++) {
        struct frame_head h;
        if (!arp_view_find(&view, ip[i % NAMES], 1, &h))
            continue;
        found++;
        assert_int_equal(be32_get(h.bytes + 30), ip[i % NAMES]);
        for (int b = 2; b < 6; b++)
            assert_int_equal(h.bytes[b], h.bytes[1]);
    }
    assert_true(found > 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(arp_view__is_whole_while_it_changes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
