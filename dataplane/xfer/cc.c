#include "cc.h"

enum { PACED_PERCENT = 125, CUT_SHARE = 3, HYPER_ROUNDS = 5, HYPER_MAX = 16 };
static const uint64_t MIN_SPAN_NS = CC_MIN_RTT_SPAN_S * UINT64_C(1000000000);

static uint64_t smallest(const struct cc *c) { return c->packet_bytes >> CC_MIN_SHIFT; }

static uint64_t square_root(uint64_t n)
{
    uint64_t r = 0;
    for (uint64_t bit = UINT64_C(1) << 31; bit; bit >>= 1)
        if ((r | bit) * (r | bit) <= n)
            r |= bit;
    return r;
}

/* Swift's flow scaling: in proportion to 1 / sqrt(window), from CC_SCALE_PERCENT for the smallest window to 0. */
static uint64_t scaled(const struct cc *c)
{
    const uint64_t one = 1024;
    uint64_t low = square_root((one * one) << CC_MIN_SHIFT), high = one / square_root(CC_SCALE_PACKETS);
    uint64_t at = square_root(one * one * c->packet_bytes / c->window);
    uint64_t percent = at > high ? (at - high) * CC_SCALE_PERCENT / (low - high) : 0;
    return c->target_ns + c->target_ns * percent / 100;
}

/* How long a round trip may take. */
static uint64_t allowed_ns(const struct cc *c)
{
    if (c->min_rtt_ns == UINT64_MAX)
        return UINT64_MAX;
    uint64_t near = c->min_rtt_ns + c->min_rtt_ns / 4;
    return c->scaled_ns > near ? c->scaled_ns : near;
}

static void window_set(struct cc *c, uint64_t window)
{
    if (window < smallest(c))
        window = smallest(c);
    c->window = window < c->limit ? window : c->limit;
    c->scaled_ns = scaled(c);
    if (c->window == c->limit)
        c->throttled = false;
}

void cc_init(struct cc *c, uint64_t limit, uint32_t packet_bytes, uint64_t target_ns)
{
    *c = (struct cc){.limit = limit, .packet_bytes = packet_bytes, .target_ns = target_ns, .doubling = true};
    c->marked_share = 1024;
    c->min_rtt_ns = c->next_min_rtt_ns = UINT64_MAX;
    window_set(c, (uint64_t)CC_INITIAL * packet_bytes);
}

void cc_packet_bytes(struct cc *c, uint64_t limit, uint32_t bytes)
{
    c->limit = limit;
    c->packet_bytes = bytes;
    window_set(c, c->window);
}

void cc_sent(struct cc *c, uint32_t bytes, uint64_t now)
{
    c->in_flight += bytes;
    if (CHI_LIKELY(!c->throttled) || c->in_flight <= c->window / 2) /* who sends little needs no pace */
        return;
    uint64_t apart = bytes * c->rtt_ns / c->window * 100 / PACED_PERCENT;
    uint64_t room = c->window / c->packet_bytes;
    uint64_t burst = apart * (room > 2 * CC_PACING_BURST ? CC_PACING_BURST : room > 1 ? room / 2 : 0);
    uint64_t from = c->next_ns + burst > now ? c->next_ns : now - burst;
    c->next_ns = from + apart;
}

/* --- signs of congestion */

/* Makes the window smaller, at most once in a round trip. */
static void cut(struct cc *c, uint64_t window, uint64_t now)
{
    c->delayed = true;
    c->free_rounds = 0;
    c->doubling = false;
    if (c->cuts && now - c->cut_ns < c->rtt_ns)
        return;
    c->cut_ns = now;
    c->cuts++;
    c->before_cut = 0;
    c->throttled = true;
    window_set(c, window);
}

void cc_lost(struct cc *c, uint32_t packets, uint64_t now)
{
    c->round_losses += packets;
    bool many = c->round_losses >= CC_LOSS_LEAST &&
                c->round_losses * CC_LOSS_SHARE > c->last_packets + c->round_packets + c->round_losses;
    if (!c->delayed && !many)
        return;
    uint64_t before = c->window;
    uint32_t cuts = c->cuts;
    cut(c, c->window - c->window * 3 / 10, now);
    if (c->cuts != cuts)
        c->before_cut = before;
}

void cc_undo(struct cc *c)
{
    if (c->before_cut > c->window)
        window_set(c, c->before_cut);
    c->before_cut = 0;
}

void cc_timeout(struct cc *c, uint32_t count, uint64_t now)
{
    if (count == 2)
        cut(c, c->window / 2, now);
    else if (count > 2)
        cut(c, c->packet_bytes, now);
}

/* --- acknowledgements */

static void min_rtt(struct cc *c, uint64_t rtt_ns, uint64_t now)
{
    if (now - c->min_since_ns >= MIN_SPAN_NS && c->next_min_rtt_ns != UINT64_MAX) {
        c->min_rtt_ns = c->next_min_rtt_ns;
        c->next_min_rtt_ns = UINT64_MAX;
        c->min_since_ns = now;
    }
    if (rtt_ns < c->next_min_rtt_ns && c->in_flight <= 2 * c->packet_bytes)
        c->next_min_rtt_ns = rtt_ns;
    if (rtt_ns < c->min_rtt_ns)
        c->min_rtt_ns = rtt_ns;
}

/* The round's packets were answered: weighs its marks, and begins the next. */
static void round_ends(struct cc *c, uint64_t next_number, uint64_t now)
{
    c->marked_share -= (c->marked_share + 15) / 16;
    if (CHI_UNLIKELY(c->round_marks)) {
        uint64_t share = (uint64_t)c->round_marks * 1024 / c->round_packets;
        c->marked_share += share < 1024 ? (uint32_t)share / 16 : 64; /* what a peer says has a bound */
        cut(c, c->window - c->window * c->marked_share / 2048, now);
    }
    c->free_rounds = c->delayed ? 0 : c->free_rounds + 1;
    c->last_packets = c->round_packets;
    c->round_packets = c->round_marks = c->round_losses = 0;
    c->delayed = false;
    c->round_end = next_number;
}

/* The more rounds in a row were free, the faster. */
static void grow(struct cc *c, const struct cc_ack *a)
{
    if (!a->wanted || c->delayed)
        return;
    if (c->doubling) {
        window_set(c, c->window + a->bytes);
        return;
    }
    uint32_t times = c->free_rounds < HYPER_ROUNDS ? 1 : c->free_rounds - HYPER_ROUNDS + 2;
    c->owed += a->bytes * (c->packet_bytes / CC_GROWTH_SHARE) * (times < HYPER_MAX ? times : HYPER_MAX);
    uint64_t share = c->window > c->packet_bytes ? c->window : c->packet_bytes; /* below a packet it grows in proportion */
    uint64_t more = c->owed / share;
    c->owed -= more * share;
    window_set(c, c->window + more);
}

void cc_acked(struct cc *c, const struct cc_ack *a, uint64_t now)
{
    uint64_t path = 0;
    c->round_packets += a->packets;
    c->round_marks += a->marks;
    if (a->rtt_ns) {
        path = a->rtt_ns > a->delay_ns ? a->rtt_ns - a->delay_ns : 1;
        if (a->delay_ns <= a->rtt_ns / 4) /* else it says little about the path */
            min_rtt(c, path, now);
        c->rtt_ns = c->rtt_ns ? (7 * c->rtt_ns + a->rtt_ns) / 8 : a->rtt_ns;
    }
    if (a->marks) {
        c->delayed = true;
        c->doubling = false;
    }
    if (CHI_UNLIKELY(path > c->scaled_ns) && path > allowed_ns(c)) {
        uint64_t part = c->window * (path - allowed_ns(c)) / path * 4 / 5;
        cut(c, c->window - (part < c->window / CUT_SHARE ? part : c->window / CUT_SHARE), now);
    } else if (CHI_UNLIKELY(c->window < c->limit)) {
        grow(c, a);
    }
    if (a->largest >= c->round_end)
        round_ends(c, a->next_number, now);
}
