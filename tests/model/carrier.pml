/* carrier.pml - workers that go from one thread to another while they are given tasks: worker/carrier.c, cores.c and idle.c.
 *
 * Held against: two threads never turn one worker at once; when all is quiet every task has run, and each worker is in the hands of the thread that is to
 * have it (else spin reports an invalid end state).  With HELD the first task of worker 0 does not return before all of worker 1 have run, which
 * begins on the same thread: the control thread takes it from there.  With ONE_MOVES worker 1 stays.
 * Time-outs of sleeps are left out: nothing may depend on them.
 *
 * Memory is in sequence: claims, orders, and whose a worker is are written by locked instructions, and doorbell.pml shows the fences of a sleep in store
 * buffers.  A worker's own memory goes with its claim.  A write of an eventfd, and what a read of it makes of that, is one step.
 *
 * Each of these words takes something away that is needed: NO_CLAIM, NO_RING (by who gives a claim back too late), LOOK_FIRST (whose the worker is,
 * before the claim is given back, as without a fence), NO_ORDER (to who had it), DRAIN_LATE (behind the look at the orders), SLEEP_FREE (without the
 * claims). */
#ifndef MOVES
#define MOVES 1
#endif
#ifndef TASKS
#define TASKS 1
#endif
#define CARRIERS 2
#define WORKERS 2
#define NOBODY CARRIERS
#define NONE 255

byte carrier[WORKERS], turned_by[WORKERS], orders[CARRIERS], put[WORKERS];
bool asleep[WORKERS];
bool bell[WORKERS], order_bell[CARRIERS]; /* eventfds */
byte got[WORKERS], ready[WORKERS];        /* worker's: taken from its ring; and not run yet */
byte runs, runs_of[WORKERS];
bool moved; /* all moves were begun */

#define WORK(w) (put[w] > got[w])
#define IN_PLACE(w) (turned_by[w] == carrier[w])
#define QUIET (moved && runs == TASKS && IN_PLACE(0) && IN_PLACE(1))

/* --- who gives tasks: another worker, or a client */

proctype giver()
{
    byte n, to;
    do
    :: n == TASKS -> break
    :: atomic {
           n < TASKS ->
           if
#ifdef HELD
           :: to = (n > 0)
#else
           :: to = 0
           :: to = 1
#endif
           fi;
           put[to]++
       };
        if
        :: atomic { asleep[to] -> bell[to] = true }
        :: !asleep[to]
        fi;
        atomic { to = 0; n++ }
    od
}

/* --- the control thread */

inline order(c)
{
    orders[c]++;
    atomic {
        bell[0] = bell[0] || turned_by[0] == c;
        bell[1] = bell[1] || turned_by[1] == c;
        order_bell[c] = true
    }
}

inline give_to_the_other(w)
{
    atomic { from = carrier[w]; carrier[w] = 1 - from };
#ifndef NO_ORDER
    order(from);
#endif
    order(1 - from)
}

proctype control()
{
    byte m, from;
    do
    :: m == MOVES -> break
    :: m < MOVES ->
#ifdef HELD
        give_to_the_other(1);
#else
        if
        :: give_to_the_other(0)
#ifndef ONE_MOVES
        :: give_to_the_other(1)
#endif
        fi;
#endif
        atomic { from = 0; m++ }
    od;
    moved = true
}

/* --- a thread */

#ifdef NO_CLAIM
#define IS_FREE(w) true
#else
#define IS_FREE(w) (turned_by[w] == NOBODY)
#endif

inline take_to_sleep(w)
{
    atomic {
        if
        :: (sleepy & (1 << w)) && IS_FREE(w) -> turned_by[w] = me; taken = taken | (1 << w)
        :: else
        fi
    }
}

inline give_back(w)
{
#ifndef LOOK_FIRST
    turned_by[w] = NOBODY;
#endif
    if
#ifdef NO_RING
    :: skip
#else
    :: atomic { carrier[w] != me -> order_bell[carrier[w]] = true }
    :: carrier[w] == me
#endif
    fi
#ifdef LOOK_FIRST
    ; turned_by[w] = NOBODY
#endif
}

/* Takes all from the ring, and runs one.  Within one step. */
inline turn(w)
{
    assert(turned_by[w] == me);
    did = WORK(w) || ready[w];
    ready[w] = ready[w] + put[w] - got[w];
    got[w] = put[w];
    if
    :: ready[w] ->
#ifdef HELD
        w == 1 || runs_of[0] || runs_of[1] == TASKS - 1;
#endif
        ready[w]--;
        runs++;
        runs_of[w]++
    :: else
    fi
}

/* The only worker: it stays with it until there is an order. */
inline stay(w)
{
    do
    :: orders[me] != seen -> break
    :: atomic { orders[me] == seen && did -> turn(w) }
    :: atomic { orders[me] == seen && !did -> asleep[w] = true };
        if
        :: WORK(w)
        :: atomic { !WORK(w) -> assert(!ready[w]) };
            if
            :: atomic { bell[w] -> bell[w] = false }
            :: QUIET -> goto over
            fi
        fi;
        atomic {
            asleep[w] = false;
            turn(w)
        }
    od
}

/* A turn of one of its own. */
inline visit(w)
{
    if
    :: atomic { (own & (1 << w)) && IS_FREE(w) -> turned_by[w] = me; turn(w) };
        if
        :: own == 1 << w -> stay(w)
        :: own == 3
        fi;
        atomic {
            if
            :: did -> awake = true
            :: else -> sleepy = sleepy | (1 << w)
            fi;
            did = false;
            assert(turned_by[w] == me)
        };
        give_back(w)
    :: !(own & (1 << w)) || !IS_FREE(w)
    fi
}

#define TAKEN(w) (taken & (1 << w))

inline rest()
{
#ifdef SLEEP_FREE
    taken = sleepy;
#else
    take_to_sleep(0);
    take_to_sleep(1);
#endif
    atomic {
        asleep[0] = asleep[0] || TAKEN(0);
        asleep[1] = asleep[1] || TAKEN(1)
    };
    if
    :: (TAKEN(0) && WORK(0)) || (TAKEN(1) && WORK(1))
    :: else ->
        if
        :: atomic { order_bell[me] || (TAKEN(0) && bell[0]) || (TAKEN(1) && bell[1]) ->
               bell[0] = bell[0] && !TAKEN(0);
               bell[1] = bell[1] && !TAKEN(1)
           };
#ifndef DRAIN_LATE
            order_bell[me] = false
#endif
        :: QUIET -> goto over
        fi
    fi;
    atomic {
        asleep[0] = asleep[0] && !TAKEN(0);
        asleep[1] = asleep[1] && !TAKEN(1)
    };
#ifndef SLEEP_FREE
    if
    :: TAKEN(0) -> give_back(0)
    :: else
    fi;
    if
    :: TAKEN(1) -> give_back(1)
    :: else
    fi;
#endif
    taken = 0
}

proctype thread(byte me)
{
    byte seen = NONE, own, sleepy, taken;
    bool did, awake;
round:
    if
    :: atomic { orders[me] != seen -> seen = orders[me] };
        own = (carrier[0] == me) | ((carrier[1] == me) << 1)
#ifdef DRAIN_LATE
        ; order_bell[me] = false
#endif
    :: orders[me] == seen
    fi;
    visit(0);
    visit(1);
    if
    :: !awake -> rest()
    :: awake
    fi;
    atomic { sleepy = 0; awake = false };
    goto round;
over:
    assert(runs == TASKS)
}

init
{
    atomic {
        turned_by[0] = NOBODY;
        turned_by[1] = NOBODY;
        run giver();
        run control();
        run thread(0);
        run thread(1)
    }
}
