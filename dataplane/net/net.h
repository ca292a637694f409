/* net.h - the port layer: DPDK ports, Ethernet, ARP, ICMP echo, IPv4, UDP.  The only folder that says rte_.
 *
 * Any ethdev by its devargs or PCI address, or a kernel interface by its name.  A port has a pair of queues for each worker where its
 * driver offers them, number w for worker w, and belongs to worker 0; else it has one pair, and belongs to the worker with the fewest
 * ports when it is added.  What comes in for another worker, and what a worker has no queue or no neighbour for, is handed over by the
 * caller.
 * Threads: start and stop by the control thread before and after the workers run; net_port_*, net_ports_* and net_reclaim by it
 * at any time; the rest by the worker named.
 * Memory: one pool of mbufs for each port, sized when it is added.  Limits: NET_PORTS_MAX. */
#pragma once
#include "chi/base.h"
#include "impair/impair.h"
#include "wire/drop.h"

enum { NET_PORTS_MAX = 8, NET_BURST = 32, NET_ERROR_BYTES = 256, NET_PACKETS = 4096, NET_IMPAIR_HELD = 1024 };
enum net_hugepages { NET_HUGE_AUTO, NET_HUGE_OFF, NET_HUGE_2M, NET_HUGE_1G };

struct net_options {
    const char *name;         /* of the node: the EAL's file prefix */
    enum net_hugepages hugepages;
    uint64_t memory_bytes;    /* for the EAL */
    uint32_t workers;
    uint16_t udp_port;        /* of worker 0; worker k: udp_port + k */
    uint32_t packets;         /* mbufs of each port; 0: NET_PACKETS, and some for each worker's cache */
    bool pci;                 /* a port will be a PCI device (net_device_is_pci); without it that bus is left alone */
};
struct net_port_options {
    const char *name;   /* for people */
    const char *device; /* "net_memif0,role=server,socket=...", "net_af_packet0,iface=veth0", "0000:01:00.0"; or "veth0" */
    uint32_t ip;        /* host order */
    uint8_t prefix;     /* 1..30 */
    uint16_t mtu;       /* IP packet, 1280..9600 */
    uint16_t queues;    /* pairs, at most one for each worker; 0: as many of them as the driver offers, but one of a memif */
};

struct net;

/* True when a device line names a PCI device: "0000:01:00.0" or "01:00.0", with or without arguments. */
bool net_device_is_pci(const char *device);

/* Initialises the EAL (once per process) with arguments made from the options.  Returns 0 and *out, or -errno with one line
 * in err (NET_ERROR_BYTES) that says what and how to mend it. */
CHI_MUST_CHECK int net_start(const struct net_options *o, struct net **out, char *err);
/* Opens, checks and starts a port.  Returns its index, or -errno with a line in err.  Checks at start: MTU against mbuf room and
 * interface, offloads only where offered; a memif device gets bsize for the MTU when its devargs have none. */
CHI_MUST_CHECK int net_port_add(struct net *n, const struct net_port_options *o, char *err);

/* Changes while workers run: from its next call on a worker sees the ports as they are then.  What it used before stays until
 * net_reclaim.  Pre of that: each worker has taken what was on its way between workers, and begun another turn since the last
 * change (runtime_settle).  Returns whether something must wait longer: it is to be called again.
 * remove: takes a port out; packets for its network are dropped (NO_ROUTE) when they come to be sent.  set_off: the same, but the
 * device stays open, and `false` puts it back.  set_mtu: not below what packets were laid out for, nor above the device's room.
 * 0; -ENOENT, -EMSGSIZE, -ENOMEM and others with a line in err, and nothing changed. */
CHI_MUST_CHECK int net_port_remove(struct net *n, const char *name, char *err);
CHI_MUST_CHECK int net_port_set_off(struct net *n, const char *name, bool off, char *err);
CHI_MUST_CHECK int net_port_set_mtu(struct net *n, const char *name, uint16_t mtu, char *err);
bool net_reclaim(struct net *n);
/* Looks after ports: takes out one whose kernel interface is gone, and opens it again when there is one of that name.  Returns whether
 * a port or its link changed since the last call: net_reclaim may be due, and net_reaches says something else. */
bool net_ports_watch(struct net *n);
/* A line about a port whose link stays down: why, in line (NET_ERROR_BYTES).  True: once for each port, and again after it was up. */
bool net_ports_complaint(struct net *n, char *line);
/* The transport is made for net_payload_max now: ports that are added must carry it. */
void net_payload_fix(struct net *n);
/* Stops and closes all ports.  The EAL's memory goes with the process: it starts once in each.  NULL is allowed. */
void net_stop(struct net *n);

/* A thread that will call the functions below announces itself first (caches of the packet pool).  0 or -errno. */
CHI_MUST_CHECK int net_thread_attach(void);
void net_thread_detach(void);

/* Monotonic nanoseconds, by the time-stamp counter where it is constant; about 10 ns.  Any thread. */
uint64_t net_now_ns(void);

/* A UDP datagram that came in, or a buffer for one that goes out; lies in the packet's own memory, so that the pointer alone
 * can be handed to another worker. */
struct net_packet {
    uint8_t *data;       /* UDP payload */
    uint32_t cap;        /* going out: room at data */
    uint32_t length;     /* of the payload */
    uint32_t ip;         /* the other side, host order */
    uint16_t port;       /* the other side's UDP port */
    uint16_t local_port; /* came in: its destination port, which is that of the worker that it is for */
    uint8_t source;      /* going out: which of its worker's source ports (frame.h) */
    bool frame;          /* came in: no datagram, but something for net_frame_st */
    uint8_t ecn;         /* the two bits of the IP header */
};

/* Polls this worker's queues.  Answers ARP and ICMP echo, learns neighbours, drops and counts what is malformed.  Returns up
 * to NET_BURST packets, datagrams mostly, each owned by the caller until net_packet_free (by any attached thread). */
unsigned net_rx_st(struct net *n, unsigned worker, uint64_t now_ns, struct net_packet **out);
/* Takes a packet that is a frame, by the worker that it is for: ARP that came in through the queue of another one. */
void net_frame_st(struct net *n, unsigned worker, struct net_packet *p, uint64_t now_ns);
void net_packet_free(struct net_packet *p);

/* A buffer for a datagram, or NULL when the pool is empty.  cap is net_payload_max. */
struct net_packet *net_packet_get_st(struct net *n, unsigned worker);

/* True when the port by which `ip` is reached sends bytes from where they lie (net_packet_tail_st). */
bool net_attaches(const struct net *n, uint32_t ip);
/* Ends a packet in `bytes` bytes that are not copied: they stay as they are until *users is one less (release; by any attached thread, when the
 * port is done with the packet, or it is dropped).  The caller fills the rest, and counts them in p->length.  Pre: net_attaches.  Where
 * the pool has no packet to attach them with, they are copied, and *users is one less at once. */
void net_packet_tail_st(struct net *n, unsigned worker, struct net_packet *p, const uint8_t *tail, uint32_t bytes, uint32_t *users);

/* The worker that owns the port by which `ip` is reached, or -1 when no port reaches it. */
int net_route(const struct net *n, uint32_t ip);

/* True when what comes from `ip` is spread over the workers' queues by a hash, and one of them is this worker's: whoever sends it may
 * choose a source port that suits. */
bool net_hashes(const struct net *n, unsigned worker, uint32_t ip);

/* True when a port reaches `ip` and its link is up, as seen a moment ago (WATCH_US).  Any thread. */
bool net_reaches(const struct net *n, uint32_t ip);

/* Sends p->length bytes to p->ip:p->port.  Fills Ethernet, IPv4, UDP; the source port is worker_from's.  NET_SENT: the
 * packet was taken, and is queued until net_flush_st, or was dropped and counted: no port reaches p->ip, or its neighbour is not
 * known, in which case one ARP request a 100 ms goes out.  Else the number of the worker that owns the port, and the caller has
 * the packet to hand over: it has no queue there, or does not know the neighbour.  What was handed over (worker_from is another
 * worker) is always taken. */
enum { NET_SENT = -1 };
int net_send_st(struct net *n, unsigned worker, unsigned worker_from, struct net_packet *p, uint64_t now_ns);
/* Hands queued packets to the ports; what a port does not take after one more try is dropped and counted. */
void net_flush_st(struct net *n, unsigned worker);

/* Before a sleep: asks each queue of this worker to make epoll_fd (which is the worker's) readable at its next packet.  True:
 * each will; then one more net_rx_st must find nothing before the worker sleeps, and after it net_wake_disarm_st.  False: a port
 * cannot (its driver has no interrupts, or its link is down), and none was asked. */
bool net_wake_arm_st(struct net *n, unsigned worker, int epoll_fd);
void net_wake_disarm_st(struct net *n, unsigned worker);

/* Largest UDP payload that every port carries: the smallest MTU at the start - 28. */
uint16_t net_payload_max(const struct net *n);

enum net_link { NET_LINK_DOWN, NET_LINK_UP, NET_LINK_OFF, NET_LINK_GONE }; /* OFF: by set_off; GONE: its interface */
enum { NET_WHY_BYTES = 192 };
struct net_port_stats {
    char name[32], device[128], driver[32], mac[18], ip[20], choice[160], copies[96]; /* copies: why; "": it attaches */
    char why_down[NET_WHY_BYTES]; /* and how to mend it; "": it is up, or was not down for long, or cannot be told */
    enum net_link link;
    bool interrupts; /* it wakes a sleeping worker */
    uint16_t mtu, worker, queues;
    const char *steering; /* how what comes in finds the queue of the worker that it is for */
    uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, rx_missed, rx_errors, tx_errors, no_mbuf;
};
/* Control thread.  Index: from 0 on, in the order of their addition.  Returns 0, -ENOENT for no such port. */
int net_port_stats(const struct net *n, unsigned port, struct net_port_stats *out);
/* The drop counters of a worker's ports: CHI_DROP_COUNT numbers, written by that worker, read relaxed. */
const uint64_t *net_drops(const struct net *n, unsigned worker);

/* For tests: what a port receives passes a bad link (impair/impair.h) first, each queue one of its own, seeded by the first call for
 * the port, with at most NET_IMPAIR_HELD packets under way.  NULL: the links are taken out, and what is under way on them is lost.  A
 * worker that sleeps does not wake for what becomes due.  Thread: the worker that owns a port of one queue, or any while no worker
 * runs.  Returns 0; -ENOENT for no such port, -EINVAL for settings that impair_check refuses, -ENOMEM: some queues may have them. */
CHI_MUST_CHECK int net_impair_set(struct net *n, unsigned port, const struct impair_settings *s, uint64_t seed);
/* What the link of a queue did so far; NULL: there is none.  Written by its worker, read relaxed. */
const struct impair_stats *net_impair_stats(const struct net *n, unsigned port, unsigned queue);
