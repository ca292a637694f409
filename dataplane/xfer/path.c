/* path.c - what the network between does to a session's packets: it marks them, or takes the marks away (ECN), and it may not carry
 * large ones.
 *
 * ECN (RFC 3168; the checks are those of RFC 9000, 13.4): each side counts what came capable and marked, and tells it in every
 * header.  Packets that want an acknowledgement go as ECT(0) until the path, or the peer, shows that it does not do its part: fewer
 * came capable than were acknowledged, more came marked than came capable, the first ECN_PROOF were all marked, or none of the first
 * arrived, though others did.  Then they go without.
 *
 * Size (RFC 8899): packets are WIRE_PACKET_MIN long until a longer one was seen to arrive.  A probe carries nothing that is needed,
 * so its loss costs nothing and says nothing about congestion.  It goes behind the first data, of the size that both sides take;
 * after SIZE_TRIES lost ones the next smaller step is tried, and all of it again SIZE_AGAIN_NS after the search ended below.  When
 * large packets are lost and small ones arrive, or nothing does, the size falls back, and the search begins at once. */
#include "xfer_int.h"

enum { ECN_PROOF = 64, ECN_AHEAD_MAX = 4096, SIZE_TRIES = 3, SIZE_VANISHED = 4, TIMEOUTS = 3 };
static const uint64_t SIZE_AGAIN_NS = 1000000000;
static const uint16_t steps[] = {8972, 4000, 1472, WIRE_PACKET_MIN}; /* of common MTUs */

/* --- marks */

static void ecn_off(struct xfer_session *s)
{
    s->path.ecn = XFER_NOT_ECT;
    s->path.trial = 0;
}

/* None of the first packets was acknowledged so far: do others arrive? */
static void ecn_trial(struct xfer_session *s)
{
    s->path.ecn = XFER_NOT_ECT;
    s->path.trial = s->next_number;
}

/* Capable ones arrive after all: there was a pause.  Those of the trial are not expected to come capable. */
static void ecn_again(struct xfer_session *s)
{
    s->path.ecn = XFER_ECT_0;
    s->path.ahead += (uint32_t)(s->next_number - s->path.trial);
    s->path.trial = 0;
}

uint32_t path_marks(struct xfer_session *s, uint32_t packets)
{
    struct path *p = &s->path;
    if (CHI_UNLIKELY(p->trial) && p->said.capable)
        ecn_again(s);
    if (p->ecn == XFER_NOT_ECT)
        return 0;
    uint16_t capable = (uint16_t)(p->said.capable - p->taken.capable), marked = (uint16_t)(p->said.marked - p->taken.marked);
    p->taken = p->said;
    uint32_t ahead = p->ahead + capable;
    if (CHI_UNLIKELY(ahead < packets || marked > capable)) {
        ecn_off(s);
        return 0;
    }
    p->ahead = ahead - packets < ECN_AHEAD_MAX ? ahead - packets : ECN_AHEAD_MAX;
    if (CHI_UNLIKELY(!p->ecn_proved)) {
        p->ecn_proved = marked < capable;
        p->tested += marked;
        if (!p->ecn_proved && p->tested >= ECN_PROOF)
            ecn_off(s);
    }
    if (marked > packets) /* what a peer says has a bound */
        marked = (uint16_t)packets;
    s->peer->stats.marks_tx += marked;
    return marked;
}

/* --- size */

static void probe_next(struct xfer_session *s, uint16_t bytes)
{
    s->path.probe = 0;
    s->path.probe_bytes = bytes;
    s->path.probe_due = true;
    s->ack_due = true; /* it goes with an acknowledgement, if there is one */
}

static void search(struct xfer_session *s)
{
    if (s->packet_bytes >= s->path.most)
        return;
    s->path.tries = 0;
    probe_next(s, s->path.most);
}

static uint64_t limit(const struct xfer_session *s, uint32_t bytes) { return (uint64_t)s->x->config.window_packets * bytes; }

/* The search is over, for now.  Until then the window is that of a path which carries all. */
static void settle(struct xfer_session *s, uint64_t now)
{
    struct path *p = &s->path;
    p->probe = 0;
    p->again_ns = s->packet_bytes < p->most ? now + SIZE_AGAIN_NS : UINT64_MAX;
    if (s->cc.packet_bytes != s->packet_bytes)
        cc_packet_bytes(&s->cc, limit(s, s->packet_bytes), s->packet_bytes);
}

void path_init(struct xfer_session *s, const struct wire_hello *h)
{
    uint16_t most = h->packet_max < s->x->config.packet_max ? h->packet_max : s->x->config.packet_max;
    uint16_t proved = s->peer->proved_bytes;
    bool ecn = h->flags & WIRE_HELLO_ECN;
    s->path = (struct path){.ecn_mask = ecn ? 3 : 0, .ecn = ecn ? XFER_ECT_0 : XFER_NOT_ECT, .most = most};
    s->path.probes = h->flags & WIRE_HELLO_PAD;
    s->path.asks = h->flags & WIRE_HELLO_PORT;
    s->path.again_ns = s->path.look_ns = UINT64_MAX;
    s->packet_bytes = most;
    if (s->path.probes && proved < most)
        s->packet_bytes = proved > WIRE_PACKET_MIN ? proved : WIRE_PACKET_MIN;
    cc_init(&s->cc, limit(s, most), most, s->x->config.target_ns);
    search(s);
}

void path_probe(struct xfer_session *s, struct pack *k)
{
    struct path *p = &s->path;
    k->at += (uint32_t)wire_put_pad(k->p + k->at, (uint16_t)(p->probe_bytes - k->at - WIRE_BYTES_PAD));
    p->probe = s->next_number;
    p->probe_due = false;
    p->look_ns = 0;
}

static void probe_arrived(struct xfer_session *s, uint64_t now)
{
    s->packet_bytes = s->peer->proved_bytes = s->path.probe_bytes;
    settle(s, now);
}

static void probe_lost(struct xfer_session *s, uint64_t now)
{
    struct path *p = &s->path;
    if (++p->tries < SIZE_TRIES) {
        probe_next(s, p->probe_bytes);
        return;
    }
    unsigned i = 0;
    while (steps[i] >= p->probe_bytes && steps[i] > s->packet_bytes)
        i++;
    p->tries = 0;
    if (steps[i] > s->packet_bytes)
        probe_next(s, steps[i]);
    else
        settle(s, now);
}

static void fall_back(struct xfer_session *s)
{
    s->path.vanished = 0;
    s->peer->proved_bytes = 0;
    s->packet_bytes = WIRE_PACKET_MIN;
    search(s);
}

static bool is_large(const struct xfer_session *s, uint32_t bytes)
{
    return bytes > WIRE_PACKET_MIN && s->path.probes && s->packet_bytes > WIRE_PACKET_MIN;
}

void path_lost(struct xfer_session *s, uint32_t bytes)
{
    if (!is_large(s, bytes))
        return;
    s->path.vanished += s->path.vanished < UINT8_MAX;
    s->path.look_ns = 0;
}

void path_timeout(struct xfer_session *s)
{
    if (s->pto_count < TIMEOUTS)
        return;
    if (!s->path.ecn_proved && s->path.ecn != XFER_NOT_ECT)
        ecn_trial(s);
    if (s->path.vanished)
        fall_back(s);
}

static bool covers(const struct wire_ack *a, uint64_t number)
{
    for (unsigned i = 0; i < a->count; i++)
        if (a->r[i].first <= number && number <= a->r[i].last)
            return true;
    return false;
}

/* Whether an acknowledgement is news of any packet, and of a large one. */
static bool is_news(const struct xfer_session *s, const struct wire_ack *a, bool *large)
{
    bool any = false;
    for (uint32_t at = s->sent.head; at != s->sent.tail; at++) {
        const struct sent *p = sentmap_at(&s->sent, at);
        if (!p->out || !covers(a, p->number))
            continue;
        any = true;
        if ((*large = p->bytes > WIRE_PACKET_MIN))
            break;
    }
    return any;
}

void path_look(struct xfer_session *s, const struct wire_ack *a, uint64_t now)
{
    struct path *p = &s->path;
    bool large = false;
    if (p->vanished && is_news(s, a, &large)) {
        if (large)
            p->vanished = 0;
        else if (p->vanished >= SIZE_VANISHED)
            fall_back(s);
    }
    if (p->probe && covers(a, p->probe))
        probe_arrived(s, now);
    else if (p->probe && a->r[0].last >= p->probe + s->reordering)
        probe_lost(s, now);
    else if (!p->probe && !p->probe_due && now >= p->again_ns)
        search(s);
    p->look_ns = p->probe || p->vanished ? 0 : p->again_ns;
}
