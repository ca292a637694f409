/* nearest.h - the known word that is nearest to one that is not known, for messages to people.
 * Any thread; no memory but the caller's struct, which borrows the words. */
#pragma once
#include "chi/base.h"

enum { NEAREST_WORD_MAX = 64 }; /* only so many bytes of each word are compared */

struct nearest {
    const char *word;
    const char *best; /* NULL until something was offered */
    unsigned distance;
};

void nearest_init(struct nearest *n, const char *word);
/* Remembers `known` when it is nearer than all before; of equally near ones the first stays. */
void nearest_offer(struct nearest *n, const char *known);

/* Edits (insert, delete, replace, swap of two neighbours; case counts half) from a to b, in half steps. */
unsigned nearest_distance(const char *a, const char *b);
