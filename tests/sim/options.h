/* options.h - what a run of the simulator is like: numbers that are drawn from its seed, or given. */
#pragma once
#include "base/prng.h"

/* X(name, simple, least, most); simple: what a failing run is reduced to when it fails all the same.  Chances are parts of a million. */
#define SIM_OPTION_LIST(X)                                                                                        \
    X(nodes, 2, 2, 16)                                                                                            \
    X(workers, 1, 1, 3)           /* most of a node; all nodes together have SIM_ENDPOINTS_MAX at most */         \
    X(uneven, 0, 0, 1)            /* some nodes have half of the slots, or a quarter */                           \
    X(packet_low, 1500, 1200, 65000)                                                                              \
    X(packet_high, 1500, 1200, 65000)                                                                             \
    X(slots, 64, 2, 1024)         /* a power of two, as window */                                                 \
    X(messages_in, 256, 1, 4096)                                                                                  \
    X(window, 128, 4, 1024)                                                                                       \
    X(ack_every, 8, 1, 64)                                                                                        \
    X(ack_delay_us, 25, 1, 100000)                                                                                \
    X(target_us, 250, 1, 1000000)                                                                                 \
    X(pto_min_us, 200, 1, 1000000)                                                                                \
    X(pto_max_us, 100000, 1, 1000000)                                                                             \
    X(hello_us, 2000, 1, 1000000)                                                                                 \
    X(silence_ms, 2000, 20, 2000) /* 2000: no fault of a run lasts so long */                                     \
    X(delay_us, 10, 1, 100000)                                                                                    \
    X(jitter_us, 0, 0, 100000)                                                                                    \
    X(loss, 0, 0, 1000000)                                                                                        \
    X(burst, 1, 1, 1000)          /* losses in a row, on average */                                               \
    X(twice, 0, 0, 1000000)                                                                                       \
    X(late, 0, 0, 1000000)                                                                                        \
    X(late_us, 1000, 1, 1000000)                                                                                  \
    X(flip, 0, 0, 1000000)                                                                                        \
    X(cut, 0, 0, 1000000)         /* truncated, or padded */                                                      \
    X(forge, 0, 0, 1000000)       /* another content with a right CRC */                                          \
    X(forger, 0, 0, 16)           /* the node that does so; 0: all do */                                          \
    X(ce, 0, 0, 1000000)          /* to be marked, if it may be */                                                \
    X(bleach, 0, 0, 1000000)      /* to come as not ECN-capable */                                                \
    X(no_packet, 0, 0, 1000000)                                                                                   \
    X(no_memory, 0, 0, 1000000)                                                                                   \
    X(memory_bytes, UINT64_C(1) << 40, 1000, UINT64_C(1) << 40)                                                   \
    X(memory_spare, 0, 0, UINT64_C(1) << 40)       /* largest block, above region_max */                          \
    X(peer_memory, UINT64_C(1) << 40, 0, UINT64_C(1) << 40)                                                       \
    X(all_spare, UINT64_C(1) << 40, 0, UINT64_C(1) << 40) /* all messages may hold, above what the largest one needs */ \
    X(quantum_bytes, 65536, 1, 1 << 30)                                                                           \
    X(grant_bytes, 1 << 20, 1, UINT64_C(1) << 40)                                                                 \
    X(overcommit, 8, 1, 64)                                                                                       \
    X(unasked_bytes, 65536, 0, 1 << 30)                                                                           \
    X(credit_bytes, 4 << 20, 0, 1 << 30)                                                                          \
    X(restarts, 0, 0, 100)                                                                                        \
    X(partitions, 0, 0, 100)      /* one way, up to 200 ms */                                                     \
    X(paths, 1, 1, 4)             /* networks, to each of which each node has a port: XFER_PATHS_MAX */             \
    X(ways, 0, 0, 100)            /* a node's port to one of them is down, up to 200 ms */                        \
    X(removals, 0, 0, 100)        /* a node forgets another one, perhaps drains it first, and is told of it again */ \
    X(mtus, 0, 0, 100)            /* one way: from then on no longer packet passes, 1200 to 65000 bytes */         \
    X(pauses, 0, 0, 100)          /* a node neither looks nor acts, up to 200 ms */                               \
    X(stalls, 0, 0, 100)          /* a node's consumer answers nothing, up to 400 ms */                           \
    X(dries, 0, 0, 100)           /* a node has no packets or no memory, up to 50 ms */                           \
    X(crowds, 0, 0, 100)          /* submissions of up to 20 messages at once: of a hundred */                          \
    X(messages, 1, 0, 100000)     /* submissions of the faulty phase */                                           \
    X(after, 1, 1, 16)            /* messages of each endpoint to each node in the healed phase */                \
    X(regions, 0, 0, 16)          /* of a message, at most */                                                     \
    X(streams, 0, 0, 100)         /* regions that stream, of those that may: of a hundred */                       \
    X(pushes, 0, 0, 100)          /* turns of a consumer in which it sends outputs before its answer: of a hundred */ \
    X(lasts, 0, 0, 100)           /* answers that are the last word, of those that may be: of a hundred */          \
    X(takes, 0, 0, 1)             /* tasks go to their consumer within the packet's call, not as events */          \
    X(region_max, 1000, 0, 1 << 26)                                                                               \
    X(form_max, 100, 0, 70000)                                                                                    \
    X(attach_us, 0, 0, 100000)    /* ports send regions from where they lie, and look at them for up to so long; 0: they copy */ \
    X(attach_bad, 0, 0, 1)        /* such packets come damaged */                                                 \
    X(faulty_us, 1000, 1, 10000000)                                                                               \
    X(whole_each, 1, 1, 1000)     /* calls of an endpoint: its records are checked whole; in between, in short */

struct options {
    uint64_t seed; /* of all that is not an option */
#define SIM_OPTION_FIELD(name, simple, least, most) uint64_t name;
    SIM_OPTION_LIST(SIM_OPTION_FIELD)
#undef SIM_OPTION_FIELD
};

enum { SIM_OPTIONS = sizeof(struct options) / sizeof(uint64_t) };

struct option {
    const char *name;
    uint64_t simple, least, most;
};
extern const struct option option_table[SIM_OPTIONS];
static inline uint64_t *option_at(struct options *o, unsigned i) { return &((uint64_t *)(void *)o)[i]; }

void options_draw(struct options *o, uint64_t seed);
void options_simple(struct options *o, uint64_t seed);
/* "seed=5 nodes=2 ...", what is not named stays; false: a word that is none, or out of range: *bad points to it. */
bool options_parse(struct options *o, const char *text, const char **bad);
/* The seed and what is not simple: a line without its end, in the form that options_parse takes; buffer of SIM_OPTIONS_TEXT bytes. */
enum { SIM_OPTIONS_TEXT = 4096 };
void options_print(const struct options *o, char *buffer);
