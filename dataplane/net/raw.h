/* raw.h - a port without ARP, IP and UDP: the reference that benches measure against, and the far end that tests send
 * crafted frames from.  Not used by the daemon. Thread: one, after net_thread_attach.  Memory: as a port's.  The EAL
 * must run (net_start or raw_start). */
#pragma once
#include "net/net.h"

struct raw;

/* Starts and ends the EAL for a program that has raw ports only. */
CHI_MUST_CHECK int raw_start(const struct net_options *o, char *err);
void raw_stop(void);

/* Opens a port as net_port_add would, in all but the address. */
CHI_MUST_CHECK int raw_open(const char *device, uint32_t ip, uint16_t mtu, struct raw **out, char *err);
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
