#include "layout.h"

/* Whole words are stored, here and for frames, because the CRC reads them back at once in such words, and a load waits
 * for smaller stores. */

void wire_put_header(uint8_t *p, const struct wire_header *h)
{
    le64_put(p + AT_VERSION,
             (uint64_t)WIRE_VERSION | (uint64_t)h->kind << 8 * AT_KIND | (uint64_t)h->length << 8 * AT_LENGTH);
    le64_put(p + AT_SESSION, h->session | (uint64_t)h->capable << 32 | (uint64_t)h->marked << 48); /* to AT_MARKED */
    le64_put(p + AT_NUMBER, h->number);
}

void wire_seal(uint8_t *p, size_t n, wire_crc32c_fn crc32c) { wire_seal_tail(p, n, NULL, 0, crc32c); }

void wire_seal_tail(uint8_t *p, size_t n, const uint8_t *tail, size_t tail_n, wire_crc32c_fn crc32c)
{
    CHI_ASSERT(n >= WIRE_HEADER_BYTES && n + tail_n <= WIRE_PACKET_MAX);
    le64_put(p, (le64_get(p) & UINT16_MAX) | (uint64_t)(n + tail_n) << 8 * AT_LENGTH); /* version and kind stay; CRC 0 */
    uint32_t crc = crc32c(0, p, n);
    le32_put(p + AT_CRC, tail_n ? crc32c(crc, tail, tail_n) : crc);
}

/* The CRC over `length` bytes as if its own field were 0; the packet is not written to. */
static uint32_t crc_of(const uint8_t *p, size_t length, wire_crc32c_fn crc32c)
{
    uint8_t head[WIRE_HEADER_BYTES];
    le64_put(head, le64_get(p) & UINT32_MAX); /* CRC 0 */
    le64_put(head + AT_SESSION, le64_get(p + AT_SESSION));
    le64_put(head + AT_NUMBER, le64_get(p + AT_NUMBER));
    uint32_t crc = crc32c(0, head, sizeof head);
    return length > sizeof head ? crc32c(crc, p + sizeof head, length - sizeof head) : crc;
}

enum chi_drop wire_open(const uint8_t *p, size_t n, wire_crc32c_fn crc32c, struct wire_header *out)
{
    if (n < WIRE_HEADER_BYTES)
        return CHI_DROP_TRUNCATED;
    uint8_t kind = p[AT_KIND];
    if (p[AT_VERSION] != WIRE_VERSION && kind != WIRE_KIND_REFUSE) /* REFUSE is the same in every version */
        return CHI_DROP_VERSION;
    switch (kind) {
#define KIND_CASE(name, number) case WIRE_KIND_##name:
        WIRE_KIND_LIST(KIND_CASE)
#undef KIND_CASE
        break;
    default:
        return CHI_DROP_KIND;
    }
    uint16_t length = le16_get(p + AT_LENGTH);
    if (length < WIRE_HEADER_BYTES || length > n)
        return CHI_DROP_TRUNCATED;
    uint64_t session = le64_get(p + AT_SESSION); /* and the counts */
    uint64_t number = le64_get(p + AT_NUMBER);
    if (kind != WIRE_KIND_DATA && (session || number))
        return CHI_DROP_RESERVED;
    uint32_t crc = le32_get(p + AT_CRC);
    if (crc != crc_of(p, length, crc32c))
        return CHI_DROP_CRC;
    out->kind = kind;
    out->length = length;
    out->crc = crc;
    out->session = (uint32_t)session;
    out->capable = (uint16_t)(session >> 32);
    out->marked = (uint16_t)(session >> 48);
    out->number = number;
    return CHI_DROP_NONE;
}

uint32_t wire_peek_session(const uint8_t *p, size_t n) { return n < WIRE_HEADER_BYTES ? 0 : le32_get(p + AT_SESSION); }
