/* form.h - the serialised form of a task, as a client writes it and as the wire carries it.  PURE.
 *
 *     0  u32 pool major      12 u32 query count     28 u32 timeout_us
 *     4  u32 pool minor      16 u64 query value     32 regions * 24: u64 size, u64 place, u8 flags, 7 zero bytes
 *     8  u16 method          24 u32 schema hash     .. body: what TaskOutputArchiveIN wrote
 *    10  u4 query kind, u2 fresh, u2 who waits   11 u8 regions
 *
 * `place` is the region's offset in the client's segment; on the wire it is 0.  One form serves both, so it is checked in one
 * place (form_decode) and fuzzed once.  A task whose query is resolved travels with a concrete one.
 * The answer's form is the bare body that TaskOutputArchiveOUT wrote. */
#pragma once
#include "chi/archive.h"
#include "wire/drop.h"

enum { FORM_HEAD_BYTES = 32, FORM_REGION_BYTES = 24, FORM_KIND_AT = 10, FORM_REGIONS_AT = 11 };
enum { FORM_PREFIX_MAX = FORM_HEAD_BYTES + FORM_REGION_BYTES * CHI_REGIONS_MAX };
enum { FORM_QUERY_SPREAD = 8 }; /* query kind of a part of a RANGE or BROADCAST, from node to node (sched/spread.h); count: its pool's table */
/* Who waits for a task that travels, so that a node which starts no new tasks of a module (worker/hold.h) knows which ones others must have to end.
 * FAR, bit 6: the run of a task of the node that sent it; BACK, bit 7: and further up there is one of yet another node, which may be the one that gets
 * this. */
enum { FORM_WAITS_FAR = 2, FORM_WAITS_BACK = 4, FORM_WAITS_SHIFT = 5, FORM_WAITS_MASK = 0xc0 };
enum { FORM_KIND_MASK = 15, FORM_FRESH_MASK = 0x30, FORM_FRESH_SHIFT = 4, FORM_FRESH_MAX = 3 }; /* the other bits of that byte */
#define FORM_NO_PLACE UINT64_MAX /* place_of: the region lies outside of the segment */

struct form_region {
    uint64_t size, place;
    uint32_t flags; /* of struct chi_ar_region */
};
struct form_head {
    struct chi_pool_id pool;
    struct chi_query query;
    uint32_t schema, timeout_us;
    uint16_t method;
    uint8_t regions, waits; /* waits: who does, as the receiver sees it (FORM_WAITS_) */
    struct form_region region[CHI_REGIONS_MAX];
};

static inline uint32_t form_prefix_bytes(uint32_t regions) { return FORM_HEAD_BYTES + FORM_REGION_BYTES * regions; }

/* Decodes and checks the prefix of a form of which `have` bytes are here; they must hold the whole prefix.
 * Returns NONE, or FORM: too short, more than 16 regions, unknown flags or query kind, a count of a query that has none, non-zero
 * padding, size above 2^63 - 1.
 * Does not judge `place`, pools, methods or the body. */
CHI_MUST_CHECK enum chi_drop form_decode(const uint8_t *p, size_t have, struct form_head *out);

/* Only the region table: checks it, and fills in `regions` and `region`. */
CHI_MUST_CHECK enum chi_drop form_regions(const uint8_t *p, size_t have, struct form_head *out);
/* True when it is known to have none. */
static inline bool form_is_plain(const uint8_t *p, size_t have) { return have >= FORM_HEAD_BYTES && p[FORM_REGIONS_AT] == 0; }

/* Writes head and region table.  Pre: room for form_prefix_bytes(h->regions).  Returns that length. */
size_t form_encode(uint8_t *p, const struct form_head *h);

/* Sets every region's place to 0, in the form itself: what leaves the node names no memory of it.  Pre: form_decode passed. */
void form_clear_places(uint8_t *p, uint32_t regions);

/* Between nodes: the number of the flush that the task is younger than (worker/flush.h), at most FORM_FRESH_MAX; 0: nothing is said.  Is no part of
 * struct form_head, and written into the form itself.  Pre: it has a head. */
static inline void form_say_fresh(uint8_t *p, uint32_t number) { p[FORM_KIND_AT] = (uint8_t)((p[FORM_KIND_AT] & ~FORM_FRESH_MASK) | number << FORM_FRESH_SHIFT); }
static inline uint32_t form_fresh(const uint8_t *p) { return (p[FORM_KIND_AT] & FORM_FRESH_MASK) >> FORM_FRESH_SHIFT; }
/* Says who waits, in a form that says nobody. */
static inline void form_set_waits(uint8_t *p, unsigned waits) { p[FORM_KIND_AT] = (uint8_t)(p[FORM_KIND_AT] | waits << FORM_WAITS_SHIFT); }

/* Serialises a whole task: head, regions (places from `place_of`, or 0 when NULL), body.  regions_out (CHI_REGIONS_MAX entries)
 * gets the region list.  Nobody waits, by its head (form_set_waits).  Returns the form's length; 0 with *status_out set to TOO_BIG (more than cap), INVALID (no method,
 * query out of range, a region without a place), or what the archive says.  Calls chi_method_hash. */
size_t form_save(uint8_t *p, size_t cap, struct chi_task *task, struct chi_ar_region *regions_out, uint32_t *nregions_out,
                 uint64_t (*place_of)(void *ctx, const void *ptr, uint64_t size), void *ctx, enum chi_status *status_out);
