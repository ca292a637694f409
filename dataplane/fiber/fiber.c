#define _GNU_SOURCE
#include "fiber.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define FIBER_TSAN 1
#endif
#if defined(FIBER_ASAN)
#include <sanitizer/asan_interface.h>
#elif defined(FIBER_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

#if !defined(MADV_GUARD_INSTALL)
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

/* Boost.Context, boost/context/detail/fcontext.hpp, which is C++ but for these. */
struct transfer {
    void *context, *data;
};
struct transfer jump_fcontext(void *to, void *data);
void *make_fcontext(void *top, size_t bytes, void (*fn)(struct transfer t));

enum { ROOM_AT_TOP = (sizeof(struct fiber) + CHI_CACHE_LINE - 1) / CHI_CACHE_LINE * CHI_CACHE_LINE };

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* A page that costs no mapping of its own where the kernel can. */
static int guard(void *page, size_t bytes)
{
    return madvise(page, bytes, MADV_GUARD_INSTALL) == 0 || mprotect(page, bytes, PROT_NONE) == 0 ? 0 : -ENOMEM;
}

int fibers_init(struct fibers *fs, uint32_t count, size_t stack_bytes)
{
    size_t page = page_bytes();
    if (stack_bytes < FIBER_STACK_LEAST)
        stack_bytes = FIBER_STACK_LEAST;
    stack_bytes = (stack_bytes + page - 1) / page * page + page;
    *fs = (struct fibers){.stack_bytes = stack_bytes, .count = count};
    fs->current = &fs->home;
    if (count == 0)
        return 0;
    if (__builtin_mul_overflow(count, stack_bytes, &fs->memory_bytes)) {
        fs->count = 0;
        return -ENOMEM;
    }
    void *p = mmap(NULL, fs->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    fs->memory = p == MAP_FAILED ? NULL : p;
    int rc = fs->memory ? 0 : -ENOMEM;
    if (rc == 0)
        madvise(p, fs->memory_bytes, MADV_NOHUGEPAGE); /* a stack that is used a little is to cost a page */
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = guard(fs->memory + i * stack_bytes, page);
    if (rc)
        fibers_fini(fs);
    return rc;
}

void fibers_fini(struct fibers *fs)
{
    CHI_ASSERT(fs->current == &fs->home);
    if (fs->memory) {
#if defined(FIBER_ASAN)
        __asan_unpoison_memory_region(fs->memory, fs->memory_bytes); /* fibers that never ended leave frames; others will lie here */
#endif
        munmap(fs->memory, fs->memory_bytes);
    }
    fs->memory = NULL;
    fs->free = NULL;
    fs->fresh = fs->count = 0;
}

/* --- the sanitizers follow a switch, or take it for an overflow or a race */

static void made(struct fiber *f)
{
#if defined(FIBER_ASAN)
    __asan_unpoison_memory_region(f->bottom, f->bytes); /* by frames of who had it before, which ended without a return, or of another mapping here */
#elif defined(FIBER_TSAN)
    f->shadow = __tsan_create_fiber(0);
#endif
    (void)f;
}

/* Inline: TSan counts calls, and this one would begin on one stack and return on another. */
CHI_INLINE void leaving(struct fiber *from, struct fiber *to, bool ends)
{
#if defined(FIBER_ASAN)
    __sanitizer_start_switch_fiber(ends ? NULL : &from->shadow, to->bottom, to->bytes);
#elif defined(FIBER_TSAN)
    if (!from->fn)
        from->shadow = __tsan_get_current_fiber(); /* the thread's own, which may be another one than the last time */
    __tsan_switch_to_fiber(to->shadow, 0);
#endif
    (void)from, (void)to, (void)ends;
}

static void arrived(struct fiber *me, struct fiber *from)
{
#if defined(FIBER_ASAN)
    __sanitizer_finish_switch_fiber(me->shadow, &from->bottom, &from->bytes); /* of the thread's own this is how they become known */
    me->shadow = NULL;
#endif
    (void)me, (void)from;
}

static void gone(struct fiber *f)
{
#if defined(FIBER_TSAN)
    __tsan_destroy_fiber(f->shadow);
#endif
    (void)f;
}

/* --- switching */

/* On the stack that goes on: what was left is noted, what ended is free. */
static void land(struct fibers *fs, struct transfer t)
{
    arrived(fs->current, fs->left);
    fs->left->context = t.context;
    if (!fs->ends)
        return;
    gone(fs->left);
    fs->left->next = fs->free;
    fs->free = fs->left;
    fs->out--;
}

static void jump(struct fibers *fs, struct fiber *to, bool ends)
{
    leaving(fs->current, to, ends);
    fs->left = fs->current;
    fs->ends = ends;
    fs->current = to;
    land(fs, jump_fcontext(to->context, fs)); /* lands when somebody switches back */
}

static void begin(struct transfer t)
{
    struct fibers *fs = t.data;
    land(fs, t);
    fs->current->fn(fs->current->arg);
    CHI_ASSERT(!"a fiber ends with fiber_end");
}

struct fiber *fiber_try_get(struct fibers *fs, void (*fn)(void *arg), void *arg)
{
    struct fiber *f = fs->free;
    if (f) {
        fs->free = f->next;
    } else {
        if (fs->fresh == fs->count)
            return NULL;
        uint8_t *top = fs->memory + (fs->fresh++ + 1) * fs->stack_bytes;
        f = (struct fiber *)(void *)(top - ROOM_AT_TOP);
        *f = (struct fiber){.bottom = top - fs->stack_bytes + page_bytes()};
        f->bytes = (size_t)((uint8_t *)f - (const uint8_t *)f->bottom);
    }
    f->fn = fn;
    f->arg = arg;
    f->next = NULL;
    f->context = make_fcontext(f, f->bytes, begin);
    made(f);
    if (++fs->out > fs->most)
        fs->most = fs->out;
    return f;
}

void fiber_switch(struct fibers *fs, struct fiber *to)
{
    CHI_ASSERT(to != fs->current);
    jump(fs, to, false);
}

void fiber_end(struct fibers *fs, struct fiber *to)
{
    CHI_ASSERT(fs->current != &fs->home && to != fs->current);
    jump(fs, to, true);
    CHI_ASSERT(!"it ended");
    __builtin_unreachable();
}

/* --- how deep they were used */

/* Where the lowest page between from and to that there is lies; to: there is none. */
static uint8_t *lowest_used(uint8_t *from, uint8_t *to, size_t page)
{
    enum { AT_ONCE = 4096 };
    unsigned char is_there[AT_ONCE];
    while (from < to) {
        size_t pages = (size_t)(to - from) / page;
        if (pages > AT_ONCE)
            pages = AT_ONCE;
        if (mincore(from, pages * page, is_there))
            return to;
        for (size_t i = 0; i < pages; i++, from += page)
            if (is_there[i] & 1)
                return from;
    }
    return to;
}

size_t fibers_deepest(const struct fibers *fs)
{
    size_t page = page_bytes(), deepest = 0;
    uint32_t used = __atomic_load_n(&fs->fresh, __ATOMIC_RELAXED); /* its thread may be taking more */
    for (uint32_t i = 0; i < used; i++) {
        uint8_t *bottom = fs->memory + i * fs->stack_bytes + page, *top = fs->memory + (i + 1) * fs->stack_bytes;
        deepest = (size_t)(top - lowest_used(bottom, top - deepest, page)); /* what is no deeper than another one is not looked at */
    }
    return deepest;
}
