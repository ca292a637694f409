#include "pool.h"

static uint64_t stride_of(uint32_t size)
{
    uint64_t stride = ((uint64_t)size + CHI_CACHE_LINE - 1) / CHI_CACHE_LINE * CHI_CACHE_LINE;
    return stride ? stride : CHI_CACHE_LINE;
}

size_t pool_bytes(uint32_t count, uint32_t size)
{
    uint64_t stack = (uint64_t)count * sizeof(void *);
    return count * stride_of(size) + (stack + CHI_CACHE_LINE - 1) / CHI_CACHE_LINE * CHI_CACHE_LINE;
}

void pool_init(struct pool *p, void *mem, uint32_t count, uint32_t size)
{
    CHI_ASSERT((uintptr_t)mem % CHI_CACHE_LINE == 0);
    p->size = stride_of(size);
    p->base = mem;
    p->bytes = count * p->size;
    p->stack = (void **)(p->base + p->bytes);
    p->count = p->free = count;
    for (uint32_t i = 0; i < count; i++)
        p->stack[i] = pool_at(p, count - 1 - i); /* the first get takes object 0 */
}

uint32_t pool_touched(const struct pool *p)
{
    uint32_t n = 0;
    while (n < p->free && p->stack[n] == p->base + (p->count - 1 - n) * p->size) /* as pool_init laid it, so it is free */
        n++;
    return p->count - n;
}

uint32_t pool_index(const struct pool *p, const void *obj)
{
    uint64_t at = (uintptr_t)obj - (uintptr_t)p->base;
    CHI_ASSERT(at < p->bytes && at % p->size == 0);
    return (uint32_t)(at / p->size);
}

void *pool_at(const struct pool *p, uint32_t index)
{
    CHI_ASSERT(index < p->count);
    return p->base + index * p->size;
}
