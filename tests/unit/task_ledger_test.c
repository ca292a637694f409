#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "panics.h"
#include "task/ledger.h"

static struct ledger ledger;
static struct ledger_entry entry[3];

static int setup(void **state)
{
    (void)state;
    ledger_init(&ledger);
    return 0;
}

static void take_and_accept(struct ledger_entry *e)
{
    ledger_take(&ledger, e);
    ledger_accept(&ledger, e, 5000, 0, NULL);
}

static void task__that_ends_once_closes_the_book(void **state)
{
    (void)state;
    assert_true(ledger_is_closed(&ledger));
    take_and_accept(&entry[0]);
    assert_false(ledger_is_closed(&ledger));
    ledger_end(&entry[0], CHI_STATUS_DEADLINE);
    assert_false(ledger_is_closed(&ledger)); /* nobody has its status yet */
    ledger_give_back(&ledger, &entry[0]);
    assert_true(ledger_is_closed(&ledger));
    assert_int_equal(ledger.accepted, 1);
}

static void task__of_a_module_comes_back_and_may_go_again(void **state)
{
    (void)state;
    take_and_accept(&entry[0]);
    for (int i = 0; i < 3; i++) {
        ledger_end(&entry[0], CHI_STATUS_OK);
        ledger_return(&ledger, &entry[0]);
        ledger_accept(&ledger, &entry[0], 6000, 7, &ledger);
        assert_int_equal(entry[0].number, i + 2);
    }
    ledger_end(&entry[0], CHI_STATUS_MODULE);
    ledger_return(&ledger, &entry[0]);
    ledger_give_back(&ledger, &entry[0]);
    assert_true(ledger_is_closed(&ledger));
    assert_int_equal(ledger.ended, 4);
}

static void record__that_was_never_submitted_goes_back(void **state)
{
    (void)state;
    ledger_take(&ledger, &entry[0]);
    ledger_give_back(&ledger, &entry[0]);
    assert_true(ledger_is_closed(&ledger));
}

static void record__that_is_lost_is_found_in_the_book(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        take_and_accept(&entry[i]);
    ledger_end(&entry[0], CHI_STATUS_OK);
    ledger_give_back(&ledger, &entry[0]);
    ledger_end(&entry[2], CHI_STATUS_OK);
    ledger_give_back(&ledger, &entry[2]);
    assert_false(ledger_is_closed(&ledger));
    assert_ptr_equal(ledger.open.next, &entry[1].link);
    assert_ptr_equal(ledger.open.prev, &entry[1].link);
    assert_int_equal(entry[1].number, 2);
}

/* As if it had been written over. */
static void sums__that_differ_are_found_without_an_entry(void **state)
{
    (void)state;
    take_and_accept(&entry[0]);
    ledger_end(&entry[0], CHI_STATUS_OK);
    ledger_give_back(&ledger, &entry[0]);
    ledger.ended--;
    assert_false(ledger_is_closed(&ledger));
    ledger.ended++;
    ledger.taken++;
    assert_false(ledger_is_closed(&ledger));
}

static void accept_twice(void)
{
    take_and_accept(&entry[0]);
    ledger_accept(&ledger, &entry[0], 5000, 0, NULL);
}
static void end_twice(void)
{
    take_and_accept(&entry[0]);
    ledger_end(&entry[0], CHI_STATUS_OK);
    ledger_end(&entry[0], CHI_STATUS_OK);
}
static void end_before_it_was_accepted(void)
{
    ledger_take(&ledger, &entry[0]);
    ledger_end(&entry[0], CHI_STATUS_OK);
}
static void end_pending(void)
{
    take_and_accept(&entry[0]);
    ledger_end(&entry[0], CHI_STATUS_PENDING);
}
static void end_with_an_unknown_status(void)
{
    take_and_accept(&entry[0]);
    ledger_end(&entry[0], 7);
}
static void return_before_the_end(void)
{
    take_and_accept(&entry[0]);
    ledger_return(&ledger, &entry[0]);
}
static void give_back_before_the_end(void)
{
    take_and_accept(&entry[0]);
    ledger_give_back(&ledger, &entry[0]);
}
static void give_back_twice(void)
{
    ledger_take(&ledger, &entry[0]);
    ledger_give_back(&ledger, &entry[0]);
    ledger_give_back(&ledger, &entry[0]);
}

static void step__out_of_order_is_a_bug(void **state)
{
    (void)state;
    assert_true(panics(accept_twice));
    assert_true(panics(end_twice));
    assert_true(panics(end_before_it_was_accepted));
    assert_true(panics(end_pending));
    assert_true(panics(end_with_an_unknown_status));
    assert_true(panics(return_before_the_end));
    assert_true(panics(give_back_before_the_end));
    assert_true(panics(give_back_twice));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(task__that_ends_once_closes_the_book, setup),
        cmocka_unit_test_setup(task__of_a_module_comes_back_and_may_go_again, setup),
        cmocka_unit_test_setup(record__that_was_never_submitted_goes_back, setup),
        cmocka_unit_test_setup(record__that_is_lost_is_found_in_the_book, setup),
        cmocka_unit_test_setup(sums__that_differ_are_found_without_an_entry, setup),
        cmocka_unit_test_setup(step__out_of_order_is_a_bug, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
