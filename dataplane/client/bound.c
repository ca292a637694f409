/* bound.c - the largest form and answer of a method.  No sum here comes near 64 bits: what a struct's table adds up to is at most
 * CHI_FORM_BYTES_MAX, from which on nothing more is added.  A table that is wrong the archive refuses. */
#include "internal.h"

static uint64_t field_bytes(const struct chi_field *f, unsigned depth);

/* Of one struct.  A table that nests itself ends here: it is as large as anything. */
static uint64_t struct_bytes(const struct chi_field *f, unsigned depth)
{
    uint64_t bytes = depth < CHI_NEST_MAX && f->items && f->nitems ? 0 : CHI_FORM_BYTES_MAX;
    for (unsigned i = 0; bytes < CHI_FORM_BYTES_MAX && i < f->nitems; i++)
        bytes += field_bytes(&f->items[i], depth + 1);
    return bytes < CHI_FORM_BYTES_MAX ? bytes : CHI_FORM_BYTES_MAX;
}

static uint64_t field_bytes(const struct chi_field *f, unsigned depth)
{
    switch (f->type) {
#define SCALAR_CASE(name, width)                                                                                       \
    case CHI_T_##name:                                                                                                 \
        return (uint64_t)f->count * width;
        CHI_SCALAR_LIST(SCALAR_CASE)
#undef SCALAR_CASE
    case CHI_T_STR:
    case CHI_T_BYTES:
        return sizeof(uint32_t) + (uint64_t)f->count;
    case CHI_T_STRUCT:
        return struct_bytes(f, depth);
    case CHI_T_VEC | CHI_T_STRUCT:
        return sizeof(uint32_t) + f->count * struct_bytes(f, depth);
    case CHI_T_OPTIONAL: /* what is optional comes behind it */
        return 1;
    case CHI_T_CUSTOM:
        return f->count;
    default:
        return f->type & CHI_T_VEC ? sizeof(uint32_t) + (uint64_t)f->count * f->size : 0;
    }
}

/* A method without a table, or whose table is missing (the archive then refuses it). */
static const struct chi_field *table_end(const struct chi_method *m)
{
    return m->fields ? m->fields + m->nfields : NULL;
}

static uint32_t clamp(uint64_t bytes) { return bytes < CHI_FORM_BYTES_MAX ? (uint32_t)bytes : CHI_FORM_BYTES_MAX; }

uint32_t bound_in(const struct chi_method *m)
{
    if (m->serialize_in)
        return BOUND_BY_HAND;
    uint64_t bytes = FORM_HEAD_BYTES;
    for (const struct chi_field *f = m->fields, *end = table_end(m); f < end; f++) {
        if (f->type == CHI_T_BULK)
            bytes += FORM_REGION_BYTES;
        else if (f->dir & CHI_DIR_IN)
            bytes += field_bytes(f, 0);
    }
    return clamp(bytes);
}

uint32_t bound_out(const struct chi_method *m)
{
    if (m->serialize_out)
        return BOUND_BY_HAND;
    uint64_t bytes = 0;
    for (const struct chi_field *f = m->fields, *end = table_end(m); f < end; f++)
        if (f->dir & CHI_DIR_OUT)
            bytes += f->type == CHI_T_BULK ? sizeof(uint64_t) : field_bytes(f, 0);
    return clamp(bytes);
}

uint32_t bound_many(uint32_t out, uint32_t replicas) { return clamp(out + 2 * (uint64_t)replicas); }
