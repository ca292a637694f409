/* fuzz_@name@.c - any bytes as the method's form: they are refused, or written again as they came; then the method runs.
 * With clang a libFuzzer target; else a program that tries bytes of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "@name@.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct @name@_sum zero;
    struct @name@_sum t = zero;
    uint8_t again[sizeof t];
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_INPUT_IN, (uint8_t *)(uintptr_t)data, size, NULL, 0);
    if (chi_ar_task(&ar, &@name@_sum_method, &t.task) != CHI_STATUS_OK)
        return 0;
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, again, sizeof again, NULL, 0);
    if (chi_ar_task(&ar, &@name@_sum_method, &t.task) != CHI_STATUS_OK || ar.pos != size || memcmp(again, data, size) != 0)
        abort();
    if (@name@_sum_run(&t) == CHI_STATUS_PENDING)
        abort();
    return 0;
}

#ifndef WITH_LIBFUZZER
int main(void)
{
    uint32_t random = 1;
    for (unsigned i = 0; i < 100000; i++) {
        uint8_t bytes[4 + 8 * (@NAME@_VALUES_MAX + 1)] = {(uint8_t)(i % (@NAME@_VALUES_MAX + 2))};
        for (size_t at = i % 16 ? 4 : 0; at < sizeof bytes; at++)
            bytes[at] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
        size_t right = 4 + 8 * (i % (@NAME@_VALUES_MAX + 2));
        size_t size = i % 3 ? right : i % (sizeof bytes + 1);
        LLVMFuzzerTestOneInput(bytes, size < sizeof bytes ? size : sizeof bytes);
    }
    printf("100000 inputs\n");
    return 0;
}
#endif
