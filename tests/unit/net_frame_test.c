/* Frames as bytes: each reason to drop one, and what is made of a good one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "net/be.h"
#include "net/frame.h"

enum {
    ME = 0x0a280001,
    PEER = 0x0a280002,
    UDP_FIRST = 7000,
    WORKERS = 3,
    IP = FRAME_ETHER,
    UDP = FRAME_ETHER + FRAME_IP
};

static const struct frame_local me = {
    .ip = ME, .mask = 0xffffff00, .mac = {2, 0, 0, 0, 0, 1}, .udp_first = UDP_FIRST, .udp_count = WORKERS};
static const struct frame_local peer = {
    .ip = PEER, .mask = 0xffffff00, .mac = {2, 0, 0, 0, 0, 2}, .udp_first = UDP_FIRST, .udp_count = WORKERS};

struct bytes {
    uint8_t b[1600];
    uint32_t n;
};

static void ip_seal(struct bytes *f)
{
    uint32_t head = (f->b[IP] & 15u) * 4;
    be16_put(f->b + IP + 10, 0);
    be16_put(f->b + IP + 10, (uint16_t)~checksum_fold(checksum_add(0, f->b + IP, head)));
}

static struct bytes datagram_with(uint32_t length, uint8_t ecn)
{
    struct bytes f = {.n = FRAME_HEADERS + length};
    struct frame_head h;
    frame_head_init(&h, &peer, ME, me.mac);
    frame_head_write(&h, f.b, 7000, UDP_FIRST + 1, length, ecn);
    for (uint32_t i = 0; i < length; i++)
        f.b[FRAME_HEADERS + i] = (uint8_t)(i * 7);
    return f;
}

/* A datagram from the peer to us, to worker 1. */
static struct bytes datagram(uint32_t length) { return datagram_with(length, 0); }

/* The UDP checksum as RFC 768 has it, word by word. */
static uint16_t udp_sum(const struct bytes *f)
{
    uint32_t n = be16_get(f->b + UDP + 4), sum = IP_PROTOCOL_UDP + n;
    for (uint32_t i = 0; i < 8; i += 2)
        sum += be16_get(f->b + IP + 12 + i);
    for (uint32_t i = 0; i < n; i++)
        sum += i & 1 ? f->b[UDP + i] : (uint32_t)f->b[UDP + i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum ? (uint16_t)~sum : 0xffff;
}

static struct bytes echo_request(uint32_t data)
{
    struct bytes f = datagram(data); /* the ICMP header takes the UDP header's place */
    uint8_t *icmp = f.b + UDP;
    f.b[IP + 9] = IP_PROTOCOL_ICMP;
    ip_seal(&f);
    memset(icmp, 0, 8);
    icmp[0] = 8;
    be16_put(icmp + 4, 0x1234);
    be16_put(icmp + 2, (uint16_t)~checksum_fold(checksum_add(0, icmp, 8 + data)));
    return f;
}

/* Checks a copy that ends where the frame does, so that a sanitizer sees any read behind it. */
static enum chi_drop check(const struct bytes *f, struct frame_in *out)
{
    uint8_t *exact = malloc(f->n ? f->n : 1);
    assert_non_null(exact);
    memcpy(exact, f->b, f->n);
    enum chi_drop d = frame_check(&me, exact, f->n, out);
    free(exact);
    return d;
}

static void expect(const struct bytes *f, enum chi_drop want)
{
    struct frame_in in = {0};
    assert_int_equal(check(f, &in), want);
}

static void frame_check__takes_a_datagram(void **state)
{
    (void)state;
    for (uint32_t length = 0; length < 1400; length += 7) {
        struct bytes f = datagram(length);
        struct frame_in in = {0};
        assert_int_equal(check(&f, &in), CHI_DROP_NONE);
        assert_int_equal(in.kind, FRAME_IS_UDP);
        assert_int_equal(in.ip, PEER);
        assert_int_equal(in.port, 7000);
        assert_int_equal(in.local_port, UDP_FIRST + 1);
        assert_int_equal(in.offset, FRAME_HEADERS);
        assert_int_equal(in.length, length);
    }
}

static void frame_head_write__has_the_ecn_bits_and_their_checksum(void **state)
{
    (void)state;
    for (uint8_t ecn = 0; ecn < 4; ecn++)
        for (uint32_t length = 0; length < 1400; length += 7) {
            struct bytes f = datagram_with(length, ecn);
            struct frame_in in = {0};
            assert_int_equal(f.b[IP + 1], ecn); /* no class of service beside them */
            assert_int_equal(checksum_fold(checksum_add(0, f.b + IP, FRAME_IP)), 0xffff);
            assert_int_equal(check(&f, &in), CHI_DROP_NONE);
            assert_int_equal(in.ecn, ecn);
            f.b[IP + 1] |= 0xb8; /* someone's class of service */
            ip_seal(&f);
            assert_int_equal(check(&f, &in), CHI_DROP_NONE);
            assert_int_equal(in.ecn, ecn);
        }
}

static void frame_check__ignores_padding_behind_the_packet(void **state)
{
    (void)state;
    struct bytes f = datagram(2);
    struct frame_in in = {0};
    f.n = 60;
    assert_int_equal(check(&f, &in), CHI_DROP_NONE);
    assert_int_equal(in.length, 2);
}

static void frame_check__skips_ip_options(void **state)
{
    (void)state;
    struct bytes f = datagram(10);
    struct frame_in in = {0};
    memmove(f.b + UDP + 8, f.b + UDP, 18);
    memset(f.b + UDP, 1, 8); /* no operation */
    f.n += 8;
    f.b[IP] = 0x47;
    be16_put(f.b + IP + 2, 28 + 18);
    ip_seal(&f);
    assert_int_equal(check(&f, &in), CHI_DROP_NONE);
    assert_int_equal(in.offset, FRAME_HEADERS + 8);
    assert_int_equal(in.length, 10);
}

static void frame_check__truncated(void **state)
{
    (void)state;
    struct bytes f = datagram(100);
    for (uint32_t n = 0; n < f.n; n++) {
        struct bytes cut = f;
        cut.n = n;
        expect(&cut, CHI_DROP_LINK_TRUNCATED);
    }
}

static void frame_check__link_type(void **state)
{
    (void)state;
    static const uint16_t types[] = {0x86dd, 0x8100, 0x88cc, 0x0000, 0x05dc};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct bytes f = datagram(0);
        be16_put(f.b + 12, types[i]);
        expect(&f, CHI_DROP_LINK_TYPE);
    }
}

static void frame_check__ip_header(void **state)
{
    (void)state;
    struct bytes f = datagram(0);
    f.b[IP] = 0x65; /* version 6 */
    expect(&f, CHI_DROP_IP_HEADER);
    f = datagram(0);
    f.b[IP] = 0x44; /* 16 bytes of header */
    expect(&f, CHI_DROP_IP_HEADER);
    f = datagram(0);
    be16_put(f.b + IP + 2, 19); /* in total less than the header */
    expect(&f, CHI_DROP_IP_HEADER);
    f = datagram(0);
    f.b[IP] = 0x4f; /* a header longer than the packet */
    expect(&f, CHI_DROP_IP_HEADER);
}

static void frame_check__ip_checksum(void **state)
{
    (void)state;
    for (uint32_t bit = 0; bit < 16; bit++) {
        struct bytes f = datagram(4);
        f.b[IP + 10 + bit / 8] ^= (uint8_t)(1 << bit % 8);
        expect(&f, CHI_DROP_IP_CHECKSUM);
    }
    struct bytes f = datagram(4);
    struct frame_in in = {.ip_checked = true}; /* the port found it good: not looked at again */
    f.b[IP + 10] ^= 1;
    assert_int_equal(check(&f, &in), CHI_DROP_NONE);
}

static void frame_check__ip_fragment(void **state)
{
    (void)state;
    static const uint16_t words[] = {0x2000, 0x0001, 0x1fff};
    for (size_t i = 0; i < 3; i++) {
        struct bytes f = datagram(4);
        be16_put(f.b + IP + 6, words[i]);
        ip_seal(&f);
        expect(&f, CHI_DROP_IP_FRAGMENT);
    }
}

static void frame_check__ip_address(void **state)
{
    (void)state;
    static const uint32_t to[] = {ME + 5, 0x0a2800ff, 0xffffffff, 0xe0000001, 0};
    static const uint32_t from[] = {ME, 0, 0x7f000001, 0xe0000001, 0xffffffff};
    for (size_t i = 0; i < 5; i++) {
        struct bytes f = datagram(4);
        be32_put(f.b + IP + 16, to[i]);
        ip_seal(&f);
        expect(&f, CHI_DROP_IP_ADDRESS);
        f = datagram(4);
        be32_put(f.b + IP + 12, from[i]);
        ip_seal(&f);
        expect(&f, CHI_DROP_IP_ADDRESS);
    }
    struct bytes f = datagram(4); /* our IP address at somebody else's link address */
    f.b[5] ^= 4;
    expect(&f, CHI_DROP_IP_ADDRESS);
    f = datagram(4);
    memset(f.b, 0xff, 6);
    expect(&f, CHI_DROP_IP_ADDRESS);
}

static void frame_check__ip_protocol(void **state)
{
    (void)state;
    struct bytes f = datagram(4);
    f.b[IP + 9] = 6;
    ip_seal(&f);
    expect(&f, CHI_DROP_IP_PROTOCOL);
    f = echo_request(8);
    f.b[UDP] = 3; /* unreachable */
    expect(&f, CHI_DROP_IP_PROTOCOL);
    f = echo_request(8);
    be16_put(f.b + IP + 2, FRAME_IP + 7); /* less than an ICMP header */
    ip_seal(&f);
    expect(&f, CHI_DROP_IP_PROTOCOL);
}

static void frame_check__udp_length(void **state)
{
    (void)state;
    static const uint16_t lengths[] = {0, 7, 8, 11, 13, 65535};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct bytes f = datagram(4);
        be16_put(f.b + UDP + 4, lengths[i]);
        expect(&f, CHI_DROP_UDP_LENGTH);
    }
    struct bytes f = datagram(4);
    be16_put(f.b + IP + 2, FRAME_IP + 7);
    ip_seal(&f);
    expect(&f, CHI_DROP_UDP_LENGTH);
}

static void frame_check__udp_checksum(void **state)
{
    (void)state;
    for (uint32_t length = 0; length < 40; length++) {
        struct bytes f = datagram(length);
        struct frame_in in = {0};
        be16_put(f.b + UDP + 6, udp_sum(&f));
        assert_int_equal(check(&f, &in), CHI_DROP_NONE);
        f.b[f.n - 1] ^= 1;
        expect(&f, CHI_DROP_UDP_CHECKSUM);
        in = (struct frame_in){.udp_checked = true};
        assert_int_equal(check(&f, &in), CHI_DROP_NONE);
    }
}

static void frame_check__udp_port(void **state)
{
    (void)state;
    static const uint16_t ports[] = {0, UDP_FIRST - 1, UDP_FIRST + WORKERS, 65535, FRAME_SOURCE_FIRST, FRAME_SOURCE_FIRST + FRAME_SOURCE_STEP + WORKERS};
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        struct bytes f = datagram(4);
        be16_put(f.b + UDP + 2, ports[i]);
        expect(&f, CHI_DROP_UDP_PORT);
    }
}

/* What comes to a source port is for the worker that sent from it. */
static void frame_check__udp_port_of_a_source(void **state)
{
    (void)state;
    for (unsigned source = 0; source < FRAME_SOURCES; source++)
        for (unsigned w = 0; w < WORKERS; w++) {
            struct bytes f = datagram(4);
            struct frame_in in = {0};
            be16_put(f.b + UDP + 2, frame_source_port(UDP_FIRST, w, (uint8_t)source));
            assert_int_equal(check(&f, &in), CHI_DROP_NONE);
            assert_int_equal(in.local_port, UDP_FIRST + w);
        }
    assert_int_equal(frame_source_port(UDP_FIRST, 0, 0), UDP_FIRST);
    assert_int_equal(frame_source_port(UDP_FIRST, FRAME_SOURCE_STEP - 1, FRAME_SOURCES - 1), 65535);
    assert_int_equal(frame_source_port(UDP_FIRST, FRAME_SOURCE_STEP, 1), UDP_FIRST + FRAME_SOURCE_STEP); /* it has no other */
}

static void frame_check__icmp_checksum(void **state)
{
    (void)state;
    struct bytes f = echo_request(9);
    f.b[f.n - 1] ^= 1;
    expect(&f, CHI_DROP_IP_CHECKSUM);
}

static void frame_echo_reply__answers_the_sender(void **state)
{
    (void)state;
    for (uint32_t data = 0; data < 60; data++) {
        struct bytes f = echo_request(data);
        struct bytes asked = f;
        struct frame_in in = {0};
        assert_int_equal(check(&f, &in), CHI_DROP_NONE);
        assert_int_equal(in.kind, FRAME_IS_ECHO);
        frame_echo_reply(f.b, &in);
        assert_memory_equal(f.b, peer.mac, 6);
        assert_memory_equal(f.b + 6, me.mac, 6);
        assert_int_equal(be32_get(f.b + IP + 12), ME);
        assert_int_equal(be32_get(f.b + IP + 16), PEER);
        assert_int_equal(checksum_fold(checksum_add(0, f.b + IP, FRAME_IP)), 0xffff);
        assert_int_equal(checksum_fold(checksum_add(0, f.b + UDP, 8 + data)), 0xffff);
        assert_int_equal(f.b[UDP], 0);
        assert_memory_equal(f.b + UDP + 4, asked.b + UDP + 4, 4 + data); /* identifier, number, data */
    }
}

static void frame_check__survives_any_bytes(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252u;
    for (int round = 0; round < 200000; round++) {
        struct bytes f = round & 1 ? datagram(20) : echo_request(20);
        for (int k = 0; k < 3; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            f.b[x % f.n] = (uint8_t)(x >> 32);
        }
        f.n = (uint32_t)(x >> 40) % (f.n + 1);
        struct frame_in in = {.ip_checked = x >> 62 & 1, .udp_checked = x >> 61 & 1};
        if (check(&f, &in) == CHI_DROP_NONE && in.kind != FRAME_IS_ARP)
            assert_true(chi_span_ok(in.offset, in.length, f.n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_check__takes_a_datagram),
        cmocka_unit_test(frame_head_write__has_the_ecn_bits_and_their_checksum),
        cmocka_unit_test(frame_check__ignores_padding_behind_the_packet),
        cmocka_unit_test(frame_check__skips_ip_options),
        cmocka_unit_test(frame_check__truncated),
        cmocka_unit_test(frame_check__link_type),
        cmocka_unit_test(frame_check__ip_header),
        cmocka_unit_test(frame_check__ip_checksum),
        cmocka_unit_test(frame_check__ip_fragment),
        cmocka_unit_test(frame_check__ip_address),
        cmocka_unit_test(frame_check__ip_protocol),
        cmocka_unit_test(frame_check__udp_length),
        cmocka_unit_test(frame_check__udp_checksum),
        cmocka_unit_test(frame_check__udp_port),
        cmocka_unit_test(frame_check__udp_port_of_a_source),
        cmocka_unit_test(frame_check__icmp_checksum),
        cmocka_unit_test(frame_echo_reply__answers_the_sender),
        cmocka_unit_test(frame_check__survives_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
