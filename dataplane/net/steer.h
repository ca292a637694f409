/* steer.h - how what a port receives finds the queue of the worker that it is for, where there are several.  For dataplane/net alone.
 *
 * By rules of the NIC (rte_flow), one for each worker: its UDP port, its queue; all of them or none.  Else, on a link whose other side
 * chooses the queue, by the peer, whose worker w sends on queue w.  Else, where a hash decides, by the source port, which the peer is
 * asked to change until it suits (xfer/port.c).  Else not.  A worker hands over what is not its own, however it came.
 * Control thread, after the port was started and before it is closed. */
#pragma once
#include "net/eth.h"

struct rte_flow;
enum steer_how { STEER_HAND_OVER, STEER_SENDER, STEER_SOURCE, STEER_FLOW };
struct steer {
    enum steer_how how;
    uint16_t count;
    struct rte_flow *rule[ETH_QUEUES_MAX];
};

/* Chooses, and makes the rules; worker 0 has that UDP port. */
void steer_set(struct steer *s, const struct eth *e, uint16_t udp_port);
/* Takes the rules back. */
void steer_clear(struct steer *s, const struct eth *e);
/* For people. */
const char *steer_text(const struct steer *s);
