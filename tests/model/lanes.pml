/* lanes.pml - a lane that moves from one worker to another while workers send it tasks: worker/move.c, worker/route.c.
 *
 * Held against: each worker's tasks start in the order in which it sent them, each once, on the owner of the lane; when all
 * is quiet every task has run and each move is over (else spin reports an invalid end state).  The lane moves from worker 0 to
 * worker 1 and back, or on to worker 2 (GOES_ON), each move any time after the one before it.
 *
 * A way from one worker to another is the ring and the overflow list before it: one queue, first in first out.  That a worker
 * reads the owner late is modelled by who: until a mark has reached it, it may see the old owner for any time.
 *
 * Each of these words takes something away that is needed: HOLD_NOTHING, NO_MARKS (the new owner ends the move at once),
 * MARK_STRAIGHT (a mark goes to the new owner past the old one), MARK_FIRST (the old owner sends the marks before it writes
 * the new owner down), DROP_LATE (the old owner does not send on), STAYS_READY (the old owner leaves the lane in its list). */
#ifndef WORKERS
#define WORKERS 3
#endif
#ifndef TASKS
#define TASKS 2 /* of each worker */
#endif
#define MOVES 2
#define MARK 255
#define WAYS (WORKERS * TASKS + 2 * WORKERS)
#define NOBODY WORKERS

chan way[WORKERS * WORKERS] = [WAYS] of { byte, byte }; /* MARK or sender; number of the task, or whose mark */
#define WAY(a, b) way[(a) * WORKERS + (b)]

byte owner = 0; /* what the lane says */
bool moving = false;
byte from = NOBODY; /* of the move */
byte stale[WORKERS]; /* NOBODY, or the owner that this worker may still see */
chan lane = [WORKERS * TASKS] of { byte, byte };
chan held = [WORKERS * TASKS] of { byte, byte };
bool listed[WORKERS]; /* the lane is in this worker's ready list */
byte begun[WORKERS], runs, missing, moves;
bool taken;

inline push(w, s, n)
{
    lane ! s, n;
    listed[w] = true
}

/* A task of sender s that worker w has, from itself or by the way from `by`. */
inline place(w, by, s, n)
{
    if
    :: owner == w && !moving -> push(w, s, n)
#ifdef HOLD_NOTHING
    :: owner == w && moving -> push(w, s, n)
#else
    :: owner == w && moving && by == from -> push(w, s, n)
    :: owner == w && moving && by != from -> held ! s, n
#endif
    :: owner != w && by == w -> WAY(w, owner) ! s, n
#ifndef DROP_LATE
    :: owner != w && by != w -> assert(moving); WAY(w, owner) ! s, n
#else
    :: owner != w && by != w -> skip
#endif
    fi
}

inline end_move(w)
{
    do
    :: held ? s, n -> push(w, s, n)
    :: empty(held) -> break
    od;
    if
    :: nempty(lane) -> listed[w] = true
    :: empty(lane)
    fi;
    moving = false;
    from = NOBODY
}

inline take_mark(w, by, k)
{
    stale[w] = NOBODY; /* what it was sent shows it what was written before */
    if
    :: w == from -> WAY(w, owner) ! MARK, k
#ifdef MARK_STRAIGHT
    :: w != from && w != owner -> WAY(w, owner) ! MARK, k
#else
    :: w != from && w != owner -> WAY(w, by) ! MARK, k
#endif
    :: w != from && w == owner && !taken ->
        taken = true;
        if
        :: nempty(lane) -> listed[w] = true
        :: empty(lane)
        fi;
#ifdef NO_MARKS
        end_move(w)
#else
        WAY(w, by) ! MARK, k
#endif
#ifdef NO_MARKS
    :: w != from && w == owner && taken -> skip
#else
    :: w != from && w == owner && taken ->
        missing--;
        if
        :: missing == 0 -> end_move(w)
        :: else
        fi
#endif
    fi;
    k = 0
}

#ifdef GOES_ON
#define NEXT(w) ((w + 1) % WORKERS)
#else
#define NEXT(w) (1 - w)
#endif

inline send_marks(w)
{
    k = 0;
    do
    :: k == WORKERS -> break
    :: k < WORKERS && k != w -> WAY(w, k) ! MARK, k; k++
    :: k == w -> k++
    od;
    k = 0
}
inline write_owner(w)
{
    k = 0;
    do
    :: k == WORKERS -> break
    :: k < WORKERS && k != w -> stale[k] = w; k++
    :: k == w -> k++
    od;
    k = 0;
    from = w;
    owner = NEXT(w);
    moving = true
}

proctype worker(byte me)
{
    byte sent, s, n, k, by;
end:
    do
    :: atomic { /* a task of its own */
           sent < TASKS ->
           if
           :: stale[me] != NOBODY -> WAY(me, stale[me]) ! me, sent
           :: stale[me] = NOBODY; place(me, me, me, sent)
           fi;
           sent++
       }
    :: atomic { WAY(0, me) ? s, n -> by = 0; goto got }
    :: atomic { WAY(1, me) ? s, n -> by = 1; goto got }
#if WORKERS > 2
    :: atomic { WAY(2, me) ? s, n -> by = 2; goto got }
#endif
    :: atomic { /* runs one */
           listed[me] ->
           assert(owner == me);
           listed[me] = false;
           lane ? s, n;
           assert(begun[s] == n);
           begun[s]++;
           runs++;
           listed[me] = nempty(lane);
           s = 0;
           n = 0
       }
    :: atomic { /* gives it up */
           moves < MOVES && owner == me && !moving ->
           moves++;
           taken = false;
           missing = WORKERS - 1;
#ifndef STAYS_READY
           listed[me] = false;
#endif
#ifdef MARK_FIRST
           from = me
       }
       send_marks(me);
       atomic {
           write_owner(me)
       }
#else
           write_owner(me);
           send_marks(me)
       }
#endif
    od;
got:
    atomic {
        if
        :: s == MARK -> take_mark(me, by, n)
        :: else -> place(me, by, s, n)
        fi;
        s = 0;
        n = 0;
        by = 0;
        goto end
    }
}

/* Quiet: nothing can move any more. */
proctype audit()
{
    runs == WORKERS * TASKS && moves == MOVES && !moving && empty(lane) && empty(held)
}

init
{
    atomic {
        byte i = 0;
        do
        :: i == WORKERS -> break
        :: i < WORKERS -> stale[i] = NOBODY; run worker(i); i++
        od;
        run audit()
    }
}
