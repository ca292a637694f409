/* The bulk table of the architecture, cell by cell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "chi/archive.h"

enum { BOTH = CHI_WRITE | CHI_EXPOSE };
static uint8_t memory[64];

static void bulk__output_in_lists_and_writes_no_byte(void **state)
{
    (void)state;
    struct chi_ar_region r[CHI_REGIONS_MAX];
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, NULL, 0, r, 0);
    void *ptr[3] = {memory, memory + 8, memory + 16};
    uint64_t size[3] = {8, 7, 0};
    chi_ar_bulk(&ar, &ptr[0], &size[0], CHI_WRITE);
    chi_ar_bulk(&ar, &ptr[1], &size[1], CHI_EXPOSE);
    chi_ar_bulk(&ar, &ptr[2], &size[2], BOTH);
    assert_true(ar.status == CHI_STATUS_OK && ar.pos == 0 && ar.nregions == 3);
    for (unsigned i = 0; i < 3; i++)
        assert_true(r[i].ptr == ptr[i] && r[i].size == size[i] && r[i].used == 0 && r[i].flags == i + 1);
}

static void bulk__output_in_limits(void **state)
{
    (void)state;
    struct chi_ar_region r[CHI_REGIONS_MAX];
    struct chi_archive ar;
    void *ptr = memory, *none = NULL;
    uint64_t size = 1, huge = (uint64_t)INT64_MAX + 1, zero = 0;
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, NULL, 0, r, 0);
    for (unsigned i = 0; i < CHI_REGIONS_MAX; i++)
        chi_ar_bulk(&ar, &ptr, &size, CHI_WRITE);
    assert_int_equal(ar.status, CHI_STATUS_OK);
    chi_ar_bulk(&ar, &ptr, &size, CHI_WRITE);
    assert_int_equal(ar.status, CHI_STATUS_INVALID);
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, NULL, 0, r, 0);
    chi_ar_bulk(&ar, &ptr, &huge, CHI_WRITE);
    assert_int_equal(ar.status, CHI_STATUS_INVALID);
    huge--; /* the largest: nothing is read here */
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, NULL, 0, r, 0);
    chi_ar_bulk(&ar, &ptr, &huge, CHI_WRITE);
    assert_int_equal(ar.status, CHI_STATUS_OK);
    chi_ar_init(&ar, CHI_AR_OUTPUT_IN, NULL, 0, r, 0);
    chi_ar_bulk(&ar, &none, &zero, CHI_EXPOSE);
    assert_int_equal(ar.status, CHI_STATUS_OK);
    chi_ar_bulk(&ar, &none, &size, CHI_EXPOSE);
    assert_int_equal(ar.status, CHI_STATUS_INVALID);
    for (unsigned flags = 0; flags < 18; flags++) {
        bool ok = (flags & BOTH) && flags < 16 && (flags & ~(unsigned)CHI_SLICED) != (CHI_EXPOSE | CHI_STREAM);
        chi_ar_init(&ar, CHI_AR_OUTPUT_IN, NULL, 0, r, 0);
        chi_ar_bulk(&ar, &ptr, &size, flags);
        assert_int_equal(ar.status, ok ? CHI_STATUS_OK : CHI_STATUS_INVALID);
    }
}

static void bulk__input_in_gives_the_buffers(void **state)
{
    (void)state;
    struct chi_ar_region r[2] = {{memory, 8, 0, CHI_WRITE}, {memory + 8, 16, 0, BOTH}};
    struct chi_archive ar;
    void *ptr = NULL;
    uint64_t size = 0;
    chi_ar_init(&ar, CHI_AR_INPUT_IN, NULL, 0, r, 2);
    chi_ar_bulk(&ar, &ptr, &size, CHI_WRITE);
    assert_true(ptr == memory && size == 8);
    chi_ar_bulk(&ar, &ptr, &size, BOTH);
    assert_true(ptr == memory + 8 && size == 16 && ar.status == CHI_STATUS_OK);
    chi_ar_bulk(&ar, &ptr, &size, CHI_WRITE); /* one more than the task has */
    assert_int_equal(ar.status, CHI_STATUS_ARCHIVE);
    /* A peer that declares EXPOSE where this method reads: no buffer with undefined contents is taken as input. */
    chi_ar_init(&ar, CHI_AR_INPUT_IN, NULL, 0, r, 2);
    chi_ar_bulk(&ar, &ptr, &size, CHI_EXPOSE);
    assert_int_equal(ar.status, CHI_STATUS_ARCHIVE);
    /* Nor is a region that may be there in part taken for a whole one; but one that may be there in part may be whole. */
    for (unsigned streams = 0; streams < 2; streams++) {
        struct chi_ar_region s = {memory, 8, 0, streams ? CHI_WRITE | CHI_STREAM : CHI_WRITE};
        for (unsigned asked = 0; asked < 2; asked++) {
            chi_ar_init(&ar, CHI_AR_INPUT_IN, NULL, 0, &s, 1);
            chi_ar_bulk(&ar, &ptr, &size, asked ? CHI_WRITE | CHI_STREAM : CHI_WRITE);
            assert_int_equal(ar.status, asked >= streams ? CHI_STATUS_OK : CHI_STATUS_ARCHIVE);
        }
        s.flags |= CHI_SLICED; /* nor a slice for a whole */
        chi_ar_init(&ar, CHI_AR_INPUT_IN, NULL, 0, &s, 1);
        chi_ar_bulk(&ar, &ptr, &size, CHI_WRITE | CHI_STREAM);
        assert_int_equal(ar.status, CHI_STATUS_ARCHIVE);
    }
}

/* WRITE of the OUT direction goes to the next exposed region, past those that are not. */
static void bulk__output_out_fills_exposed_in_order(void **state)
{
    (void)state;
    struct chi_ar_region r[3] = {{memory, 8, 0, CHI_WRITE}, {memory, 16, 0, CHI_EXPOSE}, {memory, 4, 0, BOTH}};
    uint8_t buf[32];
    struct chi_archive ar;
    void *ptr = memory;
    uint64_t size[2] = {16, 3}, more = 5, zero = 0;
    chi_ar_init(&ar, CHI_AR_OUTPUT_OUT, buf, sizeof buf, r, 3);
    chi_ar_bulk(&ar, &ptr, &more, CHI_EXPOSE); /* nothing */
    chi_ar_bulk(&ar, &ptr, &size[0], CHI_WRITE);
    chi_ar_bulk(&ar, &ptr, &size[1], CHI_WRITE);
    assert_true(ar.status == CHI_STATUS_OK && ar.pos == 16);
    assert_true(r[0].used == 0 && r[1].used == 16 && r[2].used == 3);
    chi_ar_bulk(&ar, &ptr, &zero, CHI_WRITE); /* nothing exposed is left */
    assert_int_equal(ar.status, CHI_STATUS_INVALID);
    r[2].used = 0;
    chi_ar_init(&ar, CHI_AR_OUTPUT_OUT, buf, sizeof buf, r + 2, 1);
    chi_ar_bulk(&ar, &ptr, &more, CHI_WRITE); /* more than the origin exposed */
    assert_true(ar.status == CHI_STATUS_INVALID && r[2].used == 0);
}

static void bulk__input_out_checks_what_came(void **state)
{
    (void)state;
    uint8_t buf[8] = {5};
    void *ptr = memory;
    static const struct {
        uint64_t size, used;
        enum chi_status status;
    } cases[] = {
        {8, 5, CHI_STATUS_OK}, /* as much as the transport placed */
        {5, 5, CHI_STATUS_OK},
        {8, 4, CHI_STATUS_ARCHIVE},           /* says more than came */
        {8, 6, CHI_STATUS_ARCHIVE},           /* says less */
        {8, CHI_USED_UNKNOWN, CHI_STATUS_OK}, /* libchi */
        {4, CHI_USED_UNKNOWN, CHI_STATUS_ARCHIVE},
        {4, 5, CHI_STATUS_ARCHIVE},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chi_ar_region r[2] = {{memory, 100, 0, CHI_WRITE}, {memory, cases[i].size, cases[i].used, CHI_EXPOSE}};
        struct chi_archive ar;
        uint64_t size = 77;
        chi_ar_init(&ar, CHI_AR_INPUT_OUT, buf, sizeof buf, r, 2);
        chi_ar_bulk(&ar, &ptr, &size, CHI_EXPOSE); /* nothing */
        chi_ar_bulk(&ar, &ptr, &size, CHI_WRITE);
        assert_int_equal(ar.status, cases[i].status);
        assert_int_equal(size, cases[i].status == CHI_STATUS_OK ? 5 : 77);
        assert_ptr_equal(ptr, memory);
        if (cases[i].status == CHI_STATUS_OK)
            assert_int_equal(r[1].used, 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bulk__output_in_lists_and_writes_no_byte),
        cmocka_unit_test(bulk__output_in_limits),
        cmocka_unit_test(bulk__input_in_gives_the_buffers),
        cmocka_unit_test(bulk__output_out_fills_exposed_in_order),
        cmocka_unit_test(bulk__input_out_checks_what_came),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
