#include <errno.h>
#include <sys/epoll.h>

#include "net/impl.h"

/* One queue: its descriptor is put into the epoll at each sleep, because drivers make a new one when their other side
 * comes back (net_vhost).  Edge-triggered, so that nobody has to know what to read from it. */
static bool arm(const struct port_queue *q, int epoll_fd)
{
    struct eth *e = &q->port->eth;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
    int rc = rte_eth_dev_rx_intr_enable(e->id, q->queue);
    if (rc == -ENOTSUP)
        __atomic_store_n(&e->interrupts, false, __ATOMIC_RELAXED);
    if (rc)
        return false;
    int fd = rte_eth_dev_rx_intr_ctl_q_get_fd(e->id, q->queue);
    if (fd >= 0 && (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 || errno == EEXIST))
        return true;
    rte_eth_dev_rx_intr_disable(e->id, q->queue);
    return false;
}

static void disarm(const struct queue_list *own, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct port_queue *q = own->queue[i];
        if (!eth_enter_st(q->gate, ETH_RX))
            continue;
        rte_eth_dev_rx_intr_disable(q->device, q->queue);
        eth_leave_st(q->gate, ETH_RX);
    }
}

bool net_wake_arm_st(struct net *n, unsigned worker, int epoll_fd)
{
    CHI_ASSERT(worker < n->workers);
    const struct queue_list *own = &net_table(n)->of[worker];
    for (unsigned i = 0; i < own->count; i++) {
        const struct eth *e = &own->queue[i]->port->eth;
        if (!__atomic_load_n(&e->interrupts, __ATOMIC_RELAXED) || !eth_link_up(e)) /* drivers log when asked without a link */
            return false;
    }
    for (unsigned i = 0; i < own->count; i++) {
        struct port_queue *q = own->queue[i];
        bool armed = false;
        if (eth_enter_st(q->gate, ETH_RX)) {
            armed = arm(q, epoll_fd);
            eth_leave_st(q->gate, ETH_RX);
        }
        if (!armed) {
            disarm(own, i);
            return false;
        }
    }
    return true;
}

void net_wake_disarm_st(struct net *n, unsigned worker)
{
    const struct queue_list *own = &net_table(n)->of[worker]; /* one that came since is disarmed for nothing */
    disarm(own, own->count);
}
