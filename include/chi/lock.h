/* lock.h - locks for tasks: mutex, reader-writer lock, semaphore, condition.
 *
 * A task that has to wait for one keeps its stack, as in chi_task_wait (chi/chimod.h), and its worker goes on with other tasks; one that
 * need not wait never leaves its worker's stack.  Who waits is served in the order of arrival, whatever lane or worker it comes from.
 *
 * Memory: plain structs of the module's, in its container's state, say.  All bytes 0 is a lock that nobody holds, a semaphore of 0, a
 * condition that nobody waits for.  They stay where they are, until nobody uses them any more; their members are the runtime's.
 *
 * Owner: mutex and reader-writer lock belong to a root.  The root of a task that came from a client or another node is itself, and so is
 * that of a task which was submitted from outside of `run` (from a `done`, or a poll); one that is submitted from within `run` has the
 * root of the task that runs.  Who shares the root of the holder enters: the holder itself, its subtasks, and theirs.  So the lock keeps out
 * other roots, not two subtasks of one, and is free when it was given back as often as it was taken.  A subtask that runs on another
 * node is a root there.  A task gives back, in the same run, what it took: to end with a lock held is a bug that ends the daemon.
 *
 * Thread: from `run`, or what it calls, by any worker; chi_sem_post, chi_cond_signal and chi_cond_broadcast from wherever there is a
 * rctx.  None of them blocks the worker.  Calls that may wait return OK, or
 *   NO_MEMORY  it had to wait, and no stack is free (limits.stacks): nothing happened.  Also when another worker is at the same lock just now
 *   SHUTDOWN   this daemon stops, and it would wait: the lock is not held
 *   INVALID    as said below: nothing happened
 *   TOO_BIG    mutex and reader-writer lock: the task holds 255 of them */
#ifndef CHI_LOCK_H
#define CHI_LOCK_H

#include "chi/chimod.h"

enum { CHI_RWLOCK_READERS = 16 }; /* roots that read at once; the next one waits */

struct chi_lock_wait;
struct chi_lock { /* what all have in common */
    uint64_t calls; /* atomic: that are to be done; who finds 0 does its own, and those that come meanwhile */
    struct chi_lock_wait *asked; /* atomic: tasks that came meanwhile, the last first */
    struct chi_lock_wait *first, *last; /* tasks that wait, in order */
    uint32_t kin;      /* of them, those that may be let in out of order */
    uint32_t given_up; /* atomic: some of them are to go */
};
struct chi_lock_hold {
    uint64_t root, times; /* atomic; times 0: nobody */
};
struct chi_mutex {
    struct chi_lock lock;
    struct chi_lock_hold by;
};
struct chi_rwlock {
    struct chi_mutex writer;
    struct chi_lock_hold reader[CHI_RWLOCK_READERS];
};
struct chi_sem {
    struct chi_lock lock;
    uint64_t count; /* atomic.  The module may set it before the first use */
};
struct chi_cond {
    struct chi_lock lock;
    uint64_t waits, signals; /* atomic: so far; a signal that nobody waits for does not count */
};

CHI_BEGIN

/* Takes the mutex; once more where the task's root holds it. */
CHI_API CHI_MUST_CHECK enum chi_status chi_mutex_lock(struct chi_rctx *r, struct chi_mutex *m);
/* Gives back what chi_mutex_lock took.  OK; INVALID: the task's root does not hold it, or the task itself took no lock. */
CHI_API enum chi_status chi_mutex_unlock(struct chi_rctx *r, struct chi_mutex *m);

/* Takes the lock for reading, beside other readers.  A reader waits behind a writer that came before it, unless its root reads already;
 * of readers that wait next to each other all go on together.  Who writes may read too, which counts as writing once more. */
CHI_API CHI_MUST_CHECK enum chi_status chi_rwlock_read(struct chi_rctx *r, struct chi_rwlock *l);
/* Takes the lock for writing, alone.  INVALID: the task's root reads already. */
CHI_API CHI_MUST_CHECK enum chi_status chi_rwlock_write(struct chi_rctx *r, struct chi_rwlock *l);
/* Gives back what one of the two took.  OK; INVALID: as chi_mutex_unlock. */
CHI_API enum chi_status chi_rwlock_unlock(struct chi_rctx *r, struct chi_rwlock *l);

/* Takes one off the count, which any task may have put there, once it is above 0. */
CHI_API CHI_MUST_CHECK enum chi_status chi_sem_wait(struct chi_rctx *r, struct chi_sem *s);
CHI_API void chi_sem_post(struct chi_rctx *r, struct chi_sem *s);

/* Gives the mutex back, waits for a signal, and takes the mutex again, behind those that wait for it then.  OK: it was signalled, and the
 * mutex is held; what it waits for may be over again.  SHUTDOWN: the mutex is not held any more.  INVALID: the task does not hold
 * the mutex, or its root more than once.  All tasks that wait for one condition use the same mutex with it. */
CHI_API CHI_MUST_CHECK enum chi_status chi_cond_wait(struct chi_rctx *r, struct chi_cond *c, struct chi_mutex *m);
/* Ends the wait of the task that waits longest, of all that wait now; with the mutex held or not. */
CHI_API void chi_cond_signal(struct chi_rctx *r, struct chi_cond *c);
CHI_API void chi_cond_broadcast(struct chi_rctx *r, struct chi_cond *c);

CHI_END
#endif
