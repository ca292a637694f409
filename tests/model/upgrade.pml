/* upgrade.pml - a version of a module gives way to another one while its tasks run on two workers: worker/hold.c, worker/still.c.
 *
 * Held against: no code of the old version runs once the new one is there; each task runs, once, and ends; when all is quiet the new version is
 * there (else spin reports an invalid end state): so what the old one has begun comes to its end though new tasks are held.  The time limit is left
 * out: nothing may depend on it.
 *
 * Three tasks come at any time, each at one worker and for a lane of the other one.  0 and 1 submit a subtask for a lane of the first worker and wait
 * for it; 2 submits one with a `done`, and ends.  A way from worker to worker is one queue, first in first out.  That all workers stand still is one step.
 *
 * Each of these words takes something away that is needed: HOLD_SUBTASKS (those of what has begun are held too), MARK_FIRST (roots are
 * looked at before the hold begins, in another step), LOOK_BY_WORKER (each worker's records are looked at in another step, and then the version
 * changes), DROP_HELD (what a worker holds stays there), DONE_UNSEEN (a `done` is not in the way). */
#define ROOTS 3
#define TASKS (2 * ROOTS)
#define SUBTASK(t) (t + ROOTS)
#define IS_ROOT(t) (t < ROOTS)
#define ROOT_OF(t) (t % ROOTS)
#define WAITS(t) (ROOT_OF(t) != 2) /* for its subtask */
#define OWNER(t) (1 - home[t])

mtype = { RUN, DONE };
mtype = { NONE, QUEUED, BEGUN, WAITING, ENDED, OVER };
mtype state[TASKS];
byte home[TASKS]; /* worker of the record */
byte began[TASKS]; /* in which version */
byte ran[TASKS];
bool old_root[ROOTS];
bool hold;
byte version;

chan way[2] = [2 * TASKS] of { mtype, byte };
chan lane[2] = [TASKS] of { byte };
chan held[2] = [TASKS] of { byte };

#ifdef HOLD_SUBTASKS
#define GOES_ON(t) false
#else
#define GOES_ON(t) (!IS_ROOT(t) && old_root[ROOT_OF(t)])
#endif

/* Onto its lane: by the worker where it is submitted, which is its home. */
inline submit(t, w)
{
    state[t] = QUEUED;
    home[t] = w;
    way[OWNER(t)] ! RUN, t
}

inline end_task(t)
{
    state[t] = ENDED;
    way[home[t]] ! DONE, t
}

/* A lane's next task. */
inline run_one(t)
{
    if
    :: hold && !GOES_ON(t) -> held[me] ! t
    :: else ->
        assert(ran[t] == 0);
        ran[t]++;
        began[t] = version;
        state[t] = BEGUN
    fi
}

/* What has begun goes on, in the code that it began in. */
inline go_on(t)
{
    assert(began[t] == version);
    if
    :: !IS_ROOT(t) -> end_task(t)
    :: IS_ROOT(t) && state[t] == BEGUN ->
        submit(SUBTASK(t), me);
        if
        :: WAITS(t) -> state[t] = WAITING
        :: else -> end_task(t)
        fi
    :: IS_ROOT(t) && state[t] == WAITING -> end_task(t)
    fi
}
#define CAN_GO_ON(t) (OWNER(t) == me && (state[t] == BEGUN || (state[t] == WAITING && state[SUBTASK(t)] == OVER)))

/* At its home. */
inline over(t)
{
    if
    :: !IS_ROOT(t) && !WAITS(t) -> assert(began[ROOT_OF(t)] == version) /* its `done` */
    :: else
    fi;
    state[t] = OVER
}

proctype worker(byte me)
{
    byte t;
end:
    do
    :: atomic { me == 0 && state[0] == NONE -> submit(0, me) }
    :: atomic { me == 1 && state[1] == NONE -> submit(1, me) }
    :: atomic { me == 0 && state[2] == NONE -> submit(2, me) }
    :: atomic { way[me] ? RUN, t -> lane[me] ! t; t = 0 }
    :: atomic { way[me] ? DONE, t -> over(t); t = 0 }
    :: atomic { lane[me] ? t -> run_one(t); t = 0 }
    :: atomic { CAN_GO_ON(0) -> go_on(0) }
    :: atomic { CAN_GO_ON(1) -> go_on(1) }
    :: atomic { CAN_GO_ON(2) -> go_on(2) }
    :: atomic { CAN_GO_ON(3) -> go_on(3) }
    :: atomic { CAN_GO_ON(4) -> go_on(4) }
    :: atomic { CAN_GO_ON(5) -> go_on(5) }
    od
}

/* In the way of the new version.  The `done` of task 5 is of the version in which 2 began. */
#define RUNS(t) (state[t] == BEGUN || state[t] == WAITING || state[t] == ENDED)
#ifdef DONE_UNSEEN
#define BUSY(t) RUNS(t)
#else
#define BUSY(t) (RUNS(t) || (t == 5 && state[t] == QUEUED && began[2] == version))
#endif
#define REST_OF(w, t) (home[t] != w || !BUSY(t))
#define REST(w) (REST_OF(w, 0) && REST_OF(w, 1) && REST_OF(w, 2) && REST_OF(w, 3) && REST_OF(w, 4) && REST_OF(w, 5))

inline mark_roots()
{
    old_root[0] = RUNS(0) || (ran[0] && state[3] != OVER);
    old_root[1] = RUNS(1) || (ran[1] && state[4] != OVER);
    old_root[2] = RUNS(2) || (ran[2] && state[5] != OVER)
}

inline release(w)
{
    n = len(lane[w]);
    do
    :: held[w] ? t -> lane[w] ! t
    :: empty(held[w]) -> break
    od;
    do
    :: n > 0 -> lane[w] ? t; lane[w] ! t; n--
    :: n == 0 -> break
    od;
    t = 0
}

inline change()
{
    version = 1;
    hold = false;
    release(0);
#ifndef DROP_HELD
    release(1)
#endif
}

proctype control()
{
    byte t, n;
#ifdef MARK_FIRST
    atomic { mark_roots() };
    atomic { hold = true };
#else
    atomic { mark_roots(); hold = true };
#endif
#ifdef LOOK_BY_WORKER
    atomic { REST(1) };
    atomic { REST(0) };
    atomic { change() }
#else
    atomic { REST(0) && REST(1) -> change() }
#endif
}

/* Quiet: nothing can move any more. */
proctype audit()
{
    version == 1 && state[0] == OVER && state[1] == OVER && state[2] == OVER && state[3] == OVER && state[4] == OVER && state[5] == OVER;
    assert(ran[0] == 1 && ran[1] == 1 && ran[2] == 1 && ran[3] == 1 && ran[4] == 1 && ran[5] == 1)
}

init
{
    atomic {
        byte i = 0;
        do
        :: i == TASKS -> break
        :: i < TASKS -> state[i] = NONE; i++
        od;
        run worker(0);
        run worker(1);
        run control();
        run audit()
    }
}
