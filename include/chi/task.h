/* task.h - tasks, methods and their field tables: what the two ends of a call agree on.
 *
 * A method's struct begins with `struct chi_task`; its field table, written beside it, is all that the archives need:
 *
 *     struct echo_ping { struct chi_task task; uint64_t value; };
 *     CHI_FIELDS(echo_ping_fields) = { CHI_INOUT(U64, struct echo_ping, value) };
 *     CHI_METHOD_VAR(echo_ping_method) = CHI_METHOD(ECHO_PING, struct echo_ping, echo_ping_fields);
 */
#ifndef CHI_TASK_H
#define CHI_TASK_H

#include "chi/query.h"

struct chi_archive;
struct chi_method;

enum {
    CHI_REGIONS_MAX = 16,   /* bulk regions of one task */
    CHI_FIELDS_MAX = 64,    /* fields of one method, rows of one table */
    CHI_NEST_MAX = 4,       /* tables of structs inside each other, below the method's own */
    CHI_ROWS_MAX = 1024,    /* rows of a method in all, those of a struct's table counted wherever it stands */
    CHI_TASK_BYTES_MAX = 16384, /* sizeof of a method's struct */
    CHI_FORM_BYTES_MAX = 65536, /* a task's serialised form, regions not counted */
};

struct chi_pool_id {
    uint32_t major, minor;
};

/* What became of each replica of a task for several containers, which ends with the status of the first container that failed. */
struct chi_replica {
    uint32_t container, status; /* enum chi_status */
};
struct chi_replicas { /* the submitter's, until the task ended */
    struct chi_replica *each; /* room for cap of them */
    uint32_t cap;
    uint32_t count; /* set at the end: how many were filled in.  0: the task never went to several, or the answer had no room */
};

/* The part that all tasks share.  The submitter fills pool, query, timeout_us, user and replicas; the rest is the runtime's. */
struct chi_task {
    struct chi_pool_id pool;
    struct chi_query query;
    uint32_t timeout_us; /* from submission until it ends with DEADLINE; 0: the daemon's default */
    uint32_t status;     /* enum chi_status; PENDING from submission until the end */
    struct chi_method *method;
    void *user; /* the submitter's, never touched */
    struct chi_replicas *replicas; /* of RANGE, BROADCAST, or DYNAMIC: where what became of each goes; NULL: nowhere */
};

/* A bulk region as a field.  At the submitter ptr and size name its own memory (of the client's segment, or of the
 * daemon inside a module).  At the target they name the buffer that the runtime made.  In a field that comes back (OUT,
 * INOUT) the target sets `used` to the length that it wrote, at most size; the submitter reads it after the end. */
struct chi_bulk {
    void *ptr;
    uint64_t size;
    uint64_t used;
};

/* A bounded string or byte vector as a field; len <= CAP.  A string needs no NUL and may hold any bytes. */
#define CHI_STR_T(CAP) struct { uint32_t len; char data[CAP]; }
#define CHI_BYTES_T(CAP) struct { uint32_t len; uint8_t data[CAP]; }
/* The same of elements: CHI_VEC_T(struct point, 16) points; of scalars too. */
#define CHI_VEC_T(T, CAP) struct { uint32_t len; T data[CAP]; }

/* ITEM: in the table of a struct that is itself a field, whose direction holds for all of it. */
enum chi_dir { CHI_DIR_ITEM = 0, CHI_DIR_IN = 1, CHI_DIR_OUT = 2, CHI_DIR_INOUT = 3 };

enum chi_bulk_flags { /* of a region */
    CHI_WRITE = 1,  /* bytes go to the other side with this archive */
    CHI_EXPOSE = 2, /* the other side may write back into this buffer */
    CHI_STREAM = 4, /* with WRITE: the task may start before all of its bytes are there */
    CHI_SLICED = 8, /* of a task for n containers: the k-th one has the k-th of n equal parts of it */
};

/* X(name, width in bytes).  Arrays of any of them by giving an array member. */
#define CHI_SCALAR_LIST(X) X(U8, 1) X(U16, 2) X(U32, 4) X(U64, 8) X(I8, 1) X(I16, 2) X(I32, 4) X(I64, 8) X(F32, 4) X(F64, 8) X(BOOL, 1)
enum chi_field_type {
    CHI_T_NONE = 0,
#define CHI_SCALAR_ENUM(name, width) CHI_T_##name,
    CHI_SCALAR_LIST(CHI_SCALAR_ENUM)
#undef CHI_SCALAR_ENUM
    CHI_T_STR,
    CHI_T_BYTES,
    CHI_T_BULK,
    CHI_T_STRUCT,
    CHI_T_OPTIONAL, /* a bool, which says whether the next row is there */
    CHI_T_CUSTOM,
    CHI_T_VEC = 0x80, /* beside a scalar or STRUCT: a vector of them */
};
enum chi_field_width {
#define CHI_SCALAR_WIDTH(name, width) CHI_WIDTH_##name = width,
    CHI_SCALAR_LIST(CHI_SCALAR_WIDTH)
#undef CHI_SCALAR_WIDTH
};

/* Serialises one member with chi_ar_* calls, whichever way the archive goes; see CHI_CUSTOM. */
typedef void (*chi_member_fn)(struct chi_archive *ar, void *member);

struct chi_field {
    const char *name;
    uint32_t offset; /* in its struct: the method's, or that of the table's items */
    uint32_t count;  /* scalars: elements; STR and BYTES: capacity in bytes; vectors: in elements; CUSTOM: most bytes of its form; else 1 */
    uint8_t dir;     /* enum chi_dir; BULK: with CHI_SLICED or without, one that comes in with CHI_STREAM or without */
    uint8_t type;    /* enum chi_field_type */
    uint16_t nitems; /* STRUCT: rows of its table */
    uint32_t size;   /* STRUCT: bytes of one; CUSTOM: of the member */
    uint32_t data;   /* vectors: where the elements begin, in the same struct as offset */
    const struct chi_field *items; /* STRUCT: its table */
    chi_member_fn custom;
    const char *custom_name;
};
/* A row of scalars, STR, BYTES, BULK or OPTIONAL. */
#define CHI_ROW(name, offset, count, dir, type) {name, offset, count, dir, type, 0, 0, 0, NULL, NULL, NULL}

/* How many elements a member of so many bytes has.  Does not compile where the width does not divide them: CHI_IN(U64, ..) of
 * a uint32_t would else be a field of no elements, which never travels. */
#define CHI_ELEMENTS(bytes, width) ((bytes) / (width) + 0 * sizeof(char[(bytes) % (width) == 0 ? 1 : -1]))
#define CHI_FIELD_SCALAR(d, t, s, m)                                                                                   \
    CHI_ROW(#m, offsetof(s, m), CHI_ELEMENTS(sizeof(((s *)0)->m), CHI_WIDTH_##t), d, CHI_T_##t)
#define CHI_IN(t, s, m) CHI_FIELD_SCALAR(CHI_DIR_IN, t, s, m)
#define CHI_OUT(t, s, m) CHI_FIELD_SCALAR(CHI_DIR_OUT, t, s, m)
#define CHI_INOUT(t, s, m) CHI_FIELD_SCALAR(CHI_DIR_INOUT, t, s, m)
#define CHI_ITEM(t, s, m) CHI_FIELD_SCALAR(CHI_DIR_ITEM, t, s, m)
/* dir: IN, OUT, INOUT or ITEM */
#define CHI_STR(dir, s, m) CHI_ROW(#m, offsetof(s, m), sizeof(((s *)0)->m.data), CHI_DIR_##dir, CHI_T_STR)
#define CHI_BYTES(dir, s, m) CHI_ROW(#m, offsetof(s, m), sizeof(((s *)0)->m.data), CHI_DIR_##dir, CHI_T_BYTES)

/* A member that is a struct, without a head of its own.  table: CHI_FIELDS of that struct, in which every row is an ITEM:
 *
 *     struct point { uint32_t x, y; };
 *     CHI_FIELDS(point_items) = { CHI_ITEM(U32, struct point, x), CHI_ITEM(U32, struct point, y) };
 *     struct move { struct chi_task task; struct point to; CHI_VEC_T(struct point, 16) via; };
 *     CHI_FIELDS(move_fields) = { CHI_STRUCT(IN, struct move, to, point_items), CHI_VEC(IN, struct move, via, point_items) };
 *
 * On the wire it is its items; a vector is its length (u32, at most the capacity), then its elements.  No bulk region in it. */
#define CHI_STRUCT(dir, s, m, table)                                                                                   \
    {#m, offsetof(s, m), 1, CHI_DIR_##dir, CHI_T_STRUCT, CHI_ROWS(table), sizeof(((s *)0)->m), 0, table, NULL, NULL}
#define CHI_VEC(dir, s, m, table)                                                                                      \
    CHI_FIELD_VEC(CHI_DIR_##dir, CHI_T_STRUCT, s, m, sizeof(((s *)0)->m.data[0]), CHI_ROWS(table), table)
/* t: the scalar type of its elements, like U32 */
#define CHI_VEC_OF(dir, t, s, m)                                                                                       \
    CHI_FIELD_VEC(CHI_DIR_##dir, CHI_T_##t, s, m, CHI_SAME(sizeof(((s *)0)->m.data[0]), CHI_WIDTH_##t), 0, NULL)
#define CHI_FIELD_VEC(d, t, s, m, bytes, rows, table)                                                                  \
    {#m, offsetof(s, m), sizeof(((s *)0)->m.data) / sizeof(((s *)0)->m.data[0]), d, CHI_T_VEC | t, rows, bytes, offsetof(s, m.data), table, NULL, NULL}
#define CHI_ROWS(table) (sizeof(table) / sizeof((table)[0]))
#define CHI_SAME(bytes, width) ((bytes) + 0 * sizeof(char[(bytes) == (width) ? 1 : -1])) /* does not compile when they differ */

/* The field in the last argument is there only while the bool member `has` is true, else it costs that bool's byte and is read as zeros:
 *     CHI_OPTIONAL(IN, struct find, has_limit, CHI_IN(U32, struct find, limit))
 * Both have the same direction.  Two rows of the table.  Not for bulk regions. */
#define CHI_OPTIONAL(dir, s, has, ...)                                                                                 \
    CHI_ROW(#has, offsetof(s, has), CHI_SAME(sizeof(((s *)0)->has), 1), CHI_DIR_##dir, CHI_T_OPTIONAL), __VA_ARGS__

/* A member that fn (chi_member_fn) reads and writes, in at most `bytes` bytes, at most CHI_FORM_BYTES_MAX: INVALID when it writes more,
 * ARCHIVE when it reads more.  fn makes chi_ar_* calls, but not chi_ar_bulk (INVALID); it is called again for a repetition, and then writes
 * the same.  The hash covers its name: rename it when its form changes. */
#define CHI_CUSTOM(dir, s, m, fn, bytes)                                                                               \
    {#m, offsetof(s, m), bytes, CHI_DIR_##dir, CHI_T_CUSTOM, 0, sizeof(((s *)0)->m), 0, NULL, fn, #fn}

#define CHI_BULK_IN(s, m) CHI_ROW(#m, offsetof(s, m), 1, CHI_DIR_IN, CHI_T_BULK)
#define CHI_BULK_OUT(s, m) CHI_ROW(#m, offsetof(s, m), 1, CHI_DIR_OUT, CHI_T_BULK)
#define CHI_BULK_INOUT(s, m) CHI_ROW(#m, offsetof(s, m), 1, CHI_DIR_INOUT, CHI_T_BULK)
/* The same for a task that starts before the region's bytes are all there (chi_bulk_ready).  Regions travel in the table's order, and
 * before them what of the form fits into the first packet, behind them the rest: so it starts early when this is the last region that
 * comes in, and the form is short. */
#define CHI_BULK_IN_STREAM(s, m) CHI_ROW(#m, offsetof(s, m), 1, CHI_DIR_IN | CHI_STREAM, CHI_T_BULK)
#define CHI_BULK_INOUT_STREAM(s, m) CHI_ROW(#m, offsetof(s, m), 1, CHI_DIR_INOUT | CHI_STREAM, CHI_T_BULK)
/* A region whose parts the containers of a RANGE or BROADCAST share: its size is a multiple of their number, else INVALID.  A part that comes
 * back shorter than it is, or not at all, is filled up with zeros, and `used` is the whole size.  Other queries know no difference.  dir: IN, OUT or INOUT. */
#define CHI_BULK_SLICED(dir, s, m) CHI_ROW(#m, offsetof(s, m), 1, CHI_DIR_##dir | CHI_SLICED, CHI_T_BULK)

/* Serialises one direction of a task, whichever way the archive goes; the archive keeps the first error. */
typedef void (*chi_serialize_fn)(struct chi_archive *ar, struct chi_task *task);

struct chi_method {
    const char *name;
    const struct chi_field *fields;
    chi_serialize_fn serialize_in;  /* NULL: from the table */
    chi_serialize_fn serialize_out; /* NULL: from the table */
    uint32_t size;                  /* of the method's struct, at most CHI_TASK_BYTES_MAX */
    uint32_t hash;                  /* 0 until chi_method_hash computed it: who changes the method afterwards sets it to 0 again */
    uint16_t nfields;
    uint16_t id;
    uint64_t run[2]; /* computed with the hash: of the IN and of the OUT direction, when its fields lie in the struct as they travel, in
                      * one run of bytes: offset << 32 | bytes; else 0 */
};

/* What a header defines for whoever includes it; no warning where it is not used. */
#define CHI_FIELDS(name) __attribute__((unused)) static const struct chi_field name[]
#define CHI_METHOD_VAR(name) __attribute__((unused)) static struct chi_method name
#define CHI_METHOD(ID, s, table)                                                                                       \
    {#ID, table, NULL, NULL, sizeof(s), 0, CHI_ROWS(table), ID, {0, 0}}
/* A method whose form is written by hand: its hash covers id and name only, so rename it when the form changes. */
#define CHI_METHOD_BY_HAND(ID, s, in, out) {#ID, NULL, in, out, sizeof(s), 0, 0, ID, {0, 0}}

CHI_BEGIN

/* The hash that travels with each task: over id, field names, types, directions with CHI_STREAM and CHI_SLICED, counts, the tables of structs and the names of
 * CHI_CUSTOM's functions; with a function of its own for either direction over the method's name too.  Never 0.
 * Computed at the first call and kept in m->hash (and m->run beside it).  Any thread. */
CHI_API uint32_t chi_method_hash(struct chi_method *m);

/* What is wrong with a method or its table, as a few words that stay; NULL: nothing.  *field_out: the name of the row that they are about;
 * NULL: it is the method.  A daemon loads no module with a wrong one, and an archive ends with INVALID at a row that is wrong.  Any thread. */
CHI_API const char *chi_method_wrong(const struct chi_method *m, const char **field_out);

/* What the hash covers, as text, a line for each field: `inout text str<40>`, `in points vec<16> {x u32; y u32}`, `in limit u32 if has_limit`.
 * Writes at most cap bytes with the NUL; returns the length of the whole text.  Pre: chi_method_wrong finds nothing.  Any thread. */
CHI_API size_t chi_schema_print(const struct chi_method *m, char *out, size_t cap);

CHI_END
#endif
