/* control.h - the way of a task to the control thread and back, for what may allocate and block: modules that are loaded, init and fini of containers.
 *
 * Threads: control_call_st by the worker's task that runs, which waits on its stack; the others by the control thread.  A call is put on top of a list
 * and a descriptor made readable; its end tells the worker (wait_tell).  So no worker waits for the control thread, and this one waits for
 * nobody: what takes longer than a moment goes on in its next steps (pools.h).
 * Memory: the call is the caller's, on the stack of the task. */
#pragma once
#include "worker.h"

struct control_call {
    struct control_call *next;
    void (*begin)(struct runtime *rt, struct control_call *c); /* control thread: ends it, now or later, with control_end */
    struct worker *worker; /* NULL: no task waits, and who made it looks at `status` */
    struct fiber *fiber;
    enum chi_status status; /* PENDING until the end */
};

CHI_MUST_CHECK int control_init(struct runtime *rt); /* 0 or -errno */
void control_fini(struct runtime *rt);

/* Has the control thread begin the call, and waits for its end.  Returns its status; or NO_MEMORY: no stack is free, SHUTDOWN: this daemon stops; then
 * it was not begun. */
enum chi_status control_call_st(struct worker *w, struct control_call *c);
/* The call is gone with that, unless no task waits for it. */
void control_end(struct control_call *c, enum chi_status st);

/* Begins the calls that came, and goes on with what has not ended.  To be called when runtime_control_fd is readable, and again after so many milliseconds
 * as it returns, but for 0. */
unsigned runtime_control(struct runtime *rt, uint64_t now_ns);
int runtime_control_fd(const struct runtime *rt);
