/* @name@.h - ChiMod @name@: for the module and for its clients. */
#ifndef @NAME@_H
#define @NAME@_H

#include <chi/archive.h>

enum { @NAME@_SUM = 1 };

/* sum: of the values. */
enum { @NAME@_VALUES_MAX = 16 };
struct @name@_sum {
    struct chi_task task;
    CHI_VEC_T(uint64_t, @NAME@_VALUES_MAX) values; /* IN */
    uint64_t sum;                                  /* OUT */
};
CHI_FIELDS(@name@_sum_fields) = {
    CHI_VEC_OF(IN, U64, struct @name@_sum, values),
    CHI_OUT(U64, struct @name@_sum, sum),
};
CHI_METHOD_VAR(@name@_sum_method) = CHI_METHOD(@NAME@_SUM, struct @name@_sum, @name@_sum_fields);

/* What the method does (@name@.c): without the runtime, so that a test can call it.  Returns the task's status. */
enum chi_status @name@_sum_run(struct @name@_sum *t);

#endif
