/* archive.c - the calls that serialisers make: scalars, byte vectors, bulk regions. */
#include "scalar.h"

void chi_ar_init(struct chi_archive *ar, enum chi_ar_kind kind, void *buf, size_t cap, struct chi_ar_region *regions,
                 uint32_t nregions)
{
    ar->buf = buf;
    ar->pos = 0;
    ar->cap = cap;
    ar->regions = regions;
    ar->nregions = nregions;
    ar->next_region = 0;
    ar->kind = kind;
    ar->status = CHI_STATUS_OK;
}

void chi_ar_u8(struct chi_archive *ar, uint8_t *v, size_t n) { ar_scalars(ar, v, n, 1); }
void chi_ar_u16(struct chi_archive *ar, uint16_t *v, size_t n) { ar_scalars(ar, v, n, 2); }
void chi_ar_u32(struct chi_archive *ar, uint32_t *v, size_t n) { ar_scalars(ar, v, n, 4); }
void chi_ar_u64(struct chi_archive *ar, uint64_t *v, size_t n) { ar_scalars(ar, v, n, 8); }
void chi_ar_bool(struct chi_archive *ar, bool *v, size_t n) { ar_bools(ar, v, n); }

void chi_ar_bytes(struct chi_archive *ar, uint32_t *len, void *data, uint32_t cap)
{
    bool reading = chi_ar_reading(ar);
    uint32_t n = reading ? 0 : *len;
    if (n > cap) {
        ar_fail(ar, CHI_STATUS_INVALID);
        return;
    }
    ar_scalars(ar, &n, 1, 4);
    if (n > cap) {
        ar_fail(ar, CHI_STATUS_ARCHIVE);
        return;
    }
    uint8_t *p = n ? ar_next(ar, n) : NULL;
    if (ar->status != CHI_STATUS_OK)
        return;
    if (p)
        memcpy(reading ? data : p, reading ? p : data, n);
    if (reading)
        *len = n;
}

/* OUTPUT_IN: the region joins the list.  A size must fit the form, a buffer must exist when there are bytes. */
static void bulk_declare(struct chi_archive *ar, void *ptr, uint64_t size, unsigned flags)
{
    if (ar->nregions >= CHI_REGIONS_MAX || size > INT64_MAX || (size && !ptr)) {
        ar_fail(ar, CHI_STATUS_INVALID);
        return;
    }
    ar->regions[ar->nregions++] = (struct chi_ar_region){ptr, size, 0, flags};
}

/* One that streams at its origin may come whole. */
static bool is_expected(unsigned have, unsigned flags) { return have == flags || have == (flags & ~(unsigned)CHI_STREAM); }

/* INPUT_IN: the next region of the list, which must be what this call expects. */
static void bulk_receive(struct chi_archive *ar, void **ptr, uint64_t *size, unsigned flags)
{
    if (ar->next_region >= ar->nregions || !is_expected(ar->regions[ar->next_region].flags, flags)) {
        ar_fail(ar, CHI_STATUS_ARCHIVE);
        return;
    }
    const struct chi_ar_region *r = &ar->regions[ar->next_region++];
    *ptr = r->ptr;
    *size = r->size;
}

static struct chi_ar_region *next_exposed(struct chi_archive *ar)
{
    while (ar->next_region < ar->nregions) {
        struct chi_ar_region *r = &ar->regions[ar->next_region++];
        if (r->flags & CHI_EXPOSE)
            return r;
    }
    return NULL;
}

/* OUT kinds: the length that was written travels in the form, the bytes beside it. */
static void bulk_return(struct chi_archive *ar, uint64_t *size)
{
    bool reading = chi_ar_reading(ar);
    struct chi_ar_region *r = next_exposed(ar);
    uint64_t n = reading ? 0 : *size;
    if (!r || (!reading && n > r->size)) {
        ar_fail(ar, reading ? CHI_STATUS_ARCHIVE : CHI_STATUS_INVALID);
        return;
    }
    ar_scalars(ar, &n, 1, 8);
    if (ar->status != CHI_STATUS_OK)
        return;
    if (reading) {
        if (n > r->size || (r->used != CHI_USED_UNKNOWN && r->used != n)) {
            ar_fail(ar, CHI_STATUS_ARCHIVE);
            return;
        }
        *size = n;
    }
    r->used = n;
}

void chi_ar_bulk(struct chi_archive *ar, void **ptr, uint64_t *size, unsigned flags)
{
    if (ar->status != CHI_STATUS_OK)
        return;
    if (!ar_bulk_flags_ok(flags) || ar->next_region == CHI_NO_BULK) {
        ar->status = CHI_STATUS_INVALID;
        return;
    }
    switch (ar->kind) {
    case CHI_AR_OUTPUT_IN:
        bulk_declare(ar, *ptr, *size, flags);
        break;
    case CHI_AR_INPUT_IN:
        bulk_receive(ar, ptr, size, flags);
        break;
    default:
        if (flags & CHI_WRITE)
            bulk_return(ar, size);
    }
}
