/* fuzz_control_impair.c - any text as the settings of a bad link: refused with one line and without a change, or
 * settings that hold and that come back from their own text. */
#include <stdlib.h>
#include <string.h>

#include "chi/base.h"
#include "control/impair_text.h"
#include "fuzz.h"

static bool same(const struct impair_settings *a, const struct impair_settings *b)
{
    return memcmp(a, b, IMPAIR_SIDES * sizeof *a) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct impair_settings set[IMPAIR_SIDES], before[IMPAIR_SIDES];
    char err[IMPAIR_TEXT_ERROR_BYTES] = "", *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    set[0] = set[1] = before[0] = before[1] = impair_none;
    if (impair_text_parse(text, set, err)) {
        CHI_ASSERT(err[0] && !strpbrk(err, "\n\r"));
        CHI_ASSERT(same(set, before));
    }
    for (int i = 0; i < IMPAIR_SIDES; i++) {
        char all[IMPAIR_TEXT_FORMAT_BYTES];
        struct impair_settings back[IMPAIR_SIDES] = {impair_none, impair_none}, want[IMPAIR_SIDES] = {set[i], set[i]};
        CHI_ASSERT(!impair_check(&set[i]));
        impair_text_format(&set[i], all);
        CHI_ASSERT(impair_text_parse(all, back, err) == 0);
        CHI_ASSERT(same(back, want));
    }
    free(text);
    return 0;
}

void fuzz_seeds(void (*emit)(const char *name, const void *data, size_t size))
{
    static const struct {
        const char *name, *text;
    } seeds[] = {
        {"all.txt", "both: loss=0.1% burst=3 dup=0.01% reorder=1%/50us corrupt=0.01% truncate=0 delay=20us jitter=5us "
                    "rate=10G queue=256K "
                    "ecn=64K mtu=9000 cut=no"},
        {"sides.txt", "a-b: cut=yes; b-a: clear delay=1.5ms;both:jitter=3ns"},
        {"units.txt", "delay=0.123456789s rate=1.5K queue=1G"},
        {"reorder_off.txt", "reorder=0/5us"},
        {"bounds.txt", "loss=100% burst=10000 rate=1T queue=1 ecn=0 mtu=68"},
        {"unknown.txt", "b-c: los=1"},
        {"burst_too_much.txt", "loss=90% burst=3"},
        {"numbers.txt", "rate=00000000000000000001.000000001T delay=99999999999999999999s"},
        {"control_bytes.txt", "a-b: \x01\x7f=\x1b"},
        {"empty.txt", ""},
    };
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++)
        emit(seeds[i].name, seeds[i].text, strlen(seeds[i].text));
}
