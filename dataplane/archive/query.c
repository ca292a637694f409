/* query.c - the text form of domain queries. */
#include <string.h>

#include "chi/query.h"
#include "text.h"

/* What follows the word of a kind: nothing, `:number` or `:number+number`. */
enum { ARGS_NONE = 0, ARGS_VALUE = 1, ARGS_RANGE = 2 };

static const struct query_word {
    const char *word;
    uint8_t length, kind, args;
    bool hex; /* printed with 0x */
    uint64_t max;
} words[] = {
    {"local", 5, CHI_QUERY_LOCAL, ARGS_NONE, false, 0},
    {"direct", 6, CHI_QUERY_DIRECT_ID, ARGS_VALUE, false, UINT64_MAX},
    {"hash", 4, CHI_QUERY_DIRECT_HASH, ARGS_VALUE, true, UINT64_MAX},
    {"range", 5, CHI_QUERY_RANGE, ARGS_RANGE, false, UINT64_MAX},
    {"broadcast", 9, CHI_QUERY_BROADCAST, ARGS_NONE, false, 0},
    {"physical", 8, CHI_QUERY_PHYSICAL, ARGS_VALUE, false, UINT32_MAX},
    {"dynamic", 7, CHI_QUERY_DYNAMIC, ARGS_NONE, false, 0},
};
enum { WORDS = sizeof words / sizeof words[0] };

static int digit_of(char c, unsigned base)
{
    int d = c >= '0' && c <= '9'   ? c - '0'
            : c >= 'a' && c <= 'f' ? c - 'a' + 10
            : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                   : 99;
    return d < (int)base ? d : -1;
}

/* Reads a decimal or 0x number of at most max; returns what follows it, or NULL. */
static const char *read_number(const char *s, uint64_t max, uint64_t *out)
{
    unsigned base = 10;
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
        base = 16;
        s += 2;
    }
    if (digit_of(*s, base) < 0)
        return NULL;
    uint64_t v = 0;
    for (int d; (d = digit_of(*s, base)) >= 0; s++) {
        if (v > (max - (uint64_t)d) / base)
            return NULL;
        v = v * base + (uint64_t)d;
    }
    *out = v;
    return s;
}

static bool starts_with(const char *text, const struct query_word *w)
{
    for (unsigned i = 0; i < w->length; i++)
        if (text[i] != w->word[i])
            return false;
    return true;
}

enum chi_status chi_query_parse(const char *text, struct chi_query *out)
{
    if (!text)
        return CHI_STATUS_INVALID;
    const struct query_word *w = words;
    while (w < words + WORDS && !starts_with(text, w))
        w++;
    if (w == words + WORDS)
        return CHI_STATUS_INVALID;
    const char *s = text + w->length;
    uint64_t value = 0, count = 0;
    if (w->args != ARGS_NONE && (*s != ':' || !(s = read_number(s + 1, w->max, &value))))
        return CHI_STATUS_INVALID;
    if (w->args == ARGS_RANGE && (*s != '+' || !(s = read_number(s + 1, UINT32_MAX, &count))))
        return CHI_STATUS_INVALID;
    if (*s != '\0')
        return CHI_STATUS_INVALID;
    *out = (struct chi_query){w->kind, (uint32_t)count, value};
    return CHI_STATUS_OK;
}

size_t chi_query_format(const struct chi_query *q, char *out, size_t cap)
{
    struct text_out t = {out, cap, 0};
    const struct query_word *w = words;
    while (w < words + WORDS && w->kind != q->kind)
        w++;
    if (w == words + WORDS) {
        put_word(&t, "unknown:", 8);
        put_number(&t, q->kind, 10);
    } else {
        put_word(&t, w->word, w->length);
        if (w->args != ARGS_NONE) {
            put_word(&t, w->hex ? ":0x" : ":", w->hex ? 3 : 1);
            put_number(&t, q->value, w->hex ? 16 : 10);
        }
        if (w->args == ARGS_RANGE) {
            put_char(&t, '+');
            put_number(&t, q->count, 10);
        }
    }
    return text_end(&t);
}
