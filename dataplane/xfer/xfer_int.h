/* xfer_int.h - the transport's own records, and what its files offer each other.  PURE.
 *
 * Files, outermost first: xfer.c (api) layout.c (memory) rx.c tx.c (packets) hello.c control.c (outside of a session) peer.c way.c
 * port.c session.c alive.c path.c attach.c msg_out.c gather.c msg_in.c grant.c (messages) flow.c (frames of a message) loss.c ack.c
 * window.h cc.c sentmap.c place.c timers.c list.h.
 *
 * One record each: peer = a node; session = a peer's worker; out_slot = a message of ours that is out; msg_in = a message
 * of a peer's.  A frame that is in flight or lost names its message by slot and generation only, so that whatever ended in
 * the meantime is simply not found: after XFER_DONE nothing here reaches the message's memory. */
#pragma once
#include "base/pool.h"
#include "base/prng.h"
#include "base/ranges.h"
#include "cc.h"
#include "list.h"
#include "sentmap.h"
#include "timers.h"
#include "xfer.h"

enum {
    XFER_SESSIONS_EXTRA = 16, /* sessions beside two a peer: nodes with more workers than this one */
    XFER_CONTROLS = 64,       /* HELLO and REFUSE packets that wait to be sent */
    XFER_TRACKS = 128,        /* regions that have holes, over all messages */
    XFER_FORM_SMALL = XFER_ANSWER_SMALL, /* a form up to this length needs no memory of the host's */
    XFER_BODY_SMALL = 64,     /* nor does a body */
    XFER_CANCELS = 8,         /* times that a CANCEL is repeated: its slot's next use says the same */
    XFER_STARVED = 12,        /* tries in vain: then a message that waits for room is refused, where nothing else holds any */
    XFER_ROOM_SHIFT_MAX = 7,
    XFER_CALLS = 5,           /* in vain: the message is forgotten */
    XFER_ACK_BESIDE = 8,      /* ranges of an ACK that shares its packet; alone: WIRE_ACK_RANGES */
    XFER_ACK_ROOM = WIRE_BYTES_ACK + 8 * (XFER_ACK_BESIDE - 1),
    XFER_REFUSE_BURST = 32,   /* REFUSE packets at once; then one each XFER_REFUSE_NS */
};
static const uint64_t XFER_REFUSE_NS = 100000;
static const uint64_t XFER_ROOM_NS = 1000000; /* messages that wait for room are tried again after this, and later: hosts free memory too */
static const uint64_t XFER_CALL_NS = 250000000;
/* An incoming message of which nothing comes for so many times the silence is given up, though its origin lives: it ended, and each
 * CANCEL was lost. */
enum { XFER_GIVE_UP = 10 };

/* --- place.c: the one function that stores remote bytes */

struct track { /* what came behind a hole of one region */
    struct track *next;
    uint32_t region;
    struct ranges ranges;
};
struct place {
    uint8_t *base;
    uint64_t size;
    uint64_t *have;        /* bytes from the start without a hole; others may read it (xfer_ready) */
    struct track **tracks; /* of the message */
    uint32_t region;
};
/* Stores length bytes at offset.  NONE: they are there; else nothing was stored: REGION_BOUNDS, REGION_FRAGMENTED, NO_MEMORY. */
CHI_MUST_CHECK enum chi_drop place_bytes(struct xfer *x, const struct place *to, uint64_t offset, const uint8_t *bytes,
                                         uint32_t length);
void place_forget(struct xfer *x, struct track **tracks);

/* --- messages */

struct flow { /* what of a message must still be sent; in one of its session's lists while there is something */
    struct link link;
    uint64_t offset;  /* next byte of this step's region */
    uint64_t passed;  /* bytes of the regions before it */
    uint64_t granted; /* bytes of regions that may go */
    uint32_t inlined; /* bytes of the form that went with the head */
    uint32_t turn_bytes; /* sent since the last one's turn */
    uint8_t step;     /* 1..n: that bulk region; n + 1: the form behind `inlined`; n + 2: nothing is left */
    bool answer;      /* embedded in a msg_in, else in an out_slot */
    bool head_sent;   /* TASK_IN or TASK_OUT */
    bool head_acked;
    bool careful;     /* its TASK_IN was lost: segments wait until it is acknowledged */
    bool over;        /* nothing is left, without another look */
    bool last;        /* a last answer: one frame, with its body in the record */
    uint8_t round;    /* how often it began again */
    uint32_t unasked; /* bytes of its regions that count against the session's credit */
};

struct body { /* an answer's body that did not come in one piece; host memory */
    struct body *next;
    uint64_t size; /* with this header */
    uint8_t zero[48];
    uint8_t bytes[];
};

struct out_slot {
    struct xfer_out *m; /* NULL: free */
    struct xfer_session *session;
    struct flow flow;
    uint32_t index, generation;
    bool sent;     /* its TASK_IN went out at least once: it may have run */
    bool owes;     /* the one before it went out, and was not ended there: its TASK_IN will, or a CANCEL */
    bool answered; /* its TASK_OUT is here; segments may still be missing */
    uint8_t exposed;
    uint32_t body_length;
    uint64_t body_have;
    struct body *body; /* NULL: in `small` */
    struct track *tracks;
    uint8_t small[XFER_BODY_SMALL];
    uint64_t used[WIRE_REGIONS]; /* by region; once answered */
};

enum in_state { IN_RECEIVING = 1, IN_QUEUED, IN_RUNNING, IN_ANSWERING, IN_ENDED };
struct msg_in {
    struct xfer_in pub;
    struct xfer_session *session; /* NULL: orphaned, its origin waits no longer */
    struct xfer_peer *peer;
    struct link link;             /* RECEIVING, ANSWERING, RUNNING while it streams: x->idle; QUEUED: x->tasks; RUNNING: x->cancelled;
                                     ENDED: x->ended */
    struct flow flow;             /* the answer's; before it, of what is pushed */
    uint64_t stamp_ns;            /* when something of it moved last */
    uint32_t slot, generation;
    const uint8_t *form;
    uint32_t form_length;
    /* From here to `turn` all is zero at first (record_new). */
    uint32_t missing;  /* regions but those that stream, and the form, that are not whole yet */
    uint64_t held;     /* bytes of the host's memory */
    uint64_t total, arrived, granted; /* bytes of its WRITE regions; arrived: and again, where the network repeats */
    uint8_t *form_memory; /* the host's, or NULL */
    uint64_t form_have;
    struct track *tracks;
    uint32_t unacked;  /* frames of the answer in flight or lost */
    uint32_t tails;    /* packets of the host's that refer to its regions (attach.c) */
    uint8_t state;     /* enum in_state */
    bool internal;     /* its consumer never saw it, or gave it up with a last answer */
    uint8_t exposed;
    bool scheduled;    /* x->active has it, or x->schedule */
    bool plain;        /* no regions, and it came in one piece: it is nothing but this record.  `grant` is not in use */
    bool early;        /* has a region that streams, or pushed: `more` is in use */
    uint8_t streaming; /* regions with STREAM that are not whole yet */
    uint8_t why;       /* orphaned: enum chi_status */
    struct timer turn; /* in x->schedule: by what remains */
    struct link age;   /* of x->aged, while it is in x->schedule */
    struct link grant; /* of its session's grants: one must be sent */
    struct link more;  /* of x->more: an XFER_MORE is due */
    struct xfer_answer answer;
    struct chi_ar_region region[CHI_REGIONS_MAX];
    struct in_part {
        uint64_t have;   /* of what comes in: bytes from the start without a hole */
        uint64_t pushed; /* of what goes back: bytes that may go before the answer, */
        uint64_t sent;   /* and that went */
    } part[CHI_REGIONS_MAX];
    uint8_t small[XFER_FORM_SMALL]; /* the form until it is whole; the body of a last answer */
};
/* True while bytes of it are still stored. */
static inline bool in_receives(const struct msg_in *in)
{
    return in->state == IN_RECEIVING || (in->state < IN_ANSWERING && in->streaming);
}
struct in_slot { /* of the peer's slots */
    uint32_t generation; /* newest that came; 0: none yet */
    bool waiting;        /* for room: nothing of it was kept */
    uint8_t calls;       /* in vain */
    uint64_t needs;      /* waiting: bytes of memory */
    struct msg_in *in;   /* NULL: it is over, or waits */
    struct xfer_session *session;
    struct link link;    /* waiting: of the peer's */
};

/* --- sessions and peers */

struct rtt {
    uint64_t srtt_ns, var_ns, latest_ns, min_ns; /* srtt 0: no sample yet */
};

struct path_counts {
    uint16_t capable, marked; /* packets that came ECN-capable; with CE; modulo 2^16 */
};
struct path { /* what the network between does to packets: path.c */
    uint8_t ecn_mask;    /* of the bits that come: 3, or 0 where ECN was not agreed on */
    uint8_t ecn;         /* enum xfer_ecn of packets that go */
    bool ecn_proved;     /* one of ours came there capable and unmarked */
    uint32_t tested;     /* until then: those that came marked */
    uint64_t trial;      /* from this number on packets go without, until one that went before is known to have come; 0: no trial */
    uint32_t ahead;      /* packets of ours that came capable, beyond those acknowledged */
    struct path_counts came; /* of the peer's */
    struct path_counts said; /* of ours: by the peer's newest header, which has this number, */
    uint64_t said_number;
    struct path_counts taken; /* and as far as they were taken */

    bool probes;         /* the peer understands PAD, */
    bool asks;           /* and PORT */
    bool probe_due;
    uint8_t tries;       /* probes of probe_bytes that were lost */
    uint8_t vanished;    /* large packets lost since one arrived */
    uint16_t most;       /* largest packet that both sides take */
    uint16_t probe_bytes;
    uint64_t probe;      /* number of the one that is out; 0: none is */
    uint64_t again_ns;   /* when to search again */
    uint64_t look_ns;    /* acknowledgements from then on are looked at */
};
struct attach { /* whether packets with a tail arrive: attach.c */
    bool proved;
    uint8_t lost;   /* in a row */
    uint64_t trial; /* number of the one that is out while it is not proved; 0: none is */
};

struct xfer_session { /* with one worker of a peer; live: both sides proved to know the other's id */
    struct xfer *x;
    struct xfer_peer *peer; /* NULL: the record is free */
    struct link of_peer;
    struct link link; /* live: in x->ready, or in none; else, when shared, in x->spare */
    struct xfer_addr addr;
    struct timer timer;
    uint16_t worker;
    uint16_t packet_bytes; /* how long packets are, at most, for now */
    bool live, ack_due, close_due, ping_due;
    bool urgent;  /* one packet may go though the window is full: a probe time-out, or a PING */
    bool notices; /* a frame of flow_notices may be due */
    uint32_t live_id, offer_id; /* ours: in use; offered to whoever says HELLO next.  Never 0 but live_id when not live */
    uint64_t offered_incarnation; /* life of the peer that was answered with offer_id; 0: none yet */
    uint32_t peer_session;
    uint64_t peer_incarnation;
    uint64_t hello_ns; /* when offer_id went out last */
    uint32_t hellos;   /* how often */

    /* which source port packets have (port.c) */
    uint8_t source;      /* ours, as the peer wished last */
    uint8_t wish;        /* its, as we wished last; also how often we did */
    bool wish_due;
    uint8_t strays;      /* packets that came by another worker's queue, of those since */
    uint64_t strays_from; /* this number of the peer's packets */
    uint64_t wish_ns;    /* when strays count again */

    /* sending */
    struct link fresh, again, bulk; /* flows: head not sent yet; head lost; segments left */
    struct link grants, cancels;    /* messages that a frame must be sent about: of the peer's; flows of ended ones */
    uint32_t credit, unasked;       /* bytes of regions that the peer takes without a grant; that count against it now */
    uint32_t turn;                  /* packets with data so far: whose turn it is among them (tx.c) */
    struct sentmap sent;
    struct cc cc;
    struct rtt rtt;
    struct path path;
    struct attach attach;
    uint32_t reordering; /* a packet counts as lost when one so many later was acknowledged */
    uint32_t lateness;   /* or so many eighths of a round trip later */
    uint64_t next_number, largest_acked;
    uint64_t eliciting_ns; /* when the last packet that wants an ack went */
    uint64_t loss_ns;      /* when the time threshold passes for the next packet; 0: for none */
    uint32_t pto_count;

    /* receiving */
    struct ranges got;
    uint64_t floor;        /* numbers below it count as seen */
    uint64_t rx_largest, rx_largest_ns; /* and when it came, at the earliest */
    uint64_t ack_ns;       /* when the ack is due; 0: nothing to acknowledge */
    uint32_t ack_count;    /* packets that wait for it */

    struct out_slot *out;
    struct in_slot *in;
    uint32_t *out_free; /* stack of slot numbers */
    uint32_t out_slots, out_free_count;
};

struct xfer_peer {
    uint32_t node;         /* 0: removed; the record is free when its messages are gone */
    struct xfer_addr addr; /* of its worker 0, on the way in use */
    struct xfer_addr ways[XFER_PATHS_MAX];
    uint32_t way_count, way;
    uint64_t moved_ns;     /* to this way, */
    uint64_t hold_ns;      /* and for how long before the first is tried again; 0: for good */
    uint16_t workers;      /* 0: not known */
    uint16_t proved_bytes; /* a packet so long arrived, the last time that it was tried; 0: none was */
    bool dialing, refused, draining;
    bool watched; /* something is open, or was a moment ago: alive_ns is when to look */
    bool down;    /* until it says HELLO again */
    uint8_t pings; /* unanswered */
    uint64_t heard_ns, alive_ns;
    uint32_t attempts;
    uint32_t foreign; /* the attempt that was answered with another version; 0: none was */
    uint64_t dial_ns;  /* next HELLO, while dialing */
    uint64_t hello_ns; /* last one sent by dialing */
    uint64_t incarnation;
    struct xfer_session *send; /* where new messages go; NULL: none is live */
    struct link sessions, news;
    struct link waiting_in; /* in_slots of messages that wait for room, first come first */
    struct link hungry;     /* of x->hungry, while the first of them may have what it needs, as far as this peer goes */
    struct xfer_out *waiting, *waiting_last; /* by next and prev */
    struct timer timer;
    struct xfer_peer_stats stats;
};

struct control {
    struct xfer_addr to;
    bool refuses;
    struct wire_hello hello;
    struct wire_refuse refuse;
};

struct xfer {
    struct xfer_config config;
    struct xfer_host host;
    bool (*way_up)(void *ctx, const struct xfer_addr *a); /* NULL: each is */
    bool (*attaches)(void *ctx, const struct xfer_addr *to); /* NULL: none */
    void (*task)(void *ctx, struct xfer_in *in, const uint8_t *form, uint32_t length); /* NULL: an event */
    struct prng prng;
    uint64_t now_ns;  /* of the call under way */
    uint64_t tick_ns; /* of the last xfer_tick: what comes in now came after it */
    bool closed;
    struct link ready; /* live sessions that can send now */
    struct link spare; /* shared ones that are not live, longest unused first */
    struct link tasks, more, cancelled, ended;
    struct link news;  /* peers that came up or went down */
    struct link idle;  /* messages that wait for their peer, longest first */
    struct xfer_out *done, *done_last;
    struct xfer_out *kept;     /* ended, but for packets that refer to them: by next; */
    struct link whole, leaving; /* the same: out_slots whose answer is whole; msg_ins */
    struct msg_in *gone; /* its ANSWERED was handed out */
    struct body *bodies; /* handed out */
    struct timers timers;
    struct wheel deadlines;
    struct control *controls;
    uint32_t control_first, control_count;
    uint32_t refuse_tokens;
    uint64_t refuse_ns;
    struct pool ins, tracks;
    struct link hungry;      /* peers with messages that wait for room and may hold more, in turns */
    struct in_slot *called;  /* whose inputs come again now: there is room for them */
    bool call_due;           /* and it must be told */
    uint64_t call_ns;        /* when the next one is called: nothing came */
    uint32_t tries;          /* in a row that found no room; since something was given back last */
    uint64_t held;           /* bytes of the host's memory */
    uint64_t room_ns;        /* when to try again */
    struct timers schedule;  /* large messages without grants, by what remains */
    struct link aged;        /* the same, oldest first */
    struct msg_in *active[XFER_OVERCOMMIT_MAX]; /* those with */
    uint32_t active_count, picks;
    struct xfer_peer *peers, **peer_table; /* table: open addressing by node */
    struct xfer_session *sessions;         /* as many as peers_max: of that peer alone; the rest: shared by all */
    uint32_t peer_count, peer_mask, session_count, session_mask;
    _Alignas(CHI_CACHE_LINE) uint8_t nowhere[CHI_CACHE_LINE]; /* where regions of size 0 lie */
};

static inline enum chi_drop xfer_drop(struct xfer *x, enum chi_drop d)
{
    x->host.drops[d]++;
    return d;
}
/* The same of what a session's peer sent. */
static inline enum chi_drop session_drop(struct xfer_session *s, enum chi_drop d)
{
    s->peer->stats.drops[d]++;
    return xfer_drop(s->x, d);
}

/* --- xfer.c */
/* What was handed out with events is given back: their bytes were borrowed until now. */
void xfer_release(struct xfer *x);
static inline bool xfer_has_events(const struct xfer *x)
{
    return x->done || !list_empty(&x->tasks) || !list_empty(&x->more) || !list_empty(&x->cancelled) || !list_empty(&x->ended) ||
           !list_empty(&x->news);
}

/* --- peer.c */
struct xfer_peer *peer_find(const struct xfer *x, uint32_t node);
void peer_wait(struct xfer_peer *p, struct xfer_out *m, bool first);
void peer_wait_remove(struct xfer_peer *p, struct xfer_out *m);
/* Moves waiting messages to free slots of the live session, or dials when there is none. */
void peer_push(struct xfer *x, struct xfer_peer *p, uint64_t now);
void peer_dial(struct xfer *x, struct xfer_peer *p, uint64_t now);
void peer_refused(struct xfer *x, struct xfer_peer *p, enum chi_status status);
/* Its number of workers is known now: the next HELLO goes to the right one, at once. */
void peer_redial(struct xfer *x, struct xfer_peer *p, uint64_t now);
void peer_tick(struct xfer *x, struct xfer_peer *p, uint64_t now);

/* --- way.c: which of a peer's addresses packets go to */
enum { WAY_TRIES = 3 };
void way_set(struct xfer *x, struct xfer_peer *p, const struct xfer_addr *ways, uint32_t n);
/* True for an address of the peer's. */
bool way_known(const struct xfer_peer *p, uint32_t ip);
/* To the first way that is up. */
void way_first(struct xfer *x, struct xfer_peer *p);
/* To the next way that is up, if there is one: this one is silent. */
void way_next(struct xfer *x, struct xfer_peer *p);
/* The same when this one is down. */
void way_check(struct xfer *x, struct xfer_peer *p);
/* A probe had no answer, the tries-th in a row, for try_ns.  That is silence when it is long enough for a peer that was only late, and
 * not what another session has moved away from just now. */
void way_late(struct xfer *x, struct xfer_peer *p, uint32_t tries, uint64_t try_ns);
/* A packet came: perhaps it is time to try the first way again. */
static inline void way_return(struct xfer *x, struct xfer_peer *p)
{
    if (CHI_UNLIKELY(p->way && p->hold_ns) && x->now_ns - p->moved_ns >= p->hold_ns)
        way_first(x, p);
}
/* The newest packet of the peer came from another of its addresses than packets go to. */
void way_heard(struct xfer *x, struct xfer_peer *p, uint32_t ip);

/* --- session.c */
struct xfer_session *session_find(const struct xfer_peer *p, uint16_t worker);
static inline bool session_is_shared(const struct xfer_session *s)
{
    return (uint32_t)(s - s->x->sessions) >= s->x->config.peers_max;
}
/* Finds the record, or makes it: the peer's own one, or in place of the longest unused shared one that is not live.  No peer can thus
 * take what another one needs for its first session.  NULL: all of those are live. */
struct xfer_session *session_get(struct xfer *x, struct xfer_peer *p, uint16_t worker);
struct xfer_session *session_by_id(const struct xfer *x, uint32_t id);
/* Another id is offered from now on, to nobody yet. */
void session_offer_fresh(struct xfer_session *s);
void session_set_addr(struct xfer_session *s);
/* Its peer is removed: the record is free for any other. */
void session_release(struct xfer_session *s);
/* The handshake proved that h's sender knows offer_id: it becomes the live session, the former one ends. */
void session_establish(struct xfer_session *s, const struct wire_hello *h, uint64_t now);
/* Messages that went out end with the status, the others wait again; incoming ones are orphaned. */
void session_end(struct xfer_session *s, enum chi_status status);
/* Puts it among those that can send, if it can. */
void session_wake_up(struct xfer_session *s);
static inline void session_wake(struct xfer_session *s)
{
    if (!list_linked(&s->link)) /* the usual one is there already */
        session_wake_up(s);
}
/* The same for one that has a notice (flow_notices). */
void session_notice(struct xfer_session *s);
void session_alarm_set(struct xfer_session *s);
void session_tick(struct xfer_session *s, uint64_t now);

/* --- alive.c */
void alive_begin(struct xfer *x, struct xfer_peer *p);
/* Something is open with the peer now. */
static inline void alive_watch(struct xfer *x, struct xfer_peer *p)
{
    if (CHI_UNLIKELY(!p->watched))
        alive_begin(x, p);
}
static inline void alive_heard(struct xfer_peer *p, uint64_t now)
{
    p->heard_ns = now;
    p->pings = 0;
}
/* Something is open with it: it is to hear of us now, where we are. */
void alive_show(struct xfer_peer *p);
void alive_down(struct xfer *x, struct xfer_peer *p);
void alive_tick(struct xfer *x, struct xfer_peer *p, uint64_t now); /* at p->alive_ns */

/* --- port.c */
uint32_t port_put(struct xfer_session *s, uint8_t *p); /* the frame of the wish that is due; its length */

/* --- path.c */
void path_init(struct xfer_session *s, const struct wire_hello *h);
/* So many packets of ours were acknowledged; returns how many of them count as marked. */
uint32_t path_marks(struct xfer_session *s, uint32_t packets);
/* A packet that was counted as lost; and a probe time-out, not the first in a row. */
void path_lost(struct xfer_session *s, uint32_t bytes);
void path_timeout(struct xfer_session *s);
/* An acknowledgement came at or after look_ns; before the packets that it covers are resolved. */
void path_look(struct xfer_session *s, const struct wire_ack *a, uint64_t now);
/* Fills the packet, which carries nothing that must arrive, up to the size that is to be tried. */
struct pack;
void path_probe(struct xfer_session *s, struct pack *k);

/* --- hello.c, control.c */
CHI_MUST_CHECK enum chi_drop hello_rx(struct xfer *x, const struct xfer_addr *from, const uint8_t *p, size_t n, uint64_t now);
CHI_MUST_CHECK enum chi_drop refuse_rx(struct xfer *x, const struct xfer_addr *from, const uint8_t *p, size_t n, uint64_t now);
void hello_dial(struct xfer_session *s, uint64_t now);
void control_hello(struct xfer *x, const struct xfer_addr *to, const struct wire_hello *h);
void control_refuse(struct xfer *x, const struct xfer_addr *to, enum wire_refuse_reason reason, uint32_t session, uint64_t now);
unsigned control_tx(struct xfer *x, unsigned budget);

/* --- msg_out.c */
void out_open(struct xfer_session *s, struct xfer_out *m);
/* Ends a message: its XFER_DONE waits to be fetched.  bytes: of the packet at hand, or NULL. */
void out_end(struct xfer *x, struct xfer_out *m, enum chi_status status, const uint8_t *bytes, uint32_t length);
/* Its answer is whole. */
void out_whole(struct out_slot *o);
/* Its XFER_DONE is to be fetched now. */
void out_done(struct xfer *x, struct xfer_out *m);
CHI_MUST_CHECK enum chi_drop out_answer(struct xfer_session *s, const struct wire_task_out *f, uint64_t now);
CHI_MUST_CHECK enum chi_drop out_grant(struct xfer_session *s, const struct wire_grant *f);
/* The same when its peer need not go on: a CANCEL follows. */
void out_cancel(struct xfer *x, struct xfer_out *m, enum chi_status status);
CHI_MUST_CHECK enum chi_drop out_segment(struct xfer_session *s, const struct wire_segment *f, uint64_t now);

/* --- gather.c */
CHI_MUST_CHECK enum chi_drop in_task(struct xfer_session *s, const struct wire_task_in *f, uint64_t now);
CHI_MUST_CHECK enum chi_drop in_segment(struct xfer_session *s, const struct wire_segment *f, uint64_t now);

/* --- msg_in.c */
CHI_MUST_CHECK enum chi_drop in_cancel(struct xfer_session *s, const struct wire_cancel *f);
void in_answer(struct xfer *x, struct msg_in *in, const struct xfer_answer *a, uint64_t now);
void in_answer_last(struct xfer *x, struct msg_in *in, enum chi_status status, uint32_t length, uint64_t now);
void in_run(struct xfer *x, struct msg_in *in); /* its consumer has it now */
void in_push(struct msg_in *in, uint32_t region, uint64_t bytes);
/* Something of it moved, or may move only now. */
static inline void in_moved(struct xfer *x, struct msg_in *in, uint64_t now)
{
    in->stamp_ns = now;
    if (in->state != IN_QUEUED)
        list_to_tail(&x->idle, &in->link);
}
void in_orphan(struct msg_in *in, struct xfer *x, enum chi_status why);
/* Nobody waits for the slot's message any more: what was not handed on is dropped, else its consumer is told, and why. */
void in_forget(struct xfer_session *s, struct in_slot *slot, enum chi_status why);
void in_frame_acked(struct msg_in *in, struct xfer *x, uint64_t now);
/* The slot's last answer, one frame, arrived.  True: its record went, and room_freed is left to the caller. */
bool in_last_acked(struct in_slot *slot, struct xfer *x);
void in_give_back(struct xfer *x, struct msg_in *in); /* the record and all that it holds */
void in_free(struct xfer *x, struct msg_in *in);      /* the same, and room_freed */
void in_early(struct msg_in *in);                     /* something goes or comes while its consumer has it, for the first time perhaps */
/* It ended: its consumer is told, if it still has it. */
void in_leave(struct xfer *x, struct msg_in *in);
/* Gives up what has been silent for too long.  It has no deadline of its own: as long as it is open its peer is looked at often. */
void in_tick(struct xfer *x, uint64_t now);

/* --- grant.c: room for messages that come in, and the turns of large ones */
/* True when a message of the peer's that needs `bytes` may try for room now: the peer, and all of them, may hold so much more, and no other
 * waits before it. */
bool room_may_try(const struct xfer *x, const struct xfer_peer *p, const struct in_slot *slot, uint64_t bytes);
/* Nothing of the message was kept: it waits, and is called when there may be room for the bytes that it needs. */
void room_wait(struct xfer_session *s, struct in_slot *slot, uint64_t needs);
void room_wait_end(struct in_slot *slot);
void room_line_changed(struct xfer *x, struct xfer_peer *p);
/* The peer's messages hold more or less now. */
static inline void room_line(struct xfer *x, struct xfer_peer *p)
{
    if (CHI_UNLIKELY(!list_empty(&p->waiting_in) || list_linked(&p->hungry)))
        room_line_changed(x, p);
}
/* Memory or a record was given back. */
void room_freed(struct xfer *x);
void room_tick(struct xfer *x, uint64_t now);
uint64_t room_deadline(const struct xfer *x);
/* The message waits for grants; what came of it moves its turn; it ended or is whole. */
void grant_begin(struct msg_in *in);
void grant_arrived(struct msg_in *in);
void grant_end(struct msg_in *in);

/* --- attach.c: bytes of regions that go from where they lie */
static inline bool attach_tails(const uint32_t *users) { return __atomic_load_n(users, __ATOMIC_ACQUIRE) != 0; /* pairs with the host's */ }
/* True when the next packet of the session may end in bytes that lie elsewhere. */
bool attach_may(const struct xfer_session *s);
/* Such a packet, of this number, went; arrived; was lost. */
void attach_sent(struct xfer_session *s, uint64_t number);
void attach_acked(struct xfer_session *s);
void attach_lost(struct xfer_session *s, uint64_t number);
/* Ends what waited only for packets that referred to it. */
void attach_tick(struct xfer *x);
uint64_t attach_deadline(const struct xfer *x);

/* --- flow.c: frames of a message, into a packet */
struct pack {
    uint8_t *p;
    uint32_t at, end;
    uint32_t refs;  /* list of frame_refs */
    uint32_t base;  /* of them, those of frames that are no message's: the list from here on */
    uint32_t limit; /* most bytes for a frame that cannot be split */
    const uint8_t *tail; /* where the last tail_length of `at` bytes lie, when not in p: */
    uint32_t tail_length;
    uint32_t *tail_users;
};
enum flow_put { FLOW_DONE, FLOW_FULL, FLOW_TOO_BIG };
static inline struct out_slot *flow_out(struct flow *f) { return LIST_ENTRY(f, struct out_slot, flow); }
static inline struct msg_in *flow_in(struct flow *f) { return LIST_ENTRY(f, struct msg_in, flow); }
void flow_init(struct flow *f, bool answer);
/* Of the answer's flow of a message with regions: looks at them from the first on, each from where it went. */
void flow_rewind(struct flow *f);
/* Writes the new messages that are last answers, up to the first that is not, or that finds no room. */
void flow_lasts(struct xfer_session *s, struct pack *k);
/* Writes the head, with the form or its first part.  Pre: not of a last answer. */
enum flow_put flow_head(struct xfer_session *s, struct flow *f, struct pack *k);
/* Writes a segment of what is left; false: the packet is full, or nothing is left that may go now. */
bool flow_segment(struct xfer_session *s, struct flow *f, struct pack *k);
/* True when there are segments to send; those of a form count once its head is sent, of an answer's once it is acknowledged. */
bool flow_left_now(struct flow *f);
static inline bool flow_left(struct flow *f) { return !f->over && flow_left_now(f); }
/* Bytes that these segments take, each as one frame. */
uint64_t flow_rest(const struct flow *f);
/* Bytes that the head of an answer will take, about. */
uint32_t flow_answer_head(const struct flow *f);
/* The peer kept nothing of a message, and calls it. */
void flow_again_whole(struct xfer_session *s, struct flow *f);
/* PING, GRANT and CANCEL frames that are due. */
void flow_notices(struct xfer_session *s, struct pack *k);
/* Sends the first lost frame again.  DONE: it, or a part of it, was written; or nobody needs it any more. */
enum flow_put flow_again(struct xfer_session *s, struct pack *k);
/* True while the frame's message still waits for it. */
bool flow_ref_live(struct xfer_session *s, const struct frame_ref *r);
/* A frame that is live was acknowledged. */
void flow_acked(struct xfer_session *s, const struct frame_ref *r, uint64_t now);
/* A frame that is live was lost.  True: it is sent anew by other means, the ref is the caller's; else it is queued. */
bool flow_lost(struct xfer_session *s, uint32_t ref);

/* --- loss.c, ack.c, tx.c */
CHI_MUST_CHECK enum chi_drop loss_on_ack(struct xfer_session *s, const struct wire_ack *a, uint64_t now);
enum { LOSS_REORDERING = 3, LOSS_LATENESS = 9 }; /* RFC 9002, 6.1: packets, eighths of a round trip */
void loss_sample(struct xfer_session *s, uint64_t rtt_ns, uint64_t ack_delay_ns);
uint64_t loss_pto_ns(const struct xfer_session *s);
uint64_t loss_alarm(const struct xfer_session *s);
void loss_tick(struct xfer_session *s, uint64_t now);
bool ack_seen(const struct xfer_session *s, uint64_t number);
void ack_note(struct xfer_session *s, uint64_t number, bool eliciting, uint64_t now);
/* Fills an ACK of at most `ranges` ranges; false: there is nothing to acknowledge. */
bool ack_fill(const struct xfer_session *s, struct wire_ack *a, unsigned ranges, uint64_t now);
void ack_sent(struct xfer_session *s);
/* The peer knows what was acknowledged up to this number. */
void ack_confirmed(struct xfer_session *s, uint64_t largest);
