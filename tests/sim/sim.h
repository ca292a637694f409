/* sim.h - transport endpoints on a network of virtual time that loses, repeats, delays, reorders and damages packets.
 *
 * One seed decides everything.  A run has a phase with faults, then a phase without, in which everything must end; the checks
 * are listed in load.c.  A failed check ends the run with a message; main prints the seed. */
#pragma once
#include "base/prng.h"
#include "xfer/xfer.h"

enum {
    SIM_NODES_MAX = 8,
    SIM_WORKERS_MAX = 3,
    SIM_ENDPOINTS_MAX = SIM_NODES_MAX * SIM_WORKERS_MAX,
    SIM_PORT = 7440,
    SIM_SILENCE_LONG = 2000000000, /* ns: no cut, pause or loss of a run lasts so long */
    SIM_GUARD = 64, /* bytes before and behind each buffer that nobody may change */
};

struct options { /* drawn from the seed */
    uint32_t nodes, workers[SIM_NODES_MAX];
    uint32_t packet_max[SIM_NODES_MAX];
    uint32_t slots, messages_in, window, ack_every;
    uint64_t target_ns, pto_min_ns, pto_max_ns, ack_delay_ns, hello_retry_ns;
    uint64_t delay_ns, jitter_ns, late_ns;
    uint32_t loss, twice, late, flip, cut, forge; /* chances in a million */
    uint32_t no_packet, no_memory;
    uint64_t memory_bytes, memory_largest, peer_memory, all_memory, grant_bytes;
    uint32_t overcommit, unasked_bytes, credit_bytes, quantum_bytes;
    uint32_t restarts, partitions, pauses;
    uint32_t mtus;  /* how often the longest packet that passes changes; the last of them stays */
    uint32_t ce, bleach; /* chances in a million: to be marked, if it may be; to come as not ECN-capable */
    uint64_t silence_ns;
    uint32_t messages, region_max, form_max;
    uint64_t faulty_ns; /* length of the first phase */
};

struct block { /* host memory of an endpoint */
    struct block *prev, *next;
    uint64_t size;
    uint8_t *bytes; /* between two guards */
};

struct job { /* a task that an endpoint runs */
    struct job *prev, *next;
    struct endpoint *at;
    uint64_t id, hash; /* hash: decides the answer */
    struct xfer_in *in;
    uint8_t *body;
    bool known, answered;
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
    struct block blocks; /* list heads */
    struct job jobs;
    uint64_t drops[CHI_DROP_COUNT];
};

enum event_kind { EV_PACKET = 1, EV_ANSWER, EV_SUBMIT, EV_RESTART, EV_START, EV_CUT, EV_JOIN, EV_PAUSE, EV_MTU };
struct event {
    uint64_t when, sequence;
    enum event_kind kind;
    uint32_t node, other;
    struct xfer_addr from, to;
    uint8_t *bytes;
    uint32_t length;
    uint8_t ecn;
    struct job *job;
};

struct sub { /* a submission */
    uint64_t id;
    struct endpoint *from;
    uint32_t to;
    struct xfer_out out;
    struct chi_ar_region region[CHI_REGIONS_MAX];
    uint8_t *buffer[CHI_REGIONS_MAX]; /* with guards */
    uint8_t *form;
    uint32_t form_length;
    bool strict;   /* must end as its method says */
    bool over, crashed;
    uint32_t runs;
    enum chi_status status;
};

struct world {
    struct options o;
    uint64_t seed;
    bool verbose, faulty;
    struct prng prng;
    uint64_t now, sequence, digest;
    struct event *heap;
    uint32_t events, events_room;
    struct endpoint endpoint[SIM_ENDPOINTS_MAX];
    uint32_t endpoints;
    bool parted[SIM_NODES_MAX][SIM_NODES_MAX];
    uint32_t mtu; /* longest packet that passes */
    uint64_t paused_ns[SIM_NODES_MAX]; /* until then the node neither looks nor acts */
    struct sub **subs;
    uint32_t sub_count, sub_room, open;
    uint64_t statuses[64];
    uint64_t restarts, downs;
    const char *failed; /* the first check that failed */
    char text[256];
};

/* True; or notes that the check failed, and false.  Only the first one counts. */
bool sim_check(struct world *w, bool ok, const char *what, uint64_t a, uint64_t b);
#define CHECK(w, e, a, b) sim_check(w, e, #e, (uint64_t)(a), (uint64_t)(b))

/* sim.c */
uint64_t sim_draw(struct world *w, uint64_t low, uint64_t high); /* both included */
void sim_fold(struct world *w, uint64_t v);                      /* into the digest */

/* net.c - time and packets */
void net_event(struct world *w, const struct event *e);
bool net_next(struct world *w, uint64_t until, struct event *out);
uint64_t net_when(const struct world *w);
void net_send(struct world *w, const struct endpoint *from, const struct xfer_addr *to, const struct xfer_packet *p);
void net_clear(struct world *w);

/* host.c - endpoints */
void host_start(struct endpoint *e);
void host_stop(struct endpoint *e, bool crash);
void host_packet(struct world *w, struct event *ev);
/* Ticks and sends where it is due; returns the next deadline of all. */
uint64_t host_run(struct world *w);
void host_drain(struct endpoint *e);
static inline bool host_paused(const struct endpoint *e) { return e->w->paused_ns[e->node - 1] > e->w->now; }
struct endpoint *host_find(struct world *w, const struct xfer_addr *a);

/* load.c - tasks and the checks on them */
void load_submit(struct world *w, struct endpoint *from, uint32_t to, uint64_t deadline_ns, bool strict);
void load_event(struct endpoint *e, const struct xfer_event *ev);
void load_answer(struct job *j);
void load_answer_event(struct job *j);
void load_stopped(struct endpoint *e, bool crash);
void load_free(struct world *w);
