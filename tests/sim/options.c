#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

const struct option option_table[SIM_OPTIONS] = {
    {"seed", 0, 0, UINT64_MAX},
#define SIM_OPTION_ENTRY(name, simple, least, most) {#name, simple, least, most},
    SIM_OPTION_LIST(SIM_OPTION_ENTRY)
#undef SIM_OPTION_ENTRY
};

static uint64_t draw(struct prng *p, uint64_t low, uint64_t high) { return low + prng_below(p, high - low + 1); }
static bool one_in(struct prng *p, uint64_t n) { return prng_below(p, n) == 0; }
static uint64_t often_none(struct prng *p, uint64_t most) { return one_in(p, 3) ? 0 : draw(p, 0, most); }
static uint64_t some(struct prng *p, uint64_t each, uint64_t most) { return one_in(p, each) ? draw(p, 1, most) : 0; }

static void draw_shape(struct options *o, struct prng *p)
{
    o->nodes = 2;
    if (one_in(p, 3))
        o->nodes = one_in(p, 4) ? draw(p, 2, 16) : draw(p, 2, 4);
    o->workers = one_in(p, 3) ? draw(p, 1, 3) : 1;
    o->uneven = one_in(p, 4);
    o->packet_low = 1200;
    o->packet_high = one_in(p, 2) ? draw(p, 1200, 9000) : draw(p, 1200, 1500);
    if (one_in(p, 16))
        o->packet_high = draw(p, 9000, 65000);
    o->slots = UINT64_C(1) << draw(p, 1, 6);
    o->messages_in = one_in(p, 4) ? draw(p, 1, 16) : 256;
    o->window = UINT64_C(1) << draw(p, 2, 7);
}

static void draw_times(struct options *o, struct prng *p)
{
    o->ack_every = draw(p, 1, 16);
    o->ack_delay_us = draw(p, 1, 200);
    o->target_us = draw(p, 20, 500);
    o->pto_min_us = draw(p, 50, 1000);
    o->pto_max_us = draw(p, 5000, 100000);
    o->hello_us = draw(p, 500, 10000);
    o->delay_us = draw(p, 1, 500);
    o->jitter_us = one_in(p, 2) ? draw(p, 0, 1000) : draw(p, 0, 20);
    o->late_us = draw(p, 1000, 20000);
    o->faulty_us = draw(p, 20000, 300000);
    /* So short that cuts and pauses are taken for the peer's end, or so long that nothing here may be. */
    o->silence_ms = one_in(p, 3) ? draw(p, 40, 300) : 2000;
}

static void draw_limits(struct options *o, struct prng *p)
{
    o->region_max = draw(p, 4000, one_in(p, 5) ? 400000 : 60000);
    o->form_max = draw(p, 100, one_in(p, 8) ? 66500 : 20000);
    o->memory_bytes = one_in(p, 2) ? draw(p, 50000, 2000000) : UINT64_C(1) << 40;
    o->memory_spare = draw(p, 0, 100000);
    o->peer_memory = one_in(p, 2) ? draw(p, 1000, 500000) : UINT64_C(1) << 40;
    o->all_spare = one_in(p, 2) ? draw(p, 0, 3 * o->region_max) : UINT64_C(1) << 40;
    o->quantum_bytes = draw(p, 1, 100000);
    o->grant_bytes = one_in(p, 2) ? draw(p, 1000, 100000) : 1 << 20;
    o->overcommit = draw(p, 1, 8);
    o->unasked_bytes = one_in(p, 4) ? 0 : draw(p, 0, 100000);
    o->credit_bytes = one_in(p, 4) ? 0 : draw(p, 0, 400000);
}

static void draw_faults(struct options *o, struct prng *p)
{
    o->loss = often_none(p, 200000);
    o->burst = one_in(p, 3) ? draw(p, 2, 50) : 1;
    o->twice = often_none(p, 100000);
    o->late = often_none(p, 200000);
    o->flip = often_none(p, 30000);
    o->cut = often_none(p, 30000);
    o->forge = one_in(p, 4) ? draw(p, 1000, 200000) : 0;
    o->forger = one_in(p, 2) ? draw(p, 1, o->nodes) : 0;
    o->ce = often_none(p, 500000);
    o->attach_us = one_in(p, 2) ? draw(p, 1, one_in(p, 4) ? 50000 : 100) : 0;
    o->attach_bad = one_in(p, 8);
    o->bleach = some(p, 4, 1000000);
    o->no_packet = often_none(p, 300000);
    o->no_memory = often_none(p, 200000);
    o->restarts = some(p, 2, 4);
    o->partitions = some(p, 3, 4);
    o->paths = one_in(p, 3) ? draw(p, 2, 4) : 1;
    o->ways = o->paths > 1 ? often_none(p, 8) : 0;
    o->removals = some(p, 4, 4);
    o->mtus = some(p, 2, 6);
    o->pauses = some(p, 3, 4);
    o->stalls = some(p, 4, 3);
    o->dries = some(p, 4, 4);
}

void options_draw(struct options *o, uint64_t seed)
{
    struct prng p;
    prng_init(&p, seed);
    options_simple(o, seed);
    draw_shape(o, &p);
    draw_times(o, &p);
    draw_limits(o, &p);
    draw_faults(o, &p);
    o->crowds = draw(&p, 0, 50);
    o->messages = draw(&p, 5, 150);
    o->after = 4;
    o->whole_each = one_in(&p, 16) ? 1 : 64;
    o->regions = 16;
    o->streams = one_in(&p, 3) ? 0 : draw(&p, 1, 100);
    o->pushes = one_in(&p, 3) ? 0 : draw(&p, 1, 100);
    o->lasts = one_in(&p, 4) ? 0 : draw(&p, 1, 100);
    o->takes = one_in(&p, 2);
}

void options_simple(struct options *o, uint64_t seed)
{
    for (unsigned i = 0; i < SIM_OPTIONS; i++)
        *option_at(o, i) = option_table[i].simple;
    o->seed = seed;
}

bool options_parse(struct options *o, const char *text, const char **bad)
{
    while (*(text += strspn(text, " \n"))) {
        size_t n = strcspn(text, "= \n");
        unsigned i = 0;
        while (i < SIM_OPTIONS && (strlen(option_table[i].name) != n || strncmp(option_table[i].name, text, n)))
            i++;
        char *end = NULL;
        *bad = text;
        if (i == SIM_OPTIONS || text[n] != '=' || text[n + 1] < '0' || text[n + 1] > '9')
            return false;
        uint64_t v = strtoull(text + n + 1, &end, 10);
        if ((*end && *end != ' ' && *end != '\n') || v < option_table[i].least || v > option_table[i].most)
            return false;
        *option_at(o, i) = v;
        text = end;
    }
    return true;
}

void options_print(const struct options *o, char *buffer)
{
    struct options copy = *o;
    size_t at = (size_t)sprintf(buffer, "seed=%llu", (unsigned long long)o->seed);
    for (unsigned i = 1; i < SIM_OPTIONS; i++)
        if (*option_at(&copy, i) != option_table[i].simple)
            at += (size_t)snprintf(buffer + at, SIM_OPTIONS_TEXT - at, " %s=%llu", option_table[i].name,
                                   (unsigned long long)*option_at(&copy, i));
}
