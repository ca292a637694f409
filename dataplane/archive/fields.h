/* fields.h - the rows of a field table: what is wrong with one, and how much memory it takes.  PURE. */
#pragma once
#include "chi/archive.h"

/* A table, and the struct that its rows lie in. */
struct table {
    const struct chi_field *rows;
    uint32_t n;
    uint32_t first, size; /* rows lie in [first, size) of the struct */
    uint32_t depth;       /* 0: a method's own */
};

static inline struct table table_of(const struct chi_method *m)
{
    return (struct table){m->fields, m->nfields, sizeof(struct chi_task), m->size, 0};
}
/* Pre: f is a struct, or a vector of them. */
static inline struct table table_inner(const struct table *t, const struct chi_field *f)
{
    return (struct table){f->items, f->nitems, 0, f->size, t->depth + 1};
}

/* Without what says that it is a vector. */
static inline unsigned row_element(const struct chi_field *f) { return f->type & ~(unsigned)CHI_T_VEC; }
static inline bool row_is_vec(const struct chi_field *f) { return f->type & CHI_T_VEC; }

/* Bytes of a scalar; 0: the type is none. */
unsigned scalar_width(unsigned type);

/* Memory of a row's member, from its offset on.  Pre: row_wrong passed, or only the place is wrong. */
uint64_t row_bytes(const struct chi_field *f);

/* What is wrong with row i, in a few words; NULL: nothing.  Of a struct's own rows it knows only how many there are. */
const char *row_wrong(const struct table *t, uint32_t i);

/* True when the table has a CHI_CUSTOM at any depth.  The forms of all other tables are never longer than their structs, and always of one
 * byte at least when there is a field. */
bool fields_custom(const struct chi_method *m);

/* m->run of a direction: see chi/task.h. */
uint64_t fields_run(const struct chi_method *m, unsigned dir);
