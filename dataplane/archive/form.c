/* form.c - the serialised form of a task: head, region table, body. */
#include "form.h"

#include "scalar.h"
#include "wire/le.h"
#include "wire/wire.h"

CHI_STATIC_ASSERT((int)WIRE_REGIONS == (int)CHI_REGIONS_MAX, "a frame names any region of a task");

static bool query_ok(uint32_t kind, uint32_t count)
{
    return kind >= CHI_QUERY_LOCAL && kind <= CHI_QUERY_DYNAMIC && (count == 0 || kind == CHI_QUERY_RANGE || (count == CHI_AS_AWAY && kind != CHI_QUERY_BROADCAST));
}

static enum chi_drop region_decode(const uint8_t *p, struct form_region *r)
{
    r->size = le64_get(p);
    r->place = le64_get(p + 8);
    uint64_t flags = le64_get(p + 16); /* one byte, then 7 that must be zero */
    r->flags = (uint32_t)flags;
    return r->size > INT64_MAX || !ar_bulk_flags_ok(flags) ? CHI_DROP_FORM : CHI_DROP_NONE;
}

enum chi_drop form_regions(const uint8_t *p, size_t have, struct form_head *out)
{
    if (have < FORM_HEAD_BYTES)
        return CHI_DROP_FORM;
    uint32_t n = p[FORM_REGIONS_AT];
    out->regions = (uint8_t)n;
    if (n > CHI_REGIONS_MAX || have < form_prefix_bytes(n))
        return CHI_DROP_FORM;
    for (uint32_t i = 0; i < n; i++)
        if (region_decode(p + form_prefix_bytes(i), &out->region[i]) != CHI_DROP_NONE)
            return CHI_DROP_FORM;
    return CHI_DROP_NONE;
}

static inline void head_decode(const uint8_t *p, uint32_t kind, struct form_head *out)
{
    out->pool.major = le32_get(p);
    out->pool.minor = le32_get(p + 4);
    out->method = le16_get(p + 8);
    out->query.kind = kind;
    out->query.count = le32_get(p + 12);
    out->query.value = le64_get(p + 16);
    out->schema = le32_get(p + 24);
    out->timeout_us = le32_get(p + 28);
}

/* A part, or one of which more is said.  Apart, so that the usual ones do not pay for it. */
__attribute__((noinline)) static enum chi_drop query_decode(const uint8_t *p, struct form_head *out)
{
    uint32_t kind = p[FORM_KIND_AT] & FORM_KIND_MASK;
    if (!query_ok(kind, le32_get(p + 12)) && kind != FORM_QUERY_SPREAD)
        return CHI_DROP_FORM;
    out->waits = (p[FORM_KIND_AT] & FORM_WAITS_MASK) >> FORM_WAITS_SHIFT;
    head_decode(p, kind, out);
    return CHI_DROP_NONE;
}

enum chi_drop form_decode(const uint8_t *p, size_t have, struct form_head *out)
{
    out->regions = out->waits = 0;
    if (CHI_UNLIKELY(!form_is_plain(p, have)) && form_regions(p, have, out) != CHI_DROP_NONE)
        return CHI_DROP_FORM;
    if (CHI_UNLIKELY(!query_ok(p[FORM_KIND_AT], le32_get(p + 12))))
        return query_decode(p, out);
    head_decode(p, p[FORM_KIND_AT], out);
    return CHI_DROP_NONE;
}

static void put_region(uint8_t *p, uint64_t size, uint64_t place, uint32_t flags)
{
    le64_put(p, size);
    le64_put(p + 8, place);
    le64_put(p + 16, flags);
}

static inline void put_head(uint8_t *p, const struct chi_pool_id *pool, const struct chi_query *q, uint16_t method,
                            uint32_t regions, uint32_t schema, uint32_t timeout_us)
{
    le32_put(p, pool->major);
    le32_put(p + 4, pool->minor);
    le16_put(p + 8, method);
    p[FORM_KIND_AT] = (uint8_t)q->kind;
    p[FORM_REGIONS_AT] = (uint8_t)regions;
    le32_put(p + 12, q->count);
    le64_put(p + 16, q->value);
    le32_put(p + 24, schema);
    le32_put(p + 28, timeout_us);
}

size_t form_encode(uint8_t *p, const struct form_head *h)
{
    put_head(p, &h->pool, &h->query, h->method, h->regions, h->schema, h->timeout_us);
    form_set_waits(p, h->waits);
    for (uint32_t i = 0; i < h->regions; i++)
        put_region(p + form_prefix_bytes(i), h->region[i].size, h->region[i].place, h->region[i].flags);
    return form_prefix_bytes(h->regions);
}

void form_clear_places(uint8_t *p, uint32_t regions)
{
    for (uint32_t i = 0; i < regions; i++)
        le64_put(p + form_prefix_bytes(i) + 8, 0);
}

static size_t refuse(enum chi_status *status_out, enum chi_status s)
{
    *status_out = s;
    return 0;
}

size_t form_save(uint8_t *p, size_t cap, struct chi_task *task, struct chi_ar_region *regions_out,
                 uint32_t *nregions_out, uint64_t (*place_of)(void *ctx, const void *ptr, uint64_t size), void *ctx,
                 enum chi_status *status_out)
{
    struct chi_method *m = task->method;
    *nregions_out = 0;
    if (CHI_UNLIKELY(!m || !query_ok(task->query.kind, task->query.count)))
        return refuse(status_out, CHI_STATUS_INVALID);
    if (CHI_UNLIKELY(cap < FORM_HEAD_BYTES))
        return refuse(status_out, CHI_STATUS_TOO_BIG);

    /* The body first, right behind the head: how many regions there are is known after it. */
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, p + FORM_HEAD_BYTES, cap - FORM_HEAD_BYTES, regions_out, 0);
    if (CHI_UNLIKELY(chi_ar_task(&ar, m, task) != CHI_STATUS_OK))
        return refuse(status_out, (enum chi_status)ar.status);
    uint32_t n = ar.nregions;
    size_t prefix = form_prefix_bytes(n);
    if (CHI_UNLIKELY(prefix > cap - ar.pos))
        return refuse(status_out, CHI_STATUS_TOO_BIG);
    if (n) {
        memmove(p + prefix, p + FORM_HEAD_BYTES, ar.pos);
        for (uint32_t i = 0; i < n; i++) {
            const struct chi_ar_region *r = &regions_out[i];
            uint64_t place = place_of ? place_of(ctx, r->ptr, r->size) : 0;
            if (place == FORM_NO_PLACE)
                return refuse(status_out, CHI_STATUS_INVALID);
            put_region(p + form_prefix_bytes(i), r->size, place, r->flags);
        }
    }
    put_head(p, &task->pool, &task->query, m->id, n, chi_method_hash(m), task->timeout_us);
    *nregions_out = n;
    *status_out = CHI_STATUS_OK;
    return prefix + ar.pos;
}
