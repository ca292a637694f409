/* relay.c - built several times: RELAY_VERSION, and what is wrong with it (RELAY_FAILS, RELAY_QUEUES, RELAY_OTHER_FIELDS, RELAY_STATELESS). */
#include "relay.h"

#include <stdlib.h>

#include "chi/chimod.h"

enum { LANES = 4, WIDTH_MAX = 8 };

/* Of odd versions and of even ones it is laid out differently. */
struct head {
    uint32_t version;
};
struct odd {
    struct head head;
    uint64_t runs, upgrades, ticks;
    struct chi_task *parked;
};
struct even {
    struct head head;
    struct chi_task *parked;
    char more[100];
    uint64_t ticks, upgrades, runs;
};
#if RELAY_VERSION % 2
typedef struct odd state_of_this;
#else
typedef struct even state_of_this;
#endif

static enum chi_status init(struct chi_container *c)
{
    state_of_this *s = calloc(1, sizeof *s);
    if (!s)
        return CHI_STATUS_NO_MEMORY;
    s->head.version = RELAY_VERSION;
    chi_container_set_state(c, s);
    return chi_container_create_queue(c, 0, LANES);
}

static void fini(struct chi_container *c) { free(chi_container_state(c)); }

#ifndef RELAY_STATELESS
static enum chi_status upgrade(struct chi_container *c, enum chi_upgrade_step step, void *old_state, void **new_state)
{
    if (step == CHI_UPGRADE_COMMIT)
        free(old_state);
    if (step == CHI_UPGRADE_ABORT)
        free(*new_state);
    if (step != CHI_UPGRADE_BEGIN)
        return CHI_STATUS_OK;
#ifdef RELAY_FAILS
    if (chi_container_id(c) % 2)
        return CHI_STATUS_MODULE;
#endif
#ifdef RELAY_QUEUES
    if (!chi_container_lane(c, 1, 0))
        return CHI_STATUS_INVALID;
#endif
    (void)c;
    const struct odd *o = old_state;
    const struct even *e = old_state;
    bool odd = o->head.version % 2;
    state_of_this *s = calloc(1, sizeof *s);
    if (!s)
        return CHI_STATUS_NO_MEMORY;
    s->head.version = RELAY_VERSION;
    s->runs = odd ? o->runs : e->runs;
    s->upgrades = (odd ? o->upgrades : e->upgrades) + 1;
    *new_state = s;
    return CHI_STATUS_OK;
}
#endif

static enum chi_status tree(struct relay_tree *t, struct chi_rctx *r)
{
    struct chi_task *sub[WIDTH_MAX];
    enum chi_status st = CHI_STATUS_OK;
    unsigned n = 0;
    t->sum = 1;
    for (; t->depth && n < t->width; n++) {
        sub[n] = chi_task_new(r, &relay_tree_method);
        if (!sub[n]) {
            st = CHI_STATUS_NO_MEMORY;
            break;
        }
        struct relay_tree *s = (struct relay_tree *)sub[n];
        s->depth = t->depth - 1;
        s->width = t->width;
        s->low = t->low;
        s->high = t->high;
        s->task.pool = t->task.pool;
        s->task.query = n % 2 ? chi_physical(t->high) : chi_physical(t->low);
        s->task.timeout_us = t->task.timeout_us;
        chi_task_submit(r, sub[n], NULL, NULL);
    }
    enum chi_status waited = chi_task_wait(r, sub, n);
    if (waited != CHI_STATUS_OK)
        return waited;
    for (unsigned i = 0; i < n; i++) {
        if (sub[i]->status != CHI_STATUS_OK)
            st = sub[i]->status;
        t->sum += ((struct relay_tree *)sub[i])->sum;
        chi_task_del(r, sub[i]);
    }
    return st;
}

static enum chi_status tick(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    struct chi_task *t = chi_task_new(r, &relay_ticked_method);
    if (!t)
        return CHI_STATUS_NO_MEMORY;
    t->pool = task->pool;
    t->query = chi_direct(chi_container_id(c));
    return chi_periodic_start(r, t, 500000, NULL, NULL);
}

static enum chi_status nap(struct relay_tree *t, struct chi_rctx *r)
{
    enum chi_status st = chi_sleep_us(r, 200000);
    return st == CHI_STATUS_OK ? tree(t, r) : st;
}

static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    state_of_this *s = chi_container_state(c);
    struct relay_count *t = (struct relay_count *)task;
    CHI_ASSERT(s->head.version == RELAY_VERSION);
    switch (task->method->id) {
    case RELAY_TREE:
        __atomic_fetch_add(&s->runs, 1, __ATOMIC_RELAXED);
        return tree((struct relay_tree *)task, r);
    case RELAY_NAP:
        __atomic_fetch_add(&s->runs, 1, __ATOMIC_RELAXED);
        return nap((struct relay_tree *)task, r);
    case RELAY_TICK:
        return tick(c, task, r);
    case RELAY_TICKED:
        __atomic_fetch_add(&s->ticks, 1, __ATOMIC_RELAXED);
        return CHI_STATUS_OK;
    case RELAY_PARK:
        s->parked = task;
        return CHI_STATUS_PENDING;
    case RELAY_FREE:
        if (s->parked)
            chi_complete(r, s->parked, CHI_STATUS_OK);
        s->parked = NULL;
        break;
    default:
        break;
    }
    t->runs = __atomic_load_n(&s->runs, __ATOMIC_RELAXED);
    t->upgrades = s->upgrades;
    t->ticks = __atomic_load_n(&s->ticks, __ATOMIC_RELAXED);
    t->version = RELAY_VERSION;
    return CHI_STATUS_OK;
}

static struct chi_method *const methods[] = {&relay_tree_method, &relay_count_method, &relay_park_method, &relay_free_method,
                                             &relay_nap_method, &relay_tick_method, &relay_ticked_method};
static const struct chi_chimod relay = {
    .abi = RELAY_ABI,
    .size = sizeof(struct chi_chimod),
    .name = "relay",
    .methods = methods,
    .nmethods = sizeof methods / sizeof methods[0],
    .init = init,
    .fini = fini,
    .run = run,
#ifndef RELAY_STATELESS
    .upgrade = upgrade,
#endif
};
CHI_CHIMOD(relay)
