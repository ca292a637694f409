#include <string.h>

#include <rte_flow.h>

#include "net/eal.h"
#include "net/steer.h"

/* What is for a UDP port goes to a queue: validates the rule, or makes it where rule_out is not NULL.  False: the driver will not. */
static bool rule(const struct eth *e, uint16_t udp_port, uint16_t queue, struct rte_flow **rule_out)
{
    const struct rte_flow_attr attr = {.ingress = 1};
    const struct rte_flow_item_udp udp = {.hdr.dst_port = rte_cpu_to_be_16(udp_port)}, mask = {.hdr.dst_port = UINT16_MAX};
    const struct rte_flow_item pattern[] = {
        {.type = RTE_FLOW_ITEM_TYPE_ETH},
        {.type = RTE_FLOW_ITEM_TYPE_IPV4},
        {.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &udp, .mask = &mask},
        {.type = RTE_FLOW_ITEM_TYPE_END},
    };
    const struct rte_flow_action_queue to = {.index = queue};
    const struct rte_flow_action actions[] = {{.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &to}, {.type = RTE_FLOW_ACTION_TYPE_END}};
    struct rte_flow_error why;
    if (!rule_out)
        return rte_flow_validate(e->id, &attr, pattern, actions, &why) == 0;
    *rule_out = rte_flow_create(e->id, &attr, pattern, actions, &why);
    return *rule_out != NULL;
}

/* Each for the workers that have a queue; what is for another one is handed over. */
static bool rules_make(struct steer *s, const struct eth *e, uint16_t udp_port)
{
    for (uint16_t q = 0; q < e->queues; q++)
        if (!rule(e, (uint16_t)(udp_port + q), q, NULL))
            return false;
    for (; s->count < e->queues; s->count++)
        if (!rule(e, (uint16_t)(udp_port + s->count), s->count, &s->rule[s->count])) {
            steer_clear(s, e);
            return false;
        }
    return true;
}

/* A packet arrives on the queue of the number that it was sent on. */
static bool sender_chooses(const struct device *d)
{
    return d->kind == DEVICE_MEMIF || d->kind == DEVICE_RING || strncmp(d->name, "net_vhost", 9) == 0 || strncmp(d->name, "net_virtio_user", 15) == 0;
}

void steer_set(struct steer *s, const struct eth *e, uint16_t udp_port)
{
    memset(s, 0, sizeof *s);
    if (e->queues == 1)
        return;
    eal_log_capture(true); /* what a driver says when it will not is no error */
    if (rules_make(s, e, udp_port))
        s->how = STEER_FLOW;
    else if (sender_chooses(&e->device))
        s->how = STEER_SENDER;
    else if (e->hashes)
        s->how = STEER_SOURCE;
    eal_log_capture(false);
}

void steer_clear(struct steer *s, const struct eth *e)
{
    struct rte_flow_error why;
    while (s->count)
        rte_flow_destroy(e->id, s->rule[--s->count], &why);
}

const char *steer_text(const struct steer *s)
{
    static const char *const text[] = {[STEER_HAND_OVER] = "hand-over", [STEER_SENDER] = "sender's queue", [STEER_SOURCE] = "source port", [STEER_FLOW] = "flow rules"};
    return text[s->how];
}
