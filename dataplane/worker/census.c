/* census.c - see census.h. */
#include "census.h"

#include "internal.h"

static void census_class(const struct worker *w, struct census *c)
{
    c->next = 0;
    c->end = c->size_class < TASK_CLASSES ? pool_touched(&w->tasks.body[c->size_class]) : 0;
}

void census_begin(const struct worker *w, struct census *c)
{
    c->size_class = 0;
    c->slice = CENSUS_SLICE;
    census_class(w, c);
}

bool census_slice_st(struct worker *w, struct census *c, void (*look)(struct worker *w, struct task *t, void *arg), void *arg)
{
    uint32_t left = c->slice;
    CHI_ASSERT(w == worker_current());
    while (c->size_class < TASK_CLASSES) {
        for (; c->next < c->end; c->next++) {
            if (left-- == 0)
                return true;
            struct task *t = pool_at(&w->tasks.body[c->size_class], c->next);
            if (task_state(t) != TASK_FREE)
                look(w, t, arg);
        }
        c->size_class++;
        census_class(w, c);
    }
    return false;
}

/* --- of all workers, for the control thread */

struct count { /* worker k's; the control thread looks when the call is over */
    struct census at;
    bool (*is)(const struct worker *w, const struct task *t, const void *what);
    const void *what;
    uint64_t found;
    bool more;
};

static void count_one(struct worker *w, struct task *t, void *arg)
{
    struct count *c = arg;
    c->found += c->is(w, t, c->what);
}

static void count_begin(void *worker, void *arg)
{
    census_begin(worker, &((struct count *)arg)->at);
}
static void count_slice(void *worker, void *arg)
{
    struct count *c = arg;
    c->more = census_slice_st(worker, &c->at, count_one, c);
}

int runtime_census(struct runtime *rt, bool (*is)(const struct worker *w, const struct task *t, const void *what), const void *what, uint64_t *count)
{
    static struct count c; /* of the control thread; a call that it gave up may come to it later, */
    int rc = call_all(rt); /* but before what follows */
    *count = 0;
    for (uint32_t i = 0; i < rt->workers && !rc; i++) {
        c = (struct count){.is = is, .what = what, .more = true};
        rc = worker_call(rt, i, count_begin, &c);
        while (!rc && c.more)
            rc = worker_call(rt, i, count_slice, &c);
        *count += c.found;
    }
    return rc;
}
