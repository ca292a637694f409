/* Pools that come, change and go: what is found at each moment, and that all of it is given back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/tables.h"

static const struct chi_pool_id FIRST = {100, 0}, SECOND = {100, 1}, THIRD = {100, 2};
static struct sched s;
static char err[SCHED_ERROR_BYTES];
static uint32_t alive, ends[16], nends, fails_at = UINT32_MAX;

static enum chi_status init(struct chi_container *c)
{
    if (chi_container_id(c) == fails_at)
        return CHI_STATUS_MODULE;
    alive++;
    return chi_container_create_queue(c, 0, 1);
}
static void fini(struct chi_container *c)
{
    alive--;
    ends[nends++ % 16] = chi_container_id(c);
}
static unsigned poll(struct chi_container *c, struct chi_rctx *r)
{
    (void)c, (void)r;
    return 0;
}
static const struct chi_chimod plain = {.abi = CHI_CHIMOD_ABI, .size = sizeof plain, .name = "plain", .init = init, .fini = fini};
static const struct chi_chimod polls = {.abi = CHI_CHIMOD_ABI, .size = sizeof polls, .name = "polls", .init = init, .fini = fini, .poll = poll};

static void add(const struct chi_chimod *ops)
{
    struct sched_module *m = calloc(1, sizeof *m);
    snprintf(m->name, sizeof m->name, "%s", ops->name);
    m->ops = ops;
    sched_module_add(&s, m);
}

static int setup(void **state)
{
    static const uint32_t nodes[] = {1, 2};
    (void)state;
    rcu_register_thread();
    fails_at = UINT32_MAX;
    alive = nends = 0;
    assert_int_equal(sched_init(&s, 1, nodes, 2, 2), 0);
    add(&plain);
    add(&polls);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    sched_fini(&s);
    rcu_unregister_thread();
    return alive == 0 ? 0 : -1;
}

static int make(const char *module, struct chi_pool_id id, const char *name, const uint32_t *node_of, uint32_t n)
{
    return sched_pool_make(&s, &(struct sched_plan){module, name, id, 1, n, node_of}, err);
}
static void expect_polled(const struct chi_pool_id *ids, uint32_t n)
{
    uint32_t i = 0;
    for (const struct chi_container *c = s.polled; c; c = c->next_polled, i++)
        assert_true(i < n && c->pool->id.minor == ids[i].minor);
    assert_int_equal(i, n);
}
static uint32_t count_all(void)
{
    uint32_t n = 0;
    for (const struct chi_container *c = s.all; c; c = c->next)
        n++;
    return n;
}
static void expect(struct sched_pool *p, struct chi_query q, enum chi_status st, uint32_t node)
{
    struct sched_target t;
    assert_int_equal(sched_resolve(&s, p, &q, &t), st);
    if (st == CHI_STATUS_OK && node == 1)
        assert_non_null(t.local);
    if (st == CHI_STATUS_OK)
        assert_int_equal(t.node, node);
}

static void hide__takes_a_pool_out_of_all_that_is_looked_at(void **state)
{
    const uint32_t nodes[] = {1, 1, 2};
    (void)state;
    assert_int_equal(make("polls", FIRST, "first", nodes, 3), 0);
    assert_int_equal(make("polls", SECOND, "second", nodes, 3), 0);
    assert_int_equal(make("polls", THIRD, "third", nodes, 3), 0);
    expect_polled((struct chi_pool_id[]){FIRST, FIRST, SECOND, SECOND, THIRD, THIRD}, 6);
    struct sched_pool *p = sched_pool_find(&s, SECOND);
    struct chi_container *on_it = p->local;
    on_it->next_local->ops = &plain; /* another version, which polls no more */
    struct chi_container *gone = sched_pool_hide(&s, p);
    assert_ptr_equal(gone, on_it);
    assert_true(gone->id == 0 && gone->next_local->id == 1 && !gone->next_local->next_local);
    assert_ptr_equal(gone->next_local->next_polled, sched_pool_find(&s, THIRD)->local); /* who stands on one goes on */
    assert_null(sched_pool_find(&s, SECOND));
    assert_null(sched_pool_named(&s, "second"));
    assert_null(sched_container_find(&s, SECOND, 0));
    assert_null(sched_local(p));
    assert_int_equal(count_all(), 4);
    expect_polled((struct chi_pool_id[]){FIRST, FIRST, THIRD, THIRD}, 4);
    assert_int_equal(alive, 6); /* none was ended */
    sched_containers_end(gone);
    assert_true(alive == 4 && nends == 2 && ends[0] == 1 && ends[1] == 0);
    sched_pool_free(p);

    p = sched_pool_find(&s, THIRD); /* the last one: what comes next is behind the others */
    sched_containers_end(sched_pool_hide(&s, p));
    sched_pool_free(p);
    assert_int_equal(make("polls", SECOND, "second", nodes, 3), 0); /* the id may come again */
    expect_polled((struct chi_pool_id[]){FIRST, FIRST, SECOND, SECOND}, 4);
    assert_int_equal(count_all(), 4);
    assert_ptr_equal(sched_pool_named(&s, "second"), sched_pool_find(&s, SECOND));
}

static void change__adds_containers_behind_those_that_are_there(void **state)
{
    const uint32_t nodes[] = {2, 2, 1, 2, 1};
    struct chi_container *gone;
    struct sched_table *old;
    (void)state;
    assert_int_equal(make("polls", FIRST, "first", nodes, 2), 0); /* none here */
    struct sched_pool *p = sched_pool_find(&s, FIRST);
    expect(p, chi_local(), CHI_STATUS_NO_CONTAINER, 0);
    expect(p, chi_direct(2), CHI_STATUS_NO_CONTAINER, 0);
    const struct sched_table *before = p->table;
    assert_int_equal(sched_pool_change(&s, p, 2, nodes, 5, &gone, &old, err), 0);
    assert_null(gone);
    assert_ptr_equal(old, before);
    assert_int_equal(old->containers, 2); /* as it was, for who looks at it still */
    assert_true(p->table->version == 2 && p->table->hash != old->hash && !p->table->in_order && p->table->member_count == 2);
    sched_table_free(old);
    expect(p, chi_local(), CHI_STATUS_OK, 1);
    expect(p, chi_direct(4), CHI_STATUS_OK, 1);
    expect(p, chi_direct(3), CHI_STATUS_OK, 2);
    expect(p, chi_hash(7), CHI_STATUS_OK, 1);
    assert_true(p->local->id == 2 && p->local->next_local->id == 4);
    expect_polled((struct chi_pool_id[]){FIRST, FIRST}, 2);
}

static void change__takes_the_last_ones_away(void **state)
{
    const uint32_t nodes[] = {1, 2, 1, 1};
    struct chi_container *gone;
    struct sched_table *old;
    (void)state;
    assert_int_equal(make("polls", FIRST, "first", nodes, 4), 0);
    struct sched_pool *p = sched_pool_find(&s, FIRST);
    assert_int_equal(sched_pool_change(&s, p, 2, nodes, 2, &gone, &old, err), 0);
    assert_true(gone->id == 2 && gone->next_local->id == 3 && !gone->next_local->next_local);
    expect(p, chi_direct(2), CHI_STATUS_NO_CONTAINER, 0);
    expect(p, chi_direct(0), CHI_STATUS_OK, 1);
    expect(p, chi_hash(3), CHI_STATUS_OK, 2);
    assert_null(p->local->next_local);
    assert_int_equal(count_all(), 1);
    sched_containers_end(gone);
    sched_table_free(old);
    assert_int_equal(sched_pool_change(&s, p, 3, nodes, 3, &gone, &old, err), 0); /* one comes back, as another one */
    sched_table_free(old);
    assert_true(!gone && p->local->next_local->id == 2);
    expect_polled((struct chi_pool_id[]){FIRST, FIRST}, 2);
}

static void change__that_cannot_be_changes_nothing(void **state)
{
    const uint32_t nodes[] = {1, 2, 1, 1}, other[] = {1, 1, 1, 1};
    struct chi_container *gone = NULL;
    struct sched_table *old = NULL;
    (void)state;
    assert_int_equal(make("plain", FIRST, "first", nodes, 2), 0);
    struct sched_pool *p = sched_pool_find(&s, FIRST);
    const struct sched_table *before = p->table;
    assert_int_equal(sched_pool_change(&s, p, 2, other, 4, &gone, &old, err), -ERANGE);
    assert_non_null(strstr(err, "on other nodes"));
    assert_int_equal(sched_pool_change(&s, p, 2, nodes, 0, &gone, &old, err), -ERANGE);
    fails_at = 3;
    assert_int_equal(sched_pool_change(&s, p, 2, nodes, 4, &gone, &old, err), -EINVAL);
    assert_int_equal(alive, 1); /* container 2 had begun */
    static uint32_t many[SCHED_CONTAINERS_MAX + 1] = {1, 2};
    assert_int_equal(sched_pool_change(&s, p, 2, many, SCHED_CONTAINERS_MAX + 1, &gone, &old, err), -E2BIG);
    assert_true(p->table == before && !gone && !old && !p->local->next_local);
    assert_int_equal(count_all(), 1);
}

/* Its tasks still run the module's code. */
static void hide__keeps_the_module_until_the_pool_is_freed(void **state)
{
    const uint32_t nodes[] = {1};
    (void)state;
    assert_int_equal(make("plain", FIRST, "first", nodes, 1), 0);
    assert_int_equal(sched_unload(&s, "plain", err), -EBUSY);
    struct sched_pool *p = sched_pool_find(&s, FIRST);
    struct chi_container *gone = sched_pool_hide(&s, p);
    assert_int_equal(sched_unload(&s, "plain", err), -EBUSY);
    assert_non_null(strstr(err, "about to go"));
    sched_containers_end(gone);
    sched_pool_free(p);
    fails_at = 0;
    assert_int_equal(make("plain", FIRST, "first", nodes, 1), -EINVAL); /* what was not made counts for nothing */
    assert_int_equal(sched_unload(&s, "plain", err), 0);
}

static void make__refuses_one_pool_too_many(void **state)
{
    const uint32_t nodes[] = {2};
    (void)state;
    for (uint32_t i = 0; i < SCHED_POOLS_MAX; i++)
        assert_int_equal(make("plain", (struct chi_pool_id){200, i}, "n", nodes, 1), 0);
    assert_int_equal(make("plain", FIRST, "first", nodes, 1), -E2BIG);
    struct sched_pool *p = sched_pool_find(&s, (struct chi_pool_id){200, 7});
    assert_null(sched_pool_hide(&s, p));
    sched_pool_free(p);
    assert_int_equal(make("plain", FIRST, "first", nodes, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(hide__takes_a_pool_out_of_all_that_is_looked_at), TEST(change__adds_containers_behind_those_that_are_there),
        TEST(change__takes_the_last_ones_away), TEST(change__that_cannot_be_changes_nothing), TEST(make__refuses_one_pool_too_many),
        TEST(hide__keeps_the_module_until_the_pool_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
