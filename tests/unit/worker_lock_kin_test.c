/* Locks and the subtasks of who holds them: the same root enters. */
#include "lock_script.h"

/* A subtask enters before those who wait, on its worker and on another; and one of its own; who waits stays. */
static void mutex__is_entered_by_a_subtask_of_its_holder(void **state)
{
    (void)state;
    start(2, STACKS);
    root('a', "m.(m(mM)M)[m[mM]M]M");
    settle();
    root_at(1, 'b', "mM");
    settle();
    heard("am ");
    open_gate('a');
    heard("Am am aM AM Am am aM AM aM bm bM ");
    end(2);
}

static void mutex__is_entered_by_a_replica_of_its_holders_subtask(void **state)
{
    (void)state;
    start(1, STACKS);
    root('a', "m{mM}M");
    settle();
    heard("am Am AM aM ");
    end(1);
}

/* b and one of c's subtasks wait; then c's other one, to whom the lock goes together with the first. */
static void mutex__goes_to_all_subtasks_of_a_root_that_wait(void **state)
{
    (void)state;
    start(2, STACKS);
    root('a', "m.M");
    settle();
    root('d', "(m.M)");
    settle();
    root('b', "mM");
    settle();
    as_if_submitted_by_who_waits_first('e', "mM", &locks[0].mutex[0].lock);
    settle();
    heard("am ");
    open_gate('a');
    heard("aM Dm em eM ");
    open_gate('D');
    heard("DM bm bM ");
    end(4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutex__is_entered_by_a_subtask_of_its_holder),
        cmocka_unit_test(mutex__is_entered_by_a_replica_of_its_holders_subtask),
        cmocka_unit_test(mutex__goes_to_all_subtasks_of_a_root_that_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
