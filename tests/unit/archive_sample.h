/* archive_sample.h - a method with every kind of field inside others: for tests, in C and (a test of its own) in C++. */
#ifndef ARCHIVE_SAMPLE_H
#define ARCHIVE_SAMPLE_H

#include "chi/archive.h"

struct point {
    uint32_t x;
    int16_t y;
    bool seen;
};
CHI_FIELDS(point_items) = {CHI_ITEM(U32, struct point, x), CHI_ITEM(I16, struct point, y), CHI_ITEM(BOOL, struct point, seen)};
enum { POINT_BYTES = 4 + 2 + 1 };

/* A bool, the end that it says is there or not, and vectors of both sorts; the largest elements are aligned to 8. */
struct edge {
    struct point from;
    bool has_to;
    struct point to;
    CHI_STR_T(6) name;
    CHI_VEC_T(uint64_t, 3) marks;
};
CHI_FIELDS(edge_items) = {
    CHI_STRUCT(ITEM, struct edge, from, point_items),
    CHI_OPTIONAL(ITEM, struct edge, has_to, CHI_STRUCT(ITEM, struct edge, to, point_items)),
    CHI_STR(ITEM, struct edge, name),
    CHI_VEC_OF(ITEM, U64, struct edge, marks),
};
enum { EDGE_BYTES = POINT_BYTES + 1 + POINT_BYTES + 4 + 6 + 4 + 3 * 8 };

/* Only the values that there are travel. */
struct list {
    uint8_t n;
    uint16_t value[4];
};
enum { LIST_BYTES = 1 + 4 * 2 };
static inline void list_fn(struct chi_archive *ar, void *member)
{
    struct list *l = (struct list *)member;
    uint8_t n = l->n;
    chi_ar_u8(ar, &n, 1);
    if (n > 4) {
        ar->status = chi_ar_reading(ar) ? CHI_STATUS_ARCHIVE : CHI_STATUS_INVALID;
        return;
    }
    chi_ar_u16(ar, l->value, n);
    l->n = n;
}

struct nest {
    struct chi_task task;
    struct point at;
    CHI_VEC_T(struct edge, 3) lines;
    CHI_VEC_T(struct point, 2) seen;
    CHI_VEC_T(bool, 5) flags;
    CHI_VEC_T(double, 4) weights;
    bool has_limit;
    uint32_t limit[2];
    bool has_list;
    struct list list;
    CHI_BYTES_T(3) end;
};
CHI_FIELDS(nest_fields) = {
    CHI_STRUCT(IN, struct nest, at, point_items),
    CHI_VEC(INOUT, struct nest, lines, edge_items),
    CHI_VEC(OUT, struct nest, seen, point_items),
    CHI_VEC_OF(IN, BOOL, struct nest, flags),
    CHI_VEC_OF(OUT, F64, struct nest, weights),
    CHI_OPTIONAL(INOUT, struct nest, has_limit, CHI_INOUT(U32, struct nest, limit)),
    CHI_OPTIONAL(IN, struct nest, has_list, CHI_CUSTOM(IN, struct nest, list, list_fn, LIST_BYTES)),
    CHI_BYTES(IN, struct nest, end),
};
enum {
    NEST = 7,
    NEST_IN_BYTES = POINT_BYTES + 4 + 3 * EDGE_BYTES + 4 + 5 + 1 + 8 + 1 + LIST_BYTES + 4 + 3,
    NEST_OUT_BYTES = 4 + 3 * EDGE_BYTES + 4 + 2 * POINT_BYTES + 4 + 4 * 8 + 1 + 8,
};
CHI_METHOD_VAR(nest_method) = CHI_METHOD(NEST, struct nest, nest_fields);

#endif
