/* books.c - what the ledgers of the workers say at the end (task/ledger.h).  In builds with CHI_LEDGER. */
#define _GNU_SOURCE
#include <dlfcn.h>

#include "internal.h"

#ifdef CHI_LEDGER
static const char *const state_name[] = {"free", "new", "queued", "running or parked", "waiting for bytes", "away", "spread", "ended", "answered", "a mark", "resting"};
static const char *const origin_name[] = {"?", "a client's", "a module's", "another node's", "a replica"};

/* Its module has it, or others of its kind: it ends when that does.  Anything else is the runtime's to end. */
static bool is_a_modules(const struct task *t)
{
    return t->entry.state == LEDGER_TAKEN ||
           (t->entry.state == LEDGER_ACCEPTED && (t->state == TASK_RUNNING || t->state == TASK_WAITING || t->state == TASK_SPREAD));
}

static void print_where(const struct task *t, FILE *out)
{
    Dl_info at;
    if (t->state == TASK_QUEUED || t->state == TASK_RUNNING || t->state == TASK_WAITING)
        fprintf(out, ", lane %u.%u of worker %u, container %u", t->lane->queue, t->lane->number, lane_owner(t->lane) & ~LANE_MOVES, t->lane->container->id);
    if (t->state == TASK_AWAY)
        fprintf(out, ", to node %u", t->node);
    if (t->entry.by)
        fprintf(out, ", submitted by task %u.%llu", (unsigned)(t->entry.by % WORKERS_MAX), (unsigned long long)(t->entry.by / WORKERS_MAX));
    if (t->entry.caller && dladdr(t->entry.caller, &at) && at.dli_fname)
        fprintf(out, ", at %s+0x%zx (%s)", at.dli_fname, (size_t)((const char *)t->entry.caller - (const char *)at.dli_fbase),
                at.dli_sname ? at.dli_sname : "?");
}

static void print_entry(const struct worker *w, const struct task *t, uint64_t now_ns, FILE *out)
{
    if (t->entry.state == LEDGER_TAKEN) {
        fprintf(out, "ledger: a record of worker %u that is not submitted, of method %s\n", w->index, t->method ? t->method->name : "?");
        return;
    }
    fprintf(out, "ledger: task %u.%llu, %s, %s", w->index, (unsigned long long)t->entry.number, origin_name[t->origin], state_name[t->state]);
    if (t->method)
        fprintf(out, ", method %s of pool %u.%u", t->method->name, task_public((struct task *)(uintptr_t)t)->pool.major,
                task_public((struct task *)(uintptr_t)t)->pool.minor);
    fprintf(out, ", status %u, for %llu us", t->entry.status, (unsigned long long)((now_ns - t->entry.accepted_ns) / 1000));
    print_where(t, out);
    fprintf(out, "\n");
}

static bool worker_books_closed(const struct worker *w, FILE *out)
{
    const struct ledger *l = &w->tasks.ledger;
    uint64_t now_ns = net_now_ns(), open = 0, accepted = 0;
    bool closed = true;
    if (ledger_is_closed(l))
        return true;
    for (const struct link *k = l->open.next; k != &l->open; k = k->next) {
        const struct task *t = LIST_ENTRY(k, const struct task, entry.link);
        open++;
        accepted += t->entry.state != LEDGER_TAKEN;
        closed = closed && is_a_modules(t);
        print_entry(w, t, now_ns, out);
    }
    if (l->taken - l->given_back == open && l->accepted - l->ended == accepted)
        return closed;
    fprintf(out, "ledger: worker %u: %llu records taken, %llu given back, %llu open; %llu tasks accepted, %llu ended, %llu open\n", w->index,
            (unsigned long long)l->taken, (unsigned long long)l->given_back, (unsigned long long)open, (unsigned long long)l->accepted,
            (unsigned long long)l->ended, (unsigned long long)accepted);
    return false;
}
#endif

bool runtime_books_closed(const struct runtime *rt, FILE *out)
{
    bool closed = true;
    (void)rt, (void)out;
#ifdef CHI_LEDGER
    for (uint32_t i = 0; i < rt->workers; i++)
        closed = worker_books_closed(rt->worker[i], out) && closed;
#endif
    return closed;
}
