/* The panic hook of test programs. */
#include <stdio.h>
#include <stdlib.h>

#include "chi/base.h"

_Noreturn void chi_panic(const char *file, int line, const char *expr)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expr);
    abort();
}
