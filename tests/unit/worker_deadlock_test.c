/* Tasks that wait for each other's locks: the edges that there are then, and the cycle in them. */
#include "lock_script.h"

static unsigned edges(struct cycle_edge *e, unsigned max)
{
    unsigned n = 0;
    for (uint32_t k = 0; k < rt->workers; k++) {
        worker_enter(w[k]);
        n += lock_edges_st(w[k], e + n, max - n);
    }
    worker_enter(w[0]);
    return n;
}
static void stop(unsigned roots)
{
    rt->stopping = true;
    settle();
    end(roots);
}

static void deadlock__of_two_is_found(void **state)
{
    (void)state;
    struct cycle_edge e[16];
    start(2, STACKS);
    root_at(0, 'a', "m.nNM");
    root_at(1, 'b', "n.mMN");
    root_at(0, 'c', "oO");
    settle();
    open_gate('a');
    unsigned n = edges(e, 16);
    assert_int_equal(n, 1); /* a waits for b */
    assert_ptr_equal(e[0].over, &locks[0].mutex[1]);
    assert_int_equal(e[0].to, locks[0].mutex[1].by.root);
    assert_int_equal(cycle_find(e, n), 0);
    open_gate('b');
    n = edges(e, 16);
    assert_int_equal(n, 2);
    assert_int_equal(edges(e, 1), 1);
    assert_int_equal(edges(e, 16), 2);
    assert_int_equal(cycle_find(e, n), 2);
    assert_true(e[0].to == e[1].from && e[1].to == e[0].from && e[0].from != e[1].from);
    stop(3);
}

/* c holds the third one by its subtask; d waits outside of the cycle. */
static void deadlock__of_three_is_found(void **state)
{
    (void)state;
    struct cycle_edge e[16];
    start(2, STACKS);
    root_at(0, 'a', "m.nNM");
    root_at(1, 'b', "n.wRN");
    root_at(0, 'c', "r[.mM]R");
    root_at(1, 'd', ".nN");
    settle();
    open_gate('a');
    open_gate('b');
    open_gate('d');
    assert_int_equal(cycle_find(e, edges(e, 16)), 0);
    open_gate('C');
    unsigned n = edges(e, 16);
    assert_int_equal(n, 5); /* d waits for b, who holds it, and for a, who comes before */
    assert_int_equal(cycle_find(e, n), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(e[i].to, e[(i + 1) % 3].from);
    stop(4);
}

/* A reader waits for a writer that waits for a reader who waits for the first: only the order of arrival makes a cycle of it. */
static void deadlock__by_who_came_before_is_found(void **state)
{
    (void)state;
    struct cycle_edge e[16];
    start(1, STACKS);
    root('a', "r.mMR");
    root('b', "m.rRM");
    root('c', "wR");
    settle();
    open_gate('b'); /* reads behind c */
    assert_int_equal(cycle_find(e, edges(e, 16)), 0);
    open_gate('a');
    assert_int_equal(cycle_find(e, edges(e, 16)), 3);
    stop(3);
}

/* Two of c's tasks wait, before and behind b: c is not behind b, as it gets the lock with the first. */
static void deadlock__is_none_between_tasks_of_a_root(void **state)
{
    (void)state;
    struct cycle_edge e[16];
    start(1, STACKS);
    root('a', "m.M");
    root('c', "mM");
    root('b', "mM");
    settle();
    as_if_submitted_by_who_waits_first('d', "mM", &locks[0].mutex[0].lock);
    settle();
    unsigned n = edges(e, 16);
    assert_int_equal(n, 3); /* c and b wait for a, b for c too */
    assert_int_equal(cycle_find(e, n), 0);
    open_gate('a');
    end(4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadlock__of_two_is_found),
        cmocka_unit_test(deadlock__of_three_is_found),
        cmocka_unit_test(deadlock__by_who_came_before_is_found),
        cmocka_unit_test(deadlock__is_none_between_tasks_of_a_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
