/* shm.h - layout of a client's segment: a header, two rings of one-line slots, then bulk memory.  PURE.
 * One writer per cache line (asserted by offset).  The daemon makes, sizes and seals the segment; the client only maps it.
 * The daemon keeps its own copy of the geometry and never reads it from here; each other shared field is read once. */
#pragma once
#include "line_ring.h"

enum {
    SHM_MAGIC = 0x31494843, /* "CHI1" */
    SHM_VERSION = 1,
    SHM_INLINE = 48,    /* bytes of a form that fit into a submission slot */
    SHM_DEPTH_MAX = 4096,
};

struct shm_header {
    /* line 0: written once by the daemon, before the client sees it */
    uint32_t magic, version;
    uint64_t size;
    uint32_t depth, zero;
    uint64_t submit_offset, complete_offset, bulk_offset, bulk_bytes;
    uint8_t pad0[8];
    /* line 1: written by the daemon */
    uint32_t daemon_sleeps; /* 1: write the worker's eventfd after a submission */
    uint8_t pad1[60];
    /* line 2: written by the client */
    uint32_t client_sleeps; /* 1: write the client's eventfd after a completion */
    uint8_t pad2[60];
};
CHI_STATIC_ASSERT(sizeof(struct shm_header) == 3 * CHI_CACHE_LINE, "three lines");
CHI_STATIC_ASSERT(offsetof(struct shm_header, daemon_sleeps) == 64 && offsetof(struct shm_header, client_sleeps) == 128, "lines");

/* Payload of a submission slot. */
enum { SHM_EXTERNAL = 1 };
struct shm_submit {
    uint32_t cookie;  /* the client's, comes back; < depth */
    uint16_t length;  /* inline form, 0..SHM_INLINE; EXTERNAL: 0 */
    uint16_t flags;   /* SHM_EXTERNAL or 0 */
    union {
        uint8_t bytes[SHM_INLINE];
        struct { /* the form, and room for an answer's body, lie in bulk memory: offsets from the segment's start */
            uint64_t form_offset, answer_offset;
            uint32_t form_length, answer_cap;
            uint8_t zero[24];
        } external;
    };
};
CHI_STATIC_ASSERT(sizeof(struct shm_submit) == LINE_PAYLOAD, "one slot");

/* Payload of a completion slot.  A body over SHM_COMPLETE_INLINE bytes lies at the submission's answer_offset. */
struct shm_complete {
    uint32_t cookie;
    uint16_t status; /* enum chi_status */
    uint16_t zero;
    uint32_t length; /* of the body */
    uint32_t zero2;
    uint8_t bytes[40];
};
CHI_STATIC_ASSERT(sizeof(struct shm_complete) == LINE_PAYLOAD, "one slot");
enum { SHM_COMPLETE_INLINE = 40 };

/* The first message on the control socket tells a client from a JSON-RPC caller: it begins with SHM_MAGIC, not with '{'. */
struct shm_attach_request {
    uint32_t magic, version;
    uint64_t bulk_bytes;
    uint32_t depth, zero;
};
/* The answer, with three descriptors when result is 0: the segment, the worker's eventfd (wakes the daemon), the
 * client's eventfd (to sleep on). */
struct shm_attach_reply {
    uint32_t magic, version;
    int32_t result; /* 0 or -errno */
    uint32_t node;
    uint64_t size;
};
