/* impair_text.h - the settings of a bad link as text, for people: docs/WIRE.md has the grammar.
 * Any thread; no memory but the caller's. */
#pragma once
#include "impair/impair.h"

enum { IMPAIR_TEXT_MAX = 2048, IMPAIR_TEXT_ERROR_BYTES = 320, IMPAIR_TEXT_FORMAT_BYTES = 320 };
enum impair_side { IMPAIR_A_B, IMPAIR_B_A, IMPAIR_SIDES };
extern const char *const impair_side_names[IMPAIR_SIDES]; /* "a-b", "b-a" */

/* Applies `text` to set[]; what it does not name stays.  Returns 0, or -EINVAL with one line in err
 * (IMPAIR_TEXT_ERROR_BYTES) that names the word and what is possible; set[] is as it was then.  Pre: set[] passes
 * impair_check. */
CHI_MUST_CHECK int impair_text_parse(const char *text, struct impair_settings set[IMPAIR_SIDES], char *err);

/* Writes all settings of one direction into out (IMPAIR_TEXT_FORMAT_BYTES) as words that impair_text_parse takes. */
void impair_text_format(const struct impair_settings *s, char *out);
