/* Fibers: who runs when, what stays on a stack, how many there are, and what an overflow does. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/prng.h"
#include "fiber/fiber.h"
#include "panics.h"

static struct fibers fs;
static char said[64];
static void say(char c)
{
    said[strlen(said)] = c;
}

static void letters(void *arg)
{
    char c = *(const char *)arg;
    for (int i = 0; i < 3; i++) {
        say((char)(c + i));
        fiber_switch(&fs, &fs.home);
    }
    fiber_end(&fs, &fs.home);
}

static void fiber__goes_on_where_it_left(void **state)
{
    (void)state;
    memset(said, 0, sizeof said);
    assert_int_equal(fibers_init(&fs, 2, 0), 0);
    struct fiber *a = fiber_try_get(&fs, letters, "a"), *b = fiber_try_get(&fs, letters, "A");
    assert_true(a && b && a != b);
    assert_null(fiber_try_get(&fs, letters, "x"));
    for (int i = 0; i < 4; i++) {
        fiber_switch(&fs, a);
        assert_ptr_equal(fs.current, &fs.home);
        fiber_switch(&fs, b);
    }
    assert_string_equal(said, "aAbBcC");
    assert_true(fs.out == 0 && fs.most == 2);
    assert_ptr_equal(fiber_try_get(&fs, letters, "q"), b); /* the one that ended last: its stack is warm */
    assert_int_equal(fs.out, 1);
    fibers_fini(&fs);
}

enum { MANY = 300, STEPS = 20000 };
static struct worker_like {
    struct fiber *fiber;
    uint32_t steps, left;
} many[MANY];
static struct prng prng;

/* Fills its stack with its own pattern, and looks whether it stays while others run. */
static void pattern(void *arg)
{
    struct worker_like *me = arg;
    volatile uint8_t mine[6000];
    uint8_t key = (uint8_t)(me - many);
    for (unsigned i = 0; i < sizeof mine; i++)
        mine[i] = (uint8_t)(key + i * 7);
    while (me->left--) {
        uint32_t to = (uint32_t)prng_below(&prng, MANY); /* to another one, or home */
        me->steps++;
        fiber_switch(&fs, to == (uint32_t)(me - many) || !many[to].fiber ? &fs.home : many[to].fiber);
        for (unsigned i = 0; i < sizeof mine; i += 13)
            assert_int_equal(mine[i], (uint8_t)(key + i * 7));
    }
    me->fiber = NULL;
    fiber_end(&fs, &fs.home);
}

static void fiber__keeps_its_stack_among_many(void **state)
{
    (void)state;
    uint32_t steps = 0;
    prng_init(&prng, 3);
    assert_int_equal(fibers_init(&fs, MANY, 20000), 0);
    for (uint32_t round = 0; steps < STEPS; round++) {
        struct worker_like *one = &many[prng_below(&prng, MANY)];
        if (!one->fiber) {
            one->left = (uint32_t)prng_below(&prng, 20);
            steps += one->left;
            one->fiber = fiber_try_get(&fs, pattern, one);
            assert_non_null(one->fiber);
        }
        fiber_switch(&fs, one->fiber);
    }
    for (uint32_t i = 0; i < MANY; i++)
        while (many[i].fiber)
            fiber_switch(&fs, many[i].fiber);
    assert_int_equal(fs.out, 0);
    assert_true(fs.most > MANY / 2 && fs.most <= MANY);
    uint32_t taken = 0;
    for (uint32_t i = 0; i < MANY; i++)
        taken += many[i].steps;
    assert_int_equal(taken, steps);
    fibers_fini(&fs);
}

/* On the stack in every build: AddressSanitizer, when it looks for use after return, keeps the frames of its functions on the heap. */
__attribute__((noinline, no_sanitize("address"))) static uint64_t deep(uint64_t n)
{
    volatile uint8_t page[2048];
    memset((uint8_t *)page, (int)n, sizeof page);
    return n ? deep(n - 1) + page[n % sizeof page] : page[0];
}
static void overflow(void *arg)
{
    (void)arg;
    (void)deep(UINT64_MAX);
    fiber_end(&fs, &fs.home);
}
static void returns(void *arg) { (void)arg; }

static void run_one(void (*fn)(void *arg))
{
    struct fiber *f = fiber_try_get(&fs, fn, NULL);
    if (!f)
        _exit(0);
    fiber_switch(&fs, f);
    _exit(0);
}

/* The process ends; the stack below, which another task has, is not touched. */
static void overflow__ends_the_process(void **state)
{
    (void)state;
    assert_int_equal(fibers_init(&fs, 2, FIBER_STACK_LEAST), 0);
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL); /* no report of a sanitizer */
        signal(SIGBUS, SIG_DFL);
        (void)fiber_try_get(&fs, returns, NULL); /* the stack below */
        run_one(overflow);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS : WEXITSTATUS(status) != 0);
    fibers_fini(&fs);
}

/* --- how deep */

static void uses(void *arg)
{
    uint64_t bytes = *(uint64_t *)arg;
    if (bytes)
        (void)deep(bytes / 2048);
    fiber_switch(&fs, &fs.home);
    fiber_end(&fs, &fs.home);
}
/* Touches the two ends of 150,000 bytes alone. */
__attribute__((noinline, no_sanitize("address"))) static void leaps(void *arg)
{
    volatile uint8_t hole[150000];
    hole[0] = 1;
    assert_int_equal(hole[0], 1);
    (void)arg;
    fiber_end(&fs, &fs.home);
}

static void deepest__is_of_all_stacks_so_far(void **state)
{
    (void)state;
    static uint64_t none = 0, ten = 10 * 2048, forty = 40 * 2048;
    assert_int_equal(fibers_init(&fs, 4, 256 << 10), 0);
    assert_int_equal(fibers_deepest(&fs), 0);
    struct fiber *a = fiber_try_get(&fs, uses, &none);
    fiber_switch(&fs, a);
    size_t least = fibers_deepest(&fs);
    assert_true(least >= 4096 && least < 20480 && least % 4096 == 0);
    struct fiber *b = fiber_try_get(&fs, uses, &ten);
    fiber_switch(&fs, b);
    size_t more = fibers_deepest(&fs); /* while it is in use */
    assert_in_range(more, 20480, forty - 1);
    struct fiber *c = fiber_try_get(&fs, uses, &none);
    fiber_switch(&fs, c);
    assert_int_equal(fibers_deepest(&fs), more);
    fiber_switch(&fs, b); /* ends */
    assert_int_equal(fibers_deepest(&fs), more);
    struct fiber *d = fiber_try_get(&fs, uses, &forty);
    assert_ptr_equal(d, b);
    fiber_switch(&fs, d);
    size_t most = fibers_deepest(&fs);
    assert_true(most >= 40 * 2048 && most < 150000);
    struct fiber *e = fiber_try_get(&fs, leaps, NULL);
    fiber_switch(&fs, e); /* the pages between are not there */
    most = fibers_deepest(&fs);
    assert_true(most > 150000 && most <= 256 << 10);
    fiber_switch(&fs, a);
    fiber_switch(&fs, c);
    fiber_switch(&fs, d);
    assert_int_equal(fibers_deepest(&fs), most);
    fibers_fini(&fs);
    assert_int_equal(fibers_init(&fs, 0, 0), 0);
    assert_int_equal(fibers_deepest(&fs), 0); /* there is no stack */
    fibers_fini(&fs);
}

static void end_home(void) { fiber_end(&fs, &fs.home); }
static void switch_to_itself(void) { fiber_switch(&fs, fs.current); }

static void misuse__panics(void **state)
{
    (void)state;
    assert_int_equal(fibers_init(&fs, 0, 0), 0);
    assert_null(fiber_try_get(&fs, returns, NULL));
    assert_true(panics(end_home));
    assert_true(panics(switch_to_itself));
    fibers_fini(&fs);
    assert_int_equal(fibers_init(&fs, UINT32_MAX, SIZE_MAX >> 40), -12); /* more than there is address space */
    assert_null(fiber_try_get(&fs, returns, NULL));
    fibers_fini(&fs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fiber__goes_on_where_it_left),
        cmocka_unit_test(fiber__keeps_its_stack_among_many),
        cmocka_unit_test(overflow__ends_the_process),
        cmocka_unit_test(deepest__is_of_all_stacks_so_far),
        cmocka_unit_test(misuse__panics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
