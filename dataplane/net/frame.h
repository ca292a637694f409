/* frame.h - Ethernet frames as bytes: checks what came in, makes the headers of what goes out.  No I/O, clock or DPDK,
 * so that tests and fuzzers call it with any bytes.  Limits: IPv4 without fragments; a VLAN tag is another ethertype.
 */
#pragma once
#include "chi/base.h"
#include "wire/drop.h"

enum { FRAME_ETHER = 14, FRAME_IP = 20, FRAME_UDP = 8, FRAME_HEADERS = FRAME_ETHER + FRAME_IP + FRAME_UDP };
enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_ARP = 0x0806, IP_PROTOCOL_ICMP = 1, IP_PROTOCOL_UDP = 17 };

/* A worker's source ports: its UDP port, and FRAME_SOURCES - 1 more, so that one of them suits the hash of whoever receives.  What is
 * sent to one of them (it was refused) is for that worker. */
enum { FRAME_SOURCES = 256, FRAME_SOURCE_FIRST = 49152, FRAME_SOURCE_STEP = 64 /* workers */ };
static inline uint16_t frame_source_port(uint16_t udp_first, unsigned worker, uint8_t source)
{
    if (CHI_LIKELY(source == 0) || worker >= FRAME_SOURCE_STEP)
        return (uint16_t)(udp_first + worker);
    return (uint16_t)(FRAME_SOURCE_FIRST + source * FRAME_SOURCE_STEP + worker);
}

/* Who we are on a port. */
struct frame_local {
    uint32_t ip, mask; /* host order */
    uint8_t mac[6];
    uint16_t udp_first, udp_count;
};

enum frame_kind { FRAME_IS_ARP, FRAME_IS_ECHO, FRAME_IS_UDP };

struct frame_in {
    enum frame_kind kind;
    bool ip_checked, udp_checked; /* in: the port found these checksums good */
    uint8_t ecn;                  /* the two bits of the IP header */
    uint32_t ip;                  /* of the sender */
    uint16_t port, local_port;
    uint32_t offset, length; /* UDP: the payload; echo: the ICMP message */
};

/* Looks at a frame of n bytes.  NONE: *f says what it is.  Otherwise the reason to drop it. */
enum chi_drop frame_check(const struct frame_local *me, const uint8_t *p, uint32_t n, struct frame_in *f);

/* Turns a checked echo request into its reply, in place. */
void frame_echo_reply(uint8_t *p, const struct frame_in *f);

/* Headers for datagrams to one neighbour: made once, copied for each. */
struct frame_head {
    uint8_t bytes[FRAME_HEADERS];
    uint32_t sum; /* of the IP header without the total length */
};
void frame_head_init(struct frame_head *h, const struct frame_local *me, uint32_t ip, const uint8_t mac[6]);

/* Writes FRAME_HEADERS bytes for `length` bytes of payload; ecn: the two bits.  The UDP checksum is 0: none (the payload has a
 * CRC32C). */
void frame_head_write(const struct frame_head *h, uint8_t *p, uint16_t from_port, uint16_t to_port, uint32_t length, uint8_t ecn);
