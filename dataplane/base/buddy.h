/* buddy.h - buddy allocator over one arena, with its bookkeeping outside of it (Knowlton 1965).  PURE.
 * Thread: owning worker only.  Memory: the arena and buddy_bytes(arena size) of the caller's.  Blocks are powers of two
 * from BUDDY_MIN; get and put are O(log(arena/BUDDY_MIN)).  Nothing in the arena is read or written: whoever uses a
 * block may scribble over it without harm to others. */
#pragma once
#include "chi/base.h"

enum { BUDDY_MIN_SHIFT = 8, BUDDY_LEVELS = 40 };

struct buddy; /* lies in the caller's memory */

/* Bytes of bookkeeping for an arena; the arena's size is rounded down to a multiple of BUDDY_MIN. */
size_t buddy_bytes(uint64_t arena_bytes);
/* Pre: mem 64-byte aligned, arena page aligned. */
struct buddy *buddy_init(void *mem, void *arena, uint64_t arena_bytes);
/* A block of at least size bytes (size 0: one of the smallest), 64-byte aligned, or NULL. */
void *buddy_try_get(struct buddy *b, uint64_t size);
/* Pre: p came from buddy_try_get(size) and is out (asserted). */
void buddy_put(struct buddy *b, void *p, uint64_t size);
uint64_t buddy_free_bytes(const struct buddy *b);
/* The largest size that an empty arena can serve: what is above it can never succeed. */
uint64_t buddy_largest(const struct buddy *b);
