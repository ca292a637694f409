/* What a peer, and what all peers together, may make this node hold: 200 senders at once; and one that holds all that it may. */
#include "xfer_net.h"

enum { SENDERS = 200, RECEIVER = SENDERS + 1, MIB = 1 << 20, SHIFT = 64, MANY = 4, BUSY = 8 };
enum { PEER_MEMORY = 2 * MIB, ALL_MEMORY = 24 * MIB };

static uint8_t *pattern; /* sender k's region begins SHIFT * k bytes further on */
static struct net_task task[SENDERS + 1][MANY];
static struct xfer_in *busy[BUSY + 1]; /* tasks that the receiver works on */
static uint32_t busy_count, came, ended;

/* Each tenth sender has more than it may have here at once. */
static uint32_t tasks_of(uint32_t sender) { return sender % 10 == 0 ? MANY : 1; }

static void answer(struct end *e, uint32_t leave)
{
    for (; busy_count > leave; busy_count--) {
        xfer_answer(e->x, busy[0], &(struct xfer_answer){.status = CHI_STATUS_OK}, e->net->now);
        memmove(busy, busy + 1, (busy_count - 1) * sizeof busy[0]);
    }
}

/* It works on some at a time, and the memory of those stays. */
static void task_came(struct end *e, const struct xfer_event *ev)
{
    assert_int_equal(ev->in->nregions, 1);
    assert_int_equal(ev->in->regions[0].size, MIB);
    assert_memory_equal(ev->in->regions[0].ptr, pattern + SHIFT * ev->in->node, MIB);
    came++;
    busy[busy_count++] = ev->in;
    answer(e, BUSY);
}

static void task_ended(struct end *e, const struct xfer_event *ev)
{
    assert_int_equal(net_ended(e, ev)->status, CHI_STATUS_OK);
    ended++;
}

/* What the endpoint says is what its host knows; nobody holds more than allowed. */
static void check(const struct net *n)
{
    const struct end *r = &n->end[RECEIVER - 1];
    static struct xfer_peer_stats st[SENDERS];
    uint64_t sum = 0;
    assert_int_equal(xfer_stats(r->x, st, SENDERS), SENDERS);
    for (uint32_t i = 0; i < SENDERS; i++) {
        sum += st[i].memory;
        assert_true(st[i].memory_most <= PEER_MEMORY);
    }
    assert_int_equal(sum, r->memory);
}

static void senders__at_once_stay_within_the_memory_for_them(void **state)
{
    (void)state;
    struct net n = {.task = task_came, .done = task_ended};
    uint32_t all = 0;
    pattern = malloc(MIB + SHIFT * (SENDERS + 1));
    for (uint32_t i = 0; i < MIB + SHIFT * (SENDERS + 1); i++)
        pattern[i] = (uint8_t)(i * 7 + (i >> 8) * 13 + (i >> 16));
    net_open(&n, RECEIVER, 8972);
    struct xfer_config c = net_config(RECEIVER, SENDERS, n.packet_max);
    c.peer_memory = PEER_MEMORY;
    c.all_memory = ALL_MEMORY;
    net_start(&n, &c);
    for (uint32_t k = 1; k <= SENDERS; k++) {
        c = net_config(k, 1, n.packet_max);
        net_start(&n, &c);
        net_meet(&n, k, RECEIVER);
        for (uint32_t i = 0; i < tasks_of(k); i++, all++) {
            task[k][i].region[0] = (struct chi_ar_region){.ptr = pattern + SHIFT * k, .size = MIB, .flags = CHI_WRITE};
            net_send(&n, k, RECEIVER, &task[k][i], 1, 8);
        }
    }
    struct end *r = &n.end[RECEIVER - 1];
    uint64_t begin = n.now, full = 0;
    for (uint32_t steps = 0; ended < all; steps++) {
        assert_true(net_step(&n));
        assert_true(r->memory <= ALL_MEMORY);
        full += r->memory + MIB > ALL_MEMORY;
        if (came == all && busy_count) {
            answer(r, 0);
            r->when = n.now;
        }
        if (steps % 64 == 0)
            check(&n);
    }
    check(&n);
    assert_true(r->memory_most <= ALL_MEMORY);
    assert_true(full > 0);             /* the bound was reached */
    assert_true(r->drops[CHI_DROP_NO_MEMORY] > 0); /* and messages waited for it */
    uint64_t ideal = (uint64_t)all * MIB * n.ps_byte / 1000;
    assert_true(n.now - begin < 2 * ideal); /* and yet the link did not idle for half of the time */
    net_settle(&n);
    net_close(&n);
    free(pattern);
}

/* --- two peers */

static struct xfer_in *held[4];
static uint32_t held_count;

static void hold(struct end *e, const struct xfer_event *ev)
{
    (void)e;
    held[held_count++] = ev->in;
}

static struct xfer_peer_stats at_receiver(const struct net *n, uint32_t node)
{
    struct xfer_peer_stats st;
    assert_true(xfer_stats_of(n->end[2].x, node, &st));
    return st;
}

/* Neither must the other one wait for a call: a message of its has room at once. */
static void peer__that_holds_what_it_may_keeps_no_other_back(void **state)
{
    (void)state;
    struct net n = {.task = hold, .done = task_ended};
    struct net_task t[4];
    static uint8_t bytes[MIB];
    net_open(&n, 3, 8972);
    for (uint32_t k = 1; k <= 3; k++) {
        struct xfer_config c = net_config(k, 2, n.packet_max);
        c.peer_memory = MIB;
        net_start(&n, &c);
    }
    net_meet(&n, 1, 3);
    net_meet(&n, 2, 3);
    ended = 0;
    for (uint32_t i = 0; i < 4; i++)
        t[i].region[0] = (struct chi_ar_region){.ptr = bytes, .size = MIB, .flags = CHI_EXPOSE};
    for (uint32_t i = 0; i < 3; i++)
        net_send(&n, 1, 3, &t[i], 1, 8);
    while (held_count < 1 || at_receiver(&n, 1).waiting_in < 2)
        assert_true(net_step(&n));
    net_send(&n, 2, 3, &t[3], 1, 8);
    while (held_count < 2)
        assert_true(net_step(&n));
    assert_int_equal(held[1]->node, 2);
    assert_int_equal(at_receiver(&n, 2).calls_tx, 0);
    assert_true(at_receiver(&n, 1).waiting_in == 2 && at_receiver(&n, 1).calls_tx == 0);
    for (uint32_t i = 0; i < 4; i++) { /* and those that waited come in the end */
        while (held_count <= i)
            assert_true(net_step(&n));
        xfer_answer(n.end[2].x, held[i], &(struct xfer_answer){.status = CHI_STATUS_OK}, n.now);
        n.end[2].when = n.now;
    }
    while (ended < 4)
        assert_true(net_step(&n));
    assert_int_equal(at_receiver(&n, 1).calls_tx, 2);
    net_settle(&n);
    net_close(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peer__that_holds_what_it_may_keeps_no_other_back),
        cmocka_unit_test(senders__at_once_stay_within_the_memory_for_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
