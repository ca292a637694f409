#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lane/ring.h"

static void ring_try_put__full_ring_refuses_and_keeps_what_is_there(void **state)
{
    (void)state;
    struct ring *r = ring_create(4);
    struct ring_item it = {0};
    for (uint32_t round = 0; round < 1000; round++) {
        for (it.arg = 0; it.arg < 4; it.arg++)
            assert_true(ring_try_put(r, &it));
        assert_false(ring_try_put(r, &it));
        struct ring_item got;
        for (uint32_t i = 0; i < 4; i++) {
            assert_true(ring_waiting(r));
            assert_true(ring_try_get(r, &got));
            assert_int_equal(got.arg, i);
        }
        assert_false(ring_waiting(r));
        assert_false(ring_try_get(r, &got));
        assert_false(ring_try_put(r, &it)); /* not published yet: the slots are the consumer's */
        ring_publish(r);
    }
    ring_destroy(r);
}

/* One slot that came back is one that can be filled. */
static void ring_try_put__takes_as_many_as_came_back(void **state)
{
    (void)state;
    struct ring *r = ring_create(4);
    struct ring_item it = {0}, got;
    while (ring_try_put(r, &it))
        it.arg++;
    assert_int_equal(it.arg, 4);
    for (uint32_t back = 1; back <= 4; back++) {
        for (uint32_t i = 0; i < back; i++)
            assert_true(ring_try_get(r, &got));
        ring_publish(r);
        for (uint32_t i = 0; i < back; i++)
            assert_true(ring_try_put(r, &it));
        assert_false(ring_try_put(r, &it));
    }
    ring_destroy(r);
}

static void ring_destroy__takes_null(void **state)
{
    (void)state;
    ring_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_try_put__full_ring_refuses_and_keeps_what_is_there),
        cmocka_unit_test(ring_try_put__takes_as_many_as_came_back),
        cmocka_unit_test(ring_destroy__takes_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
