/* bulk.c - bulk memory of the segment.  The bookkeeping lies outside of it: nothing that a task writes harms it.
 * Regions come from the lower end and forms from the upper one, so that forms do not break up the large room. */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

enum { BULK_ALIGN = CHI_CACHE_LINE };

int bulk_init(struct chi_client *c)
{
    struct block *b = calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    b->offset = c->bulk_offset;
    b->size = c->bulk_bytes;
    c->first = c->last = b;
    return 0;
}

void bulk_fini(struct chi_client *c)
{
    for (struct block *b = c->first, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    c->first = c->last = NULL;
}

static struct block *first_fit(struct chi_client *c, uint64_t size, bool upper)
{
    struct block *b = upper ? c->last : c->first;
    while (b && (b->used || b->size < size))
        b = upper ? b->prev : b->next;
    return b;
}

/* Cuts b in two at `size` from its start; returns the second part, or NULL when there is no memory for its record. */
static struct block *split(struct chi_client *c, struct block *b, uint64_t size)
{
    struct block *rest = calloc(1, sizeof *rest);
    if (!rest)
        return NULL;
    rest->offset = b->offset + size;
    rest->size = b->size - size;
    rest->prev = b;
    rest->next = b->next;
    *(b->next ? &b->next->prev : &c->last) = rest;
    b->next = rest;
    b->size = size;
    return rest;
}

/* Joins b with the one after it. */
static void join_next(struct chi_client *c, struct block *b)
{
    struct block *gone = b->next;
    b->size += gone->size;
    b->next = gone->next;
    *(gone->next ? &gone->next->prev : &c->last) = b;
    free(gone);
}

struct block *bulk_try_take(struct chi_client *c, uint64_t size, bool upper)
{
    if (size > c->bulk_bytes)
        return NULL;
    size = size ? (size + BULK_ALIGN - 1) / BULK_ALIGN * BULK_ALIGN : BULK_ALIGN;
    struct block *b = first_fit(c, size, upper);
    if (!b)
        return NULL;
    if (b->size > size) {
        struct block *rest = split(c, b, upper ? b->size - size : size);
        if (!rest)
            return NULL;
        if (upper)
            b = rest;
    }
    b->used = true;
    return b;
}

void bulk_give(struct chi_client *c, struct block *b)
{
    b->used = false;
    if (b->next && !b->next->used)
        join_next(c, b);
    if (b->prev && !b->prev->used)
        join_next(c, b->prev);
}

void *chi_bulk_alloc(struct chi_client *c, uint64_t size)
{
    struct block *b = bulk_try_take(c, size, false);
    if (!b && area_reclaim(c))
        b = bulk_try_take(c, size, false);
    return b ? c->base + b->offset : NULL;
}

void chi_bulk_free(struct chi_client *c, void *p)
{
    if (!p)
        return;
    uint64_t offset = (uint64_t)((uintptr_t)p - (uintptr_t)c->base);
    struct block *b = c->first;
    while (b && b->offset != offset)
        b = b->next;
    CHI_ASSERT(b && b->used); /* chi_bulk_alloc gave p, and it is not free yet */
    bulk_give(c, b);
}
