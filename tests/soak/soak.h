/* soak.h - two real daemons with chi-wire between them, clients at both, and what befalls them.  One thread; all that happens is
 * drawn from one seed, but for when things end.  docs/TESTING.md says how to run it.
 *
 * tasks.c (a task: made, compared to the byte, judged) load.c (clients that submit and poll) wire.c (the network) faults.c (what
 * is done to daemons, network and clients) quiet.c (what must be back when all is quiet) main.c (options, the parts of a run). */
#pragma once
#include "base/prng.h"
#include "tests/integration/harness.h"
#include "tests/integration/probe/probe.h"

enum { NODES = 2, CLIENTS_MAX = 8, JOBS = 16, LOSSES_MAX = 8 };
enum { SILENCE_MS = 1000 };     /* limits.peer_silence_ms of both daemons */
enum { HOLD_BOUND_MS = 500 };   /* a short cut or a pause, or a wait for a core, that takes longer on a busy machine counts as a long cut */
enum { VICTIM_IDS = 1 << 14 };  /* task ids of a client that is to be killed */

struct options {
    uint64_t seed, region; /* bytes of the largest region */
    uint32_t tasks;        /* at each loss rate, while nobody dies */
    uint32_t between;      /* at most so many from one fault of the rough part to the next */
    uint32_t clients;      /* at each daemon */
    uint32_t kills, stops, cuts, wires, victims; /* over all loss rates; kills: of each daemon; cuts: short ones, and as many long ones */
    uint32_t limit_s, hang_s; /* of the run; of a task */
    unsigned losses;
    char loss[LOSSES_MAX][16]; /* as chi-wire takes them */
};

/* --- tasks.c */

enum kind { PING, IO, DIGEST, ONCE, KINDS };
enum allowed { /* how a task may end */
    MAY_OK = 1,
    MAY_DEADLINE = 2,
    MAY_UNREACHABLE = 4,
    MAY_DOWN = 8,
    MAY_RESTART = 16,
    MAY_DISCONNECT = 32,
};
struct draw {
    enum kind kind;
    bool remote;
    uint32_t timeout_us;
    uint64_t in, out; /* sizes */
};
struct job {
    union {
        struct chi_task task;
        struct echo_ping ping;
        struct echo_io io;
        struct echo_digest digest;
        struct probe_once once;
    } u;
    struct draw draw;
    enum { JOB_FREE, JOB_OUT, JOB_RESTS } state;
    uint64_t id, sum;
    struct chi_bulk in, out;
    uint32_t allowed;
    uint64_t began_ns, rests_ns; /* RESTS: it failed; its memory is watched for this long */
};

/* calm: nothing has a short deadline. */
void draw_job(struct prng *p, const struct options *o, bool calm, struct draw *out);
/* Fills in the task, with guarded regions of c's memory; false: there is not enough. */
bool job_make(struct job *j, struct chi_client *c, const struct draw *d, uint64_t id, uint32_t other);
void job_free(struct job *j, struct chi_client *c);
/* What is wrong with a task that ended, in err; false: nothing.  One that failed is overwritten, to rest. */
bool job_is_wrong(struct job *j, char *err, size_t cap);
bool job_rest_is_wrong(const struct job *j, char *err, size_t cap);
void job_describe(const struct job *j, char *text, size_t cap);
uint32_t status_may(uint32_t status); /* its bit; 0: no task may end so */

/* --- load.c */

struct client {
    struct chi_client *chi; /* NULL: not connected */
    unsigned node;          /* index of its daemon */
    bool lost;              /* its daemon was killed: it submits no more */
    bool full;              /* the next task has regions of the full size both ways */
    bool has_next;
    struct draw next;
    struct prng prng;
    uint32_t may;     /* how its remote tasks may end that begin now, beside OK; */
    uint64_t calm_ns; /* none of it once one that began later was OK */
    struct job job[JOBS];
};

struct figures {
    uint64_t tasks_out, tasks_in, answers_out, answers_in, downs; /* of its peer */
    uint64_t tasks_client, tasks_remote, tasks_ended;
    uint64_t files, segments, rss; /* open files, mapped segments of clients, bytes beside the large mappings */
};

enum { STATUSES = 64, WAITERS = 3, LOOKS = 12 };
struct soak {
    struct options o;
    struct node node[NODES];
    struct client client[CLIENTS_MAX];
    unsigned clients;
    struct {
        pid_t pid;
        int out;
        char control[160], log[160], settings[160];
        uint64_t starts;
    } wire;
    struct {
        pid_t pid;
        int out;
        unsigned node;
    } victim;
    struct prng fates;
    uint8_t *runs;    /* of PROBE_ONCE, by id: what ran */
    uint8_t *verdict; /* and what may have: enum verdict */
    uint64_t next_id, next_victim, looked_ns;
    bool calm;         /* nobody dies: every task must end with OK */
    uint64_t hold_ns;  /* since when a short cut or a pause lasts; 0: none */
    bool overran;      /* one lasted too long to tell anything */
    uint64_t waited_ns[WAITERS][LOOKS], looks; /* for a core: the daemons and chi-wire, at the last looks */
    uint64_t began_ns, ended, bytes, status[STATUSES], kinds[KINDS], done[8];
};
enum verdict { RUNS_NEVER, RUNS_AT_MOST_ONCE, RUNS_ONCE };

uint64_t clock_ns(void);
uint64_t draw_between(struct prng *p, uint64_t from, uint64_t to);
void soak_say(const struct soak *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends the test with the message, the logs of the daemons, and what is out. */
void soak_fail(struct soak *s, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

void client_open(struct soak *s, struct client *c);
void client_close(struct soak *s, struct client *c); /* pre: no task is out */
/* Until so many more tasks ended; for so long; until remote tasks of every client are answered as if nothing had been; until no
 * task is out, and none begins. */
void load_tasks(struct soak *s, uint64_t tasks);
void load_for(struct soak *s, uint64_t ms);
void load_settle(struct soak *s);
void load_drain(struct soak *s);
void load_turn(struct soak *s, bool submit);
/* Remote tasks of the client may end so, those that are out too; and until load_calm those that begin. */
void load_disturb(struct soak *s, struct client *c, uint32_t may);
void load_calm(struct soak *s);
/* Looks for tasks that ran twice, or though they ended with a status that says that they did not. */
void runs_check(struct soak *s);

/* --- wire.c */
void wire_start(struct soak *s);
void wire_set(struct soak *s, const char *settings);
void wire_end(struct soak *s, int sig);  /* SIGKILL, or SIGTERM: its counters must add up */

/* --- faults.c */
enum fault { FAULT_KILL_ONE, FAULT_KILL_TWO, FAULT_STOP, FAULT_CUT_SHORT, FAULT_CUT_LONG, FAULT_WIRE, FAULT_VICTIM, FAULTS };
extern const char *const fault_names[FAULTS];
void fault(struct soak *s, enum fault f);
/* True when what was done, or the machine, may be why a peer is down. */
bool hold_overran(struct soak *s);
void hold_look(struct soak *s); /* each LOOK_NS */
int victim_main(const char *socket, const char *first_id, const char *seed);

/* --- quiet.c */
/* Waits until nothing is out, and fails when something is not given back. */
void quiet(struct soak *s, struct figures out[NODES]);
/* Between two quiet moments nobody died: every count of one side is found on the other. */
void quiet_counts(struct soak *s, const struct figures before[NODES], const struct figures after[NODES]);
/* No more files are open; and, when both daemons are the same as before, what they use has not grown. */
void quiet_flat(struct soak *s, const struct figures before[NODES], const struct figures after[NODES], bool same);
