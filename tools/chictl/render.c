#include "render.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_BYTES = 256, COLUMNS_MAX = 64, COLUMN_GAP = 2, DEPTH_MAX = 8 };

/* Characters on the terminal: bytes that begin one.  (Wide characters do not occur in what the daemon names.) */
static unsigned text_width(const char *s)
{
    unsigned n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void sanitize(char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s < 32 || *s == 127)
            *s = '?';
        else if ((unsigned char)s[0] == 0xc2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0)
            s[0] = s[1] = '?'; /* C1 controls */
    }
}

/* A text cut at the end of its buffer keeps whole characters. */
static void cut_utf8(char *s, size_t cap)
{
    size_t n = strlen(s);
    if (n + 1 < cap)
        return;
    while (n && ((unsigned char)s[n - 1] & 0xc0) == 0x80)
        n--;
    if (n && (unsigned char)s[n - 1] >= 0xc0)
        s[n - 1] = 0;
}

static bool ends_with(const char *key, const char *end)
{
    size_t n = strlen(key), m = strlen(end);
    return n >= m && strcmp(key + n - m, end) == 0;
}

/* Its words, between underscores, say what a number is: bytes, or at the end nanoseconds. */
static bool is_bytes(const char *key) { return strncmp(key, "bytes_", 6) == 0 || strstr(key, "_bytes_") || ends_with(key, "_bytes"); }

static void human_bytes(json_int_t v, char *out, size_t cap)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double x = (double)v;
    unsigned u = 0;
    for (; x >= 1024 && u < 6; u++)
        x /= 1024;
    snprintf(out, cap, u ? "%.1f %s" : "%.0f %s", x, units[u]);
}

static void human_ns(json_int_t v, char *out, size_t cap)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    double x = (double)v;
    unsigned u = 0;
    if (v >= 60000000000) { /* from a minute on */
        uint64_t s = (uint64_t)v / 1000000000, days = s / 86400;
        if (days)
            snprintf(out, cap, "%" PRIu64 "d %" PRIu64 ":%02u:%02u", days, s / 3600 % 24, (unsigned)(s / 60 % 60),
                     (unsigned)(s % 60));
        else
            snprintf(out, cap, "%" PRIu64 ":%02u:%02u", s / 3600, (unsigned)(s / 60 % 60), (unsigned)(s % 60));
        return;
    }
    for (; x >= 1000 && u < 3; u++)
        x /= 1000;
    snprintf(out, cap, u ? "%.2f %s" : "%.0f %s", x, units[u]);
}

bool render_value(const char *key, const json_t *value, char *out, size_t cap)
{
    json_int_t v = json_integer_value(value);
    char *dump;
    switch (json_typeof(value)) {
    case JSON_INTEGER:
        if (v >= 0 && is_bytes(key))
            human_bytes(v, out, cap);
        else if (v >= 0 && ends_with(key, "_ns"))
            human_ns(v, out, cap);
        else
            snprintf(out, cap, "%" JSON_INTEGER_FORMAT, v);
        return true;
    case JSON_REAL:
        snprintf(out, cap, "%.6g", json_real_value(value));
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(out, cap, "%s", json_is_true(value) ? "yes" : "no");
        return false;
    case JSON_NULL:
        snprintf(out, cap, "-");
        return false;
    case JSON_STRING:
        snprintf(out, cap, "%s", json_string_value(value));
        break;
    default:
        dump = json_dumps(value, JSON_COMPACT);
        snprintf(out, cap, "%s", dump ? dump : "");
        free(dump);
    }
    cut_utf8(out, cap);
    sanitize(out);
    return false;
}

/* --- tables */

struct table {
    const json_t *rows;
    unsigned columns;
    struct {
        const char *key;
        unsigned width;
        bool numbers; /* every value in it is one */
    } column[COLUMNS_MAX];
};

static void pad(FILE *to, unsigned n)
{
    while (n--)
        fputc(' ', to);
}

static void print_key(FILE *to, const char *key)
{
    char text[CELL_BYTES];
    snprintf(text, sizeof(text), "%s", key);
    cut_utf8(text, sizeof(text));
    sanitize(text);
    fputs(text, to);
}

static void add_row(struct table *t, const json_t *row)
{
    const char *key;
    json_t *value;
    char text[CELL_BYTES];
    json_object_foreach((json_t *)row, key, value)
    {
        unsigned i = 0;
        while (i < t->columns && strcmp(t->column[i].key, key) != 0)
            i++;
        if (i == COLUMNS_MAX)
            continue;
        if (i == t->columns) {
            t->column[i].key = key;
            t->column[i].width = text_width(key);
            t->column[i].numbers = true;
            t->columns++;
        }
        bool number = render_value(key, value, text, sizeof(text));
        unsigned w = text_width(text);
        t->column[i].numbers &= number || json_is_null(value);
        if (w > t->column[i].width)
            t->column[i].width = w;
    }
}

static void print_cell(FILE *to, const struct table *t, unsigned i, const char *text, bool is_key)
{
    unsigned fill = t->column[i].width - text_width(text);
    bool last = i + 1 == t->columns;
    if (t->column[i].numbers)
        pad(to, fill);
    if (is_key)
        print_key(to, text);
    else
        fputs(text, to);
    if (!last)
        pad(to, COLUMN_GAP + (t->column[i].numbers ? 0 : fill));
}

static void print_table(FILE *to, const struct table *t, unsigned indent)
{
    size_t r;
    json_t *row;
    pad(to, indent);
    for (unsigned i = 0; i < t->columns; i++)
        print_cell(to, t, i, t->column[i].key, true);
    fputc('\n', to);
    json_array_foreach((json_t *)t->rows, r, row)
    {
        pad(to, indent);
        for (unsigned i = 0; i < t->columns; i++) {
            char text[CELL_BYTES] = "-";
            json_t *value = json_object_get(row, t->column[i].key);
            if (value)
                render_value(t->column[i].key, value, text, sizeof(text));
            print_cell(to, t, i, text, false);
        }
        fputc('\n', to);
    }
}

static void render_at(FILE *to, const json_t *value, unsigned width, unsigned indent);

static void render_object(FILE *to, const json_t *object, unsigned width, unsigned indent)
{
    const char *key;
    json_t *value;
    unsigned longest = 0;
    if (json_object_size(object) == 0) {
        pad(to, indent);
        fputs("(none)\n", to);
    }
    json_object_foreach((json_t *)object, key, value)
    {
        unsigned w = text_width(key);
        bool nested = json_is_object(value) || json_is_array(value);
        if (!nested && w > longest)
            longest = w;
    }
    json_object_foreach((json_t *)object, key, value)
    {
        char text[CELL_BYTES * 4];
        pad(to, indent);
        print_key(to, key);
        fputc(':', to);
        if (json_is_object(value) || json_is_array(value)) {
            fputc('\n', to);
            render_at(to, value, width, indent + 2);
            continue;
        }
        render_value(key, value, text, sizeof(text));
        pad(to, longest - text_width(key) + 1);
        fprintf(to, "%s\n", text);
    }
}

/* Nothing in it needs lines of its own. */
static bool is_flat(const json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        if (json_is_object(value) || json_is_array(value))
            return false;
    }
    return true;
}

static void render_array(FILE *to, const json_t *array, unsigned width, unsigned indent)
{
    struct table t = {.rows = array};
    unsigned total = indent;
    bool objects = true, flat = true;
    size_t i;
    json_t *value;

    json_array_foreach((json_t *)array, i, value)
    {
        objects &= json_is_object(value);
        flat &= is_flat(value);
    }
    for (i = 0; objects && flat && i < json_array_size(array); i++)
        add_row(&t, json_array_get(array, i));
    for (i = 0; i < t.columns; i++)
        total += t.column[i].width + (i ? COLUMN_GAP : 0);
    if (json_array_size(array) == 0) {
        pad(to, indent);
        fputs("(none)\n", to);
    } else if (objects && flat && (!width || total <= width)) {
        print_table(to, &t, indent);
    } else {
        json_array_foreach((json_t *)array, i, value)
        {
            if (i && objects)
                fputc('\n', to);
            render_at(to, value, width, indent);
        }
    }
}

static void render_at(FILE *to, const json_t *value, unsigned width, unsigned indent)
{
    char text[CELL_BYTES * 4];
    if (json_is_object(value) && indent / 2 < DEPTH_MAX) {
        render_object(to, value, width, indent);
    } else if (json_is_array(value) && indent / 2 < DEPTH_MAX) {
        render_array(to, value, width, indent);
    } else {
        render_value("", value, text, sizeof(text));
        pad(to, indent);
        fprintf(to, "%s\n", text);
    }
}

void render(FILE *to, const json_t *value, unsigned width)
{
    render_at(to, value, width, 0);
}
