/* impair.h - a bad link: decides what becomes of each packet and when it leaves, and keeps those that are under way.
 * PURE: the time is an argument, the packets are the caller's, and so is carrying out what is decided.
 *
 * The link, in order: a cut; an MTU; a queue that drains at a rate, with tail drop and ECN marks; then loss, duplication,
 * damage and delay. The same seed and the same lengths of packets give the same fates: nothing is drawn from the time,
 * and a packet that the queue drops has drawn what others draw. Thread: one at a time; counters may be read by others,
 * relaxed.  Memory: the caller's.  Limits: docs/LIMITS.md. */
#pragma once
#include "base/prng.h"

enum {
    IMPAIR_COPIES_MAX = 2, /* what becomes of one packet at most */
    IMPAIR_FRAME_MIN = 15, /* a truncated frame keeps its Ethernet header and a byte: drivers refuse less */
    IMPAIR_BURST_MAX = 10000,
    IMPAIR_MTU_MIN = 68, /* RFC 791 */
    IMPAIR_MTU_MAX = 65535,
    IMPAIR_PPB = 1000000000, /* all packets */
};
#define IMPAIR_TIME_MAX_NS UINT64_C(10000000000)
#define IMPAIR_RATE_MIN_BPS UINT64_C(1000)
#define IMPAIR_RATE_MAX_BPS UINT64_C(1000000000000)
#define IMPAIR_QUEUE_MAX_BYTES (UINT64_C(1) << 30)
#define IMPAIR_QUEUE_DEFAULT_BYTES (UINT64_C(256) << 10)

/* All zero but `burst` and `queue_bytes`: a perfect link. */
struct impair_settings {
    uint32_t loss_ppb, dup_ppb, reorder_ppb, corrupt_ppb, truncate_ppb; /* shares of packets, 0..IMPAIR_PPB */
    uint32_t burst;       /* mean number of losses in a row, 1..IMPAIR_BURST_MAX; 1: each loss by itself */
    bool cut;             /* nothing passes */
    uint64_t delay_ns;    /* of each packet, 0..IMPAIR_TIME_MAX_NS, as all times here */
    uint64_t jitter_ns;   /* more delay, even between 0 and this; the order of packets stays */
    uint64_t reorder_ns;  /* how much later the packets leave that `reorder_ppb` holds back */
    uint64_t rate_bps;    /* bits a second of whole frames, 0: no limit */
    uint64_t queue_bytes; /* what may wait for the rate, 1..IMPAIR_QUEUE_MAX_BYTES */
    uint64_t ecn_bytes;   /* packets that find more waiting are marked, 0: none; below queue_bytes */
    uint64_t mtu_bytes;   /* longer frames, without their Ethernet header, do not pass; IMPAIR_MTU_MIN.., 0: no limit */
};
extern const struct impair_settings impair_none;

/* X(name): received + duplicated = sent + lost + queue_drops + cut + over_mtu + too_long + no_memory + unsent + what is held. */
#define IMPAIR_STAT_LIST(X)                                                                 \
    X(received)                                                                             \
    X(sent) /* by the caller: passed on */                                                  \
    X(lost)                                                                                 \
    X(duplicated)                                                                           \
    X(reordered) /* held back */                                                            \
    X(corrupted)                                                                            \
    X(truncated)                                                                            \
    X(marked)                                                                               \
    X(queue_drops) /* no room in the queue of the rate, or for one packet more under way */ \
    X(cut)                                                                                  \
    X(over_mtu)                                                                             \
    X(too_long)  /* by the caller: longer than a frame of the port may be */                \
    X(no_memory) /* by the caller: no packet free for a copy */                             \
    X(unsent)    /* by the caller: the port has no link */                                  \
    X(received_bytes)                                                                       \
    X(sent_bytes)
struct impair_stats {
#define IMPAIR_STAT_FIELD(name) uint64_t name;
    IMPAIR_STAT_LIST(IMPAIR_STAT_FIELD)
#undef IMPAIR_STAT_FIELD
};

/* One writer; readers on other threads see whole numbers. */
static inline void impair_count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

struct impair_slot {
    uint64_t release_ns;
    void *packet;
};
/* Packets under way, each not earlier than the one before it. */
struct impair_line {
    struct impair_slot *slot;
    uint32_t first, count;
    uint64_t last_ns; /* the latest release so far */
};
enum impair_order { IMPAIR_IN_ORDER, IMPAIR_HELD_BACK, IMPAIR_LINES };

struct impair {
    struct impair_settings set;
    struct impair_stats stats;
    struct prng prng;
    uint64_t loss, stay, dup, reorder, corrupt,
        truncate; /* chances, as parts of 2^64; stay: that a burst of losses goes on */
    bool losing;
    uint64_t backlog, backlog_ns; /* what waited for the rate then, in bits * 10^9: a rate takes off bits/s * ns */
    uint32_t held_max;
    struct impair_line line[IMPAIR_LINES];
};

/* What becomes of a packet, or of its copy. */
struct impair_fate {
    uint64_t release_ns;
    enum impair_order order;
    uint32_t length;   /* less than the packet's: it is cut to that */
    uint32_t flip_bit; /* this bit of it is turned; IMPAIR_NO_FLIP: none */
    bool mark;         /* its IPv4 header gets CE, and the checksum that goes with it */
};
#define IMPAIR_NO_FLIP UINT32_MAX

/* slots: IMPAIR_LINES * held_max of them, the caller's, for as long as *im is used.  A perfect link until impair_set.
 */
void impair_init(struct impair *im, uint64_t seed, struct impair_slot *slots, uint32_t held_max);

/* NULL, or what is wrong with the settings, as one line without an end. */
const char *impair_check(const struct impair_settings *s);
/* For packets that come from now on; those under way leave when they were due, and none overtakes them but those that
 * are held back. Pre: impair_check. */
void impair_set(struct impair *im, const struct impair_settings *s);

/* Judges one packet of `length` bytes, an Ethernet frame, at bytes.  Returns how many of fate[] hold: 0, it is gone and
 * counted; 1; or 2, it goes out twice.  There is room for each in impair_hold. */
unsigned impair_judge(struct impair *im, const uint8_t *bytes, uint32_t length, uint64_t now_ns,
                      struct impair_fate fate[IMPAIR_COPIES_MAX]);
/* True when a fate changes the bytes or the length of a packet of that length. */
static inline bool impair_alters(const struct impair_fate *f, uint32_t length)
{
    return f->mark || f->flip_bit != IMPAIR_NO_FLIP || f->length != length;
}
/* Changes the bytes of a packet that was judged; its length is the caller's to set. */
void impair_apply(const struct impair_fate *f, uint8_t *bytes);

/* Keeps a packet until its release. */
void impair_hold(struct impair *im, const struct impair_fate *f, void *packet);
/* The next packet whose release is not later than now_ns, in order of release; NULL when there is none.  O(1). */
void *impair_release(struct impair *im, uint64_t now_ns);
/* The release of the next packet; UINT64_MAX: none is held. */
uint64_t impair_due_ns(const struct impair *im);
