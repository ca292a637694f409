/* HELLO and REFUSE: the packets outside of a session. */
#include "layout.h"

/* Both have one size.  Returns NONE, TRUNCATED, or FRAME_LENGTH when the packet says that it is longer. */
static enum chi_drop check_length(const uint8_t *p, size_t n, size_t want)
{
    if (n < want || le16_get(p + AT_LENGTH) < want)
        return CHI_DROP_TRUNCATED;
    return le16_get(p + AT_LENGTH) == want ? CHI_DROP_NONE : CHI_DROP_FRAME_LENGTH;
}

size_t wire_put_hello(uint8_t *p, const struct wire_hello *h)
{
    CHI_ASSERT(h->cluster_length <= WIRE_CLUSTER_MAX);
    wire_put_header(p, &(struct wire_header){.kind = WIRE_KIND_HELLO, .length = WIRE_HELLO_BYTES});
    le64_put(p + HELLO_INCARNATION, h->incarnation);
    le64_put(p + HELLO_PEER_INCARNATION, h->peer_incarnation);
    le32_put(p + HELLO_NODE, h->node);
    le32_put(p + HELLO_SESSION, h->session);
    le32_put(p + HELLO_PEER_SESSION, h->peer_session);
    le16_put(p + HELLO_WORKER, h->worker);
    le16_put(p + HELLO_WORKERS, h->workers);
    le16_put(p + HELLO_PACKET_MAX, h->packet_max);
    p[HELLO_FLAGS] = h->flags;
    p[HELLO_CLUSTER_LENGTH] = h->cluster_length;
    le32_put(p + HELLO_SLOTS, h->slots);
    memset(p + HELLO_CLUSTER, 0, WIRE_CLUSTER_MAX);
    memcpy(p + HELLO_CLUSTER, h->cluster, h->cluster_length);
    le32_put(p + HELLO_CREDIT, h->credit);
    le32_put(p + HELLO_ZERO, 0);
    return WIRE_HELLO_BYTES;
}

enum chi_drop wire_get_hello(const uint8_t *p, size_t n, struct wire_hello *out)
{
    enum chi_drop d = check_length(p, n, WIRE_HELLO_BYTES);
    if (d != CHI_DROP_NONE)
        return d;
    struct wire_hello h = {
        .incarnation = le64_get(p + HELLO_INCARNATION),
        .peer_incarnation = le64_get(p + HELLO_PEER_INCARNATION),
        .node = le32_get(p + HELLO_NODE),
        .session = le32_get(p + HELLO_SESSION),
        .peer_session = le32_get(p + HELLO_PEER_SESSION),
        .worker = le16_get(p + HELLO_WORKER),
        .workers = le16_get(p + HELLO_WORKERS),
        .packet_max = le16_get(p + HELLO_PACKET_MAX),
        .flags = p[HELLO_FLAGS],
        .cluster_length = p[HELLO_CLUSTER_LENGTH],
        .slots = le32_get(p + HELLO_SLOTS),
        .credit = le32_get(p + HELLO_CREDIT),
    };
    memcpy(h.cluster, p + HELLO_CLUSTER, WIRE_CLUSTER_MAX);
    if (!h.incarnation || !h.session || h.worker >= h.workers || h.packet_max < WIRE_PACKET_MIN ||
        h.packet_max > WIRE_PACKET_MAX || h.cluster_length > WIRE_CLUSTER_MAX || h.slots > WIRE_SLOTS_MAX)
        return CHI_DROP_FRAME_VALUE;
    if (le32_get(p + HELLO_ZERO))
        return CHI_DROP_RESERVED;
    for (unsigned i = h.cluster_length; i < WIRE_CLUSTER_MAX; i++)
        if (h.cluster[i])
            return CHI_DROP_RESERVED;
    *out = h;
    return CHI_DROP_NONE;
}

size_t wire_put_refuse(uint8_t *p, const struct wire_refuse *r)
{
    wire_put_header(p, &(struct wire_header){.kind = WIRE_KIND_REFUSE, .length = WIRE_REFUSE_BYTES});
    le64_put(p + REFUSE_INCARNATION, r->incarnation);
    le32_put(p + REFUSE_NODE, r->node);
    le32_put(p + REFUSE_SESSION, r->session);
    p[REFUSE_REASON] = r->reason;
    p[REFUSE_VERSION] = r->version;
    le16_put(p + REFUSE_ZERO, 0);
    le32_put(p + REFUSE_ZERO + 2, 0);
    return WIRE_REFUSE_BYTES;
}

enum chi_drop wire_get_refuse(const uint8_t *p, size_t n, struct wire_refuse *out)
{
    enum chi_drop d = check_length(p, n, WIRE_REFUSE_BYTES);
    if (d != CHI_DROP_NONE)
        return d;
    struct wire_refuse r = {
        .incarnation = le64_get(p + REFUSE_INCARNATION),
        .node = le32_get(p + REFUSE_NODE),
        .session = le32_get(p + REFUSE_SESSION),
        .reason = p[REFUSE_REASON],
        .version = p[REFUSE_VERSION],
    };
    if (r.reason < WIRE_REFUSE_VERSION || r.reason > WIRE_REFUSE_SESSION)
        return CHI_DROP_FRAME_VALUE;
    if (le16_get(p + REFUSE_ZERO) || le32_get(p + REFUSE_ZERO + 2))
        return CHI_DROP_RESERVED;
    *out = r;
    return CHI_DROP_NONE;
}

bool wire_peek_foreign_hello(const uint8_t *p, size_t n, uint8_t *version_out)
{
    if (n < WIRE_HEADER_BYTES || p[AT_KIND] != WIRE_KIND_HELLO || p[AT_VERSION] == WIRE_VERSION)
        return false;
    *version_out = p[AT_VERSION];
    return true;
}
