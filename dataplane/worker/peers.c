/* peers.c - nodes come and go while workers run: their endpoints know them first, and forget them last. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct change {
    enum { PEER_SET, PEER_DRAIN, PEER_REMOVE, PEER_PATHS } what;
    uint32_t node, paths;
    struct xfer_addr path[XFER_PATHS_MAX];
    int rc;
};

static void change_on(void *worker, void *arg)
{
    struct worker *w = worker;
    struct change *c = arg;
    c->rc = 0;
    if (c->what == PEER_SET)
        c->rc = xfer_peer_paths(w->xfer, c->node, c->path, c->paths);
    else if (c->what == PEER_DRAIN)
        c->rc = xfer_peer_drain(w->xfer, c->node);
    else if (c->what == PEER_REMOVE)
        c->rc = xfer_peer_remove(w->xfer, c->node, w->rctx.now_ns);
    else
        xfer_paths_changed(w->xfer, w->rctx.now_ns);
}

/* On each worker.  Returns the first failure; -ETIMEDOUT: that worker does it when it turns. */
static int change_all(struct runtime *rt, const struct change *wanted)
{
    int first = 0;
    for (uint32_t i = 0; i < rt->workers; i++) {
        struct change *c = malloc(sizeof *c);
        int rc = -ENOMEM;
        if (c) {
            *c = *wanted;
            rc = worker_call(rt, i, change_on, c);
            rc = rc ? rc : c->rc;
        }
        if (rc != -ETIMEDOUT) /* else the worker still needs it: given up */
            free(c);
        first = first ? first : rc;
    }
    return first;
}

int runtime_peer_add(struct runtime *rt, uint32_t node, const struct xfer_addr *paths, uint32_t n)
{
    struct change c = {.what = PEER_SET, .node = node, .paths = n};
    CHI_ASSERT(n <= XFER_PATHS_MAX);
    memcpy(c.path, paths, n * sizeof paths[0]);
    int rc = change_all(rt, &c);
    rc = rc ? rc : sched_node_set(&rt->sched, node, true);
    if (rc) { /* calls of a worker run in their order: also one that timed out is undone */
        int undone = change_all(rt, &(struct change){.what = PEER_REMOVE, .node = node});
        (void)undone;
    }
    return rc;
}

int runtime_peer_drain(struct runtime *rt, uint32_t node)
{
    return change_all(rt, &(struct change){.what = PEER_DRAIN, .node = node});
}

int runtime_peer_remove(struct runtime *rt, uint32_t node)
{
    int rc = sched_node_set(&rt->sched, node, false);
    return rc ? rc : change_all(rt, &(struct change){.what = PEER_REMOVE, .node = node});
}

int runtime_paths_changed(struct runtime *rt) { return change_all(rt, &(struct change){.what = PEER_PATHS}); }
