/* fields.c - runs a method's field table, or its own functions, over a task.  A table that names memory outside of the
 * method's struct, or the head that all tasks share, is refused with INVALID before a byte there is touched. */
#include "fields.h"

#include "flat.h"

static void walk_table(struct chi_archive *ar, const struct table *t, uint8_t *base, unsigned wanted);

static void walk_bulk(struct chi_archive *ar, const struct chi_field *f, uint8_t *base, bool in)
{
    struct chi_bulk *b = (struct chi_bulk *)(base + f->offset);
    if (!in) {
        if (f->dir & CHI_DIR_OUT)
            chi_ar_bulk(ar, &b->ptr, &b->used, CHI_WRITE);
        return;
    }
    unsigned write = f->dir & CHI_DIR_IN ? CHI_WRITE : 0, expose = f->dir & CHI_DIR_OUT ? CHI_EXPOSE : 0;
    chi_ar_bulk(ar, &b->ptr, &b->size, write | expose | (f->dir & (CHI_STREAM | CHI_SLICED)));
    b->used = 0; /* also at the origin: a task that fails shows no length of an earlier one */
}

/* n structs behind each other. */
static void walk_structs(struct chi_archive *ar, const struct table *t, const struct chi_field *f, uint8_t *p, uint32_t n)
{
    struct table inner = table_inner(t, f);
    for (; n > 0 && ar->status == CHI_STATUS_OK; n--, p += f->size)
        walk_table(ar, &inner, p, 0);
}

static void walk_scalars(struct chi_archive *ar, unsigned type, uint8_t *p, uint64_t n)
{
    if (type == CHI_T_BOOL)
        ar_bools(ar, p, n);
    else
        ar_scalars(ar, p, n, scalar_width(type));
}

/* A length, then so many elements.  A table may say what it likes of alignment: the length is copied. */
static void walk_vec(struct chi_archive *ar, const struct table *t, const struct chi_field *f, uint8_t *base)
{
    bool reading = chi_ar_reading(ar);
    uint32_t n = 0;
    if (!reading)
        memcpy(&n, base + f->offset, sizeof n);
    if (n > f->count) {
        ar_fail(ar, CHI_STATUS_INVALID);
        return;
    }
    ar_scalars(ar, &n, 1, sizeof n);
    if (n > f->count) {
        ar_fail(ar, CHI_STATUS_ARCHIVE);
        return;
    }
    if (row_element(f) == CHI_T_STRUCT)
        walk_structs(ar, t, f, base + f->data, n);
    else
        walk_scalars(ar, row_element(f), base + f->data, n);
    if (reading && ar->status == CHI_STATUS_OK)
        memcpy(base + f->offset, &n, sizeof n);
}

/* STR and BYTES. */
static void walk_bytes(struct chi_archive *ar, const struct chi_field *f, uint8_t *base)
{
    uint8_t *v = base + f->offset;
    uint32_t n;
    memcpy(&n, v, sizeof n);
    chi_ar_bytes(ar, &n, v + sizeof n, f->count);
    if (chi_ar_reading(ar))
        memcpy(v, &n, sizeof n);
}

/* The function gets an archive that ends where its form must. */
static void walk_custom(struct chi_archive *ar, const struct chi_field *f, uint8_t *base)
{
    const size_t cap = ar->cap;
    const uint32_t next_region = ar->next_region;
    bool whole = cap - ar->pos >= f->count;
    if (whole)
        ar->cap = ar->pos + f->count;
    ar->next_region = CHI_NO_BULK;
    f->custom(ar, base + f->offset);
    ar->next_region = next_region;
    ar->cap = cap;
    if (whole && ar->status == CHI_STATUS_TOO_BIG)
        ar->status = CHI_STATUS_INVALID; /* it promised less */
}

static void walk_row(struct chi_archive *ar, const struct table *t, const struct chi_field *f, uint8_t *base)
{
    if (row_is_vec(f))
        walk_vec(ar, t, f, base);
    else if (f->type == CHI_T_STR || f->type == CHI_T_BYTES)
        walk_bytes(ar, f, base);
    else if (f->type == CHI_T_STRUCT)
        walk_structs(ar, t, f, base + f->offset, 1);
    else if (f->type == CHI_T_CUSTOM)
        walk_custom(ar, f, base);
    else if (f->type == CHI_T_OPTIONAL)
        ar_bools(ar, base + f->offset, 1);
    else
        walk_scalars(ar, f->type, base + f->offset, f->count);
}

/* After row i: is the next one left out? */
static bool absent(struct chi_archive *ar, const struct table *t, uint32_t i, uint8_t *base)
{
    const struct chi_field *f = &t->rows[i];
    if (f->type != CHI_T_OPTIONAL || ar->status != CHI_STATUS_OK || base[f->offset])
        return false;
    if (row_wrong(t, i + 1))
        ar_fail(ar, CHI_STATUS_INVALID);
    else if (chi_ar_reading(ar))
        memset(base + f[1].offset, 0, row_bytes(&f[1]));
    return true;
}

/* wanted: directions, of a method's own table. */
static void walk_table(struct chi_archive *ar, const struct table *t, uint8_t *base, unsigned wanted)
{
    for (uint32_t i = 0; i < t->n && ar->status == CHI_STATUS_OK; i++) { /* without fields there may be no table */
        const struct chi_field *f = &t->rows[i];
        if (t->depth == 0 && f->type != CHI_T_BULK && !(f->dir & wanted))
            continue;
        if (CHI_UNLIKELY(row_wrong(t, i)))
            ar_fail(ar, CHI_STATUS_INVALID);
        else if (f->type == CHI_T_BULK)
            walk_bulk(ar, f, base, wanted == CHI_DIR_IN);
        else
            walk_row(ar, t, f, base);
        i += absent(ar, t, i, base);
    }
}

static void walk_fields(struct chi_archive *ar, const struct chi_method *m, uint8_t *base, bool in)
{
    if (m->size < sizeof(struct chi_task) || m->size > CHI_TASK_BYTES_MAX || m->nfields > CHI_FIELDS_MAX ||
        (m->nfields && !m->fields)) {
        ar_fail(ar, CHI_STATUS_INVALID);
        return;
    }
    struct table t = table_of(m);
    walk_table(ar, &t, base, in ? CHI_DIR_IN : CHI_DIR_OUT);
}

struct run {
    uint64_t offset, bytes;
};

/* Adds the rows of a direction, which lie in the struct at `at` of the task; dir 0: all.  False: they are no run. */
static bool run_add(struct run *r, const struct table *t, uint64_t at, unsigned dir)
{
    for (uint32_t i = 0; i < t->n; i++) {
        const struct chi_field *f = &t->rows[i];
        unsigned width = f->type == CHI_T_BOOL ? 0 : scalar_width(f->type);
        if (f->type == CHI_T_BULK)
            return false;
        if (dir && !(f->dir & dir))
            continue;
        if (row_wrong(t, i))
            return false;
        if (f->type == CHI_T_STRUCT) {
            struct table inner = table_inner(t, f);
            if (!run_add(r, &inner, at + f->offset, 0))
                return false;
            continue;
        }
        if (!width || (r->bytes && at + f->offset != r->offset + r->bytes))
            return false;
        r->offset = r->bytes ? r->offset : at + f->offset;
        r->bytes += (uint64_t)f->count * width;
    }
    return true;
}

uint64_t fields_run(const struct chi_method *m, unsigned dir)
{
    struct run r = {0, 0};
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || m->serialize_in || m->serialize_out || m->size > CHI_TASK_BYTES_MAX || m->nfields > CHI_FIELDS_MAX)
        return 0;
    struct table t = table_of(m);
    return run_add(&r, &t, 0, dir) && r.bytes ? r.offset << 32 | r.bytes : 0;
}

/* Field by field, or by hand.  Apart, so that the usual way of small tasks does not pay for it. */
__attribute__((noinline)) static enum chi_status walk_task(struct chi_archive *ar, struct chi_method *m, struct chi_task *task, bool in)
{
    /* A region that a serialiser does not mention goes back empty. */
    if (ar->kind == CHI_AR_OUTPUT_OUT)
        for (uint32_t i = 0; i < ar->nregions; i++)
            ar->regions[i].used = 0;
    chi_serialize_fn by_hand = in ? m->serialize_in : m->serialize_out;
    if (by_hand)
        by_hand(ar, task);
    else
        walk_fields(ar, m, (uint8_t *)task, in);
    if (chi_ar_reading(ar) && (ar->pos != ar->cap || (in && ar->next_region != ar->nregions)))
        ar_fail(ar, CHI_STATUS_ARCHIVE);
    return (enum chi_status)ar->status;
}

enum chi_status chi_ar_task(struct chi_archive *ar, struct chi_method *m, struct chi_task *task)
{
    if (ar->status != CHI_STATUS_OK)
        return (enum chi_status)ar->status;
    bool in = ar->kind == CHI_AR_OUTPUT_IN || ar->kind == CHI_AR_INPUT_IN;
    if (CHI_LIKELY(__atomic_load_n(&m->hash, __ATOMIC_RELAXED) && ar->pos == 0 && ar->nregions == 0)) {
        uint64_t run = flat_run(m, !in);
        if (chi_ar_reading(ar) && flat_load(run, task, ar->buf, ar->cap))
            ar->pos = ar->cap;
        else if (!chi_ar_reading(ar))
            ar->pos = flat_save(run, task, ar->buf, ar->cap);
        if (CHI_LIKELY(ar->pos))
            return CHI_STATUS_OK;
    }
    return walk_task(ar, m, task, in);
}
