/* mem.c - memory of packets, by powers of two, used again last in, first out: a general allocator takes several times as long for more
 * than a KiB.  With the address sanitizer each is its own, and not a byte longer than asked for. */
#include <stdlib.h>

#include "sim.h"

#if defined(__SANITIZE_ADDRESS__)
#define EXACT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EXACT 1
#endif
#endif

#ifdef EXACT

void *mem_get(uint64_t n)
{
    void *p = malloc(n);
    if (!p)
        abort();
    return p;
}

void mem_put(void *p) { free(p); }

#else

struct head {
    _Alignas(CHI_CACHE_LINE) struct head *next; /* free ones of its size */
    unsigned order;
};
static struct head *free_of[64];

void *mem_get(uint64_t n)
{
    unsigned order = n <= CHI_CACHE_LINE ? 6 : 64 - (unsigned)__builtin_clzll(n - 1);
    struct head *h = free_of[order];
    if (h) {
        free_of[order] = h->next;
    } else {
        h = aligned_alloc(CHI_CACHE_LINE, sizeof *h + ((size_t)1 << order));
        if (!h)
            abort();
        h->order = order;
    }
    return h + 1;
}

void mem_put(void *p)
{
    if (!p)
        return;
    struct head *h = (struct head *)p - 1;
    h->next = free_of[h->order];
    free_of[h->order] = h;
}

#endif
