/* archive.h - the four archives.  PURE: works on memory that the caller supplies.
 *
 * | kind       | class                | does                                     |
 * |------------|----------------------|------------------------------------------|
 * | OUTPUT_IN  | TaskOutputArchiveIN  | origin writes IN and INOUT fields        |
 * | INPUT_IN   | TaskInputArchiveIN   | target reads them                        |
 * | OUTPUT_OUT | TaskOutputArchiveOUT | target writes OUT and INOUT fields       |
 * | INPUT_OUT  | TaskInputArchiveOUT  | origin reads them                        |
 *
 * One function serves both ways: the calls take pointers, and write or read by the archive's kind.  Bytes are little
 * endian, without padding.  The first error stays in `status` and makes every later call do nothing, so that a
 * serialiser checks no calls; a number that it read it must check before it counts with it.  Thread: one at a time. */
#ifndef CHI_ARCHIVE_H
#define CHI_ARCHIVE_H

#include "chi/task.h"

enum chi_ar_kind { CHI_AR_OUTPUT_IN = 1, CHI_AR_INPUT_IN = 2, CHI_AR_OUTPUT_OUT = 3, CHI_AR_INPUT_OUT = 4 };

/* chi_ar_region.used before INPUT_OUT where the transport's count is not at hand, as in libchi: the length is then checked against
 * the region's size alone. */
#define CHI_USED_UNKNOWN UINT64_MAX
#define CHI_NO_BULK UINT32_MAX

/* A bulk region beside the form.  Region k of a task is the k-th chi_ar_bulk call of its IN direction. */
struct chi_ar_region {
    void *ptr;
    uint64_t size;  /* declared by the origin */
    uint64_t used;  /* EXPOSE: bytes that came or go back, at most size; else 0 */
    uint32_t flags; /* CHI_WRITE, CHI_EXPOSE or both; with CHI_WRITE also CHI_STREAM; CHI_SLICED */
};

struct chi_archive {
    uint8_t *buf; /* an INPUT archive never writes to it */
    size_t pos, cap;
    struct chi_ar_region *regions; /* CHI_REGIONS_MAX entries */
    uint32_t nregions;             /* OUTPUT_IN: how many so far; the other kinds: how many the task has */
    uint32_t next_region;          /* CHI_NO_BULK while a CHI_CUSTOM runs: it has no regions */
    uint32_t kind;   /* enum chi_ar_kind */
    uint32_t status; /* enum chi_status: OK, ARCHIVE, TOO_BIG, INVALID */
};

CHI_BEGIN

/* Begins an archive on caller's memory.  For OUTPUT_IN nregions is 0; the others get the task's regions.
 * buf may be NULL with cap 0 when there are no bytes. */
CHI_API void chi_ar_init(struct chi_archive *ar, enum chi_ar_kind kind, void *buf, size_t cap,
                         struct chi_ar_region *regions, uint32_t nregions);

/* True for INPUT archives, which store into what the pointers name. */
static inline bool chi_ar_reading(const struct chi_archive *ar)
{
    return ar->kind == CHI_AR_INPUT_IN || ar->kind == CHI_AR_INPUT_OUT;
}

/* n scalars of 1, 2, 4 or 8 bytes.  A value read into a bool must be 0 or 1. */
CHI_API void chi_ar_u8(struct chi_archive *ar, uint8_t *v, size_t n);
CHI_API void chi_ar_u16(struct chi_archive *ar, uint16_t *v, size_t n);
CHI_API void chi_ar_u32(struct chi_archive *ar, uint32_t *v, size_t n);
CHI_API void chi_ar_u64(struct chi_archive *ar, uint64_t *v, size_t n);
CHI_API void chi_ar_bool(struct chi_archive *ar, bool *v, size_t n);

/* A byte vector of *len <= cap bytes at data; ARCHIVE when what is read is longer than cap, INVALID when what is to be
 * written is. */
CHI_API void chi_ar_bytes(struct chi_archive *ar, uint32_t *len, void *data, uint32_t cap);

/* A bulk region, not in a CHI_CUSTOM (INVALID); the table in docs/ARCHITECTURE.md says what each archive does with each flag.
 * OUTPUT_IN   takes *ptr and *size into the region list; INVALID beyond CHI_REGIONS_MAX.
 * INPUT_IN    gives *ptr and *size of the buffer at the target; ARCHIVE when form and region list disagree.
 * OUTPUT_OUT  with WRITE: *size is the length written, at most the exposed size, else INVALID.
 * INPUT_OUT   with WRITE: *size becomes the length that came; ARCHIVE when it is not what the transport placed (`used`), or above the size.
 * OUT kinds with WRITE go to the next region that was exposed; without WRITE they do nothing. */
CHI_API void chi_ar_bulk(struct chi_archive *ar, void **ptr, uint64_t *size, unsigned flags);

/* Runs the direction of the archive over a task: the method's own function, or its field table.  INPUT kinds also need
 * every byte to be used up, else ARCHIVE.  Returns ar->status.  After INPUT_IN, `used` of every bulk field is 0. */
CHI_API enum chi_status chi_ar_task(struct chi_archive *ar, struct chi_method *m, struct chi_task *task);

CHI_END
#endif
