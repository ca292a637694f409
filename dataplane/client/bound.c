/* bound.c - the largest form and answer of a method.  A struct has at most CHI_TASK_BYTES_MAX bytes, and a table at
 * most CHI_FIELDS_MAX fields, so that no sum here comes near 32 bits unless the table is wrong; then the archive
 * refuses it. */
#include "internal.h"

static uint64_t field_bytes(const struct chi_field *f)
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
    default:
        return 0;
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
            bytes += field_bytes(f);
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
            bytes += f->type == CHI_T_BULK ? sizeof(uint64_t) : field_bytes(f);
    return clamp(bytes);
}

uint32_t bound_many(uint32_t out, uint32_t replicas) { return clamp(out + 2 * (uint64_t)replicas); }
