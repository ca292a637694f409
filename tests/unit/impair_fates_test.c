/* What chance does to packets: shares, bursts, copies, damage, delays; and that a seed decides it. */
#include "impair_support.h"

enum { MANY = 100000, MORE = 10 * MANY };

/* Judges MANY packets of LENGTH bytes, `gap_ns` apart, and lets each go at once. */
static void run(uint64_t seed, const struct impair_settings *s, uint64_t gap_ns)
{
    struct impair_fate f[IMPAIR_COPIES_MAX];
    link_make(seed, s);
    for (uint64_t i = 0; i < MANY; i++)
        impair_judge(&link, packet, LENGTH, i * gap_ns, f);
}

static void judge__perfect_link_lets_all_go_as_they_are(void **state)
{
    struct impair_settings s = perfect();
    struct impair_fate f[IMPAIR_COPIES_MAX];
    (void)state;
    link_make(1, &s);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(impair_judge(&link, packet, LENGTH, i, f), 1);
        assert_int_equal(f[0].release_ns, i);
        assert_int_equal(f[0].order, IMPAIR_IN_ORDER);
        assert_false(impair_alters(&f[0], LENGTH));
    }
    assert_int_equal(link.stats.received, 1000);
    assert_int_equal(link.stats.received_bytes, 1000 * LENGTH);
    assert_int_equal(link.stats.lost + link.stats.duplicated + link.stats.reordered + link.stats.queue_drops, 0);
}

/* count is within 4 standard deviations of what the share says, and what this seed has always given. */
static void expect_share(uint64_t count, double share, uint64_t exact)
{
    double mean = MANY * share, deviation2 = mean * (1 - share), off = (double)count - mean;
    if (off * off > 16 * deviation2)
        fail_msg("%llu of %d is no share of %g", (unsigned long long)count, MANY, share);
    assert_int_equal(count, exact);
}

static void judge__every_share_is_met(void **state)
{
    struct impair_settings s;
    (void)state;
    s = perfect(), s.loss_ppb = 10000000;
    run(11, &s, 1);
    expect_share(link.stats.lost, 0.01, 1025);
    s = perfect(), s.dup_ppb = 20000000;
    run(12, &s, 1);
    expect_share(link.stats.duplicated, 0.02, 1942);
    s = perfect(), s.reorder_ppb = 300000000, s.reorder_ns = 5;
    run(13, &s, 1);
    expect_share(link.stats.reordered, 0.3, 29858);
    s = perfect(), s.corrupt_ppb = 1000000;
    run(14, &s, 1);
    expect_share(link.stats.corrupted, 0.001, 86);
    s = perfect(), s.truncate_ppb = 500000000;
    run(15, &s, 1);
    expect_share(link.stats.truncated, 0.5, 49936);
    s = perfect(), s.loss_ppb = 100;
    run(16, &s, 1);
    expect_share(link.stats.lost, 1e-7, 0);
    s = perfect(), s.loss_ppb = IMPAIR_PPB;
    run(17, &s, 1);
    expect_share(link.stats.lost, 1, MANY);
}

static void judge__bursts_have_their_mean_length_and_their_share(void **state)
{
    static const struct {
        uint32_t burst, loss_ppb;
        uint64_t lost, bursts;
    } cases[] = {{3, 10000000, 9557, 3200},
                 {20, 50000000, 48561, 2384},
                 {2, 666666666, 666592, 333408},
                 {1, 250000000, 249834, 187289}};
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        struct impair_settings s = perfect();
        struct impair_fate f[IMPAIR_COPIES_MAX];
        uint64_t bursts = 0, lost = 0;
        bool before = false;
        s.burst = cases[k].burst;
        s.loss_ppb = cases[k].loss_ppb;
        link_make(20 + k, &s);
        for (int i = 0; i < MORE; i++) {
            bool gone = impair_judge(&link, packet, LENGTH, 0, f) == 0;
            lost += gone;
            bursts += gone && !before;
            before = gone;
        }
        double loss = s.loss_ppb / 1e9, mean = s.burst == 1 ? 1 / (1 - loss) : s.burst;
        assert_true(lost > MORE * loss * 0.9 && lost < MORE * loss * 1.1);
        assert_true(lost > (double)bursts * mean * 0.9 && lost < (double)bursts * mean * 1.1);
        assert_int_equal(lost, link.stats.lost);
        assert_int_equal(lost, cases[k].lost);
        assert_int_equal(bursts, cases[k].bursts);
    }
}

static struct impair_settings everything(void)
{
    struct impair_settings s = perfect();
    s.loss_ppb = 50000000, s.burst = 4, s.dup_ppb = 100000000, s.reorder_ppb = 100000000, s.reorder_ns = 3000;
    s.corrupt_ppb = 100000000, s.truncate_ppb = 100000000, s.delay_ns = 500, s.jitter_ns = 1000;
    return s;
}

/* All of a fate but its time. */
static uint64_t fold(uint64_t sum, unsigned n, const struct impair_fate *f)
{
    sum = sum * 31 + n;
    for (unsigned i = 0; i < n; i++)
        sum = ((sum * 31 + f[i].length) * 31 + f[i].flip_bit) * 31 + (unsigned)f[i].order;
    return sum;
}

static uint64_t digest(uint64_t seed, const struct impair_settings *s, uint64_t gap_ns, uint64_t *times)
{
    struct impair_fate f[IMPAIR_COPIES_MAX];
    uint64_t sum = 0;
    *times = 0;
    link_make(seed, s);
    for (uint32_t i = 0; i < 5000; i++) {
        unsigned n = impair_judge(&link, packet, 60 + i % 1400, i * gap_ns, f);
        sum = fold(sum, n, f);
        for (unsigned k = 0; k < n; k++)
            *times = *times * 31 + f[k].release_ns;
    }
    return sum;
}

static void judge__a_seed_decides_all_whenever_packets_come(void **state)
{
    struct impair_settings s = everything();
    uint64_t times[4];
    (void)state;
    uint64_t sum = digest(5, &s, 100, &times[0]);
    assert_int_equal(digest(5, &s, 100, &times[1]), sum);
    assert_int_equal(times[1], times[0]);
    assert_int_equal(digest(5, &s, 777777, &times[2]), sum); /* other times, the same fates */
    assert_true(digest(6, &s, 100, &times[3]) != sum);
}

/* Every third packet finds the queue full; what becomes of the others stays. */
static void judge__what_the_queue_drops_shifts_nobodys_fate(void **state)
{
    enum { PACKETS = 3000 };
    static struct {
        unsigned n;
        struct impair_fate f[IMPAIR_COPIES_MAX];
    } free_[PACKETS];
    struct impair_settings s = everything();
    struct impair_fate f[IMPAIR_COPIES_MAX];
    (void)state;
    link_make(8, &s);
    for (int i = 0; i < PACKETS; i++)
        free_[i].n = impair_judge(&link, packet, LENGTH, 0, free_[i].f);
    s.rate_bps = 8000000; /* LENGTH takes 100 us */
    s.queue_bytes = LENGTH;
    link_make(8, &s);
    for (int i = 0; i < PACKETS; i++) {
        uint64_t before = link.stats.queue_drops;
        unsigned n = impair_judge(&link, packet, LENGTH, (uint64_t)i * 67000, f);
        if (link.stats.queue_drops > before)
            continue;
        assert_int_equal(n, free_[i].n);
        assert_int_equal(fold(0, n, f), fold(0, n, free_[i].f));
    }
    assert_in_range(link.stats.queue_drops, PACKETS / 4, PACKETS / 2);
}

static void judge__cut_takes_all_and_draws_nothing(void **state)
{
    struct impair_settings s = everything(), cut = s;
    struct impair_fate f[IMPAIR_COPIES_MAX];
    (void)state;
    cut.cut = true;
    link_make(3, &s);
    struct prng before = link.prng;
    impair_set(&link, &cut);
    for (int i = 0; i < 100; i++)
        assert_int_equal(impair_judge(&link, packet, LENGTH, 0, f), 0);
    assert_int_equal(link.stats.cut, 100);
    assert_int_equal(link.stats.lost, 0);
    assert_memory_equal(&link.prng, &before, sizeof before);
}

static void judge__copies_have_fates_of_their_own(void **state)
{
    struct impair_settings s = perfect();
    struct impair_fate f[IMPAIR_COPIES_MAX];
    unsigned differ = 0;
    (void)state;
    s.dup_ppb = IMPAIR_PPB, s.corrupt_ppb = 500000000, s.reorder_ppb = 500000000, s.reorder_ns = 7;
    link_make(9, &s);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(impair_judge(&link, packet, LENGTH, 0, f), 2);
        differ += f[0].order != f[1].order;
    }
    assert_in_range(differ, 400, 600);
    assert_int_equal(link.stats.duplicated, 1000);
}

static void apply__turns_one_bit_of_any(void **state)
{
    struct impair_settings s = perfect();
    struct impair_fate f[IMPAIR_COPIES_MAX];
    uint8_t frame[16], seen[sizeof frame] = {0};
    (void)state;
    s.corrupt_ppb = IMPAIR_PPB;
    link_make(4, &s);
    for (int i = 0; i < 5000; i++) {
        memset(frame, 0x5a, sizeof frame);
        assert_int_equal(impair_judge(&link, frame, sizeof frame, 0, f), 1);
        assert_true(impair_alters(&f[0], sizeof frame));
        impair_apply(&f[0], frame);
        int turned = 0;
        for (size_t k = 0; k < sizeof frame; k++) {
            turned += __builtin_popcount(frame[k] ^ 0x5a);
            seen[k] |= frame[k] ^ 0x5a;
        }
        assert_int_equal(turned, 1);
    }
    for (size_t k = 0; k < sizeof seen; k++)
        assert_int_equal(seen[k], 0xff);
    assert_int_equal(impair_judge(&link, frame, 0, 0, f), 1); /* nothing to turn */
    assert_false(impair_alters(&f[0], 0));
}

static void judge__truncates_to_any_length_that_is_a_frame(void **state)
{
    struct impair_settings s = perfect();
    struct impair_fate f[IMPAIR_COPIES_MAX];
    bool seen[LENGTH + 1] = {false};
    (void)state;
    s.truncate_ppb = s.corrupt_ppb = IMPAIR_PPB;
    link_make(4, &s);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(impair_judge(&link, packet, LENGTH, 0, f), 1);
        assert_in_range(f[0].length, IMPAIR_FRAME_MIN, LENGTH - 1);
        assert_true(f[0].flip_bit < f[0].length * 8); /* in what is left */
        seen[f[0].length] = true;
    }
    for (int n = IMPAIR_FRAME_MIN; n < LENGTH; n++)
        assert_true(seen[n]);
    impair_judge(&link, packet, IMPAIR_FRAME_MIN, 0, f);
    assert_int_equal(f[0].length, IMPAIR_FRAME_MIN);
    assert_int_equal(link.stats.truncated, 5000);
}

static void judge__jitter_spreads_and_keeps_the_order(void **state)
{
    struct impair_settings s = perfect();
    struct impair_fate f[IMPAIR_COPIES_MAX];
    uint64_t least = UINT64_MAX, most = 0, last = 0;
    (void)state;
    s.delay_ns = 20000;
    s.jitter_ns = 5000;
    link_make(2, &s);
    for (uint64_t i = 0; i < 2000; i++) { /* each by itself */
        uint64_t now = i * 100000;
        assert_int_equal(impair_judge(&link, packet, LENGTH, now, f), 1);
        uint64_t delay = f[0].release_ns - now;
        least = delay < least ? delay : least;
        most = delay > most ? delay : most;
    }
    assert_in_range(least, 20000, 20050);
    assert_in_range(most, 24950, 25000);
    link_make(2, &s);
    for (uint64_t i = 0; i < 2000; i++) { /* closer than the jitter */
        impair_judge(&link, packet, LENGTH, i * 10, f);
        assert_true(f[0].release_ns >= last);
        assert_in_range(f[0].release_ns, i * 10 + 20000, i * 10 + 25000);
        last = f[0].release_ns;
    }
}

/* A frame has 14 bytes more; and what it would have drawn is drawn all the same. */
static void judge__what_is_longer_than_the_mtu_does_not_pass(void **state)
{
    struct impair_fate f[IMPAIR_COPIES_MAX];
    struct impair_settings s = perfect();
    (void)state;
    s.loss_ppb = IMPAIR_PPB / 2;
    bool lost[200];
    link_make(3, &s);
    for (unsigned i = 0; i < 200; i++)
        lost[i] = impair_judge(&link, packet, LENGTH, i, f) == 0;
    s.mtu_bytes = LENGTH - 14;
    link_make(3, &s);
    for (unsigned i = 0; i < 200; i++) {
        uint32_t length = LENGTH + (i & 1);
        assert_int_equal(impair_judge(&link, packet, length, i, f), length == LENGTH && !lost[i]);
    }
    assert_int_equal(link.stats.over_mtu, 100);
    nothing_is_missing(link.stats.received - link.stats.over_mtu - link.stats.lost);
}

static void check__names_what_is_wrong(void **state)
{
    struct impair_settings s;
    (void)state;
#define REFUSED(change, what)                            \
    do {                                                 \
        s = perfect();                                   \
        change;                                          \
        assert_non_null(impair_check(&s));               \
        assert_non_null(strstr(impair_check(&s), what)); \
    } while (0)
    REFUSED(s.loss_ppb = IMPAIR_PPB + 1, "share");
    REFUSED(s.dup_ppb = IMPAIR_PPB + 1, "share");
    REFUSED(s.reorder_ppb = IMPAIR_PPB + 1, "share");
    REFUSED(s.corrupt_ppb = IMPAIR_PPB + 1, "share");
    REFUSED(s.truncate_ppb = IMPAIR_PPB + 1, "share");
    REFUSED(s.burst = 0, "burst");
    REFUSED(s.burst = IMPAIR_BURST_MAX + 1, "burst");
    REFUSED((s.burst = 3, s.loss_ppb = 750000001), "burst");
    REFUSED(s.delay_ns = IMPAIR_TIME_MAX_NS + 1, "time");
    REFUSED(s.jitter_ns = IMPAIR_TIME_MAX_NS + 1, "time");
    REFUSED(s.reorder_ns = IMPAIR_TIME_MAX_NS + 1, "time");
    REFUSED(s.reorder_ppb = 1, "reorder");
    REFUSED(s.rate_bps = IMPAIR_RATE_MIN_BPS - 1, "rate");
    REFUSED(s.rate_bps = IMPAIR_RATE_MAX_BPS + 1, "rate");
    REFUSED(s.queue_bytes = 0, "queue");
    REFUSED(s.queue_bytes = IMPAIR_QUEUE_MAX_BYTES + 1, "queue");
    REFUSED(s.ecn_bytes = 1, "rate");
    REFUSED((s.rate_bps = 1000, s.ecn_bytes = s.queue_bytes), "ecn");
    REFUSED(s.mtu_bytes = IMPAIR_MTU_MIN - 1, "mtu");
    REFUSED(s.mtu_bytes = IMPAIR_MTU_MAX + 1, "mtu");
#undef REFUSED
    s = perfect();
    assert_null(impair_check(&s));
    s = (struct impair_settings){.loss_ppb = 750000000,
                                 .burst = 3,
                                 .dup_ppb = IMPAIR_PPB,
                                 .reorder_ppb = 1,
                                 .reorder_ns = IMPAIR_TIME_MAX_NS,
                                 .delay_ns = IMPAIR_TIME_MAX_NS,
                                 .jitter_ns = IMPAIR_TIME_MAX_NS,
                                 .rate_bps = IMPAIR_RATE_MAX_BPS,
                                 .queue_bytes = IMPAIR_QUEUE_MAX_BYTES,
                                 .ecn_bytes = IMPAIR_QUEUE_MAX_BYTES - 1,
                                 .mtu_bytes = IMPAIR_MTU_MAX};
    assert_null(impair_check(&s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judge__perfect_link_lets_all_go_as_they_are),
        cmocka_unit_test(judge__every_share_is_met),
        cmocka_unit_test(judge__bursts_have_their_mean_length_and_their_share),
        cmocka_unit_test(judge__a_seed_decides_all_whenever_packets_come),
        cmocka_unit_test(judge__what_the_queue_drops_shifts_nobodys_fate),
        cmocka_unit_test(judge__cut_takes_all_and_draws_nothing),
        cmocka_unit_test(judge__copies_have_fates_of_their_own),
        cmocka_unit_test(apply__turns_one_bit_of_any),
        cmocka_unit_test(judge__truncates_to_any_length_that_is_a_frame),
        cmocka_unit_test(judge__jitter_spreads_and_keeps_the_order),
        cmocka_unit_test(judge__what_is_longer_than_the_mtu_does_not_pass),
        cmocka_unit_test(check__names_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
