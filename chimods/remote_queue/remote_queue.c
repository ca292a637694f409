/* remote_queue - the module that tasks leave and enter this node through: a ChiMod like any other, with one lane for each
 * worker, on which the router puts what is not local.
 *
 * Sending: takes all that is on the lane and gives it to the worker's endpoint, which keeps the tasks of each destination
 * together, and writes them straight into packet buffers, several small ones to a packet.  Receiving: takes datagrams from the
 * ports of this worker and from workers that own other ports, and gives them to the endpoint: tasks in them are loaded and scheduled at once
 * (worker/accept.c), all else comes as events. */
#include "chi/chimod.h"
#include "worker/remote.h"

enum { TX_BUDGET = 64 };

static enum chi_status rq_init(struct chi_container *c)
{
    return chi_container_create_queue_as(c, 0, &(struct chi_queue_options){.lanes = chi_container_workers(c), .fixed = true});
}

static void rq_run_many(struct chi_container *c, struct chi_task **tasks, unsigned n, struct chi_rctx *r)
{
    (void)c;
    for (unsigned i = 0; i < n; i++)
        worker_send_away_st(r->worker, task_of(tasks[i]));
}

static unsigned take_events(struct worker *w)
{
    struct xfer_event ev;
    unsigned n = 0;
    while (xfer_next_event(w->xfer, &ev)) {
        n++;
        switch (ev.kind) {
        case XFER_TASK:
            CHI_ASSERT(!"tasks that come in go to the worker at once");
            break;
        case XFER_DONE:
            worker_returned_st(w, task_of_out(ev.out), ev.status, ev.bytes, ev.length);
            break;
        case XFER_ANSWERED:
            worker_answered_st(w, ev.in);
            break;
        case XFER_CANCELLED:
            worker_cancelled_st(w, ev.in, ev.status);
            break;
        case XFER_MORE:
            worker_more_st(w, ev.in);
            break;
        case XFER_PEER_UP:
            trace_put(&w->trace, w->rctx.now_ns, "peer up", ev.node, ev.incarnation);
            break;
        case XFER_PEER_DOWN:
            trace_put(&w->trace, w->rctx.now_ns, "peer down", ev.node, ev.incarnation);
            break;
        }
    }
    return n;
}

static void receive(struct worker *w, struct net_packet *p, bool handed)
{
    struct xfer_addr from = {.ip = p->ip, .port = p->port};
    if (CHI_UNLIKELY(p->frame)) {
        net_frame_st(w->rt->net, w->index, p, w->rctx.now_ns);
        return;
    }
    enum chi_drop d = xfer_rx(w->xfer, &from, p->data, p->length, p->ecn, w->rctx.now_ns); /* a drop is counted there */
    if (CHI_UNLIKELY(handed) && d == CHI_DROP_NONE && net_hashes(w->rt->net, w->index, p->ip))
        xfer_astray(w->xfer, p->data, p->length);
    take_events(w); /* always: frames before the one that was dropped have been taken, and their bytes lie in this packet */
    net_packet_free(p);
}

static unsigned poll_ports(struct worker *w)
{
    struct net_packet *p[NET_BURST];
    unsigned n = net_rx_st(w->rt->net, w->index, w->rctx.now_ns, p);
    for (unsigned i = 0; i < n; i++) {
        unsigned to = (unsigned)(p[i]->local_port - w->rt->options.udp_port); /* a port of no worker was dropped there */
        if (to == w->index)
            receive(w, p[i], false);
        else
            (void)worker_hand_over_st(w, to, RING_PACKET_IN, p[i]); /* full: dropped and counted there */
    }
    return n;
}

static unsigned rq_poll(struct chi_container *c, struct chi_rctx *r)
{
    struct worker *w = r->worker;
    (void)c;
    if (!w->xfer)
        return 0;
    unsigned n = poll_ports(w);
    for (uint32_t i = 0; i < w->handed_count; i++)
        receive(w, w->handed[i], true);
    n += w->handed_count;
    w->handed_count = 0;
    if (worker_stopping_st(w) && !w->xfer_ended) {
        w->xfer_ended = true;
        xfer_shutdown(w->xfer, w->rctx.now_ns);
    }
    xfer_tick(w->xfer, w->rctx.now_ns);
    return n + take_events(w);
}

static unsigned rq_flush(struct chi_container *c, struct chi_rctx *r)
{
    struct worker *w = r->worker;
    (void)c;
    if (!w->xfer)
        return 0;
    unsigned n = xfer_tx(w->xfer, w->rctx.now_ns, TX_BUDGET);
    net_flush_st(w->rt->net, w->index);
    chi_rctx_wake_at(r, xfer_deadline(w->xfer));
    return n;
}

static const struct chi_chimod remote_queue = {
    .abi = CHI_CHIMOD_ABI,
    .size = sizeof(struct chi_chimod),
    .name = "remote_queue",
    .init = rq_init,
    .run_many = rq_run_many,
    .poll = rq_poll,
    .flush = rq_flush,
};
CHI_CHIMOD(remote_queue)
