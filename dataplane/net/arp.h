/* arp.h - the neighbours of one port.  No I/O, clock or DPDK: bytes and `now` in.
 * Thread: the worker that owns the port; others that send on it read a view which it writes (arp_view_find).
 * Memory: the caller's structs.  Limit: ARP_MAX neighbours.
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

/* What a port's other workers know of its neighbours: one place for each, by its address.  Of two that meet in one place the later
 * one has it, and packets to the other one go through the owner. */
enum { ARP_VIEW_SHIFT = 10, ARP_VIEW_LINES = 1 << ARP_VIEW_SHIFT };
struct arp_line {
    _Alignas(CHI_CACHE_LINE) uint32_t sequence; /* odd: being written */
    uint32_t ip;
    uint64_t heard_ns;
    uint64_t head[sizeof(struct frame_head) / 8];
};
CHI_STATIC_ASSERT(sizeof(struct arp_line) == CHI_CACHE_LINE && sizeof(struct frame_head) % 8 == 0, "one line, in whole words");
struct arp_view {
    struct arp_line line[ARP_VIEW_LINES];
};

struct arp {
    struct frame_local me;
    struct arp_view *view; /* NULL: no other worker sends on this port */
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

/* By any thread: copies the headers for a neighbour that the owner knows, sends to, and need not ask again.  False: the owner is to send. */
bool arp_view_find(const struct arp_view *v, uint32_t ip, uint64_t now_ns, struct frame_head *out);

/* Says that a frame of ours was not sent: if it was a request, the neighbour may be asked again at once. */
void arp_request_lost(struct arp *a, const uint8_t *p, uint32_t n);

/* Writes a request of ARP_BYTES. */
void arp_request(const struct arp *a, uint32_t ip, uint8_t *p);
