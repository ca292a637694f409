/* worker_support.h - a runtime whose turns the test takes itself, pools of modules that the test defines, and a client that it
 * plays slot by slot.  Header only; the tests of worker/ have it in common. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/tables.h"
#include "worker/internal.h"

#define SUPPORT __attribute__((unused)) static

enum { SUPPORT_TIMEOUT_MS = 60000, SUPPORT_ARENA = 1 << 20 };

static uint32_t support_stacks;     /* of the next runtime's workers, for tasks that wait */
static uint32_t support_background; /* threads of it; the test starts them, or runtime_start */
static const uint32_t *support_cores; /* of it, so many; NULL: a thread for each worker, all of them on core 0 */
static uint32_t support_core_count;
/* Node 1 of nodes 1 and 2; net may be NULL. */
SUPPORT struct runtime *support_runtime(uint32_t workers, uint32_t tasks, struct net *net)
{
    static const uint32_t cores[] = {0, 0, 0}, nodes[] = {1, 2};
    char err[SCHED_ERROR_BYTES];
    struct runtime *rt;
    const struct runtime_options o = {.node_id = 1, .workers = workers, .cores = support_cores ? support_cores : cores,
                                      .core_count = support_core_count, .tasks = tasks, .arena_bytes = SUPPORT_ARENA,
                                      .task_timeout_ns = SUPPORT_TIMEOUT_MS * UINT64_C(1000000), .nodes = nodes, .node_count = 2,
                                      .cluster = "test", .incarnation = 1, .messages = 16, .window = 16, .pto_us = 200, .peers_max = 1,
                                      .net = net, .udp_port = 7440, .stacks = support_stacks, .background = support_background,
                                      .neighborhood = 32};
    rcu_register_thread();
    assert_int_equal(runtime_create(&o, &rt, err), 0);
    worker_enter(rt->worker[0]);
    for (uint32_t i = 0; i < workers; i++) {
        rt->worker[i]->lanes_each = 1;             /* the lanes of each turn are timed */
        rt->worker[i]->rctx.now_ns = net_now_ns(); /* tasks are submitted before the first turn */
    }
    return rt;
}

SUPPORT void support_end(struct runtime *rt)
{
    for (uint32_t i = 0; i < rt->workers; i++)
        assert_int_equal(rt->worker[i]->tasks.out, 0); /* nothing leaked */
    runtime_destroy(rt);
    worker_enter(NULL);
    rcu_unregister_thread();
}

/* A turn of a worker whose tasks wait: by the loop, on its stack. */
SUPPORT bool support_between(struct worker *w, unsigned did)
{
    (void)did;
    fiber_switch(&w->fibers, &w->fibers.home);
    return true;
}
SUPPORT void support_loop(void *arg) { turn_loop(arg, worker_turn(arg)); }
SUPPORT void support_turn(struct worker *w)
{
    w->between = support_between;
    if (w->loop == &w->fibers.home)
        w->loop = fiber_try_get(&w->fibers, support_loop, w);
    fiber_switch(&w->fibers, w->loop);
}

/* A pool of a module that is part of the test program. */
SUPPORT struct sched_pool *support_pool(struct runtime *rt, const struct chi_chimod *ops, struct chi_pool_id id, uint32_t per_node)
{
    char err[SCHED_ERROR_BYTES];
    struct sched_module *m = calloc(1, sizeof *m);
    snprintf(m->name, sizeof m->name, "%s", ops->name);
    m->ops = ops;
    for (uint32_t i = 0; i < ops->nmethods; i++)
        if (ops->methods[i]->id >= m->method_count)
            m->method_count = ops->methods[i]->id + 1u;
    m->by_id = calloc(m->method_count + 1u, sizeof *m->by_id);
    for (uint32_t i = 0; i < ops->nmethods; i++) {
        m->by_id[ops->methods[i]->id] = ops->methods[i];
        chi_method_hash(ops->methods[i]);
    }
    sched_module_add(&rt->sched, m);
    assert_int_equal(sched_compose(&rt->sched, ops->name, id, ops->name, per_node, err), 0);
    return sched_pool_find(&rt->sched, id);
}

/* --- a client */

struct support_client {
    struct ipc_channel *ch;
    uint32_t mask;
    uint64_t submitted, completed;
};

SUPPORT void support_connect(struct support_client *c, uint32_t depth)
{
    const struct shm_attach_request rq = {.magic = SHM_MAGIC, .version = SHM_VERSION, .bulk_bytes = SUPPORT_ARENA, .depth = depth};
    const struct ipc_limits limits = {SUPPORT_ARENA, SHM_DEPTH_MAX};
    *c = (struct support_client){.mask = depth - 1};
    assert_int_equal(ipc_create(&rq, &limits, &c->ch), 0);
}

/* What the worker does when runtime_attach calls it. */
SUPPORT void support_attach(struct support_client *c, struct worker *w)
{
    c->ch->worker = w->index;
    c->ch->next = w->channels;
    w->channels = c->ch;
}

SUPPORT void support_leave(struct support_client *c, struct worker *w)
{
    struct ipc_channel **at = &w->channels;
    while (*at && *at != c->ch)
        at = &(*at)->next;
    if (*at)
        *at = c->ch->next;
    ipc_destroy(c->ch);
}

SUPPORT void support_submit(struct support_client *c, const struct shm_submit *s)
{
    struct line *l = line_put_at(c->ch->submit, c->mask, c->submitted);
    memcpy(l->payload, s, sizeof *s);
    line_put_done(l, c->submitted++);
}

SUPPORT bool support_answer(struct support_client *c, struct shm_complete *out)
{
    const struct line *l = line_get(c->ch->complete, c->mask, c->completed);
    if (!l)
        return false;
    memcpy(out, l->payload, sizeof *out);
    c->completed++;
    return true;
}

/* place_of of form_save: an offset of the segment, as it stands in the task's region pointer. */
SUPPORT uint64_t support_place(void *ctx, const void *ptr, uint64_t size)
{
    (void)ctx;
    (void)size;
    return (uint64_t)(uintptr_t)ptr;
}

/* A submission of that task, its form at `at` in bulk memory; regions of the task hold offsets in place of addresses. */
SUPPORT struct shm_submit support_form(struct support_client *c, struct chi_task *task, uint32_t cookie, uint64_t at)
{
    struct chi_ar_region regions[CHI_REGIONS_MAX];
    struct shm_submit s = {.cookie = cookie, .flags = SHM_EXTERNAL};
    uint64_t form = c->ch->bulk_offset + at;
    uint32_t n;
    enum chi_status st;
    size_t length = form_save(c->ch->base + form, CHI_FORM_BYTES_MAX, task, regions, &n, support_place, NULL, &st);
    assert_true(length > 0);
    s.external.form_offset = s.external.answer_offset = form;
    s.external.form_length = (uint32_t)length;
    s.external.answer_cap = 256;
    return s;
}
