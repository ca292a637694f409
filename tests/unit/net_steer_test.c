/* Flow rules, with a driver that this test plays: its functions stand in front of DPDK's of these names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <rte_flow.h>

#include "net/net.h"
#include "net/steer.h"

enum { UDP = 7440, QUEUES = 3, NEVER = 99 };

struct rte_flow {
    uint16_t udp_port, queue;
    bool there;
};
static struct rte_flow rules[8];
static unsigned made, validated, refuses_to_validate, refuses_to_make;

/* What a rule says, with all that a driver would look at. */
static struct rte_flow rule_of(const struct rte_flow_attr *attr, const struct rte_flow_item pattern[], const struct rte_flow_action actions[])
{
    static const enum rte_flow_item_type types[] = {RTE_FLOW_ITEM_TYPE_ETH, RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_UDP, RTE_FLOW_ITEM_TYPE_END};
    static const struct rte_flow_item_udp port_alone = {.hdr.dst_port = UINT16_MAX};
    assert_true(attr->ingress && !attr->egress && !attr->transfer);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pattern[i].type, types[i]);
    assert_true(!pattern[0].spec && !pattern[1].spec);
    assert_memory_equal(pattern[2].mask, &port_alone, sizeof port_alone);
    assert_int_equal(actions[0].type, RTE_FLOW_ACTION_TYPE_QUEUE);
    assert_int_equal(actions[1].type, RTE_FLOW_ACTION_TYPE_END);
    const struct rte_flow_item_udp *udp = pattern[2].spec;
    const struct rte_flow_action_queue *to = actions[0].conf;
    return (struct rte_flow){rte_be_to_cpu_16(udp->hdr.dst_port), to->index, true};
}

int rte_flow_validate(uint16_t port, const struct rte_flow_attr *attr, const struct rte_flow_item pattern[],
                      const struct rte_flow_action actions[], struct rte_flow_error *error)
{
    (void)port, (void)error;
    assert_int_equal(made, 0); /* all are looked at before one is made */
    rule_of(attr, pattern, actions);
    return validated++ == refuses_to_validate ? -1 : 0;
}

struct rte_flow *rte_flow_create(uint16_t port, const struct rte_flow_attr *attr, const struct rte_flow_item pattern[],
                                 const struct rte_flow_action actions[], struct rte_flow_error *error)
{
    (void)port, (void)error;
    if (made == refuses_to_make)
        return NULL;
    rules[made] = rule_of(attr, pattern, actions);
    return &rules[made++];
}

int rte_flow_destroy(uint16_t port, struct rte_flow *flow, struct rte_flow_error *error)
{
    (void)port, (void)error;
    assert_true(flow->there);
    flow->there = false;
    return 0;
}

static unsigned there(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < made; i++)
        n += rules[i].there;
    return n;
}

static int setup(void **state)
{
    (void)state;
    made = validated = 0;
    refuses_to_validate = refuses_to_make = NEVER;
    return 0;
}

static void steer__a_rule_for_each_queue(void **state)
{
    static struct eth e = {.queues = QUEUES, .device.kind = DEVICE_PCI};
    struct steer s;
    (void)state;
    steer_set(&s, &e, UDP);
    assert_string_equal(steer_text(&s), "flow rules");
    assert_int_equal(there(), QUEUES);
    for (uint16_t q = 0; q < QUEUES; q++) {
        assert_int_equal(rules[q].udp_port, UDP + q);
        assert_int_equal(rules[q].queue, q);
    }
    steer_clear(&s, &e);
    assert_int_equal(there(), 0);
    steer_clear(&s, &e); /* twice is as once */
}

static void steer__all_rules_or_none(void **state)
{
    static struct eth e = {.queues = QUEUES, .device.kind = DEVICE_PCI};
    struct steer s;
    (void)state;
    for (unsigned i = 0; i < QUEUES; i++) {
        setup(NULL);
        refuses_to_validate = i;
        steer_set(&s, &e, UDP);
        assert_string_equal(steer_text(&s), "hand-over");
        assert_int_equal(made, 0);
        setup(NULL);
        refuses_to_make = i;
        steer_set(&s, &e, UDP);
        assert_string_equal(steer_text(&s), "hand-over");
        assert_int_equal(made, i);
        assert_int_equal(there(), 0);
    }
}

static void steer__without_rules_the_sender_may_choose(void **state)
{
    static struct eth e = {.queues = QUEUES, .device.kind = DEVICE_MEMIF};
    struct steer s;
    (void)state;
    refuses_to_validate = 0;
    steer_set(&s, &e, UDP);
    assert_string_equal(steer_text(&s), "sender's queue");
}

static void steer__one_queue_needs_no_rule(void **state)
{
    static struct eth e = {.queues = 1, .device.kind = DEVICE_PCI};
    struct steer s;
    (void)state;
    steer_set(&s, &e, UDP);
    assert_string_equal(steer_text(&s), "hand-over");
    assert_int_equal(validated, 0);
}

static void port__has_its_rules_as_long_as_it_is_open(void **state)
{
    char err[NET_ERROR_BYTES];
    struct net *net;
    struct net_port_stats st;
    const struct net_options o = {.name = "steer test", .memory_bytes = 64 << 20, .workers = QUEUES, .udp_port = UDP};
    const struct net_port_options p = {.name = "p0", .device = "net_null0,no-rx=1", .ip = 0x0a280001, .prefix = 24, .mtu = 1500};
    (void)state;
    if (net_start(&o, &net, err) || net_port_add(net, &p, err))
        fail_msg("%s", err);
    assert_int_equal(net_port_stats(net, 0, &st), 0);
    assert_int_equal(st.queues, QUEUES);
    assert_string_equal(st.steering, "flow rules");
    assert_int_equal(there(), QUEUES);
    assert_int_equal(net_port_set_off(net, "p0", true, err), 0);
    net_reclaim(net);
    assert_int_equal(there(), QUEUES); /* it can come back at any time */
    assert_int_equal(net_port_remove(net, "p0", err), 0);
    net_reclaim(net);
    assert_int_equal(there(), 0);
    net_stop(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(steer__a_rule_for_each_queue, setup),
        cmocka_unit_test_setup(steer__all_rules_or_none, setup),
        cmocka_unit_test_setup(steer__without_rules_the_sender_may_choose, setup),
        cmocka_unit_test_setup(steer__one_queue_needs_no_rule, setup),
        cmocka_unit_test_setup(port__has_its_rules_as_long_as_it_is_open, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
