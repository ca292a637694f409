#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "lane/lane.h"

static struct chi_lane a, b;
static struct ready_list ready;
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
    assert_null(ready_take(&ready));
    assert_null(lane_pop(&a));
    assert_true(a.depth == 0 && a.started == 0 && !a.ready);
}

static void lane_push__an_empty_lane_enters_the_ready_list_once(void **state)
{
    (void)state;
    lane_push(&a, &item[0], &ready);
    lane_push(&a, &item[1], &ready);
    assert_ptr_equal(ready_take(&ready), &a);
    assert_null(ready_take(&ready));
}

static void lane_push__onto_a_lane_that_is_being_run_makes_it_ready_again(void **state)
{
    (void)state;
    lane_push(&a, &item[0], &ready);
    assert_ptr_equal(ready_take(&ready), &a);
    assert_ptr_equal(lane_pop(&a), &item[0]);
    lane_push(&a, &item[1], &ready);
    assert_ptr_equal(ready_take(&ready), &a);
    assert_ptr_equal(lane_pop(&a), &item[1]);
    assert_null(lane_pop(&a));
}

static void lane_pop__gives_tasks_in_order_and_counts(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        lane_push(&a, &item[i], &ready);
    assert_int_equal(a.depth, 4);
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(lane_pop(&a), &item[i]);
    assert_int_equal(a.depth, 0);
    assert_int_equal(a.started, 4);
}

static void ready_list__keeps_the_order_of_lanes(void **state)
{
    (void)state;
    lane_push(&b, &item[0], &ready);
    lane_push(&a, &item[1], &ready);
    assert_ptr_equal(ready_take(&ready), &b);
    ready_add(&ready, &b);
    assert_ptr_equal(ready_take(&ready), &a);
    assert_ptr_equal(ready_take(&ready), &b);
    assert_null(ready_take(&ready));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(init__nothing_is_there, setup),
        cmocka_unit_test_setup(lane_push__an_empty_lane_enters_the_ready_list_once, setup),
        cmocka_unit_test_setup(lane_push__onto_a_lane_that_is_being_run_makes_it_ready_again, setup),
        cmocka_unit_test_setup(lane_pop__gives_tasks_in_order_and_counts, setup),
        cmocka_unit_test_setup(ready_list__keeps_the_order_of_lanes, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
