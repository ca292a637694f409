/* method.c - the schema hash of a method: FNV-1a, 32 bits (Fowler, Noll, Vo). */
#include "fields.h"

enum { FNV_BASIS = 0x811c9dc5u, FNV_PRIME = 0x01000193u };

static uint32_t mix_byte(uint32_t h, uint8_t b) { return (h ^ b) * FNV_PRIME; }

static uint32_t mix_number(uint32_t h, uint32_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        h = mix_byte(h, (uint8_t)(v >> 8 * i));
    return h;
}

/* The NUL is part of it, so that two names never run together. */
static uint32_t mix_name(uint32_t h, const char *s)
{
    uint8_t c;
    do {
        c = s ? (uint8_t)*s++ : 0;
        h = mix_byte(h, c);
    } while (c);
    return h;
}

/* A table that is nested too deep, or has too many rows, is refused elsewhere: here it only must come to an end. */
static uint32_t mix_rows(uint32_t h, const struct chi_field *f, uint32_t n, uint32_t depth, uint32_t *left)
{
    for (; n > 0 && *left > 0; n--, f++) {
        --*left;
        h = mix_name(h, f->name);
        h = mix_number(h, f->type, 1);
        h = mix_number(h, f->dir, 1);
        h = mix_number(h, f->count, 4);
        if (f->type == CHI_T_CUSTOM)
            h = mix_name(h, f->custom_name);
        if (row_element(f) != CHI_T_STRUCT || depth == CHI_NEST_MAX)
            continue;
        h = mix_number(h, f->nitems, 2);
        h = mix_rows(h, f->items, f->items ? f->nitems : 0, depth + 1, left);
    }
    return h;
}

/* Once for each method.  Apart, so that the calls after the first one do not pay for it. */
__attribute__((noinline)) static uint32_t compute(struct chi_method *m)
{
    uint32_t h = mix_number(FNV_BASIS, m->id, 2), left = CHI_ROWS_MAX;
    if (m->serialize_in || m->serialize_out)
        h = mix_name(h, m->name);
    h = mix_rows(h, m->fields, m->nfields, 0, &left);
    h = h ? h : 1;
    __atomic_store_n(&m->run[0], fields_run(m, CHI_DIR_IN), __ATOMIC_RELAXED);
    __atomic_store_n(&m->run[1], fields_run(m, CHI_DIR_OUT), __ATOMIC_RELAXED);
    __atomic_store_n(&m->hash, h, __ATOMIC_RELAXED);
    return h;
}

uint32_t chi_method_hash(struct chi_method *m)
{
    /* Relaxed: whoever computes them gets the same values, and each is used alone. */
    uint32_t h = __atomic_load_n(&m->hash, __ATOMIC_RELAXED);
    return CHI_LIKELY(h) ? h : compute(m);
}
