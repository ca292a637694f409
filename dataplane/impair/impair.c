#include "impair/impair.h"

enum { ETHER_HEADER = 14, ETHER_TYPE = 12, IP = 14, IP_TOS = IP + 1, IP_SUM = IP + 10, IP_END = IP + 20, ECN_BITS = 3 };
#define BIT UINT64_C(1000000000) /* one bit of backlog */
#define BYTE (8 * BIT)

const struct impair_settings impair_none = {.burst = 1, .queue_bytes = IMPAIR_QUEUE_DEFAULT_BYTES};

static uint64_t chance_of(double p)
{
    return p >= 1 ? UINT64_MAX : (uint64_t)(p * 0x1p64);
}

/* Draws only where there is a choice, so that a setting which is off costs nothing. */
static bool happens(struct impair *im, uint64_t chance)
{
    return chance && prng_next(&im->prng) <= chance;
}

void impair_init(struct impair *im, uint64_t seed, struct impair_slot *slots, uint32_t held_max)
{
    CHI_ASSERT(held_max >= IMPAIR_COPIES_MAX);
    *im = (struct impair){.held_max = held_max};
    for (unsigned i = 0; i < IMPAIR_LINES; i++)
        im->line[i].slot = slots + (size_t)i * held_max;
    prng_init(&im->prng, seed);
    impair_set(im, &impair_none);
}

const char *impair_check(const struct impair_settings *s)
{
    if (s->loss_ppb > IMPAIR_PPB || s->dup_ppb > IMPAIR_PPB || s->reorder_ppb > IMPAIR_PPB ||
        s->corrupt_ppb > IMPAIR_PPB || s->truncate_ppb > IMPAIR_PPB)
        return "a share is more than all packets";
    if (s->burst < 1 || s->burst > IMPAIR_BURST_MAX)
        return "burst is not from 1 to 10000";
    /* Between two bursts at least one packet passes. */
    if (s->burst > 1 && s->loss_ppb > IMPAIR_PPB / (s->burst + 1) * s->burst)
        return "loss is more than burst / (burst + 1), with one packet between two bursts: lower loss, or take cut=yes";
    if (s->delay_ns > IMPAIR_TIME_MAX_NS || s->jitter_ns > IMPAIR_TIME_MAX_NS || s->reorder_ns > IMPAIR_TIME_MAX_NS)
        return "a time is more than 10 s";
    if (s->reorder_ppb && !s->reorder_ns)
        return "reorder has a share, but no time";
    if (s->rate_bps && (s->rate_bps < IMPAIR_RATE_MIN_BPS || s->rate_bps > IMPAIR_RATE_MAX_BPS))
        return "rate is not from 1K to 1T";
    if (s->queue_bytes < 1 || s->queue_bytes > IMPAIR_QUEUE_MAX_BYTES)
        return "queue is not from 1 to 1G";
    if (s->mtu_bytes && (s->mtu_bytes < IMPAIR_MTU_MIN || s->mtu_bytes > IMPAIR_MTU_MAX))
        return "mtu is not from 68 to 65535";
    if (s->ecn_bytes && !s->rate_bps)
        return "ecn marks by the queue of a rate, and there is no rate";
    if (s->ecn_bytes >= s->queue_bytes)
        return "ecn is not below queue: the queue is full before a packet is marked";
    return NULL;
}

void impair_set(struct impair *im, const struct impair_settings *s)
{
    CHI_ASSERT(!impair_check(s));
    double loss = (double)s->loss_ppb / IMPAIR_PPB;
    im->set = *s;
    /* Bursts: a chain of two states (Gilbert 1960) whose share of losses is `loss`, and whose mean stay in loss is
     * `burst`. */
    im->loss = chance_of(s->burst > 1 ? loss / ((1 - loss) * s->burst) : loss);
    im->stay = s->burst > 1 ? chance_of(1 - 1.0 / s->burst) : 0;
    im->dup = chance_of((double)s->dup_ppb / IMPAIR_PPB);
    im->reorder = chance_of((double)s->reorder_ppb / IMPAIR_PPB);
    im->corrupt = chance_of((double)s->corrupt_ppb / IMPAIR_PPB);
    im->truncate = chance_of((double)s->truncate_ppb / IMPAIR_PPB);
    im->losing = im->losing && im->loss && im->stay;
}

static bool lost(struct impair *im)
{
    if (!im->stay)
        return happens(im, im->loss);
    im->losing = happens(im, im->losing ? im->stay : im->loss);
    return im->losing;
}

/* All that chance decides of a packet: of how many copies, and of each.  fate.release_ns: how much delay. */
static unsigned draw(struct impair *im, uint32_t length, struct impair_fate *fate)
{
    if (lost(im))
        return 0;
    unsigned n = 1 + happens(im, im->dup);
    uint64_t delay_ns = im->set.delay_ns + (im->set.jitter_ns ? prng_below(&im->prng, im->set.jitter_ns + 1) : 0);
    for (struct impair_fate *f = fate; f < fate + n; f++) {
        *f = (struct impair_fate){.release_ns = delay_ns, .length = length, .flip_bit = IMPAIR_NO_FLIP};
        if (length > IMPAIR_FRAME_MIN && happens(im, im->truncate))
            f->length = IMPAIR_FRAME_MIN + (uint32_t)prng_below(&im->prng, length - IMPAIR_FRAME_MIN);
        if (length && happens(im, im->corrupt))
            f->flip_bit = (uint32_t)prng_below(&im->prng, (uint64_t)f->length * 8);
        f->order = happens(im, im->reorder) ? IMPAIR_HELD_BACK : IMPAIR_IN_ORDER;
    }
    return n;
}

/* An IPv4 packet whose sender understands marks (RFC 3168), and that has none yet. */
static bool wants_mark(const uint8_t *p, uint32_t length)
{
    return length >= IP_END && p[ETHER_TYPE] == 8 && p[ETHER_TYPE + 1] == 0 && p[IP] >> 4 == 4 &&
           (p[IP_TOS] & ECN_BITS) != 0 && (p[IP_TOS] & ECN_BITS) != ECN_BITS;
}

/* The queue in front of the rate.  False: it is full.  Otherwise *sent_ns is when the last bit left, and *over says
 * that more than the threshold waited.  A packet that finds nothing waiting is not queued, whatever its length. */
static bool queue_enter(struct impair *im, uint32_t length, uint64_t now_ns, uint64_t *sent_ns, bool *over)
{
    const struct impair_settings *s = &im->set;
    uint64_t passed_ns = now_ns > im->backlog_ns ? now_ns - im->backlog_ns : 0;
    im->backlog = passed_ns > im->backlog / s->rate_bps ? 0 : im->backlog - passed_ns * s->rate_bps;
    im->backlog_ns = now_ns;
    if (im->backlog && im->backlog + length * BYTE > s->queue_bytes * BYTE)
        return false;
    *over = s->ecn_bytes && im->backlog > s->ecn_bytes * BYTE;
    im->backlog += length * BYTE;
    *sent_ns = now_ns + (im->backlog + s->rate_bps - 1) / s->rate_bps;
    return true;
}

/* Not before what went the same way earlier, also when the settings changed meanwhile. */
static uint64_t not_before(struct impair_line *line, uint64_t release_ns)
{
    if (line->last_ns < release_ns)
        line->last_ns = release_ns;
    return line->last_ns;
}

unsigned impair_judge(struct impair *im, const uint8_t *bytes, uint32_t length, uint64_t now_ns,
                      struct impair_fate fate[IMPAIR_COPIES_MAX])
{
    struct impair_stats *s = &im->stats;
    uint64_t sent_ns = now_ns;
    bool over = false;
    impair_count(&s->received, 1);
    impair_count(&s->received_bytes, length);
    if (im->set.cut) {
        impair_count(&s->cut, 1);
        return 0;
    }
    unsigned n = draw(im, length, fate);
    if (im->set.mtu_bytes && length > im->set.mtu_bytes + ETHER_HEADER) {
        impair_count(&s->over_mtu, 1);
        return 0;
    }
    if (im->line[IMPAIR_IN_ORDER].count + im->line[IMPAIR_HELD_BACK].count + n > im->held_max ||
        (im->set.rate_bps && !queue_enter(im, length, now_ns, &sent_ns, &over))) {
        impair_count(&s->queue_drops, 1);
        return 0;
    }
    if (n == 0) {
        impair_count(&s->lost, 1);
        return 0;
    }
    impair_count(&s->duplicated, n - 1);
    for (struct impair_fate *f = fate; f < fate + n; f++) {
        struct impair_line *line = &im->line[f->order];
        f->mark = over && wants_mark(bytes, length);
        f->release_ns += sent_ns;
        if (f->order == IMPAIR_HELD_BACK)
            f->release_ns += im->set.reorder_ns;
        f->release_ns = not_before(line, f->release_ns);
        impair_count(&s->reordered, f->order == IMPAIR_HELD_BACK);
        impair_count(&s->corrupted, f->flip_bit != IMPAIR_NO_FLIP);
        impair_count(&s->truncated, f->length != length);
        impair_count(&s->marked, f->mark);
    }
    return n;
}

/* RFC 1624: the checksum follows from what changed, so that one which was wrong stays wrong. */
static void mark(uint8_t *p)
{
    uint32_t before = (uint32_t)p[IP] << 8 | p[IP_TOS], after = before | ECN_BITS;
    uint32_t sum = (~((uint32_t)p[IP_SUM] << 8 | p[IP_SUM + 1]) & 0xffff) + (~before & 0xffff) + after;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16));
    p[IP_TOS] |= ECN_BITS;
    p[IP_SUM] = (uint8_t)(sum >> 8);
    p[IP_SUM + 1] = (uint8_t)sum;
}

void impair_apply(const struct impair_fate *f, uint8_t *bytes)
{
    if (f->mark)
        mark(bytes);
    if (f->flip_bit != IMPAIR_NO_FLIP)
        bytes[f->flip_bit / 8] ^= (uint8_t)(1u << f->flip_bit % 8);
}

void impair_hold(struct impair *im, const struct impair_fate *f, void *packet)
{
    struct impair_line *line = &im->line[f->order];
    CHI_ASSERT(line->count < im->held_max);
    uint32_t at = line->first + line->count;
    line->slot[at < im->held_max ? at : at - im->held_max] = (struct impair_slot){f->release_ns, packet};
    line->count++;
}

/* The line whose first packet leaves first, or NULL. */
static struct impair_line *next_line(const struct impair *im)
{
    const struct impair_line *a = &im->line[IMPAIR_IN_ORDER], *b = &im->line[IMPAIR_HELD_BACK], *next = a;
    if (b->count && (!a->count || b->slot[b->first].release_ns < a->slot[a->first].release_ns))
        next = b;
    return next->count ? (struct impair_line *)next : NULL;
}

void *impair_release(struct impair *im, uint64_t now_ns)
{
    struct impair_line *line = next_line(im);
    if (!line || line->slot[line->first].release_ns > now_ns)
        return NULL;
    void *packet = line->slot[line->first].packet;
    line->count--;
    if (++line->first == im->held_max)
        line->first = 0;
    return packet;
}

uint64_t impair_due_ns(const struct impair *im)
{
    const struct impair_line *line = next_line(im);
    return line ? line->slot[line->first].release_ns : UINT64_MAX;
}
