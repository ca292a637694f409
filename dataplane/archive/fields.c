/* fields.c - runs a method's field table, or its own functions, over a task.  A table that names memory outside of the
 * method's struct, or the head that all tasks share, is refused with INVALID before a byte there is touched. */
#include "flat.h"

static const uint8_t scalar_width[] = {
#define WIDTH_ENTRY(name, width) [CHI_T_##name] = width,
    CHI_SCALAR_LIST(WIDTH_ENTRY)
#undef WIDTH_ENTRY
};

static bool in_struct(const struct chi_method *m, const struct chi_field *f, uint64_t bytes)
{
    return f->offset >= sizeof(struct chi_task) && chi_span_ok(f->offset, bytes, m->size);
}

static void walk_bulk(struct chi_archive *ar, const struct chi_method *m, const struct chi_field *f, uint8_t *base,
                      bool in)
{
    if (f->count != 1 || f->offset % _Alignof(struct chi_bulk) || !in_struct(m, f, sizeof(struct chi_bulk))) {
        ar_fail(ar, CHI_STATUS_INVALID);
        return;
    }
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

/* STR and BYTES: a length, then the data. */
static void walk_vector(struct chi_archive *ar, const struct chi_method *m, const struct chi_field *f, uint8_t *base)
{
    if (f->offset % _Alignof(uint32_t) || !in_struct(m, f, sizeof(uint32_t) + (uint64_t)f->count)) {
        ar_fail(ar, CHI_STATUS_INVALID);
        return;
    }
    uint8_t *v = base + f->offset;
    chi_ar_bytes(ar, (uint32_t *)v, v + sizeof(uint32_t), f->count);
}

static void walk_fields(struct chi_archive *ar, const struct chi_method *m, uint8_t *base, bool in)
{
    if (m->size < sizeof(struct chi_task) || m->size > CHI_TASK_BYTES_MAX || m->nfields > CHI_FIELDS_MAX ||
        (m->nfields && !m->fields)) {
        ar_fail(ar, CHI_STATUS_INVALID);
        return;
    }
    unsigned wanted = in ? CHI_DIR_IN : CHI_DIR_OUT;
    for (uint32_t i = 0; i < m->nfields && ar->status == CHI_STATUS_OK; i++) { /* without fields there may be no table */
        const struct chi_field *f = &m->fields[i];
        unsigned width = f->type < sizeof scalar_width ? scalar_width[f->type] : 0;
        if (f->type == CHI_T_BULK) {
            walk_bulk(ar, m, f, base, in);
        } else if (!(f->dir & wanted)) {
            continue;
        } else if (f->type == CHI_T_STR || f->type == CHI_T_BYTES) {
            walk_vector(ar, m, f, base);
        } else if (!width || !in_struct(m, f, (uint64_t)f->count * width)) {
            ar_fail(ar, CHI_STATUS_INVALID);
        } else if (f->type == CHI_T_BOOL) {
            ar_bools(ar, base + f->offset, f->count);
        } else {
            ar_scalars(ar, base + f->offset, f->count, width);
        }
    }
}

uint64_t fields_run(const struct chi_method *m, unsigned dir)
{
    uint64_t offset = 0, bytes = 0;
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || m->serialize_in || m->serialize_out || m->size > CHI_TASK_BYTES_MAX || m->nfields > CHI_FIELDS_MAX)
        return 0;
    for (uint32_t i = 0; i < m->nfields; i++) {
        const struct chi_field *f = &m->fields[i];
        unsigned width = f->type < sizeof scalar_width && f->type != CHI_T_BOOL ? scalar_width[f->type] : 0;
        if (f->type == CHI_T_BULK)
            return 0;
        if (!(f->dir & dir))
            continue;
        if (!width || !in_struct(m, f, (uint64_t)f->count * width) || (bytes && f->offset != offset + bytes))
            return 0;
        offset = bytes ? offset : f->offset;
        bytes += (uint64_t)f->count * width;
    }
    return bytes ? offset << 32 | bytes : 0;
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
