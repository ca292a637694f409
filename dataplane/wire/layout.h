/* layout.h - where each field lies in a packet or frame.  PURE, for wire/ alone.  Pictures: docs/PROTOCOL.md. */
#pragma once
#include "le.h"
#include "wire.h"

#define LAYOUT_SAME(a, b) CHI_STATIC_ASSERT((int)(a) == (int)(b), #a " is not " #b)

/* Header, the same in every version. */
enum {
    AT_VERSION = 0, /* u8 */
    AT_KIND = 1,    /* u8 */
    AT_LENGTH = 2,  /* u16 */
    AT_CRC = 4,     /* u32 */
    AT_SESSION = 8, /* u32 */
    AT_CAPABLE = 12, /* u16; HELLO and REFUSE: reserved, with the next one */
    AT_MARKED = 14, /* u16 */
    AT_NUMBER = 16, /* u64 */
    AT_HEADER_END = 24,
};
LAYOUT_SAME(AT_HEADER_END, WIRE_HEADER_BYTES);

/* HELLO */
enum {
    HELLO_INCARNATION = 24,      /* u64 */
    HELLO_PEER_INCARNATION = 32, /* u64 */
    HELLO_NODE = 40,             /* u32 */
    HELLO_SESSION = 44,          /* u32 */
    HELLO_PEER_SESSION = 48,     /* u32 */
    HELLO_WORKER = 52,           /* u16 */
    HELLO_WORKERS = 54,          /* u16 */
    HELLO_PACKET_MAX = 56,       /* u16 */
    HELLO_FLAGS = 58,            /* u8 */
    HELLO_CLUSTER_LENGTH = 59,   /* u8 */
    HELLO_SLOTS = 60,            /* u32 */
    HELLO_CLUSTER = 64,          /* 32 bytes, zero behind the name */
    HELLO_CREDIT = 96,           /* u32 */
    HELLO_ZERO = 100,            /* u32, reserved */
    HELLO_END = 104,
};
LAYOUT_SAME(HELLO_CLUSTER + WIRE_CLUSTER_MAX, HELLO_CREDIT);
LAYOUT_SAME(HELLO_END, WIRE_HELLO_BYTES);

/* REFUSE, the same in every version. */
enum {
    REFUSE_INCARNATION = 24, /* u64 */
    REFUSE_NODE = 32,        /* u32 */
    REFUSE_SESSION = 36,     /* u32 */
    REFUSE_REASON = 40,      /* u8 */
    REFUSE_VERSION = 41,     /* u8 */
    REFUSE_ZERO = 42,        /* u16 and u32, reserved */
    REFUSE_END = 48,
};
LAYOUT_SAME(REFUSE_ZERO + 6, REFUSE_END);
LAYOUT_SAME(REFUSE_END, WIRE_REFUSE_BYTES);

/* Frames: offsets from the type byte.  Those of a message begin alike: type, u8, u16, slot, generation, u32. */
enum {
    FRAME_SLOT = 4,       /* u32 */
    FRAME_GENERATION = 8, /* u32 */

    IN_FLAGS = 1,        /* u8: flags, the rest reserved */
    IN_INLINE = 2,       /* u16 */
    IN_FORM_LENGTH = 12, /* u32 */
    IN_END = 16,

    OUT_REGIONS = 1,      /* u8 */
    OUT_INLINE = 2,       /* u16 */
    OUT_FORM_LENGTH = 12, /* u32 */
    OUT_STATUS = 16,      /* u16 */
    OUT_ZERO = 18,        /* u16, reserved */
    OUT_END = 20,         /* then u64 used[regions], then the bytes */

    SEGMENT_REGION = 1,  /* u8 */
    SEGMENT_LENGTH = 2,  /* u16 */
    SEGMENT_FLAGS = 12,  /* u32: flags, the rest reserved */
    SEGMENT_OFFSET = 16, /* u64 */
    SEGMENT_END = 24,

    ACK_COUNT = 1,   /* u8 */
    ACK_FIRST = 2,   /* u16: packets of the first range, less one */
    ACK_DELAY = 4,   /* u32 */
    ACK_LARGEST = 8, /* u64 */
    ACK_END = 16,    /* then for each further range: */
    ACK_GAP = 0,     /* u32: numbers missing above it, less one */
    ACK_LENGTH = 4,  /* u32: packets of it, less one */
    ACK_RANGE_BYTES = 8,

    PING_HEAD = 0, /* u32: type, the rest reserved */
    PING_END = 4,

    CLOSE_REASON = 1, /* u8 */
    CLOSE_ZERO = 2,   /* u16, reserved */
    CLOSE_END = 4,

    CANCEL_ZERO = 1, /* u8 and u16, reserved */
    CANCEL_END = 12,

    GRANT_FLAGS = 1,  /* u8: flags, the rest reserved */
    GRANT_ZERO = 2,   /* u16, reserved */
    GRANT_ZERO2 = 12, /* u32, reserved */
    GRANT_AMOUNT = 16, /* u64 */
    GRANT_END = 24,

    PAD_ZERO = 1,   /* u8, reserved */
    PAD_LENGTH = 2, /* u16 */
    PAD_END = 4,

    PORT_NUMBER = 1, /* u8 */
    PORT_ZERO = 2,   /* u16, reserved */
    PORT_END = 4,
};
LAYOUT_SAME(IN_FORM_LENGTH + 4, IN_END);
LAYOUT_SAME(IN_END, WIRE_BYTES_TASK_IN);
LAYOUT_SAME(OUT_ZERO + 2, OUT_END);
LAYOUT_SAME(OUT_END, WIRE_BYTES_TASK_OUT);
LAYOUT_SAME(SEGMENT_OFFSET + 8, SEGMENT_END);
LAYOUT_SAME(SEGMENT_END, WIRE_BYTES_SEGMENT);
LAYOUT_SAME(ACK_LARGEST + 8, ACK_END);
LAYOUT_SAME(ACK_END, WIRE_BYTES_ACK);
LAYOUT_SAME(ACK_END + ACK_RANGE_BYTES * (WIRE_ACK_RANGES - 1), WIRE_ACK_BYTES_MAX);
LAYOUT_SAME(PING_END, WIRE_BYTES_PING);
LAYOUT_SAME(CLOSE_ZERO + 2, CLOSE_END);
LAYOUT_SAME(CLOSE_END, WIRE_BYTES_CLOSE);
LAYOUT_SAME(CANCEL_END, WIRE_BYTES_CANCEL);
LAYOUT_SAME(GRANT_AMOUNT + 8, GRANT_END);
LAYOUT_SAME(GRANT_END, WIRE_BYTES_GRANT);
LAYOUT_SAME(PAD_LENGTH + 2, PAD_END);
LAYOUT_SAME(PAD_END, WIRE_BYTES_PAD);
LAYOUT_SAME(PORT_ZERO + 2, PORT_END);
LAYOUT_SAME(PORT_END, WIRE_BYTES_PORT);
CHI_STATIC_ASSERT((int)WIRE_HELLO_BYTES <= (int)WIRE_PACKET_MIN, "packets");
CHI_STATIC_ASSERT((int)WIRE_PACKET_MAX <= (int)UINT16_MAX, "packets");
