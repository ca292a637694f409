/* arp.h - the neighbours of one port.  No I/O, clock or DPDK: bytes and `now` in.
 * Thread: the port's worker.  Memory: the caller's struct.  Limit: ARP_MAX neighbours.
 * A neighbour is learnt only from a request or reply that is addressed to us, or because we ask for it; any ARP packet
 * of a neighbour that is known already updates it.  When the table is full, nobody is learnt from requests any more; for
 * a neighbour that we send to, one makes room that we never sent to, that did not answer within ARP_ANSWER_NS, or that
 * was silent for ARP_SILENT_NS.  So nobody can keep us from our peers with addresses that are not there. */
#pragma once
#include "net/frame.h"

enum { ARP_MAX = 2048, ARP_SLOTS_SHIFT = 12, ARP_SLOTS = 1 << ARP_SLOTS_SHIFT, ARP_BYTES = 42 };
#define ARP_ASK_NS 100000000ull       /* at most one request to a neighbour in this time */
#define ARP_REFRESH_NS 30000000000ull /* one heard of longer ago is asked again while it stays in use */
#define ARP_SILENT_NS 60000000000ull
#define ARP_ANSWER_NS 1000000000ull /* who has not answered by then is not there */
#define ARP_ROOM_NS 1000000ull      /* room is looked for, O(ARP_MAX), at most once in this time */

struct arp_neighbour {
    struct frame_head head; /* when known */
    uint32_t ip;
    bool known, wanted; /* wanted: we had something to send to it */
    uint64_t since_ns;  /* in the table */
    uint64_t heard_ns, asked_ns; /* 0: never */
};

struct arp {
    struct frame_local me;
    uint16_t count;
    uint64_t room_ns;         /* room was looked for */
    uint16_t slot[ARP_SLOTS]; /* index + 1, linear probing by address */
    struct arp_neighbour n[ARP_MAX];
};

void arp_init(struct arp *a, const struct frame_local *me);

/* Takes an ARP frame.  *reply: the first ARP_BYTES are now the reply to send.  Returns NONE or LINK_ARP. */
enum chi_drop arp_rx(struct arp *a, uint8_t *p, uint32_t n, uint64_t now_ns, bool *reply);

/* The headers for a neighbour, or NULL while it is not known.  *ask: a request must go out now (arp_request). */
const struct frame_head *arp_find(struct arp *a, uint32_t ip, uint64_t now_ns, bool *ask);

/* Says that a frame of ours was not sent: if it was a request, the neighbour may be asked again at once. */
void arp_request_lost(struct arp *a, const uint8_t *p, uint32_t n);

/* Writes a request of ARP_BYTES. */
void arp_request(const struct arp *a, uint32_t ip, uint8_t *p);
