/* prng.h - xoshiro256** (Blackman and Vigna 2018) seeded by splitmix64: the same numbers from the same seed everywhere.
 * PURE.  Not for secrets. */
#pragma once
#include "chi/base.h"

struct prng {
    uint64_t s[4];
};
void prng_init(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
/* Uniform in [0, n).  Pre: n > 0. */
uint64_t prng_below(struct prng *p, uint64_t n);
/* True in `ppm` of a million cases. */
bool prng_chance(struct prng *p, uint32_t ppm);
