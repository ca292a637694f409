/* scalar.h - moves scalars between memory and an archive.  PURE, inline: for the public calls and the field tables. */
#pragma once
#include <string.h>

#include "chi/archive.h"

/* Keeps the first error. */
static inline void ar_fail(struct chi_archive *ar, enum chi_status s)
{
    if (ar->status == CHI_STATUS_OK)
        ar->status = s;
}

/* WRITE, EXPOSE or both; STREAM beside WRITE; SLICED beside any. */
static inline bool ar_bulk_flags_ok(uint64_t flags)
{
    return flags & (CHI_WRITE | CHI_EXPOSE) && flags <= (CHI_WRITE | CHI_EXPOSE | CHI_STREAM | CHI_SLICED) &&
           (flags & CHI_WRITE || !(flags & CHI_STREAM));
}

/* Takes the next n > 0 bytes; NULL, with the status set, when they are not there or an error came before. */
static inline uint8_t *ar_next(struct chi_archive *ar, uint64_t n)
{
    if (CHI_UNLIKELY(ar->status != CHI_STATUS_OK))
        return NULL;
    if (CHI_UNLIKELY(n > ar->cap - ar->pos)) {
        ar->status = chi_ar_reading(ar) ? CHI_STATUS_ARCHIVE : CHI_STATUS_TOO_BIG;
        return NULL;
    }
    uint8_t *p = ar->buf + ar->pos;
    ar->pos += n;
    return p;
}

/* Copies n elements to or from little endian; no alignment is needed. */
static inline void ar_copy(void *dst, const void *src, uint64_t n, unsigned width)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t bytes = n * width;
    if (CHI_LIKELY(bytes == 8))
        memcpy(dst, src, 8);
    else
        memcpy(dst, src, bytes);
#else
    const uint8_t *from = src;
    uint8_t *to = dst;
    for (uint64_t i = 0; i < n; i++, from += width, to += width)
        for (unsigned k = 0; k < width; k++)
            to[k] = from[width - 1 - k];
#endif
}

static inline void ar_scalars(struct chi_archive *ar, void *v, uint64_t n, unsigned width)
{
    if (n == 0)
        return;
    /* What exceeds 64 bits exceeds any archive too. */
    uint8_t *p = ar_next(ar, n > UINT64_MAX / width ? UINT64_MAX : n * width);
    if (!p)
        return;
    if (chi_ar_reading(ar))
        ar_copy(v, p, n, width);
    else
        ar_copy(p, v, n, width);
}

/* A bool's memory is handled as bytes: one that holds neither 0 nor 1 must not even be loaded as a bool. */
static inline void ar_bools(struct chi_archive *ar, void *v, uint64_t n)
{
    uint8_t *p = n ? ar_next(ar, n) : NULL, *b = v;
    if (!p)
        return;
    bool reading = chi_ar_reading(ar);
    for (uint64_t i = 0; i < n; i++) {
        uint8_t value = reading ? p[i] : b[i] != 0;
        if (value > 1) {
            ar->status = CHI_STATUS_ARCHIVE;
            return;
        }
        *(reading ? b + i : p + i) = value;
    }
}
