/* shm.h - layout of a client's segment: a header, two rings of one-line slots, then bulk memory.  PURE.
 * One writer per cache line (asserted by offset).  The daemon makes, sizes and seals the segment; the client only maps
 * it. The daemon keeps its own copy of the geometry and never reads it from here; each other shared field is read once.
 *
 * Sleep and wake-up, both ways (Dekker): who sleeps announces it, fences, and looks at the ring again (shm_announce,
 * shm_published); who published fences, and then looks at the announcement (shm_settle): at least one side sees the
 * other.  A fence right behind each publication would wait for the slot's cache line each time, and so cost more than
 * all else; so a publisher looks at once without one, which sees a sleep that has begun, and settles what it published
 * since when it next finds nothing to do, before it sleeps, and at the latest after SHM_SETTLE_MAX. */
#pragma once
#include "line_ring.h"

enum {
    SHM_MAGIC = 0x31494843, /* "CHI1" */
    SHM_VERSION = 3,
    SHM_INLINE = 48, /* bytes of a form that fit into a submission slot */
    SHM_DEPTH_MIN = 2,
    SHM_DEPTH_MAX = 4096,
    SHM_PAGE = 4096,
    SHM_SETTLE_MAX = 32,   /* publications between two looks at the other side's sleep that are certain */
    SHM_AREA_BYTES = 1024, /* bulk memory, for each of depth, above what was asked for: forms that are not inline */
};
#define SHM_BULK_MAX (UINT64_C(1) << 46)

struct shm_header {
    /* line 0: written once by the daemon, before the client sees it */
    uint32_t magic, version;
    uint64_t size;
    uint32_t depth, zero;
    uint64_t submit_offset, complete_offset, bulk_offset, bulk_bytes;
    uint8_t pad0[8];
    /* line 1: written by the daemon */
    uint32_t
        daemon_sleeps; /* not 0: the number of its sleep; write the eventfd after a submission, once for each number */
    uint8_t pad1[60];
    /* line 2: written by the client */
    uint32_t client_sleeps; /* not 0: the number of its sleep; ring after a completion, once for each number */
    uint8_t pad2[60];
};
CHI_STATIC_ASSERT(sizeof(struct shm_header) == 3 * CHI_CACHE_LINE, "three lines");
CHI_STATIC_ASSERT(offsetof(struct shm_header, daemon_sleeps) == 64 && offsetof(struct shm_header, client_sleeps) == 128,
                  "lines");

/* Where things lie, from depth and bulk bytes alone: both sides compute it. */
struct shm_geometry {
    uint64_t submit_offset, complete_offset, bulk_offset, bulk_bytes, size;
};

/* Pre: depth <= SHM_DEPTH_MAX, bulk_bytes <= SHM_BULK_MAX: cannot overflow. */
static inline struct shm_geometry shm_geometry_of(uint32_t depth, uint64_t bulk_bytes)
{
    const uint64_t page = SHM_PAGE, ring = ((uint64_t)depth * sizeof(struct line) + page - 1) / page * page;
    struct shm_geometry g;
    g.submit_offset = page;
    g.complete_offset = page + ring;
    g.bulk_offset = page + 2 * ring;
    g.bulk_bytes = (bulk_bytes + page - 1) / page * page + ((uint64_t)depth * SHM_AREA_BYTES + page - 1) / page * page;
    g.size = g.bulk_offset + g.bulk_bytes;
    return g;
}

static inline bool shm_depth_ok(uint32_t depth)
{
    return depth >= SHM_DEPTH_MIN && depth <= SHM_DEPTH_MAX && (depth & (depth - 1)) == 0;
}

/* Payload of a submission slot. */
enum { SHM_EXTERNAL = 1, SHM_POST = 2 /* nobody waits: its completion has no body, and is there to give the cookie back */ };
struct shm_submit {
    uint32_t cookie; /* the client's, comes back; < depth */
    uint16_t length; /* inline form, 0..SHM_INLINE; EXTERNAL: 0 */
    uint16_t flags;  /* SHM_EXTERNAL, SHM_POST, both or 0 */
    union {
        uint8_t bytes[SHM_INLINE];
        struct { /* the form, and room for an answer's body, lie in bulk memory: offsets from the segment's start.  They
                  * may overlap: the form is copied before the answer is written.  form_offset is a multiple of 8. */
            uint64_t form_offset, answer_offset;
            uint32_t form_length, answer_cap;
            uint8_t zero[24];
        } external;
    };
};
CHI_STATIC_ASSERT(sizeof(struct shm_submit) == LINE_PAYLOAD, "one slot");

/* Payload of a completion slot.  A body over SHM_COMPLETE_INLINE bytes lies at the submission's answer_offset.  Of a task for several
 * containers it ends with the status of each, 2 bytes, from the first on, and comes with any status. */
struct shm_complete {
    uint32_t cookie;
    uint16_t status; /* enum chi_status */
    uint16_t replicas;
    uint32_t length; /* of the body, statuses of replicas included */
    uint32_t first;  /* container */
    uint8_t bytes[40];
};
CHI_STATIC_ASSERT(sizeof(struct shm_complete) == LINE_PAYLOAD, "one slot");
enum { SHM_COMPLETE_INLINE = 40 };

/* The first message on the control socket tells a client from a JSON-RPC caller: it begins with SHM_MAGIC, not with
 * '{'. */
struct shm_attach_request {
    uint32_t magic, version;
    uint64_t bulk_bytes;
    uint32_t depth, zero;
};
/* The answer, with three descriptors when result is 0: the segment, an eventfd that wakes the daemon, and what the
 * client sleeps on (ipc.h: memfd, worker_event, client_event). */
struct shm_attach_reply {
    uint32_t magic, version;
    int32_t result; /* 0 or -errno */
    uint32_t node;
    uint64_t size;
};

/* Announces a sleep (number, not 0).  The fence pairs with shm_settle's. */
static inline void shm_announce(uint32_t *sleeps, uint32_t number)
{
    __atomic_store_n(sleeps, number, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
/* Its end.  A publisher that still reads the number rings once too often. */
static inline void shm_awake(uint32_t *sleeps) { __atomic_store_n(sleeps, 0, __ATOMIC_RELAXED); }
/* The sleeper's last look, after shm_announce: true when the slot of position `at` is published. */
static inline bool shm_published(const struct line *slots, uint32_t mask, uint64_t at)
{
    return __atomic_load_n(&slots[at & mask].sequence, __ATOMIC_RELAXED) == at + 1;
}
/* The sleep that the other side announced; 0: it is awake.  Without a fence before it may miss one that begins. */
static inline uint32_t shm_sleeper(const uint32_t *sleeps) { return __atomic_load_n(sleeps, __ATOMIC_RELAXED); }
/* The same for certain, for all that was published before.  The fence pairs with shm_announce's. */
static inline uint32_t shm_settle(const uint32_t *sleeps)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return shm_sleeper(sleeps);
}

/* --- reading what a hostile other side may change at any time.  A build for fuzzing changes it between two reads. */
#ifdef SHM_READ_HOOK
void shm_read_hook(void);
#else
static inline void shm_read_hook(void) {}
#endif

/* Reads a shared scalar once. */
#define SHM_READ(field) (shm_read_hook(), __atomic_load_n(&(field), __ATOMIC_RELAXED))

/* Copies n shared bytes, each read once.  Pre: src is 8-byte aligned. */
static inline void shm_copy_in(void *dst, const void *src, size_t n)
{
    typedef uint64_t __attribute__((may_alias)) word;
    const word *from = (const word *)src;
    uint8_t *to = (uint8_t *)dst;
    for (; n >= sizeof(word); n -= sizeof(word), to += sizeof(word)) {
        uint64_t v = SHM_READ(*from);
        memcpy(to, &v, sizeof v);
        from++;
    }
    for (const uint8_t *tail = (const uint8_t *)from; n > 0; n--, tail++)
        *to++ = SHM_READ(*tail);
}
