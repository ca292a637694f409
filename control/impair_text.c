#include "impair_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nearest.h"

enum { WORD_MAX = 64, DECIMALS_MAX = 9, UNITS_MAX = 6 };
static const uint64_t DECIMAL = 1000000000; /* 10 ^ DECIMALS_MAX */

const char *const impair_side_names[IMPAIR_SIDES] = {"a-b", "b-a"};

enum kind { SHARE, COUNT, TIME, RATE, SIZE, MTU, REORDER, SWITCH, CLEAR };

/* Numbers of a kind: their units, largest first, and what is possible. */
static const struct quantity {
    struct {
        const char *name;
        uint64_t scale;
    } unit[UNITS_MAX];
    uint64_t least, most; /* 0 is allowed beside them: off */
    const char *possible;
} quantities[] = {
    [SHARE] = {{{"%", IMPAIR_PPB / 100}}, 1, IMPAIR_PPB, "a share from 0% to 100%, in steps of 0.0000001%, like 0.1%"},
    [COUNT] = {{{"", 1}}, 1, IMPAIR_BURST_MAX, "a number of packets from 1 to 10000"},
    [TIME] = {{{"s", 1000000000}, {"ms", 1000000}, {"us", 1000}, {"ns", 1}},
              1,
              IMPAIR_TIME_MAX_NS,
              "a time from 0 to 10s in ns, us, ms or s, like 20us"},
    [RATE] = {{{"T", 1000000000000}, {"G", 1000000000}, {"M", 1000000}, {"K", 1000}, {"", 1}},
              IMPAIR_RATE_MIN_BPS,
              IMPAIR_RATE_MAX_BPS,
              "bits a second from 1K to 1T (powers of 1000), like 10G; 0: no limit"},
    [SIZE] = {{{"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"", 1}},
              1,
              IMPAIR_QUEUE_MAX_BYTES,
              "bytes from 1 to 1G (powers of 1024), like 256K"},
    [MTU] = {{{"", 1}}, IMPAIR_MTU_MIN, IMPAIR_MTU_MAX, "bytes of an IP packet from 68 to 65535; 0: no limit"},
    [REORDER] = {.possible = "SHARE/TIME, a share of packets and how much later they leave, like 1%/50us; 0: none"},
    [SWITCH] = {.possible = "yes or no"},
    [CLEAR] = {.possible = "clear, without a value"},
};

static const struct setting {
    const char *name;
    enum kind kind;
    size_t offset;
    bool zero; /* 0 is possible */
} settings[] = {
    {"loss", SHARE, offsetof(struct impair_settings, loss_ppb), true},
    {"burst", COUNT, offsetof(struct impair_settings, burst), false},
    {"dup", SHARE, offsetof(struct impair_settings, dup_ppb), true},
    {"reorder", REORDER, offsetof(struct impair_settings, reorder_ppb), true},
    {"corrupt", SHARE, offsetof(struct impair_settings, corrupt_ppb), true},
    {"truncate", SHARE, offsetof(struct impair_settings, truncate_ppb), true},
    {"delay", TIME, offsetof(struct impair_settings, delay_ns), true},
    {"jitter", TIME, offsetof(struct impair_settings, jitter_ns), true},
    {"rate", RATE, offsetof(struct impair_settings, rate_bps), true},
    {"queue", SIZE, offsetof(struct impair_settings, queue_bytes), false},
    {"ecn", SIZE, offsetof(struct impair_settings, ecn_bytes), true},
    {"mtu", MTU, offsetof(struct impair_settings, mtu_bytes), true},
    {"cut", SWITCH, offsetof(struct impair_settings, cut), false},
    {"clear", CLEAR, 0, false},
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };
CHI_STATIC_ASSERT(SETTINGS <= 32, "a bit for each in struct clause");

__attribute__((format(printf, 2, 3))) static int wrong(char *err, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(err, IMPAIR_TEXT_ERROR_BYTES, format, list);
    va_end(list);
    for (char *p = err; *p; p++) /* one line, whatever was given */
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = '?';
    return -EINVAL;
}

/* A decimal number with a unit of the quantity; false: it is none, or out of range. */
static bool number(const struct quantity *q, const char *text, bool zero, uint64_t *out)
{
    unsigned __int128 v = 0;
    unsigned digits = 0, decimals = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9' && digits < 18; p++, digits++)
        v = v * 10 + (unsigned)(*p - '0');
    if (!digits)
        return false;
    if (*p == '.') {
        for (p++; *p >= '0' && *p <= '9' && decimals < DECIMALS_MAX; p++, decimals++)
            v = v * 10 + (unsigned)(*p - '0');
        if (!decimals)
            return false;
    }
    for (; decimals < DECIMALS_MAX; decimals++)
        v *= 10;
    if (v == 0 && !*p) { /* 0 needs no unit */
        *out = 0;
        return zero;
    }
    for (unsigned i = 0; i < UNITS_MAX && q->unit[i].name; i++) {
        if (strcmp(p, q->unit[i].name) != 0)
            continue;
        v *= q->unit[i].scale;
        if (v % DECIMAL || v / DECIMAL > q->most)
            return false;
        *out = (uint64_t)(v / DECIMAL);
        return *out ? *out >= q->least : zero;
    }
    return false;
}

static bool reorder(const char *text, struct impair_settings *s)
{
    char share[WORD_MAX] = "";
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    uint64_t ppb, ns = 0;
    memcpy(share, text, n < WORD_MAX ? n : WORD_MAX - 1); /* a word is shorter */
    if (!number(&quantities[SHARE], share, true, &ppb) ||
        (slash && !number(&quantities[TIME], slash + 1, false, &ns)) || (!slash && ppb))
        return false;
    s->reorder_ppb = (uint32_t)ppb;
    s->reorder_ns = ppb ? ns : 0;
    return true;
}

/* Gives a setting its value; false: the value is none of those that are possible. */
static bool value_set(const struct setting *one, const char *value, struct impair_settings *s)
{
    void *at = (char *)s + one->offset;
    uint64_t n = 0;
    switch (one->kind) {
    case CLEAR:
        *s = impair_none;
        return !value;
    case SWITCH:
        s->cut = value && strcmp(value, "yes") == 0;
        return s->cut || (value && strcmp(value, "no") == 0);
    case REORDER:
        return value && reorder(value, s);
    default:
        if (!value || !number(&quantities[one->kind], value, one->zero, &n))
            return false;
    }
    if (one->kind == SHARE || one->kind == COUNT)
        *(uint32_t *)at = (uint32_t)n;
    else
        *(uint64_t *)at = n;
    return true;
}

static int unknown(const char *side, const char *name, char *err)
{
    struct nearest near;
    char all[160] = "";
    nearest_init(&near, name);
    for (unsigned i = 0; i < SETTINGS; i++) {
        nearest_offer(&near, settings[i].name);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", settings[i].name);
    }
    return wrong(err, "%s: there is no setting '%s'; did you mean %s? (%s)", side, name, near.best, all);
}

/* One clause under way. */
struct clause {
    const char *side; /* "a-b", "b-a" or "both" */
    bool on[IMPAIR_SIDES];
    uint32_t given; /* bit k: settings[k] */
};

static int word_apply(struct clause *c, char *word, struct impair_settings *set, char *err)
{
    char *value = strchr(word, '=');
    const char *side = c->side;
    if (value)
        *value++ = 0;
    for (unsigned k = 0; k < SETTINGS; k++) {
        if (strcmp(word, settings[k].name) != 0)
            continue;
        if (c->given >> k & 1)
            return wrong(err, "%s: %s is given twice", side, word);
        if (settings[k].kind == CLEAR && c->given)
            return wrong(err, "%s: clear stands first: it would take back what stands before it", side);
        c->given |= 1u << k;
        for (unsigned i = 0; i < IMPAIR_SIDES; i++)
            if (c->on[i] && !value_set(&settings[k], value, &set[i]))
                return wrong(err, "%s: %s%s%s: possible is %s", side, word, value ? "=" : "", value ? value : "",
                             quantities[settings[k].kind].possible);
        return 0;
    }
    return unknown(side, word, err);
}

/* "a-b:", "b-a:" or "both:"; nothing of the kind: both. */
static int side_take(struct clause *c, const char **text, char *err)
{
    static const char *const names[] = {"a-b", "b-a", "both"};
    const char *p = *text + strspn(*text, " \t\n"), *colon = p + strcspn(p, ":;= \t\n");
    *c = (struct clause){.side = names[IMPAIR_SIDES], .on = {true, true}};
    if (*colon != ':')
        return 0;
    for (unsigned i = 0; i <= IMPAIR_SIDES; i++) {
        if (strlen(names[i]) != (size_t)(colon - p) || strncmp(p, names[i], (size_t)(colon - p)) != 0)
            continue;
        *c = (struct clause){.side = names[i], .on = {i != IMPAIR_B_A, i != IMPAIR_A_B}};
        *text = colon + 1;
        return 0;
    }
    return wrong(err, "there is no direction '%.*s'; possible are a-b, b-a and both",
                 (int)(colon - p < WORD_MAX ? colon - p : WORD_MAX), p);
}

static int clause_parse(const char **text, struct impair_settings *set, char *err)
{
    struct clause c;
    const char *p;
    int rc = side_take(&c, text, err);
    for (p = *text; !rc && *p && *p != ';';) {
        char word[WORD_MAX];
        p += strspn(p, " \t\n");
        size_t n = strcspn(p, "; \t\n");
        if (n >= sizeof word)
            return wrong(err, "%s: '%.20s...' is too long for a word: possible are words like loss=0.1%%", c.side, p);
        if (!n)
            continue;
        memcpy(word, p, n);
        word[n] = 0;
        rc = word_apply(&c, word, set, err);
        p += n;
    }
    if (!rc && !c.given)
        return wrong(err, "%s: no setting is given; possible are words like loss=0.1%%, or clear", c.side);
    *text = p;
    return rc;
}

int impair_text_parse(const char *text, struct impair_settings set[IMPAIR_SIDES], char *err)
{
    struct impair_settings next[IMPAIR_SIDES] = {set[0], set[1]};
    if (strlen(text) > IMPAIR_TEXT_MAX)
        return wrong(err, "the settings have %zu bytes; possible are %d", strlen(text), IMPAIR_TEXT_MAX);
    for (;;) {
        int rc = clause_parse(&text, next, err);
        if (rc)
            return rc;
        if (!*text)
            break;
        text++; /* the ';' */
    }
    for (unsigned i = 0; i < IMPAIR_SIDES; i++) {
        const char *why = impair_check(&next[i]);
        if (why)
            return wrong(err, "%s: %s", impair_side_names[i], why);
    }
    memcpy(set, next, sizeof next);
    return 0;
}

/* A value in the largest unit that leaves at most three decimals; in the last unit it is exact. */
static int number_format(const struct quantity *q, uint64_t v, char *out, size_t cap)
{
    unsigned i = 0;
    while (q->unit[i + 1].name && (q->unit[i].scale > v || v % q->unit[i].scale * 1000 % q->unit[i].scale))
        i++;
    uint64_t whole = v / q->unit[i].scale;
    uint64_t rest = (uint64_t)((unsigned __int128)(v % q->unit[i].scale) * DECIMAL / q->unit[i].scale);
    char decimals[24] = "";
    if (rest) {
        snprintf(decimals, sizeof decimals, ".%09llu", (unsigned long long)rest);
        for (char *end = decimals + strlen(decimals) - 1; *end == '0'; end--)
            *end = 0;
    }
    return snprintf(out, cap, "%llu%s%s", (unsigned long long)whole, decimals, v ? q->unit[i].name : "");
}

void impair_text_format(const struct impair_settings *s, char *out)
{
    size_t used = 0;
    for (unsigned k = 0; k < SETTINGS; k++) {
        const struct setting *one = &settings[k];
        const void *at = (const char *)s + one->offset;
        char value[WORD_MAX];
        if (one->kind == CLEAR)
            continue;
        if (one->kind == SWITCH) {
            snprintf(value, sizeof value, "%s", s->cut ? "yes" : "no");
        } else if (one->kind == REORDER) {
            int n = number_format(&quantities[SHARE], s->reorder_ppb, value, sizeof value);
            if (s->reorder_ppb) {
                value[n++] = '/';
                number_format(&quantities[TIME], s->reorder_ns, value + n, sizeof value - (size_t)n);
            }
        } else {
            bool small = one->kind == SHARE || one->kind == COUNT;
            number_format(&quantities[one->kind], small ? *(const uint32_t *)at : *(const uint64_t *)at, value,
                          sizeof value);
        }
        used +=
            (size_t)snprintf(out + used, IMPAIR_TEXT_FORMAT_BYTES - used, "%s%s=%s", used ? " " : "", one->name, value);
    }
}
