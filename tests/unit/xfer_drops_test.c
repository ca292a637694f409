/* Each reason for which the transport drops something raises its own counter by one, and no other. */
#include "xfer_script.h"

static uint8_t form[FORM_PREFIX_MAX + 4096];

static void expect_counts(const struct script *s, const uint64_t before[CHI_DROP_COUNT], enum chi_drop want)
{
    for (int d = 0; d < CHI_DROP_COUNT; d++) {
        unsigned long long right = before[d] + (want != CHI_DROP_NONE && d == (int)want), is = s->drops[d];
        if (is != right)
            fail_msg("%s: %llu, expected %llu", chi_drop_name((enum chi_drop)d), is, right);
    }
}

static void rx(struct script *s, uint32_t ip, const uint8_t *p, size_t n, enum chi_drop want)
{
    uint64_t before[CHI_DROP_COUNT];
    memcpy(before, s->drops, sizeof before);
    assert_int_equal(script_rx(s, ip, p, n), want == CHI_DROP_SLOT_STALE ? CHI_DROP_NONE : want);
    expect_counts(s, before, want);
    script_no_event(s);
    script_tx(s);
}

/* The frames that were put between data_begin and this, as the peer's next packet. */
static void data(struct script *s, enum chi_drop want)
{
    uint64_t before[CHI_DROP_COUNT];
    memcpy(before, s->drops, sizeof before);
    assert_int_equal(data_end(s), want == CHI_DROP_SLOT_STALE ? CHI_DROP_NONE : want);
    expect_counts(s, before, want);
    script_no_event(s);
    script_tx(s);
}

/* The same, with a task that finds no room: it waits, and is counted. */
static void data_waits(struct script *s)
{
    uint64_t before[CHI_DROP_COUNT];
    memcpy(before, s->drops, sizeof before);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    expect_counts(s, before, CHI_DROP_NO_MEMORY);
    script_no_event(s);
    script_tx(s);
}

static size_t a_hello(uint8_t *p, const struct wire_hello *h)
{
    size_t n = wire_put_hello(p, h);
    wire_seal(p, n, script_crc);
    return n;
}

static size_t a_ping(const struct script *s, uint8_t *p, uint64_t number)
{
    const struct wire_header h = {.kind = WIRE_KIND_DATA, .session = s->session, .number = number};
    wire_put_header(p, &h);
    size_t n = WIRE_HEADER_BYTES + wire_put_ping(p + WIRE_HEADER_BYTES);
    wire_seal(p, n, script_crc);
    return n;
}

static void packet__that_cannot_be_opened_is_counted_by_reason(void **state)
{
    (void)state;
    struct script s;
    uint8_t p[64];
    script_live(&s);
    rx(&s, 2, p, 0, CHI_DROP_TRUNCATED);
    rx(&s, 2, p, WIRE_HEADER_BYTES - 1, CHI_DROP_TRUNCATED);
    size_t n = a_ping(&s, p, 1);
    rx(&s, 2, p, n - 1, CHI_DROP_TRUNCATED);
    p[0] = WIRE_VERSION + 1;
    rx(&s, 2, p, n, CHI_DROP_VERSION);
    n = a_ping(&s, p, 1);
    p[1] = 4;
    rx(&s, 2, p, n, CHI_DROP_KIND);
    n = a_ping(&s, p, 1);
    p[12] = 1;
    wire_seal(p, n, script_crc);
    rx(&s, 2, p, n, CHI_DROP_RESERVED);
    n = a_ping(&s, p, 1);
    p[n - 1] ^= 1;
    rx(&s, 2, p, n, CHI_DROP_CRC);
    n = a_ping(&s, p, 1);
    rx(&s, 2, p, n, CHI_DROP_NONE); /* so it was that byte each time */
    script_close(&s);
}

static void frame__that_cannot_be_read_is_counted_by_reason(void **state)
{
    (void)state;
    struct script s;
    script_live(&s);
    data_begin(&s);
    data_bytes(&s, "\13\0\0\0", 4); /* the first that is none */
    data(&s, CHI_DROP_FRAME_TYPE);
    data_begin(&s);
    data_bytes(&s, "\5\0\0", 3); /* a ping has four bytes */
    data(&s, CHI_DROP_FRAME_LENGTH);
    data_begin(&s);
    data_bytes(&s, "\6\2\0\0", 4); /* no reason of a CLOSE */
    data(&s, CHI_DROP_FRAME_VALUE);
    data_begin(&s);
    data_bytes(&s, "\5\0\0\1", 4);
    data(&s, CHI_DROP_RESERVED);
    script_close(&s);
}

static void hello__that_is_not_believed_is_counted_by_reason(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello();
    uint8_t p[WIRE_HELLO_BYTES + 8];
    script_live(&s);
    size_t n = a_hello(p, &h);
    wire_seal(p, n - 1, script_crc);
    rx(&s, 2, p, n - 1, CHI_DROP_TRUNCATED);
    n = a_hello(p, &h);
    memset(p + n, 0, 8);
    wire_seal(p, n + 8, script_crc);
    rx(&s, 2, p, n + 8, CHI_DROP_FRAME_LENGTH);
    h.packet_max = WIRE_PACKET_MIN - 1;
    rx(&s, 2, p, a_hello(p, &h), CHI_DROP_FRAME_VALUE);
    h = script_hello();
    n = a_hello(p, &h);
    p[n - 1] = 1; /* behind the cluster's name */
    wire_seal(p, n, script_crc);
    rx(&s, 2, p, n, CHI_DROP_RESERVED);
    h = script_hello();
    h.cluster[0] = 'U';
    rx(&s, 2, p, a_hello(p, &h), CHI_DROP_CLUSTER);
    h = script_hello();
    h.node = 9;
    rx(&s, 2, p, a_hello(p, &h), CHI_DROP_PEER_UNKNOWN);
    h = script_hello();
    rx(&s, 3, p, a_hello(p, &h), CHI_DROP_ADDRESS);
    h = script_hello();
    h.peer_session = s.session;
    h.peer_incarnation = SCRIPT_OWN_LIFE - 1; /* meant for a former life of ours */
    rx(&s, 2, p, a_hello(p, &h), CHI_DROP_INCARNATION);
    h.peer_incarnation = SCRIPT_OWN_LIFE;
    h.peer_session = s.session + 1; /* a guess */
    rx(&s, 2, p, a_hello(p, &h), CHI_DROP_SESSION_UNKNOWN);
    h.peer_session = s.session;
    h.session = SCRIPT_PEER_SESSION + 1; /* not the one that this session was made with */
    rx(&s, 2, p, a_hello(p, &h), CHI_DROP_SESSION_UNKNOWN);
    script_close(&s);
}

/* All sessions are live: a hello of one worker more has no record. */
static void hello__beyond_the_sessions_is_counted(void **state)
{
    (void)state;
    struct script s;
    struct wire_hello h = script_hello();
    uint8_t p[WIRE_HELLO_BYTES];
    script_open(&s);
    h.workers = 1000;
    for (uint16_t i = 0; i < 1 + 2 + 16; i++) { /* docs/LIMITS.md: its own, and as many as there are peers and 16 */
        h.worker = i;
        h.session = 100u + i;
        script_meet(&s, h);
        script_no_event(&s);
    }
    h.worker = 500;
    h.session = 999;
    h.flags = 0;
    rx(&s, 2, p, a_hello(p, &h), CHI_DROP_NO_MEMORY);
    script_nothing_sent(&s);
    script_close(&s);
}

static void refuse__that_is_not_believed_is_counted_by_reason(void **state)
{
    (void)state;
    struct script s;
    uint8_t p[WIRE_REFUSE_BYTES];
    script_live(&s);
    const struct { struct wire_refuse r; uint32_t ip; enum chi_drop want; } cases[] = {
        {{.incarnation = SCRIPT_PEER_LIFE, .node = 2, .session = SCRIPT_PEER_SESSION + 1, .reason = WIRE_REFUSE_SESSION}, 2, CHI_DROP_SESSION_UNKNOWN},
        {{.incarnation = SCRIPT_PEER_LIFE, .node = 9, .session = SCRIPT_PEER_SESSION, .reason = WIRE_REFUSE_SESSION}, 2, CHI_DROP_PEER_UNKNOWN},
        {{.incarnation = SCRIPT_PEER_LIFE, .node = 2, .session = SCRIPT_PEER_SESSION, .reason = WIRE_REFUSE_SESSION}, 3, CHI_DROP_PEER_UNKNOWN},
        {{.incarnation = SCRIPT_PEER_LIFE, .node = 2, .reason = WIRE_REFUSE_VERSION}, 2, CHI_DROP_SESSION_UNKNOWN},
        {{.incarnation = SCRIPT_PEER_LIFE, .node = 2, .session = 77, .reason = WIRE_REFUSE_CLUSTER}, 2, CHI_DROP_SESSION_UNKNOWN},
        {{.incarnation = SCRIPT_PEER_LIFE, .node = 2, .session = 77, .reason = 9}, 2, CHI_DROP_FRAME_VALUE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n = wire_put_refuse(p, &cases[i].r);
        wire_seal(p, n, script_crc);
        rx(&s, cases[i].ip, p, n, cases[i].want);
    }
    script_nothing_sent(&s);
    script_close(&s);

    struct wire_hello h; /* an id that was offered, from where it did not go to */
    struct xfer_out m = {.form = form, .form_length = script_form(form, NULL, 0, 8), .deadline_ns = UINT64_MAX};
    script_open(&s);
    xfer_send(s.x, 2, &m, s.now);
    script_tx(&s);
    script_take_hello(&s, &h);
    struct wire_refuse r = {.incarnation = 5, .node = 2, .session = h.session, .reason = WIRE_REFUSE_CLUSTER};
    size_t n = wire_put_refuse(p, &r);
    wire_seal(p, n, script_crc);
    rx(&s, 3, p, n, CHI_DROP_ADDRESS);
    script_close(&s);
}

static void data__of_no_session_or_number_is_counted_by_reason(void **state)
{
    (void)state;
    struct script s;
    uint8_t p[64];
    script_live(&s);
    s.session++;
    rx(&s, 2, p, a_ping(&s, p, 1), CHI_DROP_SESSION_UNKNOWN);
    s.session--;
    rx(&s, 3, p, a_ping(&s, p, 1), CHI_DROP_ADDRESS);
    rx(&s, 2, p, a_ping(&s, p, 0), CHI_DROP_NUMBER);
    rx(&s, 2, p, a_ping(&s, p, UINT64_C(1) << 62), CHI_DROP_NUMBER);
    rx(&s, 2, p, a_ping(&s, p, 1), CHI_DROP_NONE);
    rx(&s, 2, p, a_ping(&s, p, 1), CHI_DROP_DUPLICATE);
    s.number = 1;
    data_begin(&s);
    data_ack(&s, 1, 50); /* nobody sent 50 */
    data(&s, CHI_DROP_NUMBER);
    script_close(&s);
}

/* A message of which the target has all but region 1: 100 bytes. */
static void begin_task(struct script *s)
{
    const struct form_region r[] = {{1000, 0, CHI_WRITE}, {50, 0, CHI_EXPOSE}};
    uint32_t n = script_form(form, r, 2, 20);
    data_begin(s);
    data_task_in(s, 0, 2, form, n, n);
    data(s, CHI_DROP_NONE);
}

static void message__that_does_not_fit_is_counted_by_reason(void **state)
{
    (void)state;
    static const struct { uint32_t slot, generation; uint8_t region; uint64_t offset; enum chi_drop want; } segments[] = {
        {4, 2, 1, 0, CHI_DROP_SLOT_RANGE},   {0, 1, 1, 0, CHI_DROP_SLOT_STALE},      {0, 3, 1, 0, CHI_DROP_REGION_UNKNOWN},
        {0, 2, 3, 0, CHI_DROP_REGION_UNKNOWN}, {0, 2, 1, 997, CHI_DROP_REGION_BOUNDS}, {0, 2, 2, 0, CHI_DROP_REGION_UNKNOWN},
    };
    struct script s;
    script_live(&s);
    begin_task(&s);
    for (size_t i = 0; i < sizeof segments / sizeof segments[0]; i++) {
        data_begin(&s);
        data_segment(&s, segments[i].slot, segments[i].generation, segments[i].region, 0, segments[i].offset, "evil", 4);
        data(&s, segments[i].want);
    }
    for (uint64_t i = 0; i <= 64; i++) { /* holes */
        data_begin(&s);
        data_segment(&s, 0, 2, 1, 0, 10 + 2 * i, "x", 1);
        data(&s, i < 64 ? CHI_DROP_NONE : CHI_DROP_REGION_FRAGMENTED);
    }
    uint32_t n = script_form(form, NULL, 0, 20);
    data_begin(&s);
    data_task_in(&s, 4, 1, form, n, n);
    data(&s, CHI_DROP_SLOT_RANGE);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    data(&s, CHI_DROP_SLOT_STALE);
    data_begin(&s);
    data_task_in(&s, 1, 1, form, n, 31); /* not even the head */
    data(&s, CHI_DROP_FORM);
    n = script_form(form, NULL, 0, 2000);
    data_begin(&s);
    data_task_in(&s, 2, 1, form, n, 100);
    data(&s, CHI_DROP_NONE);
    data_begin(&s);
    data_task_in(&s, 2, 1, form, n + 1, 100); /* longer than it said before */
    data(&s, CHI_DROP_FRAME_VALUE);
    s.no_memory = true;
    data_begin(&s);
    data_task_in(&s, 1, 1, form, n, 100); /* for the rest of the form */
    data_waits(&s);
    const struct form_region r[] = {{100, 0, CHI_EXPOSE}};
    n = script_form(form, r, 1, 20);
    data_begin(&s);
    data_task_in(&s, 3, 1, form, n, n);
    data_waits(&s);
    script_close(&s);
}

/* Each pool that a message needs may be empty. */
static void message__without_a_record_is_counted(void **state)
{
    (void)state;
    enum { TRACKS = 128 }; /* docs/LIMITS.md: regions with holes at once */
    struct form_region r[CHI_REGIONS_MAX];
    struct script s;
    struct xfer_config c = script_config();
    c.slots = 16;
    c.messages_in = TRACKS / CHI_REGIONS_MAX + 1;
    script_open_with(&s, &c);
    script_handshake(&s);
    for (int i = 0; i < CHI_REGIONS_MAX; i++)
        r[i] = (struct form_region){100, 0, CHI_WRITE};
    uint32_t n = script_form(form, r, CHI_REGIONS_MAX, 0);
    for (uint32_t slot = 0; slot <= c.messages_in; slot++) {
        data_begin(&s);
        data_task_in(&s, slot, 1, form, n, n);
        if (slot < c.messages_in)
            data(&s, CHI_DROP_NONE);
        else
            data_waits(&s);
    }
    for (uint32_t i = 0; i <= TRACKS; i++) {
        data_begin(&s);
        data_segment(&s, i / CHI_REGIONS_MAX, 1, (uint8_t)(i % CHI_REGIONS_MAX + 1), 0, 1, "x", 1);
        data(&s, i < TRACKS ? CHI_DROP_NONE : CHI_DROP_NO_MEMORY);
    }
    script_close(&s);
}

static void answer__that_does_not_fit_is_counted_by_reason(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    static uint8_t area[100];
    static uint8_t behind[100]; /* of the table, and not this message's */
    struct chi_ar_region r[] = {{.ptr = area, .size = sizeof area, .flags = CHI_EXPOSE}, {.ptr = behind, .size = 100, .flags = CHI_EXPOSE}};
    const struct form_region f[] = {{sizeof area, 0, CHI_EXPOSE}};
    script_live(&s);
    m = (struct xfer_out){.form = form, .form_length = script_form(form, f, 1, 10), .regions = r, .nregions = 1, .deadline_ns = UINT64_MAX};
    xfer_send(s.x, 2, &m, s.now);
    script_tx(&s);
    const struct { struct wire_task_out w; enum chi_drop want; } answers[] = {
        {{.generation = 1, .regions = 1, .used = {101}}, CHI_DROP_REGION_BOUNDS},
        {{.generation = 1, .regions = 0}, CHI_DROP_FRAME_VALUE},
        {{.generation = 1, .regions = 1, .status = CHI_STATUS_PENDING}, CHI_DROP_FRAME_VALUE},
        {{.generation = 1, .regions = 1, .form_length = CHI_FORM_BYTES_MAX + 1}, CHI_DROP_FRAME_VALUE},
        {{.generation = 2, .regions = 1}, CHI_DROP_SLOT_STALE},
        {{.slot = 7, .generation = 1, .regions = 1}, CHI_DROP_SLOT_RANGE},
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        data_begin(&s);
        data_task_out(&s, &answers[i].w, "");
        data(&s, answers[i].want);
    }
    static const struct { uint32_t slot, generation; uint8_t region; uint64_t offset; enum chi_drop want; } segments[] = {
        {4, 1, 1, 0, CHI_DROP_SLOT_RANGE},      {0, 2, 1, 0, CHI_DROP_SLOT_STALE},    {0, 1, 2, 0, CHI_DROP_REGION_UNKNOWN},
        {0, 1, 0, 0, CHI_DROP_REGION_UNKNOWN}, {0, 1, 1, 97, CHI_DROP_REGION_BOUNDS},
    };
    for (size_t i = 0; i < sizeof segments / sizeof segments[0]; i++) {
        data_begin(&s);
        data_segment(&s, segments[i].slot, segments[i].generation, segments[i].region, WIRE_SEGMENT_OUT, segments[i].offset, "evil", 4);
        data(&s, segments[i].want);
    }
    s.no_memory = true;
    data_begin(&s);
    data_task_out(&s, &(struct wire_task_out){.generation = 1, .regions = 1, .form_length = 2000}, ""); /* its body follows */
    data(&s, CHI_DROP_NO_MEMORY);
    script_close(&s);
}

static void shutdown__counts_what_still_comes(void **state)
{
    (void)state;
    struct script s;
    uint8_t p[64];
    script_live(&s);
    xfer_shutdown(s.x, s.now);
    script_tx(&s);
    rx(&s, 2, p, a_ping(&s, p, 1), CHI_DROP_SESSION_UNKNOWN);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packet__that_cannot_be_opened_is_counted_by_reason),
        cmocka_unit_test(frame__that_cannot_be_read_is_counted_by_reason),
        cmocka_unit_test(hello__that_is_not_believed_is_counted_by_reason),
        cmocka_unit_test(hello__beyond_the_sessions_is_counted),
        cmocka_unit_test(refuse__that_is_not_believed_is_counted_by_reason),
        cmocka_unit_test(data__of_no_session_or_number_is_counted_by_reason),
        cmocka_unit_test(message__that_does_not_fit_is_counted_by_reason),
        cmocka_unit_test(message__without_a_record_is_counted),
        cmocka_unit_test(answer__that_does_not_fit_is_counted_by_reason),
        cmocka_unit_test(shutdown__counts_what_still_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
