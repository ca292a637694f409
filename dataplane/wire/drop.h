/* drop.h - why bytes from outside were dropped: one list for wire, transport, network and client memory.  PURE.
 * Every reason has a counter (chictl stats) and a test.  Nothing asserts on such bytes, and nothing logs per packet. */
#pragma once
#include "chi/base.h"

/* X(name, text) */
#define CHI_DROP_LIST(X)                                                   \
    X(NONE, "not dropped")                                                 \
    /* link and IP */                                                      \
    X(LINK_TRUNCATED, "frame shorter than its headers say")                \
    X(LINK_TYPE, "neither ARP nor IPv4")                                   \
    X(LINK_ARP, "malformed ARP")                                           \
    X(IP_HEADER, "bad IPv4 header")                                        \
    X(IP_CHECKSUM, "bad IPv4 checksum")                                    \
    X(IP_FRAGMENT, "IPv4 fragment")                                        \
    X(IP_ADDRESS, "not addressed to this port")                            \
    X(IP_PROTOCOL, "neither ICMP echo nor UDP")                            \
    X(UDP_LENGTH, "bad UDP length")                                        \
    X(UDP_CHECKSUM, "bad UDP checksum")                                    \
    X(UDP_PORT, "no worker has that UDP port")                             \
    X(NO_ROUTE, "no port reaches the address")                             \
    X(NO_NEIGHBOUR, "the neighbour's link address is not known yet")       \
    X(TX_FULL, "the port took no more packets")                            \
    X(HANDOVER_FULL, "the ring to the owning worker was full")             \
    /* packet */                                                           \
    X(TRUNCATED, "packet shorter than it says")                            \
    X(VERSION, "another protocol version")                                 \
    X(KIND, "unknown packet kind")                                         \
    X(RESERVED, "reserved bits set")                                       \
    X(CRC, "bad CRC32C")                                                   \
    X(FRAME_TYPE, "unknown frame type")                                    \
    X(FRAME_LENGTH, "frame longer than its packet")                        \
    X(FRAME_VALUE, "a field of a frame is out of range")                   \
    /* session */                                                          \
    X(SESSION_UNKNOWN, "no such session")                                  \
    X(ADDRESS, "from another address than the session's peer")             \
    X(PEER_UNKNOWN, "hello of a node that is not configured")              \
    X(CLUSTER, "another cluster")                                          \
    X(INCARNATION, "from an earlier life of the peer")                     \
    X(DUPLICATE, "packet number seen before")                              \
    X(NUMBER, "packet number or ack outside of what is possible")          \
    X(SLOT_RANGE, "message slot out of range")                             \
    X(SLOT_STALE, "message of an earlier generation")                      \
    X(REGION_UNKNOWN, "no such region, or its message is not here yet")    \
    X(REGION_BOUNDS, "segment outside of its region")                      \
    X(REGION_FRAGMENTED, "more holes than can be kept")                    \
    X(FORM, "malformed task form")                                         \
    X(NO_MEMORY, "no memory or no record free for it")                     \
    /* client memory */                                                    \
    X(CLIENT_FORM, "form of a client outside of its segment or malformed") \
    X(CLIENT_REGION, "region of a client outside of its segment")          \
    X(CLIENT_DEPTH, "more tasks out than the client announced")

enum chi_drop {
#define CHI_DROP_ENUM(name, text) CHI_DROP_##name,
    CHI_DROP_LIST(CHI_DROP_ENUM)
#undef CHI_DROP_ENUM
        CHI_DROP_COUNT
};

/* "REGION_BOUNDS" and its text; static strings, "UNKNOWN" out of range. */
const char *chi_drop_name(enum chi_drop d);
const char *chi_drop_text(enum chi_drop d);
