/* wire.h - the packet layout: encode, decode, print.  PURE.  docs/PROTOCOL.md has the pictures and the reasons.
 *
 * A packet is a header and, for DATA, frames until its end.  Decoding copies a frame's fixed part once into a
 * host-order struct and leaves its bytes where they are (borrowed from the packet).  Thread: any; no state. */
#pragma once
#include "drop.h"

enum {
    WIRE_VERSION = 1,
    WIRE_HEADER_BYTES = 24,
    WIRE_CLUSTER_MAX = 32,  /* bytes of a cluster name, NUL not counted */
    WIRE_ACK_RANGES = 32,   /* in one ACK frame */
    WIRE_REGIONS = 16,      /* = CHI_REGIONS_MAX */
    WIRE_SLOTS_MAX = 65536, /* messages of one direction of a session at once */
    WIRE_PACKET_MIN = 1200, /* every path carries a packet (UDP payload) of this size */
    WIRE_PACKET_MAX = 65000,
    WIRE_HELLO_BYTES = 104, /* whole packets */
    WIRE_REFUSE_BYTES = 48,
    WIRE_ACK_BYTES_MAX = 16 + 8 * (WIRE_ACK_RANGES - 1),
};

/* X(name, number) */
#define WIRE_KIND_LIST(X) X(HELLO, 1) X(REFUSE, 2) X(DATA, 3)
enum wire_kind {
#define WIRE_KIND_ENUM(name, number) WIRE_KIND_##name = number,
    WIRE_KIND_LIST(WIRE_KIND_ENUM)
#undef WIRE_KIND_ENUM
};

/* X(name, number, fixed bytes with the type byte; what varies comes behind) */
#define WIRE_FRAME_LIST(X) \
    X(TASK_IN, 1, 16)      \
    X(TASK_OUT, 2, 20)     \
    X(SEGMENT, 3, 24)      \
    X(ACK, 4, 16)          \
    X(PING, 5, 4)          \
    X(CLOSE, 6, 4)         \
    X(CANCEL, 7, 12)       \
    X(GRANT, 8, 24)        \
    X(PAD, 9, 4)           \
    X(PORT, 10, 4)
enum wire_frame_type {
    WIRE_FRAME_END = 0, /* wire_next_frame: no more */
#define WIRE_FRAME_ENUM(name, number, bytes) WIRE_FRAME_##name = number,
    WIRE_FRAME_LIST(WIRE_FRAME_ENUM)
#undef WIRE_FRAME_ENUM
};
enum wire_frame_bytes {
#define WIRE_FRAME_SIZE(name, number, bytes) WIRE_BYTES_##name = bytes,
    WIRE_FRAME_LIST(WIRE_FRAME_SIZE)
#undef WIRE_FRAME_SIZE
};

struct wire_header {
    uint8_t kind;     /* enum wire_kind */
    uint16_t length;  /* of the whole packet; bytes after it (padding of short frames) are ignored */
    uint32_t crc;     /* CRC32C over `length` bytes with this field 0 */
    uint32_t session; /* the receiver's id of the session; 0 in HELLO and REFUSE */
    uint16_t capable; /* DATA: so many packets of the receiver's came here ECN-capable (ECT(0), or CE) in this session, */
    uint16_t marked;  /* and so many with CE; both modulo 2^16.  0 where ECN was not agreed on */
    uint64_t number;  /* packet number, from 1, never reused in a session; 0 in HELLO and REFUSE */
};

/* ECN: the sender looks at the ECN bits of what comes, and tells in its headers.  PAD, PORT: it knows that frame. */
enum { WIRE_HELLO_REPLY_WANTED = 1, WIRE_HELLO_ECN = 2, WIRE_HELLO_PAD = 4, WIRE_HELLO_PORT = 8 };
struct wire_hello {
    uint64_t incarnation;      /* of the sender: nanoseconds of its start, never 0 */
    uint64_t peer_incarnation; /* of the receiver as the sender knows it; 0: not yet */
    uint32_t node;             /* sender's id */
    uint32_t session;          /* sender's id of the session, never 0: to be put into packets to it */
    uint32_t peer_session;     /* receiver's id as the sender knows it; 0: not yet */
    uint16_t worker, workers;  /* sender's worker index and how many it has: worker < workers */
    uint16_t packet_max;       /* largest packet that the sender takes: WIRE_PACKET_MIN..WIRE_PACKET_MAX */
    uint8_t flags; /* unknown ones are ignored: they say what the sender could do besides */
    uint8_t cluster_length;
    uint32_t slots; /* how many slots the sender keeps for the receiver's messages, up to WIRE_SLOTS_MAX; 0: not said */
    uint32_t credit; /* bytes of regions that the receiver may send unasked, over its open messages */
    char cluster[WIRE_CLUSTER_MAX];
};

enum wire_refuse_reason {
    WIRE_REFUSE_VERSION = 1,
    WIRE_REFUSE_CLUSTER = 2,
    WIRE_REFUSE_UNKNOWN_NODE = 3,
    WIRE_REFUSE_SESSION = 4
};
struct wire_refuse {
    uint64_t incarnation;    /* of the sender */
    uint32_t node;           /* sender's id */
    uint32_t session;        /* the id that the refused packet carried: its HELLO's, or its header's; 0 for VERSION */
    uint8_t reason, version; /* version: what the sender speaks */
};

/* A message is named by its origin's slot and generation, within the session. */
enum { WIRE_TASK_WAITS = 1 }; /* not all of its regions come unasked: a GRANT is waited for */
struct wire_task_in { /* [form_length - inline_length] bytes follow as segments of region 0 at offset inline_length */
    uint32_t slot, generation, form_length;
    uint16_t inline_length;
    uint8_t flags;
    const uint8_t *bytes; /* inline_length bytes */
};
struct wire_task_out {
    uint32_t slot, generation, form_length;
    uint16_t status, inline_length;
    uint8_t regions; /* entries in used: the exposed regions of the message, in order */
    uint64_t used[WIRE_REGIONS];
    const uint8_t *bytes;
};
enum { WIRE_SEGMENT_OUT = 1 }; /* belongs to the answer; else to the inputs */
struct wire_segment {
    uint64_t offset;
    uint32_t slot, generation;
    uint16_t length;
    uint8_t region, flags; /* region 0: the form; k: the k-th bulk region */
    const uint8_t *bytes;
};
struct wire_cancel {
    uint32_t slot, generation;
};
enum { WIRE_GRANT_AGAIN = 1 }; /* nothing of the message was kept: begin again with its TASK_IN */
struct wire_grant {
    uint64_t bytes; /* of its WRITE regions, one behind the other, that may be sent by now */
    uint32_t slot, generation;
    uint8_t flags;
};
/* Nothing, to make a packet as long as its sender wants to know whether it arrives. */
struct wire_pad {
    uint16_t length;
    const uint8_t *bytes; /* sent as zero; they say nothing */
};
struct wire_range {
    uint64_t first, last; /* packet numbers, both included */
};
/* wire_put_ack says no more than it is given, but may say less: of the first range the newest 65536, of the others the
 * newest 2^32, and nothing behind a gap of more than 2^32.  No sender has so many packets out (docs/PROTOCOL.md). */
struct wire_ack {
    uint32_t delay_ns;                    /* from the arrival of the largest to this ack's departure; saturates */
    uint8_t count;                        /* 1..WIRE_ACK_RANGES */
    struct wire_range r[WIRE_ACK_RANGES]; /* descending, a gap between any two; r[0].last is the largest acknowledged */
};
struct wire_frame {
    uint8_t type; /* enum wire_frame_type */
    union {
        struct wire_task_in task_in;
        struct wire_task_out task_out;
        struct wire_segment segment;
        struct wire_ack ack;
        struct wire_cancel cancel;
        struct wire_grant grant;
        struct wire_pad pad;
        uint8_t close_reason; /* enum wire_close */
        uint8_t port;         /* which of its source ports the other side is to send from */
    };
};
enum wire_close { WIRE_CLOSE_SHUTDOWN = 1 };

typedef uint32_t (*wire_crc32c_fn)(uint32_t seed, const void *p, size_t n); /* seed 0 to begin; chains */

/* Writes a header with a CRC of 0; wire_seal then sets length and CRC.  Pre: n within 24..WIRE_PACKET_MAX. */
void wire_put_header(uint8_t *p, const struct wire_header *h);
void wire_seal(uint8_t *p, size_t n, wire_crc32c_fn crc32c);
/* The same of a packet whose last tail_n bytes lie elsewhere.  Pre: n + tail_n within WIRE_PACKET_MAX. */
void wire_seal_tail(uint8_t *p, size_t n, const uint8_t *tail, size_t tail_n, wire_crc32c_fn crc32c);

/* Checks all of a packet but its frames or body.  Returns NONE, TRUNCATED, VERSION, KIND, RESERVED (also: HELLO or
 * REFUSE with anything of a session's) or CRC.  A REFUSE passes in any version: its layout never changes.  Session,
 * number and counts of DATA are not judged here, 0 included. */
CHI_MUST_CHECK enum chi_drop wire_open(const uint8_t *p, size_t n, wire_crc32c_fn crc32c, struct wire_header *out);
/* The session that bytes name which wire_open refused, if they are long enough to; else 0. */
uint32_t wire_peek_session(const uint8_t *p, size_t n);

/* HELLO and REFUSE; `put` writes the whole packet, header included, and returns its length (WIRE_HELLO_BYTES,
 * WIRE_REFUSE_BYTES; not sealed).  `get` takes an opened packet, with or without padding behind it, and returns NONE,
 * TRUNCATED, FRAME_LENGTH (longer than its kind), FRAME_VALUE or RESERVED.  Cluster names compare by bytes. */
size_t wire_put_hello(uint8_t *p, const struct wire_hello *h);
CHI_MUST_CHECK enum chi_drop wire_get_hello(const uint8_t *p, size_t n, struct wire_hello *out);
size_t wire_put_refuse(uint8_t *p, const struct wire_refuse *r);
CHI_MUST_CHECK enum chi_drop wire_get_refuse(const uint8_t *p, size_t n, struct wire_refuse *out);
/* For a packet that wire_open refused with VERSION: true for a HELLO, with the version that its sender speaks; that
 * sender gets a REFUSE.  Its CRC is not checked, as only the first bytes have the same meaning in every version. */
bool wire_peek_foreign_hello(const uint8_t *p, size_t n, uint8_t *version_out);

/* Each writes the fixed part of a frame at p and returns its length; the payload is written by the caller behind it
 * (TASK_IN, TASK_OUT: at p + returned length, inline_length bytes; SEGMENT: length bytes), so that it can be serialised
 * in place.  Pre: room for it. */
size_t wire_put_task_in(uint8_t *p, const struct wire_task_in *f);
size_t wire_put_task_out(uint8_t *p, const struct wire_task_out *f); /* 20 + 8 * regions */
/* The same without regions, with all of its form, at most 65535 bytes, behind it. */
size_t wire_put_task_out_whole(uint8_t *p, uint32_t slot, uint32_t generation, uint32_t length, uint16_t status);
size_t wire_put_segment(uint8_t *p, const struct wire_segment *f);
size_t wire_put_ack(uint8_t *p, const struct wire_ack *f); /* at most 16 + 8 * (count - 1) */
size_t wire_put_ping(uint8_t *p);
size_t wire_put_close(uint8_t *p, uint8_t reason);
size_t wire_put_cancel(uint8_t *p, const struct wire_cancel *f);
size_t wire_put_grant(uint8_t *p, const struct wire_grant *f);
size_t wire_put_port(uint8_t *p, uint8_t port);
size_t wire_put_pad(uint8_t *p, uint16_t length); /* with its bytes: 4 + length */

/* Walks the frames of an opened DATA packet.  Begin with at = WIRE_HEADER_BYTES and end = header.length. */
struct wire_cursor {
    const uint8_t *p;
    size_t at, end;
};
/* The next frame, WIRE_FRAME_END at the end.  Returns NONE, FRAME_TYPE, FRAME_LENGTH, FRAME_VALUE or RESERVED; after an
 * error the cursor stays. FRAME_VALUE: inline_length > form_length, regions > WIRE_REGIONS, region > WIRE_REGIONS, ack
 * count not in 1..WIRE_ACK_RANGES, ranges beyond 2^63 - 1 or below 1, segment of length 0, offset + length beyond 2^63,
 * unknown reason of a CLOSE.  out->type is END after an error too; the rest of *out is then undefined. */
CHI_MUST_CHECK enum chi_drop wire_next_frame(struct wire_cursor *c, struct wire_frame *out);

/* One line of text for a packet, for logs and tests; returns the length as snprintf does. */
int wire_print(const uint8_t *p, size_t n, char *out, size_t cap);
