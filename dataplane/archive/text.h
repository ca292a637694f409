/* text.h - text into the caller's memory, as much as fits.  PURE, inline. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* length: of all that was put; what is beyond cap is not written. */
struct text_out {
    char *p;
    size_t cap, length;
};

static inline void put_char(struct text_out *t, char c)
{
    if (t->length + 1 < t->cap)
        t->p[t->length] = c;
    t->length++;
}

static inline void put_word(struct text_out *t, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_char(t, s[i]);
}

static inline void put_number(struct text_out *t, uint64_t v, unsigned base)
{
    char digits[20];
    unsigned n = 0;
    do {
        digits[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    while (n)
        put_char(t, digits[--n]);
}

/* Ends the text with a NUL; returns the length of the whole. */
static inline size_t text_end(const struct text_out *t)
{
    if (t->cap)
        t->p[t->length < t->cap ? t->length : t->cap - 1] = '\0';
    return t->length;
}
