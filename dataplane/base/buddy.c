#include "buddy.h"

#include <string.h>

/* Block k is the arena's k-th piece of BUDDY_MIN bytes; a block of level v covers 2^v pieces and is named by its first,
 * which is a multiple of 2^v.  Nine bytes for each piece: two links of the free list and the state, which says
 * something for the first piece of a block only. */
enum {
    NIL = UINT32_MAX,
    STATE_INSIDE = 0,
    STATE_FREE = 0x40, /* | level */
    STATE_OUT = 0x80,  /* | level */
};

struct link {
    uint32_t prev, next; /* NIL at the ends */
};

struct buddy {
    uint8_t *arena;
    struct link *link;
    uint8_t *state;
    uint32_t blocks; /* at most NIL: names are 0..NIL-1 */
    uint32_t top;    /* highest level that an empty arena has */
    uint64_t free_blocks;
    uint64_t levels; /* bit v: head[v] is not empty */
    uint32_t head[BUDDY_LEVELS];
};

CHI_STATIC_ASSERT(BUDDY_LEVELS > 32, "names have 32 bits");

static uint32_t blocks_of(uint64_t arena_bytes)
{
    uint64_t blocks = arena_bytes >> BUDDY_MIN_SHIFT;
    return blocks < NIL ? (uint32_t)blocks : NIL;
}

static uint64_t round_up(uint64_t n)
{
    return (n + CHI_CACHE_LINE - 1) / CHI_CACHE_LINE * CHI_CACHE_LINE;
}

/* The lowest level whose blocks hold size bytes; may be above every level of an arena. */
static uint32_t level_of(uint64_t size)
{
    if (size <= UINT64_C(1) << BUDDY_MIN_SHIFT)
        return 0;
    return 64 - (uint32_t)__builtin_clzll((size - 1) >> BUDDY_MIN_SHIFT);
}

static void push(struct buddy *b, uint32_t block, uint32_t level)
{
    uint32_t next = b->head[level];
    b->link[block] = (struct link){NIL, next};
    if (next != NIL)
        b->link[next].prev = block;
    b->head[level] = block;
    b->levels |= UINT64_C(1) << level;
    b->state[block] = (uint8_t)(STATE_FREE | level);
}

static void unlink_block(struct buddy *b, uint32_t block, uint32_t level)
{
    struct link l = b->link[block];
    if (l.next != NIL)
        b->link[l.next].prev = l.prev;
    if (l.prev != NIL)
        b->link[l.prev].next = l.next;
    else {
        b->head[level] = l.next;
        if (l.next == NIL)
            b->levels &= ~(UINT64_C(1) << level);
    }
    b->state[block] = STATE_INSIDE;
}

size_t buddy_bytes(uint64_t arena_bytes)
{
    return round_up(sizeof(struct buddy)) + round_up(blocks_of(arena_bytes) * (uint64_t)(sizeof(struct link) + 1));
}

struct buddy *buddy_init(void *mem, void *arena, uint64_t arena_bytes)
{
    CHI_ASSERT((uintptr_t)mem % CHI_CACHE_LINE == 0 && (uintptr_t)arena % CHI_CACHE_LINE == 0);
    struct buddy *b = mem;
    b->arena = arena;
    b->blocks = blocks_of(arena_bytes);
    b->link = (struct link *)((uint8_t *)mem + round_up(sizeof *b));
    b->state = (uint8_t *)(b->link + b->blocks);
    b->free_blocks = b->blocks;
    b->levels = 0;
    b->top = 0;
    for (uint32_t i = 0; i < BUDDY_LEVELS; i++)
        b->head[i] = NIL;
    memset(b->state, STATE_INSIDE, b->blocks);

    /* The largest aligned blocks, from the front: their levels fall. */
    uint32_t at = 0;
    while (at < b->blocks) {
        uint32_t level = 31 - (uint32_t)__builtin_clz(b->blocks - at);
        if (level > b->top)
            b->top = level;
        push(b, at, level);
        at += UINT32_C(1) << level;
    }
    return b;
}

void *buddy_try_get(struct buddy *b, uint64_t size)
{
    uint32_t want = level_of(size);
    if (want >= BUDDY_LEVELS)
        return NULL;
    uint64_t fit = b->levels >> want;
    if (!fit)
        return NULL;
    uint32_t level = want + (uint32_t)__builtin_ctzll(fit);
    uint32_t block = b->head[level];
    unlink_block(b, block, level);
    while (level > want) { /* keep the lower half, free the upper one */
        level--;
        push(b, block + (UINT32_C(1) << level), level);
    }
    b->state[block] = (uint8_t)(STATE_OUT | want);
    b->free_blocks -= UINT64_C(1) << want;
    return b->arena + ((uint64_t)block << BUDDY_MIN_SHIFT);
}

void buddy_put(struct buddy *b, void *p, uint64_t size)
{
    uint64_t offset = (uintptr_t)p - (uintptr_t)b->arena;
    uint32_t level = level_of(size);
    CHI_ASSERT(offset >> BUDDY_MIN_SHIFT < b->blocks && offset % (1u << BUDDY_MIN_SHIFT) == 0);
    uint32_t block = (uint32_t)(offset >> BUDDY_MIN_SHIFT);
    CHI_ASSERT(level < BUDDY_LEVELS && b->state[block] == (STATE_OUT | level));
    b->state[block] = STATE_INSIDE;
    b->free_blocks += UINT64_C(1) << level;
    while (level < b->top) {
        /* A free buddy of this level lies in the arena as a whole, so no bound but its first piece is to be checked. */
        uint32_t other = block ^ UINT32_C(1) << level;
        if (other >= b->blocks || b->state[other] != (STATE_FREE | level))
            break;
        unlink_block(b, other, level);
        block &= other;
        level++;
    }
    push(b, block, level);
}

uint64_t buddy_free_bytes(const struct buddy *b)
{
    return b->free_blocks << BUDDY_MIN_SHIFT;
}

uint64_t buddy_largest(const struct buddy *b)
{
    return b->blocks ? UINT64_C(1) << (b->top + BUDDY_MIN_SHIFT) : 0;
}
