/* le.h - little-endian numbers at any address.  PURE.  Compilers turn each into one move. */
#pragma once
#include <stdint.h>
#include <string.h>

#define LE_DEFINE(bits)                                          \
    static inline uint##bits##_t le##bits##_get(const void *p)   \
    {                                                            \
        uint##bits##_t v;                                        \
        memcpy(&v, p, sizeof v);                                 \
        return le##bits##_swap(v);                               \
    }                                                            \
    static inline void le##bits##_put(void *p, uint##bits##_t v) \
    {                                                            \
        v = le##bits##_swap(v);                                  \
        memcpy(p, &v, sizeof v);                                 \
    }
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define le16_swap(v) (v)
#define le32_swap(v) (v)
#define le64_swap(v) (v)
#else
#define le16_swap(v) __builtin_bswap16(v)
#define le32_swap(v) __builtin_bswap32(v)
#define le64_swap(v) __builtin_bswap64(v)
#endif
LE_DEFINE(16)
LE_DEFINE(32)
LE_DEFINE(64)
