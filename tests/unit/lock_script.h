/* lock_script.h - a runtime of one or two workers whose turns the test takes, and tasks that use locks as a script says.
 *
 * A task runs a script, a letter for each call, and says how it went: its name, the letter, and what the call returned unless OK.
 *   m M  n N  o O   takes and gives back a mutex
 *   r w R           reads, writes, gives back
 *   s S  c C B      semaphore; condition, with mutex m
 *   .               waits until the test opens the gate of its name
 *   P               returns PENDING: nobody ends the task
 *   (..)  [..]      a subtask with that script, on its lane, on the other one, and waits for it: its name in capitals, or small again
 *   {..}            the same as (..), for all containers of this node */
#pragma once
#include "worker/lock.h"
#include "worker_support.h"

enum { RECORDS = 256, STACKS = 60 };
static const struct chi_pool_id POOL = {100, 0}, OTHER = {101, 0};

struct job {
    struct chi_task task;
    uint64_t script, name, lane;
};
CHI_FIELDS(job_fields) = {CHI_IN(U64, struct job, script), CHI_IN(U64, struct job, name), CHI_IN(U64, struct job, lane)};
CHI_METHOD_VAR(job_method) = CHI_METHOD(1, struct job, job_fields);

struct locks {
    struct chi_mutex mutex[3];
    struct chi_rwlock rw;
    struct chi_sem sem;
    struct chi_cond cond;
};
static struct locks locks[2]; /* of the two containers */
static struct runtime *rt;
static struct worker *w[2];
static char said[4096];
static bool open_to[256];
static unsigned dones;

SUPPORT void say(char c) { said[strlen(said)] = c; }
SUPPORT void heard(const char *what)
{
    assert_string_equal(said, what);
    memset(said, 0, sizeof said);
}

SUPPORT struct chi_task *job_new(struct chi_rctx *r, struct chi_pool_id pool, char name, const char *script, uint64_t lane)
{
    struct job *t = (struct job *)chi_task_new(r, &job_method);
    assert_non_null(t);
    t->task.pool = pool;
    t->task.query = chi_local();
    t->script = (uint64_t)(uintptr_t)script;
    t->name = (uint64_t)name;
    t->lane = lane;
    return &t->task;
}

static enum chi_status do_call(struct locks *l, char c, struct chi_rctx *r)
{
    switch (c) {
    case 'm': case 'n': case 'o':
        return chi_mutex_lock(r, &l->mutex[c - 'm']);
    case 'M': case 'N': case 'O':
        return chi_mutex_unlock(r, &l->mutex[c - 'M']);
    case 'r':
        return chi_rwlock_read(r, &l->rw);
    case 'w':
        return chi_rwlock_write(r, &l->rw);
    case 'R':
        return chi_rwlock_unlock(r, &l->rw);
    case 's':
        return chi_sem_wait(r, &l->sem);
    case 'S':
        chi_sem_post(r, &l->sem);
        return CHI_STATUS_OK;
    case 'c':
        return chi_cond_wait(r, &l->cond, &l->mutex[0]);
    case 'C':
        chi_cond_signal(r, &l->cond);
        return CHI_STATUS_OK;
    case 'B':
        chi_cond_broadcast(r, &l->cond);
        return CHI_STATUS_OK;
    }
    fail_msg("no call %c", c);
    return CHI_STATUS_INVALID;
}

static const char *behind(const char *p)
{
    for (int deep = 1; deep; p++)
        deep += strchr("([{", *p) ? 1 : strchr(")]}", *p) ? -1 : 0;
    return p;
}

static enum chi_status init(struct chi_container *c)
{
    struct locks *mine = &locks[chi_container_pool(c).major == OTHER.major];
    memset(mine, 0, sizeof *mine);
    chi_container_set_state(c, mine);
    return chi_container_create_queue(c, 0, 2);
}
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    const struct job *t = (const struct job *)task;
    struct locks *mine = chi_container_state(c);
    char name = (char)t->name;
    for (const char *p = (const char *)(uintptr_t)t->script; *p && !strchr(")]}", *p); p++) {
        if (*p == 'P')
            return CHI_STATUS_PENDING;
        if (*p == '.') {
            while (!open_to[t->name])
                if (chi_yield(r) == CHI_STATUS_SHUTDOWN)
                    break;
            continue;
        }
        if (strchr("([{", *p)) {
            struct chi_task *sub = job_new(r, t->task.pool, (char)(name ^ 32), p + 1, *p == '[' ? !t->lane : t->lane);
            if (*p == '{')
                sub->query = chi_range(0, 1);
            chi_task_submit(r, sub, NULL, NULL);
            assert_int_equal(chi_task_wait(r, &sub, 1), CHI_STATUS_OK);
            assert_int_equal(sub->status, CHI_STATUS_OK);
            chi_task_del(r, sub);
            p = behind(p + 1) - 1;
            continue;
        }
        enum chi_status st = do_call(mine, *p, r);
        say(name);
        say(*p);
        if (st != CHI_STATUS_OK) {
            say('!');
            say(chi_status_name(st)[0]); /* INVALID, NO_MEMORY, SHUTDOWN, TOO_BIG */
        }
        say(' ');
    }
    return CHI_STATUS_OK;
}
static enum chi_status monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    if (mode != CHI_LOCAL_SCHEDULE)
        return CHI_STATUS_UNSUPPORTED;
    chi_rctx_set_lane(r, chi_container_lane(c, 0, (uint32_t)((struct job *)task)->lane));
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&job_method};
static const struct chi_chimod jobs = {
    .abi = CHI_CHIMOD_ABI, .size = sizeof jobs, .name = "jobs", .methods = methods, .nmethods = 1, .init = init, .run = run, .monitor = monitor};

SUPPORT void done(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    (void)arg;
    dones++;
    assert_int_equal(task->status, CHI_STATUS_OK);
    chi_task_del(r, task);
}
/* On lane 0 of worker 0, or lane 1, which is worker 1's if there is one. */
SUPPORT void root_at(int worker, char name, const char *script)
{
    chi_task_submit(&w[worker]->rctx, job_new(&w[worker]->rctx, POOL, name, script, (uint64_t)worker), done, NULL);
}
SUPPORT void root(char name, const char *script) { root_at(0, name, script); }
/* A subtask that was not waited for. */
SUPPORT void as_if_submitted_by_who_waits_first(char name, const char *script, const struct chi_lock *l)
{
    struct chi_task *sub = job_new(&w[0]->rctx, POOL, name, script, 0);
    chi_task_submit(&w[0]->rctx, sub, done, NULL);
    task_of(sub)->rooted = TASK_ROOT_INHERITED;
    task_of(sub)->root = l->first->root;
}

SUPPORT void turn(int k)
{
    worker_enter(w[k]);
    support_turn(w[k]);
    worker_enter(w[0]);
}
/* All that can go on now does. */
SUPPORT void settle(void)
{
    for (int i = 0; i < 20; i++)
        for (uint32_t k = 0; k < rt->workers; k++)
            turn((int)k);
}
SUPPORT void open_gate(char name)
{
    open_to[(unsigned char)name] = true;
    settle();
}

SUPPORT void start(uint32_t workers, uint32_t stacks)
{
    support_stacks = stacks;
    rt = support_runtime(workers, RECORDS, NULL);
    w[0] = rt->worker[0];
    w[1] = rt->worker[workers - 1];
    support_pool(rt, &jobs, POOL, 1);
    dones = 0;
    memset(said, 0, sizeof said);
    memset(open_to, 0, sizeof open_to);
}
SUPPORT void end(unsigned roots)
{
    assert_int_equal(dones, roots);
    assert_int_equal(w[0]->parked + w[1]->parked, 0);
    assert_true(list_empty(&w[0]->lock_waits) && list_empty(&w[1]->lock_waits));
    for (int i = 0; i < 3; i++)
        assert_true(!locks[0].mutex[i].by.times && !locks[0].mutex[i].lock.first && !locks[0].mutex[i].lock.calls && !locks[0].mutex[i].lock.kin);
    support_end(rt);
}
