/* ledger.h - the book that a debug build keeps of all tasks (CHI_LEDGER): each one that was accepted ends once, with a status.
 *
 * An entry lies in each record.  It is FREE; TAKEN, while whoever took the record has it; ACCEPTED, from its submission to its end; ENDED, until who
 * waits for it has its status.  Then it is TAKEN again (a module's), or FREE.  Any other step ends the daemon where it is made.
 * Thread: as the record that it lies in; the ledger: its worker, and the control thread when no worker runs.
 * Memory: the caller's, none of its own.  A build without CHI_LEDGER has no entries, and calls nothing of this. */
#pragma once
#include "chi/status.h"
#include "xfer/list.h"

#ifdef CHI_LEDGER
#define LEDGER(statement) statement
#else
#define LEDGER(statement) ((void)0)
#endif

enum ledger_state { LEDGER_FREE, LEDGER_TAKEN, LEDGER_ACCEPTED, LEDGER_ENDED };
struct ledger_entry {
    struct link link;     /* in `open` while it is not FREE */
    uint64_t number;      /* of this worker's acceptances, from 1 */
    uint64_t by;          /* which task submitted it while it ran, by the caller's count; 0: none did */
    uint64_t accepted_ns;
    const void *caller;   /* the code that submitted it; NULL: it came from outside */
    uint8_t state;
    uint16_t status;      /* ENDED */
};
struct ledger {
    struct link open;     /* the oldest record first */
    uint64_t taken, given_back, accepted, ended; /* so far */
};

void ledger_init(struct ledger *l);

/* The record is taken from its pool, whatever its entry holds. */
void ledger_take(struct ledger *l, struct ledger_entry *e);
/* From now on it must end.  Pre: TAKEN. */
void ledger_accept(struct ledger *l, struct ledger_entry *e, uint64_t now_ns, uint64_t by, const void *caller);
/* It ended.  By the worker that has the record.  Pre: ACCEPTED, and the status is a known one, not PENDING. */
void ledger_end(struct ledger_entry *e, uint32_t status);
/* Its owner has it back, with its status.  Pre: ENDED. */
void ledger_return(struct ledger *l, struct ledger_entry *e);
/* The record goes back to its pool.  Pre: TAKEN (never accepted, or given back to its owner) or ENDED. */
void ledger_give_back(struct ledger *l, struct ledger_entry *e);

/* True when no entry is open and the sums are equal.  At the end; the open ones are in l->open. */
CHI_MUST_CHECK bool ledger_is_closed(const struct ledger *l);
