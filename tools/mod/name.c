/* @name@.c - what the methods of @name@ do. */
#include "@name@.h"

enum chi_status @name@_sum_run(struct @name@_sum *t)
{
    t->sum = 0;
    for (uint32_t i = 0; i < t->values.len; i++)
        t->sum += t->values.data[i];
    return CHI_STATUS_OK;
}
