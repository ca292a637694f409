/* sentmap.h - packets that are out and what was in them.  PURE.
 * A ring of packet records in the order of their numbers, and a pool of frame references: each is free, in a record's list,
 * or in the queue of lost frames.  Thread: owning worker.  Memory: arrays of the caller's. */
#pragma once
#include "chi/base.h"

#define SENTMAP_NONE UINT32_MAX

struct frame_ref { /* one frame that wants to arrive; never a pointer to its message */
    uint64_t offset;      /* SEGMENT */
    uint32_t slot, generation;
    uint32_t length;      /* SEGMENT: of the segment; heads: bytes of the form in them */
    uint32_t next;
    uint8_t type;         /* enum wire_frame_type */
    uint8_t region;
    uint8_t round;        /* inputs: of the message, which begins again when its TASK_IN is lost */
    bool answer;          /* TASK_OUT and its segments: the slot is the peer's */
};
struct sent {
    uint64_t number, sent_ns;
    uint64_t ack_largest; /* of the ACK in it; 0: none */
    uint32_t refs;        /* list */
    uint16_t bytes;
    bool out;             /* neither acknowledged nor lost */
    bool lost;            /* counted as lost; perhaps too early */
    bool attached;        /* its last bytes went from where they lay */
};
struct sentmap {
    struct sent *ring;
    struct frame_ref *refs;
    uint32_t window, refs_max; /* sizes */
    uint32_t head, tail;       /* positions, never wrapped to the ring: head is the oldest that is out */
    uint32_t in_flight;
    uint32_t lost_records; /* records still in the ring whose packet counted as lost */
    uint32_t free, free_count;
    uint32_t lost, lost_last;
};

/* Pre: ring and refs are of these sizes, window a power of two. */
void sentmap_init(struct sentmap *sm, struct sent *ring, uint32_t window, struct frame_ref *refs, uint32_t refs_max);
static inline struct sent *sentmap_at(const struct sentmap *sm, uint32_t position)
{
    return &sm->ring[position & (sm->window - 1)];
}
/* A free reference or NONE. */
uint32_t sentmap_ref_get(struct sentmap *sm);
void sentmap_ref_put(struct sentmap *sm, uint32_t ref);
/* A list of n > 0 of them, as they are linked by `next`. */
void sentmap_refs_put(struct sentmap *sm, uint32_t first, uint32_t last, uint32_t n);
/* Records a packet.  Pre: tail - head < window. */
void sentmap_push(struct sentmap *sm, const struct sent *s);
/* Position of the first record with a number >= `number`, or tail.  O(log window). */
uint32_t sentmap_find(const struct sentmap *sm, uint64_t number);
/* The packet is out no more; returns its list of references, now the caller's. */
uint32_t sentmap_resolve(struct sentmap *sm, uint32_t position);
/* The packet, which is out no more, counts as lost: its record stays until the ring comes round. */
void sentmap_mark_lost(struct sentmap *sm, uint32_t position);
/* An acknowledgement of first..last: how many packets that counted as lost did arrive; *lowest: the first of them.  O(window) when
 * there are such records, else O(1). */
uint32_t sentmap_found(struct sentmap *sm, uint64_t first, uint64_t last, uint64_t *lowest);
void sentmap_lost_push(struct sentmap *sm, uint32_t ref);
uint32_t sentmap_lost_pop(struct sentmap *sm); /* or NONE */
