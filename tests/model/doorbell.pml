/* doorbell.pml - a worker that falls asleep against workers that give it tasks: lane/doorbell.h, worker/idle.c,
 * worker/route.c, lane/lane.h, lane/ring.h.
 *
 * Held against: a worker sleeps for good only when every task has run (else spin reports an invalid end state); a task
 * runs once; a lane is in the ready list at most once, and a lane with tasks is in it whenever the worker sleeps.
 * The time-out of the sleep is left out: nothing may depend on it.
 *
 * Memory is that of x86-TSO: a store waits in its thread's buffer, first in first out, and reaches memory at any later
 * time; a fence waits until the buffer is empty.  No thread here reads what it writes itself, so nothing is forwarded
 * from a buffer.  The system calls on the eventfd are not taken for fences, though they are.
 *
 * Each of these words takes something away that is needed: NO_FENCE_SLEEPER, NO_FENCE_PUSHER, NO_SECOND_LOOK, NO_READY,
 * READY_TWICE (no look at whether a lane is in the list), RING_FIRST (looks for a sleeper before the put). */
#ifndef PUSHERS
#define PUSHERS 2
#endif
#ifndef TASKS
#define TASKS 2 /* of each */
#endif
#ifndef SLOTS
#define SLOTS 1 /* of a ring: it is full most of the time */
#endif
#define LANES 2
#define INNER (PUSHERS * TASKS) /* the task that task 0 pushes while it runs */
#define TOTAL (INNER + 1)
#define SLEEPER PUSHERS /* as the owner of a store buffer */

/* Addresses */
#define ASLEEP 0
#define HEAD(p) (1 + p) /* ring.head_public */
#define ITEM(p, at) (1 + PUSHERS + 2 * (p * SLOTS + at % SLOTS))
#define SEQUENCE(p, at) (ITEM(p, at) + 1)

byte memory[1 + PUSHERS + 2 * PUSHERS * SLOTS];
chan buffer[PUSHERS + 1] = [3] of { byte, byte };
bool bell; /* the eventfd's counter is not 0 */

chan lane[LANES] = [TOTAL] of { byte };
chan ready = [2 * TOTAL] of { byte };
byte listed[LANES]; /* how often it is in `ready` */
bool ran[TOTAL];
byte runs;

#define STORE(who, address, value) buffer[who] ! address, value
#define FENCE(who) empty(buffer[who])
#define WAITS(p) (memory[SEQUENCE(p, head[p])] == head[p] + 1)

proctype drain(byte who)
{
    byte address, value;
end:
    do
    :: d_step {
           buffer[who] ? address, value;
           memory[address] = value;
           address = 0;
           value = 0
       }
    od
}

/* --- who gives: route.c.  A full ring keeps the task in the overflow list, tried again in the next turn. */

inline ring_the_bell()
{
    if
    :: memory[ASLEEP] -> bell = true
    :: else
    fi
}

proctype pusher(byte p)
{
    byte at;
    bool rung;
    do
    :: at < TASKS && at < memory[HEAD(p)] + SLOTS ->
#ifdef RING_FIRST
        ring_the_bell();
#endif
        STORE(p, ITEM(p, at), p * TASKS + at);
        STORE(p, SEQUENCE(p, at), at + 1);
        at++;
        rung = true
    :: rung -> /* the end of any turn */
#ifndef NO_FENCE_PUSHER
        FENCE(p);
#endif
#ifndef RING_FIRST
        ring_the_bell();
#endif
        rung = false
    :: at == TASKS && !rung -> break
    od
}

/* --- the owner of the lanes.  What touches its own memory alone is one step. */

inline ready_add(l)
{
    if
#ifndef READY_TWICE
    :: listed[l] -> skip
#endif
    :: else ->
        listed[l]++;
        assert(listed[l] == 1);
        ready ! l
    fi
}

inline lane_push(t)
{
    lane[t % LANES] ! t;
#ifndef NO_READY
    ready_add(t % LANES)
#endif
}

inline inbox()
{
    p = 0;
    do
    :: p == PUSHERS -> break
    :: p < PUSHERS && WAITS(p) ->
        atomic {
            task = memory[ITEM(p, head[p])];
            lane_push(task);
            head[p]++;
            got = true;
            did = true
        }
    :: p < PUSHERS && !WAITS(p) ->
        if
        :: got -> STORE(SLEEPER, HEAD(p), head[p])
        :: else
        fi;
        got = false;
        p++
    od;
    p = 0
}

/* Lanes that are ready at the beginning get one turn; a turn is one task. */
inline lanes_run()
{
    atomic {
        turns = len(ready);
        do
        :: turns == 0 -> break
        :: turns > 0 ->
            turns--;
            ready ? l;
            listed[l]--;
            lane[l] ? task;
            assert(task < TOTAL && !ran[task]);
            ran[task] = true;
            runs++;
            if
            :: task == 0 -> lane_push(INNER)
            :: else
            fi;
            if
            :: nempty(lane[l]) -> ready_add(l)
            :: empty(lane[l])
            fi;
            did = true
        od;
        task = 0;
        l = 0
    }
}

inline look_again()
{
    p = 0;
    do
    :: p == PUSHERS -> break
    :: p < PUSHERS && WAITS(p) -> came = true; p++
    :: p < PUSHERS && !WAITS(p) -> p++
    od;
    p = 0
}

proctype worker()
{
    byte head[PUSHERS], p, l, task, turns;
    bool got, did, came;
turn:
    did = false;
    inbox();
    lanes_run();
    if
    :: goto turn /* it did something, or spins a while */
    :: !did
    fi;
    STORE(SLEEPER, ASLEEP, 1);
#ifndef NO_FENCE_SLEEPER
    FENCE(SLEEPER);
#endif
#ifndef NO_SECOND_LOOK
    look_again();
#endif
    if
    :: came -> came = false
    :: else ->
        assert(empty(ready) && empty(lane[0]) && empty(lane[1]));
        if /* epoll_pwait2, and doorbell_drain */
        :: bell -> bell = false
        :: runs == TOTAL -> goto over
        fi
    fi;
    STORE(SLEEPER, ASLEEP, 0);
    goto turn;
over:
    assert(runs == TOTAL)
}

init
{
    atomic {
        byte i = 0;
        do
        :: i == PUSHERS -> break
        :: i < PUSHERS -> run drain(i); run pusher(i); i++
        od;
        run drain(SLEEPER);
        run worker()
    }
}
