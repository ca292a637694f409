/* method.c - the schema hash of a method: FNV-1a, 32 bits (Fowler, Noll, Vo). */
#include "scalar.h"

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

uint32_t chi_method_hash(struct chi_method *m)
{
    /* Relaxed: whoever computes them gets the same values, and each is used alone. */
    uint32_t h = __atomic_load_n(&m->hash, __ATOMIC_RELAXED);
    if (CHI_LIKELY(h))
        return h;
    h = mix_number(FNV_BASIS, m->id, 2);
    if (m->serialize_in || m->serialize_out)
        h = mix_name(h, m->name);
    for (uint32_t i = 0; i < m->nfields; i++) {
        const struct chi_field *f = &m->fields[i];
        h = mix_name(h, f->name);
        h = mix_number(h, f->type, 1);
        h = mix_number(h, f->dir, 1);
        h = mix_number(h, f->count, 4);
    }
    h = h ? h : 1;
    __atomic_store_n(&m->run[0], fields_run(m, CHI_DIR_IN), __ATOMIC_RELAXED);
    __atomic_store_n(&m->run[1], fields_run(m, CHI_DIR_OUT), __ATOMIC_RELAXED);
    __atomic_store_n(&m->hash, h, __ATOMIC_RELAXED);
    return h;
}
