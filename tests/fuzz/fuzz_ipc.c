/* fuzz_ipc.c - a client that writes anything into its segment, also between any two reads of the worker's: what was
 * taken satisfies what was checked, and every submission is answered once.
 *
 * The worker's own source is compiled in here with a hook before each read of shared memory.  Input: for each
 * submission a byte that picks a template, 56 bytes of slot, then what the hook consumes: a byte of what to change, and
 * how. */
#define SHM_READ_HOOK
#include "ipc/ring.c"

#include <stdlib.h>

#include "fuzz.h"

enum { DEPTH = 4, BULK = 3 * CHI_FORM_BYTES_MAX, FORM_ROOM = 1024, SUBMISSIONS_MAX = 64 };

static struct ipc_channel *ch;
static const uint8_t *input;
static size_t left;
static struct line *slot; /* of the submission under way */
static unsigned changes;

static uint8_t next_byte(void)
{
    if (left == 0)
        return 0;
    left--;
    return *input++;
}

static uint64_t next_word(void)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++)
        v |= (uint64_t)next_byte() << 8 * i;
    return v;
}

/* Changes one word: of the slot, the form, the header, or anywhere. */
void shm_read_hook(void)
{
    uint8_t what = next_byte();
    if (what % 8 == 0 || left == 0)
        return;
    uint8_t where = next_byte();
    uint64_t *word;
    switch (what % 8) {
    case 1:
    case 2:
        word = (uint64_t *)slot + where % 8;
        break;
    case 3:
    case 4:
    case 5:
        word = (uint64_t *)(ch->base + ch->bulk_offset) + where % (FORM_ROOM / 8);
        break;
    case 6:
        word = (uint64_t *)ch->base + where % (sizeof(struct shm_header) / 8);
        break;
    default:
        word = (uint64_t *)ch->base + next_word() % (ch->size / 8);
    }
    if (what & 0x80)
        *word = next_word();
    else
        *word ^= UINT64_C(1) << (what >> 3) % 16 * 4; /* one bit of each half byte: lengths, counts, flags */
    changes++;
}

static void segment_reset(void)
{
    if (!ch) {
        const struct shm_attach_request rq = {SHM_MAGIC, SHM_VERSION, BULK, DEPTH, 0};
        const struct ipc_limits lim = {BULK, DEPTH};
        if (ipc_create(&rq, &lim, &ch))
            abort();
    }
    memset(ch->base, 0, ch->bulk_offset + FORM_ROOM);
    ch->submit_at = ch->complete_at = ch->tasks = ch->rejected = 0;
    ch->out = ch->rung = ch->sleep_number = ch->unsettled = ch->empty = 0;
}

static void submission_write(uint64_t at)
{
    struct shm_submit s;
    uint8_t template = next_byte();
    for (unsigned i = 0; i < sizeof s; i++)
        ((uint8_t *)&s)[i] = next_byte();
    if (template & 1) /* a cookie that can be */
        s.cookie %= DEPTH;
    if (template & 2) { /* an external form that can be */
        struct form_head h = {.query = {CHI_QUERY_LOCAL, 0, 0}, .regions = (uint8_t)(template >> 4)};
        for (unsigned i = 0; i < h.regions; i++)
            h.region[i] = (struct form_region){64, ch->bulk_offset + next_word() % (2 * BULK), CHI_WRITE};
        form_encode(ch->base + ch->bulk_offset, &h);
        s.length = 0;
        s.flags = SHM_EXTERNAL;
        s.external.form_offset = s.external.answer_offset = ch->bulk_offset;
        s.external.form_length = form_prefix_bytes(h.regions) + template % 16;
        s.external.answer_cap = next_byte();
        memset(s.external.zero, 0, sizeof s.external.zero);
    }
    slot = line_put_at(ch->submit, ch->mask, at);
    memcpy(slot->payload, &s, sizeof s);
    slot->sequence = at + 1;
}

static void taken_check(const struct ipc_request *rq, const uint8_t *scratch)
{
    struct form_head h;
    CHI_ASSERT(rq->cookie < DEPTH && rq->form_length <= CHI_FORM_BYTES_MAX);
    CHI_ASSERT(form_decode(scratch, rq->form_length, &h) == CHI_DROP_NONE);
    CHI_ASSERT(h.regions == ch->head.regions && h.query.kind == ch->head.query.kind && h.method == ch->head.method);
    CHI_ASSERT(form_prefix_bytes(h.regions) <= rq->form_length);
    for (unsigned i = 0; i < h.regions; i++) {
        CHI_ASSERT(h.region[i].size == ch->head.region[i].size && h.region[i].place == ch->head.region[i].place);
        const uint8_t *p = ipc_region_st(ch, h.region[i].place, h.region[i].size);
        if (p)
            CHI_ASSERT(p >= ch->base + ch->bulk_offset && h.region[i].size <= (uint64_t)(ch->base + ch->size - p));
    }
    if (rq->answer_cap != SHM_COMPLETE_INLINE || rq->answer_offset)
        CHI_ASSERT(rq->answer_offset >= ch->bulk_offset && chi_span_ok(rq->answer_offset, rq->answer_cap, ch->size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t body[512];
    uint8_t *scratch = malloc(CHI_FORM_BYTES_MAX); /* of exactly that size: ASan sees what goes beyond */
    struct ipc_request rq[DEPTH];
    unsigned open = 0;
    input = data;
    left = size;
    segment_reset();
    for (uint64_t at = 0; left > 0 && at < SUBMISSIONS_MAX; at++) {
        submission_write(at);
        uint64_t tasks = ch->tasks, rejected = ch->rejected, completed = ch->complete_at;
        struct ipc_request one;
        bool got;
        enum chi_drop d = ipc_take_st(ch, scratch, &one, &got);
        if (!got) { /* the sequence was overwritten before it was read */
            CHI_ASSERT(d == CHI_DROP_NONE && ch->tasks == tasks && ch->complete_at == completed);
            at--;
        } else if (d != CHI_DROP_NONE) {
            CHI_ASSERT(d == CHI_DROP_CLIENT_FORM || (d == CHI_DROP_CLIENT_DEPTH && open == DEPTH));
            CHI_ASSERT(ch->rejected == rejected + 1 && ch->complete_at == completed + 1 && ch->out == open);
        } else {
            CHI_ASSERT(ch->tasks == tasks + 1 && ch->complete_at == completed && open < DEPTH);
            taken_check(&one, scratch);
            rq[open++] = one;
        }
        while (open > 0 && (next_byte() % 3 || open == DEPTH))
            ipc_complete_st(ch, &rq[--open], CHI_STATUS_OK, body, (uint32_t)next_byte() * 2);
        CHI_ASSERT(ch->out == open);
    }
    while (open > 0)
        ipc_complete_st(ch, &rq[--open], CHI_STATUS_NO_POOL, NULL, 0);
    CHI_ASSERT(ch->out == 0 && ch->complete_at == ch->tasks + ch->rejected);
    if (ipc_sleep_st(ch))
        ipc_awake_st(ch);
    free(scratch);
    return 0;
}

/* --- seeds */

static size_t slot_put(uint8_t *p, uint8_t template, const struct shm_submit *s)
{
    p[0] = template;
    memcpy(p + 1, s, sizeof *s);
    return 1 + sizeof *s;
}

void fuzz_seeds(void (*emit)(const char *name, const void *data, size_t size))
{
    uint8_t p[1024] = {0};
    struct shm_submit s = {.cookie = 1, .length = 40};
    struct form_head h = {.query = {CHI_QUERY_LOCAL, 0, 0}, .method = 1};
    form_encode(s.bytes, &h);
    size_t n = slot_put(p, 0, &s);
    memset(p + n, 0, 16);
    emit("inline.bin", p, n + 16);
    n = slot_put(p, 0x32, &s); /* external, three regions */
    memset(p + n, 0, 200);
    emit("external.bin", p, n + 200);
    n = slot_put(p, 0x33, &s);
    for (size_t i = n; i < n + 300; i += 3) { /* changes the form before each read */
        p[i] = (uint8_t)(3 + 8 * (i % 16));
        p[i + 1] = (uint8_t)(i % 16);
        p[i + 2] = 0;
    }
    emit("external_changes.bin", p, n + 300);
    n = slot_put(p, 0, &s);
    for (size_t i = n; i < n + 60; i += 2) { /* changes the slot before each read */
        p[i] = (uint8_t)(1 + 8 * (i % 16));
        p[i + 1] = (uint8_t)i;
    }
    emit("inline_changes.bin", p, n + 60);
    static const char *const moved[] = {"length.bin", "form_offset.bin", "answer_offset.bin", "lengths.bin"};
    for (unsigned word = 0; word < 4; word++) { /* a far value in one word of an external slot, set before it is read */
        n = slot_put(p, 0x32, &s);
        memset(p + n, 0, 100);
        p[n + 25] = 1 + 8 * 10; /* behind the places of three regions and the answer's room */
        p[n + 26] = (uint8_t)word;
        emit(moved[word], p, n + 100);
    }
    s.cookie = DEPTH;
    n = slot_put(p, 0, &s);
    emit("cookie.bin", p, n);
    s.flags = SHM_EXTERNAL;
    s.cookie = 0;
    memset(s.bytes, 0xff, sizeof s.bytes);
    n = slot_put(p, 0, &s);
    emit("offsets.bin", p, n);
}
