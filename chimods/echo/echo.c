#include "echo.h"

#include <string.h>
#include <xxhash.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "chi/chimod.h"

enum { IO_STEP = 64 << 10 }; /* bytes: some regions at once fit the second-level cache */

static enum chi_status echo_init(struct chi_container *c)
{
    return chi_container_create_queue(c, 0, chi_container_workers(c));
}

#if defined(__SSE2__)
static __m128i sum16(const uint8_t *p) { return _mm_sad_epu8(_mm_loadu_si128((const __m128i *)p), _mm_setzero_si128()); }
#endif

static uint64_t sum_bytes(const uint8_t *p, uint64_t n)
{
    uint64_t sum = 0;
#if defined(__SSE2__)
    __m128i a = _mm_setzero_si128(), b = a, c = a, d = a; /* four: none waits for the one before it */
    for (; n >= 64; n -= 64, p += 64) {                   /* the sum of absolute differences to 0, of each half */
        a = _mm_add_epi64(a, sum16(p));
        b = _mm_add_epi64(b, sum16(p + 16));
        c = _mm_add_epi64(c, sum16(p + 32));
        d = _mm_add_epi64(d, sum16(p + 48));
    }
    a = _mm_add_epi64(_mm_add_epi64(a, b), _mm_add_epi64(c, d));
    sum = (uint64_t)_mm_cvtsi128_si64(a) + (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(a, a));
#endif
    while (n--)
        sum += *p++;
    return sum;
}

static void fill_pattern(uint8_t *p, uint64_t n, uint64_t seed)
{
    uint64_t i = 0;
    for (; i < n && i < 256; i++)
        p[i] = (uint8_t)(seed + i);
    for (; i + 256 <= n; i += 256) /* the pattern repeats */
        memcpy(p + i, p, 256);
    for (; i < n; i++)
        p[i] = (uint8_t)(seed + i);
}

/* Sums what is there, while the caches still have it, and waits for more. */
static enum chi_status io_go_on(struct chi_container *c, struct chi_task *task, struct chi_rctx *r, enum chi_status st)
{
    struct echo_io *t = (struct echo_io *)task;
    uint64_t ready = chi_bulk_ready(r, task, &t->in);
    (void)c;
    if (st != CHI_STATUS_OK)
        return st;
    t->sum += sum_bytes((const uint8_t *)t->in.ptr + t->done, ready - t->done);
    t->done = ready;
    if (ready < t->in.size) {
        chi_bulk_wait(r, task, &t->in, ready + IO_STEP, io_go_on);
        return CHI_STATUS_PENDING;
    }
    fill_pattern(t->out.ptr, t->out.size, t->seed);
    t->out.used = t->out.size;
    return CHI_STATUS_OK;
}

/* Byte i gets byte i % 8 of the key. */
static void mask(uint8_t *to, const uint8_t *from, uint64_t i, uint64_t end, uint64_t key)
{
    for (; i < end && i & 7; i++)
        to[i] = from[i] ^ (uint8_t)(key >> 8 * (i & 7));
    for (; i + 8 <= end; i += 8) {
        uint64_t v;
        memcpy(&v, from + i, 8);
        v ^= key; /* on a little-endian machine */
        memcpy(to + i, &v, 8);
    }
    for (; i < end; i++)
        to[i] = from[i] ^ (uint8_t)(key >> 8 * (i & 7));
}

static enum chi_status run_digest(struct echo_digest *t)
{
    if (t->back.size < t->in.size)
        return CHI_STATUS_INVALID;
    t->digest = XXH64(t->in.ptr, t->in.size, 0);
    mask(t->back.ptr, t->in.ptr, 0, t->in.size, t->key);
    t->back.used = t->in.size;
    return CHI_STATUS_OK;
}

/* Takes what is there, sends what came of it, and waits for more. */
static enum chi_status go_on(struct chi_container *c, struct chi_task *task, struct chi_rctx *r, enum chi_status st)
{
    struct echo_stream *t = (struct echo_stream *)task;
    uint64_t all = t->stop && t->stop < t->in.size ? t->stop : t->in.size;
    uint64_t ready = chi_bulk_ready(r, task, &t->in), end = ready < all ? ready : all;
    (void)c;
    if (st != CHI_STATUS_OK)
        return st;
    t->early += end > t->done && ready < t->in.size;
    t->sum += sum_bytes((const uint8_t *)t->in.ptr + t->done, end - t->done);
    mask(t->back.ptr, t->in.ptr, t->done, end, t->key);
    t->done = t->back.used = end;
    if (end == all)
        return CHI_STATUS_OK;
    st = chi_bulk_push(r, task, &t->back, end);
    if (st != CHI_STATUS_OK)
        return st;
    chi_bulk_wait(r, task, &t->in, t->step < all - end ? end + (t->step ? t->step : 1) : all, go_on);
    return CHI_STATUS_PENDING;
}

static enum chi_status run_stream(struct chi_container *c, struct echo_stream *t, struct chi_rctx *r)
{
    return t->back.size < t->in.size ? CHI_STATUS_INVALID : go_on(c, &t->task, r, CHI_STATUS_OK);
}

static enum chi_status echo_run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    switch (task->method->id) {
    case ECHO_PING: /* the value goes back as it came */
        return CHI_STATUS_OK;
    case ECHO_IO:
        return io_go_on(c, task, r, CHI_STATUS_OK);
    case ECHO_DIGEST:
        return run_digest((struct echo_digest *)task);
    case ECHO_STREAM:
        return run_stream(c, (struct echo_stream *)task, r);
    default:
        return CHI_STATUS_NO_METHOD;
    }
}

static struct chi_method *const methods[] = {&echo_ping_method, &echo_io_method, &echo_digest_method, &echo_stream_method};
static const struct chi_chimod echo = {
    .abi = CHI_CHIMOD_ABI,
    .size = sizeof(struct chi_chimod),
    .name = "echo",
    .methods = methods,
    .nmethods = sizeof methods / sizeof methods[0],
    .init = echo_init,
    .run = echo_run,
};
CHI_CHIMOD(echo)
