/* fiber.h - stacks for tasks that wait, and the switch from one to another.
 *
 * A fiber is a stack and where it goes on; the thread that uses the pool has one too, its own.  One runs at a time; a switch saves the registers
 * that a call preserves, on the stack that is left (Boost.Context's C entry points).
 * Thread: one at a time, and another one only while the thread's own stack is the current one; fibers_deepest by any.
 * Memory: one reservation of address space, made at start; a page of a stack costs memory when it was used first, and stays.  The lowest page of
 * each is a guard: what overflows it ends the process.  A fiber's own record lies at the top of its stack. */
#pragma once
#include <stddef.h>

#include "chi/base.h"

enum { FIBER_STACK_LEAST = 16 << 10 }; /* bytes */

struct fiber {
    void *context; /* where it goes on, while it does not run */
    struct fiber *next; /* of the owner's lists, while it does not run; of the free ones */
    const void *bottom; /* of its stack, */
    size_t bytes;       /* and how long it is */
    void (*fn)(void *arg);
    void *arg;
    void *shadow; /* the sanitizers' */
};

struct fibers {
    struct fiber home; /* the thread's own stack */
    struct fiber *current, *free;
    struct fiber *left; /* by the last switch, */
    bool ends;          /* for good */
    uint8_t *memory;
    size_t memory_bytes, stack_bytes; /* a stack: with its guard */
    uint32_t count, fresh; /* stacks; of them, those that were in use at some time: the first ones */
    uint32_t out, most;    /* in use now; at once, so far */
};

/* `count` stacks of `stack_bytes` bytes, which are rounded up to pages, at least FIBER_STACK_LEAST.  0; -ENOMEM: no address space, or (before
 * Linux 6.13, where each guard splits the mapping) fewer mappings than vm.max_map_count allows; then *fs holds nothing, and has no stack. */
CHI_MUST_CHECK int fibers_init(struct fibers *fs, uint32_t count, size_t stack_bytes);
/* Pre: the thread's own stack is the current one.  Also of one that holds nothing. */
void fibers_fini(struct fibers *fs);

/* A fiber that begins with fn(arg) when it is switched to first, and ends with fiber_end: fn does not return.  NULL: no stack is free. */
struct fiber *fiber_try_get(struct fibers *fs, void (*fn)(void *arg), void *arg);
static inline bool fiber_ready(const struct fibers *fs) { return fs->free || fs->fresh < fs->count; } /* a stack is free */
/* Leaves the current fiber, until it is switched to again. */
void fiber_switch(struct fibers *fs, struct fiber *to);
/* Ends the current fiber, and goes on with another one.  Pre: it is not the thread's own. */
CHI_NORETURN void fiber_end(struct fibers *fs, struct fiber *to);

/* How much of a stack was used at most, in bytes, whole pages; 0: no stack was in use yet, or the system does not tell.  Of all stacks, in use now or
 * not: it looks which of their pages there are (mincore), so that using them costs nothing.  A page that was swapped out is not seen.
 * A system call for each stack that was in use, and for each 4096 pages of it: not by a worker. */
size_t fibers_deepest(const struct fibers *fs);
