/* fuzz.h - what a fuzz target offers.
 * With clang and CHI_LIBFUZZER libFuzzer drives it; else driver.c replays its corpus and fixed mutations of it. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Judges one input; ends the process when something is wrong.  Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Optional: hands out the corpus seeds, for `PROGRAM --write-seeds FOLDER`. */
void fuzz_seeds(void (*emit)(const char *name, const void *data, size_t size));
