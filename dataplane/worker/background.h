/* background.h - threads for calls that block (chi_offload, chi/chimod.h).
 *
 * Threads: offload by a worker; the others by the control thread.  A worker puts a call into its own ring and posts a semaphore; a thread of the
 * pool takes one, from each worker in turn, runs it, and tells the worker (wait_tell).
 * Memory: a ring of BACKGROUND_CALLS slots for each worker, made at start; the call itself lies on the stack of the task that waits. */
#pragma once
#include "chi/chimod.h"

struct background;
struct worker;

enum { BACKGROUND_CALLS = 256, BACKGROUND_THREADS_MAX = 64 };

/* A pool without threads yet, for so many workers; NULL without memory. */
struct background *background_create(uint32_t workers);
/* 0; or -errno of the first thread that could not be made: those before it run. */
CHI_MUST_CHECK int background_start(struct background *b, uint32_t threads);
/* Ends all calls that have not begun with SHUTDOWN.  While the daemon stops: what comes later ends so when a thread takes it. */
void background_refuse(struct background *b);
/* Waits for the calls that run, however long they take: what they use goes only then.  Pre: no worker runs.  NULL is allowed. */
void background_destroy(struct background *b);

/* As chi_offload, of the worker's task that runs. */
enum chi_status background_call_st(struct background *b, struct worker *w, void (*fn)(void *arg), void *arg);
