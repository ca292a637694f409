/* probe.h - ChiMod of the tests: shows where a task ran, routes by its monitor, waits for a subtask, carries every field type. */
#pragma once
#include <string.h>

#include "chi/archive.h"

enum { PROBE_WHERE = 1, PROBE_FIELDS = 2, PROBE_HAND = 3, PROBE_HOLD = 4, PROBE_MIXED = 5, PROBE_LARGE = 6, PROBE_LIST = 7, PROBE_ONCE = 8, PROBE_PART = 9,
       PROBE_NESTED = 10 };
enum probe_mode {
    PROBE_PLAIN,
    PROBE_STAY_DYNAMIC, /* GLOBAL_SCHEDULE leaves the query as it is */
    PROBE_FAIL_GLOBAL,  /* GLOBAL_SCHEDULE returns MODULE */
    PROBE_FAIL_LOCAL,   /* LOCAL_SCHEDULE returns MODULE */
    PROBE_FOREIGN_LANE, /* LOCAL_SCHEDULE names another container's lane */
    PROBE_PARK,         /* run parks, and nobody ends it */
    PROBE_WAIT,         /* run parks, asks node `key` by a subtask, and ends with its answer */
    PROBE_STAY,         /* run asks node `key` and its own by four subtasks, waits for them, and ends with the first one's answer */
    PROBE_CROSS,        /* takes lock `key` of two, sleeps 50 ms, and takes the other one */
    PROBE_COUNT,        /* `node`: how many tasks did so on this node, counted in the background under a lock */
};

/* where: DYNAMIC goes to node `key`; lane: key modulo lanes. */
struct probe_where {
    struct chi_task task;
    uint64_t key;          /* IN */
    uint32_t mode;         /* IN, enum probe_mode */
    uint32_t node, worker; /* OUT */
};
CHI_FIELDS(probe_where_fields) = {
    CHI_IN(U64, struct probe_where, key),
    CHI_IN(U32, struct probe_where, mode),
    CHI_OUT(U32, struct probe_where, node),
    CHI_OUT(U32, struct probe_where, worker),
};
CHI_METHOD_VAR(probe_where_method) = CHI_METHOD(PROBE_WHERE, struct probe_where, probe_where_fields);

/* fields: every value comes back changed: numbers + 1, text and bytes reversed, the region with each byte + 1. */
struct probe_fields {
    struct chi_task task;
    uint8_t a;
    uint16_t b[3];
    int32_t c;
    double d;
    bool e;
    CHI_STR_T(40) text;
    CHI_BYTES_T(12000) bytes; /* longer than a packet */
    struct chi_bulk region;   /* INOUT */
};
CHI_FIELDS(probe_fields_fields) = {
    CHI_INOUT(U8, struct probe_fields, a),    CHI_INOUT(U16, struct probe_fields, b),  CHI_INOUT(I32, struct probe_fields, c),
    CHI_INOUT(F64, struct probe_fields, d),   CHI_INOUT(BOOL, struct probe_fields, e), CHI_STR(INOUT, struct probe_fields, text),
    CHI_BYTES(INOUT, struct probe_fields, bytes), CHI_BULK_INOUT(struct probe_fields, region),
};
CHI_METHOD_VAR(probe_fields_method) = CHI_METHOD(PROBE_FIELDS, struct probe_fields, probe_fields_fields);

/* hand: a list of numbers, serialised by hand: doubled at the target; and an EXPOSE region that gets half of its bytes. */
struct probe_hand {
    struct chi_task task;
    uint32_t count;
    uint32_t number[100];
    struct chi_bulk half;
};
static inline void probe_hand_numbers(struct chi_archive *ar, struct probe_hand *t)
{
    chi_ar_u32(ar, &t->count, 1);
    if (t->count > 100)
        ar->status = ar->status ? ar->status : CHI_STATUS_ARCHIVE;
    else
        chi_ar_u32(ar, t->number, t->count);
}
static inline void probe_hand_in(struct chi_archive *ar, struct chi_task *task)
{
    struct probe_hand *t = (struct probe_hand *)task;
    probe_hand_numbers(ar, t);
    chi_ar_bulk(ar, &t->half.ptr, &t->half.size, CHI_EXPOSE);
}
static inline void probe_hand_out(struct chi_archive *ar, struct chi_task *task)
{
    struct probe_hand *t = (struct probe_hand *)task;
    probe_hand_numbers(ar, t);
    chi_ar_bulk(ar, &t->half.ptr, &t->half.used, CHI_WRITE);
}
/* large: bytes come back reversed, or `want` of them when that is not 0; longer than a packet, without a region. */
enum probe_large_mode {
    PROBE_LARGE_PLAIN,
    PROBE_LARGE_SEND, /* run asks node `to` for it by a subtask */
    PROBE_LARGE_PARK, /* run parks, and nothing ever ends it */
    PROBE_LARGE_HOG,  /* run takes all bulk memory of its worker, for good */
};
struct probe_large {
    struct chi_task task;
    uint32_t mode, to, want;
    CHI_BYTES_T(12000) bytes;
};
CHI_FIELDS(probe_large_fields) = {
    CHI_IN(U32, struct probe_large, mode),
    CHI_IN(U32, struct probe_large, to),
    CHI_IN(U32, struct probe_large, want),
    CHI_BYTES(INOUT, struct probe_large, bytes),
};
CHI_METHOD_VAR(probe_large_method) = CHI_METHOD(PROBE_LARGE, struct probe_large, probe_large_fields);

/* list: as hand, without the region; node `to`, when it is not 0, doubles them for the module of the node that was asked. */
struct probe_list {
    struct chi_task task;
    uint32_t to, count;
    uint32_t number[100];
};
static inline void probe_list_both(struct chi_archive *ar, struct chi_task *task)
{
    struct probe_list *t = (struct probe_list *)task;
    chi_ar_u32(ar, &t->to, 1);
    chi_ar_u32(ar, &t->count, 1);
    if (t->count > 100)
        ar->status = ar->status ? ar->status : CHI_STATUS_ARCHIVE;
    else
        chi_ar_u32(ar, t->number, t->count);
}
CHI_METHOD_VAR(probe_list_method) = CHI_METHOD_BY_HAND(PROBE_LIST, struct probe_list, probe_list_both, probe_list_both);

CHI_METHOD_VAR(probe_hand_method) = CHI_METHOD_BY_HAND(PROBE_HAND, struct probe_hand, probe_hand_in, probe_hand_out);

/* hold: sets gate[1], and keeps its worker until gate[0] is not 0.  Of a local client: the region is its own memory. */
struct probe_hold {
    struct chi_task task;
    struct chi_bulk gate; /* INOUT, 2 bytes */
};
CHI_FIELDS(probe_hold_fields) = {CHI_BULK_INOUT(struct probe_hold, gate)};
CHI_METHOD_VAR(probe_hold_method) = CHI_METHOD(PROBE_HOLD, struct probe_hold, probe_hold_fields);

/* mixed: the input from the table, the answer by hand. */
struct probe_mixed {
    struct chi_task task;
    uint64_t value; /* IN */
    uint64_t twice; /* by hand */
};
CHI_FIELDS(probe_mixed_fields) = {CHI_IN(U64, struct probe_mixed, value)};
static inline void probe_mixed_out(struct chi_archive *ar, struct chi_task *task)
{
    chi_ar_u64(ar, &((struct probe_mixed *)task)->twice, 1);
}
CHI_METHOD_VAR(probe_mixed_method) = {"PROBE_MIXED", probe_mixed_fields, NULL, probe_mixed_out, sizeof(struct probe_mixed), 0, 1, PROBE_MIXED, {0, 0}};

/* once: leaves a mark that it ran in the file that the daemon's environment names, which outlives the daemon: byte `id` counts
 * its runs, with PROBE_WRONG when `in` did not hold the bytes of its id.  Fills `out` with those of ~id. */
#define PROBE_RUNS "CHI_PROBE_RUNS"
enum { PROBE_RUNS_BYTES = 1 << 24, PROBE_WRONG = 0x80 };
struct probe_once {
    struct chi_task task;
    uint64_t id;         /* IN, below PROBE_RUNS_BYTES; else, and without a file: INVALID */
    struct chi_bulk in;  /* IN */
    struct chi_bulk out; /* OUT */
};
CHI_FIELDS(probe_once_fields) = {
    CHI_IN(U64, struct probe_once, id),
    CHI_BULK_IN(struct probe_once, in),
    CHI_BULK_OUT(struct probe_once, out),
};
CHI_METHOD_VAR(probe_once_method) = CHI_METHOD(PROBE_ONCE, struct probe_once, probe_once_fields);

/* part: of a task for several containers.  Marks as `once` does, byte base + container; `in` holds the bytes of base.  The container `bad` fails,
 * `park` parks and nobody ends it, the others fill their slices of `mark` with 1 + container.  Sum is merged: of 1 + container. */
struct probe_part {
    struct chi_task task;
    uint64_t base, bad, park; /* IN */
    uint64_t sum;             /* OUT */
    struct chi_bulk in;
    struct chi_bulk mark;
};
CHI_FIELDS(probe_part_fields) = {
    CHI_IN(U64, struct probe_part, base),   CHI_IN(U64, struct probe_part, bad),           CHI_IN(U64, struct probe_part, park),
    CHI_OUT(U64, struct probe_part, sum), CHI_BULK_IN(struct probe_part, in), CHI_BULK_SLICED(OUT, struct probe_part, mark),
};
CHI_METHOD_VAR(probe_part_method) = CHI_METHOD(PROBE_PART, struct probe_part, probe_part_fields);

/* nested: structs, what is optional, and a function of its own, whose form is longer than its member, and of no bytes at times.  Comes back:
 * as many bytes in `tail` as the sum of all x and `more`.  to: node that is asked for it by a subtask; 0: this one does it.
 * spoil: the vector gets a length that cannot be written. */
enum { PROBE_TAIL_MAX = 6000, PROBE_POINTS = 6 };
struct probe_point {
    uint16_t x;
    bool has_y;
    uint32_t y; /* comes back as 3 * x when it came */
};
CHI_FIELDS(probe_point_items) = {CHI_ITEM(U16, struct probe_point, x),
                                 CHI_OPTIONAL(ITEM, struct probe_point, has_y, CHI_ITEM(U32, struct probe_point, y))};
struct probe_tail {
    uint32_t bytes, sum;
};
struct probe_nested {
    struct chi_task task;
    uint32_t to;
    bool spoil;
    bool has_more;
    uint32_t more;
    CHI_VEC_T(struct probe_point, PROBE_POINTS) points;
    struct probe_tail tail;
};
/* What is there of the answer behind it is the tail. */
static inline void probe_tail_fn(struct chi_archive *ar, void *member)
{
    struct probe_tail *t = (struct probe_tail *)member;
    bool reading = chi_ar_reading(ar);
    uint32_t n = reading ? (uint32_t)(ar->cap - ar->pos) : t->bytes, sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t b = (uint8_t)(i * 7);
        chi_ar_u8(ar, &b, 1);
        sum += b;
    }
    if (reading)
        t->bytes = n, t->sum = sum;
}
CHI_FIELDS(probe_nested_fields) = {
    CHI_IN(U32, struct probe_nested, to),
    CHI_IN(BOOL, struct probe_nested, spoil),
    CHI_OPTIONAL(IN, struct probe_nested, has_more, CHI_IN(U32, struct probe_nested, more)),
    CHI_VEC(INOUT, struct probe_nested, points, probe_point_items),
    CHI_CUSTOM(OUT, struct probe_nested, tail, probe_tail_fn, PROBE_TAIL_MAX),
};
CHI_METHOD_VAR(probe_nested_method) = CHI_METHOD(PROBE_NESTED, struct probe_nested, probe_nested_fields);

enum { PROBE_WORDS = 512 };
/* Words `first` and on of the bytes that belong to an id: no two places of one, nor one place of two, are likely to be alike. */
static inline void probe_words(uint64_t *w, uint64_t id, uint64_t first)
{
    for (uint64_t i = 0; i < PROBE_WORDS; i++) {
        uint64_t v = (id * 0x9e3779b97f4a7c15u + first + i) * 0xbf58476d1ce4e5b9u;
        w[i] = v ^ v >> 29;
    }
}
static inline void probe_fill(uint8_t *p, uint64_t n, uint64_t id)
{
    uint64_t w[PROBE_WORDS];
    for (uint64_t at = 0; at < n; at += sizeof w) {
        probe_words(w, id, at / 8);
        memcpy(p + at, w, n - at < sizeof w ? n - at : sizeof w);
    }
}
/* Where the first of n bytes is that is not the id's, each byte changed by that of `key` which follows it; n: all are right. */
static inline uint64_t probe_wrong_at(const uint8_t *p, uint64_t n, uint64_t id, uint64_t key)
{
    uint64_t w[PROBE_WORDS];
    for (uint64_t at = 0; at < n; at += sizeof w) {
        uint64_t k = n - at < sizeof w ? n - at : sizeof w;
        probe_words(w, id, at / 8);
        for (unsigned i = 0; key && i < PROBE_WORDS; i++)
            w[i] ^= key;
        if (memcmp(p + at, w, k) == 0)
            continue;
        while (*(p + at) == ((const uint8_t *)w)[at % sizeof w])
            at++;
        return at;
    }
    return n;
}
