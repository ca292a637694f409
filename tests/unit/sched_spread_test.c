/* How a task for several containers is spread: random tables, every container once, no node more than once, no more parts than allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "archive/form.h"
#include "base/prng.h"
#include "sched/spread.h"

enum { CONTAINERS = 300, NODES = 60, ROUNDS = 2000 };

static uint32_t node_of[CONTAINERS], order[CONTAINERS];
static struct sched_member members[NODES];
static struct sched_table map = {.node_of = node_of, .order = order, .members = members};
static uint32_t seen[CONTAINERS], visits[NODES + 1], hops_most;

static void table(uint32_t containers, const uint32_t *nodes)
{
    map.containers = containers;
    memcpy(node_of, nodes, containers * sizeof *nodes);
    spread_table(&map);
}

/* What fan.c does with a part, on this node and on all that it goes to. */
static void visit(const struct spread *s, uint32_t self, uint32_t most, uint32_t hops)
{
    struct spread part[NODES];
    const uint32_t *ids;
    if (self < map.member_count) {
        visits[self]++;
        uint32_t n = self >= s->low && self < s->high ? spread_on(&map, s, self, &ids) : 0;
        for (uint32_t i = 0; i < n; i++) {
            assert_true(i == 0 || ids[i] > ids[i - 1]);
            assert_int_equal(node_of[ids[i]], members[self].node);
            seen[ids[i]]++;
        }
    }
    hops_most = hops > hops_most ? hops : hops_most;
    uint32_t n = spread_split(&map, s, self, most, part), size = 0;
    assert_true(n <= most);
    for (uint32_t i = 0; i < n; i++) {
        struct chi_query q = spread_query(&map, &part[i]);
        struct spread read;
        assert_true(part[i].low >= s->low && part[i].high <= s->high && (i == 0 || part[i].low >= part[i - 1].high));
        assert_true(self < part[i].low || self >= part[i].high);
        assert_int_equal(spread_read(&map, &q, members[part[i].low].node, &read), CHI_STATUS_OK);
        assert_memory_equal(&read, &part[i], sizeof read);
        size += spread_size(&map, &part[i]);
        visit(&part[i], part[i].low, most, hops + 1);
    }
    assert_int_equal(size + (self >= s->low && self < s->high ? spread_on(&map, s, self, &ids) : 0), spread_size(&map, s));
}

static void spread__reaches_each_container_once(void **state)
{
    struct prng rng;
    (void)state;
    prng_init(&rng, 1);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t nodes[CONTAINERS], count = 1 + (uint32_t)prng_below(&rng, CONTAINERS), kinds = 1 + (uint32_t)prng_below(&rng, NODES);
        for (uint32_t k = 0; k < count; k++)
            nodes[k] = 3 + 2 * (round % 2 ? k * kinds / count : (uint32_t)prng_below(&rng, kinds));
        table(count, nodes);
        assert_true(map.in_order || round % 2 == 0);
        uint32_t first = (uint32_t)prng_below(&rng, count), n = 1 + (uint32_t)prng_below(&rng, count - first);
        struct chi_query q = round % 3 ? chi_range(first, n) : chi_broadcast();
        struct spread s;
        assert_int_equal(spread_of(&map, &q, &s), CHI_STATUS_OK);
        memset(seen, 0, sizeof seen);
        memset(visits, 0, sizeof visits);
        hops_most = 0;
        uint32_t self = (uint32_t)prng_below(&rng, map.member_count + 1), most = 2 + (uint32_t)prng_below(&rng, 6), reach = 1, deep = 0;
        visit(&s, self, most, 0);
        for (uint32_t k = 0; k < count; k++)
            assert_int_equal(seen[k], round % 3 == 0 || (k >= first && k < first + n));
        for (uint32_t m = 0; m < map.member_count; m++)
            assert_true(visits[m] <= 1);
        for (uint32_t layer = 1; reach < map.member_count + 1; deep++) /* a tree, no chain: as deep as one of `most` - 1 children */
            reach += layer *= most > 2 ? most - 1 : 2;
        assert_true(hops_most <= deep + 2);
    }
}

static void spread__knows_a_table_in_order(void **state)
{
    (void)state;
    table(4, (uint32_t[]){1, 1, 2, 2});
    assert_true(map.in_order);
    assert_int_equal(map.member_count, 2);
    uint32_t hash = map.hash;
    table(4, (uint32_t[]){1, 2, 1, 2});
    assert_false(map.in_order);
    assert_int_not_equal(map.hash, hash);
    assert_int_equal(spread_member(&map, 2), 1);
    assert_int_equal(spread_member(&map, 3), 2);
    assert_int_equal(spread_member(&map, 0), 2);
}

static void spread__skips_to_the_next_member_that_has_some(void **state)
{
    struct spread s;
    (void)state;
    table(6, (uint32_t[]){1, 2, 3, 1, 4, 4});
    struct chi_query q = chi_range(2, 4);
    assert_int_equal(spread_of(&map, &q, &s), CHI_STATUS_OK);
    s.low = 2; /* node 3 */
    assert_true(spread_skip(&map, &s));
    assert_int_equal(s.low, 3);
    assert_int_equal(spread_size(&map, &s), 2);
    assert_false(spread_skip(&map, &s));
    s.low = 0;
    assert_true(spread_skip(&map, &s)); /* node 2 has none of them */
    assert_int_equal(s.low, 2);
}

static void read__refuses_what_is_no_part_of_this_node(void **state)
{
    struct spread s = {1, 4, 1, 3}, out;
    const struct {
        struct chi_query q;
        uint32_t node;
        enum chi_status st;
    } cases[] = {
        {spread_query(&map, &s), 2, CHI_STATUS_OK}, /* filled in below */
        {spread_query(&map, &s), 3, CHI_STATUS_NO_CONTAINER}, {spread_query(&map, &s), 9, CHI_STATUS_NO_CONTAINER},
        {chi_range(1, 4), 2, CHI_STATUS_INVALID}};
    (void)state;
    table(6, (uint32_t[]){1, 1, 2, 2, 3, 3});
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chi_query q = cases[i].q;
        if (q.kind == FORM_QUERY_SPREAD)
            q.count = map.hash;
        assert_int_equal(spread_read(&map, &q, cases[i].node, &out), cases[i].st);
    }
    const struct spread wrong[] = {{1, 4, 1, 4}, {1, 4, 1, 1}, {1, 6, 1, 3}, {7, 1, 1, 3}, {1, 0, 1, 3}, {0, 2, 1, 3}, {1, 4, 0, 3}, {1, 4, 2, 3}, {1, 4, 4, 5}};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct chi_query q = spread_query(&map, &wrong[i]);
        assert_int_equal(spread_read(&map, &q, 2, &out), CHI_STATUS_NO_CONTAINER);
    }
    struct chi_query q = spread_query(&map, &s);
    q.count ^= 1;
    assert_int_equal(spread_read(&map, &q, 2, &out), CHI_STATUS_MOVED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spread__reaches_each_container_once),
        cmocka_unit_test(spread__knows_a_table_in_order),
        cmocka_unit_test(spread__skips_to_the_next_member_that_has_some),
        cmocka_unit_test(read__refuses_what_is_no_part_of_this_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
