/* panic.c - the panic hook where the program has none.  Weak and exported: a program's own chi_panic, or that of a
 * library that it links, is used in its place, also by libchi. */
#include <stdio.h>
#include <stdlib.h>

#include "chi/base.h"

__attribute__((weak)) _Noreturn void chi_panic(const char *file, int line, const char *expr)
{
    fprintf(stderr, "libchi: %s:%d: assertion failed: %s\n", file, line, expr);
    abort();
}
