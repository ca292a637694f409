#include "nearest.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

enum { STEP = 2, HALF_STEP = 1 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

static unsigned replace_cost(char a, char b)
{
    if (a == b)
        return 0;
    return tolower((unsigned char)a) == tolower((unsigned char)b) ? HALF_STEP : STEP;
}

/* Optimal string alignment: Levenshtein's table, with the row before the last one kept for swaps. */
unsigned nearest_distance(const char *a, const char *b)
{
    size_t na = strnlen(a, NEAREST_WORD_MAX), nb = strnlen(b, NEAREST_WORD_MAX);
    unsigned rows[3][NEAREST_WORD_MAX + 1];

    for (size_t j = 0; j <= nb; j++)
        rows[0][j] = (unsigned)j * STEP;
    for (size_t i = 1; i <= na; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = (unsigned)i * STEP;
        for (size_t j = 1; j <= nb; j++) {
            unsigned replace = above[j - 1] + replace_cost(a[i - 1], b[j - 1]);
            row[j] = min3(above[j] + STEP, row[j - 1] + STEP, replace);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && above2[j - 2] + STEP < row[j])
                row[j] = above2[j - 2] + STEP;
        }
    }
    return rows[na % 3][nb];
}

void nearest_init(struct nearest *n, const char *word)
{
    *n = (struct nearest){.word = word, .distance = UINT_MAX};
}

void nearest_offer(struct nearest *n, const char *known)
{
    unsigned d = nearest_distance(n->word, known);
    if (d < n->distance) {
        n->distance = d;
        n->best = known;
    }
}
