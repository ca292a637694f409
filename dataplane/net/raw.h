/* raw.h - a port without ARP, IP and UDP: the reference that benches measure against, the far end that tests send
 * crafted frames from, and the ends of chi-wire.  Not used by the daemon. Thread: one that receives and one that sends,
 * which may be the same, after net_thread_attach.  Memory: as a port's.  The EAL must run (net_start or raw_start). */
#pragma once
#include "net/net.h"

struct raw;
enum { RAW_PACKETS = 4096 };

/* Starts and ends the EAL for a program that has raw ports only. */
CHI_MUST_CHECK int raw_start(const struct net_options *o, char *err);
void raw_stop(void);

/* Opens a port as net_port_add would, in all but the address, with `packets` packets; 0: RAW_PACKETS. */
CHI_MUST_CHECK int raw_open(const char *device, uint32_t ip, uint16_t mtu, uint32_t packets, struct raw **out,
                            char *err);
/* With several pairs of queues; raw_queue chooses the one that the functions below use, at first number 0. */
CHI_MUST_CHECK int raw_open_queues(const char *device, uint32_t ip, uint16_t mtu, uint32_t packets, uint16_t queues,
                                   struct raw **out, char *err);
void raw_queue(struct raw *r, uint16_t queue);
void raw_close(struct raw *r);
bool raw_up(const struct raw *r);

/* Sends n frames (at most NET_BURST) of `bytes` bytes each with an experimental ethertype, contents hot and untouched.
 * Returns how many the port took. */
unsigned raw_blast(struct raw *r, uint32_t bytes, unsigned n);
/* Receives at most NET_BURST frames and lets them go; returns how many were raw_blast's, adds their bytes to *bytes. */
unsigned raw_sink(struct raw *r, uint64_t *bytes);
/* Receives at most NET_BURST frames and sends them back as they are; what the port does not take is lost.  Returns how
 * many came. */
unsigned raw_echo(struct raw *r);

/* Sends one frame, copied.  False: the port took it not. */
bool raw_send(struct raw *r, const uint8_t *frame, uint32_t length);
/* Receives one frame into out, at most cap bytes of it.  Returns its length, 0 when none is there. */
uint32_t raw_receive(struct raw *r, uint8_t *out, uint32_t cap);

/* One direction of a link between two raw ports, with a bad link (impair/impair.h) in it.  Packets are passed on as
 * they came, not copied.  What the far port does not take waits, and what comes waits before the near one; with no link
 * behind the far port it is dropped (`unsent`).  Frames longer than the far port's are dropped (`too_long`). */
struct raw_link;

/* At most `held` packets are under way, of those that `from` was opened with.  Opened and closed while nobody turns it,
 * closed before the ports.  0 or -ENOMEM. */
CHI_MUST_CHECK int raw_link_open(struct raw *from, struct raw *to, uint64_t seed, uint32_t held, struct raw_link **out);
void raw_link_close(struct raw_link *l); /* NULL is allowed */
/* One burst in, and what is due out.  The time of all of it is now_ns.  Returns how many packets moved. */
unsigned raw_link_turn_st(struct raw_link *l, uint64_t now_ns);
/* When the next packet is due, 0 while one waits for the far port, UINT64_MAX when none is under way.  By the turning
 * thread. */
uint64_t raw_link_due_ns(const struct raw_link *l);
/* impair_set, by the turning thread. */
void raw_link_set_st(struct raw_link *l, const struct impair_settings *s);
/* Written by the turning thread, read relaxed. */
const struct impair_stats *raw_link_stats(const struct raw_link *l);
