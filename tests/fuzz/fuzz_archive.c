/* fuzz_archive.c - forms and bodies of any bytes: what decodes is written again as the very same bytes, nothing outside
 * of the method's struct is touched, nor the head that all tasks share; also when the field table itself is nonsense.
 *
 * Input: a byte that picks the method, then a form; for the last pick, a table comes before it. */
#include <stdlib.h>
#include <string.h>

#include "archive/form.h"
#include "fuzz.h"

struct mixed {
    struct chi_task task;
    uint8_t a;
    bool flag[3];
    uint16_t b[5];
    float f;
    uint64_t c;
    CHI_STR_T(21) text;
    CHI_BYTES_T(300) blob;
    double d[2];
    struct chi_bulk in, out, both, stream;
};
CHI_FIELDS(mixed_fields) = {
    CHI_INOUT(U8, struct mixed, a),       CHI_INOUT(BOOL, struct mixed, flag), CHI_INOUT(U16, struct mixed, b),
    CHI_INOUT(F32, struct mixed, f),      CHI_INOUT(U64, struct mixed, c),     CHI_STR(INOUT, struct mixed, text),
    CHI_BYTES(INOUT, struct mixed, blob), CHI_INOUT(F64, struct mixed, d),     CHI_BULK_IN(struct mixed, in),
    CHI_BULK_OUT(struct mixed, out),      CHI_BULK_INOUT(struct mixed, both), CHI_BULK_INOUT_STREAM(struct mixed, stream),
};
CHI_METHOD_VAR(mixed_method) = CHI_METHOD(1, struct mixed, mixed_fields);

struct word {
    struct chi_task task;
    uint64_t value;
};
CHI_FIELDS(word_fields) = {CHI_INOUT(U64, struct word, value)};
CHI_METHOD_VAR(word_method) = CHI_METHOD(2, struct word, word_fields);

struct bare {
    struct chi_task task;
    uint64_t out;
};
CHI_FIELDS(bare_fields) = {CHI_OUT(U64, struct bare, out)};
CHI_METHOD_VAR(bare_method) = CHI_METHOD(3, struct bare, bare_fields);

/* By hand: a list, each entry with a region of its own. */
enum { LIST_MAX = 18 }; /* more than there can be regions */
struct list {
    struct chi_task task;
    uint32_t n;
    struct entry {
        uint16_t key;
        bool wanted;
        struct chi_bulk bulk;
    } e[LIST_MAX];
};
static void list_serialize(struct chi_archive *ar, struct chi_task *task)
{
    struct list *l = (struct list *)task;
    bool in = ar->kind == CHI_AR_OUTPUT_IN || ar->kind == CHI_AR_INPUT_IN;
    chi_ar_u32(ar, &l->n, 1);
    if (l->n > LIST_MAX) {
        ar->status = ar->status ? ar->status : CHI_STATUS_ARCHIVE;
        return;
    }
    for (uint32_t i = 0; i < l->n; i++) {
        struct entry *e = &l->e[i];
        chi_ar_u16(ar, &e->key, 1);
        chi_ar_bool(ar, &e->wanted, 1);
        if (ar->status == CHI_STATUS_OK && e->wanted)
            chi_ar_bulk(ar, &e->bulk.ptr, in ? &e->bulk.size : &e->bulk.used, CHI_WRITE | CHI_EXPOSE);
    }
}
CHI_METHOD_VAR(list_method) = CHI_METHOD_BY_HAND(4, struct list, list_serialize, list_serialize);

/* Every kind of field inside others. */
struct part {
    uint16_t key;
    bool has_name;
    CHI_STR_T(5) name;
    CHI_VEC_T(uint32_t, 3) marks;
};
CHI_FIELDS(part_items) = {
    CHI_ITEM(U16, struct part, key),
    CHI_OPTIONAL(ITEM, struct part, has_name, CHI_STR(ITEM, struct part, name)),
    CHI_VEC_OF(ITEM, U32, struct part, marks),
};
enum { TAIL_MAX = 8, TAIL_BYTES = 1 + TAIL_MAX };
/* A byte that says how many follow. */
static void tail_fn(struct chi_archive *ar, void *member)
{
    uint8_t *p = member, n = p[0];
    chi_ar_u8(ar, &n, 1);
    if (n > TAIL_MAX) {
        ar->status = ar->status ? ar->status : CHI_STATUS_ARCHIVE;
        return;
    }
    p[0] = n;
    chi_ar_u8(ar, p + 1, n);
}
struct nest {
    struct chi_task task;
    struct part one;
    bool has_two;
    struct part two;
    CHI_VEC_T(struct part, 3) parts;
    CHI_VEC_T(bool, 7) flags;
    uint8_t tail[TAIL_BYTES];
};
CHI_FIELDS(nest_fields) = {
    CHI_STRUCT(INOUT, struct nest, one, part_items),
    CHI_OPTIONAL(INOUT, struct nest, has_two, CHI_STRUCT(INOUT, struct nest, two, part_items)),
    CHI_VEC(INOUT, struct nest, parts, part_items),
    CHI_VEC_OF(INOUT, BOOL, struct nest, flags),
    CHI_CUSTOM(INOUT, struct nest, tail, tail_fn, TAIL_BYTES),
};
CHI_METHOD_VAR(nest_method) = CHI_METHOD(6, struct nest, nest_fields);

enum { ANY = 4, PICKS = 6, TABLE_FIELDS = 8, TABLE_BYTES = 12 };

/* Any bytes as a table of at most 8 fields, which may be inside each other; returns how many bytes it took. */
static size_t any_table(const uint8_t *p, size_t n, struct chi_field *fields, struct chi_method *m)
{
    *m = (struct chi_method){.name = "ANY", .fields = fields, .size = 512, .id = 5};
    size_t at = 0;
    for (; m->nfields < TABLE_FIELDS && n - at >= TABLE_BYTES; at += TABLE_BYTES) {
        uint32_t offset, count;
        memcpy(&offset, p + at, 4);
        memcpy(&count, p + at + 4, 4);
        struct chi_field *f = &fields[m->nfields++];
        bool own = p[at + 11] & 1;
        *f = (struct chi_field){"f", offset, count, p[at + 8], p[at + 9], own ? p[at + 11] % TABLE_FIELDS : 4, p[at + 10], offset + p[at + 11] / 2,
                                own ? fields : part_items, tail_fn, "tail_fn"};
        if (f->type == CHI_T_CUSTOM)
            f->size = f->size < TAIL_BYTES ? TAIL_BYTES : f->size;
    }
    for (size_t i = m->nfields; i < TABLE_FIELDS; i++)
        fields[i] = (struct chi_field){0};
    if (n % 2)
        (void)chi_method_hash(m); /* then what is a run is copied as one */
    return at;
}

static void lists_equal(const struct chi_ar_region *a, const struct chi_ar_region *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        CHI_ASSERT(a[i].ptr == b[i].ptr && a[i].size == b[i].size && a[i].flags == b[i].flags);
}

/* Reads a body, writes it again.  Overlapping fields of a nonsense table read what a later one stored: only known
 * tables give the same bytes. */
static void body_check(struct chi_method *m, bool known, bool in, const uint8_t *body, size_t n,
                       struct chi_ar_region *r, uint32_t nregions)
{
    uint8_t *task = malloc(m->size), *again = malloc(n ? n : 1), head[sizeof(struct chi_task)];
    memset(task, 0, m->size);
    memset(task, 0x5a, sizeof head);
    memcpy(head, task, sizeof head);
    for (uint32_t i = 0; i < nregions; i++)
        r[i].used = in ? 0 : CHI_USED_UNKNOWN;
    struct chi_archive ar;
    chi_ar_init(&ar, in ? CHI_AR_INPUT_IN : CHI_AR_INPUT_OUT, (uint8_t *)(uintptr_t)body, n, r, nregions);
    enum chi_status st = chi_ar_task(&ar, m, (struct chi_task *)task);
    const char *field, *wrong = chi_method_wrong(m, &field);
    CHI_ASSERT(st == CHI_STATUS_OK || st == CHI_STATUS_ARCHIVE || (st == CHI_STATUS_INVALID && wrong));
    CHI_ASSERT(!known || !wrong);
    CHI_ASSERT(memcmp(task, head, sizeof head) == 0 && ar.pos <= n && ar.next_region <= nregions);
    for (uint32_t i = 0; !in && i < nregions; i++)
        CHI_ASSERT(r[i].used == CHI_USED_UNKNOWN || r[i].used <= r[i].size);
    if (st == CHI_STATUS_OK && known) {
        struct chi_ar_region back[CHI_REGIONS_MAX];
        memcpy(back, r, nregions * sizeof *r);
        chi_ar_init(&ar, in ? CHI_AR_OUTPUT_IN : CHI_AR_OUTPUT_OUT, again, n, in ? back : r, in ? 0 : nregions);
        CHI_ASSERT(chi_ar_task(&ar, m, (struct chi_task *)task) == CHI_STATUS_OK);
        CHI_ASSERT(ar.pos == n && (n == 0 || memcmp(again, body, n) == 0));
        if (in)
            CHI_ASSERT(ar.nregions == nregions);
        lists_equal(in ? back : r, r, nregions);
    }
    free(task);
    free(again);
}

static void form_check(struct chi_method *m, bool known, const uint8_t *p, size_t n)
{
    static uint8_t somewhere;
    struct form_head h, cleared;
    uint8_t again[FORM_PREFIX_MAX];
    struct chi_ar_region r[CHI_REGIONS_MAX];
    memset(&h, 0xa5, sizeof h);
    if (form_decode(p, n, &h) != CHI_DROP_NONE)
        return;
    size_t prefix = form_prefix_bytes(h.regions);
    CHI_ASSERT(prefix <= n && form_encode(again, &h) == prefix);
    form_say_fresh(again, form_fresh(p));
    CHI_ASSERT(memcmp(again, p, prefix) == 0);
    form_clear_places(again, h.regions);
    CHI_ASSERT(form_decode(again, prefix, &cleared) == CHI_DROP_NONE);
    for (uint32_t i = 0; i < h.regions; i++) {
        CHI_ASSERT(cleared.region[i].place == 0 && cleared.region[i].size == h.region[i].size);
        r[i] = (struct chi_ar_region){&somewhere, h.region[i].size, 0, h.region[i].flags};
    }
    body_check(m, known, true, p + prefix, n - prefix, r, h.regions);
    body_check(m, known, false, p + prefix, n - prefix, r, h.regions);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct chi_method *const methods[PICKS] = {&mixed_method, &word_method, &bare_method, &list_method, NULL, &nest_method};
    struct chi_field fields[TABLE_FIELDS];
    struct chi_method any;
    if (size == 0 || size > CHI_FORM_BYTES_MAX)
        return 0;
    unsigned pick = data[0] % PICKS;
    data++;
    size--;
    if (pick != ANY) {
        form_check(methods[pick], true, data, size);
    } else {
        size_t used = any_table(data, size, fields, &any);
        const char *field;
        char text[256];
        if (!chi_method_wrong(&any, &field))
            (void)chi_schema_print(&any, text, sizeof text);
        form_check(&any, false, data + used, size - used);
    }
    return 0;
}

/* --- seeds */

typedef void (*emit_fn)(const char *name, const void *data, size_t size);

static void emit_task(emit_fn emit, const char *name, uint8_t pick, struct chi_method *m, struct chi_task *task)
{
    uint8_t p[4096];
    struct chi_ar_region r[CHI_REGIONS_MAX];
    uint32_t n;
    enum chi_status st;
    task->method = m;
    task->query = chi_direct(1);
    p[0] = pick;
    size_t length = form_save(p + 1, sizeof p - 1, task, r, &n, NULL, NULL, &st);
    if (length)
        emit(name, p, length + 1);
}

static void emit_out(emit_fn emit, const char *name, uint8_t pick, struct chi_method *m, struct chi_task *task,
                     const struct form_head *h)
{
    uint8_t p[4096];
    struct chi_ar_region r[CHI_REGIONS_MAX];
    struct chi_archive ar;
    p[0] = pick;
    size_t at = 1 + form_encode(p + 1, h);
    for (uint32_t i = 0; i < h->regions; i++)
        r[i] = (struct chi_ar_region){p, h->region[i].size, 0, h->region[i].flags};
    chi_ar_init(&ar, CHI_AR_OUTPUT_OUT, p + at, sizeof p - at, r, h->regions);
    if (chi_ar_task(&ar, m, task) == CHI_STATUS_OK)
        emit(name, p, at + ar.pos);
}

static void emit_table(emit_fn emit)
{
    uint8_t p[1 + TABLE_FIELDS * TABLE_BYTES + FORM_HEAD_BYTES + 64] = {ANY};
    for (uint32_t i = 0; i < TABLE_FIELDS; i++) {
        uint32_t offset = 64 + 8 * i, count = 1;
        memcpy(p + 1 + i * TABLE_BYTES, &offset, 4);
        memcpy(p + 5 + i * TABLE_BYTES, &count, 4);
        p[9 + i * TABLE_BYTES] = CHI_DIR_INOUT;
        p[10 + i * TABLE_BYTES] = CHI_T_U64;
    }
    struct form_head h = {.query = chi_local(), .regions = 0};
    form_encode(p + 1 + TABLE_FIELDS * TABLE_BYTES, &h);
    emit("any_table.bin", p, sizeof p);
    p[10] = CHI_T_BYTES;
    p[22] = CHI_T_BOOL;
    p[34] = CHI_T_BULK;
    emit("any_table_mixed.bin", p, sizeof p);
    /* a vector of structs of a known table; one of its own; something optional; a function; and their bytes */
    static const uint8_t type[] = {CHI_T_VEC | CHI_T_STRUCT, CHI_T_STRUCT, CHI_T_OPTIONAL, CHI_T_VEC | CHI_T_U16, CHI_T_CUSTOM};
    static const uint8_t size[] = {sizeof(struct part), sizeof(struct part), 0, 2, TAIL_BYTES}, data[] = {8, 0, 0, 8, 0};
    for (uint32_t i = 0; i < sizeof type; i++) {
        uint32_t count = type[i] & CHI_T_VEC ? 2 : type[i] == CHI_T_CUSTOM ? TAIL_BYTES : 1;
        memcpy(p + 1 + i * TABLE_BYTES, &(uint32_t){72 + 80 * i}, 4);
        memcpy(p + 5 + i * TABLE_BYTES, &count, 4);
        p[10 + i * TABLE_BYTES] = type[i];
        p[11 + i * TABLE_BYTES] = size[i];
        p[12 + i * TABLE_BYTES] = data[i];
    }
    emit("any_table_nested.bin", p, sizeof p);
    p[12 + TABLE_BYTES] = 5; /* inside itself */
    emit("any_table_self.bin", p, sizeof p);
}

void fuzz_seeds(emit_fn emit)
{
    static uint8_t memory[64];
    struct mixed m = {.a = 1, .flag = {true, false, true}, .c = 77, .text = {5, "hello"}, .blob = {300, {9}}};
    m.in = m.out = m.both = m.stream = (struct chi_bulk){memory, 64, 0};
    emit_task(emit, "mixed_in.bin", 0, &mixed_method, &m.task);
    m.out.used = 64;
    m.both.used = 1;
    const struct form_head h = {.query = chi_local(),
                                .regions = 4,
                                .region = {{64, 0, CHI_WRITE}, {64, 0, CHI_EXPOSE}, {64, 0, CHI_WRITE | CHI_EXPOSE},
                                           {64, 0, CHI_WRITE | CHI_EXPOSE | CHI_STREAM}}};
    emit_out(emit, "mixed_out.bin", 0, &mixed_method, &m.task, &h);
    struct word w = {.value = 5};
    emit_task(emit, "word_in.bin", 1, &word_method, &w.task);
    struct bare b = {.out = 3};
    emit_task(emit, "bare_in.bin", 2, &bare_method, &b.task);
    struct list l = {.n = 17};
    for (unsigned i = 0; i < 17; i++)
        l.e[i] = (struct entry){(uint16_t)i, i != 4, {memory, i, 0}};
    emit_task(emit, "list_in.bin", 3, &list_method, &l.task);
    struct nest n = {.one = {1, true, {2, "ab"}, {1, {7}}}, .parts = {2, {{3, false, {0}, {3, {1, 2, 3}}}, {4, true, {5, "fives"}, {0}}}}, .flags = {2, {true}}, .tail = {3, 9, 8, 7}};
    emit_task(emit, "nest_in.bin", 5, &nest_method, &n.task);
    n.has_two = true;
    n.two.key = 6;
    const struct form_head plain = {.query = chi_local()};
    emit_out(emit, "nest_out.bin", 5, &nest_method, &n.task, &plain);
    emit_table(emit);
    emit("empty.bin", memory, 0);
}
