#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "lane/lane.h"

static struct chi_lane a, b;
static struct ready_lists ready;
static struct lane_item item[4];

static int setup(void **state)
{
    (void)state;
    /* What lay in the memory of either has no say, nor what is in the link of a task. */
    memset(&a, 0xee, sizeof a);
    memset(&b, 0xee, sizeof b);
    memset(&ready, 0xee, sizeof ready);
    memset(item, 0xee, sizeof item);
    lane_init(&a, NULL, 0);
    lane_init(&b, NULL, 0);
    ready_init(&ready);
    return 0;
}

static void init__nothing_is_there(void **state)
{
    (void)state;
    assert_null(ready_take(&ready.of[0]));
    assert_null(lane_pop(&a));
    assert_true(a.pushed == 0 && a.started == 0 && !a.ready);
}

static void lane_push__an_empty_lane_enters_the_ready_list_once(void **state)
{
    (void)state;
    lane_push(&a, &item[0], &ready);
    lane_push(&a, &item[1], &ready);
    assert_ptr_equal(ready_take(&ready.of[0]), &a);
    assert_null(ready_take(&ready.of[0]));
}

static void lane_push__onto_a_lane_that_is_being_run_makes_it_ready_again(void **state)
{
    (void)state;
    lane_push(&a, &item[0], &ready);
    assert_ptr_equal(ready_take(&ready.of[0]), &a);
    assert_ptr_equal(lane_pop(&a), &item[0]);
    lane_push(&a, &item[1], &ready);
    assert_ptr_equal(ready_take(&ready.of[0]), &a);
    assert_ptr_equal(lane_pop(&a), &item[1]);
    assert_null(lane_pop(&a));
}

/* What was taken off and did not start is the first again, also on a lane that is empty by now. */
static void lane_unpop__puts_it_in_front(void **state)
{
    (void)state;
    lane_push(&a, &item[0], &ready);
    lane_push(&a, &item[1], &ready);
    assert_ptr_equal(ready_take(&ready.of[0]), &a);
    assert_ptr_equal(lane_pop(&a), &item[0]);
    lane_unpop(&a, &item[0], &ready);
    assert_ptr_equal(ready_take(&ready.of[0]), &a);
    assert_true(a.pushed == 2 && a.started == 0);
    assert_ptr_equal(lane_pop(&a), &item[0]);
    assert_ptr_equal(lane_pop(&a), &item[1]);
    lane_unpop(&a, &item[1], &ready);
    lane_push(&a, &item[2], &ready); /* behind it */
    assert_ptr_equal(ready_take(&ready.of[0]), &a);
    assert_null(ready_take(&ready.of[0]));
    assert_ptr_equal(lane_pop(&a), &item[1]);
    assert_ptr_equal(lane_pop(&a), &item[2]);
    assert_null(lane_pop(&a));
    assert_true(a.pushed == 3 && a.started == 3);
}

static void lane_pop__gives_tasks_in_order_and_counts(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        lane_push(&a, &item[i], &ready);
    assert_true(a.pushed == 4 && a.started == 0);
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(lane_pop(&a), &item[i]);
    assert_int_equal(a.pushed, 4);
    assert_int_equal(a.started, 4);
}

static void ready_list__keeps_the_order_of_lanes(void **state)
{
    (void)state;
    lane_push(&b, &item[0], &ready);
    lane_push(&a, &item[1], &ready);
    assert_ptr_equal(ready_take(&ready.of[0]), &b);
    ready_add(&ready, &b);
    assert_ptr_equal(ready_take(&ready.of[0]), &a);
    assert_ptr_equal(ready_take(&ready.of[0]), &b);
    assert_null(ready_take(&ready.of[0]));
}

/* A lane that goes to another worker, from any place in the list. */
static void ready_remove__leaves_the_others_in_order(void **state)
{
    (void)state;
    struct chi_lane lane[3];
    for (int gone = 0; gone < 3; gone++) {
        for (int i = 0; i < 3; i++) {
            lane_init(&lane[i], NULL, 0);
            lane_push(&lane[i], &item[i], &ready);
        }
        ready_remove(&ready, &lane[gone]);
        ready_remove(&ready, &lane[gone]); /* it is not there: nothing */
        assert_false(lane[gone].ready);
        assert_ptr_equal(lane[gone].head, &item[gone]);
        ready_add(&ready, &a); /* behind those that are left */
        for (int i = 0; i < 3; i++)
            if (i != gone)
                assert_ptr_equal(ready_take(&ready.of[0]), &lane[i]);
        assert_ptr_equal(ready_take(&ready.of[0]), &a);
        assert_null(ready_take(&ready.of[0]));
    }
    lane_push(&a, &item[3], &ready);
    ready_remove(&ready, &a); /* the only one */
    assert_null(ready_take(&ready.of[0]));
    ready_add(&ready, &a);
    assert_ptr_equal(ready_take(&ready.of[0]), &a);
}

/* A lane is in its class's list. */
static void ready_add__goes_by_the_class(void **state)
{
    (void)state;
    b.lane_class = 1;
    assert_false(ready_any(&ready));
    lane_push(&b, &item[0], &ready);
    assert_true(ready_any(&ready));
    lane_push(&a, &item[1], &ready);
    assert_ptr_equal(ready_take(&ready.of[1]), &b);
    assert_null(ready_take(&ready.of[1]));
    assert_true(ready_any(&ready));
    assert_ptr_equal(ready_take(&ready.of[0]), &a);
    assert_false(ready_any(&ready));
    ready_add(&ready, &b);
    ready_remove(&ready, &b);
    assert_false(ready_any(&ready));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(init__nothing_is_there, setup),
        cmocka_unit_test_setup(lane_push__an_empty_lane_enters_the_ready_list_once, setup),
        cmocka_unit_test_setup(lane_push__onto_a_lane_that_is_being_run_makes_it_ready_again, setup),
        cmocka_unit_test_setup(lane_unpop__puts_it_in_front, setup),
        cmocka_unit_test_setup(lane_pop__gives_tasks_in_order_and_counts, setup),
        cmocka_unit_test_setup(ready_list__keeps_the_order_of_lanes, setup),
        cmocka_unit_test_setup(ready_add__goes_by_the_class, setup),
        cmocka_unit_test_setup(ready_remove__leaves_the_others_in_order, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
