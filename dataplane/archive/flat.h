/* flat.h - the usual small task: it has no regions, and the fields of a direction lie in its struct in one run, as they travel.  PURE, inline.
 * Then one copy does what an archive would do.  Where it does not apply the archive is asked, which also knows what is wrong. */
#pragma once
#include "scalar.h"

/* The run of a direction: offset << 32 | bytes, 0: it has none.  Pre: chi_method_hash computed it. */
static inline uint64_t flat_run(const struct chi_method *m, bool out) { return __atomic_load_n(&m->run[out], __ATOMIC_RELAXED); }

/* The n bytes of a form become the task's fields; false: nothing was done, ask an archive. */
static inline bool flat_load(uint64_t run, struct chi_task *task, const uint8_t *p, size_t n)
{
    if (CHI_UNLIKELY(!run || (uint32_t)run != n))
        return false;
    ar_copy((uint8_t *)task + (run >> 32), p, (uint32_t)run, 1);
    return true;
}

/* Writes the task's fields to p, cap bytes; returns how many, or 0: nothing was done, ask an archive. */
static inline uint32_t flat_save(uint64_t run, const struct chi_task *task, uint8_t *p, size_t cap)
{
    if (CHI_UNLIKELY(!run || (uint32_t)run > cap))
        return 0;
    ar_copy(p, (const uint8_t *)task + (run >> 32), (uint32_t)run, 1);
    return (uint32_t)run;
}
