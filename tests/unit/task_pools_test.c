#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "panics.h"
#include "task/task.h"

enum { TASKS = 128 };
static struct task_pools pools;

static int setup(void **state)
{
    (void)state;
    return task_pools_init(&pools, TASKS);
}
static int teardown(void **state)
{
    void *memory = pools.memory;
    (void)state;
    task_pools_fini(&pools);
    assert_null(pools.memory);
    assert_true(msync(memory, 1, MS_ASYNC) == -1 && errno == ENOMEM); /* nothing is mapped there */
    task_pools_fini(&pools); /* no effect */
    return 0;
}

static bool is_in_pools(const void *p, uint64_t bytes)
{
    return chi_span_ok((uintptr_t)p - (uintptr_t)pools.memory, bytes, pools.memory_bytes);
}

/* How many bodies of that size there are; all are given back. */
static unsigned count_of(size_t bytes)
{
    struct task *t[2 * TASKS];
    unsigned n = 0;
    while ((t[n] = task_try_get(&pools, bytes))) {
        assert_int_equal((uintptr_t)t[n] % CHI_CACHE_LINE, 0);
        assert_true(is_in_pools(t[n], sizeof *t[n] + bytes));
        memset(t[n] + 1, (int)n, bytes);
        n++;
    }
    assert_int_equal(pools.out, n);
    assert_false(task_pools_ready(&pools));
    for (unsigned i = 0; i < n; i++) {
        assert_true(((uint8_t *)(t[i] + 1))[0] == (uint8_t)i && ((uint8_t *)(t[i] + 1))[bytes - 1] == (uint8_t)i);
        task_put(&pools, t[i]);
    }
    assert_int_equal(pools.out, 0);
    assert_true(task_pools_ready(&pools));
    return n;
}

static void task_try_get__three_sizes_each_with_its_number(void **state)
{
    (void)state;
    assert_int_equal(count_of(1), TASKS);
    assert_int_equal(count_of(320), TASKS);
    assert_int_equal(count_of(321), TASKS / 4);
    assert_int_equal(count_of(2048), TASKS / 4);
    assert_int_equal(count_of(2049), 16); /* not a 64th: 16 at least */
    assert_int_equal(count_of(CHI_FORM_BYTES_MAX), 16);
}

static void task_try_get__is_new_and_holds_nothing(void **state)
{
    (void)state;
    struct task *t = task_try_get(&pools, 2000);
    uint8_t size_class = t->size_class;
    size_t bytes = sizeof *t;
    LEDGER(bytes = offsetof(struct task, entry)); /* the rest is the book's */
    memset(t, 0xee, bytes);
    t->regions = NULL;
    t->extra = NULL;
    t->size_class = size_class;
    t->state = TASK_ENDED;
    task_put(&pools, t);
    assert_ptr_equal(task_try_get(&pools, 2000), t); /* the one that went last */
    assert_true(t->state == TASK_NEW && t->size_class == size_class && !t->cancelled && !t->nregions);
    assert_true(!t->method && !t->container && !t->regions && !t->extra);
    assert_ptr_equal(task_of(task_public(t)), t);
    assert_ptr_equal(task_of_link(&t->link), t);
    assert_ptr_equal(task_of_out(&t->out), t);
    assert_ptr_equal(task_form(t), task_public(t));
    task_put(&pools, t);
}

static void task_body_clear__all_of_it_and_no_more(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 63, 64, 65, 128, 200, 320, 321, 2048};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct task *t = task_try_get(&pools, sizes[i]);
        uint8_t *body = (uint8_t *)(t + 1);
        size_t all = sizes[i] <= 320 ? 320 : 2048, cleared = 0;
        memset(body, 0xee, all);
        assert_ptr_equal(task_body_clear(t, sizes[i]), body);
        while (cleared < all && !body[cleared])
            cleared++;
        assert_int_equal(cleared, sizes[i] < 64 ? 64 : sizes[i]);
        task_put(&pools, t);
    }
}

static void task_regions_get__one_list_each_until_they_are_gone(void **state)
{
    (void)state;
    struct task *t[TASKS / 4 + 1];
    for (unsigned i = 0; i <= TASKS / 4; i++)
        t[i] = task_try_get(&pools, 1);
    for (unsigned i = 0; i < TASKS / 4; i++) {
        struct chi_ar_region *r = task_regions_get(&pools, t[i]);
        assert_non_null(r);
        assert_ptr_equal(task_regions_get(&pools, t[i]), r);
        assert_true(is_in_pools(r, CHI_REGIONS_MAX * sizeof *r));
        memset(r, 0xee, CHI_REGIONS_MAX * sizeof *r);
    }
    assert_false(task_pools_ready(&pools));
    assert_null(task_regions_get(&pools, t[TASKS / 4]));
    task_put(&pools, t[0]);
    assert_non_null(task_regions_get(&pools, t[TASKS / 4])); /* it went back with its task */
    for (unsigned i = 1; i <= TASKS / 4; i++)
        task_put(&pools, t[i]);
    assert_true(task_pools_ready(&pools));
}

static struct task *trap;
static void put_twice(void)
{
    task_put(&pools, trap);
    task_put(&pools, trap);
}
static void put_with_extra(void)
{
    trap->extra = (uint8_t *)trap;
    task_put(&pools, trap);
}
static void get_too_large(void) { (void)task_try_get(&pools, CHI_FORM_BYTES_MAX + 1); }

static void task_put__what_is_not_out_panics(void **state)
{
    (void)state;
    struct task *other = task_try_get(&pools, 1); /* so that there is room for one that comes back twice */
    trap = task_try_get(&pools, 1);
    assert_true(panics(put_twice));
    assert_true(panics(put_with_extra));
    assert_true(panics(get_too_large));
    task_put(&pools, trap);
    task_put(&pools, other);
}

static void task_pools_init__without_memory_leaves_them_empty(void **state)
{
    (void)state;
    struct rlimit before, none;
    struct task_pools p = {.memory = &p};
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    none = (struct rlimit){1, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    int rc = task_pools_init(&p, TASKS);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(rc, -ENOMEM);
    assert_null(p.memory);
    assert_null(task_try_get(&p, 1));
    task_pools_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(task_try_get__three_sizes_each_with_its_number, setup, teardown),
        cmocka_unit_test_setup_teardown(task_try_get__is_new_and_holds_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(task_body_clear__all_of_it_and_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(task_regions_get__one_list_each_until_they_are_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(task_put__what_is_not_out_panics, setup, teardown),
        cmocka_unit_test(task_pools_init__without_memory_leaves_them_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
