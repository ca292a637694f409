/* control.c - packets outside of a session: made while packets come in, sent by xfer_tx. */
#include "xfer_int.h"

/* The next free entry, or NULL: too many wait; whoever misses the packet asks again. */
static struct control *entry(struct xfer *x, const struct xfer_addr *to)
{
    if (x->control_count == XFER_CONTROLS)
        return NULL;
    struct control *c = &x->controls[(x->control_first + x->control_count++) % XFER_CONTROLS];
    c->to = *to;
    return c;
}

void control_hello(struct xfer *x, const struct xfer_addr *to, const struct wire_hello *h)
{
    struct control *c = entry(x, to);
    if (!c)
        return;
    c->refuses = false;
    c->hello = *h;
}

/* Whoever sends us nonsense does not make us send more than so many. */
static bool refuse_allowed(struct xfer *x, uint64_t now)
{
    uint64_t fresh = (now - x->refuse_ns) / XFER_REFUSE_NS;
    if (fresh) {
        x->refuse_ns += fresh * XFER_REFUSE_NS;
        x->refuse_tokens = fresh < XFER_REFUSE_BURST - x->refuse_tokens ? x->refuse_tokens + (uint32_t)fresh : XFER_REFUSE_BURST;
    }
    if (!x->refuse_tokens)
        return false;
    x->refuse_tokens--;
    return true;
}

void control_refuse(struct xfer *x, const struct xfer_addr *to, enum wire_refuse_reason reason, uint32_t session, uint64_t now)
{
    struct control *c = refuse_allowed(x, now) ? entry(x, to) : NULL;
    if (!c)
        return;
    c->refuses = true;
    c->refuse = (struct wire_refuse){
        .incarnation = x->config.incarnation,
        .node = x->config.node,
        .session = session,
        .reason = (uint8_t)reason,
        .version = WIRE_VERSION,
    };
}

unsigned control_tx(struct xfer *x, unsigned budget)
{
    unsigned n = 0;
    struct xfer_packet p;
    while (n < budget && x->control_count && x->host.packet_get(x->host.ctx, &p)) {
        struct control *c = &x->controls[x->control_first];
        p.length = (uint32_t)(c->refuses ? wire_put_refuse(p.data, &c->refuse) : wire_put_hello(p.data, &c->hello));
        p.ecn = XFER_NOT_ECT;
        wire_seal(p.data, p.length, x->host.crc32c);
        x->host.packet_send(x->host.ctx, &c->to, &p);
        x->control_first = (x->control_first + 1) % XFER_CONTROLS;
        x->control_count--;
        n++;
    }
    return n;
}
