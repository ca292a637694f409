#include "pool.h"

static uint64_t stride_of(uint32_t size)
{
    uint64_t stride = ((uint64_t)size + CHI_CACHE_LINE - 1) / CHI_CACHE_LINE * CHI_CACHE_LINE;
    CHI_ASSERT(stride <= UINT32_MAX);
    return stride ? stride : CHI_CACHE_LINE;
}

size_t pool_bytes(uint32_t count, uint32_t size)
{
    uint64_t stack = (uint64_t)count * sizeof(uint32_t);
    return count * stride_of(size) + (stack + CHI_CACHE_LINE - 1) / CHI_CACHE_LINE * CHI_CACHE_LINE;
}

void pool_init(struct pool *p, void *mem, uint32_t count, uint32_t size)
{
    CHI_ASSERT((uintptr_t)mem % CHI_CACHE_LINE == 0);
    uint64_t stride = stride_of(size);
    /* Up to here pool_index is exact. */
    CHI_ASSERT(count * (stride / CHI_CACHE_LINE) <= UINT32_MAX);
    p->inverse = UINT64_MAX / (stride / CHI_CACHE_LINE);
    p->base = mem;
    p->stack = (uint32_t *)(p->base + count * stride);
    p->size = (uint32_t)stride;
    p->count = p->free = count;
    for (uint32_t i = 0; i < count; i++)
        p->stack[i] = count - 1 - i; /* the first get takes object 0 */
}

void *pool_try_get(struct pool *p)
{
    if (CHI_UNLIKELY(p->free == 0))
        return NULL;
    return p->base + (size_t)p->stack[--p->free] * p->size;
}

void pool_put(struct pool *p, void *obj)
{
    uint32_t index = pool_index(p, obj);
    CHI_ASSERT(p->free < p->count);
    p->stack[p->free++] = index;
}

uint32_t pool_index(const struct pool *p, const void *obj)
{
    /* An address below base becomes a huge offset. */
    uint64_t lines = ((uintptr_t)obj - (uintptr_t)p->base) / CHI_CACHE_LINE;
    uint64_t index = (uint64_t)((unsigned __int128)(lines + 1) * p->inverse >> 64);
    CHI_ASSERT(index < p->count && p->base + index * p->size == (const uint8_t *)obj);
    return (uint32_t)index;
}

void *pool_at(const struct pool *p, uint32_t index)
{
    CHI_ASSERT(index < p->count);
    return p->base + (size_t)index * p->size;
}
