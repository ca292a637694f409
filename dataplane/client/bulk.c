/* bulk.c - bulk memory of the segment.  The bookkeeping lies outside of it: nothing that a task writes harms it.
 * Regions come from the lower end and forms from the upper one, so that forms do not break up the large room.
 * Blocks lie in a list by offset, and in a tree by offset that knows the largest free one below each: a treap (Seidel and Aragon 1996),
 * with a rank that follows from the offset. */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"

enum { BULK_ALIGN = CHI_CACHE_LINE };

/* --- the tree */

/* Mixed: by one multiplication the ranks of buffers of some sizes would rise and fall slowly, and the tree be deep. */
static uint64_t rank_of(const struct block *b)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = b->offset * odd;
    return (x ^ x >> 32) * odd;
}

static uint64_t best_of(const struct block *b) { return b ? b->best : 0; }

static void look(struct block *b)
{
    uint64_t below = best_of(b->left), above = best_of(b->right), own = b->used ? 0 : b->size;
    b->best = below > above ? below : above;
    b->best = own > b->best ? own : b->best;
}

/* Parts a tree into the blocks before an offset, and the others. */
static void part(struct block *t, uint64_t offset, struct block **before, struct block **rest)
{
    if (!t) {
        *before = *rest = NULL;
        return;
    }
    if (t->offset < offset) {
        part(t->right, offset, &t->right, rest);
        *before = t;
    } else {
        part(t->left, offset, before, &t->left);
        *rest = t;
    }
    look(t);
}

/* Pre: the blocks of a lie before those of b. */
static struct block *joined(struct block *a, struct block *b)
{
    if (!a || !b)
        return a ? a : b;
    struct block *top = rank_of(a) > rank_of(b) ? a : b;
    if (top == a)
        a->right = joined(a->right, b);
    else
        b->left = joined(a, b->left);
    look(top);
    return top;
}

static void tree_put(struct chi_client *c, struct block *b)
{
    struct block *before, *rest;
    part(c->tree, b->offset, &before, &rest);
    b->left = b->right = NULL;
    look(b);
    c->tree = joined(joined(before, b), rest);
}

static void tree_take(struct chi_client *c, struct block *b)
{
    struct block *before, *own, *rest;
    part(c->tree, b->offset, &before, &rest);
    part(rest, b->offset + 1, &own, &rest);
    c->tree = joined(before, rest);
}

/* The block at that offset changed. */
static void tree_look(struct block *t, uint64_t offset)
{
    if (t->offset != offset)
        tree_look(offset < t->offset ? t->left : t->right, offset);
    look(t);
}

static struct block *first_fit(const struct chi_client *c, uint64_t size, bool upper)
{
    struct block *b = c->tree;
    if (best_of(b) < size)
        return NULL;
    for (;;) {
        struct block *sooner = upper ? b->right : b->left;
        if (best_of(sooner) >= size)
            b = sooner;
        else if (!b->used && b->size >= size)
            return b;
        else
            b = upper ? b->left : b->right;
    }
}

static struct block *find(const struct chi_client *c, uint64_t offset)
{
    struct block *b = c->tree;
    while (b && b->offset != offset)
        b = offset < b->offset ? b->left : b->right;
    return b;
}

/* --- blocks */

int bulk_init(struct chi_client *c)
{
    struct block *b = calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    b->offset = c->bulk_offset;
    b->size = c->bulk_bytes;
    c->first = b;
    tree_put(c, b);
    return 0;
}

void bulk_fini(struct chi_client *c)
{
    for (struct block *b = c->first, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    c->first = c->tree = NULL;
}

/* Cuts b in two at `size` from its start; returns the second part, or NULL when there is no memory for its record. */
static struct block *split(struct block *b, uint64_t size)
{
    struct block *rest = calloc(1, sizeof *rest);
    if (!rest)
        return NULL;
    rest->offset = b->offset + size;
    rest->size = b->size - size;
    rest->prev = b;
    rest->next = b->next;
    if (b->next)
        b->next->prev = rest;
    b->next = rest;
    b->size = size;
    return rest;
}

/* Joins b with the one after it. */
static void join_next(struct chi_client *c, struct block *b)
{
    struct block *gone = b->next;
    tree_take(c, gone);
    b->size += gone->size;
    b->next = gone->next;
    if (gone->next)
        gone->next->prev = b;
    free(gone);
}

struct block *bulk_try_take(struct chi_client *c, uint64_t size, bool upper)
{
    if (size > c->bulk_bytes)
        return NULL;
    size = size ? (size + BULK_ALIGN - 1) / BULK_ALIGN * BULK_ALIGN : BULK_ALIGN;
    struct block *b = first_fit(c, size, upper), *rest = NULL;
    if (!b)
        return NULL;
    if (b->size > size) {
        rest = split(b, upper ? b->size - size : size);
        if (!rest)
            return NULL;
    }
    struct block *taken = rest && upper ? rest : b;
    taken->used = true;
    tree_look(c->tree, b->offset);
    if (rest)
        tree_put(c, rest);
    return taken;
}

void bulk_give(struct chi_client *c, struct block *b)
{
    b->used = false;
    if (b->next && !b->next->used)
        join_next(c, b);
    if (b->prev && !b->prev->used) {
        b = b->prev;
        join_next(c, b);
    }
    tree_look(c->tree, b->offset);
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
    struct block *b = find(c, (uint64_t)((uintptr_t)p - (uintptr_t)c->base));
    CHI_ASSERT(b && b->used); /* chi_bulk_alloc gave p, and it is not free yet */
    bulk_give(c, b);
}
