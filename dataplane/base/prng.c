#include "prng.h"

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline uint64_t rotl(uint64_t v, int by)
{
    return v << by | v >> (64 - by);
}

void prng_init(struct prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        p->s[i] = splitmix64(&seed);
}

uint64_t prng_next(struct prng *p)
{
    uint64_t *s = p->s;
    uint64_t out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

/* Multiply and reject (Lemire 2019): the high half of next * n, without those low halves that would be counted twice.
 */
uint64_t prng_below(struct prng *p, uint64_t n)
{
    CHI_ASSERT(n > 0);
    unsigned __int128 m = (unsigned __int128)prng_next(p) * n;
    if (CHI_UNLIKELY((uint64_t)m < n)) {
        uint64_t twice = -n % n;
        while ((uint64_t)m < twice)
            m = (unsigned __int128)prng_next(p) * n;
    }
    return (uint64_t)(m >> 64);
}

bool prng_chance(struct prng *p, uint32_t ppm)
{
    return prng_below(p, 1000000) < ppm;
}
