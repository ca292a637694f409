#include "net/be.h"
#include "net/frame.h"

enum { ICMP_ECHO_REPLY = 0, ICMP_ECHO = 8, ICMP_BYTES = 8, IP_MORE_FRAGMENTS = 0x2000, IP_OFFSET = 0x1fff, TTL = 64 };

static bool mac_is_ours(const struct frame_local *me, const uint8_t *mac)
{
    return memcmp(me->mac, mac, 6) == 0;
}

/* Someone who can be answered: no multicast, no 0/8, 127/8 or 240/4, and not ourselves. */
static bool source_ok(const struct frame_local *me, uint32_t ip)
{
    uint32_t top = ip >> 24;
    return ip != me->ip && top != 0 && top != 127 && top < 224;
}

static enum chi_drop udp_check(const struct frame_local *me, const uint8_t *ip, const uint8_t *udp, uint32_t n,
                               struct frame_in *f)
{
    if (n < FRAME_UDP || be16_get(udp + 4) != n)
        return CHI_DROP_UDP_LENGTH;
    if (be16_get(udp + 6) != 0 && !f->udp_checked) {
        uint64_t sum = checksum_add(IP_PROTOCOL_UDP + n, ip + 12, 8);
        if (checksum_fold(checksum_add(sum, udp, n)) != 0xffff)
            return CHI_DROP_UDP_CHECKSUM;
    }
    f->port = be16_get(udp);
    f->local_port = be16_get(udp + 2);
    if (CHI_UNLIKELY((uint16_t)(f->local_port - me->udp_first) >= me->udp_count)) {
        uint16_t worker = f->local_port % FRAME_SOURCE_STEP;
        if (f->local_port < FRAME_SOURCE_FIRST + FRAME_SOURCE_STEP || worker >= me->udp_count)
            return CHI_DROP_UDP_PORT;
        f->local_port = (uint16_t)(me->udp_first + worker);
    }
    f->kind = FRAME_IS_UDP;
    f->offset += FRAME_UDP;
    f->length = n - FRAME_UDP;
    return CHI_DROP_NONE;
}

static enum chi_drop icmp_check(const uint8_t *icmp, uint32_t n, struct frame_in *f)
{
    if (n < ICMP_BYTES || icmp[0] != ICMP_ECHO || icmp[1] != 0)
        return CHI_DROP_IP_PROTOCOL;
    if (checksum_fold(checksum_add(0, icmp, n)) != 0xffff)
        return CHI_DROP_IP_CHECKSUM;
    f->kind = FRAME_IS_ECHO;
    f->length = n;
    return CHI_DROP_NONE;
}

static enum chi_drop ipv4_check(const struct frame_local *me, const uint8_t *p, uint32_t n, struct frame_in *f)
{
    if (n < FRAME_ETHER + FRAME_IP)
        return CHI_DROP_LINK_TRUNCATED;
    const uint8_t *ip = p + FRAME_ETHER;
    uint32_t head = (ip[0] & 15u) * 4, total = be16_get(ip + 2);
    if (ip[0] >> 4 != 4 || head < FRAME_IP || total < head)
        return CHI_DROP_IP_HEADER;
    if (total > n - FRAME_ETHER)
        return CHI_DROP_LINK_TRUNCATED;
    if (!f->ip_checked && checksum_fold(checksum_add(0, ip, head)) != 0xffff)
        return CHI_DROP_IP_CHECKSUM;
    f->ecn = ip[1] & 3;
    f->ip = be32_get(ip + 12);
    if (be32_get(ip + 16) != me->ip || !mac_is_ours(me, p) || !source_ok(me, f->ip))
        return CHI_DROP_IP_ADDRESS;
    if (be16_get(ip + 6) & (IP_MORE_FRAGMENTS | IP_OFFSET))
        return CHI_DROP_IP_FRAGMENT;
    f->offset = FRAME_ETHER + head;
    if (ip[9] == IP_PROTOCOL_UDP)
        return udp_check(me, ip, ip + head, total - head, f);
    if (ip[9] == IP_PROTOCOL_ICMP)
        return icmp_check(ip + head, total - head, f);
    return CHI_DROP_IP_PROTOCOL;
}

enum chi_drop frame_check(const struct frame_local *me, const uint8_t *p, uint32_t n, struct frame_in *f)
{
    if (n < FRAME_ETHER)
        return CHI_DROP_LINK_TRUNCATED;
    switch (be16_get(p + 12)) {
    case ETHERTYPE_IPV4:
        return ipv4_check(me, p, n, f);
    case ETHERTYPE_ARP:
        f->kind = FRAME_IS_ARP;
        return CHI_DROP_NONE;
    default:
        return CHI_DROP_LINK_TYPE;
    }
}

static void swap(uint8_t *a, uint8_t *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint8_t t = a[i];
        a[i] = b[i];
        b[i] = t;
    }
}

void frame_echo_reply(uint8_t *p, const struct frame_in *f)
{
    uint8_t *ip = p + FRAME_ETHER, *icmp = p + f->offset;
    swap(p, p + 6, 6);
    swap(ip + 12, ip + 16, 4);
    ip[8] = TTL;
    be16_put(ip + 10, 0);
    be16_put(ip + 10, (uint16_t)~checksum_fold(checksum_add(0, ip, f->offset - FRAME_ETHER)));
    icmp[0] = ICMP_ECHO_REPLY;
    be16_put(icmp + 2, 0);
    be16_put(icmp + 2, (uint16_t)~checksum_fold(checksum_add(0, icmp, f->length)));
}

void frame_head_init(struct frame_head *h, const struct frame_local *me, uint32_t ip, const uint8_t mac[6])
{
    uint8_t *p = h->bytes, *q = p + FRAME_ETHER;
    memset(h, 0, sizeof *h);
    memcpy(p, mac, 6);
    memcpy(p + 6, me->mac, 6);
    be16_put(p + 12, ETHERTYPE_IPV4);
    q[0] = 0x45;
    be16_put(q + 6, 0x4000); /* don't fragment; the identification may then be 0 (RFC 6864) */
    q[8] = TTL;
    q[9] = IP_PROTOCOL_UDP;
    be32_put(q + 12, me->ip);
    be32_put(q + 16, ip);
    h->sum = checksum_fold(checksum_add(0, q, FRAME_IP));
}

void frame_head_write(const struct frame_head *h, uint8_t *p, uint16_t from_port, uint16_t to_port, uint32_t length, uint8_t ecn)
{
    uint8_t *ip = p + FRAME_ETHER, *udp = ip + FRAME_IP;
    uint16_t total = (uint16_t)(FRAME_IP + FRAME_UDP + length);
    memcpy(p, h->bytes, FRAME_HEADERS);
    ip[1] = ecn;
    be16_put(ip + 2, total);
    be16_put(ip + 10, (uint16_t)~checksum_fold((uint64_t)h->sum + total + ecn));
    be16_put(udp, from_port);
    be16_put(udp + 2, to_port);
    be16_put(udp + 4, (uint16_t)(FRAME_UDP + length));
}
