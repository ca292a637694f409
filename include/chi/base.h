/* base.h - what every public header of Chimaera builds on: visibility, checks, spans.  C11 and C++11.
 * Limits and numbers shared by all: docs/LIMITS.md. */
#ifndef CHI_BASE_H
#define CHI_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define CHI_BEGIN extern "C" {
#define CHI_END }
#define CHI_NORETURN [[noreturn]]
#define CHI_STATIC_ASSERT(e, msg) static_assert(e, msg)
#else
#define CHI_BEGIN
#define CHI_END
#define CHI_NORETURN _Noreturn
#define CHI_STATIC_ASSERT(e, msg) _Static_assert(e, msg)
#endif

#define CHI_API __attribute__((visibility("default")))
#define CHI_MUST_CHECK __attribute__((warn_unused_result))
#define CHI_INLINE static inline __attribute__((always_inline)) /* of the few functions whose call would cost a small task dearly */
#define CHI_LIKELY(x) __builtin_expect(!!(x), 1)
#define CHI_UNLIKELY(x) __builtin_expect(!!(x), 0)

enum { CHI_CACHE_LINE = 64 };

CHI_BEGIN

/* The panic hook: reports a bug of ours (never bytes from outside) and ends the process.
 * The program supplies it: the daemon dumps the worker's trace ring first.  Any thread. */
CHI_NORETURN CHI_API void chi_panic(const char *file, int line, const char *expr);

/* Checks a belief of ours, also in release builds.  Never used on what a peer, a client or a file said. */
#define CHI_ASSERT(e) (CHI_LIKELY(e) ? (void)0 : chi_panic(__FILE__, __LINE__, #e))

/* True when [off, off + len) lies within [0, size); cannot overflow.  A length of 0 still needs off <= size. */
static inline bool chi_span_ok(uint64_t off, uint64_t len, uint64_t size)
{
    return off <= size && len <= size - off;
}

CHI_END
#endif
