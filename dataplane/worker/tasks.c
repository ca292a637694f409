/* tasks.c - which tasks have begun and have not ended: for chictl task list.  The records of a worker's pools are looked at, some of them in a call, so
 * that tasks which are not asked for cost nothing. */
#include <errno.h>
#include <stdlib.h>

#include "archive/form.h"
#include "internal.h"

enum { AT_ONCE = 512 /* records: about as many cache misses */, MANY = 64 /* tasks of a call */ };

struct task_look { /* the runtime's, one for each worker, as one that turns late may still write it */
    bool late; /* a call of it timed out, and none has returned since */
    int class_of;
    uint32_t next, count; /* the first record that was not looked at; tasks */
    struct task_seen seen[MANY];
};

static uint64_t age_of(const struct worker *w, const struct task *t)
{
    uint64_t end = __atomic_load_n(&t->deadline_ns, __ATOMIC_RELAXED);
    uint64_t timeout_ns = t->method && task_public((struct task *)(uintptr_t)t)->timeout_us
                              ? task_public((struct task *)(uintptr_t)t)->timeout_us * UINT64_C(1000)
                              : w->rt->options.task_timeout_ns;
    bool known = t->method && (t->origin == TASK_CLIENT || t->origin == TASK_MODULE) && end != 0 && end != UINT64_MAX;
    return known && end - timeout_ns <= w->rctx.now_ns ? w->rctx.now_ns - (end - timeout_ns) : UINT64_MAX;
}

static void note(const struct worker *w, const struct task *t, struct task_seen *s)
{
    struct form_head h;
    *s = (struct task_seen){.worker = w->index, .state = t->state, .origin = t->origin, .age_ns = age_of(w, t),
                            .here = t->state == TASK_RUNNING || t->state == TASK_WAITING};
    if (t->method) {
        s->pool = task_public((struct task *)(uintptr_t)t)->pool;
        s->method = t->method->id;
    } else if (form_decode(task_form((struct task *)(uintptr_t)t), t->form_length, &h) == CHI_DROP_NONE) {
        s->pool = h.pool;
        s->method = h.method;
    }
    if (t->state == TASK_AWAY)
        s->node = t->node;
    s->says = task_progress(t, &s->done, &s->of);
    if (!s->here)
        return;
    s->container = t->lane->container->id;
    s->worker = lane_owner(t->lane) & ~LANE_MOVES;
    s->queue = t->lane->queue;
    s->lane = t->lane->number;
}

static void look(void *worker, void *arg)
{
    const struct worker *w = worker;
    struct task_look *k = arg;
    const struct pool *p = &w->tasks.body[k->class_of];
    k->count = 0;
    for (uint32_t end = k->next + AT_ONCE; k->next < p->count && k->next < end && k->count < MANY; k->next++) {
        const struct task *t = pool_at(p, k->next);
        if (t->state == TASK_RUNNING || t->state == TASK_WAITING || t->state == TASK_AWAY || t->state == TASK_SPREAD)
            note(w, t, &k->seen[k->count++]);
    }
}

static void nothing(void *worker, void *arg) { (void)worker, (void)arg; }

/* The worker's look, which nobody writes; NULL, and why not. */
static struct task_look *look_of(struct runtime *rt, uint32_t worker, int *rc)
{
    struct task_look **k = &rt->task_look[worker];
    *rc = *k || (*k = calloc(1, sizeof **k)) ? 0 : -ENOMEM;
    if (*rc == 0 && (*k)->late)
        *rc = worker_call(rt, worker, nothing, NULL); /* calls run in their order */
    if (*rc)
        return NULL;
    (*k)->late = false;
    return *k;
}

int runtime_tasks(struct runtime *rt, uint32_t worker, struct task_seen *out, unsigned most)
{
    unsigned n = 0;
    int rc;
    struct task_look *k = look_of(rt, worker, &rc);
    for (int c = 0; c < TASK_CLASSES && rc == 0; c++) {
        k->class_of = c;
        k->next = 0;
        while (k->next < rt->worker[worker]->tasks.body[c].count && n < most) {
            rc = worker_call(rt, worker, look, k);
            if (rc) {
                k->late = rc == -ETIMEDOUT;
                return rc;
            }
            for (uint32_t i = 0; i < k->count && n < most; i++)
                out[n++] = k->seen[i];
        }
    }
    return rc ? rc : (int)n;
}
