/* sim.h - transport endpoints on a network of virtual time that loses, repeats, delays, reorders, damages and forges packets.
 *
 * The options decide everything, and a seed decides the options.  A run has a phase with faults, then one without, in which
 * everything must end.  After each call of an endpoint its records and counters are compared with each other (audit.c) and with
 * what was seen of it from outside (count.c); load.c compares what tasks brought.  The first check that fails ends the run. */
#pragma once
#include "audit.h"
#include "options.h"
#include "xfer/xfer.h"

enum {
    SIM_NODES_MAX = 16,
    SIM_ENDPOINTS_MAX = 16,
    SIM_PORT = 7440,
    SIM_SILENCE_LONG_MS = 2000, /* no cut, pause or loss of a run lasts so long */
    SIM_GUARD = 64, /* bytes before and behind each buffer that nobody may change */
    SIM_CHECK_TEXT = 400,
};
static const uint64_t SIM_US = 1000, SIM_MS = 1000000, SIM_S = 1000000000;

struct block { /* host memory of an endpoint, in front of two guards with the bytes between them */
    struct block *prev, *next;
    void *from; /* allocated; the block begins at a cache line */
    uint64_t size;
};

struct job { /* a task that an endpoint runs */
    struct job *prev, *next;
    struct endpoint *at;
    uint64_t hash; /* decides the answer */
    struct xfer_in *in;
    uint64_t turns;
    uint64_t seen[CHI_REGIONS_MAX]; /* bytes of its inputs that were right */
    uint8_t *body;
    bool answered;
    bool scheduled; /* an event still points to it */
};

struct endpoint {
    struct world *w;
    uint32_t node, worker, index;
    struct xfer *x;
    void *memory;
    uint64_t incarnation;
    bool up;
    uint32_t packets_out; /* buffers that the transport holds */
    uint64_t memory_used;
    uint64_t did;        /* packets and events so far */
    uint32_t idle_turns; /* in a row: it asked to be called, and did nothing */
    uint64_t turn_ns;    /* no turn before: they take time */
    uint64_t due_ns;     /* its deadline, as of its last call */
    struct tail **tails; /* that its port looks at: a heap, the first to be let go on top */
    uint32_t tail_count, tail_room;
    struct block blocks; /* list heads */
    struct job jobs;
    uint64_t drops[CHI_DROP_COUNT];
    uint64_t dropped, dropped_of[SIM_NODES_MAX]; /* in all, as of the last audit; and of those, packets and frames of a node's */
    /* Since it was started, for count.c. */
    uint32_t jobs_open, subs_open;
    struct sub *subs; /* one of the open ones, a ring */
    uint64_t audits, orphans; /* orphans: answers that nobody waited for any more */
    struct { uint64_t tx, tx_bytes; } data[SIM_NODES_MAX]; /* DATA packets that went to a node, since it was added */
    uint64_t past_tasks_in, past_answers_out;              /* of nodes that were removed */
};

enum event_kind { EV_PACKET = 1, EV_ANSWER, EV_SUBMIT, EV_RESTART, EV_START, EV_CUT, EV_JOIN, EV_PAUSE, EV_STALL, EV_DRY, EV_MTU, EV_WAY_DOWN, EV_WAY_UP,
                  EV_DRAIN, EV_REMOVE, EV_ADD };
enum harm { WHOLE, HURT, FORGED }; /* hurt: a CRC notices it */
struct event {
    uint64_t when, sequence;
    enum event_kind kind;
    uint32_t node, other;
    uint32_t paths; /* CUT, JOIN, WAY_*: which ones, a bit each */
    uint64_t key; /* decides what is drawn for it */
    struct xfer_addr from, to;
    uint8_t *bytes;
    uint32_t length;
    uint8_t harm, ecn; /* enum harm, enum xfer_ecn */
    bool data;
    struct job *job;
};

struct sub { /* a submission */
    struct sub *prev, *next; /* open ones of its endpoint */
    uint64_t id, since_ns, deadline_ns;
    struct endpoint *from;
    uint32_t to;
    struct xfer_out out;
    struct chi_ar_region region[CHI_REGIONS_MAX];
    uint8_t *buffer[CHI_REGIONS_MAX]; /* with guards */
    uint8_t *form;
    uint32_t form_length;
    bool strict;   /* must end as its method says */
    bool over;
    uint32_t runs;
};

/* What became of the packets from one node to another: sent + twice = lost + parted + large + nowhere + absent + arrived + those under way. */
struct traffic {
    uint64_t sent, twice, lost, parted, large, nowhere, absent, arrived;
    uint64_t hurt, refused, taken; /* of DATA that arrived, */
    uint64_t marked, partly;       /* and of those: with CE; taken without an acknowledgement */
};
/* What the transport of one node said of another one, over all its lives. */
#define SIM_SAID_LIST(X)                                                                                                     \
    X(packets_tx) X(packets_rx) X(tasks_out) X(tasks_in) X(answers_out) X(answers_in) X(segment_bytes_tx) X(segment_bytes_rx) \
    X(acks_tx) X(acks_rx) X(grants_tx) X(grants_rx) X(calls_tx) X(calls_rx) X(cancels_tx) X(cancels_rx) X(marks_tx) X(marks_rx)
struct said {
#define SIM_SAID_FIELD(name) uint64_t name;
    SIM_SAID_LIST(SIM_SAID_FIELD)
#undef SIM_SAID_FIELD
};

struct world {
    struct options o;
    bool verbose, faulty;
    struct prng net, host; /* what packets meet, what endpoints meet; the rest follows from keys */
    uint64_t now, sequence, digest;
    struct event *heap;
    uint32_t events, events_room;
    struct endpoint endpoint[SIM_ENDPOINTS_MAX];
    uint32_t endpoints, workers[SIM_NODES_MAX], slots[SIM_NODES_MAX], packet_max[SIM_NODES_MAX];
    uint32_t parted[SIM_NODES_MAX][SIM_NODES_MAX], port_down[SIM_NODES_MAX]; /* paths, a bit each */
    bool losing[SIM_NODES_MAX][SIM_NODES_MAX];
    uint32_t mtu[SIM_NODES_MAX][SIM_NODES_MAX]; /* longest packet that passes; 0: any */
    bool tainted[SIM_NODES_MAX][SIM_NODES_MAX]; /* a forged packet was on its way between the two: their tasks prove little */
    struct traffic traffic[SIM_NODES_MAX][SIM_NODES_MAX][2]; /* [from][to][DATA] */
    struct said said[SIM_NODES_MAX][SIM_NODES_MAX];          /* [by][of] */
    uint64_t paused_ns[SIM_NODES_MAX];  /* until then the node neither looks nor acts; */
    uint64_t stalled_ns[SIM_NODES_MAX]; /* or only its consumer does not */
    uint64_t no_packets_ns[SIM_NODES_MAX], no_memory_ns[SIM_NODES_MAX];
    struct sub **subs;
    uint32_t sub_count, sub_room, open;
    uint64_t statuses[64];
    uint64_t removals; /* planned, that are not over */
    uint64_t restarts, downs, audits, healing_ns; /* healing: what a strict message took at most */
    const char *failed; /* the first check that failed, without its numbers */
    char text[SIM_CHECK_TEXT];
};

/* A node's address in a network. */
static inline struct xfer_addr sim_addr(uint32_t node, uint32_t worker, uint32_t path)
{
    return (struct xfer_addr){.ip = path << 8 | node, .port = (uint16_t)(SIM_PORT + worker)};
}
static inline uint32_t sim_node(const struct xfer_addr *a) { return a->ip & 255; }
static inline uint32_t sim_path(const struct xfer_addr *a) { return a->ip >> 8; }

/* Notes that a check failed; false.  Only the first one counts.  what stays. */
bool sim_failed(struct world *w, const char *what, uint64_t a, uint64_t b);
/* True when e holds. */
#define CHECK(w, e, a, b) (CHI_LIKELY(e) ? true : sim_failed(w, #e, (uint64_t)(a), (uint64_t)(b)))

static inline uint64_t sim_draw(struct prng *p, uint64_t low, uint64_t high) { return low + prng_below(p, high - low + 1); } /* both included */
static inline uint64_t sim_mix(uint64_t a, uint64_t b)
{
    uint64_t z = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
/* Random numbers for one thing of a kind, whatever else is drawn. */
static inline struct prng sim_keyed(const struct world *w, uint64_t kind, uint64_t key)
{
    struct prng p;
    prng_init(&p, sim_mix(sim_mix(w->o.seed, kind), key));
    return p;
}
static inline void sim_fold(struct world *w, uint64_t v) /* into the digest */
{
    w->digest = (w->digest ^ v) * 0x100000001b3u;
    w->digest ^= w->digest >> 29;
}

/* sim.c - one run */
struct outcome {
    bool ok;
    char check[SIM_CHECK_TEXT], text[SIM_CHECK_TEXT]; /* what failed; the same with its numbers */
    uint64_t digest, virtual_ns, tasks, healing_ns, audits;
};
void sim_run(const struct options *o, bool verbose, struct outcome *out);
/* The world of the run that is under way, or NULL. */
extern struct world *sim_world;

/* shrink.c */
/* Runs in a process of its own, so that neither a signal nor a loop ends this one. */
void sim_run_apart(const struct options *o, struct outcome *out);
/* Reduces options that fail, as long as the same check fails; out: of the last. */
void shrink(struct options *o, struct outcome *out);

/* mem.c */
/* n bytes with undefined contents, for a packet or what is kept of one. */
void *mem_get(uint64_t n);
void mem_put(void *p); /* or NULL */

/* net.c - time and packets */
void net_event(struct world *w, const struct event *e);
bool net_next(struct world *w, uint64_t until, struct event *out);
uint64_t net_when(const struct world *w);
void net_send(struct world *w, const struct endpoint *from, const struct xfer_addr *to, const struct xfer_packet *p, enum harm harm);
void net_clear(struct world *w);

/* forge.c - what a hostile peer could say: another content for a DATA packet, sealed again.  Returns its length, at most `room`. */
uint32_t forge(struct prng *p, uint8_t *bytes, uint32_t length, uint32_t room);

/* host.c - endpoints */
void host_start(struct endpoint *e);
void host_stop(struct endpoint *e, bool crash);
void host_packet(struct world *w, struct event *ev);
/* Ticks and sends where it is due; returns the next deadline of all. */
uint64_t host_run(struct world *w);
void host_drain(struct endpoint *e);

/* tails.c */
/* The packet has a tail: its port looks at it until later.  All of the packet is at `data` then. */
void tail_take(struct endpoint *e, struct xfer_packet *p);
/* Ports let go of what was to be looked at until `now`: it must be as it was. */
void tails_let_go(struct endpoint *e, uint64_t now);
/* The same of an endpoint that is no more. */
void tails_forget(struct endpoint *e);
static inline bool host_paused(const struct endpoint *e) { return e->w->paused_ns[e->node - 1] > e->w->now; }
/* A node drains, removes or adds another one; false: one of its endpoints has no record for it yet. */
bool host_peer(struct world *w, enum event_kind kind, uint32_t node, uint32_t other);
/* Ports of the node went down or came up. */
void host_ports_changed(struct world *w, uint32_t node);
struct endpoint *host_find(struct world *w, const struct xfer_addr *a);

/* load.c - tasks and the checks on them */
/* Bytes of the largest region that is taken; of all regions and the form of the largest message, at most. */
static inline uint64_t load_largest(const struct world *w) { return w->o.region_max + w->o.memory_spare; }
static inline uint64_t load_most(const struct world *w) { return CHI_REGIONS_MAX * (load_largest(w) + 2) + CHI_FORM_BYTES_MAX; }
void load_submit(struct world *w, struct endpoint *from, uint32_t to, uint64_t deadline_ns, bool strict);
void load_event(struct endpoint *e, const struct xfer_event *ev);
void load_answer(struct job *j);
void load_answer_event(struct job *j);
void load_stopped(struct endpoint *e, bool crash);
void load_guards(struct endpoint *e);
void load_free(struct world *w);

/* count.c - counters */
/* Gives a packet that arrived to an endpoint. */
void count_packet(struct endpoint *e, const struct event *ev);
/* Between two calls of an endpoint. */
void count_endpoint(struct endpoint *e);
/* Its life ends. */
void count_stopped(struct endpoint *e);
/* The endpoint is about to remove a node. */
void count_removed(struct endpoint *e, uint32_t node);
/* The network is empty, and each endpoint at rest. */
void count_end(struct world *w);
