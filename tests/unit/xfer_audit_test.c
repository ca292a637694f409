/* The simulator's audit (tests/sim/audit.c) notices what it is for: each record that is bent fails it, and bent back, passes. */
#include "../sim/audit.h"
#include "xfer/xfer_int.h"
#include "xfer_script.h"

static uint8_t form[4096], bulk[8000];

static void sound(struct script *s)
{
    struct audit a;
    const char *wrong = audit(s->x, AUDIT_DEEP, &a);
    assert_string_equal(wrong ? wrong : "sound", "sound");
    wrong = audit(s->x, AUDIT_SHORT, &a);
    assert_string_equal(wrong ? wrong : "sound", "sound");
}

/* Changes a field for the time of an audit. */
#define BENT(s, field, value, whole)                                  \
    do {                                                              \
        struct audit a;                                               \
        __typeof__(field) had = (field);                              \
        (field) = (value);                                            \
        if (!audit((s)->x, (whole) ? AUDIT_DEEP : AUDIT_SHORT, &a))                                \
            fail_msg("%s may be %s", #field, #value);                 \
        (field) = had;                                                \
    } while (0)

/* A session with a message out, one that comes in, one that runs, and one that waits for room. */
static struct xfer_session *busy(struct script *s, struct xfer_out *m, struct chi_ar_region *r)
{
    struct xfer_config c = script_config();
    struct xfer_event ev;
    c.peer_memory = 20000;
    script_open_with(s, &c);
    script_handshake(s);
    *r = (struct chi_ar_region){.ptr = bulk, .size = sizeof bulk, .flags = CHI_WRITE};
    *m = (struct xfer_out){.form = form, .form_length = script_form(form, &(struct form_region){sizeof bulk, 0, CHI_WRITE}, 1, 8),
                           .regions = r, .nregions = 1, .deadline_ns = s->now + 1000 * MS};
    xfer_send(s->x, 2, m, s->now);
    script_tx(s);
    for (uint32_t slot = 0; slot < 4; slot++) {
        struct form_region in = {slot == 2 ? 30000 : 5000, 0, slot ? CHI_WRITE : CHI_EXPOSE};
        uint8_t p[200];
        uint32_t n = script_form(p, &in, 1, 8);
        data_begin(s);
        data_task_in(s, slot, 1, p, n, n);
        assert_int_equal(data_end(s), CHI_DROP_NONE);
        if (slot == 0)
            script_event(s, XFER_TASK, &ev);
    }
    data_begin(s);
    data_segment(s, 1, 1, 1, 0, 100, bulk, 200); /* behind a hole */
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    script_no_event(s);
    return s->x->peers[0].send;
}

static void audit__passes_what_is_sound(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r;
    struct audit a;
    script_open(&s);
    sound(&s);
    script_close(&s);
    busy(&s, &m, &r);
    sound(&s);
    assert_null(audit(s.x, AUDIT_DEEP, &a));
    assert_true(a.open_out == 1 && a.waiting == 0 && a.running == 1 && a.memory == s.x->held && a.memory == 10000);
    script_close(&s);
}

static void audit__notices_a_sender_that_is_bent(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r;
    struct xfer_session *se = busy(&s, &m, &r);
    struct sent *oldest = sentmap_at(&se->sent, se->sent.head);
    for (int whole = 0; whole < 2; whole++) {
        BENT(&s, se->sent.in_flight, had + 1, whole);
        BENT(&s, se->sent.free_count, had - 1, whole);
        BENT(&s, oldest->refs, SENTMAP_NONE, whole);
        BENT(&s, oldest->bytes, (uint16_t)(had + 1), whole);
        BENT(&s, se->cc.in_flight, had - 1, whole);
        BENT(&s, se->next_number, oldest->number, whole);
        BENT(&s, se->timer.key_ns, UINT64_MAX - 1, whole); /* a time-out that never comes */
        BENT(&s, s.x->timers.heap[1]->place, had + 1, whole);
        BENT(&s, s.x->timers.count, had - 1, whole);
        BENT(&s, s.x->deadlines.count, had + 1, whole);
        BENT(&s, se->ack_count, 0u, whole);
        BENT(&s, se->peer->watched, false, whole);
    }
    BENT(&s, se->unasked, had + 1, true);
    BENT(&s, se->credit, 0u, true);
    BENT(&s, se->out_free_count, had + 1, true);
    BENT(&s, se->out_slots, had - 1, true);
    BENT(&s, se->peer->stats.waiting_out, had + 1, true);
    BENT(&s, se->out_free[0], se->out_free[1], true);
    BENT(&s, se->sent.lost_records, had + 1, true);
    BENT(&s, se->sent.free, had + 1, true);
    script_close(&s);
}

static void audit__notices_a_receiver_that_is_bent(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r;
    struct xfer_session *se = busy(&s, &m, &r);
    struct msg_in *in = se->in[1].in;
    assert_non_null(in);
    for (int whole = 0; whole < 2; whole++) {
        BENT(&s, in->missing, had + 1, whole);
        BENT(&s, in->held, had + 1, whole);
        BENT(&s, in->arrived, in->total + 1, whole);
        BENT(&s, in->state, IN_ANSWERING, whole);
        BENT(&s, se->in[1].in, NULL, whole);
        BENT(&s, in->tracks->ranges.r[0].start, in->tracks->ranges.r[0].end, whole);
        BENT(&s, s.x->held, had - 1, whole);
        BENT(&s, s.x->ins.free, s.x->ins.count, whole);
        BENT(&s, se->peer->stats.waiting_in, 0u, whole);
        BENT(&s, s.x->idle.next->prev, NULL, whole);
        BENT(&s, se->rx_largest, had + 1, whole);
        BENT(&s, se->ack_ns, 0u, whole);
    }
    BENT(&s, se->peer->stats.open_in, had - 1, true);
    BENT(&s, se->peer->stats.waiting_turn, had + 1, true);
    BENT(&s, s.x->config.peer_memory, 9000u, true); /* two messages hold more */
    BENT(&s, se->in[2].needs, 10u, false);          /* it could be in line */
    BENT(&s, in->part[0].have, had + 5000, false);
    BENT(&s, s.x->config.all_memory, 9000u, false);
    BENT(&s, se->peer->stats.open_out, had + 1, true);
    BENT(&s, se->in[2].waiting, false, true);
    BENT(&s, s.x->tracks.free, had + 1, true);
    BENT(&s, s.x->ins.stack[0], s.x->ins.stack[1], true);
    script_close(&s);
}

static void audit__notices_a_stream_that_is_bent(void **state)
{
    (void)state;
    struct script s;
    struct xfer_event ev;
    const struct form_region r[] = {{5000, 0, CHI_WRITE | CHI_STREAM}, {1000, 0, CHI_EXPOSE}};
    script_live(&s);
    uint32_t n = script_form(form, r, 2, 8);
    data_begin(&s);
    data_task_in(&s, 0, 1, form, n, n);
    data_segment(&s, 0, 1, 1, 0, 0, bulk, 300);
    assert_int_equal(data_end(&s), CHI_DROP_NONE);
    script_event(&s, XFER_TASK, &ev);
    xfer_push(s.x, ev.in, 1, 400, s.now);
    script_tx(&s);
    struct xfer_session *se = s.x->peers[0].send;
    struct msg_in *in = se->in[0].in;
    sound(&s);
    assert_int_equal(in->part[1].sent, 400);
    for (int whole = 0; whole < 2; whole++) {
        BENT(&s, in->streaming, had + 1, whole);
        BENT(&s, in->part[0].have, 5001u, whole);
        BENT(&s, in->part[1].pushed, had + 1, whole); /* and nobody sends it */
        BENT(&s, in->part[1].sent, had + 1, whole);
        BENT(&s, in->early, false, whole);
        BENT(&s, in->unacked, 0u, whole);
        BENT(&s, in->session, NULL, whole);
    }
    script_close(&s);
}

static void audit__notices_a_path_that_is_bent(void **state)
{
    (void)state;
    struct script s;
    struct xfer_out m;
    struct chi_ar_region r;
    struct path *p = &busy(&s, &m, &r)->path;
    struct xfer_session *se = s.x->peers[0].send;
    BENT(&s, se->packet_bytes, (uint16_t)(p->most + 1), false);
    BENT(&s, p->most, (uint16_t)65000, false);
    BENT(&s, p->probe, se->next_number, false);
    BENT(&s, p->trial, se->next_number + 1, false);
    BENT(&s, p->vanished, 1, false); /* and acknowledgements are not looked at */
    p->ecn_mask = 0;
    BENT(&s, p->ecn, XFER_ECT_0, false);
    script_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(audit__passes_what_is_sound),
        cmocka_unit_test(audit__notices_a_sender_that_is_bent),
        cmocka_unit_test(audit__notices_a_receiver_that_is_bent),
        cmocka_unit_test(audit__notices_a_stream_that_is_bent),
        cmocka_unit_test(audit__notices_a_path_that_is_bent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
