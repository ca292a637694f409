/* xfer.h - the transport: moves task forms and bulk regions between two nodes over packets that may be lost.  PURE: a state
 * machine without I/O, clock or heap; bytes and `now` in, packets and events out.  The same inputs give the same bytes.
 *
 * Thread: owning worker only, one endpoint each.  Memory: xfer_bytes() of the caller's.  Limits: struct xfer_config. */
#pragma once
#include "base/wheel.h"
#include "chi/archive.h"
#include "wire/wire.h"

struct xfer;
struct xfer_peer;

struct xfer_addr { /* compared by bytes; the port layer gives it meaning: IPv4 and UDP port in host order */
    uint32_t ip;
    uint16_t port, zero;
};

enum xfer_ecn { XFER_NOT_ECT, XFER_ECT_1, XFER_ECT_0, XFER_CE }; /* the two bits of an IP header, RFC 3168 */

/* A packet buffer of the host's: `data` has room for `cap` bytes of UDP payload. */
struct xfer_packet {
    uint8_t *data;
    uint32_t cap;
    uint32_t length; /* set by xfer before packet_send, */
    uint8_t ecn;     /* as this: enum xfer_ecn, for the IP header, */
    uint8_t source;  /* and which of this endpoint's source ports; 0 until the other side asks for another one */
    uint32_t tail_length; /* and this: so many of `length` bytes, the last ones, are not at `data` but at */
    const uint8_t *tail;  /* which is a part of a region, and stays until the host says that */
    uint32_t *tail_users; /* it looks at it no more: it takes one off (release).  Any thread; also when the packet is lost */
    void *owner;     /* the host's, e.g. an mbuf */
};

struct xfer_host {
    void *ctx;
    /* False: none free now; xfer tries again at the next xfer_tx. */
    bool (*packet_get)(void *ctx, struct xfer_packet *out);
    /* Takes the packet; it may be lost. */
    void (*packet_send)(void *ctx, const struct xfer_addr *to, struct xfer_packet *p);
    void (*packet_put)(void *ctx, struct xfer_packet *p); /* not needed after all */
    /* Memory for forms and regions that come in; NULL: none now.  64-byte aligned.  Undefined contents. */
    void *(*memory_get)(void *ctx, uint64_t size);
    void (*memory_put)(void *ctx, void *p, uint64_t size);
    uint64_t memory_largest; /* a region above it is refused with TOO_BIG, */
    uint64_t memory_total;   /* so are the regions of a message that together are above this */
    wire_crc32c_fn crc32c;
    uint64_t *drops; /* CHI_DROP_COUNT counters of the caller's */
};

enum { XFER_OVERCOMMIT_MAX = 64, XFER_PATHS_MAX = 4 };
struct xfer_config {
    uint64_t incarnation;   /* another one at each start */
    uint32_t node;
    uint16_t worker, workers;
    char cluster[WIRE_CLUSTER_MAX + 1];
    uint16_t packet_max;    /* largest packet (UDP payload) that this node sends and takes; paths are probed up to it (path.c) */
    uint16_t peers_max;     /* nodes */
    uint32_t slots;         /* messages out at once per session, a power of two, 2..65536 */
    uint32_t messages_in;   /* incoming messages at once, over all sessions */
    uint64_t peer_memory;   /* bytes that the messages of one peer may hold; what is beyond waits, one message always may */
    uint64_t all_memory;    /* and those of all peers, without exception: a message that needs more is refused with TOO_BIG */
    uint64_t grant_bytes;   /* of a large message are under way at once, at most */
    uint32_t overcommit;    /* large messages that have grants at once, 1..XFER_OVERCOMMIT_MAX; shortest remaining first */
    uint32_t unasked_bytes; /* of a message's regions go with it, before any grant */
    uint32_t credit_bytes;  /* and of all open messages of a session, from its peer */
    uint32_t quantum_bytes; /* of one bulk message before the next one's turn, 1..2^30 */
    uint32_t window_packets;/* sent and not acknowledged, per session, at most; a power of two, 4..4096 */
    uint64_t target_ns;     /* round trip that congestion control aims at (cc.h) */
    uint64_t pto_min_ns;    /* floor of the probe time-out */
    uint64_t pto_max_ns;    /* its back-off's ceiling */
    uint64_t ack_delay_ns;  /* a received packet is acknowledged at the latest after this */
    uint32_t ack_every;     /* and at the latest after so many packets */
    uint64_t hello_retry_ns;
    uint64_t silence_ns;    /* a peer of which nothing is heard for so long, while something is open with it, is down */
    uint64_t session_seed;  /* for unguessable session ids: from the system's random source */
};

/* What a writer may make.  It goes into one packet, with all that may stand beside it, and a peer may take no larger ones than
 * WIRE_PACKET_MIN, whatever this node's ports carry. */
enum { XFER_WRITER_MAX = WIRE_PACKET_MIN - 256 };

/* A task that goes out.  Lies in the caller's memory, untouched by it from xfer_send until its XFER_DONE event.
 * The form is either `form` (form_length bytes that stay), or made by `write`, which is called again for a repetition and must
 * give the same bytes; it returns the length, 0 when cap is too small.  A form above XFER_WRITER_MAX needs `form`.
 * Regions with WRITE are read, with EXPOSE written, until the event. */
struct xfer_out {
    const uint8_t *form;
    uint32_t form_length;
    size_t (*write)(struct xfer_out *m, uint8_t *dst, size_t cap);
    struct chi_ar_region *regions; /* `used` of the exposed ones is set by the answer */
    uint32_t nregions;
    uint64_t deadline_ns; /* absolute; the message then ends with DEADLINE, or UNREACHABLE when there never was a way for it */
    bool steady;          /* nobody writes to what its regions send meanwhile: it may go from where it lies.  A packet that changes on its way is
                           * taken for a damaged one, and what else was in it is late: so memory of strangers is copied */

    /* xfer's own */
    struct wheel_entry timer;
    struct xfer_out *next, *prev; /* while it waits for a slot, and for its event to be fetched */
    struct xfer_peer *peer;
    void *state;                  /* its slot; ended: memory that holds the answer's body, or NULL */
    const uint8_t *bytes;         /* ended: the answer's body */
    uint32_t length, status;
    uint32_t tails;               /* packets of the host's that refer to its regions (attach.c) */
};

/* A task that came in: xfer's record, from XFER_TASK until XFER_ANSWERED. */
struct xfer_in {
    struct chi_ar_region *regions; /* buffers of the host's memory: WRITE ones filled, STREAM ones as far as xfer_ready says, EXPOSE ones undefined */
    uint32_t nregions;
    uint32_t node;     /* who sent it */
    void *user;        /* the consumer's */
};

enum { XFER_ANSWER_SMALL = 128 };
/* The answer's body: bytes that stay until XFER_ANSWERED, or a writer as above, of at most XFER_WRITER_MAX bytes, which leaves the regions as they
 * are; of one that finds no room nothing goes. */
struct xfer_answer {
    enum chi_status status; /* not OK: no body, and nothing of the regions goes back */
    const uint8_t *body;
    uint32_t body_length;
    size_t (*write)(struct xfer_in *in, uint8_t *dst, size_t cap);
};

enum xfer_event_kind {
    XFER_TASK = 1,  /* in, bytes, length: the form, whole, its region table sound (form_regions); the rest of it is for the consumer to judge */
    XFER_DONE,      /* out, status, bytes, length: the answer's body; `used` of the regions is set */
    XFER_ANSWERED,  /* in: the answer, not a last one, arrived, or nobody waits for it; the record and its buffers are gone after this event */
    XFER_CANCELLED, /* in, status: its origin waits no longer; what was not begun need not be, and is answered all the same.  No XFER_MORE
                     * follows.  DEADLINE: it ended it; PEER_DOWN, PEER_RESTARTED: it went; SHUTDOWN: we go */
    XFER_MORE,      /* in: more is there of a region with STREAM, since its XFER_TASK or the last one of these */
    XFER_PEER_UP,   /* node, incarnation */
    XFER_PEER_DOWN, /* the same; what was open with it ends in the events behind */
};
struct xfer_event {
    uint32_t kind, node;
    enum chi_status status;
    struct xfer_out *out;
    struct xfer_in *in;
    const uint8_t *bytes; /* borrowed until the next xfer_rx, xfer_tick or xfer_tx */
    uint32_t length;
    uint64_t incarnation;
};

/* Bytes of memory that a configuration needs; 0: out of range. */
size_t xfer_bytes(const struct xfer_config *c);
/* Pre: mem 64-byte aligned and xfer_bytes(c) long.  Copies config and host. */
struct xfer *xfer_init(void *mem, const struct xfer_config *c, const struct xfer_host *h, uint64_t now);

/* Adds a peer, or changes where it is (port: of its worker 0, worker k listens on port + k).
 * Returns 0, -ENOSPC beyond peers_max, -EINVAL for our own node. */
CHI_MUST_CHECK int xfer_peer_set(struct xfer *x, uint32_t node, const struct xfer_addr *addr);
/* The same for one that has several addresses, 1 to XFER_PATHS_MAX, each reached by another port (way.c). */
CHI_MUST_CHECK int xfer_peer_paths(struct xfer *x, uint32_t node, const struct xfer_addr *paths, uint32_t n);
/* From now on way_up(ctx of the host) says whether the port by which an address is reached is up; before, each is. */
void xfer_watch_ways(struct xfer *x, bool (*way_up)(void *ctx, const struct xfer_addr *a));
/* From now on attaches(ctx of the host) says whether packets to an address may have a tail; before, none may. */
void xfer_attach(struct xfer *x, bool (*attaches)(void *ctx, const struct xfer_addr *to));
/* From now on each task that comes in goes to task(ctx of the host), within xfer_rx, and there is no XFER_TASK.  It may answer or push, and
 * calls nothing else of xfer's; the form is borrowed for the call. */
void xfer_take_tasks(struct xfer *x, void (*task)(void *ctx, struct xfer_in *in, const uint8_t *form, uint32_t length));
/* Ports came or went, or their links did: each peer goes over its first path that is up. */
void xfer_paths_changed(struct xfer *x, uint64_t now);
/* Forgets a peer.  What is open with it ends as when it is down: PEER_DOWN, or UNREACHABLE when it did not go out; what came of it
 * is cancelled.  Returns 0, -ENOENT. */
CHI_MUST_CHECK int xfer_peer_remove(struct xfer *x, uint32_t node, uint64_t now);
/* New messages to a peer end with DRAINING from now on, those that are open go on.  Returns 0, -ENOENT. */
CHI_MUST_CHECK int xfer_peer_drain(struct xfer *x, uint32_t node);

/* Sends a task to a node.  Always ends in one XFER_DONE, never before it returns: NO_NODE for a node that is no peer, DEADLINE,
 * PEER_*, UNREACHABLE, DRAINING, TOO_BIG, SHUTDOWN, or the answer's status. */
void xfer_send(struct xfer *x, uint32_t node, struct xfer_out *m, uint64_t now);

/* XFER_ANSWER_SMALL bytes in xfer's record of the message, for the body of its last answer. */
uint8_t *xfer_answer_room(struct xfer_in *in);

/* Answers a message, once, and gives the record up: its consumer hears nothing of it again.  The body is what xfer_answer_room has, `length`
 * bytes; none when the status is not OK, and one of OK only for a message without regions. */
void xfer_answer_last(struct xfer *x, struct xfer_in *in, enum chi_status status, uint32_t length, uint64_t now);

/* How many bytes of a region are there, from its start without a hole.  All of them but for one with STREAM, before its last
 * XFER_MORE.  Any thread to which the consumer gave the record (acquire: pairs with the release in place_bytes). */
uint64_t xfer_ready(const struct xfer_in *in, uint32_t region);

/* The first `bytes` bytes of an exposed region are as they stay: they go to the origin before the answer.  Again with more; less than
 * before says nothing.  Pre: not answered; bytes <= its size, and of a region that comes in too <= xfer_ready, as the origin sends
 * from the same memory. */
void xfer_push(struct xfer *x, struct xfer_in *in, uint32_t region, uint64_t bytes, uint64_t now);

/* Answers a message, once; regions' `used` says how much of each exposed one goes back: not less than was pushed, else it becomes
 * INVALID.  When inputs are still to come, they are not waited for, and stored no more.  An origin whose answer is not OK may find in its
 * buffer what was pushed, with `used` 0. */
void xfer_answer(struct xfer *x, struct xfer_in *in, const struct xfer_answer *a, uint64_t now);

/* Takes one packet (UDP payload); ecn: enum xfer_ecn, as its IP header came; the bytes are borrowed: they stay until the events
 * of this call are drained and their bytes no longer needed.  Returns NONE, or why it was dropped (already counted); of a packet
 * that was taken in part the rest is counted, and NONE returned when there are events.  Drain in any case. */
enum chi_drop xfer_rx(struct xfer *x, const struct xfer_addr *from, const uint8_t *p, size_t n, uint8_t ecn, uint64_t now);

/* The packet that xfer_rx took just now came by the queue of another worker, which handed it over, and the choice of its source port
 * may spare that: when it goes on, the peer is asked for another one. */
void xfer_astray(struct xfer *x, const uint8_t *p, size_t n);

/* The next event; false when there is none.  Drain after each xfer_rx and xfer_tick. */
bool xfer_next_event(struct xfer *x, struct xfer_event *out);

/* Deadlines, probe time-outs, hello retries.  In each turn of the host, after what its ports had went into xfer_rx: what comes in
 * later can only have come since, and no longer is it taken for a delay of the network. */
void xfer_tick(struct xfer *x, uint64_t now);

/* Sends what may go now, at most `budget` packets; returns how many went. */
unsigned xfer_tx(struct xfer *x, uint64_t now, unsigned budget);

/* When xfer_tick and xfer_tx must be called next, if nothing happens before; now or earlier: at once; UINT64_MAX: never. */
uint64_t xfer_deadline(const struct xfer *x);

/* Ends every open message with SHUTDOWN and tells the peers (a CLOSE frame each, by the next xfer_tx). */
void xfer_shutdown(struct xfer *x, uint64_t now);

/* Figures of a peer, for chictl. */
enum xfer_peer_state { XFER_PEER_IDLE, XFER_PEER_HELLO, XFER_PEER_READY, XFER_PEER_REFUSED, XFER_PEER_SILENT };
struct xfer_peer_stats {
    uint32_t node, state; /* enum xfer_peer_state */
    uint64_t incarnation;
    uint64_t packets_tx, packets_rx, bytes_tx, bytes_rx; /* UDP payload */
    uint64_t acks_tx, acks_rx; /* ACK frames */
    uint64_t retransmits;     /* packets declared lost whose frames were sent again */
    uint64_t spurious;        /* packets declared lost that arrived */
    uint64_t probes;          /* probe time-outs */
    uint64_t cuts;            /* of the congestion window */
    uint64_t pings, downs;    /* how often it was asked whether it lives, and declared down */
    uint64_t moves;           /* from one of its addresses to another */
    uint64_t duplicates;
    uint64_t tasks_out, tasks_in, answers_out, answers_in;
    uint64_t segment_bytes_tx, segment_bytes_rx;
    uint64_t attached_bytes_tx; /* of them, those that went from where they lay */
    uint64_t grants_tx, grants_rx, calls_tx, calls_rx; /* GRANT frames; calls: those with AGAIN */
    uint64_t cancels_tx, cancels_rx;
    uint64_t srtt_ns, rtt_min_ns;
    uint64_t window, in_flight_bytes;
    uint64_t marks_rx, marks_tx; /* packets that came with CE; of ours, as the peer says */
    uint32_t packet_bytes;    /* how long packets to it are, at most */
    uint64_t memory, memory_most; /* bytes that its messages hold here; and held, at most */
    uint32_t in_flight, open_out, open_in;
    uint32_t waiting_out;     /* for a session or a slot */
    uint32_t waiting_in;      /* for room */
    uint32_t waiting_turn;    /* large ones of its, for a grant of ours */
    uint64_t drops[CHI_DROP_COUNT]; /* packets and frames of its, as far as session and address tell */
};
/* All peers: copies at most n; returns how many there are. */
unsigned xfer_stats(const struct xfer *x, struct xfer_peer_stats *out, unsigned n);
/* One node; false: it is no peer. */
bool xfer_stats_of(const struct xfer *x, uint32_t node, struct xfer_peer_stats *out);

struct xfer_session_stats { /* of a live one */
    uint16_t worker;       /* of the peer's */
    uint16_t packet_bytes; /* largest packet that goes */
    bool sends, paced;     /* new messages go into it; congestion control spaces packets */
    uint64_t srtt_ns, rtt_var_ns, rtt_min_ns, pto_ns, window, in_flight_bytes;
    uint32_t in_flight, probes; /* time-outs in a row */
    uint32_t credit, unasked;   /* bytes that the peer takes without a grant; that are out */
    uint32_t open_out;
};
/* The live sessions with a node: copies at most n; returns how many there are. */
unsigned xfer_sessions_of(const struct xfer *x, uint32_t node, struct xfer_session_stats *out, unsigned n);
