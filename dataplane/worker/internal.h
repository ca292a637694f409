/* internal.h - between the files of worker/. */
#pragma once
#include "remote.h"

/* The pool, or NULL.  Tasks of a turn are often for the same one. */
static inline const struct sched_pool *worker_pool(struct worker *w, struct chi_pool_id id)
{
    if (!w->pool || w->pool->id.major != id.major || w->pool->id.minor != id.minor)
        w->pool = sched_pool_find(&w->rt->sched, id);
    return w->pool;
}

/* route.c */
void route_push(struct worker *w, struct task *t, struct chi_lane *lane);   /* onto a lane, here or there */
void route_home(struct worker *w, struct task *t);                         /* an ended task to its home worker */
unsigned route_inbox(struct worker *w);                                    /* takes in what other workers sent */
void route_flush(struct worker *w);                                        /* overflow, doorbells */
bool route_waiting(struct worker *w);                                      /* something is in an inbound ring */
bool route_pending(const struct worker *w);                                /* something waits in an overflow list */
/* Finds container or node of a task with a loaded body, asking the monitor where the query is DYNAMIC; on OK pushes it on its
 * way.  Else nothing happened to it. */
enum chi_status route_task(struct worker *w, struct task *t, const struct sched_pool *pool);
enum chi_status route_local(struct worker *w, struct task *t, struct chi_container *c); /* LOCAL_SCHEDULE and push */
enum chi_status route_away(struct worker *w, struct task *t, uint32_t node);            /* onto the remote_queue lane */

void route_wait(struct worker *w, struct task *t, uint32_t to);             /* a task that waits, to that worker (RING_WAIT) */
/* RING_PUSH to the home worker; when its ring is full, nothing: the bytes go with the next push, or with the answer. */
void route_push_bytes(struct worker *w, struct task *t, uint32_t region, uint64_t bytes);

/* stream.c */
void stream_item(struct worker *w, struct task *t);      /* RING_WAIT came */
void stream_call_back(struct worker *w, struct task *t); /* lane's worker: what it waited for is there, or does not come */
void stream_cancelled(struct worker *w, struct task *t); /* home worker: its origin waits no longer */
void stream_push(struct worker *w, struct task *t, uint32_t region, uint64_t bytes); /* home worker */

/* ended.c */
void ended_finish(struct worker *w, struct task *t); /* home worker: answers whoever waits, frees the record */
unsigned ended_callbacks(struct worker *w);          /* done callbacks that are due, and those of chi_bulk_wait */
void ended_free(struct worker *w, struct task *t);

/* accept.c */
unsigned accept_clients(struct worker *w);

/* lanes.c */
unsigned lanes_run(struct worker *w);
unsigned lanes_poll(struct worker *w);
unsigned lanes_flush(struct worker *w);

/* idle.c */
CHI_MUST_CHECK int idle_init(struct worker *w);
void idle_fini(struct worker *w);
void idle_turn(struct worker *w, unsigned did);

/* endpoint.c */
CHI_MUST_CHECK int endpoint_init(struct worker *w, char *err);
void endpoint_fini(struct worker *w);

/* turn.c */
void worker_enter(struct worker *w); /* the calling thread is this worker's from now on */
unsigned worker_turn(struct worker *w);
void *worker_main(void *arg);
