/* pool.h - fixed-size objects on caller's memory, last-in first-out.  PURE.
 * Thread: owning worker only.  Memory: pool_bytes(count, size) of the caller's, 64-byte aligned.
 * get and put are O(1). */
#pragma once
#include "chi/base.h"

struct pool {
    uint8_t *base;
    uint32_t *stack; /* free indices */
    uint32_t size;   /* object stride, a multiple of 64 */
    uint32_t count, free;
    uint64_t inverse; /* of the cache lines of an object: an index without a division */
};

size_t pool_bytes(uint32_t count, uint32_t size);
void pool_init(struct pool *p, void *mem, uint32_t count, uint32_t size);
/* An object with undefined contents, or NULL when empty. */
void *pool_try_get(struct pool *p);
/* Pre: obj came from this pool and is out (the first is asserted). */
void pool_put(struct pool *p, void *obj);
uint32_t pool_index(const struct pool *p, const void *obj);
void *pool_at(const struct pool *p, uint32_t index);
