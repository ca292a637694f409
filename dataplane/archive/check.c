/* check.c - what is wrong with a method and its field table. */
#include "fields.h"

static const uint8_t widths[] = {
#define WIDTH_ENTRY(name, width) [CHI_T_##name] = width,
    CHI_SCALAR_LIST(WIDTH_ENTRY)
#undef WIDTH_ENTRY
};

unsigned scalar_width(unsigned type) { return type < sizeof widths ? widths[type] : 0; }

uint64_t row_bytes(const struct chi_field *f)
{
    if (row_is_vec(f))
        return f->data - f->offset + (uint64_t)f->count * f->size;
    switch (f->type) {
    case CHI_T_STR:
    case CHI_T_BYTES:
        return sizeof(uint32_t) + (uint64_t)f->count;
    case CHI_T_BULK:
        return sizeof(struct chi_bulk);
    case CHI_T_STRUCT:
    case CHI_T_CUSTOM:
        return f->size;
    case CHI_T_OPTIONAL:
        return sizeof(bool);
    default:
        return (uint64_t)f->count * scalar_width(f->type);
    }
}

static const char *dir_wrong(const struct table *t, const struct chi_field *f)
{
    if (t->depth)
        return f->dir ? "a row of a struct has no direction of its own" : NULL;
    unsigned dir = f->dir & ~(unsigned)(CHI_STREAM | CHI_SLICED);
    if (dir < CHI_DIR_IN || dir > CHI_DIR_INOUT)
        return "no direction";
    if ((f->dir & CHI_STREAM) && (f->type != CHI_T_BULK || !(dir & CHI_DIR_IN)))
        return "only a bulk region that comes in can stream";
    if ((f->dir & CHI_SLICED) && f->type != CHI_T_BULK)
        return "only a bulk region can be sliced";
    return NULL;
}

static const char *struct_wrong(const struct table *t, const struct chi_field *f)
{
    if (!f->items || f->nitems == 0 || f->nitems > CHI_FIELDS_MAX)
        return "a struct without a table, or with too many rows in it";
    if (f->size == 0)
        return "a struct of no bytes";
    return t->depth < CHI_NEST_MAX ? NULL : "structs nested too deep";
}

static const char *vec_wrong(const struct table *t, const struct chi_field *f)
{
    unsigned element = row_element(f);
    if (element == CHI_T_STRUCT) {
        const char *why = struct_wrong(t, f);
        if (why)
            return why;
    } else if (scalar_width(element) == 0 || scalar_width(element) != f->size)
        return "a vector of an unknown type";
    return f->data < f->offset || f->data - f->offset < sizeof(uint32_t) ? "a vector whose elements lie in its length" : NULL;
}

/* The row behind is what it is about. */
static const char *optional_wrong(const struct table *t, uint32_t i)
{
    const struct chi_field *f = &t->rows[i], *next = f + 1;
    if (i + 1 >= t->n || next->type == CHI_T_OPTIONAL)
        return "nothing that is optional";
    if (next->type == CHI_T_BULK)
        return "a bulk region is never optional";
    return next->dir != f->dir ? "it has another direction than what is optional" : NULL;
}

static const char *type_wrong(const struct table *t, uint32_t i)
{
    const struct chi_field *f = &t->rows[i];
    if (row_is_vec(f))
        return vec_wrong(t, f);
    switch (f->type) {
    case CHI_T_STR:
    case CHI_T_BYTES:
        return NULL;
    case CHI_T_BULK:
        return t->depth ? "a bulk region inside a struct" : f->count != 1 ? "more than one bulk region" : NULL;
    case CHI_T_STRUCT:
        return f->count != 1 ? "more than one struct" : struct_wrong(t, f);
    case CHI_T_OPTIONAL:
        return f->count != 1 ? "more than one bool" : optional_wrong(t, i);
    case CHI_T_CUSTOM:
        return !f->custom || !f->custom_name  ? "no function"
               : f->count > CHI_FORM_BYTES_MAX ? "a form that is too long"
               : f->size == 0                  ? "a member of no bytes"
                                               : NULL;
    default:
        return scalar_width(f->type) ? NULL : "an unknown type";
    }
}

static unsigned row_alignment(const struct chi_field *f)
{
    if (f->type == CHI_T_BULK)
        return _Alignof(struct chi_bulk);
    return row_is_vec(f) || f->type == CHI_T_STR || f->type == CHI_T_BYTES ? _Alignof(uint32_t) : 1;
}

const char *row_wrong(const struct table *t, uint32_t i)
{
    const struct chi_field *f = &t->rows[i];
    const char *why = dir_wrong(t, f);
    if (!why && f->count == 0)
        why = "a capacity of 0";
    if (!why)
        why = type_wrong(t, i);
    if (why)
        return why;
    if (f->offset % row_alignment(f))
        return "an offset that is not aligned";
    if (f->offset < t->first)
        return "it lies in the head that all tasks share";
    return chi_span_ok(f->offset, row_bytes(f), t->size) ? NULL : "it lies beyond the end of its struct";
}

/* What a person can read. */
static bool name_ok(const char *s)
{
    if (!s || !*s)
        return false;
    while (*s >= ' ' && *s < 127)
        s++;
    return !*s;
}

/* Goes into the tables of structs too; *left: rows that there may still be. */
static const char *table_wrong(const struct table *t, uint32_t *left, const char **field_out)
{
    for (uint32_t i = 0; i < t->n; i++) {
        const struct chi_field *f = &t->rows[i];
        const char *why = name_ok(f->name) ? row_wrong(t, i) : "no name, or one that cannot be read";
        *field_out = name_ok(f->name) ? f->name : "?";
        if (!why && (*left)-- == 0)
            why = "too many rows in all";
        if (!why && row_element(f) == CHI_T_STRUCT) {
            struct table inner = table_inner(t, f);
            why = table_wrong(&inner, left, field_out);
        }
        if (why)
            return why;
    }
    return NULL;
}

static const char *method_wrong(const struct chi_method *m)
{
    if (!name_ok(m->name))
        return "a method without a name";
    if (m->size < sizeof(struct chi_task) || m->size > CHI_TASK_BYTES_MAX)
        return "a method struct of impossible size";
    if (m->nfields > CHI_FIELDS_MAX || (m->nfields && !m->fields))
        return "a bad field table";
    if (!m->fields && (!m->serialize_in || !m->serialize_out))
        return "a method with neither fields nor functions";
    uint32_t regions = 0;
    for (uint32_t i = 0; i < m->nfields; i++)
        regions += m->fields[i].type == CHI_T_BULK;
    return regions > CHI_REGIONS_MAX ? "more bulk regions than a task may have" : NULL;
}

const char *chi_method_wrong(const struct chi_method *m, const char **field_out)
{
    const char *why = method_wrong(m);
    *field_out = NULL;
    if (why)
        return why;
    struct table t = table_of(m);
    uint32_t left = CHI_ROWS_MAX;
    why = table_wrong(&t, &left, field_out);
    if (!why)
        *field_out = NULL;
    return why;
}

/* Says yes of a table that is nested too deep: then nothing is believed of its length. */
static bool table_custom(const struct chi_field *rows, uint32_t n, uint32_t depth)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct chi_field *f = &rows[i];
        if (f->type == CHI_T_CUSTOM)
            return true;
        if (row_element(f) == CHI_T_STRUCT && (depth == CHI_NEST_MAX || table_custom(f->items, f->nitems, depth + 1)))
            return true;
    }
    return false;
}

bool fields_custom(const struct chi_method *m) { return table_custom(m->fields, m->nfields, 0); }
