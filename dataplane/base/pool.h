/* pool.h - fixed-size objects on caller's memory, last-in first-out.  PURE.
 * Thread: owning worker only.  Memory: pool_bytes(count, size) of the caller's, 64-byte aligned.
 * get and put are O(1). */
#pragma once
#include "chi/base.h"

struct pool {
    uint8_t *base;
    void **stack;         /* the free objects */
    uint64_t bytes, size; /* of all objects; object stride, a multiple of 64 */
    uint32_t count, free;
};

size_t pool_bytes(uint32_t count, uint32_t size);
void pool_init(struct pool *p, void *mem, uint32_t count, uint32_t size);
/* An object with undefined contents, or NULL when empty. */
static inline void *pool_try_get(struct pool *p)
{
    if (CHI_UNLIKELY(p->free == 0))
        return NULL;
    return p->stack[--p->free];
}
/* Pre: obj came from this pool and is out.  Asserted: it is a cache line of the pool's, and the pool is not full. */
static inline void pool_put(struct pool *p, void *obj)
{
    uint64_t at = (uintptr_t)obj - (uintptr_t)p->base; /* an address below base becomes a huge offset */
    CHI_ASSERT(at < p->bytes && at % CHI_CACHE_LINE == 0 && p->free < p->count);
    p->stack[p->free++] = obj;
}
/* Objects from here on are free: they have not been out since a start where all were; a few more may be. */
uint32_t pool_touched(const struct pool *p);
uint32_t pool_index(const struct pool *p, const void *obj);
void *pool_at(const struct pool *p, uint32_t index);
