/* ipc.h - the daemon's end of a client's shared memory.  The client is not trusted: everything it says is copied once,
 * checked, and used from the copy; what is wrong ends that one task or detaches that one client.
 *
 * Threads: create and destroy by the control thread; *_st by the worker that owns the channel.  Memory: one sealed
 * memfd per client, made, sized and sealed (SHRINK, GROW, SEAL) here.  Limits: struct ipc_limits. */
#pragma once
#include "archive/form.h"
#include "lane/shm.h"
#include "wire/drop.h"

struct ipc_limits {
    uint64_t bulk_bytes_max; /* per client */
    uint32_t depth_max;
};

/* Wake-ups.  The descriptors are shared with the client, which may change their file status flags and fill or drain
 * them: no read or write of ours may block, or depend on what is in them.  So the worker adds worker_event to its epoll
 * with EPOLLIN | EPOLLET and never reads it (each write is an edge; it is this client's alone, so that none can silence
 * another's); and the client is woken by send(MSG_DONTWAIT) on our own end of a socket pair. */
struct ipc_channel {
    uint8_t *base;                          /* our mapping */
    uint64_t size, bulk_offset, bulk_bytes; /* geometry: our copy */
    struct line *submit, *complete;
    uint64_t submit_at, complete_at;
    uint32_t depth, mask;
    uint32_t out; /* tasks taken and not completed */
    uint32_t worker;
    int memfd;                   /* the three descriptors for the client, in this order: the segment, */
    int worker_event;            /* an eventfd that it writes to wake the worker, */
    int client_event;            /* and its end of a socket pair, to sleep on */
    int client_wake;             /* our end of that pair */
    uint32_t sleep_number, rung; /* of our last sleep; of the client's last sleep that we ended */
    uint32_t unsettled;          /* completions since the last certain look at its sleep */
    uint32_t empty;              /* looks at an empty ring in a row, while unsettled */
    bool detached;               /* the client is gone: completions are discarded, and of what it submitted only posts run; */
    uint32_t rest;               /* as many may be in its ring still */
    bool removed;                /* and its worker does not look at it any more */
    struct form_head head;       /* of the form that ipc_take_st gave last */
    void *user;                  /* the owner's list */
    struct ipc_channel *next;
    uint64_t flush_until; /* submissions behind this one are younger than the flush (worker/flush.c) */
    uint64_t tasks, rejected; /* counters */
};

/* Makes the segment for a request.  Returns 0 and *out (owned by the caller until ipc_destroy), or -errno: -EINVAL out
 * of range, -EPROTO not a request of this version, -ENOMEM, -EMFILE.  Control thread. */
CHI_MUST_CHECK int ipc_create(const struct shm_attach_request *rq, const struct ipc_limits *lim,
                              struct ipc_channel **out);
/* Unmaps and closes.  Pre: no worker polls it, out == 0. */
void ipc_destroy(struct ipc_channel *ch);

/* One submission, checked.  The form is a private copy in `scratch` (CHI_FORM_BYTES_MAX bytes), its prefix
 * decoded into ch->head, which stays until the next call. */
struct ipc_request {
    uint32_t cookie;
    uint32_t form_length;
    uint64_t answer_offset; /* valid span of the segment */
    uint32_t answer_cap;    /* SHM_COMPLETE_INLINE when the submission was inline */
    bool post;              /* nobody waits for it */
};

/* Takes the next submission.  Returns NONE with *out filled, or why it was refused: the cookie is then completed with
 * INVALID or TOO_BIG by this call.  *got is false when the ring is empty.  A task that was taken is ended by
 * ipc_complete_st, once. */
CHI_MUST_CHECK enum chi_drop ipc_take_st(struct ipc_channel *ch, uint8_t *scratch, struct ipc_request *out, bool *got);

/* True when a submission is in the ring. */
static inline bool ipc_waiting_st(const struct ipc_channel *ch) { return line_get(ch->submit, ch->mask, ch->submit_at) != NULL; }

/* Resolves a region of a form to our address: NULL when [place, place + size) does not lie in the client's bulk memory.
 * A size of 0 gives a valid pointer. */
void *ipc_region_st(struct ipc_channel *ch, uint64_t place, uint64_t size);

/* Ends a task: body is copied into the slot or to answer_offset; a body that does not fit ends it with TOO_BIG.
 * Wakes the client when it sleeps (a system call only then).  For a client that goes to sleep at this very moment that
 * is certain only after ipc_settle_st.  replicas: the body ends with the statuses of so many containers (shm.h). */
struct ipc_replicas {
    uint32_t first, count; /* count: at most 65535 */
};
void ipc_complete_many_st(struct ipc_channel *ch, const struct ipc_request *rq, enum chi_status status, const void *body,
                          uint32_t length, struct ipc_replicas replicas);
static inline void ipc_complete_st(struct ipc_channel *ch, const struct ipc_request *rq, enum chi_status status,
                                   const void *body, uint32_t length)
{
    const struct ipc_replicas none = {0, 0};
    ipc_complete_many_st(ch, rq, status, body, length, none);
}

/* Makes the wake-ups of all completions so far certain.  ipc_take_st does it when it finds nothing twice, ipc_sleep_st
 * always; a worker that calls neither in a turn calls this.  Costs nothing when nothing was completed since. */
void ipc_settle_st(struct ipc_channel *ch);

/* Before the worker sleeps: announces it, then looks again; returns true when a submission is there (do not sleep;
 * awake). Pairs with the client's publication and look at the flag (shm.h). */
bool ipc_sleep_st(struct ipc_channel *ch);
/* After the sleep; harmless when there was none. */
void ipc_awake_st(struct ipc_channel *ch);
