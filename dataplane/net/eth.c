#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_log.h>

#include "net/eal.h"
#include "net/eth.h"
#include "net/fanout.h"
#include "net/watch.h"

enum {
    DESCRIPTORS = 512,
    CACHE_PACKETS = 256, /* of the pool, for each thread */
    SPARE_PACKETS = 512, /* beyond the descriptors, so that a full ring leaves some to send with */
};

/* What of the port's is for the pool, rings and caches together. */
static int pool_make(struct eth *e, uint32_t packets, char *err)
{
    uint32_t least = 2u * DESCRIPTORS * e->queues + SPARE_PACKETS;
    static unsigned made; /* a pool may outlive its port, whose number is another one's then */
    char name[RTE_MEMPOOL_NAMESIZE];
    snprintf(name, sizeof name, "chi_%u", made++);
    uint32_t room = RTE_PKTMBUF_HEADROOM + ((e->device.room_bytes + 63) & ~63u);
    if (packets < least)
        packets = least;
    e->pool = rte_pktmbuf_pool_create(name, packets, CACHE_PACKETS, CHI_CACHE_LINE, (uint16_t)room, SOCKET_ID_ANY);
    if (e->pool)
        return 0;
    return net_fail(err, -rte_errno, "%s: no memory for %u packets of %u bytes (%u MB): raise memory.size",
                    e->device.name, packets, room, (unsigned)(((uint64_t)packets * (room + 256)) >> 20) + 1);
}

/* Finds the DPDK port of a device after its probe. */
static int port_find(struct eth *e)
{
    uint16_t id;
    RTE_ETH_FOREACH_DEV(id)
    {
        struct rte_eth_dev_info info;
        if (rte_eth_dev_info_get(id, &info) == 0 && info.device &&
            strcmp(rte_dev_name(info.device), e->device.name) == 0) {
            e->id = id;
            return 0;
        }
    }
    return rte_eth_dev_get_port_by_name(e->device.name, &e->id);
}

static int probe(struct eth *e, char *err)
{
    if (e->device.kind == DEVICE_PCI && strchr(e->device.name, ':') == strrchr(e->device.name, ':')) {
        char with_domain[DEVICE_NAME_BYTES]; /* "01:00.0" */
        snprintf(with_domain, sizeof with_domain, "0000:%.40s", e->device.name);
        memcpy(e->device.name, with_domain, sizeof with_domain);
    }
    eal_log_capture(true);
    fanout_choose(e->device.kind == DEVICE_AF_PACKET);
    int rc = rte_dev_probe(e->device.line);
    fanout_choose(false);
    if (rc == 0)
        rc = port_find(e) ? -ENODEV : 0;
    eal_log_capture(false);
    if (rc == 0)
        return 0;
    if (rc == -1) /* drivers say that for anything */
        rc = -ENODEV;
    const char *hint = "look at its name and arguments, and at which drivers DPDK has";
    if (e->device.kind == DEVICE_AF_PACKET)
        hint = "run as root or with CAP_NET_RAW";
    else if (e->device.kind == DEVICE_MEMIF)
        hint = "look at socket=, its folder's permissions and id=";
    else if (e->device.kind == DEVICE_PCI)
        hint = "bind it to vfio-pci, and is its address right?";
    else if (e->device.kind == DEVICE_OTHER && !strchr(e->device.line, ','))
        hint = "it is neither a kernel interface (ip link) nor a name that a driver of DPDK knows";
    return net_fail(err, rc, "device %s cannot be opened (%s): %s", e->device.name,
                    eal_log_first()[0] ? eal_log_first() : rte_strerror(-rc), hint);
}

/* These drivers know no MTU of their own, or the kernel's interface has it: device_prepare looked. */
static bool mtu_is_ours(const struct device *d)
{
    return d->kind == DEVICE_MEMIF || d->kind == DEVICE_AF_PACKET || d->kind == DEVICE_RING || d->kind == DEVICE_NULL;
}

static int info_get(const struct eth *e, struct rte_eth_dev_info *info, char *err)
{
    int rc = rte_eth_dev_info_get(e->id, info);
    return rc ? net_fail(err, rc, "%s: the driver tells nothing about it: %s", e->device.name, rte_strerror(-rc)) : 0;
}

/* The kernel spreads what comes over all queues of these, whether somebody reads them or not. */
static bool reads_all(const struct device *d)
{
    return d->kind == DEVICE_AF_PACKET || d->kind == DEVICE_AF_XDP;
}

static int queues_choose(struct eth *e, const struct eth_options *o, char *err)
{
    struct rte_eth_dev_info info;
    int rc = info_get(e, &info, err);
    if (rc)
        return rc;
    uint16_t offered = info.max_rx_queues < info.max_tx_queues ? info.max_rx_queues : info.max_tx_queues;
    /* Both ends of a memif must be told: a server refuses a client that has more than it. */
    uint16_t n = o->wants ? o->wants : e->device.kind == DEVICE_MEMIF ? 1 : o->queues;
    if (o->wants > offered)
        return net_fail(err, -EINVAL, "%s: its driver offers %u queues: set queues: %u", e->device.name, offered, offered);
    e->queues = n < offered ? n : offered;
    if (e->queues < offered && reads_all(&e->device))
        return net_fail(err, -EINVAL, "%s: it has %u queues, and what comes in on all but %u of them would be lost: give it %u", e->device.name,
                        offered, e->queues, e->queues);
    return 0;
}

/* Sets queue q up. */
static int queue_make(struct eth *e, uint16_t q, const uint16_t descriptors[ETH_WAYS], const struct rte_eth_rxconf *rx,
                      const struct rte_eth_txconf *tx)
{
    unsigned socket = (unsigned)rte_eth_dev_socket_id(e->id);
    watch_handle_made();
    int rc = rte_eth_rx_queue_setup(e->id, q, descriptors[ETH_RX], socket, rx, e->pool);
    e->ring[q][ETH_RX] = watch_handle_made();
    rc = rc ? rc : rte_eth_tx_queue_setup(e->id, q, descriptors[ETH_TX], socket, tx);
    e->ring[q][ETH_TX] = watch_handle_made();
    return rc;
}

static int configure(struct eth *e, char *err)
{
    struct rte_eth_dev_info info;
    struct rte_eth_conf conf = {0};
    int rc = info_get(e, &info, err);
    if (rc)
        return rc;
    if (!mtu_is_ours(&e->device)) {
        if (e->mtu > info.max_mtu || e->mtu < info.min_mtu)
            return net_fail(err, -EMSGSIZE,
                            "%s: an MTU of %u is outside of what the device can do, %u to %u: set mtu: %u",
                            e->device.name, e->mtu, info.min_mtu, info.max_mtu, info.max_mtu);
        conf.rxmode.mtu = e->mtu;
    }
    e->rx_ip_checked = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
    e->rx_udp_checked = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
    conf.rxmode.offloads =
        (e->rx_ip_checked ? RTE_ETH_RX_OFFLOAD_IPV4_CKSUM : 0) | (e->rx_udp_checked ? RTE_ETH_RX_OFFLOAD_UDP_CKSUM : 0);
    conf.intr_conf.rxq = e->interrupts;
    conf.intr_conf.lsc = e->interrupts && *info.dev_flags & RTE_ETH_DEV_INTR_LSC; /* its link can be asked for by any thread */
    conf.rx_adv_conf.rss_conf.rss_hf = e->queues > 1 ? info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP) : 0;
    e->hashes = e->queues > 1 && (conf.rx_adv_conf.rss_conf.rss_hf || reads_all(&e->device));
    conf.rxmode.mq_mode = conf.rx_adv_conf.rss_conf.rss_hf ? RTE_ETH_MQ_RX_RSS : RTE_ETH_MQ_RX_NONE;
    eal_log_capture(true);
    rc = rte_eth_dev_configure(e->id, e->queues, e->queues, &conf);
    eal_log_capture(false);
    if (rc)
        return net_fail(err, rc, "%s: the driver refuses an MTU of %u or %u queues (%s): set another mtu, or queues: 1", e->device.name,
                        e->mtu, e->queues, eal_log_first()[0] ? eal_log_first() : rte_strerror(-rc));

    uint16_t descriptors[ETH_WAYS] = {DESCRIPTORS, DESCRIPTORS};
    rc = rte_eth_dev_adjust_nb_rx_tx_desc(e->id, &descriptors[ETH_RX], &descriptors[ETH_TX]);
    struct rte_eth_rxconf rx = info.default_rxconf;
    struct rte_eth_txconf tx = info.default_txconf;
    rx.offloads = conf.rxmode.offloads;
    tx.offloads = 0;
    eal_log_capture(true);
    for (uint16_t q = 0; q < e->queues && !rc; q++)
        rc = queue_make(e, q, descriptors, &rx, &tx);
    eal_log_capture(false);
    if (rc)
        return net_fail(err, rc, "%s: its queues cannot be made (%s): %s", e->device.name, rte_strerror(-rc), eal_log_first());
    return 0;
}

/* The address that its line gives it, or the port's, or one made of the IP address where the driver has none. */
static void mac_get(struct eth *e, uint32_t ip)
{
    static const uint8_t none[6];
    struct rte_ether_addr a;
    if (e->device.own_mac) {
        memcpy(e->mac, e->device.mac, 6);
        return;
    }
    if (rte_eth_macaddr_get(e->id, &a) == 0 && memcmp(a.addr_bytes, none, 6) != 0) {
        memcpy(e->mac, a.addr_bytes, 6);
        return;
    }
    uint8_t made[6] = {0x02, 0x43, (uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8), (uint8_t)ip};
    memcpy(e->mac, made, 6);
}

static int start(struct eth *e, char *err)
{
    eal_log_capture(true);
    int rc = rte_eth_dev_start(e->id);
    eal_log_capture(false);
    e->was_up = false;
    e->waits = 0;
    atomic_store_explicit(&e->served, rc == 0, memory_order_relaxed);
    if (rc && e->device.memif_client)
        rc = 0; /* nobody serves the socket yet: the watch calls again */
    else if (rc == 0)
        watch_gates_open(e);
    if (rc)
        return net_fail(err, rc, "%s does not start: %s", e->device.name,
                        eal_log_first()[0] ? eal_log_first() : rte_strerror(-rc));
    if (e->device.kind == DEVICE_MEMIF) /* from here on it would report every call that nobody answers */
        rte_log_set_level_pattern("pmd.net.memif", RTE_LOG_EMERG);
    return 0;
}

/* With interrupts and several queues where the driver takes that: some refuse when they are configured, some only when they start. */
static int bring_up(struct eth *e, const struct eth_options *o, char *err)
{
    const bool may = !mtu_is_ours(&e->device) && e->device.kind != DEVICE_AF_XDP; /* the drivers named there have no interrupts */
    e->interrupts = may;
    for (;;) {
        int rc = configure(e, err);
        rc = rc ? rc : start(e, err);
        if (rc == 0)
            return 0;
        if (e->interrupts) {
            e->interrupts = false;
        } else if (e->queues > 1 && !o->wants && !reads_all(&e->device)) {
            e->queues = 1;
            e->interrupts = may;
        } else {
            return rc;
        }
    }
}

/* An interface hands on what comes to another address only when it is promiscuous. */
static int hear_all(struct eth *e, char *err)
{
    int rc = e->device.own_mac ? rte_eth_promiscuous_enable(e->id) : 0;
    return rc ? net_fail(err, rc, "%s: %s does not become promiscuous, which mac= needs (%s): leave mac= out", e->device.name, e->device.iface,
                         rte_strerror(-rc))
              : 0;
}

static void device_remove(struct eth *e)
{
    struct rte_eth_dev_info info;
    eal_log_capture(true);
    if (e->device.own_mac)
        rte_eth_promiscuous_disable(e->id);
    rte_eth_dev_stop(e->id);
    if (rte_eth_dev_info_get(e->id, &info) == 0) {
        rte_eth_dev_close(e->id);
        if (info.device)
            rte_dev_remove(info.device);
    }
    eal_log_capture(false);
    if (e->device.kind == DEVICE_MEMIF && !e->device.memif_client)
        watch_unserve(e->device.socket);
}

static int open_line(struct eth *e, const struct eth_options *o, char *err)
{
    memset(e, 0, sizeof *e);
    e->mtu = o->mtu;
    int rc = device_prepare(&e->device, o->device, o->ip, o->mtu, o->wants ? o->wants : o->queues, o->own_socket, err);
    if (rc)
        return rc;
    rc = probe(e, err);
    if (rc)
        return rc;
    rc = queues_choose(e, o, err);
    rc = rc ? rc : pool_make(e, o->packets, err);
    rc = rc ? rc : bring_up(e, o, err);
    rc = rc ? rc : hear_all(e, err);
    if (rc) {
        watch_run(device_remove, e);
        rte_mempool_free(e->pool);
        return rc;
    }
    mac_get(e, o->ip);
    atomic_store_explicit(&e->up, eth_link_up(e), memory_order_relaxed);
    watch_add(e);
    return 0;
}

static int open_iface(struct eth *e, const struct eth_options *o, char *err)
{
    char line[64], why[NET_ERROR_BYTES] = "";
    struct eth_options by_line = *o;
    by_line.device = line;
    snprintf(line, sizeof line, "net_af_xdp_%.15s,iface=%.15s", o->device, o->device);
    if (device_iface_xdp(o->device, why) && open_line(e, &by_line, why) == 0) {
        snprintf(e->choice, sizeof e->choice, "net_af_xdp: it does at this MTU");
        return 0;
    }
    snprintf(line, sizeof line, "net_af_packet_%.15s,iface=%.15s", o->device, o->device);
    int rc = open_line(e, &by_line, err);
    snprintf(e->choice, sizeof e->choice, "net_af_packet, as with net_af_xdp %.110s", why);
    return rc;
}

int eth_open(struct eth *e, const struct eth_options *o, char *err)
{
    return device_is_iface(o->device) ? open_iface(e, o, err) : open_line(e, o, err);
}

void eth_close(struct eth *e)
{
    watch_remove(e);
    watch_run(device_remove, e);
}

void eth_pool_free(struct eth *e)
{
    rte_mempool_free(e->pool);
    e->pool = NULL;
}

bool eth_link_up(const struct eth *e)
{
    struct rte_eth_link link;
    return atomic_load_explicit(&e->gate[0].open, memory_order_acquire) && rte_eth_link_get_nowait(e->id, &link) == 0 &&
           link.link_status == RTE_ETH_LINK_UP &&
           (!e->device.iface[0] || device_iface_link(e->device.iface, e->device.ifindex) == DEVICE_LINK_UP);
}

bool eth_down_why(const struct eth *e, char *why)
{
    const struct device *d = &e->device;
    if (d->kind != DEVICE_MEMIF || atomic_load_explicit(&e->down, memory_order_relaxed) < DOWN_LONG)
        return false;
    if (!d->memif_client)
        snprintf(why, NET_WHY_BYTES, "no client connects: it needs socket=, id= and secret= as here, and queues: %u at most", e->queues);
    else if (!atomic_load_explicit(&e->served, memory_order_relaxed))
        snprintf(why, NET_WHY_BYTES, "nobody serves %s: start the other end, with role=server", d->socket);
    else
        snprintf(why, NET_WHY_BYTES, "its server refuses it: it needs queues: %u at least, id= and secret= as here, and no other client",
                 e->queues);
    return true;
}

int eth_set_mtu(struct eth *e, uint16_t mtu, char *err)
{
    const struct device *d = &e->device;
    int kernel_mtu = d->iface[0] ? device_iface_mtu(d->iface) : mtu;
    if (mtu + FRAME_HEADER_BYTES > (int)d->room_bytes)
        return net_fail(err, -EMSGSIZE, "its packets have room for an MTU of %u: remove it, and add it with that MTU",
                        d->room_bytes - FRAME_HEADER_BYTES);
    if (kernel_mtu < mtu)
        return net_fail(err, -EMSGSIZE, "the MTU of %s is %d: ip link set dev %s mtu %u", d->iface, kernel_mtu, d->iface, mtu);
    int rc = mtu_is_ours(d) || d->iface[0] ? 0 : rte_eth_dev_set_mtu(e->id, mtu);
    if (rc)
        return net_fail(err, rc, "its driver does not take an MTU of %u while it runs (%s): remove it, and add it with that MTU",
                        mtu, rte_strerror(-rc));
    e->mtu = mtu;
    return 0;
}

bool eth_keeps_packets(const struct eth *e)
{
    const enum device_kind k = e->device.kind; /* those named here copy what they are given */
    return k != DEVICE_MEMIF && k != DEVICE_AF_PACKET && k != DEVICE_AF_XDP && k != DEVICE_NULL;
}
