#include "echo.h"

#include <string.h>
#include <xxhash.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "chi/chimod.h"

static enum chi_status echo_init(struct chi_container *c)
{
    return chi_container_create_queue(c, 0, chi_container_workers(c));
}

static uint64_t sum_bytes(const uint8_t *p, uint64_t n)
{
    uint64_t sum = 0;
#if defined(__SSE2__)
    __m128i s = _mm_setzero_si128();
    for (; n >= 16; n -= 16, p += 16) /* the sum of absolute differences to 0, of each half */
        s = _mm_add_epi64(s, _mm_sad_epu8(_mm_loadu_si128((const __m128i *)p), _mm_setzero_si128()));
    sum = (uint64_t)_mm_cvtsi128_si64(s) + (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(s, s));
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

static enum chi_status run_io(struct echo_io *t)
{
    t->sum = sum_bytes(t->in.ptr, t->in.size);
    fill_pattern(t->out.ptr, t->out.size, t->seed);
    t->out.used = t->out.size;
    return CHI_STATUS_OK;
}

static enum chi_status run_digest(struct echo_digest *t)
{
    if (t->back.size < t->in.size)
        return CHI_STATUS_INVALID;
    const uint8_t *from = t->in.ptr;
    uint8_t *to = t->back.ptr;
    uint64_t i = 0;
    t->digest = XXH64(from, t->in.size, 0);
    for (; i + 8 <= t->in.size; i += 8) {
        uint64_t v;
        memcpy(&v, from + i, 8);
        v ^= t->key; /* byte i gets byte i % 8 of the key, on a little-endian machine */
        memcpy(to + i, &v, 8);
    }
    for (; i < t->in.size; i++)
        to[i] = from[i] ^ (uint8_t)(t->key >> 8 * (i & 7));
    t->back.used = t->in.size;
    return CHI_STATUS_OK;
}

static enum chi_status echo_run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c;
    (void)r;
    switch (task->method->id) {
    case ECHO_PING: /* the value goes back as it came */
        return CHI_STATUS_OK;
    case ECHO_IO:
        return run_io((struct echo_io *)task);
    case ECHO_DIGEST:
        return run_digest((struct echo_digest *)task);
    default:
        return CHI_STATUS_NO_METHOD;
    }
}

static struct chi_method *const methods[] = {&echo_ping_method, &echo_io_method, &echo_digest_method};
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
