#include "guest.h"

#include <stdlib.h>

#include "chi/chimod.h"

enum { SLEEP_US = 500, DEAF_US = 2000000, FLUSH_US = 10000000 };
struct state { /* given back by fini: what a sanitizer sees of a task that runs after it */
    uint64_t ran;
};

static enum chi_status init(struct chi_container *c)
{
    struct state *s = calloc(1, sizeof *s);
    if (!s)
        return CHI_STATUS_NO_MEMORY;
    chi_container_set_state(c, s);
    return chi_container_create_queue_as(c, 0, &(struct chi_queue_options){.lanes = 1, .fixed = true});
}
static void fini(struct chi_container *c) { free(chi_container_state(c)); }

static enum chi_status sleep_on(struct chi_task *task, struct chi_rctx *r)
{
    while (chi_task_cancelled(r, task) == CHI_STATUS_OK)
        if (chi_sleep_us(r, SLEEP_US) != CHI_STATUS_OK)
            return CHI_STATUS_SHUTDOWN;
    return chi_task_cancelled(r, task);
}

static enum chi_status listen(struct guest_stay *t, struct chi_rctx *r, uint32_t id)
{
    struct guest_stay *sub = (struct guest_stay *)chi_task_new(r, &guest_stay_method);
    if (!sub)
        return CHI_STATUS_NO_MEMORY;
    sub->task.pool = t->task.pool;
    sub->task.query = chi_direct(id);
    sub->mode = GUEST_SLEEPS;
    chi_task_submit(r, &sub->task, NULL, NULL);
    struct chi_task *task = &sub->task;
    enum chi_status st = chi_task_wait(r, &task, 1);
    if (st != CHI_STATUS_OK)
        return st;
    st = (enum chi_status)task->status;
    chi_task_del(r, task);
    return st;
}

static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct guest_stay *t = (struct guest_stay *)task;
    struct state *s = chi_container_state(c);
    const uint64_t nap_us = t->value;
    s->ran++;
    t->node = chi_container_node(c);
    t->value += chi_container_id(c) + 1;
    switch (t->mode) {
    case GUEST_DEAF:
        return chi_sleep_us(r, DEAF_US);
    case GUEST_NAPS:
        return chi_sleep_us(r, nap_us);
    case GUEST_FLUSHES:
        return chi_flush(r, NULL, FLUSH_US);
    case GUEST_PARKS:
        return CHI_STATUS_PENDING;
    case GUEST_SLEEPS:
        return sleep_on(task, r);
    case GUEST_LISTENS:
        return listen(t, r, chi_container_id(c));
    default:
        return CHI_STATUS_OK;
    }
}

static void cancel(struct chi_container *c, struct chi_task *task, struct chi_rctx *r, enum chi_status why)
{
    (void)c;
    if (((const struct guest_stay *)task)->mode == GUEST_PARKS)
        chi_complete(r, task, why);
}

static struct chi_method *const methods[] = {&guest_stay_method};
static const struct chi_chimod guest = {
    .abi = CHI_CHIMOD_ABI,
    .size = sizeof(struct chi_chimod),
    .name = "guest",
    .methods = methods,
    .nmethods = 1,
    .init = init,
    .fini = fini,
    .run = run,
    .cancel = cancel,
};
CHI_CHIMOD(guest)
