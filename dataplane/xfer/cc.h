/* cc.h - congestion control of one session: how many bytes may be out, and when the next packet may go.  PURE: integers and
 * `now` in, the same everywhere.
 *
 * The window follows delay, as in Swift (Kumar et al., SIGCOMM 2020): what a round trip takes, without the time that the two hosts
 * may have taken themselves (they sleep, and are preempted), against a target; on a path that is long by itself, against a quarter more than its shortest round trip
 * of late.  A target for all keeps flows fair that began behind the queue of others; and only a round trip without a queue of
 * one's own may raise what counts as the shortest.  Marks of switches (ECN) weigh by their share, as in
 * DCTCP (RFC 8257).  A lost packet counts as congestion only where delay, marks or a large share of losses agree: a link that
 * damages one packet in a hundred is not a full one.  Time-outs in a row shrink it to the minimum (RFC 9002, 7.6).
 * The target is higher for smaller windows (Swift's flow scaling): so the many flows of an incast find room, and two flows their fair
 * shares.  The window begins with CC_INITIAL packets and doubles each round trip until the first sign of congestion; later it grows by
 * a part of a packet each round trip, the same for all windows of a packet and up, and more the longer the path stays free.  Packets are paced only after such a sign, until the window is whole again, and only while more than half of it is out.
 *
 * Thread: owning worker.  Memory: the caller's struct.  All O(1). */
#pragma once
#include "chi/base.h"

enum {
    CC_INITIAL = 10,        /* packets */
    CC_MIN_SHIFT = 3,       /* smallest window: an eighth of a packet, one packet each eight round trips */
    CC_PACING_BURST = 8,    /* packets that may go at once after a pause, where the window has room for them */
    CC_GROWTH_SHARE = 4,    /* of a packet, by which the window grows in a round trip */
    CC_LOSS_SHARE = 8,      /* of the packets of two rounds, one in so many lost, */
    CC_LOSS_LEAST = 4,      /* and so many at least: congestion without any other sign */
    CC_SCALE_PERCENT = 300, /* the target of the smallest window is so much higher, */
    CC_SCALE_PACKETS = 64,  /* and from this one on not at all */
    CC_MIN_RTT_SPAN_S = 10, /* the shortest round trip may rise once in this time */
};

struct cc {
    uint64_t window, in_flight; /* bytes */
    uint64_t limit;             /* of the window */
    uint64_t target_ns;         /* round trip that large windows aim at */
    uint64_t scaled_ns;         /* by this one */
    uint64_t min_rtt_ns, next_min_rtt_ns, min_since_ns; /* next: of this span, with at most two packets out; UINT64_MAX: no sample yet */
    uint64_t rtt_ns;            /* smoothed, for pacing and rounds */
    uint64_t next_ns;           /* paced: when the next packet may go */
    uint64_t cut_ns;            /* when the window was cut last */
    uint64_t before_cut;        /* the window then: for undo; 0: none, or too late */
    uint64_t owed;              /* growth below a byte, times the window */
    uint64_t round_end;         /* packet number that begins the next round */
    uint32_t round_packets, round_marks, round_losses, last_packets; /* last: of the round before */
    uint32_t marked_share;      /* smoothed, of 1024 */
    uint32_t free_rounds;       /* in a row, without a sign */
    uint32_t packet_bytes;
    uint32_t cuts;              /* for figures */
    bool doubling, throttled, delayed; /* delayed: this round saw congestion */
};

/* limit: the largest window, bytes; packet_bytes: of a full packet. */
void cc_init(struct cc *c, uint64_t limit, uint32_t packet_bytes, uint64_t target_ns);

/* True when the window has room for a packet of any size; one packet may always be out. */
static inline bool cc_room(const struct cc *c) { return c->in_flight < c->window || c->in_flight == 0; }
/* When the next packet may go; 0: at once. */
static inline uint64_t cc_next_ns(const struct cc *c) { return c->throttled ? c->next_ns : 0; }

/* A packet that wants an acknowledgement went out. */
void cc_sent(struct cc *c, uint32_t bytes, uint64_t now);
/* One is out no more: acknowledged, or given up. */
static inline void cc_gone(struct cc *c, uint32_t bytes) { c->in_flight -= bytes; }

/* An acknowledgement that said something new: `packets` and `bytes` of ours that it covers, `marks` of them marked on the way; rtt_ns
 * of its newest packet, 0 when that one is not new, and delay_ns, what of it the two hosts may have taken: more than they did takes
 * only this sample away.  largest: its
 * number; next_number: the next packet's.  wanted: more would have gone if the window had been larger. */
struct cc_ack {
    uint64_t bytes, rtt_ns, delay_ns, largest, next_number;
    uint32_t packets, marks;
    bool wanted;
};
void cc_acked(struct cc *c, const struct cc_ack *a, uint64_t now);
/* So many packets were found lost. */
void cc_lost(struct cc *c, uint32_t packets, uint64_t now);
/* The losses of late were none: the packets came after all. */
void cc_undo(struct cc *c);
/* The so-manieth probe time-out in a row. */
void cc_timeout(struct cc *c, uint32_t count, uint64_t now);
/* Another packet size, and another limit. */
void cc_packet_bytes(struct cc *c, uint64_t limit, uint32_t bytes);
