/* Neighbours: what is learnt, what is answered, when is asked, when one makes room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "net/arp.h"
#include "net/be.h"

enum { ME = 0x0a280001, PEER = 0x0a280002, REQUEST = 1, REPLY = 2 };
#define MS 1000000ull

static const struct frame_local me = {.ip = ME, .mask = 0xffff0000, .mac = {2, 0, 0, 0, 0, 1}};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2};
static struct arp table;

static void packet(uint8_t *p, uint16_t op, uint32_t from, const uint8_t *mac, uint32_t to)
{
    struct frame_local sender = {.ip = from};
    struct arp a = {.me = sender};
    memcpy(a.me.mac, mac, 6);
    arp_request(&a, to, p);
    be16_put(p + 20, op);
}

static bool takes(uint16_t op, uint32_t from, const uint8_t *mac, uint32_t to, uint64_t now)
{
    uint8_t p[ARP_BYTES];
    bool reply;
    packet(p, op, from, mac, to);
    assert_int_equal(arp_rx(&table, p, sizeof p, now, &reply), CHI_DROP_NONE);
    return reply;
}

static bool knows(uint32_t ip, uint64_t now)
{
    bool ask;
    return arp_find(&table, ip, now, &ask) != NULL;
}

static int setup(void **state)
{
    (void)state;
    arp_init(&table, &me);
    return 0;
}

static void arp_rx__answers_a_request_and_learns(void **state)
{
    (void)state;
    uint8_t p[ARP_BYTES];
    bool reply, ask;
    packet(p, REQUEST, PEER, peer_mac, ME);
    assert_int_equal(arp_rx(&table, p, sizeof p, MS, &reply), CHI_DROP_NONE);
    assert_true(reply);
    assert_memory_equal(p, peer_mac, 6);
    assert_memory_equal(p + 6, me.mac, 6);
    assert_int_equal(be16_get(p + 20), REPLY);
    assert_memory_equal(p + 22, me.mac, 6);
    assert_int_equal(be32_get(p + 28), ME);
    assert_memory_equal(p + 32, peer_mac, 6);
    assert_int_equal(be32_get(p + 38), PEER);
    const struct frame_head *h = arp_find(&table, PEER, 2 * MS, &ask);
    assert_non_null(h);
    assert_false(ask);
    assert_memory_equal(h->bytes, peer_mac, 6);
    assert_int_equal(be32_get(h->bytes + 30), PEER);
}

static void arp_rx__learns_only_what_is_for_us(void **state)
{
    (void)state;
    assert_false(takes(REQUEST, PEER, peer_mac, ME + 7, MS)); /* somebody asks for somebody else */
    assert_false(takes(REQUEST, PEER, peer_mac, PEER, MS));   /* an announcement */
    assert_false(takes(REPLY, PEER, peer_mac, ME + 7, MS));
    assert_true(takes(REQUEST, 0, peer_mac, ME, MS));          /* is the address free: answered, no neighbour */
    assert_true(takes(REQUEST, 0x0b000001, peer_mac, ME, MS)); /* from another network */
    assert_int_equal(table.count, 0);
    assert_false(takes(REPLY, PEER, peer_mac, ME, MS));
    assert_true(knows(PEER, MS));
}

static void arp_rx__updates_one_that_is_known(void **state)
{
    (void)state;
    static const uint8_t other[6] = {2, 0, 0, 0, 0, 9};
    bool ask;
    assert_false(takes(REPLY, PEER, peer_mac, ME, MS));
    assert_false(takes(REQUEST, PEER, other, PEER, 2 * MS));
    assert_memory_equal(arp_find(&table, PEER, 3 * MS, &ask)->bytes, other, 6);
    assert_int_equal(table.count, 1);
}

static void arp_rx__drops_what_is_malformed(void **state)
{
    (void)state;
    static const struct {
        uint32_t at;
        uint8_t value;
    } wrong[] = {{15, 2}, {16, 7}, {18, 5}, {19, 6}, {21, 3}, {21, 0}, {22, 3} /* multicast */};
    uint8_t p[ARP_BYTES];
    bool reply;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        packet(p, REQUEST, PEER, peer_mac, ME);
        p[wrong[i].at] = wrong[i].value;
        assert_int_equal(arp_rx(&table, p, sizeof p, MS, &reply), CHI_DROP_LINK_ARP);
        assert_false(reply);
    }
    packet(p, REQUEST, PEER, peer_mac, ME);
    assert_int_equal(arp_rx(&table, p, ARP_BYTES - 1, MS, &reply), CHI_DROP_LINK_ARP);
    memset(p + 22, 0, 6); /* no link address */
    assert_int_equal(arp_rx(&table, p, ARP_BYTES, MS, &reply), CHI_DROP_LINK_ARP);
    packet(p, REPLY, ME, peer_mac, ME); /* our own address */
    assert_int_equal(arp_rx(&table, p, ARP_BYTES, MS, &reply), CHI_DROP_LINK_ARP);
    assert_int_equal(table.count, 0);
}

static void arp_find__asks_once_in_a_while(void **state)
{
    (void)state;
    bool ask;
    assert_null(arp_find(&table, PEER, 5 * MS, &ask));
    assert_true(ask);
    assert_null(arp_find(&table, PEER, 104 * MS, &ask));
    assert_false(ask);
    assert_null(arp_find(&table, PEER, 105 * MS, &ask));
    assert_true(ask);
    assert_null(arp_find(&table, PEER + 1, 106 * MS, &ask)); /* each neighbour has its own pace */
    assert_true(ask);
}

static void arp_request_lost__asks_at_once(void **state)
{
    (void)state;
    uint8_t p[ARP_BYTES];
    bool ask;
    assert_null(arp_find(&table, PEER, 5 * MS, &ask));
    arp_request(&table, PEER, p);
    arp_request_lost(&table, p, sizeof p);
    assert_null(arp_find(&table, PEER, 6 * MS, &ask));
    assert_true(ask);
    be16_put(p + 12, ETHERTYPE_IPV4); /* another frame that was lost */
    arp_request_lost(&table, p, sizeof p);
    assert_null(arp_find(&table, PEER, 7 * MS, &ask));
    assert_false(ask);
}

static void arp_find__refreshes_what_is_in_use(void **state)
{
    (void)state;
    bool ask;
    takes(REPLY, PEER, peer_mac, ME, MS);
    assert_non_null(arp_find(&table, PEER, ARP_REFRESH_NS, &ask));
    assert_false(ask);
    assert_non_null(arp_find(&table, PEER, ARP_REFRESH_NS + MS, &ask)); /* asked for, and used meanwhile */
    assert_true(ask);
    assert_non_null(arp_find(&table, PEER, ARP_REFRESH_NS + 2 * MS, &ask));
    assert_false(ask);
}

static void arp_table__full(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < ARP_MAX; i++)
        takes(REPLY, PEER + i, peer_mac, ME, MS * (i + 1));
    takes(REPLY, PEER + ARP_MAX, peer_mac, ME, ARP_SILENT_NS); /* all were heard of lately */
    assert_int_equal(table.count, ARP_MAX);
    for (uint32_t i = 0; i < ARP_MAX; i++)
        assert_true(knows(PEER + i, ARP_REFRESH_NS));
    assert_false(knows(PEER + ARP_MAX, ARP_SILENT_NS));

    assert_false(knows(PEER + ARP_MAX, ARP_SILENT_NS + MS)); /* asked for: the first was silent for long enough */
    takes(REPLY, PEER + ARP_MAX, peer_mac, ME, ARP_SILENT_NS + MS);
    assert_true(knows(PEER + ARP_MAX, ARP_SILENT_NS + MS));
    assert_int_equal(table.count, ARP_MAX);
    for (uint32_t i = 1; i < ARP_MAX; i++)
        assert_true(knows(PEER + i, ARP_SILENT_NS + MS));
    assert_false(knows(PEER, ARP_SILENT_NS + MS));
}

/* Somebody sends requests in the name of every address of the network. */
static void arp_table__full_of_strangers_has_room_for_who_is_sent_to(void **state)
{
    (void)state;
    bool ask;
    uint32_t i = 0;
    takes(REPLY, PEER + i++, peer_mac, ME, MS);
    assert_true(knows(PEER, MS)); /* is sent to */
    while (table.count < ARP_MAX)
        takes(REQUEST, PEER + i++, peer_mac, ME, 2 * MS);
    takes(REQUEST, PEER + i, peer_mac, ME, 3 * MS); /* one more is not learnt */
    assert_null(arp_find(&table, PEER + ARP_MAX + 7, 4 * MS, &ask));
    assert_true(ask);
    takes(REPLY, PEER + ARP_MAX + 7, peer_mac, ME, 5 * MS);
    assert_non_null(arp_find(&table, PEER + ARP_MAX + 7, 6 * MS, &ask));
    assert_true(knows(PEER, 6 * MS));
    assert_int_equal(table.count, ARP_MAX);
}

/* Datagrams in the name of addresses where nobody is make us ask for them. */
static void arp_table__full_of_the_absent_has_room_after_a_second(void **state)
{
    (void)state;
    bool ask;
    uint32_t i = 0;
    takes(REPLY, PEER + i++, peer_mac, ME, MS);
    assert_true(knows(PEER, MS));
    while (table.count < ARP_MAX)
        assert_null(arp_find(&table, PEER + i++, 2 * MS, &ask));
    assert_true(knows(PEER, 2 * MS));
    assert_null(arp_find(&table, PEER + i, 3 * MS, &ask));
    assert_false(ask); /* they may still answer */
    assert_null(arp_find(&table, PEER + i, 2 * MS + ARP_ANSWER_NS, &ask));
    assert_true(ask);
    assert_true(knows(PEER, 2 * MS + ARP_ANSWER_NS));
    assert_null(arp_find(&table, PEER + i + 1, 2 * MS + ARP_ANSWER_NS + ARP_ROOM_NS - 1, &ask));
    assert_false(ask); /* room was looked for a moment ago */
    assert_null(arp_find(&table, PEER + i + 1, 2 * MS + ARP_ANSWER_NS + ARP_ROOM_NS, &ask));
    assert_true(ask);
}

static void arp_table__full_gives_up_strangers_first_and_the_most_silent_of_them(void **state)
{
    (void)state;
    const uint64_t late = 3 * ARP_SILENT_NS;
    bool ask;
    uint32_t i = 1;
    while (table.count < ARP_MAX - 1)
        assert_null(arp_find(&table, PEER + i++, 2 * MS, &ask));
    takes(REPLY, PEER, peer_mac, ME, MS);
    assert_true(knows(PEER, MS)); /* and is silent from then on, longer than all others */
    for (uint32_t k = 1; k < i; k++) /* all but one are asked again */
        if (k != 2)
            assert_null(arp_find(&table, PEER + k, late, &ask));
    assert_null(arp_find(&table, PEER + i, late, &ask));
    assert_true(ask);
    unsigned there = 0, second = 0;
    for (unsigned k = 0; k < table.count; k++) {
        there += table.n[k].ip == PEER;
        second += table.n[k].ip == PEER + 2;
    }
    assert_int_equal(there, 1);
    assert_int_equal(second, 0);
}

/* --- what other workers see of it */

static struct arp_view view;

static bool sees(uint32_t ip, uint64_t now, struct frame_head *out)
{
    return arp_view_find(&view, ip, now, out);
}

static int setup_view(void **state)
{
    setup(state);
    memset(&view, 0, sizeof view);
    table.view = &view;
    return 0;
}

static void arp_view__shows_who_is_known_and_wanted(void **state)
{
    (void)state;
    struct frame_head h;
    bool ask;
    assert_false(sees(PEER, MS, &h));
    takes(REQUEST, PEER, peer_mac, ME, MS);
    assert_false(sees(PEER, MS, &h)); /* nobody sent to it: it may have to make room */
    const struct frame_head *own = arp_find(&table, PEER, MS, &ask);
    assert_true(sees(PEER, MS, &h));
    assert_memory_equal(h.bytes, own->bytes, FRAME_HEADERS);
    assert_int_equal(h.sum, own->sum);
    assert_null(arp_find(&table, PEER + 1, MS, &ask)); /* the other order: sent to, then known */
    assert_false(sees(PEER + 1, MS, &h));
    takes(REPLY, PEER + 1, peer_mac, ME, 2 * MS);
    assert_true(sees(PEER + 1, 2 * MS, &h));
    assert_true(sees(PEER + 1, MS, &h)); /* by a worker whose turn began before */
    assert_int_equal(be32_get(h.bytes + 30), PEER + 1);
    assert_false(sees(PEER + 2, 2 * MS, &h));
}

static void arp_view__follows_a_new_address_and_ends_with_silence(void **state)
{
    (void)state;
    static const uint8_t other_mac[6] = {2, 0, 0, 0, 0, 9};
    struct frame_head h;
    bool ask;
    takes(REQUEST, PEER, peer_mac, ME, MS);
    arp_find(&table, PEER, MS, &ask);
    takes(REQUEST, PEER, other_mac, ME, 2 * MS);
    assert_true(sees(PEER, 2 * MS, &h));
    assert_memory_equal(h.bytes, other_mac, 6);
    assert_true(sees(PEER, 2 * MS + ARP_REFRESH_NS - 1, &h));
    assert_false(sees(PEER, 2 * MS + ARP_REFRESH_NS, &h)); /* the owner asks */
    takes(REPLY, PEER, other_mac, ME, 3 * MS + ARP_REFRESH_NS);
    assert_true(sees(PEER, 3 * MS + ARP_REFRESH_NS, &h));
}

/* Two that meet in one place: the later one is seen, and never the one under the other's name. */
static void arp_view__of_two_in_one_place(void **state)
{
    (void)state;
    struct frame_head h;
    bool ask;
    takes(REQUEST, PEER, peer_mac, ME, MS);
    arp_find(&table, PEER, MS, &ask);
    uint32_t other = PEER;
    for (; sees(PEER, MS, &h); other++) {
        assert_true(other < PEER + 60000);
        if (other == PEER)
            continue;
        setup_view(NULL);
        takes(REQUEST, PEER, peer_mac, ME, MS);
        arp_find(&table, PEER, MS, &ask);
        takes(REQUEST, other, peer_mac, ME, MS);
        arp_find(&table, other, MS, &ask);
    }
    other--;
    assert_true(sees(other, MS, &h));
    assert_int_equal(be32_get(h.bytes + 30), other);
    assert_true(knows(PEER, MS) && knows(other, MS)); /* the owner has both */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(arp_rx__answers_a_request_and_learns, setup),
        cmocka_unit_test_setup(arp_rx__learns_only_what_is_for_us, setup),
        cmocka_unit_test_setup(arp_rx__updates_one_that_is_known, setup),
        cmocka_unit_test_setup(arp_rx__drops_what_is_malformed, setup),
        cmocka_unit_test_setup(arp_find__asks_once_in_a_while, setup),
        cmocka_unit_test_setup(arp_request_lost__asks_at_once, setup),
        cmocka_unit_test_setup(arp_find__refreshes_what_is_in_use, setup),
        cmocka_unit_test_setup(arp_table__full, setup),
        cmocka_unit_test_setup(arp_table__full_of_strangers_has_room_for_who_is_sent_to, setup),
        cmocka_unit_test_setup(arp_table__full_of_the_absent_has_room_after_a_second, setup),
        cmocka_unit_test_setup(arp_table__full_gives_up_strangers_first_and_the_most_silent_of_them, setup),
        cmocka_unit_test_setup(arp_view__shows_who_is_known_and_wanted, setup_view),
        cmocka_unit_test_setup(arp_view__follows_a_new_address_and_ends_with_silence, setup_view),
        cmocka_unit_test_setup(arp_view__of_two_in_one_place, setup_view),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
