/* Locks for tasks: who gets them and when, on one and on two workers. */
#include "lock_script.h"
#include "panics.h"

/* --- mutex */

static void mutex__that_is_free_is_taken_at_once(void **state)
{
    (void)state;
    start(1, STACKS);
    root('a', "mM");
    root('b', "mnNM");
    settle();
    heard("am aM bm bn bN bM ");
    assert_int_equal(w[0]->stats.waits, 0);
    end(2);
    start(1, 0);
    root('a', "mM");
    for (int i = 0; i < 3; i++)
        worker_turn(w[0]); /* without stacks there is no loop to go on */
    heard("am aM ");
    end(1);
}

static void mutex__keeps_others_out(void **state)
{
    (void)state;
    start(1, STACKS);
    root('a', "m.M");
    root('b', "mM");
    settle();
    heard("am ");
    uint64_t waits = w[0]->stats.waits;
    settle();
    assert_true(w[0]->stats.waits > waits); /* a yields; */
    assert_int_equal(locks[0].mutex[0].lock.first->fiber == w[0]->loop, 0); /* b waits, and is not asked again */
    open_gate('a');
    heard("aM bm bM ");
    end(2);
}

static void mutex__is_handed_on_in_order(void **state)
{
    (void)state;
    start(2, STACKS);
    root_at(0, 'a', "m.M");
    settle();
    static const char names[] = "bcdefgh";
    for (int i = 0; names[i]; i++) {
        root_at(i % 2, names[i], "mM");
        settle();
    }
    heard("am ");
    open_gate('a');
    heard("aM bm bM cm cM dm dM em eM fm fM gm gM hm hM ");
    end(8);
}

/* Who comes while it is free, but others wait for it, does not go before them: a gave it back, and b was not told yet. */
static void mutex__is_not_taken_before_those_who_wait(void **state)
{
    (void)state;
    start(1, STACKS);
    root('a', "m.MmM");
    root('b', "mM");
    settle();
    heard("am ");
    open_gate('a');
    heard("aM bm bM am aM ");
    end(2);
}

static void mutex__is_entered_again_by_its_holder(void **state)
{
    (void)state;
    start(1, STACKS);
    root('a', "mmM.M");
    root('b', "mM");
    settle();
    heard("am am aM ");
    open_gate('a');
    heard("aM bm bM ");
    end(2);
}

/* What is submitted between the runs of others is a root, whatever ran last. */
static void root__is_not_who_ran_last(void **state)
{
    (void)state;
    start(1, STACKS);
    root('a', "mM");
    settle();
    root('b', "m.M");
    root('c', "mM");
    settle();
    heard("am aM bm ");
    open_gate('b');
    root('d', "m.M"); /* c's run ended on a stack that the worker had left */
    root('e', "mM");
    settle();
    heard("bM cm cM dm ");
    open_gate('d');
    end(5);
}

static void mutex__is_not_given_back_by_a_stranger(void **state)
{
    (void)state;
    start(2, STACKS);
    root('a', "Mm.MM");
    settle();
    root_at(1, 'b', "MnMN");
    settle();
    heard("aM!I am bM!I bn bM!I bN ");
    open_gate('a');
    heard("aM aM!I ");
    end(2);
}

/* A subtask may enter, but gives back only what it took. */
static void mutex__is_not_given_back_for_another_task(void **state)
{
    (void)state;
    start(1, STACKS);
    root('a', "m(M)M");
    settle();
    heard("am AM!I aM ");
    end(1);
}

static void mutex__of_another_container_is_another_one(void **state)
{
    (void)state;
    start(1, STACKS);
    support_pool(rt, &jobs, OTHER, 1);
    root('a', "mw.RM");
    chi_task_submit(&w[0]->rctx, job_new(&w[0]->rctx, OTHER, 'b', "mwRM", 0), done, NULL);
    settle();
    heard("am aw bm bw bR bM ");
    open_gate('a');
    heard("aR aM ");
    end(2);
}

static void mutex__across_lanes_and_workers(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 2; workers++) {
        start(workers, STACKS);
        root_at(0, 'a', "m.M");
        settle();
        root_at(1, 'b', "m.M");
        settle();
        root_at(0, 'c', "mM");
        settle();
        heard("am ");
        open_gate('a');
        heard("aM bm ");
        open_gate('b');
        heard("bM cm cM ");
        end(3);
    }
}

static void mutex__counts_what_a_task_holds(void **state)
{
    (void)state;
    static char script[2 * 256 + 1];
    memset(script, 'm', 256);
    memset(script + 256, 'M', 255);
    start(1, STACKS);
    root('a', script);
    settle();
    char *full = strchr(said, '!');
    assert_true(full && full[1] == 'T' && full - said == 255 * 3 + 2);
    assert_null(strchr(full + 1, '!'));
    end(1);
}

/* Another worker is at the lock, the test says: what is asked then is answered when that one looks again. */
static void lock__while_another_worker_is_at_it(void **state)
{
    (void)state;
    start(2, STACKS);
    struct chi_lock *l = &locks[0].rw.writer.lock;
    root('a', "r.R");
    root('b', "r.rRR"); /* reads already, so that it does not wait behind d */
    settle();
    root('d', "wR");
    settle();
    heard("ar br ");
    l->calls = 1;
    open_to['b'] = true;
    settle();
    assert_int_equal(l->calls, 2);
    assert_ptr_equal(l->asked->worker, w[0]);
    root_at(1, 'e', "rR");
    settle();
    root('f', "wR");
    settle();
    assert_int_equal(l->calls, 4);
    heard("");
    l->calls = 0; /* it left; in truth it would have looked */
    open_gate('a'); /* gives back, and does what was asked */
    heard("aR br bR bR dw dR er eR fw fR ");
    end(5);
}

/* --- reader-writer lock */

static void rwlock__many_read_one_writes(void **state)
{
    (void)state;
    start(2, STACKS);
    for (char c = 'a'; c < 'a' + 5; c++)
        root_at(c % 2, c, "r.R");
    settle();
    root('w', "w.R");
    settle();
    assert_int_equal(strlen(said), 5 * 3); /* all five read */
    memset(said, 0, sizeof said);
    for (char c = 'a'; c < 'a' + 4; c++)
        open_gate(c);
    assert_null(strchr(said, 'w')); /* waits for all of them */
    memset(said, 0, sizeof said);
    open_gate('e');
    heard("eR ww ");
    root('x', "wR");
    root_at(1, 'y', "rR");
    settle();
    heard("");
    open_gate('w');
    heard("wR xw xR yr yR ");
    end(8);
}

/* Neither starves: readers that come behind a writer wait for it, those next to each other go on together, the next writer behind them. */
static void rwlock__is_handed_on_in_order(void **state)
{
    (void)state;
    start(1, STACKS);
    root('a', "r.R");
    root('b', "wR");
    root('c', "r.R");
    root('d', "r.R");
    root('e', "wR");
    root('f', "rR");
    settle();
    heard("ar ");
    open_gate('a');
    heard("aR bw bR cr dr ");
    open_gate('c');
    heard("cR ");
    open_gate('d');
    heard("dR ew eR fr fR ");
    end(6);
}

static void rwlock__is_entered_again(void **state)
{
    (void)state;
    start(2, STACKS);
    root('a', "r.r[rR]RR"); /* reads behind a writer that waits, and does not wait for it */
    settle();
    root('b', "w.wr[wrRR]RRR"); /* reads what it writes */
    settle();
    root_at(1, 'c', "rR");
    settle();
    heard("ar ");
    open_gate('a');
    heard("ar Ar AR aR aR bw ");
    open_gate('b');
    heard("bw br Bw Br BR BR bR bR bR cr cR ");
    end(3);
}

static void rwlock__is_not_upgraded(void **state)
{
    (void)state;
    start(1, STACKS);
    root('a', "rw(w)RwR");
    settle();
    heard("ar aw!I Aw!I aR aw aR ");
    end(1);
}

/* A subtask asked to write before its root came to read: it would wait for itself. */
static void rwlock__is_not_upgraded_while_it_waits(void **state)
{
    (void)state;
    start(1, STACKS);
    root('a', "w.R");
    root('b', "r.R");
    settle();
    as_if_submitted_by_who_waits_first('c', "w", &locks[0].rw.writer.lock);
    settle();
    heard("aw ");
    open_gate('a');
    heard("aR br cw!I ");
    open_gate('b');
    heard("bR ");
    end(3);
}

static void rwlock__is_not_given_back_by_a_stranger(void **state)
{
    (void)state;
    start(1, STACKS);
    root('a', "r.RR");
    root('b', "mRM");
    root('c', "w.R");
    root('d', "mRM");
    settle();
    heard("ar bm bR!I bM dm dR!I dM ");
    open_gate('a');
    heard("aR aR!I cw ");
    open_gate('c');
    heard("cR ");
    end(4);
}

static void rwlock__has_so_many_readers(void **state)
{
    (void)state;
    start(1, STACKS);
    for (int i = 0; i <= CHI_RWLOCK_READERS; i++)
        root((char)('a' + i), "r.R");
    settle();
    assert_int_equal(strlen(said), CHI_RWLOCK_READERS * 3);
    memset(said, 0, sizeof said);
    open_gate('c');
    heard("cR qr ");
    for (int i = 0; i <= CHI_RWLOCK_READERS; i++)
        open_gate((char)('a' + i));
    end(CHI_RWLOCK_READERS + 1);
}

/* --- semaphore, condition */

static void sem__lets_so_many_in(void **state)
{
    (void)state;
    start(2, STACKS);
    locks[0].sem.count = 2;
    root('a', "s.S");
    root('b', "s.S");
    settle();
    root_at(1, 'c', "s.S");
    settle();
    root('d', "s");
    settle();
    heard("as bs ");
    open_gate('b');
    heard("bS cs ");
    open_gate('c');
    heard("cS ds ");
    open_gate('a');
    heard("aS ");
    assert_int_equal(locks[0].sem.count, 1);
    chi_sem_post(&w[0]->rctx, &locks[0].sem); /* from outside of `run` */
    root('e', "ss");
    settle();
    heard("es es ");
    end(5);
}

static void cond__wakes_one_or_all(void **state)
{
    (void)state;
    start(2, STACKS);
    root('s', "C"); /* nobody waits: it does not count */
    for (char c = 'a'; c < 'a' + 5; c++) {
        root_at(c % 2, c, "mcM");
        settle();
    }
    heard("sC am bm cm dm em ");
    root('t', "mC.M"); /* holds the mutex: who was told goes on behind it */
    settle();
    heard("tm tC ");
    root('u', "mM");
    settle();
    open_gate('t');
    heard("tM ac aM um uM ");
    root('v', "CC");
    settle();
    heard("vC vC bc bM cc cM ");
    root('x', "mB.M");
    settle();
    root('f', "mcM"); /* comes later: it is not meant */
    open_gate('x');
    heard("xm xB xM dc dM ec eM fm ");
    root('y', "B");
    settle();
    heard("yB fc fM ");
    end(12);
}

static void cond__needs_the_mutex_held_once(void **state)
{
    (void)state;
    start(1, STACKS);
    root('a', "cmmcMM");
    root('b', "m(c).M");
    root('c', "c");
    settle();
    heard("ac!I am am ac!I aM aM bm cc!I Bc!I ");
    open_gate('b');
    heard("bM ");
    end(3);
}

/* --- without stacks, at the end, misuse */

static void wait__without_a_stack_is_refused(void **state)
{
    (void)state;
    start(1, 1);
    root('a', "mw.RM"); /* has the one stack */
    root('b', "mrwmM");
    root('c', "smcM");
    settle();
    heard("am aw bm!N br!N bw!N bm!N bM!I cs!N cm!N cc!I cM!I ");
    locks[0].mutex[1].lock.calls = 1; /* another worker is at it, and it might be free */
    root('d', "n");
    settle();
    heard("dn!N ");
    locks[0].mutex[1].lock.calls = 0;
    open_gate('a');
    heard("aR aM ");
    root('e', "m.M");
    root('f', "mcM"); /* the one stack is e's */
    settle();
    open_gate('e');
    heard("em fm!N fc!I fM!I eM ");
    end(6);
}

static void cond__without_a_stack_keeps_the_mutex(void **state)
{
    (void)state;
    start(1, 1);
    root('a', "."); /* has the one stack */
    root('b', "mcM");
    settle();
    heard("bm bc!N bM ");
    open_gate('a');
    end(2);
}

static void wait__ends_with_the_daemon(void **state)
{
    (void)state;
    start(2, STACKS);
    root('a', "mwsRM");
    settle();
    root_at(1, 'b', "m");
    root_at(1, 'd', "s");
    settle();
    root('c', "r");
    root('e', "w");
    settle();
    heard("am aw ");
    rt->stopping = true;
    turn(1);
    heard("bm!S ds!S ");
    settle();
    heard("as!S aR aM cr!S ew!S ");
    end(5);
}

static void cond__ends_with_the_daemon_without_the_mutex(void **state)
{
    (void)state;
    start(2, STACKS);
    root('a', "mcM");
    settle();
    root('b', "m.cM"); /* would wait after the stop */
    settle();
    heard("am bm ");
    rt->stopping = true;
    settle();
    assert_non_null(strstr(said, "ac!S aM!I "));
    assert_non_null(strstr(said, "bc!S bM!I "));
    end(2);
}

static void one_turn(void) { support_turn(w[0]); }
static void lock_now(void) { (void)!chi_mutex_lock(&w[0]->rctx, &locks[0].mutex[0]); }
static struct chi_task *pending;
static void complete_it(void) { chi_complete(&w[0]->rctx, pending, CHI_STATUS_OK); }
/* Whose task is still out, with a lock. */
static void drop(void)
{
    runtime_destroy(rt);
    rcu_unregister_thread();
}
static void misuse__panics(void **state)
{
    (void)state;
    static const char *const held[] = {"m", "m.m", "r", "mmM"};
    start(1, STACKS);
    assert_true(panics(lock_now)); /* no task runs */
    root('x', "mM");
    assert_false(panics(one_turn));
    settle();
    end(1);
    for (unsigned i = 0; i < 4; i++) {
        start(1, STACKS);
        open_to['a'] = true;
        root('a', held[i]);
        assert_true(panics(one_turn)); /* it ends with a lock held */
        drop();
    }
    for (unsigned i = 0; i < 2; i++) {
        start(1, STACKS);
        pending = job_new(&w[0]->rctx, POOL, 'a', i ? "mP" : "mMP", 0);
        chi_task_submit(&w[0]->rctx, pending, done, NULL);
        settle();
        assert_int_equal(panics(complete_it), i); /* the same by chi_complete */
        drop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutex__that_is_free_is_taken_at_once),
        cmocka_unit_test(mutex__keeps_others_out),
        cmocka_unit_test(mutex__is_handed_on_in_order),
        cmocka_unit_test(mutex__is_not_taken_before_those_who_wait),
        cmocka_unit_test(mutex__is_entered_again_by_its_holder),
        cmocka_unit_test(root__is_not_who_ran_last),
        cmocka_unit_test(mutex__is_not_given_back_by_a_stranger),
        cmocka_unit_test(mutex__is_not_given_back_for_another_task),
        cmocka_unit_test(mutex__of_another_container_is_another_one),
        cmocka_unit_test(mutex__across_lanes_and_workers),
        cmocka_unit_test(mutex__counts_what_a_task_holds),
        cmocka_unit_test(lock__while_another_worker_is_at_it),
        cmocka_unit_test(rwlock__many_read_one_writes),
        cmocka_unit_test(rwlock__is_handed_on_in_order),
        cmocka_unit_test(rwlock__is_entered_again),
        cmocka_unit_test(rwlock__is_not_upgraded),
        cmocka_unit_test(rwlock__is_not_upgraded_while_it_waits),
        cmocka_unit_test(rwlock__is_not_given_back_by_a_stranger),
        cmocka_unit_test(rwlock__has_so_many_readers),
        cmocka_unit_test(sem__lets_so_many_in),
        cmocka_unit_test(cond__wakes_one_or_all),
        cmocka_unit_test(cond__needs_the_mutex_held_once),
        cmocka_unit_test(wait__without_a_stack_is_refused),
        cmocka_unit_test(cond__without_a_stack_keeps_the_mutex),
        cmocka_unit_test(wait__ends_with_the_daemon),
        cmocka_unit_test(cond__ends_with_the_daemon_without_the_mutex),
        cmocka_unit_test(misuse__panics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
