/* xfer_race_test.c - a region that streams, filled by its endpoint's thread, while another one asks how much is there and reads that:
 * what xfer_ready counts is there.  Run under ThreadSanitizer too. */
#include <pthread.h>
#include <sched.h>

#include "../unit/xfer_script.h"

enum { SIZE = 90000, PIECE = 500, ROUNDS = 20 };

static uint8_t bytes[SIZE];

static void *read_all(void *arg)
{
    const struct xfer_in *in = arg;
    const uint8_t *p = in->regions[0].ptr;
    uint64_t wrong = 0;
    for (uint64_t done = 0, ready; done < SIZE;) {
        ready = xfer_ready(in, 0);
        if (ready == done)
            sched_yield();
        wrong += ready < done;
        for (; done < ready; done++)
            wrong += p[done] != bytes[done];
    }
    return (void *)(uintptr_t)wrong;
}

static void piece(struct script *s, uint32_t offset)
{
    data_begin(s);
    data_segment(s, 0, 1, 1, 0, offset, bytes + offset, PIECE);
    assert_int_equal(data_end(s), CHI_DROP_NONE);
    for (struct xfer_event ev; xfer_next_event(s->x, &ev);)
        assert_int_equal(ev.kind, XFER_MORE);
}

static void ready__counts_only_what_is_there(void **state)
{
    (void)state;
    static uint8_t form[FORM_PREFIX_MAX];
    const struct form_region r = {SIZE, 0, CHI_WRITE | CHI_STREAM};
    uint32_t n = script_form(form, &r, 1, 0);
    for (uint32_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 11 + i / 253);
    for (int round = 0; round < ROUNDS; round++) {
        struct script s;
        struct xfer_event ev;
        pthread_t reader;
        void *wrong;
        script_live(&s);
        data_begin(&s);
        data_task_in(&s, 0, 1, form, n, n);
        assert_int_equal(data_end(&s), CHI_DROP_NONE);
        script_event(&s, XFER_TASK, &ev);
        assert_int_equal(pthread_create(&reader, NULL, read_all, ev.in), 0);
        for (uint32_t at = 0; at < SIZE; at += 2 * PIECE) { /* the later of two first */
            piece(&s, at + PIECE);
            piece(&s, at);
        }
        pthread_join(reader, &wrong);
        assert_null(wrong);
        script_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ready__counts_only_what_is_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
