#include <errno.h>
#include <sys/epoll.h>

#include "net/impl.h"

/* One port: its descriptor is put into the epoll at each sleep, because drivers make a new one when their other side
 * comes back (net_vhost).  Edge-triggered, so that nobody has to know what to read from it. */
static bool arm(struct eth *e, int epoll_fd)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
    int rc = rte_eth_dev_rx_intr_enable(e->id, 0);
    if (rc == -ENOTSUP)
        __atomic_store_n(&e->interrupts, false, __ATOMIC_RELAXED);
    if (rc)
        return false;
    int fd = rte_eth_dev_rx_intr_ctl_q_get_fd(e->id, 0);
    if (fd >= 0 && (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 || errno == EEXIST))
        return true;
    rte_eth_dev_rx_intr_disable(e->id, 0);
    return false;
}

static void disarm(const struct port_list *ports, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct eth *e = &ports->port[i]->eth;
        if (!eth_enter_st(e, ETH_RX))
            continue;
        rte_eth_dev_rx_intr_disable(e->id, 0);
        eth_leave_st(e, ETH_RX);
    }
}

bool net_wake_arm_st(struct net *n, unsigned worker, int epoll_fd)
{
    CHI_ASSERT(worker < n->workers);
    const struct port_list *ports = &net_table(n)->of[worker];
    for (unsigned i = 0; i < ports->count; i++)
        if (!ports->port[i]->eth.interrupts || !eth_link_up(&ports->port[i]->eth)) /* drivers log when asked without a link */
            return false;
    for (unsigned i = 0; i < ports->count; i++) {
        struct eth *e = &ports->port[i]->eth;
        bool armed = false;
        if (eth_enter_st(e, ETH_RX)) {
            armed = arm(e, epoll_fd);
            eth_leave_st(e, ETH_RX);
        }
        if (!armed) {
            disarm(ports, i);
            return false;
        }
    }
    return true;
}

void net_wake_disarm_st(struct net *n, unsigned worker)
{
    const struct port_list *ports = &net_table(n)->of[worker]; /* one that came since is disarmed for nothing */
    disarm(ports, ports->count);
}
