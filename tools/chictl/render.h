/* render.h - any JSON result as text for people: an array of flat objects as an aligned table, an object, and each of an
 * array that are not flat, as `key: value` lines. Values whose key has the word bytes or ends in _ns get units.  Nothing from the daemon reaches the terminal as a
 * control character. */
#pragma once
#include <jansson.h>
#include <stdio.h>

#include "chi/base.h"

/* width: of the terminal; a table that is wider is shown as one block per object.  0: no limit. */
void render(FILE *to, const json_t *value, unsigned width);

/* The text of a single value, cut at cap; returns true when it is a number (right-aligned in tables). */
bool render_value(const char *key, const json_t *value, char *out, size_t cap);
