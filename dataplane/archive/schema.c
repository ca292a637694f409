/* schema.c - a method's field table as text. */
#include "fields.h"
#include "text.h"

static const char *const scalar_names[] = {
#define NAME_ENTRY(name, width) [CHI_T_##name] = #name,
    CHI_SCALAR_LIST(NAME_ENTRY)
#undef NAME_ENTRY
};

static void put(struct text_out *t, const char *s)
{
    for (; *s; s++)
        put_char(t, *s);
}

static void put_scalar(struct text_out *t, unsigned type)
{
    for (const char *s = scalar_names[type]; *s; s++)
        put_char(t, *s >= 'A' && *s <= 'Z' ? (char)(*s - 'A' + 'a') : *s);
}

static void put_count(struct text_out *t, const char *before, uint32_t n, const char *after)
{
    put(t, before);
    put_number(t, n, 10);
    put(t, after);
}

static void put_rows(struct text_out *t, const struct chi_field *f, uint32_t n);

static void put_struct(struct text_out *t, const struct chi_field *f)
{
    put(t, " {");
    put_rows(t, f->items, f->nitems);
    put(t, "}");
}

static void put_type(struct text_out *t, const struct chi_field *f)
{
    if (row_is_vec(f)) {
        put_count(t, "vec<", f->count, ">");
        if (row_element(f) == CHI_T_STRUCT)
            put_struct(t, f);
        else
            put(t, " "), put_scalar(t, row_element(f));
        return;
    }
    switch (f->type) {
    case CHI_T_STR:
        put_count(t, "str<", f->count, ">");
        break;
    case CHI_T_BYTES:
        put_count(t, "bytes<", f->count, ">");
        break;
    case CHI_T_BULK:
        put(t, "bulk");
        put(t, f->dir & CHI_STREAM ? " stream" : "");
        put(t, f->dir & CHI_SLICED ? " sliced" : "");
        break;
    case CHI_T_STRUCT:
        put(t, "struct");
        put_struct(t, f);
        break;
    case CHI_T_CUSTOM:
        put_count(t, "custom<", f->count, "> ");
        put(t, f->custom_name);
        break;
    default:
        put_scalar(t, f->type);
        if (f->count != 1)
            put_count(t, "[", f->count, "]");
    }
}

/* Puts the field at *f, and moves *f to its last row. */
static void put_field(struct text_out *t, const struct chi_field **f)
{
    const struct chi_field *optional = (*f)->type == CHI_T_OPTIONAL ? (*f)++ : NULL;
    put(t, (*f)->name);
    put(t, " ");
    put_type(t, *f);
    if (optional) {
        put(t, " if ");
        put(t, optional->name);
    }
}

static void put_rows(struct text_out *t, const struct chi_field *f, uint32_t n)
{
    const struct chi_field *end = f + n;
    for (const char *gap = ""; f < end; f++, gap = "; ") {
        put(t, gap);
        put_field(t, &f);
    }
}

size_t chi_schema_print(const struct chi_method *m, char *out, size_t cap)
{
    static const char *const dirs[] = {[CHI_DIR_IN] = "in ", [CHI_DIR_OUT] = "out ", [CHI_DIR_INOUT] = "inout "};
    struct text_out t = {out, cap, 0};
    if (m->serialize_in)
        put(&t, "in: by the method's own function\n");
    if (m->serialize_out)
        put(&t, "out: by the method's own function\n");
    for (const struct chi_field *f = m->fields, *end = m->nfields ? f + m->nfields : f; f < end; f++) {
        put(&t, dirs[f->dir & CHI_DIR_INOUT]);
        put_field(&t, &f);
        put_char(&t, '\n');
    }
    return text_end(&t);
}
